/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The subcommands of segfarm. Each returns an exit status.
 */
#ifndef SEGFARM_DISPATCHER_COMMANDS_H
#define SEGFARM_DISPATCHER_COMMANDS_H

#include "common/manual.h"

int run_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int submit_main(int argc, char **argv);
int status_main(int argc, char **argv);
int cancel_main(int argc, char **argv);
int retry_main(int argc, char **argv);
int rm_main(int argc, char **argv);
int export_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int sign_main(int argc, char **argv);
int keygen_main(int argc, char **argv);

extern const struct argp run_argp, serve_argp, submit_argp, status_argp, cancel_argp, retry_argp, rm_argp, export_argp, probe_argp,
	bench_argp, sign_argp, keygen_argp;

/* All of them, for whoever looks one up, or shows what there are. */
extern const struct manual commands_manual;

#endif
