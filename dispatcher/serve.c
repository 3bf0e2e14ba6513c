/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"
#include "common/notify.h"
#include "common/options.h"
#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/commands.h"
#include "dispatcher/loop.h"
#include "dispatcher/want.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "segfarm serve"
#define WAIT_MS 1000
#define DEFAULT_REDIS "redis://127.0.0.1:6379"
#define NO_ENDPOINT "none"
#define DEFAULT_BIND "ipc:///tmp/segfarm.sock"

struct serve_options {
	const char *redis, *bind, *advertise;
	const char *keys, *allow_workers;
	struct keys_access access;
	char *const *paths;
	int n_paths;
	struct record_options encode;
	struct cli_listen listen;
	struct http_settings http;
	struct options_log log;
	bool is_on_demand, is_insecure;
	int drain_ms;
	int argc;     /* as they were given */
	char **argv;
	int read_ahead;
	uint64_t shuffle_seed;
	struct allow allow;
};

static const struct argp_option serve_argp_options[] = {
	{ "redis", OPTIONS_KEY_REDIS, "URL", 0,
	  "The Redis that keeps everything: " STORE_URL_FORMS " (default " DEFAULT_REDIS ")",
	  1 },
	{ "bind", OPTIONS_KEY_BIND, "ENDPOINT", 0,
	  "Where workers connect: ipc://PATH or tcp://ADDR:PORT (default " DEFAULT_BIND ")", 1 },
	{ "advertise", OPTIONS_KEY_ADVERTISE, "ENDPOINT", 0,
	  "What workers with '--connect redis' are told in Redis (default: what is bound, unless that is all addresses; 'none': nothing)", 1 },
	{ "keys", OPTIONS_KEY_KEYS, "FILE", 0, "The dispatcher's keys (see 'segfarm keygen'), for tcp://", 1 },
	{ "allow-workers", OPTIONS_KEY_ALLOW_WORKERS, "FILE", 0,
	  "Public keys of the workers that may connect, one a line; read again when the file changes", 1 },
	{ "insecure", OPTIONS_KEY_INSECURE, NULL, 0, "tcp:// without keys: whoever reaches the port may give and take jobs", 1 },
	{ "listen", OPTIONS_KEY_LISTEN, "ADDR:PORT", 0,
	  "Where to serve (default " OPTIONS_LISTEN "; port 0: any free one)", 1 },
	{ "on-demand", OPTIONS_KEY_ON_DEMAND, NULL, 0, "Make nothing of the FILEs before a player asks for it", 1 },
	{ "read-ahead", OPTIONS_KEY_READ_AHEAD, "N", 0,
	  "Segments to make before a player asks for them (default 3)", 1 },
	OPTIONS_DRAIN,
	{ "order", OPTIONS_KEY_ORDER, "ORDER", OPTION_HIDDEN, NULL, 1 },
	{ 0 },
};

static error_t parse_serve(int key, char *arg, struct argp_state *state)
{
	struct serve_options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->encode;
		state->child_inputs[1] = &o->allow;
		state->child_inputs[2] = &o->http;
		state->child_inputs[3] = &o->log;
		break;
	case OPTIONS_KEY_DRAIN:
		o->drain_ms = options_parse_drain_ms(arg, state);
		break;
	case OPTIONS_KEY_ON_DEMAND:
		o->is_on_demand = true;
		break;
	case OPTIONS_KEY_READ_AHEAD:
		o->read_ahead = options_parse_int("--read-ahead", arg, 0, WANT_READ_AHEAD_MAX, state);
		break;
	case OPTIONS_KEY_REDIS:
		o->redis = arg;
		break;
	case OPTIONS_KEY_BIND:
		o->bind = arg;
		break;
	case OPTIONS_KEY_ADVERTISE:
		if (strcmp(arg, NO_ENDPOINT) && strncmp(arg, "tcp://", 6) && strncmp(arg, "ipc:///", 7))
			options_check(err_set(&err, ERR_USAGE, "--advertise: '%.100s' is neither tcp://ADDRESS:PORT nor ipc:///PATH", arg), &err, state);
		if (strlen(arg) >= STORE_ENDPOINT_SIZE || strpbrk(arg, " \"\\"))
			options_check(err_set(&err, ERR_USAGE, "--advertise: '%.100s' is too long, or has a blank in it", arg), &err, state);
		o->advertise = arg;
		break;
	case OPTIONS_KEY_KEYS:
		o->keys = arg;
		break;
	case OPTIONS_KEY_ALLOW_WORKERS:
		o->allow_workers = arg;
		break;
	case OPTIONS_KEY_INSECURE:
		o->is_insecure = true;
		break;
	case OPTIONS_KEY_LISTEN:
		options_check(cli_parse_listen(arg, &o->listen, &err), &err, state);
		break;
	case OPTIONS_KEY_ORDER:
		options_check(options_parse_order(arg, &o->shuffle_seed, &err), &err, state);
		break;
	case ARGP_KEY_ARGS:
		o->paths = state->argv + state->next;
		o->n_paths = state->argc - state->next;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child serve_children[] = { { &options_encode, 0, NULL, 0 }, { &options_allow, 0, NULL, 2 },
						    { &http_options, 0, NULL, 3 }, { &options_program, 0, NULL, 0 }, { 0 } };
const struct argp serve_argp = {
	.options = serve_argp_options,
	.parser = parse_serve,
	.args_doc = "[FILE...]",
	.doc = "Dispatches jobs to the workers that connect, and serves HLS from Redis. Streams that were accepted "
	       "before are "
	       "taken up again; each FILE is accepted as well."
	       "\vWorkers are started apart from it, on this machine or elsewhere:\n\n"
	       "  segfarm serve --redis unix:///run/redis.sock --bind ipc:///run/segfarm.sock film.mkv\n"
	       "  segfarm-worker -j 4 --media-root . --connect ipc:///run/segfarm.sock --redis unix:///run/redis.sock\n\n"
	       "Sources are what lies in a --media-root or begins with an --allow-url, and each FILE. Workers go by lists "
	       "of their own.\n\n"
	       "SIGTERM or SIGINT hands the streams to the other dispatchers there are, and lets responses come to their end (see "
	       "--drain-timeout); a second one ends it at once. SIGHUP reads the configuration file, keys and tokens again, and opens the "
	       "access log anew; which options only a new start changes stands in the log.\n\n"
	       "An ipc:// endpoint is for this user only. For workers on other hosts see 'segfarm keygen --help'.",
	.children = serve_children,
};

/* Who starts us may name what he likes. */
static int allow_files(struct serve_options *o, struct err *err)
{
	int ret = 0;

	for (int i = 0; i < o->n_paths && !ret; i++) {
		const char *path = o->paths[i];

		ret = record_is_url(path) ? allow_add_url(&o->allow, path, err) : allow_add_root(&o->allow, path, err);
	}
	return ret;
}

static int accept_file(struct dispatch *d, const struct serve_options *o, const char *path, const struct http *http,
		       struct err *err)
{
	struct record_source source;
	struct dispatch_stream *stream;
	int ret = dispatch_look_at(path, &o->allow, &source, err);

	if (ret >= 0)
		ret = dispatch_add(d, &source, &o->encode, o->is_on_demand, &stream, err);
	if (ret >= 0)
		printf("playlist: %s/hls/%s/master.m3u8 %s\n", http_base(http), stream->key, path);
	return ret;
}

static void warn_of_redis(void *arg, const char *where, const char *text)
{
	(void)arg;
	log_warn("settings of Redis", "redis=%s reason=\"%s\"", where, text);
}

static int start(struct serve_options *o, struct loop *loop, struct dispatch *d, struct err *err)
{
	struct err ignored;
	int ret = keys_access_open(&o->access, o->keys, o->allow_workers, true, err);

	if (ret >= 0)
		ret = http_create(&loop->http, &o->listen, &o->http, err);
	if (ret >= 0)
		ret = dispatch_init(d, o->bind, &o->access, o->redis, err);
	if (ret < 0)
		return ret;
	if (o->access.is_insecure)
		log_warn("no keys: whoever reaches the port is a worker", "endpoint=%s", o->bind);
	d->shuffle_seed = o->shuffle_seed;
	d->allow = &o->allow;
	d->read_ahead = o->read_ahead;
	if (o->advertise)
		dispatch_advertise(d, strcmp(o->advertise, NO_ENDPOINT) ? o->advertise : "");
	http_attach(loop->http, d, o->redis);
	ret = cluster_scan(d, err);
	for (int i = 0; i < o->n_paths && ret >= 0; i++)
		ret = accept_file(d, o, o->paths[i], loop->http, err);
	if (ret >= 0)
		store_check_settings(d->store, warn_of_redis, NULL, &ignored); /* it may not be asked for */
	return ret;
}

/* --- SIGHUP */

static void init(struct serve_options *o, int argc, char **argv)
{
	*o = (struct serve_options){ .redis = DEFAULT_REDIS, .bind = DEFAULT_BIND, .read_ahead = WANT_READ_AHEAD, .argc = argc, .argv = argv,
				     .log.level = LOG_LEVEL_INFO, .drain_ms = OPTIONS_DRAIN_MS };
	record_options_init(&o->encode);
	http_settings_init(&o->http);
	cli_parse_listen(OPTIONS_LISTEN, &o->listen, NULL);
}

static bool is_other(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

/* What was bound or opened stays as it is. */
static void warn_of_fixed(const struct serve_options *old, const struct serve_options *new)
{
	const struct {
		const char *name;
		bool is_changed;
	} fixed[] = {
		{ "redis", is_other(old->redis, new->redis) },
		{ "bind", is_other(old->bind, new->bind) },
		{ "advertise", is_other(old->advertise, new->advertise) },
		{ "keys", is_other(old->keys, new->keys) },
		{ "allow-workers", is_other(old->allow_workers, new->allow_workers) },
		{ "listen", is_other(old->listen.host, new->listen.host) || old->listen.port != new->listen.port },
		{ "insecure", old->is_insecure != new->is_insecure },
		{ "max-connections", old->http.connections != new->http.connections },
		{ "max-connections-per-address", old->http.per_address != new->http.per_address },
		{ "cache", old->http.cache_mib != new->http.cache_mib },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (fixed[i].is_changed)
			log_warn("takes effect when the dispatcher is started anew", "option=%s", fixed[i].name);
}

static int read_again(struct serve_options *o, struct loop *loop, struct serve_options *new, struct err *err)
{
	int ret = 0;

	init(new, o->argc, o->argv);
	if (!options_parse_again(&serve_argp, NAME, o->argc, o->argv, new))
		ret = err_set(err, ERR_USAGE, "the options are wrong");
	if (!ret)
		ret = allow_files(new, err);
	return ret < 0 ? ret : http_reload(loop->http, &new->http, err);
}

static void reload(struct serve_options *o, struct loop *loop, struct dispatch *d)
{
	struct serve_options new;
	struct err err;
	int ret = read_again(o, loop, &new, &err);

	d->metrics.reloads[ret >= 0]++;
	if (ret < 0) {
		log_error("not read again, everything stays as it was", "reason=\"%s\"", err.msg);
		allow_finish(&new.allow);
		return;
	}
	options_start_log(&new.log, "segfarm");
	warn_of_fixed(o, &new);
	allow_finish(&o->allow);
	o->allow = new.allow;
	o->drain_ms = new.drain_ms;
	d->read_ahead = new.read_ahead;
	log_info("options, keys and tokens read again", "media_roots=%d allow_urls=%d read_ahead=%d", o->allow.n_roots, o->allow.n_urls,
		 d->read_ahead);
}

/* --- its end */

/* The streams go to other dispatchers at once; responses that are under way come to their end. */
static void drain(const struct serve_options *o, struct loop *loop, struct dispatch *d)
{
	int64_t until_ms = proc_now_ms() + o->drain_ms, left_ms;
	struct err err;
	int ret = 0;

	log_info("drains", "ms=%d", o->drain_ms);
	notify_send(NOTIFY_STOPPING);
	loop->stop_signal = 0;
	http_drain(loop->http);
	dispatch_drain(d);
	while (http_is_busy(loop->http) && (left_ms = until_ms - proc_now_ms()) > 0 && ret >= 0)
		ret = loop_step(loop, left_ms < WAIT_MS ? (int)left_ms : WAIT_MS, &err);
	if (http_is_busy(loop->http))
		log_warn("ends with responses under way", "reason=\"%s\"", ret < 0 ? "a second signal" : "their time is up");
}

static int serve(struct serve_options *o, struct loop *loop, struct dispatch *d, struct err *err)
{
	int ret = start(o, loop, d, err);

	if (ret < 0)
		return ret;
	printf("serving %d streams on %s, workers at %s\n", d->n_streams, http_base(loop->http), o->bind);
	fflush(stdout);
	notify_send(NOTIFY_READY);
	while (ret >= 0) {
		ret = loop_step(loop, WAIT_MS, err);
		if (loop->must_reload) {
			notify_send(NOTIFY_RELOADING);
			reload(o, loop, d);
			notify_send(NOTIFY_READY);
		}
		loop->must_reload = false;
	}
	if (ret == ERR_STOPPED)
		drain(o, loop, d);
	log_info("ends", "jobs_given=%" PRIu64 " jobs_done=%" PRIu64 " jobs_failed=%" PRIu64 " messages_refused=%" PRIu64,
		 d->counters.jobs_given, d->counters.jobs_done, d->counters.jobs_failed, d->counters.messages_refused);
	return ret == ERR_STOPPED ? 0 : ret;
}

int serve_main(int argc, char **argv)
{
	struct serve_options options;
	struct dispatch dispatch = { 0 };
	struct loop loop;
	struct err err = { 0 };
	int ret;

	init(&options, argc, argv);
	options_parse(&serve_argp, NAME, argc, argv, &options);
	options.access.is_insecure = options.is_insecure;
	options_start_log(&options.log, "segfarm");
	ret = loop_init(&loop, &err);
	loop.is_service = true;
	if (ret >= 0)
		ret = allow_files(&options, &err);
	if (ret >= 0) {
		loop.dispatch = &dispatch;
		ret = serve(&options, &loop, &dispatch, &err);
	}
	http_destroy(loop.http);
	dispatch_finish(&dispatch);
	keys_access_finish(&options.access);
	loop_finish(&loop);
	allow_finish(&options.allow);
	if (ret < 0)
		fprintf(stderr, NAME ": %s\n", err.msg);
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : ret < 0;
}
