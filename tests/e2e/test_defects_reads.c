/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much of a file is read, counted page by page: jobs run in this process over a mapping that cannot be read, and
 * each first touch of a page, a fault, makes that page readable.
 */
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/jobs.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <fcntl.h>
#include <libavutil/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
static void open_source(const struct record_source *is)
{
	int fd = open(is->path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	map_size = (size_t)is->size;
	map = mmap(NULL, map_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	close(fd);
	source_init(&source);
	input_init_bytes(&source.input, (struct bytes){ map, map_size });
	ck_assert_int_eq(demux_open(&source.demux, &source.input, NULL), 0);
	source.map = map;
	source.is = *is;
}

/* Returns the pages that it touched. */
static size_t run(const struct job *job)
{
	struct task task = { .job = job, .store = store, .source = &source, .tick = jobs_tick };
	struct err err = { 0 };
	int ret;

	ck_assert_int_eq(mprotect(map, map_size, PROT_NONE), 0);
	touched = 0;
	ret = job->type == JOB_PROBE ? probe_run(&task, &err) : segment_run(&task, &err);
	ck_assert_msg(!ret, "%s", err.msg);
	ck_assert_int_gt(task.bytes, 0);
	return touched;
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
	struct job probe;
	struct plan plan;
	struct err err;
	size_t pages, all = 0, looked;

	media_make(names[0], recipes[0]);
	start();
	ck_assert_msg(!jobs_probe(&probe, media_make(names[_i], recipes[_i]), &err), "%s", err.msg);
	open_source(&probe.source);
	pages = (map_size + page - 1) / page;
	looked = run(&probe);
	ck_assert_msg(!jobs_plan(store, &probe, &plan, &err), "%s", err.msg);
	ck_assert_uint_ge(plan.n_segments, 4);
	for (size_t i = 0; i < plan.n_segments; i++) {
		struct job job = probe;

		job_set_segment(&job, &plan, i);
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
