/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * status.
 */
#include "dispatcher/admin.h"

#include "dispatcher/commands.h"

#include <stdlib.h>
#include <string.h>

static int count_commit(void *arg, int64_t start, int64_t duration, const struct store_commit *c)
{
	json_t *stream = arg;
	json_int_t n = json_integer_value(json_object_get(stream, "done")), bytes = json_integer_value(json_object_get(stream, "bytes"));

	(void)start, (void)duration;
	json_object_set_new(stream, "done", json_integer(n + 1));
	json_object_set_new(stream, "bytes", json_integer(bytes + c->bytes));
	return 0;
}

static int note_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		     const char *reason)
{
	json_array_append_new(arg, json_pack("{sssIsIsosiso}", "rendition", rendition, "start", (json_int_t)start, "duration", (json_int_t)duration, "class",
					     admin_text(class_name), "attempts", attempts, "reason", admin_text(reason)));
	return 0;
}

/* What there is of each rendition. */
static int count_renditions(struct admin *a, const char *key, char *renditions, json_t *stream)
{
	int ret = 0;

	for (char *rest, *name = strtok_r(renditions, " ", &rest); name && ret >= 0; name = strtok_r(NULL, " ", &rest))
		ret = store_list_commits(a->store, key, name, count_commit, stream, a->err);
	return ret;
}

static int describe(struct admin *a, const char *key, json_t *streams)
{
	char keys[1][RECORD_KEY_SIZE], owners[1][STORE_OWNER_SIZE] = { "" };
	struct store_stream what;
	json_t *stream, *fails;
	int ret = store_get_stream(a->store, key, &what, a->err);

	if (ret <= 0)
		return ret == ERR_DATA ? 0 : ret;
	snprintf(keys[0], sizeof(keys[0]), "%s", key);
	ret = store_get_owners(a->store, (const char (*)[RECORD_KEY_SIZE])keys, 1, owners, a->err);
	fails = json_array();
	stream = json_pack("{sssosbsosososIsIsIsIso}", "key", key, "path", admin_text(what.source.path), "on_demand", what.is_on_demand,
			   "state", admin_text(what.state), "error", admin_text(what.error), "owner", admin_text(owners[0]), "created",
			   (json_int_t)what.created, "segments", (json_int_t)what.n_segments, "done", (json_int_t)0, "bytes",
			   (json_int_t)0, "quarantined", fails);
	if (!stream)
		return err_set(a->err, ERR_NOMEM, "out of memory");
	json_array_append_new(streams, stream);
	if (ret >= 0)
		ret = count_renditions(a, key, what.renditions, stream);
	if (ret >= 0)
		ret = store_list_fails(a->store, key, note_fail, fails, a->err);
	return ret == ERR_USAGE ? 0 : ret; /* a key that is not what it should be: its error says so */
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *string(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static void print_stream(const json_t *s, FILE *to)
{
	const json_t *fails = json_object_get(s, "quarantined"), *f;
	const char *slash = strrchr(string(s, "path"), '/');
	size_t i;

	fprintf(to, "%-16s  %-8s  %5lld/%-5lld  %8.1f  %s%s\n", string(s, "key"), string(s, "state"), number(s, "done"),
	       number(s, "segments"), (double)number(s, "bytes") / (1 << 20), slash ? slash + 1 : string(s, "path"),
	       json_is_true(json_object_get(s, "on_demand")) ? " (on demand)" : "");
	if (string(s, "error")[0])
		fprintf(to, "%18s%s\n", "", string(s, "error"));
	json_array_foreach(fails, i, f) {
		bool is_main = !strcmp(string(f, "rendition"), RECORD_RENDITION);

		fprintf(to, "%18squarantined: %s%s%lld-%lld after %lld attempts (%s): %s\n", "", is_main ? "" : string(f, "rendition"),
			is_main ? "" : " ", number(f, "start"), number(f, "duration"), number(f, "attempts"), string(f, "class"),
			string(f, "reason"));
	}
}

static void print_worker(const json_t *w, FILE *to)
{
	const json_t *labels = json_object_get(w, "labels"), *label;
	size_t i;

	fprintf(to, "    %-24s pid %-7lld version %s", string(w, "name"), number(w, "pid"), string(w, "version")[0] ? string(w, "version") : "?");
	json_array_foreach(labels, i, label)
		fprintf(to, "%s%s", i ? "," : "  ", json_string_value(label) ? json_string_value(label) : "");
	fprintf(to, "  %s %s\n", number(w, "jobs") ? "works on" : "idle", string(w, "stream"));
}

static void print_dispatcher(const char *id, const json_t *d, FILE *to)
{
	const json_t *queue = json_object_get(d, "queue"), *counters = json_object_get(d, "counters"), *workers, *w;
	size_t i;

	fprintf(to, "dispatcher %s  %s  pid %lld  version %s (protocol %lld)%s%s\n", id, string(d, "name"), number(d, "pid"), string(d, "version"),
		number(d, "protocol"), string(d, "endpoint")[0] ? "  found at " : "", string(d, "endpoint"));
	fprintf(to, "  queue: %lld player, %lld ahead, %lld precompute, %lld waiting, %lld in flight; %lld requests wait\n",
	       number(queue, "player"), number(queue, "ahead"), number(queue, "precompute"), number(queue, "waiting"),
	       number(queue, "in_flight"), number(d, "requests_waiting"));
	fprintf(to, "  jobs: %lld given, %lld done, %lld failed; %lld workers lost, %lld messages refused\n", number(counters, "jobs_given"),
	       number(counters, "jobs_done"), number(counters, "jobs_failed"), number(counters, "workers_lost"),
	       number(counters, "messages_refused"));
	workers = json_object_get(d, "workers");
	fprintf(to, "  streams: %lld driven here, %lld handed to others; workers: %lld of %lld pools, %lld refused\n", number(d, "driven"),
		number(counters, "streams_handed"), number(d, "n_workers"), number(d, "n_pools"), number(counters, "workers_refused"));
	json_array_foreach(workers, i, w)
		print_worker(w, to);
}

void admin_print(const json_t *status, FILE *to)
{
	const json_t *streams = json_object_get(status, "streams"), *s;
	json_t *dispatchers = json_object_get(status, "dispatchers"), *d;
	const char *id;
	size_t i;

	fprintf(to, "%-16s  %-8s  %11s  %8s  %s\n", "stream", "state", "segments", "MiB", "source");
	json_array_foreach(streams, i, s)
		print_stream(s, to);
	json_object_foreach(dispatchers, id, d)
		print_dispatcher(id, d, to);
	if (!json_object_size(dispatchers))
		fprintf(to, "no dispatcher: start one with 'segfarm serve'\n");
}

/* Those that are named, or all. */
static int describe_all(struct admin *a, json_t *streams)
{
	char (*keys)[RECORD_KEY_SIZE] = NULL;
	size_t n = 0;
	int ret = 0;

	for (int i = 0; i < a->options->n_names && ret >= 0; i++) {
		ret = admin_find(a, a->options->names[i]);
		if (ret > 0)
			ret = describe(a, a->options->names[i], streams);
	}
	if (!a->options->n_names)
		ret = store_list_streams(a->store, &keys, &n, a->err);
	for (size_t i = 0; i < n && ret >= 0; i++)
		ret = describe(a, keys[i], streams);
	free(keys);
	return ret;
}

json_t *admin_look(struct admin *a)
{
	json_t *streams = json_array(), *root = NULL;
	int ret = describe_all(a, streams);

	if (ret >= 0)
		root = json_pack("{sOsO}", "streams", streams, "dispatchers", a->dispatchers);
	if (ret >= 0 && !root)
		err_set(a->err, ERR_NOMEM, "out of memory");
	json_decref(streams);
	return root;
}

static int show_status(struct admin *a)
{
	json_t *root;

	if (a->options->is_watched)
		return watch(a);
	root = admin_look(a);
	if (!root)
		return a->err->code;
	if (!a->options->is_json)
		admin_print(root, stdout);
	else if (json_dumpf(root, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_decref(root);
	return 0;
}

static const struct argp_option status_options[] = {
	ADMIN_OPTION_REDIS,
	ADMIN_OPTION_JSON,
	{ "watch", OPTIONS_KEY_WATCH, NULL, 0, "Show it on this terminal, anew each second, until q is pressed", 1 },
	{ 0 },
};
const struct argp status_argp = {
	.options = status_options,
	.parser = admin_parse,
	.args_doc = "[KEY...]",
	.doc = "Shows the streams of the farm (all, or those named), what of them is made, what could not be made and why, and its "
	       "dispatchers with their queues and workers (as of the last two seconds).",
};

int status_main(int argc, char **argv)
{
	return admin_main("segfarm status", &status_argp, NULL, show_status, argc, argv);
}
