/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the Matroska demuxer share: element IDs, limits, and the seams between head (mkv.c), tracks
 * (mkv_track.c), compression (mkv_unpack.c) and blocks (mkv_block.c).
 */
#ifndef SEGFARM_WORKER_MKV_INTERNAL_H
#define SEGFARM_WORKER_MKV_INTERNAL_H

#include "worker/ebml.h"
#include "worker/mkv.h"

/* ---- IDs: the Segment and its children (level 1) */
#define ID_SEGMENT 0x18538067
#define ID_SEEK_HEAD 0x114D9B74
#define ID_INFO 0x1549A966
#define ID_TRACKS 0x1654AE6B
#define ID_CUES 0x1C53BB6B
#define ID_CLUSTER 0x1F43B675
#define ID_CHAPTERS 0x1043A770
#define ID_ATTACHMENTS 0x1941A469
#define ID_TAGS 0x1254C367
/* children of a Cluster */
#define ID_TIMESTAMP 0xE7
#define ID_SIMPLE_BLOCK 0xA3
#define ID_BLOCK_GROUP 0xA0
#define ID_SILENT_TRACKS 0x5854
#define ID_POSITION 0xA7
#define ID_PREV_SIZE 0xAB
#define ID_ENCRYPTED_BLOCK 0xAF
/* repeated children of other masters */
#define ID_TRACK_ENTRY 0xAE
#define ID_SEEK 0x4DBB
#define ID_CUE_POINT 0xBB
#define ID_CUE_TRACK_POSITIONS 0xB7
#define ID_CONTENT_ENCODING 0x6240
#define ID_BLOCK_ADDITION_MAPPING 0x41E4

/* ---- limits on what a file may ask for */
#define LIMIT_EBML_HEADER 65536
#define LIMIT_EBML_HEADER_STRING 64
#define LIMIT_SEEK_HEAD_BYTES ((size_t)4 << 20)
#define LIMIT_SEEK_ID 4
#define LIMIT_SEEKS (1 << 16)                    /* in all SeekHeads; more are not read */
#define LIMIT_WALK (1 << 22)                     /* level 1 elements passed while looking for Cues */
#define LIMIT_CUES 1000000                       /* tracks' positions in Cues */
#define LIMIT_HEAD_ELEMENT (INT64_C(64) << 20)   /* SeekHead, Info, Tracks, Cues: what is behind is not seen */
#define LIMIT_CODEC_ID 63
#define LIMIT_NAME 65536                         /* what is kept is shorter */
#define LIMIT_LANGUAGE 1024                      /* what is kept is shorter */
#define LIMIT_CODEC_PRIVATE ((size_t)16 << 20)   /* stored; decompressed, of all tracks together */
#define LIMIT_CONTENT_ENCODINGS ((size_t)1 << 16)
#define LIMIT_STRIPPED 4096                      /* bytes put back in front of every frame */
#define LIMIT_MAPPING ((size_t)1 << 16)          /* BlockAddIDExtraData */
#define LIMIT_PIXELS 65536                       /* width, height */
#define LIMIT_CHANNELS 256
#define LIMIT_BIT_DEPTH 64
#define LIMIT_SAMPLE_RATE 10000000.0
#define LIMIT_TIMESTAMP_SCALE INT64_C(1000000000000)
#define LIMIT_BLOCK_BYTES ((size_t)1 << 30)      /* a larger one is passed over */
#define LIMIT_FRAME_BYTES ((size_t)256 << 20)    /* with compression undone */
#define LIMIT_FORWARD (INT64_C(32) << 20)        /* an element that is taken whole from an input that cannot go back */

/* Where the Segment ends, as far as is known now. */
static inline int64_t mkv_bound(const struct mkv *mkv)
{
	int64_t end = mkv->segment_end < mkv->in->size ? mkv->segment_end : mkv->in->size;

	return end < LIMIT_EBML_FILE ? end : LIMIT_EBML_FILE; /* an element of unknown size does not end in front of it */
}

/* The element header at `at`, all of it in front of bound. */
static inline bool mkv_element(const struct mkv *mkv, int64_t at, int64_t bound, struct ebml_element *e)
{
	int64_t need = bound - at < EBML_HEADER_MAX ? bound - at : EBML_HEADER_MAX;

	if (at < 0 || need <= 0)
		return false;
	struct bytes v = input_view(mkv->in, at, need);
	if (!ebml_read(v, 0, (int64_t)v.size < need ? (int64_t)v.size : need, e))
		return false;
	e->start = at;
	e->data += at;
	if (!e->is_unknown)
		e->end += at;
	return true;
}

/* Where there is no way back, what is passed over or taken whole is held until it has turned out to be what it says. Who says
 * that it is larger than this is not believed: behind its header is looked for the next one. */
static inline bool mkv_is_too_large(const struct mkv *mkv, const struct ebml_element *e)
{
	return !mkv->in->is_seekable && !e->is_unknown && e->end - e->start > LIMIT_FORWARD;
}

/* The first n bytes at `at`, or what there is of them. Lives until the next view. */
static inline struct bytes mkv_bytes(const struct mkv *mkv, int64_t at, int64_t n)
{
	struct bytes v = input_view(mkv->in, at, n);

	if ((int64_t)v.size > n)
		v.size = n > 0 ? (size_t)n : 0;
	return v;
}

/* The shorter of an element's end and the bound that it was read under. */
static inline int64_t mkv_end(const struct ebml_element *e, int64_t bound)
{
	return e->end < bound ? e->end : bound;
}

/* ---- mkv.c */

/* Children of a Segment that may follow each other in any order; Void and CRC-32 are not counted. */
bool mkv_is_level1(uint32_t id);
bool mkv_is_cluster_child(uint32_t id);
/* Is there a level 1 element, a Void or a CRC-32 at `at`, or the end itself? */
bool mkv_level1_follows(const struct mkv *mkv, int64_t at);
/* Four bytes that happen to be a level 1 ID are told by what stands behind them. */
bool mkv_looks_real(const struct mkv *mkv, int64_t at);
/* Offset of the next Cluster (only_clusters) or level 1 element at or behind `from` that looks like one, -1: none.
 * Linear in the bytes it passes over. */
int64_t mkv_resync(const struct mkv *mkv, int64_t from, bool only_clusters);

/* ---- mkv_track.c */

/* Fills mkv->tracks from the data of a Tracks element; a TrackEntry that says nothing useful is left out. */
int mkv_read_tracks(struct mkv *mkv, struct bytes tracks, struct err *err);
void mkv_free_tracks(struct mkv *mkv);

/* ---- mkv_unpack.c */

/* Undoes the compression into scratch (reset first), of at most `limit` bytes. */
int mkv_unpack(enum track_compression compression, struct bytes stripped, struct bytes data, size_t limit,
	       struct buf *scratch, struct bytes *out, struct err *err);

#endif
