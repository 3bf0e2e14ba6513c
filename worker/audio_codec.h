/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is known of each audio codec, and decoders opened for a track.
 */
#ifndef SEGFARM_WORKER_AUDIO_CODEC_H
#define SEGFARM_WORKER_AUDIO_CODEC_H

#include "worker/codec.h"

struct audio_codec {
	enum AVCodecID id;
	bool is_counted;       /* packet lengths vary or are shorter than a timestamp's rounding: positions by counting */
	bool is_first_silent;  /* the first packet only fills the decoder: the second one's time is the stream's start */
	/* step of packet lengths in samples where it is no packet's own length (Opus: 120); 0: first packet's */
	int unit;
	int warm_packets;      /* decoded and thrown away before the first wanted sample, until the state is the continuous one */
	int warm_ms;           /* the same as time; the larger counts */
};

/* NULL: there is no decoder for the track. */
const struct audio_codec *audio_codec_find(const struct track *track);
/* Opens a decoder for the track, one thread, deterministic noise. */
int audio_codec_open(AVCodecContext **dec, const struct track *track, struct err *err);

#endif
