/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * GET /stream/K.mp4: what players get, what becomes of those that stall or leave, and what is left when somebody dies.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Some 40 MB: far more than what may lie unread in the store and in sockets. */
#define TITLE                                                                                                        \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,noise=alls=60:allf=t\" -f lavfi -i \"$A\" -t 40 -c:v libx264 " \
	"-preset ultrafast -b:v 8M -bf 2 -g 48 -c:a ac3 \"$OUT\""
/* Two seconds of it are more than may lie unread. */
#define RICH_TITLE                                                                                                   \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,noise=alls=60:allf=t\" -f lavfi -i \"$A\" -t 9 -c:v libx264 " \
	"-preset ultrafast -qp 2 -g 48 -c:a ac3 \"$OUT\""
#define CURL "curl -sS --max-time 100 "
#define UNREAD_MAX (9 << 20) /* of what is in the store: 32 pieces, and what is small */

static const char *title;
static char reference[600]; /* what transcode writes */

static void make_reference(void)
{
	title = media_make("stream-big.mkv", TITLE);
	snprintf(reference, sizeof reference, "%s/stream.mp4", sh_scratch());
	free(sh("\"$WORKER\" transcode '%s' > '%s'", title, reference));
}

struct stack {
	struct redis_fixture redis;
	struct bg serve, workers;
	char *url; /* http://ADDRESS:PORT/stream/KEY.mp4 */
	int port;
};

static void start_serve(struct stack *s, const char *file)
{
	programs_serve(&s->serve, &s->redis, "--listen 127.0.0.1:%d %s", s->port, file);
}

static void start_workers(struct stack *s, int n)
{
	programs_pool(&s->workers, &s->redis, &s->serve, n, "");
}

static void find_url(struct stack *s)
{
	char *base = bg_log_after(&s->serve, "playlist: "), *key = strstr(base, "/hls/");

	ck_assert_ptr_nonnull(key);
	ck_assert_int_ge(asprintf(&s->url, "%.*s/stream/%.16s.mp4", (int)(key - base), base, key + 5), 0);
	s->port = (int)strtol(strrchr(s->url, ':') + 1, NULL, 10);
	free(base);
}

static void start(struct stack *s, const char *file, int n_workers)
{
	memset(s, 0, sizeof *s);
	redis_fixture_start(&s->redis);
	bg_open(&s->serve);
	bg_open(&s->workers);
	start_serve(s, file);
	find_url(s);
	if (!n_workers)
		return;
	start_workers(s, n_workers);
	bg_wait_log(&s->serve, "stream planned", 1);
}

static void stop(struct stack *s)
{
	programs_end(&s->workers);
	programs_end(&s->serve);
	bg_close(&s->workers);
	bg_close(&s->serve);
	redis_fixture_stop(&s->redis);
	free(s->url);
}

static void check_whole(const struct stack *s)
{
	free(sh(CURL "-f '%s' | cmp - '%s'", s->url, reference));
}

/* Nothing of a play is in Redis any more. */
static void wait_for_no_keys(const struct stack *s)
{
	char *keys = NULL;

	bg_wait_until((free(keys), keys = sh("redis-cli -s %s --raw KEYS '*:play:*'", s->redis.socket), strspn(keys, " \n") == strlen(keys)),
		      "left in Redis: %s", keys);
	free(keys);
}

START_TEST(stream_is_what_transcode_writes_also_while_segments_are_made)
{
	struct stack s;
	char *log;

	start(&s, title, 2);
	check_whole(&s);
	free(sh("\"$WORKER\" transcode --start 17.3 '%s' > %s/part && " CURL "-f '%s?start=17.3' | cmp - %s/part", title, s.serve.dir, s.url,
		s.serve.dir));
	bg_wait_log(&s.serve, "state=done", 1);
	check_whole(&s);
	wait_for_no_keys(&s);
	log = bg_log(&s.serve);
	ck_assert_msg(!strstr(log, "failed") && !strstr(log, "quarantined"), "%s", log);
	free(log);
	stop(&s);
}
END_TEST

/* The text is a header of the answer, in whatever case. */
static void check_header(const char *answer, const char *header)
{
	ck_assert_msg(strcasestr(answer, header), "no %s in\n%s", header, answer);
}

START_TEST(head_tells_duration_and_estimated_size_and_makes_nothing)
{
	struct stack s;
	char *head, *get, *log;
	long long estimated, size;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	head = sh(CURL "-I '%s'", s.url);
	check_header(head, "HTTP/1.1 200 ");
	check_header(head, "\r\nContent-Type: video/mp4\r\n");
	check_header(head, "\r\nX-Content-Duration: 40.0");
	check_header(head, "\r\nX-Estimated-Content-Length: ");
	ck_assert_msg(!strcasestr(head, "\r\nContent-Length:"), "%s", head);
	estimated = atoll(strcasestr(head, "X-Estimated-Content-Length: ") + 28);
	free(head);
	head = sh("stat -c %%s '%s'", reference);
	size = atoll(head);
	ck_assert_msg(llabs(estimated - size) < size / 50, "%lld for %lld bytes", estimated, size);
	free(head);
	log = bg_log(&s.serve);
	ck_assert_ptr_null(strstr(log, "play begins"));
	free(log);
	get = sh(CURL "-D - -o /dev/null '%s?start=20'", s.url);
	head = sh(CURL "-I '%s?start=20'", s.url);
	check_header(get, "\r\nTransfer-Encoding: chunked\r\n");
	check_header(get, strcasestr(head, "\r\nX-Content-Duration: "));
	free(get);
	free(head);
	stop(&s);
}
END_TEST

static void check_answer(const struct stack *s, const char *query, const char *status, const char *says)
{
	char *got = sh(CURL "-g -w '%%{http_code}' '%s%s'", s->url, query);

	ck_assert_msg(strstr(got, status) && strstr(got, says), "%s: %s", query, got);
	free(got);
}

START_TEST(bad_requests_are_answered_with_a_sentence)
{
	static const char *const bad[] = { "?start=", "?start=x", "?start=-1", "?start=1e9", "?start=1:30", "?start=nan", "?start=%00",
					   "?start=99999999999999999999" };
	struct stack s;

	start(&s, title, 1);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check_answer(&s, bad[i], "400", "start takes seconds");
	check_answer(&s, "?start=41", "416", "the title has ended by then");
	check_answer(&s, "x", "404", "there is nothing here");
	free(sh(CURL "-o /dev/null -w '%%{http_code}' -X POST '%s' | grep -qx 405", s.url));
	free(sh(CURL "-w '%%{http_code}' $(echo '%s' | sed 's/................[.]mp4/0123456789abcdef.mp4/') | grep -q 404", s.url));
	stop(&s);
}
END_TEST

START_TEST(without_a_worker_a_player_is_told_to_come_again)
{
	struct stack s;
	char *got;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	programs_end(&s.workers);
	got = sh(CURL "-i '%s'", s.url);
	check_header(got, " 503 ");
	check_header(got, "\r\nRetry-After: ");
	free(got);
	wait_for_no_keys(&s);
	start_workers(&s, 1);
	check_whole(&s); /* the job of the one who was sent away does not hold it up */
	stop(&s);
}
END_TEST

START_TEST(broken_source_is_an_error_not_an_empty_stream)
{
	struct stack s;
	char path[100], *got;

	snprintf(path, sizeof path, "%s/film.mkv", sh_scratch());
	free(sh("cp '%s' %s", title, path));
	start(&s, path, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	programs_end(&s.workers); /* who has the file open keeps what it was */
	free(sh("echo more >> %s", path));
	start_workers(&s, 1);
	got = sh(CURL "-w '%%{http_code}' '%s'", s.url);
	ck_assert_msg(strstr(got, "502") && strstr(got, "has changed since it was submitted"), "%s", got);
	free(got);
	stop(&s);
}
END_TEST

/* --- readers that do not read */

/* A connection with a small buffer that has asked, and reads no more than `n` bytes of the answer. */
static int ask(const struct stack *s, size_t n)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	char *text, data[4096];
	int size = asprintf(&text, "GET %s HTTP/1.0\r\n\r\n", strstr(s->url, "/stream/"));

	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
	free(text);
	while (n > 0) {
		ssize_t got = recv(fd, data, n < sizeof data ? n : sizeof data, 0);

		ck_assert_int_gt(got, 0);
		n -= (size_t)got;
	}
	return fd;
}

/* Pieces that lie unread: how many when there come no more. */
static int wait_until_full(const struct stack *s)
{
	int n = 0, last = -1, still = 0;
	char *got;

	bg_wait_until((got = sh("redis-cli -s %s --raw KEYS '*:play:*' | grep -v reader | head -n 1 | "
				"xargs -r redis-cli -s %s LLEN", s->redis.socket, s->redis.socket),
		       n = atoi(got), free(got), still = n > 0 && n == last ? still + 1 : 0, last = n, bg_sleep(20), still > 20),
		      "it never stalls");
	return n;
}

START_TEST(reader_that_stalls_makes_the_worker_wait_and_gets_all_in_the_end)
{
	struct stack s;
	char *got, data[65536], path[600];
	FILE *f;
	ssize_t n;
	int fd;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	fd = ask(&s, 1000);
	ck_assert_int_le(wait_until_full(&s), 32);
	got = sh("k=$(redis-cli -s %s --raw KEYS '*:play:*' | grep -v reader); redis-cli -s %s MEMORY USAGE $k SAMPLES 0; "
		 "test $(redis-cli -s %s TTL $k) -gt 0", s.redis.socket, s.redis.socket, s.redis.socket);
	ck_assert_msg(atoll(got) > 0 && atoll(got) < UNREAD_MAX * 3 / 2, "%s bytes", got);
	free(got);
	snprintf(path, sizeof path, "%s/slow", sh_scratch());
	f = fopen(path, "w");
	while ((n = recv(fd, data, sizeof data, 0)) > 0)
		fwrite(data, 1, (size_t)n, f);
	ck_assert_int_eq(n, 0);
	close(fd);
	fclose(f);
	free(sh("tail -c 20000000 %s > %s.end && tail -c 20000000 '%s' | cmp - %s.end", path, path, reference, path));
	wait_for_no_keys(&s);
	stop(&s);
}
END_TEST

START_TEST(reader_that_leaves_frees_its_worker)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct stack s;

	start(&s, title, 1);
	for (int i = 0; i < 6; i++) {
		int fd = ask(&s, i % 3 ? 100000 : 0);

		if (i == 4)
			wait_until_full(&s);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	check_whole(&s);
	bg_wait_log(&s.serve, "state=done", 1);
	wait_for_no_keys(&s);
	stop(&s);
}
END_TEST

START_TEST(dispatcher_that_dies_leaves_a_free_worker_and_nothing_in_redis)
{
	struct stack s;
	int fd;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	fd = ask(&s, 1000);
	wait_until_full(&s);
	kill(s.serve.pid, SIGKILL);
	ck_assert_int_eq(bg_wait(&s.serve), 128 + SIGKILL);
	wait_for_no_keys(&s);
	start_serve(&s, "");
	bg_wait_log(&s.serve, "worker joined", 1);
	check_whole(&s);
	close(fd);
	stop(&s);
}
END_TEST

START_TEST(worker_that_dies_ends_the_stream_as_broken)
{
	struct stack s;
	char *got;
	pid_t worker;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	worker = bg_role(&s.workers, "worker");
	free(sh("{ " CURL "--limit-rate 1M '%s' > %s/cut; echo $? > %s/status; } 2> /dev/null &", s.url, s.serve.dir, s.serve.dir));
	wait_until_full(&s);
	kill(worker, SIGKILL);
	bg_wait_until(!sh_status(NULL, "test -s %s/status", s.serve.dir), "it does not end");
	got = sh("cat %s/status; cmp %s/cut '%s' 2>&1 || true", s.serve.dir, s.serve.dir, reference);
	ck_assert_msg(atoi(got) == 18 && strstr(got, "EOF on"), "%s", got); /* curl: fewer bytes than there should be */
	free(got);
	check_whole(&s);
	wait_for_no_keys(&s);
	stop(&s);
}
END_TEST

START_TEST(store_that_dies_ends_the_stream_as_broken_and_the_farm_lives)
{
	struct stack s;
	pid_t worker;
	char *got;

	start(&s, title, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	worker = bg_role(&s.workers, "worker");
	free(sh("{ " CURL "--limit-rate 1M '%s' > %s/cut; echo $? > %s/status; } 2> /dev/null &", s.url, s.serve.dir, s.serve.dir));
	wait_until_full(&s);
	redis_fixture_kill(&s.redis);
	bg_wait_until(!sh_status(NULL, "test -s %s/status", s.serve.dir), "it does not end");
	got = sh("cat %s/status; cmp %s/cut '%s' 2>&1 || true", s.serve.dir, s.serve.dir, reference);
	ck_assert_msg(atoi(got) == 18 && strstr(got, "EOF on"), "%s", got);
	free(got);
	got = sh(CURL "-i '%s'", s.url);
	check_header(got, " 503 ");
	free(got);
	redis_fixture_restart(&s.redis);
	bg_wait_until(!sh_status(NULL, CURL "-f '%s' | cmp - '%s'", s.url, reference), "no stream any more");
	ck_assert_int_eq(bg_role(&s.workers, "worker"), worker);
	wait_for_no_keys(&s);
	stop(&s);
}
END_TEST

/* Bytes in front of the n-th (from 0) fragment of a file. */
static size_t find_fragment(const char *path, int n)
{
	struct buf file;
	size_t at = 0;

	craft_load(&file, path);
	for (; at + 8 <= file.size; at += get_u32(file.data + at))
		if (!memcmp(file.data + at + 4, "moof", 4) && !n--)
			break;
	ck_assert_msg(at + 8 <= file.size, "%s ends early", path);
	buf_finish(&file);
	return at;
}

/* That the store was given. */
static int64_t bytes_made(const struct stack *s)
{
	char *text = sh("redis-cli -s %s INFO stats", s->redis.socket), *at = strstr(text, "total_net_input_bytes:");
	int64_t n;

	ck_assert_ptr_nonnull(at);
	n = atoll(at + strlen("total_net_input_bytes:"));
	free(text);
	return n;
}

/* Where fragments are larger than what may be unread, the worker waits for the player within the first or second: what the player
 * has then came before they were made. */
START_TEST(first_media_come_before_two_fragments_are_made)
{
	const char *rich = media_make("stream-rich.mkv", RICH_TITLE);
	char path[600];
	size_t init, two;
	struct stack s;
	int64_t before, made;
	int fd;

	snprintf(path, sizeof path, "%s/rich.mp4", sh_scratch());
	free(sh("\"$WORKER\" transcode '%s' > '%s'", rich, path));
	init = find_fragment(path, 0);
	two = find_fragment(path, 2) - init;
	ck_assert_uint_gt(two, 3 * UNREAD_MAX);
	start(&s, rich, 1);
	bg_wait_log(&s.serve, "state=done", 1);
	before = bytes_made(&s);
	fd = ask(&s, init + 100000);
	ck_assert_int_le(wait_until_full(&s), 32);
	made = bytes_made(&s) - before;
	ck_assert_msg(made > UNREAD_MAX / 2 && made < (int64_t)two, "%lld bytes made, two fragments have %zu", (long long)made, two);
	close(fd);
	stop(&s);
}
END_TEST

START_TEST(ctrl_c_does_not_wait_for_streams)
{
	struct stack s;
	int fd;

	start(&s, title, 1);
	fd = ask(&s, 1000);
	wait_until_full(&s);
	stop(&s);
	close(fd);
}
END_TEST

Suite *suite_stream(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_test(t, stream_is_what_transcode_writes_also_while_segments_are_made);
	tcase_add_test(t, head_tells_duration_and_estimated_size_and_makes_nothing);
	tcase_add_test(t, bad_requests_are_answered_with_a_sentence);
	tcase_add_test(t, without_a_worker_a_player_is_told_to_come_again);
	tcase_add_test(t, broken_source_is_an_error_not_an_empty_stream);
	tcase_add_test(t, reader_that_stalls_makes_the_worker_wait_and_gets_all_in_the_end);
	tcase_add_test(t, reader_that_leaves_frees_its_worker);
	tcase_add_test(t, dispatcher_that_dies_leaves_a_free_worker_and_nothing_in_redis);
	tcase_add_test(t, worker_that_dies_ends_the_stream_as_broken);
	tcase_add_test(t, store_that_dies_ends_the_stream_as_broken_and_the_farm_lives);
	tcase_add_test(t, first_media_come_before_two_fragments_are_made);
	tcase_add_test(t, ctrl_c_does_not_wait_for_streams);
	suite_add_tcase(s, t);
	return s;
}
