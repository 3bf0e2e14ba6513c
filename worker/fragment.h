/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fragments: the room between the stages and the file that is written. Samples wait here until somebody decides where a fragment
 * ends; then they go out as a moof and views of their bytes. Payload is copied only where it has no other place to live
 * (unpacked, converted or encoded frames, and all of a source that is not mapped).
 */
#ifndef SEGFARM_WORKER_FRAGMENT_H
#define SEGFARM_WORKER_FRAGMENT_H

#include "common/record.h"
#include "worker/fmp4.h"
#include "worker/demux.h"
#include "worker/nal.h"

#include <sys/uio.h>

/* A sample's bytes: in the mapping, or (data NULL) at an offset of a buffer that may still move. */
struct fragment_sample {
	struct bytes data;
	size_t at;
	bool is_sync;
	int64_t samples; /* audio: that it decodes to */
};

struct fragments {
	const struct record_video *video;
	const struct record_audio *audio;
	/* video samples in decode order */
	struct fragment_sample *samples;
	int64_t *pts;        /* ticks */
	int64_t *dts;        /* the caller's to fill: [n_video + 1], the last one is where the last sample ends */
	size_t n_video, cap_video;
	struct buf video_bytes, unpacked;
	int64_t broken;      /* video frames that could not be read and were left out */
	/* audio frames of the grid; empty where no packet begins */
	struct fragment_sample *frames;
	int64_t n_audio, cap_audio;
	int64_t audio_first; /* number of frames[0] on the grid */
	struct buf audio_bytes;
	/* output */
	struct fmp4_sample *out;
	struct iovec *iov;
	size_t cap_out;
	int n_iov;
	struct buf head;
};

/* The records must outlive it. audio_first: number of the first audio frame that will come. */
void fragments_init(struct fragments *f, const struct record_video *video, const struct record_audio *audio, int64_t audio_first);
void fragments_finish(struct fragments *f);

/* Appends a frame of the video track, shown at pts. 1: done; 0: there is no picture in it, it is left out. is_first: it is where
 * decoding starts. ERR_LIMIT, ERR_NOMEM. */
int fragments_add_video(struct fragments *f, struct demux *demux, const struct nal_config *nal, const struct frame *frame,
			int64_t pts, bool is_first, struct err *err);
/* Appends an encoded sample, shown at pts. ERR_LIMIT, ERR_NOMEM. */
int fragments_add_sample(struct fragments *f, int64_t pts, bool is_sync, struct bytes data, struct err *err);
/* An audio_stage_fn; arg: a struct fragments. ERR_LIMIT, ERR_NOMEM. */
int fragments_add_audio(void *arg, int64_t n, int64_t samples, struct bytes data, struct err *err);

/* How many of the audio frames start before a time. */
int64_t fragments_audio_until(const struct fragments *f, int64_t ticks);

/* Audio frames [from, to), counted from the first that is here, as a run. samples: room for to - from. Copied packets may
 * be longer than a frame of the grid (Opus: 2.5 ms), and where some are missing in a codec for which silence cannot be made
 * here, the one before lasts until the next that is here: a player is silent there. At the start such a hole moves the
 * decode time. */
void fragments_audio_run(const struct fragments *f, int64_t from, int64_t to, struct fmp4_sample *samples, struct fmp4_run *run);

/* One fragment more, of video [v0, v1) and audio [a0, a1), counted from the first that is here, goes into iov, behind what
 * is there already and what the caller has put into head before the first. Valid until the next fragments_drop. None where
 * all is empty. */
int fragments_put(struct fragments *f, uint32_t sequence, size_t v0, size_t v1, int64_t a0, int64_t a1, struct err *err);
/* Everything that was put, in order. iov may be altered by whoever sends it. */
struct iovec *fragments_iov(struct fragments *f, int *n);
/* Forgets what was put, and the first samples. */
void fragments_drop(struct fragments *f, size_t n_video, int64_t n_audio);

#endif
