/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames that are in libavcodec's encoder wait here as well until they come out of it: in the order in which they went in, since
 * there are no B-frames. When it fails, they are what libx264 begins with, an IDR picture first.
 */
#include "worker/video_encoder_internal.h"

#include "common/key.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 64 /* frames; an encoder that wants more is taken for stuck */

struct waiting {
	AVFrame *frame;
	bool is_idr;
};

struct video_encoder {
	const struct encoder_kind *kind;
	void *impl;
	struct record_encode params;
	struct video_options options;
	video_stage_fn *fn;
	void *arg;
	bool is_strict;
	bool is_refused; /* fn has ended it: that is no failure of the encoder, but an error of its own, or it has all it wants */
	struct waiting waiting[WAITING_MAX]; /* of encoder_av */
	int n_waiting;
};

void video_options_init(struct video_options *o)
{
	*o = (struct video_options){ .crf_milli = 23000, .preset = 2, .encoder = RECORD_SOFTWARE };
}

/* ---- frames that wait */

static int add_waiting(struct video_encoder *e, const AVFrame *frame, bool is_idr, struct err *err)
{
	AVFrame *held = av_frame_clone(frame);

	if (!held)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->waiting[e->n_waiting++] = (struct waiting){ held, is_idr };
	return 0;
}

static void drop_waiting(struct video_encoder *e)
{
	av_frame_free(&e->waiting[0].frame);
	memmove(e->waiting, e->waiting + 1, (size_t)--e->n_waiting * sizeof *e->waiting);
}

/* ---- */

static int give(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	struct video_encoder *e = arg;
	int ret;

	if (e->kind == &encoder_av) {
		if (!e->n_waiting || e->waiting[0].frame->pts != pts)
			return err_set(err, ERR_UNSUPPORTED, "its frames come out in another order, or some are missing");
		if (e->waiting[0].is_idr && !is_sync)
			return err_set(err, ERR_UNSUPPORTED, "it makes no IDR picture where one is asked for");
		drop_waiting(e);
	}
	ret = e->fn(e->arg, pts, is_sync, data, err);
	e->is_refused = ret != 0;
	return ret;
}

/* After ret: goes on with libx264, if that is what helps. */
static int fall_back(struct video_encoder *e, int ret, struct err *err)
{
	if (e->is_strict || e->is_refused)
		return ret;
	log_warn("encoder failed, its frames are encoded by libx264", "encoder=%s reason=\"%s\"", e->params.encoder, err->msg);
	e->kind->destroy(e->impl);
	e->kind = &encoder_x264;
	ret = e->kind->create(&e->impl, &e->params, &e->options, give, e, err);
	for (; e->n_waiting && !ret; drop_waiting(e))
		ret = e->kind->push(e->impl, e->waiting[0].frame, e->waiting[0].is_idr, err);
	return ret;
}

static int check_sets(struct video_encoder *e, struct err *err)
{
	struct buf sets = { 0 };
	char key[RECORD_KEY_SIZE];
	int ret = e->kind->put_sets(e->impl, &sets, err);

	key_hash(buf_bytes(&sets), key);
	if (!ret && strcmp(key, e->params.sets))
		ret = err_set(err, ERR_UNSUPPORTED, "it is not the one of the init segment: its parameter sets are others");
	buf_finish(&sets);
	return ret;
}

static int create(struct video_encoder **out, const struct record_encode *params, const struct video_options *options,
		  video_stage_fn *fn, void *arg, bool is_strict, struct err *err)
{
	bool is_av = strcmp(params->encoder, RECORD_SOFTWARE);
	struct video_encoder *e = calloc(1, sizeof *e);
	int ret;

	*out = NULL;
	if (!e)
		return err_set(err, ERR_NOMEM, "out of memory");
	*e = (struct video_encoder){ .kind = is_av ? &encoder_av : &encoder_x264, .params = *params, .options = *options, .fn = fn,
				     .arg = arg, .is_strict = is_strict };
	ret = e->kind->create(&e->impl, params, options, give, e, err);
	if (!ret && is_av && !is_strict)
		ret = check_sets(e, err);
	if (ret && is_av)
		ret = fall_back(e, ret, err);
	if (ret)
		video_encoder_destroy(e);
	else
		*out = e;
	return ret;
}

int video_encoder_create_strict(struct video_encoder **e, const struct record_encode *params, const struct video_options *options,
				video_stage_fn *fn, void *arg, struct err *err)
{
	return create(e, params, options, fn, arg, true, err);
}

int video_encoder_put_sets(struct video_encoder *e, struct buf *sets, struct err *err)
{
	return e->kind->put_sets(e->impl, sets, err);
}

/* ---- public */

int video_encoder_create(struct video_encoder **e, const struct record_encode *params, const struct video_options *options,
			 video_stage_fn *fn, void *arg, struct err *err)
{
	return create(e, params, options, fn, arg, false, err);
}

void video_encoder_destroy(struct video_encoder *e)
{
	if (!e)
		return;
	e->kind->destroy(e->impl);
	while (e->n_waiting)
		drop_waiting(e);
	free(e);
}

int video_encoder_push(struct video_encoder *e, const AVFrame *frame, bool is_idr, struct err *err)
{
	int ret = 0;

	if (e->n_waiting == WAITING_MAX)
		ret = fall_back(e, err_set(err, ERR_UNSUPPORTED, "%d frames went into it and none comes out", WAITING_MAX), err);
	if (ret || e->kind == &encoder_x264)
		return ret ? ret : e->kind->push(e->impl, frame, is_idr, err);
	ret = add_waiting(e, frame, is_idr, err);
	if (ret)
		return ret;
	ret = e->kind->push(e->impl, frame, is_idr, err);
	return ret ? fall_back(e, ret, err) : 0;
}

int video_encoder_finish(struct video_encoder *e, struct err *err)
{
	bool is_av = e->kind == &encoder_av;
	int ret = e->kind->finish(e->impl, err);

	if (is_av && !ret && e->n_waiting)
		ret = err_set(err, ERR_UNSUPPORTED, "%d frames did not come out of it", e->n_waiting);
	if (is_av && ret)
		ret = fall_back(e, ret, err);
	if (!ret && is_av && e->kind == &encoder_x264)
		ret = e->kind->finish(e->impl, err);
	return ret < 0 ? ret : 0;
}

/* ---- parameter sets */

/* Both, those of the higher profile first: they are what an avcC record begins with. */
static int join_sets(struct nal_config *nal, struct bytes hard, struct bytes soft, struct err *err)
{
	struct bytes none = { NULL, 0 };
	struct nal_config a, b;
	struct buf sets = { 0 };
	bool is_hard_higher;
	int ret = nal_config_init(&a, NAL_H264, hard, none, err);

	if (ret)
		return ret;
	ret = nal_config_init(&b, NAL_H264, soft, none, err);
	if (!ret) {
		is_hard_higher = a.sps.profile > b.sps.profile;
		buf_put(&sets, is_hard_higher ? hard.data : soft.data, is_hard_higher ? hard.size : soft.size);
		buf_put(&sets, is_hard_higher ? soft.data : hard.data, is_hard_higher ? soft.size : hard.size);
		ret = buf_failed(&sets) ? err_set(err, ERR_NOMEM, "out of memory")
					: nal_config_init(nal, NAL_H264, buf_bytes(&sets), none, err);
		nal->sps.reorder = a.sps.is_reorder_said && a.sps.reorder > b.sps.reorder ? a.sps.reorder : b.sps.reorder;
		nal_config_finish(&b);
	}
	nal_config_finish(&a);
	buf_finish(&sets);
	return ret;
}

int video_encoder_config(struct nal_config *nal, const struct record_encode *params, const struct video_options *options,
			 struct bytes sets, struct err *err)
{
	struct buf soft = { 0 };
	void *x264;
	int ret = encoder_x264.create(&x264, params, options, NULL, NULL, err);

	if (ret)
		return ret;
	ret = encoder_x264.put_sets(x264, &soft, err);
	encoder_x264.destroy(x264);
	if (!ret)
		ret = sets.size ? join_sets(nal, sets, buf_bytes(&soft), err)
				: nal_config_init(nal, NAL_H264, buf_bytes(&soft), (struct bytes){ NULL, 0 }, err);
	buf_finish(&soft);
	return ret;
}
