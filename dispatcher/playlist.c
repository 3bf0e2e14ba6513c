/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/playlist.h"

#include "common/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESSED_AUDIO_RATE 192000 /* bit/s */
#define GUESSED_TEXT_RATE 1000
#define GROUP_AUDIO "audio"
#define GROUP_TEXT "text"
#define LIMIT_SHIFT (TICKS_PER_SECOND / 8) /* of a border; a quarter of the shortest segment */
#define LIMIT_SEGMENT (INT64_C(1) << 40) /* bytes; an index or a commit may say what it likes */

static int64_t limited(int64_t size)
{
	return size < 0 ? 0 : size < LIMIT_SEGMENT ? size : LIMIT_SEGMENT;
}

/* Bytes of `duration` where others of together `ticks` have `bytes`. */
static int64_t in_proportion(int64_t bytes, int64_t duration, int64_t ticks)
{
	int64_t product;

	return __builtin_mul_overflow(bytes, duration, &product) ? LIMIT_SEGMENT : timeline_scale_ceil(bytes, duration, ticks);
}

static int64_t guess_audio_rate(const struct plan *plan)
{
	return plan->options.audio_mode == RECORD_AUDIO_BITRATE ? plan->options.audio_bitrate : GUESSED_AUDIO_RATE;
}

/* Bytes of segment i of the main rendition as far as the source tells: its own bytes there, or what the encoder is set to. */
static int64_t guess_size(const struct plan *plan, size_t i)
{
	const struct plan_segment *segment = &plan->segments[i];
	int64_t rate = plan->audio.is_present ? guess_audio_rate(plan) : 0;

	if (plan->video.is_present && plan->video.bitrate)
		return timeline_scale_ceil(segment->duration, plan->video.bitrate / 8 + rate / 8, TICKS_PER_SECOND);
	if (plan->video.is_present && segment->video_end != INT64_MAX)
		return segment->video_end - segment->video_id;
	if (plan->video.is_present && i > 0) /* the last one: as the others were */
		return in_proportion(plan->segments[i].video_id - plan->segments[0].video_id, segment->duration,
				     segment->start - plan->segments[0].start);
	return timeline_scale_ceil(segment->duration, rate / 8, TICKS_PER_SECOND);
}

static int64_t guess_track_size(const struct plan *plan, const struct plan_segment *segment, bool is_text)
{
	return timeline_scale_ceil(segment->duration, (is_text ? GUESSED_TEXT_RATE : guess_audio_rate(plan)) / 8, TICKS_PER_SECOND);
}

struct playlist_rates playlist_measure(const struct plan *plan, size_t first, const int64_t *sizes)
{
	struct playlist_rates rates = { 0 };
	int64_t bytes = 0, ticks = 0;

	for (size_t i = first; i < first + plan->n_segments; i++) {
		const struct plan_segment *segment = plan_segment(plan, i);
		int64_t guess = plan_track(plan, i) ? guess_track_size(plan, segment, plan_is_text(plan, i)) : guess_size(plan, i);
		int64_t size = limited(sizes && sizes[i] >= 0 ? sizes[i] : guess);
		int64_t rate = timeline_scale_ceil(size, INT64_C(8) * TICKS_PER_SECOND, segment->duration);

		rates.peak = rate > rates.peak ? rate : rates.peak;
		bytes += size;
		ticks += segment->duration;
	}
	rates.average = ticks ? timeline_scale_ceil(bytes, INT64_C(8) * TICKS_PER_SECOND, ticks) : 0;
	return rates;
}

/* The main rendition with the audio that needs most. */
static struct playlist_rates measure_all(const struct plan *plan, const int64_t *sizes)
{
	struct playlist_rates rates = { 0 }, most = { 0 };

	if (plan_has_main(plan))
		rates = playlist_measure(plan, 0, sizes);
	for (int t = 0; t < plan->n_tracks && plan->tracks[t].audio.is_present; t++) {
		struct playlist_rates of = playlist_measure(plan, plan_track_first(plan, t), sizes);

		most.peak = of.peak > most.peak ? of.peak : most.peak;
		most.average = of.average > most.average ? of.average : most.average;
	}
	return (struct playlist_rates){ rates.peak + most.peak, rates.average + most.average };
}

static void put_video(const struct record_video *video, struct buf *out)
{
	int64_t thousandths;

	if (video->supplemental[0])
		buf_printf(out, ",SUPPLEMENTAL-CODECS=\"%s\"", video->supplemental);
	buf_printf(out, ",RESOLUTION=%dx%d", video->width, video->height);
	if (video->rate_num > 0 && video->rate_den > 0) {
		thousandths = timeline_scale_round(video->rate_num, 1000, video->rate_den);
		buf_printf(out, ",FRAME-RATE=%" PRId64 ".%03" PRId64, thousandths / 1000, thousandths % 1000);
	}
	if (video->range[0])
		buf_printf(out, ",VIDEO-RANGE=%s", video->range);
}

/* RFC 8216 section 4.3.5.1 */
static const char *independent(const struct plan *plan)
{
	return plan->is_independent ? "#EXT-X-INDEPENDENT-SEGMENTS\n" : "";
}

/* RFC 8216 section 4.3.4.1. is_variant: its playlist is the EXT-X-STREAM-INF's. */
static void put_rendition(const struct record_track *t, bool is_variant, struct buf *out)
{
	buf_printf(out, "#EXT-X-MEDIA:TYPE=%s,GROUP-ID=\"%s\",NAME=\"%s\"", t->text.is_present ? "SUBTITLES" : "AUDIO",
		   t->text.is_present ? GROUP_TEXT : GROUP_AUDIO, t->name);
	if (t->language[0])
		buf_printf(out, ",LANGUAGE=\"%s\"", t->language);
	buf_printf(out, ",DEFAULT=%s,AUTOSELECT=YES", t->is_default ? "YES" : "NO");
	if (t->text.is_present)
		buf_printf(out, ",FORCED=%s", t->is_forced ? "YES" : "NO");
	else
		buf_printf(out, ",CHANNELS=\"%d\"", t->audio.channels);
	if (!is_variant)
		buf_printf(out, ",URI=\"%s/" PLAYLIST_MEDIA "\"", t->rendition);
	buf_put_str(out, "\n");
}

static bool is_told_before(const struct plan *plan, int track)
{
	for (int i = 0; i < track; i++)
		if (!strcmp(plan->tracks[i].audio.codecs, plan->tracks[track].audio.codecs))
			return true;
	return false;
}

/* Of all that belongs to it. */
static void put_codecs(const struct plan *plan, struct buf *out)
{
	const char *comma = "";

	if (plan->video.is_present) {
		buf_put_str(out, plan->video.codecs);
		comma = ",";
	}
	if (plan->audio.is_present)
		buf_printf(out, "%s%s", comma, plan->audio.codecs);
	for (int i = 0; i < plan->n_tracks; i++)
		if (plan->tracks[i].audio.is_present && !is_told_before(plan, i)) {
			buf_printf(out, "%s%s", comma, plan->tracks[i].audio.codecs);
			comma = ",";
		}
}

void playlist_put_master(const struct plan *plan, const int64_t *sizes, struct buf *out)
{
	struct playlist_rates rates = measure_all(plan, sizes);
	const struct record_track *last = plan->n_tracks ? &plan->tracks[plan->n_tracks - 1] : NULL;

	buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%d\n%s", PLAYLIST_VERSION, independent(plan));
	for (int i = 0; i < plan->n_tracks; i++)
		put_rendition(&plan->tracks[i], plan_track_first(plan, i) == plan_default(plan), out);
	buf_printf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRId64 ",AVERAGE-BANDWIDTH=%" PRId64 ",CODECS=\"", rates.peak,
		   rates.average);
	put_codecs(plan, out);
	buf_put_str(out, "\"");
	if (plan->video.is_present)
		put_video(&plan->video, out);
	if (last && plan->tracks[0].audio.is_present)
		buf_put_str(out, ",AUDIO=\"" GROUP_AUDIO "\"");
	if (last && last->text.is_present)
		buf_put_str(out, ",SUBTITLES=\"" GROUP_TEXT "\"");
	buf_printf(out, "\n%s/" PLAYLIST_MEDIA "\n", plan_rendition(plan, plan_default(plan)));
}

/* Where the first audio frame of the segment lies; number plan->n_segments: the end of the last one. */
static int64_t audio_border(const struct plan *plan, const struct record_track *t, size_t number)
{
	return record_audio_ticks(&t->audio, number < plan->n_segments ? t->segments[number].audio_first : t->audio.frames);
}

/* Where segment `number` of a rendition begins, ticks; number plan->n_segments: where the last one ends. Audio has
 * them between frames, up to one off the plan's; it begins with its first frame and ends with its last, but never before the plan does. So
 * a segment's EXTINF is what it lasts (RFC 8216 section 4.3.2.1); and Shaka ends a title where the shortest of its playlists ends. */
static int64_t border(const struct plan *plan, size_t first, size_t number)
{
	const struct record_track *t = plan_track(plan, first);
	const struct plan_segment *s = plan_segment(plan, first + (number < plan->n_segments ? number : number - 1));
	int64_t end = s->start + s->duration, at, unit;

	if (t && t->text.is_present)
		t = NULL;
	at = t ? audio_border(plan, t, number) : 0;
	if (number == plan->n_segments)
		return t && at > end ? at : end;
	if (!t)
		return s->start;
	unit = timeline_samples_to_ticks(t->audio.unit, t->audio.rate);
	unit = unit < LIMIT_SHIFT ? unit : LIMIT_SHIFT;
	/* sound may begin before the first picture */
	return at > (number ? s->start : 0) - unit && at < s->start + unit ? at : s->start;
}

static int64_t duration_of(const struct plan *plan, size_t first, size_t number)
{
	int64_t duration = border(plan, first, number + 1) - border(plan, first, number);

	return duration > 0 ? duration : 1; /* of a plan that makes no sense */
}

static int64_t target_duration(const struct plan *plan, size_t first)
{
	int64_t longest = 0;

	for (size_t i = 0; i < plan->n_segments; i++)
		longest = duration_of(plan, first, i) > longest ? duration_of(plan, first, i) : longest;
	longest = timeline_scale_round(longest, 1, TICKS_PER_SECOND);
	return longest > 0 ? longest : 1;
}

static void put_extinf(int64_t duration, struct buf *out)
{
	int64_t us = timeline_scale_round(duration, 1000000, TICKS_PER_SECOND);

	buf_printf(out, "#EXTINF:%" PRId64 ".%06" PRId64 ",\n", us / 1000000, us % 1000000);
}

void playlist_put_media(const struct plan *plan, size_t first, const uint8_t *gaps, struct buf *out)
{
	char name[PLAYLIST_NAME_MAX];

	buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%" PRId64 "\n", PLAYLIST_VERSION,
		   target_duration(plan, first));
	buf_printf(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n%s", independent(plan));
	if (!plan_is_text(plan, first))
		buf_put_str(out, "#EXT-X-MAP:URI=\"" PLAYLIST_INIT "\"\n");
	for (size_t i = first; i < first + plan->n_segments; i++) {
		if (gaps && gaps[i])
			buf_put_str(out, "#EXT-X-GAP\n");
		put_extinf(duration_of(plan, first, i - first), out);
		playlist_segment_name(plan, i, name);
		buf_printf(out, "%s\n", name);
	}
	buf_put_str(out, "#EXT-X-ENDLIST\n");
}

void playlist_segment_name(const struct plan *plan, size_t segment, char name[PLAYLIST_NAME_MAX])
{
	const struct plan_segment *s = plan_segment(plan, segment);

	snprintf(name, PLAYLIST_NAME_MAX, "%" PRId64 "-%" PRId64 ".%s", s->start, s->duration,
		 plan_is_text(plan, segment) ? "vtt" : "m4s");
}

int64_t playlist_find_segment(const struct plan *plan, size_t first, const char *name)
{
	char exact[PLAYLIST_NAME_MAX], brief[PLAYLIST_NAME_MAX];
	int64_t i = plan_find_start(plan, strtoll(name, NULL, 10));

	if (i < 0)
		return -1;
	i += (int64_t)first;
	playlist_segment_name(plan, (size_t)i, exact);
	snprintf(brief, sizeof(brief), "%" PRId64 "%s", plan_segment(plan, (size_t)i)->start, strchr(exact, '.'));
	return strcmp(name, exact) && strcmp(name, brief) ? -1 : i;
}
