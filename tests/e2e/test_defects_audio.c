/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes wrong in the systems of the field, each as a test that rules it out: sound.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/sound.h"
#include "tests/suites.h"
#include "worker/mkv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLD 4096 /* samples after which a decoder that began in mid-stream is right for sure */

/* ---- where it is heard */

static int64_t to_48k(int64_t v, uint32_t timescale)
{
	return v * SOUND_RATE / timescale;
}

/* Each segment, decoded on its own, sounds like the source at the segment's time, to the sample. */
static void check_every_segment(const struct hls *h, const char *source)
{
	const struct hls_track *a = hls_audio(h);
	struct defects_starts starts;
	struct sound whole, one;
	int64_t start, fraction = SOUND_RATE % a->timescale ? 1 : 0; /* where a segment begins between two samples */

	defects_starts(&starts, source);
	start = (starts.audio_ms - starts.origin_ms) * SOUND_RATE / 1000;
	sound_decode(&whole, source);
	for (size_t i = 0; i < h->n_segments; i++) {
		int64_t at = to_48k(a->tfdt[i], a->timescale), from = COLD, lag;

		if (at + from < start)
			from = start - at;
		sound_decode_segment(&one, h, i);
		lag = sound_lag(&whole, at + from - start, &one, from);
		ck_assert_msg(llabs(lag) <= fraction, "segment %zu: sound is %lld samples late", i, (long long)lag);
		sound_finish(&one);
	}
	sound_finish(&whole);
}

/* The first picture is shown when it should be. */
static void check_first_picture(const struct hls *h, const char *source)
{
	struct defects_starts starts;
	int64_t *times = defects_times(hls_video(h));

	defects_starts(&starts, source);
	ck_assert_int_eq(times[0], (starts.video_ms - starts.origin_ms) * 90);
	free(times);
}

static const char *interleaved(int i)
{
	static const char *const names[] = { "defects_264.mkv", "defects_264_mm.mkv", "defects_265.mkv",
					     "defects_265_mm.mkv" };
	static const char *const recipes[] = {
		FFMPEG PICTURE SOUND "-t 15 " X264 "-bf 2 -g 48 " AC3 OUT,
		MKVMERGE "\"$M/defects_264.mkv\"",
		FFMPEG PICTURE SOUND "-t 15 " X265 "-x265-params log-level=none:keyint=48:bframes=3 " AC3 OUT,
		MKVMERGE "\"$M/defects_265.mkv\"",
	};

	if (i & 1)
		media_make(names[i - 1], recipes[i - 1]);
	return media_make(names[i], recipes[i]);
}

START_TEST(hls_audio_is_not_late_by_another_amount_in_every_segment)
{
	const char *source = interleaved(_i);
	struct hls h;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	ck_assert_uint_ge(h.n_segments, 3);
	check_first_picture(&h, source);
	check_every_segment(&h, source);
	hls_free(&h);
}
END_TEST

static int64_t loudest(const struct sound *s, int64_t from, int64_t to)
{
	int64_t best = from;

	for (int64_t i = from; i < to; i++)
		if (fabsf(s->x[i]) > fabsf(s->x[best]))
			best = i;
	return best;
}

/* Two clicks in silence, at 2.5 s and 8.25 s; the second title goes through the resampler as well. */
START_TEST(encoder_delay_is_taken_off)
{
	static const double clicks[] = { 2.5, 8.25 };
	static const char *const names[] = { "defects_clicks_48.mkv", "defects_clicks_44.mkv" };
	static const char *const recipes[] = {
		FFMPEG PICTURE "-f lavfi -i 'aevalsrc=0.9*(eq(n\\,120000)+eq(n\\,396000)):s=48000' "
			       "-t 13 " X264 "-g 48 -c:a pcm_s16le " OUT,
		FFMPEG PICTURE "-f lavfi -i 'aevalsrc=0.9*(eq(n\\,110250)+eq(n\\,363825)):s=44100' "
			       "-t 13 " X264 "-g 48 -c:a pcm_s16le " OUT,
	};
	const char *source = media_make(names[_i], recipes[_i]);
	struct sound s;
	struct hls h;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	ck_assert_int_eq(hls_audio(&h)->tfdt[0], 0);
	check_first_picture(&h, source);
	sound_decode(&s, hls_join(&h));
	for (int i = 0; i < 2; i++) {
		int64_t click = (int64_t)(clicks[i] * SOUND_RATE);
		int64_t late = loudest(&s, click - SOUND_RATE / 2, click + SOUND_RATE / 2) - click;

		ck_assert_msg(llabs(late) <= 1, "click %d is %lld samples late", i, (long long)late);
	}
	sound_finish(&s);
	hls_free(&h);
}
END_TEST

/* ---- borders */

static double snr_db(const struct sound *source, const struct sound *s, const int64_t *centres, size_t n, int64_t moved)
{
	double signal = 0, noise = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t at = centres[i] + moved - SOUND_RATE / 40;

		sound_compare(source, at, s, at, SOUND_RATE / 20, &signal, &noise);
	}
	ck_assert(signal > 0 && noise > 0);
	return 10 * log10(signal / noise);
}

/* Of 44.1 kHz, so that decoder, resampler and encoder are all begun anew for each segment. The same title in one
 * segment has no borders: in the 50 ms around each of ours it is no better, and for that matter no different. */
START_TEST(no_border_is_audible)
{
	const char *source = media_make("defects_borders.mkv",
					FFMPEG PICTURE SOUND "-t 30 " X264 "-g 24 -sc_threshold 0 "
					"-c:a ac3 -ac 2 -ar 44100 -b:a 192k " OUT);
	const struct hls_track *a, *b;
	struct sound whole, s, t;
	struct hls h, one;
	int64_t centres[64];

	hls_make(&h, source, "-j 2 --segment-duration 1");
	hls_make(&one, source, "-j 2 --segment-duration 600");
	ck_assert_uint_eq(one.n_segments, 1);
	ck_assert(h.n_segments > 20 && h.n_segments < 64);
	a = hls_audio(&h);
	b = hls_audio(&one);
	ck_assert_uint_eq(a->n_samples, b->n_samples);
	for (size_t i = 0; i < a->n_samples; i++)
		ck_assert_msg(defects_is_same_data(&a->samples[i], &b->samples[i]),
			      "frame %zu of the sound has other bytes than in one segment", i);
	for (size_t i = 1; i < h.n_segments; i++)
		centres[i - 1] = to_48k(a->tfdt[i], a->timescale);
	sound_decode(&whole, source);
	sound_decode(&s, hls_join(&h));
	sound_decode(&t, hls_join(&one));
	for (int64_t moved = -200; moved <= 200; moved += 200)
		ck_assert_double_ge(snr_db(&whole, &s, centres, h.n_segments - 2, moved),
				    snr_db(&whole, &t, centres, h.n_segments - 2, moved) - 0.1);
	ck_assert_double_ge(snr_db(&whole, &s, centres, h.n_segments - 2, 0), 6);
	sound_finish(&whole);
	sound_finish(&s);
	sound_finish(&t);
	hls_free(&h);
	hls_free(&one);
}
END_TEST

/* ---- offsets between the tracks */

static const char *moved(int i)
{
	static const char *const names[] = { "defects_late_ac3.mkv", "defects_late_aac.mkv", "defects_late_video.mkv",
					     "defects_late_ff.mkv" };
	static const char *const recipes[] = {
		MKVMERGE "--sync 1:500 " PLAIN,
		FFMPEG PICTURE SOUND "-t 13 " X264 "-g 48 -c:a aac -ac 2 \"$OUT.mkv\" && "
				     MKVMERGE "--sync 1:500 \"$OUT.mkv\" && rm \"$OUT.mkv\"",
		MKVMERGE "--sync 0:500 " PLAIN,
		FFMPEG "-i " PLAIN " -itsoffset 0.5 -i " PLAIN " -map 0:v -map 1:a -c copy " OUT,
	};

	defects_plain();
	return media_make(names[i], recipes[i]);
}

START_TEST(an_offset_of_500_ms_between_the_tracks_is_kept)
{
	const char *source = moved(_i);
	struct defects_starts starts;
	struct hls h;

	defects_starts(&starts, source);
	ck_assert_int_ge(llabs(starts.audio_ms - starts.video_ms), 450);
	hls_make(&h, source, "-j 2");
	hls_check(&h);
	check_first_picture(&h, source);
	check_every_segment(&h, source);
	hls_free(&h);
}
END_TEST

/* ---- AAC that is copied */

#define TITLE_24S FFMPEG PICTURE SOUND "-t 24 " X264 "-g 48 "

static const struct {
	const char *name, *recipe;
	int channels;
	uint32_t rate;
} copied[] = {
	{ "defects_aac_51.mkv", TITLE_24S "-c:a aac -ac 6 " OUT, 6, 48000 },
	{ "defects_aac_44.mkv", TITLE_24S "-c:a aac -ac 2 -ar 44100 " OUT, 2, 44100 },
	{ "defects_aac_mono.mkv", TITLE_24S "-c:a aac -ac 1 -ar 22050 " OUT, 1, 22050 },
};

static void check_config(const struct hls_track *a, const char *source)
{
	const struct track *t;
	struct input in;
	struct mkv mkv;
	struct buf file;

	craft_load(&file, source);
	input_init_bytes(&in, buf_bytes(&file));
	ck_assert_int_eq(mkv_open(&mkv, &in, NULL), 0);
	t = mkv_track(&mkv, 2);
	ck_assert_ptr_nonnull(t);
	ck_assert_uint_eq(a->config.size, t->codec_private.size);
	ck_assert_mem_eq(a->config.data, t->codec_private.data, a->config.size);
	mkv_close(&mkv);
	buf_finish(&file);
}

START_TEST(copied_aac_keeps_its_own_configuration)
{
	const char *source = media_make(copied[_i].name, copied[_i].recipe);
	const struct hls_track *a;
	char *errors, *said, expected[32];
	struct hls h;
	struct sound s;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	a = hls_audio(&h);
	ck_assert_uint_eq(a->timescale, copied[_i].rate);
	ck_assert_int_eq(a->channels, copied[_i].channels);
	ck_assert_int_eq(a->samples[0].duration, 1024);
	check_config(a, source);
	defects_check_frames(a, source, 2);
	errors = sh("ffmpeg -nostdin -v warning -i '%s' -map a:0 -f null -", hls_join(&h));
	ck_assert_str_eq(errors, "");
	free(errors);
	said = defects_probe(hls_join(&h), "-select_streams a -show_entries stream=sample_rate,channels");
	snprintf(expected, sizeof expected, "%u,%d ", copied[_i].rate, copied[_i].channels);
	ck_assert_str_eq(said, expected);
	free(said);
	sound_decode(&s, hls_join(&h));
	ck_assert_int_le(llabs(s.n - 24 * SOUND_RATE), 4096); /* less priming and what fills the last frame */
	sound_finish(&s);
	check_every_segment(&h, source);
	hls_free(&h);
}
END_TEST

Suite *suite_defects_audio(void)
{
	Suite *s = suite_create("defects_audio");
	TCase *t = tcase_create("defects_audio");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, hls_audio_is_not_late_by_another_amount_in_every_segment, 0, 4);
	tcase_add_loop_test(t, encoder_delay_is_taken_off, 0, 2);
	tcase_add_test(t, no_border_is_audible);
	tcase_add_loop_test(t, an_offset_of_500_ms_between_the_tracks_is_kept, 0, 4);
	tcase_add_loop_test(t, copied_aac_keeps_its_own_configuration, 0, (int)(sizeof copied / sizeof *copied));
	suite_add_tcase(s, t);
	return s;
}
