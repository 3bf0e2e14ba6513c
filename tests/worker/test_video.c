/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The video stage alone: packets by libavformat, what comes out compared with what ffmpeg decodes and filters.
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/video_clip.h"

#include <stdlib.h>
#include <string.h>

#define FFMPEG "ffmpeg -nostdin -v error -y -threads 1 "
#define MOVING(size, rate, seconds) "-f lavfi -i testsrc2=s=" size ":r=" rate ",noise=alls=6:allf=t -t " seconds " "
#define PICTURE MOVING("320x180", "25", "4")
#define MPEG2 "-c:v mpeg2video -bf 2 -g 12 -q:v 3 -pix_fmt yuv420p -f mpegts "
#define HDR "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc "
#define X265 "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none:keyint=25 "
#define OUT "\"$OUT\""

/* A source, and the filters that ffmpeg turns it with into what the stage shall encode. */
static const struct kind {
	const char *name, *recipe, *filters;
	int width, height;
	double worst; /* PSNR of a picture, dB */
	int max_height;
} kinds[] = {
	{ "video_mpeg2.ts", FFMPEG PICTURE MPEG2 OUT, "null", 320, 180, 32 },
	{ "video_interlaced.ts", FFMPEG MOVING("320x180", "50", "4") "-vf tinterlace=interleave_top -flags +ilme+ildct " MPEG2 OUT,
	  "bwdif=mode=send_frame:deint=interlaced", 320, 180, 32 },
	{ "video_asp.avi", FFMPEG PICTURE "-c:v mpeg4 -bf 2 -g 40 -q:v 3 -f avi " OUT, "null", 320, 180, 32 },
	{ "video_vp9.webm", FFMPEG PICTURE "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -b:v 2M -f webm " OUT, "null", 320, 180, 32 },
	{ "video_hevc10.mp4", FFMPEG PICTURE X265 "-f mp4 " OUT, "scale,format=yuv420p", 320, 180, 32 },
	{ "video_hdr.mp4", FFMPEG PICTURE X265 HDR "-f mp4 " OUT,
	  "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0:peak=10,zscale=t=bt709:m=bt709:r=tv,format=yuv420p",
	  320, 180, 32 },
	{ "video_422.mkv", FFMPEG PICTURE "-c:v libx264 -preset veryfast -bf 3 -g 60 -pix_fmt yuv422p -f matroska " OUT, "format=yuv420p", 320, 180,
	  32 },
	{ "video_mjpeg.avi", FFMPEG PICTURE "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p -f avi " OUT, "format=yuvj420p", 320, 180, 32 },
	{ "video_turned.mp4", FFMPEG PICTURE "-c:v mpeg4 -q:v 3 -metadata:s:v rotate=90 -f mp4 " OUT, "null", 180, 320, 32 },
	{ "video_upside_down.mp4", FFMPEG PICTURE "-c:v mpeg4 -q:v 3 -metadata:s:v rotate=180 -f mp4 " OUT, "null", 320, 180, 32 },
	{ "video_odd.webm", FFMPEG MOVING("321x181", "25", "3") "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -b:v 2M -f webm " OUT,
	  "crop=320:180:0:0:exact=1", 320, 180, 32 },
	{ "video_varying.mkv", FFMPEG PICTURE "-vf \"select='lt(mod(n,7),3)+eq(mod(n,11),5)'\" -fps_mode vfr -c:v mpeg4 -q:v 3 -f matroska " OUT, "null",
	  320, 180, 32 },
	{ "video_rgb.mkv", FFMPEG PICTURE "-c:v ffv1 -g 20 -pix_fmt bgr0 -f matroska " OUT, "scale=out_color_matrix=smpte170m,format=yuv420p", 320,
	  180, 30 },
	{ "video_gray.mkv", FFMPEG PICTURE "-c:v ffv1 -g 20 -pix_fmt gray -color_range pc -f matroska " OUT, "format=yuvj420p", 320, 180, 32 },
	{ "video_small.ts", FFMPEG PICTURE MPEG2 OUT, "scale=178:100", 178, 100, 30, 100 },
	{ "video_av1.mkv", FFMPEG MOVING("320x180", "25", "2") "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 20 -b:v 1M -f matroska " OUT, "null", 320,
	  180, 32 },
	{ "video_prores.mov", FFMPEG MOVING("320x180", "25", "2") "-c:v prores -f mov " OUT, "format=yuv420p", 320, 180, 32 },
};
#define KINDS (int)(sizeof kinds / sizeof *kinds)

static void open_kind(struct clip *c, const struct kind *k)
{
	clip_open(c, media_make(k->name, k->recipe));
	c->options.max_height = k->max_height;
	clip_look(c);
}

static void read_reference(struct pictures *p, const struct clip *c, const struct kind *k)
{
	char *command, *name;

	ck_assert_int_ge(asprintf(&command, FFMPEG "-i \"$M/%s\" -vf %s -fps_mode passthrough -f rawvideo " OUT, k->name, k->filters), 0);
	ck_assert_int_ge(asprintf(&name, "%s.yuv", k->name), 0);
	pictures_read(p, media_make(name, command), c->facts.params.width, c->facts.params.height);
	free(command);
	free(name);
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Each frame of the source once, at its time. */
static void check_times(const struct clip *c, const struct clip_made *m)
{
	int64_t times[CLIP_PACKETS_MAX];

	for (int i = 0; i < m->n; i++)
		times[i] = m->samples[i].pts;
	qsort(times, (size_t)m->n, sizeof *times, by_time);
	ck_assert_int_eq(m->n, c->n_times);
	for (int i = 0; i < m->n; i++)
		ck_assert_msg(times[i] == c->times[i], "frame %d is at %lld, not at %lld", i, (long long)times[i], (long long)c->times[i]);
}

/* ---- */

START_TEST(every_frame_of_joined_pieces_is_the_source_s_at_its_time)
{
	const struct kind *k = &kinds[_i];
	static struct clip c;
	static struct clip_made m;
	static struct pictures made, source;
	int64_t cuts[4];
	struct psnr p;

	open_kind(&c, k);
	ck_assert_int_eq(c.facts.params.width, k->width);
	ck_assert_int_eq(c.facts.params.height, k->height);
	memcpy(cuts, (int64_t[]){ c.times[0], c.times[c.n_times / 3], c.times[c.n_times * 2 / 3 + 1], VIDEO_OPEN_END }, sizeof cuts);
	for (int i = 0; i < 3; i++)
		clip_make(&c, cuts[i], cuts[i + 1], &m);
	ck_assert_int_eq(m.broken, 0);
	check_times(&c, &m);
	pictures_decode(&made, &c, &m);
	read_reference(&source, &c, k);
	ck_assert_int_eq(made.n, c.n_times);
	for (int i = 0; i < made.n; i++)
		ck_assert_int_eq(made.pts[i], c.times[i]);
	p = pictures_compare(&made, &source);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s: %d frames, %zu bytes, PSNR %.2f, worst %.2f at %d\n", k->name, made.n, m.data.size, p.mean, p.worst, p.worst_at);
	ck_assert_msg(p.worst > k->worst, "%s: picture %d has a PSNR of %.2f dB", k->name, p.worst_at, p.worst);
	pictures_finish(&made);
	pictures_finish(&source);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

Suite *suite_video(void)
{
	Suite *s = suite_create("worker/video");
	TCase *t = tcase_create("video");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, every_frame_of_joined_pieces_is_the_source_s_at_its_time, 0, KINDS);
	suite_add_tcase(s, t);
	return s;
}
