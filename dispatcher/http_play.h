/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays over HTTP: a connection that waits for its worker is suspended, and woken when the next piece is there. Internal to
 * http.c.
 */
#ifndef SEGFARM_DISPATCHER_HTTP_PLAY_H
#define SEGFARM_DISPATCHER_HTTP_PLAY_H

#include "dispatcher/http_wait.h"
#include "dispatcher/play.h"

#include <microhttpd.h>

struct http_plays {
	struct http_play *first;
	bool is_stopping;
};

/* Of the title, ticks. */
int64_t http_play_duration(const struct dispatch_stream *s);
enum MHD_Result http_play_send_head(struct http_call *call, const struct dispatch_stream *s, int64_t start);
/* Queues the job and suspends the connection; the call's request becomes the play. Its store is open. */
enum MHD_Result http_play_begin(struct http_call *call, struct dispatch_stream *s, int64_t start);
/* The connection is awake: sends what there is, or why there is nothing. */
enum MHD_Result http_play_answer(struct http_request *request);
void http_play_end(struct http_request *request);

/* Wakes whom something has come for. */
void http_plays_work(struct http_plays *plays);
/* Somebody waits: look again in HTTP_PLAY_POLL_MS. */
#define HTTP_PLAY_POLL_MS 10
bool http_plays_wait(const struct http_plays *plays);
/* Wakes all, for good. */
void http_plays_stop(struct http_plays *plays);

#endif
