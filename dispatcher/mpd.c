/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/mpd.h"

#include "common/timeline.h"
#include "dispatcher/playlist.h"

#include <inttypes.h>
#include <string.h>

#define ROLE "urn:mpeg:dash:role:2011"
#define CHANNELS "urn:mpeg:mpegB:cicp:ChannelConfiguration"
#define TRANSFER "urn:mpeg:mpegB:cicp:TransferCharacteristics"

static void put_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			buf_printf(out, "&#%d;", *text);
		else
			buf_put_u8(out, (uint8_t)*text);
	}
}

static void put_seconds(struct buf *out, const char *name, int64_t ticks)
{
	int64_t ms = timeline_scale_ceil(ticks, 1000, TICKS_PER_SECOND);

	buf_printf(out, " %s=\"PT%" PRId64 ".%03" PRId64 "S\"", name, ms / 1000, ms % 1000);
}

/* With sound that goes on behind the plan's end: Shaka drops what lies behind the end that is told. */
static int64_t end_of(const struct plan *plan)
{
	const struct plan_segment *last = &plan->segments[plan->n_segments - 1];
	int64_t end = last->start + last->duration, at = plan->audio.is_present ? record_audio_ticks(&plan->audio, plan->audio.frames) : 0;
	int64_t start, tracks;

	record_audio_span(plan->tracks, plan->n_tracks, &start, &tracks);
	at = tracks > at ? tracks : at;
	return at > end ? at : end;
}

static int64_t longest(const struct plan *plan)
{
	int64_t ticks = 0;

	for (size_t i = 0; i < plan->n_segments; i++)
		ticks = plan->segments[i].duration > ticks ? plan->segments[i].duration : ticks;
	return ticks;
}

/* Section 5.3.9.6: runs of the same duration. */
static void put_timeline(struct buf *out, const struct plan *plan)
{
	buf_put_str(out, "<SegmentTimeline>\n");
	for (size_t i = 0, n; i < plan->n_segments; i += n) {
		const struct plan_segment *s = &plan->segments[i];

		for (n = 1; i + n < plan->n_segments && s[n].duration == s->duration; n++)
			;
		buf_printf(out, "<S t=\"%" PRId64 "\" d=\"%" PRId64 "\"", s->start, s->duration);
		if (n > 1)
			buf_printf(out, " r=\"%zu\"", n - 1);
		buf_put_str(out, "/>\n");
	}
	buf_put_str(out, "</SegmentTimeline>\n");
}

/* ISO/IEC 23091-3 */
static int channel_configuration(int channels)
{
	return channels == 7 ? 11 : channels == 8 ? 12 : channels;
}

static void put_audio(struct buf *out, const struct record_audio *a)
{
	buf_printf(out, "<AudioChannelConfiguration schemeIdUri=\"" CHANNELS "\" value=\"%d\"/>\n", channel_configuration(a->channels));
}

static void put_picture(struct buf *out, const struct record_video *v)
{
	buf_printf(out, " width=\"%d\" height=\"%d\"", v->width, v->height);
	if (v->rate_num > 0 && v->rate_den == 1)
		buf_printf(out, " frameRate=\"%" PRId64 "\"", v->rate_num);
	else if (v->rate_num > 0)
		buf_printf(out, " frameRate=\"%" PRId64 "/%" PRId64 "\"", v->rate_num, v->rate_den);
}

static void put_list(struct buf *out, const struct plan *plan, size_t first)
{
	const char *rendition = plan_rendition(plan, first);
	char name[PLAYLIST_NAME_MAX];

	buf_printf(out, "<SegmentList timescale=\"%d\">\n", (int)TICKS_PER_SECOND);
	if (!plan_is_text(plan, first))
		buf_printf(out, "<Initialization sourceURL=\"%s/" PLAYLIST_INIT "\"/>\n", rendition);
	put_timeline(out, plan);
	for (size_t i = first; i < first + plan->n_segments; i++) {
		playlist_segment_name(plan, i, name);
		buf_printf(out, "<SegmentURL media=\"%s/%s\"/>\n", rendition, name);
	}
	buf_put_str(out, "</SegmentList>\n");
}

/* Each rendition is one Representation. Of a template it is the rest. */
static void put_names(struct buf *out, const struct plan *plan, size_t first, enum mpd_names names)
{
	bool is_text = plan_is_text(plan, first);

	if (names == MPD_LIST) {
		put_list(out, plan, first);
		return;
	}
	buf_printf(out, "<SegmentTemplate%s media=\"$RepresentationID$/$Time$.%s\"/>\n",
		   is_text ? "" : " initialization=\"$RepresentationID$/" PLAYLIST_INIT "\"", is_text ? "vtt" : "m4s");
}

/* Video and audio together are told by their codecs alone: dash.js plays that, and refuses to where ContentComponents say so. */
static void put_main(struct buf *out, const struct plan *plan, int64_t bandwidth, enum mpd_names names)
{
	const struct record_video *v = &plan->video;
	const struct record_audio *a = &plan->audio;
	const char *kind = v->is_present ? "video" : "audio";

	buf_printf(out, "<AdaptationSet id=\"0\" contentType=\"%s\" mimeType=\"%s/mp4\" segmentAlignment=\"true\"%s>\n", kind, kind,
		   plan->is_independent ? " startWithSAP=\"1\"" : "");
	if (strcmp(v->range, "PQ") == 0 || strcmp(v->range, "HLG") == 0)
		buf_printf(out, "<SupplementalProperty schemeIdUri=\"" TRANSFER "\" value=\"%d\"/>\n", v->range[0] == 'P' ? 16 : 18);
	buf_put_str(out, "<Role schemeIdUri=\"" ROLE "\" value=\"main\"/>\n");
	put_names(out, plan, 0, names);
	buf_printf(out, "<Representation id=\"%s\" bandwidth=\"%" PRId64 "\" codecs=\"%s%s%s\"", plan_rendition(plan, 0), bandwidth, v->codecs,
		   v->is_present && a->is_present ? "," : "", a->codecs);
	if (v->is_present)
		put_picture(out, v);
	if (a->is_present)
		buf_printf(out, " audioSamplingRate=\"%d\"", a->rate);
	buf_put_str(out, ">\n");
	if (a->is_present)
		put_audio(out, a);
	buf_put_str(out, "</Representation>\n</AdaptationSet>\n");
}

static const char *role_of(const struct record_track *t)
{
	if (t->text.is_present)
		return t->is_forced ? "forced-subtitle" : "subtitle";
	return t->is_default ? "main" : "alternate";
}

static void put_track(struct buf *out, const struct plan *plan, int track, int64_t bandwidth, enum mpd_names names)
{
	const struct record_track *t = &plan->tracks[track];
	bool is_text = t->text.is_present;

	buf_printf(out, "<AdaptationSet id=\"%d\" contentType=\"%s\" mimeType=\"%s\" segmentAlignment=\"true\"", track + 1, is_text ? "text" : "audio",
		   is_text ? "text/vtt" : "audio/mp4");
	if (!is_text)
		buf_put_str(out, " startWithSAP=\"1\"");
	if (t->language[0])
		buf_printf(out, " lang=\"%s\"", t->language);
	buf_printf(out, ">\n<Role schemeIdUri=\"" ROLE "\" value=\"%s\"/>\n", role_of(t));
	if (is_text && t->is_default)
		buf_put_str(out, "<Role schemeIdUri=\"" ROLE "\" value=\"main\"/>\n");
	buf_put_str(out, "<Label>");
	put_escaped(out, t->name);
	buf_put_str(out, "</Label>\n");
	put_names(out, plan, plan_track_first(plan, track), names);
	buf_printf(out, "<Representation id=\"%s\" bandwidth=\"%" PRId64 "\"", t->rendition, bandwidth);
	if (is_text) {
		buf_put_str(out, "/>\n");
	} else {
		buf_printf(out, " codecs=\"%s\" audioSamplingRate=\"%d\">\n", t->audio.codecs, t->audio.rate);
		put_audio(out, &t->audio);
		buf_put_str(out, "</Representation>\n");
	}
	buf_put_str(out, "</AdaptationSet>\n");
}

void mpd_put(const struct plan *plan, const int64_t *sizes, enum mpd_names names, struct buf *out)
{
	buf_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "
			"profiles=\"urn:mpeg:dash:profile:isoff-%s:2011\" type=\"static\"", names == MPD_LIST ? "main" : "live");
	put_seconds(out, "mediaPresentationDuration", end_of(plan));
	put_seconds(out, "maxSegmentDuration", longest(plan));
	put_seconds(out, "minBufferTime", longest(plan));
	buf_put_str(out, ">\n<Period id=\"0\" start=\"PT0S\">\n");
	if (names == MPD_TEMPLATE) {
		buf_printf(out, "<SegmentTemplate timescale=\"%d\">\n", (int)TICKS_PER_SECOND);
		put_timeline(out, plan);
		buf_put_str(out, "</SegmentTemplate>\n");
	}
	if (plan_has_main(plan))
		put_main(out, plan, playlist_measure(plan, 0, sizes).peak, names);
	for (int i = 0; i < plan->n_tracks; i++)
		put_track(out, plan, i, playlist_measure(plan, plan_track_first(plan, i), sizes).peak, names);
	buf_put_str(out, "</Period>\n</MPD>\n");
}
