/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * MPD (ISO/IEC 23009-1) of a plan: the segments that the playlists have, under names that DASH can make: <start>.m4s, <start>.vtt. One
 * SegmentTimeline for all renditions. Pure.
 */
#ifndef SEGFARM_DISPATCHER_MPD_H
#define SEGFARM_DISPATCHER_MPD_H

#include "common/buf.h"
#include "common/record.h"

#define MPD_NAME "manifest.mpd"

/* sizes: as in playlist_put_master. */
void mpd_put(const struct plan *plan, const int64_t *sizes, struct buf *out);

#endif
