/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Session: the worker process. Connects to dispatcher and store, says HELLO, then runs one job at a time until told to stop.
 */
#ifndef SEGFARM_WORKER_SESSION_H
#define SEGFARM_WORKER_SESSION_H

#include "common/keys.h"
#include "worker/crash.h"
#include "worker/sandbox.h"

#define SESSION_LINKS_MAX 16

struct session_options {
	char *const *connect; /* endpoints of the dispatchers */
	int n_connect;       /* 1 to SESSION_LINKS_MAX */
	struct keys_access *access; /* to it */
	const char *redis;   /* the store's URL */
	const char *name;    /* unique; see MSG_NAME_MAX */
	const char *death;   /* how the one before it in its place ended, "" */
	int64_t death_job;   /* which job that one had in hand; 0: none */
	int64_t death_link;  /* of which of the dispatchers */
	bool is_killed;      /* it died of a signal from outside */
	int credits;         /* jobs taken in advance, the one in hand included */
	const struct allow *allow;     /* what may be read */
	const struct sandbox *sandbox; /* NULL: none */
	struct crash *crash; /* shared with the pool */
};

/* Exit status of the process. */
int session_main(const struct session_options *options);

#endif
