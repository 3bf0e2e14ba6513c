/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The access log, in the combined format that Apache and nginx write. What opens something stays out of it: signatures, tokens.
 */
#include "dispatcher/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIELD_MAX_BYTES 1024

int http_log_open(struct http *h, struct err *err)
{
	const char *path = h->settings.access_log;
	int fd;

	if (!path)
		return 0;
	if (strcmp(path, "-"))
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	else
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_set(err, ERR_USAGE, "cannot write the access log %.200s: %s", path, strerror(errno));
	http_log_close(h);
	h->log_fd = fd;
	return 0;
}

void http_log_close(struct http *h)
{
	if (h->log_fd >= 0)
		close(h->log_fd);
	h->log_fd = -1;
}

static void put_address(const struct http_call *call, struct buf *line)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char text[NI_MAXHOST];

	if (!info || getnameinfo(info->client_addr, sizeof(struct sockaddr_storage), text, sizeof(text), NULL, 0, NI_NUMERICHOST))
		snprintf(text, sizeof(text), "-");
	buf_put_str(line, text);
}

/* In quotes; what could end a field or the line is escaped, as Apache does. */
static void put_field(struct buf *line, const char *text)
{
	for (size_t i = 0; text && text[i] && i < FIELD_MAX_BYTES; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			buf_printf(line, "\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			buf_printf(line, "\\x%02x", c);
		else
			buf_put_u8(line, c);
	}
}

/* The URI without what its signature is. */
static void put_uri(struct buf *line, const char *uri)
{
	const char *query = strchr(uri, '?'), *sign = query ? strstr(query, "&s=") : NULL;
	char kept[FIELD_MAX_BYTES];
	size_t n;

	if (query && !sign && !strncmp(query, "?s=", 3))
		sign = query;
	n = sign ? (size_t)(sign + 3 - uri) : strlen(uri);
	n = n < sizeof(kept) ? n : sizeof(kept) - 1;
	memcpy(kept, uri, n);
	kept[n] = 0;
	put_field(line, kept);
	if (sign)
		put_field(line, "-");
}

void http_log_call(const struct http_call *call, bool is_complete)
{
	const char *referer = http_call_header(call, MHD_HTTP_HEADER_REFERER), *agent = http_call_header(call, MHD_HTTP_HEADER_USER_AGENT);
	struct buf line = { 0 };
	char when[40] = "";
	struct tm tm;

	if (call->http->log_fd < 0)
		return;
	localtime_r(&call->begun.tv_sec, &tm);
	strftime(when, sizeof(when), "%d/%b/%Y:%H:%M:%S %z", &tm);
	put_address(call, &line);
	buf_printf(&line, " - - [%s] \"", when);
	put_field(&line, call->method);
	buf_put_u8(&line, ' ');
	put_uri(&line, call->uri ? call->uri : "-");
	/* without a status: the client had left before there was an answer */
	buf_printf(&line, " %s\" %u ", call->version, call->status ? call->status : 499);
	if (is_complete && call->bytes && !http_call_is_head(call))
		buf_printf(&line, "%" PRIu64 " \"", call->bytes);
	else
		buf_put_str(&line, "- \"");
	put_field(&line, referer ? referer : "-");
	buf_put_str(&line, "\" \"");
	put_field(&line, agent ? agent : "-");
	buf_put_str(&line, "\"\n");
	if (!buf_failed(&line) && write(call->http->log_fd, line.data, line.size) < 0) {
		/* a disk that is full must not end what is served */
	}
	buf_finish(&line);
}
