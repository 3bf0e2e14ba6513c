/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"
#include "common/proc.h"
#include "dispatcher/commands.h"
#include "dispatcher/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_DEFAULT 100000
#define COUNT_EACH 10  /* jobs of each worker, where they take their time */
#define WAIT_MS 1000
#define CREDITS_MANY 64 /* of empty jobs: the dispatcher is measured, not the way to a worker and back */
#define CREDITS 2       /* as in a farm */
#define KEY_PATH_MAX (FARM_DIR_MAX + 32)

struct bench_options {
	int n_workers;
	int64_t count;    /* 0: not given */
	int64_t sleep_ms; /* that each job takes */
	bool is_tcp;
};

/* TCP with keys, as between hosts. */
struct bench_keys {
	struct keys_access access; /* the dispatcher's */
	char ours[KEY_PATH_MAX], ours_public[KEY_PATH_MAX], theirs[KEY_PATH_MAX], theirs_public[KEY_PATH_MAX];
	const char *more[5]; /* options of the pool */
};

enum { OPT_SERVICE_TIME = 0x1000, OPT_TCP };

static const struct argp_option bench_argp_options[] = {
	{ "jobs", 'j', "N", 0, "Worker processes (default: one per processor)", 1 },
	{ "count", 'n', "COUNT", 0, "Jobs to send through them (default: 100000 empty ones, or 10 for each worker that take their time)", 1 },
	{ "service-time", OPT_SERVICE_TIME, "SECONDS", 0, "How long each job takes: its worker sleeps; 0 to 10, decimals allowed (default 0)", 1 },
	{ "tcp", OPT_TCP, NULL, 0, "Over TCP with CURVE keys, as between hosts", 1 },
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
	case OPT_SERVICE_TIME:
		if (cli_parse_decimal(arg, 3, &o->sleep_ms, &err) < 0 || o->sleep_ms > RECORD_SLEEP_MAX_MS)
			options_check(err_set(&err, ERR_USAGE, "--service-time takes seconds from 0 to 10, not '%.40s'", arg), &err, state);
		break;
	case OPT_TCP:
		o->is_tcp = true;
		break;
	case ARGP_KEY_ARG:
		options_check(err_set(&err, ERR_USAGE, "unexpected argument '%.40s'", arg), &err, state);
		break;
	case ARGP_KEY_END:
		if (!o->count)
			o->count = o->sleep_ms ? (int64_t)o->n_workers * COUNT_EACH : COUNT_DEFAULT;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp bench_argp = {
	.options = bench_argp_options,
	.parser = parse_bench,
	.doc = "Measures the dispatcher on a private farm: how many jobs per second it gets through its workers, what that costs it, and how "
	       "near they come to what so many workers could do.",
};

/* --- TCP */

/* Nobody listens there now. */
static int find_port(int *port, struct err *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		ret = err_set(err, ERR_RETRY, "no free port: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	*port = ntohs(address.sin_port);
	return ret;
}

static int make_keys(const struct farm *farm, const char *name, char path[KEY_PATH_MAX], char public_path[KEY_PATH_MAX], struct err *err)
{
	struct keys_pair pair;
	int ret;

	snprintf(path, KEY_PATH_MAX, "%s/%s.key", farm->dir, name);
	snprintf(public_path, KEY_PATH_MAX, "%s/%s.key.pub", farm->dir, name);
	ret = keys_make(path, &pair, err);
	explicit_bzero(&pair, sizeof(pair));
	return ret;
}

static int use_tcp(struct bench_keys *k, struct farm *farm, struct err *err)
{
	int port = 0, ret = find_port(&port, err);

	if (!ret)
		ret = make_keys(farm, "dispatcher", k->ours, k->ours_public, err);
	if (!ret)
		ret = make_keys(farm, "worker", k->theirs, k->theirs_public, err);
	if (!ret)
		ret = keys_access_open(&k->access, k->ours, k->theirs_public, true, err);
	k->more[0] = "--keys";
	k->more[1] = k->theirs;
	k->more[2] = "--dispatcher-key";
	k->more[3] = k->ours_public;
	farm->more = k->more;
	snprintf(farm->bus, sizeof(farm->bus), "tcp://127.0.0.1:%d", port);
	return ret;
}

/* --- measuring */

/* Runs until the stream has `n_made` jobs behind it. */
static int run_until(struct loop *loop, const struct dispatch_stream *stream, size_t n_made, struct err *err)
{
	int ret = 0;

	while (ret >= 0 && stream->n_made < n_made)
		ret = loop_step(loop, WAIT_MS, err);
	return ret;
}

static int start(const struct bench_options *o, struct bench_keys *keys, struct loop *loop, struct err *err)
{
	struct dispatch *d = loop->dispatch;
	int ret = farm_start(loop->farm, o->n_workers, err);

	if (ret >= 0 && o->is_tcp)
		ret = use_tcp(keys, loop->farm, err);
	if (ret >= 0)
		ret = dispatch_init(d, loop->farm->bus, &keys->access, loop->farm->redis, err);
	if (ret >= 0)
		ret = farm_start_pool(loop->farm, o->sleep_ms ? CREDITS : CREDITS_MANY, err);
	while (ret >= 0 && d->n_workers < o->n_workers)
		ret = loop_step(loop, WAIT_MS, err);
	return ret;
}

static void print(const struct bench_options *o, int64_t wall_us, int64_t cpu_us)
{
	printf("%" PRId64 " jobs", o->count);
	if (o->sleep_ms)
		printf(" of %" PRId64 ".%03" PRId64 " s", o->sleep_ms / 1000, o->sleep_ms % 1000);
	printf(", %d workers%s: %" PRId64 ".%03" PRId64 " s, %" PRId64 " jobs/s, ", o->n_workers, o->is_tcp ? " over TCP with keys" : "",
	       wall_us / 1000000, wall_us / 1000 % 1000, o->count * 1000000 / (wall_us + 1));
	if (o->sleep_ms)
		printf("efficiency %.3f, ", (double)o->count * (double)o->sleep_ms * 1000 / o->n_workers / (double)wall_us);
	printf("dispatcher CPU %" PRId64 " us per 1000 jobs\n", cpu_us * 1000 / o->count);
}

static int bench(const struct bench_options *o, struct bench_keys *keys, struct loop *loop, struct err *err)
{
	struct dispatch_stream *stream;
	int64_t start_us, cpu_us;
	int ret = start(o, keys, loop, err);

	if (ret >= 0)
		ret = dispatch_add_noop(loop->dispatch, (size_t)o->count, o->sleep_ms, &stream, err);
	start_us = proc_now_us();
	cpu_us = proc_cpu_us();
	if (ret >= 0)
		ret = run_until(loop, stream, (size_t)o->count, err);
	if (ret >= 0)
		print(o, proc_now_us() - start_us, proc_cpu_us() - cpu_us);
	return ret;
}

int bench_main(int argc, char **argv)
{
	struct bench_options options = { .n_workers = options_n_cpus() };
	struct bench_keys keys = { 0 };
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
		ret = bench(&options, &keys, &loop, &err);
	}
	if (farm.has_directory)
		farm_stop(&farm);
	dispatch_finish(&dispatch);
	keys_access_finish(&keys.access);
	loop_finish(&loop);
	if (ret < 0)
		fprintf(stderr, "segfarm bench-queue: %s\n", err.msg);
	return ret < 0;
}
