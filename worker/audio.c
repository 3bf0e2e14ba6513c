/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * packet -> decode -> mix (format and channels, sample by sample) -> rate (only when not 48 kHz) -> AAC encode -> frames
 *
 * Positions: packets and decoded samples at the source's rate; the encoder's input on the output grid.
 */
#include "worker/audio.h"

#include "common/timeline.h"
#include "worker/audio_codec.h"
#include "worker/audio_encoder.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdlib.h>
#include <string.h>

#define RATE_WARM 512       /* source samples in front of the first wanted one: several filter lengths */
#define MIXED_MAX 8 /* channels */
#define CHUNK 4096          /* samples moved at a time */
#define LIMIT_FRAME 1048576 /* samples of one decoded frame */

struct audio_stage {
	const struct record_audio *audio;
	int64_t first, end;         /* wanted frames */
	int64_t given;              /* the next one to be given to fn */
	bool is_done;
	audio_stage_fn *fn;
	void *arg;
	int64_t broken;
	/* decode; all NULL when packets are copied */
	AVCodecContext *dec;
	AVPacket *packet;
	AVFrame *decoded;
	int64_t decode_from;        /* packets ending before it are skipped */
	int64_t cursor;             /* source position of the next sample to go into the chain */
	int64_t until;              /* of the packet in hand: samples from here on are thrown away */
	/* mix and rate */
	SwrContext *mix, *rate;
	AVFrame *mix_format;        /* rate, layout and format that mix was made for */
	float *mixed[MIXED_MAX];
	int64_t rate_skip;          /* samples behind `rate` to throw away up to the encoder's first */
	struct audio_encoder *enc;
	/* copy */
	struct audio_ruler *ruler;
	bool is_silence_known;      /* frames that are missing are made (AAC) */
};

int64_t audio_lead(int source_rate, int rate, int64_t unit, int64_t packet_warm)
{
	int64_t warm = timeline_scale_ceil((AUDIO_ENCODER_WARM + 1) * unit, source_rate, rate);

	/* One period of the rate ratio is at most the source's rate over their common divisor; bounded by CHUNK samples. */
	return warm + (source_rate == rate ? 0 : RATE_WARM + CHUNK) + packet_warm;
}

/* ---- frames out */

static int give_frame(void *arg, int64_t n, struct bytes data, struct err *err)
{
	struct audio_stage *s = arg;

	ASSERT(n == s->given);
	s->given++;
	s->is_done = s->given == s->end;
	return s->fn(s->arg, n, s->audio->unit, data, err);
}

/* ---- rate and encode */

static int encode(struct audio_stage *s, float **planes, int n, struct err *err)
{
	float *at[MIXED_MAX];
	int64_t skip = s->rate_skip < n ? s->rate_skip : n;

	s->rate_skip -= skip;
	for (int c = 0; c < s->audio->channels; c++)
		at[c] = planes[c] + skip;
	return audio_encoder_push(s->enc, at, n - (int)skip, err);
}

static int put_mixed(struct audio_stage *s, int n, struct err *err)
{
	float *out[MIXED_MAX], *store;
	int room, got, ret;

	s->cursor += n;
	if (!s->rate)
		return encode(s, s->mixed, n, err);
	room = swr_get_out_samples(s->rate, n);
	store = calloc((size_t)(room + 1) * (size_t)s->audio->channels, sizeof *store);
	if (!store)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int c = 0; c < s->audio->channels; c++)
		out[c] = store + (size_t)c * (size_t)room;
	got = swr_convert(s->rate, (uint8_t **)out, room, (const uint8_t **)(void *)s->mixed, n);
	ret = got < 0 ? err_set(err, codec_error(got, ERR_DATA), "resampling failed") : encode(s, out, got, err);
	free(store);
	return ret;
}

static int put_silence(struct audio_stage *s, int64_t n, struct err *err)
{
	int ret = 0;

	while (n > 0 && !ret && !s->is_done) {
		int k = n < CHUNK ? (int)n : CHUNK;

		for (int c = 0; c < s->audio->channels; c++)
			memset(s->mixed[c], 0, (size_t)k * sizeof(float));
		ret = put_mixed(s, k, err);
		n -= k;
	}
	return ret;
}

/* ---- mix */

static int open_swr(SwrContext **swr, const AVFrame *in, int rate, int channels, struct err *err)
{
	AVChannelLayout from = { 0 }, to = { 0 };
	int ret;

	swr_free(swr);
	av_channel_layout_default(&to, channels);
	if (in->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
		av_channel_layout_default(&from, in->ch_layout.nb_channels);
	else if (av_channel_layout_copy(&from, &in->ch_layout) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	ret = swr_alloc_set_opts2(swr, &to, AV_SAMPLE_FMT_FLTP, rate, &from, in->format, in->sample_rate, 0, NULL);
	if (ret >= 0)
		ret = swr_init(*swr);
	av_channel_layout_uninit(&from);
	return ret < 0 ? err_set(err, codec_error(ret, ERR_UNSUPPORTED), "no way from %d channels to %d",
				 in->ch_layout.nb_channels, channels) : 0;
}

static bool is_same_format(const AVFrame *a, const AVFrame *b)
{
	return a->format == b->format && !av_channel_layout_compare(&a->ch_layout, &b->ch_layout);
}

static int open_mix(struct audio_stage *s, const AVFrame *in, struct err *err)
{
	if (s->mix && is_same_format(s->mix_format, in))
		return 0;
	av_frame_unref(s->mix_format);
	s->mix_format->format = in->format;
	s->mix_format->sample_rate = in->sample_rate;
	if (av_channel_layout_copy(&s->mix_format->ch_layout, &in->ch_layout) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	return open_swr(&s->mix, in, in->sample_rate, s->audio->channels, err);
}

/* Samples [from, from + n) of a decoded frame. */
static int put_samples(struct audio_stage *s, const AVFrame *f, int from, int n, struct err *err)
{
	const uint8_t *in[AV_NUM_DATA_POINTERS * 8];
	int is_planar = av_sample_fmt_is_planar(f->format), width = av_get_bytes_per_sample(f->format);
	int planes = is_planar ? f->ch_layout.nb_channels : 1, ret = open_mix(s, f, err);

	if (ret)
		return ret;
	if (planes > (int)(sizeof in / sizeof *in))
		return err_set(err, ERR_LIMIT, "%d audio channels are too many", planes);
	while (n > 0 && !ret && !s->is_done) {
		int k = n < CHUNK ? n : CHUNK;

		for (int c = 0; c < planes; c++)
			in[c] = f->extended_data[c] +
				(size_t)from * (size_t)width * (size_t)(is_planar ? 1 : f->ch_layout.nb_channels);
		if (swr_convert(s->mix, (uint8_t **)s->mixed, k, in, k) != k)
			return err_set(err, ERR_DATA, "audio conversion failed");
		ret = put_mixed(s, k, err);
		from += k;
		n -= k;
	}
	return ret;
}

/* Puts a decoded frame at its position: what lies before the cursor is dropped, a hole is filled. */
static int put_frame(struct audio_stage *s, const AVFrame *f, int64_t pos, struct err *err)
{
	int64_t end = pos + f->nb_samples;
	int ret = 0;

	if (end > s->until)
		end = s->until;
	if (f->sample_rate != s->audio->source_rate || f->nb_samples > LIMIT_FRAME) {
		s->broken++;
		return 0;
	}
	if (end > s->audio->source_end)
		end = s->audio->source_end;
	if (end <= s->cursor)
		return 0;
	if (pos > s->cursor)
		ret = put_silence(s, pos - s->cursor, err);
	if (ret || s->is_done)
		return ret;
	return put_samples(s, f, (int)(s->cursor - pos), (int)(end - s->cursor), err);
}

/* ---- decode */

static int decode(struct audio_stage *s, int64_t pos, struct bytes in, struct err *err)
{
	int ret;

	if (in.size > INT32_MAX / 2 || av_new_packet(s->packet, (int)in.size) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(s->packet->data, in.data, in.size);
	s->packet->pts = s->packet->dts = pos;
	ret = avcodec_send_packet(s->dec, s->packet);
	av_packet_unref(s->packet);
	if (ret < 0 && ret != AVERROR(ENOMEM))
		s->broken++;
	while (ret != AVERROR(ENOMEM) && (ret = avcodec_receive_frame(s->dec, s->decoded)) >= 0) {
		int64_t at = s->decoded->pts != AV_NOPTS_VALUE ? s->decoded->pts : pos;

		pos = at + s->decoded->nb_samples;
		ret = put_frame(s, s->decoded, at, err);
		av_frame_unref(s->decoded);
		if (ret)
			return ret;
	}
	if (ret == AVERROR(ENOMEM)) /* the packet is not broken: the same one will decode elsewhere */
		return err_set(err, ERR_NOMEM, "out of memory");
	if (ret != AVERROR(EAGAIN) && ret != AVERROR_EOF)
		s->broken++;
	return 0;
}

/* ---- copy */

/* A hole in front of frame n: frames of silence; empty ones where the frame before just lasts on. */
static int fill_hole(struct audio_stage *s, int64_t n, struct err *err)
{
	struct bytes silence = { NULL, 0 };

	if (n > s->end)
		n = s->end;
	if (s->given >= n)
		return 0;
	if (s->is_silence_known) {
		if (!s->enc && audio_encoder_create_silent(&s->enc, s->audio->rate, s->audio->channels, err))
			return err->code;
		silence = audio_encoder_silence(s->enc);
	}
	while (s->given < n)
		if (give_frame(s, s->given, silence, err))
			return err->code;
	return 0;
}

static int copy_frame(struct audio_stage *s, int64_t n, struct bytes data, struct err *err)
{
	if (n < s->given || n >= s->end) /* an overlap, or not ours */
		return 0;
	if (fill_hole(s, n, err))
		return err->code;
	s->given++;
	s->is_done = s->given == s->end;
	return s->fn(s->arg, n, audio_ruler_samples(s->ruler, data), data, err);
}

static int64_t copy_number(const struct audio_stage *s, int64_t pos)
{
	return timeline_scale_round(pos - s->audio->base, 1, s->audio->unit);
}

/* ---- public */

static int create_decode(struct audio_stage *s, const struct track *track, const struct record_options *options,
			 struct err *err)
{
	const struct record_audio *a = s->audio;
	const struct audio_codec *codec = audio_codec_find(track);
	int64_t g = timeline_gcd(a->source_rate, a->rate), period = a->source_rate / g;
	int64_t from = audio_encoder_from(s->first), packet;
	int ret = codec ? audio_codec_open(&s->dec, track, err)
			: err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", track->codec_id);

	if (ret)
		return ret;
	s->cursor = timeline_scale_floor(from * a->unit, a->source_rate, a->rate) - (a->source_rate == a->rate ? 0 : RATE_WARM);
	s->cursor = s->cursor > 0 ? s->cursor / period * period : 0;
	s->rate_skip = from * a->unit - timeline_scale_floor(s->cursor, a->rate, a->source_rate);
	packet = a->source_unit ? a->source_unit : 1;
	s->decode_from = s->cursor - codec->warm_packets * packet - (int64_t)codec->warm_ms * a->source_rate / 1000;
	if (packet == 1 && s->decode_from == s->cursor) /* PCM: who knows how much of it a packet is */
		s->decode_from = INT64_MIN;
	s->packet = av_packet_alloc();
	s->decoded = av_frame_alloc();
	s->mix_format = av_frame_alloc();
	if (!s->packet || !s->decoded || !s->mix_format)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (a->source_rate != a->rate) {
		AVFrame as = { .format = AV_SAMPLE_FMT_FLTP, .sample_rate = a->source_rate };

		av_channel_layout_default(&as.ch_layout, a->channels);
		ret = open_swr(&s->rate, &as, a->rate, a->channels, err);
	}
	for (int c = 0; c < a->channels && !ret; c++)
		if (!(s->mixed[c] = malloc(CHUNK * sizeof(float))))
			ret = err_set(err, ERR_NOMEM, "out of memory");
	return ret ? ret : audio_encoder_create(&s->enc, a->rate, a->channels, options, s->first, s->end, give_frame, s, err);
}

int audio_stage_create(struct audio_stage **out, const struct track *track, const struct record_audio *audio,
		       const struct record_options *options, int64_t first, int64_t end, audio_stage_fn *fn, void *arg,
		       struct err *err)
{
	struct audio_stage *s = calloc(1, sizeof *s);
	int ret;

	*out = NULL;
	ASSERT(first < end);
	if (!s)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (audio->channels < 1 || audio->channels > MIXED_MAX) {
		free(s);
		return err_set(err, ERR_UNSUPPORTED, "audio of %d channels: %d are the most", audio->channels, MIXED_MAX);
	}
	s->audio = audio;
	s->first = s->given = first;
	s->end = end;
	s->until = INT64_MAX;
	s->fn = fn;
	s->arg = arg;
	s->is_silence_known = codec_id(track) == AV_CODEC_ID_AAC;
	ret = audio->is_copy ? audio_ruler_create(&s->ruler, track, audio->source_unit, err)
			     : create_decode(s, track, options, err);
	if (ret) {
		audio_stage_destroy(s);
		return ret;
	}
	*out = s;
	return 0;
}

void audio_stage_destroy(struct audio_stage *s)
{
	if (!s)
		return;
	avcodec_free_context(&s->dec);
	av_packet_free(&s->packet);
	av_frame_free(&s->decoded);
	av_frame_free(&s->mix_format);
	swr_free(&s->mix);
	swr_free(&s->rate);
	for (int c = 0; c < 8; c++)
		free(s->mixed[c]);
	audio_encoder_destroy(s->enc);
	audio_ruler_destroy(s->ruler);
	free(s);
}

int audio_stage_push(struct audio_stage *s, int64_t pos, int64_t until, struct bytes packet, struct err *err)
{
	int ret = 0;

	if (s->is_done)
		return 1;
	s->until = until;
	if (s->audio->is_copy)
		ret = copy_frame(s, copy_number(s, pos), packet, err);
	else if (pos + (s->audio->source_unit ? s->audio->source_unit : 0) >= s->decode_from)
		ret = decode(s, pos, packet, err);
	return ret < 0 ? ret : s->is_done;
}

int audio_stage_reach(struct audio_stage *s, int64_t pos, struct err *err)
{
	int ret = 0;

	if (s->audio->is_copy)
		ret = fill_hole(s, copy_number(s, pos), err);
	else if (pos > s->cursor)
		ret = put_silence(s, pos - s->cursor, err);
	return ret < 0 ? ret : s->is_done;
}

int64_t audio_stage_position(const struct audio_stage *s)
{
	return s->audio->is_copy ? s->audio->base + s->given * s->audio->unit : s->cursor;
}

int audio_stage_finish(struct audio_stage *s, int64_t end, struct err *err)
{
	int ret = 0;

	s->end = end > s->given ? end : s->given;
	s->is_done = s->given == s->end;
	if (s->audio->is_copy)
		return fill_hole(s, s->end, err);
	audio_encoder_set_end(s->enc, s->end);
	while (!s->is_done && !ret)
		ret = put_silence(s, CHUNK, err);
	return ret;
}

int64_t audio_stage_broken_packets(const struct audio_stage *s)
{
	return s->broken;
}

int64_t audio_frame_position(const struct record_audio *a, int64_t n)
{
	int64_t position = a->base + n * a->unit;

	bool is_cut = a->is_copy && n == a->frames && position > a->source_end && position - a->source_end < a->unit;

	return is_cut ? a->source_end : position;
}
