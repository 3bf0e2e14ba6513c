/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Title: what the head of a file and the first frames of the tracks that are played say: which tracks, their codecs, where
 * timeline 0 lies. Every pipeline begins with it.
 */
#ifndef SEGFARM_WORKER_TITLE_H
#define SEGFARM_WORKER_TITLE_H

#include "common/record.h"
#include "worker/audio.h"
#include "worker/demux.h"
#include "worker/nal.h"

#define TITLE_FIRST_PACKETS 16 /* audio packets looked at to know the stream */
#define TITLE_FIRST_FRAMES 66 /* video frames: every rounding that a grid of 60000/1001 has */

/* An audio track that is played. */
struct title_audio {
	const struct track *track;
	struct audio_facts facts;
	struct record_audio record; /* all but frames and source_end */
	/* internal: the first packets */
	bool has_facts;
	bool is_shown;              /* a packet was there that an edit list does not leave out */
	bool has_skip;              /* a packet said so, to the sample */
	int64_t skip;               /* samples that the container says to throw away at the start */
	int64_t origin_ns;          /* of the first packet */
	int64_t first_ns;           /* of the first one that decodes to samples */
	struct buf first[TITLE_FIRST_PACKETS];
	int n_first;
};

struct title {
	struct demux *demux;
	const struct track *video;  /* NULL: none is played */
	struct title_audio *audios; /* in the order of the file, but for title_init only one */
	int n_audios;
	struct title_audio *audio;  /* of them the one that is heard where nobody chooses; NULL: there is none */
	bool is_video_copied;       /* else it is encoded */
	enum nal_codec codec;       /* of video that is copied */
	struct nal_config nal;      /* with video: of what comes out */
	/* the file's time that is timeline 0: where the earlier of the tracks begins; the video, if is_entered */
	int64_t origin_ns;
	/* in the middle of a GOP, as a recording or a live stream: nothing is heard before the first picture */
	bool is_entered;
	struct record_video record_video; /* all but start, end and delay */
	struct record_audio record_audio; /* of `audio` */
	int64_t times_ns[TITLE_FIRST_FRAMES]; /* of the first video frames from a sync sample on, as written */
	int n_times;
	/* internal: the first frames */
	bool has_video, has_nal, may_copy_video;
	struct title_packet {
		struct buf data;
		int64_t pts, dts, duration; /* as in struct video_packet, on the file's timeline */
		bool is_hidden;
	} packets[TITLE_FIRST_FRAMES]; /* of video that may have to be encoded, from the first sync sample on */
	int n_packets;
	size_t packet_bytes;
	struct buf scratch;
};

/* Reads the first frames of demux, which must outlive it, from its beginning; a track that has none is left out. ERR_UNSUPPORTED
 * names what cannot be played, ERR_DATA: there is nothing to play. After an error it is finished. */
int title_init(struct title *t, struct demux *demux, const struct record_options *options, struct err *err);
/* With all audio tracks that can be played, where none of them is asked for. */
int title_init_all(struct title *t, struct demux *demux, const struct record_options *options, struct err *err);
void title_finish(struct title *t);

/* The file's time at which the first video frame is shown. */
int64_t title_first_video_ns(const struct title *t);
/* Of a video frame, ticks: what its block says, else what its track says, else the gap to the frame before, else a guess;
 * 0: that is not known. On the grid of the frame rate, where there is one. > 0. */
int64_t title_frame_duration(const struct title *t, int64_t said, int64_t gap);

/* title_head.c, for title.c. */
int title_pick_tracks(struct title *t, const struct record_options *options, bool is_all, struct err *err);
int title_read_head(struct title *t, struct err *err);
/* Leaves out audio i. */
void title_drop_audio(struct title *t, int i);
struct title_audio *title_find_audio(const struct title *t, uint64_t track); /* NULL: it is not played */

/* The init segment of a title whose records are complete, in `video` and `audio` (one of `audios`). Appends to out. */
int title_put_init(const struct title *t, const struct record_video *video, const struct record_audio *audio, struct buf *out,
		   struct err *err);

#endif
