/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The init segment: ftyp and moov.
 */
#include "worker/fmp4_internal.h"

#include "common/timeline.h"

#include <stdio.h>

#define MAX_DURATION_TICKS (INT64_C(24) * 3600 * TICKS_PER_SECOND)

/* 16.16, and 2.30 in the last column. Turns the picture clockwise about the origin and moves it back into the first
 * quadrant; width and height (16.16) are those before turning. */
static void put_matrix(struct buf *b, int rotation, uint32_t width, uint32_t height)
{
	static const int32_t turn[4][4] = { { 1, 0, 0, 1 }, { 0, 1, -1, 0 }, { -1, 0, 0, -1 }, { 0, -1, 1, 0 } };
	const int32_t *m = turn[rotation / 90 & 3];
	bool is_mirrored_x = m[0] < 0 || m[2] < 0, is_mirrored_y = m[1] < 0 || m[3] < 0;
	uint32_t across = m[0] ? width : height, down = m[0] ? height : width;

	buf_put_u32(b, (uint32_t)m[0] << 16);
	buf_put_u32(b, (uint32_t)m[1] << 16);
	buf_put_u32(b, 0);
	buf_put_u32(b, (uint32_t)m[2] << 16);
	buf_put_u32(b, (uint32_t)m[3] << 16);
	buf_put_u32(b, 0);
	buf_put_u32(b, is_mirrored_x ? across : 0);
	buf_put_u32(b, is_mirrored_y ? down : 0);
	buf_put_u32(b, 0x40000000);
}

static void put_mvhd(struct buf *b, const struct fmp4_track *tracks, int n)
{
	size_t at = fmp4_full_box(b, "mvhd", 0, 0);
	uint32_t next_id = 1;

	for (int i = 0; i < n; i++)
		if (tracks[i].id >= next_id)
			next_id = tracks[i].id + 1;
	buf_put_zero(b, 8);
	buf_put_u32(b, TICKS_PER_SECOND);
	buf_put_u32(b, 0);
	buf_put_u32(b, 0x10000);
	buf_put_u16(b, 0x100);
	buf_put_zero(b, 10);
	put_matrix(b, 0, 0, 0);
	buf_put_zero(b, 24);
	buf_put_u32(b, next_id);
	fmp4_end(b, at);
}

/* 16.16: the width on a display of square pixels (section 8.3.2.1), unless it would not fit. */
static uint32_t display_width(const struct fmp4_track *t)
{
	uint64_t width = (uint64_t)t->width << 16;

	if (fmp4_has_par(t))
		width = width * t->par_num / t->par_den; /* under 2^64: 32 bits by 32 */
	return width >= 0x10000 && width <= INT32_MAX ? (uint32_t)width : (uint32_t)t->width << 16;
}

static void put_tkhd(struct buf *b, const struct fmp4_track *t)
{
	size_t at = fmp4_full_box(b, "tkhd", 0, 3); /* enabled, in movie */
	uint32_t width = fmp4_is_video(t) ? display_width(t) : 0, height = fmp4_is_video(t) ? (uint32_t)t->height << 16 : 0;

	buf_put_zero(b, 8);
	buf_put_u32(b, t->id);
	buf_put_zero(b, 4 + 4 + 8 + 2);
	buf_put_u16(b, 0);
	buf_put_u16(b, fmp4_is_video(t) ? 0 : 0x100);
	buf_put_u16(b, 0);
	put_matrix(b, fmp4_is_video(t) ? t->rotation : 0, width, height);
	buf_put_u32(b, width);
	buf_put_u32(b, height);
	fmp4_end(b, at);
}

static void put_edts(struct buf *b, const struct fmp4_track *t)
{
	size_t edts, elst;
	bool is_long = t->edit_media_time > INT32_MAX;

	if (!t->edit_media_time)
		return;
	edts = fmp4_box(b, "edts");
	elst = fmp4_full_box(b, "elst", is_long, 0);
	buf_put_u32(b, 1);
	buf_put_zero(b, is_long ? 8 : 4);
	if (is_long)
		buf_put_u64(b, (uint64_t)t->edit_media_time);
	else
		buf_put_u32(b, (uint32_t)t->edit_media_time);
	buf_put_u32(b, 0x10000);
	fmp4_end(b, elst);
	fmp4_end(b, edts);
}

/* Three letters of 5 bits; anything else is "und". */
static uint16_t pack_language(const char language[4])
{
	uint16_t packed = 0;

	for (int i = 0; i < 3; i++) {
		if (language[i] < 'a' || language[i] > 'z')
			return pack_language("und");
		packed = (uint16_t)(packed << 5 | (language[i] - 0x60));
	}
	return packed;
}

static void put_mdhd(struct buf *b, const struct fmp4_track *t)
{
	size_t at = fmp4_full_box(b, "mdhd", 0, 0);

	buf_put_zero(b, 8);
	buf_put_u32(b, t->timescale);
	buf_put_u32(b, 0);
	buf_put_u16(b, pack_language(t->language));
	buf_put_u16(b, 0);
	fmp4_end(b, at);
}

static void put_hdlr(struct buf *b, const struct fmp4_track *t)
{
	size_t at = fmp4_full_box(b, "hdlr", 0, 0);

	buf_put_u32(b, 0);
	buf_put_str(b, fmp4_is_video(t) ? "vide" : "soun");
	buf_put_zero(b, 12);
	buf_put_str(b, fmp4_is_video(t) ? "video" : "audio");
	buf_put_u8(b, 0);
	fmp4_end(b, at);
}

static void put_empty_table(struct buf *b, const char *type, size_t zeroes)
{
	size_t at = fmp4_full_box(b, type, 0, 0);

	buf_put_zero(b, zeroes);
	fmp4_end(b, at);
}

/* Section 8.9.3: roll_distance, for the sample groups of the fragments. */
static void put_roll_description(struct buf *b, const struct fmp4_track *t)
{
	size_t at;

	if (!t->roll)
		return;
	at = fmp4_full_box(b, "sgpd", 1, 0);
	buf_put_str(b, "roll");
	buf_put_u32(b, 2); /* default_length */
	buf_put_u32(b, 1);
	buf_put_u16(b, (uint16_t)t->roll);
	fmp4_end(b, at);
}

static void put_minf(struct buf *b, const struct fmp4_track *t)
{
	size_t minf = fmp4_box(b, "minf"), at, dref, stbl;

	if (fmp4_is_video(t))
		at = fmp4_full_box(b, "vmhd", 0, 1), buf_put_zero(b, 8);
	else
		at = fmp4_full_box(b, "smhd", 0, 0), buf_put_zero(b, 4);
	fmp4_end(b, at);
	at = fmp4_box(b, "dinf");
	dref = fmp4_full_box(b, "dref", 0, 0);
	buf_put_u32(b, 1);
	fmp4_end(b, fmp4_full_box(b, "url ", 0, 1));
	fmp4_end(b, dref);
	fmp4_end(b, at);
	stbl = fmp4_box(b, "stbl");
	at = fmp4_full_box(b, "stsd", 0, 0);
	buf_put_u32(b, 1);
	fmp4_put_entry(b, t);
	fmp4_end(b, at);
	put_empty_table(b, "stts", 4);
	put_empty_table(b, "stsc", 4);
	put_empty_table(b, "stsz", 8);
	put_empty_table(b, "stco", 4);
	put_roll_description(b, t);
	fmp4_end(b, stbl);
	fmp4_end(b, minf);
}

static void put_trak(struct buf *b, const struct fmp4_track *t)
{
	size_t trak = fmp4_box(b, "trak"), mdia;

	put_tkhd(b, t);
	put_edts(b, t);
	mdia = fmp4_box(b, "mdia");
	put_mdhd(b, t);
	put_hdlr(b, t);
	put_minf(b, t);
	fmp4_end(b, mdia);
	fmp4_end(b, trak);
}

static void put_mvex(struct buf *b, const struct fmp4_track *tracks, int n, int64_t duration)
{
	size_t mvex = fmp4_box(b, "mvex"), at;

	if (duration > 0 && duration <= MAX_DURATION_TICKS) {
		at = fmp4_full_box(b, "mehd", 1, 0);
		buf_put_u64(b, (uint64_t)duration);
		fmp4_end(b, at);
	}
	for (int i = 0; i < n; i++) {
		at = fmp4_full_box(b, "trex", 0, 0);
		buf_put_u32(b, tracks[i].id);
		buf_put_u32(b, 1);
		buf_put_zero(b, 8);
		buf_put_u32(b, fmp4_is_video(&tracks[i]) ? FMP4_FLAGS_NON_SYNC : FMP4_FLAGS_SYNC);
		fmp4_end(b, at);
	}
	fmp4_end(b, mvex);
}

/* ISO/IEC 23000-19: a CMAF track file has one track (cmfc), and with cmf2 no edit list for its composition offsets. */
static const char *init_brands(const struct fmp4_track *tracks, int n)
{
	if (n != 1)
		return "iso6mp41";
	return tracks[0].edit_media_time && fmp4_is_video(&tracks[0]) ? "iso6cmfcmp41" : "iso6cmfccmf2mp41";
}

int fmp4_put_init(struct buf *out, const struct fmp4_track *tracks, int n_tracks, int64_t duration_ticks, struct err *err)
{
	char brands[32];
	size_t moov;
	int ret;

	for (int i = 0; i < n_tracks; i++) {
		ASSERT(tracks[i].timescale > 0 && tracks[i].id > 0 && tracks[i].edit_media_time >= 0);
		if ((ret = fmp4_check_entry(&tracks[i], err)))
			return ret;
	}
	snprintf(brands, sizeof brands, "%s%s", init_brands(tracks, n_tracks), n_tracks ? tracks[0].brand : "");
	fmp4_put_brands(out, "ftyp", brands);
	moov = fmp4_box(out, "moov");
	put_mvhd(out, tracks, n_tracks);
	for (int i = 0; i < n_tracks; i++)
		put_trak(out, &tracks[i]);
	put_mvex(out, tracks, n_tracks, duration_ticks);
	fmp4_end(out, moov);
	return buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
