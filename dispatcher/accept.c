/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How streams come to be: a source that is accepted, those that the store knows, and empty ones for measuring.
 */
#include "common/key.h"
#include "common/proc.h"
#include "dispatcher/cluster.h"
#include "dispatcher/place.h"
#include "dispatcher/play.h"
#include "dispatcher/stream.h"
#include "dispatcher/want.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
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

/* It may be read, and is what it was when it was accepted. */
static int check_source(const struct dispatch *d, const struct record_source *source, struct err *err)
{
	struct record_source now;
	int ret = dispatch_look_at(source->path, d->allow, &now, err);

	if (!ret && (now.size != source->size || now.mtime_ns != source->mtime_ns))
		ret = err_set(err, ERR_DATA, "the source file is not what it was when it was accepted");
	return ret;
}

int dispatch_take_up(struct dispatch *d, struct dispatch_stream *s, struct err *err)
{
	int ret = stream_reconcile(d, s, err);

	if (ret == ERR_RETRY)
		dispatch_note_trouble(d, err); /* accepted already: it goes on when the store is back */
	else if (ret < 0 && ret != ERR_STOPPED)
		stream_give_up(d, s, 0, ret, 1, err->msg);
	else if (s->is_mine && s->state < DISPATCH_DONE && check_source(d, &s->source, err))
		stream_give_up(d, s, 0, ERR_DATA, 1, err->msg);
	return 0;
}

int dispatch_add(struct dispatch *d, const struct record_source *source, const struct record_options *options, bool is_on_demand,
		 struct dispatch_stream **stream, struct err *err)
{
	struct store_stream what = { .source = *source, .options = *options, .is_on_demand = is_on_demand };
	char key[RECORD_KEY_SIZE];
	int ret;

	key_derive_source(source, options, key);
	*stream = dispatch_find(d, key);
	if (*stream)
		return 0;
	ret = store_put_stream(d->store, key, &what, err);
	if (ret < 0)
		return ret;
	ret = dispatch_load(d, key, stream, err);
	if (ret <= 0)
		return ret < 0 ? ret : err_set(err, ERR_RETRY, "the store has lost the stream at once");
	ret = cluster_own(d, *stream, err);
	return ret < 0 ? ret : dispatch_take_up(d, *stream, err);
}

static void set_record(struct dispatch_stream *s, const struct store_stream *what)
{
	s->source = what->source;
	s->options = what->options;
	s->is_on_demand = what->is_on_demand;
	s->is_cancelled = what->is_cancelled;
	s->created = what->created;
	if (strcmp(what->state, "failed"))
		return;
	s->state = DISPATCH_FAILED;
	snprintf(s->error, sizeof(s->error), "%s", what->error);
}

int dispatch_load(struct dispatch *d, const char *key, struct dispatch_stream **stream, struct err *err)
{
	struct store_stream what;
	int ret = key_is_valid(key) ? store_get_stream(d->store, key, &what, err) : 0;

	if (ret == 1)
		ret = stream_create(d, key, stream, err) < 0 ? ERR_NOMEM : 1;
	if (ret != 1)
		return ret;
	set_record(*stream, &what);
	place_stream(d, *stream);
	return 1;
}

void dispatch_forget(struct dispatch *d, struct dispatch_stream *s)
{
	if (d->on_forget)
		d->on_forget(d->on_forget_arg, s);
	tdelete(s, &d->by_key, stream_compare);
	for (int i = 0; i < d->n_streams; i++)
		if (d->streams[i] == s)
			d->streams[i] = d->streams[--d->n_streams];
	stream_drop_jobs(d, s);
	s->is_mine = false;
	queue_remove_stream(&d->queue, s->number);
	s->number = -1;
	s->next_removed = d->removed;
	d->removed = s;
	want_settle_all(d, s);
}

void dispatch_bury(struct dispatch *d)
{
	for (struct dispatch_stream **at = &d->removed, *s; (s = *at);) {
		if (play_is_of(d, s) || !list_is_empty(&s->wants)) {
			at = &s->next_removed;
			continue;
		}
		*at = s->next_removed;
		stream_destroy(s);
	}
}

/* Its mode, or a second chance. */
static void change(struct dispatch *d, struct dispatch_stream *s, const struct store_stream *what)
{
	struct err err = { 0 };

	if (what->is_on_demand && !s->is_on_demand)
		queue_drop_pending(&d->queue, s->number, QUEUE_PRECOMPUTE);
	s->is_on_demand = what->is_on_demand;
	s->is_cancelled = what->is_cancelled;
	if (s->state == DISPATCH_FAILED ? strcmp(what->state, "failed") : s->n_quarantined && !strcmp(what->state, "working"))
		stream_retry(s);
	if (cluster_own(d, s, &err) < 0 || dispatch_take_up(d, s, &err) < 0)
		dispatch_note_trouble(d, &err);
}

void dispatch_look(struct dispatch *d, const char *key)
{
	struct dispatch_stream *s = dispatch_find(d, key);
	struct store_stream what;
	struct err err = { 0 };
	int ret = store_get_stream(d->store, key, &what, &err);

	if (ret == 1 && s)
		change(d, s, &what);
	else if (ret == 1)
		cluster_find(d, key, &err);
	else if (!ret && s && !s->is_noop)
		dispatch_forget(d, s);
	if (!ret)
		snprintf(d->left_over, sizeof(d->left_over), "%s", key); /* what was here before is found again by cluster_scan */
	else if (ret < 0)
		dispatch_note_trouble(d, &err);
}

int dispatch_add_noop(struct dispatch *d, size_t count, int64_t sleep_ms, struct dispatch_stream **stream, struct err *err)
{
	int ret = stream_create(d, NOOP_KEY, stream, err);

	if (ret < 0)
		return ret;
	(*stream)->is_noop = (*stream)->is_mine = true;
	(*stream)->noop_ms = sleep_ms;
	(*stream)->state = DISPATCH_WORKING;
	snprintf((*stream)->source.path, sizeof((*stream)->source.path), "/");
	record_options_init(&(*stream)->options);
	if (!queue_set_slots(&d->queue, (*stream)->number, count))
		return err_set(err, ERR_NOMEM, "out of memory for %zu jobs", count);
	for (size_t i = 0; i < count; i++)
		if (queue_push(&d->queue, (*stream)->number, (uint32_t)i, QUEUE_PRECOMPUTE, proc_now_ms()) < 0)
			return err_set(err, ERR_NOMEM, "out of memory for %zu jobs", count);
	return 0;
}
