/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Header fields of HTTP (RFC 9110, 9111), as clients write them. Pure.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_HEADER_H
#define SEGFARM_DISPATCHER_HTTP_HEADER_H

#include <stdbool.h>
#include <stdint.h>

/* A Range of a body of `size` bytes, RFC 9110 section 14: 1 one part, bytes first to last; 0 it is to be ignored (also where it asks
 * for several parts); -1 none of it is there. */
int http_header_range(const char *value, uint64_t size, uint64_t *first, uint64_t *last);

/* Whether a list of If-None-Match has the entity tag ("\"...\""), weakly compared. */
bool http_header_has_tag(const char *list, const char *tag);

/* Whether Accept-Encoding (NULL: there is none) takes gzip, and not sooner the plain body. */
bool http_header_takes_gzip(const char *value);

/* Whether a media type is the one meant, whatever its parameters. */
bool http_header_is_type(const char *value, const char *type);

/* Of "Bearer TOKEN" the token; NULL: it is something else. */
const char *http_header_bearer(const char *value);

/* Whether the Host is a name or an address of this very machine, with whatever port. */
bool http_header_is_loopback(const char *host);
/* Whether an Origin (scheme://host[:port]) is that of the Host asked for. */
bool http_header_is_same_origin(const char *origin, const char *host);

#endif
