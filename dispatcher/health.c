/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/health.h"

#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/status.h"
#include "dispatcher/stream.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define REDIS_MS 1000 /* between two INFO */

#ifndef SEGFARM_VERSION
#define SEGFARM_VERSION "unknown"
#endif

bool health_is_ready(const struct dispatch *d, char text[HEALTH_TEXT_MAX])
{
	const char *why = NULL;

	if (!d)
		why = "the farm is starting";
	else if (d->is_draining)
		why = "draining: this dispatcher is about to end";
	else if (d->is_store_down)
		why = d->trouble;
	else if (!cluster_is_alive(d, proc_now_ms()))
		why = "the lease in Redis has run out";
	if (why)
		snprintf(text, HEALTH_TEXT_MAX, "%s", why);
	else
		snprintf(text, HEALTH_TEXT_MAX, d->n_workers ? "ready, workers: %d" : "ready, but no worker is connected", d->n_workers);
	return !why;
}

static void ask_redis(struct dispatch *d)
{
	struct err err = { 0 };

	if (d->is_store_down || proc_now_ms() - d->redis_ms < REDIS_MS)
		return;
	if (store_get_info(d->store, &d->redis, &err) < 0) {
		d->redis = (struct store_info){ -1, -1, -1 };
		dispatch_note_trouble(d, &err);
	}
	d->redis_ms = proc_now_ms();
}

static int64_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int64_t n = -3; /* . and .. and this one */

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n < 0 ? 0 : n;
}

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long all, resident = 0;

	if (f && fscanf(f, "%lld %lld", &all, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static void look_at_process(struct metrics_now *now)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	now->cpu_s = (double)proc_cpu_us() / 1e6;
	now->resident = resident_bytes();
	now->open_fds = count_descriptors();
	now->max_fds = (int64_t)limit.rlim_cur;
}

static void look_at_workers(const struct dispatch *d, struct metrics_now *now)
{
	for (int i = 0; i < d->n_workers; i++)
		if (d->queue.workers[d->workers[i]->number]->n_jobs)
			now->workers_busy++;
		else
			now->workers_idle++;
	for (int i = 0; i < d->n_streams; i++)
		now->streams[d->streams[i]->state] += d->streams[i]->is_mine;
}

void health_put_metrics(struct dispatch *d, unsigned connections, struct buf *out)
{
	char text[HEALTH_TEXT_MAX];
	struct metrics_now now = { .version = SEGFARM_VERSION, .connections = connections, .start_s = d->start_s };

	ask_redis(d);
	for (int i = 0; i < QUEUE_CLASSES; i++)
		now.queue[i] = d->queue.n_pending[i];
	now.delayed = d->queue.n_waiting;
	now.in_flight = d->queue.n_in_flight;
	now.requests_waiting = (uint64_t)d->n_wants;
	now.workers_lost = d->counters.workers_lost;
	now.jobs_given = d->counters.jobs_given;
	now.messages_refused = d->counters.messages_refused;
	now.workers_refused = d->counters.workers_refused;
	now.streams_handed = d->counters.streams_handed;
	now.dispatchers = (uint64_t)d->n_beacons;
	now.pools = (uint64_t)status_count_pools(d);
	now.is_ready = health_is_ready(d, text);
	now.is_draining = d->is_draining;
	now.is_redis_up = !d->is_store_down;
	now.redis_used = d->is_store_down ? -1 : d->redis.used;
	now.redis_max = d->is_store_down ? -1 : d->redis.max;
	now.redis_evicted = d->is_store_down ? -1 : d->redis.evicted;
	look_at_workers(d, &now);
	look_at_process(&now);
	metrics_put(&d->metrics, &now, out);
}
