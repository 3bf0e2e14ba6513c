/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"
#include "common/proc.h"
#include "dispatcher/bench_simulate.h"
#include "dispatcher/commands.h"
#include "dispatcher/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FARM_MAX 1024
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
	/* simulation */
	bool is_simulated;
	int64_t viewers, hours, cold, core_us, bitrate, days; /* hours: thousandths; cold: of 10000; bitrate: kbit/s */
};

/* TCP with keys, as between hosts. */
struct bench_keys {
	struct keys_access access; /* the dispatcher's */
	char ours[KEY_PATH_MAX], ours_public[KEY_PATH_MAX], theirs[KEY_PATH_MAX], theirs_public[KEY_PATH_MAX];
	const char *more[5]; /* options of the pool */
};

enum { OPT_SERVICE_TIME = 0x1000, OPT_TCP, OPT_VIEWERS, OPT_HOURS, OPT_COLD, OPT_CPU, OPT_BITRATE, OPT_DAYS };

static const struct argp_option bench_argp_options[] = {
	{ "jobs", 'j', "N", 0, "Worker processes (default: one per processor)", 1 },
	{ "count", 'n', "COUNT", 0, "Jobs to send through them (default: 100000 empty ones, or 10 for each worker that take their time)", 1 },
	{ "service-time", OPT_SERVICE_TIME, "SECONDS", 0, "How long each job takes: its worker sleeps; 0 to 10, decimals allowed (default 0)", 1 },
	{ "tcp", OPT_TCP, NULL, 0, "Over TCP with CURVE keys, as between hosts", 1 },
	{ NULL, 0, NULL, 0, "A farm in virtual time instead: how large does it have to be?", 2 },
	{ "viewers", OPT_VIEWERS, "N", 0, "Viewers at a time", 2 },
	{ "hours", OPT_HOURS, "HOURS", 0, "New titles a day, together so long; they are made ahead", 2 },
	{ "cold", OPT_COLD, "PERCENT", 0, "Of what is watched, what nobody has made yet (default 1)", 2 },
	{ "cpu", OPT_CPU, "SECONDS", 0, "Of one core, for a second of media (default 0.022: video copied, audio encoded)", 2 },
	{ "bitrate", OPT_BITRATE, "KBIT", 0, "Of the media, in kb/s (default 6500)", 2 },
	{ "days", OPT_DAYS, "DAYS", 0, "That titles are kept in Redis (default 7)", 2 },
	{ 0 },
};

static void parse_number(const char *option, const char *arg, int digits, int64_t max, int64_t *value, struct argp_state *state)
{
	struct err err = { 0 };

	if (cli_parse_decimal(arg, digits, value, &err) < 0 || *value > max)
		options_check(err_set(&err, ERR_USAGE, "%s takes a number that is not below 0 nor too large, not '%.40s'", option, arg), &err,
			      state);
}

static bool parse_simulation(int key, const char *arg, struct bench_options *o, struct argp_state *state)
{
	switch (key) {
	case OPT_VIEWERS:
		parse_number("--viewers", arg, 0, BENCH_VIEWERS_MAX, &o->viewers, state);
		o->is_simulated = true;
		break;
	case OPT_HOURS:
		parse_number("--hours", arg, 3, 1000000000, &o->hours, state);
		o->is_simulated = true;
		break;
	case OPT_COLD:
		parse_number("--cold", arg, 2, 10000, &o->cold, state);
		break;
	case OPT_CPU:
		parse_number("--cpu", arg, 6, 1000000000, &o->core_us, state);
		break;
	case OPT_BITRATE:
		parse_number("--bitrate", arg, 0, 10000000, &o->bitrate, state);
		break;
	case OPT_DAYS:
		parse_number("--days", arg, 0, 100000, &o->days, state);
		break;
	default:
		return false;
	}
	return true;
}

static error_t parse_bench(int key, char *arg, struct argp_state *state)
{
	struct bench_options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case 'j':
		o->n_workers = options_parse_int("-j", arg, 1, BENCH_WORKERS_MAX, state);
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
		if (!o->is_simulated && o->n_workers > FARM_MAX)
			options_check(err_set(&err, ERR_USAGE, "-j is at most %d", FARM_MAX), &err, state);
		if (!o->n_workers && !o->is_simulated)
			o->n_workers = options_n_cpus();
		if (!o->count)
			o->count = o->sleep_ms ? (int64_t)o->n_workers * COUNT_EACH : COUNT_DEFAULT;
		break;
	default:
		return parse_simulation(key, arg, o, state) ? 0 : ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp bench_argp = {
	.options = bench_argp_options,
	.parser = parse_bench,
	.doc = "Measures the dispatcher on a private farm: how many jobs per second it gets through its workers, what that costs it, and how "
	       "near they come to what so many workers could do."
	       "\vHow large a farm has to be for 10000 viewers and 100 hours of new titles a day:\n\n"
	       "  segfarm bench-queue --viewers 10000 --hours 100",
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
		printf(" of %.3f s", (double)o->sleep_ms / 1000);
	printf(", %d workers%s: %.3f s, %.*f jobs/s, ", o->n_workers, o->is_tcp ? " over TCP with keys" : "", (double)wall_us / 1e6,
	       o->sleep_ms ? 1 : 0, (double)o->count * 1e6 / (double)(wall_us + 1));
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

/* --- how large a farm has to be: README, Sizing */

static int simulate(const struct bench_options *o)
{
	struct bench_farm farm = { .n_cold = (int)(o->viewers * o->cold / 10000), .title_hours = (double)o->hours / 1000,
				   .core_s = (double)o->core_us / 1e6 };
	double bytes = (double)o->bitrate * 125, made_s = farm.n_cold + farm.title_hours / 24; /* bytes of a second; seconds made in one */
	struct bench_times t;
	struct err err;

	farm.n_workers = o->n_workers ? o->n_workers : bench_count_workers(farm.n_cold, farm.title_hours, farm.core_s);
	if (bench_simulate(&farm, &t, &err) < 0) {
		fprintf(stderr, "segfarm bench-queue: %s\n", err.msg);
		return 1;
	}
	printf("workers  %d, a core each; %.0f %% of their time busy\n", farm.n_workers, 100 * t.busy);
	if (t.n_waits)
		printf("         a segment that is not there is made %.3f s after it is asked for (median; p99 %.3f s)\n", (double)t.p50_ms / 1000,
		       (double)t.p99_ms / 1000);
	if (t.title_ms)
		printf("         a title of an hour is made after %.1f s\n", (double)t.title_ms / 1000);
	printf("Redis    %.1f GB for titles of %" PRId64 " days\n", farm.title_hours * 3600 * (double)o->days * bytes * 1.01 / 1e9, o->days);
	printf("network  %.3f GB/s to viewers, %.3f GB/s from workers to Redis, about as much to workers from where the titles lie\n",
	       (double)o->viewers * bytes / 1e9, made_s * bytes / 1e9);
	printf("(%.0f s in virtual time: %" PRId64 " jobs, %.2f us of one core each; the queue took %.1f MiB)\n", t.virtual_s, t.n_jobs,
	       t.n_jobs ? (double)t.cpu_us / (double)t.n_jobs : 0, (double)t.queue_bytes / 1048576);
	return 0;
}

int bench_main(int argc, char **argv)
{
	struct bench_options options = { .cold = 100, .core_us = 22000, .bitrate = 6500, .days = 7 };
	struct bench_keys keys = { 0 };
	struct dispatch dispatch = { 0 };
	struct farm farm = { 0 };
	struct loop loop;
	struct err err = { 0 };
	int ret;

	options_parse(&bench_argp, "segfarm bench-queue", argc, argv, &options);
	if (options.is_simulated)
		return simulate(&options);
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
