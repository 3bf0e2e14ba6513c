/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decide: what is copied and what is encoded. Pure, and the one place where it is decided.
 *
 *   video  H.264 of 8 bits, 4:2:0, and H.265 of 8 or 10 bits, 4:2:0, whose frames have times   copied
 *          everything else that can be decoded                                                encoded to H.264
 *   audio  AAC                                                                                copied
 *          on request, what MP4 can hold                                                      copied
 *          everything else that can be decoded                                                encoded to AAC
 *   Whatever the options name is encoded.
 */
#ifndef SEGFARM_WORKER_DECIDE_H
#define SEGFARM_WORKER_DECIDE_H

#include "common/record.h"
#include "worker/nal.h"

/* codec: libavcodec's name of it. May samples of it be copied at all? */
bool decide_may_copy_video(const char *codec, const struct record_options *options);
bool decide_may_copy_audio(const char *codec, const struct record_options *options);
/* Of a video that may: does its first sync sample say so too? is_timed: its container says when frames are shown. */
bool decide_copies(enum nal_codec codec, const struct nal_sps *sps, bool is_timed);

#endif
