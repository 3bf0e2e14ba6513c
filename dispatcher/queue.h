/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Queue: which job goes to which worker next, and what a failure means. Pure: no I/O, the time is an argument. What is done for
 * every job takes constant time, or the logarithm of what waits for a time.
 *
 * A stream has slots (the dispatcher gives them a meaning); a slot is absent, pending, waiting out a back-off, or in flight at one
 * worker, never twice. A higher class goes first, but of QUEUE_FLOOR jobs that pass by a lower class one is given up to it, for good. Within
 * a class streams take turns, and slots of a stream go first in, first out.
 *
 * A job goes to a worker that has a credit left, to one without a job if there is one. A player's job goes only where it is begun at
 * once: to a worker without a job, or to the one that has begun a lower job most recently, which that one gives up. A worker gets the
 * stream that it had before if that stream is ahead of its turn by fewer than QUEUE_LEAD jobs. What a worker has failed at goes to
 * another, as long as there is one.
 *
 * Workers and streams have places (queue_place). A stream's jobs go to workers of its build only; to those with a GPU if it needs one, and
 * to any others when none of these has been there for QUEUE_PLACE_MS. Of streams of one class that a free worker may serve, those that
 * need a GPU go first, where there are workers that have none. Streams of one place form a lane, workers of one place a group.
 */
#ifndef SEGFARM_DISPATCHER_QUEUE_H
#define SEGFARM_DISPATCHER_QUEUE_H

#include "dispatcher/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_CREDITS_MAX 1024   /* of one worker */
#define QUEUE_FLOOR 10
#define QUEUE_LEAD 8
#define QUEUE_PREEMPTIONS_MAX 20 /* of one job; then it is left alone. The floor sees to it that the others get on */
#define QUEUE_ATTEMPTS_MAX 3     /* that crashed or were refused */
#define QUEUE_KILLED_MAX 50      /* by somebody, perhaps the kernel for their use of memory */
#define QUEUE_LOST_MAX 6         /* that were lost with their host */
#define QUEUE_RETRY_MS 60000     /* a slot may be retried for this long before it is given up ... */
#define QUEUE_RETRIES_MIN 6      /* and this often: it may have waited for a worker meanwhile */
#define QUEUE_BACKOFF_MIN_MS 50
#define QUEUE_BACKOFF_MAX_MS 2000
#define QUEUE_EXTENSIONS_MAX 20
#define QUEUE_PLACES_MAX 16      /* different ones, of workers and of streams */
#define QUEUE_BUILD_SIZE 17
#define QUEUE_PLACE_MS 10000     /* that is waited for a worker with a GPU */
#define QUEUE_GRACE_MS 5000      /* over its deadline before we stop waiting for the worker's pool to act */

enum queue_class {
	QUEUE_PLAYER,     /* somebody waits for it */
	QUEUE_AHEAD,      /* what a player will want next */
	QUEUE_PRECOMPUTE, /* nobody has asked yet */
	QUEUE_CLASSES,
};

enum queue_failure {
	QUEUE_RETRY,     /* the surroundings failed: wait, no attempt counted */
	QUEUE_STORE,     /* the store did: as well, but for as long as it takes */
	QUEUE_KILLED,    /* somebody killed the worker: hardly counted */
	QUEUE_LOST,      /* the worker is out of reach: counted softly */
	QUEUE_CRASH,     /* the worker died of it, or took too long */
	QUEUE_REFUSED,   /* the worker says that it cannot be done */
	QUEUE_CANCELLED, /* the worker gave it up because it was told to: not counted */
};

/* Of a worker: what it has; of a stream: what it needs. */
struct queue_place {
	bool is_gpu;
	char build[QUEUE_BUILD_SIZE]; /* "" of a stream: any; of a worker: it does not say */
};

struct queue_group {
	struct queue_place has;
	int n;                   /* workers in it */
	struct list free[2];     /* workers with a credit: without a job, with jobs */
	struct list preemptible;
};

struct queue_lane {
	struct queue_place needs;
	int n;                            /* streams in it */
	struct list turns[3];             /* of each class: streams with something pending */
	size_t n_pending[3];
	int64_t able_ms;                  /* when there was somebody with a GPU for it, or it began to wait */
	bool is_waived;                   /* there has been none for too long */
};

struct queue_worker {
	struct list free;        /* in its group's free[] */
	struct list affine;      /* in queue_stream.affine of `last` */
	struct list preemptible; /* in its group's: the latest to begin its first job is last */
	struct list jobs;        /* in flight; it does one after the other */
	struct queue_stream *last;
	void *user;              /* the caller's */
	int number, credits, n_jobs;
	int n_fixed;             /* of them, jobs that must not be given up */
	int n_exclusive;
	int8_t group;
	int8_t load;             /* which free list it is in; -1: none */
};

struct queue_item {
	struct list link;             /* pending: of its stream; in flight: of its worker */
	struct queue_stream *stream;  /* NULL: it was removed while this was in flight */
	struct queue_worker *worker;  /* NULL: not in flight */
	int64_t job;                  /* id of the attempt in flight */
	int64_t until_ms;             /* on the clock: when the back-off ends, or the deadline */
	int64_t troubled_ms;          /* first QUEUE_RETRY failure of the present row of `retries` */
	int32_t deadline_ms;          /* in flight: how long it may take, 0: for ever */
	int32_t clock;                /* place on the clock; -1: not there */
	int32_t refused_by;           /* number of the worker that failed it last and did not die of it; -1: none */
	uint32_t slot;
	uint32_t pending_ms;          /* now_ms when it became pending in its class, modulo 2^32 */
	uint8_t class;                /* enum queue_class */
	uint8_t attempts, lost, killed, retries, preemptions;
	uint8_t extensions;           /* of this attempt */
	bool is_unwanted;             /* in flight: freed when it ends, however it ends */
	bool is_cancelled;            /* in flight: its worker has been told to give it up */
};

struct queue_stream {
	struct list pending[QUEUE_CLASSES];
	struct list turn[QUEUE_CLASSES];    /* in its lane's turns[] while anything is pending */
	uint64_t turn_at[QUEUE_CLASSES];    /* rises along the lane's turns[], and through all lanes */
	int8_t lead[QUEUE_CLASSES];         /* jobs it got before its turn; owed still when it comes back with more */
	struct list affine;                 /* workers with a credit that had it last; those without a job first */
	struct queue_item **slots;
	size_t n_slots;
	size_t n_pending, n_in_flight;
	void *user;                         /* the caller's */
	int number;
	int8_t lane;
	bool is_exclusive;                  /* a worker that holds one of its jobs gets no other */
};

struct queue {
	struct queue_stream **streams; /* NULL: removed */
	struct queue_worker **workers;
	int n_streams, n_workers;
	int free_stream, free_worker;  /* no place in front of it is free */
	int n_present;                 /* workers that are there */
	struct queue_lane lanes[QUEUE_PLACES_MAX];   /* the first of both: nothing in particular */
	struct queue_group groups[QUEUE_PLACES_MAX];
	uint64_t turns_made;
	int passed[QUEUE_CLASSES];     /* jobs given since one of this class could have been */
	struct queue_item **clock;     /* a heap by until_ms: what waits, and what is in front of its worker */
	size_t n_clock, clock_size;
	int64_t last_job;              /* ids start at 1 */
	size_t n_pending[QUEUE_CLASSES];
	size_t n_waiting, n_in_flight;
};

void queue_init(struct queue *q);
void queue_finish(struct queue *q);

/* Numbers of the new stream or worker, or -1 without memory. Numbers of removed ones are used again. */
int queue_add_stream(struct queue *q, size_t n_slots, bool is_exclusive);
int queue_add_worker(struct queue *q);
/* What is in flight goes on without a stream: the caller cancels it, and it is freed when it ends. */
void queue_remove_stream(struct queue *q, int stream);
/* Of a worker before it gets its first credit; of a stream at any time. false: there are too many places, nothing is changed. */
bool queue_set_has(struct queue *q, int worker, const struct queue_place *has);
bool queue_set_needs(struct queue *q, int stream, const struct queue_place *needs, int64_t now_ms);
/* A worker of the stream's build is there, whatever else it has. */
bool queue_has_build(const struct queue *q, int stream);
/* More slots for a stream; false without memory. Never fewer. */
bool queue_set_slots(struct queue *q, int stream, size_t n_slots);
/* The worker must hold no job any more (queue_first_job, then queue_fail, queue_done or queue_take_back). */
void queue_remove_worker(struct queue *q, int worker);
/* false: it would be able to take more than QUEUE_CREDITS_MAX jobs; it gets what there is up to that. */
bool queue_add_credits(struct queue *q, int worker, int credits);

/* 1 queued, 0 it was queued or in flight already (its class is raised if need be), -1 no memory. 2: it is in flight, and a player's
 * now: its worker must give up what it holds in front of it; the caller cancels those jobs that are marked so. */
int queue_push(struct queue *q, int stream, uint32_t slot, enum queue_class class, int64_t now_ms);
/* Nobody wants it at its class any more: at most this one is left to it. */
void queue_lower(struct queue *q, int stream, uint32_t slot, enum queue_class class, int64_t now_ms);
/* Nobody wants it at all: gone if it is not in flight; else it is returned, for the caller to cancel, and ends for good however it
 * ends, unless it is pushed before. NULL: it is gone, or was not queued. */
struct queue_item *queue_drop(struct queue *q, int stream, uint32_t slot);
/* Takes back everything of a stream that is not in flight and of this class or a lower one. */
void queue_drop_pending(struct queue *q, int stream, enum queue_class class);
/* The job of a slot in flight, or NULL. */
struct queue_item *queue_in_flight(const struct queue *q, int stream, uint32_t slot);

/* Gives the next job to a worker (worker and job are set): 1 and *item, or 0. 2: its worker must give up what it holds in front of
 * it; the caller cancels those jobs that are marked so. */
int queue_give(struct queue *q, int64_t now_ms, struct queue_item **item);
/* How long the job just given may take. Workers do one job after the other: its clock begins when it is in front of its worker's. */
void queue_set_deadline(struct queue *q, struct queue_item *item, int64_t deadline_ms, int64_t now_ms);
/* The send failed, or the worker had not begun it: as if it had never been given (the worker loses the credit). */
void queue_take_back(struct queue *q, struct queue_item *item, int64_t now_ms);
/* It was not sent, for nobody wants it any more: the item is freed, the worker keeps the credit. */
void queue_discard(struct queue *q, struct queue_item *item, int64_t now_ms);

/* The job `job` in flight at `worker`, or NULL: it does not hold that. */
struct queue_item *queue_find(const struct queue *q, int worker, int64_t job);
struct queue_item *queue_first_job(const struct queue *q, int worker);
/* The one behind it at the same worker, or NULL. */
struct queue_item *queue_next_job(const struct queue_item *item);
/* The item is freed. */
void queue_done(struct queue *q, struct queue_item *item, int64_t now_ms);
/* true: it will be tried again. false: given up, or not wanted any more; the item is freed. *attempts: how often it was tried. */
bool queue_fail(struct queue *q, struct queue_item *item, enum queue_failure failure, int64_t now_ms, int *attempts);
/* What waited out trouble may go at once and is not blamed for it: the trouble is over. */
void queue_forgive(struct queue *q, int64_t now_ms);

/* Its worker had something else to do before: it has its time from now on. false: that was said too often. */
bool queue_extend(struct queue *q, struct queue_item *item, int64_t now_ms);
/* A job that is over its deadline, or NULL. The caller ends it, or extends it. */
struct queue_item *queue_overdue(struct queue *q, int64_t now_ms);
/* When to call queue_give or queue_overdue again though nothing has happened; INT64_MAX: never. */
int64_t queue_next_ms(const struct queue *q);

#endif
