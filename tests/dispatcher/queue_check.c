/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_check.h"

#include <check.h>

/* ck_assert formats and counts at every call: far too slow for what is asked a billion times. */
#define MUST(claim)                                                        \
	do {                                                               \
		if (!(claim))                                              \
			ck_abort_msg("the queue is broken: not " #claim); \
	} while (0)

#define EACH(link, head) (struct list *link = (head)->next; link != (head); link = link->next)

struct sums {
	size_t n_pending[QUEUE_CLASSES], n_turns[QUEUE_CLASSES];
	size_t n_waiting, n_in_flight, n_orphans; /* orphans: in flight without a stream */
	size_t n_timed;                           /* in flight and on the clock */
	size_t n_free[2], n_affine, n_preemptible;
};

static size_t length(const struct list *head)
{
	size_t n = 0;

	for EACH (link, head) {
		MUST(link->next->prev == link && link->prev->next == link);
		n++;
	}
	return n;
}

static bool is_fixed(const struct queue_item *item)
{
	return item->class == QUEUE_PLAYER || item->preemptions >= QUEUE_PREEMPTIONS_MAX;
}

static void check_pending(const struct queue_stream *s, int class)
{
	for EACH (link, &s->pending[class]) {
		const struct queue_item *item = LIST_OF(link, struct queue_item, link);

		MUST(item->stream == s && item->class == class && !item->worker && item->clock < 0);
		MUST(s->slots[item->slot] == item);
	}
}

static void check_slots(const struct queue *q, const struct queue_stream *s, struct sums *sums)
{
	size_t n_pending = 0, n_in_flight = 0;

	for (size_t i = 0; i < s->n_slots; i++) {
		const struct queue_item *item = s->slots[i];

		if (!item)
			continue;
		MUST(item->stream == s && item->slot == i && item->class < QUEUE_CLASSES);
		MUST(item->attempts < QUEUE_ATTEMPTS_MAX && item->lost < QUEUE_LOST_MAX && item->killed < QUEUE_KILLED_MAX);
		MUST(item->preemptions <= QUEUE_PREEMPTIONS_MAX);
		if (item->worker) {
			MUST(q->workers[item->worker->number] == item->worker);
			n_in_flight++;
		} else if (item->clock >= 0) {
			sums->n_waiting++;
		} else {
			n_pending++;
		}
	}
	MUST(n_pending == s->n_pending && n_in_flight == s->n_in_flight);
	sums->n_in_flight += n_in_flight;
}

static void check_stream(const struct queue *q, const struct queue_stream *s, struct sums *sums)
{
	size_t n_pending = 0;

	for (int c = 0; c < QUEUE_CLASSES; c++) {
		size_t n = length(&s->pending[c]);

		check_pending(s, c);
		MUST(list_is_linked(&s->turn[c]) == (n > 0));
		MUST(s->lead[c] >= 0 && s->lead[c] <= QUEUE_LEAD);
		sums->n_pending[c] += n;
		sums->n_turns[c] += n > 0;
		n_pending += n;
	}
	MUST(n_pending == s->n_pending);
	check_slots(q, s, sums);
}

static void check_affine(const struct queue_stream *s, struct sums *sums)
{
	int load = 0;

	sums->n_affine += length(&s->affine);
	for EACH (link, &s->affine) {
		const struct queue_worker *w = LIST_OF(link, struct queue_worker, affine);

		MUST(w->last == s && w->load >= load);
		load = w->load;
	}
}

static void check_jobs(const struct queue_worker *w, struct sums *sums)
{
	int n = 0, n_fixed = 0, n_exclusive = 0;
	int64_t last_job = 0;

	length(&w->jobs);
	for EACH (link, &w->jobs) {
		const struct queue_item *item = LIST_OF(link, struct queue_item, link);

		MUST(item->worker == w && item->job > last_job);
		MUST(!item->stream || item->stream->slots[item->slot] == item);
		MUST((item->clock >= 0) == (!n && item->deadline_ms));
		last_job = item->job;
		sums->n_timed += item->clock >= 0;
		sums->n_orphans += !item->stream;
		n++;
		n_fixed += is_fixed(item);
		n_exclusive += item->stream && item->stream->is_exclusive;
	}
	MUST(n == w->n_jobs && n_fixed == w->n_fixed && n_exclusive == w->n_exclusive);
}

static void check_worker(const struct queue_worker *w, struct sums *sums)
{
	int load = w->credits <= 0 || w->n_exclusive ? -1 : w->n_jobs > 0;

	check_jobs(w, sums);
	MUST(w->credits + w->n_jobs <= QUEUE_CREDITS_MAX);
	MUST(w->load == load && list_is_linked(&w->free) == (load >= 0));
	MUST(list_is_linked(&w->affine) == (load >= 0 && w->last));
	MUST(list_is_linked(&w->preemptible) == (w->n_jobs && !w->n_fixed));
	if (load >= 0)
		sums->n_free[load]++;
	sums->n_preemptible += list_is_linked(&w->preemptible);
}

static void check_clock(const struct queue *q, const struct sums *sums)
{
	MUST(q->n_clock <= q->clock_size);
	for (size_t i = 0; i < q->n_clock; i++) {
		const struct queue_item *item = q->clock[i];

		MUST(item->clock == (int32_t)i);
		MUST(!i || q->clock[(i - 1) / 2]->until_ms <= item->until_ms);
	}
	MUST(q->n_clock == sums->n_waiting + sums->n_timed);
}

/* Turns rise; what is counted in lanes and groups is what there is. */
static void check_places(const struct queue *q, const struct sums *sums)
{
	size_t n_pending[QUEUE_CLASSES] = { 0 }, n_turns[QUEUE_CLASSES] = { 0 }, n_free[2] = { 0 }, n_preemptible = 0;
	int n_streams = 0, n_workers = 0;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++) {
		n_streams += q->lanes[i].n;
		n_workers += q->groups[i].n;
		for (int c = 0; c < QUEUE_CLASSES; c++) {
			uint64_t before = 0;

			for EACH (link, &q->lanes[i].turns[c]) {
				const struct queue_stream *s = LIST_OF(link, struct queue_stream, turn[c]);

				MUST(s->lane == i && s->turn_at[c] >= before);
				before = s->turn_at[c];
			}
			n_turns[c] += length(&q->lanes[i].turns[c]);
			n_pending[c] += q->lanes[i].n_pending[c];
		}
		for (int load = 0; load < 2; load++) {
			n_free[load] += length(&q->groups[i].free[load]);
			for EACH (link, &q->groups[i].free[load])
				MUST(LIST_OF(link, struct queue_worker, free)->load == load && LIST_OF(link, struct queue_worker, free)->group == i);
		}
		n_preemptible += length(&q->groups[i].preemptible);
	}
	for (int c = 0; c < QUEUE_CLASSES; c++)
		MUST(q->n_pending[c] == sums->n_pending[c] && n_pending[c] == sums->n_pending[c] && n_turns[c] == sums->n_turns[c]);
	MUST(n_free[0] == sums->n_free[0] && n_free[1] == sums->n_free[1] && n_preemptible == sums->n_preemptible);
	MUST(n_workers == q->n_present);
	for (int i = 0; i < q->n_streams; i++)
		n_streams -= q->streams[i] != NULL;
	MUST(!n_streams);
}

void queue_check(const struct queue *q)
{
	struct sums sums = { 0 };
	size_t n_affine = 0;

	for (int i = 0; i < q->free_stream; i++)
		MUST(q->streams[i]);
	for (int i = 0; i < q->free_worker; i++)
		MUST(q->workers[i]);
	for (int i = 0; i < q->n_workers; i++)
		if (q->workers[i]) {
			MUST(q->workers[i]->number == i);
			check_worker(q->workers[i], &sums);
			n_affine += list_is_linked(&q->workers[i]->affine);
		}
	for (int i = 0; i < q->n_streams; i++)
		if (q->streams[i]) {
			MUST(q->streams[i]->number == i);
			check_stream(q, q->streams[i], &sums);
			check_affine(q->streams[i], &sums);
		}
	check_places(q, &sums);
	MUST(sums.n_affine == n_affine);
	MUST(q->n_waiting == sums.n_waiting && q->n_in_flight == sums.n_in_flight + sums.n_orphans);
	check_clock(q, &sums);
}
