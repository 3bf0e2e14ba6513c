/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a demuxer says of a source: its tracks, their frames, where sync samples are. The same for every container; the terms are
 * those of Matroska (RFC 9559). All of it lives as long as the demuxer.
 */
#ifndef SEGFARM_WORKER_TRACK_H
#define SEGFARM_WORKER_TRACK_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACKS_MAX 128

struct AVCodecParameters;

enum track_type { TRACK_VIDEO = 1, TRACK_AUDIO = 2, TRACK_TEXT = 17 /* subtitles, pictures too */, TRACK_OTHER = 0 };
enum track_compression { TRACK_COMPRESSION_NONE, TRACK_COMPRESSION_STRIP, TRACK_COMPRESSION_ZLIB };

/* RFC 9559 section 5.1.4.1.28.16 and following; ISO/IEC 23091-2 code points, 2 = unspecified. */
struct track_colour {
	bool is_present;                 /* one of the first four is there */
	int primaries, transfer, matrix; /* -1 or 2: unspecified */
	int range;                       /* 0 unspecified, 1 broadcast (limited), 2 full */
	/* MasteringMetadata: CIE 1931 x and y of red, green, blue and white; cd/m2. Below 0: not given. */
	double chromaticity[4][2], luminance_max, luminance_min;
	int64_t max_cll, max_fall;       /* cd/m2; -1: not given */
};

/* A BlockAdditionMapping whose type is that of an MP4 sample entry's box: Dolby Vision's configuration records. */
#define TRACK_MAPPINGS_MAX 4
struct track_mapping {
	uint32_t type;     /* BlockAddIDType: a four-character code, 'dvcC' */
	struct bytes data; /* BlockAddIDExtraData */
};

struct track {
	uint64_t number;              /* TrackNumber; of libavformat: the stream's index and 1 */
	enum track_type type;
	bool is_default, is_enabled;
	/* V_MPEG4/ISO/AVC also where it is H.264 in V_MS/VFW/FOURCC (codec_private is then its own); libavcodec's name where
	 * par is set */
	char codec_id[64];
	const struct AVCodecParameters *par; /* NULL: the fields here say it */
	struct bytes codec_private;
	char language[36];            /* BCP 47 where the file says so, else ISO 639-2 */
	char language_iso[4];         /* ISO 639-2; "": only BCP 47 is there */
	char name[128];               /* for people, as written, perhaps cut short; "": none */
	bool is_forced;               /* subtitles: of what is foreign to those who hear the language */
	uint64_t default_duration_ns; /* 0: unknown */
	uint64_t codec_delay_ns, seek_preroll_ns;
	int64_t rounding_ns;          /* times are multiples of it, give or take: 1 is exact; > 0 */
	/* video */
	int width, height;            /* PixelWidth/Height less PixelCrop */
	int display_width, display_height, display_unit; /* 0: as width/height */
	int rotation;                 /* degrees clockwise to turn the picture for display, 0 90 180 270 (ProjectionPoseRoll) */
	struct track_colour colour;
	struct track_mapping mappings[TRACK_MAPPINGS_MAX];
	int n_mappings;
	/* audio */
	double rate, output_rate;     /* SamplingFrequency */
	int channels, bit_depth;
	/* Matroska's own */
	int64_t offset_ns;            /* TrackOffset, of old files: added to the times of its blocks */
	double scale;                 /* TrackTimestampScale: of block times relative to the Cluster's and of BlockDuration */
	enum track_compression compression;
	struct bytes stripped;        /* bytes put back in front of every frame (header stripping) */
	bool is_encrypted;
};

#define FRAME_NO_TIME INT64_MIN

struct frame {
	uint64_t track;
	int64_t place;        /* where a demuxer has to be sent to meet it; Matroska: offset of its Cluster */
	int64_t id;           /* rises within a track, the same wherever reading began; Matroska: offset of its block */
	int64_t time_ns;      /* when it is shown: less the track's CodecDelay, plus its TrackOffset; laced frames after the first:
				 + DefaultDuration x i, or BlockDuration / n x i, else the same time */
	int64_t decode_ns;    /* FRAME_NO_TIME: not said */
	int lace_index, lace_count; /* 0/1 without lacing; over 0: it follows the frame before, whatever its time */
	bool is_timed;        /* time_ns is what the container says, not a guess */
	bool is_key;          /* a sync sample, as far as the container knows */
	bool is_hidden;       /* decoded, but not shown (edit lists) */
	int64_t duration_ns;  /* 0 unknown */
	int64_t discard_ns;   /* DiscardPadding: samples to throw away at its end; 0 none */
	int64_t skip_samples; /* to throw away at its beginning, which is in front of time_ns's place; 0 none */
	int64_t at, size;     /* internal: its bytes in the input */
};

/* A sync sample of an index. */
struct cue {
	uint64_t track;
	int64_t time_ns;      /* as its frame's, before CodecDelay is taken off */
	int64_t place;
	int64_t relative;     /* Matroska: offset of its block within the Cluster's data, -1 unknown */
	int64_t duration_ns;  /* of its block; 0 unknown */
};

#endif
