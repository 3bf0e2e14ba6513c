/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is to be encoded, from a title's first pictures.
 */
#include "common/timeline.h"
#include "worker/video_encoder.h"
#include "worker/video_encoder_choice.h"
#include "worker/video_filter.h"

#include <libavcodec/avcodec.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>

#define RATE_MAX 300          /* frames per second; the least is 1/10 */
#define SAR_MAX 100           /* of a pixel's sides; more is a mistake */
#define HD_HEIGHT 720         /* from here on RGB becomes BT.709 */
#define PEAK_DEFAULT 1000     /* cd/m2, that most is mastered for */
#define PEAK_MIN 100
#define PEAK_MAX 10000

#define LIMIT_LAG (INT64_C(10) * TICKS_PER_SECOND)

struct look {
	const struct video_source *source;
	const struct video_options *options;
	struct video_facts *facts;
	int64_t n;                /* frames */
	int64_t first, last;      /* their times */
};

/* ---- the pieces */

static void set_size(struct record_encode *p, const struct video_source *source, const struct video_options *o, const AVFrame *f)
{
	bool is_turned;
	int64_t width, height;

	p->rotation = (source->rotation % 360 + 360) % 360 / 90 * 90;
	is_turned = p->rotation == 90 || p->rotation == 270;
	width = (is_turned ? f->height : f->width) & ~1;
	height = (is_turned ? f->width : f->height) & ~1;
	if (o->max_height >= 2 && height > o->max_height) {
		width = timeline_scale_round(width, o->max_height & ~1, 2 * height) * 2;
		height = o->max_height & ~1;
	}
	p->width = (int)(width > 2 ? width : 2);
	p->height = (int)height;
}

static void set_aspect(struct record_encode *p, const struct video_source *source, const AVFrame *f)
{
	bool is_said = source->sar_num > 0 && source->sar_den > 0;
	int64_t num = is_said ? source->sar_num : f->sample_aspect_ratio.num;
	int64_t den = is_said ? source->sar_den : f->sample_aspect_ratio.den;
	bool is_turned = p->rotation == 90 || p->rotation == 270;

	if (num <= 0 || den <= 0 || num > den * SAR_MAX || den > num * SAR_MAX)
		num = den = 1;
	av_reduce(&p->sar_num, &p->sar_den, is_turned ? den : num, is_turned ? num : den, UINT16_MAX);
}

static bool is_rate(int64_t num, int64_t den)
{
	return num > 0 && den > 0 && num <= INT32_MAX && den <= INT32_MAX && num <= RATE_MAX * den && 10 * num >= den;
}

static void set_rate(struct record_encode *p, const struct look *l)
{
	int64_t num = l->source->rate_num, den = l->source->rate_den;
	int n, d;

	if (!is_rate(num, den)) {
		num = (l->n - 1) * TICKS_PER_SECOND;
		den = l->last - l->first;
	}
	if (!is_rate(num, den)) {
		num = 25;
		den = 1;
	}
	av_reduce(&n, &d, num, den, INT32_MAX);
	p->rate_num = n;
	p->rate_den = d;
}

static int peak_of(const struct video_source *source, const AVFrame *f, int transfer)
{
	const AVFrameSideData *light = av_frame_get_side_data(f, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
	const AVFrameSideData *display = av_frame_get_side_data(f, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
	const AVMasteringDisplayMetadata *m = display ? (const void *)display->data : NULL;
	double peak = source->max_cll;

	if (transfer == AVCOL_TRC_ARIB_STD_B67)
		return PEAK_DEFAULT;
	if (!(peak > 0) && light)
		peak = ((const AVContentLightMetadata *)(const void *)light->data)->MaxCLL;
	if (!(peak > 0))
		peak = source->max_luminance;
	if (!(peak > 0) && m && m->has_luminance && m->max_luminance.den > 0)
		peak = av_q2d(m->max_luminance);
	if (!(peak > 0))
		peak = PEAK_DEFAULT;
	return peak < PEAK_MIN ? PEAK_MIN : peak > PEAK_MAX ? PEAK_MAX : (int)peak;
}

/* The code points that x264 knows. */
static int known(int code, int most)
{
	return code > most ? AVCOL_SPC_UNSPECIFIED : code;
}

static void set_colour(struct record_encode *p, const struct video_source *source, const AVFrame *f)
{
	struct video_colour c = video_colour_of(source, f);

	if (c.transfer == AVCOL_TRC_SMPTE2084 || c.transfer == AVCOL_TRC_ARIB_STD_B67) {
		p->hdr_peak = peak_of(source, f, c.transfer);
		c = (struct video_colour){ AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_SPC_BT709, false };
	} else if (av_pix_fmt_desc_get(f->format)->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) {
		c.matrix = p->height >= HD_HEIGHT ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
	}
	p->primaries = known(c.primaries, AVCOL_PRI_SMPTE432);
	p->transfer = known(c.transfer, AVCOL_TRC_ARIB_STD_B67);
	p->matrix = known(c.matrix, AVCOL_SPC_ICTCP);
	p->is_full_range = c.is_full_range;
}

static int look_at(void *arg, AVFrame *f, struct err *err)
{
	struct look *l = arg;
	struct record_encode *p = &l->facts->params;

	l->facts->is_interlaced |= f->interlaced_frame;
	l->last = f->pts;
	if (l->n++)
		return 0;
	l->first = f->pts;
	if (f->width > VIDEO_SIDE_MAX || f->height > VIDEO_SIDE_MAX || (int64_t)f->width * f->height > VIDEO_PIXELS_MAX)
		return err_set(err, ERR_LIMIT, "pictures of %dx%d are too large", f->width, f->height);
	if (f->width < 2 || f->height < 2)
		return err_set(err, ERR_UNSUPPORTED, "pictures of %dx%d are too small", f->width, f->height);
	set_size(p, l->source, l->options, f);
	set_aspect(p, l->source, f);
	set_colour(p, l->source, f);
	return 0;
}

/* ---- public */

int video_facts_init(struct video_facts *facts, const struct video_source *source, const struct video_options *options,
		     const struct video_packet *first, int n_first, struct err *err)
{
	struct look l = { .source = source, .options = options, .facts = facts };
	struct buf sets = { 0 };
	struct video_decode *d;
	int ret = video_decode_create(&d, source, err);

	*facts = (struct video_facts){ 0 };
	if (ret)
		return ret;
	for (int i = 0; i < n_first && !ret; i++)
		ret = video_decode_push(d, &first[i], look_at, &l, err);
	if (!ret)
		ret = video_decode_push(d, NULL, look_at, &l, err);
	video_decode_destroy(d);
	if (!ret && !l.n)
		ret = err_set(err, ERR_DATA, "no picture of %s can be decoded", avcodec_get_name(source->par->codec_id));
	if (ret)
		return ret;
	set_rate(&facts->params, &l);
	if (first[0].pts == VIDEO_TIME_NONE && first[0].dts != VIDEO_TIME_NONE && l.first > first[0].dts &&
	    l.first - first[0].dts < LIMIT_LAG)
		facts->params.lag_ticks = l.first - first[0].dts;
	ret = video_encoder_choose(&facts->params, options, &sets, err);
	if (!ret)
		ret = video_encoder_config(&facts->nal, &facts->params, options, buf_bytes(&sets), err);
	buf_finish(&sets);
	return ret;
}

void video_facts_finish(struct video_facts *f)
{
	nal_config_finish(&f->nal);
}
