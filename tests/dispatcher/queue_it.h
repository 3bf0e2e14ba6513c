/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One queue for a test, and its verbs with what they should answer. Each checks that the queue is whole.
 */
#ifndef SEGFARM_TESTS_DISPATCHER_QUEUE_IT_H
#define SEGFARM_TESTS_DISPATCHER_QUEUE_IT_H

#include "dispatcher/queue.h"

#include <check.h>

struct it {
	struct queue q;
	int64_t now_ms;
};
extern struct it on;

void it_set_up(void);
void it_tear_down(void);

int it_add_stream(uint32_t n_slots, enum queue_class class); /* all of its slots are pushed */
int it_add_worker(int credits);
void it_push(int stream, uint32_t slot, enum queue_class class); /* it was not there */
struct queue_item *it_give(void);            /* there is one, and it preempts nothing */
struct queue_item *it_give_preempting(void);
void it_give_none(void);
struct queue_item *it_job(int stream, uint32_t slot); /* it is in flight */
void it_done(struct queue_item *item);
void it_fail(struct queue_item *item, enum queue_failure failure, bool again, int attempts);

TCase *tcase_queue_ends(void);
TCase *tcase_queue_places(void);

#endif
