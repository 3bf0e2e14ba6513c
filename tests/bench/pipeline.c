/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * bench-pipeline FILE REDIS-URL: what one worker's core does with a title whose tracks are copied. Every figure is the best of some
 * runs over a file that lies in the page cache, beside the limit that was measured in the same run.
 */
#include "tests/jobs.h"

#include <hiredis/hiredis.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 7
#define PIECE (256 << 10)

static struct source source;
static struct store *store;
static char *sink;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-pipeline: %s: %s\n", what, why);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_probe(const struct job *job)
{
	struct task task = { .job = job, .store = store, .source = &source, .tick = jobs_tick };
	struct err err;

	if (probe_run(&task, &err))
		fail("probe", err.msg);
}

/* Seconds for the probe: a mapping that is new each time. */
static double time_probe(const struct job *job)
{
	double best = 1e9;

	for (int i = 0; i < RUNS * 3; i++) {
		source_finish(&source);
		double from = now();
		run_probe(job);
		double took = now() - from;
		best = took < best ? took : best;
	}
	return best;
}

static double time_scan(const struct job *job, int64_t *n)
{
	double best = 1e9;
	struct err err;

	for (int i = 0; i < RUNS; i++) {
		struct frame frame;

		source_finish(&source);
		double from = now();
		if (source_open(&source, &job->source, &err) ||
		    demux_seek(source.demux, source.demux->first, &err))
			fail("scan", err.msg);
		for (*n = 0; demux_next(source.demux, &frame, &err) == 1; ++*n)
			;
		double took = now() - from;
		best = took < best ? took : best;
	}
	return best;
}

/* Into memory: copied there, as a socket would. */
static int put_memory(struct task *task, struct iovec *iov, int n, struct err *err)
{
	size_t at = 0;

	(void)err;
	for (int i = 0; i < n; at += iov[i++].iov_len)
		memcpy(sink + at, iov[i].iov_base, iov[i].iov_len);
	task->bytes = (int64_t)at;
	return 0;
}

/* Seconds for all segments; put NULL: into Redis. */
static double time_segments(const struct job *probe, const struct plan *plan, segment_put_fn *put, int64_t *bytes)
{
	double best = 1e9;
	struct err err;

	for (int run = 0; run < RUNS; run++) {
		double took = 0;

		*bytes = 0;
		source_finish(&source);
		for (size_t i = 0; i < plan->n_segments; i++) {
			struct job job = *probe;
			struct task task = { .job = &job, .store = store, .source = &source, .tick = jobs_tick };
			struct store_segment key = { .stream = JOBS_STREAM, .rendition = RECORD_RENDITION,
						     .start = plan->segments[i].start, .duration = plan->segments[i].duration };

			job_set_segment(&job, plan, i);
			double from = now();
			if (put ? segment_make(&task, put, &err) : segment_run(&task, &err))
				fail("segment", err.msg);
			took += now() - from;
			*bytes += task.bytes;
			if (!put && store_delete_segment(store, &key, (int)(task.bytes / PIECE) + 1, &err))
				fail("delete", err.msg);
			source_forget(&source);
		}
		best = took < best ? took : best;
	}
	return best;
}

static double time_memcpy(size_t n)
{
	char *from = malloc(n);
	double best = 1e9;

	memset(from, 1, n);
	for (int i = 0; i < RUNS; i++) {
		double at = now();
		memcpy(sink, from, n);
		double took = now() - at;
		best = took < best ? took : best;
	}
	free(from);
	return best;
}

/* Redis's own: plain SETs of values as large as our pieces, 16 on the way. */
static double time_set(const char *path, int n)
{
	redisContext *c = redisConnectUnix(path);
	char *value = malloc(PIECE), key[32];
	double best = 1e9;

	if (!c || c->err)
		fail("redis", c ? c->errstr : "out of memory");
	memset(value, 1, PIECE);
	for (int run = 0; run < RUNS; run++) {
		double from = now();

		for (int i = 0; i < n + 16; i++) {
			void *reply = NULL;

			snprintf(key, sizeof key, "bench:%d", i % 64);
			if (i < n && redisAppendCommand(c, "SET %s %b", key, value, (size_t)PIECE))
				fail("redis", c->errstr);
			if (i >= 16 && redisGetReply(c, &reply))
				fail("redis", c->errstr);
			if (reply)
				freeReplyObject(reply);
		}
		double took = now() - from;
		best = took < best ? took : best;
	}
	free(value);
	redisFree(c);
	return best;
}

static void row(const char *what, double bytes, double seconds, const char *limit, double other)
{
	printf("%-52s %8.2f GB/s", what, bytes / seconds / 1e9);
	if (other > 0)
		printf("   %.2f of %s", bytes / seconds / other, limit);
	printf("\n");
}

int main(int argc, char **argv)
{
	int64_t bytes, frames;
	struct job probe;
	struct plan plan;
	struct err err;

	av_log_set_level(AV_LOG_QUIET);
	if (argc != 3 || strncmp(argv[2], "unix://", 7))
		fail("usage", "bench-pipeline FILE unix://REDIS-SOCKET");
	if (jobs_probe(&probe, argv[1], &err))
		fail("source", err.msg);
	size_t size = (size_t)probe.source.size;
	source_init(&source);
	sink = malloc(size + (1 << 20));
	memset(sink, 0, size + (1 << 20));
	if (store_open(&store, argv[2], 10000, &err))
		fail("redis", err.msg);

	printf("%-52s %8.2f ms\n", "probe, with Cues", time_probe(&probe) * 1e3);
	double took = time_scan(&probe, &frames);
	printf("%-52s %8.2f ms   %lld blocks, of %.0f MB\n", "all block headers", took * 1e3, (long long)frames, (double)size / 1e6);
	row("all block headers, of the file's bytes", (double)size, took, "", 0);
	if (jobs_plan(store, &probe, &plan, &err))
		fail("plan", err.msg);
	double copy = (double)size / time_memcpy(size);
	took = time_segments(&probe, &plan, put_memory, &bytes);
	row("segments, copied tracks, into memory", (double)bytes, took, "memcpy", copy);
	double set = 1024.0 * PIECE / time_set(argv[2] + 7, 1024);
	took = time_segments(&probe, &plan, NULL, &bytes);
	row("segments, copied tracks, into Redis", (double)bytes, took, "Redis's own SET of 256 KiB values", set);
	row("Redis's own SET of 256 KiB values", set, 1, "", 0);
	plan_finish(&plan);
	store_close(store);
	source_finish(&source);
	free(sink);
	return 0;
}
