/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The subcommands of segfarm. Each returns an exit status.
 */
#ifndef SEGFARM_DISPATCHER_COMMANDS_H
#define SEGFARM_DISPATCHER_COMMANDS_H

int run_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int submit_main(int argc, char **argv);
int status_main(int argc, char **argv);
int cancel_main(int argc, char **argv);
int retry_main(int argc, char **argv);
int rm_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int sign_main(int argc, char **argv);
int keygen_main(int argc, char **argv);

#endif
