/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys, streams and values.
 */
#include "common/store_internal.h"

#include "common/key.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- keys */

bool store_is_rendition(const char *s)
{
	size_t n = strlen(s);
	return n >= 1 && n <= RECORD_RENDITION_MAX && strspn(s, RECORD_RENDITION_CHARS) == n;
}

int store_key(const struct store *s, char key[STORE_KEY_MAX], const char *stream, struct err *err, const char *fmt, ...)
{
	char rest[STORE_KEY_MAX];
	if (!key_is_valid(stream))
		return err_set(err, ERR_USAGE, "\"%.40s\" is not a stream key", stream);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(rest, sizeof(rest), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(rest))
		n = snprintf(key, STORE_KEY_MAX, "%s{%s}:%s", s->prefix, stream, rest);
	if (n < 0 || n >= STORE_KEY_MAX)
		return err_set(err, ERR_USAGE, "a Redis key gets longer than %d bytes", STORE_KEY_MAX - 1);
	return 0;
}

void store_common_key(const struct store *s, char key[STORE_KEY_MAX], const char *name, const char *id)
{
	snprintf(key, STORE_KEY_MAX, "%s%s%s", s->prefix, name, id);
}

int store_exists(struct store *s, const char *key, struct err *err)
{
	int64_t n = 0;
	int rc = store_count(s, key, &n, err, "EXISTS %s", key);
	return rc ? rc : n == 1;
}

static bool is_value_name(const char *which)
{
	if (store_begins_with(which, "init:"))
		return store_is_rendition(which + strlen("init:"));
	return !strcmp(which, "index") || !strcmp(which, "plan");
}

static int value_key(const struct store *s, char key[STORE_KEY_MAX], const char *stream, const char *which,
		     struct err *err)
{
	if (!is_value_name(which))
		return err_set(err, ERR_USAGE, "\"%.40s\" is not the name of a value", which);
	return store_key(s, key, stream, err, "%s", which);
}

/* --- streams */

static const char *const modes[] = { "precompute", "on-demand", "cancelled" };

/* Listed only once it can be read. */
static int put_stream(struct store *s, const char *key, const char *stream, struct bytes source, struct bytes options, enum store_mode mode,
		      struct err *err)
{
	char created[24], streams[STORE_KEY_MAX];
	const char *argv[] = { key, (const char *)source.data, (const char *)options.data, modes[mode], created };
	const size_t sizes[] = { strlen(key), source.size, options.size, strlen(modes[mode]),
				 (size_t)snprintf(created, sizeof(created), "%lld", (long long)time(NULL)) };
	redisReply *reply;
	int rc = store_script(s, STORE_SCRIPT_ACCEPT, 1, argv, 5, sizes, &reply, err);

	if (rc)
		return rc;
	freeReplyObject(reply);
	store_common_key(s, streams, "streams", "");
	return store_do(s, streams, err, "SADD %s %s", streams, stream);
}

int store_put_stream(struct store *s, const char *stream, const struct store_stream *what, struct err *err)
{
	char key[STORE_KEY_MAX];
	struct buf source = { 0 }, options = { 0 };
	enum store_mode mode = what->is_cancelled ? STORE_CANCELLED : what->is_on_demand ? STORE_ON_DEMAND : STORE_PRECOMPUTE;
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc && (record_source_put(&what->source, &source) || record_options_put(&what->options, &options)))
		rc = err_set(err, ERR_NOMEM, "no memory for a stream's record");
	for (int more = 1; !rc && more > 0;) {
		more = store_clean(s, stream, err);
		rc = more < 0 ? more : 0;
	}
	if (!rc)
		rc = put_stream(s, key, stream, buf_bytes(&source), buf_bytes(&options), mode, err);
	buf_finish(&source);
	buf_finish(&options);
	return rc;
}

static struct bytes reply_bytes(const redisReply *r)
{
	return (struct bytes){ (const uint8_t *)r->str, r->len };
}

/* A text that is cut, or none at all. */
static void read_text(const redisReply *r, char *text, size_t size)
{
	snprintf(text, size, "%s", r->type == REDIS_REPLY_STRING ? r->str : "");
}

static int64_t read_number(const redisReply *r)
{
	long long v = r->type == REDIS_REPLY_STRING ? strtoll(r->str, NULL, 10) : 0;
	return v > 0 ? v : 0;
}

enum { FIELD_SOURCE, FIELD_OPTIONS, FIELD_MODE, FIELD_STATE, FIELD_ERROR, FIELD_SEGMENTS, FIELD_CREATED, FIELD_RENDITIONS, N_FIELDS };

static int read_stream(redisReply *const *r, struct store_stream *what, struct err *err)
{
	if (r[FIELD_SOURCE]->type == REDIS_REPLY_NIL && r[FIELD_OPTIONS]->type == REDIS_REPLY_NIL)
		return 0;
	if (r[FIELD_SOURCE]->type != REDIS_REPLY_STRING || r[FIELD_OPTIONS]->type != REDIS_REPLY_STRING)
		return err_set(err, ERR_DATA, "the stream has no source or no options");
	int rc = record_source_get(reply_bytes(r[FIELD_SOURCE]), &what->source, err);
	if (!rc)
		rc = record_options_get(reply_bytes(r[FIELD_OPTIONS]), &what->options, err);
	what->is_cancelled = r[FIELD_MODE]->type == REDIS_REPLY_STRING && !strcmp(r[FIELD_MODE]->str, modes[STORE_CANCELLED]);
	what->is_on_demand = what->is_cancelled ||
			     (r[FIELD_MODE]->type == REDIS_REPLY_STRING && !strcmp(r[FIELD_MODE]->str, modes[STORE_ON_DEMAND]));
	read_text(r[FIELD_STATE], what->state, sizeof(what->state));
	read_text(r[FIELD_ERROR], what->error, sizeof(what->error));
	what->n_segments = read_number(r[FIELD_SEGMENTS]);
	what->created = read_number(r[FIELD_CREATED]);
	read_text(r[FIELD_RENDITIONS], what->renditions, sizeof(what->renditions));
	return rc ? rc : 1;
}

int store_get_stream(struct store *s, const char *stream, struct store_stream *what, struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc)
		rc = store_call(s, key, &reply, err, "HMGET %s source options mode state error n_segments created renditions", key);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != N_FIELDS)
		return store_surprise(s, reply, err);
	rc = read_stream(reply->element, what, err);
	freeReplyObject(reply);
	return rc;
}

/* Fields and values behind the key, argv[0]. 1, 0: no such stream (any more). */
static int update_stream(struct store *s, const char *const *argv, int n, struct err *err)
{
	redisReply *reply;
	int rc = store_script(s, STORE_SCRIPT_UPDATE, 1, argv, n, NULL, &reply, err);

	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_INTEGER)
		return store_surprise(s, reply, err);
	rc = reply->integer == 1;
	freeReplyObject(reply);
	return rc;
}

int store_set_mode(struct store *s, const char *stream, enum store_mode mode, struct err *err)
{
	char key[STORE_KEY_MAX];
	const char *argv[] = { key, "mode", modes[mode] };
	int rc = store_key(s, key, stream, err, "stream");
	return rc ? rc : update_stream(s, argv, 3, err);
}

int store_list_streams(struct store *s, char (**keys)[RECORD_KEY_SIZE], size_t *n, struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	*keys = NULL;
	*n = 0;
	store_common_key(s, key, "streams", "");
	int rc = store_call(s, key, &reply, err, "SMEMBERS %s", key);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, reply, err);
	*keys = calloc(reply->elements + 1, sizeof(**keys));
	if (!*keys)
		rc = err_set(err, ERR_NOMEM, "no memory for %zu streams", reply->elements);
	for (size_t i = 0; i < reply->elements && !rc; i++) {
		const redisReply *e = reply->element[i];
		if (e->type == REDIS_REPLY_STRING && key_is_valid(e->str))
			memcpy((*keys)[(*n)++], e->str, RECORD_KEY_SIZE);
	}
	freeReplyObject(reply);
	return rc;
}

int store_set_state(struct store *s, const char *stream, const char *owner, const char *state, const char *error,
		    struct err *err)
{
	char key[STORE_KEY_MAX];
	const char *argv[] = { "HSET", key, "state", state, "error", error };
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc && owner)
		return store_guarded(s, stream, owner, argv, 6, NULL, err);
	if (!rc)
		rc = update_stream(s, argv + 1, 5, err);
	return rc < 0 ? rc : 0;
}

/* --- values */

int store_put_value(struct store *s, const char *stream, const char *which, struct bytes value, struct err *err)
{
	char key[STORE_KEY_MAX], head[STORE_KEY_MAX + 64];
	redisReply *reply;
	int rc = value_key(s, key, stream, which, err);
	if (rc)
		return rc;
	if (value.size > STORE_VALUE_MAX)
		return err_set(err, ERR_LIMIT, "%s of %zu bytes is over the limit of %u", which, value.size,
			       STORE_VALUE_MAX);
	int n = snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, value.size);
	const struct iovec v[] = { { head, (size_t)n }, store_iov(value.data, value.size), store_iov("\r\n", 2) };
	rc = store_call_bytes(s, key, v, 3, &reply, err);
	freeReplyObject(reply);
	return rc;
}

int store_get_value(struct store *s, const char *stream, const char *which, struct buf *out, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = value_key(s, key, stream, which, err);
	return rc ? rc : store_get_string(s, key, out, STORE_VALUE_MAX, err);
}

int store_has_value(struct store *s, const char *stream, const char *which, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = value_key(s, key, stream, which, err);
	return rc ? rc : store_exists(s, key, err);
}

int store_put_plan(struct store *s, const char *stream, const char *owner, struct bytes json, const char *hash, size_t n_segments,
		   const char *renditions, struct err *err)
{
	char key[STORE_KEY_MAX], plan[STORE_KEY_MAX], count[24];
	const char *set[] = { "SET", plan, (const char *)json.data };
	const char *note[] = { "HSET", key, "plan_hash", hash, "n_segments", count, "renditions", renditions };
	size_t sizes[3] = { 3, 0, json.size };
	int rc = key_is_valid(hash) ? 0 : err_set(err, ERR_USAGE, "\"%.40s\" is not a plan's hash", hash);
	if (!rc)
		rc = store_key(s, key, stream, err, "stream");
	if (!rc)
		rc = store_key(s, plan, stream, err, "plan");
	sizes[1] = rc ? 0 : strlen(plan);
	snprintf(count, sizeof(count), "%zu", n_segments);
	if (!rc)
		rc = store_guarded(s, stream, owner, set, 3, sizes, err);
	return rc ? rc : store_guarded(s, stream, owner, note, 8, NULL, err);
}
