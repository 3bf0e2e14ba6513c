/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What HTTP promises of playlists and segments: conditions, ranges, HEAD, compression, types, how long they may be kept, who may ask.
 */
#include "tests/e2e/programs.h"
#include "tests/e2e/server.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define PIECE 262144
#define SLOW 1000
#define FOREVER "public, max-age=31536000, immutable"

#define DESCRIPTORS 4000 /* of the server: it keeps some for itself */

static struct server server;
static char *access_log, *segment; /* path of the first segment below /hls/KEY/ */

/* For this process and those that it starts. */
static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < DESCRIPTORS)
		limit.rlim_cur = limit.rlim_max = DESCRIPTORS; /* which root may */
	if (setrlimit(RLIMIT_NOFILE, &limit)) {
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void setup(void)
{
	struct reply r;
	char *options, *name;

	raise_limit();
	ck_assert_int_gt(asprintf(&access_log, "%s/access.log", sh_scratch()), 0);
	ck_assert_int_gt(asprintf(&options, "--access-log %s", access_log), 0);
	server_start(&server, options);
	server_get(&server, "main/index.m3u8", "", &r);
	name = server_uri(&r, 0);
	ck_assert_int_gt(asprintf(&segment, "main/%s", name), 0);
	client_free(&r);
	free(options);
	free(name);
}

static void teardown(void)
{
	server_stop(&server);
}

static const char *path_of(int i)
{
	return i == 0 ? "master.m3u8" : i == 1 ? "main/index.m3u8" : i == 2 ? "main/init.mp4" : segment;
}

static void get(const char *path, const char *headers, int status, struct reply *r)
{
	server_get(&server, path, headers, r);
	ck_assert_msg(r->status == status, "%s with %s: %d\n%s", path, headers, r->status, r->head);
}

static void head(const char *path, const char *headers, struct reply *r)
{
	char *target;

	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", server.key, path), 0);
	client_ask(r, server.port, "HEAD", target, headers, NULL);
	free(target);
}

START_TEST(what_has_not_changed_is_not_sent_again)
{
	struct reply whole, r;
	char line[128], *tag, *keep;

	get(path_of(_i), "", 200, &whole);
	tag = client_header(&whole, "ETag");
	keep = client_header(&whole, "Cache-Control");
	ck_assert_msg(tag && tag[0] == '"' && strlen(tag) > 10, "%s", whole.head);
	snprintf(line, sizeof(line), "If-None-Match: \"x\", W/%s\r\n", tag);
	get(path_of(_i), line, 304, &r);
	ck_assert_uint_eq(r.size, 0);
	client_check_header(&r, "ETag", tag);
	client_check_header(&r, "Cache-Control", keep);
	client_check_header(&r, "Content-Type", NULL);
	client_free(&r);
	head(path_of(_i), line, &r);
	ck_assert_int_eq(r.status, 304);
	client_free(&r);
	get(path_of(_i), "If-None-Match: \"x\"\r\n", 200, &r);
	ck_assert_uint_eq(r.size, whole.size);
	client_free(&r);
	get(path_of(_i), "If-None-Match: *\r\n", 304, &r);
	client_free(&r);
	client_free(&whole);
	free(tag);
	free(keep);
}
END_TEST

static void check_part(const struct server *s, const struct reply *whole, const char *path, const char *headers, size_t first, size_t size)
{
	char expected[100];
	struct reply r;

	server_get(s, path, headers, &r);
	ck_assert_int_eq(r.status, 206);
	snprintf(expected, sizeof(expected), "bytes %zu-%zu/%zu", first, first + size - 1, whole->size);
	client_check_header(&r, "Content-Range", expected);
	ck_assert_msg(r.size == size && !memcmp(r.body, whole->body + first, size), "%s: %zu bytes", headers, r.size);
	client_free(&r);
}

static void check_whole(const struct server *s, const struct reply *whole, const char *headers)
{
	struct reply r;

	server_get(s, segment, headers, &r);
	ck_assert_int_eq(r.status, 200);
	ck_assert(r.size == whole->size && !memcmp(r.body, whole->body, r.size));
	client_free(&r);
}

static void check_ranges(const struct server *s, const struct reply *whole)
{
	char line[128], *tag = client_header(whole, "ETag");
	struct reply r;

	check_part(s, whole, segment, "Range: bytes=0-0\r\n", 0, 1);
	check_part(s, whole, segment, "Range: bytes=100-299\r\n", 100, 200);
	check_part(s, whole, segment, "Range: bytes=262000-262500\r\n", 262000, 501); /* over the border of a piece */
	check_part(s, whole, segment, "Range: bytes=262144-262144\r\n", PIECE, 1);
	check_part(s, whole, segment, "Range: bytes=1-\r\n", 1, whole->size - 1);
	check_part(s, whole, segment, "Range: bytes=-7\r\n", whole->size - 7, 7);
	snprintf(line, sizeof(line), "Range: bytes=5-9\r\nIf-Range: %s\r\n", tag);
	check_part(s, whole, segment, line, 5, 5);
	check_whole(s, whole, "Range: bytes=5-9\r\nIf-Range: \"other\"\r\n");
	check_whole(s, whole, "Range: bytes=0-1,4-5\r\n");
	snprintf(line, sizeof(line), "Range: bytes=%zu-\r\n", whole->size);
	server_get(s, segment, line, &r);
	free(client_check_problem(&r, 416));
	snprintf(line, sizeof(line), "bytes */%zu", whole->size);
	client_check_header(&r, "Content-Range", line);
	client_free(&r);
	free(tag);
}

/* Out of this process's memory, where the second request has brought it, and out of Redis. */
START_TEST(ranges_are_parts_of_the_whole)
{
	struct server other = server;
	struct reply whole;

	get(segment, "", 200, &whole);
	ck_assert_uint_gt(whole.size, PIECE + 1000);
	client_check_header(&whole, "Accept-Ranges", "bytes");
	check_whole(&server, &whole, "");
	check_ranges(&server, &whole);
	memset(&other.serve, 0, sizeof(other.serve));
	bg_open(&other.serve);
	programs_serve(&other.serve, &server.redis, "--cache 0");
	other.port = server_port(&other.serve);
	check_whole(&other, &whole, "");
	check_ranges(&other, &whole);
	programs_end(&other.serve);
	bg_close(&other.serve);
	client_free(&whole);
	get("main/init.mp4", "", 200, &whole);
	check_part(&server, &whole, "main/init.mp4", "Range: bytes=4-7\r\n", 4, 4);
	ck_assert(!memcmp(whole.body + 4, "ftyp", 4));
	client_free(&whole);
}
END_TEST

static int is_date(const char *line)
{
	return !strncmp(line, "Date:", 5);
}

static void check_same_head(const struct reply *a, const struct reply *b)
{
	const char *x = a->head, *y = b->head;

	while (*x && *y) {
		size_t n = strcspn(x, "\n") + 1, m = strcspn(y, "\n") + 1;

		ck_assert_msg((is_date(x) && is_date(y)) || (n == m && !memcmp(x, y, n)), "GET:\n%sHEAD:\n%s", a->head, b->head);
		x += n;
		y += m;
	}
	ck_assert(!*x && !*y);
}

START_TEST(head_is_get_without_the_body)
{
	static const char *const headers[] = { "", "Accept-Encoding: gzip\r\n" };
	struct reply a, b;

	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 2; j++) {
			const char *path = i < 4 ? path_of(i) : "nothing/here";

			server_get(&server, path, headers[j], &a);
			head(path, headers[j], &b);
			ck_assert_uint_eq(b.size, 0);
			check_same_head(&a, &b);
			client_free(&a);
			client_free(&b);
		}
}
END_TEST

START_TEST(types_and_times_are_those_of_the_thing)
{
	static const char *const types[] = { "application/vnd.apple.mpegurl", "application/vnd.apple.mpegurl", "video/mp4", "video/mp4" };
	struct reply r;

	for (int i = 0; i < 4; i++) {
		get(path_of(i), "", 200, &r);
		client_check_header(&r, "Content-Type", types[i]);
		client_check_header(&r, "X-Content-Type-Options", "nosniff");
		client_check_header(&r, "Cache-Control", i < 2 ? "public, max-age=86400" : FOREVER);
		client_free(&r);
	}
	get("manifest.mpd", "", 200, &r);
	client_check_header(&r, "Content-Type", "application/dash+xml");
	client_check_header(&r, "Cache-Control", "public, max-age=86400");
	client_free(&r);
	get("main/0-1.m4s", "", 404, &r);
	client_check_header(&r, "Cache-Control", "no-store");
	client_free(&r);
}
END_TEST

static void check_unzips_to(const struct reply *r, const struct reply *plain)
{
	uint8_t *out = malloc(plain->size + 1);
	z_stream z = { .next_in = (uint8_t *)r->body, .avail_in = (unsigned)r->size, .next_out = out, .avail_out = (unsigned)plain->size + 1 };

	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert(z.total_out == plain->size && !memcmp(out, plain->body, plain->size));
	inflateEnd(&z);
	free(out);
}

START_TEST(playlists_are_compressed_for_whom_takes_that)
{
	struct reply plain, r;
	char *tag, *other, line[128];

	get("main/index.m3u8", "", 200, &plain);
	client_check_header(&plain, "Vary", "Accept-Encoding");
	client_check_header(&plain, "Content-Encoding", NULL);
	tag = client_header(&plain, "ETag");
	get("main/index.m3u8", "Accept-Encoding: br, gzip;q=0.8\r\n", 200, &r);
	client_check_header(&r, "Content-Encoding", "gzip");
	client_check_header(&r, "Vary", "Accept-Encoding");
	ck_assert_uint_lt(r.size, plain.size / 3);
	check_unzips_to(&r, &plain);
	other = client_header(&r, "ETag");
	ck_assert_str_ne(tag, other);
	client_free(&r);
	snprintf(line, sizeof(line), "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", other);
	get("main/index.m3u8", line, 304, &r);
	client_free(&r);
	snprintf(line, sizeof(line), "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", tag);
	get("main/index.m3u8", line, 200, &r);
	client_free(&r);
	get("main/index.m3u8", "Accept-Encoding: gzip;q=0, identity\r\n", 200, &r);
	client_check_header(&r, "Content-Encoding", NULL);
	client_free(&r);
	get(segment, "Accept-Encoding: gzip\r\n", 200, &r);
	client_check_header(&r, "Content-Encoding", NULL);
	client_check_header(&r, "Vary", NULL);
	client_free(&r);
	client_free(&plain);
	free(tag);
	free(other);
}
END_TEST

START_TEST(media_may_be_asked_for_from_anywhere_and_the_api_not)
{
	struct reply r;
	char *target;

	get(segment, "Origin: https://player.example\r\n", 200, &r);
	client_check_header(&r, "Access-Control-Allow-Origin", "*");
	ck_assert_ptr_nonnull(strstr(r.head, "Content-Range"));
	client_free(&r);
	get("main/0-1.m4s", "Origin: https://player.example\r\n", 404, &r);
	client_check_header(&r, "Access-Control-Allow-Origin", "*");
	client_free(&r);
	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", server.key, segment), 0);
	client_ask(&r, server.port, "OPTIONS", target, "Origin: https://player.example\r\nAccess-Control-Request-Method: GET\r\n", NULL);
	ck_assert_int_eq(r.status, 204);
	client_check_header(&r, "Access-Control-Allow-Origin", "*");
	client_check_header(&r, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
	ck_assert_ptr_nonnull(strcasestr(r.head, "Access-Control-Allow-Headers:"));
	client_free(&r);
	client_ask(&r, server.port, "OPTIONS", "/v1/streams", "Origin: https://player.example\r\nAccess-Control-Request-Method: POST\r\n", NULL);
	client_check_header(&r, "Access-Control-Allow-Origin", NULL);
	client_check_header(&r, "Access-Control-Allow-Methods", NULL);
	client_free(&r);
	free(target);
}
END_TEST

/* A second server of the same farm, with other options. */
START_TEST(origins_that_are_named_may_ask_and_no_others)
{
	static const char good[] = "Origin: https://good.example\r\n", bad[] = "Origin: https://bad.example\r\n";
	struct server other = server;
	struct reply r;

	memset(&other.serve, 0, sizeof(other.serve));
	bg_open(&other.serve);
	programs_serve(&other.serve, &server.redis, "--cors https://good.example --on-demand --segment-duration 7 '%s'", server.title);
	other.port = server_port(&other.serve);
	server_get(&other, segment, good, &r);
	ck_assert_int_eq(r.status, 200);
	client_check_header(&r, "Access-Control-Allow-Origin", "https://good.example");
	client_check_header(&r, "Vary", "Origin");
	client_free(&r);
	server_get(&other, "main/index.m3u8", bad, &r);
	client_check_header(&r, "Access-Control-Allow-Origin", NULL);
	client_check_header(&r, "Vary", "Accept-Encoding, Origin");
	client_free(&r);
	client_ask(&r, other.port, "OPTIONS", "/v1/streams", good, NULL);
	client_check_header(&r, "Access-Control-Allow-Origin", "https://good.example");
	client_check_header(&r, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST");
	client_free(&r);
	client_ask(&r, other.port, "GET", "/v1/farm", good, NULL);
	ck_assert_int_eq(r.status, 200);
	client_free(&r);
	client_ask(&r, other.port, "GET", "/v1/farm", bad, NULL);
	free(client_check_problem(&r, 403));
	client_free(&r);
	programs_end(&other.serve);
	bg_close(&other.serve);
}
END_TEST

START_TEST(connections_are_used_again)
{
	char *text, *requests;
	size_t n;
	int size = asprintf(&requests,
			    "GET /hls/%s/master.m3u8 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /hls/%s/%s HTTP/1.1\r\nHost: x\r\n\r\n"
			    "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /hls/%s/main/init.mp4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			    server.key, server.key, segment, server.key);

	ck_assert_int_gt(size, 0);
	text = client_raw(server.port, requests, (size_t)size, &n);
	ck_assert_msg(bg_count(text, "HTTP/1.1 200 OK\r\n") == 3 && bg_count(text, "HTTP/1.1 404 Not Found\r\n") == 1, "%s", text);
	free(text);
	free(requests);
}
END_TEST

START_TEST(every_error_is_a_problem_document)
{
	static const struct {
		const char *method, *path;
		int status;
	} errors[] = {
		{ "GET", "/nothing", 404 },
		{ "GET", "/hls/0123456789abcdef/master.m3u8", 404 },
		{ "GET", "/stream/0123456789abcdef.mp4", 404 },
		{ "GET", "/v1/nothing", 404 },
		{ "POST", "/hls/0123456789abcdef/master.m3u8", 405 },
		{ "DELETE", "/healthz", 405 },
		{ "GET", "/stream/KEY.mp4?start=x", 400 },
		{ "GET", "/stream/KEY.mp4?start=1000", 416 },
		{ "GET", "/hls/KEY/audio-7/index.m3u8", 404 },
	};
	struct reply r;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		const char *key = strstr(errors[i].path, "KEY");
		char target[128];

		snprintf(target, sizeof(target), "%s", errors[i].path);
		if (key)
			snprintf(target, sizeof(target), "%.*s%s%s", (int)(key - errors[i].path), errors[i].path, server.key, key + 3);
		client_ask(&r, server.port, errors[i].method, target, "", NULL);
		free(client_check_problem(&r, errors[i].status));
		client_free(&r);
	}
	client_ask(&r, server.port, "GET", "/healthz", "", "a body");
	free(client_check_problem(&r, 413));
	client_free(&r);
}
END_TEST

START_TEST(what_is_still_made_is_kept_for_seconds)
{
	struct server other = server;
	struct reply r;
	char *end;

	memset(&other.serve, 0, sizeof(other.serve));
	memset(&other.pool, 0, sizeof(other.pool));
	bg_open(&other.serve);
	bg_open(&other.pool);
	programs_serve(&other.serve, &server.redis, "--on-demand --segment-duration 3 '%s'", server.title);
	programs_pool(&other.pool, &server.redis, &other.serve, 1, "");
	other.port = server_port(&other.serve);
	other.key = bg_log_after(&other.serve, "/hls/");
	end = strchr(other.key, '/');
	*end = 0;
	server_get(&other, "main/index.m3u8", "", &r);
	ck_assert_int_eq(r.status, 200);
	client_check_header(&r, "Cache-Control", "public, max-age=4");
	client_free(&r);
	programs_end(&other.pool);
	programs_end(&other.serve);
	bg_close(&other.pool);
	bg_close(&other.serve);
	free(other.key);
}
END_TEST

/* The last line of the log in which text stands, to be freed. */
static char *logged(const char *text)
{
	return sh("grep -F '%s' '%s' | tail -n 1", text, access_log);
}

START_TEST(access_log_has_a_line_for_each_request)
{
	struct reply r;
	char *line, expected[256];

	get(segment, "User-Agent: a \"test\"\r\nReferer: http://x/\x01\r\n", 200, &r);
	bg_wait_until(*(line = logged("a \\\"test\\\"")), "nothing is logged");
	snprintf(expected, sizeof(expected), "\"GET /hls/%s/%s HTTP/1.1\" 200 %zu \"http://x/\\x01\" \"a \\\"test\\\"\"\n", server.key, segment, r.size);
	ck_assert_msg(!strncmp(line, "127.0.0.1 - - [", 15) && strstr(line, expected), "%s is not %s", line, expected);
	free(line);
	client_free(&r);
	client_ask(&r, server.port, "GET", "/nothing?e=1&s=secret", "User-Agent: two\r\nAuthorization: Bearer secret\r\n", NULL);
	client_free(&r);
	bg_wait_until(*(line = logged("\"two\"")), "nothing is logged");
	ck_assert_msg(strstr(line, "GET /nothing?e=1&s=- HTTP") && strstr(line, " 404 ") && !strstr(line, "secret"), "%s", line);
	free(line);
}
END_TEST

/* KiB of memory that a server has. */
static long memory(const struct server *s)
{
	char *text = sh("awk '/^VmRSS/ { print $2 }' /proc/%d/status", s->serve.pid);
	long kib = strtol(text, NULL, 10);

	free(text);
	ck_assert_int_gt(kib, 0);
	return kib;
}

/* One that asks for the segment, and takes a byte of the answer and no more. */
static int ask_slowly(const struct server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 2048, size;
	char *request, byte;

	ck_assert_int_ge(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	size = asprintf(&request, "GET /hls/%s/%s HTTP/1.1\r\nHost: x\r\n\r\n", s->key, segment);
	ck_assert_int_eq(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
	free(request);
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
	return fd;
}

/* each: KiB that one of n slow clients may cost. */
static void check_slow(const struct server *s, int n, long each)
{
	struct reply whole, r;
	int *fds = calloc((size_t)n, sizeof(*fds));
	long before;

	server_get(s, segment, "", &whole);
	check_whole(s, &whole, "");
	check_whole(s, &whole, "");
	before = memory(s);
	for (int i = 0; i < n; i++)
		fds[i] = ask_slowly(s);
	ck_assert_msg(memory(s) - before < n * each, "%d clients cost %ld KiB", n, memory(s) - before);
	check_whole(s, &whole, "");
	server_get(s, "main/index.m3u8", "", &r);
	ck_assert_int_eq(r.status, 200);
	client_free(&r);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	client_free(&whole);
	free(fds);
}

/* Out of the server's memory, and out of Redis, a piece at a time. Microhttpd has 32 KiB for each. */
START_TEST(slow_clients_cost_no_more_than_their_buffers)
{
	struct server other = server;
	struct rlimit limit;
	int n = SLOW;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 2 * SLOW) {
		n = (int)limit.rlim_cur * 3 / 4;
		fprintf(stderr, "http_headers: %d slow clients instead of %d: the limit of descriptors is %ju\n", n, SLOW, (uintmax_t)limit.rlim_cur);
	}
	check_slow(&server, n, 48);
	memset(&other.serve, 0, sizeof(other.serve));
	bg_open(&other.serve);
	programs_serve(&other.serve, &server.redis, "--cache 0");
	other.port = server_port(&other.serve);
	check_slow(&other, n, 48 + PIECE / 1024);
	programs_end(&other.serve);
	bg_close(&other.serve);
}
END_TEST

/* What microhttpd itself answers: not as we would, but it does, and hangs up. */
START_TEST(what_is_no_http_is_told_so)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{ "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " },
		{ "GET /healthz HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", "HTTP/1.1 400 " },
		{ "POST /v1/streams HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 400 " },
		{ "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 " },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n;
		char *text = client_raw(server.port, cases[i].request, strlen(cases[i].request), &n);

		ck_assert_msg(!strncmp(text, cases[i].status, strlen(cases[i].status)), "%s: %s", cases[i].request, text);
		free(text);
	}
}
END_TEST

Suite *suite_http_headers(void)
{
	Suite *s = suite_create("http_headers");
	TCase *t = tcase_create("http_headers");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_has_not_changed_is_not_sent_again, 0, 4);
	tcase_add_test(t, ranges_are_parts_of_the_whole);
	tcase_add_test(t, head_is_get_without_the_body);
	tcase_add_test(t, types_and_times_are_those_of_the_thing);
	tcase_add_test(t, playlists_are_compressed_for_whom_takes_that);
	tcase_add_test(t, media_may_be_asked_for_from_anywhere_and_the_api_not);
	tcase_add_test(t, origins_that_are_named_may_ask_and_no_others);
	tcase_add_test(t, connections_are_used_again);
	tcase_add_test(t, every_error_is_a_problem_document);
	tcase_add_test(t, what_is_still_made_is_kept_for_seconds);
	tcase_add_test(t, access_log_has_a_line_for_each_request);
	tcase_add_test(t, what_is_no_http_is_told_so);
	tcase_add_test(t, slow_clients_cost_no_more_than_their_buffers);
	suite_add_tcase(s, t);
	return s;
}
