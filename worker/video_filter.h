/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decoded frames to frames as they are encoded: upright, progressive, 8 bits 4:2:0, of one size and colour (libavfilter). Frames
 * that are so already pass as they are.
 */
#ifndef SEGFARM_WORKER_VIDEO_FILTER_H
#define SEGFARM_WORKER_VIDEO_FILTER_H

#include "worker/video_decode.h"

struct video_filter;
/* source and params outlive it. */
int video_filter_create(struct video_filter **f, const struct video_source *source, const struct record_encode *params,
			video_frame_fn *fn, void *arg, struct err *err);
void video_filter_destroy(struct video_filter *f);
/* A frame that is not wanted, but whose neighbours will be. */
int video_filter_pass(struct video_filter *f, const AVFrame *frame, struct err *err);
/* Gives what has become ready, with the times of the frames that went in; frame stays as it is. */
int video_filter_push(struct video_filter *f, AVFrame *frame, struct err *err);
int video_filter_finish(struct video_filter *f, struct err *err);

/* The colour code points of a frame, where it says none those of the container, else 2; and whether its range is full. */
struct video_colour {
	int primaries, transfer, matrix;
	bool is_full_range;
};
struct video_colour video_colour_of(const struct video_source *source, const AVFrame *frame);

#endif
