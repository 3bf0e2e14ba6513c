/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	int code;
	const char *name;
} err_names[] = {
	{ ERR_RETRY, "retry" },     { ERR_DATA, "data" },   { ERR_UNSUPPORTED, "unsupported" }, { ERR_LIMIT, "limit" },
	{ ERR_STOPPED, "stopped" }, { ERR_NOMEM, "nomem" }, { ERR_USAGE, "usage" }, { ERR_STORE, "store" },
};
#define N_NAMES (sizeof(err_names) / sizeof(err_names[0]))

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (err) {
		/* An argument may point into *err itself: format aside first. */
		char msg[sizeof(err->msg)];
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(msg, sizeof(msg), fmt, ap);
		va_end(ap);
		memcpy(err->msg, msg, sizeof(msg));
		err->code = code;
	}
	return code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (!err)
		return ERR_DATA;
	char msg[sizeof(err->msg)];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	/* A sentence that grows too long loses its end. */
	if ((size_t)n < sizeof(msg) && snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", err->msg) < 0)
		msg[n] = 0;
	memcpy(err->msg, msg, sizeof(msg));
	return err->code;
}

const char *err_code_name(int code)
{
	for (size_t i = 0; i < N_NAMES; i++)
		if (err_names[i].code == code)
			return err_names[i].name;
	return "data";
}

int err_code_from_name(const char *name)
{
	for (size_t i = 0; i < N_NAMES; i++)
		if (!strcmp(err_names[i].name, name))
			return err_names[i].code;
	return ERR_DATA;
}

void err_assert_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "%s:%d: a bug: (%s) is false\n", file, line, cond);
	abort();
}
