/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The commands of a person: submit, status, cancel, retry, rm.
 */
#include "common/json.h"
#include "common/key.h"
#include "common/log.h"
#include "common/options.h"
#include "dispatcher/command.h"
#include "dispatcher/commands.h"
#include "dispatcher/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_REDIS "redis://127.0.0.1:6379"
#define TIMEOUT_MS 5000

struct admin_options {
	const char *redis;
	char *const *names; /* FILEs or KEYs */
	int n_names;
	struct record_options encode;
	bool is_on_demand, is_json;
};

struct admin {
	const struct admin_options *options;
	struct store *store;
	json_t *dispatchers; /* what they say of themselves, by id */
	struct err *err;
};

/* --- options */

#define OPTION_REDIS                                                                                                              \
	{ "redis", OPTIONS_KEY_REDIS, "URL", 0,                                                                                   \
	  "The Redis of the farm: unix:///PATH or redis://[:PASSWORD@]HOST[:PORT][/DB] (default " DEFAULT_REDIS ")", 1 }

static error_t parse_admin(int key, char *arg, struct argp_state *state)
{
	struct admin_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		if (state->child_inputs)
			state->child_inputs[0] = &o->encode;
		break;
	case OPTIONS_KEY_REDIS:
		o->redis = arg;
		break;
	case OPTIONS_KEY_ON_DEMAND:
		o->is_on_demand = true;
		break;
	case OPTIONS_KEY_JSON:
		o->is_json = true;
		break;
	case ARGP_KEY_ARGS:
		o->names = state->argv + state->next;
		o->n_names = state->argc - state->next;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* --- submit */

static int submit_one(struct admin *a, const char *path)
{
	struct store_stream what;
	char key[RECORD_KEY_SIZE];
	int ret = command_submit(a->store, a->dispatchers, path, &a->options->encode, a->options->is_on_demand, key, &what, a->err);

	if (!ret && !strcmp(what.state, "failed"))
		return err_set(a->err, ERR_DATA, "%.300s has failed before: %.300s; 'segfarm retry %s' tries again", path, what.error,
			       key);
	if (ret >= 0)
		printf("%s %s\n", key, path);
	return ret;
}

/* --- cancel, retry, rm */

/* What command_cancel and others give. */
static int check_key(struct admin *a, const char *key, int ret)
{
	if (!key_is_valid(key))
		return err_set(a->err, ERR_USAGE, "'%.40s' is not a stream's key; 'segfarm status' lists them", key);
	return ret ? ret : err_set(a->err, ERR_USAGE, "there is no stream %s; 'segfarm status' lists them", key);
}

static int cancel_one(struct admin *a, const char *key)
{
	return check_key(a, key, command_cancel(a->store, a->dispatchers, key, a->err));
}

static int retry_one(struct admin *a, const char *key)
{
	return check_key(a, key, command_retry(a->store, a->dispatchers, key, a->err));
}

static int rm_one(struct admin *a, const char *key)
{
	return check_key(a, key, command_remove(a->store, a->dispatchers, key, a->err));
}

/* --- status */

static int count_commit(void *arg, int64_t start, int64_t duration, const struct store_commit *c)
{
	json_t *stream = arg;
	json_int_t n = json_integer_value(json_object_get(stream, "done")), bytes = json_integer_value(json_object_get(stream, "bytes"));

	(void)start, (void)duration;
	json_object_set_new(stream, "done", json_integer(n + 1));
	json_object_set_new(stream, "bytes", json_integer(bytes + c->bytes));
	return 0;
}

/* A text from outside, made UTF-8. */
static json_t *make_text(const char *s)
{
	struct buf text = { 0 };
	json_t *root, *value;

	jput_begin(&text);
	jput_str(&text, "s", s);
	jput_close(&text, '}');
	root = buf_failed(&text) ? NULL : json_loadb((const char *)text.data, text.size, 0, NULL);
	value = json_incref(json_object_get(root, "s"));
	json_decref(root);
	buf_finish(&text);
	return value ? value : json_string("?");
}

static int note_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		     const char *reason)
{
	json_array_append_new(arg, json_pack("{sssIsIsosiso}", "rendition", rendition, "start", (json_int_t)start, "duration", (json_int_t)duration, "class",
					     make_text(class_name), "attempts", attempts, "reason", make_text(reason)));
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
	stream = json_pack("{sssosbsosososIsIsIsIso}", "key", key, "path", make_text(what.source.path), "on_demand", what.is_on_demand,
			   "state", make_text(what.state), "error", make_text(what.error), "owner", make_text(owners[0]), "created",
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

struct listing {
	struct admin *admin;
	char (*keys)[RECORD_KEY_SIZE];
	size_t n;
};

static int list_key(void *arg, const char *key)
{
	struct listing *l = arg;
	char (*grown)[RECORD_KEY_SIZE] = realloc(l->keys, (l->n + 1) * sizeof(*grown));

	if (!grown)
		return err_set(l->admin->err, ERR_NOMEM, "out of memory");
	l->keys = grown;
	snprintf(l->keys[l->n++], RECORD_KEY_SIZE, "%s", key);
	return 0;
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

static void print_stream(const json_t *s)
{
	const json_t *fails = json_object_get(s, "quarantined"), *f;
	const char *slash = strrchr(string(s, "path"), '/');
	size_t i;

	printf("%-16s  %-8s  %5lld/%-5lld  %8.1f  %s%s\n", string(s, "key"), string(s, "state"), number(s, "done"),
	       number(s, "segments"), (double)number(s, "bytes") / (1 << 20), slash ? slash + 1 : string(s, "path"),
	       json_is_true(json_object_get(s, "on_demand")) ? " (on demand)" : "");
	if (string(s, "error")[0])
		printf("%18s%s\n", "", string(s, "error"));
	json_array_foreach(fails, i, f) {
		bool is_main = !strcmp(string(f, "rendition"), RECORD_RENDITION);

		printf("%18squarantined: %s%s%lld-%lld after %lld attempts (%s): %s\n", "", is_main ? "" : string(f, "rendition"),
		       is_main ? "" : " ", number(f, "start"), number(f, "duration"), number(f, "attempts"), string(f, "class"),
		       string(f, "reason"));
	}
}

static void print_dispatcher(const char *id, const json_t *d)
{
	const json_t *queue = json_object_get(d, "queue"), *counters = json_object_get(d, "counters"), *workers, *w;
	size_t i;

	printf("dispatcher %s  %s  pid %lld\n", id, string(d, "name"), number(d, "pid"));
	printf("  queue: %lld player, %lld ahead, %lld precompute, %lld waiting, %lld in flight; %lld requests wait\n",
	       number(queue, "player"), number(queue, "ahead"), number(queue, "precompute"), number(queue, "waiting"),
	       number(queue, "in_flight"), number(d, "requests_waiting"));
	printf("  jobs: %lld given, %lld done, %lld failed; %lld workers lost, %lld messages refused\n", number(counters, "jobs_given"),
	       number(counters, "jobs_done"), number(counters, "jobs_failed"), number(counters, "workers_lost"),
	       number(counters, "messages_refused"));
	workers = json_object_get(d, "workers");
	printf("  workers: %lld\n", number(d, "n_workers"));
	json_array_foreach(workers, i, w)
		printf("    %-24s pid %-7lld %s %s\n", string(w, "name"), number(w, "pid"),
		       number(w, "jobs") ? "works on" : "idle", string(w, "stream"));
}

static void print_table(const json_t *streams, json_t *dispatchers)
{
	const json_t *s;
	json_t *d;
	const char *id;
	size_t i;

	printf("%-16s  %-8s  %11s  %8s  %s\n", "stream", "state", "segments", "MiB", "source");
	json_array_foreach(streams, i, s)
		print_stream(s);
	json_object_foreach(dispatchers, id, d)
		print_dispatcher(id, d);
	if (!json_object_size(dispatchers))
		printf("no dispatcher: start one with 'segfarm serve'\n");
}

static int show_status(struct admin *a)
{
	struct listing listing = { .admin = a };
	json_t *streams = json_array(), *root;
	int ret = 0;

	if (a->options->n_names)
		for (int i = 0; i < a->options->n_names && ret >= 0; i++) {
			struct store_stream what;

			ret = store_get_stream(a->store, a->options->names[i], &what, a->err);
			ret = check_key(a, a->options->names[i], ret == ERR_DATA ? 1 : ret);
			if (ret > 0)
				ret = list_key(&listing, a->options->names[i]);
		}
	else
		ret = store_list_streams(a->store, list_key, &listing, a->err);
	for (size_t i = 0; i < listing.n && ret >= 0; i++)
		ret = describe(a, listing.keys[i], streams);
	root = json_pack("{sOsO}", "streams", streams, "dispatchers", a->dispatchers);
	if (ret >= 0 && a->options->is_json && json_dumpf(root, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	else if (ret >= 0)
		print_table(streams, a->dispatchers);
	json_decref(root);
	json_decref(streams);
	free(listing.keys);
	return ret;
}

/* --- the programs */

typedef int admin_fn(struct admin *a, const char *name);

/* one: for each name; NULL: status. */
static int admin(const char *name, const struct argp *argp, admin_fn *one, int argc, char **argv)
{
	struct admin_options options = { .redis = DEFAULT_REDIS };
	struct err err = { 0 };
	struct admin a = { .options = &options, .err = &err };
	int ret;

	record_options_init(&options.encode);
	options_parse(argp, name, argc, argv, &options);
	log_init("segfarm", LOG_LEVEL_ERROR);
	if (one && !options.n_names)
		ret = err_set(&err, ERR_USAGE, "which? (try --help)");
	else
		ret = store_open(&a.store, options.redis, TIMEOUT_MS, &err);
	if (ret >= 0 && !(a.dispatchers = command_list_dispatchers(a.store, &err)))
		ret = err.code;
	for (int i = 0; one && i < options.n_names && ret >= 0; i++)
		ret = one(&a, options.names[i]);
	if (!one && ret >= 0)
		ret = show_status(&a);
	json_decref(a.dispatchers);
	store_close(a.store);
	if (ret < 0)
		fprintf(stderr, "%s: %s\n", name, err.msg);
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : ret < 0;
}

static const struct argp_option plain_options[] = { OPTION_REDIS, { 0 } };

int submit_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_REDIS,
		{ "on-demand", OPTIONS_KEY_ON_DEMAND, NULL, 0, "Make nothing before a player asks for it", 1 },
		{ 0 },
	};
	static const struct argp_child children[] = { { &options_encode, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse_admin,
		.args_doc = "FILE...",
		.doc = "Hands media files to the farm. Each is accepted once its line, with its key, is printed: Redis has it, and the "
		       "dispatchers make it, whatever may die meanwhile. Its playlist is /hls/KEY/master.m3u8 at any of them.",
		.children = children,
	};

	return admin("segfarm submit", &argp, submit_one, argc, argv);
}

int status_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_REDIS,
		{ "json", OPTIONS_KEY_JSON, NULL, 0, "As JSON, for programs", 1 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_admin,
		.args_doc = "[KEY...]",
		.doc = "Shows the streams of the farm (all, or those named), what of them is made, what could not be made and why, and its "
		       "dispatchers with their queues and workers (as of the last two seconds).",
	};

	return admin("segfarm status", &argp, NULL, argc, argv);
}

int cancel_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = plain_options,
		.parser = parse_admin,
		.args_doc = "KEY...",
		.doc = "Makes nothing more of a stream ahead. What is made stays, and players still get the rest when they ask for it. "
		       "'segfarm submit' goes on with it.",
	};

	return admin("segfarm cancel", &argp, cancel_one, argc, argv);
}

int retry_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = plain_options,
		.parser = parse_admin,
		.args_doc = "KEY...",
		.doc = "Tries again what of a stream could not be made.",
	};

	return admin("segfarm retry", &argp, retry_one, argc, argv);
}

int rm_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = plain_options,
		.parser = parse_admin,
		.args_doc = "KEY...",
		.doc = "Removes a stream and all that was made of it. Its source file stays.",
	};

	return admin("segfarm rm", &argp, rm_one, argc, argv);
}
