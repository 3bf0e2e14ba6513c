/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a person may want of a stream, from the command line or over the API. Each writes to Redis what is to be, and then tells all
 * dispatchers to look: the owner acts, or whoever becomes that. What was accepted stays so whoever dies.
 */
#ifndef SEGFARM_DISPATCHER_COMMAND_H
#define SEGFARM_DISPATCHER_COMMAND_H

#include "common/store.h"

#include <jansson.h>

/* All that live, by id, with what they say of themselves; NULL: err says why. To be given to json_decref. */
json_t *command_list_dispatchers(struct store *store, struct err *err);

/* Accepts a source that one of the dispatchers allows (where there is none, the one that comes will see). 1 it is new, 0 it was there
 * and is made from now on as it is wanted now, unless it has failed before: *what is its record. ERR_USAGE: it is no source. */
int command_submit(struct store *store, const json_t *dispatchers, const char *path, const struct record_options *options,
		   bool is_on_demand, char key[RECORD_KEY_SIZE], struct store_stream *what, struct err *err);
/* Makes nothing more of it ahead. Of all of these: 1 done, 0 there is no such stream. */
int command_cancel(struct store *store, const json_t *dispatchers, const char *key, struct err *err);
/* Tries again what could not be made; one that was cancelled is made again. */
int command_retry(struct store *store, const json_t *dispatchers, const char *key, struct err *err);
/* Removes it, and all that was made of it. */
int command_remove(struct store *store, const json_t *dispatchers, const char *key, struct err *err);

#endif
