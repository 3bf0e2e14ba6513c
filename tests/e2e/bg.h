/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs that run beside a test, and all that they start: found by TMPDIR, which is a directory of their own.
 */
#ifndef SEGFARM_TESTS_E2E_BG_H
#define SEGFARM_TESTS_E2E_BG_H

#include "common/proc.h"

#include <stddef.h>
#include <sys/types.h>

struct bg {
	pid_t pid; /* 0: not running */
	char dir[40]; /* ours: the log, what a test wants to put there; short enough for the path of a socket */
	char tmp[48]; /* in it: TMPDIR of the program, and its mark */
	char log[48]; /* stdout + stderr of the program */
};

/* Makes the directories. */
void bg_open(struct bg *b);
/* Starts the shell command, in the background and in a session of its own, the shell replaced by it (so give one
 * program); its log begins anew. It dies with the test. */
void bg_start(struct bg *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Waits for its end: the exit status, 128 + signal when killed. The test fails when it does not end. */
int bg_wait(struct bg *b);
/* What it has written up to now, to be freed. */
char *bg_log(const struct bg *b);
/* The end of that, for a message of a test that fails. */
char *bg_tail(const struct bg *b);
/* Waits until text stands in the log for the n-th time. The test fails when the program ends without having written it.
 */
void bg_wait_log(struct bg *b, const char *text, int n);
/* The words of the log from behind `from` to the end of the line, for the first place where it stands; to be freed. */
char *bg_log_after(const struct bg *b, const char *from);
int bg_count(const char *text, const char *part);

/* Processes of this mark (without zombies) of which "[name] command line" has `part` and not `without` (NULL: whatever it
 * has): how many, and the first `max` of them. */
int bg_find(const struct bg *b, const char *part, const char *without, pid_t *pids, int max);
/* The one that is meant by: main, janitor, redis, pool, worker; waits until there is one. */
pid_t bg_role(const struct bg *b, const char *role);

/* Waits until no process of this mark is left, no socket, and nothing in TMPDIR; the test fails when that does not
 * come. */
void bg_check_clean(const struct bg *b);
/* Ends what is left, and removes the directories. */
void bg_close(struct bg *b);

/* Waits until is_so is true, and fails with the message when that does not come. */
#define BG_WAIT_MS 120000
#define BG_STEP_MS 5
void bg_sleep(int ms);
#define bg_wait_until(is_so, ...)                                              \
	do {                                                                   \
		int64_t bg_end_ms = proc_now_ms() + BG_WAIT_MS;                \
		while (!(is_so)) {                                             \
			ck_assert_msg(proc_now_ms() < bg_end_ms, __VA_ARGS__); \
			bg_sleep(BG_STEP_MS);                                  \
		}                                                              \
	} while (0)

#endif
