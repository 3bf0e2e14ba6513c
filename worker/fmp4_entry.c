/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sample entries: ISO/IEC 14496-12 section 12, -14, -15; ETSI TS 102 366 annex F; the encapsulations of Opus and of FLAC in
 * ISOBMFF.
 */
#include "worker/fmp4_internal.h"

#define LIMIT_CONFIG (1 << 20) /* bytes of a decoder configuration */
#define LIMIT_DIMENSION 32767  /* 16.16 with a sign in tkhd's matrix */
#define OBJECT_AAC 0x40        /* objectTypeIndication, ISO/IEC 14496-1 section 7.2.6.6.2 */
#define OBJECT_MP3 0x6b

static const struct kind {
	const char *entry, *config; /* their types; esds is made here */
	bool is_video;
} kinds[] = {
	[FMP4_AVC1] = { "avc1", "avcC", true },
	[FMP4_HVC1] = { "hvc1", "hvcC", true },
	[FMP4_DVH1] = { "dvh1", "hvcC", true },
	[FMP4_MP4A] = { "mp4a", "esds", false },
	[FMP4_MP3] = { "mp4a", "esds", false },
	[FMP4_AC3] = { "ac-3", "dac3", false },
	[FMP4_EC3] = { "ec-3", "dec3", false },
	[FMP4_OPUS] = { "Opus", "dOps", false },
	[FMP4_FLAC] = { "fLaC", "dfLa", false },
};

bool fmp4_is_video(const struct fmp4_track *t)
{
	return kinds[t->entry].is_video;
}

bool fmp4_has_par(const struct fmp4_track *t)
{
	return t->par_num && t->par_den && (t->is_par_known || t->par_num != t->par_den);
}

int fmp4_check_entry(const struct fmp4_track *t, struct err *err)
{
	if (t->config.size > LIMIT_CONFIG || (!t->config.size && t->entry != FMP4_MP3))
		return err_set(err, ERR_LIMIT, "track %u: a decoder configuration of %zu bytes", t->id, t->config.size);
	for (int i = 0; i < t->n_boxes; i++)
		if (t->boxes[i].body.size > LIMIT_CONFIG)
			return err_set(err, ERR_LIMIT, "track %u: a box of %zu bytes in the sample entry", t->id,
				       t->boxes[i].body.size);
	if (fmp4_is_video(t) &&
	    (t->width < 1 || t->width > LIMIT_DIMENSION || t->height < 1 || t->height > LIMIT_DIMENSION))
		return err_set(err, ERR_LIMIT, "track %u: pictures of %dx%d", t->id, t->width, t->height);
	return 0;
}

static void put_body(struct buf *b, const char *type, struct bytes body)
{
	size_t at = fmp4_box(b, type);

	buf_put(b, body.data, body.size);
	fmp4_end(b, at);
}

static size_t sample_entry(struct buf *b, const char *type)
{
	size_t at = fmp4_box(b, type);

	buf_put_zero(b, 6);
	buf_put_u16(b, 1); /* data_reference_index */
	return at;
}

/* ---- video */

static void put_colour(struct buf *b, const struct fmp4_track *t)
{
	size_t at;

	if (!t->has_colour)
		return;
	at = fmp4_box(b, "colr");
	buf_put_str(b, "nclx");
	buf_put_u16(b, (uint16_t)(t->primaries > 0 ? t->primaries : 2));
	buf_put_u16(b, (uint16_t)(t->transfer > 0 ? t->transfer : 2));
	buf_put_u16(b, (uint16_t)(t->matrix >= 0 ? t->matrix : 2));
	buf_put_u8(b, t->is_full_range ? 0x80 : 0);
	fmp4_end(b, at);
}

static void put_pasp(struct buf *b, const struct fmp4_track *t)
{
	size_t at;

	if (!fmp4_has_par(t))
		return;
	at = fmp4_box(b, "pasp");
	buf_put_u32(b, t->par_num);
	buf_put_u32(b, t->par_den);
	fmp4_end(b, at);
}

static void put_video_entry(struct buf *b, const struct fmp4_track *t)
{
	size_t at = sample_entry(b, kinds[t->entry].entry);

	buf_put_zero(b, 16);
	buf_put_u16(b, (uint16_t)t->width);
	buf_put_u16(b, (uint16_t)t->height);
	buf_put_u32(b, 0x480000); /* 72 dpi */
	buf_put_u32(b, 0x480000);
	buf_put_u32(b, 0);
	buf_put_u16(b, 1); /* frame_count */
	buf_put_zero(b, 32);
	buf_put_u16(b, 0x18);
	buf_put_u16(b, 0xffff);
	put_body(b, kinds[t->entry].config, t->config);
	put_colour(b, t);
	put_pasp(b, t);
	for (int i = 0; i < t->n_boxes; i++)
		put_body(b, t->boxes[i].type, t->boxes[i].body);
	fmp4_end(b, at);
}

/* ---- audio */

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
	size_t at = fmp4_full_box(b, "esds", 0, 0), config = t->config.size;
	size_t decoder = 13 + (config ? descriptor_head_size(config) + config : 0);

	put_descriptor(b, 3, 3 + descriptor_head_size(decoder) + decoder + 3); /* ES_Descriptor */
	buf_put_u16(b, 0); /* ES_ID: 0 in files */
	buf_put_u8(b, 0);
	put_descriptor(b, 4, decoder); /* DecoderConfigDescriptor */
	buf_put_u8(b, t->entry == FMP4_MP3 ? OBJECT_MP3 : OBJECT_AAC);
	buf_put_u8(b, 0x15); /* audio stream */
	buf_put_u24(b, 0);
	buf_put_u32(b, (uint32_t)t->bitrate);
	buf_put_u32(b, (uint32_t)t->bitrate);
	if (config)
		put_descriptor(b, 5, config); /* DecoderSpecificInfo */
	buf_put(b, t->config.data, config);
	put_descriptor(b, 6, 1); /* SLConfigDescriptor: predefined for MP4 */
	buf_put_u8(b, 2);
	fmp4_end(b, at);
}

/* 16.16. What 16 bits do not hold is 0, but for FLAC the greatest regular division that they do. */
static uint32_t entry_rate(const struct fmp4_track *t)
{
	uint32_t rate = t->timescale;

	while (t->entry == FMP4_FLAC && rate > 0xffff && rate % 2 == 0)
		rate /= 2;
	if (rate > 0xffff)
		rate = t->entry == FMP4_FLAC ? 0xffff : 0;
	return rate << 16;
}

static void put_audio_entry(struct buf *b, const struct fmp4_track *t)
{
	size_t at = sample_entry(b, kinds[t->entry].entry), config;

	buf_put_zero(b, 8);
	buf_put_u16(b, (uint16_t)t->channels);
	buf_put_u16(b, (uint16_t)(t->sample_bits ? t->sample_bits : 16));
	buf_put_u32(b, 0);
	buf_put_u32(b, entry_rate(t));
	if (t->entry == FMP4_MP4A || t->entry == FMP4_MP3) {
		put_esds(b, t);
	} else if (t->entry == FMP4_FLAC) {
		config = fmp4_full_box(b, kinds[t->entry].config, 0, 0);
		buf_put(b, t->config.data, t->config.size);
		fmp4_end(b, config);
	} else {
		put_body(b, kinds[t->entry].config, t->config);
	}
	fmp4_end(b, at);
}

void fmp4_put_entry(struct buf *b, const struct fmp4_track *t)
{
	if (fmp4_is_video(t))
		put_video_entry(b, t);
	else
		put_audio_entry(b, t);
}
