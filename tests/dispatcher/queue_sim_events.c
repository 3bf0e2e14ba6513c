/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim_internal.h"

#include <math.h>
#include <stdlib.h>

uint64_t sim_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t next_random(struct sim *s)
{
	return sim_mix(s->random += 0x9e3779b97f4a7c15);
}

uint32_t sim_below(struct sim *s, uint32_t n)
{
	return (uint32_t)((next_random(s) >> 32) * n >> 32);
}

double sim_fraction(struct sim *s)
{
	return (double)(next_random(s) >> 11) / 9007199254740992.0;
}

int64_t sim_job_ms(struct sim *s)
{
	double gauss = sqrt(-2 * log(1 - sim_fraction(s))) * cos(6.283185307179586 * sim_fraction(s));

	return 1 + (int64_t)(JOB_MS * exp(s->config->sigma * gauss));
}

/* --- events */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : (int32_t)(a->order - b->order) < 0;
}

void sim_post(struct sim *s, int64_t in_ms, struct event e)
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

struct event sim_take_event(struct sim *s)
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

void sim_post_worker(struct sim *s, int64_t in_ms, enum kind kind, int w, int64_t job, enum fate fate)
{
	sim_post(s, in_ms, (struct event){ .kind = kind, .who = w, .session = s->workers[w].session, .job = job, .fate = fate });
}
