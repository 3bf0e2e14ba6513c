/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/audio_copy.h"

#include "worker/ac3.h"
#include "worker/asc.h"

#include <stdio.h>
#include <string.h>

#define OPUS_RATE 48000
#define OPUS_STEP 120        /* 2.5 ms: every packet's length is a multiple */
#define OPUS_ROLL (OPUS_RATE / 1000 * 80) /* samples to decode in front of the first that is right */
#define OPUS_HEAD 19         /* bytes of OpusHead without a channel mapping table */
#define STREAMINFO 34        /* bytes */
#define MPEG_UNIT 1152       /* samples of a frame of MPEG-1 layer III */

static void set_unit(struct audio_facts *f, int rate, int channels, int64_t unit)
{
	f->rate = f->source_rate = rate;
	f->channels = channels;
	f->unit = f->source_unit = unit;
	f->lead = 2 * unit;
}

/* ---- AAC */

static int aac_facts(struct audio_facts *f, const struct track *track, struct err *err)
{
	struct asc asc;
	struct bytes config = track->codec_private;
	int ret;

	if (config.size < 2) {
		asc_put_lc(&f->config, (int)track->rate, track->channels);
		config = buf_bytes(&f->config);
	} else {
		buf_put(&f->config, config.data, config.size);
	}
	ret = asc_read(config, &asc, err);
	if (ret)
		return err_prefix(err, "audio track %llu", (unsigned long long)track->number);
	f->entry = FMP4_MP4A;
	set_unit(f, asc.rate, asc.channels, asc.frame_samples);
	snprintf(f->codecs, sizeof f->codecs, "%s", asc.codecs);
	return 0;
}

/* ---- AC-3, E-AC-3 */

/* The first packet that can be read speaks for all: channels may change later, frames say so themselves. */
static int ac3_facts(struct audio_facts *f, const struct bytes *first, int n_first, struct err *err)
{
	struct ac3 a;
	int ret = err_set(err, ERR_DATA, "no packet");

	for (int i = 0; i < n_first && ret == ERR_DATA; i++)
		ret = ac3_read(first[i], &a, err);
	if (ret)
		return ret;
	ac3_put_config(&f->config, &a);
	f->entry = a.is_enhanced ? FMP4_EC3 : FMP4_AC3;
	set_unit(f, a.rate, a.channels, a.samples);
	snprintf(f->codecs, sizeof f->codecs, a.is_enhanced ? "ec-3" : "ac-3");
	return 0;
}

/* ---- Opus */

int64_t audio_copy_opus_samples(struct bytes p)
{
	static const int16_t silk[4] = { 480, 960, 1920, 2880 }, hybrid[2] = { 480, 960 }, celt[4] = { 120, 240, 480, 960 };
	int config, count;

	if (!p.size)
		return 0;
	config = p.data[0] >> 3;
	count = (p.data[0] & 3) == 0 ? 1 : (p.data[0] & 3) < 3 ? 2 : p.size > 1 ? p.data[1] & 63 : 0;
	return count * (config < 12 ? silk[config & 3] : config < 16 ? hybrid[config & 1] : celt[config & 3]);
}

static uint16_t get_u16le(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

/* OpusHead (RFC 7845 section 5.1) as OpusSpecificBox (Encapsulation of Opus in ISOBMFF, section 4.3.2): the same fields,
 * big-endian. */
static void put_dops(struct buf *out, const uint8_t *head, size_t size)
{
	buf_put_u8(out, 0);
	buf_put_u8(out, head[9]);
	buf_put_u16(out, get_u16le(head + 10)); /* PreSkip */
	buf_put_u32(out, (uint32_t)get_u16le(head + 14) << 16 | get_u16le(head + 12)); /* InputSampleRate */
	buf_put_u16(out, get_u16le(head + 16)); /* OutputGain */
	buf_put(out, head + 18, size - 18); /* ChannelMappingFamily and its table */
}

/* Packets may be of different lengths: the grid has steps of 2.5 ms, and a packet takes several. */
static int opus_facts(struct audio_facts *f, const struct track *track, const struct bytes *first, int n_first,
		      struct err *err)
{
	const uint8_t *head = track->codec_private.data;
	size_t size = track->codec_private.size, whole;
	int64_t samples = 0;

	if (size < OPUS_HEAD || memcmp(head, "OpusHead", 8) || head[8] > 15 || !head[9])
		return err_set(err, ERR_UNSUPPORTED, "no OpusHead in CodecPrivate");
	whole = OPUS_HEAD + (head[18] ? 2u + head[9] : 0);
	if (size < whole || (!head[18] && head[9] > 2))
		return err_set(err, ERR_UNSUPPORTED, "a broken channel mapping in OpusHead");
	for (int i = 0; i < n_first && !samples; i++)
		samples = audio_copy_opus_samples(first[i]);
	if (!samples)
		return err_set(err, ERR_UNSUPPORTED, "no whole packet");
	put_dops(&f->config, head, whole);
	f->entry = FMP4_OPUS;
	f->is_measured = true;
	set_unit(f, OPUS_RATE, head[9], OPUS_STEP);
	f->skip = f->delay = get_u16le(head + 10);
	f->roll = -(int)((OPUS_ROLL + samples - 1) / samples);
	f->lead = 2 * OPUS_RATE * 120 / 1000; /* of the longest packets */
	snprintf(f->codecs, sizeof f->codecs, "opus");
	return 0;
}

/* ---- FLAC */

/* The frame's number is coded like UTF-8. */
static size_t flac_number_size(uint8_t c)
{
	size_t n = 0;

	while (n < 7 && c & 0x80 >> n)
		n++;
	return n ? n : 1;
}

int64_t audio_copy_flac_samples(struct bytes p)
{
	size_t at;
	int code;

	if (p.size < 5 || p.data[0] != 0xff || (p.data[1] & 0xfe) != 0xf8)
		return 0;
	code = p.data[2] >> 4;
	at = 4 + flac_number_size(p.data[4]);
	if (p.size < at + 2)
		return 0;
	if (code == 6)
		return p.data[at] + 1;
	if (code == 7)
		return get_u16(p.data + at) + 1;
	return code >= 8 ? 256 << (code - 8) : code >= 2 ? 576 << (code - 2) : code ? 192 : 0;
}

/* CodecPrivate is "fLaC" and the metadata blocks (RFC 9639 section 8), of which STREAMINFO comes first and is enough. */
static int flac_facts(struct audio_facts *f, const struct track *track, struct err *err)
{
	const uint8_t *p = track->codec_private.data, *info;
	size_t size = track->codec_private.size, head = size >= 4 && !memcmp(p, "fLaC", 4) ? 4 : 0;

	if (size < head + 4 + STREAMINFO || (p[head] & 0x7f) || (get_u32(p + head) & 0xffffff) != STREAMINFO)
		return err_set(err, ERR_UNSUPPORTED, "no STREAMINFO in CodecPrivate");
	info = p + head + 4;
	if (get_u16(info) != get_u16(info + 2) || get_u16(info) < 16)
		return err_set(err, ERR_UNSUPPORTED, "FLAC of blocks of different sizes");
	buf_put_u32(&f->config, 0x80000000u | STREAMINFO); /* the last one */
	buf_put(&f->config, info, STREAMINFO);
	f->entry = FMP4_FLAC;
	f->is_measured = true; /* the last block is a shorter one */
	set_unit(f, (int)(get_u32(info + 10) >> 12), (info[12] >> 1 & 7) + 1, get_u16(info));
	f->sample_bits = ((info[12] & 1) << 4 | info[13] >> 4) + 1;
	snprintf(f->codecs, sizeof f->codecs, "fLaC");
	return 0;
}

/* ---- MP3 */

/* ISO/IEC 11172-3 section 2.4.2.3: MPEG-1, layer III. The lower rates of MPEG-2 are encoded. */
static int mp3_facts(struct audio_facts *f, const struct bytes *first, int n_first, struct err *err)
{
	static const int rates[4] = { 44100, 48000, 32000, 0 };

	for (int i = 0; i < n_first; i++) {
		const uint8_t *p = first[i].data;

		if (first[i].size < 4 || p[0] != 0xff || (p[1] & 0xfe) != 0xfa || !rates[p[2] >> 2 & 3])
			continue;
		f->entry = FMP4_MP3;
		set_unit(f, rates[p[2] >> 2 & 3], p[3] >> 6 == 3 ? 1 : 2, MPEG_UNIT);
		snprintf(f->codecs, sizeof f->codecs, "mp4a.40.34");
		return 0;
	}
	return err_set(err, ERR_UNSUPPORTED, "no frame of MPEG-1 layer III");
}

/* ---- public */

int audio_copy_facts(struct audio_facts *f, const struct audio_codec *codec, const struct track *track,
		     const struct bytes *first, int n_first, struct err *err)
{
	f->is_copy = true;
	switch (codec->id) {
	case AV_CODEC_ID_AAC:
		return aac_facts(f, track, err);
	case AV_CODEC_ID_AC3:
	case AV_CODEC_ID_EAC3:
		return ac3_facts(f, first, n_first, err);
	case AV_CODEC_ID_OPUS:
		return opus_facts(f, track, first, n_first, err);
	case AV_CODEC_ID_FLAC:
		return flac_facts(f, track, err);
	case AV_CODEC_ID_MP3:
		return mp3_facts(f, first, n_first, err);
	default:
		return err_set(err, ERR_UNSUPPORTED, "there is no place for it in MP4");
	}
}
