/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Mail: what dispatchers, and the commands that a person gives, tell a dispatcher through Redis. A hint each: what it is about is
 * looked up in Redis, and a mail that is lost costs time, nothing else.
 */
#ifndef SEGFARM_COMMON_MAIL_H
#define SEGFARM_COMMON_MAIL_H

#include "common/buf.h"
#include "common/record.h"

enum mail_verb {
	MAIL_LOOK,    /* the stream's record was made, changed or removed */
	MAIL_WANT,    /* a player at `from` waits for the slot */
	MAIL_FOLLOW,  /* a player at `from` has asked for the slot: read ahead */
	MAIL_SETTLED, /* the slot was made, or cannot be */
	MAIL_N_VERBS,
};

struct mail {
	enum mail_verb verb;
	char from[RECORD_KEY_SIZE];   /* id of a dispatcher, or "": a command */
	char stream[RECORD_KEY_SIZE];
	uint32_t slot;                /* 0: the probe, 1 + i: segment i */
	uint64_t player;              /* below 2^62 */
};
int mail_put(const struct mail *m, struct buf *json);
int mail_get(struct bytes json, struct mail *m, struct err *err);

#endif
