/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sample entries of copied sound, and what tells a picture's light: byte by byte, as the specifications have them.
 */
#include "worker/fmp4.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mp4_box.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define STSD "moov/trak/mdia/minf/stbl/stsd/"

static struct err err;
static struct buf out;

static void setup(void)
{
	out = (struct buf){ 0 };
}

static void teardown(void)
{
	buf_finish(&out);
	mem_release();
}

static int put_init(const struct fmp4_track *track)
{
	buf_reset(&out);
	return fmp4_put_init(&out, track, 1, 0, &err);
}

/* The whole sample entry, header included. */
static void assert_entry(const char *type, const char *digits)
{
	char path[64];
	struct bytes body;

	snprintf(path, sizeof path, STSD "%s", type);
	body = mp4_body(buf_bytes(&out), path, 0);
	mem_assert((struct bytes){ body.data - 8, body.size + 8 }, digits, type);
}

#define RESERVED "000000000000" "0001" "0000000000000000" /* data_reference_index 1 */

static const struct {
	enum fmp4_entry entry;
	uint32_t timescale;
	int channels, bits;
	const char *config, *type, *digits;
} sounds[] = {
	{ FMP4_AC3, 48000, 6, 0, "103de0", "ac-3",
	  "0000002f" "61632d33" RESERVED "0006" "0010" "00000000" "bb800000" "0000000b" "64616333" "103de0" },
	{ FMP4_EC3, 32000, 2, 0, "0c00200f00", "ec-3",
	  "00000031" "65632d33" RESERVED "0002" "0010" "00000000" "7d000000" "0000000d" "64656333" "0c00200f00" },
	{ FMP4_OPUS, 48000, 2, 0, "000201380000bb80000000", "Opus",
	  "00000037" "4f707573" RESERVED "0002" "0010" "00000000" "bb800000" "00000013" "644f7073" "000201380000bb80000000" },
	{ FMP4_FLAC, 44100, 1, 24, "80000022", "fLaC", /* a full box */
	  "00000034" "664c6143" RESERVED "0001" "0018" "00000000" "ac440000" "00000010" "64664c61" "00000000" "80000022" },
	/* rates over 16 bits: halves, or all that there is room for */
	{ FMP4_FLAC, 192000, 1, 16, "80000022", "fLaC",
	  "00000034" "664c6143" RESERVED "0001" "0010" "00000000" "bb800000" "00000010" "64664c61" "00000000" "80000022" },
	{ FMP4_FLAC, 99999, 1, 16, "80000022", "fLaC",
	  "00000034" "664c6143" RESERVED "0001" "0010" "00000000" "ffff0000" "00000010" "64664c61" "00000000" "80000022" },
	/* MP3 has no configuration: its object type tells all */
	{ FMP4_MP3, 48000, 2, 0, "", "mp4a",
	  "00000047" "6d703461" RESERVED "0002" "0010" "00000000" "bb800000" "00000023" "65736473" "00000000"
	  "0315" "0000" "00" "040d" "6b" "15" "000000" "00000000" "00000000" "060102" },
};

START_TEST(an_entry_of_sound_is_these_bytes)
{
	struct fmp4_track track = { .id = 2, .entry = sounds[_i].entry, .timescale = sounds[_i].timescale,
				    .channels = sounds[_i].channels, .sample_bits = sounds[_i].bits,
				    .config = mem_hex(sounds[_i].config) };

	ck_assert_msg(!put_init(&track), "%s", err.msg);
	assert_entry(sounds[_i].type, sounds[_i].digits);
	ck_assert(mp4_has(buf_bytes(&out), "moov/trak/mdia/minf/smhd"));
	ck_assert(!mp4_has(buf_bytes(&out), "moov/trak/mdia/minf/stbl/sgpd"));
}
END_TEST

START_TEST(only_mp3_goes_without_a_configuration)
{
	struct fmp4_track track = { .id = 1, .timescale = 48000, .channels = 2, .width = 8, .height = 8 };

	for (int entry = FMP4_AVC1; entry <= FMP4_FLAC; entry++) {
		track.entry = (enum fmp4_entry)entry;
		ck_assert_int_eq(put_init(&track), entry == FMP4_MP3 ? 0 : ERR_LIMIT);
	}
}
END_TEST

/* ISO/IEC 14496-12 section 8.9: -4 in sgpd, all samples of a run in its first group. */
START_TEST(the_roll_distance_is_described_once_and_each_fragment_refers_to_it)
{
	struct fmp4_track track = { .id = 2, .entry = FMP4_OPUS, .timescale = 48000, .channels = 2, .roll = -4,
				    .edit_media_time = 312, .config = mem_hex("000201380000bb80000000") };
	const struct fmp4_sample samples[] = { { mem_hex("fc"), 960, 0, true }, { mem_hex("fc"), 960, 0, true } };
	const struct fmp4_run run = { .track_id = 2, .samples = samples, .n_samples = 2, .has_roll = true };
	int64_t bytes;

	ck_assert_int_eq(put_init(&track), 0);
	mem_assert(mp4_body(buf_bytes(&out), "moov/trak/mdia/minf/stbl/sgpd", 0),
		   "01000000" "726f6c6c" "00000002" "00000001" "fffc", "sgpd");
	mem_assert(mp4_body(buf_bytes(&out), "moov/trak/edts/elst", 0),
		   "00000000" "00000001" "00000000" "00000138" "00010000", "elst");
	buf_reset(&out);
	ck_assert_int_eq(fmp4_put_moof(&out, 1, &run, 1, &bytes, &err), 0);
	out.size -= 8;
	mem_assert(mp4_body(buf_bytes(&out), "moof/traf/sbgp", 0), "00000000" "726f6c6c" "00000001" "00000002" "00000001", "sbgp");
}
END_TEST

START_TEST(boxes_that_are_carried_over_follow_colour_and_aspect)
{
	struct fmp4_track track = { .id = 1, .entry = FMP4_HVC1, .timescale = 90000, .config = mem_hex("01"), .width = 64,
				    .height = 32, .has_colour = true, .primaries = 9, .transfer = 16, .matrix = 9,
				    .par_num = 4, .par_den = 3, .n_boxes = 3,
				    .boxes = { { "mdcv", mem_hex("33c286c41d4c0bb884d03e803d1340420098968000000001") },
					       { "clli", mem_hex("03e80190") },
					       { "dvvC", mem_hex("0100110d10") } } };

	ck_assert_int_eq(put_init(&track), 0);
	assert_entry("hvc1",
		     "000000bb" "68766331" "000000000000" "0001" "00000000000000000000000000000000" "0040" "0020"
		     "00480000" "00480000" "00000000" "0001"
		     "0000000000000000000000000000000000000000000000000000000000000000" "0018" "ffff"
		     "00000009" "68766343" "01"
		     "00000013" "636f6c72" "6e636c78" "0009" "0010" "0009" "00"
		     "00000010" "70617370" "00000004" "00000003"
		     "00000020" "6d646376" "33c286c4" "1d4c0bb8" "84d03e80" "3d134042" "00989680" "00000001"
		     "0000000c" "636c6c69" "03e8" "0190"
		     "0000000d" "64767643" "0100110d10");
	track.boxes[2].body.size = (1 << 20) + 1; /* not looked at */
	ck_assert_int_eq(put_init(&track), ERR_LIMIT);
}
END_TEST

START_TEST(dolby_vision_without_a_base_layer_is_dvh1)
{
	struct fmp4_track track = { .id = 1, .entry = FMP4_DVH1, .timescale = 90000, .config = mem_hex("0102"), .width = 64,
				    .height = 32, .n_boxes = 1, .boxes = { { "dvcC", mem_hex("01000a3500") } } };

	ck_assert_int_eq(put_init(&track), 0);
	mem_assert(mp4_body(buf_bytes(&out), STSD "dvh1/hvcC", 0), "0102", "hvcC");
	mem_assert(mp4_body(buf_bytes(&out), STSD "dvh1/dvcC", 0), "01000a3500", "dvcC");
	ck_assert(mp4_has(buf_bytes(&out), "moov/trak/mdia/minf/vmhd"));
}
END_TEST

Suite *suite_fmp4_entry(void)
{
	Suite *suite = suite_create("worker/fmp4_entry");
	TCase *t = tcase_create("entry");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, an_entry_of_sound_is_these_bytes, 0, (int)LENGTH(sounds));
	tcase_add_test(t, only_mp3_goes_without_a_configuration);
	tcase_add_test(t, the_roll_distance_is_described_once_and_each_fragment_refers_to_it);
	tcase_add_test(t, boxes_that_are_carried_over_follow_colour_and_aspect);
	tcase_add_test(t, dolby_vision_without_a_base_layer_is_dvh1);
	suite_add_tcase(suite, t);
	return suite;
}
