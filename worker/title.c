/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/title.h"

#include "common/timeline.h"
#include "worker/audio_codec.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_HEAD_BLOCKS 200000 /* blocks read to find the first of each track */

/* ---- tracks */

static bool is_video_codec(const struct mkv_track *t, enum nal_codec *codec)
{
	if (!strncmp(t->codec_id, "V_MPEG4/ISO/AVC", 15))
		*codec = NAL_H264;
	else if (!strncmp(t->codec_id, "V_MPEGH/ISO/HEVC", 16))
		*codec = NAL_H265;
	else
		return false;
	return true;
}

static int pick_tracks(struct title *title, struct err *err)
{
	const struct mkv_track *other = NULL;

	for (int i = 0; i < title->mkv->n_tracks; i++) {
		const struct mkv_track *t = &title->mkv->tracks[i];
		enum nal_codec codec;

		if (t->type != MKV_VIDEO && t->type != MKV_AUDIO)
			continue;
		if (t->is_encrypted)
			return err_set(err, ERR_UNSUPPORTED, "track %llu is encrypted", (unsigned long long)t->number);
		if (t->type == MKV_VIDEO && is_video_codec(t, &codec)) {
			if (!title->video) {
				title->video = t;
				title->codec = codec;
			}
		} else if (t->type == MKV_AUDIO && audio_codec_find(t->codec_id)) {
			if (!title->audio || (t->is_default && !title->audio->is_default))
				title->audio = t;
		} else if (!other || t->type == MKV_VIDEO) {
			other = t;
		}
	}
	if (other && !title->video && other->type == MKV_VIDEO)
		return err_set(err, ERR_UNSUPPORTED, "video codec %s would have to be encoded anew; only H.264 and H.265 are copied",
			       other->codec_id);
	if (other && !title->video && !title->audio)
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", other->codec_id);
	if (!title->video && !title->audio)
		return err_set(err, ERR_UNSUPPORTED, "the file has neither a video nor an audio track");
	return 0;
}

/* ---- head: the first frames of each track */

static int first_video(struct title *title, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	int ret;

	if (title->has_nal) {
		title->first_ns[title->n_first_ns++] = f->time_ns;
		if (f->time_ns < title->video_first_ns)
			title->video_first_ns = f->time_ns; /* a leading picture */
		return 0;
	}
	if (!f->is_key)
		return 0;
	ret = mkv_frame_data(title->mkv, f, &title->scratch, &data, err);
	if (!ret)
		ret = nal_config_init(&title->nal, title->codec, title->video->codec_private, data, err);
	if (ret)
		return err_prefix(err, "video track %llu", (unsigned long long)title->video->number);
	title->has_nal = true;
	title->video_first_ns = title->first_ns[title->n_first_ns++] = f->time_ns;
	return 0;
}

static int first_audio(struct title *title, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	int ret = mkv_frame_data(title->mkv, f, &title->scratch, &data, err);

	if (ret == ERR_DATA || title->n_first == TITLE_FIRST_PACKETS)
		return 0;
	if (ret)
		return ret;
	if (!title->n_first)
		title->audio_origin_ns = f->time_ns;
	if (!title->n_first || (title->n_first == 1 && audio_codec_find(title->audio->codec_id)->is_first_silent))
		title->audio_first_ns = f->time_ns;
	buf_put(&title->first[title->n_first++], data.data, data.size);
	return 0;
}

/* Video frames are read on a little behind the first sync sample: in an open GOP the first to be shown come after it. */
static int read_head(struct title *title, struct err *err)
{
	struct mkv_cursor cursor;
	struct mkv_frame f;
	int ret = mkv_seek(&cursor, title->mkv, title->mkv->first_cluster, -1, err);

	for (int n = 0; n < LIMIT_HEAD_BLOCKS && !ret; n++) {
		bool has_video = !title->video || title->n_first_ns == TITLE_FIRST_FRAMES;
		bool has_audio = !title->audio || title->n_first == TITLE_FIRST_PACKETS;

		if ((has_video && has_audio) || mkv_next(&cursor, &f, err) != 1)
			break;
		if (!has_video && f.track == title->video->number)
			ret = first_video(title, &f, err);
		else if (title->audio && f.track == title->audio->number)
			ret = first_audio(title, &f, err);
	}
	if (ret)
		return ret;
	if (title->video && !title->has_nal)
		title->video = NULL; /* announced, but without one sync sample */
	if (title->audio && !title->n_first)
		title->audio = NULL;
	if (!title->video && !title->audio)
		return err_set(err, ERR_DATA, "no video sync sample and no audio packet was found in the file");
	return 0;
}

/* ---- facts of the tracks */

static void set_rate(int64_t *num, int64_t *den, const struct nal_sps *sps, uint64_t duration_ns)
{
	static const int64_t bases[] = { 24, 30, 60, 120 };

	*num = sps->rate_num;
	*den = sps->rate_den;
	if (!duration_ns)
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

static void video_facts(struct title *title)
{
	struct record_video *v = &title->record_video;
	const struct mkv_colour *c = &title->video->colour;
	int transfer = c->is_present && c->transfer > 0 && c->transfer != 2 ? c->transfer
		       : title->nal.sps.has_colour				    ? title->nal.sps.transfer
									    : 2;

	v->is_present = true;
	v->track = (int64_t)title->video->number;
	snprintf(v->codecs, sizeof v->codecs, "%s", title->nal.codecs);
	v->width = title->nal.sps.width;
	v->height = title->nal.sps.height;
	snprintf(v->range, sizeof v->range, "%s", video_range(transfer));
	set_rate(&v->rate_num, &v->rate_den, &title->nal.sps, title->video->default_duration_ns);
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
		if (title->video_first_ns < origin)
			origin = title->video_first_ns;
	}
	title->origin_ns = origin;
	if (title->audio) {
		title->record_audio.source_base = timeline_ns_to_samples(title->audio_first_ns - origin, title->facts.source_rate);
		title->record_audio.base = title->facts.is_copy ? title->record_audio.source_base : 0;
	}
	return 0;
}

/* ---- public */

int title_init(struct title *title, const struct mkv *mkv, const struct record_options *options, struct err *err)
{
	int ret = 0;

	memset(title, 0, sizeof *title);
	title->mkv = mkv;
	if (mkv->first_cluster < 0)
		ret = err_set(err, ERR_DATA, "the file has no Cluster: there is nothing to play in it");
	if (!ret)
		ret = pick_tracks(title, err);
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
	int64_t duration = said;

	if (duration <= 0)
		duration = timeline_ns_to_ticks((int64_t)t->video->default_duration_ns);
	if (duration <= 0)
		duration = gap;
	if (duration <= 0 && v->rate_num > 0)
		duration = timeline_scale_round(TICKS_PER_SECOND, v->rate_den, v->rate_num);
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
