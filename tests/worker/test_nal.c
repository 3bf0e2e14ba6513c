/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Configuration records and samples. The parameter sets are of x264 and x265.
 */
#include "worker/nal.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* x264 and x265, 1080p */
#define SPS4 "67640028acd900780227e5c05a808080a000007d2000177001e30632c0"
#define PPS4 "68eb83f2c0"
#define AVCC "01640028ffe1001d" SPS4 "010005" PPS4 "fdf8f800"
#define VPS5 "40010c01ffff216000000300900000030000030078959809"
#define SPS5 "420101216000000300900000030000030078a003c0801107cb965664a4c2f016a0202020800001f480002ee004"
#define PPS5 "4401c073c189"
#define HVCC \
	"0121600000009000000000" "0078f000fcfdf8f800000f03" "a00001" "0018" VPS5 "a10001" "002d" SPS5 "a20001" "0006" PPS5

#define START "00000001"
#define IDR4 "658884"   /* first_mb 0, slice_type 7 */
#define I4 "4188840a"   /* non-IDR, slice_type 7 */
#define P4 "419a2100"   /* slice_type 5 */
#define P4_END "419a21"
#define RECOVERY4 "060601c080" /* SEI: payload type 6, 1 byte */

/* ---- a configuration and a scratch buffer */

static struct err err;
static struct nal_config config;
static struct buf scratch;

static void setup(void)
{
	config = (struct nal_config){ 0 };
	scratch = (struct buf){ 0 };
}

static void teardown(void)
{
	mem_release();
	nal_config_finish(&config);
	buf_finish(&scratch);
}

static int init(enum nal_codec codec, const char *codec_private, const char *sample)
{
	nal_config_finish(&config);
	return nal_config_init(&config, codec, mem_hex(codec_private), mem_hex(sample), &err);
}

static int read_sample(struct nal_sample *out, const char *sample)
{
	buf_reset(&scratch);
	return nal_sample_read(&config, mem_hex(sample), &scratch, out, &err);
}

/* ---- configuration */

static const struct {
	const char *nal, *codecs;
} named[] = {
	{ SPS4, "avc1.640028" },
	{ "6742c01eda0280f6ffc000c00104000003000400000300f03c58ba80", "avc1.42C01E" },
	{ "677a0020b6cd9405105be22f0110000003001000000640f1831960", "avc1.7A0020" },
	{ SPS5, "hvc1.1.6.H120.90" },
	{ "42010102200000030090000003000003007ba005220171c448d965644a4c2f0e6a1220120800000300080000"
	  "03019300a4c3700016e360002dc6c4",
	  "hvc1.2.4.L123.90" },
	{ "420101040800000300980800000300003c90014101a3e24a52dd25261780b6040000030004000003006420", "hvc1.4.10.L60.98.8" },
	{ "420101016000000300b0000003000003005da00280802d165ae4a4c2f016a0202020800001f480002ee004", "hvc1.1.6.L93.B0" },
};

static enum nal_codec codec_of(const char *nal)
{
	return nal[0] == '6' ? NAL_H264 : NAL_H265;
}

START_TEST(codecs_strings_are_those_of_the_standard)
{
	char sample[512];

	snprintf(sample, sizeof sample, START "%s", named[_i].nal);
	ck_assert_int_eq(init(codec_of(named[_i].nal), "", sample), 0);
	ck_assert_str_eq(config.codecs, named[_i].codecs);
}
END_TEST

START_TEST(a_whole_avcc_is_kept)
{
	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	mem_assert(buf_bytes(&config.record), AVCC, "avcC");
	ck_assert_int_eq(config.length_size, 4);
	ck_assert_int_eq(config.sps.width, 1920);
	ck_assert_str_eq(config.codecs, "avc1.640028");
}
END_TEST

/* Old muxers wrote none, and readers miss the chroma format. */
START_TEST(an_avcc_of_a_high_profile_without_its_end_gets_one)
{
	char old[sizeof AVCC] = AVCC;

	old[strlen(AVCC) - 8] = 0;
	ck_assert_int_eq(init(NAL_H264, old, ""), 0);
	mem_assert(buf_bytes(&config.record), AVCC, "avcC");
}
END_TEST

START_TEST(a_whole_hvcc_gets_complete_arrays)
{
	ck_assert_int_eq(init(NAL_H265,
			      "0121600000009000000000"
			      "0078f000fcfdf8f800000f03"
			      "200001"
			      "0018" VPS5 "210001"
			      "002d" SPS5 "220001"
			      "0006" PPS5,
			      ""),
			 0);
	mem_assert(buf_bytes(&config.record), HVCC, "hvcC");
}
END_TEST

START_TEST(a_hvcc_head_is_made_from_the_parameter_sets_where_the_source_has_none)
{
	static const char two_layers[] = "200001" "001c" "40010c02ffff01600000030090000003000003003c00009594aca048" "210001" "002e"
		"42010201600000030090000003000003003c0000a00a080f1659594aca949c2f016808000003000800000300c840" "220001" "0006" PPS5;
	char hvcc[400];

	/* version 0: nothing in it can be trusted */
	ck_assert_int_eq(init(NAL_H265, "00ffffffffffffffffffff" "ffffffffffffffffffff0f03" "200001" "0018" VPS5 "210001" "002d" SPS5
			      "220001" "0006" PPS5, ""), 0);
	mem_assert(buf_bytes(&config.record), HVCC, "hvcC");
	snprintf(hvcc, sizeof hvcc, "00000000000000000000000000000000000000000000" "03%s", two_layers);
	ck_assert_int_eq(init(NAL_H265, hvcc, ""), 0);
	mem_assert((struct bytes){ config.record.data, 23 }, "0101600000009000000000003cf000fcfdf8f800001003", "two layers");
}
END_TEST

START_TEST(arrays_of_hvcc_are_sorted_merged_and_sei_stays_incomplete)
{
	ck_assert_int_eq(init(NAL_H265,
			      "0121600000009000000000"
			      "0078f123fcfdf8f812340f05"
			      "a70001"
			      "0004"
			      "4e010180"
			      "220001"
			      "0006" PPS5 "220001"
			      "0006"
			      "4401c073c18a"
			      "210001"
			      "002d" SPS5 "200002"
			      "0018" VPS5 "0018" VPS5,
			      ""),
			 0);
	mem_assert(buf_bytes(&config.record),
		   "0121600000009000000000"
		   "0078f123fcfdf8f812340f04"
		   "a00001"
		   "0018" VPS5 "a10001"
		   "002d" SPS5 "a20002"
		   "0006" PPS5 "0006"
		   "4401c073c18a"
		   "270001"
		   "0004"
		   "4e010180",
		   "hvcC");
}
END_TEST

START_TEST(annex_b_private_becomes_a_record)
{
	ck_assert_int_eq(init(NAL_H264, START SPS4 "000001" PPS4, ""), 0);
	mem_assert(buf_bytes(&config.record), AVCC, "avcC");
	ck_assert_int_eq(init(NAL_H265, START VPS5 START SPS5 START PPS5, ""), 0);
	mem_assert(buf_bytes(&config.record), HVCC, "hvcC");
	ck_assert_int_eq(config.length_size, 4);
	ck_assert_int_eq(
		init(NAL_H264, START "6742c01eda0280f6ffc000c00104000003000400000300f03c58ba80" START "68ce0fc8", ""),
		0);
	ck_assert_uint_eq(config.record.size, 6 + 2 + 28 + 1 + 2 + 4); /* Baseline: nothing about colour formats */
}
END_TEST

START_TEST(parameter_sets_that_private_lacks_come_from_the_first_sample)
{
	static const char *const privates[] = { "", START "0910", "01640028ffe000", "01640028ffe1001d" SPS4 "00" };
	static const char *const samples[] = { START SPS4 START SPS4 START PPS4 START IDR4,
					       "0000001d" SPS4 "00000005" PPS4 "00000003" IDR4 };

	for (size_t i = 0; i < LENGTH(privates); i++)
		for (size_t k = 0; k < LENGTH(samples); k++) {
			ck_assert_int_eq(init(NAL_H264, privates[i], samples[k]), 0);
			mem_assert(buf_bytes(&config.record), AVCC, privates[i]);
		}
	ck_assert_int_eq(
		init(NAL_H265, "01000000000000000000000000f000fcfdf8f800000f00", START VPS5 START SPS5 START PPS5), 0);
	mem_assert(buf_bytes(&config.record), HVCC, "an empty hvcC says nothing");
	ck_assert_int_eq(
		init(NAL_H265, "0001600000000000000000007bf000fcfdf8f800000f00", START VPS5 START SPS5 START PPS5), 0);
	mem_assert(buf_bytes(&config.record), HVCC, "a version 0 hvcC is made anew");
}
END_TEST

START_TEST(without_a_sequence_parameter_set_there_is_no_configuration)
{
	ck_assert_int_eq(init(NAL_H264, "", ""), ERR_DATA);
	ck_assert_int_eq(init(NAL_H264, "01640028ffe000", START PPS4), ERR_DATA);
	ck_assert_int_eq(init(NAL_H264, "", "ffffffff" SPS4), ERR_DATA);
	ck_assert_int_eq(init(NAL_H265, START VPS5 START PPS5, ""), ERR_DATA);
	ck_assert_int_eq(init(NAL_H264, "02640028ffe1001d" SPS4 "00", ""), ERR_DATA);
	ck_assert_ptr_null(config.record.data);
}
END_TEST

START_TEST(a_record_cut_anywhere_is_refused_or_whole_enough)
{
	static const char *const records[] = { AVCC, HVCC };
	struct bytes whole = mem_hex(records[_i]);
	size_t sps_end = _i ? 23 + 5 + 24 + 5 + 45 : 8 + 29;

	for (size_t n = 0; n < whole.size; n++) {
		int ret = nal_config_init(&config, _i ? NAL_H265 : NAL_H264, mem_copy(whole.data, n),
					  (struct bytes){ NULL, 0 }, &err);

		ck_assert(ret == 0 || ret == ERR_DATA);
		ck_assert_msg(ret || (n >= sps_end && config.sps.width == 1920), "%zu bytes were taken", n);
		nal_config_finish(&config);
	}
}
END_TEST

START_TEST(a_record_with_any_byte_changed_does_no_harm)
{
	static const char *const records[] = { AVCC, HVCC };
	struct bytes whole = mem_hex(records[_i]);
	uint8_t *data = malloc(whole.size);

	memcpy(data, whole.data, whole.size);
	for (size_t at = 0; at < whole.size; at++)
		for (int v = 0; v < 256; v++) {
			data[at] = (uint8_t)v;
			if (!nal_config_init(&config, _i ? NAL_H265 : NAL_H264, (struct bytes){ data, whole.size },
					     (struct bytes){ NULL, 0 }, &err))
				ck_assert(config.codecs[0] && config.length_size != 3 && config.record.size);
			nal_config_finish(&config);
			data[at] = whole.data[at];
		}
	free(data);
}
END_TEST

START_TEST(more_parameter_sets_than_a_record_takes_are_refused)
{
	struct buf in = { 0 };

	for (int i = 0; i < 300; i++) {
		buf_put(&in, "\0\0\0\1\x68", 5);
		buf_put_u16(&in, (uint16_t)(0x8080 + (i / 100 << 8) + i % 100));
	}
	buf_put(&in, "\0\0\0\1", 4);
	buf_put(&in, mem_hex(SPS4).data, mem_hex(SPS4).size);
	ck_assert_int_eq(nal_config_init(&config, NAL_H264, buf_bytes(&in), (struct bytes){ NULL, 0 }, &err), ERR_LIMIT);
	buf_reset(&in);
	buf_put_zero(&in, 2 << 20);
	ck_assert_int_eq(nal_config_init(&config, NAL_H264, buf_bytes(&in), (struct bytes){ NULL, 0 }, &err), ERR_LIMIT);
	buf_finish(&in);
}
END_TEST

/* ---- samples */

static const struct {
	const char *lengths; /* byte 4 of avcC */
	const char *in, *out;
	int length_size;
} sizes[] = {
	{ "fc", "03" IDR4 "04" P4, NULL, 1 },
	{ "fd", "0003" IDR4 "0004" P4, NULL, 2 },
	{ "fe", "000003" IDR4 "000004" P4, "00000003" IDR4 "00000004" P4, 4 },
	{ "ff", "00000003" IDR4 "00000004" P4, NULL, 4 },
	{ "fc", START IDR4 "000001" P4_END, "03" IDR4 "03" P4_END, 1 },
	{ "fd", START IDR4 "000001" P4_END, "0003" IDR4 "0003" P4_END, 2 },
	{ "fe", START IDR4 "000001" P4_END, "00000003" IDR4 "00000003" P4_END, 4 },
	{ "ff", "000001" IDR4 "00" START P4_END "0000", "00000003" IDR4 "00000003" P4_END, 4 },
};

START_TEST(every_length_size_and_annex_b_give_the_same_units)
{
	struct nal_sample s;
	struct nal_config lengths;
	char record[256];

	snprintf(record, sizeof record, "01640028%se1001d" SPS4 "010005" PPS4, sizes[_i].lengths);
	ck_assert_int_eq(nal_config_init_lengths(&lengths, NAL_H264, mem_hex(record), &err), 0);
	ck_assert_int_eq(init(NAL_H264, record, ""), 0);
	ck_assert_int_eq(lengths.length_size, config.length_size);
	ck_assert_int_eq(lengths.source_length_size, config.source_length_size);
	ck_assert_int_eq(config.length_size, sizes[_i].length_size);
	ck_assert_int_eq(config.record.data[4], 0xfc | (sizes[_i].length_size - 1));
	ck_assert_int_eq(read_sample(&s, sizes[_i].in), 0);
	mem_assert(s.data, sizes[_i].out ? sizes[_i].out : sizes[_i].in, sizes[_i].in);
	ck_assert_uint_eq(scratch.size, sizes[_i].out ? s.data.size : 0);
	ck_assert(s.has_picture && s.sync == NAL_SYNC_CLOSED);
}
END_TEST

/* Row 17 of the defects of the system before: 00 00 01 xx as a length looks like a start code. */
START_TEST(a_first_unit_of_1_or_256_to_511_bytes_is_not_taken_for_annex_b)
{
	uint8_t in[4 + 511 + 4 + 3] = { 0 };
	struct bytes sample;
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	for (size_t n = 1; n <= 511; n = n == 1 ? 256 : n + 1) {
		memset(in, 0x11, sizeof in);
		memcpy(in, (uint8_t[]){ 0, 0, (uint8_t)(n >> 8), (uint8_t)n, 0x65 }, 5);
		memcpy(in + 4 + n, (uint8_t[]){ 0, 0, 0, 3, 0x41, 0x9a, 0x21 }, 7);
		sample = mem_copy(in, 4 + n + 7);
		ck_assert_int_eq(nal_sample_read(&config, sample, &scratch, &s, &err), 0);
		ck_assert_uint_eq(s.data.size, 4 + n + 7);
		ck_assert_ptr_eq(s.data.data, sample.data);
		ck_assert(s.has_picture && s.sync == NAL_SYNC_CLOSED);
	}
	ck_assert_uint_eq(scratch.size, 0);
}
END_TEST

static const struct {
	const char *what;
	enum nal_codec codec;
	const char *annex_b;
	bool has_picture;
	enum nal_sync sync;
} kinds[] = {
	{ "IDR", NAL_H264, START "0910" START IDR4, true, NAL_SYNC_CLOSED },
	{ "P", NAL_H264, START P4_END, true, NAL_SYNC_NONE },
	{ "I slices", NAL_H264, START I4 START I4, true, NAL_SYNC_OPEN },
	{ "I and P slices", NAL_H264, START I4 START P4_END, true, NAL_SYNC_NONE },
	{ "recovery point", NAL_H264, START RECOVERY4 START P4_END, true, NAL_SYNC_OPEN },
	{ "recovery point behind another message", NAL_H264, START "060502aabb0601c080" START P4_END, true, NAL_SYNC_OPEN },
	{ "inside a message of 261 bytes that ends early", NAL_H264, START "06ff06ff060601c080" START P4_END, true,
	  NAL_SYNC_NONE },
	{ "a 6 inside another message", NAL_H264, START "060503060100" "80" START P4_END, true, NAL_SYNC_NONE },
	{ "behind an emulation prevention byte that is no payload", NAL_H264, START "060503000003010601c080" START P4_END,
	  true, NAL_SYNC_OPEN },
	{ "recovery point without a picture", NAL_H264, START RECOVERY4, false, NAL_SYNC_NONE },
	{ "partition A with an I slice", NAL_H264, START "4288840a" START "438884", true, NAL_SYNC_OPEN },
	{ "partition A with a P slice", NAL_H264, START "429a2100", true, NAL_SYNC_NONE },
	{ "a slice whose type is no type", NAL_H264, START "410000", true, NAL_SYNC_NONE },
	{ "parameter sets only", NAL_H264, START SPS4 START PPS4, false, NAL_SYNC_NONE },
	{ "delimiter, end of sequence, filler", NAL_H264, START "0910" START "0a" START "0cff80", false, NAL_SYNC_NONE },
	{ "type 20 of a second view", NAL_H264, START "7480000112", false, NAL_SYNC_NONE },
	{ "IDR_W_RADL", NAL_H265, START "2601af", true, NAL_SYNC_CLOSED },
	{ "IDR_N_LP", NAL_H265, START "4601500180" START "2801af", true, NAL_SYNC_CLOSED },
	{ "CRA", NAL_H265, START "2a01af", true, NAL_SYNC_OPEN },
	{ "BLA", NAL_H265, START "2001af", true, NAL_SYNC_OPEN },
	{ "TRAIL_R", NAL_H265, START "0201d0", true, NAL_SYNC_NONE },
	{ "TRAIL_N, type 0", NAL_H265, START "0001d0", true, NAL_SYNC_NONE },
	{ "reserved type 22", NAL_H265, START "2c01d0", false, NAL_SYNC_NONE },
	{ "IDR of an enhancement layer", NAL_H265, START "2609af" START "0201d0", true, NAL_SYNC_NONE },
	{ "layer 32 is in the first byte", NAL_H265, START "2701af", false, NAL_SYNC_NONE },
	{ "a cut header", NAL_H265, START "26", false, NAL_SYNC_NONE },
	{ "parameter sets only", NAL_H265, START VPS5 START SPS5 START PPS5, false, NAL_SYNC_NONE },
};

START_TEST(the_kind_of_a_sample_follows_its_units)
{
	struct nal_sample s;

	ck_assert_int_eq(init(kinds[_i].codec, kinds[_i].codec == NAL_H264 ? AVCC : HVCC, ""), 0);
	ck_assert_int_eq(read_sample(&s, kinds[_i].annex_b), 0);
	ck_assert_msg(s.has_picture == kinds[_i].has_picture, "%s: picture", kinds[_i].what);
	ck_assert_msg(s.sync == kinds[_i].sync, "%s: sync %d", kinds[_i].what, s.sync);
	/* and again as what came out */
	buf_finish(&scratch);
	if (s.data.size) {
		ck_assert_int_eq(read_sample(&s, kinds[_i].annex_b), 0);
		ck_assert_int_eq(nal_sample_read(&config, mem_copy(s.data.data, s.data.size), &scratch, &s, &err), 0);
		ck_assert(s.has_picture == kinds[_i].has_picture && s.sync == kinds[_i].sync);
	}
}
END_TEST

START_TEST(what_is_neither_form_is_refused)
{
	static const char *const bad[] = {
		"", "00", "000003", "00000004" IDR4, "00000002" IDR4, "00000003" IDR4 "00", "00000003" IDR4 "ffffffff" P4,
		"ffffffff" IDR4, IDR4 P4, "0000000000000001" IDR4,
	};
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	for (size_t i = 0; i < LENGTH(bad); i++)
		ck_assert_msg(read_sample(&s, bad[i]) == ERR_DATA, "%s", bad[i]);
	ck_assert_uint_eq(scratch.size, 0);
}
END_TEST

START_TEST(a_sample_cut_anywhere_is_refused_unless_it_ends_at_a_unit)
{
	struct bytes whole = mem_hex("00000002" "0910" "00000005" RECOVERY4 "00000004" P4);
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	for (size_t n = 0; n <= whole.size; n++) {
		bool is_border = n == 6 || n == 15 || n == whole.size;

		ck_assert_int_eq(nal_sample_read(&config, mem_copy(whole.data, n), &scratch, &s, &err),
				 is_border ? 0 : ERR_DATA);
	}
}
END_TEST

START_TEST(start_codes_without_units_give_an_empty_sample)
{
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	ck_assert_int_eq(read_sample(&s, "0000010000"), 0); /* was an offset from a null pointer */
	ck_assert(!s.has_picture && s.data.size == 0 && scratch.size == 0);
	ck_assert_int_eq(read_sample(&s, "00000100000100000001"), 0);
	ck_assert(!s.has_picture && s.data.size == 0);
}
END_TEST

START_TEST(converted_samples_follow_each_other_in_scratch)
{
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, START SPS4 START PPS4, ""), 0);
	ck_assert_int_eq(nal_sample_read(&config, mem_hex(START IDR4), &scratch, &s, &err), 0);
	ck_assert_int_eq(nal_sample_read(&config, mem_hex("ff" IDR4), &scratch, &s, &err), ERR_DATA);
	ck_assert_int_eq(nal_sample_read(&config, mem_hex(START P4_END), &scratch, &s, &err), 0);
	mem_assert(s.data, "00000003" P4_END, "the second");
	mem_assert(buf_bytes(&scratch), "00000003" IDR4 "00000003" P4_END, "both");
}
END_TEST

START_TEST(a_unit_too_long_for_its_length_is_refused_and_leaves_scratch_as_it_was)
{
	uint8_t in[4 + 3 + 4 + 300] = { 0, 0, 0, 1, 0x65, 0x88, 0x84, 0, 0, 0, 1 };
	struct nal_sample s;

	memset(in + 11, 0x41, 300);
	ck_assert_int_eq(init(NAL_H264, "01640028fce1001d" SPS4 "010005" PPS4, ""), 0);
	buf_put_u8(&scratch, 7);
	ck_assert_int_eq(nal_sample_read(&config, mem_copy(in, 4 + 3 + 4 + 255), &scratch, &s, &err), 0);
	scratch.size = 1;
	ck_assert_int_eq(nal_sample_read(&config, mem_copy(in, sizeof in), &scratch, &s, &err), ERR_DATA);
	ck_assert_uint_eq(scratch.size, 1);
	scratch.limit = 8;
	ck_assert_int_eq(nal_sample_read(&config, mem_copy(in, 4 + 3 + 4 + 255), &scratch, &s, &err), ERR_NOMEM);
	ck_assert_uint_eq(scratch.size, 1);
}
END_TEST

START_TEST(too_many_units_are_refused)
{
	struct buf in = { 0 };
	struct nal_sample s;

	ck_assert_int_eq(init(NAL_H264, AVCC, ""), 0);
	for (int i = 0; i < 65536; i++)
		buf_put(&in, "\0\0\1\x41", 4);
	ck_assert_int_eq(nal_sample_read(&config, buf_bytes(&in), &scratch, &s, &err), 0);
	buf_put(&in, "\0\0\1\x41", 4);
	ck_assert_int_eq(nal_sample_read(&config, buf_bytes(&in), &scratch, &s, &err), ERR_DATA);
	buf_reset(&in);
	buf_put_zero(&in, 4 * 65537);
	ck_assert_int_eq(nal_sample_read(&config, buf_bytes(&in), &scratch, &s, &err), ERR_DATA);
	buf_finish(&in);
}
END_TEST

/* ---- light */

/* Messages 137 and 144 with emulation prevention: L(10000000,1) has 00 00 00 in it. */
#define MDCV "33c286c41d4c0bb884d03e803d1340420098968000000001"
#define MDCV_SEI "891833c286c41d4c0bb884d03e803d134042009896800000030001"
#define CLLI_SEI "900403e80190"

static const struct {
	const char *what;
	enum nal_codec codec;
	const char *codec_private, *sample;
	bool has_mastering, has_light;
} lights[] = {
	{ "H.265, one unit for both", NAL_H265, HVCC, START "4e01" MDCV_SEI CLLI_SEI "80" START "2601aa", true, true },
	{ "H.265, behind another message", NAL_H265, HVCC, START "4e01" "0502aabb" CLLI_SEI "80" START "2601aa", false, true },
	{ "H.265, two units", NAL_H265, HVCC, START "4e01" CLLI_SEI "80" START "4e01" MDCV_SEI "80" START "2601aa", true, true },
	{ "H.265, length-prefixed", NAL_H265, HVCC, "00000009" "4e01" CLLI_SEI "80" "00000003" "2601aa", false, true },
	{ "H.265, in hvcC", NAL_H265,
	  "0121600000009000000000" "0078f000fcfdf8f800000f04" "a00001" "0018" VPS5 "a10001" "002d" SPS5 "a20001" "0006" PPS5
	  "270001" "0009" "4e01" CLLI_SEI "80", START "2601aa", false, true },
	{ "H.265, a suffix SEI", NAL_H265, HVCC, START "5001" CLLI_SEI "80" START "2601aa", false, false },
	{ "H.265, cut", NAL_H265, HVCC, START "4e01" "900403e801", false, false },
	{ "H.265, too short", NAL_H265, HVCC, START "4e01" "900303e80180", false, false },
	{ "H.265, none", NAL_H265, HVCC, START "2601aa", false, false },
	{ "H.264", NAL_H264, AVCC, START "06" MDCV_SEI CLLI_SEI "80" START IDR4, true, true },
};

START_TEST(light_is_found_in_sei_messages)
{
	ck_assert_msg(!init(lights[_i].codec, lights[_i].codec_private, lights[_i].sample), "%s: %s", lights[_i].what, err.msg);
	ck_assert_msg(config.has_mastering == lights[_i].has_mastering && config.has_light == lights[_i].has_light, "%s",
		      lights[_i].what);
	if (config.has_mastering)
		mem_assert((struct bytes){ config.mastering, sizeof config.mastering }, MDCV, lights[_i].what);
	if (config.has_light)
		mem_assert((struct bytes){ config.light, sizeof config.light }, "03e80190", lights[_i].what);
}
END_TEST

static void add_config_tests(Suite *suite)
{
	TCase *t = tcase_create("config");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, codecs_strings_are_those_of_the_standard, 0, (int)LENGTH(named));
	tcase_add_loop_test(t, light_is_found_in_sei_messages, 0, (int)LENGTH(lights));
	tcase_add_test(t, a_whole_avcc_is_kept);
	tcase_add_test(t, an_avcc_of_a_high_profile_without_its_end_gets_one);
	tcase_add_test(t, a_whole_hvcc_gets_complete_arrays);
	tcase_add_test(t, a_hvcc_head_is_made_from_the_parameter_sets_where_the_source_has_none);
	tcase_add_test(t, arrays_of_hvcc_are_sorted_merged_and_sei_stays_incomplete);
	tcase_add_test(t, annex_b_private_becomes_a_record);
	tcase_add_test(t, parameter_sets_that_private_lacks_come_from_the_first_sample);
	tcase_add_test(t, without_a_sequence_parameter_set_there_is_no_configuration);
	tcase_add_loop_test(t, a_record_cut_anywhere_is_refused_or_whole_enough, 0, 2);
	tcase_add_loop_test(t, a_record_with_any_byte_changed_does_no_harm, 0, 2);
	tcase_add_test(t, more_parameter_sets_than_a_record_takes_are_refused);
	suite_add_tcase(suite, t);
}

static void add_sample_tests(Suite *suite)
{
	TCase *t = tcase_create("sample");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, every_length_size_and_annex_b_give_the_same_units, 0, (int)LENGTH(sizes));
	tcase_add_test(t, a_first_unit_of_1_or_256_to_511_bytes_is_not_taken_for_annex_b);
	tcase_add_loop_test(t, the_kind_of_a_sample_follows_its_units, 0, (int)LENGTH(kinds));
	tcase_add_test(t, what_is_neither_form_is_refused);
	tcase_add_test(t, a_sample_cut_anywhere_is_refused_unless_it_ends_at_a_unit);
	tcase_add_test(t, start_codes_without_units_give_an_empty_sample);
	tcase_add_test(t, converted_samples_follow_each_other_in_scratch);
	tcase_add_test(t, a_unit_too_long_for_its_length_is_refused_and_leaves_scratch_as_it_was);
	tcase_add_test(t, too_many_units_are_refused);
	suite_add_tcase(suite, t);
}

Suite *suite_nal(void)
{
	Suite *suite = suite_create("worker/nal");

	add_config_tests(suite);
	add_sample_tests(suite);
	return suite;
}
