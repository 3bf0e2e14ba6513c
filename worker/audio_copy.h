/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Facts of an audio track whose packets pass through: AAC always, other codecs on request.
 */
#ifndef SEGFARM_WORKER_AUDIO_COPY_H
#define SEGFARM_WORKER_AUDIO_COPY_H

#include "worker/audio.h"
#include "worker/audio_codec.h"

/* f is empty. ERR_UNSUPPORTED, ERR_DATA: why this track cannot be copied exactly; what was put into f->config stays. */
int audio_copy_facts(struct audio_facts *f, const struct audio_codec *codec, const struct track *track,
		     const struct bytes *first, int n_first, struct err *err);
/* Samples of an Opus packet; 0: broken. RFC 6716 section 3.1. */
int64_t audio_copy_opus_samples(struct bytes packet);
/* Samples of a FLAC frame; 0: broken. RFC 9639 section 9.1. */
int64_t audio_copy_flac_samples(struct bytes frame);

#endif
