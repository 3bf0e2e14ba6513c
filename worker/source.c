/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/source.h"
#include "worker/fault.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void source_init(struct source *s)
{
	*s = (struct source){ .is.size = -1 };
}

void source_finish(struct source *s)
{
	if (s->is.size < 0)
		return;
	demux_close(s->demux);
	fault_watch(NULL, NULL);
	input_close(&s->input);
	if (s->map)
		munmap(s->map, (size_t)s->is.size);
	s->demux = NULL;
	s->map = NULL;
	s->is.size = -1;
}

static bool is_same(const struct record_source *a, const struct record_source *b)
{
	return a->size == b->size && a->mtime_ns == b->mtime_ns && !strcmp(a->path, b->path);
}

static int check_same(const struct stat *st, const struct record_source *want, struct err *err)
{
	if (st->st_size == want->size && st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec == want->mtime_ns)
		return 0;
	return err_set(err, ERR_DATA, "%s has changed since it was submitted: submit it again", want->path);
}

static int map_file(int fd, const struct record_source *want, void **map, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, ERR_RETRY, "cannot read %s: %s", want->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_DATA, "%s is not a regular file", want->path);
	if (check_same(&st, want, err))
		return err->code;
	if (!st.st_size)
		return err_set(err, ERR_DATA, "%s is empty", want->path);
	*map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	return *map == MAP_FAILED ? err_set(err, ERR_RETRY, "cannot map %s: %s", want->path, strerror(errno)) : 0;
}

/* Not through a link: where the name leads to now must be allowed, and stay what it is. */
static int open_allowed(struct source *s, const struct record_source *want, struct err *err)
{
	char resolved[PATH_MAX];
	struct stat st;
	int fd;

	if (!realpath(want->path, resolved))
		return err_set(err, errno == ENOENT ? ERR_DATA : ERR_RETRY, "cannot open %s: %s", want->path, strerror(errno));
	if (s->allow && allow_path(s->allow, resolved, err))
		return err->code;
	fd = allow_open(resolved);
	if (fd >= 0)
		return fd;
	s->is_shut_out |= errno == EACCES;
	err_set(err, errno == ENOENT ? ERR_DATA : ERR_RETRY, "cannot open %s: %s", want->path, strerror(errno));
	if (!stat(resolved, &st)) /* another file of that name is not the one that the sandbox knows */
		check_same(&st, want, err);
	return err->code;
}

static int open_file(struct source *s, const struct record_source *want, struct err *err)
{
	int fd = open_allowed(s, want, err), ret;

	if (fd < 0)
		return fd;
	ret = map_file(fd, want, &s->map, err);
	close(fd);
	if (ret)
		return ret;
	input_init_bytes(&s->input, (struct bytes){ s->map, (size_t)want->size });
	fault_watch(&s->input, want->path);
	return 0;
}

static int open_url(struct source *s, const struct record_source *want, struct err *err)
{
	int ret = input_open_url(&s->input, want->path, INPUT_URL_TIMEOUT_S, s->allow, s->is_stopped, s->arg, err);

	if (ret || s->input.is_seekable)
		return ret;
	input_close(&s->input);
	return err_set(err, ERR_UNSUPPORTED,
		       "%s: its server sends no parts of files (range requests), so it cannot be cut; "
		       "'segfarm-worker transcode' can play it",
		       want->path);
}

int source_open(struct source *s, const struct record_source *want, struct err *err)
{
	int ret;

	if (s->is.size >= 0 && is_same(&s->is, want) && !s->input.status)
		return 0;
	source_finish(s);
	if (record_is_url(want->path))
		ret = open_url(s, want, err);
	else
		ret = open_file(s, want, err);
	if (ret) {
		s->map = NULL;
		return ret;
	}
	s->is = *want;
	s->input.is_stopped = s->is_stopped;
	s->input.arg = s->arg;
	ret = demux_open(&s->demux, &s->input, err);
	if (ret)
		source_finish(s);
	return ret;
}

int source_status(const struct source *s, struct err *err)
{
	return s->is.size >= 0 ? input_status(&s->input, err) : 0;
}

void source_forget(struct source *s)
{
	if (s->map)
		madvise(s->map, (size_t)s->is.size, MADV_DONTNEED);
}
