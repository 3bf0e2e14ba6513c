/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Matroska codec ids and libavcodec: one table of what is known of each audio codec, and decoders opened for a track.
 */
#ifndef SEGFARM_WORKER_AUDIO_CODEC_H
#define SEGFARM_WORKER_AUDIO_CODEC_H

#include "common/err.h"
#include "worker/track.h"

#include <libavcodec/avcodec.h>

struct audio_codec {
	const char *codec_id;  /* Matroska CodecID, or its beginning when is_prefix */
	bool is_prefix;
	enum AVCodecID id;     /* AV_CODEC_ID_NONE: PCM, by bit depth */
	bool is_counted;       /* packet lengths vary or are shorter than a timestamp's rounding: positions by counting */
	bool is_first_silent;  /* the first packet only fills the decoder: the second one's time is the stream's start */
	int unit;              /* step of packet lengths in samples where it is no packet's own length (Opus: 120); 0: first packet's */
	int warm_packets;      /* decoded and thrown away before the first wanted sample, until the state is the continuous one */
	int warm_ms;           /* the same as time; the larger counts */
};

/* What an error of libav's means: ERR_NOMEM, or `otherwise`. */
static inline int audio_codec_error(int averror, int otherwise)
{
	return averror == AVERROR(ENOMEM) ? ERR_NOMEM : otherwise;
}

/* NULL: not known. */
const struct audio_codec *audio_codec_find(const char *codec_id);
/* Opens a decoder for the track, one thread, deterministic noise. */
int audio_codec_open(AVCodecContext **dec, const struct audio_codec *codec, const struct track *track, struct err *err);
/* Codec parameters for packet lengths and the like; free with avcodec_parameters_free. */
int audio_codec_parameters(AVCodecParameters **par, const struct audio_codec *codec, const struct track *track,
			   struct err *err);

#endif
