/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allocations that fail on purpose: malloc and its kin of the whole process, libraries included, go through here. Counts those of
 * the thread that watches.
 */
#ifndef SEGFARM_TESTS_WORKER_ALLOC_FAIL_H
#define SEGFARM_TESTS_WORKER_ALLOC_FAIL_H

#include <stdint.h>

/* From now on allocations of this thread less their releases are counted. */
void alloc_fail_watch(void);
/* Ends that: 0 where everything was given back. */
int64_t alloc_fail_unwatch(void);
/* Between these two, allocation number n (from 1) fails, all others do not; 0: none does. The name of the program or library that
 * asked for it is written to who. */
#define ALLOC_FAIL_WHO 64
void alloc_fail_arm(int64_t n, char who[ALLOC_FAIL_WHO]);
/* Returns how many allocations were asked for. */
int64_t alloc_fail_disarm(void);

#endif
