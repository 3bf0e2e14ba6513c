/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Farm: the private farm of `segfarm run`: a directory only we can enter, in it a redis-server on a unix socket, a pool
 * of workers, and a janitor that removes the directory when we die without having done so. Whatever dies is started
 * again; nothing of it outlives this process.
 */
#ifndef SEGFARM_DISPATCHER_FARM_H
#define SEGFARM_DISPATCHER_FARM_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FARM_DIR_MAX 80 /* a unix socket's path has 107 bytes */
#define FARM_START_MS 10000
#define FARM_MORE_MAX 8
#define FARM_DEATHS_MAX 10 /* of one child within FARM_DEATHS_MS: then something is wrong for good */
#define FARM_DEATHS_MS 30000

enum farm_role { FARM_JANITOR, FARM_REDIS, FARM_POOL, FARM_N_ROLES };

struct farm_child {
	pid_t pid; /* 0: does not run */
	int64_t start_ms; /* when it is to be started again */
	int64_t first_death_ms;
	int n_deaths;
};

struct farm {
	int n_workers;
	int credits; /* of each worker */
	const char *source; /* all that the pool may read: a path, resolved, or a URL; NULL: nothing. Set before it is started */
	bool has_hardware; /* the pool may use GPUs */
	const char *const *more; /* options of the pool besides, ended by NULL, at most FARM_MORE_MAX; NULL: none */
	bool has_directory;
	bool is_old_redis; /* it did not start with all options */
	char dir[FARM_DIR_MAX];
	char bus[FARM_DIR_MAX + 32];   /* endpoint for the dispatcher to bind; may be changed before */
	char redis[FARM_DIR_MAX + 32]; /* URL */
	struct farm_child children[FARM_N_ROLES];
};

/* Janitor, directory and Redis: Redis answers when this returns. ERR_STOPPED: a SIGINT or SIGTERM is pending. */
int farm_start(struct farm *farm, int n_workers, struct err *err);
/* After the dispatcher has bound the bus. credits: jobs that a worker takes in advance, the one in hand included. */
int farm_start_pool(struct farm *farm, int credits, struct err *err);
/* Looks for dead children and starts them again; call at SIGCHLD and at farm_next_ms. < 0: one keeps dying. */
int farm_work(struct farm *farm, struct err *err);
int64_t farm_next_ms(const struct farm *farm); /* INT64_MAX: only at SIGCHLD */
/* Ends all children and removes the directory. */
void farm_stop(struct farm *farm);

/* The janitor's own main: waits for its parent to die, then removes dir. Returns an exit status. */
int farm_janitor(const char *dir, const char *parent);

#endif
