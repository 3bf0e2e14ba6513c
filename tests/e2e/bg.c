/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/bg.h"

#include "common/buf.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOUND_MAX 64
#define TAIL_MAX 2000 /* Check ends the test without a word when a message is too long */
#define BG_CLEAN_MS 20000 /* what is dying may take this long */

static const struct {
	const char *role, *part, *without;
} roles[] = {
	{ "main", "segfarm run", NULL },
	{ "janitor", "segfarm --janitor", NULL },
	{ "redis", "redis-server", NULL },
	{ "pool", "[segfarm-worker]", NULL },
	{ "worker", "[segfarm-session]", NULL },
};

void bg_sleep(int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* Everything of a file that may not tell its size; blanks for the ends of words. */
static char *read_all(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0, cap = 8192;
	char *text = malloc(cap);
	ssize_t n = 0;

	ck_assert_ptr_nonnull(text);
	while (fd >= 0 && (n = read(fd, text + size, cap - size - 1)) > 0) {
		size += (size_t)n;
		if (size > cap / 2)
			text = realloc(text, cap *= 2);
		ck_assert_ptr_nonnull(text);
	}
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < size; i++)
		if (!text[i])
			text[i] = ' ';
	text[size] = 0;
	return text;
}

/* --- the program */

void bg_open(struct bg *b)
{
	memset(b, 0, sizeof *b);
	/* Not in the scratch directory: a socket's path has 107 bytes, and that one may be deep. */
	snprintf(b->dir, sizeof b->dir, "/tmp/segfarm-bg.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	snprintf(b->tmp, sizeof b->tmp, "%s/tmp", b->dir);
	snprintf(b->log, sizeof b->log, "%s/log", b->dir);
	ck_assert_int_eq(mkdir(b->tmp, 0700), 0);
}

void bg_start(struct bg *b, const char *format, ...)
{
	char *command, *script;
	char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, NULL, NULL };
	struct err err;
	va_list args;
	int fd = open(b->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(b->pid, 0);
	sh_build(); /* sets $SEGFARM */
	va_start(args, format);
	ck_assert_int_ge(vasprintf(&command, format, args), 0);
	va_end(args);
	/* a sanitizer would make an exit status of a SIGSEGV */
	ck_assert_int_ge(asprintf(&script,
				  "ulimit -c 0; export TMPDIR=%s ASAN_OPTIONS=$ASAN_OPTIONS:handle_segv=0; exec %s",
				  b->tmp, command),
			 0);
	argv[2] = script;
	ck_assert_msg(!proc_spawn(&b->pid, argv, fd, fd, 1, &err), "%s", err.msg);
	close(fd);
	free(command);
	free(script);
}

static bool has_ended(struct bg *b, int *status)
{
	if (waitpid(b->pid, status, WNOHANG) != b->pid)
		return false;
	b->pid = 0;
	return true;
}

int bg_wait(struct bg *b)
{
	int status = 0;

	bg_wait_until(has_ended(b, &status), "it does not end; it says:\n%s", bg_tail(b));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

char *bg_log(const struct bg *b)
{
	return read_all(b->log);
}

char *bg_tail(const struct bg *b)
{
	char *log = bg_log(b);
	size_t size = strlen(log);

	return size > TAIL_MAX ? log + size - TAIL_MAX : log;
}

int bg_count(const char *text, const char *part)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

static bool has_logged(const struct bg *b, const char *text, int n)
{
	char *log = bg_log(b);
	int seen = bg_count(log, text);

	free(log);
	return seen >= n;
}

void bg_wait_log(struct bg *b, const char *text, int n)
{
	int64_t end_ms = proc_now_ms() + BG_WAIT_MS;
	int status;

	while (proc_now_ms() < end_ms) {
		bool is_over = has_ended(b, &status);

		if (has_logged(b, text, n))
			return;
		if (is_over)
			break;
		bg_sleep(BG_STEP_MS);
	}
	ck_abort_msg("'%s' does not stand %d times in:\n%s", text, n, bg_tail(b));
}

char *bg_log_after(const struct bg *b, const char *from)
{
	char *log = bg_log(b), *at = strstr(log, from), *words;

	ck_assert_msg(at, "'%s' does not stand in:\n%s", from, bg_tail(b));
	at += strlen(from);
	words = strndup(at, strcspn(at, "\n"));
	ck_assert_ptr_nonnull(words);
	free(log);
	return words;
}

/* --- all that it started */

static char *read_proc(const char *pid, const char *file)
{
	char path[300];

	snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
	return read_all(path);
}

/* redis-server writes its title over its environment: it is known by its socket's path. */
static bool is_marked(const struct bg *b, const char *pid)
{
	char *environment = read_proc(pid, "environ"), *cmdline = read_proc(pid, "cmdline");
	bool is_so = *cmdline && (strstr(environment, b->tmp) || strstr(cmdline, b->tmp));

	free(environment);
	free(cmdline);
	return is_so;
}

/* command: "[NAME] ARGV". A worker has no environment: it is known by its parent. */
static bool is_ours(const struct bg *b, const char *pid, char **command)
{
	char *cmdline = read_proc(pid, "cmdline"), *comm = read_proc(pid, "comm"), *status = read_proc(pid, "status");
	const char *parent = strstr(status, "PPid:");
	char ppid[16] = "0";
	bool is_so = is_marked(b, pid);

	if (!is_so && *cmdline && parent && sscanf(parent, "PPid: %15[0-9]", ppid) == 1)
		is_so = is_marked(b, ppid);
	ck_assert_int_ge(asprintf(command, "[%.*s] %s", (int)strcspn(comm, "\n"), comm, cmdline), 0);
	free(status);
	free(comm);
	free(cmdline);
	return is_so;
}

static bool is_meant(const char *command, const char *part, const char *without)
{
	return (!part || strstr(command, part)) && !(without && strstr(command, without));
}

int bg_find(const struct bg *b, const char *part, const char *without, pid_t *pids, int max)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char *command;
	int n = 0;

	ck_assert_ptr_nonnull(proc);
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (is_ours(b, entry->d_name, &command) && is_meant(command, part, without)) {
			if (n < max)
				pids[n] = (pid_t)strtol(entry->d_name, NULL, 10);
			n++;
		}
		free(command);
	}
	closedir(proc);
	return n;
}

pid_t bg_role(const struct bg *b, const char *role)
{
	pid_t pid = 0;

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (!strcmp(roles[i].role, role))
			bg_wait_until(bg_find(b, roles[i].part, roles[i].without, &pid, 1), "there is no %s", role);
	ck_assert_msg(pid, "there is no role '%s'", role);
	return pid;
}

/* --- what is left */

static char *leftovers(const struct bg *b)
{
	return sh("cd %s/tmp && find . -mindepth 1 | head -n 20; grep -F %s/ /proc/net/unix | head -n 20", b->dir,
		  b->tmp);
}

static bool is_clean(const struct bg *b)
{
	char *left;
	bool is_so;

	if (bg_find(b, NULL, NULL, NULL, 0))
		return false;
	left = leftovers(b);
	is_so = !*left;
	free(left);
	return is_so;
}

/* What is left is shown, and ended: nobody else will. */
static void complain(const struct bg *b)
{
	pid_t pids[FOUND_MAX];
	int n = bg_find(b, NULL, NULL, pids, FOUND_MAX);
	char *left = leftovers(b);
	char path[64];

	for (int i = 0; i < n && i < FOUND_MAX; i++) {
		snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pids[i]);
		fprintf(stderr, "left: %d %s\n", (int)pids[i], read_all(path));
		kill(pids[i], SIGKILL);
	}
	ck_abort_msg("left behind, with %d processes:\n%s\nit said:\n%s", n, left, bg_tail(b));
}

void bg_check_clean(const struct bg *b)
{
	int64_t end_ms = proc_now_ms() + BG_CLEAN_MS;

	while (proc_now_ms() < end_ms) {
		if (is_clean(b))
			return;
		bg_sleep(BG_STEP_MS);
	}
	complain(b);
}

void bg_close(struct bg *b)
{
	if (b->pid) {
		kill(b->pid, SIGTERM);
		bg_wait(b);
	}
	proc_remove_tree(b->dir);
}
