/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A stream that begins in the middle of a title whose audio has to be counted: wherever its packets lie in the file, the frames
 * are those of the whole.
 */
#include "worker/seek.h"

#include <check.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timeline.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#define SPS "67640028acd900780227e5c05a808080a000007d2000177001e30632c0"
#define PPS "68eb83f2c0"
#define AVCC "01640028ffe1001d" SPS "010005" PPS "fdf8f800"
#define SECONDS 24
#define RATE 48000
#define PACKET 1003 /* samples: no packet begins on a millisecond for long */
#define KEY_MS 2000
#define FRAME_MS 40

/* ---- the title: a Cluster for each second of video, and one of audio */

static void put_head(struct buf *b)
{
	struct bytes private = mem_hex(AVCC);
	size_t tracks, entry, audio;

	mkv_put_header(b, "matroska");
	mkv_begin_unknown(b, ID_SEGMENT);
	tracks = mkv_begin_master(b, ID_TRACKS);
	entry = mkv_begin_master(b, ID_TRACK_ENTRY);
	mkv_put_uint(b, 0xD7, MKV_VIDEO_TRACK);
	mkv_put_uint(b, 0x83, 1);
	mkv_put_string(b, 0x86, "V_MPEG4/ISO/AVC");
	mkv_put_binary(b, 0x63A2, private.data, private.size);
	mkv_end_master(b, entry);
	entry = mkv_begin_master(b, ID_TRACK_ENTRY);
	mkv_put_uint(b, 0xD7, MKV_AUDIO_TRACK);
	mkv_put_uint(b, 0x83, 2);
	mkv_put_string(b, 0x86, "A_PCM/INT/LIT");
	audio = mkv_begin_master(b, 0xE1);
	mkv_put_float(b, 0xB5, RATE);
	mkv_put_uint(b, 0x9F, 1);
	mkv_put_uint(b, 0x6264, 16);
	mkv_end_master(b, audio);
	mkv_end_master(b, entry);
	mkv_end_master(b, tracks);
}

/* In the open Cluster, whose time is that second. */
static void put_video(struct buf *b, int second, int cluster)
{
	static const uint8_t key[] = { 0, 0, 0, 3, 0x65, 0x88, 0x84 }, other[] = { 0, 0, 0, 3, 0x41, 0x9a, 0x21 };

	for (int ms = second * 1000; ms < (second + 1) * 1000; ms += FRAME_MS)
		mkv_put_simple(b, MKV_VIDEO_TRACK, (int16_t)(ms - cluster * 1000), ms % KEY_MS ? 0 : MKV_KEY, ms % KEY_MS ? other : key,
			       sizeof key);
}

/* Noise that swells: no two places of it are alike. */
static void put_audio(struct buf *b, int second)
{
	int64_t i = ((int64_t)second * RATE + PACKET - 1) / PACKET;

	for (; i * PACKET < (int64_t)(second + 1) * RATE; i++) {
		uint8_t data[PACKET * 2];
		uint32_t x = 2463534242 + (uint32_t)i;

		for (int k = 0; k < PACKET; k++) {
			int16_t v;

			x = x * 1664525 + 1013904223;
			v = (int16_t)((int32_t)(x >> 18) * ((i * PACKET + k) % 30000) / 30000 - 4000);
			memcpy(data + 2 * k, &v, 2);
		}
		mkv_put_simple(b, MKV_AUDIO_TRACK, (int16_t)((i * PACKET * 1000 + RATE / 2) / RATE - second * 1000), MKV_KEY, data, sizeof data);
	}
}

static const struct shape {
	const char *what;
	int lag;            /* seconds by which audio follows its video in the file; less than 0: it is in front */
	int quiet, loud;    /* seconds [quiet, loud) have no audio */
	bool is_together;   /* in one Cluster, whose time is that of the audio, which comes first */
} shapes[] = {
	{ "audio right behind the video", 0, 0, 0, false },
	{ "audio four seconds behind the video", 4, 0, 0, false },
	{ "audio four seconds in front of the video", -4, 0, 0, false },
	{ "seconds without audio", 0, 10, 14, false },
	{ "audio with the video of four seconds later", 4, 0, 0, true },
};

static void put_second(struct buf *b, const struct shape *shape, int video, int audio)
{
	bool has_video = video >= 0 && video < SECONDS, has_audio = audio >= 0 && audio < SECONDS;
	bool is_together = shape->is_together && has_video && has_audio;
	size_t m;

	if (has_video && !is_together) {
		m = mkv_begin_cluster(b, (uint64_t)video * 1000);
		put_video(b, video, video);
		mkv_end_master(b, m);
	}
	if (!has_audio || (audio >= shape->quiet && audio < shape->loud))
		return;
	m = mkv_begin_cluster(b, (uint64_t)audio * 1000);
	put_audio(b, audio);
	if (is_together)
		put_video(b, video, audio);
	mkv_end_master(b, m);
}

static void put_title(struct buf *b, const struct shape *shape)
{
	put_head(b);
	for (int s = shape->lag < 0 ? shape->lag : 0; s < SECONDS + (shape->lag > 0 ? shape->lag : 0); s++)
		put_second(b, shape, s, s - shape->lag);
	ck_assert(!buf_failed(b));
}

/* ---- what comes out */

static int put(void *arg, struct iovec *iov, int n, struct err *err)
{
	(void)err;
	for (int i = 0; i < n; i++)
		buf_put(arg, iov[i].iov_base, iov[i].iov_len);
	return 0;
}

static int tick(void *arg, struct err *err)
{
	(void)arg, (void)err;
	return 0;
}

static void run(const struct buf *file, int64_t start, struct hls *h)
{
	struct transcode_request request = { .start_ticks = start * TICKS_PER_SECOND, .max_ticks = INT64_MAX };
	struct transcode_stats stats;
	struct buf made = { 0 };
	struct transcode_out out = { put, tick, &made };
	struct input in;
	struct demux *demux;
	struct err err;
	char path[600];

	record_options_init(&request.options);
	input_init_bytes(&in, buf_bytes(file));
	ck_assert_msg(!demux_open(&demux, &in, &err), "%s", err.msg);
	ck_assert_msg(!transcode_run(demux, &request, &out, &stats, &err), "%s", err.msg);
	demux_close(demux);
	input_close(&in);
	snprintf(path, sizeof path, "%s/seek.mp4", sh_scratch());
	craft_save(path, buf_bytes(&made));
	buf_finish(&made);
	hls_load_stream(h, path);
}

static void check_start(const struct hls *whole, const struct hls *part, int64_t start, const char *what)
{
	const struct hls_track *a = hls_audio(whole), *b = hls_audio(part), *v = hls_video(part);
	size_t at = 0;

	ck_assert_int_eq((v->samples[0].dts + v->samples[0].cts - v->edit_media_time) * 1000 / v->timescale, start * 1000 / KEY_MS * KEY_MS);
	while (at < a->n_samples && a->samples[at].dts < b->samples[0].dts)
		at++;
	ck_assert_msg(b->n_samples > 10 && at + b->n_samples == a->n_samples, "%s from %lld: %zu of %zu frames", what, (long long)start,
		      b->n_samples, a->n_samples);
	for (size_t i = 0; i < b->n_samples; i++) {
		struct bytes x = a->samples[at + i].data, y = b->samples[i].data;

		ck_assert_msg(x.size == y.size && !memcmp(x.data, y.data, x.size), "%s from %lld: frame %zu is another one", what,
			      (long long)start, i);
	}
}

START_TEST(a_stream_that_starts_later_has_the_frames_of_the_whole)
{
	struct hls whole, part;
	struct buf file = { 0 };

	av_log_set_level(AV_LOG_QUIET);
	put_title(&file, &shapes[_i]);
	run(&file, 0, &whole);
	for (int64_t start = 1; start < SECONDS; start += 2) {
		run(&file, start, &part);
		check_start(&whole, &part, start, shapes[_i].what);
		hls_free(&part);
	}
	hls_free(&whole);
	buf_finish(&file);
	mem_release();
}
END_TEST

Suite *suite_seek(void)
{
	Suite *s = suite_create("worker/seek");
	TCase *t = tcase_create("seek");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, a_stream_that_starts_later_has_the_frames_of_the_whole, 0, (int)(sizeof shapes / sizeof *shapes));
	suite_add_tcase(s, t);
	return s;
}
