/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/access.h"

#include "common/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "segfarm-url-1" /* what is signed is no other program's, and of this form */
#define KEY_SIZE 32
#define SIGNATURE_SIZE 16
#define DIGITS_MAX 12        /* of a second */
#define TEXT_SIZE 23         /* of a signature, with its NUL */

static int add_token(void *arg, const char *token)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
	struct access *a = arg;
	size_t n = strlen(token);

	if (n < ACCESS_TOKEN_MIN || n > ACCESS_TOKEN_MAX || strspn(token, letters) != n || a->n_tokens == ACCESS_TOKENS)
		return ERR_DATA;
	return crypto_generichash(a->tokens[a->n_tokens++], crypto_generichash_BYTES, (const uint8_t *)token, n, NULL, 0);
}

static int add_key(void *arg, const char *hex)
{
	uint8_t key[KEY_SIZE];
	struct access *a = arg;
	size_t size;

	if (a->n_keys == ACCESS_KEYS || strlen(hex) != 2 * KEY_SIZE ||
	    sodium_hex2bin(key, sizeof(key), hex, 2 * KEY_SIZE, NULL, &size, NULL) || size != KEY_SIZE)
		return ERR_DATA;
	crypto_auth_hmacsha512256_init(&a->keys[a->n_keys], key, sizeof(key));
	crypto_auth_hmacsha512256_update(&a->keys[a->n_keys++], (const uint8_t *)MARK, sizeof(MARK));
	explicit_bzero(key, sizeof(key));
	return 0;
}

int access_load(struct access *access, const char *token_file, const char *key_file, struct err *err)
{
	struct access *a = calloc(1, sizeof(*a));
	int ret = 0;

	if (!a)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->has_tokens = token_file;
	a->has_keys = key_file;
	if (token_file)
		ret = keys_read_secrets(token_file, "a token of 16 to 200 letters, digits or -._~+/=", add_token, a, err);
	if (!ret && token_file && !a->n_tokens)
		ret = err_set(err, ERR_USAGE, "there is no token in %.200s", token_file);
	if (!ret && key_file)
		ret = keys_read_secrets(key_file, "one of at most 4 keys of 64 hexadecimal digits", add_key, a, err);
	if (!ret && key_file && !a->n_keys)
		ret = err_set(err, ERR_USAGE, "there is no key in %.200s", key_file);
	if (!ret)
		*access = *a;
	explicit_bzero(a, sizeof(*a));
	free(a);
	return ret;
}

void access_finish(struct access *access)
{
	explicit_bzero(access, sizeof(*access));
}

/* Looks at all of them, so that the time it takes tells nothing. */
bool access_has_token(const struct access *access, const char *token)
{
	uint8_t hash[crypto_generichash_BYTES];
	int n = 0;

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)token, strlen(token), NULL, 0);
	for (int i = 0; i < access->n_tokens; i++)
		n += sodium_memcmp(hash, access->tokens[i], sizeof(hash)) == 0;
	return n > 0;
}

static void compute(const struct access *access, int key, const char *path, const char *expires, char text[TEXT_SIZE])
{
	crypto_auth_hmacsha512256_state state = access->keys[key];
	uint8_t sum[crypto_auth_hmacsha512256_BYTES];

	crypto_auth_hmacsha512256_update(&state, (const uint8_t *)expires, strlen(expires) + 1);
	crypto_auth_hmacsha512256_update(&state, (const uint8_t *)path, strlen(path));
	crypto_auth_hmacsha512256_final(&state, sum);
	sodium_bin2base64(text, TEXT_SIZE, sum, SIGNATURE_SIZE, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void access_sign(const struct access *access, const char *path, int64_t expires, char query[ACCESS_QUERY_SIZE])
{
	char second[DIGITS_MAX + 1], text[TEXT_SIZE];

	snprintf(second, sizeof(second), "%" PRId64, expires);
	compute(access, 0, path, second, text);
	snprintf(query, ACCESS_QUERY_SIZE, "e=%s&s=%s", second, text);
}

int access_check(const struct access *access, const char *path, const char *e, const char *s, int64_t now, int64_t *expires)
{
	char text[TEXT_SIZE];
	int n = 0;

	if (!e || !s || strlen(s) != TEXT_SIZE - 1 || strlen(e) > DIGITS_MAX || e[strspn(e, "0123456789")])
		return -1;
	for (int i = 0; i < access->n_keys; i++) {
		compute(access, i, path, e, text);
		n += sodium_memcmp(s, text, TEXT_SIZE - 1) == 0;
	}
	if (!n)
		return -1;
	*expires = strtoll(e, NULL, 10);
	return *expires > now;
}
