/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * packet -> decode -> [start, end) and what the encoder wants to see behind it -> filter -> encode -> samples
 */
#include "worker/video.h"

#include "worker/video_decode.h"
#include "worker/video_encoder.h"
#include "worker/video_filter.h"

#include <stdlib.h>

struct video_stage {
	struct video_source source;
	struct record_encode params;
	struct video_options options;
	int64_t start, end;
	video_stage_fn *fn;
	void *arg;
	struct video_decode *decode;
	struct video_filter *filter;
	struct video_encoder *encoder;
	int64_t next_key;      /* a frame from here on becomes IDR */
	int64_t wanted, given; /* frames in [start, end): into the encoder, out of it */
	bool is_done;          /* no more frames are looked at */
};

/* ---- from the end to the beginning */

/* The frame at `end` was only to be looked at: when it is the next one, no more is wanted. */
static int give_sample(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	struct video_stage *s = arg;
	int ret = pts < s->end ? s->fn(s->arg, pts, is_sync, data, err) : 0;

	s->given += pts < s->end;
	return ret ? ret : s->is_done && s->given == s->wanted;
}

static bool is_idr(struct video_stage *s, int64_t pts)
{
	int64_t keyint = s->options.keyint_ticks;

	if (pts >= s->end)
		return true;
	if (pts < s->next_key)
		return false;
	s->next_key = keyint ? s->start + ((pts - s->start) / keyint + 1) * keyint : INT64_MAX;
	return true;
}

/* The frame at `end` is the next segment's first: IDR there as here, so the frames before it are of the types that they have with
 * it. It is the last one the encoder has to see: nothing in front of an IDR picture is predicted from behind it. Rate control, where a cap
 * holds it down, would look further: 0.004 dB. */
static int take_filtered(void *arg, AVFrame *frame, struct err *err)
{
	struct video_stage *s = arg;
	int ret = 0;

	if (s->is_done)
		return 0;
	s->is_done = frame->pts >= s->end;
	s->wanted += !s->is_done;
	if (s->wanted)
		ret = video_encoder_push(s->encoder, frame, is_idr(s, frame->pts), err);
	if (!ret && s->is_done && s->wanted)
		ret = video_encoder_finish(s->encoder, err);
	return ret < 0 ? ret : 0;
}

static int take_decoded(void *arg, AVFrame *frame, struct err *err)
{
	struct video_stage *s = arg;

	if (s->is_done)
		return 0;
	return frame->pts < s->start ? video_filter_pass(s->filter, frame, err) : video_filter_push(s->filter, frame, err);
}

/* ---- public */

int video_stage_create(struct video_stage **out, const struct video_source *source, const struct record_encode *params,
		       const struct video_options *options, int64_t start, int64_t end, video_stage_fn *fn, void *arg,
		       struct err *err)
{
	struct video_stage *s = calloc(1, sizeof *s);
	int ret;

	*out = NULL;
	ASSERT(start < end);
	if (!s)
		return err_set(err, ERR_NOMEM, "out of memory");
	*s = (struct video_stage){ .source = *source, .params = *params, .options = *options, .start = start, .end = end, .fn = fn,
				   .arg = arg, .next_key = INT64_MIN };
	ret = video_decode_create(&s->decode, &s->source, err);
	if (!ret)
		ret = video_filter_create(&s->filter, &s->source, &s->params, take_filtered, s, err);
	if (!ret)
		ret = video_encoder_create(&s->encoder, params, options, give_sample, s, err);
	if (ret)
		video_stage_destroy(s);
	else
		*out = s;
	return ret;
}

void video_stage_destroy(struct video_stage *s)
{
	if (!s)
		return;
	video_encoder_destroy(s->encoder);
	video_filter_destroy(s->filter);
	video_decode_destroy(s->decode);
	free(s);
}

int video_stage_push(struct video_stage *s, const struct video_packet *packet, struct err *err)
{
	int ret = s->is_done ? 0 : video_decode_push(s->decode, packet, take_decoded, s, err);

	return ret ? ret : s->is_done;
}

int video_stage_finish(struct video_stage *s, struct err *err)
{
	int ret = s->is_done ? 0 : video_decode_push(s->decode, NULL, take_decoded, s, err);

	if (!ret && !s->is_done)
		ret = video_filter_finish(s->filter, err);
	if (!ret && !s->is_done)
		ret = video_encoder_finish(s->encoder, err);
	s->is_done = true;
	return ret;
}

int64_t video_stage_broken_packets(const struct video_stage *s)
{
	return video_decode_broken_packets(s->decode);
}
