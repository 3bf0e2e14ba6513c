/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plan: decides, once for everybody, where a title is cut. Pure: no I/O, no clock.
 *
 * With video: a segment starts on a sync sample; the next one on the first sync sample whose start is at least the
 * target later. Without: the k-th cut is the first audio frame at or after k times the target; where there are several tracks, a frame
 * of the default one, and the last to end is the end. A tail shorter than PLAN_TAIL_MIN joins the segment before it. Audio frames
 * belong to the segment in whose time they begin, the first segment also has those before it, the last one those behind it.
 */
#ifndef SEGFARM_DISPATCHER_PLAN_H
#define SEGFARM_DISPATCHER_PLAN_H

#include "common/err.h"
#include "common/record.h"

#define PLAN_TAIL_MIN 45000 /* ticks */
#define PLAN_TEXT_EARLY (2 * 90000) /* ticks: subtitles are read from so long before they are shown: they may lie before the video of their time */
#define PLAN_TEXT_LEAD (15 * 90000) /* and where the index does not say what stands at a segment's start, from so long before that */

/* Fills *plan (plan_finish gives it back). ERR_UNSUPPORTED: neither track; ERR_DATA: the index contradicts itself;
 * ERR_LIMIT: more than RECORD_SEGMENTS_MAX segments. On error *plan is empty. */
int plan_make(const struct index *index, const struct record_options *options, struct plan *plan, struct err *err);

#endif
