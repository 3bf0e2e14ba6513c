/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/admin.h"

#include "common/json.h"
#include "common/key.h"
#include "common/log.h"
#include "dispatcher/command.h"

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

/* --- dispatchers and streams */

int admin_list_dispatchers(struct admin *a)
{
	json_decref(a->dispatchers);
	a->dispatchers = command_list_dispatchers(a->store, a->err);
	return a->dispatchers ? 0 : a->err->code;
}

int admin_check_key(struct admin *a, const char *key, int ret)
{
	if (!key_is_valid(key))
		return err_set(a->err, ERR_USAGE, "'%.40s' is not a stream's key; 'segfarm status' lists them", key);
	return ret ? ret : err_set(a->err, ERR_USAGE, "there is no stream %s; 'segfarm status' lists them", key);
}

int admin_find(struct admin *a, const char *key)
{
	struct store_stream what;
	int ret = store_get_stream(a->store, key, &what, a->err);

	return admin_check_key(a, key, ret == ERR_DATA ? 1 : ret);
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
	struct admin a = { .options = &options, .err = &err };
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
