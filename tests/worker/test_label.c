/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/label.h"

#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *language, *want_name, *want_language;
} labels[] = {
	{ "", "eng", "en", "en" },
	{ "", "ger", "de", "de" },
	{ "", "deu", "de", "de" },
	{ "", "ZHO", "zh", "zh" },
	{ "", "aar", "aa", "aa" }, /* the first of the table and the last */
	{ "", "zul", "zu", "zu" },
	{ "", "pt-BR", "pt-BR", "pt-BR" },
	{ "", "gsw", "gsw", "gsw" }, /* has no shorter one */
	{ "", "und", "Audio", "" },
	{ "", "", "Audio", "" },
	{ "", "e\"n", "Audio", "" },
	{ "Director's <cut> & \"more\"", "en", "Director's <cut> & 'more'", "en" },
	{ "a\r\nb\tc\x7f", "en", "abc", "en" },
	{ "\n", "en", "en", "en" },
	{ "Fran\xc3\xa7" "ais", "fre", "Fran\xc3\xa7" "ais", "fr" },
	{ "Fran\xe7" "ais\xf0\x9f", "fre", "Franais", "fr" },
};

START_TEST(names_and_languages_are_fit_for_playlists)
{
	struct record_track t = { .audio.is_present = true };
	struct track from = { 0 };

	snprintf(from.name, sizeof from.name, "%s", labels[_i].name);
	snprintf(from.language, sizeof from.language, "%s", labels[_i].language);
	label_track(&t, 0, &from);
	ck_assert_str_eq(t.name, labels[_i].want_name);
	ck_assert_str_eq(t.language, labels[_i].want_language);
}
END_TEST

START_TEST(no_two_of_a_kind_have_the_same_name)
{
	struct record_track t[RECORD_TRACKS_MAX] = { 0 };
	struct track from = { .is_forced = true };

	memset(from.name, 'x', sizeof from.name - 1);
	for (int i = 0; i < RECORD_TRACKS_MAX; i++) {
		t[i].text.is_present = i >= RECORD_AUDIOS_MAX;
		label_track(t, i, &from);
		ck_assert(t[i].is_forced);
		for (int k = 0; k < i; k++)
			ck_assert(t[i].text.is_present != t[k].text.is_present || strcmp(t[i].name, t[k].name));
	}
	ck_assert_str_eq(t[0].name, t[RECORD_AUDIOS_MAX].name);
}
END_TEST

/* Of a character that does not fit there is nothing. */
START_TEST(a_long_name_is_cut_between_characters)
{
	struct record_track t = { 0 };
	struct track from = { 0 };

	for (size_t i = 1; i + 2 < sizeof from.name; i += 2)
		memcpy(from.name + i, "\xc3\xa4", 2);
	for (int shift = 0; shift < 2; shift++) {
		from.name[0] = shift ? 'a' : '\n';
		label_track(&t, 0, &from);
		ck_assert_uint_eq(strlen(t.name) % 2, shift);
		ck_assert_uint_gt(strlen(t.name), 100);
	}
}
END_TEST

Suite *suite_label(void)
{
	Suite *s = suite_create("label");
	TCase *t = tcase_create("label");

	tcase_add_loop_test(t, names_and_languages_are_fit_for_playlists, 0, (int)(sizeof labels / sizeof *labels));
	tcase_add_test(t, no_two_of_a_kind_have_the_same_name);
	tcase_add_test(t, a_long_name_is_cut_between_characters);
	suite_add_tcase(s, t);
	return s;
}
