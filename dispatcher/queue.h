/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Queue: which job goes to which worker next, and what a failure means. Pure: no I/O, the time is an argument.
 *
 * A stream has slots (the dispatcher gives them a meaning); a slot is absent, pending, waiting out a back-off, or in
 * flight at one worker, never twice. Pending slots of a stream go out first in, first out; streams take turns.
 * A job goes only to a worker that has a credit left. One stream may be urgent: it goes before all others, and a worker
 * that holds one of its jobs, which last long, gets no other.
 */
#ifndef SEGFARM_DISPATCHER_QUEUE_H
#define SEGFARM_DISPATCHER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_CREDITS_MAX 1024   /* of one worker */
#define QUEUE_ATTEMPTS_MAX 3     /* that crashed or were refused */
#define QUEUE_LOST_MAX 6         /* that were lost with their host */
#define QUEUE_RETRY_MS 60000     /* a slot may be retried for this long before it is given up */
#define QUEUE_BACKOFF_MIN_MS 50
#define QUEUE_BACKOFF_MAX_MS 2000
#define QUEUE_GRACE_MS 5000      /* over its deadline before we stop waiting for the worker's pool to act */

enum queue_failure {
	QUEUE_RETRY,   /* the surroundings failed: wait, no attempt counted */
	QUEUE_LOST,    /* the worker is out of reach: counted softly */
	QUEUE_CRASH,   /* the worker died of it, or took too long */
	QUEUE_REFUSED, /* the worker says that it cannot be done */
};

struct queue_item;
struct queue_list {
	struct queue_item *head, *tail;
};

struct queue_worker {
	bool is_used;
	int credits;
	int n_jobs;
	int n_urgent;           /* of those, jobs of the urgent stream */
	struct queue_list jobs; /* in flight */
};

struct queue_item {
	struct queue_item *prev, *next; /* in exactly one list */
	int64_t job;                    /* id of the attempt in flight */
	int64_t until_ms;               /* waiting: ready from then on; in flight: given up then, 0: not begun yet */
	int64_t deadline_ms;            /* in flight: how long it may take; the caller sets it, 0: for ever */
	int64_t troubled_ms;            /* first QUEUE_RETRY failure of the present row, 0: none */
	uint32_t slot;
	int stream;
	int worker;                     /* -1: not in flight */
	uint8_t attempts, lost, retries;
};

struct queue_stream {
	struct queue_item **slots;
	size_t n_slots;
	struct queue_list pending;
};

struct queue {
	struct queue_stream *streams;
	struct queue_worker *workers;
	int n_streams, n_workers;
	int turn;               /* the stream that is served next */
	int urgent;             /* the stream that always is; -1: none */
	int worker_turn;        /* the worker that is looked at first */
	int64_t last_job;       /* ids start at 1 */
	size_t n_pending;       /* in all streams */
	size_t n_in_flight;
	struct queue_list waiting;
};

void queue_init(struct queue *q);
void queue_finish(struct queue *q);

/* Numbers of the new stream or worker, or -1 without memory. Numbers of removed workers are used again. */
int queue_add_stream(struct queue *q, size_t n_slots);
int queue_add_worker(struct queue *q);
void queue_set_urgent(struct queue *q, int stream);
/* More slots for a stream; false without memory. Never fewer. */
bool queue_set_slots(struct queue *q, int stream, size_t n_slots);
/* The worker must hold no job any more (queue_first_job, then queue_fail or queue_done). */
void queue_remove_worker(struct queue *q, int worker);
/* false: it would be able to take more than QUEUE_CREDITS_MAX jobs; it gets what there is up to that. */
bool queue_add_credits(struct queue *q, int worker, int credits);

/* 1 queued, 0 it was queued or in flight already, -1 no memory. */
int queue_push(struct queue *q, int stream, uint32_t slot);
/* Takes a slot back that is not in flight; false: it is, or was not queued. */
bool queue_drop(struct queue *q, int stream, uint32_t slot);
/* The job of a slot in flight, or NULL. */
struct queue_item *queue_in_flight(const struct queue *q, int stream, uint32_t slot);
/* Takes back everything of a stream that is not in flight. */
void queue_drop_pending(struct queue *q, int stream);

/* Gives the next job to a worker with a credit: 1 and *item (worker and job are set), or 0. */
int queue_give(struct queue *q, int64_t now_ms, struct queue_item **item);
/* The send failed: as if it had never been given (the worker loses the credit). */
void queue_take_back(struct queue *q, struct queue_item *item);

/* It was not sent, for nobody wants it any more: the item is freed, the worker keeps the credit. */
void queue_discard(struct queue *q, struct queue_item *item);

/* The job `job` in flight at `worker`, or NULL: it does not hold that. */
struct queue_item *queue_find(struct queue *q, int worker, int64_t job);
struct queue_item *queue_first_job(const struct queue *q, int worker);
/* The item is freed. */
void queue_done(struct queue *q, struct queue_item *item);
/* true: it will be tried again. false: given up, the item is freed; *attempts says how often it was tried. */
bool queue_fail(struct queue *q, struct queue_item *item, enum queue_failure failure, int64_t now_ms, int *attempts);
/* What waited out trouble may go at once and is not blamed for it: the trouble is over. */
void queue_forgive(struct queue *q);

/* A job that is over its deadline, or NULL. Workers do one job after the other: the clock of a job begins when this
 * first sees it in front of its worker's. */
struct queue_item *queue_overdue(const struct queue *q, int64_t now_ms);
/* When the first job that waits is ready, INT64_MAX: none waits. */
int64_t queue_next_ms(const struct queue *q);

#endif
