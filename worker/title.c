/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/title.h"

#include "common/timeline.h"
#include "worker/audio_codec.h"
#include "worker/grid.h"
#include "worker/hdr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_NS (3 * NS_PER_SECOND)
#define LIMIT_HEAD_BLOCKS 200000 /* blocks read to find the first of each track */
#define LIMIT_FIRST_BYTES (16u << 20) /* audio packets are kept until they are more */
#define LIMIT_RATE_NS (1000 * NS_PER_SECOND) /* a picture that stands for longer has no rate */

/* ---- tracks */

static bool is_video_codec(const struct track *t, enum nal_codec *codec)
{
	if (!strncmp(t->codec_id, "V_MPEG4/ISO/AVC", 15))
		*codec = NAL_H264;
	else if (!strncmp(t->codec_id, "V_MPEGH/ISO/HEVC", 16))
		*codec = NAL_H265;
	else
		return false;
	return true;
}

/* `want`: "", or in lower case the whole language or what it begins with: pt of pt-BR. */
static bool is_language(const char *language, const char *want)
{
	size_t n = strlen(want);

	return !n || (!strncasecmp(language, want, n) && (!language[n] || language[n] == '-'));
}

static int no_such_track(const struct demux *demux, enum track_type type, struct err *err)
{
	char list[200] = " none";
	size_t n = 0;

	for (int i = 0; i < demux->n_tracks && n < sizeof list; i++)
		if (demux->tracks[i].type == type)
			n += (size_t)snprintf(list + n, sizeof list - n, " %llu (%s, %s)", (unsigned long long)demux->tracks[i].number,
					      demux->tracks[i].language, demux->tracks[i].codec_id);
	return err_set(err, ERR_UNSUPPORTED, "there is no such %s track; there is:%s", type == TRACK_VIDEO ? "video" : "audio", list);
}

/* The one asked for, or the first that can be played. */
static int pick_video(struct title *title, const struct record_options *options, struct err *err)
{
	const struct track *other = NULL;

	for (int i = 0; i < title->demux->n_tracks && !title->video; i++) {
		const struct track *t = &title->demux->tracks[i];

		if (t->type != TRACK_VIDEO || (options->video_track && t->number != (uint64_t)options->video_track))
			continue;
		if (is_video_codec(t, &title->codec))
			title->video = t;
		else
			other = t;
	}
	if (!title->video && other)
		return err_set(err, ERR_UNSUPPORTED, "video codec %s would have to be encoded anew; only H.264 and H.265 are copied",
			       other->codec_id);
	return !title->video && options->video_track ? no_such_track(title->demux, TRACK_VIDEO, err) : 0;
}

/* Of those asked for the one with the default flag, else the first. */
static int pick_audio(struct title *title, const struct record_options *options, struct err *err)
{
	bool is_asked = options->audio_track || options->audio_language[0];
	const struct track *other = NULL;

	for (int i = 0; i < title->demux->n_tracks; i++) {
		const struct track *t = &title->demux->tracks[i];

		if (t->type != TRACK_AUDIO || (options->audio_track && t->number != (uint64_t)options->audio_track) ||
		    !is_language(t->language, options->audio_language))
			continue;
		if (!audio_codec_find(t))
			other = t;
		else if (!title->audio || (t->is_default && !title->audio->is_default))
			title->audio = t;
	}
	if (!title->audio && other && (is_asked || !title->video))
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", other->codec_id);
	return !title->audio && is_asked ? no_such_track(title->demux, TRACK_AUDIO, err) : 0;
}

static int check_readable(const struct track *t, struct err *err)
{
	if (!t || !t->is_encrypted)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "track %llu is encrypted, or packed in a way that is not known",
		       (unsigned long long)t->number);
}

static int pick_tracks(struct title *title, const struct record_options *options, struct err *err)
{
	int ret = pick_video(title, options, err);

	if (!ret)
		ret = pick_audio(title, options, err);
	if (!ret && !title->video && !title->audio)
		ret = err_set(err, ERR_UNSUPPORTED, "the file has neither a video nor an audio track");
	if (!ret)
		ret = check_readable(title->video, err);
	return ret ? ret : check_readable(title->audio, err);
}

/* ---- head: the first frames of each track */

/* Can decoding start with it? The same as the probe takes for a sync sample. */
static int is_sync(const struct title *title, struct bytes data, struct err *err)
{
	struct buf converted = { 0 };
	struct nal_sample sample;
	int ret = nal_sample_read(&title->nal, data, &converted, &sample, err);

	buf_finish(&converted);
	return ret == ERR_DATA ? 0 : ret ? ret : sample.has_picture;
}

static int first_video(struct title *title, const struct frame *f, struct err *err)
{
	struct bytes data;
	int ret;

	if (title->n_times) {
		if (title->n_times < TITLE_FIRST_FRAMES)
			title->times_ns[title->n_times++] = f->time_ns;
		return 0;
	}
	if (!f->is_key || f->lace_index)
		return 0;
	ret = demux_data(title->demux, f, &title->scratch, &data, err);
	if (!ret)
		ret = nal_config_init(&title->nal, title->codec, title->video->codec_private, data, err);
	if (ret)
		return err_prefix(err, "video track %llu", (unsigned long long)title->video->number);
	title->has_nal = true;
	ret = is_sync(title, data, err);
	if (ret == 1) {
		title->times_ns[title->n_times++] = f->time_ns;
	} else {
		nal_config_finish(&title->nal);
		title->has_nal = false;
	}
	return ret < 0 ? ret : 0;
}

static bool has_enough_audio(const struct title *title)
{
	size_t bytes = 0;

	for (int i = 0; i < title->n_first; i++)
		bytes += title->first[i].size;
	return !title->audio || title->n_first == TITLE_FIRST_PACKETS || bytes > LIMIT_FIRST_BYTES;
}

static int first_audio(struct title *title, const struct frame *f, struct err *err)
{
	struct bytes data;
	int ret;

	if (has_enough_audio(title))
		return 0;
	ret = demux_data(title->demux, f, &title->scratch, &data, err);
	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	if (!title->n_first)
		title->audio_origin_ns = f->time_ns;
	if (!title->n_first || (title->n_first == 1 && audio_codec_find(title->audio)->is_first_silent))
		title->audio_first_ns = f->time_ns;
	buf_put(&title->first[title->n_first], data.data, data.size);
	return buf_failed(&title->first[title->n_first++]) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* Video frames are read on behind the first sync sample: in an open GOP the first to be shown come after it, and the frame rate's grid
 * shows only in many. But nobody who waits for a slow source wants to wait for long. */
static bool has_enough_video(const struct title *title)
{
	int reorder = title->nal.sps.reorder < 0 ? 16 : title->nal.sps.reorder;

	return !title->video || title->n_times == TITLE_FIRST_FRAMES ||
	       (title->n_times > reorder + 1 && title->times_ns[title->n_times - 1] - title->times_ns[0] > FIRST_NS);
}

/* A track that has no frame is left out; but where reading failed, it may have some. */
static int drop_empty(struct title *title, struct err *err)
{
	bool is_video_empty = title->video && !title->has_nal, is_audio_empty = title->audio && !title->n_first;

	if ((is_video_empty || is_audio_empty) && input_status(title->demux->in, err))
		return err->code;
	if (is_video_empty)
		title->video = NULL;
	if (is_audio_empty)
		title->audio = NULL;
	if (!title->video && !title->audio)
		return err_set(err, ERR_DATA, "no video sync sample and no audio packet was found in the file");
	return 0;
}

static int read_head(struct title *title, struct err *err)
{
	struct frame f;
	int ret = demux_seek(title->demux, title->demux->first, err);

	for (int n = 0; n < LIMIT_HEAD_BLOCKS && !ret; n++) {
		if ((has_enough_video(title) && has_enough_audio(title)) || demux_next(title->demux, &f, err) != 1)
			break;
		if (title->video && f.track == title->video->number) {
			ret = first_video(title, &f, err);
		} else if (title->audio && f.track == title->audio->number) {
			ret = first_audio(title, &f, err);
		}
	}
	return ret ? ret : drop_empty(title, err);
}

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
	return grid_snap(&title->record_video, first);
}

/* Dolby Vision of profile 5 has no base layer that other decoders show in its colours: it is announced as what it is (dvh1), so
 * that they leave it alone. All other profiles keep their base layer's name. */
static void dolby_facts(const struct title *title, struct record_video *v)
{
	struct hdr_dovi d;

	for (int i = 0; i < title->video->n_mappings && title->codec == NAL_H265; i++) {
		const struct track_mapping *m = &title->video->mappings[i];

		if (m->type >> 16 != ('d' << 8 | 'v') || !hdr_dovi(m->data, &d) || d.profile != 5 || d.compatibility)
			continue;
		snprintf(v->codecs, sizeof v->codecs, "dvh1.%02d.%02d", d.profile, d.level);
		snprintf(v->range, sizeof v->range, "PQ");
	}
}

static void video_facts(struct title *title)
{
	struct record_video *v = &title->record_video;
	const struct track_colour *c = &title->video->colour;
	int transfer = c->is_present && c->transfer > 0 && c->transfer != 2 ? c->transfer
		       : title->nal.sps.has_colour				    ? title->nal.sps.transfer
									    : 2;

	v->is_present = true;
	v->track = (int64_t)title->video->number;
	snprintf(v->codecs, sizeof v->codecs, "%s", title->nal.codecs);
	v->width = title->nal.sps.width;
	v->height = title->nal.sps.height;
	snprintf(v->range, sizeof v->range, "%s", video_range(transfer));
	dolby_facts(title, v);
	set_rate(&v->rate_num, &v->rate_den, &title->nal.sps, title->video->default_duration_ns);
	set_grid(title);
}

static int audio_facts(struct title *title, const struct record_options *options, struct err *err)
{
	struct record_audio *a = &title->record_audio;
	struct bytes first[TITLE_FIRST_PACKETS];
	int ret;

	for (int i = 0; i < title->n_first; i++)
		first[i] = buf_bytes(&title->first[i]);
	ret = audio_facts_init(&title->facts, title->audio, options, first, title->n_first, err);
	title->has_facts = !ret;
	if (ret)
		return ret;
	*a = (struct record_audio){
		.is_present = true,
		.is_copy = title->facts.is_copy,
		.track = (int64_t)title->audio->number,
		.rate = title->facts.rate,
		.channels = title->facts.channels,
		.unit = title->facts.unit,
		.source_rate = title->facts.source_rate,
		.source_unit = title->facts.is_counted ? 0 : title->facts.source_unit,
		.lead = title->facts.lead,
		.delay = title->facts.delay,
	};
	snprintf(a->codecs, sizeof a->codecs, "%s", title->facts.codecs);
	return 0;
}

/* Timeline 0 is where the earlier of the tracks begins. */
static int set_origin(struct title *title, const struct record_options *options, struct err *err)
{
	int64_t audio_ns = 0, origin = INT64_MAX;
	int ret = 0;

	if (title->audio) {
		ret = audio_facts(title, options, err);
		if (ret)
			return ret;
		audio_ns = title->audio_origin_ns + timeline_scale_round(title->facts.skip, NS_PER_SECOND, title->facts.source_rate);
		origin = audio_ns;
	}
	if (title->video) {
		video_facts(title);
		if (title_first_video_ns(title) < origin)
			origin = title_first_video_ns(title);
	}
	title->origin_ns = origin;
	if (title->audio) {
		title->record_audio.source_base = timeline_ns_to_samples(title->audio_first_ns - origin, title->facts.source_rate);
		title->record_audio.base = title->facts.is_copy ? title->record_audio.source_base : 0;
	}
	return 0;
}

/* ---- public */

int title_init(struct title *title, struct demux *demux, const struct record_options *options, struct err *err)
{
	int ret = 0;

	memset(title, 0, sizeof *title);
	title->demux = demux;
	if (demux->first < 0)
		ret = err_set(err, ERR_DATA, "the file has no Cluster: there is nothing to play in it");
	if (!ret)
		ret = pick_tracks(title, options, err);
	if (!ret)
		ret = read_head(title, err);
	if (!ret)
		ret = set_origin(title, options, err);
	if (ret)
		title_finish(title);
	return ret;
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
	if (title->has_facts)
		audio_facts_finish(&title->facts);
	for (int i = 0; i < TITLE_FIRST_PACKETS; i++)
		buf_finish(&title->first[i]);
	buf_finish(&title->scratch);
	memset(title, 0, sizeof *title);
}
