/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/allow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

void allow_finish(struct allow *a)
{
	for (int i = 0; i < a->n_roots; i++)
		free(a->roots[i]);
	for (int i = 0; i < a->n_urls; i++)
		free(a->urls[i]);
	free(a->roots);
	free(a->urls);
	*a = (struct allow){ 0 };
}

static int add(char ***list, int *n, const char *text, struct err *err)
{
	char *copy = strdup(text), **grown = copy ? realloc(*list, ((size_t)*n + 1) * sizeof **list) : NULL;

	if (!grown) {
		free(copy);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*list = grown;
	grown[(*n)++] = copy;
	return 0;
}

/* ---- files */

int allow_add_root(struct allow *a, const char *path, struct err *err)
{
	char resolved[PATH_MAX];
	struct stat st;

	if (!realpath(path, resolved) || stat(resolved, &st))
		return err_set(err, ERR_USAGE, "%.300s: %s", path,
			       errno == ENOENT ? "there is no such file or directory" : strerror(errno));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_USAGE, "%.300s is neither a directory nor a regular file", path);
	return add(&a->roots, &a->n_roots, resolved, err);
}

static bool is_in(const char *root, const char *path)
{
	size_t n = strlen(root);

	if (n && root[n - 1] == '/') /* the one of all */
		n--;
	return !strncmp(path, root, n) && (path[n] == '/' || !path[n]);
}

int allow_path(const struct allow *a, const char *path, struct err *err)
{
	for (int i = 0; i < a->n_roots; i++)
		if (is_in(a->roots[i], path))
			return 0;
	return err_set(err, ERR_USAGE, "%.300s is in no media root: --media-root DIR tells where sources may lie", path);
}

/* From directory to directory. Those on the way need not be readable, nor are they read. */
int allow_open_beneath(int dir, const char *path)
{
	int at = fcntl(dir, F_DUPFD_CLOEXEC, 0), next;
	char name[NAME_MAX + 1];
	size_t n;

	for (; at >= 0; at = next) {
		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (!n || n > NAME_MAX || (n == 2 && !memcmp(path, "..", n))) {
			close(at);
			errno = EPERM;
			return -1;
		}
		memcpy(name, path, n);
		name[n] = 0;
		path += n;
		next = openat(at, name,
			      *path ? O_PATH | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY
				    : O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		close(at);
		if (!*path)
			return next;
	}
	return -1;
}

int allow_open(const char *path)
{
	int root = open("/", O_PATH | O_CLOEXEC | O_DIRECTORY), fd, code;

	if (root < 0)
		return -1;
	fd = allow_open_beneath(root, path);
	code = errno;
	close(root);
	errno = code;
	return fd;
}

/* ---- URLs */

struct form {
	char *out;
	size_t n;
	bool is_bad;
};

static void put(struct form *f, char c)
{
	if (f->n + 1 < ALLOW_URL_MAX)
		f->out[f->n++] = c;
	else
		f->is_bad = true;
	f->out[f->n] = 0;
}

static void put_all(struct form *f, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(f, text[i]);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One character of a path, which may be three; how many. */
static size_t put_path_char(struct form *f, const char *at)
{
	static const char digits[] = "0123456789ABCDEF";
	int c;

	if (*at != '%') {
		put(f, *at);
		return 1;
	}
	if (hex(at[1]) < 0 || hex(at[2]) < 0) {
		f->is_bad = true;
		return 1;
	}
	c = hex(at[1]) << 4 | hex(at[2]);
	f->is_bad |= c < 0x20 || c == 0x7f || c == '/' || c == '\\';
	if (c < 0x80 && (isalnum(c) || strchr("-._~", c))) {
		put(f, (char)c);
	} else {
		put(f, '%');
		put(f, digits[c >> 4]);
		put(f, digits[c & 15]);
	}
	return 3;
}

static void put_path(struct form *f, const char *path, size_t n)
{
	for (size_t at = 0; at < n && !f->is_bad;) {
		size_t name;

		put(f, '/');
		name = f->n;
		for (at++; at < n && path[at] != '/' && !f->is_bad;)
			at += put_path_char(f, path + at);
		f->is_bad |= !strcmp(f->out + name, ".") || !strcmp(f->out + name, "..");
	}
	if (!n)
		put(f, '/');
}

static void put_host(struct form *f, const char *host, size_t n)
{
	const char *may = *host == '[' ? "0123456789abcdef:." : "abcdefghijklmnopqrstuvwxyz0123456789.-_";

	for (size_t i = 0; i < n; i++) {
		char c = (char)tolower((unsigned char)host[i]);

		f->is_bad |= !strchr(may, c) && !(c == '[' && !i) && !(c == ']' && i == n - 1 && *host == '[');
		put(f, c);
	}
	f->is_bad |= !n || (*host == '[' && (n < 4 || host[n - 1] != ']'));
}

static void put_port(struct form *f, const char *port, size_t n, int usual)
{
	char text[16];
	int number = 0;

	for (size_t i = 0; i < n && i < 6; i++) {
		f->is_bad |= !isdigit((unsigned char)port[i]);
		number = number * 10 + port[i] - '0';
	}
	f->is_bad |= (port && !n) || n > 5 || (port && (number < 1 || number > 65535));
	snprintf(text, sizeof text, ":%d", port ? number : usual);
	put_all(f, text, strlen(text));
}

/* [USER@]HOST[:PORT], n bytes. */
static void put_authority(struct form *f, const char *text, size_t n, int usual)
{
	const char *user_end = memrchr(text, '@', n), *host = user_end ? user_end + 1 : text, *end = text + n;
	const char *colon = *host == '[' ? memchr(host, ']', (size_t)(end - host)) : host;

	if (user_end)
		put_all(f, text, (size_t)(host - text));
	colon = colon ? memchr(colon, ':', (size_t)(end - colon)) : NULL;
	put_host(f, host, (size_t)((colon ? colon : end) - host));
	put_port(f, colon ? colon + 1 : NULL, colon ? (size_t)(end - colon - 1) : 0, usual);
}

bool allow_form(const char *url, char form[ALLOW_URL_MAX])
{
	struct form f = { .out = form };
	bool is_tls = !strncasecmp(url, "https://", 8);
	size_t n;

	form[0] = 0;
	if (!is_tls && strncasecmp(url, "http://", 7))
		return false;
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '\\')
			return false;
	put_all(&f, is_tls ? "https://" : "http://", is_tls ? 8 : 7);
	url += is_tls ? 8 : 7;
	n = strcspn(url, "/?#");
	put_authority(&f, url, n, is_tls ? 443 : 80);
	url += n;
	n = strcspn(url, "?#");
	put_path(&f, url, n);
	url += n;
	if (*url == '?')
		put_all(&f, url, strcspn(url, "#"));
	return !f.is_bad;
}

int allow_add_url(struct allow *a, const char *prefix, struct err *err)
{
	char form[ALLOW_URL_MAX];

	if (!allow_form(prefix, form))
		return err_set(err, ERR_USAGE,
			       "'%.300s' is no http:// or https:// URL, or one that could be read in more than one way", prefix);
	return add(&a->urls, &a->n_urls, form, err);
}

static bool begins(const char *prefix, const char *url)
{
	size_t n = strlen(prefix);

	if (strncmp(prefix, url, n))
		return false;
	return !url[n] || (!strchr(prefix, '?') && (prefix[n - 1] == '/' || url[n] == '/' || url[n] == '?'));
}

int allow_url(const struct allow *a, const char *url, struct err *err)
{
	char form[ALLOW_URL_MAX];

	if (!allow_form(url, form))
		return err_set(err, ERR_USAGE, "%.300s could be read in more than one way", url);
	for (int i = 0; i < a->n_urls; i++)
		if (begins(a->urls[i], form))
			return 0;
	return err_set(err, ERR_USAGE, "%.300s begins with no allowed prefix: --allow-url PREFIX tells what may be read", url);
}

/* ---- addresses */

static bool is_net(uint32_t address, uint32_t net, int bits)
{
	return (address ^ net) >> (32 - bits) == 0;
}

static bool is_public4(uint32_t a)
{
	static const struct {
		uint32_t net;
		int bits;
	} others[] = {
		{ 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },  { 0xa9fe0000, 16 },
		{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xe0000000, 3 },
	};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (is_net(a, others[i].net, others[i].bits))
			return false;
	return true;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Global unicast; where an address of IPv4 is in it, that one counts. Not Teredo, which may lead anywhere. */
static bool is_public6(const uint8_t *p)
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b }, teredo[4] = { 0x20, 0x01, 0x00, 0x00 };

	if (!memcmp(p, nat64, sizeof nat64))
		return is_public4(get32(p + 12));
	if (p[0] == 0x20 && p[1] == 0x02)
		return is_public4(get32(p + 2));
	return p[0] >> 5 == 1 && memcmp(p, teredo, sizeof teredo) != 0;
}

/* IPv6, also for IPv4. */
static bool get_address(const struct sockaddr *address, struct in6_addr *to)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (address->sa_family == AF_INET6) {
		memcpy(to, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, sizeof *to);
	} else if (address->sa_family == AF_INET) {
		memcpy(to, mapped, sizeof mapped);
		memcpy(to->s6_addr + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	}
	return address->sa_family == AF_INET6 || address->sa_family == AF_INET;
}

/* Does a prefix name that address? */
static bool is_named(const char *form, const struct in6_addr *address, bool is_loopback)
{
	const char *host = strstr(form, "://") + 3, *slash = strchr(host, '/'), *user = memrchr(host, '@', (size_t)(slash - host));
	char text[INET6_ADDRSTRLEN + 8] = "::ffff:";
	struct in6_addr other;
	bool is_v6;
	size_t n;

	host = user ? user + 1 : host;
	is_v6 = *host == '[';
	host += is_v6;
	n = strcspn(host, is_v6 ? "]" : ":");
	if (is_loopback && n == 9 && !memcmp(host, "localhost", n))
		return true;
	if (n >= INET6_ADDRSTRLEN)
		return false;
	memcpy(text + (is_v6 ? 0 : 7), host, n);
	text[n + (is_v6 ? 0 : 7)] = 0;
	return inet_pton(AF_INET6, text, &other) == 1 && !memcmp(&other, address, sizeof other);
}

bool allow_address(const struct allow *a, const struct sockaddr *address)
{
	struct in6_addr v6;
	bool is_v4, is_loopback;

	if (!get_address(address, &v6))
		return false;
	is_v4 = IN6_IS_ADDR_V4MAPPED(&v6);
	if (a->has_private || (is_v4 ? is_public4(get32(v6.s6_addr + 12)) : is_public6(v6.s6_addr)))
		return true;
	is_loopback = is_v4 ? v6.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&v6);
	for (int i = 0; i < a->n_urls; i++)
		if (is_named(a->urls[i], &v6, is_loopback))
			return true;
	return false;
}
