/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guard: what one client may take of the HTTP server. Microhttpd's time-outs begin anew with every byte; here a request has to be
 * complete within a time, and a response to be taken at a rate, else the connection is cut. Internal to http*.c.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_GUARD_H
#define SEGFARM_DISPATCHER_HTTP_GUARD_H

#include "dispatcher/list.h"

#include <microhttpd.h>
#include <stdint.h>

#define HTTP_HEADER_MAX (32 << 10)      /* bytes of a request's header, about; longer: 431 or 414 */
#define HTTP_IDLE_S 60                  /* without a byte */
#define HTTP_REQUEST_MS 60000           /* for a request's header, and between two requests */
#define HTTP_RESPONSE_MS 60000          /* for a response, and a second more for each */
#define HTTP_RESPONSE_RATE (16 << 10)   /* bytes */

struct http_guard {
	struct list all; /* connections */
	int64_t next_ms;
};
void http_guard_init(struct http_guard *guard);

/* Raises the limit of descriptors as far as it goes, and takes `wanted` connections down to what it allows. */
unsigned http_guard_connections(unsigned wanted);

/* For MHD_OPTION_NOTIFY_CONNECTION; arg: the guard. */
void http_guard_notify(void *arg, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code);
/* A request is complete: its answer may take as long as it has to be waited for. */
void http_guard_begin(struct MHD_Connection *connection);
/* The answer is ready: so many bytes are sent from now on. */
void http_guard_send(struct MHD_Connection *connection, uint64_t bytes);
/* It is over, well or not. */
void http_guard_end(struct MHD_Connection *connection);

/* Whether a body follows the header. */
bool http_guard_has_body(struct MHD_Connection *connection);

/* Cuts those whose time is up; call it at least once a second. */
void http_guard_work(struct http_guard *guard, int64_t now_ms);

#endif
