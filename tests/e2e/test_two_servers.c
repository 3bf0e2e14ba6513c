/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm on two servers: the state on one that is kept, the segments on one that may lose them at any time.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 20 /* of the title */

static const char *title;
static char *reference, *names[SEGMENTS];
static struct cluster s; /* its Redis has the state; its url is that of both */
static struct redis_fixture data;
static char *key, state_url[128];

static void make_reference(void)
{
	title = media_twenty_segments();
	reference = cluster_reference(title, names, SEGMENTS);
}

static void start(void)
{
	char options[300];

	cluster_open(&s);
	redis_fixture_start(&data);
	strcpy(state_url, s.redis.url);
	strcat(strcat(s.redis.url, " "), data.url); /* there is room for both */
	snprintf(options, sizeof(options), "--cache 0 '%s'", title);
	cluster_serve(&s, 0, options);
	key = cluster_key(&s, 0);
	cluster_pool(&s, 0, 2);
}

static void end(void)
{
	cluster_close(&s);
	redis_fixture_stop(&data);
	free(key);
}

static long n_made(void)
{
	return cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key);
}

static long count(const struct redis_fixture *f, const char *pattern)
{
	char command[200];

	snprintf(command, sizeof(command), "EVAL \"return #redis.call('KEYS', '%s')\" 0", pattern);
	return strtol(redis_fixture_command(f, command) + 1, NULL, 10);
}

static int get(int segment)
{
	char path[200], file[64];

	snprintf(path, sizeof path, "/hls/%s/main/%s", key, names[segment]);
	snprintf(file, sizeof file, "%s/got", s.serve[0].dir);
	return cluster_get(&s, 0, path, file);
}

static void check_all(void)
{
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	for (int i = 0; i < SEGMENTS; i++) {
		bg_wait_until(get(i) == 200, "segment %d is not served", i); /* 503 while a server is looked for */
		free(sh("cmp '%s/got' '%s/main/%s'", s.serve[0].dir, reference, names[i]));
	}
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:fails", key), 0);
}

START_TEST(title_is_made_and_served_and_removed_without_a_rest_on_either)
{
	start();
	check_all();
	ck_assert_int_eq(count(&s.redis, "*:seg:*"), 0);
	ck_assert_int_ge(count(&data, "*:seg:*"), SEGMENTS);
	ck_assert_int_eq(count(&data, "*"), count(&data, "*:seg:*") + 1); /* the id */
	free(sh("curl -sS --fail --max-time 60 -o '%s/play.mp4' '%s/stream/%s.mp4' && test -s '%s/play.mp4'", s.serve[0].dir, s.root[0], key, s.serve[0].dir));
	ck_assert_int_eq(cluster_status(&s, "streams.0.done"), SEGMENTS);
	ck_assert_int_eq(cluster_admin(&s, NULL, "rm", key), 0);
	ck_assert_int_eq(count(&s.redis, "segfarm:{*"), 0);
	bg_wait_until(count(&data, "*") == 1, "%ld keys are left", count(&data, "*")); /* of a play, until its writer has seen its end */
	end();
}
END_TEST

START_TEST(all_segments_are_lost_at_once_and_made_again)
{
	start();
	check_all();
	redis_fixture_command(&data, "FLUSHALL");
	check_all();
	ck_assert_int_ge(count(&data, "*:seg:*"), SEGMENTS);
	redis_fixture_restart(&data);
	check_all();
	ck_assert_int_eq(count(&s.redis, "*:seg:*"), 0);
	end();
}
END_TEST

START_TEST(data_server_that_dies_is_waited_for_and_nothing_accepted_is_lost)
{
	char *out;

	start();
	bg_wait_until(n_made() >= 2, "nothing is made");
	redis_fixture_kill(&data);
	bg_wait_until(get(SEGMENTS - 1) == 503 && !sh_status(NULL, "grep -q '%s' '%s/got'", data.socket, s.serve[0].dir), "the reason is not told");
	ck_assert_int_ne(cluster_admin(&s, &out, "status", ""), 0);
	ck_assert_msg(strstr(out, data.socket), "%s", out);
	free(out);
	redis_fixture_restart(&data);
	check_all();
	ck_assert_int_eq(cluster_status(&s, "streams"), 1);
	end();
}
END_TEST

START_TEST(who_has_one_of_the_urls_only_is_refused)
{
	char *out;

	start();
	bg_wait_until(n_made() >= 1, "nothing is made");
	ck_assert_int_eq(sh_status(&out, "\"$SEGFARM\" serve --redis %s --bind ipc://%s/x --listen 127.0.0.1:0", state_url, s.serve[0].tmp), 2);
	ck_assert_msg(strstr(out, state_url) && strstr(out, "STATE DATA"), "%s", out);
	free(out);
	ck_assert_int_ne(sh_status(&out, "\"$WORKER\" -j 1 --redis %s --connect ipc://%s/bus.sock", data.url, s.serve[0].tmp), 0);
	ck_assert_msg(strstr(out, data.url) && strstr(out, "STATE DATA"), "%s", out);
	free(out);
	ck_assert_int_eq(sh_status(&out, "SEGFARM_REDIS='%s %s' \"$SEGFARM\" status", data.url, state_url), 2);
	ck_assert_msg(strstr(out, "not state and data"), "%s", out);
	free(out);
	free(sh("SEGFARM_REDIS='%s' \"$SEGFARM\" status | grep -q '%s'", s.redis.url, key));
	check_all();
	end();
}
END_TEST

START_TEST(settings_of_each_server_are_looked_at)
{
	char *log;

	start();
	bg_wait_until(n_made() >= 1, "nothing is made");
	log = bg_log(&s.serve[0]);
	ck_assert_msg(bg_count(log, "settings of Redis") == 3, "%s", log);
	ck_assert_msg(strstr(log, state_url) && strstr(log, data.url) && bg_count(log, "maxmemory is 0") == 2 && strstr(log, "keeps nothing on disk"), "%s",
		      log);
	free(log);
	end();
}
END_TEST

Suite *suite_two_servers(void)
{
	Suite *suite = suite_create("two_servers");
	TCase *t = tcase_create("two_servers");

	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, title_is_made_and_served_and_removed_without_a_rest_on_either);
	tcase_add_test(t, all_segments_are_lost_at_once_and_made_again);
	tcase_add_test(t, data_server_that_dies_is_waited_for_and_nothing_accepted_is_lost);
	tcase_add_test(t, who_has_one_of_the_urls_only_is_refused);
	tcase_add_test(t, settings_of_each_server_are_looked_at);
	suite_add_tcase(suite, t);
	return suite;
}
