/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Audio feed: frames of the demuxer -> their places on the timeline -> the audio stage.
 */
#ifndef SEGFARM_WORKER_AUDIO_FEED_H
#define SEGFARM_WORKER_AUDIO_FEED_H

#include "worker/audio.h"
#include "worker/demux.h"

struct audio_feed {
	struct demux *demux;
	const struct record_audio *audio;
	int64_t origin_ns;
	struct audio_ruler *ruler;
	struct audio_clock clock;
	struct audio_stage *stage;
	struct buf unpacked;
	int64_t source_end; /* largest end of the packets that were fed, source samples */
	/* the packet in hand */
	struct bytes packet;
	int64_t pos, until;
};

/* first_pos: source position of the first packet that will be fed. The rest as in audio_stage_create. After an error it is
 * finished. */
int audio_feed_init(struct audio_feed *f, struct demux *demux, const struct record_audio *audio, int64_t origin_ns,
		    const struct record_options *options, int64_t first_pos, int64_t first, int64_t end, audio_stage_fn *fn,
		    void *arg, struct err *err);
void audio_feed_finish(struct audio_feed *f);

/* Places a frame of the track: 1; 0: it is broken, and nothing is in hand. Every frame of the track has to be placed. */
int audio_feed_place(struct audio_feed *f, const struct frame *frame, struct err *err);
/* Gives the frame in hand to the stage; 1: everything wanted is made. */
int audio_feed_push(struct audio_feed *f, struct err *err);

#endif
