/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must hold of a queue between any two calls; the test fails where it does not.
 */
#ifndef SEGFARM_TESTS_DISPATCHER_QUEUE_CHECK_H
#define SEGFARM_TESTS_DISPATCHER_QUEUE_CHECK_H

#include "dispatcher/queue.h"

/* Everything, in time proportional to all that is in it. */
void queue_check(const struct queue *q);

#endif
