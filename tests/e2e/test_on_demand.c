/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Segments that are made when somebody asks for them, and what is made before.
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/cluster.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Twenty segments whose sound takes a little while to encode. */
#define TITLE                                                                                                             \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=320:180\" -f lavfi -i \"$A\" -t 120 -c:v libx264 -preset ultrafast " \
	"-bf 2 -g 48 -c:a ac3 \"$OUT\""
#define SEGMENTS 20
#define LAST 19

static const char *title;
static char *reference, *names[SEGMENTS]; /* of the files that `run -o` writes, in order of time */
static struct cluster s;
static char *key;

static void make_reference(void)
{
	title = media_make("on_demand.mkv", TITLE);
	reference = cluster_reference(title, names, SEGMENTS);
}

static void start(const char *options)
{
	char *all;

	ck_assert_int_ge(asprintf(&all, "%s '%s'", options, title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, all);
	key = cluster_key(&s, 0);
	free(all);
}

static void end(void)
{
	cluster_close(&s);
	free(key);
}

static char *path_of(int segment)
{
	char *path;

	ck_assert_int_ge(asprintf(&path, "/hls/%s/main/%s", key, names[segment]), 0);
	return path;
}

/* GET by dispatcher i; the bytes are those of the reference. */
static void fetch(int i, int segment)
{
	char *path = path_of(segment), file[64];

	snprintf(file, sizeof file, "%s/got", s.serve[0].dir);
	ck_assert_int_eq(cluster_get(&s, i, path, file), 200);
	free(sh("cmp '%s' '%s/main/%s'", file, reference, names[segment]));
	free(path);
}

static long n_made(void)
{
	return cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key);
}

static bool is_made(int segment)
{
	long long start, duration;

	ck_assert_int_eq(sscanf(names[segment], "%lld-%lld", &start, &duration), 2);
	return cluster_redis(&s, "HEXISTS segfarm:{%s}:segs:main %lld:%lld", key, start, duration);
}

START_TEST(segment_is_made_when_it_is_asked_for_and_then_the_next_ones)
{
	start("--on-demand --read-ahead 2");
	cluster_pool(&s, 0, 2);
	fetch(0, 7);
	bg_wait_until(n_made() == 3, "read ahead: %ld made", n_made());
	ck_assert(is_made(8) && is_made(9));
	fetch(0, 8);
	bg_wait_until(is_made(10), "not read on");
	fetch(0, LAST);
	bg_wait_until(is_made(LAST), "the last one");
	bg_sleep(300);
	ck_assert_int_eq(n_made(), 5); /* nobody asked for more */
	end();
}
END_TEST

START_TEST(playlist_is_there_as_soon_as_the_title_is_known)
{
	char *path, file[64];

	start("--on-demand");
	ck_assert_int_ge(asprintf(&path, "/hls/%s/main/index.m3u8", key), 0);
	snprintf(file, sizeof file, "%s/index", s.serve[0].dir);
	cluster_pool(&s, 0, 1);
	ck_assert_int_eq(cluster_get(&s, 0, path, file), 200); /* it has waited for the probe */
	free(sh("cmp '%s' '%s/main/index.m3u8'", file, reference));
	free(path);
	end();
}
END_TEST

START_TEST(many_who_ask_for_one_segment_wait_for_one_job)
{
	char *path, *text;

	start("--on-demand --read-ahead 0");
	path = path_of(3);
	cluster_pool(&s, 0, 2);
	free(sh("cd %s && for i in $(seq 20); do curl -sS --max-time 100 -f -o many.$i '%s%s' & done; wait; "
		"for i in $(seq 20); do cmp many.$i '%s/main/%s' || exit 1; done; rm many.*",
		s.serve[0].dir, s.root[0], path, reference, names[3]));
	ck_assert_int_eq(n_made(), 1);
	text = bg_log(&s.serve[0]);
	ck_assert_int_eq(bg_count(text, "slot=4 worker="), 1);
	free(text);
	free(path);
	end();
}
END_TEST

START_TEST(segment_that_redis_has_dropped_comes_back)
{
	long long start_ticks, duration;

	start("--on-demand --read-ahead 0");
	cluster_pool(&s, 0, 1);
	fetch(0, 5);
	ck_assert_int_eq(sscanf(names[5], "%lld-%lld", &start_ticks, &duration), 2);
	ck_assert_int_eq(cluster_redis(&s, "DEL segfarm:{%s}:seg:main:%lld:%lld:0", key, start_ticks, duration), 1);
	fetch(0, 5);
	ck_assert_int_eq(cluster_redis(&s, "DEL segfarm:{%s}:segs:main", key), 1);
	fetch(0, 5);
	end();
}
END_TEST

START_TEST(init_segment_that_redis_has_dropped_comes_back)
{
	char *path, file[64];

	start("--on-demand --read-ahead 0");
	cluster_pool(&s, 0, 1);
	fetch(0, 0);
	ck_assert_int_eq(cluster_redis(&s, "DEL segfarm:{%s}:init:main", key), 1);
	ck_assert_int_ge(asprintf(&path, "/hls/%s/main/init.mp4", key), 0);
	snprintf(file, sizeof file, "%s/init", s.serve[0].dir);
	bg_wait_until(cluster_get(&s, 0, path, file) == 200, "no init segment");
	free(sh("cmp '%s' '%s/main/init.mp4'", file, reference));
	free(path);
	end();
}
END_TEST

START_TEST(client_that_leaves_frees_its_place)
{
	char *path;
	struct bg client;

	start("--on-demand");
	cluster_pool(&s, 0, 1);
	fetch(0, 0); /* the title is known */
	kill(s.pool[0].pid, SIGTERM);
	ck_assert_int_eq(bg_wait(&s.pool[0]), 0);
	path = path_of(LAST);
	bg_open(&client);
	bg_start(&client, "curl -sS '%s%s' -o /dev/null", s.root[0], path);
	bg_wait_until(cluster_status(&s, "dispatchers.*.requests_waiting") == 1, "nobody waits");
	kill(client.pid, SIGKILL);
	bg_wait_until(cluster_status(&s, "dispatchers.*.requests_waiting") == 0, "it waits still");
	ck_assert_int_eq(cluster_status(&s, "dispatchers.*.queue.player"), 0);
	bg_wait(&client);
	bg_close(&client);
	free(path);
	end();
}
END_TEST

START_TEST(player_goes_before_what_is_made_ahead)
{
	start("");
	cluster_pool(&s, 0, 1);
	bg_wait_until(n_made() >= 1, "nothing is made");
	fetch(0, LAST);
	ck_assert_msg(n_made() < SEGMENTS - 2, "%ld were made before", n_made());
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made()); /* what had to make way is not lost */
	for (int i = 0; i < SEGMENTS; i++)
		fetch(0, i);
	end();
}
END_TEST

/* --- two dispatchers */

static void start_two(const char *options)
{
	start(options);
	cluster_serve(&s, 1, "");
	cluster_pool(&s, 0, 1);
	cluster_pool(&s, 1, 1);
}

START_TEST(any_dispatcher_serves_any_stream)
{
	start_two("--on-demand --read-ahead 2");
	fetch(1, 4); /* it has never heard of it, and the other one has its jobs */
	bg_wait_until(is_made(6), "not read ahead");
	fetch(1, 6);
	fetch(0, 4);
	ck_assert_int_eq(cluster_status(&s, "dispatchers"), 2);
	ck_assert_int_ge(cluster_redis(&s, "DEL segfarm:{%s}:segs:main", key), 1);
	fetch(1, 6); /* its owner believed it to be there */
	end();
}
END_TEST

/* The pool outlives the one, and works for the other at once. */
START_TEST(one_pool_works_for_all_dispatchers)
{
	start("--on-demand --read-ahead 0");
	cluster_serve(&s, 1, "");
	cluster_pool_of_two(&s, 0, 1);
	fetch(0, 2);
	fetch(1, 3);
	kill(s.serve[0].pid, SIGKILL);
	bg_wait(&s.serve[0]);
	fetch(1, 4);
	cluster_serve(&s, 0, "");
	fetch(0, 5);
	fetch(1, 6);
	end();
}
END_TEST

START_TEST(stream_of_a_dead_dispatcher_is_taken_over)
{
	start_two("");
	bg_wait_until(n_made() >= 1, "nothing is made");
	kill(s.serve[0].pid, SIGKILL);
	bg_wait(&s.serve[0]);
	fetch(1, LAST); /* asked for before the other one is thought dead */
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	for (int i = 0; i < SEGMENTS; i++)
		fetch(1, i);
	cluster_serve(&s, 0, "");
	fetch(0, 3);
	end();
}
END_TEST

START_TEST(dispatcher_that_slept_through_its_lease_does_not_write_for_it_any_more)
{
	start_two("");
	bg_wait_until(n_made() >= 1, "nothing is made");
	kill(s.serve[0].pid, SIGSTOP);
	bg_wait_log(&s.serve[1], "stream is ours", 1);
	kill(s.serve[0].pid, SIGCONT);
	bg_wait_log(&s.serve[0], "stream has another owner", 1);
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	for (int i = 0; i < SEGMENTS; i++)
		fetch(i & 1, i);
	end();
}
END_TEST

Suite *suite_on_demand(void)
{
	Suite *suite = suite_create("on_demand");
	TCase *t = tcase_create("on_demand");

	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, segment_is_made_when_it_is_asked_for_and_then_the_next_ones);
	tcase_add_test(t, playlist_is_there_as_soon_as_the_title_is_known);
	tcase_add_test(t, many_who_ask_for_one_segment_wait_for_one_job);
	tcase_add_test(t, segment_that_redis_has_dropped_comes_back);
	tcase_add_test(t, init_segment_that_redis_has_dropped_comes_back);
	tcase_add_test(t, client_that_leaves_frees_its_place);
	tcase_add_test(t, player_goes_before_what_is_made_ahead);
	tcase_add_test(t, any_dispatcher_serves_any_stream);
	tcase_add_test(t, one_pool_works_for_all_dispatchers);
	tcase_add_test(t, stream_of_a_dead_dispatcher_is_taken_over);
	tcase_add_test(t, dispatcher_that_slept_through_its_lease_does_not_write_for_it_any_more);
	suite_add_tcase(suite, t);
	return suite;
}
