/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/session.h"

#include "common/log.h"
#include "common/proc.h"
#include "worker/codec_build.h"
#include "worker/discover.h"
#include "worker/links.h"
#include "worker/sabotage.h"
#include "worker/task.h"
#include "worker/video_encoder_choice.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 2     /* between looks at what has come in, during a job */
#define SLEEP_US 100000 /* and during one that only sleeps */
#define LOOK_EMPTY_MS 300 /* while there is no dispatcher */
#define QUEUE_MAX 1024 /* credits are at most this */

struct pending {
	struct job *job;
	struct link *link;
};

struct session {
	const struct session_options *options;
	struct links links;
	struct store *store;
	struct source source;
	struct pending queue[QUEUE_MAX]; /* jobs received, not begun */
	int n_queued;
	struct link *link;            /* whose job is in hand; NULL: none is */
	enum job_rank rank;           /* of that */
	int64_t current;              /* its id; 0 none */
	int64_t play_ms;              /* it is a play: how long it may be without a sign of life; else 0 */
	int64_t progress, next_look_ms;
	bool is_cancelled, is_stopping;
	bool is_preempted;            /* cancelled by ourselves: another dispatcher has somebody who waits */
	char build[RECORD_KEY_SIZE];
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

/* Answered, else it would be waited for until this worker ends. */
static void refuse_job(struct link *l, int64_t id, const struct err *why)
{
	struct msg m = { .verb = MSG_FAIL, .job = id, .code = why->code }, ready = { .verb = MSG_READY, .credits = 1 };

	log_warn("job refused", "job=%lld reason=\"%s\"", (long long)id, why->msg);
	if (!id)
		return;
	snprintf(m.reason, sizeof m.reason, "%s", why->msg);
	link_send(l, &m);
	link_send(l, &ready);
}

/* Back to its dispatcher, as not begun. That one gets no credit for it until there is room: others may have a worker for it. */
static void give_back(struct link *l, int64_t id)
{
	struct msg m = { .verb = MSG_FAIL, .job = id, .code = ERR_STOPPED, .is_preempted = true, .reason = "made way for another dispatcher's job" };

	link_send(l, &m);
	l->owed++;
}

static bool is_urgent(const struct job *job)
{
	return job->rank == JOB_URGENT;
}

/* A job that somebody waits for waits for none of another dispatcher's that may be given up; its own one cancels those itself. A play
 * lasts as long as somebody watches: nothing is kept waiting for its end. */
static bool must_wait_elsewhere(const struct session *s, const struct link *l)
{
	return s->play_ms && s->link != l;
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
	if (must_wait_elsewhere(s, l)) {
		give_back(l, job->id);
		free(job);
		return;
	}
	if (is_urgent(job) && s->link && s->link != l && s->rank == JOB_YIELDS)
		s->is_cancelled = s->is_preempted = true;
	s->queue[s->n_queued++] = (struct pending){ job, l };
	l->n_jobs++;
}

static void remove_queued(struct session *s, int i)
{
	s->n_queued--;
	memmove(&s->queue[i], &s->queue[i + 1], (size_t)(s->n_queued - i) * sizeof s->queue[0]);
}

/* What others have queued here while a play is in hand. */
static void give_back_others(struct session *s, const struct link *l)
{
	for (int i = s->n_queued; i-- > 0;) {
		struct pending p = s->queue[i];

		if (p.link == l)
			continue;
		remove_queued(s, i);
		p.link->n_jobs--;
		give_back(p.link, p.job->id);
		free(p.job);
	}
}

/* Answered at once: what its dispatcher has sent after it may be a play, and last for as long as somebody watches. */
static void drop_queued(struct session *s, int i)
{
	struct pending p = s->queue[i];
	struct msg m = { .verb = MSG_FAIL, .job = p.job->id, .code = ERR_STOPPED, .reason = "cancelled" }, ready = { .verb = MSG_READY, .credits = 1 };

	remove_queued(s, i);
	p.link->n_jobs--;
	link_send(p.link, &m);
	if (p.link->owed)
		p.link->owed++;
	else if (!is_leaving(s))
		link_send(p.link, &ready);
	free(p.job);
}

static void cancel(struct session *s, const struct link *l, int64_t id)
{
	s->is_cancelled |= s->link == l && id == s->current;
	for (int i = s->n_queued; i-- > 0;)
		if (s->queue[i].link == l && s->queue[i].job->id == id)
			drop_queued(s, i);
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
		else if (verb == MSG_HELLO) /* it does not know us: it has been started again, or gave us up */
			links_say_hello(&s->links, l);
		else if (verb == MSG_CANCEL && !msg_get(verb, json, &m, &err))
			cancel(s, l, m.job);
		else if (verb == MSG_REFUSE && !msg_get(verb, json, &m, &err))
			links_note_refusal(l, m.reason);
		else
			log_warn("message refused", "verb=%s", msg_verb_name(verb));
	}
}

static void receive(struct session *s)
{
	for (int i = 0; i < s->links.n; i++)
		receive_from(s, s->links.all[i]);
}

static void beat(struct session *s)
{
	links_beat(&s->links, s->link, s->current, s->progress);
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

/* It would be cut or encoded in another way than what others have made of it. */
static int check_build(const struct session *s, const struct job *job, struct err *err)
{
	if (!job->build[0] || !strcmp(job->build, s->build))
		return 0;
	return err_set(err, ERR_RETRY, "its plan is of another build: %s, not %s", job->build, s->build);
}

static int run_job(struct session *s, const struct job *job, struct msg *done, struct err *err)
{
	struct task task = { .job = job, .store = s->store, .source = &s->source, .tick = tick, .arg = s };
	int ret = check_build(s, job, err);

	if (ret)
		return ret;
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
	s->rank = p->job->rank;
	s->is_cancelled = s->is_preempted = false;
	s->play_ms = p->job->type == JOB_PLAY ? p->job->deadline_ms : 0;
	crash_set_job(s->options->crash, p->job, p->link->endpoint);
	if (s->links.n > 1)
		link_beat(p->link, s->current, s->progress);
	if (s->play_ms)
		give_back_others(s, p->link);
}

static void end_job(struct session *s)
{
	s->link->n_jobs--;
	s->link = NULL;
	s->current = s->play_ms = 0;
	crash_set_job(s->options->crash, NULL, NULL);
}

/* Those that somebody waits for first; the others in the order in which they came. */
static struct pending take_next(struct session *s)
{
	struct pending p;
	int i = 0;

	while (i < s->n_queued && !is_urgent(s->queue[i].job))
		i++;
	i = i < s->n_queued ? i : 0;
	p = s->queue[i];
	remove_queued(s, i);
	return p;
}

static void pay_owed(struct session *s)
{
	for (int i = 0; i < s->n_queued; i++)
		if (is_urgent(s->queue[i].job))
			return;
	for (int i = 0; i < s->links.n; i++) {
		struct link *l = s->links.all[i];

		if (l->owed && !is_leaving(s))
			link_send(l, &(struct msg){ .verb = MSG_READY, .credits = l->owed });
		l->owed = 0;
	}
}

static void do_job(struct session *s)
{
	struct pending p = take_next(s);
	struct msg m = { .verb = MSG_DONE, .job = p.job->id }, ready = { .verb = MSG_READY, .credits = 1 };
	struct err err = { 0 };
	int64_t wall = proc_now_us(), cpu = proc_cpu_us();
	unsigned troubles = store_troubles(s->store);

	begin_job(s, &p);
	if (run_job(s, p.job, &m, &err)) {
		m.verb = MSG_FAIL;
		m.code = err.code == ERR_RETRY && store_troubles(s->store) != troubles ? ERR_STORE : err.code;
		snprintf(m.reason, sizeof m.reason, "%s", err.msg);
	}
	m.elapsed_us = proc_now_us() - wall;
	m.cpu_us = proc_cpu_us() - cpu;
	if (s->is_preempted && m.verb == MSG_FAIL && m.code == ERR_STOPPED)
		give_back(p.link, p.job->id);
	else if (sabotage_of(p.job) != SABOTAGE_GARBAGE)
		link_send(p.link, &m);
	if (!is_leaving(s) && !p.link->owed)
		link_send(p.link, &ready);
	else if (!s->is_preempted)
		p.link->owed++;
	end_job(s);
	if (!s->is_preempted)
		pay_owed(s);
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

static void finish(struct session *s)
{
	while (s->n_queued)
		free(s->queue[--s->n_queued].job);
	source_finish(&s->source);
	links_finish(&s->links);
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
	codec_build(s.build);
	discover_hurry();
	if (enter_sandbox(options->sandbox, &err) || store_open(&s.store, options->redis, SESSION_STORE_MS, &err)) {
		log_error("worker cannot start", "reason=\"%s\"", err.msg);
		finish(&s);
		return 1;
	}
	sabotage_start();
	links_init(&s.links, options, s.store);
	while (!is_leaving(&s)) {
		options->crash->alive++;
		links_look(&s.links);
		receive(&s);
		beat(&s);
		if (s.n_queued)
			do_job(&s);
		else
			links_wait(&s.links, s.links.n ? INT_MAX : LOOK_EMPTY_MS);
	}
	finish(&s);
	return 0;
}
