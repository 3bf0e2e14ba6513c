/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plain Matroska file written again in another shape. It is read with a walker of its own, not with our demuxer: what both
 * got wrong would look right.
 */
#ifndef SEGFARM_TESTS_WORKER_MKV_REWRITE_H
#define SEGFARM_TESTS_WORKER_MKV_REWRITE_H

#include "common/buf.h"
#include "worker/ebml.h"

#include <stdbool.h>
#include <stdint.h>

enum rewrite_lacing { REWRITE_LACING_NONE = 0, REWRITE_LACING_XIPH = 2, REWRITE_LACING_FIXED = 4, REWRITE_LACING_EBML = 6 };
enum rewrite_crc { REWRITE_CRC_NONE, REWRITE_CRC_RIGHT, REWRITE_CRC_WRONG };
enum rewrite_seek { REWRITE_SEEK_FRONT, REWRITE_SEEK_NONE, REWRITE_SEEK_END, REWRITE_SEEK_TWO };
enum rewrite_cues { REWRITE_CUES_BEHIND, REWRITE_CUES_FRONT, REWRITE_CUES_NONE, REWRITE_CUES_REVERSED };
enum rewrite_packing { REWRITE_PACKING_NONE, REWRITE_PACKING_STRIP, REWRITE_PACKING_ZLIB, REWRITE_PACKING_ENCRYPTED };

struct rewrite {
	const char *doc_type;       /* NULL: matroska */
	bool has_unknown_segment, has_unknown_clusters;
	enum rewrite_crc crc;       /* first in every level 1 element; wrong: in the second Cluster only */
	enum rewrite_seek seek;     /* END: the only one stands behind the Clusters; TWO: the first leads to a second there */
	enum rewrite_cues cues;
	bool has_far_tracks;        /* Info and Tracks behind the Clusters */
	size_t padding;             /* bytes of an EBMLVoid in front of every level 1 element and of every block */
	size_t attachment;          /* bytes of one in front of the first Cluster */
	size_t junk;                /* bytes of it between two Clusters, from the third on */
	int64_t scale_ns;           /* TimestampScale; 0: 1 ms */
	int64_t shift_ns;           /* added to all times */
	bool has_late_clusters;     /* a Cluster's Timestamp is its last block's time: the others' are negative */
	enum rewrite_lacing lacing; /* of audio, */
	int lace;                   /* that many frames in a block, fewer where a Cluster ends or sizes differ in FIXED */
	bool has_groups;            /* BlockGroups, with ReferenceBlock for frames that are no key */
	bool has_durations;         /* BlockDuration in them */
	bool has_additions;         /* BlockAdditions in them */
	int64_t discard_ns;         /* DiscardPadding in them */
	enum rewrite_packing packing;
	/* Appends what shall stand in place of a TrackEntry's child and returns true; false: it is copied. Then the rest. */
	bool (*put_child)(struct buf *out, uint64_t type, uint32_t id, struct bytes value);
	void (*put_track)(struct buf *out, uint64_t type);
	/* Appends a frame as it shall be stored; NULL: as it is. */
	void (*put_frame)(struct buf *out, uint64_t type, struct bytes frame);
};

/* Writes `from` (its frames neither packed nor laced) again, Cluster for Cluster as long as block times have room. */
void mkv_rewrite(struct bytes from, const struct rewrite *how, struct buf *to);
void mkv_rewrite_file(const char *from, const char *to, const struct rewrite *how);
/* The n-th (from 0) element `id` at level 1, and below `parent`, where one of unknown size lies open: its children count as
 * its siblings. False: there is none. */
bool mkv_find(struct bytes file, uint32_t id, int n, struct ebml_element *e);
bool mkv_find_in(struct bytes file, const struct ebml_element *parent, uint32_t id, int n, struct ebml_element *e);

#endif
