/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm in virtual time around a real queue: a dispatcher that does what dispatcher/dispatch.c does, workers that die, hang, lie and
 * lose their connection, and players that come, seek and go. The test fails where a segment is lost or in flight twice, where one is
 * given up that nothing was done to, where a stream gets more than its share, or where the queue is not whole.
 */
#ifndef SEGFARM_TESTS_DISPATCHER_QUEUE_SIM_H
#define SEGFARM_TESTS_DISPATCHER_QUEUE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_config {
	uint64_t seed;
	int n_workers, n_streams, n_slots, n_players;
	bool has_faults;
	double sigma;        /* of the logarithm of how long a job takes; the median is 4 s */
	bool is_idle;        /* players only: nothing is precomputed or read ahead */
	int64_t horizon_ms;  /* of an idle one; the other ends with its last segment */
};

struct sim_result {
	int64_t virtual_ms;
	int64_t n_given, n_made, n_given_up, n_events;
	int64_t n_refused;       /* messages about jobs that the worker does not hold (any more) */
	int64_t n_late;          /* segments stored after they had been given to another */
	int64_t n_cancels, n_crossed; /* crossed: the job was done all the same */
	int64_t n_waits, p50_ms, p99_ms, max_ms; /* players' */
	int64_t max_passed[3];   /* by class: jobs of others given in a row while some of it were pending */
	int max_apart;           /* jobs by which one stream of a class was ahead of another at a check */
};

void sim_run(const struct sim_config *config, struct sim_result *result);

#endif
