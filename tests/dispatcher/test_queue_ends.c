/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How jobs end, wait, and are taken away.
 */
#include "tests/dispatcher/queue_check.h"
#include "tests/dispatcher/queue_it.h"

/* --- the ladder */

START_TEST(a_job_that_crashed_or_was_refused_is_next_again_under_a_new_id_and_three_times_at_most)
{
	static const enum queue_failure rows[][3] = { { QUEUE_CRASH, QUEUE_CRASH, QUEUE_CRASH },
						      { QUEUE_REFUSED, QUEUE_REFUSED, QUEUE_REFUSED },
						      { QUEUE_CRASH, QUEUE_REFUSED, QUEUE_CRASH } };
	int64_t last = 0;
	struct queue_item *item;

	it_add_stream(2, QUEUE_AHEAD);
	it_add_worker(10);
	for (int i = 1; i <= QUEUE_ATTEMPTS_MAX; i++) {
		item = it_give();
		ck_assert_uint_eq(item->slot, 0);
		ck_assert_int_gt(item->job, last);
		last = item->job;
		it_fail(item, rows[_i][i - 1], i < QUEUE_ATTEMPTS_MAX, i);
	}
	ck_assert_uint_eq(it_give()->slot, 1);
}
END_TEST

START_TEST(a_lost_job_is_tried_more_often_than_a_crashed_one)
{
	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(10);
	for (int i = 1; i <= QUEUE_LOST_MAX; i++)
		it_fail(it_give(), QUEUE_LOST, i < QUEUE_LOST_MAX, i);
	it_give_none();
}
END_TEST

START_TEST(a_job_whose_worker_was_killed_is_tried_more_often_still)
{
	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(100);
	for (int i = 1; i <= QUEUE_KILLED_MAX; i++)
		it_fail(it_give(), QUEUE_KILLED, i < QUEUE_KILLED_MAX, i);
	it_give_none();
}
END_TEST

START_TEST(a_job_that_was_told_to_stop_is_tried_for_ever)
{
	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(1000);
	for (int i = 0; i < 1000; i++)
		it_fail(it_give(), QUEUE_CANCELLED, true, 0);
}
END_TEST

START_TEST(a_job_retried_waits_longer_each_time_and_lets_others_pass)
{
	static const int waits_ms[] = { 50, 100, 200, 400, 800, 1600, 2000, 2000 };
	int s = it_add_stream(1, QUEUE_AHEAD), other = it_add_stream(8, QUEUE_PRECOMPUTE);

	on.now_ms = 1000;
	it_add_worker(100);
	for (size_t i = 0; i < sizeof waits_ms / sizeof *waits_ms; i++) {
		struct queue_item *item = it_give();

		ck_assert_int_eq(item->stream->number, s);
		it_fail(item, QUEUE_RETRY, true, 0);
		ck_assert_int_eq(queue_next_ms(&on.q), on.now_ms + waits_ms[i]);
		on.now_ms += waits_ms[i] - 1;
		item = it_give();
		ck_assert_int_eq(item->stream->number, other);
		it_done(item);
		on.now_ms++;
	}
	ck_assert_int_eq(it_give()->stream->number, s);
}
END_TEST

static void retry_until_given_up(int64_t from_ms)
{
	int attempts;

	while (queue_fail(&on.q, it_give(), QUEUE_RETRY, on.now_ms, &attempts))
		on.now_ms = queue_next_ms(&on.q);
	ck_assert_int_ge(on.now_ms - from_ms, QUEUE_RETRY_MS);
	ck_assert_int_le(on.now_ms - from_ms, QUEUE_RETRY_MS + QUEUE_BACKOFF_MAX_MS);
	ck_assert_int_eq(queue_next_ms(&on.q), INT64_MAX);
}

START_TEST(a_job_is_retried_for_a_minute_and_then_given_up)
{
	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(1000);
	retry_until_given_up(0);
}
END_TEST

START_TEST(a_job_that_waits_for_a_worker_for_long_is_not_given_up_for_that)
{
	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(1000);
	for (int i = 1; i <= QUEUE_RETRIES_MIN; i++) {
		it_fail(it_give(), QUEUE_RETRY, i < QUEUE_RETRIES_MIN, 0);
		on.now_ms += 2 * QUEUE_RETRY_MS;
	}
}
END_TEST

START_TEST(forgiving_makes_what_waits_ready_and_starts_its_minute_anew)
{
	it_add_stream(2, QUEUE_AHEAD);
	it_add_worker(1000);
	it_fail(it_give(), QUEUE_RETRY, true, 0);
	on.now_ms = QUEUE_RETRY_MS - 10;
	it_fail(it_give(), QUEUE_RETRY, true, 0);
	it_give(); /* one is in flight, one waits */
	queue_forgive(&on.q, on.now_ms);
	queue_check(&on.q);
	ck_assert_uint_eq(on.q.n_waiting, 0);
	it_give();
	it_done(queue_first_job(&on.q, 0));
	it_fail(queue_first_job(&on.q, 0), QUEUE_RETRY, true, 0);
	ck_assert_int_eq(queue_next_ms(&on.q), on.now_ms + QUEUE_BACKOFF_MIN_MS);
	on.now_ms += QUEUE_BACKOFF_MIN_MS;
	retry_until_given_up(QUEUE_RETRY_MS - 10);
}
END_TEST

START_TEST(another_failure_ends_the_minute_of_trouble)
{
	static const enum queue_failure others[] = { QUEUE_CRASH, QUEUE_REFUSED, QUEUE_LOST };

	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(1000);
	it_fail(it_give(), QUEUE_RETRY, true, 0);
	on.now_ms = 1000;
	it_fail(it_give(), others[_i], true, 1);
	on.now_ms = 10 * QUEUE_RETRY_MS;
	it_fail(it_give(), QUEUE_RETRY, true, 1);
	ck_assert_int_eq(queue_next_ms(&on.q), on.now_ms + QUEUE_BACKOFF_MIN_MS);
}
END_TEST

START_TEST(what_a_worker_failed_at_goes_to_another_as_long_as_there_is_one)
{
	enum queue_failure failure = _i % 2 ? QUEUE_REFUSED : QUEUE_LOST;
	int a = it_add_worker(4), b;

	it_add_stream(1, _i / 2);
	it_fail(it_give(), failure, true, 1);
	it_fail(it_give(), failure, true, 2); /* there is no other */
	b = it_add_worker(0);
	it_give_none();
	on.now_ms = queue_next_ms(&on.q);
	it_give_none();
	queue_add_credits(&on.q, b, 1);
	on.now_ms = queue_next_ms(&on.q);
	ck_assert_int_le(on.now_ms, 2 * QUEUE_BACKOFF_MIN_MS);
	ck_assert_int_eq(it_give()->worker->number, b);
	it_done(queue_first_job(&on.q, b));
	it_add_stream(1, _i / 2);
	it_fail(it_give(), failure, true, 1);
	queue_remove_worker(&on.q, b);
	on.now_ms += QUEUE_BACKOFF_MIN_MS;
	ck_assert_int_eq(it_give()->worker->number, a);
}
END_TEST

START_TEST(what_a_worker_failed_at_goes_to_one_that_has_a_job)
{
	int a = it_add_worker(1), b = it_add_worker(2), s = it_add_stream(1, _i);
	struct queue_item *item = it_give();

	ck_assert_int_eq(item->worker->number, a);
	it_add_stream(1, QUEUE_PRECOMPUTE);
	ck_assert_int_eq(it_give()->worker->number, b);
	it_fail(item, QUEUE_REFUSED, true, 1);
	queue_add_credits(&on.q, a, 1);
	if (_i == QUEUE_PLAYER) { /* not behind it, and not for that one's sake in its place */
		it_give_none();
		it_done(queue_first_job(&on.q, b));
		on.now_ms = queue_next_ms(&on.q);
	}
	it_give();
	ck_assert_int_eq(it_job(s, 0)->worker->number, b);
}
END_TEST

START_TEST(a_player_preempts_another_worker_than_the_one_that_failed_it)
{
	int b = it_add_worker(2), a;
	struct queue_item *item;

	it_add_stream(1, QUEUE_PLAYER);
	item = it_give();
	a = it_add_worker(1);
	it_add_stream(2, QUEUE_PRECOMPUTE);
	ck_assert_int_eq(it_give()->worker->number, a);
	ck_assert_int_eq(it_give()->worker->number, b);
	it_fail(item, QUEUE_REFUSED, true, 1); /* so that b has begun a lower job most recently */
	ck_assert_ptr_eq(it_give_preempting(), item);
	ck_assert_int_eq(item->worker->number, a);
}
END_TEST

/* --- deadlines */

START_TEST(a_deadline_runs_from_when_a_job_is_its_workers_first)
{
	struct queue_item *first, *second;

	it_add_stream(2, QUEUE_AHEAD);
	it_add_worker(2);
	first = it_give();
	queue_set_deadline(&on.q, first, 1000, 0);
	second = it_give();
	queue_set_deadline(&on.q, second, 700, 0);
	on.now_ms = 1000 + QUEUE_GRACE_MS;
	ck_assert_int_eq(queue_next_ms(&on.q), on.now_ms);
	ck_assert_ptr_null(queue_overdue(&on.q, on.now_ms - 1));
	ck_assert_ptr_eq(queue_overdue(&on.q, on.now_ms), first);
	it_fail(first, QUEUE_CRASH, true, 1);
	ck_assert_ptr_null(queue_overdue(&on.q, on.now_ms)); /* it begins now */
	on.now_ms += 700 + QUEUE_GRACE_MS;
	ck_assert_ptr_null(queue_overdue(&on.q, on.now_ms - 1));
	ck_assert_ptr_eq(queue_overdue(&on.q, on.now_ms), second);
	it_done(second);
	ck_assert_int_eq(queue_next_ms(&on.q), INT64_MAX);
}
END_TEST

START_TEST(a_job_without_a_deadline_is_never_overdue_and_one_too_long_is_cut)
{
	struct queue_item *item;

	it_add_stream(1, QUEUE_AHEAD);
	it_add_worker(1);
	item = it_give();
	queue_set_deadline(&on.q, item, _i ? INT64_MAX : 0, 0);
	ck_assert_int_eq(queue_next_ms(&on.q), _i ? (int64_t)INT32_MAX + QUEUE_GRACE_MS : INT64_MAX);
	ck_assert_ptr_eq(queue_overdue(&on.q, INT64_MAX), _i ? item : NULL);
}
END_TEST

START_TEST(the_overdue_are_named_in_the_order_of_their_deadlines)
{
	int64_t last_ms = 0;
	int s = it_add_stream(100, QUEUE_AHEAD);
	struct queue_item *item;

	for (int i = 0; i < 100; i++) {
		it_add_worker(1);
		queue_set_deadline(&on.q, it_give(), 1 + i * 37 % 100, 0);
	}
	for (uint32_t i = 0; i < 100; i += 3)
		it_done(it_job(s, i));
	for (int n = 66; n; n--) {
		ck_assert_ptr_nonnull(item = queue_overdue(&on.q, INT64_MAX));
		ck_assert_int_gt(item->until_ms, last_ms);
		last_ms = item->until_ms;
		it_done(item);
	}
	ck_assert_ptr_null(queue_overdue(&on.q, INT64_MAX));
}
END_TEST

/* --- what was not done after all */

START_TEST(a_job_that_could_not_be_sent_is_next_again)
{
	struct queue_item *item;

	it_add_stream(2, QUEUE_AHEAD);
	it_add_worker(2);
	item = it_give();
	queue_take_back(&on.q, item, 0);
	ck_assert_ptr_eq(it_give(), item);
	it_give_none();
}
END_TEST

START_TEST(a_job_that_is_not_sent_costs_no_credit)
{
	int worker = it_add_worker(1);

	it_add_stream(2, QUEUE_AHEAD);
	queue_discard(&on.q, it_give(), 0);
	ck_assert_ptr_null(queue_first_job(&on.q, worker));
	ck_assert_uint_eq(it_give()->slot, 1);
	it_give_none();
}
END_TEST

/* --- a slot in each of its states */

enum state { ABSENT, PENDING, WAITING, IN_FLIGHT, BEHIND, STATES };

/* A slot of that state and class, alone in its stream; BEHIND: another stream's is in front of it at the worker. */
static int make(enum state state, enum queue_class class)
{
	int s = queue_add_stream(&on.q, 1, false);

	if (state == ABSENT)
		return s;
	if (state == BEHIND) {
		it_add_worker(2);
		it_add_stream(1, class);
		it_give();
	}
	it_push(s, 0, class);
	if (state == PENDING)
		return s;
	if (state != BEHIND)
		it_add_worker(2);
	it_give();
	if (state == WAITING)
		it_fail(it_job(s, 0), QUEUE_RETRY, true, 0);
	return s;
}

static struct queue_item *item_of(int stream)
{
	return on.q.streams[stream]->slots[0];
}

static bool is_in_flight(enum state state)
{
	return state == IN_FLIGHT || state == BEHIND;
}

START_TEST(a_slot_dropped_is_gone_or_the_caller_cancels_it)
{
	int s = make((enum state)_i, QUEUE_AHEAD);
	struct queue_item *item = item_of(s);

	ck_assert_ptr_eq(queue_drop(&on.q, s, 0), is_in_flight(_i) ? item : NULL);
	queue_check(&on.q);
	ck_assert_ptr_eq(item_of(s), is_in_flight(_i) ? item : NULL);
	on.now_ms = 100000;
	it_add_worker(1);
	it_give_none();
}
END_TEST

START_TEST(a_slot_lowered_has_the_class_and_is_never_raised_by_it)
{
	int s = make((enum state)_i, QUEUE_AHEAD);

	queue_lower(&on.q, s, 0, QUEUE_PLAYER, on.now_ms);
	queue_check(&on.q);
	ck_assert(_i == ABSENT || item_of(s)->class == QUEUE_AHEAD);
	queue_lower(&on.q, s, 0, QUEUE_PRECOMPUTE, on.now_ms);
	queue_check(&on.q);
	ck_assert(_i == ABSENT || item_of(s)->class == QUEUE_PRECOMPUTE);
}
END_TEST

START_TEST(a_slot_pushed_again_has_the_higher_class_and_stays_what_it_is)
{
	int s = make((enum state)_i, QUEUE_AHEAD);
	struct queue_item *item = item_of(s);
	bool was_in_flight = queue_in_flight(&on.q, s, 0);

	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_PRECOMPUTE, on.now_ms), _i == ABSENT);
	if (_i != ABSENT) {
		ck_assert_ptr_eq(item_of(s), item);
		ck_assert_int_eq(item->class, QUEUE_AHEAD);
	}
	ck_assert_int_eq(queue_push(&on.q, s, 0, QUEUE_PLAYER, on.now_ms), _i == BEHIND ? 2 : 0);
	queue_check(&on.q);
	ck_assert_int_eq(item_of(s)->class, QUEUE_PLAYER);
	ck_assert_int_eq(queue_in_flight(&on.q, s, 0) != NULL, was_in_flight);
	ck_assert_uint_eq(on.q.n_waiting, _i == WAITING);
}
END_TEST

START_TEST(a_wait_begins_when_a_slot_is_pushed_and_anew_with_each_class_and_attempt)
{
	struct queue_item *item;
	int s;

	on.now_ms = 5000; /* nothing has been given yet */
	s = it_add_stream(1, QUEUE_PRECOMPUTE);
	item = on.q.streams[s]->slots[0];
	ck_assert_uint_eq(item->pending_ms, 5000);
	queue_push(&on.q, s, 0, QUEUE_PLAYER, 6000);
	ck_assert_uint_eq(item->pending_ms, 6000);
	queue_lower(&on.q, s, 0, QUEUE_AHEAD, 7000);
	ck_assert_uint_eq(item->pending_ms, 7000);
	it_add_worker(1);
	it_give();
	on.now_ms = 8000;
	it_fail(item, QUEUE_CRASH, true, 1);
	ck_assert_uint_eq(item->pending_ms, 8000);
}
END_TEST

START_TEST(dropping_what_is_pending_of_a_stream_leaves_what_is_in_flight_or_above)
{
	int s = make((enum state)_i, QUEUE_AHEAD);
	struct queue_item *item = item_of(s);

	queue_drop_pending(&on.q, s, QUEUE_PRECOMPUTE);
	ck_assert_ptr_eq(item_of(s), item);
	queue_drop_pending(&on.q, s, QUEUE_AHEAD);
	queue_check(&on.q);
	ck_assert_ptr_eq(item_of(s), is_in_flight(_i) ? item : NULL);
}
END_TEST

START_TEST(raised_and_lowered_slots_go_where_they_belong)
{
	int s = it_add_stream(4, QUEUE_PRECOMPUTE);
	static const uint32_t order[] = { 2, 3, 0, 1 };

	queue_push(&on.q, s, 3, QUEUE_PLAYER, on.now_ms);
	queue_push(&on.q, s, 2, QUEUE_PLAYER, on.now_ms);
	queue_push(&on.q, s, 1, QUEUE_PLAYER, on.now_ms);
	queue_lower(&on.q, s, 3, QUEUE_AHEAD, on.now_ms);
	queue_lower(&on.q, s, 1, QUEUE_PRECOMPUTE, on.now_ms);
	queue_push(&on.q, s, 0, QUEUE_AHEAD, on.now_ms);
	queue_check(&on.q);
	for (int i = 0; i < 4; i++) {
		it_add_worker(1);
		ck_assert_uint_eq(it_give()->slot, order[i]);
	}
}
END_TEST

/* --- in flight, and nobody wants it */

enum end { END_DONE, END_CRASH, END_LOST, END_RETRY, END_CANCELLED, END_TAKEN_BACK, END_DISCARDED, ENDS };

static void end(struct queue_item *item, enum end how)
{
	static const enum queue_failure failures[] = { [END_CRASH] = QUEUE_CRASH,
						       [END_LOST] = QUEUE_LOST,
						       [END_RETRY] = QUEUE_RETRY,
						       [END_CANCELLED] = QUEUE_CANCELLED };
	int attempts;

	if (how == END_DONE)
		queue_done(&on.q, item, on.now_ms);
	else if (how == END_TAKEN_BACK)
		queue_take_back(&on.q, item, on.now_ms);
	else if (how == END_DISCARDED)
		queue_discard(&on.q, item, on.now_ms);
	else
		ck_assert(!queue_fail(&on.q, item, failures[how], on.now_ms, &attempts));
	queue_check(&on.q);
}

static void check_nothing_left(void)
{
	ck_assert_uint_eq(on.q.n_in_flight, 0);
	ck_assert_uint_eq(on.q.n_waiting, 0);
	ck_assert_int_eq(queue_next_ms(&on.q), INT64_MAX);
	it_add_worker(1);
	it_give_none();
}

START_TEST(an_unwanted_job_ends_for_good_however_it_ends)
{
	int s = make(IN_FLIGHT, _i % QUEUE_CLASSES);
	struct queue_item *item = it_job(s, 0);

	queue_set_deadline(&on.q, item, 1000, 0);
	ck_assert_ptr_eq(queue_drop(&on.q, s, 0), item);
	end(item, _i / QUEUE_CLASSES);
	ck_assert_ptr_null(item_of(s));
	check_nothing_left();
	it_push(s, 0, QUEUE_AHEAD);
	it_give();
}
END_TEST

START_TEST(an_unwanted_job_that_is_pushed_again_is_wanted_at_the_new_class)
{
	int s = make(IN_FLIGHT, QUEUE_PLAYER);

	queue_drop(&on.q, s, 0);
	ck_assert_int_eq(queue_push(&on.q, s, 0, _i, on.now_ms), 0);
	queue_check(&on.q);
	ck_assert_int_eq(it_job(s, 0)->class, _i);
	it_fail(it_job(s, 0), QUEUE_CANCELLED, true, 0);
	it_add_worker(1);
	ck_assert_int_eq(it_give()->stream->number, s);
}
END_TEST

START_TEST(jobs_in_flight_outlive_their_stream_and_end_with_nobody)
{
	int s = make(BEHIND, QUEUE_PRECOMPUTE);
	struct queue_item *item = it_job(s, 0), *front = queue_first_job(&on.q, item->worker->number);

	queue_remove_stream(&on.q, front->stream->number);
	queue_remove_stream(&on.q, s);
	queue_check(&on.q);
	ck_assert_ptr_null(item->stream);
	ck_assert_ptr_eq(queue_find(&on.q, item->worker->number, item->job), item);
	ck_assert_int_eq(queue_add_stream(&on.q, 1, false), 0); /* its number, and nothing of what it was */
	queue_set_deadline(&on.q, item, 1000, 0);
	end(front, _i);
	ck_assert_int_eq(queue_next_ms(&on.q), 1000 + QUEUE_GRACE_MS);
	end(item, _i);
	check_nothing_left();
}
END_TEST

START_TEST(removing_a_stream_takes_what_is_pending_and_what_waits_with_it)
{
	int s = it_add_stream(3, _i), other = it_add_stream(1, QUEUE_AHEAD), w = it_add_worker(1);

	it_fail(it_give(), QUEUE_RETRY, true, 0);
	queue_add_credits(&on.q, w, 1);
	queue_remove_stream(&on.q, s);
	queue_check(&on.q);
	on.now_ms = 100000;
	ck_assert_int_eq(it_give()->stream->number, other);
	ck_assert_uint_eq(on.q.n_waiting, 0);
}
END_TEST

START_TEST(an_exclusive_job_that_lost_its_stream_frees_its_worker)
{
	int s = queue_add_stream(&on.q, 1, true);

	it_add_worker(2);
	it_push(s, 0, QUEUE_AHEAD);
	it_give();
	queue_remove_stream(&on.q, s);
	it_add_stream(1, QUEUE_AHEAD);
	it_give();
}
END_TEST

START_TEST(a_stream_grows_with_all_that_is_in_it)
{
	int s = it_add_stream(2, QUEUE_AHEAD);

	it_add_worker(1);
	it_give();
	ck_assert(queue_set_slots(&on.q, s, 1000));
	ck_assert(queue_set_slots(&on.q, s, 1)); /* never fewer */
	queue_check(&on.q);
	it_push(s, 999, QUEUE_AHEAD);
	ck_assert_uint_eq(on.q.n_pending[QUEUE_AHEAD], 2);
	it_job(s, 0);
}
END_TEST

TCase *tcase_queue_ends(void)
{
	TCase *tc = tcase_create("ends");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_set_up, it_tear_down);
	tcase_add_loop_test(tc, a_job_that_crashed_or_was_refused_is_next_again_under_a_new_id_and_three_times_at_most, 0, 3);
	tcase_add_test(tc, a_lost_job_is_tried_more_often_than_a_crashed_one);
	tcase_add_test(tc, a_job_whose_worker_was_killed_is_tried_more_often_still);
	tcase_add_test(tc, a_job_that_was_told_to_stop_is_tried_for_ever);
	tcase_add_test(tc, a_job_retried_waits_longer_each_time_and_lets_others_pass);
	tcase_add_test(tc, a_job_is_retried_for_a_minute_and_then_given_up);
	tcase_add_test(tc, a_job_that_waits_for_a_worker_for_long_is_not_given_up_for_that);
	tcase_add_test(tc, forgiving_makes_what_waits_ready_and_starts_its_minute_anew);
	tcase_add_loop_test(tc, another_failure_ends_the_minute_of_trouble, 0, 3);
	tcase_add_loop_test(tc, what_a_worker_failed_at_goes_to_another_as_long_as_there_is_one, 0, 2 * QUEUE_CLASSES);
	tcase_add_loop_test(tc, what_a_worker_failed_at_goes_to_one_that_has_a_job, 0, QUEUE_CLASSES);
	tcase_add_test(tc, a_player_preempts_another_worker_than_the_one_that_failed_it);
	tcase_add_test(tc, a_deadline_runs_from_when_a_job_is_its_workers_first);
	tcase_add_loop_test(tc, a_job_without_a_deadline_is_never_overdue_and_one_too_long_is_cut, 0, 2);
	tcase_add_test(tc, the_overdue_are_named_in_the_order_of_their_deadlines);
	tcase_add_test(tc, a_job_that_could_not_be_sent_is_next_again);
	tcase_add_test(tc, a_job_that_is_not_sent_costs_no_credit);
	tcase_add_loop_test(tc, a_slot_dropped_is_gone_or_the_caller_cancels_it, 0, STATES);
	tcase_add_loop_test(tc, a_slot_lowered_has_the_class_and_is_never_raised_by_it, 0, STATES);
	tcase_add_loop_test(tc, a_slot_pushed_again_has_the_higher_class_and_stays_what_it_is, 0, STATES);
	tcase_add_test(tc, a_wait_begins_when_a_slot_is_pushed_and_anew_with_each_class_and_attempt);
	tcase_add_loop_test(tc, dropping_what_is_pending_of_a_stream_leaves_what_is_in_flight_or_above, 0, STATES);
	tcase_add_test(tc, raised_and_lowered_slots_go_where_they_belong);
	tcase_add_loop_test(tc, an_unwanted_job_ends_for_good_however_it_ends, 0, ENDS * QUEUE_CLASSES);
	tcase_add_loop_test(tc, an_unwanted_job_that_is_pushed_again_is_wanted_at_the_new_class, 0, QUEUE_CLASSES);
	tcase_add_loop_test(tc, jobs_in_flight_outlive_their_stream_and_end_with_nobody, 0, ENDS);
	tcase_add_loop_test(tc, removing_a_stream_takes_what_is_pending_and_what_waits_with_it, 0, QUEUE_CLASSES);
	tcase_add_test(tc, an_exclusive_job_that_lost_its_stream_frees_its_worker);
	tcase_add_test(tc, a_stream_grows_with_all_that_is_in_it);
	return tc;
}
