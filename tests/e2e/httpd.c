/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/httpd.h"

#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pid_t server;

void httpd_send(int fd, const void *data, size_t n)
{
	if (send(fd, data, n, MSG_NOSIGNAL) < 0)
		_exit(0);
}

void httpd_head(int fd, long long size)
{
	char head[100];
	int n = size < 0 ? snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n\r\n")
			 : snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", size);

	httpd_send(fd, head, (size_t)n);
}

static void serve(int listener, httpd_fn *answer)
{
	char request[4096], path[4096];
	ssize_t n;
	int fd;

	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (!fork()) {
			n = recv(fd, request, sizeof request - 1, 0);
			request[n > 0 ? n : 0] = 0;
			if (sscanf(request, "GET %4095s", path) == 1)
				answer(fd, path);
			_exit(0);
		}
		close(fd);
	}
	_exit(0);
}

int httpd_start(httpd_fn *answer)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof at;

	ck_assert(!bind(fd, (struct sockaddr *)&at, size) && !listen(fd, 16) && !getsockname(fd, (struct sockaddr *)&at, &size));
	server = fork();
	if (!server) {
		setpgid(0, 0);
		serve(fd, answer);
	}
	setpgid(server, server);
	close(fd);
	return ntohs(at.sin_port);
}

void httpd_stop(void)
{
	kill(-server, SIGKILL);
}
