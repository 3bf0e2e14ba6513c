/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Many dispatchers and many pools: how they find each other, share streams, come and go, and what they do about other versions.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 72 -c:v libx264 -preset " \
	"ultrafast -bf 2 -g 48 -c:a ac3 -b:a 448k \"$OUT\""
#define SMALL "ffmpeg -y -v error -f lavfi -i \"$V\" -f lavfi -i \"$A\" -t 12 -c:v libx264 -preset ultrafast -g 48 -c:a ac3 \"$OUT\""
#define SLOW "--force-video-reencode --preset veryslow --video-height 240 --segment-duration 12"
#define SEGMENTS 12 /* of TITLE */

static struct cluster s;
static char *reference, *names[SEGMENTS]; /* of the title, where what is made of it is looked at */

static void make_reference(const char *title, int n)
{
	reference = cluster_reference(title, names, n);
}

static void close_all(void)
{
	for (int i = 0; i < SEGMENTS; i++) {
		free(names[i]);
		names[i] = NULL;
	}
	free(reference);
	reference = NULL;
	cluster_close(&s);
}

static int said(const struct bg *b, const char *text)
{
	char *log = bg_log(b);
	int n = bg_count(log, text);

	free(log);
	return n;
}

/* A number of what dispatcher i says of itself, now; -1: it has no such. */
static long of(int i, const char *name)
{
	char *text;
	json_t *root, *d, *all;
	size_t k;
	long value = -1;

	text = sh("curl -sSf '%s/v1/farm'", s.root[i]);
	root = json_loads(text, 0, NULL);
	all = json_object_get(root, "dispatchers");
	json_array_foreach(all, k, d)
		if (json_integer_value(json_object_get(d, "pid")) == s.serve[i].pid) {
			json_t *v = json_object_get(d, name);

			v = v ? v : json_object_get(json_object_get(d, "counters"), name);
			value = (long)json_integer_value(v);
		}
	json_decref(root);
	free(text);
	return value;
}

/* Dispatcher i at any port of an address. */
static void serve_tcp(int i, const char *address, const char *options)
{
	bg_start(&s.serve[i], "\"$SEGFARM\" serve --redis %s --bind tcp://%s --listen 127.0.0.1:0 --media-root \"$BUILD\" --media-root %s -v %s",
		 s.redis.url, address, s.serve[0].dir, options);
	bg_wait_log(&s.serve[i], "streams on http", 1);
	free(s.root[i]);
	s.root[i] = bg_log_after(&s.serve[i], "streams on ");
	s.root[i][strcspn(s.root[i], ", \n")] = '\0';
}

static void pool(int i, const char *environment, const char *options)
{
	bg_start(&s.pool[i], "%s \"$WORKER\" --drain-timeout 60 --media-root \"$BUILD\" --media-root %s --redis %s %s", environment, s.serve[0].dir,
		 s.redis.url, options);
}

/* What dispatcher i serves of a title is what `segfarm run` makes of it. */
static void check_stream(int i, const char *key)
{
	free(sh("cd '%s' && for f in master.m3u8 main/*; do curl -sS --max-time 100 -f '%s/hls/%s'/$f | cmp - $f || exit 1; done", reference,
		s.root[i], key));
}

static void check_title(int i)
{
	char *key = cluster_key(&s, 0);

	check_stream(i, key);
	free(key);
}

/* A player of dispatcher d in place of pool i: ends well when it has it, as "got" in its directory. */
static void begin_to_ask(int i, int d, const char *key, const char *path)
{
	bg_start(&s.pool[i], "curl -sSf --max-time 100 -o '%s/got' '%s/hls/%s/%s'", s.pool[i].dir, s.root[d], key, path);
}

/* A player of dispatcher i. */
static void get_first_segment(int i, const char *key)
{
	free(sh("cd '%s' && get() { curl -sSf --max-time 100 -o out '%s/hls/%s/main/'$1; } && get index.m3u8 && get $(grep -m 1 m4s out)",
		sh_scratch(), s.root[i], key));
}

static void wait_done(int n)
{
	bg_wait_until(cluster_status(&s, "streams.0.done") >= n, "%ld of %d segments are made", cluster_status(&s, "streams.0.done"), n);
}

/* --- finding each other */

START_TEST(workers_find_dispatchers_in_redis_and_leave_those_that_are_gone)
{
	const char *title = media_make("pools.mkv", TITLE);
	char *options;

	make_reference(title, SEGMENTS);
	ck_assert_int_ge(asprintf(&options, "--insecure '%s'", title), 0);
	cluster_open(&s);
	pool(0, "", "-j 2 -v --connect redis --insecure"); /* before there is anybody */
	serve_tcp(0, "127.0.0.1:0", options);
	bg_wait_log(&s.serve[0], "worker joined", 2);
	serve_tcp(1, "127.0.0.1:0", "--insecure");
	bg_wait_log(&s.serve[1], "worker joined", 2);
	bg_wait_log(&s.serve[0], "job done", 3);
	kill(s.serve[0].pid, SIGKILL);
	bg_wait(&s.serve[0]);
	wait_done(SEGMENTS); /* by the other */
	bg_wait_log(&s.pool[0], "dispatcher is left", 2);
	/* the key of who is found is looked at as the key of anybody */
	free(sh("cd %s && \"$SEGFARM\" keygen dispatcher && \"$SEGFARM\" keygen other && \"$SEGFARM\" keygen worker && cp worker.pub allowed", s.serve[0].dir));
	programs_end(&s.pool[0]);
	programs_end(&s.serve[1]);
	free(options);
	ck_assert_int_ge(asprintf(&options, "--keys %s/other --allow-workers %s/allowed", s.serve[0].dir, s.serve[0].dir), 0);
	serve_tcp(1, "127.0.0.1:0", options);
	free(options);
	ck_assert_int_ge(asprintf(&options, "--keys %s/dispatcher --allow-workers %s/allowed '%s'", s.serve[0].dir, s.serve[0].dir, title), 0);
	serve_tcp(0, "127.0.0.1:0", options);
	free(options);
	ck_assert_int_ge(asprintf(&options, "-j 1 -v --connect redis --keys %s/worker --dispatcher-key %s/dispatcher.pub", s.serve[0].dir,
				  s.serve[0].dir), 0);
	pool(0, "", options);
	bg_wait_log(&s.serve[0], "worker joined", 1);
	bg_wait_log(&s.pool[0], "dispatcher is joined", 2);
	bg_wait_log(&s.pool[0], "dispatcher is not reached", 1);
	ck_assert_int_eq(said(&s.serve[1], "worker joined"), 0);
	check_title(0);
	free(options);
	close_all();
}
END_TEST

/* The hosts file of a mount namespace says what the name is. */
START_TEST(a_name_is_all_dispatchers_that_it_has_addresses_for)
{
	char *hosts, *enter, *connect, *out;
	char port[8];

	if (sh_status(&out, "unshare -m true")) {
		fprintf(stderr, "skipped: no mount namespace for a hosts file of its own: %s", out);
		free(out);
		return;
	}
	free(out);
	cluster_open(&s);
	serve_tcp(0, "127.0.0.2:0", "--insecure");
	out = bg_log_after(&s.serve[0], "workers at ");
	free(out);
	out = sh("\"$SEGFARM\" status --redis %s --json | grep -o '\"endpoint\": \"tcp://127.0.0.2:[0-9]*' | sed 's/.*://' | tr -d '\\n'", s.redis.url);
	snprintf(port, sizeof port, "%s", out);
	free(out);
	ck_assert_int_ge(asprintf(&hosts, "%s/hosts", s.pool[0].dir), 0);
	free(sh("echo '127.0.0.2 dispatchers.test' > %s", hosts));
	ck_assert_int_ge(asprintf(&enter, "unshare -m sh -c 'mount --bind %s /etc/hosts && exec \"$@\"' sh", hosts), 0);
	ck_assert_int_ge(asprintf(&connect, "-j 1 -v --insecure --connect tcp://dispatchers.test:%s", port), 0);
	pool(0, enter, connect);
	bg_wait_log(&s.serve[0], "worker joined", 1);
	free(connect);
	ck_assert_int_ge(asprintf(&connect, "127.0.0.3:%s", port), 0);
	serve_tcp(1, connect, "--insecure");
	free(sh("echo '127.0.0.3 dispatchers.test' >> %s", hosts));
	bg_wait_log(&s.serve[1], "worker joined", 1);
	free(sh("echo '127.0.0.3 dispatchers.test' > %s", hosts));
	bg_wait_log(&s.pool[0], "dispatcher is left", 1);
	bg_wait_until(of(0, "n_workers") == 0, "still there");
	ck_assert_int_eq(of(1, "n_workers"), 1);
	ck_assert_int_eq(of(0, "workers_lost"), 0); /* it has said so */
	free(sh(": > %s", hosts)); /* the name server has forgotten it: everybody stays where he is */
	bg_wait_log(&s.pool[0], "cannot be told", 1);
	ck_assert_int_eq(of(1, "n_workers"), 1);
	kill(s.serve[1].pid, SIGKILL);
	bg_wait(&s.serve[1]);
	bg_wait_log(&s.pool[0], "dispatcher is left", 2); /* but for those that do not answer either */
	free(connect);
	free(enter);
	free(hosts);
	cluster_close(&s);
}
END_TEST

START_TEST(who_cannot_be_joined_is_told_of_once)
{
	cluster_open(&s);
	serve_tcp(0, "127.0.0.1:0", "--insecure");
	pool(0, "", "-j 1 -v --connect redis"); /* without keys */
	bg_wait_log(&s.pool[0], "cannot be joined", 1);
	cluster_serve(&s, 1, "");
	bg_wait_log(&s.serve[1], "worker joined", 1);
	ck_assert_int_eq(said(&s.pool[0], "cannot be joined"), 1); /* though it has looked again */
	cluster_close(&s);
}
END_TEST

START_TEST(a_loopback_address_is_for_workers_of_the_same_host)
{
	char *out;

	if (sh_status(&out, "unshare -nu true")) {
		fprintf(stderr, "skipped: no namespaces for another host: %s", out);
		free(out);
		return;
	}
	free(out);
	cluster_open(&s);
	serve_tcp(0, "127.0.0.1:0", "--insecure");
	serve_tcp(1, "127.0.0.1:0", "--insecure --advertise tcp://192.0.2.1:5555");
	pool(0, "unshare -nu sh -c 'hostname elsewhere && exec \"$@\"' sh", "-j 1 -v --connect redis --insecure");
	bg_wait_log(&s.pool[0], "dispatcher is joined", 1);
	out = bg_log_after(&s.pool[0], "dispatcher is joined\" ");
	ck_assert_str_eq(out, "endpoint=tcp://192.0.2.1:5555");
	free(out);
	pool(1, "", "-j 1 -v --connect redis --insecure");
	bg_wait_log(&s.serve[0], "worker joined", 1);
	ck_assert_int_eq(said(&s.pool[0], "127.0.0.1"), 0);
	cluster_close(&s);
}
END_TEST

/* --- who owns what */

#define STREAMS 8

/* So that they are not finished: nobody makes them. */
START_TEST(streams_are_spread_over_dispatchers_that_come_and_go)
{
	const char *title = media_make("operations.mkv", SMALL);
	long sum;

	cluster_open(&s);
	free(sh("for i in $(seq %d); do cp '%s' %s/$i.mkv; done", STREAMS, title, s.serve[0].dir));
	bg_start(&s.serve[0], "\"$SEGFARM\" serve --redis %s --bind ipc://%s/bus.sock --listen 127.0.0.1:0 -v %s/*.mkv", s.redis.url, s.serve[0].tmp,
		 s.serve[0].dir);
	bg_wait_log(&s.serve[0], "streams on http", 1);
	s.root[0] = bg_log_after(&s.serve[0], "streams on ");
	s.root[0][strcspn(s.root[0], ", \n")] = '\0';
	ck_assert_int_eq(of(0, "driven"), STREAMS);
	serve_tcp(1, "127.0.0.1:0", "--insecure");
	bg_wait_until(of(0, "driven") == STREAMS / 2 && of(1, "driven") == STREAMS / 2, "not spread over two");
	serve_tcp(2, "127.0.0.1:0", "--insecure");
	bg_wait_until(of(0, "driven") + of(1, "driven") + of(2, "driven") == STREAMS && of(0, "driven") <= 3 && of(1, "driven") <= 3 &&
			      of(2, "driven") <= 3, "not spread over three");
	kill(s.serve[1].pid, SIGKILL);
	bg_wait(&s.serve[1]);
	bg_wait_until(of(0, "driven") == STREAMS / 2 && of(2, "driven") == STREAMS / 2, "not spread after a death");
	kill(s.serve[2].pid, SIGTERM); /* in good order */
	ck_assert_int_eq(bg_wait(&s.serve[2]), 0);
	bg_wait_until(of(0, "driven") == STREAMS, "not taken back");
	sum = said(&s.serve[0], "stream is handed over");
	ck_assert_msg(sum >= 5, "%ld handed over by the first", sum);
	pool(0, "", "-j 2 -v --connect redis");
	bg_wait_until(of(0, "driven") == 0, "not made");
	cluster_close(&s);
}
END_TEST

/* A worker makes them all the while: each changes hands when nothing of it is in hand, and nothing is lost by that. */
START_TEST(streams_that_are_being_made_change_hands_between_jobs)
{
	const char *title = media_make("pools.mkv", TITLE);
	char *keys;

	make_reference(title, SEGMENTS);
	cluster_open(&s);
	free(sh("for i in 1 2 3; do cp '%s' %s/$i.mkv; done", title, s.serve[0].dir));
	pool(0, "", "-j 1 -v --connect redis --insecure");
	bg_start(&s.serve[0], "\"$SEGFARM\" serve --redis %s --bind tcp://127.0.0.1:0 --insecure --listen 127.0.0.1:0 -v %s/*.mkv", s.redis.url,
		 s.serve[0].dir);
	bg_wait_log(&s.serve[0], "job done", 2);
	s.root[0] = bg_log_after(&s.serve[0], "streams on ");
	s.root[0][strcspn(s.root[0], ", \n")] = '\0';
	serve_tcp(1, "127.0.0.1:0", "--insecure");
	bg_wait_until(of(0, "driven") + of(1, "driven") == 0 && said(&s.serve[0], "state=done") + said(&s.serve[1], "state=done") == 3, "not made");
	keys = sh("\"$SEGFARM\" status --redis %s --json | grep -o '\"key\": \"[0-9a-f]*' | cut -d'\"' -f4", s.redis.url);
	for (char *key = strtok(keys, "\n"); key; key = strtok(NULL, "\n"))
		check_stream(1, key);
	ck_assert_int_eq(of(0, "jobs_failed") + of(1, "jobs_failed"), 0);
	fprintf(stderr, "pools: %d of 3 streams changed hands while they were made\n", said(&s.serve[0], "stream is handed over"));
	free(keys);
	close_all();
}
END_TEST

/* Nobody makes what they wait for until both dispatchers have one. */
START_TEST(streams_that_players_always_wait_for_change_hands_all_the_same)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options, *keys;

	cluster_open(&s);
	free(sh("cp '%s' %s/copy.mkv", title, s.serve[0].dir));
	ck_assert_int_ge(asprintf(&options, "--insecure --on-demand '%s' %s/copy.mkv", title, s.serve[0].dir), 0);
	serve_tcp(0, "127.0.0.1:0", options);
	keys = sh("grep -o '/hls/[0-9a-f]*' %s | cut -d/ -f3", s.serve[0].log);
	begin_to_ask(1, 0, strtok(keys, "\n"), "master.m3u8");
	begin_to_ask(2, 0, strtok(NULL, "\n"), "master.m3u8");
	bg_wait_until(cluster_status(&s, "dispatchers.*.queue.player") == 2, "nobody waits");
	serve_tcp(1, "127.0.0.1:0", "--insecure");
	bg_wait_log(&s.serve[0], "stream is handed over", 1);
	pool(0, "", "-j 1 -v --connect redis --insecure");
	ck_assert_int_eq(bg_wait(&s.pool[1]), 0);
	ck_assert_int_eq(bg_wait(&s.pool[2]), 0);
	ck_assert_int_eq(said(&s.serve[0], "stream is handed over"), 1);
	free(keys);
	free(options);
	cluster_close(&s);
}
END_TEST

/* --- a worker of two dispatchers */

START_TEST(a_players_job_goes_before_what_another_dispatcher_has_ahead)
{
	const char *slow = media_make("operations.mkv", SMALL), *title = media_make("pools.mkv", TITLE);
	char *options, *key;

	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "--on-demand '%s'", title), 0);
	cluster_serve(&s, 0, options);
	free(options);
	ck_assert_int_ge(asprintf(&options, SLOW " '%s'", slow), 0);
	cluster_serve(&s, 1, options);
	cluster_pool_of_two(&s, 0, 1);
	bg_wait_log(&s.serve[1], "msg=\"job given\"", 2); /* the probe, and what takes seconds */
	key = cluster_key(&s, 0);
	get_first_segment(0, key);
	ck_assert_int_ge(said(&s.serve[1], "made way for another dispatcher's job"), 1); /* for the probe, too, perhaps */
	bg_wait_until(of(1, "driven") == 0, "the other's is not made");
	ck_assert_int_eq(of(1, "jobs_failed"), 0);
	ck_assert_int_eq(of(0, "jobs_failed"), 0);
	free(key);
	free(options);
	cluster_close(&s);
}
END_TEST

#define QUEUED "--force-video-reencode --preset medium --video-height 180 --segment-duration 2"

/* The worker has one job in hand and seven at hand. None of them is done before the player's, but for one that was done when that came. */
START_TEST(a_players_job_goes_before_what_two_dispatchers_have_queued)
{
	const char *slow = media_make("operations.mkv", SMALL), *title = media_make("pools.mkv", TITLE);
	char *options, *key;

	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "--on-demand '%s'", title), 0);
	cluster_serve(&s, 0, options);
	free(options);
	cluster_pool(&s, 0, 1);
	key = cluster_key(&s, 0);
	free(sh("curl -sSf '%s/hls/%s/master.m3u8'", s.root[0], key)); /* it is probed */
	programs_end(&s.pool[0]);
	programs_end(&s.serve[0]);
	free(sh("cp '%s' %s/copy.mkv", slow, s.serve[0].dir));
	ck_assert_int_ge(asprintf(&options, QUEUED " '%s'", slow), 0);
	cluster_serve(&s, 0, options);
	free(options);
	ck_assert_int_ge(asprintf(&options, QUEUED " %s/copy.mkv", s.serve[0].dir), 0);
	cluster_serve(&s, 1, options);
	pool(0, "", "-j 1 -v --credits 4 --connect redis");
	for (int i = 0; i < 2; i++)
		bg_wait_log(&s.serve[i], "msg=\"job given\"", 5); /* the probe, and four */
	get_first_segment(0, key);
	free(sh("sort -s -k 1,1 %s %s | awk '/\"job given\"/ && /stream=%s/ && !job { match($0, / job=[0-9]+ /); "
		"job = substr($0, RSTART, RLENGTH) } job && /\"job done\"/ { if (index($0, job)) { print n + 0; exit } n++ }' | grep -x '[01]'",
		s.serve[0].log, s.serve[1].log, key));
	bg_wait_until(said(&s.serve[0], "state=done") + said(&s.serve[1], "state=done") == 2, "what was given up is not made");
	ck_assert_int_eq(of(0, "jobs_failed") + of(1, "jobs_failed"), 0);
	free(key);
	free(options);
	cluster_close(&s);
}
END_TEST

START_TEST(players_of_two_dispatchers_share_a_worker)
{
	const char *title = media_make("pools.mkv", TITLE);
	char *options, *keys[2];

	make_reference(title, SEGMENTS);
	cluster_open(&s);
	free(sh("cp '%s' %s/copy.mkv", title, s.serve[0].dir));
	ck_assert_int_ge(asprintf(&options, "--on-demand '%s'", title), 0);
	cluster_serve(&s, 0, options);
	free(options);
	ck_assert_int_ge(asprintf(&options, "--on-demand %s/copy.mkv", s.serve[0].dir), 0);
	cluster_serve(&s, 1, options);
	pool(0, "", "-j 1 -v --connect redis");
	for (int i = 0; i < 2; i++)
		keys[i] = cluster_key(&s, i);
	free(sh("cd '%s' && play() { for f in main/*; do curl -sSf --max-time 100 $1/$f | cmp - $f || return 1; done; }; "
		"play '%s/hls/%s' & play '%s/hls/%s' && wait $!",
		reference, s.root[0], keys[0], s.root[1], keys[1]));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(of(i, "jobs_failed"), 0);
		ck_assert_int_ge(of(i, "jobs_done"), SEGMENTS + 1);
		free(keys[i]);
	}
	free(options);
	close_all();
}
END_TEST

/* --- pools */

/* Each of them drains when its successor works. */
START_TEST(pools_join_and_leave_and_nothing_is_lost)
{
	const char *title = media_make("pools.mkv", TITLE);
	char *options;
	int64_t start_ms, joined_ms[4];

	make_reference(title, SEGMENTS);
	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "'%s'", title), 0);
	cluster_serve(&s, 0, options);
	for (int i = 0; i < 4; i++) {
		char *connect;

		ck_assert_int_ge(asprintf(&connect, "-j 1 --connect ipc://%s/bus.sock", s.serve[0].tmp), 0);
		start_ms = proc_now_ms();
		pool(i % 2, "", connect);
		bg_wait_log(&s.serve[0], "worker joined", i + 1);
		joined_ms[i] = proc_now_ms() - start_ms;
		free(connect);
		bg_wait_log(&s.serve[0], "job done", 3 * i + 2);
		if (i)
			kill(s.pool[(i + 1) % 2].pid, SIGTERM);
		if (i)
			ck_assert_int_eq(bg_wait(&s.pool[(i + 1) % 2]), 0);
	}
	wait_done(SEGMENTS);
	check_title(0);
	ck_assert_int_eq(of(0, "jobs_failed"), 0);
	ck_assert_int_eq(of(0, "workers_lost"), 0);
	ck_assert_int_eq(of(0, "jobs_done"), SEGMENTS + 1); /* and the probe: none of them twice */
	fprintf(stderr, "pools: joined %lld, %lld, %lld, %lld ms after they were started\n", (long long)joined_ms[0], (long long)joined_ms[1],
		(long long)joined_ms[2], (long long)joined_ms[3]);
	free(options);
	close_all();
}
END_TEST

START_TEST(titles_of_another_encoder_are_made_where_there_is_a_gpu_as_long_as_there_is_one)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options, *connect, *plain, *gpu;

	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "--encoder auto --force-video-reencode --segment-duration 2 '%s'", title), 0);
	cluster_serve(&s, 0, "");
	ck_assert_int_ge(asprintf(&connect, "-j 1 -v --connect ipc://%s/bus.sock --label basement", s.serve[0].tmp), 0);
	pool(0, "", connect);
	free(connect);
	ck_assert_int_ge(asprintf(&connect, "-j 1 -v --connect ipc://%s/bus.sock --hardware --label big", s.serve[0].tmp), 0);
	pool(1, "", connect);
	bg_wait_log(&s.serve[0], "worker joined", 2);
	bg_wait_log(&s.serve[0], "labels=basement", 1);
	bg_wait_log(&s.serve[0], "labels=big,gpu", 1);
	free(sh("\"$SEGFARM\" submit --redis %s --encoder lavc_libx264 --force-video-reencode --segment-duration 2 '%s'", s.redis.url, title));
	wait_done(6);
	ck_assert_int_ge(asprintf(&plain, "-%d-0-", (int)s.pool[0].pid), 0);
	ck_assert_int_ge(asprintf(&gpu, "-%d-0-", (int)s.pool[1].pid), 0);
	free(sh("grep 'job given\"' %s | grep -c 'worker=[^ ]*%s' | grep -qx 7 && ! grep 'job given\"' %s | grep -q 'worker=[^ ]*%s'", s.serve[0].log,
		gpu, s.serve[0].log, plain)); /* the probe, too */
	free(sh("\"$SEGFARM\" status --redis %s | grep -q 'basement' && \"$SEGFARM\" status --redis %s | grep -q '2 pools'", s.redis.url, s.redis.url));
	programs_end(&s.pool[1]);
	free(sh("\"$SEGFARM\" submit --redis %s --encoder auto --force-video-reencode --segment-duration 3 '%s'", s.redis.url, title));
	bg_wait_log(&s.serve[0], "stream planned", 2);
	bg_wait_log(&s.serve[0], "state=done", 2); /* without one, by libx264 */
	free(gpu);
	free(plain);
	free(connect);
	free(options);
	cluster_close(&s);
}
END_TEST

/* --- versions */

static const struct {
	const char *pretend, *dispatcher_says, *worker_says; /* NULL: it works */
} versions[] = {
	{ "protocol:1", NULL, NULL },
	{ "protocol:2", NULL, NULL },
	{ "protocol:3", "a message of protocol 3", "understands 1 to 2" },
	{ "format:99", "its plans are of format 99", "one of them has to be updated" },
};

START_TEST(workers_of_the_version_before_work_and_others_are_told_why_not)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options, *environment, *connect;

	make_reference(title, 2);
	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "'%s'", title), 0);
	cluster_serve(&s, 0, options);
	ck_assert_int_ge(asprintf(&environment, "env SEGFARM_PRETEND=%s", versions[_i].pretend), 0);
	ck_assert_int_ge(asprintf(&connect, "-j 1 -v --connect ipc://%s/bus.sock", s.serve[0].tmp), 0);
	pool(0, environment, connect);
	if (versions[_i].dispatcher_says) {
		bg_wait_log(&s.serve[0], versions[_i].dispatcher_says, 1);
		bg_wait_log(&s.pool[0], versions[_i].worker_says, 3); /* it tries again */
		ck_assert_int_eq(said(&s.serve[0], "worker joined"), 0);
		ck_assert_int_ge(of(0, "workers_refused"), 3);
		pool(1, "", connect); /* one that fits, beside it */
	}
	wait_done(2);
	check_title(0);
	ck_assert_int_eq(of(0, "jobs_failed"), 0);
	free(connect);
	free(environment);
	free(options);
	close_all();
}
END_TEST

#define OLD "00000000000000aa"
#define NEW "00000000000000bb"

/* A title on demand, and a pool of the old build. Returns the options of pools. */
static char *serve_by_an_old_build(void)
{
	const char *title = media_make("pools.mkv", TITLE);
	char *options, *connect;

	make_reference(title, SEGMENTS);
	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "--on-demand '%s'", title), 0);
	cluster_serve(&s, 0, options);
	free(options);
	ck_assert_int_ge(asprintf(&connect, "-j 1 -v --connect ipc://%s/bus.sock", s.serve[0].tmp), 0);
	pool(0, "env SEGFARM_PRETEND=build:" OLD, connect);
	return connect;
}

/* As in a rolling update of libx264: two builds at a time, then only the new one. */
START_TEST(a_worker_of_another_build_writes_nothing_into_a_plan_that_is_not_its_own)
{
	char *connect = serve_by_an_old_build(), *plan, *old;

	bg_wait_log(&s.serve[0], "worker joined", 1);
	free(sh("curl -sSf '%s/hls/'$(echo %s)/master.m3u8 > /dev/null", s.root[0], (plan = cluster_key(&s, 0))));
	free(plan);
	bg_wait_log(&s.serve[0], "stream planned", 1);
	pool(1, "env SEGFARM_PRETEND=build:" NEW, connect);
	bg_wait_log(&s.serve[0], "worker joined", 2);
	ck_assert_int_ge(asprintf(&old, "-%d-0-", (int)s.pool[0].pid), 0);
	for (int i = 0; i < 3; i++) { /* by those of its build alone, though the other idles */
		char *key = cluster_key(&s, 0);

		free(sh("curl -sSf '%s/hls/%s/main/%s' | cmp - '%s/main/%s'", s.root[0], key, names[5 * i], reference, names[5 * i]));
		free(key);
	}
	free(sh("! grep 'job given\"' %s | grep -v 'worker=[^ ]*%s'", s.serve[0].log, old));
	programs_end(&s.pool[0]);
	free(sh("\"$SEGFARM\" submit --redis %s '%s'", s.redis.url, media_make("pools.mkv", TITLE))); /* all of it, please */
	bg_wait_log(&s.serve[0], "stream is planned anew", 1);
	bg_wait_log(&s.serve[0], "stream planned", 2);
	wait_done(SEGMENTS);
	check_title(0); /* the builds are the same in truth */
	free(sh("! grep -q 'plan is of another build' %s", s.pool[1].log));
	free(old);
	free(connect);
	close_all();
}
END_TEST

START_TEST(a_player_waits_through_a_new_plan)
{
	char *connect = serve_by_an_old_build(), *key, *path;

	key = cluster_key(&s, 0);
	free(sh("curl -sSf '%s/hls/%s/master.m3u8'", s.root[0], key));
	programs_end(&s.pool[0]);
	ck_assert_int_ge(asprintf(&path, "main/%s", names[3]), 0);
	begin_to_ask(2, 0, key, path);
	bg_wait_until(cluster_status(&s, "dispatchers.*.queue.player") == 1, "nobody waits");
	pool(1, "env SEGFARM_PRETEND=build:" NEW, connect);
	bg_wait_log(&s.serve[0], "stream is planned anew", 1);
	ck_assert_int_eq(bg_wait(&s.pool[2]), 0);
	free(sh("cmp %s/got '%s/%s'", s.pool[2].dir, reference, path));
	ck_assert_int_eq(of(0, "jobs_failed"), 0);
	free(path);
	free(key);
	free(connect);
	close_all();
}
END_TEST

/* A case of its own each: CK_RUN_CASE runs one. */
#define ADD(suite, test, n) add(suite, tcase_create(#test), test, n)

static void add(Suite *suite, TCase *t, const TTest *test, int n)
{
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, test, 0, n);
	suite_add_tcase(suite, t);
}

Suite *suite_pools(void)
{
	Suite *suite = suite_create("pools");

	ADD(suite, workers_find_dispatchers_in_redis_and_leave_those_that_are_gone, 1);
	ADD(suite, a_name_is_all_dispatchers_that_it_has_addresses_for, 1);
	ADD(suite, who_cannot_be_joined_is_told_of_once, 1);
	ADD(suite, a_loopback_address_is_for_workers_of_the_same_host, 1);
	ADD(suite, streams_are_spread_over_dispatchers_that_come_and_go, 1);
	ADD(suite, streams_that_are_being_made_change_hands_between_jobs, 1);
	ADD(suite, streams_that_players_always_wait_for_change_hands_all_the_same, 1);
	ADD(suite, a_players_job_goes_before_what_another_dispatcher_has_ahead, 1);
	ADD(suite, a_players_job_goes_before_what_two_dispatchers_have_queued, 1);
	ADD(suite, players_of_two_dispatchers_share_a_worker, 1);
	return suite;
}

Suite *suite_pools_change(void)
{
	Suite *suite = suite_create("pools_change");

	ADD(suite, pools_join_and_leave_and_nothing_is_lost, 1);
	ADD(suite, titles_of_another_encoder_are_made_where_there_is_a_gpu_as_long_as_there_is_one, 1);
	ADD(suite, workers_of_the_version_before_work_and_others_are_told_why_not, (int)(sizeof versions / sizeof *versions));
	ADD(suite, a_worker_of_another_build_writes_nothing_into_a_plan_that_is_not_its_own, 1);
	ADD(suite, a_player_waits_through_a_new_plan, 1);
	return suite;
}
