/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/key.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/cluster.h"
#include "dispatcher/playlist.h"
#include "dispatcher/stream.h"

#define STORE_WAIT_MS 2000
#define REFRESH_MS 2000

#define TYPE_PLAYLIST "application/vnd.apple.mpegurl"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"
#define CACHE_SHORTLY "no-cache"

/* Kept for a request until there is more to keep. */
static struct http_request new_request = { HTTP_REQUEST_NEW };

/* "/stream/K.mp4" */
static void parse_stream(const char *path, struct http_target *target)
{
	const char *rest = path + RECORD_KEY_SIZE - 1;

	if (strlen(path) != RECORD_KEY_SIZE - 1 + strlen(".mp4") || strcmp(rest, ".mp4"))
		return;
	memcpy(target->key, path, RECORD_KEY_SIZE - 1);
	if (key_is_valid(target->key))
		target->what = HTTP_STREAM;
}

void http_parse_path(const char *path, struct http_target *target)
{
	const char *rest = path + strlen("/hls/") + RECORD_KEY_SIZE - 1;

	memset(target, 0, sizeof(*target));
	if (!strcmp(path, "/"))
		target->what = HTTP_ROOT;
	else if (!strcmp(path, "/healthz"))
		target->what = HTTP_HEALTH;
	else if (!strcmp(path, "/readyz"))
		target->what = HTTP_READY;
	else if (!strcmp(path, "/metrics"))
		target->what = HTTP_METRICS;
	else if (!strncmp(path, "/stream/", 8))
		parse_stream(path + 8, target);
	if (strncmp(path, "/hls/", 5) || strlen(path) < (size_t)(rest - path))
		return;
	memcpy(target->key, path + 5, RECORD_KEY_SIZE - 1);
	if (!key_is_valid(target->key))
		return;
	if (!strcmp(rest, "/" PLAYLIST_MASTER)) {
		target->what = HTTP_MASTER;
		return;
	}
	if (strncmp(rest, "/" RECORD_RENDITION "/", sizeof(RECORD_RENDITION) + 1))
		return;
	target->name = rest + sizeof(RECORD_RENDITION) + 1;
	if (!strcmp(target->name, PLAYLIST_MEDIA))
		target->what = HTTP_MEDIA;
	else if (!strcmp(target->name, PLAYLIST_INIT))
		target->what = HTTP_INIT;
	else if (target->name[0] && !strchr(target->name, '/') && strlen(target->name) < PLAYLIST_NAME_MAX)
		target->what = HTTP_SEGMENT;
}

enum MHD_Result http_send(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response,
				     const char *type, const char *cache)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, cache);
	MHD_add_response_header(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, "*");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (status == MHD_HTTP_CONTENT_TOO_LARGE || status == MHD_HTTP_METHOD_NOT_ALLOWED) /* what is behind it is no request */
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result http_send_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
	char line[512];
	int size = snprintf(line, sizeof(line), "%s\n", text);

	if (size >= (int)sizeof(line))
		size = sizeof(line) - 1;
	return http_send(connection, status,
			     MHD_create_response_from_buffer((size_t)size, line, MHD_RESPMEM_MUST_COPY), TYPE_TEXT,
			     HTTP_CACHE_NEVER);
}

enum MHD_Result http_send_trouble(struct http *h, struct MHD_Connection *connection)
{
	return http_send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			      h->dispatch->is_store_down ? h->dispatch->trouble : "the store does not answer");
}

/* Sends a buffer and frees it. */
static enum MHD_Result send_buf(struct MHD_Connection *connection, struct buf *body, const char *type,
				const char *cache)
{
	enum MHD_Result result;

	if (buf_failed(body)) {
		result = http_send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	} else {
		struct MHD_Response *response =
			MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_COPY);

		http_guard_send(connection, body->size);

		result = http_send(connection, MHD_HTTP_OK, response, type, cache);
	}
	buf_finish(body);
	return result;
}

struct store *http_store(struct http *h, struct err *err)
{
	if (!h->store)
		store_open(&h->store, h->redis_url, STORE_WAIT_MS, err);
	return h->store;
}

static enum MHD_Result answer_init(struct http *h, struct MHD_Connection *connection, const struct dispatch_stream *s)
{
	struct buf body = { 0 };
	struct err err = { 0 };
	struct store *store = http_store(h, &err);
	int ret = store ? store_get_value(store, s->key, "init:" RECORD_RENDITION, &body, &err) : ERR_RETRY;

	if (ret > 0)
		return send_buf(connection, &body, HTTP_TYPE_MP4, CACHE_SHORTLY);
	buf_finish(&body);
	if (ret)
		return http_send_trouble(h, connection);
	h->dispatch->is_store_suspect |= s->is_mine; /* it was there when the title was planned */
	return http_send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the init segment is gone and is made again");
}

/* The title that is asked for, with its plan; NULL: *result is what was answered, or the request waits. */
static struct dispatch_stream *find_planned(struct http *h, struct MHD_Connection *connection, const char *key,
					    struct http_request **request, enum MHD_Result *result)
{
	struct err err = { 0 };
	struct dispatch_stream *s = cluster_find(h->dispatch, key, &err);

	if (s && s->has_plan)
		return s;
	if (!s && (h->dispatch->is_store_down || err.code)) {
		*result = http_send_trouble(h, connection);
		return NULL;
	}
	if (!s || s->is_noop)
		*result = http_send_text(connection, MHD_HTTP_NOT_FOUND, "there is no such stream");
	else if (s->state == DISPATCH_FAILED)
		*result = http_send_text(connection, MHD_HTTP_NOT_FOUND, s->error);
	else if (h->dispatch->is_store_down)
		*result = http_send_trouble(h, connection);
	else
		*result = http_wait(&h->waits, connection, s, 0, request);
	return NULL;
}

/* Of another dispatcher's stream we know what we have looked at. */
static void refresh(struct dispatch *d, struct dispatch_stream *s)
{
	struct err err;

	if (s->is_mine || s->is_noop || d->is_store_down || proc_now_ms() - s->looked_ms < REFRESH_MS)
		return;
	s->looked_ms = proc_now_ms();
	if (stream_reconcile(d, s, &err) < 0)
		dispatch_note_trouble(d, &err);
}

static enum MHD_Result answer_stream(struct http *h, struct MHD_Connection *connection, const struct http_target *target,
				     struct http_request **request)
{
	struct buf body = { 0 };
	uint8_t *gaps;
	enum MHD_Result result;
	struct dispatch_stream *s = find_planned(h, connection, target->key, request, &result);

	if (!s)
		return result;
	refresh(h->dispatch, s);
	switch (target->what) {
	case HTTP_MASTER:
		playlist_put_master(&s->plan, s->sizes, &body);
		return send_buf(connection, &body, TYPE_PLAYLIST, CACHE_SHORTLY);
	case HTTP_MEDIA:
		gaps = dispatch_gaps(s);
		playlist_put_media(&s->plan, gaps, &body);
		free(gaps);
		return send_buf(connection, &body, TYPE_PLAYLIST, CACHE_SHORTLY);
	case HTTP_INIT:
		return answer_init(h, connection, s);
	default:
		return http_send_segment(h, connection, s, target->name, request);
	}
}

/* It has waited, and something else is to be kept for it. */
static void end_wait(struct http_request **request)
{
	if ((*request)->kind == HTTP_REQUEST_WAIT)
		http_wait_end(*request);
	*request = &new_request;
}

/* Whether the request says where to start, and what: 0, or the status to answer with and *why. */
static unsigned parse_start(struct MHD_Connection *connection, const struct dispatch_stream *s, int64_t *ticks, const char **why)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "start");
	int64_t ns;

	*ticks = 0;
	if (!text)
		return 0;
	*why = "start takes seconds from 0 on, such as start=90.5";
	if (cli_parse_decimal(text, 9, &ns, NULL) < 0)
		return MHD_HTTP_BAD_REQUEST;
	*ticks = timeline_ns_to_ticks(ns);
	*why = "the title has ended by then";
	return *ticks < http_play_duration(s) ? 0 : MHD_HTTP_RANGE_NOT_SATISFIABLE;
}

static enum MHD_Result answer_play(struct http *h, struct MHD_Connection *connection, const struct http_target *target,
				   bool is_head, struct http_request **request)
{
	enum MHD_Result result;
	struct dispatch_stream *s = find_planned(h, connection, target->key, request, &result);
	struct err err = { 0 };
	const char *why;
	unsigned status;
	int64_t start;

	if (!s)
		return result;
	status = parse_start(connection, s, &start, &why);
	if (status)
		return http_send_text(connection, status, why);
	if (is_head)
		return http_play_send_head(connection, s, start);
	if (!http_store(h, &err))
		return http_send_trouble(h, connection);
	end_wait(request);
	return http_play_begin(&h->plays, h->dispatch, h->store, connection, s, start, request);
}

/* Text inside HTML. */
static void put_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			buf_printf(out, "&#%d;", *text);
		else
			buf_put_u8(out, (uint8_t)*text);
	}
}

static enum MHD_Result answer_root(struct http *h, struct MHD_Connection *connection)
{
	static const char *const states[] = { "being looked at", "being made", "complete", "complete but for what failed", "failed" };
	const struct dispatch *d = h->dispatch;
	struct buf body = { 0 };

	buf_put_str(&body,
		    "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>segfarm</title>\n"
		    "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}</style>\n"
		    "<h1>segfarm</h1>\n<table><tr><th>title<th>state<th>segments<th>playlist\n");
	for (int i = 0; i < d->n_streams; i++) {
		const struct dispatch_stream *s = d->streams[i];
		const char *slash = strrchr(s->source.path, '/');

		buf_put_str(&body, "<tr><td>");
		put_escaped(&body, slash ? slash + 1 : s->source.path);
		buf_printf(&body, "<td>%s", states[s->state]);
		if (s->error[0])
			buf_put_str(&body, ": ");
		put_escaped(&body, s->error);
		buf_printf(&body, "<td>%zu / %zu<td><a href=\"/hls/%s/master.m3u8\">/hls/%s/master.m3u8</a>\n",
			   s->n_made, s->plan.n_segments, s->key, s->key);
	}
	buf_put_str(&body, "</table></html>\n");
	return send_buf(connection, &body, TYPE_HTML, HTTP_CACHE_NEVER);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct http_request **request = (struct http_request **)state;
	struct http *h = arg;
	struct http_target target;

	(void)version, (void)upload;
	if (!*request) { /* only the header is there */
		unsigned wrong = http_guard_check_body(connection, method);

		*request = &new_request;
		h->n_calls++;
		http_guard_begin(connection);
		return wrong ? http_send_text(connection, wrong, "no body is taken here") : MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	if ((*request)->kind == HTTP_REQUEST_PLAY)
		return http_play_answer(*request);
	if (http_wait_is_gone(*request))
		return MHD_NO;
	http_parse_path(url, &target);
	if (target.what == HTTP_NOTHING)
		return http_send_text(connection, MHD_HTTP_NOT_FOUND, "there is nothing here");
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return http_send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
	if (target.what == HTTP_HEALTH)
		return http_send_text(connection, MHD_HTTP_OK, "ok");
	if (target.what == HTTP_READY)
		return http_answer_ready(h, connection);
	if (!h->dispatch)
		return http_send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the farm is starting");
	if (target.what == HTTP_METRICS)
		return http_answer_metrics(h, connection);
	if (target.what == HTTP_ROOT)
		return answer_root(h, connection);
	if (target.what == HTTP_STREAM)
		return answer_play(h, connection, &target, !strcmp(method, MHD_HTTP_METHOD_HEAD), request);
	return answer_stream(h, connection, &target, request);
}

/* The request is over, well or not. */
static void complete(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct http_request *request = *state;

	(void)code;
	((struct http *)arg)->n_calls -= request != NULL;
	http_guard_end(connection);
	if (request && request->kind == HTTP_REQUEST_PLAY)
		http_play_end(request);
	else if (request && request->kind == HTTP_REQUEST_WAIT)
		http_wait_end(request);
	*state = NULL;
}

/* --- set up */

static socklen_t make_address(const struct cli_listen *listen_at, struct sockaddr_storage *address)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(listen_at->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(listen_at->port) };

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, listen_at->host, &four.sin_addr) == 1) {
		memcpy(address, &four, sizeof(four));
		return sizeof(four);
	}
	inet_pton(AF_INET6, listen_at->host, &six.sin6_addr);
	memcpy(address, &six, sizeof(six));
	return sizeof(six);
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	getsockname(fd, (struct sockaddr *)&address, &size);
	memcpy(&four, &address, sizeof(four));
	memcpy(&six, &address, sizeof(six));
	return ntohs(address.ss_family == AF_INET ? four.sin_port : six.sin6_port);
}

static int listen_on(struct http *h, const struct cli_listen *at, struct err *err)
{
	bool is_six = strchr(at->host, ':');
	struct sockaddr_storage address;
	socklen_t size = make_address(at, &address);
	int on = 1;

	h->socket = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->socket >= 0) {
		setsockopt(h->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (is_six)
			setsockopt(h->socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (h->socket < 0 || bind(h->socket, (struct sockaddr *)&address, size) < 0 || listen(h->socket, SOMAXCONN) < 0)
		return err_set(err, ERR_USAGE,
			       "cannot listen on %s port %u: %s; choose another with --listen ADDRESS:PORT",
			       at->host, at->port, errno == EADDRINUSE ? "the port is in use" : strerror(errno));
	snprintf(h->base, sizeof(h->base), is_six ? "http://[%s]:%u" : "http://%s:%u", at->host, bound_port(h->socket));
	return 0;
}

/* Paths here have nothing to unescape, and one that is escaped is another one: a %00 would hide what is behind it. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg, (void)connection;
	return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct http *h, bool is_six, const struct http_limits *limits)
{
	unsigned connections = limits && limits->connections ? limits->connections : HTTP_CONNECTIONS;
	unsigned per_address = limits && limits->per_address ? limits->per_address : HTTP_CONNECTIONS_PER_ADDRESS;

	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (is_six ? MHD_USE_IPv6 : 0), 0, NULL, NULL, answer, h,
				MHD_OPTION_LISTEN_SOCKET, h->socket,
				MHD_OPTION_CONNECTION_LIMIT, http_guard_connections(connections),
				MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
				MHD_OPTION_STRICT_FOR_CLIENT, 1,
				MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
				MHD_OPTION_NOTIFY_CONNECTION, http_guard_notify, &h->guard,
				MHD_OPTION_NOTIFY_COMPLETED, complete, h, MHD_OPTION_END);
}

int http_create(struct http **http, const struct cli_listen *listen, const struct http_limits *limits, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return err_set(err, ERR_NOMEM, "out of memory for the HTTP server");
	ret = http_waits_init(&h->waits, err);
	if (ret >= 0)
		ret = listen_on(h, listen, err);
	if (ret < 0)
		goto fail;
	h->daemon = start_daemon(h, strchr(listen->host, ':'), limits);
	if (!h->daemon) {
		ret = err_set(err, ERR_USAGE, "the HTTP server cannot be started on %s", h->base);
		goto fail;
	}
	ret = http_waits_watch(&h->waits, MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, err);
	if (ret < 0) {
		http_destroy(h);
		return ret;
	}
	*http = h;
	return 0;
fail:
	if (h->socket >= 0)
		close(h->socket);
	http_waits_finish(&h->waits);
	free(h);
	return ret;
}

void http_attach(struct http *http, struct dispatch *dispatch, const char *redis_url)
{
	http->dispatch = dispatch;
	http->waits.dispatch = dispatch;
	http->redis_url = redis_url;
}

void http_destroy(struct http *http)
{
	if (!http)
		return;
	http_plays_stop(&http->plays);
	http_waits_stop(&http->waits);
	MHD_stop_daemon(http->daemon);
	http_waits_finish(&http->waits);
	store_close(http->store);
	free(http);
}

const char *http_base(const struct http *http)
{
	return http->base;
}

int http_fd(const struct http *http)
{
	return http->waits.epoll_fd;
}

void http_work(struct http *http)
{
	http_plays_work(&http->plays);
	http_guard_work(&http->guard, proc_now_ms());
	http_waits_work(&http->waits);
	MHD_run(http->daemon);
}

/* The sooner of two waits, -1: none. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

int http_timeout_ms(const struct http *http)
{
	int wait_ms = sooner(http_plays_wait(&http->plays) ? HTTP_PLAY_POLL_MS : -1, http_waits_next_ms(&http->waits));
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (MHD_get_timeout(http->daemon, &timeout_ms) != MHD_YES)
		return wait_ms;
	return sooner(wait_ms, timeout_ms < 60000 ? (int)timeout_ms : 60000);
}
