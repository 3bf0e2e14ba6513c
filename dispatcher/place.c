/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/place.h"

#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/stream.h"

#include <stdio.h>
#include <string.h>

static bool needs_gpu(const struct dispatch_stream *s)
{
	if (!stream_trusts_encoder(s))
		return false;
	return s->has_plan ? stream_has_other_encoder(&s->plan.video) : strcmp(s->options.video_encoder, RECORD_SOFTWARE) != 0;
}

static void set_needs(struct dispatch *d, struct dispatch_stream *s, const char *build)
{
	struct queue_place needs = { .is_gpu = needs_gpu(s) };

	snprintf(needs.build, sizeof(needs.build), "%s", build);
	if (!queue_set_needs(&d->queue, s->number, &needs, proc_now_ms())) /* workers look at the build themselves */
		log_warn("too many kinds of streams", "stream=%s", s->key);
}

void place_stream(struct dispatch *d, struct dispatch_stream *s)
{
	if (!s->is_noop)
		set_needs(d, s, s->has_plan ? s->plan.build : "");
}

bool place_worker(struct dispatch *d, struct dispatch_worker *w)
{
	struct queue_place has = { .is_gpu = msg_has_label(w->labels, MSG_LABEL_GPU) };

	memcpy(has.build, w->build, sizeof(has.build));
	return queue_set_has(&d->queue, w->number, &has);
}

static void replan(struct dispatch *d, struct dispatch_stream *s)
{
	static const char any[RECORD_KEY_SIZE];
	struct err err;

	log_warn("stream is planned anew", "stream=%s build=%s reason=\"no worker is of the build that it was planned by\"", s->key, s->plan.build);
	queue_drop_pending(&d->queue, s->number, QUEUE_PLAYER);
	set_needs(d, s, any);
	if (dispatch_push(d, s, 0, list_is_empty(&s->wants) ? QUEUE_AHEAD : QUEUE_PLAYER, &err) < 0)
		d->is_store_suspect = true; /* no memory: it is tried again */
}

void place_tick(struct dispatch *d, int64_t now_ms)
{
	for (int i = 0; i < d->n_streams; i++) {
		struct dispatch_stream *s = d->streams[i];

		if (!s->is_mine || !d->n_workers || !d->queue.streams[s->number]->n_pending || queue_has_build(&d->queue, s->number)) {
			s->unbuilt_ms = 0;
		} else if (!s->unbuilt_ms) {
			s->unbuilt_ms = now_ms;
		} else if (now_ms - s->unbuilt_ms >= PLACE_REPLAN_MS) {
			replan(d, s);
			s->unbuilt_ms = 0;
		}
	}
}
