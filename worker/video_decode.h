/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Video packets to frames with times (libavcodec).
 */
#ifndef SEGFARM_WORKER_VIDEO_DECODE_H
#define SEGFARM_WORKER_VIDEO_DECODE_H

#include "worker/video.h"

#include <libavutil/frame.h>

/* frame->pts: ticks, strictly rising. The frame is the caller's again after the call. 0, or an enum err_code with *err filled. */
typedef int video_frame_fn(void *arg, AVFrame *frame, struct err *err);

struct video_decode;
int video_decode_create(struct video_decode **d, const struct video_source *source, struct err *err);
void video_decode_destroy(struct video_decode *d);
/* NULL: the source is at its end. Gives the frames that have become ready, in the order in which they are shown. */
int video_decode_push(struct video_decode *d, const struct video_packet *packet, video_frame_fn *fn, void *arg, struct err *err);
int64_t video_decode_broken_packets(const struct video_decode *d);

#endif
