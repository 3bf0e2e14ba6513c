/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cache: whole segments that were asked for more than once lately, in this process's memory. Who sends one needs no memory of its own
 * for it, however slow the client: it is sent from here, and stays until the last one is through. Pure.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_CACHE_H
#define SEGFARM_DISPATCHER_HTTP_CACHE_H

#include "common/store.h"
#include "dispatcher/list.h"

#define HTTP_CACHE_SEGMENT_MAX (32 << 20) /* bytes; to load a larger one would hold up the loop */

struct http_cache {
	struct list all;              /* the one that was asked for last is last */
	void *tree;                   /* the same, by what they are: of tsearch */
	size_t bytes, limit, n_seen;
	uint64_t *seen;               /* segments that were asked for, as far as they are remembered */
};

struct http_cached {
	struct list link;             /* alone: it was dropped */
	struct http_cache *cache;
	struct store_segment address;
	char checksum[17];
	size_t size;
	int n_users;
	uint8_t data[];
};

void http_cache_init(struct http_cache *cache, size_t limit); /* bytes; without memory it stays empty */
void http_cache_finish(struct http_cache *cache); /* there are no users any more */

/* The segment, for a user more; NULL: it is not there. */
struct http_cached *http_cache_find(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit);
/* Whether it should be put there now: it was asked for before. */
bool http_cache_wants(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit);
/* Room for it, with one user, who fills in all bytes (or drops it); NULL: there is none, for so much is being sent. */
struct http_cached *http_cache_add(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit);
/* Nobody finds it any more. */
void http_cache_drop(struct http_cached *c);
/* A user is through with it. */
void http_cache_release(void *cached);

#endif
