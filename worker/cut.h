/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cut: decode times of a segment's video and its fragments. Pure.
 */
#ifndef SEGFARM_WORKER_CUT_H
#define SEGFARM_WORKER_CUT_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

#define CUT_FRAGMENT_TICKS 180000 /* 2 s */

/* n presentation times (ticks, decode order) of the frames of [start, end) -> n + 1 decode times: dts[0] = start, dts[n] = end,
 * rising strictly. dts[i] is the i-th smallest pts, but never so late that pts[i] + delay - dts[i] is negative. Times outside
 * [start, end) are brought in. Needs end - start >= n. ERR_NOMEM, ERR_DATA. */
int cut_decode_times(const int64_t *pts, size_t n, int64_t start, int64_t end, int64_t delay, int64_t *dts, struct err *err);

/* The least delay for which every dts[i] is the i-th smallest pts: max over i of that minus pts[i]. sorted: scratch of n. */
int64_t cut_delay(const int64_t *pts, size_t n, int64_t *sorted);

/* Where the fragment that begins at sample `first` ends: the first i > first with times[i] >= times[first] + CUT_FRAGMENT_TICKS,
 * else n. */
size_t cut_fragment(const int64_t *times, size_t n, size_t first);

#endif
