/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Status: what a dispatcher says of itself, as JSON, with its lease.
 */
#ifndef SEGFARM_DISPATCHER_STATUS_H
#define SEGFARM_DISPATCHER_STATUS_H

#include "dispatcher/dispatch.h"

#define STATUS_WORKERS_MAX 1000 /* that are listed; "n_workers" counts all */

/*  {"name", "pid", "version", "protocol", "endpoint": where workers find it in Redis, "n_workers", "n_pools", "streams": that it knows,
 *   "driven": of them, its own that are not finished, "queue": {"player", "ahead", "precompute", "waiting", "in_flight"}, "requests_waiting",
 *   "counters": {"jobs_given", "jobs_done", "jobs_failed", "workers_lost", "messages_refused", "workers_refused", "streams_handed"},
 *   "workers": [{"name", "pid", "jobs", "stream", "slot", "silent_ms", "version", "protocol", "build", "labels": []}]}     stream and slot: of the job in hand; "" and 0: none */
void status_put(const struct dispatch *d, struct buf *json);
int status_count_pools(const struct dispatch *d); /* that its workers are of */
bool status_is_named(struct bytes json, const char *name);

#endif
