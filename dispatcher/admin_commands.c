/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * submit, cancel, retry, rm.
 */
#include "dispatcher/admin.h"

#include "common/key.h"
#include "dispatcher/commands.h"
#include "dispatcher/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- submit */

static void add_all(char ***texts, int *n, const json_t *array)
{
	*texts = calloc(json_array_size(array) + 1, sizeof **texts);
	for (size_t i = 0; *texts && i < json_array_size(array); i++)
		if (json_is_string(json_array_get(array, i)))
			(*texts)[(*n)++] = (char *)(uintptr_t)json_string_value(json_array_get(array, i));
}

/* By one of the dispatchers there are; where there is none, the one that comes will see. */
static int check_allowed(struct admin *a, const char *path)
{
	const char *id;
	json_t *status;
	int ret = 0;

	json_object_foreach(a->dispatchers, id, status) {
		struct allow allow = { 0 };

		if (!json_is_array(json_object_get(status, "media_roots")))
			return 0;
		add_all(&allow.roots, &allow.n_roots, json_object_get(status, "media_roots"));
		add_all(&allow.urls, &allow.n_urls, json_object_get(status, "allow_urls"));
		ret = record_is_url(path) ? allow_url(&allow, path, a->err) : allow_path(&allow, path, a->err);
		free(allow.roots);
		free(allow.urls);
		if (!ret)
			return 0;
	}
	return ret;
}

int admin_submit(struct admin *a, const char *path, bool is_on_demand, char key[RECORD_KEY_SIZE])
{
	struct store_stream what = { .options = a->options->encode, .is_on_demand = is_on_demand }, old;
	bool is_new;
	int ret = dispatch_look_at(path, NULL, &what.source, a->err);

	if (ret >= 0)
		ret = check_allowed(a, what.source.path);
	if (ret < 0)
		return ret;
	key_derive_source(&what.source, &what.options, key);
	ret = store_get_stream(a->store, key, &old, a->err);
	if (ret == 1 && !strcmp(old.state, "failed"))
		return err_set(a->err, ERR_DATA, "%.300s has failed before: %.300s; 'segfarm retry %s' tries again", path, old.error,
			       key);
	is_new = ret != 1;
	if (ret >= 0 || ret == ERR_DATA)
		ret = is_new || !is_on_demand ? store_put_stream(a->store, key, &what, a->err) : 0;
	if (ret >= 0)
		ret = admin_tell(a, key);
	return ret < 0 ? ret : is_new;
}

static int submit_one(struct admin *a, const char *path)
{
	char key[RECORD_KEY_SIZE];
	int ret = admin_submit(a, path, a->options->is_on_demand, key);

	if (ret >= 0)
		printf("%s %s\n", key, path);
	return ret;
}

/* --- cancel, retry, rm */

static int cancel_one(struct admin *a, const char *key)
{
	int ret = admin_check_key(a, key);

	if (ret > 0)
		ret = store_set_mode(a->store, key, true, a->err);
	return ret < 0 ? ret : admin_tell(a, key);
}

static int retry_one(struct admin *a, const char *key)
{
	int ret = admin_check_key(a, key);

	if (ret > 0)
		ret = store_clear_fails(a->store, key, a->err);
	if (ret >= 0)
		ret = store_set_state(a->store, key, NULL, "working", "", a->err);
	return ret < 0 ? ret : admin_tell(a, key);
}

static int rm_one(struct admin *a, const char *key)
{
	int ret = admin_check_key(a, key);

	if (ret > 0)
		ret = store_remove_stream(a->store, key, a->err);
	return ret < 0 ? ret : admin_tell(a, key);
}

/* --- the programs */

static const struct argp_option plain_options[] = { ADMIN_OPTION_REDIS, { 0 } };

static const struct argp_option submit_options[] = {
	ADMIN_OPTION_REDIS,
	{ "on-demand", OPTIONS_KEY_ON_DEMAND, NULL, 0, "Make nothing before a player asks for it", 1 },
	{ 0 },
};
static const struct argp_child submit_children[] = { { &options_encode, 0, NULL, 0 }, { 0 } };
const struct argp submit_argp = {
	.options = submit_options,
	.parser = admin_parse,
	.args_doc = "FILE...",
	.doc = "Hands media files to the farm. Each is accepted once its line, with its key, is printed: Redis has it, and the dispatchers "
	       "make it, whatever may die meanwhile. Its playlist is /hls/KEY/master.m3u8 at any of them.",
	.children = submit_children,
};

int submit_main(int argc, char **argv)
{
	return admin_main("segfarm submit", &submit_argp, submit_one, NULL, argc, argv);
}

const struct argp cancel_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Makes nothing more of a stream ahead. What is made stays, and players still get the rest when they ask for it. 'segfarm "
	       "submit' goes on with it.",
};

int cancel_main(int argc, char **argv)
{
	return admin_main("segfarm cancel", &cancel_argp, cancel_one, NULL, argc, argv);
}

const struct argp retry_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Tries again what of a stream could not be made.",
};

int retry_main(int argc, char **argv)
{
	return admin_main("segfarm retry", &retry_argp, retry_one, NULL, argc, argv);
}

const struct argp rm_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Removes a stream and all that was made of it. Its source file stays.",
};

int rm_main(int argc, char **argv)
{
	return admin_main("segfarm rm", &rm_argp, rm_one, NULL, argc, argv);
}
