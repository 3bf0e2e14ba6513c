/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options of what is encoded do what they name, and encoded segments are the same whoever makes them, in whatever order.
 */
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/universal.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))
#define MOVING "-f lavfi -i \"testsrc2=size=192x108:rate=25,scroll=horizontal=0.04:vertical=0.02\" "
#define BOTH FFMPEG MOVING SOUND "-t 6 -ac 2 "

static const char *h264(void)
{
	return media_make("uni_options_264.mp4", BOTH X264 "-g 25 -bf 2 -c:a aac " OUT);
}

static const char *hevc(void)
{
	return media_make("uni_options_265.mp4", BOTH "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -c:a aac " OUT);
}

static const char *mpeg2(void)
{
	return media_make("uni_options_m2v.ts", BOTH "-c:v mpeg2video -q:v 3 -bf 2 -g 12 -c:a mp2 " OUT);
}

/* ---- what is encoded */

/* Are the pictures of ours those of the source, bit for bit? */
static bool is_same_video(const char *ours, const char *source)
{
	char *a = sh("ffmpeg -nostdin -v error -i '%s' -map 0:v:0 -f md5 -", ours);
	char *b = sh("ffmpeg -nostdin -v error -i '%s' -map 0:v:0 -f md5 -", source);
	bool is_same = !strcmp(a, b);

	free(a);
	free(b);
	return is_same;
}

static const struct choice {
	const char *(*source)(void);
	const char *options, *entry;
	bool is_video_copied, is_audio_copied;
} choices[] = {
	{ h264, "", "avc1", true, true },
	{ h264, "--force-video-reencode", "avc1", false, true },
	{ h264, "--force-audio-reencode", "avc1", true, false },
	{ h264, "--reencode h264", "avc1", false, true },
	{ h264, "--reencode hevc,aac", "avc1", true, false },
	{ hevc, "--reencode h264", "hvc1", true, true },
	{ hevc, "--reencode aac,hevc", "avc1", false, false },
	{ hevc, "--force-video-reencode", "avc1", false, true },
};

START_TEST(what_an_option_names_is_encoded_and_nothing_else)
{
	const struct choice *c = &choices[_i];
	const char *source = c->source(), *joined;
	struct hls h;

	hls_make(&h, source, c->options);
	hls_check(&h);
	ck_assert_str_eq(hls_video(&h)->entry, c->entry);
	joined = hls_join(&h);
	ck_assert_int_eq(is_same_video(joined, source), c->is_video_copied);
	ck_assert_int_eq(universal_is_copied_audio(joined, source), c->is_audio_copied);
	hls_free(&h);
}
END_TEST

static size_t video_bytes(const char *options)
{
	size_t bytes = 0;
	struct hls h;

	hls_make(&h, mpeg2(), options);
	hls_check(&h);
	for (size_t i = 0; i < hls_video(&h)->n_samples; i++)
		bytes += hls_video(&h)->samples[i].data.size;
	hls_free(&h);
	return bytes;
}

START_TEST(quality_preset_and_bit_rate_have_their_effect)
{
	size_t usual = video_bytes(""), rate = video_bytes("--video-bitrate 150");

	ck_assert_uint_lt(video_bytes("--crf 35") * 2, usual);
	ck_assert_uint_gt(video_bytes("--crf 15.5"), usual * 3 / 2);
	ck_assert_uint_ne(video_bytes("--preset ultrafast"), usual);
	/* 6 s, and what the buffer of 2 s holds at first */
	ck_assert_uint_lt(rate, 150000 / 8 * (6 + 2));
	ck_assert_uint_gt(usual, 150000 / 8 * (6 + 2));
}
END_TEST

static const struct {
	const char *options;
	int width, height;
} sizes[] = { { "--video-height 54", 96, 54 }, { "--video-height 55", 96, 54 }, { "--video-height 108", 192, 108 }, { "--video-height 1080", 192, 108 } };

START_TEST(larger_pictures_are_scaled_down_to_the_height)
{
	struct hls h;

	hls_make(&h, mpeg2(), sizes[_i].options);
	hls_check(&h);
	ck_assert_int_eq(hls_video(&h)->width, sizes[_i].width);
	ck_assert_int_eq(hls_video(&h)->height, sizes[_i].height);
	ck_assert_uint_eq(hls_video(&h)->n_samples, 150);
	hls_free(&h);
}
END_TEST

START_TEST(what_is_copied_is_not_scaled)
{
	struct hls h;

	hls_make(&h, h264(), "--video-height 54 --crf 50 --preset placebo --video-bitrate 16");
	ck_assert_int_eq(hls_video(&h)->height, 108);
	ck_assert(is_same_video(hls_join(&h), h264()));
	hls_free(&h);
}
END_TEST

static const char *const wrongs[][2] = {
	{ "--crf 52", "52" },		  { "--crf -1", "-1" },		     { "--crf good", "'good'" },	 { "--preset fastest", "'fastest'" },
	{ "--preset ''", "''" },	  { "--video-bitrate 0", "'0'" },    { "--video-bitrate much", "'much'" }, { "--video-height 8", "'8'" },
	{ "--video-height 20000", "'20000'" }, { "--reencode ''", "''" }, { "--reencode 'H.264'", "'H.264'" }, { "--force-video-reencode=1", "force-video-reencode" },
};

START_TEST(a_wrong_value_is_named)
{
	const char *programs[] = { "\"$SEGFARM\" run --once", "\"$WORKER\" transcode" };
	char *out;

	for (int i = 0; i < N_OF(programs); i++) {
		ck_assert_int_eq(sh_status(&out, "%s %s '%s'", programs[i], wrongs[_i][0], mpeg2()), 2);
		ck_assert_msg(strstr(out, wrongs[_i][1]) != NULL, "%s: %s", wrongs[_i][0], out);
		free(out);
	}
}
END_TEST

/* ---- the same bytes */

static const struct sample {
	const char *name, *recipe;
} samples[] = {
	{ "uni_same_m2v.ts", BOTH "-c:v mpeg2video -q:v 3 -bf 2 -g 12 -c:a mp2 " OUT },
	{ "uni_same_i.ts", FFMPEG "-f lavfi -i testsrc2=size=192x108:rate=50 " SOUND "-t 6 -ac 2 -vf tinterlace=interleave_top -flags +ilme+ildct -c:v mpeg2video "
			   "-q:v 3 -bf 2 -g 12 -c:a mp2 " OUT },
	{ "uni_same_asp.avi", BOTH "-c:v mpeg4 -q:v 3 -bf 2 -g 250 -sc_threshold 1000000000 -c:a libmp3lame " OUT },
	{ "uni_same_vp9.webm", BOTH "-vf \"select='lt(mod(n,7),3)+eq(mod(n,11),5)'\" -fps_mode vfr -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 "
			       "-c:a libopus " OUT },
	{ "uni_same_turned.mp4", BOTH "-c:v mpeg4 -q:v 3 -g 25 -c:a aac \"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=90 " OUT
				 " && rm \"$OUT.mp4\"" },
};

static void check_same_files(const struct hls *a, const struct hls *b)
{
	ck_assert_uint_eq(a->init.size, b->init.size);
	ck_assert_mem_eq(a->init.data, b->init.data, a->init.size);
	ck_assert_uint_eq(a->n_segments, b->n_segments);
	for (size_t i = 0; i < a->n_segments; i++) {
		struct bytes x = a->segments[i].file, y = b->segments[i].file;

		ck_assert_str_eq(a->segments[i].name, b->segments[i].name);
		ck_assert_msg(x.size == y.size && !memcmp(x.data, y.data, x.size), "segment %zu has other bytes", i);
	}
}

START_TEST(encoded_segments_are_the_same_in_any_order)
{
	static const char *const options[] = { "-j 1", "-j 2", "-j 2 --order shuffle:5" };
	const char *source = media_make(samples[_i].name, samples[_i].recipe);
	char text[100];
	struct hls first, h;

	for (int i = 0; i < N_OF(options); i++) {
		snprintf(text, sizeof text, "%s --segment-duration 1", options[i]);
		hls_make(i ? &h : &first, source, text);
		ck_assert_uint_ge(first.n_segments, 4);
		if (!i)
			continue;
		check_same_files(&first, &h);
		hls_free(&h);
	}
	hls_free(&first);
}
END_TEST

Suite *suite_universal_options(void)
{
	Suite *s = suite_create("universal_options");
	TCase *t = tcase_create("universal_options");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, what_an_option_names_is_encoded_and_nothing_else, 0, N_OF(choices));
	tcase_add_test(t, quality_preset_and_bit_rate_have_their_effect);
	tcase_add_loop_test(t, larger_pictures_are_scaled_down_to_the_height, 0, N_OF(sizes));
	tcase_add_test(t, what_is_copied_is_not_scaled);
	tcase_add_loop_test(t, a_wrong_value_is_named, 0, N_OF(wrongs));
	tcase_add_loop_test(t, encoded_segments_are_the_same_in_any_order, 0, N_OF(samples));
	suite_add_tcase(s, t);
	return s;
}
