/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Several redis-servers of the test's own, on free TCP ports of this host: a cluster, or a master with replicas and sentinels. They die with
 * the test. Every function aborts the test with a sentence when it cannot do its job.
 */
#ifndef SEGFARM_TESTS_REDIS_GROUP_H
#define SEGFARM_TESTS_REDIS_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

#define REDIS_GROUP_MAX 7

struct redis_group {
	char dir[64];
	char url[160]; /* for store_open */
	struct {
		pid_t pid; /* 0: not running */
		int port, bus_port;
	} nodes[REDIS_GROUP_MAX];
	int n;
	int n_data; /* of them; those behind are sentinels */
	bool has_acl; /* the users of deploy/redis/users.acl, their passwords their names; the test itself is "admin" */
};

/* Three masters with a replica each, all in step; and another node that has no slots. */
void redis_group_start_cluster(struct redis_group *g, bool has_acl);
/* A master (node 0) and two replicas, all in step, and three sentinels. */
void redis_group_start_sentinel(struct redis_group *g, bool has_acl);
/* One alone, with the users and these settings of deploy/redis ("segfarm.conf"), but for what keeps something on disk. */
void redis_group_start_one(struct redis_group *g, const char *settings);
void redis_group_kill(struct redis_group *g, int node);  /* SIGKILL */
void redis_group_restart(struct redis_group *g, int node); /* empty, but for what it knows of the cluster */
void redis_group_stop(struct redis_group *g);
/* The url of a user; in static memory. */
const char *redis_group_url(const struct redis_group *g, const char *user, const char *password);

/* What a node answers to a command ("": nothing), each element of an array on a line; in static memory. */
const char *redis_group_ask(const struct redis_group *g, int node, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The running node that is a master and has the slot of that key; without a cluster, the running node that is a master. -1: none (now). */
int redis_group_master_of(const struct redis_group *g, const char *key);
/* The same of the node with a key; "": there is none now. */
const char *redis_group_on_key(const struct redis_group *g, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All slots are served, and each replica that runs is in step. */
void redis_group_wait(const struct redis_group *g);

#endif
