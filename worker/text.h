/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text: subtitles of one track as cues of WebVTT. What libavcodec decodes to text is taken; pictures are not.
 */
#ifndef SEGFARM_WORKER_TEXT_H
#define SEGFARM_WORKER_TEXT_H

#include "common/buf.h"
#include "common/err.h"
#include "common/timeline.h"
#include "worker/task.h"
#include "worker/track.h"

struct text_decoder;
/* ERR_UNSUPPORTED: no subtitles, or pictures; ERR_DATA, ERR_LIMIT, ERR_NOMEM. */
int text_decoder_create(struct text_decoder **d, const struct track *track, struct err *err);
void text_decoder_destroy(struct text_decoder *d); /* NULL is fine */
/* Appends the payload of a packet's cue (vtt.h). ERR_DATA: it is broken; ERR_LIMIT: too long; ERR_NOMEM. */
int text_decode(struct text_decoder *d, struct bytes packet, struct buf *out, struct err *err);

#define TEXT_SHOWN_TICKS (5 * TICKS_PER_SECOND) /* of a cue that does not say how long: or until the next one */
/* A frame of `size` bytes that only ends the one before it: MP4 has such in between. */
bool text_is_empty(const struct track *track, int64_t size);

/* text_segment.c: the cues that are shown in the segment of a job, whole, also those that began before or go on behind it. */
int text_make(struct task *task, segment_put_fn *put, struct err *err);

#endif
