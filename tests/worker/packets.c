/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/packets.h"

#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "worker/ebml.h"

#include <check.h>
#include <libavformat/avformat.h>
#include <libavutil/mathematics.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define AVIO_BYTES 65536
#define PIPE_BYTES 5000

static struct packet *add(struct packets *p)
{
	if (!(p->n & (p->n + 1))) {
		p->list = realloc(p->list, (p->n * 2 + 2) * sizeof *p->list);
		ck_assert_ptr_nonnull(p->list);
	}
	p->list[p->n] = (struct packet){ .track = -1 };
	return &p->list[p->n++];
}

const char *packets_base(void)
{
	return media_make("packets_base.mkv", FFMPEG "-f lavfi -i testsrc2=s=160x90:r=24 -f lavfi -i sine=440:r=48000 -t 6 "
			  "-map 0 -map 1 -map 1 " X264 "-bf 2 -g 24 -c:a:0 ac3 -b:a:0 128k -c:a:1 libopus -b:a:1 64k "
			  "-cluster_time_limit 1000 " OUT);
}

/* ---- ours */

static int index_of(const struct mkv *mkv, uint64_t number)
{
	return (int)(mkv_track(mkv, number) - mkv->tracks);
}

static void read_ours(struct packets *p, struct bytes file, const struct mkv *mkv)
{
	struct ebml_element e = { 0 };

	struct buf scratch = { 0 };
	struct mkv_cursor cursor;
	struct frame f;
	struct bytes data;
	int ret;

	if (mkv->first_cluster < 0)
		return;
	ck_assert_int_eq(mkv_seek(&cursor, mkv, mkv->first_cluster, -1, &p->err), 0);
	while ((ret = mkv_next(&cursor, &f, &p->err)) == 1) {
		if (mkv_frame_data(mkv, &f, &scratch, &data, &p->err)) {
			p->err.code = 0; /* broken compression: this frame only */
			continue;
		}
		ebml_read(file, f.id, (int64_t)file.size, &e);
		*add(p) = (struct packet){ index_of(mkv, f.track), f.id, e.end, f.place, f.lace_index, f.time_ns, f.duration_ns,
					   data.size, XXH3_64bits(data.data, data.size), f.is_key };
	}
	ck_assert_int_eq(ret, 0);
	p->damaged = cursor.damaged_bytes;
	buf_finish(&scratch);
}

static void open_ours(struct packets *p, struct bytes file, struct input *in)
{
	struct mkv *mkv = calloc(1, sizeof *mkv);

	ck_assert_ptr_nonnull(mkv);
	memset(p, 0, sizeof *p);
	if (!mkv_open(mkv, in, &p->err)) {
		read_ours(p, file, mkv);
		p->n_tracks = mkv->n_tracks;
		p->scale_ns = mkv->timestamp_scale;
		p->tracks = malloc(sizeof mkv->tracks);
		ck_assert_ptr_nonnull(p->tracks);
		memcpy(p->tracks, mkv->tracks, sizeof mkv->tracks);
		mkv_close(mkv);
	}
	free(mkv);
	input_close(in);
}

void packets_ours(struct packets *p, struct bytes file)
{
	struct input in;

	input_init_bytes(&in, file);
	open_ours(p, file, &in);
}

static int64_t read_pipe(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct bytes *rest = arg;
	size_t take = n < rest->size ? n : rest->size;

	(void)err;
	take = take < PIPE_BYTES ? take : PIPE_BYTES;
	memcpy(to, rest->data, take);
	*rest = (struct bytes){ rest->data + take, rest->size - take };
	return (int64_t)take;
}

static void close_pipe(void *arg)
{
	(void)arg;
}

void packets_piped(struct packets *p, struct bytes file)
{
	struct bytes rest = file;
	struct input_source source = { .read = read_pipe, .close = close_pipe, .arg = &rest };
	struct input in;

	input_init_source(&in, &source, INT64_MAX);
	open_ours(p, file, &in);
}

size_t packets_same(const struct packets *a, const struct packets *b)
{
	size_t i = 0;

	while (i < a->n && i < b->n && a->list[i].track == b->list[i].track && a->list[i].start == b->list[i].start &&
	       a->list[i].lace == b->list[i].lace && a->list[i].time_ns == b->list[i].time_ns &&
	       a->list[i].hash == b->list[i].hash && a->list[i].is_key == b->list[i].is_key)
		i++;
	return i;
}

/* ---- libavformat's */

struct memory {
	struct bytes file;
	size_t at;
};

static int read_memory(void *opaque, uint8_t *to, int n)
{
	struct memory *m = opaque;
	size_t left = m->file.size - m->at, take = (size_t)n < left ? (size_t)n : left;

	if (!take)
		return AVERROR_EOF;
	memcpy(to, m->file.data + m->at, take);
	m->at += take;
	return (int)take;
}

static int64_t seek_memory(void *opaque, int64_t offset, int whence)
{
	struct memory *m = opaque;
	int64_t base = whence == SEEK_CUR ? (int64_t)m->at : whence == SEEK_END ? (int64_t)m->file.size : 0;

	if (whence & AVSEEK_SIZE)
		return (int64_t)m->file.size;
	if (base + offset < 0 || base + offset > (int64_t)m->file.size)
		return AVERROR(EINVAL);
	m->at = (size_t)(base + offset);
	return base + offset;
}

static int64_t to_ns(int64_t t, AVRational base)
{
	return t == AV_NOPTS_VALUE ? PACKETS_TIME_NONE : av_rescale(t, (int64_t)base.num * 1000000000, base.den);
}

static void add_libav(struct packets *p, const AVFormatContext *format, const AVPacket *packet)
{
	const struct packet *last = p->n ? &p->list[p->n - 1] : NULL;
	AVRational base = format->streams[packet->stream_index]->time_base;
	bool is_lace = last && last->start == packet->pos && last->track == packet->stream_index;
	int lace = is_lace ? last->lace + 1 : 0;

	/* V_MS/VFW tracks have decoding times, as libavformat sees it */
	*add(p) = (struct packet){ packet->stream_index, packet->pos, 0, 0, lace,
				   to_ns(packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts, base),
				   to_ns(packet->duration, base), (size_t)packet->size,
				   XXH3_64bits(packet->data, (size_t)packet->size), packet->flags & AV_PKT_FLAG_KEY };
}

static void read_libav(struct packets *p, AVFormatContext *format)
{
	AVPacket *packet = av_packet_alloc();

	ck_assert_ptr_nonnull(packet);
	for (unsigned i = 0; i < format->nb_streams; i++)
		p->n_tracks += format->streams[i]->codecpar->codec_type != AVMEDIA_TYPE_ATTACHMENT &&
			       !(format->streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC);
	/* an attached picture comes as a packet of its own */
	while (av_read_frame(format, packet) >= 0) {
		if (packet->stream_index < p->n_tracks)
			add_libav(p, format, packet);
		av_packet_unref(packet);
	}
	av_packet_free(&packet);
}

void packets_libav(struct packets *p, struct bytes file)
{
	struct memory memory = { file, 0 };
	AVFormatContext *format = avformat_alloc_context();
	AVIOContext *io = avio_alloc_context(av_malloc(AVIO_BYTES), AVIO_BYTES, 0, &memory, read_memory, NULL, seek_memory);
	int ret;

	ck_assert(format && io);
	memset(p, 0, sizeof *p);
	av_log_set_level(AV_LOG_QUIET);
	format->pb = io;
	format->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
	ret = avformat_open_input(&format, NULL, av_find_input_format("matroska"), NULL);
	if (ret < 0)
		err_set(&p->err, ERR_DATA, "%s", av_err2str(ret));
	else
		read_libav(p, format);
	avformat_close_input(&format);
	av_freep(&io->buffer);
	avio_context_free(&io);
}

void packets_finish(struct packets *p)
{
	free(p->list);
	free(p->tracks);
	memset(p, 0, sizeof *p);
}

/* ---- differences */

static const char *const names[PACKETS_DIFFERENCES] = {
	[PACKETS_LACE_KEY] = "lace-key", [PACKETS_LACE_TIME] = "lace-time", [PACKETS_LACE_STEP] = "lace-step",
	[PACKETS_DELAY] = "delay", [PACKETS_NEGATIVE] = "negative", [PACKETS_SUBTITLE] = "subtitle",
	[PACKETS_TIME] = "TIME", [PACKETS_SIZE] = "SIZE", [PACKETS_BYTES] = "BYTES", [PACKETS_KEY] = "KEY",
	[PACKETS_ONLY_OURS] = "ONLY-OURS", [PACKETS_ONLY_LIBAV] = "ONLY-LIBAV", [PACKETS_TRACKS] = "TRACKS",
	[PACKETS_OPEN] = "OPEN",
};

const char *packets_difference_name(enum packets_difference d)
{
	return names[d];
}

static void count(struct packets_report *r, enum packets_difference d, const struct packet *ours, const struct packet *libav)
{
	const struct packet *p = ours ? ours : libav;

	if (!r->count[d]++ && p)
		snprintf(r->first[d], sizeof r->first[d], "track %d at %lld lace %d: ours %.3f ms %zu B%s, libavformat %.3f ms %zu B%s",
			 p->track, (long long)p->start, p->lace, ours ? (double)ours->time_ns / 1e6 : -1, ours ? ours->size : 0,
			 ours && ours->is_key ? " key" : "", libav ? (double)libav->time_ns / 1e6 : -1, libav ? libav->size : 0,
			 libav && libav->is_key ? " key" : "");
}

/* How much CodecDelay is longer in libavformat, which has it in whole units. */
static int64_t delay_error(const struct packets *p, const struct track *t)
{
	int64_t delay = (int64_t)t->codec_delay_ns;

	return av_rescale(delay, 1, p->scale_ns) * p->scale_ns - delay;
}

static void compare_times(const struct packets *p, const struct packet *ours, const struct packet *libav,
			  struct packets_report *r)
{
	const struct track *t = &p->tracks[ours->track];
	int64_t error = delay_error(p, t), late = ours->time_ns - libav->time_ns;
	bool is_laced = ours->lace > 0, has_step = t->default_duration_ns || ours->duration_ns;

	if (libav->time_ns == PACKETS_TIME_NONE && ours->time_ns + (int64_t)t->codec_delay_ns < 0)
		count(r, PACKETS_NEGATIVE, ours, libav);
	else if (libav->time_ns == PACKETS_TIME_NONE && is_laced && !has_step)
		count(r, PACKETS_LACE_TIME, ours, libav);
	else if (libav->time_ns == PACKETS_TIME_NONE)
		count(r, PACKETS_TIME, ours, libav);
	else if (late && late == error)
		count(r, PACKETS_DELAY, ours, libav);
	else if (late && is_laced && has_step && late > error - 2 * p->scale_ns && late < error + 2 * p->scale_ns)
		count(r, PACKETS_LACE_STEP, ours, libav);
	else if (late)
		count(r, PACKETS_TIME, ours, libav);
}

static void compare_packets(const struct packets *p, const struct packet *ours, const struct packet *libav,
			    struct packets_report *r)
{
	if (ours->size != libav->size)
		count(r, PACKETS_SIZE, ours, libav);
	else if (ours->hash != libav->hash)
		count(r, PACKETS_BYTES, ours, libav);
	if (ours->is_key && !libav->is_key && ours->lace)
		count(r, PACKETS_LACE_KEY, ours, libav);
	else if (ours->is_key && !libav->is_key && p->tracks[ours->track].type != TRACK_VIDEO &&
		 p->tracks[ours->track].type != TRACK_AUDIO)
		count(r, PACKETS_SUBTITLE, ours, libav);
	else if (ours->is_key != libav->is_key)
		count(r, PACKETS_KEY, ours, libav);
	compare_times(p, ours, libav, r);
}

/* Both are in file order; a packet of libavformat's belongs to the last of our blocks that starts before it. */
static int order(const struct packets *p, size_t i, const struct packet *libav)
{
	const struct packet *ours = &p->list[i];
	size_t next = i;

	if (ours->start > libav->start)
		return 1;
	while (next < p->n && p->list[next].start == ours->start)
		next++;
	if (next < p->n && p->list[next].start <= libav->start)
		return -1;
	return ours->track != libav->track ? -1 : ours->lace - libav->lace;
}

void packets_compare(const struct packets *ours, const struct packets *libav, struct packets_report *report)
{
	size_t i = 0, k = 0;

	memset(report, 0, sizeof *report);
	if (!ours->err.code != !libav->err.code)
		count(report, PACKETS_OPEN, NULL, NULL);
	if (ours->n_tracks != libav->n_tracks)
		count(report, PACKETS_TRACKS, NULL, NULL);
	while (i < ours->n || k < libav->n) {
		int o = i == ours->n ? 1 : k == libav->n ? -1 : order(ours, i, &libav->list[k]);

		if (o < 0)
			count(report, PACKETS_ONLY_OURS, &ours->list[i++], NULL);
		else if (o > 0)
			count(report, PACKETS_ONLY_LIBAV, NULL, &libav->list[k++]);
		else
			compare_packets(ours, &ours->list[i++], &libav->list[k++], report);
	}
}
