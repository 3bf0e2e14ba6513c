/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The video stage: packets of one source track in, H.264 samples out (libavcodec, libavfilter, libx264).
 *
 * The frames shown in [start, end) are encoded, each once and at its own time: varying frame rates stay as they are. Reading begins
 * at an earlier sync sample, what is shown before `start` is thrown away; reading goes on to the first frame beyond `end`, so that
 * the encoder spends its bits on the last frames as it would in one continuous encode. Everything made is a function of the
 * source's bytes, struct record_encode, struct video_options, start and end alone, on one thread (of another encoder than
 * libx264: as far as that is so); SPS and PPS are one of params and options, so that one init segment serves every segment. An
 * encoder that fails is replaced by libx264 on the spot, whose SPS and PPS are there too.
 *
 * Times are ticks of 1/90000 s. Colour code points are those of ITU-T H.273, 2: unspecified.
 */
#ifndef SEGFARM_WORKER_VIDEO_H
#define SEGFARM_WORKER_VIDEO_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"
#include "worker/nal.h"

#include <stdbool.h>
#include <stdint.h>

struct AVCodecParameters;

#define VIDEO_TIME_NONE INT64_MIN /* a time that is not known */
#define VIDEO_OPEN_END INT64_MAX  /* an end that is not known */
#define VIDEO_SIDE_MAX 16384      /* samples, width and height, of source and output */
#define VIDEO_PIXELS_MAX (8192 * 4608) /* of a picture, source and output */

/* What the container says of the track; borrowed, has to live as long as what is made for it. */
struct video_source {
	const struct AVCodecParameters *par; /* for the decoder; always there */
	int rotation;                 /* degrees to turn clockwise before showing; multiples of 90, may be negative */
	int primaries, transfer, matrix; /* where the bitstream says nothing; 0 and 2: unspecified */
	int range;                    /* the same: 0 unspecified, 1 limited, 2 full */
	int sar_num, sar_den;         /* sample aspect ratio before turning; 0: what the bitstream says, or square */
	bool is_strict;               /* what is broken is left out, and nothing of it made up */
	int64_t rate_num, rate_den;   /* frames per second; 0: unknown, measured on the first packets */
	int max_cll, max_luminance;   /* cd/m2, MaxCLL and of the mastering display; 0: what the bitstream says */
};

/* pts or dts may be VIDEO_TIME_NONE; duration 0: unknown. data lives during the call. */
struct video_packet {
	int64_t pts, dts, duration;
	bool is_hidden; /* decoded, but not shown (edit lists) */
	struct bytes data;
};

/* Options that change the output. */
struct video_options {
	int crf_milli;        /* constant rate factor in thousandths: 0 to 51000 */
	int preset;           /* index into x264's names: 0 ultrafast, 1 superfast, 2 veryfast ... 9 placebo */
	int max_kbits;        /* VBV: kbit/s, the buffer holds two seconds of it; 0: by picture size and rate */
	int max_height;       /* larger pictures, as shown, are scaled down to it; 0: never */
	/* an IDR picture at least so often, counted from `start`; 0: at `start`, and where the encoder finds it good */
	int64_t keyint_ticks;
	char encoder[RECORD_ENCODER_SIZE]; /* for video_facts_init: as in struct record_options */
};
#define VIDEO_PRESETS 10
void video_options_init(struct video_options *o); /* crf 23, veryfast, libx264, the rest 0 */

struct video_facts {
	struct record_encode params; /* all but lead_ticks */
	struct nal_config nal;    /* of the output: avcC record, codecs, and sps.reorder: frames of composition delay; owned */
	bool is_interlaced;       /* a field-coded picture was seen among the first: it will be deinterlaced */
};
/* first: packets of the track in file order from a sync sample on, of some 20 frames or more (as many as the source's reorder depth
 * at least; some may be broken). ERR_UNSUPPORTED names the codec; ERR_DATA: no picture in them; ERR_LIMIT. */
int video_facts_init(struct video_facts *f, const struct video_source *source, const struct video_options *options,
		     const struct video_packet *first, int n_first, struct err *err);
void video_facts_finish(struct video_facts *f);

/* One sample, in decoding order: NAL units with 4-byte lengths, slices and nothing else. data lives during the call. The
 * decoding times are the receiver's. Returns 0 or an enum err_code with err filled, which ends the stage. */
typedef int video_stage_fn(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err);

struct video_stage;
/* To make the frames shown in [start, end), start < end. The first sample given is IDR, and the GOPs are closed. */
int video_stage_create(struct video_stage **s, const struct video_source *source, const struct record_encode *params,
		       const struct video_options *options, int64_t start, int64_t end, video_stage_fn *fn, void *arg,
		       struct err *err);
void video_stage_destroy(struct video_stage *s);
/* Every packet of the track in file order, from a sync sample on that is shown at or before `start` (of interlaced source: two
 * frames before; else the first frame is deinterlaced without the one in front of it). 1: everything wanted is made, no more is
 * needed; 0: go on; < 0: an error. A packet that cannot be decoded is counted, and no error. */
int video_stage_push(struct video_stage *s, const struct video_packet *packet, struct err *err);
/* The source is at its end: what is left in decoder, filters and encoder is given. 0 or < 0. */
int video_stage_finish(struct video_stage *s, struct err *err);
int64_t video_stage_broken_packets(const struct video_stage *s);

#endif
