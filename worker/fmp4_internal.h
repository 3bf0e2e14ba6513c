/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the fMP4 writer share: boxes with back-patched sizes, and the seam between the init segment (fmp4_init.c)
 * and its sample entries (fmp4_entry.c).
 */
#ifndef SEGFARM_WORKER_FMP4_INTERNAL_H
#define SEGFARM_WORKER_FMP4_INTERNAL_H

#include "worker/fmp4.h"

#define FMP4_FLAGS_SYNC 0x02000000u     /* sample_depends_on 2: on no other */
#define FMP4_FLAGS_NON_SYNC 0x01010000u /* sample_depends_on 1, sample_is_non_sync_sample */

static inline size_t fmp4_box(struct buf *b, const char *type)
{
	size_t at = b->size;

	buf_put_u32(b, 0);
	buf_put(b, type, 4);
	return at;
}

static inline size_t fmp4_full_box(struct buf *b, const char *type, uint8_t version, uint32_t flags)
{
	size_t at = fmp4_box(b, type);

	buf_put_u8(b, version);
	buf_put_u24(b, flags);
	return at;
}

static inline void fmp4_end(struct buf *b, size_t at)
{
	if (!buf_failed(b))
		buf_patch_u32(b, at, (uint32_t)(b->size - at));
}

/* ftyp, styp; brands: the major one first. */
static inline void fmp4_put_brands(struct buf *b, const char *type, const char *brands)
{
	size_t at = fmp4_box(b, type);

	buf_put(b, brands, 4);
	buf_put_u32(b, 0);
	buf_put_str(b, brands);
	fmp4_end(b, at);
}

/* ---- fmp4_entry.c */

bool fmp4_is_video(const struct fmp4_track *t);
/* The pixel aspect ratio is worth telling. */
bool fmp4_has_par(const struct fmp4_track *t);
/* The track's one sample entry. */
void fmp4_put_entry(struct buf *b, const struct fmp4_track *t);
/* What of a sample entry came out of a file. ERR_LIMIT. */
int fmp4_check_entry(const struct fmp4_track *t, struct err *err);

#endif
