/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim.h"

#include "dispatcher/queue.h"
#include "tests/dispatcher/queue_check.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CREDITS 2
#define JOBS_MAX 64       /* at one worker */
#define JOB_MS 4000       /* median */
#define DEADLINE_MS 60000
#define LATENCY_MS 1      /* of a message */
#define TICK_MS 50        /* a worker looks for cancels that often */
#define LOST_MS 3000      /* of silence */
#define SEGMENT_MS 6000   /* of play */
#define AHEAD 3
#define CHURN 20          /* streams that come and go besides the others */
#define CHURN_SLOTS 50
#define CHURN_MS 5000
#define CHECKS 60         /* of the whole queue in one run */
#define TROUBLE_MS 20000  /* some sources cannot be reached from then on ... */
#define TROUBLE_END_MS 100000
#define STORE_DOWN_MS 150000
#define STORE_UP_MS 152000

#define MUST(claim)                                                          \
	do {                                                                 \
		if (!(claim))                                                \
			ck_abort_msg("the farm is broken: not " #claim);    \
	} while (0)

enum kind { JOB_END, JOB_STOP, WORKER_DIES, CONNECTION_CUT, CANCEL, DONE, DONE_AGAIN, FAILED, DIED, SILENT, HELLO, PLAY, QUIT, CHURNED };

enum fate { FINE, TWICE, CRASH, KILLED, VANISH, HANG, HANG_UNSEEN, CUT, LIE, REFUSE, TROUBLE, STOPPED };

struct event {
	int64_t at_ms;
	int64_t job;
	uint32_t order;   /* those of one time happen as they were posted */
	uint32_t session; /* or a player's serial */
	int32_t who;
	uint8_t kind, fate;
};

struct held {
	int64_t job;
	int stream;
	uint32_t slot, generation;
};

struct worker {
	struct held jobs[JOBS_MAX]; /* the first is the one it does */
	int n_jobs;
	int number;                 /* in the queue; -1: the dispatcher does not know it */
	uint32_t session;
	bool is_hung, is_cut;
};

enum slot_state { UNMADE, MADE, GIVEN_UP };

struct slot {
	int32_t waiter;          /* first player, -1: none */
	uint16_t n_want[2];      /* players, by class: PLAYER, AHEAD */
	uint8_t state;           /* as the dispatcher knows */
	uint8_t n_counted, n_lost, n_killed; /* what we did to it since it is queued */
	uint16_t n_retried;      /* in a row, from then on */
	int64_t troubled_ms;
	bool is_stored, is_flying;
};

struct stream {
	struct slot *slots;
	uint32_t n_slots, generation;
	int n_precomputed;    /* jobs given, not segments made */
	bool is_precomputed, is_there;
	bool was_dry; /* at some time it had nothing to precompute */
};

struct player {
	int stream;
	uint32_t slot, n_ahead; /* it wants those after `slot` as well */
	uint32_t serial;
	int32_t next;           /* that waits for the same */
	int64_t asked_ms;
	bool is_waiting;
};

struct sim {
	const struct sim_config *config;
	struct sim_result *result;
	struct queue q;
	uint64_t random;
	int64_t now_ms;
	struct event *events; /* a heap */
	size_t n_events, events_size;
	uint32_t order;
	struct worker *workers;
	int32_t *owners;      /* by number in the queue */
	struct stream *streams;
	struct player *players;
	int64_t *waits_ms;
	size_t n_waits, waits_size;
	int64_t n_unresolved;
	int64_t passed[QUEUE_CLASSES];
	bool was_forgiven, is_late, is_over;
};

/* --- chance */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t next_random(struct sim *s)
{
	return mix(s->random += 0x9e3779b97f4a7c15);
}

static uint32_t below(struct sim *s, uint32_t n)
{
	return (uint32_t)((next_random(s) >> 32) * n >> 32);
}

static double fraction(struct sim *s)
{
	return (double)(next_random(s) >> 11) / 9007199254740992.0;
}

static int64_t job_ms(struct sim *s)
{
	double gauss = sqrt(-2 * log(1 - fraction(s))) * cos(6.283185307179586 * fraction(s));

	return 1 + (int64_t)(JOB_MS * exp(s->config->sigma * gauss));
}

/* --- events */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : (int32_t)(a->order - b->order) < 0;
}

static void post(struct sim *s, int64_t in_ms, struct event e)
{
	size_t at = s->n_events++;

	if (at == s->events_size) {
		s->events_size = s->events_size ? 2 * s->events_size : 4096;
		s->events = realloc(s->events, s->events_size * sizeof *s->events);
		ck_assert_ptr_nonnull(s->events);
	}
	e.at_ms = s->now_ms + in_ms;
	e.order = s->order++;
	for (; at && is_before(&e, &s->events[(at - 1) / 2]); at = (at - 1) / 2)
		s->events[at] = s->events[(at - 1) / 2];
	s->events[at] = e;
}

static struct event take_event(struct sim *s)
{
	struct event first = s->events[0], last = s->events[--s->n_events];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < s->n_events; at = child) {
		child += child + 1 < s->n_events && is_before(&s->events[child + 1], &s->events[child]);
		if (!is_before(&s->events[child], &last))
			break;
		s->events[at] = s->events[child];
	}
	s->events[at] = last;
	return first;
}

static void post_worker(struct sim *s, int64_t in_ms, enum kind kind, int w, int64_t job, enum fate fate)
{
	post(s, in_ms, (struct event){ .kind = kind, .who = w, .session = s->workers[w].session, .job = job, .fate = fate });
}

/* --- workers */

/* Some segments cannot be made, by chance of their place; some sources are out of reach for a while. */
static enum fate fate_of(struct sim *s, const struct held *job)
{
	uint32_t place = (uint32_t)(mix((uint64_t)job->stream << 32 | job->slot) % 30000), chance;

	if (!s->config->has_faults)
		return FINE;
	if (place < 3)
		return place == 0 ? CRASH : place == 1 ? REFUSE : VANISH;
	if (job->stream % 97 == 7 && s->now_ms >= TROUBLE_MS && s->now_ms < TROUBLE_END_MS)
		return TROUBLE;
	if (s->now_ms >= STORE_DOWN_MS && s->now_ms < STORE_UP_MS)
		return TROUBLE;
	chance = below(s, 10000);
	return chance < 10   ? CRASH
	       : chance < 20 ? KILLED
	       : chance < 30 ? VANISH
	       : chance < 35 ? HANG
	       : chance < 37 ? HANG_UNSEEN
	       : chance < 45 ? CUT
	       : chance < 55 ? LIE
	       : chance < 65 ? REFUSE
	       : chance < 75 ? TROUBLE
	       : chance < 95 ? TWICE
			     : FINE;
}

static void begin_job(struct sim *s, int n)
{
	struct worker *w = &s->workers[n];
	int64_t job = w->jobs[0].job, ms = job_ms(s);
	enum fate fate = fate_of(s, &w->jobs[0]);

	if (fate == FINE && ms > DEADLINE_MS)
		fate = HANG;
	w->is_hung = fate == HANG || fate == HANG_UNSEEN;
	if (fate == HANG)
		post_worker(s, DEADLINE_MS + 100, WORKER_DIES, n, job, CRASH);
	else if (fate == HANG_UNSEEN)
		post_worker(s, DEADLINE_MS + QUEUE_GRACE_MS + 1000, WORKER_DIES, n, job, VANISH);
	else if (fate == CRASH || fate == KILLED || fate == VANISH)
		post_worker(s, (int64_t)((double)ms * fraction(s)), WORKER_DIES, n, job, fate);
	else
		post_worker(s, fate == TROUBLE || fate == REFUSE ? 5 + ms / 100 : ms, JOB_END, n, job, fate);
	if (fate == CUT)
		post_worker(s, (int64_t)((double)ms * fraction(s)), CONNECTION_CUT, n, job, fate);
}

static void receive_job(struct sim *s, int n, const struct queue_item *item)
{
	struct worker *w = &s->workers[n];
	int stream = item->stream->number;

	MUST(w->n_jobs < JOBS_MAX);
	w->jobs[w->n_jobs++] = (struct held){ item->job, stream, item->slot, s->streams[stream].generation };
	if (w->n_jobs == 1)
		begin_job(s, n);
}

static void end_job(struct sim *s, int n, int at)
{
	struct worker *w = &s->workers[n];

	memmove(&w->jobs[at], &w->jobs[at + 1], (size_t)(--w->n_jobs - at) * sizeof *w->jobs);
	if (!at && w->n_jobs)
		begin_job(s, n);
}

static void tell(struct sim *s, int n, enum kind kind, int64_t job, enum fate fate)
{
	if (!s->workers[n].is_cut)
		post_worker(s, LATENCY_MS, kind, n, job, fate);
}

static void on_job_end(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];
	const struct held *held = &w->jobs[0];
	struct stream *stream;

	if (!w->n_jobs || held->job != e->job)
		return;
	stream = &s->streams[held->stream];
	if (e->fate != LIE && e->fate != REFUSE && e->fate != TROUBLE && stream->generation == held->generation) {
		s->result->n_late += stream->slots[held->slot].is_stored;
		stream->slots[held->slot].is_stored = true;
	}
	tell(s, e->who, e->fate == REFUSE || e->fate == TROUBLE ? FAILED : DONE, e->job, e->fate);
	if (e->fate == TWICE)
		tell(s, e->who, DONE_AGAIN, e->job, e->fate);
	end_job(s, e->who, 0);
}

static void on_cancel(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];
	int at = 0;

	while (at < w->n_jobs && w->jobs[at].job != e->job)
		at++;
	if (w->session != e->session || w->is_hung || at == w->n_jobs)
		return;
	if (!at) {
		post_worker(s, below(s, TICK_MS), JOB_STOP, e->who, e->job, STOPPED);
		return;
	}
	end_job(s, e->who, at);
	tell(s, e->who, FAILED, e->job, STOPPED);
}

static void on_job_stop(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (!w->n_jobs || w->jobs[0].job != e->job)
		return;
	end_job(s, e->who, 0);
	tell(s, e->who, FAILED, e->job, STOPPED);
}

/* Of a crash its pool tells; a host that is gone tells nothing. It comes back as another. */
static void on_worker_dies(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (w->session != e->session || !w->n_jobs || w->jobs[0].job != e->job)
		return;
	if (e->fate != VANISH)
		tell(s, e->who, DIED, e->job, e->fate);
	else
		post_worker(s, LOST_MS, SILENT, e->who, 0, e->fate);
	w->n_jobs = 0;
	w->is_hung = false;
	post_worker(s, e->fate != VANISH ? 50 : below(s, 2 * LOST_MS), HELLO, e->who, 0, e->fate);
}

static void on_connection_cut(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (w->session != e->session || !w->n_jobs || w->jobs[0].job != e->job)
		return;
	w->is_cut = true;
	post_worker(s, LOST_MS, SILENT, e->who, 0, e->fate);
	post_worker(s, LOST_MS / 2 + below(s, 4 * LOST_MS), HELLO, e->who, 0, e->fate);
}

/* --- what the dispatcher knows of slots */

static struct slot *slot_of(const struct sim *s, const struct queue_item *item)
{
	return item->stream ? &s->streams[item->stream->number].slots[item->slot] : NULL;
}

static void note_wait(struct sim *s, int64_t ms)
{
	if (s->n_waits == s->waits_size) {
		s->waits_size = s->waits_size ? 2 * s->waits_size : 4096;
		s->waits_ms = realloc(s->waits_ms, s->waits_size * sizeof *s->waits_ms);
		ck_assert_ptr_nonnull(s->waits_ms);
	}
	s->waits_ms[s->n_waits++] = ms;
}

static void post_player(struct sim *s, int64_t in_ms, enum kind kind, int p)
{
	post(s, in_ms, (struct event){ .kind = kind, .who = p, .session = ++s->players[p].serial });
}

static void resolve(struct sim *s, struct slot *slot, enum slot_state state)
{
	if (!slot || slot->state != UNMADE)
		return;
	slot->state = state;
	slot->n_want[0] = slot->n_want[1] = 0;
	while (slot->waiter >= 0) {
		struct player *p = &s->players[slot->waiter];

		note_wait(s, s->now_ms - p->asked_ms);
		post_player(s, SEGMENT_MS, PLAY, slot->waiter);
		p->is_waiting = false;
		slot->waiter = p->next;
	}
	s->result->n_made += state == MADE;
	s->result->n_given_up += state == GIVEN_UP;
	s->n_unresolved--;
}

/* What was done to it counts from when it is queued anew. */
static void forget_failures(struct slot *slot)
{
	slot->n_counted = slot->n_lost = slot->n_killed = 0;
	slot->n_retried = 0;
}

static void cancel(struct sim *s, struct queue_item *item)
{
	int w = s->owners[item->worker->number];

	item->is_cancelled = true;
	s->result->n_cancels++;
	post_worker(s, LATENCY_MS, CANCEL, w, item->job, STOPPED);
}

static void cancel_front(struct sim *s, const struct queue_item *item)
{
	for (struct queue_item *i = queue_first_job(&s->q, item->worker->number); i != item; i = queue_next_job(i))
		if (i->is_cancelled)
			cancel(s, i);
}

static void note_dry(struct sim *s, int stream)
{
	s->streams[stream].was_dry |= list_is_empty(&s->q.streams[stream]->pending[QUEUE_PRECOMPUTE]);
}

static void push(struct sim *s, int stream, uint32_t slot, enum queue_class class)
{
	int ret = queue_push(&s->q, stream, slot, class);

	MUST(ret >= 0);
	if (ret == 2)
		cancel_front(s, queue_in_flight(&s->q, stream, slot));
	note_dry(s, stream);
}

static void want(struct sim *s, int stream, uint32_t n, enum queue_class class)
{
	struct slot *slot = &s->streams[stream].slots[n];

	if (slot->state != UNMADE)
		return;
	slot->n_want[class]++;
	push(s, stream, n, class);
}

static void want_no_more(struct sim *s, int stream, uint32_t n, enum queue_class class)
{
	struct slot *slot = &s->streams[stream].slots[n];
	struct queue_item *item;

	if (slot->state != UNMADE || --slot->n_want[class] || slot->n_want[QUEUE_PLAYER])
		return;
	if (slot->n_want[QUEUE_AHEAD]) {
		queue_lower(&s->q, stream, n, QUEUE_AHEAD);
	} else if (s->streams[stream].is_precomputed) {
		queue_lower(&s->q, stream, n, QUEUE_PRECOMPUTE);
	} else {
		item = queue_drop(&s->q, stream, n);
		if (item)
			cancel(s, item);
		else
			forget_failures(slot);
	}
}

/* --- ends of jobs, as dispatcher/dispatch.c takes them */

static void end_done(struct sim *s, struct queue_item *item)
{
	struct slot *slot = slot_of(s, item);

	s->result->n_crossed += item->is_cancelled;
	queue_done(&s->q, item, s->now_ms);
	if (slot) {
		slot->is_flying = false;
		resolve(s, slot, MADE);
	}
}

static void check_given_up(const struct sim *s, const struct slot *slot, enum queue_failure failure, int attempts)
{
	MUST(attempts == slot->n_counted + slot->n_lost + slot->n_killed);
	if (failure == QUEUE_RETRY)
		MUST(slot->n_retried >= QUEUE_RETRIES_MIN && s->now_ms - slot->troubled_ms >= QUEUE_RETRY_MS);
	else if (failure == QUEUE_LOST)
		MUST(slot->n_lost == QUEUE_LOST_MAX);
	else
		MUST(slot->n_counted == QUEUE_ATTEMPTS_MAX && failure != QUEUE_CANCELLED);
}

static void note_failure(const struct sim *s, struct slot *slot, enum queue_failure failure)
{
	slot->is_flying = false;
	slot->n_counted += failure == QUEUE_CRASH || failure == QUEUE_REFUSED;
	slot->n_lost += failure == QUEUE_LOST;
	slot->n_killed += failure == QUEUE_KILLED;
	if (failure == QUEUE_RETRY && !slot->n_retried++)
		slot->troubled_ms = s->now_ms;
	else if (failure != QUEUE_RETRY && failure != QUEUE_CANCELLED && failure != QUEUE_KILLED)
		slot->n_retried = 0;
}

/* Whether it ended badly: what it should make may be there all the same. */
static bool end_failed(struct sim *s, struct queue_item *item, enum queue_failure failure)
{
	struct slot *slot = slot_of(s, item);
	bool is_unwanted = item->is_unwanted;
	int attempts;

	if (slot && slot->is_stored) {
		end_done(s, item);
		return false;
	}
	if (slot)
		note_failure(s, slot, failure);
	if (queue_fail(&s->q, item, failure, s->now_ms, &attempts) || !slot)
		return true;
	if (!is_unwanted) {
		check_given_up(s, slot, failure, attempts);
		resolve(s, slot, GIVEN_UP);
	}
	forget_failures(slot);
	return true;
}

static void take_back(struct sim *s, struct queue_item *item)
{
	struct slot *slot = slot_of(s, item);

	if (slot && item->is_unwanted)
		forget_failures(slot);
	if (slot)
		slot->is_flying = false;
	queue_take_back(&s->q, item, s->now_ms);
}

static void remove_session(struct sim *s, int n, enum queue_failure failure)
{
	struct worker *w = &s->workers[n];
	struct queue_item *item;
	bool is_blamed = false;

	while ((item = queue_first_job(&s->q, w->number))) {
		if (is_blamed)
			take_back(s, item);
		else
			is_blamed = end_failed(s, item, failure);
	}
	queue_remove_worker(&s->q, w->number);
	s->owners[w->number] = -1;
	w->number = -1;
}

/* A job in flight at the session that the message is of, or NULL. */
static struct queue_item *find_job(struct sim *s, const struct event *e)
{
	const struct worker *w = &s->workers[e->who];
	struct queue_item *item = NULL;

	if (w->number >= 0 && w->session == e->session)
		item = queue_find(&s->q, w->number, e->job);
	s->result->n_refused += !item;
	return item;
}

static void on_done(struct sim *s, const struct event *e)
{
	struct queue_item *item = find_job(s, e);
	const struct slot *slot = item ? slot_of(s, item) : NULL;

	if (item && (!slot || slot->is_stored))
		end_done(s, item);
	else if (item)
		end_failed(s, item, QUEUE_LOST);
}

static void on_failed(struct sim *s, const struct event *e)
{
	struct queue_item *item = find_job(s, e);

	if (!item)
		return;
	if (e->fate == STOPPED)
		MUST(item->is_cancelled || item->is_unwanted);
	end_failed(s, item, e->fate == STOPPED ? QUEUE_CANCELLED : e->fate == REFUSE ? QUEUE_REFUSED : QUEUE_RETRY);
}

static void on_ready(struct sim *s, const struct event *e)
{
	const struct worker *w = &s->workers[e->who];

	if (w->number >= 0 && w->session == e->session)
		queue_add_credits(&s->q, w->number, 1);
}

static void on_died(struct sim *s, const struct event *e)
{
	const struct worker *w = &s->workers[e->who];
	struct queue_item *item = find_job(s, e);

	if (w->number < 0 || w->session != e->session)
		return;
	if (item) /* it is the one to blame */
		MUST(queue_first_job(&s->q, w->number) == item);
	remove_session(s, e->who, e->fate == KILLED ? QUEUE_KILLED : QUEUE_CRASH);
}

static void on_silent(struct sim *s, const struct event *e)
{
	if (s->workers[e->who].number >= 0 && s->workers[e->who].session == e->session)
		remove_session(s, e->who, QUEUE_LOST);
}

static void on_hello(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (w->session != e->session)
		return;
	if (w->number >= 0)
		remove_session(s, e->who, QUEUE_LOST);
	w->n_jobs = 0;
	w->is_cut = w->is_hung = false;
	w->session++;
	w->number = queue_add_worker(&s->q);
	MUST(w->number >= 0 && w->number < s->config->n_workers);
	s->owners[w->number] = e->who;
	queue_add_credits(&s->q, w->number, CREDITS);
}

/* One who takes another's place takes nothing from those who wait for a place. */
static void count_passed(struct sim *s, const struct queue_item *given)
{
	bool is_preempting = given->class == QUEUE_PLAYER && queue_first_job(&s->q, given->worker->number) != given;

	for (int c = 0; c < QUEUE_CLASSES; c++) {
		s->passed[c] = c == given->class || !s->q.n_pending[c] ? 0 : s->passed[c] + !is_preempting;
		if (s->passed[c] > s->result->max_passed[c])
			s->result->max_passed[c] = s->passed[c];
	}
}

static void give_all(struct sim *s)
{
	struct queue_item *item;
	int ret;

	while ((ret = queue_give(&s->q, s->now_ms, &item))) {
		struct slot *slot = slot_of(s, item);
		int n = s->owners[item->worker->number];

		MUST(slot && slot->state == UNMADE && !slot->is_flying);
		s->streams[item->stream->number].n_precomputed += item->class == QUEUE_PRECOMPUTE;
		note_dry(s, item->stream->number);
		count_passed(s, item);
		s->result->n_given++;
		slot->is_flying = true;
		if (ret == 2)
			cancel_front(s, item);
		if (slot->is_stored) { /* somebody was late */
			slot->is_flying = false;
			queue_discard(&s->q, item, s->now_ms);
			resolve(s, slot, MADE);
		} else if (s->config->has_faults && !below(s, 20000)) { /* it cannot be sent */
			take_back(s, item);
			remove_session(s, n, QUEUE_LOST);
			post_worker(s, LOST_MS, HELLO, n, 0, CUT);
		} else {
			queue_set_deadline(&s->q, item, DEADLINE_MS, s->now_ms);
			receive_job(s, n, item);
		}
	}
}

static void fail_overdue(struct sim *s)
{
	struct queue_item *item;

	while ((item = queue_overdue(&s->q, s->now_ms))) {
		MUST(item->until_ms <= s->now_ms);
		cancel(s, item);
		end_failed(s, item, QUEUE_CRASH);
	}
}

/* --- players */

static void drop_ahead(struct sim *s, struct player *p)
{
	for (uint32_t i = 1; i <= p->n_ahead; i++)
		want_no_more(s, p->stream, p->slot + i, QUEUE_AHEAD);
	p->n_ahead = 0;
}

static void move_on(struct sim *s, struct player *p)
{
	uint32_t chance = below(s, 100);
	bool is_new = chance < 2 || p->slot + 1 >= s->streams[p->stream].n_slots;

	if (is_new)
		p->stream = (int)below(s, (uint32_t)s->config->n_streams);
	p->slot = is_new || chance < 8 ? below(s, s->streams[p->stream].n_slots) : p->slot + 1;
}

static void on_play(struct sim *s, const struct event *e)
{
	struct player *p = &s->players[e->who];
	struct slot *slot;

	if (p->serial != e->session || s->is_over)
		return;
	drop_ahead(s, p);
	move_on(s, p);
	slot = &s->streams[p->stream].slots[p->slot];
	post_player(s, slot->state == UNMADE ? below(s, 60000) : SEGMENT_MS, slot->state == UNMADE ? QUIT : PLAY, e->who);
	if (slot->state == UNMADE) {
		p->is_waiting = true;
		p->asked_ms = s->now_ms;
		p->next = slot->waiter;
		slot->waiter = e->who;
		want(s, p->stream, p->slot, QUEUE_PLAYER);
	}
	while (!s->config->is_idle && p->n_ahead < AHEAD && p->slot + p->n_ahead + 1 < s->streams[p->stream].n_slots)
		want(s, p->stream, p->slot + ++p->n_ahead, QUEUE_AHEAD);
}

/* It will not wait any longer. */
static void on_quit(struct sim *s, const struct event *e)
{
	struct player *p = &s->players[e->who];
	int32_t *link;

	if (p->serial != e->session || !p->is_waiting)
		return;
	link = &s->streams[p->stream].slots[p->slot].waiter;
	while (*link != e->who)
		link = &s->players[*link].next;
	*link = p->next;
	p->is_waiting = false;
	want_no_more(s, p->stream, p->slot, QUEUE_PLAYER);
	drop_ahead(s, p);
	post_player(s, SEGMENT_MS, PLAY, e->who);
}

/* --- streams */

static void fill_slots(struct sim *s, struct stream *stream)
{
	memset(stream->slots, 0, stream->n_slots * sizeof *stream->slots);
	for (uint32_t i = 0; i < stream->n_slots; i++)
		stream->slots[i].waiter = -1;
	s->n_unresolved += stream->n_slots;
}

static void add_stream(struct sim *s, uint32_t n_slots, bool is_precomputed)
{
	int n = queue_add_stream(&s->q, n_slots, false);
	struct stream *stream;

	MUST(n >= 0 && n < s->config->n_streams + CHURN);
	stream = &s->streams[n];
	stream->n_slots = n_slots;
	stream->is_precomputed = is_precomputed;
	stream->is_there = true;
	stream->n_precomputed = 0;
	stream->was_dry = !is_precomputed;
	if (!stream->slots)
		stream->slots = malloc(n_slots * sizeof *stream->slots);
	ck_assert_ptr_nonnull(stream->slots);
	fill_slots(s, stream);
	for (uint32_t i = 0; is_precomputed && i < n_slots; i++)
		push(s, n, i, QUEUE_PRECOMPUTE);
}

static void remove_stream(struct sim *s, int n)
{
	struct stream *stream = &s->streams[n];

	for (uint32_t i = 0; i < stream->n_slots; i++) {
		struct queue_item *item = queue_in_flight(&s->q, n, i);

		s->n_unresolved -= stream->slots[i].state == UNMADE;
		s->result->n_made -= stream->slots[i].state == MADE;
		s->result->n_given_up -= stream->slots[i].state == GIVEN_UP;
		if (item)
			cancel(s, item);
	}
	queue_remove_stream(&s->q, n);
	stream->generation++;
	stream->is_there = false;
}

static void on_churned(struct sim *s)
{
	int n = s->config->n_streams + (int)below(s, CHURN);

	if (s->streams[n].is_there)
		remove_stream(s, n);
	if (!s->is_over)
		add_stream(s, CHURN_SLOTS, true);
	if (!s->is_over)
		post(s, CHURN_MS, (struct event){ .kind = CHURNED });
}

/* --- the whole */

static void start(struct sim *s)
{
	const struct sim_config *c = s->config;

	queue_init(&s->q);
	s->random = c->seed;
	s->workers = calloc((size_t)c->n_workers, sizeof *s->workers);
	s->owners = calloc((size_t)c->n_workers, sizeof *s->owners);
	s->streams = calloc((size_t)c->n_streams + CHURN, sizeof *s->streams);
	s->players = calloc((size_t)c->n_players, sizeof *s->players);
	ck_assert(s->workers && s->owners && s->streams && s->players);
	for (int i = 0; i < c->n_streams; i++)
		add_stream(s, (uint32_t)c->n_slots, !c->is_idle && i % 10 != 3);
	for (int i = 0; i < c->n_workers; i++) {
		s->workers[i].number = -1;
		post(s, below(s, 1000), (struct event){ .kind = HELLO, .who = i });
	}
	for (int i = 0; i < c->n_players; i++)
		post_player(s, below(s, 2 * SEGMENT_MS), PLAY, i);
	if (!c->has_faults || c->is_idle)
		return;
	for (int i = 0; i < CHURN; i++)
		add_stream(s, CHURN_SLOTS, true);
post(s, CHURN_MS, (struct event){ .kind = CHURNED });
}

static void finish(struct sim *s)
{
	queue_finish(&s->q);
	for (int i = 0; i < s->config->n_streams + CHURN; i++)
		free(s->streams[i].slots);
	free(s->workers);
	free(s->owners);
	free(s->streams);
	free(s->players);
	free(s->events);
	free(s->waits_ms);
}

static void happen(struct sim *s, const struct event *e)
{
	static void (*const on[])(struct sim *, const struct event *) = {
		[JOB_END] = on_job_end, [JOB_STOP] = on_job_stop, [WORKER_DIES] = on_worker_dies, [CONNECTION_CUT] = on_connection_cut,
		[CANCEL] = on_cancel,   [DONE] = on_done,         [DONE_AGAIN] = on_done,         [FAILED] = on_failed,
		[DIED] = on_died,       [SILENT] = on_silent,     [HELLO] = on_hello,             [PLAY] = on_play,
		[QUIT] = on_quit,
	};

	if (e->kind == CHURNED)
		on_churned(s);
	else
		on[e->kind](s, e);
	if (e->kind == DONE || e->kind == FAILED)
		on_ready(s, e);
}

/* Streams that had something to do all the time got as many jobs as each other. */
static void check_shares(struct sim *s)
{
	int least = INT32_MAX, most = 0;

	for (int i = 0; i < s->config->n_streams; i++) {
		const struct stream *stream = &s->streams[i];

		if (stream->was_dry)
			continue;
		least = stream->n_precomputed < least ? stream->n_precomputed : least;
		most = stream->n_precomputed > most ? stream->n_precomputed : most;
	}
	if (most - least > s->result->max_apart)
		s->result->max_apart = most - least;
}

static void look(struct sim *s)
{
	queue_check(&s->q);
	if (!s->config->is_idle && !s->is_late)
		check_shares(s);
}

/* What nobody has asked for so far is wanted in the end as well. */
static void precompute_the_rest(struct sim *s)
{
	s->is_late = true;
	for (int i = 0; i < s->config->n_streams; i++) {
		struct stream *stream = &s->streams[i];

		if (stream->is_precomputed)
			continue;
		stream->is_precomputed = true;
		for (uint32_t k = 0; k < stream->n_slots; k++)
			if (stream->slots[k].state == UNMADE)
				push(s, i, k, QUEUE_PRECOMPUTE);
	}
}

static void forgive(struct sim *s)
{
	s->was_forgiven = true;
	queue_forgive(&s->q);
	for (int i = 0; i < s->config->n_streams + CHURN; i++)
		for (uint32_t k = 0; s->streams[i].slots && k < s->streams[i].n_slots; k++)
			s->streams[i].slots[k].n_retried = 0;
}

/* The next thing that happens, or the next time that the queue names. */
static void step(struct sim *s)
{
	int64_t next_ms = queue_next_ms(&s->q);

	if (s->n_events && s->events[0].at_ms <= next_ms) {
		struct event e = take_event(s);

		s->now_ms = e.at_ms;
		happen(s, &e);
	} else {
		MUST(next_ms < INT64_MAX && next_ms >= s->now_ms); /* else it would wait, or turn, for ever */
		s->now_ms = next_ms;
	}
	if (!s->was_forgiven && s->now_ms >= STORE_UP_MS) {
		forgive(s);
	}
	fail_overdue(s);
	give_all(s);
	s->result->n_events++;
}

static bool is_finished(const struct sim *s)
{
	if (s->config->is_idle)
		return s->now_ms >= s->config->horizon_ms;
	return s->is_over && !s->q.n_in_flight;
}

static void run(struct sim *s)
{
	int64_t n_total = (int64_t)s->config->n_streams * s->config->n_slots;
	int64_t every = 4 * n_total / CHECKS;
	int64_t end_ms = 40 * n_total * JOB_MS / s->config->n_workers + 1000000;

	while (!is_finished(s)) {
		step(s);
		MUST(s->now_ms < end_ms);
		if (s->result->n_events % every == 0)
			look(s);
		if (s->config->is_idle)
			continue;
		if (!s->is_late && !s->q.n_pending[QUEUE_PRECOMPUTE])
			precompute_the_rest(s);
		if (!s->is_over && s->is_late && s->n_unresolved <= CHURN * CHURN_SLOTS && !s->q.n_waiting &&
		    s->result->n_made + s->result->n_given_up >= n_total) {
			s->is_over = true;
			for (int i = s->config->n_streams; i < s->config->n_streams + CHURN; i++)
				if (s->streams[i].is_there)
					remove_stream(s, i);
		}
	}
}

static int compare_waits(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void sum_up(struct sim *s)
{
	struct sim_result *r = s->result;

	r->virtual_ms = s->now_ms;
	r->n_waits = (int64_t)s->n_waits;
	if (!s->n_waits)
		return;
	qsort(s->waits_ms, s->n_waits, sizeof *s->waits_ms, compare_waits);
	r->p50_ms = s->waits_ms[s->n_waits / 2];
	r->p99_ms = s->waits_ms[s->n_waits * 99 / 100];
	r->max_ms = s->waits_ms[s->n_waits - 1];
}

static void check_end(const struct sim *s)
{
	queue_check(&s->q);
	if (s->config->is_idle)
		return;
	for (int i = 0; i < s->config->n_streams; i++)
		for (uint32_t k = 0; k < s->streams[i].n_slots; k++) {
			const struct slot *slot = &s->streams[i].slots[k];

			MUST(slot->state != UNMADE && !slot->is_flying && slot->is_stored == (slot->state == MADE));
			MUST(!s->q.streams[i]->slots[k]);
		}
	MUST(!s->q.n_pending[0] && !s->q.n_pending[1] && !s->q.n_pending[2] && !s->q.n_waiting && !s->q.n_in_flight);
}

void sim_run(const struct sim_config *config, struct sim_result *result)
{
	struct sim s = { .config = config, .result = result };

	memset(result, 0, sizeof *result);
	start(&s);
	run(&s);
	check_end(&s);
	sum_up(&s);
	finish(&s);
}
