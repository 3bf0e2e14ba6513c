/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cut: decode times of video, and where fragments end. Pure.
 */
#ifndef SEGFARM_WORKER_CUT_H
#define SEGFARM_WORKER_CUT_H

#include "common/err.h"
#include "common/timeline.h"

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
/* A frame more. cut_order_take has to be called before the next one. */
void cut_order_push(struct cut_order *o, int64_t pts);
/* true: *dts is that of the first frame that had none. is_end: no more frames come. */
bool cut_order_take(struct cut_order *o, bool is_end, int64_t *dts);
/* Is the decode time certain that would come next? */
static inline bool cut_order_is_certain(const struct cut_order *o)
{
	return o->n > o->reorder;
}
/* The last frame that was pushed is none: it has no decode time yet. */
void cut_order_drop_last(struct cut_order *o);

/* Composition delay over which timestamps are taken for garbage. */
#define CUT_DELAY_MAX TICKS_PER_SECOND
/* The delay for a stream of which only the first frames are known (times in decode order): what they need, and `reorder`
 * frames of this duration. */
int64_t cut_delay_ahead(const int64_t *pts, size_t n, int reorder, int64_t duration);

#endif
