/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The audio stage without any container: packets made here by libavcodec, frames compared byte by byte.
 */
#include "common/timeline.h"
#include "tests/suites.h"
#include "worker/audio.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PACKETS_MAX 4000

struct title {
	struct track track;
	struct record_audio audio;
	struct record_options options;
	AVPacket *packets[PACKETS_MAX];
	int64_t times_ns[PACKETS_MAX]; /* rounded to a millisecond, as in a file */
	int n;
	AVCodecContext *enc;
};

static void fill(AVFrame *f, int64_t at, int rate)
{
	for (int c = 0; c < f->ch_layout.nb_channels; c++)
		for (int i = 0; i < f->nb_samples; i++) {
			double t = (double)(at + i) / rate, click = fmod(t, 0.9) < 0.004 ? 0.5 : 0.02;
			double v = 0.3 * sin(t * (300 + 170 * c) * 6.2831853) + click * (rand() / (double)RAND_MAX - 0.5);

			if (f->format == AV_SAMPLE_FMT_FLTP)
				((float *)(void *)f->extended_data[c])[i] = (float)v;
			else if (f->format == AV_SAMPLE_FMT_S16)
				((int16_t *)(void *)f->extended_data[0])[i * f->ch_layout.nb_channels + c] = (int16_t)(v * 20000);
			else
				ck_abort_msg("sample format %d", f->format);
		}
}

static void take_packets(struct title *t, int rate)
{
	AVPacket *p = av_packet_alloc();
	static int64_t position;

	if (!t->n)
		position = 0;
	while (avcodec_receive_packet(t->enc, p) >= 0) {
		ck_assert_int_lt(t->n, PACKETS_MAX);
		t->times_ns[t->n] = timeline_scale_round(position, 1000, rate) * 1000000;
		position += t->enc->frame_size;
		t->packets[t->n++] = av_packet_clone(p);
		av_packet_unref(p);
	}
	av_packet_free(&p);
}

static void make_title(struct title *t, const char *codec_id, enum AVCodecID id, int rate, int channels, int seconds)
{
	const AVCodec *codec = avcodec_find_encoder(id);
	AVFrame *f = av_frame_alloc();
	int64_t at = 0;

	av_log_set_level(AV_LOG_QUIET);
	memset(t, 0, sizeof *t);
	record_options_init(&t->options);
	srand(1);
	t->enc = avcodec_alloc_context3(codec);
	t->enc->sample_rate = rate;
	t->enc->sample_fmt = codec->sample_fmts[0];
	t->enc->bit_rate = channels * 64000;
	t->enc->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
	av_channel_layout_default(&t->enc->ch_layout, channels);
	ck_assert_int_ge(avcodec_open2(t->enc, codec, NULL), 0);
	f->nb_samples = t->enc->frame_size;
	f->format = t->enc->sample_fmt;
	f->sample_rate = rate;
	av_channel_layout_copy(&f->ch_layout, &t->enc->ch_layout);
	ck_assert_int_ge(av_frame_get_buffer(f, 0), 0);
	for (; at < (int64_t)seconds * rate; at += f->nb_samples) {
		ck_assert_int_ge(av_frame_make_writable(f), 0);
		fill(f, at, rate);
		f->pts = at;
		ck_assert_int_ge(avcodec_send_frame(t->enc, f), 0);
		take_packets(t, rate);
	}
	av_frame_free(&f);
	snprintf(t->track.codec_id, sizeof t->track.codec_id, "%s", codec_id);
	t->track.number = 1;
	t->track.type = TRACK_AUDIO;
	t->track.rate = rate;
	t->track.channels = channels;
	t->track.bit_depth = 16;
	t->track.codec_private = (struct bytes){ t->enc->extradata, (size_t)t->enc->extradata_size };
}

static void make_facts(struct title *t)
{
	struct audio_facts f;
	struct bytes first[4];
	struct err err = { 0 };
	int64_t end;

	for (int i = 0; i < 4; i++)
		first[i] = (struct bytes){ t->packets[i]->data, (size_t)t->packets[i]->size };
	ck_assert_msg(!audio_facts_init(&f, &t->track, &t->options, first, 4, &err), "%s", err.msg);
	t->audio = (struct record_audio){ .is_present = true, .is_copy = f.is_copy, .rate = f.rate, .channels = f.channels,
					  .unit = f.unit, .source_rate = f.source_rate,
					  .source_unit = f.is_counted ? 0 : f.source_unit, .lead = f.lead };
	t->audio.source_end = (int64_t)t->n * t->enc->frame_size;
	end = timeline_scale_ceil(t->audio.source_end, f.rate, f.source_rate);
	t->audio.frames = timeline_scale_ceil(end, 1, f.unit);
	audio_facts_finish(&f);
}

static void free_title(struct title *t)
{
	for (int i = 0; i < t->n; i++)
		av_packet_free(&t->packets[i]);
	avcodec_free_context(&t->enc);
}

/* What a stage gives. */
struct made {
	struct buf *out;
	size_t *sizes;
	int64_t first, n;
};

static int take_frame(void *arg, int64_t n, int64_t samples, struct bytes data, struct err *e)
{
	struct made *m = arg;

	(void)e;
	ck_assert_int_eq(samples, 1024);
	ck_assert_int_eq(n, m->first + m->n);
	buf_put(m->out, data.data, data.size);
	m->sizes[m->n++] = data.size;
	return 0;
}

/* Frames [first, end) as a job would make them: reading starts where the plan says. is_open: as if the end were not known before the
 * last packet. */
static void make_frames(struct title *t, int64_t first, int64_t end, bool is_open, struct buf *out, size_t *sizes)
{
	int64_t need = timeline_scale_floor(t->audio.base + first * t->audio.unit, t->audio.source_rate, t->audio.rate) - t->audio.lead;
	int64_t start = need > 0 ? need / t->enc->frame_size : 0;
	struct made made = { out, sizes, first, 0 };
	struct audio_stage *s;
	struct audio_clock clock;
	struct err err = { 0 };
	int ret = audio_stage_create(&s, &t->track, &t->audio, &t->options, first, is_open ? AUDIO_OPEN_END : end, take_frame, &made,
				     &err);

	ck_assert_msg(!ret, "%s", err.msg);
	audio_clock_init(&clock, &t->audio, start * t->enc->frame_size);
	for (int64_t i = start; i < t->n && !ret; i++) {
		struct bytes data = { t->packets[i]->data, (size_t)t->packets[i]->size };

		ret = audio_stage_push(s, audio_clock_place(&clock, t->times_ns[i], 0, t->enc->frame_size), INT64_MAX, data, &err);
	}
	ck_assert_int_ge(ret, 0);
	if (!ret)
		ck_assert_int_eq(audio_stage_finish(s, end, &err), 0);
	ck_assert_int_eq(made.n, end - first);
	ck_assert_int_eq(audio_stage_broken_packets(s), 0);
	audio_stage_destroy(s);
}

static const struct {
	const char *codec_id;
	enum AVCodecID id;
	int rate, channels, out_channels;
	bool is_bitrate;
} cases[] = {
	{ "A_AC3", AV_CODEC_ID_AC3, 48000, 6, 2, false },
	{ "A_AC3", AV_CODEC_ID_AC3, 48000, 6, 6, false },
	{ "A_AC3", AV_CODEC_ID_AC3, 44100, 2, 2, false },
	{ "A_EAC3", AV_CODEC_ID_EAC3, 48000, 6, 2, false },
	{ "A_MPEG/L2", AV_CODEC_ID_MP2, 44100, 2, 1, false },
	{ "A_FLAC", AV_CODEC_ID_FLAC, 96000, 2, 2, false },
	{ "A_AC3", AV_CODEC_ID_AC3, 48000, 2, 2, true },
};

/* SHORT is set where everything takes fifty times as long. */
static int seconds(void)
{
	return getenv("SHORT") ? 2 : 7;
}

START_TEST(joined_segments_are_byte_for_byte_one_continuous_encode)
{
	static const int lengths[] = { 17, 94, 281 };
	struct title t;
	struct buf whole = { 0 }, joined = { 0 };
	size_t *a, *b;

	make_title(&t, cases[_i].codec_id, cases[_i].id, cases[_i].rate, cases[_i].channels, seconds());
	t.options.audio_channels = cases[_i].out_channels;
	t.options.audio_mode = cases[_i].is_bitrate ? RECORD_AUDIO_BITRATE : RECORD_AUDIO_QUALITY;
	make_facts(&t);
	a = calloc((size_t)t.audio.frames, sizeof *a);
	b = calloc((size_t)t.audio.frames, sizeof *b);
	make_frames(&t, 0, t.audio.frames, false, &whole, a);
	ck_assert_uint_gt(whole.size, (size_t)t.audio.frames * 20);
	for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
		buf_reset(&joined);
		for (int64_t at = 0, end; at < t.audio.frames; at = end) {
			end = at + lengths[l] < t.audio.frames ? at + lengths[l] : t.audio.frames;
			make_frames(&t, at, end, false, &joined, b + at);
		}
		for (int64_t i = 0; i < t.audio.frames; i++)
			ck_assert_msg(a[i] == b[i], "%s, segments of %d frames: frame %lld has %zu bytes, not %zu", cases[_i].codec_id,
				      lengths[l], (long long)i, b[i], a[i]);
		ck_assert_mem_eq(whole.data, joined.data, whole.size);
	}
	buf_reset(&joined);
	make_frames(&t, 0, t.audio.frames, true, &joined, b);
	ck_assert_uint_eq(whole.size, joined.size);
	ck_assert_mem_eq(whole.data, joined.data, whole.size);
	free(a);
	free(b);
	buf_finish(&whole);
	buf_finish(&joined);
	free_title(&t);
}
END_TEST

START_TEST(places_come_from_counting_not_from_rounded_times)
{
	struct record_audio a = { .source_rate = 48000, .source_unit = 1536, .source_base = -256 };
	struct audio_clock c;

	audio_clock_init(&c, &a, 0);
	for (int64_t k = 0; k < 100000; k++) {
		int64_t exact = -256 + k * 1536;
		int64_t said = timeline_scale_round(exact, 1000, 48000) * 1000000;

		ck_assert_int_eq(audio_clock_place(&c, said, 0, 1536), exact);
	}
}
END_TEST

START_TEST(laced_packets_follow_each_other)
{
	struct record_audio a = { .source_rate = 48000, .source_unit = 1536 };
	struct audio_clock c;

	audio_clock_init(&c, &a, 0);
	ck_assert_int_eq(audio_clock_place(&c, 96000000, 0, 1536), 3 * 1536);
	ck_assert_int_eq(audio_clock_place(&c, 96000000, 1, 1536), 4 * 1536);
	ck_assert_int_eq(audio_clock_place(&c, 96000000, 2, 1536), 5 * 1536);
}
END_TEST

START_TEST(counted_packets_ignore_rounding_and_follow_a_real_hole)
{
	struct record_audio a = { .source_rate = 44100 };
	struct audio_clock c;

	audio_clock_init(&c, &a, 0);
	ck_assert_int_eq(audio_clock_place(&c, 0, 0, 1000), 0);
	ck_assert_int_eq(audio_clock_place(&c, 23000000, 0, 1000), 1000);
	ck_assert_int_eq(audio_clock_place(&c, 45000000, 0, 1000), 2000);
	ck_assert_int_eq(audio_clock_place(&c, 1000000000, 0, 1000), 44100);
	ck_assert_int_eq(audio_clock_place(&c, 1023000000, 0, 1000), 45100);
}
END_TEST

/* Vorbis: the first packet that is read gives no samples and is taken to lie where it ends. */
START_TEST(counting_from_an_anchor_is_counting_from_the_start)
{
	struct record_audio a = { .source_rate = 44100 };
	struct audio_clock c, late;
	int64_t pos[200], said[200];

	audio_clock_init(&c, &a, 1024);
	for (int i = 0; i < 200; i++) {
		/* joined from two files, whose sound overlaps a little */
		said[i] = timeline_scale_round(i * INT64_C(1024), 1000, 44100) * 1000000 - (i < 100 ? 0 : 45000000);
		pos[i] = audio_clock_place(&c, said[i], 0, i ? 1024 : 0);
	}
	for (int from = 1; from < 200; from++) {
		audio_clock_init(&late, &a, pos[from] + 1024);
		audio_clock_place(&late, said[from], 0, 0);
		for (int i = from + 1; i < 200; i++)
			ck_assert_int_eq(audio_clock_place(&late, said[i], 0, 1024), pos[i]);
	}
}
END_TEST

Suite *suite_audio(void)
{
	Suite *s = suite_create("worker/audio");
	TCase *t = tcase_create("audio");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, joined_segments_are_byte_for_byte_one_continuous_encode, 0, (int)(sizeof cases / sizeof *cases));
	tcase_add_test(t, places_come_from_counting_not_from_rounded_times);
	tcase_add_test(t, laced_packets_follow_each_other);
	tcase_add_test(t, counted_packets_ignore_rounding_and_follow_a_real_hole);
	tcase_add_test(t, counting_from_an_anchor_is_counting_from_the_start);
	suite_add_tcase(s, t);
	return s;
}
