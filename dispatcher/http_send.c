/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Answers: what all of them have, problems, and bodies that are asked for in part, compressed, or only if they have changed.
 */
#include "dispatcher/http_internal.h"

#include "common/json.h"
#include "dispatcher/dispatch.h"
#include "dispatcher/http_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

#define GZIP_MIN 1024      /* bytes; less is not worth it */
#define GZIP_MAX (4 << 20) /* more would hold up the loop */
#define RETRY_S "1"

static void add(struct MHD_Response *response, const char *name, const char *value)
{
	MHD_add_response_header(response, name, value);
}

static void add_cache(const struct http_call *call, struct MHD_Response *response, enum http_keep cache)
{
	static const int64_t ages[] = { [HTTP_CACHE_SHORT] = 4, [HTTP_CACHE_LONG] = 86400, [HTTP_CACHE_FOREVER] = 31536000 };
	int64_t left = call->expires ? call->expires - time(NULL) : INT64_MAX;
	char text[80];

	if (cache == HTTP_CACHE_NEVER || left <= 0) {
		add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
		return;
	}
	snprintf(text, sizeof(text), "%s, max-age=%" PRId64 "%s", call->expires ? "private" : "public",
		 ages[cache] < left ? ages[cache] : left, cache == HTTP_CACHE_FOREVER ? ", immutable" : "");
	add(response, MHD_HTTP_HEADER_CACHE_CONTROL, text);
}

static void add_cors(const struct http_call *call, struct MHD_Response *response)
{
	const char *origin = http_allowed_origin(call);
	bool is_by_origin = call->http->settings.n_origins && call->target.area != HTTP_AREA_PAGES;

	if (call->is_by_encoding || is_by_origin)
		add(response, MHD_HTTP_HEADER_VARY,
		    !is_by_origin ? "Accept-Encoding" : call->is_by_encoding ? "Accept-Encoding, Origin" : "Origin");
	if (!origin)
		return;
	add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, origin);
	add(response, "Access-Control-Expose-Headers",
	    "Content-Length, Content-Range, ETag, Location, Retry-After, X-Content-Duration, X-Estimated-Content-Length, X-Gap-Reason");
}

enum MHD_Result http_send(struct http_call *call, unsigned status, struct MHD_Response *response, const char *type,
			  enum http_keep cache)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	if (type)
		add(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	add(response, "X-Content-Type-Options", "nosniff");
	add_cache(call, response, cache);
	add_cors(call, response);
	if (call->target.what == HTTP_PAGE) {
		add(response, "Content-Security-Policy", HTTP_PAGES_POLICY);
		add(response, "Referrer-Policy", "no-referrer"); /* its address may be a key to what it plays */
	}
	if (call->range[0])
		add(response, MHD_HTTP_HEADER_CONTENT_RANGE, call->range);
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE || status == MHD_HTTP_TOO_MANY_REQUESTS)
		add(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_S);
	if (status == MHD_HTTP_UNAUTHORIZED)
		add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		add(response, MHD_HTTP_HEADER_ALLOW, http_allowed_methods(&call->target));
	if (call->is_unread || call->http->is_draining) /* what comes next is no request */
		add(response, MHD_HTTP_HEADER_CONNECTION, "close");
	call->status = status;
	result = MHD_queue_response(call->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static struct MHD_Response *copy(const void *data, size_t size)
{
	return MHD_create_response_from_buffer(size, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY);
}

enum MHD_Result http_send_copy(struct http_call *call, unsigned status, const void *data, size_t size, const char *type)
{
	call->bytes = size;
	http_guard_send(call->connection, size);
	return http_send(call, status, copy(data, size), type, HTTP_CACHE_NEVER);
}

enum MHD_Result http_send_problem(struct http_call *call, unsigned status, const char *detail)
{
	struct buf body = { 0 };
	enum MHD_Result result = MHD_NO;

	jput_begin(&body);
	jput_str(&body, "type", "about:blank");
	jput_str(&body, "title", MHD_get_reason_phrase_for(status));
	jput_int(&body, "status", status);
	jput_str(&body, "detail", detail);
	jput_close(&body, '}');
	call->is_by_encoding = false;
	if (!buf_failed(&body))
		result = http_send_copy(call, status, body.data, body.size, HTTP_TYPE_PROBLEM);
	buf_finish(&body);
	return result;
}

enum MHD_Result http_send_trouble(struct http_call *call)
{
	const struct dispatch *d = call->http->dispatch;

	return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, d->is_store_down ? d->trouble : "the store does not answer");
}

enum MHD_Result http_send_options(struct http_call *call)
{
	struct MHD_Response *response = copy("", 0);

	if (response) {
		add(response, MHD_HTTP_HEADER_ALLOW, http_allowed_methods(&call->target));
		if (http_allowed_origin(call)) {
			add(response, "Access-Control-Allow-Methods", http_allowed_methods(&call->target));
			add(response, "Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Range, X-Playback-Session-Id");
			add(response, "Access-Control-Max-Age", "86400");
		}
	}
	return http_send(call, MHD_HTTP_NO_CONTENT, response, NULL, HTTP_CACHE_NEVER);
}

/* --- parts */

/* False: that is not there. */
static bool choose_part(struct http_call *call, const char *etag, uint64_t size, struct http_part *part)
{
	const char *range = http_call_is_head(call) ? NULL : http_call_header(call, MHD_HTTP_HEADER_RANGE);
	const char *only_if = http_call_header(call, MHD_HTTP_HEADER_IF_RANGE);
	uint64_t first, last;
	int ret = range && (!only_if || !strcmp(only_if, etag)) ? http_header_range(range, size, &first, &last) : 0;

	*part = (struct http_part){ .status = MHD_HTTP_OK, .size = size };
	if (ret < 0) {
		snprintf(call->range, sizeof(call->range), "bytes */%" PRIu64, size);
		return false;
	}
	if (ret) {
		*part = (struct http_part){ MHD_HTTP_PARTIAL_CONTENT, first, last - first + 1 };
		snprintf(call->range, sizeof(call->range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size);
	}
	return true;
}

/* What has not changed since. */
static bool is_known(const struct http_call *call, const char *etag)
{
	const char *tags = http_call_header(call, MHD_HTTP_HEADER_IF_NONE_MATCH);

	return tags && http_header_has_tag(tags, etag);
}

static enum MHD_Result send_known(struct http_call *call, const char *etag, enum http_keep cache)
{
	struct MHD_Response *response = copy("", 0);

	if (response)
		add(response, MHD_HTTP_HEADER_ETAG, etag);
	return http_send(call, MHD_HTTP_NOT_MODIFIED, response, NULL, cache);
}

bool http_check_part(struct http_call *call, const char *etag, uint64_t size, enum http_keep cache, struct http_part *part,
		     enum MHD_Result *result)
{
	if (is_known(call, etag)) {
		*result = send_known(call, etag, cache);
		return false;
	}
	if (!choose_part(call, etag, size, part)) {
		*result = http_send_problem(call, MHD_HTTP_RANGE_NOT_SATISFIABLE, "the range lies behind the end");
		return false;
	}
	call->bytes = part->size;
	return true;
}

void http_add_tag(struct MHD_Response *response, const char *etag)
{
	if (!response)
		return;
	add(response, MHD_HTTP_HEADER_ETAG, etag);
	add(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

/* --- bodies in memory */

static bool is_text(const char *type)
{
	return strncmp(type, "video/", 6) && strncmp(type, "audio/", 6);
}

/* Appends the body, compressed. */
static bool compress_body(const struct buf *body, struct buf *out)
{
	z_stream z = { .next_in = body->data, .avail_in = (unsigned)body->size };
	uint8_t *to;
	int ret;

	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	z.avail_out = (unsigned)deflateBound(&z, (unsigned long)body->size);
	to = buf_grow(out, z.avail_out);
	z.next_out = to;
	ret = to ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	deflateEnd(&z);
	out->size = z.total_out;
	return ret == Z_STREAM_END;
}

static enum MHD_Result send_compressed(struct http_call *call, struct buf *body, const char *etag, const char *type,
				       enum http_keep cache)
{
	struct MHD_Response *response;
	struct buf out = { 0 };
	enum MHD_Result result;

	if (is_known(call, etag))
		return send_known(call, etag, cache);
	if (!compress_body(body, &out)) {
		buf_finish(&out);
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	}
	response = copy(out.data, out.size);
	if (response) {
		add(response, MHD_HTTP_HEADER_ETAG, etag);
		add(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	}
	call->bytes = out.size;
	http_guard_send(call->connection, out.size);
	result = http_send(call, MHD_HTTP_OK, response, type, cache);
	buf_finish(&out);
	return result;
}

static enum MHD_Result send_plain(struct http_call *call, struct buf *body, const char *etag, const char *type, enum http_keep cache)
{
	struct MHD_Response *response;
	struct http_part part;
	enum MHD_Result result;

	if (!http_check_part(call, etag, body->size, cache, &part, &result))
		return result;
	response = copy(body->data + part.first, (size_t)part.size);
	http_add_tag(response, etag);
	http_guard_send(call->connection, part.size);
	return http_send(call, part.status, response, type, cache);
}

enum MHD_Result http_send_body(struct http_call *call, struct buf *body, const char *type, enum http_keep cache)
{
	bool is_big_enough = body->size >= GZIP_MIN && body->size <= GZIP_MAX, is_gzip;
	char etag[HTTP_ETAG_SIZE];
	enum MHD_Result result;

	if (buf_failed(body)) {
		buf_finish(body);
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	}
	call->is_by_encoding = is_text(type);
	is_gzip = is_text(type) && is_big_enough && http_header_takes_gzip(http_call_header(call, MHD_HTTP_HEADER_ACCEPT_ENCODING));
	snprintf(etag, sizeof(etag), "\"%016" PRIx64 "%s\"", XXH3_64bits(body->data, body->size), is_gzip ? "-gz" : "");
	result = is_gzip ? send_compressed(call, body, etag, type, cache) : send_plain(call, body, etag, type, cache);
	buf_finish(body);
	return result;
}
