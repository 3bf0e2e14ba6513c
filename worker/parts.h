/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Parts: what a playlist (HLS) may open, and how. One read from a server opens URLs of that server only, and follows no redirect;
 * one that is a file opens regular files beneath its own directory only, through no symbolic link. Nothing else is opened, and
 * what is asked for against the rule ends it all.
 */
#ifndef SEGFARM_WORKER_PARTS_H
#define SEGFARM_WORKER_PARTS_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_PLAYLIST_BYTES (8 << 20)
#define LIMIT_PLAYLIST_LINES 200000
#define LIMIT_PLAYLISTS 256 /* that are named by others, as long as it lasts */
#define LIMIT_PARTS_OPEN 64 /* at once */
#define LIMIT_URL 2048

struct AVIOContext;
struct AVDictionary;

struct parts {
	char base[LIMIT_URL];  /* names in the playlist are relative to it: its URL, or of a file / and its name */
	const char *servers;   /* of other servers than the playlist's: "https://host[:port]", separated by commas; NULL: none */
	int dir;               /* of a playlist that is a file; -1: it is not */
	int timeout_s;         /* how long nothing may come */
	int (*is_stopped)(void *arg); /* the caller's: whether to go on waiting */
	void *arg;
	/* state */
	int n_open, n_idle;    /* open; opened since the latest byte of media came */
	int n_named;           /* playlists, by others */
	int64_t waiting_ms;    /* since when nothing has come */
	int64_t n_lost;        /* parts that could not be read */
	struct err lost;       /* the first of them */
	struct err err;        /* code 0: goes on; else why it is over */
};

/* Is it a list as struct parts takes it? */
bool parts_are_servers(const char *list);
/* For a playlist at a URL: the one that answered after redirects. ERR_LIMIT: too long. */
int parts_init_url(struct parts *p, const char *url, struct err *err);
/* For one that is a file. */
int parts_init_file(struct parts *p, const char *path, struct err *err);
void parts_finish(struct parts *p); /* also of one that is all 0 */

/* Opens one that the playlist names; options: libavformat's (offset, end_offset, key, iv). 0 or an AVERROR; parts_status may
 * tell more. */
int parts_open(struct parts *p, struct AVIOContext **io, const char *url, struct AVDictionary *options);
void parts_close(struct AVIOContext *io);
/* Is the text of a playlist within the limits? */
int parts_check(struct parts *p, struct bytes text, struct err *err);
/* The wait begins now. */
void parts_wait(struct parts *p);
/* AVIOInterruptCB: is it over? */
int parts_is_over(void *parts);
/* What has ended it; at the end of the source: what is missing of it. */
int parts_status(const struct parts *p, struct err *err);
int parts_end(const struct parts *p, struct err *err);

#endif
