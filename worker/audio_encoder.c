/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libavcodec's AAC encoder as a function of position.
 *
 * At constant quality it forgets everything within WARM frames, but for one thing: its psychoacoustic model compares the
 * thresholds of short blocks with those of the latest short blocks before, however long ago (pre-echo control). So a frame
 * that may hold short blocks is defined as what an encoder gives that was started WARM frames in front of the frame's group
 * on the grid (groups of `group` frames from frame 0 on), and is encoded again that way. All other frames are the same
 * from wherever the encoder started. Which frames may hold short blocks is read from the first bits of each; with more
 * than two channels not all window sequences can be seen there, and every frame counts as one.
 */
#include "worker/audio_encoder.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WARM 5         /* 4 are enough on all that was tried */
#define AHEAD 4        /* frames that the encoder takes before it gives one, and one to spare */
#define GROUP_STEREO 8
#define GROUP_MORE 48
#define CHANNELS_MAX 8

struct coder {
	AVCodecContext *ctx;
	AVPacket *packet;
	int64_t next; /* grid frame of the next packet */
};

struct audio_encoder {
	int rate, channels;
	struct record_options options;
	int64_t first, end;
	audio_encoder_fn *fn;
	void *arg;
	int group;
	struct coder main;
	AVFrame *frame;
	int filled;               /* samples of the frame being filled */
	int64_t sent;             /* grid frame that is being filled */
	float *history;           /* the latest `kept` frames, ring by grid frame: [frame % kept][channel][sample] */
	int kept;
	/* the group in hand */
	struct buf packets[GROUP_MORE];
	bool is_suspect[GROUP_MORE];
	struct buf silence;
};

/* ---- one run of the encoder */

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
	av_opt_set(c->priv_data, "aac_pns", "0", 0); /* its noise generator remembers every frame before */
	if (avcodec_open2(c, codec, NULL) < 0) {
		avcodec_free_context(&c);
		return err_set(err, ERR_UNSUPPORTED, "no AAC encoding at %d Hz with %d channels", e->rate, e->channels);
	}
	/* a packet covers the frame before it and its own: grid frame n comes out one late */
	ASSERT(c->initial_padding == AUDIO_ENCODER_UNIT && c->frame_size == AUDIO_ENCODER_UNIT);
	*out = c;
	return 0;
}

static int coder_open(struct coder *c, const struct audio_encoder *e, int64_t from, struct err *err)
{
	*c = (struct coder){ .packet = av_packet_alloc(), .next = from - 1 };
	if (!c->packet)
		return err_set(err, ERR_NOMEM, "out of memory");
	return open_context(&c->ctx, e, err);
}

static void coder_close(struct coder *c)
{
	avcodec_free_context(&c->ctx);
	av_packet_free(&c->packet);
}

static float *history_at(const struct audio_encoder *e, int64_t frame, int channel)
{
	return e->history + ((size_t)(frame % e->kept) * (size_t)e->channels + (size_t)channel) * AUDIO_ENCODER_UNIT;
}

/* Sends a frame of the history. */
static int coder_send(struct coder *c, struct audio_encoder *e, int64_t frame, struct err *err)
{
	if (av_frame_make_writable(e->frame) < 0) /* an encoder may still hold the last one */
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int i = 0; i < e->channels; i++)
		memcpy(e->frame->extended_data[i], history_at(e, frame, i), AUDIO_ENCODER_UNIT * sizeof(float));
	e->frame->pts = frame * AUDIO_ENCODER_UNIT;
	return avcodec_send_frame(c->ctx, e->frame) < 0 ? err_set(err, ERR_DATA, "AAC encoding failed") : 0;
}

/* 1 and a packet of grid frame *n, or 0: more input is needed. */
static int coder_receive(struct coder *c, int64_t *n, struct err *err)
{
	int ret = avcodec_receive_packet(c->ctx, c->packet);

	if (ret == AVERROR(EAGAIN))
		return 0;
	if (ret < 0)
		return err_set(err, ERR_DATA, "AAC encoding failed");
	*n = c->next++;
	return 1;
}

/* ---- groups */

/* ISO/IEC 14496-3 table 4.4: id_syn_ele(3) element_instance_tag(4), then for a pair common_window(1), and ics_info: reserved(1)
 * window_sequence(2), without a common window behind global_gain(8). 2 is EIGHT_SHORT. */
static bool may_be_short(const struct audio_encoder *e, const AVPacket *p)
{
	uint32_t head;
	bool is_pair;

	if (e->channels > 2 || p->size < 4)
		return true;
	head = get_u32(p->data);
	is_pair = head >> 29 == 1;
	if (is_pair && !(head >> 24 & 1))
		return true;
	return (is_pair ? head >> 21 & 3 : head >> 14 & 3) == 2;
}

static bool is_wanted(const struct audio_encoder *e, int64_t n)
{
	return n >= e->first && n < e->end;
}

/* Encodes the suspects of the group that begins at frame `start` again, in a run that started WARM frames before it. */
static int redo(struct audio_encoder *e, int64_t start, int64_t last, struct err *err)
{
	int64_t from = start > WARM ? start - WARM : 0, in = from, n;
	struct coder c;
	int ret = coder_open(&c, e, from, err);

	while (!ret && c.next <= last) {
		ASSERT(in < e->sent);
		ret = coder_send(&c, e, in++, err);
		while (!ret && (ret = coder_receive(&c, &n, err)) == 1) {
			struct buf *b = &e->packets[n >= start ? n - start : 0];

			ret = 0;
			if (n >= start && n <= last && e->is_suspect[n - start]) {
				buf_reset(b);
				buf_put(b, c.packet->data, (size_t)c.packet->size);
			}
			av_packet_unref(c.packet);
		}
	}
	coder_close(&c);
	return ret;
}

/* The group that ends with frame `end` (not included) is complete. */
static int flush_group(struct audio_encoder *e, int64_t start, int64_t end, struct err *err)
{
	int64_t last = -1;
	int ret = 0;

	for (int64_t n = start; n < end; n++)
		if (is_wanted(e, n) && e->is_suspect[n - start])
			last = n;
	if (last >= 0)
		ret = redo(e, start, last, err);
	for (int64_t n = start; n < end && !ret; n++)
		if (is_wanted(e, n)) {
			ret = buf_failed(&e->packets[n - start]) ? ERR_NOMEM : e->fn(e->arg, n, buf_bytes(&e->packets[n - start]));
			if (ret)
				err_set(err, ret, "out of memory");
		}
	return ret;
}

static int receive(struct audio_encoder *e, struct err *err)
{
	int64_t n;
	int ret;

	while ((ret = coder_receive(&e->main, &n, err)) == 1) {
		int64_t start = n >= 0 ? n - n % e->group : 0;

		if (n >= 0 && n < e->end) {
			buf_reset(&e->packets[n - start]);
			buf_put(&e->packets[n - start], e->main.packet->data, (size_t)e->main.packet->size);
			e->is_suspect[n - start] = may_be_short(e, e->main.packet);
			if (n + 1 == start + e->group || n + 1 == e->end)
				ret = flush_group(e, start, n + 1, err);
		}
		av_packet_unref(e->main.packet);
		if (ret < 0)
			return ret;
	}
	return ret;
}

/* ---- public */

static int group_of(int channels)
{
	return channels > 2 ? GROUP_MORE : GROUP_STEREO;
}

int64_t audio_encoder_from(int channels, int64_t first)
{
	int64_t from = first - first % group_of(channels) - WARM;

	return from > 0 ? from : 0;
}

static int create(struct audio_encoder *e, struct err *err)
{
	int64_t from = audio_encoder_from(e->channels, e->first);
	int ret = coder_open(&e->main, e, from, err);

	if (ret)
		return ret;
	e->sent = from;
	e->kept = e->group + WARM + AHEAD;
	e->history = calloc((size_t)e->kept * (size_t)e->channels, AUDIO_ENCODER_UNIT * sizeof(float));
	e->frame = av_frame_alloc();
	if (!e->history || !e->frame)
		return err_set(err, ERR_NOMEM, "out of memory");
	e->frame->nb_samples = AUDIO_ENCODER_UNIT;
	e->frame->format = AV_SAMPLE_FMT_FLTP;
	e->frame->sample_rate = e->rate;
	if (av_channel_layout_copy(&e->frame->ch_layout, &e->main.ctx->ch_layout) < 0 || av_frame_get_buffer(e->frame, 0) < 0)
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
	e->group = group_of(channels);
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
	coder_close(&e->main);
	av_frame_free(&e->frame);
	free(e->history);
	for (int i = 0; i < GROUP_MORE; i++)
		buf_finish(&e->packets[i]);
	buf_finish(&e->silence);
	free(e);
}

int audio_encoder_push(struct audio_encoder *e, float *const *planes, int n, struct err *err)
{
	int at = 0, ret = 0;

	while (at < n && !ret && e->main.next < e->end) {
		int k = AUDIO_ENCODER_UNIT - e->filled;

		if (k > n - at)
			k = n - at;
		for (int c = 0; c < e->channels; c++)
			memcpy(history_at(e, e->sent, c) + e->filled, planes[c] + at, (size_t)k * sizeof(float));
		at += k;
		e->filled += k;
		if (e->filled == AUDIO_ENCODER_UNIT) {
			e->filled = 0;
			ret = coder_send(&e->main, e, e->sent++, err);
			if (!ret)
				ret = receive(e, err);
		}
	}
	return ret;
}

struct bytes audio_encoder_config(const struct audio_encoder *e)
{
	return (struct bytes){ e->main.ctx->extradata, (size_t)e->main.ctx->extradata_size };
}

struct bytes audio_encoder_silence(struct audio_encoder *e)
{
	return buf_bytes(&e->silence);
}
