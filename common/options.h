/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options that several programs and subcommands share.
 */
#ifndef SEGFARM_COMMON_OPTIONS_H
#define SEGFARM_COMMON_OPTIONS_H

#include "common/allow.h"
#include "common/cli.h"
#include "common/record.h"

#include <argp.h>

#define OPTIONS_LISTEN "127.0.0.1:8090"
#define OPTIONS_EXIT_USAGE 2

enum { /* keys of long options without a letter */
	OPTIONS_KEY_DURATION = 0x100,
	OPTIONS_KEY_AUDIO,
	OPTIONS_KEY_QUALITY,
	OPTIONS_KEY_CHANNELS,
	OPTIONS_KEY_BITRATE,
	OPTIONS_KEY_VIDEO_TRACK,
	OPTIONS_KEY_AUDIO_TRACK,
	OPTIONS_KEY_FORCE_VIDEO,
	OPTIONS_KEY_FORCE_AUDIO,
	OPTIONS_KEY_REENCODE,
	OPTIONS_KEY_CRF,
	OPTIONS_KEY_PRESET,
	OPTIONS_KEY_VIDEO_BITRATE,
	OPTIONS_KEY_HEIGHT,
	OPTIONS_KEY_ENCODER,
	OPTIONS_KEY_LISTEN,
	OPTIONS_KEY_ONCE,
	OPTIONS_KEY_ORDER,
	OPTIONS_KEY_REDIS,
	OPTIONS_KEY_BIND,
	OPTIONS_KEY_KEYS,
	OPTIONS_KEY_ALLOW_WORKERS,
	OPTIONS_KEY_INSECURE,
	OPTIONS_KEY_MEDIA_ROOT,
	OPTIONS_KEY_ALLOW_URL,
	OPTIONS_KEY_ON_DEMAND,
	OPTIONS_KEY_READ_AHEAD,
	OPTIONS_KEY_JSON,
};

/* For argp_child; the input is a struct record_options. */
extern const struct argp options_encode;
extern const struct argp options_stream; /* without what only segments have */

/* Sets one of them by its name ("segment-duration"); text NULL: one that takes no value. 1; 0 there is none of that name; ERR_USAGE: not
 * such a value; ERR_DATA: it takes no value, or has to have one. */
int options_set_encode(struct record_options *options, const char *name, const char *text, struct err *err);
const char *options_preset_name(int preset);

extern const struct argp options_allow;  /* --media-root, --allow-url; the input is a struct allow */

/* Ends the program with the message of a failed cli_parse_*. */
void options_check(int ret, const struct err *err, struct argp_state *state);
/* A whole number from low to high, or the end of the program with a message that names the option. */
int options_parse_int(const char *option, const char *text, int low, int high, struct argp_state *state);
/* "plan" gives 0, "shuffle:N" a seed that is never 0. */
int options_parse_order(const char *text, uint64_t *seed, struct err *err);
int options_n_cpus(void);
/* Parses argv of a subcommand; name: with the program's, for messages. */
void options_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input);

#endif
