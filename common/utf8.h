/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * UTF-8 (RFC 3629). Pure.
 */
#ifndef SEGFARM_COMMON_UTF8_H
#define SEGFARM_COMMON_UTF8_H

#include <stddef.h>

/* Bytes of the character at s, of which n are there; 0: it is none. */
size_t utf8_character(const char *s, size_t n);

#endif
