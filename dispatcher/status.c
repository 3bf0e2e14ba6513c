/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/status.h"

#include "common/json.h"
#include "common/proc.h"

#include <string.h>
#include <unistd.h>

static void put_worker(const struct dispatch *d, const struct dispatch_worker *w, int64_t now_ms, struct buf *json)
{
	const struct queue_item *item = queue_first_job(&d->queue, w->number);
	const struct dispatch_stream *s = item && item->stream ? item->stream->user : NULL;

	jput_open(json, NULL, '{');
	jput_str(json, "name", w->name);
	jput_int(json, "pid", w->pid);
	jput_int(json, "jobs", d->queue.workers[w->number]->n_jobs);
	jput_str(json, "stream", s ? s->key : "");
	jput_int(json, "slot", s ? item->slot : 0);
	jput_int(json, "silent_ms", now_ms - w->heard_ms);
	jput_close(json, '}');
}

static void put_queue(const struct queue *q, struct buf *json)
{
	jput_open(json, "queue", '{');
	jput_int(json, "player", (int64_t)q->n_pending[QUEUE_PLAYER]);
	jput_int(json, "ahead", (int64_t)q->n_pending[QUEUE_AHEAD]);
	jput_int(json, "precompute", (int64_t)q->n_pending[QUEUE_PRECOMPUTE]);
	jput_int(json, "waiting", (int64_t)q->n_waiting);
	jput_int(json, "in_flight", (int64_t)q->n_in_flight);
	jput_close(json, '}');
}

static void put_counters(const struct dispatch_counters *c, struct buf *json)
{
	jput_open(json, "counters", '{');
	jput_int(json, "jobs_given", (int64_t)c->jobs_given);
	jput_int(json, "jobs_done", (int64_t)c->jobs_done);
	jput_int(json, "jobs_failed", (int64_t)c->jobs_failed);
	jput_int(json, "workers_lost", (int64_t)c->workers_lost);
	jput_int(json, "messages_refused", (int64_t)c->messages_refused);
	jput_close(json, '}');
}

/* For those who submit: what is outside is refused at once. */
static void put_list(const char *key, char *const *texts, int n, struct buf *json)
{
	jput_open(json, key, '[');
	for (int i = 0; i < n; i++)
		jput_str(json, NULL, texts[i]);
	jput_close(json, ']');
}

void status_put(const struct dispatch *d, struct buf *json)
{
	int64_t now_ms = proc_now_ms();

	jput_begin(json);
	jput_str(json, "name", d->name);
	jput_int(json, "pid", getpid());
	jput_int(json, "n_workers", d->n_workers);
	jput_int(json, "streams", d->n_streams);
	put_queue(&d->queue, json);
	jput_int(json, "requests_waiting", d->n_wants);
	put_counters(&d->counters, json);
	if (d->allow) {
		put_list("media_roots", d->allow->roots, d->allow->n_roots, json);
		put_list("allow_urls", d->allow->urls, d->allow->n_urls, json);
	}
	jput_open(json, "workers", '[');
	for (int i = 0; i < d->n_workers && i < STATUS_WORKERS_MAX; i++)
		put_worker(d, d->workers[i], now_ms, json);
	jput_close(json, ']');
	jput_close(json, '}');
}

bool status_is_named(struct bytes json, const char *name)
{
	json_t *root = json_loadb((const char *)json.data, json.size, 0, NULL);
	const char *is = json_string_value(json_object_get(root, "name"));
	bool is_same = is && !strcmp(is, name);

	json_decref(root);
	return is_same;
}
