/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What http.c (which answer a request gets) and its parts share: http_server.c (sockets, the daemon), http_call.c (what is known of a
 * request), http_access.c (who may ask), http_send.c (answers), http_segment.c (segments out of the store), http_wait.c (requests that
 * wait for something to be made), http_play.c (continuous streams), http_api.c (the API), http_events.c (what changes), http_pages.c (the
 * pages), http_log.c (who asked). Nobody else includes this, or microhttpd.h.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_INTERNAL_H
#define SEGFARM_DISPATCHER_HTTP_INTERNAL_H

#include "dispatcher/access.h"
#include "dispatcher/http.h"
#include "dispatcher/http_cache.h"
#include "dispatcher/http_call.h"
#include "dispatcher/http_events.h"
#include "dispatcher/http_guard.h"
#include "dispatcher/http_pages.h"
#include "dispatcher/http_play.h"
#include "dispatcher/http_wait.h"

#include <microhttpd.h>

#define HTTP_TYPE_MP4 "video/mp4"
#define HTTP_TYPE_MP4_AUDIO "audio/mp4"
#define HTTP_TYPE_VTT "text/vtt; charset=utf-8"
#define HTTP_TYPE_PLAYLIST "application/vnd.apple.mpegurl"
#define HTTP_TYPE_MPD "application/dash+xml"
#define HTTP_TYPE_TEXT "text/plain; charset=utf-8"
#define HTTP_TYPE_HTML "text/html; charset=utf-8"
#define HTTP_TYPE_JSON "application/json"
#define HTTP_TYPE_PROBLEM "application/problem+json" /* RFC 9457 */

/* For how long an answer may be kept. */
enum http_keep {
	HTTP_CACHE_NEVER,
	HTTP_CACHE_SHORT,   /* what changes while a title is made: seconds */
	HTTP_CACHE_LONG,    /* what does not any more, unless a person wants it to: a day */
	HTTP_CACHE_FOREVER, /* what never does */
};

#define HTTP_ETAG_SIZE 32

struct http {
	struct MHD_Daemon *daemon;
	int socket; /* ours until the daemon has taken it */
	struct dispatch *dispatch;
	const char *redis_url;
	struct store *store;
	struct buf piece; /* for a moment: what is sent only in part */
	struct http_plays plays;
	struct http_waits waits;
	struct http_guard guard;
	struct http_events events;
	struct http_settings settings;
	struct access access;
	int n_calls; /* requests that are under way */
	bool is_draining;
	struct http_cache cache;
	int log_fd; /* -1: there is no access log */
	char base[CLI_HOST_MAX + 32];
};

/* http.c: for microhttpd. */
enum MHD_Result http_answer(void *http, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
			    const char *upload, size_t *upload_size, void **call);
/* The connection to the store, made when it is first wanted; NULL: it does not answer. */
struct store *http_store(struct http *h, struct err *err);
/* Of another dispatcher's stream we know what we have looked at. */
void http_refresh(struct dispatch *d, struct dispatch_stream *s);

/* --- http_send.c */

/* Sends it, with what all answers have. type NULL: it has no body. Takes the response. */
enum MHD_Result http_send(struct http_call *call, unsigned status, struct MHD_Response *response, const char *type,
			  enum http_keep cache);
/* Something short, that is not to be kept. */
enum MHD_Result http_send_copy(struct http_call *call, unsigned status, const void *data, size_t size, const char *type);
/* RFC 9457. detail: a sentence of what is wrong with this very request. */
enum MHD_Result http_send_problem(struct http_call *call, unsigned status, const char *detail);
/* 204: which methods there are, and which scripts of other pages may use. */
enum MHD_Result http_send_options(struct http_call *call);
/* 503, and what is wrong with the store. */
enum MHD_Result http_send_trouble(struct http_call *call);

/* What of a body is asked for. */
struct http_part {
	unsigned status; /* 200 or 206 */
	uint64_t first, size;
};
/* Looks at the conditions of the request: false: it has been answered (304, 416) with *result. etag: "\"...\"". */
bool http_check_part(struct http_call *call, const char *etag, uint64_t size, enum http_keep cache, struct http_part *part,
		     enum MHD_Result *result);
/* For a body that is known by its tag, and may be asked for in parts. response may be NULL. */
void http_add_tag(struct MHD_Response *response, const char *etag);
/* Sends a whole body from memory: with an entity tag, in parts if that is asked for, compressed if that is of use (texts). Frees it. */
enum MHD_Result http_send_body(struct http_call *call, struct buf *body, const char *type, enum http_keep cache);

/* --- http_access.c: may this be asked for by whoever asks? */

/* Of the API: 0, or the status to answer with and *why. */
unsigned http_check_api(const struct http_call *call, const char **why);
/* Of a URL that may have to be signed: the same. */
unsigned http_check_signature(struct http_call *call, const char **why);
/* Signs what a playlist names, for as long as the playlist's own URL is signed. */
void http_sign_playlist(const struct http_call *call, struct buf *playlist);
void http_sign_mpd(const struct http_call *call, struct buf *mpd);
/* The value of Access-Control-Allow-Origin; NULL: scripts of other pages may not read it. */
const char *http_allowed_origin(const struct http_call *call);

/* --- http_log.c */
/* Anew, if it is open. */
int http_log_open(struct http *h, struct err *err);
void http_log_close(struct http *h);
void http_log_call(const struct http_call *call, bool is_complete);

/* --- http_api.c */
unsigned http_api_check_body(const struct http_call *call, const char **why); /* by the header alone, as above */
enum MHD_Result http_api_answer(struct http_call *call);

/* --- http_api.c: a STREAM that is known here; all dispatchers, as GET /v1/farm has them. */
void http_api_put_stream(struct http *h, const struct dispatch_stream *s, struct buf *json);
int http_api_put_farm(struct http *h, struct store *store, struct buf *json, struct err *err);

/* --- http_ops.c */
enum MHD_Result http_answer_ready(struct http_call *call);
enum MHD_Result http_answer_metrics(struct http_call *call);
/* Of a segment. is_miss: it was made for this request. */
void http_note_first_byte(const struct http_call *call, bool is_miss);

/* --- http_segment.c */
/* Sends the one of that name of the rendition that begins with segment `first`, now or when it is made. */
enum MHD_Result http_send_segment(struct http_call *call, struct dispatch_stream *s, size_t first, const char *name);
/* What the segments of a rendition are. */
const char *http_segment_type(const struct dispatch_stream *s, size_t i);

#endif
