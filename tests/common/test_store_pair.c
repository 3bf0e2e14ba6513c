/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The store on two servers: what is where, what one of them loses, and that they belong together.
 */
#include "common/store.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STREAM "0123456789abcdef"
#define PLAN "aaaaaaaaaaaaaaaa"
#define TIMEOUT_MS 5000
#define SIZE (5 * (size_t)STORE_PIECE + 777)
#define PIECE(i) "segfarm:{" STREAM "}:seg:main:0:540000:" i
#define COUNT(pattern) "EVAL \"return #redis.call('KEYS', '" pattern "')\" 0"

static const struct store_segment seg = { STREAM, "main", 0, 540000 };
static struct redis_fixture state, data;
static struct store *store;
static struct err err;
static uint8_t bytes[SIZE];
static char urls[300];

static const char *both(const struct redis_fixture *a, const struct redis_fixture *b)
{
	snprintf(urls, sizeof(urls), "%s %s", a->url, b->url);
	return urls;
}

static void put_stream(void)
{
	static struct store_stream what = { .source = { .path = "/srv/a.mkv", .size = 5 } };

	record_options_init(&what.options);
	ck_assert_msg(!store_put_stream(store, STREAM, &what, &err), "%s", err.msg);
	ck_assert_msg(!store_put_plan(store, STREAM, NULL, (struct bytes){ (const uint8_t *)"{}", 2 }, PLAN, 9, "main", &err), "%s", err.msg);
}

static void setup(void)
{
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	redis_fixture_start(&state);
	redis_fixture_start(&data);
	ck_assert_msg(!store_open(&store, both(&state, &data), TIMEOUT_MS, &err), "%s", err.msg);
	put_stream();
}

static void teardown(void)
{
	store_close(store);
	redis_fixture_stop(&state);
	redis_fixture_stop(&data);
}

static int put(void)
{
	struct iovec iov[] = { { bytes, 100001 }, { bytes + 100001, SIZE - 100001 } };

	return store_put_segment(store, &seg, PLAN, iov, 2, STORE_LIFETIME_S, NULL, &err);
}

static int take_piece(void *arg, struct bytes piece, struct err *e)
{
	(void)e;
	buf_put(arg, piece.data, piece.size);
	return 0;
}

static void check(void)
{
	struct buf out = { 0 };

	ck_assert_msg(store_get_pieces(store, &seg, 6, take_piece, &out, &err) == 1, "%s", err.msg);
	ck_assert(out.size == SIZE && !memcmp(out.data, bytes, SIZE));
	buf_reset(&out);
	ck_assert_int_eq(store_get_piece(store, &seg, 1, &out, &err), 1);
	ck_assert(out.size == STORE_PIECE && !memcmp(out.data, bytes + STORE_PIECE, STORE_PIECE));
	ck_assert_int_eq(store_has_piece(store, &seg, 5, &err), 1);
	ck_assert_int_gt(atoi(redis_fixture_command(&data, "TTL " PIECE("5")) + 1), 600);
	buf_finish(&out);
}

START_TEST(segments_and_plays_are_on_the_second_server_and_all_else_on_the_first)
{
	const struct store_play play = { STREAM, PLAN };
	struct iovec iov = { bytes, 1000 };
	struct store_commit commit;
	struct buf out = { 0 };
	int64_t number;

	ck_assert_msg(!put(), "%s", err.msg);
	check();
	ck_assert_int_eq(store_get_commit(store, &seg, &commit, &err), 1);
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_msg(store_put_play(store, &play, 3, &iov, 1, &err) == 1, "%s", err.msg);
	ck_assert_str_eq(redis_fixture_command(&state, COUNT("*:seg:*")), ":0");
	ck_assert_str_eq(redis_fixture_command(&state, COUNT("*:play:*")), ":0");
	ck_assert_str_eq(redis_fixture_command(&data, COUNT("*:seg:*")), ":6");
	ck_assert_str_eq(redis_fixture_command(&data, COUNT("*:play:*")), ":2");
	ck_assert_str_eq(redis_fixture_command(&data, "DBSIZE"), ":9"); /* and the id */
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert(number == 3 && out.size == 1000);
	ck_assert_int_eq(store_end_play(store, &play, &err), 0);
	ck_assert_int_eq(store_delete_segment(store, &seg, 6, &err), 0);
	ck_assert_int_eq(store_get_commit(store, &seg, &commit, &err), 0);
	ck_assert_str_eq(redis_fixture_command(&data, "DBSIZE"), ":1");
	buf_finish(&out);
}
END_TEST

START_TEST(removal_takes_everything_from_both)
{
	int more;

	ck_assert_int_eq(put(), 0);
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	/* somebody has died over it, and Redis has dropped some */
	ck_assert_str_eq(redis_fixture_command(&data, "DEL " PIECE("0") " " PIECE("3")), ":2");
	while ((more = store_clean(store, STREAM, &err)) == 1)
		;
	ck_assert_int_eq(more, 0);
	ck_assert_str_eq(redis_fixture_command(&state, "DBSIZE"), ":1");
	ck_assert_str_eq(redis_fixture_command(&data, "DBSIZE"), ":1");
}
END_TEST

START_TEST(record_is_kept_until_its_pieces_can_be_taken_away)
{
	ck_assert_int_eq(put(), 0);
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	redis_fixture_kill(&data);
	ck_assert_int_eq(store_clean(store, STREAM, &err), ERR_RETRY);
	ck_assert_str_eq(redis_fixture_command(&state, "HLEN segfarm:{" STREAM "}:segs:main"), ":1");
}
END_TEST

START_TEST(what_the_data_server_loses_is_written_again)
{
	unsigned generation = store_generation(store), troubles = store_troubles(store);

	ck_assert_int_eq(put(), 0);
	redis_fixture_command(&data, "FLUSHALL");
	ck_assert_int_eq(store_has_piece(store, &seg, 0, &err), 0);
	ck_assert_msg(!put(), "%s", err.msg);
	check();
	redis_fixture_kill(&data);
	ck_assert_int_eq(put(), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, data.url), "%s", err.msg);
	ck_assert_int_eq(store_ping(store, &err), ERR_RETRY);
	ck_assert_uint_gt(store_troubles(store), troubles);
	redis_fixture_restart(&data);
	ck_assert_msg(!store_ping(store, &err), "%s", err.msg);
	ck_assert_uint_gt(store_generation(store), generation);
	ck_assert_msg(!put(), "%s", err.msg);
	check();
	redis_fixture_kill(&state);
	ck_assert_int_eq(store_ping(store, &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, state.url), "%s", err.msg);
}
END_TEST

START_TEST(memory_of_both_is_told)
{
	struct store_info one, two;
	struct store *s;

	redis_fixture_command(&data, "CONFIG SET maxmemory 100mb");
	redis_fixture_command(&state, "CONFIG SET maxmemory 200mb");
	ck_assert_int_eq(store_get_info(store, &two, &err), 0);
	ck_assert_int_eq(two.max, 300 << 20);
	redis_fixture_command(&state, "DEL segfarm:data");
	ck_assert_msg(!store_open(&s, state.url, TIMEOUT_MS, &err), "%s", err.msg);
	ck_assert_int_eq(store_get_info(s, &one, &err), 0);
	ck_assert_int_eq(one.max, 200 << 20);
	ck_assert_int_gt(two.used, one.used);
	store_close(s);
}
END_TEST

/* --- settings */

static void note(void *arg, const char *where, const char *text)
{
	buf_printf(arg, "%s %s\n", !strcmp(where, state.url) ? "state" : !strcmp(where, data.url) ? "data" : where, text);
}

static const struct {
	const char *state[3], *data[3]; /* settings */
	const char *says[3];
} settings[] = {
	{ { "maxmemory 100mb", "appendonly yes" }, { "maxmemory 100mb", "maxmemory-policy allkeys-lru" }, { NULL } },
	{ { "maxmemory 100mb", "appendonly yes" }, { "maxmemory 100mb", "maxmemory-policy volatile-lru" }, { NULL } },
	{ { NULL }, { NULL }, { "state maxmemory is 0", "state it keeps nothing on disk", "data maxmemory is 0" } },
	{ { "maxmemory 100mb", "save \"100 1\"" }, { "maxmemory 100mb", "maxmemory-policy noeviction" },
	  { "state appendonly is off: what was accepted since the last snapshot", "data its maxmemory-policy (noeviction)" } },
	{ { "maxmemory 100mb", "appendonly yes", "maxmemory-policy volatile-lru" },
	  { "maxmemory 100mb", "maxmemory-policy volatile-ttl", "appendonly yes" },
	  { "state its maxmemory-policy drops", "data its maxmemory-policy (volatile-ttl)", "data appendonly is on" } },
	{ { "maxmemory 100mb", "appendonly yes" }, { "maxmemory 100mb", "maxmemory-policy allkeys-lfu", "save \"100 1\"" }, { "data save is on" } },
};

static void set(const struct redis_fixture *f, const char *const *what)
{
	char command[100];

	for (int i = 0; i < 3 && what[i]; i++) {
		snprintf(command, sizeof(command), "CONFIG SET %s", what[i]);
		ck_assert_str_eq(redis_fixture_command(f, command), "+OK");
	}
}

START_TEST(settings_that_do_not_fit_are_told_of_each)
{
	struct buf said = { 0 };
	int n = 0;

	set(&state, settings[_i].state);
	set(&data, settings[_i].data);
	ck_assert_int_eq(store_check_settings(store, note, &said, &err), 0);
	for (; n < 3 && settings[_i].says[n]; n++)
		ck_assert_msg(strstr(buf_cstr(&said), settings[_i].says[n]), "no word of '%s' in %s", settings[_i].says[n], buf_cstr(&said));
	for (size_t i = 0; i < said.size; i++)
		n -= said.data[i] == '\n';
	ck_assert_msg(!n, "%s", buf_cstr(&said));
	buf_finish(&said);
}
END_TEST

/* --- which belong together */

static void check_refused(const char *url, const char *why)
{
	struct store *s;

	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_USAGE);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(err.msg, why) && strstr(err.msg, state.url), "%s", err.msg);
}

static void check_taken(const char *url)
{
	struct store *s;

	ck_assert_msg(!store_open(&s, url, TIMEOUT_MS, &err), "%s", err.msg);
	store_close(s);
}

START_TEST(one_of_two_is_refused)
{
	struct store *s;

	check_refused(state.url, "\"STATE DATA\"");
	ck_assert_int_eq(store_open(&s, data.url, TIMEOUT_MS, &err), ERR_USAGE);
	check_refused(both(&data, &state), "not state and data");
	check_taken(both(&state, &data));
	/* from now on it is to be alone */
	redis_fixture_command(&state, "DEL segfarm:data");
	check_taken(state.url);
}
END_TEST

START_TEST(server_that_is_named_twice_is_refused_and_left_as_it_was)
{
	redis_fixture_command(&state, "FLUSHALL");
	check_refused(both(&state, &state), "not state and data");
	ck_assert_str_eq(redis_fixture_command(&state, "DBSIZE"), ":0");
}
END_TEST

START_TEST(data_server_of_another_farm_is_refused_until_it_is_said_to_be_right)
{
	struct redis_fixture other_state, other;

	redis_fixture_start(&other_state);
	redis_fixture_start(&other);
	check_taken(both(&other_state, &other));
	check_refused(both(&state, &other), "not state and data");
	ck_assert_msg(strstr(err.msg, other.url) && strstr(err.msg, "DEL segfarm:data"), "%s", err.msg);
	redis_fixture_command(&state, "DEL segfarm:data");
	check_taken(both(&state, &other));
	redis_fixture_stop(&other);
	redis_fixture_stop(&other_state);
}
END_TEST

/* It is as if the first one had been emptied: nobody can tell. So those who still have that are told. */
START_TEST(data_server_that_is_replaced_is_not_the_right_one_any_more)
{
	struct redis_fixture other;

	redis_fixture_start(&other);
	ck_assert_int_eq(put(), 0);
	check_taken(both(&state, &other));
	ck_assert_int_eq(store_ping(store, &err), ERR_RETRY); /* it was let in once */
	ck_assert_msg(strstr(err.msg, "not state and data"), "%s", err.msg);
	check_refused(both(&state, &data), "not state and data");
	redis_fixture_command(&state, "DEL segfarm:data");
	check_taken(both(&state, &data));
	ck_assert_msg(!store_ping(store, &err), "%s", err.msg);
	redis_fixture_stop(&other);
}
END_TEST

/* A call for each of the connections that are lost. */
static bool is_found_again(void)
{
	return !store_ping(store, &err) || !store_ping(store, &err) || !store_ping(store, &err);
}

START_TEST(servers_that_were_emptied_are_joined_again)
{
	redis_fixture_restart(&data);
	check_taken(both(&state, &data));
	ck_assert_msg(is_found_again(), "%s", err.msg);
	ck_assert_int_eq(put(), 0);
	check();
	redis_fixture_restart(&state);
	check_taken(both(&state, &data));
	redis_fixture_restart(&state);
	redis_fixture_restart(&data);
	check_taken(both(&state, &data));
	redis_fixture_command(&data, "FLUSHALL");
	ck_assert_msg(is_found_again(), "%s", err.msg);
	check_taken(both(&state, &data));
	check_refused(state.url, "\"STATE DATA\"");
}
END_TEST

START_TEST(many_that_come_at_once_agree)
{
	enum { N_CHILDREN = 12 };
	pid_t children[N_CHILDREN];
	int status, n = 0;

	if (_i != 1)
		redis_fixture_command(&state, "FLUSHALL");
	if (_i != 2)
		redis_fixture_command(&data, "FLUSHALL");
	for (int i = 0; i < N_CHILDREN; i++) {
		struct store *s;

		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (!children[i])
			_exit(store_open(&s, both(&state, &data), TIMEOUT_MS, &err) != 0);
	}
	for (int i = 0; i < N_CHILDREN; i++)
		n += waitpid(children[i], &status, 0) == children[i] && !status;
	ck_assert_int_eq(n, N_CHILDREN);
	check_taken(both(&state, &data));
}
END_TEST

START_TEST(nonsense_in_place_of_an_id_is_refused)
{
	redis_fixture_command(&data, "SET segfarm:data nonsense");
	check_refused(both(&state, &data), "not state and data");
	redis_fixture_command(&state, "SET segfarm:data data:0123456789abcdeg");
	check_refused(both(&state, &data), "not state and data");
	check_refused(state.url, "\"STATE DATA\"");
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite_store_pair(void)
{
	Suite *s = suite_create("common/store_pair");
	TCase *t = tcase_create("store_pair");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, segments_and_plays_are_on_the_second_server_and_all_else_on_the_first);
	tcase_add_test(t, removal_takes_everything_from_both);
	tcase_add_test(t, record_is_kept_until_its_pieces_can_be_taken_away);
	tcase_add_test(t, what_the_data_server_loses_is_written_again);
	tcase_add_test(t, memory_of_both_is_told);
	tcase_add_loop_test(t, settings_that_do_not_fit_are_told_of_each, 0, N(settings));
	tcase_add_test(t, one_of_two_is_refused);
	tcase_add_test(t, server_that_is_named_twice_is_refused_and_left_as_it_was);
	tcase_add_test(t, data_server_of_another_farm_is_refused_until_it_is_said_to_be_right);
	tcase_add_test(t, data_server_that_is_replaced_is_not_the_right_one_any_more);
	tcase_add_test(t, servers_that_were_emptied_are_joined_again);
	tcase_add_loop_test(t, many_that_come_at_once_agree, 0, 3);
	tcase_add_test(t, nonsense_in_place_of_an_id_is_refused);
	suite_add_tcase(s, t);
	return s;
}
