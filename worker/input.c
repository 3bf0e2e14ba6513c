/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/input.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK (INT64_C(256) << 10) /* least room for a read */
#define READ_THROUGH (INT64_C(1) << 20) /* up to here reading on is cheaper than going there */

void input_init_bytes(struct input *in, struct bytes bytes)
{
	*in = (struct input){ .data = bytes.data, .have = (int64_t)bytes.size, .size = (int64_t)bytes.size,
			      .is_stable = true, .is_seekable = true, .keep = INT64_MAX, .hold = INT64_MAX };
}

void input_init_source(struct input *in, const struct input_source *source, int64_t size)
{
	*in = (struct input){ .size = size, .is_seekable = source->seek != NULL, .keep = INT64_MAX, .hold = INT64_MAX,
			      .source = *source };
}

void input_close(struct input *in)
{
	if (in->source.close)
		in->source.close(in->source.arg);
	free(in->buffer);
	memset(in, 0, sizeof *in);
}

int input_status(const struct input *in, struct err *err)
{
	return in->status ? err_set(err, in->status, "%s", in->err.msg) : 0;
}

/* ---- the window */

static void fail(struct input *in, int code)
{
	in->status = code;
	in->size = in->at + in->have;
}

bool input_is_stopped(struct input *in)
{
	if (!in->status && in->is_stopped && in->is_stopped(in->arg)) {
		err_set(&in->err, ERR_STOPPED, "stopped");
		fail(in, ERR_STOPPED);
	}
	return in->status == ERR_STOPPED;
}

/* An empty window at `at`. */
static void move_to(struct input *in, int64_t at)
{
	in->at = at;
	in->have = 0;
	in->data = in->buffer;
}

/* Forgets what lies in front of `from`. */
static void forget(struct input *in, int64_t from)
{
	int64_t n = from - in->at;

	if (n <= 0)
		return;
	if (n > in->have)
		n = in->have;
	in->at += n;
	in->data += n;
	in->have -= n;
}

/* Room for `need` bytes from the window's start on, and a chunk behind what is there. */
static bool make_room(struct input *in, int64_t need)
{
	int64_t cap = in->cap ? in->cap : CHUNK * 2;

	if (!in->have)
		in->data = in->buffer;
	int64_t used = in->data - in->buffer;
	need = need > in->have + CHUNK ? need : in->have + CHUNK;
	if (in->cap - used >= need)
		return true;
	while (cap < need)
		cap *= 2;
	if (in->have)
		memmove(in->buffer, in->data, (size_t)in->have);
	in->data = in->buffer; /* also where there is no memory for more */
	if (cap > in->cap) {
		uint8_t *buffer = realloc(in->buffer, (size_t)cap);

		if (!buffer) {
			err_set(&in->err, ERR_NOMEM, "out of memory for %lld bytes of the source", (long long)cap);
			fail(in, ERR_NOMEM);
			return false;
		}
		in->buffer = buffer;
		in->cap = cap;
	}
	in->data = in->buffer;
	return true;
}

/* One read behind the window; false: nothing came. */
static bool read_more(struct input *in, int64_t need)
{
	int64_t used, got;

	if (!make_room(in, need))
		return false;
	used = in->data - in->buffer + in->have;
	got = in->source.read(in->source.arg, in->buffer + used, (size_t)(in->cap - used), &in->err);
	if (got <= 0) {
		fail(in, got < 0 ? (int)got : 0);
		return false;
	}
	in->have += got;
	in->n_read += got;
	return true;
}

static bool go_to(struct input *in, int64_t at)
{
	int ret = in->source.seek(in->source.arg, at, &in->err);

	if (ret) {
		fail(in, ret);
		return false;
	}
	in->n_seeks++;
	move_to(in, at);
	return true;
}

/* Reads on until the window reaches up to `at`, keeping what is to be kept. */
static bool read_through(struct input *in, int64_t at, int64_t kept)
{
	while (in->at + in->have < at) {
		forget(in, kept < at ? kept : at);
		if (in->at + LIMIT_INPUT_WINDOW < at && kept <= in->at)
			return false;
		if (!read_more(in, 1))
			return false;
	}
	return true;
}

void input_fill(struct input *in, int64_t at, int64_t need)
{
	int64_t kept = in->keep < in->hold ? in->keep : in->hold;

	if (in->is_stable || in->status || at < 0 || at >= in->size)
		return;
	if (need > LIMIT_INPUT_WINDOW)
		need = LIMIT_INPUT_WINDOW;
	if (in->is_seekable && (at < in->at || at > in->at + in->have + READ_THROUGH) && !go_to(in, at))
		return;
	if (at < in->at || !read_through(in, at, in->is_seekable ? at : kept))
		return;
	forget(in, !in->is_seekable && kept < at ? kept : at);
	while (in->at + in->have - at < need && in->at + in->have < in->size)
		if (in->have > LIMIT_INPUT_WINDOW || !read_more(in, at - in->at + need))
			return;
}
