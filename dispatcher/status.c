/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/status.h"

#include "common/json.h"
#include "common/proc.h"
#include "dispatcher/spread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_labels(const char *labels, struct buf *json)
{
	jput_open(json, "labels", '[');
	while (*labels) {
		char label[MSG_LABELS_MAX + 1];
		size_t n = strcspn(labels, ",");

		snprintf(label, sizeof(label), "%.*s", (int)n, labels);
		jput_str(json, NULL, label);
		labels += n + (labels[n] == ',');
	}
	jput_close(json, ']');
}

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
	jput_str(json, "version", w->version);
	jput_int(json, "protocol", w->peer.protocol);
	jput_str(json, "build", w->build);
	put_labels(w->labels, json);
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
	jput_int(json, "workers_refused", (int64_t)c->workers_refused);
	jput_int(json, "streams_handed", (int64_t)c->streams_handed);
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

/* Workers of a pool have all but the last two parts of their names in common. */
static size_t pool_of(const char *name)
{
	const char *end = strrchr(name, '-');

	while (end && end > name && *--end != '-')
		;
	return end ? (size_t)(end - name) : 0;
}

static int compare_pools(const void *a, const void *b)
{
	const char *one = (*(struct dispatch_worker *const *)a)->name, *other = (*(struct dispatch_worker *const *)b)->name;
	size_t n = pool_of(one), m = pool_of(other);
	int order = strncmp(one, other, n < m ? n : m);

	return order ? order : (n > m) - (n < m);
}

int status_count_pools(const struct dispatch *d)
{
	struct dispatch_worker **sorted = malloc(((size_t)d->n_workers + 1) * sizeof(*sorted));
	int n = 0;

	if (!sorted)
		return 0;
	for (int i = 0; i < d->n_workers; i++)
		sorted[i] = d->workers[i];
	qsort(sorted, (size_t)d->n_workers, sizeof(*sorted), compare_pools);
	for (int i = 0; i < d->n_workers; i++)
		n += !i || compare_pools(&sorted[i - 1], &sorted[i]);
	free(sorted);
	return n;
}

void status_put(const struct dispatch *d, struct buf *json)
{
	int64_t now_ms = proc_now_ms();

	jput_begin(json);
	jput_str(json, "name", d->name);
	jput_int(json, "pid", getpid());
	jput_str(json, "version", SEGFARM_VERSION);
	jput_int(json, "protocol", MSG_PROTOCOL);
	jput_str(json, "endpoint", d->endpoint);
	jput_int(json, "n_workers", d->n_workers);
	jput_int(json, "n_pools", status_count_pools(d));
	jput_int(json, "streams", d->n_streams);
	jput_int(json, "driven", spread_count(d));
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
