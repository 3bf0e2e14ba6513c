/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source: a local media file mapped into memory, or a URL, and its demuxer. One is kept open from job to job.
 */
#ifndef SEGFARM_WORKER_SOURCE_H
#define SEGFARM_WORKER_SOURCE_H

#include "common/allow.h"
#include "common/record.h"
#include "worker/demux.h"

struct source {
	struct record_source is; /* what is open; size < 0: nothing */
	void *map;               /* NULL: of a URL */
	struct input input;
	struct demux *demux;     /* NULL: nothing is open */
	/* the caller's: what may be opened; NULL: anything */
	const struct allow *allow;
	bool is_shut_out; /* what it allows could not be opened: as if our sandbox knew other roots than lie there now */
	/* the caller's: whether to go on waiting, or looking for what may never come */
	int (*is_stopped)(void *arg);
	void *arg;
};

void source_init(struct source *s);
void source_finish(struct source *s);
/* Opens `want`, or keeps it if it is open already. ERR_RETRY: cannot be read now; ERR_DATA: it is not the file that was submitted
 * (size or time differ), or no media file; ERR_USAGE: it may not be opened. */
int source_open(struct source *s, const struct record_source *want, struct err *err);
/* ERR_DATA: the file became shorter while it was read, and what was made of it is not to be used. */
int source_status(const struct source *s, struct err *err);
/* Takes what was read out of this process' memory (the page cache keeps it): else it counts as ours for ever. */
void source_forget(struct source *s);

#endif
