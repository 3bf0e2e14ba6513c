/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * segfarm-worker: a pool of isolated one-job-at-a-time processes.
 */
#include "common/log.h"
#include "worker/pool.h"
#include "worker/transcode_main.h"
#include "worker/video_encoder_choice.h"

#include "common/bus.h"
#include "common/err.h"
#include "common/store.h"

#include <argp.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *argp_program_version = "segfarm-worker " SEGFARM_VERSION;

static const char doc[] =
	"Makes HLS segments: connects to a segfarm dispatcher, takes jobs, and stores what it makes in Redis.\v"
	"Each of the N workers is a process of its own, so that a file that crashes a codec costs one process and one retry. "
	"This program only supervises them: it starts them, starts them again when they die, and reports deaths.\n\n"
	"  segfarm-worker -j 4 --connect ipc:///run/segfarm/bus.sock --redis unix:///run/redis/redis.sock\n\n"
	"SIGTERM or SIGINT stops all of them.\n\n"
	"'segfarm-worker transcode --help' tells how to make one stream without a farm.";

#define LIMIT_ALLOC (512 << 20) /* of FFmpeg at once: twice what of a source is held in memory */

enum { OPT_CREDITS = 256, OPT_KEYS, OPT_DISPATCHER_KEY, OPT_INSECURE };

static const struct argp_option option_list[] = {
	{ "workers", 'j', "N", 0, "Worker processes (default: one per core)", 0 },
	{ "connect", 'c', "ENDPOINT", 0, "The dispatcher: ipc://PATH or tcp://ADDR:PORT", 0 },
	{ "redis", 'r', "URL", 0, "The store: unix://PATH or redis://[:PASSWORD@]HOST[:PORT][/DB]", 0 },
	{ "keys", OPT_KEYS, "FILE", 0, "The workers' keys (see 'segfarm keygen'), for tcp://", 0 },
	{ "dispatcher-key", OPT_DISPATCHER_KEY, "FILE", 0, "The dispatcher's public key", 0 },
	{ "insecure", OPT_INSECURE, NULL, 0, "tcp:// without keys", 0 },
	{ "verbose", 'v', NULL, 0, "Log more", 0 },
	{ "credits", OPT_CREDITS, "N", 0, "Jobs a worker takes in advance, the one in hand included (default 2)", 0 },
	{ 0 },
};

struct options {
	const char *connect, *redis;
	const char *keys, *dispatcher_key;
	struct keys_access access;
	int workers, credits;
	enum log_level level;
};

static int parse_count(struct argp_state *state, const char *arg, const char *what, int max)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (*end || end == arg || n < 1 || n > max)
		argp_error(state, "%s takes a whole number from 1 to %d, not '%s'", what, max, arg);
	return (int)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'j':
		o->workers = parse_count(state, arg, "-j", POOL_MAX);
		return 0;
	case 'c':
		o->connect = arg;
		return 0;
	case 'r':
		o->redis = arg;
		return 0;
	case 'v':
		o->level = LOG_LEVEL_DEBUG;
		return 0;
	case OPT_KEYS:
		o->keys = arg;
		return 0;
	case OPT_DISPATCHER_KEY:
		o->dispatcher_key = arg;
		return 0;
	case OPT_INSECURE:
		o->access.is_insecure = true;
		return 0;
	case OPT_CREDITS:
		o->credits = parse_count(state, arg, "--credits", 1024);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not an option", arg);
		return EINVAL;
	case ARGP_KEY_END:
		if (!o->connect || !o->redis)
			argp_error(state, "--connect and --redis are needed: where is the dispatcher, and where the store?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Says at once, in one sentence, what a pool of silent restarts would only show in a log. Nothing of it is left: the pool forks. */
static int check(struct options *o)
{
	struct store *store = NULL;
	struct bus *bus = NULL;
	struct err err;
	int ret = keys_access_open(&o->access, o->keys, o->dispatcher_key, false, &err);

	if (!ret)
		ret = store_open(&store, o->redis, 5000, &err);
	if (!ret)
		ret = bus_connect(&bus, o->connect, &o->access, &err);
	if (ret)
		fprintf(stderr, "segfarm-worker: %s\n", err.msg);
	bus_destroy(bus);
	store_close(store);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { option_list, parse, NULL, doc, NULL, NULL, NULL };
	struct options o = { .credits = 2, .level = LOG_LEVEL_WARN, .workers = (int)sysconf(_SC_NPROCESSORS_ONLN) };

	av_max_alloc(LIMIT_ALLOC);
	if (argc > 1 && !strcmp(argv[1], "transcode")) {
		av_log_set_level(AV_LOG_QUIET);
		return transcode_main(argc - 1, argv + 1);
	}
	if (argc == 3 && !strcmp(argv[1], VIDEO_ENCODER_TRIAL))
		return video_encoder_trial_main(argv[2]);
	argp_err_exit_status = 2;
	argv[0] = (char *)(uintptr_t)"segfarm-worker"; /* the name in messages, wherever it was started from */
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	log_init("segfarm-worker", o.level);
	av_log_set_level(AV_LOG_QUIET);
	if (check(&o))
		return 1;
	return pool_main(&(struct pool_options){ .connect = o.connect, .access = &o.access, .redis = o.redis, .workers = o.workers,
						 .credits = o.credits });
}
