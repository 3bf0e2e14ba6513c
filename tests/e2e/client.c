/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/client.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WAIT_S 100

static int connect_to(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval wait = { .tv_sec = WAIT_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

char *client_raw(int port, const char *request, size_t size, size_t *n)
{
	size_t room = 1 << 16;
	char *text = malloc(room + 1);
	int fd = connect_to(port);
	ssize_t got;

	*n = 0;
	send(fd, request, size, MSG_NOSIGNAL); /* it may be refused before all of it is there */
	while ((got = recv(fd, text + *n, room - *n, 0)) > 0) {
		*n += (size_t)got;
		if (*n == room)
			text = realloc(text, (room *= 2) + 1);
		ck_assert_ptr_nonnull(text);
	}
	close(fd);
	text[*n] = 0;
	return text;
}

void client_ask(struct reply *r, int port, const char *method, const char *path, const char *headers, const char *body)
{
	char *request, *text, *end, length[64] = "", host[64] = "";
	size_t n;
	int size;

	if (body)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
	if (strncasecmp(headers, "Host:", 5))
		snprintf(host, sizeof(host), "Host: 127.0.0.1:%d\r\n", port);
	size = asprintf(&request, "%s %s HTTP/1.1\r\n%s%s%sConnection: close\r\n\r\n%s", method, path, host, headers, length, body ? body : "");
	ck_assert_int_gt(size, 0);
	text = client_raw(port, request, (size_t)size, &n);
	end = strstr(text, "\r\n\r\n");
	ck_assert_msg(end && sscanf(text, "HTTP/1.1 %d", &r->status) == 1, "%s %s: %s", method, path, text);
	r->head = strndup(text, (size_t)(end + 4 - text));
	r->size = n - (size_t)(end + 4 - text);
	r->body = malloc(r->size + 1);
	memcpy(r->body, end + 4, r->size + 1);
	free(text);
	free(request);
}

void client_free(struct reply *r)
{
	free(r->head);
	free(r->body);
	memset(r, 0, sizeof(*r));
}

char *client_header(const struct reply *r, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(r->head, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n"))
		if (!strncasecmp(line + 2, name, n) && line[2 + n] == ':') {
			line += 3 + n;
			line += strspn(line, " ");
			return strndup(line, strcspn(line, "\r"));
		}
	return NULL;
}

void client_check_header(const struct reply *r, const char *name, const char *value)
{
	char *got = client_header(r, name);

	ck_assert_msg(value ? got && !strcmp(got, value) : !got, "%s is '%s', not '%s', in\n%s", name, got ? got : "not there",
		      value ? value : "not there", r->head);
	free(got);
}

json_t *client_json(const struct reply *r)
{
	json_error_t e;
	json_t *json = json_loadb(r->body, r->size, JSON_REJECT_DUPLICATES, &e);

	ck_assert_msg(json != NULL, "%s in %.300s", e.text, r->body);
	return json;
}

char *client_check_problem(const struct reply *r, int status)
{
	const char *type, *title, *detail;
	json_t *json;
	int number;
	char *text;

	ck_assert_msg(r->status == status, "%d, not %d:\n%s%s", r->status, status, r->head, r->body);
	client_check_header(r, "Content-Type", "application/problem+json");
	json = client_json(r);
	ck_assert_msg(!json_unpack(json, "{ss ss si ss !}", "type", &type, "title", &title, "status", &number, "detail", &detail), "%s", r->body);
	ck_assert_int_eq(number, status);
	ck_assert_str_eq(type, "about:blank");
	ck_assert_msg(strstr(r->head, title) && *title, "'%s' is not what %s says", title, r->head);
	ck_assert_uint_gt(strlen(detail), 5);
	text = strdup(detail);
	json_decref(json);
	return text;
}
