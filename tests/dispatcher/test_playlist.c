/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/playlist.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/suites.h"

static struct plan_segment segments[] = {
	{ .start = 0, .duration = 540540, .video_id = 1000, .video_end = 301000 },
	{ .start = 540540, .duration = 585585, .video_id = 301000, .video_end = 501000 },
	{ .start = 1126125, .duration = 90000, .video_id = 501000, .video_end = INT64_MAX },
};
static const int64_t sizes[] = { 600600, 1301300, 100000 };

static struct plan make_plan(void)
{
	struct plan plan = { .segments = segments, .n_segments = 3 };

	plan.video = (struct record_video){ .is_present = true, .is_copy = true, .codecs = "avc1.640028", .width = 1920, .height = 1080,
					    .rate_num = 24000, .rate_den = 1001, .range = "SDR" };
	plan.audio = (struct record_audio){ .is_present = true, .codecs = "mp4a.40.2" };
	plan.is_independent = true;
	return plan;
}

static void check_text(struct buf *out, const char *expected)
{
	ck_assert_str_eq(buf_cstr(out), expected);
	buf_finish(out);
}

START_TEST(the_media_playlist_is_exact_to_the_microsecond)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	playlist_put_media(&plan, 0, NULL, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:0\n"
			 "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
			 "#EXTINF:6.006000,\n0-540540.m4s\n#EXTINF:6.506500,\n540540-585585.m4s\n"
			 "#EXTINF:1.000000,\n1126125-90000.m4s\n#EXT-X-ENDLIST\n");
}
END_TEST

START_TEST(a_segment_that_cannot_be_made_is_a_gap)
{
	static const uint8_t gaps[] = { 0, 1, 0 };
	struct plan plan = make_plan();
	struct buf out = { 0 };

	playlist_put_media(&plan, 0, gaps, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "0-540540.m4s\n#EXT-X-GAP\n#EXTINF:6.506500,\n540540-585585.m4s\n#EXTINF:1.0"));
	buf_finish(&out);
}
END_TEST

START_TEST(an_open_gop_is_not_said_to_be_independent)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	plan.is_independent = false;
	playlist_put_media(&plan, 0, NULL, &out);
	playlist_put_master(&plan, sizes, &out);
	ck_assert_ptr_null(strstr(buf_cstr(&out), "INDEPENDENT"));
	buf_finish(&out);
}
END_TEST

START_TEST(the_master_playlist_tells_peak_and_average_of_real_sizes)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	/* 1301300 bytes in 6.5065 s; 2001900 bytes in 13.5125 s */
	playlist_put_master(&plan, sizes, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
			 "#EXT-X-STREAM-INF:BANDWIDTH=1600000,AVERAGE-BANDWIDTH=1185214,"
			 "CODECS=\"avc1.640028,mp4a.40.2\",RESOLUTION=1920x1080,FRAME-RATE=23.976,VIDEO-RANGE=SDR\n"
			 "main/index.m3u8\n");
}
END_TEST

START_TEST(what_else_the_video_is_is_told_beside_its_codec)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	snprintf(plan.video.supplemental, sizeof plan.video.supplemental, "dvh1.08.06/db4h");
	playlist_put_master(&plan, sizes, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "CODECS=\"avc1.640028,mp4a.40.2\",SUPPLEMENTAL-CODECS=\"dvh1.08.06/db4h\",RESOLUTION="));
	buf_finish(&out);
}
END_TEST

START_TEST(before_sizes_are_known_the_sources_bytes_stand_in)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	playlist_put_master(&plan, NULL, &out);
	/* peak: the 300000 source bytes of the first segment in 6.006 s */
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "BANDWIDTH=399601,"));
	buf_finish(&out);
}
END_TEST

/* All sums and products of it hold 63 bits: no bandwidth is negative, nor over what a segment may have. */
START_TEST(an_index_that_lies_about_places_overflows_nothing)
{
	const int64_t far = INT64_C(1) << 62;
	struct plan_segment lies[] = {
		{ .start = 0, .duration = 1, .video_id = 0, .video_end = far },
		{ .start = 1, .duration = 1, .video_id = far, .video_end = far },
		{ .start = 2, .duration = 54000000, .video_id = far, .video_end = INT64_MAX },
	};
	const int64_t committed[] = { INT64_MAX, INT64_MAX, -1 };
	struct plan plan = make_plan();
	long long peak, average;
	struct buf out = { 0 };

	plan.segments = lies;
	for (int i = 0; i < 2; i++) {
		playlist_put_master(&plan, i ? committed : NULL, &out);
		ck_assert_int_eq(sscanf(strstr(buf_cstr(&out), "BANDWIDTH="), "BANDWIDTH=%lld,AVERAGE-BANDWIDTH=%lld", &peak, &average), 2);
		ck_assert_int_eq(peak, (INT64_C(1) << 40) * 720000);
		ck_assert(average > 0 && average < peak);
		buf_finish(&out);
	}
}
END_TEST

START_TEST(a_title_without_video_has_no_resolution)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	memset(&plan.video, 0, sizeof(plan.video));
	playlist_put_master(&plan, sizes, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "CODECS=\"mp4a.40.2\"\nmain/index.m3u8\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(an_unknown_frame_rate_is_not_told)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	plan.video.rate_num = plan.video.rate_den = 0;
	plan.audio.is_present = false;
	playlist_put_master(&plan, sizes, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "CODECS=\"avc1.640028\",RESOLUTION=1920x1080,VIDEO-RANGE=SDR\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(target_duration_is_the_longest_segment_rounded)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	plan.n_segments = 1;
	playlist_put_media(&plan, 0, NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "#EXT-X-TARGETDURATION:6\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(a_segment_is_found_by_its_exact_name_only)
{
	static const char *const wrong[] = {
		"0-540540",
		"00-540540.m4s",
		"+0-540540.m4s",
		" 0-540540.m4s",
		"0-540541.m4s",
		"1-540540.m4s",
		"-1-1.m4s",
		"540540-585585.m4s ",
		"0x0-540540.m4s",
		"99999999999999999999-1.m4s",
		"",
		".m4s",
	};
	struct plan plan = make_plan();

	ck_assert_int_eq(playlist_find_segment(&plan, 0, "0-540540.m4s"), 0);
	ck_assert_int_eq(playlist_find_segment(&plan, 0, "540540-585585.m4s"), 1);
	ck_assert_int_eq(playlist_find_segment(&plan, 0, "1126125-90000.m4s"), 2);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(playlist_find_segment(&plan, 0, wrong[i]), -1);
}
END_TEST

Suite *suite_playlist(void)
{
	Suite *suite = suite_create("dispatcher/playlist");
	TCase *tc = tcase_create("playlist");

	tcase_add_test(tc, the_media_playlist_is_exact_to_the_microsecond);
	tcase_add_test(tc, a_segment_that_cannot_be_made_is_a_gap);
	tcase_add_test(tc, an_open_gop_is_not_said_to_be_independent);
	tcase_add_test(tc, the_master_playlist_tells_peak_and_average_of_real_sizes);
	tcase_add_test(tc, what_else_the_video_is_is_told_beside_its_codec);
	tcase_add_test(tc, before_sizes_are_known_the_sources_bytes_stand_in);
	tcase_add_test(tc, an_index_that_lies_about_places_overflows_nothing);
	tcase_add_test(tc, a_title_without_video_has_no_resolution);
	tcase_add_test(tc, an_unknown_frame_rate_is_not_told);
	tcase_add_test(tc, target_duration_is_the_longest_segment_rounded);
	tcase_add_test(tc, a_segment_is_found_by_its_exact_name_only);
	suite_add_tcase(suite, tc);
	return suite;
}
