/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SPACE " \t"
#define HOST_MAX 256

static const char *skip_space(const char *p)
{
	return p + strspn(p, SPACE);
}

/* Digits, or an empty number: false. What is beyond all sizes is the largest number. */
static bool parse_number(const char **text, uint64_t *value)
{
	const char *p = *text;

	*value = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) || __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value)) {
			*value = UINT64_MAX;
			p += strspn(p, "0123456789");
			break;
		}
	if (p == *text)
		return false;
	*text = p;
	return true;
}

int http_header_range(const char *value, uint64_t size, uint64_t *first, uint64_t *last)
{
	const char *p = value;
	bool has_first, has_last = false;

	if (strncasecmp(p, "bytes=", 6))
		return 0;
	p = skip_space(p + 6);
	has_first = parse_number(&p, first);
	if (*p++ != '-')
		return 0;
	has_last = parse_number(&p, last);
	if (*skip_space(p) || (!has_first && !has_last) || (has_first && has_last && *last < *first))
		return 0;
	if (!has_first) { /* the last so many bytes */
		if (!*last || !size)
			return -1;
		*first = *last < size ? size - *last : 0;
		*last = size - 1;
		return 1;
	}
	if (*first >= size)
		return -1;
	if (!has_last || *last >= size)
		*last = size - 1;
	return 1;
}

bool http_header_has_tag(const char *list, const char *tag)
{
	size_t n = strlen(tag);
	const char *end;

	for (const char *p = list; *(p = p + strspn(p, SPACE ","));) {
		if (*p == '*')
			return true;
		if (p[0] == 'W' && p[1] == '/')
			p += 2;
		end = *p == '"' ? strchr(p + 1, '"') : NULL;
		if (!end)
			return false;
		if ((size_t)(end + 1 - p) == n && !memcmp(p, tag, n))
			return true;
		p = end + 1;
	}
	return false;
}

/* The thousandths of ";q=0.5" behind the name (RFC 9110, 12.4.2), 1000 where there is none. */
static int parse_weight(const char *p, const char *end)
{
	int weight = 0;

	for (; p < end; p++)
		if ((*p == 'q' || *p == 'Q') && p + 1 < end && p[1] == '=')
			break;
	if (p == end || p + 2 == end || p[2] != '0')
		return 1000;
	p += p + 3 < end && p[3] == '.' ? 4 : 3;
	for (int unit = 100; unit && p < end && *p >= '0' && *p <= '9'; unit /= 10)
		weight += (*p++ - '0') * unit;
	return weight;
}

bool http_header_takes_gzip(const char *value)
{
	int gzip = -1, any = -1, identity = -1, weight;
	const char *end, *name_end;

	for (const char *p = value ? value : ""; *(p = p + strspn(p, SPACE ","));) {
		end = p + strcspn(p, ",");
		name_end = p + strcspn(p, SPACE ",;");
		weight = parse_weight(name_end, end);
		if ((name_end - p == 4 && !strncasecmp(p, "gzip", 4)) || (name_end - p == 6 && !strncasecmp(p, "x-gzip", 6)))
			gzip = weight;
		else if (name_end - p == 1 && *p == '*')
			any = weight;
		else if (name_end - p == 8 && !strncasecmp(p, "identity", 8))
			identity = weight;
		p = end;
	}
	gzip = gzip < 0 ? any : gzip;
	return gzip > 0 && gzip >= identity;
}

bool http_header_is_type(const char *value, const char *type)
{
	size_t n = strlen(type);

	return !strncasecmp(value, type, n) && strchr(";" SPACE, value[n]);
}

const char *http_header_bearer(const char *value)
{
	if (strncasecmp(value, "Bearer ", 7))
		return NULL;
	value += 7 + strspn(value + 7, " ");
	return *value ? value : NULL;
}

/* The host of "host", "host:port", "[host]:port". */
static bool split_host(const char *text, char host[HOST_MAX])
{
	size_t n = *text == '[' ? strcspn(++text, "]") : strcspn(text, ":");
	const char *rest = text + n + (text[n] == ']');

	if (!n || n >= HOST_MAX || (*rest && *rest != ':') || (*rest && rest[1 + strspn(rest + 1, "0123456789")]))
		return false;
	memcpy(host, text, n);
	host[n] = 0;
	return true;
}

bool http_header_is_loopback(const char *text)
{
	struct in6_addr six;
	struct in_addr four;
	char host[HOST_MAX];

	if (!split_host(text, host))
		return false;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return !strcasecmp(host, "localhost");
}

bool http_header_is_same_origin(const char *origin, const char *host)
{
	const char *at = strstr(origin, "://");

	return at && !strcasecmp(at + 3, host);
}
