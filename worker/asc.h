/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1). Pure.
 */
#ifndef SEGFARM_WORKER_ASC_H
#define SEGFARM_WORKER_ASC_H

#include "common/buf.h"
#include "common/err.h"

struct asc {
	int object_type;    /* of the core: 2 is AAC-LC */
	int rate;           /* core sampling rate, Hz */
	int channels;
	int frame_samples;  /* 1024 or 960 */
	bool has_sbr, has_ps;
	int extension_rate; /* with SBR */
	char codecs[16];    /* RFC 6381: mp4a.40.<object type> */
};
/* ERR_DATA, ERR_UNSUPPORTED. */
int asc_read(struct bytes config, struct asc *asc, struct err *err);
/* AAC-LC, for tracks that carry no configuration. */
void asc_put_lc(struct buf *out, int rate, int channels);

#endif
