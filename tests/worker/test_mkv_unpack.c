/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compressed tracks.
 */
#include "tests/suites.h"
#include "tests/worker/mkv_it.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#include <string.h>
#include <zlib.h>

static void put_packed_track(uint64_t scope, uint64_t algorithm, const void *settings, size_t n, const void *private, size_t size)
{
	size_t marks = mkv_begin_one_track(&it.file);
	mkv_put_binary(&it.file, 0x63A2, private, size);
	size_t es = mkv_begin_master(&it.file, 0x6D80), e = mkv_begin_master(&it.file, ID_CONTENT_ENCODING);
	mkv_put_uint(&it.file, 0x5032, scope);
	size_t c = mkv_begin_master(&it.file, 0x5034);
	mkv_put_uint(&it.file, 0x4254, algorithm);
	if (n)
		mkv_put_binary(&it.file, 0x4255, settings, n);
	mkv_end_master(&it.file, c);
	mkv_end_master(&it.file, e);
	mkv_end_master(&it.file, es);
	mkv_end_one_track(&it.file, marks);
}

static void put_one_frame(const void *data, size_t n)
{
	size_t m = mkv_begin_cluster(&it.file, 0);
	mkv_put_simple(&it.file, 1, 0, MKV_KEY, data, n);
	mkv_end_master(&it.file, m);
}

START_TEST(stripped_headers_are_put_back)
{
	struct buf scratch = { 0 };
	struct bytes out;

	put_packed_track(3, 3, "HEAD", 4, "private", 7);
	put_one_frame("body", 4);
	it_load();
	ck_assert_int_eq(it.mkv.tracks[0].compression, TRACK_COMPRESSION_STRIP);
	ck_assert_uint_eq(it.mkv.tracks[0].codec_private.size, 11);
	ck_assert_mem_eq(it.mkv.tracks[0].codec_private.data, "HEADprivate", 11);
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), 0);
	ck_assert_uint_eq(out.size, 8);
	ck_assert_mem_eq(out.data, "HEADbody", 8);
	buf_finish(&scratch);
}
END_TEST

START_TEST(an_empty_block_of_a_stripped_track_is_a_frame)
{
	put_packed_track(1, 3, "HEAD", 4, "private", 7);
	put_one_frame("", 0);
	it_load();
	ck_assert_int_eq(it.n_frames, 1);
	ck_assert_uint_eq(it.mkv.tracks[0].codec_private.size, 7);
}
END_TEST

START_TEST(zlib_is_undone_in_frames_and_private_data)
{
	static uint8_t plain[100000], packed[1000];
	uLongf n = sizeof(packed);
	struct buf scratch = { 0 };
	struct bytes out;

	plain[99999] = 7;
	ck_assert_int_eq(compress(packed, &n, plain, sizeof(plain)), Z_OK);
	put_packed_track(3, 0, NULL, 0, packed, n);
	put_one_frame(packed, n);
	it_load();
	ck_assert_uint_eq(it.mkv.tracks[0].codec_private.size, sizeof(plain));
	ck_assert_mem_eq(it.mkv.tracks[0].codec_private.data, plain, sizeof(plain));
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), 0);
	ck_assert_uint_eq(out.size, sizeof(plain));
	ck_assert_mem_eq(out.data, plain, sizeof(plain));
	it.frames[0].size = (int64_t)n / 2;
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), ERR_DATA);
	it.frames[0].size = (int64_t)n;
	memcpy(it.file.data + it.frames[0].at, "no zlib", 7);
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), ERR_DATA);
	memcpy(it.file.data + it.frames[0].at, packed, n);
	scratch.limit = sizeof(plain) - 1;
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), ERR_LIMIT);
	buf_finish(&scratch);
}
END_TEST

START_TEST(a_frame_without_compression_is_a_view)
{
	struct buf scratch = { 0 };
	struct bytes out;

	mkv_put_head(&it.file);
	mkv_put_cluster(&it.file, 0, 'a');
	it_load();
	ck_assert_int_eq(mkv_frame_data(&it.mkv, &it.frames[0], &scratch, &out, NULL), 0);
	ck_assert_ptr_eq(out.data, it_at_frame(&it.frames[0]));
	ck_assert_ptr_null(scratch.data);
}
END_TEST

START_TEST(what_cannot_be_unpacked_counts_as_encrypted)
{
	put_packed_track(1, 1, NULL, 0, "private", 7);
	it_load();
	ck_assert(it.mkv.tracks[0].is_encrypted);
	mkv_close(&it.mkv);
	buf_reset(&it.file);
	size_t marks = mkv_begin_one_track(&it.file), es = mkv_begin_master(&it.file, 0x6D80);
	size_t e = mkv_begin_master(&it.file, ID_CONTENT_ENCODING);
	mkv_put_uint(&it.file, 0x5033, 1);
	mkv_end_master(&it.file, e);
	mkv_end_master(&it.file, es);
	mkv_end_one_track(&it.file, marks);
	it_load();
	ck_assert(it.mkv.tracks[0].is_encrypted);
}
END_TEST

START_TEST(private_data_packed_twice_is_not_read_from_where_it_goes)
{
	size_t marks = mkv_begin_one_track(&it.file);
	mkv_put_string(&it.file, 0x63A2, "private");
	size_t es = mkv_begin_master(&it.file, 0x6D80);
	for (int i = 0; i < 2; i++) {
		size_t e = mkv_begin_master(&it.file, ID_CONTENT_ENCODING);
		mkv_put_uint(&it.file, 0x5032, 2);
		size_t c = mkv_begin_master(&it.file, 0x5034);
		mkv_put_uint(&it.file, 0x4254, 3);
		mkv_put_string(&it.file, 0x4255, "HEAD");
		mkv_end_master(&it.file, c);
		mkv_end_master(&it.file, e);
	}
	mkv_end_master(&it.file, es);
	mkv_end_one_track(&it.file, marks);
	it_load();
	ck_assert_uint_eq(it.mkv.tracks[0].codec_private.size, 0);
}
END_TEST

Suite *suite_mkv_unpack(void)
{
	Suite *s = suite_create("mkv_unpack");
	TCase *tc = tcase_create("mkv_unpack");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, it_setup, it_teardown);
	tcase_add_test(tc, stripped_headers_are_put_back);
	tcase_add_test(tc, an_empty_block_of_a_stripped_track_is_a_frame);
	tcase_add_test(tc, zlib_is_undone_in_frames_and_private_data);
	tcase_add_test(tc, a_frame_without_compression_is_a_view);
	tcase_add_test(tc, what_cannot_be_unpacked_counts_as_encrypted);
	tcase_add_test(tc, private_data_packed_twice_is_not_read_from_where_it_goes);
	suite_add_tcase(s, tc);
	return s;
}
