/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/record_internal.h"

#include "common/key.h"
#include "common/timeline.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 4 /* of index and plan; part of the plan's hash */

#define SAMPLES_MAX (INT64_C(2000) * 3600 * RECORD_RATE_MAX) /* TIMELINE_MAX_NS in samples */
#define CHANNELS_MAX 64
#define UNIT_MAX 65536
#define SOURCE_UNIT_MAX (1 << 24)
#define LEAD_MAX (1 << 26)
#define DELAY_MAX 65535
#define FRAME_RATE_MAX (INT64_C(1) << 40) /* numerator and denominator */
#define GRID_WITHIN_MAX_NS 500000
#define DEADLINE_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)

#define CODECS_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,-"
#define RENDITION_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"

static bool in_range(int64_t v, int64_t min, int64_t max)
{
	return v >= min && v <= max;
}

static void get_key(struct jget *g, const char *name, char key[RECORD_KEY_SIZE], bool may_be_empty)
{
	jget_str(g, name, key, RECORD_KEY_SIZE, NULL);
	if (!key_is_valid(key) && !(may_be_empty && !key[0]))
		jget_fail(g, name, "is not a key");
}

/* --- video */

static void put_encode(struct buf *b, const struct record_video *v)
{
	const struct record_encode *e = &v->encode;

	if (v->is_copy) {
		jput_null(b, "encode");
		return;
	}
	jput_open(b, "encode", '{');
	jput_int(b, "width", e->width);
	jput_int(b, "height", e->height);
	jput_int(b, "rotation", e->rotation);
	jput_int(b, "sar_num", e->sar_num);
	jput_int(b, "sar_den", e->sar_den);
	jput_int(b, "rate_num", e->rate_num);
	jput_int(b, "rate_den", e->rate_den);
	jput_int(b, "primaries", e->primaries);
	jput_int(b, "transfer", e->transfer);
	jput_int(b, "matrix", e->matrix);
	jput_bool(b, "is_full_range", e->is_full_range);
	jput_int(b, "hdr_peak", e->hdr_peak);
	jput_int(b, "lag_ticks", e->lag_ticks);
	jput_int(b, "lead_ticks", e->lead_ticks);
	jput_str(b, "encoder", e->encoder);
	jput_str(b, "sets", e->sets);
	jput_int(b, "software_id", e->software_id);
	jput_close(b, '}');
}

static int get_encode(struct jget *parent, struct record_video *v)
{
	struct record_encode *e = &v->encode;
	const json_t *object = jget_object_or_null(parent, "encode");
	v->is_copy = !object;
	if (!object)
		return parent->code;
	struct jget g = jget_begin(object, "encoded video", parent->err);
	e->width = (int)jget_int(&g, "width", 2, SIZE_MAX_SAMPLES);
	e->height = (int)jget_int(&g, "height", 2, SIZE_MAX_SAMPLES);
	if (e->width % 2 || e->height % 2)
		jget_fail(&g, "width", "or height is odd");
	e->rotation = (int)jget_int(&g, "rotation", 0, 270);
	if (e->rotation % 90)
		jget_fail(&g, "rotation", "is not a multiple of 90");
	e->sar_num = (int)jget_int(&g, "sar_num", 1, 65535);
	e->sar_den = (int)jget_int(&g, "sar_den", 1, 65535);
	e->rate_num = jget_int(&g, "rate_num", 1, FRAME_RATE_MAX);
	e->rate_den = jget_int(&g, "rate_den", 1, FRAME_RATE_MAX);
	e->primaries = (int)jget_int(&g, "primaries", 0, 255);
	e->transfer = (int)jget_int(&g, "transfer", 0, 255);
	e->matrix = (int)jget_int(&g, "matrix", 0, 255);
	e->is_full_range = jget_bool(&g, "is_full_range");
	e->hdr_peak = (int)jget_int(&g, "hdr_peak", 0, 10000);
	e->lag_ticks = jget_int(&g, "lag_ticks", 0, TICKS_PER_SECOND * INT64_C(60));
	e->lead_ticks = jget_int(&g, "lead_ticks", 0, TICKS_PER_SECOND * INT64_C(60));
	record_get_encoder(&g, "encoder", e->encoder);
	get_key(&g, "sets", e->sets, true);
	if (!e->sets[0] != !strcmp(e->encoder, RECORD_SOFTWARE))
		jget_fail(&g, "sets", "does not go with its encoder");
	e->software_id = (int)jget_int(&g, "software_id", 0, RECORD_SET_ID_MAX);
	return parent->code = jget_end(&g);
}

static void put_video(struct buf *b, const struct record_video *v)
{
	if (!v->is_present) {
		jput_null(b, "video");
		return;
	}
	jput_open(b, "video", '{');
	jput_int(b, "track", v->track);
	jput_str(b, "codecs", v->codecs);
	jput_str(b, "supplemental", v->supplemental);
	jput_int(b, "width", v->width);
	jput_int(b, "height", v->height);
	jput_int(b, "rate_num", v->rate_num);
	jput_int(b, "rate_den", v->rate_den);
	jput_int(b, "grid_ns", v->grid_ns);
	jput_int(b, "grid_within_ns", v->grid_within_ns);
	jput_str(b, "range", v->range);
	jput_int(b, "start_ticks", v->start_ticks);
	jput_int(b, "end_ticks", v->end_ticks);
	jput_int(b, "delay_ticks", v->delay_ticks);
	jput_int(b, "bitrate", v->bitrate);
	put_encode(b, v);
	jput_close(b, '}');
}

static bool is_video_range(const char *s)
{
	return !strcmp(s, "SDR") || !strcmp(s, "PQ") || !strcmp(s, "HLG");
}

static int get_video(struct jget *parent, struct record_video *v)
{
	*v = (struct record_video){ 0 };
	const json_t *object = jget_object_or_null(parent, "video");
	if (!object)
		return parent->code;
	struct jget g = jget_begin(object, "video track", parent->err);
	v->is_present = true;
	v->track = jget_int(&g, "track", 0, INT64_MAX - 1);
	jget_str(&g, "codecs", v->codecs, sizeof(v->codecs), CODECS_CHARS);
	if (!v->codecs[0])
		jget_fail(&g, "codecs", "is empty");
	jget_str(&g, "supplemental", v->supplemental, sizeof(v->supplemental), CODECS_CHARS "/");
	v->width = (int)jget_int(&g, "width", 1, SIZE_MAX_SAMPLES);
	v->height = (int)jget_int(&g, "height", 1, SIZE_MAX_SAMPLES);
	v->rate_num = jget_int(&g, "rate_num", 0, FRAME_RATE_MAX);
	v->rate_den = jget_int(&g, "rate_den", 0, FRAME_RATE_MAX);
	if (!v->rate_num != !v->rate_den)
		jget_fail(&g, "rate_num", "is 0 alone");
	v->grid_ns = jget_int(&g, "grid_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	v->grid_within_ns = jget_int(&g, "grid_within_ns", 0, GRID_WITHIN_MAX_NS);
	if (v->grid_within_ns && (!v->rate_num || v->rate_num > NS_PER_SECOND || v->rate_den > INT32_MAX))
		jget_fail(&g, "grid_within_ns", "needs a frame rate");
	jget_str(&g, "range", v->range, sizeof(v->range), NULL);
	if (!is_video_range(v->range))
		jget_fail(&g, "range", "is not SDR, PQ or HLG");
	v->start_ticks = jget_int(&g, "start_ticks", 0, TIMELINE_MAX_TICKS);
	v->end_ticks = jget_int(&g, "end_ticks", v->start_ticks, TIMELINE_MAX_TICKS);
	v->delay_ticks = jget_int(&g, "delay_ticks", 0, TIMELINE_MAX_TICKS);
	v->bitrate = jget_int(&g, "bitrate", 0, BITRATE_MAX);
	get_encode(&g, v);
	return parent->code = jget_end(&g);
}

/* --- audio */

static void put_audio(struct buf *b, const struct record_audio *a)
{
	if (!a->is_present) {
		jput_null(b, "audio");
		return;
	}
	jput_open(b, "audio", '{');
	jput_bool(b, "is_copy", a->is_copy);
	jput_int(b, "track", a->track);
	jput_str(b, "codecs", a->codecs);
	jput_int(b, "rate", a->rate);
	jput_int(b, "channels", a->channels);
	jput_int(b, "unit", a->unit);
	jput_int(b, "base", a->base);
	jput_int(b, "frames", a->frames);
	jput_int(b, "source_rate", a->source_rate);
	jput_int(b, "source_unit", a->source_unit);
	jput_int(b, "source_base", a->source_base);
	jput_int(b, "source_end", a->source_end);
	jput_int(b, "lead", a->lead);
	jput_int(b, "delay", a->delay);
	jput_close(b, '}');
}

static int get_audio(struct jget *parent, struct record_audio *a)
{
	*a = (struct record_audio){ 0 };
	const json_t *object = jget_object_or_null(parent, "audio");
	if (!object)
		return parent->code;
	struct jget g = jget_begin(object, "audio track", parent->err);
	a->is_present = true;
	a->is_copy = jget_bool(&g, "is_copy");
	a->track = jget_int(&g, "track", 0, INT64_MAX - 1);
	jget_str(&g, "codecs", a->codecs, sizeof(a->codecs), CODECS_CHARS);
	if (!a->codecs[0])
		jget_fail(&g, "codecs", "is empty");
	a->rate = (int)jget_int(&g, "rate", RECORD_RATE_MIN, RECORD_RATE_MAX);
	a->channels = (int)jget_int(&g, "channels", 1, CHANNELS_MAX);
	a->unit = jget_int(&g, "unit", 1, UNIT_MAX);
	a->base = jget_int(&g, "base", -SAMPLES_MAX, SAMPLES_MAX);
	a->frames = jget_int(&g, "frames", 0, SAMPLES_MAX);
	a->source_rate = (int)jget_int(&g, "source_rate", RECORD_RATE_MIN, RECORD_RATE_MAX);
	if (a->is_copy && a->source_rate != a->rate)
		jget_fail(&g, "source_rate", "of copied audio is not rate");
	a->source_unit = jget_int(&g, "source_unit", 0, SOURCE_UNIT_MAX);
	a->source_base = jget_int(&g, "source_base", -SAMPLES_MAX, SAMPLES_MAX);
	a->source_end = jget_int(&g, "source_end", a->source_base, SAMPLES_MAX);
	a->lead = jget_int(&g, "lead", 0, LEAD_MAX);
	a->delay = jget_int(&g, "delay", 0, DELAY_MAX);
	return parent->code = jget_end(&g);
}

/* --- shifts */

static void put_shifts(struct buf *b, const struct record_shifts *shifts)
{
	jput_open(b, "shifts", '[');
	for (int i = 0; i < shifts->n; i++) {
		jput_open(b, NULL, '[');
		jput_int(b, NULL, shifts->all[i].track);
		jput_int(b, NULL, shifts->all[i].id);
		jput_int(b, NULL, shifts->all[i].ns);
		jput_close(b, ']');
	}
	jput_close(b, ']');
}

static void get_shifts(struct jget *g, struct record_shifts *shifts)
{
	const json_t *rows = jget_array(g, "shifts", 0, RECORD_SHIFTS_MAX);
	size_t n = rows ? json_array_size(rows) : 0;
	for (size_t i = 0; i < n && !g->code; i++) {
		int64_t v[3];
		if (!jget_row(json_array_get(rows, i), v, 3) || !in_range(v[0], 1, RECORD_TRACK_MAX) ||
		    !in_range(v[1], 0, OFFSET_MAX) || !in_range(v[2], -TIMELINE_MAX_NS, TIMELINE_MAX_NS))
			jget_fail(g, "shifts", "has a row that is out of its ranges");
		else
			shifts->all[shifts->n++] = (struct record_shift){ v[0], v[1], v[2] };
	}
}

/* --- index */

static void put_sync(struct buf *b, const struct record_sync *s)
{
	jput_open(b, NULL, '[');
	jput_int(b, NULL, s->start);
	jput_int(b, NULL, s->pts);
	jput_int(b, NULL, s->place);
	jput_int(b, NULL, s->id);
	jput_int(b, NULL, s->audio_pos);
	jput_int(b, NULL, s->is_closed);
	jput_close(b, ']');
}

static bool is_audio_pos(int64_t v)
{
	return v == INT64_MAX || in_range(v, -SAMPLES_MAX, SAMPLES_MAX);
}

static bool get_sync(const json_t *row, struct record_sync *s)
{
	int64_t v[6];
	if (!jget_row(row, v, 6))
		return false;
	*s = (struct record_sync){ v[0], v[1], v[2], v[3], v[4], v[5] == 1 };
	return in_range(s->start, 0, TIMELINE_MAX_TICKS) && in_range(s->pts, s->start, TIMELINE_MAX_TICKS) &&
	       in_range(s->place, 0, OFFSET_MAX) && in_range(s->id, s->place, OFFSET_MAX) &&
	       is_audio_pos(s->audio_pos) && in_range(v[5], 0, 1);
}

static bool is_sync_after(const struct record_sync *s, const struct record_sync *before)
{
	return s->start > before->start && s->pts > before->pts && s->place >= before->place && s->id > before->id;
}

static void get_syncs(struct jget *g, struct index *index)
{
	const json_t *rows = jget_array(g, "syncs", index->video.is_present ? 1 : 0, RECORD_SYNCS_MAX);
	size_t n = rows ? json_array_size(rows) : 0;
	if (!n)
		return;
	index->syncs = calloc(n, sizeof(index->syncs[0]));
	if (!index->syncs) {
		g->code = err_set(g->err, ERR_NOMEM, "no memory for %zu sync samples", n);
		return;
	}
	for (size_t i = 0; i < n && !g->code; i++) {
		struct record_sync *s = &index->syncs[i];
		if (!get_sync(json_array_get(rows, i), s))
			jget_fail(g, "syncs", "has a row that is out of its ranges");
		else if (i && !is_sync_after(s, s - 1))
			jget_fail(g, "syncs", "does not rise");
	}
	index->n_syncs = n;
}

void index_finish(struct index *index)
{
	free(index->syncs);
	*index = (struct index){ 0 };
}

int index_put(const struct index *index, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "format", FORMAT);
	put_video(json, &index->video);
	put_audio(json, &index->audio);
	jput_int(json, "origin_ns", index->origin_ns);
	jput_int(json, "first_place", index->first_place);
	put_shifts(json, &index->shifts);
	jput_open(json, "syncs", '[');
	for (size_t i = 0; i < index->n_syncs; i++)
		put_sync(json, &index->syncs[i]);
	jput_close(json, ']');
	jput_close(json, '}');
	return jput_result(json, start, RECORD_JSON_MAX);
}

int index_get(struct bytes json, struct index *index, struct err *err)
{
	*index = (struct index){ 0 };
	json_t *root;
	int rc = jget_parse(&root, json, RECORD_JSON_MAX, "index", err);
	if (rc)
		return rc;
	struct jget g = jget_begin(root, "index", err);
	jget_int(&g, "format", FORMAT, FORMAT);
	get_video(&g, &index->video);
	get_audio(&g, &index->audio);
	index->origin_ns = jget_int(&g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	index->first_place = jget_int(&g, "first_place", 0, OFFSET_MAX);
	get_shifts(&g, &index->shifts);
	get_syncs(&g, index);
	rc = jget_end(&g);
	json_decref(root);
	if (rc)
		index_finish(index);
	return rc;
}

/* --- plan */

static void put_segment(struct buf *b, const char *name, const struct plan_segment *s)
{
	jput_open(b, name, '[');
	jput_int(b, NULL, s->start);
	jput_int(b, NULL, s->duration);
	jput_int(b, NULL, s->video_place);
	jput_int(b, NULL, s->video_id);
	jput_int(b, NULL, s->video_end);
	jput_int(b, NULL, s->audio_place);
	jput_int(b, NULL, s->audio_pos);
	jput_int(b, NULL, s->audio_first);
	jput_int(b, NULL, s->audio_end);
	jput_close(b, ']');
}

static bool get_segment(const json_t *row, struct plan_segment *s)
{
	int64_t v[9];
	if (!jget_row(row, v, 9))
		return false;
	*s = (struct plan_segment){ v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8] };
	return in_range(s->start, 0, TIMELINE_MAX_TICKS) && in_range(s->duration, 1, TIMELINE_MAX_TICKS - s->start) &&
	       in_range(s->video_place, 0, OFFSET_MAX) && in_range(s->video_id, s->video_place, OFFSET_MAX) &&
	       (s->video_end == INT64_MAX || in_range(s->video_end, s->video_id, OFFSET_MAX)) &&
	       in_range(s->audio_place, 0, OFFSET_MAX) && is_audio_pos(s->audio_pos) &&
	       in_range(s->audio_first, 0, SAMPLES_MAX) && in_range(s->audio_end, s->audio_first, SAMPLES_MAX);
}

/* What a segment may not say of tracks that are not there, or beyond their ends. */
static bool is_segment_of(const struct plan_segment *s, const struct record_video *v, const struct record_audio *a)
{
	return (v->is_present || (!s->video_place && !s->video_id)) &&
	       (!v->is_present || s->video_end > s->video_id) && s->audio_end <= (a->is_present ? a->frames : 0);
}

static bool is_segment_after(const struct plan_segment *s, const struct plan_segment *before, bool has_video)
{
	return before->start + before->duration == s->start && before->audio_end == s->audio_first &&
	       (!has_video || before->video_end == s->video_id);
}

/* Everything to the end, once. */
static bool is_last_segment(const struct plan_segment *s, const struct plan *plan)
{
	return (!plan->video.is_present || s->video_end == INT64_MAX) &&
	       s->audio_end == (plan->audio.is_present ? plan->audio.frames : 0);
}

static void get_segments(struct jget *g, struct plan *plan)
{
	const json_t *rows = jget_array(g, "segments", 1, RECORD_SEGMENTS_MAX);
	size_t n = rows ? json_array_size(rows) : 0;
	if (!n)
		return;
	plan->segments = calloc(n, sizeof(plan->segments[0]));
	if (!plan->segments) {
		g->code = err_set(g->err, ERR_NOMEM, "no memory for %zu segments", n);
		return;
	}
	for (size_t i = 0; i < n && !g->code; i++) {
		struct plan_segment *s = &plan->segments[i];
		if (!get_segment(json_array_get(rows, i), s) || !is_segment_of(s, &plan->video, &plan->audio))
			jget_fail(g, "segments", "has a row that is out of its ranges");
		else if (i && !is_segment_after(s, s - 1, plan->video.is_present))
			jget_fail(g, "segments", "has a gap or an overlap");
	}
	if (!g->code && !is_last_segment(&plan->segments[n - 1], plan))
		jget_fail(g, "segments", "does not reach the end");
	plan->n_segments = n;
}

void plan_finish(struct plan *plan)
{
	free(plan->segments);
	*plan = (struct plan){ 0 };
}

int plan_put(const struct plan *plan, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "format", FORMAT);
	jput_str(json, "hash", plan->hash);
	jput_open(json, "options", '{');
	record_put_options(json, &plan->options);
	put_video(json, &plan->video);
	put_audio(json, &plan->audio);
	jput_int(json, "origin_ns", plan->origin_ns);
	put_shifts(json, &plan->shifts);
	jput_bool(json, "independent", plan->is_independent);
	jput_open(json, "segments", '[');
	for (size_t i = 0; i < plan->n_segments; i++)
		put_segment(json, NULL, &plan->segments[i]);
	jput_close(json, ']');
	jput_close(json, '}');
	return jput_result(json, start, RECORD_JSON_MAX);
}

int plan_get(struct bytes json, struct plan *plan, struct err *err)
{
	*plan = (struct plan){ 0 };
	json_t *root;
	int rc = jget_parse(&root, json, RECORD_JSON_MAX, "plan", err);
	if (rc)
		return rc;
	struct jget g = jget_begin(root, "plan", err);
	jget_int(&g, "format", FORMAT, FORMAT);
	get_key(&g, "hash", plan->hash, true);
	record_get_options(&g, &plan->options);
	get_video(&g, &plan->video);
	get_audio(&g, &plan->audio);
	plan->origin_ns = jget_int(&g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	get_shifts(&g, &plan->shifts);
	plan->is_independent = jget_bool(&g, "independent");
	get_segments(&g, plan);
	rc = jget_end(&g);
	json_decref(root);
	if (rc)
		plan_finish(plan);
	return rc;
}

/* --- job */

static const char *const job_types[] = { [JOB_PROBE] = "probe", [JOB_SEGMENT] = "segment", [JOB_PLAY] = "play",
					 [JOB_NOOP] = "noop" };

static enum job_type get_job_type(struct jget *g)
{
	char name[16];
	jget_str(g, "type", name, sizeof(name), NULL);
	for (int i = 0; i <= JOB_NOOP; i++)
		if (!strcmp(job_types[i], name))
			return (enum job_type)i;
	jget_fail(g, "type", "is unknown");
	return JOB_NOOP;
}

static void put_job_segment(struct buf *b, const struct job *job)
{
	jput_str(b, "rendition", job->rendition);
	jput_str(b, "plan_hash", job->plan_hash);
	jput_int(b, "number", job->number);
	jput_int(b, "origin_ns", job->origin_ns);
	put_shifts(b, &job->shifts);
	put_segment(b, "segment", &job->segment);
	put_video(b, &job->video);
	put_audio(b, &job->audio);
}

static void get_job_segment(struct jget *g, struct job *job)
{
	jget_str(g, "rendition", job->rendition, sizeof(job->rendition), RENDITION_CHARS);
	if (!job->rendition[0])
		jget_fail(g, "rendition", "is empty");
	get_key(g, "plan_hash", job->plan_hash, false);
	job->number = jget_int(g, "number", 0, RECORD_SEGMENTS_MAX - 1);
	job->origin_ns = jget_int(g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	get_shifts(g, &job->shifts);
	const json_t *row = jget_array(g, "segment", 9, 9);
	get_video(g, &job->video);
	get_audio(g, &job->audio);
	if (g->code)
		return;
	if (!get_segment(row, &job->segment) || !is_segment_of(&job->segment, &job->video, &job->audio))
		jget_fail(g, "segment", "is out of its ranges");
}

void job_set_segment(struct job *job, const struct plan *plan, size_t i)
{
	job->type = JOB_SEGMENT;
	memcpy(job->rendition, RECORD_RENDITION, sizeof RECORD_RENDITION);
	memcpy(job->plan_hash, plan->hash, sizeof job->plan_hash);
	job->number = (int64_t)i;
	job->origin_ns = plan->origin_ns;
	job->shifts = plan->shifts;
	job->segment = plan->segments[i];
	job->video = plan->video;
	job->audio = plan->audio;
}

/* A no-op job carries nothing but its identity: it measures the queue. */
int job_put(const struct job *job, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "id", job->id);
	jput_str(json, "type", job_types[job->type]);
	jput_str(json, "stream", job->stream);
	jput_int(json, "deadline_ms", job->deadline_ms);
	jput_bool(json, "tolerant", job->is_tolerant);
	if (job->type != JOB_NOOP) {
		jput_open(json, "source", '{');
		record_put_source(json, &job->source);
		jput_open(json, "options", '{');
		record_put_options(json, &job->options);
	}
	if (job->type == JOB_PLAY) {
		jput_str(json, "play", job->play);
		jput_int(json, "start", job->start);
	}
	if (job->type == JOB_SEGMENT)
		put_job_segment(json, job);
	jput_close(json, '}');
	return jput_result(json, start, RECORD_JSON_MAX);
}

int job_get(struct bytes json, struct job *job, struct err *err)
{
	*job = (struct job){ 0 };
	json_t *root;
	int rc = jget_parse(&root, json, RECORD_JSON_MAX, "job", err);
	if (rc)
		return rc;
	struct jget g = jget_begin(root, "job", err);
	job->id = jget_int(&g, "id", 1, INT64_MAX - 1);
	job->type = get_job_type(&g);
	get_key(&g, "stream", job->stream, job->type == JOB_NOOP);
	job->deadline_ms = jget_int(&g, "deadline_ms", 1, DEADLINE_MAX_MS);
	job->is_tolerant = jget_bool(&g, "tolerant");
	if (job->type != JOB_NOOP) {
		record_get_source(&g, &job->source);
		record_get_options(&g, &job->options);
	}
	if (job->type == JOB_PLAY) {
		get_key(&g, "play", job->play, false);
		job->start = jget_int(&g, "start", 0, TIMELINE_MAX_TICKS);
	}
	if (job->type == JOB_SEGMENT)
		get_job_segment(&g, job);
	rc = jget_end(&g);
	json_decref(root);
	return rc;
}
