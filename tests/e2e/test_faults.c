/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything is killed, again and again, while a title is made. It ends complete and the same to the byte.
 * FAULTS: how many of them (8; the title has 12 s for each); FAULTS_SEED: which ones; FAULTS_ONLY: the number of the row.
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/stack.h"
#include "tests/suites.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE                                                                                                          \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t %d -c:v libx264 -preset " \
	"ultrafast -bf 2 -g 24 -c:a ac3 -b:a 448k \"$OUT\""
#define RECOVERY_MS 60000

static char *title;       /* segments of a second, some 0.06 s of work each */
static char *reference;   /* what -o writes when nobody disturbs */

static int number_of_faults(void)
{
	const char *given = getenv("FAULTS");

	return given ? atoi(given) : 8;
}

static void make_reference(void)
{
	char name[40], recipe[sizeof TITLE + 10];
	int seconds = 12 * number_of_faults();
	int64_t start_ms;

	snprintf(name, sizeof name, "faults-%d.mkv", seconds);
	snprintf(recipe, sizeof recipe, TITLE, seconds);
	ck_assert_int_ge(asprintf(&title, "--segment-duration 1 '%s'", media_make(name, recipe)), 0);
	ck_assert_int_ge(asprintf(&reference, "%s/faults-reference", sh_scratch()), 0);
	start_ms = proc_now_ms();
	free(sh("$SEGFARM run %s -o '%s' -j 2; ls '%s/main' | grep -c m4s | grep -qx %d", title, reference, reference, seconds));
	printf("without faults: %lld ms\n", (long long)(proc_now_ms() - start_ms));
}

/* --- what can happen */

enum what { WORKER = 1, POOL = 2, DISPATCHER = 4, REDIS = 8 };

static const struct {
	const char *name;
	int what;
	int every_ms;    /* at random, up to twice that */
	bool has_stops;  /* SIGSTOP too */
	bool is_kept;    /* by Redis */
} rows[] = {
	{ "workers killed", WORKER, 200, false, false },
	{ "workers killed or stopped", WORKER, 200, true, false },
	{ "pool killed", POOL, 400, false, false },
	{ "dispatcher killed", DISPATCHER, 120, false, false },
	{ "Redis killed, its data kept", REDIS, 400, false, true },
	{ "Redis killed, its data lost", REDIS, 400, false, false },
	{ "all killed, data kept", WORKER | POOL | DISPATCHER | REDIS, 200, true, true },
	{ "all killed, data lost", WORKER | POOL | DISPATCHER | REDIS, 200, true, false },
};

static unsigned int seed;

static int below(int n)
{
	return rand_r(&seed) / 7 % n;
}

static void hurt_a_worker(const struct stack *s, bool has_stops)
{
	static const int signals[] = { SIGKILL, SIGSEGV, SIGABRT, SIGSTOP };
	pid_t pids[8];
	int n = bg_find(&s->pool, "[segfarm-session]", NULL, pids, 8);

	if (n)
		kill(pids[below(n < 8 ? n : 8)], signals[below(has_stops ? 4 : 3)]);
}

static void hurt(struct stack *s, enum what what, bool has_stops)
{
	if (what == WORKER) {
		hurt_a_worker(s, has_stops);
	} else if (what == POOL) {
		stack_kill(&s->pool);
		stack_start_pool(s);
	} else if (what == DISPATCHER) {
		stack_kill(&s->serve);
		stack_start_serve(s);
	} else {
		redis_fixture_restart(&s->redis);
	}
}

static enum what choose(int what)
{
	enum what one;

	do
		one = (enum what)(1 << (below(8) ? below(4) : 0));
	while (!(what & one));
	return one;
}

/* --- and what comes of it */

static int jobs_done(const struct stack *s)
{
	char *log = bg_log(&s->serve);
	int n = bg_count(log, "msg=\"job done\"");

	free(log);
	return n;
}

static bool is_over(const struct stack *s)
{
	char state[16];

	stack_end_state(s, state);
	return state[0] != 0;
}

/* Until a job is done again; 0: all is. */
static int64_t recovery_ms(const struct stack *s, int n_before)
{
	int64_t start_ms = proc_now_ms();

	while (jobs_done(s) <= n_before) {
		ck_assert_msg(proc_now_ms() - start_ms < RECOVERY_MS, "it does not go on:\n%s", bg_tail(&s->serve));
		if (is_over(s))
			return 0;
		bg_sleep(BG_STEP_MS);
	}
	return proc_now_ms() - start_ms;
}

static void check_end(struct stack *s)
{
	char state[16], *fetched;

	bg_wait_until((stack_end_state(s, state), state[0]), "it does not end:\n%s", bg_tail(&s->serve));
	ck_assert_msg(!strcmp(state, "done"), "it ends as '%s':\n%s", state, bg_tail(&s->serve));
	fetched = stack_fetch(s);
	free(sh("diff -r -x manifest.mpd '%s' '%s'", reference, fetched));
	free(fetched);
}

START_TEST(a_title_ends_complete_and_the_same_whatever_is_killed)
{
	int64_t start_ms = proc_now_ms(), worst_ms = 0;
	int n = 0;
	struct stack s;

	seed = getenv("FAULTS_SEED") ? (unsigned int)atoi(getenv("FAULTS_SEED")) : 1;
	seed += (unsigned int)_i * 1000;
	stack_start(&s, title, 2, rows[_i].is_kept);
	bg_wait_log(&s.serve, "job done", 2);
	while (n < number_of_faults() && !is_over(&s)) {
		enum what what = choose(rows[_i].what);
		int before = what == DISPATCHER ? 0 : jobs_done(&s);
		int64_t ms;

		bg_sleep(below(2 * rows[_i].every_ms));
		hurt(&s, what, rows[_i].has_stops);
		n++;
		if (rows[_i].what != (int)what || what == WORKER)
			continue;
		ms = recovery_ms(&s, before);
		worst_ms = ms > worst_ms ? ms : worst_ms;
	}
	ck_assert_int_ge(n, 3);
	check_end(&s);
	printf("%s: %d times, %lld ms in all, at most %lld ms from one until a job was done again\n", rows[_i].name, n,
	       (long long)(proc_now_ms() - start_ms), (long long)worst_ms);
	stack_stop(&s);
}
END_TEST

Suite *suite_faults(void)
{
	Suite *s = suite_create("faults");
	TCase *tc = tcase_create("faults");
	const char *only = getenv("FAULTS_ONLY");

	tcase_set_timeout(tc, 600);
	tcase_add_unchecked_fixture(tc, make_reference, NULL);
	tcase_add_loop_test(tc, a_title_ends_complete_and_the_same_whatever_is_killed, only ? atoi(only) : 0,
			    only ? atoi(only) + 1 : (int)(sizeof rows / sizeof *rows));
	suite_add_tcase(s, tc);
	return s;
}
