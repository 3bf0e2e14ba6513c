/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fault: a mapped file that becomes shorter while it is read. Where its pages are gone there are zeros instead of SIGBUS, and from
 * then on its input says so (input_status) and ends there.
 */
#ifndef SEGFARM_WORKER_FAULT_H
#define SEGFARM_WORKER_FAULT_H

#include "worker/input.h"

/* Watches over the input of a whole mapping, one at a time in a process, until fault_watch(NULL, NULL), which has to come before
 * it is unmapped. Bytes of it that were used after input_status last said 0 may be zeros that the file never had. */
void fault_watch(struct input *in, const char *path);

#endif
