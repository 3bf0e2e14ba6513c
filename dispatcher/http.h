/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HTTP: playlists, init and segments of the dispatcher's streams, and the API (dispatcher/openapi.json describes it). Only http*.c
 * include microhttpd.h. Runs inside the caller's loop, on the caller's thread; it has a store connection of its own.
 *
 *   /hls/K/master.m3u8   /hls/K/manifest.mpd   /hls/K/R/index.m3u8   /hls/K/R/init.mp4
 *   /hls/K/R/<start>-<duration>.m4s (.vtt; of DASH: <start>.m4s)
 *   /stream/K.mp4?start=SECONDS   /v1/streams[/K[/cancel|/retry]]   /v1/farm   /v1/events   /v1/openapi.json   /healthz   /readyz   /metrics
 *   pages: see http_pages.h
 */
#ifndef SEGFARM_DISPATCHER_HTTP_H
#define SEGFARM_DISPATCHER_HTTP_H

#include "common/cli.h"
#include "dispatcher/dispatch.h"

#include <argp.h>

struct http;

#define HTTP_CONNECTIONS 12000 /* fewer where descriptors do not go so far */
#define HTTP_CONNECTIONS_PER_ADDRESS 4096
#define HTTP_CONNECTIONS_MAX 1000000

#define HTTP_URL_LIFETIME_S (12 * 3600)
#define HTTP_URL_LIFETIME_MAX_S 1000000
#define HTTP_CACHE_MIB 128
#define HTTP_STREAMS_MAX 10000
#define HTTP_ORIGINS_MAX 32

/* All that it points to is the caller's, and outlives the server. */
struct http_settings {
	unsigned connections, per_address;      /* of clients */
	const char *origins[HTTP_ORIGINS_MAX];  /* that scripts may ask from: "*" or scheme://host[:port]; none: any for media, none else */
	int n_origins;
	const char *token_file, *url_key_file;  /* see access.h; NULL: none */
	const char *access_log;                 /* a file, "-": stdout; NULL: none */
	int64_t url_lifetime_s;                 /* of the signed URLs in answers of the API */
	int cache_mib;                          /* for segments that are asked for often */
	int max_streams;                        /* unfinished ones; then the API takes no more */
};
void http_settings_init(struct http_settings *settings); /* the defaults */

extern const struct argp http_options; /* all of these; the input is a struct http_settings */

/* Listens at once; ERR_USAGE names the address when it cannot, or a file. Requests are answered 503 until http_attach. settings NULL:
 * the defaults. */
int http_create(struct http **http, const struct cli_listen *listen, const struct http_settings *settings, struct err *err);
/* Takes over what can change of the settings, reads tokens and keys again, and opens the access log anew. ERR_USAGE: that cannot be,
 * and all is as it was. */
int http_reload(struct http *http, const struct http_settings *settings, struct err *err);
/* Before the end: whoever waits for something to be made is answered 503, and so are those who come; connections are closed behind their
 * responses. */
void http_drain(struct http *http);
/* A response is under way. */
bool http_is_busy(const struct http *http);
/* dispatch and redis_url must outlive it. */
void http_attach(struct http *http, struct dispatch *dispatch, const char *redis_url);
void http_destroy(struct http *http); /* NULL is fine */

/* "http://127.0.0.1:8090", with the port that it really has. */
const char *http_base(const struct http *http);
int http_fd(const struct http *http);
void http_work(struct http *http);
/* Milliseconds until http_work must be called without the descriptor being ready; -1: never. */
int http_timeout_ms(const struct http *http);

/* Pure, for tests: what a path asks for. */
enum http_what {
	HTTP_NOTHING, HTTP_PAGE, HTTP_HEALTH, HTTP_READY, HTTP_METRICS,
	HTTP_MASTER, HTTP_MPD, HTTP_MEDIA, HTTP_INIT, HTTP_SEGMENT, HTTP_STREAM,
	HTTP_API_STREAMS, HTTP_API_STREAM, HTTP_API_CANCEL, HTTP_API_RETRY, HTTP_API_FARM, HTTP_API_EVENTS, HTTP_API_DESCRIPTION,
};
/* Who may ask, from where: also of what is not there. */
enum http_area { HTTP_AREA_PAGES, HTTP_AREA_MEDIA, HTTP_AREA_API };
struct http_target {
	enum http_what what;
	enum http_area area;
	char key[RECORD_KEY_SIZE];
	char rendition[RECORD_RENDITION_MAX + 1];
	const char *name; /* of a segment; points into the path */
	int page;         /* see http_pages.h */
};
void http_parse_path(const char *path, struct http_target *target);
/* The methods that it takes, for Allow: "GET, HEAD". */
const char *http_allowed_methods(const struct http_target *target);

#endif
