/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes wrong in the systems of the field with sources that are not Matroska, or whose video is encoded.
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
#define SMALL "-f lavfi -i testsrc2=s=192x108:r=25 "
#define MPEG2 "-c:v mpeg2video -q:v 3 -bf 2 -g 12 "

/* Row 9. */
START_TEST(encoded_frames_of_a_varying_rate_are_not_renumbered)
{
	const char *source = media_make("uni_row9.mp4", FFMPEG SMALL SOUND "-t 10 -ac 2 -vf \"select='lt(t,4)+not(mod(n,5))'\" -fps_mode vfr "
					"-c:v mpeg4 -q:v 3 -g 25 -c:a aac " OUT);
	const struct hls_track *v, *a;
	const struct hls_sample *last;
	struct hls h;
	int64_t *times;

	hls_make(&h, source, "-j 2 --segment-duration 2");
	hls_check(&h);
	v = hls_video(&h);
	a = hls_audio(&h);
	ck_assert_uint_eq(v->n_samples, 100 + 30);
	times = defects_times(v);
	for (size_t i = 1; i < v->n_samples; i++)
		ck_assert_int_eq(times[i] - times[i - 1], i <= 100 ? 3600 : 5 * 3600);
	last = &a->samples[a->n_samples - 1];
	ck_assert_int_le(llabs(times[v->n_samples - 1] - times[0] - 98 * 9000), 9000);
	ck_assert_int_le(llabs((last->dts + last->duration) * 90000 / a->timescale - 900000), 2500);
	free(times);
	hls_free(&h);
}
END_TEST

/* Row 18. */
static const struct look {
	const char *name, *recipe;
	int width, height, par_num, par_den, rotation, primaries, transfer, matrix;
	const char *range;
} looks[] = {
	{ "uni_row18_sar.ts", FFMPEG "-f lavfi -i testsrc2=s=180x144:r=25 -t 4 -aspect 16:9 " MPEG2 OUT, 180, 144, 64, 45, 0, 0, 0, 0, "SDR" },
	{ "uni_row18_sar.mp4", FFMPEG "-f lavfi -i testsrc2=s=180x144:r=25 -t 4 -aspect 16:9 " X264 OUT, 180, 144, 64, 45, 0, 0, 0, 0, "SDR" },
	{ "uni_row18_copied.mp4", FFMPEG SMALL "-t 4 " X264 "\"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=270 " OUT
				  " && rm \"$OUT.mp4\"", 192, 108, 0, 0, 90, 0, 0, 0, "SDR" },
	{ "uni_row18_encoded.mp4", FFMPEG SMALL "-t 4 -c:v mpeg4 -q:v 3 \"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=270 " OUT
				   " && rm \"$OUT.mp4\"", 108, 192, 0, 0, 0, 0, 0, 0, "SDR" },
	{ "uni_row18_colour.ts", FFMPEG SMALL "-t 4 -color_primaries smpte170m -color_trc smpte170m -colorspace smpte170m " MPEG2 OUT, 192, 108, 0, 0, 0, 6, 6,
	  6, "SDR" },
	{ "uni_row18_hdr.mp4", FFMPEG SMALL "-t 4 -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params "
			       "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -tag:v hvc1 " OUT,
	  192, 108, 0, 0, 0, 9, 16, 9, "PQ" },
};

START_TEST(aspect_rotation_and_colour_are_kept)
{
	const struct look *l = &looks[_i];
	const struct hls_track *v;
	char range[40];
	struct hls h;

	hls_make(&h, media_make(l->name, l->recipe), "");
	hls_check(&h);
	v = hls_video(&h);
	ck_assert_int_eq(v->width, l->width);
	ck_assert_int_eq(v->height, l->height);
	if (l->par_num)
		ck_assert_uint_eq(v->par_num * (uint32_t)l->par_den, v->par_den * (uint32_t)l->par_num);
	ck_assert_int_eq(v->par_num != v->par_den, l->par_num != l->par_den);
	ck_assert_int_eq(v->rotation % 180, l->rotation % 180);
	if (l->primaries) {
		ck_assert(v->has_colour);
		ck_assert_int_eq(v->primaries, l->primaries);
		ck_assert_int_eq(v->transfer, l->transfer);
		ck_assert_int_eq(v->matrix, l->matrix);
	}
	snprintf(range, sizeof range, "VIDEO-RANGE=%s\n", l->range);
	ck_assert_msg(strstr(h.master, range) != NULL, "%s", h.master);
	hls_free(&h);
}
END_TEST

/* Rows 19 to 21. */
static const struct heard {
	const char *name, *codec;
	int channels, rate;
	bool is_copied;
} heard[] = {
	{ "uni_row19_51.mp4", "-c:a aac -ac 6", 6, 48000, true },	  { "uni_row19_44.mp4", "-c:a aac -ac 2 -ar 44100", 2, 44100, true },
	{ "uni_row20_51.ts", "-c:a aac -ac 6", 6, 48000, true },	  { "uni_row20_44.ts", "-c:a aac -ac 1 -ar 44100", 1, 44100, true },
	{ "uni_row21_mp2.ts", "-c:a mp2 -ac 2", 2, 48000, false },	  { "uni_row21_mp3.ts", "-c:a libmp3lame -ac 2", 2, 48000, false },
	{ "uni_row21_pcm.mov", "-c:a pcm_s16le -ac 2", 2, 48000, false }, { "uni_row21_dts.ts", "-c:a dca -strict -2 -ac 6", 2, 48000, false },
};

START_TEST(audio_is_configured_as_what_it_is)
{
	const struct heard *s = &heard[_i];
	const struct hls_track *a;
	char recipe[600], path[600];
	const char *source;
	struct hls h;

	snprintf(recipe, sizeof recipe, FFMPEG SMALL SOUND "-t 5 " X264 "-g 25 %s " OUT, s->codec);
	source = media_make(s->name, recipe);
	hls_make(&h, source, "--segment-duration 2");
	hls_check(&h);
	a = hls_audio(&h);
	ck_assert_str_eq(a->entry, "mp4a");
	ck_assert_int_eq(a->channels, s->channels);
	ck_assert_int_eq(a->sample_rate, s->rate);
	for (size_t i = 0; i < a->n_samples; i++)
		ck_assert_msg(a->samples[i].data.size < 2 || (get_u16(a->samples[i].data.data) & 0xfff6) != 0xfff0, "sample %zu has an ADTS header", i);
	if (s->is_copied)
		ck_assert(universal_is_copied_audio(hls_join(&h), source));
	else
		ck_assert_int_eq(hls_audio_lag(&h, source), 0);
	snprintf(path, sizeof path, "%s/master.m3u8", h.dir);
	universal_check_plays(path);
	hls_free(&h);
}
END_TEST

/* Row 22: what is in the last channel alone is heard in both of two. */
static const struct {
	const char *name, *layout, *exprs;
} layouts[] = {
	{ "uni_row22_50.mkv", "5.0", "0|0|0.4*sin(900*t)|0|0" },
	{ "uni_row22_70.mkv", "7.0", "0|0|0.4*sin(900*t)|0|0|0|0" },
};

START_TEST(layouts_of_odd_channels_are_not_taken_for_stereo)
{
	char recipe[600], *said;
	double loudness = -99;
	struct hls h;

	snprintf(recipe, sizeof recipe, FFMPEG "-f lavfi -i \"aevalsrc=s=48000:c=%s:exprs=%s\" -t 4 -c:a flac " OUT, layouts[_i].layout, layouts[_i].exprs);
	hls_make(&h, media_make(layouts[_i].name, recipe), "");
	hls_check(&h);
	ck_assert_int_eq(hls_audio(&h)->channels, 2);
	said = sh("ffmpeg -nostdin -hide_banner -i '%s' -af volumedetect -f null - 2>&1 | sed -n 's/.*mean_volume: //p'", hls_join(&h));
	ck_assert_int_eq(sscanf(said, "%lf", &loudness), 1);
	ck_assert_msg(loudness > -25, "the centre is heard with %.1f dB", loudness);
	free(said);
	hls_free(&h);
}
END_TEST

/* Row 23. */
static const struct {
	const char *name, *recipe;
	bool has_video;
} singles[] = {
	{ "uni_row23_a.m4a", FFMPEG SOUND "-t 5 -ac 2 -c:a aac " OUT, false }, { "uni_row23_a.mp3", FFMPEG SOUND "-t 5 -ac 2 -c:a libmp3lame " OUT, false },
	{ "uni_row23_v.mp4", FFMPEG SMALL "-t 5 " X264 OUT, true },	       { "uni_row23_v.ts", FFMPEG SMALL "-t 5 " MPEG2 OUT, true },
};

START_TEST(one_track_makes_a_title_of_one_track)
{
	struct hls h;

	hls_make(&h, media_make(singles[_i].name, singles[_i].recipe), "");
	hls_check(&h);
	ck_assert_int_eq(h.n_tracks, 1);
	ck_assert_int_eq(hls_video(&h) != NULL, singles[_i].has_video);
	ck_assert_int_eq(strstr(h.master, "avc1") != NULL, singles[_i].has_video);
	ck_assert_int_eq(strstr(h.master, "mp4a") != NULL, !singles[_i].has_video);
	hls_free(&h);
}
END_TEST

/* Row 24. */
START_TEST(mp4_starts_where_it_is_told_to)
{
	const char *source = media_make("uni_row24.mp4", FFMPEG SMALL SOUND "-t 10 -ac 2 " X264 "-g 50 -bf 2 -c:a aac " OUT);
	const struct hls_track *v, *a;
	struct hls h;
	int64_t begins;

	hls_load_stream(&h, universal_transcode(source, "--start 5"));
	hls_check_stream(&h);
	v = hls_video(&h);
	a = hls_audio(&h);
	begins = v->samples[0].dts + v->samples[0].cts - v->edit_media_time;
	ck_assert_int_eq(begins, 4 * 90000);
	ck_assert_uint_eq(v->n_samples, 6 * 25);
	ck_assert_int_le(llabs((a->samples[0].dts - a->edit_media_time) * 90000 / a->timescale - begins), 2 * 1920);
	hls_free(&h);
}
END_TEST

/* Row 30: no half of a title looks like a whole one. */
static const char *const broken[][2] = {
	{ "head -c 20000", "uni_row24.mp4" },	    /* its index is at the end */
	{ "head -c 400000 /dev/zero; true", "uni_row24.mp4" }, { "echo this is no film; true", "uni_row24.mp4" },
};

START_TEST(what_cannot_be_read_is_an_error_and_leaves_no_playlist)
{
	const char *path = defects_scratch("broken.mp4");
	char *out;

	media_make("uni_row24.mp4", FFMPEG SMALL SOUND "-t 10 -ac 2 " X264 "-g 50 -bf 2 -c:a aac " OUT);
	free(sh("{ %s \"$M/%s\"; } > '%s'", broken[_i][0], broken[_i][1], path));
	ck_assert_int_eq(sh_status(&out, "\"$SEGFARM\" run '%s' -o '%s.out'", path, path), 1);
	ck_assert_msg(strstr(out, "segfarm run: ") && strstr(out, "broken.mp4"), "%s", out);
	free(out);
	ck_assert_int_ne(sh_status(NULL, "test -e '%s.out/master.m3u8'", path), 0);
	ck_assert_int_ne(sh_status(&out, "\"$WORKER\" transcode '%s' > '%s.out.mp4'", path, path), 0);
	ck_assert_msg(*out, "transcode says nothing");
	free(out);
}
END_TEST

Suite *suite_universal_defects(void)
{
	Suite *s = suite_create("universal_defects");
	TCase *t = tcase_create("universal_defects");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_test(t, encoded_frames_of_a_varying_rate_are_not_renumbered);
	tcase_add_loop_test(t, aspect_rotation_and_colour_are_kept, 0, N_OF(looks));
	tcase_add_loop_test(t, audio_is_configured_as_what_it_is, 0, N_OF(heard));
	tcase_add_loop_test(t, layouts_of_odd_channels_are_not_taken_for_stereo, 0, N_OF(layouts));
	tcase_add_loop_test(t, one_track_makes_a_title_of_one_track, 0, N_OF(singles));
	tcase_add_test(t, mp4_starts_where_it_is_told_to);
	tcase_add_loop_test(t, what_cannot_be_read_is_an_error_and_leaves_no_playlist, 0, N_OF(broken));
	suite_add_tcase(s, t);
	return s;
}
