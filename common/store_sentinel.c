/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Redis Sentinel, "Guidelines for Redis clients": sentinels are asked in turn where the master is, and it is asked whether it is one. With
 * each new connection anew; the one that a failover has replaced hangs up, or says READONLY.
 */
#include "common/store_internal.h"

#include <stdio.h>
#include <string.h>

/* 0: s->master is where the sentinel that is connected says. */
static int ask_sentinel(struct store *s, struct err *err)
{
	redisReply *r;
	char port[STORE_HOST_SIZE + 8];
	int rc = store_ask(s, &r, err, "SENTINEL GET-MASTER-ADDR-BY-NAME %s", s->url.master);

	/* those that want a password have the one of the url */
	if (rc && s->c && s->url.password[0]) {
		rc = s->url.user[0] ? store_ask(s, &r, err, "AUTH %s %s", s->url.user, s->url.password) :
				      store_ask(s, &r, err, "AUTH %s", s->url.password);
		if (!rc) {
			freeReplyObject(r);
			rc = store_ask(s, &r, err, "SENTINEL GET-MASTER-ADDR-BY-NAME %s", s->url.master);
		}
	}
	if (rc)
		return rc;
	if (r->type == REDIS_REPLY_NIL) {
		rc = err_set(err, ERR_RETRY, "the sentinel at %s knows no master \"%s\"", store_where(s), s->url.master);
	} else if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
		   r->element[1]->type != REDIS_REPLY_STRING || !r->element[0]->len) {
		return store_surprise(s, r, err);
	} else {
		snprintf(port, sizeof(port), "%.*s:%.5s", STORE_HOST_SIZE - 1, r->element[0]->str, r->element[1]->str);
		if (r->element[0]->len >= STORE_HOST_SIZE || !store_address_read(&s->master, port))
			rc = err_set(err, ERR_RETRY, "the sentinel at %s gives an address that is none", store_where(s));
	}
	freeReplyObject(r);
	return rc;
}

/* A sentinel may not know yet that it is none any more. */
static int check_role(struct store *s, struct err *err)
{
	redisReply *r;
	int rc = store_ask(s, &r, err, "ROLE");

	if (rc)
		return rc;
	if (r->type != REDIS_REPLY_ARRAY || !r->elements || r->element[0]->type != REDIS_REPLY_STRING)
		return store_surprise(s, r, err);
	if (strcmp(r->element[0]->str, "master"))
		rc = err_set(err, ERR_RETRY, "Redis at %s is not the master (any more)", store_where(s));
	freeReplyObject(r);
	return rc;
}

int store_sentinel_connect(struct store *s, struct err *err)
{
	int rc = 0;

	for (int i = 0; i < s->url.n_hosts; i++) {
		rc = store_connect_to(s, &s->url.hosts[i], true, err);
		if (!rc)
			rc = ask_sentinel(s, err);
		store_disconnect(s);
		if (!rc)
			rc = store_connect_to(s, &s->master, false, err);
		if (!rc)
			rc = check_role(s, err);
		if (!rc || rc == ERR_NOMEM)
			break;
		store_disconnect(s);
		/* a wrong password will be wrong for the next one too */
		if (rc == ERR_USAGE)
			break;
	}
	s->troubles += rc == ERR_RETRY; /* none may have been counted: all answered, and none was the master */
	return rc;
}
