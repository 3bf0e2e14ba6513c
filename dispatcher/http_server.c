/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sockets and the daemon, and its turns in the caller's loop.
 */
#include "dispatcher/http_internal.h"

#include "common/proc.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of what h->socket has become. */
static void note_base(struct http *h, const struct cli_listen *at)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	char port[NI_MAXSERV] = "0";

	getsockname(h->socket, (struct sockaddr *)&address, &size);
	getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
	snprintf(h->base, sizeof(h->base), strchr(at->host, ':') ? "http://[%s]:%.5s" : "http://%s:%.5s", at->host, port);
}

static int listen_on(struct http *h, const struct cli_listen *at, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *a = NULL;
	char port[NI_MAXSERV];
	int on = 1, error;

	snprintf(port, sizeof(port), "%u", at->port);
	errno = EADDRNOTAVAIL;
	if (!getaddrinfo(at->host, port, &hints, &a))
		h->socket = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->socket >= 0) {
		setsockopt(h->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (a->ai_family == AF_INET6)
			setsockopt(h->socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	error = h->socket < 0 || bind(h->socket, a->ai_addr, a->ai_addrlen) < 0 || listen(h->socket, SOMAXCONN) < 0 ? errno : 0;
	if (a)
		freeaddrinfo(a);
	if (error)
		return err_set(err, ERR_USAGE,
			       "cannot listen on %s port %u: %s; choose another with --listen ADDRESS:PORT",
			       at->host, at->port, error == EADDRINUSE ? "the port is in use" : strerror(error));
	note_base(h, at);
	return 0;
}

/* Paths here have nothing to unescape, and one that is escaped is another one: a %00 would hide what is behind it. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg, (void)connection;
	return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct http *h, bool is_six)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (is_six ? MHD_USE_IPv6 : 0), 0, NULL, NULL, http_answer, h,
				MHD_OPTION_LISTEN_SOCKET, h->socket,
				MHD_OPTION_CONNECTION_LIMIT, http_guard_connections(h->settings.connections),
				MHD_OPTION_PER_IP_CONNECTION_LIMIT, h->settings.per_address,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
				MHD_OPTION_STRICT_FOR_CLIENT, 1,
				MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
				MHD_OPTION_NOTIFY_CONNECTION, http_guard_notify, &h->guard,
				MHD_OPTION_URI_LOG_CALLBACK, http_call_begin, h,
				MHD_OPTION_NOTIFY_COMPLETED, http_call_end, h, MHD_OPTION_END);
}

static void free_http(struct http *h)
{
	if (h->socket >= 0)
		close(h->socket);
	http_waits_finish(&h->waits);
	http_log_close(h);
	http_cache_finish(&h->cache);
	buf_finish(&h->piece);
	access_finish(&h->access);
	free(h);
}

int http_create(struct http **http, const struct cli_listen *listen, const struct http_settings *settings, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return err_set(err, ERR_NOMEM, "out of memory for the HTTP server");
	h->socket = h->log_fd = h->waits.epoll_fd = -1;
	http_settings_init(&h->settings);
	http_events_init(&h->events);
	http_guard_init(&h->guard);
	if (settings)
		h->settings = *settings;
	http_cache_init(&h->cache, (size_t)h->settings.cache_mib << 20);
	ret = access_load(&h->access, h->settings.token_file, h->settings.url_key_file, err);
	if (ret >= 0)
		ret = http_log_open(h, err);
	if (ret >= 0)
		ret = http_waits_init(&h->waits, err);
	if (ret >= 0)
		ret = listen_on(h, listen, err);
	if (ret >= 0) {
		h->daemon = start_daemon(h, strchr(listen->host, ':'));
		if (!h->daemon)
			ret = err_set(err, ERR_USAGE, "the HTTP server cannot be started on %s", h->base);
	}
	if (ret < 0) {
		free_http(h);
		return ret;
	}
	h->socket = -1; /* the daemon's */
	ret = http_waits_watch(&h->waits, MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, err);
	if (ret < 0) {
		http_destroy(h);
		return ret;
	}
	*http = h;
	return 0;
}

static void note_gone(void *http, const struct dispatch_stream *s)
{
	http_events_note_gone(&((struct http *)http)->events, s->key);
}

void http_attach(struct http *http, struct dispatch *dispatch, const char *redis_url)
{
	http->dispatch = dispatch;
	http->waits.dispatch = dispatch;
	dispatch->on_forget = note_gone;
	dispatch->on_forget_arg = http;
	http->redis_url = redis_url;
}

void http_destroy(struct http *http)
{
	if (!http)
		return;
	if (http->dispatch)
		http->dispatch->on_forget = NULL;
	http_plays_stop(&http->plays);
	http_events_stop(&http->events);
	http_waits_stop(&http->waits);
	MHD_stop_daemon(http->daemon);
	store_close(http->store);
	free_http(http);
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
	http_events_work(http);
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

	wait_ms = sooner(wait_ms, http_events_next_ms(&http->events));
	if (MHD_get_timeout(http->daemon, &timeout_ms) != MHD_YES)
		return wait_ms;
	return sooner(wait_ms, timeout_ms < 60000 ? (int)timeout_ms : 60000);
}
