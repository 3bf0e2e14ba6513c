/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"
#include "common/options.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/commands.h"
#include "dispatcher/export.h"
#include "dispatcher/loop.h"
#include "dispatcher/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 250      /* longest sleep: progress wants to be shown */
#define WORKERS_MAX 1024
#define CREDITS 2        /* the next job lies ready when a worker has done one */

struct run_options {
	const char *path, *out_dir;
	struct record_options encode;
	struct cli_listen listen;
	struct options_log log;
	bool has_listen, is_once;
	int n_workers;
	uint64_t shuffle_seed;
};

struct run {
	const struct run_options *options;
	struct record_source source;
	struct loop loop;
	struct farm farm;
	struct dispatch dispatch;
	struct http *http;
	struct export export;
	struct dispatch_stream *stream;
	struct progress progress;

};

static const struct argp_option run_argp_options[] = {
	{ "jobs", 'j', "N", 0, "Worker processes (default: one per processor)", 1 },
	{ "output", 'o', "DIR", 0, "Write the HLS to DIR as files, then exit", 1 },
	{ "listen", OPTIONS_KEY_LISTEN, "ADDR:PORT", 0,
	  "Where to serve (default " OPTIONS_LISTEN "; port 0: any free one)", 1 },
	{ "once", OPTIONS_KEY_ONCE, NULL, 0, "Exit when everything is made", 1 },
	{ "order", OPTIONS_KEY_ORDER, "ORDER", OPTION_HIDDEN, NULL, 1 },
	{ 0 },
};

static error_t parse_run(int key, char *arg, struct argp_state *state)
{
	struct run_options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->encode;
		state->child_inputs[1] = &o->log;
		break;
	case 'j':
		o->n_workers = options_parse_int("-j", arg, 1, WORKERS_MAX, state);
		break;
	case 'o':
		o->out_dir = arg;
		break;
	case OPTIONS_KEY_LISTEN:
		options_check(cli_parse_listen(arg, &o->listen, &err), &err, state);
		o->has_listen = true;
		break;
	case OPTIONS_KEY_ONCE:
		o->is_once = true;
		break;
	case OPTIONS_KEY_ORDER:
		options_check(options_parse_order(arg, &o->shuffle_seed, &err), &err, state);
		break;
	case ARGP_KEY_ARG:
		if (o->path)
			options_check(err_set(&err, ERR_USAGE, "one FILE at a time, please"), &err, state);
		o->path = arg;
		break;
	case ARGP_KEY_END:
		if (!o->path && err_set(&err, ERR_USAGE, "which FILE? (try --help)"))
			options_refuse(&err, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child run_children[] = { { &options_encode, 0, NULL, 0 }, { &options_log, 0, NULL, 0 }, { 0 } };
const struct argp run_argp = {
	.options = run_argp_options,
	.parser = parse_run,
	.args_doc = "FILE",
	.doc = "Turns a media file into HLS with a private farm on this machine: a redis-server on a unix socket, "
	       "worker "
	       "processes, and the dispatcher. Nothing needs to be configured, and nothing is left behind."
	       "\vWhen everything is made, the playlist's address is printed and served until Ctrl-C.\n\n"
	       "  segfarm run film.mkv                       make it and serve it\n"
	       "  segfarm run -o out film.mkv                make files for a static server\n"
	       "  segfarm run -j 4 --listen 0.0.0.0:8090 film.mkv\n\n"
	       "Exit status: 0 done, 1 it could not be made (the reason is printed), 2 wrong use.",
	.children = run_children,
};

/* --- the work */

static bool wants_http(const struct run_options *o)
{
	return o->has_listen || (!o->out_dir && !o->is_once);
}

static int start(struct run *r, struct err *err)
{
	const struct run_options *o = r->options;
	int ret = dispatch_look_at(o->path, NULL, &r->source, err);

	if (ret >= 0 && o->out_dir)
		ret = export_open(&r->export, o->out_dir, err);
	if (ret >= 0 && wants_http(o))
		ret = http_create(&r->http, &o->listen, NULL, err);
	if (ret >= 0)
		ret = farm_start(&r->farm, o->n_workers, err);
	if (ret >= 0)
		ret = dispatch_init(&r->dispatch, r->farm.bus, NULL, r->farm.redis, err);
	if (ret < 0)
		return ret;
	r->loop.dispatch = &r->dispatch;
	r->loop.farm = &r->farm;
	r->loop.http = r->http;
	r->dispatch.shuffle_seed = o->shuffle_seed;
	if (o->out_dir) {
		r->dispatch.on_made = export_note;
		r->dispatch.on_made_arg = &r->export;
		r->export.is_only_reader = !r->http;
	}
	if (r->http)
		http_attach(r->http, &r->dispatch, r->farm.redis);
	r->farm.source = r->source.path;
	r->farm.has_hardware = strcmp(o->encode.video_encoder, RECORD_SOFTWARE) != 0;
	ret = farm_start_pool(&r->farm, CREDITS, err);
	if (ret >= 0)
		ret = dispatch_add(&r->dispatch, &r->source, &o->encode, false, &r->stream, err);
	return ret;
}

/* 1: everything that was asked for is there. */
static int check_end(struct run *r, struct err *err)
{
	int ret;

	if (r->stream->state == DISPATCH_FAILED)
		return err_set(err, ERR_DATA, "%.200s: %s", r->options->path, r->stream->error);
	if (r->stream->state < DISPATCH_DONE || (r->options->out_dir && !export_has_all(&r->export, r->stream)))
		return 0;
	ret = r->options->out_dir ? export_end(&r->export, r->stream, err) : 0;
	if (ret == ERR_RETRY)
		return 0;
	if (ret >= 0 && r->stream->state == DISPATCH_PARTIAL)
		return err_set(err, ERR_DATA, "%.200s: %zu of %zu segments could not be made, the rest is there; %s", r->options->path,
			       r->stream->n_quarantined, plan_count(&r->stream->plan), r->stream->error);
	return ret < 0 ? ret : 1;
}

static int make(struct run *r, struct err *err)
{
	int ret, more;

	progress_init(&r->progress);
	do {
		more = 0;
		if (r->options->out_dir)
			more = export_work(&r->export, &r->dispatch, r->stream, r->farm.redis, err);
		if (more < 0)
			ret = more;
		else
			ret = check_end(r, err);
		if (ret)
			break;
		progress_show(&r->progress, r->stream);
		ret = loop_step(&r->loop, more ? 0 : WAIT_MS, err);
	} while (ret >= 0);
	progress_end(&r->progress, r->stream);
	return ret < 0 ? ret : 0;
}

static void print_summary(const struct run *r)
{
	const struct dispatch_stream *s = r->stream;
	int64_t elapsed_ms = proc_now_ms() - r->progress.start_ms;
	const struct plan_segment *last = &s->plan.segments[s->plan.n_segments - 1];
	int64_t media_ms = (last->start + last->duration - s->plan.segments[0].start) / (TICKS_PER_SECOND / 1000);
	int64_t tenths = media_ms * 10 / (elapsed_ms > 0 ? elapsed_ms : 1);

	if (plan_renditions(&s->plan) > 1)
		printf("%zu renditions of ", plan_renditions(&s->plan));
	printf("%zu segments, %" PRId64 ".%03" PRId64 " s of media in %" PRId64 ".%03" PRId64 " s (%" PRId64
	       ".%" PRId64 "x real time)\n",
	       s->plan.n_segments, media_ms / 1000, media_ms % 1000, elapsed_ms / 1000, elapsed_ms % 1000,
	       tenths / 10, tenths % 10);
	if (strcmp(r->options->encode.video_encoder, RECORD_SOFTWARE) && s->plan.video.is_present && !s->plan.video.is_copy)
		printf("video encoder: %s\n", s->plan.video.encode.encoder);
	if (r->options->out_dir)
		printf("playlist: %s/master.m3u8\n", r->options->out_dir);
	if (r->http)
		printf("playlist: %s/hls/%s/master.m3u8\n", http_base(r->http), s->key);
	fflush(stdout);
}

static int serve_on(struct run *r, struct err *err)
{
	int ret;

	printf("serving until Ctrl-C\n");
	fflush(stdout);
	do
		ret = loop_step(&r->loop, WAIT_MS * 4, err);
	while (ret >= 0);
	return ret == ERR_STOPPED ? 0 : ret;
}

static void stop(struct run *r)
{
	/* The pool first: a worker that loses its dispatcher would only complain. */
	if (r->farm.has_directory)
		farm_stop(&r->farm);
	http_destroy(r->http);
	dispatch_finish(&r->dispatch);
	if (r->options->out_dir)
		export_close(&r->export);
	loop_finish(&r->loop);
}

int run_main(int argc, char **argv)
{
	struct run_options options = { .n_workers = options_n_cpus(), .log.level = LOG_LEVEL_ERROR };
	static struct run r;
	struct err err = { 0 };
	int ret;

	record_options_init(&options.encode);
	cli_parse_listen(OPTIONS_LISTEN, &options.listen, NULL);
	options_parse(&run_argp, "segfarm run", argc, argv, &options);
	options_start_log(&options.log, "segfarm");
	r.options = &options;
	r.export.dir_fd = -1;
	ret = loop_init(&r.loop, &err);
	if (ret >= 0)
		ret = start(&r, &err);
	if (ret >= 0)
		ret = make(&r, &err);
	if (ret >= 0)
		print_summary(&r);
	if (ret >= 0 && !options.out_dir && !options.is_once)
		ret = serve_on(&r, &err);
	if (ret == ERR_STOPPED)
		loop_read_signals(&r.loop); /* one that came while the farm was starting */
	stop(&r);
	if (ret < 0)
		fprintf(stderr, "segfarm run: %s\n", err.msg);
	if (r.loop.stop_signal)
		return ret < 0 ? 128 + r.loop.stop_signal : 0;
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : ret < 0;
}
