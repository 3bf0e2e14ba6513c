/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hostile I/O: each sample whole, in reads of one byte, and cut at a thousand points, from memory and through a pipe. A cut loses
 * what is behind it and nothing else.
 */
#include "worker/mkv.h"

#include <check.h>
#include <dirent.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/e2e/media.h"
#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"
#include "worker/title.h"

#define CUTS 1000
#define MADE 4 /* samples made here */
#define FRAMES_MAX 20000
#define SAMPLE_BYTES 100000 /* of a real file */
#define SAMPLES_MAX 32

/* What identifies a frame, its bytes included. */
struct seen {
	struct frame frame;
	uint32_t crc;
	int ret; /* of mkv_frame_data */
};

struct frames {
	struct seen *all;
	int n;
	int64_t damaged;
};

static struct err err;

/* ---- reading */

struct trickle {
	struct bytes all, rest;
	size_t step;
};

static int64_t read_some(void *arg, uint8_t *to, size_t n, struct err *e)
{
	struct trickle *t = arg;

	(void)e;
	n = n < t->step ? n : t->step;
	n = n < t->rest.size ? n : t->rest.size;
	memcpy(to, t->rest.data, n);
	t->rest = (struct bytes){ t->rest.data + n, t->rest.size - n };
	return (int64_t)n;
}

static int go_to(void *arg, int64_t at, struct err *e)
{
	struct trickle *t = arg;

	(void)e;
	ck_assert(at >= 0 && at <= (int64_t)t->all.size);
	t->rest = (struct bytes){ t->all.data + at, t->all.size - (size_t)at };
	return 0;
}

static void add_frame(struct frames *f, const struct mkv *mkv, const struct frame *frame, struct buf *scratch)
{
	struct seen *s = &f->all[f->n++];
	struct bytes data = { 0 };

	ck_assert_int_le(f->n, FRAMES_MAX);
	s->frame = *frame;
	s->ret = mkv_frame_data(mkv, frame, scratch, &data, &err);
	s->crc = s->ret ? 0 : (uint32_t)crc32(0, data.data, (uInt)data.size);
	ck_assert(s->ret == 0 || s->ret == ERR_DATA || s->ret == ERR_LIMIT);
}

/* All frames of an input, which is closed; the code of opening it. */
static int read_frames(struct input *in, struct frames *f)
{
	struct buf scratch = { 0 };
	struct mkv_cursor c;
	struct frame frame;
	struct mkv mkv;
	int ret = mkv_open(&mkv, in, &err);

	f->n = 0;
	f->damaged = 0;
	if (!ret && mkv.first_cluster >= 0) {
		ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, -1, &err), 0);
		while ((ret = mkv_next(&c, &frame, &err)) == 1)
			add_frame(f, &mkv, &frame, &scratch);
		ck_assert_int_eq(ret, 0);
		f->damaged = c.damaged_bytes;
	}
	if (!ret)
		mkv_close(&mkv);
	buf_finish(&scratch);
	input_close(in);
	return ret;
}

static int read_memory(struct bytes file, struct frames *f)
{
	struct input in;

	input_init_bytes(&in, file);
	return read_frames(&in, f);
}

static int read_trickle(struct bytes file, size_t step, bool is_pipe, struct frames *f)
{
	struct trickle t = { file, file, step };
	struct input_source source = { read_some, is_pipe ? NULL : go_to, NULL, &t };
	struct input in;

	input_init_source(&in, &source, is_pipe ? INT64_MAX : (int64_t)file.size);
	return read_frames(&in, f);
}

static bool is_same(const struct seen *a, const struct seen *b)
{
	const struct frame *x = &a->frame, *y = &b->frame;

	return x->track == y->track && x->place == y->place && x->id == y->id && x->time_ns == y->time_ns &&
	       x->lace_index == y->lace_index && x->lace_count == y->lace_count && x->is_key == y->is_key &&
	       x->duration_ns == y->duration_ns && x->discard_ns == y->discard_ns && x->at == y->at && x->size == y->size &&
	       a->ret == b->ret && a->crc == b->crc;
}

/* ---- samples */

struct sample {
	const char *name;
	struct bytes file;
};

static struct sample samples[SAMPLES_MAX];
static int n_samples;

static void add_sample(const char *name, const struct buf *file)
{
	ck_assert(n_samples < SAMPLES_MAX && !buf_failed(file));
	samples[n_samples++] = (struct sample){ name, mem_copy(file->data, file->size) };
}

static void put_encoding(struct buf *b, bool is_zlib)
{
	size_t all = mkv_begin_master(b, 0x6D80), one = mkv_begin_master(b, ID_CONTENT_ENCODING), c = mkv_begin_master(b, 0x5034);

	mkv_put_uint(b, 0x4254, is_zlib ? 0 : 3);
	if (!is_zlib)
		mkv_put_binary(b, 0x4255, "abc", 3);
	mkv_end_master(b, c);
	mkv_end_master(b, one);
	mkv_end_master(b, all);
}

static void put_packed_head(struct buf *b)
{
	size_t tracks;

	mkv_put_header(b, "matroska");
	mkv_begin_unknown(b, ID_SEGMENT);
	mkv_put_info(b);
	tracks = mkv_begin_master(b, ID_TRACKS);
	for (int i = 0; i < 2; i++) {
		size_t m = mkv_begin_master(b, ID_TRACK_ENTRY);

		mkv_put_uint(b, 0xD7, (uint64_t)i + 1);
		mkv_put_uint(b, 0x83, (uint64_t)i + 1);
		mkv_put_string(b, 0x86, i ? "A_OPUS" : "V_MPEG4/ISO/AVC");
		put_encoding(b, !i);
		mkv_end_master(b, m);
	}
	mkv_end_master(b, tracks);
}

static void put_group(struct buf *b, const void *data, size_t n)
{
	size_t g = mkv_begin_master(b, ID_BLOCK_GROUP);

	mkv_put_block(b, MKV_VIDEO_TRACK, 40, 0, data, n);
	mkv_put_uint(b, 0x9B, 40);
	mkv_put_uint(b, 0xFB, (uint64_t)-40);
	mkv_end_master(b, g);
}

/* Xiph, fixed and EBML lacing. */
static void put_laced(struct buf *b)
{
	static const uint8_t xiph[] = "\2\5\3abcdefghijkl", fixed[] = "\2aabbcc", ebml[] = "\2\x84\xbe" "aaaabbbcc";

	mkv_put_simple(b, MKV_AUDIO_TRACK, 10, MKV_KEY | 2, xiph, sizeof xiph - 1);
	mkv_put_simple(b, MKV_AUDIO_TRACK, 30, MKV_KEY | 4, fixed, sizeof fixed - 1);
	mkv_put_simple(b, MKV_AUDIO_TRACK, 50, MKV_KEY | 6, ebml, sizeof ebml - 1);
}

static void put_blocks(struct buf *b, bool is_packed)
{
	uint8_t data[300], packed[400];
	uLongf n = sizeof packed;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * i + b->size);
	ck_assert_int_eq(compress(packed, &n, data, sizeof data), Z_OK);
	mkv_put_simple(b, MKV_VIDEO_TRACK, 0, MKV_KEY, is_packed ? packed : data, is_packed ? n : sizeof data);
	put_laced(b);
	put_group(b, is_packed ? packed : data, is_packed ? n : 100);
}

static void make_samples(void)
{
	struct buf b = { 0 };

	for (int shape = 0; shape < MADE; shape++) {
		static const char *const names[] = { "plain", "packed", "unknown sizes", "damaged" };

		buf_reset(&b);
		if (shape == 1)
			put_packed_head(&b);
		else
			mkv_put_head(&b);
		for (int i = 0; i < 6; i++) {
			size_t m = 0;

			if (shape == 2) {
				mkv_begin_unknown(&b, ID_CLUSTER);
				mkv_put_uint(&b, ID_TIMESTAMP, (uint64_t)i * 80);
			} else {
				m = mkv_begin_cluster(&b, (uint64_t)i * 80);
			}
			put_blocks(&b, shape == 1);
			if (shape != 2)
				mkv_end_master(&b, m);
			if (shape == 3)
				buf_put_str(&b, i % 2 ? "a few bytes of damage" : "\xa0\xff\x01");
		}
		add_sample(names[shape], &b);
	}
	buf_finish(&b);
}

static bool is_matroska(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (!strcmp(dot, ".mkv") || !strcmp(dot, ".mka") || !strcmp(dot, ".webm"));
}

static void read_sample(const char *dir, const char *name)
{
	static char names[SAMPLES_MAX][256];
	char path[4096];
	struct buf b = { 0 };
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f || !buf_grow(&b, SAMPLE_BYTES + 1))
		ck_abort_msg("%s", path);
	b.size = fread(b.data, 1, b.size, f);
	fclose(f);
	snprintf(names[n_samples], sizeof names[0], "%s", name);
	if (b.size <= SAMPLE_BYTES)
		add_sample(names[n_samples], &b);
	buf_finish(&b);
}

static void find_samples(void)
{
	const char *dir = media_real_dir();
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *e;

	if (!d)
		fprintf(stderr, "hostile: there is no directory of real files, only made ones are read\n");
	while (d && n_samples < SAMPLES_MAX && (e = readdir(d)))
		if (is_matroska(e->d_name))
			read_sample(dir, e->d_name);
	if (d)
		closedir(d);
}

static struct frames whole, part;

static void setup(void)
{
	n_samples = 0;
	av_log_set_level(AV_LOG_QUIET);
	make_samples();
	find_samples();
	whole.all = calloc(FRAMES_MAX, sizeof *whole.all);
	part.all = calloc(FRAMES_MAX, sizeof *part.all);
	ck_assert(whole.all && part.all);
}

static void teardown(void)
{
	free(whole.all);
	free(part.all);
	mem_release();
}

/* ---- the claims */

static void check_same(const struct sample *s, size_t step, bool is_pipe)
{
	int ret = read_memory(s->file, &whole);

	ck_assert_msg(read_trickle(s->file, step, is_pipe, &part) == ret && part.n == whole.n && part.damaged == whole.damaged,
		      "%s: %d frames (%lld bytes damaged), not %d (%lld)", s->name, part.n, (long long)part.damaged, whole.n,
		      (long long)whole.damaged);
	for (int k = 0; k < part.n; k++)
		ck_assert_msg(is_same(&part.all[k], &whole.all[k]), "%s: frame %d differs", s->name, k);
}

START_TEST(reads_of_one_byte_give_what_the_whole_gives)
{
	for (int i = 0; i < n_samples; i++)
		for (size_t step = 1; step <= 4096; step *= 64) {
			check_same(&samples[i], step, true);
			check_same(&samples[i], step, false);
			ck_assert_msg(i >= MADE || whole.n >= 66, "%s: %d frames", samples[i].name, whole.n);
		}
}
END_TEST

/* Frames that lie wholly in front of the cut. */
static int n_before(const struct frames *f, int64_t cut)
{
	int n = 0;

	while (n < f->n && f->all[n].frame.at + f->all[n].frame.size <= cut)
		n++;
	return n;
}

/* The last block in front of the cut may be lost where its group goes on behind it, or its other laced frames. */
static int n_certain(const struct frames *f, int64_t cut)
{
	int n = n_before(f, cut), last = n;

	while (last && n && f->all[last - 1].frame.id == f->all[n - 1].frame.id)
		last--;
	return last;
}

static void check_cut(const struct sample *s, size_t cut, int ret, const char *how)
{
	ck_assert_msg(!ret || (!whole.n || !n_certain(&whole, (int64_t)cut)), "%s cut at %zu, %s: %s", s->name, cut, how, err.msg);
	ck_assert_msg(part.n <= n_before(&whole, (int64_t)cut) && part.n >= (ret ? 0 : n_certain(&whole, (int64_t)cut)),
		      "%s cut at %zu, %s: %d frames, not %d to %d", s->name, cut, how, part.n, n_certain(&whole, (int64_t)cut),
		      n_before(&whole, (int64_t)cut));
	for (int k = 0; k < part.n; k++)
		ck_assert_msg(is_same(&part.all[k], &whole.all[k]), "%s cut at %zu, %s: frame %d differs", s->name, cut, how, k);
}

/* What every pipeline begins with. */
static void read_title(struct bytes file)
{
	struct record_options options;
	struct title title;
	struct input in;
	struct demux *demux;

	input_init_bytes(&in, file);
	if (demux_open(&demux, &in, &err))
		return;
	record_options_init(&options);
	demux_read_cues(demux, &err);
	if (!title_init(&title, demux, &options, &err))
		title_finish(&title);
	demux_close(demux);
}

START_TEST(a_cut_loses_what_is_behind_it_and_nothing_else)
{
	for (int i = 0; i < n_samples; i++) {
		struct bytes file = samples[i].file;

		if (read_memory(file, &whole))
			continue;
		for (size_t k = 0; k < CUTS; k++) {
			size_t cut = file.size * k / CUTS;
			struct bytes head = { malloc(cut ? cut : 1), cut }; /* of exactly its size: each read past its end is seen */

			ck_assert_ptr_nonnull(head.data);
			memcpy((void *)(uintptr_t)head.data, file.data, cut);
			check_cut(&samples[i], cut, read_memory(head, &part), "in memory");
			check_cut(&samples[i], cut, read_trickle(head, 4096, true, &part), "through a pipe");
			if (k % 10 == 0)
				read_title(head);
			free((void *)(uintptr_t)head.data);
		}
	}
}
END_TEST

START_TEST(a_block_group_without_a_block_is_damage_and_no_more)
{
	struct buf b = { 0 };
	size_t m, g, group;

	mkv_put_head(&b);
	m = mkv_begin_cluster(&b, 0);
	mkv_put_simple(&b, MKV_VIDEO_TRACK, 0, MKV_KEY, "a", 1);
	g = mkv_begin_master(&b, ID_BLOCK_GROUP);
	mkv_put_uint(&b, 0x9B, 40);
	mkv_end_master(&b, g);
	group = b.size - g + 9; /* its header */
	mkv_put_simple(&b, MKV_VIDEO_TRACK, 40, 0, "b", 1);
	mkv_end_master(&b, m);
	ck_assert_int_eq(read_memory(buf_bytes(&b), &part), 0);
	ck_assert_int_eq(part.n, 2);
	ck_assert_int_eq(part.damaged, (int64_t)group);
	buf_finish(&b);
}
END_TEST

START_TEST(damage_of_unknown_size_does_not_swallow_the_rest_of_a_pipe)
{
	struct buf b = { 0 };
	size_t m;

	mkv_put_head(&b);
	mkv_begin_unknown(&b, ID_CLUSTER);
	mkv_put_uint(&b, ID_TIMESTAMP, 0);
	mkv_put_simple(&b, MKV_VIDEO_TRACK, 0, MKV_KEY, "a", 1);
	mkv_begin_unknown(&b, 0x4141);
	m = mkv_begin_cluster(&b, 80);
	mkv_put_simple(&b, MKV_VIDEO_TRACK, 0, MKV_KEY, "b", 1);
	mkv_end_master(&b, m);
	ck_assert_int_eq(read_memory(buf_bytes(&b), &whole), 0);
	ck_assert_int_eq(read_trickle(buf_bytes(&b), 1, true, &part), 0);
	ck_assert_int_eq(whole.n, 2);
	ck_assert_int_eq(part.n, 2);
	buf_finish(&b);
}
END_TEST

/* n tracks whose CodecPrivate becomes `size` bytes when it is decompressed. */
static int open_packed(int n, size_t size)
{
	static uint8_t packed[4096];
	uint8_t *zeros = calloc(1, size);
	uLongf n_packed = sizeof packed;
	struct buf b = { 0 };
	struct input in;
	struct mkv mkv;
	size_t tracks;
	int ret;

	ck_assert(zeros && compress(packed, &n_packed, zeros, size) == Z_OK);
	free(zeros);
	mkv_put_header(&b, "matroska");
	mkv_begin_unknown(&b, ID_SEGMENT);
	mkv_put_info(&b);
	tracks = mkv_begin_master(&b, ID_TRACKS);
	for (int i = 0; i < n; i++) {
		size_t m = mkv_begin_master(&b, ID_TRACK_ENTRY), all, one, c;

		mkv_put_uint(&b, 0xD7, (uint64_t)i + 1);
		mkv_put_uint(&b, 0x83, 17);
		mkv_put_binary(&b, 0x63A2, packed, n_packed);
		all = mkv_begin_master(&b, 0x6D80);
		one = mkv_begin_master(&b, ID_CONTENT_ENCODING);
		mkv_put_uint(&b, 0x5032, 2);
		c = mkv_begin_master(&b, 0x5034);
		mkv_put_uint(&b, 0x4254, 0);
		mkv_end_master(&b, c);
		mkv_end_master(&b, one);
		mkv_end_master(&b, all);
		mkv_end_master(&b, m);
	}
	mkv_end_master(&b, tracks);
	input_init_bytes(&in, buf_bytes(&b));
	ret = mkv_open(&mkv, &in, &err);
	if (!ret) {
		ck_assert_int_eq(mkv.n_tracks, n);
		ck_assert_uint_eq(mkv.tracks[n - 1].codec_private.size, size);
		mkv_close(&mkv);
	}
	buf_finish(&b);
	return ret;
}

START_TEST(what_all_tracks_together_keep_is_limited)
{
	ck_assert_int_eq(open_packed(16, 1 << 20), 0);
	ck_assert_int_eq(open_packed(17, 1 << 20), ERR_LIMIT);
	ck_assert_int_eq(open_packed(100, 1 << 20), ERR_LIMIT);
}
END_TEST

Suite *suite_hostile(void)
{
	Suite *s = suite_create("hostile");
	TCase *tc = tcase_create("hostile");

	tcase_set_timeout(tc, 1200);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_of_one_byte_give_what_the_whole_gives);
	tcase_add_test(tc, a_cut_loses_what_is_behind_it_and_nothing_else);
	tcase_add_test(tc, a_block_group_without_a_block_is_damage_and_no_more);
	tcase_add_test(tc, damage_of_unknown_size_does_not_swallow_the_rest_of_a_pipe);
	tcase_add_test(tc, what_all_tracks_together_keep_is_limited);
	suite_add_tcase(s, tc);
	return s;
}
