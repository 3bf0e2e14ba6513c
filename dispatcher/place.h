/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Place: which workers a stream is made by. Those of its plan's build, where it encodes anything: others would encode in another way. If
 * none of these is there any more, while others are, it is planned anew by one of them, and what was made is made again. Those with a
 * GPU, where it is asked for an encoder other than libx264, as long as there are any (queue.h).
 */
#ifndef SEGFARM_DISPATCHER_PLACE_H
#define SEGFARM_DISPATCHER_PLACE_H

#include "dispatcher/dispatch.h"

#define PLACE_REPLAN_MS 10000 /* that is waited for a worker of its build */

/* After its options or its plan have come to be known, or changed. */
void place_stream(struct dispatch *d, struct dispatch_stream *s);
/* A worker that has joined. false: there are too many kinds of them. */
bool place_worker(struct dispatch *d, struct dispatch_worker *w);
void place_tick(struct dispatch *d, int64_t now_ms);

#endif
