/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Links: a worker's connections to its dispatchers. They come and go as dispatchers do (discover.h): a new one is told HELLO at once; one
 * that is nowhere named any more is left when nothing of it is in hand. Where it cannot be told who is named, it must be silent as well.
 */
#ifndef SEGFARM_WORKER_LINKS_H
#define SEGFARM_WORKER_LINKS_H

#include "common/bus.h"
#include "common/store.h"
#include "worker/discover.h"
#include "worker/session.h"

/* To one dispatcher. */
struct link {
	char endpoint[STORE_ENDPOINT_SIZE];
	struct bus *bus;
	int n_jobs;                   /* of its jobs, here */
	int owed;                     /* credits that it gets when another one's urgent job is done */
	bool is_known;                /* HELLO was said, and not refused */
	bool is_up;                   /* there is a connection */
	int connect_ms;               /* until the next attempt to say HELLO */
	int n_refused;                /* times in a row that it said why not */
	int64_t next_beat_ms;
	int64_t hello_ms;             /* when it was said */
	int64_t reached_ms;           /* when something was sent, or we began to try */
	int64_t named_ms;             /* when it was found last */
	int64_t up_ms;                /* when there was a connection last */
};

struct links {
	const struct session_options *options;
	struct store *store;
	struct link *all[SESSION_LINKS_MAX]; /* their places change, they themselves do not move */
	int n;
	struct discovery found;       /* at the last look */
	int64_t look_ms;              /* when it is time to look where they are */
	bool is_failing, is_cut;      /* it was said */
};

void links_init(struct links *links, const struct session_options *options, struct store *store);
void links_finish(struct links *links); /* says BYE where it may */

/* Joins and leaves dispatchers, when it is time to: between jobs. */
void links_look(struct links *links);
/* Says HELLO or BEAT where that is due. job: in hand, 0 none; of: whose it is. */
void links_beat(struct links *links, const struct link *of, int64_t job, int64_t progress);
void link_beat(struct link *l, int64_t job, int64_t progress); /* now */
int link_send(struct link *l, struct msg *m);
/* It wishes to be told. */
void links_say_hello(struct links *links, struct link *l);
/* It does not take us, and says why. */
void links_note_refusal(struct link *l, const char *reason);
/* Until something comes in, or it is time for a beat; at most wait_ms. */
void links_wait(struct links *links, int wait_ms);

#endif
