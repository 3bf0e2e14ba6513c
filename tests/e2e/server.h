/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm with one small title that is made, for tests of what clients get.
 */
#ifndef SEGFARM_TESTS_E2E_SERVER_H
#define SEGFARM_TESTS_E2E_SERVER_H

#include "tests/e2e/bg.h"
#include "tests/e2e/client.h"
#include "tests/redis_fixture.h"

struct server {
	struct redis_fixture redis;
	struct bg serve, pool;
	const char *title;
	char *key;
	int port;
};

/* options: of serve. When it returns all segments are made. */
void server_start(struct server *s, const char *options);
void server_stop(struct server *s);
/* The port that a `serve` says it listens on. */
int server_port(const struct bg *serve);
/* GET of a path below /hls/KEY/. */
void server_get(const struct server *s, const char *path, const char *headers, struct reply *r);
/* The n-th URI of a playlist, as it stands there; to be freed. */
char *server_uri(const struct reply *playlist, int n);

#endif
