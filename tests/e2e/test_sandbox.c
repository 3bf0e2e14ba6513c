/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What workers may not do, tried with real ones: by code that was taken over, by sources that lie elsewhere, by jobs that want too
 * much memory; and what is known of a worker that died.
 */
#include "dispatcher/dispatch.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"
#include "worker/sandbox.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))
#define FILM                                                                                                                \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -t 24 -c:v libx264 -preset ultrafast -g 24 \"$OUT\""
#define SECOND 540000 /* ticks: where the second segment of it begins */
/* MPEG-2 of a size whose encoder and decoder need some 200 MB */
#define LARGE                                                                                                               \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=1920:1080\" -t 4 -c:v mpeg2video -q:v 8 -bf 2 \"$OUT\""

static const char *film(void)
{
	return media_make("sandbox.mkv", FILM);
}

/* ---- a farm of parts */

struct stack {
	struct redis_fixture redis;
	struct bg serve, pool;
};

static void serve(struct stack *s, const char *arguments)
{
	bg_start(&s->serve, "\"$SEGFARM\" serve --redis %s --bind ipc://%s/bus.sock --listen 127.0.0.1:0 -v %s", s->redis.url,
		 s->serve.tmp, arguments);
	bg_wait_log(&s->serve, "serving ", 1);
}

static void work(struct stack *s, const char *fault, const char *options)
{
	bg_start(&s->pool, "env SEGFARM_FAULT=%s \"$WORKER\" -j 1 --redis %s --connect ipc://%s/bus.sock %s", fault, s->redis.url,
		 s->serve.tmp, options);
}

static void setup_stack(struct stack *s)
{
	memset(s, 0, sizeof *s);
	redis_fixture_start(&s->redis);
	bg_open(&s->serve);
	bg_open(&s->pool);
}

static void stop_stack(struct stack *s)
{
	bg_close(&s->pool);
	bg_close(&s->serve);
	redis_fixture_stop(&s->redis);
}

/* ---- the self-test */

START_TEST(self_test_finds_every_ban_holding)
{
	static const char *const options[] = { "", "--media-root /tmp --allow-url http://host/", "--hardware",
					       "--connect tcp://127.0.0.1:1 --redis unix:///none --memory 100" };
	char *said = sh("\"$WORKER\" --self-test %s", options[_i]);

	ck_assert_msg(bg_count(said, "\n") >= 15 && !strstr(said, "POSSIBLE") && !strstr(said, "NOT TRIED"), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "start a program (execve) "));
	ck_assert_ptr_nonnull(strstr(said, "open a file outside the media roots "));
	ck_assert_ptr_nonnull(strstr(said, "listen on a socket "));
	ck_assert_ptr_nonnull(strstr(said, "trace another process (ptrace) "));
	ck_assert_ptr_nonnull(strstr(said, "open a file for writing "));
	free(said);
}
END_TEST

START_TEST(self_test_without_a_sandbox_finds_everything_possible)
{
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" --self-test --no-sandbox"), 1);
	ck_assert_msg(bg_count(said, " POSSIBLE\n") + 1 == bg_count(said, "\n"), "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "segfarm-worker: the sandbox does not hold: "));
	free(said);
}
END_TEST

/* ---- code that was taken over */

static const struct {
	const char *fault, *options;
	const char *who; /* logs it: the dispatcher or the pool */
	const char *says;
} trespasses[] = {
	{ "exec", "", "pool", " signal=31 call=execve " },
	{ "listen", "", "pool", " signal=31 call=listen " },
	{ "trace", "", "pool", " signal=31 call=ptrace " },
	{ "open", "", "serve", "sabotage: open is not possible (Permission denied)" },
	{ "write", "", "serve", "sabotage: write is not possible (Operation not permitted)" },
	{ "open", "--no-sandbox", "serve", "sabotage: open is possible" },
	{ "write", "--no-sandbox", "serve", "sabotage: write is possible" },
	{ "listen", "--no-sandbox", "serve", "sabotage: listen is " },
};

START_TEST(a_worker_that_is_told_to_trespass_cannot)
{
	char options[100];
	struct stack s;
	bool is_pool = !strcmp(trespasses[_i].who, "pool");

	setup_stack(&s);
	serve(&s, film());
	snprintf(options, sizeof options, "--media-root \"$BUILD\" %s", trespasses[_i].options);
	work(&s, trespasses[_i].fault, options);
	bg_wait_log(is_pool ? &s.pool : &s.serve, trespasses[_i].says, 1);
	if (*trespasses[_i].options)
		bg_wait_log(&s.pool, "workers run without a sandbox", 1);
	stop_stack(&s);
}
END_TEST

/* ---- sources */

START_TEST(a_worker_refuses_a_source_outside_its_roots)
{
	static const char *const options[] = { "", "--media-root /usr" };
	struct stack s;

	setup_stack(&s);
	serve(&s, film());
	work(&s, "", options[_i]);
	bg_wait_log(&s.serve, "sandbox.mkv is in no media root: --media-root DIR tells where sources may lie", 1);
	if (!*options[_i])
		bg_wait_log(&s.pool, "every source will be refused", 1);
	stop_stack(&s);
}
END_TEST

START_TEST(a_link_that_leads_out_of_the_roots_since_it_was_submitted_is_refused)
{
	char path[300], options[400];
	struct stack s;

	setup_stack(&s);
	snprintf(path, sizeof path, "%s/in/film.mkv", sh_scratch());
	snprintf(options, sizeof options, "--media-root %s/in", sh_scratch());
	free(sh("mkdir %s/in %s/out && cp -p '%s' %s && cp -p '%s' %s/out/film.mkv", sh_scratch(), sh_scratch(), film(), path, film(),
		sh_scratch()));
	serve(&s, path);
	free(sh("ln -sf ../out/film.mkv %s", path));
	work(&s, "", options);
	bg_wait_log(&s.serve, "out/film.mkv is in no media root", 1);
	stop_stack(&s);
}
END_TEST

/* The sandbox knows the file that was there. */
START_TEST(a_file_that_was_replaced_is_another_one)
{
	char path[300], options[400];
	struct stack s;

	setup_stack(&s);
	snprintf(path, sizeof path, "%s/film.mkv", sh_scratch());
	snprintf(options, sizeof options, "--media-root %s", path);
	free(sh("cp '%s' %s", film(), path));
	serve(&s, path);
	work(&s, "", options);
	bg_wait_log(&s.serve, "job done", 1);
	free(sh("cp '%s' %s.new && touch %s.new && mv %s.new %s", film(), path, path, path, path));
	bg_close(&s.pool);
	bg_open(&s.pool);
	redis_fixture_restart(&s.redis); /* all is to be made again */
	work(&s, "", options);
	bg_wait_log(&s.serve, "has changed since it was submitted", 1);
	stop_stack(&s);
}
END_TEST

/* The directory that the sandbox knows is not the one that lies there now: as with a file system that was mounted anew. */
START_TEST(a_worker_whose_root_was_replaced_makes_way_for_another)
{
	char options[400];
	struct stack s;

	setup_stack(&s);
	setenv("ROOT", sh_scratch(), 1);
	free(sh("mkdir \"$ROOT/in\" && cp -p '%s' \"$ROOT/in/film.mkv\"", film()));
	serve(&s, "--media-root \"$ROOT/in\"");
	snprintf(options, sizeof options, "--media-root %s/in", sh_scratch());
	work(&s, "", options);
	bg_wait_log(&s.serve, "msg=\"worker joined\"", 1);
	free(sh("cd \"$ROOT\" && mv in old && mkdir in && cp -p old/film.mkv in && \"$SEGFARM\" submit --redis %s in/film.mkv", s.redis.url));
	bg_wait_log(&s.serve, "job done", 1);
	stop_stack(&s);
}
END_TEST

static const struct {
	const char *path;
	bool is_taken;
} submitted[] = {
	{ "in/film.mkv", true },
	{ "in/inside.mkv", true }, /* a link that stays */
	{ "way/film.mkv", true },
	{ "out/film.mkv", false },
	{ "in/away.mkv", false },
	{ "in/../out/film.mkv", false },
	{ "/etc/passwd", false },
	{ "http://host/films/a.mkv", true },
	{ "http://host/films/../a.mkv", false },
	{ "http://other/films/a.mkv", false },
};

START_TEST(the_dispatcher_takes_no_source_outside_its_lists)
{
	struct record_source source;
	struct allow allow = { 0 };
	struct err err = { 0 };
	char path[300];
	int ret;

	free(sh("cd %s && mkdir in out && cp '%s' in/film.mkv && cp in/film.mkv out && ln -s film.mkv in/inside.mkv && "
		"ln -s ../out/film.mkv in/away.mkv && ln -s in way",
		sh_scratch(), film()));
	snprintf(path, sizeof path, "%s/in", sh_scratch());
	ck_assert_int_eq(allow_add_root(&allow, path, &err), 0);
	ck_assert_int_eq(allow_add_url(&allow, "http://host/films/", &err), 0);
	for (int i = 0; i < N_OF(submitted); i++) {
		const char *name = submitted[i].path;

		snprintf(path, sizeof path, "%s/%s", sh_scratch(), name);
		ret = dispatch_look_at(strchr(name, ':') || *name == '/' ? name : path, &allow, &source, &err);
		ck_assert_msg(ret == (submitted[i].is_taken ? 0 : ERR_USAGE), "%s: %d %s", name, ret, err.msg);
	}
	allow_finish(&allow);
}
END_TEST

START_TEST(what_is_submitted_from_outside_is_refused_at_once)
{
	struct stack s;
	char *said;

	setup_stack(&s);
	free(sh("mkdir %s/in && cp '%s' %s/in/film.mkv", sh_scratch(), film(), sh_scratch()));
	setenv("ROOT", sh_scratch(), 1);
	serve(&s, "--media-root \"$ROOT/in\" --allow-url http://host/films");
	ck_assert_int_eq(sh_status(&said, "\"$SEGFARM\" submit --redis %s '%s'", s.redis.url, film()), 2);
	ck_assert_msg(strstr(said, "sandbox.mkv is in no media root: --media-root DIR"), "%s", said);
	free(said);
	ck_assert_int_eq(sh_status(&said, "\"$SEGFARM\" submit --redis %s http://host/other", s.redis.url), 2);
	ck_assert_msg(strstr(said, "begins with no allowed prefix: --allow-url"), "%s", said);
	free(said);
	free(sh("\"$SEGFARM\" submit --redis %s %s/in/film.mkv http://host/films/a.mkv", s.redis.url, sh_scratch()));
	stop_stack(&s);
}
END_TEST

/* Written before there was a dispatcher; that one sees. */
START_TEST(what_is_found_in_the_store_goes_by_the_lists_as_well)
{
	struct stack s;
	char *said;

	setup_stack(&s);
	free(sh("\"$SEGFARM\" submit --redis %s '%s'", s.redis.url, film()));
	serve(&s, "");
	bg_wait_log(&s.serve, "is in no media root: --media-root DIR", 1);
	said = sh("\"$SEGFARM\" status --redis %s", s.redis.url);
	ck_assert_msg(strstr(said, "is in no media root"), "%s", said);
	free(said);
	stop_stack(&s);
}
END_TEST

/* ---- memory */

START_TEST(a_job_that_outgrows_its_memory_fails_as_a_crash_does)
{
	struct stack s;

	setup_stack(&s);
	serve(&s, media_make("sandbox-large.ts", LARGE));
	work(&s, "", "--media-root \"$BUILD\" --memory 96");
	bg_wait_log(&s.serve, "msg=\"job failed\"", 2); /* it is tried again */
	if (!strstr(bg_tail(&s.serve), "code=nomem"))
		bg_wait_log(&s.serve, "killed by signal", 1);
	bg_close(&s.pool);
	bg_open(&s.pool);
	work(&s, "", "--media-root \"$BUILD\"");
	bg_wait_log(&s.serve, "job done", 1);
	stop_stack(&s);
}
END_TEST

/* ---- deaths */

START_TEST(a_crash_leaves_one_line_that_tells_where)
{
	char *log, *line, fault[40], start[40];
	struct stack s;

	setup_stack(&s);
	serve(&s, film());
	snprintf(fault, sizeof fault, "crash:%d", SECOND);
	snprintf(start, sizeof start, " start=%d ", SECOND);
	work(&s, fault, "--media-root \"$BUILD\"");
	bg_wait_log(&s.pool, "msg=\"worker died\"", 1);
	log = bg_log(&s.pool);
	line = strstr(log, "msg=\"worker died\"");
	line[strcspn(line, "\n")] = 0;
	ck_assert_msg(strstr(line, "reason=\"killed by signal 11 (Segmentation fault)\" job=") && strstr(line, " stream=\"") &&
			      strstr(line, start) && strstr(line, "sandbox.mkv\" signal=11 address=0x8 backtrace=\"") && strstr(line, " segfarm-worker(") &&
			      strstr(line, "libc.so"),
		      "%s", line);
	free(log);
	bg_wait_log(&s.serve, "killed by signal 11", 1);
	stop_stack(&s);
}
END_TEST

START_TEST(a_worker_that_never_says_hello_is_killed_by_its_pool)
{
	struct stack s;

	setup_stack(&s);
	serve(&s, film());
	work(&s, "mute", "--media-root \"$BUILD\"");
	bg_wait_log(&s.pool, "reason=\"it did nothing any more\"", 1);
	stop_stack(&s);
}
END_TEST

/* ---- a sandbox that cannot be had */

START_TEST(transcode_reads_in_a_sandbox)
{
	struct bg b;
	char *said;

	bg_open(&b);
	free(sh("mkfifo %s/in", b.dir));
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s/out'", b.dir, b.dir);
	bg_wait_until(said = sh("grep Seccomp: /proc/%d/status || echo", (int)b.pid), "no status");
	for (int i = 0; i < 2000 && !strstr(said, "2"); i++) {
		free(said);
		bg_sleep(BG_STEP_MS);
		said = sh("grep Seccomp: /proc/%d/status || echo", (int)b.pid);
	}
	ck_assert_msg(strstr(said, "\t2"), "%s", said);
	free(said);
	bg_close(&b);
}
END_TEST

Suite *suite_sandbox(void)
{
	Suite *s = suite_create("sandbox");
	TCase *t = tcase_create("sandbox");

	tcase_set_timeout(t, 300);
	if (!SANDBOX_IS_OFF) { /* with a sanitizer there is none */
		tcase_add_loop_test(t, self_test_finds_every_ban_holding, 0, 4);
		tcase_add_test(t, self_test_without_a_sandbox_finds_everything_possible);
		tcase_add_loop_test(t, a_worker_that_is_told_to_trespass_cannot, 0, N_OF(trespasses));
		tcase_add_test(t, a_job_that_outgrows_its_memory_fails_as_a_crash_does);
		tcase_add_test(t, transcode_reads_in_a_sandbox);
		tcase_add_test(t, a_file_that_was_replaced_is_another_one);
		tcase_add_test(t, a_worker_whose_root_was_replaced_makes_way_for_another);
	}
	tcase_add_loop_test(t, a_worker_refuses_a_source_outside_its_roots, 0, 2);
	tcase_add_test(t, a_link_that_leads_out_of_the_roots_since_it_was_submitted_is_refused);
	tcase_add_test(t, the_dispatcher_takes_no_source_outside_its_lists);
	tcase_add_test(t, what_is_submitted_from_outside_is_refused_at_once);
	tcase_add_test(t, what_is_found_in_the_store_goes_by_the_lists_as_well);
	tcase_add_test(t, a_crash_leaves_one_line_that_tells_where);
	tcase_add_test(t, a_worker_that_never_says_hello_is_killed_by_its_pool);
	suite_add_tcase(s, t);
	return s;
}
