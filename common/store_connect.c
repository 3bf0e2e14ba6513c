/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is connected to.
 */
#include "common/store_internal.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX_DEFAULT "segfarm:"

void store_turn_to(struct store *s, int node)
{
	s->at = node;
	s->c = s->nodes[node];
	if (s->map)
		s->here = &s->map->nodes[node];
}

int store_n_nodes(const struct store *s)
{
	return s->map ? s->map->n : 1;
}

int store_node_of(const struct store *s, const char *key)
{
	return s->map ? s->map->of[store_slot(key)] : 0;
}

static int connect_here(struct store *s, struct err *err)
{
	int rc;

	if (s->c)
		return 0;
	switch (s->url.kind) {
	case STORE_UNIX:
		rc = store_connect_to(s, NULL, false, err);
		break;
	case STORE_TCP:
		rc = store_connect_to(s, &s->url.hosts[0], false, err);
		break;
	case STORE_SENTINEL:
		rc = store_sentinel_connect(s, err);
		break;
	default:
		rc = store_connect_to(s, &s->map->nodes[s->at], false, err);
	}
	s->generation += !rc;
	if (!rc && s->state->pair == STORE_PAIR_KNOWN)
		s->state->pair = STORE_PAIR_UNKNOWN;
	return rc;
}

static int turn(struct store *s, const char *key, struct err *err)
{
	int node = 0, rc = 0;

	s->redirect.kind = STORE_STAYS;
	if (s->url.kind == STORE_CLUSTER) {
		rc = store_cluster_load(s, err);
		if (rc)
			return rc;
		node = key ? store_node_of(s, key) : s->asked;
		if (node == STORE_NOWHERE) {
			s->troubles++;
			s->is_stale = true;
			return err_set(err, ERR_RETRY, "no node of the cluster at %s has the slot %u", s->name, store_slot(key));
		}
		store_turn_to(s, node);
	}
	return connect_here(s, err);
}

int store_turn(struct store *s, const char *key, struct err *err)
{
	int rc = turn(s, key, err);

	if (rc || s->state->pair != STORE_PAIR_UNKNOWN)
		return rc;
	rc = store_check_pair(s->state, err);
	s->redirect.kind = STORE_STAYS; /* of what was asked for that */
	return rc ? rc : turn(s, key, err);
}

/* Not connected; NULL: no memory. */
static struct store *create(const struct store_url *url, int timeout_ms)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->state = s->data = s;
	s->url = *url;
	s->timeout_ms = timeout_ms;
	s->prefix = PREFIX_DEFAULT;
	store_url_name(&s->url, s->name);
	s->hash = XXH3_createState();
	if (!s->hash) {
		free(s);
		return NULL;
	}
	return s;
}

static void destroy(struct store *s)
{
	for (int i = 0; i < store_n_nodes(s); i++) {
		store_turn_to(s, i);
		store_disconnect(s);
	}
	XXH3_freeState(s->hash);
	free(s->map);
	explicit_bzero(&s->url, sizeof(s->url));
	free(s);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->data != s)
		destroy(s->data);
	destroy(s);
}

int store_open(struct store **store, const char *url, int timeout_ms, struct err *err)
{
	struct store_url urls[STORE_URLS_MAX];
	struct store *s = NULL, *data;
	int n = store_urls_read(urls, url, err), rc = n < 0 ? n : 0;

	*store = NULL;
	if (!rc) {
		s = create(&urls[0], timeout_ms);
		data = n > 1 && s ? create(&urls[1], timeout_ms) : s;
		if (!data)
			rc = err_set(err, ERR_NOMEM, "no memory for a connection to Redis");
		else if (data != s) {
			s->data = data;
			data->state = s;
		}
	}
	explicit_bzero(urls, sizeof(urls));
	if (!rc)
		rc = store_turn(s, NULL, err);
	if (!rc)
		rc = store_turn(s->data, NULL, err);
	if (rc)
		store_close(s);
	else
		*store = s;
	return rc;
}

int store_turn_node(struct store *s, int node, struct err *err)
{
	store_turn_to(s, node);
	return connect_here(s, err);
}

/* Of a cluster: who is the master of what, and whether all of them answer. */
static int ping(struct store *s, struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = 0;

	s->is_stale = true;
	for (int i = 0; !rc && (!i || i < store_n_nodes(s)); i++) {
		rc = i ? 0 : store_turn(s, NULL, err);
		if (!rc)
			rc = store_turn_node(s, i, err);
		if (!rc)
			rc = store_ask(s, &reply, err, "PING");
		if (!rc)
			freeReplyObject(reply);
	}
	/* what a cluster that is down refuses */
	store_common_key(s, key, "streams", "");
	return rc || !s->map ? rc : store_do(s, key, err, "EXISTS %s", key);
}

int store_ping(struct store *s, struct err *err)
{
	int rc = ping(s, err);

	if (rc || s->data == s)
		return rc;
	rc = ping(s->data, err);
	return rc ? rc : store_check_pair(s, err);
}

unsigned store_troubles(const struct store *s)
{
	return s->troubles + (s->data != s ? s->data->troubles : 0);
}

unsigned store_generation(const struct store *s)
{
	return s->generation + (s->data != s ? s->data->generation : 0);
}

static void set_timeout(struct store *s, int timeout_ms)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	s->timeout_ms = timeout_ms;
	for (int i = 0; i < store_n_nodes(s); i++)
		if (s->nodes[i])
			redisSetTimeout(s->nodes[i], tv);
}

void store_set_timeout(struct store *s, int timeout_ms)
{
	set_timeout(s, timeout_ms);
	if (s->data != s)
		set_timeout(s->data, timeout_ms);
}

void store_set_prefix(struct store *s, const char *prefix)
{
	s->prefix = s->data->prefix = prefix;
}
