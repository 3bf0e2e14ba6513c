/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/mkv_rewrite.h"

#include "tests/e2e/craft.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MS INT64_C(1000000)
#define WORK_TRACKS_MAX 16
#define STRIPPED 3 /* bytes that are put into the track's header: the same in every frame of it, or the packing is a no-op */
#define CRC_BYTES 6
#define JUNK_FROM_CLUSTER 2

struct work_frame {
	uint64_t track;
	int cluster;
	int64_t time_ns, duration_ns;
	bool is_key, is_done;
	struct bytes data;
};

struct work_track {
	uint64_t number, type;
	struct bytes entry;           /* the children */
	uint8_t stripped[STRIPPED];
	size_t n_stripped;
};

struct work_cue {
	int64_t units;
	uint64_t track;
	size_t cluster;               /* position in the Segment */
};

struct work {
	const struct rewrite *how;
	struct work_track tracks[WORK_TRACKS_MAX];
	int n_tracks;
	struct work_frame *frames;
	int n;
	struct buf *out;
	int64_t scale;
	size_t data;                  /* offset of the Segment's data */
	int n_clusters;
	/* positions in the Segment, as far as the last pass found them; no size depends on them but on the number of Cues */
	size_t info, tracks_at, cues_at, second_seek_head;
	struct work_cue *cues;
	size_t n_cues, n_noted;
};

/* ---- reading */

static struct bytes value_of(struct bytes file, const struct ebml_element *e)
{
	return (struct bytes){ file.data + e->data, (size_t)(e->end - e->data) };
}

bool mkv_find_in(struct bytes file, const struct ebml_element *parent, uint32_t id, int n, struct ebml_element *e)
{
	int64_t bound = parent->end < (int64_t)file.size ? parent->end : (int64_t)file.size;

	for (int64_t at = parent->data; ebml_read(file, at, bound, e); at = e->is_unknown ? e->data : e->end)
		if (e->id == id && !n--)
			return true;
	return false;
}

static struct ebml_element segment_of(struct bytes file)
{
	struct ebml_element whole = { .end = (int64_t)file.size }, e;

	ck_assert(mkv_find_in(file, &whole, ID_SEGMENT, 0, &e));
	return e;
}

bool mkv_find(struct bytes file, uint32_t id, int n, struct ebml_element *e)
{
	struct ebml_element segment = segment_of(file);

	return mkv_find_in(file, &segment, id, n, e);
}

static uint64_t value_in(struct bytes file, const struct ebml_element *parent, uint32_t id, uint64_t otherwise)
{
	struct ebml_element e;

	if (mkv_find_in(file, parent, id, 0, &e))
		ebml_uint(value_of(file, &e), &otherwise);
	return otherwise;
}

static void read_track(struct work *w, struct bytes file, const struct ebml_element *entry)
{
	struct work_track *t = &w->tracks[w->n_tracks++];
	struct ebml_element e;

	ck_assert_int_le(w->n_tracks, WORK_TRACKS_MAX);
	ck_assert_msg(!mkv_find_in(file, entry, 0x6D80, 0, &e), "a packed track");
	*t = (struct work_track){ .number = value_in(file, entry, 0xD7, 0), .type = value_in(file, entry, 0x83, 0),
			     .entry = value_of(file, entry) };
}

static void read_block(struct work *w, struct work_frame f, struct bytes block)
{
	int length = ebml_vint(block.data, block.size, &f.track);

	ck_assert(length && block.size >= (size_t)length + 3);
	ck_assert_msg(!(block.data[length + 2] & 6), "a laced block");
	f.time_ns += (int16_t)get_u16(block.data + length) * MS;
	f.is_key = f.is_key || block.data[length + 2] & MKV_KEY;
	f.data = (struct bytes){ block.data + length + 3, block.size - (size_t)length - 3 };
	if (!(w->n & (w->n + 1)))
		w->frames = realloc(w->frames, ((size_t)w->n * 2 + 2) * sizeof *w->frames);
	ck_assert_ptr_nonnull(w->frames);
	w->frames[w->n++] = f;
}

static void read_cluster(struct work *w, struct bytes file, const struct ebml_element *cluster, int n)
{
	struct work_frame f = { .cluster = n, .time_ns = (int64_t)value_in(file, cluster, ID_TIMESTAMP, 0) * MS };
	struct ebml_element e, block;

	for (int64_t at = cluster->data; ebml_read(file, at, cluster->end, &e); at = e.end) {
		struct work_frame g = f;

		if (e.id == ID_SIMPLE_BLOCK)
			read_block(w, f, value_of(file, &e));
		if (e.id != ID_BLOCK_GROUP)
			continue;
		ck_assert(mkv_find_in(file, &e, 0xA1, 0, &block));
		g.duration_ns = (int64_t)value_in(file, &e, 0x9B, 0) * MS;
		g.is_key = !mkv_find_in(file, &e, 0xFB, 0, &(struct ebml_element){ 0 });
		read_block(w, g, value_of(file, &block));
	}
}

static void read_file(struct work *w, struct bytes file)
{
	struct ebml_element tracks, e;

	ck_assert(mkv_find(file, ID_INFO, 0, &e));
	ck_assert_uint_eq(value_in(file, &e, 0x2AD7B1, MS), MS);
	ck_assert(mkv_find(file, ID_TRACKS, 0, &tracks));
	for (int i = 0; mkv_find_in(file, &tracks, ID_TRACK_ENTRY, i, &e); i++)
		read_track(w, file, &e);
	for (int i = 0; mkv_find(file, ID_CLUSTER, i, &e); i++)
		read_cluster(w, file, &e, i);
	ck_assert_int_gt(w->n, 0);
}

static struct work_track *track_of(struct work *w, uint64_t number)
{
	int i = 0;

	while (i < w->n_tracks && w->tracks[i].number != number)
		i++;
	ck_assert_int_lt(i, w->n_tracks);
	return &w->tracks[i];
}

/* What all frames of a track begin with. */
static void find_stripped(struct work *w)
{
	for (int i = 0; i < w->n; i++) {
		struct work_track *t = track_of(w, w->frames[i].track);
		struct bytes data = w->frames[i].data;
		bool is_first = true;
		size_t n = 0;

		for (int k = 0; k < i && is_first; k++)
			is_first = w->frames[k].track != t->number;
		if (is_first) {
			t->n_stripped = data.size < STRIPPED ? data.size : STRIPPED;
			memcpy(t->stripped, data.data, t->n_stripped);
		}
		while (n < t->n_stripped && n < data.size && data.data[n] == t->stripped[n])
			n++;
		t->n_stripped = n;
	}
}

/* ---- elements */

static size_t begin_level1(struct work *w, uint32_t id)
{
	if (w->how->padding)
		mkv_put_void(w->out, w->how->padding);
	size_t mark = mkv_begin_master(w->out, id);
	if (w->how->crc) {
		buf_put_u16(w->out, EBML_ID_CRC32 << 8 | 0x84);
		buf_put_u32(w->out, 0);
	}
	return mark;
}

/* RFC 8794 section 11.3.1: over all that follows it in its parent, little-endian. */
static void end_level1(struct work *w, size_t mark, bool is_spoilt)
{
	mkv_end_master(w->out, mark);
	if (w->how->crc) {
		const uint8_t *data = w->out->data + mark + CRC_BYTES;
		uint32_t crc = (uint32_t)crc32(0, data, (uInt)(w->out->size - mark - CRC_BYTES));

		buf_patch_u32(w->out, mark + 2, __builtin_bswap32(crc ^ (is_spoilt ? 0x5A : 0)));
	}
}

static size_t position(const struct work *w)
{
	return w->out->size - w->data + (w->how->padding ? w->how->padding + 9 : 0);
}

static void put_packing(struct work *w, const struct work_track *t)
{
	size_t all, one, m;

	if (!w->how->packing)
		return;
	all = mkv_begin_master(w->out, 0x6D80);
	one = mkv_begin_master(w->out, ID_CONTENT_ENCODING);
	mkv_put_uint(w->out, 0x5033, w->how->packing == REWRITE_PACKING_ENCRYPTED);
	m = mkv_begin_master(w->out, w->how->packing == REWRITE_PACKING_ENCRYPTED ? 0x5035 : 0x5034);
	if (w->how->packing == REWRITE_PACKING_ENCRYPTED) {
		mkv_put_uint(w->out, 0x47E1, 5); /* AES */
		mkv_put_binary(w->out, 0x47E2, "0123456789abcdef", 16);
	} else {
		mkv_put_uint(w->out, 0x4254, w->how->packing == REWRITE_PACKING_STRIP ? 3 : 0);
		if (w->how->packing == REWRITE_PACKING_STRIP)
			mkv_put_binary(w->out, 0x4255, t->stripped, t->n_stripped);
	}
	mkv_end_master(w->out, m);
	mkv_end_master(w->out, one);
	mkv_end_master(w->out, all);
}

static void put_track(struct work *w, const struct work_track *t)
{
	size_t m = mkv_begin_master(w->out, ID_TRACK_ENTRY);
	struct ebml_element e;

	for (int64_t at = 0; ebml_read(t->entry, at, (int64_t)t->entry.size, &e); at = e.end) {
		struct bytes value = value_of(t->entry, &e);

		if (e.id == EBML_ID_CRC32 || e.id == EBML_ID_VOID)
			continue;
		if (!w->how->put_child || !w->how->put_child(w->out, t->type, e.id, value))
			mkv_put_binary(w->out, e.id, value.data, value.size);
	}
	put_packing(w, t);
	if (w->how->put_track)
		w->how->put_track(w->out, t->type);
	mkv_end_master(w->out, m);
}

static void put_tracks(struct work *w)
{
	w->tracks_at = position(w);
	size_t m = begin_level1(w, ID_TRACKS);
	for (int i = 0; i < w->n_tracks; i++)
		put_track(w, &w->tracks[i]);
	end_level1(w, m, false);
}

static void put_info(struct work *w)
{
	w->info = position(w);
	size_t m = begin_level1(w, ID_INFO);
	mkv_put_uint(w->out, 0x2AD7B1, (uint64_t)w->scale);
	mkv_put_string(w->out, 0x4D80, "mkv_rewrite");
	mkv_put_string(w->out, 0x5741, "mkv_rewrite");
	end_level1(w, m, false);
}

static void put_attachment(struct work *w)
{
	size_t all = begin_level1(w, ID_ATTACHMENTS), one = mkv_begin_master(w->out, 0x61A7);

	mkv_put_string(w->out, 0x466E, "font.ttf");
	mkv_put_string(w->out, 0x4660, "font/ttf");
	mkv_put_uint(w->out, 0x46AE, 1);
	mkv_put_id(w->out, 0x465C);
	mkv_put_size(w->out, w->how->attachment);
	/* what is in it looks like what we look for */
	for (size_t i = 0; i < w->how->attachment / 4; i++)
		buf_put_u32(w->out, ID_CLUSTER);
	buf_put_zero(w->out, w->how->attachment % 4);
	mkv_end_master(w->out, one);
	end_level1(w, all, false);
}

/* ---- blocks */

static void put_ebml_size(struct buf *b, int64_t size, bool is_first)
{
	uint32_t v = (uint32_t)(is_first ? size : size + ((1 << 20) - 1));

	ck_assert_int_lt(llabs(size), (1 << 20) - 1);
	buf_put_u24(b, 0x200000 | v);
}

/* The sizes of all frames but the last, as the kind of lacing wants them; the last follows from the block's. */
static void put_lace_head(struct buf *b, enum rewrite_lacing lacing, const size_t *sizes, int n)
{
	buf_put_u8(b, (uint8_t)(n - 1));
	for (int i = 0; i < n - 1; i++) {
		size_t size = sizes[i];

		if (lacing == REWRITE_LACING_EBML)
			put_ebml_size(b, (int64_t)size - (i ? (int64_t)sizes[i - 1] : 0), !i);
		if (lacing != REWRITE_LACING_XIPH)
			continue;
		for (; size >= 255; size -= 255)
			buf_put_u8(b, 255);
		buf_put_u8(b, (uint8_t)size);
	}
}

static void put_zlib(struct buf *b, struct bytes data)
{
	uLongf n = compressBound((uLong)data.size);
	uint8_t *packed = malloc(n);

	ck_assert_ptr_nonnull(packed);
	ck_assert_int_eq(compress(packed, &n, data.data, (uLong)data.size), Z_OK);
	buf_put(b, packed, n);
	free(packed);
}

static void put_frame(struct work *w, struct buf *b, const struct work_track *t, struct bytes data)
{
	struct buf made = { 0 };

	if (w->how->put_frame) {
		w->how->put_frame(&made, t->type, data);
		data = buf_bytes(&made);
	}
	if (w->how->packing == REWRITE_PACKING_STRIP)
		data = (struct bytes){ data.data + t->n_stripped, data.size - t->n_stripped };
	if (w->how->packing == REWRITE_PACKING_ZLIB)
		put_zlib(b, data);
	else
		buf_put(b, data.data, data.size);
	buf_finish(&made);
}

/* Which frames from `first` on go into one block: of the same track and Cluster, in FIXED of the same size. */
static int gather(struct work *w, int first, int last, int *which)
{
	bool is_laced = w->how->lacing && track_of(w, w->frames[first].track)->type == MKV_AUDIO_TRACK;
	int n = 0;

	for (int i = first; i < last && n < (is_laced ? w->how->lace : 1); i++) {
		if (w->frames[i].track != w->frames[first].track)
			continue;
		if (w->how->lacing == REWRITE_LACING_FIXED && w->frames[i].data.size != w->frames[first].data.size)
			break;
		w->frames[i].is_done = true;
		which[n++] = i;
	}
	return n;
}

static int64_t units(const struct work *w, const struct work_frame *f)
{
	int64_t ns = f->time_ns + w->how->shift_ns;

	return (ns + (ns < 0 ? -w->scale / 2 : w->scale / 2)) / w->scale;
}

static void put_additions(struct buf *b)
{
	size_t all = mkv_begin_master(b, 0x75A1), one = mkv_begin_master(b, 0xA6);

	mkv_put_uint(b, 0xEE, 4);
	mkv_put_string(b, 0xA5, "what is added");
	mkv_end_master(b, one);
	mkv_end_master(b, all);
}

static void put_group(struct work *w, const struct work_frame *f, int n, const struct bytes *block)
{
	size_t m = mkv_begin_master(w->out, ID_BLOCK_GROUP);

	mkv_put_binary(w->out, 0xA1, block->data, block->size);
	if (w->how->has_additions)
		put_additions(w->out);
	if (w->how->has_durations)
		mkv_put_uint(w->out, 0x9B, (uint64_t)(n * 32 * MS / w->scale));
	if (!f->is_key)
		mkv_put_uint(w->out, 0xFB, (uint64_t)-(40 * MS / w->scale));
	if (w->how->discard_ns)
		mkv_put_uint(w->out, 0x75A2, (uint64_t)w->how->discard_ns);
	mkv_end_master(w->out, m);
}

static void put_block(struct work *w, int first, int last, int64_t base)
{
	const struct work_frame *f = &w->frames[first];
	struct buf frames = { 0 }, block = { 0 };
	int which[256], n = gather(w, first, last, which);
	bool is_laced = n > 1;
	size_t sizes[256];

	for (int i = 0; i < n; i++) {
		size_t before = frames.size;

		put_frame(w, &frames, track_of(w, f->track), w->frames[which[i]].data);
		sizes[i] = frames.size - before;
	}
	buf_put_u8(&block, (uint8_t)(0x80 | f->track));
	buf_put_u16(&block, (uint16_t)(units(w, f) - base));
	buf_put_u8(&block, (uint8_t)((f->is_key && !w->how->has_groups ? MKV_KEY : 0) | (is_laced ? (int)w->how->lacing : 0)));
	if (is_laced)
		put_lace_head(&block, w->how->lacing, sizes, n);
	buf_put(&block, frames.data, frames.size);
	if (w->how->padding)
		mkv_put_void(w->out, w->how->padding);
	if (w->how->has_groups)
		put_group(w, f, n, &(struct bytes){ block.data, block.size });
	else
		mkv_put_binary(w->out, ID_SIMPLE_BLOCK, block.data, block.size);
	buf_finish(&frames);
	buf_finish(&block);
}

/* Behind the last frame that a Cluster from `first` on may hold. */
static int end_of_cluster(const struct work *w, int first)
{
	int64_t low = units(w, &w->frames[first]), high = low;
	int i;

	for (i = first; i < w->n && w->frames[i].cluster == w->frames[first].cluster; i++) {
		int64_t t = units(w, &w->frames[i]);

		low = t < low ? t : low;
		high = t > high ? t : high;
		if (high - low > INT16_MAX)
			break;
	}
	return i;
}

static void note_cue(struct work *w, int first, int last, size_t cluster)
{
	for (int i = first; i < last; i++) {
		const struct work_frame *f = &w->frames[i];

		if (!f->is_key || track_of(w, f->track)->type != MKV_VIDEO_TRACK || units(w, f) < 0)
			continue;
		w->cues = realloc(w->cues, (w->n_noted + 1) * sizeof *w->cues);
		ck_assert_ptr_nonnull(w->cues);
		w->cues[w->n_noted++] = (struct work_cue){ units(w, f), f->track, cluster };
	}
}

static int put_cluster(struct work *w, int first)
{
	int last = end_of_cluster(w, first);
	int64_t base = units(w, &w->frames[w->how->has_late_clusters ? last - 1 : first]);
	size_t mark = 0;

	note_cue(w, first, last, position(w));
	base = base < 0 ? 0 : base;
	if (w->how->has_unknown_clusters) {
		if (w->how->padding)
			mkv_put_void(w->out, w->how->padding);
		mkv_begin_unknown(w->out, ID_CLUSTER);
	} else {
		mark = begin_level1(w, ID_CLUSTER);
	}
	mkv_put_uint(w->out, ID_TIMESTAMP, (uint64_t)base);
	for (int i = first; i < last; i++)
		if (!w->frames[i].is_done)
			put_block(w, i, last, base);
	if (mark)
		end_level1(w, mark, w->how->crc == REWRITE_CRC_WRONG && w->n_clusters == 1);
	w->n_clusters++;
	return last;
}

static void put_clusters(struct work *w)
{
	w->n_clusters = 0;
	w->n_noted = 0;
	for (int i = 0; i < w->n; i++)
		w->frames[i].is_done = false;
	for (int i = 0; i < w->n;) {
		if (w->n_clusters >= JUNK_FROM_CLUSTER && w->how->junk)
			craft_spoil(buf_grow(w->out, w->how->junk), w->how->junk);
		i = put_cluster(w, i);
	}
}

/* ---- the file */

static void put_cues(struct work *w)
{
	w->cues_at = position(w);
	size_t m = begin_level1(w, ID_CUES);
	for (size_t i = 0; i < w->n_cues; i++) {
		const struct work_cue *c = &w->cues[w->how->cues == REWRITE_CUES_REVERSED ? w->n_cues - 1 - i : i];

		mkv_put_cue(w->out, (uint64_t)c->units, (int)c->track, c->cluster);
	}
	end_level1(w, m, false);
}

/* Where things turn out to be; a first SeekHead of two only leads to the second. */
static void put_seek_head(struct work *w, bool is_first_of_two)
{
	size_t m = begin_level1(w, ID_SEEK_HEAD);

	if (is_first_of_two) {
		mkv_put_seek(w->out, ID_SEEK_HEAD, w->second_seek_head);
	} else {
		mkv_put_seek(w->out, ID_INFO, w->info);
		mkv_put_seek(w->out, ID_TRACKS, w->tracks_at);
		if (w->how->cues != REWRITE_CUES_NONE)
			mkv_put_seek(w->out, ID_CUES, w->cues_at);
	}
	end_level1(w, m, false);
}

static void put_segment(struct work *w)
{
	const struct rewrite *how = w->how;

	if (how->seek == REWRITE_SEEK_FRONT || how->seek == REWRITE_SEEK_TWO)
		put_seek_head(w, how->seek == REWRITE_SEEK_TWO);
	if (!how->has_far_tracks) {
		put_info(w);
		put_tracks(w);
	}
	if (how->cues == REWRITE_CUES_FRONT)
		put_cues(w);
	if (how->attachment)
		put_attachment(w);
	put_clusters(w);
	w->n_cues = w->n_noted;
	if (how->cues == REWRITE_CUES_BEHIND || how->cues == REWRITE_CUES_REVERSED)
		put_cues(w);
	if (how->has_far_tracks) {
		put_info(w);
		put_tracks(w);
	}
	w->second_seek_head = position(w);
	if (how->seek == REWRITE_SEEK_END || how->seek == REWRITE_SEEK_TWO)
		put_seek_head(w, false);
}

void mkv_rewrite(struct bytes from, const struct rewrite *how, struct buf *to)
{
	struct work w = { .how = how, .out = to, .scale = how->scale_ns ? how->scale_ns : MS };

	buf_reset(to);
	read_file(&w, from);
	find_stripped(&w);
	/* the first finds how many Cues there are, the second where all is, the third says so */
	for (int pass = 0; pass < 3; pass++) {
		buf_reset(to);
		mkv_put_header(to, how->doc_type ? how->doc_type : "matroska");
		size_t segment = mkv_begin_master(to, ID_SEGMENT);
		w.data = segment;
		put_segment(&w);
		if (how->has_unknown_segment)
			memset(to->data + segment - 7, 0xFF, 7);
		else
			mkv_end_master(to, segment);
	}
	ck_assert(!buf_failed(to));
	free(w.frames);
	free(w.cues);
}

void mkv_rewrite_file(const char *from, const char *to, const struct rewrite *how)
{
	struct buf plain, made = { 0 };

	craft_load(&plain, from);
	mkv_rewrite(buf_bytes(&plain), how, &made);
	craft_save(to, buf_bytes(&made));
	buf_finish(&plain);
	buf_finish(&made);
}
