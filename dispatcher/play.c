/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/play.h"

#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DEADLINE_MS 30000 /* without a sign of life from the worker's loop */
#define KEEP_MS (STORE_PLAY_LEASE_S * 1000 / 4)

bool play_is(const struct dispatch *d, const struct queue_item *item)
{
	return d->plays && item->stream && item->stream->number == d->plays_number;
}

static int find_slot(const struct dispatch *d)
{
	for (int i = 0; i < PLAYS_MAX; i++)
		if (!d->plays[i])
			return i;
	return -1;
}

/* Their stream in the queue, made when the first one comes. */
static int set_up(struct dispatch *d, struct err *err)
{
	if (d->plays)
		return 0;
	d->plays = calloc(PLAYS_MAX, sizeof(struct play *));
	d->plays_number = d->plays ? queue_add_stream(&d->queue, PLAYS_MAX, true) : -1;
	if (d->plays_number < 0) {
		free(d->plays);
		d->plays = NULL;
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	return 0;
}

static void forget(struct dispatch *d, struct play *p)
{
	d->plays[p->slot] = NULL;
	free(p);
}

int play_begin(struct dispatch *d, struct dispatch_stream *stream, int64_t start, struct play **play, struct err *err)
{
	struct play *p;
	uint64_t id;
	int slot, ret = set_up(d, err);

	if (ret < 0)
		return ret;
	slot = find_slot(d);
	if (slot < 0)
		return err_set(err, ERR_LIMIT, "there are %d streams already", PLAYS_MAX);
	p = calloc(1, sizeof(*p));
	if (!p || getrandom(&id, sizeof(id), 0) != sizeof(id)) {
		free(p);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	snprintf(p->name.stream, sizeof(p->name.stream), "%s", stream->key);
	snprintf(p->name.id, sizeof(p->name.id), "%016" PRIx64, id);
	p->stream = stream;
	p->start = start;
	p->slot = (uint32_t)slot;
	p->has_reader = true;
	ret = store_keep_play(d->store, &p->name, err);
	p->keep_ms = proc_now_ms() + KEEP_MS;
	if (ret >= 0 && queue_push(&d->queue, d->plays_number, p->slot, QUEUE_PLAYER, proc_now_ms()) < 0)
		ret = err_set(err, ERR_NOMEM, "out of memory for the queue");
	if (ret < 0) {
		free(p);
		return ret;
	}
	d->plays[slot] = p;
	*play = p;
	log_info("play begins", "stream=%s play=%s start=%" PRId64, stream->key, p->name.id, start);
	return 0;
}

void play_end(struct dispatch *d, struct play *p)
{
	struct queue_item *item;
	struct err err;

	log_info("play ends", "stream=%s play=%s", p->name.stream, p->name.id);
	p->has_reader = false;
	store_end_play(d->store, &p->name, &err); /* else it ends by itself, when the lease does */
	item = queue_drop(&d->queue, d->plays_number, p->slot);
	if (item)
		dispatch_cancel(d, item);
	else
		forget(d, p);
}

bool play_is_of(const struct dispatch *d, const struct dispatch_stream *stream)
{
	for (int i = 0; d->plays && i < PLAYS_MAX; i++)
		if (d->plays[i] && d->plays[i]->stream == stream)
			return true;
	return false;
}

bool play_is_given(const struct dispatch *d, const struct play *p)
{
	return queue_in_flight(&d->queue, d->plays_number, p->slot);
}

void play_make_job(const struct dispatch *d, const struct queue_item *item, struct job *job)
{
	const struct play *p = d->plays[item->slot];

	memset(job, 0, sizeof(*job));
	job->id = item->job;
	job->type = JOB_PLAY;
	job->deadline_ms = DEADLINE_MS;
	memcpy(job->stream, p->name.stream, sizeof(job->stream));
	memcpy(job->play, p->name.id, sizeof(job->play));
	job->source = p->stream->source;
	job->options = p->stream->options;
	if (!stream_trusts_encoder(p->stream))
		snprintf(job->options.video_encoder, sizeof(job->options.video_encoder), "%s", RECORD_SOFTWARE);
	job->start = p->start;
}

void play_finish(struct dispatch *d, struct queue_item *item, const char *error)
{
	struct play *p = d->plays[item->slot];

	queue_done(&d->queue, item, proc_now_ms());
	p->is_over = true;
	p->is_failed = error;
	if (error && p->has_reader)
		log_warn("play failed", "stream=%s play=%s reason=\"%s\"", p->name.stream, p->name.id, error);
	snprintf(p->error, sizeof(p->error), "%s", error ? error : "");
	if (!p->has_reader)
		forget(d, p);
}

void play_tick(struct dispatch *d, int64_t now_ms)
{
	struct err err;

	for (int i = 0; d->plays && i < PLAYS_MAX; i++) {
		struct play *p = d->plays[i];

		if (!p || !p->has_reader || p->keep_ms > now_ms || d->is_store_down)
			continue;
		if (store_keep_play(d->store, &p->name, &err) < 0)
			return;
		p->keep_ms = now_ms + KEEP_MS;
	}
}

void play_finish_all(struct dispatch *d)
{
	for (int i = 0; d->plays && i < PLAYS_MAX; i++)
		free(d->plays[i]);
	free(d->plays);
	d->plays = NULL;
}
