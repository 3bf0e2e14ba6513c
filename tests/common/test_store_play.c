/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Continuous streams on their way through Redis.
 */
#include "common/store.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define STREAM "0123456789abcdef"
#define TIMEOUT_MS 5000

static struct redis_fixture redis;
static struct store *store;
static struct err err;

static void setup(void)
{
	redis_fixture_start(&redis);
	ck_assert_msg(!store_open(&store, redis.url, TIMEOUT_MS, &err), "%s", err.msg);
}

static void teardown(void)
{
	store_close(store);
	redis_fixture_stop(&redis);
}

static const struct store_play play = { STREAM, "00112233aabbccdd" };

static int put_play(int64_t number, const char *data)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)data, 1 }, { (void *)(uintptr_t)(data + 1), strlen(data) - 1 } };

	return store_put_play(store, &play, number, iov, *data ? 2 : 0, &err);
}

START_TEST(pieces_of_a_play_come_out_as_they_went_in)
{
	struct buf out = { 0 };
	int64_t number = -1;

	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 0);
	ck_assert_int_eq(put_play(0, "first"), 1);
	ck_assert_int_eq(put_play(1, ""), 1);
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert_int_eq(number, 0);
	ck_assert(out.size == 5 && !memcmp(out.data, "first", 5));
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert_int_eq(number, 1);
	ck_assert_uint_eq(out.size, 5);
	buf_finish(&out);
}
END_TEST

START_TEST(writer_of_a_play_waits_when_too_much_is_unread)
{
	struct buf out = { 0 };
	int64_t number;

	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	for (int i = 0; i < STORE_PLAY_UNREAD; i++)
		ck_assert_int_eq(put_play(i, "xx"), 1);
	ck_assert_int_eq(put_play(STORE_PLAY_UNREAD, "xx"), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "LLEN segfarm:{" STREAM "}:play:00112233aabbccdd"), ":32");
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert_int_eq(put_play(STORE_PLAY_UNREAD, "xx"), 1);
	buf_finish(&out);
}
END_TEST

START_TEST(what_is_unread_lives_as_long_as_its_reader)
{
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_int_eq(put_play(0, "xx"), 1); /* the writer is done, and looks no more */
	redis_fixture_command(&redis, "EXPIRE segfarm:{" STREAM "}:play:00112233aabbccdd 3");
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL segfarm:{" STREAM "}:play:00112233aabbccdd") + 1), 3);
}
END_TEST

START_TEST(error_about_a_play_does_not_mix_up_the_answers_behind_it)
{
	struct store_commit commit;

	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	redis_fixture_command(&redis, "SET segfarm:{" STREAM "}:play:00112233aabbccdd x");
	ck_assert_int_eq(put_play(0, "xx"), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "WRONGTYPE"), "%s", err.msg);
	ck_assert_int_eq(store_get_commit(store, &(struct store_segment){ STREAM, "main", 540000, 360000 }, &commit, &err), 0);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:play:00112233aabbccdd");
	ck_assert_int_eq(put_play(0, "xx"), 1);
}
END_TEST

START_TEST(play_without_a_reader_is_stopped_and_leaves_nothing)
{
	ck_assert_int_eq(put_play(0, "xx"), ERR_STOPPED);
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_int_eq(put_play(0, "xx"), 1);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL segfarm:{" STREAM "}:play:00112233aabbccdd") + 1), 0);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL segfarm:{" STREAM "}:play:00112233aabbccdd:reader") + 1), 0);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:play:00112233aabbccdd:reader"); /* as when its lease runs out */
	ck_assert_int_eq(put_play(1, "xx"), ERR_STOPPED);
	ck_assert_str_eq(redis_fixture_command(&redis, "EXISTS segfarm:{" STREAM "}:play:00112233aabbccdd"), ":0");
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_int_eq(put_play(0, "xx"), 1);
	ck_assert_int_eq(store_end_play(store, &play, &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), ":0");
}
END_TEST

Suite *suite_store_play(void)
{
	Suite *s = suite_create("common/store_play");
	TCase *t = tcase_create("store_play");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, pieces_of_a_play_come_out_as_they_went_in);
	tcase_add_test(t, writer_of_a_play_waits_when_too_much_is_unread);
	tcase_add_test(t, what_is_unread_lives_as_long_as_its_reader);
	tcase_add_test(t, error_about_a_play_does_not_mix_up_the_answers_behind_it);
	tcase_add_test(t, play_without_a_reader_is_stopped_and_leaves_nothing);
	suite_add_tcase(s, t);
	return s;
}
