/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue_internal.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

void queue_init(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	queue_places_init(q);
}

void queue_finish(struct queue *q)
{
	for (int i = 0; i < q->n_workers; i++)
		for (struct queue_item *item; q->workers[i] && (item = queue_first_job(q, i));) {
			list_remove(&item->link);
			queue_free_item(item);
		}
	for (int i = 0; i < q->n_streams; i++) {
		if (!q->streams[i])
			continue;
		for (size_t k = 0; k < q->streams[i]->n_slots; k++)
			free(q->streams[i]->slots[k]);
		free(q->streams[i]->slots);
		free(q->streams[i]);
	}
	for (int i = 0; i < q->n_workers; i++)
		free(q->workers[i]);
	free(q->streams);
	free(q->workers);
	free(q->clock);
	memset(q, 0, sizeof(*q));
}

bool queue_set_slots(struct queue *q, int stream, size_t n_slots)
{
	struct queue_stream *s = q->streams[stream];
	struct queue_item **grown;

	if (n_slots <= s->n_slots)
		return true;
	grown = realloc(s->slots, n_slots * sizeof(struct queue_item *));
	if (!grown)
		return false;
	memset(grown + s->n_slots, 0, (n_slots - s->n_slots) * sizeof(struct queue_item *));
	s->slots = grown;
	s->n_slots = n_slots;
	return true;
}

/* The first place of a table of pointers that is NULL, not in front of *from; the table is made longer if there is none. -1: no memory. */
static int find_place(void ***table, int *n, int *from)
{
	void **grown;

	while (*from < *n && (*table)[*from])
		++*from;
	if (*from < *n)
		return *from;
	grown = realloc(*table, ((size_t)*n + 1) * sizeof(void *));
	if (!grown)
		return -1;
	*table = grown;
	grown[(*n)++] = NULL;
	return *from;
}

int queue_add_stream(struct queue *q, size_t n_slots, bool is_exclusive)
{
	struct queue_stream *s = calloc(1, sizeof(*s));
	int n = s ? find_place((void ***)(void *)&q->streams, &q->n_streams, &q->free_stream) : -1;

	if (n < 0) {
		free(s);
		return -1;
	}
	for (int c = 0; c < QUEUE_CLASSES; c++) {
		list_init(&s->pending[c]);
		list_init(&s->turn[c]);
	}
	list_init(&s->affine);
	s->number = n;
	s->is_exclusive = is_exclusive;
	q->streams[n] = s;
	q->lanes[0].n++;
	if (queue_set_slots(q, n, n_slots))
		return n;
	q->lanes[0].n--;
	q->streams[n] = NULL;
	free(s);
	return -1;
}

int queue_add_worker(struct queue *q)
{
	struct queue_worker *w = calloc(1, sizeof(*w));
	int n = w ? find_place((void ***)(void *)&q->workers, &q->n_workers, &q->free_worker) : -1;

	if (n < 0) {
		free(w);
		return -1;
	}
	list_init(&w->free);
	list_init(&w->affine);
	list_init(&w->preemptible);
	list_init(&w->jobs);
	w->number = n;
	w->load = -1;
	q->workers[n] = w;
	q->groups[0].n++;
	q->n_present++;
	return n;
}

void queue_remove_stream(struct queue *q, int stream)
{
	struct queue_stream *s = q->streams[stream];

	queue_drop_pending(q, stream, QUEUE_PLAYER);
	for (int i = 0; i < q->n_workers; i++) {
		struct queue_worker *w = q->workers[i];

		if (!w)
			continue;
		if (w->last == s)
			queue_set_last(w, NULL);
		for (struct list *l = w->jobs.next; l != &w->jobs; l = l->next) {
			struct queue_item *item = LIST_OF(l, struct queue_item, link);

			if (item->stream != s)
				continue;
			w->n_exclusive -= queue_is_exclusive(item);
			item->stream = NULL;
		}
		queue_place_worker(q, w);
	}
	q->lanes[s->lane].n--;
	free(s->slots);
	free(s);
	q->streams[stream] = NULL;
	q->free_stream = stream < q->free_stream ? stream : q->free_stream;
}

void queue_remove_worker(struct queue *q, int worker)
{
	struct queue_worker *w = q->workers[worker];

	ASSERT(list_is_empty(&w->jobs));
	list_remove(&w->free);
	list_remove(&w->affine);
	list_remove(&w->preemptible);
	q->groups[w->group].n--;
	free(w);
	q->workers[worker] = NULL;
	q->free_worker = worker < q->free_worker ? worker : q->free_worker;
	q->n_present--;
}

bool queue_add_credits(struct queue *q, int worker, int credits)
{
	struct queue_worker *w = q->workers[worker];
	int room = QUEUE_CREDITS_MAX - w->n_jobs - w->credits; /* what it holds counts as well */

	if (credits > 0)
		w->credits += credits < room ? credits : room;
	queue_place_worker(q, w);
	return credits <= room;
}

static int push_again(struct queue *q, struct queue_item *item, enum queue_class class, int64_t now_ms)
{
	bool is_raised = class < item->class || item->is_unwanted;

	item->is_unwanted = false;
	if (!is_raised)
		return 0;
	if (item->worker || queue_is_waiting(item)) {
		queue_set_class(q, item, class);
		return item->worker && class == QUEUE_PLAYER && queue_clear_way(item) ? 2 : 0;
	}
	queue_leave_pending(q, item);
	queue_set_class(q, item, class);
	queue_join_pending(q, item, false, now_ms);
	return 0;
}

int queue_push(struct queue *q, int stream, uint32_t slot, enum queue_class class, int64_t now_ms)
{
	struct queue_stream *s = q->streams[stream];
	struct queue_item *item;

	ASSERT(slot < s->n_slots);
	item = s->slots[slot];
	if (item)
		return push_again(q, item, class, now_ms);
	item = calloc(1, sizeof(*item));
	if (!item || !queue_clock_reserve(q, q->n_pending[0] + q->n_pending[1] + q->n_pending[2] + q->n_waiting + q->n_in_flight + 1)) {
		free(item);
		return -1;
	}
	item->stream = s;
	item->slot = slot;
	item->class = (uint8_t)class;
	item->clock = item->refused_by = -1;
	s->slots[slot] = item;
	queue_join_pending(q, item, false, now_ms);
	return 1;
}

void queue_lower(struct queue *q, int stream, uint32_t slot, enum queue_class class, int64_t now_ms)
{
	struct queue_item *item = q->streams[stream]->slots[slot];

	if (!item || item->class >= class)
		return;
	if (item->worker || queue_is_waiting(item)) {
		queue_set_class(q, item, class);
	} else {
		queue_leave_pending(q, item);
		queue_set_class(q, item, class);
		queue_join_pending(q, item, true, now_ms); /* it has waited before */
	}
}

struct queue_item *queue_drop(struct queue *q, int stream, uint32_t slot)
{
	struct queue_item *item = q->streams[stream]->slots[slot];

	if (!item)
		return NULL;
	if (item->worker) {
		item->is_unwanted = true;
		return item;
	}
	queue_leave(q, item);
	queue_free_item(item);
	return NULL;
}

void queue_drop_pending(struct queue *q, int stream, enum queue_class class)
{
	struct queue_stream *s = q->streams[stream];

	for (size_t i = 0; i < s->n_slots; i++) {
		struct queue_item *item = s->slots[i];

		if (!item || item->worker || item->class < class)
			continue;
		queue_leave(q, item);
		queue_free_item(item);
	}
}

struct queue_item *queue_in_flight(const struct queue *q, int stream, uint32_t slot)
{
	struct queue_item *item = q->streams[stream]->slots[slot];

	return item && item->worker ? item : NULL;
}

int queue_give(struct queue *q, int64_t now_ms, struct queue_item **given)
{
	struct queue_worker *w;
	struct queue_item *item;

	queue_wake_waiting(q, now_ms);
	queue_waive(q, now_ms);
	w = queue_take_next(q, now_ms, &item);
	if (!w)
		return 0;
	queue_count_passed(q, item->class);
	if (item->class != QUEUE_PLAYER && q->n_pending[QUEUE_PLAYER])
		item->preemptions = QUEUE_PREEMPTIONS_MAX; /* what was given up to it is not taken away by the next player */
	queue_join_worker(q, w, item);
	*given = item;
	return item->class == QUEUE_PLAYER && queue_clear_way(item) ? 2 : 1;
}

void queue_set_deadline(struct queue *q, struct queue_item *item, int64_t deadline_ms, int64_t now_ms)
{
	item->deadline_ms = deadline_ms < INT32_MAX ? (int32_t)deadline_ms : INT32_MAX;
	if (queue_first_job(q, item->worker->number) == item) {
		queue_begin_first(q, item->worker, now_ms);
		queue_place_worker(q, item->worker);
	}
}

/* In front of its stream: what was tried before is the oldest. Without a stream, or unwanted, it ends here. */
static bool put_back(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	if (!item->stream || item->is_unwanted) {
		queue_free_item(item);
		return false;
	}
	queue_join_pending(q, item, true, now_ms);
	return true;
}

void queue_take_back(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	queue_leave_worker(q, item, now_ms);
	put_back(q, item, now_ms);
}

void queue_discard(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	item->worker->credits++;
	queue_done(q, item, now_ms);
}

struct queue_item *queue_find(const struct queue *q, int worker, int64_t job)
{
	struct queue_item *item = queue_first_job(q, worker);

	while (item && item->job != job)
		item = queue_next_job(item);
	return item;
}

struct queue_item *queue_first_job(const struct queue *q, int worker)
{
	const struct list *jobs = &q->workers[worker]->jobs;

	return list_is_empty(jobs) ? NULL : ITEM_AFTER(jobs);
}

struct queue_item *queue_next_job(const struct queue_item *item)
{
	return item->link.next == &item->worker->jobs ? NULL : ITEM_AFTER(&item->link);
}

void queue_done(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	queue_leave_worker(q, item, now_ms);
	queue_free_item(item);
}

static int64_t backoff_ms(int retries)
{
	int64_t wait_ms = QUEUE_BACKOFF_MIN_MS;

	while (retries-- > 0 && wait_ms < QUEUE_BACKOFF_MAX_MS)
		wait_ms *= 2;
	return wait_ms < QUEUE_BACKOFF_MAX_MS ? wait_ms : QUEUE_BACKOFF_MAX_MS;
}

/* Counts the failure: true when the item may be tried again. */
static bool may_try_again(struct queue_item *item, enum queue_failure failure, int64_t now_ms)
{
	switch (failure) {
	case QUEUE_RETRY:
		if (!item->retries)
			item->troubled_ms = now_ms;
		if (item->retries < UINT8_MAX)
			item->retries++;
		return now_ms - item->troubled_ms < QUEUE_RETRY_MS || item->retries < QUEUE_RETRIES_MIN;
	case QUEUE_STORE:
		item->troubled_ms = now_ms;
		item->retries += item->retries < UINT8_MAX;
		return true;
	case QUEUE_KILLED:
		return ++item->killed < QUEUE_KILLED_MAX;
	case QUEUE_LOST:
		item->retries = 0;
		return ++item->lost < QUEUE_LOST_MAX;
	case QUEUE_CANCELLED:
		item->preemptions += item->preemptions < QUEUE_PREEMPTIONS_MAX;
		return true;
	case QUEUE_CRASH:
	case QUEUE_REFUSED:
		break;
	}
	item->retries = 0;
	return ++item->attempts < QUEUE_ATTEMPTS_MAX;
}

bool queue_fail(struct queue *q, struct queue_item *item, enum queue_failure failure, int64_t now_ms, int *attempts)
{
	bool again;

	item->refused_by = failure == QUEUE_REFUSED || failure == QUEUE_LOST ? item->worker->number : -1;
	queue_leave_worker(q, item, now_ms);
	again = may_try_again(item, failure, now_ms);
	*attempts = item->attempts + item->lost + item->killed;
	if (!again || !item->stream || item->is_unwanted) {
		queue_free_item(item);
		return false;
	}
	if (failure != QUEUE_RETRY && failure != QUEUE_STORE)
		return put_back(q, item, now_ms);
	queue_wait_until(q, item, now_ms + backoff_ms(item->retries - 1));
	return true;
}

void queue_forgive(struct queue *q, int64_t now_ms)
{
	for (int i = 0; i < q->n_streams; i++)
		for (size_t k = 0; q->streams[i] && k < q->streams[i]->n_slots; k++) {
			struct queue_item *item = q->streams[i]->slots[k];

			if (!item)
				continue;
			item->retries = 0;
			if (!queue_is_waiting(item))
				continue;
			queue_stop_waiting(q, item);
			queue_join_pending(q, item, true, now_ms);
		}
}

bool queue_extend(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	if (item->extensions == QUEUE_EXTENSIONS_MAX)
		return false;
	item->extensions++;
	queue_clock_remove(q, item);
	queue_begin_first(q, item->worker, now_ms);
	queue_place_worker(q, item->worker);
	return true;
}

struct queue_item *queue_overdue(struct queue *q, int64_t now_ms)
{
	queue_wake_waiting(q, now_ms);
	return q->n_clock && q->clock[0]->until_ms <= now_ms ? q->clock[0] : NULL;
}

int64_t queue_next_ms(const struct queue *q)
{
	return q->n_clock ? q->clock[0]->until_ms : INT64_MAX;
}
