/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm of separate programs for a test: a Redis, dispatchers ("segfarm serve"), pools of workers.
 */
#ifndef SEGFARM_TESTS_E2E_STACK_H
#define SEGFARM_TESTS_E2E_STACK_H

#include "tests/e2e/bg.h"
#include "tests/redis_fixture.h"

#define STACK_MAX 3

struct stack {
	struct redis_fixture redis;
	struct bg serve[STACK_MAX], pool[STACK_MAX]; /* pool i connects to dispatcher i */
	char *root[STACK_MAX]; /* "http://127.0.0.1:PORT" of a dispatcher that runs */
};

void stack_open(struct stack *s); /* Redis alone */
/* Starts dispatcher i (again); options may end with FILEs. Media of tests are in its roots. */
void stack_serve(struct stack *s, int i, const char *options);
/* Starts pool i with so many workers (again). */
void stack_pool(struct stack *s, int i, int workers);
/* Everything ends well, with nothing left behind. */
void stack_close(struct stack *s);

/* The key of a title that was given to dispatcher i on its command line; to be freed. */
char *stack_key(const struct stack *s, int i);
/* Runs "segfarm COMMAND --redis ... ARGUMENTS"; exit status, *out to be freed (NULL: not wanted). */
int stack_admin(const struct stack *s, char **out, const char *command, const char *arguments);
/* A number of the JSON status by a jq-like path of Python's: "['streams'][0]['done']". */
long stack_status(const struct stack *s, const char *path);
/* GET of a path of dispatcher i into a file: the HTTP status. */
int stack_get(const struct stack *s, int i, const char *path, const char *file);
/* As a number: what Redis answers, ":5". */
long stack_redis(const struct stack *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
