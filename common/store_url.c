/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/store_url.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_REDIS 6379
#define PORT_SENTINEL 26379

static const struct {
	const char *text;
	enum store_kind kind;
} schemes[] = {
	{ "unix://", STORE_UNIX },
	{ "redis://", STORE_TCP },
	{ "redis+sentinel://", STORE_SENTINEL },
	{ "redis+cluster://", STORE_CLUSTER },
};

static bool begins_with(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* In place. */
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

/* Decodes into a field of that size. */
static bool decode(char *field, size_t size, char *text)
{
	bool is_good = percent_decode(text) && strlen(text) < size;

	if (is_good)
		strcpy(field, text);
	return is_good;
}

/* [user]:password */
static const char *read_user(struct store_url *u, char *text)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return "in front of the @ is no :PASSWORD";
	*colon = 0;
	if (!decode(u->user, sizeof(u->user), text))
		return "the user is wrongly percent-encoded, or too long";
	if (!decode(u->password, sizeof(u->password), colon + 1))
		return "the password is wrongly percent-encoded";
	return u->user[0] && !u->password[0] ? "the user has no password" : NULL;
}

static int small_number(const char *s, int max)
{
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return -1;
	v = strtol(s, &end, 10);
	return *end || v > max ? -1 : (int)v;
}

/* host[:port] */
static const char *read_host(struct store_url *u, char *text)
{
	struct store_address *a = &u->hosts[u->n_hosts];
	char *end = *text == '[' ? strchr(text, ']') : text + strcspn(text, ":"), *port;

	if (u->n_hosts == STORE_HOSTS_MAX)
		return "it has too many hosts";
	if (!end)
		return "a ] is missing";
	port = *end == ']' ? end + 1 : end;
	if (*port && *port != ':')
		return "the port is not a number";
	a->port = *port ? small_number(port + 1, 65535) : u->kind == STORE_SENTINEL ? PORT_SENTINEL : PORT_REDIS;
	*end = 0;
	text += *text == '[';
	if (a->port <= 0)
		return "the port is not a number from 1 to 65535";
	if (!*text)
		return "the host is missing";
	if (strlen(text) >= sizeof(a->host))
		return "the name of a host is too long";
	strcpy(a->host, text);
	u->n_hosts++;
	return NULL;
}

/* What stands behind the hosts: [name][/db], [db], or nothing. */
static const char *read_tail(struct store_url *u, char *tail)
{
	char *db = tail;

	if (u->kind == STORE_CLUSTER)
		return *tail ? "a cluster has no databases" : NULL;
	if (u->kind == STORE_SENTINEL) {
		db = strchr(tail, '/');
		if (db)
			*db++ = 0;
		if (strlen(tail) >= sizeof(u->master) || !percent_decode(tail))
			return "the name of the master is too long, or wrongly percent-encoded";
		strcpy(u->master, *tail ? tail : "mymaster");
	}
	u->db = db && *db ? small_number(db, INT_MAX) : 0;
	return u->db < 0 ? "the database is not a number" : NULL;
}

/* Cuts text up. */
static const char *read_net(struct store_url *u, char *text)
{
	char *at = strrchr(text, '@'), *slash, *next;
	const char *wrong = NULL;

	if (at) {
		*at = 0;
		wrong = read_user(u, text);
		text = at + 1;
	}
	slash = strchr(text, '/');
	if (slash)
		*slash = 0;
	for (; text && !wrong; text = next) {
		next = strchr(text, ',');
		if (next && u->kind == STORE_TCP)
			return "it has more than one host, which is for redis+sentinel:// and redis+cluster://";
		if (next)
			*next++ = 0;
		wrong = read_host(u, text);
	}
	return wrong ? wrong : read_tail(u, slash ? slash + 1 : (char[]){ "" });
}

static const char *read_url(struct store_url *u, char *text)
{
	if (begins_with(text, "rediss://") || begins_with(text, "rediss+"))
		return "TLS is not built in: run stunnel beside each program, and name its local port with redis://";
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!begins_with(text, schemes[i].text))
			continue;
		u->kind = schemes[i].kind;
		text += strlen(schemes[i].text);
		if (u->kind != STORE_UNIX)
			return read_net(u, text);
		if (*text != '/')
			return "the path of the socket must be absolute";
		strcpy(u->path, text);
		return NULL;
	}
	return "it has to begin with unix://, redis://, redis+sentinel:// or redis+cluster://";
}

int store_url_read(struct store_url *u, const char *text, struct err *err)
{
	char copy[STORE_URL_MAX] = "";
	const char *wrong;

	memset(u, 0, sizeof(*u));
	if (strlen(text) >= sizeof(copy)) {
		wrong = "it is too long";
	} else {
		strcpy(copy, text);
		wrong = read_url(u, copy);
		explicit_bzero(copy, sizeof(copy));
	}
	if (!wrong)
		return 0;
	/* one that cannot be parsed may still hold a password */
	return err_set(err, ERR_USAGE, "the Redis URL %.200s is wrong: %s", strchr(text, '@') ? "(with a password)" : text, wrong);
}

int store_urls_read(struct store_url urls[STORE_URLS_MAX], const char *text, struct err *err)
{
	char one[STORE_URL_MAX + 1]; /* cut it is still too long */
	int n = 0, rc = 0;

	do {
		size_t size = strcspn(text, " ");

		if (n == STORE_URLS_MAX)
			return err_set(err, ERR_USAGE, "these are more than %d Redis URLs", STORE_URLS_MAX);
		snprintf(one, sizeof(one), "%.*s", (int)(size < sizeof(one) ? size : sizeof(one)), text);
		rc = store_url_read(&urls[n++], one, err);
		text += size + strspn(text + size, " ");
	} while (!rc && *text);
	explicit_bzero(one, sizeof(one));
	return rc ? rc : n;
}

void store_url_name(const struct store_url *u, char name[STORE_URL_MAX])
{
	size_t n = 0;

	if (u->kind == STORE_UNIX) {
		snprintf(name, STORE_URL_MAX, "unix://%.1000s", u->path);
		return;
	}
	n += (size_t)snprintf(name, STORE_URL_MAX, "%s", schemes[u->kind].text);
	for (int i = 0; i < u->n_hosts && n < STORE_URL_MAX; i++)
		n += (size_t)snprintf(name + n, STORE_URL_MAX - n, strchr(u->hosts[i].host, ':') ? "%s[%s]:%d" : "%s%s:%d", i ? "," : "",
				      u->hosts[i].host, u->hosts[i].port);
	if (u->kind == STORE_SENTINEL && n < STORE_URL_MAX)
		n += (size_t)snprintf(name + n, STORE_URL_MAX - n, "/%s", u->master);
	if (u->kind != STORE_CLUSTER && n < STORE_URL_MAX)
		snprintf(name + n, STORE_URL_MAX - n, "/%d", u->db);
}
