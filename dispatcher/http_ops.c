/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators ask for: /readyz, /metrics, other settings, and the end of it all.
 */
#include "dispatcher/http_internal.h"

#include "dispatcher/health.h"

#include <stdio.h>
#include <string.h>

enum MHD_Result http_answer_ready(struct http_call *call)
{
	char text[HEALTH_TEXT_MAX], line[HEALTH_TEXT_MAX + 1];
	bool is_ready = health_is_ready(call->http->dispatch, text);

	snprintf(line, sizeof(line), "%s\n", text);
	return http_send_copy(call, is_ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, line, strlen(line), HTTP_TYPE_TEXT);
}

enum MHD_Result http_answer_metrics(struct http_call *call)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(call->http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	struct buf body = { 0 };
	enum MHD_Result result = MHD_NO;

	health_put_metrics(call->http->dispatch, info ? info->num_connections : 0, &body);
	if (!buf_failed(&body))
		result = http_send_copy(call, MHD_HTTP_OK, body.data, body.size, METRICS_TYPE);
	buf_finish(&body);
	return result;
}

void http_note_first_byte(const struct http_call *call, bool is_miss)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	metrics_note_first_byte(&call->http->dispatch->metrics, is_miss,
				(now.tv_sec - call->begun.tv_sec) * INT64_C(1000000) + (now.tv_nsec - call->begun.tv_nsec) / 1000);
}

static int load_keys(struct http *http, struct err *err)
{
	return access_load(&http->access, http->settings.token_file, http->settings.url_key_file, err);
}

/* What was made with the others stays. */
int http_reload(struct http *http, const struct http_settings *settings, struct err *err)
{
	struct http_settings old = http->settings;
	int ret;

	http->settings = *settings;
	http->settings.connections = old.connections;
	http->settings.per_address = old.per_address;
	http->settings.cache_mib = old.cache_mib;
	ret = load_keys(http, err);
	if (ret >= 0)
		ret = http_log_open(http, err);
	if (ret < 0) {
		struct err again;

		http->settings = old;
		if (load_keys(http, &again) < 0) /* it has kept those that it had */
			return ret;
	}
	return ret < 0 ? ret : 0;
}

void http_drain(struct http *http)
{
	http->is_draining = true;
	http_waits_stop(&http->waits);
	http_events_stop(&http->events);
}

bool http_is_busy(const struct http *http)
{
	return http->n_calls > 0;
}
