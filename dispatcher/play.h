/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays: continuous streams that readers wait for, each made by a worker for as long as it is read. They go before all
 * other jobs.
 */
#ifndef SEGFARM_DISPATCHER_PLAY_H
#define SEGFARM_DISPATCHER_PLAY_H

#include "dispatcher/dispatch.h"

#define PLAYS_MAX 1000 /* at a time */

struct play {
	struct store_play name;
	struct dispatch_stream *stream;
	int64_t start;      /* ticks */
	bool is_over;       /* the worker has ended: what there is to read is in the store */
	bool is_failed;     /* and it has not come to the end */
	char error[400];    /* why */
	/* internal */
	uint32_t slot;
	bool has_reader;
	int64_t keep_ms;    /* when the lease is renewed next */
};

/* Queues it. The caller reads it from the store, on a connection of its own, and calls play_end when it is done, or does
 * not want it any more. ERR_LIMIT: too many; ERR_RETRY: the store is down. */
int play_begin(struct dispatch *d, struct dispatch_stream *stream, int64_t start, struct play **play, struct err *err);
void play_end(struct dispatch *d, struct play *play);
/* Somebody plays it. */
bool play_is_of(const struct dispatch *d, const struct dispatch_stream *stream);
/* A worker has it, which is watched as with all jobs. */
bool play_is_given(const struct dispatch *d, const struct play *play);

/* For dispatch.c. */
bool play_is(const struct dispatch *d, const struct queue_item *item);
void play_make_job(const struct dispatch *d, const struct queue_item *item, struct job *job);
/* The worker is done with it: error NULL, it has come to the end. The item is gone. */
void play_finish(struct dispatch *d, struct queue_item *item, const char *error);
void play_tick(struct dispatch *d, int64_t now_ms);
void play_finish_all(struct dispatch *d);

#endif
