/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allow: which sources may be read: files in media roots, and URLs that begin with a prefix. Nothing else. Both sides go by such
 * a list: the dispatcher when it accepts a source, and again the worker when it opens it.
 *
 * URLs are compared in one form: scheme and host in lower case, the port always there, %XX of letters, digits and -._~ decoded.
 * What could be read in more than one way is refused: backslashes, "." and ".." in the path (also as %2e), %2F, %5C, and %XX of
 * control characters. A prefix ends at a border of the path: /films allows /films, /films/a and /films?a, not /films2. One with
 * a query allows that very URL.
 */
#ifndef SEGFARM_COMMON_ALLOW_H
#define SEGFARM_COMMON_ALLOW_H

#include "common/err.h"

#include <limits.h>
#include <stdbool.h>

#define ALLOW_URL_MAX 4104 /* bytes of a URL in that form: a port may have been added */

struct sockaddr;

struct allow {
	char **roots;  /* resolved: directories and files; owned */
	int n_roots;
	char **urls;   /* prefixes in that form; owned */
	int n_urls;
	bool has_private; /* names of hosts may lead to addresses that are not public */
};
void allow_finish(struct allow *a); /* leaves it empty */

/* A directory or regular file that is there. ERR_USAGE; ERR_NOMEM. */
int allow_add_root(struct allow *a, const char *path, struct err *err);
/* http:// or https:// with a host. ERR_USAGE; ERR_NOMEM. */
int allow_add_url(struct allow *a, const char *prefix, struct err *err);

/* ERR_USAGE with a sentence that names the option: it is not in the list. A path is absolute, and resolved. */
int allow_path(const struct allow *a, const char *path, struct err *err);
int allow_url(const struct allow *a, const char *url, struct err *err);
/* May a host in the list have that address? Those that are not public (this host, private networks, link-local) only if a prefix
 * names that very address, or says localhost and means it, or has_private is set. */
bool allow_address(const struct allow *a, const struct sockaddr *address);

/* The one form of a URL; false: it is none, or could be read in more than one way. */
bool allow_form(const char *url, char form[ALLOW_URL_MAX]);

/* Opens for reading what lies at a resolved path, through no link at all: what was looked at is what is opened. A FIFO is not
 * waited for. A descriptor, or -1 with errno. */
int allow_open(const char *path);
/* The same beneath a directory: through no link, and not by "..". errno EPERM: the name is not of that kind. */
int allow_open_beneath(int dir, const char *path);

#endif
