/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fMP4 writer, driven by the input: what it accepts is read again strictly, and says what was put in.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "worker/fmp4.h"

#define TRACKS 2
#define SAMPLES 24

struct made {
	struct fmp4_sample samples[TRACKS][SAMPLES];
	struct fmp4_run runs[TRACKS];
	int n_runs;
	/* while reading again */
	struct bytes whole;
	size_t moof_at, moof_end;
	const struct fmp4_run *run; /* of the traf in hand */
	int n_read;
	uint32_t tfhd_duration, tfhd_size, tfhd_flags;
	int64_t bytes_before;       /* of the runs in front */
};

/* ---- init */

static void read_track(struct bytes *in, uint32_t id, struct fmp4_track *t)
{
	static const enum fmp4_entry entries[] = { FMP4_AVC1, FMP4_HVC1, FMP4_DVH1, FMP4_MP4A, FMP4_MP3,
						   FMP4_AC3, FMP4_EC3, FMP4_OPUS, FMP4_FLAC };
	static const char types[][5] = { "mdcv", "clli", "dvcC", "dvvC" };
	uint64_t flags = fuzz_uint(in, 1);

	*t = (struct fmp4_track){
		.id = id,
		.entry = entries[fuzz_uint(in, 1) % 9],
		.timescale = (uint32_t)fuzz_uint(in, 4) % 0x7fffffff + 1,
		.edit_media_time = (int64_t)(fuzz_uint(in, flags & 1 ? 7 : 2)),
		.width = (int)fuzz_uint(in, 2),
		.height = (int)fuzz_uint(in, 2),
		.par_num = (uint32_t)fuzz_uint(in, flags & 2 ? 4 : 1),
		.par_den = (uint32_t)fuzz_uint(in, flags & 4 ? 4 : 1),
		.is_par_known = flags & 8,
		.rotation = (int)(flags >> 4 & 3) * 90,
		.has_colour = flags & 64,
		.primaries = (int)fuzz_uint(in, 1) - 1,
		.transfer = (int)fuzz_uint(in, 1) - 1,
		.matrix = (int)fuzz_uint(in, 1) - 1,
		.is_full_range = flags & 128,
		.channels = (int)fuzz_uint(in, 1),
		.sample_bits = (int)fuzz_uint(in, 1),
		.roll = -(int)(fuzz_uint(in, 1) & 15),
		.n_boxes = (int)(fuzz_uint(in, 1) % (FMP4_BOXES_MAX + 1)),
		.bitrate = (int)(fuzz_uint(in, 4) & 0x7fffffff),
	};
	memcpy(t->language, "und", 4);
	for (int i = 0; i < 3; i++)
		t->language[i] = (char)fuzz_uint(in, 1);
	t->config = fuzz_bytes(in, fuzz_uint(in, 2) % 300);
	for (int i = 0; i < t->n_boxes; i++) {
		memcpy(t->boxes[i].type, types[fuzz_uint(in, 1) % 4], 5);
		t->boxes[i].body = fuzz_bytes(in, fuzz_uint(in, 1));
	}
}

struct count {
	int traks, trexes, configs, edits;
};

static void count_box(void *arg, const struct fuzz_box *box, const struct fuzz_box *parent)
{
	static const char configs[][5] = { "avcC", "hvcC", "esds", "dac3", "dec3", "dOps", "dfLa" };
	struct count *n = arg;

	n->traks += box->type == FUZZ_BOX('t', 'r', 'a', 'k');
	n->trexes += box->type == FUZZ_BOX('t', 'r', 'e', 'x');
	n->edits += box->type == FUZZ_BOX('e', 'l', 's', 't');
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
		n->configs += box->type == get_u32((const uint8_t *)configs[i]);
	ASSERT(parent || box->type == FUZZ_BOX('f', 't', 'y', 'p') || box->type == FUZZ_BOX('m', 'o', 'o', 'v'));
}

static void make_init(struct bytes *in)
{
	int n = 1 + (int)(fuzz_uint(in, 1) & 1);
	struct fmp4_track tracks[TRACKS];
	struct count count = { 0 };
	struct buf out = { 0 };
	struct err err;
	int64_t duration;

	for (int i = 0; i < n; i++)
		read_track(in, (uint32_t)i + 1, &tracks[i]);
	duration = (int64_t)fuzz_uint(in, 8);
	if (!fmp4_put_init(&out, tracks, n, duration, &err)) {
		fuzz_walk_boxes(buf_bytes(&out), 0, count_box, &count);
		ASSERT(count.traks == n && count.trexes == n && count.configs == n);
		ASSERT(count.edits == !!tracks[0].edit_media_time + (n > 1 && tracks[1].edit_media_time));
	}
	buf_finish(&out);
}

/* ---- fragments: sizes that need no bytes, for nothing reads them */

static void read_run(struct bytes *in, struct made *m, int i)
{
	uint64_t kind = fuzz_uint(in, 1);

	m->runs[i] = (struct fmp4_run){
		.track_id = (uint32_t)i + 1,
		.is_video = kind & 1,
		.decode_time = (int64_t)fuzz_uint(in, kind & 2 ? 8 : 4),
		.samples = m->samples[i],
		.n_samples = (int)(fuzz_uint(in, 1) % (SAMPLES + 1)),
		.has_roll = kind & 16,
	};
	for (int k = 0; k < m->runs[i].n_samples; k++) {
		uint64_t flags = fuzz_uint(in, 1);
		struct fmp4_sample *s = &m->samples[i][k];

		*s = k && flags & 1 ? s[-1] : (struct fmp4_sample){ 0 };
		if (!k || !(flags & 1)) {
			s->data.size = fuzz_uint(in, kind & 4 ? 4 : 2);
			s->duration = (uint32_t)fuzz_uint(in, kind & 8 ? 4 : 2);
			s->cts = kind & 1 ? (int32_t)(uint32_t)fuzz_uint(in, kind & 8 ? 4 : 2) : 0;
		}
		s->is_sync = flags & 2;
	}
}

static uint32_t take(struct bytes *in, bool is_there, uint32_t otherwise)
{
	ASSERT(!is_there || in->size >= 4);
	return is_there ? (uint32_t)fuzz_uint(in, 4) : otherwise;
}

static void check_sample(struct made *m, uint32_t duration, uint32_t size, uint32_t flags, uint32_t cts)
{
	const struct fmp4_sample *s = &m->run->samples[m->n_read++];

	ASSERT(duration == s->duration && size == s->data.size && cts == (uint32_t)s->cts);
	ASSERT(!(flags & 0x10000) == s->is_sync);
}

static void read_trun(struct made *m, struct bytes b)
{
	uint32_t flags = take(&b, true, 0), n = take(&b, true, 0), first;

	ASSERT(flags >> 24 == 1 && flags & 1 && (int)n == m->run->n_samples);
	ASSERT(take(&b, true, 0) == m->moof_end - m->moof_at + 8 + (uint64_t)m->bytes_before);
	first = take(&b, flags & 4, m->tfhd_flags);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t duration = take(&b, flags & 0x100, m->tfhd_duration), size = take(&b, flags & 0x200, m->tfhd_size);
		uint32_t sample_flags = take(&b, flags & 0x400, i ? m->tfhd_flags : first);

		check_sample(m, duration, size, sample_flags, take(&b, flags & 0x800, 0));
		m->bytes_before += size;
	}
	ASSERT(!b.size && m->n_read == m->run->n_samples);
}

static void read_tfhd(struct made *m, struct bytes b)
{
	uint32_t flags = take(&b, true, 0), id = take(&b, true, 0);

	ASSERT(flags & 0x20000 && id >= 1 && (int)id <= m->n_runs);
	m->run = &m->runs[id - 1];
	m->n_read = 0;
	m->tfhd_duration = take(&b, flags & 8, 0);
	m->tfhd_size = take(&b, flags & 0x10, 0);
	m->tfhd_flags = take(&b, flags & 0x20, 0);
	ASSERT(!b.size);
}

static void read_box(void *arg, const struct fuzz_box *box, const struct fuzz_box *parent)
{
	struct made *m = arg;

	if (box->type == FUZZ_BOX('m', 'o', 'o', 'f')) {
		m->moof_at = box->at;
		m->moof_end = box->at + 8 + box->body.size;
	} else if (box->type == FUZZ_BOX('t', 'f', 'h', 'd')) {
		read_tfhd(m, box->body);
	} else if (box->type == FUZZ_BOX('t', 'f', 'd', 't')) {
		ASSERT(box->body.size == 12 && get_u64(box->body.data + 4) == (uint64_t)m->run->decode_time);
	} else if (box->type == FUZZ_BOX('t', 'r', 'u', 'n')) {
		read_trun(m, box->body);
	} else if (box->type == FUZZ_BOX('m', 'd', 'a', 't')) {
		ASSERT(!parent && box->at == m->moof_end && !box->body.size);
	}
}

static void make_fragment(struct bytes *in)
{
	struct made m = { .n_runs = 1 + (int)(fuzz_uint(in, 1) & 1) };
	struct buf out = { 0 };
	struct err err;
	int64_t bytes = 0, sum = 0;

	for (int i = 0; i < m.n_runs; i++)
		read_run(in, &m, i);
	fmp4_put_styp(&out);
	if (!fmp4_put_moof(&out, (uint32_t)fuzz_uint(in, 4), m.runs, m.n_runs, &bytes, &err)) {
		for (int i = 0; i < m.n_runs; i++)
			for (int k = 0; k < m.runs[i].n_samples; k++)
				sum += (int64_t)m.samples[i][k].data.size;
		ASSERT(sum == bytes);
		m.whole = buf_bytes(&out);
		fuzz_walk_boxes(m.whole, bytes, read_box, &m);
		ASSERT(m.bytes_before == bytes);
	}
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };

	if (fuzz_uint(&in, 1) & 1)
		make_init(&in);
	else
		make_fragment(&in);
	return 0;
}
