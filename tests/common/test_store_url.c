/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * URLs of Redis, slots of keys, redirections.
 */
#include "common/store_slot.h"
#include "common/store_url.h"
#include "tests/suites.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct err err;

static const struct {
	const char *text, *name, *user, *password, *master;
	enum store_kind kind;
	int n_hosts, db;
} urls[] = {
	{ "unix:///run/x.sock", "unix:///run/x.sock", "", "", "", STORE_UNIX, 0, 0 },
	{ "unix:///run/a@b", "unix:///run/a@b", "", "", "", STORE_UNIX, 0, 0 },
	{ "redis://h", "redis://h:6379/0", "", "", "", STORE_TCP, 1, 0 },
	{ "redis://h:1/", "redis://h:1/0", "", "", "", STORE_TCP, 1, 0 },
	{ "redis://:p%40ss@h:65535/12", "redis://h:65535/12", "", "p@ss", "", STORE_TCP, 1, 12 },
	{ "redis://:p@ss:x@h", "redis://h:6379/0", "", "p@ss:x", "", STORE_TCP, 1, 0 },
	{ "redis://me:p@[::1]:7", "redis://[::1]:7/0", "me", "p", "", STORE_TCP, 1, 0 },
	{ "redis://m%3ae:p@h", "redis://h:6379/0", "m:e", "p", "", STORE_TCP, 1, 0 },
	{ "redis+sentinel://a", "redis+sentinel://a:26379/mymaster/0", "", "", "mymaster", STORE_SENTINEL, 1, 0 },
	{ "redis+sentinel://u:p@a,b:1,[::1]/films/3", "redis+sentinel://a:26379,b:1,[::1]:26379/films/3", "u", "p", "films", STORE_SENTINEL, 3, 3 },
	{ "redis+cluster://a,b:2/", "redis+cluster://a:6379,b:2", "", "", "", STORE_CLUSTER, 2, 0 },
	{ "redis+cluster://:p@a", "redis+cluster://a:6379", "", "p", "", STORE_CLUSTER, 1, 0 },
};

START_TEST(url_is_read)
{
	struct store_url u;
	char name[STORE_URL_MAX];

	ck_assert_msg(!store_url_read(&u, urls[_i].text, &err), "%s: %s", urls[_i].text, err.msg);
	store_url_name(&u, name);
	ck_assert_str_eq(name, urls[_i].name);
	ck_assert_str_eq(u.user, urls[_i].user);
	ck_assert_str_eq(u.password, urls[_i].password);
	ck_assert_str_eq(u.master, urls[_i].master);
	ck_assert_int_eq(u.kind, urls[_i].kind);
	ck_assert_int_eq(u.n_hosts, urls[_i].n_hosts);
	ck_assert_int_eq(u.db, urls[_i].db);
}
END_TEST

static const struct {
	const char *text, *why;
} bad[] = {
	{ "", "begin with" },
	{ "h:6379", "begin with" },
	{ "rediss://h", "stunnel" },
	{ "rediss+sentinel://h", "stunnel" },
	{ "redis+cluster://", "host is missing" },
	{ "redis+cluster://a,,b", "host is missing" },
	{ "redis+cluster://a/1", "no databases" },
	{ "redis+sentinel://a/films/x", "not a number" },
	{ "redis://a,b", "more than one host" },
	{ "redis://secret@a", "no :PASSWORD" },
	{ "redis://user:@a", "no password" },
	{ "redis://:secret%0@a", "percent-encoded" },
	{ "redis://:secret%00@a", "percent-encoded" },
	{ "redis://a:", "port" },
	{ "redis://a:-1", "port" },
	{ "redis://a:99999999999999999999", "port" },
	{ "redis://a/99999999999999999999", "database" },
	{ "redis+cluster://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "too many" },
};

START_TEST(url_that_is_wrong_is_refused_with_the_reason)
{
	struct store_url u;

	ck_assert_int_eq(store_url_read(&u, bad[_i].text, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, bad[_i].why), "%s: %s", bad[_i].text, err.msg);
	ck_assert_msg(!strstr(err.msg, "secret"), "%s", err.msg);
}
END_TEST

START_TEST(two_urls_have_a_space_in_between)
{
	struct store_url u[STORE_URLS_MAX];
	char text[2 * STORE_URL_MAX];

	ck_assert_int_eq(store_urls_read(u, "unix:///run/x.sock", &err), 1);
	ck_assert_str_eq(u[0].path, "/run/x.sock");
	ck_assert_int_eq(store_urls_read(u, "redis+sentinel://:p@a,b/films  redis+cluster://h:1 ", &err), 2);
	ck_assert(u[0].kind == STORE_SENTINEL && !strcmp(u[0].master, "films") && u[1].kind == STORE_CLUSTER && u[1].hosts[0].port == 1);
	ck_assert_int_eq(store_urls_read(u, "redis://a redis://b redis://c", &err), ERR_USAGE);
	ck_assert_int_eq(store_urls_read(u, "redis://a redis://:secret@", &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "host is missing") && !strstr(err.msg, "secret"), "%s", err.msg);
	ck_assert_int_eq(store_urls_read(u, " redis://a", &err), ERR_USAGE);
	ck_assert_int_eq(store_urls_read(u, "", &err), ERR_USAGE);
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:///", 8);
	text[STORE_URL_MAX] = 0; /* too long by one */
	ck_assert_int_eq(store_urls_read(u, text, &err), ERR_USAGE);
	strcpy(text + STORE_URL_MAX - 1, " redis://b");
	ck_assert_int_eq(store_urls_read(u, text, &err), 2);
	ck_assert_uint_eq(strlen(u[0].path), STORE_URL_MAX - 8);
}
END_TEST

START_TEST(url_and_its_parts_have_a_longest_length)
{
	char text[STORE_URL_MAX + 32];
	struct store_url u;

	for (size_t n = 0; n < sizeof(text) - 20; n += 7) {
		strcpy(text, "redis://:");
		memset(text + 9, 'x', n);
		strcpy(text + 9 + n, "@h");
		ck_assert_int_eq(store_url_read(&u, text, &err), n + 11 < STORE_URL_MAX ? 0 : ERR_USAGE);
		strcpy(text, "redis://");
		memset(text + 8, 'h', n);
		text[8 + n] = 0;
		ck_assert_int_eq(store_url_read(&u, text, &err), n && n < STORE_HOST_SIZE ? 0 : ERR_USAGE);
	}
}
END_TEST

static const struct {
	const char *key;
	unsigned slot;
} slots[] = {
	/* as `redis-cli cluster keyslot` says; the first is the specification's 0x31C3 */
	{ "123456789", 0x31C3 },
	{ "", 0 },
	{ "foo", 12182 },
	{ "{user1000}.following", 3443 },
	{ "{user1000}.followers", 3443 },
	{ "foo{}{bar}", 8363 },
	{ "foo{{bar}}zap", 4015 },
	{ "foo{bar}{zap}", 5061 },
	{ "bar", 5061 },
};

START_TEST(slot_is_that_of_the_hash_tag)
{
	ck_assert_uint_eq(store_slot(slots[_i].key), slots[_i].slot);
}
END_TEST

static const struct {
	const char *text;
	enum store_redirection kind;
	unsigned slot;
	const char *host;
	int port;
} redirects[] = {
	{ "MOVED 3999 127.0.0.1:6381", STORE_MOVED, 3999, "127.0.0.1", 6381 },
	{ "ASK 16383 redis-3.example:1", STORE_ASK, 16383, "redis-3.example", 1 },
	{ "MOVED 0 :6381", STORE_MOVED, 0, "", 6381 },
	{ "MOVED 0 ::1:6381", STORE_MOVED, 0, "::1", 6381 },
	{ "MOVED 0 [::1]:6381", STORE_MOVED, 0, "::1", 6381 },
	{ "TRYAGAIN Multiple keys request during rehashing of slot", STORE_TRY_AGAIN, 0, "", 0 },
	{ "ERR Error running script: Script attempted to access a non local key in a cluster node", STORE_TRY_AGAIN, 0, "", 0 },
	{ "CLUSTERDOWN Hash slot not served", STORE_DOWN, 0, "", 0 },
	{ "CLUSTERDOWN The cluster is down", STORE_DOWN, 0, "", 0 },
	{ "MOVED 16384 127.0.0.1:6381", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED -1 127.0.0.1:6381", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED 99999999999 127.0.0.1:6381", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED 1 127.0.0.1:0", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED 1 127.0.0.1:65536", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED 1 127.0.0.1", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED 1", STORE_STAYS, 0, NULL, 0 },
	{ "MOVED", STORE_STAYS, 0, NULL, 0 },
	{ "ERR unknown command", STORE_STAYS, 0, NULL, 0 },
	{ "", STORE_STAYS, 0, NULL, 0 },
};

START_TEST(redirection_is_read)
{
	struct store_redirect r;

	store_redirect_read(redirects[_i].text, &r);
	ck_assert_int_eq(r.kind, redirects[_i].kind);
	if (!redirects[_i].host)
		return;
	ck_assert_uint_eq(r.slot, redirects[_i].slot);
	ck_assert_str_eq(r.to.host, redirects[_i].host);
	ck_assert_int_eq(r.to.port, redirects[_i].port);
}
END_TEST

static const struct {
	const char *text;
	bool is_read_only;
} refusals[] = {
	{ "READONLY You can't write against a read only replica.", true },
	{ "READONLY You can't write against a read only replica. script: 4a, on @user_script:1.", true }, /* Redis 7 */
	{ "ERR Error running script (call to f_4a): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica. ", true }, /* 6 */
	{ "ERR unknown command 'READONLY'", false },
	{ "NOREPLICAS Not enough good replicas to write.", false },
	{ "", false },
};

START_TEST(replica_is_known_by_what_it_says)
{
	ck_assert_int_eq(store_is_read_only(refusals[_i].text), refusals[_i].is_read_only);
}
END_TEST

START_TEST(map_takes_so_many_masters_and_only_slots_that_there_are)
{
	struct store_map *map = malloc(sizeof(*map));
	struct store_address a = { "h", 1 };

	ck_assert_ptr_nonnull(map);
	store_map_init(map);
	ck_assert_uint_eq(map->of[0], STORE_NOWHERE);
	ck_assert(!store_map_assign(map, -1, 0, &a) && !store_map_assign(map, 0, STORE_SLOTS, &a) && !store_map_assign(map, 2, 1, &a));
	ck_assert(store_map_assign(map, 0, STORE_SLOTS - 1, &a));
	for (int i = 1; i < STORE_NODES_MAX; i++) {
		a.port = i + 1;
		ck_assert(store_map_assign(map, i, i, &a));
	}
	ck_assert_uint_eq(map->of[5], 5);
	ck_assert_uint_eq(map->of[STORE_SLOTS - 1], 0);
	a.port = 9999;
	ck_assert(!store_map_assign(map, 0, 0, &a));
	a.port = 1;
	ck_assert(store_map_assign(map, 5, 5, &a));
	ck_assert_uint_eq(map->of[5], 0);
	free(map);
}
END_TEST

Suite *suite_store_url(void)
{
	Suite *s = suite_create("common/store_url");
	TCase *t = tcase_create("store_url");

	tcase_add_loop_test(t, url_is_read, 0, N(urls));
	tcase_add_loop_test(t, url_that_is_wrong_is_refused_with_the_reason, 0, N(bad));
	tcase_add_test(t, two_urls_have_a_space_in_between);
	tcase_add_test(t, url_and_its_parts_have_a_longest_length);
	tcase_add_loop_test(t, slot_is_that_of_the_hash_tag, 0, N(slots));
	tcase_add_loop_test(t, redirection_is_read, 0, N(redirects));
	tcase_add_loop_test(t, replica_is_known_by_what_it_says, 0, N(refusals));
	tcase_add_test(t, map_takes_so_many_masters_and_only_slots_that_there_are);
	suite_add_tcase(s, t);
	return s;
}
