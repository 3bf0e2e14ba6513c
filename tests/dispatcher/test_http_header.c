/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is read of requests without a server: header fields, paths, bodies, tokens, signatures.
 */
#include "dispatcher/access.h"
#include "dispatcher/api.h"
#include "dispatcher/http.h"
#include "dispatcher/http_cache.h"
#include "dispatcher/http_header.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(range_is_one_part_or_ignored_or_not_there)
{
	static const struct {
		const char *value;
		uint64_t size;
		int is;
		uint64_t first, last;
	} ranges[] = {
		{ "bytes=0-0", 10, 1, 0, 0 },
		{ "bytes=2-5", 10, 1, 2, 5 },
		{ "bytes=2-", 10, 1, 2, 9 },
		{ "bytes=2-100", 10, 1, 2, 9 },
		{ "bytes=-3", 10, 1, 7, 9 },
		{ "bytes=-30", 10, 1, 0, 9 },
		{ "Bytes= 9-9 ", 10, 1, 9, 9 },
		{ "bytes=10-", 10, -1, 0, 0 },
		{ "bytes=10-11", 10, -1, 0, 0 },
		{ "bytes=-0", 10, -1, 0, 0 },
		{ "bytes=0-", 0, -1, 0, 0 },
		{ "bytes=-1", 0, -1, 0, 0 },
		{ "bytes=99999999999999999999999-", 10, -1, 0, 0 },
		{ "bytes=1-99999999999999999999999", 10, 1, 1, 9 },
		{ "bytes=5-2", 10, 0, 0, 0 },
		{ "bytes=-", 10, 0, 0, 0 },
		{ "bytes=", 10, 0, 0, 0 },
		{ "bytes", 10, 0, 0, 0 },
		{ "bytes=1-2,4-5", 10, 0, 0, 0 },
		{ "bytes=1-2x", 10, 0, 0, 0 },
		{ "bytes=+1-2", 10, 0, 0, 0 },
		{ "frames=1-2", 10, 0, 0, 0 },
		{ "", 10, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t first = 0, last = 0;
		int ret = http_header_range(ranges[i].value, ranges[i].size, &first, &last);

		ck_assert_msg(ret == ranges[i].is && (ret != 1 || (first == ranges[i].first && last == ranges[i].last)),
			      "%s of %" PRIu64 ": %d, %" PRIu64 " to %" PRIu64, ranges[i].value, ranges[i].size, ret, first, last);
	}
}
END_TEST

START_TEST(tags_are_compared_whole_and_weakly)
{
	static const char *const yes[] = { "*", "\"ab\"", "W/\"ab\"", " \"x\" , \"ab\"", "\"\",W/\"x\",\"ab\"", "\"a,b\",\"ab\"" };
	static const char *const no[] = { "", "ab", "\"a\"", "\"abc\"", "\"ab", "\"AB\"", "x\"ab\"", "W/ \"ab\"", "\"x\" \"" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		ck_assert_msg(http_header_has_tag(yes[i], "\"ab\""), "%s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_msg(!http_header_has_tag(no[i], "\"ab\""), "%s", no[i]);
}
END_TEST

START_TEST(gzip_is_taken_by_whom_says_so)
{
	static const char *const yes[] = { "gzip", "GZIP", "deflate, gzip;q=1.0, *;q=0.5", "x-gzip", "*", "br;q=1.0, gzip ; q=0.2", "identity;q=0, *",
					   "gzip;q=0.001" };
	static const char *const no[] = { NULL, "", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "identity, gzip;q=0.5", "gzipped",
					  "identity" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		ck_assert_msg(http_header_takes_gzip(yes[i]), "%s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_msg(!http_header_takes_gzip(no[i]), "%s", no[i] ? no[i] : "none");
}
END_TEST

START_TEST(hosts_and_origins_are_whose_they_say)
{
	static const char *const here[] = { "localhost", "LocalHost:8090", "127.0.0.1", "127.9.9.9:1", "[::1]:8090", "[::1]" };
	static const char *const elsewhere[] = { "", "example.org", "localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "[::2]:1",
						 "localhost:x", "::1", "localhost@example.org", "0.0.0.0", "[::1]x" };

	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
		ck_assert_msg(http_header_is_loopback(here[i]), "%s", here[i]);
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		ck_assert_msg(!http_header_is_loopback(elsewhere[i]), "%s", elsewhere[i]);
	ck_assert(http_header_is_same_origin("http://localhost:8090", "localhost:8090"));
	ck_assert(!http_header_is_same_origin("http://localhost:80", "localhost:8090"));
	ck_assert(!http_header_is_same_origin("http://localhost.evil", "localhost"));
	ck_assert(!http_header_is_same_origin("null", "null"));
	ck_assert(http_header_is_type("application/json;charset=utf-8", "application/json"));
	ck_assert(!http_header_is_type("application/jsonp", "application/json"));
	ck_assert_str_eq(http_header_bearer("bearer  abc"), "abc");
	ck_assert_ptr_null(http_header_bearer("Bearer "));
	ck_assert_ptr_null(http_header_bearer("Bearerabc"));
}
END_TEST

START_TEST(paths_are_of_one_form)
{
	static const struct {
		const char *path;
		enum http_what what;
		enum http_area area;
	} paths[] = {
		{ "/v1/streams", HTTP_API_STREAMS, HTTP_AREA_API },
		{ "/v1/streams/0123456789abcdef", HTTP_API_STREAM, HTTP_AREA_API },
		{ "/v1/streams/0123456789abcdef/cancel", HTTP_API_CANCEL, HTTP_AREA_API },
		{ "/v1/streams/0123456789abcdef/retry", HTTP_API_RETRY, HTTP_AREA_API },
		{ "/v1/streams/0123456789abcdef/retry/", HTTP_NOTHING, HTTP_AREA_API },
		{ "/v1/streams/", HTTP_NOTHING, HTTP_AREA_API },
		{ "/v1/streams/0123456789ABCDEF", HTTP_NOTHING, HTTP_AREA_API },
		{ "/v1/streams/0123456789abcde", HTTP_NOTHING, HTTP_AREA_API },
		{ "/v1/", HTTP_NOTHING, HTTP_AREA_API },
		{ "/v1", HTTP_NOTHING, HTTP_AREA_PAGES },
		{ "/v2/streams", HTTP_NOTHING, HTTP_AREA_PAGES },
		{ "/hls/0123456789abcdef/master.m3u8", HTTP_MASTER, HTTP_AREA_MEDIA },
		{ "/hls/0123456789abcdef/main/index.m3u8", HTTP_MEDIA, HTTP_AREA_MEDIA },
		{ "/hls/0123456789abcdef", HTTP_NOTHING, HTTP_AREA_MEDIA },
		{ "/hls/0123456789abcdefx/master.m3u8", HTTP_NOTHING, HTTP_AREA_MEDIA },
		{ "/stream/0123456789abcdef.mp4", HTTP_STREAM, HTTP_AREA_MEDIA },
		{ "/stream/0123456789abcdef", HTTP_NOTHING, HTTP_AREA_MEDIA },
		{ "", HTTP_NOTHING, HTTP_AREA_PAGES },
	};
	struct http_target target;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		http_parse_path(paths[i].path, &target);
		ck_assert_msg(target.what == paths[i].what && target.area == paths[i].area, "%s: %d, %d", paths[i].path, target.what,
			      target.area);
	}
}
END_TEST

/* --- tokens and signatures */

static struct access access_of(const char *tokens, const char *keys, int expected)
{
	char *t, *k;
	struct access a = { 0 };
	struct err err = { 0 };

	ck_assert_int_gt(asprintf(&t, "%s/tokens", sh_scratch()), 0);
	ck_assert_int_gt(asprintf(&k, "%s/keys", sh_scratch()), 0);
	free(sh("umask 077; rm -f %s %s; printf '%s' > %s; printf '%s' > %s", t, k, tokens ? tokens : "", t, keys ? keys : "", k));
	ck_assert_msg(access_load(&a, tokens ? t : NULL, keys ? k : NULL, &err) == expected, "%s", err.msg);
	free(t);
	free(k);
	return a;
}

#define KEY_1 "0000000000000000000000000000000000000000000000000000000000000001"
#define KEY_2 "0000000000000000000000000000000000000000000000000000000000000002"

START_TEST(tokens_are_those_of_the_file)
{
	struct access a = access_of("# remark\\n\\nsixteen-letters!\\n", NULL, ERR_USAGE);

	access_of("fifteen-letters", NULL, ERR_USAGE);
	access_of("# nothing\\n", NULL, ERR_USAGE);
	a = access_of("0123456789abcdef of ours\\n0123456789abcdeX\\n", NULL, 0);
	ck_assert(access_has_token(&a, "0123456789abcdef"));
	ck_assert(access_has_token(&a, "0123456789abcdeX"));
	ck_assert(!access_has_token(&a, "0123456789abcdeY"));
	ck_assert(!access_has_token(&a, "0123456789abcdef "));
	ck_assert(!access_has_token(&a, ""));
	ck_assert(!access_has_token(&a, "of"));
	a.n_tokens = 0;
	ck_assert(!access_has_token(&a, "0123456789abcdef"));
}
END_TEST

START_TEST(file_that_others_can_read_is_refused_and_what_was_loaded_stays)
{
	struct access a = access_of("0123456789abcdef\\n", NULL, 0);
	struct err err;
	char *path;

	ck_assert_int_gt(asprintf(&path, "%s/open", sh_scratch()), 0);
	free(sh("echo fedcba9876543210 > %s; chmod 644 %s", path, path));
	ck_assert_int_eq(access_load(&a, path, NULL, &err), ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.msg, "chmod 600"));
	ck_assert_int_eq(access_load(&a, "/nowhere", NULL, &err), ERR_USAGE);
	ck_assert(access_has_token(&a, "0123456789abcdef") && !access_has_token(&a, "fedcba9876543210"));
	free(path);
}
END_TEST

/* access_check of a query as access_sign writes it, with one byte changed; at < 0: none. */
static int check_changed(const struct access *a, const char *path, const char *query, int at, int64_t now)
{
	char copy[ACCESS_QUERY_SIZE], *s;
	int64_t expires;

	snprintf(copy, sizeof(copy), "%s", query);
	if (at >= 0)
		copy[at] = copy[at] == '7' ? '8' : '7';
	s = strstr(copy, "&s=");
	ck_assert_ptr_nonnull(s);
	*s = 0;
	return access_check(a, path, copy + 2, s + 3, now, &expires);
}

START_TEST(signature_is_for_one_path_and_one_time)
{
	static const char path[] = "/hls/0123456789abcdef/main/0-540000.m4s";
	struct access a = access_of(NULL, KEY_1 "\\n", 0), both = access_of(NULL, KEY_2 "\\n" KEY_1 "\\n", 0),
		      other = access_of(NULL, KEY_2 "\\n", 0);
	char query[ACCESS_QUERY_SIZE], newer[ACCESS_QUERY_SIZE];
	int64_t expires;

	access_sign(&a, path, 2000000000, query);
	ck_assert_int_eq(check_changed(&a, path, query, -1, 1999999999), 1);
	ck_assert_int_eq(check_changed(&a, path, query, -1, 2000000000), 0);
	ck_assert_int_eq(check_changed(&a, "/hls/0123456789abcdef/main/540000-540000.m4s", query, -1, 0), -1);
	ck_assert_int_eq(check_changed(&a, "/hls/1123456789abcdef/main/0-540000.m4s", query, -1, 0), -1);
	ck_assert_int_eq(check_changed(&a, "/hls/0123456789abcdef/master.m3u8", query, -1, 0), -1);
	ck_assert_int_eq(check_changed(&a, "", query, -1, 0), -1);
	for (int i = 2; query[i]; i++)
		if (i < 12 || i >= 15) /* what is not "&s=" */
			ck_assert_msg(check_changed(&a, path, query, i, 0) == -1, "byte %d of %s", i, query);
	ck_assert_int_eq(access_check(&a, path, NULL, NULL, 0, &expires), -1);
	ck_assert_int_eq(access_check(&a, path, "2000000000", "", 0, &expires), -1);
	ck_assert_int_eq(access_check(&a, path, "-1", query + 15, 0, &expires), -1);
	/* the keys change hands: both are good for a while */
	access_sign(&both, path, 2000000000, newer);
	ck_assert_str_ne(newer, query);
	ck_assert_int_eq(check_changed(&both, path, query, -1, 0), 1);
	ck_assert_int_eq(check_changed(&both, path, newer, -1, 0), 1);
	ck_assert_int_eq(check_changed(&other, path, query, -1, 0), -1);
	ck_assert_int_eq(check_changed(&other, path, newer, -1, 0), 1);
	access_of(NULL, "0123\\n", ERR_USAGE);
	access_of(NULL, KEY_1 "0\\n", ERR_USAGE);
	access_of(NULL, "", ERR_USAGE);
}
END_TEST

/* --- the cache */

static struct store_segment address(int64_t start)
{
	return (struct store_segment){ "0123456789abcdef", "main", start, 540000 };
}

/* It is asked for, and filled in if that is wanted. */
static struct http_cached *ask(struct http_cache *cache, int64_t start, int64_t bytes, const char *checksum)
{
	struct store_segment a = address(start);
	struct store_commit commit = { .bytes = bytes };
	struct http_cached *c;

	snprintf(commit.checksum, sizeof(commit.checksum), "%s", checksum);
	c = http_cache_find(cache, &a, &commit);
	if (c || !http_cache_wants(cache, &a, &commit))
		return c;
	c = http_cache_add(cache, &a, &commit);
	if (c)
		memset(c->data, (int)start, (size_t)bytes);
	return c;
}

START_TEST(cache_holds_what_is_asked_for_again_within_its_limit)
{
	struct http_cache cache;
	struct http_cached *one, *two, *again;
	struct store_segment other;

	http_cache_init(&cache, 1000);
	ck_assert_ptr_null(ask(&cache, 1, 400, "a")); /* for the first time */
	one = ask(&cache, 1, 400, "a");
	ck_assert(one && one->size == 400 && one->data[399] == 1);
	other = address(1);
	ck_assert_ptr_null(http_cache_find(&cache, &other, &(struct store_commit){ .bytes = 400, .checksum = "b" })); /* the same no more */
	ask(&cache, 2, 400, "c");
	two = ask(&cache, 2, 400, "c");
	ck_assert_ptr_nonnull(two);
	ask(&cache, 3, 400, "d");
	ck_assert_ptr_null(ask(&cache, 3, 400, "d")); /* both are being sent */
	http_cache_release(one);
	again = ask(&cache, 3, 400, "d");
	ck_assert_ptr_nonnull(again);
	ck_assert_uint_eq(cache.bytes, 800);
	ck_assert_ptr_null(ask(&cache, 1, 400, "a")); /* it has made way, and there is no room */
	http_cache_drop(two);
	ck_assert_uint_eq(cache.bytes, 800); /* who sends it still has it */
	ck_assert_int_eq(two->data[0], 2);
	http_cache_release(two);
	ck_assert_uint_eq(cache.bytes, 400);
	ask(&cache, 4, 600, "e");
	ck_assert_ptr_null(ask(&cache, 4, 600, "e")); /* more than half of it */
	http_cache_release(again);
	http_cache_finish(&cache);
	ck_assert_uint_eq(cache.bytes, 0);
}
END_TEST

#define MANY 50000

START_TEST(cache_finds_each_of_many_and_drops_those_asked_for_longest_ago)
{
	struct store_commit commit = { .bytes = 20, .checksum = "a" };
	struct store_segment other = address(MANY / 2 + 7), text = other;
	struct http_cache cache;
	struct http_cached *c;

	http_cache_init(&cache, 20 * MANY);
	for (int i = 0; i < MANY; i++) {
		ck_assert_ptr_null(ask(&cache, i, 20, "a"));
		http_cache_release(ask(&cache, i, 20, "a"));
	}
	ck_assert_uint_eq(cache.bytes, 20 * MANY);
	for (int i = MANY - 1; i >= 0; i--) {
		c = ask(&cache, i, 20, "a");
		ck_assert(c && c->data[0] == (uint8_t)i && c->address.start == i);
		http_cache_release(c);
	}
	other.duration++;
	ck_assert_ptr_null(http_cache_find(&cache, &other, &commit));
	snprintf(text.rendition, sizeof(text.rendition), "video");
	ck_assert_ptr_null(http_cache_find(&cache, &text, &commit));
	for (int i = 0; i < 10; i++) {
		ask(&cache, MANY + i, 20, "a");
		http_cache_release(ask(&cache, MANY + i, 20, "a"));
	}
	for (int i = 0; i < MANY; i++) { /* the last ones were asked for first */
		other = address(i);
		c = http_cache_find(&cache, &other, &commit);
		ck_assert_int_eq(c != NULL, i < MANY - 10);
		if (c)
			http_cache_release(c);
	}
	http_cache_finish(&cache);
	ck_assert_uint_eq(cache.bytes, 0);
}
END_TEST

Suite *suite_http_header(void)
{
	Suite *s = suite_create("dispatcher/http_header");
	TCase *t = tcase_create("http_header");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, range_is_one_part_or_ignored_or_not_there);
	tcase_add_test(t, tags_are_compared_whole_and_weakly);
	tcase_add_test(t, gzip_is_taken_by_whom_says_so);
	tcase_add_test(t, hosts_and_origins_are_whose_they_say);
	tcase_add_test(t, paths_are_of_one_form);
	tcase_add_test(t, tokens_are_those_of_the_file);
	tcase_add_test(t, file_that_others_can_read_is_refused_and_what_was_loaded_stays);
	tcase_add_test(t, signature_is_for_one_path_and_one_time);
	tcase_add_test(t, cache_holds_what_is_asked_for_again_within_its_limit);
	tcase_add_test(t, cache_finds_each_of_many_and_drops_those_asked_for_longest_ago);
	suite_add_tcase(s, t);
	return s;
}
