/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys, streams and values.
 */
#include "common/store_internal.h"

#include "common/key.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- keys */

bool store_is_rendition(const char *s)
{
	size_t n = strlen(s);
	return n >= 1 && n <= RECORD_RENDITION_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
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

static int send_stream(struct store *s, const char *key, const char *stream, const struct buf *source,
		       const struct buf *options, struct err *err)
{
	int rc = store_send(s, err, "MULTI");
	if (!rc)
		rc = store_send(s, err, "HSET %s source %b options %b", key, source->data, source->size, options->data,
				options->size);
	if (!rc)
		rc = store_send(s, err, "HSETNX %s created %lld", key, (long long)time(NULL));
	if (!rc)
		rc = store_send(s, err, "HSETNX %s state probing", key);
	if (!rc)
		rc = store_send(s, err, "HSETNX %s error %b", key, "", (size_t)0);
	if (!rc)
		rc = store_send(s, err, "EXEC");
	if (!rc)
		rc = store_replies(s, 6, err);
	/* Listed only once it can be read; not in the transaction: in a cluster the set lives elsewhere. */
	if (!rc)
		rc = store_send(s, err, "SADD %sstreams %s", s->prefix, stream);
	return rc ? rc : store_replies(s, 1, err);
}

int store_put_stream(struct store *s, const char *stream, const struct record_source *source,
		     const struct record_options *options, struct err *err)
{
	char key[STORE_KEY_MAX];
	struct buf source_json = { 0 }, options_json = { 0 };
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc && (record_source_put(source, &source_json) || record_options_put(options, &options_json)))
		rc = err_set(err, ERR_NOMEM, "no memory for a stream's record");
	if (!rc)
		rc = send_stream(s, key, stream, &source_json, &options_json, err);
	buf_finish(&source_json);
	buf_finish(&options_json);
	return rc;
}

static struct bytes reply_bytes(const redisReply *r)
{
	return (struct bytes){ (const uint8_t *)r->str, r->len };
}

static int read_stream(const redisReply *source_json, const redisReply *options_json, struct record_source *source,
		       struct record_options *options, struct err *err)
{
	if (source_json->type == REDIS_REPLY_NIL && options_json->type == REDIS_REPLY_NIL)
		return 0;
	if (source_json->type != REDIS_REPLY_STRING || options_json->type != REDIS_REPLY_STRING)
		return err_set(err, ERR_DATA, "the stream has no source or no options");
	int rc = source ? record_source_get(reply_bytes(source_json), source, err) : 0;
	if (!rc && options)
		rc = record_options_get(reply_bytes(options_json), options, err);
	return rc ? rc : 1;
}

int store_get_stream(struct store *s, const char *stream, struct record_source *source, struct record_options *options,
		     struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc)
		rc = store_call(s, &reply, err, "HMGET %s source options", key);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return store_surprise(s, reply, err);
	rc = read_stream(reply->element[0], reply->element[1], source, options, err);
	freeReplyObject(reply);
	return rc;
}

int store_list_streams(struct store *s, int (*fn)(void *arg, const char *stream), void *arg, struct err *err)
{
	redisReply *reply;
	int rc = store_call(s, &reply, err, "SMEMBERS %sstreams", s->prefix);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, reply, err);
	for (size_t i = 0; i < reply->elements && !rc; i++) {
		const redisReply *e = reply->element[i];
		if (e->type == REDIS_REPLY_STRING && key_is_valid(e->str))
			rc = fn(arg, e->str);
	}
	freeReplyObject(reply);
	return rc;
}

int store_set_state(struct store *s, const char *stream, const char *state, const char *error, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = store_key(s, key, stream, err, "stream");
	if (!rc)
		rc = store_send(s, err, "HSET %s state %s error %b", key, state, error, strlen(error));
	return rc ? rc : store_replies(s, 1, err);
}

/* --- values */

int store_put_value(struct store *s, const char *stream, const char *which, struct bytes value, struct err *err)
{
	char key[STORE_KEY_MAX];
	struct store_sender o;
	int rc = value_key(s, key, stream, which, err);
	if (rc)
		return rc;
	if (value.size > STORE_VALUE_MAX)
		return err_set(err, ERR_LIMIT, "%s of %zu bytes is over the limit of %u", which, value.size,
			       STORE_VALUE_MAX);
	store_sender_init(&o, s, err);
	store_sender_printf(&o, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, value.size);
	store_sender_put(&o, value.data, value.size);
	store_sender_put(&o, "\r\n", 2);
	rc = store_sender_flush(&o);
	return rc ? rc : store_replies(s, 1, err);
}

int store_get_value(struct store *s, const char *stream, const char *which, struct buf *out, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = value_key(s, key, stream, which, err);
	if (!rc)
		rc = store_send(s, err, "GET %s", key);
	return rc ? rc : store_reply_string(s, out, STORE_VALUE_MAX, err);
}

int store_put_plan(struct store *s, const char *stream, struct bytes json, const char *hash, struct err *err)
{
	char key[STORE_KEY_MAX], plan[STORE_KEY_MAX];
	int rc = key_is_valid(hash) ? 0 : err_set(err, ERR_USAGE, "\"%.40s\" is not a plan's hash", hash);
	if (!rc)
		rc = store_key(s, key, stream, err, "stream");
	if (!rc)
		rc = store_key(s, plan, stream, err, "plan");
	if (!rc)
		rc = store_send(s, err, "MULTI");
	if (!rc)
		rc = store_send(s, err, "SET %s %b", plan, json.data, json.size);
	if (!rc)
		rc = store_send(s, err, "HSET %s plan_hash %s", key, hash);
	if (!rc)
		rc = store_send(s, err, "EXEC");
	return rc ? rc : store_replies(s, 4, err);
}
