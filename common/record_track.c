/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records of tracks: video, audio, and those that are renditions of their own.
 */
#include "common/record_internal.h"

#include "common/key.h"
#include "common/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS_MAX 64
#define UNIT_MAX 65536
#define SOURCE_UNIT_MAX (1 << 24)
#define LEAD_MAX (1 << 26)
#define DELAY_MAX 65535
#define FRAME_RATE_MAX (INT64_C(1) << 40) /* numerator and denominator */
#define GRID_WITHIN_MAX_NS 500000

#define CODECS_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,-"

void record_get_key(struct jget *g, const char *name, char key[RECORD_KEY_SIZE], bool may_be_empty)
{
	jget_str(g, name, key, RECORD_KEY_SIZE, NULL);
	if (!key_is_valid(key) && !(may_be_empty && !key[0]))
		jget_fail(g, name, "is not a key");
}

/* --- video */

static void put_encode(struct buf *b, const struct record_video *v)
{
	const struct record_encode *e = &v->encode;

	if (v->is_copy) {
		jput_null(b, "encode");
		return;
	}
	jput_open(b, "encode", '{');
	jput_int(b, "width", e->width);
	jput_int(b, "height", e->height);
	jput_int(b, "rotation", e->rotation);
	jput_int(b, "sar_num", e->sar_num);
	jput_int(b, "sar_den", e->sar_den);
	jput_int(b, "rate_num", e->rate_num);
	jput_int(b, "rate_den", e->rate_den);
	jput_int(b, "primaries", e->primaries);
	jput_int(b, "transfer", e->transfer);
	jput_int(b, "matrix", e->matrix);
	jput_bool(b, "is_full_range", e->is_full_range);
	jput_int(b, "hdr_peak", e->hdr_peak);
	jput_int(b, "lag_ticks", e->lag_ticks);
	jput_int(b, "lead_ticks", e->lead_ticks);
	jput_str(b, "encoder", e->encoder);
	jput_str(b, "sets", e->sets);
	jput_int(b, "software_id", e->software_id);
	jput_close(b, '}');
}

static void get_encode(struct jget *parent, struct record_video *v)
{
	struct record_encode *e = &v->encode;
	const json_t *object = jget_object_or_null(parent, "encode");
	v->is_copy = !object;
	if (!object)
		return;
	struct jget g = jget_begin(object, "encoded video", parent->err);
	e->width = (int)jget_int(&g, "width", 2, SIZE_MAX_SAMPLES);
	e->height = (int)jget_int(&g, "height", 2, SIZE_MAX_SAMPLES);
	if (e->width % 2 || e->height % 2)
		jget_fail(&g, "width", "or height is odd");
	e->rotation = (int)jget_int(&g, "rotation", 0, 270);
	if (e->rotation % 90)
		jget_fail(&g, "rotation", "is not a multiple of 90");
	e->sar_num = (int)jget_int(&g, "sar_num", 1, 65535);
	e->sar_den = (int)jget_int(&g, "sar_den", 1, 65535);
	e->rate_num = jget_int(&g, "rate_num", 1, FRAME_RATE_MAX);
	e->rate_den = jget_int(&g, "rate_den", 1, FRAME_RATE_MAX);
	e->primaries = (int)jget_int(&g, "primaries", 0, 255);
	e->transfer = (int)jget_int(&g, "transfer", 0, 255);
	e->matrix = (int)jget_int(&g, "matrix", 0, 255);
	e->is_full_range = jget_bool(&g, "is_full_range");
	e->hdr_peak = (int)jget_int(&g, "hdr_peak", 0, 10000);
	e->lag_ticks = jget_int(&g, "lag_ticks", 0, TICKS_PER_SECOND * INT64_C(60));
	e->lead_ticks = jget_int(&g, "lead_ticks", 0, TICKS_PER_SECOND * INT64_C(60));
	record_get_encoder(&g, "encoder", e->encoder);
	record_get_key(&g, "sets", e->sets, true);
	if (!e->sets[0] != !strcmp(e->encoder, RECORD_SOFTWARE))
		jget_fail(&g, "sets", "does not go with its encoder");
	e->software_id = (int)jget_int(&g, "software_id", 0, RECORD_SET_ID_MAX);
	parent->code = jget_end(&g);
}

void record_put_video(struct buf *b, const struct record_video *v)
{
	if (!v->is_present) {
		jput_null(b, "video");
		return;
	}
	jput_open(b, "video", '{');
	jput_int(b, "track", v->track);
	jput_str(b, "codecs", v->codecs);
	jput_str(b, "supplemental", v->supplemental);
	jput_int(b, "width", v->width);
	jput_int(b, "height", v->height);
	jput_int(b, "rate_num", v->rate_num);
	jput_int(b, "rate_den", v->rate_den);
	jput_int(b, "grid_ns", v->grid_ns);
	jput_int(b, "grid_within_ns", v->grid_within_ns);
	jput_str(b, "range", v->range);
	jput_int(b, "start_ticks", v->start_ticks);
	jput_int(b, "end_ticks", v->end_ticks);
	jput_int(b, "delay_ticks", v->delay_ticks);
	jput_int(b, "bitrate", v->bitrate);
	put_encode(b, v);
	jput_close(b, '}');
}

static bool is_video_range(const char *s)
{
	return !strcmp(s, "SDR") || !strcmp(s, "PQ") || !strcmp(s, "HLG");
}

void record_get_video(struct jget *parent, struct record_video *v)
{
	*v = (struct record_video){ 0 };
	const json_t *object = jget_object_or_null(parent, "video");
	if (!object)
		return;
	struct jget g = jget_begin(object, "video track", parent->err);
	v->is_present = true;
	v->track = jget_int(&g, "track", 0, INT64_MAX - 1);
	jget_str(&g, "codecs", v->codecs, sizeof(v->codecs), CODECS_CHARS);
	if (!v->codecs[0])
		jget_fail(&g, "codecs", "is empty");
	jget_str(&g, "supplemental", v->supplemental, sizeof(v->supplemental), CODECS_CHARS "/");
	v->width = (int)jget_int(&g, "width", 1, SIZE_MAX_SAMPLES);
	v->height = (int)jget_int(&g, "height", 1, SIZE_MAX_SAMPLES);
	v->rate_num = jget_int(&g, "rate_num", 0, FRAME_RATE_MAX);
	v->rate_den = jget_int(&g, "rate_den", 0, FRAME_RATE_MAX);
	if (!v->rate_num != !v->rate_den)
		jget_fail(&g, "rate_num", "is 0 alone");
	v->grid_ns = jget_int(&g, "grid_ns", -TIMELINE_MAX_NS, TIMELINE_MAX_NS);
	v->grid_within_ns = jget_int(&g, "grid_within_ns", 0, GRID_WITHIN_MAX_NS);
	if (v->grid_within_ns && (!v->rate_num || v->rate_num > NS_PER_SECOND || v->rate_den > INT32_MAX))
		jget_fail(&g, "grid_within_ns", "needs a frame rate");
	jget_str(&g, "range", v->range, sizeof(v->range), NULL);
	if (!is_video_range(v->range))
		jget_fail(&g, "range", "is not SDR, PQ or HLG");
	v->start_ticks = jget_int(&g, "start_ticks", 0, TIMELINE_MAX_TICKS);
	v->end_ticks = jget_int(&g, "end_ticks", v->start_ticks, TIMELINE_MAX_TICKS);
	v->delay_ticks = jget_int(&g, "delay_ticks", 0, TIMELINE_MAX_TICKS);
	v->bitrate = jget_int(&g, "bitrate", 0, BITRATE_MAX);
	get_encode(&g, v);
	parent->code = jget_end(&g);
}

/* --- audio */

void record_put_audio(struct buf *b, const struct record_audio *a)
{
	if (!a->is_present) {
		jput_null(b, "audio");
		return;
	}
	jput_open(b, "audio", '{');
	jput_bool(b, "is_copy", a->is_copy);
	jput_int(b, "track", a->track);
	jput_str(b, "codecs", a->codecs);
	jput_int(b, "rate", a->rate);
	jput_int(b, "channels", a->channels);
	jput_int(b, "unit", a->unit);
	jput_int(b, "base", a->base);
	jput_int(b, "frames", a->frames);
	jput_int(b, "source_rate", a->source_rate);
	jput_int(b, "source_unit", a->source_unit);
	jput_int(b, "source_base", a->source_base);
	jput_int(b, "source_end", a->source_end);
	jput_int(b, "lead", a->lead);
	jput_int(b, "delay", a->delay);
	jput_close(b, '}');
}

void record_get_audio(struct jget *parent, struct record_audio *a)
{
	*a = (struct record_audio){ 0 };
	const json_t *object = jget_object_or_null(parent, "audio");
	if (!object)
		return;
	struct jget g = jget_begin(object, "audio track", parent->err);
	a->is_present = true;
	a->is_copy = jget_bool(&g, "is_copy");
	a->track = jget_int(&g, "track", 0, INT64_MAX - 1);
	jget_str(&g, "codecs", a->codecs, sizeof(a->codecs), CODECS_CHARS);
	if (!a->codecs[0])
		jget_fail(&g, "codecs", "is empty");
	a->rate = (int)jget_int(&g, "rate", RECORD_RATE_MIN, RECORD_RATE_MAX);
	a->channels = (int)jget_int(&g, "channels", 1, CHANNELS_MAX);
	a->unit = jget_int(&g, "unit", 1, UNIT_MAX);
	a->base = jget_int(&g, "base", -SAMPLES_MAX, SAMPLES_MAX);
	a->frames = jget_int(&g, "frames", 0, SAMPLES_MAX);
	int64_t longest = timeline_ns_to_samples(TIMELINE_MAX_NS, a->rate);
	if (a->base < -longest || a->base + a->frames * a->unit > longest)
		jget_fail(&g, "frames", "lie beyond any timeline");
	a->source_rate = (int)jget_int(&g, "source_rate", RECORD_RATE_MIN, RECORD_RATE_MAX);
	if (a->is_copy && a->source_rate != a->rate)
		jget_fail(&g, "source_rate", "of copied audio is not rate");
	a->source_unit = jget_int(&g, "source_unit", 0, SOURCE_UNIT_MAX);
	a->source_base = jget_int(&g, "source_base", -SAMPLES_MAX, SAMPLES_MAX);
	a->source_end = jget_int(&g, "source_end", a->source_base, SAMPLES_MAX);
	a->lead = jget_int(&g, "lead", 0, LEAD_MAX);
	a->delay = jget_int(&g, "delay", 0, DELAY_MAX);
	parent->code = jget_end(&g);
}

int64_t record_audio_ticks(const struct record_audio *a, int64_t frame)
{
	return timeline_samples_to_ticks(a->base + frame * a->unit, a->rate);
}

void record_audio_stretch(struct record_audio *a, int64_t start, int64_t end)
{
	int64_t first = timeline_ticks_to_samples(start, a->rate), behind = timeline_ticks_to_samples(end, a->rate);
	int64_t last = a->base + a->frames * a->unit, units = a->base > first ? (a->base - first) / a->unit : 0;

	a->base -= units * a->unit;
	a->frames += units;
	if (behind > last)
		a->frames += (behind - last + a->unit - 1) / a->unit;
}

/* --- text */

void record_put_text(struct buf *b, const struct record_text *t)
{
	if (!t->is_present) {
		jput_null(b, "text");
		return;
	}
	jput_open(b, "text", '{');
	jput_int(b, "track", t->track);
	jput_close(b, '}');
}

void record_get_text(struct jget *parent, struct record_text *t)
{
	*t = (struct record_text){ 0 };
	const json_t *object = jget_object_or_null(parent, "text");
	if (!object)
		return;
	struct jget g = jget_begin(object, "text track", parent->err);
	t->is_present = true;
	t->track = jget_int(&g, "track", 0, INT64_MAX - 1);
	parent->code = jget_end(&g);
}

/* --- tracks that are renditions of their own */

void record_put_track(struct buf *b, const struct record_track *t)
{
	jput_str(b, "name", t->name);
	jput_str(b, "language", t->language);
	jput_bool(b, "default", t->is_default);
	jput_bool(b, "forced", t->is_forced);
	record_put_audio(b, &t->audio);
	record_put_text(b, &t->text);
}

/* It stands in quotes in playlists. */
static bool is_name(const char *s)
{
	const char *c = s;
	while ((unsigned char)*c >= ' ' && *c != 0x7f && *c != '"')
		c++;
	return *s && !*c;
}

static void get_track(struct jget *g, struct record_track *t)
{
	jget_str(g, "name", t->name, sizeof(t->name), NULL);
	if (!is_name(t->name))
		jget_fail(g, "name", "is empty, or has characters that do not belong there");
	jget_str(g, "language", t->language, sizeof(t->language), RECORD_TAG_CHARS);
	t->is_default = jget_bool(g, "default");
	t->is_forced = jget_bool(g, "forced");
	record_get_audio(g, &t->audio);
	record_get_text(g, &t->text);
	if (!g->code && t->audio.is_present == t->text.is_present)
		jget_fail(g, "audio", "and text: a track is one of them");
}

struct record_track *record_get_tracks(struct jget *g, const char *what, int *n_tracks,
				       void (*get_rest)(struct jget *g, struct record_track *t, void *arg), void *arg)
{
	const json_t *array = jget_array(g, "tracks", 0, RECORD_TRACKS_MAX);
	size_t n = array ? json_array_size(array) : 0;
	struct record_track *tracks = n ? calloc(n, sizeof(*tracks)) : NULL;
	*n_tracks = tracks ? (int)n : 0;
	if (n && !tracks)
		g->code = err_set(g->err, ERR_NOMEM, "no memory for %zu tracks", n);
	for (size_t i = 0; i < n && !g->code; i++) {
		struct jget t = jget_begin(json_array_get(array, i), what, g->err);
		get_track(&t, &tracks[i]);
		get_rest(&t, &tracks[i], arg);
		g->code = jget_end(&t);
	}
	if (!g->code && record_name_tracks(tracks, (int)n))
		jget_fail(g, "tracks", "are too many of a kind, or subtitles come before audio");
	return tracks;
}

void record_free_tracks(struct record_track *tracks, int n)
{
	for (int i = 0; i < n; i++) {
		free(tracks[i].positions);
		free(tracks[i].segments);
	}
	free(tracks);
}

void record_audio_span(const struct record_track *tracks, int n, int64_t *start, int64_t *end)
{
	*start = INT64_MAX;
	*end = 0;
	for (int i = 0; i < n; i++) {
		const struct record_audio *a = &tracks[i].audio;
		int64_t from = a->is_present ? record_audio_ticks(a, 0) : INT64_MAX, to = a->is_present ? record_audio_ticks(a, a->frames) : 0;

		*start = from < *start ? from : *start;
		*end = to > *end ? to : *end;
	}
	*start = *start > 0 ? *start : 0;
}

int record_name_tracks(struct record_track *tracks, int n)
{
	int n_audios = 0, n_texts = 0;
	for (int i = 0; i < n; i++) {
		if (tracks[i].text.is_present)
			record_rendition(tracks[i].rendition, RECORD_TEXT_RENDITION, ++n_texts);
		else
			record_rendition(tracks[i].rendition, RECORD_AUDIO_RENDITION, ++n_audios);
		if (n_audios > RECORD_AUDIOS_MAX || n_texts > RECORD_TEXTS_MAX || (n_texts && !tracks[i].text.is_present))
			return ERR_DATA;
	}
	return 0;
}

void record_rendition(char rendition[RECORD_RENDITION_MAX + 1], const char *kind, int number)
{
	snprintf(rendition, RECORD_RENDITION_MAX + 1, "%s-%d", kind, number);
}
