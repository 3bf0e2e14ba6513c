/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pool: a small supervisor that never touches media. Starts N worker processes, starts them again when they die (at once, then with
 * back-off), and tells the dispatcher which one died of what.
 */
#ifndef SEGFARM_WORKER_POOL_H
#define SEGFARM_WORKER_POOL_H

struct pool_options {
	const char *connect, *redis;
	int workers; /* 1 to POOL_MAX */
	int credits;
};
#define POOL_MAX 1024

int pool_main(const struct pool_options *options);

#endif
