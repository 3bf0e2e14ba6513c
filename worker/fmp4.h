/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fragmented MP4 writer (ISO/IEC 14496-12, -14, -15; 23000-19). Boxes are written with back-patched sizes into a struct buf
 * whose error sticks. Media data is never copied: a fragment is a moof in a buffer plus views for the mdat.
 */
#ifndef SEGFARM_WORKER_FMP4_H
#define SEGFARM_WORKER_FMP4_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The type of a sample entry; MP3 is an mp4a without a decoder's configuration. */
enum fmp4_entry { FMP4_AVC1, FMP4_HVC1, FMP4_DVH1, FMP4_MP4A, FMP4_MP3, FMP4_AC3, FMP4_EC3, FMP4_OPUS, FMP4_FLAC };

#define FMP4_BOXES_MAX 8

/* A box of a video sample entry that the writer does not look into: mdcv, clli, dvcC, ... */
struct fmp4_child {
	char type[5];
	struct bytes body;
};

struct fmp4_track {
	uint32_t id;              /* track_ID, from 1 */
	enum fmp4_entry entry;
	uint32_t timescale;
	char language[4];         /* ISO 639-2/T, "und" */
	struct bytes config;      /* avcC / hvcC record, AudioSpecificConfig, body of dac3 / dec3 / dOps, metadata blocks of dfLa;
				   * none for MP3 */
	int64_t edit_media_time;  /* elst media_time in timescale units; 0: no edit list */
	/* video */
	int width, height;        /* coded, cropped */
	uint32_t par_num, par_den; /* pixel aspect ratio; 0 or equal: no pasp unless is_par_known */
	bool is_par_known;
	int rotation;             /* 0 90 180 270, into tkhd's matrix */
	bool has_colour;          /* colr nclx */
	int primaries, transfer, matrix;
	bool is_full_range;
	char brand[5];            /* ftyp: a compatible brand besides the usual ones; "": none */
	struct fmp4_child boxes[FMP4_BOXES_MAX];
	int n_boxes;
	/* audio */
	int channels;
	int sample_bits;          /* 0: 16 */
	int roll;                 /* roll_distance: samples, below 0, to decode in front of the first that is right; 0: not told */
	int bitrate;              /* esds average and max; 0 unknown */
};

/* ftyp + moov(mvhd, trak..., mvex(mehd, trex...)). duration in ticks of 1/90000; 0 or over 24 h: unknown (no mehd,
 * durations 0). Deterministic: no wall clock. Appends to out. ERR_LIMIT: a configuration or a picture size that no
 * sample entry takes; ERR_NOMEM. */
int fmp4_put_init(struct buf *out, const struct fmp4_track *tracks, int n_tracks, int64_t duration_ticks, struct err *err);

struct fmp4_sample {
	struct bytes data;
	uint32_t duration;   /* timescale units */
	int32_t cts;         /* composition offset */
	bool is_sync;
};
struct fmp4_run {            /* one traf */
	uint32_t track_id;
	bool is_video;
	int64_t decode_time; /* tfdt */
	const struct fmp4_sample *samples;
	int n_samples;       /* 0: no traf is written */
	bool has_roll;       /* its track has a roll distance */
};

/* styp, at the start of a segment. */
void fmp4_put_styp(struct buf *out);
/* moof + mdat header for the runs (8 at most), whose data follow in the mdat run by run. Appends to out; the caller
 * then sends every sample's data in order. *mdat_bytes: how many that is. tfdt v1, trun v1; defaults in tfhd where all
 * samples agree (duration, size, flags); default-base-is-moof. ERR_LIMIT: data over 4 GiB - 1, or a track's data begin
 * behind 2 GiB; ERR_DATA: a decode time below 0; ERR_NOMEM. After an error what was appended is of no use. */
int fmp4_put_moof(struct buf *out, uint32_t sequence, const struct fmp4_run *runs, int n_runs, int64_t *mdat_bytes,
		  struct err *err);

#endif
