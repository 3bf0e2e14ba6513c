/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Exactness, end to end: the joined segments are the source, to the frame, the tick and the sample, and the playlists tell
 * the truth.
 */
#include "tests/e2e/hls.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/universal.h"
#include "tests/suites.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define PICTURE(rate) "-f lavfi -i testsrc2=size=320x180:rate=" rate " "
#define SOUND "-f lavfi -i \"$A\" "
#define X264 "-c:v libx264 -preset ultrafast -g 48 "
#define X265(params) "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=48:" params " "
#define AC3 "-c:a ac3 -b:a 384k "
#define PLAIN FFMPEG PICTURE("24") SOUND "-t 20 " X264 "-bf 3 " AC3

/* ---- item 1: made samples */

enum trait { /* what a sample must really show, lest it test nothing */
	NO_TRAIT, OPEN_GOP, PYRAMID, VARIABLE_RATE, LATE_START, NO_CUES, CUES_AT_END, CONSTANT_RATE,
};

static const struct sample {
	const char *name, *recipe;
	enum trait trait;
} samples[] = {
	{ "exact-closed.mkv", PLAIN "-flags +cgop \"$OUT\"", CUES_AT_END },
	{ "exact-open.mkv",
	  FFMPEG PICTURE("24") SOUND "-t 20 -c:v libx264 -preset veryfast "
	  "-x264-params open-gop=1:keyint=48:min-keyint=48:bframes=3:b-adapt=0:scenecut=0 " AC3 "\"$OUT\"", OPEN_GOP },
	{ "exact-pyramid.mkv",
	  FFMPEG PICTURE("24") SOUND "-t 20 " X264 "-bf 7 -x264-params b-pyramid=normal:b-adapt=0:ref=4 " AC3 "\"$OUT\"", PYRAMID },
	{ "exact-vfr.mkv",
	  FFMPEG "-f lavfi -i \"testsrc2=size=320x180:rate=50,settb=1/1000,select='not(eq(mod(n,5),2))*not(eq(mod(n,7),3))',"
	  "setpts=PTS+7*mod(N\\,2)\" " SOUND "-t 20 -enc_time_base 1/1000 -fps_mode passthrough " X264 "-bf 3 " AC3 "\"$OUT\"",
	  VARIABLE_RATE },
	{ "exact-23.976.mkv", FFMPEG PICTURE("24000/1001") SOUND "-t 30 " X264 "-bf 2 " AC3 "\"$OUT\"", CONSTANT_RATE },
	{ "exact-29.97.mkv", FFMPEG PICTURE("30000/1001") SOUND "-t 20 " X264 "-bf 3 " AC3 "\"$OUT\"", CONSTANT_RATE },
	{ "exact-59.94.mkv", FFMPEG PICTURE("60000/1001") SOUND "-t 20 " X264 "-bf 3 " AC3 "\"$OUT\"", CONSTANT_RATE },
	{ "exact-late.mkv", PLAIN "-output_ts_offset 12.345 \"$OUT\"", LATE_START },
	{ "exact-silent.mkv", FFMPEG PICTURE("25") "-t 20 " X264 "-bf 3 \"$OUT\"", NO_TRAIT },
	{ "exact-blind.mkv", FFMPEG SOUND "-t 20 " AC3 "\"$OUT\"", NO_TRAIT },
	{ "exact-no-cues.mkv", PLAIN "-f matroska - | cat > \"$OUT\"", NO_CUES },
	{ "exact-mkvmerge.mkv", PLAIN "\"$M/exact-plain.mkv\" && mkvmerge -q -o \"$OUT\" \"$M/exact-plain.mkv\"", CUES_AT_END },
	{ "exact-hevc-closed.mkv", FFMPEG PICTURE("24") SOUND "-t 16 " X265("open-gop=0:bframes=3") AC3 "\"$OUT\"", NO_TRAIT },
	{ "exact-hevc-open.mkv", FFMPEG PICTURE("24") SOUND "-t 16 " X265("open-gop=1:bframes=3") AC3 "\"$OUT\"", OPEN_GOP },
};

static bool has_leading_pictures(const struct hls_track *t, size_t segment)
{
	const struct hls_sample *sync = &t->samples[t->first[segment]];

	for (size_t i = t->first[segment] + 1; i < t->first[segment + 1]; i++)
		if (t->samples[i].dts + t->samples[i].cts < sync->dts + sync->cts)
			return true;
	return false;
}

static bool has_two_durations(const struct hls_track *t)
{
	for (size_t i = 1; i < t->n_samples; i++)
		if (llabs(t->samples[i].duration - t->samples[0].duration) > t->timescale / 500)
			return true;
	return false;
}

/* Offset of the Cues' id in the file, as a share of it; -1: there are none. The bytes are looked for, not parsed. */
static double find_cues(const char *path)
{
	char *out = sh("LC_ALL=C grep -obUaP '\\x1C\\x53\\xBB\\x6B' '%s' | tail -n 1; stat -c '=%%s' '%s'", path, path), *size;
	double at = out[0] == '=' ? -1 : atof(out);

	size = strchr(out, '=');
	ck_assert_ptr_nonnull(size);
	at = at < 0 ? at : at / atof(size + 1);
	free(out);
	return at;
}

/* No frame lasts longer than another by more than a tick's rounding, though the file only tells milliseconds. */
static bool is_steady(const struct hls_track *t)
{
	int64_t least = INT64_MAX, most = 0;

	for (size_t i = 0; i < t->n_samples; i++) {
		least = t->samples[i].duration < least ? t->samples[i].duration : least;
		most = t->samples[i].duration > most ? t->samples[i].duration : most;
	}
	return most - least <= 1;
}

static double start_time(const char *path)
{
	char *out = sh("ffprobe -v error -show_entries format=start_time -of csv=p=0 '%s'", path);
	double start = atof(out);

	free(out);
	return start;
}

static void check_trait(enum trait trait, const struct hls *h, const char *source)
{
	const struct hls_track *video = hls_video(h);

	if (trait == OPEN_GOP)
		ck_assert(has_leading_pictures(video, 1));
	else if (trait == PYRAMID)
		ck_assert_int_ge(video->edit_media_time, 2 * video->timescale / 24);
	else if (trait == VARIABLE_RATE)
		ck_assert(has_two_durations(video));
	else if (trait == LATE_START)
		ck_assert(start_time(source) > 12);
	else if (trait == NO_CUES)
		ck_assert(find_cues(source) < 0);
	else if (trait == CONSTANT_RATE)
		ck_assert(is_steady(video));
	else if (trait == CUES_AT_END)
		ck_assert(find_cues(source) > 0.9);
}

/* Everything that must hold between a title and its HLS. */
static void check_exact(const struct hls *h, const char *source, bool is_sound_clear)
{
	hls_check(h);
	if (hls_video(h))
		hls_check_video(h, source);
	if (is_sound_clear)
		ck_assert_int_eq(hls_audio_lag(h, source), 0);
}

START_TEST(hls_of_a_made_sample_is_the_sample)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls h;

	hls_make(&h, source, "-j 2 --segment-duration 4");
	ck_assert_msg(h.n_segments > 2, "%s: only %zu segments", s->name, h.n_segments);
	ck_assert_msg(!hls_video(&h) == !strcmp(s->name, "exact-blind.mkv"), "%s: video", s->name);
	ck_assert_msg(!hls_audio(&h) == !strcmp(s->name, "exact-silent.mkv"), "%s: audio", s->name);
	check_trait(s->trait, &h, source);
	check_exact(&h, source, hls_audio(&h));
	hls_free(&h);
}
END_TEST

/* ---- item 2: audio borders */

#define SECONDS(s) FFMPEG PICTURE("24") SOUND "-t " s " " X264
#define RATE(hz) FFMPEG PICTURE("24") "-f lavfi -i \"$A,aresample=" hz "\" -t 25 " X264

static const struct sound_sample {
	const char *name, *recipe;
	int seconds;
	int64_t lag; /* samples at 48 kHz, from the origin of what ffmpeg decodes of the source */
} sounds[] = {
	{ "exact-ac3.mkv", SECONDS("65") AC3 "\"$OUT\"", 65, 0 },
	{ "exact-eac3.mkv", SECONDS("25") "-c:a eac3 -b:a 384k \"$OUT\"", 25, 0 },
	{ "exact-dts.mkv", SECONDS("25") "-c:a dca -strict -2 -b:a 1509k \"$OUT\"", 25, 0 },
	{ "exact-mp3.mkv", RATE("44100") "-c:a libmp3lame -b:a 192k -ac 2 \"$OUT\"", 25, 0 },
	{ "exact-opus.mkv", SECONDS("25") "-c:a libopus -b:a 192k -ac 2 \"$OUT\"", 25, 0 },
	/* A first packet of Vorbis only prepares the second one. segfarm's title begins with the first packet, as the container
	 * says, and ffmpeg's first sample comes with the second, at 3 ms: picture and sound are both that much later. */
	{ "exact-vorbis.mkv", SECONDS("25") "-c:a libvorbis -q:a 5 -ac 2 \"$OUT\"", 25, 144 },
	{ "exact-flac96.mkv", RATE("96000") "-c:a flac -compression_level 2 -ac 2 \"$OUT\"", 25, 0 },
};

/* Frame by frame; the segments of the two may be cut anywhere. */
static void check_same_audio(const struct hls *a, const struct hls *b, const char *what)
{
	const struct hls_track *x = hls_audio(a), *y = hls_audio(b);

	ck_assert(x && y);
	ck_assert_msg(x->n_samples == y->n_samples, "%s: %zu frames, %zu in one segment", what, x->n_samples, y->n_samples);
	for (size_t i = 0; i < x->n_samples; i++) {
		struct bytes m = x->samples[i].data, n = y->samples[i].data;

		ck_assert_msg(x->samples[i].dts == y->samples[i].dts, "%s: frame %zu at another time", what, i);
		ck_assert_msg(m.size == n.size && !memcmp(m.data, n.data, m.size), "%s: frame %zu is another one", what, i);
	}
}

START_TEST(audio_is_one_encode_whatever_the_segment_duration)
{
	static const int durations[] = { 2, 6, 30 };
	const struct sound_sample *s = &sounds[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls whole, h;

	hls_make(&whole, source, "-j 2 --segment-duration 600");
	ck_assert_uint_eq(whole.n_segments, 1);
	ck_assert_int_eq(hls_audio_lag(&whole, source), s->lag);
	ck_assert_int_eq(hls_video_lag(&whole, source) * 48000, s->lag * 90000);
	for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
		char options[80];

		snprintf(options, sizeof options, "-j 2 --segment-duration %d", durations[i]);
		hls_make(&h, source, options);
		hls_check(&h);
		ck_assert_uint_eq(h.n_segments, (size_t)(s->seconds + durations[i] - 1) / (size_t)durations[i]);
		check_same_audio(&h, &whole, options);
		hls_free(&h);
	}
	hls_free(&whole);
}
END_TEST

/* ---- item 4: the master playlist */

static const struct shape {
	const char *name, *recipe;
} shapes[] = {
	{ "exact-high.mkv",
	  FFMPEG PICTURE("24000/1001") SOUND "-t 10 " X264 "-bf 3 -x264-params cabac=1:8x8dct=1 " AC3 "\"$OUT\"" },
	{ "exact-main.mkv", FFMPEG PICTURE("25") SOUND "-t 10 " X264 "-bf 3 -profile:v main -level 3.1 -c:a aac \"$OUT\"" },
	{ "exact-baseline.mkv", FFMPEG PICTURE("30000/1001") "-t 10 " X264 "-profile:v baseline \"$OUT\"" },
	{ "exact-odd.mkv",
	  FFMPEG "-f lavfi -i testsrc2=size=854x362:rate=60000/1001 -t 6 -c:v libx264 -preset ultrafast -g 60 \"$OUT\"" },
	{ "exact-hevc-main.mkv", FFMPEG PICTURE("24") SOUND "-t 8 " X265("level-idc=3.1") AC3 "\"$OUT\"" },
	{ "exact-hevc-main10.mkv", FFMPEG PICTURE("50") "-t 6 -pix_fmt yuv420p10le " X265("high-tier=1:level-idc=4.1") "\"$OUT\"" },
	{ "exact-heard.mkv", FFMPEG SOUND "-t 20 -c:a flac \"$OUT\"" },
};

/* The value of an attribute of EXT-X-STREAM-INF, without quotes, in static memory; "" when it is not there. */
static const char *attribute(const struct hls *h, const char *name)
{
	static char value[200];
	const char *p = strstr(h->master, "#EXT-X-STREAM-INF:");
	size_t length = strlen(name);

	ck_assert_ptr_nonnull(p);
	p += strlen("#EXT-X-STREAM-INF:");
	value[0] = 0;
	while (*p && *p != '\n') {
		size_t n = strcspn(p, "=");
		bool is_it = n == length && !strncmp(p, name, n);

		p += n + 1;
		n = *p == '"' ? strcspn(p + 1, "\"") + 2 : strcspn(p, ",\n");
		if (is_it)
			snprintf(value, sizeof value, "%.*s", (int)(*p == '"' ? n - 2 : n), *p == '"' ? p + 1 : p);
		p += n + (p[n] == ',');
	}
	return value;
}

/* What ffprobe says of an entry of the first video stream of the file, in static memory. */
static const char *probed(const char *source, const char *entry)
{
	static char value[80];
	char *out = sh("ffprobe -v error -select_streams v:0 -show_entries stream=%s -of default=nw=1:nk=1 '%s'", entry, source);

	snprintf(value, sizeof value, "%.*s", (int)strcspn(out, "\n"), out);
	free(out);
	return value;
}

/* ISO/IEC 14496-15 and RFC 6381: profile, constraints, level in hexadecimal. */
static void check_avc_codec(const char *codecs, const char *source)
{
	static const struct {
		const char *name;
		unsigned idc, constraints; /* set1 makes Baseline a Constrained Baseline */
	} profiles[] = { { "Constrained Baseline", 66, 0x40 }, { "Main", 77, 0 }, { "High", 100, 0 } };
	unsigned profile, constraints, level;
	const char *name = probed(source, "profile");
	size_t i = 0;

	ck_assert_msg(sscanf(codecs, "avc1.%2x%2x%2x", &profile, &constraints, &level) == 3, "CODECS %s", codecs);
	while (strcmp(profiles[i].name, name))
		ck_assert_msg(++i < sizeof profiles / sizeof *profiles, "no row for the profile %s", name);
	ck_assert_uint_eq(profile, profiles[i].idc);
	ck_assert_uint_eq(constraints & profiles[i].constraints, profiles[i].constraints);
	ck_assert_uint_eq(level, (unsigned)atoi(probed(source, "level")));
}

/* ISO/IEC 14496-15 annex E: profile, compatibility flags in reverse bit order, tier and level, constraints. Of Main, Main 10
 * must be able to play it too (flags 1 and 2: 6); Main 10 itself is flag 2 (4). */
static void check_hevc_codec(const char *codecs, const char *source)
{
	bool is_main10 = !strcmp(probed(source, "profile"), "Main 10");
	char expected[120];

	snprintf(expected, sizeof expected, "hvc1.%d.%d.%c%s.", is_main10 ? 2 : 1, is_main10 ? 4 : 6, is_main10 ? 'H' : 'L',
		 probed(source, "level"));
	ck_assert_msg(!strncmp(codecs, expected, strlen(expected)), "CODECS %s, expected %s...", codecs, expected);
}

static void check_codecs(const struct hls *h, const char *source)
{
	const struct hls_track *video = hls_video(h);
	char codecs[200], *audio;

	snprintf(codecs, sizeof codecs, "%s", attribute(h, "CODECS"));
	audio = video ? strchr(codecs, ',') : codecs;
	ck_assert_msg(!audio == !hls_audio(h), "CODECS %s", codecs);
	if (audio)
		ck_assert_str_eq(audio + (audio != codecs), "mp4a.40.2");
	if (video && audio)
		*audio = 0;
	if (video && !strcmp(probed(source, "codec_name"), "hevc"))
		check_hevc_codec(codecs, source);
	else if (video)
		check_avc_codec(codecs, source);
	if (video)
		ck_assert_int_eq(strncmp(codecs, video->entry, 4), 0);
}

static void check_picture(const struct hls *h, const char *source)
{
	int width = atoi(probed(source, "width")), height = atoi(probed(source, "height")), num, den;
	char expected[40];

	snprintf(expected, sizeof expected, "%dx%d", width, height);
	ck_assert_str_eq(attribute(h, "RESOLUTION"), expected);
	ck_assert_int_eq(hls_video(h)->width, width);
	ck_assert_int_eq(hls_video(h)->height, height);
	ck_assert_int_eq(sscanf(probed(source, "avg_frame_rate"), "%d/%d", &num, &den), 2);
	snprintf(expected, sizeof expected, "%.3f", (double)num / den);
	ck_assert_str_eq(attribute(h, "FRAME-RATE"), expected);
}

/* RFC 8216, section 4.3.4.2: the largest bit rate of a segment, and all bits by all of the time; rounded up. */
static void check_bandwidth(const struct hls *h)
{
	double peak = 0, bits = 0, seconds = 0, bandwidth = atof(attribute(h, "BANDWIDTH"));

	for (size_t i = 0; i < h->n_segments; i++) {
		double b = 8 * (double)h->segments[i].file.size, s = (double)h->segments[i].extinf_us / 1e6;

		peak = fmax(peak, b / s);
		bits += b;
		seconds += s;
	}
	/* EXTINF is rounded to a microsecond: one part in 500 thousand of a segment of half a second */
	ck_assert_msg(bandwidth >= peak * (1 - 2e-6), "BANDWIDTH %f, a segment has %f", bandwidth, peak);
	ck_assert_msg(bandwidth <= peak * (1 + 2e-6) + 1, "BANDWIDTH %f, no segment has over %f", bandwidth, peak);
	ck_assert_double_eq_tol(atof(attribute(h, "AVERAGE-BANDWIDTH")), bits / seconds, bits / seconds * 2e-6 + 1);
}

START_TEST(master_playlist_says_what_ffprobe_says)
{
	const struct shape *s = &shapes[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls h;

	hls_make(&h, source, "-j 2 --segment-duration 2");
	ck_assert_uint_gt(h.n_segments, 1);
	check_codecs(&h, source);
	if (hls_video(&h))
		check_picture(&h, source);
	else
		ck_assert_str_eq(attribute(&h, "RESOLUTION"), "");
	check_bandwidth(&h);
	hls_free(&h);
}
END_TEST

/* ---- real files */

/* These must be accepted, where they are. Others may be refused with a sentence. */
static const struct {
	const char *name;
	bool is_sound_clear; /* not silent, and longer than a moment, so that its place can be told */
	double late_s;	     /* the title begins so much before what ffmpeg decodes, with a first packet of Vorbis */
	const char *options; /* of several audio tracks, one: they would be renditions of their own (suite renditions) */
} accepted[] = {
	{ "MediaConch_SampleFiles__audiofirst.mkv", true },
	{ "go-mkvparse__example.mkv", false },
	{ "hdr10plus_tool__regular.mkv", false },
	{ "hls-vod__bun33s.mkv", true },
	{ "media__sample_with_dts.mkv", false },
	{ "media__sample_with_dts_hd_ma.mkv", false },
	{ "media__sample_with_opus_audio.mkv", false },
	{ "media__sample_av1.mkv", false },
	{ "mediabunny__ac3.mkv", true },
	{ "planetblupi__win005.mkv", false, .late_s = 0.012 },
	{ "variant__v_audio_late.mkv", true },
	{ "variant__v_base_ac3.mkv", true },
	{ "variant__v_blockgroups.mkv", true },
	{ "variant__v_hdrstrip.mkv", true },
	{ "variant__v_junk.mkv", true },
	{ "variant__v_live.mkv", true },
	{ "variant__v_multi.mkv", true, .options = "--audio-track 2" },
	{ "variant__v_nocues.mkv", true },
	{ "variant__v_unknown.mkv", true },
	{ "variant__v_zlib.mkv", true },
};

static int is_mkv(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 4 && !strcmp(e->d_name + n - 4, ".mkv");
}

/* Its place in the table above, or the table's size. */
static size_t find_accepted(const char *name)
{
	size_t i = 0;

	while (i < sizeof accepted / sizeof *accepted && strcmp(name, accepted[i].name))
		i++;
	return i;
}

static struct dirent **real;
static int n_real;

/* True when the file was refused as it should be. */
static bool is_refused(const char *source, const char *name)
{
	size_t i = find_accepted(name);
	bool is_known = i < sizeof accepted / sizeof *accepted;
	char *out;
	int status;

	setenv("SOURCE", source, 1);
	setenv("DIR", sh_scratch(), 1);
	status = sh_status(&out, "\"$SEGFARM\" run \"$SOURCE\" -j 2 -o \"$DIR/try\" %s",
			   is_known && accepted[i].options ? accepted[i].options : "");
	ck_assert_msg(!status || !is_known, "%s is refused: %s", name, out);
	if (status) {
		ck_assert_msg(status == 1 && strstr(out, "segfarm run: "), "%s: status %d: %s", name, status, out);
		fprintf(stderr, "exact: %s is refused: %s", name, strstr(out, "segfarm run: "));
	}
	free(out);
	return status;
}

static void check_encoded(const struct hls *h, const char *source, double late_s)
{
	hls_check(h);
	universal_check_starts(h);
	universal_check_encoded(hls_join(h), source, "null", 30, late_s);
}

START_TEST(hls_of_a_real_file_is_the_file)
{
	const char *name = real[_i]->d_name;
	char source[1024], dir[1024];
	struct hls h;
	size_t i;
	bool is_known;

	snprintf(source, sizeof source, "%s/%s", media_real_dir(), name);
	if (is_refused(source, name))
		return;
	snprintf(dir, sizeof dir, "%s/try", sh_scratch());
	hls_load(&h, dir);
	i = find_accepted(name);
	is_known = i < sizeof accepted / sizeof *accepted;
	if (hls_video(&h) && !universal_is_copied_video(&h, source))
		check_encoded(&h, source, is_known ? accepted[i].late_s : 0);
	else
		check_exact(&h, source, is_known && accepted[i].is_sound_clear);
	hls_free(&h);
}
END_TEST

static void add_real_files(TCase *t)
{
	const char *dir = media_real_dir();

	n_real = dir ? scandir(dir, &real, is_mkv, alphasort) : 0;
	if (n_real <= 0)
		fprintf(stderr, "exact: no real files (SEGFARM_MEDIA): the %zu checks with them are skipped\n",
			sizeof accepted / sizeof *accepted);
	else
		tcase_add_loop_test(t, hls_of_a_real_file_is_the_file, 0, n_real);
}

Suite *suite_exact(void)
{
	Suite *s = suite_create("exact");
	TCase *t = tcase_create("exact");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, hls_of_a_made_sample_is_the_sample, 0, sizeof samples / sizeof *samples);
	tcase_add_loop_test(t, audio_is_one_encode_whatever_the_segment_duration, 0, sizeof sounds / sizeof *sounds);
	tcase_add_loop_test(t, master_playlist_says_what_ffprobe_says, 0, sizeof shapes / sizeof *shapes);
	add_real_files(t);
	suite_add_tcase(s, t);
	return s;
}
