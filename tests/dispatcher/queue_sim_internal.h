/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the parts of the simulation share: queue_sim_events.c (chance, and what happens when), queue_sim_workers.c (what becomes of a job
 * there), queue_sim_dispatcher.c (what dispatcher/dispatch.c does, and what it knows of slots), queue_sim_players.c (players and
 * streams that come and go), queue_sim.c (the whole).
 */
#ifndef SEGFARM_TESTS_DISPATCHER_QUEUE_SIM_INTERNAL_H
#define SEGFARM_TESTS_DISPATCHER_QUEUE_SIM_INTERNAL_H

#include "dispatcher/queue.h"
#include "tests/dispatcher/queue_sim.h"

#include <check.h>

#define CREDITS 2
#define JOBS_MAX 64       /* at one worker */
#define JOB_MS 4000       /* median */
#define DEADLINE_MS 60000
#define LATENCY_MS 1      /* of a message */
#define TICK_MS 50        /* a worker looks for cancels that often */
#define LOST_MS 3000      /* of silence */
#define SEGMENT_MS 6000   /* of play */
#define AHEAD 3
#define CHURN 20          /* streams that come and go besides the others */
#define CHURN_SLOTS 50
#define CHURN_MS 5000
#define CHECKS 60         /* of the whole queue in one run */
#define TROUBLE_MS 20000  /* some sources cannot be reached from then on ... */
#define TROUBLE_END_MS 100000
#define STORE_DOWN_MS 150000
#define STORE_UP_MS 152000

#define MUST(claim)                                                          \
	do {                                                                 \
		if (!(claim))                                                \
			ck_abort_msg("the farm is broken: not " #claim);    \
	} while (0)

enum kind { JOB_END, JOB_STOP, WORKER_DIES, CONNECTION_CUT, CANCEL, DONE, DONE_AGAIN, FAILED, DIED, SILENT, HELLO, PLAY, QUIT, CHURNED };

enum fate { FINE, TWICE, CRASH, KILLED, VANISH, HANG, HANG_UNSEEN, CUT, LIE, REFUSE, TROUBLE, STOPPED };

struct event {
	int64_t at_ms;
	int64_t job;
	uint32_t order;   /* those of one time happen as they were posted */
	uint32_t session; /* or a player's serial */
	int32_t who;
	uint8_t kind, fate;
};

struct held {
	int64_t job;
	int stream;
	uint32_t slot, generation;
};

struct worker {
	struct held jobs[JOBS_MAX]; /* the first is the one it does */
	int n_jobs;
	int number;                 /* in the queue; -1: the dispatcher does not know it */
	uint32_t session;
	bool is_hung, is_cut;
};

enum slot_state { UNMADE, MADE, GIVEN_UP };

struct slot {
	int32_t waiter;          /* first player, -1: none */
	uint16_t n_want[2];      /* players, by class: PLAYER, AHEAD */
	uint8_t state;           /* as the dispatcher knows */
	uint8_t n_counted, n_lost, n_killed; /* what we did to it since it is queued */
	uint16_t n_retried;      /* in a row, from then on */
	int64_t troubled_ms;
	bool is_stored, is_flying;
};

struct stream {
	struct slot *slots;
	uint32_t n_slots, generation;
	int n_precomputed;    /* jobs given, not segments made */
	bool is_precomputed, is_there;
	bool was_dry; /* at some time it had nothing to precompute */
};

struct player {
	int stream;
	uint32_t slot, n_ahead; /* it wants those after `slot` as well */
	uint32_t serial;
	int32_t next;           /* that waits for the same */
	int64_t asked_ms;
	bool is_waiting;
};

struct sim {
	const struct sim_config *config;
	struct sim_result *result;
	struct queue q;
	uint64_t random;
	int64_t now_ms;
	struct event *events; /* a heap */
	size_t n_events, events_size;
	uint32_t order;
	struct worker *workers;
	int32_t *owners;      /* by number in the queue */
	struct stream *streams;
	struct player *players;
	int64_t *waits_ms;
	size_t n_waits, waits_size;
	int64_t n_unresolved;
	int64_t passed[QUEUE_CLASSES];
	bool was_forgiven, is_late, is_over;
};

/* queue_sim_events.c */
uint64_t sim_mix(uint64_t x);
uint32_t sim_below(struct sim *s, uint32_t n);
double sim_fraction(struct sim *s);
int64_t sim_job_ms(struct sim *s);
void sim_post(struct sim *s, int64_t in_ms, struct event e);
struct event sim_take_event(struct sim *s); /* the next one */
void sim_post_worker(struct sim *s, int64_t in_ms, enum kind kind, int w, int64_t job, enum fate fate);

/* queue_sim_workers.c */
void sim_receive_job(struct sim *s, int n, const struct queue_item *item);
void sim_on_job_end(struct sim *s, const struct event *e);
void sim_on_cancel(struct sim *s, const struct event *e);
void sim_on_job_stop(struct sim *s, const struct event *e);
void sim_on_worker_dies(struct sim *s, const struct event *e);
void sim_on_connection_cut(struct sim *s, const struct event *e);

/* queue_sim_dispatcher.c */
void sim_post_player(struct sim *s, int64_t in_ms, enum kind kind, int p);
void sim_cancel(struct sim *s, struct queue_item *item);
void sim_push(struct sim *s, int stream, uint32_t slot, enum queue_class class);
void sim_want(struct sim *s, int stream, uint32_t n, enum queue_class class);
void sim_want_no_more(struct sim *s, int stream, uint32_t n, enum queue_class class);
void sim_on_done(struct sim *s, const struct event *e);
void sim_on_failed(struct sim *s, const struct event *e);
void sim_on_ready(struct sim *s, const struct event *e);
void sim_on_died(struct sim *s, const struct event *e);
void sim_on_silent(struct sim *s, const struct event *e);
void sim_on_hello(struct sim *s, const struct event *e);
void sim_give_all(struct sim *s);
void sim_fail_overdue(struct sim *s);

/* queue_sim_players.c */
void sim_on_play(struct sim *s, const struct event *e);
void sim_on_quit(struct sim *s, const struct event *e);
void sim_add_stream(struct sim *s, uint32_t n_slots, bool is_precomputed);
void sim_remove_stream(struct sim *s, int n);
void sim_on_churned(struct sim *s);

#endif
