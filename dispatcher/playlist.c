/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/playlist.h"

#include "common/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUESSED_AUDIO_RATE 192000 /* bit/s */
#define LIMIT_SEGMENT (INT64_C(1) << 40) /* bytes; an index or a commit may say what it likes */

struct rates {
	int64_t peak, average; /* bit/s */
};

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

/* Bytes of segment i as far as the source tells: its own bytes there, or what the encoder is set to. */
static int64_t guess_size(const struct plan *plan, size_t i)
{
	const struct plan_segment *segment = &plan->segments[i];
	int64_t rate = plan->options.audio_mode == RECORD_AUDIO_BITRATE ? plan->options.audio_bitrate : GUESSED_AUDIO_RATE;

	if (plan->video.is_present && plan->video.bitrate)
		return timeline_scale_ceil(segment->duration, plan->video.bitrate / 8 + rate / 8, TICKS_PER_SECOND);
	if (plan->video.is_present && segment->video_end != INT64_MAX)
		return segment->video_end - segment->video_id;
	if (plan->video.is_present && i > 0) /* the last one: as the others were */
		return in_proportion(plan->segments[i].video_id - plan->segments[0].video_id, segment->duration,
				     segment->start - plan->segments[0].start);
	return timeline_scale_ceil(segment->duration, rate / 8, TICKS_PER_SECOND);
}

static struct rates measure_rates(const struct plan *plan, const int64_t *sizes)
{
	struct rates rates = { 0 };
	int64_t bytes = 0, ticks = 0;

	for (size_t i = 0; i < plan->n_segments; i++) {
		int64_t size = limited(sizes && sizes[i] >= 0 ? sizes[i] : guess_size(plan, i));
		int64_t rate = timeline_scale_ceil(size, INT64_C(8) * TICKS_PER_SECOND, plan->segments[i].duration);

		rates.peak = rate > rates.peak ? rate : rates.peak;
		bytes += size;
		ticks += plan->segments[i].duration;
	}
	rates.average = ticks ? timeline_scale_ceil(bytes, INT64_C(8) * TICKS_PER_SECOND, ticks) : 0;
	return rates;
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

void playlist_put_master(const struct plan *plan, const int64_t *sizes, struct buf *out)
{
	struct rates rates = measure_rates(plan, sizes);
	const struct record_video *video = &plan->video;
	const struct record_audio *audio = &plan->audio;

	buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%d\n%s", PLAYLIST_VERSION, independent(plan));
	buf_printf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRId64 ",AVERAGE-BANDWIDTH=%" PRId64 ",CODECS=\"", rates.peak,
		   rates.average);
	if (video->is_present)
		buf_put_str(out, video->codecs);
	if (video->is_present && audio->is_present)
		buf_put_str(out, ",");
	if (audio->is_present)
		buf_put_str(out, audio->codecs);
	buf_put_str(out, "\"");
	if (video->is_present)
		put_video(video, out);
	buf_put_str(out, "\n" RECORD_RENDITION "/" PLAYLIST_MEDIA "\n");
}

static int64_t target_duration(const struct plan *plan)
{
	int64_t longest = 0;

	for (size_t i = 0; i < plan->n_segments; i++)
		longest = plan->segments[i].duration > longest ? plan->segments[i].duration : longest;
	longest = timeline_scale_round(longest, 1, TICKS_PER_SECOND);
	return longest > 0 ? longest : 1;
}

static void put_extinf(int64_t duration, struct buf *out)
{
	int64_t us = timeline_scale_round(duration, 1000000, TICKS_PER_SECOND);

	buf_printf(out, "#EXTINF:%" PRId64 ".%06" PRId64 ",\n", us / 1000000, us % 1000000);
}

void playlist_put_media(const struct plan *plan, const uint8_t *gaps, struct buf *out)
{
	char name[PLAYLIST_NAME_MAX];

	buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%" PRId64 "\n", PLAYLIST_VERSION,
		   target_duration(plan));
	buf_printf(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n%s", independent(plan));
	buf_put_str(out, "#EXT-X-MAP:URI=\"" PLAYLIST_INIT "\"\n");
	for (size_t i = 0; i < plan->n_segments; i++) {
		if (gaps && gaps[i])
			buf_put_str(out, "#EXT-X-GAP\n");
		put_extinf(plan->segments[i].duration, out);
		playlist_segment_name(&plan->segments[i], name);
		buf_printf(out, "%s\n", name);
	}
	buf_put_str(out, "#EXT-X-ENDLIST\n");
}

void playlist_segment_name(const struct plan_segment *segment, char name[PLAYLIST_NAME_MAX])
{
	snprintf(name, PLAYLIST_NAME_MAX, "%" PRId64 "-%" PRId64 ".m4s", segment->start, segment->duration);
}

int64_t playlist_find_segment(const struct plan *plan, const char *name)
{
	int64_t start = strtoll(name, NULL, 10);
	size_t low = 0, high = plan->n_segments;
	char exact[PLAYLIST_NAME_MAX];

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (plan->segments[middle].start < start)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == plan->n_segments)
		return -1;
	playlist_segment_name(&plan->segments[low], exact);
	return strcmp(name, exact) ? -1 : (int64_t)low;
}
