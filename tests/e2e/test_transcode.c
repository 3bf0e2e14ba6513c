/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * segfarm-worker transcode, as its users run it: the stream is the title, wherever it starts and ends, and whatever becomes
 * of its input, its reader and itself.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/craft.h"
#include "tests/e2e/hls.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define PICTURE(rate) "-f lavfi -i testsrc2=size=320x180:rate=" rate " "
#define SOUND "-f lavfi -i \"$A\" "
#define X264 "-c:v libx264 -preset ultrafast -g 48 "
#define AC3 "-c:a ac3 -b:a 384k "
#define PLAIN FFMPEG PICTURE("24") SOUND "-t 15 " X264 "-bf 3 " AC3

static const struct sample {
	const char *name, *recipe;
} samples[] = {
	{ "stream-plain.mkv", PLAIN "\"$OUT\"" },
	{ "stream-no-cues.mkv", PLAIN "-f matroska - | cat > \"$OUT\"" },
	{ "stream-open.mkv",
	  FFMPEG PICTURE("24000/1001") SOUND "-t 15 -c:v libx264 -preset veryfast "
	  "-x264-params open-gop=1:keyint=48:min-keyint=48:bframes=3:b-adapt=0:scenecut=0 " AC3 "\"$OUT\"" },
	{ "stream-opus.mkv", FFMPEG PICTURE("30") SOUND "-t 15 " X264 "-bf 2 -c:a libopus -b:a 128k -ac 2 \"$OUT\"" },
	{ "stream-aac.mkv", FFMPEG PICTURE("25") SOUND "-t 15 " X264 "-c:a aac -ac 2 -ar 44100 \"$OUT\"" },
	{ "stream-hevc.mkv",
	  FFMPEG PICTURE("24") SOUND "-t 15 -c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=48:open-gop=1:bframes=3 "
	  AC3 "\"$OUT\"" },
	{ "stream-vfr.mkv",
	  FFMPEG "-f lavfi -i \"testsrc2=size=320x180:rate=50,settb=1/1000,select='not(eq(mod(n,5),2))*not(eq(mod(n,7),3))',"
	  "setpts=PTS+7*mod(N\\,2)\" " SOUND "-t 15 -enc_time_base 1/1000 -fps_mode passthrough " X264 "-bf 3 " AC3 "\"$OUT\"" },
	{ "stream-late-sound.mkv", PLAIN "-af adelay=1 -bsf:a setts=ts=TS+1700 \"$OUT\"" },
	{ "stream-silent.mkv", FFMPEG PICTURE("25") "-t 15 " X264 "-bf 3 -b_strategy 0 \"$OUT\"" },
	{ "stream-blind.mkv", FFMPEG SOUND "-t 15 " AC3 "\"$OUT\"" },
};
#define N_SAMPLES (int)(sizeof samples / sizeof *samples)
#define N_BOTH 8 /* that have both tracks */

/* The file it writes; lives until the next call with this number. */
static const char *transcode(int number, const char *options, const char *source)
{
	static char paths[4][600];

	snprintf(paths[number], sizeof paths[number], "%s/stream-%d.mp4", sh_scratch(), number);
	free(sh("\"$WORKER\" transcode %s '%s' > '%s'", options, source, paths[number]));
	return paths[number];
}

static void check_no_warning(const char *path)
{
	char *said = sh("ffprobe -v warning -show_packets '%s' 2>&1 > /dev/null", path);

	ck_assert_msg(!*said, "ffprobe of %s says %s", path, said);
	free(said);
}

static void check_same(const struct hls_sample *a, const struct hls_sample *b, const char *what, size_t i)
{
	ck_assert_msg(a->dts == b->dts, "%s: frame %zu at %lld, not %lld", what, i, (long long)a->dts, (long long)b->dts);
	ck_assert_msg(a->data.size == b->data.size && !memcmp(a->data.data, b->data.data, a->data.size), "%s: frame %zu is another one",
		      what, i);
}

static void check_same_audio(const struct hls *a, const struct hls *b, const char *what)
{
	const struct hls_track *x = hls_audio(a), *y = hls_audio(b);

	ck_assert_msg(x->n_samples == y->n_samples, "%s: %zu frames, not %zu", what, x->n_samples, y->n_samples);
	for (size_t i = 0; i < x->n_samples; i++)
		check_same(&x->samples[i], &y->samples[i], what, i);
}

/* Item 5; rows 2, 5-11, 19 of the defects. */
START_TEST(stream_of_a_made_sample_is_the_sample)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe), *path = transcode(0, "", source);
	struct hls h, segments;

	check_no_warning(path);
	hls_load_stream(&h, path);
	hls_check_stream(&h);
	hls_make(&segments, source, "-j 2 --segment-duration 4");
	if (hls_video(&h)) {
		hls_check_video(&h, source);
		ck_assert_int_eq(hls_video(&h)->n_samples, hls_video(&segments)->n_samples);
	}
	if (hls_audio(&h)) {
		ck_assert_int_eq(hls_audio_lag(&h, source), 0);
		check_same_audio(&h, &segments, s->name);
	}
	hls_free(&segments);
	hls_free(&h);
}
END_TEST

START_TEST(stream_of_a_real_file_is_the_file)
{
	static const char *const names[] = { "hls-vod__bun33s.mkv", "variant__v_audio_late.mkv", "variant__v_zlib.mkv",
					     "variant__v_hdrstrip.mkv", "variant__v_live.mkv", "hdr10plus_tool__regular.mkv" };
	const char *dir = media_real_dir(), *path;
	struct hls h;
	char source[600];

	if (!dir) {
		fprintf(stderr, "skipped: there is no directory of real media\n");
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(source, sizeof source, "%s/%s", dir, names[i]);
		path = transcode(0, "", source);
		check_no_warning(path);
		hls_load_stream(&h, path);
		hls_check_video(&h, source);
		if (hls_audio(&h))
			ck_assert_int_eq(hls_audio_lag(&h, source), 0);
		hls_free(&h);
	}
}
END_TEST

/* ---- starts and ends */

static int64_t shown(const struct hls_track *t, size_t i)
{
	return t->samples[i].dts + t->samples[i].cts - t->edit_media_time;
}

/* The part is the whole from its first sample on: same bytes, same times. Returns the number of its first sample. */
static size_t check_part(const struct hls_track *part, const struct hls_track *whole, bool is_to_end, const char *what)
{
	size_t at = 0;

	while (at < whole->n_samples && (shown(whole, at) != shown(part, 0) || whole->samples[at].data.size != part->samples[0].data.size))
		at++;
	ck_assert_msg(at + part->n_samples <= whole->n_samples, "%s: %zu samples from %zu on, of %zu", what, part->n_samples, at,
		      whole->n_samples);
	ck_assert_msg(!is_to_end || whole->is_video || at + part->n_samples == whole->n_samples, "%s: ends early", what);
	return at;
}

/* Audio frame by frame; of the video, leading pictures of the first sync sample are not in the part. */
static void check_parts(const struct hls *part, const struct hls *whole, bool is_to_end, const char *what)
{
	const struct hls_track *v = hls_video(part), *vw = hls_video(whole), *a = hls_audio(part), *aw = hls_audio(whole);
	size_t at = check_part(a, aw, is_to_end, what), n = 0;

	for (size_t i = 0; i < a->n_samples; i++)
		check_same(&a->samples[i], &aw->samples[at + i], what, i);
	at = check_part(v, vw, is_to_end, what);
	ck_assert_msg(v->samples[0].is_sync, "%s: begins without a sync sample", what);
	for (size_t i = at; i < vw->n_samples && n < v->n_samples; i++) {
		if (shown(vw, i) < shown(v, 0))
			continue;
		ck_assert_msg(shown(vw, i) == shown(v, n) && vw->samples[i].is_sync == v->samples[n].is_sync &&
				      vw->samples[i].data.size == v->samples[n].data.size &&
				      !memcmp(vw->samples[i].data.data, v->samples[n].data.data, v->samples[n].data.size),
			      "%s: video frame %zu is another one, or at another time", what, n);
		n++;
	}
	ck_assert_uint_eq(n, v->n_samples);
}

/* Row 4: both tracks at one place, that of the title. */
static void check_start(const struct hls *h, double from, double to, const char *what)
{
	const struct hls_track *v = hls_video(h), *a = hls_audio(h);
	int64_t begins = shown(v, 0);

	ck_assert_msg(begins >= from * 90000 && begins <= to * 90000, "%s: begins at %lld", what, (long long)begins);
	ck_assert_msg(a->samples[0].dts * 90000 <= begins * a->timescale &&
			      (a->samples[0].dts + a->samples[0].duration) * 90000 > begins * a->timescale,
		      "%s: video begins at %lld/90000, audio at %lld/%u", what, (long long)begins, (long long)a->samples[0].dts,
		      a->timescale);
}

START_TEST(stream_that_starts_later_is_the_end_of_the_whole)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls whole, part;
	char options[60];

	hls_load_stream(&whole, transcode(0, "", source));
	for (double at = 0.5; at < 15; at += 2.7) {
		snprintf(options, sizeof options, "--start %.3f", at);
		hls_load_stream(&part, transcode(1, options, source));
		hls_check_stream(&part);
		check_no_warning(transcode(1, options, source));
		check_start(&part, at < 2.1 ? 0 : at - 2.1, at, s->name);
		check_parts(&part, &whole, true, s->name);
		hls_free(&part);
	}
	hls_free(&whole);
}
END_TEST

START_TEST(max_duration_ends_both_tracks_together)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls whole, part;
	char options[60];

	hls_load_stream(&whole, transcode(0, "", source));
	for (double wanted = 0.7; wanted < 12; wanted += 3.3) {
		const struct hls_track *v, *a;
		int64_t video_end = 0, audio_end;
		double begins;

		snprintf(options, sizeof options, "--start 3 --max-duration %.3f", wanted);
		hls_load_stream(&part, transcode(1, options, source));
		hls_check_stream(&part);
		check_parts(&part, &whole, false, s->name);
		v = hls_video(&part);
		a = hls_audio(&part);
		begins = (double)shown(v, 0) / 90000;
		for (size_t i = 0; i < v->n_samples; i++)
			if (shown(v, i) + 1 > video_end)
				video_end = shown(v, i) + 1;
		audio_end = a->samples[a->n_samples - 1].dts + a->samples[a->n_samples - 1].duration;
		/* a frame of reference may lie behind the end, and up to three frames that are needed for it */
		if (begins + wanted < 14.5)
			ck_assert_msg((double)video_end / 90000 > begins + wanted - 0.1 && (double)video_end / 90000 < begins + wanted + 0.3,
				      "%s: %f s from %f end at %lld", s->name, wanted, begins, (long long)video_end);
		ck_assert_msg(llabs(audio_end * 90000 / a->timescale - video_end) < 9000, "%s: audio ends at %lld/%u, video at %lld", s->name,
			      (long long)audio_end, a->timescale, (long long)video_end);
		hls_free(&part);
	}
	hls_free(&whole);
}
END_TEST

START_TEST(start_behind_the_end_is_an_error)
{
	const char *source = media_make(samples[0].name, samples[0].recipe);
	char *said;

	ck_assert_int_eq(sh_status(&said, "\"$WORKER\" transcode --start 16 '%s' > %s/none", source, sh_scratch()), 2);
	ck_assert_msg(strstr(said, "the title has ended before second 16") && bg_count(said, "\n") == 1, "%s", said);
	free(said);
	ck_assert_int_eq(sh_status(&said, "cat '%s' | \"$WORKER\" transcode --start 16 > %s/none", source, sh_scratch()), 2);
	ck_assert_msg(strstr(said, "the title has ended before second 16"), "%s", said);
	free(said);
	ck_assert_int_eq(sh_status(NULL, "\"$WORKER\" transcode --start -1 '%s' > %s/none", source, sh_scratch()), 2);
	ck_assert_int_eq(sh_status(NULL, "\"$WORKER\" transcode --max-duration 0 '%s' > %s/none", source, sh_scratch()), 2);
}
END_TEST

/* ---- inputs */

START_TEST(pipe_gives_the_bytes_of_the_file)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe), *path = transcode(0, "", source);

	free(sh("cat '%s' | \"$WORKER\" transcode - | cmp - '%s'", source, path));
	free(sh("\"$WORKER\" transcode < '%s' | cmp - '%s'", source, path));
	free(sh("mkfifo '%s/fifo' && { cat '%s' > '%s/fifo' & } && \"$WORKER\" transcode '%s/fifo' | cmp - '%s'; rm '%s/fifo'", sh_scratch(),
		source, sh_scratch(), sh_scratch(), path, sh_scratch()));
}
END_TEST

/* Of a source that gives five seconds and then no more, without an end. */
START_TEST(fragments_come_before_the_rest_of_the_source)
{
	const char *source = media_make(samples[0].name, samples[0].recipe);
	struct stat in, out = { 0 };
	char path[100], *boxes;
	struct bg b;

	bg_open(&b);
	ck_assert_int_eq(stat(source, &in), 0);
	snprintf(path, sizeof path, "%s/out.mp4", b.dir);
	free(sh("mkfifo %s/in && { { head -c %lld '%s'; sleep 300; } > %s/in & } 2> /dev/null > /dev/null", b.dir,
		(long long)in.st_size / 3, source, b.dir));
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s'", b.dir, path);
	bg_wait_until(!stat(path, &out) && out.st_size > in.st_size / 15, "nothing comes");
	boxes = sh("grep -obUaP 'moof|mdat' %s | head -n 2 | sed 's/.*://' | tr '\\n' ' '", path);
	ck_assert_str_eq(boxes, "moof mdat ");
	free(boxes);
	ck_assert_int_eq(kill(b.pid, SIGTERM), 0); /* it is there, and waits for more */
	ck_assert_int_eq(bg_wait(&b), 128 + SIGTERM);
	bg_close(&b);
}
END_TEST

START_TEST(pipe_starts_at_the_first_key_frame_behind)
{
	const struct sample *s = &samples[_i];
	const char *source = media_make(s->name, s->recipe);
	struct hls whole, part;
	char path[600];

	snprintf(path, sizeof path, "%s/part.mp4", sh_scratch());
	hls_load_stream(&whole, transcode(0, "", source));
	free(sh("cat '%s' | \"$WORKER\" transcode --start 5 > '%s'", source, path));
	check_no_warning(path);
	hls_load_stream(&part, path);
	hls_check_stream(&part);
	check_start(&part, 5, 7.1, s->name);
	check_parts(&part, &whole, true, s->name);
	hls_free(&part);
	hls_free(&whole);
}
END_TEST

/* Rows 28 and 30: memory. A looped input of half an hour (SHORT: five minutes). */
static long resident_kib(pid_t pid)
{
	char path[40], line[200];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = atol(line + 6);
	if (f)
		fclose(f);
	return kib;
}

static const char *loop_source(void)
{
	return media_make("stream-loop.mkv", FFMPEG PICTURE("24") SOUND "-t 20 " X264 "-b:v 2M -bf 3 -c:a aac -ac 2 \"$OUT\"");
}

/* Runs the pipeline of the shell; its first line on `out` is the worker's process id. */
static FILE *start_loop(const char *options, int seconds, pid_t *pid)
{
	char *command;
	int got;
	FILE *f;

	got = asprintf(&command, "ffmpeg -nostdin -v quiet -stream_loop -1 -i '%s' -t %d -c copy -f matroska - | "
				 "sh -c 'echo $$ && exec \"$WORKER\" transcode %s - 2>%s/loop-log'",
		       loop_source(), seconds, options, sh_scratch());
	ck_assert_int_gt(got, 0);
	free(sh("true")); /* sets WORKER */
	f = popen(command, "r");
	free(command);
	ck_assert_ptr_nonnull(f);
	setvbuf(f, NULL, _IONBF, 0);
	ck_assert_int_eq(fscanf(f, "%d", &got), 1);
	ck_assert_int_eq(fgetc(f), '\n');
	*pid = got;
	return f;
}

/* What is there; 0: it has ended. Not by fread(), which waits until all of data is full. */
static size_t read_some(FILE *f, char *data, size_t size)
{
	ssize_t n = read(fileno(f), data, size);

	ck_assert_int_ge(n, 0);
	return (size_t)n;
}

START_TEST(memory_stays_flat_over_a_long_input)
{
	int seconds = getenv("SHORT") ? 300 : 1800;
	int64_t expected = 0, bytes = 0;
	long third = 0, most = 0;
	static char data[65536];
	struct stat st;
	size_t n;
	pid_t pid;
	FILE *f = start_loop("", seconds, &pid);

	ck_assert_int_eq(stat(loop_source(), &st), 0);
	expected = st.st_size * seconds / 20;
	for (int i = 0; (n = read_some(f, data, sizeof data)) > 0; i++) {
		bytes += (int64_t)n;
		if (i % 64)
			continue;
		most = resident_kib(pid) > most ? resident_kib(pid) : most;
		if (bytes < expected / 3)
			third = most;
	}
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_msg(bytes > expected * 9 / 10, "%lld bytes of about %lld", (long long)bytes, (long long)expected);
	fprintf(stderr, "%d s of input: %ld KiB after a third, %ld KiB at most\n", seconds, third, most);
	ck_assert_msg(third > 1000 && most < third + 8192, "%ld KiB after a third, then up to %ld", third, most);
}
END_TEST

static int64_t bytes_read_by(pid_t pid)
{
	char *text = sh("cat /proc/%d/io", (int)pid), *at = strstr(text, "rchar: ");
	int64_t n = at ? atoll(at + 7) : -1;

	free(text);
	return n;
}

/* Until it does nothing any more. */
static void wait_until_stalled(pid_t pid)
{
	int64_t last = -1, now;
	int still = 0;

	bg_wait_until((now = bytes_read_by(pid), still = now == last ? still + 1 : 0, last = now, bg_sleep(20), still > 25),
		      "it goes on although nobody reads");
}

START_TEST(reader_that_stalls_makes_it_wait)
{
	int64_t bytes = 0;
	char data[4096];
	size_t n;
	pid_t pid;
	FILE *f = start_loop("", 300, &pid);
	char path[600], *said;
	FILE *out;

	snprintf(path, sizeof path, "%s/stalled.mp4", sh_scratch());
	out = fopen(path, "w");
	while (bytes < 100000 && (n = read_some(f, data, sizeof data)) > 0) {
		bytes += (int64_t)n;
		fwrite(data, 1, n, out);
	}
	wait_until_stalled(pid);
	ck_assert_msg(resident_kib(pid) < 100 << 10, "%ld KiB while nobody reads", resident_kib(pid));
	while ((n = read_some(f, data, sizeof data)) > 0)
		fwrite(data, 1, n, out);
	fclose(out);
	ck_assert_int_eq(pclose(f), 0);
	check_no_warning(path);
	said = sh("cat %s/loop-log; ffprobe -v error -show_entries format=duration -of csv=p=0 '%s'", sh_scratch(), path);
	ck_assert_msg(strstr(said, ": 719") && strstr(said, " video frames"), "%s", said);
	free(said);
}
END_TEST

/* ---- ends */

START_TEST(reader_that_goes_away_ends_it_quietly)
{
	char *said;
	char data[4096];
	pid_t pid;
	FILE *f = start_loop("", 100000, &pid);

	ck_assert_uint_eq(fread(data, 1, sizeof data, f), sizeof data);
	pclose(f);
	bg_wait_until(kill(pid, 0), "it is still there");
	said = sh("cat %s/loop-log", sh_scratch());
	ck_assert_msg(bg_count(said, "\n") == 1 && strstr(said, " fragments, ") && strstr(said, "; the reader has gone away\n"), "%s", said);
	free(said);
	said = sh("{ \"$WORKER\" transcode '%s' 2>&3; echo status $? >&3; } 3>&2 | head -c 1000 > /dev/null", loop_source());
	ck_assert_msg(strstr(said, "status 0"), "%s", said);
	free(said);
}
END_TEST

START_TEST(signal_ends_it_after_a_whole_fragment)
{
	struct bg b;
	char *said, path[100];
	struct stat st = { 0 };

	bg_open(&b);
	snprintf(path, sizeof path, "%s/out.mp4", b.dir);
	free(sh("mkfifo %s/in", b.dir));
	free(sh("ffmpeg -nostdin -v quiet -stream_loop -1 -i '%s' -c copy -f matroska -y %s/in > /dev/null 2>&1 &", loop_source(), b.dir));
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s'", b.dir, path);
	bg_wait_until(!stat(path, &st) && st.st_size > 1000000, "nothing comes");
	kill(b.pid, SIGTERM);
	ck_assert_int_eq(bg_wait(&b), 128 + SIGTERM);
	said = bg_log(&b);
	ck_assert_msg(bg_count(said, "\n") == 1 && strstr(said, "; ended by a signal\n"), "%s", said);
	free(said);
	check_no_warning(path);
	bg_close(&b);
}
END_TEST

START_TEST(signal_ends_it_although_nothing_comes_in_and_nobody_reads)
{
	struct bg b;

	bg_open(&b);
	free(sh("mkfifo %s/in %s/out", b.dir, b.dir));
	free(sh("sleep 300 > %s/in 2> /dev/null & sleep 300 < %s/out 2> /dev/null &", b.dir, b.dir));
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s/out'", b.dir, b.dir);
	bg_wait_until(bg_find(&b, "transcode", NULL, NULL, 0) > 0 && !kill(b.pid, 0), "it does not start");
	bg_sleep(200);
	kill(b.pid, SIGINT);
	ck_assert_int_eq(bg_wait(&b), 128 + SIGINT);
	bg_start(&b, "sh -c 'exec \"$WORKER\" transcode \"%s\" > %s/out'", loop_source(), b.dir);
	wait_until_stalled(b.pid);
	kill(b.pid, SIGTERM);
	ck_assert_int_eq(bg_wait(&b), 1); /* not even a whole fragment */
	bg_close(&b);
}
END_TEST

START_TEST(signal_ends_it_while_it_waits_for_its_input_to_open)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a server that never answers */
	socklen_t size = sizeof at;
	struct bg b;
	char *said;

	ck_assert(!bind(fd, (struct sockaddr *)&at, size) && !listen(fd, 4) && !getsockname(fd, (struct sockaddr *)&at, &size));
	bg_open(&b);
	free(sh("mkfifo %s/in", b.dir));
	for (int i = 0; i < 2; i++) {
		if (i)
			bg_start(&b, "sh -c 'exec \"$WORKER\" transcode http://127.0.0.1:%d/film.mkv > %s/out'", ntohs(at.sin_port), b.dir);
		else
			bg_start(&b, "sh -c 'exec \"$WORKER\" transcode %s/in > %s/out'", b.dir, b.dir);
		bg_wait_until(bg_find(&b, "transcode", NULL, NULL, 0) > 0 && !kill(b.pid, 0), "it does not start");
		bg_sleep(200);
		kill(b.pid, SIGINT);
		ck_assert_int_eq(bg_wait(&b), 128 + SIGINT);
		said = bg_log(&b);
		ck_assert_msg(bg_count(said, "\n") == 0, "%s", said);
		free(said);
	}
	close(fd);
	bg_close(&b);
}
END_TEST

/* As their maker has set them for himself. */
static int open_waiting(const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* both ends: neither waits for another */

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(pipes_that_do_not_block_are_waited_for)
{
	char in[100], out[100], *said;
	int fds[2];
	pid_t pid;

	snprintf(in, sizeof in, "%s/in", sh_scratch());
	snprintf(out, sizeof out, "%s/out", sh_scratch());
	ck_assert(!mkfifo(in, 0600) && !mkfifo(out, 0600));
	fds[0] = open_waiting(in);
	fds[1] = open_waiting(out);
	pid = fork();
	if (!pid) {
		dup2(fds[0], STDIN_FILENO);
		dup2(fds[1], STDOUT_FILENO);
		execl(getenv("WORKER"), "segfarm-worker", "transcode", NULL);
		_exit(127);
	}
	said = sh("exec 3< %s; sleep 0.2; head -c 1000000 '%s' > %s & sleep 0.5; exec 3< %s; head -c 500000 <&3 > %s/got; "
		  "\"$WORKER\" transcode '%s' 2> /dev/null | head -c 500000 | cmp - %s/got && echo same",
		  out, loop_source(), in, out, sh_scratch(), loop_source(), sh_scratch());
	ck_assert_msg(strstr(said, "same\n"), "%s", said);
	free(said);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0); /* and it waits on */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* ---- broken inputs: row 30 */

static void check_refused(const char *input, int status, const char *says)
{
	char *said;

	ck_assert_int_eq(sh_status(&said, "%s\"$WORKER\" transcode %s > %s/none; s=$?; test ! -s %s/none || echo bytes; exit $s",
				   strchr(input, '|') ? input : "", strchr(input, '|') ? "" : input, sh_scratch(), sh_scratch()),
			 status);
	ck_assert_msg(strstr(said, says) && bg_count(said, "\n") == 1, "%s: %s", input, said);
	free(said);
}

START_TEST(what_cannot_be_played_is_refused_with_a_sentence)
{
	check_refused("/nowhere/film.mkv", 2, "/nowhere/film.mkv: there is no such file");
	check_refused("/", 2, "/ is a directory");
	check_refused("/dev/null", 1, "/dev/null: this is no media file of a kind that is known");
	check_refused("ftp://host/film.mkv", 2, "there is no such file");
	check_refused("concat:/etc/passwd", 2, "there is no such file");
	check_refused("http://127.0.0.1:1/film.mkv", 1, "http://127.0.0.1:1/film.mkv: ");
	check_refused("head -c 5000 /dev/zero |", 1, "standard input: this is no media file of a kind that is known");
}
END_TEST

START_TEST(truncated_and_damaged_inputs_give_what_is_there)
{
	const char *source = media_make(samples[0].name, samples[0].recipe);
	char *said, path[600];
	struct hls h;
	struct stat st;

	ck_assert_int_eq(stat(source, &st), 0);
	snprintf(path, sizeof path, "%s/out.mp4", sh_scratch());
	for (int i = 1; i < 8; i++) {
		said = sh("head -c %lld '%s' | \"$WORKER\" transcode > '%s'", (long long)st.st_size * i / 8, source, path);
		ck_assert_msg(strstr(said, " fragments, "), "%s", said);
		free(said);
		check_no_warning(path);
		hls_load_stream(&h, path);
		hls_check_stream(&h);
		ck_assert_uint_gt(hls_video(&h)->n_samples, (size_t)(360 * (i - 1) / 8));
		hls_free(&h);
	}
	free(sh("cp '%s' %s/hurt.mkv && chmod +w %s/hurt.mkv && head -c 60000 /dev/urandom | "
		"dd of=%s/hurt.mkv bs=1 seek=%lld conv=notrunc status=none",
		source, sh_scratch(), sh_scratch(), sh_scratch(), (long long)st.st_size / 2));
	said = sh("\"$WORKER\" transcode %s/hurt.mkv > '%s'", sh_scratch(), path);
	ck_assert_msg(strstr(said, "left out: ") && strstr(said, " damaged bytes"), "%s", said);
	free(said);
	hls_load_stream(&h, path);
	ck_assert_uint_gt(hls_video(&h)->n_samples, 200);
	hls_free(&h);
}
END_TEST

Suite *suite_transcode(void)
{
	Suite *s = suite_create("transcode");
	TCase *t = tcase_create("transcode");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, stream_of_a_made_sample_is_the_sample, 0, N_SAMPLES);
	tcase_add_test(t, stream_of_a_real_file_is_the_file);
	tcase_add_loop_test(t, stream_that_starts_later_is_the_end_of_the_whole, 0, N_BOTH);
	tcase_add_loop_test(t, max_duration_ends_both_tracks_together, 0, N_BOTH);
	tcase_add_test(t, start_behind_the_end_is_an_error);
	tcase_add_loop_test(t, pipe_gives_the_bytes_of_the_file, 0, N_SAMPLES);
	tcase_add_test(t, fragments_come_before_the_rest_of_the_source);
	tcase_add_loop_test(t, pipe_starts_at_the_first_key_frame_behind, 0, N_BOTH);
	tcase_add_test(t, memory_stays_flat_over_a_long_input);
	tcase_add_test(t, reader_that_stalls_makes_it_wait);
	tcase_add_test(t, reader_that_goes_away_ends_it_quietly);
	tcase_add_test(t, signal_ends_it_after_a_whole_fragment);
	tcase_add_test(t, signal_ends_it_although_nothing_comes_in_and_nobody_reads);
	tcase_add_test(t, signal_ends_it_while_it_waits_for_its_input_to_open);
	tcase_add_test(t, pipes_that_do_not_block_are_waited_for);
	tcase_add_test(t, what_cannot_be_played_is_refused_with_a_sentence);
	tcase_add_test(t, truncated_and_damaged_inputs_give_what_is_there);
	suite_add_tcase(s, t);
	return s;
}
