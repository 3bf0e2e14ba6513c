/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm in virtual time around the real queue: how busy are so many workers, and who waits for how long? New titles come at equal
 * intervals and are made ahead. Viewers of what nobody has made ask for a segment every BENCH_SEGMENT_S, as if each were a seek: nothing is
 * read ahead for them. Pure, but for the clock that says how long it took.
 */
#ifndef SEGFARM_DISPATCHER_BENCH_SIMULATE_H
#define SEGFARM_DISPATCHER_BENCH_SIMULATE_H

#include "common/err.h"

#include <stdint.h>

#define BENCH_SEGMENT_S 6
#define BENCH_TITLE_S 3600 /* of one title */
#define BENCH_BUSY 0.7     /* that workers are meant to be: what is left is for those who wait */
#define BENCH_VIEWERS_MAX 10000000
#define BENCH_WORKERS_MAX 100000

struct bench_farm {
	int n_workers;      /* 1 to BENCH_WORKERS_MAX */
	int n_cold;         /* viewers of what has not been made, 0 to BENCH_VIEWERS_MAX */
	double title_hours; /* of new titles a day, >= 0 */
	double core_s;      /* that a second of media takes one worker, > 0 */
};

struct bench_times {
	double virtual_s;       /* that were simulated */
	double busy;            /* share of their time that workers were: 0 to 1 */
	int64_t n_jobs, n_waits; /* done; of viewers */
	int64_t p50_ms, p99_ms; /* from a viewer's request until the segment is made; 0 without one */
	int64_t title_ms;       /* until a title of an hour is made, on average; 0: none was */
	int64_t cpu_us;         /* that all of it took */
	int64_t queue_bytes;    /* that the queue had taken in the end */
};

/* Workers that such a load keeps BENCH_BUSY of the time busy; at least 1. */
int bench_count_workers(int n_cold, double title_hours, double core_s);
/* ERR_NOMEM */
int bench_simulate(const struct bench_farm *farm, struct bench_times *times, struct err *err);

#endif
