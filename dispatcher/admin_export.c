/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * export: a stream of a farm as files.
 */
#include "dispatcher/admin.h"

#include "common/proc.h"
#include "dispatcher/commands.h"
#include "dispatcher/export.h"
#include "dispatcher/stream.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 500

/* The stream as it is now, and everything that is made of it noted to be written: 1 it is there, 0 it is not (any more). */
static int look(struct dispatch *d, const char *key, struct dispatch_stream **stream, struct err *err)
{
	struct store_stream what;
	int ret = *stream ? store_get_stream(d->store, key, &what, err) : dispatch_load(d, key, stream, err);

	if (ret > 0 && *stream && (*stream)->state == DISPATCH_FAILED)
		return err_set(err, ERR_DATA, "it could not be made: %s", (*stream)->error);
	if (ret > 0)
		stream_refresh(d, *stream, 0);
	if (ret > 0 && (*stream)->state != DISPATCH_FAILED)
		ret = stream_reconcile(d, *stream, err) < 0 ? err->code : 1;
	return ret;
}

/* Players are to pass over what there is not. */
static void give_up_missing(struct dispatch_stream *s, const struct export *e)
{
	for (size_t i = 0; i < e->n_segments; i++)
		if (e->sizes[i] < 0 && s->segments[i] != DISPATCH_QUARANTINED) {
			s->segments[i] = DISPATCH_QUARANTINED;
			s->n_quarantined++;
		}
}

/* 1: all that was asked for is written. */
static int step(struct admin *a, struct dispatch *d, struct dispatch_stream *s, struct export *e)
{
	int ret;

	while ((ret = export_work(e, d, s, a->options->redis, a->err)) > 0)
		continue;
	if (ret < 0)
		return ret;
	if (!s->has_plan)
		return a->options->is_not_waiting ? err_set(a->err, ERR_DATA, "nothing is known of it yet") : 0;
	if (export_has_all(e, s))
		return 1;
	if (a->options->is_not_waiting) {
		give_up_missing(s, e);
		return e->n_written ? 1 : err_set(a->err, ERR_DATA, "nothing of it is made yet");
	}
	if (s->is_on_demand)
		return err_set(a->err, ERR_USAGE, "it is made on demand, and %zu segments are not made: 'segfarm submit %.300s' makes them, "
			       "--no-wait does without", plan_count(&s->plan) - e->n_written - s->n_quarantined, s->source.path);
	return 0;
}

static int wait_for_all(struct admin *a, struct dispatch *d, const char *key, struct export *e, struct dispatch_stream **s)
{
	int ret;

	while ((ret = look(d, key, s, a->err)) > 0) {
		ret = step(a, d, *s, e);
		if (ret)
			return ret;
		poll(NULL, 0, LOOK_MS);
	}
	return ret < 0 ? ret : err_set(a->err, ERR_USAGE, "the stream was removed");
}

static int export_one(struct admin *a, const char *key)
{
	struct dispatch d = { 0 };
	struct export e = { .dir_fd = -1 };
	struct dispatch_stream *s = NULL;
	int ret = admin_find(a, key);

	if (ret > 0 && !a->options->output)
		ret = err_set(a->err, ERR_USAGE, "where shall it be written? (-o DIR)");
	if (ret > 0 && a->options->n_names > 1)
		ret = err_set(a->err, ERR_USAGE, "one KEY at a time, please");
	if (ret > 0)
		ret = export_open(&e, a->options->output, a->err);
	if (ret < 0)
		return ret;
	ret = dispatch_init_viewer(&d, a->options->redis, a->err);
	d.on_made = export_note;
	d.on_made_arg = &e;
	if (ret >= 0)
		ret = wait_for_all(a, &d, key, &e, &s);
	if (ret > 0)
		ret = export_end(&e, s, a->err);
	if (ret >= 0)
		printf("playlist: %s/master.m3u8\n", a->options->output);
	if (ret >= 0 && s->n_quarantined)
		ret = err_set(a->err, ERR_DATA, "%zu of %zu segments are not made, the rest is there%s%s", s->n_quarantined,
			      plan_count(&s->plan), s->error[0] ? "; " : "", s->error);
	export_close(&e);
	dispatch_finish(&d);
	return ret;
}

static const struct argp_option export_options[] = {
	ADMIN_OPTION_REDIS,
	{ "output", 'o', "DIR", 0, "Where to write; it is made if need be", 1 },
	{ "no-wait", OPTIONS_KEY_NO_WAIT, NULL, 0, "Write what is made by now; the playlists call the rest gaps", 1 },
	{ 0 },
};
const struct argp export_argp = {
	.options = export_options,
	.parser = admin_parse,
	.args_doc = "KEY",
	.doc = "Writes the HLS of a stream as files that any static web server can serve: those of 'segfarm run -o'. Waits until all of it is "
	       "made. Exit status 1 where something could not be made; the rest is written then.",
};

int export_main(int argc, char **argv)
{
	return admin_main("segfarm export", &export_argp, export_one, NULL, argc, argv);
}
