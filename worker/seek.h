/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Seek: where a stream begins that starts in the middle of a title.
 */
#ifndef SEGFARM_WORKER_SEEK_H
#define SEGFARM_WORKER_SEEK_H

#include "worker/title.h"
#include "worker/transcode.h"

struct seek_place {
	int64_t time;          /* ticks: where both tracks start */
	int64_t video_id;   /* offset of the block of the first video frame; 0: the title's first sync sample */
	int64_t video_place; /* and its Cluster */
	int64_t audio_place; /* where to read audio from, for the frame that holds `time` to be right */
	int64_t audio_pos;     /* source position of the first audio packet there */
	int64_t audio_first;   /* that frame */
};

/* The title's beginning. */
void seek_beginning(const struct title *t, struct seek_place *place);
/* The last sync sample that is shown at or before `ticks`; without video, or where it is encoded, the frame that holds them.
 * Found by Cues; where there are none, or positions of audio packets are counted, by reading the headers of all blocks before,
 * with out's tick in between. ERR_USAGE: the title has ended by then. */
int seek_find(const struct title *t, const struct transcode_out *out, int64_t ticks, struct seek_place *place, struct err *err);

#endif
