/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Manual: pages for man(1), and completion for shells, out of the tables of options that the programs parse by. Pure but for
 * manual_main.
 */
#ifndef SEGFARM_COMMON_MANUAL_H
#define SEGFARM_COMMON_MANUAL_H

#include "common/buf.h"

#include <argp.h>

struct manual_command {
	const char *name;    /* "": the program itself, without a command */
	const char *args;    /* "FILE..." */
	const char *summary; /* of one line */
	int (*main)(int argc, char **argv);
	const struct argp *argp;
};

struct manual {
	const char *program, *summary;
	const struct manual_command *commands; /* ends with a NULL name */
};

#define MANUAL_OPTION "--manual" /* of both programs, for their Makefile: --manual man, conf, sections, bash, zsh, fish */

/* segfarm.1, segfarm-worker.1: roff, for the man macros. */
void manual_put_page(const struct manual *m, struct buf *out);
/* What completes the program's commands and options: "bash", "zsh", "fish". false: another shell. */
bool manual_put_completion(const struct manual *m, const char *shell, struct buf *out);
/* Of one section, for segfarm.conf(5): its options. */
void manual_put_section(const char *section, const struct argp *argp, struct buf *out);
/* The page of the file up to the first section. */
void manual_put_conf(struct buf *out);

/* Prints what is asked for; exit status. "conf" is the page of the file up to its sections, "sections" are those of the program. */
int manual_main(const struct manual *m, const char *what);

#endif
