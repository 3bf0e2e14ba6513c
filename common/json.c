/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/json.h"

#include "common/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 64 /* of one of our field names */

/* --- writing */

/* The comma is owed unless something was opened just now. */
static void put_name(struct buf *b, const char *name)
{
	uint8_t last = b->size ? b->data[b->size - 1] : 0;
	if (last != '{' && last != '[')
		buf_put_u8(b, ',');
	if (name) {
		buf_put_u8(b, '"');
		buf_put_str(b, name);
		buf_put(b, "\":", 2);
	}
}

void jput_begin(struct buf *b)
{
	buf_put_u8(b, '{');
}

void jput_open(struct buf *b, const char *name, char bracket)
{
	put_name(b, name);
	buf_put_u8(b, (uint8_t)bracket);
}

void jput_close(struct buf *b, char bracket)
{
	buf_put_u8(b, (uint8_t)bracket);
}

void jput_int(struct buf *b, const char *name, int64_t v)
{
	put_name(b, name);
	if (v == INT64_MAX)
		buf_put(b, "null", 4);
	else
		buf_printf(b, "%" PRId64, v);
}

/* v of 1/10^places, without zeros at the end. */
static void put_decimal(struct buf *b, const char *name, int64_t v, int places)
{
	char digits[24];
	int64_t one = 1;
	size_t n;

	for (int i = 0; i < places; i++)
		one *= 10;
	put_name(b, name);
	buf_printf(b, "%" PRId64, v / one);
	n = (size_t)snprintf(digits, sizeof(digits), "%0*" PRId64, places, v % one);
	while (n && digits[n - 1] == '0')
		n--;
	if (n)
		buf_printf(b, ".%.*s", (int)n, digits);
}

void jput_thousandths(struct buf *b, const char *name, int64_t v)
{
	put_decimal(b, name, v, 3);
}

void jput_ticks(struct buf *b, const char *name, int64_t ticks)
{
	put_decimal(b, name, timeline_scale_round(ticks, 1000000, TICKS_PER_SECOND), 6);
}

void jput_bool(struct buf *b, const char *name, bool v)
{
	put_name(b, name);
	buf_put_str(b, v ? "true" : "false");
}

void jput_null(struct buf *b, const char *name)
{
	put_name(b, name);
	buf_put(b, "null", 4);
}

static bool is_utf8(const char *s)
{
	json_t *j = json_string(s);
	json_decref(j);
	return j != NULL;
}

static void put_quoted(struct buf *b, const char *s, bool is_ascii_only)
{
	buf_put_u8(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			buf_put_u8(b, '\\');
			buf_put_u8(b, c);
		} else if (c < 0x20) {
			buf_printf(b, "\\u%04x", c);
		} else {
			buf_put_u8(b, is_ascii_only && c >= 0x80 ? '?' : c);
		}
	}
	buf_put_u8(b, '"');
}

void jput_str(struct buf *b, const char *name, const char *s)
{
	put_name(b, name);
	put_quoted(b, s, !is_utf8(s));
}

void jput_raw(struct buf *b, const char *name, const char *s)
{
	if (is_utf8(s)) {
		jput_str(b, name, s);
		return;
	}
	char hex_name[NAME_MAX_BYTES];
	snprintf(hex_name, sizeof(hex_name), "%s_hex", name);
	put_name(b, hex_name);
	buf_put_u8(b, '"');
	for (; *s; s++)
		buf_printf(b, "%02x", (unsigned char)*s);
	buf_put_u8(b, '"');
}

int jput_result(const struct buf *b, size_t start, size_t limit)
{
	if (buf_failed(b))
		return ERR_NOMEM;
	return b->size - start > limit ? ERR_LIMIT : 0;
}

/* --- reading */

int jget_parse(json_t **root, struct bytes json, size_t limit, const char *what, struct err *err)
{
	*root = NULL;
	if (json.size > limit)
		return err_set(err, ERR_LIMIT, "the %s has %zu bytes, over the limit of %zu", what, json.size, limit);
	if (!json.size)
		return err_set(err, ERR_DATA, "the %s is empty", what);
	json_error_t e;
	*root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &e);
	if (!*root) {
		bool is_nomem = json_error_code(&e) == json_error_out_of_memory;
		return err_set(err, is_nomem ? ERR_NOMEM : ERR_DATA, "the %s is not JSON, at byte %d: %s", what,
			       e.position, e.text);
	}
	if (json_is_object(*root))
		return 0;
	json_decref(*root);
	*root = NULL;
	return err_set(err, ERR_DATA, "the %s is not a JSON object", what);
}

struct jget jget_begin(const json_t *object, const char *what, struct err *err)
{
	return (struct jget){ .object = object, .what = what, .err = err };
}

int jget_end(struct jget *g)
{
	if (!g->code && json_object_size(g->object) != g->n_read)
		g->code = err_set(g->err, ERR_DATA, "the %s has unknown fields", g->what);
	return g->code;
}

int jget_fail(struct jget *g, const char *name, const char *why)
{
	if (!g->code)
		g->code = err_set(g->err, ERR_DATA, "the %s is wrong: %s %s", g->what, name, why);
	return g->code;
}

bool jget_has(const struct jget *g, const char *name)
{
	return json_object_get(g->object, name) != NULL;
}

/* The field, counted; NULL after an error. */
static const json_t *get_field(struct jget *g, const char *name)
{
	if (g->code)
		return NULL;
	const json_t *v = json_object_get(g->object, name);
	if (!v)
		jget_fail(g, name, "is missing");
	else
		g->n_read++;
	return v;
}

int64_t jget_int(struct jget *g, const char *name, int64_t min, int64_t max)
{
	const json_t *v = get_field(g, name);
	if (!v)
		return 0;
	if (!json_is_integer(v)) {
		jget_fail(g, name, "is not an integer");
		return 0;
	}
	int64_t n = json_integer_value(v);
	if (n < min || n > max) {
		jget_fail(g, name, "is out of its range");
		return 0;
	}
	return n;
}

bool jget_bool(struct jget *g, const char *name)
{
	const json_t *v = get_field(g, name);
	if (v && !json_is_boolean(v))
		jget_fail(g, name, "is not a boolean");
	return v && json_is_true(v);
}

void jget_str(struct jget *g, const char *name, char *out, size_t size, const char *allowed)
{
	out[0] = 0;
	const json_t *v = get_field(g, name);
	if (!v)
		return;
	if (!json_is_string(v)) {
		jget_fail(g, name, "is not a string");
		return;
	}
	/* The parser has refused NUL within a string. */
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);
	if (n >= size)
		jget_fail(g, name, "is too long");
	else if (allowed && strspn(s, allowed) != n)
		jget_fail(g, name, "has characters that do not belong there");
	else
		memcpy(out, s, n + 1);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(const char *hex, char *out)
{
	for (; *hex; hex += 2, out++) {
		int high = hex_digit(hex[0]);
		int low = high < 0 ? -1 : hex_digit(hex[1]);
		if (low < 0 || high * 16 + low == 0)
			return false;
		*out = (char)(high * 16 + low);
	}
	*out = 0;
	return true;
}

void jget_raw(struct jget *g, const char *name, char *out, size_t size)
{
	if (jget_has(g, name)) {
		jget_str(g, name, out, size, NULL);
		return;
	}
	char hex_name[NAME_MAX_BYTES];
	snprintf(hex_name, sizeof(hex_name), "%s_hex", name);
	out[0] = 0;
	const json_t *v = get_field(g, hex_name);
	if (!v)
		return;
	if (!json_is_string(v))
		jget_fail(g, hex_name, "is not a string");
	else if (json_string_length(v) / 2 >= size)
		jget_fail(g, hex_name, "is too long");
	else if (!unhex(json_string_value(v), out)) {
		jget_fail(g, hex_name, "is not hexadecimal");
		out[0] = 0;
	}
}

const json_t *jget_object_or_null(struct jget *g, const char *name)
{
	const json_t *v = get_field(g, name);
	if (v && !json_is_object(v) && !json_is_null(v))
		jget_fail(g, name, "is neither an object nor null");
	return v && json_is_object(v) ? v : NULL;
}

const json_t *jget_array(struct jget *g, const char *name, size_t min, size_t max)
{
	const json_t *v = get_field(g, name);
	if (!v)
		return NULL;
	if (!json_is_array(v))
		jget_fail(g, name, "is not an array");
	else if (json_array_size(v) < min || json_array_size(v) > max)
		jget_fail(g, name, "has too few or too many elements");
	return g->code ? NULL : v;
}

bool jget_row(const json_t *row, int64_t *v, size_t n)
{
	if (!json_is_array(row) || json_array_size(row) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(row, i);
		if (!json_is_integer(e) && !json_is_null(e))
			return false;
		v[i] = json_is_null(e) ? INT64_MAX : json_integer_value(e);
	}
	return true;
}
