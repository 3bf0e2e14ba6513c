/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * frames, forward -> stages -> samples that wait -> a fragment as soon as one is complete -> out
 *
 * Where the segment pipeline obeys a plan, this one has only seen the source so far. Video decode times come from a window of the
 * reorder depth (cut_order); audio frames are those of the global grid, so they are the same as in the segments.
 */
#include "worker/transcode.h"

#include "common/timeline.h"
#include "worker/audio_feed.h"
#include "worker/cut.h"
#include "worker/fragment.h"
#include "worker/grid.h"
#include "worker/seek.h"
#include "worker/video_feed.h"

#include <string.h>

#define TICK_FRAMES 64                 /* frames between two ticks */
#define PATIENCE (3 * CUT_FRAGMENT_TICKS) /* one track waits for the other as long as this */
#define LIMIT_WAITING_BYTES (64u << 20) /* from here on a fragment ends early */
#define LIMIT_WAITING_SAMPLES 8192
#define LIMIT_JUMP (INT64_C(6) * 3600 * TICKS_PER_SECOND)  /* of video, forward: 32-bit offsets hold it */
#define LIMIT_BACK (INT64_C(10) * TICKS_PER_SECOND)        /* backward, over what reordering explains */
#define LIMIT_HOLE_SECONDS (INT64_C(24) * 3600)            /* of audio: it is filled with silence */

struct transcode {
	struct demux *demux;
	const struct transcode_request *request;
	const struct transcode_out *out;
	struct transcode_stats *stats;
	struct title title;
	struct record_video video;
	struct record_audio audio;
	struct seek_place place;
	struct fragments f;
	size_t waiting_bytes;      /* of the video samples in f */
	/* video */
	struct video_feed video_feed; /* of video that is encoded */
	bool has_video_feed;
	struct cut_order order;
	size_t n_timed;            /* samples in f that have a decode time */
	size_t n_wanted;           /* and up to the last one that is shown before end_ticks */
	int64_t end_ticks;         /* INT64_MAX: no end is asked for */
	int64_t max_pts, max_duration; /* the frame shown last, and what its block says */
	bool is_started, is_leading, is_video_over;
	/* audio */
	struct audio_feed feed;
	bool has_feed, is_audio_over;
	int64_t audio_from, audio_end; /* frames that are wanted */
};

/* ---- out */

static int64_t frame_at(const struct transcode *c, int64_t ticks)
{
	const struct record_audio *a = &c->audio;
	int64_t n = timeline_scale_floor(timeline_ticks_to_samples(ticks, a->rate) - a->base, 1, a->unit);

	return n > 0 ? n : 0;
}

static bool is_full(const struct transcode *c)
{
	return c->waiting_bytes + c->f.audio_bytes.size > LIMIT_WAITING_BYTES || c->f.n_video > LIMIT_WAITING_SAMPLES ||
	       c->f.n_audio > LIMIT_WAITING_SAMPLES;
}

/* How many video samples the next fragment takes; 0: it is not complete yet. */
static size_t complete_video(const struct transcode *c)
{
	const struct fragments *f = &c->f;

	if (c->is_video_over)
		return f->n_video ? cut_fragment(f->dts, f->n_video, 0) : 0;
	if (c->n_timed && f->dts[c->n_timed - 1] >= f->dts[0] + CUT_FRAGMENT_TICKS)
		return cut_fragment(f->dts, c->n_timed, 0);
	return c->n_timed > 1 && is_full(c) ? c->n_timed - 1 : 0;
}

/* Has the audio come up to a time, or is there no waiting for it? */
static bool is_audio_there(const struct transcode *c, int64_t ticks)
{
	const struct fragments *f = &c->f;

	return c->is_audio_over || frame_at(c, ticks) < f->audio_first + f->n_audio || is_full(c) ||
	       f->dts[c->n_timed - 1] >= f->dts[0] + PATIENCE;
}

/* Is a fragment complete: of `video` samples and `audio` frames? */
static bool next_fragment(const struct transcode *c, size_t *video, int64_t *audio)
{
	const struct fragments *f = &c->f;
	int64_t usual = c->audio.is_present ? cut_audio_frames(c->audio.rate, c->audio.unit) : 0;

	*video = complete_video(c);
	*audio = 0;
	if (*video) {
		*audio = fragments_audio_until(f, f->dts[*video]);
		if (!is_audio_there(c, f->dts[*video]))
			return false;
		/* what little is left over at the end goes with it */
		if (c->is_video_over && c->is_audio_over && *video == f->n_video && f->n_audio - *audio < usual)
			*audio = f->n_audio;
		return true;
	}
	if (!f->n_audio || (c->place.video_id < 0 && !c->is_started))
		return false;
	*audio = f->n_audio < usual ? f->n_audio : usual;
	if (c->is_video_over)
		return f->n_audio >= usual || c->is_audio_over;
	if (c->end_ticks != INT64_MAX && *audio > fragments_audio_until(f, c->end_ticks))
		return false;
	return f->n_audio >= usual * PATIENCE / CUT_FRAGMENT_TICKS || is_full(c);
}

static int put(struct transcode *c, struct iovec *iov, int n, struct err *err)
{
	int64_t bytes = 0;
	int ret;

	for (int i = 0; i < n; i++)
		bytes += (int64_t)iov[i].iov_len;
	ret = c->out->put(c->out->arg, iov, n, err);
	if (!ret)
		c->stats->bytes += bytes;
	return ret;
}

static int put_fragment(struct transcode *c, size_t video, int64_t audio, struct err *err)
{
	struct iovec *iov;
	int64_t frames = 0;
	int n, ret = fragments_put(&c->f, (uint32_t)c->stats->fragments + 1, 0, video, 0, audio, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < video; i++)
		c->waiting_bytes -= c->f.samples[i].data.size;
	for (int64_t i = 0; i < audio; i++)
		frames += c->f.frames[i].data.size > 0;
	iov = fragments_iov(&c->f, &n);
	ret = n ? put(c, iov, n, err) : 0;
	if (ret)
		return ret;
	fragments_drop(&c->f, video, audio);
	c->n_timed -= video;
	c->n_wanted -= video;
	c->stats->fragments += n > 0;
	c->stats->video_frames += (int64_t)video;
	c->stats->audio_frames += frames;
	return 0;
}

static int put_complete(struct transcode *c, struct err *err)
{
	size_t video;
	int64_t audio;
	int ret = 0;

	while (!ret && next_fragment(c, &video, &audio))
		ret = put_fragment(c, video, audio, err);
	return ret;
}

/* ---- audio in */

static int take_audio(void *arg, int64_t n, int64_t samples, struct bytes data, struct err *err)
{
	struct transcode *c = arg;

	if (n >= c->audio_end) {
		c->is_audio_over = true;
		return 0;
	}
	if (n < c->audio_from) { /* it starts with the video, which was found later */
		c->f.audio_first = n + 1;
		return 0;
	}
	if (c->place.video_id < 0 && !c->is_started && c->f.n_audio > LIMIT_WAITING_SAMPLES)
		fragments_drop(&c->f, 0, LIMIT_WAITING_SAMPLES / 2); /* nor has it been found for long */
	return fragments_add_audio(&c->f, n, samples, data, err);
}

/* A long hole becomes silence piece by piece, so that it can go out. */
static int fill_hole(struct transcode *c, struct err *err)
{
	int64_t rate = c->audio.source_rate, step = timeline_ticks_to_samples(CUT_FRAGMENT_TICKS, rate);
	int64_t at = audio_stage_position(c->feed.stage), hole = c->feed.pos - at;
	int ret = 0;

	if (hole > LIMIT_HOLE_SECONDS * rate)
		return err_set(err, ERR_DATA, "the audio has a hole of %lld hours", (long long)(hole / rate / 3600));
	for (at += step; at < c->feed.pos && !ret && !c->is_audio_over; at += step) {
		ret = audio_stage_reach(c->feed.stage, at, err);
		if (!ret)
			ret = put_complete(c, err);
		if (!ret)
			ret = c->out->tick(c->out->arg, err);
	}
	return ret;
}

static int add_audio(struct transcode *c, const struct frame *frame, struct err *err)
{
	int ret = audio_feed_place(&c->feed, frame, err);

	if (ret != 1)
		return ret;
	ret = fill_hole(c, err);
	return ret ? ret : audio_feed_push(&c->feed, err);
}

/* No frame from `end` on is wanted. */
static void end_audio_at(struct transcode *c, int64_t end)
{
	struct fragments *f = &c->f;

	c->audio_end = end;
	if (f->audio_first + f->n_audio < end)
		return;
	f->n_audio = end > f->audio_first ? end - f->audio_first : 0;
	c->is_audio_over = true;
}

/* ---- video in */

/* Is this the frame that the stream begins with? */
static bool is_start(const struct transcode *c, const struct frame *frame, int64_t pts)
{
	if (!frame->is_key || frame->lace_index)
		return false;
	return c->place.video_id < 0 ? pts >= c->place.time : frame->id >= c->place.video_id;
}

static void start(struct transcode *c, int64_t pts)
{
	int64_t n;

	c->is_started = true;
	c->is_leading = c->place.video_id != 0;
	if (c->place.video_id >= 0)
		return;
	c->place.time = pts;
	if (!c->audio.is_present)
		return;
	c->audio_from = frame_at(c, pts);
	n = c->audio_from - c->f.audio_first;
	fragments_drop(&c->f, 0, n < 0 ? 0 : n < c->f.n_audio ? n : c->f.n_audio);
}

/* Pictures shown before the first frame, of which a decoder that begins with it knows nothing. */
static bool is_passed_over(struct transcode *c, const struct frame *frame, int64_t pts)
{
	if (frame->is_key)
		c->is_leading = false;
	return c->is_leading && pts < c->place.time;
}

static int check_jump(const struct transcode *c, int64_t pts, struct err *err)
{
	int64_t last = c->order.last;

	if (pts > last + LIMIT_JUMP || pts + c->video.delay_ticks + LIMIT_BACK < last)
		return err_set(err, ERR_DATA, "the video's timestamps jump from second %lld to %lld",
			       (long long)(last / TICKS_PER_SECOND), (long long)(pts / TICKS_PER_SECOND));
	return 0;
}

/* The last frame is there: until when is it shown? */
static void end_video(struct transcode *c)
{
	const struct cut_order *o = &c->order;
	int64_t last = o->n ? o->sorted[o->n - 1] : o->last, gap = 0, said, end;

	if (o->n > 1)
		gap = last - o->sorted[o->n - 2];
	else if (o->n == 1 && c->n_timed)
		gap = last - o->last;
	else if (c->n_timed > 1)
		gap = last - c->f.dts[c->n_timed - 2];
	said = last == c->max_pts ? c->max_duration : 0;
	while (cut_order_take(&c->order, true, &c->f.dts[c->n_timed]))
		c->n_timed++;
	end = last + title_frame_duration(&c->title, said, gap);
	c->f.dts[c->f.n_video] = end > o->last ? end : o->last + 1;
	c->is_video_over = true;
	if (c->end_ticks != INT64_MAX && c->audio.is_present)
		end_audio_at(c, frame_at(c, end - 1) + 1);
}

/* Everything that is shown before the end is there: what came behind it is not wanted. */
static void end_early(struct transcode *c)
{
	for (; c->f.n_video > c->n_wanted; c->f.n_video--) {
		c->waiting_bytes -= c->f.samples[c->f.n_video - 1].data.size;
		cut_order_drop_last(&c->order);
	}
	end_video(c);
}

static void add_time(struct transcode *c, int64_t pts, int64_t duration_ns)
{
	c->waiting_bytes += c->f.samples[c->f.n_video - 1].data.size;
	if (pts > c->max_pts) {
		c->max_pts = pts;
		c->max_duration = timeline_ns_to_ticks(duration_ns);
	}
	if (pts < c->end_ticks)
		c->n_wanted = c->f.n_video;
	cut_order_push(&c->order, pts);
	if (cut_order_is_certain(&c->order) && c->order.sorted[0] >= c->end_ticks)
		end_early(c);
	else if (cut_order_take(&c->order, false, &c->f.dts[c->n_timed]))
		c->n_timed++;
}

static int copy_video(struct transcode *c, const struct frame *frame, struct err *err)
{
	int64_t pts = timeline_ns_to_ticks(grid_snap(&c->video, frame->time_ns) - c->title.origin_ns);
	bool is_first = !c->is_started;
	int ret;

	if (is_first ? !is_start(c, frame, pts) : is_passed_over(c, frame, pts))
		return 0;
	ret = is_first ? 0 : check_jump(c, pts, err);
	if (!ret)
		ret = fragments_add_video(&c->f, c->demux, &c->title.nal, frame, pts, is_first, err);
	if (ret != 1)
		return ret;
	if (is_first) {
		start(c, pts);
		cut_order_init(&c->order, c->title.nal.sps.reorder, c->video.delay_ticks, c->place.time > 0 ? c->place.time : 0);
		if (c->request->max_ticks < TIMELINE_MAX_TICKS)
			c->end_ticks = c->place.time + c->request->max_ticks;
	}
	add_time(c, pts, frame->duration_ns);
	return 0;
}

/* ---- video that is encoded */

static int take_video(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	struct transcode *c = arg;
	int ret = fragments_add_sample(&c->f, pts, is_sync, data, err);

	if (!ret)
		add_time(c, pts, 0);
	if (!ret)
		ret = put_complete(c, err);
	return ret ? ret : c->out->tick(c->out->arg, err);
}

static int start_encoder(struct transcode *c, int64_t pts, struct err *err)
{
	int64_t from = c->place.video_id < 0 ? pts : c->place.time;
	int ret;

	start(c, from);
	c->place.time = from;
	if (c->request->max_ticks < TIMELINE_MAX_TICKS)
		c->end_ticks = from + c->request->max_ticks;
	cut_order_init(&c->order, c->title.nal.sps.reorder, c->video.delay_ticks, from > 0 ? from : 0);
	ret = video_feed_init(&c->video_feed, c->demux, &c->video, c->title.origin_ns, &c->request->options, false, from, c->end_ticks,
			      take_video, c, err);
	c->has_video_feed = !ret;
	return ret;
}

static int encode_video(struct transcode *c, const struct frame *frame, struct err *err)
{
	int64_t pts = timeline_ns_to_ticks(grid_snap(&c->video, frame->time_ns) - c->title.origin_ns);
	int ret = 0;

	if (!c->is_started && !is_start(c, frame, pts))
		return 0;
	if (!c->is_started)
		ret = start_encoder(c, pts, err);
	else if (frame->is_timed)
		ret = check_jump(c, pts, err);
	if (!ret)
		ret = c->out->tick(c->out->arg, err);
	if (!ret)
		ret = video_feed_push(&c->video_feed, frame, err);
	if (ret == 1 && !c->is_video_over)
		end_video(c);
	return ret < 0 ? ret : 0;
}

/* ---- the pass */

static int add_frame(struct transcode *c, const struct frame *frame, struct err *err)
{
	int ret = 0;

	if (c->video.is_present && frame->track == (uint64_t)c->video.track && !c->is_video_over)
		ret = c->video.is_copy ? copy_video(c, frame, err) : encode_video(c, frame, err);
	else if (c->has_feed && frame->track == (uint64_t)c->audio.track && !c->is_audio_over &&
		 frame->place >= c->place.audio_place) /* positions are counted from there */
		ret = add_audio(c, frame, err);
	return ret < 0 ? ret : put_complete(c, err);
}

/* The source has ended, or everything that was asked for is there. */
static int end(struct transcode *c, struct err *err)
{
	int64_t frames;
	int ret = 0;

	if (c->has_video_feed && !c->is_video_over)
		ret = video_stage_finish(c->video_feed.stage, err);
	if (!ret && !c->is_video_over) {
		if (c->is_started && c->f.n_video)
			end_video(c);
		c->is_video_over = true;
	}
	if (!ret && !c->is_audio_over) {
		c->audio.source_end = c->feed.source_end;
		frames = audio_frames(&c->audio, c->feed.source_end);
		ret = audio_stage_finish(c->feed.stage, frames < c->audio_end ? frames : c->audio_end, err);
		c->is_audio_over = true;
	}
	if (!ret)
		ret = put_complete(c, err);
	if (!ret && !c->stats->fragments)
		ret = err_set(err, ERR_USAGE, "the title has ended before second %lld: nothing to play",
			      (long long)(c->request->start_ticks / TICKS_PER_SECOND));
	return ret;
}

static int pass(struct transcode *c, struct err *err)
{
	int64_t from = c->place.audio_place;
	struct frame frame;
	struct err ignored;
	int n = 0, ret, got = 1;

	if (!c->has_feed || (c->video.is_present && c->place.video_place < from))
		from = c->place.video_place;
	ret = demux_seek(c->demux, from, err);
	while (!ret && !(c->is_video_over && c->is_audio_over)) {
		got = demux_next(c->demux, &frame, err);
		if (got <= 0)
			break;
		ret = add_frame(c, &frame, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = c->out->tick(c->out->arg, err);
	}
	c->stats->damaged_bytes = c->demux->damaged_bytes;
	if (got < 0 && got != ERR_STOPPED) /* the source broke off, but what came of it is good */
		end(c, &ignored);
	if (got < 0)
		return got;
	return ret ? ret : end(c, err);
}

/* ---- setup */

static void set_delay(struct transcode *c)
{
	const struct title *t = &c->title;
	int64_t sorted[TITLE_FIRST_FRAMES], pts[TITLE_FIRST_FRAMES], least = INT64_MAX, most = INT64_MIN, gap = 0;
	int n = t->n_times;

	for (int i = 0; i < n; i++) {
		pts[i] = timeline_ns_to_ticks(grid_snap(&c->video, t->times_ns[i]) - t->origin_ns);
		least = pts[i] < least ? pts[i] : least;
		most = pts[i] > most ? pts[i] : most;
	}
	if (n > 1)
		gap = (most - least) / (n - 1);
	/* the most that a stream is allowed is far more than most need, and players believe it */
	c->video.delay_ticks = !c->video.is_copy ? t->nal.sps.reorder * title_frame_duration(t, 0, gap) :
			       t->nal.sps.is_reorder_said
				       ? cut_delay_ahead(pts, (size_t)n, t->nal.sps.reorder, title_frame_duration(t, 0, gap))
				       : cut_delay(pts, (size_t)n, sorted);
	if (c->video.delay_ticks > CUT_DELAY_MAX)
		c->video.delay_ticks = CUT_DELAY_MAX;
}

/* Forward only: the video begins at the first sync sample from there on, the audio with it. */
static void seek_forward(struct transcode *c)
{
	seek_beginning(&c->title, &c->place);
	if (!c->request->start_ticks)
		return;
	c->place.time = c->request->start_ticks;
	if (c->video.is_present)
		c->place.video_id = -1;
	if (c->audio.is_present)
		c->place.audio_first = frame_at(c, c->place.time);
}

static int find_place(struct transcode *c, struct err *err)
{
	int ret = 0;

	if (!c->demux->in->is_seekable) {
		seek_forward(c);
	} else if (!c->request->start_ticks) {
		seek_beginning(&c->title, &c->place);
	} else {
		ret = demux_read_cues(c->demux, err);
		if (!ret)
			ret = seek_find(&c->title, c->out, c->request->start_ticks, &c->place, err);
	}
	return ret;
}

static int open_audio(struct transcode *c, struct err *err)
{
	int ret = audio_feed_init(&c->feed, c->demux, &c->audio, c->title.origin_ns, &c->request->options, c->place.audio_pos,
				  c->place.audio_first, AUDIO_OPEN_END, take_audio, c, err);

	c->has_feed = !ret;
	c->f.audio_first = c->audio_from = c->place.audio_first;
	c->audio_end = INT64_MAX;
	if (!c->video.is_present && c->request->max_ticks < TIMELINE_MAX_TICKS)
		end_audio_at(c, frame_at(c, c->place.time + c->request->max_ticks - 1) + 1);
	return ret;
}

static int put_init(struct transcode *c, struct err *err)
{
	struct buf init = { 0 };
	int ret = title_put_init(&c->title, &c->video, &c->audio, &init, err);

	if (!ret)
		ret = put(c, &(struct iovec){ init.data, init.size }, 1, err);
	buf_finish(&init);
	return ret;
}

static int run(struct transcode *c, struct err *err)
{
	int ret;

	c->video = c->title.record_video;
	c->audio = c->title.record_audio;
	c->audio.source_end = INT64_MAX;
	c->end_ticks = INT64_MAX;
	c->max_pts = INT64_MIN;
	c->is_video_over = !c->video.is_present;
	c->is_audio_over = !c->audio.is_present;
	fragments_init(&c->f, &c->video, &c->audio, 0);
	if (c->video.is_present)
		set_delay(c);
	ret = find_place(c, err);
	if (!ret && c->audio.is_present)
		ret = open_audio(c, err);
	if (!ret)
		ret = put_init(c, err);
	if (!ret)
		ret = pass(c, err);
	c->stats->broken_video = c->f.broken;
	if (c->has_video_feed) {
		c->stats->broken_video += video_feed_broken(&c->video_feed);
		video_feed_finish(&c->video_feed);
	}
	if (c->has_feed) {
		c->stats->broken_audio = audio_stage_broken_packets(c->feed.stage);
		audio_feed_finish(&c->feed);
	}
	fragments_finish(&c->f);
	return ret;
}

int transcode_run(struct demux *demux, const struct transcode_request *request, const struct transcode_out *out,
		  struct transcode_stats *stats, struct err *err)
{
	struct transcode c = { .demux = demux, .request = request, .out = out, .stats = stats };
	int ret;

	*stats = (struct transcode_stats){ 0 };
	ret = title_init(&c.title, demux, &request->options, err);
	if (ret)
		return ret;
	ret = run(&c, err);
	title_finish(&c.title);
	return ret;
}
