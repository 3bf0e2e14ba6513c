/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/nal.h"

#include "worker/bits.h"
#include "worker/sps.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_NALS 65536     /* NAL units of a sample */
#define LIMIT_SETS 64        /* parameter sets of a track */
#define LIMIT_CONFIG 65536   /* bytes of CodecPrivate */

/* ---- walking */

/* One way of standing in a sample: length-prefixed (size 1 to 4) or Annex B (0). */
struct walk {
	struct bytes rest;
	int length_size;
};

/* 1 and a NAL unit, 0 at the end, -1 broken. */
static int walk_lengths(struct walk *w, struct bytes *nal)
{
	size_t n = 0;

	if (!w->rest.size)
		return 0;
	if (w->rest.size < (size_t)w->length_size)
		return -1;
	for (int i = 0; i < w->length_size; i++)
		n = n << 8 | w->rest.data[i];
	if (n > w->rest.size - (size_t)w->length_size)
		return -1;
	*nal = (struct bytes){ w->rest.data + w->length_size, n };
	w->rest.data += (size_t)w->length_size + n;
	w->rest.size -= (size_t)w->length_size + n;
	return 1;
}

/* Offset of the next 00 00 01, or n. */
static size_t find_start(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 3 <= n; i++)
		if (!p[i] && !p[i + 1] && p[i + 2] == 1)
			return i;
	return n;
}

static int walk_annex_b(struct walk *w, struct bytes *nal)
{
	size_t start = find_start(w->rest.data, w->rest.size), end;

	if (start == w->rest.size)
		return 0;
	w->rest.data += start + 3;
	w->rest.size -= start + 3;
	end = find_start(w->rest.data, w->rest.size);
	*nal = (struct bytes){ w->rest.data, end };
	w->rest.data += end;
	w->rest.size -= end;
	while (nal->size && !nal->data[nal->size - 1]) /* zero_byte of the next start code, trailing zeros */
		nal->size--;
	return 1;
}

static int walk_next(struct walk *w, struct bytes *nal)
{
	return w->length_size ? walk_lengths(w, nal) : walk_annex_b(w, nal);
}

static bool is_length_prefixed(struct bytes in, int length_size)
{
	struct walk w = { in, length_size };
	struct bytes nal;
	int ret, n = 0;

	while ((ret = walk_lengths(&w, &nal)) == 1)
		if (++n > LIMIT_NALS)
			return false;
	return ret == 0 && n > 0;
}

static bool is_annex_b(struct bytes in)
{
	return in.size >= 4 && !in.data[0] && !in.data[1] && (in.data[2] == 1 || (!in.data[2] && in.data[3] == 1));
}

/* ---- kinds */

static int nal_type(enum nal_codec codec, struct bytes nal)
{
	return !nal.size ? -1 : codec == NAL_H264 ? nal.data[0] & 31 : nal.data[0] >> 1 & 63;
}

static bool is_picture(enum nal_codec codec, int type)
{
	return codec == NAL_H264 ? type >= 1 && type <= 5 : type >= 0 && type <= 21;
}

/* First payload type 6 (recovery point) in an SEI NAL unit; payload types and sizes are what is read, nothing else. */
static bool has_recovery_point(struct bytes nal)
{
	size_t at = 1;

	while (at + 2 <= nal.size && nal.data[at] != 0x80) {
		unsigned type = 0, size = 0;

		while (at < nal.size && nal.data[at] == 255)
			type += nal.data[at++];
		type += at < nal.size ? nal.data[at++] : 0;
		while (at < nal.size && nal.data[at] == 255)
			size += nal.data[at++];
		size += at < nal.size ? nal.data[at++] : 0;
		if (type == 6)
			return true;
		at += size;
	}
	return false;
}

/* slice_type 2 or 7 (I), 4 or 9 (SI). */
static bool is_intra_slice(struct bytes nal)
{
	struct bits b = { nal.data, nal.size < 16 ? nal.size : 16, 8, false };
	uint32_t type;

	bits_ue(&b);
	type = bits_ue(&b) % 5;
	return type == 2 || type == 4;
}

static enum nal_sync h264_sync(int type, struct bytes nal, enum nal_sync so_far, bool *is_all_intra, bool *has_recovery)
{
	if (type == 6)
		*has_recovery |= has_recovery_point(nal);
	if (type == 5)
		return NAL_SYNC_CLOSED;
	if (type >= 1 && type <= 4)
		*is_all_intra &= type != 1 ? type == 2 : is_intra_slice(nal);
	return so_far;
}

static enum nal_sync h265_sync(int type, enum nal_sync so_far)
{
	if (type == 19 || type == 20)
		return NAL_SYNC_CLOSED;
	return type >= 16 && type <= 21 ? NAL_SYNC_OPEN : so_far;
}

/* ---- configuration */

struct sets {
	struct bytes set[LIMIT_SETS];
	int type[LIMIT_SETS];
	int n;
};

static bool is_set(enum nal_codec codec, int type)
{
	return codec == NAL_H264 ? type == 7 || type == 8 : type >= 32 && type <= 34;
}

static void collect_sets(enum nal_codec codec, struct bytes in, int length_size, struct sets *s)
{
	struct walk w = { in, length_size };
	struct bytes nal;

	while (walk_next(&w, &nal) == 1 && s->n < LIMIT_SETS) {
		int type = nal_type(codec, nal);

		if (!is_set(codec, type) || nal.size > 0xffff)
			continue;
		s->type[s->n] = type;
		s->set[s->n++] = nal;
	}
}

static const struct bytes *first_set(const struct sets *s, int type)
{
	for (int i = 0; i < s->n; i++)
		if (s->type[i] == type)
			return &s->set[i];
	return NULL;
}

static int count_sets(const struct sets *s, int type)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		n += s->type[i] == type;
	return n;
}

static void put_sets(struct buf *b, const struct sets *s, int type)
{
	for (int i = 0; i < s->n; i++)
		if (s->type[i] == type) {
			buf_put_u16(b, (uint16_t)s->set[i].size);
			buf_put(b, s->set[i].data, s->set[i].size);
		}
}

/* AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1. */
static void put_avcc(struct nal_config *c, const struct sets *s)
{
	const struct bytes *sps = first_set(s, 7);
	struct buf *b = &c->record;
	int p = c->sps.profile;

	buf_put_u8(b, 1);
	buf_put(b, sps->data + 1, 3);
	buf_put_u8(b, 0xfc | 3);
	buf_put_u8(b, (uint8_t)(0xe0 | (count_sets(s, 7) & 31)));
	put_sets(b, s, 7);
	buf_put_u8(b, (uint8_t)count_sets(s, 8));
	put_sets(b, s, 8);
	if (p == 100 || p == 110 || p == 122 || p == 144 || p == 244) {
		buf_put_u8(b, (uint8_t)(0xfc | (c->sps.chroma_format & 3)));
		buf_put_u8(b, (uint8_t)(0xf8 | ((c->sps.bit_depth - 8) & 7)));
		buf_put_u8(b, (uint8_t)(0xf8 | ((c->sps.bit_depth - 8) & 7)));
		buf_put_u8(b, 0);
	}
}

/* HEVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 8.3.3.1. */
static int put_hvcc(struct nal_config *c, const struct sets *s, struct err *err)
{
	struct buf *b = &c->record;
	uint8_t profile[12];
	int ret = sps_read_profile_h265(*first_set(s, 33), profile, err);

	if (ret)
		return ret;
	buf_put_u8(b, 1);
	buf_put(b, profile, sizeof profile);
	buf_put_u16(b, 0xf000);
	buf_put_u8(b, 0xfc);
	buf_put_u8(b, (uint8_t)(0xfc | (c->sps.chroma_format & 3)));
	buf_put_u8(b, (uint8_t)(0xf8 | ((c->sps.bit_depth - 8) & 7)));
	buf_put_u8(b, (uint8_t)(0xf8 | ((c->sps.bit_depth - 8) & 7)));
	buf_put_u16(b, 0);
	buf_put_u8(b, 0x0c | 3); /* one temporal layer assumed, 4-byte lengths */
	buf_put_u8(b, (uint8_t)((count_sets(s, 32) > 0) + (count_sets(s, 33) > 0) + (count_sets(s, 34) > 0)));
	for (int type = 32; type <= 34; type++) {
		if (!count_sets(s, type))
			continue;
		buf_put_u8(b, (uint8_t)(0x80 | type));
		buf_put_u16(b, (uint16_t)count_sets(s, type));
		put_sets(b, s, type);
	}
	return 0;
}

/* The parameter sets inside an avcC or hvcC. Returns the length size, or an error. */
static int read_avcc(struct bytes p, struct sets *s, struct err *err)
{
	size_t at = 6;

	if (p.size < 7)
		return err_set(err, ERR_DATA, "avcC of %zu bytes", p.size);
	for (int round = 0; round < 2; round++) {
		int n = round ? (at < p.size ? p.data[at++] : 0) : p.data[5] & 31;

		for (int i = 0; i < n; i++) {
			size_t size = at + 2 <= p.size ? get_u16(p.data + at) : SIZE_MAX;

			if (size > p.size || at + 2 + size > p.size || s->n == LIMIT_SETS)
				return err_set(err, ERR_DATA, "a parameter set goes past the end of avcC");
			s->type[s->n] = round ? 8 : 7;
			s->set[s->n++] = (struct bytes){ p.data + at + 2, size };
			at += 2 + size;
		}
	}
	return (p.data[4] & 3) + 1;
}

static int read_hvcc(struct bytes p, struct sets *s, struct err *err)
{
	size_t at = 23;

	if (p.size < 23)
		return err_set(err, ERR_DATA, "hvcC of %zu bytes", p.size);
	for (int a = 0; a < p.data[22]; a++) {
		int type, n;

		if (at + 3 > p.size)
			return err_set(err, ERR_DATA, "an array goes past the end of hvcC");
		type = p.data[at] & 63;
		n = get_u16(p.data + at + 1);
		at += 3;
		for (int i = 0; i < n; i++) {
			size_t size = at + 2 <= p.size ? get_u16(p.data + at) : SIZE_MAX;

			if (size > p.size || at + 2 + size > p.size || s->n == LIMIT_SETS)
				return err_set(err, ERR_DATA, "a parameter set goes past the end of hvcC");
			s->type[s->n] = type;
			s->set[s->n++] = (struct bytes){ p.data + at + 2, size };
			at += 2 + size;
		}
	}
	return (p.data[21] & 3) + 1;
}

/* hvc1 promises that all parameter sets are in here: array_completeness of each array. */
static void complete_hvcc(struct buf *b)
{
	size_t at = 23;

	for (int a = 0; a < b->data[22]; a++) {
		int n = get_u16(b->data + at + 1);

		b->data[at] |= 0x80;
		for (at += 3; n--;)
			at += 2u + get_u16(b->data + at);
	}
}

static void set_codecs(struct nal_config *c)
{
	const uint8_t *r = c->record.data;
	uint32_t compatibility, reversed = 0;
	char *at = c->codecs, *end = c->codecs + sizeof c->codecs;
	int last = 5;

	if (c->codec == NAL_H264) {
		snprintf(c->codecs, sizeof c->codecs, "avc1.%02X%02X%02X", r[1], r[2], r[3]);
		return;
	}
	compatibility = get_u32(r + 2);
	for (int i = 0; i < 32; i++)
		reversed |= (compatibility >> i & 1) << (31 - i);
	at += snprintf(at, (size_t)(end - at), "hvc1.%s%d.%X.%c%d", (const char *[]){ "", "A", "B", "C" }[r[1] >> 6], r[1] & 31,
		       reversed, r[1] & 32 ? 'H' : 'L', r[12]);
	while (last >= 0 && !r[6 + last])
		last--;
	for (int i = 0; i <= last && at < end; i++)
		at += snprintf(at, (size_t)(end - at), ".%X", r[6 + i]);
}

static int build(struct nal_config *c, struct sets *s, struct err *err)
{
	int type = c->codec == NAL_H264 ? 7 : 33;
	const struct bytes *sps = first_set(s, type);
	int ret;

	if (!sps || sps->size < 4)
		return err_set(err, ERR_DATA, "no sequence parameter set, neither in CodecPrivate nor in the first sync sample");
	ret = sps_read(c->codec, *sps, &c->sps, err);
	if (ret)
		return ret;
	if (!c->record.size) {
		if (c->codec == NAL_H264)
			put_avcc(c, s);
		else
			ret = put_hvcc(c, s, err);
	}
	if (!ret && buf_failed(&c->record))
		ret = err_set(err, ERR_NOMEM, "out of memory");
	if (!ret)
		set_codecs(c);
	return ret;
}

/* From an avcC or hvcC. A record without parameter sets (they are in the samples) is built anew. */
static int init_from_record(struct nal_config *c, struct bytes p, struct sets *s, struct err *err)
{
	int size = c->codec == NAL_H264 ? read_avcc(p, s, err) : read_hvcc(p, s, err);

	if (size < 0)
		return size;
	c->length_size = size;
	if (!first_set(s, c->codec == NAL_H264 ? 7 : 33))
		return 0;
	buf_put(&c->record, p.data, p.size);
	if (size == 3) {
		c->length_size = 4;
		c->is_converted = true;
		if (!buf_failed(&c->record))
			c->record.data[c->codec == NAL_H264 ? 4 : 21] |= 3;
	}
	if (c->codec == NAL_H265 && !buf_failed(&c->record))
		complete_hvcc(&c->record);
	return 0;
}

int nal_config_init(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct bytes sync_sample,
		    struct err *err)
{
	struct sets s = { .n = 0 };
	int ret = 0;

	*c = (struct nal_config){ .codec = codec };
	if (codec_private.size > LIMIT_CONFIG)
		return err_set(err, ERR_LIMIT, "a CodecPrivate of %zu bytes", codec_private.size);
	if (is_annex_b(codec_private) || !codec_private.size) {
		collect_sets(codec, codec_private, 0, &s);
		c->is_converted = true;
	} else {
		ret = init_from_record(c, codec_private, &s, err);
	}
	if (!ret && !first_set(&s, codec == NAL_H264 ? 7 : 33)) {
		int length_size = c->length_size ? c->length_size : 4;

		collect_sets(codec, sync_sample, is_length_prefixed(sync_sample, length_size) ? length_size : 0, &s);
		c->is_converted = c->is_converted || c->length_size != 4;
	}
	if (c->is_converted || !c->length_size)
		c->length_size = 4;
	if (!ret)
		ret = build(c, &s, err);
	if (ret)
		nal_config_finish(c);
	return ret;
}

void nal_config_finish(struct nal_config *c)
{
	buf_finish(&c->record);
}

/* ---- samples */

/* How the lengths of the source are: what the record says, unless the samples are to be rewritten. */
static int source_length_size(const struct nal_config *c, struct bytes in)
{
	if (!c->is_converted)
		return is_length_prefixed(in, c->length_size) ? c->length_size : -1;
	for (int size = 4; size >= 1; size--)
		if (size >= 3 && is_length_prefixed(in, size))
			return size;
	return -1;
}

int nal_sample_read(const struct nal_config *c, struct bytes in, struct buf *scratch, struct nal_sample *out, struct err *err)
{
	int length_size = source_length_size(c, in), n = 0, ret;
	bool is_all_intra = true, has_recovery = false, is_rewritten;
	struct walk w = { in, length_size > 0 ? length_size : 0 };
	size_t at = scratch->size;
	struct bytes nal;

	*out = (struct nal_sample){ .data = in };
	if (length_size < 0 && !is_annex_b(in))
		return err_set(err, ERR_DATA, "a video sample of %zu bytes is neither length-prefixed nor Annex B", in.size);
	is_rewritten = length_size != c->length_size;
	while ((ret = walk_next(&w, &nal)) == 1) {
		int type = nal_type(c->codec, nal);

		if (++n > LIMIT_NALS)
			return err_set(err, ERR_LIMIT, "over %d NAL units in a sample", LIMIT_NALS);
		out->has_picture |= is_picture(c->codec, type);
		out->sync = c->codec == NAL_H264 ? h264_sync(type, nal, out->sync, &is_all_intra, &has_recovery)
						 : h265_sync(type, out->sync);
		if (is_rewritten && nal.size) {
			if (c->length_size == 4)
				buf_put_u32(scratch, (uint32_t)nal.size);
			else if (c->length_size == 2 && nal.size <= 0xffff)
				buf_put_u16(scratch, (uint16_t)nal.size);
			else
				return err_set(err, ERR_UNSUPPORTED, "Annex B samples with %d-byte lengths", c->length_size);
			buf_put(scratch, nal.data, nal.size);
		}
	}
	if (c->codec == NAL_H264 && out->has_picture && out->sync == NAL_SYNC_NONE && (has_recovery || is_all_intra))
		out->sync = NAL_SYNC_OPEN;
	if (!is_rewritten)
		return 0;
	if (buf_failed(scratch))
		return err_set(err, ERR_NOMEM, "out of memory");
	out->data = (struct bytes){ scratch->data + at, scratch->size - at };
	return 0;
}
