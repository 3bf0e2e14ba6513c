/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/dispatch.h"

#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/play.h"
#include "dispatcher/stream.h"
#include "dispatcher/want.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define CHECK_MS 250      /* between looks at workers and deadlines */
#define TURN_MS 10        /* of one dispatch_work: others want their turn as well */
#define MESSAGES_MAX 1024 /* of one round */
#define JOB_ID_MASK 0x7ffffffffffff /* where they begin: 51 bits are exact in every JSON reader, with room to count on */

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
static struct dispatch_stream *stream_of(const struct queue_item *item)
{
	return item->stream ? item->stream->user : NULL;
}

void dispatch_note_trouble(struct dispatch *d, const struct err *err)
{
	if (err->code != ERR_RETRY)
		return;
	if (!d->is_store_down || strcmp(d->trouble, err->msg))
		log_warn("store is in trouble", "reason=\"%s\"", err->msg);
	snprintf(d->trouble, sizeof(d->trouble), "%s", err->msg);
	d->is_store_down = true;
}

/* --- ends of jobs */

/* The job ended badly, unless what it should make is there all the same: its DONE may have been overtaken. Returns
 * whether it ended badly. */
static bool fail_item(struct dispatch *d, struct queue_item *item, enum queue_failure failure, int code,
		      const char *reason)
{
	struct dispatch_stream *s = stream_of(item);
	uint32_t slot = item->slot;
	bool is_unwanted = !s || item->is_unwanted;
	int attempts;
	struct err err;

	if (play_is(d, item)) {
		stream_note_failure(d->plays[slot]->stream, failure);
		play_finish(d, item, reason);
		return true;
	}
	if (s && slot && !s->is_noop && !d->is_store_down && stream_check_slot(d, s, slot, &err) == 1) {
		queue_done(&d->queue, item, proc_now_ms());
		return false;
	}
	/* a server that does not answer will not be waited for without end; a store that is down will */
	if (s && failure == QUEUE_RETRY && record_is_url(s->source.path))
		failure = QUEUE_LOST;
	if (item->is_cancelled && code == ERR_STOPPED)
		failure = QUEUE_CANCELLED;
	if (is_unwanted || failure == QUEUE_CANCELLED) {
		log_debug("job given up", "job=%" PRId64 " reason=\"%s\"", item->job, reason);
		queue_fail(&d->queue, item, failure, proc_now_ms(), &attempts);
		return true;
	}
	d->counters.jobs_failed++;
	if (slot)
		stream_note_failure(s, failure);
	log_warn("job failed", "stream=%s slot=%u job=%" PRId64 " code=%s reason=\"%s\"", s->key, slot, item->job,
		 err_code_name(code), reason);
	if (!queue_fail(&d->queue, item, failure, proc_now_ms(), &attempts))
		stream_give_up(d, s, slot, code, attempts, reason);
	return true;
}

/* DONE is a hint: the store says whether it is so. */
static void finish_item(struct dispatch *d, struct queue_item *item)
{
	struct dispatch_stream *s = stream_of(item);
	struct err err = { 0 };
	int ret;

	if (play_is(d, item)) {
		play_finish(d, item, NULL);
		return;
	}
	ret = s ? stream_check_slot(d, s, item->slot, &err) : 1;
	if (ret == 1 || ret == ERR_RETRY) {
		d->counters.jobs_done++;
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
static void remove_worker(struct dispatch *d, struct dispatch_worker *w, enum queue_failure failure, const char *reason)
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

		if (stream_of(item) && !stream_of(item)->is_noop && !d->is_store_down &&
		    stream_check_slot(d, stream_of(item), item->slot, &err) == 1)
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
		if (m->reason[0])
			remove_dead(d, w, m->is_killed ? QUEUE_KILLED : QUEUE_CRASH, m->job, m->reason);
		else
			remove_worker(d, w, QUEUE_CRASH, "the worker process died");
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

	clean_reason(m->reason);
	if (w) /* the same process, connected anew */
		remove_worker(d, w, QUEUE_LOST, "the worker connected again");
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
	w->pid = m->pid;
	w->heard_ms = proc_now_ms();
	d->workers[d->n_workers++] = w;
	log_info("worker joined", "worker=%s pid=%" PRId64, w->name, w->pid);
}

static void on_done(struct dispatch *d, struct dispatch_worker *w, const struct msg *m)
{
	struct queue_item *item = queue_find(&d->queue, w->number, m->job);

	if (!item) {
		refuse(d, &w->peer, "DONE", w->name, "it does not hold that job");
		return;
	}
	log_debug("job done", "job=%" PRId64 " worker=%s elapsed_us=%" PRId64 " cpu_us=%" PRId64 " bytes=%" PRId64,
		  m->job, w->name, m->elapsed_us, m->cpu_us, m->bytes);
	finish_item(d, item);
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
	case MSG_BYE:
		remove_worker(d, w, QUEUE_LOST, "the worker left");
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

static int receive(struct dispatch *d)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	struct err err;
	int n = 0, ret;

	while (n < MESSAGES_MAX && (ret = bus_recv(d->bus, &peer, &verb, &json, &err)) != 0) {
		if (ret < 0 && ret != ERR_DATA) {
			log_error("bus failed", "reason=\"%s\"", err.msg);
			break;
		}
		n++;
		if (refusals_is_deaf_to(&d->refusals, &peer, proc_now_ms()))
			d->counters.messages_refused++;
		else if (ret > 0)
			on_message(d, &peer, verb, json);
		else
			refuse(d, &peer, "none", "somebody", err.msg);
	}
	return n;
}

/* --- giving */

static void send_job(struct dispatch *d, struct queue_item *item)
{
	struct dispatch_worker *w = item->worker->user;
	struct dispatch_stream *s = stream_of(item);
	struct job job;
	int64_t deadline_ms = 0;
	struct err err = { 0 };

	if (s && item->slot && !s->is_noop && (!s->has_plan || item->slot > s->plan.n_segments)) {
		queue_discard(&d->queue, item, proc_now_ms());
		return;
	}
	if (s) {
		stream_make_job(s, item, &job);
		deadline_ms = job.deadline_ms;
	} else { /* a play: it may last as long as somebody watches */
		play_make_job(d, item, &job);
	}
	buf_reset(&d->json);
	if (job_put(&job, &d->json) < 0 || bus_send(d->bus, &w->peer, MSG_JOB, buf_bytes(&d->json), &err) < 0) {
		log_warn("job could not be sent", "worker=%s reason=\"%s\"", w->name, err.msg);
		queue_take_back(&d->queue, item, proc_now_ms());
		d->counters.workers_lost++;
		remove_worker(d, w, QUEUE_LOST, "the worker is gone");
		return;
	}
	queue_set_deadline(&d->queue, item, deadline_ms, proc_now_ms());
	d->counters.jobs_given++;
	log_debug("job given", "job=%" PRId64 " stream=%s slot=%u worker=%s", item->job, job.stream, item->slot, w->name);
}

void dispatch_cancel(struct dispatch *d, struct queue_item *item)
{
	struct msg cancel = { .verb = MSG_CANCEL, .job = item->job };
	const struct dispatch_worker *w = item->worker->user;
	struct err err;

	item->is_cancelled = true;
	buf_reset(&d->json);
	if (msg_put(&cancel, &d->json) == 0 && bus_send(d->bus, &w->peer, MSG_CANCEL, buf_bytes(&d->json), &err) < 0)
		log_debug("cancel not sent", "worker=%s", w->name);
}

/* What the queue has marked in front of `item` at its worker makes way for it. */
static void cancel_before(struct dispatch *d, const struct queue_item *item)
{
	for (struct queue_item *i = queue_first_job(&d->queue, item->worker->number); i && i != item; i = queue_next_job(i))
		if (i->is_cancelled)
			dispatch_cancel(d, i);
}

int dispatch_push(struct dispatch *d, const struct dispatch_stream *s, uint32_t slot, enum queue_class class, struct err *err)
{
	int ret = queue_push(&d->queue, s->number, slot, class);

	if (ret == 2)
		cancel_before(d, queue_in_flight(&d->queue, s->number, slot));
	return ret < 0 ? err_set(err, ERR_NOMEM, "out of memory for the queue") : 0;
}

static int give(struct dispatch *d)
{
	struct queue_item *item;
	int n = 0, ret;

	while (!d->is_store_down && cluster_is_alive(d, proc_now_ms()) && (ret = queue_give(&d->queue, proc_now_ms(), &item)) > 0) {
		if (ret == 2)
			cancel_before(d, item);
		send_job(d, item);
		n++;
	}
	return n;
}

/* --- the clock */

/* The worker's own clock should have ended it: that one will not do either what else it holds. */
static void cancel_overdue(struct dispatch *d, int64_t now_ms)
{
	struct queue_item *item;

	while ((item = queue_overdue(&d->queue, now_ms))) {
		struct dispatch_worker *w = item->worker->user;

		if (w->beat_job == MSG_JOB_OTHER) {
			queue_extend(&d->queue, item, now_ms);
			continue;
		}
		dispatch_cancel(d, item);
		fail_item(d, item, QUEUE_CRASH, ERR_LIMIT, "the job took too long");
		log_warn("worker given up", "worker=%s", w->name);
		d->counters.workers_lost++;
		remove_dead(d, w, QUEUE_LOST, 0, "the worker does not do what it took");
	}
}

static void check_workers(struct dispatch *d, int64_t now_ms)
{
	for (int i = d->n_workers - 1; i >= 0; i--) {
		struct dispatch_worker *w = d->workers[i];

		if (now_ms - w->heard_ms < DISPATCH_LOST_MS)
			continue;
		log_warn("worker lost", "worker=%s silent_ms=%" PRId64, w->name, now_ms - w->heard_ms);
		d->counters.workers_lost++;
		remove_worker(d, w, QUEUE_LOST, "the worker is silent");
	}
}

static int reconcile_all(struct dispatch *d, struct err *err)
{
	for (int i = 0; i < d->n_streams; i++) {
		int ret = stream_reconcile(d, d->streams[i], err);

		if (!ret)
			ret = stream_save_state(d, d->streams[i], err);
		if (ret == ERR_STOPPED) /* it has another owner, or Redis has lost ours */
			ret = cluster_own(d, d->streams[i], err);
		if (ret == ERR_RETRY)
			return ret;
		if (ret < 0)
			stream_give_up(d, d->streams[i], 0, ret, 1, err->msg);
	}
	queue_forgive(&d->queue);
	return 0;
}

/* Is it there, does it take what is written, and is it the one that we knew? */
static int compare_with_store(struct dispatch *d, struct err *err)
{
	bool is_changed = d->is_store_down || d->is_store_suspect;
	int ret;

	store_set_timeout(d->store, d->is_store_down ? DISPATCH_STORE_WAIT_MS : DISPATCH_STORE_MS);
	ret = store_ping(d->store, err);
	store_set_timeout(d->store, DISPATCH_STORE_MS);
	if (ret < 0 || (!is_changed && store_generation(d->store) == d->generation))
		return ret;
	ret = cluster_renew(d, err);
	if (ret < 0)
		return ret;
	d->is_store_suspect = false;
	d->generation = store_generation(d->store);
	log_info("comparing with the store", "generation=%u", d->generation);
	ret = reconcile_all(d, err);
	if (ret >= 0)
		d->is_store_down = false;
	return ret;
}

static void check_store(struct dispatch *d, int64_t now_ms)
{
	struct err err = { 0 };

	if (compare_with_store(d, &err) < 0) {
		err.code = ERR_RETRY; /* whatever it is, it has to be waited for */
		dispatch_note_trouble(d, &err);
	}
	d->store_next_ms = now_ms + (d->is_store_down ? DISPATCH_STORE_WAIT_MS : DISPATCH_STORE_PING_MS);
}

static void tick(struct dispatch *d)
{
	int64_t now_ms = proc_now_ms();

	if (now_ms >= d->store_next_ms || (d->is_store_down && d->store_next_ms > now_ms + DISPATCH_STORE_WAIT_MS))
		check_store(d, now_ms);
	cluster_tick(d, now_ms);
	for (int i = 0; d->is_store_down && i < d->n_streams; i++)
		want_settle_all(d, d->streams[i]); /* to be told so */
	if (now_ms >= d->check_next_ms) {
		receive(d); /* a slow store must not make workers look silent */
		now_ms = proc_now_ms();
		check_workers(d, now_ms);
		cancel_overdue(d, now_ms);
		play_tick(d, now_ms);
		want_tick(d, now_ms);
		dispatch_bury(d);
		d->check_next_ms = now_ms + CHECK_MS;
	}
}

bool dispatch_work(struct dispatch *d)
{
	int64_t end_ms = proc_now_ms() + TURN_MS;
	bool has_worked = false;

	do {
		int n = receive(d) + cluster_work(d);

		tick(d);
		if (n + give(d) == 0)
			return has_worked;
		has_worked = true;
	} while (proc_now_ms() < end_ms);
	return true;
}

int64_t dispatch_next_ms(const struct dispatch *d)
{
	int64_t next_ms = d->check_next_ms < d->store_next_ms ? d->check_next_ms : d->store_next_ms;
	int64_t queue_ms = d->is_store_down ? INT64_MAX : queue_next_ms(&d->queue);

	return queue_ms < next_ms ? queue_ms : next_ms;
}

/* --- set up */

/* Nobody else has this endpoint of this host: who said so before is dead. */
static int join(struct dispatch *d, const char *endpoint, struct err *err)
{
	char name[sizeof(d->name)], host[64] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%s %s", host, endpoint);
	return cluster_join(d, name, err);
}

int dispatch_init(struct dispatch *d, const char *endpoint, struct keys_access *access, const char *redis_url, struct err *err)
{
	int ret;

	memset(d, 0, sizeof(*d));
	queue_init(&d->queue);
	d->read_ahead = WANT_READ_AHEAD;
	d->redis_url = redis_url;
	/* A worker may still answer for a job of a dispatcher that was here before: no id is used again. */
	if (getrandom(&d->queue.last_job, sizeof(d->queue.last_job), 0) != sizeof(d->queue.last_job))
		return err_set(err, ERR_RETRY, "no random numbers: %s", strerror(errno));
	d->queue.last_job &= JOB_ID_MASK;
	d->wanted = calloc(1, sizeof(*d->wanted));
	ret = d->wanted ? store_open(&d->store, redis_url, DISPATCH_STORE_MS, err) : err_set(err, ERR_NOMEM, "out of memory");
	if (ret >= 0)
		ret = bus_bind(&d->bus, endpoint, access, err);
	if (ret >= 0)
		ret = join(d, endpoint, err);
	if (ret < 0) {
		dispatch_finish(d);
		return ret;
	}
	d->generation = store_generation(d->store);
	return 0;
}

void dispatch_finish(struct dispatch *d)
{
	while (d->n_streams)
		dispatch_forget(d, d->streams[d->n_streams - 1]);
	cluster_leave(d);
	bus_destroy(d->bus);
	store_close(d->store);
	for (int i = 0; i < d->n_workers; i++) {
		tdelete(d->workers[i], &d->peers, compare_peers);
		free(d->workers[i]);
	}
	play_finish_all(d);
	dispatch_bury(d);
	free(d->wanted);
	free(d->streams);
	free(d->workers);
	queue_finish(&d->queue);
	buf_finish(&d->json);
	memset(d, 0, sizeof(*d));
}

struct dispatch_stream *dispatch_find(const struct dispatch *d, const char *key)
{
	struct dispatch_stream *wanted = d->wanted;
	void *found;

	snprintf(wanted->key, sizeof(wanted->key), "%s", key);
	found = tfind(wanted, &d->by_key, stream_compare);
	return found ? *(struct dispatch_stream **)found : NULL;
}

void dispatch_remake(struct dispatch *d, struct dispatch_stream *stream, size_t segment)
{
	struct store_segment address;
	struct err err = { 0 };

	if (!stream->has_plan || segment >= stream->plan.n_segments ||
	    (stream->is_mine && stream->segments[segment] != DISPATCH_MADE))
		return;
	dispatch_address(stream, segment, &address);
	if (stream->is_mine)
		log_warn("segment is gone, making it again", "stream=%s start=%" PRId64, stream->key, address.start);
	if (store_drop_commit(d->store, &address, &err) < 0)
		dispatch_note_trouble(d, &err);
	stream_unmake(stream, segment);
	if (!stream->is_mine)
		return;
	d->is_store_suspect |= !stream->is_on_demand; /* it may not be the only one */
	if (stream->state == DISPATCH_DONE || stream->state == DISPATCH_PARTIAL)
		stream->state = DISPATCH_WORKING;
	if (!stream->is_on_demand && queue_push(&d->queue, stream->number, (uint32_t)segment + 1, QUEUE_PRECOMPUTE) < 0)
		d->is_store_down = true; /* no memory: the next reconciliation tries again */
}
