/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/timeline.h"

#include "common/err.h"

/* Floor of a / b for b > 0; C rounds toward zero. */
static int64_t div_floor(__int128 a, int64_t b)
{
	ASSERT(b > 0);
	__int128 q = a / b;
	if (a % b < 0)
		q--;
	return (int64_t)q;
}

int64_t timeline_scale_floor(int64_t v, int64_t num, int64_t den)
{
	return div_floor((__int128)v * num, den);
}

int64_t timeline_scale_ceil(int64_t v, int64_t num, int64_t den)
{
	return div_floor((__int128)v * num + den - 1, den);
}

int64_t timeline_scale_round(int64_t v, int64_t num, int64_t den)
{
	/* floor(x + 1/2), also for odd den: x is a multiple of 1/den. */
	return div_floor((__int128)v * num + den / 2, den);
}

int64_t timeline_gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

int64_t timeline_ns_to_ticks(int64_t ns)
{
	return timeline_scale_round(ns, TICKS_PER_SECOND, NS_PER_SECOND);
}

int64_t timeline_ns_to_samples(int64_t ns, int64_t rate)
{
	return timeline_scale_round(ns, rate, NS_PER_SECOND);
}

int64_t timeline_ticks_to_samples(int64_t ticks, int64_t rate)
{
	return timeline_scale_floor(ticks, rate, TICKS_PER_SECOND);
}

int64_t timeline_samples_to_ticks(int64_t samples, int64_t rate)
{
	return timeline_scale_round(samples, TICKS_PER_SECOND, rate);
}
