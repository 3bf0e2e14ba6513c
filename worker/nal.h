/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NAL units of H.264 (ITU-T H.264) and H.265 (ITU-T H.265), their configuration records (ISO/IEC 14496-15) and what
 * of their sequence parameter sets a packager has to know. Pure; views in, views or buffers out.
 */
#ifndef SEGFARM_WORKER_NAL_H
#define SEGFARM_WORKER_NAL_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum nal_codec { NAL_H264, NAL_H265 };

struct nal_sps {
	int width, height;          /* cropped luma samples, 1 to 16384 */
	int profile, level;         /* profile_idc / general_profile_idc, level_idc */
	int chroma_format, bit_depth;
	int reorder; /* most pictures that are decoded before one and shown after it: max_num_reorder_frames /
		      * sps_max_num_reorder_pics, or what H.264's profile and level allow; -1: not known to be under 16
		      */
	int sar_num, sar_den;       /* sample aspect ratio; 0/0 unknown */
	bool has_colour;
	int primaries, transfer, matrix; /* with has_colour; 2: unspecified */
	bool is_full_range;
	int64_t rate_num, rate_den; /* frames per second from VUI timing, in lowest terms; 0/0 unknown */
	bool is_reorder_said; /* reorder is what the stream says or follows from it, not the most that is allowed */
};

struct nal_config {
	enum nal_codec codec;
	struct buf record;       /* avcC or hvcC record, ready for the sample entry; owned */
	int source_length_size;  /* 1 to 4: of length-prefixed source samples; 4 where nothing says */
	int length_size; /* 1, 2 or 4: bytes of the length in front of each NAL unit of output samples (3: converted to
			  * 4). Like source_length_size it follows from CodecPrivate alone: the same for every segment
			  */
	struct nal_sps sps;      /* of the first SPS */
	char codecs[32];         /* RFC 6381: avc1.PPCCLL, or hvc1.… (ISO/IEC 14496-15 annex E) */
	/* SEI messages of the record or of the first sync sample, which are also the bodies of mdcv and clli */
	bool has_mastering, has_light;
	uint8_t mastering[24];   /* mastering display colour volume */
	uint8_t light[4];        /* content light level */
};
/* From CodecPrivate (avcC, hvcC, or Annex B parameter sets), and what parameter sets that lacks, from the first sync sample
 * (Annex B or length-prefixed; may be empty). hvcC is given array_completeness 1 (hvc1) for its parameter sets.
 * After an error *c is finished. ERR_DATA, ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM. */
int nal_config_init(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct bytes sync_sample,
		    struct err *err);
/* Only what nal_sample_read needs: codec and lengths. Nothing to finish. */
int nal_config_init_lengths(struct nal_config *c, enum nal_codec codec, struct bytes codec_private, struct err *err);
void nal_config_finish(struct nal_config *c);

enum nal_sync { NAL_SYNC_NONE, NAL_SYNC_OPEN, NAL_SYNC_CLOSED };
struct nal_sample {
	bool has_picture;        /* holds a VCL NAL unit of the base layer (H.264 types 1-5, H.265 0-21) */
	enum nal_sync sync;      /* CLOSED: IDR; OPEN: H.265 CRA/BLA, or H.264 with a recovery point SEI / I slices only;
				  * NONE otherwise */
	struct bytes data;       /* length-prefixed by c->length_size: a view of `in`, or of scratch where it had to be
				    converted */
};
/* Looks at one sample and converts it if need be. Whether a sample is length-prefixed is decided by walking its lengths
 * to the exact end; only if that fails is it Annex B (and must then begin with a start code). ERR_DATA: neither, over
 * 65536 NAL units, or one too long for length_size; ERR_NOMEM. scratch is appended to (never reset here), `in` may not
 * lie in it; earlier views of it may move, so keep offsets or reserve enough. After an error it is as long as before.
 */
int nal_sample_read(const struct nal_config *c, struct bytes in, struct buf *scratch, struct nal_sample *out,
		    struct err *err);

#endif
