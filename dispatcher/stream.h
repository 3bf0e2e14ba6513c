/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One stream's way from source to last segment, as the dispatcher sees it: what is in the store, what is missing.
 * Internal to dispatch.c and accept.c.
 */
#ifndef SEGFARM_DISPATCHER_STREAM_H
#define SEGFARM_DISPATCHER_STREAM_H

#include "dispatcher/dispatch.h"

/* Adds an empty stream to d, in the state DISPATCH_PROBING; nothing is written or queued. */
int stream_create(struct dispatch *d, const char *key, struct dispatch_stream **stream, struct err *err);
void stream_destroy(struct dispatch_stream *s);
int stream_compare(const void *a, const void *b); /* by key, for tsearch(3) */

/* Makes store and queue agree with each other: writes what the store must have, reads what it has, queues the rest.
 * ERR_RETRY: the store is down, call again. ERR_DATA, ERR_UNSUPPORTED, ERR_LIMIT: the index it holds is no good. */
int stream_reconcile(struct dispatch *d, struct dispatch_stream *s, struct err *err);
/* Writes the state again: the store may have missed or lost it. */
int stream_save_state(struct dispatch *d, struct dispatch_stream *s, struct err *err);

/* Another dispatcher says that something has become of a slot of its stream. */
void stream_refresh(struct dispatch *d, struct dispatch_stream *s, uint32_t slot);
/* All its jobs are given up. */
void stream_drop_jobs(struct dispatch *d, struct dispatch_stream *s);
/* Whatever could not be made is tried again. */
void stream_retry(struct dispatch_stream *s);

/* Fills the job of a slot. */
void stream_make_job(const struct dispatch_stream *s, const struct queue_item *item, struct job *job);
/* 1 what the slot should make is there (and is noted as made), 0 it is not, ERR_RETRY store down, else as above. */
int stream_check_slot(struct dispatch *d, struct dispatch_stream *s, uint32_t slot, struct err *err);
/* A job of it that may encode video ended badly. */
void stream_note_failure(struct dispatch *d, struct dispatch_stream *s, enum queue_failure failure);
/* It encodes video, not with libx264. */
bool stream_has_other_encoder(const struct record_video *v);
/* Workers have not died of the encoder that its plan has, or not often. */
bool stream_trusts_encoder(const struct dispatch_stream *s);
/* The slot cannot be done. */
void stream_give_up(struct dispatch *d, struct dispatch_stream *s, uint32_t slot, int code, int attempts,
		    const char *reason);
void stream_unmake(struct dispatch_stream *s, size_t segment);

/* dispatch.c: a call to the store has failed; ERR_RETRY: it is down. */
void dispatch_note_trouble(struct dispatch *d, const struct err *err);

#endif
