/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Matroska demuxer (RFC 9559, RFC 8794) over an input: a mapped file, a URL or a pipe. No I/O of its own, no libav.
 * What it says of tracks lives as long as struct mkv and its input.
 */
#ifndef SEGFARM_WORKER_MKV_H
#define SEGFARM_WORKER_MKV_H

#include "common/buf.h"
#include "common/err.h"
#include "worker/input.h"
#include "worker/track.h"

#include <stdbool.h>
#include <stdint.h>

#define MKV_SEEK_HEADS 16 /* more are not followed */

/* Offsets of elements in the input; -1: not known. */
struct mkv_places {
	int64_t info, tracks, cues;
	int64_t seek_heads[MKV_SEEK_HEADS];
	int n_seek_heads, n_followed, n_seeks;
};

struct mkv {
	struct input *in;
	int64_t timestamp_scale;  /* ns per unit */
	int64_t duration_ns;      /* Info Duration; 0 unknown */
	int64_t segment_data;     /* offset of the Segment's data */
	int64_t segment_end;      /* behind its last byte as far as is known; INT64_MAX: at the input's end */
	int64_t first_cluster;    /* offset of the first Cluster element; -1: there is none */
	struct track tracks[TRACKS_MAX];
	int n_tracks;
	struct mkv_places places; /* internal: where the head's elements are */
	struct cue *cues;     /* owned; by mkv_read_cues; sorted by (track, cluster, time) */
	size_t n_cues;            /* 0: no Cues (use mkv_next over the whole file) */
	void *arena;              /* internal: owns decompressed CodecPrivate and the like */
};

/* Reads the head: EBML header, Info, Tracks, wherever they are in an input that can be sought in, else in front of the first
 * Cluster. ERR_DATA: not Matroska or broken before the first Cluster; ERR_LIMIT: over a LIMIT_; ERR_UNSUPPORTED: a DocType or
 * version that cannot be read; what the input says. in must outlive mkv. On error nothing is left allocated. */
int mkv_open(struct mkv *mkv, struct input *in, struct err *err);
/* Reads the Cues into mkv->cues, once; none are left where there are none, where they are broken (by their CRC-32 too) or are
 * another file's, or on a forward-only input. Fails only with ERR_LIMIT, ERR_NOMEM. */
int mkv_read_cues(struct mkv *mkv, struct err *err);
void mkv_close(struct mkv *mkv);
const struct track *mkv_track(const struct mkv *mkv, uint64_t number); /* NULL: no such */

/* A position in the blocks. Plain memory: may be copied, needs no destructor. */
struct mkv_cursor {
	const struct mkv *mkv;
	int64_t at;             /* where the next element is */
	int64_t cluster;        /* current Cluster's offset */
	int64_t cluster_end;    /* INT64_MAX: unknown size */
	int64_t cluster_time;   /* in TimestampScale units */
	int64_t damaged_bytes;  /* passed over so far, looking for the next Cluster */
	/* laced frames not given out yet */
	struct frame lace;
	uint32_t lace_sizes[256];
	int lace_next, lace_total;
	int64_t lace_at, lace_left; /* bytes of the frames not given out yet */
};

/* At the Cluster element at `cluster` (mkv->first_cluster for the start), before its first block; or directly at the
 * block element at offset `block` within that cluster (block < 0: the first). ERR_DATA: no Cluster there. */
int mkv_seek(struct mkv_cursor *c, const struct mkv *mkv, int64_t cluster, int64_t block, struct err *err);
/* 1 and the next frame of any track (touches the headers of blocks only, never the payload); 0 at the end of the file
 * (a truncated last block counts as the end). Damage is passed over: resynchronises at the next Cluster. Fails only where
 * the input does. What lies in front of the frame is no longer kept in a forward-only input. */
int mkv_next(struct mkv_cursor *c, struct frame *frame, struct err *err);

/* The frame's bytes with ContentCompression undone. *out is a view of the input when nothing has to be undone (it lives until
 * the next mkv_ call, or as long as a stable input), else of scratch, which is then overwritten (view ends at scratch's next
 * use). ERR_DATA: broken zlib, or the bytes are gone; ERR_LIMIT: too large. */
int mkv_frame_data(const struct mkv *mkv, const struct frame *frame, struct buf *scratch, struct bytes *out,
		   struct err *err);

#endif
