/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An HTTP client for tests: one request on a connection of its own, its answer as it came.
 */
#ifndef SEGFARM_TESTS_E2E_CLIENT_H
#define SEGFARM_TESTS_E2E_CLIENT_H

#include <jansson.h>
#include <stddef.h>

struct reply {
	int status;
	char *head; /* with its status line, ended by an empty line */
	char *body; /* with a NUL behind it */
	size_t size;
};

/* headers: lines that end with \r\n, or ""; Host is 127.0.0.1:PORT unless they have one. body NULL: none. */
void client_ask(struct reply *r, int port, const char *method, const char *path, const char *headers, const char *body);
/* The same, from bytes: whole requests, one after the other; what comes until the server hangs up. */
char *client_raw(int port, const char *request, size_t size, size_t *n);
void client_free(struct reply *r);

/* The value of a header, to be freed; NULL: it is not there. */
char *client_header(const struct reply *r, const char *name);
/* The test fails unless the header has the value; NULL: unless it is not there. */
void client_check_header(const struct reply *r, const char *name, const char *value);
/* The test fails unless it is a problem document of that status (RFC 9457). Its detail lives as long as the reply's JSON: to be freed. */
char *client_check_problem(const struct reply *r, int status);
json_t *client_json(const struct reply *r); /* to be given to json_decref */

#endif
