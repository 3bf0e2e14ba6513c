/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which encoder: libx264, the one that was asked for by name, or the first of those of hardware that works here. Each is tried in a
 * process of its own, so that a driver that crashes or hangs takes nothing along: a few pictures of the title's size. Its answer is
 * remembered in this process.
 */
#ifndef SEGFARM_WORKER_VIDEO_ENCODER_CHOICE_H
#define SEGFARM_WORKER_VIDEO_ENCODER_CHOICE_H

#include "worker/video.h"

/* For options->encoder, fills in encoder, sets and software_id of params. sets: the encoder's parameter sets (Annex B) are
 * appended, nothing where it is libx264. ERR_USAGE: there is none of that name, ERR_UNSUPPORTED: it does not work here; the
 * sentence has the way out. Takes at most some 6 s. */
int video_encoder_choose(struct record_encode *params, const struct video_options *options, struct buf *sets, struct err *err);
/* The same with the first of these names that works, else libx264. */
int video_encoder_choose_among(const char *const *names, int n, struct record_encode *params, const struct video_options *options,
			       struct buf *sets, struct err *err);

/* Before this process shuts itself in: from here on another process of its own, which stays outside, makes its trials. */
int video_encoder_try_apart(struct err *err);
/* Or none is made: every encoder but libx264 does not work here. */
void video_encoder_try_never(void);

/* The process of a trial is `segfarm-worker try-encoder WHAT`. Its exit status: 0, and the parameter sets on stdout; else a
 * sentence. */
#define VIDEO_ENCODER_TRIAL "try-encoder"
int video_encoder_trial_main(const char *what);

#endif
