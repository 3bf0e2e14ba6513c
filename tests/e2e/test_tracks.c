/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which tracks of a file are played, and what is said of those that cannot be.
 */
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "tests/worker/mkv_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(a) (sizeof(a) / sizeof *(a))

/* ---- several tracks: videos 1 and 2, sound 3 (eng, 48 kHz), 4 (ger, 44.1 kHz), 5 (pt-BR, 32 kHz) */

#define SEVERAL                                                                                                                    \
	FFMPEG "-f lavfi -i testsrc2=s=320x180:r=24 -f lavfi -i testsrc2=s=160x90:r=24 -f lavfi -i sine=440 -t 8 "                 \
	"-map 0 -map 1 -map 2 -map 2 -map 2 " X264 "-g 48 -c:a aac -ar:a:0 48000 -ar:a:1 44100 -ar:a:2 32000 "                     \
	"-f matroska \"$OUT.0\" && mkvmerge -q -o \"$OUT\" --language 2:eng --language 3:ger --language 4:pt-BR "                  \
	"--default-track-flag 2:0 --default-track-flag 3:%d --default-track-flag 4:0 \"$OUT.0\" && rm \"$OUT.0\""

static const char *several(bool has_default)
{
	char recipe[1000];

	snprintf(recipe, sizeof recipe, SEVERAL, has_default);
	return media_make(has_default ? "tracks_default.mkv" : "tracks_no_default.mkv", recipe);
}

static const struct pick {
	const char *options;
	bool has_default; /* sound 4 has the flag; else none */
	int width, rate;
} picks[] = {
	{ "--audio-track 3", true, 320, 48000 },
	{ "--audio-track 5", true, 320, 32000 },
	{ "--audio-track EN", true, 320, 48000 },
	{ "--audio-track de", false, 320, 44100 },
	{ "--audio-track pt-br", true, 320, 32000 },
	{ "--audio-track pt", true, 320, 32000 },
	{ "--video-track 2 --audio-track 3", false, 160, 48000 },
	{ "--audio-track de --audio-track 5", true, 320, 32000 },
};

START_TEST(the_track_asked_for_is_played)
{
	const struct pick *p = &picks[_i];
	struct hls h;

	hls_make(&h, several(p->has_default), p->options);
	hls_check(&h);
	ck_assert_int_eq(h.n_tracks, 2);
	ck_assert_int_eq(hls_video(&h)->width, p->width);
	ck_assert_int_eq(hls_audio(&h)->sample_rate, p->rate);
	hls_free(&h);
}
END_TEST

static void check_refused(const char *source, const char *options, const char *sentence)
{
	char *out;

	setenv("TRACKS_SOURCE", source, 1);
	ck_assert_int_eq(sh_status(&out, "\"$SEGFARM\" run \"$TRACKS_SOURCE\" -o \"%s\" %s", defects_scratch("refused"), options), 1);
	ck_assert_msg(strstr(out, sentence) != NULL, "not '%s' but: %s", sentence, out);
	free(out);
}

START_TEST(a_track_that_is_not_there_is_refused_and_the_others_named)
{
	static const char *const wrong[][2] = {
		{ "--audio-track fr", "no such audio track; there is: 3 (en, A_AAC) 4 (de, A_AAC) 5 (pt-BR, A_AAC)" },
		{ "--audio-track p", "no such audio track" },
		{ "--audio-track 1", "no such audio track" },
		{ "--video-track 3", "no such video track; there is: 1 (" },
	};

	check_refused(several(true), wrong[_i][0], wrong[_i][1]);
}
END_TEST

/* ---- H.264 in a Video for Windows track */

#define SIZE_BYTES 4

static bool has_annex_b;

static void put_start_code(struct buf *out, const uint8_t *data, size_t n)
{
	buf_put_u32(out, 1);
	buf_put(out, data, n);
}

/* The parameter sets of an avcC record with one SPS and one PPS. */
static void put_sets(struct buf *out, struct bytes avcc)
{
	size_t sps = get_u16(avcc.data + 6), pps = get_u16(avcc.data + 8 + sps + 1);

	put_start_code(out, avcc.data + 8, sps);
	put_start_code(out, avcc.data + 8 + sps + 3, pps);
}

static bool put_vfw(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	struct buf head = { 0 };

	if (type != MKV_VIDEO_TRACK || (id != 0x86 && id != 0x63A2))
		return false;
	if (id == 0x86) {
		mkv_put_string(out, id, "V_MS/VFW/FOURCC");
		return true;
	}
	buf_put_u32(&head, 40 << 24);
	buf_put_zero(&head, 12);
	buf_put_str(&head, has_annex_b ? "x264" : "H264");
	buf_put_zero(&head, 20);
	if (has_annex_b)
		put_sets(&head, value);
	else
		buf_put(&head, value.data, value.size);
	mkv_put_binary(out, id, head.data, head.size);
	buf_finish(&head);
	return true;
}

static void put_annex_b(struct buf *out, uint64_t type, struct bytes frame)
{
	if (type != MKV_VIDEO_TRACK)
		buf_put(out, frame.data, frame.size);
	else
		for (size_t at = 0; at < frame.size; at += SIZE_BYTES + get_u32(frame.data + at))
			put_start_code(out, frame.data + at + SIZE_BYTES, get_u32(frame.data + at));
}

START_TEST(h264_in_a_video_for_windows_track_is_h264)
{
	const struct rewrite how = { .put_child = put_vfw, .put_frame = _i ? put_annex_b : NULL };

	has_annex_b = _i;
	mkv_rewrite_file(defects_plain(), defects_scratch("vfw.mkv"), &how);
	defects_check_as_plain(defects_scratch("vfw.mkv"), defects_plain());
}
END_TEST

/* ---- what cannot be read */

START_TEST(encrypted_tracks_are_refused)
{
	const struct rewrite how = { .packing = REWRITE_PACKING_ENCRYPTED };

	mkv_rewrite_file(defects_plain(), defects_scratch("encrypted.mkv"), &how);
	check_refused(defects_scratch("encrypted.mkv"), "", "track 1 is encrypted");
}
END_TEST

Suite *suite_tracks(void)
{
	Suite *s = suite_create("tracks");
	TCase *t = tcase_create("tracks");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, the_track_asked_for_is_played, 0, (int)N_OF(picks));
	tcase_add_loop_test(t, a_track_that_is_not_there_is_refused_and_the_others_named, 0, 4);
	tcase_add_loop_test(t, h264_in_a_video_for_windows_track_is_h264, 0, 2);
	tcase_add_test(t, encrypted_tracks_are_refused);
	suite_add_tcase(s, t);
	return s;
}
