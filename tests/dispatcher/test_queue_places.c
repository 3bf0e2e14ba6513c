/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which workers get which streams' jobs: by build, and by GPU.
 */
#include "tests/dispatcher/queue_check.h"
#include "tests/dispatcher/queue_it.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define A "aaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbb"

static int add_worker(bool is_gpu, const char *build, int credits)
{
	struct queue_place has = { .is_gpu = is_gpu };
	int w = queue_add_worker(&on.q);

	strcpy(has.build, build);
	ck_assert(queue_set_has(&on.q, w, &has));
	queue_add_credits(&on.q, w, credits);
	return w;
}

static void need(int stream, bool is_gpu, const char *build)
{
	struct queue_place needs = { .is_gpu = is_gpu };

	strcpy(needs.build, build);
	ck_assert(queue_set_needs(&on.q, stream, &needs, on.now_ms));
	queue_check(&on.q);
}

/* One worker, one stream: does it get its job? now_ms: since the stream is there. */
static const struct {
	bool has_gpu, needs_gpu;
	const char *has, *needs;
	bool other_gpu; /* a worker with one is there, and has no credit */
	int64_t now_ms;
	bool is_given;
} pairs[] = {
	{ false, false, "", "", false, 0, true },
	{ true, false, A, "", false, 0, true },
	{ false, false, A, A, false, 0, true },
	{ false, false, B, A, false, 0, false },
	{ false, false, "", A, false, 0, false },
	{ false, false, B, A, false, 100 * QUEUE_PLACE_MS, false }, /* a build is waited for */
	{ true, true, "", "", false, 0, true },
	{ true, true, A, A, false, 0, true },
	{ true, true, B, A, false, 0, false },
	{ false, true, "", "", false, 0, false },
	{ false, true, "", "", false, QUEUE_PLACE_MS - 1, false },
	{ false, true, "", "", false, QUEUE_PLACE_MS, true }, /* a GPU not for ever */
	{ false, true, "", "", true, 100 * QUEUE_PLACE_MS, false }, /* it is only busy */
	{ false, true, A, A, true, 100 * QUEUE_PLACE_MS, true }, /* there is one, of another build */
};

START_TEST(a_job_goes_to_workers_of_its_place)
{
	int s = it_add_stream(1, _i % 3), w = add_worker(pairs[_i / 3].has_gpu, pairs[_i / 3].has, 2);

	need(s, pairs[_i / 3].needs_gpu, pairs[_i / 3].needs);
	if (pairs[_i / 3].other_gpu)
		add_worker(true, "", 0);
	if (pairs[_i / 3].now_ms) { /* the waiting begins with the first look */
		it_give_none();
		on.now_ms = pairs[_i / 3].now_ms;
	}
	if (pairs[_i / 3].is_given)
		ck_assert_int_eq(it_give()->worker->number, w);
	it_give_none();
}
END_TEST

START_TEST(a_gpu_is_left_to_those_that_need_one_as_long_as_others_are_free)
{
	int any = it_add_stream(3, QUEUE_PRECOMPUTE), hard = it_add_stream(2, QUEUE_PRECOMPUTE), gpu = add_worker(true, "", 1),
	    plain = add_worker(false, "", 2);

	need(hard, true, "");
	for (int i = 0; i < 3; i++) {
		struct queue_item *item = it_give();

		ck_assert_int_eq(item->worker->number, item->stream->number == hard ? gpu : plain);
	}
	it_give_none(); /* one of each stream is left */
	queue_add_credits(&on.q, gpu, 1);
	ck_assert_int_eq(it_give()->stream->number, hard); /* though the other one waits for longer */
	queue_add_credits(&on.q, gpu, 1);
	ck_assert_int_eq(it_give()->stream->number, any); /* and it does not idle */
}
END_TEST

START_TEST(where_all_have_a_gpu_streams_take_turns)
{
	int a = it_add_stream(2, QUEUE_AHEAD), b = it_add_stream(2, QUEUE_AHEAD), n[8] = { 0 };

	need(b, true, "");
	for (int i = 0; i < 4; i++) {
		int s;

		add_worker(true, "", 1);
		s = it_give()->stream->number;
		n[s]++;
		ck_assert_int_le(n[a] > n[b] ? n[a] - n[b] : n[b] - n[a], 1);
	}
}
END_TEST

START_TEST(a_player_who_waits_for_a_gpu_keeps_only_those_who_have_one)
{
	int hard = it_add_stream(2, QUEUE_PLAYER), any = it_add_stream(2, QUEUE_PRECOMPUTE), gpu = add_worker(true, "", 2), plain;

	need(hard, true, "");
	ck_assert_int_eq(it_give()->worker->number, gpu);
	it_give_none(); /* it has a credit, for nothing that is not the player's */
	plain = add_worker(false, "", 1);
	ck_assert_int_eq(it_give()->worker->number, plain);
	it_give_none();
	(void)any;
}
END_TEST

/* Not even what it would have to give up at once: a job of the stream that it had last, or one that another has failed at. */
START_TEST(a_worker_that_is_kept_for_a_player_gets_nothing_else)
{
	int hard = queue_add_stream(&on.q, 2, false), any = queue_add_stream(&on.q, 2, false), gpu = add_worker(true, "", 4), plain;

	need(hard, true, "");
	it_push(hard, 0, QUEUE_PLAYER);
	ck_assert_int_eq(it_give()->worker->number, gpu);
	it_push(any, 0, QUEUE_PRECOMPUTE);
	ck_assert_int_eq(it_give()->worker->number, gpu); /* nobody waits yet */
	it_push(hard, 1, QUEUE_PLAYER);
	it_give_none();
	it_add_stream(1, QUEUE_PRECOMPUTE);
	plain = add_worker(false, "", 3);
	ck_assert_int_eq(it_give()->worker->number, plain);
	it_push(any, 1, QUEUE_PRECOMPUTE);
	ck_assert_int_eq(it_give()->worker->number, plain); /* as busy as the other one is */
	it_fail(it_job(any, 1), QUEUE_REFUSED, true, 1);
	it_give_none();
	it_done(it_job(hard, 0));
	ck_assert_int_eq(it_give_preempting()->stream->number, hard);
}
END_TEST

START_TEST(a_player_takes_a_job_away_only_where_his_own_can_be_done)
{
	int other, wanted;

	it_add_stream(1, QUEUE_PRECOMPUTE);
	add_worker(false, B, 2);
	other = it_give()->worker->number;
	wanted = it_add_stream(1, QUEUE_PLAYER);
	need(wanted, false, A);
	it_give_none();
	add_worker(false, A, 1);
	ck_assert_int_ne(it_give()->worker->number, other);
}
END_TEST

/* Else it would wait for ever: the only one of its build has failed at it. */
START_TEST(what_the_only_worker_of_its_place_refused_goes_there_again_or_where_there_is_no_gpu)
{
	int s = it_add_stream(1, QUEUE_AHEAD), first = add_worker(true, A, 3), other;

	need(s, true, A);
	add_worker(true, B, 2);
	it_fail(it_give(), QUEUE_REFUSED, true, 1);
	ck_assert_int_eq(it_give()->worker->number, first);
	other = add_worker(false, A, 2);
	it_fail(it_job(s, 0), QUEUE_REFUSED, true, 2);
	ck_assert_int_eq(it_give()->worker->number, other);
}
END_TEST

START_TEST(a_stream_keeps_its_turn_while_a_job_of_it_waits_for_another_worker)
{
	int s = it_add_stream(2, QUEUE_AHEAD);

	need(s, false, A);
	add_worker(false, A, 2);
	add_worker(false, A, 0); /* busy */
	it_fail(it_give(), QUEUE_REFUSED, true, 1);
	it_add_stream(1, QUEUE_AHEAD); /* of another place, whose turn comes later */
	it_give();
	it_job(s, 1);
}
END_TEST

START_TEST(a_stream_changes_its_place_with_what_is_pending)
{
	int s = it_add_stream(2, QUEUE_PRECOMPUTE), w = add_worker(false, A, 5);

	it_push(queue_add_stream(&on.q, 1, false), 0, QUEUE_PRECOMPUTE);
	need(s, false, B);
	ck_assert(!queue_has_build(&on.q, s));
	ck_assert_int_ne(it_give()->stream->number, s);
	it_give_none();
	need(s, false, "");
	ck_assert(queue_has_build(&on.q, s));
	it_give();
	need(s, false, B); /* what is in flight stays there */
	it_give_none();
	it_done(queue_first_job(&on.q, w));
}
END_TEST

START_TEST(there_are_so_many_places_and_those_that_are_left_are_used_again)
{
	struct queue_place place = { 0 };
	int w[QUEUE_PLACES_MAX + 1];

	for (int i = 0; i <= QUEUE_PLACES_MAX; i++) {
		w[i] = queue_add_worker(&on.q);
		snprintf(place.build, sizeof place.build, "%016x", i);
		ck_assert_int_eq(queue_set_has(&on.q, w[i], &place), i < QUEUE_PLACES_MAX - 1);
	}
	queue_check(&on.q);
	queue_remove_worker(&on.q, w[3]);
	ck_assert(queue_set_has(&on.q, w[QUEUE_PLACES_MAX], &place));
	queue_check(&on.q);
	for (int i = 0; i <= QUEUE_PLACES_MAX; i++) {
		int s = queue_add_stream(&on.q, 1, false);

		snprintf(place.build, sizeof place.build, "%016x", i);
		ck_assert_int_eq(queue_set_needs(&on.q, s, &place, on.now_ms), i < QUEUE_PLACES_MAX - 1);
	}
	queue_remove_stream(&on.q, 5);
	ck_assert(queue_set_needs(&on.q, QUEUE_PLACES_MAX, &place, on.now_ms));
}
END_TEST

TCase *tcase_queue_places(void)
{
	TCase *tc = tcase_create("places");

	tcase_add_checked_fixture(tc, it_set_up, it_tear_down);
	tcase_add_loop_test(tc, a_job_goes_to_workers_of_its_place, 0, 3 * (int)(sizeof pairs / sizeof *pairs));
	tcase_add_test(tc, a_gpu_is_left_to_those_that_need_one_as_long_as_others_are_free);
	tcase_add_test(tc, where_all_have_a_gpu_streams_take_turns);
	tcase_add_test(tc, a_player_who_waits_for_a_gpu_keeps_only_those_who_have_one);
	tcase_add_test(tc, a_worker_that_is_kept_for_a_player_gets_nothing_else);
	tcase_add_test(tc, a_player_takes_a_job_away_only_where_his_own_can_be_done);
	tcase_add_test(tc, what_the_only_worker_of_its_place_refused_goes_there_again_or_where_there_is_no_gpu);
	tcase_add_test(tc, a_stream_keeps_its_turn_while_a_job_of_it_waits_for_another_worker);
	tcase_add_test(tc, a_stream_changes_its_place_with_what_is_pending);
	tcase_add_test(tc, there_are_so_many_places_and_those_that_are_left_are_used_again);
	return tc;
}
