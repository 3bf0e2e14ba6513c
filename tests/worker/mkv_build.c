/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/mkv_build.h"

#include <string.h>

#include "worker/mkv_internal.h"

void mkv_put_id(struct buf *b, uint32_t id)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		if (id >> shift)
			buf_put_u8(b, (uint8_t)(id >> shift));
}

void mkv_put_size(struct buf *b, uint64_t size)
{
	buf_put_u64(b, size | UINT64_C(1) << 56);
}

void mkv_put_binary(struct buf *b, uint32_t id, const void *data, size_t n)
{
	mkv_put_id(b, id);
	mkv_put_size(b, n);
	buf_put(b, data, n);
}

void mkv_put_string(struct buf *b, uint32_t id, const char *s)
{
	mkv_put_binary(b, id, s, strlen(s));
}

void mkv_put_uint(struct buf *b, uint32_t id, uint64_t v)
{
	mkv_put_id(b, id);
	buf_put_u8(b, 0x88);
	buf_put_u64(b, v);
}

void mkv_put_float(struct buf *b, uint32_t id, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	mkv_put_uint(b, id, bits);
}

void mkv_put_void(struct buf *b, size_t n)
{
	mkv_put_id(b, EBML_ID_VOID);
	mkv_put_size(b, n);
	buf_put_zero(b, n);
}

size_t mkv_begin_master(struct buf *b, uint32_t id)
{
	mkv_put_id(b, id);
	mkv_put_size(b, 0);
	return b->size;
}

void mkv_begin_unknown(struct buf *b, uint32_t id)
{
	mkv_put_id(b, id);
	buf_put_u64(b, UINT64_C(0x01FFFFFFFFFFFFFF));
}

void mkv_end_master(struct buf *b, size_t mark)
{
	buf_patch_u32(b, mark - 4, (uint32_t)(b->size - mark));
}

void mkv_put_header(struct buf *b, const char *doc_type)
{
	size_t m = mkv_begin_master(b, EBML_ID_HEADER);
	mkv_put_uint(b, 0x42F7, 1);
	mkv_put_string(b, 0x4282, doc_type);
	mkv_put_uint(b, 0x4285, 2);
	mkv_end_master(b, m);
}

void mkv_put_info(struct buf *b)
{
	size_t m = mkv_begin_master(b, ID_INFO);
	mkv_put_uint(b, 0x2AD7B1, 1000000);
	mkv_put_float(b, 0x4489, 10000);
	mkv_end_master(b, m);
}

void mkv_put_video(struct buf *b)
{
	size_t m = mkv_begin_master(b, ID_TRACK_ENTRY);
	mkv_put_uint(b, 0xD7, MKV_VIDEO_TRACK);
	mkv_put_uint(b, 0x83, 1);
	mkv_put_string(b, 0x86, "V_MPEG4/ISO/AVC");
	mkv_put_string(b, 0x63A2, "video private");
	size_t v = mkv_begin_master(b, 0xE0);
	mkv_put_uint(b, 0xB0, 1920);
	mkv_put_uint(b, 0xBA, 1088);
	mkv_put_uint(b, 0x54AA, 8);
	mkv_end_master(b, v);
	mkv_end_master(b, m);
}

void mkv_put_audio(struct buf *b)
{
	size_t m = mkv_begin_master(b, ID_TRACK_ENTRY);
	mkv_put_uint(b, 0xD7, MKV_AUDIO_TRACK);
	mkv_put_uint(b, 0x83, 2);
	mkv_put_uint(b, 0x88, 0);
	mkv_put_string(b, 0x86, "A_OPUS");
	mkv_put_string(b, 0x22B59C, "fre");
	mkv_put_uint(b, 0x23E383, 20000000);
	mkv_put_uint(b, 0x56AA, 5000000);
	mkv_put_uint(b, 0x56BB, 80000000);
	size_t a = mkv_begin_master(b, 0xE1);
	mkv_put_float(b, 0xB5, 48000);
	mkv_put_uint(b, 0x9F, 6);
	mkv_end_master(b, a);
	mkv_end_master(b, m);
}

void mkv_put_tracks(struct buf *b)
{
	size_t m = mkv_begin_master(b, ID_TRACKS);
	mkv_put_video(b);
	mkv_put_audio(b);
	mkv_end_master(b, m);
}

void mkv_put_head(struct buf *b)
{
	mkv_put_header(b, "matroska");
	mkv_begin_unknown(b, ID_SEGMENT);
	mkv_put_info(b);
	mkv_put_tracks(b);
}

size_t mkv_begin_cluster(struct buf *b, uint64_t time)
{
	size_t m = mkv_begin_master(b, ID_CLUSTER);
	mkv_put_uint(b, ID_TIMESTAMP, time);
	return m;
}

static void put_block(struct buf *b, uint32_t id, int track, int16_t time, uint8_t flags, const void *data, size_t n)
{
	size_t m = mkv_begin_master(b, id);
	buf_put_u8(b, (uint8_t)(0x80 | track));
	buf_put_u16(b, (uint16_t)time);
	buf_put_u8(b, flags);
	buf_put(b, data, n);
	mkv_end_master(b, m);
}

void mkv_put_simple(struct buf *b, int track, int16_t time, uint8_t flags, const void *data, size_t n)
{
	put_block(b, ID_SIMPLE_BLOCK, track, time, flags, data, n);
}

void mkv_put_block(struct buf *b, int track, int16_t time, uint8_t flags, const void *data, size_t n)
{
	put_block(b, 0xA1, track, time, flags, data, n);
}

size_t mkv_put_cluster(struct buf *b, uint64_t time, char first)
{
	size_t at = b->size, m = mkv_begin_cluster(b, time);
	for (int i = 0; i < 4; i++) {
		char c = (char)(first + i);
		mkv_put_simple(b, i % 2 ? MKV_AUDIO_TRACK : MKV_VIDEO_TRACK, (int16_t)(i / 2 * 40),
			       i == 0 || i % 2 ? MKV_KEY : 0, &c, 1);
	}
	mkv_end_master(b, m);
	return at;
}

void mkv_put_seek(struct buf *b, uint32_t id, uint64_t position)
{
	size_t m = mkv_begin_master(b, ID_SEEK);
	mkv_put_id(b, 0x53AB);
	mkv_put_size(b, 4);
	buf_put_u32(b, id);
	mkv_put_uint(b, 0x53AC, position);
	mkv_end_master(b, m);
}

void mkv_put_cue(struct buf *b, uint64_t time, int track, uint64_t cluster)
{
	size_t m = mkv_begin_master(b, ID_CUE_POINT);
	mkv_put_uint(b, 0xB3, time);
	size_t p = mkv_begin_master(b, ID_CUE_TRACK_POSITIONS);
	mkv_put_uint(b, 0xF7, (uint64_t)track);
	mkv_put_uint(b, 0xF1, cluster);
	mkv_end_master(b, p);
	mkv_end_master(b, m);
}

void mkv_put_cues(struct buf *b, size_t data, size_t first, size_t second)
{
	size_t m = mkv_begin_master(b, ID_CUES);
	mkv_put_cue(b, 100, MKV_VIDEO_TRACK, second - data);
	mkv_put_cue(b, 0, MKV_AUDIO_TRACK, first - data);
	mkv_put_cue(b, 0, MKV_VIDEO_TRACK, first - data);
	mkv_put_cue(b, 5, MKV_VIDEO_TRACK, 1 << 30); /* out of the file */
	mkv_end_master(b, m);
}

void mkv_put_group(struct buf *b, int track, int16_t time, const char *data, uint64_t duration, int64_t reference,
		   int64_t discard)
{
	size_t g = mkv_begin_master(b, ID_BLOCK_GROUP);
	mkv_put_block(b, track, time, 0, data, strlen(data));
	if (duration)
		mkv_put_uint(b, 0x9B, duration);
	size_t more = mkv_begin_master(b, 0x75A1); /* BlockAdditions */
	mkv_put_string(b, 0xA6, "more");
	mkv_end_master(b, more);
	if (reference)
		mkv_put_uint(b, 0xFB, (uint64_t)reference);
	if (discard)
		mkv_put_uint(b, 0x75A2, (uint64_t)discard);
	mkv_end_master(b, g);
}

size_t mkv_begin_one_track(struct buf *b)
{
	mkv_put_header(b, "matroska");
	mkv_begin_unknown(b, ID_SEGMENT);
	size_t tracks = mkv_begin_master(b, ID_TRACKS), entry = mkv_begin_master(b, ID_TRACK_ENTRY);
	mkv_put_uint(b, 0xD7, 1);
	mkv_put_uint(b, 0x83, 1);
	return entry | tracks << 32;
}

void mkv_end_one_track(struct buf *b, size_t marks)
{
	mkv_end_master(b, marks & 0xFFFFFFFF);
	mkv_end_master(b, marks >> 32);
}
