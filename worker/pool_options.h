/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options of the pool: `segfarm-worker` as people start it.
 */
#ifndef SEGFARM_WORKER_POOL_OPTIONS_H
#define SEGFARM_WORKER_POOL_OPTIONS_H

#include <argp.h>

extern const struct argp pool_argp;
/* Exit status of the process. */
int pool_options_main(int argc, char **argv);

#endif
