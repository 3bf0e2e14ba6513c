/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of worker/decide.h.
 */
#include "worker/decide.h"

#include "tests/suites.h"

#include <stdio.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))

static struct record_options options_with(bool is_video_encoded, bool is_audio_encoded, bool is_audio_copied, const char *encoded)
{
	struct record_options o;

	record_options_init(&o);
	o.is_video_encoded = is_video_encoded;
	o.is_audio_encoded = is_audio_encoded;
	o.is_audio_copied = is_audio_copied;
	snprintf(o.encoded_codecs, sizeof o.encoded_codecs, "%s", encoded);
	return o;
}

static const char *const videos[] = { "h264",  "hevc", "mpeg1video", "mpeg2video", "mpeg4",  "vc1",   "wmv3",	"vp8",	"vp9",
				      "av1",   "theora", "prores",	"mjpeg",      "flv1",	"ffv1",	 "h263", "h264_", "hevc2" };
static const char *const audios[] = { "aac", "ac3", "eac3", "mp3", "mp2", "opus", "vorbis", "flac", "alac", "dts", "truehd", "wmav2",
				      "pcm_s16le", "aac_latm", "aa" };

START_TEST(of_videos_h264_and_h265_may_be_copied)
{
	struct record_options o = options_with(false, true, true, "");

	for (int i = 0; i < N_OF(videos); i++)
		ck_assert_msg(decide_may_copy_video(videos[i], &o) == (i < 2), "%s", videos[i]);
}
END_TEST

START_TEST(of_sounds_aac_may_be_copied_and_on_request_all)
{
	struct record_options o = options_with(true, false, false, ""), all = options_with(true, false, true, "");

	for (int i = 0; i < N_OF(audios); i++) {
		ck_assert_msg(decide_may_copy_audio(audios[i], &o) == (i < 1), "%s", audios[i]);
		ck_assert_msg(decide_may_copy_audio(audios[i], &all), "%s", audios[i]);
	}
}
END_TEST

START_TEST(what_is_forced_is_encoded)
{
	struct record_options video = options_with(true, false, false, ""), audio = options_with(false, true, true, "");

	ck_assert(!decide_may_copy_video("h264", &video) && !decide_may_copy_video("hevc", &video));
	ck_assert(decide_may_copy_audio("aac", &video));
	ck_assert(!decide_may_copy_audio("aac", &audio) && !decide_may_copy_audio("ac3", &audio));
	ck_assert(decide_may_copy_video("h264", &audio));
}
END_TEST

static const struct {
	const char *list;
	bool h264, hevc, aac, ac3; /* may be copied; --audio copy */
} lists[] = {
	{ "hevc", true, false, true, true },	 { "h264,aac", false, true, false, true }, { "aac,h264", false, true, false, true },
	{ "aac,hevc,h264,ac3", false, false, false, false }, { "h26", true, true, true, true },	  { "h2640,aaac", true, true, true, true },
	{ ",,ac3,", true, true, true, false },	 { ",", true, true, true, true },
};

START_TEST(codecs_that_are_named_are_encoded)
{
	struct record_options o = options_with(false, false, true, lists[_i].list);

	ck_assert_int_eq(decide_may_copy_video("h264", &o), lists[_i].h264);
	ck_assert_int_eq(decide_may_copy_video("hevc", &o), lists[_i].hevc);
	ck_assert_int_eq(decide_may_copy_audio("aac", &o), lists[_i].aac);
	ck_assert_int_eq(decide_may_copy_audio("ac3", &o), lists[_i].ac3);
}
END_TEST

static const struct {
	enum nal_codec codec;
	int chroma, depth;
	bool is_timed, is_copied;
} pictures[] = {
	{ NAL_H264, 1, 8, true, true },	  { NAL_H264, 0, 8, true, true },   { NAL_H264, 1, 8, false, false }, { NAL_H264, 1, 10, true, false },
	{ NAL_H264, 1, 9, true, false },  { NAL_H264, 2, 8, true, false },  { NAL_H264, 3, 8, true, false },  { NAL_H265, 1, 8, true, true },
	{ NAL_H265, 1, 10, true, true },  { NAL_H265, 1, 12, true, false }, { NAL_H265, 2, 10, true, false }, { NAL_H265, 3, 8, true, false },
	{ NAL_H265, 1, 8, false, false },
};

START_TEST(pictures_that_players_know_are_copied)
{
	struct nal_sps sps = { .chroma_format = pictures[_i].chroma, .bit_depth = pictures[_i].depth };

	ck_assert_int_eq(decide_copies(pictures[_i].codec, &sps, pictures[_i].is_timed), pictures[_i].is_copied);
}
END_TEST

Suite *suite_decide(void)
{
	Suite *s = suite_create("worker/decide");
	TCase *t = tcase_create("decide");

	tcase_add_test(t, of_videos_h264_and_h265_may_be_copied);
	tcase_add_test(t, of_sounds_aac_may_be_copied_and_on_request_all);
	tcase_add_test(t, what_is_forced_is_encoded);
	tcase_add_loop_test(t, codecs_that_are_named_are_encoded, 0, N_OF(lists));
	tcase_add_loop_test(t, pictures_that_players_know_are_copied, 0, N_OF(pictures));
	suite_add_tcase(s, t);
	return s;
}
