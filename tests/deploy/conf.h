/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options in the configuration files of deploy/, read by the programs' own tables.
 */
#ifndef SEGFARM_TESTS_DEPLOY_CONF_H
#define SEGFARM_TESTS_DEPLOY_CONF_H

#include <stdbool.h>

enum { CONF_TEXT_MAX = 4000 };

/* All options of [serve] (is_worker: [worker]) as words of a command line, each with a space before and behind. The test fails where the
 * file has an error. */
void conf_read(const char *path, bool is_worker, char text[CONF_TEXT_MAX]);
/* The value of the first of that name ("listen"), "" where there is none; static memory. */
const char *conf_value(const char *text, const char *name);
/* Is "SEGFARM_REDIS" an option of either program? */
bool conf_is_variable(const char *name);

#endif
