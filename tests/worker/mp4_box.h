/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small reader of MP4 boxes (ISO/IEC 14496-12) that knows the standard, not the writer. What does not tile its parent
 * exactly fails the test.
 */
#ifndef SEGFARM_TESTS_WORKER_MP4_BOX_H
#define SEGFARM_TESTS_WORKER_MP4_BOX_H

#include "common/buf.h"

struct mp4_box {
	char type[5]; /* "": none */
	size_t at;    /* of its header, in the whole */
	struct bytes body;
};
/* "moov/trak/tkhd": the nth of those in file order. */
struct mp4_box mp4_find(struct bytes whole, const char *path, int nth);
bool mp4_has(struct bytes whole, const char *path);
/* Its body; a box that is not there fails the test. */
struct bytes mp4_body(struct bytes whole, const char *path, int nth);
/* Its boxes are these: "moov(mvhd trak(...)...)". */
void mp4_assert_names(struct bytes whole, const char *want);

/* What a reader makes of a traf: each sample with tfhd's defaults filled in. */
struct mp4_traf {
	uint32_t track_id;
	uint64_t decode_time;
	uint32_t tfhd_flags, trun_flags;
	int n;
	struct {
		uint32_t duration, size, flags;
		int32_t cts;
		size_t at; /* in the whole file */
	} samples[64];
};
/* The nth of the first moof: with default-base-is-moof, tfdt and trun of version 1 and nothing left over, or the test
 * fails. */
struct mp4_traf mp4_read_traf(struct bytes whole, int nth);

#endif
