/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Another encoder than libx264 in a whole farm: what it makes, what becomes of one that fails, crashes or hangs, and how it is chosen.
 * The encoder is libavcodec's libx264, which every machine has; its faults are SEGFARM_ENCODER_FAULT's.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/universal.h"
#include "tests/suites.h"
#include "worker/bits.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))
#define LEAST 30.0 /* dB, of any picture */
#define MOVING FFMPEG "-f lavfi -i \"testsrc2=size=192x108:rate=25,scroll=horizontal=0.04:vertical=0.02\" " SOUND "-t 12 -ac 2 "
#define LONG 40 /* frames: more than a segment of 1 s has, fewer than one of 2 s */

/* Segments of 1 s and of 2 s, by turns. */
static const char *source(void)
{
	return media_make("encoder_farm.ts", MOVING "-c:v mpeg2video -q:v 3 -bf 2 -g 1000 -sc_threshold 1000000000 "
			  "-force_key_frames 0,1,3,4,6,7,9,10 -c:a mp2 " OUT);
}

static void set_fault(const char *what, int n)
{
	char text[32];

	snprintf(text, sizeof text, "%s:%d", what, n);
	setenv("SEGFARM_ENCODER_FAULT", text, 1);
}

/* pic_parameter_set_id of the first slice: 0, or 1 where libx264 made it. */
static int set_of(const struct hls_sample *s)
{
	struct bits b = { s->data.data + 5, s->data.size - 5, 0, false };

	bits_ue(&b);
	bits_ue(&b);
	return (int)bits_ue(&b);
}

/* How many frames of the segment libx264 made. */
static size_t count_software(const struct hls *h, size_t segment)
{
	const struct hls_track *v = hls_video(h);
	size_t n = 0;

	for (size_t i = v->first[segment]; i < v->first[segment + 1]; i++)
		n += set_of(&v->samples[i]) == 1;
	return n;
}

static size_t count_frames(const struct hls *h, size_t segment)
{
	return hls_video(h)->first[segment + 1] - hls_video(h)->first[segment];
}

static void check_sets(const struct hls_track *v)
{
	const uint8_t *avcc = v->config.data, *p = avcc + 6;

	ck_assert_int_eq(avcc[5] & 31, 2);
	for (int i = 0; i < 2; i++)
		p += 2 + get_u16(p);
	ck_assert_int_eq(*p, 2);
}

/* The title is whole, and one to a player, whoever made which part. */
static void check_title(const struct hls *h)
{
	char path[1024];

	hls_check(h);
	check_sets(hls_video(h));
	universal_check_starts(h);
	ck_assert_uint_eq(h->n_segments, 8);
	snprintf(path, sizeof path, "%s/master.m3u8", h->dir);
	universal_check_plays(path);
	universal_check_encoded(hls_join(h), source(), "null", LEAST, 0);
}

/* ---- segments */

START_TEST(segments_of_the_encoder_are_the_source)
{
	struct hls h;

	hls_make(&h, source(), "-j 2 --segment-duration 1 --encoder lavc_libx264");
	check_title(&h);
	for (size_t i = 0; i < h.n_segments; i++)
		ck_assert_uint_eq(count_software(&h, i), 0);
	hls_free(&h);
}
END_TEST

START_TEST(an_encoder_that_fails_in_a_job_is_replaced_by_libx264)
{
	struct hls h;

	set_fault("fail", LONG);
	hls_make(&h, source(), "-j 2 --segment-duration 1 --encoder lavc_libx264");
	check_title(&h);
	for (size_t i = 0; i < h.n_segments; i++) {
		size_t n = count_frames(&h, i);

		ck_assert_msg(n < LONG ? !count_software(&h, i) : count_software(&h, i) && count_software(&h, i) < n,
			      "segment %zu: libx264 made %zu of %zu frames", i, count_software(&h, i), n);
	}
	hls_free(&h);
}
END_TEST

/* Each segment has failed once at most: the second attempt was made with libx264. */
static void check_failures(const char *log)
{
	static const char what[] = "msg=\"job failed\"";
	bool has_failed[9] = { false };

	for (const char *at = log; (at = strstr(at, what)); at += sizeof what) {
		const char *slot = strstr(at, "slot=");
		int n = slot ? atoi(slot + 5) : 0;

		ck_assert(n > 0 && n < 9);
		ck_assert_msg(!has_failed[n], "segment %d failed twice", n - 1);
		has_failed[n] = true;
	}
}

/* Three crashes, then no attempt is made with it any more. */
START_TEST(a_worker_that_crashes_in_the_encoder_costs_an_attempt)
{
	char dir[300];
	size_t n_software = 0;
	struct bg b;
	struct hls h;
	char *log;

	set_fault("crash", LONG);
	snprintf(dir, sizeof dir, "%s/out", sh_scratch());
	setenv("SOURCE", source(), 1);
	setenv("DIR", dir, 1);
	bg_open(&b);
	bg_start(&b, "\"$SEGFARM\" run -v -j 1 --segment-duration 1 --encoder lavc_libx264 -o \"$DIR\" \"$SOURCE\"");
	ck_assert_int_eq(bg_wait(&b), 0);
	log = bg_log(&b);
	ck_assert_int_eq(bg_count(log, "prog=segfarm-worker msg=\"worker died\""), 3);
	ck_assert_int_eq(bg_count(log, "the encoder is used no more"), 1);
	ck_assert_ptr_nonnull(strstr(log, "video encoder: lavc_libx264\n"));
	check_failures(log);
	free(log);
	bg_check_clean(&b);
	bg_close(&b);
	hls_load(&h, dir);
	check_title(&h);
	for (size_t i = 0; i < h.n_segments; i++) {
		size_t software = count_software(&h, i), n = count_frames(&h, i);

		ck_assert_msg(!software || software == n, "segment %zu: libx264 made %zu of %zu frames", i, software, n);
		ck_assert_msg(n < LONG || software, "segment %zu, of %zu frames, is not libx264's", i, n);
		n_software += software > 0;
	}
	ck_assert_uint_ge(n_software, 4);
	ck_assert_uint_lt(n_software, h.n_segments);
	hls_free(&h);
}
END_TEST

/* ---- a stream, from a pipe */

static void make_stream(const char *path)
{
	setenv("SOURCE", source(), 1);
	setenv("STREAM", path, 1);
	free(sh("cat \"$SOURCE\" | \"$WORKER\" transcode --encoder lavc_libx264 > \"$STREAM\""));
}

START_TEST(a_stream_goes_on_when_its_encoder_fails)
{
	static const int fails_at[] = { 1000, 100 };
	const struct hls_track *v;
	char path[300];
	size_t n[2] = { 0 };
	struct hls h;

	snprintf(path, sizeof path, "%s/live.mp4", sh_scratch());
	set_fault("fail", fails_at[_i]);
	make_stream(path);
	hls_load_stream(&h, path);
	hls_check_stream(&h);
	v = hls_video(&h);
	check_sets(v);
	for (size_t i = 0; i < v->n_samples; i++)
		n[set_of(&v->samples[i])]++;
	ck_assert_int_eq(n[1] > 0, fails_at[_i] < 300);
	ck_assert_uint_gt(n[0], 0);
	universal_check_plays(path);
	universal_check_encoded(path, source(), "null", LEAST, 0);
	hls_free(&h);
}
END_TEST

/* ---- the choice */

static void check_same_files(const struct hls *a, const struct hls *b)
{
	ck_assert_uint_eq(a->init.size, b->init.size);
	ck_assert_mem_eq(a->init.data, b->init.data, a->init.size);
	ck_assert_uint_eq(a->n_segments, b->n_segments);
	for (size_t i = 0; i < a->n_segments; i++) {
		struct bytes x = a->segments[i].file, y = b->segments[i].file;

		ck_assert_msg(x.size == y.size && !memcmp(x.data, y.data, x.size), "segment %zu has other bytes", i);
	}
}

/* Whatever hardware is here, it crashes in its first frame. */
START_TEST(auto_takes_libx264_where_no_hardware_works)
{
	struct hls plain, h;
	char dir[300], *out;

	set_fault("crash", 1);
	snprintf(dir, sizeof dir, "%s/auto", sh_scratch());
	setenv("SOURCE", source(), 1);
	setenv("DIR", dir, 1);
	out = sh("\"$SEGFARM\" run --encoder auto -o \"$DIR\" \"$SOURCE\" 2>&1");
	ck_assert_ptr_nonnull(strstr(out, "no hardware encoder works here, video is encoded by libx264"));
	ck_assert_ptr_nonnull(strstr(out, "h264_vaapi: "));
	ck_assert_ptr_nonnull(strstr(out, "video encoder: libx264\n"));
	ck_assert_ptr_null(strstr(out, "worker died"));
	free(out);
	hls_load(&h, dir);
	hls_make(&plain, source(), "");
	check_same_files(&h, &plain);
	hls_free(&h);
	hls_free(&plain);
}
END_TEST

static const struct {
	const char *fault, *says;
} bad[] = { { "crash:1", "it crashes: signal 11" }, { "hang:2", "it hangs" }, { "fail:3", "SEGFARM_ENCODER_FAULT is set" } };

START_TEST(a_named_encoder_that_does_not_work_is_an_error_and_nothing_is_left)
{
	struct bg b;
	char *log;

	setenv("SEGFARM_ENCODER_FAULT", bad[_i].fault, 1);
	setenv("SOURCE", source(), 1);
	bg_open(&b);
	bg_start(&b, "\"$SEGFARM\" run -j 1 --once --encoder lavc_libx264 \"$SOURCE\"");
	ck_assert_int_eq(bg_wait(&b), 1);
	log = bg_log(&b);
	ck_assert_msg(strstr(log, bad[_i].says) && strstr(log, "--encoder auto") && strstr(log, "libx264 always does"), "%s", log);
	ck_assert_ptr_null(strstr(log, "worker died"));
	free(log);
	bg_check_clean(&b);
	bg_close(&b);
}
END_TEST

static const struct {
	const char *command;
	int status;
	const char *says;
} wrongs[] = {
	{ "\"$SEGFARM\" run --once --encoder ''", 2, "an encoder is auto, libx264, h264_nvenc" },
	{ "\"$SEGFARM\" run --once --encoder H264-NVENC", 2, "'H264-NVENC'" },
	{ "\"$WORKER\" transcode --encoder 'a b'", 2, "'a b'" },
	{ "\"$WORKER\" transcode --encoder abcdefghijklmnopqrstuvwxyz_01234", 2, "an encoder is auto" },
	{ "\"$SEGFARM\" run --once --encoder h264_nobody", 1, "no H.264 encoder 'h264_nobody' here: --encoder takes auto, libx264" },
	{ "\"$WORKER\" transcode --encoder h264_nobody", 2, "no H.264 encoder 'h264_nobody' here: --encoder takes auto, libx264" },
};

START_TEST(a_wrong_name_is_an_error_with_the_way_out)
{
	char *out;

	ck_assert_int_eq(sh_status(&out, "%s '%s'", wrongs[_i].command, source()), wrongs[_i].status);
	ck_assert_msg(strstr(out, wrongs[_i].says) != NULL, "%s", out);
	free(out);
}
END_TEST

Suite *suite_encoder_farm(void)
{
	Suite *s = suite_create("encoder_farm");
	TCase *t = tcase_create("encoder_farm");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_test(t, segments_of_the_encoder_are_the_source);
	tcase_add_test(t, an_encoder_that_fails_in_a_job_is_replaced_by_libx264);
	tcase_add_test(t, a_worker_that_crashes_in_the_encoder_costs_an_attempt);
	tcase_add_loop_test(t, a_stream_goes_on_when_its_encoder_fails, 0, 2);
	tcase_add_test(t, auto_takes_libx264_where_no_hardware_works);
	tcase_add_loop_test(t, a_named_encoder_that_does_not_work_is_an_error_and_nothing_is_left, 0, N_OF(bad));
	tcase_add_loop_test(t, a_wrong_name_is_an_error_with_the_way_out, 0, N_OF(wrongs));
	suite_add_tcase(s, t);
	return s;
}
