/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The API, as openapi.json beside this file describes it. Calls to the store are made on the loop's thread: there are few of them for
 * a request, however many streams there are.
 */
#include "dispatcher/http_internal.h"

#include "common/json.h"
#include "common/key.h"
#include "dispatcher/api.h"
#include "dispatcher/cluster.h"
#include "dispatcher/command.h"
#include "dispatcher/http_header.h"
#include "dispatcher/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file itself. */
__asm__(".pushsection .rodata\n"
	".global segfarm_openapi, segfarm_openapi_end\n"
	"segfarm_openapi: .incbin \"dispatcher/openapi.json\"\n"
	"segfarm_openapi_end: .byte 0\n"
	".popsection\n");
extern const char segfarm_openapi[], segfarm_openapi_end[];

unsigned http_api_check_body(const struct http_call *call, const char **why)
{
	const char *type = http_call_header(call, MHD_HTTP_HEADER_CONTENT_TYPE);
	const char *length = http_call_header(call, MHD_HTTP_HEADER_CONTENT_LENGTH);

	*why = "no body is taken here";
	if (call->target.what != HTTP_API_STREAMS)
		return http_guard_has_body(call->connection) ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
	*why = "the body is longer than 65536 bytes";
	if (length && strtoull(length, NULL, 10) > API_BODY_MAX)
		return MHD_HTTP_CONTENT_TOO_LARGE;
	*why = "the body is JSON (Content-Type: application/json)";
	return type && http_header_is_type(type, HTTP_TYPE_JSON) ? 0 : MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
}

/* What went wrong, as an answer. */
static enum MHD_Result send_error(struct http_call *call, const struct err *err)
{
	switch (err->code) {
	case ERR_DATA:
		return http_send_problem(call, MHD_HTTP_BAD_REQUEST, err->msg);
	case ERR_USAGE:
		return http_send_problem(call, MHD_HTTP_UNPROCESSABLE_CONTENT, err->msg);
	case ERR_LIMIT:
		return http_send_problem(call, MHD_HTTP_TOO_MANY_REQUESTS, err->msg);
	default:
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, err->msg);
	}
}

static struct api_urls urls_of(const struct http *h)
{
	return (struct api_urls){ &h->access, time(NULL) + h->settings.url_lifetime_s };
}

/* --- lists of streams */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int count_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		      const char *reason)
{
	(void)rendition, (void)start, (void)duration, (void)class_name, (void)attempts, (void)reason;
	++*(int64_t *)arg;
	return 0;
}

static int count_made(struct store *store, const char *key, char *renditions, int64_t *made, struct err *err)
{
	int64_t n;
	int ret = 0;

	for (char *rest, *name = strtok_r(renditions, " ", &rest); name && ret >= 0; name = strtok_r(NULL, " ", &rest)) {
		ret = store_count_commits(store, key, name, &n, err);
		*made += ret < 0 ? 0 : n;
	}
	return ret;
}

/* Of another dispatcher's stream that nobody has asked for here. */
static int put_from_store(struct http *h, const char *key, const struct api_urls *urls, struct buf *json, struct err *err)
{
	char owner[1][STORE_OWNER_SIZE] = { "" }, keys[1][RECORD_KEY_SIZE];
	struct api_stream stream = { 0 };
	struct store_stream what;
	int ret = store_get_stream(h->store, key, &what, err);

	if (ret <= 0)
		return ret == ERR_DATA ? 0 : ret;
	memcpy(keys[0], key, sizeof(keys[0]));
	ret = store_get_owners(h->store, (const char (*)[RECORD_KEY_SIZE])keys, 1, owner, err);
	if (ret >= 0)
		ret = count_made(h->store, key, what.renditions, &stream.made, err);
	if (ret >= 0)
		ret = store_list_fails(h->store, key, count_fail, &stream.failed, err);
	if (ret < 0)
		return ret;
	api_from_store(key, &what, owner[0], &stream);
	jput_open(json, NULL, '{');
	api_put_stream(&stream, urls, json);
	jput_close(json, '}');
	return 1;
}

void http_api_put_stream(struct http *h, const struct dispatch_stream *s, struct buf *json)
{
	struct api_urls urls = urls_of(h);
	struct api_stream stream;

	api_from_dispatch(s, &stream);
	jput_begin(json);
	api_put_stream(&stream, &urls, json);
	jput_close(json, '}');
}

static int put_one(struct http *h, const char *key, const struct api_urls *urls, struct buf *json, struct err *err)
{
	struct dispatch_stream *s = dispatch_find(h->dispatch, key);
	struct api_stream stream;

	if (!s)
		return put_from_store(h, key, urls, json, err);
	if (s->is_noop)
		return 0;
	http_refresh(h->dispatch, s);
	api_from_dispatch(s, &stream);
	jput_open(json, NULL, '{');
	api_put_stream(&stream, urls, json);
	jput_close(json, '}');
	return 1;
}

/* limit and after of the query; false: they are none. */
static bool parse_page(const struct http_call *call, size_t *limit, const char **after)
{
	const char *text = http_call_argument(call, "limit");
	int64_t n = API_LIMIT;

	*after = http_call_argument(call, "after");
	if ((text && cli_parse_int(text, 1, API_LIMIT, &n, NULL) < 0) || (*after && !key_is_valid(*after)))
		return false;
	*limit = (size_t)n;
	return true;
}

static size_t find_behind(char (*keys)[RECORD_KEY_SIZE], size_t n, const char *after)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(keys[middle], after) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static enum MHD_Result answer_list(struct http_call *call, struct store *store)
{
	struct http *h = call->http;
	struct api_urls urls = urls_of(h);
	struct err err = { 0 };
	char (*keys)[RECORD_KEY_SIZE];
	struct buf json = { 0 };
	const char *after;
	size_t limit, first, end, n;
	int ret;

	if (!parse_page(call, &limit, &after))
		return http_send_problem(call, MHD_HTTP_BAD_REQUEST, "limit is a number from 1 to 100, after the key of a stream");
	ret = store_list_streams(store, &keys, &n, &err);
	if (n)
		qsort(keys, n, sizeof(*keys), compare_keys);
	first = after ? find_behind(keys, n, after) : 0;
	end = n - first < limit ? n : first + limit;
	jput_begin(&json);
	jput_open(&json, "streams", '[');
	for (size_t i = first; i < end && ret >= 0; i++)
		ret = put_one(h, keys[i], &urls, &json, &err);
	jput_close(&json, ']');
	if (end < n)
		jput_str(&json, "next", keys[end - 1]);
	else
		jput_null(&json, "next");
	jput_close(&json, '}');
	free(keys);
	if (ret >= 0)
		return http_send_body(call, &json, HTTP_TYPE_JSON, HTTP_CACHE_NEVER);
	buf_finish(&json);
	return send_error(call, &err);
}

/* --- one stream */

struct fails {
	struct api_fail *all;
	size_t n;
	struct err *err;
};

static int note_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		     const char *reason)
{
	struct fails *f = arg;
	struct api_fail *grown, *fail;

	(void)class_name;
	if (f->n == API_FAILS_MAX)
		return 0;
	grown = realloc(f->all, (f->n + 1) * sizeof(*grown));
	if (!grown)
		return err_set(f->err, ERR_NOMEM, "out of memory");
	f->all = grown;
	fail = &grown[f->n++];
	*fail = (struct api_fail){ .start = start, .duration = duration, .attempts = attempts };
	snprintf(fail->rendition, sizeof(fail->rendition), "%s", rendition);
	snprintf(fail->reason, sizeof(fail->reason), "%s", reason);
	return 0;
}

static enum MHD_Result answer_one(struct http_call *call, struct store *store)
{
	struct http *h = call->http;
	struct api_urls urls = urls_of(h);
	struct err err = { 0 };
	struct dispatch_stream *s = cluster_find(h->dispatch, call->target.key, &err);
	struct fails fails = { .err = &err };
	struct api_stream stream;
	struct buf json = { 0 };

	if (!s && (h->dispatch->is_store_down || err.code))
		return http_send_trouble(call);
	if (!s || s->is_noop)
		return http_send_problem(call, MHD_HTTP_NOT_FOUND, "there is no such stream");
	http_refresh(h->dispatch, s);
	if (s->n_quarantined && store_list_fails(store, s->key, note_fail, &fails, &err) < 0) {
		free(fails.all);
		return send_error(call, &err);
	}
	api_from_dispatch(s, &stream);
	jput_begin(&json);
	api_put_stream(&stream, &urls, &json);
	api_put_parts(h->dispatch, s, fails.all, fails.n, &json);
	jput_close(&json, '}');
	free(fails.all);
	return http_send_body(call, &json, HTTP_TYPE_JSON, HTTP_CACHE_NEVER);
}

/* --- commands */

static enum MHD_Result send_json(struct http_call *call, unsigned status, const char *location, struct buf *json)
{
	struct MHD_Response *response = NULL;
	enum MHD_Result result;

	if (!buf_failed(json))
		response = MHD_create_response_from_buffer(json->size, json->data, MHD_RESPMEM_MUST_COPY);
	if (response && location)
		MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
	call->bytes = json->size;
	result = http_send(call, status, response, json->size ? HTTP_TYPE_JSON : NULL, HTTP_CACHE_NEVER);
	buf_finish(json);
	return result;
}

/* Streams of ours that are not made yet, and that somebody wants made. */
static int count_unfinished(const struct dispatch *d)
{
	int n = 0;

	for (int i = 0; i < d->n_streams; i++)
		n += d->streams[i]->is_mine && !d->streams[i]->is_on_demand && d->streams[i]->state < DISPATCH_DONE;
	return n;
}

static enum MHD_Result send_submitted(struct http_call *call, const char *key, bool is_new, const struct store_stream *what)
{
	struct api_urls urls = urls_of(call->http);
	struct dispatch_stream *s = dispatch_find(call->http->dispatch, key);
	struct api_stream stream = { 0 };
	struct buf json = { 0 };
	char location[64];

	if (s)
		api_from_dispatch(s, &stream);
	else
		api_from_store(key, what, "", &stream);
	jput_begin(&json);
	api_put_stream(&stream, &urls, &json);
	jput_close(&json, '}');
	snprintf(location, sizeof(location), "/v1/streams/%s", key);
	return send_json(call, is_new ? MHD_HTTP_CREATED : MHD_HTTP_OK, location, &json);
}

static enum MHD_Result submit(struct http_call *call, struct store *store)
{
	struct dispatch *d = call->http->dispatch;
	struct err err = { 0 };
	struct store_stream what;
	char key[RECORD_KEY_SIZE];
	struct api_submit *s;
	json_t *dispatchers = NULL;
	int ret;

	if (call->n_thrown_away)
		return http_send_problem(call, MHD_HTTP_CONTENT_TOO_LARGE, "the body is longer than 65536 bytes");
	if (!d->allow)
		return http_send_problem(call, MHD_HTTP_FORBIDDEN, "this farm takes no other sources than those it was started with");
	if (count_unfinished(d) >= call->http->settings.max_streams)
		return http_send_problem(call, MHD_HTTP_TOO_MANY_REQUESTS, "so many streams are unfinished that no more are taken now");
	s = malloc(sizeof(*s));
	ret = s ? api_get_submit(buf_bytes(&call->body), s, &err) : err_set(&err, ERR_NOMEM, "out of memory");
	if (ret >= 0 && !(dispatchers = command_list_dispatchers(store, &err)))
		ret = err.code;
	if (ret >= 0)
		ret = command_submit(store, dispatchers, s->source, &s->options, s->is_on_demand, key, &what, &err);
	json_decref(dispatchers);
	free(s);
	if (ret < 0)
		return send_error(call, &err);
	dispatch_look(d, key);
	return send_submitted(call, key, ret, &what);
}

static enum MHD_Result change(struct http_call *call, struct store *store)
{
	int (*command)(struct store *, const json_t *, const char *, struct err *) =
		call->target.what == HTTP_API_CANCEL ? command_cancel : call->target.what == HTTP_API_RETRY ? command_retry : command_remove;
	struct err err = { 0 };
	json_t *dispatchers = command_list_dispatchers(store, &err);
	struct buf none = { 0 };
	int ret = dispatchers ? command(store, dispatchers, call->target.key, &err) : err.code;

	json_decref(dispatchers);
	if (ret < 0)
		return send_error(call, &err);
	if (!ret)
		return http_send_problem(call, MHD_HTTP_NOT_FOUND, "there is no such stream");
	dispatch_look(call->http->dispatch, call->target.key);
	return send_json(call, call->target.what == HTTP_API_STREAM ? MHD_HTTP_NO_CONTENT : MHD_HTTP_ACCEPTED, NULL, &none);
}

/* --- the farm */

/* What we say of ourselves in Redis may be two seconds old. */
static json_t *status_of(const struct dispatch *d, const char *id, json_t *status)
{
	struct buf own = { 0 };
	json_t *now = NULL;

	if (!strcmp(id, d->id)) {
		status_put(d, &own);
		now = json_loadb((const char *)own.data, own.size, 0, NULL);
		buf_finish(&own);
	}
	now = now ? now : json_incref(status);
	json_object_set_new(now, "id", json_string(id));
	return now;
}

int http_api_put_farm(struct http *h, struct store *store, struct buf *json, struct err *err)
{
	json_t *dispatchers = command_list_dispatchers(store, err), *array = dispatchers ? json_array() : NULL, *root, *status;
	const char *id;
	char *text;

	if (!dispatchers)
		return err->code;
	json_object_foreach(dispatchers, id, status)
		json_array_append_new(array, status_of(h->dispatch, id, status));
	root = json_pack("{so}", "dispatchers", array);
	text = json_dumps(root, JSON_COMPACT);
	buf_put_str(json, text ? text : "{}");
	free(text);
	json_decref(root);
	json_decref(dispatchers);
	return 0;
}

static enum MHD_Result answer_farm(struct http_call *call, struct store *store)
{
	struct err err = { 0 };
	struct buf json = { 0 };

	if (http_api_put_farm(call->http, store, &json, &err) < 0)
		return send_error(call, &err);
	return http_send_body(call, &json, HTTP_TYPE_JSON, HTTP_CACHE_NEVER);
}

static enum MHD_Result answer_description(struct http_call *call)
{
	struct buf json = { 0 };

	buf_put(&json, segfarm_openapi, (size_t)(segfarm_openapi_end - segfarm_openapi));
	return http_send_body(call, &json, HTTP_TYPE_JSON, HTTP_CACHE_NEVER);
}

enum MHD_Result http_api_answer(struct http_call *call)
{
	struct err err = { 0 };
	struct store *store = http_store(call->http, &err);
	bool is_get = !strcmp(call->method, MHD_HTTP_METHOD_GET) || http_call_is_head(call);

	if (call->target.what == HTTP_API_DESCRIPTION)
		return answer_description(call);
	if (!store)
		return http_send_trouble(call);
	switch (call->target.what) {
	case HTTP_API_STREAMS:
		return is_get ? answer_list(call, store) : submit(call, store);
	case HTTP_API_STREAM:
		return is_get ? answer_one(call, store) : change(call, store);
	case HTTP_API_FARM:
		return answer_farm(call, store);
	default:
		return change(call, store);
	}
}
