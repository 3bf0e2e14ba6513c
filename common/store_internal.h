/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files store*.c share. Nobody else includes this, or hiredis.
 *
 *   store_connection.c   one connection: bytes, replies, errors
 *   store_connect.c      who is connected to: the one server, the master that sentinels name, the nodes of a cluster
 *   store_command.c      one command, to where its key is, again where that has changed
 *   store_pair.c         two servers that belong together
 *
 * With two servers there are two struct store, each with connections of its own. Callers have the one of the state, which keeps the other;
 * with one server it is both.
 *
 * A command names the key that it is about (any of its stream: they share a slot), and goes to the node that has it. Several commands on
 * their way at once are for what is worth it: pieces, and the owners of many streams. What comes back redirected of those is asked for
 * again one by one.
 */
#ifndef SEGFARM_COMMON_STORE_INTERNAL_H
#define SEGFARM_COMMON_STORE_INTERNAL_H

#include "common/store.h"
#include "common/store_slot.h"
#include "common/store_url.h"

#include <hiredis/hiredis.h>
#include <xxhash.h>

#define STORE_KEY_MAX 256  /* bytes of a Redis key, NUL included */
#define STORE_BATCH 512    /* buffers given to one sendmsg; at most IOV_MAX */
#define STORE_TEXT 16384   /* bytes of command heads per batch */

enum store_script {
	STORE_SCRIPT_PEEK,
	STORE_SCRIPT_COMMIT,
	STORE_SCRIPT_SETTLE,
	STORE_SCRIPT_GUARD,
	STORE_SCRIPT_OWN,
	STORE_SCRIPT_ACCEPT,
	STORE_SCRIPT_UPDATE,
	STORE_SCRIPT_MAIL,
	STORE_SCRIPT_LOOK,
	STORE_SCRIPT_PUSH,
	STORE_SCRIPT_REMOVE,
	STORE_SCRIPT_CLEAN,
	STORE_SCRIPT_FORGET,
	STORE_N_SCRIPTS
};

/* Whether our servers are those of the farm: to be looked at after each new connection. */
enum store_pair { STORE_PAIR_UNKNOWN, STORE_PAIR_ASKING, STORE_PAIR_KNOWN };

struct store {
	struct store *state, *data; /* where the segments are, and where everything else is; with one server both are this one */
	enum store_pair pair;       /* of the state */
	bool was_paired;            /* they were once */
	struct store_url url;
	char name[STORE_URL_MAX]; /* the url as it may be shown */
	int timeout_ms;
	const char *prefix;
	redisContext *c;          /* the one that is spoken to, nodes[at]; NULL: not connected */
	redisContext *nodes[STORE_NODES_MAX]; /* of the map's nodes; without a map the first one only */
	int at;
	const struct store_address *here;     /* of c; NULL: that of the url */
	struct store_address master;          /* as sentinels say */
	struct store_map *map;                /* of a cluster */
	int asked;                /* the node that gave the map */
	bool is_stale;            /* the map has to be asked for anew */
	struct store_redirect redirect; /* in the error that came last */
	unsigned generation, troubles;
	XXH3_state_t *hash;
	bool is_awaiting; /* mail */
};

/* --- store_connection.c: with the node that is spoken to */

/* Connects (address NULL: to the unix socket), and says to all but a sentinel who we are. ERR_RETRY, ERR_USAGE */
int store_connect_to(struct store *s, const struct store_address *address, bool is_sentinel, struct err *err);
void store_disconnect(struct store *s);
/* Sends, whatever the size; nothing is copied. */
int store_send_bytes(struct store *s, const struct iovec *v, int n_v, struct err *err);
/* Sends a command in hiredis' own format without waiting; store_reply takes the answer. */
int store_send(struct store *s, struct err *err, const char *fmt, ...);
/* The next reply; free it. An error reply is turned into a code. */
int store_reply(struct store *s, redisReply **reply, struct err *err);
/* The next reply, of a string of at most max bytes, appended to *out. 1; 0: there is no value. */
int store_reply_string(struct store *s, struct buf *out, size_t max, struct err *err);
/* The next n replies, thrown away; the first error among them. All n are read unless the connection is lost. */
int store_replies(struct store *s, int n, struct err *err);
/* send and reply, for connecting */
int store_ask(struct store *s, redisReply **reply, struct err *err, const char *fmt, ...);
/* A reply of a type that cannot be. Frees it and disconnects. */
int store_surprise(struct store *s, redisReply *reply, struct err *err);
/* Whom we speak to, for messages; until the next call. */
const char *store_where(const struct store *s);

/* Commands on their way out without being copied: buffers are gathered and sent when a batch is full. */
struct store_sender {
	struct store *s;
	struct err *err;
	int rc; /* sticky */
	int n;
	size_t n_text;
	struct iovec v[STORE_BATCH];
	char text[STORE_TEXT];
};
void store_sender_init(struct store_sender *o, struct store *s, struct err *err);
/* data must stay as it is until store_sender_flush. */
void store_sender_put(struct store_sender *o, const void *data, size_t size);
void store_sender_printf(struct store_sender *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int store_sender_flush(struct store_sender *o);
struct iovec store_iov(const void *data, size_t size); /* sendmsg only reads */

/* --- store_connect.c */

/* Turns to the node that has a key (NULL: to any), connected. */
int store_turn(struct store *s, const char *key, struct err *err);
/* To one by its number, connected; without a cluster there is number 0. */
int store_turn_node(struct store *s, int node, struct err *err);
void store_turn_to(struct store *s, int node); /* or not connected */
/* The node with a key, in a cluster whose map is known. */
int store_node_of(const struct store *s, const char *key);
int store_n_nodes(const struct store *s);

/* --- store_pair.c: of the state. ERR_USAGE; of those that were right before ERR_RETRY */
int store_check_pair(struct store *s, struct err *err);

/* --- store_sentinel.c, store_cluster.c */
int store_sentinel_connect(struct store *s, struct err *err);
/* Finds the map, if there is none or it is stale. */
int store_cluster_load(struct store *s, struct err *err);
/* The answer to CLUSTER SLOTS of the node at `host`. ERR_DATA */
int store_cluster_read(struct store_map *map, const redisReply *reply, const char *host, struct err *err);
/* After s->redirect: turns to where the command has to be sent again, or waits. */
int store_cluster_follow(struct store *s, const char *key, struct err *err);

/* --- store_command.c: one command and its answer. key: NULL: any node will do. */

int store_call(struct store *s, const char *key, redisReply **reply, struct err *err, const char *fmt, ...);
/* Whose answer is thrown away. */
int store_do(struct store *s, const char *key, struct err *err, const char *fmt, ...);
/* Whose answer is a number. */
int store_count(struct store *s, const char *key, int64_t *n, struct err *err, const char *fmt, ...);
int store_call_argv(struct store *s, const char *key, redisReply **reply, struct err *err, int argc, const char **argv,
		    const size_t *sizes);
/* Whether there is such a key: 1, 0. */
int store_exists(struct store *s, const char *key, struct err *err);
/* In Redis' own format, not copied. */
int store_call_bytes(struct store *s, const char *key, const struct iovec *v, int n_v, redisReply **reply, struct err *err);
/* GET: 1, appended to *out, of at most max bytes; 0: there is none */
int store_get_string(struct store *s, const char *key, struct buf *out, size_t max, struct err *err);

/* --- store_script.c */

#define STORE_ARGS_MAX 128 /* of a script */
/* keys first; sizes NULL: of strings */
int store_script(struct store *s, enum store_script which, int n_keys, const char *const *argv, int n, const size_t *sizes,
		 redisReply **reply, struct err *err);
const char *store_script_text(enum store_script which);
/* Runs a command on one key, argv[1], if the stream has that owner (NULL: whoever it has), and throws its reply away. ERR_STOPPED: it has
 * another. */
int store_guarded(struct store *s, const char *stream, const char *owner, const char *const *argv, int n, const size_t *sizes,
		  struct err *err);

/* --- store_segment.c */

/* Adds the keys of a segment's pieces to a command, and returns how many; of one whose record is broken all that there may be, and none
 * where no segment has such a field. begin: of all keys of the stream. */
int store_put_pieces(struct buf *keys, const char *begin, const char *rendition, const redisReply *field, const redisReply *record);
/* UNLINK of n keys (0 is fine) that were added so, all in one slot, that of `key`. */
int store_unlink(struct store *s, const char *key, const struct buf *keys, int n, struct err *err);

/* --- store.c */

/* "<prefix><name><id>", of what belongs to no stream */
void store_common_key(const struct store *s, char key[STORE_KEY_MAX], const char *name, const char *id);
/* "<prefix>{<stream>}:<rest>" */
int store_key(const struct store *s, char key[STORE_KEY_MAX], const char *stream, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
bool store_begins_with(const char *s, const char *prefix);
bool store_is_rendition(const char *s);

#endif
