/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the container says of a picture's light, as the bodies of the boxes that tell it in MP4. Pure.
 */
#ifndef SEGFARM_WORKER_HDR_H
#define SEGFARM_WORKER_HDR_H

#include "worker/mkv.h"

#define HDR_MDCV_SIZE 24
#define HDR_CLLI_SIZE 4

/* ISO/IEC 14496-12 sections 12.1.7 and 12.1.6: chromaticities in steps of 0.00002 in the order green, blue, red, white;
 * luminances of 0.0001 cd/m2. Content light levels in cd/m2. False: not given, or out of what the box can hold. */
bool hdr_mdcv(const struct track_colour *c, uint8_t mdcv[HDR_MDCV_SIZE]);
bool hdr_clli(const struct track_colour *c, uint8_t clli[HDR_CLLI_SIZE]);

/* DOVIDecoderConfigurationRecord, the body of dvcC, dvvC and dvwC (Dolby Vision Streams within the ISO BMFF, section 3). */
struct hdr_dovi {
	int profile, level;
	int compatibility; /* bl_signal_compatibility_id; 0: the base layer means nothing to others */
};
bool hdr_dovi(struct bytes record, struct hdr_dovi *d);

#endif
