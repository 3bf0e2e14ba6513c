/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys: the CURVE keys of dispatchers and workers, in text files. A key is 40 characters of Z85 (ZeroMQ RFC 32).
 *
 *   FILE      mode 0600, a pair:          public-key KEY
 *                                         secret-key KEY
 *   FILE.pub  the public one of it, and any list of public keys, one a line; what stands behind a key is a remark:
 *                                         KEY [REMARK]
 *
 * Lines that are empty or whose first word is # are passed over. Whatever else stands there is an error.
 */
#ifndef SEGFARM_COMMON_KEYS_H
#define SEGFARM_COMMON_KEYS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define KEYS_SIZE 41            /* a key's text and its end */
#define KEYS_FILE_MAX (1 << 20) /* bytes of a file */

struct keys_pair {
	char public_key[KEYS_SIZE], secret_key[KEYS_SIZE];
};

/* Makes a pair and writes both files. ERR_USAGE when there is one already: it is never overwritten. */
int keys_make(const char *path, struct keys_pair *pair, struct err *err);
/* ERR_USAGE: no such file, or not a pair, or others can read it. */
int keys_read_pair(const char *path, struct keys_pair *pair, struct err *err);
/* The one key of a file of public keys. */
int keys_read_public(const char *path, char key[KEYS_SIZE], struct err *err);

/* Calls fn with the first word of each line of a file that nobody else may read; fn returns 0, or < 0 for a word that is none of its
 * kind ("a token", for the message). */
int keys_read_secrets(const char *path, const char *kind, int (*fn)(void *arg, const char *word), void *arg, struct err *err);

/* A list of public keys that its file may change at any time. */
struct keys_list {
	const char *path;        /* the caller's */
	char (*keys)[KEYS_SIZE]; /* in order */
	size_t n;
	struct stat seen;        /* the file when it was read last */
};

/* path outlives the list. */
int keys_list_open(struct keys_list *list, const char *path, struct err *err);
/* Reads it again when the file is not the one that was read: 1 it was, 0 it is the same; < 0 it cannot be read, which is told once
 * for each change: the keys stay what they were. */
int keys_list_refresh(struct keys_list *list, struct err *err);
bool keys_list_has(const struct keys_list *list, const char *key);
void keys_list_finish(struct keys_list *list);

/* What is given of --keys FILE, --allow-workers FILE or --dispatcher-key FILE, and --insecure. */
struct keys_access {
	bool has_keys;
	bool is_insecure;           /* tcp without keys is meant */
	struct keys_pair pair;      /* ours */
	struct keys_list allowed;   /* a dispatcher's: of the workers that may connect */
	char server_key[KEYS_SIZE]; /* a worker's: which the dispatcher must have */
};

/* Reads the files, which outlive it, or does nothing where both are NULL. others: of the keys of the other side. ERR_USAGE: one of
 * them is missing or wrong. */
int keys_access_open(struct keys_access *access, const char *pair, const char *others, bool is_dispatcher, struct err *err);
void keys_access_finish(struct keys_access *access);

#endif
