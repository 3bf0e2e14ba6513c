/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim_internal.h"

#include <stdlib.h>

static void drop_ahead(struct sim *s, struct player *p)
{
	for (uint32_t i = 1; i <= p->n_ahead; i++)
		sim_want_no_more(s, p->stream, p->slot + i, QUEUE_AHEAD);
	p->n_ahead = 0;
}

static void move_on(struct sim *s, struct player *p)
{
	uint32_t chance = sim_below(s, 100);
	bool is_new = chance < 2 || p->slot + 1 >= s->streams[p->stream].n_slots;

	if (is_new)
		p->stream = (int)sim_below(s, (uint32_t)s->config->n_streams);
	p->slot = is_new || chance < 8 ? sim_below(s, s->streams[p->stream].n_slots) : p->slot + 1;
}

void sim_on_play(struct sim *s, const struct event *e)
{
	struct player *p = &s->players[e->who];
	struct slot *slot;

	if (p->serial != e->session || s->is_over)
		return;
	drop_ahead(s, p);
	move_on(s, p);
	slot = &s->streams[p->stream].slots[p->slot];
	sim_post_player(s, slot->state == UNMADE ? sim_below(s, 60000) : SEGMENT_MS, slot->state == UNMADE ? QUIT : PLAY, e->who);
	if (slot->state == UNMADE) {
		p->is_waiting = true;
		p->asked_ms = s->now_ms;
		p->next = slot->waiter;
		slot->waiter = e->who;
		sim_want(s, p->stream, p->slot, QUEUE_PLAYER);
	}
	while (!s->config->is_idle && p->n_ahead < AHEAD && p->slot + p->n_ahead + 1 < s->streams[p->stream].n_slots)
		sim_want(s, p->stream, p->slot + ++p->n_ahead, QUEUE_AHEAD);
}

/* It will not wait any longer. */
void sim_on_quit(struct sim *s, const struct event *e)
{
	struct player *p = &s->players[e->who];
	int32_t *link;

	if (p->serial != e->session || !p->is_waiting)
		return;
	link = &s->streams[p->stream].slots[p->slot].waiter;
	while (*link != e->who)
		link = &s->players[*link].next;
	*link = p->next;
	p->is_waiting = false;
	sim_want_no_more(s, p->stream, p->slot, QUEUE_PLAYER);
	drop_ahead(s, p);
	sim_post_player(s, SEGMENT_MS, PLAY, e->who);
}

/* --- streams */

static void fill_slots(struct sim *s, struct stream *stream)
{
	memset(stream->slots, 0, stream->n_slots * sizeof *stream->slots);
	for (uint32_t i = 0; i < stream->n_slots; i++)
		stream->slots[i].waiter = -1;
	s->n_unresolved += stream->n_slots;
}

void sim_add_stream(struct sim *s, uint32_t n_slots, bool is_precomputed)
{
	int n = queue_add_stream(&s->q, n_slots, false);
	struct stream *stream;

	MUST(n >= 0 && n < s->config->n_streams + CHURN);
	stream = &s->streams[n];
	stream->n_slots = n_slots;
	stream->is_precomputed = is_precomputed;
	stream->is_there = true;
	stream->n_precomputed = 0;
	stream->was_dry = !is_precomputed;
	if (!stream->slots)
		stream->slots = malloc(n_slots * sizeof *stream->slots);
	ck_assert_ptr_nonnull(stream->slots);
	fill_slots(s, stream);
	for (uint32_t i = 0; is_precomputed && i < n_slots; i++)
		sim_push(s, n, i, QUEUE_PRECOMPUTE);
}

void sim_remove_stream(struct sim *s, int n)
{
	struct stream *stream = &s->streams[n];

	for (uint32_t i = 0; i < stream->n_slots; i++) {
		struct queue_item *item = queue_in_flight(&s->q, n, i);

		s->n_unresolved -= stream->slots[i].state == UNMADE;
		s->result->n_made -= stream->slots[i].state == MADE;
		s->result->n_given_up -= stream->slots[i].state == GIVEN_UP;
		if (item)
			sim_cancel(s, item);
	}
	queue_remove_stream(&s->q, n);
	stream->generation++;
	stream->is_there = false;
}

void sim_on_churned(struct sim *s)
{
	int n = s->config->n_streams + (int)sim_below(s, CHURN);

	if (s->streams[n].is_there)
		sim_remove_stream(s, n);
	if (!s->is_over)
		sim_add_stream(s, CHURN_SLOTS, true);
	if (!s->is_over)
		sim_post(s, CHURN_MS, (struct event){ .kind = CHURNED });
}
