/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Config: options of a command line that come from a file or from the environment instead. Everything goes by the command's own
 * table of options (struct argp), so none is forgotten. The command line goes before the environment, and that before the file:
 * what one gives of an option, once or more often, replaces what those behind it give of the same.
 *
 *   [serve]                          # a section for each program; the others' are not looked at
 *   listen = 0.0.0.0:8090            # a long option by its name; lines that begin with # or ; are remarks
 *   media-root = /srv/films          # one that may be given more than once has several lines
 *   media-root = "/srv/more films "  # quotes, if there are any, go around the whole value; nothing is escaped
 *   on-demand = yes                  # yes, true, on, 1; no, false, off, 0
 *
 * In the environment --media-root is SEGFARM_MEDIA_ROOT, with commas between several values. One that is empty is not there.
 */
#ifndef SEGFARM_COMMON_CONFIG_H
#define SEGFARM_COMMON_CONFIG_H

#include "common/err.h"

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#define CONFIG_ENVIRONMENT "SEGFARM_"
#define CONFIG_MANY 0x10000 /* in argp_option.flags: may be given more than once; argp itself does not look at it */
#define CONFIG_FILE_MAX (1u << 20)
#define CONFIG_OPTIONS_MAX 4096 /* that come from file and environment */
#define CONFIG_NAME_MAX 64      /* of an option, with CONFIG_ENVIRONMENT and its NUL */

enum { CONFIG_KEY_FILE = 0x2000, CONFIG_KEY_ALONE }; /* keys of the options --config FILE and --alone: see options.h */

/* Calls fn for each option of a command, those that are hidden included, until it returns something other than 0, which is returned. */
int config_walk(const struct argp *argp, int (*fn)(void *arg, const struct argp_option *option), void *arg);
/* "SEGFARM_MEDIA_ROOT" */
void config_variable(const char *option, char name[CONFIG_NAME_MAX]);

struct config {
	char **argv;    /* ends with a NULL: argv[0], n_before options, then argv[1] and all behind it as they were given */
	int argc, n_before;
	char **origins; /* of the options: "FILE:LINE" or "SEGFARM_X"; origins[0] is that of argv[1] */
	void *memory;   /* texts, to be freed with it */
};

/* section: of the file. environment: "NAME=VALUE"..., NULL. ERR_USAGE, with file and line or name of the variable in front. On success, and
 * when the command line is wrong by itself (argp will say so), *config is to be given to config_finish, and what was parsed lives as
 * long as that. */
int config_expand(struct config *config, const struct argp *argp, const char *section, int argc, char **argv, char **environment,
		  struct err *err);
void config_finish(struct config *config);

#endif
