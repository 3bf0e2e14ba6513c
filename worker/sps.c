/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sps.h"

#include "worker/bits.h"

#include <string.h>

#define LIMIT_SPS 4096       /* bytes; real ones have under 100 */
#define LIMIT_DIMENSION 16384
#define LIMIT_REF_SETS 64

/* Without emulation prevention bytes (00 00 03). */
static size_t unescape(struct bytes nal, uint8_t *out)
{
	size_t n = 0;
	int zeros = 0;

	for (size_t i = 0; i < nal.size; i++) {
		if (zeros >= 2 && nal.data[i] == 3) {
			zeros = 0;
			continue;
		}
		zeros = nal.data[i] ? 0 : zeros + 1;
		out[n++] = nal.data[i];
	}
	return n;
}

/* ---- VUI, the part that both have */

static void read_sar(struct bits *b, struct nal_sps *s)
{
	static const uint8_t table[17][2] = { { 0, 0 }, { 1, 1 }, { 12, 11 }, { 10, 11 }, { 16, 11 }, { 40, 33 }, { 24, 11 },
					      { 20, 11 }, { 32, 11 }, { 80, 33 }, { 18, 11 }, { 15, 11 }, { 64, 33 },
					      { 160, 99 }, { 4, 3 }, { 3, 2 }, { 2, 1 } };
	unsigned idc = bits_get(b, 8);

	if (idc == 255) {
		s->sar_num = (int)bits_get(b, 16);
		s->sar_den = (int)bits_get(b, 16);
	} else if (idc < 17) {
		s->sar_num = table[idc][0];
		s->sar_den = table[idc][1];
	}
	if (!s->sar_num || !s->sar_den)
		s->sar_num = s->sar_den = 0;
}

static void read_vui_head(struct bits *b, struct nal_sps *s)
{
	if (bits_get(b, 1))
		read_sar(b, s);
	if (bits_get(b, 1)) /* overscan_info_present_flag */
		bits_skip(b, 1);
	if (bits_get(b, 1)) { /* video_signal_type_present_flag */
		bits_skip(b, 3);
		s->is_full_range = bits_get(b, 1);
		if (bits_get(b, 1)) {
			s->has_colour = true;
			s->primaries = (int)bits_get(b, 8);
			s->transfer = (int)bits_get(b, 8);
			s->matrix = (int)bits_get(b, 8);
		}
	}
	if (bits_get(b, 1)) { /* chroma_loc_info_present_flag */
		bits_ue(b);
		bits_ue(b);
	}
}

/* ---- H.264 */

static void skip_hrd_h264(struct bits *b)
{
	unsigned n = bits_ue(b) + 1;

	bits_skip(b, 8);
	for (unsigned i = 0; i < n && i < 32; i++) {
		bits_ue(b);
		bits_ue(b);
		bits_skip(b, 1);
	}
	bits_skip(b, 20);
}

static void read_vui_h264(struct bits *b, struct nal_sps *s)
{
	bool has_hrd, has_vcl_hrd;

	read_vui_head(b, s);
	if (bits_get(b, 1)) {
		int64_t tick = bits_get(b, 32), scale = bits_get(b, 32);

		bits_skip(b, 1);
		if (tick > 0 && scale > 0) { /* counted in fields */
			s->rate_num = scale;
			s->rate_den = tick * 2;
		}
	}
	if ((has_hrd = bits_get(b, 1)))
		skip_hrd_h264(b);
	if ((has_vcl_hrd = bits_get(b, 1)))
		skip_hrd_h264(b);
	if (has_hrd || has_vcl_hrd)
		bits_skip(b, 1);
	bits_skip(b, 1);
	if (bits_get(b, 1)) { /* bitstream_restriction_flag */
		bits_skip(b, 1);
		for (int i = 0; i < 4; i++)
			bits_ue(b);
		s->reorder = (int)bits_ue(b);
		if (b->is_over || s->reorder > 16)
			s->reorder = -1;
	}
}

static void skip_scaling_lists(struct bits *b, int n)
{
	for (int i = 0; i < n; i++) {
		int last = 8, next = 8, size = i < 6 ? 16 : 64;

		if (!bits_get(b, 1))
			continue;
		for (int k = 0; k < size && next && !b->is_over; k++) {
			next = (last + bits_se(b) + 256) & 255;
			last = next ? next : last;
		}
	}
}

static bool is_high_profile(int profile)
{
	static const uint8_t high[] = { 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135 };

	return memchr(high, profile, sizeof high) != NULL;
}

static void read_high_h264(struct bits *b, struct nal_sps *s)
{
	s->chroma_format = (int)bits_ue(b);
	if (s->chroma_format == 3)
		bits_skip(b, 1);
	s->bit_depth = 8 + (int)bits_ue(b);
	bits_ue(b);
	bits_skip(b, 1);
	if (bits_get(b, 1))
		skip_scaling_lists(b, s->chroma_format == 3 ? 12 : 8);
}

static unsigned read_poc_h264(struct bits *b)
{
	unsigned type = bits_ue(b), n;

	if (type == 0) {
		bits_ue(b);
	} else if (type == 1) {
		bits_skip(b, 1);
		bits_se(b);
		bits_se(b);
		n = bits_ue(b);
		for (unsigned i = 0; i < n && i < 256; i++)
			bits_se(b);
	}
	return type;
}

static void set_size(struct nal_sps *s, int64_t width, int64_t height, const uint32_t crop[4], int unit_x, int unit_y)
{
	width -= ((int64_t)crop[0] + crop[1]) * unit_x;
	height -= ((int64_t)crop[2] + crop[3]) * unit_y;
	s->width = width > 0 && width <= LIMIT_DIMENSION ? (int)width : 0;
	s->height = height > 0 && height <= LIMIT_DIMENSION ? (int)height : 0;
}

static void read_h264(struct bits *b, struct nal_sps *s)
{
	uint32_t crop[4] = { 0 }, width, height, is_frame_only, constraints, poc;

	bits_skip(b, 8);
	s->profile = (int)bits_get(b, 8);
	constraints = bits_get(b, 8);
	s->level = (int)bits_get(b, 8);
	s->chroma_format = 1;
	s->bit_depth = 8;
	bits_ue(b);
	if (is_high_profile(s->profile))
		read_high_h264(b, s);
	bits_ue(b);
	poc = read_poc_h264(b);
	bits_ue(b);
	bits_skip(b, 1);
	width = bits_ue(b) + 1;
	height = bits_ue(b) + 1;
	is_frame_only = bits_get(b, 1);
	if (!is_frame_only)
		bits_skip(b, 1);
	bits_skip(b, 1);
	if (bits_get(b, 1))
		for (int i = 0; i < 4; i++)
			crop[i] = bits_ue(b);
	set_size(s, (int64_t)width * 16, (int64_t)height * 16 * (is_frame_only ? 1 : 2), crop,
		 s->chroma_format == 1 || s->chroma_format == 2 ? 2 : 1,
		 (s->chroma_format == 1 ? 2 : 1) * (is_frame_only ? 1 : 2));
	/* no reordering: order type 2, no B slices in (constrained) Baseline, intra-only profiles */
	s->reorder = poc == 2 || s->profile == 66 || s->profile == 44 || (is_high_profile(s->profile) && (constraints & 0x10)) ? 0 : -1;
	if (bits_get(b, 1))
		read_vui_h264(b, s);
}

/* ---- H.265 */

/* profile_tier_level, section 7.3.3. */
static void skip_profile_h265(struct bits *b, unsigned max_sub_layers_minus1)
{
	bool has_profile[8], has_level[8];

	bits_skip(b, 96);
	for (unsigned i = 0; i < max_sub_layers_minus1; i++) {
		has_profile[i] = bits_get(b, 1);
		has_level[i] = bits_get(b, 1);
	}
	if (max_sub_layers_minus1)
		bits_skip(b, 2 * (8 - max_sub_layers_minus1));
	for (unsigned i = 0; i < max_sub_layers_minus1; i++)
		bits_skip(b, (has_profile[i] ? 88u : 0u) + (has_level[i] ? 8u : 0u));
}

static void skip_scaling_h265(struct bits *b)
{
	for (int size = 0; size < 4; size++)
		for (int matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
			int n = 1 << (4 + (size << 1));

			if (!bits_get(b, 1)) {
				bits_ue(b);
				continue;
			}
			if (size > 1)
				bits_se(b);
			for (int i = 0; i < (n < 64 ? n : 64) && !b->is_over; i++)
				bits_se(b);
		}
}

/* st_ref_pic_set, section 7.3.7: only the counts matter, to know how long the next ones are. */
static void skip_ref_sets(struct bits *b)
{
	unsigned n = bits_ue(b), deltas[LIMIT_REF_SETS + 1] = { 0 };

	if (n > LIMIT_REF_SETS)
		b->is_over = true;
	for (unsigned i = 0; i < n && !b->is_over; i++) {
		if (i && bits_get(b, 1)) {
			bits_skip(b, 1);
			bits_ue(b);
			for (unsigned k = 0; k <= deltas[i - 1]; k++)
				if (bits_get(b, 1) || bits_get(b, 1))
					deltas[i]++;
		} else {
			unsigned negative = bits_ue(b), positive = bits_ue(b);

			if (negative > 16 || positive > 16)
				b->is_over = true;
			for (unsigned k = 0; k < negative + positive && !b->is_over; k++) {
				bits_ue(b);
				bits_skip(b, 1);
			}
			deltas[i] = negative + positive;
		}
	}
}

static void read_vui_h265(struct bits *b, struct nal_sps *s)
{
	read_vui_head(b, s);
	bits_skip(b, 3);
	if (bits_get(b, 1)) /* default_display_window_flag */
		for (int i = 0; i < 4; i++)
			bits_ue(b);
	if (bits_get(b, 1)) {
		int64_t tick = bits_get(b, 32), scale = bits_get(b, 32);

		if (tick > 0 && scale > 0 && !b->is_over) {
			s->rate_num = scale;
			s->rate_den = tick;
		}
	}
}

static void read_h265_tail(struct bits *b, unsigned log2_max_poc, struct nal_sps *s)
{
	for (int i = 0; i < 6; i++)
		bits_ue(b);
	if (bits_get(b, 1) && bits_get(b, 1))
		skip_scaling_h265(b);
	bits_skip(b, 2);
	if (bits_get(b, 1)) { /* pcm_enabled_flag */
		bits_skip(b, 8);
		bits_ue(b);
		bits_ue(b);
		bits_skip(b, 1);
	}
	skip_ref_sets(b);
	if (bits_get(b, 1)) { /* long_term_ref_pics_present_flag */
		unsigned n = bits_ue(b);

		bits_skip(b, (size_t)(n > 32 ? 0 : n) * (log2_max_poc + 1));
	}
	bits_skip(b, 2);
	if (!b->is_over && bits_get(b, 1))
		read_vui_h265(b, s);
}

static void read_h265(struct bits *b, struct nal_sps *s)
{
	uint32_t crop[4] = { 0 }, width, height, sub_layers, log2_max_poc;
	bool has_all;

	bits_skip(b, 16 + 4);
	sub_layers = bits_get(b, 3);
	bits_skip(b, 1);
	s->profile = b->at / 8 < b->size ? b->data[b->at / 8] & 31 : 0;
	s->level = b->at / 8 + 11 < b->size ? b->data[b->at / 8 + 11] : 0;
	skip_profile_h265(b, sub_layers);
	bits_ue(b);
	s->chroma_format = (int)bits_ue(b);
	if (s->chroma_format == 3)
		bits_skip(b, 1);
	width = bits_ue(b);
	height = bits_ue(b);
	if (bits_get(b, 1))
		for (int i = 0; i < 4; i++)
			crop[i] = bits_ue(b);
	set_size(s, width, height, crop, s->chroma_format == 1 || s->chroma_format == 2 ? 2 : 1, s->chroma_format == 1 ? 2 : 1);
	s->bit_depth = 8 + (int)bits_ue(b);
	bits_ue(b);
	log2_max_poc = bits_ue(b) + 4;
	has_all = bits_get(b, 1);
	for (unsigned i = has_all ? 0 : sub_layers; i <= sub_layers; i++) {
		bits_ue(b);
		s->reorder = (int)bits_ue(b); /* the highest sub-layer's stays */
		bits_ue(b);
	}
	if (s->reorder > 16)
		s->reorder = -1;
	if (!b->is_over)
		read_h265_tail(b, log2_max_poc > 16 ? 16 : log2_max_poc, s);
}

/* ---- public */

int sps_read(enum nal_codec codec, struct bytes nal, struct nal_sps *s, struct err *err)
{
	uint8_t data[LIMIT_SPS];
	struct bits b = { data, 0, 0, false };

	*s = (struct nal_sps){ .reorder = -1 };
	if (nal.size > sizeof data)
		return err_set(err, ERR_LIMIT, "a sequence parameter set of %zu bytes", nal.size);
	b.size = unescape(nal, data);
	if (codec == NAL_H264)
		read_h264(&b, s);
	else
		read_h265(&b, s);
	/* what comes after the picture size may be cut off without harm */
	if (!s->width || !s->height)
		return err_set(err, ERR_DATA, "broken sequence parameter set (%zu bytes)", nal.size);
	return 0;
}

int sps_read_profile_h265(struct bytes nal, uint8_t profile[12], struct err *err)
{
	uint8_t data[LIMIT_SPS];

	if (nal.size > sizeof data || unescape(nal, data) < 3 + 12)
		return err_set(err, ERR_DATA, "broken sequence parameter set (%zu bytes)", nal.size);
	memcpy(profile, data + 3, 12);
	return 0;
}
