/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the service manager is told, with real programs: the test has the socket that systemd would have.
 */
#include "common/notify.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/programs.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[64];
static int fd;

/* is_abstract: a name that is in no file system. */
static void listen_at(bool is_abstract)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(path, sizeof path, "%s/segfarm-notify-%d", is_abstract ? "@" : "/tmp", (int)getpid());
	memcpy(at.sun_path, path, strlen(path));
	if (is_abstract)
		at.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))), 0);
	setenv("NOTIFY_SOCKET", path, 1);
}

static void stop_listening(void)
{
	close(fd);
	if (*path == '/')
		unlink(path);
	unsetenv("NOTIFY_SOCKET");
}

static void expect(const char *state)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char text[100];
	ssize_t n;

	ck_assert_msg(poll(&wait, 1, BG_WAIT_MS) == 1, "%s was not said", state);
	n = recv(fd, text, sizeof text - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_str_eq(text, state);
}

START_TEST(it_is_said_in_files_and_abstract_names)
{
	for (int i = 0; i < 2; i++) {
		listen_at(i);
		notify_send(NOTIFY_READY);
		expect("READY=1");
		stop_listening();
	}
}
END_TEST

START_TEST(nobody_to_tell_is_no_error)
{
	static const char *const paths[] = { "", "x", "/", "relative/path", "/nowhere/at/all", "@nobody", "/tmp" };
	char longest[300];

	unsetenv("NOTIFY_SOCKET");
	notify_send(NOTIFY_READY);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		setenv("NOTIFY_SOCKET", paths[i], 1);
		notify_send(NOTIFY_READY);
	}
	memset(longest, '/', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	notify_send(NOTIFY_READY);
	unsetenv("NOTIFY_SOCKET");
}
END_TEST

/* Ready when it serves, and not before; what it reads anew it says, and that it ends. */
START_TEST(programs_say_how_far_they_are)
{
	struct redis_fixture redis;
	struct bg serve, pool;

	redis_fixture_start(&redis);
	bg_open(&serve);
	bg_open(&pool);
	listen_at(false);
	programs_serve(&serve, &redis, "%s", "");
	expect("READY=1");
	programs_pool(&pool, &redis, &serve, 1, "");
	expect("READY=1");
	kill(serve.pid, SIGHUP);
	expect("RELOADING=1");
	expect("READY=1");
	kill(pool.pid, SIGHUP);
	expect("RELOADING=1");
	expect("READY=1");
	programs_end(&pool);
	expect("STOPPING=1");
	programs_end(&serve);
	expect("STOPPING=1");
	stop_listening();
	bg_close(&pool);
	bg_close(&serve);
	redis_fixture_stop(&redis);
}
END_TEST

Suite *suite_notify(void)
{
	Suite *s = suite_create("notify");
	TCase *tc = tcase_create("notify");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, it_is_said_in_files_and_abstract_names);
	tcase_add_test(tc, nobody_to_tell_is_no_error);
	tcase_add_test(tc, programs_say_how_far_they_are);
	suite_add_tcase(s, tc);
	return s;
}
