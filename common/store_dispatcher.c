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

/* An array; what is in it is not looked at. */
static int list_ids(struct store *s, redisReply **reply, struct err *err)
{
	char key[STORE_KEY_MAX];
	store_common_key(s, key, "dispatchers", "");
	int rc = store_call(s, key, reply, err, "SMEMBERS %s", key);
	return rc || (*reply)->type == REDIS_REPLY_ARRAY ? rc : store_surprise(s, *reply, err);
}

/* --- leases */

int store_keep_dispatcher(struct store *s, const char *id, bool is_new, struct bytes status, struct err *err)
{
	char lease[STORE_KEY_MAX], all[STORE_KEY_MAX];
	redisReply *reply;
	int rc = check_id(id, err);
	store_common_key(s, lease, "dispatcher:", id);
	store_common_key(s, all, "dispatchers", "");
	if (!rc)
		rc = store_call(s, lease, &reply, err, "SET %s %b PX %d %s", lease, status.data, status.size, STORE_LEASE_MS, is_new ? "NX" : "XX");
	if (rc)
		return rc;
	rc = reply->type == REDIS_REPLY_STATUS;
	freeReplyObject(reply);
	if (rc && is_new) {
		rc = store_do(s, all, err, "SADD %s %s", all, id);
		rc = rc ? rc : 1;
	}
	return rc;
}

/* One by one: in a cluster each is elsewhere. */
int store_end_dispatcher(struct store *s, const char *id, struct err *err)
{
	static const char *const own[] = { "dispatcher:", "mail:", "beacon:" };
	char key[STORE_KEY_MAX];
	int rc = check_id(id, err);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && !rc; i++) {
		store_common_key(s, key, own[i], id);
		rc = store_do(s, key, err, "DEL %s", key);
	}
	store_common_key(s, key, "dispatchers", "");
	return rc ? rc : store_do(s, key, err, "SREM %s %s", key, id);
}

/* --- beacons: "<streams> <endpoint>", or "<streams> <endpoint> @<host>" */

#define BEACON_SIZE (24 + STORE_ENDPOINT_SIZE + STORE_HOSTNAME_SIZE)

int store_put_beacon(struct store *s, const struct store_beacon *beacon, struct err *err)
{
	char key[STORE_KEY_MAX], text[BEACON_SIZE];
	int rc = check_id(beacon->id, err);
	store_common_key(s, key, "beacon:", beacon->id);
	snprintf(text, sizeof(text), "%lld %s%s%s", (long long)beacon->n_streams, beacon->endpoint, beacon->host[0] ? " @" : "", beacon->host);
	return rc ? rc : store_do(s, key, err, "SET %s %s PX %d", key, text, STORE_LEASE_MS);
}

/* Printable and whole; what it means is looked at by who connects there. */
static bool read_beacon(struct bytes text, struct store_beacon *b)
{
	char copy[BEACON_SIZE], *endpoint, *host;
	if (!text.size || text.size >= sizeof(copy))
		return false;
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '"' || text.data[i] == '\\')
			return false;
	memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	if (copy[0] < '0' || copy[0] > '9')
		return false;
	b->n_streams = strtoll(copy, &endpoint, 10);
	if (*endpoint++ != ' ' || b->n_streams < 0 || b->n_streams > INT32_MAX)
		return false;
	host = strrchr(endpoint, ' '); /* paths may have blanks, too */
	if (host && host[1] == '@') {
		*host = '\0';
		host += 2;
	} else {
		host = endpoint + strlen(endpoint);
	}
	if (strlen(endpoint) >= sizeof(b->endpoint) || strlen(host) >= sizeof(b->host))
		return false;
	strcpy(b->endpoint, endpoint);
	strcpy(b->host, host);
	return true;
}

/* 1 and the beacon; 0 there is none, or it is damaged. */
static int take_beacon(struct store *s, const redisReply *id, struct store_beacon *beacon, struct err *err)
{
	char key[STORE_KEY_MAX];
	struct buf text = { 0 };
	if (id->type != REDIS_REPLY_STRING || !key_is_valid(id->str))
		return 0;
	store_common_key(s, key, "beacon:", id->str);
	int rc = store_get_string(s, key, &text, BEACON_SIZE, err);
	if (rc == ERR_USAGE || rc == ERR_DATA) /* of another type, or too long */
		rc = 0;
	if (rc == 1)
		rc = read_beacon(buf_bytes(&text), beacon);
	if (rc == 1)
		memcpy(beacon->id, id->str, STORE_ID_SIZE);
	buf_finish(&text);
	return rc;
}

int store_list_beacons(struct store *s, struct store_beacon *beacons, int max, struct err *err)
{
	redisReply *reply;
	int n = 0;
	int rc = list_ids(s, &reply, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < reply->elements && i < DISPATCHERS_MAX && n < max && rc >= 0; i++) {
		rc = take_beacon(s, reply->element[i], &beacons[n], err);
		n += rc == 1;
	}
	freeReplyObject(reply);
	return rc < 0 ? rc : n;
}

static int give_dispatcher(struct store *s, const char *id, int (*fn)(void *arg, const char *id, struct bytes status), void *arg,
			   struct err *err)
{
	char key[STORE_KEY_MAX];
	struct buf status = { 0 };
	store_common_key(s, key, "dispatcher:", id);
	int rc = store_get_string(s, key, &status, STATUS_MAX, err);
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
	int rc = list_ids(s, &reply, err);
	if (rc)
		return rc;
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
	store_common_key(s, key, "dispatcher:", id);
	return rc ? rc : store_exists(s, key, err);
}

/* --- owners */

static void read_owner(redisReply *reply, char owner[STORE_OWNER_SIZE])
{
	snprintf(owner, STORE_OWNER_SIZE, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
	freeReplyObject(reply);
}

/* Those that one node has: asked for all at once. What has moved is left with MOVED as its owner, which is none. */
#define MOVED "?"
static int ask_node(struct store *s, int node, const char (*streams)[RECORD_KEY_SIZE], size_t n, char (*owners)[STORE_OWNER_SIZE],
		    struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = 0;
	bool has_sent = false;

	for (size_t i = 0; i < n && !rc; i++) {
		rc = store_key(s, key, streams[i], err, "owner");
		if (rc || store_node_of(s, key) != node)
			continue;
		if (!has_sent)
			rc = store_turn(s, key, err);
		if (!rc)
			rc = store_send(s, err, "GET %s", key);
		has_sent = true;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		store_key(s, key, streams[i], err, "owner");
		if (store_node_of(s, key) != node)
			continue;
		rc = store_reply(s, &reply, err);
		if (!rc)
			read_owner(reply, owners[i]);
		else if (rc == ERR_RETRY && s->c && s->redirect.kind)
			rc = 0;
	}
	if (rc)
		store_disconnect(s); /* replies may be on their way */
	return rc;
}

int store_get_owners(struct store *s, const char (*streams)[RECORD_KEY_SIZE], size_t n, char (*owners)[STORE_OWNER_SIZE],
		     struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = n ? store_turn(s, NULL, err) : 0; /* knows the nodes from here on */

	for (size_t i = 0; i < n; i++)
		strcpy(owners[i], MOVED);
	for (int node = 0; !rc && n && node < store_n_nodes(s); node++)
		rc = ask_node(s, node, streams, n, owners, err);
	for (size_t i = 0; i < n && !rc; i++) {
		if (strcmp(owners[i], MOVED))
			continue;
		rc = store_key(s, key, streams[i], err, "owner");
		if (!rc)
			rc = store_call(s, key, &reply, err, "GET %s", key);
		if (!rc)
			read_owner(reply, owners[i]);
	}
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
	char key[STORE_KEY_MAX], most[16], lifetime[16];
	const char *argv[] = { key, (const char *)mail.data, most, lifetime };
	redisReply *reply;
	int rc = check_id(id, err);
	if (!rc && mail.size > STORE_MAIL_MAX)
		rc = err_set(err, ERR_LIMIT, "a mail of %zu bytes is over the limit of %u", mail.size, STORE_MAIL_MAX);
	if (rc)
		return rc;
	store_common_key(s, key, "mail:", id);
	snprintf(most, sizeof(most), "%d", STORE_MAILS_MAX);
	snprintf(lifetime, sizeof(lifetime), "%d", MAIL_LIFETIME_S);
	const size_t sizes[] = { strlen(key), mail.size, strlen(most), strlen(lifetime) };
	rc = store_script(s, STORE_SCRIPT_MAIL, 1, argv, 4, sizes, &reply, err);
	freeReplyObject(reply);
	return rc;
}

int store_await_mail(struct store *s, const char *id, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = check_id(id, err);
	store_common_key(s, key, "mail:", id);
	if (!rc)
		rc = store_turn(s, key, err);
	if (!rc)
		rc = store_send(s, err, "BLPOP %s %d", key, MAIL_WAIT_S);
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
