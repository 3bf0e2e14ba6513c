/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/stack.h"

#include "tests/e2e/sh.h"

#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void stack_open(struct stack *s)
{
	memset(s, 0, sizeof *s);
	redis_fixture_start(&s->redis);
	for (int i = 0; i < STACK_MAX; i++) {
		bg_open(&s->serve[i]);
		bg_open(&s->pool[i]);
	}
}

void stack_serve(struct stack *s, int i, const char *options)
{
	bg_start(&s->serve[i], "\"$SEGFARM\" serve --redis %s --bind ipc://%s/bus --listen 127.0.0.1:0 --media-root \"$BUILD\" -v %s",
		 s->redis.url, s->serve[i].dir, options);
	bg_wait_log(&s->serve[i], "streams on http", 1);
	free(s->root[i]);
	s->root[i] = bg_log_after(&s->serve[i], "streams on ");
	s->root[i][strcspn(s->root[i], ", \n")] = '\0';
}

void stack_pool(struct stack *s, int i, int workers)
{
	bg_start(&s->pool[i], "\"$WORKER\" -j %d --media-root \"$BUILD\" --redis %s --connect ipc://%s/bus -v", workers, s->redis.url,
		 s->serve[i].dir);
}

static void stop(struct bg *b, int number)
{
	if (b->pid > 0) {
		kill(b->pid, number);
		ck_assert_int_eq(bg_wait(b), 0);
	}
	bg_check_clean(b);
	bg_close(b);
}

void stack_close(struct stack *s)
{
	for (int i = 0; i < STACK_MAX; i++)
		stop(&s->pool[i], SIGTERM);
	for (int i = 0; i < STACK_MAX; i++) {
		stop(&s->serve[i], SIGINT);
		free(s->root[i]);
	}
	redis_fixture_stop(&s->redis);
}

char *stack_key(const struct stack *s, int i)
{
	char *key = bg_log_after(&s->serve[i], "/hls/");

	key[strcspn(key, "/")] = '\0';
	return key;
}

int stack_admin(const struct stack *s, char **out, const char *command, const char *arguments)
{
	return sh_status(out, "\"$SEGFARM\" %s --redis %s %s", command, s->redis.url, arguments);
}

long stack_status(const struct stack *s, const char *path)
{
	char *text = sh("\"$SEGFARM\" status --redis %s --json | python3 -c \"import json,sys; d=json.load(sys.stdin); "
			"print(d%s)\"",
			s->redis.url, path);
	long value = strtol(text, NULL, 10);

	free(text);
	return value;
}

int stack_get(const struct stack *s, int i, const char *path, const char *file)
{
	char *text = sh("curl -sS --max-time 100 -o '%s' -w '%%{http_code}' '%s%s'", file, s->root[i], path);
	int status = (int)strtol(text, NULL, 10);

	free(text);
	return status;
}

long stack_redis(const struct stack *s, const char *format, ...)
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
