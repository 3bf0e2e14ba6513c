/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/cli.h"

#include "common/timeline.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DECIMAL_WHOLE_MAX 1000000 /* in front of the point */

int cli_parse_decimal(const char *text, int digits, int64_t *value, struct err *err)
{
	int64_t v = 0;
	int seen = 0, behind = -1;

	for (const char *p = text; *p; p++) {
		if (*p == '.' && behind < 0) {
			behind = 0;
			continue;
		}
		if (!isdigit((unsigned char)*p) || behind == digits)
			return err_set(err, ERR_USAGE, "'%.40s' is not a decimal number of at most %d places", text,
				       digits);
		v = v * 10 + (*p - '0');
		seen++;
		behind += behind >= 0;
		if (behind < 0 && v > DECIMAL_WHOLE_MAX)
			return err_set(err, ERR_USAGE, "'%.40s' is too large", text);
	}
	if (!seen)
		return err_set(err, ERR_USAGE, "'%.40s' is not a number", text);
	for (behind = behind < 0 ? 0 : behind; behind < digits; behind++)
		v *= 10;
	*value = v;
	return 0;
}

int cli_parse_segment_duration(const char *text, int64_t *ticks, struct err *err)
{
	int64_t ns;
	int ret = cli_parse_decimal(text, 9, &ns, err);

	if (ret < 0) {
		err_prefix(err, "segment duration");
		return ret;
	}
	if (ns < NS_PER_SECOND / 2 || ns > 600 * NS_PER_SECOND)
		return err_set(err, ERR_USAGE, "a segment duration is 0.5 to 600 seconds, not %.40s", text);
	*ticks = timeline_ns_to_ticks(ns);
	return 0;
}

int cli_parse_int(const char *text, int64_t low, int64_t high, int64_t *value, struct err *err)
{
	struct err why;
	int64_t v;
	int ret = cli_parse_decimal(text, 0, &v, &why);

	if (ret < 0 || strchr(text, '.') || v < low || v > high)
		return err_set(err, ERR_USAGE, "'%.40s' is not a whole number from %" PRId64 " to %" PRId64, text,
			       low, high);
	*value = v;
	return 0;
}

static bool is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

int cli_parse_listen(const char *text, struct cli_listen *listen, struct err *err)
{
	const char *colon = strrchr(text, ':');
	const char *port = colon ? colon + 1 : text;
	const char *host = text;
	size_t size = colon ? (size_t)(colon - text) : 0;
	int64_t number;

	if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
		host++;
		size -= 2;
	}
	if (size > CLI_HOST_MAX || cli_parse_int(port, 0, 65535, &number, NULL) < 0)
		return err_set(err, ERR_USAGE, "'%.80s' is not ADDRESS:PORT", text);
	snprintf(listen->host, sizeof(listen->host), "%.*s", size ? (int)size : 9, size ? host : "127.0.0.1");
	if (!is_address(listen->host))
		return err_set(err, ERR_USAGE, "'%.80s' is not a numeric address to listen on", listen->host);
	listen->port = (uint16_t)number;
	return 0;
}
