/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/codec_build.h"

#include "common/key.h"
#include "worker/sabotage.h"
#include "worker/video_encoder.h"

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libswresample/swresample.h>
#include <stdio.h>
#include <string.h>

#define ENCODING 1 /* our own part in encoded bytes: rises when the same codecs come to be used in another way */

void codec_build(char build[RECORD_KEY_SIZE])
{
	const char *pretended = sabotage_pretends("build");
	char text[256];
	int n = snprintf(text, sizeof text, "segfarm %d, FFmpeg %.60s %x %x %x %x %x, x264 %.60s", ENCODING, av_version_info(), avcodec_version(),
			 avformat_version(), avfilter_version(), avutil_version(), swresample_version(), video_encoder_x264_version());

	key_hash((struct bytes){ (const uint8_t *)text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1 }, build);
	if (pretended)
		snprintf(build, RECORD_KEY_SIZE, "%s", pretended);
}

void codec_build_note(struct index *index)
{
	bool is_encoded = (index->video.is_present && !index->video.is_copy) || (index->audio.is_present && !index->audio.is_copy);

	for (int i = 0; i < index->n_tracks; i++)
		is_encoded |= index->tracks[i].audio.is_present && !index->tracks[i].audio.is_copy;
	index->build[0] = '\0';
	if (is_encoded)
		codec_build(index->build);
}
