/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/video_decode.h"

#include "common/timeline.h"
#include "worker/codec.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_DEFAULT (TICKS_PER_SECOND / 25)
#define LIMIT_ERRORS 64 /* of one packet, that may hold several pictures */

struct video_decode {
	AVCodecContext *dec;
	AVPacket *packet;
	AVFrame *frame;
	int64_t last, next;    /* time of the latest frame, and where it ends; VIDEO_TIME_NONE */
	int64_t step;          /* of a frame whose length nobody says */
	bool is_begun;         /* a picture that needs no other came out */
	int64_t broken;
};

/* ---- times */

static int64_t length(const struct video_decode *d, const AVFrame *f)
{
	if (f->pkt_duration > 0 && f->pkt_duration < TIMELINE_MAX_TICKS)
		return f->pkt_duration;
	return f->repeat_pict > 0 && f->repeat_pict < 8 ? d->step * (2 + f->repeat_pict) / 2 : d->step;
}

static int64_t place(struct video_decode *d, const AVFrame *f)
{
	int64_t t = f->best_effort_timestamp;

	if (t < -TIMELINE_MAX_TICKS || t > TIMELINE_MAX_TICKS)
		t = d->next != VIDEO_TIME_NONE ? d->next : 0;
	if (d->last != VIDEO_TIME_NONE && t <= d->last)
		t = d->last + 1;
	d->last = t;
	d->next = t + length(d, f);
	return t;
}

/* What is made up of missing references, before the first picture that needs none. */
static bool is_torn(struct video_decode *d, const AVFrame *f)
{
	if (f->key_frame)
		d->is_begun = true;
	return !d->is_begun && (f->flags & AV_FRAME_FLAG_CORRUPT || f->decode_error_flags);
}

/* ---- public */

static int open_decoder(struct video_decode *d, const struct video_source *source, struct err *err)
{
	const AVCodec *codec = avcodec_find_decoder(source->par->codec_id);
	const char *name = avcodec_get_name(source->par->codec_id);
	int ret;

	if (!codec)
		return err_set(err, ERR_UNSUPPORTED, "video codec %s cannot be decoded", name);
	d->dec = avcodec_alloc_context3(codec);
	d->packet = av_packet_alloc();
	d->frame = av_frame_alloc();
	if (!d->dec || !d->packet || !d->frame || avcodec_parameters_to_context(d->dec, source->par) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	d->dec->thread_count = 1;
	/* nothing is made up for what is broken: that is where decoders crash */
	if (source->is_strict)
		d->dec->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
	d->dec->pkt_timebase = (AVRational){ 1, TICKS_PER_SECOND };
	d->dec->max_pixels = VIDEO_PIXELS_MAX;
	/* where the stream does not say how far it reorders, its level does: else pictures are lost until the decoder has
	 * learnt it */
	if (codec->id == AV_CODEC_ID_H264)
		d->dec->strict_std_compliance = FF_COMPLIANCE_STRICT;
	ret = avcodec_open2(d->dec, codec, NULL);
	return ret < 0 ? err_set(err, codec_error(ret, ERR_UNSUPPORTED),
				 "the decoder for %s does not take this track's configuration",
				 name) : 0;
}

int video_decode_create(struct video_decode **out, const struct video_source *source, struct err *err)
{
	struct video_decode *d = calloc(1, sizeof *d);
	int ret;

	*out = NULL;
	if (!d)
		return err_set(err, ERR_NOMEM, "out of memory");
	d->last = d->next = VIDEO_TIME_NONE;
	d->step = FRAME_DEFAULT;
	if (source->rate_num > 0 && source->rate_den > 0 && source->rate_num <= INT32_MAX && source->rate_den <= INT32_MAX)
		d->step = timeline_scale_round(TICKS_PER_SECOND, source->rate_den, source->rate_num);
	if (d->step < 1 || d->step > 10 * TICKS_PER_SECOND)
		d->step = FRAME_DEFAULT;
	ret = open_decoder(d, source, err);
	if (ret)
		video_decode_destroy(d);
	else
		*out = d;
	return ret;
}

void video_decode_destroy(struct video_decode *d)
{
	if (!d)
		return;
	avcodec_free_context(&d->dec);
	av_packet_free(&d->packet);
	av_frame_free(&d->frame);
	free(d);
}

static int send(struct video_decode *d, const struct video_packet *p, int *errors, struct err *err)
{
	int ret;

	if (p->data.size > INT32_MAX / 2 || av_new_packet(d->packet, (int)p->data.size) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(d->packet->data, p->data.data, p->data.size);
	d->packet->pts = p->pts == VIDEO_TIME_NONE ? AV_NOPTS_VALUE : p->pts;
	d->packet->dts = p->dts == VIDEO_TIME_NONE ? AV_NOPTS_VALUE : p->dts;
	d->packet->duration = p->duration;
	d->packet->flags = p->is_hidden ? AV_PKT_FLAG_DISCARD : 0;
	ret = avcodec_send_packet(d->dec, d->packet);
	av_packet_unref(d->packet);
	if (ret == AVERROR(ENOMEM))
		return err_set(err, ERR_NOMEM, "out of memory");
	*errors += ret < 0;
	return 0;
}

static int receive(struct video_decode *d, int *errors, video_frame_fn *fn, void *arg, struct err *err)
{
	int ret = 0, got = 0;

	while (!ret && *errors < LIMIT_ERRORS && (got = avcodec_receive_frame(d->dec, d->frame)) != AVERROR(EAGAIN) &&
	       got != AVERROR_EOF) {
		if (got == AVERROR(ENOMEM)) /* the packet is not broken: the same one will decode elsewhere */
			return err_set(err, ERR_NOMEM, "out of memory");
		*errors += got < 0;
		if (got < 0)
			continue;
		d->frame->pts = place(d, d->frame);
		if (!is_torn(d, d->frame))
			ret = fn(arg, d->frame, err);
		av_frame_unref(d->frame);
	}
	return ret;
}

int video_decode_push(struct video_decode *d, const struct video_packet *packet, video_frame_fn *fn, void *arg, struct err *err)
{
	int ret = 0, errors = 0;

	if (packet && !packet->data.size) /* of AVI: the picture before stays; to the decoder it would be the end */
		return 0;
	if (packet)
		ret = send(d, packet, &errors, err);
	else
		avcodec_send_packet(d->dec, NULL);
	if (!ret)
		ret = receive(d, &errors, fn, arg, err);
	d->broken += errors > 0;
	return ret;
}

int64_t video_decode_broken_packets(const struct video_decode *d)
{
	return d->broken;
}
