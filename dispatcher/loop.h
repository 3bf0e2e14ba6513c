/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loop: the one poll() of run, serve and bench: bus, HTTP, signals, and the next thing to do by the clock.
 */
#ifndef SEGFARM_DISPATCHER_LOOP_H
#define SEGFARM_DISPATCHER_LOOP_H

#include "dispatcher/dispatch.h"
#include "dispatcher/farm.h"
#include "dispatcher/http.h"

struct loop {
	struct dispatch *dispatch;
	struct http *http; /* may be NULL */
	struct farm *farm; /* may be NULL */
	int signal_fd;
	bool is_service;   /* SIGHUP does not end it, but sets must_reload */
	bool must_reload;
	int stop_signal;   /* SIGINT, SIGTERM or SIGHUP has come; 0: none */
};

/* Blocks the signals and takes them over; before any thread is made. */
int loop_init(struct loop *loop, struct err *err);
void loop_finish(struct loop *loop);
/* Looks for a stop_signal without waiting. */
void loop_read_signals(struct loop *loop);
/* Works, then waits for at most wait_ms. ERR_STOPPED: a signal asks us to end; else the farm is beyond repair. */
int loop_step(struct loop *loop, int wait_ms, struct err *err);

#endif
