/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What http.c and its parts share: http_segment.c (segments out of the store), http_wait.c (requests that wait for something to be
 * made), http_play.c (continuous streams). Nobody else includes this, or microhttpd.h.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_INTERNAL_H
#define SEGFARM_DISPATCHER_HTTP_INTERNAL_H

#include "dispatcher/http.h"
#include "dispatcher/http_guard.h"
#include "dispatcher/http_play.h"
#include "dispatcher/http_wait.h"

#include <microhttpd.h>

#define HTTP_TYPE_MP4 "video/mp4"
#define HTTP_CACHE_NEVER "no-store"

struct http {
	struct MHD_Daemon *daemon;
	int socket; /* ours until the daemon has taken it */
	struct dispatch *dispatch;
	const char *redis_url;
	struct store *store;
	struct http_plays plays;
	struct http_waits waits;
	struct http_guard guard;
	int n_calls; /* requests that are under way */
	bool is_draining;
	char base[CLI_HOST_MAX + 32];
};

/* The connection to the store, made when it is first wanted; NULL: it does not answer. */
struct store *http_store(struct http *h, struct err *err);
enum MHD_Result http_send(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response, const char *type,
			  const char *cache);
enum MHD_Result http_send_text(struct MHD_Connection *connection, unsigned status, const char *text);

/* 503, and what is wrong with the store. */
enum MHD_Result http_send_trouble(struct http *h, struct MHD_Connection *connection);

/* http_ops.c */
enum MHD_Result http_answer_ready(struct http *h, struct MHD_Connection *connection);
enum MHD_Result http_answer_metrics(struct http *h, struct MHD_Connection *connection);

/* http_segment.c: sends it, now or when it is made. */
enum MHD_Result http_send_segment(struct http *h, struct MHD_Connection *connection, struct dispatch_stream *s, const char *name,
				  struct http_request **request);

#endif
