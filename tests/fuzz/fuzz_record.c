/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records from the other side: what is taken, put and taken again, puts the same. An index becomes a plan that can be stored, and
 * playlists.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/record.h"
#include "dispatcher/mpd.h"
#include "dispatcher/plan.h"
#include "dispatcher/playlist.h"

#define LIMIT_LISTED 1000 /* segments; more only take longer */

/* json as a record of each kind; 1: it was one, and *again is what we would have written. */
static int source(struct bytes json, struct buf *again, struct err *err)
{
	static struct record_source r;

	return !record_source_get(json, &r, err) && !record_source_put(&r, again);
}

static int options(struct bytes json, struct buf *again, struct err *err)
{
	struct record_options r;

	return !record_options_get(json, &r, err) && !record_options_put(&r, again);
}

static int job(struct bytes json, struct buf *again, struct err *err)
{
	static struct job r;

	return !job_get(json, &r, err) && !job_put(&r, again);
}

static void check_plan(const struct plan *plan)
{
	struct buf text = { 0 };
	char name[PLAYLIST_NAME_MAX];

	for (size_t i = 0; i < plan->n_segments; i++) {
		const struct plan_segment *s = &plan->segments[i];

		ASSERT(s->duration > 0 && s->audio_first <= s->audio_end);
		ASSERT(!i || s->start == s[-1].start + s[-1].duration);
		ASSERT(!i || s->audio_first == s[-1].audio_end);
	}
	if (plan->n_segments <= LIMIT_LISTED) {
		playlist_put_master(plan, NULL, &text);
		mpd_put(plan, NULL, MPD_TEMPLATE, &text);
		mpd_put(plan, NULL, MPD_LIST, &text);
		for (size_t i = 0; i < plan_count(plan); i += plan->n_segments) {
			playlist_put_media(plan, i, NULL, &text);
			ASSERT(plan_find_rendition(plan, plan_rendition(plan, i)) == (int64_t)i);
		}
		ASSERT(!buf_failed(&text) && !memmem(text.data, text.size, "\n#EXTINF:-", 10));
	}
	for (size_t i = plan->n_segments; i <= plan_count(plan); i += plan->n_segments) {
		playlist_segment_name(plan, i - 1, name);
		ASSERT(playlist_find_segment(plan, i - plan->n_segments, name) == (int64_t)i - 1);
	}
	buf_finish(&text);
}

static int plan(struct bytes json, struct buf *again, struct err *err)
{
	struct plan r;

	if (plan_get(json, &r, err))
		return 0;
	check_plan(&r);
	ASSERT(!plan_put(&r, again));
	plan_finish(&r);
	return 1;
}

static void make_plan(const struct index *index)
{
	struct record_options o;
	struct plan made, again;
	struct buf json = { 0 };
	struct err err;

	record_options_init(&o);
	if (plan_make(index, &o, &made, &err))
		return;
	check_plan(&made);
	if (made.n_segments <= LIMIT_LISTED) {
		ASSERT(!plan_put(&made, &json));
		ASSERT(!plan_get(buf_bytes(&json), &again, &err));
		plan_finish(&again);
	}
	plan_finish(&made);
	buf_finish(&json);
}

static int take_index(struct bytes json, struct buf *again, struct err *err)
{
	struct index r;

	if (index_get(json, &r, err))
		return 0;
	make_plan(&r);
	ASSERT(!index_put(&r, again));
	index_finish(&r);
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const kinds[])(struct bytes, struct buf *, struct err *) = { source, options, take_index, plan, job };
	struct bytes in = { data, size };
	struct buf first = { 0 }, second = { 0 };
	struct err err;
	size_t kind = fuzz_uint(&in, 1) % (sizeof kinds / sizeof *kinds);

	if (kinds[kind](in, &first, &err)) {
		ASSERT(kinds[kind](buf_bytes(&first), &second, &err));
		ASSERT(first.size == second.size && !memcmp(first.data, second.data, first.size));
	}
	buf_finish(&first);
	buf_finish(&second);
	return 0;
}
