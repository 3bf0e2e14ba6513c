/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/shift.h"

#include "common/timeline.h"

#include <string.h>

#define FAR_NS (10 * NS_PER_SECOND) /* a longer step forward is no hole in the recording */
#define BACK_NS (NS_PER_SECOND / 2) /* decode times rise; but some say so only roughly */

void shift_init(struct shift *s)
{
	memset(s, 0, sizeof *s);
	shift_seek(s);
}

void shift_seek(struct shift *s)
{
	s->reached_ns = FRAME_NO_TIME;
	for (int i = 0; i < TRACKS_MAX; i++)
		s->tracks[i].end_ns = FRAME_NO_TIME;
}

static int64_t known(const struct shift *s, int track, int64_t id)
{
	for (int i = s->table.n; i > 0; i--)
		if (s->table.all[i - 1].track == track + 1 && s->table.all[i - 1].id <= id)
			return s->table.all[i - 1].ns;
	return 0;
}

static void add(struct shift *s, int track, int64_t id, int64_t ns)
{
	struct record_shifts *t = &s->table;

	if (t->n == RECORD_SHIFTS_MAX) {
		t->n /= 2;
		memmove(t->all, t->all + t->n, (size_t)t->n * sizeof *t->all);
		s->is_lost = true;
	}
	t->all[t->n++] = (struct record_shift){ track + 1, id, ns };
}

static bool is_near(int64_t a, int64_t b)
{
	return a != FRAME_NO_TIME && b != FRAME_NO_TIME && a - b <= FAR_NS && b - a <= FAR_NS;
}

/* Does the track go on at that time? A hole in one track is no jump while others have come that far. */
static bool goes_on(const struct shift *s, const struct shift_track *t, int64_t time_ns)
{
	if (t->end_ns != FRAME_NO_TIME && time_ns < t->end_ns - BACK_NS)
		return false;
	return is_near(time_ns, s->reached_ns) || is_near(time_ns, t->end_ns);
}

static void begin(struct shift *s, int64_t ns)
{
	for (int i = 0; i < TRACKS_MAX; i++)
		if (s->tracks[i].is_now) {
			s->tracks[i].is_now = false;
			s->tracks[i].ns = s->now;
		}
	s->before = s->now;
	s->now = ns;
}

/* Another track has jumped to here first. */
static void join(struct shift *s, struct shift_track *t, bool is_video, int64_t decode_ns)
{
	int64_t off = t->end_ns == FRAME_NO_TIME ? 0 : t->end_ns - decode_ns - s->now;

	if (is_video && off >= -BACK_NS && off <= BACK_NS)
		s->now += off;
	t->is_now = true;
}

/* The shift with which the track goes on: the one that it has, one that another track has found, else a new one. */
static int64_t find(struct shift *s, struct shift_track *t, bool is_video, int64_t decode_ns)
{
	int64_t has = t->is_now ? s->now : t->ns;

	if (s->reached_ns == FRAME_NO_TIME || goes_on(s, t, decode_ns + has))
		return has;
	if (goes_on(s, t, decode_ns + s->now)) {
		join(s, t, is_video, decode_ns);
	} else if (goes_on(s, t, decode_ns + s->before)) {
		t->is_now = false;
		return t->ns = s->before;
	} else {
		begin(s, (is_near(t->end_ns, s->reached_ns) ? t->end_ns : s->reached_ns) - decode_ns);
		t->is_now = true;
	}
	return s->now;
}

int64_t shift_of(struct shift *s, int track, bool is_video, int64_t id, int64_t decode_ns, int64_t duration_ns)
{
	struct shift_track *t = &s->tracks[track];
	int64_t was = known(s, track, id), ns = was;

	if (decode_ns == FRAME_NO_TIME || decode_ns > TIMELINE_MAX_NS || decode_ns < -TIMELINE_MAX_NS)
		return was;
	if (!s->is_given && id > t->id) {
		ns = find(s, t, is_video, decode_ns);
		if (ns != was)
			add(s, track, id, ns);
		t->id = id;
	}
	s->reached_ns = decode_ns + ns;
	t->end_ns = s->reached_ns + (duration_ns < FAR_NS ? duration_ns : 0);
	return ns;
}
