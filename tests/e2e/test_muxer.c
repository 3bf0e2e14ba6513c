/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the muxer carries over: sound as it is, light, Dolby Vision, the shape of pictures, parameter sets that change. The judge is
 * ffmpeg.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "tests/worker/mkv_rewrite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define AUDIO_TRACK 2 /* in the files made here */

static bool has_bytes(struct bytes in, const char *what, size_t n)
{
	return memmem(in.data, in.size, what, n) != NULL;
}

static void probe(const char *file, const char *options, const char *want)
{
	char *got = sh("ffprobe -v error %s -of default=nw=1 '%s'", options, file);

	ck_assert_msg(strstr(got, want) != NULL, "%s is not in: %s", want, got);
	free(got);
}

/* ---- copied sound */

/* Decoded to what the decoder gives, whole numbers of 32 bits; the padding that the source's container takes off at the end is
 * not taken off by ffmpeg from MP4. */
static void check_decoded(const struct hls *h, const char *source, size_t most_padding)
{
	const char *names[] = { source, hls_join(h) };
	struct buf pcm[2];

	for (int i = 0; i < 2; i++) {
		const char *path = defects_scratch(i ? "ours.pcm" : "theirs.pcm");

		free(sh(FFMPEG "-i '%s' -map 0:a:0 -f s32le '%s'", names[i], path));
		craft_load(&pcm[i], path);
	}
	ck_assert_uint_gt(pcm[0].size, 1000000);
	ck_assert_msg(pcm[1].size >= pcm[0].size && pcm[1].size <= pcm[0].size + most_padding, "%zu bytes, the source gives %zu",
		      pcm[1].size, pcm[0].size);
	ck_assert_mem_eq(pcm[0].data, pcm[1].data, pcm[0].size);
	buf_finish(&pcm[0]);
	buf_finish(&pcm[1]);
}

#define TITLE(codec) FFMPEG PICTURE SOUND "-t 15.3 " X264 "-bf 2 -g 48 " codec OUT

static const struct {
	const char *name, *recipe, *entry, *codecs, *codec_name;
	size_t padding; /* bytes */
} sounds[] = {
	{ "muxer-ac3.mkv", TITLE("-c:a ac3 -b:a 448k "), "ac-3", "ac-3", "ac3", 0 },
	{ "muxer-ac3-44.mkv", TITLE("-c:a ac3 -ar 44100 -ac 2 "), "ac-3", "ac-3", "ac3", 0 },
	{ "muxer-eac3.mkv", TITLE("-c:a eac3 -b:a 384k "), "ec-3", "ec-3", "eac3", 0 },
	{ "muxer-opus.mkv", TITLE("-c:a libopus -ac 2 "), "Opus", "opus", "opus", 4 * 2 * 960 },
	{ "muxer-opus-5.1.mkv", TITLE("-c:a libopus -mapping_family 1 -af aformat=channel_layouts=5.1 -frame_duration 40 "),
	  "Opus", "opus", "opus", 4 * 6 * 1920 },
	{ "muxer-flac.mkv", TITLE("-c:a flac "), "fLaC", "fLaC", "flac", 0 },
	{ "muxer-flac-96.mkv", TITLE("-c:a flac -ar 96000 -ac 2 -sample_fmt s16 "), "fLaC", "fLaC", "flac", 0 },
	{ "muxer-mkvmerge.mkv", TITLE("-c:a libopus -ac 2 ") " && mkvmerge -q -o \"$OUT.mm\" \"$OUT\" && mv \"$OUT.mm\" \"$OUT\"", "Opus",
	  "opus", "opus", 4 * 2 * 960 },
};

START_TEST(sound_passes_through_to_the_sample)
{
	const char *source = media_make(sounds[_i].name, sounds[_i].recipe);
	char codecs[40];
	struct hls h;

	hls_make(&h, source, "-j 2 --audio copy --segment-duration 4");
	hls_check(&h);
	ck_assert_uint_ge(h.n_segments, 3);
	ck_assert_str_eq(hls_audio(&h)->entry, sounds[_i].entry);
	snprintf(codecs, sizeof codecs, ",%s\"", sounds[_i].codecs);
	ck_assert_ptr_nonnull(strstr(h.master, codecs));
	probe(hls_join(&h), "-select_streams a -show_entries stream=codec_name", sounds[_i].codec_name);
	defects_check_frames(hls_audio(&h), source, AUDIO_TRACK);
	check_decoded(&h, source, sounds[_i].padding);
	hls_check_video(&h, source);
	ck_assert_int_eq(hls_audio_lag(&h, source), 0);
	hls_free(&h);
}
END_TEST

START_TEST(sound_alone_passes_through_as_well)
{
	const char *source = media_make("muxer-alone.mkv", FFMPEG SOUND "-t 20 -c:a eac3 -b:a 384k " OUT);
	struct hls h;

	hls_make(&h, source, "-j 2 --audio copy --segment-duration 4");
	hls_check(&h);
	ck_assert_uint_ge(h.n_segments, 3);
	ck_assert(has_bytes(h.init, "cmfc", 4));
	check_decoded(&h, source, 0);
	hls_free(&h);
}
END_TEST

START_TEST(mp3_passes_through)
{
	const char *source = media_make("muxer-mp3.mkv", TITLE("-c:a libmp3lame -ac 2 -b:a 192k "));
	struct hls h;

	hls_make(&h, source, "-j 2 --audio copy");
	hls_check(&h);
	ck_assert_ptr_nonnull(strstr(h.master, ",mp4a.40.34\""));
	probe(hls_join(&h), "-select_streams a -show_entries stream=codec_name", "mp3");
	defects_check_frames(hls_audio(&h), source, AUDIO_TRACK);
	ck_assert_int_eq(hls_audio_lag(&h, source), 0);
	hls_free(&h);
}
END_TEST

/* 20 ms packets, then 60 ms, then 5 ms. */
START_TEST(opus_packets_of_different_lengths_pass_through)
{
	const char *source = media_make(
		"muxer-opus-mixed.mkv",
		"for d in 20 60 5; do " FFMPEG PICTURE SOUND "-t 6 " X264
		"-g 48 -c:a libopus -ac 2 -frame_duration $d \"$M/muxer-opus-$d.mkv\" || exit 1; echo \"file 'muxer-opus-$d.mkv'\"; done > \"$M/muxer-opus.txt\" && "
		FFMPEG "-f concat -i \"$M/muxer-opus.txt\" -map 0 -c copy " OUT);
	const struct hls_track *a;
	bool has[3] = { false };
	struct hls h;

	hls_make(&h, source, "-j 2 --audio copy --segment-duration 4");
	a = hls_audio(&h);
	for (size_t i = 0; i < a->n_samples; i++) {
		has[0] |= a->samples[i].duration == 960;
		has[1] |= a->samples[i].duration == 2880;
		has[2] |= a->samples[i].duration == 240;
	}
	ck_assert(has[0] && has[1] && has[2]);
	for (size_t i = 1; i < a->n_fragments; i++) {
		const struct hls_sample *last = &a->samples[a->fragments[i].first - 1];

		ck_assert_int_eq(a->fragments[i].tfdt, last->dts + last->duration);
	}
	defects_check_frames(a, source, AUDIO_TRACK);
	hls_free(&h);
}
END_TEST

/* Two clips of 6 s, the first with 4 s of sound: the hole is within a segment, or at the end of one. */
START_TEST(a_hole_in_copied_sound_keeps_what_follows_in_its_place)
{
	static const char *const options[] = { "-j 2 --audio copy --segment-duration 12",
					       "-j 2 --audio copy --segment-duration 6" };
	const char *source = media_make(
		"muxer-hole.mkv",
		FFMPEG PICTURE SOUND "-t 6 -filter:a atrim=end=4 " X264 "-g 48 " AC3 "\"$M/muxer-hole-1.mkv\" && "
		FFMPEG PICTURE SOUND "-t 6 " X264 "-g 48 " AC3 "\"$M/muxer-hole-2.mkv\" && "
		"printf \"file 'muxer-hole-1.mkv'\\nfile 'muxer-hole-2.mkv'\\n\" > \"$M/muxer-hole.txt\" && "
		FFMPEG "-f concat -i \"$M/muxer-hole.txt\" -map 0 -c copy " OUT);
	char *text, *line, *save = NULL;
	const struct hls_track *a;
	size_t n = 0, n_long = 0, n_jumps = 0;
	struct hls h;

	hls_make(&h, source, options[_i]);
	a = hls_audio(&h);
	defects_check_frames(a, source, AUDIO_TRACK);
	text = sh("ffprobe -v error -select_streams a -show_entries packet=pts_time -of csv=p=0 '%s'", source);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
		ck_assert_uint_lt(n, a->n_samples);
		ck_assert_msg(llabs(a->samples[n].dts - (int64_t)(atof(line) * 48000)) <= 768 + 48,
			      "packet %zu of %s s is at %lld", n, line, (long long)a->samples[n].dts);
		n_long += a->samples[n].duration > 1536;
		n_jumps += n && a->samples[n].dts > a->samples[n - 1].dts + a->samples[n - 1].duration;
	}
	ck_assert_uint_eq(n, a->n_samples);
	ck_assert_uint_eq(n_long, _i ? 0 : 1);
	ck_assert_uint_eq(n_jumps, _i ? 1 : 0);
	free(text);
	hls_free(&h);
}
END_TEST

START_TEST(what_cannot_be_copied_is_encoded_and_said)
{
	static const char *const recipes[][2] = {
		{ "muxer-dts.mkv", TITLE("-c:a dca -strict -2 ") },
		{ "muxer-vorbis.mkv", TITLE("-c:a libvorbis -ac 2 ") },
		{ "muxer-mp3-lsf.mkv", TITLE("-c:a libmp3lame -ac 2 -ar 24000 ") },
	};
	const char *source = media_make(recipes[_i][0], recipes[_i][1]);
	char *text = sh("\"$SEGFARM\" run '%s' -j 2 -o '%s' --audio copy", source, defects_scratch("out"));
	struct hls h;

	ck_assert_msg(strstr(text, "audio cannot be copied and is encoded") && strstr(text, "reason="), "%s", text);
	free(text);
	hls_load(&h, defects_scratch("out"));
	hls_check(&h);
	ck_assert_ptr_nonnull(strstr(h.master, ",mp4a.40.2\""));
	hls_free(&h);
}
END_TEST

START_TEST(by_default_other_codecs_than_aac_are_encoded)
{
	const char *source = media_make(sounds[0].name, sounds[0].recipe);
	struct hls h, same;

	hls_make(&h, source, "-j 2");
	hls_make(&same, source, "-j 2 --audio aac");
	ck_assert_str_eq(hls_audio(&h)->entry, "mp4a");
	ck_assert_ptr_nonnull(strstr(h.master, ",mp4a.40.2\""));
	defects_check_same(&h, &same);
	hls_free(&h);
	hls_free(&same);
}
END_TEST

/* ---- light */

#define HDR10 "-x265-params \"log-level=none:keyint=48:hdr-opt=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:" \
	      "colormatrix=bt2020nc:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):" \
	      "max-cll=1000,400\" "
#define X265_10 PICTURE "-t 6 -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast "
#define MDCV "\x33\xc2\x86\xc4\x1d\x4c\x0b\xb8\x84\xd0\x3e\x80\x3d\x13\x40\x42\x00\x98\x96\x80\x00\x00\x00\x01"

static const struct {
	const char *name, *recipe;
	bool is_in_stream;
} hdr[] = {
	/* SEI messages alone */
	{ "muxer-hdr-sei.mkv", FFMPEG X265_10 HDR10 "-f hevc \"$M/muxer-hdr.hevc\" && mkvmerge -q -o " OUT " \"$M/muxer-hdr.hevc\"",
	  true },
	/* the container alone */
	{ "muxer-hdr-mkv.mkv", FFMPEG X265_10 "-x265-params log-level=none:keyint=48 " OUT " && mkvpropedit -q " OUT
	  " --edit track:v1 --set color-matrix-coefficients=9 --set color-primaries=9 --set color-transfer-characteristics=16"
	  " --set chromaticity-coordinates-red-x=0.68 --set chromaticity-coordinates-red-y=0.32"
	  " --set chromaticity-coordinates-green-x=0.265 --set chromaticity-coordinates-green-y=0.69"
	  " --set chromaticity-coordinates-blue-x=0.15 --set chromaticity-coordinates-blue-y=0.06"
	  " --set white-coordinates-x=0.3127 --set white-coordinates-y=0.329 --set max-luminance=1000 --set min-luminance=0.0001"
	  " --set max-content-light=1000 --set max-frame-light=400", false },
};

START_TEST(the_light_of_an_hdr10_title_is_told)
{
	const char *source = media_make(hdr[_i].name, hdr[_i].recipe), *joined;
	struct hls h;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	joined = hls_join(&h);
	ck_assert(hls_video(&h)->primaries == 9 && hls_video(&h)->transfer == 16 && hls_video(&h)->matrix == 9);
	if (hdr[_i].is_in_stream) /* ffprobe believes the decoder */
		probe(joined, "-show_entries stream=color_transfer", "color_transfer=smpte2084");
	probe(joined, "-show_entries stream_side_data", "side_data_type=Mastering display metadata");
	probe(joined, "-show_entries stream_side_data", "red_x=34000/50000");
	probe(joined, "-show_entries stream_side_data", "green_y=34500/50000");
	probe(joined, "-show_entries stream_side_data", "white_point_x=15635/50000");
	probe(joined, "-show_entries stream_side_data", "min_luminance=1/10000");
	probe(joined, "-show_entries stream_side_data", "max_luminance=10000000/10000");
	probe(joined, "-show_entries stream_side_data", "max_content=1000");
	probe(joined, "-show_entries stream_side_data", "max_average=400");
	ck_assert(has_bytes(h.init, "\0\0\0\x20mdcv" MDCV, 32));
	ck_assert(has_bytes(h.init, "\0\0\0\x0c" "clli\x03\xe8\x01\x90", 12));
	ck_assert_ptr_nonnull(strstr(h.master, "VIDEO-RANGE=PQ"));
	hls_check_video(&h, source);
	hls_free(&h);
}
END_TEST

START_TEST(a_title_that_says_nothing_of_light_has_no_such_box)
{
	struct hls h;

	hls_make(&h, defects_plain(), "-j 2");
	ck_assert(!has_bytes(h.init, "mdcv", 4) && !has_bytes(h.init, "clli", 4) && !has_bytes(h.init, "dvcC", 4));
	hls_free(&h);
}
END_TEST

/* ---- Dolby Vision */

/* 24 bytes, the reserved ones not 0: whoever writes them anew loses them. */
static const uint8_t profile_5[24] = { 1, 0, 5 << 1, 6 << 3 | 5, 0x00, 0, 0, 0, 0xde, 0xad };
static const uint8_t profile_82[24] = { 1, 0, 8 << 1, 6 << 3 | 5, 0x20, 0, 0, 0, 0xbe, 0xef };
static const uint8_t profile_8[24] = { 1, 0, 8 << 1, 6 << 3 | 5, 0x10, 0, 0, 0, 0xbe, 0xef };

static void put_mapping(struct buf *out, uint32_t type, const uint8_t *record)
{
	size_t m = mkv_begin_master(out, 0x41E4);

	mkv_put_string(out, 0x41A4, "Dolby Vision configuration");
	mkv_put_uint(out, 0x41E7, type);
	mkv_put_binary(out, 0x41ED, record, 24);
	mkv_end_master(out, m);
}

static void put_profile_5(struct buf *out, uint64_t type)
{
	if (type == 1)
		put_mapping(out, 0x64766343, profile_5);
}

static void put_profile_8(struct buf *out, uint64_t type)
{
	if (type == 1)
		put_mapping(out, 0x64767643, profile_8);
}

static void put_profile_82(struct buf *out, uint64_t type)
{
	if (type == 1)
		put_mapping(out, 0x64767643, profile_82);
}

static const struct {
	void (*put_track)(struct buf *out, uint64_t type);
	const char *box, *entry, *codecs, *range, *profile;
	const uint8_t *record;
	const char *supplemental; /* NULL: nothing is told, here because the base layer is not what it should be */
} dolby[] = {
	{ put_profile_8, "dvvC", "hvc1", "CODECS=\"hvc1.", "SDR", "dv_profile=8", profile_8, NULL },
	{ put_profile_82, "dvvC", "hvc1", "CODECS=\"hvc1.", "SDR", "dv_profile=8", profile_82, "dvh1.08.06/db2g" },
	{ put_profile_5, "dvcC", "dvh1", "CODECS=\"dvh1.05.06", "PQ", "dv_profile=5", profile_5, NULL },
};

START_TEST(a_dolby_vision_configuration_is_carried_over)
{
	const char *plain = media_make("muxer-dv.mkv", FFMPEG X265_10 "-x265-params log-level=none:keyint=48 " OUT);
	const char *source = defects_scratch("dv.mkv");
	struct rewrite how = { .put_track = dolby[_i].put_track };
	char box[33] = "\0\0\0\x20", told[80];
	struct hls h;

	memcpy(box + 4, dolby[_i].box, 4);
	memcpy(box + 8, dolby[_i].record, 24);
	mkv_rewrite_file(plain, source, &how);
	hls_make(&h, source, "-j 2");
	hls_check(&h);
	ck_assert_str_eq(hls_video(&h)->entry, dolby[_i].entry);
	ck_assert(has_bytes(h.init, box, 32));
	ck_assert_msg(strstr(h.master, dolby[_i].codecs) && strstr(h.master, dolby[_i].range), "%s", h.master);
	snprintf(told, sizeof told, ",SUPPLEMENTAL-CODECS=\"%s\"", dolby[_i].supplemental ? dolby[_i].supplemental : "");
	ck_assert_msg(!strstr(h.master, dolby[_i].supplemental ? told : "SUPPLEMENTAL") == !dolby[_i].supplemental, "%s", h.master);
	ck_assert(has_bytes((struct bytes){ h.init.data, 64 }, "db2g", 4) == (dolby[_i].supplemental != NULL));
	probe(hls_join(&h), "-show_entries stream_side_data", "side_data_type=DOVI configuration record");
	probe(hls_join(&h), "-show_entries stream_side_data", dolby[_i].profile);
	probe(hls_join(&h), "-show_entries stream_side_data", "dv_level=6");
	hls_check_video(&h, plain);
	hls_free(&h);
}
END_TEST

/* ---- shape */

static const struct {
	const char *set, *rotation; /* as ffprobe says it: counter-clockwise */
	int degrees;
} turns[] = {
	{ "projection-pose-roll=-90", "rotation=-90", 90 },
	{ "projection-pose-roll=180", "rotation=-180", 180 },
	{ "projection-pose-roll=90", "rotation=90", 270 },
};

START_TEST(a_turned_picture_stays_turned)
{
	char name[40], recipe[300];
	const char *source;
	struct hls h;

	snprintf(name, sizeof name, "muxer-turned-%d.mkv", turns[_i].degrees);
	snprintf(recipe, sizeof recipe,
		 FFMPEG PICTURE "-t 4 " X264 "-g 48 " OUT " && mkvpropedit -q " OUT
		 " --edit track:v1 --set projection-type=0 --set projection-pose-yaw=0 --set projection-pose-pitch=0 --set %s",
		 turns[_i].set);
	source = media_make(name, recipe);
	hls_make(&h, source, "-j 2");
	hls_check(&h);
	ck_assert_int_eq(hls_video(&h)->rotation, turns[_i].degrees);
	probe(hls_join(&h), "-show_entries stream_side_data=rotation", turns[_i].rotation);
	hls_free(&h);
}
END_TEST

/* From the container in its units, and from the stream. */
static const struct {
	const char *name, *recipe, *sar, *dar;
} aspects[] = {
	{ "muxer-par-pixels.mkv", FFMPEG PICTURE "-t 4 " X264 OUT " && mkvpropedit -q " OUT
	  " --edit track:v1 --set display-width=427 --set display-height=180", "sample_aspect_ratio=427:320", "427:180" },
	{ "muxer-par-ratio.mkv", FFMPEG PICTURE "-t 4 " X264 OUT " && mkvpropedit -q " OUT
	  " --edit track:v1 --set display-unit=3 --set display-width=4 --set display-height=3", "sample_aspect_ratio=3:4",
	  "4:3" },
	{ "muxer-par-unknown.mkv", FFMPEG PICTURE "-t 4 " X264 "-x264-params sar=16/11 " OUT " && mkvpropedit -q " OUT
	  " --edit track:v1 --set display-unit=4 --set display-width=1 --set display-height=1", "sample_aspect_ratio=16:11",
	  "256:99" },
	{ "muxer-par-stream.mkv", FFMPEG PICTURE "-t 4 " X264 "-x264-params sar=16/11 " OUT " && mkvpropedit -q " OUT
	  " --edit track:v1 --delete display-width --delete display-height --delete display-unit", "sample_aspect_ratio=16:11", "256:99" },
};

START_TEST(the_pixel_aspect_ratio_is_kept)
{
	const char *source = media_make(aspects[_i].name, aspects[_i].recipe);
	struct hls h;

	hls_make(&h, source, "-j 2");
	hls_check(&h);
	probe(hls_join(&h), "-show_entries stream=sample_aspect_ratio", aspects[_i].sar);
	probe(hls_join(&h), "-show_entries stream=display_aspect_ratio", aspects[_i].dar);
	hls_free(&h);
}
END_TEST

/* ---- parameter sets that change */

#define CLIP(codec, size, file) FFMPEG "-f lavfi -i testsrc2=s=" size ":r=24 -t 6 " codec "\"$M/" file "\" && "
#define JOIN(one, two) "printf \"file '" one "'\\nfile '" two "'\\n\" > \"$M/muxer-join.txt\" && " \
		       FFMPEG "-f concat -i \"$M/muxer-join.txt\" -c copy " OUT
#define H264(more) X264 "-g 48 " more
#define H265(more) X265 "-x265-params log-level=none:keyint=48:repeat-headers=1" more " "

/* CodecPrivate has the sets of the first clip; those of the second come with its sync samples. */
static const struct {
	const char *name, *recipe;
} joined[] = {
	{ "muxer-sets-264.mkv", CLIP(H264("-x264-params cabac=1:ref=1 "), "320x180", "muxer-a.ts")
	  CLIP(H264("-x264-params cabac=0:ref=4:8x8dct=0 "), "320x180", "muxer-b.ts") JOIN("muxer-a.ts", "muxer-b.ts") },
	{ "muxer-sets-264-size.mkv", CLIP(H264(), "320x180", "muxer-c.ts") CLIP(H264("-bf 2 "), "480x270", "muxer-d.ts")
	  JOIN("muxer-c.ts", "muxer-d.ts") },
	{ "muxer-sets-265.mkv", CLIP(H265(":sao=1:bframes=0"), "320x180", "muxer-e.ts")
	  CLIP(H265(":sao=0:sign-hide=0:ctu=16:bframes=3"), "320x180", "muxer-f.ts")
	  JOIN("muxer-e.ts", "muxer-f.ts") },
	{ "muxer-sets-265-size.mkv", CLIP(H265(), "320x180", "muxer-g.ts") CLIP(H265(), "480x270", "muxer-h.ts")
	  JOIN("muxer-g.ts", "muxer-h.ts") },
};

/* The parameter sets of the second half are not those of the configuration. */
static void check_change(const struct hls *h)
{
	const struct hls_track *v = hls_video(h);
	bool is_h264 = !strcmp(v->entry, "avc1");
	const struct hls_sample *late = NULL;

	for (size_t i = 0; i < v->n_samples; i++)
		if (v->samples[i].is_sync)
			late = &v->samples[i];
	for (struct bytes d = late->data; d.size > 4;) {
		size_t n = get_u32(d.data);
		int type = is_h264 ? d.data[4] & 31 : d.data[4] >> 1 & 63;

		ck_assert_uint_le(n, d.size - 4);
		if (type == (is_h264 ? 8 : 34) || type == (is_h264 ? 7 : 33))
			if (!memmem(v->config.data, v->config.size, d.data + 4, n))
				return;
		d = (struct bytes){ d.data + 4 + n, d.size - 4 - n };
	}
	ck_abort_msg("no parameter set changes in this title");
}

START_TEST(parameter_sets_that_change_keep_playing)
{
	const char *source = media_make(joined[_i].name, joined[_i].recipe);
	struct hls h;

	hls_make(&h, source, "-j 2 --segment-duration 4");
	hls_check(&h);
	check_change(&h);
	hls_check_video(&h, source);
	hls_free(&h);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, sound_passes_through_to_the_sample, 0, (int)LENGTH(sounds));
	tcase_add_test(t, sound_alone_passes_through_as_well);
	tcase_add_test(t, mp3_passes_through);
	tcase_add_test(t, opus_packets_of_different_lengths_pass_through);
	tcase_add_loop_test(t, a_hole_in_copied_sound_keeps_what_follows_in_its_place, 0, 2);
	tcase_add_loop_test(t, what_cannot_be_copied_is_encoded_and_said, 0, 3);
	tcase_add_test(t, by_default_other_codecs_than_aac_are_encoded);
	tcase_add_loop_test(t, the_light_of_an_hdr10_title_is_told, 0, (int)LENGTH(hdr));
	tcase_add_test(t, a_title_that_says_nothing_of_light_has_no_such_box);
	tcase_add_loop_test(t, a_dolby_vision_configuration_is_carried_over, 0, (int)LENGTH(dolby));
	tcase_add_loop_test(t, a_turned_picture_stays_turned, 0, (int)LENGTH(turns));
	tcase_add_loop_test(t, the_pixel_aspect_ratio_is_kept, 0, (int)LENGTH(aspects));
	tcase_add_loop_test(t, parameter_sets_that_change_keep_playing, 0, (int)LENGTH(joined));
}

Suite *suite_muxer(void)
{
	Suite *suite = suite_create("muxer");
	TCase *t = tcase_create("muxer");

	add_tests(t);
	suite_add_tcase(suite, t);
	return suite;
}
