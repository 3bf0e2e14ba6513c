/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A probe that goes from cue to cue says what one says that reads every header; where Cues lie it reads every header.
 */
#include "dispatcher/plan.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/jobs.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"
#include "worker/mkv.h"
#include "worker/title.h"

#include <dirent.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define PICTURE(rate) "-f lavfi -i testsrc2=size=320x180:rate=" rate " -f lavfi -i \"$A\" -t 40 "
#define X264 "-c:v libx264 -preset ultrafast -g 48 -bf 3 "
#define AC3 "-c:a ac3 -b:a 384k \"$OUT\""

static struct redis_fixture redis;
static struct store *store;

static const struct sample {
	const char *name, *recipe;
} samples[] = {
	{ "probe-closed.mkv", FFMPEG PICTURE("24") X264 AC3 },
	{ "probe-ntsc.mkv", FFMPEG PICTURE("24000/1001") X264 "-flags +cgop " AC3 },
	{ "probe-open.mkv", FFMPEG PICTURE("25") "-c:v libx264 -preset veryfast -x264-params "
	  "open-gop=1:keyint=48:min-keyint=48:bframes=3:b-adapt=0:scenecut=0:b-pyramid=normal " AC3 },
	{ "probe-hevc.mkv", FFMPEG PICTURE("24") "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=48:open-gop=1 " AC3 },
	{ "probe-late.mkv", FFMPEG PICTURE("24") X264 "-output_ts_offset 12.345 " AC3 },
	{ "probe-opus.mkv", FFMPEG PICTURE("30") X264 "-c:a libopus -ac 2 \"$OUT\"" },
	{ "probe-mkvmerge.mkv", "mkvmerge -q -o \"$OUT\" --cues 1:all --cues 0:iframes \"$M/probe-closed.mkv\"" },
	{ "probe-small-clusters.mkv", "mkvmerge -q -o \"$OUT\" --cluster-length 700ms \"$M/probe-ntsc.mkv\"" },
	{ "probe-vfr.mkv", FFMPEG "-f lavfi -i \"testsrc2=size=320x180:rate=50,settb=1/1000,select='not(eq(mod(n,5),2))'\" "
	  "-f lavfi -i \"$A\" -t 20 -enc_time_base 1/1000 -fps_mode passthrough " X264 AC3 },
	{ "probe-still.mkv", "cp \"$M/probe-vfr.mkv\" \"$OUT\" && "
	  "mkvpropedit -q \"$OUT\" --edit track:v1 --set default-duration=2000000000000" },
};

static void start(void)
{
	struct err err;

	av_log_set_level(AV_LOG_QUIET);
	redis_fixture_start(&redis);
	ck_assert_msg(!store_open(&store, redis.url, 10000, &err), "%s", err.msg);
}

static void stop(void)
{
	store_close(store);
	redis_fixture_stop(&redis);
}

/* False: the file cannot be played. */
static bool probe(const char *path, struct index *index)
{
	struct job job;
	struct source source;
	struct task task = { .job = &job, .store = store, .source = &source, .tick = jobs_tick };
	struct err err;

	ck_assert_msg(!jobs_probe(&job, path, &err), "%s", err.msg);
	source_init(&source);
	bool is_playable = !probe_run(&task, &err);
	source_finish(&source);
	if (is_playable)
		ck_assert_msg(!jobs_index(store, &job, index, &err), "%s", err.msg);
	return is_playable;
}

/* Where the Cues element is; NULL: there is none. */
static uint8_t *find_cues(struct buf *file)
{
	static const uint8_t id[] = { 0x1C, 0x53, 0xBB, 0x6B };
	uint8_t *at = file->data, *end = at + file->size, *last = NULL;

	while ((at = memmem(at, (size_t)(end - at), id, sizeof id)) != NULL)
		last = at++;
	return last;
}

static void check_same(const struct index *a, const struct index *b, const char *what)
{
	ck_assert_msg(a->n_syncs == b->n_syncs, "%s: %zu sync samples, %zu by the headers", what, a->n_syncs, b->n_syncs);
	for (size_t i = 0; i < a->n_syncs; i++) {
		const struct record_sync *x = &a->syncs[i], *y = &b->syncs[i];
		ck_assert_msg(x->start == y->start && x->pts == y->pts && x->place == y->place && x->id == y->id &&
				      x->is_closed == y->is_closed && x->audio_pos == y->audio_pos,
			      "%s: sync sample %zu: start %lld %lld, pts %lld %lld, audio %lld %lld", what, i, (long long)x->start,
			      (long long)y->start, (long long)x->pts, (long long)y->pts, (long long)x->audio_pos,
			      (long long)y->audio_pos);
	}
	ck_assert_int_eq(a->video.end_ticks, b->video.end_ticks);
	ck_assert_int_eq(a->video.start_ticks, b->video.start_ticks);
	ck_assert_int_eq(a->audio.frames, b->audio.frames);
	ck_assert_int_eq(a->audio.source_end, b->audio.source_end);
	ck_assert_int_eq(a->origin_ns, b->origin_ns);
	/* by the stream's own bound, or by looking at every frame */
	ck_assert_int_ge(a->video.delay_ticks, b->video.delay_ticks);
}

/* The file again with its Cues made into something unknown. */
static const char *without_cues(const char *path)
{
	static char to[600];
	struct buf file;

	craft_load(&file, path);
	uint8_t *cues = find_cues(&file);
	if (cues)
		cues[3]++;
	snprintf(to, sizeof to, "%s/without-cues.mkv", sh_scratch());
	craft_save(to, buf_bytes(&file));
	buf_finish(&file);
	return cues ? to : NULL;
}

START_TEST(cues_and_headers_say_the_same)
{
	const char *path = NULL;
	struct index a, b;

	for (int i = 0; i <= _i; i++) /* some are made of others */
		path = media_make(samples[i].name, samples[i].recipe);
	start();
	ck_assert(probe(path, &a));
	ck_assert_ptr_nonnull(without_cues(path));
	ck_assert(probe(without_cues(path), &b));
	ck_assert_uint_ge(a.n_syncs, 8);
	check_same(&a, &b, path);
	index_finish(&a);
	index_finish(&b);
	stop();
}
END_TEST

START_TEST(cues_and_headers_say_the_same_of_real_files)
{
	const char *dir = media_real_dir();
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *e;
	char path[1024];
	int n = 0;

	if (!d) {
		fprintf(stderr, "probe: no real files: skipped\n");
		return;
	}
	start();
	while ((e = readdir(d))) {
		struct index a, b;
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strcmp(dot, ".mkv"))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		const char *without = without_cues(path);
		if (!without || !probe(path, &a))
			continue;
		ck_assert(probe(without, &b));
		check_same(&a, &b, path);
		index_finish(&a);
		index_finish(&b);
		n++;
	}
	ck_assert_int_gt(n, 0);
	closedir(d);
	stop();
}
END_TEST

/* CueTimes one frame late, or CueClusterPositions of the cluster before; with or without a CRC-32 that says so. */
START_TEST(cues_that_lie_are_not_believed)
{
	const char *path = media_make(samples[0].name, samples[0].recipe);
	struct index a, b;
	struct buf file;
	char lie[600];
	int n = 0;

	start();
	ck_assert(probe(path, &a));
	craft_load(&file, path);
	uint8_t *end = file.data + file.size;
	for (uint8_t *p = find_cues(&file); p + 8 < end; p++) {
		/* CueTime of two bytes within a CuePoint of any size: B3 82 hh ll */
		if (_i == 0 && p[0] == 0xB3 && p[1] == 0x82 && ++n > 3)
			p[3] ^= 0x20;
		/* CueClusterPosition of three bytes */
		if (_i == 1 && p[0] == 0xF1 && p[1] == 0x83 && ++n > 1)
			p[4] ^= 0x01;
		/* nothing but the CRC */
		if (_i == 2 && p[0] == 0xBF && p[1] == 0x84 && !n++)
			p[2] ^= 0x01;
	}
	ck_assert_int_gt(n, 0);
	snprintf(lie, sizeof lie, "%s/lie.mkv", sh_scratch());
	craft_save(lie, buf_bytes(&file));
	buf_finish(&file);
	ck_assert(probe(lie, &b));
	check_same(&a, &b, lie);
	index_finish(&a);
	index_finish(&b);
	stop();
}
END_TEST

/* The file again with the bytes of its video's sync samples made into something that is none. */
static void spoil_sync_samples(struct buf *file, int keep_from)
{
	struct input in;
	struct mkv mkv;
	struct mkv_cursor c;
	struct frame f;
	struct err err;
	int n = 0;

	input_init_bytes(&in, buf_bytes(file));
	ck_assert_msg(!mkv_open(&mkv, &in, &err), "%s", err.msg);
	ck_assert(!mkv_seek(&c, &mkv, mkv.first_cluster, -1, &err));
	while (mkv_next(&c, &f, &err) == 1)
		if (mkv_track(&mkv, f.track)->type == TRACK_VIDEO && f.is_key && n++ < keep_from)
			memset(file->data + f.at, 0xFF, (size_t)f.size);
	mkv_close(&mkv);
	input_close(&in);
}

START_TEST(a_video_begins_with_its_first_sync_sample_that_can_be_read)
{
	static const int broken[] = { 1, 3, INT32_MAX };
	struct index a, b;
	struct buf file;
	char path[600];

	start();
	ck_assert(probe(media_make(samples[0].name, samples[0].recipe), &a));
	craft_load(&file, media_make(samples[0].name, samples[0].recipe));
	spoil_sync_samples(&file, broken[_i]);
	snprintf(path, sizeof path, "%s/spoiled.mkv", sh_scratch());
	craft_save(path, buf_bytes(&file));
	ck_assert(probe(path, &b));
	ck_assert(b.audio.is_present);
	ck_assert_int_eq(b.video.is_present, broken[_i] < INT32_MAX);
	if (b.video.is_present) {
		ck_assert_uint_eq(b.n_syncs, a.n_syncs - (size_t)broken[_i]);
		ck_assert_int_eq(b.syncs[0].id, a.syncs[broken[_i]].id);
		ck_assert_int_eq(b.origin_ns, a.origin_ns);
	}
	buf_finish(&file);
	index_finish(&a);
	index_finish(&b);
	stop();
}
END_TEST

static int64_t read_to_limit(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct bytes *left = arg;

	if (!left->size)
		return err_set(err, ERR_RETRY, "the line is cut");
	n = n < left->size ? n : left->size;
	memcpy(to, left->data, n);
	left->data += n;
	left->size -= n;
	return (int64_t)n;
}

/* Behind the Tracks, where nothing is known of a track yet. */
START_TEST(a_source_that_breaks_off_early_may_be_tried_again)
{
	struct record_options options;
	struct title title;
	struct input in;
	struct demux *demux;
	struct mkv mkv;
	struct buf file;
	struct err err;

	craft_load(&file, media_make(samples[0].name, samples[0].recipe));
	input_init_bytes(&in, buf_bytes(&file));
	ck_assert(!mkv_open(&mkv, &in, &err));
	struct bytes left = { file.data, (size_t)mkv.first_cluster + 16 };
	mkv_close(&mkv);
	input_close(&in);

	input_init_source(&in, &(struct input_source){ read_to_limit, NULL, NULL, &left }, INT64_MAX);
	record_options_init(&options);
	ck_assert_msg(!demux_open(&demux, &in, &err), "%s", err.msg);
	ck_assert_int_eq(title_init(&title, demux, &options, &err), ERR_RETRY);
	demux_close(demux);
	input_close(&in);
	buf_finish(&file);
}
END_TEST

static int no_put(struct task *task, struct iovec *iov, int n, struct err *err)
{
	(void)task;
	(void)iov;
	(void)n;
	(void)err;
	return 0;
}

/* 20 hours between two frames: more than a sample's duration can say. */
START_TEST(a_segment_is_not_longer_than_a_sample_may_last)
{
	struct job job;
	struct source source;
	struct task task = { .job = &job, .source = &source, .tick = jobs_tick };
	struct index index;
	struct plan plan;
	struct err err;
	const char *path = media_make("probe-gap.mkv", FFMPEG "-f lavfi -i \"testsrc2=size=320x180:rate=24,settb=1/1000,"
				      "setpts='PTS+gte(N,48)*72000/TB'\" -t 72004 -enc_time_base 1/1000 -fps_mode passthrough " X264
				      "\"$OUT\"");

	start();
	ck_assert(probe(path, &index));
	ck_assert_msg(!jobs_probe(&job, path, &err), "%s", err.msg);
	ck_assert_msg(!plan_make(&index, &job.options, &plan, &err), "%s", err.msg);
	ck_assert_uint_ge(plan.n_segments, 2);
	ck_assert_int_gt(plan.segments[0].duration, UINT32_MAX);
	job_set_segment(&job, &plan, 0);
	source_init(&source);
	ck_assert_int_eq(segment_make(&task, no_put, &err), ERR_LIMIT);
	source_finish(&source);
	plan_finish(&plan);
	index_finish(&index);
	stop();
}
END_TEST

Suite *suite_probe(void)
{
	Suite *s = suite_create("probe");
	TCase *tc = tcase_create("probe");

	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, cues_and_headers_say_the_same, 0, (int)(sizeof samples / sizeof *samples));
	tcase_add_test(tc, cues_and_headers_say_the_same_of_real_files);
	tcase_add_loop_test(tc, cues_that_lie_are_not_believed, 0, 3);
	tcase_add_loop_test(tc, a_video_begins_with_its_first_sync_sample_that_can_be_read, 0, 3);
	tcase_add_test(tc, a_source_that_breaks_off_early_may_be_tried_again);
	tcase_add_test(tc, a_segment_is_not_longer_than_a_sample_may_last);
	suite_add_tcase(s, tc);
	return s;
}
