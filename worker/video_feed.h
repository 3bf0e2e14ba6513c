/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Video feed: frames of the demuxer -> their times on the timeline -> the video stage.
 */
#ifndef SEGFARM_WORKER_VIDEO_FEED_H
#define SEGFARM_WORKER_VIDEO_FEED_H

#include "worker/demux.h"
#include "worker/video.h"

/* What the stage has to know of a track; source->par is owned. */
int video_feed_source(struct video_source *source, const struct track *track, struct err *err);
void video_feed_source_finish(struct video_source *source);
void video_feed_options(struct video_options *video, const struct record_options *options);

struct video_feed {
	struct demux *demux;
	const struct record_video *video;
	int64_t origin_ns;
	struct video_source source;
	struct video_stage *stage;
	struct buf unpacked;
	bool is_begun; /* with a sync sample */
	int64_t broken;
};

/* is_strict: broken frames are left out, and nothing of them made up. start to arg as in video_stage_create. After an error it is finished. */
int video_feed_init(struct video_feed *f, struct demux *demux, const struct record_video *video, int64_t origin_ns,
		    const struct record_options *options, bool is_strict, int64_t start, int64_t end, video_stage_fn *fn, void *arg,
		    struct err *err);
void video_feed_finish(struct video_feed *f);
/* A frame of the track, the first ones up to a sync sample are passed over. Returns as video_stage_push. */
int video_feed_push(struct video_feed *f, const struct frame *frame, struct err *err);
int64_t video_feed_broken(const struct video_feed *f);

#endif
