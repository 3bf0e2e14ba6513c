/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * probe: what is known of a title, and how it is made.
 */
#include "dispatcher/admin.h"

#include "common/key.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/command.h"
#include "dispatcher/commands.h"
#include "dispatcher/dispatch.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100
#define WAIT_MS 60000

static double seconds(int64_t ticks)
{
	return (double)ticks / TICKS_PER_SECOND;
}

static json_t *describe_video(const struct record_video *v)
{
	json_t *json = json_pack("{sIsosisissso*sb}", "track", (json_int_t)v->track, "codecs", admin_text(v->codecs), "width", v->width,
				 "height", v->height, "range", v->range, "frame_rate",
				 v->rate_den ? json_real((double)v->rate_num / (double)v->rate_den) : NULL, "copied", v->is_copy);

	if (!v->is_copy)
		json_object_set_new(json, "encoder", admin_text(v->encode.encoder));
	if (v->supplemental[0])
		json_object_set_new(json, "supplemental", admin_text(v->supplemental));
	return json;
}

static json_t *describe_audio(const struct record_audio *a)
{
	return json_pack("{sIsosisisisb}", "track", (json_int_t)a->track, "codecs", admin_text(a->codecs), "rate", a->rate, "channels",
			 a->channels, "source_rate", a->source_rate, "copied", a->is_copy);
}

/* A rendition of its own. */
static json_t *describe_track(const struct record_track *t)
{
	json_t *json = t->audio.is_present ? describe_audio(&t->audio) : json_pack("{sI}", "track", (json_int_t)t->text.track);

	json_object_set_new(json, "kind", json_string(t->audio.is_present ? "audio" : "subtitles"));
	json_object_set_new(json, "rendition", admin_text(t->rendition));
	json_object_set_new(json, "name", admin_text(t->name));
	json_object_set_new(json, "language", admin_text(t->language));
	json_object_set_new(json, "default", json_boolean(t->is_default));
	json_object_set_new(json, "forced", json_boolean(t->is_forced));
	return json;
}

static json_t *describe_segments(const struct plan *plan)
{
	int64_t least = INT64_MAX, most = 0;

	for (size_t i = 0; i < plan->n_segments; i++) {
		int64_t ticks = plan->segments[i].duration;

		least = ticks < least ? ticks : least;
		most = ticks > most ? ticks : most;
	}
	return json_pack("{sIsfsfsb}", "count", (json_int_t)plan->n_segments, "shortest", seconds(plan->n_segments ? least : 0), "longest",
			 seconds(most), "independent", plan->is_independent);
}

static json_t *describe(const char *key, const struct store_stream *what, const struct plan *plan)
{
	const struct plan_segment *last = &plan->segments[plan->n_segments - 1];
	json_t *json = json_pack("{sssosfso}", "key", key, "source", admin_text(what->source.path), "duration",
				 seconds(last->start + last->duration - plan->segments[0].start), "segments", describe_segments(plan));

	if (plan->video.is_present)
		json_object_set_new(json, "video", describe_video(&plan->video));
	if (plan->audio.is_present)
		json_object_set_new(json, "audio", describe_audio(&plan->audio));
	if (plan->n_tracks)
		json_object_set_new(json, "tracks", json_array());
	for (int i = 0; i < plan->n_tracks; i++)
		json_array_append_new(json_object_get(json, "tracks"), describe_track(&plan->tracks[i]));
	return json;
}

static const char *text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static double real(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static void print_audio(const json_t *a)
{
	printf("track %lld, %s, %lld Hz, %lld channels, %s", number(a, "track"), text(a, "codecs"), number(a, "rate"), number(a, "channels"),
	       json_is_true(json_object_get(a, "copied")) ? "copied" : "encoded");
}

static void print_track(const json_t *t)
{
	printf("  %s: ", text(t, "kind"));
	if (json_object_get(t, "codecs"))
		print_audio(t);
	else
		printf("track %lld", number(t, "track"));
	printf(", \"%s\"%s%s%s%s, rendition %s\n", text(t, "name"), text(t, "language")[0] ? ", " : "", text(t, "language"),
	       json_is_true(json_object_get(t, "default")) ? ", default" : "", json_is_true(json_object_get(t, "forced")) ? ", forced" : "",
	       text(t, "rendition"));
}

static void print(const json_t *json)
{
	const json_t *v = json_object_get(json, "video"), *a = json_object_get(json, "audio"), *s = json_object_get(json, "segments"), *t;
	size_t i;

	printf("%s  %s\n", text(json, "key"), text(json, "source"));
	printf("  duration: %.3f s in %lld segments of %.3f to %.3f s%s\n", real(json, "duration"), number(s, "count"), real(s, "shortest"),
	       real(s, "longest"), json_is_true(json_object_get(s, "independent")) ? "" : " (open GOPs)");
	if (v) {
		printf("  video: track %lld, %s%s%s, %lldx%lld, %s", number(v, "track"), text(v, "codecs"),
		       text(v, "supplemental")[0] ? " + " : "", text(v, "supplemental"), number(v, "width"), number(v, "height"),
		       text(v, "range"));
		if (json_object_get(v, "frame_rate"))
			printf(", %.3f frames/s", real(v, "frame_rate"));
		printf(", %s%s\n", json_is_true(json_object_get(v, "copied")) ? "copied" : "encoded by ", text(v, "encoder"));
	}
	if (a) {
		printf("  audio: ");
		print_audio(a);
		printf("\n");
	}
	json_array_foreach(json_object_get(json, "tracks"), i, t)
		print_track(t);
}

static int show(struct admin *a, const char *key, const struct store_stream *what, struct bytes record)
{
	struct plan plan;
	json_t *json;
	int ret = plan_get(record, &plan, a->err);

	if (ret < 0)
		return ret;
	json = describe(key, what, &plan);
	if (!a->options->is_json)
		print(json);
	else if (json_dumpf(json, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_decref(json);
	plan_finish(&plan);
	return 0;
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
