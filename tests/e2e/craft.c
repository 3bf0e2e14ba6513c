/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/craft.h"

#include <check.h>
#include <stdio.h>

void craft_load(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t piece[65536];
	size_t n;

	buf_init(out);
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_put(out, piece, n);
	fclose(f);
	ck_assert(!buf_failed(out));
}

void craft_save(const char *path, struct bytes data)
{
	FILE *f = fopen(path, "wb");

	ck_assert_msg(f != NULL, "%s cannot be written", path);
	ck_assert_uint_eq(fwrite(data.data, 1, data.size, f), data.size);
	ck_assert_int_eq(fclose(f), 0);
}

void craft_spoil(uint8_t *data, size_t n)
{
	uint32_t x = 2463534242;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		data[i] = (uint8_t)(x >> 8);
	}
}
