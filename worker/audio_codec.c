/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/audio_codec.h"

#include <libavutil/opt.h>
#include <string.h>

/* Warm-up: AC-3, E-AC-3, Vorbis and MPEG audio overlap by one packet; the bit reservoir of layer III reaches back 511 bytes, nine
 * packets of the smallest size; DTS predicts from the last samples of a sub-band; Opus' energy prediction decays slowly;
 * TrueHD starts at a major sync, at most 128 access units apart. */
static const struct audio_codec codecs[] = {
	{ AV_CODEC_ID_AAC, .warm_packets = 4 },
	{ AV_CODEC_ID_AAC_LATM, .warm_packets = 4, .warm_ms = 500 }, /* its configuration comes now and then */
	{ AV_CODEC_ID_AC3, .warm_packets = 2 },
	{ AV_CODEC_ID_EAC3, .warm_packets = 2 },
	{ AV_CODEC_ID_DTS, .warm_packets = 8 },
	{ AV_CODEC_ID_TRUEHD, .is_counted = true, .warm_packets = 1, .warm_ms = 300 },
	{ AV_CODEC_ID_MLP, .is_counted = true, .warm_packets = 1, .warm_ms = 300 },
	{ AV_CODEC_ID_MP3, .warm_packets = 12 },
	{ AV_CODEC_ID_MP2, .warm_packets = 3 },
	{ AV_CODEC_ID_OPUS, .unit = 120, .warm_packets = 8, .warm_ms = 1000 },
	{ AV_CODEC_ID_VORBIS, .is_counted = true, .is_first_silent = true, .warm_packets = 1, .warm_ms = 600 },
	{ AV_CODEC_ID_FLAC, .unit = 0 },
	{ AV_CODEC_ID_ALAC, .unit = 0 },
};
static const struct audio_codec pcm = { AV_CODEC_ID_NONE, .is_counted = true };
static const struct audio_codec exact_pcm = { AV_CODEC_ID_NONE, .unit = 1 };
static const struct audio_codec exact_vorbis = {
	AV_CODEC_ID_VORBIS, .unit = 1, .is_first_silent = true, .warm_packets = 1, .warm_ms = 600
};
static const struct audio_codec any = { AV_CODEC_ID_NONE, .warm_packets = 4, .warm_ms = 300 };

const struct audio_codec *audio_codec_find(const struct track *t)
{
	bool is_exact = (double)t->rounding_ns * t->rate < 1e9; /* times tell samples */
	enum AVCodecID id = codec_id(t);

	if (!avcodec_find_decoder(id))
		return NULL;
	if (id == AV_CODEC_ID_VORBIS && is_exact)
		return &exact_vorbis;
	for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
		if (codecs[i].id == id)
			return &codecs[i];
	if (!av_get_exact_bits_per_sample(id))
		return &any;
	return is_exact ? &exact_pcm : &pcm;
}

int audio_codec_open(AVCodecContext **out, const struct track *track, struct err *err)
{
	AVCodecParameters *par = NULL;
	AVCodecContext *dec = NULL;
	const AVCodec *lib;
	int ret = codec_parameters(&par, track, err);

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
		ret = err_set(err, codec_error(ret, ERR_UNSUPPORTED),
			      "the decoder for %s does not take this track's configuration", track->codec_id);
		goto out;
	}
	*out = dec;
	dec = NULL;
out:
	avcodec_free_context(&dec);
	avcodec_parameters_free(&par);
	return ret;
}
