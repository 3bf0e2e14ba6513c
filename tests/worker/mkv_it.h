/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * It: the Matroska file that a test builds, and what the demuxer reads there. A fixture.
 */
#ifndef SEGFARM_TESTS_WORKER_MKV_IT_H
#define SEGFARM_TESTS_WORKER_MKV_IT_H

#include "worker/mkv.h"

#define IT_FRAMES_MAX 600

struct mkv_it {
	struct buf file; /* the test's to fill */
	struct input in;
	struct mkv mkv;
	struct frame frames[IT_FRAMES_MAX];
	int n_frames;
	int64_t damaged; /* bytes that were passed over */
};
extern struct mkv_it it;

void it_setup(void);
void it_teardown(void);

/* Opens what was built and reads all frames; the test fails where that does. */
void it_load(void);
/* Opens and closes it: an ERR_ code. */
int it_try_open(void);
/* The same in two steps, of other bytes: they must live as long. */
int it_open_bytes(struct bytes bytes, struct err *err);
int it_read_frames(void); /* how many */

/* The frame's stored bytes. */
const uint8_t *it_at_frame(const struct frame *f);
/* The first byte of every frame, in order. */
const char *it_letters(void);

#endif
