/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who may ask. The API takes a token. Without a token file it is there for this machine alone, and then a browser on it could be made to
 * ask by any page that it shows: by a form or script (it says so in Origin), or by a name that leads here (it says that in Host).
 */
#include "dispatcher/http_internal.h"

#include "dispatcher/http_header.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool is_from_here(const struct http_call *call)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct sockaddr_in four;
	struct sockaddr_in6 six;

	if (!info)
		return false;
	memcpy(&four, info->client_addr, sizeof(four));
	if (four.sin_family == AF_INET)
		return ntohl(four.sin_addr.s_addr) >> 24 == 127;
	memcpy(&six, info->client_addr, sizeof(six));
	return six.sin6_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
}

/* A proxy on this machine asks for others. */
static bool is_passed_on(const struct http_call *call)
{
	return http_call_header(call, "Forwarded") || http_call_header(call, "X-Forwarded-For") || http_call_header(call, "Via");
}

static bool is_listed(const struct http_settings *settings, const char *origin)
{
	for (int i = 0; i < settings->n_origins; i++)
		if (!strcmp(settings->origins[i], origin))
			return true;
	return false;
}

static unsigned check_local(const struct http_call *call, const char **why)
{
	const char *host = http_call_header(call, MHD_HTTP_HEADER_HOST), *origin = http_call_header(call, MHD_HTTP_HEADER_ORIGIN);

	*why = "without --api-token-file the API is for this machine alone";
	if (!is_from_here(call) || is_passed_on(call))
		return MHD_HTTP_FORBIDDEN;
	*why = "without --api-token-file the API is asked for as localhost";
	if (!host || !http_header_is_loopback(host))
		return MHD_HTTP_FORBIDDEN;
	*why = "a page from elsewhere may not ask for this";
	if (origin && !http_header_is_same_origin(origin, host) && !is_listed(&call->http->settings, origin))
		return MHD_HTTP_FORBIDDEN;
	return 0;
}

unsigned http_check_api(const struct http_call *call, const char **why)
{
	const char *header = http_call_header(call, MHD_HTTP_HEADER_AUTHORIZATION), *token = header ? http_header_bearer(header) : NULL;

	if (!call->http->access.has_tokens)
		return check_local(call, why);
	*why = header ? "that is not a token of this server" : "the API takes a token (Authorization: Bearer TOKEN)";
	return token && access_has_token(&call->http->access, token) ? 0 : MHD_HTTP_UNAUTHORIZED;
}

unsigned http_check_signature(struct http_call *call, const char **why)
{
	int ret;

	if (!call->http->access.has_keys)
		return 0;
	ret = access_check(&call->http->access, call->path, http_call_argument(call, "e"), http_call_argument(call, "s"), time(NULL),
			   &call->expires);
	if (ret > 0)
		return 0;
	call->expires = 0;
	*why = ret ? "this URL is not signed, or for something else" : "the time of this URL is over";
	return MHD_HTTP_FORBIDDEN;
}

/* --- playlists: lines that are URIs, and URI="..." in the others; an MPD: sourceURL="..." and media="..." */

static void put_signed(const struct http_call *call, const char *uri, size_t n, struct buf *out)
{
	const char *slash = strrchr(call->path, '/');
	char path[256], query[ACCESS_QUERY_SIZE], *amp;
	int size = snprintf(path, sizeof(path), "%.*s%.*s", (int)(slash + 1 - call->path), call->path, (int)n, uri);

	buf_put(out, uri, n);
	if (size < 0 || (size_t)size >= sizeof(path))
		return;
	access_sign(&call->http->access, path, call->expires, query);
	amp = call->target.what == HTTP_MPD ? strchr(query, '&') : NULL; /* in XML it is written otherwise */
	if (amp)
		buf_printf(out, "?%.*s&amp;%s", (int)(amp - query), query, amp + 1);
	else
		buf_printf(out, "?%s", query);
}

/* What `name` says is signed wherever it is in the line. Was it there? */
static bool put_named(const struct http_call *call, const char *name, const char *line, size_t n, struct buf *out)
{
	const char *at = line, *uri, *end;

	while ((uri = memmem(at, n - (size_t)(at - line), name, strlen(name)))) {
		uri += strlen(name);
		end = memchr(uri, '"', n - (size_t)(uri - line));
		if (!end)
			break;
		buf_put(out, at, (size_t)(uri - at));
		put_signed(call, uri, (size_t)(end - uri), out);
		at = end;
	}
	if (at > line)
		buf_put(out, at, n - (size_t)(at - line));
	return at > line;
}

static void put_line(const struct http_call *call, const char *line, size_t n, struct buf *out)
{
	if (n && *line != '#')
		put_signed(call, line, n, out);
	else if (!put_named(call, "URI=\"", line, n, out))
		buf_put(out, line, n);
}

static void put_mpd_line(const struct http_call *call, const char *line, size_t n, struct buf *out)
{
	if (!put_named(call, " sourceURL=\"", line, n, out) && !put_named(call, " media=\"", line, n, out))
		buf_put(out, line, n);
}

static void sign_lines(const struct http_call *call, struct buf *text,
		       void (*put)(const struct http_call *call, const char *line, size_t n, struct buf *out))
{
	const char *at = (const char *)text->data, *end = at + text->size, *line_end;
	struct buf out = { 0 };

	if (!call->expires || buf_failed(text))
		return;
	for (const char *line = at; line < end; line = line_end + 1) {
		line_end = memchr(line, '\n', (size_t)(end - line));
		line_end = line_end ? line_end : end;
		put(call, line, (size_t)(line_end - line), &out);
		buf_put_u8(&out, '\n');
	}
	buf_finish(text);
	*text = out;
}

void http_sign_playlist(const struct http_call *call, struct buf *playlist)
{
	sign_lines(call, playlist, put_line);
}

void http_sign_mpd(const struct http_call *call, struct buf *mpd)
{
	sign_lines(call, mpd, put_mpd_line);
}

/* --- CORS */

const char *http_allowed_origin(const struct http_call *call)
{
	const struct http_settings *settings = &call->http->settings;
	const char *origin = call->connection ? http_call_header(call, MHD_HTTP_HEADER_ORIGIN) : NULL;

	if (call->target.area == HTTP_AREA_MEDIA && (!settings->n_origins || is_listed(settings, "*")))
		return "*";
	if (call->target.area == HTTP_AREA_PAGES || !origin || !is_listed(settings, origin))
		return NULL;
	return origin;
}
