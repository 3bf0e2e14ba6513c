/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The JSON of the HTTP API, as dispatcher/openapi.json describes it. Pure.
 */
#ifndef SEGFARM_DISPATCHER_API_H
#define SEGFARM_DISPATCHER_API_H

#include "dispatcher/access.h"
#include "dispatcher/dispatch.h"

#define API_BODY_MAX (64 << 10)   /* bytes of a request's body */
#define API_LIMIT 100             /* streams of a page, unless asked for fewer */
#define API_SEGMENTS_MAX 100000   /* of a stream that are listed */

/* --- a stream, as far as a dispatcher has it at hand, or as the store has it */
struct api_stream {
	const char *key, *state, *error, *owner; /* owner: id of a dispatcher, "" */
	const struct record_source *source;
	const struct record_options *options;
	bool is_on_demand;
	int64_t created;   /* seconds since 1970 */
	int64_t duration;  /* ticks; -1: not known */
	int64_t segments, made, failed;
};
void api_from_dispatch(const struct dispatch_stream *s, struct api_stream *stream);
/* made and failed: as counted. */
void api_from_store(const char *key, const struct store_stream *what, const char *owner, struct api_stream *stream);

/* Where it is played, and how URLs are signed: access NULL or without keys: not at all. */
struct api_urls {
	const struct access *access;
	int64_t expires;
};
/* The members of a STREAM, into an object that is open. */
void api_put_stream(const struct api_stream *stream, const struct api_urls *urls, struct buf *json);
void api_put_options(const struct record_options *options, struct buf *json);

/* --- tracks and segments of a stream with a plan */
/* "tracks", into an object that is open. */
void api_put_tracks(const struct plan *plan, struct buf *json);

#define API_FAILS_MAX 1000 /* of which the reasons are told */
struct api_fail {
	char rendition[RECORD_RENDITION_MAX + 1];
	int64_t start, duration;
	int attempts;
	char reason[400];
};
enum api_segment { API_MADE, API_RUNNING, API_QUEUED, API_MISSING, API_GAP };
enum api_segment api_segment_state(const struct dispatch *d, const struct dispatch_stream *s, size_t i);
/* "tracks" and "renditions", into an object that is open. fails: n of them. */
void api_put_parts(const struct dispatch *d, const struct dispatch_stream *s, const struct api_fail *fails, size_t n, struct buf *json);
/* One segment, as an element of an array; fail NULL: none is known. */
void api_put_segment(const struct dispatch *d, const struct dispatch_stream *s, size_t i, const struct api_fail *fail, struct buf *json);

/* --- what is submitted */
struct api_submit {
	char source[RECORD_PATH_MAX + 1];
	bool is_on_demand;
	struct record_options options;
};
/* ERR_DATA: it is not such JSON; the sentence names the member. ERR_USAGE: a value is not one of those that are taken. */
int api_get_submit(struct bytes json, struct api_submit *submit, struct err *err);

#endif
