/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Status: what a dispatcher says of itself, as JSON, with its lease.
 */
#ifndef SEGFARM_DISPATCHER_STATUS_H
#define SEGFARM_DISPATCHER_STATUS_H

#include "dispatcher/dispatch.h"

#define STATUS_WORKERS_MAX 1000 /* that are listed; "n_workers" counts all */

/*  {"name", "pid", "n_workers", "streams", "queue": {"player", "ahead", "precompute", "waiting", "in_flight"}, "requests_waiting",
 *   "counters": {"jobs_given", "jobs_done", "jobs_failed", "workers_lost", "messages_refused"},
 *   "workers": [{"name", "pid", "jobs", "stream", "slot", "silent_ms"}]}     stream and slot: of the job in hand; "" and 0: none */
void status_put(const struct dispatch *d, struct buf *json);
bool status_is_named(struct bytes json, const char *name);

#endif
