/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * AC-3 and E-AC-3 (ETSI TS 102 366): what the headers of a packet's frames say, and the boxes dac3 and dec3 (annex F). Pure.
 */
#ifndef SEGFARM_WORKER_AC3_H
#define SEGFARM_WORKER_AC3_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>

#define AC3_SUBSTREAMS_MAX 8

/* An independent substream with what hangs on it; AC-3 has one. */
struct ac3_substream {
	int fscod, bsid, bsmod, acmod, lfeon;
	int n_dependent;
	int chan_loc;    /* channels that the dependent ones add: bits of dec3's field */
};

struct ac3 {
	bool is_enhanced;
	int rate;        /* Hz */
	int channels;    /* of the first independent substream and what hangs on it */
	int samples;     /* of the packet */
	int bit_rate_code; /* AC-3: of dac3 */
	int data_rate;   /* E-AC-3: kbit/s of all substreams together */
	bool has_joc;    /* objects (Atmos) */
	int complexity;  /* complexity_index_type_a, with has_joc */
	struct ac3_substream substreams[AC3_SUBSTREAMS_MAX];
	int n_substreams;
};

/* A whole packet: one frame of AC-3, or the frames of one access unit of E-AC-3. ERR_DATA: broken; ERR_UNSUPPORTED: what dac3 and
 * dec3 cannot tell. */
int ac3_read(struct bytes packet, struct ac3 *a, struct err *err);
/* The body of dac3 or dec3. */
void ac3_put_config(struct buf *out, const struct ac3 *a);

#endif
