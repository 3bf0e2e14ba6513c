/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/hls_boxes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NON_SYNC 0x10000u /* sample_is_non_sync_sample, ISO/IEC 14496-12 section 8.8.3.1 */

/* Defaults of trex and tfhd for the samples of a fragment. */
struct defaults {
	uint32_t duration, size, flags;
};

struct loader {
	struct hls *h;
	struct defaults trex[4];
	size_t capacity[4], fragment_capacity[4];
};

void *hls_grow(void *array, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return array;
	*capacity = *capacity ? *capacity * 2 : 256;
	array = realloc(array, *capacity * size);
	ck_assert_ptr_nonnull(array);
	return array;
}

/* ---- boxes */

static struct bytes take(struct bytes *rest, size_t n)
{
	struct bytes got = { rest->data, n };

	ck_assert_msg(n <= rest->size, "a box ends %zu bytes too early", n - rest->size);
	rest->data += n;
	rest->size -= n;
	return got;
}

static uint32_t take_u32(struct bytes *rest) { return get_u32(take(rest, 4).data); }
static uint64_t take_u64(struct bytes *rest) { return get_u64(take(rest, 8).data); }
static uint16_t take_u16(struct bytes *rest) { return get_u16(take(rest, 2).data); }

static bool next_box(struct bytes *rest, char type[5], struct bytes *body)
{
	uint32_t size;

	if (!rest->size)
		return false;
	size = take_u32(rest);
	memcpy(type, take(rest, 4).data, 4);
	type[4] = 0;
	ck_assert_msg(size >= 8, "box %s of %u bytes", type, size);
	ck_assert_msg(size - 8 <= rest->size, "box %s of %u bytes does not fit", type, size);
	*body = take(rest, size - 8);
	return true;
}

static bool find_box(struct bytes in, const char *type, struct bytes *found)
{
	char name[5];

	while (next_box(&in, name, found))
		if (!strcmp(name, type))
			return true;
	return false;
}

static struct bytes need_box(struct bytes in, const char *type)
{
	struct bytes body;

	ck_assert_msg(find_box(in, type, &body), "no box %s", type);
	return body;
}

/* ---- the init segment */

static void read_tkhd(struct hls_track *t, struct bytes b)
{
	bool is_long = take_u32(&b) >> 24;
	int32_t m[4];

	take(&b, is_long ? 16 : 8);
	t->id = take_u32(&b);
	take(&b, (is_long ? 12 : 8) + 16);
	for (int i = 0; i < 5; i++) { /* a b u c d */
		int32_t v = (int32_t)take_u32(&b);

		if (i != 2)
			m[i > 2 ? i - 1 : i] = v >> 16;
	}
	t->rotation = m[0] == 1 ? 0 : m[1] == 1 ? 90 : m[0] == -1 ? 180 : 270;
	ck_assert_int_eq(m[0] * m[3] - m[1] * m[2], 1);
}

static void read_edit(struct hls_track *t, struct bytes trak)
{
	struct bytes edts, b;
	bool is_long;

	if (!find_box(trak, "edts", &edts))
		return;
	b = need_box(edts, "elst");
	is_long = take_u32(&b) >> 24;
	ck_assert_uint_eq(take_u32(&b), 1);
	take(&b, is_long ? 8 : 4);
	t->edit_media_time = is_long ? (int64_t)take_u64(&b) : (int32_t)take_u32(&b);
}

static void read_mdhd(struct hls_track *t, struct bytes b)
{
	bool is_long = take_u32(&b) >> 24;
	uint16_t language;

	take(&b, is_long ? 16 : 8);
	t->timescale = take_u32(&b);
	ck_assert_uint_gt(t->timescale, 0);
	take(&b, is_long ? 8 : 4);
	language = take_u16(&b);
	for (int i = 0; i < 3; i++)
		t->language[i] = (char)((language >> (10 - 5 * i) & 31) + 0x60);
}

/* A descriptor of ISO/IEC 14496-1: its length is coded 7 bits a byte. */
static struct bytes take_descriptor(struct bytes *b, uint8_t tag)
{
	size_t size = 0;
	uint8_t c;

	ck_assert_uint_eq(*take(b, 1).data, tag);
	do {
		c = *take(b, 1).data;
		size = size << 7 | (c & 0x7f);
	} while (c & 0x80);
	return take(b, size);
}

static void read_esds(struct hls_track *t, struct bytes b)
{
	struct bytes es, config;

	take(&b, 4);
	es = take_descriptor(&b, 3);
	take(&es, 2);
	ck_assert_uint_eq(*take(&es, 1).data, 0);
	config = take_descriptor(&es, 4);
	if (*take(&config, 1).data == 0x6b) /* MP3: no configuration */
		return;
	take(&config, 12);
	t->config = take_descriptor(&config, 5);
}

static void read_colour(struct hls_track *t, struct bytes b)
{
	t->has_colour = true;
	ck_assert_mem_eq(take(&b, 4).data, "nclx", 4);
	t->primaries = take_u16(&b);
	t->transfer = take_u16(&b);
	t->matrix = take_u16(&b);
	t->is_full_range = *take(&b, 1).data >> 7;
}

static void read_video_entry(struct hls_track *t, struct bytes b)
{
	struct bytes box;

	take(&b, 24);
	t->width = take_u16(&b);
	t->height = take_u16(&b);
	take(&b, 50);
	t->config = need_box(b, !strcmp(t->entry, "avc1") ? "avcC" : "hvcC");
	if (find_box(b, "pasp", &box)) {
		t->par_num = take_u32(&box);
		t->par_den = take_u32(&box);
	}
	if (find_box(b, "colr", &box))
		read_colour(t, box);
}

static void read_audio_entry(struct hls_track *t, struct bytes b)
{
	static const char *const entries[][2] = { { "ac-3", "dac3" }, { "ec-3", "dec3" }, { "Opus", "dOps" }, { "fLaC", "dfLa" } };

	take(&b, 16);
	t->channels = take_u16(&b);
	take(&b, 6);
	t->sample_rate = (int)(take_u32(&b) >> 16);
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
		if (!strcmp(t->entry, entries[i][0]))
			t->config = need_box(b, entries[i][1]);
	if (!t->config.size)
		read_esds(t, need_box(b, "esds"));
}

static void read_stsd(struct hls_track *t, struct bytes b)
{
	struct bytes entry;

	take(&b, 4);
	ck_assert_uint_eq(take_u32(&b), 1);
	ck_assert(next_box(&b, t->entry, &entry));
	if (t->is_video)
		read_video_entry(t, entry);
	else
		read_audio_entry(t, entry);
}

static void read_trak(struct hls_track *t, struct bytes trak)
{
	struct bytes mdia = need_box(trak, "mdia"), hdlr = need_box(mdia, "hdlr");

	take(&hdlr, 8);
	t->is_video = !memcmp(take(&hdlr, 4).data, "vide", 4);
	read_tkhd(t, need_box(trak, "tkhd"));
	read_edit(t, trak);
	read_mdhd(t, need_box(mdia, "mdhd"));
	read_stsd(t, need_box(need_box(need_box(mdia, "minf"), "stbl"), "stsd"));
}

static int track_of(const struct hls *h, uint32_t id)
{
	for (int i = 0; i < h->n_tracks; i++)
		if (h->tracks[i].id == id)
			return i;
	ck_abort_msg("track %u is not in the init segment", id);
	return -1;
}

static void read_trex(struct loader *l, struct bytes b)
{
	struct defaults *d;

	take(&b, 4);
	d = &l->trex[track_of(l->h, take_u32(&b))];
	ck_assert_uint_eq(take_u32(&b), 1);
	d->duration = take_u32(&b);
	d->size = take_u32(&b);
	d->flags = take_u32(&b);
}

static void read_init(struct loader *l)
{
	struct hls *h = l->h;
	struct bytes moov = need_box(h->init, "moov"), rest = moov, body;
	char type[5];

	need_box(h->init, "ftyp");
	while (next_box(&rest, type, &body))
		if (!strcmp(type, "trak")) {
			ck_assert_int_lt(h->n_tracks, 4);
			read_trak(&h->tracks[h->n_tracks++], body);
		}
	ck_assert_int_gt(h->n_tracks, 0);
	rest = need_box(moov, "mvex");
	while (next_box(&rest, type, &body))
		if (!strcmp(type, "trex"))
			read_trex(l, body);
}

/* ---- segments */

static void add_sample(struct loader *l, int track, const struct hls_sample *sample)
{
	struct hls_track *t = &l->h->tracks[track];

	t->samples = hls_grow(t->samples, t->n_samples, &l->capacity[track], sizeof *t->samples);
	t->samples[t->n_samples++] = *sample;
}

/* Reads a trun whose data lies in [moof, end); returns where the decode time stands behind it. */
static int64_t read_trun(struct loader *l, int track, struct defaults d, int64_t dts, struct bytes b, const uint8_t *moof,
			 const uint8_t *end)
{
	uint32_t version_flags = take_u32(&b), flags = version_flags & 0xffffff, n = take_u32(&b), first_flags = d.flags;
	const uint8_t *data;

	ck_assert_msg(flags & 1, "a trun without data offset");
	data = moof + (int32_t)take_u32(&b);
	if (flags & 4)
		first_flags = take_u32(&b);
	for (uint32_t i = 0; i < n; i++) {
		struct hls_sample s = { .dts = dts };
		uint32_t sample_flags;

		s.duration = flags & 0x100 ? take_u32(&b) : d.duration;
		s.data.size = flags & 0x200 ? take_u32(&b) : d.size;
		sample_flags = flags & 0x400 ? take_u32(&b) : i ? d.flags : first_flags;
		if (flags & 0x800)
			s.cts = version_flags >> 24 ? (int32_t)take_u32(&b) : (int64_t)take_u32(&b);
		s.is_sync = !(sample_flags & NON_SYNC);
		s.data.data = data;
		ck_assert_msg(data >= moof && s.data.size <= (size_t)(end - data), "a sample lies outside of its mdat");
		data += s.data.size;
		dts += s.duration;
		add_sample(l, track, &s);
	}
	ck_assert_uint_eq(b.size, 0);
	return dts;
}

static void read_traf(struct loader *l, size_t segment, struct bytes traf, const uint8_t *moof, const uint8_t *end)
{
	struct bytes b = need_box(traf, "tfhd"), body;
	uint32_t flags = take_u32(&b) & 0xffffff;
	int track = track_of(l->h, take_u32(&b));
	struct hls_track *t = &l->h->tracks[track];
	struct defaults d = l->trex[track];
	struct hls_fragment fragment = { .segment = segment, .first = t->n_samples };
	char type[5];
	int64_t dts;

	ck_assert_msg((flags & 0x20001) == 0x20000, "tfhd flags %x: offsets must count from the moof", flags);
	d.duration = flags & 8 ? take_u32(&b) : d.duration;
	d.size = flags & 0x10 ? take_u32(&b) : d.size;
	d.flags = flags & 0x20 ? take_u32(&b) : d.flags;
	b = need_box(traf, "tfdt");
	fragment.tfdt = take_u32(&b) >> 24 ? (int64_t)take_u64(&b) : (int64_t)take_u32(&b);
	t->fragments = hls_grow(t->fragments, t->n_fragments, &l->fragment_capacity[track], sizeof *t->fragments);
	t->fragments[t->n_fragments++] = fragment;
	dts = fragment.tfdt;
	while (next_box(&traf, type, &body))
		if (!strcmp(type, "trun"))
			dts = read_trun(l, track, d, dts, body, moof, end);
	ck_assert_uint_gt(t->n_samples, fragment.first);
	if (t->tfdt[segment] < 0)
		t->tfdt[segment] = fragment.tfdt;
}

static void read_moof(struct loader *l, size_t segment, struct bytes moof, struct bytes mdat)
{
	const uint8_t *start = moof.data - 8;
	struct bytes body;
	char type[5];

	need_box(moof, "mfhd");
	while (next_box(&moof, type, &body))
		if (!strcmp(type, "traf"))
			read_traf(l, segment, body, start, mdat.data + mdat.size);
}

static void read_segment(struct loader *l, size_t segment)
{
	struct hls_segment *s = &l->h->segments[segment];
	struct bytes rest = s->file, body, mdat;
	char type[5];

	for (int i = 0; i < l->h->n_tracks; i++)
		l->h->tracks[i].first[segment] = l->h->tracks[i].n_samples;
	if (l->h->index) { /* a media segment, no stream */
		ck_assert(next_box(&rest, type, &body));
		ck_assert_str_eq(type, "styp");
	}
	while (next_box(&rest, type, &body)) {
		if (strcmp(type, "moof"))
			continue;
		ck_assert(next_box(&rest, type, &mdat));
		ck_assert_str_eq(type, "mdat");
		s->n_fragments++;
		read_moof(l, segment, body, mdat);
	}
	ck_assert_int_gt(s->n_fragments, 0);
}

static void read_segments(struct loader *l)
{
	struct hls *h = l->h;

	for (int i = 0; i < h->n_tracks; i++) {
		h->tracks[i].first = calloc(h->n_segments + 1, sizeof *h->tracks[i].first);
		h->tracks[i].tfdt = malloc(h->n_segments * sizeof *h->tracks[i].tfdt);
		ck_assert(h->tracks[i].first && h->tracks[i].tfdt);
		for (size_t s = 0; s < h->n_segments; s++)
			h->tracks[i].tfdt[s] = -1;
	}
	for (size_t s = 0; s < h->n_segments; s++)
		read_segment(l, s);
	for (int i = 0; i < h->n_tracks; i++)
		h->tracks[i].first[h->n_segments] = h->tracks[i].n_samples;
}

void hls_read_boxes(struct hls *h)
{
	struct loader l = { .h = h };

	read_init(&l);
	read_segments(&l);
}
