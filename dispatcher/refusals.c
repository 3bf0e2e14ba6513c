/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/refusals.h"

#include <string.h>

static bool is_same(const struct bus_peer *a, const struct bus_peer *b)
{
	return a->size == b->size && !memcmp(a->id, b->id, a->size);
}

/* Its place; where it has none, that of the one who has been good for the longest time, with a new count. */
static int find_place(struct refusals *r, const struct bus_peer *peer)
{
	int oldest = 0;

	for (int i = 0; i < REFUSALS_PEERS; i++) {
		if (r->peers[i].since_ms && is_same(&r->peers[i].peer, peer))
			return i;
		if (r->peers[i].since_ms < r->peers[oldest].since_ms)
			oldest = i;
	}
	memset(&r->peers[oldest], 0, sizeof(r->peers[oldest]));
	r->peers[oldest].peer = *peer;
	return oldest;
}

bool refusals_is_deaf_to(const struct refusals *r, const struct bus_peer *peer, int64_t now_ms)
{
	if (r->deaf_until_ms <= now_ms)
		return false;
	for (int i = 0; i < REFUSALS_PEERS; i++)
		if (r->peers[i].deaf_until_ms > now_ms && is_same(&r->peers[i].peer, peer))
			return true;
	return false;
}

bool refusals_add(struct refusals *r, const struct bus_peer *peer, int64_t now_ms)
{
	int i = find_place(r, peer);

	if (!r->peers[i].since_ms || now_ms - r->peers[i].since_ms >= REFUSALS_MS) {
		r->peers[i].n = 0;
		r->peers[i].since_ms = now_ms;
	}
	if (++r->peers[i].n < REFUSALS_MAX)
		return false;
	r->peers[i].deaf_until_ms = r->deaf_until_ms = now_ms + REFUSALS_DEAF_MS;
	r->peers[i].since_ms = r->peers[i].deaf_until_ms; /* nobody takes its place until then, and then it begins anew */
	r->peers[i].n = 0;
	return true;
}
