/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/audio_feed.h"

#include "common/timeline.h"

#include <string.h>

int audio_feed_init(struct audio_feed *f, struct demux *demux, const struct record_audio *audio, int64_t origin_ns,
		    const struct record_options *options, int64_t first_pos, int64_t first, int64_t end, audio_stage_fn *fn,
		    void *arg, struct err *err)
{
	const struct track *t = demux_track(demux, (uint64_t)audio->track);
	int ret = t ? 0 : err_set(err, ERR_DATA, "the file has no audio track %lld", (long long)audio->track);

	*f = (struct audio_feed){ .demux = demux, .audio = audio, .origin_ns = origin_ns };
	audio_clock_init(&f->clock, audio, first_pos);
	if (!ret)
		ret = audio_ruler_create(&f->ruler, t, audio->source_unit, err);
	if (!ret)
		ret = audio_stage_create(&f->stage, t, audio, options, first, end, fn, arg, err);
	if (ret)
		audio_feed_finish(f);
	return ret;
}

void audio_feed_finish(struct audio_feed *f)
{
	audio_stage_destroy(f->stage);
	audio_ruler_destroy(f->ruler);
	buf_finish(&f->unpacked);
	memset(f, 0, sizeof *f);
}

int audio_feed_place(struct audio_feed *f, const struct frame *frame, struct err *err)
{
	int64_t samples, end;
	int ret = demux_data(f->demux, frame, &f->unpacked, &f->packet, err);

	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	samples = audio_ruler_samples(f->ruler, f->packet);
	f->pos = audio_clock_place(&f->clock, frame->time_ns - f->origin_ns, frame->lace_index, samples);
	end = f->pos + samples;
	f->until = INT64_MAX;
	if (frame->discard_ns > 0 && samples > 0)
		f->until = end -= timeline_ns_to_samples(frame->discard_ns, f->audio->source_rate);
	if (end > f->source_end)
		f->source_end = end;
	return 1;
}

int audio_feed_push(struct audio_feed *f, struct err *err)
{
	return audio_stage_push(f->stage, f->pos, f->until, f->packet, err);
}
