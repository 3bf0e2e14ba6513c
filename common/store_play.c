/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays: a list of pieces per reader, each with its number in front (8 bytes, big-endian), so that a piece that Redis has
 * lost shows.
 */
#include "common/store_internal.h"

#include "common/key.h"

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

/* The next n replies, which have to be numbers. All are taken, or the connection is given up: one that is left would be taken
 * for the answer to another question. */
static int take_integers(struct store *s, int64_t *v, int n, struct err *err)
{
	int first = 0;
	for (int i = 0; i < n && s->c; i++) {
		redisReply *reply;
		int rc = store_reply(s, &reply, first ? NULL : err);
		if (!rc && reply->type != REDIS_REPLY_INTEGER)
			rc = store_surprise(s, reply, first ? NULL : err);
		else if (!rc)
			v[i] = reply->integer;
		if (!rc)
			freeReplyObject(reply);
		if (!first)
			first = rc;
	}
	return first;
}

/* --- reader */

int store_keep_play(struct store *s, const struct store_play *play, struct err *err)
{
	struct names n;
	int rc = get_names(s, play, &n, err);
	if (!rc)
		rc = store_send(s, err, "SET %s 1 EX %d", n.reader, STORE_PLAY_LEASE_S);
	/* A writer that has come to the end looks no more, and the reader may take long over the rest. */
	if (!rc)
		rc = store_send(s, err, "EXPIRE %s %d", n.list, LIFETIME_S);
	return rc ? rc : store_replies(s, 2, err);
}

int store_end_play(struct store *s, const struct store_play *play, struct err *err)
{
	struct names n;
	int rc = get_names(s, play, &n, err);
	if (!rc)
		rc = store_send(s, err, "UNLINK %s %s", n.reader, n.list);
	return rc ? rc : store_replies(s, 1, err);
}

int store_take_play(struct store *s, const struct store_play *play, int64_t *number, struct buf *out, struct err *err)
{
	struct names n;
	redisReply *reply;
	int rc = get_names(s, play, &n, err);
	if (!rc)
		rc = store_call(s, &reply, err, "LPOP %s", n.list);
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
	int64_t v[3] = { 0 }; /* has a reader, pieces unread, ignored */
	int rc = store_send(s, err, "EXISTS %s", n->reader);
	if (!rc)
		rc = store_send(s, err, "LLEN %s", n->list);
	if (!rc)
		rc = store_send(s, err, "EXPIRE %s %d", n->list, LIFETIME_S);
	if (!rc)
		rc = take_integers(s, v, 3, err);
	if (rc)
		return rc;
	if (v[0])
		return v[1] < STORE_PLAY_UNREAD;
	rc = store_send(s, err, "UNLINK %s", n->list);
	if (!rc)
		rc = store_replies(s, 1, err);
	return rc ? rc : err_set(err, ERR_STOPPED, "nobody reads any more");
}

int store_put_play(struct store *s, const struct store_play *play, int64_t number, const struct iovec *iov, int n_iov,
		   struct err *err)
{
	struct store_sender o;
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
		rc = look(s, &n, err);
	if (rc != 1)
		return rc;
	store_sender_init(&o, s, err);
	/* In one: a worker that is killed in between must not leave what lives for ever. */
	store_sender_printf(&o, "*1\r\n$5\r\nMULTI\r\n*3\r\n$5\r\nRPUSH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(n.list), n.list, size + 8);
	store_sender_put(&o, head, sizeof(head));
	for (int i = 0; i < n_iov; i++)
		store_sender_put(&o, iov[i].iov_base, iov[i].iov_len);
	store_sender_printf(&o, "\r\n*3\r\n$6\r\nEXPIRE\r\n$%zu\r\n%s\r\n$2\r\n%d\r\n*1\r\n$4\r\nEXEC\r\n", strlen(n.list), n.list,
			    LIFETIME_S);
	rc = store_sender_flush(&o);
	if (!rc)
		rc = store_replies(s, 4, err);
	return rc ? rc : 1;
}
