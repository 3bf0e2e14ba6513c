/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/redis_fixture.h"

#include "common/proc.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TRIES 2000 /* of 5 ms */

static int connect_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void launch(struct redis_fixture *f)
{
	char log_path[128];
	char *argv[] = { (char[]){ "redis-server" },
			 (char[]){ "--port" },
			 (char[]){ "0" },
			 (char[]){ "--unixsocket" },
			 f->socket,
			 (char[]){ "--save" },
			 (char[]){ "" },
			 (char[]){ "--appendonly" },
			 f->is_kept ? (char[]){ "yes" } : (char[]){ "no" },
			 (char[]){ "--dir" },
			 f->dir,
			 (char[]){ "--unixsocketperm" },
			 (char[]){ "700" },
			 NULL };
	struct err err;
	snprintf(log_path, sizeof(log_path), "%s/log", f->dir);
	int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(log_fd, 0);
	ck_assert_msg(!proc_spawn(&f->pid, argv, log_fd, log_fd, 1, &err), "%s", err.msg);
	close(log_fd);
	for (int i = 0; i < START_TRIES; i++) {
		int fd = connect_unix(f->socket);
		if (fd >= 0) {
			close(fd);
			return;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	ck_abort_msg("redis-server does not start, see %s", log_path);
}

static void start(struct redis_fixture *f, bool is_kept)
{
	memset(f, 0, sizeof(*f));
	f->is_kept = is_kept;
	snprintf(f->dir, sizeof(f->dir), "/tmp/segfarm-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/redis.sock", f->dir);
	snprintf(f->url, sizeof(f->url), "unix://%s", f->socket);
	launch(f);
}

void redis_fixture_start(struct redis_fixture *f)
{
	start(f, false);
}

void redis_fixture_start_kept(struct redis_fixture *f)
{
	start(f, true);
}

void redis_fixture_kill(struct redis_fixture *f)
{
	if (!f->pid)
		return;
	kill(f->pid, SIGKILL);
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
	unlink(f->socket);
}

void redis_fixture_restart(struct redis_fixture *f)
{
	redis_fixture_kill(f);
	launch(f);
}

void redis_fixture_stop(struct redis_fixture *f)
{
	redis_fixture_kill(f);
	if (f->dir[0])
		proc_remove_tree(f->dir);
	f->dir[0] = 0;
}

const char *redis_fixture_command(const struct redis_fixture *f, const char *command)
{
	static char line[512];
	size_t n = 0;
	int fd = connect_unix(f->socket);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(dprintf(fd, "%s\r\n", command), 0);
	while (n + 1 < sizeof(line) && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	close(fd);
	line[n] = 0;
	line[strcspn(line, "\r\n")] = 0;
	return line;
}
