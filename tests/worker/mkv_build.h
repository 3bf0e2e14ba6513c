/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A little Matroska writer for tests: elements into a struct buf, masters closed by patching their size.
 */
#ifndef SEGFARM_TESTS_WORKER_MKV_BUILD_H
#define SEGFARM_TESTS_WORKER_MKV_BUILD_H

#include "common/buf.h"

#define MKV_VIDEO_TRACK 1
#define MKV_AUDIO_TRACK 2
#define MKV_KEY 0x80

void mkv_put_id(struct buf *b, uint32_t id);
void mkv_put_size(struct buf *b, uint64_t size); /* always 8 bytes long */
void mkv_put_binary(struct buf *b, uint32_t id, const void *data, size_t n);
void mkv_put_string(struct buf *b, uint32_t id, const char *s);
void mkv_put_uint(struct buf *b, uint32_t id, uint64_t v);
void mkv_put_float(struct buf *b, uint32_t id, double v);
void mkv_put_void(struct buf *b, size_t n);
/* Opens a master; returns what mkv_end_master wants. An unknown-size one is never closed. */
size_t mkv_begin_master(struct buf *b, uint32_t id);
void mkv_begin_unknown(struct buf *b, uint32_t id);
void mkv_end_master(struct buf *b, size_t mark);

/* EBML header of that DocType, and Info (scale 1 ms, duration 10 s). */
void mkv_put_header(struct buf *b, const char *doc_type);
void mkv_put_info(struct buf *b);
/* Video track 1 and audio track 2 (DefaultDuration 20 ms, CodecDelay 5 ms), one after the other within Tracks. */
void mkv_put_video(struct buf *b);
void mkv_put_audio(struct buf *b);
void mkv_put_tracks(struct buf *b);
/* Header, Segment of unknown size (the rest of b is in it), Info, Tracks. */
void mkv_put_head(struct buf *b);
size_t mkv_begin_cluster(struct buf *b, uint64_t time); /* with its Timestamp */
void mkv_put_simple(struct buf *b, int track, int16_t time, uint8_t flags, const void *data, size_t n);
void mkv_put_block(struct buf *b, int track, int16_t time, uint8_t flags, const void *data, size_t n); /* in a BlockGroup */
/* A Cluster at `time` ms with two video and two audio frames of one byte each; returns its offset. */
size_t mkv_put_cluster(struct buf *b, uint64_t time, char first);
void mkv_put_seek(struct buf *b, uint32_t id, uint64_t position);
void mkv_put_cue(struct buf *b, uint64_t time, int track, uint64_t cluster);
/* Cues for both tracks, two Clusters, and one that is out of the file; positions are counted from the Segment's data. */
void mkv_put_cues(struct buf *b, size_t data, size_t first, size_t second);
/* A BlockGroup with BlockAdditions; 0: no BlockDuration, ReferenceBlock, DiscardPadding. */
void mkv_put_group(struct buf *b, int track, int16_t time, const char *data, uint64_t duration, int64_t reference,
		   int64_t discard);
/* Header, Segment, and Tracks with a video track; its fields are the caller's to write between these two. */
size_t mkv_begin_one_track(struct buf *b);
void mkv_end_one_track(struct buf *b, size_t marks);

#endif
