/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/timeline.h"
#include "worker/fmp4.h"
#include "worker/title.h"

#include <string.h>

static void video_entry(const struct title *title, int64_t delay_ticks, struct fmp4_track *t)
{
	const struct mkv_track *m = title->video;
	const struct nal_sps *sps = &title->nal.sps;
	bool is_from_file = m->colour.is_present && m->colour.matrix >= 0 && m->colour.matrix != 2;

	*t = (struct fmp4_track){
		.id = 1,
		.entry = title->codec == NAL_H265 ? FMP4_HVC1 : FMP4_AVC1,
		.timescale = TICKS_PER_SECOND,
		.language = "und",
		.config = buf_bytes(&title->nal.record),
		.edit_media_time = delay_ticks,
		.width = sps->width,
		.height = sps->height,
		.rotation = m->rotation,
		.has_colour = is_from_file || sps->has_colour,
		.primaries = is_from_file ? m->colour.primaries : sps->primaries,
		.transfer = is_from_file ? m->colour.transfer : sps->transfer,
		.matrix = is_from_file ? m->colour.matrix : sps->matrix,
		.is_full_range = is_from_file ? m->colour.range == 2 : sps->is_full_range,
		.par_num = (uint32_t)(sps->sar_num > 0 ? sps->sar_num : 0),
		.par_den = (uint32_t)(sps->sar_den > 0 ? sps->sar_den : 0),
	};
	if (m->display_width > 0 && m->display_height > 0 && m->width > 0 && m->height > 0) {
		int64_t num = (int64_t)m->display_width * m->height, den = (int64_t)m->display_height * m->width, a = num, b = den;

		while (b) {
			int64_t r = a % b;

			a = b;
			b = r;
		}
		t->par_num = (uint32_t)(num / a);
		t->par_den = (uint32_t)(den / a);
	}
	t->is_par_known = t->par_num > 0 && t->par_den > 0;
}

static void audio_entry(const struct title *title, const struct record_audio *a, struct fmp4_track *t)
{
	const char *language = title->audio->language;

	*t = (struct fmp4_track){
		.id = 2,
		.entry = FMP4_MP4A,
		.timescale = (uint32_t)a->rate,
		.language = "und",
		.config = buf_bytes(&title->facts.config),
		.channels = a->channels,
	};
	if (strlen(language) == 3)
		memcpy(t->language, language, 3);
}

int title_put_init(const struct title *title, const struct record_video *video, const struct record_audio *audio, struct buf *out,
		   struct err *err)
{
	struct fmp4_track tracks[2];
	int64_t end = 0, audio_end;
	int n = 0;

	if (video->is_present) {
		video_entry(title, video->delay_ticks, &tracks[n++]);
		end = video->end_ticks;
	}
	if (audio->is_present) {
		audio_entry(title, audio, &tracks[n++]);
		audio_end = audio->frames ? timeline_samples_to_ticks(audio->base + audio->frames * audio->unit, audio->rate) : 0;
		end = audio_end > end ? audio_end : end;
	}
	return fmp4_put_init(out, tracks, n, end, err);
}
