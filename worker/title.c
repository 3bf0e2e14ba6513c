/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/title.h"

#include "common/log.h"
#include "common/timeline.h"
#include "worker/grid.h"
#include "worker/hdr.h"
#include "worker/video_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAD_FRAMES 3 /* a deinterlacer looks at the frames before and after */
#define LAG_FRAMES 16 /* frames behind a sync sample, whose own time is not known, may be shown before it */
#define LIMIT_RATE_NS (1000 * NS_PER_SECOND) /* a picture that stands for longer has no rate */

/* ---- facts of the tracks */

static void set_rate(int64_t *num, int64_t *den, const struct nal_sps *sps, uint64_t duration_ns)
{
	static const int64_t bases[] = { 24, 30, 60, 120 };

	*num = sps->rate_num;
	*den = sps->rate_den;
	if (!duration_ns || duration_ns > LIMIT_RATE_NS)
		return;
	*num = NS_PER_SECOND;
	*den = (int64_t)duration_ns;
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
		if (llabs((int64_t)duration_ns - 1001 * 1000000 / bases[i]) < 1000) {
			*num = bases[i] * 1000;
			*den = 1001;
			return;
		}
	for (int64_t whole = 1; whole <= 300; whole++)
		if (llabs((int64_t)duration_ns - NS_PER_SECOND / whole) < 1000) {
			*num = whole;
			*den = 1;
			return;
		}
}

static const char *video_range(int transfer)
{
	return transfer == 16 ? "PQ" : transfer == 18 ? "HLG" : "SDR";
}

static bool is_grid(struct title *title, int64_t num, int64_t den)
{
	struct record_video *v = &title->record_video;
	int64_t within = grid_within(title->video->rounding_ns);

	if (!grid_find(title->times_ns, (size_t)title->n_times, num, den, within, &v->grid_ns))
		return false;
	v->rate_num = num;
	v->rate_den = den;
	v->grid_within_ns = within;
	return true;
}

/* What the container says is often rounded as well; the stream may know better. */
static void set_grid(struct title *title)
{
	struct record_video *v = &title->record_video;

	if (!is_grid(title, v->rate_num, v->rate_den))
		is_grid(title, title->nal.sps.rate_num, title->nal.sps.rate_den);
}

int64_t title_first_video_ns(const struct title *title)
{
	int64_t first = title->times_ns[0];

	for (int i = 1; i < title->n_times; i++)
		first = title->times_ns[i] < first ? title->times_ns[i] : first;
	return grid_snap(&title->record_video, first) +
	       timeline_scale_round(title->record_video.encode.lag_ticks, NS_PER_SECOND, TICKS_PER_SECOND);
}

/* The brand of a base layer that is what its compatibility promises; NULL: it is not. Dolby Vision Streams within the ISO BMFF. */
static const char *dolby_brand(const struct hdr_dovi *d, const char *range)
{
	static const struct {
		int compatibility;
		const char *range, *brand;
	} layers[] = { { 1, "PQ", "db1p" }, { 2, "SDR", "db2g" }, { 4, "HLG", "db4h" } };

	for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
		if (d->profile == 8 && d->compatibility == layers[i].compatibility && !strcmp(range, layers[i].range))
			return layers[i].brand;
	return NULL;
}

/* Dolby Vision of profile 5 has no base layer that other decoders show in its colours: it is announced as what it is (dvh1), so
 * that they leave it alone. All other profiles keep their base layer's name; what profile 8 is besides is told as well. */
static void dolby_facts(const struct title *title, struct record_video *v)
{
	struct hdr_dovi d;

	for (int i = 0; i < title->video->n_mappings && title->codec == NAL_H265; i++) {
		const struct track_mapping *m = &title->video->mappings[i];
		const char *brand;

		if (m->type >> 16 != ('d' << 8 | 'v') || !hdr_dovi(m->data, &d))
			continue;
		brand = dolby_brand(&d, v->range);
		if (brand)
			snprintf(v->supplemental, sizeof v->supplemental, "dvh1.%02d.%02d/%s", d.profile, d.level, brand);
		if (d.profile != 5 || d.compatibility)
			continue;
		snprintf(v->codecs, sizeof v->codecs, "dvh1.%02d.%02d", d.profile, d.level);
		snprintf(v->range, sizeof v->range, "PQ");
	}
}

/* Of video that is encoded: what comes out is known from the first pictures. */
static int encode_facts(struct title *title, const struct record_options *options, struct err *err)
{
	struct video_packet first[TITLE_FIRST_FRAMES];
	struct video_source source;
	struct video_options video;
	struct video_facts facts;
	int ret = video_feed_source(&source, title->video, err);

	if (ret)
		return ret;
	for (int i = 0; i < title->n_packets; i++) {
		const struct title_packet *p = &title->packets[i];

		first[i] = (struct video_packet){ p->pts, p->dts, p->duration, .is_hidden = p->is_hidden,
						  .data = buf_bytes(&p->data) };
	}
	video_feed_options(&video, options);
	ret = video_facts_init(&facts, &source, &video, first, title->n_packets, err);
	video_feed_source_finish(&source);
	if (ret)
		return err_prefix(err, "video track %llu", (unsigned long long)title->video->number);
	title->nal = facts.nal;
	title->has_nal = true;
	title->record_video.encode = facts.params;
	if (facts.is_interlaced || facts.params.lag_ticks)
		title->record_video.encode.lead_ticks = (facts.params.lag_ticks ? LAG_FRAMES : LEAD_FRAMES) * TICKS_PER_SECOND *
							facts.params.rate_den / facts.params.rate_num;
	return 0;
}

static void video_facts(struct title *title)
{
	struct record_video *v = &title->record_video;
	const struct track_colour *c = &title->video->colour;
	int transfer = title->is_video_copied && c->is_present && c->transfer > 0 && c->transfer != 2 ? c->transfer
		       : title->nal.sps.has_colour				    ? title->nal.sps.transfer
									    : 2;

	v->is_present = true;
	v->is_copy = title->is_video_copied;
	v->track = (int64_t)title->video->number;
	snprintf(v->codecs, sizeof v->codecs, "%s", title->nal.codecs);
	v->width = title->nal.sps.width;
	v->height = title->nal.sps.height;
	snprintf(v->range, sizeof v->range, "%s", video_range(transfer));
	if (title->is_video_copied)
		dolby_facts(title, v);
	set_rate(&v->rate_num, &v->rate_den, &title->nal.sps, title->video->default_duration_ns);
	set_grid(title);
}

static int audio_facts(struct title_audio *t, const struct record_options *options, struct err *err)
{
	struct record_audio *a = &t->record;
	struct bytes first[TITLE_FIRST_PACKETS];
	int ret;

	for (int i = 0; i < t->n_first; i++)
		first[i] = buf_bytes(&t->first[i]);
	ret = audio_facts_init(&t->facts, t->track, options, first, t->n_first, err);
	t->has_facts = !ret;
	if (ret)
		return ret;
	if (t->skip > 0 && t->track->par) { /* edit lists: priming of the encoder */
		t->facts.skip = t->skip;
		t->facts.delay = !t->facts.is_copy	     ? 0
				 : t->facts.entry == FMP4_MP4A ? t->skip % t->facts.unit
							      : t->skip;
	}
	*a = (struct record_audio){
		.is_present = true,
		.is_copy = t->facts.is_copy,
		.track = (int64_t)t->track->number,
		.rate = t->facts.rate,
		.channels = t->facts.channels,
		.unit = t->facts.unit,
		.source_rate = t->facts.source_rate,
		.source_unit = t->facts.is_counted ? 0 : t->facts.source_unit,
		.lead = t->facts.lead,
		.delay = t->facts.delay,
	};
	snprintf(a->codecs, sizeof a->codecs, "%s", t->facts.codecs);
	return 0;
}

/* Of all tracks; those that turn out to be of no use are left out, where something else is left. */
static int all_audio_facts(struct title *title, const struct record_options *options, struct err *err)
{
	for (int i = 0; i < title->n_audios;) {
		const struct title_audio *a = &title->audios[i];
		int ret = audio_facts(&title->audios[i], options, err);

		if (!ret) {
			i++;
			continue;
		}
		if (title->n_audios > 1 ? ret != ERR_DATA && ret != ERR_UNSUPPORTED
					: ret != ERR_DATA || !title->video || a->n_first == TITLE_FIRST_PACKETS)
			return ret;
		log_warn("audio is left out", "track=%llu reason=\"%s\"", (unsigned long long)a->track->number, err->msg); /* all it has */
		title_drop_audio(title, i);
	}
	return 0;
}

static int64_t audio_start_ns(const struct title_audio *a)
{
	return a->origin_ns + timeline_scale_round(a->facts.skip, NS_PER_SECOND, a->facts.source_rate);
}

static void place_audio(const struct title *title, struct title_audio *t)
{
	struct record_audio *a = &t->record;

	a->source_base = timeline_ns_to_samples(t->first_ns - title->origin_ns, t->facts.source_rate);
	a->base = 0;
	if (t->facts.is_copy) /* whole frames of priming are left out: not every player knows what not to play */
		a->base = a->source_base + t->facts.skip - t->facts.delay;
	if (title->is_entered && a->base < 0)
		a->base += (a->unit - 1 - a->base) / a->unit * a->unit;
}

/* Timeline 0 is where the earliest of the tracks begins. */
static int set_origin(struct title *title, const struct record_options *options, struct err *err)
{
	int64_t origin = INT64_MAX;
	int ret = all_audio_facts(title, options, err);

	if (ret)
		return ret;
	for (int i = 0; i < title->n_audios; i++)
		origin = audio_start_ns(&title->audios[i]) < origin ? audio_start_ns(&title->audios[i]) : origin;
	if (title->video) {
		ret = title->is_video_copied ? 0 : encode_facts(title, options, err);
		if (ret)
			return ret;
		video_facts(title);
		if (title_first_video_ns(title) < origin || title->is_entered)
			origin = title_first_video_ns(title);
	}
	title->origin_ns = origin;
	for (int i = 0; i < title->n_audios; i++)
		place_audio(title, &title->audios[i]);
	if (title->audio)
		title->record_audio = title->audio->record;
	return 0;
}

/* ---- public */

static int init(struct title *title, struct demux *demux, const struct record_options *options, bool is_all, struct err *err)
{
	int ret = 0;

	memset(title, 0, sizeof *title);
	title->demux = demux;
	if (demux->first < 0)
		ret = err_set(err, ERR_DATA, "the file has no Cluster: there is nothing to play in it");
	if (!ret)
		ret = title_pick_tracks(title, options, is_all, err);
	if (!ret)
		ret = title_read_head(title, err);
	if (!ret)
		ret = set_origin(title, options, err);
	if (ret)
		title_finish(title);
	return ret;
}

int title_init(struct title *title, struct demux *demux, const struct record_options *options, struct err *err)
{
	return init(title, demux, options, false, err);
}

int title_init_all(struct title *title, struct demux *demux, const struct record_options *options, struct err *err)
{
	return init(title, demux, options, true, err);
}

int64_t title_frame_duration(const struct title *t, int64_t said, int64_t gap)
{
	const struct record_video *v = &t->record_video;
	int64_t duration = said, exact = 0;

	if (v->rate_num > 0)
		exact = timeline_scale_round(TICKS_PER_SECOND, v->rate_den, v->rate_num);
	if (duration <= 0)
		duration = timeline_ns_to_ticks((int64_t)t->video->default_duration_ns);
	if (duration <= 0)
		duration = gap;
	/* where it is rounded like the times */
	if (duration <= 0 || (v->grid_within_ns && llabs(duration - exact) <= TICKS_PER_SECOND / 1000))
		duration = exact;
	return duration > 0 ? duration : TICKS_PER_SECOND / 25;
}

void title_finish(struct title *title)
{
	if (title->has_nal)
		nal_config_finish(&title->nal);
	while (title->n_audios)
		title_drop_audio(title, title->n_audios - 1);
	free(title->audios);
	for (int i = 0; i < TITLE_FIRST_FRAMES; i++)
		buf_finish(&title->packets[i].data);
	buf_finish(&title->scratch);
	memset(title, 0, sizeof *title);
}
