/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What operators do: they watch, stop, reload, read manuals.
 */
#include "common/config.h"
#include "dispatcher/commands.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "worker/pool_options.h"
#include "worker/transcode_main.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL "ffmpeg -y -v error -f lavfi -i \"$V\" -f lavfi -i \"$A\" -t 12 -c:v libx264 -preset ultrafast -g 48 -c:a ac3 \"$OUT\""
/* one segment of some 10 MB */
#define LARGE "ffmpeg -y -v error -f lavfi -i \"$V,noise=alls=80:allf=t\" -t 6 -c:v libx264 -preset ultrafast -crf 12 -g 200 \"$OUT\""

static struct cluster s;

static char *path_of(const char *name)
{
	char *path;

	ck_assert_int_ge(asprintf(&path, "%s/%s", sh_scratch(), name), 0);
	return path;
}

static void write_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_file(const char *path, const char *format, ...)
{
	FILE *f = fopen(path, "w");
	va_list ap;

	ck_assert_ptr_nonnull(f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	fclose(f);
}

/* A value of /metrics of dispatcher 0; -1: it is not there. */
static double metric(const char *sample)
{
	char *file = path_of("metrics"), *text, *at;
	double value = -1;

	ck_assert_int_eq(cluster_get(&s, 0, "/metrics", file), 200);
	text = sh("cat '%s'", file);
	for (at = text; at && value < 0; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
		if (!strncmp(at, sample, strlen(sample)) && at[strlen(sample)] == ' ')
			value = strtod(at + strlen(sample), NULL);
	free(text);
	free(file);
	return value;
}

/* The path of the first segment of the title of dispatcher 0, which waits until that is planned. */
static char *first_segment(void)
{
	char *key = cluster_key(&s, 0), *path;

	path = sh("curl -sSf '%s/hls/%s/main/index.m3u8' | grep -m 1 m4s | sed 's|^|/hls/%s/main/|' | tr -d '\\n'", s.root[0], key, key);
	free(key);
	return path;
}

static int readiness(const char *expected)
{
	char *file = path_of("ready");
	int status = cluster_get(&s, 0, "/readyz", file);

	free(sh("grep -q '%s' '%s'", expected, file));
	free(file);
	return status;
}

/* --- metrics and health */

static bool has_promtool(void)
{
	bool has = !sh_status(NULL, "command -v promtool");

	if (!has)
		fprintf(stderr, "operations: Prometheus' promtool is not installed: what it would check is skipped\n");
	return has;
}

START_TEST(test_metrics_tell_what_has_happened)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options, *path, *file = path_of("segment");

	ck_assert_int_ge(asprintf(&options, "--on-demand '%s'", title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	ck_assert_int_eq(readiness("no worker is connected"), 200);
	cluster_pool(&s, 0, 1);
	bg_wait_until(metric("segfarm_workers{state=\"idle\"}") == 1, "no worker");
	ck_assert_int_eq(readiness("workers: 1"), 200);
	path = first_segment();
	ck_assert_int_eq(cluster_get(&s, 0, path, file), 200); /* made for it */
	ck_assert_int_eq(cluster_get(&s, 0, path, file), 200);
	ck_assert_int_eq(cluster_get(&s, 0, "/nothing", file), 404);
	ck_assert_double_eq(metric("segfarm_http_first_byte_seconds_count{cache=\"miss\"}"), 1);
	ck_assert_double_eq(metric("segfarm_http_first_byte_seconds_count{cache=\"hit\"}"), 1);
	ck_assert_double_eq(metric("segfarm_http_responses_total{code=\"4xx\"}"), 1);
	ck_assert_double_gt(metric("segfarm_http_sent_bytes_total"), 10000);
	ck_assert_double_eq(metric("segfarm_jobs_total{pipeline=\"probe\",result=\"done\"}"), 1);
	ck_assert_double_ge(metric("segfarm_jobs_total{pipeline=\"segment_copy\",result=\"done\"}"), 1);
	ck_assert_double_gt(metric("segfarm_job_duration_seconds_sum{pipeline=\"segment_copy\"}"), 0);
	ck_assert_double_eq(metric("segfarm_queue_wait_seconds_count{class=\"player\"}"), 1);
	ck_assert_double_eq(metric("segfarm_redis_up"), 1);
	ck_assert_double_gt(metric("segfarm_redis_memory_used_bytes"), 10000);
	ck_assert_double_eq(metric("segfarm_worker_deaths_total{signal=\"SIGSEGV\"}"), 0);
	kill(bg_role(&s.pool[0], "worker"), SIGSEGV);
	bg_wait_until(metric("segfarm_worker_deaths_total{signal=\"SIGSEGV\"}") == 1, "nobody died");
	free(path);
	path = path_of("metrics");
	if (has_promtool())
		free(sh("promtool check metrics < '%s' 2>&1 | tee /dev/stderr | wc -l | grep -qx 0", path));
	free(path);
	free(file);
	free(options);
	cluster_close(&s);
}
END_TEST

/* Each query, in a rule of its own, with values for Grafana's variables; how many there are. */
static int put_rules(const json_t *at, FILE *f, int n)
{
	const char *key, *text;
	const json_t *value;
	char *quoted;
	size_t i;

	json_array_foreach(at, i, value)
		n = put_rules(value, f, n);
	json_object_foreach((json_t *)(uintptr_t)at, key, value) {
		n = put_rules(value, f, n);
		text = json_string_value(value);
		if (strcmp(key, "expr") || !text)
			continue;
		quoted = json_dumps(value, JSON_ENCODE_ANY); /* which YAML reads as well */
		fprintf(f, "  - record: query_%d\n    expr: %s\n", ++n, quoted);
		free(quoted);
	}
	return n;
}

START_TEST(test_prometheus_understands_what_the_dashboard_asks)
{
	json_t *dashboard = json_load_file("deploy/grafana-dashboard.json", 0, NULL);
	char *path = path_of("rules.yml");
	FILE *f = fopen(path, "w");
	int n;

	ck_assert(dashboard && f);
	fprintf(f, "groups:\n- name: dashboard\n  rules:\n");
	n = put_rules(dashboard, f, 0);
	fclose(f);
	if (has_promtool())
		free(sh("sed -i 's/[$]__rate_interval/5m/g; s/[$]instance/.*/g; s/[$]job/.*/g' '%s'; promtool check rules '%s' | grep -w '%d rules found'",
			path, path, n));
	json_decref(dashboard);
	free(path);
}
END_TEST

START_TEST(test_readiness_says_what_is_wrong)
{
	cluster_open(&s);
	cluster_serve(&s, 0, "");
	ck_assert_int_eq(readiness("ready"), 200);
	redis_fixture_kill(&s.redis);
	bg_wait_until(readiness(".") == 503, "ready without Redis");
	ck_assert_int_eq(readiness("redis.sock"), 503); /* which */
	ck_assert_double_eq(metric("segfarm_redis_up"), 0);
	ck_assert_double_eq(metric("segfarm_ready"), 0);
	redis_fixture_restart(&s.redis);
	bg_wait_until(readiness(".") == 200, "not ready with Redis");
	ck_assert_double_eq(metric("segfarm_redis_up"), 1);
	cluster_close(&s);
}
END_TEST

/* --- the end */

/* A title of one segment that takes seconds, in the hands of a worker. */
static void start_long_job(const char *pool_options)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options;

	ck_assert_int_ge(asprintf(&options, "--force-video-reencode --preset veryslow --video-height 240 --segment-duration 12 '%s'", title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	programs_pool(&s.pool[0], &s.redis, &s.serve[0], 1, pool_options);
	bg_wait_until(metric("segfarm_jobs_total{pipeline=\"probe\",result=\"done\"}") == 1 && metric("segfarm_jobs_in_flight") == 1,
		      "the job is not given");
	free(options);
}

START_TEST(test_a_pool_that_drains_finishes_its_job)
{
	start_long_job("--drain-timeout 86400");
	kill(s.pool[0].pid, SIGTERM);
	ck_assert_int_eq(bg_wait(&s.pool[0]), 0);
	bg_wait_until(cluster_status(&s, "streams.0.done") == 1, "the job was not finished");
	ck_assert_double_eq(metric("segfarm_workers{state=\"idle\"}") + metric("segfarm_workers{state=\"busy\"}"), 0);
	ck_assert_double_eq(metric("segfarm_workers_lost_total"), 0); /* it has said that it leaves */
	ck_assert_double_eq(metric("segfarm_jobs_total{pipeline=\"segment_encode\",result=\"done\"}"), 1);
	ck_assert_double_eq(metric("segfarm_jobs_total{pipeline=\"segment_encode\",result=\"failed\"}"), 0);
	cluster_close(&s);
}
END_TEST

/* Whatever is in hand: by a second signal, or because its time is up. */
START_TEST(test_a_pool_ends_without_its_job_when_it_has_to)
{
	start_long_job(_i ? "--drain-timeout 0.1" : "--drain-timeout 86400 --log-level info");
	kill(s.pool[0].pid, SIGTERM);
	if (!_i) {
		bg_wait_log(&s.pool[0], "msg=\"drains\"", 1);
		kill(s.pool[0].pid, SIGTERM);
	}
	ck_assert_int_eq(bg_wait(&s.pool[0]), 0);
	ck_assert_int_eq(cluster_status(&s, "streams.0.done"), 0);
	cluster_pool(&s, 0, 1); /* which is none of the job's fault */
	bg_wait_until(cluster_status(&s, "streams.0.done") == 1, "not made after all");
	ck_assert_double_eq(metric("segfarm_job_retries_total{step=\"tolerant\"}"), 0);
	ck_assert_double_eq(metric("segfarm_job_failures_total{kind=\"crash\"}"), 0);
	cluster_close(&s);
}
END_TEST

START_TEST(test_a_dispatcher_that_drains_hands_its_streams_over_and_finishes_responses)
{
	const char *title = media_make("operations-large.mkv", LARGE);
	char *options, *path, *dir = path_of("drain"), *text;
	struct bg reader, listener;

	ck_assert_int_ge(asprintf(&options, "--drain-timeout 86400 --segment-duration 6 '%s'", title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	cluster_pool(&s, 0, 1);
	bg_wait_until(cluster_status(&s, "streams.0.done") == 1, "not made");
	cluster_serve(&s, 1, "");
	path = first_segment();
	free(sh("mkdir '%s' && mkfifo '%s/pipe' && curl -sSf -o '%s/all' '%s%s' && test $(stat -c %%s '%s/all') -gt 8000000", dir, dir, dir,
		s.root[0], path, dir));
	bg_open(&listener); /* which has no end of its own */
	bg_start(&listener, "curl -sSN '%s/v1/events'", s.root[0]);
	bg_wait_log(&listener, "event: ", 1);
	bg_open(&reader); /* that takes nothing for a while */
	bg_start(&reader, "curl -sS -D '%s/head' -o '%s/pipe' '%s%s'", dir, dir, s.root[0], path);
	free(sh("i=0; while ! [ -s '%s/head' ] && [ $i -lt 1000 ]; do sleep 0.05; i=$((i+1)); done", dir));
	kill(s.serve[0].pid, SIGTERM);
	bg_wait_log(&s.serve[0], "msg=\"drains\"", 1);
	ck_assert_int_eq(readiness("draining"), 503);
	text = path_of("answer");
	ck_assert_int_eq(cluster_get(&s, 0, "/v1/streams", text), 200);
	free(sh("curl -sS -o '%s' -D - -w '%%{http_code}' -X POST -H 'Content-Type: application/json' -d '{\"source\":\"%s\"}' '%s/v1/streams' "
		"> '%s.head'; tail -n 1 '%s.head' | grep -q 503$ && grep -qi '^connection: close' '%s.head' && grep -q 'about to end' '%s'",
		text, title, s.root[0], text, text, text, text));
	bg_wait_log(&s.serve[1], "msg=\"stream is ours\"", 1); /* while the first one still sends */
	free(sh("cmp '%s/pipe' '%s/all'", dir, dir));
	ck_assert_int_eq(bg_wait(&reader), 0);
	ck_assert_int_eq(bg_wait(&s.serve[0]), 0);
	ck_assert_int_ne(bg_wait(&listener), 0);
	bg_close(&listener);
	bg_close(&reader);
	free(text);
	free(dir);
	free(path);
	free(options);
	cluster_close(&s);
}
END_TEST

/* --- SIGHUP */

/* How often a text stands in what a program has written. */
static int said(const struct bg *b, const char *text)
{
	char *log = bg_log(b);
	int n = bg_count(log, text);

	free(log);
	return n;
}

/* From where it begins to be JSON, it is that to the end. */
static void check_json_lines(const struct bg *b)
{
	char *log = bg_log(b), *at = strstr(log, "\n{");
	int n = 0;

	for (char *line; at && (line = strsep(&at, "\n"));) {
		json_t *object = *line ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;

		ck_assert_msg(!*line || json_is_string(json_object_get(object, "msg")), "%s", line);
		n += object != NULL;
		json_decref(object);
	}
	ck_assert_int_gt(n, 2);
	free(log);
}

START_TEST(test_sighup_has_everything_read_again)
{
	char *config = path_of("segfarm.conf"), *log = path_of("access.log"), *options;
	pid_t worker;

	write_file(config, "[serve]\nread-ahead = 5\naccess-log = %s\n[worker]\ncredits = 3\nlog-format = json\nlog-level = info\n", log);
	cluster_open(&s);
	ck_assert_int_ge(asprintf(&options, "--config '%s'", config), 0);
	cluster_serve(&s, 0, options);
	programs_pool(&s.pool[0], &s.redis, &s.serve[0], 1, options);
	bg_wait_until(metric("segfarm_workers{state=\"idle\"}") == 1, "no worker");
	worker = bg_role(&s.pool[0], "worker");
	/* what is wrong changes nothing */
	write_file(config, "[serve]\nread-ahead = 500\n[worker]\ncredit = 3\n");
	kill(s.serve[0].pid, SIGHUP);
	kill(s.pool[0].pid, SIGHUP);
	bg_wait_log(&s.serve[0], "not read again", 1);
	bg_wait_log(&s.pool[0], "\"msg\":\"not read again", 1);
	ck_assert_int_eq(said(&s.serve[0], ":2: --read-ahead: '500'"), 1);
	ck_assert_int_eq(said(&s.pool[0], ":4: [worker] has no option 'credit'; did you mean 'credits'?"), 1);
	ck_assert_double_eq(metric("segfarm_reloads_total{result=\"failed\"}"), 1);
	ck_assert_int_eq(bg_role(&s.pool[0], "worker"), worker);
	/* what is right does */
	free(sh("mv '%s' '%s.1'", log, log));
	write_file(config, "[serve]\nread-ahead = 7\nlog-format = json\naccess-log = %s\ninsecure = yes\n[worker]\ncredits = 2\nworkers = 9\n"
		   "log-level = info\n", log);
	kill(s.serve[0].pid, SIGHUP);
	kill(s.pool[0].pid, SIGHUP);
	bg_wait_log(&s.serve[0], "\"read_ahead\":7", 1);
	ck_assert_int_eq(said(&s.serve[0], "\"option\":\"insecure\""), 1); /* that needs a new start */
	bg_wait_log(&s.pool[0], "msg=\"options and keys read again\"", 1);
	bg_wait_until(bg_role(&s.pool[0], "worker") != worker, "the worker has stayed");
	bg_wait_until(metric("segfarm_workers{state=\"idle\"}") == 1, "no worker, or two");
	ck_assert_double_eq(metric("segfarm_reloads_total{result=\"ok\"}"), 1);
	ck_assert_double_eq(metric("segfarm_workers_lost_total"), 0);
	free(sh("grep -q /metrics '%s' && grep -q /metrics '%s.1'", log, log));
	programs_end(&s.pool[0]);
	programs_end(&s.serve[0]);
	check_json_lines(&s.serve[0]);
	free(options);
	free(log);
	free(config);
	cluster_close(&s);
}
END_TEST

/* --- commands */

START_TEST(test_a_stream_of_a_farm_is_probed_and_exported)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *names[2], *reference = cluster_reference(title, names, 2), *out, *arguments, *key, *dir = path_of("exported");
	json_t *facts;

	cluster_open(&s);
	cluster_serve(&s, 0, "");
	cluster_pool(&s, 0, 1);
	ck_assert_int_ge(asprintf(&arguments, "--json '%s'", title), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "probe", arguments), 0);
	facts = json_loads(out, 0, NULL);
	ck_assert_msg(facts != NULL, "%s", out);
	key = strdup(json_string_value(json_object_get(facts, "key")));
	ck_assert_double_eq_tol(json_number_value(json_object_get(facts, "duration")), 12, 0.1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(facts, "segments"), "count")), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(json_object_get(facts, "tracks"), 0), "width")), 640);
	ck_assert(json_is_true(json_object_get(json_array_get(json_object_get(facts, "tracks"), 0), "is_copied")));
	ck_assert(json_is_false(json_object_get(json_array_get(json_object_get(facts, "tracks"), 1), "is_copied")));
	json_decref(facts);
	free(out);
	ck_assert_int_eq(cluster_admin(&s, &out, "probe", key), 0);
	ck_assert_msg(strstr(out, "640x360") && strstr(out, "copied") && strstr(out, "2 segments"), "%s", out);
	free(out);
	free(arguments);
	/* nothing of it is made: there is nothing to export, and nothing to wait for */
	ck_assert_int_ge(asprintf(&arguments, "-o '%s' %s", dir, key), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "export", arguments), 2);
	ck_assert_msg(strstr(out, "on demand"), "%s", out);
	free(out);
	free(sh("! [ -e '%s' ] && $SEGFARM submit --redis %s '%s'", dir, s.redis.url, title));
	ck_assert_int_eq(cluster_admin(&s, &out, "export", arguments), 0);
	free(sh("diff -r '%s' '%s'", reference, dir));
	free(out);
	for (int i = 0; i < 2; i++)
		free(names[i]);
	free(arguments);
	free(reference);
	free(key);
	free(dir);
	cluster_close(&s);
}
END_TEST

START_TEST(test_what_is_made_is_exported_without_waiting)
{
	const char *title = media_make("operations.mkv", SMALL);
	char *options, *key, *path, *file = path_of("segment"), *dir = path_of("part"), *arguments, *out;

	ck_assert_int_ge(asprintf(&options, "--on-demand --read-ahead 0 '%s'", title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	cluster_pool(&s, 0, 1);
	key = cluster_key(&s, 0);
	path = first_segment();
	ck_assert_int_eq(cluster_get(&s, 0, path, file), 200);
	ck_assert_int_ge(asprintf(&arguments, "--no-wait -o '%s' %s", dir, key), 0);
	ck_assert_int_eq(cluster_admin(&s, &out, "export", arguments), 1);
	ck_assert_msg(strstr(out, "1 of 2 segments are not made"), "%s", out);
	free(sh("cmp '%s' '%s%s' && grep -c GAP '%s/main/index.m3u8' | grep -qx 1", file, dir, strstr(path, "/main/"), dir));
	free(path);
	free(out);
	free(arguments);
	free(file);
	free(dir);
	free(key);
	free(options);
	cluster_close(&s);
}
END_TEST

START_TEST(test_status_is_watched_on_a_terminal_only)
{
	char *out;

	cluster_open(&s);
	cluster_serve(&s, 0, "");
	ck_assert_int_eq(cluster_admin(&s, &out, "status", "--watch < /dev/null"), 2);
	ck_assert_msg(strstr(out, "needs a terminal") && !strchr(out, '\033'), "%s", out);
	free(out);
	/* the other screen is entered, and left when q is pressed; 5 lines of 30 columns are all that is used */
	out = sh("(sleep 1.5; printf q; sleep 1) | script -qec \"stty rows 5 cols 30; $SEGFARM status --redis %s --watch; echo left\" /dev/null", s.redis.url);
	ck_assert_msg(strstr(out, "\033[?1049h") && strstr(out, "(q: quit)") && strstr(out, "\033[?1049l"), "%s", out);
	ck_assert_msg(strstr(out, "left") > strstr(out, "\033[?1049l"), "%s", out);
	for (char *frame = strstr(out, "\033[H"), *end; frame && (end = strstr(frame, "\033[J")); frame = strstr(end, "\033[H")) {
		*end = '\0';
		ck_assert_int_le(bg_count(frame, "\r\n"), 4);
		for (char *line = frame + 3; line; line = (line = strstr(line, "\r\n")) ? line + 2 : NULL)
			ck_assert_int_le((int)strcspn(line, "\033"), 30);
		*end = ' ';
	}
	free(out);
	cluster_close(&s);
}
END_TEST

/* --- manual */

static int find_in_page(void *arg, const struct argp_option *o)
{
	const char *page = arg;
	char name[200] = "\\-\\-";

	if (o->flags & OPTION_HIDDEN)
		return 0;
	for (const char *c = o->name; *c; c++)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), *c == '-' ? "\\-" : "%c", *c);
	strcat(name, "\\fR");
	ck_assert_msg(strstr(page, name) != NULL, "--%s is not in the manual", o->name);
	return 0;
}

START_TEST(test_manuals_have_every_option_and_no_fault)
{
	char *farm = sh("$SEGFARM --manual man"), *worker = sh("$WORKER --manual man"),
	     *file = sh("$SEGFARM --manual conf; $SEGFARM --manual sections; $WORKER --manual sections");

	for (const struct manual_command *c = commands_manual.commands; c->name; c++) {
		char heading[100];

		snprintf(heading, sizeof(heading), "\n.SH %s\n", c->name);
		ck_assert_msg(strstr(farm, heading) != NULL, "%s is not in the manual", c->name);
		config_walk(c->argp, find_in_page, farm);
	}
	config_walk(&pool_argp, find_in_page, worker);
	config_walk(&transcode_argp, find_in_page, worker);
	config_walk(&serve_argp, find_in_page, file);
	config_walk(&pool_argp, find_in_page, file);
	free(sh("cd \"$BUILD/share/man\" && for f in */*; do if command -v man >/dev/null; then man -l --warnings $f 2>&1 >/dev/null | sed /locale/d; fi; "
		"if command -v mandoc >/dev/null; then mandoc -Tlint -W warning $f; fi; done | tee /dev/stderr | wc -l | grep -qx 0"));
	free(farm);
	free(worker);
	free(file);
}
END_TEST

Suite *suite_operations(void)
{
	Suite *suite = suite_create("operations");
	TCase *tc = tcase_create("operations");

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, test_metrics_tell_what_has_happened);
	tcase_add_test(tc, test_prometheus_understands_what_the_dashboard_asks);
	tcase_add_test(tc, test_readiness_says_what_is_wrong);
	tcase_add_test(tc, test_a_pool_that_drains_finishes_its_job);
	tcase_add_loop_test(tc, test_a_pool_ends_without_its_job_when_it_has_to, 0, 2);
	tcase_add_test(tc, test_a_dispatcher_that_drains_hands_its_streams_over_and_finishes_responses);
	tcase_add_test(tc, test_sighup_has_everything_read_again);
	tcase_add_test(tc, test_a_stream_of_a_farm_is_probed_and_exported);
	tcase_add_test(tc, test_what_is_made_is_exported_without_waiting);
	tcase_add_test(tc, test_status_is_watched_on_a_terminal_only);
	tcase_add_test(tc, test_manuals_have_every_option_and_no_fault);
	suite_add_tcase(suite, tc);
	return suite;
}
