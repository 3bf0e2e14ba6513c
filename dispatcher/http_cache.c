/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_cache.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SEEN_MIN 1024
#define SEEN_EACH ((size_t)256 << 10) /* bytes: a larger cache has to remember more, lest each is forgotten before it comes again */

void http_cache_init(struct http_cache *cache, size_t limit)
{
	memset(cache, 0, sizeof(*cache));
	list_init(&cache->all);
	cache->limit = limit;
	cache->n_seen = SEEN_MIN + limit / SEEN_EACH;
	cache->seen = calloc(cache->n_seen, sizeof(*cache->seen));
}

/* A segment that was made anew, with other bytes, is another one. */
static int compare(const void *left, const void *right)
{
	const struct http_cached *a = left, *b = right;
	const struct store_segment *x = &a->address, *y = &b->address;
	int text = strcmp(x->stream, y->stream);

	text = text ? text : strcmp(x->rendition, y->rendition);
	text = text ? text : strcmp(a->checksum, b->checksum);
	if (text || x->start != y->start)
		return text ? text : x->start < y->start ? -1 : 1;
	if (x->duration != y->duration)
		return x->duration < y->duration ? -1 : 1;
	return a->size < b->size ? -1 : a->size > b->size;
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
	if (list_is_linked(&c->link))
		tdelete(c, &c->cache->tree, compare);
	list_remove(&c->link);
	free_unused(c);
}

void http_cache_finish(struct http_cache *cache)
{
	while (!list_is_empty(&cache->all))
		http_cache_drop(LIST_OF(cache->all.next, struct http_cached, link));
	free(cache->seen);
}

static struct http_cached key_of(const struct store_segment *address, const struct store_commit *commit)
{
	struct http_cached key = { .address = *address, .size = (size_t)commit->bytes };

	memcpy(key.checksum, commit->checksum, sizeof(key.checksum));
	return key;
}

struct http_cached *http_cache_find(struct http_cache *cache, const struct store_segment *address, const struct store_commit *commit)
{
	const struct http_cached key = key_of(address, commit);
	void *found = tfind(&key, &cache->tree, compare);
	struct http_cached *c = found ? *(struct http_cached **)found : NULL;

	if (!c)
		return NULL;
	list_remove(&c->link);
	list_append(&cache->all, &c->link);
	c->n_users++;
	return c;
}

bool http_cache_wants(struct http_cache *cache, const struct store_segment *a, const struct store_commit *commit)
{
	uint64_t hash = XXH3_64bits(a->stream, strlen(a->stream)), *seen;
	bool was_seen;

	hash = XXH3_64bits_withSeed(a->rendition, strlen(a->rendition), hash);
	hash = XXH3_64bits_withSeed(&a->start, sizeof(a->start), hash);
	if (!cache->seen)
		return false;
	seen = &cache->seen[hash % cache->n_seen];
	was_seen = *seen == hash;
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
	*c = key_of(address, commit);
	c->cache = cache;
	c->n_users = 1;
	if (!tsearch(c, &cache->tree, compare)) {
		free(c);
		return NULL;
	}
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
