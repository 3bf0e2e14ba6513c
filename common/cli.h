/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What people write on command lines, read strictly. Pure.
 */
#ifndef SEGFARM_COMMON_CLI_H
#define SEGFARM_COMMON_CLI_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CLI_HOST_MAX 63

struct cli_listen {
	char host[CLI_HOST_MAX + 1]; /* numeric IPv4 or IPv6 address, without brackets */
	uint16_t port;               /* 0: any free one */
};

/* "12", "0.5", ".5": a decimal with at most `digits` digits behind the point, times 10^digits, exactly. */
int cli_parse_decimal(const char *text, int digits, int64_t *value, struct err *err);
/* Seconds, 0.5 to 600, to the nearest tick. */
int cli_parse_segment_duration(const char *text, int64_t *ticks, struct err *err);
int cli_parse_int(const char *text, int64_t low, int64_t high, int64_t *value, struct err *err);
/* "127.0.0.1:8090", "[::1]:8090", ":8090" (loopback) or "8090" (loopback). */
int cli_parse_listen(const char *text, struct cli_listen *listen, struct err *err);

#endif
