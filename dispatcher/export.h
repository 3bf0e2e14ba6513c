/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Export: a stream as files that any static server can serve, named as over HTTP: master.m3u8, manifest.mpd where no segment is
 * missing, and for each rendition R R/index.m3u8, R/init.mp4, R/<start>-<duration>.m4s. Every file appears whole (temporary file, then rename); the playlists come last.
 */
#ifndef SEGFARM_DISPATCHER_EXPORT_H
#define SEGFARM_DISPATCHER_EXPORT_H

#include "dispatcher/dispatch.h"

struct export_rendition {
	int fd;
	bool has_made;
	char name[RECORD_RENDITION_MAX + 1];
};

struct export {
	int dir_fd;
	struct export_rendition *renditions; /* of the plan */
	int n_renditions;
	const char *dir;
	struct store *store;
	size_t *pending; /* made, not written yet */
	size_t n_pending, cap;
	int64_t *sizes;  /* of what is written, -1 not yet: the store may lose what we have, and forget its size */
	size_t n_segments, n_written; /* of all renditions */
	bool has_made_dir;
	bool is_only_reader; /* what is written may leave the store: else that holds the whole title at the end */
	bool is_out_of_memory;
};

/* Makes the directory and tries to write there: ERR_USAGE when that does not work. dir is kept by pointer. */
int export_open(struct export *e, const char *dir, struct err *err);
void export_close(struct export *e);
/* A dispatch.on_made, arg: the struct export. */
void export_note(void *arg, struct dispatch_stream *stream, size_t segment);
/* Writes some of what is pending. 1: more is pending. < 0: the files cannot be written. */
int export_work(struct export *e, struct dispatch *d, struct dispatch_stream *stream, const char *redis_url,
		struct err *err);
bool export_has_all(const struct export *e, const struct dispatch_stream *stream);
/* Init and playlists; ERR_RETRY: the store is down, call again. */
int export_end(struct export *e, const struct dispatch_stream *stream, struct err *err);

#endif
