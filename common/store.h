/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Store: what segfarm keeps in Redis. Only store*.c include hiredis. Calls block, with a time-out;
 * after any I/O error the connection is freed, the call returns ERR_RETRY, and the next call connects anew.
 *
 *   segfarm:streams                        set of stream keys
 *   segfarm:{K}:stream                     hash: source, options, state, error, created, plan_hash
 *   segfarm:{K}:index  segfarm:{K}:plan    JSON
 *   segfarm:{K}:init:<rendition>           bytes
 *   segfarm:{K}:seg:<rendition>:<start>:<duration>:<i>   piece i, STORE_PIECE bytes (the last one fewer)
 *   segfarm:{K}:segs:<rendition>           hash "<start>:<duration>" -> "<bytes> <pieces> <xxh3 hex> <plan hash>"
 *   segfarm:{K}:play:<id>                  list: what a continuous stream has unread, with a lifetime
 *   segfarm:{K}:play:<id>:reader           there while somebody reads it
 *   segfarm:{K}:fails                      hash "<rendition>:<start>:<duration>" -> "<class> <attempts> <reason>"
 *
 * A segment exists when its commit record does; a reader believes the pieces, not the record.
 */
#ifndef SEGFARM_COMMON_STORE_H
#define SEGFARM_COMMON_STORE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"

#include <sys/uio.h>

#define STORE_PIECE (256u << 10)
#define STORE_SEGMENT_MAX ((int64_t)1 << 30) /* bytes of one segment */
#define STORE_VALUE_MAX (512u << 20)         /* bytes of any value that is read whole */

struct store; /* one connection */

/* url: unix:///path/to.sock, redis://[:password@]host[:port][/db], or rediss:// (refused: no TLS in this hiredis).
 * Connects at once and PINGs; ERR_RETRY when Redis does not answer, ERR_USAGE for a bad url. */
int store_open(struct store **store, const char *url, int timeout_ms, struct err *err);
void store_close(struct store *store); /* NULL is fine */
int store_ping(struct store *store, struct err *err);
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
/* Written before "accepted" is said; overwriting the same stream is harmless. options and source are
 * stored as JSON texts. */
int store_put_stream(struct store *s, const char *stream, const struct record_source *source,
		     const struct record_options *options, struct err *err);
/* 1 there, 0 no such stream. source and options may be NULL. */
int store_get_stream(struct store *s, const char *stream, struct record_source *source,
		     struct record_options *options, struct err *err);
/* Calls fn for each accepted stream key, until it returns something other than 0, which is returned. */
int store_list_streams(struct store *s, int (*fn)(void *arg, const char *stream), void *arg, struct err *err);
/* state: "probing", "working", "done", "failed"; error: a sentence or "". */
int store_set_state(struct store *s, const char *stream, const char *state, const char *error, struct err *err);

/* --- values: which is "index", "plan" or "init:<rendition>". get: 1 there (appended to *out), 0 absent. */
int store_put_value(struct store *s, const char *stream, const char *which, struct bytes value, struct err *err);
int store_get_value(struct store *s, const char *stream, const char *which, struct buf *out, struct err *err);
/* The plan, and its hash into the stream's hash, in one transaction. */
int store_put_plan(struct store *s, const char *stream, struct bytes json, const char *hash, struct err *err);

/* --- segments */
/* Writes all pieces straight from iov (not copied; iov[] itself may be altered) and commits them. Pieces carry a short
 * lifetime until the commit; ttl_s (0: for ever) from then on. 0: it exists now (first writer wins, equal bytes are
 * assumed).
 * ERR_STOPPED when the stream's plan hash is another by now. */
int store_put_segment(struct store *s, const struct store_segment *seg, const char *plan_hash, struct iovec *iov,
		      int n_iov, int64_t ttl_s, struct store_commit *commit, struct err *err);
/* 1 and *commit, or 0 absent. */
int store_get_commit(struct store *s, const struct store_segment *seg, struct store_commit *commit, struct err *err);
/* Appends piece i to *out; 1 there, 0 gone: then call store_drop_commit and make the segment again. */
int store_get_piece(struct store *s, const struct store_segment *seg, int i, struct buf *out, struct err *err);
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
int store_put_fail(struct store *s, const struct store_segment *seg, const char *class_name, int attempts,
		   const char *reason, struct err *err);

#endif
