/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool http_call_is_head(const struct http_call *call)
{
	return !strcmp(call->method, MHD_HTTP_METHOD_HEAD);
}

const char *http_call_header(const struct http_call *call, const char *name)
{
	return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

const char *http_call_argument(const struct http_call *call, const char *name)
{
	return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool http_call_has_left(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	char byte;

	return info && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void *http_call_begin(void *http, const char *uri, struct MHD_Connection *connection)
{
	struct http_call *call = calloc(1, sizeof(*call));

	(void)connection;
	if (!call)
		return NULL;
	call->http = http;
	call->http->n_calls++;
	call->uri = strdup(uri);
	clock_gettime(CLOCK_REALTIME, &call->begun);
	return call;
}

void http_call_end(void *http, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct http_call *call = *state;
	bool is_complete = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;

	(void)http;
	http_guard_end(connection);
	if (!call)
		return;
	call->http->n_calls--;
	if (call->http->dispatch)
		metrics_note_http(&call->http->dispatch->metrics, call->status,
				  is_complete && call->connection && !http_call_is_head(call) ? call->bytes : 0);
	if (call->connection)
		http_log_call(call, is_complete);
	if (call->request && call->request->kind == HTTP_REQUEST_PLAY)
		http_play_end(call->request);
	else if (call->request && call->request->kind == HTTP_REQUEST_EVENTS)
		http_events_end(call->request);
	else if (call->request)
		http_wait_end(call->request);
	buf_finish(&call->body);
	free(call->uri);
	free(call);
	*state = NULL;
}
