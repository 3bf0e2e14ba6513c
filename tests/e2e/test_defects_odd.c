/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes wrong in the systems of the field, each as a test that rules it out: files that are seldom or broken, and
 * what is said beside the samples.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "tests/worker/mkv_rewrite.h"
#include "worker/mkv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- NAL units and their lengths */

#define SEI_BYTES 300 /* 00 00 01 2C in front of it: a start code, and a slice of type 12 */

/* A user_data_unregistered message of zeroes: payload type 5, its size in two bytes, and the stop bit. */
static void put_sei(struct buf *out)
{
	buf_put_u8(out, 6);
	buf_put_u8(out, 5);
	buf_put_u8(out, 255);
	buf_put_u8(out, SEI_BYTES - 5 - 255);
	for (int i = 0; i < SEI_BYTES - 5; i++)
		buf_put_u8(out, 0x55);
	buf_put_u8(out, 0x80);
}

static void put_long_first(struct buf *out, uint64_t type, struct bytes frame)
{
	if (type == MKV_VIDEO_TRACK) {
		buf_put_u32(out, SEI_BYTES);
		put_sei(out);
	}
	buf_put(out, frame.data, frame.size);
}

/* 00 00 00 01 0C: filler data without any, or Annex B. */
static void put_one_byte_first(struct buf *out, uint64_t type, struct bytes frame)
{
	if (type == MKV_VIDEO_TRACK) {
		buf_put_u32(out, 1);
		buf_put_u8(out, 12);
	}
	buf_put(out, frame.data, frame.size);
}

static void put_short_lengths(struct buf *out, uint64_t type, struct bytes frame)
{
	if (type != MKV_VIDEO_TRACK)
		buf_put(out, frame.data, frame.size);
	else
		for (size_t at = 0; at < frame.size; at += 4 + get_u32(frame.data + at)) {
			uint32_t size = get_u32(frame.data + at);

			ck_assert(size < 65536 && size <= frame.size - at - 4);
			buf_put_u16(out, (uint16_t)size);
			buf_put(out, frame.data + at + 4, size);
		}
}

/* lengthSizeMinusOne of avcC, ISO/IEC 14496-15 section 5.3.3.1. */
static bool put_short_config(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	if (type != MKV_VIDEO_TRACK || id != 0x63A2)
		return false;
	ck_assert_uint_gt(value.size, 5);
	mkv_put_binary(out, id, value.data, value.size);
	out->data[out->size - value.size + 4] = 0xFC | 1;
	return true;
}

START_TEST(length_prefixed_samples_are_not_taken_for_annex_b)
{
	static const struct rewrite styles[] = {
		{ .put_frame = put_long_first },
		{ .put_frame = put_one_byte_first },
		{ .put_frame = put_short_lengths, .put_child = put_short_config },
	};
	const char *plain = defects_plain(), *source = defects_scratch("lengths.mkv");
	const struct hls_track *v;
	struct hls h;

	mkv_rewrite_file(plain, source, &styles[_i]);
	hls_make(&h, source, "-j 2");
	hls_check(&h);
	v = hls_video(&h);
	ck_assert_uint_gt(v->config.size, 5);
	ck_assert_int_eq(v->config.data[4] & 3, _i == 2 ? 1 : 3);
	defects_check_frames(v, source, 1);
	hls_check_video(&h, plain);
	hls_free(&h);
}
END_TEST

/* ---- what is said beside the samples */

static void check_said(const char *source, const char *made, const char *options, const char *expected)
{
	char *a = defects_probe(source, options), *b = defects_probe(made, options);

	ck_assert_msg(strstr(a, expected) != NULL, "the source was to have %s: %s", expected, a);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
}

START_TEST(sample_aspect_ratio_is_kept)
{
	static const char *const names[] = { "defects_sar_sps.mkv", "defects_sar_container.mkv" };
	static const char *const recipes[] = {
		FFMPEG PICTURE "-t 8 -vf setsar=3/4 " X264 "-g 48 " OUT,
		MKVMERGE "--display-dimensions 0:240x180 " PLAIN,
	};
	const char *source;
	struct hls h;

	defects_plain();
	source = media_make(names[_i], recipes[_i]);
	hls_make(&h, source, "-j 2");
	ck_assert_uint_eq(hls_video(&h)->par_num, 3);
	ck_assert_uint_eq(hls_video(&h)->par_den, 4);
	check_said(source, hls_join(&h), "-select_streams v -show_entries stream=width,height,sample_aspect_ratio",
		   "320,180,3:4");
	hls_free(&h);
}
END_TEST

static char *first_picture(const char *file, const char *options)
{
	return sh("ffmpeg -nostdin -v error %s -i '%s' -map v:0 -frames:v 1 -f framemd5 - | tail -n 1", options, file);
}

/* Players turn the picture of both alike. */
START_TEST(rotation_is_kept)
{
	static const int rolls[] = { 90, 180, -90 };
	int roll = rolls[_i];
	char recipe[200], name[32], *as_source, *as_made, *unturned;
	const char *source;
	struct hls h;

	snprintf(recipe, sizeof recipe, MKVMERGE "--projection-type 0:0 --projection-pose-roll 0:%d " PLAIN, roll);
	snprintf(name, sizeof name, "defects_roll_%d.mkv", roll);
	defects_plain();
	source = media_make(name, recipe);
	hls_make(&h, source, "-j 2");
	as_source = first_picture(source, "");
	as_made = first_picture(hls_join(&h), "");
	unturned = first_picture(source, "-noautorotate");
	ck_assert_str_ne(strrchr(as_source, ','), strrchr(unturned, ','));
	ck_assert_str_eq(strrchr(as_source, ','), strrchr(as_made, ','));
	ck_assert_int_ne(hls_video(&h)->rotation, 0);
	free(as_source);
	free(as_made);
	free(unturned);
	hls_free(&h);
}
END_TEST

#define COLOUR "-select_streams v -show_entries stream=color_range,color_space,color_transfer,color_primaries"

START_TEST(colour_is_kept)
{
	static const char *const names[] = { "defects_colour_sps.mkv", "defects_colour_container.mkv" };
	static const char *const recipes[] = {
		FFMPEG PICTURE "-t 8 " X264 "-g 48 -color_primaries bt470bg -color_trc gamma28 -colorspace bt470bg "
			       "-color_range pc " OUT,
		MKVMERGE "--colour-matrix-coefficients 0:5 --colour-primaries 0:5 "
			 "--colour-transfer-characteristics 0:5 --colour-range 0:2 " PLAIN,
	};
	const struct hls_track *v;
	const char *source;
	struct hls h;

	defects_plain();
	source = media_make(names[_i], recipes[_i]);
	hls_make(&h, source, "-j 2");
	v = hls_video(&h);
	ck_assert(v->has_colour && v->is_full_range);
	ck_assert_int_eq(v->primaries, 5);
	ck_assert_int_eq(v->transfer, 5);
	ck_assert_int_eq(v->matrix, 5);
	check_said(source, hls_join(&h), COLOUR, "pc,bt470bg,bt470bg,bt470bg");
	hls_free(&h);
}
END_TEST

#define HDR10                                                                                                        \
	"-x265-params 'log-level=none:keyint=48:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:"       \
	"colormatrix=bt2020nc:range=limited:max-cll=1000,400:"                                                       \
	"master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)' "
#define HDR10_SIDE                                                                                                   \
	"-read_intervals %+#1 -select_streams v -show_entries frame_side_data=red_x,red_y,green_x,green_y,"          \
	"blue_x,blue_y,white_point_x,white_point_y,min_luminance,max_luminance,max_content,max_average"

START_TEST(hdr10_is_kept)
{
	const char *source = media_make("defects_hdr10.mkv",
					FFMPEG PICTURE "-t 8 -vf format=yuv420p10le " X265 HDR10 OUT);
	const struct hls_track *v;
	struct hls h;

	hls_make(&h, source, "-j 2");
	v = hls_video(&h);
	ck_assert(v->has_colour && !v->is_full_range);
	ck_assert_int_eq(v->primaries, 9);
	ck_assert_int_eq(v->transfer, 16);
	ck_assert_int_eq(v->matrix, 9);
	ck_assert_ptr_nonnull(strstr(h.master, "VIDEO-RANGE=PQ"));
	check_said(source, hls_join(&h), COLOUR, "tv,bt2020nc,smpte2084,bt2020");
	check_said(source, hls_join(&h), HDR10_SIDE, "1000,400");
	hls_free(&h);
}
END_TEST

/* ---- lacing, SeekHead, CRC */

static const char *lace_source(bool is_aac)
{
	if (is_aac)
		return media_make("defects_unlaced_aac.mkv",
				  FFMPEG PICTURE SOUND "-t 13 " X264 "-g 48 -c:a aac -ac 2 \"$OUT.mkv\" && "
				  MKVMERGE "--disable-lacing \"$OUT.mkv\" && rm \"$OUT.mkv\"");
	defects_plain();
	return media_make("defects_unlaced_ac3.mkv", MKVMERGE "--disable-lacing " PLAIN);
}

static bool drop_default_duration(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	(void)out;
	(void)value;
	return type == MKV_AUDIO_TRACK && id == 0x23E383;
}

START_TEST(laced_frames_get_their_own_times)
{
	static const enum rewrite_lacing kinds[] = { REWRITE_LACING_XIPH, REWRITE_LACING_EBML, REWRITE_LACING_FIXED };
	const struct rewrite how = { .lacing = kinds[_i / 2], .lace = 8, .put_child = _i % 2 ? NULL : drop_default_duration };
	const char *plain = lace_source(kinds[_i / 2] != REWRITE_LACING_FIXED);

	mkv_rewrite_file(plain, defects_scratch("laced.mkv"), &how);
	defects_check_as_plain(defects_scratch("laced.mkv"), plain);
}
END_TEST

START_TEST(a_second_seek_head_leads_to_the_tracks)
{
	const struct rewrite how = { .seek = REWRITE_SEEK_TWO, .has_far_tracks = true, .has_unknown_clusters = true };

	mkv_rewrite_file(defects_plain(), defects_scratch("far.mkv"), &how);
	defects_check_as_plain(defects_scratch("far.mkv"), defects_plain());
}
END_TEST

START_TEST(crc_elements_are_passed_over)
{
	const struct rewrite how = { .crc = REWRITE_CRC_RIGHT };

	mkv_rewrite_file(defects_plain(), defects_scratch("crc.mkv"), &how);
	defects_check_as_plain(defects_scratch("crc.mkv"), defects_plain());
}
END_TEST

/* ---- damage */

START_TEST(junk_between_clusters_costs_nothing)
{
	const struct rewrite how = { .junk = 7000 };

	mkv_rewrite_file(defects_plain(), defects_scratch("junk.mkv"), &how);
	defects_check_as_plain(defects_scratch("junk.mkv"), defects_plain());
}
END_TEST

#define DAMAGED_FRAME 175 /* of the video, decode order: 7.3 s, no sync sample */
#define DAMAGED_BYTES 400

struct damage {
	size_t first, lost;        /* video frames, decode order: those up to the end of the Cluster */
	int64_t start_ns, end_ns;  /* of the Cluster */
};

static void note_damaged(struct damage *d, const struct frame *hit, const struct frame *f)
{
	if (f->place != hit->place) {
		if (f->place > hit->place && f->time_ns < d->end_ns)
			d->end_ns = f->time_ns;
		return;
	}
	if (f->time_ns < d->start_ns)
		d->start_ns = f->time_ns;
	ck_assert_msg(f->id < hit->id || f->track != 1 || !f->is_key, "the damage hits a sync sample");
	d->lost += f->track == 1 && f->id >= hit->id;
}

static void find_damage(struct damage *d, const struct mkv *mkv, struct frame *hit)
{
	struct mkv_cursor cursor;
	struct frame f;
	size_t n = 0;

	*d = (struct damage){ .first = DAMAGED_FRAME, .start_ns = INT64_MAX, .end_ns = INT64_MAX };
	ck_assert_int_eq(mkv_seek(&cursor, mkv, mkv->first_cluster, -1, NULL), 0);
	while (n <= DAMAGED_FRAME) {
		ck_assert_int_eq(mkv_next(&cursor, hit, NULL), 1);
		n += hit->track == 1;
	}
	ck_assert_int_eq(mkv_seek(&cursor, mkv, mkv->first_cluster, -1, NULL), 0);
	while (mkv_next(&cursor, &f, NULL) == 1)
		note_damaged(d, hit, &f);
	ck_assert_uint_gt(d->lost, 0);
}

static void damage(const char *from, const char *to, struct damage *d)
{
	struct frame hit;
	struct input in;
	struct mkv mkv;
	struct buf file;

	craft_load(&file, from);
	input_init_bytes(&in, buf_bytes(&file));
	ck_assert_int_eq(mkv_open(&mkv, &in, NULL), 0);
	find_damage(d, &mkv, &hit);
	mkv_close(&mkv);
	craft_spoil(file.data + hit.id, DAMAGED_BYTES);
	craft_save(to, buf_bytes(&file));
	buf_finish(&file);
}

static void check_video_around(const struct hls_track *v, const struct hls_track *whole, const struct damage *d)
{
	ck_assert_uint_eq(v->n_samples, whole->n_samples - d->lost);
	for (size_t i = 0; i < v->n_samples; i++) {
		const struct hls_sample *a = &v->samples[i], *b = &whole->samples[i < d->first ? i : i + d->lost];

		ck_assert_msg(defects_is_same_data(a, b), "video sample %zu has other bytes", i);
		ck_assert_msg(a->dts + a->cts == b->dts + b->cts, "video sample %zu is shown at another time", i);
	}
}

/* Encoded in groups of about a second: nothing further away than that has heard of the damage. */
static void check_audio_around(const struct hls_track *a, const struct hls_track *whole, const struct damage *d)
{
	size_t other = 0;

	ck_assert_uint_eq(a->n_samples, whole->n_samples);
	for (size_t i = 0; i < a->n_samples; i++) {
		int64_t ns = a->samples[i].dts * 1000000 / a->timescale * 1000;

		ck_assert_int_eq(a->samples[i].dts, whole->samples[i].dts);
		if (ns > d->start_ns - 1200000000 && ns < d->end_ns + 1200000000)
			other += !defects_is_same_data(&a->samples[i], &whole->samples[i]);
		else
			ck_assert_msg(defects_is_same_data(&a->samples[i], &whole->samples[i]),
				      "audio frame %zu has other bytes", i);
	}
	ck_assert_uint_gt(other, 0);
}

START_TEST(damage_inside_a_cluster_costs_the_rest_of_that_cluster_only)
{
	const char *source = media_make("defects_clusters.mkv",
					FFMPEG PICTURE SOUND "-t 19 " X264 "-bf 2 -g 48 -sc_threshold 0 " AC3
					"-cluster_time_limit 1000 " OUT);
	const char *damaged = defects_scratch("damaged.mkv");
	struct hls h, whole;
	struct damage d;

	damage(source, damaged, &d);
	hls_make(&h, damaged, "-j 2");
	hls_make(&whole, source, "-j 2");
	hls_check(&h);
	ck_assert_uint_eq(h.n_segments, whole.n_segments);
	for (size_t i = 0; i < h.n_segments; i++)
		ck_assert_str_eq(h.segments[i].name, whole.segments[i].name);
	check_video_around(hls_video(&h), hls_video(&whole), &d);
	check_audio_around(hls_audio(&h), hls_audio(&whole), &d);
	hls_free(&h);
	hls_free(&whole);
}
END_TEST

Suite *suite_defects_odd(void)
{
	Suite *s = suite_create("defects_odd");
	TCase *t = tcase_create("defects_odd");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, length_prefixed_samples_are_not_taken_for_annex_b, 0, 3);
	tcase_add_loop_test(t, sample_aspect_ratio_is_kept, 0, 2);
	tcase_add_loop_test(t, rotation_is_kept, 0, 3);
	tcase_add_loop_test(t, colour_is_kept, 0, 2);
	tcase_add_test(t, hdr10_is_kept);
	tcase_add_loop_test(t, laced_frames_get_their_own_times, 0, 6);
	tcase_add_test(t, a_second_seek_head_leads_to_the_tracks);
	tcase_add_test(t, crc_elements_are_passed_over);
	tcase_add_test(t, junk_between_clusters_costs_nothing);
	tcase_add_test(t, damage_inside_a_cluster_costs_the_rest_of_that_cluster_only);
	suite_add_tcase(s, t);
	return s;
}
