/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dispatch: drives every stream from its source to its last segment. Redis is the truth, the queue is derived from it:
 *
 *   source -> probe job -> index -> plan -> (plan minus what is committed) -> segment jobs -> commits
 *
 * What workers say is a hint that is looked up; what they wrote is checked like a stranger's. One thread.
 */
#ifndef SEGFARM_DISPATCHER_DISPATCH_H
#define SEGFARM_DISPATCHER_DISPATCH_H

#include "common/allow.h"
#include "common/bus.h"
#include "common/record.h"
#include "common/store.h"
#include "dispatcher/metrics.h"
#include "dispatcher/queue.h"
#include "dispatcher/refusals.h"

#include <sys/types.h>

#define DISPATCH_WORKERS_MAX 4096
#define DISPATCH_LOST_MS 10000      /* ten beats missed: a frame may take seconds to encode on a busy machine */
#define DISPATCH_STORE_MS 2000      /* time-out of one call to Redis */
#define DISPATCH_STORE_PING_MS 1000 /* how often Redis is looked at */
#define DISPATCH_STORE_WAIT_MS 100  /* between tries while it is down, and how long one may take */

enum dispatch_state { DISPATCH_PROBING, DISPATCH_WORKING, DISPATCH_DONE, DISPATCH_PARTIAL, DISPATCH_FAILED };

enum dispatch_segment { DISPATCH_MISSING, DISPATCH_MADE, DISPATCH_QUARANTINED };

struct dispatch_stream {
	char key[RECORD_KEY_SIZE];
	struct record_source source;
	struct record_options options;
	enum dispatch_state state;
	bool has_plan;
	bool is_noop;      /* bench: empty jobs, nothing in the store */
	int64_t noop_ms;   /* how long each takes */
	struct plan plan;
	uint8_t *segments; /* [plan_count]: enum dispatch_segment of each, of all renditions */
	int64_t *sizes;    /* bytes of each, -1 not known */
	size_t n_made, n_quarantined;
	int64_t ticks_made;
	bool is_mine;          /* we are its owner; see cluster.h */
	char owner[STORE_OWNER_SIZE];
	char heir[STORE_ID_SIZE]; /* who gets it when nothing of it is in hand: see spread.h; "" nobody */
	int64_t heir_ms;       /* since when */
	int64_t seen_ms, looked_ms; /* of others' streams: when it was asked for last, and compared with the store */
	bool is_on_demand;     /* made only when somebody asks */
	bool is_cancelled;     /* because a person wants no more */
	int64_t created;       /* seconds since 1970 */
	struct list wants, players; /* see want.h */
	int n_players;
	int n_encoder_crashes; /* of workers, while they encoded with another encoder than libx264 */
	struct dispatch_stream *next_removed;
	uint64_t told;     /* see http_events.h: a hash of what was told of it last */
	int number;        /* in the queue; slot 0 is the probe, slot 1 + i segment i, counted as in plan_count */
	int64_t unbuilt_ms; /* since when its jobs wait and no worker is of its plan's build; 0: there is one, or no job */
	char error[400];   /* why it failed, "" */
};

struct dispatch_worker {
	struct bus_peer peer;
	char name[MSG_NAME_MAX + 1];
	int64_t pid;
	int64_t heard_ms;
	int64_t beat_job; /* that it was at when it said so last; MSG_JOB_OTHER */
	char build[RECORD_KEY_SIZE], version[MSG_VERSION_MAX + 1], labels[MSG_LABELS_MAX + 1]; /* "": it does not say */
	int number; /* in the queue */
};

struct dispatch_counters {
	uint64_t jobs_given, jobs_done, jobs_failed, workers_lost, messages_refused, workers_refused, streams_handed;
	int64_t ticks_made; /* of media */
};

struct dispatch {
	struct bus *bus;
	struct store *store;
	const char *redis_url; /* kept by pointer */
	struct store *mail;    /* see cluster.h; NULL: not connected */
	char id[STORE_ID_SIZE], name[200];
	int64_t lease_ms, lease_next_ms, mail_ms;
	char endpoint[STORE_ENDPOINT_SIZE]; /* where workers find us, which is told in Redis; "" it is not */
	bool is_on_host;       /* those of this host alone do */
	struct store_beacon *beacons; /* of all dispatchers that live, ours among them; NULL: not looked yet */
	int n_beacons;
	int64_t spread_ms;     /* when to look at those that have an heir */
	bool is_scanning;      /* there may be more streams without an owner */
	struct queue queue;
	struct dispatch_stream **streams;
	int n_streams;
	void *by_key;          /* the streams: tsearch(3) */
	struct dispatch_stream *wanted; /* to look for one */
	struct dispatch_stream *removed; /* those that somebody may still hold */
	struct dispatch_worker **workers;
	int n_workers;
	void *peers;          /* the workers by peer: tsearch(3) */
	struct play **plays;  /* see play.h; NULL: there has been none */
	int plays_number;     /* their stream in the queue */
	unsigned generation;  /* of the store when the streams were last compared with it */
	int n_wants;
	int read_ahead;       /* segments that are made before a player asks */
	bool is_store_down;    /* it does not answer, or does not take what is written: nothing is given out */
	char trouble[400];     /* why */
	bool is_store_suspect; /* something that should be there was not: compare with it again */
	int64_t store_next_ms, check_next_ms;
	char left_over[RECORD_KEY_SIZE]; /* a stream that was removed, and not all of it; "": none that we know of */
	uint64_t shuffle_seed; /* 0: plan order */
	const struct allow *allow; /* what may be a source; NULL: anything */
	struct dispatch_counters counters;
	struct metrics metrics;
	struct store_info redis; /* as of redis_ms */
	int64_t redis_ms;
	double start_s;        /* since 1970 */
	bool is_draining;      /* nothing is given out, owned or taken any more: see dispatch_drain */
	struct refusals refusals; /* of messages */
	struct buf json;       /* of the message being sent */
	/* Told about every segment that has come to exist; may be NULL. */
	void (*on_made)(void *arg, struct dispatch_stream *stream, size_t segment);
	void *on_made_arg;
	/* Told about every stream that is forgotten; may be NULL. */
	void (*on_forget)(void *arg, const struct dispatch_stream *stream);
	void *on_forget_arg;
};

/* Binds the bus (see bus.h for access), connects to Redis and joins the dispatchers there. */
int dispatch_init(struct dispatch *d, const char *endpoint, struct keys_access *access, const char *redis_url, struct err *err);
/* One that only looks at streams (dispatch_load, stream_reconcile): it owns nothing, gives nothing out, and nobody knows of it. */
int dispatch_init_viewer(struct dispatch *d, const char *redis_url, struct err *err);
void dispatch_finish(struct dispatch *d);
/* What all workers are told in Redis to connect to, instead of what was bound. */
void dispatch_advertise(struct dispatch *d, const char *endpoint);
/* Hands all streams to the dispatchers there are: gives up the lease and gives nothing out any more. What workers have in hand they finish,
 * for whoever comes. Until dispatch_finish it goes on as one that owns nothing. */
void dispatch_drain(struct dispatch *d);

/* ---- accept.c */

/* Facts of a local file: ERR_USAGE with one sentence when it is missing, a directory or unreadable, or allow (NULL: anything) does
 * not have it. Of a URL there is only that to see. */
int dispatch_look_at(const char *path, const struct allow *allow, struct record_source *source, struct err *err);
/* Accepts a source: it is in the store when this returns. The same one twice is one stream. */
int dispatch_add(struct dispatch *d, const struct record_source *source, const struct record_options *options, bool is_on_demand,
		 struct dispatch_stream **stream, struct err *err);
/* Makes a stream of the store known here, as somebody else's: 1; 0: there is none; ERR_DATA: its record is damaged. */
int dispatch_load(struct dispatch *d, const char *key, struct dispatch_stream **stream, struct err *err);
/* Compares it with the store and goes on with it, if it is ours. ERR_RETRY: that will be done when the store is back. */
int dispatch_take_up(struct dispatch *d, struct dispatch_stream *s, struct err *err);
/* Its record was made, changed or removed. */
void dispatch_look(struct dispatch *d, const char *key);
/* It is not known here any more. */
void dispatch_forget(struct dispatch *d, struct dispatch_stream *s);
/* Frees those that were forgotten and that nobody holds any more. */
void dispatch_bury(struct dispatch *d);
/* A stream of `count` empty jobs that take sleep_ms each: 0 to RECORD_SLEEP_MAX_MS. */
int dispatch_add_noop(struct dispatch *d, size_t count, int64_t sleep_ms, struct dispatch_stream **stream, struct err *err);

/* ---- dispatch.c */

/* Does everything that can be done now, until the bus is silent. Must be called when its descriptor is readable, when
 * the time of dispatch_next_ms has come, and after any other call, before going to sleep. true: it did
 * something, which may have ended a stream: look at that first, and call it again. */
bool dispatch_work(struct dispatch *d);
int64_t dispatch_next_ms(const struct dispatch *d);

struct dispatch_stream *dispatch_find(const struct dispatch *d, const char *key);
/* A segment turned out to be gone: drop its commit and make it again. */
void dispatch_remake(struct dispatch *d, struct dispatch_stream *stream, size_t segment);
/* Queues a slot, or raises its class. ERR_NOMEM. */
int dispatch_push(struct dispatch *d, const struct dispatch_stream *s, uint32_t slot, enum queue_class class, struct err *err);
/* Tells the worker that has the job that nobody wants it any more. */
void dispatch_cancel(struct dispatch *d, struct queue_item *item);
/* Which segments of a stream there will never be, for playlist_put_media; to be freed. NULL: none, or no memory. */
uint8_t *dispatch_gaps(const struct dispatch_stream *stream);
/* Store address of a segment. */
void dispatch_address(const struct dispatch_stream *stream, size_t segment, struct store_segment *address);

#endif
