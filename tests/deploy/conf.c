/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/deploy/conf.h"

#include "common/config.h"
#include "dispatcher/commands.h"
#include "worker/pool_options.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void conf_read(const char *path, bool is_worker, char text[CONF_TEXT_MAX])
{
	char *argv[] = { (char *)(uintptr_t)"program", (char *)(uintptr_t)"--config", (char *)(uintptr_t)path, NULL }, *none[] = { NULL };
	struct config c;
	struct err err = { 0 };
	size_t n = 0;

	ck_assert_msg(config_expand(&c, is_worker ? &pool_argp : &serve_argp, is_worker ? "worker" : "serve", 3, argv, none, &err) == 0,
		      "%s: %s", path, err.msg);
	ck_assert_msg(c.n_before > 0, "%s says nothing", path);
	for (int i = 1; i <= c.n_before; i++)
		n += (size_t)snprintf(text + n, CONF_TEXT_MAX - n, " %s ", c.argv[i]);
	ck_assert_uint_lt(n, CONF_TEXT_MAX);
	config_finish(&c);
}

const char *conf_value(const char *text, const char *name)
{
	static char value[200];
	char option[64];
	const char *at;

	snprintf(option, sizeof option, " --%s=", name);
	at = strstr(text, option);
	snprintf(value, sizeof value, "%.*s", at ? (int)strcspn(at + strlen(option), " ") : 0, at ? at + strlen(option) : "");
	return value;
}

static int is_named(void *arg, const struct argp_option *option)
{
	char name[CONFIG_NAME_MAX];

	if (!option->name)
		return 0;
	config_variable(option->name, name);
	return !strcmp(name, arg);
}

bool conf_is_variable(const char *name)
{
	void *arg = (void *)(uintptr_t)name;

	return config_walk(&serve_argp, is_named, arg) || config_walk(&pool_argp, is_named, arg);
}
