/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * segfarm sign-url: URLs that may be played for a while, for those who give them out without asking the API.
 */
#include "common/options.h"
#include "dispatcher/access.h"
#include "dispatcher/commands.h"
#include "dispatcher/http.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { KEY_FILE = 0x500, KEY_LIFETIME };

struct sign_options {
	const char *key_file;
	int lifetime_s;
	char *const *urls;
	int n_urls;
};

static const struct argp_option sign_argp_options[] = {
	{ "url-key-file", KEY_FILE, "FILE", 0, "The keys of the server (its --url-key-file); the first one signs", 1 },
	{ "url-lifetime", KEY_LIFETIME, "SECONDS", 0, "From now on (default 43200, half a day)", 1 },
	{ 0 },
};

static error_t parse_sign(int key, char *arg, struct argp_state *state)
{
	struct sign_options *o = state->input;

	switch (key) {
	case KEY_FILE:
		o->key_file = arg;
		break;
	case KEY_LIFETIME:
		o->lifetime_s = options_parse_int("--url-lifetime", arg, 1, HTTP_URL_LIFETIME_MAX_S, state);
		break;
	case ARGP_KEY_ARGS:
		o->urls = state->argv + state->next;
		o->n_urls = state->argc - state->next;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp sign_argp = {
	.options = sign_argp_options,
	.parser = parse_sign,
	.args_doc = "URL...",
	.doc = "Prints URLs of a server that has --url-key-file, signed. A signature is for that path alone; a playlist that is fetched with "
	       "one names what it has with signatures of their own, good for as long."
	       "\v  segfarm sign-url --url-key-file url.keys https://host/hls/KEY/master.m3u8",
};

static int sign_one(const struct access *access, int64_t expires, const char *url, struct err *err)
{
	const char *scheme = strstr(url, "://"), *path = scheme ? strchr(scheme + 3, '/') : url;
	struct http_target target;
	char query[ACCESS_QUERY_SIZE];

	http_parse_path(path ? path : "", &target);
	if (target.what == HTTP_NOTHING || target.area != HTTP_AREA_MEDIA)
		return err_set(err, ERR_USAGE, "'%.200s' is nothing that is played: /hls/KEY/master.m3u8, /stream/KEY.mp4", url);
	access_sign(access, path, expires, query);
	printf("%s?%s\n", url, query);
	return 0;
}

int sign_main(int argc, char **argv)
{
	struct sign_options options = { .lifetime_s = HTTP_URL_LIFETIME_S };
	struct access access = { 0 };
	struct err err = { 0 };
	int ret = 0;

	options_parse(&sign_argp, "segfarm sign-url", argc, argv, &options);
	if (!options.n_urls)
		ret = err_set(&err, ERR_USAGE, "which? (try --help)");
	else if (!options.key_file)
		ret = err_set(&err, ERR_USAGE, "--url-key-file FILE is missing");
	else
		ret = access_load(&access, NULL, options.key_file, &err);
	for (int i = 0; i < options.n_urls && ret >= 0; i++)
		ret = sign_one(&access, time(NULL) + options.lifetime_s, options.urls[i], &err);
	access_finish(&access);
	if (ret < 0)
		fprintf(stderr, "segfarm sign-url: %s\n", err.msg);
	return ret < 0 ? OPTIONS_EXIT_USAGE : 0;
}
