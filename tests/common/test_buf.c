/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/buf.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

START_TEST(integers_are_big_endian)
{
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 };
	struct buf b = { 0 };
	buf_put_u8(&b, 1);
	buf_put_u16(&b, 0x0203);
	buf_put_u24(&b, 0x040506);
	buf_put_u32(&b, 0x0708090a);
	buf_put_u64(&b, UINT64_C(0x0b0c0d0e0f101112));
	ck_assert_uint_eq(b.size, sizeof(want));
	ck_assert_mem_eq(b.data, want, sizeof(want));
	ck_assert_uint_eq(get_u16(b.data + 1), 0x0203);
	ck_assert_uint_eq(get_u32(b.data + 6), 0x0708090a);
	ck_assert_uint_eq(get_u64(b.data + 10), UINT64_C(0x0b0c0d0e0f101112));
	buf_finish(&b);
}
END_TEST

START_TEST(limit_holds_to_the_byte_and_its_error_sticks)
{
	struct buf b = { .limit = 100 };
	buf_put_zero(&b, 100);
	ck_assert(!buf_failed(&b));
	ck_assert_ptr_nonnull(buf_cstr(&b));
	buf_put_u8(&b, 1);
	ck_assert(buf_failed(&b));
	ck_assert_ptr_null(buf_grow(&b, 0));
	ck_assert_ptr_null(buf_cstr(&b));
	buf_patch_u32(&b, 1000, 0); /* no assertion in a failed buffer */
	ck_assert_uint_eq(b.size, 100);
	buf_reset(&b);
	buf_put_u8(&b, 1);
	ck_assert(!buf_failed(&b));
	ck_assert_uint_eq(b.size, 1);
	buf_finish(&b);
}
END_TEST

START_TEST(size_that_would_overflow_is_refused)
{
	struct buf b = { 0 };
	buf_put_u8(&b, 1);
	ck_assert_ptr_null(buf_grow(&b, SIZE_MAX));
	ck_assert(buf_failed(&b));
	buf_finish(&b);
}
END_TEST

START_TEST(printf_of_any_length_is_whole)
{
	struct buf b = { 0 };
	char long_text[1000];
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	for (int i = 0; i < 130; i++)
		buf_printf(&b, "%d%s", i % 10, "");
	ck_assert_uint_eq(b.size, 130);
	buf_printf(&b, "<%s>", long_text);
	ck_assert_uint_eq(b.size, 130 + 999 + 2);
	ck_assert_uint_eq(strlen(buf_cstr(&b)), b.size);
	ck_assert_int_eq(buf_cstr(&b)[129], '9');
	buf_finish(&b);
}
END_TEST

START_TEST(patch_changes_four_bytes_and_no_others)
{
	struct buf b = { 0 };
	buf_put_zero(&b, 6);
	buf_patch_u32(&b, 1, 0xffffffff);
	ck_assert_mem_eq(b.data, "\0\xff\xff\xff\xff\0", 6);
	buf_patch_u32(&b, 2, 0);
	ck_assert_mem_eq(b.data, "\0\xff\0\0\0\0", 6);
	buf_finish(&b);
}
END_TEST

START_TEST(empty_string_is_a_string)
{
	struct buf b = { 0 };
	ck_assert_str_eq(buf_cstr(&b), "");
	ck_assert_uint_eq(buf_bytes(&b).size, 0);
	buf_put(&b, NULL, 0);
	ck_assert(!buf_failed(&b));
	buf_finish(&b);
	buf_finish(&b);
}
END_TEST

Suite *suite_buf(void)
{
	Suite *s = suite_create("common/buf");
	TCase *t = tcase_create("buf");
	tcase_add_test(t, integers_are_big_endian);
	tcase_add_test(t, limit_holds_to_the_byte_and_its_error_sticks);
	tcase_add_test(t, size_that_would_overflow_is_refused);
	tcase_add_test(t, printf_of_any_length_is_whole);
	tcase_add_test(t, patch_changes_four_bytes_and_no_others);
	tcase_add_test(t, empty_string_is_a_string);
	suite_add_tcase(s, t);
	return s;
}
