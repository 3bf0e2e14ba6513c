/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker that does everything wrong, beside two that do it right. The title ends complete and the same to the byte, whatever it says.
 * FAULTS_LONG: what takes more than half a minute too.
 */
#include "common/bus.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/stack.h"
#include "tests/jobs.h"
#include "tests/suites.h"

#include <check.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE                                                                                                         \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 30 -c:v libx264 -preset " \
	"ultrafast -bf 2 -g 24 -c:a ac3 -b:a 448k \"$OUT\""
#define CREDITS 3
#define NAME "wrong-1-0-1"

static char *title;     /* 30 segments, and options */
static char *reference; /* what -o writes when nobody disturbs */

static void make_reference(void)
{
	ck_assert_int_ge(asprintf(&title, "--segment-duration 1 '%s'", media_make("faults_worker.mkv", TITLE)), 0);
	ck_assert_int_ge(asprintf(&reference, "%s/faults-reference", sh_scratch()), 0);
	free(sh("$SEGFARM run %s -o '%s' -j 2; ls '%s/main' | grep -c m4s | grep -qx 30", title, reference, reference));
}

/* --- what it can do */

struct wrong {
	struct stack *stack;
	struct bus *bus;
	struct store *store;
	struct source source;
	struct job jobs[CREDITS]; /* that it got first */
	struct err err;
};

static void say_text(struct wrong *w, enum msg_verb verb, const char *json)
{
	struct bytes text = { (const uint8_t *)json, strlen(json) };

	bg_wait_until(!bus_send(w->bus, NULL, verb, text, &w->err), "%s", w->err.msg);
}

static void say(struct wrong *w, struct msg m)
{
	struct buf json = { 0 };

	ck_assert_int_eq(msg_put(&m, &json), 0);
	bg_wait_until(!bus_send(w->bus, NULL, m.verb, buf_bytes(&json), &w->err), "%s", w->err.msg);
	buf_finish(&json);
}

/* The next message of that verb, if it is there. */
static bool hear(struct wrong *w, enum msg_verb wanted, struct job *job)
{
	struct bytes json;
	enum msg_verb verb;
	int ret;

	while ((ret = bus_recv(w->bus, NULL, &verb, &json, &w->err)) != 0) {
		if (ret < 0 || verb != wanted)
			continue;
		ck_assert_msg(verb != MSG_JOB || !job_get(json, job, &w->err), "%s", w->err.msg);
		return true;
	}
	return false;
}

/* As it should be done. */
static void make(struct wrong *w, const struct job *job)
{
	struct task task = { .job = job, .store = w->store, .source = &w->source, .tick = jobs_tick };
	int ret = job->type == JOB_PROBE ? probe_run(&task, &w->err) : segment_run(&task, &w->err);

	ck_assert_msg(!ret, "%s", w->err.msg);
	source_forget(&w->source);
}

static void join(struct wrong *w, struct stack *s)
{
	char endpoint[100];

	memset(w, 0, sizeof *w);
	w->stack = s;
	snprintf(endpoint, sizeof endpoint, "ipc://%s/bus.sock", s->serve.tmp);
	source_init(&w->source);
	ck_assert_msg(!store_open(&w->store, s->redis.url, 10000, &w->err), "%s", w->err.msg);
	ck_assert_msg(!bus_connect(&w->bus, endpoint, NULL, &w->err), "%s", w->err.msg);
	say(w, (struct msg){ .verb = MSG_HELLO, .name = NAME, .pid = 1 });
	say(w, (struct msg){ .verb = MSG_READY, .credits = 1 });
}

static void leave(struct wrong *w)
{
	bus_destroy(w->bus);
	source_finish(&w->source);
	store_close(w->store);
}

/* It does the probe, that there be segments, and then holds as many jobs as it can. */
static void take_jobs(struct wrong *w)
{
	struct job probe;

	bg_wait_until(hear(w, MSG_JOB, &probe), "no job");
	ck_assert_int_eq(probe.type, JOB_PROBE);
	make(w, &probe);
	say(w, (struct msg){ .verb = MSG_DONE, .job = probe.id });
	say(w, (struct msg){ .verb = MSG_READY, .credits = CREDITS });
	for (int i = 0; i < CREDITS; i++)
		bg_wait_until(hear(w, MSG_JOB, &w->jobs[i]), "no job");
}

static bool is_over(const struct wrong *w)
{
	char state[16];

	stack_end_state(w->stack, state);
	return state[0] != 0;
}

/* --- and what it does, from when the others are there */

/* Not even a sign of life. */
static void be_silent(struct wrong *w)
{
	bg_wait_until(is_over(w), "it does not end");
}

static void beat_and_hang(struct wrong *w)
{
	struct job job;

	while (!is_over(w)) {
		say(w, (struct msg){ .verb = MSG_BEAT, .job = w->jobs[0].id });
		hear(w, MSG_CANCEL, &job);
		bg_sleep(300);
	}
}

static void say_done_at_once(struct wrong *w)
{
	struct job job;

	for (int i = 0; i < CREDITS; i++)
		say(w, (struct msg){ .verb = MSG_DONE, .job = w->jobs[i].id });
	say(w, (struct msg){ .verb = MSG_READY, .credits = CREDITS });
	while (!is_over(w))
		while (hear(w, MSG_JOB, &job)) {
			say(w, (struct msg){ .verb = MSG_DONE, .job = job.id });
			say(w, (struct msg){ .verb = MSG_READY, .credits = 1 });
		}
}

static void do_everything_twice(struct wrong *w)
{
	struct job job;

	for (int i = 0; i < CREDITS; i++)
		for (int k = 0; k < 2; k++) {
			make(w, &w->jobs[i]);
			say(w, (struct msg){ .verb = MSG_DONE, .job = w->jobs[i].id });
		}
	say(w, (struct msg){ .verb = MSG_READY, .credits = 1 });
	while (!is_over(w)) {
		say(w, (struct msg){ .verb = MSG_BEAT });
		while (hear(w, MSG_JOB, &job)) {
			make(w, &job);
			say(w, (struct msg){ .verb = MSG_DONE, .job = job.id });
			make(w, &job);
			say(w, (struct msg){ .verb = MSG_DONE, .job = job.id });
			say(w, (struct msg){ .verb = MSG_READY, .credits = 1 });
		}
	}
}

static void store_when_others_have(struct wrong *w)
{
	be_silent(w);
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < CREDITS; i++) {
			make(w, &w->jobs[i]);
			say(w, (struct msg){ .verb = MSG_DONE, .job = w->jobs[i].id });
		}
	say(w, (struct msg){ .verb = MSG_BEAT });
	bg_wait_until(hear(w, MSG_HELLO, &w->jobs[0]), "it is not told that nobody knows it");
}

static void refuse_everything(struct wrong *w)
{
	struct msg fail = { .verb = MSG_FAIL, .code = ERR_DATA, .reason = "I do not want to" };
	struct job job;

	for (int i = 0; i < CREDITS; i++) {
		fail.job = w->jobs[i].id;
		say(w, fail);
	}
	say(w, (struct msg){ .verb = MSG_READY, .credits = CREDITS });
	while (!is_over(w))
		while (hear(w, MSG_JOB, &job)) {
			fail.job = job.id;
			say(w, fail);
			say(w, (struct msg){ .verb = MSG_READY, .credits = 1 });
		}
}

static const struct {
	enum msg_verb verb;
	const char *json;
} nonsense[] = {
	{ MSG_DONE, "" },
	{ MSG_DONE, "{" },
	{ MSG_DONE, "[]" },
	{ MSG_DONE, "{\"job\":-1,\"elapsed_us\":0,\"cpu_us\":0,\"bytes\":0}" },
	{ MSG_DONE, "{\"job\":99999,\"elapsed_us\":0,\"cpu_us\":0,\"bytes\":0}" },
	{ MSG_FAIL, "{\"job\":99999,\"code\":-1,\"reason\":\"\"}" },
	{ MSG_FAIL, "{\"job\":1,\"code\":77,\"reason\":7}" },
	{ MSG_READY, "{\"credits\":1000000000}" },
	{ MSG_READY, "{\"credits\":-1}" },
	{ MSG_BEAT, "null" },
	{ MSG_JOB, "{}" },
	{ MSG_CANCEL, "{\"job\":1}" },
	{ MSG_STOP, "{}" },
	{ MSG_HELLO, "{\"name\":\"../../etc\",\"pid\":1,\"reason\":\"\"}" },
};

static void talk_nonsense(struct wrong *w)
{
	static const size_t n = sizeof nonsense / sizeof *nonsense;
	json_t *status;
	const char *id;
	json_t *dispatcher;
	json_int_t refused = 0;

	for (size_t i = 0; i < n; i++)
		say_text(w, nonsense[i].verb, nonsense[i].json);
	say(w, (struct msg){ .verb = MSG_BYE });
	bg_wait_until(is_over(w), "it does not end");
	bg_sleep(2500); /* what it says of itself is of the last two seconds */
	status = stack_status(w->stack);
	json_object_foreach(json_object_get(status, "dispatchers"), id, dispatcher)
		refused += json_integer_value(json_object_get(json_object_get(dispatcher, "counters"), "messages_refused"));
	ck_assert_int_ge(refused, (json_int_t)n);
	json_decref(status);
}

static const struct {
	const char *name;
	void (*act)(struct wrong *);
	bool is_long;
} wrongs[] = {
	{ "talks nonsense", talk_nonsense, false },
	{ "says done at once", say_done_at_once, false },
	{ "refuses everything", refuse_everything, false },
	{ "does everything twice", do_everything_twice, false },
	{ "is silent", be_silent, false },
	{ "stores when others have", store_when_others_have, false },
	{ "beats and hangs", beat_and_hang, true },
};

START_TEST(a_title_ends_complete_and_the_same_whatever_one_worker_does)
{
	int64_t start_ms;
	struct wrong w;
	struct stack s;
	char state[16], *fetched;

	if (wrongs[_i].is_long && !getenv("FAULTS_LONG"))
		return;
	av_log_set_level(AV_LOG_QUIET);
	stack_start(&s, title, 0, false);
	join(&w, &s);
	take_jobs(&w);
	s.n_workers = 2;
	stack_start_pool(&s);
	bg_wait_log(&s.serve, "worker joined", 3);
	start_ms = proc_now_ms();
	wrongs[_i].act(&w);
	stack_end_state(&s, state);
	ck_assert_msg(!strcmp(state, "done"), "one %s: it ends as '%s':\n%s", wrongs[_i].name, state, bg_tail(&s.serve));
	printf("one %s: %lld ms\n", wrongs[_i].name, (long long)(proc_now_ms() - start_ms));
	fetched = stack_fetch(&s);
	free(sh("diff -r -x manifest.mpd '%s' '%s'", reference, fetched));
	free(fetched);
	leave(&w);
	stack_stop(&s);
}
END_TEST

Suite *suite_faults_worker(void)
{
	Suite *s = suite_create("faults_worker");
	TCase *tc = tcase_create("faults_worker");
	const char *only = getenv("FAULTS_ONLY");

	tcase_set_timeout(tc, 300);
	tcase_add_unchecked_fixture(tc, make_reference, NULL);
	tcase_add_loop_test(tc, a_title_ends_complete_and_the_same_whatever_one_worker_does, only ? atoi(only) : 0,
			    only ? atoi(only) + 1 : (int)(sizeof wrongs / sizeof *wrongs));
	suite_add_tcase(s, tc);
	return s;
}
