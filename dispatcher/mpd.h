/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * MPD (ISO/IEC 23009-1) of a plan: the segments that the playlists have, with one SegmentTimeline for all renditions. Pure.
 */
#ifndef SEGFARM_DISPATCHER_MPD_H
#define SEGFARM_DISPATCHER_MPD_H

#include "common/buf.h"
#include "common/record.h"

#define MPD_NAME "manifest.mpd"

enum mpd_names {
	MPD_TEMPLATE, /* players make the names of segments: <start>.m4s, <start>.vtt (section 5.3.9.4) */
	MPD_LIST,     /* each is named as in the playlists, sourceURL="..." and media="..." in lines of their own (section 5.3.9.3) */
};
/* sizes: as in playlist_put_master. */
void mpd_put(const struct plan *plan, const int64_t *sizes, enum mpd_names names, struct buf *out);

#endif
