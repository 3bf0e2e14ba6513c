/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/links.h"

#include "common/log.h"
#include "common/proc.h"
#include "worker/codec_build.h"
#include "worker/sabotage.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEAT_MS 1000
#define CONNECT_MS 20 /* between two attempts to say HELLO; the first come sooner: what the one before us had may be waited for */
#define HELLO_MS 2000 /* after one has been said, a wish for another was on its way before */
#define UNREACHED_MS 10000
#define LOOK_MS 3000          /* between two looks where the dispatchers are */
#define LOOK_SOON_MS 300      /* while there is none */
#define LOOK_STORE_MS 2000    /* that Redis may take to tell: less than others wait for a sign of life */
#define GONE_MS 10000         /* a dispatcher that was named nowhere for so long is left */
#define LOST_MS 30000         /* where that cannot be told: one that was not, and had no connection, for so long */
#define REFUSED_MS 1000       /* until the next attempt at one that has refused us; doubled each time ... */
#define REFUSED_DOUBLINGS 5   /* ... so often */

/* ---- messages */

int link_send(struct link *l, struct msg *m)
{
	struct buf json = { 0 };
	struct err err;
	int ret = msg_put(m, &json);

	if (!ret)
		ret = bus_send(l->bus, NULL, m->verb, buf_bytes(&json), &err);
	if (!ret)
		l->reached_ms = proc_now_ms();
	buf_finish(&json);
	return ret;
}

static int pretended(const char *what, int is)
{
	const char *text = sabotage_pretends(what);

	return text ? atoi(text) : is;
}

static void describe_self(const struct session_options *o, struct msg *hello)
{
	hello->format = pretended("format", RECORD_FORMAT);
	codec_build(hello->build);
	snprintf(hello->version, sizeof hello->version, "%s", SEGFARM_VERSION);
	snprintf(hello->labels, sizeof hello->labels, "%s", o->labels ? o->labels : "");
}

/* Before the connection stands nothing can be sent: tried again with every beat. */
static void send_hello(struct links *links, struct link *l)
{
	const struct session_options *o = links->options;
	struct msg hello = { .verb = MSG_HELLO, .pid = getpid(), .is_killed = o->is_killed };
	struct msg ready = { .verb = MSG_READY, .credits = o->credits - l->n_jobs };

	hello.job = !strcmp(o->death_endpoint, l->endpoint) ? o->death_job : 0;
	snprintf(hello.name, sizeof hello.name, "%s", o->name);
	snprintf(hello.reason, sizeof hello.reason, "%s", o->death);
	describe_self(o, &hello);
	l->is_known = link_send(l, &hello) == 0;
	o->crash->is_known |= l->is_known;
	if (!l->is_known)
		return;
	l->hello_ms = proc_now_ms();
	l->owed = 0;
	if (ready.credits > 0)
		link_send(l, &ready);
}

void links_say_hello(struct links *links, struct link *l)
{
	if (proc_now_ms() - l->hello_ms >= HELLO_MS)
		send_hello(links, l);
}

void links_note_refusal(struct link *l, const char *reason)
{
	int64_t wait_ms = (int64_t)REFUSED_MS << l->n_refused;

	log_error("dispatcher refuses this worker", "endpoint=%s reason=\"%s\" again_ms=%d", l->endpoint, reason, (int)wait_ms);
	l->is_known = false;
	l->n_refused += l->n_refused < REFUSED_DOUBLINGS;
	l->next_beat_ms = proc_now_ms() + wait_ms;
}

void link_beat(struct link *l, int64_t job, int64_t progress)
{
	link_send(l, &(struct msg){ .verb = MSG_BEAT, .job = job, .progress = progress });
}

/* ---- connections */

static int connect_link(const struct links *links, struct link *l, struct err *err)
{
	struct bus *bus;
	int ret = bus_connect(&bus, l->endpoint, links->options->access, err);

	if (ret)
		return ret;
	bus_set_protocol(bus, pretended("protocol", MSG_PROTOCOL));
	bus_destroy(l->bus);
	l->bus = bus;
	l->is_known = l->is_up = false;
	return 0;
}

/* Libzmq gives up on a dispatcher that does not know our key, or is another than its key says; that may have changed since. */
static void reach_again(const struct links *links, struct link *l)
{
	struct err err = { 0 };

	log_warn("dispatcher is not reached, or does not know our key", "endpoint=%s", l->endpoint);
	l->reached_ms = proc_now_ms();
	if (connect_link(links, l, &err) < 0)
		log_error("no new connection to the dispatcher", "reason=\"%s\"", err.msg);
}

/* A dispatcher that has come back learns at once that we are here. */
static bool has_come_up(struct link *l, int64_t now)
{
	bool was_up = l->is_up;

	l->is_up = bus_is_connected(l->bus);
	l->up_ms = l->is_up ? now : l->up_ms;
	return l->is_up && !was_up;
}

static void beat_one(struct links *links, struct link *l, int64_t job, int64_t progress, int64_t now)
{
	if (has_come_up(l, now)) { /* what it wished before is gone with the connection, and it may be another by now */
		l->next_beat_ms = l->hello_ms = 0;
		l->n_refused = 0;
	}
	if (now < l->next_beat_ms)
		return;
	if (l->is_known)
		link_beat(l, job, progress);
	else
		send_hello(links, l);
	l->connect_ms = 2 * l->connect_ms < CONNECT_MS ? 2 * l->connect_ms : CONNECT_MS;
	l->next_beat_ms = now + (l->is_known ? BEAT_MS : l->connect_ms);
	if (now - l->reached_ms >= UNREACHED_MS)
		reach_again(links, l);
}

void links_beat(struct links *links, const struct link *of, int64_t job, int64_t progress)
{
	for (int i = 0; i < links->n; i++)
		beat_one(links, links->all[i], of && of != links->all[i] ? MSG_JOB_OTHER : job, progress, proc_now_ms());
}

void links_wait(struct links *links, int wait_ms)
{
	struct pollfd fds[SESSION_LINKS_MAX];

	wait_ms = wait_ms < BEAT_MS ? wait_ms : BEAT_MS;
	for (int i = 0; i < links->n; i++) {
		const struct link *l = links->all[i];

		if (bus_wait(l->bus, 0) || bus_is_connected(l->bus) != l->is_up) /* what was sent since may have taken the edge */
			return;
		fds[i] = (struct pollfd){ .fd = bus_fd(l->bus), .events = POLLIN };
		if (!l->is_known && !l->n_refused && l->connect_ms < wait_ms)
			wait_ms = l->connect_ms;
	}
	poll(fds, (nfds_t)links->n, wait_ms);
}

/* ---- who is there */

static struct link *find(const struct links *links, const char *endpoint)
{
	for (int i = 0; i < links->n; i++)
		if (!strcmp(links->all[i]->endpoint, endpoint))
			return links->all[i];
	return NULL;
}

/* What stands in Redis may be nonsense, or nothing for us: it is said when it is new, and looked at again. */
static void join(struct links *links, const char *endpoint, bool is_new, int64_t now)
{
	struct link *l = calloc(1, sizeof *l);
	struct err err = { 0 };

	if (!l)
		return;
	snprintf(l->endpoint, sizeof l->endpoint, "%s", endpoint);
	l->connect_ms = 1;
	l->reached_ms = l->named_ms = now;
	if (connect_link(links, l, &err) < 0) {
		if (is_new)
			log_warn("dispatcher cannot be joined", "endpoint=%s reason=\"%s\"", endpoint, err.msg);
		free(l);
		return;
	}
	log_info("dispatcher is joined", "endpoint=%s", endpoint);
	links->all[links->n++] = l;
}

/* is_whole: if it were named anywhere, we would know. */
static bool is_gone(const struct link *l, bool is_whole, int64_t now)
{
	int64_t seen_ms = is_whole || l->named_ms > l->up_ms ? l->named_ms : l->up_ms;

	return !l->n_jobs && now - seen_ms > (is_whole ? GONE_MS : LOST_MS);
}

static void leave(struct links *links, int i)
{
	struct link *l = links->all[i];

	log_info("dispatcher is left", "endpoint=%s", l->endpoint);
	if (l->is_known)
		link_send(l, &(struct msg){ .verb = MSG_BYE });
	bus_destroy(l->bus);
	free(l);
	links->all[i] = links->all[--links->n];
}

/* All places where they may stand; false: one of them did not answer. */
static bool ask_all(struct links *links, struct discovery *d)
{
	const struct session_options *o = links->options;
	bool has_ipc = !strncmp(o->redis, "unix:", 5) && !o->access->has_keys;
	bool is_whole = true;
	struct err err;

	store_set_timeout(links->store, LOOK_STORE_MS);
	for (int i = 0; i < o->n_connect; i++) {
		if (!discover(d, o->connect[i], links->store, has_ipc, &err))
			continue;
		if (!links->is_failing)
			log_warn("where dispatchers are cannot be told", "connect=%s reason=\"%s\"", o->connect[i], err.msg);
		is_whole = false;
	}
	store_set_timeout(links->store, SESSION_STORE_MS);
	links->is_failing = !is_whole;
	if (d->is_cut && !links->is_cut)
		log_warn("there are more dispatchers than a worker connects to", "max=%d", SESSION_LINKS_MAX);
	links->is_cut = d->is_cut;
	return is_whole;
}

void links_look(struct links *links)
{
	static char endpoints[2][SESSION_LINKS_MAX][STORE_ENDPOINT_SIZE];
	const struct discovery before = links->found;
	struct discovery *d = &links->found;
	int64_t now = proc_now_ms();
	bool is_whole;

	if (now < links->look_ms)
		return;
	*d = (struct discovery){ .endpoints = endpoints[before.endpoints == endpoints[0]], .size = SESSION_LINKS_MAX };
	is_whole = ask_all(links, d);
	now = proc_now_ms();
	for (int i = 0; i < d->n; i++) {
		struct link *l = find(links, d->endpoints[i]);

		if (l)
			l->named_ms = now;
		else if (links->n < SESSION_LINKS_MAX)
			join(links, d->endpoints[i], !discover_has(&before, d->endpoints[i]), now);
	}
	for (int i = links->n; i-- > 0;)
		if (is_gone(links->all[i], is_whole, now))
			leave(links, i);
	links->look_ms = now + (links->n ? LOOK_MS : LOOK_SOON_MS);
}

void links_init(struct links *links, const struct session_options *options, struct store *store)
{
	*links = (struct links){ .options = options, .store = store };
}

void links_finish(struct links *links)
{
	while (links->n)
		leave(links, links->n - 1);
}
