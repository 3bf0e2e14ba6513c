/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators ask for: /readyz, /metrics, and the end of it all.
 */
#include "dispatcher/http_internal.h"

#include "dispatcher/health.h"

#include <stdio.h>

enum MHD_Result http_answer_ready(struct http *h, struct MHD_Connection *connection)
{
	char text[HEALTH_TEXT_MAX];
	bool is_ready = health_is_ready(h->dispatch, text);

	return http_send_text(connection, is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

enum MHD_Result http_answer_metrics(struct http *h, struct MHD_Connection *connection)
{
	struct buf body = { 0 };
	enum MHD_Result result;

	health_put_metrics(h->dispatch, MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections, &body);
	result = http_send(connection, MHD_HTTP_OK, MHD_create_response_from_buffer(body.size, body.data, MHD_RESPMEM_MUST_COPY), METRICS_TYPE,
			   HTTP_CACHE_NEVER);
	buf_finish(&body);
	return result;
}

void http_drain(struct http *http)
{
	http->is_draining = true;
	http_waits_stop(&http->waits);
}

bool http_is_busy(const struct http *http)
{
	return http->n_calls > 0;
}
