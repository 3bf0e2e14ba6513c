/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The packets of a Matroska file as our demuxer gives them and as libavformat's does, and where the two differ.
 */
#ifndef SEGFARM_TESTS_WORKER_PACKETS_H
#define SEGFARM_TESTS_WORKER_PACKETS_H

#include "common/buf.h"
#include "common/err.h"
#include "worker/mkv.h"

#include <stdbool.h>
#include <stdint.h>

#define PACKETS_TIME_NONE INT64_MIN

struct packet {
	int track;        /* index in order of the TrackEntries */
	int64_t start;    /* ours: offset of the block's element; libavformat's: somewhere in it */
	int64_t end;      /* ours: behind that element */
	int64_t cluster;  /* ours */
	int lace;         /* index in its block */
	int64_t time_ns;  /* less CodecDelay; PACKETS_TIME_NONE */
	int64_t duration_ns;
	size_t size;
	uint64_t hash;    /* of the bytes, with compression undone */
	bool is_key;
};

struct packets {
	struct packet *list;
	size_t n;
	int n_tracks;
	int64_t damaged; /* bytes, ours only */
	struct err err;  /* code 0: the file could be opened */
	/* ours only */
	struct track *tracks; /* views in it are dead */
	int64_t scale_ns;
};

/* A plain file to begin with, made by ffmpeg: 6 s of H.264 with B-frames and a sync sample every second, AC-3, Opus. */
const char *packets_base(void);
#define PACKETS_BASE "\"$M/packets_base.mkv\"" /* in a recipe */

void packets_ours(struct packets *p, struct bytes file);
void packets_piped(struct packets *p, struct bytes file); /* ours, forward only, in small reads */
void packets_libav(struct packets *p, struct bytes file);
void packets_finish(struct packets *p);

/* Of two of ours: how many they begin with that are the same. */
size_t packets_same(const struct packets *a, const struct packets *b);

/* What one packet may have that the other has not. The first ones are explained where they are found, each by its own
 * arithmetic and not by its name; from PACKETS_TIME on they are not. */
enum packets_difference {
	PACKETS_LACE_KEY,   /* a laced frame after the first of a key block: key only by us */
	PACKETS_LACE_TIME,  /* the same without any duration: libavformat gives it no time, we the block's */
	PACKETS_LACE_STEP,  /* the same: steps of libavformat are cut to whole units, by less than two */
	PACKETS_DELAY,      /* CodecDelay rounded to units by libavformat */
	PACKETS_NEGATIVE,   /* a negative time: libavformat gives none */
	PACKETS_SUBTITLE,   /* a subtitle that begins before the last one ends: libavformat says no key */
	PACKETS_TIME, PACKETS_SIZE, PACKETS_BYTES, PACKETS_KEY,
	PACKETS_ONLY_OURS, PACKETS_ONLY_LIBAV,
	PACKETS_TRACKS,     /* another number of tracks */
	PACKETS_OPEN,       /* one cannot open the file */
	PACKETS_DIFFERENCES
};
const char *packets_difference_name(enum packets_difference d);

struct packets_report {
	size_t count[PACKETS_DIFFERENCES];
	char first[PACKETS_DIFFERENCES][120]; /* the first of each, in words */
};

void packets_compare(const struct packets *ours, const struct packets *libav, struct packets_report *report);

#endif
