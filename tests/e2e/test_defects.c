/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes wrong in the systems of the field, each as a test that rules it out: timing of copied video, and the shapes
 * in which muxers store it.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_24 3750 /* ticks of 1/90000 s */
#define MS 90

/* ---- rates */

/* Matroska counts ms: a frame's time is up to half of one away from where it belongs, and so is the first one's. */
static const char *ten_minutes(void)
{
	return media_make("defects_600s.mkv", FFMPEG "-f lavfi -i testsrc2=s=64x36:r=24 -f lavfi -i sine=300:r=16000 "
			  "-t 600 " X264 "-bf 2 -g 48 -c:a aac -b:a 32k " OUT);
}

START_TEST(frame_durations_are_not_truncated_into_gaps_at_borders)
{
	const struct hls_track *v;
	struct hls h;
	int64_t *times, extinf_us = 0;

	hls_make(&h, ten_minutes(), "-j 2");
	hls_check(&h);
	v = hls_video(&h);
	times = defects_times(v);
	ck_assert_uint_eq(h.n_segments, 100);
	for (size_t i = 0; i < h.n_segments; i++) {
		ck_assert_int_eq(v->tfdt[i], times[v->first[i]]); /* begins with its first picture */
		extinf_us += h.segments[i].extinf_us;
	}
	ck_assert_int_le(llabs(extinf_us - 600000000), 1000);
	free(times);
	hls_free(&h);
}
END_TEST

START_TEST(ten_minutes_of_24_fps_do_not_drift)
{
	const struct hls_track *v, *a;
	const struct hls_sample *last;
	struct hls h;
	int64_t *times, video_end, audio_end;

	hls_make(&h, ten_minutes(), "-j 2");
	v = hls_video(&h);
	a = hls_audio(&h);
	ck_assert_uint_eq(v->n_samples, 600 * 24);
	times = defects_times(v);
	for (size_t i = 0; i < v->n_samples; i++)
		ck_assert_msg(llabs(times[i] - times[0] - (int64_t)i * FRAME_24) <= MS, "frame %zu is at %lld ticks", i,
			      (long long)times[i]);
	last = &v->samples[v->n_samples - 1];
	video_end = last->dts + last->duration;
	ck_assert_int_le(llabs(video_end - times[0] - 600 * 90000), MS);
	last = &a->samples[a->n_samples - 1];
	audio_end = (last->dts + last->duration) * 90000 / a->timescale;
	ck_assert_int_le(llabs(video_end - audio_end), 90000 / 4);
	free(times);
	hls_free(&h);
}
END_TEST

START_TEST(without_default_duration_no_frame_is_lost)
{
	const char *source = media_make("defects_no_duration.mkv",
					FFMPEG "-f lavfi -i testsrc2=s=320x180:r=30 -t 24 " X264 "-bf 2 -g 60 "
					"\"$OUT.mkv\" && "
					MKVMERGE "\"$OUT.mkv\" && rm \"$OUT.mkv\" && "
					"mkvpropedit -q \"$OUT\" --edit track:1 --delete default-duration && "
					"! mkvinfo --ui-language en_US \"$OUT\" | grep -q 'Default duration'");
	struct hls h;
	int64_t *times;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	hls_check_video(&h, source);
	ck_assert_uint_eq(hls_video(&h)->n_samples, 24 * 30);
	times = defects_times(hls_video(&h));
	for (int i = 0; i < 24 * 30; i++)
		ck_assert_int_le(llabs(times[i] - times[0] - i * 3000), MS);
	free(times);
	hls_free(&h);
}
END_TEST

/* ---- order of frames */

START_TEST(offsets_are_not_negative_and_players_start_at_0)
{
	const char *source = media_make("defects_pyramid.mkv", FFMPEG PICTURE "-t 13 -c:v libx264 -preset veryfast "
					"-x264-params bframes=3:b-pyramid=normal:b-adapt=0:keyint=48:scenecut=0 "
					OUT);
	const struct hls_track *v;
	struct hls h;
	size_t moved = 0;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	v = hls_video(&h);
	for (size_t i = 0; i < v->n_samples; i++) {
		ck_assert_int_ge(v->samples[i].cts, 0);
		moved += v->samples[i].cts != v->samples[0].cts;
	}
	ck_assert_uint_gt(moved, v->n_samples / 3); /* there are B-frames */
	hls_check_video(&h, source);
	for (int i = 0; i < 2; i++) {
		char *playlist, *said;

		ck_assert_int_ge(asprintf(&playlist, "%s/%s", h.media_dir, "index.m3u8"), 0);
		said = defects_probe(i ? playlist : hls_join(&h), "-read_intervals %+#1 -show_entries "
				     "stream=start_time:frame=best_effort_timestamp_time:program_stream=");
		ck_assert_msg(strstr(said, "0.000000") == said, "ffprobe: %s", said);
		ck_assert_msg(!strpbrk(said, "123456789"), "ffprobe: %s", said);
		free(said);
		free(playlist);
	}
	hls_free(&h);
}
END_TEST

#define OPEN_GOP "open-gop=1:bframes=3:b-adapt=0:keyint=48:min-keyint=48:scenecut=0 "

static const char *open_gop(int i)
{
	return i ? media_make("defects_open_265.mkv",
			      FFMPEG PICTURE "-t 13 " X265 "-x265-params log-level=none:" OPEN_GOP OUT)
		 : media_make("defects_open_264.mkv",
			      FFMPEG PICTURE "-t 13 -c:v libx264 -preset veryfast -x264-params " OPEN_GOP OUT);
}

START_TEST(open_gop_doubles_and_loses_no_frame)
{
	const char *source = open_gop(_i);
	const struct hls_track *v;
	struct hls h;
	size_t leading = 0;
	int64_t *times;

	hls_make(&h, source, "-j 2 --segment-duration 2");
	hls_check(&h);
	v = hls_video(&h);
	times = defects_times(v);
	ck_assert_uint_ge(h.n_segments, 6);
	for (size_t i = 1; i < h.n_segments; i++) {
		const struct hls_sample *sync = &v->samples[v->first[i]];

		ck_assert_int_eq(v->tfdt[i], times[v->first[i]]);
		leading += sync->dts + sync->cts - v->edit_media_time > times[v->first[i]];
	}
	ck_assert_uint_eq(leading, h.n_segments - 1);
	ck_assert_uint_eq(v->n_samples, 13 * 24);
	for (size_t i = 0; i < v->n_samples; i++)
		ck_assert_int_le(llabs(times[i] - times[0] - (int64_t)i * FRAME_24), MS);
	hls_check_video(&h, source);
	free(times);
	hls_free(&h);
}
END_TEST

START_TEST(sync_samples_inside_a_fragment_are_marked)
{
	const char *source = media_make("defects_short_gop.mkv",
					FFMPEG PICTURE "-t 13 " X264 "-bf 2 -g 12 -sc_threshold 0 " OUT);
	const struct hls_track *v;
	struct hls h;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	v = hls_video(&h);
	ck_assert_uint_eq(v->n_samples, 13 * 24);
	ck_assert_uint_lt(v->n_fragments, 10); /* of 2 s: most sync samples are inside of one */
	for (size_t i = 0; i < v->n_samples; i++)
		ck_assert_msg(v->samples[i].is_sync == (i % 12 == 0), "sample %zu: sync %d", i, v->samples[i].is_sync);
	hls_free(&h);
}
END_TEST

/* ---- shapes of files */

START_TEST(the_plain_title_is_right)
{
	for (int i = 0; i < 2; i++) {
		const char *source = i ? defects_plain_mkvmerge() : defects_plain();
		struct hls h;

		hls_make(&h, source, "-j 2");
		hls_check(&h);
		ck_assert_uint_eq(h.n_segments, 3);
		ck_assert_int_eq(h.n_tracks, 2);
		hls_check_video(&h, source);
		ck_assert_int_eq(hls_audio_lag(&h, source), 0);
		hls_free(&h);
	}
}
END_TEST

START_TEST(block_groups_have_key_frames)
{
	defects_plain();
	defects_check_as_plain(media_make("defects_groups.mkv", MKVMERGE "--engage no_simpleblocks " PLAIN " && "
					  "! mkvinfo --ui-language en_US -v \"$OUT\" | grep -q 'Simple block'"),
			       defects_plain_mkvmerge());
}
END_TEST

START_TEST(attachments_in_front_of_the_first_cluster_harm_no_segment)
{
	static const uint8_t cluster[] = { 0x1F, 0x43, 0xB6, 0x75 };
	const char *source;
	const uint8_t *first;
	struct buf file;

	defects_plain();
	source = media_make("defects_fonts.mkv",
			    "head -c 65536 " PLAIN " > \"$M/a.ttf\" && "
			    "head -c 1200000 /dev/zero > \"$M/b.ttf\" && "
			    MKVMERGE "--attachment-mime-type font/ttf --attach-file \"$M/a.ttf\" "
			    "--attachment-mime-type font/ttf --attach-file \"$M/b.ttf\" " PLAIN);
	craft_load(&file, source);
	/* the smaller one begins like a Matroska file and so has a Cluster of its own in it */
	first = memmem(file.data, file.size, cluster, sizeof cluster);
	ck_assert_ptr_nonnull(first);
	first = memmem(first + 1, file.size - (size_t)(first + 1 - file.data), cluster, sizeof cluster);
	ck_assert_ptr_nonnull(first);
	ck_assert_int_gt(first - file.data, 1200000);
	buf_finish(&file);
	defects_check_as_plain(source, defects_plain_mkvmerge());
}
END_TEST

START_TEST(zlib_is_undone)
{
	defects_plain();
	defects_check_as_plain(media_make("defects_zlib.mkv",
					  MKVMERGE "--compression 0:zlib --compression 1:zlib " PLAIN " && "
					  "[ $(mkvinfo --ui-language en_US \"$OUT\" | grep -c 'Content compr') = 2 ]"),
			       defects_plain_mkvmerge());
}
END_TEST

START_TEST(stripped_headers_are_put_back_in_front_of_every_frame)
{
	const struct rewrite how = { .packing = REWRITE_PACKING_STRIP };

	mkv_rewrite_file(defects_plain(), defects_scratch("stripped.mkv"), &how);
	defects_check_as_plain(defects_scratch("stripped.mkv"), defects_plain());
}
END_TEST

START_TEST(cues_of_an_audio_track_are_no_cut_points)
{
	defects_plain();
	defects_check_as_plain(media_make("defects_cues.mkv",
					  MKVMERGE "--cues 0:iframes --cues 1:all " PLAIN " && "
					  "[ $(mkvinfo --ui-language en_US -v -v \"$OUT\" | "
					  "grep -c 'Cue track: 2') -gt 40 ]"),
			       defects_plain_mkvmerge());
}
END_TEST

Suite *suite_defects(void)
{
	Suite *s = suite_create("defects");
	TCase *t = tcase_create("defects");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_test(t, frame_durations_are_not_truncated_into_gaps_at_borders);
	tcase_add_test(t, ten_minutes_of_24_fps_do_not_drift);
	tcase_add_test(t, without_default_duration_no_frame_is_lost);
	tcase_add_test(t, offsets_are_not_negative_and_players_start_at_0);
	tcase_add_loop_test(t, open_gop_doubles_and_loses_no_frame, 0, 2);
	tcase_add_test(t, sync_samples_inside_a_fragment_are_marked);
	tcase_add_test(t, the_plain_title_is_right);
	tcase_add_test(t, block_groups_have_key_frames);
	tcase_add_test(t, attachments_in_front_of_the_first_cluster_harm_no_segment);
	tcase_add_test(t, zlib_is_undone);
	tcase_add_test(t, stripped_headers_are_put_back_in_front_of_every_frame);
	tcase_add_test(t, cues_of_an_audio_track_are_no_cut_points);
	suite_add_tcase(s, t);
	return s;
}
