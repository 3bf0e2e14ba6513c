/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * EBML (RFC 8794) over bytes in memory: element headers, values, and masters read by a table.
 * Nothing here allocates; views are of the bytes that were given.
 */
#ifndef SEGFARM_WORKER_EBML_H
#define SEGFARM_WORKER_EBML_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define EBML_ID_HEADER 0x1A45DFA3
#define EBML_ID_VOID 0xEC
#define EBML_ID_CRC32 0xBF

/* Most bytes ebml_read may be given: what stands behind any element's end is still far from overflowing. */
#define LIMIT_EBML_FILE (INT64_C(1) << 60)
#define EBML_HEADER_MAX 12 /* bytes of an ID and a size */

/* Masters within masters that a table may ask for. */
#define LIMIT_EBML_DEPTH 8

/* Offsets are absolute. data <= the bound it was read under; end may lie beyond it. */
struct ebml_element {
	uint32_t id;     /* with its marker bits, as the specification writes it */
	bool is_unknown; /* of unknown size: end is INT64_MAX */
	int64_t start, data, end;
};

/* A variable-size integer at p, of which n bytes are there: *value without the marker, returns its length 1..8;
 * 0: broken (first byte 0) or cut. */
int ebml_vint(const uint8_t *p, size_t n, uint64_t *value);
/* True if the integer of that length is the reserved "unknown" (all value bits 1). */
bool ebml_vint_is_unknown(uint64_t value, int length);
/* The element header at `at`, all of it in front of `bound` <= file.size. False: there is none (broken or cut). */
bool ebml_read(struct bytes file, int64_t at, int64_t bound, struct ebml_element *e);

/* Values. False and *v untouched: a length that the type cannot have, or 0 (which means the default). */
bool ebml_uint(struct bytes data, uint64_t *v);
bool ebml_int(struct bytes data, int64_t *v);
bool ebml_float(struct bytes data, double *v);

enum ebml_type {
	EBML_UINT = 1, /* uint64_t */
	EBML_INT,      /* int64_t */
	EBML_FLOAT,    /* double */
	EBML_STRING,   /* struct bytes, without the padding NULs */
	EBML_BINARY,   /* struct bytes */
	EBML_MASTER,   /* its children go into the same struct */
};

/* One row of a table, which ends with a row of id 0. */
struct ebml_field {
	uint32_t id;
	enum ebml_type type;
	size_t offset;                   /* where the value goes in the caller's struct */
	size_t limit;                    /* STRING, BINARY: most bytes */
	const char *name;                /* for messages */
	const struct ebml_field *fields; /* MASTER */
};

/* Reads the children between at and bound into *out, which the caller has filled with defaults. What is not in the table,
 * has a broken value or is cut is passed over, at a broken header it stops: what could be read is there. The last of
 * several wins. Fails with ERR_LIMIT only. */
int ebml_parse(struct bytes file, int64_t at, int64_t bound, const struct ebml_field *fields, void *out, struct err *err);

#endif
