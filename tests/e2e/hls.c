/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/hls.h"

#include "tests/e2e/hls_boxes.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes read_file(const char *path)
{
	struct buf b = { 0 };
	FILE *f = fopen(path, "rb");
	size_t n;

	ck_assert_msg(f, "cannot open %s", path);
	do {
		uint8_t *at = buf_grow(&b, 1 << 16);

		ck_assert_ptr_nonnull(at);
		n = fread(at, 1, 1 << 16, f);
		b.size -= (1 << 16) - n;
	} while (n);
	ck_assert(!ferror(f));
	fclose(f);
	buf_put_u8(&b, 0); /* for those that are text */
	ck_assert(!buf_failed(&b));
	return (struct bytes){ b.data, b.size - 1 };
}

/* ---- playlists */

static int64_t parse_us(const char *seconds)
{
	char *end;
	int64_t us = strtoll(seconds, &end, 10) * 1000000, digit = 100000;

	ck_assert_msg(end > seconds, "EXTINF:%s", seconds);
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, digit /= 10)
			us += (*end - '0') * digit;
	ck_assert_msg(*end == ',', "EXTINF:%s", seconds);
	return us;
}

static void add_segment(struct hls *h, size_t *capacity, const char *uri, int64_t extinf_us)
{
	struct hls_segment *s;
	char path[1024];

	ck_assert_msg(extinf_us >= 0, "%s has no EXTINF", uri);
	h->segments = hls_grow(h->segments, h->n_segments, capacity, sizeof *h->segments);
	s = &h->segments[h->n_segments++];
	*s = (struct hls_segment){ .extinf_us = extinf_us };
	ck_assert_uint_lt(strlen(uri), sizeof s->name);
	memcpy(s->name, uri, strlen(uri) + 1);
	snprintf(path, sizeof path, "%s/%s", h->media_dir, uri);
	s->file = read_file(path);
}

static void load_map(struct hls *h, const char *line)
{
	char uri[80], path[1024];

	ck_assert_int_eq(sscanf(line, "#EXT-X-MAP:URI=\"%79[^\"]\"", uri), 1);
	snprintf(path, sizeof path, "%s/%s", h->media_dir, uri);
	ck_assert_msg(!h->init.data, "two EXT-X-MAP");
	h->init = read_file(path);
}

static void parse_index(struct hls *h)
{
	char *text = strdup(h->index), *save = NULL;
	bool has_end = false;
	size_t capacity = 0;
	int64_t extinf_us = -1;

	ck_assert_ptr_nonnull(text);
	h->target_duration = -1;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		ck_assert_msg(!has_end, "%s comes after EXT-X-ENDLIST", line);
		if (!strncmp(line, "#EXTINF:", 8)) {
			extinf_us = parse_us(line + 8);
		} else if (!strncmp(line, "#EXT-X-MAP:", 11)) {
			load_map(h, line);
		} else if (!strncmp(line, "#EXT-X-TARGETDURATION:", 22)) {
			h->target_duration = atoll(line + 22);
		} else if (!strcmp(line, "#EXT-X-ENDLIST")) {
			has_end = true;
		} else if (line[0] != '#') {
			add_segment(h, &capacity, line, extinf_us);
			extinf_us = -1;
		}
	}
	free(text);
	ck_assert_msg(has_end && h->init.data && h->target_duration > 0 && h->n_segments, "an incomplete playlist:\n%s", h->index);
}

static char *load_playlist(const char *path)
{
	char *text = (char *)(uintptr_t)read_file(path).data;

	ck_assert_msg(!strncmp(text, "#EXTM3U\n", 8), "%s does not begin with #EXTM3U", path);
	return text;
}

static void find_index(struct hls *h, char path[1024])
{
	const char *line = h->master, *slash;

	while (*line == '#' || *line == '\n')
		line += strcspn(line, "\n") + (*line == '#');
	ck_assert_msg(*line, "the master playlist names no other:\n%s", h->master);
	snprintf(path, 1024, "%s/%.*s", h->dir, (int)strcspn(line, "\n"), line);
	slash = strrchr(path, '/');
	ck_assert_uint_lt((size_t)(slash - path), sizeof h->media_dir);
	snprintf(h->media_dir, sizeof h->media_dir, "%.*s", (int)(slash - path), path);
}

void hls_load(struct hls *h, const char *dir)
{
	char path[1024];

	*h = (struct hls){ 0 };
	ck_assert_uint_lt(strlen(dir), sizeof h->dir);
	memcpy(h->dir, dir, strlen(dir) + 1);
	snprintf(path, sizeof path, "%s/master.m3u8", dir);
	h->master = load_playlist(path);
	find_index(h, path);
	h->index = load_playlist(path);
	parse_index(h);
	hls_read_boxes(h);
}

void hls_load_stream(struct hls *h, const char *path)
{
	struct bytes file = read_file(path);
	size_t at = 0, capacity = 0;
	uint8_t *init;

	*h = (struct hls){ 0 };
	while (at + 8 <= file.size && memcmp(file.data + at + 4, "moof", 4))
		at += get_u32(file.data + at) ? get_u32(file.data + at) : file.size;
	ck_assert_msg(at > 0 && at + 8 <= file.size, "%s has no fragment", path);
	init = malloc(at);
	ck_assert_ptr_nonnull(init);
	memcpy(init, file.data, at);
	memmove((uint8_t *)(uintptr_t)file.data, file.data + at, file.size - at);
	h->init = (struct bytes){ init, at };
	h->segments = hls_grow(NULL, 0, &capacity, sizeof *h->segments);
	h->segments[0] = (struct hls_segment){ .file = { file.data, file.size - at } };
	h->n_segments = 1;
	hls_read_boxes(h);
}

void hls_make(struct hls *h, const char *source, const char *options)
{
	static int number;
	char dir[512];

	snprintf(dir, sizeof dir, "%s/hls-%d", sh_scratch(), number++);
	setenv("HLS_SOURCE", source, 1);
	setenv("HLS_DIR", dir, 1);
	free(sh("\"$SEGFARM\" run \"$HLS_SOURCE\" -o \"$HLS_DIR\" %s", options ? options : ""));
	hls_load(h, dir);
}

void hls_free(struct hls *h)
{
	for (int i = 0; i < h->n_tracks; i++) {
		free(h->tracks[i].samples);
		free(h->tracks[i].first);
		free(h->tracks[i].tfdt);
		free(h->tracks[i].fragments);
	}
	for (size_t i = 0; i < h->n_segments; i++)
		free((void *)(uintptr_t)h->segments[i].file.data);
	free((void *)(uintptr_t)h->init.data);
	free(h->segments);
	free(h->master);
	free(h->index);
	*h = (struct hls){ 0 };
}

const struct hls_track *hls_video(const struct hls *h)
{
	for (int i = 0; i < h->n_tracks; i++)
		if (h->tracks[i].is_video)
			return &h->tracks[i];
	return NULL;
}

const struct hls_track *hls_audio(const struct hls *h)
{
	for (int i = 0; i < h->n_tracks; i++)
		if (!h->tracks[i].is_video)
			return &h->tracks[i];
	return NULL;
}

/* ---- what holds for any title */

static int64_t scaled_us(int64_t ticks, uint32_t timescale)
{
	return (int64_t)((__int128)ticks * 1000000 / timescale);
}

static int64_t end_of(const struct hls_track *t, size_t last)
{
	return t->samples[last].dts + t->samples[last].duration;
}

/* From fragment to fragment, and so from segment to segment. */
static void check_continuity(const struct hls_track *t)
{
	for (size_t i = 1; i < t->n_fragments; i++) {
		const struct hls_fragment *f = &t->fragments[i];

		ck_assert_msg(f->tfdt == end_of(t, f->first - 1), "track %u, segment %zu: tfdt %lld, what came before ends at %lld",
			      t->id, f->segment, (long long)f->tfdt, (long long)end_of(t, f->first - 1));
	}
}

static void check_times(const struct hls_track *t)
{
	for (size_t i = 0; i < t->n_samples; i++) {
		const struct hls_sample *s = &t->samples[i];

		ck_assert_msg(s->cts >= 0, "track %u, sample %zu: composition offset %lld", t->id, i, (long long)s->cts);
		ck_assert_msg(s->dts + s->cts + (t->is_video ? 0 : s->duration) >= t->edit_media_time, "track %u, sample %zu is shown before 0", t->id, i);
		ck_assert_msg(s->duration > 0, "track %u, sample %zu lasts %lld", t->id, i, (long long)s->duration);
		ck_assert_msg(t->is_video || s->duration == t->samples[0].duration ||
			      (i + 1 == t->n_samples && s->duration < t->samples[0].duration), "audio sample %zu lasts %lld, others %lld", i,
			      (long long)s->duration, (long long)t->samples[0].duration);
	}
}

/* A fragment ends with the first sample that brings it to 2 s, or with its segment. Audio follows the video. */
static void check_fragments(const struct hls_track *t)
{
	int64_t two = 2 * (int64_t)t->timescale;

	for (size_t i = 0; i < t->n_fragments; i++) {
		const struct hls_fragment *f = &t->fragments[i];
		bool is_last = i + 1 == t->n_fragments || f[1].segment != f->segment;
		size_t last = (i + 1 == t->n_fragments ? t->n_samples : f[1].first) - 1;

		ck_assert_msg(t->samples[last].dts - f->tfdt < two, "track %u: a fragment of segment %zu is too long", t->id,
			      f->segment);
		ck_assert_msg(is_last || end_of(t, last) - f->tfdt >= two, "track %u: a fragment of segment %zu is too short",
			      t->id, f->segment);
	}
}

static void check_extinf(const struct hls *h, const struct hls_track *lead)
{
	int64_t longest = 0;

	for (size_t i = 0; i < h->n_segments; i++) {
		int64_t extinf = h->segments[i].extinf_us, inside;

		ck_assert_uint_lt(lead->first[i], lead->first[i + 1]);
		inside = scaled_us(end_of(lead, lead->first[i + 1] - 1) - lead->tfdt[i], lead->timescale);
		ck_assert_msg(llabs(extinf - inside) <= 500, "segment %zu: EXTINF %lld us, inside are %lld", i, (long long)extinf,
			      (long long)inside);
		longest = extinf > longest ? extinf : longest;
	}
	/* RFC 8216, section 4.3.3.1: rounded to the nearest integer */
	ck_assert_int_eq(h->target_duration, longest < 500000 ? 1 : (longest + 500000) / 1000000);
}

void hls_check_stream(const struct hls *h)
{
	for (int i = 0; i < h->n_tracks; i++) {
		ck_assert_uint_gt(h->tracks[i].n_samples, 0);
		check_continuity(&h->tracks[i]);
		check_times(&h->tracks[i]);
	}
	check_fragments(hls_video(h) ? hls_video(h) : hls_audio(h));
}

void hls_check(const struct hls *h)
{
	const struct hls_track *video = hls_video(h);

	hls_check_stream(h);
	check_extinf(h, video ? video : hls_audio(h));
	for (size_t i = 0; video && i < h->n_segments; i++)
		ck_assert_msg(video->samples[video->first[i]].is_sync, "segment %zu does not begin with a sync sample", i);
}
