/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Segments of subtitles: frames of one track from the place that the plan says -> cues -> those of the segment, as WebVTT.
 */
#include "common/log.h"
#include "common/timeline.h"
#include "worker/text.h"
#include "worker/vtt.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_CUES 20000              /* of one segment */
#define LIMIT_BYTES (8u << 20)        /* of their texts */
#define BEHIND (2 * TICKS_PER_SECOND) /* cues are looked for so much longer as other tracks' frames are behind the segment */
#define TICK_FRAMES 64

struct cue_text {
	int64_t start, end; /* ticks; end 0: not said */
	size_t at, size;    /* of its payload */
};

struct text {
	const struct job *job;
	struct demux *demux;
	struct text_decoder *decoder;
	struct cue_text *cues;
	size_t n_cues, cap_cues;
	int64_t end;        /* of the segment */
	int64_t broken;
	struct buf texts, one, scratch;
};

static int add_cue(struct text *t, int64_t start, int64_t end, struct err *err)
{
	if (t->n_cues == LIMIT_CUES || t->texts.size + t->one.size > LIMIT_BYTES)
		return err_set(err, ERR_LIMIT, "over %d cues, or %u bytes of them, in a segment", LIMIT_CUES, LIMIT_BYTES);
	if (t->n_cues == t->cap_cues) {
		size_t cap = t->cap_cues ? 2 * t->cap_cues : 64;
		struct cue_text *cues = realloc(t->cues, cap * sizeof *cues);

		if (!cues)
			return err_set(err, ERR_NOMEM, "out of memory for %zu cues", cap);
		t->cues = cues;
		t->cap_cues = cap;
	}
	t->cues[t->n_cues++] = (struct cue_text){ start, end, t->texts.size, t->one.size };
	buf_put(&t->texts, t->one.data, t->one.size);
	return buf_failed(&t->texts) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* A frame without text ends the one before: MP4 has them in between. */
static void end_before(struct text *t, int64_t start)
{
	struct cue_text *last = t->n_cues ? &t->cues[t->n_cues - 1] : NULL;

	if (last && !last->end)
		last->end = start > last->start && start < last->start + TEXT_SHOWN_TICKS ? start : last->start + TEXT_SHOWN_TICKS;
}

/* 1: it is behind the segment. */
static int add_frame(struct text *t, const struct frame *f, struct err *err)
{
	int64_t start = timeline_ns_to_ticks(f->time_ns - t->job->origin_ns), end = 0;
	struct bytes data;
	int ret = demux_data(t->demux, f, &t->scratch, &data, err);

	end_before(t, start);
	if (start >= t->end)
		return 1;
	if (f->duration_ns > 0) {
		end = timeline_ns_to_ticks(f->time_ns + f->duration_ns - t->job->origin_ns);
		if (end <= t->job->segment.start && t->job->number)
			return 0;
	}
	buf_reset(&t->one);
	if (!ret)
		ret = text_decode(t->decoder, data, &t->one, err);
	if (ret == ERR_DATA || ret == ERR_LIMIT) {
		t->broken++;
		return 0;
	}
	if (ret || !t->one.size || end < 0)
		return ret;
	return add_cue(t, start > 0 ? start : 0, end, err);
}

static int read_cues(struct text *t, struct task *task, struct err *err)
{
	struct frame f;
	int n = 0, ret;

	demux_set_shifts(t->demux, &t->job->shifts);
	ret = demux_seek(t->demux, t->job->segment.audio_place, err);
	while (!ret && (ret = demux_next(t->demux, &f, err)) == 1) {
		if (f.track == (uint64_t)t->job->text.track)
			ret = add_frame(t, &f, err);
		else
			ret = timeline_ns_to_ticks(f.time_ns - t->job->origin_ns) >= t->end + BEHIND;
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = task->tick(task, err);
	}
	end_before(t, INT64_MAX);
	return ret < 0 ? ret : 0;
}

static int compare(const void *a, const void *b)
{
	const struct cue_text *one = a, *other = b;

	if (one->start != other->start)
		return one->start < other->start ? -1 : 1;
	if (one->end != other->end)
		return one->end < other->end ? -1 : 1;
	return one->at < other->at ? -1 : one->at > other->at;
}

static void put_cues(const struct text *t, struct buf *out)
{
	int64_t start = t->job->number ? t->job->segment.start : 0;

	vtt_put_head(out);
	for (size_t i = 0; i < t->n_cues; i++) {
		const struct cue_text *c = &t->cues[i];

		if (c->end > start && c->end > c->start && c->start < t->end)
			vtt_put_cue(out, c->start, c->end, (struct bytes){ t->texts.data + c->at, c->size });
	}
}

int text_make(struct task *task, segment_put_fn *put, struct err *err)
{
	struct text t = { .job = task->job, .end = task->job->segment.start + task->job->segment.duration };
	struct buf out = { 0 };
	const struct track *track;
	struct iovec iov;
	int ret = source_open(task->source, &task->job->source, err);

	t.demux = task->source->demux;
	track = ret ? NULL : demux_track(t.demux, (uint64_t)task->job->text.track);
	if (!ret)
		ret = track ? text_decoder_create(&t.decoder, track, err)
			    : err_set(err, ERR_DATA, "the file has no track %lld", (long long)task->job->text.track);
	if (!ret)
		ret = read_cues(&t, task, err);
	if (!ret) {
		if (t.n_cues)
			qsort(t.cues, t.n_cues, sizeof *t.cues, compare);
		put_cues(&t, &out);
		iov = (struct iovec){ out.data, out.size };
		ret = buf_failed(&out) ? err_set(err, ERR_NOMEM, "out of memory") : put(task, &iov, 1, err);
	}
	if (!ret && t.broken)
		log_warn("broken cues left out", "stream=%s rendition=%s start=%lld cues=%lld", task->job->stream, task->job->rendition,
			 (long long)task->job->segment.start, (long long)t.broken);
	text_decoder_destroy(t.decoder);
	free(t.cues);
	buf_finish(&t.texts);
	buf_finish(&t.one);
	buf_finish(&t.scratch);
	buf_finish(&out);
	return ret;
}
