/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Spread: who of several dispatchers owns how many of the streams that are not finished. Each tells its number with its lease. Whoever
 * has more than an even share, and an eighth of that, hands the rest to those who have less: all see the same numbers, and so the same
 * transfers. A stream changes hands when nothing of it is in the hands of a worker, and no player waits: until then nothing else of it is
 * given out. Where players let no such moment come, it goes after SPREAD_WAIT_MS: the jobs in hand are given up, and its new owner is told
 * what players wait for. Streams whose owner has died fall to the survivor that a hash of both names, so that each takes its part.
 */
#ifndef SEGFARM_DISPATCHER_SPREAD_H
#define SEGFARM_DISPATCHER_SPREAD_H

#include "dispatcher/dispatch.h"

#define SPREAD_MAX 256        /* dispatchers that are looked at */
#define SPREAD_AT_ONCE 64     /* streams that are on their way to another */
#define SPREAD_WAIT_MS 10000  /* for a moment when nothing of it is in hand */

/* ---- pure */

/* give[i]: how many streams number `me` of the n dispatchers hands to number i. The sum of them. */
int64_t spread_plan(const struct store_beacon *all, int n, int me, int64_t *give);
/* Which of the n (at least one) has a stream whose owner is dead. */
int spread_choose(const struct store_beacon *all, int n, const char *key);

/* ---- of a dispatcher */

/* Says in Redis where we are, and how many streams we own. */
int spread_tell(struct dispatch *d, struct err *err);
/* Who else is there, and what they get. */
int spread_look(struct dispatch *d, struct err *err);
/* Hands over what is ready. */
void spread_tick(struct dispatch *d, int64_t now_ms);
/* Streams that it owns and that are not finished, without those that are on their way to others. */
int64_t spread_count(const struct dispatch *d);
bool spread_falls_to_us(const struct dispatch *d, const char *key);
void spread_finish(struct dispatch *d);

#endif
