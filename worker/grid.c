/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/grid.h"

#include "common/timeline.h"

#include <stdlib.h>

#define HALF_MS INT64_C(500000)

int64_t grid_within(int64_t timestamp_scale_ns)
{
	return timestamp_scale_ns < 2 * HALF_MS ? timestamp_scale_ns / 2 : HALF_MS;
}

/* Of the grid's frames (frame 0 at 0) the one nearest to a time. */
static int64_t nearest(int64_t ns, int64_t num, int64_t den)
{
	int64_t k = timeline_scale_round(ns, num, den * NS_PER_SECOND);

	return timeline_scale_round(k, den * NS_PER_SECOND, num);
}

bool grid_find(const int64_t *times_ns, size_t n, int64_t num, int64_t den, int64_t within_ns, int64_t *grid_ns)
{
	int64_t low = INT64_MIN, high = INT64_MAX;

	if (!n || num <= 0 || den <= 0 || den > INT32_MAX || within_ns <= 0 || num > NS_PER_SECOND ||
	    den * NS_PER_SECOND / num <= 4 * within_ns)
		return false;
	/* The first frame's time may be off itself: where the others allow it to be is the grid's place. */
	for (size_t i = 0; i < n; i++) {
		int64_t offset = times_ns[i] - nearest(times_ns[i] - times_ns[0], num, den);

		low = offset - within_ns > low ? offset - within_ns : low;
		high = offset + within_ns < high ? offset + within_ns : high;
	}
	if (low > high)
		return false;
	*grid_ns = low <= times_ns[0] && times_ns[0] <= high ? times_ns[0] : low + (high - low) / 2;
	return true;
}

int64_t grid_snap(const struct record_video *video, int64_t time_ns)
{
	int64_t exact;

	if (!video->grid_within_ns)
		return time_ns;
	exact = video->grid_ns + nearest(time_ns - video->grid_ns, video->rate_num, video->rate_den);
	return llabs(exact - time_ns) <= video->grid_within_ns ? exact : time_ns;
}
