/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim_internal.h"

#include "tests/dispatcher/queue_check.h"

#include <stdlib.h>
#include <string.h>

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
		sim_add_stream(s, (uint32_t)c->n_slots, !c->is_idle && i % 10 != 3);
	for (int i = 0; i < c->n_workers; i++) {
		s->workers[i].number = -1;
		sim_post(s, sim_below(s, 1000), (struct event){ .kind = HELLO, .who = i });
	}
	for (int i = 0; i < c->n_players; i++)
		sim_post_player(s, sim_below(s, 2 * SEGMENT_MS), PLAY, i);
	if (!c->has_faults || c->is_idle)
		return;
	for (int i = 0; i < CHURN; i++)
		sim_add_stream(s, CHURN_SLOTS, true);
	sim_post(s, CHURN_MS, (struct event){ .kind = CHURNED });
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
		[JOB_END] = sim_on_job_end, [JOB_STOP] = sim_on_job_stop, [WORKER_DIES] = sim_on_worker_dies,
		[CONNECTION_CUT] = sim_on_connection_cut, [CANCEL] = sim_on_cancel, [DONE] = sim_on_done,
		[DONE_AGAIN] = sim_on_done, [FAILED] = sim_on_failed, [DIED] = sim_on_died,
		[SILENT] = sim_on_silent, [HELLO] = sim_on_hello, [PLAY] = sim_on_play,
		[QUIT] = sim_on_quit,
	};

	if (e->kind == CHURNED)
		sim_on_churned(s);
	else
		on[e->kind](s, e);
	if (e->kind == DONE || e->kind == FAILED)
		sim_on_ready(s, e);
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
				sim_push(s, i, k, QUEUE_PRECOMPUTE);
	}
}

static void forgive(struct sim *s)
{
	s->was_forgiven = true;
	queue_forgive(&s->q, s->now_ms);
	for (int i = 0; i < s->config->n_streams + CHURN; i++)
		for (uint32_t k = 0; s->streams[i].slots && k < s->streams[i].n_slots; k++)
			s->streams[i].slots[k].n_retried = 0;
}

/* The next thing that happens, or the next time that the queue names. */
static void step(struct sim *s)
{
	int64_t next_ms = queue_next_ms(&s->q);

	if (s->n_events && s->events[0].at_ms <= next_ms) {
		struct event e = sim_take_event(s);

		s->now_ms = e.at_ms;
		happen(s, &e);
	} else {
		MUST(next_ms < INT64_MAX && next_ms >= s->now_ms); /* else it would wait, or turn, for ever */
		s->now_ms = next_ms;
	}
	if (!s->was_forgiven && s->now_ms >= STORE_UP_MS)
		forgive(s);
	sim_fail_overdue(s);
	sim_give_all(s);
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
					sim_remove_stream(s, i);
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
