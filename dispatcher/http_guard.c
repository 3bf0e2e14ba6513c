/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_guard.h"

#include "common/log.h"
#include "common/proc.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LOOK_MS 1000
#define DESCRIPTORS_KEPT(all) ((all) / 8 + 64) /* for Redis, workers, files */

struct guarded {
	struct list link;
	struct MHD_Connection *connection;
	int64_t until_ms;
};

static void cut(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info)
		shutdown(info->connect_fd, SHUT_RDWR); /* which microhttpd sees as the client's leaving */
}

static void set_time(struct MHD_Connection *connection, int64_t until_ms)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct guarded *g = info ? info->socket_context : NULL;

	if (g)
		g->until_ms = until_ms;
}

void http_guard_init(struct http_guard *guard)
{
	list_init(&guard->all);
	guard->next_ms = 0;
}

void http_guard_notify(void *arg, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct http_guard *guard = arg;
	struct guarded *g = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = g = calloc(1, sizeof(*g));
		if (!g) {
			cut(connection);
			return;
		}
		g->connection = connection;
		g->until_ms = proc_now_ms() + HTTP_REQUEST_MS;
		list_append(&guard->all, &g->link);
	} else if (g) {
		list_remove(&g->link);
		free(g);
		*context = NULL;
	}
}

void http_guard_begin(struct MHD_Connection *connection)
{
	set_time(connection, INT64_MAX);
}

void http_guard_send(struct MHD_Connection *connection, uint64_t bytes)
{
	set_time(connection, proc_now_ms() + HTTP_RESPONSE_MS + (int64_t)(bytes / HTTP_RESPONSE_RATE) * 1000);
}

void http_guard_end(struct MHD_Connection *connection)
{
	set_time(connection, proc_now_ms() + HTTP_REQUEST_MS);
}

bool http_guard_has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	const char *coding = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);

	return coding || (length && strcmp(length, "0"));
}

void http_guard_work(struct http_guard *guard, int64_t now_ms)
{
	if (now_ms < guard->next_ms)
		return;
	guard->next_ms = now_ms + LOOK_MS;
	for (struct list *l = guard->all.next; l != &guard->all; l = l->next) {
		const struct guarded *g = LIST_OF(l, const struct guarded, link);

		if (g->until_ms <= now_ms)
			cut(g->connection);
	}
}

unsigned http_guard_connections(unsigned wanted)
{
	struct rlimit limit;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return wanted;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	most = limit.rlim_cur > 128 ? limit.rlim_cur - DESCRIPTORS_KEPT(limit.rlim_cur) : 1;
	if (wanted <= most)
		return wanted;
	log_warn("fewer HTTP connections than wanted: the limit of descriptors (ulimit -Hn)", "connections=%" PRIu64 " wanted=%u",
		 (uint64_t)most, wanted);
	return (unsigned)most;
}
