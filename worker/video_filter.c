/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The graph is built for the frames that come and built anew when they change. Deinterlacing looks at the frames before and
 * behind; so the latest frames are kept, and a new graph is first given those: a frame comes out the same wherever the graph
 * was begun. For the same reason bwdif needs no decision about the title: from the first interlaced frame on it is there, and
 * it leaves frames alone that are not interlaced.
 */
#include "worker/video_filter.h"

#include "common/timeline.h"
#include "worker/codec.h"

#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>

#define NEIGHBOURS 2       /* bwdif reads one; what it says of that one is thrown away */
#define REFERENCE_WHITE 100 /* cd/m2 that 1.0 stands for in linear light */

struct video_filter {
	const struct video_source *source;
	const struct record_encode *params;
	video_frame_fn *fn;
	void *arg;
	AVFrame *before[NEIGHBOURS]; /* the latest last */
	AVFrame *out;
	/* NULL, or the graph for frames like this */
	AVFilterGraph *graph;
	AVFilterContext *in, *sink;
	int width, height, format;
	struct video_colour colour;
	int64_t from;          /* what comes out in front of it was only a neighbour */
	bool is_deinterlaced;  /* an interlaced frame was seen */
};

/* ---- what a frame is */

static const AVPixFmtDescriptor *describe(int format)
{
	return av_pix_fmt_desc_get(format);
}

static bool is_rgb(int format)
{
	const AVPixFmtDescriptor *d = describe(format);

	return d && d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL);
}

static bool is_full_range_format(int format)
{
	return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P || format == AV_PIX_FMT_YUVJ444P ||
	       format == AV_PIX_FMT_YUVJ440P || format == AV_PIX_FMT_YUVJ411P;
}

static int or_else(int said, int otherwise)
{
	return said > 0 && said != AVCOL_SPC_UNSPECIFIED ? said : otherwise > 0 ? otherwise : AVCOL_SPC_UNSPECIFIED;
}

struct video_colour video_colour_of(const struct video_source *source, const AVFrame *f)
{
	struct video_colour c = { or_else(f->color_primaries, source->primaries), or_else(f->color_trc, source->transfer),
				  or_else(f->colorspace, source->matrix), is_full_range_format(f->format) };

	if (f->color_range != AVCOL_RANGE_UNSPECIFIED)
		c.is_full_range |= f->color_range == AVCOL_RANGE_JPEG;
	else
		c.is_full_range |= source->range == AVCOL_RANGE_JPEG;
	if (is_rgb(f->format))
		c.is_full_range = false; /* of what is made of it */
	return c;
}

static bool is_like_graph(const struct video_filter *f, const AVFrame *in)
{
	struct video_colour c = video_colour_of(f->source, in);

	return in->width == f->width && in->height == f->height && in->format == f->format && c.primaries == f->colour.primaries &&
	       c.transfer == f->colour.transfer && c.matrix == f->colour.matrix && c.is_full_range == f->colour.is_full_range;
}

static bool is_right_format(const struct video_filter *f, const AVFrame *in)
{
	return (in->format == AV_PIX_FMT_YUV420P || in->format == AV_PIX_FMT_YUVJ420P) &&
	       video_colour_of(f->source, in).is_full_range == f->params->is_full_range;
}

static bool is_right(const struct video_filter *f, const AVFrame *in)
{
	return !f->is_deinterlaced && !f->params->rotation && !f->params->hdr_peak && in->width == f->params->width &&
	       in->height == f->params->height && is_right_format(f, in);
}

/* ---- the graph */

static const char *range_name(bool is_full)
{
	return is_full ? "pc" : "tv";
}

static void put_tone_mapping(const struct video_filter *f, struct buf *b, int width, int height)
{
	const struct video_colour *c = &f->colour;

	buf_printf(b, "zscale=w=%d:h=%d:f=bicubic:tin=%d:pin=%d:min=%d:rin=%s:t=linear:npl=%d,format=gbrpf32le,"
		   "zscale=p=bt709,", width, height, or_else(c->transfer, AVCOL_TRC_SMPTE2084),
		   or_else(c->primaries, AVCOL_PRI_BT2020), or_else(c->matrix, AVCOL_SPC_BT2020_NCL),
		   range_name(c->is_full_range),
		   REFERENCE_WHITE);
	buf_printf(b, "tonemap=tonemap=hable:desat=0:peak=%d.%02d,zscale=t=bt709:m=bt709:r=tv,format=yuv420p,",
		   f->params->hdr_peak / REFERENCE_WHITE, f->params->hdr_peak % REFERENCE_WHITE);
}

static void put_scale(const struct video_filter *f, struct buf *b, int width, int height)
{
	const char *range = range_name(f->params->is_full_range);

	buf_printf(b, "scale=w=%d:h=%d:flags=bicubic+accurate_rnd+full_chroma_int+bitexact:out_range=%s", width, height, range);
	if (is_rgb(f->format))
		buf_printf(b, ":out_color_matrix=%s", f->params->matrix == AVCOL_SPC_BT709 ? "bt709" : "smpte170m");
	else
		buf_printf(b, ":in_range=%s", range_name(f->colour.is_full_range));
	buf_printf(b, ",format=%s,", f->params->is_full_range ? "yuvj420p" : "yuv420p");
}

/* The filters for frames like `in`, which is what f->colour, f->width and so on are of. */
static void put_filters(const struct video_filter *f, struct buf *b, const AVFrame *in)
{
	const struct record_encode *p = f->params;
	bool is_turned = p->rotation == 90 || p->rotation == 270;
	int width = is_turned ? p->height : p->width, height = is_turned ? p->width : p->height;

	if (f->is_deinterlaced)
		buf_printf(b, "bwdif=mode=send_frame:deint=interlaced,");
	if (p->hdr_peak) {
		put_tone_mapping(f, b, width, height);
	} else {
		if ((f->width & ~1) == width && (f->height & ~1) == height) { /* odd: the last column and row go */
			if (f->width != width || f->height != height)
				buf_printf(b, "crop=%d:%d:0:0,", width, height);
		}
		if (!is_right_format(f, in) || (f->width & ~1) != width || (f->height & ~1) != height)
			put_scale(f, b, width, height);
	}
	buf_printf(b, p->rotation == 90    ? "transpose=clock"
		      : p->rotation == 180 ? "vflip,hflip"
		      : p->rotation == 270 ? "transpose=cclock"
					   : "null");
}

static int open_ends(struct video_filter *f)
{
	char args[128];
	int ret;

	snprintf(args, sizeof args, "video_size=%dx%d:pix_fmt=%d:time_base=1/%d:pixel_aspect=1/1", f->width, f->height, f->format,
		 TICKS_PER_SECOND);
	ret = avfilter_graph_create_filter(&f->in, avfilter_get_by_name("buffer"), "in", args, NULL, f->graph);
	return ret < 0 ? ret : avfilter_graph_create_filter(&f->sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL,
							    f->graph);
}

static int open_graph(struct video_filter *f, const char *filters)
{
	AVFilterInOut *outputs = avfilter_inout_alloc(), *inputs = avfilter_inout_alloc();
	int ret = AVERROR(ENOMEM);

	f->graph = avfilter_graph_alloc();
	if (!f->graph || !outputs || !inputs)
		goto out;
	f->graph->nb_threads = 1;
	f->graph->scale_sws_opts = av_strdup("flags=bicubic+accurate_rnd+bitexact");
	ret = open_ends(f);
	if (ret < 0)
		goto out;
	*outputs = (AVFilterInOut){ .name = av_strdup("in"), .filter_ctx = f->in };
	*inputs = (AVFilterInOut){ .name = av_strdup("out"), .filter_ctx = f->sink };
	ret = avfilter_graph_parse_ptr(f->graph, filters, &inputs, &outputs, NULL);
	if (ret >= 0)
		ret = avfilter_graph_config(f->graph, NULL);
out:
	avfilter_inout_free(&outputs);
	avfilter_inout_free(&inputs);
	return ret;
}

/* ---- frames through it */

static int take(struct video_filter *f, struct err *err)
{
	int ret = 0, got;

	while (!ret && (got = av_buffersink_get_frame(f->sink, f->out)) >= 0) {
		f->out->pts = av_rescale_q(f->out->pts, av_buffersink_get_time_base(f->sink), (AVRational){ 1, TICKS_PER_SECOND });
		if (f->out->pts >= f->from)
			ret = f->fn(f->arg, f->out, err);
		av_frame_unref(f->out);
	}
	if (!ret && got != AVERROR(EAGAIN) && got != AVERROR_EOF)
		ret = err_set(err, codec_error(got, ERR_DATA), "a picture of %dx%d cannot be converted", f->width, f->height);
	return ret;
}

static int give(struct video_filter *f, AVFrame *frame, struct err *err)
{
	int ret = av_buffersrc_add_frame_flags(f->in, frame, AV_BUFFERSRC_FLAG_KEEP_REF);

	if (ret < 0)
		return err_set(err, codec_error(ret, ERR_DATA), "a picture of %dx%d cannot be converted", f->width, f->height);
	return take(f, err);
}

/* For frames like `in`, which comes next. */
static int build(struct video_filter *f, const AVFrame *in, struct err *err)
{
	struct buf filters = { 0 };
	const char *text;
	int ret;

	f->width = in->width;
	f->height = in->height;
	f->format = in->format;
	f->colour = video_colour_of(f->source, in);
	f->from = in->pts;
	put_filters(f, &filters, in);
	text = buf_cstr(&filters);
	ret = text ? open_graph(f, text) : AVERROR(ENOMEM);
	if (ret < 0)
		err_set(err, codec_error(ret, ERR_UNSUPPORTED), "pictures of %dx%d in format %s cannot be converted%s",
			f->width, f->height,
			describe(f->format) ? describe(f->format)->name : "?",
			f->params->hdr_peak ? " from HDR (is libzimg there?)" : "");
	buf_finish(&filters);
	for (int i = 0; ret >= 0 && f->is_deinterlaced && i < NEIGHBOURS; i++)
		if (f->before[i]->buf[0] && is_like_graph(f, f->before[i]))
			ret = give(f, f->before[i], err);
	return ret < 0 ? err->code : 0;
}

/* ---- public */

int video_filter_create(struct video_filter **out, const struct video_source *source, const struct record_encode *params,
			video_frame_fn *fn, void *arg, struct err *err)
{
	struct video_filter *f = calloc(1, sizeof *f);

	*out = NULL;
	if (!f)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->source = source;
	f->params = params;
	f->fn = fn;
	f->arg = arg;
	f->out = av_frame_alloc();
	for (int i = 0; i < NEIGHBOURS; i++)
		f->before[i] = av_frame_alloc();
	if (!f->out || !f->before[0] || !f->before[1]) {
		video_filter_destroy(f);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = f;
	return 0;
}

void video_filter_destroy(struct video_filter *f)
{
	if (!f)
		return;
	avfilter_graph_free(&f->graph);
	av_frame_free(&f->out);
	for (int i = 0; i < NEIGHBOURS; i++)
		av_frame_free(&f->before[i]);
	free(f);
}

int video_filter_pass(struct video_filter *f, const AVFrame *frame, struct err *err)
{
	AVFrame *oldest = f->before[0];

	for (int i = 1; i < NEIGHBOURS; i++)
		f->before[i - 1] = f->before[i];
	f->before[NEIGHBOURS - 1] = oldest;
	av_frame_unref(oldest);
	return av_frame_ref(oldest, frame) < 0 ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int video_filter_push(struct video_filter *f, AVFrame *frame, struct err *err)
{
	bool is_new = frame->interlaced_frame && !f->is_deinterlaced;
	int ret = 0;

	f->is_deinterlaced |= frame->interlaced_frame;
	if (f->graph && (is_new || !is_like_graph(f, frame)))
		ret = video_filter_finish(f, err);
	if (!ret && !f->graph && is_right(f, frame)) {
		ret = f->fn(f->arg, frame, err);
	} else if (!ret) {
		ret = f->graph ? 0 : build(f, frame, err);
		if (!ret)
			ret = give(f, frame, err);
	}
	return ret ? ret : video_filter_pass(f, frame, err);
}

int video_filter_finish(struct video_filter *f, struct err *err)
{
	int ret = f->graph ? give(f, NULL, err) : 0;

	avfilter_graph_free(&f->graph);
	return ret;
}
