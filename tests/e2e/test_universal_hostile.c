/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Broken and hostile sources of the universal pipeline, through the farm and `segfarm-worker transcode`: one clear sentence each, or
 * what can be saved; and the worker lives.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/httpd.h"
#include "tests/e2e/media.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILM(seconds, video) FFMPEG PICTURE SOUND "-t " seconds " " video "-g 48 -c:a aac -ac 2 "
#define H264 X264 "-bf 2 "

/* ---- broken files */

#define NO_MEDIA "this is no media file of a kind that is known, or it is broken at its very beginning"
#define NO_INDEX "the MP4's index (moov) is missing or broken: was the file cut off?"

static const struct broken {
	const char *name, *make; 
	int status;              /* of both; 0: what is there is played */
	const char *says;        /* behind the name */
	size_t least_frames;     /* of 288 */
} broken[] = {
	{ "no-moov.mp4", "head -c 200000 $M/hostile-plain.mp4 >", 1, ": " NO_INDEX, 0 },
	{ "moov-cut.mp4", "head -c 2000 $M/hostile-fast.mp4 >", 1, ": " NO_INDEX, 0 },
	{ "mdat-cut.mp4", "head -c 300000 $M/hostile-fast.mp4 >", 0, "", 50 },
	{ "mid-packet.ts", "head -c 188077 $M/hostile-plain.ts >", 0, "", 30 },
	{ "header.ts", "head -c 700 $M/hostile-plain.ts >", 1, "", 0 },
	{ "cut.avi", "head -c 300000 $M/hostile-plain.avi >", 0, "", 50 },
	{ "header.avi", "head -c 300 $M/hostile-plain.avi >", 1, ": " NO_MEDIA, 0 },
	{ "cut.flv", "head -c 200000 $M/hostile-plain.flv >", 0, "", 30 },
	{ "header.flv", "head -c 100 $M/hostile-plain.flv >", 1, "", 0 },
	{ "empty.mp4", ": >", 2, " is empty", 0 },
	{ "zeros.mp4", "head -c 100000 /dev/zero >", 1, ": " NO_MEDIA, 0 },
	{ "text.mp4", "echo This is a text. >", 1, ": " NO_MEDIA, 0 },
	{ "noise.ts", "head -c 500000 /dev/urandom >", 1, ": ", 0 },
	{ "slow.wav", FFMPEG "-f lavfi -i sine=d=2:r=100 -c:a pcm_s16le", 1, ": audio sampled at 100 Hz: 1000 to 768000 are taken", 0 },
	{ "directory.mp4", "mkdir", 2, " is a directory, not a media file", 0 },
};
#define N_BROKEN (int)(sizeof broken / sizeof *broken)

static const char *const whole[][2] = {
	{ "hostile-plain.mp4", FILM("12", H264) OUT },	    { "hostile-fast.mp4", FILM("12", H264) "-movflags +faststart " OUT },
	{ "hostile-plain.ts", FILM("12", H264) OUT },	    { "hostile-plain.flv", FILM("12", X264) OUT },
	{ "hostile-plain.avi", FILM("12", "-c:v mpeg4 ") OUT }, { "hostile-long.mp4", FILM("120", H264) OUT },
	{ "hostile-long.ts", FILM("120", H264) OUT },
};

static char dir[500];

static void setup(void)
{
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		media_make(whole[i][0], whole[i][1]);
	snprintf(dir, sizeof dir, "%s/broken", sh_scratch());
	free(sh("mkdir -p %s", dir));
	for (int i = 0; i < N_BROKEN; i++)
		free(sh("%s %s/%s", broken[i].make, dir, broken[i].name));
	free(sh("mkfifo %s/fifo.ts", dir));
}

static void check_says(const struct broken *b, const char *said, const char *program)
{
	char sentence[300];

	snprintf(sentence, sizeof sentence, "%s%s", b->name, b->says);
	if (b->status)
		ck_assert_msg(strstr(said, program) && strstr(said, sentence) && bg_count(said, "\n") == 1, "%s: %s", b->name, said);
	ck_assert_msg(!strstr(said, "killed by signal"), "%s: %s", b->name, said);
}

START_TEST(broken_file_gives_one_sentence_or_what_is_there_as_a_stream)
{
	const struct broken *b = &broken[_i];
	const char *out = defects_scratch("out.mp4");
	struct hls h;
	char *said;
	int status = sh_status(&said, "cd %s && \"$WORKER\" transcode %s > %s", dir, b->name, out);

	ck_assert_msg(status == b->status, "%s: %d: %s", b->name, status, said);
	check_says(b, said, "segfarm-worker transcode: ");
	if (!b->status) {
		hls_load_stream(&h, out);
		hls_check_stream(&h);
		ck_assert_uint_ge(hls_video(&h)->n_samples, b->least_frames);
		hls_free(&h);
	}
	free(said);
}
END_TEST

START_TEST(broken_file_gives_one_sentence_or_what_is_there_from_the_farm)
{
	const struct broken *b = &broken[_i];
	struct hls h;
	char path[700], *said, *sentence;

	snprintf(path, sizeof path, "%s/%s", dir, b->name);
	if (!b->status) {
		hls_make(&h, path, "-j 1");
		hls_check(&h);
		ck_assert_uint_ge(hls_video(&h)->n_samples, b->least_frames);
		hls_free(&h);
		return;
	}
	ck_assert_int_eq(sh_status(&said, "cd %s && \"$SEGFARM\" run -j 1 %s --once", dir, b->name), b->status);
	sentence = strstr(said, "segfarm run: ");
	ck_assert_msg(sentence, "%s: %s", b->name, said);
	check_says(b, sentence, "segfarm run: ");
	ck_assert_msg(!strstr(said, "level=error") && !strstr(said, "worker lost"), "%s: %s", b->name, said);
	free(said);
}
END_TEST

/* One worker process takes them all, one after the other, and then makes a good one. */
START_TEST(worker_that_met_every_broken_file_does_the_next_job)
{
	struct redis_fixture redis;
	struct bg serve, pool;
	struct buf files = { 0 };
	int n_failed = 0;
	pid_t worker;
	char *log;

	for (int i = 0; i < N_BROKEN; i++)
		if (broken[i].status < 2) {
			buf_printf(&files, " %s/%s", dir, broken[i].name);
			n_failed += broken[i].status;
		}
	redis_fixture_start(&redis);
	bg_open(&serve);
	bg_open(&pool);
	programs_serve(&serve, &redis, "%.*s $M/hostile-plain.mp4", (int)files.size, (const char *)files.data);
	programs_pool(&pool, &redis, &serve, 1, "");
	worker = bg_role(&pool, "worker");
	bg_wait_log(&serve, "msg=\"stream failed\"", n_failed);
	bg_wait_log(&serve, "state=done", 1);
	ck_assert_int_eq(bg_role(&pool, "worker"), worker);
	log = bg_log(&serve);
	ck_assert_msg(!strstr(log, "killed by signal") && !strstr(log, "worker lost"), "%s", log);
	free(log);
	buf_finish(&files);
	bg_close(&pool);
	bg_close(&serve);
	redis_fixture_stop(&redis);
}
END_TEST

/* ---- sources that name others */

#define NAMES "the source only names other files or URLs, which are not opened\n"
#define NAMES_HLS "a playlist (HLS), which names other files or URLs: they are only opened by 'segfarm-worker transcode --allow-playlists'"
#define HLS "#EXTM3U\\n#EXT-X-TARGETDURATION:12\\n#EXTINF:12,\\n%s\\n#EXT-X-ENDLIST\\n"
#define DASH                                                                                                                          \
	"<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\" " \
	"type=\"static\" mediaPresentationDuration=\"PT12S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" "      \
	"bandwidth=\"1\"><BaseURL>%s</BaseURL></Representation></AdaptationSet></Period></MPD>"
#define SDP "v=0\\no=- 0 0 IN IP4 127.0.0.1\\ns=x\\nc=IN IP4 127.0.0.1\\nt=0 0\\nm=video 9 RTP/AVP 96\\na=rtpmap:96 H264/90000\\n"

/* Formats of printf(1), in a directory with canary.ts and canary.mp4, which play; $U is a URL of a server that tells who asks. */
static const struct naming {
	const char *text, *name;
} naming[] = {
	{ "ffconcat version 1.0\\nfile %s\\n", "canary.mp4" }, { "ffconcat version 1.0\\nfile %s\\n", "$U/canary.ts" },
	{ HLS, "canary.ts" },	{ HLS, "file:canary.ts" }, { HLS, "$U/canary.ts" }, { HLS, "data:video/mp2t;base64,RxEREQ==" },
	{ DASH, "canary.mp4" }, { DASH, "$U/canary.mp4" }, { SDP, "" },
};
#define N_NAMING (int)(sizeof naming / sizeof *naming)

static char told[600];

static void tell(int fd, const char *path)
{
	(void)fd, (void)path;
	craft_save(told, (struct bytes){ 0 });
}

START_TEST(source_that_names_others_opens_none_of_them)
{
	static const char *const programs[] = { "\"$SEGFARM\" run --once -j 1", "\"$WORKER\" transcode" };
	const struct naming *n = &naming[_i / 2];
	int port = httpd_start(tell), status;
	char *said;

	snprintf(told, sizeof told, "%s/told-%d", dir, _i);
	free(sh("cd %s && cp $M/hostile-plain.mp4 canary.mp4 && cp $M/hostile-plain.ts canary.ts && U=http://127.0.0.1:%d && "
		"printf '%s' \"%s\" > names.mp4",
		dir, port, n->text, n->name));
	status = sh_status(&said, "cd %s && timeout 60 %s names.mp4 > names.out", dir, programs[_i % 2]);
	ck_assert_msg(status == 1 && strstr(said, !strcmp(n->text, HLS) ? "names.mp4: " NAMES_HLS : "names.mp4: " NAMES), "%d: %s", status, said);
	free(said);
	free(sh("! test -s %s/names.out", dir));
	ck_assert_int_ne(access(told, F_OK), 0);
	httpd_stop();
}
END_TEST

/* ---- an index that lies */

/* Takes the middle third of an AVI's idx1 away: libavformat counts the frames behind it wrong. */
static void break_index(const char *path)
{
	struct buf b = { 0 };
	size_t at, n;

	craft_load(&b, path);
	for (at = b.size - 8; memcmp(b.data + at, "idx1", 4) != 0;)
		ck_assert_uint_gt(at--, 0);
	n = (b.size - at - 8) / 16;
	memmove(b.data + at + 8 + n / 3 * 16, b.data + at + 8 + n * 2 / 3 * 16, b.size - (at + 8 + n * 2 / 3 * 16));
	b.size -= (n * 2 / 3 - n / 3) * 16;
	n = b.size - at - 8;
	for (int i = 0; i < 4; i++)
		b.data[at + 4 + (size_t)i] = (uint8_t)(n >> 8 * i);
	craft_save(path, buf_bytes(&b));
	buf_finish(&b);
}

START_TEST(index_that_lies_is_not_believed)
{
	char path[700], plain[700];

	snprintf(path, sizeof path, "%s/lies.avi", dir);
	snprintf(plain, sizeof plain, "%s/hostile-plain.avi", getenv("M"));
	free(sh("cp '%s' %s", plain, path));
	break_index(path);
	defects_check_as_plain(path, plain);
}
END_TEST

/* ---- a FIFO */

START_TEST(fifo_without_a_writer_is_refused_by_the_farm_and_waited_for_as_long_as_is_asked)
{
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$SEGFARM\" run %s/fifo.ts --once", dir), 2);
	ck_assert_msg(strstr(said, "fifo.ts is not a regular file\n") && bg_count(said, "\n") == 1, "%s", said);
	free(said);
	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode --source-timeout 1 %s/fifo.ts > %s/none", dir, sh_scratch()), 1);
	ck_assert_msg(strstr(said, "fifo.ts: nothing came from the source for 1 s\n") && bg_count(said, "\n") == 1, "%s", said);
	free(said);
}
END_TEST

/* ---- files that become shorter */

static const char *const longs[] = { "long.mp4", "long.ts" };
#define SHORTER 1000000

START_TEST(source_that_shrinks_ends_a_run_with_a_sentence_and_the_worker_lives)
{
	struct bg b;
	char *log, path[700];

	snprintf(path, sizeof path, "%s/shrinks-%s", dir, longs[_i]);
	free(sh("cp $M/hostile-%s %s", longs[_i], path));
	bg_open(&b);
	bg_start(&b, "\"$SEGFARM\" run '%s' -o %s/out -j 1 -v --force-video-reencode", path, b.dir);
	bg_wait_log(&b, "job done", 2);
	ck_assert(!truncate(path, SHORTER));
	ck_assert_int_eq(bg_wait(&b), 1);
	log = bg_log(&b);
	ck_assert_msg(strstr(log, "code=data reason=\"") && strstr(log, " became shorter while it was read\""), "%s", log);
	ck_assert_msg(!strstr(log, "killed by signal") && !strstr(log, "worker lost"), "%s", log);
	ck_assert_msg(bg_count(log, "segfarm run: ") == 1, "%s", log);
	free(log);
	bg_check_clean(&b);
	bg_close(&b);
}
END_TEST

/* Nobody reads on until it is done: no more than a pipe holds lies in front. */
START_TEST(source_that_shrinks_ends_a_stream_with_a_sentence)
{
	static const char *const options[] = { "", "--force-video-reencode" };
	char path[700], *said;
	struct hls h;

	snprintf(path, sizeof path, "%s/shrinks-%s", dir, longs[_i / 2]);
	free(sh("cp $M/hostile-%s %s", longs[_i / 2], path));
	said = sh("{ \"$WORKER\" transcode %s %s || echo \"status $?\" >&2; } | { head -c 1000 > %s/out.mp4; truncate -s %d %s; "
		  "cat >> %s/out.mp4; }",
		  options[_i % 2], path, dir, SHORTER, path, dir);
	ck_assert_msg(strstr(said, " became shorter while it was read\nstatus 1\n"), "%s", said);
	free(said);
	snprintf(path, sizeof path, "%s/out.mp4", dir);
	hls_load_stream(&h, path);
	hls_check_stream(&h);
	hls_free(&h);
}
END_TEST

/* ---- sources from the network */

static void answer(int fd, const char *path)
{
	static const uint8_t zeros[65536];
	struct buf film = { 0 };
	char file[700];

	snprintf(file, sizeof file, "%s/hostile-long.ts", getenv("M"));
	craft_load(&film, file);
	if (!strcmp(path, "/stalls.ts")) {
		httpd_head(fd, (long long)film.size);
		httpd_send(fd, film.data, film.size / 2);
		for (;;)
			pause();
	}
	httpd_head(fd, -1);
	while (!strcmp(path, "/endless.ts")) /* the same again and again */
		httpd_send(fd, film.data, film.size);
	for (;;)
		httpd_send(fd, zeros, sizeof zeros);
}

START_TEST(server_that_stalls_gives_what_came_and_a_sentence)
{
	const char *out = defects_scratch("stalled.mp4");
	int port = httpd_start(answer);
	struct hls h;
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode --source-timeout 2 http://127.0.0.1:%d/stalls.ts > %s", port, out), 1);
	ck_assert_msg(strstr(said, " fragments, ") && strstr(said, "nothing came from the server for 2 s\n"), "%s", said);
	free(said);
	hls_load_stream(&h, out);
	hls_check_stream(&h);
	ck_assert_uint_gt(hls_video(&h)->n_samples, 1000); /* of 2880 */
	hls_free(&h);
	httpd_stop();
}
END_TEST

START_TEST(answer_without_an_end_and_without_a_film_is_refused)
{
	int port = httpd_start(answer);
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode http://127.0.0.1:%d/zeros > %s/none", port, sh_scratch()), 1);
	ck_assert_msg(strstr(said, "/zeros: " NO_MEDIA "\n") && bg_count(said, "\n") == 1, "%s", said);
	free(said);
	httpd_stop();
}
END_TEST

Suite *suite_universal_hostile(void)
{
	Suite *s = suite_create("universal_hostile");
	TCase *t = tcase_create("universal_hostile");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_unchecked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, broken_file_gives_one_sentence_or_what_is_there_as_a_stream, 0, N_BROKEN);
	tcase_add_loop_test(t, broken_file_gives_one_sentence_or_what_is_there_from_the_farm, 0, N_BROKEN);
	tcase_add_test(t, worker_that_met_every_broken_file_does_the_next_job);
	tcase_add_loop_test(t, source_that_names_others_opens_none_of_them, 0, 2 * N_NAMING);
	tcase_add_test(t, index_that_lies_is_not_believed);
	tcase_add_test(t, fifo_without_a_writer_is_refused_by_the_farm_and_waited_for_as_long_as_is_asked);
	tcase_add_loop_test(t, source_that_shrinks_ends_a_run_with_a_sentence_and_the_worker_lives, 0, 2);
	tcase_add_loop_test(t, source_that_shrinks_ends_a_stream_with_a_sentence, 0, 4);
	tcase_add_test(t, server_that_stalls_gives_what_came_and_a_sentence);
	tcase_add_test(t, answer_without_an_end_and_without_a_film_is_refused);
	suite_add_tcase(s, t);
	return s;
}
