/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Grid: the exact times of frames of constant rate, of which a container only kept roundings (to a millisecond). Pure.
 */
#ifndef SEGFARM_WORKER_GRID_H
#define SEGFARM_WORKER_GRID_H

#include "common/record.h"

#include <stddef.h>

/* Half of what timestamps are rounded to, and never over half a millisecond. */
int64_t grid_within(int64_t timestamp_scale_ns);

/* The time (ns, as in the file) of one frame of a grid of num/den frames per second on which all n times lie, each within_ns off at
 * most. False: there is no such grid, or frames are nearer to each other than their roundings. */
bool grid_find(const int64_t *times_ns, size_t n, int64_t num, int64_t den, int64_t within_ns, int64_t *grid_ns);

/* The frame's exact time; as written when the track has no grid or it lies off it. */
int64_t grid_snap(const struct record_video *video, int64_t time_ns);

#endif
