/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whole files in memory, for tests that change them.
 */
#ifndef SEGFARM_TESTS_E2E_CRAFT_H
#define SEGFARM_TESTS_E2E_CRAFT_H

#include "common/buf.h"

/* The whole file; to be finished with buf_finish. */
void craft_load(struct buf *out, const char *path);
void craft_save(const char *path, struct bytes data);
/* Overwrites with what looks like nothing, the same each time. */
void craft_spoil(uint8_t *data, size_t n);

#endif
