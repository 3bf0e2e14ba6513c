/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cut: decode times of video, and where fragments end. Pure.
 */
#ifndef SEGFARM_WORKER_CUT_H
#define SEGFARM_WORKER_CUT_H

#include "common/err.h"

#include <stdbool.h>
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

/* Frames of audio in a fragment that has nothing else. */
int64_t cut_audio_frames(int64_t rate, int64_t unit);

/* Decode times of a stream that is not known to its end. The i-th frame gets the i-th smallest time, which is certain once
 * `reorder` frames more have been seen: no more are decoded before one and shown after it. As above, never so late that pts +
 * delay - dts is negative for a frame that was seen; rising strictly, whatever the times are. */
#define CUT_REORDER_MAX 16
struct cut_order {
	int reorder;     /* 0 to CUT_REORDER_MAX */
	int64_t delay;
	int64_t last;    /* the latest decode time */
	int n;           /* frames that have none yet */
	int64_t pts[CUT_REORDER_MAX + 1];    /* theirs, in decode order */
	int64_t sorted[CUT_REORDER_MAX + 1]; /* the smallest times that no frame has got, rising */
};
/* No decode time will be below start. */
void cut_order_init(struct cut_order *o, int reorder, int64_t delay, int64_t start);
/* A frame more; true: *dts is that of the first frame that had none. */
bool cut_order_push(struct cut_order *o, int64_t pts, int64_t *dts);
/* There are no more frames: the same for each one that is left, then false. */
bool cut_order_flush(struct cut_order *o, int64_t *dts);

#endif
