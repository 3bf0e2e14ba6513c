/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A URL as an input, through libavformat's I/O. Reading on is one request; each place gone to is another.
 */
#include "worker/input.h"

#include <libavformat/avio.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>

#include <errno.h>
#include <stdlib.h>

static const char protocols[] = "http,https,tls,tcp"; /* nothing that reads local files */

struct url {
	AVIOContext *io;
	uint8_t *location;
	int timeout_s;
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
	int got = avio_read_partial(u->io, to, n < INT32_MAX ? (int)n : INT32_MAX);

	if (got == AVERROR_EOF)
		return 0;
	return got < 0 ? say(err, "cannot read the URL", u, got) : got;
}

static int seek_url(void *arg, int64_t at, struct err *err)
{
	struct url *u = arg;
	int64_t ret = avio_seek(u->io, at, SEEK_SET);

	return ret < 0 ? say(err, "cannot seek in the URL", u, (int)ret) : 0;
}

static void close_url(void *arg)
{
	struct url *u = arg;

	avio_closep(&u->io);
	av_free(u->location);
	free(u);
}

static int open_io(struct url *u, const char *url, int (*is_stopped)(void *), void *arg)
{
	AVIOInterruptCB interrupt = { is_stopped, arg };
	AVDictionary *options = NULL;
	int ret = av_dict_set(&options, "protocol_whitelist", protocols, 0);

	if (ret >= 0)
		ret = av_dict_set_int(&options, "rw_timeout", u->timeout_s * INT64_C(1000000), 0);
	if (ret >= 0)
		ret = avio_open2(&u->io, url, AVIO_FLAG_READ, &interrupt, &options);
	av_dict_free(&options);
	return ret;
}

int input_open_url(struct input *in, const char *url, int timeout_s, int (*is_stopped)(void *), void *arg, struct err *err)
{
	struct input_source source = { read_url, NULL, close_url, NULL };
	struct url *u = calloc(1, sizeof *u);
	int64_t size;
	int ret;

	if (!u)
		return err_set(err, ERR_NOMEM, "out of memory");
	u->timeout_s = timeout_s;
	ret = open_io(u, url, is_stopped, arg);
	if (ret < 0) {
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
