/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/spread.h"

#include "common/key.h"
#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 100 /* between two looks at those that have an heir */

/* ---- pure */

/* Those who are to give, and those who get, in the order of their ids: everyone comes to the same. */
static int compare_ids(const void *a, const void *b)
{
	const struct store_beacon *one = *(const struct store_beacon *const *)a, *other = *(const struct store_beacon *const *)b;

	return strcmp(one->id, other->id);
}

int64_t spread_plan(const struct store_beacon *all, int n, int me, int64_t *give)
{
	const struct store_beacon *order[SPREAD_MAX];
	int64_t sum = 0, share, left = 0, given = 0, room;
	int to = 0;

	n = n < SPREAD_MAX ? n : SPREAD_MAX;
	for (int i = 0; i < n; i++) {
		order[i] = &all[i];
		sum += all[i].n_streams;
		give[i] = 0;
	}
	if (n < 2)
		return 0;
	qsort(order, (size_t)n, sizeof(*order), compare_ids);
	share = (sum + n - 1) / n;
	room = share - order[0]->n_streams;
	for (int from = 0; from < n; from++) {
		left = order[from]->n_streams > share + share / 8 ? order[from]->n_streams - share : 0;
		while (left && to < n) {
			int64_t part = left < room ? left : room;

			if (part > 0 && order[from] == &all[me])
				give[order[to] - all] += part, given += part;
			left -= part > 0 ? part : 0;
			room -= part > 0 ? part : 0;
			if (room <= 0 && ++to < n)
				room = share - order[to]->n_streams;
		}
	}
	return given;
}

int spread_choose(const struct store_beacon *all, int n, const char *key)
{
	char best[RECORD_KEY_SIZE] = "", hash[RECORD_KEY_SIZE], text[STORE_ID_SIZE + RECORD_KEY_SIZE];
	int chosen = 0;

	for (int i = 0; i < n; i++) {
		int size = snprintf(text, sizeof(text), "%s%s", all[i].id, key);

		key_hash((struct bytes){ (const uint8_t *)text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1 }, hash);
		if (strcmp(hash, best) <= 0)
			continue;
		memcpy(best, hash, sizeof(best));
		chosen = i;
	}
	return chosen;
}

/* ---- of a dispatcher */

static bool is_driven(const struct dispatch_stream *s)
{
	return s->is_mine && !s->is_noop && s->state < DISPATCH_DONE;
}

int64_t spread_count(const struct dispatch *d)
{
	int64_t n = 0;

	for (int i = 0; i < d->n_streams; i++)
		n += is_driven(d->streams[i]) && !d->streams[i]->heir[0];
	return n;
}

int spread_tell(struct dispatch *d, struct err *err)
{
	struct store_beacon b = { 0 };

	/* What is on its way is counted here until it is gone, and told at once by who gets it: rather twice than not at all, which would
	 * look as if there were less to share. */
	for (int i = 0; i < d->n_streams; i++)
		b.n_streams += is_driven(d->streams[i]);
	memcpy(b.id, d->id, sizeof(b.id));
	memcpy(b.endpoint, d->endpoint, sizeof(b.endpoint));
	if (d->is_on_host)
		gethostname(b.host, sizeof(b.host) - 1);
	return store_put_beacon(d->store, &b, err);
}

static int find_beacon(const struct dispatch *d, const char *id)
{
	for (int i = 0; i < d->n_beacons; i++)
		if (!strcmp(d->beacons[i].id, id))
			return i;
	return -1;
}

/* It goes on here. */
static void disinherit(struct dispatch *d, struct dispatch_stream *s)
{
	struct err err;

	s->heir[0] = '\0';
	if (s->is_mine && s->state < DISPATCH_DONE)
		dispatch_take_up(d, s, &err);
}

static bool is_in_hand(const struct dispatch *d, const struct dispatch_stream *s)
{
	return d->queue.streams[s->number]->n_in_flight > 0;
}

/* Those with nothing in hand first: they go at once. */
static void name_heirs(struct dispatch *d, int64_t *give, int room)
{
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0, to = 0; i < d->n_streams && room > 0; i++) {
			struct dispatch_stream *s = d->streams[i];

			while (to < d->n_beacons && !give[to])
				to++;
			if (to == d->n_beacons)
				return;
			if (!is_driven(s) || s->heir[0] || (!pass && is_in_hand(d, s)))
				continue;
			memcpy(s->heir, d->beacons[to].id, sizeof(s->heir));
			s->heir_ms = proc_now_ms();
			give[to]--;
			room--;
		}
}

int spread_look(struct dispatch *d, struct err *err)
{
	int64_t give[SPREAD_MAX];
	int ret, me, n_leaving = 0;

	if (!d->beacons)
		d->beacons = calloc(SPREAD_MAX, sizeof(*d->beacons));
	if (!d->beacons)
		return err_set(err, ERR_NOMEM, "out of memory");
	ret = store_list_beacons(d->store, d->beacons, SPREAD_MAX, err);
	if (ret < 0)
		return ret;
	d->n_beacons = ret;
	me = find_beacon(d, d->id);
	for (int i = 0; i < d->n_streams; i++) {
		struct dispatch_stream *s = d->streams[i];
		int heir = s->heir[0] ? find_beacon(d, s->heir) : -1;

		if (s->heir[0] && (heir < 0 || !is_driven(s)))
			disinherit(d, s);
		else if (heir >= 0)
			d->beacons[heir].n_streams++, n_leaving++;
	}
	if (me < 0)
		return 0;
	d->beacons[me].n_streams = spread_count(d);
	if (spread_plan(d->beacons, d->n_beacons, me, give))
		name_heirs(d, give, SPREAD_AT_ONCE - n_leaving);
	return 0;
}

static int hand_over(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	char owner[STORE_OWNER_SIZE];
	int ret = store_own_stream(d->store, s->key, s->heir, s->owner, owner, err);

	if (ret == 1)
		cluster_give(d, s, owner);
	else if (!ret)
		ret = cluster_own(d, s, err); /* somebody else has it */
	return ret;
}

void spread_tick(struct dispatch *d, int64_t now_ms)
{
	struct err err;

	if (now_ms < d->spread_ms)
		return;
	d->spread_ms = now_ms + LOOK_MS;
	for (int i = 0; i < d->n_streams; i++) {
		struct dispatch_stream *s = d->streams[i];

		if (!s->heir[0] || !is_driven(s))
			continue;
		queue_drop_pending(&d->queue, s->number, QUEUE_AHEAD);
		if ((is_in_hand(d, s) || d->queue.streams[s->number]->n_pending) && now_ms - s->heir_ms < SPREAD_WAIT_MS)
			continue;
		if (hand_over(d, s, &err) < 0)
			dispatch_note_trouble(d, &err);
	}
}

bool spread_falls_to_us(const struct dispatch *d, const char *key)
{
	int me = find_beacon(d, d->id);

	return me < 0 || spread_choose(d->beacons, d->n_beacons, key) == me;
}

void spread_finish(struct dispatch *d)
{
	free(d->beacons);
	d->beacons = NULL;
	d->n_beacons = 0;
}
