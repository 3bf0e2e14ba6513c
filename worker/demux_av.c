/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every container but Matroska, through libavformat, which reads from our input and can open nothing by itself.
 *
 * Places: in containers without an index of their own (MPEG-TS, MPEG-PS) the offset of a packet, else a decode time. What was read
 * since the beginning is kept until somebody goes back there for the second time, so that a pipe can be looked into.
 */
#include "common/timeline.h"
#include "worker/demux.h"
#include "worker/asc.h"
#include "worker/demux_av.h"
#include "worker/parts.h"

#include <errno.h>
#include <libavformat/avformat.h>
#include <stdlib.h>
#include <string.h>

#define IO_BUFFER (64 << 10)
#define LIMIT_PROBE (16 << 20)        /* bytes read to know the streams */
#define LIMIT_ANALYZE_US (10 * INT64_C(1000000))
#define LIMIT_HEAD_PACKETS 8192       /* kept from the beginning on */
#define LIMIT_HEAD_BYTES (64u << 20)
#define LIMIT_PACKETS_AT_ONCE 4096    /* with one position */
#define LIMIT_CONFIG_PACKETS 2048     /* read to find configurations */
#define NS 1000000000
#define TIME_BIAS (INT64_C(1) << 50)  /* ns: times may be below 0, places not */
#define PLACE_MAX (TIME_BIAS + TIMELINE_MAX_NS)
#define BASE_US (INT64_C(300) * 3600 * 1000000) /* times that begin farther away are counted from there */
#define PLACE_CHECK 0xfff             /* lowest bits of a place that is a time: of which packet it is */
#define LIMIT_CHECK_PACKETS 4096
#define LIMIT_PASSED_OVER (1 << 20)   /* packets in a row of which none is a frame that is wanted */
#define STOP_PACKETS 64               /* between two looks whether to go on */

struct stream {
	int64_t pos;      /* of the latest packet */
	int n_at_pos;     /* packets before it that were there too */
	int64_t id;       /* of the latest packet */
	int64_t next_ns;  /* where the latest one ends, as a guess for one that has no time */
	bool is_adts;     /* AAC whose configuration is in its frames */
};

struct demux_av {
	struct demux is;
	AVFormatContext *ctx;
	int64_t at;               /* where libavformat reads next */
	struct track tracks[TRACKS_MAX];
	struct stream streams[TRACKS_MAX];
	const AVProgram *program; /* of a playlist: the one that is read */
	int64_t base_ns;          /* libavformat's time that is 0 */
	int main;                 /* the stream that seeking goes by */
	bool is_by_byte;
	bool is_playlist;         /* HLS: its parts are opened by libavformat, but only as in->parts allows */
	/* of times that may jump nothing is told but by counting frames: read forward from the beginning only */
	bool is_counted;
	bool has_read;            /* a packet */
	unsigned n_read;          /* packets, for looking now and then whether to go on */
	struct shift shift;       /* where is_by_byte or is_counted: such streams are joined, and wrap */
	bool is_skimmed;          /* frames are views of the input: libavformat reads no bytes of theirs */
	AVPacket *packet;         /* the one in hand */
	/* the first packets since the beginning; more are kept while is_recording. Given out from next_head on */
	AVPacket *head[LIMIT_HEAD_PACKETS];
	int n_head, next_head;
	size_t head_bytes;
	bool is_recording;
	int n_seeks;
};

/* ---- I/O */

static int read_io(void *arg, uint8_t *to, int n)
{
	struct demux_av *a = arg;
	struct bytes view;
	struct err err;

	if (!a->is_skimmed && input_is_stopped(a->is.in)) /* where frames are views, next looks: nothing is waited for here */
		return AVERROR_EXIT;
	view = input_view(a->is.in, a->at, 1);
	if (!view.size)
		return input_status(a->is.in, &err) ? AVERROR(EIO) : AVERROR_EOF;
	if ((size_t)n > view.size)
		n = (int)view.size;
	if (!a->is_skimmed)
		memcpy(to, view.data, (size_t)n);
	a->at += n;
	a->is.in->keep = a->at;
	return n;
}

static int64_t seek_io(void *arg, int64_t offset, int whence)
{
	struct demux_av *a = arg;

	if (whence & AVSEEK_SIZE)
		return a->is.in->size == INT64_MAX ? AVERROR(ENOSYS) : a->is.in->size;
	if ((whence & ~AVSEEK_FORCE) != SEEK_SET || offset < 0)
		return AVERROR(EINVAL);
	return a->at = offset;
}

static int open_other(AVFormatContext *ctx, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
	const struct demux_av *a = ctx->opaque;

	if (!a->is_playlist || flags != AVIO_FLAG_READ)
		return AVERROR(EPERM);
	return parts_open(a->is.in->parts, io, url, options ? *options : NULL);
}

static int close_other(AVFormatContext *ctx, AVIOContext *io)
{
	(void)ctx;
	parts_close(io);
	return 0;
}

/* ---- open */

static bool is_mp4(struct demux_av *a)
{
	struct bytes head = input_view(a->is.in, 0, 8);

	return head.size >= 8 && !memcmp(head.data + 4, "ftyp", 4);
}

static int say(struct demux_av *a, int code, struct err *err)
{
	if (input_status(a->is.in, err) || (a->is_playlist && parts_end(a->is.in->parts, err)))
		return err->code;
	if (code == AVERROR(ENOMEM))
		return err_set(err, ERR_NOMEM, "out of memory");
	if (code == AVERROR_PROTOCOL_NOT_FOUND)
		return err_set(err, ERR_UNSUPPORTED, "a playlist (HLS), which names other files or URLs: they are only opened by "
			       "'segfarm-worker transcode --allow-playlists', from its file or URL");
	if (code == AVERROR(EPERM))
		return err_set(err, ERR_UNSUPPORTED, "the source only names other files or URLs, which are not opened");
	if ((code == AVERROR_INVALIDDATA || code == AVERROR_EOF) && is_mp4(a))
		return err_set(err, ERR_DATA, "the MP4's index (moov) is missing or broken: was the file cut off?");
	if (code == AVERROR_INVALIDDATA || code == AVERROR_EOF)
		return err_set(err, ERR_DATA,
			       "this is no media file of a kind that is known, or it is broken at its very beginning");
	return err_set(err, ERR_DATA, "the container cannot be read: %s", av_err2str(code));
}

static void close_ctx(struct demux_av *a)
{
	AVIOContext *io = a->ctx ? a->ctx->pb : NULL;

	avformat_close_input(&a->ctx);
	if (io)
		av_freep(&io->buffer);
	avio_context_free(&io);
}

/* Are frames of an MP4 file in memory just where its sample tables say? Not where some tables come later (fragments), and not in
 * formats that libavformat looks into or puts together. */
static bool may_skim(const struct demux_av *a)
{
	const struct input *in = a->is.in;
	bool is_plain = in->is_stable && strstr(a->ctx->iformat->name, "mp4");

	for (unsigned i = 0; i < a->ctx->nb_streams && is_plain; i++) {
		const AVCodecParameters *par = a->ctx->streams[i]->codecpar;

		is_plain = (par->codec_type != AVMEDIA_TYPE_VIDEO && par->codec_type != AVMEDIA_TYPE_AUDIO) ||
			   ((par->codec_id == AV_CODEC_ID_H264 || par->codec_id == AV_CODEC_ID_HEVC ||
			     par->codec_id == AV_CODEC_ID_AAC) &&
			    par->extradata_size > 0);
	}
	for (int64_t at = 0; is_plain && at + 16 <= in->size;) {
		const uint8_t *box = in->data + at;
		uint64_t size = get_u32(box);

		is_plain = memcmp(box + 4, "moof", 4) != 0;
		if (size == 1)
			size = (uint64_t)get_u32(box + 8) << 32 | get_u32(box + 12);
		if (size < 8 || size > (uint64_t)(in->size - at))
			break;
		at += (int64_t)size;
	}
	return is_plain;
}

/* Not those that name other files or addresses, but for HLS where it may. (DASH opens what it names without asking us.) */
static int find_format(struct demux_av *a, const AVInputFormat **format)
{
	static const char *const naming[] = { "dash", "concat", "sdp", "rtsp", "imf", "webm_dash_manifest", "vobsub" };
	int ret;

	a->is.in->hold = 0; /* a playlist is looked at as a whole */
	ret = av_probe_input_buffer2(a->ctx->pb, format, "", a->ctx, 0, 0);

	for (size_t i = 0; ret >= 0 && i < sizeof naming / sizeof *naming; i++)
		if (!strcmp((*format)->name, naming[i]))
			return AVERROR(EPERM);
	if (ret >= 0 && !strcmp((*format)->name, "hls") && !a->is.in->parts)
		return AVERROR_PROTOCOL_NOT_FOUND;
	a->is_playlist = ret >= 0 && !strcmp((*format)->name, "hls");
	return ret >= 0 && (*format)->flags & AVFMT_NOFILE ? AVERROR(EPERM) : ret;
}

static int open_format(struct demux_av *a, const AVInputFormat *format)
{
	AVDictionary *options = NULL;
	int ret = a->is_playlist ? demux_av_prepare_playlist(a->ctx, a->is.in, &options) : 0;

	a->is.in->hold = INT64_MAX;
	if (ret >= 0)
		ret = avformat_open_input(&a->ctx, a->is_playlist ? a->is.in->parts->base : "", format, &options);
	else
		avformat_free_context(a->ctx);
	av_dict_free(&options);
	return ret;
}

static int open_ctx(struct demux_av *a)
{
	const AVInputFormat *format = NULL;
	uint8_t *buffer = av_malloc(IO_BUFFER);
	int64_t (*seek)(void *, int64_t, int) = a->is.in->is_seekable ? seek_io : NULL;
	AVIOContext *io = buffer ? avio_alloc_context(buffer, IO_BUFFER, 0, a, read_io, NULL, seek) : NULL;
	int ret;

	a->at = 0;
	a->ctx = io ? avformat_alloc_context() : NULL;
	if (!a->ctx) {
		if (io)
			avio_context_free(&io);
		av_free(buffer);
		return AVERROR(ENOMEM);
	}
	a->ctx->pb = io;
	a->ctx->flags |= AVFMT_FLAG_CUSTOM_IO;
	a->ctx->opaque = a;
	a->ctx->io_open = open_other;
	a->ctx->io_close2 = close_other;
	a->ctx->max_streams = TRACKS_MAX;
	a->ctx->probesize = LIMIT_PROBE;
	a->ctx->max_analyze_duration = LIMIT_ANALYZE_US;
	a->ctx->protocol_whitelist = av_strdup("none"); /* some formats do not ask io_open, or open a context of their own */
	ret = a->ctx->protocol_whitelist ? find_format(a, &format) : AVERROR(ENOMEM);
	if (ret < 0) {
		close_ctx(a);
		return ret;
	}
	ret = open_format(a, format);
	if (ret < 0) { /* ctx is freed, but not what is ours */
		a->ctx = NULL;
		av_freep(&io->buffer);
		avio_context_free(&io);
		return ret;
	}
	a->is.is_stable = may_skim(a);
	if (a->is.is_stable) /* parsers would look into the frames */
		a->ctx->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
	if (a->is_playlist)
		a->program = demux_av_choose_variant(a->ctx);
	ret = avformat_find_stream_info(a->ctx, NULL);
	return ret < 0 && ret != AVERROR_EOF ? ret : 0;
}

/* Live streams may count from 1970 on. */
static void set_base(struct demux_av *a)
{
	int64_t us = a->ctx->start_time;
	bool is_far_off = us != AV_NOPTS_VALUE && (us > BASE_US || us < -BASE_US) && us < INT64_MAX / 2000 && us > INT64_MIN / 2000;

	a->base_ns = is_far_off ? us * 1000 : 0;
}

static void read_tracks(struct demux_av *a)
{
	a->main = -1;
	a->is.n_tracks = 0;
	for (unsigned i = 0; i < a->ctx->nb_streams && i < TRACKS_MAX; i++) {
		AVStream *st = a->ctx->streams[i];
		struct track *t = &a->tracks[a->is.n_tracks++];

		demux_av_track(t, st);
		if ((a->program && !demux_av_is_in(a->program, i)) || (a->is_playlist && t->type == TRACK_TEXT))
			t->type = TRACK_OTHER; /* it would be fetched */
		a->streams[i] = (struct stream){ .pos = -1, .next_ns = 0 };
		st->discard = t->type == TRACK_OTHER ? AVDISCARD_ALL : AVDISCARD_DEFAULT;
		if ((t->type == TRACK_VIDEO || t->type == TRACK_AUDIO) && (a->main < 0 || (t->type == TRACK_VIDEO && a->tracks[a->main].type != TRACK_VIDEO)))
			a->main = (int)i;
	}
}

/* From here on no byte of a frame need be read. Nor is it then copied from libavformat's buffer to its packets. */
static void skim(struct demux_av *a)
{
	a->is_skimmed = a->is.is_stable;
	a->ctx->pb->direct = a->is_skimmed;
}

/* ---- the first packets */

static void forget_head(struct demux_av *a)
{
	for (int i = 0; i < a->n_head; i++)
		av_packet_free(&a->head[i]);
	a->n_head = a->next_head = 0;
	a->head_bytes = 0;
	a->is_recording = false;
}

static void record(struct demux_av *a)
{
	if (a->n_head == LIMIT_HEAD_PACKETS || a->head_bytes + (size_t)a->packet->size > LIMIT_HEAD_BYTES ||
	    !(a->head[a->n_head] = av_packet_clone(a->packet))) {
		forget_head(a);
		return;
	}
	a->head_bytes += (size_t)a->packet->size;
	a->next_head = ++a->n_head; /* it is given out already */
}

static int read_packet(struct demux_av *a)
{
	int ret;

	av_packet_unref(a->packet);
	if (a->next_head < a->n_head) {
		ret = av_packet_ref(a->packet, a->head[a->next_head]);
		if (!a->is_recording)
			av_packet_free(&a->head[a->next_head]);
		a->next_head++;
		return ret;
	}
	if (!a->is_recording)
		forget_head(a);
	if (a->is_playlist)
		parts_wait(a->is.in->parts);
	ret = av_read_frame(a->ctx, a->packet);
	if (!ret && a->is_recording)
		record(a);
	return ret;
}

/* AAC without a configuration has it in the header of each frame, which is not passed on. */
static int read_adts(struct demux_av *a, AVStream *st, struct err *err)
{
	struct buf config = { 0 };
	size_t size;

	if (asc_read_adts((struct bytes){ a->packet->data, (size_t)a->packet->size }, &size, &config) && !buf_failed(&config)) {
		st->codecpar->extradata = av_mallocz(config.size + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!st->codecpar->extradata) {
			buf_finish(&config);
			return err_set(err, ERR_NOMEM, "out of memory");
		}
		memcpy(st->codecpar->extradata, config.data, config.size);
		st->codecpar->extradata_size = (int)config.size;
		a->tracks[st->index].codec_private = (struct bytes){ st->codecpar->extradata, config.size };
		a->streams[st->index].is_adts = true;
	}
	buf_finish(&config);
	return 0;
}

static bool lacks_config(const AVStream *st)
{
	return st->codecpar->codec_id == AV_CODEC_ID_AAC && st->codecpar->extradata_size <= 0;
}

/* Reads on until the first frame of each such track is there, and begins again. */
static int find_configs(struct demux_av *a, struct err *err)
{
	int n = 0, ret = 0;

	for (int i = 0; i < a->is.n_tracks; i++)
		n += lacks_config(a->ctx->streams[i]);
	for (int i = 0; i < LIMIT_CONFIG_PACKETS && n > 0 && !ret && read_packet(a) >= 0; i++)
		if (a->packet->stream_index < a->is.n_tracks && lacks_config(a->ctx->streams[a->packet->stream_index])) {
			ret = read_adts(a, a->ctx->streams[a->packet->stream_index], err);
			n -= a->streams[a->packet->stream_index].is_adts;
		}
	a->next_head = 0;
	return ret;
}

/* ---- frames */

static const AVRational ns_base = { 1, NS };

static int64_t to_ns(const struct demux_av *a, int64_t ts, int stream)
{
	return av_rescale_q(ts, a->ctx->streams[stream]->time_base, ns_base) - a->base_ns;
}

static bool is_far(int64_t ts, AVRational tb, int64_t base_ns)
{
	int64_t ns = ts == AV_NOPTS_VALUE ? base_ns : av_rescale_q(ts, tb, ns_base); /* INT64_MIN: it does not fit */

	return ns < base_ns - TIMELINE_MAX_NS || ns > base_ns + TIMELINE_MAX_NS;
}

/* No time of a packet that is kept overflows anything. */
static bool has_wild_times(const struct demux_av *a, const AVPacket *p)
{
	AVRational tb = a->ctx->streams[p->stream_index]->time_base;

	return is_far(p->pts, tb, a->base_ns) || is_far(p->dts, tb, a->base_ns) || is_far(p->duration, tb, 0);
}

/* What rises from frame to frame of a track, the same wherever reading began. */
static int64_t frame_id(const struct demux_av *a, struct stream *s, int64_t decode_ns)
{
	const AVPacket *p = a->packet;

	if (a->is_by_byte && p->pos >= 0) {
		s->n_at_pos = p->pos == s->pos && s->n_at_pos < LIMIT_PACKETS_AT_ONCE - 1 ? s->n_at_pos + 1 : 0;
		s->pos = p->pos;
		return s->pos * LIMIT_PACKETS_AT_ONCE + s->n_at_pos;
	}
	if (a->is_by_byte || a->is_counted || decode_ns == FRAME_NO_TIME)
		return s->id + 1;
	return (decode_ns + TIME_BIAS) | PLACE_CHECK;
}

/* An index may lie, and libavformat then takes one packet for another: where a packet of the stream that is sought lies tells. 0:
 * of another stream. */
static int64_t check_bits(const struct demux_av *a)
{
	return a->packet->stream_index == a->main ? 1 | (int64_t)((uint64_t)a->packet->pos * 0x9E3779B97F4A7C15 >> 53 << 1) : 0;
}

static int64_t frame_place(const struct demux_av *a, const struct stream *s, int64_t decode_ns)
{
	if (a->is_by_byte)
		return s->pos >= 0 ? s->pos : 0;
	if (a->is_counted || decode_ns == FRAME_NO_TIME || decode_ns + TIME_BIAS < 0)
		return a->is.first;
	return ((decode_ns + TIME_BIAS) & ~(int64_t)PLACE_CHECK) | check_bits(a);
}

static void read_skip(const AVPacket *p, const struct track *t, struct frame *f)
{
	size_t size = 0;
	const uint8_t *skip = av_packet_get_side_data(p, AV_PKT_DATA_SKIP_SAMPLES, &size);

	if (!skip || size < 8 || t->rate < 1)
		return;
	f->skip_samples = (int64_t)(skip[0] | skip[1] << 8 | skip[2] << 16 | (int64_t)skip[3] << 24);
	f->discard_ns = (int64_t)((double)(skip[4] | skip[5] << 8 | skip[6] << 16 | (int64_t)skip[7] << 24) * NS / t->rate);
}

/* A time that was guessed goes on from the frame before, which has been moved. */
static void move_times(struct demux_av *a, struct frame *f, int stream)
{
	int64_t ns = shift_of(&a->shift, stream, a->tracks[stream].type == TRACK_VIDEO, f->id, f->decode_ns, f->duration_ns);

	if (f->decode_ns != FRAME_NO_TIME)
		f->decode_ns += ns;
	if (!f->lace_index)
		f->time_ns += ns;
}

static void fill_frame(struct demux_av *a, struct frame *f)
{
	const AVPacket *p = a->packet;
	struct stream *s = &a->streams[p->stream_index];
	int64_t ts = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;

	*f = (struct frame){ .track = a->tracks[p->stream_index].number, .lace_count = 1, .size = p->size };
	f->is_timed = p->pts != AV_NOPTS_VALUE;
	f->is_key = p->flags & AV_PKT_FLAG_KEY;
	f->is_hidden = p->flags & AV_PKT_FLAG_DISCARD;
	f->decode_ns = p->dts != AV_NOPTS_VALUE ? to_ns(a, p->dts, p->stream_index) : FRAME_NO_TIME;
	f->time_ns = ts != AV_NOPTS_VALUE ? to_ns(a, ts, p->stream_index) : s->next_ns;
	f->lace_index = ts == AV_NOPTS_VALUE; /* follows the one before, whatever its time */
	f->duration_ns = p->duration > 0 ? av_rescale_q(p->duration, a->ctx->streams[p->stream_index]->time_base, ns_base) : 0;
	f->id = s->id = frame_id(a, s, f->decode_ns);
	f->place = frame_place(a, s, f->decode_ns);
	if (a->is.shift)
		move_times(a, f, p->stream_index);
	s->next_ns = f->time_ns + f->duration_ns;
	read_skip(p, &a->tracks[p->stream_index], f);
}

static int end(const struct demux_av *a, struct err *err)
{
	if (input_status(a->is.in, err) || (a->is_playlist && parts_end(a->is.in->parts, err)))
		return err->code;
	if (!a->has_read && !a->is.in->is_seekable && strstr(a->ctx->iformat->name, "mp4"))
		return err_set(err, ERR_UNSUPPORTED, "an MP4 file whose index is at its end cannot be read from a pipe: "
			       "move it to the front (ffmpeg -movflags +faststart), or name the file");
	return 0;
}

static int next(struct demux *d, struct frame *f, struct err *err)
{
	struct demux_av *a = (struct demux_av *)d;
	int ret;

	for (int n = 0; n < LIMIT_PASSED_OVER && (a->n_read++ % STOP_PACKETS || !input_is_stopped(d->in)); n++) {
		ret = read_packet(a);
		if (ret == AVERROR(ENOMEM))
			return err_set(err, ERR_NOMEM, "out of memory");
		if (ret < 0)
			return end(a, err);
		a->has_read = true;
		if (a->packet->stream_index >= d->n_tracks || a->tracks[a->packet->stream_index].type == TRACK_OTHER)
			continue;
		if (a->packet->flags & AV_PKT_FLAG_CORRUPT || a->packet->size <= 0 ||
		    has_wild_times(a, a->packet)) {
			d->damaged_bytes += a->packet->size;
			continue;
		}
		fill_frame(a, f);
		return 1;
	}
	if (input_status(d->in, err))
		return err->code;
	return err_set(err, ERR_LIMIT, "%d packets in a row hold nothing that can be played", LIMIT_PASSED_OVER);
}

/* Where reading begins inside of a transport stream, the end of the frame before may be in front of the first. */
static struct bytes from_start_code(const struct demux_av *a, struct bytes data, enum AVCodecID id)
{
	static const uint8_t code[] = { 0, 0, 1 };
	const uint8_t *at = data.data;

	if (a->is_by_byte && (id == AV_CODEC_ID_H264 || id == AV_CODEC_ID_HEVC) && data.size > 3 &&
	    (at = memmem(at, data.size, code, 3)))
		return (struct bytes){ at, data.size - (size_t)(at - data.data) };
	return data;
}

static int data(struct demux *d, const struct frame *f, struct buf *scratch, struct bytes *out, struct err *err)
{
	struct demux_av *a = (struct demux_av *)d;
	const AVPacket *p = a->packet;
	size_t head = 0;

	(void)f, (void)scratch;
	*out = (struct bytes){ p->data, (size_t)p->size };
	if (a->is_skimmed) {
		if (p->pos < 0 || p->size > d->in->size - p->pos)
			return err_set(err, ERR_DATA, "a frame that goes past the end of the file");
		out->data = d->in->data + p->pos;
		return 0;
	}
	if (a->streams[p->stream_index].is_adts && !asc_read_adts(*out, &head, NULL))
		return err_set(err, ERR_DATA, "a broken ADTS header");
	*out = (struct bytes){ p->data + head, (size_t)p->size - head };
	*out = from_start_code(a, *out, a->ctx->streams[p->stream_index]->codecpar->codec_id);
	return 0;
}

/* ---- places */

static void reset_streams(struct demux_av *a)
{
	shift_seek(&a->shift);
	for (int i = 0; i < a->is.n_tracks; i++)
		a->streams[i] = (struct stream){ .pos = -1, .is_adts = a->streams[i].is_adts };
}

/* Where everything begins: what is kept from there, else all is opened again. */
static int seek_first(struct demux_av *a, struct err *err)
{
	int ret;

	reset_streams(a);
	if (a->is_recording) {
		a->next_head = 0;
		a->is_recording = a->n_seeks++ == 0;
		return 0;
	}
	if (!a->is.in->is_seekable)
		return err_set(err, ERR_DATA, "no video or audio was found at the beginning of the stream");
	forget_head(a);
	close_ctx(a);
	a->is_skimmed = false;
	ret = open_ctx(a);
	if (ret < 0)
		return say(a, ret, err);
	if ((int)a->ctx->nb_streams < a->is.n_tracks)
		return err_set(err, ERR_DATA, "the file has changed");
	set_base(a);
	read_tracks(a);
	a->is_recording = true;
	ret = find_configs(a, err);
	a->is_recording = false;
	skim(a);
	return ret;
}

static int seek_time(struct demux_av *a, int64_t place)
{
	return av_seek_frame(a->ctx, a->main,
			     av_rescale_q((place | PLACE_CHECK) - TIME_BIAS + a->base_ns, ns_base,
					  a->ctx->streams[a->main]->time_base),
			     AVSEEK_FLAG_BACKWARD);
}

/* Is the packet of a place met from where libavformat has gone to? */
static bool is_there(struct demux_av *a, int64_t place)
{
	const AVPacket *p = a->packet;
	int64_t at;

	for (int i = 0; i < LIMIT_CHECK_PACKETS; i++) {
		av_packet_unref(a->packet);
		if (av_read_frame(a->ctx, a->packet) < 0)
			return false;
		if (p->stream_index != a->main || p->dts == AV_NOPTS_VALUE)
			continue;
		if (has_wild_times(a, p))
			return false;
		at = to_ns(a, p->dts, a->main) + TIME_BIAS;
		if (at >= 0 && ((at & ~(int64_t)PLACE_CHECK) | check_bits(a)) == place)
			return true;
		if ((at | PLACE_CHECK) >= (place | PLACE_CHECK))
			return false;
	}
	return false;
}

static int seek(struct demux *d, int64_t place, struct err *err)
{
	struct demux_av *a = (struct demux_av *)d;
	const AVStream *st = a->main >= 0 ? a->ctx->streams[a->main] : NULL;
	int ret;

	if (place == d->first || !st || (!a->is_by_byte && place > PLACE_MAX))
		return seek_first(a, err);
	forget_head(a);
	reset_streams(a);
	if (a->is_by_byte)
		ret = av_seek_frame(a->ctx, -1, place, AVSEEK_FLAG_BYTE);
	else
		ret = seek_time(a, place);
	/* an MP4's index is all there is */
	if (ret >= 0 && !a->is_by_byte && place & 1 && !strstr(a->ctx->iformat->name, "mp4"))
		ret = is_there(a, place) ? seek_time(a, place) : -1;
	return ret < 0 ? seek_first(a, err) : 0;
}

/* ---- public */

/* Streams that are joined, or whose sender may set its clock anew. */
static bool may_jump(const struct demux_av *a)
{
	return a->ctx->iformat->flags & AVFMT_TS_DISCONT || strstr(a->ctx->iformat->name, "flv");
}

static void close_av(struct demux *d)
{
	struct demux_av *a = (struct demux_av *)d;

	forget_head(a);
	av_packet_free(&a->packet);
	close_ctx(a);
	free(a);
}

int demux_open_av(struct demux **d, struct input *in, struct err *err)
{
	static const struct demux_class class = { seek, next, data, NULL, close_av };
	struct demux_av *a = calloc(1, sizeof *a);
	int ret;

	if (!a)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->is = (struct demux){ .class = &class, .in = in, .tracks = a->tracks, .first = 0 };
	a->packet = av_packet_alloc();
	ret = a->packet ? open_ctx(a) : AVERROR(ENOMEM);
	if (ret < 0) {
		say(a, ret, err);
		close_av(&a->is);
		return err->code;
	}
	a->is_by_byte = may_jump(a) && !strncmp(a->ctx->iformat->name, "mpeg", 4);
	a->is_counted = may_jump(a) && !a->is_by_byte && (in->is_forward || !in->is_seekable);
	shift_init(&a->shift);
	a->is.shift = a->is_by_byte || a->is_counted ? &a->shift : NULL;
	a->is_recording = true;
	set_base(a);
	read_tracks(a);
	ret = find_configs(a, err);
	if (ret) {
		close_av(&a->is);
		return ret;
	}
	skim(a);
	*d = &a->is;
	return 0;
}
