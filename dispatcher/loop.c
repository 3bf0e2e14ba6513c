/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/loop.h"

#include "common/proc.h"
#include "dispatcher/cluster.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int loop_init(struct loop *loop, struct err *err)
{
	sigset_t set;

	memset(loop, 0, sizeof(*loop));
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signal_fd < 0)
		return err_set(err, ERR_RETRY, "no descriptor for signals: %s", strerror(errno));
	return 0;
}

void loop_finish(struct loop *loop)
{
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	loop->signal_fd = -1;
}

void loop_read_signals(struct loop *loop)
{
	struct signalfd_siginfo info;

	while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGHUP && loop->is_service)
			loop->must_reload = true;
		else if (info.ssi_signo != SIGCHLD)
			loop->stop_signal = (int)info.ssi_signo;
}

static int sooner(int wait_ms, int64_t at_ms, int64_t now_ms)
{
	if (at_ms == INT64_MAX || at_ms - now_ms >= wait_ms)
		return wait_ms;
	return at_ms > now_ms ? (int)(at_ms - now_ms) : 0;
}

static int choose_wait(const struct loop *loop, int wait_ms)
{
	int64_t now_ms = proc_now_ms();
	int http_ms = loop->http ? http_timeout_ms(loop->http) : -1;

	wait_ms = sooner(wait_ms, dispatch_next_ms(loop->dispatch), now_ms);
	if (loop->farm)
		wait_ms = sooner(wait_ms, farm_next_ms(loop->farm), now_ms);
	return http_ms >= 0 && http_ms < wait_ms ? http_ms : wait_ms;
}

int loop_step(struct loop *loop, int wait_ms, struct err *err)
{
	struct pollfd fds[4] = {
		{ .fd = loop->signal_fd, .events = POLLIN },
		{ .fd = bus_fd(loop->dispatch->bus), .events = POLLIN },
		{ .fd = cluster_fd(loop->dispatch), .events = POLLIN },
		{ .fd = loop->http ? http_fd(loop->http) : -1, .events = POLLIN },
	};
	int ret = loop->farm ? farm_work(loop->farm, err) : 0;

	if (ret < 0)
		return ret;
	if (loop->http)
		http_work(loop->http);
	/* Last: when it had nothing to do the bus is silent, and only then does its descriptor wake us. */
	if (dispatch_work(loop->dispatch))
		wait_ms = 0;
	poll(fds, 4, choose_wait(loop, wait_ms));
	loop_read_signals(loop);
	return loop->stop_signal ? err_set(err, ERR_STOPPED, "stopped by a signal") : 0;
}
