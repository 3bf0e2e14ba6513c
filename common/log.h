/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Log: one logfmt line to stderr per call, one write(2), never interleaved.
 *   level=info prog=segfarm msg="segment done" stream=ab.. start=0
 */
#ifndef SEGFARM_COMMON_LOG_H
#define SEGFARM_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* prog is kept by pointer; lines above level are dropped. Default: "segfarm", warn. */
void log_init(const char *prog, enum log_level level);
/* kv: printf format giving `key=value key=value` (may be ""); values with spaces must be quoted by
 * the caller. msg is quoted here. */
void log_line(enum log_level level, const char *msg, const char *kv, ...) __attribute__((format(printf, 3, 4)));

/* For lines that others can cause at will: ten at once, then one a second. true: this one may be written, and *unsaid of them were
 * not since the last. Zeroed to begin with. */
struct log_limit {
	int64_t next_ms;
	unsigned unsaid;
};
bool log_may(struct log_limit *limit, unsigned *unsaid);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
