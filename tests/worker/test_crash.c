/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a worker leaves behind, however it was written.
 */
#include "worker/crash.h"

#include "tests/suites.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct crash *crash;

static void setup(void)
{
	crash = crash_create();
	ck_assert_ptr_nonnull(crash);
}

static void teardown(void)
{
	crash_destroy(crash);
}

static const char *said(void)
{
	static char text[16384];
	struct buf line = { 0 };

	crash_put(crash, &line);
	ck_assert_uint_lt(line.size, sizeof text);
	memcpy(text, line.size ? buf_cstr(&line) : "", line.size + 1);
	buf_finish(&line);
	return text;
}

START_TEST(of_one_that_wrote_nothing_there_is_nothing_to_say)
{
	ck_assert_str_eq(said(), "");
}
END_TEST

START_TEST(a_job_is_told_with_its_segment)
{
	struct job job = { .id = 7, .type = JOB_SEGMENT, .stream = "0123456789abcdef", .source.path = "/m/a \"b\".mkv",
			   .segment.start = 540000 };

	crash_set_job(crash, &job, 0);
	ck_assert_str_eq(said(), " job=7 stream=\"0123456789abcdef\" start=540000 source=\"/m/a ?b?.mkv\"");
	job.type = JOB_PROBE;
	memset(job.source.path, 'x', RECORD_PATH_MAX);
	memcpy(job.source.path + RECORD_PATH_MAX - 4, ".mkv", 4);
	crash_set_job(crash, &job, 0);
	ck_assert_ptr_null(strstr(said(), "start="));
	ck_assert_ptr_nonnull(strstr(said(), "xxx.mkv\""));
	crash_set_job(crash, NULL, 0);
	ck_assert_str_eq(said(), "");
}
END_TEST

/* By one that was taken over: whatever it is, it is a line, and not a long one. */
START_TEST(what_anybody_wrote_is_a_line_of_text)
{
	srand(1);
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof *crash; i++)
			((uint8_t *)crash)[i] = round ? (uint8_t)rand() : 0xff;
		crash->job = round % 2 ? 5 : crash->job;
		if (round % 3)
			crash->n_frames = rand() % 100 - 20;
		if (round % 5 == 0)
			crash->signal = SIGSYS;
		for (const char *c = said(); *c; c++)
			ck_assert((unsigned char)*c >= ' ' && *c != 0x7f);
		ck_assert_uint_lt(strlen(said()), 3500);
	}
}
END_TEST

static const struct {
	int signal;
	const char *says;
} deaths[] = { { SIGSEGV, " signal=11 " }, { SIGABRT, " signal=6 " }, { SIGFPE, " signal=8 " }, { SIGBUS, " signal=7 " },
	       { SIGILL, " signal=4 " } };

START_TEST(a_death_stays_one_and_tells_where)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		crash_catch(crash);
		raise(deaths[_i].signal);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == deaths[_i].signal);
	ck_assert_msg(strstr(said(), deaths[_i].says) && strstr(said(), "backtrace=\"") && strstr(said(), "unit-tests("), "%s", said());
}
END_TEST

static int use_stack(int n)
{
	volatile char room[4096];

	room[n % 4096] = (char)n;
	return n < 0 ? 0 : use_stack(n + 1) + room[0];
}

START_TEST(a_stack_that_overflows_is_a_death_that_tells_where)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		crash_catch(crash);
		_exit(use_stack(1));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	ck_assert_msg(strstr(said(), " signal=11 address=0x") && strstr(said(), "backtrace=\""), "%s", said());
}
END_TEST

Suite *suite_crash(void)
{
	Suite *s = suite_create("crash");
	TCase *t = tcase_create("crash");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, of_one_that_wrote_nothing_there_is_nothing_to_say);
	tcase_add_test(t, a_job_is_told_with_its_segment);
	tcase_add_test(t, what_anybody_wrote_is_a_line_of_text);
	tcase_add_loop_test(t, a_death_stays_one_and_tells_where, 0, (int)(sizeof deaths / sizeof *deaths));
	tcase_add_test(t, a_stack_that_overflows_is_a_death_that_tells_where);
	suite_add_tcase(s, t);
	return s;
}
