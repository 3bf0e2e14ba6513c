/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/plan.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/timeline.h"
#include "tests/suites.h"

#define SECOND INT64_C(90000)
#define SYNCS_MAX 512

struct title {
	struct index index;
	struct record_options options;
	struct record_sync syncs[SYNCS_MAX];
	struct plan plan;
	struct err err;
};

/* Video of `seconds` with a sync sample every `gop` ticks, starting at `start`. */
static void set_video(struct title *t, int64_t start, int64_t gop, int64_t seconds)
{
	struct record_video *video = &t->index.video;

	*video = (struct record_video){ .is_present = true, .is_copy = true,
					.track = 1,
					.codecs = "avc1.640028",
					.width = 1920,
					.height = 1080,
					.rate_num = 25,
					.rate_den = 1,
					.range = "SDR",
					.start_ticks = start,
					.end_ticks = start + seconds * SECOND };
	t->index.syncs = t->syncs;
	t->index.n_syncs = 0;
	for (int64_t at = start; at < video->end_ticks && t->index.n_syncs < SYNCS_MAX; at += gop) {
		int64_t i = (int64_t)t->index.n_syncs;

		t->syncs[t->index.n_syncs++] = (struct record_sync){ .start = at, .pts = at, .place = 1000 + i * 1000,
								    .id = 1020 + i * 1000, .audio_pos = INT64_MAX,
								    .is_closed = true };
	}
}

static void set_audio(struct title *t, int rate, int64_t base, int64_t frames)
{
	t->index.audio = (struct record_audio){ .is_present = true, .track = 2, .codecs = "mp4a.40.2", .rate = rate,
						.channels = 2, .unit = 1024, .base = base, .frames = frames,
						.source_rate = rate, .source_unit = 1536, .source_base = -256,
						.source_end = base + frames * 1024, .lead = 6000 };
	for (size_t i = 0; i < t->index.n_syncs; i++)
		t->syncs[i].audio_pos = timeline_ticks_to_samples(t->syncs[i].start, rate);
}

static void start(struct title *t)
{
	memset(t, 0, sizeof(*t));
	record_options_init(&t->options);
	t->index.first_place = 500;
}

static int make(struct title *t)
{
	return plan_make(&t->index, &t->options, &t->plan, &t->err);
}

/* What holds of every plan: no gap, no overlap, no frame lost or twice, reading starts early enough. */
static void check_plan(const struct title *t)
{
	const struct plan *plan = &t->plan;
	const struct record_audio *audio = &plan->audio;

	ck_assert_uint_gt(plan->n_segments, 0);
	for (size_t i = 0; i < plan->n_segments; i++) {
		const struct plan_segment *s = &plan->segments[i], *next = s + 1;
		int64_t need =
			timeline_scale_floor(audio->is_present ? audio->base + s->audio_first * audio->unit : 0,
					     audio->source_rate, audio->is_present ? audio->rate : 1) -
			audio->lead;

		ck_assert_int_gt(s->duration, 0);
		ck_assert_int_le(s->audio_first, s->audio_end);
		if (audio->is_present)
			ck_assert(s->audio_pos <= need || s->audio_place == t->index.first_place);
		if (i + 1 == plan->n_segments)
			break;
		ck_assert_int_eq(s->start + s->duration, next->start);
		ck_assert_int_eq(s->audio_end, next->audio_first);
		if (plan->video.is_present)
			ck_assert_int_eq(s->video_end, next->video_id);
	}
	ck_assert_int_eq(plan->segments[0].audio_first, 0);
	ck_assert_int_eq(plan->segments[plan->n_segments - 1].audio_end, audio->is_present ? audio->frames : 0);
	if (plan->video.is_present)
		ck_assert_int_eq(plan->segments[plan->n_segments - 1].video_end, INT64_MAX);
}

static const struct {
	int64_t target, gop, start, seconds;
	int rate;
	int64_t base, frames;
	size_t n_segments;
} plans[] = {
	{ 6 * SECOND, 2 * SECOND, 0, 60, 48000, 0, 2813, 10 },
	{ 2 * SECOND, 2 * SECOND, 0, 60, 48000, 0, 2813, 30 },
	{ 30 * SECOND, 2 * SECOND, 0, 60, 48000, 0, 2813, 2 },
	{ 6 * SECOND, 225000, 0, 60, 44100, 0, 2584, 8 },      /* 2.5 s: cut at 7.5 s each */
	{ 6 * SECOND, 25 * SECOND, 0, 60, 48000, 0, 2813, 3 }, /* long GOP: nothing to cut at */
	{ 6 * SECOND, 2 * SECOND, 90, 60, 48000, -312, 2813, 10 },
	{ 6 * SECOND, 2 * SECOND, 450000, 60, 48000, 0, 3047, 10 },  /* audio earlier than video */
	{ 6 * SECOND, 2 * SECOND, 0, 60, 48000, 480000, 2344, 10 },  /* later */
	{ 6 * SECOND, 2 * SECOND, 0, 60, 48000, 0, 100, 10 },        /* much shorter */
	{ 6 * SECOND, 2 * SECOND, 0, 60, 48000, 0, 9000, 10 },       /* much longer */
	{ 6 * SECOND, 100 * SECOND, 0, 60, 48000, 0, 2813, 1 },      /* a single sync sample */
};

START_TEST(every_frame_and_every_moment_belongs_to_exactly_one_segment)
{
	struct title t;

	start(&t);
	t.options.target_ticks = plans[_i].target;
	set_video(&t, plans[_i].start, plans[_i].gop, plans[_i].seconds);
	set_audio(&t, plans[_i].rate, plans[_i].base, plans[_i].frames);
	ck_assert_int_eq(make(&t), 0);
	ck_assert_uint_eq(t.plan.n_segments, plans[_i].n_segments);
	ck_assert_int_eq(t.plan.segments[0].start, plans[_i].start);
	check_plan(&t);
	ck_assert(t.plan.is_independent);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(an_open_gop_is_cut_at_its_leading_pictures)
{
	struct title t;

	start(&t);
	set_video(&t, 0, 6 * SECOND, 18);
	for (size_t i = 1; i < t.index.n_syncs; i++) {
		t.syncs[i].start -= 7200;
		t.syncs[i].is_closed = false;
	}
	ck_assert_int_eq(make(&t), 0);
	check_plan(&t);
	/* the sync at 6 s starts at 5.92 s, before the target: the cut comes at the next */
	ck_assert_uint_eq(t.plan.n_segments, 2);
	ck_assert_int_eq(t.plan.segments[1].start, 12 * SECOND - 7200);
	ck_assert_int_eq(t.plan.segments[1].video_id, t.syncs[2].id);
	ck_assert(!t.plan.is_independent);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(a_tail_under_half_a_second_joins_the_segment_before)
{
	struct title t;

	start(&t);
	set_video(&t, 0, 6 * SECOND, 12);
	t.index.video.end_ticks = 12 * SECOND + 44999;
	t.syncs[t.index.n_syncs++] = (struct record_sync){ .start = 12 * SECOND, .pts = 12 * SECOND, .place = 9000,
							  .id = 9020, .audio_pos = INT64_MAX };
	ck_assert_int_eq(make(&t), 0);
	ck_assert_uint_eq(t.plan.n_segments, 2);
	plan_finish(&t.plan);
	t.index.video.end_ticks++;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_uint_eq(t.plan.n_segments, 3);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(audio_alone_is_cut_on_its_own_frames)
{
	static const int rates[] = { 44100, 48000 };
	struct title t;

	start(&t);
	set_audio(&t, rates[_i], 0, 3000);
	ck_assert_int_eq(make(&t), 0);
	check_plan(&t);
	for (size_t i = 1; i < t.plan.n_segments; i++) {
		const struct plan_segment *s = &t.plan.segments[i];

		ck_assert_int_eq(s->start, timeline_samples_to_ticks(s->audio_first * 1024, rates[_i]));
		ck_assert_int_ge(s->start, (int64_t)i * 6 * SECOND);
		ck_assert_int_lt(s->start - (int64_t)i * 6 * SECOND, 2400);
		ck_assert_int_eq(s->audio_place, t.index.first_place);
	}
	plan_finish(&t.plan);
}
END_TEST

START_TEST(audio_frames_longer_than_the_target_are_segments_of_their_own)
{
	struct title t;

	start(&t);
	set_audio(&t, 8000, 0, 20);
	t.index.audio.unit = 10000;
	t.options.target_ticks = SECOND / 2;
	ck_assert_int_eq(make(&t), 0);
	check_plan(&t);
	ck_assert_uint_eq(t.plan.n_segments, 20);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(audio_alone_reads_from_the_anchors_that_the_index_has)
{
	struct title t;

	start(&t);
	set_video(&t, 0, 5 * SECOND, 60);
	memset(&t.index.video, 0, sizeof(t.index.video));
	set_audio(&t, 48000, 0, 2813);
	ck_assert_int_eq(make(&t), 0);
	check_plan(&t);
	ck_assert_int_eq(t.plan.segments[0].audio_place, t.index.first_place);
	ck_assert_int_eq(t.plan.segments[0].audio_pos, t.index.audio.source_base);
	ck_assert_int_eq(t.plan.segments[2].audio_pos, 10 * 48000); /* 12 s less the warm-up: the anchor at 10 s */
	plan_finish(&t.plan);
}
END_TEST

START_TEST(a_resampled_title_reads_from_its_source_position)
{
	struct title t;

	start(&t);
	set_video(&t, 0, 6 * SECOND, 60);
	set_audio(&t, 48000, 0, 2813);
	t.index.audio.source_rate = 44100;
	for (size_t i = 0; i < t.index.n_syncs; i++)
		t.syncs[i].audio_pos = timeline_ticks_to_samples(t.syncs[i].start, 44100);
	ck_assert_int_eq(make(&t), 0);
	check_plan(&t);
	ck_assert_int_eq(t.plan.segments[2].audio_pos, 6 * 44100);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(a_file_without_tracks_is_refused)
{
	struct title t;

	start(&t);
	ck_assert_int_eq(make(&t), ERR_UNSUPPORTED);
	ck_assert_ptr_null(t.plan.segments);
}
END_TEST

START_TEST(an_index_that_contradicts_itself_is_refused)
{
	struct title t;

	start(&t);
	set_video(&t, 0, 6 * SECOND, 60);
	t.index.n_syncs = 0;
	ck_assert_int_eq(make(&t), ERR_DATA);
	set_video(&t, 0, 6 * SECOND, 60);
	t.syncs[3].id = 10;
	ck_assert_int_eq(make(&t), ERR_DATA);
	set_video(&t, 0, 6 * SECOND, 60);
	t.index.video.end_ticks = 0;
	ck_assert_int_eq(make(&t), ERR_DATA);
}
END_TEST

START_TEST(the_hash_follows_every_cut_and_option)
{
	struct title t;
	char first[RECORD_KEY_SIZE];

	start(&t);
	set_video(&t, 0, 6 * SECOND, 60);
	ck_assert_int_eq(make(&t), 0);
	memcpy(first, t.plan.hash, sizeof(first));
	plan_finish(&t.plan);
	ck_assert_int_eq(make(&t), 0);
	ck_assert_str_eq(first, t.plan.hash);
	plan_finish(&t.plan);
	t.syncs[2].id++;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_str_ne(first, t.plan.hash);
	plan_finish(&t.plan);
	t.syncs[2].id--;
	t.options.audio_quality++;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_str_ne(first, t.plan.hash);
	plan_finish(&t.plan);
}
END_TEST

/* Two audio tracks, the second one found later in the file than the first, and subtitles: of the first ones nothing is known, of the
 * second that what is shown at a sync sample stands there for 5 s. */
START_TEST(tracks_of_their_own_are_cut_where_the_video_is)
{
	int64_t positions[2][SYNCS_MAX], since[SYNCS_MAX];
	struct record_track tracks[4] = { 0 };
	struct title t, one;

	start(&t);
	set_video(&t, 0, 2 * SECOND, 60);
	start(&one);
	set_video(&one, 0, 2 * SECOND, 60);
	set_audio(&one, 44100, 0, 2584);
	for (int k = 0; k < 2; k++) {
		tracks[k].audio = one.index.audio;
		tracks[k].positions = positions[k];
		for (size_t i = 0; i < t.index.n_syncs; i++)
			positions[k][i] = one.syncs[i].audio_pos + k * 90000;
	}
	for (size_t i = 0; i < t.index.n_syncs; i++)
		since[i] = t.syncs[i].start < 5 * SECOND ? 0 : t.syncs[i].start - 5 * SECOND;
	tracks[2].text = (struct record_text){ true, 9 };
	tracks[3].text = (struct record_text){ true, 10 };
	tracks[3].positions = since;
	ck_assert_int_eq(record_name_tracks(tracks, 4), 0);
	t.index.tracks = tracks;
	t.index.n_tracks = 4;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_int_eq(make(&one), 0);
	check_plan(&t);
	ck_assert_uint_eq(plan_count(&t.plan), 5 * one.plan.n_segments);
	for (size_t i = 0; i < one.plan.n_segments; i++) {
		const struct plan_segment *want = &one.plan.segments[i];

		for (int k = 0; k < 4; k++) {
			ck_assert_int_eq(t.plan.tracks[k].segments[i].start, want->start);
			ck_assert_int_eq(t.plan.tracks[k].segments[i].duration, want->duration);
			ck_assert_int_eq(t.plan.tracks[k].segments[i].audio_first, k < 2 ? want->audio_first : 0);
			ck_assert_int_eq(t.plan.tracks[k].segments[i].audio_end, k < 2 ? want->audio_end : 0);
			ck_assert_int_eq(t.plan.tracks[k].segments[i].video_end, 0);
		}
		ck_assert_int_eq(t.plan.tracks[0].segments[i].audio_place, want->audio_place);
		ck_assert_int_eq(t.plan.tracks[0].segments[i].audio_pos, want->audio_pos);
		ck_assert_int_le(t.plan.tracks[1].segments[i].audio_place, want->audio_place);
		/* the sync sample at or before 15 s earlier */
		ck_assert_int_eq(t.plan.tracks[2].segments[i].audio_place, want->start < 15 * SECOND ? 500 : 1000 + (want->start - 15 * SECOND) / SECOND / 2 * 1000);
		ck_assert_int_eq(t.plan.tracks[3].segments[i].audio_place, want->start < 7 * SECOND ? 500 : 1000 + (want->start - 7 * SECOND) / SECOND / 2 * 1000);
	}
	ck_assert_int_lt(t.plan.tracks[1].segments[5].audio_place, t.plan.tracks[0].segments[5].audio_place);
	plan_finish(&t.plan);
	plan_finish(&one.plan);
}
END_TEST

/* AAC over 30 s, beside it 10 s of another rate that come later, and AC-3 (1536 samples a frame) over 60 s: the second one is the default. */
START_TEST(tracks_of_audio_without_video_are_cut_together_up_to_the_end_of_the_longest)
{
	struct record_track tracks[3] = { 0 };
	struct title t;

	start(&t);
	set_audio(&t, 48000, 0, 1407);
	tracks[0].audio = t.index.audio;
	set_audio(&t, 44100, 20 * 44100, 431);
	tracks[1].audio = t.index.audio;
	tracks[1].is_default = true;
	set_audio(&t, 48000, 0, 1876);
	tracks[2].audio = t.index.audio;
	tracks[2].audio.unit = 1536;
	t.index.audio = (struct record_audio){ 0 };
	ck_assert_int_eq(record_name_tracks(tracks, 3), 0);
	t.index.tracks = tracks;
	t.index.n_tracks = 3;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_uint_eq(t.plan.n_segments, 10);
	ck_assert_uint_eq(plan_count(&t.plan), 30);
	for (size_t i = 0; i < 10; i++) {
		const struct plan_segment *s = &t.plan.segments[i];

		/* on frames of the default, of which the first begins less than one after 0 */
		ck_assert_int_eq(s->start, timeline_samples_to_ticks(20 * 44100 % 1024 + timeline_scale_ceil((int64_t)i * 6, 44100, 1024) * 1024, 44100));
		ck_assert(!s->audio_first && !s->audio_end && !s->video_place);
		for (int k = 0; k < 3; k++) {
			const struct plan_segment *own = &t.plan.tracks[k].segments[i];
			const struct record_audio *a = &t.plan.tracks[k].audio;

			ck_assert(own->start == s->start && own->duration == s->duration);
			ck_assert_int_eq(own->audio_first, i ? own[-1].audio_end : 0);
			if (own->audio_first < own->audio_end && i)
				ck_assert_int_ge(record_audio_ticks(a, own->audio_first) + timeline_samples_to_ticks(a->unit, a->rate), s->start);
			if (i == 9)
				ck_assert_int_eq(own->audio_end, a->frames);
		}
	}
	ck_assert_int_ge(t.plan.segments[9].start + t.plan.segments[9].duration, record_audio_ticks(&tracks[2].audio, 1876));
	/* empty where there is nothing */
	ck_assert_int_eq(t.plan.tracks[1].segments[2].audio_end, 0);
	ck_assert_int_eq(t.plan.tracks[1].segments[6].audio_first, 431);
	ck_assert_int_eq(t.plan.tracks[0].segments[6].audio_first, 1407);
	plan_finish(&t.plan);
}
END_TEST

START_TEST(renditions_together_have_a_limit_of_segments)
{
	struct record_track tracks[RECORD_TRACKS_MAX] = { 0 };
	struct record_sync *syncs = calloc(11000, sizeof *syncs);
	struct title t;

	start(&t);
	set_video(&t, 0, 2 * SECOND, 60);
	for (int64_t i = 0; i < 11000; i++)
		syncs[i] = (struct record_sync){ .start = i * 6 * SECOND, .pts = i * 6 * SECOND, .place = 1000 + i, .id = 1000 + i, .is_closed = true };
	t.index.syncs = syncs;
	t.index.n_syncs = 11000;
	t.index.video.end_ticks = 66000 * SECOND;
	for (int i = 0; i < RECORD_TRACKS_MAX; i++)
		tracks[i].text = (struct record_text){ true, i };
	t.index.tracks = tracks;
	t.index.n_tracks = RECORD_TRACKS_MAX;
	ck_assert_int_eq(make(&t), ERR_LIMIT);
	ck_assert_ptr_null(t.plan.segments);
	t.index.n_tracks = 10;
	ck_assert_int_eq(make(&t), 0);
	ck_assert_uint_eq(plan_count(&t.plan), 121000);
	plan_finish(&t.plan);
	free(syncs);
}
END_TEST

Suite *suite_plan(void)
{
	Suite *suite = suite_create("dispatcher/plan");
	TCase *tc = tcase_create("plan");

	tcase_add_loop_test(tc, every_frame_and_every_moment_belongs_to_exactly_one_segment, 0,
			    sizeof(plans) / sizeof(plans[0]));
	tcase_add_test(tc, an_open_gop_is_cut_at_its_leading_pictures);
	tcase_add_test(tc, a_tail_under_half_a_second_joins_the_segment_before);
	tcase_add_loop_test(tc, audio_alone_is_cut_on_its_own_frames, 0, 2);
	tcase_add_test(tc, audio_frames_longer_than_the_target_are_segments_of_their_own);
	tcase_add_test(tc, audio_alone_reads_from_the_anchors_that_the_index_has);
	tcase_add_test(tc, a_resampled_title_reads_from_its_source_position);
	tcase_add_test(tc, a_file_without_tracks_is_refused);
	tcase_add_test(tc, an_index_that_contradicts_itself_is_refused);
	tcase_add_test(tc, the_hash_follows_every_cut_and_option);
	tcase_add_test(tc, tracks_of_their_own_are_cut_where_the_video_is);
	tcase_add_test(tc, tracks_of_audio_without_video_are_cut_together_up_to_the_end_of_the_longest);
	tcase_add_test(tc, renditions_together_have_a_limit_of_segments);
	suite_add_tcase(suite, tc);
	return suite;
}
