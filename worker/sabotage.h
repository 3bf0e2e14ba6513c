/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sabotage: a worker that does wrong on purpose, so that tests can see what the others do about it. Off, unless the environment
 * says SEGFARM_FAULT=KIND, for every segment, or KIND:START for those that begin at START ticks, or
 * KIND:START:RENDITION for one of them:
 *
 *   crash    dies of a SIGSEGV
 *   codec    as well, but where the job is tolerant, and does without whatever is the cause
 *   hang     goes on for ever, without a sign of life
 *   garbage  answers with messages that are none, and with nothing else
 *   lie      says DONE and has stored nothing
 *   late     is silent for so long that others have done it, then stores it, twice, and says DONE
 *   exec, open, write, listen, trace
 *            tries that, as a codec would that was taken over, and fails with a sentence about what came of it
 *
 * and SEGFARM_FAULT=mute: never says HELLO.
 *
 * SEGFARM_PRETEND=WHAT:VALUE makes it another than it is, as in a farm that is just being updated: protocol:N, format:N, build:HEX.
 */
#ifndef SEGFARM_WORKER_SABOTAGE_H
#define SEGFARM_WORKER_SABOTAGE_H

#include "common/bus.h"
#include "worker/task.h"

enum sabotage {
	SABOTAGE_NONE, SABOTAGE_CRASH, SABOTAGE_CODEC, SABOTAGE_HANG, SABOTAGE_GARBAGE, SABOTAGE_LIE, SABOTAGE_LATE, SABOTAGE_EXEC, SABOTAGE_OPEN,
	SABOTAGE_WRITE, SABOTAGE_LISTEN, SABOTAGE_TRACE, N_SABOTAGES,
};

/* What is to be done to a job. */
enum sabotage sabotage_of(const struct job *job);
/* Instead of segment_run, where it is not SABOTAGE_NONE. */
int sabotage_run(struct task *task, struct bus *bus, struct err *err);
/* What it pretends to have as `what`; NULL: nothing. */
const char *sabotage_pretends(const char *what);
/* Where a worker starts. */
void sabotage_start(void);

#endif
