/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records: what dispatcher and workers tell each other about a title, as C structs and as JSON.
 * x_put and x_get stand next to each other in record.c, same field order. Every get checks types,
 * ranges and lengths strictly (the other side is not trusted) and leaves nothing allocated on error.
 * jansson is used in json.c, record.c and msg.c only.
 *
 *   probe job -> struct index (facts of the source) -> struct plan (every cut) -> segment jobs
 */
#ifndef SEGFARM_COMMON_RECORD_H
#define SEGFARM_COMMON_RECORD_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_FORMAT 6           /* of index and plan; part of the plan's hash. What it decides, workers and dispatchers must agree on */
#define RECORD_KEY_SIZE 17        /* 16 hex digits and a NUL: stream keys, plan hashes */
#define RECORD_ENCODER_SIZE 32    /* a name of up to 31 bytes and a NUL */
#define RECORD_SET_ID_MAX 31      /* seq_parameter_set_id */
#define RECORD_PATH_MAX 4095      /* bytes of a source path */
#define RECORD_RENDITION_MAX 31   /* bytes of a rendition name, of RECORD_RENDITION_CHARS */
#define RECORD_RENDITION_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define RECORD_RATE_MIN 1000      /* Hz, of audio */
#define RECORD_RATE_MAX 768000
#define RECORD_SYNCS_MAX 1000000  /* sync samples of a title */
#define RECORD_SEGMENTS_MAX 1000000 /* of a plan, all renditions together */
#define RECORD_SLEEP_MAX_MS 10000 /* of a no-op job */
#define RECORD_JSON_MAX (256u << 20) /* bytes of a record as JSON */

/* Renditions. The main one is video and audio together, or the only one of them that there is; where audio tracks are renditions of
 * their own it is the video alone, and without video there is none. Before the others, audio then subtitles, it is the first. */
#define RECORD_RENDITION "main"
#define RECORD_VIDEO_RENDITION "video"
#define RECORD_AUDIO_RENDITION "audio" /* audio-1, audio-2, ... */
#define RECORD_TEXT_RENDITION "text"
#define RECORD_AUDIOS_MAX 32
#define RECORD_TEXTS_MAX 64
#define RECORD_TRACKS_MAX (RECORD_AUDIOS_MAX + RECORD_TEXTS_MAX)
#define RECORD_NAME_SIZE 128
void record_rendition(char rendition[RECORD_RENDITION_MAX + 1], const char *kind, int number);

/* Where the bytes come from, and which bytes they are: a changed file is another source. */
struct record_source {
	char path[RECORD_PATH_MAX + 1]; /* absolute, resolved; or a URL, http:// or https:// */
	int64_t size;                   /* bytes; 0 of a URL, which is taken to give the same bytes always */
	int64_t mtime_ns;               /* modification time since the epoch; 0 of a URL */
};
bool record_is_url(const char *path);

int record_source_put(const struct record_source *source, struct buf *json);
int record_source_get(struct bytes json, struct record_source *source, struct err *err);

enum record_audio_mode { RECORD_AUDIO_QUALITY, RECORD_AUDIO_BITRATE };

/* Options that change the output; all are part of the stream key. */
struct record_options {
	int64_t target_ticks;          /* segment duration aimed at: 0.5 s to 600 s in ticks */
	enum record_audio_mode audio_mode;
	int audio_quality;             /* AAC constant quality, thousandths of the encoder's q: 100 to 10000 */
	int audio_bitrate;             /* bit/s with RECORD_AUDIO_BITRATE: 16000 to 512000 */
	int audio_channels;            /* of encoded audio: 1, 2, or 6 */
	int64_t video_track;           /* the container's number; 0: the first that can be played */
	int64_t audio_track;           /* the same; 0: of audio_language, the one with the default flag, else the first */
	char audio_language[36];       /* RFC 5646 or ISO 639-2, in lower case; "": any */
	bool is_audio_copied;          /* whatever the container can hold; else AAC only, and the rest is encoded */
	bool is_audio_encoded;         /* AAC too */
	bool is_video_encoded;         /* what could be copied too */
	char encoded_codecs[64];       /* names of codecs that are encoded anew though they could be copied: "hevc,aac" */
	int video_crf;                 /* constant rate factor of encoded video, thousandths: 0 to 51000 */
	int video_preset;              /* x264's presets, 0 ultrafast to 9 placebo */
	int video_bitrate;             /* bit/s that encoded video stays below, over two seconds; 0: by picture size and rate */
	int video_height;              /* larger pictures are scaled down to it when they are encoded; 0: never */
	char video_encoder[RECORD_ENCODER_SIZE]; /* asked for: RECORD_SOFTWARE, RECORD_AUTO, or a name that libavcodec has */
};
#define RECORD_SOFTWARE "libx264"
#define RECORD_AUTO "auto"        /* a hardware encoder if one works, else RECORD_SOFTWARE */
#define RECORD_ENCODER_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_"
#define RECORD_PRESETS 10
#define RECORD_CODEC_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_,"
#define RECORD_TRACK_MAX INT32_MAX
#define RECORD_LANGUAGE_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define RECORD_TAG_CHARS RECORD_LANGUAGE_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
void record_options_init(struct record_options *o); /* the defaults */
int record_options_put(const struct record_options *o, struct buf *json);
int record_options_get(struct bytes json, struct record_options *o, struct err *err);

/* What encoded video is made like: found once, so that every segment is made with the same parameter sets. */
struct record_encode {
	int width, height;           /* even */
	int rotation;                /* that is applied: 0, 90, 180, 270 */
	int sar_num, sar_den;        /* sample aspect ratio in lowest terms, 1 to 65535 each; 1:1 square or not known */
	int64_t rate_num, rate_den;  /* frames per second, 1/10 to 300, for rate control and level only; 25/1 if unknown */
	int primaries, transfer, matrix; /* ITU-T H.273 */
	bool is_full_range;
	int hdr_peak;                /* HDR to SDR: the source's peak luminance, 100 to 10000 cd/m2; 0: not mapped */
	int64_t lag_ticks;           /* where the source does not say when frames are shown: from the first one's decode time until the decoder gives it */
	int64_t lead_ticks;          /* decoding begins with a sync sample that is shown so much before the first frame wanted */
	char encoder[RECORD_ENCODER_SIZE]; /* that works here: RECORD_SOFTWARE or libavcodec's name */
	char sets[RECORD_KEY_SIZE];  /* key_hash of the parameter sets that it must have; "" with RECORD_SOFTWARE */
	int software_id;             /* of libx264's parameter sets; not one of the encoder's */
};

struct record_video {
	bool is_present;
	bool is_copy;         /* samples pass through; else decoded and encoded to H.264 */
	int64_t track;        /* the container's track number */
	char codecs[32];      /* RFC 6381, e.g. avc1.640028 */
	char supplemental[32]; /* what else it is, and the brand of that: SUPPLEMENTAL-CODECS, e.g. dvh1.08.07/db4h; "": nothing */
	int width, height;    /* cropped, in samples: 1 to 16384 */
	int64_t rate_num, rate_den; /* frames per second; 0/0 unknown */
	int64_t grid_ns;        /* the file's time of one frame of the exact grid of that rate */
	int64_t grid_within_ns; /* frames whose written time is so near to the grid are on it; 0: there is no grid */
	char range[8];        /* VIDEO-RANGE: "SDR", "PQ", "HLG" */
	int64_t start_ticks;  /* presentation time of the first frame, >= 0 */
	int64_t end_ticks;    /* end of the last frame */
	int64_t delay_ticks;  /* D: composition delay that the init's edit list takes off again, >= 0 */
	int64_t bitrate;      /* bit/s as a guess for what is not made yet; 0: ids of samples are offsets in the file and tell it */
	struct record_encode encode; /* unless is_copy */
};

/* Positions are in samples from the timeline's origin; "source" positions at source_rate, output
 * positions ("grid") at rate. Frame n of the output grid covers base + n * unit onwards. */
struct record_audio {
	bool is_present;
	bool is_copy;         /* packets pass through; else decoded and encoded to AAC-LC */
	int64_t track;
	char codecs[32];      /* RFC 6381 of the output, e.g. mp4a.40.2 */
	int rate;             /* output timescale = sample rate, Hz */
	int channels;         /* output */
	int64_t unit;         /* samples per output frame: 1024 (960, ...) */
	int64_t base;         /* grid position of frame 0; 0 when encoded */
	int64_t frames;       /* frames in the whole title */
	int source_rate;      /* Hz, of decoded source samples (= rate when copied) */
	int64_t source_unit;  /* samples per source packet; 0: varies, positions are counted */
	int64_t source_base;  /* source position of the first packet (may be negative: codec delay) */
	int64_t source_end;   /* source position behind the last sample */
	int64_t lead;         /* source samples a job must have in front of its first frame (warm-up) */
	int64_t delay;        /* samples decoded first that the init's edit list takes off again (Opus), >= 0 */
};

/* Where a frame begins, ticks; below 0: it does before the timeline. */
int64_t record_audio_ticks(const struct record_audio *a, int64_t frame);
/* Frames of nothing before and behind what there is: it begins less than one after `start` and does not end before `end`, both in ticks. */
void record_audio_stretch(struct record_audio *a, int64_t start, int64_t end);

struct record_text {
	bool is_present;
	int64_t track;
};

/* A track that is a rendition of its own: audio, or subtitles. */
struct record_track {
	char rendition[RECORD_RENDITION_MAX + 1]; /* by its place among those of its kind: record_name_tracks */
	char name[RECORD_NAME_SIZE]; /* for people: UTF-8 without control characters and quotes; no two of a kind have the same */
	char language[36];           /* RFC 5646 or ISO 639-2; "": not known */
	bool is_default, is_forced;
	struct record_audio audio;   /* one of the two is there */
	struct record_text text;
	/* index: [n_syncs], owned. Audio: as record_sync.audio_pos. Text, ticks: when the earliest cue began that is shown at the sync
	 * sample's start, or that start; NULL: not known. */
	int64_t *positions;
	struct plan_segment *segments; /* plan: [n_segments], of the same start and duration as the plan's; owned */
};
/* Gives them their renditions. ERR_DATA: too many of a kind, or not all audio first. */
int record_name_tracks(struct record_track *tracks, int n);
void record_free_tracks(struct record_track *tracks, int n);
/* Where on the timeline the first of those with audio begins, and where the last of them ends, ticks; INT64_MAX and 0: there is none. */
void record_audio_span(const struct record_track *tracks, int n, int64_t *start, int64_t *end);

/* One sync sample where the timeline may be cut. */
struct record_sync {
	int64_t start;     /* ticks: smallest presentation time of the frames from here on */
	int64_t pts;       /* ticks: presentation time of the sync sample itself; >= start */
	int64_t place;     /* where its demuxer has to be sent to meet it; Matroska: byte offset of its Cluster element */
	int64_t id;        /* rises within the track; Matroska: byte offset of its (Simple)Block or BlockGroup element */
	int64_t audio_pos; /* source position of the first audio packet at or after `place`; INT64_MAX: none */
	bool is_closed;    /* IDR: nothing after it refers to what is before it */
};

/* Timestamps of a source that jump (files joined, a clock set anew) are made to go on: from a frame of a track on, until the track's next
 * entry, `ns` is added to what the container says. In the order in which they were met. */
#define RECORD_SHIFTS_MAX 256
struct record_shift {
	int64_t track, id, ns;
};
struct record_shifts {
	struct record_shift all[RECORD_SHIFTS_MAX];
	int n;
};

struct index {
	struct record_video video;
	struct record_audio audio;
	int64_t origin_ns;     /* the file's time that is timeline 0; <= every track's first time */
	int64_t first_place; /* of the first frames */
	struct record_sync *syncs; /* rising in id, start and pts; owned */
	size_t n_syncs;            /* at least 1 with video; without, mere places to start reading for audio */
	struct record_track *tracks; /* beside video and audio; none is audio where `audio` is present; owned */
	int n_tracks;
	struct record_shifts shifts;
	char build[RECORD_KEY_SIZE]; /* of the worker, where it decides bytes: something is encoded; "" where it does not, or is not known */
};
void index_finish(struct index *index);
int index_put(const struct index *index, struct buf *json);
/* ERR_UNSUPPORTED: it is of another format than RECORD_FORMAT. */
int index_get(struct bytes json, struct index *index, struct err *err);

struct plan_segment {
	int64_t start, duration;   /* ticks; the segment's key */
	int64_t video_place, video_id; /* first video sample; 0 without video */
	int64_t video_end;         /* id of the next segment's first sample; INT64_MAX: to the end */
	int64_t audio_place;     /* where to start reading for audio */
	int64_t audio_pos;         /* source position of the first audio packet from there */
	int64_t audio_first, audio_end; /* output frames [first, end); equal: none */
};

struct plan {
	char hash[RECORD_KEY_SIZE]; /* over everything below, format version included */
	struct record_options options;
	struct record_video video;
	struct record_audio audio;
	int64_t origin_ns;
	struct record_shifts shifts;
	char build[RECORD_KEY_SIZE]; /* the index's: only workers of the same may write what it plans */
	bool is_independent; /* no segment has a frame that refers to the segment before (open GOP) */
	struct plan_segment *segments; /* of the main rendition, and where all are cut: start_0 <= ..., start_i + duration_i = start_i+1; owned */
	size_t n_segments;             /* of each rendition */
	struct record_track *tracks;   /* further renditions; audio, where there is no main one; owned */
	int n_tracks;
};
void plan_finish(struct plan *plan);
static inline bool plan_has_main(const struct plan *plan)
{
	return plan->video.is_present || plan->audio.is_present;
}
static inline size_t plan_renditions(const struct plan *plan)
{
	return (size_t)(plan_has_main(plan) + plan->n_tracks);
}
/* Segments of all renditions are counted through: the main one's, if there is one, then those of tracks[0], ... */
static inline size_t plan_count(const struct plan *plan)
{
	return plan->n_segments * plan_renditions(plan);
}
/* The first segment of tracks[track]. */
static inline size_t plan_track_first(const struct plan *plan, int track)
{
	return plan->n_segments * (size_t)(plan_has_main(plan) + track);
}
/* The rendition that has segment i; NULL: the main one. */
static inline const struct record_track *plan_track(const struct plan *plan, size_t i)
{
	size_t first = plan_track_first(plan, 0);

	return i < first ? NULL : &plan->tracks[(i - first) / plan->n_segments];
}
static inline const struct plan_segment *plan_segment(const struct plan *plan, size_t i)
{
	const struct record_track *t = plan_track(plan, i);

	return t ? &t->segments[i % plan->n_segments] : &plan->segments[i];
}
static inline bool plan_is_text(const struct plan *plan, size_t i)
{
	const struct record_track *t = plan_track(plan, i);

	return t && t->text.is_present;
}
/* Its name; that of the main one is RECORD_RENDITION, or RECORD_VIDEO_RENDITION. */
const char *plan_rendition(const struct plan *plan, size_t i);
/* The first segment of the rendition with the audio that is heard where nobody chooses; the main one's where that has it, or there is none. */
size_t plan_default_audio(const struct plan *plan);
/* The first segment of the rendition that is played in any case: the main one, or that audio. */
size_t plan_default(const struct plan *plan);
/* The first segment of the rendition of that name, or -1. */
int64_t plan_find_rendition(const struct plan *plan, const char *rendition);
int64_t plan_find_start(const struct plan *plan, int64_t start); /* the number in its rendition; -1: none begins there */
int64_t plan_find_segment(const struct plan *plan, const char *rendition, int64_t start, int64_t duration); /* -1: none */
int plan_put(const struct plan *plan, struct buf *json);
int plan_get(struct bytes json, struct plan *plan, struct err *err);

/* What a job is to a worker that has jobs of several dispatchers. */
enum job_rank {
	JOB_UNRANKED, /* its dispatcher does not say */
	JOB_YIELDS,   /* to be given up for an urgent one */
	JOB_STAYS,    /* it was given up too often */
	JOB_URGENT,   /* somebody waits for it: before all others */
};

enum job_type { JOB_PROBE, JOB_SEGMENT, JOB_PLAY, JOB_NOOP };

struct job {
	int64_t id;              /* of this attempt; unique within a dispatcher's life */
	enum job_type type;
	char stream[RECORD_KEY_SIZE];
	int64_t deadline_ms;     /* the worker is killed when it takes longer; > 0 */
	enum job_rank rank;      /* may be left out */
	char build[RECORD_KEY_SIZE]; /* the plan's; "" any worker's will do; may be left out */
	bool is_tolerant;        /* it was tried in vain: leave out whatever may be the cause */
	struct record_source source;
	struct record_options options;
	/* no-op jobs only */
	int64_t sleep_ms;        /* how long it takes: 0 to RECORD_SLEEP_MAX_MS */
	/* play jobs only: the continuous stream for one reader */
	char play[RECORD_KEY_SIZE]; /* its name in the store */
	int64_t start;              /* ticks */
	/* segment jobs only */
	char rendition[RECORD_RENDITION_MAX + 1];
	char plan_hash[RECORD_KEY_SIZE];
	int64_t number;          /* of the segment in the title, from 0; gives mfhd sequence numbers */
	int64_t origin_ns;
	struct record_shifts shifts;
	struct plan_segment segment;
	struct record_video video;
	struct record_audio audio;
	struct record_text text; /* alone */
};
/* Makes it the job of the plan's segment i; what all jobs have stays. */
void job_set_segment(struct job *job, const struct plan *plan, size_t i);
int job_put(const struct job *job, struct buf *json);
/* When it fails, job->id is that of the refused job, or 0. */
int job_get(struct bytes json, struct job *job, struct err *err);

#endif
