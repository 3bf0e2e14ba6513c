/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Playlists (RFC 8216) of a plan. Pure. Complete from the first moment: sizes of segments that are not made yet are
 * estimated from the source's. URIs are relative to the playlist.
 */
#ifndef SEGFARM_DISPATCHER_PLAYLIST_H
#define SEGFARM_DISPATCHER_PLAYLIST_H

#include "common/buf.h"
#include "common/record.h"

#define PLAYLIST_VERSION 7
#define PLAYLIST_MASTER "master.m3u8"
#define PLAYLIST_MEDIA "index.m3u8"
#define PLAYLIST_INIT "init.mp4"
#define PLAYLIST_NAME_MAX 64 /* bytes of a segment's file name with its NUL */

/* Segments of all renditions are counted through, as in plan_count; a rendition is given by its first one.
 * sizes: bytes of each segment, -1 where not known yet; NULL: none is. */
void playlist_put_master(const struct plan *plan, const int64_t *sizes, struct buf *out);
/* Of one rendition. gaps: not 0 for each segment that there will never be (EXT-X-GAP: players pass over it); NULL: there is none. */
void playlist_put_media(const struct plan *plan, size_t first, const uint8_t *gaps, struct buf *out);

struct playlist_rates {
	int64_t peak, average; /* bit/s */
};
struct playlist_rates playlist_measure(const struct plan *plan, size_t first, const int64_t *sizes);

/* "<start>-<duration>.m4s" or ".vtt" */
void playlist_segment_name(const struct plan *plan, size_t segment, char name[PLAYLIST_NAME_MAX]);
/* The segment of that name in the rendition, or -1. Only the one spelling that playlist_segment_name gives is accepted, and the one that
 * mpd_put does, without the duration. */
int64_t playlist_find_segment(const struct plan *plan, size_t first, const char *name);

#endif
