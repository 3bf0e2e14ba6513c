/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * WebVTT (W3C) from what libavcodec makes of subtitles, which is the text of an ASS event: override tags, of which bold, italics and
 * underlines are kept, and \N for a new line. Pure. The text is anybody's: nothing of it is taken for markup, or ends a cue.
 */
#ifndef SEGFARM_WORKER_VTT_H
#define SEGFARM_WORKER_VTT_H

#include "common/buf.h"

#include <stdint.h>

/* The head of a segment; its cues' times are those of the timeline, in which MPEG-TS' clock begins at 0 (RFC 8216 section 3.5). */
void vtt_put_head(struct buf *out);
/* start, end: ticks, 0 <= start < end; text: a payload of vtt_put_text. */
void vtt_put_cue(struct buf *out, int64_t start, int64_t end, struct bytes text);
/* Appends the payload of a cue: no empty line, tags that are balanced. Nothing where nothing is to be read. */
void vtt_put_text(struct buf *out, const char *ass);

#endif
