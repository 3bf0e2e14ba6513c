/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Streams as they come from a receiver or a camera: entered in the middle, joined, with timestamps that wrap and jump, through pipes and
 * slow servers. The same frames at the same times from the farm and as a stream.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/httpd.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 8 s of 24 frames, a sync sample every 2 s. */
#define PART(offset, audio) FFMPEG PICTURE SOUND "-t 8 " X264 "-bf 2 -g 48 " audio "-output_ts_offset " offset " " OUT
#define AAC "-c:a aac -ac 2 "
#define FRAMES 192
#define TICKS_OF_FRAME 3750

static const char *const parts[][2] = {
	{ "live-0.ts", PART("0", AAC) },
	{ "live-7200.ts", PART("7200", AAC) },
	{ "live-wrap.ts", PART("95440", AAC) }, /* 33 bits end at 95443.7 s */
	{ "live-ac3.ts", PART("0", AC3) },
};

static void setup(void)
{
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		media_make(parts[i][0], parts[i][1]);
}

/* ---- times */

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Rising from 0, each a frame after the one before; `joins` of them two frames at most: what was in hand when the stream broke is lost. */
static void check_times(const struct hls_track *t, int n, int joins)
{
	int64_t *times = malloc(t->n_samples * sizeof *times);
	int n_long = 0;

	for (size_t i = 0; i < t->n_samples; i++)
		times[i] = t->samples[i].dts + t->samples[i].cts - t->edit_media_time;
	qsort(times, t->n_samples, sizeof *times, compare);
	ck_assert_int_ge(t->n_samples, n - joins);
	ck_assert_int_le(t->n_samples, n);
	ck_assert_int_lt(times[0], 2 * TICKS_OF_FRAME);
	for (size_t i = 1; i < t->n_samples; i++) {
		int64_t step = times[i] - times[i - 1];

		ck_assert_msg(step >= TICKS_OF_FRAME - 1 && step <= 2 * TICKS_OF_FRAME + 1, "frame %zu comes %lld after the one before", i,
			      (long long)step);
		n_long += step > TICKS_OF_FRAME + 1;
	}
	ck_assert_int_le(n_long, joins);
	free(times);
}

/* Without holes, and as long as the video. */
static void check_sound(const struct hls *h, int64_t video_ticks)
{
	const struct hls_track *a = hls_audio(h);
	const struct hls_sample *last = &a->samples[a->n_samples - 1];
	int64_t end = (last->dts + last->duration) * 90000 / a->timescale;

	for (size_t i = 1; i < a->n_samples; i++)
		ck_assert_int_eq(a->samples[i].dts, a->samples[i - 1].dts + a->samples[i - 1].duration);
	ck_assert_msg(llabs(end - video_ticks) < 9000, "the sound ends at %lld", (long long)end);
}

static void check_same(const struct hls *a, const struct hls *b)
{
	for (int k = 0; k < 2; k++) {
		const struct hls_track *x = k ? hls_audio(a) : hls_video(a), *y = k ? hls_audio(b) : hls_video(b);

		ck_assert_uint_eq(x->n_samples, y->n_samples);
		for (size_t i = 0; i < x->n_samples; i++)
			ck_assert_msg(x->samples[i].dts == y->samples[i].dts && defects_is_same_data(&x->samples[i], &y->samples[i]),
				      "sample %zu is another one", i);
	}
}

/* ---- wraps and jumps */

static const struct jump {
	const char *parts; /* in $M/live-*.ts */
	int n_parts;
} jumps[] = {
	{ "wrap", 1 }, { "0 7200", 2 }, { "7200 0", 2 }, { "0 0", 2 }, { "0 7200 0", 3 }, { "wrap 7200 wrap", 3 },
};

static void check_jump(const char *path, int n_parts, const char *options)
{
	const char *out = defects_scratch("joined.mp4");
	bool is_encoded = strstr(options, "force");
	struct hls stream, farm, pipe;
	char said[100];

	free(sh("\"$WORKER\" transcode %s '%s' > %s", options, path, out));
	hls_load_stream(&stream, out);
	hls_check_stream(&stream);
	check_times(hls_video(&stream), n_parts * FRAMES, n_parts - 1);
	check_sound(&stream, (int64_t)n_parts * FRAMES * TICKS_OF_FRAME);
	snprintf(said, sizeof said, "-j 2 --segment-duration 3 %s", options);
	hls_make(&farm, path, said);
	hls_check(&farm);
	check_times(hls_video(&farm), n_parts * FRAMES, n_parts - 1);
	if (!is_encoded)
		check_same(&farm, &stream);
	free(sh("cat '%s' | \"$WORKER\" transcode %s > %s", path, options, out));
	hls_load_stream(&pipe, out);
	check_same(&pipe, &stream);
	hls_free(&pipe);
	hls_free(&farm);
	hls_free(&stream);
}

START_TEST(times_that_wrap_or_jump_go_on_without_a_gap)
{
	const struct jump *j = &jumps[_i];
	char path[600];

	snprintf(path, sizeof path, "%s/joined-%d.ts", sh_scratch(), _i);
	free(sh("for p in %s; do cat $M/live-$p.ts; done > '%s'", j->parts, path));
	check_jump(path, j->n_parts, "");
	check_jump(path, j->n_parts, "--force-video-reencode --force-audio-reencode");
}
END_TEST

/* ---- entered in the middle of a GOP */

/* Fragments of a live MP4 count from 1970. */
static const char *from_1970(const char *path)
{
	static const int64_t scales[] = { 90000, 48000 };
	const char *out = defects_scratch("1970.mp4");
	struct buf file = { 0 };
	uint8_t *at, *end;
	int n = 0;

	craft_load(&file, path);
	end = file.data + file.size;
	for (at = file.data; (at = memmem(at, (size_t)(end - at), "tfhd", 4)); n++) {
		uint32_t track = get_u32(at + 8);
		uint64_t time;

		at = memmem(at, (size_t)(end - at), "tfdt", 4);
		ck_assert_ptr_nonnull(at);
		ck_assert_int_eq(at[4], 1);
		ck_assert(track == 1 || track == 2);
		time = get_u64(at + 8) + (uint64_t)(INT64_C(1700000000) * scales[track - 1]);
		for (int k = 0; k < 8; k++)
			at[8 + k] = (uint8_t)(time >> (56 - 8 * k));
	}
	ck_assert_int_gt(n, 3);
	craft_save(out, buf_bytes(&file));
	buf_finish(&file);
	return out;
}

START_TEST(times_from_1970_on_are_counted_from_the_first)
{
	const char *path = media_make("live-fragments.mp4", FFMPEG PICTURE SOUND "-t 8 " X264 "-bf 2 -g 48 " AAC
				      "-ar 48000 -video_track_timescale 90000 -movflags +frag_keyframe+empty_moov+default_base_moof " OUT);
	struct hls plain, moved;

	hls_make(&plain, path, "-j 2 --segment-duration 3");
	hls_make(&moved, from_1970(path), "-j 2 --segment-duration 3");
	hls_check(&moved);
	ck_assert_uint_eq(hls_video(&moved)->n_samples, FRAMES);
	check_same(&moved, &plain);
	hls_free(&moved);
	hls_free(&plain);
}
END_TEST

START_TEST(stream_entered_in_mid_gop_begins_with_a_key_frame_and_nothing_is_heard_before)
{
	static const char *const names[] = { "live-0.ts", "live-ac3.ts" };
	static const char *const options[] = { "", "--audio copy" };
	const char *out = defects_scratch("entered.mp4");
	struct hls stream, farm;
	char path[600];

	snprintf(path, sizeof path, "%s/entered.ts", sh_scratch());
	free(sh("tail -c +%d $M/%s > '%s'", 188 * 700 + 1, names[_i / 2], path));
	free(sh("cat '%s' | \"$WORKER\" transcode %s > %s", path, options[_i % 2], out));
	hls_load_stream(&stream, out);
	hls_check_stream(&stream);
	check_times(hls_video(&stream), FRAMES - 48, 0);
	ck_assert_int_eq(hls_video(&stream)->samples[0].dts + hls_video(&stream)->samples[0].cts, hls_video(&stream)->edit_media_time);
	ck_assert_int_ge(hls_audio(&stream)->samples[0].dts, 0);
	ck_assert_int_lt(hls_audio(&stream)->samples[0].dts, hls_audio(&stream)->timescale / 25);
	check_sound(&stream, (FRAMES - 48) * TICKS_OF_FRAME);
	hls_make(&farm, path, options[_i % 2]);
	check_same(&farm, &stream);
	hls_free(&farm);
	hls_free(&stream);
}
END_TEST

/* ---- slow, and damaged */

static void answer_slowly(int fd, const char *path)
{
	struct buf film = { 0 };
	char file[700];

	snprintf(file, sizeof file, "%s%s", getenv("M"), path);
	craft_load(&film, file);
	httpd_head(fd, -1);
	for (size_t at = 0; at < film.size; at += 20000) {
		httpd_send(fd, film.data + at, film.size - at < 20000 ? film.size - at : 20000);
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
}

START_TEST(slow_server_gives_what_the_file_gives)
{
	int port = httpd_start(answer_slowly);

	free(sh("\"$WORKER\" transcode $M/live-0.ts > %s/whole.mp4 && \"$WORKER\" transcode http://127.0.0.1:%d/live-0.ts | cmp - %s/whole.mp4",
		sh_scratch(), port, sh_scratch()));
	httpd_stop();
}
END_TEST

/* Ten TS packets in mid-picture are noise: some pictures are lost, and counted; the others are in their places. */
START_TEST(damaged_packets_are_left_out_and_counted)
{
	const char *out = defects_scratch("damaged.mp4");
	struct hls h;
	char *said;

	free(sh("cp $M/live-0.ts %s/hurt.ts && head -c 1880 /dev/urandom | dd of=%s/hurt.ts bs=188 seek=1500 conv=notrunc status=none",
		sh_scratch(), sh_scratch()));
	said = sh("\"$WORKER\" transcode - < %s/hurt.ts > %s", sh_scratch(), out);
	ck_assert_msg(strstr(said, "left out: ") && strstr(said, " damaged bytes\n") && !strstr(said, " 0 damaged bytes"), "%s", said);
	free(said);
	hls_load_stream(&h, out);
	hls_check_stream(&h);
	ck_assert_int_ge(hls_video(&h)->n_samples, FRAMES - 6);
	ck_assert_int_lt(hls_video(&h)->n_samples, FRAMES);
	hls_free(&h);
}
END_TEST

Suite *suite_universal_live(void)
{
	Suite *s = suite_create("universal_live");
	TCase *t = tcase_create("universal_live");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_unchecked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, times_that_wrap_or_jump_go_on_without_a_gap, 0, sizeof jumps / sizeof *jumps);
	tcase_add_test(t, times_from_1970_on_are_counted_from_the_first);
	tcase_add_loop_test(t, stream_entered_in_mid_gop_begins_with_a_key_frame_and_nothing_is_heard_before, 0, 4);
	tcase_add_test(t, slow_server_gives_what_the_file_gives);
	tcase_add_test(t, damaged_packets_are_left_out_and_counted);
	suite_add_tcase(s, t);
	return s;
}
