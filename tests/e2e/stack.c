/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/stack.h"

#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void stack_start_serve(struct stack *s)
{
	programs_start_serve(&s->serve, &s->redis, s->title);
}

void stack_start_pool(struct stack *s)
{
	if (s->n_workers)
		programs_pool(&s->pool, &s->redis, &s->serve, s->n_workers, "");
}

void stack_start(struct stack *s, const char *title, int n_workers, bool is_kept)
{
	memset(s, 0, sizeof *s);
	s->title = title;
	s->n_workers = n_workers;
	if (is_kept)
		redis_fixture_start_kept(&s->redis);
	else
		redis_fixture_start(&s->redis);
	bg_open(&s->serve);
	bg_open(&s->pool);
	stack_start_serve(s);
	bg_wait_log(&s->serve, "serving ", 1);
	stack_start_pool(s);
}

void stack_kill(struct bg *program)
{
	kill(program->pid, SIGKILL);
	ck_assert_int_eq(bg_wait(program), 128 + SIGKILL);
}

void stack_stop(struct stack *s)
{
	programs_end(&s->pool);
	programs_end(&s->serve);
	bg_close(&s->pool);
	bg_close(&s->serve);
	redis_fixture_stop(&s->redis);
}

json_t *stack_status(const struct stack *s)
{
	char *text;
	json_t *status = NULL;

	if (!sh_status(&text, "\"$SEGFARM\" status --json --redis %s", s->redis.url))
		ck_assert_msg((status = json_loads(text, 0, NULL)) != NULL, "no JSON: %s", text);
	free(text);
	return status;
}

const json_t *stack_stream(const json_t *status)
{
	return json_array_get(json_object_get(status, "streams"), 0);
}

static void state_of(const struct stack *s, char state[16])
{
	json_t *status = stack_status(s);
	const json_t *stream = stack_stream(status);
	const char *text = json_string_value(json_object_get(stream, "state"));
	bool is_done = text && !strcmp(text, "done");

	/* of what Redis has lost since, the dispatcher does not know yet */
	if (is_done && json_integer_value(json_object_get(stream, "done")) != json_integer_value(json_object_get(stream, "segments")))
		text = NULL;
	snprintf(state, 16, "%s", text ? text : "");
	json_decref(status);
}

bool stack_is_state(const struct stack *s, const char *state)
{
	char is[16];

	state_of(s, is);
	return !strcmp(is, state);
}

void stack_end_state(const struct stack *s, char state[16])
{
	state_of(s, state);
	if (strcmp(state, "done") && strcmp(state, "partial") && strcmp(state, "failed"))
		state[0] = 0;
}

char *stack_fetch(struct stack *s)
{
	char *base, *dir;
	json_t *status = stack_status(s);
	const char *key = json_string_value(json_object_get(stack_stream(status), "key"));

	bg_wait_log(&s->serve, "serving ", 1);
	base = bg_log_after(&s->serve, "streams on ");
	ck_assert_ptr_nonnull(key);
	base[strcspn(base, ",")] = 0;
	dir = sh("d=$(mktemp -d '%s/fetched.XXXXXX') && cd $d && mkdir main && get() { curl -sSf --max-time 60 -o $1 %s/hls/%s/$1; } && "
		 "get master.m3u8 && get main/index.m3u8 && get main/init.mp4 && "
		 "for f in $(grep -v '^#' main/index.m3u8); do get main/$f || exit; done && echo $d",
		 sh_scratch(), base, key);
	dir[strcspn(dir, "\n")] = 0;
	free(base);
	json_decref(status);
	return dir;
}
