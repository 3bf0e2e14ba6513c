/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Manual: pages for man(1), and completion for shells, out of the tables of options that the programs parse by.
 */
#ifndef SEGFARM_COMMON_MANUAL_H
#define SEGFARM_COMMON_MANUAL_H

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

/* Prints what is asked for; exit status. "man": the program's page, roff for the man macros; "conf": the page of the file up to its
 * sections, "sections": those of the program; "bash", "zsh", "fish": what completes the program's commands and options there. */
int manual_main(const struct manual *m, const char *what);

#endif
