/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HLS as a source: from a server and from a directory, finished and live, the same frames as of the file that it was cut from; and
 * playlists that want what they may not have: one clear sentence, and nothing is opened.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/httpd.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECONDS 10
#define FPS 24
#define CUT FFMPEG "-i $M/playlists.ts -c copy -f hls -hls_time 1 -hls_list_size 0 "
#define TS_CUT(offset, name) CUT "-output_ts_offset " offset " " name ".m3u8"

static char dir[500], told[600];

static const char *const cuts[] = {
	TS_CUT("0", "ts"),
	TS_CUT("7200", "late"),
	TS_CUT("95438", "wrap"), /* 33 bits end at 95443.7 s */
	CUT "-bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_fmp4_init_filename fmp4.init fmp4.m3u8",
	CUT "-bsf:a aac_adtstoasc -hls_segment_type fmp4 -hls_flags single_file single.m3u8",
	"head -c 16 /dev/urandom > a.key && printf 'a.key\\na.key\\n' > key-info && " CUT "-hls_key_info_file key-info aes.m3u8",
	FFMPEG "-i $M/playlists.ts -map 0:v -map 0:a -map 0:v -c copy -f hls -hls_time 1 -hls_list_size 0 -b:v:0 900k -b:v:1 100k "
	       "-var_stream_map 'v:0,agroup:x a:0,agroup:x v:1,agroup:x' -master_pl_name master.m3u8 variant-%v.m3u8",
};

/* The parts, what playlists must not name, and a directory for each test's own playlist. */
static void setup(void)
{
	media_make("playlists.ts", FFMPEG PICTURE SOUND "-t 10 " X264 "-bf 2 -g 24 -c:a aac -ac 2 " OUT);
	snprintf(dir, sizeof dir, "%s/parts", sh_scratch());
	free(sh("mkdir -p %s %s/outside", dir, sh_scratch()));
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
		free(sh("cd %s && %s", dir, cuts[i]));
	free(sh("cd %s && cp ts0.ts ../outside/canary.ts && ln -s ../outside/canary.ts link.ts && ln -s ../outside there && mkfifo fifo.ts && "
		"\"$WORKER\" transcode $M/playlists.ts > whole.mp4", dir));
	snprintf(told, sizeof told, "%s/told", sh_scratch());
}

/* ---- the server */

static struct {
	atomic_int requests;
} *shared;
static int last_part;
static bool has_end;

/* One part more with each request, the last six of them, up to last_part. */
static void answer_live(int fd)
{
	int n = 3 + shared->requests++, first;
	struct buf list = { 0 };

	n = n < last_part ? n : last_part;
	first = n > 6 ? n - 6 : 0;
	buf_printf(&list, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:%d\n", first);
	for (int i = first; i < n; i++)
		buf_printf(&list, "#EXTINF:1.0,\n%s%d.ts\n", "late", i);
	if (has_end && n == last_part)
		buf_printf(&list, "#EXT-X-ENDLIST\n");
	httpd_head(fd, (long long)list.size);
	httpd_send(fd, list.data, list.size);
	buf_finish(&list);
}

static void answer_for_ever(int fd)
{
	static const char head[] = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n", line[] = "#EXTINF:1,\nts0.ts\n";

	httpd_head(fd, -1);
	httpd_send(fd, head, sizeof head - 1);
	for (;;)
		httpd_send(fd, line, sizeof line - 1);
}

static void answer(int fd, const char *path)
{
	static const char redirect[] = "HTTP/1.1 302 Found\r\nLocation: /told\r\nContent-Length: 0\r\n\r\n";
	static const char gone[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
	struct buf file = { 0 };
	char name[1000];

	snprintf(name, sizeof name, "%s%s", dir, path);
	if (!strcmp(path, "/told")) {
		craft_save(told, (struct bytes){ 0 });
	} else if (!strcmp(path, "/live.m3u8")) {
		answer_live(fd);
	} else if (!strcmp(path, "/endless.m3u8")) {
		answer_for_ever(fd);
	} else if (!strcmp(path, "/redirect.ts")) {
		httpd_send(fd, redirect, sizeof redirect - 1);
	} else if (access(name, R_OK)) {
		httpd_send(fd, gone, sizeof gone - 1);
	} else {
		craft_load(&file, name);
		httpd_head(fd, (long long)file.size);
		httpd_send(fd, file.data, file.size);
		buf_finish(&file);
	}
}

static int start_server(int parts, bool is_ended)
{
	last_part = parts;
	has_end = is_ended;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	unlink(told);
	return httpd_start(answer);
}

/* ---- what comes out */

static const char *made(const char *name)
{
	static char path[2][600];
	static int n;

	n = !n;
	snprintf(path[n], sizeof path[n], "%s/%s", dir, name);
	return path[n];
}

static int64_t time_of(const struct hls_track *t, size_t sample)
{
	return t->samples[sample].dts + t->samples[sample].cts - t->edit_media_time;
}

/* The first frames of each track are those of the file, at their times: to the tick, which where a title does not begin with 0 is
 * rounded; ffmpeg writes into fMP4 to the millisecond where a track begins. */
static void check_is_beginning(const char *path, size_t seconds, bool is_fmp4)
{
	const char *whole = made("whole.mp4");
	struct hls a, b;

	hls_load_stream(&a, whole);
	hls_load_stream(&b, path);
	hls_check_stream(&b);
	ck_assert_uint_eq(hls_video(&b)->n_samples, seconds * FPS);
	for (int k = 0; k < 2; k++) {
		const struct hls_track *x = k ? hls_audio(&a) : hls_video(&a), *y = k ? hls_audio(&b) : hls_video(&b);

		ck_assert(y->n_samples <= x->n_samples && y->n_samples + (SECONDS - seconds + 1) * 48 > x->n_samples);
		for (size_t i = 0; i < y->n_samples; i++) {
			int64_t off = time_of(y, i) - time_of(x, i);

			ck_assert_msg(llabs(off) <= (is_fmp4 ? 45 : 1) && defects_is_same_data(&x->samples[i], &y->samples[i]),
				      "%s: sample %zu of %s is another one, or late by %lld", path, i, k ? "sound" : "video", (long long)off);
		}
	}
	hls_free(&b);
	hls_free(&a);
}

static const char *const names[] = { "ts", "late", "wrap", "fmp4", "single", "aes", "master" };
#define N_NAMES (int)(sizeof names / sizeof *names)

static bool is_fmp4(const char *name)
{
	return !strcmp(name, "fmp4") || !strcmp(name, "single");
}

START_TEST(playlist_that_is_a_file_gives_the_frames_of_the_original)
{
	free(sh("cd %s && \"$WORKER\" transcode --allow-playlists %s.m3u8 > out.mp4", dir, names[_i]));
	check_is_beginning(made("out.mp4"), SECONDS, is_fmp4(names[_i]));
}
END_TEST

/* (A server of ours sends no parts of files.) */
START_TEST(playlist_from_a_server_gives_the_frames_of_the_original)
{
	int port;

	if (!strcmp(names[_i], "single"))
		return;
	port = start_server(0, true);
	free(sh("cd %s && \"$WORKER\" transcode --allow-playlists http://127.0.0.1:%d/%s.m3u8 > out.mp4", dir, port, names[_i]));
	httpd_stop();
	check_is_beginning(made("out.mp4"), SECONDS, is_fmp4(names[_i]));
}
END_TEST

/* The second part begins two hours later, and the third before it. What was in hand at a join is lost: a frame of each, as in joined
 * files. */
START_TEST(discontinuity_goes_on_without_a_gap)
{
	const char *out = made("out.mp4");
	const struct hls_track *v, *a;
	struct hls h;
	int64_t *times;
	int n_long = 0;

	free(sh("cd %s && { sed '/ENDLIST/d' ts.m3u8; echo '#EXT-X-DISCONTINUITY'; grep -v '^#EXTM3U\\|^#EXT-X' late.m3u8; "
		"echo '#EXT-X-DISCONTINUITY'; grep -v '^#EXTM3U\\|^#EXT-X' ts.m3u8; echo '#EXT-X-ENDLIST'; } > joined.m3u8 && "
		"\"$WORKER\" transcode --allow-playlists joined.m3u8 > out.mp4", dir));
	hls_load_stream(&h, out);
	hls_check_stream(&h);
	v = hls_video(&h);
	a = hls_audio(&h);
	ck_assert_uint_ge(v->n_samples, 3 * SECONDS * FPS - 2);
	times = defects_times(v);
	for (size_t i = 1; i < v->n_samples; i++) {
		int64_t step = times[i] - times[i - 1];

		ck_assert_msg(step > 3700 && step < 2 * 3800, "frame %zu comes %lld after the one before", i, (long long)step);
		n_long += step > 3800;
	}
	ck_assert_int_le(n_long, 2);
	ck_assert_int_le(llabs(a->samples[a->n_samples - 1].dts / 48 - times[v->n_samples - 1] / 90), 100);
	free(times);
	hls_free(&h);
}
END_TEST

/* ---- live */

START_TEST(live_playlist_that_ends_gives_all_of_it_from_0_on)
{
	int port = start_server(SECONDS, true);

	free(sh("cd %s && \"$WORKER\" transcode --allow-playlists http://127.0.0.1:%d/live.m3u8 > out.mp4", dir, port));
	httpd_stop();
	check_is_beginning(made("out.mp4"), SECONDS, false);
}
END_TEST

START_TEST(live_playlist_that_stalls_ends_with_what_was_made)
{
	int port = start_server(7, false);
	char *said;
	int status = sh_status(&said, "cd %s && \"$WORKER\" transcode --source-timeout 4 --allow-playlists http://127.0.0.1:%d/live.m3u8 > out.mp4",
			       dir, port);

	httpd_stop();
	ck_assert_msg(status == 1 && strstr(said, "the playlist has named nothing new that can be read for 4 s\n"), "%d: %s", status, said);
	free(said);
	check_is_beginning(made("out.mp4"), 7, false);
}
END_TEST

START_TEST(part_that_is_missing_is_told_and_the_others_are_played)
{
	int port = start_server(0, true);
	struct hls h;
	char *said;
	int status = sh_status(&said, "cd %s && sed 's/ts4.ts/gone.ts/' ts.m3u8 > hole.m3u8 && "
			       "\"$WORKER\" transcode --allow-playlists http://127.0.0.1:%d/hole.m3u8 > out.mp4", dir, port);

	httpd_stop();
	ck_assert_msg(status == 1 && strstr(said, "parts of the playlist that could not be read: 1; the first: http://127.0.0.1:") &&
			      strstr(said, "/gone.ts: "), "%d: %s", status, said);
	free(said);
	hls_load_stream(&h, made("out.mp4"));
	hls_check_stream(&h);
	ck_assert_uint_ge(hls_video(&h)->n_samples, (SECONDS - 1) * FPS - 1);
	ck_assert_uint_le(hls_video(&h)->n_samples, (SECONDS - 1) * FPS);
	hls_free(&h);
}
END_TEST

/* ---- hostile */

#define MEDIA(lines) "#EXTM3U\\n#EXT-X-TARGETDURATION:1\\n" lines "\\n#EXT-X-ENDLIST\\n"
#define ONE(name) MEDIA("#EXTINF:1,\\n" name)
#define MASTER(name) "#EXTM3U\\n#EXT-X-STREAM-INF:BANDWIDTH=1000\\n" name "\\n"
#define BENEATH "one that is a file may only name regular files beneath its own directory, without links\n"
#define ONLY ": only http://127.0.0.1:"
#define MANY(line) "#EXTM3U\\n#EXT-X-TARGETDURATION:1\\n' && yes '" line "' | head -n 1000000 && printf '#EXT-X-ENDLIST\\n"

/* Formats of printf(1) for bad.m3u8; $P is the server's port. */
static const struct bad {
	const char *text, *says;
	bool is_url; /* read from the server */
} bad[] = {
	{ ONE("file:///etc/passwd"), "the playlist names file:///etc/passwd: " BENEATH, false },
	{ ONE("file:canary.ts"), "the playlist names file:canary.ts: " BENEATH, false },
	{ ONE("/etc/passwd"), "parts of the playlist that could not be read: 1; the first: etc/passwd: No such file", false },
	{ ONE("../outside/canary.ts"), "bad.m3u8: ", false },
	{ ONE("x/../../outside/canary.ts"), "bad.m3u8: ", false },
	{ ONE("link.ts"), "the playlist names link.ts: " BENEATH, false },
	{ ONE("there/canary.ts"), "the playlist names there/canary.ts: " BENEATH, false },
	{ ONE("fifo.ts"), "the playlist names fifo.ts: " BENEATH, false },
	{ ONE("http://127.0.0.1:$P/told"), "the playlist names http://127.0.0.1:", false },
	{ ONE("concat:ts0.ts|ts1.ts"), "bad.m3u8: ", false },
	{ ONE("crypto:ts0.ts"), "bad.m3u8: ", false },
	{ ONE("subfile,,start,0,end,0,,:ts0.ts"), "bad.m3u8: ", false },
	{ ONE("data:video/mp2t;base64,RxEREQ=="), "the playlist names data:video", false },
	{ ONE("bad.m3u8"), "bad.m3u8: ", false },
	{ MASTER("bad.m3u8"), "the playlist names too many others, or itself\n", false },
	{ MANY("#EXTINF:1,\\nts0.ts"), "the playlist has too many lines\n", false },
	{ MANY("#EXT-X-STREAM-INF:BANDWIDTH=1\\na"), "the playlist names too many others, or itself\n", false },
	{ ONE("file:///etc/passwd"), "the playlist names file:///etc/passwd" ONLY, true },
	{ ONE("http://localhost:$P/told"), "/told" ONLY, true },
	{ ONE("http://127.0.0.1:$P@localhost:$P/told"), "/told" ONLY, true },
	{ ONE("http://127.0.0.1:1/told"), "/told" ONLY, true },
	{ ONE("//localhost:$P/told"), "/told" ONLY, true },
	{ ONE("tcp://127.0.0.1:$P/told"), "bad.m3u8: ", true },
	{ ONE("crypto+http://localhost:$P/told"), "bad.m3u8: ", true },
	{ ONE("concat:http://127.0.0.1:$P/told|http://127.0.0.1:$P/told"), "bad.m3u8: ", true },
	{ ONE("data:video/mp2t;base64,RxEREQ=="), "bad.m3u8: ", true },
	{ ONE("redirect.ts"), "/redirect.ts: there is no answer, or it leads to another address\n", true },
	{ MASTER("http://localhost:$P/told"), "/told" ONLY, true },
	{ MEDIA("#EXT-X-KEY:METHOD=AES-128,URI=\"http://localhost:$P/told\"\\n#EXTINF:1,\\naes0.ts"), "/told" ONLY, true },
	{ MEDIA("#EXT-X-MAP:URI=\"http://localhost:$P/told\"\\n#EXTINF:1,\\nfmp40.m4s"), "/told" ONLY, true },
	{ ONE("bad.m3u8"), "bad.m3u8: ", true },
	{ MASTER("bad.m3u8"), "the playlist names too many others, or itself\n", true },
	{ MASTER("endless.m3u8"), "the playlist has too many lines\n", true },
	{ MANY("#EXTINF:1,\\nts0.ts"), "the playlist has too many lines\n", true },
};
#define N_BAD (int)(sizeof bad / sizeof *bad)

START_TEST(playlist_against_the_rule_is_one_sentence_and_opens_nothing)
{
	const struct bad *b = &bad[_i];
	int port = start_server(0, true), status;
	char url[100] = "", *said;

	if (b->is_url)
		snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
	free(sh("cd %s && { printf '%s'; } | sed s/\\$P/%d/g > bad.m3u8", dir, b->text, port));
	status = sh_status(&said, "cd %s && timeout 60 \"$WORKER\" transcode --source-timeout 5 --allow-playlists %sbad.m3u8 > out.mp4", dir, url);
	httpd_stop();
	ck_assert_msg(status == 1 && strstr(said, b->says) && bg_count(said, "\n") == 1, "%s: %d: %s", b->text, status, said);
	ck_assert_msg(access(told, F_OK), "%s: it was asked for", b->text);
	free(said);
	free(sh("! test -s %s/out.mp4", dir));
}
END_TEST

START_TEST(endless_playlist_is_not_read_for_ever)
{
	int port = start_server(0, true);
	char *said;
	int status = sh_status(&said, "cd %s && timeout 60 \"$WORKER\" transcode --allow-playlists http://127.0.0.1:%d/endless.m3u8 > out.mp4",
			       dir, port);

	httpd_stop();
	ck_assert_msg(status == 1 && strstr(said, "the playlist has too many lines\n"), "%d: %s", status, said);
	free(said);
}
END_TEST

START_TEST(other_servers_are_allowed_by_name)
{
	int port = start_server(0, true);

	free(sh("cd %s && sed 's|^ts|http://localhost:%d/ts|' ts.m3u8 > far.m3u8 && "
		"\"$WORKER\" transcode --allow-playlists=http://a.invalid,http://localhost:%d/ http://127.0.0.1:%d/far.m3u8 > out.mp4",
		dir, port, port, port));
	httpd_stop();
	check_is_beginning(made("out.mp4"), SECONDS, false);
}
END_TEST

START_TEST(what_is_no_server_is_wrong_use)
{
	static const char *const lists[] = { "localhost", "''", "http://", "http://a,", "file:///etc", "http://a,b" };
	char *said;

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		int status = sh_status(&said, "cd %s && \"$WORKER\" transcode --allow-playlists=%s ts.m3u8 > out.mp4", dir, lists[i]);

		ck_assert_msg(status == 2 && strstr(said, "--allow-playlists takes"), "%s: %d: %s", lists[i], status, said);
		free(said);
	}
}
END_TEST

START_TEST(playlist_of_unknown_place_is_refused)
{
	char *said;
	int status = sh_status(&said, "cd %s && \"$WORKER\" transcode --allow-playlists < ts.m3u8 > out.mp4", dir);

	ck_assert_msg(status == 1 && strstr(said, "a playlist (HLS)"), "%d: %s", status, said);
	free(said);
}
END_TEST

Suite *suite_playlists(void)
{
	Suite *s = suite_create("playlists");
	TCase *t = tcase_create("playlists");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_unchecked_fixture(t, setup, NULL);
	tcase_add_loop_test(t, playlist_that_is_a_file_gives_the_frames_of_the_original, 0, N_NAMES);
	tcase_add_loop_test(t, playlist_from_a_server_gives_the_frames_of_the_original, 0, N_NAMES);
	tcase_add_test(t, discontinuity_goes_on_without_a_gap);
	tcase_add_test(t, live_playlist_that_ends_gives_all_of_it_from_0_on);
	tcase_add_test(t, live_playlist_that_stalls_ends_with_what_was_made);
	tcase_add_test(t, part_that_is_missing_is_told_and_the_others_are_played);
	tcase_add_loop_test(t, playlist_against_the_rule_is_one_sentence_and_opens_nothing, 0, N_BAD);
	tcase_add_test(t, endless_playlist_is_not_read_for_ever);
	tcase_add_test(t, other_servers_are_allowed_by_name);
	tcase_add_test(t, what_is_no_server_is_wrong_use);
	tcase_add_test(t, playlist_of_unknown_place_is_refused);
	suite_add_tcase(s, t);
	return s;
}
