/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim_internal.h"

#include <stdlib.h>

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

void sim_post_player(struct sim *s, int64_t in_ms, enum kind kind, int p)
{
	sim_post(s, in_ms, (struct event){ .kind = kind, .who = p, .session = ++s->players[p].serial });
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
		sim_post_player(s, SEGMENT_MS, PLAY, slot->waiter);
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

void sim_cancel(struct sim *s, struct queue_item *item)
{
	int w = s->owners[item->worker->number];

	item->is_cancelled = true;
	s->result->n_cancels++;
	sim_post_worker(s, LATENCY_MS, CANCEL, w, item->job, STOPPED);
}

static void cancel_front(struct sim *s, const struct queue_item *item)
{
	for (struct queue_item *i = queue_first_job(&s->q, item->worker->number); i != item; i = queue_next_job(i))
		if (i->is_cancelled)
			sim_cancel(s, i);
}

static void note_dry(struct sim *s, int stream)
{
	s->streams[stream].was_dry |= list_is_empty(&s->q.streams[stream]->pending[QUEUE_PRECOMPUTE]);
}

void sim_push(struct sim *s, int stream, uint32_t slot, enum queue_class class)
{
	int ret = queue_push(&s->q, stream, slot, class, s->now_ms);

	MUST(ret >= 0);
	if (ret == 2)
		cancel_front(s, queue_in_flight(&s->q, stream, slot));
	note_dry(s, stream);
}

void sim_want(struct sim *s, int stream, uint32_t n, enum queue_class class)
{
	struct slot *slot = &s->streams[stream].slots[n];

	if (slot->state != UNMADE)
		return;
	slot->n_want[class]++;
	sim_push(s, stream, n, class);
}

void sim_want_no_more(struct sim *s, int stream, uint32_t n, enum queue_class class)
{
	struct slot *slot = &s->streams[stream].slots[n];
	struct queue_item *item;

	if (slot->state != UNMADE || --slot->n_want[class] || slot->n_want[QUEUE_PLAYER])
		return;
	if (slot->n_want[QUEUE_AHEAD]) {
		queue_lower(&s->q, stream, n, QUEUE_AHEAD, s->now_ms);
	} else if (s->streams[stream].is_precomputed) {
		queue_lower(&s->q, stream, n, QUEUE_PRECOMPUTE, s->now_ms);
	} else {
		item = queue_drop(&s->q, stream, n);
		if (item)
			sim_cancel(s, item);
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

void sim_on_done(struct sim *s, const struct event *e)
{
	struct queue_item *item = find_job(s, e);
	const struct slot *slot = item ? slot_of(s, item) : NULL;

	if (item && (!slot || slot->is_stored))
		end_done(s, item);
	else if (item)
		end_failed(s, item, QUEUE_LOST);
}

void sim_on_failed(struct sim *s, const struct event *e)
{
	struct queue_item *item = find_job(s, e);

	if (!item)
		return;
	if (e->fate == STOPPED)
		MUST(item->is_cancelled || item->is_unwanted);
	end_failed(s, item, e->fate == STOPPED ? QUEUE_CANCELLED : e->fate == REFUSE ? QUEUE_REFUSED : QUEUE_RETRY);
}

void sim_on_ready(struct sim *s, const struct event *e)
{
	const struct worker *w = &s->workers[e->who];

	if (w->number >= 0 && w->session == e->session)
		queue_add_credits(&s->q, w->number, 1);
}

void sim_on_died(struct sim *s, const struct event *e)
{
	const struct worker *w = &s->workers[e->who];
	struct queue_item *item = find_job(s, e);

	if (w->number < 0 || w->session != e->session)
		return;
	if (item) /* it is the one to blame */
		MUST(queue_first_job(&s->q, w->number) == item);
	remove_session(s, e->who, e->fate == KILLED ? QUEUE_KILLED : QUEUE_CRASH);
}

void sim_on_silent(struct sim *s, const struct event *e)
{
	if (s->workers[e->who].number >= 0 && s->workers[e->who].session == e->session)
		remove_session(s, e->who, QUEUE_LOST);
}

void sim_on_hello(struct sim *s, const struct event *e)
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

void sim_give_all(struct sim *s)
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
		} else if (s->config->has_faults && !sim_below(s, 20000)) { /* it cannot be sent */
			take_back(s, item);
			remove_session(s, n, QUEUE_LOST);
			sim_post_worker(s, LOST_MS, HELLO, n, 0, CUT);
		} else {
			queue_set_deadline(&s->q, item, DEADLINE_MS, s->now_ms);
			sim_receive_job(s, n, item);
		}
	}
}

void sim_fail_overdue(struct sim *s)
{
	struct queue_item *item;

	while ((item = queue_overdue(&s->q, s->now_ms))) {
		MUST(item->until_ms <= s->now_ms);
		sim_cancel(s, item);
		end_failed(s, item, QUEUE_CRASH);
	}
}
