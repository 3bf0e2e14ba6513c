/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

static void list_append(struct queue_list *list, struct queue_item *item)
{
	item->next = NULL;
	item->prev = list->tail;
	*(list->tail ? &list->tail->next : &list->head) = item;
	list->tail = item;
}

static void list_prepend(struct queue_list *list, struct queue_item *item)
{
	item->prev = NULL;
	item->next = list->head;
	*(list->head ? &list->head->prev : &list->tail) = item;
	list->head = item;
}

static void list_remove(struct queue_list *list, struct queue_item *item)
{
	*(item->prev ? &item->prev->next : &list->head) = item->next;
	*(item->next ? &item->next->prev : &list->tail) = item->prev;
	item->prev = item->next = NULL;
}

static void list_free(struct queue_list *list)
{
	for (struct queue_item *item = list->head, *next; item; item = next) {
		next = item->next;
		free(item);
	}
	memset(list, 0, sizeof(*list));
}

/* Takes an item from the worker that has it. */
static void leave_worker(struct queue *q, struct queue_item *item)
{
	struct queue_worker *worker = &q->workers[item->worker];

	list_remove(&worker->jobs, item);
	worker->n_jobs--;
	worker->n_urgent -= item->stream == q->urgent;
	q->n_in_flight--;
	item->worker = -1;
}

static void free_item(struct queue *q, struct queue_item *item)
{
	q->streams[item->stream].slots[item->slot] = NULL;
	free(item);
}

/* In front of its stream: what was tried before is the oldest. */
static void make_pending_first(struct queue *q, struct queue_item *item)
{
	list_prepend(&q->streams[item->stream].pending, item);
	q->n_pending++;
}

static void wake_waiting(struct queue *q, int64_t now_ms)
{
	for (struct queue_item *item = q->waiting.head, *next; item; item = next) {
		next = item->next;
		if (item->until_ms > now_ms)
			continue;
		list_remove(&q->waiting, item);
		make_pending_first(q, item);
	}
}

static int64_t backoff_ms(int retries)
{
	int64_t wait_ms = QUEUE_BACKOFF_MIN_MS;

	while (retries-- > 0 && wait_ms < QUEUE_BACKOFF_MAX_MS)
		wait_ms *= 2;
	return wait_ms < QUEUE_BACKOFF_MAX_MS ? wait_ms : QUEUE_BACKOFF_MAX_MS;
}

/* For an urgent job, the one that has the least to do before it. */
static int find_credit(const struct queue *q, bool is_urgent)
{
	int found = -1;

	for (int i = 0; i < q->n_workers; i++) {
		int n = (q->worker_turn + i) % q->n_workers;
		const struct queue_worker *w = &q->workers[n];

		if (!w->is_used || w->credits <= 0 || w->n_urgent)
			continue;
		if (!is_urgent)
			return n;
		if (found < 0 || w->n_jobs < q->workers[found].n_jobs)
			found = n;
	}
	return found;
}

static int find_turn(const struct queue *q)
{
	if (q->urgent >= 0 && q->streams[q->urgent].pending.head)
		return q->urgent;
	for (int i = 0; i < q->n_streams; i++) {
		int n = (q->turn + i) % q->n_streams;

		if (q->streams[n].pending.head)
			return n;
	}
	return -1;
}

void queue_init(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	q->urgent = -1;
}

void queue_finish(struct queue *q)
{
	for (int i = 0; i < q->n_streams; i++) {
		list_free(&q->streams[i].pending);
		free(q->streams[i].slots);
	}
	for (int i = 0; i < q->n_workers; i++)
		list_free(&q->workers[i].jobs);
	list_free(&q->waiting);
	free(q->streams);
	free(q->workers);
	memset(q, 0, sizeof(*q));
}

bool queue_set_slots(struct queue *q, int stream, size_t n_slots)
{
	struct queue_stream *s = &q->streams[stream];
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

int queue_add_stream(struct queue *q, size_t n_slots)
{
	struct queue_stream *grown = realloc(q->streams, ((size_t)q->n_streams + 1) * sizeof(*grown));

	if (!grown)
		return -1;
	q->streams = grown;
	memset(&grown[q->n_streams], 0, sizeof(*grown));
	if (!queue_set_slots(q, q->n_streams, n_slots))
		return -1;
	return q->n_streams++;
}

void queue_set_urgent(struct queue *q, int stream)
{
	q->urgent = stream;
}

int queue_add_worker(struct queue *q)
{
	struct queue_worker *grown;
	int n = 0;

	while (n < q->n_workers && q->workers[n].is_used)
		n++;
	if (n == q->n_workers) {
		grown = realloc(q->workers, ((size_t)n + 1) * sizeof(*grown));
		if (!grown)
			return -1;
		q->workers = grown;
		q->n_workers++;
	}
	q->workers[n] = (struct queue_worker){ .is_used = true };
	return n;
}

void queue_remove_worker(struct queue *q, int worker)
{
	ASSERT(!q->workers[worker].jobs.head);
	q->workers[worker].is_used = false;
}

bool queue_add_credits(struct queue *q, int worker, int credits)
{
	struct queue_worker *w = &q->workers[worker];
	int room = QUEUE_CREDITS_MAX - w->n_jobs - w->credits; /* what it holds counts as well */

	w->credits += credits < room ? credits : room;
	return credits <= room;
}

int queue_push(struct queue *q, int stream, uint32_t slot)
{
	struct queue_stream *s = &q->streams[stream];
	struct queue_item *item;

	ASSERT(slot < s->n_slots);
	if (s->slots[slot])
		return 0;
	item = calloc(1, sizeof(*item));
	if (!item)
		return -1;
	item->stream = stream;
	item->slot = slot;
	item->worker = -1;
	s->slots[slot] = item;
	list_append(&s->pending, item);
	q->n_pending++;
	return 1;
}

struct queue_item *queue_in_flight(const struct queue *q, int stream, uint32_t slot)
{
	struct queue_item *item = q->streams[stream].slots[slot];

	return item && item->worker >= 0 ? item : NULL;
}

bool queue_drop(struct queue *q, int stream, uint32_t slot)
{
	struct queue_item *item = q->streams[stream].slots[slot];

	if (!item || item->worker >= 0)
		return false;
	for (struct queue_item *w = q->waiting.head; w; w = w->next)
		if (w == item) {
			list_remove(&q->waiting, item);
			free_item(q, item);
			return true;
		}
	list_remove(&q->streams[stream].pending, item);
	q->n_pending--;
	free_item(q, item);
	return true;
}

void queue_drop_pending(struct queue *q, int stream)
{
	struct queue_list *pending = &q->streams[stream].pending;

	for (struct queue_item *item = q->waiting.head, *next; item; item = next) {
		next = item->next;
		if (item->stream != stream)
			continue;
		list_remove(&q->waiting, item);
		free_item(q, item);
	}
	for (struct queue_item *item; (item = pending->head);) {
		list_remove(pending, item);
		q->n_pending--;
		free_item(q, item);
	}
}

int queue_give(struct queue *q, int64_t now_ms, struct queue_item **item)
{
	int worker, stream;

	wake_waiting(q, now_ms);
	if (!q->n_pending)
		return 0;
	stream = find_turn(q);
	ASSERT(stream >= 0);
	worker = find_credit(q, stream == q->urgent);
	if (worker < 0)
		return 0;
	*item = q->streams[stream].pending.head;
	list_remove(&q->streams[stream].pending, *item);
	q->n_pending--;
	q->n_in_flight++;
	(*item)->worker = worker;
	(*item)->job = ++q->last_job;
	(*item)->deadline_ms = 0;
	(*item)->until_ms = 0;
	list_append(&q->workers[worker].jobs, *item);
	q->workers[worker].credits--;
	q->workers[worker].n_jobs++;
	q->workers[worker].n_urgent += stream == q->urgent;
	q->turn = (stream + 1) % q->n_streams;
	q->worker_turn = (worker + 1) % q->n_workers;
	return 1;
}

void queue_take_back(struct queue *q, struct queue_item *item)
{
	leave_worker(q, item);
	make_pending_first(q, item);
}

struct queue_item *queue_find(struct queue *q, int worker, int64_t job)
{
	struct queue_item *item = q->workers[worker].jobs.head;

	while (item && item->job != job)
		item = item->next;
	return item;
}

struct queue_item *queue_first_job(const struct queue *q, int worker)
{
	return q->workers[worker].jobs.head;
}

void queue_done(struct queue *q, struct queue_item *item)
{
	leave_worker(q, item);
	free_item(q, item);
}

void queue_discard(struct queue *q, struct queue_item *item)
{
	q->workers[item->worker].credits++;
	queue_done(q, item);
}

/* Counts the failure: true when the item may be tried again. */
static bool may_try_again(struct queue_item *item, enum queue_failure failure, int64_t now_ms)
{
	switch (failure) {
	case QUEUE_RETRY:
		if (!item->troubled_ms)
			item->troubled_ms = now_ms;
		if (item->retries < UINT8_MAX)
			item->retries++;
		return now_ms - item->troubled_ms < QUEUE_RETRY_MS;
	case QUEUE_LOST:
		return ++item->lost < QUEUE_LOST_MAX;
	case QUEUE_CRASH:
	case QUEUE_REFUSED:
		break;
	}
	return ++item->attempts < QUEUE_ATTEMPTS_MAX;
}

bool queue_fail(struct queue *q, struct queue_item *item, enum queue_failure failure, int64_t now_ms, int *attempts)
{
	bool again = may_try_again(item, failure, now_ms);

	leave_worker(q, item);
	*attempts = item->attempts + item->lost;
	if (!again) {
		free_item(q, item);
	} else if (failure == QUEUE_RETRY) {
		item->until_ms = now_ms + backoff_ms(item->retries - 1);
		list_append(&q->waiting, item);
	} else {
		make_pending_first(q, item);
	}
	return again;
}

static void forgive_list(const struct queue_list *list)
{
	for (struct queue_item *item = list->head; item; item = item->next) {
		item->troubled_ms = 0;
		item->retries = 0;
	}
}

void queue_forgive(struct queue *q)
{
	forgive_list(&q->waiting);
	for (int i = 0; i < q->n_workers; i++)
		forgive_list(&q->workers[i].jobs);
	wake_waiting(q, INT64_MAX);
}

struct queue_item *queue_overdue(const struct queue *q, int64_t now_ms)
{
	for (int i = 0; i < q->n_workers; i++) {
		struct queue_item *item = q->workers[i].jobs.head;

		if (!item || !item->deadline_ms)
			continue;
		if (!item->until_ms)
			item->until_ms = now_ms + item->deadline_ms + QUEUE_GRACE_MS;
		if (item->until_ms <= now_ms)
			return item;
	}
	return NULL;
}

int64_t queue_next_ms(const struct queue *q)
{
	int64_t next_ms = INT64_MAX;

	for (const struct queue_item *item = q->waiting.head; item; item = item->next)
		next_ms = item->until_ms < next_ms ? item->until_ms : next_ms;
	return next_ms;
}
