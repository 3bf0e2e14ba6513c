/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/cluster.h"

#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_open(struct cluster *s)
{
	memset(s, 0, sizeof *s);
	redis_fixture_start(&s->redis);
	for (int i = 0; i < CLUSTER_MAX; i++) {
		bg_open(&s->serve[i]);
		bg_open(&s->pool[i]);
	}
}

void cluster_serve(struct cluster *s, int i, const char *options)
{
	programs_serve(&s->serve[i], &s->redis, "%s", options);
	free(s->root[i]);
	s->root[i] = bg_log_after(&s->serve[i], "streams on ");
	s->root[i][strcspn(s->root[i], ", \n")] = '\0';
}

void cluster_pool(struct cluster *s, int i, int workers)
{
	programs_pool(&s->pool[i], &s->redis, &s->serve[i], workers, "-v");
}

void cluster_pool_of_two(struct cluster *s, int i, int workers)
{
	char options[128];

	snprintf(options, sizeof options, "-v --connect ipc://%s/bus.sock", s->serve[1].tmp);
	programs_pool(&s->pool[i], &s->redis, &s->serve[0], workers, options);
}

void cluster_close(struct cluster *s)
{
	for (int i = 0; i < CLUSTER_MAX; i++) {
		programs_end(&s->pool[i]);
		bg_close(&s->pool[i]);
	}
	for (int i = 0; i < CLUSTER_MAX; i++) {
		programs_end(&s->serve[i]);
		bg_close(&s->serve[i]);
		free(s->root[i]);
	}
	redis_fixture_stop(&s->redis);
}

char *cluster_reference(const char *title, char **names, int n)
{
	char *dir, *list;

	ck_assert_int_ge(asprintf(&dir, "%s/reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s'", title, dir));
	list = sh("grep m4s '%s/main/index.m3u8'", dir);
	for (int i = 0; i < n; i++) {
		names[i] = strdup(strtok(i ? NULL : list, "\n"));
		ck_assert_ptr_nonnull(names[i]);
	}
	free(list);
	return dir;
}

char *cluster_key(const struct cluster *s, int i)
{
	char *key = bg_log_after(&s->serve[i], "/hls/");

	key[strcspn(key, "/")] = '\0';
	return key;
}

int cluster_admin(const struct cluster *s, char **out, const char *command, const char *arguments)
{
	return sh_status(out, "\"$SEGFARM\" %s --redis '%s' %s", command, s->redis.url, arguments);
}

/* One step down: a member, the n-th of an array, or "*", the first of an object. */
static const json_t *step(const json_t *at, const char *name)
{
	if (json_is_array(at))
		return json_array_get(at, (size_t)atoi(name));
	if (strcmp(name, "*"))
		return json_object_get(at, name);
	return json_object_iter_value(json_object_iter((json_t *)(uintptr_t)at));
}

long cluster_status(const struct cluster *s, const char *path)
{
	char *text = sh("\"$SEGFARM\" status --redis '%s' --json", s->redis.url), *names = strdup(path);
	json_t *root = json_loads(text, 0, NULL);
	const json_t *at = root;
	long value;

	ck_assert_msg(root, "%s", text);
	for (char *name = strtok(names, "."); name; name = strtok(NULL, "."))
		at = step(at, name);
	ck_assert_msg(at, "no %s in %s", path, text);
	value = json_is_integer(at) ? (long)json_integer_value(at) : (long)(json_array_size(at) + json_object_size(at));
	json_decref(root);
	free(names);
	free(text);
	return value;
}

int cluster_get(const struct cluster *s, int i, const char *path, const char *file)
{
	char *text = sh("curl -sS --max-time 100 -o '%s' -w '%%{http_code}' '%s%s'", file, s->root[i], path);
	int status = (int)strtol(text, NULL, 10);

	free(text);
	return status;
}

long cluster_redis(const struct cluster *s, const char *format, ...)
{
	char command[512];
	const char *reply;
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof command, format, ap);
	va_end(ap);
	reply = redis_fixture_command(&s->redis, command);
	ck_assert_msg(reply[0] == ':', "%s: %s", command, reply);
	return strtol(reply + 1, NULL, 10);
}
