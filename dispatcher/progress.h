/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress on stderr: a bar on a terminal, plain lines now and then elsewhere.
 */
#ifndef SEGFARM_DISPATCHER_PROGRESS_H
#define SEGFARM_DISPATCHER_PROGRESS_H

#include "dispatcher/dispatch.h"

struct progress {
	bool is_terminal;
	int64_t start_ms, next_ms;
	size_t shown; /* segments when the last plain line was written */
};

void progress_init(struct progress *p);
void progress_show(struct progress *p, const struct dispatch_stream *stream);
/* The last state, and the cursor on a fresh line. */
void progress_end(struct progress *p, const struct dispatch_stream *stream);

#endif
