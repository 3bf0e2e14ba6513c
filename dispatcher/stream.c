/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/stream.h"

#include "common/log.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "dispatcher/place.h"
#include "dispatcher/plan.h"
#include "dispatcher/want.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_DEADLINE_MS 30000
#define JOB_DEADLINE_FACTOR 10       /* times the segment's duration; of encoded video more */
#define JOB_DEADLINE_ENCODE 60
#define ENCODER_CRASHES_MAX 3        /* of a stream: from then on no attempt is made with it */
#define PROBE_URL_MS (INT64_C(3600) * 1000)
#define PROBE_BYTES_PER_MS 20000     /* the slowest disk that may have to be read through */
#define QUARANTINE_SOURCE_AT 8       /* quarantined segments, when they are also most of those finished */

void stream_destroy(struct dispatch_stream *s)
{
	if (!s)
		return;
	want_finish(s);
	plan_finish(&s->plan);
	free(s->segments);
	free(s->sizes);
	free(s);
}

int stream_compare(const void *a, const void *b)
{
	const struct dispatch_stream *one = a, *other = b;

	return strcmp(one->key, other->key);
}

int stream_create(struct dispatch *d, const char *key, struct dispatch_stream **stream, struct err *err)
{
	struct dispatch_stream **grown =
		realloc(d->streams, ((size_t)d->n_streams + 1) * sizeof(struct dispatch_stream *));
	struct dispatch_stream *s = calloc(1, sizeof(*s));

	if (grown)
		d->streams = grown;
	if (s)
		s->number = queue_add_stream(&d->queue, 1, false);
	if (!grown || !s || s->number < 0) {
		free(s);
		return err_set(err, ERR_NOMEM, "out of memory for a stream");
	}
	list_init(&s->wants);
	list_init(&s->players);
	snprintf(s->key, sizeof(s->key), "%s", key);
	d->queue.streams[s->number]->user = s;
	d->streams[d->n_streams++] = s;
	if (!tsearch(s, &d->by_key, stream_compare))
		log_warn("stream is not found by its key", "stream=%s reason=\"out of memory\"", key);
	*stream = s;
	return 0;
}

void dispatch_address(const struct dispatch_stream *stream, size_t segment, struct store_segment *address)
{
	memset(address, 0, sizeof(*address));
	snprintf(address->stream, sizeof(address->stream), "%s", stream->key);
	snprintf(address->rendition, sizeof(address->rendition), "%s", plan_rendition(&stream->plan, segment));
	address->start = plan_segment(&stream->plan, segment)->start;
	address->duration = plan_segment(&stream->plan, segment)->duration;
}

uint8_t *dispatch_gaps(const struct dispatch_stream *stream)
{
	uint8_t *gaps = stream->n_quarantined ? malloc(plan_count(&stream->plan)) : NULL;

	for (size_t i = 0; gaps && i < plan_count(&stream->plan); i++)
		gaps[i] = stream->segments[i] == DISPATCH_QUARANTINED;
	return gaps;
}

static const char *const state_names[] = { "probing", "working", "done", "partial", "failed" };

int stream_save_state(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	return s->is_noop || !s->is_mine ? 0 : store_set_state(d->store, s->key, s->owner, state_names[s->state], s->error, err);
}

static void set_state(struct dispatch *d, struct dispatch_stream *s, enum dispatch_state state)
{
	struct err err;

	s->state = state;
	if (state == DISPATCH_FAILED)
		want_settle_all(d, s);
	if (s->is_noop || !s->is_mine)
		return;
	if (state == DISPATCH_FAILED)
		log_warn("stream failed", "stream=%s reason=\"%s\"", s->key, s->error);
	else
		log_info("stream state", "stream=%s state=%s", s->key, state_names[state]);
	if (stream_save_state(d, s, &err) < 0)
		dispatch_note_trouble(d, &err);
}

/* The state that follows from the counts. */
static void update_state(struct dispatch *d, struct dispatch_stream *s)
{
	enum dispatch_state state = DISPATCH_WORKING;

	if (s->state == DISPATCH_FAILED || !s->has_plan)
		return;
	if (s->n_made == plan_count(&s->plan))
		state = DISPATCH_DONE;
	else if (!s->n_made && s->n_quarantined == plan_count(&s->plan))
		state = DISPATCH_FAILED;
	else if (s->n_made + s->n_quarantined == plan_count(&s->plan))
		state = DISPATCH_PARTIAL;
	if (state != s->state)
		set_state(d, s, state);
}

static void mark_made(struct dispatch *d, struct dispatch_stream *s, size_t i, int64_t size)
{
	if (s->segments[i] == DISPATCH_MADE)
		return;
	s->n_quarantined -= s->segments[i] == DISPATCH_QUARANTINED;
	s->segments[i] = DISPATCH_MADE;
	s->sizes[i] = size;
	s->n_made++;
	s->ticks_made += plan_segment(&s->plan, i)->duration;
	if (d->on_made)
		d->on_made(d->on_made_arg, s, i);
	want_settle(d, s, (uint32_t)i + 1);
}

void stream_unmake(struct dispatch_stream *s, size_t i)
{
	if (s->segments[i] != DISPATCH_MADE)
		return;
	s->segments[i] = DISPATCH_MISSING;
	s->sizes[i] = -1;
	s->n_made--;
	s->ticks_made -= plan_segment(&s->plan, i)->duration;
}

/* Takes a plan over; what an earlier one had queued is dropped. */
static int adopt_plan(struct dispatch *d, struct dispatch_stream *s, struct plan *plan, struct err *err)
{
	size_t n = plan_count(plan);
	uint8_t *segments = calloc(n, 1);
	int64_t *sizes = malloc(n * sizeof(*sizes));

	if (!segments || !sizes || !queue_set_slots(&d->queue, s->number, n + 1)) {
		free(segments);
		free(sizes);
		plan_finish(plan);
		return err_set(err, ERR_NOMEM, "out of memory for a plan");
	}
	for (size_t i = 0; i < n; i++)
		sizes[i] = -1;
	queue_drop_pending(&d->queue, s->number, QUEUE_PLAYER);
	plan_finish(&s->plan);
	free(s->segments);
	free(s->sizes);
	s->plan = *plan;
	s->segments = segments;
	s->sizes = sizes;
	s->n_made = s->n_quarantined = 0;
	s->ticks_made = 0;
	s->has_plan = true;
	place_stream(d, s);
	want_settle_all(d, s);
	log_info("stream planned", "stream=%s segments=%zu renditions=%zu plan=%s encoder=%s", s->key, plan->n_segments, plan_renditions(plan),
		 plan->hash, plan->video.is_present && !plan->video.is_copy ? plan->video.encode.encoder : "none");
	return 0;
}

/* 1 all renditions that have an init segment have it in the store. */
static int look_for_inits(struct dispatch *d, const char *key, const struct plan *plan, struct err *err)
{
	char which[RECORD_RENDITION_MAX + 6];
	int ret = 1;

	for (size_t i = 0; i < plan_count(plan) && ret > 0; i += plan->n_segments)
		if (!plan_is_text(plan, i)) {
			snprintf(which, sizeof(which), "init:%s", plan_rendition(plan, i));
			ret = store_has_value(d->store, key, which, err);
		}
	return ret;
}

/* 1 index and init are in the store and the stream has its plan, 0 they are not there. */
static int load_index(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	struct index index = { 0 };
	struct buf json = { 0 };
	struct plan plan;
	int ret = store_get_value(d->store, s->key, "index", &json, err);

	if (ret <= 0)
		goto out;
	ret = index_get(buf_bytes(&json), &index, err);
	if (ret == ERR_UNSUPPORTED) { /* of another version: as if there were none */
		log_info("index is made anew", "stream=%s reason=\"%s\"", s->key, err->msg);
		ret = 0;
		goto out;
	}
	if (ret < 0) {
		err_prefix(err, "the index of the worker");
		goto out;
	}
	ret = plan_make(&index, &s->options, &plan, err);
	if (ret < 0)
		goto out;
	ret = look_for_inits(d, s->key, &plan, err);
	if (ret <= 0)
		plan_finish(&plan);
	else if (s->has_plan && !strcmp(plan.hash, s->plan.hash))
		plan_finish(&plan);
	else
		ret = adopt_plan(d, s, &plan, err) < 0 ? err->code : 1;
out:
	index_finish(&index);
	buf_finish(&json);
	return ret;
}

static int write_plan(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	struct buf json = { 0 };
	char renditions[STORE_RENDITIONS_SIZE] = "";
	size_t n = 0;
	int ret = plan_put(&s->plan, &json);

	for (size_t i = 0; i < plan_count(&s->plan) && n < sizeof(renditions); i += s->plan.n_segments)
		n += (size_t)snprintf(renditions + n, sizeof(renditions) - n, "%s%s", i ? " " : "", plan_rendition(&s->plan, i));
	if (ret < 0)
		err_set(err, ret, "the plan cannot be written as JSON");
	else
		ret = store_put_plan(d->store, s->key, s->owner, buf_bytes(&json), s->plan.hash, plan_count(&s->plan), renditions, err);
	buf_finish(&json);
	return ret;
}

struct listing {
	struct dispatch_stream *stream;
	const char *rendition;
	int64_t *sizes;    /* of what is committed, -1: nothing */
	uint8_t *is_stale; /* committed, but from another plan */
};

static int list_commit(void *arg, int64_t start, int64_t duration, const struct store_commit *commit)
{
	struct listing *listing = arg;
	const struct plan *plan = &listing->stream->plan;
	int64_t i = plan_find_segment(plan, listing->rendition, start, duration);

	if (i < 0)
		return 0;
	if (strcmp(commit->plan_hash, plan->hash))
		listing->is_stale[i] = 1;
	else
		listing->sizes[i] = commit->bytes;
	return 0;
}

/* Brings segment states in line with the commits. */
static int apply_listing(struct dispatch *d, struct listing *listing, struct err *err)
{
	struct dispatch_stream *s = listing->stream;
	struct store_segment address;

	for (size_t i = 0; i < plan_count(&s->plan); i++) {
		if (listing->sizes[i] >= 0) {
			mark_made(d, s, i, listing->sizes[i]);
			continue;
		}
		stream_unmake(s, i);
		dispatch_address(s, i, &address);
		if (listing->is_stale[i] && s->is_mine && store_drop_commit(d->store, &address, err) < 0)
			return err->code;
	}
	return 0;
}

static int read_commits(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	struct listing listing = { .stream = s };
	size_t n = plan_count(&s->plan);
	int ret = 0;

	listing.sizes = malloc(n * sizeof(*listing.sizes));
	listing.is_stale = calloc(n, 1);
	if (!listing.sizes || !listing.is_stale) {
		ret = err_set(err, ERR_NOMEM, "out of memory for a list of segments");
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		listing.sizes[i] = -1;
	for (size_t i = 0; i < n && ret >= 0; i += s->plan.n_segments) {
		listing.rendition = plan_rendition(&s->plan, i);
		ret = store_list_commits(d->store, s->key, listing.rendition, list_commit, &listing, err);
	}
	if (ret >= 0)
		ret = apply_listing(d, &listing, err);
out:
	free(listing.sizes);
	free(listing.is_stale);
	return ret;
}

static void quarantine(struct dispatch_stream *s, size_t i, const char *reason)
{
	s->segments[i] = DISPATCH_QUARANTINED;
	s->n_quarantined++;
	if (!s->error[0])
		snprintf(s->error, sizeof(s->error), "segment %zu of %zu%s%s: %s", i % s->plan.n_segments + 1, s->plan.n_segments,
			 plan_track(&s->plan, i) ? " of " : "", plan_track(&s->plan, i) ? plan_rendition(&s->plan, i) : "", reason);
}

/* splitmix64: the order of a shuffled run depends on its seed only. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void shuffle(uint32_t *slots, size_t n, uint64_t seed)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = (size_t)(next_random(&seed) % i);
		uint32_t slot = slots[i - 1];

		slots[i - 1] = slots[other];
		slots[other] = slot;
	}
}

static int queue_missing(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	size_t n = 0, n_renditions = plan_renditions(&s->plan);
	uint32_t *slots = malloc(plan_count(&s->plan) * sizeof(*slots));
	int64_t now_ms = proc_now_ms();
	int ret = slots ? 0 : -1;

	/* moment by moment, so that a player finds all renditions equally far */
	for (size_t k = 0; slots && k < plan_count(&s->plan) && !s->is_on_demand; k++) {
		size_t i = k / n_renditions + k % n_renditions * s->plan.n_segments;

		if (s->segments[i] == DISPATCH_MISSING)
			slots[n++] = (uint32_t)i + 1;
	}
	if (d->shuffle_seed)
		shuffle(slots, n, d->shuffle_seed);
	for (size_t i = 0; i < n && ret >= 0; i++)
		ret = queue_push(&d->queue, s->number, slots[i], QUEUE_PRECOMPUTE, now_ms);
	free(slots);
	if (ret >= 0 && want_queue(d, s, err) < 0)
		return err->code;
	return ret < 0 ? err_set(err, ERR_NOMEM, "out of memory for the queue") : 0;
}

/* Marks what could not be made before. */
static int note_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		     const char *reason)
{
	struct dispatch_stream *s = arg;
	int64_t i = plan_find_segment(&s->plan, rendition, start, duration);

	(void)class_name, (void)attempts;
	if (i >= 0 && s->segments[i] == DISPATCH_MISSING)
		quarantine(s, (size_t)i, reason);
	return 0;
}

static int put_stream(struct dispatch *d, const struct dispatch_stream *s, struct err *err)
{
	struct store_stream what = { .source = s->source, .options = s->options, .is_on_demand = s->is_on_demand,
				     .is_cancelled = s->is_cancelled };

	return store_put_stream(d->store, s->key, &what, err);
}

/* The same for a stream of another dispatcher's, which we only look at. */
static int look_at_segments(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	int ret = read_commits(d, s, err);

	return ret < 0 ? ret : store_list_fails(d->store, s->key, note_fail, s, err);
}

int stream_reconcile(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	int has_index, ret = 0;

	if (s->is_noop)
		return 0;
	if (s->is_mine)
		ret = put_stream(d, s, err);
	if (ret < 0 || s->state == DISPATCH_FAILED)
		return ret;
	has_index = load_index(d, s, err);
	if (has_index < 0)
		return has_index;
	if (!has_index && s->is_mine && dispatch_push(d, s, 0, QUEUE_AHEAD, err) < 0)
		return err->code;
	if (!s->has_plan)
		return 0;
	if (s->is_mine)
		ret = write_plan(d, s, err);
	if (ret >= 0)
		ret = look_at_segments(d, s, err);
	if (ret >= 0 && s->is_mine)
		ret = queue_missing(d, s, err);
	if (ret >= 0)
		update_state(d, s);
	return ret < 0 ? ret : 0;
}

void stream_refresh(struct dispatch *d, struct dispatch_stream *s, uint32_t slot)
{
	struct store_stream what;
	struct err err = { 0 };
	int ret = store_get_stream(d->store, s->key, &what, &err);

	if (ret == 1 && !strcmp(what.state, state_names[DISPATCH_FAILED])) {
		snprintf(s->error, sizeof(s->error), "%s", what.error);
		set_state(d, s, DISPATCH_FAILED);
		return;
	}
	if (ret == 1)
		ret = stream_check_slot(d, s, slot, &err);
	if (!ret && s->has_plan)
		ret = store_list_fails(d->store, s->key, note_fail, s, &err);
	if (ret < 0)
		dispatch_note_trouble(d, &err);
	if (ret >= 0 && slot && s->has_plan && slot <= plan_count(&s->plan) && s->segments[slot - 1] != DISPATCH_MISSING)
		want_settle(d, s, slot);
}

void stream_drop_jobs(struct dispatch *d, struct dispatch_stream *s)
{
	for (uint32_t slot = 0; slot < d->queue.streams[s->number]->n_slots; slot++) {
		struct queue_item *item = queue_drop(&d->queue, s->number, slot);

		if (item)
			dispatch_cancel(d, item);
	}
}

void stream_retry(struct dispatch_stream *s)
{
	for (size_t i = 0; s->has_plan && i < plan_count(&s->plan); i++)
		if (s->segments[i] == DISPATCH_QUARANTINED)
			s->segments[i] = DISPATCH_MISSING;
	s->n_quarantined = 0;
	s->n_encoder_crashes = 0;
	s->error[0] = '\0';
	s->state = s->has_plan ? DISPATCH_WORKING : DISPATCH_PROBING;
}

bool stream_has_other_encoder(const struct record_video *v)
{
	return v->is_present && !v->is_copy && strcmp(v->encode.encoder, RECORD_SOFTWARE);
}

void stream_note_failure(struct dispatch *d, struct dispatch_stream *s, enum queue_failure failure)
{
	if (failure != QUEUE_CRASH || !s->has_plan || !stream_has_other_encoder(&s->plan.video))
		return;
	if (++s->n_encoder_crashes != ENCODER_CRASHES_MAX)
		return;
	place_stream(d, s);
	log_warn("the encoder is used no more", "stream=%s encoder=%s reason=\"%d crashes\"", s->key, s->plan.video.encode.encoder,
		 ENCODER_CRASHES_MAX);
}

bool stream_trusts_encoder(const struct dispatch_stream *s)
{
	return s->n_encoder_crashes < ENCODER_CRASHES_MAX;
}

/* By libx264, whose parameter sets stand in the init segment as well. */
static void use_software(struct record_encode *e)
{
	snprintf(e->encoder, sizeof(e->encoder), "%s", RECORD_SOFTWARE);
	e->sets[0] = '\0';
}

void stream_make_job(const struct dispatch_stream *s, const struct queue_item *item, struct job *job)
{
	int64_t factor;

	memset(job, 0, sizeof(*job));
	job->id = item->job;
	memcpy(job->stream, s->key, sizeof(job->stream));
	job->source = s->source;
	job->options = s->options;
	job->deadline_ms = JOB_DEADLINE_MS;
	if (s->is_noop) {
		job->type = JOB_NOOP;
		job->sleep_ms = s->noop_ms;
		return;
	}
	if (!item->slot) {
		job->type = JOB_PROBE;
		job->deadline_ms += record_is_url(s->source.path) ? PROBE_URL_MS : s->source.size / PROBE_BYTES_PER_MS;
		return;
	}
	job_set_segment(job, &s->plan, item->slot - 1);
	if (stream_has_other_encoder(&job->video) && (item->attempts || !stream_trusts_encoder(s)))
		use_software(&job->video.encode);
	job->is_tolerant = item->attempts == QUEUE_ATTEMPTS_MAX - 1;
	factor = job->video.is_present && !job->video.is_copy ? JOB_DEADLINE_ENCODE : JOB_DEADLINE_FACTOR;
	job->deadline_ms += factor * job->segment.duration / (TICKS_PER_SECOND / 1000);
}

static int check_segment(struct dispatch *d, struct dispatch_stream *s, size_t i, struct err *err)
{
	struct store_segment address;
	struct store_commit commit;
	int ret;

	if (!s->has_plan || i >= plan_count(&s->plan))
		return 1; /* of a plan that is no more: nobody wants it */
	dispatch_address(s, i, &address);
	ret = store_get_commit(d->store, &address, &commit, err);
	if (ret <= 0 || strcmp(commit.plan_hash, s->plan.hash))
		return ret < 0 ? ret : 0;
	mark_made(d, s, i, commit.bytes);
	update_state(d, s);
	return 1;
}

int stream_check_slot(struct dispatch *d, struct dispatch_stream *s, uint32_t slot, struct err *err)
{
	int ret;

	if (s->is_noop) {
		s->n_made++;
		return 1;
	}
	if (slot)
		return check_segment(d, s, slot - 1, err);
	ret = load_index(d, s, err);
	if (ret <= 0)
		return ret;
	place_stream(d, s); /* planned anew by one of the same build it has the same plan, which is for those alone */
	ret = stream_reconcile(d, s, err);
	return ret < 0 ? ret : 1;
}

void stream_give_up(struct dispatch *d, struct dispatch_stream *s, uint32_t slot, int code, int attempts,
		    const char *reason)
{
	struct store_segment address;
	size_t i = slot - 1;
	struct err err;

	if (s->is_noop || (slot && (!s->has_plan || i >= plan_count(&s->plan))))
		return;
	if (!slot) {
		snprintf(s->error, sizeof(s->error), "%s", reason);
		queue_drop_pending(&d->queue, s->number, QUEUE_PLAYER);
		set_state(d, s, DISPATCH_FAILED);
		return;
	}
	if (s->segments[i] != DISPATCH_MISSING) /* an earlier attempt has made it in the end */
		return;
	quarantine(s, i, reason);
	d->metrics.quarantined++;
	log_error("segment quarantined", "stream=%s rendition=%s start=%" PRId64 " attempts=%d reason=\"%s\"", s->key,
		  plan_rendition(&s->plan, i), plan_segment(&s->plan, i)->start, attempts, reason);
	dispatch_address(s, i, &address);
	if (store_put_fail(d->store, s->owner, &address, err_code_name(code), attempts, reason, &err) < 0)
		dispatch_note_trouble(d, &err);
	want_settle(d, s, slot);
	if (s->n_quarantined >= QUARANTINE_SOURCE_AT && s->n_quarantined > s->n_made && s->state != DISPATCH_FAILED) {
		queue_drop_pending(&d->queue, s->number, QUEUE_PLAYER);
		set_state(d, s, DISPATCH_FAILED);
	}
	update_state(d, s);
}
