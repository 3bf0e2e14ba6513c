/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/want.h"

#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/stream.h"

#include <stdlib.h>

struct player {
	struct list link;    /* in its stream's list; the one seen last is last */
	uint64_t number;
	size_t rendition;    /* a player of several is one in each of them */
	size_t from, to;     /* segments that are made ahead for it: [from, to), counted through as in plan_count */
	int64_t seen_ms;
};

static bool is_waited_for(const struct dispatch_stream *s, uint32_t slot)
{
	for (const struct list *l = s->wants.next; l != &s->wants; l = l->next)
		if (LIST_OF(l, const struct want, link)->slot == slot)
			return true;
	return false;
}

static bool is_ahead(const struct dispatch_stream *s, size_t segment)
{
	for (const struct list *l = s->players.next; l != &s->players; l = l->next) {
		const struct player *p = LIST_OF(l, const struct player, link);

		if (segment >= p->from && segment < p->to)
			return true;
	}
	return false;
}

/* Somebody wants it no more: what is left of its class? */
static void reconsider(struct dispatch *d, struct dispatch_stream *s, uint32_t slot)
{
	struct queue_item *item;

	if (!s->is_mine || is_waited_for(s, slot))
		return;
	if (!slot || is_ahead(s, slot - 1)) {
		queue_lower(&d->queue, s->number, slot, QUEUE_AHEAD, proc_now_ms());
	} else if (!s->is_on_demand) {
		queue_lower(&d->queue, s->number, slot, QUEUE_PRECOMPUTE, proc_now_ms());
	} else {
		item = queue_drop(&d->queue, s->number, slot);
		if (item && !item->is_cancelled)
			dispatch_cancel(d, item);
	}
}

static bool is_missing(const struct dispatch_stream *s, uint32_t slot)
{
	return slot ? s->has_plan && slot <= plan_count(&s->plan) && s->segments[slot - 1] == DISPATCH_MISSING : !s->has_plan;
}

/* --- waiting */

int want_begin(struct dispatch *d, struct want *w, struct err *err)
{
	if (d->n_wants == WANTS_MAX)
		return err_set(err, ERR_LIMIT, "too many requests wait (%d)", WANTS_MAX);
	if (w->stream->is_mine && is_missing(w->stream, w->slot) && dispatch_push(d, w->stream, w->slot, QUEUE_PLAYER, err) < 0)
		return err->code;
	list_append(&w->stream->wants, &w->link);
	d->n_wants++;
	if (!w->stream->is_mine)
		cluster_want(d, w->stream, w->slot);
	return 0;
}

static void take_out(struct dispatch *d, struct want *w)
{
	list_remove(&w->link);
	d->n_wants--;
}

void want_end(struct dispatch *d, struct want *w)
{
	if (!list_is_linked(&w->link))
		return;
	take_out(d, w);
	reconsider(d, w->stream, w->slot);
}

/* on_end may begin a want anew: only those that wait now. */
static void settle(struct dispatch *d, struct dispatch_stream *s, bool is_all, uint32_t slot)
{
	struct list ended;

	list_init(&ended);
	for (struct list *l = s->wants.next, *next; l != &s->wants; l = next) {
		struct want *w = LIST_OF(l, struct want, link);

		next = l->next;
		if (!is_all && w->slot != slot)
			continue;
		take_out(d, w);
		list_append(&ended, &w->link);
	}
	while (!list_is_empty(&ended)) {
		struct want *w = LIST_OF(ended.next, struct want, link);

		list_remove(&w->link);
		w->on_end(w);
	}
}

void want_settle(struct dispatch *d, struct dispatch_stream *s, uint32_t slot)
{
	settle(d, s, false, slot);
}

void want_settle_all(struct dispatch *d, struct dispatch_stream *s)
{
	settle(d, s, true, 0);
}

int want_queue(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	for (const struct list *l = s->wants.next; l != &s->wants; l = l->next) {
		uint32_t slot = LIST_OF(l, const struct want, link)->slot;

		if (is_missing(s, slot) && dispatch_push(d, s, slot, QUEUE_PLAYER, err) < 0)
			return err->code;
	}
	return 0;
}

/* --- reading ahead */

static void forget_player(struct dispatch *d, struct dispatch_stream *s, struct player *p)
{
	list_remove(&p->link);
	s->n_players--;
	for (size_t i = p->from; i < p->to && i < plan_count(&s->plan); i++)
		reconsider(d, s, (uint32_t)i + 1);
	free(p);
}

/* At the end of the list; NULL: no memory. */
static struct player *find_player(struct dispatch *d, struct dispatch_stream *s, uint64_t number, size_t rendition)
{
	struct player *p = NULL;

	for (struct list *l = s->players.next; l != &s->players; l = l->next)
		if (LIST_OF(l, struct player, link)->number == number && LIST_OF(l, struct player, link)->rendition == rendition)
			p = LIST_OF(l, struct player, link);
	if (p) {
		list_remove(&p->link);
	} else {
		if (s->n_players == WANT_PLAYERS_MAX)
			forget_player(d, s, LIST_OF(s->players.next, struct player, link));
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->number = number;
		p->rendition = rendition;
		s->n_players++;
	}
	list_append(&s->players, &p->link);
	return p;
}

void want_follow(struct dispatch *d, struct dispatch_stream *s, uint64_t number, size_t segment)
{
	size_t rendition = segment / s->plan.n_segments, end = (rendition + 1) * s->plan.n_segments, from, to;
	struct player *p = s->is_mine ? find_player(d, s, number, rendition) : NULL;
	struct err err;

	if (!s->is_mine)
		cluster_follow(d, s, number, (uint32_t)segment + 1);
	if (!p)
		return;
	from = p->from;
	to = p->to;
	p->seen_ms = proc_now_ms();
	p->from = segment + 1;
	p->to = end - p->from < (size_t)d->read_ahead ? end : p->from + (size_t)d->read_ahead;
	for (size_t i = p->from; i < p->to; i++)
		if (is_missing(s, (uint32_t)i + 1) && dispatch_push(d, s, (uint32_t)i + 1, QUEUE_AHEAD, &err) < 0)
			return; /* it will be asked for, and made then */
	for (size_t i = from; i < to; i++)
		if ((i < p->from || i >= p->to) && i != segment && i < plan_count(&s->plan))
			reconsider(d, s, (uint32_t)i + 1);
}

void want_tick(struct dispatch *d, int64_t now_ms)
{
	for (int i = 0; i < d->n_streams; i++)
		while (!list_is_empty(&d->streams[i]->players)) {
			struct player *p = LIST_OF(d->streams[i]->players.next, struct player, link);

			if (now_ms - p->seen_ms < WANT_PLAYER_MS)
				break;
			forget_player(d, d->streams[i], p);
		}
}

void want_finish(struct dispatch_stream *s)
{
	while (!list_is_empty(&s->players)) {
		struct player *p = LIST_OF(s->players.next, struct player, link);

		list_remove(&p->link);
		free(p);
	}
}
