/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A whole farm on each kind of Redis, as its users in deploy/redis/users.acl: a title is made while the master dies, and not a byte is
 * another. Workers are in their sandbox.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_group.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 20 /* of the title */

static const char *title;
static char *reference, *names[SEGMENTS];
static struct redis_group g, data; /* data: where there is a second server; else it is not started */
static struct bg serve, pool;
static char *key, *root;

static void make_reference(void)
{
	if (title) /* for both cases */
		return;
	title = media_twenty_segments();
	reference = cluster_reference(title, names, SEGMENTS);
}

/* Programs take the URL of a fixture. */
static struct redis_fixture user(const char *name, const char *password)
{
	struct redis_fixture f = { .pid = 0 };
	int n = snprintf(f.url, sizeof(f.url), "%s", redis_group_url(&g, name, password));

	if (data.n)
		n += snprintf(f.url + n, sizeof(f.url) - (size_t)n, " %s", redis_group_url(&data, name, password));
	ck_assert_int_lt(n, sizeof(f.url));
	return f;
}

static void start(void)
{
	struct redis_fixture dispatcher = user("dispatcher", "dispatcher"), worker = user("worker", "worker");

	bg_open(&serve);
	bg_open(&pool);
	programs_serve(&serve, &dispatcher, "'%s'", title);
	root = bg_log_after(&serve, "streams on ");
	root[strcspn(root, ", \n")] = '\0';
	key = bg_log_after(&serve, "/hls/");
	key[strcspn(key, "/")] = '\0';
	programs_pool(&pool, &worker, &serve, 2, "-v");
}

static void stop(void)
{
	programs_end(&pool);
	programs_end(&serve);
	bg_close(&pool);
	bg_close(&serve);
	free(key);
	free(root);
	redis_group_stop(&g);
}

static int n_made(void)
{
	return atoi(redis_group_on_key(&g, key, "HLEN segfarm:{%s}:segs:main", key));
}

static void check_all(void)
{
	bg_wait_until(n_made() == SEGMENTS, "%d made", n_made());
	for (int i = 0; i < SEGMENTS; i++) /* 503 while Redis is being looked for */
		bg_wait_until(!sh_status(NULL, "curl -sS --fail --max-time 60 '%s/hls/%s/main/%s' | cmp - '%s/main/%s'", root, key, names[i],
					 reference, names[i]),
			      "segment %d", i);
	ck_assert_str_eq(redis_group_on_key(&g, key, "EXISTS segfarm:{%s}:fails", key), "0");
}

/* The master of the title dies when some of it is made, and is back, empty, as a replica. */
static void make_with_a_failover(void)
{
	int master;

	start();
	bg_wait_until(n_made() >= 2, "nothing is made");
	master = redis_group_master_of(&g, key);
	ck_assert_int_ge(master, 0);
	redis_group_kill(&g, master);
	bg_wait_until(redis_group_master_of(&g, key) >= 0, "no failover");
	ck_assert_int_ne(redis_group_master_of(&g, key), master);
	redis_group_restart(&g, master);
	check_all();
	ck_assert_int_ne(redis_group_master_of(&g, key), master);
	stop();
}

START_TEST(title_is_made_on_a_cluster_whose_master_dies)
{
	redis_group_start_cluster(&g, true);
	make_with_a_failover();
}
END_TEST

START_TEST(title_is_made_behind_sentinels_when_the_master_dies)
{
	redis_group_start_sentinel(&g, true);
	make_with_a_failover();
}
END_TEST

/* --- users */

static const char *as(const char *name, const char *command)
{
	static char *out;

	free(out);
	sh_status(&out, "redis-cli --no-auth-warning --user %s --pass %s -p %d %s", name, name, g.nodes[0].port, command);
	return out;
}

static void check_refused(const char *name, const char *command)
{
	const char *said = as(name, command);

	ck_assert_msg(!strncmp(said, "NOPERM", 6), "%s may %s: %s", name, command, said);
}

/* K: the stream's key */
static const char *const worker_may_not[] = {
	"FLUSHALL", "FLUSHDB", "KEYS '*'", "SCAN 0", "CONFIG GET '*'", "CONFIG SET maxmemory 1", "SHUTDOWN", "ACL LIST", "CLIENT LIST",
	"REPLICAOF NO ONE", "SAVE", "MONITOR", "SCRIPT FLUSH", "SUBSCRIBE x", "INFO", "SMEMBERS segfarm:streams", "SREM segfarm:streams K",
	"DEL segfarm:{K}:stream", "HSET segfarm:{K}:stream source x", "SET segfarm:{K}:plan x", "DEL segfarm:{K}:plan", "SET segfarm:{K}:owner x",
	"DEL segfarm:{K}:fails", "RPUSH segfarm:mail:0123456789abcdef x", "SET segfarm:dispatcher:0123456789abcdef x", "SET x y",
	"GET segfarm:{K}:plan", "SREM segfarm:dispatchers x", "SET segfarm:beacon:0123456789abcdef x", "EVAL 'return redis.call(\"DEL\",KEYS[1])' 1 segfarm:{K}:stream",
	"EVAL 'return redis.call(\"DEL\",ARGV[1])' 0 segfarm:{K}:stream", "EVAL 'return redis.call(\"FLUSHALL\")' 0",
};
static const char *const dispatcher_may_not[] = {
	"FLUSHALL", "KEYS '*'", "CONFIG SET maxmemory 1", "SHUTDOWN", "ACL LIST", "SET x y", "GET x", "REPLICAOF NO ONE",
	"EVAL 'return redis.call(\"SET\",\"x\",\"y\")' 0",
};

static void check_all_refused(const char *name, const char *const *commands, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char command[256];
		size_t at = 0;

		for (const char *c = commands[i]; *c && at + 20 < sizeof(command); c++)
			if (*c == 'K' && (c[1] == '}' || !c[1]))
				at += (size_t)snprintf(command + at, sizeof(command) - at, "%s", key);
			else
				command[at++] = *c;
		command[at] = 0;
		if (strncmp(command, "EVAL", 4)) {
			check_refused(name, command);
		} else {
			const char *said = as(name, command);

			ck_assert_msg(strstr(said, "NOPERM") || strstr(said, "The user executing the script can't"), "%s may %s: %s", name, command, said);
		}
	}
}

#define N(array) (sizeof(array) / sizeof((array)[0]))

START_TEST(users_of_the_acl_can_do_their_work_and_nothing_else)
{
	char *log;

	redis_group_start_one(&g, "segfarm.conf");
	start();
	check_all();
	check_all_refused("worker", worker_may_not, N(worker_may_not));
	/* where dispatchers are (--connect redis) it may know */
	ck_assert_ptr_null(strstr(as("worker", "SMEMBERS segfarm:dispatchers"), "NOPERM"));
	ck_assert_ptr_null(strstr(as("worker", "GET segfarm:beacon:0123456789abcdef"), "NOPERM"));
	check_all_refused("dispatcher", dispatcher_may_not, N(dispatcher_may_not));
	ck_assert_str_eq(redis_group_ask(&g, 0, "EXISTS segfarm:{%s}:stream segfarm:{%s}:plan", key, key), "2");
	free(sh("\"$SEGFARM\" status --redis '%s' | grep -q done", redis_group_url(&g, "dispatcher", "dispatcher")));
	free(sh("curl -sS --fail --max-time 60 -o '%s/play.mp4' '%s/stream/%s.mp4'", serve.dir, root, key));
	free(sh("\"$SEGFARM\" rm --redis '%s' %s", redis_group_url(&g, "dispatcher", "dispatcher"), key));
	log = bg_log(&serve);
	ck_assert_msg(!strstr(log, "NOPERM"), "%s", log);
	/* it says what its settings lose */
	ck_assert_msg(bg_count(log, "settings of Redis") == 2 && strstr(log, "maxmemory is 0") && strstr(log, "keeps nothing on disk"), "%s", log);
	free(log);
	log = bg_log(&pool);
	ck_assert_msg(!strstr(log, "NOPERM"), "%s", log);
	free(log);
	stop();
}
END_TEST

START_TEST(users_of_the_acl_can_do_their_work_on_two_servers)
{
	struct redis_fixture dispatcher;
	char *log;

	redis_group_start_one(&g, "state.conf");
	redis_group_start_one(&data, "data.conf");
	ck_assert_str_eq(redis_group_ask(&data, 0, "CONFIG GET maxmemory-policy"), "maxmemory-policy\nallkeys-lru");
	dispatcher = user("dispatcher", "dispatcher");
	start();
	check_all();
	free(sh("curl -sS --fail --max-time 60 -o '%s/play.mp4' '%s/stream/%s.mp4'", serve.dir, root, key));
	redis_group_restart(&data, 0); /* whoever comes first gives it a new id */
	check_all();
	free(sh("\"$SEGFARM\" rm --redis '%s' %s", dispatcher.url, key));
	for (int i = 0; i < 2; i++) {
		log = bg_log(i ? &pool : &serve);
		ck_assert_msg(!strstr(log, "NOPERM"), "%s", log);
		free(log);
	}
	stop();
	redis_group_stop(&data);
}
END_TEST

/* --- passwords */

START_TEST(wrong_password_is_told_and_tried_again_until_it_is_right)
{
	char *out;

	redis_group_start_one(&g, "segfarm.conf");
	start();
	bg_wait_until(n_made() >= 1, "nothing is made");
	ck_assert_int_ne(sh_status(&out, "\"$SEGFARM\" serve --redis '%s' --bind ipc:///%s/x --listen 127.0.0.1:0", redis_group_url(&g, "dispatcher", "wrong"),
				   serve.tmp), 0);
	ck_assert_msg(strstr(out, "WRONGPASS") && !strstr(out, "wrong@"), "%s", out);
	free(out);
	ck_assert_int_ne(sh_status(&out, "\"$WORKER\" -j 1 --redis '%s' --connect ipc://%s/bus.sock", redis_group_url(&g, "worker", "wrong"), serve.tmp), 0);
	ck_assert_msg(strstr(out, "WRONGPASS") && !strstr(out, "wrong@"), "%s", out);
	free(out);
	/* those that run are put out, and find their passwords changed */
	redis_group_ask(&g, 0, "ACL SETUSER dispatcher resetpass >other");
	redis_group_ask(&g, 0, "ACL SETUSER worker resetpass >other");
	redis_group_ask(&g, 0, "CLIENT KILL TYPE normal");
	bg_wait_log(&serve, "WRONGPASS", 1);
	ck_assert_int_eq(kill(serve.pid, 0), 0);
	ck_assert_int_eq(kill(pool.pid, 0), 0);
	redis_group_ask(&g, 0, "ACL SETUSER dispatcher resetpass >dispatcher");
	redis_group_ask(&g, 0, "ACL SETUSER worker resetpass >worker");
	check_all();
	stop();
}
END_TEST

Suite *suite_redis_kinds(void)
{
	Suite *suite = suite_create("redis_kinds");
	TCase *t = tcase_create("failover"), *users = tcase_create("users");

	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_unchecked_fixture(users, make_reference, NULL);
	tcase_set_timeout(t, 300);
	tcase_set_timeout(users, 300);
	tcase_add_test(t, title_is_made_on_a_cluster_whose_master_dies);
	tcase_add_test(t, title_is_made_behind_sentinels_when_the_master_dies);
	tcase_add_test(users, users_of_the_acl_can_do_their_work_and_nothing_else);
	tcase_add_test(users, users_of_the_acl_can_do_their_work_on_two_servers);
	tcase_add_test(users, wrong_password_is_told_and_tried_again_until_it_is_right);
	suite_add_tcase(suite, t);
	suite_add_tcase(suite, users);
	return suite;
}
