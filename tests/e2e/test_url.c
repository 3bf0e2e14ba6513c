/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * URLs as sources: what users see of servers that are not there, do not have it, stall, break off or never end, and that the farm makes
 * of a file behind a server what it makes of the file.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a server; each answer is a process */

#define FAR (400 << 20) /* of an answer: more than may be held */

static struct buf film;
static char is_far[600]; /* a file that is there when a client has taken that much */
static pid_t server;
static int port;

static void say(int fd, const char *head, const void *body, size_t n)
{
	if (send(fd, head, strlen(head), MSG_NOSIGNAL) < 0 || send(fd, body, n, MSG_NOSIGNAL) < 0)
		_exit(0);
}

#define OK_OF(size) "HTTP/1.1 200 OK\r\nContent-Length: " size "\r\n\r\n"
#define OK_UNTIL_CLOSED "HTTP/1.1 200 OK\r\n\r\n"

/* A file of a folder, from the byte on that a range names. */
static void answer_part(int fd, const char *request)
{
	const char *range = strstr(request, "Range: bytes=");
	size_t from = range ? strtoull(range + strlen("Range: bytes="), NULL, 10) : 0;
	struct buf file;
	char path[1100], head[300];

	snprintf(path, sizeof path, "/%.*s", (int)strcspn(request + strlen("/parts/"), " "), request + strlen("/parts/"));
	craft_load(&file, path);
	if (from > file.size)
		from = file.size;
	snprintf(head, sizeof head, "HTTP/1.1 %s\r\nAccept-Ranges: bytes\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n"
		 "Connection: close\r\n\r\n", range ? "206 Partial Content" : "200 OK", from, file.size - 1, file.size, file.size - from);
	say(fd, head, file.data + from, file.size - from);
}

static void answer(int fd, const char *path)
{
	static const uint8_t garbage[65536];
	char of_film[100];

	snprintf(of_film, sizeof of_film, OK_OF("%zu"), film.size);
	if (!strncmp(path, "/parts/", 7))
		answer_part(fd, path);
	else if (!strncmp(path, "/missing ", 9))
		say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "", 0);
	else if (!strncmp(path, "/broken ", 8))
		say(fd, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "", 0);
	else if (!strncmp(path, "/page ", 6))
		say(fd, OK_OF("5"), "<html", 5);
	else if (!strncmp(path, "/half ", 6) || !strncmp(path, "/stalls ", 8))
		say(fd, of_film, film.data, film.size / 2);
	else if (!strncmp(path, "/head ", 6))
		say(fd, "HTTP/1.1 200 OK\r\n", "", 0);
	else if (!strncmp(path, "/endless ", 9))
		say(fd, OK_UNTIL_CLOSED, film.data, film.size);
	else if (!strncmp(path, "/noise ", 7))
		say(fd, OK_UNTIL_CLOSED, "", 0);
	for (int64_t n = 0; !strncmp(path, "/endless ", 9) || !strncmp(path, "/noise ", 7); n += (int64_t)sizeof garbage) {
		say(fd, "", garbage, sizeof garbage);
		if (n == FAR)
			craft_save(is_far, (struct bytes){ garbage, 0 });
	}
	while (!strncmp(path, "/stalls ", 8) || !strncmp(path, "/head ", 6))
		pause();
}

static void serve(int listener)
{
	char request[4096];
	ssize_t n;
	int fd;

	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (!fork()) {
			n = recv(fd, request, sizeof request - 1, 0);
			request[n > 0 ? n : 0] = 0;
			if (n > 4)
				answer(fd, request + 4); /* behind GET */
			_exit(0);
		}
		close(fd);
	}
	_exit(0);
}

static void setup(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof at;

	craft_load(&film, defects_plain());
	snprintf(is_far, sizeof is_far, "%s", defects_scratch("far"));
	ck_assert(!bind(fd, (struct sockaddr *)&at, size) && !listen(fd, 16) && !getsockname(fd, (struct sockaddr *)&at, &size));
	port = ntohs(at.sin_port);
	server = fork();
	if (!server) {
		setpgid(0, 0);
		serve(fd);
	}
	setpgid(server, server);
	close(fd);
}

static void teardown(void)
{
	kill(-server, SIGKILL);
	buf_finish(&film);
}

/* ---- what is said */

static const struct {
	const char *url; /* a path of our server, or a whole one */
	const char *says;
} refused[] = {
	{ "http://127.0.0.1:1/film.mkv", "http://127.0.0.1:1/film.mkv: Connection refused\n" },
	{ "http://no-such-host.invalid/film.mkv", "http://no-such-host.invalid/film.mkv: the host is not known, or does not speak HTTP\n" },
	{ "/missing", "/missing: Server returned 404 Not Found\n" },
	{ "/broken", "/broken: Server returned 5XX Server Error reply\n" },
	{ "/nothing", "/nothing: the server closed the connection without an answer\n" },
	{ "/page", "/page: this is no media file of a kind that is known" },
	{ "/noise", "/noise: this is no media file of a kind that is known" },
	{ "/head", "/head: the server does not answer\n" },
};

START_TEST(what_a_server_does_not_give_is_an_error_with_a_sentence)
{
	const char *url = refused[_i].url;
	char whole[100], *said;

	snprintf(whole, sizeof whole, "http://127.0.0.1:%d%s", port, url);
	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode '%s' > %s/none; s=$?; test ! -s %s/none || echo bytes; exit $s",
				   *url == '/' ? whole : url, sh_scratch(), sh_scratch()),
			 1);
	ck_assert_msg(strstr(said, refused[_i].says) && bg_count(said, "\n") == 1, "%s: %s", url, said);
	free(said);
}
END_TEST

static const struct {
	const char *path, *says;
} ends[] = {
	{ "/half", "cannot read the URL: the connection broke off\n" },
	{ "/stalls", "cannot read the URL: nothing came from the server for 30 s\n" },
};

START_TEST(a_server_that_ends_or_stalls_within_gives_what_came_and_an_error)
{
	const char *path = defects_scratch("part.mp4");
	struct hls h;
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode http://127.0.0.1:%d%s > '%s'", port, ends[_i].path, path), 1);
	ck_assert_msg(strstr(said, " fragments, ") && strstr(said, ends[_i].says) && bg_count(said, "\n") == 2, "%s", said);
	free(said);
	hls_load_stream(&h, path);
	hls_check_stream(&h);
	ck_assert_uint_gt(hls_video(&h)->n_samples, 100);
	hls_free(&h);
}
END_TEST

/* Number behind a word in a file of /proc. */
static int64_t number_of(pid_t pid, const char *file, const char *word)
{
	char *text = sh("cat /proc/%d/%s", (int)pid, file), *at = strstr(text, word);
	int64_t n = at ? atoll(at + strlen(word)) : -1;

	free(text);
	return n;
}

static void check_endless(struct bg *b, const char *out)
{
	struct stat st;
	char *said;

	bg_wait_until(!access(is_far, F_OK) || number_of(b->pid, "io", "rchar: ") > FAR, "it does not read on");
	ck_assert_int_lt(number_of(b->pid, "status", "VmHWM:") << 10, FAR / 2); /* a sanitizer needs some, too */
	kill(b->pid, SIGINT);
	ck_assert_int_eq(bg_wait(b), 128 + SIGINT);
	said = bg_log(b);
	ck_assert_msg(strstr(said, " fragments, ") && strstr(said, "; ended by a signal\n"), "%s", said);
	free(said);
	ck_assert(!stat(out, &st) && st.st_size > 100000);
}

START_TEST(an_answer_without_an_end_is_read_in_little_memory_until_a_signal)
{
	char out[100];
	struct bg b;

	bg_open(&b);
	snprintf(out, sizeof out, "%s/out.mp4", b.dir);
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode http://127.0.0.1:%d/endless > %s'", port, out);
	check_endless(&b, out);
	unlink(is_far);
	free(sh("mkfifo %s/in && { cat '%s' /dev/zero > %s/in & } 2> /dev/null > /dev/null", b.dir, defects_plain(), b.dir));
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s'", b.dir, out);
	check_endless(&b, out);
	bg_close(&b);
}
END_TEST

/* ---- the farm */

static const struct {
	const char *name, *recipe;
} films[] = {
	{ "url.mkv", "ffmpeg -y -f lavfi -i \"$V\" -f lavfi -i \"$A\" -t 7 -c:v libx264 -preset ultrafast -g 24 -c:a ac3 \"$OUT\"" },
	{ "url.mp4", "ffmpeg -y -f lavfi -i \"$V\" -f lavfi -i \"$A\" -t 7 -c:v libx264 -preset ultrafast -g 24 -ac 2 -c:a aac \"$OUT\"" },
	{ "url.ts", "ffmpeg -y -f lavfi -i \"$V,scale=320:180\" -f lavfi -i \"$A\" -t 7 -c:v mpeg2video -g 12 -bf 2 -ac 2 -c:a mp2 -f mpegts \"$OUT\"" },
};

START_TEST(a_file_behind_a_server_becomes_what_the_file_becomes)
{
	const char *file = media_make(films[_i].name, films[_i].recipe);
	char *said;

	ck_assert_msg(!sh_status(&said,
				 "cd %s && rm -rf a b && \"$SEGFARM\" run --segment-duration 2 -o a '%s' && \"$SEGFARM\" run --segment-duration 2 -o b "
				 "'http://127.0.0.1:%d/parts%s' && test $(ls a/main | wc -l) -gt 4 && diff -r a b",
				 sh_scratch(), file, port, file),
		      "%s", said);
	free(said);
}
END_TEST

static const struct {
	const char *url, *says;
} not_cut[] = {
	{ "/missing", "Server returned 404 Not Found" },
	{ "/half", "its server sends no parts of files (range requests)" },
	{ "http://127.0.0.1:1/film.mkv", "Connection refused" },
};

START_TEST(a_server_that_does_not_give_it_ends_a_run_with_a_sentence)
{
	const char *url = not_cut[_i].url;
	char whole[100], *said;

	snprintf(whole, sizeof whole, "http://127.0.0.1:%d%s", port, url);
	ck_assert_int_eq(sh_status(&said, "\"$SEGFARM\" run '%s' -o %s/none", *url == '/' ? whole : url, sh_scratch()), 1);
	ck_assert_msg(strstr(said, not_cut[_i].says), "%s: %s", url, said);
	free(said);
}
END_TEST

Suite *suite_url(void)
{
	Suite *s = suite_create("url");
	TCase *t = tcase_create("url");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_a_server_does_not_give_is_an_error_with_a_sentence, 0, (int)(sizeof refused / sizeof *refused));
	tcase_add_loop_test(t, a_server_that_ends_or_stalls_within_gives_what_came_and_an_error, 0, (int)(sizeof ends / sizeof *ends));
	tcase_add_loop_test(t, a_file_behind_a_server_becomes_what_the_file_becomes, 0, (int)(sizeof films / sizeof *films));
	tcase_add_loop_test(t, a_server_that_does_not_give_it_ends_a_run_with_a_sentence, 0, (int)(sizeof not_cut / sizeof *not_cut));
	tcase_add_test(t, an_answer_without_an_end_is_read_in_little_memory_until_a_signal);
	suite_add_tcase(s, t);
	return s;
}
