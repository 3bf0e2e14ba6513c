/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The URLs that say where Redis is. Pure.
 *
 *   unix:///PATH
 *   redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]
 *   redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...[/NAME[/DB]]     of sentinels; NAME of the master, else "mymaster"
 *   redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...                  of some of its nodes
 *
 * User and password are percent-encoded; an IPv6 address stands in []. Two of them may be given with a space in between: "STATE DATA".
 */
#ifndef SEGFARM_COMMON_STORE_URL_H
#define SEGFARM_COMMON_STORE_URL_H

#include "common/err.h"
#include "common/store_slot.h"

#define STORE_URL_MAX 1024
#define STORE_URLS_MAX 2
#define STORE_HOSTS_MAX 16
/* How it is told to people. */
#define STORE_URL_FORMS \
	"unix:///PATH, redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], redis+sentinel://HOST[:PORT][,...]/NAME or redis+cluster://HOST[:PORT][,...];" \
	" 'STATE DATA': two of them, the second for segments"

enum store_kind { STORE_UNIX, STORE_TCP, STORE_SENTINEL, STORE_CLUSTER };

struct store_url {
	enum store_kind kind;
	char path[STORE_URL_MAX]; /* of a unix socket */
	char user[256], password[STORE_URL_MAX]; /* "": none */
	char master[128];         /* of sentinels */
	struct store_address hosts[STORE_HOSTS_MAX];
	int n_hosts;              /* at least 1, but for a unix socket */
	int db;
};

/* ERR_USAGE, with a sentence that shows no password. */
int store_url_read(struct store_url *url, const char *text, struct err *err);
/* One or two, with spaces between them: how many. The same errors. */
int store_urls_read(struct store_url urls[STORE_URLS_MAX], const char *text, struct err *err);
/* As it may be shown: without user and password. */
void store_url_name(const struct store_url *url, char name[STORE_URL_MAX]);

#endif
