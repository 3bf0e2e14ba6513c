/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Streams, their owners, dispatchers' leases and mail, in a real Redis.
 */
#include "common/mail.h"
#include "common/store.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM "0123456789abcdef"
#define ONE "1111111111111111"
#define TWO "2222222222222222"
#define PLAN "aaaaaaaaaaaaaaaa"
#define TIMEOUT_MS 5000

static struct redis_fixture redis;
static struct store *store;
static struct err err;
static const struct store_segment seg = { STREAM, "main", 540000, 360000 };

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

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static void put_stream(struct store_stream *what)
{
	memset(what, 0, sizeof(*what));
	snprintf(what->source.path, sizeof(what->source.path), "/srv/\xff.mkv");
	what->source.size = 5;
	record_options_init(&what->options);
	what->options.audio_channels = 6;
	ck_assert_msg(!store_put_stream(store, STREAM, what, &err), "%s", err.msg);
}

/* --- streams */

/* Whether the stream is listed, and no other one is. */
static bool is_listed(void)
{
	char (*keys)[RECORD_KEY_SIZE];
	size_t n;
	bool is;

	ck_assert_msg(!store_list_streams(store, &keys, &n, &err), "%s", err.msg);
	ck_assert_uint_le(n, 1);
	is = n && !strcmp(keys[0], STREAM);
	ck_assert(is || !n);
	free(keys);
	return is;
}

START_TEST(accepted_stream_is_listed_and_read_back)
{
	struct store_stream what, back;

	ck_assert_int_eq(store_get_stream(store, STREAM, &back, &err), 0);
	ck_assert(!is_listed());
	for (int i = 0; i < 2; i++)
		put_stream(&what);
	ck_assert_msg(store_get_stream(store, STREAM, &back, &err) == 1, "%s", err.msg);
	ck_assert_str_eq(back.source.path, what.source.path);
	ck_assert_int_eq(back.options.audio_channels, 6);
	ck_assert_str_eq(back.state, "probing");
	ck_assert(!back.is_on_demand && !back.n_segments && back.created > 1700000000);
	ck_assert(is_listed());
	ck_assert_int_eq(store_set_state(store, STREAM, NULL, "failed", "it broke, badly", &err), 0);
	ck_assert_int_eq(store_put_plan(store, STREAM, NULL, text("{}"), PLAN, 7, "main", &err), 0);
	ck_assert_int_eq(store_set_mode(store, STREAM, true, &err), 1);
	ck_assert_int_eq(store_get_stream(store, STREAM, &back, &err), 1);
	ck_assert_str_eq(back.state, "failed");
	ck_assert_str_eq(back.error, "it broke, badly");
	ck_assert(back.is_on_demand && back.n_segments == 7);
}
END_TEST

START_TEST(removed_stream_leaves_nothing_and_takes_no_late_segment)
{
	char data[] = "segment";
	struct iovec iov = { data, sizeof(data) };
	struct store_commit commit;
	struct store_stream what;
	char owner[STORE_OWNER_SIZE];

	put_stream(&what);
	ck_assert_int_eq(store_own_stream(store, STREAM, ONE, "", owner, &err), 1);
	ck_assert_int_eq(store_put_plan(store, STREAM, NULL, text("{}"), PLAN, 1, "main", &err), 0);
	ck_assert_int_eq(store_put_value(store, STREAM, "index", text("{}"), &err), 0);
	ck_assert_int_eq(store_put_value(store, STREAM, "init:main", text("x"), &err), 0);
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, &iov, 1, 0, &commit, &err), 0);
	ck_assert_int_eq(store_put_fail(store, NULL, &seg, "crash", 2, "signal 11", &err), 0);
	ck_assert_int_eq(store_clean(store, STREAM, &err), 0); /* it is not removed */
	ck_assert_int_eq(store_get_stream(store, STREAM, &what, &err), 1);
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	ck_assert_msg(!store_remove_stream(store, STREAM, &err), "by two at once: %s", err.msg);
	iov = (struct iovec){ data, sizeof(data) };
	ck_assert_int_eq(store_put_segment(store, &seg, PLAN, &iov, 1, 0, &commit, &err), ERR_STOPPED);
	ck_assert_int_eq(store_get_stream(store, STREAM, &what, &err), 0);
	ck_assert_int_eq(store_set_mode(store, STREAM, true, &err), 0);
	ck_assert_int_eq(store_clean(store, STREAM, &err), 1);
	ck_assert_int_eq(store_clean(store, STREAM, &err), 0);
	redis_fixture_command(&redis, "DEL segfarm:{" STREAM "}:seg:main:540000:360000:0"); /* not committed: it would have gone by itself */
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), ":0");
}
END_TEST

#define LONG 100 /* segments, of 20 pieces */

static int db_size(void)
{
	return atoi(redis_fixture_command(&redis, "DBSIZE") + 1);
}

static void put_long_stream(void)
{
	struct store_stream what;

	put_stream(&what);
	ck_assert_int_eq(store_put_plan(store, STREAM, NULL, text("{}"), PLAN, LONG, "main", &err), 0);
	redis_fixture_command(&redis, "EVAL \"for i = 0, 99 do redis.call('HSET', KEYS[1] .. 'segs:audio-2', i .. ':1', "
				      "'5 20 0123456789abcdef " PLAN "') for p = 0, 19 do "
				      "redis.call('SET', KEYS[1] .. 'seg:audio-2:' .. i .. ':1:' .. p, 'x') end end\" 1 segfarm:{" STREAM "}:");
	ck_assert_int_gt(db_size(), LONG * 20);
}

START_TEST(removed_stream_goes_bit_by_bit_whoever_begins_it)
{
	int before, n = 0;

	put_long_stream();
	before = db_size();
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	ck_assert_int_eq(db_size(), before);
	ck_assert(is_listed());
	for (int more = 1; more; n++) {
		before = db_size();
		more = store_clean(store, STREAM, &err);
		ck_assert_msg(more >= 0, "%s", err.msg);
		ck_assert_msg(before > db_size() && before - db_size() <= 300, "%d keys at a time", before - db_size());
		if (n == 1) { /* somebody else */
			store_close(store);
			ck_assert_int_eq(store_open(&store, redis.url, TIMEOUT_MS, &err), 0);
		}
	}
	ck_assert_int_gt(n, 5);
	ck_assert_int_eq(db_size(), 0);
}
END_TEST

START_TEST(stream_that_comes_again_finds_nothing_of_its_former_life)
{
	struct store_stream what;

	put_long_stream();
	ck_assert_int_eq(store_remove_stream(store, STREAM, &err), 0);
	ck_assert_int_eq(store_clean(store, STREAM, &err), 1);
	put_stream(&what);
	ck_assert_int_eq(db_size(), 2); /* its record, and the list that it is in */
	ck_assert_int_eq(store_get_stream(store, STREAM, &what, &err), 1);
	ck_assert_int_eq(what.n_segments, 0);
	ck_assert_int_eq(store_clean(store, STREAM, &err), 0);
	ck_assert_int_eq(db_size(), 2);
}
END_TEST

static int see_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		    const char *reason)
{
	ck_assert_str_eq(rendition, seg.rendition);
	ck_assert(start == seg.start && duration == seg.duration && attempts == 2);
	ck_assert_str_eq(class_name, "crash");
	ck_assert_str_eq(reason, "killed by signal 11: it's broken");
	++*(int *)arg;
	return 0;
}

START_TEST(failures_are_listed_with_their_reasons_until_they_are_cleared)
{
	int n = 0;

	ck_assert_int_eq(store_put_fail(store, NULL, &seg, "crash", 2, "killed by signal 11: it's broken", &err), 0);
	redis_fixture_command(&redis, "HSET segfarm:{" STREAM "}:fails garbage 1 main:1:2 x mainly:540000:360000 y");
	ck_assert_int_eq(store_list_fails(store, STREAM, see_fail, &n, &err), 0);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(store_clear_fails(store, STREAM, &err), 0);
	ck_assert_int_eq(store_list_fails(store, STREAM, see_fail, &n, &err), 0);
	ck_assert_int_eq(n, 1);
}
END_TEST

/* --- owners */

START_TEST(stream_has_one_owner_and_each_next_one_a_higher_number)
{
	char one[STORE_OWNER_SIZE], two[STORE_OWNER_SIZE], owners[2][STORE_OWNER_SIZE];
	static const char keys[2][RECORD_KEY_SIZE] = { STREAM, "fedcba9876543210" };

	ck_assert_int_eq(store_own_stream(store, STREAM, ONE, "", one, &err), 1);
	ck_assert_str_eq(one, ONE " 1");
	ck_assert_int_eq(store_own_stream(store, STREAM, TWO, "", two, &err), 0);
	ck_assert_int_eq(store_own_stream(store, STREAM, TWO, one, two, &err), 1);
	ck_assert_str_eq(two, TWO " 2");
	ck_assert_int_eq(store_own_stream(store, STREAM, ONE, one, one, &err), 0);
	ck_assert_int_eq(store_get_owners(store, keys, 2, owners, &err), 0);
	ck_assert_str_eq(owners[0], two);
	ck_assert_str_eq(owners[1], "");
}
END_TEST

START_TEST(who_is_not_the_owner_any_more_writes_nothing)
{
	char one[STORE_OWNER_SIZE], two[STORE_OWNER_SIZE];
	struct store_stream what;
	struct buf plan = { 0 };

	put_stream(&what);
	ck_assert_int_eq(store_own_stream(store, STREAM, ONE, "", one, &err), 1);
	ck_assert_int_eq(store_set_state(store, STREAM, one, "working", "", &err), 0);
	ck_assert_int_eq(store_put_plan(store, STREAM, one, text("{}"), PLAN, 3, "main", &err), 0);
	ck_assert_int_eq(store_own_stream(store, STREAM, TWO, one, two, &err), 1);
	ck_assert_int_eq(store_set_state(store, STREAM, one, "failed", "late", &err), ERR_STOPPED);
	ck_assert_int_eq(store_put_plan(store, STREAM, one, text("{late}"), "bbbbbbbbbbbbbbbb", 4, "main", &err), ERR_STOPPED);
	ck_assert_int_eq(store_put_fail(store, one, &seg, "crash", 1, "late", &err), ERR_STOPPED);
	ck_assert_int_eq(store_get_stream(store, STREAM, &what, &err), 1);
	ck_assert_str_eq(what.state, "working");
	ck_assert_int_eq(what.n_segments, 3);
	ck_assert_int_eq(store_get_value(store, STREAM, "plan", &plan, &err), 1);
	ck_assert(plan.size == 2 && !memcmp(plan.data, "{}", 2));
	ck_assert_str_eq(redis_fixture_command(&redis, "HLEN segfarm:{" STREAM "}:fails"), ":0");
	buf_finish(&plan);
}
END_TEST

/* --- dispatchers */

static int see_dispatcher(void *arg, const char *id, struct bytes status)
{
	ck_assert(!strcmp(id, ONE) || !strcmp(id, TWO));
	ck_assert(status.size == 2);
	++*(int *)arg;
	return 0;
}

START_TEST(lease_is_renewed_only_while_it_lasts)
{
	int n = 0;

	ck_assert_int_eq(store_keep_dispatcher(store, ONE, false, text("{}"), &err), 0);
	ck_assert_int_eq(store_keep_dispatcher(store, ONE, true, text("{}"), &err), 1);
	ck_assert_int_eq(store_keep_dispatcher(store, ONE, true, text("{}"), &err), 0);
	ck_assert_int_eq(store_keep_dispatcher(store, ONE, false, text("{}"), &err), 1);
	ck_assert_int_eq(store_keep_dispatcher(store, TWO, true, text("{}"), &err), 1);
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "PTTL segfarm:dispatcher:" ONE) + 1), STORE_LEASE_MS / 2);
	ck_assert_int_eq(store_has_dispatcher(store, ONE, &err), 1);
	ck_assert_int_eq(store_list_dispatchers(store, see_dispatcher, &n, &err), 0);
	ck_assert_int_eq(n, 2);
	redis_fixture_command(&redis, "DEL segfarm:dispatcher:" ONE); /* as when it runs out */
	ck_assert_int_eq(store_keep_dispatcher(store, ONE, false, text("{}"), &err), 0);
	ck_assert_int_eq(store_has_dispatcher(store, ONE, &err), 0);
	ck_assert_int_eq(store_list_dispatchers(store, see_dispatcher, &n, &err), 0);
	ck_assert_int_eq(n, 3);
	ck_assert_str_eq(redis_fixture_command(&redis, "SCARD segfarm:dispatchers"), ":1");
	ck_assert_int_eq(store_end_dispatcher(store, TWO, &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "DBSIZE"), ":0");
}
END_TEST

#define BEACON "segfarm:beacon:"

START_TEST(beacons_that_are_damaged_are_passed_over)
{
	const struct store_beacon one = { .id = ONE, .n_streams = 7, .endpoint = "ipc:///tmp/a b", .host = "box" },
				  two = { .id = TWO, .endpoint = "tcp://10.0.0.1:5555" };
	static const char *const damaged[] = {
		"HSET " BEACON "3333333333333333 x y",
		"SET " BEACON "3333333333333333 -1",
		"SET " BEACON "3333333333333333 \"1 tcp://[::1]:5555 \\n\"",
		"SETRANGE " BEACON "3333333333333333 1000 x",
	};
	struct store_beacon all[8];

	ck_assert_int_eq(store_keep_dispatcher(store, ONE, true, text("{}"), &err), 1);
	ck_assert_int_eq(store_put_beacon(store, &one, &err), 0);
	ck_assert_int_eq(store_keep_dispatcher(store, TWO, true, text("{}"), &err), 1);
	ck_assert_int_eq(store_put_beacon(store, &two, &err), 0);
	redis_fixture_command(&redis, "SADD segfarm:dispatchers 3333333333333333 4444444444444444 nobody x y z");
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		redis_fixture_command(&redis, "DEL " BEACON "3333333333333333");
		redis_fixture_command(&redis, damaged[i]);
		ck_assert_str_eq(redis_fixture_command(&redis, "EXISTS " BEACON "3333333333333333"), ":1");
		ck_assert_msg(store_list_beacons(store, all, 8, &err) == 2, "%s: %s", damaged[i], err.msg);
		for (int k = 0; k < 2; k++) {
			const struct store_beacon *put = strcmp(all[k].id, ONE) ? &two : &one;

			ck_assert_str_eq(all[k].id, put->id);
			ck_assert_str_eq(all[k].endpoint, put->endpoint);
			ck_assert_str_eq(all[k].host, put->host);
			ck_assert_int_eq(all[k].n_streams, put->n_streams);
		}
	}
}
END_TEST

/* --- mail */

static void wait_for_mail(struct store *box)
{
	struct pollfd p = { .fd = store_mail_fd(box), .events = POLLIN };

	ck_assert_int_ge(p.fd, 0);
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
}

START_TEST(mail_wakes_the_one_it_is_for_and_comes_in_order)
{
	struct mail sent = { .verb = MAIL_WANT, .from = TWO, .stream = STREAM, .slot = 9, .player = UINT64_C(1) << 61 }, got;
	struct buf json = { 0 }, mail = { 0 };
	struct store *box;

	ck_assert_int_eq(store_open(&box, redis.url, TIMEOUT_MS, &err), 0);
	ck_assert_int_lt(store_mail_fd(box), 0);
	ck_assert_int_eq(store_await_mail(box, ONE, &err), 0);
	ck_assert_int_eq(store_take_mail(box, &mail, &err), 0);
	ck_assert_int_eq(mail_put(&sent, &json), 0);
	ck_assert_int_eq(store_send_mail(store, TWO, text("not for one"), &err), 0);
	ck_assert_int_eq(store_send_mail(store, ONE, buf_bytes(&json), &err), 0);
	ck_assert_int_eq(store_send_mail(store, ONE, text("second"), &err), 0);
	wait_for_mail(box);
	ck_assert_int_eq(store_take_mail(box, &mail, &err), 1);
	ck_assert_msg(!mail_get(buf_bytes(&mail), &got, &err), "%s", err.msg);
	ck_assert(got.verb == sent.verb && got.slot == 9 && got.player == sent.player);
	ck_assert_str_eq(got.from, TWO);
	ck_assert_str_eq(got.stream, STREAM);
	ck_assert_int_lt(store_mail_fd(box), 0); /* to be awaited anew */
	ck_assert_int_eq(store_await_mail(box, ONE, &err), 0);
	wait_for_mail(box);
	buf_reset(&mail);
	ck_assert_int_eq(store_take_mail(box, &mail, &err), 1);
	ck_assert(mail.size == 6 && !memcmp(mail.data, "second", 6));
	store_close(box);
	buf_finish(&json);
	buf_finish(&mail);
}
END_TEST

START_TEST(mail_that_nobody_reads_is_bounded_and_does_not_live_for_ever)
{
	for (int i = 0; i < STORE_MAILS_MAX + 10; i++)
		ck_assert_int_eq(store_send_mail(store, ONE, text("x"), &err), 0);
	ck_assert_str_eq(redis_fixture_command(&redis, "LLEN segfarm:mail:" ONE), ":10000");
	ck_assert_int_gt(atoi(redis_fixture_command(&redis, "TTL segfarm:mail:" ONE) + 1), 0);
}
END_TEST

START_TEST(malformed_mail_is_refused)
{
	static const char *const bad[] = {
		"", "x", "{}", "[]",
		"{\"verb\":\"kill\",\"from\":\"\",\"stream\":\"" STREAM "\",\"slot\":0,\"player\":0}",
		"{\"verb\":\"look\",\"from\":\"me\",\"stream\":\"" STREAM "\",\"slot\":0,\"player\":0}",
		"{\"verb\":\"look\",\"from\":\"\",\"stream\":\"../x\",\"slot\":0,\"player\":0}",
		"{\"verb\":\"look\",\"from\":\"\",\"stream\":\"" STREAM "\",\"slot\":-1,\"player\":0}",
		"{\"verb\":\"look\",\"from\":\"\",\"stream\":\"" STREAM "\",\"slot\":4294967295,\"player\":0}",
		"{\"verb\":\"look\",\"from\":\"\",\"stream\":\"" STREAM "\",\"slot\":0,\"player\":0,\"more\":1}",
	};
	struct mail m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(mail_get(text(bad[i]), &m, &err) < 0, "%s", bad[i]);
}
END_TEST

Suite *suite_store_dispatcher(void)
{
	Suite *s = suite_create("common/store_dispatcher");
	TCase *t = tcase_create("store_dispatcher");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, accepted_stream_is_listed_and_read_back);
	tcase_add_test(t, removed_stream_leaves_nothing_and_takes_no_late_segment);
	tcase_add_test(t, removed_stream_goes_bit_by_bit_whoever_begins_it);
	tcase_add_test(t, stream_that_comes_again_finds_nothing_of_its_former_life);
	tcase_add_test(t, failures_are_listed_with_their_reasons_until_they_are_cleared);
	tcase_add_test(t, stream_has_one_owner_and_each_next_one_a_higher_number);
	tcase_add_test(t, who_is_not_the_owner_any_more_writes_nothing);
	tcase_add_test(t, lease_is_renewed_only_while_it_lasts);
	tcase_add_test(t, beacons_that_are_damaged_are_passed_over);
	tcase_add_test(t, mail_wakes_the_one_it_is_for_and_comes_in_order);
	tcase_add_test(t, mail_that_nobody_reads_is_bounded_and_does_not_live_for_ever);
	tcase_add_test(t, malformed_mail_is_refused);
	suite_add_tcase(s, t);
	return s;
}
