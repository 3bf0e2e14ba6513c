/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A connection. hiredis formats commands and parses replies; bytes are sent here, because it
 * would copy them and move the rest after every partial write, and because its write() raises SIGPIPE.
 */
#include "common/store_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MAX 32             /* bytes of a reply that are looked at in advance */
#define READER_KEEP (1u << 20) /* bytes of an idle read buffer that are kept */
#define UNIX_SEND_BUFFER (1 << 20) /* bytes, if the system lets us: more is made while Redis takes what is there */

/* --- the connection */

void store_disconnect(struct store *s)
{
	if (s->c)
		redisFree(s->c);
	s->c = s->nodes[s->at] = NULL;
	s->redirect.kind = STORE_STAYS;
}

const char *store_where(const struct store *s)
{
	static char text[STORE_HOST_SIZE + 32];

	if (!s->here || s->url.kind == STORE_TCP)
		return s->name;
	snprintf(text, sizeof(text), strchr(s->here->host, ':') ? "redis://[%s]:%d" : "redis://%s:%d", s->here->host, s->here->port);
	return text;
}

/* The connection is of no more use: a late reply would be taken for another's. */
static int lose(struct store *s, int error, struct err *err)
{
	s->troubles++;
	s->is_stale = true;
	if (s->c && s->c->err == REDIS_ERR_EOF)
		err_set(err, ERR_RETRY, "Redis at %s has closed the connection", store_where(s));
	else if (s->c && s->c->err && s->c->err != REDIS_ERR_IO)
		err_set(err, ERR_RETRY, "talking to Redis at %s failed: %s", store_where(s), s->c->errstr);
	else if (error == EAGAIN || error == EWOULDBLOCK || error == ETIMEDOUT)
		err_set(err, ERR_RETRY, "Redis at %s does not answer within %d ms", store_where(s), s->timeout_ms);
	else
		err_set(err, ERR_RETRY, "talking to Redis at %s failed: %s", store_where(s), strerror(error));
	store_disconnect(s);
	return ERR_RETRY;
}

bool store_begins_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* What the operator must change is ERR_USAGE; OOM, READONLY, LOADING, BUSY and the like pass. */
static int error_code(const char *text)
{
	static const char *const usage[] = {
		"NOAUTH",   "WRONGPASS",   "NOPERM", "ERR invalid password", "ERR Client sent AUTH",
		"ERR AUTH", "ERR DB index"
	};
	/* Of a script it may stand in the middle. */
	if (strstr(text, "WRONGTYPE"))
		return ERR_USAGE;
	for (size_t i = 0; i < sizeof(usage) / sizeof(usage[0]); i++)
		if (store_begins_with(text, usage[i]))
			return ERR_USAGE;
	return ERR_RETRY;
}

/* Who has been let in once may wait until that is so again. A redirection that is followed is no trouble. */
static int refused(struct store *s, const redisReply *reply, struct err *err)
{
	int code = error_code(reply->str);

	if (s->map)
		store_redirect_read(reply->str, &s->redirect);
	if (code == ERR_USAGE && s->generation && !strstr(reply->str, "WRONGTYPE"))
		code = ERR_RETRY;
	s->troubles += code == ERR_RETRY && !s->redirect.kind;
	if (!s->map && store_begins_with(reply->str, "MOVED "))
		return err_set(err, code, "Redis at %s is one of a cluster: give its URL with redis+cluster://", store_where(s));
	return err_set(err, code, "Redis at %s says: %.200s", store_where(s), reply->str);
}

/* What was the master when we came is none any more: whoever is will be asked for. */
static bool is_demoted(const struct store *s, const redisReply *reply)
{
	return s->url.kind == STORE_SENTINEL && store_is_read_only(reply->str);
}

int store_reply(struct store *s, redisReply **reply, struct err *err)
{
	void *r = NULL;
	*reply = NULL;
	if (!s->c)
		return err_set(err, ERR_RETRY, "the connection to Redis at %s is lost", store_where(s));
	if (redisGetReply(s->c, &r) != REDIS_OK || !r)
		return lose(s, errno, err);
	*reply = r;
	if ((*reply)->type != REDIS_REPLY_ERROR)
		return 0;
	int rc = refused(s, *reply, err);
	bool is_over = is_demoted(s, *reply);
	freeReplyObject(*reply);
	*reply = NULL;
	if (is_over)
		store_disconnect(s);
	return rc;
}

/* --- receiving without copies */

/* Passes over n bytes that were sent or received. */
static void advance(struct iovec **v, int *n_v, size_t n)
{
	while (*n_v && n >= (*v)->iov_len) {
		n -= (*v)->iov_len;
		(*v)++;
		(*n_v)--;
	}
	if (n) {
		(*v)->iov_base = (char *)(*v)->iov_base + n;
		(*v)->iov_len -= n;
	}
}

/* The head of a reply that is a string of at most max bytes: how long the head is, and the string. 0: it is something else. */
static size_t read_head(const char *text, size_t n, size_t max, size_t *size)
{
	size_t at = 1;
	*size = 0;
	if (n < 4 || text[0] != '$')
		return 0;
	for (; at < n && text[at] >= '0' && text[at] <= '9' && *size <= max; at++)
		*size = *size * 10 + (size_t)(text[at] - '0');
	return at > 1 && at + 2 <= n && *size <= max && text[at] == '\r' && text[at + 1] == '\n' ? at + 2 : 0;
}

static int receive_all(struct store *s, struct iovec *v, int n_v, struct err *err)
{
	while (n_v) {
		struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n_v };
		ssize_t n = recvmsg(s->c->fd, &m, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) {
			s->troubles++;
			s->is_stale = true;
			store_disconnect(s);
			return err_set(err, ERR_RETRY, "Redis at %s has closed the connection", store_where(s));
		}
		if (n < 0)
			return lose(s, errno, err);
		advance(&v, &n_v, (size_t)n);
	}
	return 0;
}

/* What is no short string's head, or not there as a whole, is left to hiredis. */
static int receive_string(struct store *s, struct buf *out, size_t max, struct err *err)
{
	char head[HEAD_MAX], tail[2];
	size_t size, n_head;
	ssize_t n;
	if (!s->c || s->c->reader->pos < s->c->reader->len)
		return 0;
	do
		n = recv(s->c->fd, head, sizeof(head), MSG_PEEK);
	while (n < 0 && errno == EINTR);
	n_head = n > 0 ? read_head(head, (size_t)n, max, &size) : 0;
	if (!n_head)
		return 0;
	uint8_t *to = buf_grow(out, size);
	if (!to) {
		store_disconnect(s);
		return err_set(err, ERR_NOMEM, "no memory for %zu bytes from Redis", size);
	}
	struct iovec v[] = { { head, n_head }, { to, size }, { tail, sizeof(tail) } };
	int rc = receive_all(s, v, 3, err);
	if (!rc && memcmp(tail, "\r\n", 2)) {
		store_disconnect(s);
		rc = err_set(err, ERR_RETRY, "talking to Redis at %s failed: a string without an end", store_where(s));
	}
	return rc ? rc : 1;
}

int store_reply_string(struct store *s, struct buf *out, size_t max, struct err *err)
{
	redisReply *reply;
	int rc = receive_string(s, out, max, err);
	if (rc)
		return rc;
	rc = store_reply(s, &reply, err);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_NIL && reply->type != REDIS_REPLY_STRING)
		return store_surprise(s, reply, err);
	if (reply->type == REDIS_REPLY_STRING && reply->len > max) {
		rc = err_set(err, ERR_DATA, "a value of %zu bytes in Redis is over the limit of %zu", reply->len, max);
	} else if (reply->type == REDIS_REPLY_STRING) {
		buf_put(out, reply->str, reply->len);
		rc = buf_failed(out) ? err_set(err, ERR_NOMEM, "no memory for %zu bytes from Redis", reply->len) : 1;
	}
	freeReplyObject(reply);
	return rc;
}

int store_replies(struct store *s, int n, struct err *err)
{
	int first = 0;
	for (int i = 0; i < n && s->c; i++) {
		redisReply *reply;
		int rc = store_reply(s, &reply, first ? NULL : err);
		freeReplyObject(reply);
		if (!first)
			first = rc;
	}
	return first;
}

int store_surprise(struct store *s, redisReply *reply, struct err *err)
{
	int type = reply ? reply->type : 0;
	freeReplyObject(reply);
	store_disconnect(s);
	return err_set(err, ERR_RETRY, "Redis at %s gave a reply of an unexpected type (%d)", store_where(s), type);
}

/* --- sending */

int store_send_bytes(struct store *s, const struct iovec *v, int n_v, struct err *err)
{
	struct iovec batch[STORE_BATCH], *left;

	if (!s->c)
		return err_set(err, ERR_RETRY, "the connection to Redis at %s is lost", store_where(s));
	while (n_v) {
		int n = n_v < STORE_BATCH ? n_v : STORE_BATCH, n_left = n;

		memcpy(batch, v, (size_t)n * sizeof(*v));
		for (left = batch; n_left;) {
			struct msghdr m = { .msg_iov = left, .msg_iovlen = (size_t)n_left };
			ssize_t sent = sendmsg(s->c->fd, &m, MSG_NOSIGNAL);

			if (sent < 0 && errno == EINTR)
				continue;
			if (sent < 0)
				return lose(s, errno, err);
			advance(&left, &n_left, (size_t)sent);
		}
		v += n;
		n_v -= n;
	}
	return 0;
}

struct iovec store_iov(const void *data, size_t size)
{
	/* iovec is not const-correct */
	union {
		const void *in;
		void *out;
	} p = { .in = data };

	return (struct iovec){ p.out, size };
}

void store_sender_init(struct store_sender *o, struct store *s, struct err *err)
{
	o->s = s;
	o->err = err;
	o->n = 0;
	o->n_text = 0;
	o->rc = 0;
}

int store_sender_flush(struct store_sender *o)
{
	if (!o->rc)
		o->rc = store_send_bytes(o->s, o->v, o->n, o->err);
	o->n = 0;
	o->n_text = 0;
	return o->rc;
}

void store_sender_put(struct store_sender *o, const void *data, size_t size)
{
	if (!size)
		return;
	o->v[o->n++] = store_iov(data, size);
	if (o->n == STORE_BATCH)
		store_sender_flush(o);
}

void store_sender_printf(struct store_sender *o, const char *fmt, ...)
{
	if (sizeof(o->text) - o->n_text < 2 * STORE_KEY_MAX)
		store_sender_flush(o);
	char *at = o->text + o->n_text;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(at, sizeof(o->text) - o->n_text, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0 && (size_t)n < sizeof(o->text) - o->n_text);
	o->n_text += (size_t)n;
	store_sender_put(o, at, (size_t)n);
}

static int send_va(struct store *s, struct err *err, const char *fmt, va_list ap)
{
	char *command = NULL;
	int n = redisvFormatCommand(&command, fmt, ap);
	if (n < 0) {
		/* Commands before it may still have to be answered. */
		store_disconnect(s);
		return err_set(err, ERR_NOMEM, "no memory for a command to Redis");
	}
	struct iovec v = { command, (size_t)n };
	int rc = store_send_bytes(s, &v, 1, err);
	redisFreeCommand(command);
	return rc;
}

int store_send(struct store *s, struct err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = send_va(s, err, fmt, ap);
	va_end(ap);
	return rc;
}

int store_ask(struct store *s, redisReply **reply, struct err *err, const char *fmt, ...)
{
	va_list ap;
	*reply = NULL;
	va_start(ap, fmt);
	int rc = send_va(s, err, fmt, ap);
	va_end(ap);
	return rc ? rc : store_reply(s, reply, err);
}

/* --- connecting */

static int greet(struct store *s, struct err *err)
{
	const struct store_url *u = &s->url;
	redisReply *reply = NULL;
	int rc = 0;

	if (u->password[0]) {
		rc = u->user[0] ? store_ask(s, &reply, err, "AUTH %s %s", u->user, u->password) :
				  store_ask(s, &reply, err, "AUTH %s", u->password);
		freeReplyObject(reply);
	}
	if (!rc && u->db) {
		rc = store_ask(s, &reply, err, "SELECT %d", u->db);
		freeReplyObject(reply);
	}
	if (!rc) {
		rc = store_ask(s, &reply, err, "PING");
		freeReplyObject(reply);
	}
	return rc;
}

static int connect_socket(struct store *s, struct err *err)
{
	struct timeval tv = { s->timeout_ms / 1000, s->timeout_ms % 1000 * 1000 };

	s->c = s->here ? redisConnectWithTimeout(s->here->host, s->here->port, tv) : redisConnectUnixWithTimeout(s->url.path, tv);
	s->nodes[s->at] = s->c;
	if (!s->c)
		return err_set(err, ERR_NOMEM, "no memory for a connection to Redis");
	if (s->c->err || redisSetTimeout(s->c, tv) != REDIS_OK) {
		s->troubles++;
		s->is_stale = true;
		err_set(err, ERR_RETRY, "cannot connect to Redis at %s: %s", store_where(s), s->c->errstr);
		store_disconnect(s);
		return ERR_RETRY;
	}
	if (!s->here) /* TCP finds its own size */
		setsockopt(s->c->fd, SOL_SOCKET, SO_SNDBUF, &(int){ UNIX_SEND_BUFFER }, sizeof(int));
	s->c->reader->maxbuf = READER_KEEP;
	return 0;
}

int store_connect_to(struct store *s, const struct store_address *address, bool is_sentinel, struct err *err)
{
	int rc;

	s->here = address;
	rc = connect_socket(s, err);
	if (rc || is_sentinel)
		return rc;
	rc = greet(s, err);
	if (rc)
		store_disconnect(s);
	return rc;
}
