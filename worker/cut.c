/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/cut.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int cut_decode_times(const int64_t *pts, size_t n, int64_t start, int64_t end, int64_t delay, int64_t *dts, struct err *err)
{
	int64_t count = (int64_t)n;

	if (end - start < count || !n)
		return err_set(err, ERR_DATA, "%zu frames do not fit into %lld ticks", n, (long long)(end - start));
	memcpy(dts, pts, n * sizeof *dts);
	qsort(dts, n, sizeof *dts, compare);
	dts[n] = end;
	/* from behind: before the next one, and not after the frame's own presentation plus delay */
	for (int64_t i = count - 1; i >= 0; i--) {
		if (dts[i] > pts[i] + delay)
			dts[i] = pts[i] + delay;
		if (dts[i] >= dts[i + 1])
			dts[i] = dts[i + 1] - 1;
	}
	dts[0] = start;
	for (int64_t i = 1; i < count && dts[i] <= dts[i - 1]; i++)
		dts[i] = dts[i - 1] + 1;
	return 0;
}

int64_t cut_delay(const int64_t *pts, size_t n, int64_t *sorted)
{
	int64_t delay = 0;

	memcpy(sorted, pts, n * sizeof *pts);
	qsort(sorted, n, sizeof *sorted, compare);
	for (size_t i = 0; i < n; i++)
		if (sorted[i] - pts[i] > delay)
			delay = sorted[i] - pts[i];
	return delay;
}

size_t cut_fragment(const int64_t *times, size_t n, size_t first)
{
	size_t i = first + 1;

	while (i < n && times[i] < times[first] + CUT_FRAGMENT_TICKS)
		i++;
	return i < n ? i : n;
}

int64_t cut_audio_frames(int64_t rate, int64_t unit)
{
	return (timeline_ticks_to_samples(CUT_FRAGMENT_TICKS, rate) + unit - 1) / unit;
}

void cut_order_init(struct cut_order *o, int reorder, int64_t delay, int64_t start)
{
	*o = (struct cut_order){ .reorder = reorder, .delay = delay, .last = start - 1 };
	if (reorder < 0 || reorder > CUT_REORDER_MAX)
		o->reorder = CUT_REORDER_MAX;
}

void cut_order_push(struct cut_order *o, int64_t pts)
{
	int i = o->n;

	ASSERT(o->n <= o->reorder);
	o->pts[o->n++] = pts;
	for (; i > 0 && o->sorted[i - 1] > pts; i--)
		o->sorted[i] = o->sorted[i - 1];
	o->sorted[i] = pts;
}

bool cut_order_take(struct cut_order *o, bool is_end, int64_t *dts)
{
	int64_t t = o->sorted[0];

	if (!o->n || !(is_end || cut_order_is_certain(o)))
		return false;
	for (int i = 0; i < o->n; i++)
		if (t > o->pts[i] + o->delay - i)
			t = o->pts[i] + o->delay - i;
	if (t <= o->last)
		t = o->last + 1;
	o->last = *dts = t;
	o->n--;
	memmove(o->pts, o->pts + 1, (size_t)o->n * sizeof *o->pts);
	memmove(o->sorted, o->sorted + 1, (size_t)o->n * sizeof *o->sorted);
	return true;
}

void cut_order_drop_last(struct cut_order *o)
{
	int64_t pts;
	int i = 0;

	ASSERT(o->n > 0);
	pts = o->pts[--o->n];
	while (i < o->n && o->sorted[i] < pts)
		i++;
	memmove(o->sorted + i, o->sorted + i + 1, (size_t)(o->n - i) * sizeof *o->sorted);
}

int64_t cut_delay_ahead(const int64_t *pts, size_t n, int reorder, int64_t duration)
{
	int64_t delay = 0, dts;
	struct cut_order o;
	size_t taken = 0;

	cut_order_init(&o, reorder, TIMELINE_MAX_TICKS, -TIMELINE_MAX_TICKS);
	for (size_t i = 0; i < n; i++) {
		cut_order_push(&o, pts[i]);
		for (; cut_order_take(&o, false, &dts); taken++)
			if (dts - pts[taken] > delay)
				delay = dts - pts[taken];
	}
	if (o.reorder * duration > delay)
		delay = o.reorder * duration;
	return delay < CUT_DELAY_MAX ? delay : CUT_DELAY_MAX;
}
