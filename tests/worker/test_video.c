/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The video stage alone: packets by libavformat, what comes out compared with what ffmpeg decodes and filters.
 */
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/video_clip.h"
#include "worker/video_filter.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FFMPEG "ffmpeg -nostdin -v error -y -threads 1 "
#define MOVING(size, rate, seconds) "-f lavfi -i testsrc2=s=" size ":r=" rate ",noise=alls=6:allf=t -t " seconds " "
#define PICTURE MOVING("320x180", "25", "4")
#define MPEG2 "-c:v mpeg2video -bf 2 -g 12 -q:v 3 -pix_fmt yuv420p -f mpegts "
#define HDR "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc "
#define X265 "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none:keyint=25 "
#define OUT "\"$OUT\""
#define TURNED(degrees) \
	FFMPEG PICTURE "-c:v mpeg4 -q:v 3 \"$OUT.mp4\" && " FFMPEG "-i \"$OUT.mp4\" -c copy -metadata:s:v rotate=" degrees " -f mp4 " OUT \
	" && rm \"$OUT.mp4\""

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
	{ "video_turned.mp4", TURNED("90"), "null", 180, 320, 32 },
	{ "video_turned_left.mp4", TURNED("270"), "null", 180, 320, 32 },
	{ "video_upside_down.mp4", TURNED("180"), "null", 320, 180, 32 },
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

	/* another recipe of the source makes these anew too */
	ck_assert_int_ge(asprintf(&command, FFMPEG "-i \"$M/%s\" -vf %s -fps_mode passthrough -f rawvideo " OUT " # %s", k->name, k->filters,
				  k->recipe), 0);
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

static const struct kind *kind(const char *name)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	ck_abort_msg("%s", name);
}

static void open_by_name(struct clip *c, const char *name)
{
	open_kind(c, kind(name));
}

/* Pieces of so many frames. */
static void make_pieces(const struct clip *c, int frames, struct clip_made *m)
{
	for (int at = 0; at < c->n_times; at += frames)
		clip_make(c, c->times[at], at + frames < c->n_times ? c->times[at + frames] : VIDEO_OPEN_END, m);
}

START_TEST(joined_pieces_are_as_good_as_one_encode_by_ffmpeg)
{
	static const char *names[] = { "video_mpeg2.ts", "video_vp9.webm" };
	static struct clip c;
	static struct clip_made m;
	static struct pictures made, whole, source;
	struct psnr pieces, one;
	char *command, *name;

	open_by_name(&c, names[_i]);
	ck_assert_int_ge(asprintf(&command, FFMPEG "-i \"$M/%s\" -fps_mode passthrough -c:v libx264 -preset veryfast -crf 23 -maxrate 1000k "
				  "-bufsize 2000k -f h264 \"$OUT.h264\" && " FFMPEG "-i \"$OUT.h264\" -fps_mode passthrough -f rawvideo " OUT
				  " && rm \"$OUT.h264\" # %s", names[_i], kind(names[_i])->recipe), 0);
	ck_assert_int_ge(asprintf(&name, "%s.whole.yuv", names[_i]), 0);
	pictures_read(&whole, media_make(name, command), 320, 180);
	read_reference(&source, &c, kind(names[_i]));
	make_pieces(&c, 23, &m);
	pictures_decode(&made, &c, &m);
	pieces = pictures_compare(&made, &source);
	one = pictures_compare(&whole, &source);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s: PSNR %.3f, worst %.2f; in one %.3f, worst %.2f\n", names[_i], pieces.mean, pieces.worst, one.mean, one.worst);
	ck_assert_double_gt(pieces.mean, one.mean - 0.1);
	ck_assert_double_gt(pieces.worst, one.worst - 1);
	pictures_finish(&made);
	pictures_finish(&whole);
	pictures_finish(&source);
	clip_made_finish(&m);
	clip_close(&c);
	free(command);
	free(name);
}
END_TEST

START_TEST(the_same_piece_has_the_same_bytes)
{
	static struct clip c;
	static struct clip_made a, b;

	open_kind(&c, &kinds[_i]);
	clip_make(&c, c.times[c.n_times / 3], c.times[c.n_times / 3 + 20], &a);
	clip_make(&c, c.times[c.n_times / 3], c.times[c.n_times / 3 + 20], &b);
	ck_assert_int_eq(a.n, 20);
	ck_assert_uint_eq(a.data.size, b.data.size);
	ck_assert_mem_eq(a.data.data, b.data.data, a.data.size);
	clip_made_finish(&a);
	clip_made_finish(&b);
	clip_close(&c);
}
END_TEST

/* Later pictures are harder, and of another type; pieces are encoded in between. */
START_TEST(parameter_sets_are_the_same_from_wherever_they_are_made)
{
	static struct clip c;
	struct video_facts later;
	struct err err = { 0 };
	int at = 60;

	open_by_name(&c, "video_422.mkv");
	ck_assert(c.av[at]->flags & AV_PKT_FLAG_KEY);
	ck_assert_int_eq(video_facts_init(&later, &c.source, &c.options, c.packets + at, c.n - at, &err), 0);
	ck_assert_uint_eq(later.nal.record.size, c.facts.nal.record.size);
	ck_assert_mem_eq(later.nal.record.data, c.facts.nal.record.data, later.nal.record.size);
	ck_assert_str_eq(later.nal.codecs, "avc1.640014");
	ck_assert_int_eq(later.nal.length_size, 4);
	ck_assert_int_eq(later.nal.sps.reorder, 2);
	video_facts_finish(&later);
	clip_close(&c);
}
END_TEST

START_TEST(samples_hold_slices_only_and_no_gop_refers_to_the_one_before)
{
	static struct clip c;
	static struct clip_made m;
	int64_t sync = INT64_MIN;

	open_by_name(&c, "video_mpeg2.ts");
	make_pieces(&c, 31, &m);
	for (int i = 0; i < m.n; i++) {
		const struct clip_sample *s = &m.samples[i];
		const uint8_t *nal = m.data.data + s->at;
		size_t at = 0;

		for (; at + 4 < s->size; at += 4 + get_u32(nal + at))
			ck_assert_int_eq(nal[at + 4] & 31, s->is_sync ? 5 : 1);
		ck_assert_uint_eq(at, s->size);
		ck_assert_int_ge(s->pts, sync);
		if (s->is_sync)
			sync = s->pts;
	}
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(keyframes_come_as_often_as_is_asked_for)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, "video_varying.mkv");
	c.options.keyint_ticks = 45000;
	clip_make(&c, c.times[3], VIDEO_OPEN_END, &m);
	for (int i = 3, k = 0; i < c.n_times; i++) {
		int64_t before = i > 3 ? (c.times[i - 1] - c.times[3]) / 45000 : -1;
		bool is_due = (c.times[i] - c.times[3]) / 45000 != before;

		for (k = 0; k < m.n && m.samples[k].pts != c.times[i]; k++)
			;
		ck_assert_int_lt(k, m.n);
		ck_assert(!is_due || m.samples[k].is_sync);
	}
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(no_more_is_read_than_the_frame_behind_the_end)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, "video_mjpeg.avi");
	clip_make(&c, c.times[10], c.times[20], &m);
	ck_assert_int_eq(m.n, 10);
	ck_assert_int_le(m.pushed, 10 + 3); /* the one behind the end, and what decoder and filters hold */
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

/* ---- deinterlacing */

struct hashes {
	struct video_filter *filter;
	int64_t from;
	uint64_t list[CLIP_PACKETS_MAX];
	int64_t pts[CLIP_PACKETS_MAX];
	int n;
};

static int hash_frame(void *arg, AVFrame *f, struct err *err)
{
	struct hashes *h = arg;
	uint64_t hash = 0;

	(void)err;
	for (int y = 0; y < f->height; y++)
		hash = XXH64(f->data[0] + (ptrdiff_t)y * f->linesize[0], (size_t)f->width, hash);
	h->pts[h->n] = f->pts;
	h->list[h->n++] = hash;
	return 0;
}

static int filter_frame(void *arg, AVFrame *f, struct err *err)
{
	struct hashes *h = arg;

	return f->pts < h->from ? video_filter_pass(h->filter, f, err) : video_filter_push(h->filter, f, err);
}

static void filter_from(const struct clip *c, int first, struct hashes *h)
{
	struct video_decode *d;
	struct err err = { 0 };

	h->n = 0;
	h->from = c->times[first];
	ck_assert_int_eq(video_decode_create(&d, &c->source, &err), 0);
	ck_assert_int_eq(video_filter_create(&h->filter, &c->source, &c->facts.params, hash_frame, h, &err), 0);
	for (int i = 0; i < c->n; i++)
		ck_assert_int_eq(video_decode_push(d, &c->packets[i], filter_frame, h, &err), 0);
	ck_assert_int_eq(video_decode_push(d, NULL, filter_frame, h, &err), 0);
	ck_assert_int_eq(video_filter_finish(h->filter, &err), 0);
	video_filter_destroy(h->filter);
	video_decode_destroy(d);
}

/* Progressive, interlaced and progressive again. */
#define MIXED_FIELDS "video_fields.ts", \
	FFMPEG MOVING("320x180", "25", "1") MPEG2 "\"$OUT.a\" && " \
	FFMPEG MOVING("320x180", "50", "1") "-vf tinterlace=interleave_top -flags +ilme+ildct " MPEG2 "-output_ts_offset 1.2 \"$OUT.b\" && " \
	FFMPEG MOVING("320x180", "25", "1") MPEG2 "-output_ts_offset 2.4 \"$OUT.c\" && cat \"$OUT.a\" \"$OUT.b\" \"$OUT.c\" > " OUT \
	" && rm \"$OUT.a\" \"$OUT.b\" \"$OUT.c\""

START_TEST(a_frame_is_deinterlaced_the_same_wherever_reading_began)
{
	static struct clip c;
	static struct hashes all, late;

	clip_open(&c, _i ? media_make(MIXED_FIELDS) : media_make(kinds[1].name, kinds[1].recipe));
	clip_look(&c);
	ck_assert(c.facts.is_interlaced);
	filter_from(&c, 0, &all);
	ck_assert_int_eq(all.n, c.n_times);
	for (int first = 1; first < c.n_times; first += _i ? 1 : 7) {
		filter_from(&c, first, &late);
		ck_assert_int_eq(late.n, c.n_times - first);
		for (int i = 0; i < late.n; i++)
			ck_assert_msg(late.pts[i] == all.pts[first + i] && late.list[i] == all.list[first + i], "from %d on: frame %d differs",
				      first, first + i);
	}
	clip_close(&c);
}
END_TEST

/* ---- sources that change or are broken */

#define TWO_SIZES "video_two_sizes.ts", \
	FFMPEG MOVING("320x180", "25", "2") MPEG2 "\"$OUT.a\" && " \
	FFMPEG MOVING("480x270", "25", "2") MPEG2 "-output_ts_offset 2.2 \"$OUT.b\" && cat \"$OUT.a\" \"$OUT.b\" > " OUT \
	" && rm \"$OUT.a\" \"$OUT.b\""

START_TEST(pictures_of_another_size_are_scaled_to_the_first_one_s)
{
	static struct clip c;
	static struct clip_made m;
	static struct pictures made;

	clip_open(&c, media_make(TWO_SIZES));
	clip_look(&c);
	ck_assert_int_eq(c.facts.params.width, 320);
	make_pieces(&c, 40, &m);
	check_times(&c, &m);
	pictures_decode(&made, &c, &m); /* all of that size */
	ck_assert_int_eq(made.n, c.n_times);
	ck_assert_int_ge(made.n, 99); /* libavcodec's MPEG-2 decoder lets one go where the size changes */
	pictures_finish(&made);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(broken_packets_are_counted_and_the_rest_is_made)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, "video_vp9.webm");
	for (int i = 10; i < 13; i++)
		memset(c.av[i]->data, 0xff, (size_t)c.av[i]->size);
	c.packets[20].data.size = 0;
	clip_make(&c, c.times[0], VIDEO_OPEN_END, &m);
	ck_assert_int_ge(m.broken, 3);
	ck_assert_int_eq(m.n, c.n_times - 1 - m.broken);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(any_damage_leaves_rising_times_and_no_error)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, (const char *[]){ "video_mpeg2.ts", "video_asp.avi", "video_422.mkv", "video_hevc10.mp4" }[_i]);
	srand(1);
	for (int i = 1; i < c.n; i += 3)
		for (int k = 0; k < 4; k++)
			c.av[i]->data[rand() % c.av[i]->size] ^= (uint8_t)(1 + rand() % 255);
	make_pieces(&c, 40, &m);
	ck_assert_int_gt(m.n, c.n_times / 2);
	ck_assert_int_le(m.n, c.n_times);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(frames_without_a_time_follow_the_one_before)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, "video_mjpeg.avi");
	for (int i = 1; i < c.n; i++)
		c.packets[i].pts = c.packets[i].dts = VIDEO_TIME_NONE;
	clip_make(&c, c.times[0], VIDEO_OPEN_END, &m);
	check_times(&c, &m);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

START_TEST(hidden_packets_are_decoded_and_not_shown)
{
	static struct clip c;
	static struct clip_made m;

	open_by_name(&c, "video_mpeg2.ts");
	for (int i = 0; i < c.n; i++)
		c.packets[i].is_hidden = c.packets[i].pts < c.times[7];
	clip_make(&c, c.times[0], c.times[20], &m);
	ck_assert_int_eq(m.n, 13);
	ck_assert_int_eq(m.samples[0].pts, c.times[7]);
	clip_made_finish(&m);
	clip_close(&c);
}
END_TEST

/* ---- facts */

static struct record_encode params_of(const char *name, struct video_source *over)
{
	static struct clip c;
	struct record_encode p;

	open_by_name(&c, name);
	if (over) {
		over->par = c.source.par;
		c.source = *over;
		video_facts_finish(&c.facts);
		clip_look(&c);
	}
	p = c.facts.params;
	clip_close(&c);
	return p;
}

START_TEST(hdr_becomes_bt709_of_limited_range)
{
	struct record_encode p = params_of("video_hdr.mp4", NULL);

	ck_assert_int_eq(p.hdr_peak, 1000);
	ck_assert(p.primaries == 1 && p.transfer == 1 && p.matrix == 1 && !p.is_full_range);
	p = params_of("video_hdr.mp4", &(struct video_source){ .max_cll = 4000, .max_luminance = 1000 });
	ck_assert_int_eq(p.hdr_peak, 4000);
	p = params_of("video_hevc10.mp4", NULL);
	ck_assert(!p.hdr_peak && p.primaries == 2 && p.transfer == 2);
}
END_TEST

START_TEST(what_the_container_says_of_pixels_and_colour_is_kept)
{
	struct video_source said = { .rotation = -90, .sar_num = 64, .sar_den = 45, .primaries = 5, .transfer = 6, .matrix = 5,
				     .rate_num = 30000, .rate_den = 1001 };
	struct record_encode p = params_of("video_vp9.webm", &said);

	ck_assert(p.rotation == 270 && p.width == 180 && p.height == 320);
	ck_assert(p.sar_num == 45 && p.sar_den == 64);
	ck_assert(p.primaries == 5 && p.transfer == 6);
	ck_assert(p.rate_num == 30000 && p.rate_den == 1001);
	p = params_of("video_mjpeg.avi", NULL);
	ck_assert(p.is_full_range && p.sar_num == 1 && p.sar_den == 1);
}
END_TEST

START_TEST(a_rate_that_nobody_says_is_measured)
{
	struct video_source silent = { .rate_num = 0 };
	struct record_encode p = params_of("video_mpeg2.ts", &silent);

	ck_assert(p.rate_num == 25 && p.rate_den == 1);
}
END_TEST

START_TEST(a_track_without_a_picture_is_an_error)
{
	static struct clip c;
	AVCodecParameters none = { .codec_type = AVMEDIA_TYPE_VIDEO, .codec_id = AV_CODEC_ID_NONE };
	struct video_source source = { .par = &none };
	struct video_facts f;
	struct err err = { 0 };

	open_by_name(&c, "video_vp9.webm");
	ck_assert_int_eq(video_facts_init(&f, &source, &c.options, c.packets, 4, &err), ERR_UNSUPPORTED);
	for (int i = 0; i < 4; i++)
		memset(c.av[i]->data, 0xff, (size_t)c.av[i]->size);
	ck_assert_int_eq(video_facts_init(&f, &c.source, &c.options, c.packets, 4, &err), ERR_DATA);
	ck_assert_str_eq(err.msg, "no picture of vp9 can be decoded");
	clip_close(&c);
}
END_TEST

Suite *suite_video(void)
{
	Suite *s = suite_create("worker/video");
	TCase *t = tcase_create("video");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, every_frame_of_joined_pieces_is_the_source_s_at_its_time, 0, KINDS);
	tcase_add_loop_test(t, joined_pieces_are_as_good_as_one_encode_by_ffmpeg, 0, 2);
	tcase_add_loop_test(t, the_same_piece_has_the_same_bytes, 0, KINDS);
	tcase_add_test(t, parameter_sets_are_the_same_from_wherever_they_are_made);
	tcase_add_test(t, samples_hold_slices_only_and_no_gop_refers_to_the_one_before);
	tcase_add_test(t, keyframes_come_as_often_as_is_asked_for);
	tcase_add_test(t, no_more_is_read_than_the_frame_behind_the_end);
	tcase_add_loop_test(t, a_frame_is_deinterlaced_the_same_wherever_reading_began, 0, 2);
	tcase_add_test(t, pictures_of_another_size_are_scaled_to_the_first_one_s);
	tcase_add_test(t, broken_packets_are_counted_and_the_rest_is_made);
	tcase_add_loop_test(t, any_damage_leaves_rising_times_and_no_error, 0, 4);
	tcase_add_test(t, frames_without_a_time_follow_the_one_before);
	tcase_add_test(t, hidden_packets_are_decoded_and_not_shown);
	tcase_add_test(t, hdr_becomes_bt709_of_limited_range);
	tcase_add_test(t, what_the_container_says_of_pixels_and_colour_is_kept);
	tcase_add_test(t, a_rate_that_nobody_says_is_measured);
	tcase_add_test(t, a_track_without_a_picture_is_an_error);
	suite_add_tcase(s, t);
	return s;
}
