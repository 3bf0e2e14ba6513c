/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define ITEM_AFTER(link_) LIST_OF((link_)->next, struct queue_item, link)

/* --- the clock: a binary heap */

static void clock_put(struct queue *q, size_t at, struct queue_item *item)
{
	q->clock[at] = item;
	item->clock = (int32_t)at;
}

static void clock_up(struct queue *q, size_t at, struct queue_item *item)
{
	for (; at && q->clock[(at - 1) / 2]->until_ms > item->until_ms; at = (at - 1) / 2)
		clock_put(q, at, q->clock[(at - 1) / 2]);
	clock_put(q, at, item);
}

static void clock_down(struct queue *q, size_t at, struct queue_item *item)
{
	for (size_t child; (child = 2 * at + 1) < q->n_clock; at = child) {
		if (child + 1 < q->n_clock && q->clock[child + 1]->until_ms < q->clock[child]->until_ms)
			child++;
		if (q->clock[child]->until_ms >= item->until_ms)
			break;
		clock_put(q, at, q->clock[child]);
	}
	clock_put(q, at, item);
}

/* There is room: queue_push has seen to it. */
static void clock_add(struct queue *q, struct queue_item *item)
{
	ASSERT(item->clock < 0 && q->n_clock < q->clock_size);
	clock_up(q, q->n_clock++, item);
}

static void clock_remove(struct queue *q, struct queue_item *item)
{
	size_t at = (size_t)item->clock;
	struct queue_item *last;

	if (item->clock < 0)
		return;
	item->clock = -1;
	last = q->clock[--q->n_clock];
	if (last == item)
		return;
	if (at && q->clock[(at - 1) / 2]->until_ms > last->until_ms)
		clock_up(q, at, last);
	else
		clock_down(q, at, last);
}

/* Everything that is queued may come to be on the clock. */
static bool clock_reserve(struct queue *q, size_t n)
{
	size_t size = q->clock_size ? q->clock_size : 64;
	struct queue_item **grown;

	while (size < n)
		size *= 2;
	if (size == q->clock_size)
		return true;
	grown = realloc(q->clock, size * sizeof(struct queue_item *));
	if (!grown)
		return false;
	q->clock = grown;
	q->clock_size = size;
	return true;
}

/* --- workers and the lists that they are in */

static bool is_fixed(const struct queue_item *item)
{
	return item->class == QUEUE_PLAYER || item->preemptions >= QUEUE_PREEMPTIONS_MAX;
}

static bool is_exclusive(const struct queue_item *item)
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

/* Puts a worker into the lists that it belongs in now. */
static void place(struct queue *q, struct queue_worker *w)
{
	int load = load_of(w);

	if (load != w->load) {
		list_remove(&w->free);
		if (load >= 0)
			list_append(&q->free[load], &w->free);
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
		list_append(&q->preemptible, &w->preemptible);
}

static void set_last(struct queue_worker *w, struct queue_stream *s)
{
	list_remove(&w->affine);
	w->last = s;
}

/* Its first job has become that: its time begins. */
static void begin_first(struct queue *q, struct queue_worker *w, int64_t now_ms)
{
	struct queue_item *item = queue_first_job(q, w->number);

	list_remove(&w->preemptible); /* place() puts it back, at the end */
	if (item && item->deadline_ms && item->clock < 0) {
		item->until_ms = now_ms + item->deadline_ms + QUEUE_GRACE_MS;
		clock_add(q, item);
	}
}

static void join_worker(struct queue *q, struct queue_worker *w, struct queue_item *item)
{
	item->worker = w;
	item->job = ++q->last_job;
	item->deadline_ms = 0;
	item->extensions = 0;
	item->is_cancelled = item->is_unwanted = false;
	list_append(&w->jobs, &item->link);
	w->credits--;
	w->n_jobs++;
	w->n_fixed += is_fixed(item);
	w->n_exclusive += is_exclusive(item);
	list_remove(&w->free); /* place() puts it back, at the end: the next job goes to another */
	w->load = -1;
	set_last(w, item->stream);
	item->stream->n_in_flight++;
	q->n_in_flight++;
	place(q, w);
}

static void leave_worker(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	struct queue_worker *w = item->worker;
	bool was_first = queue_first_job(q, w->number) == item;

	clock_remove(q, item);
	list_remove(&item->link);
	item->worker = NULL;
	w->n_jobs--;
	w->n_fixed -= is_fixed(item);
	w->n_exclusive -= is_exclusive(item);
	if (item->stream)
		item->stream->n_in_flight--;
	q->n_in_flight--;
	if (was_first)
		begin_first(q, w, now_ms);
	place(q, w);
}

static void set_class(struct queue *q, struct queue_item *item, enum queue_class class)
{
	if (item->worker)
		item->worker->n_fixed -= is_fixed(item);
	item->class = (uint8_t)class;
	if (item->worker) {
		item->worker->n_fixed += is_fixed(item);
		place(q, item->worker);
	}
}

/* --- streams and what is pending */

static void join_pending(struct queue *q, struct queue_item *item, bool is_first)
{
	struct queue_stream *s = item->stream;
	int c = item->class;

	item->pending_ms = (uint32_t)q->now_ms;
	if (is_first)
		list_prepend(&s->pending[c], &item->link);
	else
		list_append(&s->pending[c], &item->link);
	if (!list_is_linked(&s->turn[c]))
		list_append(&q->turns[c], &s->turn[c]);
	s->n_pending++;
	q->n_pending[c]++;
}

static void leave_pending(struct queue *q, struct queue_item *item)
{
	struct queue_stream *s = item->stream;
	int c = item->class;

	list_remove(&item->link);
	s->n_pending--;
	q->n_pending[c]--;
	if (list_is_empty(&s->pending[c]))
		list_remove(&s->turn[c]);
}

static bool is_waiting(const struct queue_item *item)
{
	return !item->worker && item->clock >= 0;
}

static void wait_until(struct queue *q, struct queue_item *item, int64_t until_ms)
{
	item->until_ms = until_ms;
	q->n_waiting++;
	clock_add(q, item);
}

static void stop_waiting(struct queue *q, struct queue_item *item)
{
	clock_remove(q, item);
	q->n_waiting--;
}

/* Wherever it is, but not in flight. */
static void leave_queue(struct queue *q, struct queue_item *item)
{
	if (is_waiting(item))
		stop_waiting(q, item);
	else
		leave_pending(q, item);
}

static void free_item(struct queue_item *item)
{
	if (item->stream)
		item->stream->slots[item->slot] = NULL;
	free(item);
}

static void wake_waiting(struct queue *q, int64_t now_ms)
{
	while (q->n_clock && q->clock[0]->until_ms <= now_ms && is_waiting(q->clock[0])) {
		struct queue_item *item = q->clock[0];

		stop_waiting(q, item);
		join_pending(q, item, true);
	}
}

static int64_t backoff_ms(int retries)
{
	int64_t wait_ms = QUEUE_BACKOFF_MIN_MS;

	while (retries-- > 0 && wait_ms < QUEUE_BACKOFF_MAX_MS)
		wait_ms *= 2;
	return wait_ms < QUEUE_BACKOFF_MAX_MS ? wait_ms : QUEUE_BACKOFF_MAX_MS;
}

/* --- choosing */

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

static void count_passed(struct queue *q, enum queue_class class)
{
	q->passed[class] = 0;
	for (int c = (int)class + 1; c < QUEUE_CLASSES; c++)
		q->passed[c] += q->n_pending[c] > 0;
}

/* What is in front of a job at its worker, and need not be left alone, is to be given up. Whether there is any. */
static bool clear_way(struct queue_item *item)
{
	bool is_any = false;

	for (struct list *l = item->worker->jobs.next; l != &item->link; l = l->next) {
		struct queue_item *before = LIST_OF(l, struct queue_item, link);

		if (!is_fixed(before))
			before->is_cancelled = is_any = true;
	}
	return is_any;
}

/* --- public */

void queue_init(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	for (int c = 0; c < QUEUE_CLASSES; c++)
		list_init(&q->turns[c]);
	list_init(&q->free[0]);
	list_init(&q->free[1]);
	list_init(&q->preemptible);
}

void queue_finish(struct queue *q)
{
	for (int i = 0; i < q->n_workers; i++)
		for (struct queue_item *item; q->workers[i] && (item = queue_first_job(q, i));) {
			list_remove(&item->link);
			free_item(item);
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

/* The first place of a table of pointers that is NULL, which is made longer if there is none. -1: no memory. */
static int find_place(void ***table, int *n)
{
	void **grown;
	int i = 0;

	while (i < *n && (*table)[i])
		i++;
	if (i < *n)
		return i;
	grown = realloc(*table, ((size_t)*n + 1) * sizeof(void *));
	if (!grown)
		return -1;
	*table = grown;
	grown[(*n)++] = NULL;
	return i;
}

int queue_add_stream(struct queue *q, size_t n_slots, bool is_exclusive)
{
	struct queue_stream *s = calloc(1, sizeof(*s));
	int n = s ? find_place((void ***)(void *)&q->streams, &q->n_streams) : -1;

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
	if (queue_set_slots(q, n, n_slots))
		return n;
	q->streams[n] = NULL;
	free(s);
	return -1;
}

int queue_add_worker(struct queue *q)
{
	struct queue_worker *w = calloc(1, sizeof(*w));
	int n = w ? find_place((void ***)(void *)&q->workers, &q->n_workers) : -1;

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
			set_last(w, NULL);
		for (struct list *l = w->jobs.next; l != &w->jobs; l = l->next) {
			struct queue_item *item = LIST_OF(l, struct queue_item, link);

			if (item->stream != s)
				continue;
			w->n_exclusive -= is_exclusive(item);
			item->stream = NULL;
		}
		place(q, w);
	}
	free(s->slots);
	free(s);
	q->streams[stream] = NULL;
}

void queue_remove_worker(struct queue *q, int worker)
{
	struct queue_worker *w = q->workers[worker];

	ASSERT(list_is_empty(&w->jobs));
	list_remove(&w->free);
	list_remove(&w->affine);
	list_remove(&w->preemptible);
	free(w);
	q->workers[worker] = NULL;
	q->n_present--;
}

bool queue_add_credits(struct queue *q, int worker, int credits)
{
	struct queue_worker *w = q->workers[worker];
	int room = QUEUE_CREDITS_MAX - w->n_jobs - w->credits; /* what it holds counts as well */

	if (credits > 0)
		w->credits += credits < room ? credits : room;
	place(q, w);
	return credits <= room;
}

static int push_again(struct queue *q, struct queue_item *item, enum queue_class class)
{
	bool is_raised = class < item->class || item->is_unwanted;

	item->is_unwanted = false;
	if (!is_raised)
		return 0;
	if (item->worker || is_waiting(item)) {
		set_class(q, item, class);
		return item->worker && class == QUEUE_PLAYER && clear_way(item) ? 2 : 0;
	}
	leave_pending(q, item);
	set_class(q, item, class);
	join_pending(q, item, false);
	return 0;
}

int queue_push(struct queue *q, int stream, uint32_t slot, enum queue_class class)
{
	struct queue_stream *s = q->streams[stream];
	struct queue_item *item;

	ASSERT(slot < s->n_slots);
	item = s->slots[slot];
	if (item)
		return push_again(q, item, class);
	item = calloc(1, sizeof(*item));
	if (!item || !clock_reserve(q, q->n_pending[0] + q->n_pending[1] + q->n_pending[2] + q->n_waiting + q->n_in_flight + 1)) {
		free(item);
		return -1;
	}
	item->stream = s;
	item->slot = slot;
	item->class = (uint8_t)class;
	item->clock = item->refused_by = -1;
	s->slots[slot] = item;
	join_pending(q, item, false);
	return 1;
}

void queue_lower(struct queue *q, int stream, uint32_t slot, enum queue_class class)
{
	struct queue_item *item = q->streams[stream]->slots[slot];

	if (!item || item->class >= class)
		return;
	if (item->worker || is_waiting(item)) {
		set_class(q, item, class);
	} else {
		leave_pending(q, item);
		set_class(q, item, class);
		join_pending(q, item, true); /* it has waited before */
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
	leave_queue(q, item);
	free_item(item);
	return NULL;
}

void queue_drop_pending(struct queue *q, int stream, enum queue_class class)
{
	struct queue_stream *s = q->streams[stream];

	for (size_t i = 0; i < s->n_slots; i++) {
		struct queue_item *item = s->slots[i];

		if (!item || item->worker || item->class < class)
			continue;
		leave_queue(q, item);
		free_item(item);
	}
}

struct queue_item *queue_in_flight(const struct queue *q, int stream, uint32_t slot)
{
	struct queue_item *item = q->streams[stream]->slots[slot];

	return item && item->worker ? item : NULL;
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

/* The next job, out of its stream, and the worker that gets it; NULL: there is none, or none. */
static struct queue_worker *take_next(struct queue *q, int64_t now_ms, struct queue_item **item)
{
	for (;;) {
		enum queue_class class = next_class(q);
		struct queue_worker *w = class < QUEUE_CLASSES ? find_worker(q, class) : NULL;

		bool is_ahead;

		if (!w)
			return NULL;
		*item = ITEM_AFTER(&find_stream(q, class, w, &is_ahead)->pending[class]);
		w = better_worker(q, *item, w);
		leave_pending(q, *item);
		if (w)
			return w;
		return_turn(q, (*item)->stream, class, is_ahead);
		wait_until(q, *item, now_ms + QUEUE_BACKOFF_MIN_MS); /* for another than the one that failed at it */
	}
}

int queue_give(struct queue *q, int64_t now_ms, struct queue_item **given)
{
	struct queue_worker *w;
	struct queue_item *item;

	q->now_ms = now_ms;
	wake_waiting(q, now_ms);
	w = take_next(q, now_ms, &item);
	if (!w)
		return 0;
	count_passed(q, item->class);
	if (item->class != QUEUE_PLAYER && q->n_pending[QUEUE_PLAYER])
		item->preemptions = QUEUE_PREEMPTIONS_MAX; /* what was given up to it is not taken away by the next player */
	join_worker(q, w, item);
	*given = item;
	return item->class == QUEUE_PLAYER && clear_way(item) ? 2 : 1;
}

void queue_set_deadline(struct queue *q, struct queue_item *item, int64_t deadline_ms, int64_t now_ms)
{
	item->deadline_ms = deadline_ms < INT32_MAX ? (int32_t)deadline_ms : INT32_MAX;
	if (queue_first_job(q, item->worker->number) == item) {
		begin_first(q, item->worker, now_ms);
		place(q, item->worker);
	}
}

/* In front of its stream: what was tried before is the oldest. Without a stream, or unwanted, it ends here. */
static bool put_back(struct queue *q, struct queue_item *item)
{
	if (!item->stream || item->is_unwanted) {
		free_item(item);
		return false;
	}
	join_pending(q, item, true);
	return true;
}

void queue_take_back(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	leave_worker(q, item, now_ms);
	put_back(q, item);
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
	leave_worker(q, item, now_ms);
	free_item(item);
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
	leave_worker(q, item, now_ms);
	again = may_try_again(item, failure, now_ms);
	*attempts = item->attempts + item->lost + item->killed;
	if (!again || !item->stream || item->is_unwanted) {
		free_item(item);
		return false;
	}
	if (failure != QUEUE_RETRY && failure != QUEUE_STORE)
		return put_back(q, item);
	wait_until(q, item, now_ms + backoff_ms(item->retries - 1));
	return true;
}

void queue_forgive(struct queue *q)
{
	for (int i = 0; i < q->n_streams; i++)
		for (size_t k = 0; q->streams[i] && k < q->streams[i]->n_slots; k++) {
			struct queue_item *item = q->streams[i]->slots[k];

			if (!item)
				continue;
			item->retries = 0;
			if (!is_waiting(item))
				continue;
			stop_waiting(q, item);
			join_pending(q, item, true);
		}
}

bool queue_extend(struct queue *q, struct queue_item *item, int64_t now_ms)
{
	if (item->extensions == QUEUE_EXTENSIONS_MAX)
		return false;
	item->extensions++;
	clock_remove(q, item);
	begin_first(q, item->worker, now_ms);
	place(q, item->worker);
	return true;
}

struct queue_item *queue_overdue(struct queue *q, int64_t now_ms)
{
	wake_waiting(q, now_ms);
	return q->n_clock && q->clock[0]->until_ms <= now_ms ? q->clock[0] : NULL;
}

int64_t queue_next_ms(const struct queue *q)
{
	return q->n_clock ? q->clock[0]->until_ms : INT64_MAX;
}
