/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/export.h"

#include "common/log.h"
#include "dispatcher/mpd.h"
#include "dispatcher/playlist.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define TEMPORARY ".segfarm.tmp"
#define STORE_WAIT_MS 2000
#define SEGMENTS_PER_TURN 4

static int complain(const struct export *e, const char *name, struct err *err)
{
	return err_set(err, ERR_USAGE, "cannot write %.150s/%.100s: %s", e->dir, name, strerror(errno));
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The temporary file: one at a time is enough. */
static int begin_file(int dir_fd)
{
	return openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
}

/* Closes it and gives it its name; ret < 0: removes it. */
static int end_file(const struct export *e, int dir_fd, int fd, const char *name, int ret, struct err *err)
{
	if (close(fd) < 0 && ret >= 0)
		ret = complain(e, name, err);
	if (ret > 0 && renameat(dir_fd, TEMPORARY, dir_fd, name) < 0)
		ret = complain(e, name, err);
	if (ret <= 0)
		unlinkat(dir_fd, TEMPORARY, 0);
	return ret;
}

static int write_file(const struct export *e, int dir_fd, const char *name, struct buf *body, struct err *err)
{
	int fd, ret = 1;

	if (buf_failed(body))
		return err_set(err, ERR_NOMEM, "out of memory for %s", name);
	fd = begin_file(dir_fd);
	if (fd < 0)
		return complain(e, name, err);
	if (write_all(fd, body->data, body->size) < 0)
		ret = complain(e, name, err);
	return end_file(e, dir_fd, fd, name, ret, err);
}

/* A segment on its way into its file. */
struct copy {
	const struct export *e;
	const char *name;
	int fd;
	int64_t bytes;
	XXH3_state_t *state;
};

static int copy_piece(void *arg, struct bytes piece, struct err *err)
{
	struct copy *c = arg;

	XXH3_64bits_update(c->state, piece.data, piece.size);
	c->bytes += (int64_t)piece.size;
	return write_all(c->fd, piece.data, piece.size) < 0 ? complain(c->e, c->name, err) : 0;
}

/* 1 written, 0 not (or not right) in the store. */
static int copy_pieces(const struct export *e, const struct store_segment *address, const struct store_commit *commit,
		       int fd, const char *name, struct err *err)
{
	struct copy c = { e, name, fd, 0, XXH3_createState() };
	char checksum[17];
	int ret;

	if (!c.state)
		return err_set(err, ERR_NOMEM, "out of memory");
	XXH3_64bits_reset(c.state);
	ret = store_get_pieces(e->store, address, commit->pieces, copy_piece, &c, err);
	if (ret > 0) {
		snprintf(checksum, sizeof(checksum), "%016" PRIx64, (uint64_t)XXH3_64bits_digest(c.state));
		ret = c.bytes == commit->bytes && !strcmp(checksum, commit->checksum);
	}
	XXH3_freeState(c.state);
	return ret;
}

static int write_segment(struct export *e, const struct dispatch_stream *s, size_t i, struct err *err)
{
	struct store_segment address;
	struct store_commit commit;
	char name[PLAYLIST_NAME_MAX];
	int dir_fd = e->renditions[i / s->plan.n_segments].fd, fd, ret;

	dispatch_address(s, i, &address);
	playlist_segment_name(&s->plan, i, name);
	ret = store_get_commit(e->store, &address, &commit, err);
	if (ret <= 0) /* said twice to be made, and deleted after the first time */
		return ret == 0 && e->sizes[i] >= 0 ? 1 : ret;
	fd = begin_file(dir_fd);
	if (fd < 0)
		return complain(e, name, err);
	ret = copy_pieces(e, &address, &commit, fd, name, err);
	ret = end_file(e, dir_fd, fd, name, ret, err);
	if (ret <= 0)
		return ret;
	if (e->sizes[i] < 0)
		e->n_written++;
	e->sizes[i] = commit.bytes;
	/* left there, it does no harm */
	if (e->is_only_reader && store_delete_segment(e->store, &address, commit.pieces, err) < 0)
		log_debug("written segment stays in the store", "reason=\"%s\"", err->msg);
	return 1;
}

static int open_directory(const struct export *e, int at, const char *name, bool *has_made, struct err *err)
{
	int fd;

	*has_made = mkdirat(at, name, 0755) == 0;
	if (!*has_made && errno != EEXIST)
		return err_set(err, ERR_USAGE, "cannot make the directory %.300s: %s",
			       at == AT_FDCWD ? name : e->dir, strerror(errno));
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_USAGE, "cannot open the directory %.300s: %s",
			       at == AT_FDCWD ? name : e->dir, strerror(errno));
	return fd;
}

int export_open(struct export *e, const char *dir, struct err *err)
{
	int ret, fd;

	memset(e, 0, sizeof(*e));
	e->dir = dir;
	ret = e->dir_fd = open_directory(e, AT_FDCWD, dir, &e->has_made_dir, err);
	if (ret >= 0) {
		fd = begin_file(e->dir_fd);
		ret = fd < 0 ? complain(e, PLAYLIST_MASTER, err) : end_file(e, e->dir_fd, fd, "", 0, err);
	}
	if (ret < 0)
		export_close(e);
	return ret < 0 ? ret : 0;
}

/* Directories that we have made go when nothing came into them: rmdir refuses the others. */
static void close_renditions(struct export *e)
{
	for (int i = 0; i < e->n_renditions; i++) {
		if (e->renditions[i].has_made)
			unlinkat(e->dir_fd, e->renditions[i].name, AT_REMOVEDIR);
		if (e->renditions[i].fd >= 0)
			close(e->renditions[i].fd);
	}
	free(e->renditions);
	e->renditions = NULL;
	e->n_renditions = 0;
}

void export_close(struct export *e)
{
	close_renditions(e);
	if (e->has_made_dir)
		rmdir(e->dir);
	if (e->dir_fd >= 0)
		close(e->dir_fd);
	store_close(e->store);
	free(e->pending);
	free(e->sizes);
	memset(e, 0, sizeof(*e));
	e->dir_fd = -1;
}

void export_note(void *arg, struct dispatch_stream *stream, size_t segment)
{
	struct export *e = arg;
	size_t *grown;

	(void)stream;
	if (e->n_pending == e->cap) {
		grown = realloc(e->pending, (e->cap * 2 + 64) * sizeof(*grown));
		if (!grown) {
			e->is_out_of_memory = true;
			return;
		}
		e->pending = grown;
		e->cap = e->cap * 2 + 64;
	}
	e->pending[e->n_pending++] = segment;
}

/* Playlists of an earlier run would soon speak of segments that are not theirs. */
static void remove_playlists(const struct export *e)
{
	unlinkat(e->dir_fd, PLAYLIST_MASTER, 0);
	unlinkat(e->dir_fd, MPD_NAME, 0);
	for (int i = 0; i < e->n_renditions; i++)
		unlinkat(e->renditions[i].fd, PLAYLIST_MEDIA, 0);
}

static int open_renditions(struct export *e, const struct plan *plan, struct err *err)
{
	int n = (int)plan_renditions(plan);

	close_renditions(e);
	e->renditions = calloc((size_t)n, sizeof(*e->renditions));
	if (!e->renditions)
		return err_set(err, ERR_NOMEM, "out of memory");
	while (e->n_renditions < n) {
		struct export_rendition *r = &e->renditions[e->n_renditions];

		snprintf(r->name, sizeof(r->name), "%s", plan_rendition(plan, (size_t)e->n_renditions * plan->n_segments));
		r->fd = open_directory(e, e->dir_fd, r->name, &r->has_made, err);
		e->n_renditions++;
		if (r->fd < 0)
			return err->code;
	}
	return 0;
}

static int prepare(struct export *e, const struct dispatch_stream *s, const char *redis_url, struct err *err)
{
	if (!e->store && store_open(&e->store, redis_url, STORE_WAIT_MS, err) < 0)
		return err->code;
	if (e->n_segments != plan_count(&s->plan)) {
		int64_t *grown = realloc(e->sizes, plan_count(&s->plan) * sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_NOMEM, "out of memory");
		for (size_t i = 0; i < plan_count(&s->plan); i++)
			grown[i] = -1;
		e->sizes = grown;
		if (open_renditions(e, &s->plan, err) < 0)
			return err->code;
		remove_playlists(e);
		e->n_segments = plan_count(&s->plan);
		e->n_written = 0;
	}
	return 0;
}

int export_work(struct export *e, struct dispatch *d, struct dispatch_stream *stream, const char *redis_url,
		struct err *err)
{
	int ret = e->is_out_of_memory ? err_set(err, ERR_NOMEM, "out of memory") : 0;

	if (!e->n_pending && ret >= 0)
		return 0;
	if (ret >= 0)
		ret = prepare(e, stream, redis_url, err);
	for (int n = 0; n < SEGMENTS_PER_TURN && e->n_pending && ret >= 0; n++) {
		size_t i = e->pending[e->n_pending - 1];

		ret = i < e->n_segments ? write_segment(e, stream, i, err) : 1;
		if (ret < 0)
			break;
		e->n_pending--;
		if (ret == 0)
			dispatch_remake(d, stream, i);
	}
	if (ret == ERR_RETRY)
		return 0;
	return ret < 0 ? ret : e->n_pending > 0;
}

bool export_has_all(const struct export *e, const struct dispatch_stream *stream)
{
	return stream->has_plan && e->n_segments == plan_count(&stream->plan) &&
	       e->n_written + stream->n_quarantined == e->n_segments;
}

static int write_init(struct export *e, const struct dispatch_stream *stream, const struct export_rendition *r, struct err *err)
{
	char which[RECORD_RENDITION_MAX + 6];
	struct buf init = { 0 };
	int ret;

	snprintf(which, sizeof(which), "init:%s", r->name);
	ret = store_get_value(e->store, stream->key, which, &init, err);
	if (ret == 0)
		ret = err_set(err, ERR_RETRY, "the init segment is not in the store");
	if (ret > 0)
		ret = write_file(e, r->fd, PLAYLIST_INIT, &init, err);
	buf_finish(&init);
	return ret;
}

static int end_rendition(struct export *e, const struct dispatch_stream *stream, int rendition, const uint8_t *gaps, struct err *err)
{
	const struct export_rendition *r = &e->renditions[rendition];
	size_t first = (size_t)rendition * stream->plan.n_segments;
	struct buf media = { 0 };
	int ret = plan_is_text(&stream->plan, first) ? 1 : write_init(e, stream, r, err);

	playlist_put_media(&stream->plan, first, gaps, &media);
	if (ret > 0)
		ret = write_file(e, r->fd, PLAYLIST_MEDIA, &media, err);
	buf_finish(&media);
	return ret;
}

int export_end(struct export *e, const struct dispatch_stream *stream, struct err *err)
{
	struct buf master = { 0 }, mpd = { 0 };
	uint8_t *gaps = dispatch_gaps(stream);
	int ret = 1;

	for (int i = 0; i < e->n_renditions && ret > 0; i++)
		ret = end_rendition(e, stream, i, gaps, err);
	free(gaps);
	/* an MPD has no gaps: players of DASH would end at a file that is not there */
	mpd_put(&stream->plan, e->sizes, MPD_LIST, &mpd);
	if (ret > 0 && e->n_written == e->n_segments)
		ret = write_file(e, e->dir_fd, MPD_NAME, &mpd, err);
	buf_finish(&mpd);
	playlist_put_master(&stream->plan, e->sizes, &master);
	if (ret > 0)
		ret = write_file(e, e->dir_fd, PLAYLIST_MASTER, &master, err);
	buf_finish(&master);
	return ret < 0 ? ret : 0;
}
