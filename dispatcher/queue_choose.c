/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue_internal.h"

static struct queue_worker *first_free(const struct queue *q, int load)
{
	return list_is_empty(&q->free[load]) ? NULL : LIST_OF(q->free[load].next, struct queue_worker, free);
}

/* Where a job of the class may go, before it is known which; NULL: nowhere. */
static struct queue_worker *find_worker(const struct queue *q, enum queue_class class)
{
	struct queue_worker *w = first_free(q, 0);

	if (!w && class != QUEUE_PLAYER)
		w = first_free(q, 1);
	else if (!w && !list_is_empty(&q->preemptible))
		w = LIST_OF(q->preemptible.prev, struct queue_worker, preemptible);
	return w;
}

/* The stream whose turn it is; those that were served before their turn wait one for each time. */
static struct queue_stream *next_turn(struct queue *q, enum queue_class class)
{
	for (;;) {
		struct list *link = q->turns[class].next;
		struct queue_stream *s = LIST_OF(link, struct queue_stream, turn[class]);

		list_remove(link);
		list_append(&q->turns[class], link);
		if (!s->lead[class])
			return s;
		s->lead[class]--;
	}
}

/* The worker's own stream, if it is not too far ahead, or the one whose turn it is. */
static struct queue_stream *find_stream(struct queue *q, enum queue_class class, const struct queue_worker *w, bool *is_ahead)
{
	struct queue_stream *last = w->last;

	*is_ahead = last && !list_is_empty(&last->pending[class]) && last->lead[class] < QUEUE_LEAD &&
		    q->turns[class].next != &last->turn[class];
	if (!*is_ahead)
		return next_turn(q, class);
	last->lead[class]++;
	return last;
}

static struct queue_worker *free_but(const struct queue *q, int load, int number)
{
	const struct list *head = &q->free[load];
	struct list *link = head->next;

	if (link != head && LIST_OF(link, struct queue_worker, free)->number == number)
		link = link->next;
	return link == head ? NULL : LIST_OF(link, struct queue_worker, free);
}

/* Another than the one that has failed at it, or NULL. */
static struct queue_worker *other_worker(const struct queue *q, const struct queue_item *item, const struct queue_worker *w)
{
	struct queue_worker *other;

	if (item->class == QUEUE_PLAYER && w->n_jobs)
		return w->preemptible.prev == &q->preemptible ? NULL : LIST_OF(w->preemptible.prev, struct queue_worker, preemptible);
	other = free_but(q, w->load, w->number);
	if (!other && !w->load && item->class != QUEUE_PLAYER)
		other = free_but(q, 1, w->number);
	return other;
}

/* As good a worker as `w`, but one that had the item's stream last, and not the one that failed at it. NULL: that one is the only
 * one that is free. */
static struct queue_worker *better_worker(const struct queue *q, const struct queue_item *item, struct queue_worker *w)
{
	bool is_preempting = item->class == QUEUE_PLAYER && w->n_jobs;

	if (!is_preempting && w->last != item->stream && !list_is_empty(&item->stream->affine)) {
		struct queue_worker *affine = LIST_OF(item->stream->affine.next, struct queue_worker, affine);

		w = affine->load <= w->load ? affine : w;
	}
	return w->number == item->refused_by && q->n_present > 1 ? other_worker(q, item, w) : w;
}

/* A lower class that has been passed by too often goes first; then the highest. While a player waits for a worker, nothing else is
 * put before it. */
static enum queue_class next_class(const struct queue *q)
{
	enum queue_class class = QUEUE_PLAYER;

	for (enum queue_class c = QUEUE_CLASSES; c-- > QUEUE_AHEAD;)
		if (q->n_pending[c] && q->passed[c] >= QUEUE_FLOOR && find_worker(q, c))
			return c;
	while (class < QUEUE_CLASSES && !q->n_pending[class])
		class++;
	return class;
}

/* It got no job. */
static void return_turn(struct queue *q, struct queue_stream *s, enum queue_class class, bool was_ahead)
{
	if (was_ahead) {
		s->lead[class]--;
	} else if (list_is_linked(&s->turn[class])) {
		list_remove(&s->turn[class]);
		list_prepend(&q->turns[class], &s->turn[class]);
	}
}

struct queue_worker *queue_take_next(struct queue *q, int64_t now_ms, struct queue_item **item)
{
	for (;;) {
		enum queue_class class = next_class(q);
		struct queue_worker *w = class < QUEUE_CLASSES ? find_worker(q, class) : NULL;
		bool is_ahead;

		if (!w)
			return NULL;
		*item = ITEM_AFTER(&find_stream(q, class, w, &is_ahead)->pending[class]);
		w = better_worker(q, *item, w);
		queue_leave_pending(q, *item);
		if (w)
			return w;
		return_turn(q, (*item)->stream, class, is_ahead);
		queue_wait_until(q, *item, now_ms + QUEUE_BACKOFF_MIN_MS); /* for another than the one that failed at it */
	}
}

void queue_count_passed(struct queue *q, enum queue_class class)
{
	q->passed[class] = 0;
	for (int c = (int)class + 1; c < QUEUE_CLASSES; c++)
		q->passed[c] += q->n_pending[c] > 0;
}

bool queue_clear_way(struct queue_item *item)
{
	bool is_any = false;

	for (struct list *l = item->worker->jobs.next; l != &item->link; l = l->next) {
		struct queue_item *before = LIST_OF(l, struct queue_item, link);

		if (!queue_is_fixed(before))
			before->is_cancelled = is_any = true;
	}
	return is_any;
}
