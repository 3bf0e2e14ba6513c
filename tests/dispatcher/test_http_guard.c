/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guard in a small server of its own, with a clock that the test turns.
 */
#include "common/proc.h"
#include "dispatcher/http_guard.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY (32 << 20) /* more than socket buffers hold */
#define TURNS 200       /* of the server: what it will do it has done by then */

static struct http_guard guard;
static struct MHD_Daemon *server;
static struct MHD_Response *body;
static int n_requests;

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
			      const char *upload, size_t *upload_size, void **request)
{
	static int seen;

	(void)arg, (void)url, (void)method, (void)version, (void)upload, (void)upload_size;
	if (!*request) {
		*request = &seen;
		http_guard_begin(connection);
		return http_guard_has_body(connection) ? MHD_queue_response(connection, MHD_HTTP_CONTENT_TOO_LARGE, body) : MHD_YES;
	}
	n_requests++;
	http_guard_send(connection, BODY);
	return MHD_queue_response(connection, MHD_HTTP_OK, body);
}

static void complete(void *arg, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
	(void)arg, (void)request, (void)code;
	http_guard_end(connection);
}

static void setup(void)
{
	http_guard_init(&guard);
	server = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, NULL, MHD_OPTION_NOTIFY_CONNECTION, http_guard_notify, &guard,
				  MHD_OPTION_NOTIFY_COMPLETED, complete, NULL, MHD_OPTION_END);
	body = MHD_create_response_from_buffer(BODY, calloc(1, BODY), MHD_RESPMEM_MUST_FREE);
	ck_assert(server && body);
}

static void teardown(void)
{
	MHD_stop_daemon(server);
	MHD_destroy_response(body);
	ck_assert(list_is_empty(&guard.all));
}

/* The server's turns, at a time that is `ahead_ms` from now. */
static void work(int64_t ahead_ms)
{
	guard.next_ms = 0;
	for (int i = 0; i < TURNS; i++) {
		http_guard_work(&guard, proc_now_ms() + ahead_ms);
		MHD_run(server);
	}
}

static int client(const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	to.sin_port = htons(MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port);
	connect(fd, (struct sockaddr *)&to, sizeof(to));
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 10000), 1);
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	work(0);
	return fd;
}

/* Whether the server has hung up; what it sent until then is thrown away. */
static bool is_cut(int fd)
{
	static char room[1 << 16];
	ssize_t n;

	while ((n = recv(fd, room, sizeof(room), 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

START_TEST(request_that_is_never_complete_is_cut_however_it_trickles)
{
	int slow = client("GET / HTTP/1.1\r\nHost: x\r\n"), silent = client("");

	for (int i = 1; i < 59; i++) {
		ck_assert_int_eq(send(slow, "A", 1, MSG_NOSIGNAL), 1);
		work(i * 1000);
		ck_assert(!is_cut(slow));
		ck_assert(!is_cut(silent));
	}
	work(HTTP_REQUEST_MS + 1000);
	ck_assert(is_cut(slow));
	ck_assert(is_cut(silent));
	ck_assert_int_eq(n_requests, 0);
	close(slow);
	close(silent);
}
END_TEST

/* Reads the whole of the response. */
static void read_response(int fd)
{
	static char room[1 << 16];
	size_t sum = 0;
	ssize_t n;

	while (sum < BODY) {
		MHD_run(server);
		n = recv(fd, room, sizeof(room), 0);
		ck_assert(n > 0 || errno == EAGAIN);
		sum += n > 0 ? (size_t)n : 0;
	}
	work(0);
}

START_TEST(connection_is_kept_between_requests_but_not_for_ever)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = client(request);

	read_response(fd);
	work(HTTP_REQUEST_MS - 5000);
	ck_assert(!is_cut(fd));
	ck_assert_int_eq(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), (ssize_t)sizeof(request) - 1);
	work(0);
	read_response(fd);
	ck_assert_int_eq(n_requests, 2);
	work(HTTP_REQUEST_MS + 1000);
	ck_assert(is_cut(fd));
	close(fd);
}
END_TEST

START_TEST(response_that_nobody_takes_is_cut_at_the_rate_that_it_should_have)
{
	int64_t whole_ms = HTTP_RESPONSE_MS + (int64_t)BODY / HTTP_RESPONSE_RATE * 1000;
	int fd = client("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), other = client("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

	ck_assert_int_eq(n_requests, 2);
	work(whole_ms - 5000);
	read_response(other); /* was slow, but not too slow */
	work(whole_ms + 1000);
	ck_assert(is_cut(fd));
	close(fd);
	close(other);
}
END_TEST

static const struct {
	const char *text;
	int status;
} bodies[] = {
	{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /", 413 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n", 413 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413 },
	{ "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 413 },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", 413 },
	{ "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 413 },
	{ "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200 },
};

START_TEST(body_is_refused_at_once)
{
	int fd = client(bodies[_i].text), status = 0;
	char head[64] = "";

	ck_assert_int_gt(recv(fd, head, sizeof(head) - 1, 0), 0);
	ck_assert_int_eq(sscanf(head, "HTTP/1.%*d %d", &status), 1);
	ck_assert_int_eq(status, bodies[_i].status);
	ck_assert_int_eq(n_requests, status == 200);
	close(fd);
}
END_TEST

START_TEST(connections_go_as_far_as_descriptors)
{
	struct rlimit limit = { .rlim_cur = 256, .rlim_max = 1024 }, now;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(http_guard_connections(100), 100);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
	ck_assert_uint_eq(now.rlim_cur, 1024);
	ck_assert_uint_lt(http_guard_connections(12000), 1000);
	ck_assert_uint_gt(http_guard_connections(12000), 500);
}
END_TEST

Suite *suite_http_guard(void)
{
	Suite *s = suite_create("dispatcher/http_guard");
	TCase *t = tcase_create("guard");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, request_that_is_never_complete_is_cut_however_it_trickles);
	tcase_add_test(t, connection_is_kept_between_requests_but_not_for_ever);
	tcase_add_test(t, response_that_nobody_takes_is_cut_at_the_rate_that_it_should_have);
	tcase_add_loop_test(t, body_is_refused_at_once, 0, sizeof(bodies) / sizeof(*bodies));
	tcase_add_test(t, connections_go_as_far_as_descriptors);
	suite_add_tcase(s, t);
	return s;
}
