/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Places: which workers may do the jobs of which streams.
 */
#include "dispatcher/queue_internal.h"

#include <string.h>

void queue_places_init(struct queue *q)
{
	for (int i = 0; i < QUEUE_PLACES_MAX; i++) {
		for (int c = 0; c < QUEUE_CLASSES; c++)
			list_init(&q->lanes[i].turns[c]);
		list_init(&q->groups[i].free[0]);
		list_init(&q->groups[i].free[1]);
		list_init(&q->groups[i].preemptible);
	}
}

bool queue_is_of_build(const struct queue_lane *lane, const struct queue_group *group)
{
	return !lane->needs.build[0] || !strcmp(lane->needs.build, group->has.build);
}

bool queue_may(const struct queue_lane *lane, const struct queue_group *group)
{
	return queue_is_of_build(lane, group) && (!lane->needs.is_gpu || lane->is_waived || group->has.is_gpu);
}

int queue_count_able(const struct queue *q, const struct queue_lane *lane)
{
	int n = 0;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (queue_may(lane, &q->groups[i]))
			n += q->groups[i].n;
	return n;
}

void queue_waive(struct queue *q, int64_t now_ms)
{
	for (int i = 0; i < QUEUE_PLACES_MAX; i++) {
		struct queue_lane *lane = &q->lanes[i];

		if (!lane->n || !lane->needs.is_gpu)
			continue;
		lane->is_waived = false;
		if (queue_count_able(q, lane))
			lane->able_ms = now_ms;
		lane->is_waived = now_ms - lane->able_ms >= QUEUE_PLACE_MS;
	}
}

static bool is_same(const struct queue_place *a, const struct queue_place *b)
{
	return a->is_gpu == b->is_gpu && !strcmp(a->build, b->build);
}

/* Of a new place, or one that nobody has any more; the first is nobody's to take. */
static int find_group(const struct queue *q, const struct queue_place *has)
{
	int room = -1;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (is_same(&q->groups[i].has, has) && (!i || q->groups[i].n))
			return i;
		else if (i && !q->groups[i].n)
			room = i;
	return room;
}

static int find_lane(const struct queue *q, const struct queue_place *needs)
{
	int room = -1;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (is_same(&q->lanes[i].needs, needs) && (!i || q->lanes[i].n))
			return i;
		else if (i && !q->lanes[i].n)
			room = i;
	return room;
}

bool queue_set_has(struct queue *q, int worker, const struct queue_place *has)
{
	struct queue_worker *w = q->workers[worker];
	int i = find_group(q, has);

	if (i < 0)
		return false;
	q->groups[w->group].n--;
	q->groups[i].has = *has;
	q->groups[i].n++;
	w->group = (int8_t)i;
	return true;
}

/* Its turns come last, and through all lanes. */
static void move_turns(struct queue *q, struct queue_stream *s, int lane)
{
	for (int c = 0; c < QUEUE_CLASSES; c++) {
		size_t n = 0;

		for (const struct list *l = s->pending[c].next; l != &s->pending[c]; l = l->next)
			n++;
		q->lanes[s->lane].n_pending[c] -= n;
		q->lanes[lane].n_pending[c] += n;
		list_remove(&s->turn[c]);
	}
	s->lane = (int8_t)lane;
	for (int c = 0; c < QUEUE_CLASSES; c++)
		if (!list_is_empty(&s->pending[c]))
			queue_append_turn(q, s, (enum queue_class)c);
}

bool queue_set_needs(struct queue *q, int stream, const struct queue_place *needs, int64_t now_ms)
{
	struct queue_stream *s = q->streams[stream];
	int i = find_lane(q, needs);

	if (i < 0)
		return false;
	if (i == s->lane)
		return true;
	if (!q->lanes[i].n) {
		q->lanes[i].needs = *needs;
		q->lanes[i].able_ms = now_ms;
		q->lanes[i].is_waived = false;
	}
	q->lanes[s->lane].n--;
	q->lanes[i].n++;
	move_turns(q, s, i);
	return true;
}

bool queue_has_build(const struct queue *q, int stream)
{
	const struct queue_lane *lane = &q->lanes[q->streams[stream]->lane];

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (q->groups[i].n && queue_is_of_build(lane, &q->groups[i]))
			return true;
	return false;
}
