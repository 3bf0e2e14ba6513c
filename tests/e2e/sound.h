/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decoded sound: mono, 48 kHz, as ffmpeg plays it.
 */
#ifndef SEGFARM_TESTS_E2E_SOUND_H
#define SEGFARM_TESTS_E2E_SOUND_H

#include "tests/e2e/hls.h"

#include <stdint.h>

#define SOUND_RATE 48000

struct sound {
	float *x;
	int64_t n;
};

/* The first audio track of a file; the decoder's first sample is number 0, whatever its time. */
void sound_decode(struct sound *s, const char *file);
/* The same of init segment + segment i alone: what comes before it is not known to the decoder. */
void sound_decode_segment(struct sound *s, const struct hls *h, size_t i);
void sound_finish(struct sound *s);

/* By how many samples `b` plays late against `a`, of which sample a_at should be heard with sample b_at of b: by
 * cross-correlation of 4096 samples from there, up to a quarter of a second each way. The test fails where they are not
 * alike. */
int64_t sound_lag(const struct sound *a, int64_t a_at, const struct sound *b, int64_t b_at);

/* Energies of a and of the difference of b to it, over n samples; added to what is in them. */
void sound_compare(const struct sound *a, int64_t a_at, const struct sound *b, int64_t b_at, int64_t n, double *signal,
		   double *noise);

#endif
