/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/crash.h"

#include "worker/sandbox.h"

#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_SIZE (64 << 10) /* of the handler: the stack may be what is broken */
#define FIRST_FRAME 2         /* the handler's own, and the kernel's call of it */

static struct crash *ours;

struct crash *crash_create(void)
{
	struct crash *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return c == MAP_FAILED ? NULL : c;
}

void crash_destroy(struct crash *c)
{
	if (c)
		munmap(c, sizeof *c);
}

/* ---- the worker */

/* The pool finds the names: it has the same program at the same addresses. A second fault in here ends it at once. */
static void on_crash(int number, siginfo_t *info, void *context)
{
	void *frames[CRASH_FRAMES];
	int n;

	(void)context;
	ours->signal = number;
	ours->is_outside = info->si_code <= 0 && info->si_pid != getpid();
	ours->call = number == SIGSYS ? info->si_syscall : 0;
	ours->address = info->si_code > 0 && number != SIGSYS && number != SIGABRT ? (uintptr_t)info->si_addr : 0;
	n = backtrace(frames, CRASH_FRAMES);
	for (int i = 0; i < n; i++)
		ours->frames[i] = (uintptr_t)frames[i];
	ours->n_frames = n;
	raise(number); /* when this returns; the handler is gone then */
}

void crash_catch(struct crash *c)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS };
	static char stack[STACK_SIZE];
	struct sigaction crash = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND };
	void *frame[1];

	ours = c;
	backtrace(frame, 1); /* loads what it needs, as long as that can be loaded */
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof stack }, NULL);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &crash, NULL);
}

void crash_set_job(struct crash *c, const struct job *job, const char *endpoint)
{
	size_t n = job ? strlen(job->source.path) : 0;

	c->job = 0;
	if (!job)
		return;
	memcpy(c->stream, job->stream, sizeof c->stream);
	snprintf(c->source, sizeof c->source, "%s", job->source.path + (n < sizeof c->source ? 0 : n - sizeof c->source + 1));
	snprintf(c->endpoint, sizeof c->endpoint, "%s", endpoint ? endpoint : "");
	c->start = job->type == JOB_SEGMENT ? job->segment.start : -1;
	c->job = job->id;
}

/* ---- the pool */

static void put_text(struct buf *line, const char *key, const char *text, size_t size)
{
	buf_printf(line, " %s=\"", key);
	for (size_t i = 0; i < size && text[i]; i++) {
		uint8_t c = (uint8_t)text[i];

		buf_put_u8(line, c < ' ' || c == 0x7f || c == '"' || c == '\\' ? '?' : c);
	}
	buf_put_u8(line, '"');
}

static void put_frames(const struct crash *c, struct buf *line)
{
	int n = c->n_frames < 0 ? 0 : c->n_frames > CRASH_FRAMES ? CRASH_FRAMES : (int)c->n_frames;
	void *frames[CRASH_FRAMES];
	char **names;

	for (int i = 0; i < n; i++)
		frames[i] = (void *)(uintptr_t)c->frames[i];
	names = n > FIRST_FRAME ? backtrace_symbols(frames, n) : NULL;
	if (!names)
		return;
	buf_printf(line, " backtrace=\"");
	for (int i = FIRST_FRAME; i < n; i++) {
		const char *slash = strrchr(names[i], '/');

		buf_printf(line, "%s%s", i > FIRST_FRAME ? " < " : "", slash ? slash + 1 : names[i]);
	}
	buf_put_u8(line, '"');
	free(names);
}

void crash_put(const struct crash *shared, struct buf *line)
{
	struct crash c;

	memcpy(&c, shared, sizeof c); /* what is looked at is what is used */
	if (c.job > 0) {
		buf_printf(line, " job=%" PRId64, c.job);
		put_text(line, "stream", c.stream, sizeof c.stream);
		if (c.start >= 0)
			buf_printf(line, " start=%" PRId64, c.start);
		put_text(line, "source", c.source, sizeof c.source);
	}
	if (!c.signal)
		return;
	buf_printf(line, " signal=%" PRId64, c.signal);
	if (c.signal == SIGSYS)
		buf_printf(line, " call=%s", sandbox_call_name((int)c.call));
	else if (c.address)
		buf_printf(line, " address=0x%" PRIx64, c.address);
	put_frames(&c, line);
}
