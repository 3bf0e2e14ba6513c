/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Init segments, read back by the reader of mp4_box.c, and a small one is compared byte by byte.
 */
#include "worker/fmp4.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mp4_box.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define HOURS_24 (INT64_C(24) * 3600 * 90000)

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

static bool has(const char *path)
{
	return mp4_has(buf_bytes(&out), path);
}

static struct bytes body(const char *path, int nth)
{
	return mp4_body(buf_bytes(&out), path, nth);
}

static struct fmp4_track video_track(void)
{
	return (struct fmp4_track){
		.id = 1,
		.entry = FMP4_AVC1,
		.timescale = 90000,
		.language = "und",
		.config = mem_hex("0164001effe0"),
		.width = 720,
		.height = 576,
	};
}

static struct fmp4_track audio_track(void)
{
	return (struct fmp4_track){
		.id = 2,
		.entry = FMP4_MP4A,
		.timescale = 48000,
		.language = "fra",
		.config = mem_hex("1190"),
		.channels = 2,
	};
}

static int put_init(const struct fmp4_track *track, int64_t duration)
{
	buf_reset(&out);
	return fmp4_put_init(&out, track, 1, duration, &err);
}

#define TRAK(head, entry) \
	"trak(tkhd mdia(mdhd hdlr minf(" head " dinf(dref(url )) stbl(stsd(" entry ") stts stsc stsz stco))))"

START_TEST(an_init_of_video_and_audio_has_every_box_in_its_place)
{
	struct fmp4_track tracks[] = { video_track(), audio_track() };
	struct bytes mvhd;

	ck_assert_int_eq(fmp4_put_init(&out, tracks, 2, 900000, &err), 0);
	mp4_assert_names(buf_bytes(&out), "ftyp moov(mvhd " TRAK("vmhd", "avc1(avcC)") " " TRAK(
				       "smhd", "mp4a(esds)") " mvex(mehd trex trex))");
	mem_assert(body("moov/trak/mdia/minf/stbl/stsd/avc1/avcC", 0), "0164001effe0", "avcC");
	mem_assert(body("moov/trak/mdia/hdlr", 0),
		   "0000000000000000"
		   "76696465"
		   "000000000000000000000000"
		   "766964656f00",
		   "hdlr");
	mem_assert(body("moov/trak/mdia/hdlr", 1),
		   "0000000000000000"
		   "736f756e"
		   "000000000000000000000000"
		   "617564696f00",
		   "hdlr");
	mvhd = body("moov/mvhd", 0);
	ck_assert_uint_eq(mvhd.size, 100);
	ck_assert_uint_eq(get_u32(mvhd.data + 12), 90000);
	ck_assert_uint_eq(get_u32(mvhd.data + 96), 3);
	mem_assert(body("moov/mvex/trex", 0), "00000000" "00000001" "00000001" "00000000" "00000000" "01010000", "trex");
	mem_assert(body("moov/mvex/trex", 1), "00000000" "00000002" "00000001" "00000000" "00000000" "02000000", "trex");
}
END_TEST

START_TEST(the_next_track_id_is_free_whatever_ids_there_are)
{
	struct fmp4_track track = audio_track();

	ck_assert_int_eq(put_init(&track, 0), 0);
	ck_assert_uint_eq(get_u32(body("moov/mvhd", 0).data + 96), 3);
}
END_TEST

START_TEST(only_a_file_of_one_track_claims_to_be_cmaf)
{
	struct fmp4_track tracks[] = { video_track(), audio_track() };

	ck_assert_int_eq(fmp4_put_init(&out, tracks, 2, 0, &err), 0);
	mem_assert(body("ftyp", 0), "69736f36" "00000000" "69736f36" "6d703431", "iso6 mp41");
	ck_assert_int_eq(put_init(tracks, 0), 0);
	mem_assert(body("ftyp", 0), "69736f36" "00000000" "69736f36" "636d6663" "636d6632" "6d703431", "iso6 cmfc cmf2 mp41");
	tracks[0].edit_media_time = 3750; /* cmf2 has no edit list for composition offsets */
	ck_assert_int_eq(put_init(tracks, 0), 0);
	mem_assert(body("ftyp", 0), "69736f36" "00000000" "69736f36" "636d6663" "6d703431", "iso6 cmfc mp41");
}
END_TEST

START_TEST(an_edit_list_takes_off_the_reorder_delay)
{
	struct fmp4_track track = video_track();

	ck_assert_int_eq(put_init(&track, 0), 0);
	ck_assert(!has("moov/trak/edts"));
	track.edit_media_time = 7508;
	ck_assert_int_eq(put_init(&track, 0), 0);
	mem_assert(body("moov/trak/edts/elst", 0), "00000000" "00000001" "00000000" "00001d54" "00010000", "elst");
	track.edit_media_time = INT64_C(0x80000000);
	ck_assert_int_eq(put_init(&track, 0), 0);
	mem_assert(body("moov/trak/edts/elst", 0),
		   "01000000"
		   "00000001"
		   "0000000000000000"
		   "0000000080000000"
		   "00010000",
		   "elst");
}
END_TEST

static const struct {
	uint32_t num, den;
	bool is_known, has_pasp;
	uint32_t display_width; /* 16.16 */
} shapes[] = {
	{ 0, 0, false, false, 720u << 16 },        { 1, 1, false, false, 720u << 16 },
	{ 1, 1, true, true, 720u << 16 },          { 16, 11, true, true, 0x041745d1 },
	{ 3, 4, false, true, 540u << 16 }, { 50, 1, true, true, 720u << 16 },         { 0, 1, true, false, 720u << 16 },
	{ 1, 0, true, false, 720u << 16 },         { UINT32_MAX, 1, true, true, 720u << 16 },
	{ 1, UINT32_MAX, true, true, 720u << 16 },
};

START_TEST(the_pixel_aspect_ratio_is_in_pasp_and_in_the_displayed_width)
{
	struct fmp4_track track = video_track();
	struct bytes tkhd;

	track.par_num = shapes[_i].num;
	track.par_den = shapes[_i].den;
	track.is_par_known = shapes[_i].is_known;
	ck_assert_int_eq(put_init(&track, 0), 0);
	ck_assert(has("moov/trak/mdia/minf/stbl/stsd/avc1/pasp") == shapes[_i].has_pasp);
	if (shapes[_i].has_pasp) {
		struct bytes pasp = body("moov/trak/mdia/minf/stbl/stsd/avc1/pasp", 0);

		ck_assert_uint_eq(pasp.size, 8);
		ck_assert(get_u32(pasp.data) == shapes[_i].num && get_u32(pasp.data + 4) == shapes[_i].den);
	}
	tkhd = body("moov/trak/tkhd", 0);
	ck_assert_uint_eq(tkhd.size, 84);
	ck_assert_uint_eq(get_u32(tkhd.data + 76), shapes[_i].display_width);
	ck_assert_uint_eq(get_u32(tkhd.data + 80), 576u << 16);
}
END_TEST

START_TEST(colours_are_in_nclx)
{
	struct fmp4_track track = video_track();

	ck_assert_int_eq(put_init(&track, 0), 0);
	ck_assert(!has("moov/trak/mdia/minf/stbl/stsd/avc1/colr"));
	track.has_colour = true;
	track.primaries = 9;
	track.transfer = 16;
	ck_assert_int_eq(put_init(&track, 0), 0);
	mem_assert(body("moov/trak/mdia/minf/stbl/stsd/avc1/colr", 0),
		   "6e636c78"
		   "0009"
		   "0010"
		   "0000"
		   "00",
		   "HDR10, RGB matrix");
	track.entry = FMP4_HVC1;
	track.is_full_range = true;
	track.primaries = track.transfer = 0;
	track.matrix = -1;
	ck_assert_int_eq(put_init(&track, 0), 0);
	mem_assert(body("moov/trak/mdia/minf/stbl/stsd/hvc1/colr", 0),
		   "6e636c78"
		   "0002"
		   "0002"
		   "0002"
		   "80",
		   "unknown, full range");
	ck_assert(has("moov/trak/mdia/minf/stbl/stsd/hvc1/hvcC"));
}
END_TEST

/* A corner of the picture through the matrix of tkhd (ISO/IEC 14496-12 section 6.2.2), in samples. */
static void turn_corner(const uint8_t *m, int x, int y, int *to_x, int *to_y)
{
	int32_t v[9];

	for (int i = 0; i < 9; i++)
		v[i] = (int32_t)get_u32(m + 4 * i);
	ck_assert(!v[2] && !v[5] && v[8] == 0x40000000);
	*to_x = (v[0] * x + v[3] * y + v[6]) / 65536;
	*to_y = (v[1] * x + v[4] * y + v[7]) / 65536;
}

/* Where the upper left corner and the upper right one come to lie: turned clockwise. */
static const struct {
	int rotation, left[2], right[2];
} turns[] = {
	{ 0, { 0, 0 }, { 720, 0 } },
	{ 90, { 576, 0 }, { 576, 720 } },
	{ 180, { 720, 576 }, { 0, 576 } },
	{ 270, { 0, 720 }, { 0, 0 } },
};

START_TEST(a_turned_picture_stays_in_the_first_quadrant)
{
	struct fmp4_track track = video_track();
	const uint8_t *m;
	int x, y;

	track.rotation = turns[_i].rotation;
	ck_assert_int_eq(put_init(&track, 0), 0);
	m = body("moov/trak/tkhd", 0).data + 40;
	turn_corner(m, 0, 0, &x, &y);
	ck_assert(x == turns[_i].left[0] && y == turns[_i].left[1]);
	turn_corner(m, 720, 0, &x, &y);
	ck_assert(x == turns[_i].right[0] && y == turns[_i].right[1]);
	ck_assert_uint_eq(get_u32(m + 36), 720u << 16);
}
END_TEST

START_TEST(languages_are_packed_and_nonsense_is_und)
{
	static const struct {
		const char language[4];
		uint16_t packed;
	} rows[] = {
		{ "und", 0x55c4 }, { "fra", 0x1a41 }, { "eng", 0x15c7 }, { "zzz", 0x6b5a },       { "", 0x55c4 },
		{ "en", 0x55c4 },  { "ENG", 0x55c4 }, { "e~g", 0x55c4 }, { "\xc3\xa9g", 0x55c4 },
	};
	struct fmp4_track track = audio_track();

	for (size_t i = 0; i < LENGTH(rows); i++) {
		memcpy(track.language, rows[i].language, 4);
		ck_assert_int_eq(put_init(&track, 0), 0);
		ck_assert_uint_eq(body("moov/trak/mdia/mdhd", 0).size, 24);
		ck_assert_uint_eq(get_u16(body("moov/trak/mdia/mdhd", 0).data + 20), rows[i].packed);
	}
}
END_TEST

START_TEST(a_duration_over_24_hours_or_unknown_is_not_written)
{
	static const int64_t unknown[] = { 0, -1, HOURS_24 + 1, INT64_MAX, INT64_MIN };
	struct fmp4_track track = video_track();

	for (size_t i = 0; i < LENGTH(unknown); i++) {
		ck_assert_int_eq(put_init(&track, unknown[i]), 0);
		ck_assert(!has("moov/mvex/mehd"));
	}
	ck_assert_int_eq(put_init(&track, HOURS_24), 0);
	mem_assert(body("moov/mvex/mehd", 0), "01000000" "00000001cf7c5800", "mehd");
	ck_assert_uint_eq(get_u32(body("moov/mvhd", 0).data + 16), 0);
	ck_assert_uint_eq(get_u32(body("moov/trak/tkhd", 0).data + 20), 0);
	ck_assert_uint_eq(get_u32(body("moov/trak/mdia/mdhd", 0).data + 16), 0);
}
END_TEST

START_TEST(an_audio_entry_has_its_rate_channels_and_descriptors)
{
	struct fmp4_track track = audio_track();

	track.channels = 6;
	track.bitrate = 192000;
	ck_assert_int_eq(put_init(&track, 0), 0);
	mem_assert((struct bytes){ body("moov/trak/mdia/minf/stbl/stsd/mp4a", 0).data, 28 },
		     "000000000000" "0001" "0000000000000000" "0006" "0010" "00000000" "bb800000", "mp4a");
	mem_assert(body("moov/trak/mdia/minf/stbl/stsd/mp4a/esds", 0),
		   "00000000"
		   "0319"
		   "000000"
		   "0411"
		   "4015"
		   "000000"
		   "0002ee00"
		   "0002ee00"
		   "0502"
		   "1190"
		   "060102",
		   "esds");
	track.timescale = 96000;
	ck_assert_int_eq(put_init(&track, 0), 0);
	ck_assert_uint_eq(get_u32(body("moov/trak/mdia/minf/stbl/stsd/mp4a", 0).data + 24), 0); /* 16 bits do not hold it */
	ck_assert_uint_eq(get_u32(body("moov/trak/mdia/mdhd", 0).data + 12), 96000);
}
END_TEST

/* Tag and size of a descriptor at *p, which is moved to its body. */
static size_t read_descriptor(const uint8_t **p, int tag)
{
	size_t size = 0;

	ck_assert_int_eq(*(*p)++, tag);
	do
		size = size << 7 | (**p & 0x7f);
	while (*(*p)++ & 0x80);
	return size;
}

START_TEST(long_audio_configurations_get_longer_descriptor_sizes)
{
	static const size_t sizes[] = { 2, 90, 104, 105, 111, 112, 127, 128, 1000, 16383, 16384, 20000 };
	uint8_t *config = calloc(1, 20000);

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		struct fmp4_track track = audio_track();
		struct bytes esds;
		const uint8_t *p;

		track.config = (struct bytes){ config, sizes[i] };
		ck_assert_int_eq(put_init(&track, 0), 0);
		esds = body("moov/trak/mdia/minf/stbl/stsd/mp4a/esds", 0);
		p = esds.data + 4;
		ck_assert_uint_eq(read_descriptor(&p, 3), (size_t)(esds.data + esds.size - p));
		p += 3;
		ck_assert_uint_eq(read_descriptor(&p, 4), (size_t)(esds.data + esds.size - p) - 3);
		p += 13;
		ck_assert_uint_eq(read_descriptor(&p, 5), sizes[i]);
		p += sizes[i];
		ck_assert_uint_eq(read_descriptor(&p, 6), 1);
		ck_assert_ptr_eq(p + 1, esds.data + esds.size);
	}
	free(config);
}
END_TEST

START_TEST(what_no_sample_entry_takes_is_refused)
{
	static const int sizes[][2] = { { 0, 576 }, { 720, 0 }, { 32768, 576 }, { 720, 32768 }, { -1, 576 } };
	struct fmp4_track track = video_track();

	for (size_t i = 0; i < LENGTH(sizes); i++) {
		track.width = sizes[i][0];
		track.height = sizes[i][1];
		ck_assert_int_eq(put_init(&track, 0), ERR_LIMIT);
	}
	track = video_track();
	track.config.size = 0;
	ck_assert_int_eq(put_init(&track, 0), ERR_LIMIT);
	track.config.size = (1 << 20) + 1; /* not looked at */
	ck_assert_int_eq(put_init(&track, 0), ERR_LIMIT);
}
END_TEST

START_TEST(a_buffer_that_is_full_anywhere_fails_the_init)
{
	struct fmp4_track tracks[] = { video_track(), audio_track() };
	size_t size;

	tracks[0].edit_media_time = 1;
	tracks[0].has_colour = true;
	ck_assert_int_eq(fmp4_put_init(&out, tracks, 2, 900000, &err), 0);
	size = out.size;
	for (size_t limit = 1; limit <= size; limit++) {
		buf_reset(&out);
		out.limit = limit;
		ck_assert_int_eq(fmp4_put_init(&out, tracks, 2, 900000, &err), limit < size ? ERR_NOMEM : 0);
		ck_assert(buf_failed(&out) == (limit < size));
	}
}
END_TEST

/* One H.264 track of 720x576, an edit list of 3600, 10 s. */
#define GOLDEN_INIT \
	"0000001c" "66747970" "69736f36" "00000000" "69736f36" "636d6663" "6d703431"                            /* ftyp */ \
	"00000286" "6d6f6f76"                                                                                   /* moov */ \
	"0000006c" "6d766864" "00000000" "00000000" "00000000" "00015f90" "00000000" "00010000" "0100" "0000"   /* mvhd */ \
	"0000000000000000" "00010000" "00000000" "00000000" "00000000" "00010000" "00000000" "00000000" "00000000" "40000000" \
	"000000000000000000000000000000000000000000000000" "00000002" \
	"000001d6" "7472616b"                                                                                   /* trak */ \
	"0000005c" "746b6864" "00000003" "00000000" "00000000" "00000001" "00000000" "00000000"                 /* tkhd */ \
	"0000000000000000" "0000" "0000" "0000" "0000" \
	"00010000" "00000000" "00000000" "00000000" "00010000" "00000000" "00000000" "00000000" "40000000" "02d00000" "02400000" \
	"00000024" "65647473"                                                                                   /* edts */ \
	"0000001c" "656c7374" "00000000" "00000001" "00000000" "00000e10" "00010000"                            /* elst */ \
	"0000014e" "6d646961"                                                                                   /* mdia */ \
	"00000020" "6d646864" "00000000" "00000000" "00000000" "00015f90" "00000000" "55c4" "0000"              /* mdhd */ \
	"00000026" "68646c72" "00000000" "00000000" "76696465" "000000000000000000000000" "766964656f00"        /* hdlr */ \
	"00000100" "6d696e66"                                                                                   /* minf */ \
	"00000014" "766d6864" "00000001" "0000000000000000"                                                     /* vmhd */ \
	"00000024" "64696e66" "0000001c" "64726566" "00000000" "00000001" "0000000c" "75726c20" "00000001"      /* dinf */ \
	"000000c0" "7374626c"                                                                                   /* stbl */ \
	"00000074" "73747364" "00000000" "00000001"                                                             /* stsd */ \
	"00000064" "61766331" "000000000000" "0001" "00000000000000000000000000000000" "02d0" "0240"            /* avc1 */ \
	"00480000" "00480000" "00000000" "0001" \
	"0000000000000000000000000000000000000000000000000000000000000000" "0018" "ffff" \
	"0000000e" "61766343" "0164001effe0"                                                                    /* avcC */ \
	"00000010" "73747473" "00000000" "00000000"                                                             /* stts */ \
	"00000010" "73747363" "00000000" "00000000"                                                             /* stsc */ \
	"00000014" "7374737a" "00000000" "00000000" "00000000"                                                  /* stsz */ \
	"00000010" "7374636f" "00000000" "00000000"                                                             /* stco */ \
	"0000003c" "6d766578"                                                                                   /* mvex */ \
	"00000014" "6d656864" "01000000" "00000000000dbba0"                                                     /* mehd */ \
	"00000020" "74726578" "00000000" "00000001" "00000001" "00000000" "00000000" "01010000"                 /* trex */

START_TEST(a_small_init_is_these_bytes)
{
	struct fmp4_track track = video_track();

	track.edit_media_time = 3600;
	ck_assert_int_eq(put_init(&track, 900000), 0);
	mem_assert(buf_bytes(&out), GOLDEN_INIT, "init");
}
END_TEST

Suite *suite_fmp4(void)
{
	Suite *suite = suite_create("worker/fmp4");
	TCase *t = tcase_create("fmp4");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_init_of_video_and_audio_has_every_box_in_its_place);
	tcase_add_test(t, the_next_track_id_is_free_whatever_ids_there_are);
	tcase_add_test(t, only_a_file_of_one_track_claims_to_be_cmaf);
	tcase_add_test(t, an_edit_list_takes_off_the_reorder_delay);
	tcase_add_loop_test(t, the_pixel_aspect_ratio_is_in_pasp_and_in_the_displayed_width, 0, (int)LENGTH(shapes));
	tcase_add_test(t, colours_are_in_nclx);
	tcase_add_loop_test(t, a_turned_picture_stays_in_the_first_quadrant, 0, (int)LENGTH(turns));
	tcase_add_test(t, languages_are_packed_and_nonsense_is_und);
	tcase_add_test(t, a_duration_over_24_hours_or_unknown_is_not_written);
	tcase_add_test(t, an_audio_entry_has_its_rate_channels_and_descriptors);
	tcase_add_test(t, long_audio_configurations_get_longer_descriptor_sizes);
	tcase_add_test(t, what_no_sample_entry_takes_is_refused);
	tcase_add_test(t, a_buffer_that_is_full_anywhere_fails_the_init);
	tcase_add_test(t, a_small_init_is_these_bytes);
	suite_add_tcase(suite, t);
	return suite;
}
