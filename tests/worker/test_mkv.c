/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A Matroska file's head, and its Cues.
 */
#include "tests/suites.h"
#include "tests/worker/mkv_it.h"
#include "common/timeline.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#define MS INT64_C(1000000)

START_TEST(the_head_says_what_the_tracks_are)
{
	mkv_put_head(&it.file);
	size_t at = mkv_put_cluster(&it.file, 1000, 'a');
	it_load();
	ck_assert_int_eq(it.mkv.timestamp_scale, 1000000);
	ck_assert_int_eq(it.mkv.duration_ns, 10 * NS_PER_SECOND);
	ck_assert_int_eq(it.mkv.first_cluster, (int64_t)at);
	ck_assert_int_eq(it.mkv.segment_end, (int64_t)it.file.size);
	ck_assert_int_eq(it.mkv.n_tracks, 2);
	const struct track *v = mkv_track(&it.mkv, MKV_VIDEO_TRACK), *a = mkv_track(&it.mkv, MKV_AUDIO_TRACK);
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
	ck_assert_ptr_null(mkv_track(&it.mkv, 3));
	ck_assert_uint_eq(it.mkv.n_cues, 0);
}
END_TEST

START_TEST(what_is_not_matroska_is_told_apart_from_what_cannot_be_read)
{
	ck_assert_int_eq(it_try_open(), ERR_DATA);
	buf_put_str(&it.file, "ftypisom, and no EBML");
	ck_assert_int_eq(it_try_open(), ERR_DATA);
	buf_reset(&it.file);
	mkv_put_header(&it.file, "other");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	ck_assert_int_eq(it_try_open(), ERR_UNSUPPORTED);
	buf_reset(&it.file);
	mkv_put_header(&it.file, "webm");
	ck_assert_int_eq(it_try_open(), ERR_DATA);
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	mkv_put_info(&it.file);
	ck_assert_int_eq(it_try_open(), ERR_DATA);
	mkv_put_tracks(&it.file);
	ck_assert_int_eq(it_try_open(), 0);
}
END_TEST

START_TEST(void_crc_and_a_large_attachment_are_passed_over)
{
	static const uint8_t crc[4] = { 1, 2, 3, 4 };

	mkv_put_header(&it.file, "matroska");
	mkv_put_void(&it.file, 3);
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	mkv_put_binary(&it.file, EBML_ID_CRC32, crc, 4);
	mkv_put_void(&it.file, 40);
	mkv_put_info(&it.file);
	mkv_put_void(&it.file, 0);
	mkv_put_tracks(&it.file);
	size_t m = mkv_begin_master(&it.file, ID_ATTACHMENTS);
	buf_put_zero(&it.file, 100 << 10);
	mkv_end_master(&it.file, m);
	m = mkv_begin_master(&it.file, ID_CLUSTER);
	mkv_put_binary(&it.file, EBML_ID_CRC32, crc, 4);
	mkv_put_uint(&it.file, ID_TIMESTAMP, 7);
	mkv_put_void(&it.file, 100);
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, "x", 1);
	mkv_put_void(&it.file, 1);
	mkv_put_simple(&it.file, 1, 1, 0, "y", 1);
	mkv_end_master(&it.file, m);
	mkv_put_void(&it.file, 5);
	mkv_put_cluster(&it.file, 100, 'a');
	it_load();
	ck_assert_str_eq(it_letters(), "xyabcd");
	ck_assert_int_eq(it.frames[0].time_ns, 7 * MS);
	ck_assert_int_eq(it.damaged, 0);
}
END_TEST

START_TEST(a_timestamp_scale_of_zero_is_the_default)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t m = mkv_begin_master(&it.file, ID_INFO);
	mkv_put_uint(&it.file, 0x2AD7B1, 0);
	mkv_put_float(&it.file, 0x4489, -5);
	mkv_end_master(&it.file, m);
	mkv_put_tracks(&it.file);
	mkv_put_cluster(&it.file, 3, 'a');
	it_load();
	ck_assert_int_eq(it.mkv.duration_ns, 0);
	ck_assert_int_eq(it.frames[0].time_ns, 3 * MS);
}
END_TEST

static void check_cues(size_t a, size_t b)
{
	ck_assert_uint_eq(it.mkv.n_cues, 3);
	ck_assert_uint_eq(it.mkv.cues[0].track, MKV_VIDEO_TRACK);
	ck_assert_int_eq(it.mkv.cues[0].place, (int64_t)a);
	ck_assert_int_eq(it.mkv.cues[0].time_ns, 0);
	ck_assert_int_eq(it.mkv.cues[0].relative, -1);
	ck_assert_int_eq(it.mkv.cues[1].place, (int64_t)b);
	ck_assert_int_eq(it.mkv.cues[1].time_ns, 100 * MS);
	ck_assert_uint_eq(it.mkv.cues[2].track, MKV_AUDIO_TRACK);
	ck_assert_int_eq(it.mkv.cues[2].place, (int64_t)a);
}

START_TEST(cues_behind_the_clusters_are_found_without_a_seek_head)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t data = it.file.size;
	mkv_put_info(&it.file);
	mkv_put_tracks(&it.file);
	size_t a = mkv_put_cluster(&it.file, 0, 'a'), b = mkv_put_cluster(&it.file, 100, 'e');
	mkv_put_cues(&it.file, data, a, b);
	it_load();
	check_cues(a, b);
	ck_assert_str_eq(it_letters(), "abcdefgh");
}
END_TEST

START_TEST(a_second_seek_head_is_followed)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t data = it.file.size;
	size_t m = mkv_begin_master(&it.file, ID_SEEK_HEAD);
	mkv_put_seek(&it.file, ID_SEEK_HEAD, 0); /* itself */
	size_t patch = it.file.size;
	mkv_put_seek(&it.file, ID_SEEK_HEAD, 0);
	size_t patch_end = it.file.size;
	mkv_end_master(&it.file, m);
	mkv_put_info(&it.file);
	/* of unknown size, so that nobody gets past it without a SeekHead */
	size_t a = it.file.size;
	mkv_begin_unknown(&it.file, ID_CLUSTER);
	mkv_put_uint(&it.file, ID_TIMESTAMP, 0);
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, "x", 1);
	size_t cues = it.file.size;
	mkv_put_cues(&it.file, data, a, a);
	size_t tracks = it.file.size;
	mkv_put_tracks(&it.file);
	size_t second = it.file.size;
	m = mkv_begin_master(&it.file, ID_SEEK_HEAD);
	mkv_put_seek(&it.file, ID_CUES, cues - data);
	mkv_put_seek(&it.file, ID_TRACKS, tracks - data);
	mkv_put_seek(&it.file, ID_INFO, 999999);
	mkv_end_master(&it.file, m);
	buf_patch_u32(&it.file, patch_end - 4, (uint32_t)(second - data));
	ck_assert_uint_lt(patch, patch_end);
	it_load();
	ck_assert_int_eq(it.mkv.n_tracks, 2);
	ck_assert_uint_eq(it.mkv.n_cues, 3);
	ck_assert_str_eq(it_letters(), "x");
}
END_TEST

START_TEST(cues_may_stand_before_tracks)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t data = it.file.size;
	mkv_put_cues(&it.file, data, data, data);
	size_t cues_size = it.file.size - data;
	buf_reset(&it.file);
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	struct buf rest;
	buf_init(&rest);
	mkv_put_tracks(&rest);
	mkv_put_info(&rest);
	size_t a = data + cues_size + rest.size;
	mkv_put_cues(&it.file, data, a, a);
	buf_put(&it.file, rest.data, rest.size);
	buf_finish(&rest);
	ck_assert_uint_eq(mkv_put_cluster(&it.file, 0, 'a'), a);
	it_load();
	check_cues(a, a);
}
END_TEST

START_TEST(cues_that_lead_nowhere_or_are_cut_are_dropped)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t data = it.file.size;
	mkv_put_info(&it.file);
	mkv_put_tracks(&it.file);
	size_t a = mkv_put_cluster(&it.file, 0, 'a'), before = it.file.size;
	mkv_put_cues(&it.file, data, a + 1, a);
	it_load();
	ck_assert_uint_eq(it.mkv.n_cues, 0);
	mkv_close(&it.mkv);
	it.file.size = before;
	mkv_put_cues(&it.file, data, a, a);
	it.file.size--;
	it_load();
	ck_assert_uint_eq(it.mkv.n_cues, 0);
}
END_TEST

Suite *suite_mkv(void)
{
	Suite *s = suite_create("mkv");
	TCase *tc = tcase_create("mkv");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_setup, it_teardown);
	tcase_add_test(tc, the_head_says_what_the_tracks_are);
	tcase_add_test(tc, what_is_not_matroska_is_told_apart_from_what_cannot_be_read);
	tcase_add_test(tc, void_crc_and_a_large_attachment_are_passed_over);
	tcase_add_test(tc, a_timestamp_scale_of_zero_is_the_default);
	tcase_add_test(tc, cues_behind_the_clusters_are_found_without_a_seek_head);
	tcase_add_test(tc, a_second_seek_head_is_followed);
	tcase_add_test(tc, cues_may_stand_before_tracks);
	tcase_add_test(tc, cues_that_lead_nowhere_or_are_cut_are_dropped);
	suite_add_tcase(s, tc);
	return s;
}
