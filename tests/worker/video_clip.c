/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/video_clip.h"

#include "tests/e2e/sh.h"

#include <check.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TICKS ((AVRational){ 1, 90000 })
#define LOOK_PACKETS 40

/* ---- packets */

static int64_t ticks(int64_t t, AVRational base)
{
	return t == AV_NOPTS_VALUE ? VIDEO_TIME_NONE : av_rescale_q(t, base, TICKS);
}

static void add_packet(struct clip *c, AVPacket *p, AVRational base)
{
	ck_assert_int_lt(c->n, CLIP_PACKETS_MAX);
	c->packets[c->n] = (struct video_packet){ ticks(p->pts, base), ticks(p->dts, base), ticks(p->duration, base),
						  p->flags & AV_PKT_FLAG_DISCARD, { p->data, (size_t)p->size } };
	c->av[c->n++] = p;
}

static void describe(struct clip *c, const AVStream *st)
{
	const uint8_t *matrix = av_stream_get_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, NULL);

	c->par = avcodec_parameters_alloc();
	ck_assert_int_ge(avcodec_parameters_copy(c->par, st->codecpar), 0);
	c->source = (struct video_source){ .par = c->par, .primaries = c->par->color_primaries, .transfer = c->par->color_trc,
					   .matrix = c->par->color_space, .range = c->par->color_range,
					   .sar_num = st->sample_aspect_ratio.num, .sar_den = st->sample_aspect_ratio.den,
					   .rate_num = st->avg_frame_rate.num, .rate_den = st->avg_frame_rate.den };
	if (matrix)
		c->source.rotation = -(int)lrint(av_display_rotation_get((const int32_t *)(const void *)matrix));
}

/* One line for each frame; "N/A": it follows the one before. Side data has lines of its own. */
static void read_times(struct clip *c, const char *path, AVRational base)
{
	char *text = sh("ffprobe -v error -select_streams v:0 -show_entries frame=best_effort_timestamp -of csv '%s'", path), *line = text;

	while ((line = strstr(line, "frame,"))) {
		int n = c->n_times++;

		line += strlen("frame,");
		ck_assert_int_lt(n, CLIP_PACKETS_MAX);
		if (strncmp(line, "N/A", 3))
			c->times[n] = ticks(strtoll(line, NULL, 10), base);
		else if (n >= 2)
			c->times[n] = 2 * c->times[n - 1] - c->times[n - 2];
	}
	free(text);
}

void clip_open(struct clip *c, const char *path)
{
	AVFormatContext *f = NULL;
	AVPacket *p;
	int track;

	av_log_set_level(AV_LOG_QUIET);
	memset(c, 0, sizeof *c);
	video_options_init(&c->options);
	ck_assert_int_ge(avformat_open_input(&f, path, NULL, NULL), 0);
	ck_assert_int_ge(avformat_find_stream_info(f, NULL), 0);
	track = av_find_best_stream(f, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
	ck_assert_int_ge(track, 0);
	describe(c, f->streams[track]);
	while ((p = av_packet_alloc()) && av_read_frame(f, p) >= 0)
		if (p->stream_index == track)
			add_packet(c, p, f->streams[track]->time_base);
		else
			av_packet_free(&p);
	av_packet_free(&p);
	read_times(c, path, f->streams[track]->time_base);
	avformat_close_input(&f);
}

void clip_look(struct clip *c)
{
	struct err err = { 0 };

	ck_assert_msg(!video_facts_init(&c->facts, &c->source, &c->options, c->packets, c->n < LOOK_PACKETS ? c->n : LOOK_PACKETS, &err), "%s",
		      err.msg);
}

void clip_close(struct clip *c)
{
	for (int i = 0; i < c->n; i++)
		av_packet_free(&c->av[i]);
	avcodec_parameters_free(&c->par);
	video_facts_finish(&c->facts);
}

/* ---- making */

static int keep(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *e)
{
	struct clip_made *m = arg;

	(void)e;
	ck_assert_int_lt(m->n, CLIP_PACKETS_MAX);
	m->samples[m->n++] = (struct clip_sample){ pts, is_sync, m->data.size, data.size };
	buf_put(&m->data, data.data, data.size);
	return 0;
}

/* The last sync sample that is shown at or before the frame two before the one at start. */
static int from(const struct clip *c, int64_t start)
{
	int at = 0, i = 0;

	while (i < c->n_times - 1 && c->times[i] < start)
		i++;
	start = c->times[i > 2 ? i - 2 : 0];
	for (i = 0; i < c->n; i++) {
		int64_t t = c->packets[i].pts != VIDEO_TIME_NONE ? c->packets[i].pts : c->packets[i].dts;

		if (c->av[i]->flags & AV_PKT_FLAG_KEY && t != VIDEO_TIME_NONE && t <= start)
			at = i;
	}
	return at;
}

void clip_make(const struct clip *c, int64_t start, int64_t end, struct clip_made *m)
{
	struct err err = { 0 };
	struct video_stage *s;
	int ret, first = m->n;

	ret = video_stage_create(&s, &c->source, &c->facts.params, &c->options, start, end, keep, m, &err);
	ck_assert_msg(!ret, "%s", err.msg);
	m->pushed = 0;
	for (int i = from(c, start); i < c->n && !ret; i++, m->pushed++)
		ret = video_stage_push(s, &c->packets[i], &err);
	ck_assert_msg(ret >= 0, "%s", err.msg);
	if (!ret)
		ret = video_stage_finish(s, &err);
	ck_assert_msg(ret >= 0, "%s", err.msg);
	m->broken += video_stage_broken_packets(s);
	video_stage_destroy(s);
	ck_assert(first == m->n || m->samples[first].is_sync);
}

void clip_made_finish(struct clip_made *m)
{
	buf_finish(&m->data);
}

/* ---- pictures */

static void take_pictures(struct pictures *p, AVCodecContext *dec, AVFrame *f)
{
	while (avcodec_receive_frame(dec, f) >= 0) {
		int size = av_image_get_buffer_size(AV_PIX_FMT_YUV420P, p->width, p->height, 1);

		ck_assert_int_lt(p->n, CLIP_PACKETS_MAX);
		ck_assert(f->format == AV_PIX_FMT_YUV420P || f->format == AV_PIX_FMT_YUVJ420P);
		ck_assert(f->width == p->width && f->height == p->height && !f->decode_error_flags);
		p->pts[p->n++] = f->pts;
		av_image_copy_to_buffer(buf_grow(&p->data, (size_t)size), size, (const uint8_t *const *)f->data, f->linesize,
					AV_PIX_FMT_YUV420P, p->width, p->height, 1);
		av_frame_unref(f);
	}
}

void pictures_decode(struct pictures *p, const struct clip *c, const struct clip_made *m)
{
	const struct buf *record = &c->facts.nal.record;
	AVCodecContext *dec = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
	AVPacket *packet = av_packet_alloc();
	AVFrame *f = av_frame_alloc();

	memset(p, 0, sizeof *p);
	p->width = c->facts.params.width;
	p->height = c->facts.params.height;
	dec->thread_count = 1;
	dec->err_recognition = AV_EF_EXPLODE;
	dec->extradata = av_mallocz(record->size + AV_INPUT_BUFFER_PADDING_SIZE);
	memcpy(dec->extradata, record->data, record->size);
	dec->extradata_size = (int)record->size;
	ck_assert_int_ge(avcodec_open2(dec, NULL, NULL), 0);
	for (int i = 0; i < m->n; i++) {
		ck_assert_int_ge(av_new_packet(packet, (int)m->samples[i].size), 0);
		memcpy(packet->data, m->data.data + m->samples[i].at, m->samples[i].size);
		packet->pts = m->samples[i].pts;
		ck_assert_int_ge(avcodec_send_packet(dec, packet), 0);
		av_packet_unref(packet);
		take_pictures(p, dec, f);
	}
	ck_assert_int_ge(avcodec_send_packet(dec, NULL), 0);
	take_pictures(p, dec, f);
	av_packet_free(&packet);
	av_frame_free(&f);
	avcodec_free_context(&dec);
}

void pictures_read(struct pictures *p, const char *path, int width, int height)
{
	size_t size = (size_t)width * (size_t)height * 3 / 2;
	FILE *f = fopen(path, "rb");

	memset(p, 0, sizeof *p);
	p->width = width;
	p->height = height;
	ck_assert_ptr_nonnull(f);
	while (fread(buf_grow(&p->data, size), size, 1, f) == 1)
		p->n++;
	fclose(f);
}

void pictures_finish(struct pictures *p)
{
	buf_finish(&p->data);
}

double pictures_psnr(const struct pictures *a, const struct pictures *b, int i)
{
	size_t size = (size_t)a->width * (size_t)a->height * 3 / 2;
	const uint8_t *x = a->data.data + (size_t)i * size, *y = b->data.data + (size_t)i * size;
	int64_t sum = 0;

	for (size_t k = 0; k < size; k++)
		sum += (x[k] - y[k]) * (x[k] - y[k]);
	return sum ? 10 * log10(255.0 * 255.0 * (double)size / (double)sum) : 100;
}

struct psnr pictures_compare(const struct pictures *a, const struct pictures *b)
{
	struct psnr p = { 0, 1000, 0 };

	ck_assert(a->n == b->n && a->width == b->width && a->height == b->height);
	for (int i = 0; i < a->n; i++) {
		double v = pictures_psnr(a, b, i);

		p.mean += v / a->n;
		if (v < p.worst) {
			p.worst = v;
			p.worst_at = i;
		}
	}
	return p;
}
