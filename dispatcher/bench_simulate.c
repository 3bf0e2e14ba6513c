/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/bench_simulate.h"

#include "common/proc.h"
#include "dispatcher/queue.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define CREDITS 2        /* as in a farm */
#define JOBS_ABOUT 1e6   /* that are simulated, if that is neither less nor more than these */
#define VIRTUAL_MIN_S 60
#define VIRTUAL_MAX_S 86400
#define DEADLINE_MS 60000
#define TITLE_SEGMENTS (BENCH_TITLE_S / BENCH_SEGMENT_S)

struct event {
	int64_t at_us;
	int64_t job; /* of a worker: that it is done with, if it has it still */
	int who;     /* a worker; -1 - who: a viewer, who asks */
};

struct title {
	int64_t came_us;
	int n_left; /* segments */
};

struct farm_state {
	const struct bench_farm *farm;
	struct bench_times *times;
	struct queue q;
	uint64_t random;
	int64_t now_us, end_us, busy_us;
	struct event *events; /* a heap by at_us */
	size_t n_events, events_size;
	struct {
		int64_t job, since_us; /* in hand; 0: none */
	} *workers;
	int64_t *asked_us;    /* by each viewer */
	int32_t *waits_ms;
	size_t n_waits, waits_size;
	int64_t next_title_us, titles_us; /* titles_us: all times until they were made */
	int n_titles;                     /* that are made */
	bool is_out_of_memory;
};

/* splitmix64, 0 to 1 */
static double fraction(struct farm_state *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* Room for one more element of a table. */
static bool grow(struct farm_state *s, void **table, size_t n, size_t *size, size_t element)
{
	size_t more = *size ? 2 * *size : 1024;
	void *grown;

	if (n < *size)
		return true;
	grown = realloc(*table, more * element);
	s->is_out_of_memory |= !grown;
	if (!grown)
		return false;
	*table = grown;
	*size = more;
	return true;
}

/* --- what happens when */

static void post(struct farm_state *s, int64_t in_us, int who, int64_t job)
{
	struct event e = { s->now_us + in_us, job, who };
	size_t at;

	if (!grow(s, (void **)(void *)&s->events, s->n_events, &s->events_size, sizeof(*s->events)))
		return;
	for (at = s->n_events++; at && s->events[(at - 1) / 2].at_us > e.at_us; at = (at - 1) / 2)
		s->events[at] = s->events[(at - 1) / 2];
	s->events[at] = e;
}

static struct event take_event(struct farm_state *s)
{
	struct event first = s->events[0], last = s->events[--s->n_events];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < s->n_events; at = child) {
		child += child + 1 < s->n_events && s->events[child + 1].at_us < s->events[child].at_us;
		if (s->events[child].at_us >= last.at_us)
			break;
		s->events[at] = s->events[child];
	}
	s->events[at] = last;
	return first;
}

static int64_t now_ms(const struct farm_state *s)
{
	return s->now_us / 1000;
}

/* --- workers */

/* Segments are not alike: half to one and a half times the average. */
static int64_t job_us(struct farm_state *s)
{
	return 1 + (int64_t)(s->farm->core_s * BENCH_SEGMENT_S * (0.5 + fraction(s)) * (double)SECOND_US);
}

/* It begins what is in front, if it is not at that already. */
static void begin(struct farm_state *s, int worker)
{
	const struct queue_item *item = queue_first_job(&s->q, worker);

	if (!item || item->job == s->workers[worker].job)
		return;
	s->workers[worker].job = item->job;
	s->workers[worker].since_us = s->now_us;
	post(s, job_us(s), worker, item->job);
}

static void end(struct farm_state *s, int worker)
{
	s->busy_us += s->now_us - s->workers[worker].since_us;
	queue_add_credits(&s->q, worker, 1);
}

/* What a player's job goes before is given up. */
static void cancel_before(struct farm_state *s, const struct queue_item *item)
{
	int worker = item->worker->number, attempts;

	for (struct queue_item *i = queue_first_job(&s->q, worker), *next; i != item; i = next) {
		next = queue_next_job(i);
		if (!i->is_cancelled)
			continue;
		if (i->job == s->workers[worker].job)
			end(s, worker);
		else
			queue_add_credits(&s->q, worker, 1);
		queue_fail(&s->q, i, QUEUE_CANCELLED, now_ms(s), &attempts);
	}
}

static void give_all(struct farm_state *s)
{
	struct queue_item *item;
	int ret;

	while ((ret = queue_give(&s->q, now_ms(s), &item)) > 0) {
		queue_set_deadline(&s->q, item, DEADLINE_MS, now_ms(s));
		if (ret == 2)
			cancel_before(s, item);
		begin(s, item->worker->number);
	}
}

/* --- viewers and titles */

static void on_ask(struct farm_state *s, int viewer)
{
	s->asked_us[viewer] = s->now_us;
	s->is_out_of_memory |= queue_push(&s->q, viewer, 0, QUEUE_PLAYER, now_ms(s)) < 0;
}

static void on_watched(struct farm_state *s, int viewer)
{
	int64_t took_us = s->now_us - s->asked_us[viewer], left_us = BENCH_SEGMENT_S * SECOND_US - took_us;

	if (grow(s, (void **)(void *)&s->waits_ms, s->n_waits, &s->waits_size, sizeof(*s->waits_ms)))
		s->waits_ms[s->n_waits++] = (int32_t)(took_us / 1000);
	post(s, left_us > 0 ? left_us : 0, -1 - viewer, 0);
}

static void on_title(struct farm_state *s)
{
	struct title *title = malloc(sizeof(*title));
	int stream = title ? queue_add_stream(&s->q, TITLE_SEGMENTS, false) : -1;

	s->next_title_us += (int64_t)(BENCH_TITLE_S / 3600.0 * 86400 / s->farm->title_hours * (double)SECOND_US);
	s->is_out_of_memory |= stream < 0;
	if (stream < 0) {
		free(title);
		return;
	}
	*title = (struct title){ s->now_us, TITLE_SEGMENTS };
	s->q.streams[stream]->user = title;
	for (uint32_t i = 0; i < TITLE_SEGMENTS; i++)
		s->is_out_of_memory |= queue_push(&s->q, stream, i, QUEUE_PRECOMPUTE, now_ms(s)) < 0;
}

static void on_made(struct farm_state *s, struct queue_stream *stream)
{
	struct title *title = stream->user;

	if (--title->n_left)
		return;
	s->titles_us += s->now_us - title->came_us;
	s->n_titles++;
	free(title);
	queue_remove_stream(&s->q, stream->number);
}

static void on_done(struct farm_state *s, const struct event *e)
{
	struct queue_item *item = queue_first_job(&s->q, e->who);
	struct queue_stream *stream;

	if (!item || item->job != e->job) /* it was given up meanwhile */
		return;
	stream = item->stream;
	end(s, e->who);
	queue_done(&s->q, item, now_ms(s));
	s->times->n_jobs++;
	if (stream->user)
		on_made(s, stream);
	else
		on_watched(s, stream->number);
	begin(s, e->who);
}

/* --- the whole */

static bool start(struct farm_state *s)
{
	const struct bench_farm *f = s->farm;
	double titles = f->title_hours * 3600 / BENCH_TITLE_S / 86400; /* a second */
	double seconds = JOBS_ABOUT / (titles * TITLE_SEGMENTS + (double)f->n_cold / BENCH_SEGMENT_S + 1e-9);

	s->times->virtual_s = seconds < VIRTUAL_MIN_S ? VIRTUAL_MIN_S : seconds < VIRTUAL_MAX_S ? seconds : VIRTUAL_MAX_S;
	s->end_us = (int64_t)(s->times->virtual_s * (double)SECOND_US);
	s->next_title_us = f->title_hours > 0 ? 0 : INT64_MAX;
	s->workers = calloc((size_t)f->n_workers, sizeof(*s->workers));
	s->asked_us = calloc((size_t)f->n_cold + 1, sizeof(*s->asked_us));
	if (!s->workers || !s->asked_us)
		return false;
	for (int i = 0; i < f->n_cold; i++) {
		if (queue_add_stream(&s->q, 1, false) != i)
			return false;
		post(s, (int64_t)(fraction(s) * BENCH_SEGMENT_S * (double)SECOND_US), -1 - i, 0);
	}
	for (int i = 0; i < f->n_workers; i++) {
		if (queue_add_worker(&s->q) != i)
			return false;
		queue_add_credits(&s->q, i, CREDITS);
	}
	return !s->is_out_of_memory;
}

static void run(struct farm_state *s)
{
	while (!s->is_out_of_memory && (s->n_events || s->next_title_us < INT64_MAX)) {
		bool is_title = !s->n_events || s->next_title_us <= s->events[0].at_us;
		int64_t at_us = is_title ? s->next_title_us : s->events[0].at_us;
		struct event e;

		if (at_us > s->end_us)
			break;
		s->now_us = at_us;
		if (is_title) {
			on_title(s);
		} else {
			e = take_event(s);
			if (e.who < 0)
				on_ask(s, -1 - e.who);
			else
				on_done(s, &e);
		}
		give_all(s);
	}
}

static int compare_waits(const void *a, const void *b)
{
	int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;

	return (one > other) - (one < other);
}

static void sum_up(struct farm_state *s)
{
	struct bench_times *t = s->times;

	for (int i = 0; i < s->farm->n_workers; i++)
		if (queue_first_job(&s->q, i))
			s->busy_us += s->end_us - s->workers[i].since_us;
	t->busy = (double)s->busy_us / (double)s->end_us / s->farm->n_workers;
	t->title_ms = s->n_titles ? s->titles_us / s->n_titles / 1000 : 0;
	t->n_waits = (int64_t)s->n_waits;
	if (!s->n_waits)
		return;
	qsort(s->waits_ms, s->n_waits, sizeof(*s->waits_ms), compare_waits);
	t->p50_ms = s->waits_ms[s->n_waits / 2];
	t->p99_ms = s->waits_ms[s->n_waits * 99 / 100];
}

static void finish(struct farm_state *s)
{
	size_t before;

	for (int i = s->farm->n_cold; i < s->q.n_streams; i++)
		if (s->q.streams[i])
			free(s->q.streams[i]->user);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	queue_finish(&s->q);
	s->times->queue_bytes = (int64_t)(before - mallinfo2().uordblks - mallinfo2().hblkhd);
	free(s->events);
	free(s->workers);
	free(s->asked_us);
	free(s->waits_ms);
}

int bench_count_workers(int n_cold, double title_hours, double core_s)
{
	double n = (n_cold + title_hours / 24) * core_s / BENCH_BUSY;

	if (n > BENCH_WORKERS_MAX)
		return BENCH_WORKERS_MAX;
	return n <= 1 ? 1 : (int)n + (n > (int)n);
}

int bench_simulate(const struct bench_farm *farm, struct bench_times *times, struct err *err)
{
	struct farm_state s = { .farm = farm, .times = times };
	int64_t start_us = proc_cpu_us();
	bool is_started;

	memset(times, 0, sizeof(*times));
	queue_init(&s.q);
	is_started = start(&s);
	if (is_started)
		run(&s);
	if (is_started && !s.is_out_of_memory)
		sum_up(&s);
	times->cpu_us = proc_cpu_us() - start_us;
	finish(&s);
	return is_started && !s.is_out_of_memory ? 0 : err_set(err, ERR_NOMEM, "out of memory for such a farm");
}
