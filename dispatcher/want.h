/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Wants: who waits for something of a stream that is not there yet, and what players will want next. They decide the class of a
 * job, and whether there is one at all where a stream is made on demand only. Slots as in the queue: 0 is the probe, 1 + i segment i.
 */
#ifndef SEGFARM_DISPATCHER_WANT_H
#define SEGFARM_DISPATCHER_WANT_H

#include "dispatcher/dispatch.h"

#define WANTS_MAX 4096           /* that wait at a time */
#define WANT_PLAYERS_MAX 256     /* of a stream that are followed; the one not seen for longest goes */
#define WANT_PLAYER_MS 60000     /* one that asks for nothing for so long has left */
#define WANT_READ_AHEAD 3        /* segments, unless told otherwise */
#define WANT_READ_AHEAD_MAX 100

struct want {
	struct list link;                 /* in its stream's list while it waits; else alone */
	struct dispatch_stream *stream;
	uint32_t slot;
	/* It is there, or it cannot be made, or the stream has another plan: look again. The want is in no list any more. */
	void (*on_end)(struct want *w);
};

/* ERR_LIMIT: too many wait; ERR_NOMEM. Filled by the caller: stream, slot, on_end. */
int want_begin(struct dispatch *d, struct want *w, struct err *err);
/* Nobody waits any more; harmless when it has ended. */
void want_end(struct dispatch *d, struct want *w);
/* A player, known by a number, has asked for a segment: what follows is made ahead; what it would have wanted before is not, unless
 * somebody else wants it. */
void want_follow(struct dispatch *d, struct dispatch_stream *s, uint64_t player, size_t segment);

/* For dispatch.c and stream.c. */
void want_settle(struct dispatch *d, struct dispatch_stream *s, uint32_t slot);
void want_settle_all(struct dispatch *d, struct dispatch_stream *s);
/* Queues what is waited for. */
int want_queue(struct dispatch *d, struct dispatch_stream *s, struct err *err);
void want_tick(struct dispatch *d, int64_t now_ms);
/* Players only: the wants must have ended. */
void want_finish(struct dispatch_stream *s);

#endif
