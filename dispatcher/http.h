/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HTTP: playlists, init and segments of the dispatcher's streams, GET and HEAD. Only http*.c
 * include microhttpd.h. Runs inside the caller's loop, on the caller's thread; segments go out piece by piece on a store
 * connection of its own.
 *
 *   /hls/K/master.m3u8   /hls/K/main/index.m3u8   /hls/K/main/init.mp4   /hls/K/main/<start>-<duration>.m4s
 *   /stream/K.mp4?start=SECONDS   /healthz   /
 */
#ifndef SEGFARM_DISPATCHER_HTTP_H
#define SEGFARM_DISPATCHER_HTTP_H

#include "common/cli.h"
#include "dispatcher/dispatch.h"

struct http;

#define HTTP_CONNECTIONS 12000 /* fewer where descriptors do not go so far */
#define HTTP_CONNECTIONS_PER_ADDRESS 4096
#define HTTP_CONNECTIONS_MAX 1000000

/* Of clients. 0: the default. */
struct http_limits {
	unsigned connections, per_address;
};

/* Listens at once; ERR_USAGE names the address when it cannot. Requests are answered 503 until http_attach. limits may be NULL. */
int http_create(struct http **http, const struct cli_listen *listen, const struct http_limits *limits, struct err *err);
/* dispatch and redis_url must outlive it. */
void http_attach(struct http *http, struct dispatch *dispatch, const char *redis_url);
void http_destroy(struct http *http); /* NULL is fine */

/* Before the end: whoever waits for something to be made is answered 503, and so are those who come; connections are closed behind their
 * responses. */
void http_drain(struct http *http);
/* A response is under way. */
bool http_is_busy(const struct http *http);

/* "http://127.0.0.1:8090", with the port that it really has. */
const char *http_base(const struct http *http);
int http_fd(const struct http *http);
void http_work(struct http *http);
/* Milliseconds until http_work must be called without the descriptor being ready; -1: never. */
int http_timeout_ms(const struct http *http);

/* Pure, for tests: what a path asks for. */
enum http_what { HTTP_NOTHING, HTTP_ROOT, HTTP_HEALTH, HTTP_READY, HTTP_METRICS, HTTP_MASTER, HTTP_MEDIA, HTTP_INIT, HTTP_SEGMENT, HTTP_STREAM };
struct http_target {
	enum http_what what;
	char key[RECORD_KEY_SIZE];
	const char *name; /* of a segment; points into the path */
};
void http_parse_path(const char *path, struct http_target *target);

#endif
