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

/* --- several renditions */

static struct plan_segment audio_segments[] = {
	{ .start = 0, .duration = 540540, .audio_first = 0, .audio_end = 281 },
	{ .start = 540540, .duration = 585585, .audio_first = 281, .audio_end = 586 },
	{ .start = 1126125, .duration = 90000, .audio_first = 586, .audio_end = 633 },
};
static struct record_track tracks[] = {
	{ .rendition = "audio-1", .name = "de", .language = "de", .segments = audio_segments,
	  .audio = { .is_present = true, .codecs = "mp4a.40.2", .rate = 48000, .channels = 2, .unit = 1024, .frames = 633 } },
	{ .rendition = "audio-2", .name = "What we think", .is_default = true, .segments = audio_segments,
	  .audio = { .is_present = true, .codecs = "ac-3", .rate = 48000, .channels = 6, .unit = 1024, .base = 480000, .frames = 40 } },
	{ .rendition = "text-1", .name = "fr", .language = "fr", .is_forced = true, .segments = segments, .text = { true, 7 } },
};
static const int64_t all_sizes[] = { 600600, 1301300, 100000, 120120, 130130, 20000, 60060, 260260, 10000, 1 << 30, 1, 1 };

static struct plan make_plan_of_several(void)
{
	struct plan plan = make_plan();

	plan.audio = (struct record_audio){ 0 };
	plan.tracks = tracks;
	plan.n_tracks = 3;
	return plan;
}

START_TEST(renditions_are_told_and_the_largest_audio_counts)
{
	struct plan plan = make_plan_of_several();
	struct buf out = { 0 };

	/* video as above; audio: peaks of 160000 and 177778, 320000 and 88889; averages of 160000 and 195565 */
	playlist_put_master(&plan, all_sizes, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
			 "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"de\",LANGUAGE=\"de\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\","
			 "URI=\"audio-1/index.m3u8\"\n"
			 "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"What we think\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6\","
			 "URI=\"audio-2/index.m3u8\"\n"
			 "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"fr\",LANGUAGE=\"fr\",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,"
			 "URI=\"text-1/index.m3u8\"\n"
			 "#EXT-X-STREAM-INF:BANDWIDTH=1920000,AVERAGE-BANDWIDTH=1380779,"
			 "CODECS=\"avc1.640028,mp4a.40.2,ac-3\",RESOLUTION=1920x1080,FRAME-RATE=23.976,VIDEO-RANGE=SDR,"
			 "AUDIO=\"audio\",SUBTITLES=\"text\"\nvideo/index.m3u8\n");
}
END_TEST

static struct plan make_plan_of_sounds(void)
{
	struct plan plan = make_plan_of_several();

	plan.video = (struct record_video){ 0 };
	return plan;
}

/* The default one's playlist is the variant's: RFC 8216, section 4.3.4.2.1. */
START_TEST(without_video_the_default_audio_is_the_variant)
{
	struct plan plan = make_plan_of_sounds();
	struct buf out = { 0 };

	playlist_put_master(&plan, all_sizes + 3, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
			 "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"de\",LANGUAGE=\"de\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\","
			 "URI=\"audio-1/index.m3u8\"\n"
			 "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"What we think\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6\"\n"
			 "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"fr\",LANGUAGE=\"fr\",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,"
			 "URI=\"text-1/index.m3u8\"\n"
			 "#EXT-X-STREAM-INF:BANDWIDTH=320000,AVERAGE-BANDWIDTH=195565,CODECS=\"mp4a.40.2,ac-3\","
			 "AUDIO=\"audio\",SUBTITLES=\"text\"\naudio-2/index.m3u8\n");
	playlist_put_media(&plan, 0, NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "#EXTINF:5.994667,\n0-540540.m4s\n"));
	buf_reset(&out);
	playlist_put_media(&plan, 6, NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "#EXTINF:6.006000,\n0-540540.vtt\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(a_codec_is_told_once)
{
	struct plan plan = make_plan_of_several();
	struct record_track same[2] = { tracks[0], tracks[0] };
	struct buf out = { 0 };

	plan.tracks = same;
	plan.n_tracks = 2;
	playlist_put_master(&plan, NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "CODECS=\"avc1.640028,mp4a.40.2\",RESOLUTION"));
	ck_assert_ptr_null(strstr(buf_cstr(&out), "SUBTITLES"));
	buf_finish(&out);
}
END_TEST

static void check_last(int64_t frames, const char *extinf)
{
	struct plan plan = make_plan_of_several();
	struct record_track one = tracks[0];
	struct buf out = { 0 };

	one.audio.frames = frames;
	plan.tracks = &one;
	plan.n_tracks = 1;
	playlist_put_media(&plan, 3, NULL, &out);
	ck_assert_msg(strstr(buf_cstr(&out), extinf) != NULL, "%s", buf_cstr(&out));
	buf_finish(&out);
}

/* The plan ends at 13.5125 s, in frame 633. */
START_TEST(the_last_segment_of_audio_lasts_as_long_as_its_frames_and_no_less_than_the_plan)
{
	check_last(634, "#EXTINF:1.024000,\n1126125-90000.m4s\n");
	check_last(633, "#EXTINF:1.011167,\n1126125-90000.m4s\n");
	check_last(680, "#EXTINF:2.005333,\n1126125-90000.m4s\n");
}
END_TEST

/* Border 1 is 281 frames = 5.994667 s, border 2 is 586 frames = 12.501333 s: 10 ms off the plan's. */
START_TEST(audio_has_its_borders_between_frames)
{
	static const uint8_t gaps[12] = { [1] = 1, [4] = 1 };
	struct plan plan = make_plan_of_several();
	struct buf out = { 0 };

	playlist_put_media(&plan, 3, gaps, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:0\n"
			 "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
			 "#EXTINF:5.994667,\n0-540540.m4s\n#EXT-X-GAP\n#EXTINF:6.506667,\n540540-585585.m4s\n"
			 "#EXTINF:1.011167,\n1126125-90000.m4s\n#EXT-X-ENDLIST\n");
	/* frames that are far from it do not move a border */
	playlist_put_media(&plan, 6, NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "#EXTINF:6.006000,\n0-540540.m4s\n#EXTINF:6.506500,\n"));
	buf_finish(&out);
}
END_TEST

START_TEST(subtitles_have_no_init_segment_and_their_own_names)
{
	struct plan plan = make_plan_of_several();
	struct buf out = { 0 };

	playlist_put_media(&plan, 9, NULL, &out);
	check_text(&out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:0\n"
			 "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:6.006000,\n0-540540.vtt\n"
			 "#EXTINF:6.506500,\n540540-585585.vtt\n#EXTINF:1.000000,\n1126125-90000.vtt\n#EXT-X-ENDLIST\n");
}
END_TEST

START_TEST(a_segment_is_found_in_its_rendition)
{
	static const struct {
		size_t first;
		const char *name;
		int64_t want;
	} names[] = {
		{ 3, "540540-585585.m4s", 4 }, { 3, "540540.m4s", 4 },	{ 3, "540540.vtt", -1 }, { 9, "540540-585585.vtt", 10 },
		{ 9, "540540.vtt", 10 },       { 9, "540540.m4s", -1 }, { 0, "540540.m4s", 1 },	 { 0, "0540540.m4s", -1 },
		{ 0, "540541.m4s", -1 },       { 0, "540540", -1 },	{ 0, ".m4s", -1 },	 { 0, "540540-.m4s", -1 },
	};
	struct plan plan = make_plan_of_several();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(playlist_find_segment(&plan, names[i].first, names[i].name) == names[i].want, "%s", names[i].name);
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
	tcase_add_test(tc, renditions_are_told_and_the_largest_audio_counts);
	tcase_add_test(tc, without_video_the_default_audio_is_the_variant);
	tcase_add_test(tc, a_codec_is_told_once);
	tcase_add_test(tc, audio_has_its_borders_between_frames);
	tcase_add_test(tc, the_last_segment_of_audio_lasts_as_long_as_its_frames_and_no_less_than_the_plan);
	tcase_add_test(tc, subtitles_have_no_init_segment_and_their_own_names);
	tcase_add_test(tc, a_segment_is_found_in_its_rendition);
	suite_add_tcase(suite, tc);
	return suite;
}
