/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/codec.h"

#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <math.h>
#include <string.h>

#define LIMIT_RATE 768000
#define LIMIT_CHANNELS 64
#define LIMIT_SIZE 16384
#define LIMIT_EXTRADATA (1 << 20)
#define BITMAP_HEADER 40 /* BITMAPINFOHEADER */
#define WAVE_HEADER 18   /* WAVEFORMATEX */

/* RFC 9559's codec mappings; PCM goes by bit depth, VFW, ACM and QuickTime by a code of their own. */
static const struct {
	const char *name; /* CodecID, or its beginning when is_prefix */
	bool is_prefix;
	enum AVCodecID id;
} matroska[] = {
	{ "V_MPEG4/ISO/AVC", true, AV_CODEC_ID_H264 },
	{ "V_MPEGH/ISO/HEVC", true, AV_CODEC_ID_HEVC },
	{ "V_MPEG1", false, AV_CODEC_ID_MPEG1VIDEO },
	{ "V_MPEG2", false, AV_CODEC_ID_MPEG2VIDEO },
	{ "V_MPEG4/ISO/", true, AV_CODEC_ID_MPEG4 },
	{ "V_MPEG4/MS/V3", false, AV_CODEC_ID_MSMPEG4V3 },
	{ "V_VP8", false, AV_CODEC_ID_VP8 },
	{ "V_VP9", false, AV_CODEC_ID_VP9 },
	{ "V_AV1", false, AV_CODEC_ID_AV1 },
	{ "V_THEORA", false, AV_CODEC_ID_THEORA },
	{ "V_MJPEG", false, AV_CODEC_ID_MJPEG },
	{ "V_FFV1", false, AV_CODEC_ID_FFV1 },
	{ "V_SNOW", false, AV_CODEC_ID_SNOW },
	{ "A_AAC", true, AV_CODEC_ID_AAC },
	{ "A_AC3", true, AV_CODEC_ID_AC3 },
	{ "A_EAC3", false, AV_CODEC_ID_EAC3 },
	{ "A_DTS", true, AV_CODEC_ID_DTS },
	{ "A_TRUEHD", false, AV_CODEC_ID_TRUEHD },
	{ "A_MLP", false, AV_CODEC_ID_MLP },
	{ "A_MPEG/L3", false, AV_CODEC_ID_MP3 },
	{ "A_MPEG/L2", false, AV_CODEC_ID_MP2 },
	{ "A_MPEG/L1", false, AV_CODEC_ID_MP1 },
	{ "A_OPUS", true, AV_CODEC_ID_OPUS },
	{ "A_VORBIS", false, AV_CODEC_ID_VORBIS },
	{ "A_FLAC", false, AV_CODEC_ID_FLAC },
	{ "A_ALAC", false, AV_CODEC_ID_ALAC },
	{ "S_TEXT/UTF8", false, AV_CODEC_ID_SUBRIP },
	{ "S_TEXT/ASCII", false, AV_CODEC_ID_SUBRIP },
	{ "S_TEXT/ASS", false, AV_CODEC_ID_ASS },
	{ "S_TEXT/SSA", false, AV_CODEC_ID_ASS },
	{ "S_ASS", false, AV_CODEC_ID_ASS },
	{ "S_SSA", false, AV_CODEC_ID_ASS },
	{ "S_TEXT/WEBVTT", false, AV_CODEC_ID_WEBVTT },
	{ "D_WEBVTT/", true, AV_CODEC_ID_WEBVTT },
};

static enum AVCodecID pcm_id(const struct track *t)
{
	bool is_big = strstr(t->codec_id, "/BIG") != NULL;

	if (strstr(t->codec_id, "FLOAT"))
		return t->bit_depth == 64 ? AV_CODEC_ID_PCM_F64LE : t->bit_depth == 32 ? AV_CODEC_ID_PCM_F32LE : AV_CODEC_ID_NONE;
	switch (t->bit_depth) {
	case 8:
		return AV_CODEC_ID_PCM_U8;
	case 16:
		return is_big ? AV_CODEC_ID_PCM_S16BE : AV_CODEC_ID_PCM_S16LE;
	case 24:
		return is_big ? AV_CODEC_ID_PCM_S24BE : AV_CODEC_ID_PCM_S24LE;
	case 32:
		return is_big ? AV_CODEC_ID_PCM_S32BE : AV_CODEC_ID_PCM_S32LE;
	default:
		return AV_CODEC_ID_NONE;
	}
}

static uint32_t tag_at(struct bytes p, size_t at)
{
	if (p.size < at + 4)
		return 0;
	return p.data[at] | (uint32_t)p.data[at + 1] << 8 | (uint32_t)p.data[at + 2] << 16 | (uint32_t)p.data[at + 3] << 24;
}

static bool is_vfw(const struct track *t)
{
	return !strcmp(t->codec_id, "V_MS/VFW/FOURCC") && t->codec_private.size >= BITMAP_HEADER;
}

static bool is_acm(const struct track *t)
{
	return !strcmp(t->codec_id, "A_MS/ACM") && t->codec_private.size >= WAVE_HEADER;
}

static enum AVCodecID id_of_tag(const struct AVCodecTag *tags, uint32_t tag)
{
	return av_codec_get_id((const struct AVCodecTag *const[]){ tags, NULL }, tag);
}

enum AVCodecID codec_id(const struct track *t)
{
	if (t->par)
		return t->par->codec_id;
	for (size_t i = 0; i < sizeof matroska / sizeof *matroska; i++) {
		size_t n = strlen(matroska[i].name);

		if (!strncmp(t->codec_id, matroska[i].name, n) && (matroska[i].is_prefix || !t->codec_id[n]))
			return matroska[i].id;
	}
	if (!strncmp(t->codec_id, "A_PCM/", 6))
		return pcm_id(t);
	if (is_vfw(t))
		return id_of_tag(avformat_get_riff_video_tags(), tag_at(t->codec_private, 16));
	if (is_acm(t))
		return id_of_tag(avformat_get_riff_audio_tags(), tag_at(t->codec_private, 0) & 0xffff);
	if (!strcmp(t->codec_id, "V_QUICKTIME"))
		return id_of_tag(avformat_get_mov_video_tags(), tag_at(t->codec_private, 4));
	return AV_CODEC_ID_NONE;
}

/* ALAC's private data in Matroska is the magic cookie without its atom header; libavcodec wants the atom. */
static int put_extradata(AVCodecParameters *par, const struct track *t)
{
	static const uint8_t alac_head[12] = { 0, 0, 0, 36, 'a', 'l', 'a', 'c', 0, 0, 0, 0 };
	size_t head = par->codec_id == AV_CODEC_ID_ALAC && t->codec_private.size == 24 ? sizeof alac_head : 0;
	size_t skip = is_vfw(t) ? BITMAP_HEADER : is_acm(t) ? WAVE_HEADER : 0, size = t->codec_private.size - skip;

	if (!size)
		return 0;
	par->extradata = av_mallocz(head + size + AV_INPUT_BUFFER_PADDING_SIZE);
	if (!par->extradata)
		return -1;
	memcpy(par->extradata, alac_head, head);
	memcpy(par->extradata + head, t->codec_private.data + skip, size);
	par->extradata_size = (int)(head + size);
	return 0;
}

static int check_ranges(const struct track *t, struct err *err)
{
	if (t->codec_private.size > LIMIT_EXTRADATA)
		return err_set(err, ERR_LIMIT, "track %llu: a CodecPrivate of %zu bytes", (unsigned long long)t->number,
			       t->codec_private.size);
	if (t->type == TRACK_VIDEO && (t->width < 0 || t->width > LIMIT_SIZE || t->height < 0 || t->height > LIMIT_SIZE))
		return err_set(err, ERR_LIMIT, "video track %llu: pictures of %d x %d", (unsigned long long)t->number, t->width,
			       t->height);
	if (t->type == TRACK_AUDIO &&
	    (!(t->rate >= 1 && t->rate <= LIMIT_RATE) || t->channels < 0 || t->channels > LIMIT_CHANNELS))
		return err_set(err, ERR_DATA, "audio track %llu: a sampling rate of %.0f Hz with %d channels is out of range",
			       (unsigned long long)t->number, t->rate, t->channels);
	return 0;
}

static void set_audio(AVCodecParameters *par, const struct track *t)
{
	par->codec_type = AVMEDIA_TYPE_AUDIO;
	par->sample_rate = (int)lrint(t->rate);
	par->bits_per_coded_sample = t->bit_depth;
	av_channel_layout_default(&par->ch_layout, t->channels ? t->channels : 2);
	if (!strncmp(t->codec_id, "A_PCM/", 6))
		par->block_align = t->bit_depth / 8 * t->channels;
	if (!is_acm(t))
		return;
	par->codec_tag = tag_at(t->codec_private, 0) & 0xffff;
	par->bit_rate = (int64_t)tag_at(t->codec_private, 8) * 8;
	par->block_align = (int)(tag_at(t->codec_private, 12) & 0xffff);
}

static void set_video(AVCodecParameters *par, const struct track *t)
{
	par->codec_type = AVMEDIA_TYPE_VIDEO;
	par->width = t->width;
	par->height = t->height;
	if (is_vfw(t)) {
		par->codec_tag = tag_at(t->codec_private, 16);
		par->bits_per_coded_sample = (int)(tag_at(t->codec_private, 14) & 0xffff);
	}
}

int codec_parameters(AVCodecParameters **out, const struct track *t, struct err *err)
{
	AVCodecParameters *par;
	int ret = check_ranges(t, err);

	*out = NULL;
	if (ret)
		return ret;
	if (codec_id(t) == AV_CODEC_ID_NONE)
		return err_set(err, ERR_UNSUPPORTED, "codec %s is not known", t->codec_id);
	par = avcodec_parameters_alloc();
	if (!par)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (t->par) {
		ret = avcodec_parameters_copy(par, t->par) < 0;
	} else {
		par->codec_id = codec_id(t);
		if (t->type == TRACK_AUDIO)
			set_audio(par, t);
		else if (t->type == TRACK_TEXT)
			par->codec_type = AVMEDIA_TYPE_SUBTITLE;
		else
			set_video(par, t);
		ret = put_extradata(par, t);
	}
	if (ret) {
		avcodec_parameters_free(&par);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = par;
	return 0;
}
