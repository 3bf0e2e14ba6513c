/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Configuration of a track: parameter sets, from wherever they are, into an avcC or hvcC record.
 */
#include "worker/nal.h"

#include "worker/nal_internal.h"
#include "worker/sps.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_SETS 320         /* of a track: 31 SPS, 255 PPS and some */
#define LIMIT_SPS 31           /* 5 bits in avcC */
#define LIMIT_PPS 255          /* 8 bits in avcC, SPS extensions too */
#define LIMIT_SET_BYTES 65535  /* 16 bits in both records */
#define LIMIT_CONFIG (1 << 20) /* bytes of CodecPrivate */
#define SEI_MASTERING 137
#define SEI_LIGHT 144

/* ---- parameter sets: views of CodecPrivate and the first sync sample */

struct sets {
	struct bytes set[LIMIT_SETS];
	int type[LIMIT_SETS];
	int n;
	bool lacks_format; /* an avcC as old muxers wrote it: ends behind the PPS, though it is of a High profile */
};

static int sps_type(enum nal_codec codec)
{
	return codec == NAL_H264 ? H264_SPS : H265_SPS;
}

static bool is_set(enum nal_codec codec, int type)
{
	return codec == NAL_H264 ? type == H264_SPS || type == H264_PPS || type == H264_SPS_EXTENSION
				 : type >= H265_VPS && type <= H265_PPS;
}

static const struct bytes *first_set(const struct sets *s, int type)
{
	for (int i = 0; i < s->n; i++)
		if (s->type[i] == type)
			return &s->set[i];
	return NULL;
}

static bool is_complete(enum nal_codec codec, const struct sets *s)
{
	if (codec == NAL_H264)
		return first_set(s, H264_SPS) && first_set(s, H264_PPS);
	return first_set(s, H265_VPS) && first_set(s, H265_SPS) && first_set(s, H265_PPS);
}

static int count_sets(const struct sets *s, int type)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		n += s->type[i] == type;
	return n;
}

/* One that is there already, byte by byte, is not added again: samples repeat them. */
static int add_set(struct sets *s, int type, struct bytes set, struct err *err)
{
	for (int i = 0; i < s->n; i++)
		if (s->type[i] == type && s->set[i].size == set.size && !memcmp(s->set[i].data, set.data, set.size))
			return 0;
	if (set.size > LIMIT_SET_BYTES)
		return err_set(err, ERR_LIMIT, "a parameter set of %zu bytes", set.size);
	if (s->n == LIMIT_SETS)
		return err_set(err, ERR_LIMIT, "over %d parameter sets", LIMIT_SETS);
	s->type[s->n] = type;
	s->set[s->n++] = set;
	return 0;
}

static int collect_sets(enum nal_codec codec, struct bytes in, int length_size, struct sets *s, struct err *err)
{
	struct nal_walk w = { in, length_size, 0 };
	struct bytes nal;
	int ret = 0;

	while (!ret && nal_walk_next(&w, &nal) == 1)
		if (is_set(codec, nal_type(codec, nal)))
			ret = add_set(s, nal_type(codec, nal), nal, err);
	return ret;
}

static void put_sets(struct buf *b, const struct sets *s, int type)
{
	for (int i = 0; i < s->n; i++)
		if (s->type[i] == type) {
			buf_put_u16(b, (uint16_t)s->set[i].size);
			buf_put(b, s->set[i].data, s->set[i].size);
		}
}

/* ---- reading records */

/* Takes n parameter sets with their 16-bit lengths at *at. */
static int read_sets(enum nal_codec codec, struct bytes p, size_t *at, int n, struct sets *s, struct err *err)
{
	int ret = 0;

	for (int i = 0; !ret && i < n; i++) {
		struct bytes set;
		int type;

		if (p.size - *at < 2 || get_u16(p.data + *at) > p.size - *at - 2)
			return err_set(err, ERR_DATA, "a parameter set goes past the end of its record");
		set = (struct bytes){ p.data + *at + 2, get_u16(p.data + *at) };
		*at += 2 + set.size;
		type = nal_type(codec, set);
		if (is_set(codec, type) || (codec == NAL_H265 && (type == H265_PREFIX_SEI || type == H265_SUFFIX_SEI)))
			ret = add_set(s, type, set, err);
	}
	return ret;
}

/* Of chroma and bit depth, at the end of avcC. */
static bool has_format(int profile)
{
	return profile != 66 && profile != 77 && profile != 88;
}

/* AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1. */
static int read_avcc(struct bytes p, struct sets *s, struct err *err)
{
	size_t at = 6;
	int ret;

	if (p.size < 7 || p.data[0] != 1)
		return err_set(err, ERR_DATA, "CodecPrivate of %zu bytes is neither avcC nor Annex B", p.size);
	ret = read_sets(NAL_H264, p, &at, p.data[5] & 31, s, err);
	if (!ret && at < p.size) {
		int n = p.data[at++];

		ret = read_sets(NAL_H264, p, &at, n, s, err);
	}
	s->lacks_format = at == p.size && has_format(p.data[1]);
	return ret;
}

/* HEVCDecoderConfigurationRecord, section 8.3.3.1. Version 0: written before the standard was final. */
static int read_hvcc(struct bytes p, struct sets *s, struct err *err)
{
	size_t at = 23;
	int ret = 0;

	if (p.size < 23 || p.data[0] > 1)
		return err_set(err, ERR_DATA, "CodecPrivate of %zu bytes is neither hvcC nor Annex B", p.size);
	for (int a = 0; !ret && a < p.data[22]; a++) {
		if (p.size - at < 3)
			return err_set(err, ERR_DATA, "an array goes past the end of hvcC");
		at += 3;
		ret = read_sets(NAL_H265, p, &at, get_u16(p.data + at - 2), s, err);
	}
	return ret;
}

/* Parameter sets and the size of lengths. */
static int read_private(struct nal_config *c, struct bytes p, struct sets *s, struct err *err)
{
	int ret;

	if (!p.size)
		return 0;
	if (nal_is_annex_b(p))
		return collect_sets(c->codec, p, 0, s, err);
	ret = c->codec == NAL_H264 ? read_avcc(p, s, err) : read_hvcc(p, s, err);
	if (ret)
		return ret;
	c->source_length_size = (p.data[c->codec == NAL_H264 ? 4 : 21] & 3) + 1;
	c->length_size = c->source_length_size == 3 ? 4 : c->source_length_size;
	return 0;
}

/* ---- writing records */

/* Of several SPS what all of them keep: the flags of compatibility that all have, the highest level. */
static void put_profile(struct buf *b, const struct sets *s)
{
	const struct bytes *first = first_set(s, H264_SPS);
	uint8_t flags = 0xff, level = 0;

	for (int i = 0; i < s->n; i++)
		if (s->type[i] == H264_SPS && s->set[i].size >= 4) { /* at least the first is: sps_read took it */
			flags &= s->set[i].data[2];
			level = s->set[i].data[3] > level ? s->set[i].data[3] : level;
		}
	buf_put_u8(b, first->data[1]);
	buf_put_u8(b, flags);
	buf_put_u8(b, level);
}

static int put_avcc(struct nal_config *c, const struct sets *s, const struct sps_more *more, struct err *err)
{
	int n_sps = count_sets(s, H264_SPS), n_pps = count_sets(s, H264_PPS),
	    n_extension = count_sets(s, H264_SPS_EXTENSION);
	struct buf *b = &c->record;

	if (n_sps > LIMIT_SPS || n_pps > LIMIT_PPS || n_extension > LIMIT_PPS)
		return err_set(err, ERR_LIMIT, "%d parameter sets do not fit into avcC", s->n);
	buf_put_u8(b, 1);
	put_profile(b, s);
	buf_put_u8(b, (uint8_t)(0xfc | (c->length_size - 1)));
	buf_put_u8(b, (uint8_t)(0xe0 | n_sps));
	put_sets(b, s, H264_SPS);
	buf_put_u8(b, (uint8_t)n_pps);
	put_sets(b, s, H264_PPS);
	if (has_format(c->sps.profile)) {
		buf_put_u8(b, (uint8_t)(0xfc | c->sps.chroma_format));
		buf_put_u8(b, (uint8_t)(0xf8 | (c->sps.bit_depth - 8)));
		buf_put_u8(b, (uint8_t)(0xf8 | (more->bit_depth_chroma - 8)));
		buf_put_u8(b, (uint8_t)n_extension);
		put_sets(b, s, H264_SPS_EXTENSION);
	}
	return 0;
}

/* A record that is whole is kept as it is; only its lengths may change. */
static void keep_avcc(struct nal_config *c, struct bytes source)
{
	buf_put(&c->record, source.data, 4);
	buf_put_u8(&c->record, (uint8_t)(0xfc | (c->length_size - 1)));
	buf_put(&c->record, source.data + 5, source.size - 5);
}

/* The fixed part of hvcC: the source's, which may know more (parallelism, frame rate), or made from the SPS. */
static void put_hvcc_head(struct nal_config *c, struct bytes source, const struct sps_more *more)
{
	struct buf *b = &c->record;

	buf_put_u8(b, 1);
	if (source.size && source.data[0] == 1) {
		buf_put(b, source.data + 1, 20);
		buf_put_u8(b, (uint8_t)((source.data[21] & 0xfc) | (c->length_size - 1)));
		return;
	}
	buf_put(b, more->profile, sizeof more->profile);
	buf_put_u16(b, 0xf000); /* min_spatial_segmentation_idc 0 */
	buf_put_u8(b, 0xfc);    /* parallelismType 0: unknown */
	buf_put_u8(b, (uint8_t)(0xfc | c->sps.chroma_format));
	buf_put_u8(b, (uint8_t)(0xf8 | ((c->sps.bit_depth - 8) & 7)));
	buf_put_u8(b, (uint8_t)(0xf8 | ((more->bit_depth_chroma - 8) & 7)));
	buf_put_u16(b, 0);      /* avgFrameRate: unspecified */
	buf_put_u8(b, (uint8_t)(more->temporal_layers << 3 | more->is_temporal_nested << 2 | (c->length_size - 1)));
}

/* array_completeness is 1 for parameter sets: ISO/IEC 14496-15 section 8.3.3.1 demands it where the entry is named hvc1, and
 * browsers refuse others. Samples that repeat or change theirs keep them all the same: they are copied, decoders take what comes,
 * and the name that would allow them, hev1, is not played everywhere. SEI messages come in samples, too. */
static void put_hvcc(struct nal_config *c, struct bytes source, const struct sets *s, const struct sps_more *more)
{
	static const uint8_t order[] = { H265_VPS, H265_SPS, H265_PPS, H265_PREFIX_SEI, H265_SUFFIX_SEI };
	struct buf *b = &c->record;
	int n_arrays = 0;

	put_hvcc_head(c, source, more);
	for (size_t i = 0; i < sizeof order; i++)
		n_arrays += count_sets(s, order[i]) > 0;
	buf_put_u8(b, (uint8_t)n_arrays);
	for (size_t i = 0; i < sizeof order; i++) {
		if (!count_sets(s, order[i]))
			continue;
		buf_put_u8(b, (uint8_t)((order[i] <= H265_PPS ? 0x80 : 0) | order[i]));
		buf_put_u16(b, (uint16_t)count_sets(s, order[i]));
		put_sets(b, s, order[i]);
	}
}

/* RFC 6381; hvc1: ISO/IEC 14496-15 section E.3. */
static int set_codecs(struct nal_config *c, struct err *err)
{
	static const char *const space[] = { "", "A", "B", "C" };
	const uint8_t *r = c->record.data;
	uint32_t compatibility, reversed = 0;
	char text[64];
	int n, last = 5;

	if (c->codec == NAL_H264) {
		snprintf(c->codecs, sizeof c->codecs, "avc1.%02X%02X%02X", r[1], r[2], r[3]);
		return 0;
	}
	compatibility = get_u32(r + 2);
	for (int i = 0; i < 32; i++)
		reversed |= (compatibility >> i & 1) << (31 - i);
	n = snprintf(text, sizeof text, "hvc1.%s%d.%X.%c%d", space[r[1] >> 6], r[1] & 31, (unsigned)reversed,
		     r[1] & 32 ? 'H' : 'L', r[12]);
	while (last >= 0 && !r[6 + last])
		last--;
	for (int i = 0; i <= last; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, ".%X", r[6 + i]);
	if ((size_t)n >= sizeof c->codecs) /* only with constraint bytes that are reserved */
		return err_set(err, ERR_UNSUPPORTED, "H.265 profile %s", text);
	memcpy(c->codecs, text, (size_t)n + 1);
	return 0;
}

/* ---- light */

static void read_light(struct nal_config *c, struct bytes nal)
{
	if (nal_type(c->codec, nal) != (c->codec == NAL_H264 ? H264_SEI : H265_PREFIX_SEI))
		return;
	if (!c->has_mastering)
		c->has_mastering = nal_find_sei(c->codec, nal, SEI_MASTERING, c->mastering, sizeof c->mastering);
	if (!c->has_light)
		c->has_light = nal_find_sei(c->codec, nal, SEI_LIGHT, c->light, sizeof c->light);
}

static void find_light(struct nal_config *c, const struct sets *s, struct bytes sync_sample, int length_size)
{
	struct nal_walk w = { sync_sample, length_size, 0 };
	struct bytes nal;

	for (int i = 0; i < s->n; i++)
		read_light(c, s->set[i]);
	while (nal_walk_next(&w, &nal) == 1)
		read_light(c, nal);
}

/* ---- public */

/* source: its avcC or hvcC, where that has all parameter sets, or empty. */
static int build(struct nal_config *c, struct bytes source, const struct sets *s, struct err *err)
{
	const struct bytes *sps = first_set(s, sps_type(c->codec));
	struct sps_more more;
	int ret;

	if (!sps)
		return err_set(err, ERR_DATA,
			       "no sequence parameter set, neither in CodecPrivate nor in the first sync sample");
	ret = sps_read(c->codec, *sps, &c->sps, &more, err);
	if (ret)
		return ret;
	if (c->codec == NAL_H265)
		put_hvcc(c, source, s, &more);
	else if (source.size)
		keep_avcc(c, source);
	else
		ret = put_avcc(c, s, &more, err);
	if (!ret && buf_failed(&c->record))
		ret = err_set(err, ERR_NOMEM, "out of memory");
	return ret ? ret : set_codecs(c, err);
}

static int init(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct sets *s, struct err *err)
{
	*c = (struct nal_config){ .codec = codec, .source_length_size = 4, .length_size = 4 };
	if (codec_private.size > LIMIT_CONFIG)
		return err_set(err, ERR_LIMIT, "a CodecPrivate of %zu bytes", codec_private.size);
	return read_private(c, codec_private, s, err);
}

int nal_config_init_lengths(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct err *err)
{
	struct sets s = { .n = 0 };

	return init(c, codec, codec_private, &s, err);
}

int nal_config_init(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct bytes sync_sample,
		    struct err *err)
{
	struct bytes source = { NULL, 0 };
	struct sets s = { .n = 0 };
	int ret = init(c, codec, codec_private, &s, err);
	bool is_prefixed;

	if (is_complete(codec, &s) && !nal_is_annex_b(codec_private) && !s.lacks_format)
		source = codec_private;
	is_prefixed = nal_is_length_prefixed(sync_sample, c->source_length_size);
	if (!ret && !is_complete(codec, &s) && (is_prefixed || nal_is_annex_b(sync_sample)))
		ret = collect_sets(codec, sync_sample, is_prefixed ? c->source_length_size : 0, &s, err);
	if (!ret)
		ret = build(c, source, &s, err);
	if (!ret)
		find_light(c, &s, sync_sample, is_prefixed ? c->source_length_size : 0);
	if (ret)
		nal_config_finish(c);
	return ret;
}

void nal_config_finish(struct nal_config *c)
{
	buf_finish(&c->record);
}
