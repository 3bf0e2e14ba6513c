/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/programs.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int programs_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	close(fd);
	return ntohs(a.sin_port);
}

void programs_start_serve(struct bg *serve, const struct redis_fixture *redis, const char *arguments)
{
	bg_start(serve, "\"$SEGFARM\" serve --redis '%s' --bind ipc://%s/bus.sock --listen 127.0.0.1:0 --media-root \"$BUILD\" -v %s", redis->url,
		 serve->tmp, arguments);
}

void programs_serve(struct bg *serve, const struct redis_fixture *redis, const char *format, ...)
{
	char *arguments;
	va_list ap;

	va_start(ap, format);
	ck_assert_int_ge(vasprintf(&arguments, format, ap), 0);
	va_end(ap);
	programs_start_serve(serve, redis, arguments);
	free(arguments);
	bg_wait_log(serve, "streams on http", 1);
}

void programs_pool(struct bg *pool, const struct redis_fixture *redis, const struct bg *serve, int n, const char *options)
{
	bg_start(pool, "\"$WORKER\" -j %d --drain-timeout 2 --media-root \"$BUILD\" --redis '%s' --connect ipc://%s/bus.sock %s", n, redis->url, serve->tmp, options);
}

void programs_end(struct bg *program)
{
	if (program->pid > 0) {
		kill(program->pid, SIGTERM);
		ck_assert_int_eq(bg_wait(program), 0);
	}
	bg_check_clean(program);
}
