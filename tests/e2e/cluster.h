/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm of separate programs for a test: a Redis, dispatchers ("segfarm serve"), pools of workers.
 */
#ifndef SEGFARM_TESTS_E2E_CLUSTER_H
#define SEGFARM_TESTS_E2E_CLUSTER_H

#include "tests/e2e/bg.h"
#include "tests/redis_fixture.h"

#define CLUSTER_MAX 3

struct cluster {
	struct redis_fixture redis;
	struct bg serve[CLUSTER_MAX], pool[CLUSTER_MAX]; /* pool i connects to dispatcher i */
	char *root[CLUSTER_MAX]; /* "http://127.0.0.1:PORT" of a dispatcher that runs */
};

void cluster_open(struct cluster *s); /* Redis alone */
/* Starts dispatcher i (again); options may end with FILEs. Media of tests are in its roots. */
void cluster_serve(struct cluster *s, int i, const char *options);
/* Starts pool i with so many workers (again). */
void cluster_pool(struct cluster *s, int i, int workers);
/* One that connects to dispatchers 0 and 1. */
void cluster_pool_of_two(struct cluster *s, int i, int workers);
/* Everything ends well, with nothing left behind. */
void cluster_close(struct cluster *s);

/* What `segfarm run -o` makes of a title: the directory, and the names of its n segments in order of time. */
char *cluster_reference(const char *title, char **names, int n);

/* The key of a title that was given to dispatcher i on its command line; to be freed. */
char *cluster_key(const struct cluster *s, int i);
/* Runs "segfarm COMMAND --redis ... ARGUMENTS"; exit status, *out to be freed (NULL: not wanted). */
int cluster_admin(const struct cluster *s, char **out, const char *command, const char *arguments);
/* A number of the JSON status, or how many elements are there: "streams.0.done", "dispatchers.*.queue.player" (of the first). */
long cluster_status(const struct cluster *s, const char *path);
/* GET of a path of dispatcher i into a file: the HTTP status. */
int cluster_get(const struct cluster *s, int i, const char *path, const char *file);
/* As a number: what Redis answers, ":5". */
long cluster_redis(const struct cluster *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
