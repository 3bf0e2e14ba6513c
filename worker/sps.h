/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sequence parameter sets: ITU-T H.264 section 7.3.2.1.1 and annex E, ITU-T H.265 section 7.3.2.2 and annex E. Pure.
 */
#ifndef SEGFARM_WORKER_SPS_H
#define SEGFARM_WORKER_SPS_H

#include "worker/nal.h"

/* What only a configuration record needs. */
struct sps_more {
	int bit_depth_chroma;
	uint8_t profile[12];   /* H.265: general_profile_space to general_level_idc */
	int temporal_layers;   /* H.265: 1 to 7 */
	bool is_temporal_nested;
};

/* nal: a whole SPS NAL unit, header and emulation prevention included; when it is taken it has at least 4 bytes. What is
 * broken or cut off behind the picture size and H.265's reorder depth counts as absent: pictures can be shown without it.
 * ERR_DATA, ERR_LIMIT. */
int sps_read(enum nal_codec codec, struct bytes nal, struct nal_sps *sps, struct sps_more *more, struct err *err);

#endif
