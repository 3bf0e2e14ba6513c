/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shift: a source whose timestamps jump (files joined, a clock set anew, a wrap) goes on without a gap. A decode time over 10 s
 * from what was reached, or over half a second back, is a jump; all tracks move by the same, each from the frame on at which it
 * jumps. Video goes on to the tick; where sound jumped first, it may miss or repeat a little of what video has more or less.
 *
 * What was found is a table by ids of frames, so that who reads a part of the source agrees with who read it whole. Pure.
 */
#ifndef SEGFARM_WORKER_SHIFT_H
#define SEGFARM_WORKER_SHIFT_H

#include "common/record.h"
#include "worker/track.h"

struct shift {
	struct record_shifts table;
	bool is_given;         /* by who has seen all of the source: nothing more is looked for */
	bool is_lost;          /* there were more than fit: the table has the latest */
	int64_t reached_ns;     /* decode time of the latest frame of any track; FRAME_NO_TIME: none since the seek */
	int64_t now, before;    /* ns: the latest two shifts */
	struct shift_track {
		int64_t end_ns; /* of the latest frame since the seek, or FRAME_NO_TIME */
		/* as of the farthest frame looked at */
		int64_t id;
		bool is_now;    /* it has the latest shift, else: */
		int64_t ns;
	} tracks[TRACKS_MAX];
};

void shift_init(struct shift *s);
/* Reading goes on elsewhere; what was learned stays. */
void shift_seek(struct shift *s);
/* What is to be added to the times of a frame, in ns. Every frame of tracks that are played has to come here, in file order.
 * track: its index, which is its number less 1; id as in struct frame, > 0; decode_ns as the container says, or FRAME_NO_TIME. */
int64_t shift_of(struct shift *s, int track, bool is_video, int64_t id, int64_t decode_ns, int64_t duration_ns);

#endif
