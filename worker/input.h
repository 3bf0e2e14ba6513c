/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Input: the bytes of a source, wherever it lies: a window of them in memory, which moves when something outside is asked for.
 * A mapped file is one window that never moves; a pipe's window only moves forward.
 */
#ifndef SEGFARM_WORKER_INPUT_H
#define SEGFARM_WORKER_INPUT_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Most bytes that a window holds at once. */
#define LIMIT_INPUT_WINDOW (INT64_C(256) << 20)

struct allow;
struct input;
struct parts;
struct input_source {
	/* Up to n > 0 bytes from where the last one ended: how many, 0 at the end, < 0 with err filled. */
	int64_t (*read)(void *arg, uint8_t *to, size_t n, struct err *err);
	/* The next read is to begin at `at`. NULL: forward only. */
	int (*seek)(void *arg, int64_t at, struct err *err);
	void (*close)(void *arg);
	void *arg;
};

struct input {
	const uint8_t *data; /* the bytes [at, at + have) of the source */
	int64_t at, have;
	int64_t size;        /* of the source; INT64_MAX until its end was seen */
	bool is_stable;      /* views live as long as the input does: nothing moves */
	bool is_seekable;
	/* whoever reads it only goes on from the beginning, though he could go elsewhere: set before it is demuxed */
	bool is_forward;
	/* Where is_seekable is false, bytes from the smaller of these on are not forgotten; else they are read again. */
	int64_t keep;        /* moved by whoever reads on */
	int64_t hold;        /* by whoever wants to come back; INT64_MAX: nobody */
	int status;          /* first error of reading; from then on it is as if the source ended there */
	struct err err;
	int64_t n_seeks, n_read; /* places gone to, bytes read */
	int (*is_stopped)(void *arg); /* the caller's: whether to stop looking for what may never come; NULL: no */
	void *arg;
	struct parts *parts;     /* what it may open if it is a playlist, the caller's; NULL: nothing */
	struct input_source source;
	uint8_t *buffer;
	int64_t cap;
};

/* A source in memory: whole, and never moving. */
void input_init_bytes(struct input *in, struct bytes bytes);
/* Any other; size INT64_MAX: not known. Takes the source over: input_close closes it. */
void input_init_source(struct input *in, const struct input_source *source, int64_t size);
/* input_url.c: http:// or https:// through libavformat. ERR_RETRY: it does not answer, or nothing came for timeout_s seconds (> 0);
 * ERR_DATA: it is not there. allow (NULL: anything) tells which URLs may be asked for, redirects too, and at which addresses; it must
 * outlive the input; ERR_USAGE: not that. Waiting ends with ERR_STOPPED when is_stopped (NULL: never) says so. */
#define INPUT_URL_TIMEOUT_S 30 /* a sensible one */
int input_open_url(struct input *in, const char *url, int timeout_s, const struct allow *allow, int (*is_stopped)(void *),
		   void *arg, struct err *err);
/* The URL that answered, after redirects. */
const char *input_url_location(const struct input *in);
void input_close(struct input *in);

/* 0, or the code and message of what went wrong while reading. */
int input_status(const struct input *in, struct err *err);

/* The caller wants no more; input_status says so as well. */
bool input_is_stopped(struct input *in);

/* Makes the window hold [at, at + need), as far as the source goes. */
void input_fill(struct input *in, int64_t at, int64_t need);

/* The source's bytes from `at` on: at least `need` of them, fewer only at the end of the source, where it is broken, or over
 * LIMIT_INPUT_WINDOW. Lives until the next call for what lies outside the window. */
static inline struct bytes input_view(struct input *in, int64_t at, int64_t need)
{
	if (at < in->at || need > in->at + in->have - at)
		input_fill(in, at, need);
	if (at < in->at || at >= in->at + in->have)
		return (struct bytes){ 0 };
	return (struct bytes){ in->data + (at - in->at), (size_t)(in->at + in->have - at) };
}

#endif
