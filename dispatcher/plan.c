/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/plan.h"

#include "common/key.h"
#include "common/timeline.h"

#include <stdlib.h>
#include <string.h>

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

/* The last segment, or NULL when there is none yet. */
static struct plan_segment *last_segment(struct plan *plan)
{
	return plan->n_segments ? &plan->segments[plan->n_segments - 1] : NULL;
}

static int add_segment(struct plan *plan, size_t *cap, const struct plan_segment *segment, struct err *err)
{
	if (plan->n_segments == RECORD_SEGMENTS_MAX)
		return err_set(err, ERR_LIMIT, "the title needs more than %d segments", RECORD_SEGMENTS_MAX);
	if (plan->n_segments == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct plan_segment *grown = realloc(plan->segments, more * sizeof(*grown));

		if (!grown)
			return err_set(err, ERR_NOMEM, "out of memory for a plan of %zu segments", more);
		plan->segments = grown;
		*cap = more;
	}
	plan->segments[plan->n_segments++] = *segment;
	return 0;
}

/* Ends the open segment at the cut `sync`. */
static void end_at(struct plan_segment *open, int64_t end, int64_t video_end)
{
	open->duration = end - open->start;
	open->video_end = video_end;
}

/* Where decoding begins for what starts at sync i: at the sync itself where its samples are copied, else so much earlier that the
 * decoder and the filters have what they need. */
static int64_t entry(const struct index *index, size_t i)
{
	const struct record_sync *sync = &index->syncs[i];

	if (index->video.is_copy || !index->video.encode.lead_ticks)
		return sync->place;
	while (i && index->syncs[i].pts > sync->pts - index->video.encode.lead_ticks)
		i--;
	return index->syncs[i].place;
}

static int cut_video(const struct index *index, struct plan *plan, struct err *err)
{
	int64_t end = index->video.end_ticks;
	size_t cap = 0;

	if (!index->n_syncs || index->syncs[0].start < 0 || index->syncs[0].start >= end)
		return err_set(err, ERR_DATA, "the video has no sync sample before its end");
	for (size_t i = 0; i < index->n_syncs; i++) {
		const struct record_sync *sync = &index->syncs[i];
		struct plan_segment *open = last_segment(plan);
		struct plan_segment next = { .start = sync->start, .video_place = entry(index, i), .video_id = sync->id };
		int ret;

		if (open &&
		    (sync->start - open->start < plan->options.target_ticks || end - sync->start < PLAN_TAIL_MIN))
			continue;
		if (open && sync->id <= open->video_id)
			return err_set(err, ERR_DATA, "the sync samples are not in order");
		if (open)
			end_at(open, sync->start, sync->id);
		/* leading pictures refer to what is in front of the sync sample */
		plan->is_independent &= sync->is_closed || sync->start == sync->pts;
		ret = add_segment(plan, &cap, &next, err);
		if (ret < 0)
			return ret;
	}
	end_at(last_segment(plan), end, INT64_MAX);
	return 0;
}

/* The first audio frame of the segment that starts at `start` ticks. */
static int64_t frame_at(const struct record_audio *audio, int64_t start)
{
	int64_t position = timeline_ticks_to_samples(start, audio->rate) - audio->base;

	return clamp(timeline_scale_floor(position, 1, audio->unit), 0, audio->frames);
}

static void share_frames(const struct plan *plan, const struct record_audio *audio, struct plan_segment *segments)
{
	for (size_t i = 0; i < plan->n_segments; i++) {
		segments[i].audio_first = i ? segments[i - 1].audio_end : 0;
		segments[i].audio_end = frame_at(audio, segments[i].start + segments[i].duration);
	}
	segments[plan->n_segments - 1].audio_end = audio->frames;
}

static int64_t frame_ticks(const struct record_audio *audio, int64_t frame)
{
	int64_t ticks = record_audio_ticks(audio, frame);

	return ticks > 0 ? ticks : 0;
}

static int cut_audio(const struct record_audio *audio, struct plan *plan, struct err *err)
{
	int64_t end = frame_ticks(audio, audio->frames);
	size_t cap = 0;

	if (audio->frames <= 0 || end <= frame_ticks(audio, 0))
		return err_set(err, ERR_DATA, "the audio track is empty");
	for (int64_t k = 0, first = 0; first < audio->frames; k++) {
		int64_t next = timeline_scale_ceil((k + 1) * plan->options.target_ticks, audio->rate,
						   TICKS_PER_SECOND * audio->unit);
		struct plan_segment segment = { .start = frame_ticks(audio, first), .audio_first = first };
		int ret;

		if (next <= first) /* frames longer than the target */
			continue;
		if (next >= audio->frames || end - frame_ticks(audio, next) < PLAN_TAIL_MIN)
			next = audio->frames;
		segment.audio_end = next;
		segment.duration = frame_ticks(audio, next) - segment.start;
		ret = add_segment(plan, &cap, &segment, err);
		if (ret < 0)
			return ret;
		first = next;
	}
	return 0;
}

/* Of tracks of audio without video: at frames of the one that is heard where nobody chooses, as if it lasted as long as all together. */
static int cut_tracks(const struct index *index, struct plan *plan, struct err *err)
{
	struct record_audio grid = index->tracks[0].audio;
	int64_t start, end;
	int ret;

	for (int i = 0; i < index->n_tracks; i++)
		if (index->tracks[i].audio.is_present && index->tracks[i].is_default)
			grid = index->tracks[i].audio;
	record_audio_span(index->tracks, index->n_tracks, &start, &end);
	record_audio_stretch(&grid, start, end);
	ret = cut_audio(&grid, plan, err);
	for (size_t i = 0; i < plan->n_segments; i++) /* the frames are the tracks' */
		plan->segments[i].audio_first = plan->segments[i].audio_end = 0;
	return ret;
}

/* Where each segment starts to read audio: the last place known to be early enough. positions: of a track that is a rendition of its
 * own; NULL: those of the sync samples. */
static void place_audio(const struct index *index, const struct record_audio *audio, const int64_t *positions, struct plan_segment *segments,
			size_t n_segments)
{
	size_t known = 0; /* syncs in front of which we may start; both sides only rise */
	int64_t pos = audio->source_base, place = index->first_place;

	for (size_t i = 0; i < n_segments; i++) {
		int64_t grid = audio->base + segments[i].audio_first * audio->unit;
		int64_t need = timeline_scale_floor(grid, audio->source_rate, audio->rate) - audio->lead;

		for (; known < index->n_syncs; known++) {
			int64_t at = positions ? positions[known] : index->syncs[known].audio_pos;

			if (at > need)
				break;
			pos = at;
			place = index->syncs[known].place;
		}
		segments[i].audio_place = place;
		segments[i].audio_pos = pos;
	}
}

/* Where each segment starts to read subtitles: so much earlier that what is still shown is met. positions: of the track; or NULL. */
static void place_text(const struct index *index, const int64_t *positions, struct plan_segment *segments, size_t n_segments)
{
	size_t known = 0, here = 0; /* syncs in front of which we may start; that are not behind the segment's start: both sides only rise */

	for (size_t i = 0; i < n_segments; i++) {
		int64_t from = segments[i].start - PLAN_TEXT_LEAD;

		while (here < index->n_syncs && index->syncs[here].start <= segments[i].start)
			here++;
		if (positions)
			from = (here ? positions[here - 1] : 0) - PLAN_TEXT_EARLY;
		while (known < index->n_syncs && index->syncs[known].pts <= from)
			known++;
		segments[i].audio_place = known ? index->syncs[known - 1].place : index->first_place;
	}
}

/* Cut where the plan is. */
static int add_track(const struct index *index, const struct record_track *from, struct plan *plan, struct err *err)
{
	struct record_track *t = &plan->tracks[plan->n_tracks++];

	*t = *from;
	t->positions = NULL;
	t->segments = calloc(plan->n_segments, sizeof(*t->segments));
	if (!t->segments)
		return err_set(err, ERR_NOMEM, "out of memory for a plan");
	for (size_t i = 0; i < plan->n_segments; i++)
		t->segments[i] = (struct plan_segment){ .start = plan->segments[i].start, .duration = plan->segments[i].duration };
	if (t->audio.is_present) {
		share_frames(plan, &t->audio, t->segments);
		place_audio(index, &t->audio, from->positions, t->segments, plan->n_segments);
	} else {
		place_text(index, from->positions, t->segments, plan->n_segments);
	}
	return 0;
}

static int add_tracks(const struct index *index, struct plan *plan, struct err *err)
{
	int ret = 0;

	if (!index->n_tracks)
		return 0;
	if (plan->n_segments > RECORD_SEGMENTS_MAX / (size_t)(1 + index->n_tracks))
		return err_set(err, ERR_LIMIT, "the title needs more than %d segments", RECORD_SEGMENTS_MAX);
	plan->tracks = calloc((size_t)index->n_tracks, sizeof(*plan->tracks));
	if (!plan->tracks)
		return err_set(err, ERR_NOMEM, "out of memory for a plan");
	for (int i = 0; i < index->n_tracks && ret >= 0; i++)
		ret = add_track(index, &index->tracks[i], plan, err);
	return ret;
}

static int hash_plan(struct plan *plan, struct err *err)
{
	struct buf json = { 0 };
	int ret;

	memset(plan->hash, 0, sizeof(plan->hash));
	ret = plan_put(plan, &json);
	if (ret < 0)
		err_set(err, ret, "the plan cannot be written as JSON");
	else
		key_hash(buf_bytes(&json), plan->hash);
	buf_finish(&json);
	return ret;
}

int plan_make(const struct index *index, const struct record_options *options, struct plan *plan, struct err *err)
{
	int ret;

	memset(plan, 0, sizeof(*plan));
	plan->options = *options;
	plan->video = index->video;
	plan->audio = index->audio;
	plan->origin_ns = index->origin_ns;
	plan->shifts = index->shifts;
	memcpy(plan->build, index->build, sizeof(plan->build));
	plan->is_independent = true;
	if (index->video.is_present)
		ret = cut_video(index, plan, err);
	else if (index->audio.is_present)
		ret = cut_audio(&plan->audio, plan, err);
	else if (index->n_tracks && index->tracks[0].audio.is_present)
		ret = cut_tracks(index, plan, err);
	else
		ret = err_set(err, ERR_UNSUPPORTED, "the file has neither a video nor an audio track that can be used");
	if (ret < 0)
		goto out;
	if (index->video.is_present && index->audio.is_present)
		share_frames(plan, &plan->audio, plan->segments);
	if (index->audio.is_present)
		place_audio(index, &plan->audio, NULL, plan->segments, plan->n_segments);
	ret = add_tracks(index, plan, err);
	if (ret >= 0)
		ret = hash_plan(plan, err);
out:
	if (ret < 0)
		plan_finish(plan);
	return ret;
}
