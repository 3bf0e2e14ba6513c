/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Crash: what a worker process leaves behind for its pool in a page of memory that both have: what it is at, and when it dies of a
 * signal of its own making, which one and where. The pool believes nothing in it: the one who writes it may have been taken over.
 */
#ifndef SEGFARM_WORKER_CRASH_H
#define SEGFARM_WORKER_CRASH_H

#include "common/buf.h"
#include "common/record.h"

#include <stdbool.h>
#include <stdint.h>

#define CRASH_FRAMES 32
#define CRASH_ENDPOINT 256
#define CRASH_SOURCE 200 /* bytes of its name; the end, if it is longer */

struct crash {
	_Atomic int64_t alive;    /* rises while it waits for jobs; 0: it has not come that far */
	_Atomic int64_t until_ms; /* of the job in hand, as proc_now_ms: when the kernel is to end it; 0: there is none */
	int64_t is_known;         /* it has said HELLO */
	int64_t job;              /* in hand; 0: none */
	char endpoint[CRASH_ENDPOINT]; /* of the dispatcher that it is from */
	int64_t start;            /* of the segment, ticks; -1: it is none */
	char stream[RECORD_KEY_SIZE];
	char source[CRASH_SOURCE];
	/* by the handler */
	int64_t is_outside;       /* somebody sent the signal */
	int64_t signal, call;     /* call: the number of the one that the sandbox refused */
	uint64_t address;         /* that was touched */
	int64_t n_frames;
	uint64_t frames[CRASH_FRAMES];
};

/* NULL: no memory. */
struct crash *crash_create(void);
void crash_destroy(struct crash *c); /* NULL is fine */

/* In the worker: deaths by SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL and SIGSYS are written to c from here on. They stay deaths. */
void crash_catch(struct crash *c);
/* The job in hand, and whose it is; NULL: none. */
void crash_set_job(struct crash *c, const struct job *job, const char *endpoint);

/* In the pool, of one that is dead: appends " key=value ..." for a log line: job, stream, segment, source, and what the handler
 * wrote. */
void crash_put(const struct crash *c, struct buf *line);

#endif
