/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What stands behind the message of a log line: key=value pairs, escaped strictly, and the same as JSON.
 */
#include "common/json.h"
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct out {
	char *to;
	size_t size, n;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->size)
		o->to[o->n] = c;
	o->n++;
}

static void put_all(struct out *o, const char *s)
{
	while (*s)
		put(o, *s++);
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static void put_escaped(struct out *o, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || *s == '\n')
			put(o, '\\');
		put(o, *s == '\n' ? 'n' : is_control(*s) ? '?' : *s);
	}
}

/* A value without quotes, which gets some where it needs them. */
static void put_bare(struct out *o, const char *s)
{
	bool is_plain = true;

	for (const char *c = s; *c; c++)
		is_plain &= !is_control(*c) && !strchr(" \"\\=", *c);
	if (is_plain) {
		put_all(o, s);
		return;
	}
	put(o, '"');
	put_escaped(o, s);
	put(o, '"');
}

static void put_words(struct out *o, const char *s)
{
	for (; *s; s++)
		put(o, is_control(*s) ? '?' : *s);
}

/* One conversion, of those that log lines have: s with a precision, whole numbers of any length, floating point. */
struct conversion {
	char spec[32];
	int n_longs; /* l, ll; z counts as one */
	char type;
	bool has_star;
};

static const char *read_conversion(const char *f, struct conversion *c)
{
	size_t n = strspn(f + 1, "-+ #0123456789.*lz") + 2;

	memset(c, 0, sizeof(*c));
	if (n >= sizeof(c->spec) || !f[n - 1])
		return NULL;
	memcpy(c->spec, f, n);
	c->type = f[n - 1];
	for (const char *at = c->spec; *at; at++) {
		c->n_longs += *at == 'l' || *at == 'z';
		c->has_star |= *at == '*';
	}
	return strchr("sdiuxXgfc%", c->type) ? f + n : NULL;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void format_one(const struct conversion *c, va_list *ap, char *text, size_t size)
{
	if (c->type == 's' && c->has_star) {
		int n = va_arg(*ap, int);

		snprintf(text, size, c->spec, n, va_arg(*ap, const char *));
	} else if (c->type == 's') {
		snprintf(text, size, c->spec, va_arg(*ap, const char *));
	} else if (c->type == 'g' || c->type == 'f') {
		snprintf(text, size, c->spec, va_arg(*ap, double));
	} else if (c->type == '%') {
		snprintf(text, size, "%%");
	} else if (c->n_longs > 1) {
		snprintf(text, size, c->spec, va_arg(*ap, long long));
	} else if (c->n_longs) { /* size_t is as long */
		snprintf(text, size, c->spec, va_arg(*ap, long));
	} else {
		snprintf(text, size, c->spec, va_arg(*ap, int));
	}
}
#pragma GCC diagnostic pop

/* last: the character of the format in front of it; next: behind. */
static void put_text(struct out *o, const char *text, bool is_quoted, char last, char next)
{
	if (is_quoted)
		put_escaped(o, text);
	else if (last == '=' && (next == ' ' || !next))
		put_bare(o, text);
	else
		put_words(o, text); /* a whole " key=value" */
}

size_t log_format_v(char *to, size_t size, const char *kv, va_list *ap)
{
	struct out o = { to, size, 0 };
	bool is_quoted = false;
	char last = ' ';

	for (const char *f = kv; *f;) {
		struct conversion c;
		char text[LOG_LINE_MAX];
		const char *next = *f == '%' ? read_conversion(f, &c) : f + 1;

		if (!next)
			break;
		is_quoted ^= *f == '"';
		if (*f == '%') {
			format_one(&c, ap, text, sizeof(text));
			put_text(&o, text, is_quoted, last, *next);
		} else {
			put(&o, *f);
		}
		last = *f;
		f = next;
	}
	if (size)
		to[o.n < size ? o.n : size - 1] = '\0';
	return o.n;
}

size_t log_format(char *to, size_t size, const char *kv, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, kv);
	n = log_format_v(to, size, kv, &ap);
	va_end(ap);
	return n;
}

/* --- the same as JSON */

/* 12, -3, 0.25: as JSON has them, and exact in every reader. */
static bool is_number(const char *s)
{
	size_t n;

	s += *s == '-';
	n = strspn(s, "0123456789");
	if (!n || n > 15 || (s[0] == '0' && n > 1))
		return false;
	if (s[n] == '.') {
		s += n + 1;
		n = strspn(s, "0123456789");
		if (!n || n > 15)
			return false;
	}
	return !s[n];
}

static void put_member(struct buf *json, const char *key, const char *value, bool is_text)
{
	if (is_text || !is_number(value)) {
		jput_str(json, key, value);
		return;
	}
	buf_printf(json, "%s\"%s\":%s", json->size && json->data[json->size - 1] == '{' ? "" : ",", key, value);
}

/* The value at *at, with what it is escaped by taken away; *at ends behind it. true: it was quoted. */
static bool read_value(const char **at, char *value, size_t size)
{
	bool is_quoted = **at == '"';
	size_t n = 0;

	*at += is_quoted;
	while (**at && **at != (is_quoted ? '"' : ' ')) {
		char c = *(*at)++;

		if (c == '\\' && is_quoted && **at) {
			c = *(*at)++;
			c = c == 'n' ? '\n' : c;
		}
		if (n + 1 < size)
			value[n++] = c;
	}
	value[n] = '\0';
	*at += is_quoted && **at == '"';
	return is_quoted;
}

void log_put_json(struct buf *json, const char *line)
{
	while (*(line += strspn(line, " "))) {
		size_t n = strcspn(line, "= ");
		char key[64], value[LOG_LINE_MAX];
		bool is_text;

		snprintf(key, sizeof(key), "%.*s", (int)(n < sizeof(key) ? n : sizeof(key) - 1), line);
		for (char *c = key; *c; c++)
			*c = *c == '"' || *c == '\\' || (unsigned char)*c >= 0x7f ? '?' : *c;
		line += n;
		if (*line != '=') { /* no pair: what it may be stands under its own name */
			put_member(json, key, "", true);
			continue;
		}
		line++;
		is_text = read_value(&line, value, sizeof(value));
		put_member(json, key, value, is_text);
	}
}
