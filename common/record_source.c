/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records of sources and options: what a user asks for.
 */
#include "common/record_internal.h"

#include "common/timeline.h"

#include <string.h>

/* --- source */

bool record_is_url(const char *path)
{
	return !strncmp(path, "http://", 7) || !strncmp(path, "https://", 8);
}

void record_put_source(struct buf *b, const struct record_source *s)
{
	jput_raw(b, "path", s->path);
	jput_int(b, "size", s->size);
	jput_int(b, "mtime_ns", s->mtime_ns);
	jput_close(b, '}');
}

static int get_source(const json_t *object, struct record_source *s, struct err *err)
{
	struct jget g = jget_begin(object, "source", err);
	jget_raw(&g, "path", s->path, sizeof(s->path));
	if (s->path[0] != '/' && !record_is_url(s->path))
		jget_fail(&g, "path", "is neither absolute nor a URL");
	s->size = jget_int(&g, "size", 0, OFFSET_MAX);
	s->mtime_ns = jget_int(&g, "mtime_ns", INT64_MIN, INT64_MAX - 1);
	return jget_end(&g);
}

int record_source_put(const struct record_source *source, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	record_put_source(json, source);
	return jput_result(json, start, RECORD_JSON_MAX);
}

int record_source_get(struct bytes json, struct record_source *source, struct err *err)
{
	json_t *root;
	int rc = jget_parse(&root, json, RECORD_JSON_MAX, "source", err);
	if (rc)
		return rc;
	rc = get_source(root, source, err);
	json_decref(root);
	return rc;
}

/* --- options */

void record_options_init(struct record_options *o)
{
	*o = (struct record_options){
		.target_ticks = 6 * TICKS_PER_SECOND,
		.audio_mode = RECORD_AUDIO_QUALITY,
		.audio_quality = 1800,
		.audio_bitrate = 192000,
		.audio_channels = 2,
		.video_crf = 23000,
		.video_preset = 2,
		.video_encoder = RECORD_SOFTWARE,
	};
}

void record_put_options(struct buf *b, const struct record_options *o)
{
	jput_int(b, "target_ticks", o->target_ticks);
	jput_str(b, "audio_mode", o->audio_mode == RECORD_AUDIO_BITRATE ? "bitrate" : "quality");
	jput_int(b, "audio_quality", o->audio_quality);
	jput_int(b, "audio_bitrate", o->audio_bitrate);
	jput_int(b, "audio_channels", o->audio_channels);
	jput_int(b, "video_track", o->video_track);
	jput_int(b, "audio_track", o->audio_track);
	jput_str(b, "audio_language", o->audio_language);
	jput_bool(b, "is_audio_copied", o->is_audio_copied);
	jput_bool(b, "is_audio_encoded", o->is_audio_encoded);
	jput_bool(b, "is_video_encoded", o->is_video_encoded);
	jput_str(b, "encoded_codecs", o->encoded_codecs);
	jput_int(b, "video_crf", o->video_crf);
	jput_int(b, "video_preset", o->video_preset);
	jput_int(b, "video_bitrate", o->video_bitrate);
	jput_int(b, "video_height", o->video_height);
	jput_str(b, "video_encoder", o->video_encoder);
	jput_close(b, '}');
}

void record_get_encoder(struct jget *g, const char *name, char encoder[RECORD_ENCODER_SIZE])
{
	jget_str(g, name, encoder, RECORD_ENCODER_SIZE, RECORD_ENCODER_CHARS);
	if (!encoder[0])
		jget_fail(g, name, "is empty");
}

static int get_options(const json_t *object, struct record_options *o, struct err *err)
{
	struct jget g = jget_begin(object, "options", err);
	char mode[16];
	o->target_ticks = jget_int(&g, "target_ticks", TICKS_PER_SECOND / 2, INT64_C(600) * TICKS_PER_SECOND);
	jget_str(&g, "audio_mode", mode, sizeof(mode), NULL);
	o->audio_mode = !strcmp(mode, "bitrate") ? RECORD_AUDIO_BITRATE : RECORD_AUDIO_QUALITY;
	if (o->audio_mode == RECORD_AUDIO_QUALITY && strcmp(mode, "quality"))
		jget_fail(&g, "audio_mode", "is neither quality nor bitrate");
	o->audio_quality = (int)jget_int(&g, "audio_quality", 100, 10000);
	o->audio_bitrate = (int)jget_int(&g, "audio_bitrate", 16000, 512000);
	o->audio_channels = (int)jget_int(&g, "audio_channels", 1, 6);
	if (o->audio_channels > 2 && o->audio_channels < 6)
		jget_fail(&g, "audio_channels", "is not 1, 2 or 6");
	o->video_track = jget_int(&g, "video_track", 0, RECORD_TRACK_MAX);
	o->audio_track = jget_int(&g, "audio_track", 0, RECORD_TRACK_MAX);
	jget_str(&g, "audio_language", o->audio_language, sizeof(o->audio_language), RECORD_LANGUAGE_CHARS);
	if (o->audio_track && o->audio_language[0])
		jget_fail(&g, "audio_language", "goes with no audio_track");
	o->is_audio_copied = jget_bool(&g, "is_audio_copied");
	o->is_audio_encoded = jget_bool(&g, "is_audio_encoded");
	o->is_video_encoded = jget_bool(&g, "is_video_encoded");
	jget_str(&g, "encoded_codecs", o->encoded_codecs, sizeof(o->encoded_codecs), RECORD_CODEC_CHARS);
	o->video_crf = (int)jget_int(&g, "video_crf", 0, 51000);
	o->video_preset = (int)jget_int(&g, "video_preset", 0, RECORD_PRESETS - 1);
	o->video_bitrate = (int)jget_int(&g, "video_bitrate", 0, BITRATE_MAX);
	o->video_height = (int)jget_int(&g, "video_height", 0, SIZE_MAX_SAMPLES);
	record_get_encoder(&g, "video_encoder", o->video_encoder);
	return jget_end(&g);
}

int record_options_put(const struct record_options *o, struct buf *json)
{
	size_t start = json->size;
	jput_begin(json);
	record_put_options(json, o);
	return jput_result(json, start, RECORD_JSON_MAX);
}

int record_options_get(struct bytes json, struct record_options *o, struct err *err)
{
	json_t *root;
	int rc = jget_parse(&root, json, RECORD_JSON_MAX, "options", err);
	if (rc)
		return rc;
	rc = get_options(root, o, err);
	json_decref(root);
	return rc;
}

void record_get_options(struct jget *g, struct record_options *o)
{
	const json_t *object = jget_object_or_null(g, "options");
	if (!object)
		jget_fail(g, "options", "is null");
	else if (!g->code)
		g->code = get_options(object, o, g->err);
}

void record_get_source(struct jget *g, struct record_source *s)
{
	const json_t *object = jget_object_or_null(g, "source");
	if (!object)
		jget_fail(g, "source", "is null");
	else if (!g->code)
		g->code = get_source(object, s, g->err);
}
