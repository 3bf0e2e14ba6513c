/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hostile bytes for libavformat's demuxers behind ours: a sample of each container whole, cut at many points, with bytes flipped, and
 * with lengths that lie, from memory and through a pipe. What comes is frames in order or an error with a sentence; nothing hangs.
 */
#include <check.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/suites.h"
#include "tests/worker/mem.h"
#include "worker/title.h"

#define CUTS (getenv("SHORT") ? 12 : 60)
#define FLIPS (getenv("SHORT") ? 12 : 80)
#define FRAMES_MAX 20000

#define MADE(size, video, audio) FFMPEG "-f lavfi -i testsrc2=s=" size ":r=12 -f lavfi -i \"$A\" -t 2 " video "-g 12 -ac 2 " audio OUT

static const char *const samples[][2] = {
	{ "hostile-s.mp4", MADE("64x48", X264 "-bf 2 ", "-c:a aac -b:a 32k ") },
	{ "hostile-s-frag.mp4", MADE("64x48", X264, "-c:a aac -b:a 32k -movflags +frag_keyframe+empty_moov ") },
	{ "hostile-s.mov", MADE("64x48", "-c:v mpeg4 ", "-c:a pcm_s16le -ar 8000 ") },
	{ "hostile-s.ts", MADE("64x48", X264 "-bf 2 ", "-c:a aac -b:a 32k ") },
	{ "hostile-s-mp2.ts", MADE("64x48", "-c:v mpeg2video ", "-c:a mp2 -b:a 64k ") },
	{ "hostile-s.mpg", MADE("64x48", "-c:v mpeg2video -f mpeg ", "-c:a mp2 -b:a 64k ") },
	{ "hostile-s.avi", MADE("64x48", "-c:v mpeg4 ", "-c:a mp3 -b:a 32k ") },
	{ "hostile-s.flv", MADE("64x48", X264, "-c:a aac -b:a 32k ") },
	{ "hostile-s.webm", MADE("64x48", "-c:v libvpx -b:v 50k ", "-c:a libopus -b:a 32k ") },
	{ "hostile-s.ogg", MADE("64x48", "-c:v libtheora ", "-c:a libvorbis -f ogg ") },
	{ "hostile-s.wmv", MADE("64x48", "-c:v wmv2 ", "-c:a wmav2 -b:a 32k -ar 44100 ") },
};
#define N_SAMPLES (int)(sizeof samples / sizeof *samples)

static struct err err;

/* ---- a pass over everything */

static struct bytes rest;

static int64_t read_pipe(void *arg, uint8_t *to, size_t n, struct err *e)
{
	(void)arg, (void)e;
	n = n < rest.size ? n : rest.size;
	n = n < 700 ? n : 700;
	memcpy(to, rest.data, n);
	rest = (struct bytes){ rest.data + n, rest.size - n };
	return (int64_t)n;
}

static void open_as(struct input *in, struct bytes file, bool is_pipe)
{
	struct input_source source = { read_pipe, NULL, NULL, NULL };

	rest = file;
	if (is_pipe)
		input_init_source(in, &source, INT64_MAX);
	else
		input_init_bytes(in, file);
}

static void check_frame(struct demux *d, const struct frame *f, const char *what)
{
	struct buf scratch = { 0 };
	struct bytes data = { 0 };
	uint32_t sum = 0;
	int ret = demux_data(d, f, &scratch, &data, &err);

	ck_assert_msg(demux_track(d, f->track) && f->place >= 0 && f->size > 0 && f->duration_ns >= 0, "%s: a frame of track %llu", what,
		      (unsigned long long)f->track);
	ck_assert_msg(ret == 0 || ret == ERR_DATA || ret == ERR_LIMIT, "%s: %d", what, ret);
	for (size_t i = 0; !ret && i < data.size; i++)
		sum += data.data[i];
	ck_assert(sum != UINT32_MAX); /* it was read */
	buf_finish(&scratch);
}

/* Frames of the tracks that are played; *last: the place of the last key frame. */
static int count_frames(struct demux *d, int64_t place, int64_t *last, const char *what)
{
	int64_t ids[TRACKS_MAX + 1] = { 0 };
	struct frame f;
	int n = 0, ret = demux_seek(d, place, &err);

	while (!ret && (ret = demux_next(d, &f, &err)) == 1) {
		check_frame(d, &f, what);
		if (d->shift || f.lace_index) /* in files with times that lie, they may go back */
			ck_assert_msg(f.track > TRACKS_MAX || f.id >= ids[f.track], "%s: frame %d goes back", what, n);
		if (f.track <= TRACKS_MAX)
			ids[f.track] = f.id;
		if (f.is_key)
			*last = f.place;
		ck_assert_msg(++n < FRAMES_MAX, "%s: frames without an end", what);
		ret = 0;
	}
	ck_assert_msg(ret <= 0 && (!ret || (err.code == ret && err.msg[0])), "%s: %d %s", what, ret, err.msg);
	return n;
}

static int read_all(struct bytes file, bool is_pipe, bool is_encoded, const char *what)
{
	struct record_options options;
	struct demux *d = NULL;
	struct title title;
	struct input in;
	int64_t last = 0;
	int n = 0, ret;

	record_options_init(&options);
	options.is_video_encoded = is_encoded;
	open_as(&in, file, is_pipe);
	err = (struct err){ 0 };
	ret = demux_open(&d, &in, &err);
	if (!ret) {
		ret = title_init(&title, d, &options, &err);
		if (!ret) {
			n = count_frames(d, d->first, &last, what);
			if (!is_pipe && n)
				count_frames(d, last, &last, what);
			title_finish(&title);
		}
		demux_close(d);
	}
	ck_assert_msg(ret <= 0 && (!ret || (err.code == ret && err.msg[0])), "%s: %d %s", what, ret, err.msg);
	ck_assert_msg(ret != ERR_NOMEM, "%s: %s", what, err.msg);
	input_close(&in);
	return n;
}

/* ---- the claims */

static struct bytes load(int i)
{
	struct buf b = { 0 };
	struct bytes copy;

	av_log_set_level(AV_LOG_QUIET);
	craft_load(&b, media_make(samples[i][0], samples[i][1]));
	copy = mem_copy(b.data, b.size);
	buf_finish(&b);
	return copy;
}

/* On the first pass, too, when some of them wait from the looking for configurations. */
START_TEST(every_frame_comes_once)
{
	struct bytes file = load(_i);
	struct input in;
	struct demux *d;
	struct frame f, before[3] = { 0 };
	int n[2] = { 0 };

	open_as(&in, file, false);
	ck_assert_int_eq(demux_open(&d, &in, &err), 0);
	for (int pass = 0; pass < 2; pass++) {
		ck_assert_int_eq(demux_seek(d, d->first, &err), 0);
		memset(before, 0, sizeof before);
		for (; demux_next(d, &f, &err) == 1; n[pass]++) {
			ck_assert(f.track <= 2);
			ck_assert_msg(!before[f.track].track || f.id > before[f.track].id || f.lace_index, "%s: frame %d of pass %d again",
				      samples[_i][0], n[pass], pass);
			before[f.track] = f;
		}
	}
	ck_assert_int_gt(n[0], 40);
	ck_assert_int_eq(n[0], n[1]);
	demux_close(d);
	input_close(&in);
	mem_release();
}
END_TEST

/* Else a segment costs as much as all before it. */
START_TEST(reading_goes_on_at_the_place_of_a_key_frame)
{
	struct bytes file = load(_i);
	struct input in;
	struct demux *d;
	struct frame f, keys[64];
	int n = 0, near = 0;

	open_as(&in, file, false);
	ck_assert_int_eq(demux_open(&d, &in, &err), 0);
	ck_assert_int_eq(demux_seek(d, d->first, &err), 0);
	while (n < 64 && demux_next(d, &f, &err) == 1)
		if (f.is_key && demux_track(d, f.track)->type == TRACK_VIDEO)
			keys[n++] = f;
	ck_assert_int_ge(n, 2);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(demux_seek(d, keys[i].place, &err), 0);
		do
			ck_assert_int_eq(demux_next(d, &f, &err), 1);
		while (f.track != keys[i].track);
		near += f.id == keys[i].id;
		while (f.id != keys[i].id || f.track != keys[i].track)
			ck_assert_msg(demux_next(d, &f, &err) == 1, "%s: key frame %d is not met", samples[_i][0], i);
	}
	ck_assert_msg(near >= (strstr(".mp4 .mpg .wmv", strrchr(samples[_i][0], '.')) ? n - 1 : n), "%s: %d of %d", samples[_i][0],
		      near, n);
	demux_close(d);
	input_close(&in);
	mem_release();
}
END_TEST

START_TEST(cut_files_give_a_beginning_or_a_sentence)
{
	struct bytes file = load(_i);
	int whole = read_all(file, false, false, samples[_i][0]);

	ck_assert_int_gt(whole, 40);
	for (int k = 1; k < CUTS; k++) {
		size_t size = k < CUTS / 3 ? (size_t)k * 37 % 3000 : file.size * (size_t)k / (size_t)CUTS;
		struct bytes part = mem_copy(file.data, size < file.size ? size : file.size);
		char what[100];

		snprintf(what, sizeof what, "%s cut to %zu", samples[_i][0], size);
		ck_assert_int_le(read_all(part, k % 2, k % 4 > 1, what), whole);
	}
	mem_release();
}
END_TEST

static uint32_t random_state = 1;

static uint32_t next_random(void)
{
	return random_state = random_state * 1664525 + 1013904223;
}

/* Most of it in the head, where lengths and counts are. */
START_TEST(flipped_bytes_and_lengths_that_lie_give_frames_or_a_sentence)
{
	static const uint8_t lies[][4] = { { 0xff, 0xff, 0xff, 0xff }, { 0x7f, 0xff, 0xff, 0xff }, { 0 }, { 0x80, 0, 0, 0 }, { 0, 0, 0, 1 } };
	struct bytes file = load(_i);

	random_state = (uint32_t)_i;
	for (int k = 0; k < FLIPS; k++) {
		uint8_t *hurt = (uint8_t *)(uintptr_t)mem_copy(file.data, file.size).data;
		char what[100];

		for (int n = k % 7; n >= 0; n--) {
			size_t in = next_random() % 3 && file.size > 4000 ? (next_random() & 1 ? 2000 : file.size) : file.size;
			size_t from = in == 2000 && next_random() & 1 ? file.size - 2000 : 0; /* or the tail: a moov at the end */
			size_t at = from + (next_random() >> 8) % ((in == 2000 ? 2000 : file.size) - 4);

			if (next_random() & 0x100)
				memcpy(hurt + at, lies[(next_random() >> 8) % 5], 4);
			else
				hurt[at] ^= (uint8_t)(1 << (next_random() >> 8) % 8);
		}
		snprintf(what, sizeof what, "%s, change %d", samples[_i][0], k);
		read_all((struct bytes){ hurt, file.size }, k % 2, k % 4 > 1, what);
	}
	mem_release();
}
END_TEST

/* ---- sources without an end that hold nothing */

#define TIMES 10

static struct endless {
	struct bytes head;      /* a whole file */
	size_t intro;           /* its first bytes, without which it comes some times more */
	struct bytes packet;    /* then this one, again and again */
	int64_t n_read;
	int64_t stop_at;        /* bytes after which the caller wants no more */
} endless;

static int64_t read_endless(void *arg, uint8_t *to, size_t n, struct err *e)
{
	struct endless *s = arg;

	(void)e;
	n = n < 10000 ? n : 10000;
	for (size_t i = 0; i < n; i++, s->n_read++) {
		size_t at = (size_t)s->n_read, body = s->head.size - s->intro;

		if (at < s->intro)
			to[i] = s->head.data[at];
		else if (at < s->intro + TIMES * body)
			to[i] = s->head.data[s->intro + (at - s->intro) % body];
		else
			to[i] = s->packet.data[(at - s->intro - TIMES * body) % s->packet.size];
	}
	return (int64_t)n;
}

static int is_enough(void *arg)
{
	const struct endless *s = arg;

	return s->n_read > s->stop_at;
}

/* All frames up to the end, whatever it is. */
static int read_endlessly(int sample, size_t intro, struct bytes packet, int64_t stop_at)
{
	struct input_source source = { read_endless, NULL, NULL, &endless };
	struct demux *d;
	struct input in;
	struct frame f;
	int ret, n = 0;

	endless = (struct endless){ .head = load(sample), .intro = intro, .packet = packet, .stop_at = stop_at };
	input_init_source(&in, &source, INT64_MAX);
	in.is_stopped = is_enough;
	in.arg = &endless;
	ck_assert_int_eq(demux_open(&d, &in, &err), 0);
	ck_assert_int_eq(demux_seek(d, d->first, &err), 0);
	while ((ret = demux_next(d, &f, &err)) == 1)
		ck_assert_int_lt(n++, FRAMES_MAX);
	ck_assert_int_gt(n, 40);
	demux_close(d);
	input_close(&in);
	mem_release();
	return ret;
}

/* Of no program: libavformat does not give them out. */
START_TEST(packets_of_nobody_without_an_end_can_be_stopped)
{
	static const uint8_t packet[188] = { 0x47, 0x1f, 0xf0, 0x10 };

	ck_assert_int_eq(read_endlessly(3, 0, (struct bytes){ packet, sizeof packet }, INT64_C(30) << 20), ERR_STOPPED);
	ck_assert_int_lt(endless.n_read, INT64_C(31) << 20);
}
END_TEST

/* FLV in which a second video begins when the tracks are known: it is none of them. */
static const uint8_t late[] = { 9, 0, 0, 12, 0, 0, 1, 0, 0, 0, 0, 0x12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 23 };
#define FLV 7

START_TEST(packets_that_are_not_wanted_can_be_stopped)
{
	ck_assert_int_eq(read_endlessly(FLV, 13, (struct bytes){ late, sizeof late }, 10 << 20), ERR_STOPPED);
	ck_assert_int_lt(endless.n_read, 11 << 20);
}
END_TEST

START_TEST(packets_that_are_not_wanted_are_not_read_for_ever)
{
	ck_assert_int_eq(read_endlessly(FLV, 13, (struct bytes){ late, sizeof late }, INT64_MAX), ERR_LIMIT);
	ck_assert_msg(strstr(err.msg, "packets in a row hold nothing that can be played"), "%s", err.msg);
}
END_TEST

Suite *suite_av_hostile(void)
{
	Suite *s = suite_create("av_hostile");
	TCase *t = tcase_create("av_hostile");

	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, every_frame_comes_once, 0, N_SAMPLES);
	tcase_add_loop_test(t, reading_goes_on_at_the_place_of_a_key_frame, 0, N_SAMPLES);
	tcase_add_loop_test(t, cut_files_give_a_beginning_or_a_sentence, 0, N_SAMPLES);
	tcase_add_loop_test(t, flipped_bytes_and_lengths_that_lie_give_frames_or_a_sentence, 0, N_SAMPLES);
	suite_add_tcase(s, t);
	t = tcase_create("endless");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, packets_of_nobody_without_an_end_can_be_stopped);
	tcase_add_test(t, packets_that_are_not_wanted_can_be_stopped);
	tcase_add_test(t, packets_that_are_not_wanted_are_not_read_for_ever);
	suite_add_tcase(s, t);
	return s;
}
