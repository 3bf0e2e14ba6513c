/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two servers that belong together: each has "<role>:<id>" in <prefix>data, and the ids are the same. So nobody works beside a farm who has
 * one of its servers only, or another one for the segments: it would write pieces where nobody looks, and find none. That is looked at
 * after each new connection to either of them, and with each ping.
 *
 * A data server that has no id is new, or was emptied: whoever sees that gives it a new one, which the state is told, too. So the one
 * that it takes the place of is no longer taken for the right one. A state that has none was emptied: it is given that of the data.
 */
#include "common/store_internal.h"

#include "common/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define ID_SIZE 17 /* 16 hex digits and NUL */
#define VALUE_MAX 64
#define TRIES 20   /* who was right before asks again by himself */
#define WAIT_MS 50 /* before another try: somebody else may just be giving them a new one */

static const char of_state[] = "state", of_data[] = "data";

/* 1 and id; where something else stands there, id is the role: not the same on both, and no id. 0: nothing does, and id is "". */
static int get_id(struct store *s, const char *role, char id[ID_SIZE], struct err *err)
{
	char key[STORE_KEY_MAX];
	struct buf value = { 0 };
	size_t n = strlen(role);

	id[0] = '\0';
	store_common_key(s, key, "data", "");
	int rc = store_get_string(s, key, &value, VALUE_MAX, err);
	const char *text = buf_cstr(&value);
	if (rc == 1 && !text)
		rc = err_set(err, ERR_NOMEM, "out of memory");
	if (rc == 1) {
		bool is_id = store_begins_with(text, role) && text[n] == ':' && key_is_valid(text + n + 1);

		snprintf(id, ID_SIZE, "%s", is_id ? text + n + 1 : role);
	}
	buf_finish(&value);
	return rc;
}

static int set_id(struct store *s, const char *role, const char *id, bool is_first, struct err *err)
{
	char key[STORE_KEY_MAX];

	store_common_key(s, key, "data", "");
	return store_do(s, key, err, is_first ? "SET %s %s:%s NX" : "SET %s %s:%s", key, role, id);
}

static int refuse_pair(const struct store *s, struct err *err)
{
	return err_set(err, ERR_USAGE, "Redis at %.100s and %.100s are not state and data of one farm; if they are to be so from now on: DEL %.40sdata on the first",
		       s->name, s->data->name, s->prefix);
}

/* The state first: whoever dies in between leaves a data server that has none yet. The data server has the last word where several do it. */
static int give_new_id(struct store *s, struct err *err)
{
	char id[ID_SIZE], given[ID_SIZE];
	char key[STORE_KEY_MAX];
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_set(err, ERR_RETRY, "no random numbers");
	snprintf(id, sizeof(id), "%016" PRIx64, random);
	int rc = set_id(s, of_state, id, false, err);
	if (!rc)
		rc = set_id(s->data, of_data, id, true, err);
	if (!rc)
		rc = get_id(s->data, of_data, given, err);
	if (rc < 0 || !strcmp(given, id))
		return rc < 0 ? rc : 0;
	if (key_is_valid(given))
		return set_id(s, of_state, given, false, err);
	/* both URLs lead to the same server, which had none */
	store_common_key(s, key, "data", "");
	rc = store_do(s, key, err, "DEL %s", key);
	return rc ? rc : refuse_pair(s, err);
}

static int check_two(struct store *s, struct err *err)
{
	char state[ID_SIZE], data[ID_SIZE];

	for (int try = 0; try < (s->was_paired ? 2 : TRIES); try++) {
		if (try)
			nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000 }, NULL);
		int rc = get_id(s, of_state, state, err);
		if (rc >= 0)
			rc = get_id(s->data, of_data, data, err);
		if (rc < 0)
			return rc;
		if (!data[0])
			return give_new_id(s, err);
		if (!strcmp(state, data))
			return 0;
		if (!state[0] && key_is_valid(data))
			rc = set_id(s, of_state, data, true, err);
		if (rc < 0)
			return rc;
	}
	return refuse_pair(s, err);
}

static int check_one(struct store *s, struct err *err)
{
	char id[ID_SIZE];
	int rc = get_id(s, of_state, id, err);

	if (rc <= 0)
		return rc;
	return err_set(err, ERR_USAGE, "Redis at %.100s is one of the two servers of a farm: give the URLs of both, \"STATE DATA\"; if it is to be alone from now on: DEL %.40sdata",
		       s->name, s->prefix);
}

int store_check_pair(struct store *s, struct err *err)
{
	int rc;

	s->pair = STORE_PAIR_ASKING;
	rc = s->data == s ? check_one(s, err) : check_two(s, err);
	s->pair = rc ? STORE_PAIR_UNKNOWN : STORE_PAIR_KNOWN;
	if (rc == ERR_USAGE && s->was_paired) { /* as with a password: it may be right again */
		s->troubles++;
		rc = ERR_RETRY;
		if (err)
			err->code = rc;
	}
	s->was_paired |= !rc;
	return rc;
}
