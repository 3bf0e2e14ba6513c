/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/asc.h"

#include "worker/bits.h"

#include <stdio.h>

static const int rates[13] = { 96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350 };

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
	return channels + (int)lfe;
}

/* Backward compatible signalling of SBR and PS behind the configuration. */
static void read_extension(struct bits *b, struct asc *a)
{
	if (a->has_sbr || b->size * 8 - b->at < 16 || bits_get(b, 11) != 0x2b7 || read_type(b) != 5)
		return;
	a->has_sbr = bits_get(b, 1);
	if (a->has_sbr)
		a->extension_rate = read_rate(b);
	if (a->has_sbr && b->size * 8 - b->at >= 12 && bits_get(b, 11) == 0x548)
		a->has_ps = bits_get(b, 1);
}

int asc_read(struct bytes config, struct asc *a, struct err *err)
{
	static const int channels[16] = { 0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0 };
	struct bits b = { config.data, config.size, 0, false };
	unsigned configuration;

	*a = (struct asc){ .object_type = read_type(&b), .rate = read_rate(&b) };
	configuration = bits_get(&b, 4);
	if (a->object_type == 5 || a->object_type == 29) {
		a->has_sbr = true;
		a->has_ps = a->object_type == 29;
		a->extension_rate = read_rate(&b);
		a->object_type = read_type(&b);
	}
	if (b.is_over || a->rate < 1000 || a->rate > 192000)
		return err_set(err, ERR_DATA, "broken AudioSpecificConfig (%zu bytes)", config.size);
	if (a->object_type < 1 || a->object_type > 4)
		return err_set(err, ERR_UNSUPPORTED, "AAC of audio object type %d", a->object_type);
	a->frame_samples = bits_get(&b, 1) ? 960 : 1024;
	if (bits_get(&b, 1))
		bits_skip(&b, 14);
	bits_skip(&b, 1);
	a->channels = configuration ? channels[configuration] : read_pce_channels(&b);
	if (configuration)
		read_extension(&b, a);
	if (a->channels < 1 || a->channels > 8)
		return err_set(err, ERR_UNSUPPORTED, "AAC with channel configuration %u", configuration);
	snprintf(a->codecs, sizeof a->codecs, "mp4a.40.%d", a->has_ps ? 29 : a->has_sbr ? 5 : a->object_type);
	return 0;
}

void asc_put_lc(struct buf *out, int rate, int channels)
{
	unsigned i = 0;

	while (i < 12 && rates[i] > rate)
		i++;
	buf_put_u16(out, (uint16_t)(2 << 11 | i << 7 | (channels == 8 ? 7 : channels & 7) << 3));
}
