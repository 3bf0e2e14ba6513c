/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/pool.h"

#include "common/bus.h"
#include "common/log.h"
#include "common/proc.h"

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

#define BEAT_MS 1000
#define CONNECT_MS 20
#define HEALTHY_MS 2000      /* a worker that lived this long is started again at once */
#define BACK_OFF_MS 100      /* first wait of one that did not; doubled each time */
#define BACK_OFF_MAX_MS 5000
#define STOP_MS 2000         /* from SIGTERM to SIGKILL */

struct slot {
	pid_t pid;            /* 0: not running */
	char name[MSG_NAME_MAX + 1];
	int generation;
	int64_t started_ms, start_at_ms, back_off_ms;
};

struct pool {
	const struct pool_options *options;
	struct bus *bus;
	struct slot *slots;
	char host[32];
	char exe[4096];
	bool is_known, is_stopping;
	int64_t next_beat_ms;
};

static int send_msg(struct pool *p, struct msg *m)
{
	struct buf json = { 0 };
	struct err err;
	int ret = msg_put(m, &json);

	if (!ret)
		ret = bus_send(p->bus, NULL, m->verb, buf_bytes(&json), &err);
	buf_finish(&json);
	return ret;
}

static void beat(struct pool *p)
{
	struct msg m = { .verb = p->is_known ? MSG_BEAT : MSG_HELLO, .is_pool = true, .pid = getpid() };
	int64_t now = proc_now_ms();

	if (now < p->next_beat_ms)
		return;
	snprintf(m.name, sizeof m.name, "%s-%d", p->host, (int)getpid());
	if (!send_msg(p, &m))
		p->is_known = true;
	p->next_beat_ms = now + (p->is_known ? BEAT_MS : CONNECT_MS);
}

static void start(struct pool *p, struct slot *s)
{
	char credits[16];
	char *argv[] = { p->exe, (char *)(uintptr_t)"--session", s->name, (char *)(uintptr_t)"--connect",
			 (char *)(uintptr_t)p->options->connect, (char *)(uintptr_t)"--redis",
			 (char *)(uintptr_t)p->options->redis, (char *)(uintptr_t)"--credits", credits, NULL };
	struct err err;

	snprintf(credits, sizeof credits, "%d", p->options->credits);
	snprintf(s->name, sizeof s->name, "%s-%d-%d-%d", p->host, (int)getpid(), (int)(s - p->slots), ++s->generation);
	s->started_ms = proc_now_ms();
	if (proc_spawn(&s->pid, argv, -1, -1, 0, &err)) {
		log_error("worker not started", "reason=\"%s\"", err.msg);
		s->pid = 0;
		s->start_at_ms = s->started_ms + BACK_OFF_MAX_MS;
	}
}

static void buried(struct pool *p, struct slot *s, int status)
{
	struct msg m = { .verb = MSG_DIED, .pid = s->pid };
	int64_t now = proc_now_ms();

	memcpy(m.name, s->name, sizeof m.name);
	m.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	m.status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	if (m.signal == SIGALRM)
		snprintf(m.reason, sizeof m.reason, "the job took longer than its deadline");
	else if (m.signal)
		snprintf(m.reason, sizeof m.reason, "killed by signal %d (%s)", m.signal, strsignal(m.signal));
	else
		snprintf(m.reason, sizeof m.reason, "exited with status %d", m.status);
	if (!p->is_stopping) {
		log_warn("worker died", "name=%s pid=%d reason=\"%s\"", s->name, (int)s->pid, m.reason);
		send_msg(p, &m);
	}
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

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < p->options->workers; i++)
			if (p->slots[i].pid == pid)
				buried(p, &p->slots[i], status);
}

static void receive(struct pool *p)
{
	struct bytes json;
	struct err err;
	enum msg_verb verb;
	int ret;

	while ((ret = bus_recv(p->bus, NULL, &verb, &json, &err)) != 0) {
		if (ret > 0 && verb == MSG_STOP)
			p->is_stopping = true;
		else if (ret > 0 && verb == MSG_HELLO)
			p->is_known = false, p->next_beat_ms = 0;
	}
}

static int start_due(struct pool *p)
{
	int64_t now = proc_now_ms(), next = p->next_beat_ms;

	for (int i = 0; i < p->options->workers; i++) {
		struct slot *s = &p->slots[i];

		if (!s->pid && s->start_at_ms <= now)
			start(p, s);
		if (!s->pid && s->start_at_ms < next)
			next = s->start_at_ms;
	}
	return next > now ? (int)(next - now) : 0;
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
	send_msg(p, &(struct msg){ .verb = MSG_BYE });
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
	struct err err;
	ssize_t n = readlink("/proc/self/exe", p.exe, sizeof p.exe - 1);

	if (gethostname(p.host, sizeof p.host - 1))
		snprintf(p.host, sizeof p.host, "host");
	for (char *c = p.host; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
			*c = '-';
	p.slots = calloc((size_t)options->workers, sizeof *p.slots);
	if (n <= 0 || signals < 0 || !p.slots || bus_connect(&p.bus, options->connect, &err)) {
		log_error("pool cannot start", "reason=\"%s\"", p.slots && n > 0 && signals >= 0 ? err.msg : strerror(errno));
		free(p.slots);
		return 1;
	}
	while (!p.is_stopping) {
		struct pollfd fds[2] = { { .fd = signals, .events = POLLIN }, { .fd = bus_fd(p.bus), .events = POLLIN } };
		int timeout;

		beat(&p);
		receive(&p);
		timeout = start_due(&p);
		if (!p.is_stopping)
			poll(fds, 2, timeout);
		read_signals(&p, signals);
	}
	stop_all(&p);
	bus_destroy(p.bus);
	free(p.slots);
	close(signals);
	return 0;
}
