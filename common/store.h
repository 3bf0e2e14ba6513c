/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Store: what segfarm keeps in Redis: one server, the master that sentinels name, or a cluster; or two of these: one for segments and
 * plays (marked with *), which may be lost, and one for the state, all the rest, which may not. Only store*.c include hiredis. Calls
 * block, with a time-out; after any I/O error the connection is freed, the call returns ERR_RETRY, and the next call connects anew, to
 * whoever is the master then. In a cluster all keys of a stream share a slot ({K}); redirections are followed within a call, and one that
 * waits for a slot on its way returns ERR_RETRY after a tenth of a second.
 *
 *   segfarm:streams                        set of stream keys
 *   segfarm:dispatchers                    set of dispatcher ids
 *   segfarm:dispatcher:<id>                what it says of itself (JSON), there while it lives
 *   segfarm:mail:<id>                      list: what other processes tell it
 *   segfarm:{K}:stream                     hash: source, options, mode, state, error, created, plan_hash, n_segments, renditions
 *   segfarm:{K}:owner                      "<dispatcher id> <fencing number>"
 *   segfarm:{K}:index  segfarm:{K}:plan    JSON
 *   segfarm:{K}:init:<rendition>           bytes
 * * segfarm:{K}:seg:<rendition>:<start>:<duration>:<i>   piece i, STORE_PIECE bytes (the last one fewer)
 *   segfarm:{K}:segs:<rendition>           hash "<start>:<duration>" -> "<bytes> <pieces> <xxh3 hex> <plan hash>"
 * * segfarm:{K}:play:<id>                  list: what a continuous stream has unread, with a lifetime
 * * segfarm:{K}:play:<id>:reader           there while somebody reads it
 *   segfarm:{K}:fails                      hash "<rendition>:<start>:<duration>" -> "<class> <attempts> <reason>"
 *   segfarm:data                           of two servers, on both: which two belong together (store_pair.c)
 *
 * A segment exists when its commit record does; a reader believes the pieces, not the record.
 */
#ifndef SEGFARM_COMMON_STORE_H
#define SEGFARM_COMMON_STORE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"
#include "common/store_url.h"

#include <sys/uio.h>

#define STORE_PIECE ((256u << 10) - 64) /* with what Redis puts around it, 256 KiB: a byte more, and its allocator takes 320 */
#define STORE_PIECES_MAX 4096
#define STORE_LIFETIME_S (INT64_C(10) * 365 * 86400) /* of segments: so that Redis can tell them from what it must not evict (volatile-lru) */
#define STORE_SEGMENT_MAX ((int64_t)STORE_PIECE * STORE_PIECES_MAX) /* bytes of one segment */
#define STORE_VALUE_MAX (512u << 20)         /* bytes of any value that is read whole */

struct store; /* a connection to each server; in a cluster to each master that was spoken to */

/* url: common/store_url.h, one or two with a space in between: state and data. Connects at once and PINGs; ERR_RETRY when Redis does not
 * answer, ERR_USAGE for a bad url, and for servers that do not belong together: one alone of two, or two of different farms. */
int store_open(struct store **store, const char *url, int timeout_ms, struct err *err);
void store_close(struct store *store); /* NULL is fine */
/* Of a cluster: each master; of two servers: both, and whether they still belong together. */
int store_ping(struct store *store, struct err *err);
/* Counts what went wrong with the store itself, and not with what was asked of it. */
unsigned store_troubles(const struct store *store);
/* What Redis says of its memory (INFO), all masters of a cluster, and two servers, together. */
struct store_info {
	int64_t used, max, evicted; /* bytes; 0: as much as there is; keys since it was started */
};
int store_get_info(struct store *store, struct store_info *info, struct err *err);
/* Calls fn for each setting of a server by which what is stored may be lost: which server, and a sentence about it. */
int store_check_settings(struct store *store, void (*fn)(void *arg, const char *where, const char *text), void *arg, struct err *err);
/* For the calls that follow. */
void store_set_timeout(struct store *store, int timeout_ms);
/* Counts connections made; when it changes, what was remembered of Redis must be looked at again. */
unsigned store_generation(const struct store *store);
/* Every key begins with prefix (default "segfarm:"): kept by pointer. For tests and shared servers. */
void store_set_prefix(struct store *store, const char *prefix);

struct store_segment {
	char stream[RECORD_KEY_SIZE];
	char rendition[RECORD_RENDITION_MAX + 1];
	int64_t start, duration; /* ticks */
};
struct store_commit {
	int64_t bytes;
	int pieces;
	char checksum[17]; /* XXH3-64 of all bytes, hex */
	char plan_hash[RECORD_KEY_SIZE];
};

/* --- streams (dispatcher) */

/* How a stream is made: ahead, only when somebody asks, or only when somebody asks because a person does not want more. */
enum store_mode { STORE_PRECOMPUTE, STORE_ON_DEMAND, STORE_CANCELLED };

#define STORE_RENDITIONS_SIZE 1024
struct store_stream {
	struct record_source source;
	struct record_options options;
	bool is_on_demand;   /* mode "on-demand" or "cancelled"; else "precompute" */
	bool is_cancelled;
	/* read only */
	char state[16], error[400];
	int64_t n_segments, created; /* of the plan, 0: none yet; seconds since 1970 */
	char renditions[STORE_RENDITIONS_SIZE]; /* of the plan: names with spaces between them */
};
/* Written before "accepted" is said; overwriting the same stream is harmless, but for its mode. options and source are
 * stored as JSON texts. Of one that was removed before all that is left goes first. */
int store_put_stream(struct store *s, const char *stream, const struct store_stream *what, struct err *err);
/* 1 there, 0 no such stream, ERR_DATA: it cannot be read. */
int store_get_stream(struct store *s, const char *stream, struct store_stream *what, struct err *err);
/* 1, 0: no such stream. */
int store_set_mode(struct store *s, const char *stream, enum store_mode mode, struct err *err);
/* Forgets what could not be made, so that it is tried again. */
int store_clear_fails(struct store *s, const char *stream, struct err *err);
/* Removes a stream: it is not there any more, and what was made of it goes by store_clean. Until then it is listed. One that is accepted
 * again in the round trip in which another call of store_clean unlists it is listed again in the next one; should that caller die in just
 * between, it stays unlisted until it is accepted once more: the list and the stream may be in different slots of a cluster. */
int store_remove_stream(struct store *s, const char *stream, struct err *err);
/* Takes away some of what is left of a removed stream: so little that nobody waits for it. 1 there is more, 0 nothing is left, or it
 * is not one that was removed. Several may do it at once. */
int store_clean(struct store *s, const char *stream, struct err *err);
/* The keys of all accepted streams, and those that are not cleaned up: n of them, to be freed; NULL, 0 on an error. */
int store_list_streams(struct store *s, char (**keys)[RECORD_KEY_SIZE], size_t *n, struct err *err);
/* state: "probing", "working", "done", "partial", "failed"; error: a sentence or "". owner: what store_own_stream gave; NULL: whoever we are.
 * ERR_STOPPED: it has another owner. One that was removed meanwhile stays so. */
int store_set_state(struct store *s, const char *stream, const char *owner, const char *state, const char *error,
		    struct err *err);

/* --- values: which is "index", "plan" or "init:<rendition>". get: 1 there (appended to *out), 0 absent. */
int store_put_value(struct store *s, const char *stream, const char *which, struct bytes value, struct err *err);
int store_get_value(struct store *s, const char *stream, const char *which, struct buf *out, struct err *err);
/* 1 there, 0 absent. */
int store_has_value(struct store *s, const char *stream, const char *which, struct err *err);
/* The plan, then its hash, its number of segments and the names of its renditions (spaces between them) into the stream's hash. owner
 * as above. */
int store_put_plan(struct store *s, const char *stream, const char *owner, struct bytes json, const char *hash, size_t n_segments,
		   const char *renditions, struct err *err);

/* --- segments */
/* Writes all pieces straight from iov (not copied) and commits them. Pieces carry a short
 * lifetime until the commit; ttl_s (0: for ever) from then on. 0: it exists now (first writer wins, equal bytes are
 * assumed).
 * ERR_STOPPED when the stream's plan hash is another by now. */
int store_put_segment(struct store *s, const struct store_segment *seg, const char *plan_hash, const struct iovec *iov,
		      int n_iov, int64_t ttl_s, struct store_commit *commit, struct err *err);
/* 1 and *commit, or 0 absent. */
int store_get_commit(struct store *s, const struct store_segment *seg, struct store_commit *commit, struct err *err);
/* Appends piece i to *out; 1 there, 0 gone: then call store_drop_commit and make the segment again. */
int store_get_piece(struct store *s, const struct store_segment *seg, int i, struct buf *out, struct err *err);
/* 1 it is there, 0 it is not. */
int store_has_piece(struct store *s, const struct store_segment *seg, int i, struct err *err);
/* Pieces 0 to pieces - 1, given to fn one by one while Redis sends the next ones. 1 all were there, 0 one is gone. What fn returns
 * other than 0, a negative code, ends it and is returned. */
int store_get_pieces(struct store *s, const struct store_segment *seg, int pieces,
		     int (*fn)(void *arg, struct bytes piece, struct err *err), void *arg, struct err *err);
int store_drop_commit(struct store *s, const struct store_segment *seg, struct err *err);
/* The record and its pieces (as many as the record says): nobody needs the segment any more. */
int store_delete_segment(struct store *s, const struct store_segment *seg, int pieces, struct err *err);
/* Calls fn for every committed segment of a rendition, for one that comes in meanwhile perhaps, for any perhaps twice
 * (HSCAN). What fn returns other than 0 ends it and is returned. */
int store_list_commits(struct store *s, const char *stream, const char *rendition,
		       int (*fn)(void *arg, int64_t start, int64_t duration, const struct store_commit *c), void *arg,
		       struct err *err);

/* How many there are. */
int store_count_commits(struct store *s, const char *stream, const char *rendition, int64_t *n, struct err *err);

/* --- plays: a continuous stream on its way from the worker that makes it to the one who passes it on. Nothing of it
 * outlives either of them for long: the writer stops when the reader's lease is gone, and what is unread has a lifetime. */
#define STORE_PLAY_UNREAD 32     /* pieces: 8 MiB */
#define STORE_PLAY_LEASE_S 10    /* to be renewed well before */
struct store_play {
	char stream[RECORD_KEY_SIZE], id[RECORD_KEY_SIZE];
};
/* Reader: begins, and renews the lease. */
int store_keep_play(struct store *s, const struct store_play *play, struct err *err);
/* Reader: nobody reads any more; nothing is left. */
int store_end_play(struct store *s, const struct store_play *play, struct err *err);
/* Reader: 1 and the next piece (appended to *out; none: the end of the stream) with its number, 0 there is none yet. */
int store_take_play(struct store *s, const struct store_play *play, int64_t *number, struct buf *out, struct err *err);
/* Writer: appends piece `number` of at most STORE_PIECE bytes, not copied. 1 done; 0 too much is unread: call again later
 * (that is also what keeps it alive); ERR_STOPPED: nobody reads any more. */
int store_put_play(struct store *s, const struct store_play *play, int64_t number, const struct iovec *iov, int n_iov,
		   struct err *err);

/* --- failures */
int store_put_fail(struct store *s, const char *owner, const struct store_segment *seg, const char *class_name, int attempts,
		   const char *reason, struct err *err);
/* Calls fn for every failed segment. */
typedef int store_fail_fn(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
			  const char *reason);
int store_list_fails(struct store *s, const char *stream, store_fail_fn *fn, void *arg, struct err *err);

/* --- dispatchers: several on one Redis. Each stream has one owner, a dispatcher that lives; one that does not renew its lease in time
 * is dead for all others, and its id is never used again. */
#define STORE_LEASE_MS 6000
#define STORE_ID_SIZE 17      /* of a dispatcher: 16 hex digits and NUL */
#define STORE_OWNER_SIZE 40   /* "<id> <fencing number>" and NUL */
#define STORE_MAIL_MAX (64u << 10)
#define STORE_MAILS_MAX 10000 /* unread; the oldest are dropped */
/* is_new: takes the lease; else renews it. 1; 0: it has run out (or, of a new one, the id is taken). */
int store_keep_dispatcher(struct store *s, const char *id, bool is_new, struct bytes status, struct err *err);
/* Its lease ends now. */
int store_end_dispatcher(struct store *s, const char *id, struct err *err);
/* Calls fn for each that lives. */
int store_list_dispatchers(struct store *s, int (*fn)(void *arg, const char *id, struct bytes status), void *arg,
			   struct err *err);
/* 1 it lives, 0 it does not. */
int store_has_dispatcher(struct store *s, const char *id, struct err *err);
/* The owners of n streams, "" where there is none. */
int store_get_owners(struct store *s, const char (*streams)[RECORD_KEY_SIZE], size_t n, char (*owners)[STORE_OWNER_SIZE],
		     struct err *err);
/* Becomes the owner instead of `old` ("": nobody): 1 and *owner; 0: somebody else was faster. */
int store_own_stream(struct store *s, const char *stream, const char *id, const char *old, char owner[STORE_OWNER_SIZE],
		     struct err *err);
/* What the others need to know of a dispatcher, and workers that look for one; it lives as long as the lease that is renewed beside it. */
#define STORE_ENDPOINT_SIZE 256
#define STORE_HOSTNAME_SIZE 65
struct store_beacon {
	char id[STORE_ID_SIZE];
	int64_t n_streams; /* that it drives: not finished */
	char endpoint[STORE_ENDPOINT_SIZE]; /* where workers connect; "" it does not say */
	char host[STORE_HOSTNAME_SIZE]; /* the only one that reaches it there; "" any */
};
int store_put_beacon(struct store *s, const struct store_beacon *beacon, struct err *err);
/* Of all that live: how many, at most max. Whatever is damaged is passed over. */
int store_list_beacons(struct store *s, struct store_beacon *beacons, int max, struct err *err);
int store_send_mail(struct store *s, const char *id, struct bytes mail, struct err *err);
/* Waits for mail on a connection that does nothing else: poll its descriptor, then take. */
int store_await_mail(struct store *s, const char *id, struct err *err);
int store_mail_fd(const struct store *s); /* -1: call store_await_mail */
/* 1 and the mail, 0 there is none yet. ERR_RETRY: await it anew. */
int store_take_mail(struct store *s, struct buf *mail, struct err *err);

#endif
