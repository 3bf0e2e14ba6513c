/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mkv.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "common/timeline.h"
#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#define MS INT64_C(1000000)
#define FRAMES_MAX 600

static struct buf file;
static struct input in;
static struct mkv mkv;
static struct frame frames[FRAMES_MAX];
static int n_frames;
static int64_t damaged;

static void setup(void)
{
	buf_init(&file);
	memset(&mkv, 0, sizeof(mkv));
	n_frames = 0;
}

static void teardown(void)
{
	mkv_close(&mkv);
	buf_finish(&file);
}

static int read_frames(void)
{
	struct mkv_cursor c;
	int ret = 1;

	n_frames = 0;
	damaged = 0;
	if (mkv.first_cluster < 0)
		return 0;
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, -1, NULL), 0);
	while (n_frames < FRAMES_MAX && (ret = mkv_next(&c, &frames[n_frames], NULL)) == 1)
		n_frames++;
	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(mkv_next(&c, &frames[0] + n_frames, NULL), 0);
	damaged = c.damaged_bytes;
	return n_frames;
}

static int open_bytes(struct bytes bytes, struct err *err)
{
	input_init_bytes(&in, bytes);
	int ret = mkv_open(&mkv, &in, err);
	if (ret)
		return ret;
	ret = mkv_read_cues(&mkv, err);
	if (ret)
		mkv_close(&mkv);
	return ret;
}

/* The frame's stored bytes. */
static const uint8_t *at_frame(const struct frame *f)
{
	return in.data + f->at;
}

/* Opens what was built and reads all frames. */
static void load(void)
{
	struct err err;

	ck_assert(!buf_failed(&file));
	ck_assert_msg(open_bytes(buf_bytes(&file), &err) == 0, "%s", err.msg);
	read_frames();
}

static int try_open(void)
{
	int ret = open_bytes(buf_bytes(&file), NULL);

	mkv_close(&mkv);
	return ret;
}

/* The first byte of every frame, in order. */
static const char *letters(void)
{
	static char s[FRAMES_MAX + 1];

	for (int i = 0; i < n_frames; i++)
		s[i] = frames[i].size ? (char)*at_frame(&frames[i]) : '-';
	s[n_frames] = 0;
	return s;
}

static void put_group(int track, int16_t time, const char *data, uint64_t duration, int64_t reference, int64_t discard)
{
	size_t g = mkv_begin_master(&file, ID_BLOCK_GROUP);
	mkv_put_block(&file, track, time, 0, data, strlen(data));
	if (duration)
		mkv_put_uint(&file, 0x9B, duration);
	size_t more = mkv_begin_master(&file, 0x75A1); /* BlockAdditions */
	mkv_put_string(&file, 0xA6, "more");
	mkv_end_master(&file, more);
	if (reference)
		mkv_put_uint(&file, 0xFB, (uint64_t)reference);
	if (discard)
		mkv_put_uint(&file, 0x75A2, (uint64_t)discard);
	mkv_end_master(&file, g);
}

/* ---- head */

START_TEST(the_head_says_what_the_tracks_are)
{
	mkv_put_head(&file);
	size_t at = mkv_put_cluster(&file, 1000, 'a');
	load();
	ck_assert_int_eq(mkv.timestamp_scale, 1000000);
	ck_assert_int_eq(mkv.duration_ns, 10 * NS_PER_SECOND);
	ck_assert_int_eq(mkv.first_cluster, (int64_t)at);
	ck_assert_int_eq(mkv.segment_end, (int64_t)file.size);
	ck_assert_int_eq(mkv.n_tracks, 2);
	const struct track *v = mkv_track(&mkv, MKV_VIDEO_TRACK), *a = mkv_track(&mkv, MKV_AUDIO_TRACK);
	ck_assert_int_eq(v->type, TRACK_VIDEO);
	ck_assert_str_eq(v->codec_id, "V_MPEG4/ISO/AVC");
	ck_assert_mem_eq(v->codec_private.data, "video private", v->codec_private.size);
	ck_assert_int_eq(v->width, 1920);
	ck_assert_int_eq(v->height, 1080);
	ck_assert(v->is_default && v->is_enabled && !v->colour.is_present);
	ck_assert_str_eq(v->language, "eng");
	ck_assert_int_eq(a->type, TRACK_AUDIO);
	ck_assert_str_eq(a->language, "fre");
	ck_assert(!a->is_default);
	ck_assert_int_eq(a->channels, 6);
	ck_assert_int_eq((int)a->rate, 48000);
	ck_assert_int_eq((int)a->output_rate, 48000);
	ck_assert_uint_eq(a->codec_delay_ns, 5000000);
	ck_assert_uint_eq(a->seek_preroll_ns, 80000000);
	ck_assert_ptr_null(mkv_track(&mkv, 3));
	ck_assert_uint_eq(mkv.n_cues, 0);
}
END_TEST

START_TEST(what_is_not_matroska_is_told_apart_from_what_cannot_be_read)
{
	ck_assert_int_eq(try_open(), ERR_DATA);
	buf_put_str(&file, "ftypisom, and no EBML");
	ck_assert_int_eq(try_open(), ERR_DATA);
	buf_reset(&file);
	mkv_put_header(&file, "other");
	mkv_begin_unknown(&file, ID_SEGMENT);
	ck_assert_int_eq(try_open(), ERR_UNSUPPORTED);
	buf_reset(&file);
	mkv_put_header(&file, "webm");
	ck_assert_int_eq(try_open(), ERR_DATA);
	mkv_begin_unknown(&file, ID_SEGMENT);
	mkv_put_info(&file);
	ck_assert_int_eq(try_open(), ERR_DATA);
	mkv_put_tracks(&file);
	ck_assert_int_eq(try_open(), 0);
}
END_TEST

START_TEST(void_crc_and_a_large_attachment_are_passed_over)
{
	static const uint8_t crc[4] = { 1, 2, 3, 4 };

	mkv_put_header(&file, "matroska");
	mkv_put_void(&file, 3);
	mkv_begin_unknown(&file, ID_SEGMENT);
	mkv_put_binary(&file, EBML_ID_CRC32, crc, 4);
	mkv_put_void(&file, 40);
	mkv_put_info(&file);
	mkv_put_void(&file, 0);
	mkv_put_tracks(&file);
	size_t m = mkv_begin_master(&file, ID_ATTACHMENTS);
	buf_put_zero(&file, 100 << 10);
	mkv_end_master(&file, m);
	m = mkv_begin_master(&file, ID_CLUSTER);
	mkv_put_binary(&file, EBML_ID_CRC32, crc, 4);
	mkv_put_uint(&file, ID_TIMESTAMP, 7);
	mkv_put_void(&file, 100);
	mkv_put_simple(&file, 1, 0, MKV_KEY, "x", 1);
	mkv_put_void(&file, 1);
	mkv_put_simple(&file, 1, 1, 0, "y", 1);
	mkv_end_master(&file, m);
	mkv_put_void(&file, 5);
	mkv_put_cluster(&file, 100, 'a');
	load();
	ck_assert_str_eq(letters(), "xyabcd");
	ck_assert_int_eq(frames[0].time_ns, 7 * MS);
	ck_assert_int_eq(damaged, 0);
}
END_TEST

/* Cues for both tracks, two Clusters; positions counted from segment_data. */
static void put_cues(size_t data, size_t a, size_t b)
{
	size_t m = mkv_begin_master(&file, ID_CUES);
	mkv_put_cue(&file, 100, MKV_VIDEO_TRACK, b - data);
	mkv_put_cue(&file, 0, MKV_AUDIO_TRACK, a - data);
	mkv_put_cue(&file, 0, MKV_VIDEO_TRACK, a - data);
	mkv_put_cue(&file, 5, MKV_VIDEO_TRACK, 1 << 30); /* out of the file */
	mkv_end_master(&file, m);
}

static void check_cues(size_t a, size_t b)
{
	ck_assert_uint_eq(mkv.n_cues, 3);
	ck_assert_uint_eq(mkv.cues[0].track, MKV_VIDEO_TRACK);
	ck_assert_int_eq(mkv.cues[0].place, (int64_t)a);
	ck_assert_int_eq(mkv.cues[0].time_ns, 0);
	ck_assert_int_eq(mkv.cues[0].relative, -1);
	ck_assert_int_eq(mkv.cues[1].place, (int64_t)b);
	ck_assert_int_eq(mkv.cues[1].time_ns, 100 * MS);
	ck_assert_uint_eq(mkv.cues[2].track, MKV_AUDIO_TRACK);
	ck_assert_int_eq(mkv.cues[2].place, (int64_t)a);
}

START_TEST(cues_behind_the_clusters_are_found_without_a_seek_head)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t data = file.size;
	mkv_put_info(&file);
	mkv_put_tracks(&file);
	size_t a = mkv_put_cluster(&file, 0, 'a'), b = mkv_put_cluster(&file, 100, 'e');
	put_cues(data, a, b);
	load();
	check_cues(a, b);
	ck_assert_str_eq(letters(), "abcdefgh");
}
END_TEST

START_TEST(a_second_seek_head_is_followed)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t data = file.size;
	size_t m = mkv_begin_master(&file, ID_SEEK_HEAD);
	mkv_put_seek(&file, ID_SEEK_HEAD, 0); /* itself */
	size_t patch = file.size;
	mkv_put_seek(&file, ID_SEEK_HEAD, 0);
	size_t patch_end = file.size;
	mkv_end_master(&file, m);
	mkv_put_info(&file);
	/* of unknown size, so that nobody gets past it without a SeekHead */
	size_t a = file.size;
	mkv_begin_unknown(&file, ID_CLUSTER);
	mkv_put_uint(&file, ID_TIMESTAMP, 0);
	mkv_put_simple(&file, 1, 0, MKV_KEY, "x", 1);
	size_t cues = file.size;
	put_cues(data, a, a);
	size_t tracks = file.size;
	mkv_put_tracks(&file);
	size_t second = file.size;
	m = mkv_begin_master(&file, ID_SEEK_HEAD);
	mkv_put_seek(&file, ID_CUES, cues - data);
	mkv_put_seek(&file, ID_TRACKS, tracks - data);
	mkv_put_seek(&file, ID_INFO, 999999);
	mkv_end_master(&file, m);
	buf_patch_u32(&file, patch_end - 4, (uint32_t)(second - data));
	ck_assert_uint_lt(patch, patch_end);
	load();
	ck_assert_int_eq(mkv.n_tracks, 2);
	ck_assert_uint_eq(mkv.n_cues, 3);
	ck_assert_str_eq(letters(), "x");
}
END_TEST

START_TEST(cues_may_stand_before_tracks)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t data = file.size;
	put_cues(data, data, data);
	size_t cues_size = file.size - data;
	buf_reset(&file);
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	struct buf rest;
	buf_init(&rest);
	mkv_put_tracks(&rest);
	mkv_put_info(&rest);
	size_t a = data + cues_size + rest.size;
	put_cues(data, a, a);
	buf_put(&file, rest.data, rest.size);
	buf_finish(&rest);
	ck_assert_uint_eq(mkv_put_cluster(&file, 0, 'a'), a);
	load();
	check_cues(a, a);
}
END_TEST

START_TEST(cues_that_lead_nowhere_or_are_cut_are_dropped)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t data = file.size;
	mkv_put_info(&file);
	mkv_put_tracks(&file);
	size_t a = mkv_put_cluster(&file, 0, 'a'), before = file.size;
	put_cues(data, a + 1, a);
	load();
	ck_assert_uint_eq(mkv.n_cues, 0);
	mkv_close(&mkv);
	file.size = before;
	put_cues(data, a, a);
	file.size--;
	load();
	ck_assert_uint_eq(mkv.n_cues, 0);
}
END_TEST

/* Writes a Tracks with one entry: video fields by the caller between these two. */
static size_t begin_video_only(void)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t tracks = mkv_begin_master(&file, ID_TRACKS), entry = mkv_begin_master(&file, ID_TRACK_ENTRY);
	mkv_put_uint(&file, 0xD7, 1);
	mkv_put_uint(&file, 0x83, 1);
	return entry | tracks << 32;
}

static void end_video_only(size_t marks)
{
	mkv_end_master(&file, marks & 0xFFFFFFFF);
	mkv_end_master(&file, marks >> 32);
}

START_TEST(a_roll_becomes_a_clockwise_rotation)
{
	static const struct {
		double roll;
		int rotation;
	} cases[] = { { 0, 0 }, { -90, 90 }, { 90, 270 }, { 180, 180 }, { -180, 180 }, { 270, 90 }, { -270, 270 }, { 360, 0 }, { 450, 0 }, { 45, 0 }, { 1e300, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&file);
		size_t marks = begin_video_only(), v = mkv_begin_master(&file, 0xE0), p = mkv_begin_master(&file, 0x7670);
		mkv_put_float(&file, 0x7675, cases[i].roll);
		mkv_end_master(&file, p);
		mkv_end_master(&file, v);
		end_video_only(marks);
		load();
		ck_assert_int_eq(mkv.tracks[0].rotation, cases[i].rotation);
		mkv_close(&mkv);
	}
}
END_TEST

START_TEST(colour_is_read)
{
	size_t marks = begin_video_only(), v = mkv_begin_master(&file, 0xE0), c = mkv_begin_master(&file, 0x55B0);
	mkv_put_uint(&file, 0x55B1, 9);
	mkv_put_uint(&file, 0x55BA, 16);
	mkv_put_uint(&file, 0x55B9, 1);
	mkv_end_master(&file, c);
	mkv_end_master(&file, v);
	end_video_only(marks);
	load();
	const struct track_colour *colour = &mkv.tracks[0].colour;
	ck_assert(colour->is_present);
	ck_assert_int_eq(colour->matrix, 9);
	ck_assert_int_eq(colour->transfer, 16);
	ck_assert_int_eq(colour->primaries, 2);
	ck_assert_int_eq(colour->range, 1);
}
END_TEST

START_TEST(the_light_of_the_mastering_display_is_read)
{
	size_t marks = begin_video_only(), v = mkv_begin_master(&file, 0xE0), c = mkv_begin_master(&file, 0x55B0), m;
	const struct track_colour *colour;

	mkv_put_uint(&file, 0x55BC, 1000);
	mkv_put_uint(&file, 0x55BD, 400);
	m = mkv_begin_master(&file, 0x55D0);
	for (int i = 0; i < 10; i++)
		mkv_put_float(&file, 0x55D1 + (uint32_t)i, i + 0.5);
	mkv_end_master(&file, m);
	mkv_end_master(&file, c);
	mkv_end_master(&file, v);
	end_video_only(marks);
	load();
	colour = &mkv.tracks[0].colour;
	ck_assert(!colour->is_present);
	ck_assert_int_eq(colour->max_cll, 1000);
	ck_assert_int_eq(colour->max_fall, 400);
	for (int i = 0; i < 8; i++)
		ck_assert(colour->chromaticity[i / 2][i % 2] == i + 0.5);
	ck_assert(colour->luminance_max == 8.5 && colour->luminance_min == 9.5);
}
END_TEST

START_TEST(light_that_is_not_given_is_below_zero)
{
	size_t marks = begin_video_only();
	const struct track_colour *colour;

	end_video_only(marks);
	load();
	colour = &mkv.tracks[0].colour;
	ck_assert(colour->max_cll == -1 && colour->max_fall == -1 && colour->luminance_max < 0 && colour->luminance_min < 0);
	for (int i = 0; i < 8; i++)
		ck_assert(colour->chromaticity[i / 2][i % 2] < 0);
}
END_TEST

static void put_mapping(uint32_t type, const char *data)
{
	size_t m = mkv_begin_master(&file, ID_BLOCK_ADDITION_MAPPING);

	mkv_put_uint(&file, 0x41F0, 1);
	mkv_put_uint(&file, 0x41E7, type);
	mkv_put_binary(&file, 0x41ED, data, strlen(data));
	mkv_end_master(&file, m);
}

/* HDR10+ (4) and time codes (121) are mapped as well; of configurations there may be four. */
START_TEST(configurations_mapped_to_block_additions_are_read)
{
	static const uint32_t types[] = { 0x64766343, 0x68766345, 0x64767643, 0x64767743 };
	size_t marks = begin_video_only();
	const struct track *t;

	put_mapping(4, "not a box");
	for (int i = 0; i < 4; i++)
		put_mapping(types[i], i & 1 ? "two" : "one");
	put_mapping(types[0], "a fifth");
	end_video_only(marks);
	load();
	t = &mkv.tracks[0];
	ck_assert_int_eq(t->n_mappings, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(t->mappings[i].type, types[i]);
		ck_assert_uint_eq(t->mappings[i].data.size, 3);
		ck_assert_mem_eq(t->mappings[i].data.data, i & 1 ? "two" : "one", 3);
	}
}
END_TEST

START_TEST(too_many_tracks_and_too_large_values_are_over_a_limit)
{
	size_t marks = begin_video_only(), v = mkv_begin_master(&file, 0xE0);
	mkv_put_uint(&file, 0xB0, LIMIT_PIXELS + 1);
	mkv_end_master(&file, v);
	end_video_only(marks);
	ck_assert_int_eq(try_open(), ERR_LIMIT);

	buf_reset(&file);
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t m = mkv_begin_master(&file, ID_TRACKS);
	for (unsigned i = 1; i <= TRACKS_MAX + 1; i++) {
		size_t e = mkv_begin_master(&file, ID_TRACK_ENTRY);
		mkv_put_uint(&file, 0xD7, i);
		mkv_end_master(&file, e);
	}
	mkv_end_master(&file, m);
	ck_assert_int_eq(try_open(), ERR_LIMIT);
}
END_TEST

START_TEST(a_timestamp_scale_of_zero_is_the_default)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t m = mkv_begin_master(&file, ID_INFO);
	mkv_put_uint(&file, 0x2AD7B1, 0);
	mkv_put_float(&file, 0x4489, -5);
	mkv_end_master(&file, m);
	mkv_put_tracks(&file);
	mkv_put_cluster(&file, 3, 'a');
	load();
	ck_assert_int_eq(mkv.duration_ns, 0);
	ck_assert_int_eq(frames[0].time_ns, 3 * MS);
}
END_TEST

/* ---- blocks */

START_TEST(times_are_scaled_and_less_the_codec_delay)
{
	mkv_put_head(&file);
	size_t at = mkv_put_cluster(&file, 1000, 'a');
	load();
	ck_assert_str_eq(letters(), "abcd");
	static const int64_t ms[] = { 1000, 995, 1040, 1035 };
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(frames[i].time_ns, ms[i] * MS);
		ck_assert_int_eq(frames[i].place, (int64_t)at);
		ck_assert_int_eq(frames[i].lace_count, 1);
		ck_assert_int_eq(frames[i].is_key, i != 2);
		ck_assert_int_eq(frames[i].duration_ns, 0);
	}
}
END_TEST

START_TEST(a_block_group_is_key_without_a_reference)
{
	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 0);
	size_t first = file.size;
	put_group(1, 0, "a", 0, 0, 0);
	put_group(1, 40, "b", 40, -40, 0);
	put_group(2, -10, "c", 0, 0, 3000000);
	mkv_end_master(&file, m);
	load();
	ck_assert_str_eq(letters(), "abc");
	ck_assert_int_eq(frames[0].id, (int64_t)first);
	ck_assert(frames[0].is_key && !frames[1].is_key && frames[2].is_key);
	ck_assert_int_eq(frames[1].duration_ns, 40 * MS);
	ck_assert_int_eq(frames[2].time_ns, -15 * MS);
	ck_assert_int_eq(frames[2].discard_ns, 3 * MS);
	ck_assert_int_eq(frames[1].discard_ns, 0);
}
END_TEST

static void check_lace(int from, const size_t *sizes, int n, int64_t first_ms, int64_t step_ms)
{
	for (int i = 0; i < n; i++) {
		const struct frame *f = &frames[from + i];
		ck_assert_int_eq(f->lace_index, i);
		ck_assert_int_eq(f->lace_count, n);
		ck_assert_int_eq(f->size, (int64_t)sizes[i]);
		ck_assert_int_eq(*at_frame(f), 'a' + i);
		ck_assert_int_eq(f->time_ns, (first_ms + step_ms * i) * MS);
	}
}

START_TEST(every_kind_of_lacing_is_undone)
{
	static const size_t xiph[] = { 300, 1, 255, 2 }, fixed[] = { 5, 5, 5 }, ebml[] = { 200, 3, 400, 7 };
	static const uint8_t xiph_head[] = { 3, 255, 45, 1, 255, 0 };
	/* 200; -197 in two bytes; +397 in two bytes */
	static const uint8_t ebml_head[] = { 3, 0x40, 200, 0x5F, 0x3A, 0x61, 0x8C };
	static char data[1024];
	size_t n = 0;

	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 100);
	memcpy(data, xiph_head, n = sizeof(xiph_head));
	for (int i = 0; i < 4; n += xiph[i++])
		memset(data + n, 'a' + i, xiph[i]);
	mkv_put_simple(&file, 2, 0, MKV_KEY | 0x02, data, n);
	data[0] = 2;
	n = 1;
	for (int i = 0; i < 3; n += fixed[i++])
		memset(data + n, 'a' + i, fixed[i]);
	mkv_put_simple(&file, 2, 80, MKV_KEY | 0x04, data, n);
	memcpy(data, ebml_head, n = sizeof(ebml_head));
	for (int i = 0; i < 4; n += ebml[i++])
		memset(data + n, 'a' + i, ebml[i]);
	mkv_put_simple(&file, 2, 140, MKV_KEY | 0x06, data, n);
	mkv_end_master(&file, m);
	load();
	ck_assert_int_eq(n_frames, 11);
	check_lace(0, xiph, 4, 95, 20);
	check_lace(4, fixed, 3, 175, 20);
	check_lace(7, ebml, 4, 235, 20);
	for (int i = 0; i < n_frames; i++)
		ck_assert(frames[i].is_key);
}
END_TEST

START_TEST(a_lace_without_default_duration_shares_the_blocks_and_discards_at_its_end)
{
	static const size_t sizes[] = { 1, 1 };

	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 0), g = mkv_begin_master(&file, ID_BLOCK_GROUP);
	mkv_put_block(&file, 1, 0, 0x04, "\1ab", 3);
	mkv_put_uint(&file, 0x9B, 60);
	mkv_put_uint(&file, 0x75A2, 7);
	mkv_end_master(&file, g);
	mkv_end_master(&file, m);
	load();
	ck_assert_int_eq(n_frames, 2);
	check_lace(0, sizes, 2, 0, 30);
	ck_assert_int_eq(frames[0].duration_ns, 30 * MS);
	ck_assert_int_eq(frames[0].discard_ns, 0);
	ck_assert_int_eq(frames[1].discard_ns, 7);
}
END_TEST

START_TEST(a_broken_lace_loses_its_block_only)
{
	static const struct {
		uint8_t flags;
		const char *data;
		size_t n;
	} bad[] = {
		{ 0x02, "\1", 1 }, { 0x02, "", 0 }, { 0x02, "\1\xFF\xFF", 3 }, { 0x02, "\1\x05zz", 4 }, { 0x04, "\1abc", 4 },
		{ 0x06, "\1\x85zz", 4 }, { 0x06, "\2\x81\x80zzz", 6 }, { 0x06, "\1\0\0zzzzz", 8 }, { 0x06, "\3\x81", 2 },
		{ 0x06, "\2\x81\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFFz", 11 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&file);
		mkv_put_head(&file);
		size_t m = mkv_begin_cluster(&file, 0);
		mkv_put_simple(&file, 1, 0, 0, "a", 1);
		mkv_put_simple(&file, 1, 1, bad[i].flags, bad[i].data, bad[i].n);
		mkv_put_simple(&file, 1, 2, 0, "b", 1);
		mkv_end_master(&file, m);
		load();
		ck_assert_msg(!strcmp(letters(), "ab"), "case %zu: %s", i, letters());
		ck_assert_int_gt(damaged, 0);
		mkv_close(&mkv);
	}
}
END_TEST

START_TEST(unknown_sizes_end_at_the_next_element_of_the_level)
{
	mkv_put_head(&file);
	for (int i = 0; i < 3; i++) {
		mkv_begin_unknown(&file, ID_CLUSTER);
		mkv_put_uint(&file, ID_TIMESTAMP, (uint64_t)i * 100);
		mkv_put_simple(&file, 1, 0, MKV_KEY, &"ace"[i], 1);
		put_group(1, 10, "x", 0, -10, 0);
	}
	mkv_put_void(&file, 7);
	size_t m = mkv_begin_master(&file, ID_TAGS);
	buf_put_zero(&file, 50);
	mkv_end_master(&file, m);
	mkv_put_cluster(&file, 300, 'm');
	load();
	ck_assert_str_eq(letters(), "axcxexmnop");
	ck_assert_int_eq(frames[4].time_ns, 200 * MS);
	ck_assert_int_eq(damaged, 0);
}
END_TEST

START_TEST(another_file_joined_to_the_end_is_not_read)
{
	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'a');
	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'e');
	load();
	ck_assert_str_eq(letters(), "abcd");
}
END_TEST

START_TEST(a_segment_whose_size_is_too_small_is_read_to_the_end)
{
	mkv_put_header(&file, "matroska");
	size_t m = mkv_begin_master(&file, ID_SEGMENT);
	mkv_put_info(&file);
	mkv_put_tracks(&file);
	mkv_put_cluster(&file, 0, 'a');
	mkv_end_master(&file, m);
	mkv_put_cluster(&file, 100, 'e');
	load();
	ck_assert_str_eq(letters(), "abcdefgh");
}
END_TEST

START_TEST(blocks_of_no_track_or_out_of_time_are_passed_over)
{
	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 0);
	mkv_put_simple(&file, 9, 0, 0, "x", 1);
	mkv_put_simple(&file, 1, 0, 0, "", 0);
	mkv_put_simple(&file, 1, 0, 0, "a", 1);
	mkv_end_master(&file, m);
	static const uint64_t far[] = { UINT64_MAX, INT64_MAX, (uint64_t)(TIMELINE_MAX_NS / MS) + 1 };
	for (size_t i = 0; i < 3; i++)
		mkv_put_cluster(&file, far[i], 'm');
	m = mkv_begin_master(&file, ID_CLUSTER); /* without a Timestamp */
	mkv_put_simple(&file, 1, 0, 0, "y", 1);
	mkv_end_master(&file, m);
	mkv_put_cluster(&file, (uint64_t)(TIMELINE_MAX_NS / MS) - 40, 'b');
	load();
	ck_assert_str_eq(letters() + (n_frames - 4), "bcde");
	ck_assert_int_eq(*at_frame(&frames[0]), 'a');
	for (int i = 0; i < n_frames; i++)
		ck_assert(frames[i].time_ns <= TIMELINE_MAX_NS && *at_frame(&frames[i]) != 'y');
}
END_TEST

/* ---- seeking */

START_TEST(a_cursor_starts_at_a_cluster_or_at_a_block)
{
	struct mkv_cursor c, copy;
	struct frame f;

	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'a');
	size_t second = mkv_put_cluster(&file, 100, 'e');
	load();
	ck_assert_int_eq(mkv_seek(&c, &mkv, (int64_t)second, -1, NULL), 0);
	ck_assert_int_eq(mkv_next(&c, &f, NULL), 1);
	ck_assert_int_eq(*at_frame(&f), 'e');
	ck_assert_int_eq(mkv_seek(&c, &mkv, frames[6].place, frames[6].id, NULL), 0);
	copy = c;
	ck_assert_int_eq(mkv_next(&c, &f, NULL), 1);
	ck_assert_int_eq(*at_frame(&f), 'g');
	ck_assert_int_eq(f.time_ns, 140 * MS);
	ck_assert_int_eq(mkv_next(&copy, &f, NULL), 1);
	ck_assert_int_eq(*at_frame(&f), 'g');
}
END_TEST

START_TEST(seeking_to_where_nothing_is_fails)
{
	struct mkv_cursor c;

	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'a');
	load();
	static const int64_t off[] = { INT64_MIN, -1, 0, 1, INT64_MAX };
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		ck_assert_int_eq(mkv_seek(&c, &mkv, off[i], -1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster + 1, -1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, mkv.first_cluster, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, frames[1].id + 1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, INT64_MAX, NULL), ERR_DATA);
}
END_TEST

/* Only the two ends of a block's payload share pages with headers: the ones between are taken away. */
START_TEST(payload_is_never_touched)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), big = 16 * page;
	char *payload = calloc(1, big);

	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 0), at = file.size;
	mkv_put_simple(&file, 1, 0, MKV_KEY, payload, big);
	mkv_put_simple(&file, 1, 40, 0, "z", 1);
	mkv_end_master(&file, m);
	free(payload);
	uint8_t *map = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	memcpy(map, file.data, file.size);
	size_t from = (at / page + 1) * page;
	ck_assert_int_eq(mprotect(map + from, 12 * page, PROT_NONE), 0);
	ck_assert_int_eq(open_bytes((struct bytes){ map, file.size }, NULL), 0);
	ck_assert_int_eq(read_frames(), 2);
	ck_assert_int_eq(frames[0].size, (int64_t)big);
	munmap(map, file.size);
}
END_TEST

/* ---- compression */

static void put_packed_track(uint64_t scope, uint64_t algorithm, const void *settings, size_t n, const void *private, size_t size)
{
	size_t marks = begin_video_only();
	mkv_put_binary(&file, 0x63A2, private, size);
	size_t es = mkv_begin_master(&file, 0x6D80), e = mkv_begin_master(&file, ID_CONTENT_ENCODING);
	mkv_put_uint(&file, 0x5032, scope);
	size_t c = mkv_begin_master(&file, 0x5034);
	mkv_put_uint(&file, 0x4254, algorithm);
	if (n)
		mkv_put_binary(&file, 0x4255, settings, n);
	mkv_end_master(&file, c);
	mkv_end_master(&file, e);
	mkv_end_master(&file, es);
	end_video_only(marks);
}

static void put_one_frame(const void *data, size_t n)
{
	size_t m = mkv_begin_cluster(&file, 0);
	mkv_put_simple(&file, 1, 0, MKV_KEY, data, n);
	mkv_end_master(&file, m);
}

START_TEST(stripped_headers_are_put_back)
{
	struct buf scratch = { 0 };
	struct bytes out;

	put_packed_track(3, 3, "HEAD", 4, "private", 7);
	put_one_frame("body", 4);
	load();
	ck_assert_int_eq(mkv.tracks[0].compression, TRACK_COMPRESSION_STRIP);
	ck_assert_uint_eq(mkv.tracks[0].codec_private.size, 11);
	ck_assert_mem_eq(mkv.tracks[0].codec_private.data, "HEADprivate", 11);
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), 0);
	ck_assert_uint_eq(out.size, 8);
	ck_assert_mem_eq(out.data, "HEADbody", 8);
	buf_finish(&scratch);
}
END_TEST

START_TEST(an_empty_block_of_a_stripped_track_is_a_frame)
{
	put_packed_track(1, 3, "HEAD", 4, "private", 7);
	put_one_frame("", 0);
	load();
	ck_assert_int_eq(n_frames, 1);
	ck_assert_uint_eq(mkv.tracks[0].codec_private.size, 7);
}
END_TEST

START_TEST(zlib_is_undone_in_frames_and_private_data)
{
	static uint8_t plain[100000], packed[1000];
	uLongf n = sizeof(packed);
	struct buf scratch = { 0 };
	struct bytes out;

	plain[99999] = 7;
	ck_assert_int_eq(compress(packed, &n, plain, sizeof(plain)), Z_OK);
	put_packed_track(3, 0, NULL, 0, packed, n);
	put_one_frame(packed, n);
	load();
	ck_assert_uint_eq(mkv.tracks[0].codec_private.size, sizeof(plain));
	ck_assert_mem_eq(mkv.tracks[0].codec_private.data, plain, sizeof(plain));
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), 0);
	ck_assert_uint_eq(out.size, sizeof(plain));
	ck_assert_mem_eq(out.data, plain, sizeof(plain));
	frames[0].size = (int64_t)n / 2;
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), ERR_DATA);
	frames[0].size = (int64_t)n;
	memcpy(file.data + frames[0].at, "no zlib", 7);
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), ERR_DATA);
	memcpy(file.data + frames[0].at, packed, n);
	scratch.limit = sizeof(plain) - 1;
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), ERR_LIMIT);
	buf_finish(&scratch);
}
END_TEST

START_TEST(a_frame_without_compression_is_a_view)
{
	struct buf scratch = { 0 };
	struct bytes out;

	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'a');
	load();
	ck_assert_int_eq(mkv_frame_data(&mkv, &frames[0], &scratch, &out, NULL), 0);
	ck_assert_ptr_eq(out.data, at_frame(&frames[0]));
	ck_assert_ptr_null(scratch.data);
}
END_TEST

START_TEST(what_cannot_be_unpacked_counts_as_encrypted)
{
	put_packed_track(1, 1, NULL, 0, "private", 7);
	load();
	ck_assert(mkv.tracks[0].is_encrypted);
	mkv_close(&mkv);
	buf_reset(&file);
	size_t marks = begin_video_only(), es = mkv_begin_master(&file, 0x6D80), e = mkv_begin_master(&file, ID_CONTENT_ENCODING);
	mkv_put_uint(&file, 0x5033, 1);
	mkv_end_master(&file, e);
	mkv_end_master(&file, es);
	end_video_only(marks);
	load();
	ck_assert(mkv.tracks[0].is_encrypted);
}
END_TEST

START_TEST(private_data_packed_twice_is_not_read_from_where_it_goes)
{
	size_t marks = begin_video_only();
	mkv_put_string(&file, 0x63A2, "private");
	size_t es = mkv_begin_master(&file, 0x6D80);
	for (int i = 0; i < 2; i++) {
		size_t e = mkv_begin_master(&file, ID_CONTENT_ENCODING);
		mkv_put_uint(&file, 0x5032, 2);
		size_t c = mkv_begin_master(&file, 0x5034);
		mkv_put_uint(&file, 0x4254, 3);
		mkv_put_string(&file, 0x4255, "HEAD");
		mkv_end_master(&file, c);
		mkv_end_master(&file, e);
	}
	mkv_end_master(&file, es);
	end_video_only(marks);
	load();
	ck_assert_uint_eq(mkv.tracks[0].codec_private.size, 0);
}
END_TEST

/* ---- damage */

START_TEST(garbage_between_clusters_is_passed_over)
{
	mkv_put_head(&file);
	mkv_put_cluster(&file, 0, 'a');
	size_t from = file.size;
	for (int i = 0; i < 500; i++)
		buf_put_u8(&file, (uint8_t)(i * 37));
	buf_put_u32(&file, ID_CLUSTER); /* an ID, but no Cluster */
	buf_put_u32(&file, 0);
	size_t n = file.size - from;
	mkv_put_cluster(&file, 100, 'e');
	load();
	ck_assert_str_eq(letters(), "abcdefgh");
	ck_assert_int_eq(damaged, (int64_t)n);
}
END_TEST

START_TEST(garbage_in_front_of_the_first_cluster_is_passed_over)
{
	mkv_put_head(&file);
	buf_put_zero(&file, 100);
	size_t at = mkv_put_cluster(&file, 0, 'a');
	load();
	ck_assert_int_eq(mkv.first_cluster, (int64_t)at);
	ck_assert_str_eq(letters(), "abcd");
}
END_TEST

START_TEST(a_block_that_lies_about_its_size_costs_no_other_cluster)
{
	mkv_put_head(&file);
	size_t m = mkv_begin_cluster(&file, 0);
	mkv_put_simple(&file, 1, 0, MKV_KEY, "a", 1);
	size_t at = file.size;
	mkv_put_simple(&file, 1, 0, 0, "x", 1);
	mkv_end_master(&file, m);
	mkv_put_cluster(&file, 100, 'e');
	size_t size = file.size;
	static const uint32_t lies[] = { 40, 90, 5000, UINT32_MAX };
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		file.size = size;
		buf_patch_u32(&file, at + 5, lies[i]);
		load();
		ck_assert_msg(!strcmp(letters(), "aefgh"), "%u: %s", lies[i], letters());
		ck_assert_int_gt(damaged, 0);
		mkv_close(&mkv);
	}
}
END_TEST

START_TEST(a_cluster_that_lies_about_its_size_keeps_its_blocks)
{
	static const int lies[] = { -13, 20, 1000000 };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		buf_reset(&file);
		mkv_put_head(&file);
		size_t at = mkv_put_cluster(&file, 0, 'a');
		uint32_t size = get_u32(file.data + at + 8);
		mkv_put_cluster(&file, 100, 'e');
		buf_patch_u32(&file, at + 8, size + (uint32_t)lies[i]);
		load();
		ck_assert_msg(!strcmp(letters(), "abcdefgh"), "%d: %s", lies[i], letters());
		mkv_close(&mkv);
	}
}
END_TEST

/* A file with all sorts of things in it. */
static void put_everything(void)
{
	mkv_put_header(&file, "matroska");
	mkv_begin_unknown(&file, ID_SEGMENT);
	size_t data = file.size, m = mkv_begin_master(&file, ID_SEEK_HEAD);
	mkv_put_seek(&file, ID_INFO, 100);
	mkv_end_master(&file, m);
	mkv_put_info(&file);
	mkv_put_tracks(&file);
	size_t a = mkv_put_cluster(&file, 0, 'a');
	m = mkv_begin_cluster(&file, 100);
	put_group(1, 0, "e", 40, 0, 0);
	mkv_put_simple(&file, 2, 0, MKV_KEY | 0x02, "\2\1\1fgh", 6);
	mkv_put_simple(&file, 2, 60, MKV_KEY | 0x04, "\1ij", 3);
	mkv_put_simple(&file, 2, 80, MKV_KEY | 0x06, "\1\x81kl", 4);
	mkv_end_master(&file, m);
	mkv_begin_unknown(&file, ID_CLUSTER);
	mkv_put_uint(&file, ID_TIMESTAMP, 200);
	mkv_put_simple(&file, 1, 0, MKV_KEY, "m", 1);
	put_cues(data, a, a);
}

/* Each length of file in a block of its own, so that reading behind it is seen by the sanitizer. */
START_TEST(a_file_cut_anywhere_gives_a_prefix_of_the_frames)
{
	char all[FRAMES_MAX + 1];
	int at_most = 0;

	put_everything();
	load();
	strcpy(all, letters());
	ck_assert_str_eq(all, "abcdefghijklm");
	mkv_close(&mkv);
	for (size_t n = 0; n <= file.size; n++) {
		uint8_t *cut = malloc(n + !n);
		memcpy(cut, file.data, n);
		if (!open_bytes((struct bytes){ cut, n }, NULL)) {
			read_frames();
			ck_assert_msg(!strncmp(all, letters(), (size_t)n_frames), "cut at %zu: %s", n, letters());
			ck_assert_int_ge(n_frames, at_most);
			at_most = n_frames;
			mkv_close(&mkv);
		}
		free(cut);
	}
	ck_assert_int_eq(at_most, (int)strlen(all));
}
END_TEST

START_TEST(no_changed_byte_harms)
{
	put_everything();
	for (size_t i = 0; i < file.size; i++) {
		uint8_t was = file.data[i];
		static const uint8_t to[] = { 0, 1, 0x7F, 0x80, 0xFF, 0x10, 0x40 };
		for (size_t k = 0; k < sizeof(to); k++) {
			file.data[i] = to[k];
			if (!open_bytes(buf_bytes(&file), NULL))
				read_frames();
			for (int f = 0; f < n_frames; f++)
				ck_assert(frames[f].at >= 0 && frames[f].at + frames[f].size <= (int64_t)file.size);
			mkv_close(&mkv);
			n_frames = 0;
		}
		file.data[i] = was;
	}
}
END_TEST

static void add_head_tests(Suite *s)
{
	TCase *tc = tcase_create("head");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_head_says_what_the_tracks_are);
	tcase_add_test(tc, what_is_not_matroska_is_told_apart_from_what_cannot_be_read);
	tcase_add_test(tc, void_crc_and_a_large_attachment_are_passed_over);
	tcase_add_test(tc, cues_behind_the_clusters_are_found_without_a_seek_head);
	tcase_add_test(tc, a_second_seek_head_is_followed);
	tcase_add_test(tc, cues_may_stand_before_tracks);
	tcase_add_test(tc, cues_that_lead_nowhere_or_are_cut_are_dropped);
	tcase_add_test(tc, a_roll_becomes_a_clockwise_rotation);
	tcase_add_test(tc, colour_is_read);
	tcase_add_test(tc, the_light_of_the_mastering_display_is_read);
	tcase_add_test(tc, light_that_is_not_given_is_below_zero);
	tcase_add_test(tc, configurations_mapped_to_block_additions_are_read);
	tcase_add_test(tc, too_many_tracks_and_too_large_values_are_over_a_limit);
	tcase_add_test(tc, a_timestamp_scale_of_zero_is_the_default);
	suite_add_tcase(s, tc);
}

static void add_block_tests(Suite *s)
{
	TCase *tc = tcase_create("blocks");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, times_are_scaled_and_less_the_codec_delay);
	tcase_add_test(tc, a_block_group_is_key_without_a_reference);
	tcase_add_test(tc, every_kind_of_lacing_is_undone);
	tcase_add_test(tc, a_lace_without_default_duration_shares_the_blocks_and_discards_at_its_end);
	tcase_add_test(tc, a_broken_lace_loses_its_block_only);
	tcase_add_test(tc, unknown_sizes_end_at_the_next_element_of_the_level);
	tcase_add_test(tc, another_file_joined_to_the_end_is_not_read);
	tcase_add_test(tc, a_segment_whose_size_is_too_small_is_read_to_the_end);
	tcase_add_test(tc, blocks_of_no_track_or_out_of_time_are_passed_over);
	tcase_add_test(tc, a_cursor_starts_at_a_cluster_or_at_a_block);
	tcase_add_test(tc, seeking_to_where_nothing_is_fails);
	tcase_add_test(tc, payload_is_never_touched);
	suite_add_tcase(s, tc);
}

static void add_other_tests(Suite *s)
{
	TCase *tc = tcase_create("compression and damage");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, stripped_headers_are_put_back);
	tcase_add_test(tc, an_empty_block_of_a_stripped_track_is_a_frame);
	tcase_add_test(tc, zlib_is_undone_in_frames_and_private_data);
	tcase_add_test(tc, a_frame_without_compression_is_a_view);
	tcase_add_test(tc, what_cannot_be_unpacked_counts_as_encrypted);
	tcase_add_test(tc, private_data_packed_twice_is_not_read_from_where_it_goes);
	tcase_add_test(tc, garbage_between_clusters_is_passed_over);
	tcase_add_test(tc, garbage_in_front_of_the_first_cluster_is_passed_over);
	tcase_add_test(tc, a_block_that_lies_about_its_size_costs_no_other_cluster);
	tcase_add_test(tc, a_cluster_that_lies_about_its_size_keeps_its_blocks);
	tcase_add_test(tc, a_file_cut_anywhere_gives_a_prefix_of_the_frames);
	tcase_add_test(tc, no_changed_byte_harms);
	suite_add_tcase(s, tc);
}

Suite *suite_mkv(void)
{
	Suite *s = suite_create("mkv");

	add_head_tests(s);
	add_block_tests(s);
	add_other_tests(s);
	return s;
}
