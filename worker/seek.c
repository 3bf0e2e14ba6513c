/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Anchors are Clusters with a time near which they lie. Where reading begins at one and does not find what is wanted, it begins
 * at an earlier one: what Cues and interleaving promise is only tried, never believed.
 */
#include "worker/seek.h"

#include "common/timeline.h"
#include "worker/grid.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_ANCHORS 2000000
#define ANCHOR_NS NS_PER_SECOND           /* least distance of those from a scan */
#define TICK_FRAMES 64                    /* between two ticks */
#define BEHIND_TICKS (2 * TICKS_PER_SECOND) /* how far behind the time looked for a sync sample before it may still come */

struct anchor {
	int64_t time_ns, place;   /* time on the file's timeline */
	int64_t audio_pos;        /* of the first audio packet in or behind it, where it was counted; else INT64_MIN */
};

struct seek {
	const struct title *t;
	const struct transcode_out *out; /* its tick */
	int64_t n_read;
	struct anchor *anchors;
	size_t n, cap;
	struct buf unpacked, converted;
};

/* As demux_next. It may take minutes, and somebody wants to know that we live, or wants us to stop. */
static int next(struct seek *s, struct frame *f, struct err *err)
{
	int ret = ++s->n_read % TICK_FRAMES ? 0 : s->out->tick(s->out->arg, err);

	return ret ? ret : demux_next(s->t->demux, f, err);
}

/* ---- anchors */

static int add_anchor(struct seek *s, int64_t time_ns, int64_t place, int64_t audio_pos, struct err *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct anchor *grown;

		if (cap > LIMIT_ANCHORS)
			return err_set(err, ERR_LIMIT, "over %d places to start from", LIMIT_ANCHORS);
		grown = realloc(s->anchors, cap * sizeof *grown);
		if (!grown)
			return err_set(err, ERR_NOMEM, "no memory for %zu places to start from", cap);
		s->anchors = grown;
		s->cap = cap;
	}
	s->anchors[s->n++] = (struct anchor){ time_ns, place, audio_pos };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct anchor *x = a, *y = b;

	return x->time_ns != y->time_ns ? (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns)
					: (x->place > y->place) - (x->place < y->place);
}

static int anchors_from_cues(struct seek *s, struct err *err)
{
	const struct demux *demux = s->t->demux;
	int ret = 0;

	for (size_t i = 0; i < demux->n_cues && !ret; i++)
		if (demux->cues[i].track == s->t->video->number)
			ret = add_anchor(s, demux->cues[i].time_ns, demux->cues[i].place, INT64_MIN, err);
	qsort(s->anchors + 1, s->n - 1, sizeof *s->anchors, compare);
	return ret;
}

/* Positions of audio packets, counted since the beginning. */
struct counter {
	struct audio_ruler *ruler;
	struct audio_clock clock;
};

static int count_audio(struct seek *s, struct counter *c, const struct frame *f, int64_t *anchor, struct err *err)
{
	struct bytes data;
	int64_t samples, pos;
	int ret = demux_data(s->t->demux, f, &s->unpacked, &data, err);

	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	samples = audio_ruler_samples(c->ruler, data);
	pos = audio_clock_place(&c->clock, f->time_ns - s->t->origin_ns, f->lace_index, samples);
	*anchor = audio_ruler_anchor(c->ruler, pos, samples);
	return 0;
}

/* All Clusters up to the time, by the headers of their blocks. */
static int scan(struct seek *s, struct counter *c, int64_t until_ns, struct err *err)
{
	const struct title *t = s->t;
	int64_t place = t->demux->first;
	bool is_counted = t->audio && c->ruler;
	struct frame f;
	size_t counted = s->n; /* anchors that have their audio_pos */
	int ret = demux_seek(t->demux, place, err);

	while (!ret && (ret = next(s, &f, err)) == 1) {
		ret = 0;
		if (f.place != place) {
			place = f.place;
			if (f.time_ns > until_ns)
				break;
			if (f.time_ns >= s->anchors[s->n - 1].time_ns + ANCHOR_NS)
				ret = add_anchor(s, f.time_ns, place, INT64_MIN, err);
		}
		if (!ret && is_counted && f.track == t->audio->track->number) {
			int64_t pos = INT64_MIN;

			ret = count_audio(s, c, &f, &pos, err);
			for (; pos != INT64_MIN && counted < s->n; counted++)
				s->anchors[counted].audio_pos = pos;
		}
	}
	return ret;
}

static int anchors_from_scan(struct seek *s, int64_t until_ns, struct err *err)
{
	struct counter c = { 0 };
	int ret = 0;

	if (s->t->audio && s->t->audio->facts.is_counted) {
		audio_clock_init(&c.clock, &s->t->record_audio, s->t->record_audio.source_base);
		ret = audio_ruler_create(&c.ruler, s->t->audio->track, s->t->record_audio.source_unit, err);
	}
	if (!ret)
		ret = scan(s, &c, until_ns, err);
	audio_ruler_destroy(c.ruler);
	return ret;
}

/* The last anchor at or before the time. */
static size_t find_anchor(const struct seek *s, int64_t time_ns)
{
	size_t low = 0, high = s->n;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (s->anchors[middle].time_ns <= time_ns)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* ---- video */

static int64_t ticks_of(const struct seek *s, const struct frame *f)
{
	return timeline_ns_to_ticks(grid_snap(&s->t->record_video, f->time_ns) - s->t->origin_ns);
}

/* Can decoding start here? The same as the probe takes for a sync sample. */
static int is_sync(struct seek *s, const struct frame *f, struct err *err)
{
	struct nal_sample sample;
	struct bytes data;
	int ret = demux_data(s->t->demux, f, &s->unpacked, &data, err);

	buf_reset(&s->converted);
	if (!ret)
		ret = nal_sample_read(&s->t->nal, data, &s->converted, &sample, err);
	return ret == ERR_DATA ? 0 : ret ? ret : sample.has_picture;
}

/* Reads from an anchor: 1 and *place a sync sample at or before the time, 0 there is none from there on. *is_behind: the title
 * goes on to that time. */
static int look_from(struct seek *s, const struct anchor *a, int64_t ticks, struct seek_place *place, bool *is_behind,
		     struct err *err)
{
	struct frame f;
	bool is_found = false;
	int ret = demux_seek(s->t->demux, a->place, err);

	*is_behind = false;
	while (!ret && (ret = next(s, &f, err)) == 1) {
		int64_t time = ticks_of(s, &f);

		ret = 0;
		if (f.track != s->t->video->number)
			continue;
		*is_behind |= time + title_frame_duration(s->t, timeline_ns_to_ticks(f.duration_ns), 0) > ticks;
		if (time > ticks + BEHIND_TICKS || (f.is_key && time > ticks))
			break;
		if (!f.is_key || f.lace_index || time < 0 || (ret = is_sync(s, &f, err)) != 1)
			continue;
		ret = 0;
		is_found = true;
		place->time = time;
		place->video_place = f.place;
		place->video_id = f.id;
	}
	return ret < 0 ? ret : is_found;
}

static int find_video(struct seek *s, int64_t ticks, struct seek_place *place, struct err *err)
{
	size_t i = find_anchor(s, s->t->origin_ns + timeline_scale_floor(ticks, NS_PER_SECOND, TICKS_PER_SECOND)), step = 1;
	bool is_behind;
	int ret;

	while (!(ret = look_from(s, &s->anchors[i], ticks, place, &is_behind, err)) && i) {
		i = i > step ? i - step : 0;
		step *= 2;
	}
	if (ret < 0)
		return ret;
	if (!is_behind)
		return err_set(err, ERR_USAGE, "the title has ended before second %lld", (long long)(ticks / TICKS_PER_SECOND));
	return 0; /* without one before the time, it is the first at all */
}

/* ---- audio */

/* Position of the first audio packet in or behind a Cluster; 0: there is none. */
static int first_audio(struct seek *s, const struct anchor *a, int64_t *pos, struct err *err)
{
	struct frame f;
	int ret = demux_seek(s->t->demux, a->place, err);

	*pos = a->audio_pos;
	if (ret || *pos != INT64_MIN)
		return ret ? ret : 1;
	while ((ret = next(s, &f, err)) == 1)
		if (f.track == s->t->audio->track->number) {
			*pos = timeline_ns_to_samples(f.time_ns - s->t->origin_ns, s->t->record_audio.source_rate);
			return 1;
		}
	return ret;
}

static int find_audio(struct seek *s, struct seek_place *place, struct err *err)
{
	const struct record_audio *a = &s->t->record_audio;
	int64_t grid, need, pos;
	size_t i, step = 1;
	int ret;

	place->audio_first = timeline_scale_floor(timeline_ticks_to_samples(place->time, a->rate) - a->base, 1, a->unit);
	if (place->audio_first < 0)
		place->audio_first = 0;
	grid = a->base + place->audio_first * a->unit;
	need = timeline_scale_floor(grid, a->source_rate, a->rate) - a->lead;
	i = find_anchor(s, s->t->origin_ns + timeline_scale_floor(need, NS_PER_SECOND, a->source_rate));
	for (; i; i = i > step ? i - step : 0, step *= 2) {
		ret = first_audio(s, &s->anchors[i], &pos, err);
		if (ret < 0)
			return ret;
		if (ret && pos <= need) {
			place->audio_place = s->anchors[i].place;
			place->audio_pos = pos;
			return 0;
		}
	}
	return 0; /* from the beginning */
}

/* ---- public */

void seek_beginning(const struct title *t, struct seek_place *place)
{
	*place = (struct seek_place){ .video_place = t->demux->first, .audio_place = t->demux->first,
				      .audio_pos = t->record_audio.source_base };
	if (t->video)
		place->time = timeline_ns_to_ticks(title_first_video_ns(t) - t->origin_ns);
}

int seek_find(const struct title *t, const struct transcode_out *out, int64_t ticks, struct seek_place *place, struct err *err)
{
	int64_t ns = t->origin_ns + timeline_scale_floor(ticks, NS_PER_SECOND, TICKS_PER_SECOND);
	struct seek s = { .t = t, .out = out };
	int ret = add_anchor(&s, INT64_MIN, t->demux->first, t->record_audio.source_base, err);

	seek_beginning(t, place);
	if (!ret && t->video && t->demux->n_cues && !(t->audio && t->audio->facts.is_counted))
		ret = anchors_from_cues(&s, err);
	else if (!ret)
		ret = anchors_from_scan(&s, ns, err);
	if (!ret && t->video)
		ret = find_video(&s, ticks, place, err);
	if (place->time < ticks && (!t->video || !t->is_video_copied)) /* what is encoded begins anywhere */
		place->time = ticks;
	if (!ret && t->audio)
		ret = find_audio(&s, place, err);
	free(s.anchors);
	buf_finish(&s.unpacked);
	buf_finish(&s.converted);
	return ret;
}
