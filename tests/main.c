/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * unit-tests [pure | SUITE... | list]: all suites, those that start no process, or the ones named; or the names of all.
 */
#include "tests/suites.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	Suite *(*make)(void);
	bool is_pure;
} suites[] = {
#define ENTRY(name, is_pure) { #name, suite_##name, is_pure },
	SUITES(ENTRY)
#undef ENTRY
};

static bool is_chosen(size_t i, int argc, char **argv)
{
	if (argc < 2)
		return true;
	for (int a = 1; a < argc; a++)
		if (!strcmp(argv[a], suites[i].name) || (!strcmp(argv[a], "pure") && suites[i].is_pure))
			return true;
	return false;
}

static int list(void)
{
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		puts(suites[i].name);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	runner = srunner_create(NULL);
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		if (is_chosen(i, argc, argv))
			srunner_add_suite(runner, suites[i].make());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
