/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_cache.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void http_cache_init(struct http_cache *cache, size_t limit)
{
	memset(cache, 0, sizeof(*cache));
	list_init(&cache->all);
	cache->limit = limit;
}

static void free_unused(struct http_cached *c)
{
	if (c->n_users || list_is_linked(&c->link))
		return;
	c->cache->bytes -= c->size;
	free(c);
}

void http_cache_drop(struct http_cached *c)
{
	list_remove(&c->link);
	free_unused(c);
}

void http_cache_finish(struct http_cache *cache)
{
	while (!list_is_empty(&cache->all))
		http_cache_drop(LIST_OF(cache->all.next, struct http_cached, link));
}

static bool is_it(const struct http_cached *c, const struct store_segment *a, const struct store_commit *commit)
{
	return c->address.start == a->start && c->address.duration == a->duration && !strcmp(c->address.stream, a->stream) &&
	       !strcmp(c->address.rendition, a->rendition) && c->size == (size_t)commit->bytes && !strcmp(c->checksum, commit->checksum);
}

struct http_cached *http_cache_find(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit)
{
	for (struct list *l = cache->all.prev; l != &cache->all; l = l->prev) {
		struct http_cached *c = LIST_OF(l, struct http_cached, link);

		if (!is_it(c, address, commit))
			continue;
		list_remove(&c->link);
		list_append(&cache->all, &c->link);
		c->n_users++;
		return c;
	}
	return NULL;
}

bool http_cache_wants(struct http_cache *cache, const struct store_segment *a, const struct store_commit *commit)
{
	uint64_t hash = XXH3_64bits(a->stream, strlen(a->stream)) ^ XXH3_64bits(a->rendition, strlen(a->rendition)) ^
			XXH3_64bits(&a->start, sizeof(a->start)), *seen = &cache->seen[hash % HTTP_CACHE_SEEN];
	bool was_seen = *seen == hash;

	*seen = hash;
	return was_seen && commit->bytes <= HTTP_CACHE_SEGMENT_MAX && (size_t)commit->bytes <= cache->limit / 2;
}

struct http_cached *http_cache_add(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit)
{
	size_t size = (size_t)commit->bytes;
	struct http_cached *c;

	for (struct list *l = cache->all.next, *next; l != &cache->all && cache->bytes + size > cache->limit; l = next) {
		next = l->next;
		c = LIST_OF(l, struct http_cached, link);
		if (!c->n_users) /* to drop one that is being sent would give no room */
			http_cache_drop(c);
	}
	c = cache->bytes + size <= cache->limit ? malloc(sizeof(*c) + size) : NULL;
	if (!c)
		return NULL;
	*c = (struct http_cached){ .cache = cache, .address = *address, .size = size, .n_users = 1 };
	memcpy(c->checksum, commit->checksum, sizeof(c->checksum));
	list_append(&cache->all, &c->link);
	cache->bytes += size;
	return c;
}

void http_cache_release(void *cached)
{
	struct http_cached *c = cached;

	c->n_users--;
	free_unused(c);
}
