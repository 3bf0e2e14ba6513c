/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the subtitles of a title are shown, so that who begins to read in the middle begins early enough for what stands there: from all
 * frames, or from Cues that tell each block of a track and how long it is shown (RFC 9559 section 22.1 wants that of subtitles).
 */
#ifndef SEGFARM_WORKER_PROBE_TEXT_H
#define SEGFARM_WORKER_PROBE_TEXT_H

#include "common/record.h"
#include "worker/demux.h"

struct probe_text_cue {
	int64_t start, end; /* ticks of the timeline */
	int track;          /* in index->tracks */
};

struct probe_text {
	struct probe_text_cue *cues; /* owned */
	size_t n, cap;
	bool is_known[RECORD_TRACKS_MAX]; /* all cues of that track are there */
};

void probe_text_finish(struct probe_text *p);
/* All frames will be met from now on. */
void probe_text_begin(struct probe_text *p);
/* One of them, of a text track of the index, or of any other, which is left alone. ERR_NOMEM. */
int probe_text_pass(struct probe_text *p, const struct index *x, const struct demux *demux, const struct frame *f, struct err *err);
/* Instead of frames, which were passed over: demux->cues. ERR_NOMEM. */
int probe_text_take_cues(struct probe_text *p, const struct index *x, const struct demux *demux, struct err *err);
/* Fills in the positions of the index' text tracks, where they are known; its syncs are final. ERR_NOMEM. */
int probe_text_settle(struct probe_text *p, struct index *x, struct err *err);

#endif
