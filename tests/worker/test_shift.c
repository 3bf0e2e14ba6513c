/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/shift.h"

#include <check.h>

#include "tests/suites.h"

#define S INT64_C(1000000000)
#define FRAME (S / 25)

static struct shift s;

/* The times as they come out, of track 0 (video) and 1 (sound). */
static int64_t video(int64_t id, int64_t at)
{
	return at + shift_of(&s, 0, true, id, at, FRAME);
}

static int64_t sound(int64_t id, int64_t at)
{
	return at + shift_of(&s, 1, false, id, at, FRAME);
}

START_TEST(jump_of_any_track_moves_all_by_the_same)
{
	shift_init(&s);
	ck_assert_int_eq(video(1, S), S);
	ck_assert_int_eq(sound(2, S), S);
	ck_assert_int_eq(video(3, 7200 * S), S + FRAME);
	ck_assert_int_eq(sound(4, S + FRAME), S + FRAME); /* still from before */
	ck_assert_int_eq(sound(5, 7200 * S + FRAME), S + 2 * FRAME);
	ck_assert_int_eq(video(6, 7200 * S + FRAME), S + 2 * FRAME);
	ck_assert_int_eq(s.table.n, 2);
}
END_TEST

START_TEST(video_goes_on_to_the_tick_where_sound_jumped_first)
{
	shift_init(&s);
	video(1, S);
	sound(2, S);
	ck_assert_int_eq(sound(3, 100 * S), S + FRAME);
	ck_assert_int_eq(video(4, 100 * S + S / 10), S + FRAME);
	ck_assert_int_eq(sound(5, 100 * S + S / 10), S + FRAME);
}
END_TEST

START_TEST(hole_in_one_track_is_no_jump_and_a_step_back_is_one)
{
	shift_init(&s);
	sound(1, 0);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(video(2 + i, i * S), i * S);
	ck_assert_int_eq(sound(40, 29 * S), 29 * S);
	ck_assert_int_eq(video(41, 24 * S), 29 * S + FRAME);
}
END_TEST

START_TEST(who_reads_a_part_agrees_with_who_read_all)
{
	struct record_shifts table;

	shift_init(&s);
	video(1, S);
	video(2, 500 * S);
	video(3, 500 * S + FRAME);
	video(4, 300 * S);
	table = s.table;
	shift_init(&s);
	s.table = table;
	s.is_given = true;
	ck_assert_int_eq(video(4, 300 * S), S + 3 * FRAME);
	shift_seek(&s);
	ck_assert_int_eq(video(3, 500 * S + FRAME), S + 2 * FRAME);
	shift_seek(&s);
	ck_assert_int_eq(video(1, S), S);
}
END_TEST

/* Of the second track nothing was seen yet when it is far from the first: an overflow once. */
START_TEST(track_that_begins_far_away_is_moved)
{
	shift_init(&s);
	video(1, S);
	ck_assert_int_eq(sound(2, 9000 * S), S);
	ck_assert_int_eq(video(3, FRAME_NO_TIME) - FRAME_NO_TIME, 0);
}
END_TEST

START_TEST(more_jumps_than_fit_are_told)
{
	shift_init(&s);
	for (int i = 0; i < RECORD_SHIFTS_MAX + 10; i++)
		ck_assert_int_eq(video(i + 1, i % 2 * 1000 * S + i / 2 * 50 * S), i * FRAME);
	ck_assert(s.is_lost && s.table.n <= RECORD_SHIFTS_MAX);
}
END_TEST

Suite *suite_shift(void)
{
	Suite *suite = suite_create("worker/shift");
	TCase *t = tcase_create("shift");

	tcase_add_test(t, jump_of_any_track_moves_all_by_the_same);
	tcase_add_test(t, video_goes_on_to_the_tick_where_sound_jumped_first);
	tcase_add_test(t, hole_in_one_track_is_no_jump_and_a_step_back_is_one);
	tcase_add_test(t, who_reads_a_part_agrees_with_who_read_all);
	tcase_add_test(t, track_that_begins_far_away_is_moved);
	tcase_add_test(t, more_jumps_than_fit_are_told);
	suite_add_tcase(suite, t);
	return suite;
}
