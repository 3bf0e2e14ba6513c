/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Outbox: texts on their way to one reader, a bounded number of bytes. What there is no room for is left out, and where it would have
 * been the reader finds a notice instead. Pure.
 */
#ifndef SEGFARM_DISPATCHER_OUTBOX_H
#define SEGFARM_DISPATCHER_OUTBOX_H

#include "common/buf.h"

struct outbox {
	struct buf text;
	size_t at;          /* bytes of it that are taken */
	size_t limit;       /* bytes that are not */
	const char *notice; /* of what was left out */
	bool has_missed;    /* nothing is put in until the rest is taken */
};

/* The whole text, or nothing of it. */
void outbox_put(struct outbox *box, const void *text, size_t size);
/* Takes up to max bytes; 0: there are none. */
size_t outbox_take(struct outbox *box, void *to, size_t max);
void outbox_finish(struct outbox *box);

#endif
