/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * YAML of deploy/ as JSON, read by libyaml. Scalars are strings, also numbers and booleans; anchors, aliases and merge keys (<<) are
 * resolved. The test fails where a file cannot be read.
 */
#ifndef SEGFARM_TESTS_DEPLOY_YAML_H
#define SEGFARM_TESTS_DEPLOY_YAML_H

#include <jansson.h>
#include <stdbool.h>

/* The documents of a file, as an array; to be given to json_decref. path: from the root of the sources. */
json_t *yaml_read(const char *path);
/* What lies at a path of keys and indices ("spec.ports.0.name"; keys without a dot), borrowed; NULL: nothing. */
json_t *yaml_at(const json_t *in, const char *path);
/* The same, of a scalar; "" where there is none. */
const char *yaml_text(const json_t *in, const char *path);
/* An array has the string. */
bool yaml_has(const json_t *array, const char *text);

#endif
