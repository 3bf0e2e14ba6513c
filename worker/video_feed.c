/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/video_feed.h"

#include "common/timeline.h"
#include "worker/codec.h"
#include "worker/grid.h"

#include <libavutil/mathematics.h>
#include <math.h>
#include <string.h>

#define DISPLAY_RATIO 3

/* DisplayWidth and DisplayHeight against the samples that are stored. */
static void set_sar(struct video_source *s, const struct track *t)
{
	int64_t num = (int64_t)t->display_width * t->height, den = (int64_t)t->display_height * t->width;

	if (num > 0 && den > 0 && t->display_unit <= DISPLAY_RATIO)
		av_reduce(&s->sar_num, &s->sar_den, num, den, UINT16_MAX);
}

int video_feed_source(struct video_source *s, const struct track *t, struct err *err)
{
	const struct track_colour *c = &t->colour;
	AVCodecParameters *par;
	int ret = codec_parameters(&par, t, err);

	*s = (struct video_source){ .rotation = t->rotation, .primaries = 2, .transfer = 2, .matrix = 2 };
	if (ret)
		return ret;
	s->par = par;
	if (c->is_present) {
		s->primaries = c->primaries > 0 ? c->primaries : 2;
		s->transfer = c->transfer > 0 ? c->transfer : 2;
		s->matrix = c->matrix >= 0 ? c->matrix : 2;
		s->range = c->range == 1 || c->range == 2 ? c->range : 0;
	}
	s->max_cll = c->max_cll > 0 && c->max_cll < INT32_MAX ? (int)c->max_cll : 0;
	s->max_luminance = c->luminance_max > 0 && c->luminance_max < 1e6 ? (int)lrint(c->luminance_max) : 0;
	set_sar(s, t);
	return 0;
}

void video_feed_source_finish(struct video_source *s)
{
	AVCodecParameters *par = (AVCodecParameters *)(uintptr_t)s->par;

	avcodec_parameters_free(&par);
	s->par = NULL;
}

void video_feed_options(struct video_options *v, const struct record_options *o)
{
	video_options_init(v);
	v->crf_milli = o->video_crf;
	v->preset = o->video_preset;
	v->max_kbits = o->video_bitrate / 1000;
	v->max_height = o->video_height;
	memcpy(v->encoder, o->video_encoder, sizeof v->encoder);
}

int video_feed_init(struct video_feed *f, struct demux *demux, const struct record_video *video, int64_t origin_ns,
		    const struct record_options *options, bool is_strict, int64_t start, int64_t end, video_stage_fn *fn, void *arg,
		    struct err *err)
{
	const struct track *t = demux_track(demux, (uint64_t)video->track);
	struct video_options v;
	int ret = t ? 0 : err_set(err, ERR_DATA, "the file has no video track %lld", (long long)video->track);

	*f = (struct video_feed){ .demux = demux, .video = video, .origin_ns = origin_ns };
	video_feed_options(&v, options);
	if (!ret)
		ret = video_feed_source(&f->source, t, err);
	f->source.is_strict = is_strict;
	if (!ret)
		ret = video_stage_create(&f->stage, &f->source, &video->encode, &v, start, end, fn, arg, err);
	if (ret)
		video_feed_finish(f);
	return ret;
}

void video_feed_finish(struct video_feed *f)
{
	video_stage_destroy(f->stage);
	video_feed_source_finish(&f->source);
	buf_finish(&f->unpacked);
	memset(f, 0, sizeof *f);
}

int video_feed_push(struct video_feed *f, const struct frame *frame, struct err *err)
{
	struct video_packet p = { .pts = VIDEO_TIME_NONE, .dts = VIDEO_TIME_NONE };
	int ret;

	if (!f->is_begun && (!frame->is_key || frame->lace_index))
		return 0;
	f->is_begun = true;
	ret = demux_data(f->demux, frame, &f->unpacked, &p.data, err);
	f->broken += ret == ERR_DATA;
	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	if (frame->is_timed)
		p.pts = timeline_ns_to_ticks(grid_snap(f->video, frame->time_ns) - f->origin_ns);
	if (frame->decode_ns != FRAME_NO_TIME)
		p.dts = timeline_ns_to_ticks(frame->decode_ns - f->origin_ns);
	p.is_hidden = frame->is_hidden;
	p.duration = timeline_ns_to_ticks(frame->duration_ns);
	return video_stage_push(f->stage, &p, err);
}

int64_t video_feed_broken(const struct video_feed *f)
{
	return f->broken + (f->stage ? video_stage_broken_packets(f->stage) : 0);
}
