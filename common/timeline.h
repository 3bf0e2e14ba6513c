/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time. Timeline times are int64_t ticks of 1/90000 s; audio is counted in samples; what a file
 * says is in nanoseconds. No floating point. All functions are pure and saturate nowhere: their
 * arguments are within +-TIMELINE_MAX_NS (checked where input enters), so no product overflows
 * (128-bit inside).
 */
#ifndef SEGFARM_COMMON_TIMELINE_H
#define SEGFARM_COMMON_TIMELINE_H

#include <stdint.h>

#define TICKS_PER_SECOND 90000
#define NS_PER_SECOND INT64_C(1000000000)
/* 2,000 hours: far over any title, far under what overflows. */
#define TIMELINE_MAX_NS (INT64_C(2000) * 3600 * NS_PER_SECOND)
#define TIMELINE_MAX_TICKS (INT64_C(2000) * 3600 * TICKS_PER_SECOND)

/* v * num / den, rounded down (toward minus infinity), up, or to nearest (halves up). den > 0. */
int64_t timeline_scale_floor(int64_t v, int64_t num, int64_t den);
int64_t timeline_scale_ceil(int64_t v, int64_t num, int64_t den);
int64_t timeline_scale_round(int64_t v, int64_t num, int64_t den);

/* The greatest common divisor of a and b >= 0; 0 of 0 and 0. */
int64_t timeline_gcd(int64_t a, int64_t b);

int64_t timeline_ns_to_ticks(int64_t ns);                     /* nearest */
int64_t timeline_ns_to_samples(int64_t ns, int64_t rate);     /* nearest */
int64_t timeline_ticks_to_samples(int64_t ticks, int64_t rate); /* floor */
int64_t timeline_samples_to_ticks(int64_t samples, int64_t rate); /* nearest */

#endif
