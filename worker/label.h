/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Labels: what a track that is a rendition of its own is called in playlists.
 */
#ifndef SEGFARM_WORKER_LABEL_H
#define SEGFARM_WORKER_LABEL_H

#include "common/record.h"
#include "worker/track.h"

/* Name, language and is_forced of tracks[i], from what the file says; its kind is set, and those before it are labelled. */
void label_track(struct record_track *tracks, int i, const struct track *from);

#endif
