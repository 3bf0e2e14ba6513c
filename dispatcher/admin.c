/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/admin.h"

#include "common/json.h"
#include "common/key.h"
#include "common/log.h"
#include "common/mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 5000

error_t admin_parse(int key, char *arg, struct argp_state *state)
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
	case OPTIONS_KEY_WATCH:
		o->is_watched = true;
		break;
	case OPTIONS_KEY_NO_WAIT:
		o->is_not_waiting = true;
		break;
	case 'o':
		o->output = arg;
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

/* --- dispatchers */

static int note_dispatcher(void *arg, const char *id, struct bytes status)
{
	struct admin *a = arg;
	json_t *json = json_loadb((const char *)status.data, status.size, 0, NULL);

	json_object_set_new(a->dispatchers, id, json ? json : json_object());
	return 0;
}

int admin_list_dispatchers(struct admin *a)
{
	json_object_clear(a->dispatchers);
	return store_list_dispatchers(a->store, note_dispatcher, a, a->err);
}

int admin_tell(struct admin *a, const char *stream)
{
	struct mail look = { .verb = MAIL_LOOK };
	struct buf json = { 0 };
	const char *id;
	json_t *status;
	int ret;

	memcpy(look.stream, stream, sizeof(look.stream));
	ret = mail_put(&look, &json);
	json_object_foreach(a->dispatchers, id, status)
		if (ret >= 0)
			ret = store_send_mail(a->store, id, buf_bytes(&json), a->err);
	buf_finish(&json);
	return ret;
}

/* --- streams */

int admin_check_key(struct admin *a, const char *key)
{
	struct store_stream what;
	int ret;

	if (!key_is_valid(key))
		return err_set(a->err, ERR_USAGE, "'%.40s' is not a stream's key; 'segfarm status' lists them", key);
	ret = store_get_stream(a->store, key, &what, a->err);
	if (!ret)
		return err_set(a->err, ERR_USAGE, "there is no stream %s; 'segfarm status' lists them", key);
	return ret == ERR_DATA ? 1 : ret;
}

json_t *admin_text(const char *s)
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

/* --- the programs */

int admin_main(const char *name, const struct argp *argp, admin_fn *one, int (*all)(struct admin *a), int argc, char **argv)
{
	struct admin_options options = { .redis = ADMIN_REDIS };
	struct err err = { 0 };
	struct admin a = { .options = &options, .dispatchers = json_object(), .err = &err };
	int ret;

	record_options_init(&options.encode);
	options_parse(argp, name, argc, argv, &options);
	log_init("segfarm", LOG_LEVEL_ERROR);
	if (one && !options.n_names)
		ret = err_set(&err, ERR_USAGE, "which? (try --help)");
	else
		ret = store_open(&a.store, options.redis, TIMEOUT_MS, &err);
	if (ret >= 0)
		ret = admin_list_dispatchers(&a);
	for (int i = 0; one && i < options.n_names && ret >= 0; i++)
		ret = one(&a, options.names[i]);
	if (all && ret >= 0)
		ret = all(&a);
	json_decref(a.dispatchers);
	store_close(a.store);
	if (ret < 0)
		fprintf(stderr, "%s: %s\n", name, err.msg);
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : ret < 0;
}
