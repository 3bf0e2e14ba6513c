/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Demux: frames of a source in file order, whoever reads the container. Matroska is read by our own demuxer (mkv.h), everything
 * else by libavformat (demux_av.c); the pipelines do not see which.
 *
 * A demuxer stands at one place and moves on from there. Places are its own (a byte offset, or a time): what it said of a frame is
 * what it takes back, in any process that opens the same source.
 */
#ifndef SEGFARM_WORKER_DEMUX_H
#define SEGFARM_WORKER_DEMUX_H

#include "common/buf.h"
#include "common/err.h"
#include "worker/input.h"
#include "worker/shift.h"
#include "worker/track.h"

struct demux;
struct demux_class {
	int (*seek)(struct demux *d, int64_t place, struct err *err);
	int (*next)(struct demux *d, struct frame *frame, struct err *err);
	int (*data)(struct demux *d, const struct frame *frame, struct buf *scratch, struct bytes *out, struct err *err);
	int (*read_cues)(struct demux *d, struct err *err); /* NULL: it has none */
	void (*close)(struct demux *d);
};

struct demux {
	const struct demux_class *class;
	struct input *in;
	const struct track *tracks;
	int n_tracks;
	bool is_stable;        /* views of frames' bytes live as long as the demuxer */
	int64_t first;         /* the place where the first frames are */
	int64_t damaged_bytes; /* passed over since the latest seek, looking for where it goes on */
	struct shift *shift;   /* of times that may jump; NULL: what the container says is believed */
	const struct cue *cues; /* by demux_read_cues; sorted by (track, place, time) */
	size_t n_cues;
};

/* in must outlive it. ERR_DATA: no container that is known, or a broken one; ERR_LIMIT, ERR_UNSUPPORTED, ERR_NOMEM; what the input
 * says. */
int demux_open(struct demux **d, struct input *in, struct err *err);
void demux_close(struct demux *d); /* NULL is fine */

/* In front of the first frame at a place. A forward-only input goes back to `first` as long as the second demux_seek: who reads the
 * head, then reads on. */
int demux_seek(struct demux *d, int64_t place, struct err *err);
/* 1 and the next frame of any track; 0 at the end, be it a broken one. Damage is passed over. Fails only where the input does. */
int demux_next(struct demux *d, struct frame *frame, struct err *err);
/* The bytes of the frame that came last. *out is a view that lives as long as the demuxer where that is_stable, else it lives
 * until the next call of demux_next or of the next use of scratch. ERR_DATA: broken, or gone; ERR_LIMIT: too large; ERR_NOMEM. */
int demux_data(struct demux *d, const struct frame *frame, struct buf *scratch, struct bytes *out, struct err *err);
/* Reads the index of sync samples, if there is one that says which place is where. */
int demux_read_cues(struct demux *d, struct err *err);

/* What was found of times that jump by who has read the whole source, frame by frame, belongs to those who read a part of it. */
int demux_get_shifts(const struct demux *d, struct record_shifts *shifts, struct err *err); /* ERR_LIMIT: too many */
void demux_set_shifts(struct demux *d, const struct record_shifts *shifts);

const struct track *demux_track(const struct demux *d, uint64_t number); /* NULL: no such */

/* The two of them: demux_mkv.c, demux_av.c. */
int demux_open_mkv(struct demux **d, struct input *in, struct err *err);
int demux_open_av(struct demux **d, struct input *in, struct err *err);

#endif
