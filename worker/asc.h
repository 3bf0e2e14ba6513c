/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1) of AAC Main, LC, SSR and LTP, with or without SBR and PS. Pure.
 */
#ifndef SEGFARM_WORKER_ASC_H
#define SEGFARM_WORKER_ASC_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>

struct asc {
	int object_type;    /* of the core: 2 is AAC-LC */
	int rate;           /* core sampling rate, Hz, 1 to 192000 */
	int channels;       /* 1 to 93 of a program configuration; a mono core with PS counts as 2 */
	int frame_samples;  /* at the core rate: 1024 or 960 */
	bool has_sbr, has_ps;
	int extension_rate; /* output rate, Hz; 0 without SBR */
	char codecs[16];    /* RFC 6381: mp4a.40.2, with SBR mp4a.40.5, with PS mp4a.40.29 */
};
/* Explicit signalling of SBR and PS and the backward compatible one. ERR_DATA, ERR_UNSUPPORTED, ERR_LIMIT. */
int asc_read(struct bytes config, struct asc *asc, struct err *err);
/* Appends one for AAC-LC, for tracks that carry no configuration: 2 bytes, 5 for a rate that has no index. Rates over
 * 2^24 - 1 Hz and channel counts outside 1 to 8 give one that asc_read refuses. */
void asc_put_lc(struct buf *out, int rate, int channels);

/* An ADTS header (ISO/IEC 13818-7 section 6.2): *size of its bytes, 7 or 9, and its AudioSpecificConfig, appended to config (NULL:
 * not wanted). false: there is none, or several frames are in one. */
bool asc_read_adts(struct bytes frame, size_t *size, struct buf *config);

#endif
