/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/parts.h"

#include "common/allow.h"
#include "common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <libavformat/avio.h>
#include <libavutil/aes.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IO_BUFFER (64 << 10)
#define BLOCK 16            /* of AES */
#define MANY_IDLE LIMIT_PLAYLISTS /* opened without a byte of media: from here on they come slowly */
#define PAUSE_MS 100
#define TRIES 3             /* of what a server cannot do just now */
#define TRY_PAUSE_MS 500

static const char protocols[] = "http,https,tls,tcp";
static const char mark[] = "#EXTM3U";

/* The lines of a playlist, however its text comes. */
struct text {
	enum { TEXT_UNKNOWN, TEXT_IS, TEXT_IS_NOT } kind;
	int64_t n_bytes;
	int n_lines;
	char line[20]; /* its beginning */
	size_t n;      /* characters in it */
};

struct part {
	struct parts *parts;
	AVIOContext *io; /* of a URL; NULL: a file */
	int fd;
	char *url;
	struct text text;
	struct AVAES *aes; /* NULL: it is not encrypted */
	uint8_t iv[BLOCK];
	uint8_t cipher[IO_BUFFER];
	int have;        /* in cipher */
	bool is_at_end;
};

/* ---- the state */

static int end_all(struct parts *p, int code, const char *what)
{
	if (!p->err.code)
		err_set(&p->err, code, "%s", what);
	return AVERROR_EXIT;
}

void parts_wait(struct parts *p)
{
	p->waiting_ms = proc_now_ms();
}

int parts_is_over(void *parts)
{
	struct parts *p = parts;
	char text[100];

	if (!p->err.code && p->is_stopped && p->is_stopped(p->arg)) {
		end_all(p, ERR_STOPPED, "stopped");
	} else if (!p->err.code && proc_now_ms() - p->waiting_ms > p->timeout_s * INT64_C(1000)) {
		snprintf(text, sizeof text, "the playlist has named nothing new that can be read for %d s", p->timeout_s);
		end_all(p, ERR_RETRY, text);
	}
	return p->err.code != 0;
}

/* A pause, ended early when all is over. */
static bool has_paused(struct parts *p, int ms)
{
	for (; ms > 0 && !parts_is_over(p); ms -= PAUSE_MS)
		poll(NULL, 0, ms < PAUSE_MS ? ms : PAUSE_MS);
	return !parts_is_over(p);
}

int parts_status(const struct parts *p, struct err *err)
{
	if (p->err.code == ERR_RETRY && p->n_lost)
		return err_set(err, ERR_RETRY, "%s; the first part that could not: %s", p->err.msg, p->lost.msg);
	return p->err.code ? err_set(err, p->err.code, "%s", p->err.msg) : 0;
}

int parts_end(const struct parts *p, struct err *err)
{
	if (p->err.code || !p->n_lost)
		return parts_status(p, err);
	return err_set(err, ERR_RETRY, "parts of the playlist that could not be read: %lld; the first: %s", (long long)p->n_lost,
		       p->lost.msg);
}

/* For a person: of a file, as seen from its directory. */
static const char *shown(const struct parts *p, const char *url)
{
	return url + (p->dir >= 0 && *url == '/');
}

static void lose(struct parts *p, const char *url, const char *why)
{
	if (!p->n_lost++)
		err_set(&p->lost, ERR_RETRY, "%.200s: %s", shown(p, url), why);
}

/* ---- playlists */

static int end_line(struct parts *p, struct text *t)
{
	static const char *const naming[] = { "#EXT-X-STREAM-INF:", "#EXT-X-MEDIA:" };

	for (size_t i = 0; i < sizeof naming / sizeof *naming; i++)
		p->n_named += t->n >= strlen(naming[i]) && !memcmp(t->line, naming[i], strlen(naming[i]));
	t->n = 0;
	if (p->n_named > LIMIT_PLAYLISTS)
		return end_all(p, ERR_LIMIT, "the playlist names too many others, or itself");
	return ++t->n_lines > LIMIT_PLAYLIST_LINES ? end_all(p, ERR_LIMIT, "the playlist has too many lines") : 0;
}

/* Lines end as libavformat takes it. */
static int add_text(struct parts *p, struct text *t, const uint8_t *data, int n)
{
	int ret = 0;

	for (int i = 0; i < n && t->kind != TEXT_IS_NOT && !ret; i++) {
		char c = (char)data[i];

		if (t->kind == TEXT_UNKNOWN)
			t->kind = c != mark[t->n_bytes] ? TEXT_IS_NOT : mark[t->n_bytes + 1] ? TEXT_UNKNOWN : TEXT_IS;
		if (++t->n_bytes > LIMIT_PLAYLIST_BYTES)
			ret = end_all(p, ERR_LIMIT, "the playlist is too long");
		else if (c == '\n' || c == '\r' || !c)
			ret = end_line(p, t);
		else if (t->n < sizeof t->line)
			t->line[t->n++] = c;
	}
	return ret;
}

int parts_check(struct parts *p, struct bytes text, struct err *err)
{
	struct text t = { 0 };

	add_text(p, &t, text.data, text.size < INT_MAX ? (int)text.size : INT_MAX);
	return parts_status(p, err);
}

/* ---- reading */

static int read_raw(struct part *p, uint8_t *to, int n)
{
	char why[AV_ERROR_MAX_STRING_SIZE];
	int got;

	if (parts_is_over(p->parts))
		return AVERROR_EXIT;
	got = p->io ? avio_read_partial(p->io, to, n) : (int)read(p->fd, to, (size_t)n);
	if (!p->io && got <= 0)
		got = got ? AVERROR(errno) : AVERROR_EOF;
	if (got < 0 && got != AVERROR_EOF && got != AVERROR_EXIT) {
		av_strerror(got, why, sizeof why);
		lose(p->parts, p->url, why);
	}
	if (got > 0 && add_text(p->parts, &p->text, to, got))
		return AVERROR_EXIT;
	if (got > 0 && p->text.kind == TEXT_IS_NOT) {
		parts_wait(p->parts);
		p->parts->n_idle = 0;
	}
	return got;
}

/* AES-128-CBC; the last block says how much of it is filling. */
static int read_cipher(struct part *p, uint8_t *to, int n)
{
	int blocks, size, got;

	while (p->have < 2 * BLOCK && !p->is_at_end) {
		got = read_raw(p, p->cipher + p->have, (int)sizeof p->cipher - p->have);
		if (got < 0 && got != AVERROR_EOF)
			return got;
		p->is_at_end = got < 0;
		p->have += got > 0 ? got : 0;
	}
	blocks = p->have / BLOCK - !p->is_at_end;
	blocks = blocks < n / BLOCK ? blocks : n / BLOCK;
	if (blocks <= 0)
		return AVERROR_EOF;
	size = blocks * BLOCK;
	av_aes_crypt(p->aes, to, p->cipher, blocks, p->iv, 1);
	p->have -= size;
	memmove(p->cipher, p->cipher + size, (size_t)p->have);
	if (p->is_at_end && p->have < BLOCK)
		size -= to[size - 1] <= BLOCK ? to[size - 1] : 0;
	return size ? size : AVERROR_EOF;
}

static int read_part(void *arg, uint8_t *to, int n)
{
	struct part *p = arg;

	return p->aes ? read_cipher(p, to, n) : read_raw(p, to, n);
}

static int64_t seek_file(void *arg, int64_t offset, int whence)
{
	struct part *p = arg;
	struct stat st;

	if (whence & AVSEEK_SIZE)
		return fstat(p->fd, &st) ? AVERROR(errno) : st.st_size;
	if ((whence & ~AVSEEK_FORCE) != SEEK_SET || offset < 0)
		return AVERROR(EINVAL);
	offset = lseek(p->fd, offset, SEEK_SET);
	return offset < 0 ? AVERROR(errno) : offset;
}

/* ---- the rule */

static bool is_server(const char *url, const char *server, size_t n)
{
	return n && !strncasecmp(url, server, n) && (!url[n] || strchr("/?#", url[n]));
}

/* "https://host:port" at the beginning of a URL; 0: it is none. */
static size_t server_size(const char *url)
{
	size_t scheme = !strncmp(url, "http://", 7) ? 7 : !strncmp(url, "https://", 8) ? 8 : 0;
	size_t host = scheme ? strcspn(url + scheme, "/?#") : 0;

	return host ? scheme + host : 0;
}

/* Of the first in a list. */
static size_t listed_size(const char *list)
{
	size_t n = server_size(list), all = strcspn(list, ",");

	return n < all ? n : all;
}

bool parts_are_servers(const char *list)
{
	for (; listed_size(list); list++) {
		list += strcspn(list, ",");
		if (!*list)
			return true;
	}
	return false;
}

static bool is_allowed_url(const struct parts *p, const char *url)
{
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	if (strlen(url) >= LIMIT_URL || !server_size(url))
		return false;
	if (is_server(url, p->base, server_size(p->base)))
		return true;
	for (const char *s = p->servers; s && *s; s += strcspn(s, ","), s += *s == ',')
		if (is_server(url, s, listed_size(s)))
			return true;
	return false;
}

static int open_file(struct part *p)
{
	struct stat st;

	p->fd = allow_open_beneath(p->parts->dir, p->url);
	if (p->fd < 0)
		return AVERROR(errno);
	return fstat(p->fd, &st) ? AVERROR(errno) : S_ISREG(st.st_mode) ? 0 : AVERROR(ELOOP);
}

static int open_url(struct part *p, AVDictionary *given)
{
	static const char *const passed[] = { "offset", "end_offset" };
	AVIOInterruptCB interrupt = { parts_is_over, p->parts };
	AVDictionary *options = NULL;
	const AVDictionaryEntry *e;
	int ret = av_dict_set(&options, "protocol_whitelist", protocols, 0);

	if (ret >= 0)
		ret = av_dict_set(&options, "max_redirects", "0", 0);
	if (ret >= 0)
		ret = av_dict_set_int(&options, "rw_timeout", p->parts->timeout_s * INT64_C(1000000), 0);
	for (size_t i = 0; i < sizeof passed / sizeof *passed && ret >= 0; i++)
		if ((e = av_dict_get(given, passed[i], NULL, 0)))
			ret = av_dict_set(&options, e->key, e->value, 0);
	if (ret >= 0)
		ret = avio_open2(&p->io, p->url, AVIO_FLAG_READ, &interrupt, &options);
	/* one that does not know of redirects may have followed one */
	if (ret >= 0 && av_dict_get(options, "max_redirects", NULL, 0))
		ret = end_all(p->parts, ERR_UNSUPPORTED, "this libavformat is too old for playlists");
	av_dict_free(&options);
	return ret;
}

static bool is_worth_another_try(int code)
{
	return code != AVERROR_HTTP_BAD_REQUEST && code != AVERROR_HTTP_UNAUTHORIZED && code != AVERROR_HTTP_FORBIDDEN &&
	       code != AVERROR_HTTP_NOT_FOUND && code != AVERROR_HTTP_OTHER_4XX && code != AVERROR(ENOMEM);
}

static int try_url(struct part *p, AVDictionary *options)
{
	int ret = open_url(p, options);

	for (int i = 1; i < TRIES && ret < 0 && is_worth_another_try(ret) && has_paused(p->parts, TRY_PAUSE_MS); i++)
		ret = open_url(p, options);
	return parts_is_over(p->parts) ? AVERROR_EXIT : ret;
}

static int refuse(struct parts *p, const char *url)
{
	char text[600];

	if (p->dir >= 0)
		snprintf(text, sizeof text, "the playlist names %.200s: one that is a file may only name regular files "
			 "beneath its own directory, without links", shown(p, url));
	else
		snprintf(text, sizeof text, "the playlist names %.200s: only %.*s is allowed%s", url,
			 (int)server_size(p->base), p->base,
			 server_size(url) ? " (--allow-playlists=SERVER,... allows others)" : "");
	return end_all(p, ERR_UNSUPPORTED, text);
}

static int open_by_rule(struct part *p, AVDictionary *options)
{
	bool is_file = p->parts->dir >= 0;
	char why[AV_ERROR_MAX_STRING_SIZE];
	int ret;

	if (is_file ? p->url[0] != '/' : !is_allowed_url(p->parts, p->url))
		return refuse(p->parts, p->url);
	ret = is_file ? open_file(p) : try_url(p, options);
	if (is_file && (ret == AVERROR(EPERM) || ret == AVERROR(ELOOP) || ret == AVERROR(ENOTDIR)))
		return refuse(p->parts, p->url);
	if (ret < 0 && ret != AVERROR_EXIT) {
		av_strerror(ret, why, sizeof why);
		lose(p->parts, p->url,
		     is_file ? why
		     : ret == AVERROR(EIO)   ? "there is no answer, or it leads to another address"
		     : ret == AVERROR(EPERM) ? "the server sends no parts of files (range requests)" /* as libavformat says it */
					     : why);
	}
	return ret;
}

/* ---- open */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool read_hex(AVDictionary *options, const char *name, uint8_t *to)
{
	const AVDictionaryEntry *e = av_dict_get(options, name, NULL, 0);

	if (!e || strlen(e->value) != 2 * BLOCK)
		return false;
	for (int i = 0; i < BLOCK; i++) {
		if (hex(e->value[2 * i]) < 0 || hex(e->value[2 * i + 1]) < 0)
			return false;
		to[i] = (uint8_t)(hex(e->value[2 * i]) << 4 | hex(e->value[2 * i + 1]));
	}
	return true;
}

static int set_key(struct part *p, AVDictionary *options)
{
	uint8_t key[BLOCK];

	if (!read_hex(options, "key", key) || !read_hex(options, "iv", p->iv))
		return AVERROR(EINVAL);
	p->aes = av_aes_alloc();
	return p->aes ? av_aes_init(p->aes, key, BLOCK * 8, 1) : AVERROR(ENOMEM);
}

static void free_part(struct part *p)
{
	p->parts->n_open--;
	avio_closep(&p->io);
	if (p->fd >= 0)
		close(p->fd);
	av_free(p->aes);
	free(p->url);
	free(p);
}

static AVIOContext *wrap(struct part *p)
{
	uint8_t *buffer = av_malloc(IO_BUFFER);
	int64_t (*seek)(void *, int64_t, int) = p->fd >= 0 && !p->aes ? seek_file : NULL;
	AVIOContext *io = buffer ? avio_alloc_context(buffer, IO_BUFFER, 0, p, read_part, NULL, seek) : NULL;

	if (!io)
		av_free(buffer);
	return io;
}

static int open_part(struct part *p, AVIOContext **io, bool is_encrypted, AVDictionary *options)
{
	int ret = p->url ? 0 : AVERROR(ENOMEM);

	if (!ret && is_encrypted)
		ret = set_key(p, options);
	if (ret >= 0)
		ret = open_by_rule(p, options);
	if (ret >= 0)
		*io = wrap(p);
	return ret < 0 ? ret : *io ? 0 : AVERROR(ENOMEM);
}

int parts_open(struct parts *parts, AVIOContext **io, const char *url, AVDictionary *options)
{
	bool is_encrypted = !strncmp(url, "crypto+", 7) || !strncmp(url, "crypto:", 7);
	struct part *p;
	int ret;

	*io = NULL;
	if (parts_is_over(parts) || (parts->n_idle++ >= MANY_IDLE && !has_paused(parts, PAUSE_MS)))
		return AVERROR_EXIT;
	if (parts->n_open >= LIMIT_PARTS_OPEN)
		return end_all(parts, ERR_LIMIT, "the playlist wants too many parts at once");
	p = calloc(1, sizeof *p);
	if (!p)
		return AVERROR(ENOMEM);
	parts->n_open++;
	p->parts = parts;
	p->fd = -1;
	p->url = strdup(is_encrypted ? url + 7 : url);
	ret = open_part(p, io, is_encrypted, options);
	if (ret < 0)
		free_part(p);
	return ret;
}

void parts_close(AVIOContext *io)
{
	if (!io)
		return;
	free_part(io->opaque);
	av_freep(&io->buffer);
	avio_context_free(&io);
}

/* ---- */

int parts_init_url(struct parts *p, const char *url, struct err *err)
{
	p->dir = -1;
	if (snprintf(p->base, sizeof p->base, "%s", url) >= LIMIT_URL / 2)
		return err_set(err, ERR_LIMIT, "a playlist with a URL of over %d characters", LIMIT_URL / 2);
	return 0;
}

int parts_init_file(struct parts *p, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";

	if (slash && snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path) >= PATH_MAX)
		return err_set(err, ERR_LIMIT, "a name of over %d characters", PATH_MAX);
	snprintf(p->base, sizeof p->base, "/%s", slash ? slash + 1 : path);
	p->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->dir < 0 ? err_set(err, ERR_RETRY, "%.300s: %s", dir, strerror(errno)) : 0;
}

void parts_finish(struct parts *p)
{
	if (p->base[0] && p->dir >= 0)
		close(p->dir);
	p->base[0] = 0;
}
