/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hostile peers: a farm that makes titles while others send it what they should not, over ZeroMQ and HTTP.
 * SEGFARM_ATTACK_MESSAGES (50,000) of them in all; with more there are more titles.
 */
#include "tests/e2e/attack.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TITLE                                                                                                         \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 120 -c:v libx264 -preset " \
	"ultrafast -bf 2 -g 48 -c:a ac3 -b:a 448k \"$OUT\""
#define CURL "curl -sS --max-time 100 --path-as-is"
#define MESSAGES 50000
#define MESSAGES_PER_TITLE 50000
#define TITLES_MAX 50

static const char *title; /* 20 segments */
static char *reference;   /* what -o writes when nobody disturbs */

static void make_reference(void)
{
	title = media_make("farm.mkv", TITLE);
	ck_assert_int_ge(asprintf(&reference, "%s/peers-reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s'; ls '%s/main' | grep -c m4s | grep -qx 20", title, reference, reference));
}

struct farm {
	struct redis_fixture redis;
	struct bg serve, pool;
	int n_titles, bus_port, http_port;
	char *bases[TITLES_MAX]; /* http://ADDRESS:PORT/hls/KEY */
	const char *key;         /* of the first */
};

/* "playlist: URL/master.m3u8 PATH" of each title. */
static void find_titles(struct farm *f)
{
	char *log = bg_log(&f->serve), *at = log, *end;

	for (int i = 0; i < f->n_titles; i++) {
		at = strstr(at, "playlist: ");
		ck_assert_ptr_nonnull(at);
		at += strlen("playlist: ");
		end = strstr(at, "/master.m3u8");
		ck_assert_ptr_nonnull(end);
		f->bases[i] = strndup(at, (size_t)(end - at));
		at = end;
	}
	f->key = strrchr(f->bases[0], '/') + 1;
	f->http_port = (int)strtol(strrchr(f->bases[0], ':') + 1, NULL, 10);
	free(log);
}

/* Copies of the title that are others to the farm: other names of the file. */
static void start_farm(struct farm *f, int n_titles)
{
	memset(f, 0, sizeof *f);
	f->n_titles = n_titles;
	f->bus_port = programs_free_port();
	redis_fixture_start(&f->redis);
	bg_open(&f->serve);
	bg_open(&f->pool);
	free(sh("for i in $(seq %d); do cp '%s' %s/$i.mkv; done", n_titles, title, f->serve.dir));
	bg_start(&f->serve, "\"$SEGFARM\" serve --redis %s --bind tcp://127.0.0.1:%d --insecure --listen 127.0.0.1:0 %s/*.mkv", f->redis.url,
		 f->bus_port, f->serve.dir);
	bg_wait_log(&f->serve, "workers at", 1);
	find_titles(f);
}

static void start_pool(struct farm *f)
{
	bg_start(&f->pool, "\"$WORKER\" -j 1 --media-root %s --redis %s --connect tcp://127.0.0.1:%d --insecure", f->serve.dir, f->redis.url, f->bus_port);
}

static void check_titles(const struct farm *f)
{
	for (int i = 0; i < f->n_titles; i++)
		free(sh("cd '%s' && for f in master.m3u8 main/*; do n=0; until " CURL " -f '%s'/$f 2>/dev/null | cmp -s - $f; do "
			"n=$((n + 1)); test $n -lt 1000 || { echo $f; exit 1; }; sleep 0.1; done; done",
			reference, f->bases[i]));
}

static void stop(struct bg *b)
{
	if (!b->pid)
		return;
	kill(b->pid, SIGTERM);
	ck_assert_msg(bg_wait(b) == 0, "%s", bg_tail(b));
	bg_check_clean(b);
}

/* How many messages it says that it has refused. */
static long stop_farm(struct farm *f)
{
	long n_refused;
	char *text;

	stop(&f->pool);
	stop(&f->serve);
	text = bg_log_after(&f->serve, "messages_refused=");
	n_refused = strtol(text, NULL, 10);
	free(text);
	free(sh("test $(wc -l < %s) -lt 20000", f->serve.log)); /* a flood fills no disk */
	bg_close(&f->pool);
	bg_close(&f->serve);
	redis_fixture_stop(&f->redis);
	for (int i = 0; i < f->n_titles; i++)
		free(f->bases[i]);
	return n_refused;
}

/* ---- item 8 of the fault matrix */

static long n_messages(void)
{
	const char *text = getenv("SEGFARM_ATTACK_MESSAGES");

	return text && atol(text) > 0 ? atol(text) : MESSAGES;
}

enum { ZMQ, RAW, HTTP, N_ATTACKS };
static int (*const attacks[N_ATTACKS])(void *) = { attack_zmq, attack_raw, attack_http };
static const int percent[N_ATTACKS] = { 60, 15, 25 };

/* No answer that says that we are at fault: 503 is one of those that are meant. */
static void check_statuses(const struct attack *a)
{
	for (int i = 500; i < 600; i++)
		ck_assert_msg(!a->statuses[i] || i == 501 || i == 503 || i == 505, "%d was answered %d times", i, a->statuses[i]);
	ck_assert_int_gt(a->statuses[200], 0);
	ck_assert_int_gt(a->statuses[400], 0);
	ck_assert_int_gt(a->statuses[404], 0);
	ck_assert_int_gt(a->statuses[405], 0);
	ck_assert_int_gt(a->statuses[413], 0);
}

static void print_result(const struct attack *a, long n_refused, int64_t ms)
{
	fprintf(stderr, "peers: %ld messages of ZeroMQ (%lld ms), %ld of bytes (%lld ms), %ld of HTTP (%lld ms); %lld ms in all; "
		"%ld refused; answers", a[ZMQ].n_sent, (long long)a[ZMQ].ms, a[RAW].n_sent, (long long)a[RAW].ms, a[HTTP].n_sent,
		(long long)a[HTTP].ms, (long long)ms, n_refused);
	for (int i = 0; i < 600; i++)
		if (a[HTTP].statuses[i])
			fprintf(stderr, " %d:%d", i, a[HTTP].statuses[i]);
	fputc('\n', stderr);
}

START_TEST(malformed_messages_are_refused_and_counted_and_nothing_else)
{
	struct attack *a = mmap(NULL, sizeof *a * N_ATTACKS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int n_titles = 1 + (int)(n_messages() / MESSAGES_PER_TITLE), status;
	int64_t start_ms = proc_now_ms();
	long n_refused;
	pid_t pids[N_ATTACKS];
	struct farm f;
	struct err err;

	ck_assert_ptr_ne(a, MAP_FAILED);
	start_farm(&f, n_titles < TITLES_MAX ? n_titles : TITLES_MAX);
	for (int i = 0; i < N_ATTACKS; i++) {
		a[i] = (struct attack){ .port = i == HTTP ? f.http_port : f.bus_port, .key = f.key, .seed = (uint64_t)i + 1,
					.n = n_messages() * percent[i] / 100 };
		ck_assert_msg(!proc_fork(&pids[i], "attack", attacks[i], &a[i], &err), "%s", err.msg);
	}
	start_pool(&f);
	for (int i = 0; i < N_ATTACKS; i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_msg(status == 0, "attack %d ended with status %#x after %ld messages; %s", i, (unsigned)status, a[i].n_sent,
			      bg_tail(&f.serve));
		ck_assert_int_eq(a[i].n_sent, a[i].n);
	}
	check_titles(&f);
	n_refused = stop_farm(&f);
	print_result(a, n_refused, proc_now_ms() - start_ms);
	ck_assert_int_ge(n_refused, a[ZMQ].n_refused);
	ck_assert_int_gt(a[ZMQ].n_refused, a[ZMQ].n / 3);
	check_statuses(&a[HTTP]);
}
END_TEST

/* ---- keys */

static void serve_with_keys(struct farm *f)
{
	bg_start(&f->serve,
		 "\"$SEGFARM\" serve --redis %s --bind tcp://127.0.0.1:%d --keys %s/dispatcher --allow-workers %s/allowed --listen 127.0.0.1:0 %s/*.mkv",
		 f->redis.url, f->bus_port, f->serve.dir, f->serve.dir, f->serve.dir);
	bg_wait_log(&f->serve, "workers at", 1);
}

/* Libzmq does not try again by itself: neither when it comes for the first time, nor when the dispatcher was started again. */
START_TEST(worker_that_was_refused_works_when_its_key_is_put_on_the_list)
{
	struct farm f;

	start_farm(&f, 1);
	stop(&f.serve);
	free(sh("cd %s && \"$SEGFARM\" keygen dispatcher && \"$SEGFARM\" keygen worker && : > allowed", f.serve.dir));
	serve_with_keys(&f);
	bg_start(&f.pool,
		 "\"$WORKER\" -j 1 --media-root %s --redis %s --connect tcp://127.0.0.1:%d --keys %s/worker --dispatcher-key %s/dispatcher.pub",
		 f.serve.dir, f.redis.url, f.bus_port, f.serve.dir, f.serve.dir);
	bg_wait_log(&f.serve, "key is not allowed", 1);
	free(sh("cd %s && cat worker.pub >> allowed", f.serve.dir));
	bg_wait_log(&f.serve, "worker joined", 1);
	free(sh("cd %s && : > allowed", f.serve.dir));
	stop(&f.serve);
	serve_with_keys(&f);
	bg_wait_log(&f.serve, "key is not allowed", 1);
	free(sh("cd %s && cat worker.pub >> allowed", f.serve.dir));
	bg_wait_log(&f.serve, "worker joined", 1);
	for (int i = 0; i < f.n_titles; i++)
		free(f.bases[i]);
	find_titles(&f);
	check_titles(&f);
	stop_farm(&f);
}
END_TEST

/* ---- many who do nothing */

#define IDLE 10000

static void hold_connections(const struct farm *f, int *fds)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)f->http_port) };

	for (int i = 0; i < IDLE; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET };

		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ck_assert_msg(fds[i] >= 0, "%d: %s", i, strerror(errno));
		inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
		from.sin_addr.s_addr = htonl(0x7f000002 + (uint32_t)i / 1000); /* ten clients of a thousand each */
		ck_assert_int_eq(bind(fds[i], (struct sockaddr *)&from, sizeof from), 0);
		ck_assert_msg(!connect(fds[i], (struct sockaddr *)&to, sizeof to), "%d: %s", i, strerror(errno));
	}
}

/* Those that are answered; the others were hung up on. */
static int count_answers(const int *fds, int n)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	char answer[16];
	int n_good = 0;

	for (int i = 0; i < n; i++)
		if (send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
		    poll(&(struct pollfd){ .fd = fds[i], .events = POLLIN }, 1, 20000) == 1 && recv(fds[i], answer, 12, 0) == 12)
			n_good += !memcmp(answer, "HTTP/1.1 200", 12);
	return n_good;
}

START_TEST(ten_thousand_idle_connections_are_held_and_hold_nobody_up)
{
	struct rlimit limit;
	static int fds[IDLE];
	struct farm f;
	char *text;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < IDLE * 5 / 4) {
		fprintf(stderr, "skipped: %d connections need more descriptors than ulimit -Hn allows (%ld)\n", IDLE, (long)limit.rlim_max);
		return;
	}
	limit.rlim_cur = 1024; /* the farm has to raise it, as we do */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	start_farm(&f, 1);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	hold_connections(&f, fds);
	start_pool(&f);
	check_titles(&f);
	text = sh("awk '/VmRSS/ { print $2 }' /proc/%d/status", (int)f.serve.pid);
	fprintf(stderr, "peers: the dispatcher holds %d idle connections in %ld MiB\n", IDLE, atol(text) / 1024);
	free(text);
	ck_assert_int_eq(count_answers(fds, IDLE), IDLE);
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
	check_titles(&f);
	stop_farm(&f);
}
END_TEST

START_TEST(one_address_gets_so_many_connections_and_no_more)
{
	int fds[40], n;
	struct farm f;

	start_farm(&f, 1);
	stop(&f.serve);
	bg_start(&f.serve,
		 "\"$SEGFARM\" serve --redis %s --bind ipc://%s/bus --listen 127.0.0.1:%d --max-connections 25 --max-connections-per-address 10",
		 f.redis.url, f.serve.tmp, f.http_port);
	bg_wait_log(&f.serve, "workers at", 1);
	for (int i = 0; i < 40; i++) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)f.http_port) }, from = { .sin_family = AF_INET };

		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
		from.sin_addr.s_addr = htonl(0x7f000002 + (uint32_t)i / 20);
		ck_assert_int_eq(bind(fds[i], (struct sockaddr *)&from, sizeof from), 0);
		ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&to, sizeof to), 0);
	}
	ck_assert_int_eq(count_answers(fds, 20), 10);
	n = count_answers(fds + 20, 20);
	ck_assert_int_eq(n, 10);
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	free(sh("until " CURL " -f http://127.0.0.1:%d/healthz; do sleep 0.1; done", f.http_port));
	stop_farm(&f);
}
END_TEST

Suite *suite_peers(void)
{
	Suite *s = suite_create("peers");
	TCase *t = tcase_create("peers");

	tcase_set_timeout(t, 3600);
	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_test(t, malformed_messages_are_refused_and_counted_and_nothing_else);
	tcase_add_test(t, worker_that_was_refused_works_when_its_key_is_put_on_the_list);
	tcase_add_test(t, ten_thousand_idle_connections_are_held_and_hold_nobody_up);
	tcase_add_test(t, one_address_gets_so_many_connections_and_no_more);
	suite_add_tcase(s, t);
	return s;
}
