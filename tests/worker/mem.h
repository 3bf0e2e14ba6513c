/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Inputs in memory of exactly their size, so that AddressSanitizer sees each read past the end. They live until
 * mem_release.
 */
#ifndef SEGFARM_TESTS_WORKER_MEM_H
#define SEGFARM_TESTS_WORKER_MEM_H

#include "common/buf.h"

struct bytes mem_copy(const void *data, size_t size); /* 0 bytes: data NULL */
struct bytes mem_hex(const char *digits);
void mem_release(void);
/* The bytes are those of the digits, or the test fails. */
void mem_assert(struct bytes got, const char *digits, const char *what);

#endif
