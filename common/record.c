/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/record_internal.h"

#include "common/key.h"
#include "common/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)


static bool in_range(int64_t v, int64_t min, int64_t max)
{
	return v >= min && v <= max;
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

static bool is_position(const struct record_track *t, int64_t v, const struct record_sync *sync)
{
	return t->audio.is_present ? is_audio_pos(v) : in_range(v, 0, sync->start);
}

/* One position for each sync sample; none where they are not known of text. */
static void get_positions(struct jget *g, struct record_track *t, void *arg)
{
	const struct index *index = arg;
	const json_t *row = jget_array(g, "positions", 0, RECORD_SYNCS_MAX);
	size_t n = t->audio.is_present || (row && json_array_size(row)) ? index->n_syncs : 0;
	if (row && json_array_size(row) != n)
		jget_fail(g, "positions", "are not one for each sync sample");
	if (g->code || !n)
		return;
	t->positions = malloc(n * sizeof(t->positions[0]));
	if (!t->positions) {
		g->code = err_set(g->err, ERR_NOMEM, "no memory for %zu positions", n);
		return;
	}
	if (!jget_row(row, t->positions, n))
		jget_fail(g, "positions", "are not numbers");
	for (size_t i = 0; i < n && !g->code; i++)
		if (!is_position(t, t->positions[i], &index->syncs[i]))
			jget_fail(g, "positions", "has one that is out of its range");
}

static void put_index_track(struct buf *b, const struct record_track *t, size_t n_syncs)
{
	jput_open(b, NULL, '{');
	record_put_track(b, t);
	jput_open(b, "positions", '[');
	for (size_t i = 0; t->positions && i < n_syncs; i++)
		jput_int(b, NULL, t->positions[i]);
	jput_close(b, ']');
	jput_close(b, '}');
}

/* Audio is together with the video, or a rendition of its own. */
static void check_tracks(struct jget *g, const struct record_audio *a, const struct record_track *tracks, int n)
{
	if (!g->code && n && tracks[0].audio.is_present && a->is_present)
		jget_fail(g, "tracks", "has audio beside the audio");
}

void index_finish(struct index *index)
{
	free(index->syncs);
	record_free_tracks(index->tracks, index->n_tracks);
	*index = (struct index){ 0 };
}

static void put_build(struct buf *b, const char *build)
{
	if (build[0])
		jput_str(b, "build", build);
}

static void get_build(struct jget *g, char build[RECORD_KEY_SIZE])
{
	if (jget_has(g, "build"))
		record_get_key(g, "build", build, false);
}

int index_put(const struct index *index, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "format", RECORD_FORMAT);
	put_build(json, index->build);
	record_put_video(json, &index->video);
	record_put_audio(json, &index->audio);
	jput_int(json, "origin_ns", index->origin_ns);
	jput_int(json, "first_place", index->first_place);
	put_shifts(json, &index->shifts);
	jput_open(json, "syncs", '[');
	for (size_t i = 0; i < index->n_syncs; i++)
		put_sync(json, &index->syncs[i]);
	jput_close(json, ']');
	jput_open(json, "tracks", '[');
	for (int i = 0; i < index->n_tracks; i++)
		put_index_track(json, &index->tracks[i], index->n_syncs);
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
	int64_t format = jget_int(&g, "format", 1, INT32_MAX);
	if (!g.code && format != RECORD_FORMAT) {
		json_decref(root);
		return err_set(err, ERR_UNSUPPORTED, "the index is of format %d, not %d", (int)format, RECORD_FORMAT);
	}
	get_build(&g, index->build);
	record_get_video(&g, &index->video);
	record_get_audio(&g, &index->audio);
	index->origin_ns = jget_int(&g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	index->first_place = jget_int(&g, "first_place", 0, OFFSET_MAX);
	get_shifts(&g, &index->shifts);
	get_syncs(&g, index);
	index->tracks = record_get_tracks(&g, "track of the index", &index->n_tracks, get_positions, index);
	check_tracks(&g, &index->audio, index->tracks, index->n_tracks);
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
static bool is_last_segment(const struct plan_segment *s, const struct record_video *v, const struct record_audio *a)
{
	return (!v->is_present || s->video_end == INT64_MAX) && s->audio_end == (a->is_present ? a->frames : 0);
}

static struct plan_segment *get_segments(struct jget *g, const struct record_video *v, const struct record_audio *a, size_t *n_segments)
{
	const json_t *rows = jget_array(g, "segments", 1, RECORD_SEGMENTS_MAX);
	size_t n = *n_segments = rows ? json_array_size(rows) : 0;
	struct plan_segment *segments = n ? calloc(n, sizeof(*segments)) : NULL;
	if (n && !segments)
		g->code = err_set(g->err, ERR_NOMEM, "no memory for %zu segments", n);
	for (size_t i = 0; i < n && !g->code; i++) {
		struct plan_segment *s = &segments[i];
		if (!get_segment(json_array_get(rows, i), s) || !is_segment_of(s, v, a))
			jget_fail(g, "segments", "has a row that is out of its ranges");
		else if (i && !is_segment_after(s, s - 1, v->is_present))
			jget_fail(g, "segments", "has a gap or an overlap");
	}
	if (!g->code && !is_last_segment(&segments[n - 1], v, a))
		jget_fail(g, "segments", "does not reach the end");
	return segments;
}

/* Those of a track are cut where the others are. */
static void get_track_segments(struct jget *g, struct record_track *t, void *arg)
{
	static const struct record_video none = { 0 };
	const struct plan *plan = arg;
	size_t n;
	t->segments = get_segments(g, &none, &t->audio, &n);
	if (!g->code && n != plan->n_segments)
		jget_fail(g, "segments", "are more or fewer than the plan's");
	for (size_t i = 0; i < n && !g->code; i++)
		if (t->segments[i].start != plan->segments[i].start || t->segments[i].duration != plan->segments[i].duration)
			jget_fail(g, "segments", "are not cut where the plan's are");
}

static void put_segments(struct buf *b, const struct plan_segment *segments, size_t n)
{
	jput_open(b, "segments", '[');
	for (size_t i = 0; i < n; i++)
		put_segment(b, NULL, &segments[i]);
	jput_close(b, ']');
}

static void put_plan_track(struct buf *b, const struct record_track *t, size_t n_segments)
{
	jput_open(b, NULL, '{');
	record_put_track(b, t);
	put_segments(b, t->segments, n_segments);
	jput_close(b, '}');
}

void plan_finish(struct plan *plan)
{
	free(plan->segments);
	record_free_tracks(plan->tracks, plan->n_tracks);
	*plan = (struct plan){ 0 };
}

int plan_put(const struct plan *plan, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "format", RECORD_FORMAT);
	put_build(json, plan->build);
	jput_str(json, "hash", plan->hash);
	jput_open(json, "options", '{');
	record_put_options(json, &plan->options);
	record_put_video(json, &plan->video);
	record_put_audio(json, &plan->audio);
	jput_int(json, "origin_ns", plan->origin_ns);
	put_shifts(json, &plan->shifts);
	jput_bool(json, "independent", plan->is_independent);
	put_segments(json, plan->segments, plan->n_segments);
	jput_open(json, "tracks", '[');
	for (int i = 0; i < plan->n_tracks; i++)
		put_plan_track(json, &plan->tracks[i], plan->n_segments);
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
	jget_int(&g, "format", RECORD_FORMAT, RECORD_FORMAT);
	get_build(&g, plan->build);
	record_get_key(&g, "hash", plan->hash, true);
	record_get_options(&g, &plan->options);
	record_get_video(&g, &plan->video);
	record_get_audio(&g, &plan->audio);
	plan->origin_ns = jget_int(&g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	get_shifts(&g, &plan->shifts);
	plan->is_independent = jget_bool(&g, "independent");
	plan->segments = get_segments(&g, &plan->video, &plan->audio, &plan->n_segments);
	plan->tracks = record_get_tracks(&g, "track of the plan", &plan->n_tracks, get_track_segments, plan);
	check_tracks(&g, &plan->audio, plan->tracks, plan->n_tracks);
	if (!g.code && !plan_has_main(plan) && !(plan->n_tracks && plan->tracks[0].audio.is_present))
		jget_fail(&g, "tracks", "has nothing that is seen or heard");
	rc = jget_end(&g);
	json_decref(root);
	if (rc)
		plan_finish(plan);
	return rc;
}

/* --- job */

static const char *const job_types[] = { [JOB_PROBE] = "probe", [JOB_SEGMENT] = "segment", [JOB_PLAY] = "play",
					 [JOB_NOOP] = "noop" };

static const char *const job_ranks[] = { [JOB_YIELDS] = "yields", [JOB_STAYS] = "stays", [JOB_URGENT] = "urgent" };

static enum job_rank get_job_rank(struct jget *g)
{
	char name[16];
	if (!jget_has(g, "rank"))
		return JOB_UNRANKED;
	jget_str(g, "rank", name, sizeof(name), NULL);
	for (int i = JOB_YIELDS; i <= JOB_URGENT; i++)
		if (!strcmp(job_ranks[i], name))
			return (enum job_rank)i;
	jget_fail(g, "rank", "is unknown");
	return JOB_UNRANKED;
}

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
	record_put_video(b, &job->video);
	record_put_audio(b, &job->audio);
	record_put_text(b, &job->text);
}

static void get_job_segment(struct jget *g, struct job *job)
{
	jget_str(g, "rendition", job->rendition, sizeof(job->rendition), RECORD_RENDITION_CHARS);
	if (!job->rendition[0])
		jget_fail(g, "rendition", "is empty");
	record_get_key(g, "plan_hash", job->plan_hash, false);
	job->number = jget_int(g, "number", 0, RECORD_SEGMENTS_MAX - 1);
	job->origin_ns = jget_int(g, "origin_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	get_shifts(g, &job->shifts);
	const json_t *row = jget_array(g, "segment", 9, 9);
	record_get_video(g, &job->video);
	record_get_audio(g, &job->audio);
	record_get_text(g, &job->text);
	if (g->code)
		return;
	if (job->text.is_present && (job->video.is_present || job->audio.is_present))
		jget_fail(g, "text", "is not alone");
	if (!get_segment(row, &job->segment) || !is_segment_of(&job->segment, &job->video, &job->audio))
		jget_fail(g, "segment", "is out of its ranges");
}

const char *plan_rendition(const struct plan *plan, size_t i)
{
	const struct record_track *t = plan_track(plan, i);
	if (t)
		return t->rendition;
	return plan->n_tracks && plan->tracks[0].audio.is_present ? RECORD_VIDEO_RENDITION : RECORD_RENDITION;
}

size_t plan_default_audio(const struct plan *plan)
{
	for (int i = 0; i < plan->n_tracks; i++)
		if (plan->tracks[i].audio.is_present && plan->tracks[i].is_default)
			return plan_track_first(plan, i);
	return 0;
}

size_t plan_default(const struct plan *plan)
{
	return plan_has_main(plan) ? 0 : plan_default_audio(plan);
}

int64_t plan_find_rendition(const struct plan *plan, const char *rendition)
{
	for (size_t i = 0; i < plan_count(plan); i += plan->n_segments)
		if (!strcmp(plan_rendition(plan, i), rendition))
			return (int64_t)i;
	return -1;
}

int64_t plan_find_start(const struct plan *plan, int64_t start)
{
	size_t low = 0, high = plan->n_segments;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (plan->segments[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < plan->n_segments && plan->segments[low].start == start ? (int64_t)low : -1;
}

int64_t plan_find_segment(const struct plan *plan, const char *rendition, int64_t start, int64_t duration)
{
	int64_t first = plan_find_rendition(plan, rendition), i = plan_find_start(plan, start);
	return first < 0 || i < 0 || plan->segments[i].duration != duration ? -1 : first + i;
}

void job_set_segment(struct job *job, const struct plan *plan, size_t i)
{
	const struct record_track *t = plan_track(plan, i);
	job->type = JOB_SEGMENT;
	snprintf(job->rendition, sizeof(job->rendition), "%s", plan_rendition(plan, i));
	memcpy(job->plan_hash, plan->hash, sizeof job->plan_hash);
	memcpy(job->build, plan->build, sizeof job->build);
	job->number = (int64_t)(i % plan->n_segments);
	job->origin_ns = plan->origin_ns;
	job->shifts = plan->shifts;
	job->segment = *plan_segment(plan, i);
	job->video = t ? (struct record_video){ 0 } : plan->video;
	job->audio = t ? t->audio : plan->audio;
	job->text = t ? t->text : (struct record_text){ 0 };
}

/* A no-op job carries nothing but its identity and how long it takes: it measures the queue. */
int job_put(const struct job *job, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	jput_int(json, "id", job->id);
	jput_str(json, "type", job_types[job->type]);
	jput_str(json, "stream", job->stream);
	jput_int(json, "deadline_ms", job->deadline_ms);
	jput_bool(json, "tolerant", job->is_tolerant);
	if (job->rank)
		jput_str(json, "rank", job_ranks[job->rank]);
	put_build(json, job->build);
	if (job->type != JOB_NOOP) {
		jput_open(json, "source", '{');
		record_put_source(json, &job->source);
		jput_open(json, "options", '{');
		record_put_options(json, &job->options);
	}
	if (job->type == JOB_NOOP)
		jput_int(json, "sleep_ms", job->sleep_ms);
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
	record_get_key(&g, "stream", job->stream, job->type == JOB_NOOP);
	job->deadline_ms = jget_int(&g, "deadline_ms", 1, DEADLINE_MAX_MS);
	job->is_tolerant = jget_bool(&g, "tolerant");
	job->rank = get_job_rank(&g);
	get_build(&g, job->build);
	if (job->type != JOB_NOOP) {
		record_get_source(&g, &job->source);
		record_get_options(&g, &job->options);
	}
	if (job->type == JOB_NOOP)
		job->sleep_ms = jget_int(&g, "sleep_ms", 0, RECORD_SLEEP_MAX_MS);
	if (job->type == JOB_PLAY) {
		record_get_key(&g, "play", job->play, false);
		job->start = jget_int(&g, "start", 0, TIMELINE_MAX_TICKS);
	}
	if (job->type == JOB_SEGMENT)
		get_job_segment(&g, job);
	rc = jget_end(&g);
	json_decref(root);
	return rc;
}
