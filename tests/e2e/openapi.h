/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The description of the API, and whether what the server answers is as it says. Of JSON Schema the part that it uses; a keyword
 * that is not known here fails the test.
 */
#ifndef SEGFARM_TESTS_E2E_OPENAPI_H
#define SEGFARM_TESTS_E2E_OPENAPI_H

#include "tests/e2e/client.h"

#include <stdbool.h>

struct openapi {
	json_t *root;
	json_t *given; /* "GET /v1/streams 200": that were answered */
};

/* root: the description, which becomes its own. */
void openapi_init(struct openapi *o, json_t *root);
void openapi_free(struct openapi *o);
/* The test fails unless the answer to a request is one that is described, with such a body. path: as in the description. */
void openapi_check(struct openapi *o, const char *method, const char *path, const struct reply *r);
/* The test fails unless every answer that is described has been checked, but for those without an end. */
void openapi_check_all_given(const struct openapi *o);
/* Whether a value is as a schema of that name says; *why is a sentence, to be freed, where it is not. */
bool openapi_is_valid(const struct openapi *o, const char *schema, const json_t *value, char **why);

#endif
