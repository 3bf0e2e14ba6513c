/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What Redis says of itself, and whether its settings fit what is kept in it. Of a cluster each master is asked, of two servers both.
 */
#include "common/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value in lines "name:value\r\n", without its end; NULL: it is not there. */
static const char *find(const char *text, const char *name, char value[64])
{
	size_t n = strlen(name);

	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, n) || at[n] != ':')
			continue;
		snprintf(value, 64, "%.*s", (int)strcspn(at + n + 1, "\r\n"), at + n + 1);
		return value;
	}
	return NULL;
}

static int64_t find_number(const char *text, const char *name)
{
	char value[64];

	return find(text, name, value) ? strtoll(value, NULL, 10) : -1;
}

/* Of the node that is spoken to; a text. */
static int ask_info(struct store *s, const char *section, redisReply **info, struct err *err)
{
	int rc = store_ask(s, info, err, "INFO %s", section);

	if (!rc && (*info)->type != REDIS_REPLY_STRING) {
		freeReplyObject(*info);
		*info = NULL;
		rc = err_set(err, ERR_DATA, "INFO is no text");
	}
	return rc;
}

/* Turns to each of the nodes and calls fn. */
static int each_node(struct store *s, int (*fn)(struct store *s, void *arg, struct err *err), void *arg, struct err *err)
{
	int rc = store_turn(s, NULL, err);

	for (int i = 0; !rc && i < store_n_nodes(s); i++) {
		rc = store_turn_node(s, i, err);
		if (!rc)
			rc = fn(s, arg, err);
	}
	return rc;
}

static void add(int64_t *sum, int64_t v)
{
	if (v > 0 && *sum >= 0 && *sum < INT64_MAX - v)
		*sum += v;
	else if (v < 0)
		*sum = -1;
}

static int add_info(struct store *s, void *arg, struct err *err)
{
	struct store_info *info = arg;
	redisReply *memory = NULL, *stats = NULL;
	int rc = ask_info(s, "memory", &memory, err);

	if (!rc)
		rc = ask_info(s, "stats", &stats, err);
	if (!rc) {
		add(&info->used, find_number(memory->str, "used_memory"));
		add(&info->max, find_number(memory->str, "maxmemory"));
		add(&info->evicted, find_number(stats->str, "evicted_keys"));
	}
	freeReplyObject(memory);
	freeReplyObject(stats);
	return rc;
}

int store_get_info(struct store *s, struct store_info *info, struct err *err)
{
	*info = (struct store_info){ 0 };
	int rc = each_node(s, add_info, info, err);
	return rc || s->data == s ? rc : each_node(s->data, add_info, info, err);
}

/* --- settings */

struct check {
	void (*fn)(void *arg, const char *where, const char *text);
	void *arg;
};

/* 1, 0; -1: it may not be asked for. Redis tells only here whether it takes snapshots. */
static int has_snapshots(struct store *s)
{
	struct err ignored;
	redisReply *r;
	unsigned troubles = s->troubles;
	int ret = store_ask(s, &r, &ignored, "CONFIG GET save");

	s->troubles = troubles;
	if (ret)
		return -1;
	ret = r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[1]->type != REDIS_REPLY_STRING ? -1 : r->element[1]->len > 0;
	freeReplyObject(r);
	return ret;
}

static bool is_data_only(const struct store *s)
{
	return s->state != s;
}

static const char *check_persistence(struct store *s, const char *info)
{
	int64_t has_aof = find_number(info, "aof_enabled");
	int has_save;

	if (is_data_only(s) && has_aof == 1)
		return "appendonly is on: it writes all segments to disk, which need not be kept";
	if (has_aof && !is_data_only(s))
		return NULL;
	has_save = has_snapshots(s);
	if (is_data_only(s))
		return has_save == 1 ? "save is on: it writes all segments to disk again and again, which need not be kept" : NULL;
	if (has_save == 1)
		return "appendonly is off: what was accepted since the last snapshot is lost when Redis dies";
	return has_save ? "appendonly is off: what was accepted may be lost when Redis dies" :
			  "it keeps nothing on disk (appendonly and save are off): what was accepted is lost when Redis dies";
}

/* Of one of two servers. */
static const char *check_policy(const struct store *s, const char *policy)
{
	if (is_data_only(s) && !strcmp(policy, "noeviction"))
		return "its maxmemory-policy (noeviction) takes no more segments when memory is full: allkeys-lru drops those that were read least recently";
	if (is_data_only(s) && !strcmp(policy, "volatile-ttl"))
		return "its maxmemory-policy (volatile-ttl) drops what is just being written first: allkeys-lru drops what was read least recently";
	if (!is_data_only(s) && strcmp(policy, "noeviction"))
		return "its maxmemory-policy drops leases of dispatchers or streams that were accepted: noeviction keeps them, the segments are elsewhere";
	return NULL;
}

static const char *check_memory(const struct store *s, const char *info)
{
	char policy[64] = "";

	find(info, "maxmemory_policy", policy);
	if (!find_number(info, "maxmemory"))
		return "maxmemory is 0: it grows until the system ends it";
	if (s->state != s->data)
		return check_policy(s, policy);
	if (store_begins_with(policy, "allkeys-"))
		return "its maxmemory-policy (allkeys-...) drops streams that were accepted, too: volatile-lru drops segments only";
	if (!strcmp(policy, "volatile-ttl"))
		return "its maxmemory-policy (volatile-ttl) drops leases of dispatchers first: volatile-lru drops segments";
	return NULL;
}

static int check_node(struct store *s, void *arg, struct err *err)
{
	struct check *check = arg;
	redisReply *memory = NULL, *persistence = NULL;
	const char *found[2];
	int rc = ask_info(s, "memory", &memory, err);

	if (!rc)
		rc = ask_info(s, "persistence", &persistence, err);
	if (!rc) {
		found[0] = check_memory(s, memory->str);
		found[1] = check_persistence(s, persistence->str);
		for (int i = 0; i < 2; i++)
			if (found[i])
				check->fn(check->arg, store_where(s), found[i]);
	}
	freeReplyObject(memory);
	freeReplyObject(persistence);
	return rc;
}

int store_check_settings(struct store *s, void (*fn)(void *arg, const char *where, const char *text), void *arg, struct err *err)
{
	struct check check = { fn, arg };
	int rc = each_node(s, check_node, &check, err);
	return rc || s->data == s ? rc : each_node(s->data, check_node, &check, err);
}
