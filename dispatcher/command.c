/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/command.h"

#include "common/allow.h"
#include "common/key.h"
#include "common/mail.h"
#include "dispatcher/dispatch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int note_dispatcher(void *arg, const char *id, struct bytes status)
{
	json_t *json = json_loadb((const char *)status.data, status.size, 0, NULL);

	json_object_set_new(arg, id, json ? json : json_object());
	return 0;
}

json_t *command_list_dispatchers(struct store *store, struct err *err)
{
	json_t *dispatchers = json_object();

	if (!dispatchers)
		err_set(err, ERR_NOMEM, "out of memory");
	else if (store_list_dispatchers(store, note_dispatcher, dispatchers, err) >= 0)
		return dispatchers;
	json_decref(dispatchers);
	return NULL;
}

static int tell(struct store *store, const json_t *dispatchers, const char *key, struct err *err)
{
	struct mail look = { .verb = MAIL_LOOK };
	struct buf json = { 0 };
	const char *id;
	json_t *status;
	int ret;

	memcpy(look.stream, key, sizeof(look.stream));
	ret = mail_put(&look, &json);
	json_object_foreach((json_t *)(uintptr_t)dispatchers, id, status)
		if (ret >= 0)
			ret = store_send_mail(store, id, buf_bytes(&json), err);
	buf_finish(&json);
	return ret < 0 ? ret : 1;
}

/* --- submit */

static void add_all(char ***texts, int *n, const json_t *array)
{
	*texts = calloc(json_array_size(array) + 1, sizeof **texts);
	for (size_t i = 0; *texts && i < json_array_size(array); i++)
		if (json_is_string(json_array_get(array, i)))
			(*texts)[(*n)++] = (char *)(uintptr_t)json_string_value(json_array_get(array, i));
}

static int check_allowed(const json_t *dispatchers, const char *path, struct err *err)
{
	const char *id;
	json_t *status;
	int ret = 0;

	json_object_foreach((json_t *)(uintptr_t)dispatchers, id, status) {
		struct allow allow = { 0 };

		if (!json_is_array(json_object_get(status, "media_roots")))
			return 0;
		add_all(&allow.roots, &allow.n_roots, json_object_get(status, "media_roots"));
		add_all(&allow.urls, &allow.n_urls, json_object_get(status, "allow_urls"));
		ret = record_is_url(path) ? allow_url(&allow, path, err) : allow_path(&allow, path, err);
		free(allow.roots);
		free(allow.urls);
		if (!ret)
			return 0;
	}
	return ret;
}

/* Before it is looked at: of what lies elsewhere nobody learns whether it is there. */
static int check_where(const json_t *dispatchers, const char *path, struct err *err)
{
	char resolved[PATH_MAX];

	if (record_is_url(path) || realpath(path, resolved))
		return check_allowed(dispatchers, record_is_url(path) ? path : resolved, err);
	if (path[0] != '/' || strstr(path, "/.."))
		return err_set(err, ERR_USAGE, "%.300s: there is no such file in a --media-root", path);
	return check_allowed(dispatchers, path, err);
}

int command_submit(struct store *store, const json_t *dispatchers, const char *path, const struct record_options *options,
		   bool is_on_demand, char key[RECORD_KEY_SIZE], struct store_stream *what, struct err *err)
{
	struct record_source source;
	bool was_there;
	int ret = check_where(dispatchers, path, err);

	if (ret >= 0)
		ret = dispatch_look_at(path, NULL, &source, err);
	if (ret >= 0) /* it may have become something else meanwhile */
		ret = check_allowed(dispatchers, source.path, err);
	if (ret < 0)
		return ret;
	key_derive_source(&source, options, key);
	ret = store_get_stream(store, key, what, err);
	if (ret < 0 && ret != ERR_DATA)
		return ret;
	was_there = ret == 1;
	if (was_there && !strcmp(what->state, "failed"))
		return 0;
	if (!was_there)
		memset(what, 0, sizeof(*what));
	what->source = source;
	what->options = *options;
	what->is_on_demand = is_on_demand;
	what->is_cancelled = false;
	ret = store_put_stream(store, key, what, err);
	if (ret >= 0)
		ret = tell(store, dispatchers, key, err);
	if (ret >= 0)
		ret = store_get_stream(store, key, what, err);
	return ret < 0 ? ret : !was_there;
}

/* --- cancel, retry, remove */

/* A record that is damaged is one, too. */
static int find(struct store *store, const char *key, struct err *err)
{
	struct store_stream what;
	int ret = store_get_stream(store, key, &what, err);

	return ret == ERR_DATA ? 1 : ret;
}

int command_cancel(struct store *store, const json_t *dispatchers, const char *key, struct err *err)
{
	int ret = find(store, key, err);

	if (ret > 0)
		ret = store_set_mode(store, key, STORE_CANCELLED, err);
	return ret > 0 ? tell(store, dispatchers, key, err) : ret;
}

int command_retry(struct store *store, const json_t *dispatchers, const char *key, struct err *err)
{
	struct store_stream what;
	int ret = store_get_stream(store, key, &what, err);

	if (ret <= 0 && ret != ERR_DATA)
		return ret;
	if (ret == 1 && what.is_cancelled)
		ret = store_set_mode(store, key, STORE_PRECOMPUTE, err);
	if (ret >= 0 || ret == ERR_DATA)
		ret = store_clear_fails(store, key, err);
	if (ret >= 0)
		ret = store_set_state(store, key, NULL, "working", "", err);
	return ret < 0 ? ret : tell(store, dispatchers, key, err);
}

int command_remove(struct store *store, const json_t *dispatchers, const char *key, struct err *err)
{
	int ret = find(store, key, err);

	if (ret <= 0)
		return ret;
	ret = store_remove_stream(store, key, err);
	return ret < 0 ? ret : tell(store, dispatchers, key, err);
}
