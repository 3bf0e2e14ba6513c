/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/outbox.h"
#include "tests/suites.h"

#include <string.h>

#define LIMIT 16

static size_t take(struct outbox *box, char *to, size_t max)
{
	size_t size = outbox_take(box, to, max);

	to[size] = 0;
	return size;
}

START_TEST(what_is_put_in_comes_out_in_pieces_of_any_size)
{
	struct outbox box = { .limit = LIMIT, .notice = "missed" };
	char text[LIMIT + 1];

	outbox_put(&box, "one,", 4);
	outbox_put(&box, "two", 3);
	ck_assert_uint_eq(take(&box, text, 5), 5);
	ck_assert_str_eq(text, "one,t");
	ck_assert_uint_eq(take(&box, text, LIMIT), 2);
	ck_assert_str_eq(text, "wo");
	ck_assert_uint_eq(take(&box, text, LIMIT), 0);
	outbox_finish(&box);
}
END_TEST

START_TEST(who_does_not_read_misses_whole_texts_and_is_told_so_once)
{
	struct outbox box = { .limit = LIMIT, .notice = "missed" };
	char text[LIMIT + 1];

	outbox_put(&box, "0123456789", 10);
	outbox_put(&box, "abcdefgh", 8);
	outbox_put(&box, "x", 1); /* there would be room, but it would come before what was left out */
	ck_assert_uint_eq(take(&box, text, LIMIT), 10);
	ck_assert_str_eq(text, "0123456789");
	ck_assert_uint_eq(take(&box, text, LIMIT), 6);
	ck_assert_str_eq(text, "missed");
	ck_assert_uint_eq(take(&box, text, LIMIT), 0);
	outbox_put(&box, "again", 5);
	ck_assert_uint_eq(take(&box, text, LIMIT), 5);
	ck_assert_str_eq(text, "again");
	outbox_finish(&box);
}
END_TEST

START_TEST(it_never_holds_more_than_its_limit)
{
	struct outbox box = { .limit = LIMIT, .notice = "missed" };
	char text[LIMIT + 1];

	for (int i = 0; i < 1000; i++) {
		outbox_put(&box, "0123456", (size_t)i % 8);
		ck_assert_uint_le(box.text.size, LIMIT);
		take(&box, text, (size_t)i % 3);
	}
	outbox_finish(&box);
}
END_TEST

Suite *suite_outbox(void)
{
	Suite *s = suite_create("outbox");
	TCase *t = tcase_create("outbox");

	tcase_add_test(t, what_is_put_in_comes_out_in_pieces_of_any_size);
	tcase_add_test(t, who_does_not_read_misses_whole_texts_and_is_told_so_once);
	tcase_add_test(t, it_never_holds_more_than_its_limit);
	suite_add_tcase(s, t);
	return s;
}
