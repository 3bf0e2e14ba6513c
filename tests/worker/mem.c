/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/mem.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_OWNED 4096

static void *owned[LIMIT_OWNED];
static size_t n_owned;

struct bytes mem_copy(const void *data, size_t size)
{
	void *copy = size ? malloc(size) : NULL;

	ck_assert(n_owned < LIMIT_OWNED && (copy || !size));
	if (size)
		memcpy(copy, data, size);
	owned[n_owned++] = copy;
	return (struct bytes){ copy, size };
}

struct bytes mem_hex(const char *digits)
{
	uint8_t data[1024];
	size_t n = strlen(digits) / 2;

	ck_assert(n <= sizeof data && strlen(digits) % 2 == 0);
	for (size_t i = 0; i < n; i++) {
		char two[3] = { digits[2 * i], digits[2 * i + 1], 0 };

		data[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return mem_copy(data, n);
}

void mem_release(void)
{
	while (n_owned)
		free(owned[--n_owned]);
}

void mem_assert(struct bytes got, const char *digits, const char *what)
{
	struct bytes want = mem_hex(digits);
	char text[2 * 1024 + 1] = "";

	for (size_t i = 0; i < got.size && i < 1024; i++)
		snprintf(text + 2 * i, 3, "%02x", got.data[i]);
	ck_assert_msg(got.size == want.size && (!want.size || !memcmp(got.data, want.data, want.size)),
		      "%s:\n%s, not\n%s", what, text, digits);
}
