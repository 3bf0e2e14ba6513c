/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What libavformat says of a stream, as a track.
 */
#ifndef SEGFARM_WORKER_DEMUX_AV_H
#define SEGFARM_WORKER_DEMUX_AV_H

#include "worker/track.h"

struct AVStream;
/* t points into st, which must outlive it. */
void demux_av_track(struct track *t, const struct AVStream *st);

#endif
