/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Events: what changes, told to those who listen to /v1/events as server-sent events, once a second at most. One who reads slowly misses
 * some, is told so ("reset"), and looks again. Internal to http.c.
 *
 *   farm      what GET /v1/farm says                    once a second, if it is something else than before
 *   stream    a STREAM of GET /v1/streams                that is new or has changed
 *   gone      {"key"}                                    it is not known here any more: removed, or another dispatcher's
 *   history   {"step_ms", "room", "samples": [SAMPLE...]}  at first; SAMPLE: [jobs for players who wait, ahead, precompute, in flight,
 *   sample    {"sample": SAMPLE}                         milliseconds of media made since the one before]
 *   reset     {}                                         some were missed
 *
 * With ?stream=K only "stream" of that one, "reset", and
 *
 *   segments  {"key", "renditions": [...]}               as in GET /v1/streams/K: those segments that are in another state than before,
 *                                                        without the reasons for gaps
 */
#ifndef SEGFARM_DISPATCHER_HTTP_EVENTS_H
#define SEGFARM_DISPATCHER_HTTP_EVENTS_H

#include "dispatcher/http_call.h"
#include "dispatcher/list.h"

#define HTTP_EVENTS_MAX 256                /* that listen at a time */
#define HTTP_EVENTS_BUFFER (256u << 10)    /* bytes that one has not read yet */
#define HTTP_EVENTS_SAMPLES 300            /* that are kept */
#define HTTP_EVENTS_SAMPLE_MS 2000
#define HTTP_EVENTS_FIELDS 5               /* of a sample */

struct http_events {
	struct list all; /* who listens */
	int n;
	int64_t tick_ms, sample_ms; /* when the next is due */
	uint64_t farm;              /* what was told last: a hash */
	int first;                  /* where in the streams the next tick begins */
	int64_t samples[HTTP_EVENTS_SAMPLES][HTTP_EVENTS_FIELDS];
	unsigned n_samples;         /* taken ever */
	int64_t made_ms;            /* of media, ever, at the last sample */
	bool is_stopping;
};

void http_events_init(struct http_events *events);
/* GET /v1/events */
enum MHD_Result http_events_send(struct http_call *call);
/* The request is over. */
void http_events_end(struct http_request *request);
/* A stream is forgotten. */
void http_events_note_gone(struct http_events *events, const char *key);

void http_events_work(struct http *h);
/* Milliseconds until http_events_work has something to do; -1: nobody listens. */
int http_events_next_ms(const struct http_events *events);
/* All that listen are hung up on, for good. */
void http_events_stop(struct http_events *events);

#endif
