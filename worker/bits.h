/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bit reader: reads past the end give zeros and set is_over, checked once at the end of a parse.
 */
#ifndef SEGFARM_WORKER_BITS_H
#define SEGFARM_WORKER_BITS_H

#include "common/buf.h"

struct bits {
	const uint8_t *data;
	size_t size; /* bytes */
	size_t at;   /* bits */
	bool is_over;
};

static inline uint32_t bits_get(struct bits *b, unsigned n) /* n <= 32 */
{
	uint32_t v = 0;

	while (n--) {
		if (b->at >= b->size * 8) {
			b->is_over = true;
			v <<= 1;
			continue;
		}
		v = v << 1 | (b->data[b->at >> 3] >> (7 - (b->at & 7)) & 1);
		b->at++;
	}
	return v;
}

static inline void bits_skip(struct bits *b, size_t n)
{
	if (n > b->size * 8 - b->at)
		b->is_over = true, n = b->size * 8 - b->at;
	b->at += n;
}

/* Exp-Golomb, ITU-T H.264 section 9.1. */
static inline uint32_t bits_ue(struct bits *b)
{
	unsigned zeros = 0;

	while (zeros < 32 && !b->is_over && !bits_get(b, 1))
		zeros++;
	if (zeros >= 32) {
		b->is_over = true;
		return 0;
	}
	return (uint32_t)(((uint64_t)1 << zeros) - 1 + bits_get(b, zeros));
}

static inline int32_t bits_se(struct bits *b)
{
	uint32_t v = bits_ue(b);

	return v & 1 ? (int32_t)(v / 2) + 1 : -(int32_t)(v / 2);
}

#endif
