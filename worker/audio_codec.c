/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/audio_codec.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <string.h>

#define LIMIT_RATE 768000
#define LIMIT_CHANNELS 64

/* Warm-up: AC-3, E-AC-3, Vorbis and MPEG audio overlap by one packet; the bit reservoir of layer III reaches back 511 bytes, nine
 * packets of the smallest size; DTS predicts from the last samples of a sub-band; Opus' energy prediction decays slowly;
 * TrueHD starts at a major sync, at most 128 access units apart. */
static const struct audio_codec codecs[] = {
	{ "A_AAC", true, AV_CODEC_ID_AAC, .warm_packets = 4 },
	{ "A_AC3", true, AV_CODEC_ID_AC3, .warm_packets = 2 },
	{ "A_EAC3", false, AV_CODEC_ID_EAC3, .warm_packets = 2 },
	{ "A_DTS", true, AV_CODEC_ID_DTS, .warm_packets = 8 },
	{ "A_TRUEHD", false, AV_CODEC_ID_TRUEHD, .is_counted = true, .warm_packets = 1, .warm_ms = 300 },
	{ "A_MPEG/L3", false, AV_CODEC_ID_MP3, .warm_packets = 12 },
	{ "A_MPEG/L2", false, AV_CODEC_ID_MP2, .warm_packets = 3 },
	{ "A_OPUS", true, AV_CODEC_ID_OPUS, .unit = 120, .warm_packets = 8, .warm_ms = 1000 },
	{ "A_VORBIS", false, AV_CODEC_ID_VORBIS, .is_counted = true, .is_first_silent = true, .warm_packets = 1, .warm_ms = 600 },
	{ "A_FLAC", false, AV_CODEC_ID_FLAC, .unit = 0 },
	{ "A_ALAC", false, AV_CODEC_ID_ALAC, .unit = 0 },
	{ "A_PCM/INT/LIT", false, AV_CODEC_ID_NONE, .is_counted = true },
	{ "A_PCM/INT/BIG", false, AV_CODEC_ID_NONE, .is_counted = true },
	{ "A_PCM/FLOAT/IEEE", false, AV_CODEC_ID_NONE, .is_counted = true },
};

const struct audio_codec *audio_codec_find(const char *codec_id)
{
	for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
		const struct audio_codec *c = &codecs[i];

		if (!strncmp(codec_id, c->codec_id, strlen(c->codec_id)) &&
		    (c->is_prefix || codec_id[strlen(c->codec_id)] == '\0'))
			return c;
	}
	return NULL;
}

static enum AVCodecID pcm_id(const struct track *t)
{
	bool is_big = strstr(t->codec_id, "/BIG") != NULL;

	if (strstr(t->codec_id, "FLOAT"))
		return t->bit_depth == 64 ? AV_CODEC_ID_PCM_F64LE : t->bit_depth == 32 ? AV_CODEC_ID_PCM_F32LE : AV_CODEC_ID_NONE;
	switch (t->bit_depth) {
	case 8:
		return AV_CODEC_ID_PCM_U8;
	case 16:
		return is_big ? AV_CODEC_ID_PCM_S16BE : AV_CODEC_ID_PCM_S16LE;
	case 24:
		return is_big ? AV_CODEC_ID_PCM_S24BE : AV_CODEC_ID_PCM_S24LE;
	case 32:
		return is_big ? AV_CODEC_ID_PCM_S32BE : AV_CODEC_ID_PCM_S32LE;
	default:
		return AV_CODEC_ID_NONE;
	}
}

/* ALAC's private data in Matroska is the magic cookie without its atom header; libavcodec wants the atom. */
static int put_extradata(AVCodecParameters *par, const struct track *t)
{
	static const uint8_t alac_head[12] = { 0, 0, 0, 36, 'a', 'l', 'a', 'c', 0, 0, 0, 0 };
	size_t head = par->codec_id == AV_CODEC_ID_ALAC && t->codec_private.size == 24 ? sizeof alac_head : 0;
	size_t size = t->codec_private.size;

	if (!size)
		return 0;
	par->extradata = av_mallocz(head + size + AV_INPUT_BUFFER_PADDING_SIZE);
	if (!par->extradata)
		return -1;
	memcpy(par->extradata, alac_head, head);
	memcpy(par->extradata + head, t->codec_private.data, size);
	par->extradata_size = (int)(head + size);
	return 0;
}

int audio_codec_parameters(AVCodecParameters **out, const struct audio_codec *codec, const struct track *track,
			   struct err *err)
{
	AVCodecParameters *par;
	double rate = track->rate;

	*out = NULL;
	if (!(rate >= 1 && rate <= LIMIT_RATE) || track->channels < 0 || track->channels > LIMIT_CHANNELS ||
	    track->codec_private.size > 1 << 20)
		return err_set(err, ERR_DATA, "audio track %llu: a sampling rate of %.0f Hz with %d channels is out of range",
			       (unsigned long long)track->number, rate, track->channels);
	par = avcodec_parameters_alloc();
	if (!par)
		return err_set(err, ERR_NOMEM, "out of memory");
	par->codec_type = AVMEDIA_TYPE_AUDIO;
	par->codec_id = codec->id != AV_CODEC_ID_NONE ? codec->id : pcm_id(track);
	par->sample_rate = (int)lrint(rate);
	par->bits_per_coded_sample = track->bit_depth;
	av_channel_layout_default(&par->ch_layout, track->channels ? track->channels : 2);
	par->block_align = codec->id == AV_CODEC_ID_NONE ? track->bit_depth / 8 * track->channels : 0;
	if (par->codec_id == AV_CODEC_ID_NONE) {
		avcodec_parameters_free(&par);
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s with %d bits per sample cannot be decoded", track->codec_id,
			       track->bit_depth);
	}
	if (put_extradata(par, track)) {
		avcodec_parameters_free(&par);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = par;
	return 0;
}

int audio_codec_open(AVCodecContext **out, const struct audio_codec *codec, const struct track *track, struct err *err)
{
	AVCodecParameters *par = NULL;
	AVCodecContext *dec = NULL;
	const AVCodec *lib;
	int ret = audio_codec_parameters(&par, codec, track, err);

	*out = NULL;
	if (ret)
		return ret;
	/* libavcodec's first choice for layer II rounds to 16 bits with a dither that has a memory */
	lib = par->codec_id == AV_CODEC_ID_MP2 ? avcodec_find_decoder_by_name("mp2float") : avcodec_find_decoder(par->codec_id);
	dec = lib ? avcodec_alloc_context3(lib) : NULL;
	if (!dec || avcodec_parameters_to_context(dec, par) < 0) {
		ret = err_set(err, lib ? ERR_NOMEM : ERR_UNSUPPORTED, "no decoder for %s", track->codec_id);
		goto out;
	}
	dec->thread_count = 1;
	dec->pkt_timebase = (AVRational){ 1, dec->sample_rate };
	dec->flags2 |= AV_CODEC_FLAG2_SKIP_MANUAL; /* pre-skip is ours: only the title's start has one */
	if (dec->priv_data)
		av_opt_set(dec->priv_data, "cons_noisegen", "1", 0); /* AC-3, E-AC-3: dither from the packet, not from history */
	ret = avcodec_open2(dec, lib, NULL);
	if (ret < 0) {
		ret = err_set(err, audio_codec_error(ret, ERR_UNSUPPORTED), "the decoder for %s does not take this track's configuration", track->codec_id);
		goto out;
	}
	*out = dec;
	dec = NULL;
out:
	avcodec_free_context(&dec);
	avcodec_parameters_free(&par);
	return ret;
}
