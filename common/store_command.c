/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One command and its answer.
 */
#include "common/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TRIES 6 /* of a command that is redirected, the first one included */

/* What becomes of an answer: it is given to the caller, or, a string, put behind what is in out. */
struct answer {
	redisReply **reply;
	struct buf *out;
	size_t max;
};

static int exchange(struct store *s, const struct iovec *v, int n_v, const struct answer *to, struct err *err)
{
	int rc = store_send_bytes(s, v, n_v, err);

	if (rc)
		return rc;
	return to->out ? store_reply_string(s, to->out, to->max, err) : store_reply(s, to->reply, err);
}

static int call(struct store *s, const char *key, const struct iovec *v, int n_v, const struct answer *to, struct err *err)
{
	int rc = store_turn(s, key, err);

	if (!rc)
		rc = exchange(s, v, n_v, to, err);
	for (int try = 1; try < TRIES && rc == ERR_RETRY && s->redirect.kind != STORE_STAYS && s->redirect.kind != STORE_DOWN; try++) {
		rc = store_cluster_follow(s, key, err);
		if (!rc)
			rc = exchange(s, v, n_v, to, err);
	}
	/* it has been tried enough */
	if (rc == ERR_RETRY && s->redirect.kind != STORE_STAYS) {
		s->troubles++;
		s->is_stale = true;
	}
	return rc;
}

int store_call_bytes(struct store *s, const char *key, const struct iovec *v, int n_v, redisReply **reply, struct err *err)
{
	*reply = NULL;
	return call(s, key, v, n_v, &(struct answer){ .reply = reply }, err);
}

/* What hiredis has formatted; n < 0: it could not. */
static int call_text(struct store *s, const char *key, char *command, long long n, const struct answer *to, struct err *err)
{
	int rc;

	if (n < 0)
		return err_set(err, ERR_NOMEM, "no memory for a command to Redis");
	rc = call(s, key, &(struct iovec){ command, (size_t)n }, 1, to, err);
	redisFreeCommand(command);
	return rc;
}

static int call_va(struct store *s, const char *key, redisReply **reply, struct err *err, const char *fmt, va_list ap)
{
	char *command = NULL;
	int n = redisvFormatCommand(&command, fmt, ap);

	*reply = NULL;
	return call_text(s, key, command, n, &(struct answer){ .reply = reply }, err);
}

int store_call(struct store *s, const char *key, redisReply **reply, struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int rc = call_va(s, key, reply, err, fmt, ap);
	va_end(ap);
	return rc;
}

int store_do(struct store *s, const char *key, struct err *err, const char *fmt, ...)
{
	redisReply *reply;
	va_list ap;

	va_start(ap, fmt);
	int rc = call_va(s, key, &reply, err, fmt, ap);
	va_end(ap);
	freeReplyObject(reply);
	return rc;
}

int store_count(struct store *s, const char *key, int64_t *n, struct err *err, const char *fmt, ...)
{
	redisReply *reply;
	va_list ap;

	va_start(ap, fmt);
	int rc = call_va(s, key, &reply, err, fmt, ap);
	va_end(ap);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_INTEGER)
		return store_surprise(s, reply, err);
	*n = reply->integer;
	freeReplyObject(reply);
	return 0;
}

int store_call_argv(struct store *s, const char *key, redisReply **reply, struct err *err, int argc, const char **argv, const size_t *sizes)
{
	char *command = NULL;
	long long n = redisFormatCommandArgv(&command, argc, argv, sizes);

	*reply = NULL;
	return call_text(s, key, command, n, &(struct answer){ .reply = reply }, err);
}

int store_get_string(struct store *s, const char *key, struct buf *out, size_t max, struct err *err)
{
	char command[STORE_KEY_MAX + 64];
	int n = snprintf(command, sizeof(command), "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);

	ASSERT(n > 0 && (size_t)n < sizeof(command));
	return call(s, key, &(struct iovec){ command, (size_t)n }, 1, &(struct answer){ .out = out, .max = max }, err);
}
