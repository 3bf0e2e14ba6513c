/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a Matroska file says of its tracks.
 */
#include "tests/suites.h"
#include "tests/worker/mkv_it.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <string.h>

START_TEST(a_roll_becomes_a_clockwise_rotation)
{
	static const struct {
		double roll;
		int rotation;
	} cases[] = { { 0, 0 },      { -90, 90 }, { 90, 270 }, { 180, 180 }, { -180, 180 }, { 270, 90 },
		      { -270, 270 }, { 360, 0 },  { 450, 0 },  { 45, 0 },    { 1e300, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&it.file);
		size_t marks = mkv_begin_one_track(&it.file), v = mkv_begin_master(&it.file, 0xE0);
		size_t p = mkv_begin_master(&it.file, 0x7670);
		mkv_put_float(&it.file, 0x7675, cases[i].roll);
		mkv_end_master(&it.file, p);
		mkv_end_master(&it.file, v);
		mkv_end_one_track(&it.file, marks);
		it_load();
		ck_assert_int_eq(it.mkv.tracks[0].rotation, cases[i].rotation);
		mkv_close(&it.mkv);
	}
}
END_TEST

START_TEST(colour_is_read)
{
	size_t marks = mkv_begin_one_track(&it.file), v = mkv_begin_master(&it.file, 0xE0);
	size_t c = mkv_begin_master(&it.file, 0x55B0);
	mkv_put_uint(&it.file, 0x55B1, 9);
	mkv_put_uint(&it.file, 0x55BA, 16);
	mkv_put_uint(&it.file, 0x55B9, 1);
	mkv_end_master(&it.file, c);
	mkv_end_master(&it.file, v);
	mkv_end_one_track(&it.file, marks);
	it_load();
	const struct track_colour *colour = &it.mkv.tracks[0].colour;
	ck_assert(colour->is_present);
	ck_assert_int_eq(colour->matrix, 9);
	ck_assert_int_eq(colour->transfer, 16);
	ck_assert_int_eq(colour->primaries, 2);
	ck_assert_int_eq(colour->range, 1);
}
END_TEST

START_TEST(the_light_of_the_mastering_display_is_read)
{
	size_t marks = mkv_begin_one_track(&it.file), v = mkv_begin_master(&it.file, 0xE0);
	size_t c = mkv_begin_master(&it.file, 0x55B0), m;
	const struct track_colour *colour;

	mkv_put_uint(&it.file, 0x55BC, 1000);
	mkv_put_uint(&it.file, 0x55BD, 400);
	m = mkv_begin_master(&it.file, 0x55D0);
	for (int i = 0; i < 10; i++)
		mkv_put_float(&it.file, 0x55D1 + (uint32_t)i, i + 0.5);
	mkv_end_master(&it.file, m);
	mkv_end_master(&it.file, c);
	mkv_end_master(&it.file, v);
	mkv_end_one_track(&it.file, marks);
	it_load();
	colour = &it.mkv.tracks[0].colour;
	ck_assert(!colour->is_present);
	ck_assert_int_eq(colour->max_cll, 1000);
	ck_assert_int_eq(colour->max_fall, 400);
	for (int i = 0; i < 8; i++)
		ck_assert(colour->chromaticity[i / 2][i % 2] == i + 0.5);
	ck_assert(colour->luminance_max == 8.5 && colour->luminance_min == 9.5);
}
END_TEST

START_TEST(light_that_is_not_given_is_below_zero)
{
	size_t marks = mkv_begin_one_track(&it.file);
	const struct track_colour *colour;

	mkv_end_one_track(&it.file, marks);
	it_load();
	colour = &it.mkv.tracks[0].colour;
	ck_assert(colour->max_cll == -1 && colour->max_fall == -1 && colour->luminance_max < 0 && colour->luminance_min < 0);
	for (int i = 0; i < 8; i++)
		ck_assert(colour->chromaticity[i / 2][i % 2] < 0);
}
END_TEST

static void put_mapping(uint32_t type, const char *data)
{
	size_t m = mkv_begin_master(&it.file, ID_BLOCK_ADDITION_MAPPING);

	mkv_put_uint(&it.file, 0x41F0, 1);
	mkv_put_uint(&it.file, 0x41E7, type);
	mkv_put_binary(&it.file, 0x41ED, data, strlen(data));
	mkv_end_master(&it.file, m);
}

/* HDR10+ (4) and time codes (121) are mapped as well; of configurations there may be four. */
START_TEST(configurations_mapped_to_block_additions_are_read)
{
	static const uint32_t types[] = { 0x64766343, 0x68766345, 0x64767643, 0x64767743 };
	size_t marks = mkv_begin_one_track(&it.file);
	const struct track *t;

	put_mapping(4, "not a box");
	for (int i = 0; i < 4; i++)
		put_mapping(types[i], i & 1 ? "two" : "one");
	put_mapping(types[0], "a fifth");
	mkv_end_one_track(&it.file, marks);
	it_load();
	t = &it.mkv.tracks[0];
	ck_assert_int_eq(t->n_mappings, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(t->mappings[i].type, types[i]);
		ck_assert_uint_eq(t->mappings[i].data.size, 3);
		ck_assert_mem_eq(t->mappings[i].data.data, i & 1 ? "two" : "one", 3);
	}
}
END_TEST

START_TEST(too_many_tracks_and_too_large_values_are_over_a_limit)
{
	size_t marks = mkv_begin_one_track(&it.file), v = mkv_begin_master(&it.file, 0xE0);
	mkv_put_uint(&it.file, 0xB0, LIMIT_PIXELS + 1);
	mkv_end_master(&it.file, v);
	mkv_end_one_track(&it.file, marks);
	ck_assert_int_eq(it_try_open(), ERR_LIMIT);

	buf_reset(&it.file);
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t m = mkv_begin_master(&it.file, ID_TRACKS);
	for (unsigned i = 1; i <= TRACKS_MAX + 1; i++) {
		size_t e = mkv_begin_master(&it.file, ID_TRACK_ENTRY);
		mkv_put_uint(&it.file, 0xD7, i);
		mkv_end_master(&it.file, e);
	}
	mkv_end_master(&it.file, m);
	ck_assert_int_eq(it_try_open(), ERR_LIMIT);
}
END_TEST

Suite *suite_mkv_track(void)
{
	Suite *s = suite_create("mkv_track");
	TCase *tc = tcase_create("mkv_track");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_setup, it_teardown);
	tcase_add_test(tc, a_roll_becomes_a_clockwise_rotation);
	tcase_add_test(tc, colour_is_read);
	tcase_add_test(tc, the_light_of_the_mastering_display_is_read);
	tcase_add_test(tc, light_that_is_not_given_is_below_zero);
	tcase_add_test(tc, configurations_mapped_to_block_additions_are_read);
	tcase_add_test(tc, too_many_tracks_and_too_large_values_are_over_a_limit);
	suite_add_tcase(s, tc);
	return s;
}
