/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoders of libavcodec beside libx264, by the one that is on every machine: libavcodec's own libx264 (lavc_libx264; nv12_libx264
 * with frames of another format).
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/video_clip.h"
#include "worker/bits.h"
#include "worker/video_encoder.h"
#include "worker/video_encoder_choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define FFMPEG "ffmpeg -nostdin -v error -y -threads 1 "
#define SOURCE FFMPEG "-f lavfi -i testsrc2=s=320x180:r=25,noise=alls=6:allf=t -t 5 -c:v mpeg2video -bf 2 -g 12 -q:v 3 " \
	"-pix_fmt yuv420p -f mpegts \"$OUT\""
#define PICTURES FFMPEG "-i \"$M/encoder.ts\" -fps_mode passthrough -f rawvideo \"$OUT\" # " SOURCE
#define FRAMES 125
#define PIECE 25 /* frames */
#define LEAST 30.0 /* dB, of any picture */
#define N_OF(a) (int)(sizeof(a) / sizeof *(a))

static void open_source(struct clip *c, const char *encoder)
{
	clip_open(c, media_make("encoder.ts", SOURCE));
	snprintf(c->options.encoder, sizeof c->options.encoder, "%s", encoder);
	clip_look(c);
	ck_assert_int_eq(c->n_times, FRAMES);
}

static void set_fault(const char *what, int n)
{
	char text[32];

	snprintf(text, sizeof text, "%s:%d", what, n);
	setenv("SEGFARM_ENCODER_FAULT", text, 1);
}

static void use_software(struct clip *c)
{
	snprintf(c->facts.params.encoder, sizeof c->facts.params.encoder, RECORD_SOFTWARE);
}

/* pic_parameter_set_id of a sample's first slice: whose it is. */
static int set_of(const struct clip_made *m, int i)
{
	const uint8_t *nal = m->data.data + m->samples[i].at + 4;
	struct bits b = { nal + 1, m->samples[i].size - 5, 0, false };

	ck_assert_msg((nal[0] & 31) == 1 || (nal[0] & 31) == 5, "sample %d begins with no slice", i);
	bits_ue(&b);
	bits_ue(&b);
	return (int)bits_ue(&b);
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Every frame of the source, once, at its time, and looking like it. */
static void check_whole(const struct clip *c, const struct clip_made *m)
{
	static struct pictures ours, theirs;
	int64_t times[CLIP_PACKETS_MAX];
	struct psnr p;

	ck_assert_int_eq(m->n, FRAMES);
	for (int i = 0; i < m->n; i++)
		times[i] = m->samples[i].pts;
	qsort(times, (size_t)m->n, sizeof *times, by_time);
	for (int i = 0; i < m->n; i++)
		ck_assert_int_eq(times[i], c->times[i]);
	pictures_decode(&ours, c, m);
	pictures_read(&theirs, media_make("encoder.yuv", PICTURES), 320, 180);
	ck_assert_int_eq(ours.n, FRAMES);
	p = pictures_compare(&ours, &theirs);
	ck_assert_msg(p.worst >= LEAST, "picture %d has a PSNR of %.1f dB", p.worst_at, p.worst);
	for (int i = 0; i < ours.n; i++)
		ck_assert_int_eq(ours.pts[i], c->times[i]);
	pictures_finish(&ours);
	pictures_finish(&theirs);
}

static int64_t end_of(const struct clip *c, int piece)
{
	return (piece + 1) * PIECE < FRAMES ? c->times[(piece + 1) * PIECE] : VIDEO_OPEN_END;
}

/* ---- two encoders */

static const char *const encoders[] = { "lavc_libx264", "nv12_libx264" };

START_TEST(pieces_of_both_encoders_play_as_one)
{
	static struct clip c;
	static struct clip_made m;
	struct record_encode params;

	open_source(&c, encoders[_i]);
	params = c.facts.params;
	ck_assert_str_eq(params.encoder, encoders[_i]);
	for (int piece = 0; piece * PIECE < FRAMES; piece++) {
		int first = m.n;

		c.facts.params = params;
		if (piece % 2)
			use_software(&c);
		clip_make(&c, c.times[piece * PIECE], end_of(&c, piece), &m);
		ck_assert_int_eq(m.n, first + PIECE);
		for (int i = first; i < m.n; i++)
			ck_assert_int_eq(set_of(&m, i), piece % 2);
	}
	check_whole(&c, &m);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

/* The sets of an avcC record: how many, the largest of their ids. */
static void check_record(const struct nal_config *nal)
{
	const uint8_t *r = nal->record.data, *p = r + 6;
	int ids[2];
	char codecs[32];

	ck_assert_int_eq(r[5] & 31, 2);
	for (int i = 0; i < 2; i++, p += 2 + get_u16(p))
		ids[i] = (int)bits_ue(&(struct bits){ p + 6, get_u16(p) - 4, 0, false });
	ck_assert_int_eq(ids[0] + ids[1], 1);
	ck_assert_int_eq(*p++, 2);
	for (int i = 0; i < 2; i++, p += 2 + get_u16(p))
		ck_assert_int_eq((int)bits_ue(&(struct bits){ p + 3, get_u16(p) - 1, 0, false }), ids[i]);
	snprintf(codecs, sizeof codecs, "avc1.%02X%02X%02X", r[1], r[2], r[3]);
	ck_assert_str_eq(nal->codecs, codecs);
}

START_TEST(the_record_has_the_sets_of_both)
{
	static struct clip c;

	open_source(&c, "lavc_libx264");
	ck_assert_int_eq(c.facts.params.software_id, 1);
	ck_assert_int_ge(c.facts.nal.sps.reorder, 1); /* libx264's B-frames */
	check_record(&c.facts.nal);
	clip_close(&c);
}
END_TEST

/* Sets of the encoder as if it were of a higher level, or of a profile of its own. */
START_TEST(profile_and_level_are_the_higher_ones)
{
	static struct clip c;
	struct nal_config nal;
	struct err err = { 0 };
	struct buf sets = { 0 };
	uint8_t soft;

	open_source(&c, "lavc_libx264");
	ck_assert_int_eq(video_encoder_choose(&c.facts.params, &c.options, &sets, &err), 0);
	soft = sets.data[7];
	sets.data[7] = 51;
	ck_assert_int_eq(video_encoder_config(&nal, &c.facts.params, &c.options, buf_bytes(&sets), &err), 0);
	check_record(&nal);
	ck_assert_int_eq(nal.record.data[1], 100);
	ck_assert_int_eq(nal.record.data[3], 51);
	nal_config_finish(&nal);

	sets.data[7] = soft;
	c.options.preset = 0; /* ultrafast: libx264's is Constrained Baseline then */
	ck_assert_int_eq(video_encoder_config(&nal, &c.facts.params, &c.options, buf_bytes(&sets), &err), 0);
	check_record(&nal);
	ck_assert_int_eq(nal.record.data[1], 100);
	ck_assert_int_eq(nal.record.data[2], 0);
	ck_assert_int_eq(nal.sps.profile, 100);
	nal_config_finish(&nal);
	buf_finish(&sets);
	clip_close(&c);
}
END_TEST

START_TEST(libx264_has_no_other_sets_beside_it)
{
	static struct clip c;

	open_source(&c, RECORD_SOFTWARE);
	ck_assert_str_eq(c.facts.params.encoder, RECORD_SOFTWARE);
	ck_assert_str_eq(c.facts.params.sets, "");
	ck_assert_int_eq(c.facts.params.software_id, 0);
	ck_assert_int_eq(c.facts.nal.record.data[5] & 31, 1);
	clip_close(&c);
}
END_TEST

/* ---- failures */

static const int fails_at[] = { 1, 2, 12, PIECE };

START_TEST(an_encoder_that_fails_is_replaced_on_the_spot)
{
	static struct clip c;
	static struct clip_made m;
	int n[2] = { 0 };

	open_source(&c, "lavc_libx264");
	set_fault("fail", fails_at[_i]);
	for (int piece = 0; piece * PIECE < FRAMES; piece++)
		clip_make(&c, c.times[piece * PIECE], end_of(&c, piece), &m);
	check_whole(&c, &m);
	for (int i = 0; i < m.n; i++)
		n[set_of(&m, i)]++;
	ck_assert_int_gt(n[1], 0);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

/* The frames that had come out of it stay, whatever is in it comes from the other. */
START_TEST(what_came_out_before_the_failure_is_kept)
{
	static struct clip c;
	static struct clip_made m;
	int i = 0;

	open_source(&c, "lavc_libx264");
	set_fault("fail", FRAMES - 5);
	clip_make(&c, c.times[0], VIDEO_OPEN_END, &m);
	check_whole(&c, &m);
	while (i < m.n && set_of(&m, i) == 0)
		i++;
	ck_assert_int_gt(i, FRAMES / 4);
	ck_assert_int_lt(i, FRAMES - 5);
	ck_assert(m.samples[i].is_sync);
	for (; i < m.n; i++)
		ck_assert_int_eq(set_of(&m, i), 1);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(one_with_other_parameter_sets_is_not_used)
{
	static struct clip c;
	static struct clip_made m;

	open_source(&c, "lavc_libx264");
	strcpy(c.facts.params.sets, "0123456789abcdef");
	clip_make(&c, c.times[0], VIDEO_OPEN_END, &m);
	check_whole(&c, &m);
	for (int i = 0; i < m.n; i++)
		ck_assert_int_eq(set_of(&m, i), 1);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

/* As on a worker of another machine than the one that made the plan. */
START_TEST(one_that_is_not_here_is_not_used)
{
	static struct clip c;
	static struct clip_made m;

	open_source(&c, "lavc_libx264");
	strcpy(c.facts.params.encoder, "h264_elsewhere");
	clip_make(&c, c.times[0], VIDEO_OPEN_END, &m);
	check_whole(&c, &m);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

static int refuse(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	(void)pts, (void)is_sync, (void)data;
	++*(int *)arg;
	return err_set(err, ERR_STOPPED, "enough");
}

START_TEST(a_receiver_that_wants_no_more_is_no_failure)
{
	static struct clip c;
	struct video_stage *s;
	struct err err = { 0 };
	int n = 0, ret = 0;

	open_source(&c, "lavc_libx264");
	ck_assert_int_eq(video_stage_create(&s, &c.source, &c.facts.params, &c.options, c.times[0], VIDEO_OPEN_END, refuse, &n, &err), 0);
	for (int i = 0; i < c.n && !ret; i++)
		ret = video_stage_push(s, &c.packets[i], &err);
	ck_assert_int_eq(ret, ERR_STOPPED);
	ck_assert_int_eq(n, 1);
	video_stage_destroy(s);
	clip_close(&c);
}
END_TEST

/* ---- the choice */

static const struct choice {
	const char *names[3];
	int n;
	const char *fault, *expected;
} choices[] = {
	{ { "h264_nobody", "lavc_libx264", "nv12_libx264" }, 3, "none:0", "lavc_libx264" },
	{ { "h264_nobody", "libx264rgb", "nv12_libx264" }, 3, "none:0", "nv12_libx264" },
	{ { "h264_nobody" }, 1, "none:0", RECORD_SOFTWARE },
	{ { "lavc_libx264", "nv12_libx264" }, 2, "fail:5", RECORD_SOFTWARE },
	{ { "lavc_libx264", "nv12_libx264" }, 2, "crash:5", RECORD_SOFTWARE },
	{ { "lavc_libx264" }, 1, "hang:5", RECORD_SOFTWARE },
};

START_TEST(the_first_that_works_is_chosen_and_a_trial_takes_nothing_along)
{
	const struct choice *k = &choices[_i];
	static struct clip c;
	struct buf sets = { 0 };
	struct err err = { 0 };

	open_source(&c, RECORD_SOFTWARE);
	setenv("SEGFARM_ENCODER_FAULT", k->fault, 1);
	ck_assert_int_eq(video_encoder_choose_among(k->names, k->n, &c.facts.params, &c.options, &sets, &err), 0);
	ck_assert_str_eq(c.facts.params.encoder, k->expected);
	ck_assert_int_eq(sets.size > 0, strcmp(k->expected, RECORD_SOFTWARE) != 0);
	ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	buf_finish(&sets);
	clip_close(&c);
}
END_TEST

/* No process is started for it: it would crash now. */
START_TEST(an_answer_is_remembered)
{
	static const char *const names[] = { "lavc_libx264" };
	static struct clip c;
	struct buf sets = { 0 };
	struct err err = { 0 };

	open_source(&c, "lavc_libx264");
	set_fault("crash", 1);
	ck_assert_int_eq(video_encoder_choose(&c.facts.params, &c.options, &sets, &err), 0);
	ck_assert_uint_gt(sets.size, 0);
	/* of another size: asked, and after the crash, not for any */
	c.facts.params.width = 640;
	ck_assert_int_eq(video_encoder_choose(&c.facts.params, &c.options, &sets, &err), ERR_UNSUPPORTED);
	ck_assert_msg(strstr(err.msg, "crashes") && strstr(err.msg, "--encoder auto"), "%s", err.msg);
	unsetenv("SEGFARM_ENCODER_FAULT");
	c.facts.params.width = 720;
	ck_assert_int_eq(video_encoder_choose_among(names, 1, &c.facts.params, &c.options, &sets, &err), 0);
	ck_assert_str_eq(c.facts.params.encoder, RECORD_SOFTWARE);
	buf_finish(&sets);
	clip_close(&c);
}
END_TEST

static const struct {
	const char *encoder;
	int code;
	const char *says;
} refusals[] = { { "h264_nobody", ERR_USAGE, "--encoder takes auto, libx264" },
		 { "mpeg2video", ERR_USAGE, "no H.264 encoder 'mpeg2video'" },
		 { "libx264rgb", ERR_UNSUPPORTED, "libx264 always does" } };

START_TEST(one_that_cannot_be_used_is_an_error_with_the_way_out)
{
	static struct clip c;
	struct buf sets = { 0 };
	struct err err = { 0 };

	open_source(&c, RECORD_SOFTWARE);
	snprintf(c.options.encoder, sizeof c.options.encoder, "%s", refusals[_i].encoder);
	ck_assert_int_eq(video_encoder_choose(&c.facts.params, &c.options, &sets, &err), refusals[_i].code);
	ck_assert_msg(strstr(err.msg, refusals[_i].says) != NULL, "%s", err.msg);
	ck_assert_uint_eq(sets.size, 0);
	clip_close(&c);
}
END_TEST

static const char *const no_trials[] = { "x", "", "lavc_libx264:1:2", "lavc_libx264:-2:180:1:1:25:1:1:1:1:0:23000:2:0",
					 "lavc_libx264:320:180:1:1:25:1:1:1:1:0:23000:99:0" };

START_TEST(what_is_no_trial_is_refused)
{
	char *out;

	ck_assert_int_eq(sh_status(&out, "\"$WORKER\" try-encoder '%s'", no_trials[_i]), 1);
	ck_assert_msg(strstr(out, "this is no trial") != NULL, "%s", out);
	free(out);
}
END_TEST

Suite *suite_encoder(void)
{
	Suite *s = suite_create("worker/encoder");
	TCase *t = tcase_create("encoder");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, pieces_of_both_encoders_play_as_one, 0, N_OF(encoders));
	tcase_add_test(t, the_record_has_the_sets_of_both);
	tcase_add_test(t, profile_and_level_are_the_higher_ones);
	tcase_add_test(t, libx264_has_no_other_sets_beside_it);
	tcase_add_loop_test(t, an_encoder_that_fails_is_replaced_on_the_spot, 0, N_OF(fails_at));
	tcase_add_test(t, what_came_out_before_the_failure_is_kept);
	tcase_add_test(t, one_with_other_parameter_sets_is_not_used);
	tcase_add_test(t, one_that_is_not_here_is_not_used);
	tcase_add_test(t, a_receiver_that_wants_no_more_is_no_failure);
	tcase_add_loop_test(t, the_first_that_works_is_chosen_and_a_trial_takes_nothing_along, 0, N_OF(choices));
	tcase_add_test(t, an_answer_is_remembered);
	tcase_add_loop_test(t, one_that_cannot_be_used_is_an_error_with_the_way_out, 0, N_OF(refusals));
	tcase_add_loop_test(t, what_is_no_trial_is_refused, 0, N_OF(no_trials));
	suite_add_tcase(s, t);
	return s;
}
