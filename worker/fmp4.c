/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/fmp4.h"

#include "common/timeline.h"

#include <string.h>

#define LIMIT_CONFIG (1 << 20)    /* bytes of a decoder configuration */
#define LIMIT_DIMENSION 32767     /* 16.16 with a sign in tkhd's matrix */
#define LIMIT_RUNS 8
#define MAX_DURATION_TICKS (INT64_C(24) * 3600 * TICKS_PER_SECOND)
#define FLAGS_SYNC 0x02000000u     /* sample_depends_on 2: on no other */
#define FLAGS_NON_SYNC 0x01010000u /* sample_depends_on 1, sample_is_non_sync_sample */

enum { /* tfhd and trun flags, ISO/IEC 14496-12 sections 8.8.7 and 8.8.8 */
       TFHD_DURATION = 0x8,
       TFHD_SIZE = 0x10,
       TFHD_FLAGS = 0x20,
       TFHD_BASE_IS_MOOF = 0x20000,
       TRUN_OFFSET = 0x1,
       TRUN_FIRST_FLAGS = 0x4,
       TRUN_DURATION = 0x100,
       TRUN_SIZE = 0x200,
       TRUN_FLAGS = 0x400,
       TRUN_CTS = 0x800,
};

/* ---- boxes */

static size_t box(struct buf *b, const char *type)
{
	size_t at = b->size;

	buf_put_u32(b, 0);
	buf_put(b, type, 4);
	return at;
}

static size_t full_box(struct buf *b, const char *type, uint8_t version, uint32_t flags)
{
	size_t at = box(b, type);

	buf_put_u8(b, version);
	buf_put_u24(b, flags);
	return at;
}

static void end(struct buf *b, size_t at)
{
	if (!buf_failed(b))
		buf_patch_u32(b, at, (uint32_t)(b->size - at));
}

/* ---- init */

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

/* brands: the major one first. */
static void put_brands(struct buf *b, const char *type, const char *brands)
{
	size_t at = box(b, type);

	buf_put(b, brands, 4);
	buf_put_u32(b, 0);
	buf_put_str(b, brands);
	end(b, at);
}

static void put_mvhd(struct buf *b, const struct fmp4_track *tracks, int n)
{
	size_t at = full_box(b, "mvhd", 0, 0);
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
	end(b, at);
}

static bool is_video(const struct fmp4_track *t)
{
	return t->entry != FMP4_MP4A;
}

static bool has_par(const struct fmp4_track *t)
{
	return t->par_num && t->par_den && (t->is_par_known || t->par_num != t->par_den);
}

/* 16.16: the width on a display of square pixels (section 8.3.2.1), unless it would not fit. */
static uint32_t display_width(const struct fmp4_track *t)
{
	uint64_t width = (uint64_t)t->width << 16;

	if (has_par(t))
		width = width * t->par_num / t->par_den; /* under 2^64: 32 bits by 32 */
	return width >= 0x10000 && width <= INT32_MAX ? (uint32_t)width : (uint32_t)t->width << 16;
}

static void put_tkhd(struct buf *b, const struct fmp4_track *t)
{
	size_t at = full_box(b, "tkhd", 0, 3); /* enabled, in movie */
	uint32_t width = is_video(t) ? display_width(t) : 0, height = is_video(t) ? (uint32_t)t->height << 16 : 0;

	buf_put_zero(b, 8);
	buf_put_u32(b, t->id);
	buf_put_zero(b, 4 + 4 + 8 + 2);
	buf_put_u16(b, 0);
	buf_put_u16(b, is_video(t) ? 0 : 0x100);
	buf_put_u16(b, 0);
	put_matrix(b, is_video(t) ? t->rotation : 0, width, height);
	buf_put_u32(b, width);
	buf_put_u32(b, height);
	end(b, at);
}

static void put_edts(struct buf *b, const struct fmp4_track *t)
{
	size_t edts, elst;
	bool is_long = t->edit_media_time > INT32_MAX;

	if (!t->edit_media_time)
		return;
	edts = box(b, "edts");
	elst = full_box(b, "elst", is_long, 0);
	buf_put_u32(b, 1);
	buf_put_zero(b, is_long ? 8 : 4);
	if (is_long)
		buf_put_u64(b, (uint64_t)t->edit_media_time);
	else
		buf_put_u32(b, (uint32_t)t->edit_media_time);
	buf_put_u32(b, 0x10000);
	end(b, elst);
	end(b, edts);
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
	size_t at = full_box(b, "mdhd", 0, 0);

	buf_put_zero(b, 8);
	buf_put_u32(b, t->timescale);
	buf_put_u32(b, 0);
	buf_put_u16(b, pack_language(t->language));
	buf_put_u16(b, 0);
	end(b, at);
}

static void put_hdlr(struct buf *b, const struct fmp4_track *t)
{
	size_t at = full_box(b, "hdlr", 0, 0);

	buf_put_u32(b, 0);
	buf_put_str(b, is_video(t) ? "vide" : "soun");
	buf_put_zero(b, 12);
	buf_put_str(b, is_video(t) ? "video" : "audio");
	buf_put_u8(b, 0);
	end(b, at);
}

static void put_config(struct buf *b, const char *type, struct bytes config)
{
	size_t at = box(b, type);

	buf_put(b, config.data, config.size);
	end(b, at);
}

static void put_colour(struct buf *b, const struct fmp4_track *t)
{
	size_t at;

	if (!t->has_colour)
		return;
	at = box(b, "colr");
	buf_put_str(b, "nclx");
	buf_put_u16(b, (uint16_t)(t->primaries > 0 ? t->primaries : 2));
	buf_put_u16(b, (uint16_t)(t->transfer > 0 ? t->transfer : 2));
	buf_put_u16(b, (uint16_t)(t->matrix >= 0 ? t->matrix : 2));
	buf_put_u8(b, t->is_full_range ? 0x80 : 0);
	end(b, at);
}

static void put_video_entry(struct buf *b, const struct fmp4_track *t)
{
	bool is_hevc = t->entry == FMP4_HVC1;
	size_t at = box(b, is_hevc ? "hvc1" : "avc1"), pasp;

	buf_put_zero(b, 6);
	buf_put_u16(b, 1);
	buf_put_zero(b, 16);
	buf_put_u16(b, (uint16_t)t->width);
	buf_put_u16(b, (uint16_t)t->height);
	buf_put_u32(b, 0x480000);
	buf_put_u32(b, 0x480000);
	buf_put_u32(b, 0);
	buf_put_u16(b, 1);
	buf_put_zero(b, 32);
	buf_put_u16(b, 0x18);
	buf_put_u16(b, 0xffff);
	put_config(b, is_hevc ? "hvcC" : "avcC", t->config);
	put_colour(b, t);
	if (has_par(t)) {
		pasp = box(b, "pasp");
		buf_put_u32(b, t->par_num);
		buf_put_u32(b, t->par_den);
		end(b, pasp);
	}
	end(b, at);
}

/* ISO/IEC 14496-1 section 8.3.3: the size of a descriptor, 7 bits a byte, in as few as it takes. */
static size_t descriptor_head_size(size_t size)
{
	return size < 1 << 7 ? 2 : size < 1 << 14 ? 3 : 4;
}

static void put_descriptor(struct buf *b, uint8_t tag, size_t size)
{
	buf_put_u8(b, tag);
	for (size_t i = descriptor_head_size(size) - 1; i-- > 0;)
		buf_put_u8(b, (uint8_t)((i ? 0x80 : 0) | (size >> (7 * i) & 0x7f)));
}

static void put_esds(struct buf *b, const struct fmp4_track *t)
{
	size_t at = full_box(b, "esds", 0, 0), config = t->config.size;
	size_t decoder = 13 + descriptor_head_size(config) + config;

	put_descriptor(b, 3, 3 + descriptor_head_size(decoder) + decoder + 3); /* ES_Descriptor */
	buf_put_u16(b, 0); /* ES_ID: 0 in files */
	buf_put_u8(b, 0);
	put_descriptor(b, 4, decoder); /* DecoderConfigDescriptor */
	buf_put_u8(b, 0x40); /* MPEG-4 audio */
	buf_put_u8(b, 0x15); /* audio stream */
	buf_put_u24(b, 0);
	buf_put_u32(b, (uint32_t)t->bitrate);
	buf_put_u32(b, (uint32_t)t->bitrate);
	put_descriptor(b, 5, config); /* DecoderSpecificInfo */
	buf_put(b, t->config.data, config);
	put_descriptor(b, 6, 1); /* SLConfigDescriptor: predefined for MP4 */
	buf_put_u8(b, 2);
	end(b, at);
}

static void put_audio_entry(struct buf *b, const struct fmp4_track *t)
{
	size_t at = box(b, "mp4a");

	buf_put_zero(b, 6);
	buf_put_u16(b, 1);
	buf_put_zero(b, 8);
	buf_put_u16(b, (uint16_t)t->channels);
	buf_put_u16(b, 16);
	buf_put_u32(b, 0);
	buf_put_u32(b, t->timescale <= 0xffff ? t->timescale << 16 : 0);
	put_esds(b, t);
	end(b, at);
}

static void put_empty_table(struct buf *b, const char *type, size_t zeroes)
{
	size_t at = full_box(b, type, 0, 0);

	buf_put_zero(b, zeroes);
	end(b, at);
}

static void put_minf(struct buf *b, const struct fmp4_track *t)
{
	size_t minf = box(b, "minf"), at, dref, stbl;

	if (is_video(t))
		at = full_box(b, "vmhd", 0, 1), buf_put_zero(b, 8);
	else
		at = full_box(b, "smhd", 0, 0), buf_put_zero(b, 4);
	end(b, at);
	at = box(b, "dinf");
	dref = full_box(b, "dref", 0, 0);
	buf_put_u32(b, 1);
	end(b, full_box(b, "url ", 0, 1));
	end(b, dref);
	end(b, at);
	stbl = box(b, "stbl");
	at = full_box(b, "stsd", 0, 0);
	buf_put_u32(b, 1);
	if (is_video(t))
		put_video_entry(b, t);
	else
		put_audio_entry(b, t);
	end(b, at);
	put_empty_table(b, "stts", 4);
	put_empty_table(b, "stsc", 4);
	put_empty_table(b, "stsz", 8);
	put_empty_table(b, "stco", 4);
	end(b, stbl);
	end(b, minf);
}

static void put_trak(struct buf *b, const struct fmp4_track *t)
{
	size_t trak = box(b, "trak"), mdia;

	put_tkhd(b, t);
	put_edts(b, t);
	mdia = box(b, "mdia");
	put_mdhd(b, t);
	put_hdlr(b, t);
	put_minf(b, t);
	end(b, mdia);
	end(b, trak);
}

/* What of a track came out of a file. */
static int check_track(const struct fmp4_track *t, struct err *err)
{
	ASSERT(t->timescale > 0 && t->id > 0 && t->edit_media_time >= 0);
	if (!t->config.size || t->config.size > LIMIT_CONFIG)
		return err_set(err, ERR_LIMIT, "track %u: a decoder configuration of %zu bytes", t->id, t->config.size);
	if (is_video(t) && (t->width < 1 || t->width > LIMIT_DIMENSION || t->height < 1 || t->height > LIMIT_DIMENSION))
		return err_set(err, ERR_LIMIT, "track %u: pictures of %dx%d", t->id, t->width, t->height);
	return 0;
}

static void put_mvex(struct buf *b, const struct fmp4_track *tracks, int n, int64_t duration)
{
	size_t mvex = box(b, "mvex"), at;

	if (duration > 0 && duration <= MAX_DURATION_TICKS) {
		at = full_box(b, "mehd", 1, 0);
		buf_put_u64(b, (uint64_t)duration);
		end(b, at);
	}
	for (int i = 0; i < n; i++) {
		at = full_box(b, "trex", 0, 0);
		buf_put_u32(b, tracks[i].id);
		buf_put_u32(b, 1);
		buf_put_zero(b, 8);
		buf_put_u32(b, is_video(&tracks[i]) ? FLAGS_NON_SYNC : FLAGS_SYNC);
		end(b, at);
	}
	end(b, mvex);
}

int fmp4_put_init(struct buf *out, const struct fmp4_track *tracks, int n_tracks, int64_t duration_ticks, struct err *err)
{
	size_t moov;
	int ret;

	for (int i = 0; i < n_tracks; i++)
		if ((ret = check_track(&tracks[i], err)))
			return ret;
	/* a CMAF track file has one track */
	put_brands(out, "ftyp", n_tracks == 1 ? "iso6cmfcmp41" : "iso6mp41");
	moov = box(out, "moov");
	put_mvhd(out, tracks, n_tracks);
	for (int i = 0; i < n_tracks; i++)
		put_trak(out, &tracks[i]);
	put_mvex(out, tracks, n_tracks, duration_ticks);
	end(out, moov);
	return buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* ---- fragments */

void fmp4_put_styp(struct buf *out)
{
	put_brands(out, "styp", "msdhiso6");
}

static uint32_t sample_flags(const struct fmp4_sample *s)
{
	return s->is_sync ? FLAGS_SYNC : FLAGS_NON_SYNC;
}

/* What all samples share goes into tfhd. */
struct shared {
	bool has_duration, has_size, has_flags, has_first_flags;
};

static struct shared find_shared(const struct fmp4_run *r)
{
	struct shared s = { true, true, true, false };
	bool is_rest_equal = true;

	for (int i = 1; i < r->n_samples; i++) {
		s.has_duration &= r->samples[i].duration == r->samples[0].duration;
		s.has_size &= r->samples[i].data.size == r->samples[0].data.size;
		s.has_flags &= r->samples[i].is_sync == r->samples[0].is_sync;
		is_rest_equal &= r->samples[i].is_sync == r->samples[1].is_sync;
	}
	s.has_first_flags = !s.has_flags && is_rest_equal;
	return s;
}

static void put_tfhd(struct buf *b, const struct fmp4_run *r, struct shared s)
{
	bool has_flags = s.has_flags || s.has_first_flags;
	size_t at = full_box(b, "tfhd", 0,
			     TFHD_BASE_IS_MOOF | (s.has_duration ? TFHD_DURATION : 0) | (s.has_size ? TFHD_SIZE : 0) |
				     (has_flags ? TFHD_FLAGS : 0));

	buf_put_u32(b, r->track_id);
	if (s.has_duration)
		buf_put_u32(b, r->samples[0].duration);
	if (s.has_size)
		buf_put_u32(b, (uint32_t)r->samples[0].data.size);
	if (has_flags)
		buf_put_u32(b, sample_flags(&r->samples[r->n_samples > 1]));
	end(b, at);
}

/* Returns where data_offset has to be patched. */
static size_t put_trun(struct buf *b, const struct fmp4_run *r, struct shared s)
{
	bool has_flags = !s.has_flags && !s.has_first_flags;
	size_t at = full_box(b, "trun", 1,
			     TRUN_OFFSET | (s.has_first_flags ? TRUN_FIRST_FLAGS : 0) |
				     (s.has_duration ? 0 : TRUN_DURATION) | (s.has_size ? 0 : TRUN_SIZE) |
				     (has_flags ? TRUN_FLAGS : 0) | (r->is_video ? TRUN_CTS : 0));
	size_t offset;

	buf_put_u32(b, (uint32_t)r->n_samples);
	offset = b->size;
	buf_put_u32(b, 0);
	if (s.has_first_flags)
		buf_put_u32(b, sample_flags(&r->samples[0]));
	for (int i = 0; i < r->n_samples; i++) {
		if (!s.has_duration)
			buf_put_u32(b, r->samples[i].duration);
		if (!s.has_size)
			buf_put_u32(b, (uint32_t)r->samples[i].data.size);
		if (has_flags)
			buf_put_u32(b, sample_flags(&r->samples[i]));
		if (r->is_video)
			buf_put_u32(b, (uint32_t)r->samples[i].cts);
	}
	end(b, at);
	return offset;
}

static size_t put_traf(struct buf *b, const struct fmp4_run *r)
{
	struct shared s = find_shared(r);
	size_t traf = box(b, "traf"), at, offset;

	put_tfhd(b, r, s);
	at = full_box(b, "tfdt", 1, 0);
	buf_put_u64(b, (uint64_t)r->decode_time);
	end(b, at);
	offset = put_trun(b, r, s);
	end(b, traf);
	return offset;
}

/* data_offset of each run: from the moof to its first byte in the mdat. *bytes: all data. */
static int patch_offsets(struct buf *b, size_t moof, const struct fmp4_run *runs, int n, const size_t *offsets,
			 int64_t *bytes, struct err *err)
{
	int64_t total = 0, head = (int64_t)(b->size - moof) + 8;

	for (int i = 0; i < n; i++) {
		const struct fmp4_run *r = &runs[i];

		if (r->n_samples && head + total > INT32_MAX) /* it has a sign */
			return err_set(err, ERR_LIMIT, "a track's data begin behind 2 GiB of a fragment");
		if (r->n_samples)
			buf_patch_u32(b, offsets[i], (uint32_t)(head + total));
		for (int k = 0; k < r->n_samples; k++) {
			if (r->samples[k].data.size > UINT32_MAX - 8 - (uint64_t)total)
				return err_set(err, ERR_LIMIT, "a fragment of over 4 GiB");
			total += (int64_t)r->samples[k].data.size;
		}
	}
	*bytes = total;
	return 0;
}

int fmp4_put_moof(struct buf *out, uint32_t sequence, const struct fmp4_run *runs, int n_runs, int64_t *mdat_bytes,
		  struct err *err)
{
	size_t moof = box(out, "moof"), at = full_box(out, "mfhd", 0, 0), offsets[LIMIT_RUNS] = { 0 };
	int ret;

	ASSERT(n_runs <= LIMIT_RUNS);
	buf_put_u32(out, sequence);
	end(out, at);
	for (int i = 0; i < n_runs; i++) {
		if (runs[i].n_samples && runs[i].decode_time < 0)
			return err_set(err, ERR_DATA, "track %u: a decode time below 0", runs[i].track_id);
		if (runs[i].n_samples)
			offsets[i] = put_traf(out, &runs[i]);
	}
	end(out, moof);
	ret = buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory")
			      : patch_offsets(out, moof, runs, n_runs, offsets, mdat_bytes, err);
	if (ret)
		return ret;
	buf_put_u32(out, (uint32_t)(*mdat_bytes + 8));
	buf_put_str(out, "mdat");
	return buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
