/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Refusals: who sends messages that are refused, and how many. Libzmq cannot hang up on one peer, so the dispatcher does not listen
 * any more, for a while, to one that goes too far: what it sends is thrown away unread. Libzmq takes peers in turn: none keeps the
 * others from being heard.
 */
#ifndef SEGFARM_DISPATCHER_REFUSALS_H
#define SEGFARM_DISPATCHER_REFUSALS_H

#include "common/bus.h"
#include "common/log.h"

#define REFUSALS_MAX 200       /* refused messages of one peer within REFUSALS_MS: it is not heard from then on */
#define REFUSALS_MS 10000
#define REFUSALS_DEAF_MS 30000
#define REFUSALS_PEERS 64      /* that are watched at a time */

struct refusals {
	struct {
		struct bus_peer peer;
		int n;
		int64_t since_ms, deaf_until_ms;
	} peers[REFUSALS_PEERS];
	int64_t deaf_until_ms; /* the latest of all */
	struct log_limit log;  /* of the lines about refused messages */
};

bool refusals_is_deaf_to(const struct refusals *r, const struct bus_peer *peer, int64_t now_ms);
/* One more of this peer; true: that was too many. */
bool refusals_add(struct refusals *r, const struct bus_peer *peer, int64_t now_ms);

#endif
