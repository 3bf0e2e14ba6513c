/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks: their times, groups and laces, and where a cursor begins.
 */
#include "tests/suites.h"
#include "tests/worker/mkv_it.h"
#include "common/timeline.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MS INT64_C(1000000)

START_TEST(times_are_scaled_and_less_the_codec_delay)
{
	mkv_put_head(&it.file);
	size_t at = mkv_put_cluster(&it.file, 1000, 'a');
	it_load();
	ck_assert_str_eq(it_letters(), "abcd");
	static const int64_t ms[] = { 1000, 995, 1040, 1035 };
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(it.frames[i].time_ns, ms[i] * MS);
		ck_assert_int_eq(it.frames[i].place, (int64_t)at);
		ck_assert_int_eq(it.frames[i].lace_count, 1);
		ck_assert_int_eq(it.frames[i].is_key, i != 2);
		ck_assert_int_eq(it.frames[i].duration_ns, 0);
	}
}
END_TEST

START_TEST(a_block_group_is_key_without_a_reference)
{
	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 0);
	size_t first = it.file.size;
	mkv_put_group(&it.file, 1, 0, "a", 0, 0, 0);
	mkv_put_group(&it.file, 1, 40, "b", 40, -40, 0);
	mkv_put_group(&it.file, 2, -10, "c", 0, 0, 3000000);
	mkv_end_master(&it.file, m);
	it_load();
	ck_assert_str_eq(it_letters(), "abc");
	ck_assert_int_eq(it.frames[0].id, (int64_t)first);
	ck_assert(it.frames[0].is_key && !it.frames[1].is_key && it.frames[2].is_key);
	ck_assert_int_eq(it.frames[1].duration_ns, 40 * MS);
	ck_assert_int_eq(it.frames[2].time_ns, -15 * MS);
	ck_assert_int_eq(it.frames[2].discard_ns, 3 * MS);
	ck_assert_int_eq(it.frames[1].discard_ns, 0);
}
END_TEST

static void check_lace(int from, const size_t *sizes, int n, int64_t first_ms, int64_t step_ms)
{
	for (int i = 0; i < n; i++) {
		const struct frame *f = &it.frames[from + i];
		ck_assert_int_eq(f->lace_index, i);
		ck_assert_int_eq(f->lace_count, n);
		ck_assert_int_eq(f->size, (int64_t)sizes[i]);
		ck_assert_int_eq(*it_at_frame(f), 'a' + i);
		ck_assert_int_eq(f->time_ns, (first_ms + step_ms * i) * MS);
	}
}

START_TEST(every_kind_of_lacing_is_undone)
{
	static const size_t xiph[] = { 300, 1, 255, 2 }, fixed[] = { 5, 5, 5 }, ebml[] = { 200, 3, 400, 7 };
	static const uint8_t xiph_head[] = { 3, 255, 45, 1, 255, 0 };
	/* 200; -197 in two bytes; +397 in two bytes */
	static const uint8_t ebml_head[] = { 3, 0x40, 200, 0x5F, 0x3A, 0x61, 0x8C };
	static char data[1024];
	size_t n = 0;

	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 100);
	memcpy(data, xiph_head, n = sizeof(xiph_head));
	for (int i = 0; i < 4; n += xiph[i++])
		memset(data + n, 'a' + i, xiph[i]);
	mkv_put_simple(&it.file, 2, 0, MKV_KEY | 0x02, data, n);
	data[0] = 2;
	n = 1;
	for (int i = 0; i < 3; n += fixed[i++])
		memset(data + n, 'a' + i, fixed[i]);
	mkv_put_simple(&it.file, 2, 80, MKV_KEY | 0x04, data, n);
	memcpy(data, ebml_head, n = sizeof(ebml_head));
	for (int i = 0; i < 4; n += ebml[i++])
		memset(data + n, 'a' + i, ebml[i]);
	mkv_put_simple(&it.file, 2, 140, MKV_KEY | 0x06, data, n);
	mkv_end_master(&it.file, m);
	it_load();
	ck_assert_int_eq(it.n_frames, 11);
	check_lace(0, xiph, 4, 95, 20);
	check_lace(4, fixed, 3, 175, 20);
	check_lace(7, ebml, 4, 235, 20);
	for (int i = 0; i < it.n_frames; i++)
		ck_assert(it.frames[i].is_key);
}
END_TEST

START_TEST(a_lace_without_default_duration_shares_the_blocks_and_discards_at_its_end)
{
	static const size_t sizes[] = { 1, 1 };

	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 0), g = mkv_begin_master(&it.file, ID_BLOCK_GROUP);
	mkv_put_block(&it.file, 1, 0, 0x04, "\1ab", 3);
	mkv_put_uint(&it.file, 0x9B, 60);
	mkv_put_uint(&it.file, 0x75A2, 7);
	mkv_end_master(&it.file, g);
	mkv_end_master(&it.file, m);
	it_load();
	ck_assert_int_eq(it.n_frames, 2);
	check_lace(0, sizes, 2, 0, 30);
	ck_assert_int_eq(it.frames[0].duration_ns, 30 * MS);
	ck_assert_int_eq(it.frames[0].discard_ns, 0);
	ck_assert_int_eq(it.frames[1].discard_ns, 7);
}
END_TEST

START_TEST(a_broken_lace_loses_its_block_only)
{
	static const struct {
		uint8_t flags;
		const char *data;
		size_t n;
	} bad[] = {
		{ 0x02, "\1", 1 }, { 0x02, "", 0 }, { 0x02, "\1\xFF\xFF", 3 }, { 0x02, "\1\x05zz", 4 }, { 0x04, "\1abc", 4 },
		{ 0x06, "\1\x85zz", 4 }, { 0x06, "\2\x81\x80zzz", 6 }, { 0x06, "\1\0\0zzzzz", 8 }, { 0x06, "\3\x81", 2 },
		{ 0x06, "\2\x81\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFFz", 11 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&it.file);
		mkv_put_head(&it.file);
		size_t m = mkv_begin_cluster(&it.file, 0);
		mkv_put_simple(&it.file, 1, 0, 0, "a", 1);
		mkv_put_simple(&it.file, 1, 1, bad[i].flags, bad[i].data, bad[i].n);
		mkv_put_simple(&it.file, 1, 2, 0, "b", 1);
		mkv_end_master(&it.file, m);
		it_load();
		ck_assert_msg(!strcmp(it_letters(), "ab"), "case %zu: %s", i, it_letters());
		ck_assert_int_gt(it.damaged, 0);
		mkv_close(&it.mkv);
	}
}
END_TEST

START_TEST(unknown_sizes_end_at_the_next_element_of_the_level)
{
	mkv_put_head(&it.file);
	for (int i = 0; i < 3; i++) {
		mkv_begin_unknown(&it.file, ID_CLUSTER);
		mkv_put_uint(&it.file, ID_TIMESTAMP, (uint64_t)i * 100);
		mkv_put_simple(&it.file, 1, 0, MKV_KEY, &"ace"[i], 1);
		mkv_put_group(&it.file, 1, 10, "x", 0, -10, 0);
	}
	mkv_put_void(&it.file, 7);
	size_t m = mkv_begin_master(&it.file, ID_TAGS);
	buf_put_zero(&it.file, 50);
	mkv_end_master(&it.file, m);
	mkv_put_cluster(&it.file, 300, 'm');
	it_load();
	ck_assert_str_eq(it_letters(), "axcxexmnop");
	ck_assert_int_eq(it.frames[4].time_ns, 200 * MS);
	ck_assert_int_eq(it.damaged, 0);
}
END_TEST

START_TEST(another_file_joined_to_the_end_is_not_read)
{
	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'e');
	it_load();
	ck_assert_str_eq(it_letters(), "abcd");
}
END_TEST

START_TEST(a_segment_whose_size_is_too_small_is_read_to_the_end)
{
	mkv_put_header(&it.file, "matroska");
	size_t m = mkv_begin_master(&it.file, ID_SEGMENT);
	mkv_put_info(&it.file);
	mkv_put_tracks(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	mkv_end_master(&it.file, m);
	mkv_put_cluster(&it.file, 100, 'e');
	it_load();
	ck_assert_str_eq(it_letters(), "abcdefgh");
}
END_TEST

START_TEST(blocks_of_no_track_or_out_of_time_are_passed_over)
{
	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 0);
	mkv_put_simple(&it.file, 9, 0, 0, "x", 1);
	mkv_put_simple(&it.file, 1, 0, 0, "", 0);
	mkv_put_simple(&it.file, 1, 0, 0, "a", 1);
	mkv_end_master(&it.file, m);
	static const uint64_t far[] = { UINT64_MAX, INT64_MAX, (uint64_t)(TIMELINE_MAX_NS / MS) + 1 };
	for (size_t i = 0; i < 3; i++)
		mkv_put_cluster(&it.file, far[i], 'm');
	m = mkv_begin_master(&it.file, ID_CLUSTER); /* without a Timestamp */
	mkv_put_simple(&it.file, 1, 0, 0, "y", 1);
	mkv_end_master(&it.file, m);
	mkv_put_cluster(&it.file, (uint64_t)(TIMELINE_MAX_NS / MS) - 40, 'b');
	it_load();
	ck_assert_str_eq(it_letters() + (it.n_frames - 4), "bcde");
	ck_assert_int_eq(*it_at_frame(&it.frames[0]), 'a');
	for (int i = 0; i < it.n_frames; i++)
		ck_assert(it.frames[i].time_ns <= TIMELINE_MAX_NS && *it_at_frame(&it.frames[i]) != 'y');
}
END_TEST

/* ---- seeking */

START_TEST(a_cursor_starts_at_a_cluster_or_at_a_block)
{
	struct mkv_cursor c, copy;
	struct frame f;

	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	size_t second = mkv_put_cluster(&it.file, 100, 'e');
	it_load();
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, (int64_t)second, -1, NULL), 0);
	ck_assert_int_eq(mkv_next(&c, &f, NULL), 1);
	ck_assert_int_eq(*it_at_frame(&f), 'e');
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.frames[6].place, it.frames[6].id, NULL), 0);
	copy = c;
	ck_assert_int_eq(mkv_next(&c, &f, NULL), 1);
	ck_assert_int_eq(*it_at_frame(&f), 'g');
	ck_assert_int_eq(f.time_ns, 140 * MS);
	ck_assert_int_eq(mkv_next(&copy, &f, NULL), 1);
	ck_assert_int_eq(*it_at_frame(&f), 'g');
}
END_TEST

START_TEST(seeking_to_where_nothing_is_fails)
{
	struct mkv_cursor c;

	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	it_load();
	static const int64_t off[] = { INT64_MIN, -1, 0, 1, INT64_MAX };
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		ck_assert_int_eq(mkv_seek(&c, &it.mkv, off[i], -1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.mkv.first_cluster + 1, -1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.mkv.first_cluster, it.mkv.first_cluster, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.mkv.first_cluster, it.frames[1].id + 1, NULL), ERR_DATA);
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.mkv.first_cluster, INT64_MAX, NULL), ERR_DATA);
}
END_TEST

/* Only the two ends of a block's payload share pages with headers: the ones between are taken away. */
START_TEST(payload_is_never_touched)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), big = 16 * page;
	char *payload = calloc(1, big);

	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 0), at = it.file.size;
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, payload, big);
	mkv_put_simple(&it.file, 1, 40, 0, "z", 1);
	mkv_end_master(&it.file, m);
	free(payload);
	uint8_t *map = mmap(NULL, it.file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	memcpy(map, it.file.data, it.file.size);
	size_t from = (at / page + 1) * page;
	ck_assert_int_eq(mprotect(map + from, 12 * page, PROT_NONE), 0);
	ck_assert_int_eq(it_open_bytes((struct bytes){ map, it.file.size }, NULL), 0);
	ck_assert_int_eq(it_read_frames(), 2);
	ck_assert_int_eq(it.frames[0].size, (int64_t)big);
	munmap(map, it.file.size);
}
END_TEST

Suite *suite_mkv_block(void)
{
	Suite *s = suite_create("mkv_block");
	TCase *tc = tcase_create("mkv_block");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_setup, it_teardown);
	tcase_add_test(tc, times_are_scaled_and_less_the_codec_delay);
	tcase_add_test(tc, a_block_group_is_key_without_a_reference);
	tcase_add_test(tc, every_kind_of_lacing_is_undone);
	tcase_add_test(tc, a_lace_without_default_duration_shares_the_blocks_and_discards_at_its_end);
	tcase_add_test(tc, a_broken_lace_loses_its_block_only);
	tcase_add_test(tc, unknown_sizes_end_at_the_next_element_of_the_level);
	tcase_add_test(tc, another_file_joined_to_the_end_is_not_read);
	tcase_add_test(tc, a_segment_whose_size_is_too_small_is_read_to_the_end);
	tcase_add_test(tc, blocks_of_no_track_or_out_of_time_are_passed_over);
	tcase_add_test(tc, a_cursor_starts_at_a_cluster_or_at_a_block);
	tcase_add_test(tc, seeking_to_where_nothing_is_fails);
	tcase_add_test(tc, payload_is_never_touched);
	suite_add_tcase(s, tc);
	return s;
}
