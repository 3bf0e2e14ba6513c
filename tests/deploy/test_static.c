/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What can be said of the files of deploy/ without running them: the checks of tests/deploy/static.
 */
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const checks[] = { "units", "shell", "image", "versions" };

START_TEST(check)
{
	char *said = sh("tests/deploy/static %s", checks[_i]);

	if (strstr(said, "skipped:"))
		fprintf(stderr, "%s: %s", checks[_i], said);
	free(said);
}
END_TEST

Suite *suite_deploy(void)
{
	Suite *s = suite_create("deploy");
	TCase *tc = tcase_create("static");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, check, 0, (int)(sizeof checks / sizeof *checks));
	suite_add_tcase(s, tc);
	return s;
}
