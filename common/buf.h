/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes: a borrowed view (struct bytes) and an owned, growable buffer with a sticky error (struct buf):
 * many puts, one check of buf_failed() at the end. All integers are written big-endian.
 */
#ifndef SEGFARM_COMMON_BUF_H
#define SEGFARM_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view: the bytes belong to someone else, whose header says how long they live. */
struct bytes {
	const uint8_t *data;
	size_t size;
};

struct buf {
	uint8_t *data;
	size_t size;
	size_t cap;
	size_t limit; /* most bytes it may hold; 0: BUF_LIMIT_DEFAULT */
	bool failed;  /* out of memory or over the limit; sticky until buf_reset */
};

#define BUF_LIMIT_DEFAULT ((size_t)1 << 30)

void buf_init(struct buf *b);   /* same as zeroing it */
void buf_finish(struct buf *b); /* frees; the struct may be used again */
void buf_reset(struct buf *b);  /* size 0, error cleared, memory kept */
bool buf_failed(const struct buf *b);
/* Makes room for n more bytes and returns where they go (size is advanced), NULL when failed. */
uint8_t *buf_grow(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *data, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u24(struct buf *b, uint32_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_zero(struct buf *b, size_t n);
void buf_put_str(struct buf *b, const char *s); /* without its NUL */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Overwrites 4 bytes at `at`, which must lie within what was written. */
void buf_patch_u32(struct buf *b, size_t at, uint32_t v);
/* The buffer with a NUL behind it (not counted in size), or NULL when failed. */
const char *buf_cstr(struct buf *b);
struct bytes buf_bytes(const struct buf *b);

static inline uint16_t get_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t get_u64(const uint8_t *p) { return (uint64_t)get_u32(p) << 32 | get_u32(p + 4); }

#endif
