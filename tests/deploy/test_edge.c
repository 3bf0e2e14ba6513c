/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The caches of deploy/edge in front of a real farm: what many ask for is asked for once. Each where it is installed.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/client.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/server.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 20 segments of one second, each encoded when it is asked for */
#define TITLE "ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=320:180\" -t 20 -c:v mpeg4 -g 24 \"$OUT\""
#define N_CLIENTS 50

static struct redis_fixture redis;
static struct bg serve, pool, edge;
static char *key, *access_log;
static int port; /* of the edge */

static void start_farm(const char *options)
{
	const char *title = media_make("edge.mkv", TITLE);
	char *end;

	redis_fixture_start(&redis);
	bg_open(&serve);
	bg_open(&pool);
	bg_open(&edge);
	ck_assert_int_gt(asprintf(&access_log, "%s/access.log", serve.dir), 0);
	programs_serve(&serve, &redis, "--on-demand --read-ahead 0 --segment-duration 1 --access-log '%s' %s '%s'", access_log, options, title);
	key = bg_log_after(&serve, "/hls/");
	end = strchr(key, '/');
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	programs_pool(&pool, &redis, &serve, 1, "");
	port = programs_free_port();
}

static void start_nginx(void)
{
	free(sh("sed -e 's|/var/cache/nginx/segfarm|%s/cache|; s|listen 80;|listen 127.0.0.1:%d;|; s|127.0.0.1:8090|127.0.0.1:%d|' "
		"deploy/edge/nginx.conf >'%s/edge.conf'",
		edge.dir, port, server_port(&serve), edge.dir));
	free(sh("cd '%s' && mkdir tmp-nginx && { [ \"$(id -u)\" != 0 ] || echo 'user root;'; echo 'daemon off; master_process off; error_log stderr;'; "
		"echo 'pid nginx.pid; events {} http { access_log off;'; "
		"for t in client_body proxy fastcgi uwsgi scgi; do echo ${t}_temp_path $PWD/tmp-nginx/$t';'; done; "
		"echo \"include $PWD/edge.conf; }\"; } >nginx.conf",
		edge.dir));
	bg_start(&edge, "nginx -e stderr -p '%s' -c '%s/nginx.conf'", edge.dir, edge.dir);
}

static void start_varnish(void)
{
	free(sh("sed -e 's|\"8090\"|\"%d\"|' deploy/edge/default.vcl >'%s/edge.vcl'", server_port(&serve), edge.dir));
	bg_start(&edge, "varnishd -F -n '%s/varnish' -a 127.0.0.1:%d -f '%s/edge.vcl' -s malloc,64m -j none", edge.dir, port, edge.dir);
}

static bool answers(void)
{
	return sh_status(NULL, "curl -s -o /dev/null http://127.0.0.1:%d/", port) == 0;
}

static void stop_all(void)
{
	kill(edge.pid, SIGTERM);
	bg_wait(&edge);
	programs_end(&pool);
	programs_end(&serve);
	free(sh("rm -rf '%s/cache' '%s/varnish'", edge.dir, edge.dir));
	bg_close(&edge);
	bg_close(&pool);
	bg_close(&serve);
	redis_fixture_stop(&redis);
	free(key);
	free(access_log);
}

static void ask(struct reply *r, const char *path)
{
	char *target;

	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", key, path), 0);
	client_ask(r, port, "GET", target, "", NULL);
	free(target);
}

/* How often the farm itself was asked for what has this in its line. */
static int asked(const char *part)
{
	char *text = sh("cat '%s'", access_log);
	int n = bg_count(text, part);

	free(text);
	return n;
}

/* A line is written when its reply is sent, so it may come later than that. */
static void check_asked(const char *part, int n)
{
	bg_wait_until(asked(part) >= n, "'%s' was asked for %d times, and not %d", part, asked(part), n);
	ck_assert_int_eq(asked(part), n);
}

static char *segment_path(int n)
{
	struct reply playlist;
	char *uri, *path;

	do { /* until the title is planned */
		ask(&playlist, "main/index.m3u8");
		if (playlist.status == 200)
			break;
		client_free(&playlist);
		bg_sleep(100);
	} while (true);
	uri = server_uri(&playlist, n);
	ck_assert_int_gt(asprintf(&path, "main/%s", uri), 0);
	client_free(&playlist);
	free(uri);
	return path;
}

/* All at once, for a segment that nobody has made yet. */
static void many_clients_make_one_request(void)
{
	char *path = segment_path(5), *log_line, *target;
	struct reply direct;

	free(sh("cd '%s' && for i in $(seq %d); do echo \"url = http://127.0.0.1:%d/hls/%s/%s\"; echo \"output = out.$i\"; done >curl.conf && "
		"curl -sSf -Z --parallel-immediate --parallel-max %d -K curl.conf && cat out.* >all && test $(ls out.* | wc -l) = %d && "
		"test $(md5sum out.* | cut -d' ' -f1 | sort -u | wc -l) = 1 && test -s out.1",
		edge.dir, N_CLIENTS, port, key, path, N_CLIENTS, N_CLIENTS));
	ck_assert_int_gt(asprintf(&log_line, "GET /hls/%s/%s", key, path), 0);
	check_asked(log_line, 1);
	ask(&direct, path);
	ck_assert_int_eq(direct.status, 200);
	client_check_header(&direct, "X-Cache", "HIT");
	client_free(&direct);
	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", key, path), 0);
	client_ask(&direct, port, "GET", target, "Accept-Encoding: gzip, br\r\n", NULL);
	client_check_header(&direct, "X-Cache", "HIT");
	client_free(&direct);
	check_asked(log_line, 1);
	free(target);
	free(log_line);
	free(path);
}

static void ranges_come_from_what_is_kept(void)
{
	char *path = segment_path(5), *target, *log_line;
	struct reply r;

	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", key, path), 0);
	client_ask(&r, port, "GET", target, "Range: bytes=10-19\r\n", NULL);
	ck_assert_int_eq(r.status, 206);
	ck_assert_uint_eq(r.size, 10);
	ck_assert_int_gt(asprintf(&log_line, "GET %s", target), 0);
	check_asked(log_line, 1); /* by many, before */
	client_free(&r);
	free(log_line);
	free(target);
	free(path);
}

/* The farm says how long: not all is made, so not for long. */
static void playlists_are_kept_for_a_moment(void)
{
	struct reply r;
	char *header;

	ask(&r, "main/index.m3u8");
	ck_assert_int_eq(r.status, 200);
	header = client_header(&r, "Cache-Control");
	ck_assert_ptr_nonnull(header);
	ck_assert_str_eq(header, "public, max-age=4");
	free(header);
	client_free(&r);
}

static void what_is_kept_is_served_without_the_farm(void)
{
	char *path = segment_path(9), *kept = segment_path(5);
	struct reply r;

	kill(serve.pid, SIGTERM);
	bg_wait(&serve);
	ask(&r, path);
	ck_assert_msg(r.status >= 502 && r.status <= 504, "a segment that nobody has: %d", r.status);
	client_free(&r);
	free(path);
	ask(&r, kept);
	ck_assert_int_eq(r.status, 200);
	client_check_header(&r, "X-Cache", "HIT");
	client_free(&r);
	free(kept);
}

/* Redis has died: each who asks is told anew, and when to come back. */
static void refusals_are_passed_on_and_not_kept(void)
{
	char *path = segment_path(12), *log_line, *header;
	struct reply r;

	redis_fixture_kill(&redis);
	ck_assert_int_gt(asprintf(&log_line, "GET /hls/%s/%s", key, path), 0);
	for (int i = 0; i < 2; i++) {
		ask(&r, path);
		ck_assert_int_eq(r.status, 503);
		header = client_header(&r, "Retry-After");
		ck_assert_ptr_nonnull(header);
		free(header);
		client_free(&r);
		check_asked(log_line, i + 1);
		bg_sleep(1100); /* Varnish lets those who come within a second ask for themselves at once */
	}
	free(log_line);
	free(path);
}

static void the_rest_is_not_for_everybody(void)
{
	static const char *const paths[] = { "/", "/v1/streams", "/metrics", "/readyz", "/player/x" };
	struct reply r;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		client_ask(&r, port, "GET", paths[i], "", NULL);
		ck_assert_msg(r.status == 404, "%s: %d", paths[i], r.status);
		client_free(&r);
	}
	ck_assert_int_eq(asked("/v1/streams"), 0);
}

static const struct {
	const char *name, *program;
	void (*start)(void);
} edges[] = { { "nginx", "nginx", start_nginx }, { "varnish", "varnishd", start_varnish } };

static bool start_edge(int i, const char *options)
{
	if (sh_status(NULL, "command -v %s", edges[i].program) != 0) {
		fprintf(stderr, "skipped: there is no %s\n", edges[i].program);
		return false;
	}
	start_farm(options);
	edges[i].start();
	bg_wait_until(answers(), "%s does not answer", edges[i].name);
	return true;
}

START_TEST(what_many_ask_for_is_asked_for_once)
{
	if (!start_edge(_i, ""))
		return;
	many_clients_make_one_request();
	ranges_come_from_what_is_kept();
	playlists_are_kept_for_a_moment();
	the_rest_is_not_for_everybody();
	refusals_are_passed_on_and_not_kept();
	what_is_kept_is_served_without_the_farm();
	stop_all();
}
END_TEST

/* Each is checked by the farm: a signature that is good opens the door for no other. */
START_TEST(signed_urls_are_passed_through)
{
	char *file, *url, *path;
	struct reply r, again;

	if (sh_status(NULL, "command -v %s", edges[_i].program) == 0)
		free(sh("umask 077; echo 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff >'%s/url.keys'", sh_scratch()));
	ck_assert_int_gt(asprintf(&file, "--url-key-file '%s/url.keys'", sh_scratch()), 0);
	if (start_edge(_i, file)) {
		url = sh("$SEGFARM sign-url %s http://h/hls/%s/master.m3u8 | tr -d '\\n'", file, key);
		path = strstr(url, "/hls/");
		ck_assert_ptr_nonnull(path);
		bg_wait_until((client_ask(&r, port, "GET", path, "", NULL), r.status == 200 || (client_free(&r), false)), "it is not played");
		client_ask(&again, port, "GET", path, "", NULL);
		ck_assert_int_eq(again.status, 200);
		ck_assert_str_eq(again.body, r.body);
		client_free(&again);
		path[strlen(path) - 1] ^= 1;
		client_ask(&again, port, "GET", path, "", NULL);
		ck_assert_int_eq(again.status, 403);
		client_free(&again);
		*strchr(path, '?') = '\0';
		client_ask(&again, port, "GET", path, "", NULL);
		ck_assert_int_eq(again.status, 403);
		client_free(&again);
		client_free(&r);
		free(url);
		stop_all();
	}
	free(file);
}
END_TEST

Suite *suite_edge(void)
{
	Suite *s = suite_create("edge");
	TCase *tc = tcase_create("edge");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, what_many_ask_for_is_asked_for_once, 0, 2);
	tcase_add_loop_test(tc, signed_urls_are_passed_through, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
