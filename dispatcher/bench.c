/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"
#include "common/proc.h"
#include "dispatcher/commands.h"
#include "dispatcher/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_DEFAULT 100000
#define WAIT_MS 1000
#define CREDITS 64 /* the dispatcher is measured, not the way to a worker and back */

struct bench_options {
	int n_workers;
	int64_t count;
};

static const struct argp_option bench_argp_options[] = {
	{ "jobs", 'j', "N", 0, "Worker processes (default: one per processor)", 1 },
	{ "count", 'n', "COUNT", 0, "Empty jobs to send through them (default 100000)", 1 },
	{ 0 },
};

static error_t parse_bench(int key, char *arg, struct argp_state *state)
{
	struct bench_options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case 'j':
		o->n_workers = options_parse_int("-j", arg, 1, 1024, state);
		break;
	case 'n':
		o->count = options_parse_int("-n", arg, 1, 1000000, state);
		break;
	case ARGP_KEY_ARG:
		options_check(err_set(&err, ERR_USAGE, "unexpected argument '%.40s'", arg), &err, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp bench_argp = {
	.options = bench_argp_options,
	.parser = parse_bench,
	.doc = "Measures how many jobs per second the dispatcher gets through its workers: empty jobs, a private farm.",
};

/* Runs until the stream has `n_made` jobs behind it. */
static int run_until(struct loop *loop, const struct dispatch_stream *stream, size_t n_made, struct err *err)
{
	int ret = 0;

	while (ret >= 0 && stream->n_made < n_made)
		ret = loop_step(loop, WAIT_MS, err);
	return ret;
}

static int bench(const struct bench_options *o, struct loop *loop, struct err *err)
{
	struct dispatch *d = loop->dispatch;
	struct dispatch_stream *stream;
	int64_t start_us, wall_us, cpu_us;
	int ret = farm_start(loop->farm, o->n_workers, err);

	if (ret >= 0)
		ret = dispatch_init(d, loop->farm->bus, NULL, loop->farm->redis, err);
	if (ret >= 0)
		ret = farm_start_pool(loop->farm, CREDITS, err);
	while (ret >= 0 && d->n_workers < o->n_workers)
		ret = loop_step(loop, WAIT_MS, err);
	if (ret >= 0)
		ret = dispatch_add_noop(d, (size_t)o->count, &stream, err);
	if (ret < 0)
		return ret;
	start_us = proc_now_us();
	cpu_us = proc_cpu_us();
	ret = run_until(loop, stream, (size_t)o->count, err);
	if (ret < 0)
		return ret;
	wall_us = proc_now_us() - start_us;
	printf("%" PRId64 " jobs, %d workers: %" PRId64 ".%03" PRId64 " s, %" PRId64
	       " jobs/s, dispatcher CPU %" PRId64 " us per 1000 jobs\n",
	       o->count, o->n_workers, wall_us / 1000000, wall_us / 1000 % 1000, o->count * 1000000 / (wall_us + 1),
	       (proc_cpu_us() - cpu_us) * 1000 / o->count);
	return 0;
}

int bench_main(int argc, char **argv)
{
	struct bench_options options = { .n_workers = options_n_cpus(), .count = COUNT_DEFAULT };
	struct dispatch dispatch = { 0 };
	struct farm farm = { 0 };
	struct loop loop;
	struct err err = { 0 };
	int ret;

	options_parse(&bench_argp, "segfarm bench-queue", argc, argv, &options);
	ret = loop_init(&loop, &err);
	if (ret >= 0) {
		loop.dispatch = &dispatch;
		loop.farm = &farm;
		ret = bench(&options, &loop, &err);
	}
	if (farm.has_directory)
		farm_stop(&farm);
	dispatch_finish(&dispatch);
	loop_finish(&loop);
	if (ret < 0)
		fprintf(stderr, "segfarm bench-queue: %s\n", err.msg);
	return ret < 0;
}
