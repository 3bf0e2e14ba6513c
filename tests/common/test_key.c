/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/key.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

/* The constants come from sha256sum: they must never change. */
START_TEST(key_of_a_file_id_is_the_published_one)
{
	char key[RECORD_KEY_SIZE];
	key_derive("AgADBAADq6cxG", NULL, NULL, key);
	ck_assert_str_eq(key, "9298d4d736bffcd9");
}
END_TEST

START_TEST(key_of_a_message_is_the_published_one)
{
	char key[RECORD_KEY_SIZE];
	key_derive(NULL, "-1001234567890", "42", key);
	ck_assert_str_eq(key, "4482e73bda07d2a5");
	key_derive("", "-1001234567890", "42", key);
	ck_assert_str_eq(key, "4482e73bda07d2a5");
}
END_TEST

START_TEST(file_id_wins_over_the_message)
{
	char key[RECORD_KEY_SIZE];
	key_derive("AgADBAADq6cxG", "-1001234567890", "42", key);
	ck_assert_str_eq(key, "9298d4d736bffcd9");
}
END_TEST

START_TEST(nothing_known_gives_no_key)
{
	char key[RECORD_KEY_SIZE] = "x";
	key_derive(NULL, NULL, NULL, key);
	ck_assert_str_eq(key, "");
	key_derive("", "1", "", key);
	ck_assert_str_eq(key, "");
	key_derive(NULL, NULL, "42", key);
	ck_assert_str_eq(key, "");
}
END_TEST

START_TEST(key_of_a_source_covers_what_changes_the_output)
{
	struct record_source source = { .path = "/srv/a b.mkv", .size = 123, .mtime_ns = 456 };
	struct record_options o;
	char key[RECORD_KEY_SIZE], other[RECORD_KEY_SIZE];
	record_options_init(&o);
	o.audio_quality = 1500;
	key_derive_source(&source, &o, key);
	ck_assert_str_eq(key, "c3e94187348379f2");
	o.audio_bitrate++; /* says nothing in quality mode */
	key_derive_source(&source, &o, other);
	ck_assert_str_eq(key, other);
	o.audio_bitrate--;
	o.audio_mode = RECORD_AUDIO_BITRATE;
	key_derive_source(&source, &o, key);
	ck_assert_str_eq(key, "76301d823b040eaa");
	o.audio_track = 2;
	key_derive_source(&source, &o, other);
	ck_assert_str_ne(key, other);
	o.audio_track = 0;
	o.video_track = 2;
	key_derive_source(&source, &o, key);
	ck_assert_str_ne(key, other);
	o.video_track = 0;
	strcpy(o.audio_language, "2");
	key_derive_source(&source, &o, key);
	ck_assert_str_ne(key, other);
	o.audio_language[0] = 0;
	source.mtime_ns++;
	key_derive_source(&source, &o, other);
	ck_assert_str_ne(key, other);
	o.audio_language[0] = 0;
	o.is_audio_copied = true;
	key_derive_source(&source, &o, key);
	ck_assert_str_eq(key, "48b2387f67ac1b3d");
}
END_TEST

/* Each of them gives another key than all before. */
START_TEST(key_of_a_source_covers_how_it_is_encoded)
{
	struct record_source source = { .path = "/film.mp4", .size = 1 };
	struct record_options o[9];
	char keys[9][RECORD_KEY_SIZE];

	for (int i = 0; i < 9; i++)
		record_options_init(&o[i]);
	o[1].is_video_encoded = true;
	o[2].is_audio_encoded = true;
	strcpy(o[3].encoded_codecs, "hevc");
	o[4].video_crf = 20000;
	o[5].video_preset = 3;
	o[6].video_bitrate = 1000000;
	o[7].video_height = 720;
	strcpy(o[8].video_encoder, "auto");
	for (int i = 0; i < 9; i++) {
		key_derive_source(&source, &o[i], keys[i]);
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(keys[i], keys[k]);
	}
}
END_TEST

START_TEST(only_sixteen_lower_case_digits_are_a_key)
{
	char key[RECORD_KEY_SIZE];
	key_hash((struct bytes){ (const uint8_t *)"abc", 3 }, key);
	ck_assert_str_eq(key, "ba7816bf8f01cfea");
	ck_assert(key_is_valid(key));
	ck_assert(!key_is_valid(""));
	ck_assert(!key_is_valid("ba7816bf8f01cfe"));
	ck_assert(!key_is_valid("ba7816bf8f01cfeaa"));
	ck_assert(!key_is_valid("BA7816bf8f01cfea"));
	ck_assert(!key_is_valid("ba7816bf8f01cfe}"));
}
END_TEST

Suite *suite_key(void)
{
	Suite *s = suite_create("common/key");
	TCase *t = tcase_create("key");
	tcase_add_test(t, key_of_a_file_id_is_the_published_one);
	tcase_add_test(t, key_of_a_message_is_the_published_one);
	tcase_add_test(t, file_id_wins_over_the_message);
	tcase_add_test(t, nothing_known_gives_no_key);
	tcase_add_test(t, key_of_a_source_covers_what_changes_the_output);
	tcase_add_test(t, key_of_a_source_covers_how_it_is_encoded);
	tcase_add_test(t, only_sixteen_lower_case_digits_are_a_key);
	suite_add_tcase(s, t);
	return s;
}
