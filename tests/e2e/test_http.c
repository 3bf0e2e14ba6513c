/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What clients get over HTTP, good ones and bad ones, and what stays accepted when the dispatcher dies.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Eight segments of about 1.2 MB. */
#define TITLE                                                                                                        \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,noise=alls=40:allf=t\" -f lavfi -i \"$A\" -t 48 -c:v libx264 " \
	"-preset ultrafast -b:v 1600k -bf 2 -g 48 -c:a aac -ac 2 \"$OUT\""
#define CURL "curl -sS --max-time 100 --path-as-is"
#define CLIENTS 50

static const char *title;
static char *reference; /* what -o writes */

static void make_reference(void)
{
	title = media_make("http.mkv", TITLE);
	ck_assert_int_ge(asprintf(&reference, "%s/http-reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s'; ls '%s/main' | grep -c m4s | grep -qx 8", title, reference, reference));
}

struct server {
	struct bg bg;
	char *base; /* http://ADDRESS:PORT/hls/KEY */
	char *root; /* http://ADDRESS:PORT */
	int port;
	char *big; /* main/NAME of the largest segment */
};

static char *first_word(char *text)
{
	text[strcspn(text, " \n")] = 0;
	return text;
}

/* After "playlist: ..." stands in the log. */
static void find_addresses(struct server *s)
{
	char *end;

	s->base = first_word(bg_log_after(&s->bg, "playlist: "));
	end = strstr(s->base, "/master.m3u8");
	ck_assert_msg(end, "%s", s->base);
	*end = 0;
	end = strstr(s->base, "/hls/");
	ck_assert_ptr_nonnull(end);
	s->root = strndup(s->base, (size_t)(end - s->base));
	s->port = (int)strtol(strrchr(s->root, ':') + 1, NULL, 10);
	ck_assert_int_gt(s->port, 0);
	s->big = first_word(sh("cd '%s' && ls -S main/*.m4s | head -n 1", reference));
}

static void start_server(struct server *s)
{
	memset(s, 0, sizeof *s);
	bg_open(&s->bg);
	bg_start(&s->bg, "\"$SEGFARM\" run '%s' --listen 127.0.0.1:0 -j 2", title);
	bg_wait_log(&s->bg, "serving until Ctrl-C", 1);
	find_addresses(s);
}

static void free_addresses(struct server *s)
{
	free(s->base);
	free(s->root);
	free(s->big);
}

/* Ctrl-C ends it well and at once, whatever its clients have done to it. */
static void stop_server(struct server *s)
{
	kill(-s->bg.pid, SIGINT);
	ck_assert_int_eq(bg_wait(&s->bg), 0);
	bg_check_clean(&s->bg);
	bg_close(&s->bg);
	free_addresses(s);
}

/* Every file of the reference, fetched and compared. */
static void check_all(const struct server *s)
{
	free(sh("cd '%s' && for f in master.m3u8 main/*; do " CURL " -f '%s'/$f | cmp - $f || exit 1; done", reference,
		s->base));
}

/* What curl's -w says of a request. */
static void check_request(const char *expected, const char *wanted, const char *arguments, const char *url)
{
	char *got = sh(CURL " -o /dev/null -w '%s' %s '%s'", wanted, arguments, url);

	ck_assert_msg(!strcmp(got, expected), "%s %s: %s, not %s", arguments, url, got, expected);
	free(got);
}

static void check_path(const struct server *s, const char *arguments, const char *path, const char *expected)
{
	char *url;

	ck_assert_int_ge(asprintf(&url, "%s%s", s->root, path), 0);
	check_request(expected, "%{http_code}", arguments, url);
	free(url);
}

START_TEST(http_gives_the_bytes_that_output_writes)
{
	struct server s;

	start_server(&s);
	check_all(&s);
	stop_server(&s);
}
END_TEST

static void check_header(const struct server *s, const char *path, const char *header)
{
	char *got = sh("cd %s && size=$(stat -c %%s '%s/%s') && " CURL " -I '%s/%s' | grep -v '^Date:' > head && " CURL
		       " -D - -o body '%s/%s' | grep -v '^Date:' > get && diff -i head get && "
		       "grep -qix \"Content-Length: $size\r\" get && cat get",
		       s->bg.dir, reference, path, s->base, path, s->base, path);

	ck_assert_msg(strstr(got, "200 OK\r\n") && strcasestr(got, header), "%s has no '%s' in\n%s", path, header, got);
	ck_assert_msg(strcasestr(got, "\r\nAccess-Control-Allow-Origin: *\r\n"), "%s: %s", path, got);
	free(got);
}

START_TEST(head_says_what_get_says_and_players_may_ask_from_anywhere)
{
	struct server s;

	start_server(&s);
	check_header(&s, "master.m3u8", "\r\nContent-Type: application/vnd.apple.mpegurl\r\n");
	check_header(&s, "main/index.m3u8", "\r\nContent-Type: application/vnd.apple.mpegurl\r\n");
	check_header(&s, "main/init.mp4", "\r\nContent-Type: video/mp4\r\n");
	check_header(&s, s.big, "\r\nContent-Type: video/mp4\r\n");
	check_header(&s, s.big, "\r\nCache-Control: public, max-age=31536000, immutable\r\n");
	stop_server(&s);
}
END_TEST

/* Paths behind /hls/KEY that nobody has. */
static const char *const nowhere[] = {
	"",
	"/",
	"/main",
	"/main/",
	"/main/0-1.m4s",
	"/main/x",
	"/main/master.m3u8",
	"/index.m3u8",
	"/other/index.m3u8",
	"/main/../../../../../../etc/passwd",
	"/main/..%2f..%2f..%2fetc%2fpasswd",
	"/main/%2e%2e/master.m3u8",
	"//master.m3u8",
	"/main/init.mp4/",
	"/main/-540000-540000.m4s",
	"/main/99999999999999999999-1.m4s",
	"/main/%ff%fe",
};

START_TEST(unknown_paths_are_not_found)
{
	static const char *const roots[] = {
		"/nope",	  "/hls",	 "/hls/", "/hls/0123456789abcdef/master.m3u8", "/hls/x/master.m3u8",
		"/../etc/passwd", "/favicon.ico"
	};
	struct server s;
	char *path;

	start_server(&s);
	for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
		ck_assert_int_ge(asprintf(&path, "%s%s", strstr(s.base, "/hls/"), nowhere[i]), 0);
		check_path(&s, "", path, "404");
		free(path);
	}
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
		check_path(&s, "", roots[i], "404");
	stop_server(&s);
}
END_TEST

START_TEST(other_methods_are_refused_and_change_nothing)
{
	static const char *const methods[] = { "-X POST",  "-X PUT",	"-X DELETE",
					       "-X PATCH", "-d body=1", "-X POST -T /dev/null" };
	struct server s;
	char *path;

	start_server(&s);
	ck_assert_int_ge(asprintf(&path, "%s/%s", strstr(s.base, "/hls/"), s.big), 0);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		check_path(&s, methods[i], path, "405");
	check_all(&s);
	free(path);
	stop_server(&s);
}
END_TEST

START_TEST(range_is_answered_by_that_part_or_by_the_whole)
{
	struct server s;
	char *got;

	start_server(&s);
	got = sh(CURL " -r 100-299 -o %s/part -w '%%{http_code}' '%s/%s'", s.bg.dir, s.base, s.big);
	if (!strcmp(got, "206"))
		free(sh("tail -c +101 '%s/%s' | head -c 200 | cmp - %s/part", reference, s.big, s.bg.dir));
	else
		free(sh("test %s = 200 && cmp '%s/%s' %s/part", got, reference, s.big, s.bg.dir));
	free(got);
	stop_server(&s);
}
END_TEST

/* --- clients that ask for much, or badly */

START_TEST(fifty_clients_at_once_get_every_byte)
{
	struct server s;

	start_server(&s);
	free(sh("cd %s && for i in $(seq %d); do " CURL
		" -f '%s/%s' | cmp - '%s/%s' > $i || echo $i >> bad & done; wait; "
		"! cat bad 2>/dev/null && ls | grep -c '^[0-9]*$' | grep -qx %d",
		s.bg.dir, CLIENTS, s.base, s.big, reference, s.big, CLIENTS));
	stop_server(&s);
}
END_TEST

/* A connection with the smallest buffer, after having sent the text. */
static int connect_and_send(const struct server *s, const char *text, size_t size)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 2048;

	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
	return fd;
}

static int ask(const struct server *s, const char *path)
{
	char *text;
	int size = asprintf(&text, "GET %s/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			    strstr(s->base, "/hls/"), path);
	int fd = connect_and_send(s, text, (size_t)size);

	free(text);
	return fd;
}

START_TEST(clients_that_hang_up_disturb_nobody)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct server s;
	char byte;

	start_server(&s);
	for (int i = 0; i < CLIENTS; i++) {
		int fd = ask(&s, s.big);

		if (i % 2)
			ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
		if (i % 3)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	check_all(&s);
	stop_server(&s);
}
END_TEST

/* Reads what comes until the end, as a file; at most one second of silence is nothing to worry about. */
static void receive_file(int fd, const char *path)
{
	char data[16384];
	ssize_t n;
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	while ((n = recv(fd, data, sizeof data, 0)) > 0)
		ck_assert_uint_eq(fwrite(data, 1, (size_t)n, f), (size_t)n);
	ck_assert_int_eq(n, 0);
	ck_assert_int_eq(fclose(f), 0);
	close(fd);
}

START_TEST(slow_clients_hold_nobody_up_and_get_all_in_the_end)
{
	static const char half[] = "GET /hls/";
	struct server s;
	char path[64];
	int slow[CLIENTS], silent[CLIENTS];

	start_server(&s);
	for (int i = 0; i < CLIENTS; i++) {
		slow[i] = ask(&s, s.big);
		silent[i] = connect_and_send(&s, half, i % 2 ? sizeof half - 1 : 0);
	}
	check_all(&s);
	snprintf(path, sizeof path, "%s/slow", s.bg.dir);
	for (int i = 0; i < CLIENTS; i++) {
		if (i % 10 == 0) {
			receive_file(slow[i], path);
			free(sh("size=$(stat -c %%s '%s/%s'); tail -c $size %s | cmp - '%s/%s'", reference, s.big, path,
				reference, s.big));
		} else {
			close(slow[i]);
		}
		close(silent[i]);
	}
	stop_server(&s);
}
END_TEST

START_TEST(ctrl_c_does_not_wait_for_clients)
{
	static const char half[] = "GET /hls/";
	struct server s;
	int slow, silent;

	start_server(&s);
	slow = ask(&s, s.big);
	silent = connect_and_send(&s, half, sizeof half - 1);
	stop_server(&s);
	close(slow);
	close(silent);
}
END_TEST

START_TEST(bad_requests_disturb_nobody)
{
	struct server s;
	char *noise = malloc(100000);
	int fd;

	ck_assert_ptr_nonnull(noise);
	start_server(&s);
	free(sh("url='%s/'$(head -c 20000 /dev/zero | tr '\\0' a); " CURL " -o /dev/null -w '%%{http_code}' \"$url\" | "
		"grep -qx 4[0-9][0-9]",
		s.base)); /* too long for its memory, or just unknown */
	for (int i = 0; i < 100000; i++)
		noise[i] = (char)(i * 131 + (i >> 7) * 29);
	fd = connect_and_send(&s, noise, 2000);
	close(fd);
	fd = connect_and_send(&s, "\r\n\r\n\r\n", 6);
	close(fd);
	check_all(&s);
	free(noise);
	stop_server(&s);
}
END_TEST

/* As check_all, for a title that is being made: every file in a minute. */
static void check_all_soon(const struct server *s)
{
	free(sh("cd '%s' && for f in master.m3u8 main/*; do n=0; until " CURL
		" -f '%s'/$f 2>/dev/null | cmp -s - $f; do "
		"n=$((n + 1)); test $n -lt 600 || { echo $f; exit 1; }; sleep 0.1; done; done",
		reference, s->base));
}

START_TEST(redis_that_dies_while_serving_is_replaced_and_filled_again)
{
	struct server s;

	start_server(&s);
	kill(bg_role(&s.bg, "redis"), SIGKILL);
	check_all_soon(&s);
	stop_server(&s);
}
END_TEST

/* --- segfarm serve */

struct stack {
	struct redis_fixture redis;
	struct server server;
	struct bg workers;
};

static void start_serve(struct stack *s, int port, const char *file)
{
	programs_serve(&s->server.bg, &s->redis, "--listen 127.0.0.1:%d %s", port, file);
}

static void start_workers(struct stack *s)
{
	programs_pool(&s->workers, &s->redis, &s->server.bg, 1, "");
}

static void start_stack(struct stack *s)
{
	memset(s, 0, sizeof *s);
	redis_fixture_start(&s->redis);
	bg_open(&s->server.bg);
	bg_open(&s->workers);
	start_serve(s, 0, title);
	find_addresses(&s->server);
}

static void stop_stack(struct stack *s)
{
	programs_end(&s->workers);
	programs_end(&s->server.bg);
	bg_close(&s->workers);
	bg_close(&s->server.bg);
	redis_fixture_stop(&s->redis);
	free_addresses(&s->server);
}

/* SIGKILL, and one that is told nothing of the title takes its place. */
static void replace_serve(struct stack *s)
{
	kill(s->server.bg.pid, SIGKILL);
	ck_assert_int_eq(bg_wait(&s->server.bg), 128 + SIGKILL);
	start_serve(s, s->server.port, "");
}

START_TEST(accepted_stream_stays_accepted_when_serve_is_killed)
{
	struct stack s;

	start_stack(&s);
	replace_serve(&s); /* before anything is known of it */
	start_workers(&s);
	bg_wait_log(&s.server.bg, "job done", 2);
	replace_serve(&s); /* in the middle */
	check_all_soon(&s.server);
	programs_end(&s.workers);
	replace_serve(&s); /* when all is made: nobody is needed to make it */
	check_all(&s.server);
	stop_stack(&s);
}
END_TEST

/* All at once: each waits as long as a request may. */
START_TEST(player_that_comes_too_early_is_told_to_come_again)
{
	struct stack s;
	char *got;

	start_stack(&s);
	got = sh("for f in master.m3u8 main/index.m3u8 main/init.mp4 %s; do " CURL " -i '%s'/$f & done; wait", s.server.big, s.server.base);
	ck_assert_msg(bg_count(got, " 503 ") == 4 && bg_count(got, "\r\nRetry-After: 1\r\n") == 4, "%s", got);
	free(got);
	start_workers(&s);
	check_all_soon(&s.server);
	stop_stack(&s);
}
END_TEST

START_TEST(what_redis_loses_or_breaks_is_made_again)
{
	static const char *const losses[] = {
		"for k in $(redis --raw KEYS 'segfarm:*:seg:main:*:1'); do redis DEL $k; done",
		"redis FLUSHALL",
		"for k in $(redis --raw KEYS 'segfarm:*:seg:main:*:1'); do redis SET $k ''; done",
		"k=$(redis --raw KEYS 'segfarm:*:segs:main'); for f in $(redis --raw HKEYS $k); do redis HSET $k $f broken; done",
	};
	struct stack s;

	start_stack(&s);
	start_workers(&s);
	check_all_soon(&s.server);
	free(sh("redis() { redis-cli -s %s \"$@\"; }; %s", s.redis.socket, losses[_i]));
	check_all_soon(&s.server);
	stop_stack(&s);
}
END_TEST

START_TEST(redis_that_comes_back_empty_is_filled_again)
{
	struct stack s;

	start_stack(&s);
	start_workers(&s);
	check_all_soon(&s.server);
	redis_fixture_restart(&s.redis);
	check_all_soon(&s.server);
	stop_stack(&s);
}
END_TEST

START_TEST(endpoint_has_one_dispatcher)
{
	struct stack s;
	char *got;

	start_stack(&s);
	ck_assert_int_ne(sh_status(&got, "\"$SEGFARM\" serve --redis %s --bind ipc://%s/bus.sock --listen 127.0.0.1:0",
				   s.redis.url, s.server.bg.tmp),
			 0);
	ck_assert_msg(bg_count(got, "\n") == 1 && strstr(got, "segfarm serve: ") && strstr(got, "bus.sock"), "%s", got);
	free(got);
	start_workers(&s);
	check_all_soon(&s.server); /* the first one has not been harmed */
	stop_stack(&s);
}
END_TEST

Suite *suite_http(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_test(t, http_gives_the_bytes_that_output_writes);
	tcase_add_test(t, head_says_what_get_says_and_players_may_ask_from_anywhere);
	tcase_add_test(t, unknown_paths_are_not_found);
	tcase_add_test(t, other_methods_are_refused_and_change_nothing);
	tcase_add_test(t, range_is_answered_by_that_part_or_by_the_whole);
	tcase_add_test(t, fifty_clients_at_once_get_every_byte);
	tcase_add_test(t, clients_that_hang_up_disturb_nobody);
	tcase_add_test(t, slow_clients_hold_nobody_up_and_get_all_in_the_end);
	tcase_add_test(t, ctrl_c_does_not_wait_for_clients);
	tcase_add_test(t, bad_requests_disturb_nobody);
	tcase_add_test(t, redis_that_dies_while_serving_is_replaced_and_filled_again);
	tcase_add_test(t, player_that_comes_too_early_is_told_to_come_again);
	tcase_add_loop_test(t, what_redis_loses_or_breaks_is_made_again, 0, 4);
	tcase_add_test(t, redis_that_comes_back_empty_is_filled_again);
	tcase_add_test(t, endpoint_has_one_dispatcher);
	tcase_add_test(t, accepted_stream_stays_accepted_when_serve_is_killed);
	suite_add_tcase(s, t);
	return s;
}
