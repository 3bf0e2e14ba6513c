/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A redis-server of the test's own: on a unix socket in a temporary directory, killed with the test.
 * Every function aborts the test with a sentence when it cannot do its job.
 */
#ifndef SEGFARM_TESTS_REDIS_FIXTURE_H
#define SEGFARM_TESTS_REDIS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct redis_fixture {
	pid_t pid; /* 0: not running */
	char dir[64];
	char socket[96];
	char url[128]; /* for store_open */
	bool is_kept;  /* what is in it outlives it */
};

void redis_fixture_start(struct redis_fixture *f);   /* new directory, answers when this returns */
void redis_fixture_start_kept(struct redis_fixture *f); /* the same with an append-only file */
void redis_fixture_kill(struct redis_fixture *f);    /* SIGKILL; everything in it is gone, unless it is kept */
void redis_fixture_restart(struct redis_fixture *f); /* at the same url; kills it first if it runs */
void redis_fixture_stop(struct redis_fixture *f);    /* kills it and removes the directory */
/* Sends one inline command ("TTL x") and returns the first line of the reply (":-1") in static memory. */
const char *redis_fixture_command(const struct redis_fixture *f, const char *command);

#endif
