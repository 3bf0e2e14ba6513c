/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the ways of encoding share.
 */
#ifndef SEGFARM_WORKER_VIDEO_ENCODER_INTERNAL_H
#define SEGFARM_WORKER_VIDEO_ENCODER_INTERNAL_H

#include "worker/video_encoder.h"

#define VIDEO_BUFFER_SECONDS 2 /* of the VBV */

/* One way of encoding. push and finish as video_encoder's; what goes to fn is as in video.h. An error of fn is handed on. */
struct encoder_kind {
	/* fn may be NULL where nothing will be pushed. */
	int (*create)(void **impl, const struct record_encode *params, const struct video_options *options, video_stage_fn *fn,
		      void *arg, struct err *err);
	void (*destroy)(void *impl); /* takes NULL */
	int (*push)(void *impl, const AVFrame *frame, bool is_idr, struct err *err);
	int (*finish)(void *impl, struct err *err);
	int (*put_sets)(void *impl, struct buf *sets, struct err *err); /* appends SPS and PPS, Annex B */
};
extern const struct encoder_kind encoder_x264; /* libx264, directly */
extern const struct encoder_kind encoder_av;   /* params->encoder, by libavcodec; without B-frames */

/* As video_encoder_create, but params' encoder does it, whatever its parameter sets are, or there is an error. */
int video_encoder_create_strict(struct video_encoder **e, const struct record_encode *params, const struct video_options *options,
				video_stage_fn *fn, void *arg, struct err *err);
int video_encoder_put_sets(struct video_encoder *e, struct buf *sets, struct err *err);

/* The VBV's rate: what was asked for, or far over what the default rate factor needs for film, so that only what is hard is
 * held down. */
int video_encoder_most_kbits(const struct record_encode *params, const struct video_options *options);

#endif
