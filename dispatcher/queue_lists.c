/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue_internal.h"

#include <stdlib.h>

/* --- workers */

bool queue_is_fixed(const struct queue_item *item)
{
	return item->class == QUEUE_PLAYER || item->preemptions >= QUEUE_PREEMPTIONS_MAX;
}

bool queue_is_exclusive(const struct queue_item *item)
{
	return item->stream && item->stream->is_exclusive;
}

static bool is_preemptible(const struct queue_worker *w)
{
	return w->n_jobs && !w->n_fixed;
}

static int load_of(const struct queue_worker *w)
{
	if (w->credits <= 0 || w->n_exclusive)
		return -1;
	return w->n_jobs > 0;
}

void queue_place_worker(struct queue *q, struct queue_worker *w)
{
	struct queue_group *group = &q->groups[w->group];
	int load = load_of(w);

	if (load != w->load) {
		list_remove(&w->free);
		if (load >= 0)
			list_append(&group->free[load], &w->free);
		w->load = (int8_t)load;
	}
	list_remove(&w->affine);
	if (load == 0 && w->last)
		list_prepend(&w->last->affine, &w->affine);
	else if (load > 0 && w->last)
		list_append(&w->last->affine, &w->affine);
	if (!is_preemptible(w))
		list_remove(&w->preemptible);
	else if (!list_is_linked(&w->preemptible))
		list_append(&group->preemptible, &w->preemptible);
}

void queue_set_last(struct queue_worker *w, struct queue_stream *s)
{
	list_remove(&w->affine);
	w->last = s;
}

void queue_begin_first(struct queue *q, struct queue_worker *w, int64_t now_ms)
{
	struct queue_item *item = queue_first_job(q, w->number);

	list_remove(&w->preemptible); /* queue_place_worker() puts it back, at the end */
	if (item && item->deadline_ms && item->clock < 0) {
		item->until_ms = now_ms + item->deadline_ms + QUEUE_GRACE_MS;
		queue_clock_add(q, item);
	}
}

void queue_join_worker(struct queue *q, struct queue_worker *w, struct queue_item *item)
{
	item->worker = w;
	item->job = ++q->last_job;
	item->deadline_ms = 0;
	item->extensions = 0;
	item->is_cancelled = item->is_unwanted = false;
	list_append(&w->jobs, &item->link);
	w->credits--;
	w->n_jobs++;
	w->n_fixed += queue_is_fixed(item);
	w->n_exclusive += queue_is_exclusive(item);
	list_remove(&w->free); /* queue_place_worker() puts it back, at the end: the next job goes to another */
	w->load = -1;
	queue_set_last(w, item->stream);
	item->stream->n_in_flight++;
	q->n_in_flight++;
	queue_place_worker(q, w);
}

void queue_leave_worker(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	struct queue_worker *w = item->worker;
	bool was_first = queue_first_job(q, w->number) == item;

	queue_clock_remove(q, item);
	list_remove(&item->link);
	item->worker = NULL;
	w->n_jobs--;
	w->n_fixed -= queue_is_fixed(item);
	w->n_exclusive -= queue_is_exclusive(item);
	if (item->stream)
		item->stream->n_in_flight--;
	q->n_in_flight--;
	if (was_first)
		queue_begin_first(q, w, now_ms);
	queue_place_worker(q, w);
}

void queue_set_class(struct queue *q, struct queue_item *item, enum queue_class class)
{
	if (item->worker)
		item->worker->n_fixed -= queue_is_fixed(item);
	item->class = (uint8_t)class;
	if (item->worker) {
		item->worker->n_fixed += queue_is_fixed(item);
		queue_place_worker(q, item->worker);
	}
}

/* --- what is pending, or waits */

void queue_append_turn(struct queue *q, struct queue_stream *s, enum queue_class class)
{
	s->turn_at[class] = ++q->turns_made;
	list_append(&q->lanes[s->lane].turns[class], &s->turn[class]);
}

void queue_join_pending(struct queue *q, struct queue_item *item, bool is_first, int64_t now_ms)
{
	struct queue_stream *s = item->stream;
	int c = item->class;

	item->pending_ms = (uint32_t)now_ms;
	if (is_first)
		list_prepend(&s->pending[c], &item->link);
	else
		list_append(&s->pending[c], &item->link);
	if (!list_is_linked(&s->turn[c]))
		queue_append_turn(q, s, item->class);
	s->n_pending++;
	q->n_pending[c]++;
	q->lanes[s->lane].n_pending[c]++;
}

void queue_leave_pending(struct queue *q, struct queue_item *item)
{
	struct queue_stream *s = item->stream;
	int c = item->class;

	list_remove(&item->link);
	s->n_pending--;
	q->n_pending[c]--;
	q->lanes[s->lane].n_pending[c]--;
	if (list_is_empty(&s->pending[c]))
		list_remove(&s->turn[c]);
}

bool queue_is_waiting(const struct queue_item *item)
{
	return !item->worker && item->clock >= 0;
}

void queue_wait_until(struct queue *q, struct queue_item *item, int64_t until_ms)
{
	item->until_ms = until_ms;
	q->n_waiting++;
	queue_clock_add(q, item);
}

void queue_stop_waiting(struct queue *q, struct queue_item *item)
{
	queue_clock_remove(q, item);
	q->n_waiting--;
}

void queue_leave(struct queue *q, struct queue_item *item)
{
	if (queue_is_waiting(item))
		queue_stop_waiting(q, item);
	else
		queue_leave_pending(q, item);
}

void queue_free_item(struct queue_item *item)
{
	if (item->stream)
		item->stream->slots[item->slot] = NULL;
	free(item);
}

void queue_wake_waiting(struct queue *q, int64_t now_ms)
{
	while (q->n_clock && q->clock[0]->until_ms <= now_ms && queue_is_waiting(q->clock[0])) {
		struct queue_item *item = q->clock[0];

		queue_stop_waiting(q, item);
		queue_join_pending(q, item, true, now_ms);
	}
}
