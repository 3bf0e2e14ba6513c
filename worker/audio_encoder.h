/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * AAC-LC frames on the global grid (libavcodec's encoder).
 */
#ifndef SEGFARM_WORKER_AUDIO_ENCODER_H
#define SEGFARM_WORKER_AUDIO_ENCODER_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"

#define AUDIO_ENCODER_RATE 48000
#define AUDIO_ENCODER_UNIT 1024

/* Frames encoded and thrown away before a frame is right, alignment included. */
#define AUDIO_ENCODER_WARM 50

/* Source samples a job reads in front of its first frame: warm-up of encoder, resampler and decoder (audio.c). */
int64_t audio_lead(int source_rate, int rate, int64_t unit, int64_t packet_warm);

/* n: number of the frame on the grid; data lives during the call. */
typedef int audio_encoder_fn(void *arg, int64_t n, struct bytes data, struct err *err);

struct audio_encoder;
/* The grid frame whose first sample has to be pushed first for frames from `first` on to be right. */
int64_t audio_encoder_from(int64_t first);
/* Gives frames [first, end) to fn, in order. See audio_encoder.c for why their bytes do not depend on first and end. */
int audio_encoder_create(struct audio_encoder **e, int rate, int channels, const struct record_options *options, int64_t first,
			 int64_t end, audio_encoder_fn *fn, void *arg, struct err *err);
/* Only for audio_encoder_silence. Silence is empty where this encoder cannot speak for rate and channels. */
int audio_encoder_create_silent(struct audio_encoder **e, int rate, int channels, struct err *err);
void audio_encoder_destroy(struct audio_encoder *e);
/* Another end than the one it was created with: not in front of what was given already. */
void audio_encoder_set_end(struct audio_encoder *e, int64_t end);
/* Samples beyond 0.95 are clipped; NaN is taken for 0. */
int audio_encoder_push(struct audio_encoder *e, float *const *planes, int n, struct err *err);
/* AudioSpecificConfig; lives as long as the encoder. */
struct bytes audio_encoder_config(const struct audio_encoder *e);
/* One frame that decodes to silence; lives as long as the encoder. */
struct bytes audio_encoder_silence(struct audio_encoder *e);

#endif
