/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Probe: one pass over all block headers of the source gives the index: tracks, exact start and end, the sync samples where the
 * timeline may be cut with the smallest presentation time of what follows, the composition delay, and where to start
 * reading for audio. Then the init segment, which only depends on the index.
 */
#include "common/timeline.h"
#include "worker/cut.h"
#include "worker/task.h"
#include "worker/title.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_GOP (1 << 22)      /* frames between two sync samples */
#define FORGET_FRAMES 1024
#define TICK_FRAMES 4096

struct probe {
	struct task *task;
	const struct mkv *mkv;
	struct title title;
	bool has_title;
	/* the pass */
	struct index index;
	size_t cap_syncs;
	int64_t *pts, *sorted;       /* of the frames since the last sync sample, decode order */
	size_t n_pts, cap_pts;
	int64_t max_pts, before_pts; /* largest of all frames; of all frames before the last sync sample */
	int64_t last_gap;            /* between the two latest frames, as a guess for the last one's duration */
	int64_t max_duration;        /* BlockDuration of the latest frame, ticks; 0 unknown */
	struct audio_ruler *ruler;
	struct audio_clock clock;
	int64_t anchor_cluster;      /* cluster of the latest audio packet, and the anchor of its first one there */
	int64_t anchor_pos;
	size_t anchored;             /* syncs before this one have their audio_pos; the others wait for the next packet */
	struct buf scratch, scratch2;
};

/* ---- the pass */

static int grow_pts(struct probe *p, struct err *err)
{
	size_t cap = p->cap_pts ? p->cap_pts * 2 : 1024;
	int64_t *pts, *sorted;

	if (p->n_pts < p->cap_pts)
		return 0;
	if (cap > LIMIT_GOP)
		return err_set(err, ERR_LIMIT, "over %d frames without a sync sample", LIMIT_GOP);
	pts = realloc(p->pts, cap * sizeof *pts);
	if (pts)
		p->pts = pts;
	sorted = realloc(p->sorted, cap * sizeof *sorted);
	if (sorted)
		p->sorted = sorted;
	if (!pts || !sorted)
		return err_set(err, ERR_NOMEM, "out of memory for %zu frames", cap);
	p->cap_pts = cap;
	return 0;
}

/* The frames since the last sync sample are complete: its start is the smallest of their times. Where they are not all behind what
 * came before, the sync sample is no place to cut, and its frames belong to the one before. */
static void end_gop(struct probe *p)
{
	struct record_sync *last = p->index.n_syncs ? &p->index.syncs[p->index.n_syncs - 1] : NULL;
	int64_t delay;

	if (!last || !p->n_pts)
		return;
	delay = cut_delay(p->pts, p->n_pts, p->sorted);
	if (p->sorted[0] <= p->before_pts && p->index.n_syncs > 1) {
		p->index.n_syncs--;
		if (p->anchored > p->index.n_syncs)
			p->anchored = p->index.n_syncs;
	} else {
		last->start = p->sorted[0];
	}
	if (delay > p->index.video.delay_ticks)
		p->index.video.delay_ticks = delay;
	if (p->n_pts > 1)
		p->last_gap = p->sorted[p->n_pts - 1] - p->sorted[p->n_pts - 2];
	p->before_pts = p->max_pts;
	p->n_pts = 0;
}

static int add_sync(struct probe *p, const struct mkv_frame *f, int64_t pts, bool is_closed, struct err *err)
{
	struct index *x = &p->index;

	end_gop(p);
	if (x->n_syncs == p->cap_syncs) {
		size_t cap = p->cap_syncs ? p->cap_syncs * 2 : 256;
		struct record_sync *syncs = cap <= RECORD_SYNCS_MAX ? realloc(x->syncs, cap * sizeof *syncs) : NULL;

		if (!syncs)
			return err_set(err, ERR_LIMIT, "no room for over %zu sync samples", p->cap_syncs);
		x->syncs = syncs;
		p->cap_syncs = cap;
	}
	x->syncs[x->n_syncs++] = (struct record_sync){ .start = pts, .pts = pts, .cluster = f->cluster, .block = f->block,
						       .audio_pos = INT64_MAX, .is_closed = is_closed };
	if (p->anchor_cluster == f->cluster) {
		x->syncs[x->n_syncs - 1].audio_pos = p->anchor_pos;
		p->anchored = x->n_syncs;
	}
	return 0;
}

/* Only sync samples are looked into: a non-key block without a picture costs nothing here and is left out of its segment later. */
static int pass_video(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	int64_t pts = timeline_ns_to_ticks(f->time_ns - p->index.origin_ns);
	struct nal_sample sample;
	struct bytes data;
	int ret;

	if (f->is_key && f->lace_index == 0) {
		ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);
		buf_reset(&p->scratch2);
		if (!ret)
			ret = nal_sample_read(&p->title.nal, data, &p->scratch2, &sample, err);
		if (ret && ret != ERR_DATA)
			return ret;
		if (!ret && sample.has_picture && add_sync(p, f, pts, sample.sync == NAL_SYNC_CLOSED, err))
			return err->code;
	}
	if (!p->index.n_syncs)
		return 0;
	ret = grow_pts(p, err);
	if (ret)
		return ret;
	p->pts[p->n_pts++] = pts;
	if (pts > p->max_pts) {
		p->max_pts = pts;
		p->max_duration = timeline_ns_to_ticks(f->duration_ns);
	}
	return 0;
}

/* Without video, reading starts at clusters about a second apart. */
static int add_audio_anchor(struct probe *p, const struct mkv_frame *f, int64_t pos, int64_t anchor, struct err *err)
{
	int64_t at = timeline_samples_to_ticks(pos, p->index.audio.source_rate), last = -TICKS_PER_SECOND;

	if (p->index.n_syncs)
		last = p->index.syncs[p->index.n_syncs - 1].start;
	if (at < 0 || at < last + TICKS_PER_SECOND)
		return 0;
	p->anchor_pos = anchor;
	return add_sync(p, f, at, true, err);
}

static int pass_audio(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	struct record_audio *a = &p->index.audio;
	int64_t samples = a->source_unit, pos, anchor, end;
	struct bytes data;
	int ret = 0;

	if (p->title.facts.is_counted || p->title.facts.skip) {
		ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);
		if (ret)
			return ret == ERR_DATA ? 0 : ret;
		samples = audio_ruler_samples(p->ruler, data);
	}
	pos = audio_clock_place(&p->clock, f->time_ns - p->index.origin_ns, f->lace_index, samples);
	anchor = audio_ruler_anchor(p->ruler, pos, samples);
	if (f->cluster != p->anchor_cluster) {
		p->anchor_cluster = f->cluster;
		p->anchor_pos = anchor;
		if (!p->title.video)
			ret = add_audio_anchor(p, f, pos, anchor, err);
	}
	for (; p->anchored < p->index.n_syncs; p->anchored++)
		p->index.syncs[p->anchored].audio_pos = anchor;
	end = pos + samples - timeline_ns_to_samples(f->discard_ns > 0 ? f->discard_ns : 0, a->source_rate);
	if (end > a->source_end)
		a->source_end = end;
	return ret;
}

static int pass(struct probe *p, struct err *err)
{
	struct mkv_cursor cursor;
	struct mkv_frame f;
	int n = 0, ret = mkv_seek(&cursor, p->mkv, p->mkv->first_cluster, -1, err);

	p->max_pts = p->before_pts = INT64_MIN;
	p->anchor_cluster = -1;
	while (!ret) {
		ret = mkv_next(&cursor, &f, err);
		if (ret <= 0)
			break;
		ret = 0;
		if (p->title.video && f.track == p->title.video->number)
			ret = pass_video(p, &f, err);
		else if (p->title.audio && f.track == p->title.audio->number)
			ret = pass_audio(p, &f, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = p->task->tick(p->task, err);
		if (n % FORGET_FRAMES == 0)
			source_forget(p->task->source);
	}
	if (!ret && p->title.video)
		end_gop(p);
	return ret;
}

/* ---- after the pass */

static void end_video(struct probe *p)
{
	struct record_video *v = &p->index.video;
	int64_t duration = title_frame_duration(&p->title, p->max_duration, p->last_gap);

	v->start_ticks = p->index.syncs[0].start;
	v->end_ticks = p->max_pts + duration;
	if (v->delay_ticks > CUT_DELAY_MAX)
		v->delay_ticks = CUT_DELAY_MAX;
}

static void end_audio(struct probe *p)
{
	struct record_audio *a = &p->index.audio;

	a->frames = audio_frames(a, a->source_end);
	if (!a->frames)
		a->is_present = false;
}

static int store_results(struct probe *p, struct err *err)
{
	const struct job *job = p->task->job;
	struct buf json = { 0 }, init = { 0 };
	int ret = index_put(&p->index, &json);

	if (ret)
		err_set(err, ret, "cannot write the index");
	if (!ret)
		ret = title_put_init(&p->title, &p->index.video, &p->index.audio, &init, err);
	if (!ret)
		ret = store_put_value(p->task->store, job->stream, "init:" RECORD_RENDITION, buf_bytes(&init), err);
	if (!ret)
		ret = store_put_value(p->task->store, job->stream, "index", buf_bytes(&json), err);
	p->task->bytes = (int64_t)(json.size + init.size);
	buf_finish(&json);
	buf_finish(&init);
	return ret;
}

static void probe_finish(struct probe *p)
{
	if (p->has_title)
		title_finish(&p->title);
	audio_ruler_destroy(p->ruler);
	index_finish(&p->index);
	free(p->pts);
	free(p->sorted);
	buf_finish(&p->scratch);
	buf_finish(&p->scratch2);
}

static int open_title(struct probe *p, struct err *err)
{
	const struct title *t = &p->title;
	int ret = title_init(&p->title, p->mkv, &p->task->job->options, err);

	p->has_title = !ret;
	if (ret)
		return ret;
	p->index.video = t->record_video;
	p->index.audio = t->record_audio;
	p->index.origin_ns = t->origin_ns;
	p->index.first_cluster = p->mkv->first_cluster;
	if (!t->audio)
		return 0;
	audio_clock_init(&p->clock, &p->index.audio, p->index.audio.source_base);
	return audio_ruler_create(&p->ruler, t->audio, p->index.audio.source_unit, err);
}

int probe_run(struct task *task, struct err *err)
{
	struct probe p = { .task = task, .mkv = &task->source->mkv };
	int ret = source_open(task->source, &task->job->source, err);

	if (!ret)
		ret = open_title(&p, err);
	if (!ret)
		ret = pass(&p, err);
	if (!ret && p.title.video)
		end_video(&p);
	if (!ret && p.title.audio)
		end_audio(&p);
	if (!ret)
		ret = store_results(&p, err);
	probe_finish(&p);
	return ret;
}
