/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/allow.h"

#include "tests/suites.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))

/* ---- URLs */

static const struct {
	const char *url, *form;
} forms[] = {
	{ "http://host", "http://host:80/" },
	{ "https://HOST/A", "https://host:443/A" },
	{ "HTTP://Host:8080/a%2Db%7e/%c3%a4?x=%2e#part", "http://host:8080/a-b~/%C3%A4?x=%2e" },
	{ "http://[::1]/", "http://[::1]:80/" },
	{ "http://[FE80::1]:81/", "http://[fe80::1]:81/" },
	{ "http://me:pw@host/a", "http://me:pw@host:80/a" },
	{ "http://a@b@host/", "http://a@b@host:80/" },
	{ "http://host?x", "http://host:80/?x" },
	{ "http://host/a//b/", "http://host:80/a//b/" },
	{ "http://host/..a/...", "http://host:80/..a/..." },
};

START_TEST(a_url_has_one_form)
{
	char form[ALLOW_URL_MAX];

	ck_assert(allow_form(forms[_i].url, form));
	ck_assert_str_eq(form, forms[_i].form);
}
END_TEST

static const char *const unclear[] = {
	"", "http:", "http://", "http:///a", "ftp://host/", "file:///etc/passwd", "/etc/passwd", "concat:http://host/a", "http:/host",
	"http://host/a b", "http://host/a\n", "http://host\\@other/", "http://host/\\..", "http://host/.", "http://host/..",
	"http://host/a/../b", "http://host/%2e%2E/b", "http://host/.%2e", "http://host/a%2fb", "http://host/a%2Fb", "http://host/%5c",
	"http://host/%00", "http://host/%0d%0a", "http://host/%7f", "http://host/%", "http://host/%1", "http://host/%zz",
	"http://host:/", "http://host:0/", "http://host:65536/", "http://host:8080x/", "http://host:-1/", "http://host:999999999999/",
	"http://ho%73t/", "http://h\xc3\xb6st/", "http://[::1/", "http://[]/", "http://[::1]x/", "http://[::1%25eth0]/", "http://a@/",
	"http://host[::1]/", "http://:80/",
};

START_TEST(what_could_be_read_in_more_than_one_way_is_no_url)
{
	char form[ALLOW_URL_MAX];

	ck_assert_msg(!allow_form(unclear[_i], form), "%s: %s", unclear[_i], form);
}
END_TEST

START_TEST(a_url_that_is_too_long_is_none)
{
	char form[ALLOW_URL_MAX], url[ALLOW_URL_MAX + 100] = "http://host/";

	memset(url + strlen(url), 'a', sizeof url - strlen(url) - 1);
	ck_assert(!allow_form(url, form));
}
END_TEST

static const struct {
	const char *prefix, *url;
	bool is_allowed;
} cases[] = {
	{ "http://host/films", "http://host/films", true },
	{ "http://host/films", "http://host/films/a.mkv", true },
	{ "http://host/films", "http://host:80/films?a", true },
	{ "http://host/films", "http://HOST/%66ilms/a", true },
	{ "http://host/films", "http://host/films2/a.mkv", false },
	{ "http://host/films", "http://host/film", false },
	{ "http://host/films", "http://host/Films/a", false },
	{ "http://host/films", "https://host/films/a", false },
	{ "http://host/films", "http://host:81/films/a", false },
	{ "http://host/films", "http://host.evil/films/a", false },
	{ "http://host/films", "http://nohost/films/a", false },
	{ "http://host/films", "http://host@evil/films/a", false },
	{ "http://host/films", "http://host/films/../a", false },
	{ "http://host/films/", "http://host/films/a", true },
	{ "http://host/films/", "http://host/films", false },
	{ "http://host", "http://host/any", true },
	{ "http://host", "http://host:80@evil/any", false },
	{ "http://host", "http://host:80:@evil/", false },
	{ "http://host:8", "http://host:80/any", false },
	{ "http://host/a?k=1", "http://host/a?k=1", true },
	{ "http://host/a?k=1", "http://host/a?k=1&x=2", false },
	{ "http://host/a?k=1", "http://host/a?k=1/x", false },
	{ "http://me:pw@host/", "http://me:pw@host/a", true },
	{ "http://me:pw@host/", "http://host/a", false },
	{ "http://host/", "http://me:pw@host/a", false },
	{ "http://[::1]:80/", "http://[::1]/a", true },
};

START_TEST(a_url_is_allowed_by_its_prefix_alone)
{
	struct allow a = { 0 };
	struct err err = { 0 };
	int ret;

	ck_assert_int_eq(allow_add_url(&a, "https://other/", &err), 0);
	ck_assert_int_eq(allow_add_url(&a, cases[_i].prefix, &err), 0);
	ret = allow_url(&a, cases[_i].url, &err);
	ck_assert_msg(ret == (cases[_i].is_allowed ? 0 : ERR_USAGE), "%s of %s: %d", cases[_i].url, cases[_i].prefix, ret);
	allow_finish(&a);
	ck_assert_int_eq(allow_url(&a, cases[_i].url, &err), ERR_USAGE);
	ck_assert(strstr(err.msg, "--allow-url") || strstr(err.msg, "more than one way"));
}
END_TEST

START_TEST(a_prefix_that_is_none_is_refused)
{
	struct allow a = { 0 };
	struct err err = { 0 };

	ck_assert_int_eq(allow_add_url(&a, "host/films", &err), ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.msg, "host/films"));
	ck_assert_int_eq(a.n_urls, 0);
}
END_TEST

/* ---- addresses */

static const struct {
	const char *prefix, *address;
	bool is_allowed;
} addresses[] = {
	{ "http://host/", "93.184.216.34", true },
	{ "http://host/", "2606:2800:220:1::1", true },
	{ "http://host/", "127.0.0.1", false },
	{ "http://host/", "127.9.9.9", false },
	{ "http://host/", "0.0.0.0", false },
	{ "http://host/", "10.1.2.3", false },
	{ "http://host/", "100.64.0.1", false },
	{ "http://host/", "169.254.169.254", false },
	{ "http://host/", "172.16.0.1", false },
	{ "http://host/", "172.31.255.255", false },
	{ "http://host/", "172.32.0.1", true },
	{ "http://host/", "192.168.1.1", false },
	{ "http://host/", "198.19.0.1", false },
	{ "http://host/", "224.0.0.1", false },
	{ "http://host/", "255.255.255.255", false },
	{ "http://host/", "::1", false },
	{ "http://host/", "::", false },
	{ "http://host/", "fe80::1", false },
	{ "http://host/", "fd00::1", false },
	{ "http://host/", "ff02::1", false },
	{ "http://host/", "::ffff:127.0.0.1", false },
	{ "http://host/", "::ffff:93.184.216.34", true },
	{ "http://host/", "64:ff9b::10.0.0.1", false },
	{ "http://host/", "64:ff9b::93.184.216.34", true },
	{ "http://host/", "2002:7f00:1::", false },
	{ "http://host/", "2001::1", false },
	{ "http://127.0.0.1/", "127.0.0.1", true },
	{ "http://me@127.0.0.1:8080/a", "::ffff:127.0.0.1", true },
	{ "http://127.0.0.1/", "127.0.0.2", false },
	{ "http://127.0.0.1@host/", "127.0.0.1", false },
	{ "http://127.1/", "127.0.0.1", false }, /* not literally */
	{ "http://2130706433/", "127.0.0.1", false },
	{ "http://[::1]/", "::1", true },
	{ "http://[::1]/", "127.0.0.1", false },
	{ "http://localhost/", "127.0.0.1", true },
	{ "http://localhost/", "::1", true },
	{ "http://localhost/", "10.0.0.1", false },
	{ "http://localhost.evil/", "127.0.0.1", false },
};

static bool is_allowed(const struct allow *a, const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return allow_address(a, (struct sockaddr *)&v4);
	ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return allow_address(a, (struct sockaddr *)&v6);
}

START_TEST(an_address_that_is_not_public_has_to_be_named)
{
	struct allow a = { 0 };

	ck_assert_int_eq(allow_add_url(&a, addresses[_i].prefix, NULL), 0);
	ck_assert_msg(is_allowed(&a, addresses[_i].address) == addresses[_i].is_allowed, "%s with %s", addresses[_i].address,
		      addresses[_i].prefix);
	a.has_private = true;
	ck_assert(is_allowed(&a, addresses[_i].address));
	ck_assert(!allow_address(&a, &(struct sockaddr){ .sa_family = AF_UNIX }));
	allow_finish(&a);
}
END_TEST

/* ---- files */

static char top[32];

static const char *at(const char *name)
{
	static char path[2][200];
	static int n;

	n = !n;
	snprintf(path[n], sizeof path[n], "%s/%s", top, name);
	return path[n];
}

static void make_file(const char *name)
{
	int fd = open(at(name), O_CREAT | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void setup(void)
{
	strcpy(top, "/tmp/segfarm-allow.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert(!mkdir(at("in"), 0700) && !mkdir(at("in/deep"), 0700) && !mkdir(at("inside"), 0700));
	make_file("in/film");
	make_file("in/deep/film");
	make_file("inside/film");
	ck_assert(!symlink("../inside/film", at("in/link")) && !symlink("../inside", at("in/dir")) && !symlink("in", at("root")));
	ck_assert(!mkfifo(at("in/fifo"), 0600));
}

static void teardown(void)
{
	static const char *const names[] = { "in/film", "in/deep/film", "inside/film", "in/link", "in/dir", "in/fifo", "root" };

	for (int i = 0; i < N_OF(names); i++)
		unlink(at(names[i]));
	rmdir(at("in/deep"));
	rmdir(at("in"));
	rmdir(at("inside"));
	rmdir(top);
}

START_TEST(a_path_is_allowed_beneath_a_root_or_as_one)
{
	struct allow a = { 0 };
	struct err err;

	ck_assert_int_eq(allow_path(&a, at("in/film"), &err), ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.msg, "--media-root"));
	ck_assert_int_eq(allow_add_root(&a, at("root"), &err), 0); /* resolved: it is a link */
	ck_assert_int_eq(allow_add_root(&a, at("inside/film"), &err), 0);
	ck_assert_int_eq(allow_path(&a, at("in/film"), &err), 0);
	ck_assert_int_eq(allow_path(&a, at("in/deep/film"), &err), 0);
	ck_assert_int_eq(allow_path(&a, at("inside/film"), &err), 0);
	ck_assert_int_eq(allow_path(&a, at("inside/film2"), &err), ERR_USAGE);
	ck_assert_int_eq(allow_path(&a, at("inside"), &err), ERR_USAGE);
	ck_assert_int_eq(allow_path(&a, at("root/film"), &err), ERR_USAGE);
	ck_assert_int_eq(allow_path(&a, "/", &err), ERR_USAGE);
	ck_assert_int_eq(allow_add_root(&a, "/", &err), 0);
	ck_assert_int_eq(allow_path(&a, "/etc/passwd", &err), 0);
	allow_finish(&a);
}
END_TEST

START_TEST(a_root_has_to_be_a_directory_or_a_file_that_is_there)
{
	static const char *const bad[] = { "none", "in/fifo", "in/film/x" };
	struct allow a = { 0 };
	struct err err;

	for (int i = 0; i < N_OF(bad); i++) {
		ck_assert_int_eq(allow_add_root(&a, at(bad[i]), &err), ERR_USAGE);
		ck_assert_ptr_nonnull(strstr(err.msg, bad[i]));
	}
	ck_assert_int_eq(a.n_roots, 0);
}
END_TEST

/* The errno of opening it; 0: it opens. */
static int open_code(const char *path)
{
	int fd = allow_open(path);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

START_TEST(nothing_is_opened_through_a_link)
{
	char resolved_top[PATH_MAX];

	ck_assert_ptr_nonnull(realpath(top, resolved_top));
	ck_assert_int_eq(chdir(resolved_top), 0);
	ck_assert_int_eq(open_code(at("in/film")), 0);
	ck_assert_int_eq(open_code(at("in//deep/film")), 0);
	ck_assert_int_eq(open_code(at("in/link")), ELOOP);
	ck_assert_int_ne(open_code(at("in/dir/film")), 0);
	ck_assert_int_ne(open_code(at("root/film")), 0);
	ck_assert_int_eq(open_code(at("in/../in/film")), EPERM);
	ck_assert_int_eq(open_code(at("in/none")), ENOENT);
	ck_assert_int_eq(open_code(at("in/film/")), ENOTDIR);
	ck_assert_int_eq(open_code(at("in/fifo")), 0); /* at once */
	ck_assert_int_eq(open_code("/"), EPERM);
}
END_TEST

Suite *suite_allow(void)
{
	Suite *s = suite_create("common/allow");
	TCase *t = tcase_create("urls"), *files = tcase_create("files");

	tcase_set_timeout(t, 120);
	tcase_set_timeout(files, 120);
	tcase_add_loop_test(t, a_url_has_one_form, 0, N_OF(forms));
	tcase_add_loop_test(t, what_could_be_read_in_more_than_one_way_is_no_url, 0, N_OF(unclear));
	tcase_add_test(t, a_url_that_is_too_long_is_none);
	tcase_add_loop_test(t, a_url_is_allowed_by_its_prefix_alone, 0, N_OF(cases));
	tcase_add_test(t, a_prefix_that_is_none_is_refused);
	tcase_add_loop_test(t, an_address_that_is_not_public_has_to_be_named, 0, N_OF(addresses));
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, a_path_is_allowed_beneath_a_root_or_as_one);
	tcase_add_test(files, a_root_has_to_be_a_directory_or_a_file_that_is_there);
	tcase_add_test(files, nothing_is_opened_through_a_link);
	suite_add_tcase(s, t);
	suite_add_tcase(s, files);
	return s;
}
