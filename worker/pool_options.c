/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/pool_options.h"

#include "common/bus.h"
#include "common/err.h"
#include "common/log.h"
#include "common/options.h"
#include "common/store.h"
#include "worker/discover.h"
#include "worker/pool.h"
#include "worker/sandbox.h"
#include "worker/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char doc[] =
	"Makes HLS segments: connects to a segfarm dispatcher, takes jobs, and stores what it makes in Redis.\v"
	"Each of the N workers is a process of its own, so that a file that crashes a codec costs one process and one retry. "
	"This program only supervises them: it starts them, starts them again when they die, and reports deaths.\n\n"
	"  segfarm-worker -j 4 --connect ipc:///run/segfarm/bus.sock --redis unix:///run/redis/redis.sock\n\n"
	"SIGTERM or SIGINT lets each finish the job that it has in hand (see --drain-timeout); a second one stops them at once. SIGHUP "
	"reads the configuration file and the keys again, and puts new workers, with what they say, in the place of those there are.\n\n"
	"'segfarm-worker transcode --help' tells how to make one stream without a farm.";

/* What one video of 8K in 10 bits takes when it is decoded and encoded, with room; a worker that copies takes 50, 1080p 200. */
#define MEMORY_MIB 4096
#define MEMORY_MIB_MIN 64
#define MEMORY_MIB_MAX (1 << 20)

#define NAME "segfarm-worker" /* in messages, wherever it was started from */

enum { OPT_CREDITS = 0x1000, OPT_MEMORY, OPT_PRIVATE, OPT_HARDWARE, OPT_NO_SANDBOX, OPT_SELF_TEST, OPT_KEYS, OPT_DISPATCHER_KEY, OPT_INSECURE, OPT_LABEL };

static const struct argp_option option_list[] = {
	{ "workers", 'j', "N", 0, "Worker processes (default: one per core)", 0 },
	{ "connect", 'c', "ENDPOINT", CONFIG_MANY,
	  "The dispatcher: ipc://PATH or tcp://ADDR:PORT; tcp://NAME:PORT is all that the name has addresses for; 'redis': those that "
	  "stand in Redis. May be given more than once: all those of one Redis. Names and Redis are asked every few seconds", 0 },
	{ "redis", 'r', "URL", 0, "The store: " STORE_URL_FORMS, 0 },
	{ "keys", OPT_KEYS, "FILE", 0, "The workers' keys (see 'segfarm keygen'), for tcp://", 0 },
	{ "dispatcher-key", OPT_DISPATCHER_KEY, "FILE", 0, "The dispatcher's public key", 0 },
	{ "insecure", OPT_INSECURE, NULL, 0, "tcp:// without keys", 0 },
	{ "credits", OPT_CREDITS, "N", 0, "Jobs a worker takes in advance, the one in hand included (default 2)", 0 },
	{ "label", OPT_LABEL, "NAME", CONFIG_MANY,
	  "What these workers are, for 'segfarm status'; '" MSG_LABEL_GPU "': titles of other encoders than libx264 are made here. May be given "
	  "more than once", 0 },
	OPTIONS_DRAIN,
	{ "allow-private", OPT_PRIVATE, NULL, 0,
	  "Hosts of --allow-url may have addresses that are not public (this machine, private networks); else only addresses "
	  "that a PREFIX names itself",
	  2 },
	{ "memory", OPT_MEMORY, "MIB", 0, "Most memory of a worker (default 4096; 0: any). A job that needs more fails", 3 },
	{ "hardware", OPT_HARDWARE, NULL, 0, "Let workers use GPUs to encode video; their sandbox is weaker then. They have the label '" MSG_LABEL_GPU "'", 3 },
	{ "no-sandbox", OPT_NO_SANDBOX, NULL, 0, "Let workers do what this user may do", 3 },
	{ "self-test", OPT_SELF_TEST, NULL, 0,
	  "Try from inside the sandbox what must not be possible, and exit: status 1 if something is", 3 },
	{ 0 },
};

struct options {
	char *connect[SESSION_LINKS_MAX];
	int n_connect;
	const char *redis;
	const char *keys, *dispatcher_key;
	char labels[MSG_LABELS_MAX + 1];
	struct keys_access access;
	int workers, credits, drain_ms;
	struct options_log log;
	struct allow allow;
	struct sandbox sandbox;
	bool has_no_sandbox, is_self_test;
};

static int add_label(struct options *o, const char *label, struct err *err)
{
	size_t n = strlen(o->labels);

	if (!*label || strspn(label, MSG_LABEL_CHARS) != strlen(label))
		return err_set(err, ERR_USAGE, "--label: '%.100s' is not of the characters a-z, 0-9, _ and -", label);
	if (msg_has_label(o->labels, label))
		return 0;
	if (n + 1 + strlen(label) > MSG_LABELS_MAX)
		return err_set(err, ERR_USAGE, "--label: all labels together have at most %d characters", MSG_LABELS_MAX);
	snprintf(o->labels + n, sizeof o->labels - n, "%s%s", n ? "," : "", label);
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->allow;
		state->child_inputs[1] = &o->log;
		return 0;
	case 'j':
		o->workers = options_parse_int("-j", arg, 1, POOL_MAX, state);
		return 0;
	case 'c':
		if (o->n_connect == SESSION_LINKS_MAX)
			options_check(err_set(&err, ERR_USAGE, "at most %d dispatchers", SESSION_LINKS_MAX), &err, state);
		o->connect[o->n_connect++] = arg;
		return 0;
	case 'r':
		o->redis = arg;
		return 0;
	case OPTIONS_KEY_DRAIN:
		o->drain_ms = options_parse_drain_ms(arg, state);
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
	case OPT_LABEL:
		options_check(add_label(o, arg, &err), &err, state);
		return 0;
	case OPT_CREDITS:
		o->credits = options_parse_int("--credits", arg, 1, 1024, state);
		return 0;
	case OPT_MEMORY:
		o->sandbox.memory_mib = options_parse_int("--memory", arg, *arg == '0' ? 0 : MEMORY_MIB_MIN, MEMORY_MIB_MAX, state);
		return 0;
	case OPT_PRIVATE:
		o->allow.has_private = true;
		return 0;
	case OPT_HARDWARE:
		o->sandbox.has_devices = true;
		return 0;
	case OPT_NO_SANDBOX:
		o->has_no_sandbox = true;
		return 0;
	case OPT_SELF_TEST:
		o->is_self_test = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is not an option", arg);
		return EINVAL;
	case ARGP_KEY_END:
		if (o->sandbox.has_devices)
			options_check(add_label(o, MSG_LABEL_GPU, &err), &err, state);
		if ((!o->n_connect || !o->redis) && !o->is_self_test)
			argp_error(state, "--connect and --redis are needed: where is the dispatcher, and where the store?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool connects(const struct options *o, const char *scheme)
{
	for (int i = 0; i < o->n_connect; i++)
		if (!strncmp(o->connect[i], scheme, strlen(scheme)))
			return true;
	return false;
}

static int check_links(struct options *o, struct err *err)
{
	int ret = 0;

	for (int i = 0; i < o->n_connect && !ret; i++) {
		struct bus *bus;

		if (!strcmp(o->connect[i], DISCOVER_REDIS))
			continue;

		ret = bus_connect(&bus, o->connect[i], &o->access, err);
		bus_destroy(bus);
	}
	return ret;
}

/* Says at once, in one sentence, what a pool of silent restarts would only show in a log. Nothing of it is left: the pool forks. */
static int check(struct options *o)
{
	struct store *store = NULL;
	struct err err;
	int ret = keys_access_open(&o->access, o->keys, o->dispatcher_key, false, &err);

	if (!ret)
		ret = store_open(&store, o->redis, 5000, &err);
	if (!ret)
		ret = check_links(o, &err);
	if (ret)
		fprintf(stderr, "segfarm-worker: %s\n", err.msg);
	store_close(store);
	return ret;
}

static int self_test(const struct options *o)
{
	struct err err = { 0 };
	int ret;

	if (sandbox_lack())
		printf("%s\n", sandbox_lack());
	fflush(stdout);
	ret = sandbox_test(o->has_no_sandbox ? NULL : &o->sandbox, stdout, &err);
	if (ret)
		fprintf(stderr, "segfarm-worker: %s\n", err.msg);
	return ret ? 1 : 0;
}

/* The sockets that it takes to reach them, and the sources. */
static void choose_sockets(struct options *o)
{
	struct store_url urls[STORE_URLS_MAX];
	struct sandbox *s = &o->sandbox;
	int n = o->redis ? store_urls_read(urls, o->redis, NULL) : 0; /* a wrong one is told by who connects */

	s->allow = &o->allow;
	s->has_unix = connects(o, "ipc:");
	s->has_inet = o->allow.n_urls || connects(o, "tcp:") || connects(o, DISCOVER_REDIS);
	for (int i = 0; i < n; i++)
		*(urls[i].kind == STORE_UNIX ? &s->has_unix : &s->has_inet) = true;
	explicit_bzero(urls, sizeof(urls));
}

static const struct argp_child children[] = { { &options_allow, 0, NULL, 2 }, { &options_program, 0, NULL, 0 }, { 0 } };
const struct argp pool_argp = { option_list, parse, NULL, doc, children, NULL, NULL };

static void init(struct options *o)
{
	*o = (struct options){ .credits = 2, .log.level = LOG_LEVEL_WARN, .workers = (int)sysconf(_SC_NPROCESSORS_ONLN),
			       .sandbox.memory_mib = MEMORY_MIB, .drain_ms = OPTIONS_DRAIN_MS };
}

static struct pool_options make_pool_options(struct options *o)
{
	return (struct pool_options){ .labels = o->labels, .connect = o->connect, .n_connect = o->n_connect, .access = &o->access, .redis = o->redis,
				      .workers = o->workers, .credits = o->credits, .allow = &o->allow, .drain_ms = o->drain_ms,
				      .sandbox = o->has_no_sandbox ? NULL : &o->sandbox };
}

static void finish(struct options *o)
{
	keys_access_finish(&o->access);
	allow_finish(&o->allow);
}

/* --- again, while the pool runs */

struct given {
	int argc;
	char **argv;
	struct options *options;
};

static int read_again(struct given *g, struct options *o, struct err *err)
{
	init(o);
	if (!options_parse_again(&pool_argp, NAME, g->argc, g->argv, o))
		return err_set(err, ERR_USAGE, "the options are wrong");
	choose_sockets(o);
	return keys_access_open(&o->access, o->keys, o->dispatcher_key, false, err);
}

/* What workers that are running have in hand stays as it is: they are forks. */
static bool reload(void *arg, struct pool_options *pool)
{
	struct given *g = arg;
	struct options *o = calloc(1, sizeof(*o));
	struct err err = { 0 };

	if (!o || read_again(g, o, &err) < 0) {
		log_error("not read again, everything stays as it was", "reason=\"%s\"", o ? err.msg : "out of memory");
		if (o)
			finish(o);
		free(o);
		return false;
	}
	if (o->workers != g->options->workers)
		log_warn("takes effect when the pool is started anew", "option=workers");
	o->workers = g->options->workers;
	options_start_log(&o->log, NAME);
	*pool = make_pool_options(o);
	finish(g->options);
	free(g->options);
	g->options = o;
	return true;
}

int pool_options_main(int argc, char **argv)
{
	struct options *o = calloc(1, sizeof(*o));
	struct given given = { argc, argv, o };
	struct pool_options pool;
	int status = 1;

	if (!o)
		return 1;
	init(o);
	options_parse(&pool_argp, NAME, argc, argv, o);
	options_start_log(&o->log, NAME);
	choose_sockets(o);
	if (o->is_self_test) {
		status = self_test(o);
	} else if (check(o) == 0) {
		if (!o->allow.n_roots && !o->allow.n_urls)
			log_warn("every source will be refused", "reason=\"neither --media-root nor --allow-url is given\"");
		pool = make_pool_options(o);
		pool.reload = reload;
		pool.reload_arg = &given;
		status = pool_main(&pool);
	}
	finish(given.options);
	free(given.options);
	return status;
}
