/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The segment pipeline (stream_segment_fmp4): frames of the source -> stages -> cut -> fMP4 -> store.
 * What belongs into the segment is the plan's decision alone: video by the ids of its frames, audio by frame numbers.
 */
#include "common/log.h"
#include "common/timeline.h"
#include "worker/audio_feed.h"
#include "worker/cut.h"
#include "worker/fragment.h"
#include "worker/grid.h"
#include "worker/task.h"
#include "worker/text.h"
#include "worker/video_feed.h"

#include <string.h>

#define TICK_FRAMES 4 /* frames between two ticks: somebody may wait for us to make way */

struct segment {
	struct task *task;
	const struct job *job;
	struct nal_config nal;    /* of copied video */
	struct video_feed video;  /* encoded */
	struct audio_feed audio;
	struct fragments out;
	bool has_video, has_audio, is_audio_done, is_video_done;
	bool is_silent; /* audio is not read: there is none here, or the job is a tolerant one */
	int64_t damaged_bytes; /* of the file, passed over */
};

/* ---- in */

static int copy_video(struct segment *s, const struct frame *f, struct err *err)
{
	int64_t pts = timeline_ns_to_ticks(grid_snap(&s->job->video, f->time_ns) - s->job->origin_ns);
	int ret;

	if (f->id < s->job->segment.video_id)
		return 0;
	s->is_video_done = f->id >= s->job->segment.video_end;
	if (s->is_video_done)
		return 0;
	ret = fragments_add_video(&s->out, s->task->source->demux, &s->nal, f, pts, s->out.n_video == 0, err);
	return ret < 0 ? ret : 0;
}

static int take_video(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	struct segment *s = arg;
	int ret = fragments_add_sample(&s->out, pts, is_sync, data, err);

	return ret ? ret : s->task->tick(s->task, err); /* a frame may take long, and somebody wants to know that we live */
}

static int encode_video(struct segment *s, const struct frame *f, struct err *err)
{
	int ret;

	if (f->place < s->job->segment.video_place || s->is_video_done)
		return 0;
	ret = s->task->tick(s->task, err);
	if (!ret)
		ret = video_feed_push(&s->video, f, err);
	s->is_video_done = ret == 1;
	return ret < 0 ? ret : 0;
}

static int add_audio(struct segment *s, const struct frame *f, struct err *err)
{
	int ret = audio_feed_place(&s->audio, f, err);

	if (ret == 1)
		ret = audio_feed_push(&s->audio, err);
	s->is_audio_done = ret == 1;
	return ret < 0 ? ret : 0;
}

static int add_frame(struct segment *s, const struct frame *f, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;

	if (s->job->video.is_present && f->track == (uint64_t)s->job->video.track)
		return s->job->video.is_copy ? copy_video(s, f, err) : encode_video(s, f, err);
	if (!s->is_audio_done && f->track == (uint64_t)s->job->audio.track && f->place >= p->audio_place)
		return add_audio(s, f, err);
	return 0;
}

static int read_frames(struct segment *s, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;
	int64_t from = p->audio_place;
	struct demux *demux = s->task->source->demux;
	struct frame frame;
	int n = 0, ret;

	if (s->is_audio_done || (!s->is_video_done && p->video_place < from))
		from = p->video_place;
	demux_set_shifts(demux, &s->job->shifts);
	ret = s->is_video_done && s->is_audio_done ? 0 : demux_seek(demux, from, err);
	while (!ret && !(s->is_video_done && s->is_audio_done)) {
		ret = demux_next(demux, &frame, err);
		if (ret <= 0)
			break;
		ret = add_frame(s, &frame, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = s->task->tick(s->task, err);
	}
	s->damaged_bytes = demux->damaged_bytes;
	if (!ret && s->has_video && !s->is_video_done)
		ret = video_stage_finish(s->video.stage, err);
	if (!ret && s->has_audio && (!s->is_audio_done || s->is_silent))
		ret = audio_stage_finish(s->audio.stage, p->audio_end, err);
	return ret;
}

/* ---- out */

static int put_fragments(struct segment *s, struct err *err)
{
	struct fragments *f = &s->out;
	int64_t a = 0, per_fragment = s->has_audio ? cut_audio_frames(s->job->audio.rate, s->job->audio.unit) : 0;
	size_t v = 0;
	int ret = 0, number = 0;

	while (!ret && (v < f->n_video || a < f->n_audio)) {
		size_t v1 = v < f->n_video ? cut_fragment(f->dts, f->n_video, v) : v;
		int64_t a1 = v1 < f->n_video	       ? fragments_audio_until(f, f->dts[v1])
			     : f->n_video	       ? f->n_audio
			     : a + per_fragment < f->n_audio ? a + per_fragment
							     : f->n_audio;

		ret = fragments_put(f, (uint32_t)(s->job->number << 12 | (number++ & 4095)) + 1, v, v1, a, a1, err);
		v = v1;
		a = a1;
	}
	return ret;
}

static int put_segment(struct segment *s, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;
	struct fragments *f = &s->out;
	int ret = 0;

	if (!f->n_video && !f->n_audio && (s->job->video.is_present || p->audio_first < p->audio_end))
		return err_set(err, ERR_DATA, "no frame found where the plan has a segment: is the file damaged?");
	if (f->n_video && p->duration > INT32_MAX)
		ret = err_set(err, ERR_LIMIT, "a video segment of %lld seconds", (long long)(p->duration / TICKS_PER_SECOND));
	else if (f->n_video)
		ret = cut_decode_times(f->pts, f->n_video, p->start, p->start + p->duration, f->video->delay_ticks, f->dts, err);
	fmp4_put_styp(&f->head);
	return ret ? ret : put_fragments(s, err);
}

static int store_segment(struct task *task, struct iovec *iov, int n, struct err *err)
{
	const struct job *job = task->job;
	struct store_segment key = { .start = job->segment.start, .duration = job->segment.duration };
	struct store_commit commit;
	int ret;

	memcpy(key.stream, job->stream, sizeof key.stream);
	memcpy(key.rendition, job->rendition, sizeof key.rendition);
	ret = source_status(task->source, err);
	if (!ret)
		ret = store_put_segment(task->store, &key, job->plan_hash, iov, n, STORE_LIFETIME_S, &commit, err);
	if (!ret && source_status(task->source, err)) {
		struct err ignored;

		store_drop_commit(task->store, &key, &ignored);
		return err->code;
	}
	task->bytes = ret ? 0 : commit.bytes;
	return ret;
}

/* ---- setup */

static int open_video(struct segment *s, struct err *err)
{
	const struct record_video *v = &s->job->video;
	const struct plan_segment *p = &s->job->segment;
	const struct track *t = demux_track(s->task->source->demux, (uint64_t)v->track);

	if (!t)
		return err_set(err, ERR_DATA, "the file has no video track %lld", (long long)v->track);
	if (!v->is_copy) {
		int ret = video_feed_init(&s->video, s->task->source->demux, v, s->job->origin_ns, &s->job->options, s->job->is_tolerant, p->start,
					  p->start + p->duration, take_video, s, err);

		s->has_video = !ret;
		return ret;
	}
	return nal_config_init_lengths(&s->nal, !strncmp(v->codecs, "avc1", 4) ? NAL_H264 : NAL_H265, t->codec_private, err);
}

/* A track that was filled up has nothing there that could be heard, nor so near that an encoder would know. */
static bool is_outside(const struct record_audio *a, const struct plan_segment *p)
{
	int64_t first = timeline_scale_floor(audio_frame_position(a, p->audio_first), a->source_rate, a->rate);
	int64_t end = timeline_scale_ceil(a->base + p->audio_end * a->unit, a->source_rate, a->rate);

	return first > a->source_end + a->source_rate + a->lead || end < a->source_base - a->source_rate - a->lead;
}

static int open_audio(struct segment *s, struct err *err)
{
	const struct plan_segment *p = &s->job->segment;
	int ret = audio_feed_init(&s->audio, s->task->source->demux, &s->job->audio, s->job->origin_ns, &s->job->options,
				  p->audio_pos,
				  p->audio_first, p->audio_end, fragments_add_audio, &s->out, err);

	s->has_audio = !ret;
	return ret;
}

static void report_broken(const struct segment *s)
{
	int64_t audio = s->has_audio ? audio_stage_broken_packets(s->audio.stage) : 0;

	int64_t video = s->out.broken + (s->has_video ? video_feed_broken(&s->video) : 0);

	if (video || audio || s->damaged_bytes)
		log_warn("broken frames left out", "stream=%s start=%lld video=%lld audio=%lld damaged_bytes=%lld", s->job->stream,
			 (long long)s->job->segment.start, (long long)video, (long long)audio, (long long)s->damaged_bytes);
}

int segment_make(struct task *task, segment_put_fn *put, struct err *err)
{
	struct segment s = { .task = task, .job = task->job };
	const struct plan_segment *p = &task->job->segment;
	struct iovec *iov, head;
	int n, ret = source_open(task->source, &task->job->source, err);

	fragments_init(&s.out, &task->job->video, &task->job->audio, p->audio_first);
	s.is_video_done = !task->job->video.is_present;
	s.is_audio_done = !task->job->audio.is_present || p->audio_first == p->audio_end;
	s.is_silent = !s.is_audio_done && ((task->job->is_tolerant && !task->job->audio.is_copy) || is_outside(&task->job->audio, p));
	if (!ret && !s.is_video_done)
		ret = open_video(&s, err);
	if (!ret && !s.is_audio_done)
		ret = open_audio(&s, err);
	s.is_audio_done |= s.is_silent;
	if (!ret)
		ret = read_frames(&s, err);
	if (!ret)
		ret = put_segment(&s, err);
	if (!ret) {
		head = (struct iovec){ s.out.head.data, s.out.head.size };
		iov = fragments_iov(&s.out, &n);
		ret = n ? put(task, iov, n, err) : put(task, &head, 1, err); /* without a sample: the track is over, or has not begun */
	}
	if (!ret)
		report_broken(&s);
	if (s.has_video)
		video_feed_finish(&s.video);
	if (s.has_audio)
		audio_feed_finish(&s.audio);
	fragments_finish(&s.out);
	return ret;
}

int segment_run(struct task *task, struct err *err)
{
	return task->job->text.is_present ? text_make(task, store_segment, err) : segment_make(task, store_segment, err);
}
