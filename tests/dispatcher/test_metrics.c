/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/metrics.h"
#include "tests/suites.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAMILIES_MAX 100

struct family {
	char name[80], type[16];
	int n; /* samples */
};

/* The format 0.0.4, strictly: a family is announced by HELP and TYPE, once, and its samples follow; no sample stands twice. */
struct exposition {
	struct family families[FAMILIES_MAX];
	int n;
	json_t *samples; /* by all that stands in front of the value */
};

static bool is_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalpha((unsigned char)s[i]) && s[i] != '_' && (!i || !isdigit((unsigned char)s[i])))
			return false;
	return n > 0;
}

static void check_labels(const char *s)
{
	while (*s != '}') {
		size_t n = strcspn(s, "=");

		ck_assert_msg(is_name(s, n) && s[n] == '=' && s[n + 1] == '"', "%s", s);
		s += n + 2;
		s += strcspn(s, "\"\\\n");
		ck_assert_msg(*s == '"', "%s", s);
		s++;
		ck_assert(*s == ',' || *s == '}');
		s += *s == ',';
	}
	ck_assert_str_eq(s, "}");
}

/* A sample's family: a histogram's have endings. */
static bool is_of(const struct family *f, const char *name, size_t n)
{
	static const char *const endings[] = { "_bucket", "_sum", "_count" };
	size_t size = strlen(f->name);

	if (strcmp(f->type, "histogram"))
		return n == size && !strncmp(name, f->name, n);
	for (int i = 0; i < 3; i++)
		if (n == size + strlen(endings[i]) && !strncmp(name, f->name, size) && !strncmp(name + size, endings[i], n - size))
			return true;
	return false;
}

static void read_line(struct exposition *e, char *line)
{
	struct family *f = e->n ? &e->families[e->n - 1] : NULL;
	char *space = strrchr(line, ' '), *end;
	size_t n = strcspn(line, "{ ");
	double value;

	if (!strncmp(line, "# HELP ", 7)) {
		ck_assert_int_lt(e->n, FAMILIES_MAX);
		f = &e->families[e->n++];
		ck_assert_int_eq(sscanf(line + 7, "%79s", f->name), 1);
		for (int i = 0; i < e->n - 1; i++)
			ck_assert_str_ne(e->families[i].name, f->name);
		return;
	}
	ck_assert_ptr_nonnull(f);
	if (!strncmp(line, "# TYPE ", 7)) {
		ck_assert(!strncmp(line + 7, f->name, strlen(f->name)) && !f->n && !f->type[0]);
		ck_assert_int_eq(sscanf(line + 7 + strlen(f->name), " %15s", f->type), 1);
		ck_assert(!strcmp(f->type, "counter") || !strcmp(f->type, "gauge") || !strcmp(f->type, "histogram"));
		return;
	}
	ck_assert_msg(space && is_name(line, n) && is_of(f, line, n), "%s", line);
	value = strtod(space + 1, &end);
	ck_assert_msg(!*end && end != space + 1, "%s", line);
	*space = '\0';
	if (line[n] == '{')
		check_labels(line + n + 1);
	ck_assert_msg(!json_object_get(e->samples, line), "%s stands twice", line);
	json_object_set_new(e->samples, line, json_real(value));
	f->n++;
}

static struct exposition read_text(const struct metrics *m, const struct metrics_now *now)
{
	struct exposition e = { .samples = json_object() };
	struct buf out = { 0 };
	char *at, *line, *text;

	metrics_put(m, now, &out);
	ck_assert(!buf_failed(&out));
	ck_assert_int_eq(out.data[out.size - 1], '\n');
	at = text = strndup((char *)out.data, out.size - 1);
	while ((line = strsep(&at, "\n")))
		read_line(&e, line);
	free(text);
	buf_finish(&out);
	return e;
}

static double value_of(const struct exposition *e, const char *sample)
{
	const json_t *value = json_object_get(e->samples, sample);

	ck_assert_msg(value != NULL, "%s is not there", sample);
	return json_real_value(value);
}

#define expect(e, sample, value) ck_assert_double_eq_tol(value_of(e, sample), value, 1e-9)

static const struct metrics_now plain = { .version = "1.2.3" };

START_TEST(test_what_was_noted_is_counted)
{
	struct metrics m = { 0 };
	struct metrics_now now = { .version = "1.2.3", .queue = { 1, 2, 3 }, .workers_busy = 4, .workers_idle = 5, .is_redis_up = true,
				   .redis_used = 1000, .redis_max = -1, .streams = { [3] = 6 }, .is_ready = true };
	struct exposition e;

	metrics_note_http(&m, 206, 1000);
	metrics_note_http(&m, 404, 10);
	metrics_note_http(&m, 0, 0); /* nobody waited for the answer */
	metrics_note_death(&m, "killed by signal 11 (Segmentation fault)");
	metrics_note_death(&m, "killed by signal 40 (Real-time signal 6)");
	metrics_note_death(&m, "the job took longer than its deadline");
	metrics_note_death(&m, "exited with status 1");
	m.jobs[METRICS_ENCODE][METRICS_FAILED] = 7;
	e = read_text(&m, &now);
	expect(&e, "segfarm_http_responses_total{code=\"2xx\"}", 1);
	expect(&e, "segfarm_http_responses_total{code=\"4xx\"}", 1);
	expect(&e, "segfarm_http_responses_total{code=\"5xx\"}", 0);
	expect(&e, "segfarm_http_sent_bytes_total", 1010);
	expect(&e, "segfarm_worker_deaths_total{signal=\"SIGSEGV\"}", 1);
	expect(&e, "segfarm_worker_deaths_total{signal=\"SIGALRM\"}", 1);
	expect(&e, "segfarm_worker_deaths_total{signal=\"other\"}", 2);
	expect(&e, "segfarm_jobs_total{pipeline=\"segment_encode\",result=\"failed\"}", 7);
	expect(&e, "segfarm_queue_jobs{class=\"precompute\"}", 3);
	expect(&e, "segfarm_workers{state=\"busy\"}", 4);
	expect(&e, "segfarm_streams{state=\"partial\"}", 6);
	expect(&e, "segfarm_redis_memory_used_bytes", 1000);
	expect(&e, "segfarm_redis_up", 1);
	expect(&e, "segfarm_ready", 1);
	expect(&e, "segfarm_build_info{version=\"1.2.3\"}", 1);
	ck_assert_ptr_null(json_object_get(e.samples, "segfarm_redis_memory_max_bytes")); /* it is not known */
	json_decref(e.samples);
}
END_TEST

START_TEST(test_buckets_hold_all_that_is_not_longer)
{
	struct metrics m = { 0 };
	struct exposition e;

	metrics_note_job(&m, METRICS_PROBE, 1000);      /* a bound is in its bucket */
	metrics_note_job(&m, METRICS_PROBE, 1001);
	metrics_note_job(&m, METRICS_PROBE, 400000000); /* longer than all bounds */
	metrics_note_job(&m, METRICS_PROBE, -5);        /* a clock that was set back */
	metrics_note_wait(&m, QUEUE_AHEAD, 30);
	metrics_note_first_byte(&m, true, 2500000);
	e = read_text(&m, &plain);
	expect(&e, "segfarm_job_duration_seconds_bucket{pipeline=\"probe\",le=\"0.001\"}", 2);
	expect(&e, "segfarm_job_duration_seconds_bucket{pipeline=\"probe\",le=\"0.0025\"}", 3);
	expect(&e, "segfarm_job_duration_seconds_bucket{pipeline=\"probe\",le=\"300\"}", 3);
	expect(&e, "segfarm_job_duration_seconds_bucket{pipeline=\"probe\",le=\"+Inf\"}", 4);
	expect(&e, "segfarm_job_duration_seconds_count{pipeline=\"probe\"}", 4);
	expect(&e, "segfarm_job_duration_seconds_sum{pipeline=\"probe\"}", 400.002001);
	expect(&e, "segfarm_queue_wait_seconds_bucket{class=\"ahead\",le=\"0.025\"}", 0);
	expect(&e, "segfarm_queue_wait_seconds_bucket{class=\"ahead\",le=\"0.05\"}", 1);
	expect(&e, "segfarm_http_first_byte_seconds_bucket{cache=\"miss\",le=\"2.5\"}", 1);
	expect(&e, "segfarm_http_first_byte_seconds_count{cache=\"hit\"}", 0);
	json_decref(e.samples);
}
END_TEST

START_TEST(test_names_are_as_prometheus_wants_them)
{
	struct metrics m = { 0 };
	struct exposition e = read_text(&m, &plain);

	ck_assert_int_gt(e.n, 30);
	for (int i = 0; i < e.n; i++) {
		const struct family *f = &e.families[i];
		size_t n = strlen(f->name);
		bool is_total = n > 6 && !strcmp(f->name + n - 6, "_total");

		ck_assert_msg(f->n > 0, "%s has no sample", f->name);
		ck_assert_msg(!strncmp(f->name, "segfarm_", 8) || !strncmp(f->name, "process_", 8), "%s", f->name);
		ck_assert_msg(is_total == !strcmp(f->type, "counter"), "%s", f->name);
		if (!strcmp(f->type, "histogram"))
			ck_assert_msg(n > 8 && !strcmp(f->name + n - 8, "_seconds"), "%s", f->name);
	}
	json_decref(e.samples);
}
END_TEST

/* --- what else speaks of them */

static json_t *families(void)
{
	struct metrics m = { 0 };
	struct exposition e = read_text(&m, &plain);
	json_t *set = json_object();

	for (int i = 0; i < e.n; i++)
		json_object_set_new(set, e.families[i].name, json_true());
	json_decref(e.samples);
	return set;
}

/* Whether there is a metric of that name, or that a histogram has one of its endings. */
static bool is_family(const json_t *set, const char *name, size_t n)
{
	static const char *const endings[] = { "", "_bucket", "_sum", "_count" };
	char text[100];

	snprintf(text, sizeof(text), "%.*s", (int)n, name);
	for (int i = 0; i < 4; i++) {
		size_t size = strlen(endings[i]);

		if (n > size && !strcmp(text + n - size, endings[i])) {
			char family[100];

			snprintf(family, sizeof(family), "%.*s", (int)(n - size), name);
			if (json_object_get(set, family))
				return true;
		}
	}
	return false;
}

static int check_queries(const json_t *at, const json_t *set)
{
	const char *key, *text;
	const json_t *value;
	size_t i;
	int n = 0;

	json_array_foreach(at, i, value)
		n += check_queries(value, set);
	json_object_foreach((json_t *)(uintptr_t)at, key, value) {
		n += check_queries(value, set);
		text = json_string_value(value);
		if (strcmp(key, "expr") || !text)
			continue;
		n++;
		ck_assert_msg(strstr(text, "segfarm_") || strstr(text, "process_"), "no metric in %s", text);
		for (const char *c = text; (c = strpbrk(c, "abcdefghijklmnopqrstuvwxyz_"));) {
			size_t size = strspn(c, "abcdefghijklmnopqrstuvwxyz0123456789_");

			if (!strncmp(c, "segfarm_", 8) || !strncmp(c, "process_", 8))
				ck_assert_msg(is_family(set, c, size), "%.*s is no metric", (int)size, c);
			c += size;
		}
	}
	return n;
}

START_TEST(test_the_dashboard_asks_for_metrics_that_there_are)
{
	json_error_t error;
	json_t *dashboard = json_load_file("deploy/grafana-dashboard.json", 0, &error), *set = families();

	ck_assert_msg(dashboard != NULL, "%s", error.text);
	ck_assert_int_gt(check_queries(dashboard, set), 10);
	json_decref(dashboard);
	json_decref(set);
}
END_TEST

START_TEST(test_the_readme_names_all_metrics_and_no_other)
{
	FILE *f = fopen("README.md", "r");
	json_t *set = families();
	char *line = NULL, name[100];
	const char *left;
	size_t size;
	void *next;

	ck_assert_ptr_nonnull(f);
	while (getline(&line, &size, f) >= 0)
		for (const char *c = strchr(line, '`'); c; c = strchr(c + 1, '`')) {
			if (strncmp(c + 1, "segfarm_", 8) && strncmp(c + 1, "process_", 8))
				continue;
			snprintf(name, sizeof(name), "%.*s", (int)strspn(c + 1, "abcdefghijklmnopqrstuvwxyz_"), c + 1);
			ck_assert_msg(is_family(set, name, strlen(name)), "the README names %s", name);
			json_object_set_new(set, name, json_false());
		}
	for (next = json_object_iter(set); next; next = json_object_iter_next(set, next)) {
		left = json_object_iter_key(next);
		ck_assert_msg(json_is_false(json_object_iter_value(next)), "the README does not name %s", left);
	}
	free(line);
	fclose(f);
	json_decref(set);
}
END_TEST

Suite *suite_metrics(void)
{
	Suite *s = suite_create("metrics");
	TCase *tc = tcase_create("metrics");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_what_was_noted_is_counted);
	tcase_add_test(tc, test_buckets_hold_all_that_is_not_longer);
	tcase_add_test(tc, test_names_are_as_prometheus_wants_them);
	tcase_add_test(tc, test_the_dashboard_asks_for_metrics_that_there_are);
	tcase_add_test(tc, test_the_readme_names_all_metrics_and_no_other);
	suite_add_tcase(s, tc);
	return s;
}
