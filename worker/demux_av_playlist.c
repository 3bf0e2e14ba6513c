/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/demux_av.h"
#include "worker/parts.h"

#include <libavformat/avformat.h>
#include <stdlib.h>

/* What parts may be. */
static const char formats[] = "hls,mpegts,mov,mp4,aac,ac3,eac3,mp3,flac,webvtt";
/* Every part is asked for (none comes on a connection that was opened for another), and how it is named does not matter: which
 * may be opened is for parts.h to say, and for how long it goes on without a new one. */
static const char settings[] = "http_persistent=0:http_multiple=0:allowed_extensions=ALL:extension_picky=0:"
			       "max_reload=2147483647:m3u8_hold_counters=2147483647";

int demux_av_prepare_playlist(AVFormatContext *ctx, struct input *in, AVDictionary **options)
{
	struct err ignored; /* parts_status says it again */

	parts_wait(in->parts);
	in->is_seekable = false; /* it is read forward, part by part */
	ctx->interrupt_callback = (AVIOInterruptCB){ parts_is_over, in->parts };
	ctx->format_whitelist = av_strdup(formats);
	if (!ctx->format_whitelist || av_dict_parse_string(options, settings, "=", ":", 0) < 0)
		return AVERROR(ENOMEM);
	return parts_check(in->parts, input_view(in, 0, LIMIT_PLAYLIST_BYTES + 1), &ignored) ? AVERROR_EXIT : 0;
}

const AVProgram *demux_av_choose_variant(AVFormatContext *ctx)
{
	const AVDictionaryEntry *rate;
	AVProgram *chosen = NULL;
	long long best = -1, n;

	for (unsigned i = 0; i < ctx->nb_programs; i++) {
		rate = av_dict_get(ctx->programs[i]->metadata, "variant_bitrate", NULL, 0);
		n = rate ? atoll(rate->value) : 0;
		if (n > best) {
			best = n;
			chosen = ctx->programs[i];
		}
	}
	for (unsigned i = 0; i < ctx->nb_programs; i++)
		if (ctx->programs[i] != chosen)
			ctx->programs[i]->discard = AVDISCARD_ALL;
	return chosen;
}

bool demux_av_is_in(const AVProgram *program, unsigned stream)
{
	for (unsigned i = 0; i < program->nb_stream_indexes; i++)
		if (program->stream_index[i] == stream)
			return true;
	return false;
}
