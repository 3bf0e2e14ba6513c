/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_events.h"

#include "common/json.h"
#include "common/key.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/api.h"
#include "dispatcher/cluster.h"
#include "dispatcher/http_internal.h"
#include "dispatcher/outbox.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define TICK_MS 1000
#define BEAT_MS 15000        /* after so long without an event a comment goes out */
#define STREAMS_A_TICK 128   /* that are told of; the rest have their turn in the next tick */
#define SEGMENTS_A_TICK 1000
#define BLOCK (16u << 10)
#define RESET "event: reset\ndata: {}\n\n"
#define TYPE "text/event-stream"

struct listener {
	struct http_request request; /* first */
	struct http_events *events;
	struct MHD_Connection *connection;
	struct list link;
	struct outbox out;
	int64_t told_ms;
	bool is_suspended, is_gone;
	char key[RECORD_KEY_SIZE];   /* of the stream that it is about; "": all */
	uint8_t *states;             /* of that stream's segments, as they were told; NULL: not known */
	size_t n_states;
};

void http_events_init(struct http_events *events)
{
	list_init(&events->all);
}

/* --- one who listens */

static void wake(struct listener *l)
{
	if (!l->is_suspended)
		return;
	l->is_suspended = false;
	MHD_resume_connection(l->connection);
}

static void tell(struct listener *l, const void *text, size_t size)
{
	outbox_put(&l->out, text, size);
	l->told_ms = proc_now_ms();
	wake(l);
}

/* Who is about one stream hears of that one only. */
static void tell_all(struct http_events *events, const struct buf *text, const char *key)
{
	for (struct list *at = events->all.next; at != &events->all; at = at->next) {
		struct listener *l = LIST_OF(at, struct listener, link);

		if (!l->key[0] || (key && !strcmp(l->key, key)))
			tell(l, text->data, text->size);
	}
}

static void begin_event(struct buf *out, const char *name)
{
	buf_reset(out);
	buf_printf(out, "event: %s\ndata: ", name);
}

static void end_event(struct buf *out)
{
	buf_put_str(out, "\n\n");
}

/* Microhttpd asks for bytes. */
static ssize_t read_events(void *arg, uint64_t position, char *to, size_t max)
{
	struct listener *l = arg;
	size_t size;

	(void)position;
	if (l->is_gone || l->events->is_stopping)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	size = outbox_take(&l->out, to, max);
	if (!size) {
		l->is_suspended = true;
		MHD_suspend_connection(l->connection);
	}
	return (ssize_t)size;
}

/* --- what is told */

static void put_sample(const struct http_events *events, unsigned number, struct buf *json)
{
	jput_open(json, NULL, '[');
	for (int i = 0; i < HTTP_EVENTS_FIELDS; i++)
		jput_int(json, NULL, events->samples[number % HTTP_EVENTS_SAMPLES][i]);
	jput_close(json, ']');
}

static void put_history(const struct http_events *events, struct buf *out)
{
	unsigned n = events->n_samples < HTTP_EVENTS_SAMPLES ? events->n_samples : HTTP_EVENTS_SAMPLES;

	begin_event(out, "history");
	jput_begin(out);
	jput_int(out, "step_ms", HTTP_EVENTS_SAMPLE_MS);
	jput_int(out, "room", HTTP_EVENTS_SAMPLES);
	jput_open(out, "samples", '[');
	for (unsigned i = events->n_samples - n; i != events->n_samples; i++)
		put_sample(events, i, out);
	jput_close(out, ']');
	jput_close(out, '}');
	end_event(out);
}

static void take_sample(struct http_events *events, const struct dispatch *d, struct buf *out)
{
	int64_t *sample = events->samples[events->n_samples++ % HTTP_EVENTS_SAMPLES];
	int64_t made_ms = timeline_scale_round(d->counters.ticks_made, 1000, TICKS_PER_SECOND);

	sample[0] = (int64_t)d->queue.n_pending[QUEUE_PLAYER];
	sample[1] = (int64_t)d->queue.n_pending[QUEUE_AHEAD];
	sample[2] = (int64_t)d->queue.n_pending[QUEUE_PRECOMPUTE];
	sample[3] = (int64_t)d->queue.n_in_flight;
	sample[4] = made_ms - events->made_ms;
	events->made_ms = made_ms;
	if (!events->n)
		return;
	begin_event(out, "sample");
	jput_begin(out);
	jput_open(out, "sample", '[');
	for (int i = 0; i < HTTP_EVENTS_FIELDS; i++)
		jput_int(out, NULL, sample[i]);
	jput_close(out, ']');
	jput_close(out, '}');
	end_event(out);
	tell_all(events, out, NULL);
}

/* Of what is worth telling: not how long a worker has been silent. */
static uint64_t hash_farm(const struct dispatch *d)
{
	uint64_t hash = XXH3_64bits(&d->counters, sizeof(d->counters));
	uint64_t counts[] = { d->queue.n_pending[QUEUE_PLAYER], d->queue.n_pending[QUEUE_AHEAD], d->queue.n_pending[QUEUE_PRECOMPUTE],
			      d->queue.n_in_flight, d->queue.n_waiting, (uint64_t)d->n_wants, (uint64_t)d->n_streams,
			      (uint64_t)d->n_workers, d->is_store_down };

	hash = XXH3_64bits_withSeed(counts, sizeof(counts), hash);
	for (int i = 0; i < d->n_workers; i++) {
		const struct queue_item *item = queue_first_job(&d->queue, d->workers[i]->number);
		int64_t at[] = { d->workers[i]->pid, item ? item->job : 0 };

		hash = XXH3_64bits_withSeed(at, sizeof(at), hash);
	}
	return hash;
}

/* Asks Redis for the others, unless it is down. */
static void tell_farm(struct http *h, struct buf *out)
{
	uint64_t hash = hash_farm(h->dispatch);
	struct err err = { 0 };
	struct store *store = h->dispatch->is_store_down ? NULL : http_store(h, &err);

	if (hash == h->events.farm || !store)
		return;
	begin_event(out, "farm");
	if (http_api_put_farm(h, store, out, &err) < 0)
		return;
	h->events.farm = hash;
	end_event(out);
	tell_all(&h->events, out, NULL);
}

static uint64_t hash_stream(const struct dispatch_stream *s)
{
	uint64_t facts[] = { s->state, s->n_made, s->n_quarantined, s->has_plan ? plan_count(&s->plan) : 0, s->is_on_demand, s->is_cancelled, 1 };

	return XXH3_64bits_withSeed(facts, sizeof(facts), XXH3_64bits_withSeed(s->error, strlen(s->error), XXH3_64bits(s->owner, strlen(s->owner))));
}

static void tell_streams(struct http *h, struct buf *out)
{
	struct dispatch *d = h->dispatch;
	int n = d->n_streams, n_told = 0;

	for (int i = 0; i < n && n_told < STREAMS_A_TICK; i++) {
		struct dispatch_stream *s = d->streams[(h->events.first + i) % n];
		uint64_t hash = hash_stream(s);

		if (s->is_noop || s->told == hash)
			continue;
		s->told = hash;
		begin_event(out, "stream");
		http_api_put_stream(h, s, out);
		end_event(out);
		tell_all(&h->events, out, s->key);
		n_told++;
	}
	h->events.first = n ? (h->events.first + 1) % n : 0;
}

/* As if all had been told: who begins to listen then asks how things are. */
static void skip_streams(struct dispatch *d)
{
	for (int i = 0; i < d->n_streams; i++)
		d->streams[i]->told = hash_stream(d->streams[i]);
}

/* --- segments */

/* False: there is no plan, or it is another one: all segments are as they are now. */
static bool keep_states(struct listener *l, const struct dispatch *d, const struct dispatch_stream *s)
{
	size_t n = s->has_plan ? plan_count(&s->plan) : 0;

	if (l->states && l->n_states == n)
		return true;
	free(l->states);
	l->states = n ? malloc(n) : NULL;
	l->n_states = l->states ? n : 0;
	for (size_t i = 0; i < l->n_states; i++)
		l->states[i] = (uint8_t)api_segment_state(d, s, i);
	return false;
}

/* Those of a rendition, which begins with segment `first`, that have changed; how many. */
static int put_changed(struct listener *l, const struct dispatch *d, const struct dispatch_stream *s, size_t first, int most, struct buf *out)
{
	size_t end = first + s->plan.n_segments;
	int n = 0;

	jput_open(out, NULL, '{');
	jput_str(out, "name", plan_rendition(&s->plan, first));
	jput_open(out, "segments", '[');
	for (size_t i = first; i < end && n < most; i++) {
		uint8_t state = (uint8_t)api_segment_state(d, s, i);

		if (state == l->states[i])
			continue;
		l->states[i] = state;
		api_put_segment(d, s, i, NULL, out);
		n++;
	}
	jput_close(out, ']');
	jput_close(out, '}');
	return n;
}

/* Another dispatcher's stream is known for as long as somebody asks for it. */
static struct dispatch_stream *find_followed(const struct listener *l, struct dispatch *d)
{
	struct err err = { 0 };
	struct dispatch_stream *s = d->is_store_down ? dispatch_find(d, l->key) : cluster_find(d, l->key, &err);

	if (s)
		http_refresh(d, s);
	return s;
}

static void tell_segments(struct listener *l, struct dispatch *d, struct buf *out)
{
	const struct dispatch_stream *s = find_followed(l, d);
	int n = 0;

	if (!s || !keep_states(l, d, s))
		return;
	begin_event(out, "segments");
	jput_begin(out);
	jput_str(out, "key", s->key);
	jput_open(out, "renditions", '[');
	for (size_t i = 0; i < l->n_states; i += s->plan.n_segments)
		n += put_changed(l, d, s, i, SEGMENTS_A_TICK - n, out);
	jput_close(out, ']');
	jput_close(out, '}');
	end_event(out);
	if (n)
		tell(l, out->data, out->size);
}

/* --- requests */

static struct listener *create(struct http_call *call, const char *key)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->request.kind = HTTP_REQUEST_EVENTS;
	l->events = &call->http->events;
	l->connection = call->connection;
	l->out = (struct outbox){ .limit = HTTP_EVENTS_BUFFER, .notice = RESET };
	l->told_ms = proc_now_ms();
	memcpy(l->key, key, strlen(key) + 1);
	list_append(&l->events->all, &l->link);
	l->events->n++;
	return l;
}

/* What it needs to begin with. */
static void greet(struct http *h, struct listener *l)
{
	struct buf out = { 0 };
	struct dispatch_stream *s = l->key[0] ? dispatch_find(h->dispatch, l->key) : NULL;

	if (l->events->n == 1) {
		skip_streams(h->dispatch);
		l->events->farm = hash_farm(h->dispatch);
		l->events->tick_ms = proc_now_ms() + TICK_MS;
	}
	if (s)
		keep_states(l, h->dispatch, s);
	if (!l->key[0]) {
		put_history(l->events, &out);
		tell(l, out.data, out.size);
	} else {
		tell(l, ":\n\n", 3); /* so that the header goes out */
	}
	buf_finish(&out);
}

enum MHD_Result http_events_send(struct http_call *call)
{
	struct http_events *events = &call->http->events;
	const char *key = http_call_argument(call, "stream");
	struct MHD_Response *response;
	struct listener *l;
	struct err err = { 0 };

	if (key && !key_is_valid(key))
		return http_send_problem(call, MHD_HTTP_BAD_REQUEST, "stream takes the key of a stream");
	if (key && !cluster_find(call->http->dispatch, key, &err))
		return err.code || call->http->dispatch->is_store_down ? http_send_trouble(call)
								       : http_send_problem(call, MHD_HTTP_NOT_FOUND, "there is no such stream");
	if (events->n >= HTTP_EVENTS_MAX || events->is_stopping)
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "too many listen");
	if (http_call_is_head(call))
		return http_send(call, MHD_HTTP_OK, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT), TYPE, HTTP_CACHE_NEVER);
	l = create(call, key ? key : "");
	if (!l)
		return http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
	call->request = &l->request;
	greet(call->http, l);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_events, l, NULL);
	if (response)
		MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* to nginx: what comes has to go on at once */
	return http_send(call, MHD_HTTP_OK, response, TYPE, HTTP_CACHE_NEVER);
}

void http_events_end(struct http_request *request)
{
	struct listener *l = (struct listener *)request;

	list_remove(&l->link);
	l->events->n--;
	outbox_finish(&l->out);
	free(l->states);
	free(l);
}

void http_events_note_gone(struct http_events *events, const char *key)
{
	struct buf out = { 0 };

	if (!events->n)
		return;
	begin_event(&out, "gone");
	jput_begin(&out);
	jput_str(&out, "key", key);
	jput_close(&out, '}');
	end_event(&out);
	tell_all(events, &out, key);
	buf_finish(&out);
}

/* --- the clock */

static void look_after(struct http_events *events, struct dispatch *d, struct buf *out, int64_t now_ms)
{
	for (struct list *at = events->all.next; at != &events->all; at = at->next) {
		struct listener *l = LIST_OF(at, struct listener, link);

		if (l->key[0])
			tell_segments(l, d, out);
		if (now_ms - l->told_ms >= BEAT_MS)
			tell(l, ":\n\n", 3);
		if (l->is_suspended && http_call_has_left(l->connection)) {
			l->is_gone = true;
			wake(l);
		}
	}
}

void http_events_work(struct http *h)
{
	struct http_events *events = &h->events;
	int64_t now_ms = proc_now_ms();
	struct buf out = { 0 };

	if (!h->dispatch)
		return;
	if (now_ms >= events->sample_ms) {
		take_sample(events, h->dispatch, &out);
		events->sample_ms = now_ms + HTTP_EVENTS_SAMPLE_MS;
	}
	if (events->n && now_ms >= events->tick_ms) {
		tell_farm(h, &out);
		look_after(events, h->dispatch, &out, now_ms);
		tell_streams(h, &out);
		events->tick_ms = now_ms + TICK_MS;
	}
	buf_finish(&out);
}

int http_events_next_ms(const struct http_events *events)
{
	int64_t left_ms = events->tick_ms - proc_now_ms();

	if (!events->n)
		return -1;
	return left_ms > 0 ? (int)left_ms : 0;
}

void http_events_stop(struct http_events *events)
{
	events->is_stopping = true;
	for (struct list *at = events->all.next; at != &events->all; at = at->next)
		wake(LIST_OF(at, struct listener, link));
}
