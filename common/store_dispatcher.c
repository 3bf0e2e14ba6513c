/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dispatchers: leases, who owns a stream, and mail.
 */
#include "common/store_internal.h"

#include "common/key.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIL_LIFETIME_S 60   /* of mail that nobody reads */
#define MAIL_WAIT_S 20       /* then Redis answers that there was none, and shows that it is there */
#define DISPATCHERS_MAX 1000
#define STATUS_MAX (16u << 20)

static int check_id(const char *id, struct err *err)
{
	return key_is_valid(id) ? 0 : err_set(err, ERR_USAGE, "\"%.40s\" is not a dispatcher's id", id);
}

/* --- leases */

int store_keep_dispatcher(struct store *s, const char *id, bool is_new, struct bytes status, struct err *err)
{
	redisReply *reply;
	int rc = check_id(id, err);
	if (!rc)
		rc = store_call(s, &reply, err, "SET %sdispatcher:%s %b PX %d %s", s->prefix, id, status.data, status.size,
				STORE_LEASE_MS, is_new ? "NX" : "XX");
	if (rc)
		return rc;
	rc = reply->type == REDIS_REPLY_STATUS;
	freeReplyObject(reply);
	if (rc && is_new) {
		rc = store_send(s, err, "SADD %sdispatchers %s", s->prefix, id);
		if (!rc)
			rc = store_replies(s, 1, err);
		rc = rc ? rc : 1;
	}
	return rc;
}

int store_end_dispatcher(struct store *s, const char *id, struct err *err)
{
	int rc = check_id(id, err);
	if (!rc)
		rc = store_send(s, err, "DEL %sdispatcher:%s", s->prefix, id);
	if (!rc)
		rc = store_send(s, err, "DEL %smail:%s", s->prefix, id);
	if (!rc)
		rc = store_send(s, err, "DEL %sbeacon:%s", s->prefix, id);
	if (!rc)
		rc = store_send(s, err, "SREM %sdispatchers %s", s->prefix, id);
	return rc ? rc : store_replies(s, 4, err);
}

/* --- beacons: "<streams> <endpoint>" */

int store_put_beacon(struct store *s, const struct store_beacon *beacon, struct err *err)
{
	int rc = check_id(beacon->id, err);
	if (!rc)
		rc = store_send(s, err, "SET %sbeacon:%s %lld%s%s PX %d", s->prefix, beacon->id, (long long)beacon->n_streams, " ",
				beacon->endpoint, STORE_LEASE_MS);
	return rc ? rc : store_replies(s, 1, err);
}

/* Printable and whole; what it means is looked at by who connects there. */
static bool read_beacon(struct bytes text, struct store_beacon *b)
{
	char copy[STORE_ENDPOINT_SIZE + 24], *end;
	if (!text.size || text.size >= sizeof(copy))
		return false;
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '"' || text.data[i] == '\\')
			return false;
	memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	if (copy[0] < '0' || copy[0] > '9')
		return false;
	b->n_streams = strtoll(copy, &end, 10);
	if (*end != ' ' || b->n_streams < 0 || b->n_streams > INT32_MAX || strlen(end + 1) >= sizeof(b->endpoint))
		return false;
	memcpy(b->endpoint, end + 1, strlen(end + 1) + 1);
	return true;
}

static int take_beacons(struct store *s, char (*ids)[STORE_ID_SIZE], size_t n_ids, struct store_beacon *beacons, int max, struct err *err)
{
	int n = 0, rc = 0;
	for (size_t i = 0; i < n_ids && !rc; i++)
		rc = store_send(s, err, "GET %sbeacon:%s", s->prefix, ids[i]);
	for (size_t i = 0; i < n_ids && rc >= 0; i++) {
		struct buf text = { 0 };
		rc = store_reply_string(s, &text, STATUS_MAX, err);
		if (rc == 1 && n < max && read_beacon(buf_bytes(&text), &beacons[n]))
			memcpy(beacons[n++].id, ids[i], STORE_ID_SIZE);
		buf_finish(&text);
	}
	if (rc < 0)
		store_disconnect(s); /* replies may be on their way */
	return rc < 0 ? rc : n;
}

int store_list_beacons(struct store *s, struct store_beacon *beacons, int max, struct err *err)
{
	char (*ids)[STORE_ID_SIZE] = NULL;
	size_t n = 0;
	redisReply *reply;
	int rc = store_call(s, &reply, err, "SMEMBERS %sdispatchers", s->prefix);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, reply, err);
	ids = calloc(reply->elements + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < reply->elements && n < DISPATCHERS_MAX; i++) {
		const redisReply *e = reply->element[i];
		if (e->type == REDIS_REPLY_STRING && key_is_valid(e->str))
			memcpy(ids[n++], e->str, STORE_ID_SIZE);
	}
	freeReplyObject(reply);
	rc = ids ? take_beacons(s, ids, n, beacons, max, err) : err_set(err, ERR_NOMEM, "no memory for dispatchers");
	free(ids);
	return rc;
}

static int give_dispatcher(struct store *s, const char *id, int (*fn)(void *arg, const char *id, struct bytes status), void *arg,
			   struct err *err)
{
	struct buf status = { 0 };
	int rc = store_send(s, err, "GET %sdispatcher:%s", s->prefix, id);
	if (!rc)
		rc = store_reply_string(s, &status, STATUS_MAX, err);
	if (rc == 1)
		rc = fn(arg, id, buf_bytes(&status));
	else if (!rc) /* dead for good: its id is never used again */
		rc = store_end_dispatcher(s, id, err);
	buf_finish(&status);
	return rc;
}

int store_list_dispatchers(struct store *s, int (*fn)(void *arg, const char *id, struct bytes status), void *arg,
			   struct err *err)
{
	redisReply *reply;
	int rc = store_call(s, &reply, err, "SMEMBERS %sdispatchers", s->prefix);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, reply, err);
	for (size_t i = 0; i < reply->elements && i < DISPATCHERS_MAX && !rc; i++) {
		const redisReply *e = reply->element[i];
		if (e->type == REDIS_REPLY_STRING && key_is_valid(e->str))
			rc = give_dispatcher(s, e->str, fn, arg, err);
	}
	freeReplyObject(reply);
	return rc;
}

int store_has_dispatcher(struct store *s, const char *id, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = check_id(id, err);
	snprintf(key, sizeof(key), "%sdispatcher:%s", s->prefix, id);
	return rc ? rc : store_exists(s, key, err);
}

/* --- owners */

static int take_owner(struct store *s, char owner[STORE_OWNER_SIZE], struct err *err)
{
	redisReply *reply;
	int rc = store_reply(s, &reply, err);
	if (rc)
		return rc;
	snprintf(owner, STORE_OWNER_SIZE, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
	freeReplyObject(reply);
	return 0;
}

int store_get_owners(struct store *s, const char (*streams)[RECORD_KEY_SIZE], size_t n, char (*owners)[STORE_OWNER_SIZE],
		     struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = 0;
	size_t sent = 0;
	for (; sent < n && !rc; sent++) {
		rc = store_key(s, key, streams[sent], err, "owner");
		if (!rc)
			rc = store_send(s, err, "GET %s", key);
	}
	for (size_t i = 0; i < n && !rc; i++)
		rc = take_owner(s, owners[i], err);
	if (rc)
		store_disconnect(s); /* replies may be on their way */
	return rc;
}

int store_own_stream(struct store *s, const char *stream, const char *id, const char *old, char owner[STORE_OWNER_SIZE],
		     struct err *err)
{
	char key[STORE_KEY_MAX];
	const char *argv[] = { key, id, old };
	redisReply *reply;
	int rc = check_id(id, err);
	if (!rc)
		rc = store_key(s, key, stream, err, "owner");
	if (!rc)
		rc = store_script(s, STORE_SCRIPT_OWN, 1, argv, 3, NULL, &reply, err);
	if (rc)
		return rc;
	rc = reply->type == REDIS_REPLY_STRING && reply->len < STORE_OWNER_SIZE;
	if (rc)
		memcpy(owner, reply->str, reply->len + 1);
	freeReplyObject(reply);
	return rc;
}

/* --- mail */

int store_send_mail(struct store *s, const char *id, struct bytes mail, struct err *err)
{
	int rc = check_id(id, err);
	if (!rc && mail.size > STORE_MAIL_MAX)
		rc = err_set(err, ERR_LIMIT, "a mail of %zu bytes is over the limit of %u", mail.size, STORE_MAIL_MAX);
	if (!rc)
		rc = store_send(s, err, "RPUSH %smail:%s %b", s->prefix, id, mail.data, mail.size);
	if (!rc)
		rc = store_send(s, err, "LTRIM %smail:%s -%d -1", s->prefix, id, STORE_MAILS_MAX);
	if (!rc)
		rc = store_send(s, err, "EXPIRE %smail:%s %d", s->prefix, id, MAIL_LIFETIME_S);
	return rc ? rc : store_replies(s, 3, err);
}

int store_await_mail(struct store *s, const char *id, struct err *err)
{
	int rc = check_id(id, err);
	if (!rc)
		rc = store_send(s, err, "BLPOP %smail:%s %d", s->prefix, id, MAIL_WAIT_S);
	s->is_awaiting = !rc;
	return rc;
}

int store_mail_fd(const struct store *s)
{
	return s->c && s->is_awaiting ? s->c->fd : -1;
}

int store_take_mail(struct store *s, struct buf *mail, struct err *err)
{
	struct pollfd p = { .fd = store_mail_fd(s), .events = POLLIN };
	redisReply *reply;
	int rc;
	if (p.fd < 0)
		return err_set(err, ERR_RETRY, "nobody waits for mail");
	if (poll(&p, 1, 0) <= 0)
		return 0;
	s->is_awaiting = false;
	rc = store_reply(s, &reply, err);
	if (rc)
		return rc;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_STRING &&
	    reply->element[1]->len <= STORE_MAIL_MAX) {
		buf_put(mail, reply->element[1]->str, reply->element[1]->len);
		rc = !buf_failed(mail);
	}
	freeReplyObject(reply);
	return rc;
}
