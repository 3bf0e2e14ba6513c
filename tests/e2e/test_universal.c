/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any container, any codec: what comes out is the source, frame by frame, whether it was copied or encoded.
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/universal.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FFMPEG "ffmpeg -nostdin -v error -y -threads 2 "
/* No frame is like the one beside it. */
#define MOVING(size, rate) "-f lavfi -i \"testsrc2=size=" size ":rate=" rate ",scroll=horizontal=0.04:vertical=0.02\" "
#define PICTURE MOVING("192x108", "25")
#define SOUND "-f lavfi -i \"$A\" "
#define BOTH FFMPEG PICTURE SOUND "-t 5 -ac 2 "
#define ALONE FFMPEG PICTURE "-t 5 "
#define VARYING "-vf \"select='lt(mod(n,7),3)+eq(mod(n,11),5)'\" -fps_mode vfr "
#define X264 "-c:v libx264 -preset ultrafast -g 25 -bf 2 "
#define X265 "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25:bframes=2 "
#define MPEG2 "-c:v mpeg2video -q:v 3 -bf 2 -g 12 "
#define ASP "-c:v mpeg4 -q:v 3 -bf 2 -g 25 "
#define VP9 "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -b:v 1M "
#define WMA "-af \"volume=0:enable='gt(t,4.8)'\" -c:a wmav2 " /* its decoder gives the last packet's sound to nobody who does not ask again */
#define OUT "\"$OUT\""

enum how { NONE, COPIED, ENCODED };

static const struct sample {
	const char *name, *recipe;
	enum how video, audio;
	const char *filter;  /* of the source's pictures, to be like ours */
	int64_t late;        /* samples at 48 kHz: of the first audio packets comes no sound, but the title begins with them */
	int64_t near;        /* samples at 48 kHz that times rounded to ms may be wrong by */
	const char *options; /* of segfarm */
} samples[] = {
	/* containers */
	{ "uni_faststart.mp4", BOTH X264 "-c:a aac -movflags +faststart " OUT, COPIED, COPIED },
	{ "uni_fragmented.mp4", BOTH X264 "-c:a aac -movflags +frag_keyframe+delay_moov+default_base_moof " OUT, COPIED, COPIED },
	{ "uni_hevc.mp4", BOTH X265 "-c:a libmp3lame " OUT, COPIED, ENCODED },
	{ "uni_hevc10.mov", BOTH "-pix_fmt yuv420p10le " X265 "-tag:v hvc1 -c:a alac " OUT, COPIED, ENCODED },
	{ "uni_h264.ts", BOTH X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_hevc.ts", BOTH X265 "-c:a ac3 " OUT, COPIED, ENCODED },
	{ "uni_h264.m2ts", BOTH X264 "-c:a ac3 -mpegts_m2ts_mode 1 " OUT, COPIED, ENCODED },
	{ "uni_h264.flv", BOTH X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_flv1.flv", BOTH "-c:v flv -q:v 3 -g 25 -c:a libmp3lame -ar 44100 " OUT, ENCODED, ENCODED },
	{ "uni_asp.avi", BOTH ASP "-c:a libmp3lame " OUT, ENCODED, ENCODED },
	{ "uni_mjpeg.avi", BOTH "-c:v mjpeg -q:v 3 -c:a pcm_s16le " OUT, ENCODED, ENCODED },
	{ "uni_h264.avi", BOTH X264 "-c:a ac3 " OUT, ENCODED, ENCODED },
	{ "uni_vp8.webm", BOTH "-c:v libvpx -deadline realtime -cpu-used 8 -g 25 -b:v 1M -c:a libvorbis " OUT, ENCODED, ENCODED, .late = 144 },
	{ "uni_vp9.webm", BOTH VP9 "-c:a libopus " OUT, ENCODED, ENCODED },
	{ "uni_mpeg1.mpg", BOTH "-c:v mpeg1video -q:v 3 -bf 2 -g 12 -c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_mpeg2.vob", BOTH MPEG2 "-c:a ac3 " OUT, ENCODED, ENCODED },
	{ "uni_wmv2.wmv", BOTH "-c:v wmv2 -q:v 3 -g 25 " WMA OUT, ENCODED, ENCODED, .late = 2064, .near = 48 },
	{ "uni_theora.ogg", BOTH "-c:v libtheora -q:v 8 -g 25 -c:a libvorbis " OUT, ENCODED, ENCODED, .late = 128 },
	/* codecs */
	{ "uni_mpeg2.ts", BOTH MPEG2 "-c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_prores.mov", BOTH "-c:v prores -c:a pcm_s24le " OUT, ENCODED, ENCODED, "format=yuv420p" },
	{ "uni_high10.mov", BOTH "-pix_fmt yuv420p10le " X264 "-c:a pcm_s16be " OUT, ENCODED, ENCODED, "scale,format=yuv420p" },
	{ "uni_422.mp4", BOTH "-pix_fmt yuv422p " X264 "-c:a flac -strict -2 " OUT, ENCODED, ENCODED, "format=yuv420p" },
	{ "uni_vp9.mp4", BOTH VP9 "-c:a libopus " OUT, ENCODED, ENCODED },
	{ "uni_av1.mp4", BOTH "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 25 -b:v 1M -c:a ac3 " OUT, ENCODED, ENCODED },
	/* rates */
	{ "uni_23.976.ts", FFMPEG MOVING("192x108", "24000/1001") SOUND "-t 5 -ac 2 " X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_29.97.mp4", FFMPEG MOVING("192x108", "30000/1001") SOUND "-t 5 -ac 2 " ASP "-c:a aac -ar 44100 " OUT, ENCODED, COPIED },
	{ "uni_50.ts", FFMPEG MOVING("192x108", "50") SOUND "-t 5 -ac 2 " MPEG2 "-c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_vfr_h264.mp4", BOTH VARYING X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_vfr_asp.mp4", BOTH VARYING ASP "-c:a aac " OUT, ENCODED, COPIED },
	{ "uni_vfr_vp9.webm", BOTH VARYING VP9 "-c:a libopus " OUT, ENCODED, ENCODED },
	/* pictures */
	{ "uni_interlaced.ts", FFMPEG MOVING("192x108", "50") SOUND "-t 5 -ac 2 -vf tinterlace=interleave_top -flags +ilme+ildct " MPEG2 "-c:a mp2 " OUT,
	  ENCODED, ENCODED, "bwdif=mode=send_frame:deint=interlaced" },
	{ "uni_turned_h264.mp4", BOTH X264 "-c:a aac \"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=90 " OUT " && rm \"$OUT.mp4\"",
	  COPIED, COPIED },
	{ "uni_turned_asp.mp4", BOTH ASP "-c:a aac \"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=270 " OUT " && rm \"$OUT.mp4\"",
	  ENCODED, COPIED },
	{ "uni_odd.webm", FFMPEG MOVING("193x109", "25") "-t 5 " VP9 OUT, ENCODED, NONE, "crop=192:108:0:0:exact=1" },
	{ "uni_odd.mov", FFMPEG MOVING("191x107", "25") "-t 5 -c:v mjpeg -q:v 3 -pix_fmt yuvj444p " OUT, ENCODED, NONE, "crop=190:106:0:0:exact=1" },
	{ "uni_wide.ts", FFMPEG MOVING("180x144", "25") SOUND "-t 5 -ac 2 -aspect 16:9 " MPEG2 "-c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_wide.mp4", FFMPEG MOVING("180x144", "25") SOUND "-t 5 -ac 2 -aspect 16:9 " X264 "-c:a aac " OUT, COPIED, COPIED },
	/* missing tracks */
	{ "uni_blind.m4a", FFMPEG SOUND "-t 5 -ac 2 -c:a aac " OUT, NONE, COPIED },
	{ "uni_blind.mp3", FFMPEG SOUND "-t 5 -ac 2 -c:a libmp3lame " OUT, NONE, ENCODED },
	{ "uni_blind.opus", FFMPEG SOUND "-t 5 -ac 2 -c:a libopus " OUT, NONE, ENCODED },
	{ "uni_blind.flac", FFMPEG SOUND "-t 5 -ac 2 -c:a flac " OUT, NONE, ENCODED },
	{ "uni_blind.wav", FFMPEG SOUND "-t 5 -ac 2 -c:a pcm_s24le " OUT, NONE, ENCODED },
	{ "uni_blind.ts", FFMPEG SOUND "-t 5 -ac 2 -c:a aac " OUT, NONE, COPIED },
	{ "uni_blind.wma", FFMPEG SOUND "-t 5 -ac 2 " WMA OUT, NONE, ENCODED, .late = 4128, .near = 48 },
	{ "uni_silent.mp4", ALONE X264 OUT, COPIED, NONE },
	{ "uni_silent.ts", ALONE MPEG2 OUT, ENCODED, NONE },
	/* starts */
	{ "uni_late_sound.mp4", FFMPEG PICTURE "-itsoffset 0.7 " SOUND "-t 5 -ac 2 " X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_late_sound.ts", FFMPEG PICTURE "-itsoffset 0.7 " SOUND "-t 5 -ac 2 " MPEG2 "-c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_late_picture.mp4", FFMPEG "-itsoffset 0.7 " PICTURE SOUND "-t 5 -ac 2 " ASP "-c:a aac " OUT, ENCODED, COPIED },
	{ "uni_late_picture.ts", FFMPEG "-itsoffset 0.7 " PICTURE SOUND "-t 5 -ac 2 " X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_late_picture.flv", FFMPEG "-itsoffset 0.7 " PICTURE SOUND "-t 5 -ac 2 " X264 "-c:a aac " OUT, COPIED, COPIED },
	{ "uni_cut_h264.mp4", BOTH X264 "-c:a aac -t 7 \"$OUT.mp4\" && " FFMPEG "-ss 1.3 -i \"$OUT.mp4\" -c copy " OUT " && rm \"$OUT.mp4\"", ENCODED, COPIED },
	{ "uni_cut_asp.mp4", BOTH ASP "-c:a libmp3lame -t 7 \"$OUT.mp4\" && " FFMPEG "-ss 1.3 -i \"$OUT.mp4\" -c copy " OUT " && rm \"$OUT.mp4\"", ENCODED,
	  ENCODED },
	{ "uni_offset.ts", BOTH X264 "-c:a aac -output_ts_offset 80000 " OUT, COPIED, COPIED },
	{ "uni_wrap_h264.ts", BOTH X264 "-c:a aac -output_ts_offset 95438.5 " OUT, COPIED, COPIED },
	{ "uni_wrap_mpeg2.ts", BOTH MPEG2 "-c:a mp2 -output_ts_offset 95438.5 " OUT, ENCODED, ENCODED },
	/* one key frame */
	{ "uni_long_asp.avi", FFMPEG PICTURE SOUND "-t 14 -ac 2 -c:v mpeg4 -q:v 3 -bf 2 -g 600 -sc_threshold 1000000000 -c:a libmp3lame " OUT, ENCODED, ENCODED },
	{ "uni_long_mpeg2.ts", FFMPEG PICTURE SOUND "-t 14 -ac 2 -c:v mpeg2video -q:v 3 -bf 2 -g 600 -sc_threshold 1000000000 -c:a mp2 " OUT, ENCODED, ENCODED },
	{ "uni_long_h264.mp4", FFMPEG PICTURE SOUND "-t 14 -ac 2 -c:v libx264 -preset ultrafast -g 600 -bf 2 -sc_threshold 0 -c:a aac " OUT, ENCODED,
	  COPIED, .options = "--force-video-reencode" },
};
#define N_SAMPLES (int)(sizeof samples / sizeof *samples)

#define PSNR_LEAST 30

static void check_tracks(const struct sample *s, const struct hls *h, const char *path, const char *source)
{
	ck_assert_int_eq(hls_video(h) != NULL, s->video != NONE);
	ck_assert_int_eq(hls_audio(h) != NULL, s->audio != NONE);
	if (s->video == ENCODED)
		universal_check_encoded(path, source, s->filter ? s->filter : "null", PSNR_LEAST, (double)s->late / 48000);
	if (s->audio == COPIED)
		ck_assert_msg(universal_is_copied_audio(path, source), "%s: audio packets have other bytes", s->name);
}

static void check_lag(const struct sample *s, const struct hls *h, const char *source)
{
	int64_t lag = hls_audio_lag(h, source);

	ck_assert_msg(llabs(lag - s->late) <= s->near, "%s: the sound lags by %lld samples", s->name, (long long)lag);
}

static void check_stream(const struct sample *s, const struct hls *segments, const char *source)
{
	const char *path = universal_transcode(source, s->options ? s->options : "");
	struct hls h;

	universal_check_plays(path);
	hls_load_stream(&h, path);
	hls_check_stream(&h);
	if (s->video == ENCODED) /* in one go, with other GOPs */
		universal_check_encoded(path, source, s->filter ? s->filter : "null", PSNR_LEAST, (double)s->late / 48000);
	if (s->video == COPIED)
		universal_check_same_track(hls_video(&h), hls_video(segments));
	if (s->audio != NONE)
		universal_check_same_track(hls_audio(&h), hls_audio(segments));
	hls_free(&h);
}

START_TEST(segments_and_stream_are_the_source)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe);
	char options[200], path[1024];
	struct hls h;

	snprintf(options, sizeof options, "-j 2 --segment-duration 1 %s", s->options ? s->options : "");
	hls_make(&h, source, options);
	hls_check(&h);
	ck_assert_uint_ge(h.n_segments, 3);
	snprintf(path, sizeof path, "%s/master.m3u8", h.dir);
	universal_check_plays(path);
	if (s->video == COPIED)
		hls_check_video(&h, source);
	if (s->video == ENCODED)
		universal_check_starts(&h);
	check_tracks(s, &h, hls_join(&h), source);
	if (s->audio != NONE)
		check_lag(s, &h, source);
	check_stream(s, &h, source);
	hls_free(&h);
}
END_TEST

Suite *suite_universal(void)
{
	Suite *s = suite_create("universal");
	TCase *t = tcase_create("universal");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, segments_and_stream_are_the_source, 0, N_SAMPLES);
	suite_add_tcase(s, t);
	return s;
}
