/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An HTTP server for tests, on a port of 127.0.0.1; each answer is given by a process.
 */
#ifndef SEGFARM_TESTS_E2E_HTTPD_H
#define SEGFARM_TESTS_E2E_HTTPD_H

#include <stddef.h>

/* Sends what belongs to the path of a GET ("/film.ts"); the connection is closed behind it. */
typedef void httpd_fn(int fd, const char *path);
/* The port. */
int httpd_start(httpd_fn *answer);
void httpd_stop(void);
/* For the answer: sends it all, or the process ends because the client is gone. size < 0: until the connection is closed. */
void httpd_head(int fd, long long size);
void httpd_send(int fd, const void *data, size_t n);

#endif
