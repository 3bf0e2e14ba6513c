/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What demux_av.c knows of libavformat: streams as tracks, and playlists.
 */
#ifndef SEGFARM_WORKER_DEMUX_AV_H
#define SEGFARM_WORKER_DEMUX_AV_H

#include "worker/input.h"
#include "worker/track.h"

struct AVDictionary;
struct AVFormatContext;
struct AVProgram;
struct AVStream;

/* t points into st, which must outlive it. */
void demux_av_track(struct track *t, const struct AVStream *st);

/* A context that is to be opened as HLS, with these options, from in, which has parts. An AVERROR, or 0. */
int demux_av_prepare_playlist(struct AVFormatContext *ctx, struct input *in, struct AVDictionary **options);
/* Of the same in several qualities the best is taken, and no other is read. NULL: there are no programs. */
const struct AVProgram *demux_av_choose_variant(struct AVFormatContext *ctx);
bool demux_av_is_in(const struct AVProgram *program, unsigned stream);

#endif
