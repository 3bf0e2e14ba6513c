/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Farms in virtual time.
 */
#include "common/proc.h"
#include "tests/dispatcher/queue_sim.h"
#include "tests/suites.h"

#include "dispatcher/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void run(const char *what, const struct sim_config *c, struct sim_result *r)
{
	int64_t start_ms = proc_now_ms();

	sim_run(c, r);
	printf("%s: seed %" PRIu64 ", %d workers, %d segments, %d players, %" PRId64 " s in %" PRId64 " ms: %" PRId64 " jobs given, %" PRId64
	       " segments made, %" PRId64 " given up, %" PRId64 " events, %" PRId64 " messages refused, %" PRId64 " stored twice, %" PRId64
	       " cancelled (%" PRId64 " done all the same), %d apart, passed %" PRId64 " %" PRId64 " %" PRId64 "; %" PRId64
	       " waits of players: p50 %" PRId64 " ms, p99 %" PRId64 " ms, max %" PRId64 " ms\n",
	       what, c->seed, c->n_workers, c->n_streams * c->n_slots, c->n_players, r->virtual_ms / 1000, proc_now_ms() - start_ms,
	       r->n_given, r->n_made, r->n_given_up, r->n_events, r->n_refused, r->n_late, r->n_cancels, r->n_crossed, r->max_apart,
	       r->max_passed[0], r->max_passed[1], r->max_passed[2], r->n_waits, r->p50_ms, r->p99_ms, r->max_ms);
	fflush(stdout);
}

static void check_shares(const struct sim_result *r)
{
	ck_assert_int_le(r->max_apart, QUEUE_LEAD + 2);
	ck_assert_int_le(r->max_passed[QUEUE_PLAYER], 2); /* one for each of the others */
	ck_assert_int_le(r->max_passed[QUEUE_AHEAD], QUEUE_FLOOR + 2);
	ck_assert_int_le(r->max_passed[QUEUE_PRECOMPUTE], QUEUE_FLOOR + 2);
}

/* A tenth, where a tool makes all slow. */
static int part(int n)
{
	return getenv("SHORT") ? n / 10 : n;
}

START_TEST(of_a_million_segments_on_ten_thousand_workers_that_fail_in_every_way_none_is_lost_and_all_streams_get_the_same)
{
	struct sim_config c = { .seed = (uint64_t)_i + 1, .n_workers = part(10000), .n_streams = part(3000), .n_slots = 334,
				.n_players = part(2000), .has_faults = true, .sigma = 0.7, .horizon_ms = 400000 };
	struct sim_result busy, idle;

	run("busy", &c, &busy);
	ck_assert_int_eq(busy.n_made + busy.n_given_up, (int64_t)c.n_streams * c.n_slots);
	ck_assert_int_gt(busy.n_given_up, 0);
	ck_assert_int_gt(busy.n_crossed, 0);
	ck_assert_int_gt(busy.n_late, 0);
	ck_assert_int_gt(busy.n_refused, 0);
	check_shares(&busy);
	c.is_idle = true;
	run("idle", &c, &idle);
	ck_assert_int_gt(idle.n_waits, 1000);
	ck_assert_int_le(busy.p99_ms, 2 * idle.p99_ms);
}
END_TEST

START_TEST(of_a_hundred_thousand_streams_on_ten_thousand_workers_none_is_lost_and_all_get_the_same)
{
	struct sim_config c = { .seed = 1, .n_workers = part(10000), .n_streams = part(100000), .n_slots = 4, .n_players = part(2000),
				.has_faults = true, .sigma = 0.7 };
	struct sim_result r;

	run("many streams", &c, &r);
	ck_assert_int_eq(r.n_made + r.n_given_up, (int64_t)c.n_streams * c.n_slots);
	check_shares(&r);
}
END_TEST

static const struct {
	int n_workers, n_players;
} small[] = { { 4, 1 }, { 8, 2 }, { 50, 20 } };

/* Jobs of 4 s each: what a player waits beyond that, it waits for others. */
START_TEST(players_wait_twice_as_long_at_most_when_the_farm_is_full_of_lower_jobs)
{
	struct sim_config c = { .seed = 1, .n_workers = small[_i].n_workers, .n_streams = 10 * small[_i].n_workers, .n_slots = 334,
				.n_players = small[_i].n_players, .horizon_ms = 10000000 };
	struct sim_result busy, idle;

	run("busy", &c, &busy);
	c.is_idle = true;
	run("idle", &c, &idle);
	ck_assert_int_gt(busy.n_waits, 100);
	ck_assert_int_gt(idle.n_waits, 100);
	ck_assert_int_le(busy.p99_ms, 2 * idle.p99_ms);
	check_shares(&busy);
}
END_TEST

START_TEST(no_class_starves_where_the_players_alone_are_too_many)
{
	struct sim_config c = { .seed = 1, .n_workers = 50, .n_streams = 100, .n_slots = 334, .n_players = 1000, .has_faults = _i,
				.sigma = 0.7 };
	struct sim_result r;

	run("flooded", &c, &r);
	ck_assert_int_eq(r.n_made + r.n_given_up, (int64_t)c.n_streams * c.n_slots);
	check_shares(&r);
}
END_TEST

Suite *suite_queue_simulation(void)
{
	Suite *suite = suite_create("dispatcher/queue_simulation");
	TCase *tc = tcase_create("simulation");

	tcase_set_timeout(tc, 1200);
	/* SIMULATION: how many different ones */
	tcase_add_loop_test(tc, of_a_million_segments_on_ten_thousand_workers_that_fail_in_every_way_none_is_lost_and_all_streams_get_the_same,
			    0, getenv("SIMULATION") ? atoi(getenv("SIMULATION")) : 1);
	tcase_add_test(tc, of_a_hundred_thousand_streams_on_ten_thousand_workers_none_is_lost_and_all_get_the_same);
	tcase_add_loop_test(tc, players_wait_twice_as_long_at_most_when_the_farm_is_full_of_lower_jobs, 0, sizeof small / sizeof *small);
	tcase_add_loop_test(tc, no_class_starves_where_the_players_alone_are_too_many, 0, 2);
	suite_add_tcase(suite, tc);
	return suite;
}
