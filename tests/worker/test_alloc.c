/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every allocation of a probe and of a segment fails in turn: it ends with an error that says so, nothing is leaked, nothing
 * wrong is stored. Allocations of libraries are among them.
 */
#include <check.h>
#include <libavutil/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/e2e/media.h"
#include "tests/jobs.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"
#include "worker/mkv.h"
#include "tests/worker/alloc_fail.h"
#include "tests/worker/mkv_build.h"

#define TIMEOUT_MS 20000

/* Short titles: copied, unpacked, and with audio that is encoded, for which libav asks for memory thousands of times (ALLOC_STEP=1:
 * all of them fail in turn, which takes minutes). */
#define ENCODE "ffmpeg -y -f lavfi -i \"$V,scale=64:36\" -f lavfi -i \"$A\" -t 1 -c:v libx264 -preset ultrafast -g 12 "
static const struct {
	const char *name, *command;
	int64_t step;
} titles[] = {
	{ "alloc-copy.mkv", ENCODE "-c:a aac -ac 2 \"$OUT\"", 1 },
	{ "alloc-zlib.mkv", "mkvmerge -q --compression -1:zlib \"$M/alloc-copy.mkv\" -o \"$OUT\"", 1 },
	{ "alloc-ac3.mkv", ENCODE "-c:a ac3 \"$OUT\"", 37 },
	{ "alloc-mp3.mkv", ENCODE "-c:a libmp3lame -ac 2 -ar 44100 \"$OUT\"", 41 },
};

static struct redis_fixture redis;
static struct store *watcher; /* looks at what is stored, unarmed */
static struct err err;
static struct job probe_job, segment_job;
static struct plan plan;
static struct store_segment address;
static struct buf init, index_json, segment; /* what is right */
static char *who;                            /* shared with child processes */
static int64_t n_live_before;                /* of connecting alone */

struct outcome {
	int ret;
	int64_t n_asked, n_live;
};

/* The jobs as a worker does them. Allocation number n fails, 0: none; but not while it connects: hiredis aborts there. */
static struct outcome work(const struct job *const *jobs, int n_jobs, int64_t n)
{
	struct source source;
	struct store *store = NULL;
	struct task task = { .source = &source, .tick = jobs_tick };
	struct outcome o = { 0 };

	err = (struct err){ 0 };
	alloc_fail_watch();
	o.ret = store_open(&store, redis.url, TIMEOUT_MS, &err);
	source_init(&source);
	task.store = store;
	alloc_fail_arm(n, who);
	for (int i = 0; i < n_jobs && !o.ret; i++) {
		task.job = jobs[i];
		o.ret = jobs[i]->type == JOB_PROBE ? probe_run(&task, &err) : segment_run(&task, &err);
	}
	o.n_asked = alloc_fail_disarm();
	source_finish(&source);
	store_close(store);
	o.n_live = alloc_fail_unwatch();
	return o;
}

static void get_value(const char *which, struct buf *out)
{
	buf_reset(out);
	ck_assert_msg(store_get_value(watcher, JOBS_STREAM, which, out, &err) >= 0, "%s", err.msg);
}

/* Empty where there is none. */
static void get_segment(struct buf *out)
{
	struct store_commit commit;
	int ret = store_get_commit(watcher, &address, &commit, &err);

	buf_reset(out);
	ck_assert_msg(ret >= 0, "%s", err.msg);
	for (int i = 0; ret && i < commit.pieces; i++)
		ck_assert_int_eq(store_get_piece(watcher, &address, i, out, &err), 1);
}

static void forget(void)
{
	const char *reply = redis_fixture_command(&redis, "DEL segfarm:{" JOBS_STREAM "}:index segfarm:{" JOBS_STREAM "}:init:main"
							  " segfarm:{" JOBS_STREAM "}:segs:main");

	ck_assert_msg(reply[0] == ':', "%s", reply);
}

/* The first segment, or the second one where there is one: it starts within the file. */
static void set_segment(void)
{
	size_t i = plan.n_segments > 1;

	segment_job = probe_job;
	job_set_segment(&segment_job, &plan, i);
	address = (struct store_segment){ JOBS_STREAM, RECORD_RENDITION, plan.segments[i].start, plan.segments[i].duration };
}

/* Without a failure, which also makes what libraries make once. */
static void make_reference(const char *path)
{
	const struct job *probe[] = { &probe_job }, *made[] = { &segment_job };

	ck_assert_msg(!jobs_probe(&probe_job, path, &err), "%s", err.msg);
	probe_job.options.target_ticks = 45000;
	ck_assert_msg(!work(probe, 1, 0).ret, "%s", err.msg);
	get_value("init:main", &init);
	get_value("index", &index_json);
	ck_assert_msg(!jobs_plan(watcher, &probe_job, &plan, &err), "%s", err.msg);
	set_segment();
	ck_assert_msg(!work(made, 1, 0).ret, "%s", err.msg);
	get_segment(&segment);
	ck_assert_uint_gt(segment.size, 0);
}

static void setup(void)
{
	av_log_set_level(AV_LOG_QUIET);
	log_init("test", LOG_LEVEL_ERROR);
	who = mmap(NULL, ALLOC_FAIL_WHO, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(who, MAP_FAILED);
	redis_fixture_start(&redis);
	ck_assert_msg(!store_open(&watcher, redis.url, TIMEOUT_MS, &err), "%s", err.msg);
}

static void teardown(void)
{
	store_close(watcher);
	plan_finish(&plan);
	buf_finish(&init);
	buf_finish(&index_json);
	buf_finish(&segment);
	redis_fixture_stop(&redis);
	munmap(who, ALLOC_FAIL_WHO);
}

/* In a child process, which has a connection of its own: what is wrong with what is stored, or NULL. */
static const char *stored_problem(bool is_made)
{
	static const char *const problems[] = { "a wrong init is stored", "a wrong index is stored", "a wrong segment is stored" };
	const struct buf *want[] = { &init, &index_json, &segment };
	struct buf got[3] = { 0 };
	const char *problem = NULL;

	get_value("init:main", &got[0]);
	get_value("index", &got[1]);
	get_segment(&got[2]);
	for (int i = 0; i < 3; i++) {
		if (got[i].size ? got[i].size != want[i]->size || memcmp(got[i].data, want[i]->data, got[i].size) : is_made)
			problem = problems[i];
		buf_finish(&got[i]);
	}
	return problem;
}

static bool is_by_libav(void)
{
	return !strncmp(who, "libav", 5) || !strncmp(who, "libsw", 5);
}

/* libav says "invalid" here and there where it has no memory. */
static bool is_clear(int ret)
{
	return ret == ERR_NOMEM || ret == ERR_RETRY || (is_by_libav() && (ret == ERR_UNSUPPORTED || ret == ERR_DATA));
}

/* What is wrong when allocation n fails, or NULL. */
static const char *problem_of(int64_t n)
{
	const struct job *jobs[] = { &probe_job, &segment_job };
	struct outcome o = work(jobs, 2, n);
	struct err e = err;

	if (o.ret && (!is_clear(o.ret) || e.code != o.ret || !e.msg[0]))
		return "the error is not a clear one";
	/* libswresample forgets its old buffer when there is no memory for a larger one */
	if (o.n_live != n_live_before && !is_by_libav())
		return "not all memory is given back";
	return stored_problem(!o.ret);
}

/* In a process of its own: libavcodec asserts, or takes a NULL for memory, in places. That costs a worker and a retry, and nothing
 * else is allowed to. Returns whether it died of that. */
static bool try(int64_t n, int64_t n_all)
{
	int status;
	pid_t pid;

	forget();
	who[0] = 0;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		const char *problem;

		signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it and exit */
		problem = store_open(&watcher, redis.url, TIMEOUT_MS, &err) ? "no connection" : problem_of(n);
		if (problem)
			fprintf(stderr, "allocation %lld of %lld, by %s: %s (%s)\n", (long long)n, (long long)n_all, who,
				problem, err.msg);
		_exit(problem ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && is_by_libav())
		return true;
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "allocation %lld of %lld, by %s: status %x", (long long)n,
		      (long long)n_all, who, (unsigned)status);
	return false;
}

START_TEST(every_allocation_of_a_probe_and_a_segment_may_fail)
{
	const struct job *jobs[] = { &probe_job, &segment_job };
	int64_t step = getenv("ALLOC_STEP") ? atoll(getenv("ALLOC_STEP")) : titles[_i].step, n_dead = 0;
	struct outcome all;

	media_make(titles[0].name, titles[0].command);
	make_reference(media_make(titles[_i].name, titles[_i].command));
	forget();
	all = work(jobs, 2, 0);
	ck_assert_msg(!all.ret, "%s", err.msg);
	/* AddressSanitizer's strdup is not counted, its release is */
	n_live_before = work(jobs, 0, 0).n_live;
	ck_assert_int_eq(all.n_live, n_live_before);
	ck_assert_int_gt(all.n_asked, 50); /* they are counted: the smallest title takes 84 */
	for (int64_t n = 1; n <= all.n_asked; n += step)
		n_dead += try(n, all.n_asked);
	if (n_dead)
		fprintf(stderr, "%s: %lld of %lld failed allocations within libav end its process\n", titles[_i].name, (long long)n_dead,
			(long long)((all.n_asked + step - 1) / step));
}
END_TEST

/* ---- a pipe */

#define BLOCKS 40

/* Frame i: its number, some thousand times; one is over a megabyte. */
static size_t frame_size(int i)
{
	return i == 25 ? 1200000 : 20000 + (size_t)i * 1000;
}

static void put_title(struct buf *file)
{
	static uint8_t data[1200000];

	mkv_put_head(file);
	for (int i = 0; i < BLOCKS; i++) {
		size_t m = mkv_begin_cluster(file, (uint64_t)i * 40);

		memset(data, i, frame_size(i));
		mkv_put_simple(file, MKV_VIDEO_TRACK, 0, MKV_KEY, data, frame_size(i));
		mkv_end_master(file, m);
	}
	ck_assert(!buf_failed(file));
}

static int64_t read_some(void *arg, uint8_t *to, size_t n, struct err *e)
{
	struct bytes *rest = arg;

	(void)e;
	n = n < 10007 ? n : 10007;
	n = n < rest->size ? n : rest->size;
	memcpy(to, rest->data, n);
	*rest = (struct bytes){ rest->data + n, rest->size - n };
	return (int64_t)n;
}

static bool is_right(const struct frame *f, struct bytes data, int i)
{
	return f->time_ns == i * INT64_C(40000000) && data.size == frame_size(i) && data.data[0] == i &&
	       !memcmp(data.data, data.data + 1, data.size - 1);
}

/* Counts the frames that are right; the first wrong one is -1. */
static int read_pipe(struct bytes file, int *n)
{
	struct input_source source = { read_some, NULL, NULL, &file };
	struct buf scratch = { 0 };
	struct mkv_cursor c;
	struct frame f;
	struct bytes data;
	struct input in;
	struct mkv mkv;
	int ret;

	*n = 0;
	input_init_source(&in, &source, INT64_MAX);
	ret = mkv_open(&mkv, &in, &err);
	if (!ret) {
		ret = mkv_seek(&c, &mkv, mkv.first_cluster, -1, &err);
		while (!ret && (ret = mkv_next(&c, &f, &err)) == 1 && !(ret = mkv_frame_data(&mkv, &f, &scratch, &data, &err)) &&
		       *n >= 0)
			*n = is_right(&f, data, *n) ? *n + 1 : -1;
		mkv_close(&mkv);
	}
	buf_finish(&scratch);
	input_close(&in);
	return ret;
}

START_TEST(a_pipe_that_has_no_memory_gives_right_frames_and_then_an_error)
{
	char by[ALLOC_FAIL_WHO] = "";
	struct buf file = { 0 };
	int64_t n_all = 1, n_live;
	int n, ret;

	put_title(&file);
	for (int64_t i = 0; i <= n_all; i++) { /* at first none fails */
		alloc_fail_watch();
		alloc_fail_arm(i, by);
		ret = read_pipe(buf_bytes(&file), &n);
		n_all = alloc_fail_disarm() > n_all ? alloc_fail_disarm() : n_all;
		n_live = alloc_fail_unwatch();
		ck_assert_msg(!n_live && (i ? ret == ERR_NOMEM && n >= 0 && n < BLOCKS : !ret && n == BLOCKS),
			      "allocation %lld of %lld: %d and %d frames, %lld not given back", (long long)i, (long long)n_all, ret, n,
			      (long long)n_live);
	}
	ck_assert_int_gt(n_all, 2);
	buf_finish(&file);
}
END_TEST

Suite *suite_alloc(void)
{
	Suite *s = suite_create("alloc");
	TCase *tc = tcase_create("alloc");

	tcase_set_timeout(tc, 1200);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, every_allocation_of_a_probe_and_a_segment_may_fail, 0, sizeof titles / sizeof *titles);
	suite_add_tcase(s, tc);
	tc = tcase_create("pipe");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a_pipe_that_has_no_memory_gives_right_frames_and_then_an_error);
	suite_add_tcase(s, tc);
	return s;
}
