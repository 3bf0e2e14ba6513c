/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/store.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM "0123456789abcdef"
#define PLAN "aaaaaaaaaaaaaaaa"
#define PLAN_2 "bbbbbbbbbbbbbbbb"
#define TIMEOUT_MS 5000
#define PIECE_0 "segfarm:{" STREAM "}:seg:main:540000:360000:0"

static struct redis_fixture redis;
static struct store *store;
static struct err err;
static const struct store_segment seg = { STREAM, "main", 540000, 360000 };

static void set_plan(const char *hash)
{
	struct bytes json = { (const uint8_t *)"{}", 2 };
	ck_assert_msg(!store_put_plan(store, STREAM, NULL, json, hash, 1, "main", &err), "%s", err.msg);
}

static void setup(void)
{
	redis_fixture_start(&redis);
	ck_assert_msg(!store_open(&store, redis.url, TIMEOUT_MS, &err), "%s", err.msg);
	set_plan(PLAN);
}

static void teardown(void)
{
	store_close(store);
	redis_fixture_stop(&redis);
}

/* n bytes that differ from place to place; the caller frees. */
static uint8_t *make_bytes(size_t n, uint32_t seed)
{
	uint8_t *p = malloc(n);
	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
	return p;
}

/* Writes n bytes given in buffers of odd sizes (average `step`), some of them empty. */
static int put(uint8_t *data, size_t n, size_t step, const char *plan, int64_t ttl_s, struct store_commit *c)
{
	size_t max = n / (step / 2 + 1) * 2 + 8;
	struct iovec *iov = calloc(max, sizeof(*iov));
	ck_assert_ptr_nonnull(iov);
	int n_iov = 0;
	for (size_t at = 0, i = 0; at < n; i++) {
		size_t take = i % 5 == 3 ? 0 : step / 2 + i % (step + 1);
		if (i % 5 != 3 && !take)
			take = 1;
		if (take > n - at)
			take = n - at;
		ck_assert_uint_lt((size_t)n_iov, max);
		iov[n_iov++] = (struct iovec){ data + at, take };
		at += take;
	}
	int rc = store_put_segment(store, &seg, plan, iov, n_iov, ttl_s, c, &err);
	free(iov);
	return rc;
}

static int take_piece(void *arg, struct bytes piece, struct err *e)
{
	(void)e;
	buf_put(arg, piece.data, piece.size);
	return 0;
}

static int refuse_second(void *arg, struct bytes piece, struct err *e)
{
	(void)piece;
	return ++*(int *)arg == 2 ? err_set(e, ERR_DATA, "no more") : 0;
}

static void check_stored(const uint8_t *data, size_t n, const struct store_commit *c)
{
	struct store_commit got;
	struct buf out = { 0 };
	ck_assert_int_eq(store_get_commit(store, &seg, &got, &err), 1);
	ck_assert_int_eq(got.bytes, (int64_t)n);
	ck_assert_int_eq(got.pieces, (int)((n + STORE_PIECE - 1) / STORE_PIECE));
	ck_assert_str_eq(got.checksum, c->checksum);
	ck_assert_str_eq(got.plan_hash, PLAN);
	for (int i = 0; i < got.pieces; i++)
		ck_assert_int_eq(store_get_piece(store, &seg, i, &out, &err), 1);
	ck_assert_uint_eq(out.size, n);
	ck_assert(!memcmp(out.data, data, n));
	ck_assert_int_eq(store_get_piece(store, &seg, got.pieces, &out, &err), 0);
	buf_reset(&out);
	ck_assert_int_eq(store_get_pieces(store, &seg, got.pieces, take_piece, &out, &err), 1);
	ck_assert_uint_eq(out.size, n);
	ck_assert(!memcmp(out.data, data, n));
	buf_finish(&out);
}

static const struct {
	size_t size, step;
} shapes[] = {
	{ 1, 1 },
	{ 1000, 7 },
	{ STORE_PIECE - 1, 1000 },
	{ STORE_PIECE, 4096 },
	{ STORE_PIECE + 1, STORE_PIECE },
	{ 2 * STORE_PIECE, 65537 },
	{ 7 * STORE_PIECE + 12345, 401 },
	{ (12u << 20) + 3, 50021 },
	{ (5u << 20), 8u << 20 },
};

START_TEST(segment_comes_back_byte_for_byte)
{
	struct store_commit c;
	uint8_t *data = make_bytes(shapes[_i].size, (uint32_t)_i);
	ck_assert_msg(!put(data, shapes[_i].size, shapes[_i].step, PLAN, 0, &c), "%s", err.msg);
	check_stored(data, shapes[_i].size, &c);
	free(data);
}
END_TEST

START_TEST(a_piece_takes_hardly_more_memory_in_redis_than_it_has_bytes)
{
	struct store_commit c;
	uint8_t *data = make_bytes(2 * STORE_PIECE, 1);
	long bytes;

	ck_assert_msg(!put(data, 2 * STORE_PIECE, 1 << 20, PLAN, 0, &c), "%s", err.msg);
	bytes = atol(redis_fixture_command(&redis, "MEMORY USAGE " PIECE_0) + 1);
	ck_assert_int_ge(bytes, STORE_PIECE);
	ck_assert_int_le(bytes, STORE_PIECE / 100 * 101);
	free(data);
}
END_TEST

START_TEST(checksum_is_that_of_the_bytes_however_they_were_cut)
{
	struct store_commit a, b;
	uint8_t *data = make_bytes(300000, 1);
	ck_assert_int_eq(put(data, 300000, 17, PLAN, 0, &a), 0);
	ck_assert_int_eq(store_drop_commit(store, &seg, &err), 0);
	ck_assert_int_eq(put(data, 300000, 300000, PLAN, 0, &b), 0);
	ck_assert_str_eq(a.checksum, b.checksum);
	/* XXH3-64 of one byte 0, as xxhsum says */
	uint8_t zero = 0;
	ck_assert_int_eq(store_drop_commit(store, &seg, &err), 0);
	ck_assert_int_eq(put(&zero, 1, 1, PLAN, 0, &b), 0);
	ck_assert_str_eq(b.checksum, "c44bdff4074eecdb");
	free(data);
}
END_TEST

START_TEST(segment_of_no_bytes_is_refused)
{
	struct store_commit c;
	struct iovec none = { NULL, 0 };
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, &none, 1, 0, &c, &err), ERR_USAGE);
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, NULL, 0, 0, &c, &err), ERR_USAGE);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 0);
}
END_TEST

START_TEST(segment_over_the_limit_is_refused_before_a_byte_is_read)
{
	struct store_commit c;
	static uint8_t byte;
	struct iovec huge[2] = { { &byte, (size_t)STORE_SEGMENT_MAX }, { &byte, 1 } };
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, huge, 2, 0, &c, &err), ERR_LIMIT);
	huge[1].iov_len = SIZE_MAX;
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, huge, 2, 0, &c, &err), ERR_LIMIT);
}
END_TEST

START_TEST(lost_piece_is_seen_and_made_again)
{
	struct store_commit c;
	struct buf out = { 0 };
	size_t n = 3 * STORE_PIECE;
	uint8_t *data = make_bytes(n, 9);
	ck_assert_int_eq(put(data, n, 5000, PLAN, 0, &c), 0);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:seg:main:540000:360000:1");
	ck_assert_int_eq(store_get_piece(store, &seg, 0, &out, &err), 1);
	ck_assert_int_eq(store_get_piece(store, &seg, 1, &out, &err), 0);
	ck_assert_uint_eq(out.size, STORE_PIECE);
	/* With the record still there, a writer does not believe it either. */
	ck_assert_int_eq(put(data, n, 5000, PLAN, 0, &c), 0);
	check_stored(data, n, &c);
	ck_assert_int_eq(store_drop_commit(store, &seg, &err), 0);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 0);
	buf_finish(&out);
	free(data);
}
END_TEST

/* What was asked for in advance is not taken for the answer to the next question. */
START_TEST(pieces_that_end_early_leave_the_connection_in_step)
{
	struct store_commit c, got;
	struct buf out = { 0 };
	uint8_t *data = make_bytes(20 * STORE_PIECE, 3);
	int n = 0;
	ck_assert_int_eq(put(data, 20 * STORE_PIECE, 100000, PLAN, 0, &c), 0);
	unsigned generation = store_generation(store);
	ck_assert_int_eq(store_get_pieces(store, &seg, c.pieces, refuse_second, &n, &err), ERR_DATA);
	ck_assert_str_eq(err.msg, "no more");
	ck_assert_int_eq(n, 2);
	check_stored(data, 20 * STORE_PIECE, &c);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:seg:main:540000:360000:5");
	ck_assert_int_eq(store_get_pieces(store, &seg, c.pieces, take_piece, &out, &err), 0);
	ck_assert_uint_eq(out.size, 5 * STORE_PIECE);
	ck_assert_int_eq(store_get_commit(store, &seg, &got, &err), 1);
	ck_assert_int_eq(got.bytes, c.bytes);
	ck_assert_uint_eq(store_generation(store), generation);
	buf_finish(&out);
	free(data);
}
END_TEST

START_TEST(deleted_segment_leaves_nothing)
{
	struct store_commit c;
	size_t n = STORE_PIECE * 2 + 100;
	uint8_t *data = make_bytes(n, 9);
	redis_fixture_command(&redis, "FLUSHALL");
	ck_assert_int_eq(store_put_value(store, STREAM, "plan", (struct bytes){ (const uint8_t *)"{}", 2 }, &err), 0);
	ck_assert_int_eq(store_put_plan(store, STREAM, NULL, (struct bytes){ (const uint8_t *)"{}", 2 }, PLAN, 1, "main", &err), 0);
	char *before = strdup(redis_fixture_command(&redis, "DBSIZE"));
	ck_assert_int_eq(put(data, n, 5000, PLAN, 0, &c), 0);
	ck_assert_str_ne(redis_fixture_command(&redis, "DBSIZE"), before);
	ck_assert_int_eq(store_delete_segment(store, &seg, c.pieces, &err), 0);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), before);
	free(before);
	free(data);
}
END_TEST

static void put_stream(void)
{
	static const struct store_stream what = { .source = { .path = "/srv/a.mkv", .size = 5 } };

	ck_assert_msg(!store_put_stream(store, STREAM, &what, &err), "%s", err.msg);
}

static void clean_all(void)
{
	int more = store_remove_stream(store, STREAM, &err), n = 0;

	for (more = !more; more == 1 && n < 200; n++)
		more = store_clean(store, STREAM, &err);
	ck_assert_msg(!more, "%d %s", more, err.msg);
}

/* What is not as it should be is no reason to keep it: records, fields, whole keys. */
static const char *const damages[] = {
	"HSET segfarm:{" STREAM "}:segs:main 540000:360000 nonsense",
	"HSET segfarm:{" STREAM "}:segs:main 540000:360000 \"9 99999999999999999999999999 0123456789abcdef " PLAN "\"",
	"HSET segfarm:{" STREAM "}:segs:main nonsense nonsense \"\" \"\" \"0:1 \\x00\" \"1 1 0123456789abcdef " PLAN "\"",
	"SET segfarm:{" STREAM "}:segs:audio-1 nonsense",
	"RPUSH segfarm:{" STREAM "}:index nonsense",
	"SETRANGE segfarm:{" STREAM "}:plan 100 x",
	"EVAL \"for i = 1, 5000 do redis.call('HSET', KEYS[1], i, i) end return 1\" 1 segfarm:{" STREAM "}:segs:text-1",
};

START_TEST(removed_stream_leaves_nothing_whatever_is_damaged)
{
	struct store_commit c;
	uint8_t *data = make_bytes(3 * STORE_PIECE, 9);

	put_stream();
	ck_assert_int_eq(put(data, 3 * STORE_PIECE, 5000, PLAN, 0, &c), 0);
	ck_assert_int_ne(redis_fixture_command(&redis, damages[_i])[0], '-');
	clean_all();
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), ":0");
	free(data);
}
END_TEST

START_TEST(stream_that_somebody_has_removed_meanwhile_is_not_there_again)
{
	put_stream();
	ck_assert_int_eq(store_set_mode(store, STREAM, STORE_CANCELLED, &err), 1);
	ck_assert_str_eq(redis_fixture_command(&redis, "HSTRLEN segfarm:{" STREAM "}:stream mode"), ":9");
	ck_assert_int_eq(store_set_state(store, STREAM, NULL, "working", "", &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "HSTRLEN segfarm:{" STREAM "}:stream state"), ":7");
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	/* as one does who has looked before */
	ck_assert_int_eq(store_set_mode(store, STREAM, STORE_PRECOMPUTE, &err), 0);
	ck_assert_int_eq(store_clear_fails(store, STREAM, &err), 0);
	ck_assert_int_eq(store_set_state(store, STREAM, NULL, "working", "", &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "EXISTS segfarm:{" STREAM "}:stream"), ":0");
	clean_all();
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), ":0");
}
END_TEST

START_TEST(pieces_live_as_long_as_asked_from_the_commit_on)
{
	struct store_commit c;
	uint8_t data[100] = { 1 };
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 0, &c), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "TTL " PIECE_0), ":-1");
	ck_assert_int_eq(store_drop_commit(store, &seg, &err), 0);
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 5000, &c), 0);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL " PIECE_0) + 1), 600);
}
END_TEST

START_TEST(writer_that_dies_after_the_record_is_followed_by_one_who_does_the_rest)
{
	struct store_commit c;
	uint8_t data[100] = { 1 };
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 5000, &c), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "EXPIRE " PIECE_0 " 600"), ":1");
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 5000, &c), 0);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL " PIECE_0) + 1), 600);
	/* nobody came in time */
	ck_assert_str_eq(redis_fixture_command(&redis, "DEL " PIECE_0), ":1");
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 5000, &c), 0);
	check_stored(data, sizeof(data), &c);
}
END_TEST

START_TEST(segment_of_another_plan_is_not_committed)
{
	struct store_commit c;
	uint8_t data[10] = { 1 };
	ck_assert_int_eq(put(data, sizeof(data), 10, PLAN_2, 0, &c), ERR_STOPPED);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 0);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:stream");
	ck_assert_int_eq(put(data, sizeof(data), 10, PLAN, 0, &c), ERR_STOPPED);
}
END_TEST

START_TEST(first_writer_wins)
{
	struct store_commit first, second;
	size_t n = STORE_PIECE + 5;
	uint8_t *a = make_bytes(n, 1), *b = make_bytes(n, 2);
	ck_assert_int_eq(put(a, n, 1000, PLAN, 0, &first), 0);
	ck_assert_int_eq(put(b, n, 1000, PLAN, 0, &second), 0);
	ck_assert_str_eq(first.checksum, second.checksum);
	check_stored(a, n, &first);
	free(a);
	free(b);
}
END_TEST

START_TEST(new_plan_replaces_a_segment_of_the_same_place_and_its_surplus_pieces)
{
	struct store_commit c;
	uint8_t *data = make_bytes(3 * STORE_PIECE, 1);
	ck_assert_int_eq(put(data, 3 * STORE_PIECE, 9999, PLAN, 0, &c), 0);
	set_plan(PLAN_2);
	ck_assert_int_eq(put(data, 100, 10, PLAN_2, 0, &c), 0);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 1);
	ck_assert_int_eq(c.bytes, 100);
	ck_assert_str_eq(c.plan_hash, PLAN_2);
	struct buf out = { 0 };
	ck_assert_int_eq(store_get_piece(store, &seg, 1, &out, &err), 0);
	free(data);
}
END_TEST

START_TEST(restart_of_redis_is_an_error_once_and_a_new_generation)
{
	struct store_commit c;
	uint8_t data[1000] = { 1 };
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 0, &c), 0);
	unsigned generation = store_generation(store);
	redis_fixture_kill(&redis);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), ERR_RETRY);
	ck_assert_int_eq(put(data, sizeof(data), 100, PLAN, 0, &c), ERR_RETRY);
	ck_assert_uint_eq(store_generation(store), generation);
	redis_fixture_restart(&redis);
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), 0);
	ck_assert_uint_gt(store_generation(store), generation);
	set_plan(PLAN);
	/* The scripts are gone too. */
	ck_assert_msg(!put(data, sizeof(data), 100, PLAN, 0, &c), "%s", err.msg);
	check_stored(data, sizeof(data), &c);
}
END_TEST

START_TEST(redis_that_dies_under_a_write_kills_nobody)
{
	struct store_commit c;
	uint8_t *data = make_bytes(8u << 20, 3);
	redis_fixture_kill(&redis);
	/* Straight into a closed socket: no SIGPIPE. */
	ck_assert_int_eq(put(data, 8u << 20, 9999, PLAN, 0, &c), ERR_RETRY);
	struct bytes value = { data, 8u << 20 };
	ck_assert_int_eq(store_put_value(store, STREAM, "index", value, &err), ERR_RETRY);
	free(data);
}
END_TEST

START_TEST(full_redis_is_retried_and_says_so)
{
	struct store_commit c;
	size_t n = 4 * STORE_PIECE;
	uint8_t *data = make_bytes(n, 3);
	redis_fixture_command(&redis, "CONFIG SET maxmemory 1");
	ck_assert_int_eq(put(data, n, 9999, PLAN, 0, &c), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "OOM") != NULL, "%s", err.msg);
	redis_fixture_command(&redis, "CONFIG SET maxmemory 0");
	ck_assert_msg(!put(data, n, 9999, PLAN, 0, &c), "%s", err.msg);
	check_stored(data, n, &c);
	free(data);
}
END_TEST

START_TEST(key_of_a_wrong_type_is_a_clear_error)
{
	struct store_commit c;
	struct buf out = { 0 };
	uint8_t data[10] = { 1 };
	redis_fixture_command(&redis, "LPUSH segfarm:{" STREAM "}:index x");
	ck_assert_int_eq(store_get_value(store, STREAM, "index", &out, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "WRONGTYPE") != NULL, "%s", err.msg);
	redis_fixture_command(&redis, "SET segfarm:{" STREAM "}:segs:main x");
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), ERR_USAGE);
	ck_assert_int_eq(put(data, sizeof(data), 10, PLAN, 0, &c), ERR_USAGE);
	/* An error reply does not cost the connection. */
	ck_assert_uint_eq(store_generation(store), 1);
	ck_assert_int_eq(store_ping(store, &err), 0);
}
END_TEST

static const char *const bad_records[] = { "x",
					   "10",
					   "10 1 0123456789abcdef",
					   "0 0 0123456789abcdef " PLAN,
					   "10 2 0123456789abcdef " PLAN,
					   "10 1 0123456789abcdeg " PLAN,
					   "-1 1 0123456789abcdef " PLAN,
					   "10 1 0123456789abcdef " PLAN "a",
					   "99999999999999 1 0123456789abcdef " PLAN,
					   "+10 1 0123456789abcdef " PLAN };

START_TEST(broken_commit_record_is_refused_and_written_anew)
{
	struct store_commit c;
	char command[256];
	uint8_t data[10] = { 1 };
	snprintf(command, sizeof(command), "HSET segfarm:{" STREAM "}:segs:main 540000:360000 \"%s\"", bad_records[_i]);
	ck_assert_str_eq(redis_fixture_command(&redis, command), ":1");
	ck_assert_int_eq(store_get_commit(store, &seg, &c, &err), ERR_DATA);
	ck_assert_msg(!put(data, sizeof(data), 10, PLAN, 0, &c), "%s", err.msg);
	check_stored(data, sizeof(data), &c);
}
END_TEST

START_TEST(piece_of_a_wrong_size_is_refused)
{
	struct buf out = { 0 };
	redis_fixture_command(&redis, "SETRANGE " PIECE_0 " 262144 x");
	ck_assert_int_eq(store_get_piece(store, &seg, 0, &out, &err), ERR_DATA);
	ck_assert_uint_eq(out.size, 0);
	ck_assert_int_eq(store_get_piece(store, &seg, -1, &out, &err), ERR_USAGE);
}
END_TEST

static int count(void *arg, int64_t start, int64_t duration, const struct store_commit *c)
{
	ck_assert_int_eq(duration, 1000);
	ck_assert_int_eq(c->bytes, 4);
	((uint8_t *)arg)[start / 1000] = 1;
	return 0;
}

static int stop(void *arg, int64_t start, int64_t duration, const struct store_commit *c)
{
	(void)start;
	(void)duration;
	(void)c;
	++*(int *)arg;
	return 7;
}

START_TEST(every_committed_segment_is_listed)
{
	static uint8_t seen[1500];
	struct store_commit c;
	for (int i = 0; i < 1500; i++) {
		struct store_segment s = { STREAM, "main", i * 1000, 1000 };
		char data[] = "1234";
		struct iovec iov = { data, 4 };
		ck_assert_int_eq(store_put_segment(store, &s, PLAN, &iov, 1, 0, &c, &err), 0);
	}
	redis_fixture_command(&redis, "HSET segfarm:{" STREAM "}:segs:main nonsense x");
	ck_assert_msg(!store_list_commits(store, STREAM, "main", count, seen, &err), "%s", err.msg);
	for (int i = 0; i < 1500; i++)
		ck_assert_int_eq(seen[i], 1);
	int n = 0;
	ck_assert_int_eq(store_list_commits(store, STREAM, "main", stop, &n, &err), 7);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(store_list_commits(store, STREAM, "other", stop, &n, &err), 0);
}
END_TEST

START_TEST(value_comes_back_and_its_absence_is_told)
{
	size_t n = (3u << 20) + 1;
	uint8_t *data = make_bytes(n, 4);
	struct buf out = { 0 };
	ck_assert_int_eq(store_get_value(store, STREAM, "init:main", &out, &err), 0);
	ck_assert_int_eq(store_put_value(store, STREAM, "init:main", (struct bytes){ data, n }, &err), 0);
	buf_put_u8(&out, 1);
	ck_assert_int_eq(store_get_value(store, STREAM, "init:main", &out, &err), 1);
	ck_assert_uint_eq(out.size, n + 1);
	ck_assert(!memcmp(out.data + 1, data, n));
	ck_assert_int_eq(store_put_value(store, STREAM, "index", (struct bytes){ NULL, 0 }, &err), 0);
	buf_reset(&out);
	ck_assert_int_eq(store_get_value(store, STREAM, "index", &out, &err), 1);
	ck_assert_uint_eq(out.size, 0);
	buf_finish(&out);
	free(data);
}
END_TEST

START_TEST(names_that_would_leave_the_stream_are_refused)
{
	struct buf out = { 0 };
	struct store_commit c;
	struct store_segment bad = { STREAM, "a:b", 0, 1 };
	ck_assert_int_eq(store_get_value(store, STREAM, "stream", &out, &err), ERR_USAGE);
	ck_assert_int_eq(store_get_value(store, STREAM, "init:../x", &out, &err), ERR_USAGE);
	ck_assert_int_eq(store_get_value(store, "0123456789abcde}", "plan", &out, &err), ERR_USAGE);
	ck_assert_int_eq(store_get_commit(store, &bad, &c, &err), ERR_USAGE);
	ck_assert_int_eq(store_put_plan(store, STREAM, NULL, (struct bytes){ NULL, 0 }, "x", 1, "main", &err), ERR_USAGE);
}
END_TEST

START_TEST(prefix_keeps_two_farms_apart)
{
	struct buf out = { 0 };
	store_set_prefix(store, "other:");
	ck_assert_int_eq(store_get_value(store, STREAM, "plan", &out, &err), 0);
	store_set_prefix(store, "segfarm:");
	ck_assert_int_eq(store_get_value(store, STREAM, "plan", &out, &err), 1);
	buf_finish(&out);
}
END_TEST

START_TEST(server_that_is_not_there_is_named)
{
	struct store *s;
	ck_assert_int_eq(store_open(&s, "unix:///nowhere/redis.sock", 1000, &err), ERR_RETRY);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(err.msg, "unix:///nowhere/redis.sock") != NULL, "%s", err.msg);
	ck_assert_int_eq(store_open(&s, "redis://:secret@127.0.0.1:1/2", 1000, &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "redis://127.0.0.1:1/2") != NULL, "%s", err.msg);
	ck_assert_msg(!strstr(err.msg, "secret"), "%s", err.msg);
}
END_TEST

static const char *const bad_urls[] = {
	"",
	"localhost",
	"http://x",
	"rediss://x",
	"unix://relative.sock",
	"redis://",
	"redis://:secret@",
	"redis://h:0",
	"redis://h:65536",
	"redis://h:6379x",
	"redis://h/x",
	"redis://secret@h",
	"redis://:secr%zzet@h",
	"redis://[::1",
	"redis://h:1:2",
};

START_TEST(bad_url_is_refused_without_showing_its_password)
{
	struct store *s;
	ck_assert_int_eq(store_open(&s, bad_urls[_i], 1000, &err), ERR_USAGE);
	ck_assert_ptr_null(s);
	ck_assert_msg(!strstr(err.msg, "secr"), "%s", err.msg);
}
END_TEST

/* Redis listens on a TCP port too, one that was free; returns it. */
static int listen_on_tcp(void)
{
	char command[64];
	for (int port = 20000 + (int)getpid() % 20000, i = 0; i < 100; i++, port += 97) {
		snprintf(command, sizeof(command), "CONFIG SET port %d", port);
		if (!strcmp(redis_fixture_command(&redis, command), "+OK"))
			return port;
	}
	ck_abort_msg("no free port");
	return 0;
}

START_TEST(password_is_given_and_a_wrong_one_refused)
{
	struct store *s;
	char url[64];
	int port = listen_on_tcp();
	redis_fixture_command(&redis, "CONFIG SET requirepass pass/w@rd");
	snprintf(url, sizeof(url), "redis://:pass%%2fw@rd@127.0.0.1:%d/3", port);
	ck_assert_msg(!store_open(&s, url, TIMEOUT_MS, &err), "%s", err.msg);
	ck_assert_int_eq(store_ping(s, &err), 0);
	store_close(s);
	snprintf(url, sizeof(url), "redis://:wrong@127.0.0.1:%d", port);
	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_USAGE);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", port);
	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "NOAUTH") != NULL, "%s", err.msg);
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite_store(void)
{
	Suite *s = suite_create("common/store");
	TCase *t = tcase_create("store");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, segment_comes_back_byte_for_byte, 0, N(shapes));
	tcase_add_test(t, a_piece_takes_hardly_more_memory_in_redis_than_it_has_bytes);
	tcase_add_test(t, checksum_is_that_of_the_bytes_however_they_were_cut);
	tcase_add_test(t, segment_of_no_bytes_is_refused);
	tcase_add_test(t, segment_over_the_limit_is_refused_before_a_byte_is_read);
	tcase_add_test(t, lost_piece_is_seen_and_made_again);
	tcase_add_test(t, pieces_that_end_early_leave_the_connection_in_step);
	tcase_add_test(t, deleted_segment_leaves_nothing);
	tcase_add_loop_test(t, removed_stream_leaves_nothing_whatever_is_damaged, 0, N(damages));
	tcase_add_test(t, stream_that_somebody_has_removed_meanwhile_is_not_there_again);
	tcase_add_test(t, pieces_live_as_long_as_asked_from_the_commit_on);
	tcase_add_test(t, writer_that_dies_after_the_record_is_followed_by_one_who_does_the_rest);
	tcase_add_test(t, segment_of_another_plan_is_not_committed);
	tcase_add_test(t, first_writer_wins);
	tcase_add_test(t, new_plan_replaces_a_segment_of_the_same_place_and_its_surplus_pieces);
	tcase_add_test(t, restart_of_redis_is_an_error_once_and_a_new_generation);
	tcase_add_test(t, redis_that_dies_under_a_write_kills_nobody);
	tcase_add_test(t, full_redis_is_retried_and_says_so);
	tcase_add_test(t, key_of_a_wrong_type_is_a_clear_error);
	tcase_add_loop_test(t, broken_commit_record_is_refused_and_written_anew, 0, N(bad_records));
	tcase_add_test(t, piece_of_a_wrong_size_is_refused);
	tcase_add_test(t, every_committed_segment_is_listed);
	tcase_add_test(t, value_comes_back_and_its_absence_is_told);
	tcase_add_test(t, names_that_would_leave_the_stream_are_refused);
	tcase_add_test(t, prefix_keeps_two_farms_apart);
	tcase_add_test(t, password_is_given_and_a_wrong_one_refused);
	suite_add_tcase(s, t);
	TCase *u = tcase_create("url");
	tcase_add_test(u, server_that_is_not_there_is_named);
	tcase_add_loop_test(u, bad_url_is_refused_without_showing_its_password, 0, N(bad_urls));
	suite_add_tcase(s, u);
	return s;
}
