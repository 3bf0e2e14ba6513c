/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * H.264 encoders of libavcodec: those of hardware, each told in its own words what all of them shall do. Constant quality near
 * the rate factor that was asked for, IDR pictures where they are asked for, no B-frames (what comes out is in the order of what
 * went in), parameter sets beside the samples. Frames go in from system memory, or are put into the device's where it takes no
 * others.
 */
#include "worker/video_encoder_internal.h"

#include "common/timeline.h"
#include "worker/nal_internal.h"

#include <libavcodec/avcodec.h>
#include <libavutil/hwcontext.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Put before a name, for tests: libavcodec's libx264, which is everywhere, as an encoder like any other, by frames of either
 * format. */
#define LAVC_PREFIX "lavc_"
#define NV12_PREFIX "nv12_"
#define PREFIX_SIZE 5
#define GOP_MAX 250              /* frames, as libx264's */
#define SURFACES 32              /* frames in the device's memory */
#define BITS_PER_100_PIXELS 10   /* of an encoder that knows no constant quality */

struct av {
	AVCodecContext *ctx;
	AVBufferRef *device; /* NULL: frames stay in system memory */
	enum AVPixelFormat format; /* of frames in system memory: yuv420p or nv12 */
	AVPacket *packet;
	struct buf sets, sample;
	video_stage_fn *fn;
	void *arg;
	int n_frames;
};

/* ---- setup */

static int fail(struct err *err, const char *what, int av)
{
	return err_set(err, av == AVERROR(ENOMEM) ? ERR_NOMEM : ERR_UNSUPPORTED, "%s: %s", what, av_err2str(av));
}

static int unknown(const char *name, struct err *err)
{
	char names[200] = "";
	const AVCodec *c;
	void *at = NULL;

	while ((c = av_codec_iterate(&at)))
		if (av_codec_is_encoder(c) && c->id == AV_CODEC_ID_H264 &&
		    strncmp(c->name, RECORD_SOFTWARE, strlen(RECORD_SOFTWARE)))
			snprintf(names + strlen(names), sizeof names - strlen(names), ", %s", c->name);
	return err_set(err, ERR_USAGE, "libavcodec has no H.264 encoder '%s' here: --encoder takes auto, libx264%s", name, names);
}

static const AVCodec *find(const char *name)
{
	bool has_prefix = !strncmp(name, LAVC_PREFIX, PREFIX_SIZE) || !strncmp(name, NV12_PREFIX, PREFIX_SIZE);
	const AVCodec *codec = avcodec_find_encoder_by_name(has_prefix ? name + PREFIX_SIZE : name);

	return codec && codec->id == AV_CODEC_ID_H264 ? codec : NULL;
}

static bool has_format(const AVCodec *codec, enum AVPixelFormat format)
{
	for (const enum AVPixelFormat *f = codec->pix_fmts; f && *f != AV_PIX_FMT_NONE; f++)
		if (*f == format)
			return true;
	return !codec->pix_fmts && format == AV_PIX_FMT_YUV420P;
}

/* The format of the device whose memory it wants its frames in. */
static const AVCodecHWConfig *find_device(const AVCodec *codec)
{
	const AVCodecHWConfig *config;

	for (int i = 0; (config = avcodec_get_hw_config(codec, i)); i++)
		if (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_FRAMES_CTX)
			return config;
	return NULL;
}

static int open_device(struct av *e, const AVCodecHWConfig *config, struct err *err)
{
	AVHWFramesContext *frames;
	int ret = av_hwdevice_ctx_create(&e->device, config->device_type, NULL, NULL, 0);

	if (ret < 0)
		return fail(err, "its device cannot be opened", ret);
	e->ctx->hw_frames_ctx = av_hwframe_ctx_alloc(e->device);
	if (!e->ctx->hw_frames_ctx)
		return err_set(err, ERR_NOMEM, "out of memory");
	frames = (void *)e->ctx->hw_frames_ctx->data;
	frames->format = config->pix_fmt;
	frames->sw_format = e->format;
	frames->width = e->ctx->width;
	frames->height = e->ctx->height;
	frames->initial_pool_size = SURFACES;
	e->ctx->pix_fmt = config->pix_fmt;
	ret = av_hwframe_ctx_init(e->ctx->hw_frames_ctx);
	return ret < 0 ? fail(err, "its device gives no memory for frames", ret) : 0;
}

/* Which frames it takes. */
static int set_input(struct av *e, const AVCodec *codec, const char *name, struct err *err)
{
	const AVCodecHWConfig *config;
	bool is_planar = has_format(codec, AV_PIX_FMT_YUV420P) && strncmp(name, NV12_PREFIX, PREFIX_SIZE);

	e->format = is_planar ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_NV12;
	e->ctx->pix_fmt = e->format;
	if (has_format(codec, e->format))
		return 0;
	config = find_device(codec);
	return config ? open_device(e, config, err) : err_set(err, ERR_UNSUPPORTED, "it takes no pictures of 8 bits and 4:2:0");
}

static void set_picture(AVCodecContext *c, const struct record_encode *p)
{
	c->width = p->width;
	c->height = p->height;
	c->sample_aspect_ratio = (AVRational){ p->sar_num, p->sar_den };
	c->color_primaries = (enum AVColorPrimaries)p->primaries;
	c->color_trc = (enum AVColorTransferCharacteristic)p->transfer;
	c->colorspace = (enum AVColorSpace)p->matrix;
	c->color_range = p->is_full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
	c->time_base = (AVRational){ 1, TICKS_PER_SECOND };
	av_reduce(&c->framerate.num, &c->framerate.den, p->rate_num, p->rate_den, INT32_MAX);
}

/* Each has its own name for constant quality. Where that is libavcodec's general one, a rate beside it decides on another mode: it
 * is given only where it was asked for. */
static void set_rate(AVCodecContext *c, const struct record_encode *p, const struct video_options *o)
{
	int64_t most = video_encoder_most_kbits(p, o) * INT64_C(1000);
	int milli = o->crf_milli < 1000 ? 1000 : o->crf_milli; /* 0 is another mode */
	char text[24];

	snprintf(text, sizeof text, "%d.%03d", milli / 1000, milli % 1000);
	c->bit_rate = 0;
	c->rc_max_rate = most;
	if (av_opt_set(c->priv_data, "crf", text, 0) >= 0) {
		;
	} else if (av_opt_set(c->priv_data, "cq", text, 0) >= 0) {
		av_opt_set(c->priv_data, "rc", "vbr", 0);
	} else if (c->pix_fmt != AV_PIX_FMT_YUV420P) {
		c->global_quality = (milli + 500) / 1000;
		c->rc_max_rate = o->max_kbits ? most : 0;
		c->bit_rate = c->rc_max_rate * 3 / 4;
	} else {
		c->bit_rate = timeline_scale_ceil((int64_t)p->width * p->height * p->rate_num, BITS_PER_100_PIXELS,
						  100 * p->rate_den);
		c->bit_rate = c->bit_rate > most ? most : c->bit_rate;
	}
	c->rc_buffer_size = (int)(c->rc_max_rate * VIDEO_BUFFER_SECONDS < INT32_MAX ?
				  c->rc_max_rate * VIDEO_BUFFER_SECONDS : INT32_MAX);
}

/* Names that it does not know are passed over. */
static void set_options(AVCodecContext *c, const struct video_options *o)
{
	static const char *const presets[VIDEO_PRESETS] = { "ultrafast", "superfast", "veryfast", "faster",   "fast",
							    "medium",	 "slow",      "slower",	  "veryslow", "placebo" };
	static const char *const settings[][2] = { { "profile", "high" }, { "forced-idr", "1" }, { "forced_idr", "1" } };

	c->max_b_frames = 0;
	c->gop_size = GOP_MAX;
	c->thread_count = 1;
	c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP;
	av_opt_set(c->priv_data, "preset", presets[o->preset], 0);
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		av_opt_set(c->priv_data, settings[i][0], settings[i][1], 0);
}

/* The SPS and PPS among NAL units, with start codes of 4 bytes. */
static void keep_sets(struct buf *sets, struct bytes nals)
{
	struct nal_walk w = { nals, 0, 0 };
	struct bytes nal;

	while (nal_walk_next(&w, &nal) == 1) {
		int type = nal_type(NAL_H264, nal);

		if (type == H264_SPS || type == H264_PPS) {
			buf_put_u32(sets, 1);
			buf_put(sets, nal.data, nal.size);
		}
	}
}

static int open_codec(struct av *e, const AVCodec *codec, const struct record_encode *p, const struct video_options *o,
		      struct err *err)
{
	int ret;

	set_picture(e->ctx, p);
	ret = set_input(e, codec, p->encoder, err);
	if (ret)
		return ret;
	set_rate(e->ctx, p, o);
	set_options(e->ctx, o);
	ret = avcodec_open2(e->ctx, codec, NULL);
	if (ret < 0)
		return fail(err, "it cannot be opened", ret);
	if (e->ctx->extradata_size > 0)
		keep_sets(&e->sets, (struct bytes){ e->ctx->extradata, (size_t)e->ctx->extradata_size });
	if (buf_failed(&e->sets))
		return err_set(err, ERR_NOMEM, "out of memory");
	return e->sets.size ? 0 : err_set(err, ERR_UNSUPPORTED, "it does not give its parameter sets before the first frame");
}

static void destroy(void *arg)
{
	struct av *e = arg;

	if (!e)
		return;
	avcodec_free_context(&e->ctx);
	av_buffer_unref(&e->device);
	av_packet_free(&e->packet);
	buf_finish(&e->sets);
	buf_finish(&e->sample);
	free(e);
}

static int create(void **out, const struct record_encode *p, const struct video_options *o, video_stage_fn *fn, void *arg,
		  struct err *err)
{
	const AVCodec *codec = find(p->encoder);
	struct av *e;
	int ret;

	*out = NULL;
	if (!codec)
		return unknown(p->encoder, err);
	e = calloc(1, sizeof *e);
	if (!e)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->fn = fn;
	e->arg = arg;
	e->packet = av_packet_alloc();
	e->ctx = avcodec_alloc_context3(codec);
	ret = e->packet && e->ctx ? open_codec(e, codec, p, o, err) : err_set(err, ERR_NOMEM, "out of memory");
	if (ret)
		destroy(e);
	else
		*out = e;
	return ret;
}

/* ---- in */

static void copy_nv12(AVFrame *to, const AVFrame *from)
{
	int width = from->width / 2, height = from->height / 2;

	av_image_copy_plane(to->data[0], to->linesize[0], from->data[0], from->linesize[0], from->width, from->height);
	for (int y = 0; y < height; y++) {
		const uint8_t *u = from->data[1] + (ptrdiff_t)y * from->linesize[1];
		const uint8_t *v = from->data[2] + (ptrdiff_t)y * from->linesize[2];
		uint8_t *uv = to->data[1] + (ptrdiff_t)y * to->linesize[1];

		for (int x = 0; x < width; x++) {
			uv[2 * x] = u[x];
			uv[2 * x + 1] = v[x];
		}
	}
}

static int make_nv12(AVFrame **f, struct err *err)
{
	AVFrame *nv12 = av_frame_alloc();
	int ret = nv12 ? 0 : AVERROR(ENOMEM);

	if (!ret) {
		nv12->format = AV_PIX_FMT_NV12;
		nv12->width = (*f)->width;
		nv12->height = (*f)->height;
		ret = av_frame_get_buffer(nv12, 0);
	}
	if (!ret) {
		copy_nv12(nv12, *f);
		ret = av_frame_copy_props(nv12, *f);
	}
	av_frame_free(f);
	*f = nv12;
	return ret < 0 ? fail(err, "a frame", ret) : 0;
}

static int upload(struct av *e, AVFrame **f, struct err *err)
{
	AVFrame *there = av_frame_alloc();
	int ret = there ? av_hwframe_get_buffer(e->ctx->hw_frames_ctx, there, 0) : AVERROR(ENOMEM);

	if (ret >= 0)
		ret = av_hwframe_transfer_data(there, *f, 0);
	if (ret >= 0)
		ret = av_frame_copy_props(there, *f);
	av_frame_free(f);
	*f = there;
	return ret < 0 ? fail(err, "a frame cannot be put into the device's memory", ret) : 0;
}

/* The frame as the encoder takes it, to be freed, also after an error. */
static int convert(struct av *e, const AVFrame *frame, bool is_idr, AVFrame **f, struct err *err)
{
	int ret = 0;

	*f = av_frame_clone(frame);
	if (!*f)
		return err_set(err, ERR_NOMEM, "out of memory");
	(*f)->format = AV_PIX_FMT_YUV420P; /* yuvj420p is the same, but for a warning: the range stands in ctx */
	(*f)->pict_type = is_idr ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	if (e->format == AV_PIX_FMT_NV12)
		ret = make_nv12(f, err);
	return !ret && e->device ? upload(e, f, err) : ret;
}

/* What a bad driver does, for tests and for whoever wants to see it: SEGFARM_ENCODER_FAULT=fail:N, crash:N or hang:N, in the N-th
 * frame of an encoder, that of a trial included. Off unless it is set. */
static int fault(struct av *e, struct err *err)
{
	const char *text = getenv("SEGFARM_ENCODER_FAULT"), *at = text ? strchr(text, ':') : NULL;

	if (!at || atoi(at + 1) != ++e->n_frames)
		return 0;
	if (!strncmp(text, "crash", 5)) {
		signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
		raise(SIGSEGV);
	}
	while (!strncmp(text, "hang", 4))
		pause();
	return err_set(err, ERR_UNSUPPORTED, "SEGFARM_ENCODER_FAULT is set");
}

/* ---- out */

/* Slices alone. Parameter sets that come with them are to be those that came first. */
static int convert_packet(struct av *e, bool *is_sync, struct err *err)
{
	struct nal_walk w = { { e->packet->data, (size_t)e->packet->size }, 0, 0 };
	struct bytes nal, sets = buf_bytes(&e->sets);
	int more;

	*is_sync = false;
	buf_reset(&e->sample);
	if (!nal_is_annex_b(w.rest))
		return err_set(err, ERR_UNSUPPORTED, "what it makes is not Annex B");
	while ((more = nal_walk_next(&w, &nal)) == 1) {
		int type = nal_type(NAL_H264, nal);

		if ((type == H264_SPS || type == H264_PPS) && !memmem(sets.data, sets.size, nal.data, nal.size))
			return err_set(err, ERR_UNSUPPORTED, "its parameter sets change");
		if (type < H264_SLICE || type > H264_IDR)
			continue;
		*is_sync |= type == H264_IDR;
		buf_put_u32(&e->sample, (uint32_t)nal.size);
		buf_put(&e->sample, nal.data, nal.size);
	}
	if (buf_failed(&e->sample))
		return err_set(err, ERR_NOMEM, "out of memory");
	return more < 0 || !e->sample.size ? err_set(err, ERR_UNSUPPORTED, "a sample of it has no picture") : 0;
}

/* Everything that is ready. Returns libavcodec's reason for there being no more in *av. */
static int receive(struct av *e, int *av, struct err *err)
{
	bool is_sync;
	int ret = 0;

	while (!ret && (*av = avcodec_receive_packet(e->ctx, e->packet)) >= 0) {
		ret = convert_packet(e, &is_sync, err);
		if (!ret)
			ret = e->fn(e->arg, e->packet->pts, is_sync, buf_bytes(&e->sample), err);
		av_packet_unref(e->packet);
	}
	if (!ret && *av != AVERROR(EAGAIN) && *av != AVERROR_EOF)
		ret = fail(err, "encoding", *av);
	return ret;
}

static int send(struct av *e, const AVFrame *frame, struct err *err)
{
	int av = avcodec_send_frame(e->ctx, frame), ret;

	if (av == AVERROR(EAGAIN)) { /* it wants to be rid of samples first */
		ret = receive(e, &av, err);
		if (ret)
			return ret;
		av = avcodec_send_frame(e->ctx, frame);
	}
	return av < 0 ? fail(err, "encoding", av) : receive(e, &av, err);
}

static int push(void *arg, const AVFrame *frame, bool is_idr, struct err *err)
{
	struct av *e = arg;
	AVFrame *f;
	int ret = fault(e, err);

	if (ret)
		return ret;
	ret = convert(e, frame, is_idr, &f, err);
	if (!ret)
		ret = send(e, f, err);
	av_frame_free(&f);
	return ret;
}

static int finish(void *arg, struct err *err)
{
	return send(arg, NULL, err);
}

static int put_sets(void *arg, struct buf *sets, struct err *err)
{
	struct av *e = arg;

	buf_put(sets, e->sets.data, e->sets.size);
	return buf_failed(sets) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

const struct encoder_kind encoder_av = { create, destroy, push, finish, put_sets };
