/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Probe: a pass over the block headers of the source gives the index: tracks, exact start and end, the sync samples where the
 * timeline may be cut with the smallest presentation time of what follows, the composition delay, and where to start
 * reading for audio. Then the init segment, which only depends on the index. Where Cues tell the sync samples and the frame
 * rate is constant, only the few headers behind each sync sample are read, and all behind the last one.
 */
#include "common/timeline.h"
#include "worker/codec_build.h"
#include "worker/cut.h"
#include "worker/grid.h"
#include "worker/probe_text.h"
#include "worker/probe_tracks.h"
#include "worker/task.h"
#include "worker/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_GOP (1 << 22)      /* frames between two sync samples */
#define FORGET_FRAMES 1024
#define TICK_FRAMES 4096
#define BITS_PER_100_PIXELS 7 /* of encoded video, as a guess */
#define BITRATE_MOST 1000000000
#define NONE INT64_MIN           /* no time */
#define GAP_NS (20 * NS_PER_SECOND) /* between Cues over which sync samples may be missing in them */

/* The pass over an audio track. */
struct probe_audio {
	struct record_audio *record; /* in the index */
	struct record_track *own;    /* where it is a rendition of its own; else NULL */
	struct audio_ruler *ruler;
	struct audio_clock clock;
	int64_t anchor_place;        /* place of the latest packet, and the anchor of its first one there */
	int64_t anchor_pos;
	size_t anchored;             /* syncs before this one have their position; the others wait for the next packet */
	bool has_been_since;         /* the latest jump: else the audio may have ended in what was jumped over */
};

struct probe {
	struct task *task;
	struct demux *demux;
	struct title title;
	bool has_title;
	/* the pass */
	struct index index;
	size_t cap_syncs;
	int64_t *pts, *sorted;       /* of the frames since the last sync sample, decode order */
	size_t n_pts, cap_pts;
	int64_t max_pts, before_pts; /* largest of all frames; of all frames before the last sync sample */
	int64_t last_gap;            /* between the two latest frames, as a guess for the last one's duration */
	int64_t video_bytes;
	int64_t max_duration;        /* BlockDuration of the latest frame, ticks; 0 unknown */
	struct probe_audio audios[RECORD_AUDIOS_MAX]; /* as in title.audios */
	struct probe_text text;
	/* from cue to cue */
	size_t next_cue, end_cue;    /* in demux->cues, of the video track; equal: no more */
	int64_t expected_ns;         /* time of the sync sample that the latest cue promised; NONE: it was found */
	int64_t sync_ns;             /* time of the latest sync sample */
	int n_after;                 /* frames since then that are shown with it or later, itself included */
	bool is_partial;             /* frames since the last sync sample were jumped over */
	bool is_cues_wrong;          /* or of no use: every header has to be read */
	struct buf scratch, scratch2;
};

/* ---- frames */

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

static void drop_last_sync(struct probe *p)
{
	p->index.n_syncs--;
	for (int i = 0; i < p->title.n_audios; i++)
		if (p->audios[i].anchored > p->index.n_syncs)
			p->audios[i].anchored = p->index.n_syncs;
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
	if (p->is_partial || !p->index.video.is_copy)
		delay = 0;
	if (!p->index.video.is_copy)
		;
	else if (p->sorted[0] <= p->before_pts && p->index.n_syncs > 1)
		drop_last_sync(p);
	else
		last->start = p->sorted[0];
	if (delay > p->index.video.delay_ticks)
		p->index.video.delay_ticks = delay;
	if (p->n_pts > 1)
		p->last_gap = p->sorted[p->n_pts - 1] - p->sorted[p->n_pts - 2];
	p->before_pts = p->max_pts;
	p->is_partial = false;
	p->n_pts = 0;
}

/* Are audio tracks renditions of their own? */
static bool is_own(const struct probe *p)
{
	return p->title.n_audios > 1;
}

static int grow_syncs(struct probe *p, struct err *err)
{
	struct index *x = &p->index;
	size_t cap = p->cap_syncs ? p->cap_syncs * 2 : 256;
	struct record_sync *syncs;

	if (cap > RECORD_SYNCS_MAX)
		return err_set(err, ERR_LIMIT, "over %zu sync samples", p->cap_syncs);
	syncs = realloc(x->syncs, cap * sizeof *syncs);
	if (!syncs)
		return err_set(err, ERR_NOMEM, "out of memory for %zu sync samples", cap);
	x->syncs = syncs;
	for (int i = 0; is_own(p) && i < p->title.n_audios; i++) {
		int64_t *positions = realloc(x->tracks[i].positions, cap * sizeof *positions);

		if (!positions)
			return err_set(err, ERR_NOMEM, "out of memory for %zu sync samples", cap);
		x->tracks[i].positions = positions;
	}
	p->cap_syncs = cap;
	return 0;
}

static int put_sync(struct probe *p, const struct record_sync *sync, struct err *err)
{
	struct index *x = &p->index;
	int ret = x->n_syncs == p->cap_syncs ? grow_syncs(p, err) : 0;

	if (ret)
		return ret;
	for (int i = 0; is_own(p) && i < p->title.n_audios; i++)
		x->tracks[i].positions[x->n_syncs] = INT64_MAX;
	x->syncs[x->n_syncs++] = *sync;
	return 0;
}

/* Reading from sync sample i, the first packet of the track lies at pos. */
static void set_anchor(struct probe *p, const struct probe_audio *a, size_t i, int64_t pos)
{
	if (a->own)
		a->own->positions[i] = pos;
	else
		p->index.syncs[i].audio_pos = pos;
}

/* Encoded video may begin on any frame: where sync samples are far apart, it does. */
static int cut_gop(struct probe *p, struct err *err)
{
	int64_t target = p->task->job->options.target_ticks, last;
	struct record_sync cut;
	int ret = 0;

	if (p->index.video.is_copy || !p->index.n_syncs || !p->n_pts)
		return 0;
	cut = p->index.syncs[p->index.n_syncs - 1];
	last = cut.pts;
	cut_delay(p->pts, p->n_pts, p->sorted);
	for (size_t i = 0; i < p->n_pts && !ret && p->sorted[p->n_pts - 1] - last >= 2 * target; i++)
		if (p->sorted[i] >= last + target) {
			last = cut.start = cut.pts = p->sorted[i];
			cut.id++;
			ret = put_sync(p, &cut, err);
		}
	return ret;
}

static int add_sync(struct probe *p, const struct frame *f, int64_t pts, bool is_closed, struct err *err)
{
	struct index *x = &p->index;
	struct record_sync sync = { .start = pts, .pts = pts, .place = f->place, .id = f->id, .audio_pos = INT64_MAX,
				    .is_closed = is_closed };
	int ret = cut_gop(p, err);

	end_gop(p);
	if (!ret)
		ret = put_sync(p, &sync, err);
	if (ret)
		return ret;
	for (int i = 0; i < p->title.n_audios; i++)
		if (p->audios[i].anchor_place == f->place) {
			set_anchor(p, &p->audios[i], x->n_syncs - 1, p->audios[i].anchor_pos);
			p->audios[i].anchored = x->n_syncs;
		}
	return 0;
}

/* Every cue's sync sample has to be where it says. */
static void check_cue(struct probe *p, int64_t time_ns)
{
	if (p->expected_ns != NONE && time_ns > p->expected_ns)
		p->is_cues_wrong = true;
	if (time_ns == p->expected_ns)
		p->expected_ns = NONE;
	p->sync_ns = time_ns;
	p->n_after = 0;
}

/* A sync sample to cut at. Only these are looked into, and only to be copied. */
static int pass_sync(struct probe *p, const struct frame *f, int64_t pts, struct err *err)
{
	const struct record_sync *last = p->index.n_syncs ? &p->index.syncs[p->index.n_syncs - 1] : NULL;
	struct nal_sample sample;
	struct bytes data;
	int ret;

	if (!p->index.video.is_copy) {
		if (pts < p->index.video.start_ticks)
			pts = p->index.video.start_ticks;
		return last && (pts <= last->pts || f->id <= last->id || f->place < last->place) ?
			       0 : add_sync(p, f, pts, true, err);
	}
	ret = demux_data(p->demux, f, &p->scratch, &data, err);
	buf_reset(&p->scratch2);
	if (!ret)
		ret = nal_sample_read(&p->title.nal, data, &p->scratch2, &sample, err);
	if (ret || !sample.has_picture)
		return ret == ERR_DATA ? 0 : ret;
	check_cue(p, f->time_ns);
	return add_sync(p, f, pts, sample.sync == NAL_SYNC_CLOSED, err);
}

/* A non-key block without a picture costs nothing here and is left out of its segment later. */
static int pass_video(struct probe *p, const struct frame *f, struct err *err)
{
	int64_t lag = f->is_timed ? 0 : p->index.video.encode.lag_ticks;
	int64_t pts = timeline_ns_to_ticks(grid_snap(&p->index.video, f->time_ns) - p->index.origin_ns) + lag;
	int ret = f->is_key && !f->lace_index ? pass_sync(p, f, pts, err) : 0;

	if (ret)
		return ret;
	p->n_after += f->time_ns >= p->sync_ns;
	p->video_bytes += f->size;
	if (!p->index.n_syncs || f->is_hidden)
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
static int add_audio_anchor(struct probe *p, struct probe_audio *a, const struct frame *f, int64_t pos, int64_t anchor, struct err *err)
{
	int64_t at = timeline_samples_to_ticks(pos, a->record->source_rate);
	const struct record_sync *last = p->index.n_syncs ? &p->index.syncs[p->index.n_syncs - 1] : NULL;

	/* frames of several tracks need not lie in the order of their times */
	if (at < 0 || (last && (at < last->start + TICKS_PER_SECOND || f->id <= last->id || f->place < last->place)))
		return 0;
	a->anchor_pos = anchor;
	return add_sync(p, f, at, true, err);
}

static int pass_audio(struct probe *p, int track, const struct frame *f, struct err *err)
{
	struct probe_audio *a = &p->audios[track];
	int64_t samples = a->record->source_unit, pos, anchor, end;
	struct bytes data;
	int ret = 0;

	if (p->title.audios[track].facts.is_measured) {
		ret = demux_data(p->demux, f, &p->scratch, &data, err);
		if (ret)
			return ret == ERR_DATA ? 0 : ret;
		samples = audio_ruler_samples(a->ruler, data);
	}
	a->has_been_since = true;
	pos = audio_clock_place(&a->clock, f->time_ns - p->index.origin_ns, f->lace_index, samples);
	anchor = audio_ruler_anchor(a->ruler, pos, samples);
	if (f->place != a->anchor_place) {
		a->anchor_place = f->place;
		a->anchor_pos = anchor;
		if (!p->title.video)
			ret = add_audio_anchor(p, a, f, pos, anchor, err);
	}
	/* who begins to read there leaves out what lies in front of it, whatever the order */
	for (; a->anchored < p->index.n_syncs && f->place >= p->index.syncs[a->anchored].place; a->anchored++)
		set_anchor(p, a, a->anchored, anchor);
	end = pos + samples - timeline_ns_to_samples(f->discard_ns > 0 ? f->discard_ns : 0, a->record->source_rate);
	if (end > a->record->source_end)
		a->record->source_end = end;
	return ret;
}

/* ---- from cue to cue */

/* Of use only where the rest can be told without reading every header: of constant rate, with a known reorder depth, audio that
 * needs no counting. */
static void find_cues(struct probe *p)
{
	const struct title *t = &p->title;
	const struct demux *demux = p->demux;
	size_t first = 0, end;
	bool is_counted = false;

	p->next_cue = p->end_cue = 0;
	for (int i = 0; i < t->n_audios; i++)
		is_counted |= t->audios[i].facts.is_counted;
	if (!t->video || !t->is_video_copied || !t->record_video.grid_within_ns || !t->nal.sps.is_reorder_said || is_counted)
		return;
	while (first < demux->n_cues && demux->cues[first].track != t->video->number)
		first++;
	for (end = first; end < demux->n_cues && demux->cues[end].track == t->video->number; end++)
		;
	p->next_cue = first;
	p->end_cue = end;
}

/* Is all known that the headers behind the latest sync sample can tell? No picture that is shown in front of it comes later than
 * `reorder` others that are shown behind. */
static bool is_sync_known(const struct probe *p)
{
	bool is_known = p->index.n_syncs && p->expected_ns == NONE && p->n_after > p->title.nal.sps.reorder + 1;

	for (int i = 0; i < p->title.n_audios; i++)
		is_known &= p->audios[i].anchored == p->index.n_syncs;
	return is_known;
}

/* To the next cue if it is in another Cluster, and near. */
static int jump(struct probe *p, int64_t here, struct err *err)
{
	const struct cue *cues = p->demux->cues;
	int64_t delay_ns = (int64_t)p->title.video->codec_delay_ns;

	while (p->next_cue < p->end_cue &&
	       (cues[p->next_cue].place < here || cues[p->next_cue].time_ns - delay_ns <= p->sync_ns))
		p->next_cue++;
	if (p->next_cue == p->end_cue || cues[p->next_cue].place == here ||
	    cues[p->next_cue].time_ns - delay_ns - p->sync_ns > GAP_NS)
		return 0;
	p->expected_ns = cues[p->next_cue].time_ns - delay_ns;
	p->is_partial = true;
	for (int i = 0; i < p->title.n_audios; i++)
		p->audios[i].has_been_since = false;
	return demux_seek(p->demux, cues[p->next_cue++].place, err);
}

/* What was jumped over may have the largest delay: the stream's own bound. */
static void bound_delay(struct probe *p)
{
	struct record_video *v = &p->index.video;
	int64_t bound = timeline_scale_ceil(p->title.nal.sps.reorder * v->rate_den, TICKS_PER_SECOND, v->rate_num);

	if (bound > v->delay_ticks)
		v->delay_ticks = bound;
}

/* ---- the pass */

static void begin_pass(struct probe *p)
{
	p->index.n_syncs = p->n_pts = 0;
	p->video_bytes = 0;
	if (p->title.video)
		p->index.video.start_ticks = timeline_ns_to_ticks(title_first_video_ns(&p->title) - p->index.origin_ns);
	p->index.video.delay_ticks = 0;
	p->max_pts = p->before_pts = INT64_MIN;
	p->expected_ns = NONE;
	p->is_partial = p->is_cues_wrong = false;
	probe_text_begin(&p->text);
	for (int i = 0; i < p->title.n_audios; i++) {
		struct probe_audio *a = &p->audios[i];

		a->record->source_end = 0;
		a->anchored = 0;
		a->anchor_place = -1;
		a->has_been_since = true;
		audio_clock_init(&a->clock, a->record, a->record->source_base);
	}
}

static int pass_frame(struct probe *p, const struct frame *f, struct err *err)
{
	if (p->title.video && f->track == p->title.video->number)
		return pass_video(p, f, err);
	for (int i = 0; i < p->title.n_audios; i++)
		if (f->track == p->title.audios[i].track->number)
			return pass_audio(p, i, f, err);
	return probe_text_pass(&p->text, &p->index, p->demux, f, err);
}

static int pass(struct probe *p, struct err *err)
{
	bool has_cues = p->next_cue < p->end_cue;
	struct frame f = { .place = p->demux->first };
	int n = 0, ret = demux_seek(p->demux, p->demux->first, err);

	begin_pass(p);
	while (!ret && !p->is_cues_wrong) {
		if (p->next_cue < p->end_cue && is_sync_known(p))
			ret = jump(p, f.place, err);
		if (ret || (ret = demux_next(p->demux, &f, err)) <= 0)
			break;
		ret = pass_frame(p, &f, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = p->task->tick(p->task, err);
		if (n % FORGET_FRAMES == 0)
			source_forget(p->task->source);
	}
	p->is_cues_wrong |= p->expected_ns != NONE;
	for (int i = 0; i < p->title.n_audios; i++)
		p->is_cues_wrong |= !p->audios[i].has_been_since;
	if (!ret && p->title.video)
		ret = cut_gop(p, err);
	if (!ret && p->title.video)
		end_gop(p);
	if (!ret && has_cues) {
		bound_delay(p);
		ret = probe_text_take_cues(&p->text, &p->index, p->demux, err);
	}
	return ret;
}

/* From cue to cue, or over everything where that fails. */
static int pass_all(struct probe *p, struct err *err)
{
	int ret;

	find_cues(p);
	ret = pass(p, err);
	if (ret ? ret != ERR_DATA : !p->is_cues_wrong)
		return ret;
	p->next_cue = p->end_cue = 0;
	return pass(p, err);
}

/* ---- after the pass */

/* What its playlist says until the segments are there. */
static void set_bitrate(struct probe *p)
{
	struct record_video *v = &p->index.video;
	const struct record_options *o = &p->task->job->options;
	int64_t pixels = (int64_t)v->width * v->height;

	if (v->is_copy)
		v->bitrate = p->title.video->par && v->end_ticks > v->start_ticks
				     ? timeline_scale_ceil(p->video_bytes, 8 * TICKS_PER_SECOND, v->end_ticks - v->start_ticks)
				     : 0;
	else
		v->bitrate = o->video_bitrate ? o->video_bitrate
					      : timeline_scale_ceil(pixels * v->encode.rate_num, BITS_PER_100_PIXELS,
								    100 * v->encode.rate_den);
	if (v->bitrate > BITRATE_MOST)
		v->bitrate = BITRATE_MOST;
}

static int end_video(struct probe *p, struct err *err)
{
	struct record_video *v = &p->index.video;
	int64_t duration = title_frame_duration(&p->title, p->max_duration, p->last_gap);

	if (!p->index.n_syncs) /* the head had one */
		return err_set(err, ERR_DATA, "the video's sync sample is gone: has the file changed?");
	v->start_ticks = p->index.syncs[0].start;
	v->end_ticks = p->max_pts + duration;
	if (!v->is_copy)
		v->delay_ticks = p->title.nal.sps.reorder * title_frame_duration(&p->title, 0, p->last_gap);
	set_bitrate(p);
	if (v->delay_ticks > CUT_DELAY_MAX)
		v->delay_ticks = CUT_DELAY_MAX;
	return 0;
}

static void end_audios(struct probe *p)
{
	for (int i = 0; i < p->title.n_audios; i++) {
		struct probe_audio *a = &p->audios[i];

		a->record->frames = audio_frames(a->record, a->record->source_end);
		a->record->is_present = a->record->frames > 0;
	}
	probe_tracks_fill_up(&p->index);
}

static int store_init(struct probe *p, const char *rendition, const struct record_video *video, const struct record_audio *audio,
		      struct err *err)
{
	char which[RECORD_RENDITION_MAX + 6];
	struct buf init = { 0 };
	int ret = title_put_init(&p->title, video, audio, &init, err);

	snprintf(which, sizeof which, "init:%s", rendition);
	if (!ret)
		ret = store_put_value(p->task->store, p->task->job->stream, which, buf_bytes(&init), err);
	p->task->bytes += (int64_t)init.size;
	buf_finish(&init);
	return ret;
}

static int store_inits(struct probe *p, struct err *err)
{
	static const struct record_video no_video = { 0 };
	const struct index *x = &p->index;
	bool has_own = x->n_tracks && x->tracks[0].audio.is_present;
	int ret = 0;

	if (x->video.is_present || x->audio.is_present)
		ret = store_init(p, has_own ? RECORD_VIDEO_RENDITION : RECORD_RENDITION, &x->video, &x->audio, err);
	for (int i = 0; i < x->n_tracks && !ret; i++)
		if (x->tracks[i].audio.is_present)
			ret = store_init(p, x->tracks[i].rendition, &no_video, &x->tracks[i].audio, err);
	return ret;
}

static int store_results(struct probe *p, struct err *err)
{
	struct buf json = { 0 };
	int ret = index_put(&p->index, &json);

	if (ret)
		err_set(err, ret, "cannot write the index");
	p->task->bytes = (int64_t)json.size;
	if (!ret)
		ret = store_inits(p, err);
	if (!ret)
		ret = store_put_value(p->task->store, p->task->job->stream, "index", buf_bytes(&json), err);
	buf_finish(&json);
	return ret;
}

static void probe_finish(struct probe *p)
{
	for (int i = 0; i < RECORD_AUDIOS_MAX; i++)
		audio_ruler_destroy(p->audios[i].ruler);
	if (p->has_title)
		title_finish(&p->title);
	index_finish(&p->index);
	probe_text_finish(&p->text);
	free(p->pts);
	free(p->sorted);
	buf_finish(&p->scratch);
	buf_finish(&p->scratch2);
}

/* Audio that goes with the video, or tracks of their own where there are several. */
static int open_audios(struct probe *p, struct err *err)
{
	struct title *t = &p->title;
	int ret = 0;

	for (int i = 0; i < t->n_audios && !ret; i++) {
		struct probe_audio *a = &p->audios[i];

		a->own = is_own(p) ? &p->index.tracks[i] : NULL;
		a->record = a->own ? &a->own->audio : &p->index.audio;
		*a->record = t->audios[i].record;
		ret = audio_ruler_create(&a->ruler, t->audios[i].track, a->record->source_unit, err);
	}
	return ret;
}

static int open_title(struct probe *p, struct err *err)
{
	const struct title *t = &p->title;
	int ret = title_init_all(&p->title, p->demux, &p->task->job->options, err);

	p->has_title = !ret;
	if (ret)
		return ret;
	p->index.video = t->record_video;
	p->index.origin_ns = t->origin_ns;
	p->index.first_place = p->demux->first;
	ret = probe_tracks_open(&p->index, t, err);
	return ret ? ret : open_audios(p, err);
}

int probe_run(struct task *task, struct err *err)
{
	struct probe p = { .task = task, .expected_ns = NONE };
	int ret = source_open(task->source, &task->job->source, err);

	p.demux = task->source->demux;
	if (!ret)
		ret = open_title(&p, err);
	if (!ret)
		ret = demux_read_cues(p.demux, err);
	if (!ret)
		ret = pass_all(&p, err);
	if (!ret)
		ret = demux_get_shifts(p.demux, &p.index.shifts, err);
	if (!ret && p.title.video)
		ret = end_video(&p, err);
	if (!ret) {
		end_audios(&p);
		ret = probe_text_settle(&p.text, &p.index, err);
	}
	codec_build_note(&p.index);
	if (!ret)
		ret = probe_tracks_settle(&p.index, err);
	if (!ret)
		ret = store_results(&p, err);
	probe_finish(&p);
	return ret;
}
