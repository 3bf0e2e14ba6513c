/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tracks of an index that are renditions of their own: audio, where the title has several such tracks, then subtitles.
 */
#ifndef SEGFARM_WORKER_PROBE_TRACKS_H
#define SEGFARM_WORKER_PROBE_TRACKS_H

#include "common/record.h"
#include "worker/title.h"

/* Names them: track i is the title's audio i, if it has more than one. What cannot be read is left out. ERR_NOMEM. */
int probe_tracks_open(struct index *x, const struct title *t, struct err *err);
/* Audio that begins after the video, or after other audio where there is no video, would be played too early by players that go by the
 * playlist (Shaka), and audio that ends before that would stop them, or end the title with it: where silence is known, in AAC, there is
 * some. */
void probe_tracks_fill_up(struct index *x);
/* Audio without a frame is none; one track alone goes with the video. ERR_LIMIT. */
int probe_tracks_settle(struct index *x, struct err *err);

#endif
