/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sequence parameter sets: real ones (x264, x265, a phone, the HEVC reference encoder) and some made bit by bit.
 */
#include "worker/sps.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static struct err err;

/* ---- a writer of bits, for sequence parameter sets that no encoder here makes */

struct writer {
	uint8_t data[256];
	size_t at;
};

static void put(struct writer *w, unsigned n, uint64_t v)
{
	while (n--) {
		w->data[w->at / 8] |= (uint8_t)((v >> n & 1) << (7 - w->at % 8));
		w->at++;
	}
}

static void put_ue(struct writer *w, uint64_t v)
{
	unsigned n = 0;

	while ((v + 1) >> (n + 1))
		n++;
	put(w, n, 0);
	put(w, n + 1, v + 1);
}

static void put_se(struct writer *w, int v)
{
	put_ue(w, v > 0 ? (uint64_t)v * 2 - 1 : (uint64_t)-v * 2);
}

/* With emulation prevention; the bits end with rbsp_trailing_bits. */
static struct bytes end_nal(struct writer *w)
{
	uint8_t out[400];
	size_t n = 0, zeros = 0;

	put(w, 1, 1);
	for (size_t i = 0; i < (w->at + 7) / 8; i++) {
		if (zeros == 2 && w->data[i] <= 3) {
			out[n++] = 3;
			zeros = 0;
		}
		zeros = w->data[i] ? 0 : zeros + 1;
		out[n++] = w->data[i];
	}
	return mem_copy(out, n);
}

/* H.264 in macroblocks, without VUI. */
struct made {
	int profile, constraints, level, poc, refs, width, height;
};

static void put_made_head(struct writer *w, const struct made *m)
{
	put(w, 8, 0x67);
	put(w, 8, (uint64_t)m->profile);
	put(w, 8, (uint64_t)m->constraints);
	put(w, 8, (uint64_t)m->level);
	put_ue(w, 0);
	if (m->profile >= 100) {
		put_ue(w, 1);
		put_ue(w, 0);
		put_ue(w, 0);
		put(w, 2, 0);
	}
}

static void put_made_size(struct writer *w, const struct made *m)
{
	put_ue(w, (uint64_t)m->refs);
	put(w, 1, 0);
	put_ue(w, (uint64_t)m->width - 1);
	put_ue(w, (uint64_t)m->height - 1);
	put(w, 3, 6); /* frames only, direct 8x8, no crop */
}

static struct bytes make_sps(const struct made *m)
{
	struct writer w = { .at = 0 };

	put_made_head(&w, m);
	put_ue(&w, 0);
	put_ue(&w, (uint64_t)m->poc);
	if (m->poc == 0)
		put_ue(&w, 0);
	if (m->poc == 1) {
		put(&w, 1, 0);
		put_se(&w, -5);
		put_se(&w, 4);
		put_ue(&w, 2);
		put_se(&w, 100);
		put_se(&w, -100);
	}
	put_made_size(&w, m);
	put(&w, 1, 0); /* no VUI */
	return end_nal(&w);
}

/* ---- sequence parameter sets */

static const struct {
	const char *what, *nal;
	struct nal_sps sps;
} real[] = {
	{ "x264 1080p: cropped from 1088, bt709, 23.976", "67640028acd900780227e5c05a808080a000007d2000177001e30632c0",
	  { 1920, 1080, 100, 40, 1, 8, 2, 1, 1, true, 1, 1, 1, false, 24000, 1001 } },
	{ "x264 PAL: SAR from the table", "674d401eeca05a09360820000003002000000641e2c5b2c0",
	  { 720, 576, 77, 30, 1, 8, 2, 16, 11, false, 0, 0, 0, false, 25, 1 } },
	{ "x264 baseline: extended SAR", "6742c01eda0280f6ffc000c00104000003000400000300f03c58ba80",
	  { 640, 480, 66, 30, 1, 8, 0, 3, 4, false, 0, 0, 0, false, 30, 1 } },
	{ "x264 interlaced: cropped in units of 4 lines", "674d4028eca03c0227ef011000000300100000030321f162d960",
	  { 1920, 1080, 77, 40, 1, 8, 2, 1, 1, false, 0, 0, 0, false, 25, 1 } },
	{ "x264 4:2:2 10 bit: cropped by single lines", "677a0020b6cd9405105be22f0110000003001000000640f1831960",
	  { 1282, 718, 122, 32, 2, 10, 2, 1, 1, false, 0, 0, 0, false, 50, 1 } },
	{ "x264 4:4:4: cropped by single samples", "67f40015919b282a37c7c4e022000003000200000300c81e2c5b2c",
	  { 322, 200, 244, 21, 3, 8, 2, 1, 1, false, 0, 0, 0, false, 50, 1 } },
	{ "x264 full range and HRD: colours unspecified",
	  "6742c014da0507ec05b200000300020000030078c08001e848003d09c98400f142aa",
	  { 320, 240, 66, 20, 1, 8, 0, 1, 1, true, 2, 2, 2, true, 30, 1 } },
	{ "a phone: order type 2 and no timing", "67640033ac3b702802dd2b050f0606d0a137",
	  { 1280, 720, 100, 51, 1, 8, 0, 0, 0, true, 5, 15, 6, true, 0, 0 } },
	{ "a hardware encoder with HRD", "67640015ac74c1e08feb0110000003001000000303ce00001647000164739a8a03e2c5a7",
	  { 480, 270, 100, 21, 1, 8, 1, 1, 1, false, 0, 0, 0, false, 30, 1 } },
	{ "x265 1080p", "420101216000000300900000030000030078a003c0801107cb965664a4c2f016a0202020800001f480002ee004",
	  { 1920, 1080, 1, 120, 1, 8, 2, 1, 1, true, 1, 1, 1, false, 24000, 1001 } },
	{ "x265 HDR10 with HRD: SAR 4:3",
	  "42010102200000030090000003000003007ba005220171c448d965644a4c2f0e6a1220120800000300080000"
	  "03019300a4c3700016e360002dc6c4",
	  { 642, 362, 2, 123, 1, 10, 2, 4, 3, true, 9, 16, 9, false, 50, 1 } },
	{ "x265 4:4:4 12 bit full range",
	  "420101040800000300980800000300003c90014101a3e24a52dd25261780b6040000030004000003006420",
	  { 320, 200, 4, 60, 3, 12, 0, 1, 1, true, 2, 2, 2, true, 25, 1 } },
	{ "x265 with temporal layers and scaling lists",
	  "42010201600000030090000003000003003c0000a00a080f1659594aca949c2f016808000003000800000300c840",
	  { 320, 240, 1, 60, 1, 8, 2, 1, 1, false, 2, 2, 2, false, 25, 1 } },
	{ "four temporal layers, predicted reference picture sets",
	  "42010701600000030090000003000003003f0000a0073200ac7256266533989317248a41d2474f3e3fc4fcb3f9fb3cbfd7"
	  "cc8792ff9fb3cbfd7c123a79f1fe27e53fcfdfcb3f5f321e4bfe7ecf2ff5f1ffe1568156602000007d0000075301220001",
	  { 914, 686, 1, 63, 1, 8, 4, 2740, 2739, false, 0, 0, 0, false, 15, 1 } },
};

static enum nal_codec codec_of(const char *nal)
{
	return nal[0] == '6' ? NAL_H264 : NAL_H265;
}

static void assert_sps(const struct nal_sps *got, const struct nal_sps *want, const char *what)
{
#define FIELD(f) \
	ck_assert_msg(got->f == want->f, "%s: " #f " is %lld, not %lld", what, (long long)got->f, (long long)want->f)
	FIELD(width), FIELD(height), FIELD(profile), FIELD(level), FIELD(chroma_format), FIELD(bit_depth), FIELD(reorder);
	FIELD(sar_num), FIELD(sar_den), FIELD(has_colour), FIELD(is_full_range), FIELD(rate_num), FIELD(rate_den);
	if (want->has_colour)
		FIELD(primaries), FIELD(transfer), FIELD(matrix);
#undef FIELD
}

START_TEST(every_fact_of_real_parameter_sets_is_read)
{
	struct nal_sps sps;
	struct sps_more more;

	ck_assert_int_eq(sps_read(codec_of(real[_i].nal), mem_hex(real[_i].nal), &sps, &more, &err), 0);
	assert_sps(&sps, &real[_i].sps, real[_i].what);
	ck_assert(sps.is_reorder_said);
	ck_assert_int_eq(more.bit_depth_chroma, real[_i].sps.bit_depth);
}
END_TEST

START_TEST(a_parameter_set_cut_anywhere_is_refused_or_keeps_its_size)
{
	struct bytes whole = mem_hex(real[_i].nal);
	const struct nal_sps *want = &real[_i].sps;
	size_t taken = 0;

	for (size_t n = 0; n < whole.size; n++) {
		struct nal_sps sps;
		struct sps_more more;
		int ret = sps_read(codec_of(real[_i].nal), mem_copy(whole.data, n), &sps, &more, &err);

		ck_assert(ret == 0 || ret == ERR_DATA);
		taken += ret == 0;
		if (!ret) {
			ck_assert(sps.width == want->width && sps.height == want->height && sps.bit_depth == want->bit_depth);
			ck_assert(!sps.rate_num || (sps.rate_num == want->rate_num && sps.rate_den == want->rate_den));
			ck_assert(!sps.sar_num || (sps.sar_num == want->sar_num && sps.sar_den == want->sar_den));
			ck_assert(!sps.has_colour || (sps.primaries == want->primaries && sps.transfer == want->transfer &&
						      sps.matrix == want->matrix && sps.is_full_range == want->is_full_range));
		}
		ck_assert(ret || n >= 8);
	}
	ck_assert_uint_gt(taken, 0); /* what is behind the size may be missing */
}
END_TEST

START_TEST(a_parameter_set_with_any_byte_changed_gives_facts_within_their_ranges)
{
	struct bytes nal = mem_hex(real[_i].nal);
	uint8_t *data = malloc(nal.size);

	memcpy(data, nal.data, nal.size);
	for (size_t at = 0; at < nal.size; at++)
		for (int v = 0; v < 256; v++) {
			struct nal_sps s;
			struct sps_more more;

			data[at] = (uint8_t)v;
			if (!sps_read(codec_of(real[_i].nal), (struct bytes){ data, nal.size }, &s, &more, &err)) {
				ck_assert(s.width >= 1 && s.width <= 16384 && s.height >= 1 && s.height <= 16384);
				ck_assert(s.bit_depth >= 8 && s.bit_depth <= 16 && s.chroma_format >= 0 &&
					  s.chroma_format <= 3);
				ck_assert(s.reorder >= -1 && s.reorder <= 16 && !s.sar_num == !s.sar_den);
				ck_assert(!s.rate_num == !s.rate_den && s.rate_num >= 0 && s.rate_den >= 0);
			}
			data[at] = nal.data[at];
		}
	free(data);
}
END_TEST

static const struct {
	const char *what;
	struct made made;
	int reorder;
	bool is_said; /* else it is the most that is allowed */
} implied[] = {
	{ "what level 4 has room for: 32768 macroblocks", { 100, 0, 40, 0, 4, 120, 68 }, 4 },
	{ "level 3.1, 720p", { 77, 0, 31, 0, 1, 80, 45 }, 5 },
	{ "Baseline may show pictures late, too", { 66, 0, 30, 0, 1, 40, 30 }, 6 },
	{ "order type 1", { 77, 0, 31, 1, 1, 80, 45 }, 5 },
	{ "room for 16 is no bound", { 77, 0, 40, 0, 1, 20, 15 }, -1 },
	{ "more references than the level has room for: it lies", { 100, 0, 40, 0, 5, 120, 68 }, -1 },
	{ "no room for one picture", { 100, 0, 10, 0, 1, 120, 68 }, -1 },
	{ "a level that is not known", { 100, 0, 99, 0, 1, 120, 68 }, -1 },
	{ "level 1b is written as 1.1 with a constraint", { 66, 0x10, 11, 0, 1, 11, 9 }, 4 },
	{ "level 1.1", { 66, 0, 11, 0, 1, 11, 9 }, 9 },
	{ "order type 2: shown as decoded", { 100, 0, 40, 2, 4, 120, 68 }, 0, true },
	{ "an intra profile by its constraint", { 110, 0x10, 40, 0, 1, 120, 68 }, 0, true },
	{ "the constraint alone is not enough", { 77, 0x10, 40, 0, 1, 120, 68 }, 4 },
};

START_TEST(the_reorder_depth_is_implied_by_profile_constraints_and_level)
{
	struct bytes nal = make_sps(&implied[_i].made);
	struct nal_sps sps;
	struct sps_more more;

	ck_assert_int_eq(sps_read(NAL_H264, nal, &sps, &more, &err), 0);
	ck_assert_int_eq(sps.width, implied[_i].made.width * 16);
	ck_assert_int_eq(sps.height, implied[_i].made.height * 16);
	ck_assert_msg(sps.reorder == implied[_i].reorder, "%s: %d", implied[_i].what, sps.reorder);
	ck_assert_msg(sps.is_reorder_said == implied[_i].is_said, "%s", implied[_i].what);
}
END_TEST

START_TEST(scaling_lists_are_passed_over)
{
	const struct made m = { 100, 0, 40, 0, 4, 120, 68 };
	struct writer w = { .at = 0 };
	struct nal_sps sps;
	struct sps_more more;

	put_made_head(&w, &m);
	w.at--;
	w.data[w.at / 8] &= (uint8_t)~(1 << (7 - w.at % 8));
	put(&w, 1, 1); /* seq_scaling_matrix_present_flag */
	put(&w, 2, 1); /* not the first; the second stops after two */
	put_se(&w, 3);
	put_se(&w, -11);
	put(&w, 4, 0);
	put(&w, 1, 1); /* the seventh, 8x8, is whole */
	for (int i = 0; i < 64; i++)
		put_se(&w, i % 2 ? 2 : -1);
	put(&w, 1, 0);
	put_ue(&w, 0);
	put_ue(&w, 2);
	put_made_size(&w, &m);
	put(&w, 1, 0);
	ck_assert_int_eq(sps_read(NAL_H264, end_nal(&w), &sps, &more, &err), 0);
	ck_assert_int_eq(sps.width, 1920);
	ck_assert_int_eq(sps.height, 1088);
	ck_assert_int_eq(sps.reorder, 0);
}
END_TEST

static void put_zero_ues(struct writer *w, int n)
{
	while (n--)
		put_ue(w, 0);
}

/* All lists predicted but one of 16x16, which has a DC coefficient in front. */
static void put_made_scaling(struct writer *w)
{
	put(w, 2, 3);
	for (int i = 0; i < 6 + 6 + 6 + 2; i++) {
		if (i != 14) {
			put(w, 2, 1);
			continue;
		}
		put(w, 1, 1);
		for (int k = 0; k < 1 + 64; k++)
			put_se(w, 3);
	}
}

/* H.265 up to num_short_term_ref_pic_sets. */
static void put_made_h265(struct writer *w)
{
	put(w, 16, 0x4201);
	put(w, 8, 0x03); /* two sub-layers, the first with a profile and a level of its own */
	put(w, 48, 0x016000000000);
	put(w, 48, 93);
	put(w, 16, 0xc000);
	put(w, 48, UINT64_MAX);
	put(w, 48, UINT64_MAX);
	put_ue(w, 0);
	put_ue(w, 1);
	put_ue(w, 640);
	put_ue(w, 360);
	put(w, 1, 0);
	put_zero_ues(w, 3); /* bit depths, picture order count */
	put(w, 1, 1);
	put_zero_ues(w, 3);
	put_ue(w, 4);
	put_ue(w, 2);
	put_ue(w, 0);
	put_zero_ues(w, 6);
	put_made_scaling(w);
	put(w, 3, 0); /* no AMP, SAO, PCM */
}

/* The second set has three flags set and two pictures: the third would be the picture itself. */
START_TEST(a_predicted_picture_at_distance_0_is_not_counted)
{
	struct writer w = { .at = 0 };
	struct nal_sps sps;
	struct sps_more more;

	put_made_h265(&w);
	put_ue(&w, 4);
	put_ue(&w, 1); /* -1 and +1 */
	put_ue(&w, 1);
	put(&w, 4, 0xf);
	put(&w, 2, 3); /* predicted, from further away by 1: -2, -1 and 0 */
	put_ue(&w, 0);
	put(&w, 3, 7);
	for (int i = 0; i < 2; i++) {
		put(&w, 2, 2); /* predicted, nearer by 1: -1, 0 and +1 */
		put_ue(&w, 0);
		put(&w, 3, 7);
	}
	put(&w, 3, 0); /* no long-term pictures, no prediction of motion, no smoothing */
	put(&w, 2, 3); /* VUI with an aspect ratio */
	put(&w, 8, 14);
	put(&w, 9, 0);
	ck_assert_int_eq(sps_read(NAL_H265, end_nal(&w), &sps, &more, &err), 0);
	ck_assert(sps.width == 640 && sps.height == 360 && sps.level == 93 && sps.reorder == 2);
	ck_assert(sps.sar_num == 4 && sps.sar_den == 3);
}
END_TEST

START_TEST(a_number_of_32_leading_zeros_is_refused)
{
	struct writer w = { .at = 0 };
	struct nal_sps sps;
	struct sps_more more;

	put(&w, 32, 0x674d001f);
	put(&w, 32, 0);
	put(&w, 32, 1); /* 2^32 - 1 and 1 would be 0 in 32 bits */
	put_zero_ues(&w, 2);
	put_ue(&w, 2);
	put_made_size(&w, &(struct made){ .refs = 1, .width = 80, .height = 45 });
	put(&w, 1, 0);
	ck_assert_int_eq(sps_read(NAL_H264, end_nal(&w), &sps, &more, &err), ERR_DATA);
}
END_TEST

START_TEST(pictures_over_the_limit_and_without_area_are_refused)
{
	struct nal_sps sps;
	struct sps_more more;
	uint8_t large[5000] = { 0x67, 100, 0, 40 };

	ck_assert_int_eq(sps_read(NAL_H264, make_sps(&(struct made){ 77, 0, 51, 0, 1, 1024, 1024 }), &sps, &more, &err), 0);
	ck_assert_int_eq(sps_read(NAL_H264, make_sps(&(struct made){ 77, 0, 51, 0, 1, 1025, 1 }), &sps, &more, &err),
			 ERR_LIMIT);
	ck_assert_int_eq(sps_read(NAL_H264, make_sps(&(struct made){ 77, 0, 51, 0, 1, 1, 1 << 20 }), &sps, &more, &err),
			 ERR_DATA);
	ck_assert_int_eq(sps_read(NAL_H264, mem_copy(large, sizeof large), &sps, &more, &err), ERR_LIMIT);
}
END_TEST

Suite *suite_sps(void)
{
	Suite *suite = suite_create("worker/sps");
	TCase *t = tcase_create("sps");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, NULL, mem_release);
	tcase_add_loop_test(t, every_fact_of_real_parameter_sets_is_read, 0, (int)LENGTH(real));
	tcase_add_loop_test(t, a_parameter_set_cut_anywhere_is_refused_or_keeps_its_size, 0, (int)LENGTH(real));
	tcase_add_loop_test(t, a_parameter_set_with_any_byte_changed_gives_facts_within_their_ranges, 0, (int)LENGTH(real));
	tcase_add_loop_test(t, the_reorder_depth_is_implied_by_profile_constraints_and_level, 0, (int)LENGTH(implied));
	tcase_add_test(t, scaling_lists_are_passed_over);
	tcase_add_test(t, a_predicted_picture_at_distance_0_is_not_counted);
	tcase_add_test(t, a_number_of_32_leading_zeros_is_refused);
	tcase_add_test(t, pictures_over_the_limit_and_without_area_are_refused);
	suite_add_tcase(suite, t);
	return suite;
}
