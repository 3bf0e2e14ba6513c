/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/demux_av.h"

#include <libavcodec/packet.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/mastering_display_metadata.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NS 1000000000
#define DISPLAY_RATIO 3 /* as Matroska's DisplayUnit */

static void set_rotation(struct track *t, const AVStream *st)
{
	const uint8_t *matrix = av_stream_get_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, NULL);
	double turn;

	if (!matrix)
		return;
	turn = av_display_rotation_get((const int32_t *)(const void *)matrix);
	if (!isnan(turn))
		t->rotation = ((int)lrint(-turn / 90) % 4 + 4) % 4 * 90;
}

static void set_light(struct track_colour *c, const AVStream *st)
{
	const AVMasteringDisplayMetadata *m =
		(const void *)av_stream_get_side_data(st, AV_PKT_DATA_MASTERING_DISPLAY_METADATA, NULL);
	const AVContentLightMetadata *light =
		(const void *)av_stream_get_side_data(st, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, NULL);

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 2; k++) {
			c->chromaticity[i][k] = m && m->has_primaries ? av_q2d(m->display_primaries[i][k]) : -1;
			c->chromaticity[3][k] = m && m->has_primaries ? av_q2d(m->white_point[k]) : -1;
		}
	c->luminance_max = m && m->has_luminance ? av_q2d(m->max_luminance) : -1;
	c->luminance_min = m && m->has_luminance ? av_q2d(m->min_luminance) : -1;
	c->max_cll = light ? (int64_t)light->MaxCLL : -1;
	c->max_fall = light ? (int64_t)light->MaxFALL : -1;
}

/* FFmpeg's numbers are those of ISO/IEC 23091-2. */
static void set_colour(struct track_colour *c, const AVCodecParameters *par)
{
	c->primaries = par->color_primaries;
	c->transfer = par->color_trc;
	c->matrix = par->color_space;
	c->range = par->color_range == AVCOL_RANGE_MPEG ? 1 : par->color_range == AVCOL_RANGE_JPEG ? 2 : 0;
	c->is_present = c->primaries != AVCOL_PRI_UNSPECIFIED || c->transfer != AVCOL_TRC_UNSPECIFIED ||
			c->matrix != AVCOL_SPC_UNSPECIFIED || c->range;
}

static void set_video(struct track *t, const AVStream *st)
{
	const AVCodecParameters *par = st->codecpar;
	AVRational sar = st->sample_aspect_ratio.num ? st->sample_aspect_ratio : par->sample_aspect_ratio;
	AVRational rate = st->avg_frame_rate.num > 0 && st->avg_frame_rate.den > 0 ? st->avg_frame_rate : st->r_frame_rate;

	t->width = par->width;
	t->height = par->height;
	if (sar.num > 0 && sar.den > 0 && par->width > 0 && par->height > 0 && sar.num < INT32_MAX / par->width &&
	    sar.den < INT32_MAX / par->height) {
		t->display_width = sar.num * par->width;
		t->display_height = sar.den * par->height;
		t->display_unit = DISPLAY_RATIO;
	}
	if (rate.num > 0 && rate.den > 0)
		t->default_duration_ns = (uint64_t)av_rescale(NS, rate.den, rate.num);
	set_colour(&t->colour, par);
	set_light(&t->colour, st);
	set_rotation(t, st);
}

static enum track_type type_of(const AVStream *st)
{
	if (st->disposition & AV_DISPOSITION_ATTACHED_PIC) /* a cover, not a video */
		return TRACK_OTHER;
	if (st->codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
		return TRACK_VIDEO;
	if (st->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE)
		return TRACK_TEXT;
	return st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO ? TRACK_AUDIO : TRACK_OTHER;
}

void demux_av_track(struct track *t, const AVStream *st)
{
	const AVCodecParameters *par = st->codecpar;
	const AVDictionaryEntry *language = av_dict_get(st->metadata, "language", NULL, 0);
	const AVDictionaryEntry *name = av_dict_get(st->metadata, "title", NULL, 0);

	*t = (struct track){
		.number = (uint64_t)st->index + 1,
		.type = type_of(st),
		.is_default = st->disposition & AV_DISPOSITION_DEFAULT,
		.is_enabled = true,
		.is_forced = st->disposition & AV_DISPOSITION_FORCED,
		.par = par,
		.codec_private = { par->extradata, (size_t)(par->extradata_size > 0 ? par->extradata_size : 0) },
		.language = "und",
		.scale = 1,
		.rounding_ns = st->time_base.num > 0 && st->time_base.den > 0 ?
				       av_rescale(NS, st->time_base.num, st->time_base.den) : 1,
	};
	snprintf(t->codec_id, sizeof t->codec_id, "%s", avcodec_get_name(par->codec_id));
	if (language && language->value[0])
		snprintf(t->language, sizeof t->language, "%s", language->value);
	if (name)
		snprintf(t->name, sizeof t->name, "%s", name->value);
	if (strlen(t->language) == 3)
		memcpy(t->language_iso, t->language, 4);
	if (t->type == TRACK_VIDEO)
		set_video(t, st);
	t->rate = t->output_rate = par->sample_rate;
	t->channels = par->ch_layout.nb_channels;
	t->bit_depth = par->bits_per_coded_sample ? par->bits_per_coded_sample : par->bits_per_raw_sample;
}
