/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames to H.264 samples: by libx264, or by an encoder of libavcodec, which may be one of hardware. That one is not trusted:
 * where it fails, or is not what the plan has been made with, libx264 takes over from the first frame that did not come out of it.
 */
#ifndef SEGFARM_WORKER_VIDEO_ENCODER_H
#define SEGFARM_WORKER_VIDEO_ENCODER_H

#include "worker/video.h"

#include <libavutil/frame.h>

struct video_encoder;
/* fn may return 1: it wants no more samples, those that are left are not made. */
int video_encoder_create(struct video_encoder **e, const struct record_encode *params, const struct video_options *options,
			 video_stage_fn *fn, void *arg, struct err *err);
void video_encoder_destroy(struct video_encoder *e);
/* A frame of params' size, yuv420p or yuvj420p, pts rising. The first one becomes IDR, and those that shall be. 1: fn
 * wants no more. */
int video_encoder_push(struct video_encoder *e, const AVFrame *frame, bool is_idr, struct err *err);
/* No more frames come: the samples that are left, until fn wants no more. */
int video_encoder_finish(struct video_encoder *e, struct err *err);
/* Parameter sets of every encoder of params and options, libx264's among them; to be finished with nal_config_finish. sets: those
 * of params' encoder (Annex B), empty where that is libx264. */
int video_encoder_config(struct nal_config *nal, const struct record_encode *params, const struct video_options *options,
			 struct bytes sets, struct err *err);
/* Which libx264. */
const char *video_encoder_x264_version(void);

#endif
