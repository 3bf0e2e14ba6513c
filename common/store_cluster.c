/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Redis Cluster: the map of slots, and redirections. Masters are connected when they are first needed. The map is asked for anew when a
 * connection is lost or a slot is nowhere; a MOVED corrects it for its slot.
 */
#include "common/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 20 /* for a slot on its way; before each of the tries of store_command.c */

/* --- the map */

/* An array of first slot, last slot, master (an array of host and port, and more), replicas. */
static bool read_range(struct store_map *map, const redisReply *r, const char *host)
{
	const redisReply *master = r->type == REDIS_REPLY_ARRAY && r->elements >= 3 ? r->element[2] : NULL;
	struct store_address a = { .port = 0 };

	if (!master || r->element[0]->type != REDIS_REPLY_INTEGER || r->element[1]->type != REDIS_REPLY_INTEGER ||
	    master->type != REDIS_REPLY_ARRAY || master->elements < 2 || master->element[1]->type != REDIS_REPLY_INTEGER)
		return false;
	if (master->element[1]->integer < 1 || master->element[1]->integer > 65535)
		return false;
	/* no host: it is that of the one who says so; "?": it is not known */
	if (master->element[0]->type == REDIS_REPLY_STRING && master->element[0]->len)
		host = master->element[0]->str;
	if (!host[0] || strlen(host) >= sizeof(a.host) || !strcmp(host, "?"))
		return false;
	strcpy(a.host, host);
	a.port = (int)master->element[1]->integer;
	return store_map_assign(map, r->element[0]->integer, r->element[1]->integer, &a);
}

int store_cluster_read(struct store_map *map, const redisReply *reply, const char *host, struct err *err)
{
	store_map_init(map);
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements > STORE_SLOTS)
		return err_set(err, ERR_DATA, "the map of the cluster cannot be read");
	for (size_t i = 0; i < reply->elements; i++)
		if (!read_range(map, reply->element[i], host))
			return err_set(err, ERR_DATA, "the map of the cluster cannot be read, or has more than %d masters", STORE_NODES_MAX);
	return map->n ? 0 : err_set(err, ERR_DATA, "the cluster has no slots yet");
}

/* Connections to nodes that have the same address in the new map are kept, the others closed. */
static void adopt(struct store *s, struct store_map *map)
{
	redisContext *nodes[STORE_NODES_MAX] = { 0 };

	for (int i = 0; s->map && i < s->map->n; i++)
		for (int k = 0; k < map->n && s->nodes[i]; k++)
			if (store_address_is(&s->map->nodes[i], &map->nodes[k])) {
				nodes[k] = s->nodes[i];
				s->nodes[i] = NULL;
			}
	for (int i = 0; s->map && i < s->map->n; i++)
		if (s->nodes[i])
			redisFree(s->nodes[i]);
	memcpy(s->nodes, nodes, sizeof(nodes));
	free(s->map);
	s->map = map;
	s->asked = 0;
	store_turn_to(s, 0);
}

/* Only those of the url: nothing else is known. */
static int begin(struct store *s, struct err *err)
{
	struct store_map *map = calloc(1, sizeof(*map));

	if (!map)
		return err_set(err, ERR_NOMEM, "no memory for the map of a cluster");
	store_map_init(map);
	for (int i = 0; i < s->url.n_hosts; i++)
		store_map_node(map, &s->url.hosts[i]);
	adopt(s, map);
	s->is_stale = true;
	return 0;
}

/* Of a node. */
static int load_from(struct store *s, int node, struct err *err)
{
	struct store_map *map = calloc(1, sizeof(*map));
	struct store_address here;
	redisReply *reply = NULL;
	int rc = map ? 0 : err_set(err, ERR_NOMEM, "no memory for the map of a cluster");

	if (!rc)
		rc = store_turn_node(s, node, err);
	if (!rc)
		rc = store_ask(s, &reply, err, "CLUSTER SLOTS");
	if (rc == ERR_RETRY && err && strstr(err->msg, "cluster support disabled"))
		rc = err->code = ERR_USAGE;
	here = s->map->nodes[node];
	if (!rc)
		rc = store_cluster_read(map, reply, here.host, err);
	freeReplyObject(reply);
	if (rc == ERR_DATA) { /* another node may know, or this one later */
		s->troubles++;
		rc = ERR_RETRY;
		if (err)
			err->code = rc;
	}
	if (rc) {
		free(map);
		return rc;
	}
	adopt(s, map);
	for (int i = 0; i < s->map->n; i++)
		if (store_address_is(&s->map->nodes[i], &here))
			s->asked = i;
	s->is_stale = false;
	return 0;
}

/* Each once, those that are connected first; the next one is asked first next time: one may be cut off and not know. */
static int load_from_any(struct store *s, struct err *err)
{
	int n = s->map->n, first = s->asked, rc = ERR_RETRY;

	for (int turn = 0; turn < 2 * n; turn++) {
		int node = (first + 1 + turn) % n;

		if ((s->nodes[node] != NULL) != (turn < n))
			continue;
		rc = load_from(s, node, err);
		if (!rc || rc != ERR_RETRY)
			break;
	}
	return rc;
}

int store_cluster_load(struct store *s, struct err *err)
{
	int rc = 0;

	if (s->map && !s->is_stale)
		return 0;
	if (s->map)
		rc = load_from_any(s, err);
	if (s->map && rc != ERR_RETRY)
		return rc;
	rc = begin(s, err);
	return rc ? rc : load_from_any(s, err);
}

/* --- redirections */

static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000 }, NULL);
}

/* Turns to where a redirection leads. */
static int turn_there(struct store *s, const struct store_redirect *r, struct err *err)
{
	struct store_address to = r->to;
	int node;

	if (!to.host[0])
		strcpy(to.host, s->here->host);
	node = store_map_node(s->map, &to);
	if (node < 0) { /* too many by now */
		s->is_stale = true;
		return err_set(err, ERR_RETRY, "the cluster has more than %d masters", STORE_NODES_MAX);
	}
	if (r->kind == STORE_MOVED)
		s->map->of[r->slot] = (uint8_t)node;
	return store_turn_node(s, node, err);
}

int store_cluster_follow(struct store *s, const char *key, struct err *err)
{
	struct store_redirect r = s->redirect;
	redisReply *reply;
	int rc;

	s->redirect.kind = STORE_STAYS;
	if (r.kind == STORE_TRY_AGAIN) {
		wait_a_moment();
		return store_turn(s, key, err);
	}
	rc = turn_there(s, &r, err);
	if (rc || r.kind != STORE_ASK)
		return rc;
	rc = store_ask(s, &reply, err, "ASKING");
	if (!rc)
		freeReplyObject(reply);
	return rc;
}
