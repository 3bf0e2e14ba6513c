/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A title in a browser: tests/players/smoke, where there is one. All the rest of that is make check-players.
 */
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>

#define NOT_HERE 77

START_TEST(a_title_plays_in_a_browser_by_hls_js_and_by_shaka)
{
	char *said;
	int status = sh_status(&said, "tests/players/smoke 2>&1");

	if (status == NOT_HERE)
		fprintf(stderr, "skipped: a title in a browser: %s", said);
	else
		ck_assert_msg(status == 0, "%s", said);
	free(said);
}
END_TEST

Suite *suite_players(void)
{
	Suite *s = suite_create("players");
	TCase *t = tcase_create("players");

	tcase_set_timeout(t, 600);
	tcase_add_test(t, a_title_plays_in_a_browser_by_hls_js_and_by_shaka);
	suite_add_tcase(s, t);
	return s;
}
