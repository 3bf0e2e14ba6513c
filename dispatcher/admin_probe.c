/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * probe: what is known of a title, and how it is made.
 */
#include "dispatcher/admin.h"

#include "common/json.h"
#include "common/key.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/api.h"
#include "dispatcher/command.h"
#include "dispatcher/commands.h"
#include "dispatcher/dispatch.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#define LOOK_MS 100
#define WAIT_MS 60000

/* The shortest segment, and the longest one. */
static void measure(const struct plan *plan, int64_t *least, int64_t *most)
{
	*least = *most = plan->segments[0].duration;
	for (size_t i = 1; i < plan->n_segments; i++) {
		int64_t ticks = plan->segments[i].duration;

		*least = ticks < *least ? ticks : *least;
		*most = ticks > *most ? ticks : *most;
	}
}

static int64_t duration(const struct plan *plan)
{
	const struct plan_segment *last = &plan->segments[plan->n_segments - 1];

	return last->start + last->duration - plan->segments[0].start;
}

static void put(const char *key, const struct store_stream *what, const struct plan *plan, struct buf *json)
{
	int64_t least, most;

	measure(plan, &least, &most);
	jput_begin(json);
	jput_str(json, "key", key);
	jput_str(json, "source", what->source.path);
	jput_ticks(json, "duration", duration(plan));
	jput_open(json, "segments", '{');
	jput_int(json, "count", (int64_t)plan->n_segments);
	jput_ticks(json, "shortest", least);
	jput_ticks(json, "longest", most);
	jput_bool(json, "is_independent", plan->is_independent);
	jput_close(json, '}');
	api_put_tracks(plan, json);
	jput_close(json, '}');
}

static double seconds(int64_t ticks)
{
	return (double)ticks / TICKS_PER_SECOND;
}

static void print_video(const struct record_video *v)
{
	printf("  video: track %" PRId64 ", %s%s%s, %dx%d, %s", v->track, v->codecs, v->supplemental[0] ? " + " : "", v->supplemental, v->width,
	       v->height, v->range);
	if (v->rate_den)
		printf(", %.3f frames/s", (double)v->rate_num / (double)v->rate_den);
	printf(", %s%s\n", v->is_copy ? "copied" : "encoded by ", v->is_copy ? "" : v->encode.encoder);
}

static void print_audio(const struct record_audio *a)
{
	printf("track %" PRId64 ", %s, %d Hz, %d channels, %s", a->track, a->codecs, a->rate, a->channels, a->is_copy ? "copied" : "encoded");
}

static void print_track(const struct record_track *t)
{
	printf("  %s: ", t->text.is_present ? "subtitles" : "audio");
	if (t->audio.is_present)
		print_audio(&t->audio);
	else
		printf("track %" PRId64, t->text.track);
	printf(", \"%s\"%s%s%s%s, rendition %s\n", t->name, t->language[0] ? ", " : "", t->language, t->is_default ? ", default" : "",
	       t->is_forced ? ", forced" : "", t->rendition);
}

static void print(const char *key, const struct store_stream *what, const struct plan *plan)
{
	int64_t least, most;

	measure(plan, &least, &most);
	printf("%s  %s\n  duration: %.3f s in %zu segments of %.3f to %.3f s%s\n", key, what->source.path, seconds(duration(plan)),
	       plan->n_segments, seconds(least), seconds(most), plan->is_independent ? "" : " (open GOPs)");
	if (plan->video.is_present)
		print_video(&plan->video);
	if (plan->audio.is_present) {
		printf("  audio: ");
		print_audio(&plan->audio);
		printf("\n");
	}
	for (int i = 0; i < plan->n_tracks; i++)
		print_track(&plan->tracks[i]);
}

static int show(struct admin *a, const char *key, const struct store_stream *what, struct bytes record)
{
	struct buf json = { 0 };
	struct plan plan;
	int ret = plan_get(record, &plan, a->err);

	if (ret < 0)
		return ret;
	if (!a->options->is_json) {
		print(key, what, &plan);
	} else {
		put(key, what, &plan, &json);
		if (buf_cstr(&json))
			puts(buf_cstr(&json));
		else
			ret = err_set(a->err, ERR_NOMEM, "out of memory");
	}
	buf_finish(&json);
	plan_finish(&plan);
	return ret;
}

/* 1 shown, 0 there is no plan yet. */
static int look(struct admin *a, const char *key)
{
	struct store_stream what;
	struct buf record = { 0 };
	int ret = store_get_stream(a->store, key, &what, a->err);

	if (!ret)
		return err_set(a->err, ERR_USAGE, "there is no stream %s; 'segfarm status' lists them", key);
	if (ret > 0 && !strcmp(what.state, "failed"))
		return err_set(a->err, ERR_DATA, "%.150s: %.230s", what.source.path, what.error);
	if (ret > 0)
		ret = store_get_value(a->store, key, "plan", &record, a->err);
	if (ret > 0)
		ret = show(a, key, &what, buf_bytes(&record)) < 0 ? a->err->code : 1;
	buf_finish(&record);
	return ret;
}

/* What is not there yet becomes a stream of which nothing is made ahead. */
static int find_file(struct admin *a, const char *path, char key[RECORD_KEY_SIZE])
{
	struct record_source source;
	struct store_stream what;
	int ret = dispatch_look_at(path, NULL, &source, a->err);

	if (ret < 0)
		return ret;
	key_derive_source(&source, &a->options->encode, key);
	ret = store_get_stream(a->store, key, &what, a->err);
	return ret ? ret : command_submit(a->store, a->dispatchers, path, &a->options->encode, true, key, &what, a->err);
}

/* A KEY, or a FILE. */
static int probe_one(struct admin *a, const char *name)
{
	int64_t end_ms = proc_now_ms() + WAIT_MS;
	char key[RECORD_KEY_SIZE];
	int ret = 0;

	if (key_is_valid(name))
		snprintf(key, sizeof(key), "%s", name);
	else
		ret = find_file(a, name, key);
	while (ret >= 0 && (ret = look(a, key)) == 0) {
		if (proc_now_ms() >= end_ms)
			return err_set(a->err, ERR_RETRY, "%.200s has not been looked at within %d s: does the farm have a worker?", name,
				       WAIT_MS / 1000);
		poll(NULL, 0, LOOK_MS);
	}
	return ret;
}

static const struct argp_option probe_options[] = { ADMIN_OPTION_REDIS, ADMIN_OPTION_JSON, { 0 } };
static const struct argp_child probe_children[] = { { &options_encode, 0, NULL, 0 }, { 0 } };
const struct argp probe_argp = {
	.options = probe_options,
	.parser = admin_parse,
	.args_doc = "FILE|KEY...",
	.doc = "Shows what a worker of the farm found in a title, and how it is made: its tracks, what is copied and what encoded, how it is "
	       "cut."
	       "\vA FILE becomes a stream of the farm, of which nothing is made before a player asks; 'segfarm rm KEY' removes it again.",
	.children = probe_children,
};

int probe_main(int argc, char **argv)
{
	return admin_main("segfarm probe", &probe_argp, probe_one, NULL, argc, argv);
}
