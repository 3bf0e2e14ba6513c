/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Discover: where the dispatchers are at the moment, as endpoints that can be connected to. Who is found is not trusted for that: with
 * keys a dispatcher has to have the one that --dispatcher-key names, wherever its address comes from.
 */
#ifndef SEGFARM_WORKER_DISCOVER_H
#define SEGFARM_WORKER_DISCOVER_H

#include "common/store.h"

#define DISCOVER_REDIS "redis"

struct discovery {
	char (*endpoints)[STORE_ENDPOINT_SIZE]; /* the caller's */
	int n, size;
	bool is_cut; /* there were more */
};

bool discover_has(const struct discovery *d, const char *endpoint);
/* It is one endpoint, and stays it: nothing has to be looked up. */
bool discover_is_fixed(const char *where);
/* Adds what there is behind one of session_options.connect; none twice. < 0: it cannot be told now. May block for some seconds, where
 * a name server does not answer. Of what stands in Redis only what can be reached from here and the options allow is taken: loopback
 * addresses and ipc:// of dispatchers on a host of the same name, and ipc:// only where Redis is on this machine and there are no keys. */
int discover(struct discovery *d, const char *where, struct store *store, bool has_ipc, struct err *err);
/* How this process looks names up from here on: no name server is waited for that long that others would miss us. */
void discover_hurry(void);

#endif
