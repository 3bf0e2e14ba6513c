/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What comes in an HTTP request: its path, header fields, a body of the API, a signature, the URL of a source.
 */
#include "tests/fuzz/fuzz.h"

#include "common/allow.h"
#include "common/key.h"
#include "dispatcher/access.h"
#include "dispatcher/api.h"
#include "dispatcher/http.h"
#include "dispatcher/http_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_path(const char *path)
{
	struct http_target target;

	http_parse_path(path, &target);
	if (target.what == HTTP_SEGMENT)
		ASSERT(target.name > path && target.name < path + strlen(path));
	ASSERT(!target.key[0] || target.what == HTTP_NOTHING || key_is_valid(target.key));
	ASSERT(strlen(http_allowed_methods(&target)) > 0);
}

static void read_range(const char *text)
{
	uint64_t sizes[] = { 0, 1, 1000, UINT64_MAX }, first, last;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (http_header_range(text, sizes[i], &first, &last) == 1)
			ASSERT(first <= last && last < sizes[i]);
}

static void read_host(const char *text)
{
	http_header_is_loopback(text);
	http_header_is_same_origin(text, text);
	http_header_is_type(text, "application/json");
	ASSERT(!http_header_bearer(text) || strlen(http_header_bearer(text)) < strlen(text));
}

/* What is taken is the same stream when it is written as the API writes it. */
static void read_body(struct bytes in)
{
	static struct api_submit first, second;
	struct record_source source = { .path = "/x" };
	char key[RECORD_KEY_SIZE], again[RECORD_KEY_SIZE];
	struct buf json = { 0 };
	struct err err;

	if (api_get_submit(in, &first, &err)) {
		ASSERT(err.code < 0);
		return;
	}
	buf_put_str(&json, "{\"source\":\"/x\",\"options\":{");
	api_put_options(&first.options, &json);
	buf_put_str(&json, "}}");
	ASSERT(!api_get_submit(buf_bytes(&json), &second, &err));
	key_derive_source(&source, &first.options, key);
	key_derive_source(&source, &second.options, again);
	ASSERT(!strcmp(key, again));
	buf_finish(&json);
}

static void read_signature(const char *text)
{
	static struct access access = { .has_keys = true, .n_keys = 1 };
	int64_t expires;

	crypto_auth_hmacsha512256_init(&access.keys[0], (const uint8_t *)"a key that nobody knows, surely", 31);
	ASSERT(access_check(&access, text, text, text, 0, &expires) == -1);
	ASSERT(access_check(&access, "/", "2000000000", text, 0, &expires) == -1);
	ASSERT(!access_has_token(&access, text));
}

/* What is allowed is beneath the prefix, in the one form that there is of it. */
static void read_source(const char *text)
{
	char form[ALLOW_URL_MAX], again[ALLOW_URL_MAX], prefix[] = "http://host:80/films", *prefixes[] = { prefix };
	struct allow allow = { .urls = prefixes, .n_urls = 1 };
	struct err err;
	bool is_url = allow_form(text, form);

	if (is_url)
		ASSERT(allow_form(form, again) && !strcmp(form, again));
	if (allow_url(&allow, text, &err))
		return;
	ASSERT(is_url && !strncmp(form, prefix, strlen(prefix)) && strchr("/?", form[strlen(prefix)]));
	ASSERT(!memmem(form, strcspn(form, "?"), "/../", 4));
}

/* Which of them; then the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	unsigned kind = (unsigned)fuzz_uint(&in, 1) % 8;
	char *text = strndup((const char *)in.data, in.size);

	ASSERT(text);
	if (kind == 0)
		read_path(text);
	else if (kind == 1)
		read_range(text);
	else if (kind == 2)
		http_header_has_tag(text, "\"0011223344556677\"");
	else if (kind == 3)
		http_header_takes_gzip(text);
	else if (kind == 4)
		read_host(text);
	else if (kind == 5)
		read_body(in);
	else if (kind == 6)
		read_signature(text);
	else
		read_source(text);
	free(text);
	return 0;
}
