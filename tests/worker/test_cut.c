/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/suites.h"
#include "worker/cut.h"

#include <stdlib.h>

struct row {
	const char *what;
	int64_t pts[10];
	size_t n;
	int64_t start, end, delay;
	int64_t dts[11]; /* expected */
};

static const struct row rows[] = {
	{ "no reordering", { 0, 3750, 7500 }, 3, 0, 11250, 0, { 0, 3750, 7500, 11250 } },
	{ "B-frames take the smallest times in order", { 0, 9, 3, 6 }, 4, 0, 12, 3, { 0, 3, 6, 9, 12 } },
	{ "a pyramid", { 0, 12, 6, 3, 9 }, 5, 0, 15, 6, { 0, 3, 6, 9, 12, 15 } },
	{ "an open GOP starts at its first leading picture", { 106, 100, 103, 112, 109 }, 5, 100, 115, 6, { 100, 103, 106, 109, 112, 115 } },
	{ "variable rate", { 0, 400, 100, 101 }, 4, 0, 500, 400, { 0, 100, 101, 400, 500 } },
	{ "a long hole with a short delay: never later than pts + delay", { 0, 400, 100, 101 }, 4, 0, 500, 3, { 0, 100, 101, 104, 500 } },
	{ "equal times are spread by a tick", { 0, 5, 5, 5 }, 4, 0, 20, 2, { 0, 3, 4, 5, 20 } },
	{ "times before the start and behind the end are brought in", { 50, 10, 990 }, 3, 40, 100, 60, { 40, 50, 99, 100 } },
};

START_TEST(decode_times_follow_the_table)
{
	const struct row *r = &rows[_i];
	int64_t dts[11];
	struct err err;

	ck_assert_msg(!cut_decode_times(r->pts, r->n, r->start, r->end, r->delay, dts, &err), "%s", r->what);
	for (size_t i = 0; i <= r->n; i++)
		ck_assert_msg(dts[i] == r->dts[i], "%s: dts[%zu] is %lld, not %lld", r->what, i, (long long)dts[i], (long long)r->dts[i]);
}
END_TEST

START_TEST(random_times_rise_strictly_and_fill_the_segment)
{
	int64_t pts[64], dts[65];
	struct err err;

	srand(7);
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + (size_t)rand() % 64;
		int64_t start = rand() % 1000, end = start + (int64_t)n + rand() % 5000, delay = rand() % 300;

		for (size_t i = 0; i < n; i++)
			pts[i] = start - 50 + rand() % (end - start + 100);
		ck_assert_int_eq(cut_decode_times(pts, n, start, end, delay, dts, &err), 0);
		ck_assert_int_eq(dts[0], start);
		ck_assert_int_eq(dts[n], end);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_lt(dts[i], dts[i + 1]);
	}
}
END_TEST

START_TEST(the_delay_makes_every_offset_non_negative_and_is_the_least)
{
	static const int64_t pts[] = { 0, 12, 6, 3, 9 };
	int64_t sorted[5], dts[6], least = INT64_MAX;
	int64_t delay = cut_delay(pts, 5, sorted);
	struct err err;

	ck_assert_int_eq(delay, 6);
	ck_assert_int_eq(cut_decode_times(pts, 5, 0, 15, delay, dts, &err), 0);
	for (int i = 0; i < 5; i++)
		if (pts[i] + delay - dts[i] < least)
			least = pts[i] + delay - dts[i];
	ck_assert_int_eq(least, 0);
}
END_TEST

START_TEST(more_frames_than_ticks_are_refused)
{
	static const int64_t pts[] = { 0, 1, 2 };
	int64_t dts[4];
	struct err err;

	ck_assert_int_eq(cut_decode_times(pts, 3, 0, 2, 0, dts, &err), ERR_DATA);
	ck_assert_int_eq(cut_decode_times(pts, 0, 0, 2, 0, dts, &err), ERR_DATA);
}
END_TEST

START_TEST(fragments_are_two_seconds_long)
{
	int64_t times[100];

	for (int i = 0; i < 100; i++)
		times[i] = i * 3600;
	ck_assert_uint_eq(cut_fragment(times, 100, 0), 50);
	ck_assert_uint_eq(cut_fragment(times, 100, 50), 100);
	ck_assert_uint_eq(cut_fragment(times, 100, 99), 100);
}
END_TEST

/* Times in decode order of a stream with `reorder`, each frame `step` long: groups of P and then B-frames. */
static size_t make_times(int reorder, int64_t step, int64_t *pts, size_t n)
{
	size_t group = (size_t)reorder + 1, i = 0;

	for (int64_t at = 0; i + group <= n; at += (int64_t)group) {
		pts[i++] = (at + reorder) * step;
		for (int64_t k = 0; k < reorder; k++)
			pts[i++] = (at + k) * step;
	}
	return i;
}

static size_t decode_times(const int64_t *pts, size_t n, struct cut_order *o, int64_t *dts)
{
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		cut_order_push(o, pts[i]);
		while (cut_order_take(o, i + 1 == n, &dts[taken]))
			taken++;
	}
	return taken;
}

START_TEST(ordered_times_are_those_of_the_whole)
{
	int64_t pts[200], dts[200], planned[201];
	struct cut_order o;
	struct err err;

	for (int reorder = 0; reorder <= CUT_REORDER_MAX; reorder++) {
		size_t n = make_times(reorder, 3750, pts, 200);
		int64_t delay = cut_delay_ahead(pts, n, reorder, 3750);

		ck_assert_int_eq(delay, reorder * 3750);
		cut_order_init(&o, reorder, delay, 0);
		ck_assert_uint_eq(decode_times(pts, n, &o, dts), n);
		ck_assert_int_eq(cut_decode_times(pts, n, 0, (int64_t)n * 3750, delay, planned, &err), 0);
		for (size_t i = 0; i < n; i++)
			ck_assert_msg(dts[i] == planned[i], "reorder %d: dts[%zu] is %lld, not %lld", reorder, i, (long long)dts[i],
				      (long long)planned[i]);
	}
}
END_TEST

START_TEST(order_that_the_stream_does_not_keep_still_gives_rising_times)
{
	int64_t pts[200], dts[200];
	struct cut_order o;

	srand(3);
	for (int round = 0; round < 3000; round++) {
		int reorder = rand() % 20 - 2;
		int64_t spread = 1 + rand() % (round % 2 ? 20 : 2000000);

		for (int i = 0; i < 200; i++)
			pts[i] = rand() % spread;
		cut_order_init(&o, reorder, rand() % 90000, 50);
		ck_assert_uint_eq(decode_times(pts, 200, &o, dts), 200);
		ck_assert_int_ge(dts[0], 50);
		for (int i = 1; i < 200; i++)
			ck_assert_int_lt(dts[i - 1], dts[i]);
	}
}
END_TEST

START_TEST(short_delay_moves_decode_times_not_frames)
{
	static const int64_t pts[] = { 0, 300, 100, 200, 600, 400, 500 };
	int64_t dts[7];
	struct cut_order o;

	cut_order_init(&o, 2, 0, 0);
	ck_assert_uint_eq(decode_times(pts, 7, &o, dts), 7);
	for (int i = 0; i < 7; i++)
		ck_assert_msg(dts[i] <= pts[i], "frame %d is decoded at %lld and shown at %lld", i, (long long)dts[i], (long long)pts[i]);
}
END_TEST

START_TEST(frames_behind_the_end_leave_no_trace)
{
	static const int64_t pts[] = { 0, 300, 100, 200, 600, 400, 500 };
	int64_t dts[7], expected[5];
	struct cut_order o;
	size_t taken = 0;

	cut_order_init(&o, 6, 300, 0);
	ck_assert_uint_eq(decode_times(pts, 5, &o, expected), 5); /* a frame of reference stays, although it is shown later */
	cut_order_init(&o, 6, 300, 0);
	for (int i = 0; i < 7; i++) {
		cut_order_push(&o, pts[i]);
		taken += cut_order_take(&o, false, &dts[taken]);
	}
	cut_order_drop_last(&o);
	cut_order_drop_last(&o);
	while (cut_order_take(&o, true, &dts[taken]))
		taken++;
	ck_assert_uint_eq(taken, 5);
	ck_assert_mem_eq(dts, expected, sizeof expected);
}
END_TEST

Suite *suite_cut(void)
{
	Suite *s = suite_create("worker/cut");
	TCase *t = tcase_create("cut");

	tcase_add_loop_test(t, decode_times_follow_the_table, 0, (int)(sizeof rows / sizeof *rows));
	tcase_add_test(t, random_times_rise_strictly_and_fill_the_segment);
	tcase_add_test(t, the_delay_makes_every_offset_non_negative_and_is_the_least);
	tcase_add_test(t, more_frames_than_ticks_are_refused);
	tcase_add_test(t, fragments_are_two_seconds_long);
	tcase_add_test(t, ordered_times_are_those_of_the_whole);
	tcase_add_test(t, order_that_the_stream_does_not_keep_still_gives_rising_times);
	tcase_add_test(t, short_delay_moves_decode_times_not_frames);
	tcase_add_test(t, frames_behind_the_end_leave_no_trace);
	suite_add_tcase(s, t);
	return s;
}
