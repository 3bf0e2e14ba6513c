/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A URL as an input, through libavformat's I/O. Reading on is one request; each place gone to is another.
 */
#include "worker/input.h"
#include "worker/resolve.h"

#include <libavformat/avio.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS 8

static const char protocols[] = "http,https,tls,tcp"; /* nothing that reads local files */

struct url {
	AVIOContext *io;
	uint8_t *location;
	int timeout_s;
	const struct allow *allow; /* NULL: anything */
};

static int say(struct err *err, const char *what, const struct url *u, int code)
{
	char text[AV_ERROR_MAX_STRING_SIZE];
	bool is_gone = code == AVERROR_HTTP_NOT_FOUND || code == AVERROR_HTTP_BAD_REQUEST || code == AVERROR_HTTP_UNAUTHORIZED ||
		       code == AVERROR_HTTP_FORBIDDEN || code == AVERROR_HTTP_OTHER_4XX || code == AVERROR_PROTOCOL_NOT_FOUND;

	if (code == AVERROR_EXIT)
		return err_set(err, ERR_STOPPED, "%s: stopped", what);
	if (code == AVERROR(ETIMEDOUT) && u->io)
		return err_set(err, ERR_RETRY, "%s: nothing came from the server for %d s", what, u->timeout_s);
	/* where libavformat's own text does not tell */
	av_strerror(code, text, sizeof text);
	return err_set(err, is_gone ? ERR_DATA : ERR_RETRY, "%.300s: %s", what,
		       code == AVERROR(ETIMEDOUT)	   ? "the server does not answer"
		       : code == AVERROR_EOF		   ? "the server closed the connection without an answer"
		       : code == AVERROR(EIO) && u->io	   ? "the connection broke off"
		       : code == AVERROR(EIO)		   ? "the host is not known, or does not speak HTTP"
							   : text);
}

static int64_t read_url(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct url *u = arg;
	int got;

	resolve_guard(u->allow);
	got = avio_read_partial(u->io, to, n < INT32_MAX ? (int)n : INT32_MAX);
	resolve_guard(NULL);
	if (got == AVERROR_EOF)
		return 0;
	return got < 0 ? say(err, "cannot read the URL", u, got) : got;
}

static int seek_url(void *arg, int64_t at, struct err *err)
{
	struct url *u = arg;
	int64_t ret;

	resolve_guard(u->allow);
	ret = avio_seek(u->io, at, SEEK_SET);
	resolve_guard(NULL);
	return ret < 0 ? say(err, "cannot seek in the URL", u, (int)ret) : 0;
}

static void close_url(void *arg)
{
	struct url *u = arg;

	avio_closep(&u->io);
	av_free(u->location);
	free(u);
}

/* ---- redirects: where there is a list, each is looked at before it is followed. Where one leads to libavformat tells nobody but
 * its log; if it should fall silent, none is followed. */

static _Thread_local char location[ALLOW_URL_MAX];

__attribute__((format(printf, 3, 0))) static void hear_location(void *of, int level, const char *format, va_list args)
{
	static const char head[] = "header='Location:";
	char line[ALLOW_URL_MAX + 32];
	size_t n;

	(void)of;
	if (level != AV_LOG_TRACE || strncmp(format, head, 8))
		return;
	if (vsnprintf(line, sizeof line, format, args) >= (int)sizeof line || strncasecmp(line, head, strlen(head)))
		return;
	n = strlen(head) + strspn(line + strlen(head), " \t");
	snprintf(location, sizeof location, "%.*s", (int)strcspn(line + n, "\r\n'"), line + n);
}

/* url becomes what the location says, which may be relative to it. ".." is not resolved: the list refuses it. */
static int go_on_to(char url[ALLOW_URL_MAX])
{
	const char *host = strstr(url, "://") + 3, *slash;
	size_t server = (size_t)(host - url) + strcspn(host, "/?#"), end = strcspn(url, "?#"), kept = 0;
	char next[ALLOW_URL_MAX];

	if (!strncmp(location, "//", 2)) {
		kept = (size_t)(host - url) - 2;
	} else if (*location == '/') {
		kept = server;
	} else if (!strstr(location, "://") || strcspn(location, "/?#") < strcspn(location, ":")) {
		while (end > server && url[end - 1] != '/')
			end--;
		kept = end;
	}
	slash = kept && kept == server && *location != '/' ? "/" : "";
	if (snprintf(next, sizeof next, "%.*s%s%s", (int)kept, url, slash, location) >= (int)sizeof next)
		return -1;
	memcpy(url, next, sizeof next);
	return 0;
}

/* ---- open */

static int open_io(struct url *u, const char *url, int (*is_stopped)(void *), void *arg)
{
	AVIOInterruptCB interrupt = { is_stopped, arg };
	AVDictionary *options = NULL;
	int ret = av_dict_set(&options, "protocol_whitelist", protocols, 0);

	if (ret >= 0)
		ret = av_dict_set_int(&options, "rw_timeout", u->timeout_s * INT64_C(1000000), 0);
	if (ret >= 0 && u->allow)
		ret = av_dict_set(&options, "max_redirects", "0", 0);
	if (ret >= 0)
		ret = avio_open2(&u->io, url, AVIO_FLAG_READ, &interrupt, &options);
	/* one that does not know of redirects may have followed one */
	if (ret >= 0 && av_dict_get(options, "max_redirects", NULL, 0)) {
		avio_closep(&u->io);
		ret = AVERROR_OPTION_NOT_FOUND;
	}
	av_dict_free(&options);
	return ret;
}

static int refuse(const char *first, const char *url, const struct err *why, struct err *err)
{
	if (!strcmp(first, url))
		return err_set(err, ERR_USAGE, "%s", why->msg);
	return err_set(err, ERR_USAGE, "%.100s leads to another place: %s", first, why->msg);
}

/* By the list. */
static int open_allowed(struct url *u, const char *first, int (*is_stopped)(void *), void *arg, struct err *err)
{
	char url[ALLOW_URL_MAX];
	int ret = 0;

	snprintf(url, sizeof url, "%s", first);
	for (int i = 0; i <= REDIRECTS; i++) {
		struct err why;

		if (allow_url(u->allow, url, &why))
			return refuse(first, url, &why, err);
		location[0] = 0;
		resolve_guard(u->allow);
		av_log_set_callback(hear_location);
		ret = open_io(u, url, is_stopped, arg);
		av_log_set_callback(av_log_default_callback);
		if (ret < 0 && *resolve_refused())
			return err_set(err, ERR_USAGE, "%.200s leads to %s, which is no public address: --allow-url has to name it, "
				       "or --allow-private to be given", url, resolve_refused());
		resolve_guard(NULL);
		if (ret >= 0 || !*location)
			return ret < 0 ? say(err, first, u, ret) : 0;
		if (go_on_to(url))
			break;
	}
	return err_set(err, ERR_DATA, "%.300s: its server redirects without an end", first);
}

int input_open_url(struct input *in, const char *url, int timeout_s, const struct allow *allow, int (*is_stopped)(void *),
		   void *arg, struct err *err)
{
	struct input_source source = { read_url, NULL, close_url, NULL };
	struct url *u = calloc(1, sizeof *u);
	int64_t size;
	int ret;

	if (!u)
		return err_set(err, ERR_NOMEM, "out of memory");
	u->timeout_s = timeout_s;
	u->allow = allow;
	ret = allow ? open_allowed(u, url, is_stopped, arg, err) : open_io(u, url, is_stopped, arg);
	if (ret < 0) {
		if (!allow)
			ret = say(err, url, u, ret);
		free(u);
		return ret;
	}
	ret = av_opt_get(u->io, "location", AV_OPT_SEARCH_CHILDREN, &u->location);
	if (ret < 0) {
		close_url(u);
		return say(err, url, &(struct url){ 0 }, ret);
	}
	source.arg = u;
	source.seek = u->io->seekable & AVIO_SEEKABLE_NORMAL ? seek_url : NULL;
	size = avio_size(u->io);
	input_init_source(in, &source, size > 0 ? size : INT64_MAX);
	return 0;
}

const char *input_url_location(const struct input *in)
{
	const struct url *u = in->source.arg;

	return (const char *)u->location;
}
