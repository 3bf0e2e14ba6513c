/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What samples (nal.c) and configuration records (nal_config.c) share: walking over NAL units, and their types.
 */
#ifndef SEGFARM_WORKER_NAL_INTERNAL_H
#define SEGFARM_WORKER_NAL_INTERNAL_H

#include "worker/nal.h"

#define NAL_LIMIT_UNITS 65536 /* of one sample */

enum { /* nal_unit_type */
       H264_SLICE = 1,
       H264_PARTITION_A = 2,
       H264_IDR = 5,
       H264_SEI = 6,
       H264_SPS = 7,
       H264_PPS = 8,
       H264_SPS_EXTENSION = 13,
       H265_BLA = 16,
       H265_IDR_W_RADL = 19,
       H265_IDR_N_LP = 20,
       H265_CRA = 21,
       H265_VPS = 32,
       H265_SPS = 33,
       H265_PPS = 34,
       H265_PREFIX_SEI = 39,
       H265_SUFFIX_SEI = 40,
};

/* One way of standing in a sample: length-prefixed (1 to 4) or Annex B (0). */
struct nal_walk {
	struct bytes rest;
	int length_size;
	int n; /* NAL units so far */
};

/* 1: *nal is a view of the next NAL unit (may be empty); 0: the end; -1: broken, or over NAL_LIMIT_UNITS. */
int nal_walk_next(struct nal_walk *w, struct bytes *nal);
/* The lengths lead to the exact end, over at least one NAL unit. */
bool nal_is_length_prefixed(struct bytes in, int length_size);
/* It begins with a start code. */
bool nal_is_annex_b(struct bytes in);
/* nal_unit_type; -1: empty, or of an enhancement layer, which nobody here plays. */
int nal_type(enum nal_codec codec, struct bytes nal);
/* An SEI NAL unit has a message of that payload type, of at least `size` bytes: the first ones go to out. */
bool nal_find_sei(enum nal_codec codec, struct bytes nal, int64_t type, uint8_t *out, size_t size);

#endif
