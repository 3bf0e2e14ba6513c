/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_it.h"

#include "tests/dispatcher/queue_check.h"

struct it on;

void it_set_up(void)
{
	queue_init(&on.q);
	on.now_ms = 0;
}

void it_tear_down(void)
{
	queue_check(&on.q);
	queue_finish(&on.q);
}

int it_add_stream(uint32_t n_slots, enum queue_class class)
{
	int stream = queue_add_stream(&on.q, n_slots, false);

	for (uint32_t i = 0; i < n_slots; i++)
		ck_assert_int_eq(queue_push(&on.q, stream, i, class, on.now_ms), 1);
	return stream;
}

int it_add_worker(int credits)
{
	int worker = queue_add_worker(&on.q);

	queue_add_credits(&on.q, worker, credits);
	return worker;
}

void it_push(int stream, uint32_t slot, enum queue_class class)
{
	ck_assert_int_eq(queue_push(&on.q, stream, slot, class, on.now_ms), 1);
	queue_check(&on.q);
}

static struct queue_item *give(int wanted)
{
	struct queue_item *item = NULL;

	ck_assert_int_eq(queue_give(&on.q, on.now_ms, &item), wanted);
	queue_check(&on.q);
	return item;
}

struct queue_item *it_give(void)
{
	return give(1);
}

struct queue_item *it_give_preempting(void)
{
	return give(2);
}

void it_give_none(void)
{
	give(0);
}

struct queue_item *it_job(int stream, uint32_t slot)
{
	struct queue_item *item = queue_in_flight(&on.q, stream, slot);

	ck_assert_ptr_nonnull(item);
	return item;
}

void it_done(struct queue_item *item)
{
	queue_done(&on.q, item, on.now_ms);
	queue_check(&on.q);
}

void it_fail(struct queue_item *item, enum queue_failure failure, bool again, int attempts)
{
	int n = -1;

	ck_assert_int_eq(queue_fail(&on.q, item, failure, on.now_ms, &n), again);
	ck_assert_int_eq(n, attempts);
	queue_check(&on.q);
}
