/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much of a file is read, counted page by page: jobs run in this process over a mapping that cannot be read, and
 * each first touch of a page, a fault, makes that page readable.
 */
#include "dispatcher/plan.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"
#include "worker/task.h"

#include <fcntl.h>
#include <libavutil/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STREAM "0123456789abcdef"

static uint8_t *map;
static size_t map_size, page;
static volatile size_t touched; /* pages */

static struct redis_fixture redis;
static struct store *store;
static struct source source;

/* A real crash, outside of the mapping, comes again at once with the default action. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr, base = (uintptr_t)map;

	(void)context;
	if (at < base || at >= base + map_size) {
		signal(sig, SIG_DFL);
		return;
	}
	touched++;
	mprotect(map + (at - base) / page * page, page, PROT_READ);
}

static void start(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct err err;

	av_log_set_level(AV_LOG_QUIET); /* as the worker does */
	page = (size_t)sysconf(_SC_PAGESIZE);
	ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
	redis_fixture_start(&redis);
	ck_assert_msg(!store_open(&store, redis.url, 10000, &err), "%s", err.msg);
}

static void stop(void)
{
	signal(SIGSEGV, SIG_DFL);
	source_finish(&source);
	store_close(store);
	redis_fixture_stop(&redis);
}

/* The source that the jobs find open. */
static void open_source(const char *path, struct record_source *is)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	ck_assert(fd >= 0 && !fstat(fd, &st));
	*is = (struct record_source){ .size = st.st_size, .mtime_ns = 1 };
	snprintf(is->path, sizeof is->path, "%s", path);
	map_size = (size_t)st.st_size;
	map = mmap(NULL, map_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	close(fd);
	source_init(&source);
	input_init_bytes(&source.input, (struct bytes){ map, map_size });
	ck_assert_int_eq(demux_open(&source.demux, &source.input, NULL), 0);
	source.map = map;
	source.is = *is;
}

static int no_tick(struct task *task, struct err *err)
{
	(void)task;
	(void)err;
	return 0;
}

/* Returns the pages that it touched. */
static size_t run(const struct job *job)
{
	struct task task = { .job = job, .store = store, .source = &source, .tick = no_tick };
	struct err err = { 0 };
	int ret;

	ck_assert_int_eq(mprotect(map, map_size, PROT_NONE), 0);
	touched = 0;
	ret = job->type == JOB_PROBE ? probe_run(&task, &err) : segment_run(&task, &err);
	ck_assert_msg(!ret, "%s", err.msg);
	ck_assert_int_gt(task.bytes, 0);
	return touched;
}

static void make_plan(const struct job *probe, struct plan *plan)
{
	struct buf json = { 0 };
	struct index index;
	struct err err;

	ck_assert_int_eq(store_get_value(store, STREAM, "index", &json, NULL), 1);
	ck_assert_msg(!index_get(buf_bytes(&json), &index, &err), "%s", err.msg);
	ck_assert_msg(!plan_make(&index, &probe->options, plan, &err), "%s", err.msg);
	buf_reset(&json);
	ck_assert_int_eq(plan_put(plan, &json), 0);
	ck_assert_int_eq(store_put_plan(store, STREAM, buf_bytes(&json), plan->hash, NULL), 0);
	index_finish(&index);
	buf_finish(&json);
}

static struct job segment_job(const struct job *probe, const struct plan *plan, size_t i)
{
	struct job job = *probe;

	job.type = JOB_SEGMENT;
	memcpy(job.rendition, RECORD_RENDITION, sizeof RECORD_RENDITION);
	memcpy(job.plan_hash, plan->hash, sizeof job.plan_hash);
	job.number = (int64_t)i;
	job.origin_ns = plan->origin_ns;
	job.segment = plan->segments[i];
	job.video = plan->video;
	job.audio = plan->audio;
	return job;
}

/* Video of 8 Mb/s, muxed by both muxers: a page is counted once for each job that touches it. What may be read twice is
 * the sound in front of a segment, that its decoder and encoder begin with, and the headers of the blocks between. */
START_TEST(segments_together_read_the_file_once)
{
	static const char *const names[] = { "defects_large.mkv", "defects_large_mm.mkv" };
	static const char *const recipes[] = {
		FFMPEG "-f lavfi -i \"$V,noise=alls=20:allf=t\" " SOUND "-t 26 " X264 "-b:v 8M -bf 2 -g 48 " AC3
			OUT,
		MKVMERGE "\"$M/defects_large.mkv\"",
	};
	static struct job probe = { .id = 1, .type = JOB_PROBE, .stream = STREAM, .deadline_ms = 100000 };
	struct plan plan;
	size_t pages, all = 0, looked;

	media_make(names[0], recipes[0]);
	start();
	open_source(media_make(names[_i], recipes[_i]), &probe.source);
	record_options_init(&probe.options);
	pages = (map_size + page - 1) / page;
	looked = run(&probe);
	make_plan(&probe, &plan);
	ck_assert_uint_ge(plan.n_segments, 4);
	for (size_t i = 0; i < plan.n_segments; i++) {
		struct job job = segment_job(&probe, &plan, i);

		all += run(&job);
	}
	ck_assert_msg(looked <= pages / 5, "the probe reads %zu of %zu pages", looked, pages);
	ck_assert_msg(all <= pages + pages / 10, "the segments read %zu pages, there are %zu", all, pages);
	plan_finish(&plan);
	stop();
}
END_TEST

Suite *suite_defects_reads(void)
{
	Suite *s = suite_create("defects_reads");
	TCase *t = tcase_create("defects_reads");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_loop_test(t, segments_together_read_the_file_once, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
