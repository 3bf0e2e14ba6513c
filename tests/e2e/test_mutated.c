/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Damaged copies of small titles, all on one farm: each ends complete, partial with reasons, or refused with one; nothing but a worker
 * may die of it. MUTATED: how many (70); MUTATED_SEED: which ones.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/stack.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FFMPEG "ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A,aformat=channel_layouts=stereo\" -t 3 "
#define X264 "-c:v libx264 -preset ultrafast -bf 2 -g 24 "
#define IDLE_MS 150000 /* without that one more ends */

static const struct {
	const char *name, *command;
} samples[] = {
	{ "mutated.mkv", FFMPEG X264 "-c:a ac3 \"$OUT\"" },
	{ "mutated.mp4", FFMPEG X264 "-c:a aac \"$OUT\"" },
	{ "mutated_fragments.mp4", FFMPEG X264 "-c:a aac -movflags frag_keyframe+empty_moov \"$OUT\"" },
	{ "mutated.ts", FFMPEG "-c:v mpeg2video -c:a mp2 \"$OUT\"" },
	{ "mutated.avi", FFMPEG "-c:v mpeg4 -c:a mp3 \"$OUT\"" },
	{ "mutated.flv", FFMPEG "-c:v flv -c:a aac -ar 44100 \"$OUT\"" },
	{ "mutated.ogg", FFMPEG "-vn -c:a flac \"$OUT\"" },
	{ "mutated_hevc.mkv", FFMPEG "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a flac \"$OUT\"" },
};
#define N_SAMPLES ((int)(sizeof samples / sizeof *samples))

static unsigned int seed;

/* Two turns: RAND_MAX may be small. */
static size_t below(size_t n)
{
	return n ? ((size_t)rand_r(&seed) << 15 ^ (size_t)rand_r(&seed)) % n : 0;
}

/* --- damage */

static void flip(struct buf *b, size_t within)
{
	for (size_t n = 1 + below(20); n; n--)
		b->data[below(within)] ^= (uint8_t)(1u << below(8));
}

static void flip_anywhere(struct buf *b)
{
	flip(b, b->size);
}

static void flip_in_front(struct buf *b)
{
	flip(b, b->size < 2048 ? b->size : 2048);
}

static void cut_off(struct buf *b)
{
	b->size = 1 + below(b->size);
}

/* Whatever is there, a size often is: it becomes huge, nothing, or another one. */
static void forge(struct buf *b)
{
	static const uint8_t forged[][8] = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
					     { 0 },
					     { 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
					     { 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
					     { 0x10, 0x00, 0x00, 0x00 } };
	size_t n = below(2) ? 4 : 8, at = below(below(2) && b->size > 2048 ? 2048 : b->size);

	for (size_t i = 0, k = below(5); i < n && at + i < b->size; i++)
		b->data[at + i] = forged[k][i];
}

static void blank(struct buf *b)
{
	size_t at = below(b->size), n = below(b->size - at);

	memset(b->data + at, (int)below(2) * 0xff, n < 4096 ? n : 4096);
}

/* What is behind comes nearer, or is there twice. */
static void move(struct buf *b)
{
	size_t from = below(b->size), to = below(b->size), n = below(b->size - (from > to ? from : to));

	memmove(b->data + to, b->data + from, n);
}

static void (*const damages[])(struct buf *) = { flip_anywhere, flip_in_front, cut_off, forge, blank, move };

static void make_copy(int i, const char *dir)
{
	const char *source = media_make(samples[i % N_SAMPLES].name, samples[i % N_SAMPLES].command);
	char path[500];
	struct buf b = { 0 };

	craft_load(&b, source);
	for (size_t n = 1 + below(3); n; n--)
		damages[below(sizeof damages / sizeof *damages)](&b);
	snprintf(path, sizeof path, "%s/%d%s", dir, i, strrchr(source, '.'));
	craft_save(path, buf_bytes(&b));
	buf_finish(&b);
}

/* --- ends */

struct ends {
	int n, done, partial, failed;
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static void check_stream(const json_t *stream, struct ends *ends)
{
	const json_t *fails = json_object_get(stream, "quarantined"), *fail;
	const char *state = text_of(stream, "state");
	size_t i;

	ends->n++;
	ends->done += !strcmp(state, "done");
	ends->partial += !strcmp(state, "partial");
	ends->failed += !strcmp(state, "failed");
	if (!strcmp(state, "done"))
		ck_assert_int_eq(json_integer_value(json_object_get(stream, "done")), json_integer_value(json_object_get(stream, "segments")));
	if (!strcmp(state, "partial"))
		ck_assert_uint_gt(json_array_size(fails), 0);
	if (!strcmp(state, "failed"))
		ck_assert_msg(text_of(stream, "error")[0], "%s failed without a reason", text_of(stream, "path"));
	json_array_foreach(fails, i, fail)
		ck_assert_msg(text_of(fail, "reason")[0], "a segment of %s has no reason", text_of(stream, "path"));
}

static void count_ends(const struct stack *s, struct ends *ends)
{
	json_t *status = stack_status(s);
	const json_t *stream;
	size_t i;

	memset(ends, 0, sizeof *ends);
	ck_assert_ptr_nonnull(status);
	json_array_foreach(json_object_get(status, "streams"), i, stream)
		check_stream(stream, ends);
	json_decref(status);
}

static void wait_for_all(const struct stack *s, struct ends *ends)
{
	int64_t end_ms = proc_now_ms() + IDLE_MS;
	int seen = 0;

	for (count_ends(s, ends); ends->done + ends->partial + ends->failed < ends->n; count_ends(s, ends)) {
		if (ends->done + ends->partial + ends->failed > seen)
			end_ms = proc_now_ms() + IDLE_MS;
		seen = ends->done + ends->partial + ends->failed;
		if (proc_now_ms() > end_ms)
			free(sh("\"$SEGFARM\" status --redis %s; exit 1", s->redis.url));
		bg_sleep(500);
	}
}

START_TEST(damaged_titles_end_complete_partial_or_refused_and_only_workers_die_of_them)
{
	int n = getenv("MUTATED") ? atoi(getenv("MUTATED")) : 70, n_deaths;
	int64_t start_ms = proc_now_ms();
	char *dir, *log;
	struct stack s;
	struct ends ends;

	seed = getenv("MUTATED_SEED") ? (unsigned int)atoi(getenv("MUTATED_SEED")) : 1;
	ck_assert_int_ge(asprintf(&dir, "%s/mutated", sh_scratch()), 0);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	for (int i = 0; i < n; i++)
		make_copy(i, dir);
	stack_start(&s, "", 2, false);
	free(sh("find '%s' -type f | xargs -n 100 \"$SEGFARM\" submit --redis %s", dir, s.redis.url));
	wait_for_all(&s, &ends);
	ck_assert_int_eq(ends.n, n);
	log = bg_log(&s.pool);
	n_deaths = bg_count(log, "msg=\"worker died\"");
	printf("%d damaged titles: %d complete, %d partial, %d refused; %d workers died; %lld ms\n", n, ends.done, ends.partial, ends.failed,
	       n_deaths, (long long)(proc_now_ms() - start_ms));
	if (n_deaths)
		printf("%s", sh("grep 'worker died\\|crashed' %s | cut -c1-300 | head -n 20", s.pool.log));
	free(log);
	free(dir);
	stack_stop(&s);
}
END_TEST

Suite *suite_mutated(void)
{
	Suite *s = suite_create("mutated");
	TCase *tc = tcase_create("mutated");

	tcase_set_timeout(tc, 7200);
	tcase_add_test(tc, damaged_titles_end_complete_partial_or_refused_and_only_workers_die_of_them);
	suite_add_tcase(s, tc);
	return s;
}
