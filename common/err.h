/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Errors: a code that says what the caller must do, and a sentence for a person.
 * Fallible functions return 0 (done) or a negative enum err_code, and fill *err.
 * Functions that iterate return 1 for "got one", 0 for "end".
 */
#ifndef SEGFARM_COMMON_ERR_H
#define SEGFARM_COMMON_ERR_H

enum err_code {
	ERR_RETRY = -1,       /* I/O, time-out, store: the same call may succeed later */
	ERR_DATA = -2,        /* the bytes are wrong: give up on them */
	ERR_UNSUPPORTED = -3, /* the bytes are right, we cannot use them: give up */
	ERR_LIMIT = -4,       /* over a named limit: give up */
	ERR_STOPPED = -5,     /* cancelled or asked to stop */
	ERR_NOMEM = -6,       /* allocation failed */
	ERR_USAGE = -7,       /* the caller (a user, an operator) asked for something impossible */
	ERR_STORE = -8,       /* of a job: its worker had trouble with the store: wait for that */
};

struct err {
	int code;      /* 0 or an enum err_code */
	char msg[400]; /* one sentence without a final newline */
};

/* Fills *err and returns code. err may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "<prefix>: " before the message that is there; returns err->code. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "retry", "data", "unsupported", "limit", "stopped", "nomem", "usage", "store": the wire form of a code. */
const char *err_code_name(int code);
/* The inverse; an unknown name is ERR_DATA. */
int err_code_from_name(const char *name);

/* Aborts with file and line: for our own bugs only, on in release. */
#define ASSERT(cond) ((cond) ? (void)0 : err_assert_failed(#cond, __FILE__, __LINE__))
void err_assert_failed(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
