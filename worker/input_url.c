/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A URL as an input, through libavformat's I/O. Reading on is one request; each place gone to is another.
 */
#include "worker/input.h"

#include <libavformat/avio.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>

#include <errno.h>

static const char protocols[] = "http,https,tls,tcp"; /* nothing that reads local files */
#define TIMEOUT_S "30"
static const char timeout_us[] = TIMEOUT_S "000000";

/* What libavformat's code means here, where its own text does not tell. */
static const char *meaning(int code, bool is_open, char text[AV_ERROR_MAX_STRING_SIZE])
{
	if (code == AVERROR(ETIMEDOUT))
		return is_open ? "the server does not answer" : "nothing came from the server for " TIMEOUT_S " s";
	if (code == AVERROR(EIO))
		return is_open ? "the host is not known, or does not speak HTTP" : "the connection broke off";
	if (code == AVERROR_EOF)
		return "the server closed the connection without an answer";
	av_strerror(code, text, AV_ERROR_MAX_STRING_SIZE);
	return text;
}

static int say(struct err *err, const char *what, bool is_open, int code)
{
	char text[AV_ERROR_MAX_STRING_SIZE];
	bool is_gone = code == AVERROR_HTTP_NOT_FOUND || code == AVERROR_HTTP_BAD_REQUEST || code == AVERROR_HTTP_UNAUTHORIZED ||
		       code == AVERROR_HTTP_FORBIDDEN || code == AVERROR_HTTP_OTHER_4XX || code == AVERROR_PROTOCOL_NOT_FOUND;

	if (code == AVERROR_EXIT)
		return err_set(err, ERR_STOPPED, "%s: stopped", what);
	return err_set(err, is_gone ? ERR_DATA : ERR_RETRY, "%.300s: %s", what, meaning(code, is_open, text));
}

static int64_t read_url(void *arg, uint8_t *to, size_t n, struct err *err)
{
	int got = avio_read_partial(arg, to, n < INT32_MAX ? (int)n : INT32_MAX);

	if (got == AVERROR_EOF)
		return 0;
	return got < 0 ? say(err, "cannot read the URL", false, got) : got;
}

static int seek_url(void *arg, int64_t at, struct err *err)
{
	int64_t ret = avio_seek(arg, at, SEEK_SET);

	return ret < 0 ? say(err, "cannot seek in the URL", false, (int)ret) : 0;
}

static void close_url(void *arg)
{
	AVIOContext *io = arg;

	avio_closep(&io);
}

int input_open_url(struct input *in, const char *url, int (*is_stopped)(void *), void *arg, struct err *err)
{
	AVIOInterruptCB interrupt = { is_stopped, arg };
	AVDictionary *options = NULL;
	AVIOContext *io = NULL;
	int ret = av_dict_set(&options, "protocol_whitelist", protocols, 0);

	if (ret >= 0)
		ret = av_dict_set(&options, "rw_timeout", timeout_us, 0);
	if (ret >= 0)
		ret = avio_open2(&io, url, AVIO_FLAG_READ, &interrupt, &options);
	av_dict_free(&options);
	if (ret < 0)
		return say(err, url, true, ret);
	int64_t size = avio_size(io);
	struct input_source source = { read_url, io->seekable & AVIO_SEEKABLE_NORMAL ? seek_url : NULL, close_url, io };
	input_init_source(in, &source, size > 0 ? size : INT64_MAX);
	return 0;
}
