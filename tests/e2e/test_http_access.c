/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * URLs that are signed: what is given out plays as a whole, and any part of it that leaks opens nothing else.
 */
#include "dispatcher/access.h"
#include "tests/e2e/server.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct server server;
static char *key_file;
static struct access keys;

static void setup(void)
{
	struct err err = { 0 };
	char *options;

	ck_assert_int_gt(asprintf(&key_file, "%s/url.keys", sh_scratch()), 0);
	free(sh("umask 077 && for i in 1 2; do head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; done > %s", key_file));
	ck_assert_msg(!access_load(&keys, NULL, key_file, &err), "%s", err.msg);
	ck_assert_int_gt(asprintf(&options, "--url-key-file %s --url-lifetime 1000", key_file), 0);
	server_start(&server, options);
	free(options);
}

static void teardown(void)
{
	server_stop(&server);
}

/* Of a path below /hls/KEY/; to be freed. */
static char *target(const char *path, const char *query)
{
	char *text;

	ck_assert_int_gt(asprintf(&text, "/hls/%s/%s%s%s", server.key, path, *query ? "?" : "", query), 0);
	return text;
}

static void sign(const char *path, int64_t expires, char query[ACCESS_QUERY_SIZE])
{
	char *whole = target(path, "");

	access_sign(&keys, whole, expires, query);
	free(whole);
}

/* GET of it: the status; what is refused says why in a problem document. */
static int ask(const char *path, const char *query, struct reply *r)
{
	char *whole = target(path, query), *detail;

	client_ask(r, server.port, "GET", whole, "", NULL);
	if (r->status != 200) {
		detail = client_check_problem(r, 403);
		free(detail);
	}
	free(whole);
	return r->status;
}

static void check(const char *path, const char *query, int status)
{
	struct reply r;

	ck_assert_msg(ask(path, query, &r) == status, "%s?%s: %d", path, query, r.status);
	client_free(&r);
}

/* Splits "name?query". */
static char *split(char *uri)
{
	char *query = strchr(uri, '?');

	ck_assert_msg(query != NULL, "%s is not signed", uri);
	*query = 0;
	return query + 1;
}

START_TEST(nothing_is_played_without_a_signature)
{
	static const char *const paths[] = { "master.m3u8", "main/index.m3u8", "main/init.mp4", "main/0-45000.m4s", "main/no-such" };
	struct reply r;
	char *path;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		check(paths[i], "", 403);
		check(paths[i], "e=9999999999&s=AAAAAAAAAAAAAAAAAAAAAA", 403);
	}
	ck_assert_int_gt(asprintf(&path, "/stream/%s.mp4", server.key), 0);
	client_ask(&r, server.port, "HEAD", path, "", NULL);
	ck_assert_int_eq(r.status, 403);
	client_free(&r);
	free(path);
}
END_TEST

/* What it names is signed, one by one; XML has its own way to write &. */
static void check_mpd(const char *url)
{
	char name[300], *amp;
	struct reply mpd, r;
	int n = 0;

	client_ask(&mpd, server.port, "GET", url, "", NULL);
	ck_assert_int_eq(mpd.status, 200);
	ck_assert_ptr_null(strstr(mpd.body, "Template"));
	for (const char *at = mpd.body; (at = strstr(at, "=\"main/")); n++) {
		at += 2;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\""), at);
		amp = strstr(name, "&amp;");
		ck_assert_ptr_nonnull(amp);
		memmove(amp + 1, amp + 5, strlen(amp + 5) + 1);
		ck_assert_int_eq(ask(name, split(name), &r), 200);
		client_free(&r);
		check(name, "", 403);
	}
	ck_assert_int_eq(n, 31); /* the init segment, too */
	client_free(&mpd);
}

/* From the URL of the API on: playlists, init, every segment. */
START_TEST(title_plays_from_the_url_that_the_api_gives)
{
	char path[64], *uri, *query, *init, *media, *last;
	struct reply api, master, index, r;
	const char *url;
	json_t *json;

	snprintf(path, sizeof(path), "/v1/streams/%s", server.key);
	client_ask(&api, server.port, "GET", path, "", NULL);
	json = client_json(&api);
	url = json_string_value(json_object_get(json_object_get(json, "urls"), "master"));
	client_ask(&master, server.port, "GET", url, "", NULL);
	ck_assert_int_eq(master.status, 200);
	ck_assert_ptr_nonnull(strstr(master.head, "Cache-Control: private, max-age="));
	media = server_uri(&master, 0);
	query = split(media);
	ck_assert_int_eq(ask(media, query, &index), 200);
	for (int i = 0; i < 30; i++) {
		char name[80];

		uri = server_uri(&index, i);
		query = split(uri);
		snprintf(name, sizeof(name), "main/%s", uri);
		ck_assert_int_eq(ask(name, query, &r), 200);
		ck_assert_ptr_nonnull(strstr(r.head, "Cache-Control: private, max-age="));
		client_free(&r);
		free(uri);
	}
	last = strstr(index.body, "URI=\"init.mp4?");
	ck_assert_msg(last, "%s", index.body);
	init = strndup(last + strlen("URI=\"init.mp4?"), strcspn(last + strlen("URI=\"init.mp4?"), "\""));
	check("main/init.mp4", init, 200);
	check_mpd(json_string_value(json_object_get(json_object_get(json, "urls"), "mpd")));
	url = json_string_value(json_object_get(json_object_get(json, "urls"), "stream"));
	client_ask(&r, server.port, "HEAD", url, "", NULL);
	ck_assert_int_eq(r.status, 200);
	client_free(&r);
	json_decref(json);
	client_free(&api);
	client_free(&master);
	client_free(&index);
	free(media);
	free(init);
}
END_TEST

START_TEST(signature_of_a_segment_opens_nothing_else)
{
	char query[ACCESS_QUERY_SIZE], changed[ACCESS_QUERY_SIZE], *name, *uri, *other;
	int64_t until = time(NULL) + 500;
	struct reply index;

	sign("main/index.m3u8", until, query);
	ck_assert_int_eq(ask("main/index.m3u8", query, &index), 200);
	name = server_uri(&index, 1);
	split(name);
	ck_assert_int_gt(asprintf(&other, "main/%s", name), 0);
	free(name);
	name = server_uri(&index, 0);
	snprintf(query, sizeof(query), "%s", split(name));
	ck_assert_int_gt(asprintf(&uri, "main/%s", name), 0);
	free(name);
	check(uri, query, 200);
	check(other, query, 403);
	check("main/index.m3u8", query, 403);
	check("main/init.mp4", query, 403);
	check("master.m3u8", query, 403);
	for (int i = 2; query[i]; i += 5) {
		snprintf(changed, sizeof(changed), "%s", query);
		changed[i] = changed[i] == '1' ? '2' : '1';
		check(uri, changed, 403);
	}
	client_free(&index);
	free(uri);
	free(other);
}
END_TEST

START_TEST(signature_ends_and_is_for_one_stream)
{
	char query[ACCESS_QUERY_SIZE], elsewhere[64], *detail;
	struct reply r;
	char *path;

	sign("master.m3u8", time(NULL) - 1, query);
	path = target("master.m3u8", query);
	client_ask(&r, server.port, "GET", path, "", NULL);
	detail = client_check_problem(&r, 403);
	ck_assert_msg(strstr(detail, "time") != NULL, "%s", detail);
	free(detail);
	free(path);
	client_free(&r);
	snprintf(elsewhere, sizeof(elsewhere), "/hls/0123456789abcdef/master.m3u8");
	access_sign(&keys, elsewhere, time(NULL) + 500, query);
	check("master.m3u8", query, 403);
	sign("master.m3u8", time(NULL) + 500, query);
	check("master.m3u8", query, 200);
}
END_TEST

START_TEST(command_signs_as_the_server_does)
{
	char *url = sh("\"$SEGFARM\" sign-url --url-key-file %s --url-lifetime 60 http://127.0.0.1:%d/hls/%s/master.m3u8", key_file, server.port,
		       server.key), *got;

	url[strcspn(url, "\n")] = 0;
	free(sh("curl -sSf '%s' | grep -q STREAM-INF", url));
	ck_assert_int_eq(sh_status(&got, "\"$SEGFARM\" sign-url --url-key-file %s /v1/streams", key_file), 2);
	ck_assert_ptr_nonnull(strstr(got, "/v1/streams"));
	free(got);
	ck_assert_int_eq(sh_status(&got, "\"$SEGFARM\" sign-url /hls/%s/master.m3u8", server.key), 2);
	ck_assert_ptr_nonnull(strstr(got, "--url-key-file"));
	free(got);
	/* a key that was put in front signs, and the old one is still good */
	free(sh("umask 077 && { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; cat %s; } > %s.new && \"$SEGFARM\" sign-url "
		"--url-key-file %s.new /hls/%s/master.m3u8 > %s.url", key_file, key_file, key_file, server.key, key_file));
	got = sh("curl -s -o /dev/null -w '%%{http_code}' \"http://127.0.0.1:%d$(cat %s.url)\"", server.port, key_file);
	ck_assert_str_eq(got, "403"); /* the server has not read it */
	free(got);
	free(url);
}
END_TEST

Suite *suite_http_access(void)
{
	Suite *s = suite_create("http_access");
	TCase *t = tcase_create("http_access");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_test(t, nothing_is_played_without_a_signature);
	tcase_add_test(t, title_plays_from_the_url_that_the_api_gives);
	tcase_add_test(t, signature_of_a_segment_opens_nothing_else);
	tcase_add_test(t, signature_ends_and_is_for_one_stream);
	tcase_add_test(t, command_signs_as_the_server_does);
	suite_add_tcase(s, t);
	return s;
}
