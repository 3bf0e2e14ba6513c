/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The farm as a whole: whatever dies, and in whatever order things are made, the bytes are the same and nothing is
 * left.
 */
#include "common/buf.h"
#include "common/store.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TITLE                                                                                                         \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 120 -c:v libx264 -preset " \
	"ultrafast "                                                                                                  \
	"-bf 2 -g 48 -c:a ac3 -b:a 448k \"$OUT\""
#define HIT_MS 1000 /* a worker that was killed and had no job: try another */
#define TRIES 20

static const char *title; /* 20 segments, 0.1 s of work each */
static char *reference; /* what -o writes when nobody disturbs */

static void make_reference(void)
{
	title = media_make("farm.mkv", TITLE);
	ck_assert_int_ge(asprintf(&reference, "%s/farm-reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s' -j 2; ls '%s/main' | grep -c m4s | grep -qx 20", title, reference,
		reference));
}

static void check_same(const char *out)
{
	free(sh("diff -r '%s' '%s'", reference, out));
}

/* --- killing */

static bool has_line(const struct bg *b, const char *one, const char *other)
{
	char *log = bg_log(b), *rest = log, *line;
	bool has_it = false;

	while (!has_it && (line = strsep(&rest, "\n")))
		has_it = strstr(line, one) && strstr(line, other);
	free(log);
	return has_it;
}

/* Kills workers of `farm` until `dispatcher` has told that a job ended by that. */
static void crash_a_worker(const struct bg *dispatcher, const struct bg *farm, int sig)
{
	char reason[40];
	pid_t pids[8];

	snprintf(reason, sizeof reason, "killed by signal %d ", sig);
	for (int i = 0; i < TRIES; i++) {
		int n = bg_find(farm, "[segfarm-session]", NULL, pids, 8);

		if (n)
			kill(pids[i % (n < 8 ? n : 8)], sig);
		for (int64_t end_ms = proc_now_ms() + HIT_MS; proc_now_ms() < end_ms;) {
			if (has_line(dispatcher, "msg=\"job failed\"", reason))
				return;
			bg_sleep(BG_STEP_MS);
		}
	}
	ck_abort_msg("signal %d hit no worker in mid-job:\n%s", sig, bg_tail(dispatcher));
}

static void start_run(struct bg *b, const char *options)
{
	bg_open(b);
	bg_start(b, "\"$SEGFARM\" run '%s' -o %s/out -v %s", title, b->dir, options);
}

static void end_run(struct bg *b)
{
	char out[64];

	ck_assert_msg(bg_wait(b) == 0, "%s", bg_tail(b));
	snprintf(out, sizeof out, "%s/out", b->dir);
	check_same(out);
	bg_check_clean(b);
	bg_close(b);
}

START_TEST(order_and_number_and_death_of_workers_change_no_byte)
{
	static const char *const options[] = { "-j 1 --order shuffle:1", "-j 2 --order shuffle:22",
					       "-j 4 --order shuffle:333" };
	struct bg b;

	start_run(&b, options[_i]);
	bg_wait_log(&b, "job done", 2);
	crash_a_worker(&b, &b, SIGKILL);
	crash_a_worker(&b, &b, SIGSEGV);
	end_run(&b);
}
END_TEST

START_TEST(one_worker_in_order_writes_the_same_bytes)
{
	struct bg b;

	start_run(&b, "-j 1");
	end_run(&b);
}
END_TEST

/* Nor does its pool notice it. */
START_TEST(silent_worker_holds_nothing_up)
{
	struct bg b;

	start_run(&b, "-j 2");
	bg_wait_log(&b, "job done", 2);
	kill(bg_role(&b, "pool"), SIGSTOP);
	kill(bg_role(&b, "worker"), SIGSTOP);
	bg_wait_log(&b, "msg=\"worker lost\"", 1);
	end_run(&b);
}
END_TEST

START_TEST(stopped_worker_is_replaced_by_its_pool)
{
	pid_t worker;
	struct bg b;

	start_run(&b, "-j 1");
	bg_wait_log(&b, "job done", 2);
	worker = bg_role(&b, "worker");
	kill(worker, SIGSTOP);
	bg_wait_log(&b, "reason=\"it was stopped\"", 2); /* the pool says it, and the dispatcher */
	ck_assert_int_ne(bg_role(&b, "worker"), worker);
	end_run(&b);
}
END_TEST

START_TEST(worker_that_is_stopped_with_its_pool_goes_on_with_it)
{
	pid_t worker;
	struct bg b;

	start_run(&b, "-j 1");
	bg_wait_log(&b, "job done", 2);
	worker = bg_role(&b, "worker");
	kill(bg_role(&b, "pool"), SIGSTOP);
	kill(worker, SIGSTOP);
	bg_sleep(1500); /* over what a worker alone is given */
	kill(worker, SIGCONT);
	kill(bg_role(&b, "pool"), SIGCONT);
	bg_wait_log(&b, "job done", 4);
	ck_assert_int_eq(bg_role(&b, "worker"), worker);
	end_run(&b);
}
END_TEST

/* --- what Redis holds */

struct stack {
	struct redis_fixture redis;
	struct bg serve, pool;
};

static void start_stack(struct stack *s, int workers, const char *options)
{
	redis_fixture_start(&s->redis);
	bg_open(&s->serve);
	bg_open(&s->pool);
	programs_serve(&s->serve, &s->redis, "%s '%s'", options, title);
	programs_pool(&s->pool, &s->redis, &s->serve, workers, "");
}

/* Workers and dispatcher go, with all that is theirs. */
static void stop_stack(struct stack *s)
{
	programs_end(&s->pool);
	programs_end(&s->serve);
	bg_close(&s->pool);
	bg_close(&s->serve);
	redis_fixture_stop(&s->redis);
}

static redisReply *ask(redisContext *c, const char *command, const char *key)
{
	redisReply *reply = key ? redisCommand(c, "%s %s", command, key) : redisCommand(c, command);

	ck_assert_msg(reply && reply->type != REDIS_REPLY_ERROR, "%s: %s", command, reply ? reply->str : c->errstr);
	return reply;
}

static int compare_texts(const void *a, const void *b)
{
	const redisReply *const *x = a, *const *y = b;

	return strcmp((*x)->str, (*y)->str);
}

/* A hash as lines "field size bytes", in order of fields; the time of acceptance is of no interest. */
static void put_hash(struct buf *out, const redisReply *reply)
{
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		for (size_t k = i + 2; k + 1 < reply->elements; k += 2)
			if (strcmp(reply->element[k]->str, reply->element[i]->str) < 0)
				for (size_t j = 0; j < 2; j++) {
					redisReply *other = reply->element[i + j];

					reply->element[i + j] = reply->element[k + j];
					reply->element[k + j] = other;
				}
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		if (strcmp(reply->element[i]->str, "created"))
			buf_printf(out, " %s=%s\n", reply->element[i]->str, reply->element[i + 1]->str);
}

static void put_key(struct buf *out, redisContext *c, const char *key)
{
	redisReply *type, *ttl, *value;

	if (!strncmp(key, "segfarm:dispatcher", 18) || !strncmp(key, "segfarm:beacon:", 15) || strstr(key, "}:owner")) /* who made it is of no interest either */
		return;
	type = ask(c, "TYPE", key);
	ttl = ask(c, "PTTL", key);
	/* pieces may be evicted, nothing else */
	ck_assert_msg(strstr(key, "}:seg:") ? ttl->integer > (STORE_LIFETIME_S - 3600) * 1000 : ttl->integer == -1, "%s is gone in %lld ms", key,
		      ttl->integer);
	buf_printf(out, "%s %s\n", key, type->str);
	if (!strcmp(type->str, "string")) {
		value = ask(c, "GET", key);
		buf_put(out, value->str, value->len);
	} else if (!strcmp(type->str, "hash")) {
		value = ask(c, "HGETALL", key);
		put_hash(out, value);
	} else {
		ck_assert_str_eq(type->str, "set");
		value = ask(c, "SMEMBERS", key);
		for (size_t i = 0; i < value->elements; i++)
			buf_printf(out, " %s\n", value->element[i]->str);
	}
	freeReplyObject(type);
	freeReplyObject(ttl);
	freeReplyObject(value);
}

/* Every key and value. */
static void dump(const struct stack *s, struct buf *out)
{
	redisContext *c = redisConnectUnix(s->redis.socket);
	redisReply *keys;

	ck_assert(c && !c->err);
	keys = ask(c, "KEYS *", NULL);
	ck_assert_uint_gt(keys->elements, 20); /* pieces of the segments, and what is known of the title */
	qsort(keys->element, keys->elements, sizeof *keys->element, compare_texts);
	for (size_t i = 0; i < keys->elements; i++)
		put_key(out, c, keys->element[i]->str);
	ck_assert(!buf_failed(out));
	freeReplyObject(keys);
	redisFree(c);
}

static void check_same_dump(const struct buf *a, const struct buf *b)
{
	size_t i = 0;

	while (i < a->size && i < b->size && a->data[i] == b->data[i])
		i++;
	ck_assert_msg(a->size == b->size && i == a->size,
		      "%zu and %zu bytes, different from byte %zu on: %.80s | %.80s", a->size, b->size, i,
		      (const char *)a->data + (i > 40 ? i - 40 : 0), (const char *)b->data + (i > 40 ? i - 40 : 0));
}

START_TEST(redis_holds_the_same_values_whatever_died)
{
	static const char *const orders[] = { "", "--order shuffle:1", "--order shuffle:2" };
	static const int workers[] = { 2, 1, 4 };
	struct buf first = { 0 }, other = { 0 };

	for (int i = 0; i < 3; i++) {
		struct stack s = { 0 };

		start_stack(&s, workers[i], orders[i]);
		if (i) {
			bg_wait_log(&s.serve, "job done", 2);
			crash_a_worker(&s.serve, &s.pool, SIGKILL);
			crash_a_worker(&s.serve, &s.pool, SIGSEGV);
		}
		bg_wait_log(&s.serve, "state=done", 1);
		buf_reset(&other);
		dump(&s, i ? &other : &first);
		if (i)
			check_same_dump(&first, &other);
		stop_stack(&s);
	}
	buf_finish(&first);
	buf_finish(&other);
}
END_TEST

/* The store comes back empty: what a stream came to is written again, with its reason, though nothing is made for it. */
START_TEST(state_of_a_stream_outlives_what_the_store_lost)
{
	struct redis_fixture redis;
	struct bg serve, pool;
	redisReply *key, *state;
	redisContext *c;

	redis_fixture_start(&redis);
	bg_open(&serve);
	bg_open(&pool);
	free(sh("echo This is a text. > %s/text.mkv", sh_scratch()));
	programs_serve(&serve, &redis, "%s/text.mkv", sh_scratch());
	programs_pool(&pool, &redis, &serve, 1, "");
	bg_wait_log(&serve, "msg=\"stream failed\"", 1);
	redis_fixture_restart(&redis);
	c = redisConnectUnix(redis.socket);
	bg_wait_until((key = redisCommand(c, "SRANDMEMBER segfarm:streams"), key && key->type == REDIS_REPLY_STRING), "no stream");
	bg_wait_until((state = redisCommand(c, "HGET segfarm:{%s}:stream state", key->str), state && state->str && !strcmp(state->str, "failed")),
		      "the state is another one");
	freeReplyObject(state);
	freeReplyObject(key);
	redisFree(c);
	bg_close(&pool);
	bg_close(&serve);
	redis_fixture_stop(&redis);
}
END_TEST

START_TEST(pool_that_is_killed_takes_its_workers_along)
{
	struct stack s = { 0 };

	start_stack(&s, 2, "");
	bg_wait_log(&s.serve, "job done", 2);
	kill(s.pool.pid, SIGKILL);
	ck_assert_int_eq(bg_wait(&s.pool), 128 + SIGKILL);
	bg_check_clean(&s.pool);
	programs_pool(&s.pool, &s.redis, &s.serve, 2, "");
	bg_wait_log(&s.serve, "state=done", 1);
	stop_stack(&s);
}
END_TEST

/* --- nothing is left behind */

static const struct {
	int sig;
	bool to_group;
	int status;
} ends[] = {
	{ SIGINT, false, 128 + SIGINT }, /* as kill(1) does it */
	{ SIGINT, true, 128 + SIGINT }, /* as a terminal does it */
	{ SIGTERM, false, 128 + SIGTERM },
	{ SIGHUP, true, 128 + SIGHUP },
	{ SIGKILL, false, 128 + SIGKILL },
	{ SIGKILL, true, 128 + SIGKILL },
};

START_TEST(run_that_is_ended_leaves_nothing_behind)
{
	struct bg b;

	start_run(&b, "-j 2");
	bg_wait_log(&b, "job done", 2);
	kill(ends[_i].to_group ? -b.pid : b.pid, ends[_i].sig);
	ck_assert_int_eq(bg_wait(&b), ends[_i].status);
	bg_check_clean(&b);
	if (ends[_i].sig != SIGKILL)
		bg_wait_log(&b, "segfarm run: stopped by a signal\n", 1);
	bg_close(&b);
}
END_TEST

START_TEST(run_that_is_ended_as_it_starts_leaves_nothing_behind)
{
	static const int at_ms[] = { 0, 1, 2, 4, 7, 11, 16, 22, 30, 45, 70, 110 };

	for (size_t i = 0; i < sizeof at_ms / sizeof *at_ms; i++) {
		struct bg b;
		int status;

		start_run(&b, "-j 2");
		bg_sleep(at_ms[i]);
		kill(b.pid, ends[_i].sig);
		status = bg_wait(&b);
		ck_assert_msg(status == ends[_i].status, "status %d of %d at %d ms: %s", status, ends[_i].sig, at_ms[i],
			      bg_tail(&b));
		bg_check_clean(&b);
		bg_close(&b);
	}
}
END_TEST

static const char *const killed[] = { "redis", "pool", "worker", "janitor" };

START_TEST(run_survives_the_death_of_any_of_its_processes)
{
	struct bg b;

	start_run(&b, "-j 2");
	bg_wait_log(&b, "job done", 6);
	kill(bg_role(&b, killed[_i]), SIGKILL);
	end_run(&b);
}
END_TEST

START_TEST(run_survives_deaths_before_anything_is_made)
{
	struct bg b;

	start_run(&b, "-j 2");
	bg_wait_log(&b, "looking at the file", 1); /* a Redis that dies before the title is in it ends the run */
	kill(bg_role(&b, killed[_i]), SIGKILL);
	end_run(&b);
}
END_TEST

START_TEST(janitor_is_replaced_before_it_is_needed)
{
	struct bg b;
	pid_t first;

	start_run(&b, "-j 2");
	bg_wait_log(&b, "job done", 1);
	first = bg_role(&b, "janitor");
	kill(first, SIGKILL);
	bg_wait_until(bg_role(&b, "janitor") != first, "there is no other janitor");
	kill(b.pid, SIGKILL);
	bg_wait(&b);
	bg_check_clean(&b);
	bg_close(&b);
}
END_TEST

START_TEST(child_that_keeps_dying_ends_the_run_with_one_sentence)
{
	struct bg b;
	pid_t pid = 0;

	start_run(&b, "-j 1");
	while (kill(b.pid, 0) == 0 && !has_line(&b, "keeps dying", "segfarm-worker")) {
		if (bg_find(&b, "[segfarm-worker]", NULL, &pid, 1) == 1)
			kill(pid, SIGKILL);
		bg_sleep(BG_STEP_MS);
	}
	ck_assert_int_eq(bg_wait(&b), 1);
	bg_wait_log(&b, "segfarm run: segfarm-worker keeps dying\n", 1);
	bg_check_clean(&b);
	bg_close(&b);
}
END_TEST

Suite *suite_farm(void)
{
	Suite *s = suite_create("farm");
	TCase *t = tcase_create("farm");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_loop_test(t, order_and_number_and_death_of_workers_change_no_byte, 0, 3);
	tcase_add_test(t, one_worker_in_order_writes_the_same_bytes);
	tcase_add_test(t, silent_worker_holds_nothing_up);
	tcase_add_test(t, stopped_worker_is_replaced_by_its_pool);
	tcase_add_test(t, worker_that_is_stopped_with_its_pool_goes_on_with_it);
	tcase_add_test(t, redis_holds_the_same_values_whatever_died);
	tcase_add_test(t, state_of_a_stream_outlives_what_the_store_lost);
	tcase_add_test(t, pool_that_is_killed_takes_its_workers_along);
	tcase_add_loop_test(t, run_that_is_ended_leaves_nothing_behind, 0, sizeof ends / sizeof *ends);
	tcase_add_loop_test(t, run_that_is_ended_as_it_starts_leaves_nothing_behind, 0, sizeof ends / sizeof *ends - 1);
	tcase_add_loop_test(t, run_survives_the_death_of_any_of_its_processes, 0, sizeof killed / sizeof *killed);
	tcase_add_loop_test(t, run_survives_deaths_before_anything_is_made, 0, 2);
	tcase_add_test(t, janitor_is_replaced_before_it_is_needed);
	tcase_add_test(t, child_that_keeps_dying_ends_the_run_with_one_sentence);
	suite_add_tcase(s, t);
	return s;
}
