/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Log: one line to stderr per call, one write(2), never interleaved; logfmt, or a JSON object.
 *   ts=2026-01-02T03:04:05.678Z level=info prog=segfarm msg="segment done" stream=ab.. start=0
 *   {"ts":"2026-01-02T03:04:05.678Z","level":"info","prog":"segfarm","msg":"segment done","stream":"ab..","start":0}
 */
#ifndef SEGFARM_COMMON_LOG_H
#define SEGFARM_COMMON_LOG_H

#include "common/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX 4096 /* bytes; a longer one is cut. At most PIPE_BUF, so that a pipe does not interleave it either */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* prog is kept by pointer; lines above level are dropped. Default: "segfarm", warn. */
void log_init(const char *prog, enum log_level level);
void log_set_json(bool is_json); /* default: logfmt */
/* "error", "warn", "info", "debug"; -1: none of these */
int log_level_from_name(const char *name);
/* kv: a printf format that gives `key=value key="value with spaces"` (may be ""). What its %s are is escaped here, whatever it is, and
 * quoted where it has to be, but for one that stands for whole ` key=value` pairs. */
void log_line(enum log_level level, const char *msg, const char *kv, ...) __attribute__((format(printf, 3, 4)));

/* For lines that others can cause at will: ten at once, then one a second. true: this one may be written, and *unsaid of them were
 * not since the last. Zeroed to begin with. */
struct log_limit {
	int64_t next_ms;
	unsigned unsaid;
};
bool log_may(struct log_limit *limit, unsigned *unsaid);

/* Pure, for tests and for those who write such lines elsewhere: appends to a text of `size` bytes what fits, with a NUL. Returns the length
 * of all of it. */
size_t log_format(char *to, size_t size, const char *kv, ...) __attribute__((format(printf, 3, 4)));
size_t log_format_v(char *to, size_t size, const char *kv, va_list *ap);
/* The same as the members of a JSON object, each with a comma in front. */
void log_put_json(struct buf *json, const char *line);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
