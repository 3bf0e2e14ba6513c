/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Session: the worker process. Connects to dispatcher and store, says HELLO, then runs one job at a time until told to stop.
 */
#ifndef SEGFARM_WORKER_SESSION_H
#define SEGFARM_WORKER_SESSION_H

#include "common/keys.h"
#include "worker/crash.h"
#include "worker/sandbox.h"

#define SESSION_STORE_MS 10000 /* time-out of a call to the store */
#define SESSION_LINKS_MAX 16 /* dispatchers */

struct session_options {
	/* Where the dispatchers are: ipc://PATH or tcp://ADDRESS:PORT is one; tcp://NAME:PORT as many as the name has addresses; "redis"
	 * those that say so there. Names and Redis are asked again and again. */
	char *const *connect;
	int n_connect;       /* 1 to SESSION_LINKS_MAX */
	struct keys_access *access; /* to all of them */
	const char *redis;   /* the store's URL */
	const char *name;    /* unique; see MSG_NAME_MAX */
	const char *labels;  /* see MSG_LABELS_MAX */
	const char *death;   /* how the one before it in its place ended, "" */
	int64_t death_job;   /* which job that one had in hand; 0: none */
	const char *death_endpoint; /* of which of the dispatchers */
	bool is_killed;      /* it died of a signal from outside */
	int credits;         /* jobs taken in advance, the one in hand included */
	const struct allow *allow;     /* what may be read */
	const struct sandbox *sandbox; /* NULL: none */
	struct crash *crash; /* shared with the pool */
};

/* Exit status of the process. */
int session_main(const struct session_options *options);

#endif
