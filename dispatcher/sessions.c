/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/sessions.h"

#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/place.h"
#include "dispatcher/play.h"
#include "dispatcher/stream.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES_MAX 1024 /* of one turn */
#define ELAPSED_MAX_US (86400 * INT64_C(1000000)) /* that a worker is believed */
#define FORMAT_UNTOLD 5 /* of workers of protocol 1, which do not say */
#define LATE_MS 1500      /* without a beat: is it there? */

/* --- workers */

static int compare_peers(const void *a, const void *b)
{
	const struct dispatch_worker *one = a, *other = b;

	if (one->peer.size != other->peer.size)
		return one->peer.size - other->peer.size;
	return memcmp(one->peer.id, other->peer.id, one->peer.size);
}

static struct dispatch_worker *find_peer(const struct dispatch *d, const struct bus_peer *peer)
{
	struct dispatch_worker key = { .peer = *peer };
	void *found = tfind(&key, &d->peers, compare_peers);

	return found ? *(struct dispatch_worker **)found : NULL;
}

static struct dispatch_worker *find_name(const struct dispatch *d, const char *key, const char *name)
{
	for (int i = 0; i < d->n_workers; i++)
		if (!strcmp(d->workers[i]->name, name) && !strcmp(d->workers[i]->peer.key, key))
			return d->workers[i];
	return NULL;
}

/* NULL: of a play, or it was removed. */
struct dispatch_stream *session_stream(const struct queue_item *item)
{
	return item->stream ? item->stream->user : NULL;
}

/* --- ends of jobs */

static enum metrics_pipeline pipeline_of(const struct dispatch *d, const struct queue_item *item)
{
	const struct dispatch_stream *s = session_stream(item);

	if (play_is(d, item))
		return METRICS_STREAM;
	if (!s || !item->slot || !s->has_plan)
		return METRICS_PROBE;
	if (plan_track(&s->plan, item->slot - 1)) /* a rendition without video */
		return METRICS_COPY;
	return s->plan.video.is_present && !s->plan.video.is_copy ? METRICS_ENCODE : METRICS_COPY;
}

/* The job ended badly, unless what it should make is there all the same: its DONE may have been overtaken. Returns
 * whether it ended badly. */
static bool fail_item(struct dispatch *d, struct queue_item *item, enum queue_failure failure, int code,
		      const char *reason)
{
	struct dispatch_stream *s = session_stream(item);
	uint32_t slot = item->slot;
	bool is_unwanted = !s || item->is_unwanted;
	uint64_t *ends = d->metrics.jobs[pipeline_of(d, item)];
	int attempts;
	struct err err;

	if (play_is(d, item)) {
		ends[METRICS_FAILED]++;
		stream_note_failure(d, d->plays[slot]->stream, failure);
		play_finish(d, item, reason);
		return true;
	}
	if (s && slot && !s->is_noop && !d->is_store_down && stream_check_slot(d, s, slot, &err) == 1) {
		queue_done(&d->queue, item, proc_now_ms());
		ends[METRICS_DONE]++;
		return false;
	}
	/* a server that does not answer will not be waited for without end; a store that is down will */
	if (s && failure == QUEUE_RETRY && record_is_url(s->source.path))
		failure = QUEUE_LOST;
	if (item->is_cancelled && code == ERR_STOPPED)
		failure = QUEUE_CANCELLED;
	if (is_unwanted || failure == QUEUE_CANCELLED) {
		ends[METRICS_CANCELLED]++;
		log_debug("job given up", "job=%" PRId64 " reason=\"%s\"", item->job, reason);
		queue_fail(&d->queue, item, failure, proc_now_ms(), &attempts);
		return true;
	}
	d->counters.jobs_failed++;
	ends[METRICS_FAILED]++;
	d->metrics.failures[failure]++;
	if (slot)
		stream_note_failure(d, s, failure);
	log_warn("job failed", "stream=%s slot=%u job=%" PRId64 " code=%s reason=\"%s\"", s->key, slot, item->job,
		 err_code_name(code), reason);
	if (!queue_fail(&d->queue, item, failure, proc_now_ms(), &attempts))
		stream_give_up(d, s, slot, code, attempts, reason);
	return true;
}

static int64_t ticks_of(const struct dispatch_stream *s, uint32_t slot)
{
	return s && slot && s->has_plan && slot <= plan_count(&s->plan) ? plan_segment(&s->plan, slot - 1)->duration : 0;
}

/* DONE is a hint: the store says whether it is so. */
static void finish_item(struct dispatch *d, struct queue_item *item)
{
	struct dispatch_stream *s = session_stream(item);
	uint64_t *ends = d->metrics.jobs[pipeline_of(d, item)];
	struct err err = { 0 };
	int ret;

	if (play_is(d, item)) {
		ends[METRICS_DONE]++;
		play_finish(d, item, NULL);
		return;
	}
	ret = s ? stream_check_slot(d, s, item->slot, &err) : 1;
	if (ret == 1 || ret == ERR_RETRY || ret == ERR_STOPPED) {
		d->is_store_suspect |= ret == ERR_STOPPED; /* it has lost who owns the stream: the job has no part in that */
		d->counters.jobs_done++;
		ends[METRICS_DONE]++;
		d->counters.ticks_made += ticks_of(s, item->slot);
		queue_done(&d->queue, item, proc_now_ms());
		if (ret < 0)
			dispatch_note_trouble(d, &err); /* what it made is looked for when the store is back */
	} else if (!ret) {
		d->is_store_suspect = true;
		fail_item(d, item, QUEUE_LOST, ERR_RETRY, "the worker said done, but the store does not have it");
	} else {
		fail_item(d, item, QUEUE_REFUSED, err.code, err.msg);
	}
}

static void forget_worker(struct dispatch *d, struct dispatch_worker *w)
{
	queue_remove_worker(&d->queue, w->number);
	tdelete(w, &d->peers, compare_peers);
	for (int i = 0; i < d->n_workers; i++)
		if (d->workers[i] == w)
			d->workers[i] = d->workers[--d->n_workers];
	free(w);
}

/* It did its jobs one by one: the first that is not done is the one it was at, the others it had not begun. */
void session_end(struct dispatch *d, struct dispatch_worker *w, enum queue_failure failure, const char *reason)
{
	struct queue_item *item;
	bool is_blamed = false;

	while ((item = queue_first_job(&d->queue, w->number))) {
		if (is_blamed)
			queue_take_back(&d->queue, item, proc_now_ms());
		else
			is_blamed = fail_item(d, item, failure, failure == QUEUE_CRASH ? ERR_DATA : ERR_RETRY, reason);
	}
	forget_worker(d, w);
}

/* Its pool says which job it had in hand; 0: none. What it did before that is done, whether we have heard of it or not. */
static void remove_dead(struct dispatch *d, struct dispatch_worker *w, enum queue_failure failure, int64_t job, const char *reason)
{
	struct queue_item *item = queue_find(&d->queue, w->number, job);

	if (!item && job)
		log_debug("dead worker was at a job that it did not have", "worker=%s job=%" PRId64, w->name, job);
	if (item)
		fail_item(d, item, failure, failure == QUEUE_CRASH ? ERR_DATA : ERR_RETRY, reason);
	while ((item = queue_first_job(&d->queue, w->number))) {
		struct err err;

		if (session_stream(item) && !session_stream(item)->is_noop && !d->is_store_down &&
		    stream_check_slot(d, session_stream(item), item->slot, &err) == 1)
			queue_done(&d->queue, item, proc_now_ms());
		else if (play_is(d, item))
			play_finish(d, item, reason);
		else
			queue_take_back(&d->queue, item, proc_now_ms());
	}
	forget_worker(d, w);
}

/* --- messages */

/* For a log line and for people: nothing that could break either. */
static void clean_reason(char *reason)
{
	for (; *reason; reason++)
		if ((unsigned char)*reason < 0x20 || *reason == 0x7f || *reason == '"' || *reason == '\\')
			*reason = '\'';
}

/* Its session, if it has one, ends as that of a worker that says nothing any more: it does not for us. */
static void note_misbehaviour(struct dispatch *d, const struct bus_peer *peer, const char *name)
{
	if (refusals_add(&d->refusals, peer, proc_now_ms()))
		log_warn("too many refused, not heard for a while", "from=%s key=\"%s\" ms=%d", name, peer->key, REFUSALS_DEAF_MS);
}

static void refuse(struct dispatch *d, const struct bus_peer *peer, const char *verb, const char *name, const char *why)
{
	unsigned unsaid;

	d->counters.messages_refused++;
	if (log_may(&d->refusals.log, &unsaid))
		log_warn("message refused", "verb=%s from=%s reason=\"%s\" unsaid=%u", verb, name, why, unsaid);
	note_misbehaviour(d, peer, name);
}

/* And is told why: it goes on trying, since one of us may be another version by then. */
static void refuse_worker(struct dispatch *d, const struct bus_peer *peer, const char *name, const char *why)
{
	struct msg m = { .verb = MSG_REFUSE };
	struct err err;

	d->counters.workers_refused++;
	refuse(d, peer, "HELLO", name, why);
	snprintf(m.reason, sizeof(m.reason), "%s", why);
	buf_reset(&d->json);
	if (msg_put(&m, &d->json) == 0 && bus_send(d->bus, peer, MSG_REFUSE, buf_bytes(&d->json), &err) < 0)
		log_debug("refused worker is gone", "reason=\"%s\"", err.msg);
}

/* What it says it is cannot work with us. */
static bool is_other_version(const struct msg *m, char why[200])
{
	int format = m->format ? m->format : FORMAT_UNTOLD;

	snprintf(why, 200, "its plans are of format %d, those of this dispatcher (version %s) of format %d: one of them has to be updated", format,
		 SEGFARM_VERSION, RECORD_FORMAT);
	return format != RECORD_FORMAT;
}

static void on_other_protocol(struct dispatch *d, const struct bus_peer *peer, enum msg_verb verb, const struct err *what)
{
	char why[200];

	snprintf(why, sizeof(why), "%.80s; this dispatcher (version %s) understands %d to %d: dispatchers are updated before workers", what->msg,
		 SEGFARM_VERSION, MSG_PROTOCOL_OLDEST, MSG_PROTOCOL);
	if (verb == MSG_HELLO)
		refuse_worker(d, peer, "somebody", why);
	else
		d->counters.messages_refused++;
}

/* Names are told apart by whose they are: nobody can speak for the worker of another key. */
static bool is_of_same_key(const struct dispatch_worker *w, const struct bus_peer *peer)
{
	return !strcmp(w->peer.key, peer->key);
}

/* Those that were in its place are dead; reason: what the latest of them died of. */
static void bury_before(struct dispatch *d, const struct bus_peer *peer, const struct msg *m)
{
	const char *generation = strrchr(m->name, '-');
	size_t place = generation ? (size_t)(generation - m->name) + 1 : 0;

	for (int i = d->n_workers; place && i-- > 0;) {
		struct dispatch_worker *w = d->workers[i];

		if (strncmp(w->name, m->name, place) || strchr(w->name + place, '-') || !is_of_same_key(w, peer))
			continue;
		log_warn("worker died", "worker=%s reason=\"%s\"", w->name, m->reason);
		metrics_note_death(&d->metrics, m->reason);
		if (m->reason[0])
			remove_dead(d, w, m->is_killed ? QUEUE_KILLED : QUEUE_CRASH, m->job, m->reason);
		else
			session_end(d, w, QUEUE_CRASH, "the worker process died");
	}
}

static struct dispatch_worker *add_worker(struct dispatch *d, const struct bus_peer *peer)
{
	struct dispatch_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->peer = *peer;
	w->number = queue_add_worker(&d->queue);
	if (w->number >= 0 && tsearch(w, &d->peers, compare_peers)) {
		d->queue.workers[w->number]->user = w;
		return w;
	}
	if (w->number >= 0)
		queue_remove_worker(&d->queue, w->number);
	free(w);
	return NULL;
}

static void on_hello(struct dispatch *d, const struct bus_peer *peer, struct msg *m)
{
	struct dispatch_worker *w = find_name(d, peer->key, m->name), **grown;
	char why[200];

	clean_reason(m->reason);
	if (is_other_version(m, why)) {
		refuse_worker(d, peer, m->name, why);
		return;
	}
	if (w) /* the same process, connected anew */
		session_end(d, w, QUEUE_LOST, "the worker connected again");
	bury_before(d, peer, m);
	note_misbehaviour(d, peer, m->name); /* it is none; but a row of sessions would be */
	if (d->n_workers == DISPATCH_WORKERS_MAX) {
		refuse(d, peer, "HELLO", m->name, "too many workers");
		return;
	}
	grown = realloc(d->workers, ((size_t)d->n_workers + 1) * sizeof(struct dispatch_worker *));
	if (grown)
		d->workers = grown;
	w = grown ? add_worker(d, peer) : NULL;
	if (!w) {
		refuse(d, peer, "HELLO", m->name, "out of memory");
		return;
	}
	memcpy(w->name, m->name, sizeof(w->name));
	memcpy(w->build, m->build, sizeof(w->build));
	memcpy(w->version, m->version, sizeof(w->version));
	memcpy(w->labels, m->labels, sizeof(w->labels));
	w->pid = m->pid;
	w->heard_ms = proc_now_ms();
	d->workers[d->n_workers++] = w;
	if (!place_worker(d, w)) {
		forget_worker(d, w);
		refuse_worker(d, peer, m->name, "there are too many kinds of workers");
		return;
	}
	log_info("worker joined", "worker=%s pid=%" PRId64 " version=%s protocol=%d build=%s labels=%s", w->name, w->pid, w->version,
		 w->peer.protocol, w->build, w->labels);
}

static void on_done(struct dispatch *d, struct dispatch_worker *w, const struct msg *m)
{
	struct queue_item *item = queue_find(&d->queue, w->number, m->job);

	if (!item) {
		refuse(d, &w->peer, "DONE", w->name, "it does not hold that job");
		return;
	}
	metrics_note_job(&d->metrics, pipeline_of(d, item), m->elapsed_us < ELAPSED_MAX_US ? m->elapsed_us : ELAPSED_MAX_US);
	log_debug("job done", "job=%" PRId64 " worker=%s elapsed_us=%" PRId64 " cpu_us=%" PRId64 " bytes=%" PRId64,
		  m->job, w->name, m->elapsed_us, m->cpu_us, m->bytes);
	finish_item(d, item);
}

/* Not begun, or left in time: the job is not blamed. Where all workers are at others' plays each gives it back, once for each credit: from
 * some number on it waits in between. */
static void put_elsewhere(struct dispatch *d, struct queue_item *item, const char *reason)
{
	int attempts;

	d->metrics.jobs[pipeline_of(d, item)][METRICS_CANCELLED]++;
	log_debug("job given up", "job=%" PRId64 " reason=\"%s\"", item->job, reason);
	queue_fail(&d->queue, item, item->preemptions < QUEUE_PREEMPTIONS_MAX ? QUEUE_CANCELLED : QUEUE_STORE, proc_now_ms(), &attempts);
}

static void on_fail(struct dispatch *d, struct dispatch_worker *w, struct msg *m)
{
	struct queue_item *item = queue_find(&d->queue, w->number, m->job);
	enum queue_failure failure = QUEUE_REFUSED;

	if (!item) {
		refuse(d, &w->peer, "FAIL", w->name, "it does not hold that job");
		return;
	}
	clean_reason(m->reason);
	if (m->code == ERR_STORE)
		d->lease_next_ms = 0; /* let us write to it ourselves */
	if (m->is_preempted && !(play_is(d, item) && item->is_unwanted)) { /* nobody watches that any more: it ends */
		put_elsewhere(d, item, m->reason);
		return;
	}
	d->is_store_suspect |= m->code == ERR_STOPPED && !play_is(d, item) && !item->is_cancelled; /* it did not find our plan there */
	if (m->code == ERR_RETRY || m->code == ERR_STOPPED)
		failure = QUEUE_RETRY;
	else if (m->code == ERR_STORE)
		failure = QUEUE_STORE;
	else if (m->code == ERR_NOMEM)
		failure = QUEUE_CRASH;
	fail_item(d, item, failure, m->code, m->reason);
}

/* What a worker may send after its HELLO. */
static bool is_expected(enum msg_verb verb)
{
	return verb == MSG_READY || verb == MSG_BEAT || verb == MSG_DONE || verb == MSG_FAIL || verb == MSG_BYE;
}

static void on_session(struct dispatch *d, struct dispatch_worker *w, struct msg *m)
{
	w->heard_ms = proc_now_ms();
	switch (m->verb) {
	case MSG_BEAT:
		w->beat_job = m->job;
		break;
	case MSG_READY:
		if (!queue_add_credits(&d->queue, w->number, m->credits))
			refuse(d, &w->peer, "READY", w->name, "more credits than a worker can have");
		break;
	case MSG_DONE:
		on_done(d, w, m);
		break;
	case MSG_FAIL:
		on_fail(d, w, m);
		break;
	case MSG_BYE: /* what it still holds it has not begun */
		remove_dead(d, w, QUEUE_LOST, 0, "the worker left");
		break;
	default:
		break;
	}
}

/* A session that we do not know, after we restarted or gave it up, must begin again: HELLO asks it to. Once per beat,
 * so that a row of its messages does not make a row of sessions. */
static void on_stranger(struct dispatch *d, const struct bus_peer *peer, enum msg_verb verb)
{
	struct msg hello = { .verb = MSG_HELLO, .name = "dispatcher", .pid = getpid() };
	struct err err;

	refuse(d, peer, msg_verb_name(verb), "stranger", "no HELLO before it");
	buf_reset(&d->json);
	if (verb == MSG_BEAT && msg_put(&hello, &d->json) == 0 &&
	    bus_send(d->bus, peer, MSG_HELLO, buf_bytes(&d->json), &err) < 0)
		log_debug("stranger is gone", "reason=\"%s\"", err.msg);
}

static void on_message(struct dispatch *d, const struct bus_peer *peer, enum msg_verb verb, struct bytes json)
{
	struct dispatch_worker *w = find_peer(d, peer);
	const char *name = w ? w->name : "stranger";
	struct msg m;
	struct err err;

	if (!w && verb != MSG_HELLO) {
		on_stranger(d, peer, verb);
	} else if (verb == MSG_HELLO ? w != NULL : !is_expected(verb)) {
		refuse(d, peer, msg_verb_name(verb), name, verb == MSG_HELLO ? "a second HELLO" : "not a verb for it to send");
	} else if (msg_get(verb, json, &m, &err) < 0) {
		clean_reason(err.msg);
		refuse(d, peer, msg_verb_name(verb), name, err.msg);
	} else if (verb == MSG_HELLO) {
		on_hello(d, peer, &m);
	} else {
		m.verb = verb;
		on_session(d, w, &m);
	}
}

int sessions_receive(struct dispatch *d)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	struct err err;
	int n = 0, ret;

	while (n < MESSAGES_MAX && (ret = bus_recv(d->bus, &peer, &verb, &json, &err)) != 0) {
		if (ret < 0 && ret != ERR_DATA && ret != ERR_UNSUPPORTED) {
			log_error("bus failed", "reason=\"%s\"", err.msg);
			break;
		}
		n++;
		if (refusals_is_deaf_to(&d->refusals, &peer, proc_now_ms()))
			d->counters.messages_refused++;
		else if (ret > 0)
			on_message(d, &peer, verb, json);
		else if (ret == ERR_UNSUPPORTED)
			on_other_protocol(d, &peer, verb, &err);
		else
			refuse(d, &peer, "none", "somebody", err.msg);
	}
	return n;
}

/* --- the clock */

/* The worker's own clock should have ended it: that one will not do either what else it holds. */
void sessions_end_overdue(struct dispatch *d, int64_t now_ms)
{
	struct queue_item *item;

	while ((item = queue_overdue(&d->queue, now_ms))) {
		struct dispatch_worker *w = item->worker->user;

		if (w->beat_job == MSG_JOB_OTHER && queue_extend(&d->queue, item, now_ms))
			continue;
		dispatch_cancel(d, item);
		fail_item(d, item, QUEUE_CRASH, ERR_LIMIT, "the job took too long");
		log_warn("worker given up", "worker=%s", w->name);
		d->counters.workers_lost++;
		remove_dead(d, w, QUEUE_LOST, 0, "the worker does not do what it took");
	}
}

/* Says something that means nothing to it: that it has no connection any more is known only by who sends. */
static bool is_reached(struct dispatch *d, const struct dispatch_worker *w)
{
	struct msg nothing = { .verb = MSG_CANCEL, .job = MSG_JOB_OTHER };
	struct err err;

	buf_reset(&d->json);
	return msg_put(&nothing, &d->json) < 0 || bus_send(d->bus, &w->peer, MSG_CANCEL, buf_bytes(&d->json), &err) == 0;
}

void sessions_tick(struct dispatch *d, int64_t now_ms)
{
	for (int i = d->n_workers - 1; i >= 0; i--) {
		struct dispatch_worker *w = d->workers[i];

		if (now_ms - w->heard_ms < LATE_MS || (now_ms - w->heard_ms < DISPATCH_LOST_MS && is_reached(d, w)))
			continue;
		log_warn("worker lost", "worker=%s silent_ms=%" PRId64, w->name, now_ms - w->heard_ms);
		d->counters.workers_lost++;
		session_end(d, w, QUEUE_LOST, "the worker is silent");
	}
}

void sessions_finish(struct dispatch *d)
{
	for (int i = 0; i < d->n_workers; i++) {
		tdelete(d->workers[i], &d->peers, compare_peers);
		free(d->workers[i]);
	}
	free(d->workers);
}
