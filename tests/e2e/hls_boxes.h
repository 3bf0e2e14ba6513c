/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The boxes of an init segment and its media segments, ISO/IEC 14496-12, -14, -15. For hls.c.
 */
#ifndef SEGFARM_TESTS_E2E_HLS_BOXES_H
#define SEGFARM_TESTS_E2E_HLS_BOXES_H

#include "tests/e2e/hls.h"

/* Fills the tracks from h->init and the files of h->segments. */
void hls_read_boxes(struct hls *h);
/* Makes room for one element behind the n there are. */
void *hls_grow(void *array, size_t n, size_t *capacity, size_t size);

#endif
