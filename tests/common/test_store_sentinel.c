/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The store behind real sentinels: the master is found, and found again.
 */
#include "common/store.h"
#include "tests/e2e/bg.h"
#include "tests/redis_group.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define STREAM "0123456789abcdef"
#define TIMEOUT_MS 5000

static struct redis_group g;
static struct store *store;
static struct err err;

static void setup(void)
{
	redis_group_start_sentinel(&g, false);
	ck_assert_msg(!store_open(&store, g.url, TIMEOUT_MS, &err), "%s", err.msg);
}

static void teardown(void)
{
	store_close(store);
	redis_group_stop(&g);
}

static int put(const char *value)
{
	return store_put_value(store, STREAM, "index", (struct bytes){ (const uint8_t *)value, strlen(value) }, &err);
}

static bool has(const char *value)
{
	struct buf out = { 0 };
	bool is_equal = store_get_value(store, STREAM, "index", &out, &err) == 1 && out.size == strlen(value) &&
			!memcmp(out.data, value, out.size);

	buf_finish(&out);
	return is_equal;
}

START_TEST(master_is_found_and_the_next_one_when_it_dies)
{
	ck_assert_msg(!put("one"), "%s", err.msg);
	ck_assert_str_eq(redis_group_ask(&g, 0, "GET segfarm:{" STREAM "}:index"), "one");
	bg_wait_until(!strcmp(redis_group_ask(&g, 0, "WAIT 2 1000"), "2"), "not copied");
	unsigned generation = store_generation(store);
	/* a sentinel that is dead is passed over */
	redis_group_kill(&g, 3);
	redis_group_kill(&g, 0);
	ck_assert_int_eq(put("two"), ERR_RETRY);
	bg_wait_until(!put("two"), "%s", err.msg);
	ck_assert_uint_gt(store_generation(store), generation);
	ck_assert(has("two"));
	int master = redis_group_master_of(&g, "");
	ck_assert_int_gt(master, 0);
	ck_assert_str_eq(redis_group_ask(&g, master, "GET segfarm:{" STREAM "}:index"), "two");
	/* it comes back as a master, and is made a replica: nobody writes to it in between */
	redis_group_restart(&g, 0);
	bg_wait_until(strstr(redis_group_ask(&g, 0, "INFO replication"), "master_link_status:up"), "%s", redis_group_ask(&g, 0, "INFO replication"));
	ck_assert(has("two"));
	ck_assert_msg(!put("three") && has("three"), "%s", err.msg);
}
END_TEST

START_TEST(master_that_is_made_a_replica_is_left)
{
	ck_assert_msg(!put("one"), "%s", err.msg);
	bg_wait_until(!strcmp(redis_group_ask(&g, 0, "WAIT 2 1000"), "2"), "not copied");
	ck_assert_str_eq(redis_group_ask(&g, 3, "SENTINEL FAILOVER films"), "OK");
	bg_wait_until(!strncmp(redis_group_ask(&g, 0, "ROLE"), "slave", 5), "no failover");
	bg_wait_until(!put("two"), "%s", err.msg);
	ck_assert(has("two"));
	ck_assert_int_gt(redis_group_master_of(&g, ""), 0);
}
END_TEST

START_TEST(replica_is_never_taken_for_the_master)
{
	/* A sentinel of its own that believes in a replica: nobody has told it yet. It is asked ROLE. */
	char url[160];
	struct store *s;

	ck_assert_msg(!put("one"), "%s", err.msg);
	for (int i = 3; i < 6; i++) {
		ck_assert_str_eq(redis_group_ask(&g, i, "SENTINEL MONITOR other 127.0.0.1 %d 3", g.nodes[1].port), "OK");
		snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%d/other", g.nodes[i].port);
		int ret = store_open(&s, url, TIMEOUT_MS, &err);
		ck_assert_msg(ret == ERR_RETRY && strstr(err.msg, "is not the master"), "%d %s", ret, err.msg);
	}
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%d/unknown", g.nodes[3].port);
	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "knows no master \"unknown\""), "%s", err.msg);
}
END_TEST

START_TEST(password_is_given_to_redis_and_to_sentinels_that_ask_for_it)
{
	char url[200];
	struct store *s;

	for (int i = 0; i < 3; i++) {
		redis_group_ask(&g, i, "CONFIG SET masterauth secret");
		redis_group_ask(&g, i, "ACL SETUSER farm on >secret ~* +@all");
		redis_group_ask(&g, i, "ACL SETUSER default resetpass >other");
	}
	redis_group_ask(&g, 4, "SENTINEL CONFIG SET sentinel-user farm");
	redis_group_ask(&g, 4, "ACL SETUSER farm on >secret ~* +@all");
	redis_group_ask(&g, 4, "ACL SETUSER default resetpass >other");
	for (int i = 3; i < 5; i++) {
		snprintf(url, sizeof(url), "redis+sentinel://farm:secret@127.0.0.1:%d/films", g.nodes[i].port);
		ck_assert_msg(!store_open(&s, url, TIMEOUT_MS, &err), "%s", err.msg);
		ck_assert_msg(!store_ping(s, &err), "%s", err.msg);
		store_close(s);
	}
	snprintf(url, sizeof(url), "redis+sentinel://farm:wrong@127.0.0.1:%d/films", g.nodes[3].port);
	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "WRONGPASS") && !strstr(err.msg, "wrong@"), "%s", err.msg);
}
END_TEST

Suite *suite_store_sentinel(void)
{
	Suite *s = suite_create("common/store_sentinel");
	TCase *t = tcase_create("store_sentinel");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 200);
	tcase_add_test(t, master_is_found_and_the_next_one_when_it_dies);
	tcase_add_test(t, master_that_is_made_a_replica_is_left);
	tcase_add_test(t, replica_is_never_taken_for_the_master);
	tcase_add_test(t, password_is_given_to_redis_and_to_sentinels_that_ask_for_it);
	suite_add_tcase(s, t);
	return s;
}
