/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libavcodec's AAC encoder as a function of position.
 *
 * The encoder never forgets: its psychoacoustic model keeps the thresholds of the latest short blocks, however long ago they
 * were, and lowers its demands for good after a hard frame. So a title is encoded in groups of GROUP frames on the global
 * grid, each by an encoder of its own that starts WARM frames in front of the group (at the latest when its windows and block
 * switching agree with those of the encoder before, so that the overlapping halves fit). A frame's bytes then depend on
 * nothing but its place, in every mode of the encoder.
 */
#include "worker/audio_encoder.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 48
#define WARM 4
#define KEPT (WARM + 6) /* the encoder takes two frames before it gives one */
#define CHANNELS_MAX 8

struct audio_encoder {
	int rate, channels;
	struct record_options options;
	int64_t first, end;  /* frames wanted */
	audio_encoder_fn *fn;
	void *arg;
	/* the group in hand */
	AVCodecContext *ctx;
	int64_t next_in;     /* grid frame to be sent next */
	int64_t next_out;    /* grid frame of the next packet */
	int64_t group_end;   /* its last frame + 1, or end */
	AVFrame *frame;
	AVPacket *packet;
	/* input: the latest KEPT frames, a ring by grid frame: [frame % KEPT][channel][sample] */
	float *history;
	int64_t filling;     /* grid frame being filled */
	int filled;          /* samples it has */
	struct buf silence;
};

/* ---- one group */

static int open_context(AVCodecContext **out, const struct audio_encoder *e, struct err *err)
{
	const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
	AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;

	*out = NULL;
	if (!c)
		return err_set(err, ERR_UNSUPPORTED, "libavcodec has no AAC encoder");
	c->sample_rate = e->rate;
	c->sample_fmt = AV_SAMPLE_FMT_FLTP;
	c->time_base = (AVRational){ 1, e->rate };
	c->thread_count = 1;
	av_channel_layout_default(&c->ch_layout, e->channels);
	/* BITEXACT: else a version string goes into every 250th frame */
	c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
	if (e->options.audio_mode == RECORD_AUDIO_QUALITY) {
		c->flags |= AV_CODEC_FLAG_QSCALE;
		c->global_quality = (int)lrint(e->options.audio_quality * FF_QP2LAMBDA / 1000.0);
	} else {
		c->bit_rate = e->options.audio_bitrate;
	}
	av_opt_set(c->priv_data, "aac_coder", "fast", 0);
	if (avcodec_open2(c, codec, NULL) < 0) {
		avcodec_free_context(&c);
		return err_set(err, ERR_UNSUPPORTED, "no AAC encoding at %d Hz with %d channels", e->rate, e->channels);
	}
	/* a packet covers the frame before it and its own: grid frame n comes out one late */
	ASSERT(c->initial_padding == AUDIO_ENCODER_UNIT && c->frame_size == AUDIO_ENCODER_UNIT);
	*out = c;
	return 0;
}

static float *history_at(const struct audio_encoder *e, int64_t frame, int channel)
{
	return e->history + ((size_t)(frame % KEPT) * (size_t)e->channels + (size_t)channel) * AUDIO_ENCODER_UNIT;
}

/* The group that frame n is in. */
static int start_group(struct audio_encoder *e, int64_t n, struct err *err)
{
	avcodec_free_context(&e->ctx);
	e->next_in = audio_encoder_from(n);
	e->next_out = e->next_in - 1;
	e->group_end = n - n % GROUP + GROUP;
	if (e->group_end > e->end)
		e->group_end = e->end;
	return open_context(&e->ctx, e, err);
}

static int send_frame(struct audio_encoder *e, struct err *err)
{
	ASSERT(e->next_in > e->filling - KEPT);
	if (av_frame_make_writable(e->frame) < 0) /* an encoder may still hold the last one */
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int i = 0; i < e->channels; i++)
		memcpy(e->frame->extended_data[i], history_at(e, e->next_in, i), AUDIO_ENCODER_UNIT * sizeof(float));
	e->frame->pts = e->next_in++ * AUDIO_ENCODER_UNIT;
	return avcodec_send_frame(e->ctx, e->frame) < 0 ? err_set(err, ERR_DATA, "AAC encoding failed") : 0;
}

static int receive_packets(struct audio_encoder *e, struct err *err)
{
	int ret;

	while ((ret = avcodec_receive_packet(e->ctx, e->packet)) >= 0) {
		int64_t n = e->next_out++;
		struct bytes data = { e->packet->data, (size_t)e->packet->size };

		ret = n >= e->first && n < e->group_end && n / GROUP == (e->group_end - 1) / GROUP ? e->fn(e->arg, n, data) : 0;
		av_packet_unref(e->packet);
		if (ret < 0)
			return err_set(err, ret, "out of memory");
	}
	return ret == AVERROR(EAGAIN) ? 0 : err_set(err, ERR_DATA, "AAC encoding failed");
}

/* Everything up to the frame that has just become full. */
static int encode_history(struct audio_encoder *e, struct err *err)
{
	int ret = 0;

	while (!ret && e->next_out < e->end && e->next_in < e->filling) {
		ret = send_frame(e, err);
		if (!ret)
			ret = receive_packets(e, err);
		if (!ret && e->next_out >= e->group_end && e->group_end < e->end)
			ret = start_group(e, e->group_end, err);
	}
	return ret;
}

/* ---- public */

int64_t audio_encoder_from(int64_t first)
{
	int64_t from = first - first % GROUP - WARM;

	return from > 0 ? from : 0;
}

static int create(struct audio_encoder *e, struct err *err)
{
	int ret = start_group(e, e->first, err);

	if (ret)
		return ret;
	e->filling = e->next_in;
	e->history = calloc((size_t)KEPT * (size_t)e->channels, AUDIO_ENCODER_UNIT * sizeof(float));
	e->packet = av_packet_alloc();
	e->frame = av_frame_alloc();
	if (!e->history || !e->frame || !e->packet)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->frame->nb_samples = AUDIO_ENCODER_UNIT;
	e->frame->format = AV_SAMPLE_FMT_FLTP;
	e->frame->sample_rate = e->rate;
	if (av_channel_layout_copy(&e->frame->ch_layout, &e->ctx->ch_layout) < 0 || av_frame_get_buffer(e->frame, 0) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

int audio_encoder_create(struct audio_encoder **out, int rate, int channels, const struct record_options *options, int64_t first,
			 int64_t end, audio_encoder_fn *fn, void *arg, struct err *err)
{
	struct audio_encoder *e = calloc(1, sizeof *e);
	int ret;

	*out = NULL;
	ASSERT(channels >= 1 && channels <= CHANNELS_MAX);
	if (!e)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->rate = rate;
	e->channels = channels;
	e->options = *options;
	e->first = first;
	e->end = end;
	e->fn = fn;
	e->arg = arg;
	ret = create(e, err);
	if (ret) {
		audio_encoder_destroy(e);
		return ret;
	}
	*out = e;
	return 0;
}

static int keep_silence(void *arg, int64_t n, struct bytes data)
{
	struct audio_encoder *e = *(struct audio_encoder **)arg;

	(void)n;
	buf_reset(&e->silence);
	buf_put(&e->silence, data.data, data.size);
	return buf_failed(&e->silence) ? ERR_NOMEM : 0;
}

int audio_encoder_create_silent(struct audio_encoder **out, int rate, int channels, struct err *err)
{
	static float zero[AUDIO_ENCODER_UNIT];
	float *planes[CHANNELS_MAX] = { zero, zero, zero, zero, zero, zero, zero, zero };
	struct record_options o;
	int ret = 0;

	record_options_init(&o);
	if (audio_encoder_create(out, rate, channels, &o, 0, 4, keep_silence, out, err)) {
		*out = calloc(1, sizeof **out);
		return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory");
	}
	for (int i = 0; i < 8 && !ret; i++)
		ret = audio_encoder_push(*out, planes, AUDIO_ENCODER_UNIT, err);
	return ret;
}

void audio_encoder_destroy(struct audio_encoder *e)
{
	if (!e)
		return;
	avcodec_free_context(&e->ctx);
	av_packet_free(&e->packet);
	av_frame_free(&e->frame);
	free(e->history);
	buf_finish(&e->silence);
	free(e);
}

int audio_encoder_push(struct audio_encoder *e, float *const *planes, int n, struct err *err)
{
	int at = 0, ret = 0;

	while (at < n && !ret && e->next_out < e->end) {
		int k = AUDIO_ENCODER_UNIT - e->filled;

		if (k > n - at)
			k = n - at;
		for (int c = 0; c < e->channels; c++)
			memcpy(history_at(e, e->filling, c) + e->filled, planes[c] + at, (size_t)k * sizeof(float));
		at += k;
		e->filled += k;
		if (e->filled == AUDIO_ENCODER_UNIT) {
			e->filled = 0;
			e->filling++;
			ret = encode_history(e, err);
		}
	}
	return ret;
}

struct bytes audio_encoder_config(const struct audio_encoder *e)
{
	return (struct bytes){ e->ctx->extradata, (size_t)e->ctx->extradata_size };
}

struct bytes audio_encoder_silence(struct audio_encoder *e)
{
	return buf_bytes(&e->silence);
}
