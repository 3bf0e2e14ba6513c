/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is known of an audio track before it is cut: facts from its first packets, lengths and places of packets.
 */
#include "worker/audio.h"

#include "common/log.h"
#include "common/timeline.h"
#include "worker/audio_codec.h"
#include "worker/audio_copy.h"
#include "worker/audio_encoder.h"
#include "worker/decide.h"

#include <libavcodec/vorbis_parser.h>
#include <stdlib.h>
#include <string.h>

/* A counted position is believed while the timestamps are nearer than this; farther off there is a real hole or overlap. */
#define CLOCK_TOLERANCE_MS 60

/* ---- facts */

/* Decodes until a frame comes out: its rate and length are the stream's. */
static int first_frame(AVCodecContext *dec, const struct bytes *first, int n_first, AVFrame *frame, struct err *err)
{
	AVPacket *packet = av_packet_alloc();
	int ret = packet ? AVERROR(EAGAIN) : AVERROR(ENOMEM);

	for (int i = 0; i < n_first && ret == AVERROR(EAGAIN); i++) {
		ret = av_new_packet(packet, (int)first[i].size);
		if (ret < 0)
			break;
		memcpy(packet->data, first[i].data, first[i].size);
		ret = avcodec_send_packet(dec, packet);
		av_packet_unref(packet);
		if (ret != AVERROR(ENOMEM))
			ret = avcodec_receive_frame(dec, frame);
		if (ret == AVERROR_INVALIDDATA)
			ret = AVERROR(EAGAIN);
	}
	av_packet_free(&packet);
	return ret >= 0 ? 0 : err_set(err, codec_error(ret, ERR_DATA), "none of the first %d audio packets can be decoded",
				      n_first);
}

static int encoded_facts(struct audio_facts *f, const struct track *track, const struct audio_codec *codec,
			 const struct record_options *options, const struct bytes *first, int n_first, struct err *err)
{
	struct audio_encoder *enc = NULL;
	AVCodecContext *dec = NULL;
	AVFrame *frame = av_frame_alloc();
	int64_t packet;
	int ret = frame ? audio_codec_open(&dec, track, err) : err_set(err, ERR_NOMEM, "out of memory");

	if (!ret)
		ret = first_frame(dec, first, n_first, frame, err);
	if (!ret && (frame->sample_rate < RECORD_RATE_MIN || frame->sample_rate > RECORD_RATE_MAX))
		ret = err_set(err, ERR_UNSUPPORTED, "audio sampled at %d Hz: %d to %d are taken", frame->sample_rate,
			      RECORD_RATE_MIN,
			      RECORD_RATE_MAX);
	if (ret)
		goto out;
	f->entry = FMP4_MP4A;
	f->rate = AUDIO_ENCODER_RATE;
	f->channels = options->audio_channels;
	f->unit = AUDIO_ENCODER_UNIT;
	f->source_rate = frame->sample_rate;
	f->source_unit = codec->unit ? codec->unit : frame->nb_samples;
	f->is_counted = codec->is_counted;
	packet = f->source_unit;
	if (f->is_counted)
		f->source_unit = 0;
	f->skip = codec->id == AV_CODEC_ID_OPUS && track->codec_private.size >= 12
			  ? track->codec_private.data[10] | track->codec_private.data[11] << 8
			  : 0;
	f->is_measured = f->is_counted || codec->unit || codec->id == AV_CODEC_ID_FLAC; /* whose last block is a shorter one */
	if (packet < 1920 && codec->unit)
		packet = 5760; /* the longest Opus packet */
	f->lead = audio_lead(f->source_rate, f->rate, f->unit,
			     (codec->warm_packets + 1) * packet + (int64_t)codec->warm_ms * f->source_rate / 1000);
	snprintf(f->codecs, sizeof f->codecs, "mp4a.40.2");
	ret = audio_encoder_create(&enc, f->rate, f->channels, options, 0, 1, NULL, NULL, err);
	if (!ret)
		buf_put(&f->config, audio_encoder_config(enc).data, audio_encoder_config(enc).size);
out:
	audio_encoder_destroy(enc);
	avcodec_free_context(&dec);
	av_frame_free(&frame);
	return ret;
}

int audio_facts_init(struct audio_facts *f, const struct track *track, const struct record_options *options,
		     const struct bytes *first, int n_first, struct err *err)
{
	const struct audio_codec *codec = audio_codec_find(track);
	int ret = ERR_UNSUPPORTED;
	bool may_copy;

	*f = (struct audio_facts){ 0 };
	if (!codec)
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", track->codec_id);
	may_copy = decide_may_copy_audio(avcodec_get_name(codec_id(track)), options);
	if (may_copy)
		ret = audio_copy_facts(f, codec, track, first, n_first, err);
	if (ret == ERR_UNSUPPORTED || (ret == ERR_DATA && codec->id != AV_CODEC_ID_AAC)) {
		if (may_copy)
			log_warn("audio cannot be copied and is encoded", "codec=%s reason=\"%s\"", track->codec_id, err->msg);
		audio_facts_finish(f);
		*f = (struct audio_facts){ 0 };
		ret = encoded_facts(f, track, codec, options, first, n_first, err);
	}
	if (!ret && (f->rate < 1 || f->source_rate < 1 || f->source_rate > 768000 || f->channels < 1 || f->channels > 8))
		ret = err_set(err, ERR_UNSUPPORTED, "audio of %d Hz with %d channels", f->source_rate, f->channels);
	if (!ret && buf_failed(&f->config))
		ret = err_set(err, ERR_NOMEM, "out of memory");
	if (ret)
		audio_facts_finish(f);
	return ret;
}

void audio_facts_finish(struct audio_facts *f)
{
	buf_finish(&f->config);
}

int64_t audio_frames(const struct record_audio *a, int64_t source_end)
{
	int64_t end = timeline_scale_ceil(source_end, a->rate, a->source_rate);

	return end > a->base ? timeline_scale_ceil(end - a->base, 1, a->unit) : 0;
}

/* ---- ruler */

struct audio_ruler {
	AVCodecParameters *par;
	AVVorbisParseContext *vorbis;
	int64_t unit;
	int sample_bytes; /* of PCM: one of each channel; else 0 */
	bool is_first;
};

int audio_ruler_create(struct audio_ruler **out, const struct track *track, int64_t source_unit, struct err *err)
{
	const struct audio_codec *codec = audio_codec_find(track);
	struct audio_ruler *r = calloc(1, sizeof *r);
	int ret;

	*out = NULL;
	if (!r)
		return err_set(err, ERR_NOMEM, "out of memory");
	r->unit = source_unit;
	r->is_first = true;
	ret = codec ? codec_parameters(&r->par, track, err)
		    : err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", track->codec_id);
	if (!ret)
		r->sample_bytes = av_get_exact_bits_per_sample(r->par->codec_id) * r->par->ch_layout.nb_channels / 8;
	if (!ret && r->par->codec_id == AV_CODEC_ID_VORBIS) {
		r->vorbis = av_vorbis_parse_init(r->par->extradata, r->par->extradata_size);
		if (!r->vorbis)
			ret = err_set(err, ERR_DATA, "audio track %llu: broken Vorbis headers", (unsigned long long)track->number);
	}
	if (ret) {
		audio_ruler_destroy(r);
		return ret;
	}
	*out = r;
	return 0;
}

void audio_ruler_destroy(struct audio_ruler *r)
{
	if (!r)
		return;
	avcodec_parameters_free(&r->par);
	av_vorbis_parse_free(&r->vorbis);
	free(r);
}

int64_t audio_ruler_anchor(const struct audio_ruler *r, int64_t pos, int64_t samples)
{
	return r->vorbis ? pos + samples : pos;
}

/* An access unit is 1/1200 s at 48 kHz and 40 samples at 44.1 kHz too; twice and four times that at their multiples. */
static int64_t truehd_samples(int rate)
{
	return rate > 96000 ? 160 : rate > 48000 ? 80 : 40;
}

int64_t audio_ruler_samples(struct audio_ruler *r, struct bytes packet)
{
	int64_t n;

	if (r->vorbis) {
		/* the first packet has nothing to overlap with: no samples */
		n = av_vorbis_parse_frame(r->vorbis, packet.data, (int)packet.size);
		if (r->is_first)
			n = 0;
		r->is_first = false;
		return n > 0 ? n : 0;
	}
	if (r->par->codec_id == AV_CODEC_ID_OPUS)
		return audio_copy_opus_samples(packet);
	if (r->par->codec_id == AV_CODEC_ID_FLAC && (n = audio_copy_flac_samples(packet)) > 0)
		return n;
	if (r->par->codec_id == AV_CODEC_ID_TRUEHD)
		return truehd_samples(r->par->sample_rate);
	if (r->sample_bytes > 0)
		return (int64_t)packet.size / r->sample_bytes;
	return r->unit > 0 ? r->unit : -1;
}

/* ---- clock */

void audio_clock_init(struct audio_clock *c, const struct record_audio *audio, int64_t first_pos)
{
	*c = (struct audio_clock){ audio->source_base, audio->source_unit, audio->source_rate, first_pos, false };
}

int64_t audio_clock_place(struct audio_clock *c, int64_t time_ns, int lace_index, int64_t samples)
{
	int64_t said = timeline_ns_to_samples(time_ns, c->rate), pos = c->next;

	if (lace_index > 0)
		pos = c->next;
	else if (c->unit)
		pos = c->base + timeline_scale_round(said - c->base, 1, c->unit) * c->unit;
	else if (c->is_begun && llabs(said - c->next) > (int64_t)CLOCK_TOLERANCE_MS * c->rate / 1000)
		pos = said;
	else if (samples < 0) /* nothing to count with */
		pos = said;
	c->is_begun = true;
	c->next = pos + (samples >= 0 ? samples : c->unit);
	return pos;
}
