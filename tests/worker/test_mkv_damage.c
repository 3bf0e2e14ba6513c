/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is broken costs what it must, and no more.
 */
#include "tests/suites.h"
#include "tests/worker/mkv_it.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <stdlib.h>
#include <string.h>

START_TEST(garbage_between_clusters_is_passed_over)
{
	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	size_t from = it.file.size;
	for (int i = 0; i < 500; i++)
		buf_put_u8(&it.file, (uint8_t)(i * 37));
	buf_put_u32(&it.file, ID_CLUSTER); /* an ID, but no Cluster */
	buf_put_u32(&it.file, 0);
	size_t n = it.file.size - from;
	mkv_put_cluster(&it.file, 100, 'e');
	it_load();
	ck_assert_str_eq(it_letters(), "abcdefgh");
	ck_assert_int_eq(it.damaged, (int64_t)n);
}
END_TEST

START_TEST(garbage_in_front_of_the_first_cluster_is_passed_over)
{
	mkv_put_head(&it.file);
	buf_put_zero(&it.file, 100);
	size_t at = mkv_put_cluster(&it.file, 0, 'a');
	it_load();
	ck_assert_int_eq(it.mkv.first_cluster, (int64_t)at);
	ck_assert_str_eq(it_letters(), "abcd");
}
END_TEST

START_TEST(a_block_that_lies_about_its_size_costs_no_other_cluster)
{
	mkv_put_head(&it.file);
	size_t m = mkv_begin_cluster(&it.file, 0);
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, "a", 1);
	size_t at = it.file.size;
	mkv_put_simple(&it.file, 1, 0, 0, "x", 1);
	mkv_end_master(&it.file, m);
	mkv_put_cluster(&it.file, 100, 'e');
	size_t size = it.file.size;
	static const uint32_t lies[] = { 40, 90, 5000, UINT32_MAX };
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		it.file.size = size;
		buf_patch_u32(&it.file, at + 5, lies[i]);
		it_load();
		ck_assert_msg(!strcmp(it_letters(), "aefgh"), "%u: %s", lies[i], it_letters());
		ck_assert_int_gt(it.damaged, 0);
		mkv_close(&it.mkv);
	}
}
END_TEST

START_TEST(a_cluster_that_lies_about_its_size_keeps_its_blocks)
{
	static const int lies[] = { -13, 20, 1000000 };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		buf_reset(&it.file);
		mkv_put_head(&it.file);
		size_t at = mkv_put_cluster(&it.file, 0, 'a');
		uint32_t size = get_u32(it.file.data + at + 8);
		mkv_put_cluster(&it.file, 100, 'e');
		buf_patch_u32(&it.file, at + 8, size + (uint32_t)lies[i]);
		it_load();
		ck_assert_msg(!strcmp(it_letters(), "abcdefgh"), "%d: %s", lies[i], it_letters());
		mkv_close(&it.mkv);
	}
}
END_TEST

/* A file with all sorts of things in it. */
static void put_everything(void)
{
	mkv_put_header(&it.file, "matroska");
	mkv_begin_unknown(&it.file, ID_SEGMENT);
	size_t data = it.file.size, m = mkv_begin_master(&it.file, ID_SEEK_HEAD);
	mkv_put_seek(&it.file, ID_INFO, 100);
	mkv_end_master(&it.file, m);
	mkv_put_info(&it.file);
	mkv_put_tracks(&it.file);
	size_t a = mkv_put_cluster(&it.file, 0, 'a');
	m = mkv_begin_cluster(&it.file, 100);
	mkv_put_group(&it.file, 1, 0, "e", 40, 0, 0);
	mkv_put_simple(&it.file, 2, 0, MKV_KEY | 0x02, "\2\1\1fgh", 6);
	mkv_put_simple(&it.file, 2, 60, MKV_KEY | 0x04, "\1ij", 3);
	mkv_put_simple(&it.file, 2, 80, MKV_KEY | 0x06, "\1\x81kl", 4);
	mkv_end_master(&it.file, m);
	mkv_begin_unknown(&it.file, ID_CLUSTER);
	mkv_put_uint(&it.file, ID_TIMESTAMP, 200);
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, "m", 1);
	mkv_put_cues(&it.file, data, a, a);
}

/* Each length of file in a block of its own, so that reading behind it is seen by the sanitizer. */
START_TEST(a_file_cut_anywhere_gives_a_prefix_of_the_frames)
{
	char all[IT_FRAMES_MAX + 1];
	int at_most = 0;

	put_everything();
	it_load();
	strcpy(all, it_letters());
	ck_assert_str_eq(all, "abcdefghijklm");
	mkv_close(&it.mkv);
	for (size_t n = 0; n <= it.file.size; n++) {
		uint8_t *cut = malloc(n + !n);
		memcpy(cut, it.file.data, n);
		if (!it_open_bytes((struct bytes){ cut, n }, NULL)) {
			it_read_frames();
			ck_assert_msg(!strncmp(all, it_letters(), (size_t)it.n_frames), "cut at %zu: %s", n, it_letters());
			ck_assert_int_ge(it.n_frames, at_most);
			at_most = it.n_frames;
			mkv_close(&it.mkv);
		}
		free(cut);
	}
	ck_assert_int_eq(at_most, (int)strlen(all));
}
END_TEST

START_TEST(no_changed_byte_harms)
{
	put_everything();
	for (size_t i = 0; i < it.file.size; i++) {
		uint8_t was = it.file.data[i];
		static const uint8_t to[] = { 0, 1, 0x7F, 0x80, 0xFF, 0x10, 0x40 };
		for (size_t k = 0; k < sizeof(to); k++) {
			it.file.data[i] = to[k];
			if (!it_open_bytes(buf_bytes(&it.file), NULL))
				it_read_frames();
			for (int f = 0; f < it.n_frames; f++)
				ck_assert(it.frames[f].at >= 0 && it.frames[f].at + it.frames[f].size <= (int64_t)it.file.size);
			mkv_close(&it.mkv);
			it.n_frames = 0;
		}
		it.file.data[i] = was;
	}
}
END_TEST

Suite *suite_mkv_damage(void)
{
	Suite *s = suite_create("mkv_damage");
	TCase *tc = tcase_create("mkv_damage");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_setup, it_teardown);
	tcase_add_test(tc, garbage_between_clusters_is_passed_over);
	tcase_add_test(tc, garbage_in_front_of_the_first_cluster_is_passed_over);
	tcase_add_test(tc, a_block_that_lies_about_its_size_costs_no_other_cluster);
	tcase_add_test(tc, a_cluster_that_lies_about_its_size_keeps_its_blocks);
	tcase_add_test(tc, a_file_cut_anywhere_gives_a_prefix_of_the_frames);
	tcase_add_test(tc, no_changed_byte_harms);
	suite_add_tcase(s, tc);
	return s;
}
