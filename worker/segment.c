/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The segment pipeline (stream_segment_fmp4): blocks of the mapped file -> stages -> cut -> fMP4 -> store.
 * What belongs into the segment is the plan's decision alone: video by the byte offsets of its blocks, audio by frame numbers.
 */
#include "common/log.h"
#include "common/timeline.h"
#include "worker/audio.h"
#include "worker/cut.h"
#include "worker/fmp4.h"
#include "worker/grid.h"
#include "worker/nal.h"
#include "worker/task.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_SAMPLES (1 << 22) /* video samples of one segment */
#define TICK_FRAMES 64          /* frames between two ticks */
#define VIDEO_ID 1
#define AUDIO_ID 2

/* A sample's bytes: in the mapping, or (data NULL) at an offset of the scratch buffer, which may still move. */
struct video_sample {
	struct bytes data;
	size_t scratch_at;
	bool is_sync;
};

struct segment {
	struct task *task;
	const struct job *job;
	struct nal_config nal;
	struct buf unpacked, scratch;
	struct video_sample *video;
	int64_t *pts, *dts;
	size_t n_video, cap_video;
	struct audio_stage *audio;
	struct audio_ruler *ruler;
	struct audio_clock clock;
	bool is_audio_done, is_video_done;
	int64_t broken_samples;
	/* output */
	struct fmp4_sample *samples;
	struct buf head;
	struct iovec *iov;
	int n_iov;
};

/* ---- in */

static int grow_video(struct segment *s, struct err *err)
{
	size_t cap = s->cap_video ? s->cap_video * 2 : 512;
	void *video, *pts;

	if (s->n_video < s->cap_video)
		return 0;
	if (cap > LIMIT_SAMPLES)
		return err_set(err, ERR_LIMIT, "over %d video frames in one segment", LIMIT_SAMPLES);
	video = realloc(s->video, cap * sizeof *s->video);
	if (video)
		s->video = video;
	pts = realloc(s->pts, cap * sizeof *s->pts);
	if (pts)
		s->pts = pts;
	if (!video || !pts)
		return err_set(err, ERR_NOMEM, "out of memory for %zu frames", cap);
	s->cap_video = cap;
	return 0;
}

static int add_video(struct segment *s, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	struct nal_sample sample;
	struct video_sample *v;
	size_t at;
	int ret = grow_video(s, err);

	if (ret)
		return ret;
	/* compressed frames are unpacked into scratch for good when they need no conversion, so unpack apart, then append */
	ret = mkv_frame_data(&s->task->source->mkv, f, &s->unpacked, &data, err);
	at = s->scratch.size;
	if (!ret)
		ret = nal_sample_read(&s->nal, data, &s->scratch, &sample, err);
	if (ret == ERR_DATA || (!ret && !sample.has_picture)) {
		s->broken_samples += ret != 0;
		return 0;
	}
	if (ret)
		return ret;
	v = &s->video[s->n_video];
	*v = (struct video_sample){ sample.data, at, s->n_video == 0 || f->is_key || sample.sync == NAL_SYNC_CLOSED };
	if (s->scratch.size > at || data.data == s->unpacked.data) {
		if (s->scratch.size == at)
			buf_put(&s->scratch, data.data, data.size);
		v->data = (struct bytes){ NULL, sample.data.size };
	}
	s->pts[s->n_video++] = timeline_ns_to_ticks(grid_snap(&s->job->video, f->time_ns) - s->job->origin_ns);
	return buf_failed(&s->scratch) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int add_audio(struct segment *s, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	int64_t pos;
	int ret = mkv_frame_data(&s->task->source->mkv, f, &s->unpacked, &data, err);

	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	pos = audio_clock_place(&s->clock, f->time_ns - s->job->origin_ns, f->lace_index, audio_ruler_samples(s->ruler, data));
	ret = audio_stage_push(s->audio, pos, data, err);
	s->is_audio_done = ret == 1;
	return ret < 0 ? ret : 0;
}

static int add_frame(struct segment *s, const struct mkv_frame *f, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;

	if (s->job->video.is_present && f->track == (uint64_t)s->job->video.track) {
		if (f->block >= p->video_end)
			s->is_video_done = true;
		else if (f->block >= p->video_block)
			return add_video(s, f, err);
	} else if (!s->is_audio_done && f->track == (uint64_t)s->job->audio.track && f->cluster >= p->audio_cluster) {
		return add_audio(s, f, err);
	}
	return 0;
}

static int read_frames(struct segment *s, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;
	int64_t from = p->audio_cluster;
	struct mkv_cursor cursor;
	struct mkv_frame frame;
	int n = 0, ret;

	if (s->is_audio_done || (!s->is_video_done && p->video_cluster < from))
		from = p->video_cluster;
	ret = mkv_seek(&cursor, &s->task->source->mkv, from, -1, err);
	while (!ret && !(s->is_video_done && s->is_audio_done)) {
		ret = mkv_next(&cursor, &frame, err);
		if (ret <= 0)
			break;
		ret = add_frame(s, &frame, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = s->task->tick(s->task, err);
	}
	if (!ret && s->audio && !s->is_audio_done)
		ret = audio_stage_finish(s->audio, err);
	return ret;
}

/* ---- out */

static void put_samples(struct segment *s, const struct fmp4_run *run)
{
	for (int i = 0; i < run->n_samples; i++)
		if (run->samples[i].data.size)
			s->iov[s->n_iov++] = (struct iovec){ (void *)(uintptr_t)run->samples[i].data.data, run->samples[i].data.size };
}

/* Heads follow each other in one buffer that may move: their address is filled in when all are written. */
static void put_head(struct segment *s, size_t at)
{
	s->iov[s->n_iov++] = (struct iovec){ NULL, s->head.size - at };
}

static void video_run(struct segment *s, size_t from, size_t to, struct fmp4_run *run)
{
	for (size_t i = from; i < to; i++) {
		const struct video_sample *v = &s->video[i];
		int64_t cts = s->pts[i] + s->job->video.delay_ticks - s->dts[i];

		s->samples[i] = (struct fmp4_sample){
			.data = { v->data.data ? v->data.data : s->scratch.data + v->scratch_at, v->data.size },
			.duration = (uint32_t)(s->dts[i + 1] - s->dts[i]),
			.cts = cts > 0 ? (int32_t)cts : 0,
			.is_sync = v->is_sync,
		};
	}
	*run = (struct fmp4_run){ VIDEO_ID, true, s->dts[from], s->samples + from, (int)(to - from) };
}

static void audio_run(struct segment *s, int64_t from, int64_t to, struct fmp4_run *run)
{
	audio_stage_run(s->audio, from, to, s->samples + s->n_video + from, run);
	run->track_id = AUDIO_ID;
}

/* First audio frame (of this segment's) that starts at or after a time. */
static int64_t audio_at(const struct segment *s, int64_t ticks, int64_t n)
{
	const struct record_audio *a = &s->job->audio;
	int64_t frame = timeline_scale_ceil(timeline_ticks_to_samples(ticks, a->rate) - a->base, 1, a->unit);

	frame -= s->job->segment.audio_first;
	return frame < 0 ? 0 : frame > n ? n : frame;
}

static int put_fragment(struct segment *s, int number, size_t v0, size_t v1, int64_t a0, int64_t a1, struct err *err)
{
	struct fmp4_run runs[2];
	size_t at = number ? s->head.size : 0;
	int64_t bytes;
	int n = 0, ret;

	if (v1 > v0)
		video_run(s, v0, v1, &runs[n++]);
	if (a1 > a0)
		audio_run(s, a0, a1, &runs[n++]);
	ret = fmp4_put_moof(&s->head, (uint32_t)(s->job->number << 12 | (number & 4095)) + 1, runs, n, &bytes, err);
	if (ret)
		return ret;
	put_head(s, at);
	for (int i = 0; i < n; i++)
		put_samples(s, &runs[i]);
	return 0;
}

static int put_fragments(struct segment *s, int64_t n_audio, struct err *err)
{
	int64_t a = 0, per_fragment = timeline_ticks_to_samples(CUT_FRAGMENT_TICKS, s->job->audio.rate);
	size_t v = 0;
	int ret = 0, number = 0;

	per_fragment = s->audio ? (per_fragment + s->job->audio.unit - 1) / s->job->audio.unit : 0;
	while (!ret && (v < s->n_video || a < n_audio)) {
		size_t v1 = v < s->n_video ? cut_fragment(s->dts, s->n_video, v) : v;
		int64_t a1 = !s->audio		  ? a
			     : v1 < s->n_video	  ? audio_at(s, s->dts[v1], n_audio)
			     : s->n_video	  ? n_audio
			     : a + per_fragment < n_audio ? a + per_fragment
							  : n_audio;

		ret = put_fragment(s, number++, v, v1, a, a1, err);
		v = v1;
		a = a1;
	}
	return ret;
}

static int put_segment(struct segment *s, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;
	int64_t n_audio = 0;
	int ret = 0;

	if (s->audio)
		audio_stage_frames(s->audio, &n_audio);
	if (!s->n_video && !n_audio)
		return err_set(err, ERR_DATA, "no frame found where the plan has a segment: is the file damaged?");
	s->samples = calloc(s->n_video + (size_t)n_audio, sizeof *s->samples);
	s->dts = calloc(s->n_video + 1, sizeof *s->dts);
	s->iov = calloc(2 * (s->n_video + (size_t)n_audio), sizeof *s->iov);
	if (!s->samples || !s->dts || !s->iov)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (s->n_video)
		ret = cut_decode_times(s->pts, s->n_video, p->start, p->start + p->duration, s->job->video.delay_ticks, s->dts, err);
	fmp4_put_styp(&s->head);
	if (!ret)
		ret = put_fragments(s, n_audio, err);
	return ret;
}

static int store_segment(struct segment *s, struct err *err)
{
	const struct job *job = s->job;
	struct store_segment key = { .start = job->segment.start, .duration = job->segment.duration };
	struct store_commit commit;
	size_t at = 0;
	int ret;

	memcpy(key.stream, job->stream, sizeof key.stream);
	memcpy(key.rendition, job->rendition, sizeof key.rendition);
	for (int i = 0; i < s->n_iov; i++)
		if (!s->iov[i].iov_base) {
			s->iov[i].iov_base = s->head.data + at;
			at += s->iov[i].iov_len;
		}
	ret = store_put_segment(s->task->store, &key, job->plan_hash, s->iov, s->n_iov, 0, &commit, err);
	s->task->bytes = ret ? 0 : commit.bytes;
	return ret;
}

/* ---- setup */

static int open_video(struct segment *s, struct err *err)
{
	const struct record_video *v = &s->job->video;
	const struct mkv_track *t = mkv_track(&s->task->source->mkv, (uint64_t)v->track);

	if (!t || s->job->segment.video_block <= 0)
		return err_set(err, ERR_DATA, "the file has no video track %lld", (long long)v->track);
	return nal_config_init_lengths(&s->nal, !strncmp(v->codecs, "avc1", 4) ? NAL_H264 : NAL_H265, t->codec_private, err);
}

static int open_audio(struct segment *s, struct err *err)
{
	const struct record_audio *a = &s->job->audio;
	const struct mkv_track *t = mkv_track(&s->task->source->mkv, (uint64_t)a->track);
	const struct plan_segment *p = &s->job->segment;
	int ret = t ? 0 : err_set(err, ERR_DATA, "the file has no audio track %lld", (long long)a->track);

	if (!ret)
		ret = audio_ruler_create(&s->ruler, t, a->source_unit, err);
	audio_clock_init(&s->clock, a, p->audio_pos);
	return ret ? ret : audio_stage_create(&s->audio, t, a, &s->job->options, p->audio_first, p->audio_end, err);
}

static void segment_finish(struct segment *s)
{
	buf_finish(&s->unpacked);
	buf_finish(&s->scratch);
	buf_finish(&s->head);
	audio_stage_destroy(s->audio);
	audio_ruler_destroy(s->ruler);
	free(s->video);
	free(s->pts);
	free(s->dts);
	free(s->samples);
	free(s->iov);
}

int segment_run(struct task *task, struct err *err)
{
	struct segment s = { .task = task, .job = task->job };
	const struct plan_segment *p = &task->job->segment;
	int ret = source_open(task->source, &task->job->source, err);

	s.is_video_done = !task->job->video.is_present;
	s.is_audio_done = !task->job->audio.is_present || p->audio_first == p->audio_end;
	if (!ret && !s.is_video_done)
		ret = open_video(&s, err);
	if (!ret && !s.is_audio_done)
		ret = open_audio(&s, err);
	if (!ret)
		ret = read_frames(&s, err);
	if (!ret)
		ret = put_segment(&s, err);
	if (!ret)
		ret = store_segment(&s, err);
	if (!ret && (s.broken_samples || (s.audio && audio_stage_broken_packets(s.audio))))
		log_warn("broken frames left out", "stream=%s start=%lld video=%lld audio=%lld", task->job->stream, (long long)p->start,
			 (long long)s.broken_samples, s.audio ? (long long)audio_stage_broken_packets(s.audio) : 0);
	segment_finish(&s);
	return ret;
}
