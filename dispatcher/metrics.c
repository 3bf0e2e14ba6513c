/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/metrics.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const double bounds[METRICS_BUCKETS] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300 };

static const char *const pipelines[METRICS_PIPELINES] = { "probe", "segment_copy", "segment_encode", "stream" };
static const char *const ends[METRICS_ENDS] = { "done", "failed", "cancelled" };
static const char *const steps[METRICS_STEPS] = { "as_planned", "software", "tolerant" };
static const char *const classes[QUEUE_CLASSES] = { "player", "ahead", "precompute" };
static const char *const caches[METRICS_CACHE] = { "hit", "miss" };
static const char *const failures[METRICS_FAILURES] = { "transient", "store", "killed", "lost", "crash", "refused" };
static const char *const codes[METRICS_CLASSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
static const char *const states[METRICS_STATES] = { "probing", "making", "complete", "partial", "failed" };
static const char *const results[2] = { "failed", "ok" };
static const struct {
	int number;
	const char *name;
} signals[METRICS_SIGNALS] = {
	{ SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" }, { SIGABRT, "SIGABRT" }, { SIGFPE, "SIGFPE" }, { SIGILL, "SIGILL" },
	{ SIGSYS, "SIGSYS" }, { SIGKILL, "SIGKILL" }, { SIGTERM, "SIGTERM" }, { SIGALRM, "SIGALRM" }, { 0, "other" },
};

/* --- counting */

static void note(struct metrics_histogram *h, double seconds)
{
	int i = 0;

	seconds = seconds > 0 ? seconds : 0;
	while (i < METRICS_BUCKETS && seconds > bounds[i])
		i++;
	h->buckets[i]++;
	h->sum += seconds;
}

void metrics_note_job(struct metrics *m, enum metrics_pipeline pipeline, int64_t us)
{
	note(&m->job_time[pipeline], (double)us / 1e6);
}

void metrics_note_wait(struct metrics *m, enum queue_class class, int64_t ms)
{
	note(&m->queue_wait[class], (double)ms / 1e3);
}

void metrics_note_first_byte(struct metrics *m, bool is_miss, int64_t us)
{
	note(&m->first_byte[is_miss ? METRICS_MISS : METRICS_HIT], (double)us / 1e6);
}

void metrics_note_http(struct metrics *m, unsigned status, uint64_t bytes)
{
	if (status >= 100 && status < 600)
		m->responses[status / 100 - 1]++;
	m->sent_bytes += bytes;
}

/* worker/pool.c writes the reason. */
void metrics_note_death(struct metrics *m, const char *reason)
{
	int number = 0, i = 0;

	if (sscanf(reason, "killed by signal %d", &number) != 1)
		number = strstr(reason, "deadline") ? SIGALRM : 0;
	while (i < METRICS_SIGNALS - 1 && signals[i].number != number)
		i++;
	m->crashes[i]++;
}

/* --- the text */

static void put_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_labelled(struct buf *out, const char *name, const char *label, const char *value, uint64_t n)
{
	buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, n);
}

static void put_row(struct buf *out, const char *name, const char *type, const char *help, const char *label,
		    const char *const *values, const uint64_t *row, int n)
{
	put_family(out, name, type, help);
	for (int i = 0; i < n; i++)
		put_labelled(out, name, label, values[i], row[i]);
}

static void put_one(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	put_family(out, name, type, help);
	buf_printf(out, "%s %.15g\n", name, value);
}

/* Absent where it is not known. */
static void put_known(struct buf *out, const char *name, const char *type, const char *help, int64_t value)
{
	if (value >= 0)
		put_one(out, name, type, help, (double)value);
}

static void put_histogram(struct buf *out, const char *name, const char *label, const char *value, const struct metrics_histogram *h)
{
	uint64_t n = 0;

	for (int i = 0; i <= METRICS_BUCKETS; i++) {
		n += h->buckets[i];
		buf_printf(out, "%s_bucket{%s=\"%s\",le=\"", name, label, value);
		if (i < METRICS_BUCKETS)
			buf_printf(out, "%g", bounds[i]);
		buf_printf(out, "%s\"} %" PRIu64 "\n", i < METRICS_BUCKETS ? "" : "+Inf", n);
	}
	buf_printf(out, "%s_sum{%s=\"%s\"} %.15g\n%s_count{%s=\"%s\"} %" PRIu64 "\n", name, label, value, h->sum, name, label, value, n);
}

static void put_histograms(struct buf *out, const char *name, const char *help, const char *label, const char *const *values,
			   const struct metrics_histogram *row, int n)
{
	put_family(out, name, "histogram", help);
	for (int i = 0; i < n; i++)
		put_histogram(out, name, label, values[i], &row[i]);
}

static void put_jobs(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	put_one(out, "segfarm_jobs_given_total", "counter", "Jobs that were given to workers.", (double)now->jobs_given);
	put_family(out, "segfarm_jobs_total", "counter", "Attempts at jobs that ended, and how.");
	for (int i = 0; i < METRICS_PIPELINES; i++)
		for (int k = 0; k < METRICS_ENDS; k++)
			buf_printf(out, "segfarm_jobs_total{pipeline=\"%s\",result=\"%s\"} %" PRIu64 "\n", pipelines[i], ends[k],
				   m->jobs[i][k]);
	put_histograms(out, "segfarm_job_duration_seconds", "Time that workers took for jobs that are done.", "pipeline", pipelines,
		       m->job_time, METRICS_PIPELINES);
	put_histograms(out, "segfarm_queue_wait_seconds", "Time that jobs waited until a worker got them.", "class", classes,
		       m->queue_wait, QUEUE_CLASSES);
	put_row(out, "segfarm_job_failures_total", "counter", "Attempts that failed, by what it was.", "kind", failures, m->failures,
		METRICS_FAILURES);
	put_row(out, "segfarm_job_retries_total", "counter", "Attempts that followed a failed one, by how they were made.", "step", steps,
		m->retries, METRICS_STEPS);
	put_one(out, "segfarm_segments_quarantined_total", "counter", "Segments that were given up.", (double)m->quarantined);
	put_row(out, "segfarm_queue_jobs", "gauge", "Jobs that wait for a worker.", "class", classes, now->queue, QUEUE_CLASSES);
	put_one(out, "segfarm_queue_delayed_jobs", "gauge", "Jobs that wait until they are tried again.", (double)now->delayed);
	put_one(out, "segfarm_jobs_in_flight", "gauge", "Jobs that workers have.", (double)now->in_flight);
}

static void put_workers(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	static const char *const busy[] = { "busy", "idle" };
	const uint64_t workers[] = { now->workers_busy, now->workers_idle };

	put_row(out, "segfarm_workers", "gauge", "Worker processes that are connected.", "state", busy, workers, 2);
	put_one(out, "segfarm_workers_lost_total", "counter", "Workers that were given up: silent, gone, or over a deadline.",
		(double)now->workers_lost);
	put_family(out, "segfarm_worker_deaths_total", "counter", "Worker processes that died, by signal.");
	for (int i = 0; i < METRICS_SIGNALS; i++)
		put_labelled(out, "segfarm_worker_deaths_total", "signal", signals[i].name, m->crashes[i]);
	put_one(out, "segfarm_workers_refused_total", "counter", "Workers of other versions that were turned away, each time.",
		(double)now->workers_refused);
	put_one(out, "segfarm_pools", "gauge", "Pools that these workers are of.", (double)now->pools);
	put_one(out, "segfarm_dispatchers", "gauge", "Dispatchers on this Redis that live, this one among them.", (double)now->dispatchers);
	put_one(out, "segfarm_streams_handed_over_total", "counter", "Streams that were handed to other dispatchers, to spread them evenly.",
		(double)now->streams_handed);
	put_one(out, "segfarm_messages_refused_total", "counter", "Messages of workers and strangers that were refused.",
		(double)now->messages_refused);
	put_row(out, "segfarm_streams", "gauge", "Streams that this dispatcher owns.", "state", states, now->streams, METRICS_STATES);
}

static void put_http(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	put_row(out, "segfarm_http_responses_total", "counter", "HTTP responses, by class of their status.", "code", codes, m->responses,
		METRICS_CLASSES);
	put_one(out, "segfarm_http_sent_bytes_total", "counter", "Bytes of bodies that were sent.", (double)m->sent_bytes);
	put_histograms(out, "segfarm_http_first_byte_seconds", "Time from request to first byte of segments: in Redis already, or made for it.",
		       "cache", caches, m->first_byte, METRICS_CACHE);
	put_one(out, "segfarm_http_connections", "gauge", "Open HTTP connections.", (double)now->connections);
	put_one(out, "segfarm_http_requests_waiting", "gauge", "Requests that wait for something to be made.",
		(double)now->requests_waiting);
}

static void put_redis(const struct metrics_now *now, struct buf *out)
{
	put_one(out, "segfarm_redis_up", "gauge", "Redis answers and takes what is written.", now->is_redis_up);
	put_known(out, "segfarm_redis_memory_used_bytes", "gauge", "Memory that Redis has in use.", now->redis_used);
	put_known(out, "segfarm_redis_memory_max_bytes", "gauge", "Memory that Redis may use; 0: any.", now->redis_max);
	put_known(out, "segfarm_redis_evicted_keys_total", "counter", "Keys that Redis dropped for want of memory.", now->redis_evicted);
}

static void put_process(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	put_family(out, "segfarm_build_info", "gauge", "Always 1; the version is a label.");
	buf_printf(out, "segfarm_build_info{version=\"%s\"} 1\n", now->version);
	put_one(out, "segfarm_ready", "gauge", "What /readyz says.", now->is_ready);
	put_one(out, "segfarm_draining", "gauge", "It is on its way to its end.", now->is_draining);
	put_row(out, "segfarm_reloads_total", "counter", "Times that SIGHUP had options, keys and lists read again.", "result", results,
		m->reloads, 2);
	put_one(out, "process_cpu_seconds_total", "counter", "CPU time of this process.", now->cpu_s);
	put_one(out, "process_start_time_seconds", "gauge", "When this process was started, since 1970.", now->start_s);
	put_one(out, "process_resident_memory_bytes", "gauge", "Memory that this process has in use.", (double)now->resident);
	put_one(out, "process_open_fds", "gauge", "Open descriptors of this process.", (double)now->open_fds);
	put_one(out, "process_max_fds", "gauge", "Most descriptors that it may have.", (double)now->max_fds);
}

void metrics_put(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	put_process(m, now, out);
	put_jobs(m, now, out);
	put_workers(m, now, out);
	put_http(m, now, out);
	put_redis(now, out);
}
