/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/cluster.h"

#include "common/key.h"
#include "common/log.h"
#include "common/mail.h"
#include "common/proc.h"
#include "dispatcher/spread.h"
#include "dispatcher/status.h"
#include "dispatcher/stream.h"
#include "dispatcher/want.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define OWNERS_AT_ONCE 512
#define SCAN_MS 50         /* of one turn: what is taken over already wants its jobs given out */
#define MAILS_AT_ONCE 256
#define MAIL_WAIT_MS 30000 /* Redis answers before that, mail or none */

/* --- the lease */

bool cluster_is_alive(const struct dispatch *d, int64_t now_ms)
{
	return d->id[0] && now_ms - d->lease_ms < STORE_LEASE_MS * 2 / 3;
}

static int keep(struct dispatch *d, bool is_new, struct err *err)
{
	struct buf status = { 0 };
	int64_t now_ms = proc_now_ms(); /* before it is sent: never later than what Redis counts from */
	int ret;

	status_put(d, &status);
	ret = buf_failed(&status) ? err_set(err, ERR_NOMEM, "out of memory") :
				    store_keep_dispatcher(d->store, d->id, is_new, buf_bytes(&status), err);
	buf_finish(&status);
	if (ret <= 0)
		return ret;
	d->lease_ms = now_ms;
	return spread_tell(d, err) < 0 ? err->code : ret;
}

static int take_lease(struct dispatch *d, struct err *err)
{
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return err_set(err, ERR_RETRY, "no random numbers");
	snprintf(d->id, sizeof(d->id), "%016" PRIx64, id);
	if (d->mail)
		store_close(d->mail);
	d->mail = NULL;
	return keep(d, true, err);
}

struct predecessor {
	struct dispatch *d;
	char ids[8][STORE_ID_SIZE];
	int n;
};

static int note_predecessor(void *arg, const char *id, struct bytes status)
{
	struct predecessor *p = arg;

	if (p->n < 8 && strcmp(id, p->d->id) && status_is_named(status, p->d->name))
		snprintf(p->ids[p->n++], STORE_ID_SIZE, "%s", id);
	return 0;
}

int cluster_join(struct dispatch *d, const char *name, struct err *err)
{
	struct predecessor p = { .d = d };
	int ret;

	snprintf(d->name, sizeof(d->name), "%s", name);
	ret = store_list_dispatchers(d->store, note_predecessor, &p, err);
	for (int i = 0; i < p.n && ret >= 0; i++)
		ret = store_end_dispatcher(d->store, p.ids[i], err);
	return ret < 0 ? ret : take_lease(d, err);
}

void cluster_leave(struct dispatch *d)
{
	struct err err;

	if (d->id[0] && d->store)
		store_end_dispatcher(d->store, d->id, &err);
	store_close(d->mail);
	d->mail = NULL;
	d->id[0] = '\0';
}

/* --- owners */

static void send_mail(struct dispatch *d, const char *to, const struct mail *m);
static void repeat_wants(struct dispatch *d, struct dispatch_stream *s);

void cluster_disown(struct dispatch *d, struct dispatch_stream *s)
{
	if (!s->is_mine)
		return;
	log_warn("stream has another owner", "stream=%s", s->key);
	s->is_mine = false;
	s->owner[0] = s->heir[0] = '\0';
	stream_drop_jobs(d, s);
}

void cluster_give(struct dispatch *d, struct dispatch_stream *s, const char *owner)
{
	struct mail m = { .verb = MAIL_LOOK };
	char to[STORE_ID_SIZE];

	snprintf(to, sizeof(to), "%.16s", owner);
	d->counters.streams_handed++;
	log_info("stream is handed over", "stream=%s to=%s", s->key, to);
	s->is_mine = false;
	s->heir[0] = '\0';
	snprintf(s->owner, sizeof(s->owner), "%s", owner);
	stream_drop_jobs(d, s);
	s->seen_ms = proc_now_ms();
	memcpy(m.from, d->id, sizeof(m.from));
	memcpy(m.stream, s->key, sizeof(m.stream));
	send_mail(d, to, &m); /* lost, it is found by who looks for streams without an owner */
	repeat_wants(d, s);
}

/* Whether the owner of a stream lives; an answer is used again for all streams of one scan. */
struct lives {
	char id[STORE_ID_SIZE];
	int is_alive;
};

static int is_owner_alive(struct dispatch *d, const char *owner, struct lives *known, struct err *err)
{
	char id[STORE_ID_SIZE];

	snprintf(id, sizeof(id), "%.16s", owner);
	if (!key_is_valid(id) || (owner[16] && owner[16] != ' '))
		return 0;
	if (strcmp(known->id, id)) {
		known->is_alive = store_has_dispatcher(d->store, id, err);
		memcpy(known->id, id, sizeof(id));
	}
	return known->is_alive;
}

/* Its owner has handed it to us, or we have forgotten that we are it. */
static bool is_given(const struct dispatch *d, const char *owner)
{
	return d->id[0] && !strncmp(owner, d->id, strlen(d->id)) && owner[strlen(d->id)] == ' ';
}

/* 1 it is ours, 0 another's. old: what its record says. */
static int try_to_own(struct dispatch *d, struct dispatch_stream *s, const char *old, struct lives *known, struct err *err)
{
	int ret;

	if (is_given(d, old) && !d->is_draining) {
		if (!s->is_mine || strcmp(s->owner, old))
			log_info("stream is ours", "stream=%s owner=\"%s\"", s->key, old);
		snprintf(s->owner, sizeof(s->owner), "%s", old);
		s->is_mine = true;
		d->lease_next_ms = 0; /* all shall know that we have it */
		return 1;
	}
	ret = is_owner_alive(d, old, known, err);
	if (ret < 0)
		return ret;
	if (!ret && !d->is_draining) {
		ret = store_own_stream(d->store, s->key, d->id, old, s->owner, err);
		s->is_mine |= ret == 1;
		if (ret == 1)
			log_info("stream is ours", "stream=%s owner=\"%s\"", s->key, s->owner);
		if (ret)
			return ret;
	}
	cluster_disown(d, s);
	snprintf(s->owner, sizeof(s->owner), "%s", old);
	return 0;
}

int cluster_own(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	struct lives known = { 0 };
	char owner[1][STORE_OWNER_SIZE], keys[1][RECORD_KEY_SIZE];
	int ret;

	memcpy(keys[0], s->key, sizeof(keys[0]));
	ret = store_get_owners(d->store, (const char (*)[RECORD_KEY_SIZE])keys, 1, owner, err);
	if (ret < 0)
		return ret;
	if (s->is_mine && !strcmp(owner[0], s->owner) && is_given(d, owner[0]))
		return 1;
	return try_to_own(d, s, owner[0], &known, err);
}

/* What we own, we own under the new id, unless somebody else was faster. */
static int own_all(struct dispatch *d, struct err *err)
{
	int ret = 0;

	for (int i = 0; i < d->n_streams && ret >= 0; i++)
		if (d->streams[i]->is_mine && !d->streams[i]->is_noop)
			ret = cluster_own(d, d->streams[i], err);
	return ret;
}

int cluster_renew(struct dispatch *d, struct err *err)
{
	int ret = keep(d, false, err);

	if (ret)
		return ret;
	log_warn("the lease has run out", "dispatcher=%s", d->id);
	ret = take_lease(d, err);
	return ret < 0 ? ret : own_all(d, err);
}

/* Takes the stream of a key if its owner is dead and it falls to us, or if it was given to us. */
static int take_over(struct dispatch *d, const char *key, const char *owner, struct lives *known, struct err *err)
{
	struct dispatch_stream *s = dispatch_find(d, key);
	int ret = is_given(d, owner) ? 0 : is_owner_alive(d, owner, known, err);

	if (!ret && !is_given(d, owner) && !spread_falls_to_us(d, key))
		return 0;
	if (ret) {
		if (s)
			snprintf(s->owner, sizeof(s->owner), "%s", owner);
		return ret < 0 ? ret : 0;
	}
	if (!s) {
		ret = dispatch_load(d, key, &s, err);
		if (ret == ERR_DATA)
			log_warn("stream in the store is damaged", "stream=%s reason=\"%s\"", key, err->msg);
		if (!ret)
			snprintf(d->left_over, sizeof(d->left_over), "%s", key);
		if (ret <= 0)
			return ret == ERR_DATA ? 0 : ret;
	}
	ret = try_to_own(d, s, owner, known, err);
	return ret == 1 ? dispatch_take_up(d, s, err) : ret;
}

/* Those of the streams that are not ours. */
static int list_others(struct dispatch *d, char (**keys)[RECORD_KEY_SIZE], size_t *n, struct err *err)
{
	size_t n_all;
	int ret = store_list_streams(d->store, keys, &n_all, err);

	*n = 0;
	for (size_t i = 0; i < n_all; i++) {
		const struct dispatch_stream *s = dispatch_find(d, (*keys)[i]);

		if (!s || !s->is_mine)
			memmove((*keys)[(*n)++], (*keys)[i], RECORD_KEY_SIZE);
	}
	return ret;
}

int cluster_scan(struct dispatch *d, struct err *err)
{
	struct lives known = { 0 };
	char (*owners)[STORE_OWNER_SIZE] = malloc(OWNERS_AT_ONCE * sizeof(*owners)), (*keys)[RECORD_KEY_SIZE];
	int64_t end_ms = proc_now_ms() + SCAN_MS;
	size_t n_keys;
	int ret = list_others(d, &keys, &n_keys, err);

	if (!owners && ret >= 0)
		ret = err_set(err, ERR_NOMEM, "out of memory");
	d->is_scanning = false;
	for (size_t at = 0; at < n_keys && ret >= 0 && !d->is_scanning; at += OWNERS_AT_ONCE) {
		size_t n = n_keys - at < OWNERS_AT_ONCE ? n_keys - at : OWNERS_AT_ONCE;

		ret = store_get_owners(d->store, (const char (*)[RECORD_KEY_SIZE])keys + at, n, owners, err);
		for (size_t i = 0; i < n && ret >= 0 && !d->is_scanning; i++) {
			ret = take_over(d, keys[at + i], owners[i], &known, err);
			d->is_scanning = proc_now_ms() >= end_ms && at + i + 1 < n_keys;
		}
	}
	free(keys);
	free(owners);
	return ret;
}

/* --- mail */

static void send_mail(struct dispatch *d, const char *to, const struct mail *m)
{
	struct buf json = { 0 };
	struct err err;

	if (!d->is_store_down && mail_put(m, &json) == 0 && store_send_mail(d->store, to, buf_bytes(&json), &err) < 0)
		dispatch_note_trouble(d, &err);
	buf_finish(&json);
}

/* To the owner of a stream. */
static void tell_owner(struct dispatch *d, const struct dispatch_stream *s, enum mail_verb verb, uint32_t slot, uint64_t player)
{
	struct mail m = { .verb = verb, .slot = slot, .player = player };
	char to[STORE_ID_SIZE];

	snprintf(to, sizeof(to), "%.16s", s->owner);
	memcpy(m.from, d->id, sizeof(m.from));
	memcpy(m.stream, s->key, sizeof(m.stream));
	if (key_is_valid(to))
		send_mail(d, to, &m);
}

void cluster_want(struct dispatch *d, const struct dispatch_stream *s, uint32_t slot)
{
	tell_owner(d, s, MAIL_WANT, slot, 0);
}

void cluster_follow(struct dispatch *d, const struct dispatch_stream *s, uint64_t player, uint32_t slot)
{
	tell_owner(d, s, MAIL_FOLLOW, slot, player);
}

/* A player at another dispatcher waits. */
struct remote {
	struct want want;
	struct dispatch *d;
	char from[STORE_ID_SIZE];
};

static void tell_settled(struct dispatch *d, const char *to, const struct dispatch_stream *s, uint32_t slot)
{
	struct mail m = { .verb = MAIL_SETTLED, .slot = slot };

	memcpy(m.from, d->id, sizeof(m.from));
	memcpy(m.stream, s->key, sizeof(m.stream));
	send_mail(d, to, &m);
}

static void on_remote_end(struct want *want)
{
	struct remote *r = LIST_OF(want, struct remote, want);

	tell_settled(r->d, r->from, want->stream, want->slot);
	free(r);
}

/* What is said to be made may have been dropped by Redis. */
static bool is_settled(struct dispatch *d, struct dispatch_stream *s, uint32_t slot)
{
	struct store_segment address;
	struct store_commit commit;
	struct err err;

	if (s->state == DISPATCH_FAILED || !slot || !s->has_plan)
		return s->state == DISPATCH_FAILED || (!slot && s->has_plan);
	if (slot > plan_count(&s->plan) || s->segments[slot - 1] == DISPATCH_QUARANTINED)
		return true;
	if (s->segments[slot - 1] == DISPATCH_MISSING)
		return false;
	dispatch_address(s, slot - 1, &address);
	if (store_get_commit(d->store, &address, &commit, &err) == 1)
		return true;
	dispatch_remake(d, s, slot - 1);
	return false;
}

static void on_want(struct dispatch *d, struct dispatch_stream *s, const struct mail *m)
{
	struct remote *r;
	struct err err;

	if (is_settled(d, s, m->slot)) {
		tell_settled(d, m->from, s, m->slot);
		return;
	}
	for (const struct list *l = s->wants.next; l != &s->wants; l = l->next) {
		const struct want *w = LIST_OF(l, const struct want, link);

		if (w->slot == m->slot && w->on_end == on_remote_end && !strcmp(LIST_OF(w, const struct remote, want)->from, m->from))
			return; /* said again */
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->d = d;
	memcpy(r->from, m->from, sizeof(r->from));
	r->want = (struct want){ .stream = s, .slot = m->slot, .on_end = on_remote_end };
	list_init(&r->want.link);
	if (want_begin(d, &r->want, &err) < 0)
		free(r);
}

static void on_mail(struct dispatch *d, const struct mail *m)
{
	struct dispatch_stream *s = dispatch_find(d, m->stream);

	if (m->verb == MAIL_LOOK) {
		dispatch_look(d, m->stream);
	} else if (!s) {
		log_debug("mail about an unknown stream", "stream=%s", m->stream);
	} else if (m->verb == MAIL_SETTLED && !s->is_mine) {
		stream_refresh(d, s, m->slot);
	} else if (s->is_mine && m->verb == MAIL_WANT && m->from[0]) {
		on_want(d, s, m);
	} else if (s->is_mine && m->verb == MAIL_FOLLOW && s->has_plan && m->slot && m->slot <= plan_count(&s->plan)) {
		want_follow(d, s, m->player, m->slot - 1);
	}
}

static int connect_mail(struct dispatch *d, struct err *err)
{
	int ret = d->mail ? 0 : store_open(&d->mail, d->redis_url, DISPATCH_STORE_MS, err);

	if (ret >= 0)
		ret = store_await_mail(d->mail, d->id, err);
	d->mail_ms = proc_now_ms();
	return ret;
}

int cluster_fd(const struct dispatch *d)
{
	return d->mail ? store_mail_fd(d->mail) : -1;
}

int cluster_work(struct dispatch *d)
{
	struct buf json = { 0 };
	struct mail m;
	struct err err;
	int n = 0, ret = 1;

	while (n < MAILS_AT_ONCE && ret > 0 && cluster_fd(d) >= 0) {
		buf_reset(&json);
		ret = store_take_mail(d->mail, &json, &err);
		if (ret > 0 && mail_get(buf_bytes(&json), &m, &err) == 0)
			on_mail(d, &m);
		else if (ret > 0)
			d->counters.messages_refused++;
		n += ret > 0;
		if (ret >= 0 && cluster_fd(d) < 0) /* it has answered, perhaps that there was none */
			ret = connect_mail(d, &err) < 0 ? -1 : ret;
	}
	buf_finish(&json);
	return n;
}

/* --- the clock */

/* Mails may be lost, and owners change: what is waited for is looked for, and wanted again. */
static void repeat_wants(struct dispatch *d, struct dispatch_stream *s)
{
	uint32_t last = UINT32_MAX;

	for (struct list *l = s->wants.next; l != &s->wants; l = l->next) {
		uint32_t slot = LIST_OF(l, struct want, link)->slot;

		if (slot != last)
			cluster_want(d, s, slot);
		last = slot;
	}
}

static void tick_others(struct dispatch *d, int64_t now_ms)
{
	for (int i = d->n_streams - 1; i >= 0; i--) {
		struct dispatch_stream *s = d->streams[i];

		if (s->is_mine || s->is_noop)
			continue;
		if (!list_is_empty(&s->wants))
			repeat_wants(d, s);
		else if (now_ms - s->seen_ms > CLUSTER_UNUSED_MS)
			dispatch_forget(d, s);
	}
}

void cluster_tick(struct dispatch *d, int64_t now_ms)
{
	struct err err = { 0 };
	int ret;

	if (d->is_store_down || d->is_draining)
		return;
	spread_tick(d, now_ms);
	if (now_ms < d->lease_next_ms && !d->is_scanning)
		return;
	ret = now_ms < d->lease_next_ms ? 1 : cluster_renew(d, &err);
	if (now_ms >= d->lease_next_ms) {
		d->lease_next_ms = now_ms + CLUSTER_KEEP_MS;
		if (ret >= 0)
			ret = spread_look(d, &err);
	}
	if (ret >= 0 && (cluster_fd(d) < 0 || now_ms - d->mail_ms > MAIL_WAIT_MS)) {
		store_close(d->mail);
		d->mail = NULL;
		ret = connect_mail(d, &err);
	}
	if (ret >= 0)
		ret = cluster_scan(d, &err);
	if (ret < 0)
		dispatch_note_trouble(d, &err);
	tick_others(d, now_ms);
}

struct dispatch_stream *cluster_find(struct dispatch *d, const char *key, struct err *err)
{
	struct dispatch_stream *s = dispatch_find(d, key);
	int ret;

	if (!s && !d->is_store_down) {
		ret = dispatch_load(d, key, &s, err);
		if (ret == 1)
			ret = cluster_own(d, s, err);
		if (ret >= 0 && s)
			ret = dispatch_take_up(d, s, err);
		if (ret < 0)
			dispatch_note_trouble(d, err);
	}
	if (s)
		s->seen_ms = proc_now_ms();
	return s;
}
