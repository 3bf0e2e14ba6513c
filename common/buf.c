/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/buf.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64

/* Room for n more bytes and a NUL. */
static bool buf_reserve(struct buf *b, size_t n)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT_DEFAULT;
	if (b->failed || b->size > limit || n > limit - b->size) {
		b->failed = true;
		return false;
	}
	size_t need = b->size + n + 1;
	if (need <= b->cap)
		return true;
	size_t cap = b->cap < CAP_MIN ? CAP_MIN : b->cap;
	while (cap < need)
		cap *= 2;
	if (cap > limit + 1 && limit + 1 >= need)
		cap = limit + 1;
	uint8_t *data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_init(struct buf *b)
{
	memset(b, 0, sizeof(*b));
}

void buf_finish(struct buf *b)
{
	size_t limit = b->limit;
	free(b->data);
	memset(b, 0, sizeof(*b));
	b->limit = limit;
}

void buf_reset(struct buf *b)
{
	b->size = 0;
	b->failed = false;
}

bool buf_failed(const struct buf *b)
{
	return b->failed;
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
	if (!buf_reserve(b, n))
		return NULL;
	uint8_t *p = b->data + b->size;
	b->size += n;
	return p;
}

void buf_put(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = buf_grow(b, n);
	if (p && n)
		memcpy(p, data, n);
}

static void buf_put_be(struct buf *b, uint64_t v, size_t n)
{
	uint8_t *p = buf_grow(b, n);
	for (size_t i = 0; p && i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put_be(b, v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
	buf_put_be(b, v, 2);
}

void buf_put_u24(struct buf *b, uint32_t v)
{
	buf_put_be(b, v, 3);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	buf_put_be(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	buf_put_be(b, v, 8);
}

void buf_put_zero(struct buf *b, size_t n)
{
	uint8_t *p = buf_grow(b, n);
	if (p)
		memset(p, 0, n);
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static int buf_try_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Into the room that is there; returns how many bytes it takes. */
static int buf_try_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->size;
	return vsnprintf(room ? (char *)b->data + b->size : NULL, room, fmt, ap);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = buf_try_vprintf(b, fmt, ap);
	if (n < 0) {
		b->failed = true;
	} else {
		bool fits = (size_t)n < b->cap - b->size;
		if (buf_reserve(b, (size_t)n) && (fits || buf_try_vprintf(b, fmt, again) == n))
			b->size += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void buf_patch_u32(struct buf *b, size_t at, uint32_t v)
{
	if (b->failed)
		return;
	ASSERT(b->size >= 4 && at <= b->size - 4);
	for (size_t i = 0; i < 4; i++)
		b->data[at + i] = (uint8_t)(v >> (24 - 8 * i));
}

const char *buf_cstr(struct buf *b)
{
	if (!buf_reserve(b, 0))
		return NULL;
	b->data[b->size] = 0;
	return (const char *)b->data;
}

struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ b->data, b->size };
}
