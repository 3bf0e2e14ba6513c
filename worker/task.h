/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Task: what a running job needs from the process it runs in.
 */
#ifndef SEGFARM_WORKER_TASK_H
#define SEGFARM_WORKER_TASK_H

#include "common/record.h"
#include "common/store.h"
#include "worker/source.h"

#include <sys/uio.h>

struct task {
	const struct job *job;
	struct store *store;
	struct source *source;
	/* To be called now and then by every work loop: says that it lives, and whether it shall go on. 0 or ERR_STOPPED. */
	int (*tick)(struct task *task, struct err *err);
	void *arg;
	int64_t bytes; /* stored */
};

/* probe.c: reads the whole of the source's block headers, stores "index" and "init:main". */
int probe_run(struct task *task, struct err *err);
/* segment.c: makes one segment of the plan and stores it. */
int segment_run(struct task *task, struct err *err);
/* The same with another place to go: the segment's bytes in order, which live during the call; iov may be altered. */
typedef int segment_put_fn(struct task *task, struct iovec *iov, int n, struct err *err);
int segment_make(struct task *task, segment_put_fn *put, struct err *err);

/* play.c: makes the continuous stream for a reader, until that one goes away. ERR_STOPPED: it has. */
int play_run(struct task *task, struct err *err);

#endif
