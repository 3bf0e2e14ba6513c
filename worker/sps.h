/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sequence parameter sets: ITU-T H.264 section 7.3.2.1.1 and annex E, ITU-T H.265 section 7.3.2.2 and annex E. Pure.
 */
#ifndef SEGFARM_WORKER_SPS_H
#define SEGFARM_WORKER_SPS_H

#include "worker/nal.h"

/* nal: a whole SPS NAL unit, header and emulation prevention included. ERR_DATA, ERR_LIMIT. */
int sps_read(enum nal_codec codec, struct bytes nal, struct nal_sps *sps, struct err *err);
/* general_profile_space ... general_level_idc of an H.265 SPS: 12 bytes. */
int sps_read_profile_h265(struct bytes nal, uint8_t profile[12], struct err *err);

#endif
