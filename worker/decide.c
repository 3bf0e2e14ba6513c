/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/decide.h"

#include <string.h>

#define CHROMA_420 1

/* Is it in a list of names with commas between them? */
static bool is_named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == n && !strncmp(at, name, n))
			return true;
	return false;
}

bool decide_may_copy_video(const char *codec, const struct record_options *o)
{
	return !o->is_video_encoded && !is_named(o->encoded_codecs, codec) && (!strcmp(codec, "h264") || !strcmp(codec, "hevc"));
}

bool decide_may_copy_audio(const char *codec, const struct record_options *o)
{
	return !o->is_audio_encoded && !is_named(o->encoded_codecs, codec) && (!strcmp(codec, "aac") || o->is_audio_copied);
}

bool decide_copies(enum nal_codec codec, const struct nal_sps *sps, bool is_timed)
{
	return is_timed && sps->chroma_format <= CHROMA_420 && sps->bit_depth <= (codec == NAL_H264 ? 8 : 10);
}
