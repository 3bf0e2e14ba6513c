/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/ebml.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"

#define BYTES(...) (struct bytes){ (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }) }

START_TEST(every_length_of_vint_is_read)
{
	for (int length = 1; length <= 8; length++) {
		uint8_t p[8] = { (uint8_t)(0x80 >> (length - 1)) };
		uint64_t v = 0;
		p[length - 1] |= 1;
		ck_assert_int_eq(ebml_vint(p, sizeof(p), &v), length);
		ck_assert_uint_eq(v, 1);
		ck_assert(!ebml_vint_is_unknown(v, length));
		memset(p, 0xFF, sizeof(p));
		p[0] = (uint8_t)(0xFF >> (length - 1));
		ck_assert_int_eq(ebml_vint(p, sizeof(p), &v), length);
		ck_assert(ebml_vint_is_unknown(v, length));
		ck_assert_int_eq(ebml_vint(p, (size_t)length - 1, &v), 0);
	}
}
END_TEST

START_TEST(a_first_byte_of_zero_is_no_vint)
{
	static const uint8_t p[] = { 0, 0x80, 0, 0, 0, 0, 0, 0, 1 };
	uint64_t v;

	ck_assert_int_eq(ebml_vint(p, sizeof(p), &v), 0);
	ck_assert_int_eq(ebml_vint(p, 0, &v), 0);
}
END_TEST

START_TEST(a_header_says_where_the_data_lies)
{
	struct bytes b = BYTES(0, 0x42, 0x86, 0x40, 0x02, 7, 7);
	struct ebml_element e;

	ck_assert(ebml_read(b, 1, (int64_t)b.size, &e));
	ck_assert_uint_eq(e.id, 0x4286);
	ck_assert_int_eq(e.start, 1);
	ck_assert_int_eq(e.data, 5);
	ck_assert_int_eq(e.end, 7);
	ck_assert(!e.is_unknown);
}
END_TEST

START_TEST(an_unknown_size_ends_nowhere)
{
	struct bytes b = BYTES(0x1F, 0x43, 0xB6, 0x75, 0xFF);
	struct ebml_element e;

	ck_assert(ebml_read(b, 0, 5, &e));
	ck_assert(e.is_unknown);
	ck_assert_int_eq(e.end, INT64_MAX);
}
END_TEST

START_TEST(broken_and_cut_headers_are_refused)
{
	static const struct {
		uint8_t b[6];
		int n;
	} bad[] = {
		{ { 0 }, 0 }, { { 0xEC }, 1 }, { { 0x42, 0x86 }, 2 }, { { 0x42 }, 1 }, { { 0xEC, 0 }, 2 }, { { 0, 0x81 }, 2 },
		{ { 0xEC, 0x40 }, 2 }, { { 0x08, 1, 2, 3, 4, 0x80 }, 6 }, { { 0x80, 0x80 }, 2 }, { { 0xFF, 0x80 }, 2 },
	};
	struct ebml_element e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert(!ebml_read((struct bytes){ bad[i].b, (size_t)bad[i].n }, 0, bad[i].n, &e));
	ck_assert(!ebml_read(BYTES(0xEC, 0x80), -1, 2, &e));
	ck_assert(!ebml_read(BYTES(0xEC, 0x80), 2, 2, &e));
}
END_TEST

START_TEST(the_largest_size_does_not_overflow)
{
	struct bytes b = BYTES(0xEC, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE);
	struct ebml_element e;

	ck_assert(ebml_read(b, 0, 9, &e));
	ck_assert(!e.is_unknown);
	ck_assert_int_eq(e.end, 9 + (INT64_C(1) << 56) - 2);
}
END_TEST

START_TEST(values_of_every_length_are_read)
{
	uint64_t u = 9;
	int64_t i = 9;
	double f = 9;

	ck_assert(ebml_uint(BYTES(1, 2, 3), &u) && u == 0x10203);
	ck_assert(ebml_uint(BYTES(255, 255, 255, 255, 255, 255, 255, 255), &u) && u == UINT64_MAX);
	ck_assert(ebml_int(BYTES(0xFF), &i) && i == -1);
	ck_assert(ebml_int(BYTES(0x7F), &i) && i == 127);
	ck_assert(ebml_int(BYTES(0x80, 0, 0), &i) && i == -8388608);
	ck_assert(ebml_int(BYTES(0x80, 0, 0, 0, 0, 0, 0, 0), &i) && i == INT64_MIN);
	ck_assert(ebml_float(BYTES(0x3F, 0x80, 0, 0), &f) && fabs(f - 1) < 1e-9);
	ck_assert(ebml_float(BYTES(0xC0, 0, 0, 0, 0, 0, 0, 0), &f) && fabs(f + 2) < 1e-9);
}
END_TEST

START_TEST(values_of_impossible_length_leave_the_default)
{
	struct bytes nine = BYTES(1, 2, 3, 4, 5, 6, 7, 8, 9), none = { nine.data, 0 };
	uint64_t u = 7;
	int64_t i = 7;
	double f = 7;

	ck_assert(!ebml_uint(nine, &u) && !ebml_uint(none, &u) && u == 7);
	ck_assert(!ebml_int(nine, &i) && !ebml_int(none, &i) && i == 7);
	ck_assert(!ebml_float(nine, &f) && !ebml_float(none, &f) && !ebml_float(BYTES(1), &f) && f > 6.9);
}
END_TEST

struct thing {
	uint64_t number;
	struct bytes name, blob;
};

static const struct ebml_field inner_fields[] = {
	{ 0x86, EBML_STRING, offsetof(struct thing, name), 8, "Name", NULL },
	{ 0x87, EBML_BINARY, offsetof(struct thing, blob), 2, "Blob", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static const struct ebml_field thing_fields[] = {
	{ 0xD7, EBML_UINT, offsetof(struct thing, number), 0, "Number", NULL },
	{ 0xE0, EBML_MASTER, 0, 0, "Inner", inner_fields },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

/* A master within itself, without end. */
static const struct ebml_field endless_fields[] = {
	{ 0xE0, EBML_MASTER, 0, 0, "Endless", endless_fields },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static int read_thing(struct bytes b, struct thing *t, struct err *err)
{
	return ebml_parse(b, 0, (int64_t)b.size, thing_fields, t, err);
}

START_TEST(a_table_fills_a_struct_and_passes_over_the_rest)
{
	struct thing t = { 1, { 0 }, { 0 } };
	struct bytes in = BYTES(0xEC, 0x81, 0, 0xE0, 0x86, 0x86, 0x84, 'a', 'b', 0, 0, 0xD7, 0x82, 1, 0); /* t views it */

	ck_assert_int_eq(read_thing(in, &t, NULL), 0);
	ck_assert_uint_eq(t.number, 256);
	ck_assert_uint_eq(t.name.size, 2);
	ck_assert_mem_eq(t.name.data, "ab", 2);
}
END_TEST

START_TEST(what_is_cut_is_left_out_and_what_stood_before_is_there)
{
	struct thing t = { 1, { 0 }, { 0 } };

	ck_assert_int_eq(read_thing(BYTES(0xD7, 0x81, 5, 0xE0, 0x90, 0x86, 0x81, 'x', 0x87, 0x82, 1), &t, NULL), 0);
	ck_assert_uint_eq(t.number, 5);
	ck_assert_uint_eq(t.name.size, 1);
	ck_assert_uint_eq(t.blob.size, 0);
}
END_TEST

START_TEST(over_a_limit_is_an_error_that_names_the_element)
{
	struct thing t = { 0 };
	struct err err;

	ck_assert_int_eq(read_thing(BYTES(0xE0, 0x85, 0x87, 0x83, 1, 2, 3), &t, &err), ERR_LIMIT);
	ck_assert_ptr_nonnull(strstr(err.msg, "Blob"));
}
END_TEST

START_TEST(depth_is_limited)
{
	uint8_t b[200];
	struct thing t = { 0 };

	for (size_t i = 0; i < sizeof(b); i += 2) {
		b[i] = 0xE0;
		b[i + 1] = 0xFF;
	}
	ck_assert_int_eq(ebml_parse((struct bytes){ b, sizeof(b) }, 0, sizeof(b), endless_fields, &t, NULL), ERR_LIMIT);
}
END_TEST

Suite *suite_ebml(void)
{
	Suite *s = suite_create("ebml");
	TCase *tc = tcase_create("ebml");

	tcase_add_test(tc, every_length_of_vint_is_read);
	tcase_add_test(tc, a_first_byte_of_zero_is_no_vint);
	tcase_add_test(tc, a_header_says_where_the_data_lies);
	tcase_add_test(tc, an_unknown_size_ends_nowhere);
	tcase_add_test(tc, broken_and_cut_headers_are_refused);
	tcase_add_test(tc, the_largest_size_does_not_overflow);
	tcase_add_test(tc, values_of_every_length_are_read);
	tcase_add_test(tc, values_of_impossible_length_leave_the_default);
	tcase_add_test(tc, a_table_fills_a_struct_and_passes_over_the_rest);
	tcase_add_test(tc, what_is_cut_is_left_out_and_what_stood_before_is_there);
	tcase_add_test(tc, over_a_limit_is_an_error_that_names_the_element);
	tcase_add_test(tc, depth_is_limited);
	suite_add_tcase(s, tc);
	return s;
}
