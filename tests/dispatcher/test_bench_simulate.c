/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/bench_simulate.h"
#include "tests/suites.h"

#include <stdlib.h>

static void simulate(const struct bench_farm *farm, struct bench_times *times)
{
	struct err err;

	ck_assert_msg(!bench_simulate(farm, times, &err), "%s", err.msg);
}

/* Each with workers that are to be half busy. */
static const struct bench_farm halves[] = {
	{ .n_workers = 10, .n_cold = 100, .core_s = 0.05 },
	{ .n_workers = 10, .title_hours = 2400, .core_s = 0.05 },
	{ .n_workers = 1000, .n_cold = 1000, .core_s = 0.5 },
};

START_TEST(workers_are_as_busy_as_what_they_have_to_make)
{
	struct bench_times t;

	simulate(&halves[_i], &t);
	ck_assert_msg(t.busy > 0.48 && t.busy < 0.52, "busy %f", t.busy);
	ck_assert_int_gt(t.n_jobs, 1000);
	if (halves[_i].n_cold) /* each asks every six seconds */
		ck_assert_int_le(labs(t.n_waits - (int64_t)(halves[_i].n_cold * t.virtual_s / BENCH_SEGMENT_S)), halves[_i].n_cold);
	else
		ck_assert_int_gt(t.title_ms, 1000 * BENCH_TITLE_S * 0.05 / 10);
}
END_TEST

START_TEST(viewers_do_not_wait_for_what_is_made_ahead)
{
	/* three times what these workers can make */
	struct bench_farm farm = { .n_workers = 20, .n_cold = 20, .title_hours = 24 * 20 * 3 / 0.1, .core_s = 0.1 };
	struct bench_times t;

	simulate(&farm, &t);
	ck_assert_msg(t.busy > 0.99, "busy %f", t.busy);
	ck_assert_int_gt(t.n_waits, 100);
	ck_assert_int_le(t.p99_ms, 900 + 10); /* the longest job, half as long again as others */
}
END_TEST

START_TEST(with_too_few_workers_viewers_wait_and_with_more_they_do_not)
{
	struct bench_farm farm = { .n_workers = 8, .n_cold = 100, .core_s = 0.1 };
	struct bench_times few, enough;

	simulate(&farm, &few);
	farm.n_workers = bench_count_workers(farm.n_cold, farm.title_hours, farm.core_s);
	simulate(&farm, &enough);
	ck_assert_int_eq(farm.n_workers, 15);
	ck_assert_msg(few.busy > 0.99 && enough.busy < 0.75, "busy %f, %f", few.busy, enough.busy);
	ck_assert_int_gt(few.p50_ms, 1000);
	ck_assert_int_lt(enough.p50_ms, 700);
}
END_TEST

START_TEST(there_is_always_a_worker)
{
	struct bench_times t;

	ck_assert_int_eq(bench_count_workers(0, 0, 1), 1);
	ck_assert_int_eq(bench_count_workers(7, 0, 1), 10);
	ck_assert_int_eq(bench_count_workers(0, 168, 1), 10);
	ck_assert_int_eq(bench_count_workers(BENCH_VIEWERS_MAX, 0, 1000), BENCH_WORKERS_MAX);
	simulate(&(struct bench_farm){ .n_workers = 1, .core_s = 1 }, &t);
	ck_assert_int_eq(t.n_jobs, 0);
	ck_assert(t.busy == 0);
}
END_TEST

Suite *suite_bench_simulate(void)
{
	Suite *suite = suite_create("dispatcher/bench_simulate");
	TCase *tc = tcase_create("bench_simulate");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, workers_are_as_busy_as_what_they_have_to_make, 0, sizeof halves / sizeof *halves);
	tcase_add_test(tc, viewers_do_not_wait_for_what_is_made_ahead);
	tcase_add_test(tc, with_too_few_workers_viewers_wait_and_with_more_they_do_not);
	tcase_add_test(tc, there_is_always_a_worker);
	suite_add_tcase(suite, tc);
	return suite;
}
