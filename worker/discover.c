/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/discover.h"

#include "common/log.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RESOLVE_S 1       /* for a name server's answer; each is asked once */
#define BEACONS_MAX 256
#define TCP "tcp://"

bool discover_has(const struct discovery *d, const char *endpoint)
{
	for (int i = 0; i < d->n; i++)
		if (!strcmp(d->endpoints[i], endpoint))
			return true;
	return false;
}

static void add(struct discovery *d, const char *endpoint)
{
	if (discover_has(d, endpoint))
		return;
	d->is_cut |= d->n == d->size;
	if (d->n < d->size)
		snprintf(d->endpoints[d->n++], STORE_ENDPOINT_SIZE, "%s", endpoint);
}

/* Of tcp://HOST:PORT; false: it is none, or its host is no name. */
static bool split_name(const char *where, char host[NI_MAXHOST], const char **port)
{
	const char *begin = where + strlen(TCP), *colon = strrchr(where, ':');
	struct in_addr ignored;

	if (strncmp(where, TCP, strlen(TCP)) || colon <= begin || *begin == '[' || (size_t)(colon - begin) >= NI_MAXHOST)
		return false;
	memcpy(host, begin, (size_t)(colon - begin));
	host[colon - begin] = '\0';
	*port = colon + 1;
	return inet_pton(AF_INET, host, &ignored) != 1;
}

bool discover_is_fixed(const char *where)
{
	char host[NI_MAXHOST];
	const char *port;

	return strcmp(where, DISCOVER_REDIS) && !split_name(where, host, &port);
}

void discover_hurry(void)
{
	if (res_init())
		return;
	_res.retrans = RESOLVE_S;
	_res.retry = 1;
}

static int discover_name(struct discovery *d, const char *host, const char *port, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found;
	int ret = getaddrinfo(host, port, &hints, &found);

	if (ret) { /* a dispatcher with addresses of both kinds is one all the same */
		hints.ai_family = AF_INET6;
		ret = getaddrinfo(host, port, &hints, &found);
	}
	if (ret)
		return err_set(err, ERR_RETRY, "%.200s: %s", host, gai_strerror(ret));
	for (const struct addrinfo *a = found; a; a = a->ai_next) {
		char address[INET6_ADDRSTRLEN + 20], endpoint[STORE_ENDPOINT_SIZE];

		if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST))
			continue;
		snprintf(endpoint, sizeof endpoint, a->ai_family == AF_INET6 ? TCP "[%s]:%s" : TCP "%s:%s", address, port);
		add(d, endpoint);
	}
	freeaddrinfo(found);
	return 0;
}

static bool is_for_us(const struct store_beacon *b, const char *host, bool has_ipc)
{
	if (b->host[0] && strcmp(b->host, host)) /* a loopback address, say, is that of whoever reads it */
		return false;
	return !strncmp(b->endpoint, TCP, strlen(TCP)) || (has_ipc && !strncmp(b->endpoint, "ipc://", 6));
}

static int discover_redis(struct discovery *d, struct store *store, bool has_ipc, struct err *err)
{
	static struct store_beacon beacons[BEACONS_MAX];
	char host[STORE_HOSTNAME_SIZE] = "";
	int n = store_list_beacons(store, beacons, BEACONS_MAX, err);

	gethostname(host, sizeof host - 1);
	for (int i = 0; i < n; i++)
		if (is_for_us(&beacons[i], host, has_ipc))
			add(d, beacons[i].endpoint);
	return n < 0 ? n : 0;
}

int discover(struct discovery *d, const char *where, struct store *store, bool has_ipc, struct err *err)
{
	char host[NI_MAXHOST];
	const char *port;

	if (!strcmp(where, DISCOVER_REDIS))
		return discover_redis(d, store, has_ipc, err);
	if (split_name(where, host, &port))
		return discover_name(d, host, port, err);
	add(d, where);
	return 0;
}
