/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/nal.h"

#include "worker/bits.h"
#include "worker/nal_internal.h"

#define SEI_RECOVERY_POINT 6
#define SLICE_HEAD_BYTES 16 /* first_mb_in_slice and slice_type take at most 9 */

/* ---- walking */

static int walk_lengths(struct nal_walk *w, struct bytes *nal)
{
	size_t head = (size_t)w->length_size, n = 0;

	if (!w->rest.size)
		return 0;
	if (w->rest.size < head)
		return -1;
	for (size_t i = 0; i < head; i++)
		n = n << 8 | w->rest.data[i];
	if (n > w->rest.size - head)
		return -1;
	*nal = (struct bytes){ w->rest.data + head, n };
	w->rest = (struct bytes){ nal->data + n, w->rest.size - head - n };
	return 1;
}

/* Offset of the next 00 00 01, or n. Looks at every third byte where it can. */
static size_t find_start(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 3 <= n;) {
		if (p[i + 2] > 1)
			i += 3;
		else if (!p[i + 2])
			i++;
		else if (!p[i] && !p[i + 1])
			return i;
		else
			i += 3;
	}
	return n;
}

static int walk_annex_b(struct nal_walk *w, struct bytes *nal)
{
	size_t start = find_start(w->rest.data, w->rest.size), end;

	if (start == w->rest.size)
		return 0;
	w->rest = (struct bytes){ w->rest.data + start + 3, w->rest.size - start - 3 };
	end = find_start(w->rest.data, w->rest.size);
	*nal = (struct bytes){ w->rest.data, end };
	w->rest = (struct bytes){ w->rest.data + end, w->rest.size - end };
	while (nal->size && !nal->data[nal->size - 1]) /* zero_byte of the next start code, trailing zeros */
		nal->size--;
	return 1;
}

int nal_walk_next(struct nal_walk *w, struct bytes *nal)
{
	int ret = w->length_size ? walk_lengths(w, nal) : walk_annex_b(w, nal);

	return ret == 1 && ++w->n > NAL_LIMIT_UNITS ? -1 : ret;
}

bool nal_is_length_prefixed(struct bytes in, int length_size)
{
	struct nal_walk w = { in, length_size, 0 };
	struct bytes nal;
	int ret;

	while ((ret = nal_walk_next(&w, &nal)) == 1)
		;
	return in.size && ret == 0;
}

bool nal_is_annex_b(struct bytes in)
{
	return in.size >= 4 && !in.data[0] && !in.data[1] && (in.data[2] == 1 || (!in.data[2] && in.data[3] == 1));
}

/* ---- kinds */

int nal_type(enum nal_codec codec, struct bytes nal)
{
	if (codec == NAL_H264)
		return nal.size ? nal.data[0] & 31 : -1;
	if (nal.size < 2 || (nal.data[0] & 1) || nal.data[1] >> 3) /* nuh_layer_id */
		return -1;
	return nal.data[0] >> 1 & 63;
}

static bool is_picture(enum nal_codec codec, int type)
{
	return codec == NAL_H264 ? type >= H264_SLICE && type <= H264_IDR : type >= 0 && type <= H265_CRA;
}

/* The bytes of a NAL unit behind its header without emulation prevention, one by one; -1 at the end. */
struct payload {
	struct bytes nal;
	size_t at;
	int zeros;
};

static int payload_byte(struct payload *p)
{
	if (p->zeros >= 2 && p->at < p->nal.size && p->nal.data[p->at] == 3) {
		p->at++;
		p->zeros = 0;
	}
	if (p->at >= p->nal.size)
		return -1;
	p->zeros = p->nal.data[p->at] ? 0 : p->zeros + 1;
	return p->nal.data[p->at++];
}

/* A payload type or size: bytes of 255, then the rest. -1 at the end. */
static int64_t payload_number(struct payload *p)
{
	int64_t n = 0;
	int byte;

	while ((byte = payload_byte(p)) == 255)
		n += 255;
	return byte < 0 ? -1 : n + byte;
}

bool nal_find_sei(enum nal_codec codec, struct bytes nal, int64_t type, uint8_t *out, size_t n)
{
	struct payload p = { nal, codec == NAL_H264 ? 1 : 2, 0 };

	for (;;) {
		int64_t found = payload_number(&p), size = payload_number(&p);
		bool is_it = found == type && size >= (int64_t)n;

		if (size < 0) /* also at rbsp_trailing_bits, one byte before the end */
			return false;
		if (is_it && !n)
			return true;
		for (int64_t i = 0; i < size; i++) {
			int byte = payload_byte(&p);

			if (byte < 0)
				return false;
			if (is_it)
				out[i] = (uint8_t)byte;
			if (is_it && i + 1 == (int64_t)n)
				return true;
		}
	}
}

/* slice_type 2 or 7 (I), 4 or 9 (SI). */
static bool is_intra_slice(struct bytes nal)
{
	struct payload p = { nal, 1, 0 };
	uint8_t head[SLICE_HEAD_BYTES];
	struct bits b = { head, 0, 0, false };
	uint32_t type;
	int byte;

	while (b.size < sizeof head && (byte = payload_byte(&p)) >= 0)
		head[b.size++] = (uint8_t)byte;
	bits_ue(&b);
	type = bits_ue(&b);
	return !b.is_over && type <= 9 && (type % 5 == 2 || type % 5 == 4);
}

/* What is known of a sample so far. */
struct kind {
	bool has_picture, is_idr, is_random_access, has_slice, has_other_slice, has_recovery;
};

static void look_h264(struct kind *k, int type, struct bytes nal)
{
	if (type == H264_IDR)
		k->is_idr = true;
	if (type == H264_SEI && !k->has_recovery)
		k->has_recovery = nal_find_sei(NAL_H264, nal, SEI_RECOVERY_POINT, NULL, 0);
	if (type == H264_SLICE || type == H264_PARTITION_A) {
		k->has_slice = true;
		k->has_other_slice = k->has_other_slice || !is_intra_slice(nal);
	}
}

static void look(struct kind *k, enum nal_codec codec, struct bytes nal)
{
	int type = nal_type(codec, nal);

	k->has_picture = k->has_picture || is_picture(codec, type);
	if (codec == NAL_H264) {
		look_h264(k, type, nal);
	} else {
		k->is_idr = k->is_idr || type == H265_IDR_W_RADL || type == H265_IDR_N_LP;
		k->is_random_access = k->is_random_access || (type >= H265_BLA && type <= H265_CRA);
	}
}

static enum nal_sync kind_sync(const struct kind *k)
{
	if (!k->has_picture)
		return NAL_SYNC_NONE;
	if (k->is_idr)
		return NAL_SYNC_CLOSED;
	if (k->is_random_access || k->has_recovery || (k->has_slice && !k->has_other_slice))
		return NAL_SYNC_OPEN;
	return NAL_SYNC_NONE;
}

/* ---- samples */

static int put_nal(struct buf *out, struct bytes nal, int length_size, struct err *err)
{
	if (length_size < 4 && nal.size >> (8 * length_size))
		return err_set(err, ERR_DATA, "a NAL unit of %zu bytes does not fit %d-byte lengths", nal.size,
			       length_size);
	for (int shift = 8 * (length_size - 1); shift >= 0; shift -= 8)
		buf_put_u8(out, (uint8_t)(nal.size >> shift));
	buf_put(out, nal.data, nal.size);
	return 0;
}

static int read_units(struct nal_walk w, const struct nal_config *c, struct buf *scratch, struct kind *k, struct err *err)
{
	struct bytes nal;
	int more, ret = 0;

	while (!ret && (more = nal_walk_next(&w, &nal))) {
		if (more < 0)
			return err_set(err, ERR_DATA, "over %d NAL units in a sample", NAL_LIMIT_UNITS);
		look(k, c->codec, nal);
		if (w.length_size != c->length_size && nal.size)
			ret = put_nal(scratch, nal, c->length_size, err);
	}
	if (!ret && buf_failed(scratch))
		ret = err_set(err, ERR_NOMEM, "out of memory");
	return ret;
}

int nal_sample_read(const struct nal_config *c, struct bytes in, struct buf *scratch, struct nal_sample *out,
		    struct err *err)
{
	struct nal_walk w = { in, nal_is_length_prefixed(in, c->source_length_size) ? c->source_length_size : 0, 0 };
	struct kind k = { 0 };
	size_t at = scratch->size;
	int ret;

	*out = (struct nal_sample){ .data = in };
	if (!w.length_size && !nal_is_annex_b(in))
		return err_set(err, ERR_DATA, "a video sample of %zu bytes is neither length-prefixed nor Annex B",
			       in.size);
	ret = read_units(w, c, scratch, &k, err);
	if (ret) {
		scratch->size = at;
		return ret;
	}
	out->has_picture = k.has_picture;
	out->sync = kind_sync(&k);
	if (w.length_size != c->length_size) /* an empty scratch has no address to count from */
		out->data = (struct bytes){ scratch->size > at ? scratch->data + at : in.data, scratch->size - at };
	return 0;
}
