/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HLS as a reader sees it: playlists and boxes of a directory, parsed independently of segfarm's own code. A malformed one
 * fails the test.
 */
#ifndef SEGFARM_TESTS_E2E_HLS_H
#define SEGFARM_TESTS_E2E_HLS_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hls_sample {
	int64_t dts;          /* timescale units of its track, as tfdt and durations say */
	int64_t cts;          /* composition offset */
	int64_t duration;
	bool is_sync;
	struct bytes data;    /* of its segment */
};

struct hls_fragment {
	size_t segment;
	size_t first;         /* index of its first sample among the track's */
	int64_t tfdt;
};

struct hls_track {
	uint32_t id;
	bool is_video;
	char entry[5];        /* avc1 hvc1 mp4a ac-3 ... */
	uint32_t timescale;
	int64_t edit_media_time;
	struct bytes config;  /* avcC, hvcC, AudioSpecificConfig, body of dac3, dec3, dOps or dfLa */
	char language[4];
	int width, height;    /* of the sample entry */
	uint32_t par_num, par_den; /* pasp; 0 when absent */
	int rotation;         /* of tkhd's matrix: 0 90 180 270 */
	bool has_colour;
	int primaries, transfer, matrix;
	bool is_full_range;
	int channels, sample_rate; /* of the sample entry */
	struct hls_sample *samples; /* of all segments, in order */
	size_t n_samples;
	size_t *first;        /* [n_segments + 1]: index of each segment's first sample */
	int64_t *tfdt;        /* [n_segments]: of the segment's first fragment; -1 when it has no sample of this track */
	struct hls_fragment *fragments; /* those which hold the track, in order */
	size_t n_fragments;
};

struct hls_segment {
	char name[80];
	int64_t extinf_us;
	struct bytes file;
	int n_fragments;
};

struct hls {
	char dir[512];
	char *master, *index; /* texts */
	struct bytes init;
	char media_dir[512];  /* of the media playlist */
	int64_t target_duration; /* s */
	struct hls_segment *segments;
	size_t n_segments;
	struct hls_track tracks[4];
	int n_tracks;
};

/* Runs `segfarm run SOURCE -o DIR OPTIONS` into a fresh directory (the test fails if that fails) and loads DIR. */
void hls_make(struct hls *h, const char *source, const char *options);
void hls_load(struct hls *h, const char *dir);
/* One file: init segment and fragments, as a title of one segment; no playlists, and no EXTINF. */
void hls_load_stream(struct hls *h, const char *path);
void hls_free(struct hls *h);

/* What must hold for any title: tfdt of a segment = tfdt + durations of the one before, to the tick, within a segment also from
 * fragment to fragment; EXTINF = what is inside of the video track (of the audio, when there is no video), to the millisecond;
 * TARGETDURATION = the longest, rounded; the first video sample of every segment is sync; no composition offset is negative;
 * no presentation time below 0 (but for sound of which the edit list takes a part); audio samples all of one duration, the last at
 * most that; fragments of about 2 s. */
void hls_check(const struct hls *h);
/* The same, without what only playlists have. */
void hls_check_stream(const struct hls *h);

const struct hls_track *hls_video(const struct hls *h); /* NULL: none */
const struct hls_track *hls_audio(const struct hls *h);

/* Joins init and all segments into one file in the scratch directory; the path lives until the next call. */
const char *hls_join(const struct hls *h);

/* The decoded video of the joined segments = that of the source, in number, content and time (from the first one on, to the
 * millisecond), and neither decoding prints a warning that the other does not. */
void hls_check_video(const struct hls *h, const char *source);

/* 1/90000 s by which the first video frame comes later than the source's, both counted from the origin of the title: the earlier
 * of the first decoded video frame and the first decoded sample. */
int64_t hls_video_lag(const struct hls *h, const char *source);

/* Samples (at 48 kHz) by which the decoded audio of the joined segments comes later than the source's, both counted from the
 * origin of the title: by cross-correlation in several places of the title; the test fails where they differ. Best with sound
 * that holds noise ($A). */
int64_t hls_audio_lag(const struct hls *h, const char *source);

#endif
