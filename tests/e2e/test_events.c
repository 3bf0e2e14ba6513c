/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * /v1/events and the pages, over HTTP.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/stack.h"
#include "tests/suites.h"

#include "dispatcher/http_events.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TITLE                                                                                                  \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V\" -f lavfi -i \"$A\" -t 8 -c:v libx264 -preset ultrafast " \
	"-g 25 -c:a aac -ac 2 \"$OUT\""

static struct stack stack;
static char *base; /* http://127.0.0.1:PORT */
static int port;

static void start(int n_workers)
{
	stack_start(&stack, "", n_workers, false);
	base = bg_log_after(&stack.serve, "streams on ");
	base[strcspn(base, ",")] = 0;
	port = (int)strtol(strrchr(base, ':') + 1, NULL, 10);
}

static void stop(void)
{
	stack_stop(&stack);
	free(base);
}

/* --- a client that listens */

struct ear {
	int fd;
	char text[1 << 20];
	size_t size;
};

/* Sends the request; the connection is in e->fd. */
static void listen_to(struct ear *e, const char *path)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval timeout = { .tv_usec = 50000 };
	char request[200];
	int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);

	e->size = 0;
	e->text[0] = 0;
	e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(e->fd, 0);
	ck_assert_int_eq(setsockopt(e->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
	ck_assert_int_eq(connect(e->fd, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(send(e->fd, request, (size_t)n, 0), n);
}

/* Whether a text has come, up to now. */
static bool hears(struct ear *e, const char *text)
{
	ssize_t n = recv(e->fd, e->text + e->size, sizeof e->text - 1 - e->size, 0);

	if (n > 0)
		e->size += (size_t)n;
	e->text[e->size] = 0;
	return strstr(e->text, text);
}

#define wait_for(e, what) bg_wait_until(hears(e, what), "no '%s' in:\n%s", what, (e)->text)

static char *submit(const char *title)
{
	char *key = sh("curl -sSf --max-time 60 -H 'Content-Type: application/json' -d '{\"source\":\"%s\",\"options\":{\"segment-duration\":2}}' %s/v1/streams | "
		       "sed 's/.*\"key\":\"\\([0-9a-f]*\\)\".*/\\1/'",
		       title, base);

	key[strcspn(key, "\n")] = 0;
	return key;
}

static struct ear all, one;

START_TEST(who_listens_hears_what_becomes_of_a_stream)
{
	const char *title = media_make("events.mkv", TITLE);
	char *key, path[64], text[80];

	start(0);
	listen_to(&all, "/v1/events");
	wait_for(&all, "Content-Type: text/event-stream\r\n");
	wait_for(&all, "event: history\ndata: {\"step_ms\":2000,");
	key = submit(title);
	snprintf(text, sizeof text, "event: stream\ndata: {\"key\":\"%s\"", key);
	wait_for(&all, text);
	snprintf(path, sizeof path, "/v1/events?stream=%s", key);
	listen_to(&one, path);
	wait_for(&one, "\r\n:\n\n");
	stack.n_workers = 1;
	stack_start_pool(&stack);
	wait_for(&all, "\"state\":\"complete\"");
	wait_for(&all, "event: farm\ndata: {\"dispatchers\":[{");
	wait_for(&all, "event: sample\n");
	wait_for(&one, "\"state\":\"complete\"");
	ck_assert_ptr_null(strstr(one.text, "event: farm"));
	free(sh("curl -sSf --max-time 60 -X DELETE %s/v1/streams/%s", base, key));
	snprintf(text, sizeof text, "event: gone\ndata: {\"key\":\"%s\"}", key);
	wait_for(&all, text);
	wait_for(&one, text);
	close(all.fd);
	close(one.fd);
	free(key);
	stop();
}
END_TEST

/* A stream of which nothing is made, with a plan: its segments change when somebody wants them. */
START_TEST(segments_that_change_are_told_of)
{
	const char *title = media_make("events.mkv", TITLE);
	char *key, *segment, path[64];

	start(1);
	key = sh("\"$SEGFARM\" submit --redis %s --on-demand '%s'", stack.redis.url, title);
	key[strcspn(key, " \n")] = 0;
	segment = sh("curl -sSf --retry 20 --retry-delay 1 --max-time 60 %s/hls/%s/main/index.m3u8 | grep m4s | tail -n 1", base, key);
	segment[strcspn(segment, "\n")] = 0;
	snprintf(path, sizeof path, "/v1/events?stream=%s", key);
	listen_to(&one, path);
	wait_for(&one, "\r\n:\n\n");
	free(sh("curl -sSf --max-time 60 -o /dev/null %s/hls/%s/main/%s", base, key, segment));
	wait_for(&one, "event: segments\n");
	ck_assert_ptr_nonnull(strstr(strstr(one.text, "event: segments\n"), segment));
	wait_for(&one, "\"state\":\"made\"");
	close(one.fd);
	free(segment);
	free(key);
	stop();
}
END_TEST

static struct cluster cluster;

/* Dispatcher 0 has the stream and all workers; who listens to dispatcher 1 hears of each segment, and so does its status page. */
START_TEST(a_dispatcher_tells_of_streams_that_another_one_owns)
{
	const char *title = media_make("events.mkv", TITLE);
	char *key, *names, *options, path[64], text[120];
	int n = 0;

	ck_assert_int_gt(asprintf(&options, "--on-demand --read-ahead 0 --segment-duration 2 '%s'", title), 0);
	cluster_open(&cluster);
	cluster_serve(&cluster, 0, options);
	key = cluster_key(&cluster, 0);
	cluster_serve(&cluster, 1, "");
	cluster_pool(&cluster, 0, 1);
	port = (int)strtol(strrchr(cluster.root[1], ':') + 1, NULL, 10);
	names = sh("curl -sSf --retry 20 --retry-delay 1 --retry-all-errors --max-time 60 %s/hls/%s/main/index.m3u8 | grep m4s", cluster.root[0], key);
	listen_to(&all, "/v1/events");
	snprintf(path, sizeof path, "/v1/events?stream=%s", key);
	listen_to(&one, path);
	wait_for(&one, "\r\n:\n\n");
	snprintf(text, sizeof text, "event: stream\ndata: {\"key\":\"%s\"", key);
	wait_for(&all, text);
	for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n")) {
		free(sh("curl -sSf --max-time 60 -o /dev/null %s/hls/%s/main/%s", cluster.root[0], key, name));
		snprintf(text, sizeof text, "\"made\":%d,", ++n);
		wait_for(&all, text);
		wait_for(&one, name);
	}
	ck_assert_int_ge(n, 3);
	wait_for(&all, "\"state\":\"complete\"");
	wait_for(&one, "\"state\":\"complete\"");
	close(all.fd);
	close(one.fd);
	cluster_close(&cluster);
	free(names);
	free(key);
	free(options);
}
END_TEST

START_TEST(so_many_listen_and_who_leaves_makes_room)
{
	static int fds[HTTP_EVENTS_MAX];

	start(0);
	for (int i = 0; i < HTTP_EVENTS_MAX; i++) {
		listen_to(&one, "/v1/events");
		wait_for(&one, " 200 OK\r\n");
		fds[i] = one.fd;
	}
	listen_to(&all, "/v1/events");
	wait_for(&all, " 503 ");
	close(all.fd);
	close(fds[7]);
	bg_wait_until((close(all.fd), listen_to(&all, "/v1/events"), hears(&all, " 200 OK\r\n")), "nobody has left: %s", all.text);
	for (int i = 0; i < HTTP_EVENTS_MAX; i++)
		if (i != 7)
			close(fds[i]);
	close(all.fd);
	stop();
}
END_TEST

static void check_answer(const char *path, const char *expected)
{
	char *got = sh("curl -sS --max-time 60 --compressed -o /dev/null -w '%%{http_code} %%{content_type}' '%s%s'", base, path);

	ck_assert_msg(!strcmp(got, expected), "%s: %s, not %s", path, got, expected);
	free(got);
}

START_TEST(pages_are_served_as_what_they_are_and_may_load_nothing_from_elsewhere)
{
	char *head;

	start(0);
	check_answer("/", "200 text/html; charset=utf-8");
	check_answer("/player/0123456789abcdef", "200 text/html; charset=utf-8");
	check_answer("/web/status.js", "200 text/javascript; charset=utf-8");
	check_answer("/web/style.css", "200 text/css; charset=utf-8");
	check_answer("/web/icon.svg", "200 image/svg+xml");
	check_answer("/web/nothing.js", "404 application/problem+json");
	check_answer("/v1/events?stream=x", "400 application/problem+json");
	check_answer("/v1/events?stream=0123456789abcdef", "404 application/problem+json");
	head = sh("curl -sSi --max-time 60 %s/ && etag=$(curl -sSI %s/ | sed -n 's/^ETag: //Ip' | tr -d '\\r') && "
		  "curl -sS -o /dev/null -w 'again %%{http_code}' -H \"If-None-Match: $etag\" %s/",
		  base, base, base);
	ck_assert_msg(strstr(head, "Content-Security-Policy: default-src 'none'; script-src 'self';"), "%s", head);
	ck_assert_msg(strstr(head, "</html>\nagain 304"), "%s", head);
	free(head);
	stop();
}
END_TEST

Suite *suite_events(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	tcase_set_timeout(t, 300);
	tcase_add_test(t, who_listens_hears_what_becomes_of_a_stream);
	tcase_add_test(t, segments_that_change_are_told_of);
	tcase_add_test(t, a_dispatcher_tells_of_streams_that_another_one_owns);
	tcase_add_test(t, so_many_listen_and_who_leaves_makes_room);
	tcase_add_test(t, pages_are_served_as_what_they_are_and_may_load_nothing_from_elsewhere);
	suite_add_tcase(s, t);
	return s;
}
