/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Codec build: what decides the bytes that this program encodes, in 16 hex digits. Workers whose builds differ may not write segments
 * of one plan.
 */
#ifndef SEGFARM_WORKER_CODEC_BUILD_H
#define SEGFARM_WORKER_CODEC_BUILD_H

#include "common/record.h"

/* The same in every call. */
void codec_build(char build[RECORD_KEY_SIZE]);
/* Of an index: this program's where something of the title is encoded, else "". */
void codec_build_note(struct index *index);

#endif
