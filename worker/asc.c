/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/asc.h"

#include "worker/bits.h"

#include <stdio.h>

#define LIMIT_ASC 1024 /* bytes; real ones have 2 to 7, with a program configuration under 300 */
#define LIMIT_RATE 192000

#define SYNC_SBR 0x2b7 /* syncExtensionType */
#define SYNC_PS 0x548

enum { TYPE_LC = 2, TYPE_LTP = 4, TYPE_SBR = 5, TYPE_PS = 29 }; /* audio object types */

static const int rates[13] = {
	96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
};
/* of a channel configuration; 0: reserved */
static const int channels_of[16] = { 0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0 };

static size_t bits_left(const struct bits *b)
{
	return b->size * 8 - b->at;
}

static int read_type(struct bits *b)
{
	int type = (int)bits_get(b, 5);

	return type == 31 ? 32 + (int)bits_get(b, 6) : type;
}

static int read_rate(struct bits *b)
{
	unsigned i = bits_get(b, 4);

	return i == 15 ? (int)bits_get(b, 24) : i < 13 ? rates[i] : 0;
}

/* program_config_element, table 4.2: channels of its front, side, back and LFE elements. */
static int read_pce_channels(struct bits *b)
{
	unsigned n[3], lfe, data, coupling;
	int channels = 0;

	bits_skip(b, 4 + 2 + 4);
	for (int i = 0; i < 3; i++)
		n[i] = bits_get(b, 4);
	lfe = bits_get(b, 2);
	data = bits_get(b, 3);
	coupling = bits_get(b, 4);
	for (int i = 0; i < 2; i++)
		if (bits_get(b, 1))
			bits_skip(b, 4);
	if (bits_get(b, 1))
		bits_skip(b, 3);
	for (int i = 0; i < 3; i++)
		for (unsigned k = 0; k < n[i]; k++) {
			channels += 1 + (int)bits_get(b, 1);
			bits_skip(b, 4);
		}
	bits_skip(b, lfe * 4 + data * 4 + coupling * 5);
	bits_skip(b, (8 - b->at % 8) % 8);
	bits_skip(b, (size_t)bits_get(b, 8) * 8); /* comment */
	return channels + (int)lfe;
}

static bool is_rate(int rate)
{
	return rate > 0 && rate <= LIMIT_RATE;
}

/* Backward compatible signalling of SBR and PS behind the configuration. Decoders that do not know it play the core, so one
 * that is broken counts as absent. */
static void read_extension(struct bits *b, struct asc *a)
{
	int rate;

	if (a->has_sbr || bits_left(b) < 16 || bits_get(b, 11) != SYNC_SBR || read_type(b) != TYPE_SBR || !bits_get(b, 1))
		return;
	rate = read_rate(b);
	if (b->is_over || !is_rate(rate))
		return;
	a->has_sbr = true;
	a->extension_rate = rate;
	a->has_ps = bits_left(b) >= 12 && bits_get(b, 11) == SYNC_PS && bits_get(b, 1);
}

/* GASpecificConfig, table 4.1. */
static void read_general(struct bits *b, unsigned configuration, struct asc *a)
{
	bool has_extension;

	a->frame_samples = bits_get(b, 1) ? 960 : 1024;
	if (bits_get(b, 1)) /* dependsOnCoreCoder */
		bits_skip(b, 14);
	has_extension = bits_get(b, 1);
	a->channels = configuration ? channels_of[configuration] : read_pce_channels(b);
	if (has_extension)
		bits_skip(b, 1); /* extensionFlag3 */
}

int asc_read(struct bytes config, struct asc *a, struct err *err)
{
	struct bits b = { config.data, config.size, 0, false };
	unsigned configuration;

	*a = (struct asc){ 0 };
	if (config.size > LIMIT_ASC)
		return err_set(err, ERR_LIMIT, "an AudioSpecificConfig of %zu bytes", config.size);
	a->object_type = read_type(&b);
	a->rate = read_rate(&b);
	configuration = bits_get(&b, 4);
	if (a->object_type == TYPE_SBR || a->object_type == TYPE_PS) {
		a->has_sbr = true;
		a->has_ps = a->object_type == TYPE_PS;
		a->extension_rate = read_rate(&b);
		a->object_type = read_type(&b);
	}
	if (b.is_over || !is_rate(a->rate) || (a->has_sbr && !is_rate(a->extension_rate)))
		return err_set(err, ERR_DATA, "broken AudioSpecificConfig (%zu bytes)", config.size);
	if (a->object_type < 1 || a->object_type > TYPE_LTP)
		return err_set(err, ERR_UNSUPPORTED, "AAC of audio object type %d", a->object_type);
	read_general(&b, configuration, a);
	if (b.is_over)
		return err_set(err, ERR_DATA, "broken AudioSpecificConfig (%zu bytes)", config.size);
	if (a->channels < 1)
		return err_set(err, ERR_UNSUPPORTED, "AAC with channel configuration %u", configuration);
	read_extension(&b, a);
	if (a->has_ps && a->channels == 1)
		a->channels = 2; /* what PS is for */
	snprintf(a->codecs, sizeof a->codecs, "mp4a.40.%d",
		 a->has_ps ? TYPE_PS : a->has_sbr ? TYPE_SBR : a->object_type);
	return 0;
}

void asc_put_lc(struct buf *out, int rate, int channels)
{
	static const uint8_t configuration_of[9] = { 0, 1, 2, 3, 4, 5, 6, 11, 7 };
	unsigned i = 0, configuration = channels > 0 && channels <= 8 ? configuration_of[channels] : 0;

	while (i < 13 && rates[i] != rate)
		i++;
	if (i < 13) {
		buf_put_u16(out, (uint16_t)(TYPE_LC << 11 | i << 7 | configuration << 3));
		return;
	}
	if (rate < 0 || rate > 0xffffff)
		rate = 0; /* asc_read refuses it */
	buf_put_u8(out, (uint8_t)(TYPE_LC << 3 | 7));
	buf_put_u32(out, 1u << 31 | (uint32_t)rate << 7 | configuration << 3);
}

bool asc_read_adts(struct bytes p, size_t *size, struct buf *config)
{
	struct bits b = { p.data, p.size, 0 };
	unsigned type, rate, channels;
	bool has_crc;

	if (p.size < 7 || bits_get(&b, 12) != 0xfff)
		return false;
	bits_skip(&b, 3); /* ID, layer */
	has_crc = !bits_get(&b, 1);
	type = bits_get(&b, 2) + 1;
	rate = bits_get(&b, 4);
	bits_skip(&b, 1);
	channels = bits_get(&b, 3);
	bits_skip(&b, 4 + 13 + 11);
	*size = has_crc ? 9 : 7;
	if (bits_get(&b, 2) || rate >= 13 || p.size <= *size)
		return false;
	if (config)
		buf_put_u16(config, (uint16_t)(type << 11 | rate << 7 | channels << 3));
	return true;
}
