/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The API against its own description, which the server gives: every answer that stands there is provoked, and is as it says.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/client.h"
#include "tests/e2e/media.h"
#include "tests/e2e/openapi.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two segments, and a source of which nothing can be made. */
#define TITLE \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 9 -c:v libx264 -preset ultrafast -g 24 -c:a aac " \
	"-ac 2 \"$OUT\""
#define NOISE "head -c 5000 /dev/zero | tr '\\0' x > \"$OUT\""
#define TOKEN "this-is-a-test-token"
#define JSON "Content-Type: application/json\r\n"
#define NO_KEY "0123456789abcdef"

static const char *title, *noise;
static struct redis_fixture redis;
static struct bg serve, pool, locked;
static int port, locked_port;
static struct openapi api;

static int port_of(struct bg *b)
{
	char *line = bg_log_after(b, "streams on http://127.0.0.1:");
	int number = (int)strtol(line, NULL, 10);

	free(line);
	ck_assert_int_gt(number, 0);
	return number;
}

static void start(const char *options)
{
	title = media_make("api.mkv", TITLE);
	noise = media_make("api-noise.mkv", NOISE);
	redis_fixture_start(&redis);
	bg_open(&serve);
	bg_open(&pool);
	programs_serve(&serve, &redis, "%s", options);
	port = port_of(&serve);
}

static void stop(void)
{
	programs_end(&pool);
	programs_end(&serve);
	bg_close(&pool);
	bg_close(&serve);
	redis_fixture_stop(&redis);
}

/* Asks, and compares the answer with the description. path: as it stands there, with {key} for the key. */
static void ask_at(int to, const char *method, const char *path, const char *key, const char *headers, const char *body, int status,
		   struct reply *r)
{
	const char *at = strstr(path, "{key}"), *query = strchr(path, '?');
	char target[256], described[256];

	snprintf(described, sizeof(described), "%.*s", (int)(query ? query - path : (long)strlen(path)), path);
	if (at)
		snprintf(target, sizeof(target), "%.*s%s%s", (int)(at - path), path, key, at + strlen("{key}"));
	else
		snprintf(target, sizeof(target), "%s", path);
	client_ask(r, to, method, target, headers, body);
	ck_assert_msg(r->status == status, "%s %s: %d, not %d: %s", method, target, r->status, status, r->body);
	if (status >= 400)
		free(client_check_problem(r, status));
	if (api.root)
		openapi_check(&api, method, described, r);
}

static void check(const char *method, const char *path, const char *key, const char *headers, const char *body, int status)
{
	struct reply r;

	ask_at(port, method, path, key, headers, body, status, &r);
	client_free(&r);
}

static json_t *get_stream(const char *key)
{
	struct reply r;
	json_t *json;

	ask_at(port, "GET", "/v1/streams/{key}", key, "", NULL, 200, &r);
	json = client_json(&r);
	client_free(&r);
	return json;
}

static bool is_state(const char *key, const char *state)
{
	json_t *stream = get_stream(key);
	bool is = !strcmp(json_string_value(json_object_get(stream, "state")), state);

	json_decref(stream);
	return is;
}

/* Its key, to be freed. */
static char *submit(const char *source, const char *options, int status)
{
	struct reply r;
	char *body, *key, *location;
	json_t *json;

	ck_assert_int_gt(asprintf(&body, "{\"source\":\"%s\"%s}", source, options), 0);
	ask_at(port, "POST", "/v1/streams", NULL, JSON, body, status, &r);
	json = client_json(&r);
	key = strdup(json_string_value(json_object_get(json, "key")));
	location = client_header(&r, "Location");
	ck_assert_msg(!strncmp(location, "/v1/streams/", 12) && !strcmp(location + 12, key), "%s", location);
	json_decref(json);
	free(location);
	free(body);
	client_free(&r);
	return key;
}

static void load_description(void)
{
	struct reply r;

	client_ask(&r, port, "GET", "/v1/openapi.json", "", NULL);
	ck_assert_int_eq(r.status, 200);
	client_check_header(&r, "Content-Type", "application/json");
	openapi_init(&api, client_json(&r));
	client_free(&r);
	check("GET", "/v1/openapi.json", NULL, "", NULL, 200);
}

/* The first event of a name, and what it carries. */
static void check_event(const struct reply *r, const char *name, const char *schema)
{
	char begin[64], *why;
	const char *at;
	json_t *json;

	snprintf(begin, sizeof(begin), "event: %s\ndata: ", name);
	at = strstr(r->body, begin);
	ck_assert_msg(at != NULL, "no %s in %s", name, r->body);
	json = json_loads(at + strlen(begin), JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_msg(json && openapi_is_valid(&api, schema, json, &why), "%s: %s", name, json ? why : at);
	json_decref(json);
}

/* They never end: what comes within some seconds, in which another stream comes and goes. */
static void check_events(void)
{
	char *text = sh("cd %s && url=http://127.0.0.1:%d/v1 && { curl -siN --max-time 4 $url/events > events || true; } & sleep 0.5; cd %s; "
			"url=http://127.0.0.1:%d/v1; key=$(curl -sf $url/streams -H 'Content-Type: application/json' "
			"-d '{\"source\":\"%s\",\"options\":{\"segment-duration\":3}}' | cut -d'\"' -f4); wait; "
			"curl -sf -X DELETE $url/streams/$key; cat events", sh_scratch(), port, sh_scratch(), port, title);
	char *end = strstr(text, "\r\n\r\n");
	struct reply r = { .status = 200 };

	ck_assert_msg(end && !strncmp(text, "HTTP/1.1 200 OK\r\n", 17), "%s", text);
	r.head = strndup(text, (size_t)(end + 4 - text));
	r.body = strdup(end + 4);
	r.size = strlen(r.body);
	openapi_check(&api, "GET", "/v1/events", &r);
	check_event(&r, "farm", "Farm");
	check_event(&r, "stream", "Stream");
	client_free(&r);
	free(text);
}

static const struct {
	const char *method, *path;
} operations[] = {
	{ "GET", "/v1/streams" },	 { "POST", "/v1/streams" },		  { "GET", "/v1/streams/{key}" },
	{ "DELETE", "/v1/streams/{key}" }, { "POST", "/v1/streams/{key}/cancel" }, { "POST", "/v1/streams/{key}/retry" },
	{ "GET", "/v1/farm" },		 { "GET", "/v1/events?stream={key}" },	  { "GET", "/v1/openapi.json" },
};

#define N_ANSWERED_ALWAYS 8

static const char *body_of(size_t i)
{
	return i == 1 ? "{\"source\":\"/nowhere\"}" : NULL;
}

/* What is answered in the same way to all of them. */
static void check_all(int to, const char *headers, int status, const char *key)
{
	char lines[512];
	struct reply r;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (status == 503 && i == N_ANSWERED_ALWAYS)
			continue;
		snprintf(lines, sizeof(lines), "%s%s", headers, i == 1 ? JSON : "");
		ask_at(to, operations[i].method, operations[i].path, key, lines, body_of(i), status, &r);
		if (status == 401)
			client_check_header(&r, "WWW-Authenticate", "Bearer");
		if (status == 503)
			client_check_header(&r, "Retry-After", "1");
		client_free(&r);
	}
}

/* Bodies that are not taken, and what the answer names. */
static void check_refused_bodies(void)
{
	static const struct {
		const char *body, *names;
		int status;
	} bodies[] = {
		{ "", "empty", 400 },
		{ "{", "not JSON", 400 },
		{ "[]", "object", 400 },
		{ "{}", "\"source\" is missing", 400 },
		{ "{\"source\":5}", "\"source\"", 400 },
		{ "{\"source\":\"\"}", "\"source\"", 400 },
		{ "{\"source\":\"/a\",\"source\":\"/b\"}", "duplicate", 400 },
		{ "{\"source\":\"/a\",\"colour\":1}", "\"colour\"", 400 },
		{ "{\"source\":\"/a\",\"on_demand\":1}", "\"on_demand\"", 400 },
		{ "{\"source\":\"/a\",\"options\":[]}", "\"options\"", 400 },
		{ "{\"source\":\"/a\",\"options\":{\"colour\":1}}", "\"colour\"", 400 },
		{ "{\"source\":\"/a\",\"options\":{\"crf\":null}}", "\"crf\"", 400 },
		{ "{\"source\":\"/a\",\"options\":{\"crf\":true}}", "crf", 400 },
		{ "{\"source\":\"/a\",\"options\":{\"force-video-reencode\":\"yes\"}}", "force-video-reencode", 400 },
		{ "{\"source\":\"/a\",\"options\":{\"crf\":99}}", "99", 422 },
		{ "{\"source\":\"/a\",\"options\":{\"segment-duration\":\"x\"}}", "segment-duration", 422 },
		{ "{\"source\":\"/a\",\"options\":{\"preset\":\"quick\"}}", "quick", 422 },
		{ "{\"source\":\"/nowhere/at/all\"}", "media-root", 422 }, /* as of what is there */
		{ "{\"source\":\"/etc/passwd\"}", "media-root", 422 },
		{ "{\"source\":\"/\"}", "media-root", 422 },
		{ "{\"source\":\"/nowhere/../at/all\"}", "media-root", 422 },
		{ "{\"source\":\"nowhere\"}", "media-root", 422 },
		{ "{\"source\":\"http://127.0.0.1/x\"}", "allow-url", 422 },
		{ "{\"source\":\"a\\u0000b\"}", "JSON", 400 },
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct reply r;
		char *detail;

		ask_at(port, "POST", "/v1/streams", NULL, JSON, bodies[i].body, bodies[i].status, &r);
		detail = client_check_problem(&r, bodies[i].status);
		ck_assert_msg(strstr(detail, bodies[i].names) != NULL, "%s: '%s' does not say '%s'", bodies[i].body, detail, bodies[i].names);
		free(detail);
		client_free(&r);
	}
}

static void check_refused_headers(const char *key)
{
	static const char *const chunked = "POST /v1/streams HTTP/1.1\r\nHost: 127.0.0.1\r\n" JSON
					   "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
	char *large = malloc(70000), *text;
	size_t n;

	check("POST", "/v1/streams", NULL, "", "{\"source\":\"/a\"}", 415);
	check("POST", "/v1/streams", NULL, "Content-Type: text/plain\r\n", "{\"source\":\"/a\"}", 415);
	memset(large, ' ', 69999);
	large[69999] = 0;
	check("POST", "/v1/streams", NULL, JSON, large, 413);
	check("DELETE", "/v1/streams/{key}", key, JSON, "{}", 413);
	check("POST", "/v1/streams/{key}/cancel", key, JSON, "{}", 413);
	check("POST", "/v1/streams/{key}/retry", key, JSON, "{}", 413);
	/* the same without its length */
	memset(large, ' ', 69999);
	memcpy(large, chunked, strlen(chunked));
	memcpy(large + strlen(chunked), "10800\r\n", 7);
	n = strlen(chunked) + 7 + 0x10800;
	memcpy(large + n, "\r\n0\r\n\r\n", 7);
	text = client_raw(port, large, n + 7, &n);
	ck_assert_msg(strstr(text, " 413 ") != NULL, "%s", text);
	free(text);
	free(large);
}

static void check_methods(void)
{
	static const struct {
		const char *path, *method, *allow;
	} others[] = {
		{ "/v1/streams", "DELETE", "GET, HEAD, OPTIONS, POST" },
		{ "/v1/streams/" NO_KEY, "POST", "GET, HEAD, OPTIONS, DELETE" },
		{ "/v1/streams/" NO_KEY "/cancel", "GET", "OPTIONS, POST" },
		{ "/v1/streams/" NO_KEY "/retry", "PUT", "OPTIONS, POST" },
		{ "/v1/farm", "POST", "GET, HEAD, OPTIONS" },
		{ "/v1/openapi.json", "PATCH", "GET, HEAD, OPTIONS" },
	};
	struct reply r;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		client_ask(&r, port, others[i].method, others[i].path, "", NULL);
		free(client_check_problem(&r, 405));
		client_check_header(&r, "Allow", others[i].allow);
		client_free(&r);
		client_ask(&r, port, "OPTIONS", others[i].path, "", NULL);
		ck_assert_int_eq(r.status, 204);
		client_check_header(&r, "Allow", others[i].allow);
		client_check_header(&r, "Access-Control-Allow-Origin", NULL);
		client_free(&r);
	}
}

static void check_pages(const char *const *keys, size_t n)
{
	char after[64] = "";
	struct reply r;
	json_t *json;
	char path[128];

	for (size_t i = 0; i < n; i++) {
		const char *next, *key;

		snprintf(path, sizeof(path), "/v1/streams?limit=1%s", after);
		ask_at(port, "GET", path, NULL, "", NULL, 200, &r);
		json = client_json(&r);
		ck_assert_int_eq(json_array_size(json_object_get(json, "streams")), 1);
		key = json_string_value(json_object_get(json_array_get(json_object_get(json, "streams"), 0), "key"));
		ck_assert_str_eq(key, keys[i]);
		next = json_string_value(json_object_get(json, "next"));
		ck_assert_msg(i + 1 < n ? next && !strcmp(next, key) : !next, "page %zu: next is %s", i, next ? next : "null");
		snprintf(after, sizeof(after), "&after=%s", key);
		json_decref(json);
		client_free(&r);
	}
	check("GET", "/v1/streams?limit=0", NULL, "", NULL, 400);
	check("GET", "/v1/streams?limit=101", NULL, "", NULL, 400);
	check("GET", "/v1/streams?limit=x", NULL, "", NULL, 400);
	check("GET", "/v1/streams?after=../x", NULL, "", NULL, 400);
}

/* All that is told of a title that is made. */
static void check_detail(const char *key)
{
	json_t *stream = get_stream(key), *segments;
	struct reply r;
	char *tag, line[128];
	double end = 0;
	size_t i;
	json_t *s;

	ck_assert_int_eq(json_array_size(json_object_get(stream, "tracks")), 2);
	ck_assert_int_eq(json_array_size(json_object_get(stream, "renditions")), 1);
	segments = json_object_get(json_array_get(json_object_get(stream, "renditions"), 0), "segments");
	ck_assert_int_eq(json_array_size(segments), json_integer_value(json_object_get(stream, "segments")));
	ck_assert_int_eq(json_integer_value(json_object_get(stream, "made")), json_integer_value(json_object_get(stream, "segments")));
	json_array_foreach(segments, i, s) {
		double start = json_number_value(json_object_get(s, "start")), beside = i ? start - end : 0;

		ck_assert_msg(beside < 1e-5 && beside > -1e-5, "segment %zu begins %g s beside the end of the one before", i, beside);
		end = start + json_number_value(json_object_get(s, "duration"));
		ck_assert_str_eq(json_string_value(json_object_get(s, "state")), "made");
	}
	ck_assert_double_eq_tol(json_number_value(json_object_get(stream, "duration")), end, 1e-5);
	json_decref(stream);
	client_ask(&r, port, "GET", json_string_value(json_object_get(json_object_get((stream = get_stream(key)), "urls"), "master")), "", NULL);
	ck_assert_int_eq(r.status, 200);
	client_free(&r);
	json_decref(stream);
	ask_at(port, "GET", "/v1/streams/{key}", key, "", NULL, 200, &r);
	tag = client_header(&r, "ETag");
	snprintf(line, sizeof(line), "If-None-Match: %s\r\n", tag);
	free(tag);
	client_free(&r);
	check("GET", "/v1/streams/{key}", key, line, NULL, 304);
}

/* What GET says of the options, POST takes, and it is the same stream. */
static void check_options_come_back(void)
{
	static const char given[] = ",\"on_demand\":true,\"options\":{\"segment-duration\":\"2.5\",\"audio\":\"copy\",\"audio-bitrate\":96,"
				    "\"audio-channels\":1,\"video-track\":1,\"audio-track\":\"GER\",\"force-video-reencode\":true,"
				    "\"force-audio-reencode\":false,\"reencode\":\"aac\",\"crf\":20.5,\"preset\":\"fast\",\"video-bitrate\":800,"
				    "\"video-height\":90,\"encoder\":\"auto\"}";
	char *key = submit(title, given, 201), *again, *text, *body;
	json_t *stream = get_stream(key);

	text = json_dumps(json_object_get(stream, "options"), 0);
	ck_assert_msg(strstr(text, "\"segment-duration\": 2.5") && strstr(text, "\"audio-track\": \"ger\"") && strstr(text, "\"crf\": 20.5") &&
			      strstr(text, "\"force-video-reencode\": true") && strstr(text, "\"video-bitrate\": 800"),
		      "%s", text);
	ck_assert_int_gt(asprintf(&body, ",\"on_demand\":true,\"options\":%s", text), 0);
	again = submit(title, body, 200);
	ck_assert_str_eq(again, key);
	check("DELETE", "/v1/streams/{key}", key, "", NULL, 204);
	check("GET", "/v1/streams/{key}", key, "", NULL, 404);
	json_decref(stream);
	free(text);
	free(body);
	free(key);
	free(again);
}

static void check_unknown(void)
{
	struct reply r;

	check("GET", "/v1/streams/{key}", NO_KEY, "", NULL, 404);
	check("DELETE", "/v1/streams/{key}", NO_KEY, "", NULL, 404);
	check("POST", "/v1/streams/{key}/cancel", NO_KEY, "", NULL, 404);
	check("POST", "/v1/streams/{key}/retry", NO_KEY, "", NULL, 404);
	check("GET", "/v1/streams/{key}", "0123456789ABCDEF", "", NULL, 404);
	check("GET", "/v1/events?stream={key}", NO_KEY, "", NULL, 404);
	check("GET", "/v1/events?stream={key}", "0123456789ABCDEF", "", NULL, 400);
	client_ask(&r, port, "GET", "/v1/", "", NULL);
	free(client_check_problem(&r, 404));
	client_free(&r);
}

/* A server of the same farm that has tokens. */
static void check_tokens(const char *key)
{
	char *file;

	bg_open(&locked);
	ck_assert_int_gt(asprintf(&file, "%s/tokens", locked.dir), 0);
	free(sh("umask 077 && printf '# for tests\\nanother-token-of-theirs\\n%s a remark\\n' > %s", TOKEN, file));
	programs_serve(&locked, &redis, "--api-token-file %s", file);
	locked_port = port_of(&locked);
	check_all(locked_port, "", 401, key);
	check_all(locked_port, "Authorization: Bearer this-is-a-test-tokem\r\n", 401, key);
	check_all(locked_port, "Authorization: Basic " TOKEN "\r\n", 401, key);
	for (int i = 0; i < 2; i++) {
		struct reply r;

		ask_at(locked_port, "GET", "/v1/farm", NULL,
		       i ? "Authorization: Bearer another-token-of-theirs\r\n" : "Host: example.org\r\nAuthorization: bearer " TOKEN "\r\n", NULL,
		       200, &r);
		client_free(&r);
	}
	programs_end(&locked);
	bg_close(&locked);
	free(file);
}

START_TEST(every_answer_of_the_description_is_given_and_is_as_it_says)
{
	char *key, *bad, *again, line[64];
	const char *keys[2];

	start("--max-streams 2");
	load_description();
	check_refused_bodies();
	check_methods();
	check_unknown();
	key = submit(title, "", 201);
	again = submit(title, "", 200);
	ck_assert_str_eq(again, key);
	bad = submit(noise, "", 201); /* nobody has looked at either yet */
	check("POST", "/v1/streams", NULL, JSON, "{\"source\":\"/a\"}", 429);
	keys[0] = strcmp(key, bad) < 0 ? key : bad;
	keys[1] = keys[0] == key ? bad : key;
	check_pages(keys, 2);
	check_refused_headers(key);
	check("POST", "/v1/streams/{key}/cancel", key, "", NULL, 202);
	ck_assert(is_state(key, "cancelled"));
	programs_pool(&pool, &redis, &serve, 1, "");
	bg_wait_until(is_state(bad, "failed"), "what is no film does not fail");
	free(submit(noise, "", 200));
	check("POST", "/v1/streams/{key}/retry", bad, "", NULL, 202);
	check("DELETE", "/v1/streams/{key}", bad, "", NULL, 204);
	free(submit(title, ",\"on_demand\":false", 200)); /* goes on with it */
	bg_wait_until(is_state(key, "complete"), "the title is not made");
	check_detail(key);
	check_options_come_back();
	check("GET", "/v1/farm", NULL, "", NULL, 200);
	check_events();
	check_all(port, "Host: evil.example\r\n", 403, key);
	snprintf(line, sizeof(line), "Origin: http://evil.example\r\n");
	check_all(port, line, 403, key);
	check_all(port, "X-Forwarded-For: 10.0.0.1\r\n", 403, key);
	check_tokens(key);
	programs_end(&pool);
	redis_fixture_kill(&redis);
	check_all(port, "", 503, NO_KEY); /* what is known of the other is told without the store */
	openapi_check_all_given(&api);
	openapi_free(&api);
	free(key);
	free(bad);
	free(again);
	stop();
}
END_TEST

/* The block under the heading, with this server and this title in it. */
START_TEST(curl_lines_of_the_readme_work)
{
	char *script, *out;

	start("");
	script = sh("sed -n '/^### The API$/,/^What is answered/ s/^    //p' README.md | sed -e 's|127.0.0.1:8090|127.0.0.1:%d|' "
		    "-e 's|/srv/media/film.mkv|%s|' > %s/readme.sh && grep -c curl %s/readme.sh",
		    port, title, sh_scratch(), sh_scratch());
	ck_assert_int_eq(strtol(script, NULL, 10), 8);
	out = sh("sh -eux %s/readme.sh 2>&1", sh_scratch());
	ck_assert_msg(strstr(out, "\"renditions\":[") && strstr(out, "\"next\":null") && strstr(out, "\"dispatchers\":[") &&
			      strstr(out, "\"segment-duration\":4,") && strstr(out, "\"openapi\": \"3.1.0\""),
		      "%s", out);
	free(script);
	free(out);
	stop();
}
END_TEST

START_TEST(run_takes_no_further_source)
{
	struct bg run;
	struct reply r;
	char *line;

	bg_open(&run);
	bg_start(&run, "\"$SEGFARM\" run '%s' --listen 127.0.0.1:0 -j 1", media_make("api.mkv", TITLE));
	bg_wait_log(&run, "serving until Ctrl-C", 1);
	line = bg_log_after(&run, "http://127.0.0.1:");
	port = (int)strtol(line, NULL, 10);
	client_ask(&r, port, "POST", "/v1/streams", JSON, "{\"source\":\"/etc/passwd\"}");
	free(client_check_problem(&r, 403));
	client_free(&r);
	client_ask(&r, port, "GET", "/v1/streams", "", NULL);
	ck_assert_int_eq(r.status, 200);
	client_free(&r);
	kill(-run.pid, SIGINT);
	ck_assert_int_eq(bg_wait(&run), 0);
	bg_check_clean(&run);
	bg_close(&run);
	free(line);
}
END_TEST

Suite *suite_http_api(void)
{
	Suite *s = suite_create("http_api");
	TCase *t = tcase_create("http_api");

	tcase_set_timeout(t, 300);
	tcase_add_test(t, every_answer_of_the_description_is_given_and_is_as_it_says);
	tcase_add_test(t, curl_lines_of_the_readme_work);
	tcase_add_test(t, run_takes_no_further_source);
	suite_add_tcase(s, t);
	return s;
}
