/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pool: a small supervisor that never touches media, and has no thread and no connection. Starts N worker processes, and starts
 * them again when they die: at once, then with back-off. Who takes a dead one's place tells the dispatcher what that one died of.
 * Workers are forks of the pool as it was linked: there within a millisecond, and the codecs' tables are in memory once for all.
 * One that does nothing any more is killed: within its job when that should long be over, else when it has not moved for a while.
 * SIGTERM and SIGINT drain the pool: workers finish the job in hand. SIGHUP reads everything again, and has others, with that, take
 * the place of those there are, in the same way.
 */
#ifndef SEGFARM_WORKER_POOL_H
#define SEGFARM_WORKER_POOL_H

#include "common/keys.h"
#include "worker/sandbox.h"

struct pool_options {
	char *const *connect; /* where the dispatchers are: see session.h */
	int n_connect;
	const char *labels;   /* of this pool's workers: see MSG_LABELS_MAX */
	const char *redis;
	struct keys_access *access; /* to the dispatcher */
	int workers; /* 1 to POOL_MAX */
	int credits;
	const struct allow *allow;     /* what workers may read */
	const struct sandbox *sandbox; /* of every worker; NULL: none */
	int drain_ms; /* how long a worker that is to leave may take to finish its job */
	/* At SIGHUP: fills *options anew, but for the number of workers, and these two; false: it stays as it was. May be NULL. */
	bool (*reload)(void *arg, struct pool_options *options);
	void *reload_arg;
};
#define POOL_MAX 1024

int pool_main(struct pool_options *options);

#endif
