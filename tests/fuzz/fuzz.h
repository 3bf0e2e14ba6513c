/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the fuzz targets share: pieces of the input as numbers and views, and a strict walk over ISO boxes.
 * A target's claims are ASSERTs.
 */
#ifndef SEGFARM_TESTS_FUZZ_FUZZ_H
#define SEGFARM_TESTS_FUZZ_FUZZ_H

#include "common/buf.h"
#include "common/err.h"

/* libFuzzer's entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes from the front of what is left; behind the end there are zeros. */
uint64_t fuzz_uint(struct bytes *in, size_t n);
/* The next n bytes, or fewer where there are none left. */
struct bytes fuzz_bytes(struct bytes *in, size_t n);
/* A copy of exactly its size, so that each read past its end is seen; the caller frees it. */
struct bytes fuzz_copy(struct bytes b);

/* A box's type and where its body lies. fn is called for each box, parents before children. */
struct fuzz_box {
	uint32_t type;
	size_t at; /* of its header, in the whole */
	struct bytes body;
};
typedef void fuzz_box_fn(void *arg, const struct fuzz_box *box, const struct fuzz_box *parent);
/* Every box fills its parent exactly, header, fixed part and children, or it asserts. An mdat's data follow elsewhere: its size
 * may go beyond the end by `beyond` bytes. */
void fuzz_walk_boxes(struct bytes whole, int64_t beyond, fuzz_box_fn *fn, void *arg);

#define FUZZ_BOX(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

#endif
