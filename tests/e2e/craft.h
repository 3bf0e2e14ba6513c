/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Matroska files in shapes that no muxer at hand writes: the frames of a plain file, put into another one.
 */
#ifndef SEGFARM_TESTS_E2E_CRAFT_H
#define SEGFARM_TESTS_E2E_CRAFT_H

#include "common/buf.h"
#include "worker/mkv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the flags of a block. */
enum craft_lacing { CRAFT_LACING_NONE = 0, CRAFT_LACING_XIPH = 2, CRAFT_LACING_FIXED = 4, CRAFT_LACING_EBML = 6 };

struct craft {
	/* Appends the frame as it shall be stored; NULL: as it is. */
	void (*put_frame)(struct buf *out, const struct mkv_track *t, struct bytes frame);
	/* Appends the track's CodecPrivate as it shall be stored; NULL: as it is. */
	void (*put_private)(struct buf *out, const struct mkv_track *t);
	/* Appends more children of the TrackEntry; NULL: none. */
	void (*put_track)(struct buf *out, const struct mkv_track *t);
	enum craft_lacing lacing;  /* of the audio, */
	int lace;                  /* that many frames in a block */
	bool has_default_duration; /* of the audio */
	bool has_crc;              /* CRC-32 first in Info, Tracks and every Cluster */
	bool has_far_tracks;       /* behind Clusters of unknown size; a second SeekHead behind them leads there */
	size_t junk;               /* bytes of junk between two Clusters, from the third on */
};

/* Writes the frames of the file `from` (no compression, no lacing) to `to`, a cluster for a cluster. */
void craft_file(const char *from, const char *to, const struct craft *c);

/* The whole file; to be finished with buf_finish. */
void craft_load(struct buf *out, const char *path);
void craft_save(const char *path, struct bytes data);
/* Overwrites with what looks like nothing, the same each time. */
void craft_spoil(uint8_t *data, size_t n);

#endif
