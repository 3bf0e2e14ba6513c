/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/audio_encoder.h"

#include "tests/suites.h"

#include <libavcodec/avcodec.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define UNIT AUDIO_ENCODER_UNIT
#define FRAMES 150 /* three groups and a part */

static float input[2][FRAMES * UNIT];
static struct buf data;
static size_t sizes[FRAMES], offsets[FRAMES];
static int64_t n_given, next_given;

static void setup(void)
{
	av_log_set_level(AV_LOG_QUIET);
	buf_init(&data);
}

static void teardown(void)
{
	buf_finish(&data);
}

static void fill_tone(void)
{
	for (int i = 0; i < FRAMES * UNIT; i++) {
		float fade = i < 4096 ? (float)i / 4096 : 1;

		input[0][i] = 0.9f * fade * sinf(82 * 6.2831853f * (float)(i % 48000) / 48000);
		input[1][i] = 0.3f * sinf(550 * 6.2831853f * (float)(i % 48000) / 48000);
	}
}

/* Quiet tones, noise, clicks, and a loud tone that comes and goes. */
static void fill_film(void)
{
	srand(1);
	for (int i = 0; i < FRAMES * UNIT; i++) {
		float t = (float)i / 48000, noise = (float)rand() / (float)RAND_MAX - 0.5f;
		float click = fmodf(t, 0.37f) < 0.004f ? noise : 0.01f * noise;
		float swell = 0.45f * (1 + sinf(t * 3)) * sinf(100 * 6.2831853f * t);

		input[0][i] = 0.5f * click + swell;
		input[1][i] = 0.1f * sinf(440 * 6.2831853f * t) + 0.5f * click;
	}
}

static int keep(void *arg, int64_t n, struct bytes frame, struct err *e)
{
	(void)arg, (void)e;
	ck_assert_int_eq(n, next_given++);
	offsets[n] = data.size;
	sizes[n] = frame.size;
	buf_put(&data, frame.data, frame.size);
	n_given++;
	return 0;
}

/* Frames [first, end), pushed in pieces of an odd size. */
static void encode(int64_t first, int64_t end, struct buf *config)
{
	struct record_options o;
	struct audio_encoder *e;
	struct err err = { 0 };
	static float zero[UNIT];

	record_options_init(&o);
	n_given = 0;
	next_given = first;
	ck_assert_msg(!audio_encoder_create(&e, 48000, 2, &o, first, end, keep, NULL, &err), "%s", err.msg);
	for (int at = (int)audio_encoder_from(first) * UNIT; at < FRAMES * UNIT; at += 1000) {
		float *planes[2] = { input[0] + at, input[1] + at };

		ck_assert_int_eq(audio_encoder_push(e, planes, FRAMES * UNIT - at < 1000 ? FRAMES * UNIT - at : 1000, &err), 0);
	}
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(audio_encoder_push(e, (float *[]){ zero, zero }, UNIT, &err), 0);
	ck_assert_int_eq(n_given, end - first);
	if (config)
		buf_put(config, audio_encoder_config(e).data, audio_encoder_config(e).size);
	audio_encoder_destroy(e);
}

/* Noise over signal of frame n, both channels apart, worst; want: the first channel as it should come out. */
static double noise_of(const AVFrame *f, const float *want, int64_t n)
{
	double worst = 0;

	for (int c = 0; c < 2; c++) {
		const float *x = (c ? input[1] : want) + n * UNIT, *y = (const float *)(const void *)f->extended_data[c];
		double signal = 0, noise = 0;

		for (int i = 0; i < UNIT; i++) {
			signal += x[i] * x[i];
			noise += (x[i] - y[i]) * (x[i] - y[i]);
		}
		worst = fmax(worst, noise / signal);
	}
	return worst;
}

static AVCodecContext *open_decoder(const struct buf *config)
{
	AVCodecContext *dec = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_AAC));

	dec->extradata = av_mallocz(config->size + AV_INPUT_BUFFER_PADDING_SIZE);
	memcpy(dec->extradata, config->data, config->size);
	dec->extradata_size = (int)config->size;
	ck_assert_int_ge(avcodec_open2(dec, NULL, NULL), 0);
	return dec;
}

/* Encodes and decodes everything: every frame holds 15 dB, so many 30. The first one lacks the overlap, the last one ends
 * in silence. */
static void check_all(const float *want, int min_clean)
{
	struct buf config = { 0 };
	AVPacket *p = av_packet_alloc();
	AVFrame *f = av_frame_alloc();
	AVCodecContext *dec;
	int n_clean = 0;

	encode(0, FRAMES, &config);
	dec = open_decoder(&config);
	for (int64_t n = 0; n < FRAMES; n++) {
		double noise;

		ck_assert_int_ge(av_new_packet(p, (int)sizes[n]), 0);
		memcpy(p->data, data.data + offsets[n], sizes[n]);
		ck_assert_int_ge(avcodec_send_packet(dec, p), 0);
		ck_assert_int_ge(avcodec_receive_frame(dec, f), 0);
		av_packet_unref(p);
		noise = noise_of(f, want, n);
		if (n && n < FRAMES - 1)
			ck_assert_msg(noise < 1.0 / 32, "frame %lld: SNR %.1f dB", (long long)n, -10 * log10(noise));
		n_clean += noise < 0.001;
	}
	ck_assert_int_ge(n_clean, min_clean);
	av_frame_free(&f);
	av_packet_free(&p);
	avcodec_free_context(&dec);
	buf_finish(&config);
}

START_TEST(a_loud_and_lonely_tone_is_not_clipped)
{
	fill_tone();
	check_all(input[0], FRAMES * 9 / 10);
}
END_TEST

/* A downmix may come to 2.4; the encoder by itself turns down each frame that is too loud, by another amount. */
START_TEST(what_is_too_loud_is_clipped_and_keeps_its_level)
{
	static float loud[FRAMES * UNIT];

	fill_film();
	for (int i = 0; i < FRAMES * UNIT; i++) {
		input[0][i] = 0.2f * sinf(300 * 6.2831853f * (float)(i % 48000) / 48000);
		if (i % 9000 < 200)
			input[0][i] *= 9;
		loud[i] = fmaxf(-0.95f, fminf(0.95f, input[0][i]));
	}
	check_all(loud, FRAMES / 2);
}
END_TEST

START_TEST(no_number_is_taken_for_silence)
{
	fill_film();
	for (int i = 60 * UNIT; i < 61 * UNIT; i++)
		input[0][i] = i % 2 ? NAN : i % 3 ? INFINITY : -INFINITY;
	encode(0, FRAMES, NULL);
	ck_assert_int_eq(n_given, FRAMES);
}
END_TEST

START_TEST(a_frame_depends_on_its_place_only)
{
	static const int64_t parts[][2] = { { 0, 48 }, { 1, 2 }, { 47, 49 }, { 20, 130 }, { 95, 96 }, { 96, FRAMES } };
	static size_t all_sizes[FRAMES], all_offsets[FRAMES];
	struct buf all = { 0 };

	fill_film();
	encode(0, FRAMES, NULL);
	buf_put(&all, data.data, data.size);
	memcpy(all_sizes, sizes, sizeof sizes);
	memcpy(all_offsets, offsets, sizeof offsets);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		encode(parts[i][0], parts[i][1], NULL);
		for (int64_t n = parts[i][0]; n < parts[i][1]; n++) {
			ck_assert_msg(sizes[n] == all_sizes[n], "frame %lld of [%lld, %lld)", (long long)n, (long long)parts[i][0],
				      (long long)parts[i][1]);
			ck_assert_mem_eq(data.data + offsets[n], all.data + all_offsets[n], sizes[n]);
		}
	}
	buf_finish(&all);
}
END_TEST

/* window_sequence of the first channel (ISO/IEC 14496-3 tables 4.4, 4.5, 4.6). */
static int window_of(int64_t n)
{
	const uint8_t *b = data.data + offsets[n];
	uint32_t v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	bool is_common = v >> 24 & 1;

	return (int)(is_common ? v >> 21 & 3 : v >> 13 & 3);
}

START_TEST(windows_follow_each_other_lawfully_over_the_borders_of_groups)
{
	enum { ONLY_LONG, LONG_START, EIGHT_SHORT, LONG_STOP };
	int n_short = 0;

	fill_film();
	encode(0, FRAMES, NULL);
	for (int64_t n = 0; n + 1 < FRAMES; n++) {
		int now = window_of(n), next = window_of(n + 1);
		bool is_next_short = next == EIGHT_SHORT || next == LONG_STOP;

		n_short += now == EIGHT_SHORT;
		ck_assert_msg((now == LONG_START || now == EIGHT_SHORT) == is_next_short, "frames %lld, %lld: %d, %d", (long long)n,
			      (long long)n + 1, now, next);
	}
	ck_assert_int_gt(n_short, 3);
}
END_TEST

Suite *suite_audio_encoder(void)
{
	Suite *s = suite_create("worker/audio_encoder");
	TCase *t = tcase_create("audio_encoder");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_loud_and_lonely_tone_is_not_clipped);
	tcase_add_test(t, what_is_too_loud_is_clipped_and_keeps_its_level);
	tcase_add_test(t, no_number_is_taken_for_silence);
	tcase_add_test(t, a_frame_depends_on_its_place_only);
	tcase_add_test(t, windows_follow_each_other_lawfully_over_the_borders_of_groups);
	suite_add_tcase(s, t);
	return s;
}
