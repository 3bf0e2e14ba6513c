/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include "common/proc.h"
#include "common/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_WAIT_MS 15000 /* for a worker to become free; looking for the place may take it longer */
#define IDLE_TIMEOUT_S 300u /* a player that does not read keeps its worker for so long */

struct http_play {
	struct http_request request; /* first */
	struct http_play *next;
	struct http_plays *plays;
	struct dispatch *dispatch;
	struct http_call *call;
	struct dispatch_stream *stream;
	struct play *play;
	int64_t start, until_ms;
	bool is_suspended, is_answered;
	struct buf piece;
	size_t at;          /* bytes of it that are sent */
	int64_t number;     /* of the next one */
	bool is_end, is_broken;
};

int64_t http_play_duration(const struct dispatch_stream *s)
{
	const struct plan_segment *last = &s->plan.segments[s->plan.n_segments - 1];

	return last->start + last->duration;
}

/* Bytes from `start` on: as many for a tick as the segments that are made have (of those moments where each rendition that is played
 * has one), else as the source has. */
static int64_t estimate(const struct dispatch_stream *s, int64_t start)
{
	int64_t made = 0, ticks = 0, duration = http_play_duration(s);
	size_t first = plan_default(&s->plan), audio = plan_default_audio(&s->plan);

	for (size_t i = 0; i < s->plan.n_segments; i++)
		if (s->sizes[first + i] > 0 && s->sizes[audio + i] > 0) {
			made += s->sizes[first + i] + (audio != first ? s->sizes[audio + i] : 0);
			ticks += s->plan.segments[i].duration;
		}
	if (!made || !ticks) {
		made = s->source.size;
		ticks = duration;
	}
	return timeline_scale_round(duration - start, made, ticks);
}

static void add_headers(struct MHD_Response *response, const struct dispatch_stream *s, int64_t start)
{
	char text[40];
	int64_t ms = timeline_scale_round(http_play_duration(s), 1000, TICKS_PER_SECOND);

	if (!response)
		return;
	snprintf(text, sizeof(text), "%" PRId64 ".%03" PRId64, ms / 1000, ms % 1000);
	MHD_add_response_header(response, "X-Content-Duration", text);
	/* Not Content-Length: RFC 9110, section 8.6, wants that to be exact, and a client would wait for bytes that do not come. */
	snprintf(text, sizeof(text), "%" PRId64, estimate(s, start));
	MHD_add_response_header(response, "X-Estimated-Content-Length", text);
	MHD_add_response_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "none");
}

static ssize_t read_nothing(void *arg, uint64_t position, char *to, size_t max)
{
	(void)arg, (void)position, (void)to, (void)max;
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result send_play(struct http_call *call, struct MHD_Response *response, const struct dispatch_stream *s, int64_t start)
{
	add_headers(response, s, start);
	return http_send(call, MHD_HTTP_OK, response, s->plan.video.is_present ? HTTP_TYPE_MP4 : HTTP_TYPE_MP4_AUDIO, HTTP_CACHE_NEVER);
}

enum MHD_Result http_play_send_head(struct http_call *call, const struct dispatch_stream *s, int64_t start)
{
	return send_play(call, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1, read_nothing, NULL, NULL), s, start);
}

enum MHD_Result http_play_begin(struct http_call *call, struct dispatch_stream *s, int64_t start)
{
	struct http_plays *plays = &call->http->plays;
	struct dispatch *d = call->http->dispatch;
	struct http_play *p = calloc(1, sizeof(*p));
	struct err err = { 0 };

	if (!p)
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	if (play_begin(d, s, start, &p->play, &err) < 0) {
		free(p);
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, err.msg);
	}
	*p = (struct http_play){ .request.kind = HTTP_REQUEST_PLAY, .next = plays->first, .plays = plays, .dispatch = d, .call = call,
				 .stream = s, .play = p->play, .start = start, .until_ms = proc_now_ms() + FIRST_WAIT_MS,
				 .is_suspended = true };
	plays->first = p;
	call->request = &p->request;
	MHD_set_connection_option(call->connection, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_TIMEOUT_S);
	MHD_suspend_connection(call->connection);
	return MHD_YES;
}

void http_play_end(struct http_request *request)
{
	struct http_play *p = (struct http_play *)request;
	struct http_play **at = &p->plays->first;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	play_end(p->dispatch, p->play);
	buf_finish(&p->piece);
	free(p);
}

/* Takes the next piece. 1 it is in hand, or the stream is over, well or not; 0: wait. A worker that is over has put all it
 * has. */
static int take(struct http_play *p)
{
	bool is_over = p->play->is_over;
	int64_t number = -1;
	struct err err;
	int ret;

	buf_reset(&p->piece);
	p->at = 0;
	ret = store_take_play(p->call->http->store, &p->play->name, &number, &p->piece, &err);
	if (!ret && !is_over)
		return 0;
	if (ret == 1 && number == p->number++)
		p->is_end = !p->piece.size;
	else
		p->is_broken = true;
	return 1;
}

static bool has_something(const struct http_play *p)
{
	return p->at < p->piece.size || p->is_end || p->is_broken;
}

/* No worker has taken it in time. */
static bool is_too_late(const struct http_play *p)
{
	return !p->is_answered && proc_now_ms() >= p->until_ms && !play_is_given(p->dispatch, p->play);
}

/* Microhttpd asks for bytes. */
static ssize_t read_play(void *arg, uint64_t position, char *to, size_t max)
{
	struct http_play *p = arg;
	size_t size;

	(void)position;
	if (!has_something(p) && !take(p)) {
		if (p->plays->is_stopping)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		p->is_suspended = true;
		MHD_suspend_connection(p->call->connection);
		return 0;
	}
	if (p->is_broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (p->is_end)
		return MHD_CONTENT_READER_END_OF_STREAM;
	size = p->piece.size - p->at < max ? p->piece.size - p->at : max;
	memcpy(to, p->piece.data + p->at, size);
	p->at += size;
	return (ssize_t)size;
}

enum MHD_Result http_play_answer(struct http_request *request)
{
	struct http_play *p = (struct http_play *)request;

	if (!has_something(p) || p->is_broken) {
		if (p->play->is_failed)
			return http_send_problem(p->call, MHD_HTTP_BAD_GATEWAY, p->play->error);
		return http_send_problem(p->call, MHD_HTTP_SERVICE_UNAVAILABLE,
					 p->is_broken ? "the store does not answer" : "no worker is free");
	}
	p->is_answered = true;
	return send_play(p->call, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STORE_PIECE, read_play, p, NULL), p->stream, p->start);
}

void http_plays_work(struct http_plays *plays)
{
	for (struct http_play *p = plays->first; p; p = p->next) {
		if (!p->is_suspended)
			continue;
		/* a worker would begin for a player that has left while it waited */
		p->is_broken |= http_call_has_left(p->call->connection);
		if (has_something(p) || take(p) || is_too_late(p)) {
			p->is_suspended = false;
			MHD_resume_connection(p->call->connection);
		}
	}
}

bool http_plays_wait(const struct http_plays *plays)
{
	for (const struct http_play *p = plays->first; p; p = p->next)
		if (p->is_suspended)
			return true;
	return false;
}

void http_plays_stop(struct http_plays *plays)
{
	plays->is_stopping = true;
	for (struct http_play *p = plays->first; p; p = p->next)
		if (p->is_suspended) {
			p->is_suspended = false;
			MHD_resume_connection(p->call->connection);
		}
}
