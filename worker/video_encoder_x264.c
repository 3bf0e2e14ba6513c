/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libx264, one encoder for each run of frames, so that the runs joined are as good as one continuous encode.
 *
 * With macroblock tree (every preset from veryfast on) the rate factor is a constant, and nothing of what was encoded before
 * matters; but x264 takes the quantizer of the very first picture for that of a P picture, while every later IDR picture
 * gets a finer one, by f_ip_factor. So the first picture is encoded at a rate factor finer by as much, and the others at
 * the one asked for.
 */
#include "worker/video_encoder_internal.h"

#include "common/timeline.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <x264.h>

#define FAST_RATE 40 /* frames per second from which on a picture rate counts as high */

struct x264 {
	x264_t *x264;
	video_stage_fn *fn;
	void *arg;
	float crf;            /* of all pictures but the first */
	bool is_first_given;
};

/* ---- settings */

static int usual_kbits(const struct record_encode *p)
{
	static const struct {
		int pixels, kbits;
	} table[] = {
		{ 426 * 240, 1000 },   { 640 * 360, 2500 },    { 854 * 480, 5000 },	{ 1280 * 720, 10000 },
		{ 1920 * 1088, 20000 }, { 2560 * 1440, 32000 }, { 4096 * 2304, 60000 }, { INT32_MAX, 120000 },
	};
	size_t i = 0;

	while (p->width * p->height > table[i].pixels)
		i++;
	return p->rate_num > FAST_RATE * p->rate_den ? table[i].kbits * 3 / 2 : table[i].kbits;
}

int video_encoder_most_kbits(const struct record_encode *p, const struct video_options *o)
{
	return o->max_kbits ? o->max_kbits : usual_kbits(p);
}

static void set_picture(x264_param_t *x, const struct record_encode *p)
{
	x->i_width = p->width;
	x->i_height = p->height;
	x->i_csp = X264_CSP_I420;
	x->i_bitdepth = 8;
	x->vui.i_sar_width = p->sar_num;
	x->vui.i_sar_height = p->sar_den;
	x->vui.b_fullrange = p->is_full_range;
	x->vui.i_colorprim = p->primaries;
	x->vui.i_transfer = p->transfer;
	x->vui.i_colmatrix = p->matrix;
	x->b_vfr_input = 1;
	x->i_timebase_num = 1;
	x->i_timebase_den = TICKS_PER_SECOND;
	x->i_fps_num = (uint32_t)p->rate_num;
	x->i_fps_den = (uint32_t)p->rate_den;
}

static void set_threads(x264_param_t *x)
{
	x->i_threads = 1;
	x->i_lookahead_threads = 1;
	x->i_sync_lookahead = 0;
	x->b_sliced_threads = 0;
	x->b_cpu_independent = 1; /* the same bytes on another machine */
}

static int set_all(x264_param_t *x, const struct record_encode *p, const struct video_options *o, struct err *err)
{
	if (o->preset < 0 || o->preset >= VIDEO_PRESETS || x264_param_default_preset(x, x264_preset_names[o->preset], NULL) < 0)
		return err_set(err, ERR_USAGE, "there is no preset %d of x264", o->preset);
	set_picture(x, p);
	set_threads(x);
	x->i_log_level = X264_LOG_NONE;
	x->b_repeat_headers = 0;
	x->b_annexb = 0;
	x->b_aud = 0;
	x->b_open_gop = 0;
	x->b_stitchable = 1;
	x->i_sps_id = p->software_id; /* of the PPS as well */
	x->rc.i_rc_method = X264_RC_CRF;
	x->rc.f_rf_constant = (float)o->crf_milli / 1000;
	x->rc.i_vbv_max_bitrate = video_encoder_most_kbits(p, o);
	x->rc.i_vbv_buffer_size = x->rc.i_vbv_max_bitrate * VIDEO_BUFFER_SECONDS;
	return x264_param_apply_profile(x, "high") < 0 ? err_set(err, ERR_USAGE, "x264 cannot encode at rate factor %d.%03d",
								 o->crf_milli / 1000, o->crf_milli % 1000) : 0;
}

/* ---- the kind */

static void destroy(void *arg)
{
	struct x264 *e = arg;

	if (!e)
		return;
	if (e->x264)
		x264_encoder_close(e->x264);
	free(e);
}

static int create(void **out, const struct record_encode *params, const struct video_options *options, video_stage_fn *fn,
		  void *arg, struct err *err)
{
	struct x264 *e = calloc(1, sizeof *e);
	x264_param_t x;
	int ret;

	*out = NULL;
	if (!e)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->fn = fn;
	e->arg = arg;
	ret = set_all(&x, params, options, err);
	if (!ret) {
		e->crf = x.rc.f_rf_constant;
		if (x.rc.b_mb_tree)
			x.rc.f_rf_constant -= 6 * log2f(x.rc.f_ip_factor);
		e->x264 = x264_encoder_open(&x);
		x264_param_cleanup(&x);
		if (!e->x264)
			ret = err_set(err, ERR_UNSUPPORTED, "x264 cannot encode pictures of %dx%d", params->width, params->height);
	}
	if (ret)
		destroy(e);
	else
		*out = e;
	return ret;
}

/* The first sample is out: what is encoded next has the rate factor that was asked for. */
static int set_crf(struct x264 *e, struct err *err)
{
	x264_param_t x;

	e->is_first_given = true;
	x264_encoder_parameters(e->x264, &x);
	x.rc.f_rf_constant = e->crf;
	return x264_encoder_reconfig(e->x264, &x) < 0 ? err_set(err, ERR_UNSUPPORTED, "x264 does not take rate factor %g",
								 e->crf) : 0;
}

static int encode(struct x264 *e, x264_picture_t *in, struct err *err)
{
	x264_picture_t out;
	x264_nal_t *nals;
	int n, ret, size = x264_encoder_encode(e->x264, &nals, &n, in, &out);

	if (size < 0)
		return err_set(err, ERR_NOMEM, "x264 cannot encode a picture");
	if (!size)
		return 0;
	ret = e->fn(e->arg, out.i_pts, out.b_keyframe, (struct bytes){ nals[0].p_payload, (size_t)size }, err);
	return ret || e->is_first_given ? ret : set_crf(e, err);
}

static int push(void *arg, const AVFrame *frame, bool is_idr, struct err *err)
{
	x264_picture_t pic;

	x264_picture_init(&pic);
	pic.i_type = is_idr ? X264_TYPE_IDR : X264_TYPE_AUTO;
	pic.i_pts = frame->pts;
	pic.img.i_csp = X264_CSP_I420;
	pic.img.i_plane = 3;
	for (int i = 0; i < 3; i++) {
		pic.img.plane[i] = frame->data[i];
		pic.img.i_stride[i] = frame->linesize[i];
	}
	return encode(arg, &pic, err);
}

static int finish(void *arg, struct err *err)
{
	struct x264 *e = arg;
	int ret = 0;

	while (!ret && x264_encoder_delayed_frames(e->x264) > 0)
		ret = encode(e, NULL, err);
	return ret < 0 ? ret : 0;
}

static int put_sets(void *arg, struct buf *sets, struct err *err)
{
	static const uint8_t start_code[4] = { 0, 0, 0, 1 };
	struct x264 *e = arg;
	x264_nal_t *nals;
	int n = 0;

	if (x264_encoder_headers(e->x264, &nals, &n) < 0)
		n = 0;
	for (int i = 0; i < n; i++)
		if (nals[i].i_type == NAL_SPS || nals[i].i_type == NAL_PPS) {
			buf_put(sets, start_code, sizeof start_code);
			buf_put(sets, nals[i].p_payload + 4, (size_t)nals[i].i_payload - 4);
		}
	return buf_failed(sets) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

const struct encoder_kind encoder_x264 = { create, destroy, push, finish, put_sets };

const char *video_encoder_x264_version(void)
{
	return X264_POINTVER;
}
