/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A Redis that is full, read-only, stopped, locked, that evicts, that holds nonsense: dispatching waits, players are told why, and in the
 * end every segment is there, and right.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 20 /* of the title */

static const char *title;
static char *reference, *names[SEGMENTS];
static struct cluster s;
static char *key;

static void make_reference(void)
{
	title = media_twenty_segments();
	reference = cluster_reference(title, names, SEGMENTS);
}

static void start(const char *options)
{
	char *all;

	ck_assert_int_ge(asprintf(&all, "%s '%s'", options, title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, all);
	key = cluster_key(&s, 0);
	cluster_pool(&s, 0, 2);
	free(all);
}

static void end(void)
{
	cluster_close(&s);
	free(key);
}

static const char *redis(const char *command)
{
	const char *reply = redis_fixture_command(&s.redis, command);

	ck_assert_msg(reply[0] != '-', "%s: %s", command, reply);
	return reply;
}

static long n_made(void)
{
	return cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key);
}

/* HTTP status of a segment; its bytes, or what is said instead, in "got". */
static int get(int segment)
{
	char path[200], file[64];

	snprintf(path, sizeof path, "/hls/%s/main/%s", key, names[segment]);
	snprintf(file, sizeof file, "%s/got", s.serve[0].dir);
	return cluster_get(&s, 0, path, file);
}

static void check_got(int segment)
{
	free(sh("cmp '%s/got' '%s/main/%s'", s.serve[0].dir, reference, names[segment]));
}

/* Players are answered 503, with these words. */
static void wait_for_reason(const char *words)
{
	int segment = SEGMENTS - 1;

	bg_wait_until(get(segment) == 503 && sh_status(NULL, "grep -q '%s' '%s/got'", words, s.serve[0].dir) == 0,
		      "no word of '%s'", words);
}

static void check_complete(void)
{
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	for (int i = 0; i < SEGMENTS; i++) {
		ck_assert_int_eq(get(i), 200);
		check_got(i);
	}
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:fails", key), 0);
}

START_TEST(full_memory_pauses_and_more_memory_resumes)
{
	long used;

	start("");
	bg_wait_until(n_made() >= 2, "nothing is made");
	used = strtol(sh("redis-cli -s %s info memory | sed -n 's/^used_memory://p'", s.redis.socket), NULL, 10);
	redis("CONFIG SET maxmemory-policy noeviction");
	free(sh("redis-cli -s %s config set maxmemory %ld", s.redis.socket, used));
	wait_for_reason("OOM command not allowed");
	ck_assert_int_eq(get(0), 200); /* what is made is served */
	check_got(0);
	redis("CONFIG SET maxmemory 0");
	check_complete();
	end();
}
END_TEST

START_TEST(read_only_redis_pauses_until_it_is_not)
{
	start("");
	bg_wait_until(n_made() >= 2, "nothing is made");
	redis("REPLICAOF 127.0.0.1 1");
	wait_for_reason("READONLY");
	ck_assert_int_eq(get(0), 200);
	redis("REPLICAOF NO ONE");
	check_complete();
	end();
}
END_TEST

START_TEST(stopped_redis_is_waited_for)
{
	start("");
	bg_wait_until(n_made() >= 2, "nothing is made");
	kill(s.redis.pid, SIGSTOP);
	bg_wait_log(&s.serve[0], "store is in trouble", 1);
	ck_assert_int_eq(get(SEGMENTS - 1), 503);
	kill(s.redis.pid, SIGCONT);
	check_complete();
	end();
}
END_TEST

START_TEST(rights_that_are_taken_away_and_given_back)
{
	start("");
	bg_wait_until(n_made() >= 2, "nothing is made");
	redis("ACL SETUSER default -set -eval -hset");
	wait_for_reason("NOPERM");
	redis("ACL SETUSER default +@all");
	check_complete();
	end();
}
END_TEST

START_TEST(key_of_a_wrong_type_fails_its_stream_and_no_other)
{
	char *other, *out;

	start("");
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	free(sh("redis-cli -s %s del 'segfarm:{%s}:segs:main'", s.redis.socket, key));
	free(sh("redis-cli -s %s set 'segfarm:{%s}:segs:main' nonsense", s.redis.socket, key));
	free(sh("redis-cli -s %s client kill type normal", s.redis.socket)); /* so that it is compared */
	bg_wait_until(cluster_admin(&s, &out, "status", "") == 0 && strstr(out, "WRONGTYPE"), "not told");
	ck_assert_int_ne(get(0), 200);
	ck_assert_int_ge(asprintf(&other, "--segment-duration 4 '%s'", title), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "submit", other), 0);
	out[16] = '\0';
	bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", out) == 30, "the other one");
	free(out);
	free(other);
	end();
}
END_TEST

START_TEST(two_players_play_on_while_redis_evicts_and_a_title_is_made)
{
	start("--read-ahead 2");
	redis("CONFIG SET maxmemory-policy allkeys-lru");
	free(sh("redis-cli -s %s config set maxmemory 6mb", s.redis.socket));
	for (int i = 0; i < SEGMENTS; i++) {
		ck_assert_int_eq(get(i), 200);
		check_got(i);
		ck_assert_int_eq(get(SEGMENTS - 1 - i), 200);
		check_got(SEGMENTS - 1 - i);
	}
	end();
}
END_TEST

START_TEST(wrong_password_is_said_at_once)
{
	char *out;

	start("--on-demand");
	bg_wait_until(get(0) == 200, "not served");
	redis("CONFIG SET requirepass secret");
	ck_assert_int_ne(sh_status(&out, "\"$SEGFARM\" status --redis %s", s.redis.url), 0);
	ck_assert_msg(strstr(out, "NOAUTH") && !strstr(out, "secret"), "%s", out);
	free(out);
	free(sh("redis-cli -s %s --no-auth-warning -a secret config set requirepass ''", s.redis.socket));
	end();
}
END_TEST

/* --- what a person does */

START_TEST(person_submits_looks_cancels_retries_and_removes)
{
	char *out, *submit;

	start("--on-demand");
	ck_assert_int_ge(asprintf(&submit, "--segment-duration 4 '%s'", title), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "submit", submit), 0);
	out[16] = '\0';
	free(key);
	key = out;
	bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key) >= 1, "not begun");
	ck_assert_int_eq(cluster_admin(&s, NULL, "cancel", key), 0);
	bg_wait_until(cluster_status(&s, "dispatchers.*.queue.precompute") == 0, "not cancelled");
	ck_assert_int_lt(cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key), 30);
	ck_assert_int_eq(cluster_admin(&s, NULL, "submit", submit), 0);
	bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key) == 30, "not gone on with");
	ck_assert_int_eq(cluster_status(&s, "streams"), 2);
	ck_assert_int_eq(cluster_admin(&s, NULL, "rm", key), 0);
	ck_assert_int_eq(cluster_status(&s, "streams"), 1);
	bg_wait_until(get(0) == 404, "still served");
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:stream segfarm:{%s}:segs:main segfarm:{%s}:init:main", key, key, key), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "rm", key), 2);
	ck_assert_msg(strstr(out, "there is no stream"), "%s", out);
	free(out);
	ck_assert_int_eq(cluster_admin(&s, &out, "retry", "nonsense"), 2);
	free(out);
	free(submit);
	end();
}
END_TEST

/* Who was asked to remove it has died over that. */
START_TEST(what_is_left_of_a_removed_stream_goes_while_others_live)
{
	start("--on-demand");
	cluster_redis(&s, "SADD segfarm:streams 0123456789abcdef");
	cluster_redis(&s, "HSET segfarm:{0123456789abcdef}:segs:main '0:1' '1 1 0123456789abcdef 0123456789abcdef'");
	cluster_redis(&s, "SETNX segfarm:{0123456789abcdef}:seg:main:0:1:0 x");
	cluster_redis(&s, "HSET segfarm:{0123456789abcdef}:removed state done");
	bg_wait_until(cluster_redis(&s, "EVAL \"return #redis.call('KEYS', 'segfarm:{0123456789abcdef}*')\" 0") == 0, "something is left");
	bg_wait_until(cluster_redis(&s, "SISMEMBER segfarm:streams 0123456789abcdef") == 0, "it is listed");
	ck_assert_int_eq(get(0), 200);
	end();
}
END_TEST

Suite *suite_store_trouble(void)
{
	Suite *suite = suite_create("store_trouble");
	TCase *t = tcase_create("store_trouble");

	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, full_memory_pauses_and_more_memory_resumes);
	tcase_add_test(t, read_only_redis_pauses_until_it_is_not);
	tcase_add_test(t, stopped_redis_is_waited_for);
	tcase_add_test(t, rights_that_are_taken_away_and_given_back);
	tcase_add_test(t, key_of_a_wrong_type_fails_its_stream_and_no_other);
	tcase_add_test(t, two_players_play_on_while_redis_evicts_and_a_title_is_made);
	tcase_add_test(t, wrong_password_is_said_at_once);
	tcase_add_test(t, person_submits_looks_cancels_retries_and_removes);
	tcase_add_test(t, what_is_left_of_a_removed_stream_goes_while_others_live);
	suite_add_tcase(suite, t);
	return suite;
}
