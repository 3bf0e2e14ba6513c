/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue_internal.h"

/* Groups are bits of a set: there are 16. */
typedef uint32_t groups;

static groups able_groups(const struct queue *q, const struct queue_lane *lane)
{
	groups able = 0;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (q->groups[i].n && queue_may(lane, &q->groups[i]))
			able |= (groups)1 << i;
	return able;
}

/* Of these groups; those without a GPU first, which others may have more use for. */
static struct queue_worker *first_free(const struct queue *q, groups able, int load)
{
	struct queue_worker *with_gpu = NULL;

	for (int i = 0; able >> i; i++) {
		const struct queue_group *g = &q->groups[i];

		if (!(able >> i & 1) || list_is_empty(&g->free[load]))
			continue;
		if (!g->has.is_gpu)
			return LIST_OF(g->free[load].next, struct queue_worker, free);
		with_gpu = LIST_OF(g->free[load].next, struct queue_worker, free);
	}
	return with_gpu;
}

static struct queue_worker *last_preemptible(const struct queue *q, groups able)
{
	for (int i = 0; able >> i; i++)
		if (able >> i & 1 && !list_is_empty(&q->groups[i].preemptible))
			return LIST_OF(q->groups[i].preemptible.prev, struct queue_worker, preemptible);
	return NULL;
}

/* Where a job of the class may go, before it is known which; NULL: nowhere. */
static struct queue_worker *find_worker(const struct queue *q, groups able, enum queue_class class)
{
	struct queue_worker *w = first_free(q, able, 0);

	if (!w && class != QUEUE_PLAYER)
		w = first_free(q, able, 1);
	else if (!w)
		w = last_preemptible(q, able);
	return w;
}

static uint64_t turn_of(const struct queue_lane *lane, enum queue_class class)
{
	return LIST_OF(lane->turns[class].next, const struct queue_stream, turn[class])->turn_at[class];
}

/* What needs a GPU, where not all workers have one; else whose turn it is. */
static bool is_before(const struct queue *q, const struct queue_lane *a, const struct queue_lane *b, enum queue_class class)
{
	if (a->needs.is_gpu != b->needs.is_gpu && queue_count_able(q, a) != queue_count_able(q, b))
		return a->needs.is_gpu;
	return turn_of(a, class) < turn_of(b, class);
}

/* A worker for a job of the class, none of those that are kept for a higher one, and the lane that the job is in. NULL: none; those who
 * might do what is pending are kept for it from here on. */
static struct queue_worker *choose(const struct queue *q, enum queue_class class, groups *kept, const struct queue_lane **lane)
{
	struct queue_worker *chosen = NULL;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++) {
		const struct queue_lane *l = &q->lanes[i];
		struct queue_worker *w;
		groups able;

		if (!l->n_pending[class])
			continue;
		able = able_groups(q, l);
		w = find_worker(q, able & ~*kept, class);
		if (!w) {
			*kept |= able;
		} else if (!chosen || is_before(q, l, *lane, class)) {
			chosen = w;
			*lane = l;
		}
	}
	return chosen;
}

static void take_turn(struct queue *q, struct queue_stream *s, enum queue_class class)
{
	list_remove(&s->turn[class]);
	queue_append_turn(q, s, class);
}

/* The stream whose turn it is; those that were served before their turn wait one for each time. */
static struct queue_stream *next_turn(struct queue *q, const struct queue_lane *lane, enum queue_class class)
{
	for (;;) {
		struct queue_stream *s = LIST_OF(lane->turns[class].next, struct queue_stream, turn[class]);

		if (!s->lead[class])
			return s;
		s->lead[class]--;
		take_turn(q, s, class);
	}
}

/* The worker's own stream, if it is not too far ahead, or the one whose turn it is. */
static struct queue_stream *find_stream(struct queue *q, const struct queue_lane *lane, enum queue_class class, const struct queue_worker *w,
					bool *is_ahead)
{
	struct queue_stream *last = w->last;

	*is_ahead = last && &q->lanes[last->lane] == lane && !list_is_empty(&last->pending[class]) && last->lead[class] < QUEUE_LEAD &&
		    lane->turns[class].next != &last->turn[class];
	return *is_ahead ? last : next_turn(q, lane, class);
}

/* Of the item's build, whatever else it has: what one with a GPU has failed at, another may do without. */
static struct queue_worker *free_but(const struct queue *q, const struct queue_item *item, groups kept, int load, int number)
{
	for (int i = 0; i < QUEUE_PLACES_MAX; i++) {
		const struct list *head = &q->groups[i].free[load];
		struct list *link = head->next;

		if (kept >> i & 1 || !queue_is_of_build(&q->lanes[item->stream->lane], &q->groups[i]))
			continue;
		if (link != head && LIST_OF(link, struct queue_worker, free)->number == number)
			link = link->next;
		if (link != head)
			return LIST_OF(link, struct queue_worker, free);
	}
	return NULL;
}

/* Another than the one that has failed at it, or NULL. */
static struct queue_worker *other_worker(const struct queue *q, const struct queue_item *item, groups kept, const struct queue_worker *w)
{
	const struct list *preemptible = &q->groups[w->group].preemptible;
	struct queue_worker *other;

	if (item->class == QUEUE_PLAYER && w->n_jobs)
		return w->preemptible.prev == preemptible ? NULL : LIST_OF(w->preemptible.prev, struct queue_worker, preemptible);
	other = free_but(q, item, kept, w->load, w->number);
	if (!other && !w->load && item->class != QUEUE_PLAYER)
		other = free_but(q, item, kept, 1, w->number);
	return other;
}

static bool has_other(const struct queue *q, const struct queue_item *item)
{
	int n = 0;

	for (int i = 0; i < QUEUE_PLACES_MAX; i++)
		if (queue_is_of_build(&q->lanes[item->stream->lane], &q->groups[i]))
			n += q->groups[i].n;
	return n > 1;
}

/* As good a worker as `w`, but one that had the item's stream last, and not the one that failed at it; none that is kept. NULL: that one
 * is the only one that is free. */
static struct queue_worker *better_worker(const struct queue *q, const struct queue_item *item, groups kept, struct queue_worker *w)
{
	bool is_preempting = item->class == QUEUE_PLAYER && w->n_jobs;

	if (!is_preempting && w->last != item->stream && !list_is_empty(&item->stream->affine)) {
		struct queue_worker *affine = LIST_OF(item->stream->affine.next, struct queue_worker, affine);

		if (affine->load <= w->load && !(kept >> affine->group & 1) && queue_may(&q->lanes[item->stream->lane], &q->groups[affine->group]))
			w = affine;
	}
	return w->number == item->refused_by && has_other(q, item) ? other_worker(q, item, kept, w) : w;
}

/* A lower class that has been passed by too often goes first; then the highest. While a player waits for a worker, nothing else is
 * put before it at those that might be it: they are kept. */
static struct queue_worker *next_worker(const struct queue *q, enum queue_class *class, groups *kept, const struct queue_lane **lane)
{
	struct queue_worker *w = NULL;

	for (enum queue_class c = QUEUE_CLASSES; !w && c-- > QUEUE_AHEAD;) {
		*class = c;
		*kept = 0;
		if (q->n_pending[c] && q->passed[c] >= QUEUE_FLOOR)
			w = choose(q, c, kept, lane);
	}
	if (w)
		return w;
	*kept = 0;
	for (enum queue_class c = QUEUE_PLAYER; !w && c < QUEUE_CLASSES; c++) {
		*class = c;
		if (q->n_pending[c])
			w = choose(q, c, kept, lane);
	}
	return w;
}

struct queue_worker *queue_take_next(struct queue *q, int64_t now_ms, struct queue_item **item)
{
	for (;;) {
		const struct queue_lane *lane;
		enum queue_class class;
		groups kept;
		struct queue_worker *w = next_worker(q, &class, &kept, &lane);
		struct queue_stream *s;
		bool is_ahead;

		if (!w)
			return NULL;
		s = find_stream(q, lane, class, w, &is_ahead);
		*item = ITEM_AFTER(&s->pending[class]);
		w = better_worker(q, *item, kept, w);
		if (w && is_ahead)
			s->lead[class]++;
		else if (w)
			take_turn(q, s, class);
		queue_leave_pending(q, *item);
		if (w)
			return w;
		queue_wait_until(q, *item, now_ms + QUEUE_BACKOFF_MIN_MS); /* for another than the one that failed at it */
	}
}

void queue_count_passed(struct queue *q, enum queue_class class)
{
	q->passed[class] = 0;
	for (int c = (int)class + 1; c < QUEUE_CLASSES; c++)
		q->passed[c] += q->n_pending[c] > 0;
}

bool queue_clear_way(struct queue_item *item)
{
	bool is_any = false;

	for (struct list *l = item->worker->jobs.next; l != &item->link; l = l->next) {
		struct queue_item *before = LIST_OF(l, struct queue_item, link);

		if (!queue_is_fixed(before))
			before->is_cancelled = is_any = true;
	}
	return is_any;
}
