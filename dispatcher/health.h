/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Health: what /readyz and /metrics say of a dispatcher.
 */
#ifndef SEGFARM_DISPATCHER_HEALTH_H
#define SEGFARM_DISPATCHER_HEALTH_H

#include "dispatcher/dispatch.h"

#define HEALTH_TEXT_MAX 512

/* Whether players and new streams may be sent here: Redis answers and takes what is written, others know that we live, we are not about to
 * end. text: why not; else how many workers there are. Without one it is ready all the same: what is made is served, and they may come any
 * time. d NULL: it has not begun. */
bool health_is_ready(const struct dispatch *d, char text[HEALTH_TEXT_MAX]);
/* connections: HTTP's. Asks Redis for its memory, once a second at most. */
void health_put_metrics(struct dispatch *d, unsigned connections, struct buf *out);

#endif
