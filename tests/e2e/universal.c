/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/universal.h"

#include "tests/e2e/craft.h"
#include "tests/e2e/hls_frames.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKS 90000
#define MS 90
#define ALIKE 60.0 /* dB: of pictures that are the same */

const char *universal_transcode(const char *source, const char *options)
{
	static char path[600];

	snprintf(path, sizeof path, "%s/stream.mp4", sh_scratch());
	setenv("SOURCE", source, 1);
	setenv("STREAM", path, 1);
	free(sh("\"$WORKER\" transcode %s \"$SOURCE\" > \"$STREAM\"", options));
	return path;
}

void universal_check_plays(const char *path)
{
	char *said = sh("ffmpeg -nostdin -hide_banner -v warning -xerror -i '%s' -f null - 2>&1", path);

	ck_assert_msg(!*said, "playing %s: %s", path, said);
	free(said);
}

/* ---- frames that are encoded */

struct pictures {
	struct hls_frames frames;
	struct buf luma;
	size_t size; /* of one */
};

static void read_pictures(struct pictures *p, const char *file, const char *filter)
{
	char options[1200], raw[512];

	snprintf(raw, sizeof raw, "%s/pictures", sh_scratch());
	snprintf(options, sizeof options, "-filter_complex \"[0:v:0]%s,format=gray,split[a][b]\" -map [a] -enc_time_base 1/90000 "
		 "-fps_mode passthrough -f framemd5 - -map [b] -fps_mode passthrough -f rawvideo -y '%s'", filter, raw);
	*p = (struct pictures){ .frames = { 0 } };
	hls_frames_read(&p->frames, file, options);
	ck_assert_msg(p->frames.n > 1, "%s has %zu frames", file, p->frames.n);
	craft_load(&p->luma, raw);
	p->size = p->luma.size / p->frames.n;
	ck_assert_uint_eq(p->size * p->frames.n, p->luma.size);
}

static void free_pictures(struct pictures *p)
{
	hls_frames_free(&p->frames);
	buf_finish(&p->luma);
}

static double psnr(const struct pictures *a, size_t i, const struct pictures *b, size_t k)
{
	const uint8_t *x = a->luma.data + i * a->size, *y = b->luma.data + k * b->size;
	int64_t sum = 0;

	for (size_t n = 0; n < a->size; n++)
		sum += (x[n] - y[n]) * (x[n] - y[n]);
	return sum ? 10 * log10(255.0 * 255.0 * (double)a->size / (double)sum) : ALIKE;
}

/* A frame that stands still is as much like the one beside it, give or take what coding does. */
static void check_place(const struct pictures *ours, const struct pictures *theirs, size_t i, double own, size_t beside)
{
	double other = psnr(ours, i, theirs, beside);

	ck_assert_msg(own >= other || psnr(theirs, i, theirs, beside) > own, "frame %zu is more like the source's frame %zu (%.1f dB, not %.1f)",
		      i, beside, other, own);
}

/* What full range pictures make the conversion to luma say. */
static bool is_of_format(const char *warnings)
{
	for (const char *p = warnings; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!memmem(p, strcspn(p, "\n"), "deprecated pixel format used", 28))
			return false;
	return true;
}

void universal_check_encoded(const char *path, const char *source, const char *filter, double least, double late_s)
{
	struct pictures ours, theirs;
	int64_t origin = llround((hls_origin(source) - late_s) * TICKS);
	double worst = ALIKE;

	read_pictures(&ours, path, "null");
	read_pictures(&theirs, source, filter);
	ck_assert_msg(is_of_format(ours.frames.warnings), "decoding %s: %s", path, ours.frames.warnings);
	ck_assert_msg(ours.frames.n == theirs.frames.n, "%zu frames, the source has %zu", ours.frames.n, theirs.frames.n);
	ck_assert_uint_eq(ours.size, theirs.size);
	for (size_t i = 0; i < ours.frames.n; i++) {
		int64_t late = ours.frames.list[i].pts - (theirs.frames.list[i].pts - origin);
		double own = psnr(&ours, i, &theirs, i);

		ck_assert_msg(llabs(late) <= MS, "frame %zu comes %lld/90000 s late", i, (long long)late);
		worst = fmin(worst, own);
		ck_assert_msg(own >= least, "frame %zu has a PSNR of %.1f dB", i, own);
		if (i)
			check_place(&ours, &theirs, i, own, i - 1);
		if (i + 1 < ours.frames.n)
			check_place(&ours, &theirs, i, own, i + 1);
	}
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s: %zu frames, worst %.1f dB\n", source, ours.frames.n, worst);
	free_pictures(&ours);
	free_pictures(&theirs);
}

/* ---- borders */

static int64_t shown(const struct hls_track *t, size_t i)
{
	return t->samples[i].dts + t->samples[i].cts - t->edit_media_time;
}

/* The types of the NAL units of a sample, as bits. */
static unsigned nal_types(struct bytes data)
{
	unsigned types = 0;

	for (size_t at = 0; at < data.size;) {
		size_t n;

		ck_assert_uint_le(at + 5, data.size);
		n = get_u32(data.data + at);
		types |= 1u << (data.data[at + 4] & 31);
		at += 4 + n;
		ck_assert_uint_le(at, data.size);
	}
	return types;
}

void universal_check_starts(const struct hls *h)
{
	const struct hls_track *v = hls_video(h);
	long long start;

	ck_assert_str_eq(v->entry, "avc1");
	for (size_t i = 0; i < v->n_samples; i++)
		ck_assert_msg(!(nal_types(v->samples[i].data) & ~(1u << 1 | 1u << 5 | 1u << 6)), "frame %zu is not of slices alone", i);
	for (size_t i = 0; i < h->n_segments; i++) {
		size_t first = v->first[i];

		ck_assert_int_eq(sscanf(h->segments[i].name, "%lld-", &start), 1);
		ck_assert_msg(nal_types(v->samples[first].data) & 1u << 5, "segment %zu does not begin with an IDR picture", i);
		ck_assert_msg(shown(v, first) == start, "segment %zu begins at %lld, its first picture is shown at %lld", i, start,
			      (long long)shown(v, first));
		for (size_t k = first; k < v->first[i + 1]; k++)
			ck_assert_msg(shown(v, k) >= start, "segment %zu has a picture of %lld", i, (long long)shown(v, k));
	}
}

/* ---- audio that is copied */

/* ADTS, or not: the bytes of packets without it. */
#define RAW_AUDIO "-map 0:a:0 -c copy -bsf:a aac_adtstoasc -f framemd5 -"
#define PRIMING_MOST 20 /* what an edit list leaves out included */

bool universal_is_copied_video(const struct hls *h, const char *source)
{
	char *said = sh("ffprobe -v quiet -select_streams v:0 -show_entries stream=codec_name,pix_fmt -of csv=p=0 '%s' | head -n 1", source);
	bool is_hevc = !strncmp(said, "hevc,", 5), is_h264 = !strncmp(said, "h264,yuv420p\n", 13) || !strncmp(said, "h264,yuvj420p\n", 14);

	free(said);
	ck_assert_int_eq(!strcmp(hls_video(h)->entry, "hvc1"), is_hevc);
	return is_hevc || (is_h264 && !strstr(source, ".avi"));
}

bool universal_is_copied_audio(const char *path, const char *source)
{
	struct hls_frames ours = { 0 }, theirs = { 0 };
	size_t at = 0;
	bool is_same;

	hls_frames_read(&ours, path, RAW_AUDIO);
	hls_frames_read(&theirs, source, RAW_AUDIO);
	ck_assert_uint_gt(ours.n, 0);
	while (at < theirs.n && strcmp(theirs.list[at].hash, ours.list[0].hash))
		at++;
	is_same = at <= PRIMING_MOST && theirs.n - at == ours.n;
	for (size_t i = 0; i < ours.n && is_same; i++)
		is_same = !strcmp(ours.list[i].hash, theirs.list[at + i].hash);
	hls_frames_free(&ours);
	hls_frames_free(&theirs);
	return is_same;
}

void universal_check_same_track(const struct hls_track *stream, const struct hls_track *segments)
{
	ck_assert_uint_eq(stream->n_samples, segments->n_samples);
	ck_assert_uint_eq(stream->timescale, segments->timescale);
	for (size_t i = 0; i < stream->n_samples; i++) {
		const struct hls_sample *a = &stream->samples[i], *b = &segments->samples[i];

		ck_assert_msg(shown(stream, i) == shown(segments, i), "sample %zu is at %lld, in the segments at %lld", i,
			      (long long)shown(stream, i), (long long)shown(segments, i));
		ck_assert_msg(a->data.size == b->data.size && !memcmp(a->data.data, b->data.data, a->data.size), "sample %zu has other bytes", i);
	}
}
