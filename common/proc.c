/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPORT_FD 3 /* in the child: where a failed exec is told; closed by a successful one */
#define NFTW_DESCRIPTORS 16
#define FD_MAX_FALLBACK 65536 /* descriptors closed one by one where close_range is missing */

/* What the child needs; all found out before the fork. */
struct spawn {
	char *const *argv;
	int out_fd, err_fd;
	int report_fd;
	int is_session;
	pid_t parent;
};

/* The same for a child that stays in this program. */
struct call {
	const char *name;
	int (*fn)(void *arg);
	void *arg;
	pid_t parent;
};

static void close_from(int first)
{
	if (!close_range((unsigned)first, ~0u, 0))
		return;
	for (int fd = first; fd < FD_MAX_FALLBACK; fd++)
		close(fd);
}

/* The descriptors at their places. The sources are copied up first: out may be 2 and err 1. */
static int child_descriptors(const struct spawn *s)
{
	int out = fcntl(s->out_fd < 0 ? STDOUT_FILENO : s->out_fd, F_DUPFD, 10);
	int err = fcntl(s->err_fd < 0 ? STDERR_FILENO : s->err_fd, F_DUPFD, 10);
	int report = fcntl(s->report_fd, F_DUPFD, 10);
	int in = open("/dev/null", O_RDONLY);
	if (report < 0 || in < 0)
		return -1;
	if ((s->out_fd >= 0 && out < 0) || (s->err_fd >= 0 && err < 0))
		return -1;
	if (in != STDIN_FILENO && dup2(in, STDIN_FILENO) < 0)
		return -1;
	if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
		return -1;
	if (err >= 0 && dup2(err, STDERR_FILENO) < 0)
		return -1;
	if (dup3(report, REPORT_FD, O_CLOEXEC) < 0)
		return -1;
	close_from(REPORT_FD + 1);
	return 0;
}

static void child_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	/* The parent may have died before prctl: then no signal will come. */
	if (getppid() != parent)
		_exit(127);
	return 0;
}

static void child_run(const void *arg)
{
	const struct spawn *s = arg;
	int report = s->report_fd;
	if (die_with(s->parent) < 0)
		goto out;
	if (s->is_session && setsid() < 0)
		goto out;
	if (child_descriptors(s) < 0)
		goto out;
	report = REPORT_FD;
	child_signals();
	execvp(s->argv[0], s->argv);
out:;
	int e = errno;
	if (write(report, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

/* The child of proc_fork. */
static void child_call(const void *arg)
{
	const struct call *c = arg;
	int in = open("/dev/null", O_RDONLY);
	if (die_with(c->parent) < 0 || in < 0 || dup2(in, STDIN_FILENO) < 0)
		_exit(127);
	close_from(STDERR_FILENO + 1);
	child_signals();
	prctl(PR_SET_NAME, c->name);
	exit(c->fn(c->arg));
}

/* child(arg) does not return. */
static pid_t fork_masked(void (*child)(const void *arg), const void *arg)
{
	/* No handler of ours may run in the child. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		child(arg);
	int e = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = e;
	return pid;
}

static void wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* 0: exec succeeded, else errno. */
static int read_report(int fd)
{
	int e = 0;
	ssize_t n;
	do
		n = read(fd, &e, sizeof(e));
	while (n < 0 && errno == EINTR);
	return n == 0 ? 0 : n == (ssize_t)sizeof(e) ? e : EIO;
}

/* PR_SET_PDEATHSIG follows the thread that forks: call this from one that lives as long as the process. */
int proc_spawn(pid_t *pid, char *const argv[], int out_fd, int err_fd, int is_session, struct err *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, ERR_RETRY, "cannot make a pipe: %s", strerror(errno));
	struct spawn s = { argv, out_fd, err_fd, fds[1], is_session, getpid() };
	pid_t child = fork_masked(child_run, &s);
	int e = errno;
	close(fds[1]);
	if (child < 0) {
		close(fds[0]);
		return err_set(err, ERR_RETRY, "cannot start another process: %s", strerror(e));
	}
	e = read_report(fds[0]);
	close(fds[0]);
	if (e) {
		wait_for(child);
		return err_set(err, ERR_USAGE, "cannot run %s: %s", argv[0], strerror(e));
	}
	*pid = child;
	return 0;
}

int proc_fork(pid_t *pid, const char *name, int (*fn)(void *arg), void *arg, struct err *err)
{
	struct call c = { name, fn, arg, getpid() };
	pid_t child = fork_masked(child_call, &c);
	if (child < 0)
		return err_set(err, ERR_RETRY, "cannot start another process: %s", strerror(errno));
	*pid = child;
	return 0;
}

void proc_sibling(const char *name, char *path, size_t size)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = 0;
		char *slash = strrchr(self, '/');
		if (slash) {
			slash[1] = 0;
			int len = snprintf(path, size, "%s%s", self, name);
			if (len > 0 && (size_t)len < size && !access(path, X_OK))
				return;
		}
	}
	snprintf(path, size, "%s", name);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int proc_remove_tree(const char *path)
{
	return nftw(path, remove_one, NFTW_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) ? -1 : 0;
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t proc_now_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t proc_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t proc_cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}
