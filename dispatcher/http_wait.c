/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include "common/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 64

struct http_waiting {
	struct http_request request; /* first */
	struct http_waits *waits;
	struct MHD_Connection *connection;
	struct want want;
	struct list link;            /* in waits.all while suspended */
	int64_t until_ms;
	bool is_gone;
};

int http_waits_init(struct http_waits *waits, struct err *err)
{
	list_init(&waits->all);
	waits->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return waits->epoll_fd < 0 ? err_set(err, ERR_RETRY, "no descriptor to watch clients: %s", strerror(errno)) : 0;
}

int http_waits_watch(struct http_waits *waits, int fd, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(waits->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return err_set(err, ERR_RETRY, "a descriptor cannot be watched: %s", strerror(errno));
	return 0;
}

void http_waits_finish(struct http_waits *waits)
{
	if (waits->epoll_fd >= 0)
		close(waits->epoll_fd);
}

static int descriptor_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

static void wake(struct http_waiting *w)
{
	epoll_ctl(w->waits->epoll_fd, EPOLL_CTL_DEL, descriptor_of(w->connection), NULL);
	list_remove(&w->link);
	MHD_resume_connection(w->connection);
	w->waits->is_awake = true;
}

static void on_end(struct want *want)
{
	wake(LIST_OF(want, struct http_waiting, want));
}

static struct http_waiting *create(struct http_waits *waits, struct MHD_Connection *connection)
{
	struct http_waiting *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->request.kind = HTTP_REQUEST_WAIT;
	w->waits = waits;
	w->connection = connection;
	w->until_ms = proc_now_ms() + HTTP_WAIT_MS;
	list_init(&w->link);
	list_init(&w->want.link);
	return w;
}

/* Microhttpd does not look at a connection that is suspended. */
static bool suspend(struct http_waiting *w)
{
	struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = w };
	struct list *at = &w->waits->all;

	if (epoll_ctl(w->waits->epoll_fd, EPOLL_CTL_ADD, descriptor_of(w->connection), &event) < 0)
		return false;
	while (at->prev != &w->waits->all && LIST_OF(at->prev, struct http_waiting, link)->until_ms > w->until_ms)
		at = at->prev;
	list_insert(at, &w->link);
	MHD_suspend_connection(w->connection);
	return true;
}

/* It waits, or err says why it does not. */
static int begin(struct http_waiting *w, struct dispatch_stream *s, uint32_t slot, struct err *err)
{
	if (w->waits->is_stopping)
		return err_set(err, ERR_STOPPED, "the server is stopping");
	if (proc_now_ms() >= w->until_ms)
		return err_set(err, ERR_RETRY, slot ? "this segment is not made yet" : "the title is still being looked at");
	w->want.stream = s;
	w->want.slot = slot;
	w->want.on_end = on_end;
	if (want_begin(w->waits->dispatch, &w->want, err) < 0)
		return err->code;
	if (suspend(w))
		return 0;
	want_end(w->waits->dispatch, &w->want);
	return err_set(err, ERR_NOMEM, "out of memory");
}

enum MHD_Result http_wait(struct http_call *call, struct dispatch_stream *s, uint32_t slot)
{
	struct http_waiting *w = (struct http_waiting *)call->request;
	struct err err = { 0 };

	if (!w)
		w = create(&call->http->waits, call->connection);
	if (!w)
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	call->request = &w->request;
	return begin(w, s, slot, &err) ? http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, err.msg) : MHD_YES;
}

bool http_wait_midway(struct http_waits *waits, struct MHD_Connection *connection, struct dispatch_stream *s, uint32_t slot,
		      struct http_request **request)
{
	struct http_waiting *w = *request ? (struct http_waiting *)*request : create(waits, connection);
	struct err err;

	if (!w)
		return false;
	*request = &w->request;
	return !w->is_gone && begin(w, s, slot, &err) == 0;
}

void http_wait_end(struct http_request *request)
{
	struct http_waiting *w = (struct http_waiting *)request;

	want_end(w->waits->dispatch, &w->want);
	list_remove(&w->link);
	free(w);
}

/* NULL: it does not wait, and has not. */
static const struct http_waiting *wait_of(const struct http_call *call)
{
	bool is_wait = call->request && call->request->kind == HTTP_REQUEST_WAIT;

	return is_wait ? (const struct http_waiting *)call->request : NULL;
}

bool http_wait_has_waited(const struct http_call *call)
{
	const struct http_waiting *w = wait_of(call);

	return w && w->want.slot;
}

bool http_wait_is_gone(const struct http_call *call)
{
	const struct http_waiting *w = wait_of(call);

	return w && w->is_gone;
}

void http_waits_work(struct http_waits *waits)
{
	struct epoll_event events[EVENTS];
	int n = list_is_empty(&waits->all) ? 0 : epoll_wait(waits->epoll_fd, events, EVENTS, 0);
	int64_t now_ms = proc_now_ms();

	for (int i = 0; i < n; i++) {
		struct http_waiting *w = events[i].data.ptr;

		if (!w) /* microhttpd's own */
			continue;
		w->is_gone = true;
		want_end(waits->dispatch, &w->want);
		wake(w);
	}
	while (!list_is_empty(&waits->all)) {
		struct http_waiting *w = LIST_OF(waits->all.next, struct http_waiting, link);

		if (now_ms < w->until_ms && !waits->is_stopping)
			break;
		want_end(waits->dispatch, &w->want);
		wake(w);
	}
	waits->is_awake = false;
}

int http_waits_next_ms(const struct http_waits *waits)
{
	int64_t left_ms;

	if (waits->is_awake)
		return 0;
	if (list_is_empty(&waits->all))
		return -1;
	left_ms = LIST_OF(waits->all.next, const struct http_waiting, link)->until_ms - proc_now_ms();
	return left_ms > 0 ? (int)left_ms : 0;
}

void http_waits_stop(struct http_waits *waits)
{
	waits->is_stopping = true;
	http_waits_work(waits);
}
