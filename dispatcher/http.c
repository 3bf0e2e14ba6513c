/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include "common/key.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/api.h"
#include "dispatcher/cluster.h"
#include "dispatcher/mpd.h"
#include "dispatcher/playlist.h"
#include "dispatcher/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_WAIT_MS 2000
#define REFRESH_MS 2000
#define THROWN_AWAY_MAX ((size_t)1 << 20) /* bytes of a body that is too long, before the connection is cut */

/* --- paths */

/* "/stream/K.mp4" */
static void parse_stream(const char *path, struct http_target *target)
{
	const char *rest = path + RECORD_KEY_SIZE - 1;

	if (strlen(path) != RECORD_KEY_SIZE - 1 + strlen(".mp4") || strcmp(rest, ".mp4"))
		return;
	memcpy(target->key, path, RECORD_KEY_SIZE - 1);
	if (key_is_valid(target->key))
		target->what = HTTP_STREAM;
}

/* "/v1/streams/K", and with something behind it */
static void parse_api_stream(const char *path, struct http_target *target)
{
	static const struct {
		const char *rest;
		enum http_what what;
	} rests[] = { { "", HTTP_API_STREAM }, { "/cancel", HTTP_API_CANCEL }, { "/retry", HTTP_API_RETRY } };

	if (strlen(path) < RECORD_KEY_SIZE - 1)
		return;
	memcpy(target->key, path, RECORD_KEY_SIZE - 1);
	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++)
		if (key_is_valid(target->key) && !strcmp(path + RECORD_KEY_SIZE - 1, rests[i].rest))
			target->what = rests[i].what;
}

static void parse_api(const char *path, struct http_target *target)
{
	if (!strcmp(path, "streams"))
		target->what = HTTP_API_STREAMS;
	else if (!strcmp(path, "farm"))
		target->what = HTTP_API_FARM;
	else if (!strcmp(path, "events"))
		target->what = HTTP_API_EVENTS;
	else if (!strcmp(path, "openapi.json"))
		target->what = HTTP_API_DESCRIPTION;
	else if (!strncmp(path, "streams/", 8))
		parse_api_stream(path + 8, target);
}

/* "R/name": whether there is such a rendition only its plan knows. */
static void parse_rendition(const char *path, struct http_target *target)
{
	size_t n = strspn(path, RECORD_RENDITION_CHARS);

	if (!n || n > RECORD_RENDITION_MAX || path[n] != '/')
		return;
	memcpy(target->rendition, path, n);
	target->name = path + n + 1;
	if (!strcmp(target->name, PLAYLIST_MEDIA))
		target->what = HTTP_MEDIA;
	else if (!strcmp(target->name, PLAYLIST_INIT))
		target->what = HTTP_INIT;
	else if (target->name[0] && !strchr(target->name, '/') && strlen(target->name) < PLAYLIST_NAME_MAX)
		target->what = HTTP_SEGMENT;
}

/* "/hls/K/..." */
static void parse_hls(const char *path, struct http_target *target)
{
	const char *rest = path + RECORD_KEY_SIZE - 1;

	if (strlen(path) < RECORD_KEY_SIZE - 1)
		return;
	memcpy(target->key, path, RECORD_KEY_SIZE - 1);
	if (!key_is_valid(target->key))
		return;
	if (!strcmp(rest, "/" PLAYLIST_MASTER)) {
		target->what = HTTP_MASTER;
		return;
	}
	if (!strcmp(rest, "/" MPD_NAME)) {
		target->what = HTTP_MPD;
		return;
	}
	if (rest[0] == '/')
		parse_rendition(rest + 1, target);
}

void http_parse_path(const char *path, struct http_target *target)
{
	static const struct {
		const char *begin;
		enum http_area area;
		void (*parse)(const char *rest, struct http_target *target);
	} parts[] = {
		{ "/hls/", HTTP_AREA_MEDIA, parse_hls },
		{ "/stream/", HTTP_AREA_MEDIA, parse_stream },
		{ "/v1/", HTTP_AREA_API, parse_api },
	};

	memset(target, 0, sizeof(*target));
	target->page = http_pages_find(path);
	if (target->page >= 0)
		target->what = HTTP_PAGE;
	else if (!strcmp(path, "/healthz"))
		target->what = HTTP_HEALTH;
	else if (!strcmp(path, "/readyz"))
		target->what = HTTP_READY;
	else if (!strcmp(path, "/metrics"))
		target->what = HTTP_METRICS;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strncmp(path, parts[i].begin, strlen(parts[i].begin))) {
			target->area = parts[i].area;
			parts[i].parse(path + strlen(parts[i].begin), target);
		}
}

const char *http_allowed_methods(const struct http_target *target)
{
	switch (target->what) {
	case HTTP_API_STREAMS:
		return "GET, HEAD, OPTIONS, POST";
	case HTTP_API_STREAM:
		return "GET, HEAD, OPTIONS, DELETE";
	case HTTP_API_CANCEL:
	case HTTP_API_RETRY:
		return "OPTIONS, POST";
	default:
		return "GET, HEAD, OPTIONS";
	}
}

/* Whether a method is in that list. */
static bool is_allowed(const struct http_call *call)
{
	const char *list = http_allowed_methods(&call->target), *at;
	size_t n = strlen(call->method);

	for (at = list; n && (at = strstr(at, call->method)); at += n)
		if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

/* --- media */

struct store *http_store(struct http *h, struct err *err)
{
	if (!h->store)
		store_open(&h->store, h->redis_url, STORE_WAIT_MS, err);
	return h->store;
}

static enum MHD_Result answer_init(struct http_call *call, const struct dispatch_stream *s, size_t first)
{
	struct http *h = call->http;
	char which[RECORD_RENDITION_MAX + 6];
	struct buf body = { 0 };
	struct err err = { 0 };
	struct store *store = http_store(h, &err);
	int ret;

	snprintf(which, sizeof(which), "init:%s", call->target.rendition);
	ret = store ? store_get_value(store, s->key, which, &body, &err) : ERR_RETRY;
	if (ret > 0)
		return http_send_body(call, &body, http_segment_type(s, first), HTTP_CACHE_FOREVER);
	buf_finish(&body);
	if (ret)
		return http_send_trouble(call);
	h->dispatch->is_store_suspect |= s->is_mine; /* it was there when the title was planned */
	return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "the init segment is gone and is made again");
}

/* The title that is asked for, with its plan; NULL: *result is what was answered, or the request waits. */
static struct dispatch_stream *find_planned(struct http_call *call, enum MHD_Result *result)
{
	struct dispatch *d = call->http->dispatch;
	struct err err = { 0 };
	struct dispatch_stream *s = cluster_find(d, call->target.key, &err);

	if (s && s->has_plan)
		return s;
	if (!s && (d->is_store_down || err.code))
		*result = http_send_trouble(call);
	else if (!s || s->is_noop)
		*result = http_send_problem(call, MHD_HTTP_NOT_FOUND, "there is no such stream");
	else if (s->state == DISPATCH_FAILED)
		*result = http_send_problem(call, MHD_HTTP_NOT_FOUND, s->error);
	else if (d->is_store_down)
		*result = http_send_trouble(call);
	else
		*result = http_wait(call, s, 0);
	return NULL;
}

/* Of another dispatcher's stream we know what we have looked at. */
void http_refresh(struct dispatch *d, struct dispatch_stream *s)
{
	struct err err;

	if (s->is_mine || s->is_noop || d->is_store_down || proc_now_ms() - s->looked_ms < REFRESH_MS)
		return;
	s->looked_ms = proc_now_ms();
	if (stream_reconcile(d, s, &err) < 0)
		dispatch_note_trouble(d, &err);
}

static enum MHD_Result answer_playlist(struct http_call *call, const struct dispatch_stream *s, size_t first)
{
	enum http_keep cache = s->state == DISPATCH_DONE ? HTTP_CACHE_LONG : HTTP_CACHE_SHORT;
	struct buf body = { 0 };
	uint8_t *gaps;

	if (call->target.what == HTTP_MASTER) {
		playlist_put_master(&s->plan, s->sizes, &body);
	} else {
		gaps = dispatch_gaps(s);
		playlist_put_media(&s->plan, first, gaps, &body);
		free(gaps);
	}
	http_sign_playlist(call, &body);
	return http_send_body(call, &body, HTTP_TYPE_PLAYLIST, cache);
}

/* No template for the names of segments has signatures in it: where URLs are signed each is named. */
static enum MHD_Result answer_mpd(struct http_call *call, const struct dispatch_stream *s)
{
	struct buf body = { 0 };

	mpd_put(&s->plan, s->sizes, call->expires ? MPD_LIST : MPD_TEMPLATE, &body);
	http_sign_mpd(call, &body);
	return http_send_body(call, &body, HTTP_TYPE_MPD, s->state == DISPATCH_DONE ? HTTP_CACHE_LONG : HTTP_CACHE_SHORT);
}

/* Where in the plan the rendition that is asked for begins; -1: there is no such thing. */
static int64_t find_rendition(const struct http_call *call, const struct dispatch_stream *s)
{
	int64_t first;

	if (call->target.what == HTTP_MASTER || call->target.what == HTTP_MPD)
		return 0;
	first = plan_find_rendition(&s->plan, call->target.rendition);
	return first >= 0 && call->target.what == HTTP_INIT && plan_is_text(&s->plan, (size_t)first) ? -1 : first;
}

static enum MHD_Result answer_hls(struct http_call *call)
{
	enum MHD_Result result;
	struct dispatch_stream *s = find_planned(call, &result);
	int64_t first;

	if (!s)
		return result;
	http_refresh(call->http->dispatch, s);
	first = find_rendition(call, s);
	if (first < 0)
		return http_send_problem(call, MHD_HTTP_NOT_FOUND, "this title has no such rendition");
	switch (call->target.what) {
	case HTTP_MPD:
		return answer_mpd(call, s);
	case HTTP_MASTER:
	case HTTP_MEDIA:
		return answer_playlist(call, s, (size_t)first);
	case HTTP_INIT:
		return answer_init(call, s, (size_t)first);
	default:
		return http_send_segment(call, s, (size_t)first, call->target.name);
	}
}

/* It has waited, and something else is to be kept for it. */
static void end_wait(struct http_call *call)
{
	if (call->request)
		http_wait_end(call->request);
	call->request = NULL;
}

/* Whether the request says where to start, and what: 0, or the status to answer with and *why. */
static unsigned parse_start(const struct http_call *call, const struct dispatch_stream *s, int64_t *ticks, const char **why)
{
	const char *text = http_call_argument(call, "start");
	int64_t ns;

	*ticks = 0;
	if (!text)
		return 0;
	*why = "start takes seconds from 0 on, such as start=90.5";
	if (cli_parse_decimal(text, 9, &ns, NULL) < 0)
		return MHD_HTTP_BAD_REQUEST;
	*ticks = timeline_ns_to_ticks(ns);
	*why = "the title has ended by then";
	return *ticks < http_play_duration(s) ? 0 : MHD_HTTP_RANGE_NOT_SATISFIABLE;
}

static enum MHD_Result answer_play(struct http_call *call)
{
	enum MHD_Result result;
	struct dispatch_stream *s = find_planned(call, &result);
	struct err err = { 0 };
	const char *why;
	unsigned status;
	int64_t start;

	if (!s)
		return result;
	status = parse_start(call, s, &start, &why);
	if (status)
		return http_send_problem(call, status, why);
	if (http_call_is_head(call))
		return http_play_send_head(call, s, start);
	if (!http_store(call->http, &err))
		return http_send_trouble(call);
	end_wait(call);
	return http_play_begin(call, s, start);
}

/* What can be told from the header alone; 0: nothing is wrong with it. */
static unsigned check_header(struct http_call *call, const char **why)
{
	bool is_api = call->target.area == HTTP_AREA_API, is_options = !strcmp(call->method, MHD_HTTP_METHOD_OPTIONS);
	unsigned status = is_api && !is_options ? http_check_api(call, why) : 0;

	if (status)
		return status;
	*why = "there is nothing here";
	if (call->target.what == HTTP_NOTHING)
		return MHD_HTTP_NOT_FOUND;
	*why = "only the methods of Allow are answered here";
	if (!is_allowed(call))
		return MHD_HTTP_METHOD_NOT_ALLOWED;
	if (!strcmp(call->method, MHD_HTTP_METHOD_POST))
		return http_api_check_body(call, why);
	*why = "no body is taken here";
	status = http_guard_has_body(call->connection) ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
	if (!status && call->target.area == HTTP_AREA_MEDIA && !is_options)
		status = http_check_signature(call, why);
	return status;
}

/* The header is there. What is wrong is answered before a body is read, and then the connection is over; else in its turn. */
static enum MHD_Result begin(struct http_call *call)
{
	call->wrong = check_header(call, &call->why);
	call->is_unread = call->wrong && http_guard_has_body(call->connection);
	if (!call->is_unread)
		return MHD_YES;
	http_guard_begin(call->connection);
	return http_send_problem(call, call->wrong, call->why);
}

/* What a dispatcher that ends leaves to others. */
static bool is_new_work(const struct http_call *call)
{
	return call->target.what == HTTP_STREAM || (strcmp(call->method, MHD_HTTP_METHOD_GET) && !http_call_is_head(call));
}

static enum MHD_Result answer(struct http_call *call)
{
	if (call->request && call->request->kind == HTTP_REQUEST_PLAY)
		return http_play_answer(call->request);
	if (http_wait_is_gone(call))
		return MHD_NO;
	if (call->wrong)
		return http_send_problem(call, call->wrong, call->why);
	if (!strcmp(call->method, MHD_HTTP_METHOD_OPTIONS))
		return http_send_options(call);
	if (call->target.what == HTTP_HEALTH)
		return http_send_copy(call, MHD_HTTP_OK, "ok\n", 3, HTTP_TYPE_TEXT);
	if (call->target.what == HTTP_PAGE)
		return http_pages_send(call, call->target.page);
	if (call->target.what == HTTP_READY)
		return http_answer_ready(call);
	if (!call->http->dispatch)
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "the farm is starting");
	if (call->target.what == HTTP_METRICS)
		return http_answer_metrics(call);
	if (call->http->is_draining && is_new_work(call))
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "this dispatcher is about to end");
	if (call->target.what == HTTP_API_EVENTS)
		return http_events_send(call);
	if (call->target.area == HTTP_AREA_API)
		return http_api_answer(call);
	if (call->target.what == HTTP_STREAM)
		return answer_play(call);
	return answer_hls(call);
}

/* False: it goes on and on. */
static bool take_body(struct http_call *call, const char *data, size_t size)
{
	if (call->body.size + size <= API_BODY_MAX)
		buf_put(&call->body, data, size);
	else if (size > THROWN_AWAY_MAX - call->n_thrown_away)
		return false;
	else
		call->n_thrown_away += size;
	return true;
}

enum MHD_Result http_answer(void *http, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
			    const char *upload, size_t *upload_size, void **state)
{
	struct http_call *call = *state;
	bool is_taken;

	(void)http;
	if (!call)
		return MHD_NO;
	if (!call->connection) {
		call->connection = connection;
		call->method = method;
		call->version = version;
		call->path = url;
		http_parse_path(url, &call->target);
		return begin(call);
	}
	if (!*upload_size) {
		http_guard_begin(connection); /* the request is complete */
		return answer(call);
	}
	is_taken = take_body(call, upload, *upload_size);
	*upload_size = 0;
	return is_taken ? MHD_YES : MHD_NO;
}
