/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The dispatcher and its HTTP server in this process, with a title whose segments are all made.
 */
#include "common/bus.h"
#include "common/key.h"
#include "common/proc.h"
#include "dispatcher/http.h"
#include "dispatcher/stream.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/jobs.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <libavutil/log.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One segment of some 6 MB: many pieces. */
#define TITLE                                                                                                            \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,noise=alls=60:allf=t\" -t 5 -c:v libx264 -preset ultrafast -b:v 10M " \
	"-bf 2 -g 240 \"$OUT\""

static struct redis_fixture redis;
static struct dispatch dispatch;
static struct dispatch_stream *stream;
static struct http *http;
static struct err err;

/* As a worker does it. */
static void run_job(struct store *store, struct source *source, const struct job *job)
{
	struct task task = { .job = job, .store = store, .source = source, .tick = jobs_tick };
	int ret = job->type == JOB_PROBE ? probe_run(&task, &err) : segment_run(&task, &err);

	ck_assert_msg(!ret, "%s", err.msg);
}

/* Makes all segments; *probe says of which source. */
static void make_title(struct job *probe)
{
	struct source source;
	struct store *store;
	struct plan plan;

	ck_assert_msg(!store_open(&store, redis.url, 10000, &err), "%s", err.msg);
	ck_assert_msg(!jobs_probe(probe, media_make("dispatch.mkv", TITLE), &err), "%s", err.msg);
	key_derive_source(&probe->source, &probe->options, probe->stream);
	source_init(&source);
	run_job(store, &source, probe);
	ck_assert_msg(!jobs_plan(store, probe, &plan, &err), "%s", err.msg);
	for (size_t i = 0; i < plan.n_segments; i++) {
		struct job job = *probe;

		job_set_segment(&job, &plan, i);
		run_job(store, &source, &job);
	}
	plan_finish(&plan);
	source_finish(&source);
	store_close(store);
}

static void setup(void)
{
	struct cli_listen at = { .host = "127.0.0.1" };
	struct job probe;
	char bus[128];

	av_log_set_level(AV_LOG_QUIET);
	redis_fixture_start(&redis);
	make_title(&probe);
	snprintf(bus, sizeof bus, "ipc://%s/bus", redis.dir);
	ck_assert_msg(!http_create(&http, &at, NULL, &err), "%s", err.msg);
	ck_assert_msg(!dispatch_init(&dispatch, bus, NULL, redis.url, &err), "%s", err.msg);
	http_attach(http, &dispatch, redis.url);
	ck_assert_msg(!dispatch_add(&dispatch, &probe.source, &probe.options, false, &stream, &err), "%s", err.msg);
	ck_assert_int_eq(stream->state, DISPATCH_DONE);
}

static void teardown(void)
{
	http_destroy(http);
	dispatch_finish(&dispatch);
	redis_fixture_stop(&redis);
}

static int ask(const char *path)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[200];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	to.sin_port = htons((uint16_t)atoi(strrchr(http_base(http), ':') + 1));
	connect(fd, (struct sockaddr *)&to, sizeof to); /* in a moment: the server listens */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1), 1);
	ck_assert_int_eq(write(fd, text, (size_t)n), n);
	return fd;
}

static int64_t read_all(int fd)
{
	static char room[1 << 20];
	int64_t sum = 0;
	ssize_t n;

	while ((n = read(fd, room, sizeof room)) > 0)
		sum += n;
	return sum;
}

/* The segment is made, and its reader takes at once what there is: the server has no reason to wait, but for a turn or two while the
 * reader comes. No worker is there for the other one. */
START_TEST(player_that_waits_for_its_worker_holds_no_other_client_up)
{
	char path[200];
	int64_t size = stream->sizes[0], got = 0;
	int n_idle = 0, waiting, reader;

	ck_assert_int_gt(size, 16 * (int64_t)STORE_PIECE);
	snprintf(path, sizeof path, "/stream/%s.mp4", stream->key);
	waiting = ask(path);
	while (!dispatch.queue.n_pending[QUEUE_PLAYER])
		http_work(http);
	snprintf(path, sizeof path, "/hls/%s/main/%lld-%lld.m4s", stream->key, (long long)stream->plan.segments[0].start,
		 (long long)stream->plan.segments[0].duration);
	reader = ask(path);
	while (got < size) {
		struct pollfd server = { .fd = http_fd(http), .events = POLLIN };

		http_work(http);
		got += read_all(reader);
		n_idle += got < size && !poll(&server, 1, 0) && http_timeout_ms(http);
	}
	ck_assert_msg(n_idle < 3, "the server has waited %d times", n_idle);
	close(waiting);
	close(reader);
}
END_TEST

/* A job may be in flight for what another worker, given up before, has made in the end. */
START_TEST(a_segment_that_is_made_stays_made_whatever_fails)
{
	stream_give_up(&dispatch, stream, 1, ERR_DATA, 3, "cannot be made");
	ck_assert_int_eq(stream->segments[0], DISPATCH_MADE);
	ck_assert_uint_eq(stream->n_quarantined, 0);
	ck_assert_int_eq(stream->state, DISPATCH_DONE);
	ck_assert_str_eq(stream->error, "");
}
END_TEST

/* ---- a worker, seen from the dispatcher's side */

/* The next message of this verb. */
static struct msg wait_for(struct bus *bus, struct bus_peer *peer, enum msg_verb wanted)
{
	enum msg_verb verb;
	struct bytes json;
	struct msg m;
	int ret;

	for (int64_t end_ms = proc_now_ms() + 20000; proc_now_ms() < end_ms; bus_wait(bus, 100))
		while ((ret = bus_recv(bus, peer, &verb, &json, &err)) != 0)
			if (ret > 0 && verb == wanted) {
				ck_assert_msg(!msg_get(verb, json, &m, &err), "%s", err.msg);
				return m;
			}
	ck_abort_msg("no %s comes", msg_verb_name(wanted));
}

static const struct {
	const char *job, *says;
} strange[] = {
	{ "{\"id\":7,\"type\":\"noop\",\"stream\":\"\",\"deadline_ms\":1000,\"tolerant\":false,\"sleep_ms\":0,\"of_another_version\":1}", "unknown fields" },
	{ "{\"id\":7,\"type\":\"dance\"}", "type" },
};

START_TEST(job_that_a_worker_does_not_understand_is_answered_as_failed)
{
	struct bg pool;
	struct bus *bus;
	struct bus_peer peer;
	char endpoint[200];
	struct msg m;

	redis_fixture_start(&redis);
	bg_open(&pool);
	snprintf(endpoint, sizeof endpoint, "ipc://%s/bus", redis.dir);
	ck_assert_msg(!bus_bind(&bus, endpoint, NULL, &err), "%s", err.msg);
	bg_start(&pool, "\"$WORKER\" -j 1 --media-root \"$BUILD\" --redis %s --connect %s", redis.url, endpoint);
	wait_for(bus, &peer, MSG_READY);
	ck_assert_int_eq(bus_send(bus, &peer, MSG_JOB, (struct bytes){ (const uint8_t *)strange[_i].job, strlen(strange[_i].job) }, &err), 0);
	m = wait_for(bus, &peer, MSG_FAIL);
	ck_assert_int_eq(m.job, 7);
	ck_assert_int_eq(m.code, ERR_DATA);
	ck_assert_msg(strstr(m.reason, strange[_i].says) != NULL, "%s", m.reason);
	m = wait_for(bus, &peer, MSG_READY);
	ck_assert_int_eq(m.credits, 1);
	kill(pool.pid, SIGTERM);
	ck_assert_int_eq(bg_wait(&pool), 0);
	bg_close(&pool);
	bus_destroy(bus);
	redis_fixture_stop(&redis);
}
END_TEST

START_TEST(jobs_that_take_their_time_are_shared_by_workers_over_tcp_with_keys)
{
	char *text = sh("\"$SEGFARM\" bench-queue --tcp -j 3 --service-time 0.05 -n 30"), *at = strstr(text, "efficiency ");
	double efficiency = at ? strtod(at + 11, NULL) : 0;

	ck_assert_msg(strstr(text, "30 jobs of 0.050 s, 3 workers over TCP with keys: ") == text, "%s", text);
	ck_assert_msg(efficiency > 0 && efficiency <= 1, "%s", text); /* no worker has done one sooner */
	free(text);
}
END_TEST

Suite *suite_dispatch(void)
{
	Suite *s = suite_create("dispatch");
	TCase *tc = tcase_create("dispatch");

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, player_that_waits_for_its_worker_holds_no_other_client_up);
	tcase_add_test(tc, jobs_that_take_their_time_are_shared_by_workers_over_tcp_with_keys);
	tcase_add_test(tc, a_segment_that_is_made_stays_made_whatever_fails);
	suite_add_tcase(s, tc);
	tc = tcase_create("worker");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, job_that_a_worker_does_not_understand_is_answered_as_failed, 0, sizeof strange / sizeof *strange);
	suite_add_tcase(s, tc);
	return s;
}
