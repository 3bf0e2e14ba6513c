/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include "common/json.h"
#include "common/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BURST 10 /* lines of one limit */
#define EVERY_MS 1000

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *log_prog = "segfarm";
static enum log_level log_max = LOG_LEVEL_WARN;
static bool log_is_json;

void log_init(const char *prog, enum log_level level)
{
	log_prog = prog;
	log_max = level;
}

void log_set_json(bool is_json)
{
	log_is_json = is_json;
}

int log_level_from_name(const char *name)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (!strcmp(name, level_names[i]))
			return i;
	return -1;
}

static void format_time(char text[32])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, 32 - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
}

/* Nothing to be done when stderr is gone, or memory. */
static void write_line(const void *line, size_t size)
{
	if (write(STDERR_FILENO, line, size) < 0)
		return;
}

static void write_json(const char *pairs)
{
	struct buf json = { 0 };

	jput_begin(&json);
	log_put_json(&json, pairs);
	jput_close(&json, '}');
	buf_put_u8(&json, '\n');
	if (!buf_failed(&json))
		write_line(json.data, json.size);
	buf_finish(&json);
}

/* Of a line that had to be cut: its last value ends where the line does. */
static void close_quote(char *line, size_t n)
{
	bool is_open = false;
	size_t i;

	for (i = 0; i + 1 < n; i++)
		if (line[i] == '\\')
			i++;
		else
			is_open ^= line[i] == '"';
	if (is_open && i == n) /* what was escaped would be our quote */
		line[n - 2] = '?';
	if (is_open)
		line[n - 1] = '"';
}

void log_line(enum log_level level, const char *msg, const char *kv, ...)
{
	char line[LOG_LINE_MAX], time[32];
	size_t n;
	va_list ap;

	if (level > log_max)
		return;
	format_time(time);
	n = log_format(line, sizeof(line), "ts=%s level=%s prog=%s msg=\"%s\"", time, level_names[level], log_prog, msg);
	if (*kv && n + 1 < sizeof(line)) {
		line[n++] = ' ';
		va_start(ap, kv);
		n += log_format_v(line + n, sizeof(line) - n, kv, &ap);
		va_end(ap);
	}
	if (n > sizeof(line) - 1) {
		n = sizeof(line) - 1;
		close_quote(line, n);
	}
	line[n] = '\0';
	if (log_is_json) {
		write_json(line);
		return;
	}
	line[n] = '\n';
	write_line(line, n + 1);
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
