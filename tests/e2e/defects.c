/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/defects.h"

#include "tests/e2e/craft.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "worker/mkv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *defects_plain(void)
{
	return media_make("defects_plain.mkv", FFMPEG PICTURE SOUND "-t 13 " X264 "-bf 2 -g 48 " AC3 OUT);
}

const char *defects_plain_mkvmerge(void)
{
	defects_plain();
	return media_make("defects_plain_mm.mkv", MKVMERGE PLAIN);
}

const char *defects_scratch(const char *name)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/%s", sh_scratch(), name);
	return path;
}

bool defects_is_same_data(const struct hls_sample *a, const struct hls_sample *b)
{
	return a->data.size == b->data.size && !memcmp(a->data.data, b->data.data, a->data.size);
}

static void check_same_track(const struct hls_track *a, const struct hls_track *b, size_t n_segments)
{
	ck_assert_int_eq(a->is_video, b->is_video);
	ck_assert_uint_eq(a->timescale, b->timescale);
	ck_assert_int_eq(a->edit_media_time, b->edit_media_time);
	ck_assert_uint_eq(a->n_samples, b->n_samples);
	ck_assert_int_eq(memcmp(a->first, b->first, (n_segments + 1) * sizeof *a->first), 0);
	for (size_t i = 0; i < a->n_samples; i++) {
		const struct hls_sample *x = &a->samples[i], *y = &b->samples[i];

		ck_assert_msg(x->dts == y->dts && x->cts == y->cts && x->duration == y->duration &&
				      x->is_sync == y->is_sync,
			      "track %u, sample %zu has other times", a->id, i);
		ck_assert_msg(defects_is_same_data(x, y), "track %u, sample %zu has other bytes", a->id, i);
	}
}

void defects_check_same(const struct hls *h, const struct hls *other)
{
	ck_assert_uint_eq(h->n_segments, other->n_segments);
	ck_assert_int_eq(h->n_tracks, other->n_tracks);
	for (int i = 0; i < h->n_tracks; i++)
		check_same_track(&h->tracks[i], &other->tracks[i], h->n_segments);
}

void defects_check_as_plain(const char *source, const char *plain)
{
	struct hls h, other;

	hls_make(&h, source, "-j 2");
	hls_make(&other, plain, "-j 2");
	hls_check(&h);
	defects_check_same(&h, &other);
	hls_free(&h);
	hls_free(&other);
}

void defects_check_frames(const struct hls_track *t, const char *source, uint64_t number)
{
	struct mkv_cursor cursor;
	struct frame f;
	struct input in;
	struct mkv mkv;
	struct buf file;
	size_t n = 0;

	craft_load(&file, source);
	input_init_bytes(&in, buf_bytes(&file));
	ck_assert_int_eq(mkv_open(&mkv, &in, NULL), 0);
	ck_assert_int_eq(mkv_seek(&cursor, &mkv, mkv.first_cluster, -1, NULL), 0);
	while (mkv_next(&cursor, &f, NULL) == 1) {
		if (f.track != number)
			continue;
		ck_assert_uint_lt(n, t->n_samples);
		ck_assert_uint_eq(t->samples[n].data.size, (size_t)f.size);
		ck_assert_mem_eq(t->samples[n].data.data, file.data + f.at, (size_t)f.size);
		n++;
	}
	ck_assert_uint_eq(n, t->n_samples);
	mkv_close(&mkv);
	buf_finish(&file);
}

static int64_t start_ms(const char *file, const char *kind)
{
	char *end, *text = sh("ffprobe -v error -select_streams %s:0 -show_entries stream=start_time -of csv=p=0 '%s'",
			      kind, file);
	double seconds = strtod(text, &end);

	ck_assert_msg(end > text, "ffprobe says of the %s of %s: %s", kind, file, text);
	free(text);
	return (int64_t)(seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
}

void defects_starts(struct defects_starts *s, const char *file)
{
	s->video_ms = start_ms(file, "v");
	s->audio_ms = start_ms(file, "a");
	s->origin_ms = s->video_ms < s->audio_ms ? s->video_ms : s->audio_ms;
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t *defects_times(const struct hls_track *t)
{
	int64_t *times = calloc(t->n_samples + 1, sizeof *times);

	ck_assert_ptr_nonnull(times);
	for (size_t i = 0; i < t->n_samples; i++)
		times[i] = t->samples[i].dts + t->samples[i].cts - t->edit_media_time;
	qsort(times, t->n_samples, sizeof *times, compare_times);
	return times;
}

char *defects_probe(const char *file, const char *options)
{
	char *text = sh("ffprobe -v error %s -of csv=p=0 '%s' | sed 's/,$//' | tr -s '\\n' ' '", options, file);

	ck_assert_msg(text[0], "ffprobe %s says nothing of %s", options, file);
	return text;
}
