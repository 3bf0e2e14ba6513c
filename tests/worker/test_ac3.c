/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Headers of AC-3 and E-AC-3: two of real encoders, the others written here bit by bit as ETSI TS 102 366 has them.
 */
#include "worker/ac3.h"

#include <check.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static struct err err;
static struct ac3 a;
static struct buf out;
static unsigned n_bits; /* of the last byte that are not yet written */

static void setup(void)
{
	out = (struct buf){ 0 };
	n_bits = 0;
}

static void teardown(void)
{
	buf_finish(&out);
	mem_release();
}

static void put(unsigned v, unsigned n)
{
	for (unsigned i = n; i-- > 0; n_bits--) {
		if (!n_bits) {
			buf_put_u8(&out, 0);
			n_bits = 8;
		}
		out.data[out.size - 1] |= (uint8_t)((v >> i & 1) << (n_bits - 1));
	}
}

static void assert_config(const char *digits)
{
	struct buf config = { 0 };

	ac3_put_config(&config, &a);
	mem_assert(buf_bytes(&config), digits, a.is_enhanced ? "dec3" : "dac3");
	buf_finish(&config);
}

/* ---- AC-3 */

/* 448 kbit/s, 48 kHz, 3/2 and LFE */
START_TEST(a_5_1_frame_gives_its_dac3)
{
	ck_assert_int_eq(ac3_read(mem_hex("0b77692c1e40ebf8403eff99"), &a, &err), 0);
	ck_assert(!a.is_enhanced && a.rate == 48000 && a.channels == 6 && a.samples == 1536);
	assert_config("103de0");
}
END_TEST

/* The place of lfeon depends on acmod. */
static const struct {
	unsigned fscod, acmod, lfeon, between; /* bits of mix levels and dsurmod */
	int rate, channels;
	const char *dac3;
} plain[] = {
	{ 0, 0, 0, 0, 48000, 2, "104140" }, { 1, 1, 1, 0, 44100, 2, "504d40" },  { 2, 2, 0, 2, 32000, 2, "905140" },
	{ 0, 3, 1, 2, 48000, 4, "105d40" }, { 0, 4, 0, 2, 48000, 3, "106140" }, { 0, 7, 1, 4, 48000, 6, "107d40" },
};

START_TEST(every_channel_mode_gives_its_dac3)
{
	put(0x0b77, 16);
	put(0x1234, 16);
	put(plain[_i].fscod, 2);
	put(20, 6); /* 10: 192 kbit/s */
	put(8, 5);
	put(1, 3); /* bsmod: music and effects */
	put(plain[_i].acmod, 3);
	put(0, plain[_i].between);
	put(plain[_i].lfeon, 1);
	put(0x3f, 8);
	ck_assert_int_eq(ac3_read(buf_bytes(&out), &a, &err), 0);
	ck_assert_int_eq(a.rate, plain[_i].rate);
	ck_assert_int_eq(a.channels, plain[_i].channels);
	assert_config(plain[_i].dac3);
}
END_TEST

static const struct {
	const char *packet;
	int code;
} broken[] = {
	{ "", ERR_DATA },
	{ "0b77692c1e40eb", ERR_DATA },             /* cut */
	{ "770b692c1e40ebf8403eff99", ERR_DATA },   /* bytes swapped */
	{ "0b77692cde40ebf8403eff99", ERR_DATA },   /* fscod 3 */
	{ "0b77692c2640ebf8403eff99", ERR_DATA },   /* frmsizecod 38 */
	{ "0b77692c1e48ebf8403eff99", ERR_UNSUPPORTED }, /* bsid 9: half a rate */
	{ "0b77692c1e50ebf8403eff99", ERR_UNSUPPORTED },
	{ "0b7702ff3f87c00020f80100", ERR_DATA },   /* E-AC-3 whose frame is longer than the packet */
};

START_TEST(what_is_broken_or_has_no_place_is_refused)
{
	ck_assert_int_eq(ac3_read(mem_hex(broken[_i].packet), &a, &err), broken[_i].code);
}
END_TEST

/* ---- E-AC-3 */

struct enhanced {
	unsigned type, id, fscod, blocks, acmod, lfeon; /* blocks: numblkscod */
	int chanmap; /* -1: none */
	bool has_mix, has_info, has_objects;
	unsigned words;
};

static void put_mix(const struct enhanced *e)
{
	if (e->acmod > 2)
		put(1, 2);
	if ((e->acmod & 1) && e->acmod > 2)
		put(0x3f, 6);
	if (e->acmod & 4)
		put(0x3f, 6);
	if (e->lfeon)
		put(0x3f, 6); /* lfemixlevcode, lfemixlevcod */
	if (e->type)
		return;
	put(0x7f, 7); /* pgmscle, pgmscl */
	if (!e->acmod)
		put(0x7f, 7);
	put(0x7f, 7); /* extpgmscle, extpgmscl */
	put(3, 2);    /* mixdef */
	put(1, 5);    /* mixdeflen: 3 bytes */
	put(0xffffff, 24);
	if (e->acmod < 2)
		put(0x7fff, 15);
	if (!e->acmod)
		put(0x7fff, 15);
	put(1, 1); /* frmmixcfginfoe */
	if (e->blocks == 0)
		put(0x1f, 5);
	else
		for (unsigned i = 0; i < (e->blocks == 3 ? 6 : e->blocks + 1); i++)
			put(i & 1 ? 0x3f : 0, i & 1 ? 6 : 1);
}

static void put_frame(const struct enhanced *e)
{
	size_t at = out.size;

	n_bits = 0;
	put(0x0b77, 16);
	put(e->type, 2);
	put(e->id, 3);
	put(e->words - 1, 11);
	put(e->fscod, 2);
	put(e->blocks, 2);
	put(e->acmod, 3);
	put(e->lfeon, 1);
	put(16, 5);
	put(31, 5);
	put(0x1aa, 9); /* compre, compr */
	if (!e->acmod)
		put(0x1f << 9 | 0x1ff, 14);
	if (e->type == 1) {
		put(e->chanmap >= 0, 1);
		put(e->chanmap >= 0 ? (unsigned)e->chanmap : 0, e->chanmap >= 0 ? 16 : 0);
	}
	put(e->has_mix, 1);
	if (e->has_mix)
		put_mix(e);
	put(e->has_info, 1);
	if (e->has_info) {
		put(5 << 2, 5); /* bsmod 5, copyrightb, origbs */
		put(0, e->acmod == 2 ? 4 : e->acmod >= 6 ? 2 : 0);
		put(0x1ff, 9); /* audprodie */
		if (!e->acmod)
			put(0, 1);
		put(1, 1); /* sourcefscod */
	}
	if (!e->type && e->blocks != 3)
		put(1, 1);
	if (e->type == 2)
		put(e->blocks == 3 ? 0x2a : 0x6a, e->blocks == 3 ? 6 : 7);
	put(e->has_objects, 1);
	if (e->has_objects) {
		put(1, 6);
		put(1, 8);
		put(16, 8);
	}
	buf_put_zero(&out, at + 2 * e->words - out.size);
}

static const struct {
	struct enhanced frames[3];
	int n, channels;
	const char *dec3;
} enhanced[] = {
	{ { { .blocks = 3, .acmod = 7, .lfeon = 1, .words = 768 } }, 1, 6, "0c00" "200f00" },
	/* everything that may stand in front of bsmod, objects and chanmap */
	{ { { .blocks = 3, .acmod = 7, .lfeon = 1, .has_mix = true, .has_info = true, .has_objects = true, .words = 768 } },
	  1, 6, "0c00" "205f00" "0110" },
	{ { { .blocks = 3, .acmod = 0, .has_mix = true, .has_info = true, .words = 64 } }, 1, 2, "0100" "205000" },
	{ { { .blocks = 3, .acmod = 1, .fscod = 1, .has_mix = true, .has_info = true, .has_objects = true, .words = 100 } },
	  1, 1, "0168" "605200" "0110" },
	{ { { .blocks = 3, .acmod = 2, .fscod = 2, .has_info = true, .words = 64 } }, 1, 2, "00a8" "a05400" },
	{ { { .type = 2, .blocks = 3, .acmod = 2, .has_mix = true, .has_objects = true, .words = 64 } }, 1, 2,
	  "0100" "200400" "0110" },
	/* 7.1: Lrs/Rrs in a dependent substream; and objects in that */
	{ { { .blocks = 3, .acmod = 7, .lfeon = 1, .words = 512 },
	    { .type = 1, .blocks = 3, .acmod = 4, .chanmap = 0x0200, .has_mix = true, .has_objects = true, .words = 256 } },
	  2, 8, "0c00" "200f02" "02" "0110" },
	/* LFE2 and Cvh; the same once more without a map */
	{ { { .blocks = 3, .acmod = 7, .lfeon = 1, .words = 384 },
	    { .type = 1, .blocks = 3, .acmod = 1, .lfeon = 1, .chanmap = 0x000a, .words = 128 },
	    { .type = 1, .id = 1, .blocks = 3, .acmod = 2, .chanmap = -1, .words = 256 } },
	  3, 8, "0c00" "200f05" "80" },
	/* two programmes */
	{ { { .blocks = 3, .acmod = 7, .lfeon = 1, .words = 384 },
	    { .type = 1, .blocks = 3, .acmod = 2, .chanmap = 0x0400, .words = 128 },
	    { .id = 1, .blocks = 3, .acmod = 2, .words = 256 } },
	  3, 8, "0c01" "200f02" "01" "200400" },
};

START_TEST(e_ac3_gives_its_dec3)
{
	for (int i = 0; i < enhanced[_i].n; i++)
		put_frame(&enhanced[_i].frames[i]);
	ck_assert_msg(!ac3_read(mem_copy(out.data, out.size), &a, &err), "%s", err.msg);
	ck_assert(a.is_enhanced && a.samples == 1536);
	ck_assert_int_eq(a.channels, enhanced[_i].channels);
	assert_config(enhanced[_i].dec3);
}
END_TEST

START_TEST(packets_that_are_no_sample_of_mp4_are_not_copied)
{
	static const struct {
		struct enhanced frames[2];
		int code;
	} rows[] = {
		{ { { .blocks = 2, .acmod = 2, .words = 64 }, { .words = 0 } }, ERR_UNSUPPORTED },  /* 3 blocks */
		{ { { .blocks = 2, .acmod = 2, .words = 64 }, { .blocks = 2, .acmod = 2, .words = 64 } }, ERR_UNSUPPORTED },
		{ { { .blocks = 3, .acmod = 2, .fscod = 3, .words = 64 }, { .words = 0 } }, ERR_UNSUPPORTED },
		{ { { .type = 1, .blocks = 3, .acmod = 2, .chanmap = -1, .words = 64 }, { .words = 0 } }, ERR_DATA },
		{ { { .type = 3, .blocks = 3, .acmod = 2, .words = 64 }, { .words = 0 } }, ERR_DATA },
	};

	for (size_t i = 0; i < LENGTH(rows); i++) {
		buf_reset(&out);
		for (int k = 0; k < 2 && rows[i].frames[k].words; k++)
			put_frame(&rows[i].frames[k]);
		ck_assert_int_eq(ac3_read(mem_copy(out.data, out.size), &a, &err), rows[i].code);
	}
}
END_TEST

START_TEST(a_header_that_is_cut_anywhere_is_refused)
{
	put_frame(&enhanced[1].frames[0]);
	for (size_t n = 0; n < 40; n++)
		ck_assert_int_eq(ac3_read(mem_copy(out.data, n), &a, &err), ERR_DATA);
}
END_TEST

Suite *suite_ac3(void)
{
	Suite *suite = suite_create("worker/ac3");
	TCase *t = tcase_create("headers");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_5_1_frame_gives_its_dac3);
	tcase_add_loop_test(t, every_channel_mode_gives_its_dac3, 0, (int)LENGTH(plain));
	tcase_add_loop_test(t, what_is_broken_or_has_no_place_is_refused, 0, (int)LENGTH(broken));
	tcase_add_loop_test(t, e_ac3_gives_its_dec3, 0, (int)LENGTH(enhanced));
	tcase_add_test(t, packets_that_are_no_sample_of_mp4_are_not_copied);
	tcase_add_test(t, a_header_that_is_cut_anywhere_is_refused);
	suite_add_tcase(suite, t);
	return suite;
}
