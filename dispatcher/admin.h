/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands of a person share: submit, status, cancel, retry, rm, export, probe. Internal to admin*.c and watch.c.
 */
#ifndef SEGFARM_DISPATCHER_ADMIN_H
#define SEGFARM_DISPATCHER_ADMIN_H

#include "common/options.h"
#include "common/store.h"

#include <jansson.h>
#include <stdio.h>

#define ADMIN_REDIS "redis://127.0.0.1:6379"
#define ADMIN_OPTION_REDIS                                                                                                        \
	{ "redis", OPTIONS_KEY_REDIS, "URL", 0,                                                                                   \
	  "The Redis of the farm: " STORE_URL_FORMS " (default " ADMIN_REDIS ")", 1 }
#define ADMIN_OPTION_JSON { "json", OPTIONS_KEY_JSON, NULL, 0, "As JSON, for programs", 1 }

struct admin_options {
	const char *redis;
	char *const *names; /* FILEs or KEYs */
	int n_names;
	struct record_options encode;
	const char *output;
	bool is_on_demand, is_json, is_watched, is_not_waiting;
};

struct admin {
	const struct admin_options *options;
	struct store *store;
	json_t *dispatchers; /* what they say of themselves, by id */
	struct err *err;
};

/* For the argp of each command; the input is a struct admin_options. */
error_t admin_parse(int key, char *arg, struct argp_state *state);

/* One command: exit status. one: for each name, of which there has to be one; NULL: all is called, once. */
typedef int admin_fn(struct admin *a, const char *name);
int admin_main(const char *name, const struct argp *argp, admin_fn *one, int (*all)(struct admin *a), int argc, char **argv);

/* Asks anew who the dispatchers are. */
int admin_list_dispatchers(struct admin *a);
/* What was to be done with a stream gave ret; 0, there is none, is ERR_USAGE. */
int admin_check_key(struct admin *a, const char *key, int ret);
/* 1: there is such a stream. ERR_USAGE: there is not. */
int admin_find(struct admin *a, const char *key);
/* A text from outside, made UTF-8. */
json_t *admin_text(const char *s);

/* What `status` shows: a new reference. NULL: err says why. */
json_t *admin_look(struct admin *a);
void admin_print(const json_t *status, FILE *to);

/* watch.c: shows it again and again on the terminal until somebody has seen enough. */
int watch(struct admin *a);

#endif
