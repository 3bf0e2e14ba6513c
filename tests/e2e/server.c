/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/server.h"

#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Thirty segments of half a second: playlists that are worth compressing. Of some 400 kB each: more than one piece. */
#define TITLE \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=320:180,noise=alls=60:allf=t\" -f lavfi -i \"$A\" -t 15 -c:v libx264 " \
	"-preset ultrafast -g 12 -b:v 6M -c:a aac -ac 2 \"$OUT\""

int server_port(const struct bg *serve)
{
	char *line = bg_log_after(serve, "streams on http://127.0.0.1:");
	int number = (int)strtol(line, NULL, 10);

	free(line);
	ck_assert_int_gt(number, 0);
	return number;
}

void server_start(struct server *s, const char *options)
{
	char *end;

	memset(s, 0, sizeof(*s));
	s->title = media_make("served.mkv", TITLE);
	redis_fixture_start(&s->redis);
	bg_open(&s->serve);
	bg_open(&s->pool);
	programs_serve(&s->serve, &s->redis, "--segment-duration 0.5 %s '%s'", options, s->title);
	s->port = server_port(&s->serve);
	s->key = bg_log_after(&s->serve, "/hls/");
	end = strchr(s->key, '/');
	ck_assert_ptr_nonnull(end);
	*end = 0;
	programs_pool(&s->pool, &s->redis, &s->serve, 1, "");
	bg_wait_log(&s->serve, "state=done", 1);
}

void server_stop(struct server *s)
{
	programs_end(&s->pool);
	programs_end(&s->serve);
	bg_close(&s->pool);
	bg_close(&s->serve);
	redis_fixture_stop(&s->redis);
	free(s->key);
}

void server_get(const struct server *s, const char *path, const char *headers, struct reply *r)
{
	char *target;

	ck_assert_int_gt(asprintf(&target, "/hls/%s/%s", s->key, path), 0);
	client_ask(r, s->port, "GET", target, headers, NULL);
	free(target);
}

char *server_uri(const struct reply *playlist, int n)
{
	const char *line = playlist->body;

	for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (*line && *line != '#' && *line != '\n' && !n--)
			return strndup(line, strcspn(line, "\n"));
	ck_abort_msg("no such URI in\n%s", playlist->body);
	return NULL;
}
