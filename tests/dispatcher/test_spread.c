/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/spread.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct store_beacon all[SPREAD_MAX];

static void set_up(const int64_t *streams, int n)
{
	for (int i = 0; i < n; i++) {
		snprintf(all[i].id, sizeof all[i].id, "%016x", 100 - i); /* not in their order */
		all[i].n_streams = streams[i];
	}
}

/* Everyone does what it finds; what they have then. */
static int64_t move_all(int n)
{
	int64_t give[SPREAD_MAX], after[SPREAD_MAX] = { 0 }, moved = 0;

	for (int i = 0; i < n; i++) {
		int64_t sum = spread_plan(all, n, i, give), listed = 0;

		for (int k = 0; k < n; k++) {
			ck_assert_int_ge(give[k], 0);
			ck_assert(k != i || !give[k]);
			after[k] += give[k];
			listed += give[k];
		}
		ck_assert_int_eq(sum, listed);
		after[i] += all[i].n_streams - sum;
		moved += sum;
	}
	for (int i = 0; i < n; i++) {
		ck_assert_int_ge(after[i], 0);
		all[i].n_streams = after[i];
	}
	return moved;
}

static const struct {
	int n;
	int64_t before[6], after[6], moved;
} cases[] = {
	{ 1, { 9 }, { 9 }, 0 },
	{ 2, { 0, 0 }, { 0, 0 }, 0 },
	{ 2, { 1, 0 }, { 1, 0 }, 0 },
	{ 2, { 2, 0 }, { 1, 1 }, 1 },
	{ 2, { 5, 4 }, { 5, 4 }, 0 },
	{ 2, { 0, 10 }, { 5, 5 }, 5 },
	{ 2, { 1000, 0 }, { 500, 500 }, 500 },
	{ 2, { 54, 46 }, { 54, 46 }, 0 }, /* not for so little */
	{ 3, { 8, 0, 0 }, { 3, 2, 3 }, 5 },
	{ 3, { 4, 4, 0 }, { 3, 3, 2 }, 2 },
	{ 3, { 10, 10, 10 }, { 10, 10, 10 }, 0 },
	{ 6, { 60, 0, 0, 0, 0, 0 }, { 10, 10, 10, 10, 10, 10 }, 50 },
	{ 4, { 30, 30, 0, 0 }, { 15, 15, 15, 15 }, 30 },
};

START_TEST(streams_are_spread_evenly_with_as_few_moves_as_it_takes_and_then_stay)
{
	set_up(cases[_i].before, cases[_i].n);
	ck_assert_int_eq(move_all(cases[_i].n), cases[_i].moved);
	for (int i = 0; i < cases[_i].n; i++)
		ck_assert_int_eq(all[i].n_streams, cases[_i].after[i]);
	ck_assert_int_eq(move_all(cases[_i].n), 0);
}
END_TEST

START_TEST(any_numbers_come_to_rest_at_once)
{
	uint64_t seed = (uint64_t)_i + 1;
	int64_t streams[40] = { 0 }, sum = 0, largest = 0;
	int n = 2 + _i % 39;

	for (int i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		streams[i] = (int64_t)(seed >> 33) % (_i % 5 ? 1000 : 5);
		sum += streams[i];
	}
	set_up(streams, n);
	move_all(n);
	for (int i = 0; i < n; i++) {
		largest = all[i].n_streams > largest ? all[i].n_streams : largest;
		sum -= all[i].n_streams;
	}
	ck_assert_int_eq(sum, 0);
	ck_assert_int_eq(move_all(n), 0);
}
END_TEST

START_TEST(those_of_a_dead_one_fall_to_all_others_and_nothing_else_moves)
{
	int64_t none[5] = { 0 };
	int n[5] = { 0 };

	set_up(none, 5);
	for (int i = 0; i < 1000; i++) {
		char key[RECORD_KEY_SIZE];
		int with, without;

		snprintf(key, sizeof key, "%016x", i * 7919);
		with = spread_choose(all, 5, key);
		without = spread_choose(all, 4, key); /* the last one is dead */
		n[with]++;
		ck_assert_int_lt(without, 4);
		if (with < 4)
			ck_assert_int_eq(with, without);
	}
	for (int i = 0; i < 5; i++)
		ck_assert_msg(n[i] > 120 && n[i] < 280, "%d of 1000 fall to number %d of 5", n[i], i);
}
END_TEST

Suite *suite_spread(void)
{
	Suite *s = suite_create("dispatcher/spread");
	TCase *t = tcase_create("spread");

	tcase_add_loop_test(t, streams_are_spread_evenly_with_as_few_moves_as_it_takes_and_then_stay, 0, sizeof cases / sizeof *cases);
	tcase_add_loop_test(t, any_numbers_come_to_rest_at_once, 0, 100);
	tcase_add_test(t, those_of_a_dead_one_fall_to_all_others_and_nothing_else_moves);
	suite_add_tcase(s, t);
	return s;
}
