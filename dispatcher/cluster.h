/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cluster: several dispatchers on one Redis. Each has a lease, under an id that is never used again; a stream has one owner, which
 * queues its jobs and writes its records, and when that one's lease runs out another takes the stream over. Any dispatcher serves any
 * stream: one that is not the owner passes on what players want, by mail, and is told when to look.
 */
#ifndef SEGFARM_DISPATCHER_CLUSTER_H
#define SEGFARM_DISPATCHER_CLUSTER_H

#include "dispatcher/dispatch.h"

#define CLUSTER_KEEP_MS (STORE_LEASE_MS / 3)   /* between renewals; without one for two thirds of the lease nothing is given out */
#define CLUSTER_UNUSED_MS 60000                /* a stream of another dispatcher's that nobody asks for is forgotten */

/* Takes a lease, and ends that of a dispatcher of the same name, whose place this one has: it is dead. */
int cluster_join(struct dispatch *d, const char *name, struct err *err);
/* Now; where Redis has lost the lease, or others may have thought us dead, a new one is taken, and what we own still. */
int cluster_renew(struct dispatch *d, struct err *err);
/* Takes over streams that have no owner that lives, for a while; cluster_tick goes on where there are more. */
int cluster_scan(struct dispatch *d, struct err *err);
/* Others may take over at once. */
void cluster_leave(struct dispatch *d);
/* Renews the lease, takes over streams without an owner, repeats what players want of others' streams. */
void cluster_tick(struct dispatch *d, int64_t now_ms);
/* Reads mail; how many there were. */
int cluster_work(struct dispatch *d);
int cluster_fd(const struct dispatch *d); /* readable when there is mail; -1: not connected */

/* The lease is not so old that others may believe us dead. */
bool cluster_is_alive(const struct dispatch *d, int64_t now_ms);
/* Makes us the owner of a stream that has none that lives: 1; 0: another has it. */
int cluster_own(struct dispatch *d, struct dispatch_stream *s, struct err *err);
/* It has another owner: its jobs are given up here. */
void cluster_disown(struct dispatch *d, struct dispatch_stream *s);
/* It has another owner by our own will, as the store says already. */
void cluster_give(struct dispatch *d, struct dispatch_stream *s, const char *owner);
/* The stream, looked up in the store if it is not known here; NULL: there is none, or err says why it cannot be told. */
struct dispatch_stream *cluster_find(struct dispatch *d, const char *key, struct err *err);

/* Of a stream that another dispatcher owns. */
void cluster_want(struct dispatch *d, const struct dispatch_stream *s, uint32_t slot);
void cluster_follow(struct dispatch *d, const struct dispatch_stream *s, uint64_t player, uint32_t slot);

#endif
