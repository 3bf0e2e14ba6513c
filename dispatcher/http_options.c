/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The options of the HTTP server on the command line.
 */
#include "dispatcher/http.h"

#include "common/options.h"

#include <string.h>

#define CACHE_MAX_MIB 1000000
#define STREAMS_MAX 1000000

enum {
	KEY_CONNECTIONS = 0x400,
	KEY_PER_ADDRESS,
	KEY_CORS,
	KEY_TOKENS,
	KEY_URL_KEYS,
	KEY_URL_LIFETIME,
	KEY_ACCESS_LOG,
	KEY_CACHE,
	KEY_MAX_STREAMS,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What is served over HTTP, and to whom:", 3 },
	{ "max-connections", KEY_CONNECTIONS, "N", 0,
	  "HTTP connections at a time (default 12000; fewer where ulimit -Hn does not allow so many)", 3 },
	{ "max-connections-per-address", KEY_PER_ADDRESS, "N", 0, "Of one client address; raise it behind a proxy (default 4096)", 3 },
	{ "api-token-file", KEY_TOKENS, "FILE", 0,
	  "Who uses the API has one of these tokens, one a line (mode 0600). Without it the API is for this machine alone", 3 },
	{ "url-key-file", KEY_URL_KEYS, "FILE", 0,
	  "Only signed URLs are played: keys of 64 hexadecimal digits, one a line (mode 0600); the first one signs, all are accepted", 3 },
	{ "url-lifetime", KEY_URL_LIFETIME, "SECONDS", 0, "Of the signed URLs that the API gives (default 43200, half a day)", 3 },
	{ "cors", KEY_CORS, "ORIGIN", CONFIG_MANY,
	  "Scripts of pages from there may ask: https://HOST[:PORT], or * for media; may be given more than once (default: any for media, "
	  "none for the API)", 3 },
	{ "access-log", KEY_ACCESS_LOG, "FILE", 0, "Each request is written there, in the combined format; -: on stdout", 3 },
	{ "cache", KEY_CACHE, "MIB", 0, "Memory for segments that are asked for often (default 128)", 3 },
	{ "max-streams", KEY_MAX_STREAMS, "N", 0, "Unfinished streams; then the API takes no more for a while (default 10000)", 3 },
	{ 0 },
};

/* "*", or scheme://host[:port] in the one form that browsers send. */
static int add_origin(struct http_settings *s, const char *origin, struct err *err)
{
	const char *host = strstr(origin, "://");

	if (s->n_origins == HTTP_ORIGINS_MAX)
		return err_set(err, ERR_USAGE, "--cors may be given %d times", HTTP_ORIGINS_MAX);
	if (strcmp(origin, "*") && (!host || host == origin || !host[3] || strpbrk(host + 3, "/?#* \"")))
		return err_set(err, ERR_USAGE, "--cors takes * or https://HOST[:PORT], not '%.80s'", origin);
	s->origins[s->n_origins++] = origin;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct http_settings *s = state->input;
	struct err err = { 0 };

	switch (key) {
	case KEY_CONNECTIONS:
		s->connections = (unsigned)options_parse_int("--max-connections", arg, 1, HTTP_CONNECTIONS_MAX, state);
		break;
	case KEY_PER_ADDRESS:
		s->per_address = (unsigned)options_parse_int("--max-connections-per-address", arg, 1, HTTP_CONNECTIONS_MAX, state);
		break;
	case KEY_TOKENS:
		s->token_file = arg;
		break;
	case KEY_URL_KEYS:
		s->url_key_file = arg;
		break;
	case KEY_URL_LIFETIME:
		s->url_lifetime_s = options_parse_int("--url-lifetime", arg, 1, HTTP_URL_LIFETIME_MAX_S, state);
		break;
	case KEY_CORS:
		options_check(add_origin(s, arg, &err), &err, state);
		break;
	case KEY_ACCESS_LOG:
		s->access_log = arg;
		break;
	case KEY_CACHE:
		s->cache_mib = options_parse_int("--cache", arg, 0, CACHE_MAX_MIB, state);
		break;
	case KEY_MAX_STREAMS:
		s->max_streams = options_parse_int("--max-streams", arg, 1, STREAMS_MAX, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp http_options = { .options = options, .parser = parse };

void http_settings_init(struct http_settings *settings)
{
	*settings = (struct http_settings){ .connections = HTTP_CONNECTIONS, .per_address = HTTP_CONNECTIONS_PER_ADDRESS,
					    .url_lifetime_s = HTTP_URL_LIFETIME_S, .cache_mib = HTTP_CACHE_MIB,
					    .max_streams = HTTP_STREAMS_MAX };
}
