/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sound that passes through: what is known of a track, and what becomes of packets of any length and of holes.
 */
#include "worker/audio_copy.h"
#include "worker/fragment.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define OPUS_HEAD "4f70757348656164" "01" "02" "3801" "80bb0000" "0000" "00" /* pre-skip 312, 48 kHz */
#define STREAMINFO "00000022" "1200" "1200" "000000" "000000" "0bb802f0" "00000000" "00000000000000000000000000000000"
#define AC3 "0b77692c1e40ebf8403eff99"

static struct err err;
static struct audio_facts facts;

static void teardown(void)
{
	audio_facts_finish(&facts);
	mem_release();
}

static struct track track_of(const char *codec_id, const char *codec_private)
{
	struct track t = { .number = 2, .type = TRACK_AUDIO, .rate = 48000, .channels = 2, .bit_depth = 16,
			       .codec_private = mem_hex(codec_private) };

	snprintf(t.codec_id, sizeof t.codec_id, "%s", codec_id);
	return t;
}

static int read_facts(const char *codec_id, const char *codec_private, const char *packet)
{
	struct track t = track_of(codec_id, codec_private);
	struct bytes first[2] = { mem_hex(""), mem_hex(packet) };

	audio_facts_finish(&facts);
	facts = (struct audio_facts){ 0 };
	return audio_copy_facts(&facts, audio_codec_find(&t), &t, first, 2, &err);
}

/* ---- facts */

static const struct {
	const char *codec_id, *codec_private, *packet;
	enum fmp4_entry entry;
	const char *codecs;
	int rate, channels, unit, delay;
	const char *config;
} good[] = {
	{ "A_AAC", "1190", "", FMP4_MP4A, "mp4a.40.2", 48000, 2, 1024, 0, "1190" },
	{ "A_AC3", "", AC3, FMP4_AC3, "ac-3", 48000, 6, 1536, 0, "103de0" },
	{ "A_MPEG/L3", "", "fffb94c4", FMP4_MP3, "mp4a.40.34", 48000, 1, 1152, 0, "" },
	{ "A_OPUS", OPUS_HEAD, "fc00", FMP4_OPUS, "opus", 48000, 2, 120, 312, "00" "02" "0138" "0000bb80" "0000" "00" },
	{ "A_OPUS", "4f70757348656164" "01" "03" "0001" "44ac0000" "00ff" "01" "0201" "000201" "ffff", "fc00", FMP4_OPUS,
	  "opus", 48000, 3, 120, 256, "00" "03" "0100" "0000ac44" "ff00" "01" "0201" "000201" }, /* a table; what follows is left out */
	{ "A_FLAC", "664c6143" STREAMINFO, "", FMP4_FLAC, "fLaC", 48000, 2, 4608, 0,
	  "80000022" "1200" "1200" "000000" "000000" "0bb802f0" "00000000" "00000000000000000000000000000000" },
};

START_TEST(a_track_that_mp4_can_hold_is_copied)
{
	ck_assert_msg(!read_facts(good[_i].codec_id, good[_i].codec_private, good[_i].packet), "%s", err.msg);
	ck_assert(facts.is_copy && facts.entry == good[_i].entry);
	ck_assert_str_eq(facts.codecs, good[_i].codecs);
	ck_assert(facts.rate == good[_i].rate && facts.source_rate == facts.rate && facts.channels == good[_i].channels);
	ck_assert(facts.unit == good[_i].unit && facts.source_unit == facts.unit && facts.lead >= 2 * facts.unit);
	ck_assert(facts.delay == good[_i].delay && facts.skip == facts.delay);
	mem_assert(buf_bytes(&facts.config), good[_i].config, good[_i].codecs);
}
END_TEST

START_TEST(opus_rolls_over_80_ms)
{
	static const struct {
		const char *packet;
		int roll;
	} rows[] = { { "fc00", -4 /* 20 ms */ },
		     { "1800", -2 /* 60 ms */ }, { "e000", -32 /* 2.5 ms */ }, { "ff0600", -1 /* 120 ms */ } };

	for (size_t i = 0; i < LENGTH(rows); i++) {
		ck_assert_int_eq(read_facts("A_OPUS", OPUS_HEAD, rows[i].packet), 0);
		ck_assert_int_eq(facts.roll, rows[i].roll);
	}
}
END_TEST

static const struct {
	const char *codec_id, *codec_private, *packet;
	int code;
} bad[] = {
	{ "A_AAC", "ffff", "", ERR_DATA },
	{ "A_AC3", "", "0011223344556677", ERR_DATA },
	{ "A_AC3", "", "0b77692c1e48ebf8403eff99", ERR_UNSUPPORTED },
	{ "A_MPEG/L3", "", "fff394c4", ERR_UNSUPPORTED }, /* MPEG-2 */
	{ "A_MPEG/L3", "", "fffb9cc4", ERR_UNSUPPORTED }, /* no rate */
	{ "A_MPEG/L3", "", "fffb94", ERR_UNSUPPORTED },
	{ "A_OPUS", "", "fc00", ERR_UNSUPPORTED },
	{ "A_OPUS", "4f70757348656165" "01" "02" "3801" "80bb0000" "0000" "00", "fc00", ERR_UNSUPPORTED },
	{ "A_OPUS", "4f70757348656164" "10" "02" "3801" "80bb0000" "0000" "00", "fc00", ERR_UNSUPPORTED }, /* version */
	{ "A_OPUS", "4f70757348656164" "01" "00" "3801" "80bb0000" "0000" "00", "fc00", ERR_UNSUPPORTED },
	{ "A_OPUS", "4f70757348656164" "01" "03" "3801" "80bb0000" "0000" "00", "fc00", ERR_UNSUPPORTED }, /* family 0 */
	{ "A_OPUS", "4f70757348656164" "01" "03" "3801" "80bb0000" "0000" "01" "0201" "0002", "fc00", ERR_UNSUPPORTED }, /* cut */
	{ "A_OPUS", OPUS_HEAD, "ff", ERR_UNSUPPORTED },
	{ "A_FLAC", "", "", ERR_UNSUPPORTED },
	{ "A_FLAC", "664c6143" "04000022" "12001200", "", ERR_UNSUPPORTED },
	{ "A_FLAC", "664c6143" "00000022" "1200" "0600" "000000" "000000" "0bb802f0" "00000000"
	  "00000000000000000000000000000000", "", ERR_UNSUPPORTED }, /* blocks of different sizes */
	{ "A_DTS", "", "7ffe8001", ERR_UNSUPPORTED },
	{ "A_VORBIS", "", "00", ERR_UNSUPPORTED },
};

START_TEST(a_track_that_cannot_be_copied_exactly_says_why)
{
	ck_assert_int_eq(read_facts(bad[_i].codec_id, bad[_i].codec_private, bad[_i].packet), bad[_i].code);
	ck_assert_uint_gt(strlen(err.msg), 5);
}
END_TEST

START_TEST(lengths_are_read_from_opus_packets_and_flac_frames)
{
	static const struct {
		const char *packet;
		int samples;
	} opus[] = {
		{ "", 0 }, { "00", 480 }, { "08", 960 }, { "10", 1920 }, { "18", 2880 }, { "60", 480 }, { "68", 960 },
		{ "80", 120 },
		{ "98", 960 }, { "fd", 1920 }, { "fe", 1920 }, { "ff", 0 }, { "ff03", 2880 }, { "ff83", 2880 },
	}, flac[] = {
		{ "fff8c91800000000", 4096 }, { "fff8191800000000", 192 }, { "fff8291800000000", 576 }, { "fff8591800000000", 4608 },
		{ "fff8891800000000", 256 }, { "fff8f91800000000", 32768 }, { "fff8091800000000", 0 },
		{ "fff86918000f0000", 16 },               /* 8 bits, less 1 */
		{ "fff8791800" "12ab", 0x12ac },      /* 16 bits, less 1 */
		{ "fff87918c280" "12ab", 0x12ac },    /* a number of two bytes */
		{ "fff87918efbfbf" "12ab", 0x12ac },  /* of three */
		{ "fff97918feffffffffffff" "12ab", 0x12ac }, /* of seven */
		{ "fff87918c28012", 0 }, { "ffe8c9180000", 0 }, { "fff8c918", 0 },
	};

	for (size_t i = 0; i < LENGTH(opus); i++)
		ck_assert_int_eq(audio_copy_opus_samples(mem_hex(opus[i].packet)), opus[i].samples);
	for (size_t i = 0; i < LENGTH(flac); i++)
		ck_assert_msg(audio_copy_flac_samples(mem_hex(flac[i].packet)) == flac[i].samples, "%s", flac[i].packet);
}
END_TEST

/* ---- the stage */

/* Packets of 20, 60, 2.5, 20, 40 and 20 ms, the last cut by discarding: one byte tells the length. */
static const struct {
	const char *packet;
	int64_t pos;
} packets[] = { { "fc", -312 }, { "18", 648 }, { "e0", 3528 }, { "fc", 3648 }, { "fd00", 4608 }, { "fc", 6528 } };

static const struct record_audio opus_audio = { .is_present = true, .is_copy = true, .track = 2, .codecs = "opus", .rate = 48000,
						.channels = 2, .unit = 120, .base = -312, .frames = 65, .source_rate = 48000,
						.source_unit = 120, .source_base = -312, .source_end = 7388, .delay = 312 };

/* Frames [first, end) of the packets, without some, as a run. What it points to lives in *f. */
static void run_stage(const struct track *t, const struct record_audio *a, int64_t first, int64_t end, unsigned without,
		      struct fragments *f, struct fmp4_sample *samples, struct fmp4_run *run)
{
	struct record_options options;
	struct audio_stage *s;
	int ret = 0;

	record_options_init(&options);
	fragments_init(f, NULL, a, first);
	ck_assert_int_eq(audio_stage_create(&s, t, a, &options, first, end, fragments_add_audio, f, &err), 0);
	for (size_t i = 0; i < LENGTH(packets) && !ret; i++)
		if (!(without >> i & 1))
			ret = audio_stage_push(s, packets[i].pos, INT64_MAX, mem_hex(packets[i].packet), &err);
	if (!ret)
		ret = audio_stage_finish(s, end, &err);
	ck_assert_int_ge(ret, 0);
	audio_stage_destroy(s);
	ck_assert_int_eq(f->n_audio, end - first);
	fragments_audio_run(f, 0, end - first, samples, run);
}

START_TEST(packets_of_any_length_follow_each_other_to_the_sample)
{
	struct track t = track_of("A_OPUS", OPUS_HEAD);

	for (int64_t cut = 1; cut < 64; cut++) {
		int64_t bounds[] = { 0, cut, 65 }, next = 0;
		int n = 0;

		for (int k = 0; k < 2; k++) {
			struct fmp4_sample samples[65];
			struct fmp4_run run;
			struct fragments f;

			run_stage(&t, &opus_audio, bounds[k], bounds[k + 1], 0, &f, samples, &run);
			ck_assert(run.has_roll);
			ck_assert(!run.n_samples || run.decode_time == next);
			for (int i = 0; i < run.n_samples; i++, n++) {
				ck_assert_int_eq(next, packets[n].pos + 312);
				ck_assert_uint_eq(samples[i].data.data[0], mem_hex(packets[n].packet).data[0]);
				next += samples[i].duration;
			}
			fragments_finish(&f);
		}
		ck_assert_int_eq(n, 6);
		ck_assert_int_eq(next, 7388 + 312); /* not a whole packet */
	}
}
END_TEST

START_TEST(a_hole_within_a_segment_lasts_the_packet_before_on)
{
	struct track t = track_of("A_OPUS", OPUS_HEAD);
	struct fmp4_sample samples[65];
	struct fmp4_run run;
	struct fragments f;

	run_stage(&t, &opus_audio, 0, 65, 1u << 1 | 1u << 2, &f, samples, &run);
	ck_assert_int_eq(run.n_samples, 4);
	ck_assert_int_eq(run.decode_time, 0);
	ck_assert_uint_eq(samples[0].duration, 3960);
	ck_assert_uint_eq(samples[1].duration, 960);
	fragments_finish(&f);
}
END_TEST

START_TEST(a_hole_at_the_start_of_a_segment_moves_its_decode_time)
{
	struct track t = track_of("A_OPUS", OPUS_HEAD);
	struct fmp4_sample samples[65];
	struct fmp4_run run;
	struct fragments f;

	run_stage(&t, &opus_audio, 8, 65, 1u << 1 | 1u << 2, &f, samples, &run);
	ck_assert_int_eq(run.n_samples, 3);
	ck_assert_int_eq(run.decode_time, 3960);
	fragments_finish(&f);
	run_stage(&t, &opus_audio, 0, 8, 1u << 1 | 1u << 2, &f, samples, &run);
	ck_assert_int_eq(run.n_samples, 1);
	ck_assert_uint_eq(samples[0].duration, 960); /* its own length: what follows is another segment's */
	fragments_finish(&f);
	run_stage(&t, &opus_audio, 8, 32, 1u << 1 | 1u << 2, &f, samples, &run);
	ck_assert_int_eq(run.n_samples, 0);
	fragments_finish(&f);
}
END_TEST

START_TEST(a_hole_in_aac_is_silence)
{
	struct track t = track_of("A_AAC", "1190");
	struct record_audio a = { .is_present = true, .is_copy = true, .codecs = "mp4a.40.2", .rate = 48000, .channels = 2,
				  .unit = 1024, .frames = 4, .source_rate = 48000, .source_unit = 1024, .source_end = 4096 };
	struct fmp4_sample samples[4];
	struct record_options options;
	struct audio_stage *s;
	struct fragments f;
	struct fmp4_run run;

	record_options_init(&options);
	fragments_init(&f, NULL, &a, 0);
	ck_assert_int_eq(audio_stage_create(&s, &t, &a, &options, 0, 4, fragments_add_audio, &f, &err), 0);
	ck_assert_int_eq(audio_stage_push(s, 0, INT64_MAX, mem_hex("aa"), &err), 0);
	ck_assert_int_eq(audio_stage_push(s, 3072, INT64_MAX, mem_hex("bb"), &err), 1);
	fragments_audio_run(&f, 0, 4, samples, &run);
	ck_assert_int_eq(run.n_samples, 4);
	ck_assert(!run.has_roll);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(samples[i].duration, 1024);
	ck_assert_uint_gt(samples[1].data.size, 1);
	audio_stage_destroy(s);
	fragments_finish(&f);
}
END_TEST

/* A job may say 64. */
START_TEST(too_many_channels_are_an_error)
{
	static const int channels[] = { 0, 9, 64 };
	struct track t = track_of("A_AAC", "1190");
	struct record_audio a = { .is_present = true, .rate = 48000, .unit = 1024, .frames = 4, .source_rate = 48000, .source_unit = 1024 };
	struct record_options options;
	struct audio_stage *s;

	record_options_init(&options);
	for (int i = 0; i < 6; i++) {
		a.channels = channels[i / 2];
		a.is_copy = i % 2;
		ck_assert_int_eq(audio_stage_create(&s, &t, &a, &options, 0, 4, fragments_add_audio, NULL, &err), ERR_UNSUPPORTED);
		ck_assert_ptr_null(s);
	}
}
END_TEST

START_TEST(too_many_frames_at_once_are_over_a_limit)
{
	struct record_audio a = { .rate = 48000 };
	struct fragments f;
	int ret = 0;

	fragments_init(&f, NULL, &a, 0);
	for (int64_t n = 0; !ret; n++) {
		ck_assert_int_le(n, 1 << 22);
		ret = fragments_add_audio(&f, n, 1024, (struct bytes){ 0 }, &err);
	}
	ck_assert_int_eq(ret, ERR_LIMIT);
	ck_assert_msg(strstr(err.msg, "audio frames at once"), "%s", err.msg);
	fragments_finish(&f);
}
END_TEST

Suite *suite_audio_copy(void)
{
	Suite *suite = suite_create("worker/audio_copy");
	TCase *t = tcase_create("copy");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_loop_test(t, a_track_that_mp4_can_hold_is_copied, 0, (int)LENGTH(good));
	tcase_add_test(t, opus_rolls_over_80_ms);
	tcase_add_loop_test(t, a_track_that_cannot_be_copied_exactly_says_why, 0, (int)LENGTH(bad));
	tcase_add_test(t, lengths_are_read_from_opus_packets_and_flac_frames);
	tcase_add_test(t, packets_of_any_length_follow_each_other_to_the_sample);
	tcase_add_test(t, a_hole_within_a_segment_lasts_the_packet_before_on);
	tcase_add_test(t, a_hole_at_the_start_of_a_segment_moves_its_decode_time);
	tcase_add_test(t, a_hole_in_aac_is_silence);
	tcase_add_test(t, too_many_channels_are_an_error);
	tcase_add_test(t, too_many_frames_at_once_are_over_a_limit);
	suite_add_tcase(suite, t);
	return suite;
}
