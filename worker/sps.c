/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sps.h"

#include "common/timeline.h"
#include "worker/bits.h"

#include <string.h>

#define LIMIT_SPS 4096        /* bytes; real ones have under 100 */
#define LIMIT_DIMENSION 16384 /* luma samples */
#define LIMIT_BLOCKS 65535    /* macroblocks of a side, so that products fit */
#define LIMIT_REORDER 16      /* MaxDpbFrames, MaxDpbSize */
#define LIMIT_REF_SETS 64     /* num_short_term_ref_pic_sets */
#define LIMIT_REF_PICS 16     /* pictures of one set */
#define LIMIT_LONG_TERM 32    /* num_long_term_ref_pics_sps */
#define LIMIT_POC_CYCLE 255   /* num_ref_frames_in_pic_order_cnt_cycle */
#define LIMIT_FRAME_RATE 1000 /* per second; over that it is the clock of an encoder with a variable rate */
#define LIMIT_CPB 32          /* cpb_cnt_minus1 + 1 */

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

/* A value over its bound ends the parse like the end of the data does. */
static uint32_t get_ue(struct bits *b, uint32_t max)
{
	uint32_t v = bits_ue(b);

	if (v > max)
		b->is_over = true;
	return b->is_over ? 0 : v;
}

/* A side over the limit is kept just over it. */
static int clamp_side(int64_t side)
{
	return side < 0 ? 0 : side > LIMIT_DIMENSION ? LIMIT_DIMENSION + 1 : (int)side;
}

static void set_size(struct nal_sps *s, int64_t width, int64_t height, const uint32_t crop[4], int unit_x, int unit_y)
{
	s->width = clamp_side(width - ((int64_t)crop[0] + crop[1]) * unit_x);
	s->height = clamp_side(height - ((int64_t)crop[2] + crop[3]) * unit_y);
}

/* ---- VUI, the part that both have */

static void read_sar(struct bits *b, struct nal_sps *s)
{
	static const uint8_t table[17][2] = {
		{ 0, 0 }, { 1, 1 }, { 12, 11 }, { 10, 11 }, { 16, 11 }, { 40, 33 }, { 24, 11 }, { 20, 11 }, { 32, 11 },
		{ 80, 33 }, { 18, 11 }, { 15, 11 }, { 64, 33 }, { 160, 99 }, { 4, 3 }, { 3, 2 }, { 2, 1 },
	};
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
	struct nal_sps before = *s;

	if (bits_get(b, 1))
		read_sar(b, s);
	if (bits_get(b, 1)) /* overscan_info_present_flag */
		bits_skip(b, 1);
	if (bits_get(b, 1)) { /* video_signal_type_present_flag */
		bits_skip(b, 3);
		s->is_full_range = bits_get(b, 1);
		s->primaries = s->transfer = s->matrix = 2; /* unspecified; a full range alone is worth telling */
		s->has_colour = s->is_full_range;
		if (bits_get(b, 1)) {
			s->has_colour = true;
			s->primaries = (int)bits_get(b, 8);
			s->transfer = (int)bits_get(b, 8);
			s->matrix = (int)bits_get(b, 8);
		}
	}
	if (bits_get(b, 1)) { /* chroma_loc_info_present_flag */
		get_ue(b, 5);
		get_ue(b, 5);
	}
	if (b->is_over)
		*s = before;
}

/* units: ticks per frame. */
static void read_timing(struct bits *b, struct nal_sps *s, int units)
{
	int64_t tick = bits_get(b, 32), scale = bits_get(b, 32), common;

	tick *= units;
	if (!tick || !scale || b->is_over || scale / LIMIT_FRAME_RATE > tick)
		return;
	common = timeline_gcd(scale, tick);
	s->rate_num = scale / common;
	s->rate_den = tick / common;
}

/* ---- H.264 */

static void skip_hrd_h264(struct bits *b)
{
	unsigned n = get_ue(b, LIMIT_CPB - 1) + 1;

	bits_skip(b, 8);
	for (unsigned i = 0; i < n; i++) {
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
		read_timing(b, s, 2); /* counted in fields */
		bits_skip(b, 1);
	}
	if ((has_hrd = bits_get(b, 1)))
		skip_hrd_h264(b);
	if ((has_vcl_hrd = bits_get(b, 1)))
		skip_hrd_h264(b);
	if (has_hrd || has_vcl_hrd)
		bits_skip(b, 1);
	bits_skip(b, 1);
	if (bits_get(b, 1)) { /* bitstream_restriction_flag */
		uint32_t reorder, decoded;

		bits_skip(b, 1);
		for (int i = 0; i < 4; i++)
			bits_ue(b);
		reorder = bits_ue(b);
		decoded = bits_ue(b); /* max_dec_frame_buffering */
		if (!b->is_over && reorder <= LIMIT_REORDER && reorder <= decoded) {
			s->reorder = (int)reorder;
			s->is_reorder_said = true;
		}
	}
}

static void skip_scaling_lists(struct bits *b, int n)
{
	for (int i = 0; i < n; i++) {
		int size = i < 6 ? 16 : 64;
		uint32_t last = 8, next = 8;

		if (!bits_get(b, 1))
			continue;
		for (int k = 0; k < size && next && !b->is_over; k++) {
			next = (last + (uint32_t)bits_se(b)) & 255;
			last = next ? next : last;
		}
	}
}

static bool is_high_profile(int profile)
{
	static const uint8_t high[] = { 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135 };

	return memchr(high, profile, sizeof high) != NULL;
}

/* Section E.2.1: with constraint_set3_flag these have intra pictures only. */
static bool is_intra_profile(int profile, uint32_t constraints)
{
	static const uint8_t intra[] = { 44, 86, 100, 110, 122, 244 };

	return profile == 44 || ((constraints & 0x10) && memchr(intra, profile, sizeof intra));
}

static void read_high_h264(struct bits *b, struct nal_sps *s, struct sps_more *more)
{
	s->chroma_format = (int)get_ue(b, 3);
	if (s->chroma_format == 3)
		bits_skip(b, 1); /* separate_colour_plane_flag: cropped in luma samples either way */
	s->bit_depth = 8 + (int)get_ue(b, 6);
	more->bit_depth_chroma = 8 + (int)get_ue(b, 6);
	bits_skip(b, 1);
	if (bits_get(b, 1))
		skip_scaling_lists(b, s->chroma_format == 3 ? 12 : 8);
}

static unsigned read_poc_h264(struct bits *b)
{
	unsigned type = get_ue(b, 2), n;

	if (type == 0) {
		get_ue(b, 12);
	} else if (type == 1) {
		bits_skip(b, 1);
		bits_se(b);
		bits_se(b);
		n = get_ue(b, LIMIT_POC_CYCLE);
		for (unsigned i = 0; i < n; i++)
			bits_se(b);
	}
	return type;
}

/* Returns the number of macroblocks of a frame. */
static int64_t read_size_h264(struct bits *b, struct nal_sps *s)
{
	uint32_t crop[4] = { 0 };
	int64_t width = (int64_t)get_ue(b, LIMIT_BLOCKS) + 1, height = (int64_t)get_ue(b, LIMIT_BLOCKS) + 1;
	int fields = bits_get(b, 1) ? 1 : 2; /* frame_mbs_only_flag */

	if (fields == 2)
		bits_skip(b, 1);
	bits_skip(b, 1);
	if (bits_get(b, 1))
		for (int i = 0; i < 4; i++)
			crop[i] = bits_ue(b);
	set_size(s, width * 16, height * 16 * fields, crop, s->chroma_format == 1 || s->chroma_format == 2 ? 2 : 1,
		 (s->chroma_format == 1 ? 2 : 1) * fields);
	return width * height * fields;
}

/* MaxDpbFrames, section A.3.1 with table A-1: no more than that can wait. -1: 16, or the level is none that the stream
 * keeps. */
static int max_waiting_h264(const struct nal_sps *s, uint32_t constraints, uint32_t refs, int64_t macroblocks)
{
	static const struct {
		int level;
		int64_t macroblocks;
	} table[] = {
		{ 10, 396 },   { 11, 900 },   { 20, 2376 },  { 21, 4752 },   { 30, 8100 },   { 31, 18000 },
		{ 32, 20480 }, { 41, 32768 }, { 42, 34816 }, { 50, 110400 }, { 52, 184320 }, { 62, 696320 },
	};
	bool is_1b = s->level == 11 && (constraints & 0x10) && !is_high_profile(s->profile);
	int level = is_1b ? 9 : s->level;
	size_t i = 0;
	int64_t n;

	while (i < sizeof table / sizeof *table && table[i].level < level)
		i++;
	n = i < sizeof table / sizeof *table ? table[i].macroblocks / macroblocks : 0;
	return n >= 1 && n < LIMIT_REORDER && n >= refs ? (int)n : -1;
}

/* Up to vui_parameters_present_flag, which is returned. */
static bool read_h264(struct bits *b, struct nal_sps *s, struct sps_more *more)
{
	uint32_t constraints, poc, refs;
	int64_t macroblocks;

	bits_skip(b, 8);
	s->profile = (int)bits_get(b, 8);
	constraints = bits_get(b, 8);
	s->level = (int)bits_get(b, 8);
	s->chroma_format = 1;
	s->bit_depth = more->bit_depth_chroma = 8;
	get_ue(b, 31);
	if (is_high_profile(s->profile))
		read_high_h264(b, s, more);
	get_ue(b, 12);
	poc = read_poc_h264(b);
	refs = bits_ue(b);
	bits_skip(b, 1);
	macroblocks = read_size_h264(b, s);
	s->is_reorder_said = poc == 2 || is_intra_profile(s->profile, constraints);
	s->reorder = poc == 2 || is_intra_profile(s->profile, constraints)
			     ? 0
			     : max_waiting_h264(s, constraints, refs, macroblocks);
	return bits_get(b, 1);
}

/* ---- H.265 */

/* profile_tier_level, section 7.3.3. */
static void read_profile_h265(struct bits *b, unsigned max_sub_layers_minus1, struct nal_sps *s, struct sps_more *more)
{
	bool has_profile[8], has_level[8];

	for (int i = 0; i < 12; i++)
		more->profile[i] = (uint8_t)bits_get(b, 8);
	s->profile = more->profile[0] & 31;
	s->level = more->profile[11];
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

/* The distances of a set's pictures, negative ones first, each side from near to far. */
struct ref_set {
	int32_t delta[LIMIT_REF_PICS];
	int n, n_negative;
};

static void add_ref(struct bits *b, struct ref_set *r, int32_t delta)
{
	if (r->n == LIMIT_REF_PICS)
		b->is_over = true;
	else
		r->delta[r->n++] = delta;
}

/* Predicted from the set before, equations (7-61) and (7-62): a distance that comes to 0 is in neither half, so counting
 * flags is not enough to know how long the next set is. */
static void read_predicted_set(struct bits *b, const struct ref_set *ref, struct ref_set *r)
{
	bool is_used[LIMIT_REF_PICS + 1];
	int32_t sign = bits_get(b, 1) ? -1 : 1, shift = sign * (int32_t)(get_ue(b, 32767) + 1);

	for (int i = 0; i <= ref->n; i++) /* used_by_curr_pic_flag, else use_delta_flag */
		is_used[i] = bits_get(b, 1) || bits_get(b, 1);
	for (int i = ref->n - 1; i >= ref->n_negative; i--)
		if (is_used[i] && ref->delta[i] + shift < 0)
			add_ref(b, r, ref->delta[i] + shift);
	if (shift < 0 && is_used[ref->n])
		add_ref(b, r, shift);
	for (int i = 0; i < ref->n_negative; i++)
		if (is_used[i] && ref->delta[i] + shift < 0)
			add_ref(b, r, ref->delta[i] + shift);
	r->n_negative = r->n;
	for (int i = ref->n_negative - 1; i >= 0; i--)
		if (is_used[i] && ref->delta[i] + shift > 0)
			add_ref(b, r, ref->delta[i] + shift);
	if (shift > 0 && is_used[ref->n])
		add_ref(b, r, shift);
	for (int i = ref->n_negative; i < ref->n; i++)
		if (is_used[i] && ref->delta[i] + shift > 0)
			add_ref(b, r, ref->delta[i] + shift);
}

static void read_plain_set(struct bits *b, struct ref_set *r)
{
	int n_negative = (int)get_ue(b, LIMIT_REF_PICS);
	int n_positive = (int)get_ue(b, (uint32_t)(LIMIT_REF_PICS - n_negative));
	int32_t delta = 0;

	for (int i = 0; i < n_negative + n_positive; i++) {
		if (i == n_negative)
			delta = 0;
		delta += (i < n_negative ? -1 : 1) * (int32_t)(get_ue(b, 32767) + 1);
		bits_skip(b, 1);
		add_ref(b, r, delta);
	}
	r->n_negative = n_negative;
}

/* st_ref_pic_set, section 7.3.7: read only to find what is behind. */
static void skip_ref_sets(struct bits *b)
{
	unsigned n = get_ue(b, LIMIT_REF_SETS);
	struct ref_set before = { .n = 0 };

	for (unsigned i = 0; i < n && !b->is_over; i++) {
		struct ref_set r = { .n = 0 };

		if (i && bits_get(b, 1))
			read_predicted_set(b, &before, &r);
		else
			read_plain_set(b, &r);
		before = r;
	}
}

static void read_vui_h265(struct bits *b, struct nal_sps *s)
{
	read_vui_head(b, s);
	bits_skip(b, 3);
	if (bits_get(b, 1)) /* default_display_window_flag: a hint, players do not crop by it */
		for (int i = 0; i < 4; i++)
			bits_ue(b);
	if (bits_get(b, 1))
		read_timing(b, s, 1);
}

static void skip_to_vui_h265(struct bits *b, unsigned log2_max_poc)
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
	if (bits_get(b, 1)) /* long_term_ref_pics_present_flag */
		bits_skip(b, (size_t)get_ue(b, LIMIT_LONG_TERM) * (log2_max_poc + 1));
	bits_skip(b, 2);
}

static void read_size_h265(struct bits *b, struct nal_sps *s)
{
	uint32_t crop[4] = { 0 }, width, height;

	s->chroma_format = (int)get_ue(b, 3);
	if (s->chroma_format == 3)
		bits_skip(b, 1);
	width = bits_ue(b);
	height = bits_ue(b);
	if (bits_get(b, 1)) /* conformance_window_flag */
		for (int i = 0; i < 4; i++)
			crop[i] = bits_ue(b);
	set_size(s, width, height, crop, s->chroma_format == 1 || s->chroma_format == 2 ? 2 : 1,
		 s->chroma_format == 1 ? 2 : 1);
}

/* Up to the reorder depth; what is behind is only passed over to get to the VUI. Returns log2_max_pic_order_cnt_lsb. */
static unsigned read_h265(struct bits *b, struct nal_sps *s, struct sps_more *more)
{
	unsigned sub_layers, log2_max_poc;
	uint32_t reorder = 0;

	bits_skip(b, 16 + 4);
	sub_layers = bits_get(b, 3);
	if (sub_layers > 6)
		b->is_over = true;
	more->temporal_layers = (int)sub_layers + 1;
	more->is_temporal_nested = bits_get(b, 1);
	read_profile_h265(b, sub_layers, s, more);
	get_ue(b, 15);
	read_size_h265(b, s);
	s->bit_depth = 8 + (int)get_ue(b, 8);
	more->bit_depth_chroma = 8 + (int)get_ue(b, 8);
	log2_max_poc = get_ue(b, 12) + 4;
	for (unsigned i = bits_get(b, 1) ? 0 : sub_layers; i <= sub_layers; i++) {
		bits_ue(b);
		reorder = bits_ue(b); /* the highest sub-layer's stays */
		bits_ue(b);
	}
	if (!b->is_over && reorder <= LIMIT_REORDER) {
		s->reorder = (int)reorder;
		s->is_reorder_said = true;
	}
	return log2_max_poc;
}

/* ---- public */

int sps_read(enum nal_codec codec, struct bytes nal, struct nal_sps *s, struct sps_more *more, struct err *err)
{
	uint8_t data[LIMIT_SPS];
	struct bits b = { data, 0, 0, false };
	unsigned log2_max_poc = 0;
	bool has_vui = false;

	*s = (struct nal_sps){ .reorder = -1 };
	*more = (struct sps_more){ 0 };
	if (nal.size > sizeof data)
		return err_set(err, ERR_LIMIT, "a sequence parameter set of %zu bytes", nal.size);
	b.size = unescape(nal, data);
	if (codec == NAL_H264)
		has_vui = read_h264(&b, s, more);
	else
		log2_max_poc = read_h265(&b, s, more);
	if (b.is_over || !s->width || !s->height)
		return err_set(err, ERR_DATA, "broken sequence parameter set (%zu bytes)", nal.size);
	if (s->width > LIMIT_DIMENSION || s->height > LIMIT_DIMENSION)
		return err_set(err, ERR_LIMIT, "pictures of over %d samples", LIMIT_DIMENSION);
	if (codec == NAL_H265) {
		skip_to_vui_h265(&b, log2_max_poc);
		has_vui = bits_get(&b, 1);
	}
	if (has_vui && !b.is_over)
		(codec == NAL_H264 ? read_vui_h264 : read_vui_h265)(&b, s);
	return 0;
}
