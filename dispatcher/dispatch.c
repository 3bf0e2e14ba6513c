/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/dispatch.h"

#include "common/log.h"
#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/place.h"
#include "dispatcher/play.h"
#include "dispatcher/sessions.h"
#include "dispatcher/spread.h"
#include "dispatcher/stream.h"
#include "dispatcher/want.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define CHECK_MS 250      /* between looks at workers and deadlines */
#define TURN_MS 10        /* of one dispatch_work: others want their turn as well */
#define JOB_ID_MASK 0x7ffffffffffff /* where they begin: 51 bits are exact in every JSON reader, with room to count on */

void dispatch_note_trouble(struct dispatch *d, const struct err *err)
{
	if (err->code != ERR_RETRY)
		return;
	if (!d->is_store_down || strcmp(d->trouble, err->msg))
		log_warn("store is in trouble", "reason=\"%s\"", err->msg);
	snprintf(d->trouble, sizeof(d->trouble), "%s", err->msg);
	d->is_store_down = true;
}

/* --- giving */

/* To a worker that has jobs of other dispatchers, too; one of an older version knows no such words. */
static void rank_job(const struct dispatch_worker *w, const struct queue_item *item, struct job *job)
{
	if (w->peer.protocol < 2) {
		job->build[0] = '\0';
		return;
	}
	if (item->class == QUEUE_PLAYER)
		job->rank = JOB_URGENT;
	else
		job->rank = item->preemptions < QUEUE_PREEMPTIONS_MAX ? JOB_YIELDS : JOB_STAYS;
}

static void note_given(struct dispatch *d, const struct queue_item *item)
{
	metrics_note_wait(&d->metrics, (enum queue_class)item->class, (int32_t)((uint32_t)proc_now_ms() - item->pending_ms));
	if (item->attempts)
		d->metrics.retries[item->attempts == QUEUE_ATTEMPTS_MAX - 1 ? METRICS_TOLERANT : METRICS_SOFTWARE]++;
	else if (item->retries || item->lost || item->killed)
		d->metrics.retries[METRICS_AS_PLANNED]++;
}

/* While its stream is planned anew, or has no lane of its own: workers of another build are asked for a plan only. */
static bool is_of_other_build(const struct queue_item *item)
{
	const struct dispatch_stream *s = session_stream(item);
	const struct dispatch_worker *w = item->worker->user;

	return s && item->slot && s->plan.build[0] && strcmp(s->plan.build, w->build);
}

static void send_job(struct dispatch *d, struct queue_item *item)
{
	struct dispatch_worker *w = item->worker->user;
	struct dispatch_stream *s = session_stream(item);
	struct job job;
	int64_t deadline_ms = 0;
	struct err err = { 0 };
	int attempts;

	if (s && item->slot && !s->is_noop && (!s->has_plan || item->slot > plan_count(&s->plan))) {
		queue_discard(&d->queue, item, proc_now_ms());
		return;
	}
	if (is_of_other_build(item)) { /* it would refuse it, and the segment be given up for that */
		item->worker->credits++;
		queue_fail(&d->queue, item, QUEUE_STORE, proc_now_ms(), &attempts);
		return;
	}
	if (s) {
		stream_make_job(s, item, &job);
		deadline_ms = job.deadline_ms;
	} else { /* a play: it may last as long as somebody watches */
		play_make_job(d, item, &job);
	}
	rank_job(w, item, &job);
	buf_reset(&d->json);
	if (job_put(&job, &d->json) < 0 || bus_send(d->bus, &w->peer, MSG_JOB, buf_bytes(&d->json), &err) < 0) {
		log_warn("job could not be sent", "worker=%s reason=\"%s\"", w->name, err.msg);
		queue_take_back(&d->queue, item, proc_now_ms());
		d->counters.workers_lost++;
		session_end(d, w, QUEUE_LOST, "the worker is gone");
		return;
	}
	queue_set_deadline(&d->queue, item, deadline_ms, proc_now_ms());
	d->counters.jobs_given++;
	note_given(d, item);
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
	int ret = queue_push(&d->queue, s->number, slot, class, proc_now_ms());

	if (ret == 2)
		cancel_before(d, queue_in_flight(&d->queue, s->number, slot));
	return ret < 0 ? err_set(err, ERR_NOMEM, "out of memory for the queue") : 0;
}

static int give(struct dispatch *d)
{
	struct queue_item *item;
	int n = 0, ret;

	while (!d->is_draining && !d->is_store_down && cluster_is_alive(d, proc_now_ms()) && (ret = queue_give(&d->queue, proc_now_ms(), &item)) > 0) {
		if (ret == 2)
			cancel_before(d, item);
		send_job(d, item);
		n++;
	}
	return n;
}

/* --- the clock */

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
	queue_forgive(&d->queue, proc_now_ms());
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
	ret = d->is_draining ? 0 : cluster_renew(d, err);
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

/* A little at a time: a long title would hold up everybody. */
static void clean_up(struct dispatch *d)
{
	struct err err = { 0 };
	int ret = store_clean(d->store, d->left_over, &err);

	if (ret < 0)
		dispatch_note_trouble(d, &err);
	if (ret <= 0)
		d->left_over[0] = '\0';
}

static void tick(struct dispatch *d)
{
	int64_t now_ms = proc_now_ms();

	if (now_ms >= d->store_next_ms || (d->is_store_down && d->store_next_ms > now_ms + DISPATCH_STORE_WAIT_MS))
		check_store(d, now_ms);
	cluster_tick(d, now_ms);
	if (d->left_over[0] && !d->is_store_down)
		clean_up(d);
	sessions_end_overdue(d, now_ms);
	for (int i = 0; d->is_store_down && i < d->n_streams; i++)
		want_settle_all(d, d->streams[i]); /* to be told so */
	if (now_ms >= d->check_next_ms) {
		sessions_receive(d); /* a slow store must not make workers look silent */
		now_ms = proc_now_ms();
		sessions_tick(d, now_ms);
		play_tick(d, now_ms);
		want_tick(d, now_ms);
		place_tick(d, now_ms);
		dispatch_bury(d);
		d->check_next_ms = now_ms + CHECK_MS;
	}
}

bool dispatch_work(struct dispatch *d)
{
	int64_t end_ms = proc_now_ms() + TURN_MS;
	bool has_worked = false;

	do {
		int n = sessions_receive(d) + cluster_work(d);

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

	if ((d->is_scanning || d->left_over[0]) && !d->is_store_down)
		return 0;
	return queue_ms < next_ms ? queue_ms : next_ms;
}

/* --- set up */

/* Nobody else has this endpoint of this host: who said so before is dead. */
static int join(struct dispatch *d, const char *endpoint, struct err *err)
{
	char name[sizeof(d->name)], bound[STORE_ENDPOINT_SIZE], host[64] = "";

	gethostname(host, sizeof(host) - 1);
	bus_endpoint(d->bus, bound, sizeof(bound)); /* with the port that it got */
	snprintf(name, sizeof(name), "%s %.120s", host, bound[0] ? bound : endpoint);
	return cluster_join(d, name, err);
}

static int init(struct dispatch *d, const char *redis_url, struct err *err)
{
	memset(d, 0, sizeof(*d));
	queue_init(&d->queue);
	d->read_ahead = WANT_READ_AHEAD;
	d->start_s = (double)time(NULL);
	d->redis_url = redis_url;
	d->wanted = calloc(1, sizeof(*d->wanted));
	return d->wanted ? store_open(&d->store, redis_url, DISPATCH_STORE_MS, err) : err_set(err, ERR_NOMEM, "out of memory");
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* Whoever reads it is elsewhere: no wildcard, and no path from where we are. */
static void note_endpoint(struct dispatch *d)
{
	char *e = d->endpoint;

	bus_endpoint(d->bus, e, sizeof(d->endpoint));
	if (begins(e, "tcp://0.0.0.0:") || begins(e, "tcp://[::]:") || (begins(e, "ipc:") && !begins(e, "ipc:///")))
		*e = '\0';
	d->is_on_host = begins(e, "tcp://127.") || begins(e, "tcp://[::1]:") || begins(e, "ipc:");
}

int dispatch_init(struct dispatch *d, const char *endpoint, struct keys_access *access, const char *redis_url, struct err *err)
{
	int ret = init(d, redis_url, err);

	/* A worker may still answer for a job of a dispatcher that was here before: no id is used again. */
	if (ret >= 0 && getrandom(&d->queue.last_job, sizeof(d->queue.last_job), 0) != sizeof(d->queue.last_job))
		ret = err_set(err, ERR_RETRY, "no random numbers: %s", strerror(errno));
	d->queue.last_job &= JOB_ID_MASK;
	if (ret >= 0)
		ret = bus_bind(&d->bus, endpoint, access, err);
	if (ret >= 0)
		note_endpoint(d);
	if (ret >= 0)
		ret = join(d, endpoint, err);
	if (ret < 0) {
		dispatch_finish(d);
		return ret;
	}
	d->generation = store_generation(d->store);
	return 0;
}

int dispatch_init_viewer(struct dispatch *d, const char *redis_url, struct err *err)
{
	int ret = init(d, redis_url, err);

	d->is_draining = true;
	if (ret < 0)
		dispatch_finish(d);
	return ret < 0 ? ret : 0;
}

void dispatch_finish(struct dispatch *d)
{
	while (d->n_streams)
		dispatch_forget(d, d->streams[d->n_streams - 1]);
	cluster_leave(d);
	spread_finish(d);
	bus_destroy(d->bus);
	store_close(d->store);
	sessions_finish(d);
	play_finish_all(d);
	dispatch_bury(d);
	free(d->wanted);
	free(d->streams);
	queue_finish(&d->queue);
	buf_finish(&d->json);
	memset(d, 0, sizeof(*d));
}

void dispatch_advertise(struct dispatch *d, const char *endpoint)
{
	snprintf(d->endpoint, sizeof(d->endpoint), "%s", endpoint);
	d->is_on_host = false;
	d->lease_next_ms = 0;
}

void dispatch_drain(struct dispatch *d)
{
	d->is_draining = true;
	for (int i = 0; i < d->n_streams; i++) {
		d->streams[i]->is_mine = false;
		d->streams[i]->owner[0] = '\0';
		queue_drop_pending(&d->queue, d->streams[i]->number, QUEUE_PLAYER);
	}
	cluster_leave(d);
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

	if (!stream->has_plan || segment >= plan_count(&stream->plan) ||
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
	if (!stream->is_on_demand && queue_push(&d->queue, stream->number, (uint32_t)segment + 1, QUEUE_PRECOMPUTE, proc_now_ms()) < 0)
		d->is_store_down = true; /* no memory: the next reconciliation tries again */
}
