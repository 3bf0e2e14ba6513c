/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What queue.c and its parts share: queue_clock.c (what waits for a time), queue_lists.c (the lists that workers and slots are in, kept
 * true), queue_choose.c (which job goes where). Nobody else includes this.
 */
#ifndef SEGFARM_DISPATCHER_QUEUE_INTERNAL_H
#define SEGFARM_DISPATCHER_QUEUE_INTERNAL_H

#include "dispatcher/queue.h"

#define ITEM_AFTER(link_) LIST_OF((link_)->next, struct queue_item, link)

/* --- queue_clock.c: a binary heap by until_ms */

/* Room for n items; false: no memory. Everything that is queued may come to be on the clock. */
bool queue_clock_reserve(struct queue *q, size_t n);
void queue_clock_add(struct queue *q, struct queue_item *item);
void queue_clock_remove(struct queue *q, struct queue_item *item); /* nothing if it is not there */

/* --- queue_lists.c */

bool queue_is_fixed(const struct queue_item *item); /* it must not be given up for another */
bool queue_is_exclusive(const struct queue_item *item);
bool queue_is_waiting(const struct queue_item *item); /* for a time */

/* Puts a worker into the lists that it belongs in now. */
void queue_place_worker(struct queue *q, struct queue_worker *w);
void queue_set_last(struct queue_worker *w, struct queue_stream *s);
/* Its first job has become that: its time begins. The caller places the worker. */
void queue_begin_first(struct queue *q, struct queue_worker *w, int64_t now_ms);
void queue_join_worker(struct queue *q, struct queue_worker *w, struct queue_item *item);
void queue_leave_worker(struct queue *q, struct queue_item *item, int64_t now_ms);
/* In flight or waiting for a time; what is pending leaves before, and joins again. */
void queue_set_class(struct queue *q, struct queue_item *item, enum queue_class class);

void queue_join_pending(struct queue *q, struct queue_item *item, bool is_first, int64_t now_ms);
void queue_leave_pending(struct queue *q, struct queue_item *item);
void queue_wait_until(struct queue *q, struct queue_item *item, int64_t until_ms);
void queue_stop_waiting(struct queue *q, struct queue_item *item);
void queue_wake_waiting(struct queue *q, int64_t now_ms);
/* Wherever it is, but not in flight. */
void queue_leave(struct queue *q, struct queue_item *item);
/* It is in no list any more. */
void queue_free_item(struct queue_item *item);

/* The stream's turn comes last. */
void queue_append_turn(struct queue *q, struct queue_stream *s, enum queue_class class);

/* --- queue_places.c */

/* By build, and GPU where that is not waived. */
bool queue_may(const struct queue_lane *lane, const struct queue_group *group);
bool queue_is_of_build(const struct queue_lane *lane, const struct queue_group *group);
/* Workers that may. */
int queue_count_able(const struct queue *q, const struct queue_lane *lane);
/* Looks who is there. */
void queue_waive(struct queue *q, int64_t now_ms);
void queue_places_init(struct queue *q);

/* --- queue_choose.c */

/* The next job, taken from what is pending, and the worker that gets it. NULL: there is none, or none. */
struct queue_worker *queue_take_next(struct queue *q, int64_t now_ms, struct queue_item **item);
/* A job of the class has been given. */
void queue_count_passed(struct queue *q, enum queue_class class);
/* Marks what is in front of a job at its worker and need not be left alone, to be given up. Whether there is any. */
bool queue_clear_way(struct queue_item *item);

#endif
