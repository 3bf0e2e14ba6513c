/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/api.h"

#include "common/json.h"
#include "common/options.h"
#include "common/timeline.h"
#include "dispatcher/mpd.h"
#include "dispatcher/playlist.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_URL 128

/* --- streams */

static const char *state_name(const struct dispatch_stream *s)
{
	switch (s->state) {
	case DISPATCH_DONE:
		return "complete";
	case DISPATCH_PARTIAL:
		return "partial";
	case DISPATCH_FAILED:
		return "failed";
	default:
		return s->is_cancelled ? "cancelled" : s->state == DISPATCH_PROBING ? "probing" : "making";
	}
}

void api_from_dispatch(const struct dispatch_stream *s, struct api_stream *stream)
{
	const struct plan_segment *last = s->has_plan ? &s->plan.segments[s->plan.n_segments - 1] : NULL;

	*stream = (struct api_stream){
		.key = s->key, .state = state_name(s), .error = s->error, .owner = s->owner, .source = &s->source,
		.options = &s->options, .is_on_demand = s->is_on_demand, .created = s->created,
		.duration = last ? last->start + last->duration : -1, .segments = last ? (int64_t)plan_count(&s->plan) : 0,
		.made = (int64_t)s->n_made, .failed = (int64_t)s->n_quarantined,
	};
}

void api_from_store(const char *key, const struct store_stream *what, const char *owner, struct api_stream *stream)
{
	static const struct {
		const char *store, *name;
	} states[] = { { "probing", "probing" }, { "working", "making" }, { "done", "complete" }, { "partial", "partial" },
		       { "failed", "failed" } };
	const char *state = "probing";

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(what->state, states[i].store))
			state = i < 2 && what->is_cancelled ? "cancelled" : states[i].name;
	*stream = (struct api_stream){
		.key = key, .state = state, .error = what->error, .owner = owner, .source = &what->source, .options = &what->options,
		.is_on_demand = what->is_on_demand, .created = what->created, .duration = -1, .segments = what->n_segments,
		.made = stream->made, .failed = stream->failed,
	};
}

void api_put_options(const struct record_options *o, struct buf *json)
{
	jput_ticks(json, "segment-duration", o->target_ticks);
	jput_str(json, "audio", o->is_audio_copied ? "copy" : "aac");
	if (o->audio_mode == RECORD_AUDIO_BITRATE)
		jput_int(json, "audio-bitrate", o->audio_bitrate / 1000);
	else
		jput_thousandths(json, "audio-quality", o->audio_quality);
	jput_int(json, "audio-channels", o->audio_channels);
	if (o->video_track)
		jput_int(json, "video-track", o->video_track);
	if (o->audio_track)
		jput_int(json, "audio-track", o->audio_track);
	if (o->audio_language[0])
		jput_str(json, "audio-track", o->audio_language);
	jput_bool(json, "force-video-reencode", o->is_video_encoded);
	jput_bool(json, "force-audio-reencode", o->is_audio_encoded);
	if (o->encoded_codecs[0])
		jput_str(json, "reencode", o->encoded_codecs);
	jput_thousandths(json, "crf", o->video_crf);
	jput_str(json, "preset", options_preset_name(o->video_preset));
	if (o->video_bitrate)
		jput_int(json, "video-bitrate", o->video_bitrate / 1000);
	if (o->video_height)
		jput_int(json, "video-height", o->video_height);
	jput_str(json, "encoder", o->video_encoder);
}

static void put_url(const struct api_urls *urls, const char *name, const char *before, const char *key, const char *behind, struct buf *json)
{
	char path[PATH_MAX_URL], url[PATH_MAX_URL + ACCESS_QUERY_SIZE], query[ACCESS_QUERY_SIZE];

	snprintf(path, sizeof(path), "%s%s%s", before, key, behind);
	snprintf(url, sizeof(url), "%s", path);
	if (urls->access && urls->access->has_keys) {
		access_sign(urls->access, path, urls->expires, query);
		snprintf(url, sizeof(url), "%s?%s", path, query);
	}
	jput_str(json, name, url);
}

/* The page gives its query to the playlist: that is what is signed. */
static void put_player(const struct api_urls *urls, const char *key, struct buf *json)
{
	char path[PATH_MAX_URL], url[PATH_MAX_URL + ACCESS_QUERY_SIZE], query[ACCESS_QUERY_SIZE];

	snprintf(url, sizeof(url), "/player/%s", key);
	if (urls->access && urls->access->has_keys) {
		snprintf(path, sizeof(path), "/hls/%s/" PLAYLIST_MASTER, key);
		access_sign(urls->access, path, urls->expires, query);
		snprintf(url, sizeof(url), "/player/%s?%s", key, query);
	}
	jput_str(json, "player", url);
}

void api_put_stream(const struct api_stream *s, const struct api_urls *urls, struct buf *json)
{
	char owner[STORE_OWNER_SIZE];

	snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(s->owner, " "), s->owner);
	jput_str(json, "key", s->key);
	jput_str(json, "source", s->source->path);
	jput_str(json, "state", s->state);
	jput_str(json, "error", s->error);
	jput_int(json, "created", s->created);
	if (s->duration < 0)
		jput_null(json, "duration");
	else
		jput_ticks(json, "duration", s->duration);
	jput_bool(json, "on_demand", s->is_on_demand);
	jput_int(json, "segments", s->segments);
	jput_int(json, "made", s->made);
	jput_int(json, "failed", s->failed);
	jput_str(json, "owner", owner);
	jput_open(json, "options", '{');
	api_put_options(s->options, json);
	jput_close(json, '}');
	jput_open(json, "urls", '{');
	put_url(urls, "master", "/hls/", s->key, "/" PLAYLIST_MASTER, json);
	put_url(urls, "mpd", "/hls/", s->key, "/" MPD_NAME, json);
	put_url(urls, "stream", "/stream/", s->key, ".mp4", json);
	put_player(urls, s->key, json);
	jput_close(json, '}');
}

/* --- tracks, segments */

static void put_video(const struct record_video *v, struct buf *json)
{
	jput_open(json, NULL, '{');
	jput_str(json, "type", "video");
	jput_int(json, "number", v->track);
	jput_str(json, "codecs", v->codecs);
	if (v->supplemental[0])
		jput_str(json, "supplemental", v->supplemental);
	jput_bool(json, "is_copied", v->is_copy);
	if (!v->is_copy)
		jput_str(json, "encoder", v->encode.encoder);
	jput_int(json, "width", v->width);
	jput_int(json, "height", v->height);
	if (v->rate_num > 0 && v->rate_den > 0)
		jput_thousandths(json, "frame_rate", timeline_scale_round(v->rate_num, 1000, v->rate_den));
	jput_str(json, "range", v->range);
	jput_close(json, '}');
}

static void put_audio(const struct record_audio *a, struct buf *json)
{
	jput_str(json, "type", "audio");
	jput_int(json, "number", a->track);
	jput_str(json, "codecs", a->codecs);
	jput_bool(json, "is_copied", a->is_copy);
	jput_int(json, "rate", a->rate);
	jput_int(json, "source_rate", a->source_rate);
	jput_int(json, "channels", a->channels);
}

/* One that is a rendition of its own. */
static void put_track(const struct record_track *t, struct buf *json)
{
	jput_open(json, NULL, '{');
	if (t->audio.is_present) {
		put_audio(&t->audio, json);
	} else {
		jput_str(json, "type", "subtitles");
		jput_int(json, "number", t->text.track);
		jput_str(json, "codecs", "wvtt");
	}
	jput_str(json, "rendition", t->rendition);
	jput_str(json, "name", t->name);
	jput_str(json, "language", t->language);
	jput_bool(json, "is_default", t->is_default);
	jput_bool(json, "is_forced", t->is_forced);
	jput_close(json, '}');
}

void api_put_tracks(const struct plan *plan, struct buf *json)
{
	jput_open(json, "tracks", '[');
	if (plan->video.is_present)
		put_video(&plan->video, json);
	if (plan->audio.is_present) {
		jput_open(json, NULL, '{');
		put_audio(&plan->audio, json);
		jput_close(json, '}');
	}
	for (int i = 0; i < plan->n_tracks; i++)
		put_track(&plan->tracks[i], json);
	jput_close(json, ']');
}

static const struct queue_item *item_of(const struct dispatch *d, const struct dispatch_stream *s, size_t i)
{
	const struct queue_stream *q = s->is_mine && s->number >= 0 ? d->queue.streams[s->number] : NULL;

	return q && i + 1 < q->n_slots ? q->slots[i + 1] : NULL;
}

enum api_segment api_segment_state(const struct dispatch *d, const struct dispatch_stream *s, size_t i)
{
	const struct queue_item *item = item_of(d, s, i);

	if (s->segments[i] == DISPATCH_MADE)
		return API_MADE;
	if (s->segments[i] == DISPATCH_QUARANTINED)
		return API_GAP;
	return !item ? API_MISSING : item->worker ? API_RUNNING : API_QUEUED;
}

void api_put_segment(const struct dispatch *d, const struct dispatch_stream *s, size_t i, const struct api_fail *fail, struct buf *json)
{
	static const char *const states[] = { "made", "running", "queued", "missing", "gap" };
	const struct plan_segment *segment = plan_segment(&s->plan, i);
	const struct queue_item *item = item_of(d, s, i);
	char name[PLAYLIST_NAME_MAX];

	playlist_segment_name(&s->plan, i, name);
	jput_open(json, NULL, '{');
	jput_str(json, "name", name);
	jput_ticks(json, "start", segment->start);
	jput_ticks(json, "duration", segment->duration);
	jput_str(json, "state", states[api_segment_state(d, s, i)]);
	jput_str(json, "reason", fail ? fail->reason : "");
	jput_int(json, "attempts", item ? item->attempts : fail ? fail->attempts : 0);
	jput_close(json, '}');
}

/* What is known of the failure of segment i. */
static const struct api_fail *find_fail(const struct plan *plan, size_t i, const struct api_fail *fails, size_t n)
{
	const struct plan_segment *segment = plan_segment(plan, i);
	const char *rendition = plan_rendition(plan, i);

	for (size_t f = 0; f < n; f++)
		if (fails[f].start == segment->start && fails[f].duration == segment->duration && !strcmp(fails[f].rendition, rendition))
			return &fails[f];
	return NULL;
}

static void put_rendition(const struct dispatch *d, const struct dispatch_stream *s, size_t first, const struct api_fail *fails, size_t n,
			  struct buf *json)
{
	jput_open(json, NULL, '{');
	jput_str(json, "name", plan_rendition(&s->plan, first));
	jput_open(json, "segments", '[');
	for (size_t i = first; i < first + s->plan.n_segments && i < API_SEGMENTS_MAX; i++)
		api_put_segment(d, s, i, s->segments[i] == DISPATCH_QUARANTINED ? find_fail(&s->plan, i, fails, n) : NULL, json);
	jput_close(json, ']');
	jput_close(json, '}');
}

void api_put_parts(const struct dispatch *d, const struct dispatch_stream *s, const struct api_fail *fails, size_t n, struct buf *json)
{
	static const struct plan none = { 0 };

	api_put_tracks(s->has_plan ? &s->plan : &none, json);
	jput_open(json, "renditions", '[');
	for (size_t i = 0; s->has_plan && i < plan_count(&s->plan); i += s->plan.n_segments)
		put_rendition(d, s, i, fails, n, json);
	jput_close(json, ']');
}

/* --- submit */

/* The text that the command line would have for a value; NULL: it has none (true). false: it is none of those. */
static bool value_text(const json_t *value, char text[64], const char **out)
{
	*out = text;
	if (json_is_string(value))
		*out = json_string_value(value);
	else if (json_is_integer(value))
		snprintf(text, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(text, 64, "%.9g", json_real_value(value));
	else if (json_is_true(value))
		*out = NULL;
	else
		return false;
	return true;
}

static int get_option(const char *name, const json_t *value, struct record_options *options, struct err *err)
{
	struct record_options other = *options;
	char number[64];
	const char *text;
	int ret;

	if (json_is_false(value)) /* as if it were not there, if it is one that may be */
		ret = options_set_encode(&other, name, NULL, err);
	else if (value_text(value, number, &text))
		ret = options_set_encode(options, name, text, err);
	else
		return err_set(err, ERR_DATA, "the option \"%.40s\" is not a string, a number, true or false", name);
	if (!ret)
		return err_set(err, ERR_DATA, "there is no option \"%.40s\"", name);
	return ret < 0 ? err_prefix(err, "the option \"%.40s\"", name) : 0;
}

static int get_options(const json_t *object, struct record_options *options, struct err *err)
{
	const char *name;
	json_t *value;
	int ret = 0;

	if (!json_is_object(object))
		return err_set(err, ERR_DATA, "the member \"options\" is not an object");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
		if (!ret)
			ret = get_option(name, value, options, err);
	return ret;
}

static int get_member(const char *name, const json_t *value, struct api_submit *submit, struct err *err)
{
	if (!strcmp(name, "options"))
		return get_options(value, &submit->options, err);
	if (!strcmp(name, "on_demand")) {
		submit->is_on_demand = json_is_true(value);
		return json_is_boolean(value) ? 0 : err_set(err, ERR_DATA, "the member \"on_demand\" is not true or false");
	}
	if (strcmp(name, "source"))
		return err_set(err, ERR_DATA, "there is no member \"%.40s\"", name);
	if (!json_is_string(value) || !json_string_length(value))
		return err_set(err, ERR_DATA, "the member \"source\" is not a path or URL");
	if (json_string_length(value) > RECORD_PATH_MAX)
		return err_set(err, ERR_USAGE, "the source is longer than %d bytes", RECORD_PATH_MAX);
	memcpy(submit->source, json_string_value(value), json_string_length(value) + 1);
	return 0;
}

int api_get_submit(struct bytes json, struct api_submit *submit, struct err *err)
{
	const char *name;
	json_t *root, *value;
	int ret = jget_parse(&root, json, API_BODY_MAX, "body", err);

	if (ret < 0)
		return ret;
	memset(submit, 0, sizeof(*submit));
	record_options_init(&submit->options);
	json_object_foreach(root, name, value)
		if (!ret)
			ret = get_member(name, value, submit, err);
	json_decref(root);
	if (!ret && !submit->source[0])
		ret = err_set(err, ERR_DATA, "the member \"source\" is missing");
	return ret;
}
