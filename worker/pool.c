/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/pool.h"

#include "common/log.h"
#include "common/msg.h"
#include "common/proc.h"
#include "worker/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEALTHY_MS 2000      /* a worker that lived this long is started again at once */
#define BACK_OFF_MS 100      /* first wait of one that did not; doubled each time */
#define BACK_OFF_MAX_MS 5000
#define STOP_MS 2000         /* from SIGTERM to SIGKILL */

struct slot {
	pid_t pid;            /* 0: not running */
	char name[MSG_NAME_MAX + 1];
	char death[80];       /* how the latest one ended, "" */
	int generation;
	int64_t started_ms, start_at_ms, back_off_ms;
};

struct pool {
	const struct pool_options *options;
	struct slot *slots;
	char host[32];
	bool is_stopping;
};

static int run_session(void *options)
{
	return session_main(options);
}

static void start(struct pool *p, struct slot *s)
{
	struct session_options session = { p->options->connect, p->options->redis, s->name, s->death, p->options->credits };
	struct err err;

	snprintf(s->name, sizeof s->name, "%s-%d-%d-%d", p->host, (int)getpid(), (int)(s - p->slots), ++s->generation);
	s->started_ms = proc_now_ms();
	if (proc_fork(&s->pid, "segfarm-session", run_session, &session, &err)) {
		log_error("worker not started", "reason=\"%s\"", err.msg);
		s->pid = 0;
		s->start_at_ms = s->started_ms + BACK_OFF_MAX_MS;
	}
}

static void buried(struct pool *p, struct slot *s, int status)
{
	int64_t now = proc_now_ms();

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(s->death, sizeof s->death, "the job took longer than its deadline");
	else if (WIFSIGNALED(status))
		snprintf(s->death, sizeof s->death, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(s->death, sizeof s->death, "exited with status %d", WEXITSTATUS(status));
	if (!p->is_stopping)
		log_warn("worker died", "name=%s pid=%d reason=\"%s\"", s->name, (int)s->pid, s->death);
	s->pid = 0;
	if (now - s->started_ms >= HEALTHY_MS)
		s->back_off_ms = 0;
	s->start_at_ms = now + s->back_off_ms;
	s->back_off_ms = s->back_off_ms ? s->back_off_ms * 2 : BACK_OFF_MS;
	if (s->back_off_ms > BACK_OFF_MAX_MS)
		s->back_off_ms = BACK_OFF_MAX_MS;
}

static void bury(struct pool *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status)) { /* it would keep its place, and do nothing */
			kill(pid, SIGKILL);
			continue;
		}
		for (int i = 0; i < p->options->workers; i++)
			if (p->slots[i].pid == pid)
				buried(p, &p->slots[i], status);
	}
}

/* Starts who is due; ms until the next one is, -1: nobody waits. */
static int start_due(struct pool *p)
{
	int64_t now = proc_now_ms(), next = INT64_MAX;

	for (int i = 0; i < p->options->workers; i++) {
		struct slot *s = &p->slots[i];

		if (!s->pid && s->start_at_ms <= now)
			start(p, s);
		if (!s->pid && s->start_at_ms < next)
			next = s->start_at_ms;
	}
	return next == INT64_MAX ? -1 : next > now ? (int)(next - now) : 0;
}

static bool kill_all(struct pool *p, int signal)
{
	bool is_any = false;

	for (int i = 0; i < p->options->workers; i++)
		if (p->slots[i].pid) {
			kill(p->slots[i].pid, signal);
			is_any = true;
		}
	return is_any;
}

/* Asks, and does not wait for ever for one that cannot answer. */
static void stop_all(struct pool *p)
{
	int64_t until = proc_now_ms() + STOP_MS;

	p->is_stopping = true;
	kill_all(p, SIGTERM);
	for (bury(p); kill_all(p, 0) && proc_now_ms() < until; bury(p))
		poll(NULL, 0, 5);
	while (kill_all(p, SIGKILL)) {
		poll(NULL, 0, 5);
		bury(p);
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(struct pool *p, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == sizeof info)
		if (info.ssi_signo != SIGCHLD)
			p->is_stopping = true;
	bury(p);
}

int pool_main(const struct pool_options *options)
{
	struct pool p = { .options = options };
	int signals = open_signals();

	if (gethostname(p.host, sizeof p.host - 1))
		snprintf(p.host, sizeof p.host, "host");
	for (char *c = p.host; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
			*c = '-';
	p.slots = calloc((size_t)options->workers, sizeof *p.slots);
	if (signals < 0 || !p.slots) {
		log_error("pool cannot start", "reason=\"%s\"", strerror(errno));
		free(p.slots);
		return 1;
	}
	while (!p.is_stopping) {
		struct pollfd fd = { .fd = signals, .events = POLLIN };

		poll(&fd, 1, start_due(&p));
		read_signals(&p, signals);
	}
	stop_all(&p);
	free(p.slots);
	close(signals);
	return 0;
}
