/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/queue_internal.h"

#include "common/err.h"

#include <stdlib.h>

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

void queue_clock_add(struct queue *q, struct queue_item *item)
{
	ASSERT(item->clock < 0 && q->n_clock < q->clock_size);
	clock_up(q, q->n_clock++, item);
}

void queue_clock_remove(struct queue *q, struct queue_item *item)
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

bool queue_clock_reserve(struct queue *q, size_t n)
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
