/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests that wait: the connection is suspended, and no thread is held; it is woken when what it waits for is there, cannot be made,
 * or is too late. A client that leaves frees its place at once. Internal to http.c.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_WAIT_H
#define SEGFARM_DISPATCHER_HTTP_WAIT_H

#include "dispatcher/http_call.h"
#include "dispatcher/want.h"

#include <microhttpd.h>

#define HTTP_WAIT_MS 30000 /* then 503: the client may ask again */

struct http_waits {
	struct list all; /* those suspended, the oldest first */
	int epoll_fd;    /* readable when there is something to do */
	bool is_awake;   /* a connection was resumed: microhttpd wants to run */
	bool is_stopping;
	struct dispatch *dispatch;
};

int http_waits_init(struct http_waits *waits, struct err *err);
/* Makes epoll_fd readable when fd is, too. */
int http_waits_watch(struct http_waits *waits, int fd, struct err *err);
/* All connections are gone. */
void http_waits_finish(struct http_waits *waits);

/* Waits for a slot of the stream, or answers 503 when too many wait, or this request has waited for long. */
enum MHD_Result http_wait(struct http_call *call, struct dispatch_stream *s, uint32_t slot);
/* The same for a request whose answer is on its way: it goes on when the slot is there again. False: it cannot wait (any longer).
 * *request: NULL at first, and another one than that of microhttpd. */
bool http_wait_midway(struct http_waits *waits, struct MHD_Connection *connection, struct dispatch_stream *s, uint32_t slot,
		      struct http_request **request);
/* The request is over. */
void http_wait_end(struct http_request *request);
/* For a segment. */
bool http_wait_has_waited(const struct http_call *call);
/* The client of the request has left. */
bool http_wait_is_gone(const struct http_call *call);

/* Wakes whose time is up, and ends those whose clients have left. */
void http_waits_work(struct http_waits *waits);
/* Milliseconds until the next one's time is up; -1: none waits. */
int http_waits_next_ms(const struct http_waits *waits);
/* Wakes all, for good. */
void http_waits_stop(struct http_waits *waits);

#endif
