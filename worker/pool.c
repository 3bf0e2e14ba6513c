/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/pool.h"

#include "common/log.h"
#include "common/msg.h"
#include "common/notify.h"
#include "common/proc.h"
#include "worker/crash.h"
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
#define LOOK_MS 500          /* between two looks whether all of them live */
#define HUNG_MS 15000        /* without a job: it waits for the store up to 10 s */
#define OVERDUE_MS 1000      /* behind the time at which the kernel was to end a job */
#define LEFT_LATE "it was to leave and had not finished its job"
#define STOPPED_MS 1000      /* by SIGSTOP; a stopped pool takes its time to see that all go on */

struct slot {
	pid_t pid;            /* 0: not running */
	char name[MSG_NAME_MAX + 1];
	char death[80];       /* how the latest one ended that nobody was told of, "" */
	int64_t death_job;    /* that it had in hand ... */
	char death_endpoint[CRASH_ENDPOINT]; /* ... and whose it was */
	bool is_killed;       /* from outside */
	const char *kill;     /* why we killed it; NULL: we did not */
	struct crash *crash;  /* shared with it */
	int generation;
	int64_t started_ms, start_at_ms, back_off_ms;
	int64_t alive, alive_ms; /* what it said last, and since when */
	int64_t stopped_ms;   /* since when it is stopped; 0: it is not */
	int64_t leave_ms;     /* when it has to be gone; 0: it may stay */
};

struct pool {
	struct pool_options *options;
	struct slot *slots;
	char host[32];
	int n_stops; /* signals that ask us to end: the first lets workers finish what they are at */
	bool must_reload;
};

static int run_session(void *options)
{
	return session_main(options);
}

static void start(struct pool *p, struct slot *s)
{
	const struct pool_options *o = p->options;
	struct session_options session = { .connect = o->connect, .n_connect = o->n_connect, .access = o->access, .redis = o->redis,
					   .name = s->name, .labels = o->labels, .death = s->death, .death_job = s->death_job,
					   .death_endpoint = s->death_endpoint, .is_killed = s->is_killed, .credits = o->credits,
					   .allow = o->allow, .sandbox = o->sandbox, .crash = s->crash };
	struct err err;

	snprintf(s->name, sizeof s->name, "%s-%d-%d-%d", p->host, (int)getpid(), (int)(s - p->slots), ++s->generation);
	memset(s->crash, 0, sizeof *s->crash);
	s->started_ms = s->alive_ms = proc_now_ms();
	s->alive = s->stopped_ms = s->leave_ms = 0;
	s->kill = NULL;
	if (proc_fork(&s->pid, "segfarm-session", run_session, &session, &err)) {
		log_error("worker not started", "reason=\"%s\"", err.msg);
		s->pid = 0;
		s->start_at_ms = s->started_ms + BACK_OFF_MAX_MS;
	}
}

static void describe(const struct slot *s, int status, char *reason, size_t size)
{
	if (s->kill)
		snprintf(reason, size, "%s", s->kill);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(reason, size, "the job took longer than its deadline");
	else if (WIFSIGNALED(status))
		snprintf(reason, size, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(reason, size, "exited with status %d", WEXITSTATUS(status));
}

static void log_death(const struct slot *s, const char *reason)
{
	struct buf more = { 0 };

	crash_put(s->crash, &more);
	log_warn("worker died", "name=%s pid=%d reason=\"%s\"%s", s->name, (int)s->pid, reason, more.size ? buf_cstr(&more) : "");
	buf_finish(&more);
}

/* By somebody else: the job that it had in hand has no part in it. */
static bool is_killed(const struct slot *s, int status)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (s->kill)
		return s->stopped_ms != 0 || !strcmp(s->kill, LEFT_LATE);
	return number == SIGKILL || number == SIGTERM || number == SIGINT || (number && s->crash->is_outside);
}

/* Whoever got as far as to the dispatcher is followed at once: jobs that kill their workers are for that one to stop. */
static void buried(struct pool *p, struct slot *s, int status)
{
	int64_t now = proc_now_ms();
	char reason[sizeof s->death];
	bool has_left = s->leave_ms && !s->kill && WIFEXITED(status) && !WEXITSTATUS(status);

	describe(s, status, reason, sizeof reason);
	if (has_left) /* it has said so itself, and has no job any more; who did not hear it is told again */
		s->crash->job = 0;
	else if (!p->n_stops)
		log_death(s, reason);
	if (s->crash->is_known || !s->death[0]) { /* else what the one before it died of is still to be told */
		memcpy(s->death, reason, sizeof reason);
		s->death_job = s->crash->job > 0 ? s->crash->job : 0;
		memcpy(s->death_endpoint, s->crash->endpoint, sizeof s->death_endpoint);
		s->death_endpoint[sizeof s->death_endpoint - 1] = '\0';
		s->is_killed = has_left || is_killed(s, status);
	}
	s->pid = 0;
	if (has_left || now - s->started_ms >= HEALTHY_MS || s->crash->is_known)
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

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0)
		for (int i = 0; i < p->options->workers; i++) {
			struct slot *s = &p->slots[i];

			if (s->pid != pid)
				continue;
			if (WIFSTOPPED(status))
				s->stopped_ms = proc_now_ms();
			else if (WIFCONTINUED(status))
				s->stopped_ms = 0;
			else
				buried(p, s, status);
		}
}

/* Why it has to be killed; NULL: it has not. */
static const char *is_hung(struct slot *s, int64_t now)
{
	int64_t alive = s->crash->alive, until = s->crash->until_ms;

	if (alive != s->alive || until) {
		s->alive = alive;
		s->alive_ms = now;
	}
	if (s->stopped_ms && now - s->stopped_ms > STOPPED_MS)
		return "it was stopped";
	if (until && now - until > OVERDUE_MS)
		return "the job took longer than its deadline";
	if (s->leave_ms && now >= s->leave_ms)
		return LEFT_LATE;
	return now - s->alive_ms > HUNG_MS ? "it did nothing any more" : NULL;
}

static void kill_hung(struct pool *p)
{
	int64_t now = proc_now_ms();

	for (int i = 0; i < p->options->workers; i++) {
		struct slot *s = &p->slots[i];

		if (s->pid && !s->kill && (s->kill = is_hung(s, now)))
			kill(s->pid, SIGKILL);
	}
}

/* Starts who is due; ms until there is something to do. */
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
	return next > now + LOOK_MS ? LOOK_MS : next > now ? (int)(next - now) : 0;
}

static bool is_any_there(const struct pool *p)
{
	for (int i = 0; i < p->options->workers; i++)
		if (p->slots[i].pid)
			return true;
	return false;
}

/* They finish the job in hand, within drain_ms. */
static void ask_to_leave(struct pool *p, int drain_ms)
{
	int64_t now = proc_now_ms();

	for (int i = 0; i < p->options->workers; i++) {
		struct slot *s = &p->slots[i];

		if (!s->pid)
			continue;
		s->leave_ms = now + drain_ms;
		kill(s->pid, drain_ms ? SIGTERM : SIGKILL);
	}
}

static void reload(struct pool *p)
{
	p->must_reload = false;
	if (!p->options->reload || !p->options->reload(p->options->reload_arg, p->options))
		return;
	log_info("options and keys read again", "workers=%d", p->options->workers);
	ask_to_leave(p, p->options->drain_ms ? p->options->drain_ms : 1);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(struct pool *p, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == sizeof info)
		if (info.ssi_signo == SIGHUP)
			p->must_reload = true;
		else if (info.ssi_signo != SIGCHLD)
			p->n_stops++;
	bury(p);
}

static void finish(struct pool *p)
{
	for (int i = 0; p->slots && i < p->options->workers; i++)
		crash_destroy(p->slots[i].crash);
	free(p->slots);
}

static bool init(struct pool *p)
{
	if (gethostname(p->host, sizeof p->host - 1))
		snprintf(p->host, sizeof p->host, "host");
	for (char *c = p->host; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
			*c = '-';
	p->slots = calloc((size_t)p->options->workers, sizeof *p->slots);
	for (int i = 0; p->slots && i < p->options->workers; i++) {
		p->slots[i].crash = crash_create();
		if (!p->slots[i].crash)
			return false;
	}
	return p->slots;
}

/* Before the first worker: a sandbox that does not hold is none. */
static int check_sandbox(const struct sandbox *sandbox)
{
	struct err err = { 0 };

	if (!sandbox) {
		log_warn("workers run without a sandbox", "risk=\"a file that takes a codec over can do what this user can\"");
		return 0;
	}
	if (sandbox_lack())
		log_warn("sandbox is incomplete", "reason=\"%s\"", sandbox_lack());
	if (SANDBOX_IS_OFF || !sandbox_test(sandbox, NULL, &err))
		return 0;
	log_error("pool cannot start", "reason=\"%s; --no-sandbox starts all the same, for sources that are trusted\"", err.msg);
	return -1;
}

static void wait_for_something(struct pool *p, int signals, int wait_ms)
{
	struct pollfd fd = { .fd = signals, .events = POLLIN };

	poll(&fd, 1, wait_ms);
	read_signals(p, signals);
	kill_hung(p);
}

/* A second signal ends it at once. */
static void drain(struct pool *p, int signals)
{
	log_info("drains", "ms=%d", p->options->drain_ms);
	notify_send(NOTIFY_STOPPING);
	ask_to_leave(p, p->n_stops > 1 ? 0 : p->options->drain_ms);
	while (is_any_there(p)) {
		int n_stops = p->n_stops;

		wait_for_something(p, signals, LOOK_MS);
		if (p->n_stops > n_stops)
			ask_to_leave(p, 0);
	}
}

int pool_main(struct pool_options *options)
{
	struct pool p = { .options = options };
	int signals;

	if (check_sandbox(options->sandbox))
		return 1;
	signals = open_signals();
	if (signals < 0 || !init(&p)) {
		log_error("pool cannot start", "reason=\"%s\"", strerror(errno));
		finish(&p);
		return 1;
	}
	notify_send(NOTIFY_READY);
	while (!p.n_stops) {
		wait_for_something(&p, signals, start_due(&p));
		if (p.must_reload) {
			notify_send(NOTIFY_RELOADING);
			reload(&p);
			notify_send(NOTIFY_READY);
		}
	}
	drain(&p, signals);
	finish(&p);
	close(signals);
	return 0;
}
