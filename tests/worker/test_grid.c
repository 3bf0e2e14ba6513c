/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/grid.h"

#include "common/timeline.h"
#include "tests/suites.h"

#include <stdlib.h>

#define MS 1000000
#define HALF 500000
#define N 1000

static int64_t written[N], exact[N];

/* N frames from `start` on, written as rounded (or cut off) to a millisecond. */
static void write_times(int64_t start_ns, int64_t num, int64_t den, bool is_cut)
{
	for (int i = 0; i < N; i++) {
		exact[i] = start_ns + timeline_scale_round(i, den * NS_PER_SECOND, num);
		written[i] = (is_cut ? timeline_scale_floor(exact[i], 1, MS) : timeline_scale_round(exact[i], 1, MS)) * MS;
	}
}

static const struct rate {
	int64_t num, den, start_ns;
	bool is_cut;
} rates[] = {
	{ 24000, 1001, 0, false },	  { 30000, 1001, 0, false }, { 60000, 1001, 0, false },
	{ 24000, 1001, 83416667, false }, { 24, 1, 41666667, false }, { 24000, 1001, 0, true },
	{ 30, 1, -33333333, true },	  { 25, 1, 0, false },	     { 120, 1, 12345678, false },
};

START_TEST(every_frame_of_a_constant_rate_gets_its_exact_distance)
{
	const struct rate *r = &rates[_i];
	struct record_video v = { .rate_num = r->num, .rate_den = r->den, .grid_within_ns = HALF };

	write_times(r->start_ns, r->num, r->den, r->is_cut);
	ck_assert(grid_find(written, 66, r->num, r->den, HALF, &v.grid_ns));
	int64_t off = grid_snap(&v, written[0]) - exact[0];
	ck_assert_int_le(llabs(off), r->is_cut ? MS : HALF / 4);
	if (!r->start_ns && !r->is_cut)
		ck_assert_int_eq(off, 0);
	for (int i = 0; i < N; i++) {
		int64_t t = grid_snap(&v, written[i]);
		ck_assert_int_le(llabs(t - written[i]), HALF);
		ck_assert_int_le(llabs(t - exact[i] - off), 1);
	}
}
END_TEST

START_TEST(frames_off_the_grid_stay_where_they_are)
{
	struct record_video v = { .rate_num = 24000, .rate_den = 1001, .grid_within_ns = HALF };

	write_times(0, 24000, 1001, false);
	ck_assert(grid_find(written, 66, 24000, 1001, HALF, &v.grid_ns));
	ck_assert_int_eq(grid_snap(&v, 20 * MS), 20 * MS);
	v.grid_within_ns = 0;
	ck_assert_int_eq(grid_snap(&v, written[1]), 42 * MS);
}
END_TEST

START_TEST(where_the_rate_is_another_there_is_no_grid)
{
	int64_t base;

	write_times(0, 24000, 1001, false);
	ck_assert(!grid_find(written, 66, 25, 1, HALF, &base));
	ck_assert(!grid_find(written, 66, 1000000000, 42000000, HALF, &base));
	written[30] += 20 * MS;
	ck_assert(!grid_find(written, 66, 24000, 1001, HALF, &base));
	ck_assert(!grid_find(written, 0, 24000, 1001, HALF, &base));
	ck_assert(!grid_find(written, 66, 0, 0, HALF, &base));
	ck_assert(!grid_find(written, 66, 1000, 1, HALF, &base));
	ck_assert(!grid_find(written, 1, INT64_MAX, INT64_MAX, HALF, &base));
}
END_TEST

START_TEST(fine_timestamps_are_left_finer)
{
	ck_assert_int_eq(grid_within(1000000), 500000);
	ck_assert_int_eq(grid_within(100000), 50000);
	ck_assert_int_eq(grid_within(10000000), 500000);
	ck_assert_int_eq(grid_within(1), 0);
}
END_TEST

Suite *suite_grid(void)
{
	Suite *s = suite_create("grid");
	TCase *tc = tcase_create("grid");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_frame_of_a_constant_rate_gets_its_exact_distance, 0, (int)(sizeof rates / sizeof *rates));
	tcase_add_test(tc, frames_off_the_grid_stay_where_they_are);
	tcase_add_test(tc, where_the_rate_is_another_there_is_no_grid);
	tcase_add_test(tc, fine_timestamps_are_left_finer);
	suite_add_tcase(s, tc);
	return s;
}
