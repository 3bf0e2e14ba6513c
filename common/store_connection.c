/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The connection. hiredis formats commands and parses replies; bytes are sent here, because it
 * would copy them and move the rest after every partial write, and because its write() raises SIGPIPE.
 */
#include "common/store_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PORT_DEFAULT 6379
#define URL_MAX 1024
#define HEAD_MAX 32             /* bytes of a reply that are looked at in advance */
#define READER_KEEP (1u << 20) /* bytes of an idle read buffer that are kept */
#define PREFIX_DEFAULT "segfarm:"

/* --- the connection */

void store_disconnect(struct store *s)
{
	if (s->c)
		redisFree(s->c);
	s->c = NULL;
}

/* The connection is of no more use: a late reply would be taken for another's. */
static int lose(struct store *s, int error, struct err *err)
{
	s->troubles++;
	if (s->c && s->c->err == REDIS_ERR_EOF)
		err_set(err, ERR_RETRY, "Redis at %s has closed the connection", s->name);
	else if (s->c && s->c->err && s->c->err != REDIS_ERR_IO)
		err_set(err, ERR_RETRY, "talking to Redis at %s failed: %s", s->name, s->c->errstr);
	else if (error == EAGAIN || error == EWOULDBLOCK || error == ETIMEDOUT)
		err_set(err, ERR_RETRY, "Redis at %s does not answer within %d ms", s->name, s->timeout_ms);
	else
		err_set(err, ERR_RETRY, "talking to Redis at %s failed: %s", s->name, strerror(error));
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

/* Who has been let in once may wait until that is so again. */
static int refused(struct store *s, const redisReply *reply, struct err *err)
{
	int code = error_code(reply->str);
	if (code == ERR_USAGE && s->generation && !strstr(reply->str, "WRONGTYPE"))
		code = ERR_RETRY;
	s->troubles += code == ERR_RETRY && !store_begins_with(reply->str, "NOSCRIPT");
	return err_set(err, code, "Redis at %s says: %.200s", s->name, reply->str);
}

int store_reply(struct store *s, redisReply **reply, struct err *err)
{
	void *r = NULL;
	*reply = NULL;
	if (!s->c)
		return err_set(err, ERR_RETRY, "the connection to Redis at %s is lost", s->name);
	if (redisGetReply(s->c, &r) != REDIS_OK || !r)
		return lose(s, errno, err);
	*reply = r;
	if ((*reply)->type != REDIS_REPLY_ERROR)
		return 0;
	int rc = refused(s, *reply, err);
	freeReplyObject(*reply);
	*reply = NULL;
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
			store_disconnect(s);
			return err_set(err, ERR_RETRY, "Redis at %s has closed the connection", s->name);
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
		rc = err_set(err, ERR_RETRY, "talking to Redis at %s failed: a string without an end", s->name);
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

/* Errors inside EXEC's array. */
static int check_elements(struct store *s, const redisReply *reply, struct err *err)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return 0;
	for (size_t i = 0; i < reply->elements; i++)
		if (reply->element[i]->type == REDIS_REPLY_ERROR)
			return refused(s, reply->element[i], err);
	return 0;
}

int store_replies(struct store *s, int n, struct err *err)
{
	int first = 0;
	for (int i = 0; i < n && s->c; i++) {
		redisReply *reply;
		int rc = store_reply(s, &reply, first ? NULL : err);
		if (!rc)
			rc = check_elements(s, reply, first ? NULL : err);
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
	return err_set(err, ERR_RETRY, "Redis at %s gave a reply of an unexpected type (%d)", s->name, type);
}

/* --- sending */

static int send_all(struct store *s, struct iovec *v, int n_v, struct err *err)
{
	while (n_v) {
		struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n_v };
		ssize_t n = sendmsg(s->c->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lose(s, errno, err);
		advance(&v, &n_v, (size_t)n);
	}
	return 0;
}

void store_sender_init(struct store_sender *o, struct store *s, struct err *err)
{
	o->s = s;
	o->err = err;
	o->n = 0;
	o->n_text = 0;
	o->rc = store_connect(s, err);
}

int store_sender_flush(struct store_sender *o)
{
	if (!o->rc)
		o->rc = send_all(o->s, o->v, o->n, o->err);
	o->n = 0;
	o->n_text = 0;
	return o->rc;
}

static void put_iov(struct store_sender *o, char *data, size_t size)
{
	if (!size)
		return;
	o->v[o->n++] = (struct iovec){ data, size };
	if (o->n == STORE_BATCH)
		store_sender_flush(o);
}

void store_sender_put(struct store_sender *o, const void *data, size_t size)
{
	/* iovec is not const-correct; sendmsg only reads. */
	union {
		const void *in;
		char *out;
	} p = { .in = data };
	put_iov(o, p.out, size);
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
	put_iov(o, at, (size_t)n);
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
	int rc = send_all(s, &v, 1, err);
	redisFreeCommand(command);
	return rc;
}

/* On the connection that is there; for connecting itself. */
static int call_connected(struct store *s, redisReply **reply, struct err *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = send_va(s, err, fmt, ap);
	va_end(ap);
	return rc ? rc : store_reply(s, reply, err);
}

int store_send(struct store *s, struct err *err, const char *fmt, ...)
{
	int rc = store_connect(s, err);
	if (rc)
		return rc;
	va_list ap;
	va_start(ap, fmt);
	rc = send_va(s, err, fmt, ap);
	va_end(ap);
	return rc;
}

int store_call(struct store *s, redisReply **reply, struct err *err, const char *fmt, ...)
{
	*reply = NULL;
	int rc = store_connect(s, err);
	if (rc)
		return rc;
	va_list ap;
	va_start(ap, fmt);
	rc = send_va(s, err, fmt, ap);
	va_end(ap);
	return rc ? rc : store_reply(s, reply, err);
}

int store_call_argv(struct store *s, redisReply **reply, struct err *err, int argc, const char **argv, const size_t *sizes)
{
	char *command = NULL;
	*reply = NULL;
	int rc = store_connect(s, err);
	if (rc)
		return rc;
	long long n = redisFormatCommandArgv(&command, argc, argv, sizes);
	if (n < 0) {
		store_disconnect(s);
		return err_set(err, ERR_NOMEM, "no memory for a command to Redis");
	}
	struct iovec v = { command, (size_t)n };
	rc = send_all(s, &v, 1, err);
	redisFreeCommand(command);
	return rc ? rc : store_reply(s, reply, err);
}

/* --- connecting */

static int greet(struct store *s, struct err *err)
{
	redisReply *reply = NULL;
	int rc = 0;
	if (s->password) {
		rc = call_connected(s, &reply, err, "AUTH %s", s->password);
		freeReplyObject(reply);
	}
	if (!rc && s->db) {
		rc = call_connected(s, &reply, err, "SELECT %d", s->db);
		freeReplyObject(reply);
	}
	if (!rc) {
		rc = call_connected(s, &reply, err, "PING");
		freeReplyObject(reply);
	}
	return rc;
}

int store_connect(struct store *s, struct err *err)
{
	if (s->c)
		return 0;
	struct timeval tv = { s->timeout_ms / 1000, s->timeout_ms % 1000 * 1000 };
	s->c = s->path ? redisConnectUnixWithTimeout(s->path, tv) : redisConnectWithTimeout(s->host, s->port, tv);
	if (!s->c)
		return err_set(err, ERR_NOMEM, "no memory for a connection to Redis");
	if (s->c->err || redisSetTimeout(s->c, tv) != REDIS_OK) {
		s->troubles++;
		err_set(err, ERR_RETRY, "cannot connect to Redis at %s: %s", s->name, s->c->errstr);
		store_disconnect(s);
		return ERR_RETRY;
	}
	s->c->reader->maxbuf = READER_KEEP;
	int rc = greet(s, err);
	if (rc)
		store_disconnect(s);
	else
		s->generation++;
	return rc;
}

/* --- urls */

static bool percent_decode(char *s)
{
	char *out = s;
	for (; *s; s++) {
		unsigned v = (unsigned char)*s;
		if (*s == '%') {
			if (strspn(s + 1, "0123456789abcdefABCDEF") < 2 || sscanf(s + 1, "%2x", &v) != 1 || !v)
				return false;
			s += 2;
		}
		*out++ = (char)v;
	}
	*out = 0;
	return true;
}

/* A whole decimal number up to max, or -1. */
static int small_number(const char *s, int max)
{
	char *end;
	if (*s < '0' || *s > '9')
		return -1;
	long v = strtol(s, &end, 10);
	return *end || v > max ? -1 : (int)v;
}

/* [:password@]host[:port][/db] in a copy that is cut up; what is wrong with it, or NULL. */
static const char *parse_tcp(struct store *s, char *rest)
{
	char *at = strrchr(rest, '@');
	if (at) {
		*at = 0;
		if (*rest != ':')
			return "a user name is not supported, only :password@";
		if (!percent_decode(rest + 1))
			return "the password is wrongly percent-encoded";
		s->password = strdup(rest + 1);
		if (!s->password)
			return "out of memory";
		rest = at + 1;
	}
	char *slash = strchr(rest, '/');
	if (slash)
		*slash = 0;
	s->db = slash && slash[1] ? small_number(slash + 1, INT_MAX) : 0;
	if (s->db < 0)
		return "the database is not a number";
	char *host_end = *rest == '[' ? strchr(rest, ']') : rest + strcspn(rest, ":");
	if (!host_end)
		return "a ] is missing";
	char *port = *host_end == ']' ? host_end + 1 : host_end;
	if (*port && *port != ':')
		return "the port is not a number";
	s->port = *port ? small_number(port + 1, 65535) : PORT_DEFAULT;
	*host_end = 0;
	s->host = strdup(*rest == '[' ? rest + 1 : rest);
	if (s->port <= 0)
		return "the port is not a number from 1 to 65535";
	if (s->host && !*s->host)
		return "the host is missing";
	return s->host ? NULL : "out of memory";
}

static const char *parse_url(struct store *s, const char *url)
{
	char copy[URL_MAX];
	if (strlen(url) >= sizeof(copy))
		return "it is too long";
	if (store_begins_with(url, "rediss://"))
		return "TLS is not supported";
	if (store_begins_with(url, "unix://")) {
		const char *path = url + strlen("unix://");
		s->path = *path == '/' ? strdup(path) : NULL;
		return s->path ? NULL : "the path of the socket must be absolute";
	}
	if (!store_begins_with(url, "redis://"))
		return "it begins with neither unix:// nor redis://";
	strcpy(copy, url + strlen("redis://"));
	const char *wrong = parse_tcp(s, copy);
	explicit_bzero(copy, sizeof(copy));
	return wrong;
}

/* The url as it may be shown. */
static char *make_name(const struct store *s)
{
	char *name = NULL;
	int n = s->path ? asprintf(&name, "unix://%s", s->path)
			: asprintf(&name, strchr(s->host, ':') ? "redis://[%s]:%d/%d" : "redis://%s:%d/%d", s->host,
				   s->port, s->db);
	return n < 0 ? NULL : name;
}

/* A url that cannot be parsed may still hold a password: only its scheme is shown. */
static int bad_url(const char *url, const char *wrong, struct err *err)
{
	bool has_password = strchr(url, '@') != NULL;
	return err_set(err, ERR_USAGE, "the Redis URL %.200s is wrong: %s", has_password ? "(with a password)" : url,
		       wrong);
}

int store_open(struct store **store, const char *url, int timeout_ms, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	*store = NULL;
	if (!s)
		return err_set(err, ERR_NOMEM, "no memory for a connection to Redis");
	s->timeout_ms = timeout_ms;
	s->prefix = PREFIX_DEFAULT;
	const char *wrong = parse_url(s, url);
	int rc = 0;
	if (wrong) {
		rc = bad_url(url, wrong, err);
		goto out;
	}
	s->name = make_name(s);
	s->hash = XXH3_createState();
	rc = s->name && s->hash ? store_connect(s, err)
				: err_set(err, ERR_NOMEM, "no memory for a connection to Redis");
out:
	if (rc)
		store_close(s);
	else
		*store = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_disconnect(s);
	if (s->password)
		explicit_bzero(s->password, strlen(s->password));
	XXH3_freeState(s->hash);
	free(s->password);
	free(s->path);
	free(s->host);
	free(s->name);
	free(s);
}

int store_ping(struct store *s, struct err *err)
{
	redisReply *reply;
	int rc = store_call(s, &reply, err, "PING");
	freeReplyObject(reply);
	return rc;
}

/* Of lines "name:value\r\n"; -1: it is not there. */
static int64_t find_number(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = text; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, n) && at[n] == ':')
			return strtoll(at + n + 1, NULL, 10);
	}
	return -1;
}

int store_get_info(struct store *s, struct store_info *info, struct err *err)
{
	redisReply *memory = NULL, *stats = NULL;
	int rc = store_call(s, &memory, err, "INFO memory");

	if (!rc)
		rc = store_call(s, &stats, err, "INFO stats");
	if (!rc && (memory->type != REDIS_REPLY_STRING || stats->type != REDIS_REPLY_STRING))
		rc = err_set(err, ERR_DATA, "INFO is no text");
	if (!rc)
		*info = (struct store_info){ find_number(memory->str, "used_memory"), find_number(memory->str, "maxmemory"),
					     find_number(stats->str, "evicted_keys") };
	freeReplyObject(memory);
	freeReplyObject(stats);
	return rc;
}

unsigned store_troubles(const struct store *s)
{
	return s->troubles;
}

void store_set_timeout(struct store *s, int timeout_ms)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	s->timeout_ms = timeout_ms;
	if (s->c)
		redisSetTimeout(s->c, tv);
}

unsigned store_generation(const struct store *s)
{
	return s->generation;
}

void store_set_prefix(struct store *s, const char *prefix)
{
	s->prefix = prefix;
}
