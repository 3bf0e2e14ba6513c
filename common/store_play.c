/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays: a list of pieces per reader, each with its number in front (8 bytes, big-endian), so that a piece that Redis has
 * lost shows. Where there are two servers they are with the segments.
 */
#include "common/store_internal.h"

#include "common/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_S 30 /* of what is unread, since the writer or the reader's lease was last heard of */

/* The list, and the lease of its reader. */
struct names {
	char list[STORE_KEY_MAX], reader[STORE_KEY_MAX];
};

static int get_names(const struct store *s, const struct store_play *play, struct names *n, struct err *err)
{
	int rc = key_is_valid(play->id) ? 0 : err_set(err, ERR_USAGE, "\"%.40s\" is not a play's name", play->id);
	if (!rc)
		rc = store_key(s, n->list, play->stream, err, "play:%s", play->id);
	return rc ? rc : store_key(s, n->reader, play->stream, err, "play:%s:reader", play->id);
}

/* --- reader */

int store_keep_play(struct store *s, const struct store_play *play, struct err *err)
{
	struct names n;
	int rc = get_names(s, play, &n, err);
	s = s->data;
	if (!rc)
		rc = store_do(s, n.reader, err, "SET %s 1 EX %d", n.reader, STORE_PLAY_LEASE_S);
	/* A writer that has come to the end looks no more, and the reader may take long over the rest. */
	return rc ? rc : store_do(s, n.list, err, "EXPIRE %s %d", n.list, LIFETIME_S);
}

int store_end_play(struct store *s, const struct store_play *play, struct err *err)
{
	struct names n;
	int rc = get_names(s, play, &n, err);
	s = s->data;
	if (!rc)
		rc = store_do(s, n.reader, err, "UNLINK %s", n.reader);
	return rc ? rc : store_do(s, n.list, err, "UNLINK %s", n.list);
}

int store_take_play(struct store *s, const struct store_play *play, int64_t *number, struct buf *out, struct err *err)
{
	struct names n;
	redisReply *reply;
	int rc = get_names(s, play, &n, err);
	s = s->data;
	if (!rc)
		rc = store_call(s, n.list, &reply, err, "LPOP %s", n.list);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_NIL && reply->type != REDIS_REPLY_STRING)
		return store_surprise(s, reply, err);
	if (reply->type == REDIS_REPLY_STRING && (reply->len < 8 || reply->len > 8 + STORE_PIECE)) {
		rc = err_set(err, ERR_DATA, "a piece of a play has a wrong size of %zu bytes", reply->len);
	} else if (reply->type == REDIS_REPLY_STRING) {
		*number = (int64_t)get_u64((const uint8_t *)reply->str);
		buf_put(out, reply->str + 8, reply->len - 8);
		rc = buf_failed(out) ? err_set(err, ERR_NOMEM, "no memory for a piece of a play") : 1;
	}
	freeReplyObject(reply);
	return rc;
}

/* --- writer */

/* 1 there is room, 0 there is none, ERR_STOPPED. What is unread lives on. */
static int look(struct store *s, const struct names *n, struct err *err)
{
	char lifetime[16];
	const char *argv[] = { n->list, n->reader, lifetime };
	redisReply *reply;
	int64_t unread;
	snprintf(lifetime, sizeof(lifetime), "%d", LIFETIME_S);
	int rc = store_script(s, STORE_SCRIPT_LOOK, 2, argv, 3, NULL, &reply, err);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_INTEGER)
		return store_surprise(s, reply, err);
	unread = reply->integer;
	freeReplyObject(reply);
	if (unread < 0)
		return err_set(err, ERR_STOPPED, "nobody reads any more");
	return unread < STORE_PLAY_UNREAD;
}

/* The script's call as Redis reads it, so that the piece need not be copied. */
static int push(struct store *s, const struct names *n, const uint8_t number[8], const struct iovec *iov, int n_iov, size_t size,
		struct err *err)
{
	const char *text = store_script_text(STORE_SCRIPT_PUSH);
	struct iovec *v = calloc((size_t)n_iov + 3, sizeof(*v));
	struct buf head = { 0 };
	redisReply *reply = NULL;
	int rc;

	buf_printf(&head, "*6\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$%zu\r\n%s\r\n$2\r\n%d\r\n$%zu\r\n", strlen(text), text,
		   strlen(n->list), n->list, LIFETIME_S, size + 8);
	if (v && !buf_failed(&head)) {
		v[0] = store_iov(head.data, head.size);
		v[1] = store_iov(number, 8);
		if (n_iov)
			memcpy(v + 2, iov, (size_t)n_iov * sizeof(*v));
		v[n_iov + 2] = store_iov("\r\n", 2);
		rc = store_call_bytes(s, n->list, v, n_iov + 3, &reply, err);
	} else {
		rc = err_set(err, ERR_NOMEM, "no memory for a command to Redis");
	}
	freeReplyObject(reply);
	buf_finish(&head);
	free(v);
	return rc;
}
_Static_assert(LIFETIME_S >= 10 && LIFETIME_S <= 99, "two digits, as the call says");

int store_put_play(struct store *s, const struct store_play *play, int64_t number, const struct iovec *iov, int n_iov,
		   struct err *err)
{
	struct names n;
	uint8_t head[8];
	size_t size = 0;
	for (int i = 0; i < n_iov; i++)
		size += iov[i].iov_len;
	for (int i = 0; i < 8; i++)
		head[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
	int rc = get_names(s, play, &n, err);
	if (!rc && size > STORE_PIECE)
		rc = err_set(err, ERR_USAGE, "a piece of %zu bytes", size);
	if (!rc)
		rc = look(s->data, &n, err);
	if (rc != 1)
		return rc;
	rc = push(s->data, &n, head, iov, n_iov, size, err);
	return rc ? rc : 1;
}
