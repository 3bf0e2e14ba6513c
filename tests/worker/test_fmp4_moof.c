/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fragments, read back by the reader of mp4_box.c, and a small one is compared byte by byte.
 */
#include "worker/fmp4.h"

#include <check.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mp4_box.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define SYNC 0x02000000u
#define NON_SYNC 0x01010000u

static struct err err;
static struct buf out;

static void setup(void)
{
	out = (struct buf){ 0 };
}

static void teardown(void)
{
	buf_finish(&out);
	mem_release();
}

static struct bytes body(const char *path, int nth)
{
	return mp4_body(buf_bytes(&out), path, nth);
}

static int put_moof(const struct fmp4_run *runs, int n, int64_t *bytes)
{
	return fmp4_put_moof(&out, 7, runs, n, bytes, &err);
}

static void assert_run(const struct mp4_traf *r, const struct fmp4_run *run)
{
	ck_assert_uint_eq(r->track_id, run->track_id);
	ck_assert_uint_eq(r->decode_time, (uint64_t)run->decode_time);
	ck_assert_int_eq(r->n, run->n_samples);
	for (int i = 0; i < r->n; i++) {
		ck_assert_uint_eq(r->samples[i].duration, run->samples[i].duration);
		ck_assert_uint_eq(r->samples[i].size, run->samples[i].data.size);
		ck_assert_uint_eq(r->samples[i].flags, run->samples[i].is_sync ? SYNC : NON_SYNC);
		ck_assert_int_eq(r->samples[i].cts, run->samples[i].cts);
	}
}

#define DATA(s) { (const uint8_t *)(s), sizeof(s) - 1 }

START_TEST(data_offsets_lead_to_the_samples)
{
	const struct fmp4_sample video[] = { { DATA("I-frame"), 3750, 0, true },
					     { DATA("P"), 3750, 7500, false },
					     { DATA("b!"), 3751, -3750, false } };
	const struct fmp4_sample audio[] = { { DATA("aac"), 1024, 0, true }, { DATA("AAC"), 1024, 0, true } };
	const struct fmp4_run runs[] = { { 1, true, 90000, video, 3 }, { 2, false, 48000, audio, 2 } };
	int64_t bytes;

	fmp4_put_styp(&out);
	ck_assert_int_eq(put_moof(runs, 2, &bytes), 0);
	ck_assert_int_eq(bytes, 16);
	ck_assert_uint_eq(get_u32(out.data + out.size - 8), 24);
	mp4_assert_names((struct bytes){ out.data, out.size - 8 }, "styp moof(mfhd traf(tfhd tfdt trun) traf(tfhd tfdt trun))");
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < runs[i].n_samples; k++)
			buf_put(&out, runs[i].samples[k].data.data, runs[i].samples[k].data.size);
	mp4_assert_names(buf_bytes(&out), "styp moof(mfhd traf(tfhd tfdt trun) traf(tfhd tfdt trun)) mdat");
	mem_assert(body("moof/mfhd", 0), "00000000" "00000007", "mfhd");
	for (int i = 0; i < 2; i++) {
		struct mp4_traf r = mp4_read_traf(buf_bytes(&out), i);

		assert_run(&r, &runs[i]);
		for (int k = 0; k < r.n; k++)
			ck_assert_mem_eq(out.data + r.samples[k].at, runs[i].samples[k].data.data, r.samples[k].size);
	}
}
END_TEST

/* duration, size and sync of up to 4 samples; which of them go into tfhd, and the flags of trun */
static const struct {
	const char *what;
	bool is_video;
	int n;
	uint32_t durations[4], sizes[4];
	const char *sync; /* I or p */
	uint32_t tfhd, trun;
} shared[] = {
	{ "audio: all alike but the sizes", false, 3, { 1024, 1024, 1024 }, { 5, 6, 5 }, "III", 0x20028, 0x201 },
	{ "audio: all alike", false, 3, { 1024, 1024, 1024 }, { 5, 5, 5 }, "III", 0x20038, 0x001 },
	{ "audio: the last is shorter", false, 3, { 1024, 1024, 1023 }, { 5, 5, 5 }, "III", 0x20030, 0x101 },
	{ "one sample", true, 1, { 3750 }, { 9 }, "I", 0x20038, 0x801 },
	{ "one that is no sync sample", true, 1, { 3750 }, { 9 }, "p", 0x20038, 0x801 },
	{ "a GOP: the first differs", true, 4, { 2, 2, 2, 2 }, { 9, 1, 2, 1 }, "Ippp", 0x20028, 0xa05 },
	{ "two samples that differ", true, 2, { 2, 2 }, { 9, 9 }, "Ip", 0x20038, 0x805 },
	{ "the first is none of those", true, 3, { 2, 2, 2 }, { 9, 9, 9 }, "pII", 0x20038, 0x805 },
	{ "a second sync sample inside", true, 4, { 2, 2, 2, 2 }, { 9, 1, 9, 1 }, "IpIp", 0x20008, 0xe01 },
	{ "a late sync sample", true, 3, { 1, 2, 2 }, { 1, 9, 9 }, "ppI", 0x20000, 0xf01 },
	{ "no sync sample", true, 3, { 2, 2, 2 }, { 1, 9, 9 }, "ppp", 0x20028, 0xa01 },
};

START_TEST(what_all_samples_share_is_in_tfhd)
{
	struct fmp4_sample samples[4];
	struct fmp4_run run = { 3, shared[_i].is_video, 1234, samples, shared[_i].n };
	struct mp4_traf r;
	int64_t bytes, sum = 0;

	for (int i = 0; i < run.n_samples; i++) {
		samples[i] = (struct fmp4_sample){ { NULL, shared[_i].sizes[i] },
						   shared[_i].durations[i],
						   run.is_video ? 10 * i : 0,
						   shared[_i].sync[i] == 'I' };
		sum += shared[_i].sizes[i];
	}
	ck_assert_int_eq(put_moof(&run, 1, &bytes), 0);
	ck_assert_int_eq(bytes, sum);
	out.size -= 8; /* mdat's head */
	r = mp4_read_traf(buf_bytes(&out), 0);
	assert_run(&r, &run);
	ck_assert_msg(r.tfhd_flags == (shared[_i].tfhd | 0x2), "%s: tfhd %x", shared[_i].what, r.tfhd_flags);
	ck_assert_msg((r.trun_flags & 0xffffff) == shared[_i].trun, "%s: trun %x", shared[_i].what, r.trun_flags);
}
END_TEST

START_TEST(decode_times_over_32_bits_are_whole)
{
	const struct fmp4_sample sample = { DATA("x"), 1, 0, true };
	const struct fmp4_run runs[] = { { 1, true, INT64_C(0x123456789ab), &sample, 1 },
					 { 2, false, INT64_MAX, &sample, 1 } };
	int64_t bytes;

	ck_assert_int_eq(put_moof(runs, 2, &bytes), 0);
	out.size -= 8;
	mem_assert(body("moof/traf/tfdt", 0), "01000000" "00000123456789ab", "tfdt");
	mem_assert(body("moof/traf/tfdt", 1), "01000000" "7fffffffffffffff", "tfdt");
}
END_TEST

START_TEST(a_decode_time_below_0_is_refused)
{
	const struct fmp4_sample sample = { DATA("x"), 1, 0, true };
	const struct fmp4_run run = { 1, true, -1, &sample, 1 };
	int64_t bytes;

	ck_assert_int_eq(put_moof(&run, 1, &bytes), ERR_DATA);
}
END_TEST

START_TEST(an_empty_run_has_no_traf)
{
	const struct fmp4_sample sample = { DATA("xyz"), 1, 0, true };
	const struct fmp4_run runs[] = { { 1, true, -1, NULL, 0 }, { 2, false, 5, &sample, 1 }, { 3, true, 0, NULL, 0 } };
	struct mp4_traf r;
	int64_t bytes;

	ck_assert_int_eq(put_moof(runs, 3, &bytes), 0);
	ck_assert_int_eq(bytes, 3);
	out.size -= 8;
	mp4_assert_names(buf_bytes(&out), "moof(mfhd traf(tfhd tfdt trun))");
	r = mp4_read_traf(buf_bytes(&out), 0);
	assert_run(&r, &runs[1]);
	ck_assert_uint_eq(r.samples[0].at, out.size + 8);
}
END_TEST

/* The data are never looked at: sizes are enough. */
START_TEST(a_fragment_ends_at_4_gib_and_its_tracks_begin_before_2)
{
	struct fmp4_sample a[] = { { { NULL, 0x7fffffff }, 1, 0, true }, { { NULL, 0x80000000u - 8 }, 1, 0, true } };
	struct fmp4_sample b[] = { { { NULL, 1 }, 1, 0, true } };
	struct fmp4_run runs[] = { { 1, true, 0, a, 2 }, { 2, false, 0, b, 1 } };
	int64_t bytes;

	ck_assert_int_eq(put_moof(runs, 1, &bytes), 0);
	ck_assert_int_eq(bytes, UINT32_MAX - 8);
	ck_assert_uint_eq(get_u32(out.data + out.size - 8), UINT32_MAX);
	a[1].data.size++;
	ck_assert_int_eq(put_moof(runs, 1, &bytes), ERR_LIMIT);
	a[1].data.size = SIZE_MAX;
	ck_assert_int_eq(put_moof(runs, 1, &bytes), ERR_LIMIT);
	buf_reset(&out);
	a[0].data.size = 0x7fffff00;
	runs[0].n_samples = 1;
	ck_assert_int_eq(put_moof(runs, 2, &bytes), 0);
	ck_assert_uint_eq(mp4_read_traf(buf_bytes(&out), 1).samples[0].at, 0x7fffff00 + out.size);
	a[0].data.size = 0x7fffffff;
	ck_assert_int_eq(put_moof(runs, 2, &bytes), ERR_LIMIT);
}
END_TEST

START_TEST(a_buffer_that_is_full_anywhere_fails_the_fragment)
{
	const struct fmp4_sample samples[] = { { DATA("x"), 1, 0, true }, { DATA("yz"), 2, 1, false } };
	const struct fmp4_run runs[] = { { 1, true, 0, samples, 2 }, { 2, false, 0, samples, 1 } };
	size_t size;
	int64_t bytes;

	ck_assert_int_eq(put_moof(runs, 2, &bytes), 0);
	size = out.size;
	for (size_t limit = 1; limit <= size; limit++) {
		buf_reset(&out);
		out.limit = limit;
		ck_assert_int_eq(put_moof(runs, 2, &bytes), limit < size ? ERR_NOMEM : 0);
	}
	out.limit = size; /* the error stays: nothing is put behind a gap */
	ck_assert_int_eq(put_moof(runs, 2, &bytes), ERR_NOMEM);
	ck_assert_int_eq(put_moof(runs, 1, &bytes), ERR_NOMEM);
	ck_assert_uint_le(out.size, size);
}
END_TEST

START_TEST(a_small_fragment_is_these_bytes)
{
	const struct fmp4_sample video[] = { { DATA("I-frame"), 3750, 0, true }, { DATA("P"), 3750, 7500, false } };
	const struct fmp4_sample audio[] = { { DATA("aac"), 1024, 0, true } };
	const struct fmp4_run runs[] = { { 1, true, 90000, video, 2 }, { 2, false, 48000, audio, 1 } };
	int64_t bytes;

	fmp4_put_styp(&out);
	ck_assert_int_eq(put_moof(runs, 2, &bytes), 0);
	mem_assert(buf_bytes(&out),
		     "00000018" "73747970" "6d736468" "00000000" "6d736468" "69736f36"                  /* styp */
		     "000000c8" "6d6f6f66" "00000010" "6d666864" "00000000" "00000007"                  /* moof, mfhd */
		     "00000060" "74726166"                                                              /* traf */
		     "0000001c" "74666864" "0002002a" "00000001" "00000001" "00000ea6" "01010000"       /* tfhd */
		     "00000014" "74666474" "01000000" "0000000000015f90"                                /* tfdt */
		     "00000028" "7472756e" "01000a05" "00000002" "000000d0" "02000000"                  /* trun */
		     "00000007" "00000000" "00000001" "00001d4c"
		     "00000050" "74726166"                                                              /* traf */
		     "00000020" "74666864" "0002003a" "00000002" "00000001" "00000400" "00000003"       /* tfhd */
		     "02000000"
		     "00000014" "74666474" "01000000" "000000000000bb80"                                /* tfdt */
		     "00000014" "7472756e" "01000001" "00000001" "000000d8"                             /* trun */
		     "00000013" "6d646174", "fragment");
}
END_TEST

Suite *suite_fmp4_moof(void)
{
	Suite *suite = suite_create("worker/fmp4_moof");
	TCase *t = tcase_create("fmp4_moof");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, data_offsets_lead_to_the_samples);
	tcase_add_loop_test(t, what_all_samples_share_is_in_tfhd, 0, (int)LENGTH(shared));
	tcase_add_test(t, decode_times_over_32_bits_are_whole);
	tcase_add_test(t, a_decode_time_below_0_is_refused);
	tcase_add_test(t, an_empty_run_has_no_traf);
	tcase_add_test(t, a_fragment_ends_at_4_gib_and_its_tracks_begin_before_2);
	tcase_add_test(t, a_buffer_that_is_full_anywhere_fails_the_fragment);
	tcase_add_test(t, a_small_fragment_is_these_bytes);
	suite_add_tcase(suite, t);
	return suite;
}
