/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/probe_text.h"

#include "common/timeline.h"
#include "worker/text.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_CUES (1u << 20) /* of all tracks together; what has more is not known */

void probe_text_finish(struct probe_text *p)
{
	free(p->cues);
	*p = (struct probe_text){ 0 };
}

static void begin(struct probe_text *p, bool is_known)
{
	p->n = 0;
	for (int i = 0; i < RECORD_TRACKS_MAX; i++)
		p->is_known[i] = is_known;
}

void probe_text_begin(struct probe_text *p)
{
	begin(p, true);
}

static int add(struct probe_text *p, int track, int64_t start, int64_t end, struct err *err)
{
	if (p->n == LIMIT_CUES) {
		p->is_known[track] = false;
		return 0;
	}
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 256;
		struct probe_text_cue *cues = realloc(p->cues, cap * sizeof *cues);

		if (!cues)
			return err_set(err, ERR_NOMEM, "out of memory for %zu cues", cap);
		p->cues = cues;
		p->cap = cap;
	}
	p->cues[p->n++] = (struct probe_text_cue){ start, end, track };
	return 0;
}

static int find_track(const struct index *x, uint64_t number)
{
	for (int i = 0; i < x->n_tracks; i++)
		if (x->tracks[i].text.is_present && (uint64_t)x->tracks[i].text.track == number)
			return i;
	return -1;
}

int probe_text_pass(struct probe_text *p, const struct index *x, const struct demux *demux, const struct frame *f, struct err *err)
{
	int track = find_track(x, f->track);
	int64_t start, end;

	if (track < 0 || text_is_empty(demux_track(demux, f->track), f->size))
		return 0;
	start = timeline_ns_to_ticks(f->time_ns - x->origin_ns);
	end = f->duration_ns > 0 ? timeline_ns_to_ticks(f->time_ns + f->duration_ns - x->origin_ns) : start + TEXT_SHOWN_TICKS;
	return add(p, track, start, end, err);
}

int probe_text_take_cues(struct probe_text *p, const struct index *x, const struct demux *demux, struct err *err)
{
	bool has_any[RECORD_TRACKS_MAX] = { false };
	int ret = 0;

	begin(p, true);
	for (size_t i = 0; i < demux->n_cues && !ret; i++) {
		const struct cue *c = &demux->cues[i];
		int track = find_track(x, c->track);
		int64_t ns = track < 0 ? 0 : c->time_ns + demux_track(demux, c->track)->offset_ns - x->origin_ns;

		if (track < 0)
			continue;
		has_any[track] = true;
		if (c->duration_ns > 0)
			ret = add(p, track, timeline_ns_to_ticks(ns), timeline_ns_to_ticks(ns + c->duration_ns), err);
		else
			p->is_known[track] = false;
	}
	for (int i = 0; i < RECORD_TRACKS_MAX; i++)
		p->is_known[i] &= has_any[i];
	return ret;
}

/* The last ones to end come first. */
static int compare(const void *a, const void *b)
{
	const struct probe_text_cue *one = a, *other = b;

	return (one->end < other->end) - (one->end > other->end);
}

static int64_t limited(int64_t at, int64_t max)
{
	return at < 0 ? 0 : at < max ? at : max;
}

/* From the last sync sample to the first: whatever ends behind it, and when the earliest of that began. */
static int settle_track(struct probe_text *p, int track, struct index *x, struct err *err)
{
	int64_t *positions = malloc((x->n_syncs ? x->n_syncs : 1) * sizeof *positions), since = INT64_MAX;
	size_t next = 0;

	if (!positions)
		return err_set(err, ERR_NOMEM, "out of memory for %zu sync samples", x->n_syncs);
	for (size_t i = x->n_syncs; i-- > 0;) {
		for (; next < p->n && p->cues[next].end > x->syncs[i].start; next++)
			if (p->cues[next].track == track && p->cues[next].start < since)
				since = p->cues[next].start;
		positions[i] = limited(since, x->syncs[i].start);
	}
	free(x->tracks[track].positions);
	x->tracks[track].positions = positions;
	return 0;
}

int probe_text_settle(struct probe_text *p, struct index *x, struct err *err)
{
	int ret = 0;

	if (p->n)
		qsort(p->cues, p->n, sizeof *p->cues, compare);
	for (int i = 0; i < x->n_tracks && !ret; i++)
		if (x->tracks[i].text.is_present && p->is_known[i])
			ret = settle_track(p, i, x, err);
	return ret;
}
