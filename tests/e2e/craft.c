/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/craft.h"

#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MS INT64_C(1000000)
#define FRAMES_MAX 20000
#define CRC_BYTES 6 /* of the whole element */
#define JUNK_FROM_CLUSTER 2

struct work {
	const struct craft *style;
	struct mkv mkv;
	struct mkv_frame *frames;
	bool *is_written;
	int n;
	struct buf out, frame;
	int64_t data, seek_head; /* offsets of the Segment's data and of the second SeekHead's place in the first */
};

/* ---- elements */

static size_t begin(struct work *w, uint32_t id)
{
	size_t mark = mkv_begin_master(&w->out, id);

	if (w->style->has_crc) {
		buf_put_u16(&w->out, EBML_ID_CRC32 << 8 | 0x84);
		buf_put_u32(&w->out, 0);
	}
	return mark;
}

/* RFC 8794 section 11.3.1: over all that follows it in its parent, little-endian. */
static void end(struct work *w, size_t mark)
{
	const uint8_t *data = w->out.data + mark + CRC_BYTES;

	if (w->style->has_crc) {
		uint32_t crc = (uint32_t)crc32(0, data, (uInt)(w->out.size - mark - CRC_BYTES));

		buf_patch_u32(&w->out, mark + 2, __builtin_bswap32(crc));
	}
	mkv_end_master(&w->out, mark);
}

static void put_video(struct buf *b, const struct mkv_track *t)
{
	size_t m = mkv_begin_master(b, 0xE0);

	mkv_put_uint(b, 0xB0, (uint64_t)t->width);
	mkv_put_uint(b, 0xBA, (uint64_t)t->height);
	mkv_end_master(b, m);
}

static void put_audio(struct buf *b, const struct mkv_track *t)
{
	size_t m = mkv_begin_master(b, 0xE1);

	mkv_put_float(b, 0xB5, t->rate);
	mkv_put_uint(b, 0x9F, (uint64_t)t->channels);
	mkv_end_master(b, m);
}

static void put_private(struct work *w, const struct mkv_track *t)
{
	struct buf private = { 0 };

	if (w->style->put_private)
		w->style->put_private(&private, t);
	else
		buf_put(&private, t->codec_private.data, t->codec_private.size);
	if (private.size)
		mkv_put_binary(&w->out, 0x63A2, private.data, private.size);
	buf_finish(&private);
}

static void put_track(struct work *w, const struct mkv_track *t)
{
	struct buf *b = &w->out;
	size_t m = mkv_begin_master(b, ID_TRACK_ENTRY);

	mkv_put_uint(b, 0xD7, t->number);
	mkv_put_uint(b, 0x73C5, t->number);
	mkv_put_uint(b, 0x83, t->type);
	mkv_put_string(b, 0x86, t->codec_id);
	put_private(w, t);
	if (t->default_duration_ns && (t->type == MKV_VIDEO || w->style->has_default_duration))
		mkv_put_uint(b, 0x23E383, t->default_duration_ns);
	mkv_put_uint(b, 0x56AA, t->codec_delay_ns);
	if (t->type == MKV_VIDEO)
		put_video(b, t);
	else
		put_audio(b, t);
	if (w->style->put_track)
		w->style->put_track(b, t);
	mkv_end_master(b, m);
}

static void put_tracks(struct work *w)
{
	size_t m = begin(w, ID_TRACKS);

	for (int i = 0; i < w->mkv.n_tracks; i++)
		put_track(w, &w->mkv.tracks[i]);
	end(w, m);
}

static void put_info(struct work *w)
{
	size_t m = begin(w, ID_INFO);

	mkv_put_uint(&w->out, 0x2AD7B1, (uint64_t)MS);
	end(w, m);
}

/* ---- blocks */

static void put_ebml_size(struct buf *b, int64_t size, bool is_first)
{
	uint16_t v = (uint16_t)(is_first ? size : size + ((1 << 13) - 1));

	ck_assert_int_lt(llabs(size), (1 << 13) - 1);
	buf_put_u16(b, 0x4000 | v);
}

/* The sizes of all frames but the last, as the kind of lacing wants them; the last follows from the block's. */
static void put_lace_head(struct buf *b, enum craft_lacing lacing, const size_t *sizes, int n)
{
	buf_put_u8(b, (uint8_t)(n - 1));
	for (int i = 0; i < n - 1; i++) {
		size_t size = sizes[i];

		if (lacing == CRAFT_LACING_EBML)
			put_ebml_size(b, (int64_t)size - (i ? (int64_t)sizes[i - 1] : 0), !i);
		if (lacing == CRAFT_LACING_FIXED)
			ck_assert_uint_eq(size, sizes[n - 1]);
		if (lacing != CRAFT_LACING_XIPH)
			continue;
		for (; size >= 255; size -= 255)
			buf_put_u8(b, 255);
		buf_put_u8(b, (uint8_t)size);
	}
}

/* The frames from `first` on that go into one block, at most `max`: of the same track and Cluster. */
static int gather(struct work *w, int first, int max, int *which)
{
	int n = 0;

	for (int i = first; i < w->n && n < max && w->frames[i].cluster == w->frames[first].cluster; i++)
		if (w->frames[i].track == w->frames[first].track) {
			w->is_written[i] = true;
			which[n++] = i;
		}
	return n;
}

/* The time as a block has it, CodecDelay included. */
static int64_t stored_ms(const struct mkv_frame *f, const struct mkv_track *t)
{
	return (f->time_ns + (int64_t)t->codec_delay_ns) / MS;
}

static struct bytes mkv_stored(const struct mkv *mkv, const struct mkv_frame *f)
{
	return (struct bytes){ mkv->in->data + f->at, (size_t)f->size };
}

static void put_block(struct work *w, int first, int64_t cluster_ms)
{
	const struct mkv_frame *f = &w->frames[first];
	const struct mkv_track *t = mkv_track(&w->mkv, f->track);
	bool is_laced = w->style->lacing && t->type == MKV_AUDIO;
	int which[256], n = gather(w, first, is_laced ? w->style->lace : 1, which);
	uint8_t flags = (uint8_t)((f->is_key ? MKV_KEY : 0) | (is_laced ? (int)w->style->lacing : 0));
	struct buf frames = { 0 }, block = { 0 };
	size_t sizes[256];

	for (int i = 0; i < n; i++) {
		struct bytes data = mkv_stored(&w->mkv, &w->frames[which[i]]);
		size_t before = frames.size;

		if (w->style->put_frame)
			w->style->put_frame(&frames, t, data);
		else
			buf_put(&frames, data.data, data.size);
		sizes[i] = frames.size - before;
	}
	if (is_laced)
		put_lace_head(&block, w->style->lacing, sizes, n);
	buf_put(&block, frames.data, frames.size);
	mkv_put_simple(&w->out, (int)f->track, (int16_t)(stored_ms(f, t) - cluster_ms), flags, block.data, block.size);
	buf_finish(&frames);
	buf_finish(&block);
}

/* Returns the first frame of the next Cluster. */
static int put_cluster(struct work *w, int first)
{
	int64_t ms = stored_ms(&w->frames[first], mkv_track(&w->mkv, w->frames[first].track));
	size_t mark = 0;
	int i;

	if (w->style->has_far_tracks)
		mkv_begin_unknown(&w->out, ID_CLUSTER);
	else
		mark = begin(w, ID_CLUSTER);
	mkv_put_uint(&w->out, ID_TIMESTAMP, (uint64_t)ms);
	for (i = first; i < w->n && w->frames[i].cluster == w->frames[first].cluster; i++)
		if (!w->is_written[i])
			put_block(w, i, ms);
	if (mark)
		end(w, mark);
	return i;
}

static void put_clusters(struct work *w)
{
	for (int i = 0, n = 0; i < w->n; n++) {
		if (n >= JUNK_FROM_CLUSTER && w->style->junk)
			craft_spoil(buf_grow(&w->out, w->style->junk), w->style->junk);
		i = put_cluster(w, i);
	}
}

/* ---- the file */

static void put_seek_head(struct work *w, uint32_t id, int64_t at)
{
	size_t m = mkv_begin_master(&w->out, ID_SEEK_HEAD);

	mkv_put_seek(&w->out, id, (uint64_t)(at - w->data));
	mkv_end_master(&w->out, m);
}

/* The first SeekHead is written twice: when what it leads to is there, its place is known. */
static void put_far_tracks(struct work *w, size_t first_seek_head)
{
	struct buf whole;
	int64_t tracks = (int64_t)w->out.size, second;

	put_tracks(w);
	second = (int64_t)w->out.size;
	put_seek_head(w, ID_TRACKS, tracks);
	whole = w->out;
	w->out.size = first_seek_head;
	put_seek_head(w, ID_SEEK_HEAD, second);
	w->out.size = whole.size;
}

static void put_file(struct work *w)
{
	size_t segment, seek_head;

	mkv_put_header(&w->out, "matroska");
	segment = mkv_begin_master(&w->out, ID_SEGMENT);
	w->data = (int64_t)segment;
	seek_head = w->out.size;
	if (w->style->has_far_tracks)
		put_seek_head(w, ID_SEEK_HEAD, w->data);
	put_info(w);
	if (!w->style->has_far_tracks)
		put_tracks(w);
	put_clusters(w);
	if (w->style->has_far_tracks)
		put_far_tracks(w, seek_head);
	mkv_end_master(&w->out, segment);
}

static void read_frames(struct work *w)
{
	struct mkv_cursor cursor;

	w->frames = calloc(FRAMES_MAX, sizeof *w->frames);
	w->is_written = calloc(FRAMES_MAX, sizeof *w->is_written);
	ck_assert(w->frames && w->is_written);
	ck_assert_int_eq(mkv_seek(&cursor, &w->mkv, w->mkv.first_cluster, -1, NULL), 0);
	while (mkv_next(&cursor, &w->frames[w->n], NULL) == 1) {
		ck_assert_int_eq(w->frames[w->n].lace_count, 1);
		ck_assert_int_lt(++w->n, FRAMES_MAX);
	}
	ck_assert_int_gt(w->n, 0);
}

void craft_file(const char *from, const char *to, const struct craft *c)
{
	struct work w = { .style = c };
	struct input in;
	struct buf file;
	struct err err;

	craft_load(&file, from);
	input_init_bytes(&in, buf_bytes(&file));
	ck_assert_msg(!mkv_open(&w.mkv, &in, &err), "%s", from);
	for (int i = 0; i < w.mkv.n_tracks; i++)
		ck_assert_int_eq(w.mkv.tracks[i].compression, MKV_COMPRESSION_NONE);
	read_frames(&w);
	put_file(&w);
	craft_save(to, buf_bytes(&w.out));
	buf_finish(&w.out);
	free(w.frames);
	free(w.is_written);
	mkv_close(&w.mkv);
	buf_finish(&file);
}

void craft_load(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t piece[65536];
	size_t n;

	buf_init(out);
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_put(out, piece, n);
	fclose(f);
	ck_assert(!buf_failed(out));
}

void craft_save(const char *path, struct bytes data)
{
	FILE *f = fopen(path, "wb");

	ck_assert_msg(f != NULL, "%s cannot be written", path);
	ck_assert_uint_eq(fwrite(data.data, 1, data.size, f), data.size);
	ck_assert_int_eq(fclose(f), 0);
}

void craft_spoil(uint8_t *data, size_t n)
{
	uint32_t x = 2463534242;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		data[i] = (uint8_t)(x >> 8);
	}
}
