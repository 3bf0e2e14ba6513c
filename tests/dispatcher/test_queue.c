/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue.h"

#include <check.h>
#include <string.h>

#include "tests/suites.h"

static struct queue q;
static int attempts;

static void set_up(void)
{
	queue_init(&q);
}

static void tear_down(void)
{
	queue_finish(&q);
}

static int add_stream(uint32_t n_slots)
{
	int stream = queue_add_stream(&q, n_slots);

	for (uint32_t i = 0; i < n_slots; i++)
		ck_assert_int_eq(queue_push(&q, stream, i), 1);
	return stream;
}

static int add_worker(int credits)
{
	int worker = queue_add_worker(&q);

	queue_add_credits(&q, worker, credits);
	return worker;
}

static struct queue_item *give(int64_t now_ms)
{
	struct queue_item *item = NULL;

	return queue_give(&q, now_ms, &item) ? item : NULL;
}

START_TEST(jobs_leave_in_the_order_they_came)
{
	add_stream(5);
	add_worker(5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(give(0)->slot, i);
	ck_assert_ptr_null(give(0));
}
END_TEST

START_TEST(streams_take_turns)
{
	int a = add_stream(3), b = add_stream(3);

	add_worker(6);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(give(0)->stream, a);
		ck_assert_int_eq(give(0)->stream, b);
	}
}
END_TEST

START_TEST(a_worker_gets_no_more_than_its_credits)
{
	int worker;

	add_stream(5);
	ck_assert_ptr_null(give(0));
	worker = add_worker(2);
	ck_assert_ptr_nonnull(give(0));
	ck_assert_ptr_nonnull(give(0));
	ck_assert_ptr_null(give(0));
	queue_done(&q, queue_first_job(&q, worker));
	ck_assert_ptr_null(give(0)); /* the end of a job is no credit: READY is */
	queue_add_credits(&q, worker, 1);
	ck_assert_ptr_nonnull(give(0));
}
END_TEST

START_TEST(credits_are_bounded_whatever_a_worker_claims)
{
	int worker = add_worker(QUEUE_CREDITS_MAX);

	for (int i = 0; i < 100; i++)
		queue_add_credits(&q, worker, QUEUE_CREDITS_MAX);
	add_stream(QUEUE_CREDITS_MAX + 10);
	for (int i = 0; i < QUEUE_CREDITS_MAX; i++)
		ck_assert_ptr_nonnull(give(0));
	queue_add_credits(&q, worker, 5);
	ck_assert_ptr_null(give(0));
}
END_TEST

START_TEST(jobs_are_spread_over_workers)
{
	int a = add_worker(5), b = add_worker(5);

	add_stream(4);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(give(0)->worker, a);
		ck_assert_int_eq(give(0)->worker, b);
	}
}
END_TEST

START_TEST(a_slot_is_queued_or_in_flight_once_at_most)
{
	int stream = queue_add_stream(&q, 1), worker = add_worker(2);

	ck_assert_int_eq(queue_push(&q, stream, 0), 1);
	ck_assert_int_eq(queue_push(&q, stream, 0), 0);
	ck_assert_ptr_nonnull(give(0));
	ck_assert_int_eq(queue_push(&q, stream, 0), 0);
	ck_assert_ptr_null(give(0));
	queue_done(&q, queue_first_job(&q, worker));
	ck_assert_int_eq(queue_push(&q, stream, 0), 1);
}
END_TEST

START_TEST(a_job_id_is_known_only_at_the_worker_that_has_it)
{
	int a = add_worker(1), b = add_worker(1);
	struct queue_item *item;

	add_stream(1);
	item = give(0);
	ck_assert_ptr_eq(queue_find(&q, a, item->job), item);
	ck_assert_ptr_null(queue_find(&q, b, item->job));
	ck_assert_ptr_null(queue_find(&q, a, item->job + 1));
}
END_TEST

START_TEST(a_crashed_job_is_next_again_under_a_new_id_and_three_times_at_most)
{
	int64_t last = 0;
	struct queue_item *item;

	add_stream(2);
	add_worker(10);
	for (int i = 1; i <= QUEUE_ATTEMPTS_MAX; i++) {
		item = give(0);
		ck_assert_uint_eq(item->slot, 0);
		ck_assert_int_gt(item->job, last);
		last = item->job;
		ck_assert_int_eq(queue_fail(&q, item, QUEUE_CRASH, 0, &attempts), i < QUEUE_ATTEMPTS_MAX);
		ck_assert_int_eq(attempts, i);
	}
	ck_assert_uint_eq(give(0)->slot, 1);
}
END_TEST

START_TEST(a_lost_job_is_tried_more_often_than_a_crashed_one)
{
	int n = 1;

	add_stream(1);
	add_worker(10);
	while (queue_fail(&q, give(0), QUEUE_LOST, 0, &attempts))
		n++;
	ck_assert_int_eq(n, QUEUE_LOST_MAX);
}
END_TEST

START_TEST(a_job_retried_waits_longer_each_time_and_lets_others_pass)
{
	int64_t now_ms = 1000, wait_ms, last_ms = 0;
	struct queue_item *item;

	add_stream(1);
	add_worker(100);
	for (int i = 0; i < 5; i++) {
		item = give(now_ms);
		ck_assert(queue_fail(&q, item, QUEUE_RETRY, now_ms, &attempts));
		ck_assert_int_eq(attempts, 0);
		ck_assert_ptr_null(give(now_ms));
		wait_ms = queue_next_ms(&q) - now_ms;
		ck_assert_int_gt(wait_ms, last_ms);
		last_ms = wait_ms;
		ck_assert_ptr_null(give(now_ms + wait_ms - 1));
		now_ms += wait_ms;
	}
	ck_assert_ptr_nonnull(give(now_ms));
}
END_TEST

START_TEST(a_job_is_retried_for_a_minute_and_then_given_up)
{
	int64_t now_ms = 1;

	add_stream(1);
	add_worker(1000);
	while (queue_fail(&q, give(now_ms), QUEUE_RETRY, now_ms, &attempts))
		now_ms = queue_next_ms(&q);
	ck_assert_int_ge(now_ms, QUEUE_RETRY_MS);
	ck_assert_int_le(now_ms, QUEUE_RETRY_MS + 2 * QUEUE_BACKOFF_MAX_MS);
	ck_assert_int_eq(queue_next_ms(&q), INT64_MAX);
}
END_TEST

START_TEST(forgiving_makes_what_waits_ready_and_starts_its_minute_anew)
{
	struct queue_item *item;

	add_stream(1);
	add_worker(10);
	ck_assert(queue_fail(&q, give(1), QUEUE_RETRY, 1, &attempts));
	queue_forgive(&q);
	item = give(2);
	ck_assert_ptr_nonnull(item);
	ck_assert(queue_fail(&q, item, QUEUE_RETRY, QUEUE_RETRY_MS + 5, &attempts));
}
END_TEST

START_TEST(a_deadline_runs_from_when_a_job_is_its_workers_first)
{
	struct queue_item *first, *second;
	int64_t now_ms = 1;

	add_stream(2);
	add_worker(2);
	first = give(now_ms);
	second = give(now_ms);
	first->deadline_ms = 1000;
	second->deadline_ms = 1000;
	ck_assert_ptr_null(queue_overdue(&q, now_ms));
	now_ms += 1000 + QUEUE_GRACE_MS;
	ck_assert_ptr_null(queue_overdue(&q, now_ms - 1));
	ck_assert_ptr_eq(queue_overdue(&q, now_ms), first);
	queue_done(&q, first);
	ck_assert_ptr_null(queue_overdue(&q, now_ms)); /* it begins now */
	ck_assert_ptr_eq(queue_overdue(&q, now_ms + 1000 + QUEUE_GRACE_MS), second);
}
END_TEST

START_TEST(a_job_that_could_not_be_sent_is_next_again)
{
	struct queue_item *item;

	add_stream(2);
	add_worker(2);
	item = give(0);
	queue_take_back(&q, item);
	ck_assert_ptr_eq(give(0), item);
}
END_TEST

START_TEST(a_job_that_is_not_sent_costs_no_credit)
{
	int worker = add_worker(1);

	add_stream(2);
	queue_discard(&q, give(0));
	ck_assert_ptr_null(queue_first_job(&q, worker));
	ck_assert_uint_eq(give(0)->slot, 1);
	ck_assert_ptr_null(give(0));
}
END_TEST

START_TEST(dropping_a_stream_leaves_what_is_in_flight)
{
	int stream = add_stream(3), worker = add_worker(2);

	ck_assert_ptr_nonnull(give(0));
	ck_assert(queue_fail(&q, give(0), QUEUE_RETRY, 0, &attempts));
	queue_drop_pending(&q, stream);
	queue_add_credits(&q, worker, 5);
	ck_assert_ptr_null(give(100000));
	ck_assert_ptr_nonnull(queue_first_job(&q, worker));
	ck_assert_int_eq(queue_push(&q, stream, 0), 0);
	ck_assert_int_eq(queue_push(&q, stream, 1), 1);
}
END_TEST

START_TEST(a_removed_workers_number_is_used_again_without_its_credits)
{
	int a = add_worker(5);

	add_worker(0);
	queue_remove_worker(&q, a);
	add_stream(1);
	ck_assert_ptr_null(give(0));
	ck_assert_int_eq(queue_add_worker(&q), a);
	ck_assert_ptr_null(give(0));
}
END_TEST

START_TEST(an_urgent_job_goes_first_and_has_its_worker_for_itself)
{
	int stream = add_stream(4), urgent = queue_add_stream(&q, 4), a = add_worker(2), b = add_worker(2);
	struct queue_item *item;

	queue_set_urgent(&q, urgent);
	item = give(0);
	ck_assert_int_eq(item->worker, a);
	ck_assert_int_eq(queue_push(&q, urgent, 3), 1);
	item = give(0);
	ck_assert_int_eq(item->stream, urgent);
	ck_assert_int_eq(item->worker, b); /* it has nothing to do before */
	ck_assert_ptr_eq(queue_in_flight(&q, urgent, 3), item);
	ck_assert_int_eq(give(0)->worker, a);
	ck_assert_ptr_null(give(0)); /* b has a credit left */
	queue_done(&q, item);
	ck_assert_ptr_null(queue_in_flight(&q, urgent, 3));
	ck_assert_int_eq(give(0)->worker, b);
	(void)stream;
}
END_TEST

START_TEST(a_dropped_slot_is_not_given)
{
	int stream = queue_add_stream(&q, 2);

	ck_assert_int_eq(queue_push(&q, stream, 0), 1);
	ck_assert_int_eq(queue_push(&q, stream, 1), 1);
	ck_assert(queue_drop(&q, stream, 0));
	ck_assert(!queue_drop(&q, stream, 0));
	add_worker(2);
	ck_assert_uint_eq(give(0)->slot, 1);
	ck_assert(!queue_drop(&q, stream, 1)); /* in flight */
	ck_assert_ptr_null(give(0));
}
END_TEST

Suite *suite_queue(void)
{
	Suite *suite = suite_create("dispatcher/queue");
	TCase *tc = tcase_create("queue");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, jobs_leave_in_the_order_they_came);
	tcase_add_test(tc, streams_take_turns);
	tcase_add_test(tc, a_worker_gets_no_more_than_its_credits);
	tcase_add_test(tc, credits_are_bounded_whatever_a_worker_claims);
	tcase_add_test(tc, jobs_are_spread_over_workers);
	tcase_add_test(tc, a_slot_is_queued_or_in_flight_once_at_most);
	tcase_add_test(tc, a_job_id_is_known_only_at_the_worker_that_has_it);
	tcase_add_test(tc, a_crashed_job_is_next_again_under_a_new_id_and_three_times_at_most);
	tcase_add_test(tc, a_lost_job_is_tried_more_often_than_a_crashed_one);
	tcase_add_test(tc, a_job_retried_waits_longer_each_time_and_lets_others_pass);
	tcase_add_test(tc, a_job_is_retried_for_a_minute_and_then_given_up);
	tcase_add_test(tc, forgiving_makes_what_waits_ready_and_starts_its_minute_anew);
	tcase_add_test(tc, a_deadline_runs_from_when_a_job_is_its_workers_first);
	tcase_add_test(tc, a_job_that_could_not_be_sent_is_next_again);
	tcase_add_test(tc, a_job_that_is_not_sent_costs_no_credit);
	tcase_add_test(tc, dropping_a_stream_leaves_what_is_in_flight);
	tcase_add_test(tc, a_removed_workers_number_is_used_again_without_its_credits);
	tcase_add_test(tc, an_urgent_job_goes_first_and_has_its_worker_for_itself);
	tcase_add_test(tc, a_dropped_slot_is_not_given);
	suite_add_tcase(suite, tc);
	return suite;
}
