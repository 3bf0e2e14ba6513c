/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * JSON, as records and messages use it. Writing: fields are put one after the other, commas come by themselves.
 * Reading: a reader on one object with a sticky error; every field must be there, of its type and in its range, and
 * no other field may be there (jget_end). The API's JSON is read otherwise, and written with these.
 */
#ifndef SEGFARM_COMMON_JSON_H
#define SEGFARM_COMMON_JSON_H

#include "common/buf.h"
#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void jput_begin(struct buf *b); /* the object that is the whole text: '{' */
/* name NULL: an element of an array. bracket: '{' or '['; close with '}' or ']'. */
void jput_open(struct buf *b, const char *name, char bracket);
void jput_close(struct buf *b, char bracket);
void jput_int(struct buf *b, const char *name, int64_t v); /* INT64_MAX as null */
void jput_thousandths(struct buf *b, const char *name, int64_t v); /* >= 0, as a decimal */
void jput_ticks(struct buf *b, const char *name, int64_t ticks);   /* >= 0, as seconds to the microsecond */
void jput_bool(struct buf *b, const char *name, bool v);
void jput_null(struct buf *b, const char *name);
/* Bytes that are not UTF-8 become '?': for sentences. Names are checked before they get here. */
void jput_str(struct buf *b, const char *name, const char *s);
/* Any bytes but NUL, exactly: as `name` when they are UTF-8, else in hexadecimal as `name`_hex. */
void jput_raw(struct buf *b, const char *name, const char *s);
/* What a put returns: 0, ERR_LIMIT over `limit` bytes, ERR_NOMEM. */
int jput_result(const struct buf *b, size_t start, size_t limit);

struct jget {
	const json_t *object;
	const char *what; /* named in messages: "job" */
	struct err *err;
	size_t n_read;    /* fields read, to find those that nobody asked for */
	int code;         /* sticky */
};

/* Parses one whole object of at most limit bytes. json_decref *root, which is NULL after an error. */
int jget_parse(json_t **root, struct bytes json, size_t limit, const char *what, struct err *err);
struct jget jget_begin(const json_t *object, const char *what, struct err *err);
/* 0, or the sticky error; ERR_DATA too when the object has more fields than were read. */
int jget_end(struct jget *g);
/* Remembers the first error. Returns g->code. */
int jget_fail(struct jget *g, const char *name, const char *why);

bool jget_has(const struct jget *g, const char *name);
int64_t jget_int(struct jget *g, const char *name, int64_t min, int64_t max);
bool jget_bool(struct jget *g, const char *name);
/* A string without NUL of at most size - 1 bytes; "" after an error. allowed: characters it may have, NULL: any. */
void jget_str(struct jget *g, const char *name, char *out, size_t size, const char *allowed);
void jget_raw(struct jget *g, const char *name, char *out, size_t size); /* jput_raw's */
/* An object or null (NULL). */
const json_t *jget_object_or_null(struct jget *g, const char *name);
/* An array of min to max elements; NULL after an error. */
const json_t *jget_array(struct jget *g, const char *name, size_t min, size_t max);
/* A row: an array of exactly n integers (null: INT64_MAX). */
bool jget_row(const json_t *row, int64_t *v, size_t n);

#endif
