/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What test_queue_ends.c does not: which job goes where.
 */
#include "tests/dispatcher/queue_it.h"
#include "tests/suites.h"

#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define N 40

/* --- order */

START_TEST(jobs_leave_in_the_order_they_came)
{
	it_add_stream(5, QUEUE_AHEAD);
	it_add_worker(5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(it_give()->slot, i);
	it_give_none();
}
END_TEST

START_TEST(a_slot_is_queued_or_in_flight_once_at_most)
{
	int s = it_add_stream(1, QUEUE_AHEAD);

	it_add_worker(2);
	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_AHEAD, on.now_ms), 0);
	it_give();
	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_AHEAD, on.now_ms), 0);
	it_give_none();
	it_done(it_job(s, 0));
	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_AHEAD, on.now_ms), 1);
}
END_TEST

START_TEST(a_higher_class_goes_first)
{
	static const enum queue_class orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	int s = queue_add_stream(&on.q, 3, false);

	for (int i = 0; i < 3; i++)
		it_push(s, (uint32_t)i, orders[_i][i]);
	for (int c = 0; c < QUEUE_CLASSES; c++) {
		it_add_worker(1);
		ck_assert_int_eq(it_give()->class, c);
	}
}
END_TEST

/* Workers that nothing ties to a stream. */
START_TEST(streams_of_a_class_take_turns)
{
	int a = it_add_stream(3, _i), b = it_add_stream(3, _i), c = it_add_stream(1, _i);
	const int turns[] = { a, b, c, a, b, a, b };

	for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
		it_add_worker(1);
		ck_assert_int_eq(it_give()->stream->number, turns[i]);
	}
}
END_TEST

/* --- the floor */

static const struct {
	enum queue_class high, low;
} over[] = { { QUEUE_PLAYER, QUEUE_AHEAD }, { QUEUE_PLAYER, QUEUE_PRECOMPUTE }, { QUEUE_AHEAD, QUEUE_PRECOMPUTE } };

START_TEST(one_job_is_given_up_to_a_lower_class_for_each_ten_that_passed_it)
{
	int high = it_add_stream(4 * QUEUE_FLOOR, over[_i].high), low = it_add_stream(3, over[_i].low), n = 0;

	for (int i = 1; i <= 3 * (QUEUE_FLOOR + 1); i++) {
		it_add_worker(1);
		if (it_give()->stream->number == low) {
			ck_assert_int_eq(i % (QUEUE_FLOOR + 1), 0);
			n++;
		}
	}
	ck_assert_int_eq(n, 3);
	(void)high;
}
END_TEST

START_TEST(both_lower_classes_get_their_share_of_a_flood_of_players)
{
	int n[QUEUE_CLASSES] = { 0 };

	for (int c = 0; c < QUEUE_CLASSES; c++)
		it_add_stream(120, (enum queue_class)c);
	for (int i = 0; i < 120; i++) {
		it_add_worker(1);
		n[it_give()->class]++;
	}
	ck_assert_int_ge(n[QUEUE_AHEAD], 120 / (QUEUE_FLOOR + 2));
	ck_assert_int_ge(n[QUEUE_PRECOMPUTE], 120 / (QUEUE_FLOOR + 2));
	ck_assert_int_ge(n[QUEUE_PLAYER], 120 * 8 / 10);
}
END_TEST

START_TEST(a_class_that_had_a_job_of_itself_waits_for_ten_again)
{
	int low = it_add_stream(3, QUEUE_PRECOMPUTE);

	it_add_worker(1);
	ck_assert_int_eq(it_give()->stream->number, low);
	it_add_stream(2 * QUEUE_FLOOR, QUEUE_AHEAD);
	for (int i = 0; i < QUEUE_FLOOR; i++) {
		it_add_worker(1);
		ck_assert_int_ne(it_give()->stream->number, low);
	}
	it_add_worker(1);
	ck_assert_int_eq(it_give()->stream->number, low);
}
END_TEST

START_TEST(no_player_takes_away_what_was_given_up_to_a_lower_class)
{
	struct queue_item *low;

	it_add_stream(1, QUEUE_PRECOMPUTE);
	for (int i = 0; i < QUEUE_FLOOR; i++) {
		it_add_worker(1);
		it_add_stream(1, QUEUE_PLAYER);
		it_give();
	}
	it_add_stream(2, QUEUE_PLAYER);
	it_add_worker(1);
	low = it_give();
	ck_assert_int_eq(low->class, QUEUE_PRECOMPUTE);
	it_give_none();
	ck_assert(!low->is_cancelled);
}
END_TEST

/* --- workers */

START_TEST(a_worker_gets_no_more_than_its_credits)
{
	int w;

	it_add_stream(5, QUEUE_AHEAD);
	it_give_none();
	w = it_add_worker(2);
	it_give();
	it_give();
	it_give_none();
	it_done(queue_first_job(&on.q, w));
	it_give_none(); /* the end of a job is no credit: READY is */
	queue_add_credits(&on.q, w, 1);
	it_give();
	it_give_none();
}
END_TEST

START_TEST(credits_are_bounded_whatever_a_worker_claims)
{
	int w = it_add_worker(QUEUE_CREDITS_MAX);

	for (int i = 0; i < 100; i++)
		queue_add_credits(&on.q, w, QUEUE_CREDITS_MAX);
	queue_add_credits(&on.q, w, -5);
	it_add_stream(QUEUE_CREDITS_MAX + 10, QUEUE_AHEAD);
	for (int i = 0; i < QUEUE_CREDITS_MAX; i++)
		it_give();
	queue_add_credits(&on.q, w, 5);
	it_give_none();
}
END_TEST

START_TEST(jobs_are_spread_over_workers)
{
	int w[] = { it_add_worker(5), it_add_worker(5), it_add_worker(5) };

	for (int i = 0; i < 12; i++) { /* of as many streams: nothing ties them */
		it_add_stream(1, QUEUE_AHEAD);
		ck_assert_int_eq(it_give()->worker->number, w[i % 3]);
	}
}
END_TEST

START_TEST(a_worker_without_a_job_is_preferred)
{
	int a = it_add_worker(9), b;

	it_add_stream(9, _i);
	it_give();
	b = it_add_worker(9);
	ck_assert_int_eq(it_give()->worker->number, b);
	it_done(queue_first_job(&on.q, a));
	ck_assert_int_eq(it_give()->worker->number, a);
}
END_TEST

START_TEST(a_worker_with_a_job_of_an_exclusive_stream_gets_no_other)
{
	int s = queue_add_stream(&on.q, 1, true), w = it_add_worker(5);
	struct queue_item *item;

	it_push(s, 0, QUEUE_PLAYER);
	item = it_give();
	it_add_stream(2, QUEUE_AHEAD);
	it_give_none();
	it_done(item);
	ck_assert_int_eq(it_give()->worker->number, w);
}
END_TEST

START_TEST(a_removed_workers_number_is_used_again_without_its_credits)
{
	int a = it_add_worker(5);

	it_add_worker(0);
	queue_remove_worker(&on.q, a);
	it_add_stream(1, QUEUE_AHEAD);
	it_give_none();
	ck_assert_int_eq(queue_add_worker(&on.q), a);
	it_give_none();
}
END_TEST

START_TEST(a_job_id_is_known_only_at_the_worker_that_has_it)
{
	int a = it_add_worker(1), b = it_add_worker(1);
	struct queue_item *item;

	it_add_stream(1, QUEUE_AHEAD);
	item = it_give();
	ck_assert_ptr_eq(queue_find(&on.q, a, item->job), item);
	ck_assert_ptr_null(queue_find(&on.q, b, item->job));
	ck_assert_ptr_null(queue_find(&on.q, a, item->job + 1));
}
END_TEST

/* --- affinity */

/* One worker takes all of them, one by one; which[i]: the stream of the i-th. */
static void take_all(int *which, int n)
{
	int w = it_add_worker(0);

	for (int i = 0; i < n; i++) {
		queue_add_credits(&on.q, w, 1);
		which[i] = it_give()->stream->number;
		it_done(queue_first_job(&on.q, w));
	}
}

START_TEST(a_worker_stays_with_its_stream_until_that_is_too_far_ahead_and_the_others_get_it_back)
{
	int which[3 * N], n[3] = { 0 }, n_changes = 0;

	for (int i = 0; i < 3; i++)
		it_add_stream(N, _i);
	take_all(which, 3 * N);
	for (int i = 0; i < 3 * N; i++) {
		n[which[i]]++;
		n_changes += i && which[i] != which[i - 1];
		for (int k = 0; i < 2 * N && k < 3; k++)
			ck_assert_int_le(n[which[i]] - n[k], 2 * QUEUE_LEAD);
	}
	ck_assert_int_lt(n_changes, 3 * N / 4);
}
END_TEST

START_TEST(a_stream_that_asks_for_one_job_at_a_time_does_not_keep_its_worker_from_the_others)
{
	int eager = queue_add_stream(&on.q, N, false), n = 0, w = it_add_worker(0);

	it_push(eager, 0, QUEUE_AHEAD);
	it_add_stream(N, QUEUE_AHEAD);
	for (int i = 0; i < N; i++) {
		struct queue_item *item;

		queue_add_credits(&on.q, w, 1);
		item = it_give();
		if (item->stream->number == eager && ++n < N)
			it_push(eager, (uint32_t)n, QUEUE_AHEAD);
		it_done(item);
	}
	ck_assert_int_ge(n, N / 2 - QUEUE_LEAD);
	ck_assert_int_le(n, N / 2 + QUEUE_LEAD);
}
END_TEST

START_TEST(a_stream_finds_the_worker_that_had_it_though_another_waits_for_longer)
{
	int s = queue_add_stream(&on.q, 2, false), a = it_add_worker(1);

	it_push(s, 0, QUEUE_AHEAD);
	it_done(it_give());
	it_add_worker(1);
	queue_add_credits(&on.q, a, 1);
	it_push(s, 1, _i);
	ck_assert_int_eq(it_give()->worker->number, a);
}
END_TEST

START_TEST(a_busy_worker_is_not_preferred_because_it_had_the_stream)
{
	int a = it_add_worker(5), b;

	it_add_stream(2, _i);
	ck_assert_int_eq(it_give()->worker->number, a);
	b = it_add_worker(5);
	ck_assert_int_eq(it_give()->worker->number, b);
}
END_TEST

START_TEST(of_two_workers_that_had_the_stream_the_one_without_a_job_gets_it)
{
	int s = queue_add_stream(&on.q, 4, false), a = it_add_worker(1), b = it_add_worker(1);

	it_push(s, 0, QUEUE_AHEAD);
	it_push(s, 1, QUEUE_AHEAD);
	it_give();
	it_give();
	it_done(it_job(s, 0));
	it_done(it_job(s, 1));
	it_add_worker(1); /* it waits for longer than both */
	queue_add_credits(&on.q, b, 2);
	queue_add_credits(&on.q, a, 2);
	it_push(s, 2, QUEUE_AHEAD);
	ck_assert_int_eq(it_give()->worker->number, a);
	it_push(s, 3, QUEUE_AHEAD);
	ck_assert_int_eq(it_give()->worker->number, b);
}
END_TEST

/* --- players */

START_TEST(a_players_job_goes_only_where_it_is_begun_at_once)
{
	int w = it_add_worker(5), s;
	struct queue_item *first;

	it_add_stream(1, QUEUE_PLAYER);
	first = it_give();
	s = it_add_stream(1, QUEUE_PLAYER);
	it_give_none(); /* there is a credit, but a player waits for the job in front */
	it_add_stream(1, QUEUE_AHEAD);
	it_give_none(); /* and what is put behind it now would be in the way */
	it_done(first);
	ck_assert_ptr_eq(it_give(), it_job(s, 0));
	ck_assert_int_eq(queue_first_job(&on.q, w)->class, QUEUE_PLAYER);
}
END_TEST

START_TEST(a_player_takes_the_worker_that_has_begun_a_lower_job_most_recently)
{
	int low = it_add_stream(7, _i + 1), w[] = { it_add_worker(2), it_add_worker(2), it_add_worker(2) };
	struct queue_item *item;

	for (int i = 0; i < 6; i++)
		it_give();
	it_done(queue_first_job(&on.q, w[1])); /* its second one begins */
	queue_add_credits(&on.q, w[1], 1);
	it_give();
	it_add_stream(1, QUEUE_PLAYER);
	item = it_give_preempting();
	ck_assert_int_eq(item->worker->number, w[1]);
	for (uint32_t i = 0; i < 7; i++) {
		struct queue_item *other = queue_in_flight(&on.q, low, i);

		ck_assert(!other || other->is_cancelled == (other->worker->number == w[1]));
	}
	ck_assert(!item->is_cancelled);
}
END_TEST

START_TEST(a_worker_without_a_job_saves_the_others_from_being_preempted)
{
	int b;

	it_add_worker(5);
	it_add_stream(1, QUEUE_PRECOMPUTE);
	it_give();
	b = it_add_worker(1);
	it_add_stream(1, QUEUE_PLAYER);
	ck_assert_int_eq(it_give()->worker->number, b);
}
END_TEST

START_TEST(a_job_is_preempted_a_bounded_number_of_times_and_comes_back_first_and_uncounted)
{
	int s = it_add_stream(2, QUEUE_PRECOMPUTE), w = it_add_worker(1);
	struct queue_item *low, *high;

	for (int i = 0; i < QUEUE_PREEMPTIONS_MAX; i++) {
		low = it_give();
		ck_assert_uint_eq(low->slot, 0);
		it_add_stream(1, QUEUE_PLAYER);
		high = it_give_preempting();
		ck_assert(low->is_cancelled);
		it_fail(low, QUEUE_CANCELLED, true, 0);
		ck_assert_ptr_null(queue_in_flight(&on.q, s, 0));
		it_done(high);
		queue_add_credits(&on.q, w, 2);
	}
	low = it_give();
	ck_assert_uint_eq(low->slot, 0);
	ck_assert(!low->is_cancelled);
	it_add_stream(1, QUEUE_PLAYER);
	it_give_none();
	it_done(low);
	queue_add_credits(&on.q, w, 1);
	ck_assert_int_eq(it_give()->class, QUEUE_PLAYER);
}
END_TEST

START_TEST(a_preempted_worker_owes_the_credit_that_the_player_took)
{
	int w = it_add_worker(1);
	struct queue_item *low, *high;

	it_add_stream(3, QUEUE_PRECOMPUTE);
	low = it_give();
	it_add_stream(1, QUEUE_PLAYER);
	high = it_give_preempting();
	it_fail(low, QUEUE_CANCELLED, true, 0);
	queue_add_credits(&on.q, w, 1);
	it_done(high);
	it_give_none();
	queue_add_credits(&on.q, w, 1);
	it_give();
}
END_TEST

START_TEST(what_a_player_comes_to_want_behind_other_jobs_preempts_them)
{
	int s = it_add_stream(3, QUEUE_AHEAD), w = it_add_worker(3);

	for (int i = 0; i < 3; i++)
		it_give();
	ck_assert_int_eq(queue_push(&on.q, s, 1, QUEUE_PLAYER, on.now_ms), 2);
	ck_assert(it_job(s, 0)->is_cancelled);
	ck_assert(!it_job(s, 1)->is_cancelled && !it_job(s, 2)->is_cancelled);
	ck_assert_int_eq(queue_push(&on.q, s, 1, QUEUE_PLAYER, on.now_ms), 0);
	it_fail(it_job(s, 0), QUEUE_CANCELLED, true, 0);
	ck_assert_ptr_eq(queue_first_job(&on.q, w), it_job(s, 1));
}
END_TEST

START_TEST(what_a_player_comes_to_want_that_is_in_front_preempts_nothing)
{
	int s = it_add_stream(2, QUEUE_AHEAD);

	it_add_worker(2);
	it_give();
	it_give();
	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_PLAYER, on.now_ms), 0);
	ck_assert_int_eq(queue_push(&on.q, s, 1, QUEUE_PLAYER, on.now_ms), 0); /* a player waits for the one in front */
	it_add_stream(1, QUEUE_PLAYER);
	it_give_none();
}
END_TEST

/* --- size */

#if defined(__SANITIZE_ADDRESS__)
#define OWN_ALLOCATOR 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

#define MANY 1000000

static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* With its part of the tables, and of what the allocator keeps for itself. */
START_TEST(a_pending_segment_takes_at_most_256_bytes)
{
	size_t before = allocated(), used;

	for (int i = 0; i < 1000; i++)
		it_add_stream(MANY / 1000, QUEUE_PRECOMPUTE);
	used = allocated() - before;
	printf("memory: %zu bytes for each of %d pending segments\n", used / MANY, MANY);
	ck_assert_uint_gt(used / MANY, sizeof(struct queue_item));
	ck_assert_uint_le(used / MANY, 256);
}
END_TEST

Suite *suite_queue(void)
{
	Suite *suite = suite_create("dispatcher/queue");
	TCase *tc = tcase_create("queue");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_set_up, it_tear_down);
	tcase_add_test(tc, jobs_leave_in_the_order_they_came);
	tcase_add_test(tc, a_slot_is_queued_or_in_flight_once_at_most);
	tcase_add_loop_test(tc, a_higher_class_goes_first, 0, 6);
	tcase_add_loop_test(tc, streams_of_a_class_take_turns, 0, QUEUE_CLASSES);
	tcase_add_loop_test(tc, one_job_is_given_up_to_a_lower_class_for_each_ten_that_passed_it, 0, sizeof over / sizeof *over);
	tcase_add_test(tc, both_lower_classes_get_their_share_of_a_flood_of_players);
	tcase_add_test(tc, a_class_that_had_a_job_of_itself_waits_for_ten_again);
	tcase_add_test(tc, no_player_takes_away_what_was_given_up_to_a_lower_class);
	tcase_add_test(tc, a_worker_gets_no_more_than_its_credits);
	tcase_add_test(tc, credits_are_bounded_whatever_a_worker_claims);
	tcase_add_test(tc, jobs_are_spread_over_workers);
	tcase_add_loop_test(tc, a_worker_without_a_job_is_preferred, 0, QUEUE_CLASSES);
	tcase_add_test(tc, a_worker_with_a_job_of_an_exclusive_stream_gets_no_other);
	tcase_add_test(tc, a_removed_workers_number_is_used_again_without_its_credits);
	tcase_add_test(tc, a_job_id_is_known_only_at_the_worker_that_has_it);
	tcase_add_loop_test(tc, a_worker_stays_with_its_stream_until_that_is_too_far_ahead_and_the_others_get_it_back, 0, QUEUE_CLASSES);
	tcase_add_test(tc, a_stream_that_asks_for_one_job_at_a_time_does_not_keep_its_worker_from_the_others);
	tcase_add_loop_test(tc, a_stream_finds_the_worker_that_had_it_though_another_waits_for_longer, 0, QUEUE_CLASSES);
	tcase_add_loop_test(tc, a_busy_worker_is_not_preferred_because_it_had_the_stream, 0, QUEUE_CLASSES);
	tcase_add_test(tc, of_two_workers_that_had_the_stream_the_one_without_a_job_gets_it);
	tcase_add_test(tc, a_players_job_goes_only_where_it_is_begun_at_once);
	tcase_add_loop_test(tc, a_player_takes_the_worker_that_has_begun_a_lower_job_most_recently, 0, 2);
	tcase_add_test(tc, a_worker_without_a_job_saves_the_others_from_being_preempted);
	tcase_add_test(tc, a_job_is_preempted_a_bounded_number_of_times_and_comes_back_first_and_uncounted);
	tcase_add_test(tc, a_preempted_worker_owes_the_credit_that_the_player_took);
	tcase_add_test(tc, what_a_player_comes_to_want_behind_other_jobs_preempts_them);
	tcase_add_test(tc, what_a_player_comes_to_want_that_is_in_front_preempts_nothing);
	if (OWN_ALLOCATOR && !getenv("SHORT"))
		tcase_add_test(tc, a_pending_segment_takes_at_most_256_bytes);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, tcase_queue_ends());
	suite_add_tcase(suite, tcase_queue_places());
	return suite;
}
