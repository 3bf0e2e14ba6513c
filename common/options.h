/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options that several programs and subcommands share.
 */
#ifndef SEGFARM_COMMON_OPTIONS_H
#define SEGFARM_COMMON_OPTIONS_H

#include "common/allow.h"
#include "common/cli.h"
#include "common/config.h"
#include "common/log.h"
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
	OPTIONS_KEY_ADVERTISE,
	OPTIONS_KEY_KEYS,
	OPTIONS_KEY_ALLOW_WORKERS,
	OPTIONS_KEY_INSECURE,
	OPTIONS_KEY_MEDIA_ROOT,
	OPTIONS_KEY_ALLOW_URL,
	OPTIONS_KEY_ON_DEMAND,
	OPTIONS_KEY_READ_AHEAD,
	OPTIONS_KEY_JSON,
	OPTIONS_KEY_LOG_FORMAT,
	OPTIONS_KEY_LOG_LEVEL,
	OPTIONS_KEY_DRAIN,
	OPTIONS_KEY_WATCH,
	OPTIONS_KEY_NO_WAIT,
};

/* For argp_child; the input is a struct record_options. */
extern const struct argp options_encode;
extern const struct argp options_stream; /* without what only segments have */

/* Sets one of them by its name ("segment-duration"); text NULL: one that takes no value. 1; 0 there is none of that name; ERR_USAGE: not
 * such a value; ERR_DATA: it takes no value, or has to have one. */
int options_set_encode(struct record_options *options, const char *name, const char *text, struct err *err);
const char *options_preset_name(int preset);

extern const struct argp options_allow;  /* --media-root, --allow-url; the input is a struct allow */

/* --log-level, --log-format, --verbose; the input is a struct options_log. */
extern const struct argp options_log;
/* Those, and --config. */
extern const struct argp options_program;
struct options_log {
	enum log_level level;
	bool is_json;
};
void options_start_log(const struct options_log *log, const char *prog);

#define OPTIONS_DRAIN_MS 30000
#define OPTIONS_DRAIN                                                                                                              \
	{ "drain-timeout", OPTIONS_KEY_DRAIN, "SECONDS", 0,                                                                        \
	  "How long SIGTERM lets what is under way come to its end, 0 to 86400, decimals allowed (default 30); a second signal ends it at " \
	  "once", 1 }
int options_parse_drain_ms(const char *text, struct argp_state *state);

/* Ends the program with the message of a failed cli_parse_*, and where the option came from if that is not the command line. */
void options_check(int ret, const struct err *err, struct argp_state *state);
/* The same for what is wrong with all options together (ARGP_KEY_END). */
void options_refuse(const struct err *err, struct argp_state *state);
/* A whole number from low to high, or the end of the program with a message that names the option. */
int options_parse_int(const char *option, const char *text, int low, int high, struct argp_state *state);
/* "plan" gives 0, "shuffle:N" a seed that is never 0. */
int options_parse_order(const char *text, uint64_t *seed, struct err *err);
int options_n_cpus(void);
/* Parses argv of a subcommand, and in front of it what its section of the configuration file and the environment say. name: with the
 * program's, for messages; its last word is the section. What is parsed may be kept by pointer for ever. */
void options_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input);
/* The same again, for a program that runs; false: it would end the program, and *input is as it was. What is wrong stands on stderr. */
bool options_parse_again(const struct argp *argp, const char *name, int argc, char **argv, void *input);

#endif
