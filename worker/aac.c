/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/aac.h"

#include "worker/audio_codec.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LOUD 0.3f        /* what is quieter in every sample is not checked */
#define NOISE_HEARD 0.3f /* energy of a frame at -35 dB */

struct aac {
	const struct aac_input *in;
	AVCodecContext *enc, *dec;  /* dec: NULL until it is needed */
	bool is_dec_warm;           /* it has decoded the packet before */
	int64_t next_in, next_out;  /* frame to be sent next, number of the next packet */
	AVFrame *frame, *decoded;
	AVPacket *packet;
	struct aac_packet packets[2]; /* [number & 1] */
};

float *aac_input_at(const struct aac_input *in, int64_t frame, int channel)
{
	return in->samples + ((size_t)(frame % in->kept) * (size_t)in->channels + (size_t)channel) * AAC_UNIT;
}

bool aac_is_checked(const struct aac_input *in, int64_t n)
{
	for (int c = 0; c < in->channels; c++) {
		const float *x = aac_input_at(in, n, c);

		for (int i = 0; i < AAC_UNIT; i++)
			if (fabsf(x[i]) > LOUD)
				return true;
	}
	return false;
}

/* ---- encode */

static int open_encoder(struct aac *a, const struct aac_settings *s, struct err *err)
{
	const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
	AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;

	int ret;

	if (!c)
		return err_set(err, codec ? ERR_NOMEM : ERR_UNSUPPORTED, "libavcodec has no AAC encoder");
	c->sample_rate = s->rate;
	c->sample_fmt = AV_SAMPLE_FMT_FLTP;
	c->time_base = (AVRational){ 1, s->rate };
	c->thread_count = 1;
	av_channel_layout_default(&c->ch_layout, s->channels);
	/* BITEXACT: else a version string goes into every 250th frame */
	c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
	if (s->quality) {
		c->flags |= AV_CODEC_FLAG_QSCALE;
		c->global_quality = (int)lrint(s->quality * FF_QP2LAMBDA / 1000.0);
	} else {
		c->bit_rate = s->bitrate;
	}
	av_opt_set(c->priv_data, "aac_coder", s->coder, 0);
	av_opt_set_int(c->priv_data, "aac_pns", 0, 0); /* a decoder's noise has a memory, and the check would hear it */
	ret = avcodec_open2(c, codec, NULL);
	if (ret < 0) {
		avcodec_free_context(&c);
		return err_set(err, codec_error(ret, ERR_UNSUPPORTED), "no AAC encoding at %d Hz with %d channels", s->rate,
			       s->channels);
	}
	/* a packet covers the frame before it and its own: grid frame n comes out one late */
	ASSERT(c->initial_padding == AAC_UNIT && c->frame_size == AAC_UNIT);
	a->enc = c;
	return 0;
}

static int send_frame(struct aac *a, struct err *err)
{
	int ret;

	if (av_frame_make_writable(a->frame) < 0) /* the encoder may still hold the last one */
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int c = 0; c < a->in->channels; c++)
		memcpy(a->frame->extended_data[c], aac_input_at(a->in, a->next_in, c), AAC_UNIT * sizeof(float));
	a->frame->pts = a->next_in++ * AAC_UNIT;
	ret = avcodec_send_frame(a->enc, a->frame);
	return ret < 0 ? err_set(err, codec_error(ret, ERR_DATA), "AAC encoding failed") : 0;
}

static int next_packet(struct aac *a, struct err *err)
{
	int ret;

	while ((ret = avcodec_receive_packet(a->enc, a->packet)) == AVERROR(EAGAIN))
		if (send_frame(a, err))
			return err->code;
	return ret < 0 ? err_set(err, codec_error(ret, ERR_DATA), "AAC encoding failed") : 0;
}

/* ---- check */

static int open_decoder(struct aac *a, struct err *err)
{
	const AVCodec *codec = avcodec_find_decoder_by_name("aac");
	AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;
	size_t size = (size_t)a->enc->extradata_size;

	int ret;

	a->dec = c;
	if (!c || !(c->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE)))
		return err_set(err, codec ? ERR_NOMEM : ERR_UNSUPPORTED, "libavcodec has no AAC decoder");
	memcpy(c->extradata, a->enc->extradata, size);
	c->extradata_size = (int)size;
	c->thread_count = 1;
	ret = avcodec_open2(c, codec, NULL);
	return ret < 0 ? err_set(err, codec_error(ret, ERR_UNSUPPORTED), "libavcodec's AAC decoder does not open") : 0;
}

static float noise_of_channel(const float *x, const float *y)
{
	float signal = 1e-9f, noise = 0;

	for (int i = 0; i < AAC_UNIT; i++) {
		signal += x[i] * x[i];
		noise += (x[i] - y[i]) * (x[i] - y[i]);
	}
	return noise < NOISE_HEARD ? 0 : noise / signal;
}

/* 1: it gives a frame; 0: it does not. Without memory it must not seem to be a bad packet: the frame's bytes would be others. */
static int decode(struct aac *a, const AVPacket *p, struct err *err)
{
	int ret = avcodec_send_packet(a->dec, p);

	if (ret >= 0)
		ret = avcodec_receive_frame(a->dec, a->decoded);
	if (ret == AVERROR(ENOMEM))
		return err_set(err, ERR_NOMEM, "out of memory");
	return ret >= 0 && a->decoded->format == AV_SAMPLE_FMT_FLTP && a->decoded->nb_samples == AAC_UNIT &&
	       a->decoded->ch_layout.nb_channels == a->in->channels;
}

/* Of packet n, in a->packet, behind the one before. */
static int check(struct aac *a, int64_t n, float *noise, struct err *err)
{
	const struct buf *before = &a->packets[(n - 1) & 1].data;
	int ret;

	*noise = 0;
	if (!before->size || !aac_is_checked(a->in, n)) {
		a->is_dec_warm = false;
		return 0;
	}
	if (!a->dec && open_decoder(a, err))
		return err->code;
	if (!a->is_dec_warm) {
		AVPacket p = { .data = before->data, .size = (int)before->size };

		avcodec_flush_buffers(a->dec);
		if (decode(a, &p, err) < 0)
			return err->code;
	}
	ret = decode(a, a->packet, err);
	if (ret < 0)
		return ret;
	a->is_dec_warm = ret;
	for (int c = 0; c < a->in->channels && a->is_dec_warm; c++)
		*noise = fmaxf(*noise, noise_of_channel(aac_input_at(a->in, n, c), (void *)a->decoded->extended_data[c]));
	if (!a->is_dec_warm)
		*noise = INFINITY;
	return 0;
}

/* ---- public */

static int create(struct aac *a, const struct aac_settings *s, struct err *err)
{
	int ret = open_encoder(a, s, err);

	if (ret)
		return ret;
	a->frame = av_frame_alloc();
	a->decoded = av_frame_alloc();
	a->packet = av_packet_alloc();
	if (!a->frame || !a->decoded || !a->packet)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->frame->nb_samples = AAC_UNIT;
	a->frame->format = AV_SAMPLE_FMT_FLTP;
	a->frame->sample_rate = s->rate;
	if (av_channel_layout_copy(&a->frame->ch_layout, &a->enc->ch_layout) < 0 || av_frame_get_buffer(a->frame, 0) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	return 0;
}

int aac_create(struct aac **out, const struct aac_settings *settings, const struct aac_input *in, int64_t from, struct err *err)
{
	struct aac *a = calloc(1, sizeof *a);
	int ret;

	ASSERT(settings->channels >= 1 && settings->channels <= AAC_CHANNELS_MAX && settings->channels == in->channels);
	*out = NULL;
	if (!a)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->in = in;
	a->next_in = from;
	a->next_out = from - 1;
	ret = create(a, settings, err);
	if (ret)
		aac_destroy(a);
	else
		*out = a;
	return ret;
}

void aac_destroy(struct aac *a)
{
	if (!a)
		return;
	avcodec_free_context(&a->enc);
	avcodec_free_context(&a->dec);
	av_frame_free(&a->frame);
	av_frame_free(&a->decoded);
	av_packet_free(&a->packet);
	buf_finish(&a->packets[0].data);
	buf_finish(&a->packets[1].data);
	free(a);
}

int aac_encode(struct aac *a, int64_t n, int64_t check_from, struct err *err)
{
	ASSERT(n >= a->next_out - 1);
	while (a->next_out <= n) {
		int64_t now = a->next_out++;
		struct aac_packet *p = &a->packets[now & 1];
		int ret = next_packet(a, err);

		p->noise = 0;
		if (now < check_from)
			a->is_dec_warm = false;
		else if (!ret)
			ret = check(a, now, &p->noise, err);
		if (ret)
			return ret;
		buf_reset(&p->data);
		buf_put(&p->data, a->packet->data, (size_t)a->packet->size);
		if (buf_failed(&p->data))
			return err_set(err, ERR_NOMEM, "out of memory");
	}
	return 0;
}

const struct aac_packet *aac_packet(const struct aac *a)
{
	return &a->packets[(a->next_out - 1) & 1];
}

const struct aac_packet *aac_packet_before(const struct aac *a)
{
	return &a->packets[a->next_out & 1];
}

struct bytes aac_config(const struct aac *a)
{
	return (struct bytes){ a->enc->extradata, (size_t)a->enc->extradata_size };
}
