/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A dispatcher in this process, and peers that say what they should not. Nothing of it changes what others have.
 */
#include "common/bus.h"
#include "common/proc.h"
#include "dispatcher/dispatch.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000
#define JOBS 8

static struct redis_fixture redis;
static struct dispatch dispatch;
static struct keys_access access_of_dispatcher;
static struct dispatch_stream *stream;
static struct bus *a, *b;
static struct err err;

static char endpoint[128];

static void set_up_dispatcher(struct keys_access *access)
{
	ck_assert_msg(!dispatch_init(&dispatch, endpoint, access, redis.url, &err), "%s", err.msg);
	ck_assert_msg(!dispatch_add_noop(&dispatch, JOBS, 0, &stream, &err), "%s", err.msg);
}

static void setup(void)
{
	redis_fixture_start(&redis);
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/bus", redis.dir);
	set_up_dispatcher(NULL);
	ck_assert_msg(!bus_connect(&a, endpoint, NULL, &err), "%s", err.msg);
	ck_assert_msg(!bus_connect(&b, endpoint, NULL, &err), "%s", err.msg);
}

static void teardown(void)
{
	bus_destroy(a);
	bus_destroy(b);
	dispatch_finish(&dispatch);
	redis_fixture_stop(&redis);
}

/* ---- what peers do */

static void say_text(struct bus *bus, const char *verb, const char *json)
{
	int v = msg_verb_from_name((struct bytes){ (const uint8_t *)verb, strlen(verb) });

	ck_assert_int_ge(v, 0);
	for (int64_t end_ms = proc_now_ms() + WAIT_MS; bus_send(bus, NULL, v, (struct bytes){ (const uint8_t *)json, strlen(json) }, &err);) {
		ck_assert_msg(proc_now_ms() < end_ms, "%s", err.msg);
		dispatch_work(&dispatch);
		bus_wait(bus, 1);
	}
}

static void say(struct bus *bus, const struct msg *m)
{
	struct buf json = { 0 };

	ck_assert_int_eq(msg_put(m, &json), 0);
	say_text(bus, msg_verb_name(m->verb), buf_cstr(&json));
	buf_finish(&json);
}

static void hello(struct bus *bus, const char *name, int credits)
{
	struct msg m = { .verb = MSG_HELLO, .format = RECORD_FORMAT, .pid = 1 };

	snprintf(m.name, sizeof(m.name), "%s", name);
	say(bus, &m);
	if (credits)
		say(bus, &(struct msg){ .verb = MSG_READY, .credits = credits });
}

#define work_until(is_so)                                                                                    \
	do {                                                                                                 \
		int64_t end_ms_ = proc_now_ms() + WAIT_MS;                                                   \
		while (!(is_so)) {                                                                           \
			ck_assert_msg(proc_now_ms() < end_ms_, "%s does not come: %d workers, %d refused", #is_so, dispatch.n_workers, \
				      (int)dispatch.counters.messages_refused);                              \
			if (!dispatch_work(&dispatch))                                                       \
				bus_wait(dispatch.bus, 1);                                                   \
		}                                                                                            \
	} while (0)

/* The id of the next job that comes, skipping what else does. */
static int64_t take_job(struct bus *bus)
{
	enum msg_verb verb;
	struct bytes json;
	struct job job;

	for (int64_t end_ms = proc_now_ms() + WAIT_MS; proc_now_ms() < end_ms;) {
		dispatch_work(&dispatch);
		bus_wait(bus, 1);
		if (bus_recv(bus, NULL, &verb, &json, &err) == 1 && verb == MSG_JOB) {
			ck_assert_msg(!job_get(json, &job, &err), "%s", err.msg);
			return job.id;
		}
	}
	ck_abort_msg("no job comes");
}

static void check_refused(unsigned n)
{
	work_until(dispatch.counters.messages_refused >= n);
	ck_assert_uint_eq(dispatch.counters.messages_refused, n);
}

/* ---- messages out of order, or wrong */

/* What A says after its HELLO, READY of one credit, and having got one job: it is refused. %d: the job's id. */
static const struct {
	bool is_stranger; /* without its HELLO */
	const char *verb, *json;
	const char *instead; /* json: a right HELLO in which this is put in the place of that */
} wrong[] = {
	{ true, "READY", "{\"credits\":1}" },
	{ true, "BEAT", "{\"job\":0,\"progress\":0}" },
	{ true, "DONE", "{\"job\":1,\"elapsed_us\":1,\"cpu_us\":1,\"bytes\":0}" },
	{ true, "FAIL", "{\"job\":1,\"code\":\"data\",\"reason\":\"\"}" },
	{ true, "BYE", "{}" },
	{ true, "JOB", "{}" },
	{ true, "HELLO", "{}" },
	{ true, "HELLO", "\"\"", "\"host-1-0-1\"" },
	{ true, "HELLO", "\"a b\"", "\"host-1-0-1\"" },
	{ true, "HELLO", "\"a\\n\"", "\"host-1-0-1\"" },
	{ true, "HELLO", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "\"host-1-0-1\"" },
	{ true, "HELLO", "\"pid\":0", "\"pid\":1" },
	{ true, "HELLO", "\"pid\":1,\"x\":1", "\"pid\":1" },
	{ true, "HELLO", "\"pid\":1,\"pid\":2", "\"pid\":1" },
	{ false, "HELLO", "\"pid\":1", "\"pid\":1" },
	{ false, "HELLO", "\"another\"", "\"host-1-0-1\"" },
	{ false, "READY", "{\"credits\":0}" },
	{ false, "READY", "{\"credits\":-1}" },
	{ false, "READY", "{\"credits\":1025}" },
	{ false, "READY", "{\"credits\":1024}" }, /* one is in hand */
	{ false, "READY", "{\"credits\":1e3}" },
	{ false, "READY", "{\"credits\":99999999999999999999}" },
	{ false, "READY", "" },
	{ false, "READY", "[]" },
	{ false, "BEAT", "{\"job\":-1,\"progress\":0}" },
	{ false, "BEAT", "{\"job\":0,\"progress\":0}{}" },
	{ false, "DONE", "{\"job\":1,\"elapsed_us\":1,\"cpu_us\":1,\"bytes\":0}" },
	{ false, "DONE", "{\"job\":%d,\"elapsed_us\":-1,\"cpu_us\":1,\"bytes\":0}" },
	{ false, "DONE", "{\"job\":%d}" },
	{ false, "FAIL", "{\"job\":2,\"code\":\"data\",\"reason\":\"\"}" },
	{ false, "FAIL", "{\"job\":%d,\"code\":\"data\",\"reason\":1}" },
	{ false, "JOB", "{}" },
	{ false, "CANCEL", "{\"job\":%d}" },
	{ false, "STOP", "{}" },
};

/* `from` in text becomes `to`. */
static void put_instead(const char *text, const char *from, const char *to, char *out, size_t size)
{
	const char *at = strstr(text, from);

	ck_assert_msg(at, "%s", text);
	snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void put_wrong(int i, int64_t id, char *out, size_t size)
{
	struct msg hello = { .verb = MSG_HELLO, .format = RECORD_FORMAT, .pid = 1, .name = "host-1-0-1" };
	struct buf json = { 0 };
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)id);
	ck_assert_int_eq(msg_put(&hello, &json), 0);
	if (wrong[i].instead)
		put_instead(buf_cstr(&json), wrong[i].instead, wrong[i].json, out, size);
	else if (strstr(wrong[i].json, "%d"))
		put_instead(wrong[i].json, "%d", number, out, size);
	else
		snprintf(out, size, "%s", wrong[i].json);
	buf_finish(&json);
}

START_TEST(wrong_message_is_refused_and_counted_and_changes_nothing)
{
	char json[512];
	int64_t id = 0;

	if (!wrong[_i].is_stranger) {
		hello(a, "host-1-0-1", 1);
		id = take_job(a);
	}
	put_wrong(_i, id, json, sizeof(json));
	say_text(a, wrong[_i].verb, json);
	check_refused(1);
	ck_assert_int_eq(dispatch.n_workers, wrong[_i].is_stranger ? 0 : 1);
	ck_assert_uint_eq(dispatch.counters.jobs_done + dispatch.counters.jobs_failed, 0);
	/* it may go on as if it had not said that */
	if (wrong[_i].is_stranger) {
		hello(a, "host-1-0-1", 1);
		id = take_job(a);
	}
	say(a, &(struct msg){ .verb = MSG_DONE, .job = id });
	work_until(dispatch.counters.jobs_done == 1);
	ck_assert_uint_eq(dispatch.counters.messages_refused, 1);
}
END_TEST

START_TEST(what_was_said_is_not_believed_again)
{
	int64_t id;

	hello(a, "host-1-0-1", 1);
	id = take_job(a);
	say(a, &(struct msg){ .verb = MSG_DONE, .job = id });
	say(a, &(struct msg){ .verb = MSG_DONE, .job = id });
	check_refused(1);
	say(a, &(struct msg){ .verb = MSG_FAIL, .job = id, .code = ERR_DATA });
	check_refused(2);
	ck_assert_uint_eq(dispatch.counters.jobs_done, 1);
	ck_assert_uint_eq(dispatch.counters.jobs_failed, 0);
	ck_assert_uint_eq(stream->n_quarantined, 0);
	say(a, &(struct msg){ .verb = MSG_BYE });
	say(a, &(struct msg){ .verb = MSG_BYE });
	check_refused(3);
	ck_assert_int_eq(dispatch.n_workers, 0);
}
END_TEST

START_TEST(job_of_another_worker_can_be_neither_ended_nor_failed)
{
	int64_t id;

	hello(a, "host-1-0-1", 1);
	hello(b, "host-1-1-1", 0);
	id = take_job(a);
	say(b, &(struct msg){ .verb = MSG_DONE, .job = id });
	say(b, &(struct msg){ .verb = MSG_FAIL, .job = id, .code = ERR_DATA, .reason = "no" });
	check_refused(2);
	ck_assert_uint_eq(dispatch.counters.jobs_done + dispatch.counters.jobs_failed, 0);
	say(a, &(struct msg){ .verb = MSG_DONE, .job = id });
	work_until(dispatch.counters.jobs_done == 1);
	ck_assert_uint_eq(dispatch.counters.messages_refused, 2);
}
END_TEST

/* It lives, and does nothing. Its jobs go to another when the first is overdue, not one after the other as each of them is. */
START_TEST(worker_that_sits_on_jobs_loses_all_of_them_with_the_first)
{
	struct queue_item *first;

	hello(a, "host-1-0-1", JOBS);
	for (int i = 0; i < JOBS; i++)
		take_job(a);
	first = queue_first_job(&dispatch.queue, dispatch.workers[0]->number);
	queue_set_deadline(&dispatch.queue, first, 1, proc_now_ms() - QUEUE_GRACE_MS - 10);
	work_until(dispatch.n_workers == 0);
	ck_assert_uint_eq(dispatch.counters.jobs_failed, 1);
	hello(b, "host-1-1-1", JOBS);
	for (int i = 0; i < JOBS; i++)
		say(b, &(struct msg){ .verb = MSG_DONE, .job = take_job(b) });
	work_until(dispatch.counters.jobs_done == JOBS);
	say(a, &(struct msg){ .verb = MSG_BEAT });
	work_until(dispatch.counters.messages_refused == 1);
}
END_TEST

START_TEST(job_ids_of_two_dispatchers_do_not_meet)
{
	int64_t first, second;

	hello(a, "host-1-0-1", 1);
	first = take_job(a);
	bus_destroy(a);
	bus_destroy(b);
	b = NULL;
	dispatch_finish(&dispatch);
	set_up_dispatcher(NULL);
	ck_assert_msg(!bus_connect(&a, endpoint, NULL, &err), "%s", err.msg);
	hello(a, "host-1-0-1", 1);
	second = take_job(a);
	ck_assert_int_gt(llabs(first - second), 1000000); /* but once in a billion runs */
}
END_TEST

/* ---- floods */

static void flood(struct bus *bus, int n)
{
	for (int i = 0; i < n; i++)
		say(bus, &(struct msg){ .verb = MSG_DONE, .job = 1 });
}

START_TEST(peer_that_floods_is_not_heard_for_a_while_and_others_are)
{
	int64_t id;

	hello(a, "host-1-0-1", 0);
	hello(b, "host-1-1-1", 1);
	id = take_job(b);
	flood(a, REFUSALS_MAX);
	check_refused(REFUSALS_MAX);
	flood(a, 1000);
	say(a, &(struct msg){ .verb = MSG_READY, .credits = 1 }); /* nothing wrong with this one, but who listens */
	check_refused(REFUSALS_MAX + 1001);
	say(b, &(struct msg){ .verb = MSG_DONE, .job = id });
	say(b, &(struct msg){ .verb = MSG_READY, .credits = 1 });
	take_job(b);
	ck_assert_uint_eq(dispatch.counters.jobs_given, 2);
}
END_TEST

START_TEST(row_of_sessions_is_a_flood)
{
	for (int i = 0; i < REFUSALS_MAX + 10; i++) {
		hello(a, "host-1-0-1", 0);
		say(a, &(struct msg){ .verb = MSG_BYE });
	}
	work_until(dispatch.counters.messages_refused >= 10);
	hello(b, "host-1-1-1", 1);
	take_job(b);
}
END_TEST

static struct bus_peer peer_of(int n)
{
	struct bus_peer peer = { .size = 4 };

	memcpy(peer.id, &n, 4);
	return peer;
}

START_TEST(count_begins_anew_with_time_and_after_the_deafness)
{
	static struct refusals r;
	struct bus_peer bad = peer_of(1), good = peer_of(2);
	int64_t now_ms = 1000;

	for (int i = 0; i < 100000; i++, now_ms += REFUSALS_MS / REFUSALS_MAX + 1)
		ck_assert(!refusals_add(&r, &bad, now_ms)); /* now and then, for ever */
	now_ms += REFUSALS_MS;
	for (int i = 1; i < REFUSALS_MAX; i++)
		ck_assert(!refusals_add(&r, &bad, now_ms));
	ck_assert(!refusals_is_deaf_to(&r, &bad, now_ms));
	ck_assert(refusals_add(&r, &bad, now_ms));
	ck_assert(refusals_is_deaf_to(&r, &bad, now_ms));
	ck_assert(refusals_is_deaf_to(&r, &bad, now_ms + REFUSALS_DEAF_MS - 1));
	ck_assert(!refusals_is_deaf_to(&r, &good, now_ms));
	now_ms += REFUSALS_DEAF_MS;
	ck_assert(!refusals_is_deaf_to(&r, &bad, now_ms));
	ck_assert(!refusals_add(&r, &bad, now_ms)); /* the BEAT of a session that is gone */
	ck_assert(!refusals_is_deaf_to(&r, &bad, now_ms));
}
END_TEST

START_TEST(deafness_to_one_outlives_a_crowd_of_others)
{
	static struct refusals r;
	struct bus_peer bad = peer_of(-1);

	for (int i = 0; i < REFUSALS_MAX; i++)
		refusals_add(&r, &bad, 1000);
	for (int i = 0; i < 100 * REFUSALS_PEERS; i++) {
		struct bus_peer other = peer_of(i);

		ck_assert(!refusals_add(&r, &other, 1000 + i));
	}
	ck_assert(refusals_is_deaf_to(&r, &bad, 10000));
}
END_TEST

START_TEST(lines_about_it_are_few_and_say_how_many_are_missing)
{
	struct log_limit limit = { 0 };
	unsigned unsaid = 0, n = 0, sum = 0;

	for (int i = 0; i < 1000000; i++)
		if (log_may(&limit, &unsaid)) {
			n++;
			sum += 1 + unsaid;
		}
	ck_assert_uint_ge(n, 10);
	ck_assert_uint_lt(n, 100);
	ck_assert_uint_eq(sum + limit.unsaid, 1000000);
}
END_TEST

/* ---- names */

static void make_access(const char *name, struct keys_access *access)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", redis.dir, name);
	ck_assert_msg(!keys_make(path, &access->pair, &err), "%s", err.msg);
	access->has_keys = true;
}

static struct keys_access worker_a, worker_b;
static char list[128];

/* Two hosts, with a key each. ipc takes keys as well as TCP does, and is there for sure. */
static void setup_keys(void)
{
	FILE *f;

	redis_fixture_start(&redis);
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/bus", redis.dir);
	snprintf(list, sizeof(list), "%s/allowed", redis.dir);
	make_access("dispatcher", &access_of_dispatcher);
	make_access("a", &worker_a);
	make_access("b", &worker_b);
	memcpy(worker_a.server_key, access_of_dispatcher.pair.public_key, KEYS_SIZE);
	memcpy(worker_b.server_key, access_of_dispatcher.pair.public_key, KEYS_SIZE);
	f = fopen(list, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s\n%s\n", worker_a.pair.public_key, worker_b.pair.public_key);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_msg(!keys_list_open(&access_of_dispatcher.allowed, list, &err), "%s", err.msg);
	set_up_dispatcher(&access_of_dispatcher);
	ck_assert_msg(!bus_connect(&a, endpoint, &worker_a, &err), "%s", err.msg);
}

static void teardown_keys(void)
{
	teardown();
	keys_access_finish(&access_of_dispatcher);
}

/* The name itself, and one that would say that it is dead. */
static const char *const stolen[] = { "host-1-0-1", "host-1-0-2" };

START_TEST(name_of_another_keys_worker_does_not_end_it)
{
	int64_t id;

	hello(a, "host-1-0-1", 1);
	id = take_job(a);
	ck_assert_msg(!bus_connect(&b, endpoint, &worker_b, &err), "%s", err.msg);
	hello(b, stolen[_i], 1);
	ck_assert_int_ne(take_job(b), id);
	ck_assert_int_eq(dispatch.n_workers, 2);
	ck_assert_uint_eq(dispatch.counters.jobs_failed, 0);
	say(a, &(struct msg){ .verb = MSG_DONE, .job = id });
	work_until(dispatch.counters.jobs_done == 1);
}
END_TEST

START_TEST(name_of_the_same_key_does)
{
	hello(a, "host-1-0-1", 1);
	take_job(a);
	ck_assert_msg(!bus_connect(&b, endpoint, &worker_a, &err), "%s", err.msg);
	hello(b, stolen[_i], 0);
	work_until(dispatch.counters.jobs_failed == 1);
	ck_assert_int_eq(dispatch.n_workers, 1);
}
END_TEST

Suite *suite_refusals(void)
{
	Suite *s = suite_create("dispatcher/refusals");
	TCase *t = tcase_create("messages");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, wrong_message_is_refused_and_counted_and_changes_nothing, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_test(t, what_was_said_is_not_believed_again);
	tcase_add_test(t, job_of_another_worker_can_be_neither_ended_nor_failed);
	tcase_add_test(t, worker_that_sits_on_jobs_loses_all_of_them_with_the_first);
	tcase_add_test(t, job_ids_of_two_dispatchers_do_not_meet);
	tcase_add_test(t, peer_that_floods_is_not_heard_for_a_while_and_others_are);
	tcase_add_test(t, row_of_sessions_is_a_flood);
	suite_add_tcase(s, t);
	t = tcase_create("count");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, count_begins_anew_with_time_and_after_the_deafness);
	tcase_add_test(t, deafness_to_one_outlives_a_crowd_of_others);
	tcase_add_test(t, lines_about_it_are_few_and_say_how_many_are_missing);
	suite_add_tcase(s, t);
	t = tcase_create("names");
	tcase_add_checked_fixture(t, setup_keys, teardown_keys);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, name_of_another_keys_worker_does_not_end_it, 0, 2);
	tcase_add_loop_test(t, name_of_the_same_key_does, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
