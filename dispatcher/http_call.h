/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request, from its first line until its answer is sent: what microhttpd keeps for it. Internal to http*.c.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_CALL_H
#define SEGFARM_DISPATCHER_HTTP_CALL_H

#include "common/buf.h"
#include "dispatcher/http.h"

#include <microhttpd.h>
#include <time.h>

/* What a request has become when it could not be answered at once; first in its struct. */
enum http_request_kind { HTTP_REQUEST_WAIT, HTTP_REQUEST_PLAY, HTTP_REQUEST_EVENTS };
struct http_request {
	enum http_request_kind kind;
};

struct http_call {
	struct http *http;
	struct MHD_Connection *connection; /* NULL: the header is not complete */
	const char *method, *version;
	char *uri;                         /* with its query, as it was sent */
	const char *path;
	struct http_target target;
	int64_t expires;                   /* second that its signature is good until; 0: it has none */
	struct http_request *request;      /* NULL: it has been answered at once, up to now */
	struct buf body;                   /* that was sent with it */
	struct timespec begun;
	unsigned wrong;                    /* status of what is wrong with its header, and why; 0: nothing is */
	const char *why;
	unsigned status;                   /* of the answer; 0: none yet */
	uint64_t bytes;                    /* of its body */
	char range[80];                    /* its Content-Range; "" */
	bool is_by_encoding;               /* it depends on Accept-Encoding */
	bool is_unread;                    /* a body follows that is not read */
	size_t n_thrown_away;              /* bytes of a body that is too long */
};

bool http_call_is_head(const struct http_call *call);
/* A header of the request, NULL: it has none. */
const char *http_call_header(const struct http_call *call, const char *name);
/* A part of the query, as it was sent. */
const char *http_call_argument(const struct http_call *call, const char *name);

/* Microhttpd does not look at a connection that is suspended. */
bool http_call_has_left(struct MHD_Connection *connection);

/* For microhttpd: the first line has come; the request is over. */
void *http_call_begin(void *http, const char *uri, struct MHD_Connection *connection);
void http_call_end(void *http, struct MHD_Connection *connection, void **call, enum MHD_RequestTerminationCode code);

#endif
