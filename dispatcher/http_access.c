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

/* --- playlists: lines that are URIs, and URI="..." in the others */

static void put_signed(const struct http_call *call, const char *uri, size_t n, struct buf *out)
{
	const char *slash = strrchr(call->path, '/');
	char path[256], query[ACCESS_QUERY_SIZE];
	int size = snprintf(path, sizeof(path), "%.*s%.*s", (int)(slash + 1 - call->path), call->path, (int)n, uri);

	buf_put(out, uri, n);
	if (size < 0 || (size_t)size >= sizeof(path))
		return;
	access_sign(&call->http->access, path, call->expires, query);
	buf_printf(out, "?%s", query);
}

static void put_line(const struct http_call *call, const char *line, size_t n, struct buf *out)
{
	static const char name[] = "URI=\"";
	const char *at = line, *uri, *end;

	if (n && *line != '#') {
		put_signed(call, line, n, out);
		return;
	}
	while ((uri = memmem(at, n - (size_t)(at - line), name, strlen(name)))) {
		uri += strlen(name);
		end = memchr(uri, '"', n - (size_t)(uri - line));
		if (!end)
			break;
		buf_put(out, at, (size_t)(uri - at));
		put_signed(call, uri, (size_t)(end - uri), out);
		at = end;
	}
	buf_put(out, at, n - (size_t)(at - line));
}

void http_sign_playlist(const struct http_call *call, struct buf *playlist)
{
	const char *text = (const char *)playlist->data, *end = text + playlist->size, *line_end;
	struct buf out = { 0 };

	if (!call->expires || buf_failed(playlist))
		return;
	for (const char *line = text; line < end; line = line_end + 1) {
		line_end = memchr(line, '\n', (size_t)(end - line));
		line_end = line_end ? line_end : end;
		put_line(call, line, (size_t)(line_end - line), &out);
		buf_put_u8(&out, '\n');
	}
	buf_finish(playlist);
	*playlist = out;
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
