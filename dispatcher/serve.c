/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"
#include "common/options.h"
#include "dispatcher/cluster.h"
#include "dispatcher/commands.h"
#include "dispatcher/loop.h"
#include "dispatcher/want.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 1000
#define DEFAULT_REDIS "redis://127.0.0.1:6379"
#define DEFAULT_BIND "ipc:///tmp/segfarm.sock"

struct serve_options {
	const char *redis, *bind;
	const char *keys, *allow_workers;
	struct keys_access access;
	char *const *paths;
	int n_paths;
	struct record_options encode;
	struct cli_listen listen;
	struct http_settings http;
	bool is_verbose, is_on_demand;
	int read_ahead;
	uint64_t shuffle_seed;
	struct allow allow;
};

static const struct argp_option serve_argp_options[] = {
	{ "redis", OPTIONS_KEY_REDIS, "URL", 0,
	  "The Redis that keeps everything: unix:///PATH or redis://[:PASSWORD@]HOST[:PORT][/DB] "
	  "(default " DEFAULT_REDIS ")",
	  1 },
	{ "bind", OPTIONS_KEY_BIND, "ENDPOINT", 0,
	  "Where workers connect: ipc://PATH or tcp://ADDR:PORT (default " DEFAULT_BIND ")", 1 },
	{ "keys", OPTIONS_KEY_KEYS, "FILE", 0, "The dispatcher's keys (see 'segfarm keygen'), for tcp://", 1 },
	{ "allow-workers", OPTIONS_KEY_ALLOW_WORKERS, "FILE", 0,
	  "Public keys of the workers that may connect, one a line; read again when the file changes", 1 },
	{ "insecure", OPTIONS_KEY_INSECURE, NULL, 0, "tcp:// without keys: whoever reaches the port may give and take jobs", 1 },
	{ "listen", OPTIONS_KEY_LISTEN, "ADDR:PORT", 0,
	  "Where to serve (default " OPTIONS_LISTEN "; port 0: any free one)", 1 },
	{ "on-demand", OPTIONS_KEY_ON_DEMAND, NULL, 0, "Make nothing of the FILEs before a player asks for it", 1 },
	{ "read-ahead", OPTIONS_KEY_READ_AHEAD, "N", 0,
	  "Segments to make before a player asks for them (default 3)", 1 },
	{ "verbose", 'v', NULL, 0, "Tell on stderr what happens", 1 },
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
		break;
	case 'v':
		o->is_verbose = true;
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
	case OPTIONS_KEY_KEYS:
		o->keys = arg;
		break;
	case OPTIONS_KEY_ALLOW_WORKERS:
		o->allow_workers = arg;
		break;
	case OPTIONS_KEY_INSECURE:
		o->access.is_insecure = true;
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
						 { &http_options, 0, NULL, 3 }, { 0 } };
static const struct argp serve_argp = {
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

static int serve(struct serve_options *o, struct loop *loop, struct dispatch *d, struct err *err)
{
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
	http_attach(loop->http, d, o->redis);
	ret = cluster_scan(d, err);
	for (int i = 0; i < o->n_paths && ret >= 0; i++)
		ret = accept_file(d, o, o->paths[i], loop->http, err);
	if (ret < 0)
		return ret;
	printf("serving %d streams on %s, workers at %s\n", d->n_streams, http_base(loop->http), o->bind);
	fflush(stdout);
	while (ret >= 0)
		ret = loop_step(loop, WAIT_MS, err);
	log_info("ends", "jobs_given=%" PRIu64 " jobs_done=%" PRIu64 " jobs_failed=%" PRIu64 " messages_refused=%" PRIu64,
		 d->counters.jobs_given, d->counters.jobs_done, d->counters.jobs_failed, d->counters.messages_refused);
	return ret == ERR_STOPPED ? 0 : ret;
}

int serve_main(int argc, char **argv)
{
	struct serve_options options = { .redis = DEFAULT_REDIS, .bind = DEFAULT_BIND, .read_ahead = WANT_READ_AHEAD };
	struct dispatch dispatch = { 0 };
	struct loop loop;
	struct err err = { 0 };
	int ret;

	record_options_init(&options.encode);
	http_settings_init(&options.http);
	cli_parse_listen(OPTIONS_LISTEN, &options.listen, NULL);
	options_parse(&serve_argp, "segfarm serve", argc, argv, &options);
	log_init("segfarm", options.is_verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	ret = loop_init(&loop, &err);
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
		fprintf(stderr, "segfarm serve: %s\n", err.msg);
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : ret < 0;
}
