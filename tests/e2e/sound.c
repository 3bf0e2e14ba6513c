/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/sound.h"

#include "tests/e2e/craft.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 4096 /* samples */
#define LAG_MAX (SOUND_RATE / 4)
#define LIKENESS_MIN 0.7 /* correlation coefficient of two codings of one sound */

void sound_decode(struct sound *s, const char *file)
{
	struct buf pcm;
	char path[512];

	snprintf(path, sizeof path, "%s/sound.f32", sh_scratch());
	free(sh("ffmpeg -nostdin -v error -y -i '%s' -map a:0 -ac 1 -ar %d -f f32le '%s'", file, SOUND_RATE, path));
	craft_load(&pcm, path);
	s->n = (int64_t)(pcm.size / sizeof *s->x);
	s->x = malloc(pcm.size + 1);
	ck_assert_ptr_nonnull(s->x);
	memcpy(s->x, pcm.data, (size_t)s->n * sizeof *s->x);
	buf_finish(&pcm);
	ck_assert_msg(s->n > 0, "%s decodes to no sound", file);
}

void sound_decode_segment(struct sound *s, const struct hls *h, size_t i)
{
	struct buf one = { 0 };
	char path[512];

	snprintf(path, sizeof path, "%s/one.mp4", sh_scratch());
	buf_put(&one, h->init.data, h->init.size);
	buf_put(&one, h->segments[i].file.data, h->segments[i].file.size);
	craft_save(path, buf_bytes(&one));
	buf_finish(&one);
	sound_decode(s, path);
}

void sound_finish(struct sound *s)
{
	free(s->x);
	*s = (struct sound){ 0 };
}

/* Four sums, so that no addition waits for the one before. */
static double dot(const float *a, const float *b)
{
	float sums[4] = { 0 };

	for (int i = 0; i < WINDOW; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += a[i + k] * b[i + k];
	return (double)sums[0] + (double)sums[1] + (double)sums[2] + (double)sums[3];
}

static double square(float v)
{
	return (double)v * (double)v;
}

int64_t sound_lag(const struct sound *a, int64_t a_at, const struct sound *b, int64_t b_at)
{
	int64_t low = a_at - LAG_MAX < 0 ? 0 : a_at - LAG_MAX;
	int64_t high = a_at + LAG_MAX + WINDOW > a->n ? a->n - WINDOW : a_at + LAG_MAX, best = 0;
	double most = 0, energy, at_energy;

	ck_assert_msg(b_at >= 0 && b_at + WINDOW <= b->n && low <= high, "no sound at sample %lld", (long long)b_at);
	energy = dot(b->x + b_at, b->x + b_at);
	at_energy = dot(a->x + low, a->x + low);
	for (int64_t at = low; at <= high; at++) {
		double likeness = dot(a->x + at, b->x + b_at) / sqrt(energy * at_energy + 1e-12);

		if (likeness > most) {
			most = likeness;
			best = a_at - at;
		}
		if (at < high)
			at_energy += square(a->x[at + WINDOW]) - square(a->x[at]);
	}
	ck_assert_msg(most > LIKENESS_MIN, "there is another sound at sample %lld: likeness %.2f", (long long)b_at,
		      most);
	return best;
}

void sound_compare(const struct sound *a, int64_t a_at, const struct sound *b, int64_t b_at, int64_t n, double *signal,
		   double *noise)
{
	ck_assert(a_at >= 0 && a_at + n <= a->n && b_at >= 0 && b_at + n <= b->n);
	for (int64_t i = 0; i < n; i++) {
		double x = (double)a->x[a_at + i], d = (double)b->x[b_at + i] - x;

		*signal += x * x;
		*noise += d * d;
	}
}
