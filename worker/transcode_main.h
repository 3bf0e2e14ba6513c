/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `segfarm-worker transcode`: the continuous pipeline from a file, a URL or a pipe to standard output.
 */
#ifndef SEGFARM_WORKER_TRANSCODE_MAIN_H
#define SEGFARM_WORKER_TRANSCODE_MAIN_H

#include <argp.h>

extern const struct argp transcode_argp;
/* argv[0]: "transcode". Exit status of the process. */
int transcode_main(int argc, char **argv);

#endif
