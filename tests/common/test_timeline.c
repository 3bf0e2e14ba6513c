/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/timeline.h"
#include "tests/suites.h"

#include <check.h>

START_TEST(floor_goes_down_also_below_zero)
{
	ck_assert_int_eq(timeline_scale_floor(7, 1, 2), 3);
	ck_assert_int_eq(timeline_scale_floor(-7, 1, 2), -4);
	ck_assert_int_eq(timeline_scale_floor(-8, 1, 2), -4);
	ck_assert_int_eq(timeline_scale_floor(-1, 1, 1000), -1);
	ck_assert_int_eq(timeline_scale_floor(7, -1, 2), -4);
}
END_TEST

START_TEST(ceil_goes_up_also_below_zero)
{
	ck_assert_int_eq(timeline_scale_ceil(7, 1, 2), 4);
	ck_assert_int_eq(timeline_scale_ceil(-7, 1, 2), -3);
	ck_assert_int_eq(timeline_scale_ceil(8, 1, 2), 4);
	ck_assert_int_eq(timeline_scale_ceil(0, 5, 3), 0);
	ck_assert_int_eq(timeline_scale_ceil(-1, 1, 1000), 0);
}
END_TEST

START_TEST(round_takes_the_nearest_and_halves_go_up)
{
	ck_assert_int_eq(timeline_scale_round(1, 1, 2), 1);
	ck_assert_int_eq(timeline_scale_round(-1, 1, 2), 0);
	ck_assert_int_eq(timeline_scale_round(-3, 1, 2), -1);
	ck_assert_int_eq(timeline_scale_round(1, 1, 3), 0);
	ck_assert_int_eq(timeline_scale_round(2, 1, 3), 1);
	ck_assert_int_eq(timeline_scale_round(-1, 1, 3), 0);
	ck_assert_int_eq(timeline_scale_round(-2, 1, 3), -1);
}
END_TEST

START_TEST(longest_times_do_not_overflow)
{
	ck_assert_int_eq(timeline_ns_to_ticks(TIMELINE_MAX_NS), TIMELINE_MAX_TICKS);
	ck_assert_int_eq(timeline_ns_to_ticks(-TIMELINE_MAX_NS), -TIMELINE_MAX_TICKS);
	ck_assert_int_eq(timeline_ns_to_samples(TIMELINE_MAX_NS, 768000), INT64_C(2000) * 3600 * 768000);
	ck_assert_int_eq(timeline_samples_to_ticks(INT64_C(2000) * 3600 * 768000, 768000), TIMELINE_MAX_TICKS);
}
END_TEST

START_TEST(millisecond_times_come_back)
{
	for (int64_t ms = -100000; ms <= 100000; ms += 7) {
		ck_assert_int_eq(timeline_ns_to_ticks(ms * 1000000), ms * 90);
		ck_assert_int_eq(timeline_scale_round(ms * 90, NS_PER_SECOND, TICKS_PER_SECOND), ms * 1000000);
	}
}
END_TEST

START_TEST(ticks_of_a_frame_of_44100_hz_are_the_nearest)
{
	/* 1024 / 44100 s = 2089.795... ticks */
	ck_assert_int_eq(timeline_samples_to_ticks(1024, 44100), 2090);
	ck_assert_int_eq(timeline_samples_to_ticks(147 * 1024, 44100), 307200);
	ck_assert_int_eq(timeline_ticks_to_samples(2090, 44100), 1024);
	ck_assert_int_eq(timeline_ticks_to_samples(2089, 44100), 1023);
}
END_TEST

START_TEST(common_divisor_is_the_greatest)
{
	ck_assert_int_eq(timeline_gcd(48000, 44100), 300);
	ck_assert_int_eq(timeline_gcd(44100, 48000), 300);
	ck_assert_int_eq(timeline_gcd(1001, 24000), 1);
	ck_assert_int_eq(timeline_gcd(7, 7), 7);
	ck_assert_int_eq(timeline_gcd(9, 0), 9);
	ck_assert_int_eq(timeline_gcd(0, 9), 9);
	ck_assert_int_eq(timeline_gcd(0, 0), 0);
	ck_assert_int_eq(timeline_gcd(INT64_MAX, INT64_MAX - 1), 1);
	ck_assert_int_eq(timeline_gcd(INT64_MAX / 7 * 6, INT64_MAX / 7 * 4), INT64_MAX / 7 * 2);
}
END_TEST

Suite *suite_timeline(void)
{
	Suite *s = suite_create("common/timeline");
	TCase *t = tcase_create("timeline");
	tcase_add_test(t, floor_goes_down_also_below_zero);
	tcase_add_test(t, ceil_goes_up_also_below_zero);
	tcase_add_test(t, round_takes_the_nearest_and_halves_go_up);
	tcase_add_test(t, longest_times_do_not_overflow);
	tcase_add_test(t, millisecond_times_come_back);
	tcase_add_test(t, ticks_of_a_frame_of_44100_hz_are_the_nearest);
	tcase_add_test(t, common_divisor_is_the_greatest);
	suite_add_tcase(s, t);
	return s;
}
