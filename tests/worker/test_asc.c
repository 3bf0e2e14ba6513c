/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/asc.h"

#include <check.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static struct err err;

/* The first `limit` of the digits 0 and 1 (spaces are for the reader), the last byte filled with zeros. */
static struct bytes bits(const char *digits, size_t limit)
{
	uint8_t data[64] = { 0 };
	size_t n = 0;

	for (; *digits && n < limit; digits++)
		if (*digits != ' ') {
			ck_assert_uint_lt(n, 8 * sizeof data);
			data[n / 8] |= (uint8_t)((*digits == '1') << (7 - n % 8));
			n++;
		}
	return mem_copy(data, (n + 7) / 8);
}

static size_t count_bits(const char *digits)
{
	size_t n = 0;

	for (; *digits; digits++)
		n += *digits != ' ';
	return n;
}

/* Object type, rate index, channel configuration, frame length, core coder, extension flag. */
#define LC_44100_STEREO "00010 0100 0010 000"
#define LC_22050_MONO "00010 0111 0001 000"
#define SYNC_SBR "01010110111 00101 1 0100"
#define SYNC_PS "10101001000 1"
/* tag, profile, rate, front 2, side 0, back 1, LFE 1, data 1, coupling 1; matrix mixdown; front: one and a pair, back:
 * a pair; LFE; coupling; alignment; a comment of 2 bytes */
#define PCE_5_1 \
	"0000 01 0011 0010 0000 0001 01 001 0001 0 0 1 01 1 0 0000 1 0000 1 0001 0000 0000 1 0010 0000000 " \
	"00000010 01000001 01000010"

static const struct {
	const char *what, *bits;
	struct asc asc;
} good[] = {
	{ "LC 44.1 kHz", LC_44100_STEREO, { 2, 44100, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "LC 48 kHz", "00010 0011 0010 000", { 2, 48000, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "LC 8 kHz mono", "00010 1011 0001 000", { 2, 8000, 1, 1024, false, false, 0, "mp4a.40.2" } },
	{ "Main 96 kHz", "00001 0000 0010 000", { 1, 96000, 2, 1024, false, false, 0, "mp4a.40.1" } },
	{ "LC 5.1", "00010 0011 0110 000", { 2, 48000, 6, 1024, false, false, 0, "mp4a.40.2" } },
	{ "configuration 7 is 7.1", "00010 0011 0111 000", { 2, 48000, 8, 1024, false, false, 0, "mp4a.40.2" } },
	{ "configuration 11 is 6.1", "00010 0011 1011 000", { 2, 48000, 7, 1024, false, false, 0, "mp4a.40.2" } },
	{ "configuration 12 is 7.1", "00010 0011 1100 000", { 2, 48000, 8, 1024, false, false, 0, "mp4a.40.2" } },
	{ "frames of 960", "00010 0011 0010 100", { 2, 48000, 2, 960, false, false, 0, "mp4a.40.2" } },
	{ "with a core coder", "00010 0111 0010 01 11111111111110 0" SYNC_SBR,
	  { 2, 22050, 2, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "an escaped rate", "00010 1111 000000001010110000011000 0010 000",
	  { 2, 44056, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "HE-AAC, hierarchical", "00101 0111 0010 0100 00010 000",
	  { 2, 22050, 2, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "HE-AAC, hierarchical, escaped rates",
	  "00101 1111 000000000101011000100010 0010 1111 000000001010110001000100 00010 000",
	  { 2, 22050, 2, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "HE-AAC, backward compatible", "00010 0111 0010 000" SYNC_SBR,
	  { 2, 22050, 2, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "SBR said to be absent", LC_44100_STEREO "01010110111 00101 0",
	  { 2, 44100, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "behind an extension flag", "00010 0111 0010 001 1" SYNC_SBR,
	  { 2, 22050, 2, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "an extension that is none", LC_44100_STEREO "01010110110 00101 1 0100",
	  { 2, 44100, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "an extension with a reserved rate", LC_44100_STEREO "01010110111 00101 1 1101",
	  { 2, 44100, 2, 1024, false, false, 0, "mp4a.40.2" } },
	{ "HE-AAC v2, hierarchical: a mono core for two channels", "11101 0111 0001 0100 00010 000",
	  { 2, 22050, 2, 1024, true, true, 44100, "mp4a.40.29" } },
	{ "HE-AAC v2, backward compatible", LC_22050_MONO SYNC_SBR SYNC_PS,
	  { 2, 22050, 2, 1024, true, true, 44100, "mp4a.40.29" } },
	{ "PS said to be absent", LC_22050_MONO SYNC_SBR "10101001000 0000",
	  { 2, 22050, 1, 1024, true, false, 44100, "mp4a.40.5" } },
	{ "a program configuration, 5.1", "00010 0011 0000 000" PCE_5_1,
	  { 2, 48000, 6, 1024, false, false, 0, "mp4a.40.2" } },
	{ "and SBR behind it", "00010 0111 0000 000" PCE_5_1 SYNC_SBR,
	  { 2, 22050, 6, 1024, true, false, 44100, "mp4a.40.5" } },
};

static void assert_asc(const struct asc *got, const struct asc *want, const char *what)
{
#define FIELD(f) ck_assert_msg(got->f == want->f, "%s: " #f " is %d, not %d", what, got->f, want->f)
	FIELD(object_type);
	FIELD(rate);
	FIELD(channels);
	FIELD(frame_samples);
	FIELD(has_sbr);
	FIELD(has_ps);
	FIELD(extension_rate);
#undef FIELD
	ck_assert_str_eq(got->codecs, want->codecs);
}

START_TEST(every_way_of_signalling_is_read)
{
	struct asc asc;

	ck_assert_msg(!asc_read(bits(good[_i].bits, SIZE_MAX), &asc, &err), "%s: %s", good[_i].what, err.msg);
	assert_asc(&asc, &good[_i].asc, good[_i].what);
}
END_TEST

/* FFmpeg's AAC encoder writes a program configuration with its name as the comment. */
START_TEST(program_configurations_of_a_real_encoder_are_read)
{
	struct asc asc;

	ck_assert_int_eq(asc_read(mem_hex("118004c4040021100d4c61766335392e33372e31303056e500"), &asc, &err), 0);
	assert_asc(&asc, &(struct asc){ 2, 48000, 4, 1024, false, false, 0, "mp4a.40.2" }, "quad");
	ck_assert_int_eq(asc_read(mem_hex("1200050848002000c4400d4c61766335392e33372e31303056e500"), &asc, &err), 0);
	assert_asc(&asc, &(struct asc){ 2, 44100, 7, 1024, false, false, 0, "mp4a.40.2" }, "6.1");
}
END_TEST

/* Between bytes, the rest of the last one reads as zeros. */
START_TEST(a_configuration_cut_at_any_bit_is_refused_or_loses_only_its_extension)
{
	const struct asc *want = &good[_i].asc;

	for (size_t n = 0; n < count_bits(good[_i].bits); n++) {
		struct asc a;
		int ret = asc_read(bits(good[_i].bits, n), &a, &err);

		ck_assert(ret == 0 || ret == ERR_DATA || ret == ERR_UNSUPPORTED);
		ck_assert_msg(ret || n > 8, "%s: %zu bits were taken", good[_i].what, n);
		if (ret)
			continue;
		ck_assert(a.rate > 0 && a.channels >= 1 && a.codecs[0] && a.has_sbr == (a.extension_rate > 0));
		if (n % 8 == 0)
			ck_assert_msg(a.object_type == want->object_type && a.rate == want->rate &&
					      a.frame_samples == want->frame_samples &&
					      (a.channels == want->channels || want->has_ps),
				      "%s: %zu bits", good[_i].what, n);
	}
}
END_TEST

START_TEST(a_configuration_with_any_byte_changed_gives_facts_within_their_ranges)
{
	struct bytes config = bits(good[_i].bits, SIZE_MAX);
	uint8_t data[64];

	memcpy(data, config.data, config.size);
	for (size_t at = 0; at < config.size; at++)
		for (int v = 0; v < 256; v++) {
			struct asc a;

			data[at] = (uint8_t)v;
			if (!asc_read((struct bytes){ data, config.size }, &a, &err)) {
				ck_assert(a.rate >= 1 && a.rate <= 192000 && a.channels >= 1 && a.channels <= 93);
				ck_assert(a.object_type >= 1 && a.object_type <= 4 && a.has_sbr == (a.extension_rate > 0));
				ck_assert(a.frame_samples == 1024 || a.frame_samples == 960);
			}
			data[at] = config.data[at];
		}
}
END_TEST

static const struct {
	const char *bits;
	int code;
} bad[] = {
	{ "", ERR_DATA },
	{ "00010 010", ERR_DATA },
	{ "00010 1101 0010 000", ERR_DATA },                              /* reserved rates */
	{ "00010 1110 0010 000", ERR_DATA },
	{ "00010 1111 000000000000000000000000 0010 000", ERR_DATA },     /* 0 Hz */
	{ "00010 1111 000000101110111000000001 0010 000", ERR_DATA },     /* 192001 Hz */
	{ "00010 1111 0000000010101100", ERR_DATA },                      /* cut in the rate */
	{ "00101 0111 0010 1101 00010 000", ERR_DATA },                   /* a reserved rate of SBR */
	{ "00101 0111 0010 010", ERR_DATA },                              /* cut before the core's type */
	{ "00010 0011 0000 000 0000 01 0011 0010 0000", ERR_DATA },       /* cut in the program configuration */
	{ "00010 0011 0000 000 0000 01 0011 0000 0000 0000 00 000 0000 000 0000000 00000000", ERR_UNSUPPORTED }, /* no channel */
	{ "00010 0011 1000 000", ERR_UNSUPPORTED },                       /* reserved channel configurations */
	{ "00010 0011 1111 000", ERR_UNSUPPORTED },
	{ "00000 0011 0010 000", ERR_UNSUPPORTED },
	{ "00110 0011 0010 000", ERR_UNSUPPORTED },                       /* scalable */
	{ "11111 001010 0011 0010 000 000000", ERR_UNSUPPORTED },         /* USAC */
	{ "00101 0111 0010 0100 00101 000", ERR_UNSUPPORTED },            /* SBR of SBR */
};

START_TEST(what_cannot_be_played_is_refused)
{
	struct asc asc;

	ck_assert_msg(asc_read(bits(bad[_i].bits, SIZE_MAX), &asc, &err) == bad[_i].code, "%s: %s", bad[_i].bits, err.msg);
}
END_TEST

START_TEST(a_configuration_over_the_limit_is_refused)
{
	static const uint8_t large[1025] = { 0x12, 0x10 };
	struct asc asc;

	ck_assert_int_eq(asc_read(mem_copy(large, 1024), &asc, &err), 0);
	ck_assert_int_eq(asc_read(mem_copy(large, 1025), &asc, &err), ERR_LIMIT);
}
END_TEST

static const struct {
	int rate, channels;
	const char *hex;
} made[] = {
	{ 44100, 2, "1210" }, { 48000, 2, "1190" }, { 48000, 6, "11b0" }, { 96000, 1, "1008" }, { 7350, 2, "1610" },
	{ 48000, 7, "11d8" }, { 48000, 8, "11b8" }, { 44056, 2, "1780560c10" }, { 192000, 2, "1781770010" },
};

START_TEST(a_made_configuration_says_what_it_was_made_from)
{
	struct buf b = { 0 };
	struct asc asc;

	asc_put_lc(&b, made[_i].rate, made[_i].channels);
	mem_assert(buf_bytes(&b), made[_i].hex, "AudioSpecificConfig");
	ck_assert_int_eq(asc_read(buf_bytes(&b), &asc, &err), 0);
	assert_asc(&asc, &(struct asc){ 2, made[_i].rate, made[_i].channels, 1024, false, false, 0, "mp4a.40.2" },
		   made[_i].hex);
	buf_finish(&b);
}
END_TEST

START_TEST(what_no_configuration_can_say_is_refused_when_read)
{
	static const int none[][2] = { { 0, 2 }, { -1, 2 }, { 1 << 24, 2 }, { 48000, 0 }, { 48000, 9 }, { 48000, -1 } };

	for (size_t i = 0; i < LENGTH(none); i++) {
		struct buf b = { 0 };
		struct asc asc;

		asc_put_lc(&b, none[i][0], none[i][1]);
		ck_assert_msg(asc_read(buf_bytes(&b), &asc, &err) < 0, "%d Hz, %d channels", none[i][0], none[i][1]);
		buf_finish(&b);
	}
}
END_TEST

Suite *suite_asc(void)
{
	Suite *suite = suite_create("worker/asc");
	TCase *t = tcase_create("asc");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, NULL, mem_release);
	tcase_add_loop_test(t, every_way_of_signalling_is_read, 0, (int)LENGTH(good));
	tcase_add_test(t, program_configurations_of_a_real_encoder_are_read);
	tcase_add_loop_test(t, a_configuration_cut_at_any_bit_is_refused_or_loses_only_its_extension, 0, (int)LENGTH(good));
	tcase_add_loop_test(t, a_configuration_with_any_byte_changed_gives_facts_within_their_ranges, 0, (int)LENGTH(good));
	tcase_add_loop_test(t, what_cannot_be_played_is_refused, 0, (int)LENGTH(bad));
	tcase_add_test(t, a_configuration_over_the_limit_is_refused);
	tcase_add_loop_test(t, a_made_configuration_says_what_it_was_made_from, 0, (int)LENGTH(made));
	tcase_add_test(t, what_no_configuration_can_say_is_refused_when_read);
	suite_add_tcase(suite, t);
	return suite;
}
