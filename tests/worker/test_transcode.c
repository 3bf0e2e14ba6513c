/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The continuous pipeline over files whose timestamps no camera has made: what comes out is sane, or there is an error.
 */
#include "worker/transcode.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/timeline.h"
#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "tests/worker/mkv_build.h"

#define SPS "67640028acd900780227e5c05a808080a000007d2000177001e30632c0"
#define PPS "68eb83f2c0"
#define AVCC "01640028ffe1001d" SPS "010005" PPS "fdf8f800"
#define FRAMES_MAX 20000
#define KEY_EVERY 50

/* ---- a file of one video track */

static void put_head(struct buf *b)
{
	struct bytes private = mem_hex(AVCC);

	mkv_put_header(b, "matroska");
	mkv_begin_unknown(b, 0x18538067);
	size_t tracks = mkv_begin_master(b, 0x1654AE6B), entry = mkv_begin_master(b, 0xAE);
	mkv_put_uint(b, 0xD7, 1);
	mkv_put_uint(b, 0x83, 1);
	mkv_put_string(b, 0x86, "V_MPEG4/ISO/AVC");
	mkv_put_binary(b, 0x63A2, private.data, private.size);
	mkv_end_master(b, entry);
	mkv_end_master(b, tracks);
}

/* Every frame has a Cluster of its own: its time is the Cluster's. */
static void put_frame(struct buf *b, int i, int64_t ms, size_t size)
{
	uint8_t *nal = calloc(1, size + 5);
	size_t cluster = mkv_begin_cluster(b, (uint64_t)ms);

	ck_assert_ptr_nonnull(nal);
	nal[0] = (uint8_t)((size + 1) >> 24);
	nal[1] = (uint8_t)((size + 1) >> 16);
	nal[2] = (uint8_t)((size + 1) >> 8);
	nal[3] = (uint8_t)(size + 1);
	nal[4] = i % KEY_EVERY ? 0x41 : 0x65;
	mkv_put_simple(b, 1, 0, i % KEY_EVERY ? 0 : MKV_KEY, nal, size + 5);
	mkv_end_master(b, cluster);
	free(nal);
}

/* ---- what comes out, checked as it comes */

struct seen {
	int64_t last, frames;     /* end of the samples before */
	int64_t fragments, largest;
	bool is_stopped;          /* by the first tick */
};

static const uint8_t *find(const uint8_t *p, size_t n, const char *type)
{
	const uint8_t *at = memmem(p, n, type, 4);

	ck_assert_msg(at, "no %s", type);
	return at + 4;
}

static void check_moof(struct seen *s, const uint8_t *p, size_t n)
{
	const uint8_t *tfhd = find(p, n, "tfhd"), *trun = find(p, n, "trun");
	int64_t dts = (int64_t)get_u64(find(p, n, "tfdt") + 4);
	uint32_t flags = get_u32(trun) & 0xffffff, head = get_u32(tfhd) & 0xffffff, count = get_u32(trun + 4);
	const uint8_t *row = trun + 12 + (flags & 4 ? 4 : 0);

	ck_assert_msg(dts >= s->last, "tfdt %lld, behind %lld", (long long)dts, (long long)s->last);
	for (uint32_t i = 0; i < count; i++) {
		int64_t duration = get_u32(flags & 0x100 ? row : tfhd + 8 + (head & 2 ? 4 : 0)), cts;

		ck_assert(flags & 0x100 || head & 8);
		ck_assert_int_gt(duration, 0);
		row += (flags & 0x100 ? 4 : 0) + (flags & 0x200 ? 4 : 0) + (flags & 0x400 ? 4 : 0);
		cts = (int32_t)get_u32(row);
		row += 4;
		ck_assert_msg(cts >= 0, "frame %lld: offset %lld", (long long)s->frames + i, (long long)cts);
		dts += duration;
	}
	s->last = dts;
	s->frames += count;
	s->fragments++;
}

static int put(void *arg, struct iovec *iov, int n, struct err *err)
{
	struct seen *s = arg;
	int64_t bytes = 0;

	(void)err;
	for (int i = 0; i < n; i++)
		bytes += (int64_t)iov[i].iov_len;
	s->largest = bytes > s->largest ? bytes : s->largest;
	if (memcmp((uint8_t *)iov[0].iov_base + 4, "ftyp", 4))
		check_moof(s, iov[0].iov_base, iov[0].iov_len);
	return 0;
}

static int tick(void *arg, struct err *err)
{
	struct seen *s = arg;

	return s->is_stopped ? err_set(err, ERR_STOPPED, "stopped") : 0;
}

static int run_from(struct buf *file, int64_t start_ticks, struct seen *s, struct err *err)
{
	struct transcode_request request = { .start_ticks = start_ticks, .max_ticks = INT64_MAX };
	struct transcode_out out = { put, tick, s };
	struct transcode_stats stats;
	struct input in;
	struct demux *demux;
	int ret;

	record_options_init(&request.options);
	input_init_bytes(&in, buf_bytes(file));
	ck_assert_msg(!demux_open(&demux, &in, err), "%s", err->msg);
	ret = transcode_run(demux, &request, &out, &stats, err);
	ck_assert_int_eq(stats.video_frames, s->frames);
	ck_assert_int_eq(stats.fragments, s->fragments);
	demux_close(demux);
	input_close(&in);
	buf_finish(file);
	mem_release();
	return ret;
}

static int run(struct buf *file, struct seen *s, struct err *err)
{
	*s = (struct seen){ 0 };
	return run_from(file, 0, s, err);
}

/* ---- */

START_TEST(equal_times_are_spread_and_do_not_pile_up)
{
	struct buf file = { 0 };
	struct err err = { 0 };
	struct seen s;

	put_head(&file);
	for (int i = 0; i < FRAMES_MAX; i++)
		put_frame(&file, i, 5000, 100);
	ck_assert_msg(!run(&file, &s, &err), "%s", err.msg);
	ck_assert_int_eq(s.frames, FRAMES_MAX);
	ck_assert_int_ge(s.fragments, 2);
}
END_TEST

START_TEST(large_frames_do_not_wait_for_two_seconds)
{
	struct buf file = { 0 };
	struct err err = { 0 };
	struct seen s;

	put_head(&file);
	for (int i = 0; i < 120; i++)
		put_frame(&file, i, i * 10, 2 << 20);
	ck_assert_msg(!run(&file, &s, &err), "%s", err.msg);
	ck_assert_int_eq(s.frames, 120);
	ck_assert_int_lt(s.largest, 100 << 20);
}
END_TEST

START_TEST(random_times_give_rising_ones_or_an_error)
{
	int n_good = 0;

	srand(5);
	for (int round = 0; round < 60; round++) {
		int64_t spread = 1 + rand() % (round % 3 ? 3000 : 30000), base = rand() % 100000;
		struct buf file = { 0 };
		struct err err = { 0 };
		struct seen s;
		int ret;

		put_head(&file);
		for (int i = 0; i < 300; i++)
			put_frame(&file, i, base + i * 40 + rand() % spread, 20);
		ret = run(&file, &s, &err);
		ck_assert_msg(!ret || ret == ERR_DATA, "%s", err.msg);
		if (!ret)
			ck_assert_int_eq(s.frames, 300);
		n_good += !ret;
	}
	ck_assert_int_gt(n_good, 40);
}
END_TEST

static const struct jump {
	int64_t by_ms;
	bool is_good;
} jumps[] = {
	{ 3600 * 1000, true },          /* a gap of an hour */
	{ 5 * 3600 * 1000, true },
	{ 7 * 3600 * 1000, false },
	{ INT64_C(1900) * 3600 * 1000, false },
	{ -3000, true },                /* some seconds once more */
	{ -60 * 1000, false },
};

START_TEST(jumps_are_kept_within_reason)
{
	const struct jump *j = &jumps[_i];
	struct buf file = { 0 };
	struct err err = { 0 };
	struct seen s;
	int ret;

	put_head(&file);
	for (int i = 0; i < 4000; i++)
		put_frame(&file, i, 200000 + i * 40 + (i < 2000 ? 0 : j->by_ms), 20);
	ret = run(&file, &s, &err);
	if (!j->is_good) {
		ck_assert_int_eq(ret, ERR_DATA);
		ck_assert_msg(strstr(err.msg, "the video's timestamps jump"), "%s", err.msg);
		return;
	}
	ck_assert_msg(!ret, "%s", err.msg);
	ck_assert_int_eq(s.frames, 4000);
	if (j->by_ms > 0)
		ck_assert_int_ge(s.last, (4000 * 40 + j->by_ms) * 90);
}
END_TEST

/* Without Cues all Clusters before it are looked at, which takes long where the disk is slow. */
START_TEST(looking_for_the_place_can_be_stopped)
{
	struct seen s = { .is_stopped = true };
	struct buf file = { 0 };
	struct err err;

	put_head(&file);
	for (int i = 0; i < 1000; i++)
		put_frame(&file, i, i * INT64_C(40), 100);
	ck_assert_int_eq(run_from(&file, 39 * TICKS_PER_SECOND, &s, &err), ERR_STOPPED);
	ck_assert_int_eq(s.largest, 0); /* no init segment either */
}
END_TEST

Suite *suite_transcode_times(void)
{
	Suite *suite = suite_create("worker/transcode_times");
	TCase *t = tcase_create("times");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, looking_for_the_place_can_be_stopped);
	tcase_add_test(t, equal_times_are_spread_and_do_not_pile_up);
	tcase_add_test(t, large_frames_do_not_wait_for_two_seconds);
	tcase_add_test(t, random_times_give_rising_ones_or_an_error);
	tcase_add_loop_test(t, jumps_are_kept_within_reason, 0, (int)(sizeof jumps / sizeof *jumps));
	suite_add_tcase(suite, t);
	return suite;
}
