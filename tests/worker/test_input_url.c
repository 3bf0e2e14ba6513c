/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * URLs by the list: redirects are looked at before they are followed, names by where they lead to.
 */
#include "common/allow.h"
#include "tests/e2e/httpd.h"
#include "tests/suites.h"
#include "worker/input.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))

static int port;
static char asked[] = "/tmp/segfarm-asked.XXXXXX"; /* what the server was asked for, a line each */

static const struct {
	const char *path, *to;
} redirects[] = {
	{ "/ok/there", "/ok/film" },
	{ "/ok/beside", "film" },
	{ "/ok/beside?q=/a/b", "film" },
	{ "/ok/same-server", "//127.0.0.1:%d/ok/film" },
	{ "/ok/whole", "http://127.0.0.1:%d/ok/film" },
	{ "/ok/twice", "/ok/there" },
	{ "/ok/secret", "/secret/film" },
	{ "/ok/dots", "../secret/film" },
	{ "/ok/coded", "/ok/%%2e%%2e/secret/film" },
	{ "/ok/port", "http://127.0.0.1:1/ok/film" },
	{ "/ok/name", "http://localhost:%d/ok/film" },
	{ "/ok/number", "http://2130706433:%d/ok/film" },
	{ "/ok/user", "http://127.0.0.1:%d@localhost:%d/ok/film" },
	{ "/ok/file", "file:///etc/passwd" },
	{ "/ok/ftp", "ftp://127.0.0.1/ok/film" },
	{ "/ok/slash", "/ok\\..\\secret" },
	{ "/ok/loop", "/ok/loop" },
	{ "/ok/late", "/secret/film" },
};

static void note(const char *path)
{
	int fd = open(asked, O_WRONLY | O_APPEND);

	if (fd < 0 || dprintf(fd, "%s\n", path) < 0)
		_exit(1);
	close(fd);
}

static int port_of(int fd)
{
	struct sockaddr_in at = { 0 };
	socklen_t size = sizeof at;

	if (getsockname(fd, (struct sockaddr *)&at, &size))
		_exit(1);
	return ntohs(at.sin_port);
}

static void answer(int fd, const char *path)
{
	char to[200], head[300];

	note(path);
	port = port_of(fd);
	for (int i = 0; i < N_OF(redirects); i++) {
		if (strcmp(redirects[i].path, path))
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(to, sizeof to, redirects[i].to, port, port);
#pragma GCC diagnostic pop
		snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nlocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", to);
		httpd_send(fd, head, strlen(head));
		return;
	}
	httpd_head(fd, 4);
	httpd_send(fd, "film", 4);
}

static void setup(void)
{
	int fd = mkstemp(asked);

	ck_assert_int_ge(fd, 0);
	close(fd);
	port = httpd_start(answer);
}

static void teardown(void)
{
	httpd_stop();
	unlink(asked);
}

static bool was_asked_for(const char *path)
{
	char text[4096], line[300];
	int fd = open(asked, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	snprintf(line, sizeof line, "%s\n", path);
	return strstr(text, line) != NULL;
}

/* http://HOST:PORT PATH, where http://HOST:PORT/ok/ is allowed. */
static int open_by_list(const char *host, const char *path, bool has_private, struct err *err)
{
	struct allow allow = { .has_private = has_private };
	char url[200];
	struct input in;
	int ret;

	snprintf(url, sizeof url, "http://%s:%d/ok/", host, port);
	ck_assert_int_eq(allow_add_url(&allow, url, err), 0);
	snprintf(url, sizeof url, "http://%s:%d%s", host, port, path);
	ret = input_open_url(&in, url, 5, &allow, NULL, NULL, err);
	if (!ret) {
		struct bytes view = input_view(&in, 0, 4);

		ck_assert(view.size >= 4 && !memcmp(view.data, "film", 4));
		input_close(&in);
	}
	allow_finish(&allow);
	return ret;
}

static const struct {
	const char *path;
	int ret;
	const char *says;
} cases[] = {
	{ "/ok/film", 0, "" },
	{ "/ok/there", 0, "" },
	{ "/ok/beside", 0, "" },
	{ "/ok/beside?q=/a/b", 0, "" },
	{ "/ok/same-server", 0, "" },
	{ "/ok/whole", 0, "" },
	{ "/ok/twice", 0, "" },
	{ "/secret/film", ERR_USAGE, "begins with no allowed prefix" },
	{ "/ok/../secret/film", ERR_USAGE, "more than one way" },
	{ "/ok/secret", ERR_USAGE, "/secret/film begins with no allowed prefix" },
	{ "/ok/dots", ERR_USAGE, "more than one way" },
	{ "/ok/coded", ERR_USAGE, "more than one way" },
	{ "/ok/port", ERR_USAGE, "http://127.0.0.1:1/ok/film begins with no allowed prefix" },
	{ "/ok/name", ERR_USAGE, "begins with no allowed prefix" },
	{ "/ok/number", ERR_USAGE, "begins with no allowed prefix" },
	{ "/ok/user", ERR_USAGE, "begins with no allowed prefix" },
	{ "/ok/file", ERR_USAGE, "more than one way" },
	{ "/ok/ftp", ERR_USAGE, "more than one way" },
	{ "/ok/slash", ERR_USAGE, "more than one way" },
	{ "/ok/loop", ERR_DATA, "redirects without an end" },
};

START_TEST(a_redirect_is_followed_only_to_what_is_allowed)
{
	struct err err = { 0 };
	int ret = open_by_list("127.0.0.1", cases[_i].path, false, &err);

	ck_assert_msg(ret == cases[_i].ret && strstr(err.msg, cases[_i].says), "%d: %s", ret, err.msg);
	ck_assert(!was_asked_for("/secret/film"));
}
END_TEST

/* The same place by another name: 127.1 is 127.0.0.1, but does not say so. */
START_TEST(a_name_that_leads_to_this_machine_leads_nowhere)
{
	static const char *const hosts[] = { "127.1", "2130706433", "0x7f000001", "0" };
	struct err err = { 0 };

	for (int i = 0; i < N_OF(hosts); i++) {
		ck_assert_int_eq(open_by_list(hosts[i], "/ok/film", false, &err), ERR_USAGE);
		ck_assert_msg(strstr(err.msg, "which is no public address: --allow-url has to name it"), "%s", err.msg);
	}
	ck_assert(!was_asked_for("/ok/film"));
	ck_assert_msg(!open_by_list("127.1", "/ok/film", true, &err), "%s", err.msg);
	ck_assert(was_asked_for("/ok/film"));
	ck_assert_msg(!open_by_list("localhost", "/ok/film", false, &err), "%s", err.msg); /* that does */
}
END_TEST

Suite *suite_input_url(void)
{
	Suite *s = suite_create("input_url");
	TCase *t = tcase_create("input_url");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, a_redirect_is_followed_only_to_what_is_allowed, 0, N_OF(cases));
	tcase_add_test(t, a_name_that_leads_to_this_machine_leads_nowhere);
	suite_add_tcase(s, t);
	return s;
}
