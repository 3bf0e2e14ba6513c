/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mkv_internal.h"

#include "common/timeline.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* CodecPrivate that had to be decompressed, by track index. */
struct arena {
	struct buf tracks; /* of an input that moves */
	struct buf codec_private[TRACKS_MAX];
};

struct raw_track {
	uint64_t number, type, is_enabled, is_default, is_forced, default_duration, codec_delay, seek_preroll;
	int64_t offset;
	double scale;
	struct bytes name, language, language_bcp47, codec_id, codec_private, encodings;
	uint64_t width, height, crop_bottom, crop_top, crop_left, crop_right;
	uint64_t display_width, display_height, display_unit;
	uint64_t matrix, range, transfer, primaries, max_cll, max_fall;
	double chromaticity[4][2], luminance_max, luminance_min;
	uint64_t projection;
	double yaw, pitch, roll;
	double rate, output_rate;
	uint64_t channels, bit_depth;
};

/* RFC 9559 section 5.1.4.1; what is absent takes these. COLOUR_ABSENT is no value that the element may have. */
#define COLOUR_ABSENT UINT64_MAX
static const struct raw_track track_defaults = {
	.is_enabled = 1, .is_default = 1, .scale = 1, .language = { (const uint8_t *)"eng", 3 },
	.matrix = COLOUR_ABSENT, .range = COLOUR_ABSENT, .transfer = COLOUR_ABSENT, .primaries = COLOUR_ABSENT,
	.max_cll = COLOUR_ABSENT, .max_fall = COLOUR_ABSENT,
	.chromaticity = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } }, .luminance_max = -1, .luminance_min = -1,
	.rate = 8000, .channels = 1,
};

#define FIELD(id, type, member) { id, type, offsetof(struct raw_track, member), 0, #member, NULL }
#define BYTES(id, type, member, limit) { id, type, offsetof(struct raw_track, member), limit, #member, NULL }
#define MASTER(id, fields) { id, EBML_MASTER, 0, 0, #fields, fields }
#define END { 0, EBML_UINT, 0, 0, NULL, NULL }

static const struct ebml_field mastering_fields[] = {
	FIELD(0x55D1, EBML_FLOAT, chromaticity[0][0]),
	FIELD(0x55D2, EBML_FLOAT, chromaticity[0][1]),
	FIELD(0x55D3, EBML_FLOAT, chromaticity[1][0]),
	FIELD(0x55D4, EBML_FLOAT, chromaticity[1][1]),
	FIELD(0x55D5, EBML_FLOAT, chromaticity[2][0]),
	FIELD(0x55D6, EBML_FLOAT, chromaticity[2][1]),
	FIELD(0x55D7, EBML_FLOAT, chromaticity[3][0]),
	FIELD(0x55D8, EBML_FLOAT, chromaticity[3][1]),
	FIELD(0x55D9, EBML_FLOAT, luminance_max),
	FIELD(0x55DA, EBML_FLOAT, luminance_min),
	END,
};

static const struct ebml_field colour_fields[] = {
	FIELD(0x55B1, EBML_UINT, matrix),
	FIELD(0x55B9, EBML_UINT, range),
	FIELD(0x55BA, EBML_UINT, transfer),
	FIELD(0x55BB, EBML_UINT, primaries),
	FIELD(0x55BC, EBML_UINT, max_cll),
	FIELD(0x55BD, EBML_UINT, max_fall),
	MASTER(0x55D0, mastering_fields),
	END,
};

static const struct ebml_field projection_fields[] = {
	FIELD(0x7671, EBML_UINT, projection),
	FIELD(0x7673, EBML_FLOAT, yaw),
	FIELD(0x7674, EBML_FLOAT, pitch),
	FIELD(0x7675, EBML_FLOAT, roll),
	END,
};

static const struct ebml_field video_fields[] = {
	FIELD(0xB0, EBML_UINT, width),
	FIELD(0xBA, EBML_UINT, height),
	FIELD(0x54AA, EBML_UINT, crop_bottom),
	FIELD(0x54BB, EBML_UINT, crop_top),
	FIELD(0x54CC, EBML_UINT, crop_left),
	FIELD(0x54DD, EBML_UINT, crop_right),
	FIELD(0x54B0, EBML_UINT, display_width),
	FIELD(0x54BA, EBML_UINT, display_height),
	FIELD(0x54B2, EBML_UINT, display_unit),
	MASTER(0x55B0, colour_fields),
	MASTER(0x7670, projection_fields),
	END,
};

static const struct ebml_field audio_fields[] = {
	FIELD(0xB5, EBML_FLOAT, rate),
	FIELD(0x78B5, EBML_FLOAT, output_rate),
	FIELD(0x9F, EBML_UINT, channels),
	FIELD(0x6264, EBML_UINT, bit_depth),
	END,
};

static const struct ebml_field track_fields[] = {
	FIELD(0xD7, EBML_UINT, number),
	FIELD(0x83, EBML_UINT, type),
	FIELD(0xB9, EBML_UINT, is_enabled),
	FIELD(0x88, EBML_UINT, is_default),
	FIELD(0x55AA, EBML_UINT, is_forced),
	FIELD(0x23E383, EBML_UINT, default_duration),
	FIELD(0x23314F, EBML_FLOAT, scale),
	FIELD(0x537F, EBML_INT, offset),
	FIELD(0x56AA, EBML_UINT, codec_delay),
	FIELD(0x56BB, EBML_UINT, seek_preroll),
	BYTES(0x536E, EBML_STRING, name, LIMIT_NAME),
	BYTES(0x22B59C, EBML_STRING, language, LIMIT_LANGUAGE),
	BYTES(0x22B59D, EBML_STRING, language_bcp47, LIMIT_LANGUAGE),
	BYTES(0x86, EBML_STRING, codec_id, LIMIT_CODEC_ID),
	BYTES(0x63A2, EBML_BINARY, codec_private, LIMIT_CODEC_PRIVATE),
	BYTES(0x6D80, EBML_BINARY, encodings, LIMIT_CONTENT_ENCODINGS),
	MASTER(0xE0, video_fields),
	MASTER(0xE1, audio_fields),
	END,
};
#undef FIELD
#undef BYTES
#undef MASTER

/* RFC 9559 section 5.1.4.1.31 */
#define SCOPE_FRAMES 1
#define SCOPE_PRIVATE 2
#define TYPE_COMPRESSION 0
#define ALGORITHM_ZLIB 0
#define ALGORITHM_STRIP 3

struct raw_encoding {
	uint64_t scope, type, algorithm;
	struct bytes settings;
};

static const struct ebml_field compression_fields[] = {
	{ 0x4254, EBML_UINT, offsetof(struct raw_encoding, algorithm), 0, "ContentCompAlgo", NULL },
	{ 0x4255, EBML_BINARY, offsetof(struct raw_encoding, settings), LIMIT_STRIPPED, "ContentCompSettings", NULL },
	END,
};

static const struct ebml_field encoding_fields[] = {
	{ 0x5032, EBML_UINT, offsetof(struct raw_encoding, scope), 0, "ContentEncodingScope", NULL },
	{ 0x5033, EBML_UINT, offsetof(struct raw_encoding, type), 0, "ContentEncodingType", NULL },
	{ 0x5034, EBML_MASTER, 0, 0, "ContentCompression", compression_fields },
	END,
};

struct raw_mapping {
	uint64_t type;
	struct bytes data;
};

static const struct ebml_field mapping_fields[] = {
	{ 0x41E7, EBML_UINT, offsetof(struct raw_mapping, type), 0, "BlockAddIDType", NULL },
	{ 0x41ED, EBML_BINARY, offsetof(struct raw_mapping, data), LIMIT_MAPPING, "BlockAddIDExtraData", NULL },
	END,
};

/* A shorter copy that ends at the first NUL. */
static void copy_string(char *to, size_t size, struct bytes from)
{
	size_t n = from.size < size - 1 ? from.size : size - 1;

	if (n)
		memcpy(to, from.data, n);
	to[n] = 0;
}

static struct arena *arena_of(struct mkv *mkv, struct err *err)
{
	if (!mkv->arena)
		mkv->arena = calloc(1, sizeof(struct arena));
	if (!mkv->arena)
		err_set(err, ERR_NOMEM, "no memory for the tracks");
	return mkv->arena;
}

/* The window that it lies in will move. */
static int keep_tracks(struct mkv *mkv, struct bytes *tracks, struct err *err)
{
	struct arena *arena = arena_of(mkv, err);

	if (!arena)
		return ERR_NOMEM;
	buf_put(&arena->tracks, tracks->data, tracks->size);
	*tracks = buf_bytes(&arena->tracks);
	return buf_failed(&arena->tracks) ? err_set(err, ERR_NOMEM, "no memory for the tracks") : 0;
}

static int unpack_private(struct mkv *mkv, struct track *t, enum track_compression compression, struct bytes stripped,
			  struct err *err)
{
	if (!t->codec_private.size)
		return 0;
	struct arena *arena = arena_of(mkv, err);
	if (!arena)
		return ERR_NOMEM;
	struct buf *to = &arena->codec_private[mkv->n_tracks];
	/* Packed twice: that is not undone, and it would be read from where it is written to. */
	if (t->codec_private.data == to->data) {
		t->codec_private = (struct bytes){ 0 };
		return 0;
	}
	size_t limit = LIMIT_CODEC_PRIVATE;
	for (int i = 0; i < mkv->n_tracks; i++)
		limit -= arena->codec_private[i].size;
	int ret = mkv_unpack(compression, stripped, t->codec_private, limit, to, &t->codec_private, err);
	/* Without it the track is of less use, and that is found out where it is used. */
	return ret == ERR_DATA ? 0 : ret;
}

static int add_encoding(struct mkv *mkv, struct track *t, const struct raw_encoding *raw, struct err *err)
{
	enum track_compression compression = TRACK_COMPRESSION_STRIP;

	if (raw->algorithm == ALGORITHM_ZLIB)
		compression = TRACK_COMPRESSION_ZLIB;
	/* Whatever else keeps us from reading the frames counts as encrypted: bzlib, lzo, one encoding on another. */
	if (raw->type != TYPE_COMPRESSION || (raw->algorithm != ALGORITHM_ZLIB && raw->algorithm != ALGORITHM_STRIP) ||
	    (raw->scope & SCOPE_FRAMES && t->compression != TRACK_COMPRESSION_NONE)) {
		t->is_encrypted = true;
		return 0;
	}
	if (raw->scope & SCOPE_FRAMES) {
		t->compression = compression;
		t->stripped = compression == TRACK_COMPRESSION_STRIP ? raw->settings : (struct bytes){ 0 };
	}
	return raw->scope & SCOPE_PRIVATE ? unpack_private(mkv, t, compression, raw->settings, err) : 0;
}

static int add_encodings(struct mkv *mkv, struct track *t, struct bytes encodings, struct err *err)
{
	struct ebml_element e;
	int ret = 0;

	for (int64_t at = 0; !ret && ebml_read(encodings, at, (int64_t)encodings.size, &e); at = e.end) {
		struct raw_encoding raw = { .scope = SCOPE_FRAMES };
		int64_t end = mkv_end(&e, (int64_t)encodings.size);
		if (e.id != ID_CONTENT_ENCODING)
			continue;
		ret = ebml_parse(encodings, e.data, end, encoding_fields, &raw, err);
		if (!ret)
			ret = add_encoding(mkv, t, &raw, err);
	}
	return ret;
}

/* Pixels that are left of `size` when those are cut away; cropping more than all of them is not believed. */
static int cropped(uint64_t size, uint64_t a, uint64_t b)
{
	if (a >= size || b >= size - a)
		return (int)size;
	return (int)(size - a - b);
}

static int to_int(uint64_t v)
{
	return v <= INT_MAX ? (int)v : 0;
}

/* The roll turns the picture counter-clockwise, by -180 to 180 degrees and a little beyond what is allowed; mirrored or
 * tilted pictures are shown as they are. */
static int rotation_of(const struct raw_track *raw)
{
	if (raw->projection || raw->yaw != 0 || raw->pitch != 0 || !(fabs(raw->roll) <= 360))
		return 0;
	int quarters = (int)lrint(raw->roll / 90);
	if (fabs(raw->roll - quarters * 90) > 1)
		return 0;
	return (8 - quarters) % 4 * 90;
}

static int code_point(uint64_t v)
{
	return v <= 255 ? (int)v : 2;
}

static void set_colour(struct track_colour *c, const struct raw_track *raw)
{
	c->is_present = raw->matrix != COLOUR_ABSENT || raw->range != COLOUR_ABSENT || raw->transfer != COLOUR_ABSENT ||
			raw->primaries != COLOUR_ABSENT;
	c->primaries = code_point(raw->primaries);
	c->transfer = code_point(raw->transfer);
	c->matrix = code_point(raw->matrix);
	c->range = raw->range <= 2 ? (int)raw->range : 0;
	memcpy(c->chromaticity, raw->chromaticity, sizeof c->chromaticity);
	c->luminance_max = raw->luminance_max;
	c->luminance_min = raw->luminance_min;
	c->max_cll = raw->max_cll <= INT64_MAX ? (int64_t)raw->max_cll : -1;
	c->max_fall = raw->max_fall <= INT64_MAX ? (int64_t)raw->max_fall : -1;
}

/* Dolby Vision: the configuration record, and that of the enhancement layer in the same track. */
static bool is_box_type(uint64_t type)
{
	static const char *const types[] = { "dvcC", "dvvC", "dvwC", "avcE", "hvcE" };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (type == get_u32((const uint8_t *)types[i]))
			return true;
	return false;
}

static int set_mappings(struct track *t, struct bytes entry, struct err *err)
{
	int64_t bound = (int64_t)entry.size;
	struct ebml_element e;
	int ret = 0;

	for (int64_t at = 0; !ret && t->n_mappings < TRACK_MAPPINGS_MAX && ebml_read(entry, at, bound, &e); at = e.end) {
		struct raw_mapping raw = { 0 };

		if (e.id != ID_BLOCK_ADDITION_MAPPING)
			continue;
		ret = ebml_parse(entry, e.data, mkv_end(&e, bound), mapping_fields, &raw, err);
		if (!ret && raw.data.size && is_box_type(raw.type))
			t->mappings[t->n_mappings++] = (struct track_mapping){ (uint32_t)raw.type, raw.data };
	}
	return ret;
}

static int set_video(struct track *t, const struct raw_track *raw, struct err *err)
{
	if (raw->width > LIMIT_PIXELS || raw->height > LIMIT_PIXELS)
		return err_set(err, ERR_LIMIT, "track %llu is over %d pixels wide or high", (unsigned long long)raw->number,
			       LIMIT_PIXELS);
	t->width = cropped(raw->width, raw->crop_left, raw->crop_right);
	t->height = cropped(raw->height, raw->crop_top, raw->crop_bottom);
	t->display_width = to_int(raw->display_width);
	t->display_height = to_int(raw->display_height);
	t->display_unit = to_int(raw->display_unit);
	t->rotation = rotation_of(raw);
	set_colour(&t->colour, raw);
	return 0;
}

static double sane_rate(double rate)
{
	return rate > 0 && rate <= LIMIT_SAMPLE_RATE ? rate : 0;
}

static int set_audio(struct track *t, const struct raw_track *raw, struct err *err)
{
	if (raw->channels > LIMIT_CHANNELS || raw->bit_depth > LIMIT_BIT_DEPTH)
		return err_set(err, ERR_LIMIT, "track %llu has over %d channels or %d bits", (unsigned long long)raw->number,
			       LIMIT_CHANNELS, LIMIT_BIT_DEPTH);
	t->rate = sane_rate(raw->rate);
	t->output_rate = sane_rate(raw->output_rate);
	if (t->output_rate <= 0)
		t->output_rate = t->rate;
	t->channels = (int)raw->channels;
	t->bit_depth = (int)raw->bit_depth;
	return 0;
}

static uint64_t sane_ns(uint64_t ns)
{
	return ns <= (uint64_t)TIMELINE_MAX_NS ? ns : 0;
}

/* Of TrackTimestampScale; what no clock would say is not believed. */
static double sane_scale(double scale)
{
	return scale >= 0.01 && scale <= 100 ? scale : 1;
}

/* BITMAPINFOHEADER (little-endian, with the codec at 16), then what the codec itself has to say. */
#define BITMAP_HEADER_BYTES 40

/* H.264 of Video for Windows is H.264: avcC or Annex B follows the header of the picture. */
static void unwrap_vfw(struct track *t)
{
	static const char fourccs[][5] = { "H264", "h264", "X264", "x264", "AVC1", "avc1", "DAVC", "davc", "VSSH", "Q264" };

	if (strcmp(t->codec_id, "V_MS/VFW/FOURCC") || t->codec_private.size < BITMAP_HEADER_BYTES)
		return;
	for (size_t i = 0; i < sizeof fourccs / sizeof *fourccs; i++)
		if (!memcmp(t->codec_private.data + 16, fourccs[i], 4)) {
			strcpy(t->codec_id, "V_MPEG4/ISO/AVC");
			t->codec_private.data += BITMAP_HEADER_BYTES;
			t->codec_private.size -= BITMAP_HEADER_BYTES;
			return;
		}
}

static int set_track(struct mkv *mkv, struct track *t, const struct raw_track *raw, struct err *err)
{
	t->number = raw->number;
	t->type = raw->type == TRACK_VIDEO || raw->type == TRACK_AUDIO || raw->type == TRACK_TEXT ? (enum track_type)raw->type : TRACK_OTHER;
	t->is_default = raw->is_default != 0;
	t->is_enabled = raw->is_enabled != 0;
	t->is_forced = raw->is_forced != 0;
	copy_string(t->name, sizeof(t->name), raw->name);
	copy_string(t->codec_id, sizeof(t->codec_id), raw->codec_id);
	copy_string(t->language, sizeof(t->language), raw->language_bcp47.size ? raw->language_bcp47 : raw->language);
	if (!raw->language_bcp47.size || raw->language.data != track_defaults.language.data)
		copy_string(t->language_iso, sizeof(t->language_iso), raw->language);
	t->codec_private = raw->codec_private;
	t->default_duration_ns = sane_ns(raw->default_duration);
	t->scale = sane_scale(raw->scale);
	t->codec_delay_ns = sane_ns(raw->codec_delay);
	t->offset_ns = raw->offset >= -TIMELINE_MAX_NS && raw->offset <= TIMELINE_MAX_NS ? raw->offset : 0;
	t->seek_preroll_ns = sane_ns(raw->seek_preroll);
	int ret = add_encodings(mkv, t, raw->encodings, err);
	if (!ret && t->type == TRACK_VIDEO) {
		unwrap_vfw(t);
		ret = set_video(t, raw, err);
	}
	if (!ret && t->type == TRACK_AUDIO)
		ret = set_audio(t, raw, err);
	return ret;
}

static int add_track(struct mkv *mkv, struct bytes entry, struct err *err)
{
	struct raw_track raw = track_defaults;
	int ret = ebml_parse(entry, 0, (int64_t)entry.size, track_fields, &raw, err);

	if (ret || !raw.number || mkv_track(mkv, raw.number))
		return ret;
	if (mkv->n_tracks == TRACKS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d tracks", TRACKS_MAX);
	struct track *t = &mkv->tracks[mkv->n_tracks];
	memset(t, 0, sizeof(*t));
	ret = set_track(mkv, t, &raw, err);
	if (!ret)
		ret = set_mappings(t, entry, err);
	if (!ret)
		mkv->n_tracks++;
	return ret;
}

int mkv_read_tracks(struct mkv *mkv, struct bytes tracks, struct err *err)
{
	struct ebml_element e;
	int ret = 0;

	if (!mkv->in->is_stable)
		ret = keep_tracks(mkv, &tracks, err);
	int64_t bound = (int64_t)tracks.size;
	for (int64_t at = 0; !ret && ebml_read(tracks, at, bound, &e) && !mkv_is_level1(e.id); at = e.end)
		if (e.id == ID_TRACK_ENTRY)
			ret = add_track(mkv, (struct bytes){ tracks.data + e.data, (size_t)(mkv_end(&e, bound) - e.data) }, err);
	return ret;
}

void mkv_free_tracks(struct mkv *mkv)
{
	struct arena *arena = mkv->arena;

	for (int i = 0; arena && i < TRACKS_MAX; i++)
		buf_finish(&arena->codec_private[i]);
	if (arena)
		buf_finish(&arena->tracks);
	free(arena);
	mkv->arena = NULL;
}

const struct track *mkv_track(const struct mkv *mkv, uint64_t number)
{
	for (int i = 0; i < mkv->n_tracks; i++)
		if (mkv->tracks[i].number == number)
			return &mkv->tracks[i];
	return NULL;
}
