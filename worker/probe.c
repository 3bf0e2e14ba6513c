/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Probe: one pass over all block headers of the source gives the index: tracks, exact start and end, the sync samples where the
 * timeline may be cut with the smallest presentation time of what follows, the composition delay, and where to start
 * reading for audio. Then the init segment, which only depends on the index.
 */
#include "common/timeline.h"
#include "worker/audio.h"
#include "worker/audio_codec.h"
#include "worker/cut.h"
#include "worker/fmp4.h"
#include "worker/nal.h"
#include "worker/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PACKETS 16         /* audio packets looked at to know the stream */
#define LIMIT_HEAD_BLOCKS 200000 /* blocks read to find the first of each track */
#define LIMIT_GOP (1 << 22)      /* frames between two sync samples */
#define DELAY_MAX TICKS_PER_SECOND /* composition delay over which timestamps are taken for garbage */
#define FORGET_FRAMES 1024
#define TICK_FRAMES 4096

struct probe {
	struct task *task;
	const struct mkv *mkv;
	const struct mkv_track *video, *audio;
	enum nal_codec codec;
	struct nal_config nal;
	bool has_nal;
	struct audio_facts facts;
	bool has_facts;
	/* the first frames */
	int64_t video_first_ns;  /* smallest time among the first video frames */
	int64_t audio_origin_ns; /* of the first audio packet */
	int64_t audio_first_ns;  /* of the first one that decodes to samples */
	struct buf first[FIRST_PACKETS];
	int n_first;
	/* the pass */
	struct index index;
	size_t cap_syncs;
	int64_t *pts, *sorted;       /* of the frames since the last sync sample, decode order */
	size_t n_pts, cap_pts;
	int64_t max_pts, before_pts; /* largest of all frames; of all frames before the last sync sample */
	int64_t last_gap;            /* between the two latest frames, as a guess for the last one's duration */
	int64_t max_duration;        /* BlockDuration of the latest frame, ticks; 0 unknown */
	struct audio_ruler *ruler;
	struct audio_clock clock;
	bool is_clock_set;
	int64_t anchor_cluster;      /* cluster of the latest audio packet, and the anchor of its first one there */
	int64_t anchor_pos;
	size_t anchored;             /* syncs before this one have their audio_pos; the others wait for the next packet */
	struct buf scratch, scratch2;
};

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

static int pick_tracks(struct probe *p, struct err *err)
{
	const struct mkv_track *other = NULL;

	for (int i = 0; i < p->mkv->n_tracks; i++) {
		const struct mkv_track *t = &p->mkv->tracks[i];
		enum nal_codec codec;

		if (t->type != MKV_VIDEO && t->type != MKV_AUDIO)
			continue;
		if (t->is_encrypted)
			return err_set(err, ERR_UNSUPPORTED, "track %llu is encrypted", (unsigned long long)t->number);
		if (t->type == MKV_VIDEO && is_video_codec(t, &codec)) {
			if (!p->video) {
				p->video = t;
				p->codec = codec;
			}
		} else if (t->type == MKV_AUDIO && audio_codec_find(t->codec_id)) {
			if (!p->audio || (t->is_default && !p->audio->is_default))
				p->audio = t;
		} else if (!other || t->type == MKV_VIDEO) {
			other = t;
		}
	}
	if (other && !p->video && other->type == MKV_VIDEO)
		return err_set(err, ERR_UNSUPPORTED, "video codec %s would have to be encoded anew; only H.264 and H.265 are copied",
			       other->codec_id);
	if (other && !p->video && !p->audio)
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", other->codec_id);
	if (!p->video && !p->audio)
		return err_set(err, ERR_UNSUPPORTED, "the file has neither a video nor an audio track");
	return 0;
}

/* ---- head: the first frames of each track */

static int first_video(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	int ret;

	if (p->has_nal) {
		if (f->time_ns < p->video_first_ns)
			p->video_first_ns = f->time_ns; /* a leading picture */
		return 0;
	}
	if (!f->is_key)
		return 0;
	ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);
	if (!ret)
		ret = nal_config_init(&p->nal, p->codec, p->video->codec_private, data, err);
	if (ret)
		return err_prefix(err, "video track %llu", (unsigned long long)p->video->number);
	p->has_nal = true;
	p->video_first_ns = f->time_ns;
	return 0;
}

static int first_audio(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	struct bytes data;
	int ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);

	if (ret == ERR_DATA || p->n_first == FIRST_PACKETS)
		return 0;
	if (ret)
		return ret;
	if (!p->n_first)
		p->audio_origin_ns = f->time_ns;
	if (!p->n_first || (p->n_first == 1 && audio_codec_find(p->audio->codec_id)->is_first_silent))
		p->audio_first_ns = f->time_ns;
	buf_put(&p->first[p->n_first++], data.data, data.size);
	return 0;
}

/* Video frames are read on a little behind the first sync sample: in an open GOP the first to be shown come after it. */
static int read_head(struct probe *p, struct err *err)
{
	struct mkv_cursor cursor;
	struct mkv_frame f;
	int video = 0, ret = mkv_seek(&cursor, p->mkv, p->mkv->first_cluster, -1, err);

	for (int n = 0; n < LIMIT_HEAD_BLOCKS && !ret; n++) {
		bool has_video = !p->video || video > 32, has_audio = !p->audio || p->n_first == FIRST_PACKETS;

		if ((has_video && has_audio) || mkv_next(&cursor, &f, err) != 1)
			break;
		if (p->video && f.track == p->video->number) {
			ret = first_video(p, &f, err);
			video += p->has_nal;
		} else if (p->audio && f.track == p->audio->number) {
			ret = first_audio(p, &f, err);
		}
	}
	if (ret)
		return ret;
	if (p->video && !p->has_nal)
		p->video = NULL; /* announced, but without one sync sample */
	if (p->audio && !p->n_first)
		p->audio = NULL;
	if (!p->video && !p->audio)
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

static void video_facts(struct probe *p)
{
	struct record_video *v = &p->index.video;
	const struct mkv_colour *c = &p->video->colour;
	int transfer = c->is_present && c->transfer > 0 && c->transfer != 2 ? c->transfer
		       : p->nal.sps.has_colour				    ? p->nal.sps.transfer
									    : 2;

	v->is_present = true;
	v->track = (int64_t)p->video->number;
	snprintf(v->codecs, sizeof v->codecs, "%s", p->nal.codecs);
	v->width = p->nal.sps.width;
	v->height = p->nal.sps.height;
	snprintf(v->range, sizeof v->range, "%s", video_range(transfer));
	set_rate(&v->rate_num, &v->rate_den, &p->nal.sps, p->video->default_duration_ns);
}

static int audio_facts(struct probe *p, struct err *err)
{
	struct record_audio *a = &p->index.audio;
	struct bytes first[FIRST_PACKETS];
	int ret;

	for (int i = 0; i < p->n_first; i++)
		first[i] = buf_bytes(&p->first[i]);
	ret = audio_facts_init(&p->facts, p->audio, &p->task->job->options, first, p->n_first, err);
	p->has_facts = !ret;
	if (ret)
		return ret;
	*a = (struct record_audio){
		.is_present = true,
		.is_copy = p->facts.is_copy,
		.track = (int64_t)p->audio->number,
		.rate = p->facts.rate,
		.channels = p->facts.channels,
		.unit = p->facts.unit,
		.source_rate = p->facts.source_rate,
		.source_unit = p->facts.is_counted ? 0 : p->facts.source_unit,
		.lead = p->facts.lead,
	};
	snprintf(a->codecs, sizeof a->codecs, "%s", p->facts.codecs);
	return audio_ruler_create(&p->ruler, p->audio, a->source_unit, err);
}

/* Timeline 0 is where the earlier of the tracks begins. */
static int set_origin(struct probe *p, struct err *err)
{
	int64_t audio_ns = 0, origin = INT64_MAX;
	int ret = 0;

	if (p->audio) {
		ret = audio_facts(p, err);
		if (ret)
			return ret;
		audio_ns = p->audio_origin_ns + timeline_scale_round(p->facts.skip, NS_PER_SECOND, p->facts.source_rate);
		origin = audio_ns;
	}
	if (p->video) {
		video_facts(p);
		if (p->video_first_ns < origin)
			origin = p->video_first_ns;
	}
	p->index.origin_ns = origin;
	if (p->audio) {
		p->index.audio.source_base = timeline_ns_to_samples(p->audio_first_ns - origin, p->facts.source_rate);
		p->index.audio.base = p->facts.is_copy ? p->index.audio.source_base : 0;
		audio_clock_init(&p->clock, &p->index.audio, p->index.audio.source_base);
	}
	return 0;
}

/* ---- the pass */

static int grow_pts(struct probe *p, struct err *err)
{
	size_t cap = p->cap_pts ? p->cap_pts * 2 : 1024;
	int64_t *pts, *sorted;

	if (p->n_pts < p->cap_pts)
		return 0;
	if (cap > LIMIT_GOP)
		return err_set(err, ERR_LIMIT, "over %d frames without a sync sample", LIMIT_GOP);
	pts = realloc(p->pts, cap * sizeof *pts);
	if (pts)
		p->pts = pts;
	sorted = realloc(p->sorted, cap * sizeof *sorted);
	if (sorted)
		p->sorted = sorted;
	if (!pts || !sorted)
		return err_set(err, ERR_NOMEM, "out of memory for %zu frames", cap);
	p->cap_pts = cap;
	return 0;
}

/* The frames since the last sync sample are complete: its start is the smallest of their times. Where they are not all behind what
 * came before, the sync sample is no place to cut, and its frames belong to the one before. */
static void end_gop(struct probe *p)
{
	struct record_sync *last = p->index.n_syncs ? &p->index.syncs[p->index.n_syncs - 1] : NULL;
	int64_t delay;

	if (!last || !p->n_pts)
		return;
	delay = cut_delay(p->pts, p->n_pts, p->sorted);
	if (p->sorted[0] <= p->before_pts && p->index.n_syncs > 1) {
		p->index.n_syncs--;
		if (p->anchored > p->index.n_syncs)
			p->anchored = p->index.n_syncs;
	} else {
		last->start = p->sorted[0];
	}
	if (delay > p->index.video.delay_ticks)
		p->index.video.delay_ticks = delay;
	if (p->n_pts > 1)
		p->last_gap = p->sorted[p->n_pts - 1] - p->sorted[p->n_pts - 2];
	p->before_pts = p->max_pts;
	p->n_pts = 0;
}

static int add_sync(struct probe *p, const struct mkv_frame *f, int64_t pts, bool is_closed, struct err *err)
{
	struct index *x = &p->index;

	end_gop(p);
	if (x->n_syncs == p->cap_syncs) {
		size_t cap = p->cap_syncs ? p->cap_syncs * 2 : 256;
		struct record_sync *syncs = cap <= RECORD_SYNCS_MAX ? realloc(x->syncs, cap * sizeof *syncs) : NULL;

		if (!syncs)
			return err_set(err, ERR_LIMIT, "no room for over %zu sync samples", p->cap_syncs);
		x->syncs = syncs;
		p->cap_syncs = cap;
	}
	x->syncs[x->n_syncs++] = (struct record_sync){ .start = pts, .pts = pts, .cluster = f->cluster, .block = f->block,
						       .audio_pos = INT64_MAX, .is_closed = is_closed };
	if (p->anchor_cluster == f->cluster) {
		x->syncs[x->n_syncs - 1].audio_pos = p->anchor_pos;
		p->anchored = x->n_syncs;
	}
	return 0;
}

/* Only sync samples are looked into: a non-key block without a picture costs nothing here and is left out of its segment later. */
static int pass_video(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	int64_t pts = timeline_ns_to_ticks(f->time_ns - p->index.origin_ns);
	struct nal_sample sample;
	struct bytes data;
	int ret;

	if (f->is_key && f->lace_index == 0) {
		ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);
		buf_reset(&p->scratch2);
		if (!ret)
			ret = nal_sample_read(&p->nal, data, &p->scratch2, &sample, err);
		if (ret && ret != ERR_DATA)
			return ret;
		if (!ret && sample.has_picture && add_sync(p, f, pts, sample.sync == NAL_SYNC_CLOSED, err))
			return err->code;
	}
	if (!p->index.n_syncs)
		return 0;
	ret = grow_pts(p, err);
	if (ret)
		return ret;
	p->pts[p->n_pts++] = pts;
	if (pts > p->max_pts) {
		p->max_pts = pts;
		p->max_duration = timeline_ns_to_ticks(f->duration_ns);
	}
	return 0;
}

/* Without video, reading starts at clusters about a second apart. */
static int add_audio_anchor(struct probe *p, const struct mkv_frame *f, int64_t pos, int64_t anchor, struct err *err)
{
	int64_t at = timeline_samples_to_ticks(pos, p->index.audio.source_rate), last = -TICKS_PER_SECOND;

	if (p->index.n_syncs)
		last = p->index.syncs[p->index.n_syncs - 1].start;
	if (at < 0 || at < last + TICKS_PER_SECOND)
		return 0;
	p->anchor_pos = anchor;
	return add_sync(p, f, at, true, err);
}

static int pass_audio(struct probe *p, const struct mkv_frame *f, struct err *err)
{
	struct record_audio *a = &p->index.audio;
	int64_t samples = a->source_unit, pos, anchor, end;
	struct bytes data;
	int ret = 0;

	if (p->facts.is_counted || p->facts.skip) {
		ret = mkv_frame_data(p->mkv, f, &p->scratch, &data, err);
		if (ret)
			return ret == ERR_DATA ? 0 : ret;
		samples = audio_ruler_samples(p->ruler, data);
	}
	pos = audio_clock_place(&p->clock, f->time_ns - p->index.origin_ns, f->lace_index, samples);
	anchor = audio_ruler_anchor(p->ruler, pos, samples);
	if (f->cluster != p->anchor_cluster) {
		p->anchor_cluster = f->cluster;
		p->anchor_pos = anchor;
		if (!p->video)
			ret = add_audio_anchor(p, f, pos, anchor, err);
	}
	for (; p->anchored < p->index.n_syncs; p->anchored++)
		p->index.syncs[p->anchored].audio_pos = anchor;
	end = pos + samples - timeline_ns_to_samples(f->discard_ns > 0 ? f->discard_ns : 0, a->source_rate);
	if (end > a->source_end)
		a->source_end = end;
	return ret;
}

static int pass(struct probe *p, struct err *err)
{
	struct mkv_cursor cursor;
	struct mkv_frame f;
	int n = 0, ret = mkv_seek(&cursor, p->mkv, p->mkv->first_cluster, -1, err);

	p->max_pts = p->before_pts = INT64_MIN;
	p->anchor_cluster = -1;
	while (!ret) {
		ret = mkv_next(&cursor, &f, err);
		if (ret <= 0)
			break;
		ret = 0;
		if (p->video && f.track == p->video->number)
			ret = pass_video(p, &f, err);
		else if (p->audio && f.track == p->audio->number)
			ret = pass_audio(p, &f, err);
		if (!ret && ++n % TICK_FRAMES == 0)
			ret = p->task->tick(p->task, err);
		if (n % FORGET_FRAMES == 0)
			source_forget(p->task->source);
	}
	if (!ret && p->video)
		end_gop(p);
	return ret;
}

/* ---- after the pass */

static void end_video(struct probe *p)
{
	struct record_video *v = &p->index.video;
	int64_t duration = p->max_duration;

	if (duration <= 0 && p->video->default_duration_ns)
		duration = timeline_ns_to_ticks((int64_t)p->video->default_duration_ns);
	if (duration <= 0)
		duration = p->last_gap;
	if (duration <= 0 && v->rate_num > 0)
		duration = timeline_scale_round(TICKS_PER_SECOND, v->rate_den, v->rate_num);
	if (duration <= 0)
		duration = TICKS_PER_SECOND / 25;
	v->start_ticks = p->index.syncs[0].start;
	v->end_ticks = p->max_pts + duration;
	if (v->delay_ticks > DELAY_MAX)
		v->delay_ticks = DELAY_MAX;
}

static void end_audio(struct probe *p)
{
	struct record_audio *a = &p->index.audio;
	int64_t end = timeline_scale_ceil(a->source_end, a->rate, a->source_rate);

	a->frames = end > a->base ? timeline_scale_ceil(end - a->base, 1, a->unit) : 0;
	if (!a->frames)
		a->is_present = false;
}

/* ---- init segment */

static void video_entry(const struct probe *p, struct fmp4_track *t)
{
	const struct mkv_track *m = p->video;
	const struct nal_sps *sps = &p->nal.sps;
	bool is_from_file = m->colour.is_present && m->colour.matrix >= 0 && m->colour.matrix != 2;

	*t = (struct fmp4_track){
		.id = 1,
		.entry = p->codec == NAL_H265 ? FMP4_HVC1 : FMP4_AVC1,
		.timescale = TICKS_PER_SECOND,
		.language = "und",
		.config = buf_bytes(&p->nal.record),
		.edit_media_time = p->index.video.delay_ticks,
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

static int put_init(struct probe *p, struct buf *out, struct err *err)
{
	struct fmp4_track tracks[2];
	int64_t end = 0;
	int n = 0;

	if (p->index.video.is_present) {
		video_entry(p, &tracks[n++]);
		end = p->index.video.end_ticks;
	}
	if (p->index.audio.is_present) {
		const struct record_audio *a = &p->index.audio;
		int64_t audio_end = timeline_samples_to_ticks(a->base + a->frames * a->unit, a->rate);

		tracks[n++] = (struct fmp4_track){
			.id = 2,
			.entry = FMP4_MP4A,
			.timescale = (uint32_t)a->rate,
			.language = "und",
			.config = buf_bytes(&p->facts.config),
			.channels = a->channels,
		};
		if (!strncmp(p->audio->language, "", 1) || strlen(p->audio->language) == 3)
			snprintf(tracks[n - 1].language, 4, "%.3s", p->audio->language[0] ? p->audio->language : "und");
		end = audio_end > end ? audio_end : end;
	}
	return fmp4_put_init(out, tracks, n, end, err);
}

static int store_results(struct probe *p, struct err *err)
{
	const struct job *job = p->task->job;
	struct buf json = { 0 }, init = { 0 };
	int ret = index_put(&p->index, &json);

	if (ret)
		err_set(err, ret, "cannot write the index");
	if (!ret)
		ret = put_init(p, &init, err);
	if (!ret)
		ret = store_put_value(p->task->store, job->stream, "init:" RECORD_RENDITION, buf_bytes(&init), err);
	if (!ret)
		ret = store_put_value(p->task->store, job->stream, "index", buf_bytes(&json), err);
	p->task->bytes = (int64_t)(json.size + init.size);
	buf_finish(&json);
	buf_finish(&init);
	return ret;
}

static void probe_finish(struct probe *p)
{
	if (p->has_nal)
		nal_config_finish(&p->nal);
	if (p->has_facts)
		audio_facts_finish(&p->facts);
	audio_ruler_destroy(p->ruler);
	for (int i = 0; i < FIRST_PACKETS; i++)
		buf_finish(&p->first[i]);
	index_finish(&p->index);
	free(p->pts);
	free(p->sorted);
	buf_finish(&p->scratch);
	buf_finish(&p->scratch2);
}

int probe_run(struct task *task, struct err *err)
{
	struct probe p = { .task = task, .mkv = &task->source->mkv };
	int ret = source_open(task->source, &task->job->source, err);

	if (!ret && task->source->mkv.first_cluster < 0)
		ret = err_set(err, ERR_DATA, "the file has no Cluster: there is nothing to play in it");
	if (!ret)
		ret = pick_tracks(&p, err);
	if (!ret)
		ret = read_head(&p, err);
	if (!ret)
		ret = set_origin(&p, err);
	p.index.first_cluster = task->source->mkv.first_cluster;
	if (!ret)
		ret = pass(&p, err);
	if (!ret && p.video)
		end_video(&p);
	if (!ret && p.audio)
		end_audio(&p);
	if (!ret)
		ret = store_results(&p, err);
	probe_finish(&p);
	return ret;
}
