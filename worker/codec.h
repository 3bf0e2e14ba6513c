/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Codecs of tracks in libavcodec's terms, whichever demuxer they come from.
 */
#ifndef SEGFARM_WORKER_CODEC_H
#define SEGFARM_WORKER_CODEC_H

#include "common/err.h"
#include "worker/track.h"

#include <libavcodec/avcodec.h>

/* What an error of libav's means: ERR_NOMEM, or `otherwise`. */
static inline int codec_error(int averror, int otherwise)
{
	return averror == AVERROR(ENOMEM) ? ERR_NOMEM : otherwise;
}

/* AV_CODEC_ID_NONE: not known, or packed in a way that is not known. */
enum AVCodecID codec_id(const struct track *track);
/* What a decoder has to be told; free with avcodec_parameters_free. ERR_DATA, ERR_UNSUPPORTED, ERR_NOMEM. */
int codec_parameters(AVCodecParameters **par, const struct track *track, struct err *err);

#endif
