/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/progress.h"

#include "common/proc.h"
#include "common/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define BAR_EVERY_MS 100
#define LINE_EVERY_MS 2000

void progress_init(struct progress *p)
{
	memset(p, 0, sizeof(*p));
	p->is_terminal = isatty(STDERR_FILENO);
	p->start_ms = proc_now_ms();
	p->next_ms = p->start_ms;
	p->shown = SIZE_MAX;
}

static int64_t total_ticks(const struct plan *plan)
{
	int64_t ticks = 0;

	for (size_t i = 0; i < plan->n_segments; i++)
		ticks += plan->segments[i].duration;
	return ticks * (int64_t)plan_renditions(plan);
}

static void put_bar(size_t made, size_t total)
{
	char bar[BAR_WIDTH + 1];
	size_t full = total ? made * BAR_WIDTH / total : 0;

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] ", bar);
}

static void put_state(const struct progress *p, const struct dispatch_stream *s, int64_t now_ms)
{
	int64_t elapsed_ms = now_ms - p->start_ms > 0 ? now_ms - p->start_ms : 1, tenths, left_ms;

	if (!s->has_plan) {
		fputs("looking at the file", stderr);
		return;
	}
	tenths = s->ticks_made / (int64_t)plan_renditions(&s->plan) / (TICKS_PER_SECOND / 1000) * 10 / elapsed_ms;
	left_ms = s->ticks_made ? timeline_scale_ceil(total_ticks(&s->plan) - s->ticks_made, elapsed_ms, s->ticks_made) : 0;
	fprintf(stderr, "%zu/%zu segments, %" PRId64 ".%" PRId64 "x real time", s->n_made, plan_count(&s->plan),
		tenths / 10, tenths % 10);
	if (s->n_quarantined)
		fprintf(stderr, ", %zu failed", s->n_quarantined);
	if (s->ticks_made && s->n_made < plan_count(&s->plan))
		fprintf(stderr, ", %" PRId64 ":%02" PRId64 " left", left_ms / 60000, left_ms / 1000 % 60);
}

static void show(struct progress *p, const struct dispatch_stream *s, int64_t now_ms)
{
	if (p->is_terminal)
		put_bar(s->n_made, plan_count(&s->plan));
	put_state(p, s, now_ms);
	fputs(p->is_terminal ? "\033[K" : "\n", stderr);
	p->shown = s->n_made;
	p->next_ms = now_ms + (p->is_terminal ? BAR_EVERY_MS : LINE_EVERY_MS);
}

void progress_show(struct progress *p, const struct dispatch_stream *stream)
{
	int64_t now_ms = proc_now_ms();

	if (now_ms >= p->next_ms)
		show(p, stream, now_ms);
}

void progress_end(struct progress *p, const struct dispatch_stream *stream)
{
	if (p->is_terminal || p->shown != stream->n_made)
		show(p, stream, proc_now_ms());
	if (p->is_terminal)
		fputs("\n", stderr);
}
