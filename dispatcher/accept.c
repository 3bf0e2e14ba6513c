/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How streams come to be: a source that is accepted, those that the store knows, and empty ones for measuring.
 */
#include "common/key.h"
#include "common/log.h"
#include "dispatcher/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOOP_KEY "0000000000000000"

/* Only workers speak to servers. */
static int look_at_url(const char *url, const struct allow *allow, struct record_source *source, struct err *err)
{
	if (strlen(url) > RECORD_PATH_MAX)
		return err_set(err, ERR_USAGE, "%.300s... is too long for a URL", url);
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return err_set(err, ERR_USAGE, "%.300s is no URL: a space or control character is in it", url);
	if (allow && allow_url(allow, url, err))
		return err->code;
	snprintf(source->path, sizeof(source->path), "%s", url);
	return 0;
}

int dispatch_look_at(const char *path, const struct allow *allow, struct record_source *source, struct err *err)
{
	char resolved[PATH_MAX];
	struct stat st;
	int fd;

	memset(source, 0, sizeof(*source));
	if (record_is_url(path))
		return look_at_url(path, allow, source, err);
	if (!realpath(path, resolved))
		return err_set(err, ERR_USAGE, "%.300s: %s", path,
			       errno == ENOENT ? "there is no such file" : strerror(errno));
	if (allow && allow_path(allow, resolved, err))
		return err->code;
	fd = allow_open(resolved);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int ret = err_set(err, ERR_USAGE, "%.300s cannot be read: %s", path, strerror(errno));

		if (fd >= 0)
			close(fd);
		return ret;
	}
	close(fd);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_USAGE, "%.300s is a directory, not a media file", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_USAGE, "%.300s is not a regular file", path);
	if (!st.st_size)
		return err_set(err, ERR_USAGE, "%.300s is empty", path);
	snprintf(source->path, sizeof(source->path), "%s", resolved);
	source->size = st.st_size;
	source->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

static int add_stream(struct dispatch *d, const char *key, const struct record_source *source,
		      const struct record_options *options, struct dispatch_stream **stream, struct err *err)
{
	int ret = stream_create(d, key, stream, err);

	if (ret < 0)
		return ret;
	(*stream)->source = *source;
	(*stream)->options = *options;
	ret = stream_reconcile(d, *stream, err);
	if (ret == ERR_RETRY)
		dispatch_note_trouble(d, err); /* accepted already: it goes on when the store is back */
	else if (ret < 0)
		stream_give_up(d, *stream, 0, ret, 1, err->msg);
	return 0;
}

int dispatch_add(struct dispatch *d, const struct record_source *source, const struct record_options *options,
		 struct dispatch_stream **stream, struct err *err)
{
	char key[RECORD_KEY_SIZE];
	int ret;

	key_derive_source(source, options, key);
	*stream = dispatch_find(d, key);
	if (*stream)
		return 0;
	ret = store_put_stream(d->store, key, source, options, err);
	if (ret < 0)
		return ret;
	return add_stream(d, key, source, options, stream, err);
}

struct key_list {
	char (*keys)[RECORD_KEY_SIZE];
	size_t n;
	struct err *err;
};

static int list_key(void *arg, const char *key)
{
	struct key_list *list = arg;
	char (*grown)[RECORD_KEY_SIZE] = realloc(list->keys, (list->n + 1) * sizeof(*grown));

	if (!grown)
		return err_set(list->err, ERR_NOMEM, "out of memory for the list of streams");
	list->keys = grown;
	snprintf(list->keys[list->n++], RECORD_KEY_SIZE, "%s", key);
	return 0;
}

static int resume_key(struct dispatch *d, const char *key, struct err *err)
{
	struct record_source source, now;
	struct record_options options;
	struct dispatch_stream *stream;
	struct err why;
	int ret;

	if (!key_is_valid(key) || dispatch_find(d, key))
		return 0;
	ret = store_get_stream(d->store, key, &source, &options, err);
	if (ret == ERR_DATA) {
		log_warn("stream in the store is damaged", "stream=%s reason=\"%s\"", key, err->msg);
		return 0;
	}
	if (ret <= 0)
		return ret;
	ret = add_stream(d, key, &source, &options, &stream, err);
	if (ret < 0)
		return ret;
	if (stream->state == DISPATCH_DONE)
		return 0;
	if (dispatch_look_at(source.path, d->allow, &now, &why) < 0)
		stream_give_up(d, stream, 0, ERR_DATA, 1, why.msg);
	else if (now.size != source.size || now.mtime_ns != source.mtime_ns)
		stream_give_up(d, stream, 0, ERR_DATA, 1, "the source file is not what it was when it was accepted");
	return 0;
}

int dispatch_resume(struct dispatch *d, struct err *err)
{
	struct key_list list = { .err = err };
	int ret = store_list_streams(d->store, list_key, &list, err);

	for (size_t i = 0; i < list.n && ret >= 0; i++)
		ret = resume_key(d, list.keys[i], err);
	free(list.keys);
	return ret;
}

int dispatch_add_noop(struct dispatch *d, size_t count, struct dispatch_stream **stream, struct err *err)
{
	int ret = stream_create(d, NOOP_KEY, stream, err);

	if (ret < 0)
		return ret;
	(*stream)->is_noop = true;
	(*stream)->state = DISPATCH_WORKING;
	snprintf((*stream)->source.path, sizeof((*stream)->source.path), "/");
	record_options_init(&(*stream)->options);
	if (!queue_set_slots(&d->queue, (*stream)->number, count))
		return err_set(err, ERR_NOMEM, "out of memory for %zu jobs", count);
	for (size_t i = 0; i < count; i++)
		if (queue_push(&d->queue, (*stream)->number, (uint32_t)i) < 0)
			return err_set(err, ERR_NOMEM, "out of memory for %zu jobs", count);
	return 0;
}
