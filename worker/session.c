/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/session.h"

#include "common/bus.h"
#include "common/log.h"
#include "common/proc.h"
#include "worker/sabotage.h"
#include "worker/task.h"
#include "worker/video_encoder_choice.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BEAT_MS 1000
#define LOOK_MS 2     /* between looks at what has come in, during a job */
#define SLEEP_US 100000 /* and during one that only sleeps */
#define CONNECT_MS 20 /* between two attempts to say HELLO; the first come sooner: what the one before us had may be waited for */
#define HELLO_MS 2000 /* after one has been said, a wish for another was on its way before */
#define UNREACHED_MS 10000
#define STORE_TIMEOUT_MS 10000
#define QUEUE_MAX 1024 /* credits are at most this */

/* To one dispatcher. */
struct link {
	const char *endpoint;
	struct bus *bus;
	int n_jobs;                   /* of its jobs, here */
	bool is_known;
	bool is_up;                   /* there is a connection */
	int connect_ms;               /* until the next attempt to say HELLO */
	int64_t next_beat_ms;
	int64_t hello_ms;             /* when it was said */
	int64_t reached_ms;           /* when something was sent, or we began to try */
};

struct pending {
	struct job *job;
	struct link *link;
	bool is_dropped;              /* cancelled */
};

struct session {
	const struct session_options *options;
	struct link links[SESSION_LINKS_MAX];
	int n_links;
	struct store *store;
	struct source source;
	struct pending queue[QUEUE_MAX]; /* jobs received, not begun: a ring */
	int head, n_queued;
	struct link *link;            /* whose job is in hand; NULL: none is */
	int64_t current;              /* its id; 0 none */
	int64_t play_ms;              /* it is a play: how long it may be without a sign of life; else 0 */
	int64_t progress, next_look_ms;
	bool is_cancelled, is_stopping;
};

/* The pool wants us to finish what is in hand, and go; it interrupts what waits for work. */
static volatile sig_atomic_t is_told_to_leave;

static void on_leave(int number)
{
	(void)number;
	is_told_to_leave = 1;
}

static bool is_leaving(const struct session *s)
{
	return s->is_stopping || is_told_to_leave;
}

/* ---- messages */

static int send_msg(struct link *l, struct msg *m)
{
	struct buf json = { 0 };
	struct err err;
	int ret = msg_put(m, &json);

	if (!ret)
		ret = bus_send(l->bus, NULL, m->verb, buf_bytes(&json), &err);
	if (!ret)
		l->reached_ms = proc_now_ms();
	buf_finish(&json);
	return ret;
}

/* Before the connection stands nothing can be sent: tried again with every beat. */
static void send_hello(struct session *s, struct link *l)
{
	const struct session_options *o = s->options;
	struct msg hello = { .verb = MSG_HELLO, .pid = getpid(), .is_killed = o->is_killed };
	struct msg ready = { .verb = MSG_READY, .credits = o->credits - l->n_jobs };

	hello.job = o->death_link == l - s->links ? o->death_job : 0;
	snprintf(hello.name, sizeof hello.name, "%s", o->name);
	snprintf(hello.reason, sizeof hello.reason, "%s", o->death);
	l->is_known = send_msg(l, &hello) == 0;
	o->crash->is_known |= l->is_known;
	if (l->is_known)
		l->hello_ms = proc_now_ms();
	if (l->is_known && ready.credits > 0)
		send_msg(l, &ready);
}

static void send_beat(const struct session *s, struct link *l)
{
	int64_t job = s->link && s->link != l ? MSG_JOB_OTHER : s->current;

	send_msg(l, &(struct msg){ .verb = MSG_BEAT, .job = job, .progress = s->progress });
}

/* Libzmq gives up on a dispatcher that does not know our key, or is another than its key says; that may have changed since. */
static void reach_again(struct session *s, struct link *l)
{
	struct bus *bus;
	struct err err = { 0 };

	log_warn("dispatcher is not reached, or does not know our key", "endpoint=%s", l->endpoint);
	l->reached_ms = proc_now_ms();
	if (bus_connect(&bus, l->endpoint, s->options->access, &err) < 0) {
		log_error("no new connection to the dispatcher", "reason=\"%s\"", err.msg);
		return;
	}
	bus_destroy(l->bus);
	l->bus = bus;
	l->is_known = false;
}

/* A dispatcher that has come back learns at once that we are here. */
static bool has_come_up(struct link *l)
{
	bool was_up = l->is_up;

	l->is_up = bus_is_connected(l->bus);
	return l->is_up && !was_up;
}

static void beat_one(struct session *s, struct link *l, int64_t now)
{
	if (has_come_up(l))
		l->next_beat_ms = l->hello_ms = 0; /* what it wished before is gone with the connection */
	if (now < l->next_beat_ms)
		return;
	if (l->is_known)
		send_beat(s, l);
	else
		send_hello(s, l);
	l->connect_ms = 2 * l->connect_ms < CONNECT_MS ? 2 * l->connect_ms : CONNECT_MS;
	l->next_beat_ms = now + (l->is_known ? BEAT_MS : l->connect_ms);
	if (now - l->reached_ms >= UNREACHED_MS)
		reach_again(s, l);
}

static void beat(struct session *s)
{
	for (int i = 0; i < s->n_links; i++)
		beat_one(s, &s->links[i], proc_now_ms());
}

/* Answered, else it would be waited for until this worker ends. */
static void refuse_job(struct link *l, int64_t id, const struct err *why)
{
	struct msg m = { .verb = MSG_FAIL, .job = id, .code = why->code }, ready = { .verb = MSG_READY, .credits = 1 };

	log_warn("job refused", "job=%lld reason=\"%s\"", (long long)id, why->msg);
	if (!id)
		return;
	snprintf(m.reason, sizeof m.reason, "%s", why->msg);
	send_msg(l, &m);
	send_msg(l, &ready);
}

static void take_job(struct session *s, struct link *l, struct bytes json)
{
	struct job *job = s->n_queued < QUEUE_MAX ? malloc(sizeof *job) : NULL;
	struct err err = { 0 };

	if (!job)
		err_set(&err, ERR_NOMEM, "there is no room for another job");
	if (!job || job_get(json, job, &err)) {
		refuse_job(l, job ? job->id : 0, &err);
		free(job);
		return;
	}
	s->queue[(s->head + s->n_queued++) % QUEUE_MAX] = (struct pending){ job, l, false };
	l->n_jobs++;
}

static void cancel(struct session *s, const struct link *l, int64_t id)
{
	s->is_cancelled |= s->link == l && id == s->current;
	for (int i = 0; i < s->n_queued; i++) {
		struct pending *p = &s->queue[(s->head + i) % QUEUE_MAX];

		p->is_dropped |= p->link == l && p->job->id == id;
	}
}

static void receive_from(struct session *s, struct link *l)
{
	struct bytes json;
	struct err err;
	enum msg_verb verb;
	struct msg m;
	int ret;

	while ((ret = bus_recv(l->bus, NULL, &verb, &json, &err)) != 0) {
		if (ret < 0)
			log_warn("message refused", "reason=\"%s\"", err.msg);
		else if (verb == MSG_JOB)
			take_job(s, l, json);
		else if (verb == MSG_STOP)
			s->is_stopping = true;
		else if (verb == MSG_HELLO && proc_now_ms() - l->hello_ms >= HELLO_MS)
			send_hello(s, l); /* the dispatcher does not know us: it has been started again, or gave us up */
		else if (verb == MSG_HELLO)
			continue;
		else if (verb == MSG_CANCEL && !msg_get(verb, json, &m, &err))
			cancel(s, l, m.job);
		else
			log_warn("message refused", "verb=%s", msg_verb_name(verb));
	}
}

static void receive(struct session *s)
{
	for (int i = 0; i < s->n_links; i++)
		receive_from(s, &s->links[i]);
}

/* Until something comes in, or it is time for a beat. */
static void wait_for_work(struct session *s)
{
	struct pollfd fds[SESSION_LINKS_MAX];
	int wait_ms = BEAT_MS;

	for (int i = 0; i < s->n_links; i++) {
		const struct link *l = &s->links[i];

		if (bus_wait(l->bus, 0) || bus_is_connected(l->bus) != l->is_up) /* what was sent since may have taken the edge */
			return;
		fds[i] = (struct pollfd){ .fd = bus_fd(l->bus), .events = POLLIN };
		if (!l->is_known && l->connect_ms < wait_ms)
			wait_ms = l->connect_ms;
	}
	poll(fds, (nfds_t)s->n_links, wait_ms);
}

/* ---- jobs */

/* The kernel kills a job that outlives its deadline; the pool sees the signal and reports it. */
static void set_deadline(struct session *s, int64_t ms)
{
	struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	s->options->crash->until_ms = ms ? proc_now_ms() + ms : 0;
	setitimer(ITIMER_REAL, &t, NULL);
}

static int tick(struct task *task, struct err *err)
{
	struct session *s = task->arg;

	s->progress++;
	if (proc_now_ms() >= s->next_look_ms) { /* somebody may wait for us to give this up */
		s->next_look_ms = proc_now_ms() + LOOK_MS;
		beat(s);
		receive(s);
		if (s->play_ms) /* it lasts as long as somebody watches */
			set_deadline(s, s->play_ms);
	}
	return s->is_cancelled || (s->play_ms && is_leaving(s)) ? err_set(err, ERR_STOPPED, "cancelled") : 0;
}

/* While a source is waited for: we live, but there is no progress. */
static int is_stopped(void *arg)
{
	struct session *s = arg;

	if (proc_now_ms() >= s->next_look_ms) {
		s->next_look_ms = proc_now_ms() + LOOK_MS;
		beat(s);
		receive(s);
	}
	return s->is_cancelled;
}

/* Nothing, for as long as it is to take. */
static int noop_run(struct task *task, struct err *err)
{
	int64_t end_us = proc_now_us() + task->job->sleep_ms * 1000, left_us;
	int ret = 0;

	while (!ret && (left_us = end_us - proc_now_us()) > 0) {
		int64_t part_us = left_us < SLEEP_US ? left_us : SLEEP_US;

		nanosleep(&(struct timespec){ .tv_nsec = part_us * 1000 }, NULL);
		ret = task->tick(task, err);
	}
	return ret;
}

static int run_job(struct session *s, const struct job *job, struct msg *done, struct err *err)
{
	struct task task = { .job = job, .store = s->store, .source = &s->source, .tick = tick, .arg = s };
	int ret = 0;

	s->play_ms = job->type == JOB_PLAY ? job->deadline_ms : 0;
	set_deadline(s, job->deadline_ms);
	if (job->type == JOB_PROBE)
		ret = probe_run(&task, err);
	else if (job->type == JOB_SEGMENT)
		ret = sabotage_of(job) ? sabotage_run(&task, s->link->bus, err) : segment_run(&task, err);
	else if (job->type == JOB_PLAY)
		ret = play_run(&task, err);
	else
		ret = noop_run(&task, err);
	set_deadline(s, 0);
	if (source_status(&s->source, err)) /* whatever came of it */
		ret = err->code;
	source_forget(&s->source);
	done->bytes = task.bytes;
	return ret;
}

/* The dispatcher whose job it is knows how long it may take; others may have had theirs done before. */
static void begin_job(struct session *s, const struct pending *p)
{
	s->link = p->link;
	s->current = p->job->id;
	s->is_cancelled = false;
	crash_set_job(s->options->crash, p->job, (int)(p->link - s->links));
	if (s->n_links > 1)
		send_beat(s, p->link);
}

static void end_job(struct session *s)
{
	s->link->n_jobs--;
	s->link = NULL;
	s->current = 0;
	crash_set_job(s->options->crash, NULL, 0);
}

static void do_job(struct session *s)
{
	struct pending p = s->queue[s->head];
	struct msg m = { .verb = MSG_DONE, .job = p.job->id }, ready = { .verb = MSG_READY, .credits = 1 };
	struct err err = { 0 };
	int64_t wall = proc_now_us(), cpu = proc_cpu_us();
	unsigned troubles = store_troubles(s->store);

	s->head = (s->head + 1) % QUEUE_MAX;
	s->n_queued--;
	begin_job(s, &p);
	if (p.is_dropped ? err_set(&err, ERR_STOPPED, "cancelled") : run_job(s, p.job, &m, &err)) {
		m.verb = MSG_FAIL;
		m.code = err.code == ERR_RETRY && store_troubles(s->store) != troubles ? ERR_STORE : err.code;
		snprintf(m.reason, sizeof m.reason, "%s", err.msg);
	}
	m.elapsed_us = proc_now_us() - wall;
	m.cpu_us = proc_cpu_us() - cpu;
	if (sabotage_of(p.job) != SABOTAGE_GARBAGE)
		send_msg(p.link, &m);
	if (!is_leaving(s))
		send_msg(p.link, &ready);
	end_job(s);
	if (s->source.is_shut_out && s->options->sandbox) { /* a root that was mounted anew, say: whoever follows us knows that one */
		log_warn("worker ends, for another one to try", "reason=\"%s\"", err.msg);
		s->is_stopping = true;
	}
	free(p.job);
}

/* Before there is a connection, or a thread. */
static int enter_sandbox(const struct sandbox *sandbox, struct err *err)
{
	int ret = 0;

	if (!sandbox)
		return 0;
	if (sandbox->has_devices)
		ret = video_encoder_try_apart(err);
	else
		sandbox_forget_environment(); /* drivers would look there for settings */
	if (!sandbox->has_devices && !SANDBOX_IS_OFF)
		video_encoder_try_never();
	return ret ? ret : sandbox_enter(sandbox, err);
}

static int connect_all(struct session *s, struct err *err)
{
	const struct session_options *o = s->options;
	int ret = 0;

	for (; s->n_links < o->n_connect && !ret; s->n_links++) {
		struct link *l = &s->links[s->n_links];

		*l = (struct link){ .endpoint = o->connect[s->n_links], .connect_ms = 1, .reached_ms = proc_now_ms() };
		ret = bus_connect(&l->bus, l->endpoint, o->access, err);
	}
	return ret;
}

static void finish(struct session *s)
{
	while (s->n_queued)
		free(s->queue[(s->head + --s->n_queued) % QUEUE_MAX].job);
	source_finish(&s->source);
	for (int i = 0; i < s->n_links; i++)
		bus_destroy(s->links[i].bus);
	store_close(s->store);
}

int session_main(const struct session_options *options)
{
	static struct session s;
	struct err err = { 0 };

	s = (struct session){ .options = options };
	source_init(&s.source);
	s.source.is_stopped = is_stopped;
	s.source.arg = &s;
	s.source.allow = options->allow;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_leave, .sa_flags = SA_RESTART }, NULL);
	crash_catch(options->crash);
	if (enter_sandbox(options->sandbox, &err) || store_open(&s.store, options->redis, STORE_TIMEOUT_MS, &err) ||
	    connect_all(&s, &err)) {
		log_error("worker cannot start", "reason=\"%s\"", err.msg);
		finish(&s);
		return 1;
	}
	sabotage_start();
	while (!is_leaving(&s)) {
		options->crash->alive++;
		receive(&s);
		beat(&s);
		if (s.n_queued)
			do_job(&s);
		else
			wait_for_work(&s);
	}
	for (int i = 0; i < s.n_links; i++)
		send_msg(&s.links[i], &(struct msg){ .verb = MSG_BYE });
	finish(&s);
	return 0;
}
