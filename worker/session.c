/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/session.h"

#include "common/bus.h"
#include "common/log.h"
#include "common/proc.h"
#include "worker/sabotage.h"
#include "worker/task.h"
#include "worker/video_encoder_choice.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define BEAT_MS 1000
#define LOOK_MS 5     /* between looks at what has come in, during a job */
#define CONNECT_MS 20 /* between two attempts to say HELLO; the first come sooner: somebody may wait for what the one before us had */
#define HELLO_MS 2000 /* after one has been said, a wish for another was on its way before */
#define UNREACHED_MS 10000
#define STORE_TIMEOUT_MS 10000
#define QUEUE_MAX 1024 /* credits are at most this */

struct session {
	const struct session_options *options;
	struct bus *bus;
	struct store *store;
	struct source source;
	struct job *queue[QUEUE_MAX]; /* jobs received, not begun: a ring */
	bool is_dropped[QUEUE_MAX];   /* cancelled, of the same places */
	int head, n_queued;
	int64_t current;              /* id of the job in hand; 0 none */
	int64_t play_ms;              /* it is a play: how long it may be without a sign of life; else 0 */
	int64_t progress, next_beat_ms, next_look_ms;
	int connect_ms;               /* until the next attempt to say HELLO */
	int64_t hello_ms;             /* when it was said, or when we began to try */
	bool is_known, is_cancelled, is_stopping;
};

/* ---- messages */

static int send_msg(struct session *s, struct msg *m)
{
	struct buf json = { 0 };
	struct err err;
	int ret = msg_put(m, &json);

	if (!ret)
		ret = bus_send(s->bus, NULL, m->verb, buf_bytes(&json), &err);
	buf_finish(&json);
	return ret;
}

/* Before the connection stands nothing can be sent: tried again with every beat. */
static void send_hello(struct session *s)
{
	struct msg hello = { .verb = MSG_HELLO, .pid = getpid(), .job = s->options->death_job,
			     .is_killed = s->options->is_killed };
	struct msg ready = { .verb = MSG_READY, .credits = s->options->credits };

	snprintf(hello.name, sizeof hello.name, "%s", s->options->name);
	snprintf(hello.reason, sizeof hello.reason, "%s", s->options->death);
	ready.credits -= s->n_queued + (s->current != 0);
	s->is_known = send_msg(s, &hello) == 0;
	s->options->crash->is_known |= s->is_known;
	if (s->is_known)
		s->hello_ms = proc_now_ms();
	if (s->is_known && ready.credits > 0)
		send_msg(s, &ready);
}

static void beat(struct session *s)
{
	struct msg m = { .verb = MSG_BEAT, .job = s->current, .progress = s->progress };
	int64_t now = proc_now_ms();

	if (now < s->next_beat_ms)
		return;
	if (s->is_known)
		send_msg(s, &m);
	else
		send_hello(s);
	s->connect_ms = 2 * s->connect_ms < CONNECT_MS ? 2 * s->connect_ms : CONNECT_MS;
	s->next_beat_ms = now + (s->is_known ? BEAT_MS : s->connect_ms);
	if (!s->is_known && now - s->hello_ms >= UNREACHED_MS) {
		log_warn("dispatcher is not reached, or does not know our key", "endpoint=%s", s->options->connect);
		s->hello_ms = now;
	}
}

/* Answered, else it would be waited for until this worker ends. */
static void refuse_job(struct session *s, int64_t id, const struct err *why)
{
	struct msg m = { .verb = MSG_FAIL, .job = id, .code = why->code }, ready = { .verb = MSG_READY, .credits = 1 };

	log_warn("job refused", "job=%lld reason=\"%s\"", (long long)id, why->msg);
	if (!id)
		return;
	snprintf(m.reason, sizeof m.reason, "%s", why->msg);
	send_msg(s, &m);
	send_msg(s, &ready);
}

static void take_job(struct session *s, struct bytes json)
{
	struct job *job = s->n_queued < QUEUE_MAX ? malloc(sizeof *job) : NULL;
	struct err err = { 0 };

	if (!job)
		err_set(&err, ERR_NOMEM, "there is no room for another job");
	if (!job || job_get(json, job, &err)) {
		refuse_job(s, job ? job->id : 0, &err);
		free(job);
		return;
	}
	s->is_dropped[(s->head + s->n_queued) % QUEUE_MAX] = false;
	s->queue[(s->head + s->n_queued++) % QUEUE_MAX] = job;
}

static void cancel(struct session *s, int64_t id)
{
	if (id == s->current)
		s->is_cancelled = true;
	for (int i = 0; i < s->n_queued; i++)
		if (s->queue[(s->head + i) % QUEUE_MAX]->id == id)
			s->is_dropped[(s->head + i) % QUEUE_MAX] = true;
}

static void receive(struct session *s)
{
	struct bytes json;
	struct err err;
	enum msg_verb verb;
	struct msg m;
	int ret;

	while ((ret = bus_recv(s->bus, NULL, &verb, &json, &err)) != 0) {
		if (ret < 0)
			log_warn("message refused", "reason=\"%s\"", err.msg);
		else if (verb == MSG_JOB)
			take_job(s, json);
		else if (verb == MSG_STOP)
			s->is_stopping = true;
		else if (verb == MSG_HELLO && proc_now_ms() - s->hello_ms >= HELLO_MS)
			send_hello(s); /* the dispatcher does not know us: it has been started again, or gave us up */
		else if (verb == MSG_HELLO)
			continue;
		else if (verb == MSG_CANCEL && !msg_get(verb, json, &m, &err))
			cancel(s, m.job);
		else
			log_warn("message refused", "verb=%s", msg_verb_name(verb));
	}
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
	return s->is_cancelled || (s->play_ms && s->is_stopping) ? err_set(err, ERR_STOPPED, "cancelled") : 0;
}

/* While a source is waited for: we live, but there is no progress. */
static int is_stopped(void *arg)
{
	struct session *s = arg;

	if (proc_now_ms() >= s->next_beat_ms) {
		beat(s);
		receive(s);
	}
	return s->is_cancelled;
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
		ret = sabotage_of(job) ? sabotage_run(&task, s->bus, err) : segment_run(&task, err);
	else if (job->type == JOB_PLAY)
		ret = play_run(&task, err);
	set_deadline(s, 0);
	if (source_status(&s->source, err)) /* whatever came of it */
		ret = err->code;
	source_forget(&s->source);
	done->bytes = task.bytes;
	return ret;
}

static void do_job(struct session *s)
{
	struct job *job = s->queue[s->head];
	struct msg m = { .verb = MSG_DONE, .job = job->id }, ready = { .verb = MSG_READY, .credits = 1 };
	struct err err = { 0 };
	int64_t wall = proc_now_us(), cpu = proc_cpu_us();
	bool is_dropped = s->is_dropped[s->head];
	unsigned troubles = store_troubles(s->store);

	s->head = (s->head + 1) % QUEUE_MAX;
	s->n_queued--;
	s->current = job->id;
	s->is_cancelled = false;
	crash_set_job(s->options->crash, job);
	if (is_dropped ? err_set(&err, ERR_STOPPED, "cancelled") : run_job(s, job, &m, &err)) {
		m.verb = MSG_FAIL;
		m.code = err.code == ERR_RETRY && store_troubles(s->store) != troubles ? ERR_STORE : err.code;
		snprintf(m.reason, sizeof m.reason, "%s", err.msg);
	}
	m.elapsed_us = proc_now_us() - wall;
	m.cpu_us = proc_cpu_us() - cpu;
	s->current = 0;
	if (sabotage_of(job) != SABOTAGE_GARBAGE)
		send_msg(s, &m);
	send_msg(s, &ready);
	crash_set_job(s->options->crash, NULL);
	free(job);
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

int session_main(const struct session_options *options)
{
	struct session s = { .options = options, .connect_ms = 1, .hello_ms = proc_now_ms() };
	struct err err = { 0 };
	int status = 1;

	source_init(&s.source);
	s.source.is_stopped = is_stopped;
	s.source.arg = &s;
	s.source.allow = options->allow;
	signal(SIGPIPE, SIG_IGN);
	crash_catch(options->crash);
	if (enter_sandbox(options->sandbox, &err) || store_open(&s.store, options->redis, STORE_TIMEOUT_MS, &err) ||
	    bus_connect(&s.bus, options->connect, options->access, &err)) {
		log_error("worker cannot start", "reason=\"%s\"", err.msg);
		goto out;
	}
	sabotage_start();
	while (!s.is_stopping) {
		options->crash->alive++;
		receive(&s);
		beat(&s);
		if (s.n_queued)
			do_job(&s);
		else
			bus_wait(s.bus, s.is_known ? BEAT_MS : s.connect_ms);
	}
	send_msg(&s, &(struct msg){ .verb = MSG_BYE });
	status = 0;
out:
	while (s.n_queued)
		free(s.queue[(s.head + --s.n_queued) % QUEUE_MAX]);
	source_finish(&s.source);
	bus_destroy(s.bus);
	store_close(s.store);
	return status;
}
