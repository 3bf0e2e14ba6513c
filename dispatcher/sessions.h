/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions: the workers that have said HELLO, what they say, and what becomes of their jobs when they end. Internal to dispatch.c.
 */
#ifndef SEGFARM_DISPATCHER_SESSIONS_H
#define SEGFARM_DISPATCHER_SESSIONS_H

#include "dispatcher/dispatch.h"

/* Hears what there is to hear in one turn: how many messages. */
int sessions_receive(struct dispatch *d);
/* Gives up workers that are over a deadline. */
void sessions_end_overdue(struct dispatch *d, int64_t now_ms);
/* Gives up workers that are silent or gone. */
void sessions_tick(struct dispatch *d, int64_t now_ms);
void sessions_finish(struct dispatch *d);

/* Of a job; NULL: of a play, or the stream was removed. */
struct dispatch_stream *session_stream(const struct queue_item *item);
/* The worker is gone; w is freed. */
void session_end(struct dispatch *d, struct dispatch_worker *w, enum queue_failure failure, const char *reason);

#endif
