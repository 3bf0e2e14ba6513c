/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Metrics: what a dispatcher counts, and the text that Prometheus reads (exposition format 0.0.4). Pure. No label has a value that comes
 * from outside: there are as many lines always.
 */
#ifndef SEGFARM_DISPATCHER_METRICS_H
#define SEGFARM_DISPATCHER_METRICS_H

#include "common/buf.h"
#include "dispatcher/queue.h"

#include <stdbool.h>
#include <stdint.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metrics_pipeline { METRICS_PROBE, METRICS_COPY, METRICS_ENCODE, METRICS_STREAM, METRICS_PIPELINES };
enum metrics_end { METRICS_DONE, METRICS_FAILED, METRICS_CANCELLED, METRICS_ENDS };
enum metrics_step { METRICS_AS_PLANNED, METRICS_SOFTWARE, METRICS_TOLERANT, METRICS_STEPS };
enum { METRICS_HIT, METRICS_MISS, METRICS_CACHE };

#define METRICS_BUCKETS 16   /* and one for all that is longer */
#define METRICS_SIGNALS 10   /* that have names here; the last is any other */
#define METRICS_CLASSES 5    /* of HTTP: 1xx to 5xx */
#define METRICS_FAILURES QUEUE_CANCELLED /* those of enum queue_failure before it */
#define METRICS_STATES 5     /* enum dispatch_state */

struct metrics_histogram {
	uint64_t buckets[METRICS_BUCKETS + 1];
	double sum;
};

/* Counted as it happens. Zeroed to begin with. */
struct metrics {
	uint64_t jobs[METRICS_PIPELINES][METRICS_ENDS];
	uint64_t failures[METRICS_FAILURES];
	uint64_t retries[METRICS_STEPS];
	uint64_t crashes[METRICS_SIGNALS];
	uint64_t quarantined, reloads[2]; /* that failed, and that did not */
	uint64_t responses[METRICS_CLASSES], sent_bytes;
	struct metrics_histogram job_time[METRICS_PIPELINES], queue_wait[QUEUE_CLASSES], first_byte[METRICS_CACHE];
};

/* Times are milliseconds, microseconds where it says so; one below 0 counts as 0. */
void metrics_note_job(struct metrics *m, enum metrics_pipeline pipeline, int64_t us);
void metrics_note_wait(struct metrics *m, enum queue_class class, int64_t ms);
void metrics_note_first_byte(struct metrics *m, bool is_miss, int64_t us);
/* A response is over: bytes of its body that went out. */
void metrics_note_http(struct metrics *m, unsigned status, uint64_t bytes);
/* reason: what a pool says of a worker that died ("killed by signal 11 (...)"). */
void metrics_note_death(struct metrics *m, const char *reason);

/* What is so just now. */
struct metrics_now {
	uint64_t queue[QUEUE_CLASSES], delayed, in_flight, requests_waiting, connections;
	uint64_t workers_busy, workers_idle, workers_lost, jobs_given, messages_refused, workers_refused, pools;
	uint64_t dispatchers, streams_handed;
	uint64_t streams[METRICS_STATES]; /* that it owns */
	bool is_ready, is_draining, is_redis_up;
	int64_t redis_used, redis_max, redis_evicted; /* -1: not known */
	const char *version;
	/* of this process */
	double cpu_s, start_s;
	int64_t resident, open_fds, max_fds;
};

void metrics_put(const struct metrics *m, const struct metrics_now *now, struct buf *out);

#endif
