/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/timeline.h"
#include "worker/fmp4.h"
#include "worker/hdr.h"
#include "worker/title.h"

#include <stdio.h>
#include <string.h>

#define DISPLAY_RATIO 3 /* DisplayUnit; 4: not known */

/* What the container says of a colour, else what the stream does; 2 is "unspecified" in both. */
static int pick(int from_container, int from_stream, bool has_stream)
{
	if (from_container >= 0 && from_container != 2)
		return from_container;
	return has_stream ? from_stream : 2;
}

static void set_colour(const struct track_colour *c, const struct nal_sps *sps, struct fmp4_track *t)
{
	t->primaries = pick(c->is_present ? c->primaries : 2, sps->primaries, sps->has_colour);
	t->transfer = pick(c->is_present ? c->transfer : 2, sps->transfer, sps->has_colour);
	t->matrix = pick(c->is_present ? c->matrix : 2, sps->matrix, sps->has_colour);
	t->is_full_range = c->is_present && c->range ? c->range == 2 : sps->is_full_range;
	t->has_colour = sps->has_colour || t->primaries != 2 || t->transfer != 2 || t->matrix != 2 || t->is_full_range;
}

/* DisplayWidth and DisplayHeight may be a size in samples, in centimetres, in inches, or a ratio: their ratio is one in any
 * case. */
static void set_par(const struct track *m, const struct nal_sps *sps, struct fmp4_track *t)
{
	t->par_num = (uint32_t)(sps->sar_num > 0 ? sps->sar_num : 0);
	t->par_den = (uint32_t)(sps->sar_den > 0 ? sps->sar_den : 0);
	if (m->display_width > 0 && m->display_height > 0 && m->display_unit <= DISPLAY_RATIO && m->width > 0 && m->height > 0) {
		int64_t num = (int64_t)m->display_width * m->height, den = (int64_t)m->display_height * m->width;
		int64_t common = timeline_gcd(num, den);

		while (num / common > UINT32_MAX || den / common > UINT32_MAX)
			common *= 2;
		t->par_num = (uint32_t)(num / common);
		t->par_den = (uint32_t)(den / common);
	}
	t->is_par_known = t->par_num > 0 && t->par_den > 0;
}

static void add_box(struct fmp4_track *t, const char *type, struct bytes body)
{
	if (t->n_boxes == FMP4_BOXES_MAX || !body.size)
		return;
	memcpy(t->boxes[t->n_boxes].type, type, 4);
	t->boxes[t->n_boxes++].body = body;
}

/* Bodies of mdcv and clli. */
struct light {
	uint8_t mdcv[HDR_MDCV_SIZE], clli[HDR_CLLI_SIZE];
};

/* From the container, else from the stream. */
static void add_light(const struct title *title, struct light *light, struct fmp4_track *t)
{
	const struct track_colour *c = &title->video->colour;
	const struct nal_config *nal = &title->nal;

	if (hdr_mdcv(c, light->mdcv))
		add_box(t, "mdcv", (struct bytes){ light->mdcv, sizeof light->mdcv });
	else if (nal->has_mastering)
		add_box(t, "mdcv", (struct bytes){ nal->mastering, sizeof nal->mastering });
	if (hdr_clli(c, light->clli))
		add_box(t, "clli", (struct bytes){ light->clli, sizeof light->clli });
	else if (nal->has_light)
		add_box(t, "clli", (struct bytes){ nal->light, sizeof nal->light });
}

static void add_mappings(const struct track *m, struct fmp4_track *t)
{
	for (int i = 0; i < m->n_mappings; i++) {
		uint32_t type = m->mappings[i].type;
		char name[5] = { (char)(type >> 24), (char)(type >> 16), (char)(type >> 8), (char)type, 0 };

		add_box(t, name, m->mappings[i].data);
	}
}

static void video_entry(const struct title *title, const struct record_video *v, struct light *light, struct fmp4_track *t)
{
	static const struct track turned = { 0 }; /* what the container said is in the picture already */
	const struct track *m = v->is_copy ? title->video : &turned;
	const struct nal_sps *sps = &title->nal.sps;
	const char *brand = strchr(v->supplemental, '/');

	*t = (struct fmp4_track){
		.id = 1,
		.entry = title->nal.codec == NAL_H264 ? FMP4_AVC1 : strncmp(v->codecs, "dvh1", 4) ? FMP4_HVC1 : FMP4_DVH1,
		.timescale = TICKS_PER_SECOND,
		.language = "und",
		.config = buf_bytes(&title->nal.record),
		.edit_media_time = v->delay_ticks,
		.width = sps->width,
		.height = sps->height,
		.rotation = m->rotation,
	};
	if (brand)
		snprintf(t->brand, sizeof t->brand, "%s", brand + 1);
	set_colour(&m->colour, sps, t);
	set_par(m, sps, t);
	if (v->is_copy)
		add_light(title, light, t);
	add_mappings(m, t);
}

static void audio_entry(const struct title *title, const struct record_audio *a, struct fmp4_track *t)
{
	const struct title_audio *audio = title_find_audio(title, (uint64_t)a->track);
	const char *iso = audio->track->language_iso, *language = *iso ? iso : audio->track->language;

	*t = (struct fmp4_track){
		.id = 2,
		.entry = audio->facts.entry,
		.timescale = (uint32_t)a->rate,
		.language = "und",
		.config = buf_bytes(&audio->facts.config),
		.edit_media_time = a->delay,
		.channels = a->channels,
		.sample_bits = audio->facts.sample_bits,
		.roll = audio->facts.roll,
	};
	if (strlen(language) == 3)
		memcpy(t->language, language, 3);
}

int title_put_init(const struct title *title, const struct record_video *video, const struct record_audio *audio, struct buf *out,
		   struct err *err)
{
	struct fmp4_track tracks[2];
	struct light light;
	int64_t end = 0, audio_end = 0;
	int n = 0;

	if (video->is_present) {
		video_entry(title, video, &light, &tracks[n++]);
		end = video->end_ticks;
	}
	if (audio->is_present) {
		audio_entry(title, audio, &tracks[n++]);
		if (audio->frames) /* else it is not known */
			audio_end = timeline_samples_to_ticks(audio_frame_position(audio, audio->frames), audio->rate);
		end = audio_end > end ? audio_end : end;
	}
	return fmp4_put_init(out, tracks, n, end, err);
}
