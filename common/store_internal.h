/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What store_connection.c, store_script.c, store.c (keys, streams, values), store_segment.c, store_remove.c, store_dispatcher.c and
 * store_play.c share. Nobody else includes this, or hiredis.
 */
#ifndef SEGFARM_COMMON_STORE_INTERNAL_H
#define SEGFARM_COMMON_STORE_INTERNAL_H

#include "common/store.h"

#include <hiredis/hiredis.h>
#include <xxhash.h>

#define STORE_KEY_MAX 256  /* bytes of a Redis key, NUL included */
#define STORE_SHA_SIZE 41
#define STORE_BATCH 512    /* buffers given to one sendmsg; at most IOV_MAX */
#define STORE_TEXT 16384   /* bytes of command heads per batch */

enum store_script { STORE_SCRIPT_PEEK, STORE_SCRIPT_COMMIT, STORE_SCRIPT_GUARD, STORE_SCRIPT_OWN, STORE_SCRIPT_CLEAN, STORE_N_SCRIPTS };

struct store {
	char *path;     /* unix socket, or NULL: host and port */
	char *host;
	int port;
	char *password; /* or NULL; never logged */
	int db;
	char *name;     /* the url without its password, for messages */
	int timeout_ms;
	const char *prefix;
	redisContext *c; /* NULL: not connected */
	unsigned generation, troubles;
	char sha[STORE_N_SCRIPTS][STORE_SHA_SIZE]; /* "": not loaded yet */
	XXH3_state_t *hash;
	bool is_awaiting; /* mail */
};

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

/* Connects if there is no connection. */
int store_connect(struct store *s, struct err *err);
void store_disconnect(struct store *s);
/* Sends a command in hiredis' own format without waiting; store_reply takes the answer. */
int store_send(struct store *s, struct err *err, const char *fmt, ...);
/* The next reply; free it. An error reply is turned into a code. */
int store_reply(struct store *s, redisReply **reply, struct err *err);
/* The next reply, of a string of at most max bytes, appended to *out. 1; 0: there is no value. */
int store_reply_string(struct store *s, struct buf *out, size_t max, struct err *err);
/* The next n replies, thrown away; the first error among them. All n are read unless the connection is lost. */
int store_replies(struct store *s, int n, struct err *err);
/* send and reply */
int store_call(struct store *s, redisReply **reply, struct err *err, const char *fmt, ...);
int store_call_argv(struct store *s, redisReply **reply, struct err *err, int argc, const char **argv, const size_t *sizes);
/* Whether there is such a key: 1, 0. */
int store_exists(struct store *s, const char *key, struct err *err);
/* Runs a script; sizes NULL: of strings. */
int store_script(struct store *s, enum store_script which, int n_keys, const char *const *argv, int n, const size_t *sizes,
		 redisReply **reply, struct err *err);
/* Runs a command if the stream has that owner (NULL: whoever it has), and throws its reply away. ERR_STOPPED: it has another. */
int store_guarded(struct store *s, const char *stream, const char *owner, const char *const *argv, int n, const size_t *sizes,
		  struct err *err);
/* A reply of a type that cannot be. Frees it and disconnects. */
int store_surprise(struct store *s, redisReply *reply, struct err *err);

/* "<prefix>{<stream>}:<rest>" */
int store_key(const struct store *s, char key[STORE_KEY_MAX], const char *stream, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
bool store_begins_with(const char *s, const char *prefix);
bool store_is_rendition(const char *s);

#endif
