/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Access: the tokens of those who may use the API, and the signatures of URLs that may be played.
 *
 *   token file    a token a line, of 16 to 200 characters of [A-Za-z0-9-._~+/=] (RFC 6750), perhaps a remark behind it
 *   URL key file  a key a line, 64 hexadecimal digits: the first one signs, all are accepted, so that a new one can be put in front
 *
 * Both files are for nobody else's eyes (mode 0600). A signature is for one path and ends with a second; it stands in the query as
 * "e=SECOND&s=SIGNATURE" (seconds since 1970; 128 bits of HMAC-SHA-512-256 in base64url).
 */
#ifndef SEGFARM_DISPATCHER_ACCESS_H
#define SEGFARM_DISPATCHER_ACCESS_H

#include "common/err.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>

#define ACCESS_TOKEN_MIN 16
#define ACCESS_TOKEN_MAX 200
#define ACCESS_TOKENS 256     /* in a file */
#define ACCESS_KEYS 4
#define ACCESS_QUERY_SIZE 64  /* "e=...&s=..." and NUL */

struct access {
	bool has_tokens, has_keys;     /* there are such files */
	int n_tokens, n_keys;
	uint8_t tokens[ACCESS_TOKENS][crypto_generichash_BYTES];
	crypto_auth_hmacsha512256_state keys[ACCESS_KEYS]; /* that have taken the key in */
};

/* Reads the files (NULL: there is none) into *access, which stays what it was when one of them is missing or wrong: ERR_USAGE. */
int access_load(struct access *access, const char *token_file, const char *key_file, struct err *err);
void access_finish(struct access *access);

bool access_has_token(const struct access *access, const char *token);

/* The query of a URL with that path; keys must be there. */
void access_sign(const struct access *access, const char *path, int64_t expires, char query[ACCESS_QUERY_SIZE]);
/* 1 and *expires: it is signed and not over at `now`; 0 it is over; -1 it is not signed. e, s: of the query, NULL: not there. */
int access_check(const struct access *access, const char *path, const char *e, const char *s, int64_t now, int64_t *expires);

#endif
