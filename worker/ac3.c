/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/ac3.h"

#include "worker/bits.h"

#define SYNC_WORD 0x0b77
#define BSID_AC3_MAX 8       /* 9 and 10 are AC-3 of half and quarter rates, which dac3 cannot tell */
#define BSID_ENHANCED_MIN 11
#define BSID_ENHANCED_MAX 16
#define BLOCK 256            /* samples */
#define FRAME_CODES 38

enum { INDEPENDENT = 0, DEPENDENT = 1, TRANSCODED = 2 }; /* strmtyp */

static const int rates[3] = { 48000, 44100, 32000 };
static const uint8_t channel_counts[8] = { 2, 1, 2, 3, 3, 4, 4, 5 }; /* acmod */
static const uint8_t block_counts[4] = { 1, 2, 3, 6 };               /* numblkscod */

static void skip_if(struct bits *b, unsigned n)
{
	if (bits_get(b, 1))
		bits_skip(b, n);
}

/* ---- AC-3, section 4.3.2 */

static int read_plain(struct bits b, struct ac3 *a, struct err *err)
{
	struct ac3_substream *s = &a->substreams[0];
	int code;

	bits_skip(&b, 16 + 16);
	s->fscod = (int)bits_get(&b, 2);
	code = (int)bits_get(&b, 6);
	s->bsid = (int)bits_get(&b, 5);
	s->bsmod = (int)bits_get(&b, 3);
	s->acmod = (int)bits_get(&b, 3);
	if ((s->acmod & 1) && s->acmod != 1)
		bits_skip(&b, 2); /* cmixlev */
	if (s->acmod & 4)
		bits_skip(&b, 2); /* surmixlev */
	if (s->acmod == 2)
		bits_skip(&b, 2); /* dsurmod */
	s->lfeon = (int)bits_get(&b, 1);
	if (b.is_over || s->fscod == 3 || code >= FRAME_CODES)
		return err_set(err, ERR_DATA, "a broken AC-3 header");
	if (s->bsid > BSID_AC3_MAX)
		return err_set(err, ERR_UNSUPPORTED, "AC-3 of bsid %d has no place in MP4", s->bsid);
	a->n_substreams = 1;
	a->bit_rate_code = code >> 1;
	a->rate = rates[s->fscod];
	a->channels = channel_counts[s->acmod] + s->lfeon;
	a->samples = 6 * BLOCK;
	return 0;
}

/* ---- E-AC-3, annex E section 1.2 */

struct frame {
	int type, id, blocks;
	size_t bytes;
	struct ac3_substream s;
	int chanmap;    /* of a dependent one; 0: not told */
	bool has_joc;
	int complexity;
};

static void skip_mix_head(struct bits *b, const struct frame *f)
{
	int acmod = f->s.acmod;

	if (acmod > 2)
		bits_skip(b, 2); /* dmixmod */
	if ((acmod & 1) && acmod > 2)
		bits_skip(b, 6);
	if (acmod & 4)
		bits_skip(b, 6);
	if (f->s.lfeon)
		skip_if(b, 5);
}

static void skip_mix_definition(struct bits *b)
{
	switch (bits_get(b, 2)) {
	case 1:
		bits_skip(b, 5);
		break;
	case 2:
		bits_skip(b, 12);
		break;
	case 3:
		bits_skip(b, 8 * (bits_get(b, 5) + 2));
		break;
	default:
		break;
	}
}

static void skip_mix(struct bits *b, const struct frame *f)
{
	skip_mix_head(b, f);
	if (f->type != INDEPENDENT)
		return;
	skip_if(b, 6); /* pgmscl */
	if (!f->s.acmod)
		skip_if(b, 6);
	skip_if(b, 6); /* extpgmscl */
	skip_mix_definition(b);
	if (f->s.acmod < 2)
		skip_if(b, 14); /* panmean, paninfo */
	if (!f->s.acmod)
		skip_if(b, 14);
	if (!bits_get(b, 1)) /* frmmixcfginfoe */
		return;
	if (f->blocks == 1)
		bits_skip(b, 5);
	for (int i = 0; i < f->blocks && f->blocks > 1; i++)
		skip_if(b, 5);
}

static void read_info(struct bits *b, struct frame *f)
{
	f->s.bsmod = (int)bits_get(b, 3);
	bits_skip(b, 2); /* copyrightb, origbs */
	if (f->s.acmod == 2)
		bits_skip(b, 4);
	if (f->s.acmod >= 6)
		bits_skip(b, 2);
	skip_if(b, 8); /* mixlevel, roomtyp, adconvtyp */
	if (!f->s.acmod)
		skip_if(b, 8);
	if (f->s.fscod < 3)
		bits_skip(b, 1); /* sourcefscod */
}

/* addbsi: ETSI TS 103 420 section 8.3.1 tells objects there. */
static void read_additional(struct bits *b, struct frame *f)
{
	if (!bits_get(b, 1) || bits_get(b, 6) < 1)
		return;
	bits_skip(b, 7);
	f->has_joc = bits_get(b, 1);
	f->complexity = (int)bits_get(b, 8);
}

static void read_bsi(struct bits *b, struct frame *f)
{
	int blkid;

	f->type = (int)bits_get(b, 2);
	f->id = (int)bits_get(b, 3);
	f->bytes = (bits_get(b, 11) + 1) * 2;
	f->s.fscod = (int)bits_get(b, 2);
	f->blocks = block_counts[bits_get(b, 2)];
	f->s.acmod = (int)bits_get(b, 3);
	f->s.lfeon = (int)bits_get(b, 1);
	f->s.bsid = (int)bits_get(b, 5);
	bits_skip(b, 5); /* dialnorm */
	skip_if(b, 8);   /* compr */
	if (!f->s.acmod) {
		bits_skip(b, 5);
		skip_if(b, 8);
	}
	if (f->type == DEPENDENT && bits_get(b, 1))
		f->chanmap = (int)bits_get(b, 16);
	if (bits_get(b, 1))
		skip_mix(b, f);
	if (bits_get(b, 1))
		read_info(b, f);
	if (f->type == INDEPENDENT && f->blocks != 6)
		bits_skip(b, 1); /* convsync */
	if (f->type == TRANSCODED) {
		blkid = f->blocks == 6 || bits_get(b, 1);
		if (blkid)
			bits_skip(b, 6); /* frmsizecod */
	}
	read_additional(b, f);
}

/* Locations of chanmap, the first in its highest bit, that a dependent substream may add: chan_loc has them from its lowest bit on,
 * tables E.1.4 and F.1. */
static void add_channels(struct ac3 *a, struct ac3_substream *s, int chanmap)
{
	static const uint8_t counts[16] = { 0, 0, 0, 0, 0, 2, 2, 1, 1, 2, 2, 2, 1, 2, 1, 0 };
	enum { LC_RC = 5, CVH = 12, LTS_RTS = 13, LFE2 = 14 };

	for (int i = LC_RC; i <= LFE2; i++) {
		if (!(chanmap >> (15 - i) & 1))
			continue;
		if (i <= CVH)
			s->chan_loc |= 1 << (i - LC_RC);
		else if (i == LFE2)
			s->chan_loc |= 1 << 8;
		if (s == a->substreams)
			a->channels += counts[i];
	}
}

static int add_frame(struct ac3 *a, const struct frame *f, struct err *err)
{
	struct ac3_substream *s;

	if (f->type == DEPENDENT) {
		if (!a->n_substreams)
			return err_set(err, ERR_DATA, "E-AC-3 begins with a dependent substream");
		s = &a->substreams[a->n_substreams - 1];
		if (++s->n_dependent > AC3_SUBSTREAMS_MAX)
			return err_set(err, ERR_DATA, "over %d dependent substreams in E-AC-3", AC3_SUBSTREAMS_MAX);
		add_channels(a, s, f->chanmap);
	} else {
		if (f->id != a->n_substreams || a->n_substreams == AC3_SUBSTREAMS_MAX)
			return err_set(err, ERR_UNSUPPORTED, "E-AC-3 packets hold more than one access unit");
		if (!a->n_substreams) {
			a->rate = rates[f->s.fscod];
			a->channels = channel_counts[f->s.acmod] + f->s.lfeon;
			a->samples = f->blocks * BLOCK;
		}
		a->substreams[a->n_substreams++] = f->s;
	}
	if (f->has_joc) {
		a->has_joc = true;
		a->complexity = f->complexity;
	}
	return 0;
}

static int read_enhanced(struct bytes packet, struct ac3 *a, struct err *err)
{
	size_t size = packet.size;
	int ret = 0;

	a->is_enhanced = true;
	while (packet.size && !ret) {
		struct frame f = { 0 };
		struct bits b = { packet.data, packet.size, 16, false };

		read_bsi(&b, &f);
		if (b.is_over || get_u16(packet.data) != SYNC_WORD || f.bytes > packet.size || f.type == 3)
			return err_set(err, ERR_DATA, "a broken E-AC-3 header");
		if (f.s.fscod == 3 || f.s.bsid < BSID_ENHANCED_MIN || f.s.bsid > BSID_ENHANCED_MAX)
			return err_set(err, ERR_UNSUPPORTED, "E-AC-3 of half a rate, or followed by AC-3, has no place in MP4");
		ret = add_frame(a, &f, err);
		packet = (struct bytes){ packet.data + f.bytes, packet.size - f.bytes };
	}
	if (!ret && a->samples != 6 * BLOCK)
		ret = err_set(err, ERR_UNSUPPORTED, "E-AC-3 packets of %d samples; a sample of MP4 has %d", a->samples, 6 * BLOCK);
	if (!ret)
		a->data_rate = (int)((int64_t)size * 8 * a->rate / a->samples / 1000);
	return ret;
}

/* ---- public */

int ac3_read(struct bytes packet, struct ac3 *a, struct err *err)
{
	*a = (struct ac3){ 0 };
	if (packet.size < 8 || get_u16(packet.data) != SYNC_WORD)
		return err_set(err, ERR_DATA, "no AC-3 sync word at the start of a packet");
	/* both kinds have bsid at the same place */
	if (packet.data[5] >> 3 >= BSID_ENHANCED_MIN)
		return read_enhanced(packet, a, err);
	return read_plain((struct bits){ packet.data, packet.size, 0, false }, a, err);
}

/* Fields of bits, 64 in all at most, from the highest on, into whole bytes. */
static void put_bits(struct buf *out, int n, const int (*fields)[2])
{
	uint64_t v = 0;
	int bits = 0;

	for (int i = 0; i < n; i++) {
		v = v << fields[i][1] | (uint64_t)fields[i][0];
		bits += fields[i][1];
	}
	ASSERT(bits % 8 == 0 && bits <= 64);
	for (int shift = bits - 8; shift >= 0; shift -= 8)
		buf_put_u8(out, (uint8_t)(v >> shift));
}

static void put_dac3(struct buf *out, const struct ac3 *a)
{
	const struct ac3_substream *s = a->substreams;
	const int fields[][2] = { { s->fscod, 2 }, { s->bsid, 5 },  { s->bsmod, 3 },         { s->acmod, 3 },
				  { s->lfeon, 1 }, { a->bit_rate_code, 5 }, { 0, 5 } };

	put_bits(out, 7, fields);
}

static void put_dec3_substream(struct buf *out, const struct ac3_substream *s)
{
	const int fields[][2] = { { s->fscod, 2 }, { s->bsid, 5 },     { 0, 2 /* reserved, asvc */ },
				  { s->bsmod, 3 }, { s->acmod, 3 },    { s->lfeon, 1 },
				  { 0, 3 },        { s->n_dependent, 4 },
				  { s->n_dependent ? s->chan_loc : 0, s->n_dependent ? 9 : 1 } };

	put_bits(out, 9, fields);
}

void ac3_put_config(struct buf *out, const struct ac3 *a)
{
	if (!a->is_enhanced) {
		put_dac3(out, a);
		return;
	}
	buf_put_u16(out, (uint16_t)((a->data_rate < 8192 ? a->data_rate : 8191) << 3 | (a->n_substreams - 1)));
	for (int i = 0; i < a->n_substreams; i++)
		put_dec3_substream(out, &a->substreams[i]);
	if (a->has_joc) {
		buf_put_u8(out, 1); /* flag_ec3_extension_type_a */
		buf_put_u8(out, (uint8_t)a->complexity);
	}
}
