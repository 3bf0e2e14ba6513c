/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/text.h"

#include "worker/codec.h"
#include "worker/vtt.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_PACKET (1 << 20) /* bytes; of one cue */
#define ASS_FIELDS 8           /* with a comma behind, before an event's text */

struct text_decoder {
	AVCodecContext *codec;
	AVPacket *packet;
	int n_lines; /* in front of a cue's text: its identifier and its settings */
};

static bool is_text(enum AVCodecID id)
{
	const AVCodecDescriptor *d = avcodec_descriptor_get(id);

	return d && d->type == AVMEDIA_TYPE_SUBTITLE && d->props & AV_CODEC_PROP_TEXT_SUB && !(d->props & AV_CODEC_PROP_BITMAP_SUB) &&
	       id != AV_CODEC_ID_EIA_608; /* whose packets are pieces of cues */
}

int text_decoder_create(struct text_decoder **out, const struct track *track, struct err *err)
{
	const AVCodec *lib = is_text(codec_id(track)) ? avcodec_find_decoder(codec_id(track)) : NULL;
	AVCodecParameters *par = NULL;
	struct text_decoder *d;
	int ret = lib ? codec_parameters(&par, track, err) : err_set(err, ERR_UNSUPPORTED, "they are not text that can be read");

	*out = NULL;
	if (ret)
		return ret;
	d = calloc(1, sizeof *d);
	if (d) {
		d->n_lines = !track->par && !strncmp(track->codec_id, "D_WEBVTT/", 9) ? 2 : 0;
		d->packet = av_packet_alloc();
		d->codec = avcodec_alloc_context3(lib);
	}
	if (!d || !d->packet || !d->codec || avcodec_parameters_to_context(d->codec, par) < 0) {
		ret = err_set(err, ERR_NOMEM, "out of memory");
	} else {
		d->codec->pkt_timebase = (AVRational){ 1, 1000 };
		d->codec->sub_charenc_mode = FF_SUB_CHARENC_MODE_IGNORE; /* what is no UTF-8 is seen to in vtt.c */
		ret = avcodec_open2(d->codec, lib, NULL);
		if (ret < 0)
			ret = err_set(err, codec_error(ret, ERR_UNSUPPORTED), "their decoder does not take their head");
	}
	avcodec_parameters_free(&par);
	if (ret) {
		text_decoder_destroy(d);
		return ret;
	}
	*out = d;
	return 0;
}

void text_decoder_destroy(struct text_decoder *d)
{
	if (!d)
		return;
	avcodec_free_context(&d->codec);
	av_packet_free(&d->packet);
	free(d);
}

bool text_is_empty(const struct track *track, int64_t size)
{
	return track->par && codec_id(track) == AV_CODEC_ID_MOV_TEXT && size <= 2; /* the length of its text */
}

/* The text of "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text". */
static const char *event_text(const char *event)
{
	for (int i = 0; event && i < ASS_FIELDS; i++) {
		event = strchr(event, ',');
		if (event)
			event++;
	}
	return event;
}

static void put_events(const AVSubtitle *sub, struct buf *out)
{
	for (unsigned i = 0; i < sub->num_rects; i++) {
		const AVSubtitleRect *r = sub->rects[i];
		const char *text = r->type == SUBTITLE_ASS ? event_text(r->ass) : NULL;
		size_t before = out->size;

		if (!text)
			continue;
		if (before)
			buf_put_u8(out, '\n');
		vtt_put_text(out, text);
		if (before && out->size == before + 1)
			out->size = before;
	}
}

static struct bytes without_lines(struct bytes b, int n)
{
	for (const uint8_t *end; n && (end = b.size ? memchr(b.data, '\n', b.size) : NULL); n--)
		b = (struct bytes){ end + 1, b.size - (size_t)(end + 1 - b.data) };
	return b;
}

int text_decode(struct text_decoder *d, struct bytes packet, struct buf *out, struct err *err)
{
	AVSubtitle sub = { 0 };
	int has_sub = 0, ret;

	packet = without_lines(packet, d->n_lines);

	if (packet.size > LIMIT_PACKET)
		return err_set(err, ERR_LIMIT, "a cue of %zu bytes", packet.size);
	if (!packet.size)
		return 0;
	if (av_new_packet(d->packet, (int)packet.size) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(d->packet->data, packet.data, packet.size);
	d->packet->pts = d->packet->dts = 0;
	d->packet->duration = 1000;
	ret = avcodec_decode_subtitle2(d->codec, &sub, &has_sub, d->packet);
	av_packet_unref(d->packet);
	if (ret >= 0 && has_sub)
		put_events(&sub, out);
	avsubtitle_free(&sub);
	if (ret < 0)
		return err_set(err, codec_error(ret, ERR_DATA), "a broken cue");
	return buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
