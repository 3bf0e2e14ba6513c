/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The continuous pipeline (stream_transcode_fmp4): one fMP4 stream from a source of any length, init segment first, then
 * fragments of about two seconds as they are complete. Memory is bounded by one fragment and what the codecs keep.
 */
#ifndef SEGFARM_WORKER_TRANSCODE_H
#define SEGFARM_WORKER_TRANSCODE_H

#include "common/record.h"
#include "worker/demux.h"

#include <sys/uio.h>

struct transcode_request {
	struct record_options options;
	int64_t start_ticks; /* >= 0; the stream begins at the last sync sample at or before it (forward-only: the first one at or
				behind it), both tracks in one place */
	int64_t max_ticks;   /* INT64_MAX: to the end; else > 0, from where it begins */
};

/* Where the stream goes. */
struct transcode_out {
	/* Init segment or one fragment, whole; waits until it is taken. iov may be altered. */
	int (*put)(void *arg, struct iovec *iov, int n, struct err *err);
	/* Called now and then: ERR_STOPPED ends it. */
	int (*tick)(void *arg, struct err *err);
	void *arg;
};

struct transcode_stats {
	int64_t video_frames, audio_frames, fragments, bytes; /* put */
	int64_t broken_video, broken_audio, damaged_bytes;    /* left out */
};

/* demux is just opened. 0 at the end of the source or of max_ticks. After an error, what was put is a beginning that plays. */
int transcode_run(struct demux *demux, const struct transcode_request *request, const struct transcode_out *out,
		  struct transcode_stats *stats, struct err *err);

#endif
