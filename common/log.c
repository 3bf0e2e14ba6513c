/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include "common/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BURST 10 /* lines of one limit */
#define EVERY_MS 1000
#define LINE_MAX_BYTES 4096 /* a longer line is cut; at most PIPE_BUF, so that a pipe does not interleave it either */

static const char *log_prog = "segfarm";
static enum log_level log_max = LOG_LEVEL_WARN;

struct line {
	char text[LINE_MAX_BYTES];
	size_t size; /* always leaves room for the newline */
};

static void line_put(struct line *l, char c)
{
	if (l->size < sizeof(l->text) - 1)
		l->text[l->size++] = c;
}

static void line_put_time(struct line *l)
{
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(l->text, sizeof(l->text), "ts=%Y-%m-%dT%H:%M:%S", &tm);
	l->size = n + (size_t)snprintf(l->text + n, sizeof(l->text) - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
}

static void line_put_quoted(struct line *l, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			line_put(l, '\\');
		if (c == '\n') {
			line_put(l, '\\');
			c = 'n';
		}
		line_put(l, c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
}

static void line_put_words(struct line *l, const char *s)
{
	for (; *s; s++)
		line_put(l, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void line_write(struct line *l)
{
	l->text[l->size++] = '\n';
	/* Nothing to be done when stderr is gone. */
	if (write(STDERR_FILENO, l->text, l->size) < 0)
		return;
}

void log_init(const char *prog, enum log_level level)
{
	log_prog = prog;
	log_max = level;
}

void log_line(enum log_level level, const char *msg, const char *kv, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	if (level > log_max)
		return;
	struct line l = { .size = 0 };
	line_put_time(&l);
	line_put_words(&l, " level=");
	line_put_words(&l, names[level]);
	line_put_words(&l, " prog=");
	line_put_words(&l, log_prog);
	line_put_words(&l, " msg=\"");
	line_put_quoted(&l, msg);
	line_put(&l, '"');

	char values[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, kv);
	int n = vsnprintf(values, sizeof(values), kv, ap);
	va_end(ap);
	if (n > 0) {
		line_put(&l, ' ');
		line_put_words(&l, values);
	}
	line_write(&l);
}

/* Each line takes the moment EVERY_MS further, and it may be BURST lines ahead of the clock. */
bool log_may(struct log_limit *limit, unsigned *unsaid)
{
	int64_t now_ms = proc_now_ms();

	if (limit->next_ms < now_ms)
		limit->next_ms = now_ms;
	if (limit->next_ms - now_ms >= BURST * EVERY_MS) {
		limit->unsaid++;
		return false;
	}
	limit->next_ms += EVERY_MS;
	*unsaid = limit->unsaid;
	limit->unsaid = 0;
	return true;
}
