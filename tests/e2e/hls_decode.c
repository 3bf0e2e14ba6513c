/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The comparisons that decode, with ffmpeg. Times are read with -copyts in a fixed time base, since ffmpeg otherwise shifts
 * its input to 0 and rounds times to the frame rate.
 */
#include "tests/e2e/hls.h"

#include "tests/e2e/hls_frames.h"
#include "tests/e2e/sh.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE 48000
#define WINDOW 4096   /* samples compared in each place */
#define SEARCH 4096   /* lags looked at, to both sides */
#define PLACES 7
#define MIN_LIKENESS 0.4 /* correlation (of differences) under which it is another sound: that gives under 0.1 */

struct sound {
	float *samples;
	int64_t n;
	double *energy; /* [n + 1]: of all samples before */
	int64_t start;  /* time of the first one, in samples */
};

const char *hls_join(const struct hls *h)
{
	static char path[1024];
	FILE *f;

	snprintf(path, sizeof path, "%s/joined.mp4", sh_scratch());
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(h->init.data, 1, h->init.size, f), h->init.size);
	for (size_t i = 0; i < h->n_segments; i++)
		ck_assert_uint_eq(fwrite(h->segments[i].file.data, 1, h->segments[i].file.size, f), h->segments[i].file.size);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}

/* ---- warnings */

/* "[h264 @ 0x55d0c0] text" -> "[h264] text", in place. */
static void strip_addresses(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		if (!strncmp(from, " @ 0x", 5))
			from += 5 + strspn(from + 5, "0123456789abcdef");
		else
			*to++ = *from++;
	}
	*to = 0;
}

static bool has_line(const char *text, const char *line, size_t length)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (strcspn(text, "\n") == length && !strncmp(text, line, length))
			return true;
	return false;
}

/* What the source's container, or ffmpeg of it, says is no matter of the frames: subtitles of unknown size, say. */
static bool is_of_container(const char *line)
{
	static const char *const others[] = { "[matroska", "[mpegts", "[mpeg]", "[avi", "[flv", "[asf", "[ogg", "Consider increasing the value" };

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strncmp(line, others[i], strlen(others[i])))
			return true;
	return false;
}

static void check_lines(const char *lines, const char *others, const char *whose)
{
	for (const char *p = lines; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t length = strcspn(p, "\n");

		ck_assert_msg(is_of_container(p) || has_line(others, p, length), "only decoding %s warns: %.*s", whose,
			      (int)length, p);
	}
}

static void check_warnings(struct hls_frames *ours, struct hls_frames *theirs)
{
	strip_addresses(ours->warnings);
	strip_addresses(theirs->warnings);
	check_lines(ours->warnings, theirs->warnings, "the segments");
	check_lines(theirs->warnings, ours->warnings, "the source");
}

/* ---- video */

void hls_check_video(const struct hls *h, const char *source)
{
	static const char options[] = "-map 0:v:0 -enc_time_base 1/90000 -fps_mode passthrough -f framemd5 -";
	struct hls_frames ours = { 0 }, theirs = { 0 };
	int64_t origin = llround(hls_origin(source) * 90000);

	hls_frames_read(&ours, hls_join(h), options);
	hls_frames_read(&theirs, source, options);
	ck_assert_msg(ours.n == theirs.n, "%zu frames, the source has %zu", ours.n, theirs.n);
	ck_assert_uint_gt(ours.n, 0);
	for (size_t i = 0; i < ours.n; i++) {
		int64_t late = ours.list[i].pts - (theirs.list[i].pts - origin);

		ck_assert_msg(!strcmp(ours.list[i].hash, theirs.list[i].hash), "frame %zu is another one", i);
		ck_assert_msg(llabs(late) < 90, "frame %zu comes %lld/90000 s late", i, (long long)late);
	}
	check_warnings(&ours, &theirs);
	hls_frames_free(&ours);
	hls_frames_free(&theirs);
}

int64_t hls_video_lag(const struct hls *h, const char *source)
{
	double theirs = hls_first_time(source, "v") - hls_origin(source);

	return llround((hls_first_time(hls_join(h), "v") - theirs) * 90000);
}

/* ---- sound */

/* Holes are filled with silence, as segfarm does. */
static struct sound read_sound(const char *file, double origin)
{
	struct sound s = { 0 };
	char path[1024];
	FILE *f;
	long size;

	s.start = llround((hls_first_time(file, "a") - origin) * RATE);
	snprintf(path, sizeof path, "%s/sound", sh_scratch());
	setenv("HLS_SOUND", path, 1);
	free(hls_decode(file, "-map 0:a:0 -ac 1 -ar 48000 -af aresample=async=1 -y -f f32le \"$HLS_SOUND\"", NULL));
	f = fopen(path, "rb");
	ck_assert_ptr_nonnull(f);
	ck_assert(!fseek(f, 0, SEEK_END) && (size = ftell(f)) >= 0);
	rewind(f);
	s.n = size / (long)sizeof *s.samples;
	s.samples = malloc((size_t)size + 1);
	ck_assert_ptr_nonnull(s.samples);
	ck_assert_uint_eq(fread(s.samples, sizeof *s.samples, (size_t)s.n, f), (size_t)s.n);
	fclose(f);
	/* differences of neighbours: without them low notes make the peak of the correlation broad */
	for (int64_t i = s.n - 1; i > 0; i--)
		s.samples[i] -= s.samples[i - 1];
	s.energy = calloc((size_t)s.n + 1, sizeof *s.energy);
	ck_assert_ptr_nonnull(s.energy);
	for (int64_t i = 0; i < s.n; i++)
		s.energy[i + 1] = s.energy[i] + (double)s.samples[i] * (double)s.samples[i];
	return s;
}

static void free_sound(struct sound *s)
{
	free(s->samples);
	free(s->energy);
}

/* Four sums, so that the compiler may use vectors. */
static double product(const float *a, const float *b, int64_t n)
{
	float sums[4] = { 0 };

	for (int64_t i = 0; i + 4 <= n; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += a[i + k] * b[i + k];
	return (double)sums[0] + (double)sums[1] + (double)sums[2] + (double)sums[3];
}

/* The lag of `ours` in the window of `theirs` at c; false where it is silent there. */
static bool find_lag(const struct sound *ours, const struct sound *theirs, int64_t c, int64_t window, int64_t *lag)
{
	const float *x = theirs->samples + c, *y = ours->samples;
	int64_t at = c + theirs->start - ours->start;
	double energy = product(x, x, window), best = -1;

	if (energy < 1e-9 * (double)window)
		return false;
	for (int64_t k = at - SEARCH; k <= at + SEARCH; k++) {
		double ours_energy, alike;

		if (k < 0 || k + window > ours->n)
			continue;
		ours_energy = ours->energy[k + window] - ours->energy[k];
		alike = ours_energy > 1e-12 ? product(x, y + k, window) / sqrt(energy * ours_energy) : 0;
		if (alike > best) {
			best = alike;
			*lag = k - at;
		}
	}
	ck_assert_msg(best > MIN_LIKENESS, "the sound at sample %lld is missing or another one (likeness %.2f)", (long long)c,
		      best);
	return true;
}

int64_t hls_audio_lag(const struct hls *h, const char *source)
{
	struct sound theirs = read_sound(source, hls_origin(source)), ours = read_sound(hls_join(h), 0);
	int64_t window = theirs.n / 2 < WINDOW ? theirs.n / 2 : WINDOW, lag = 0;
	int n = 0;

	ck_assert_msg(window >= 512, "too little sound to compare: %lld samples", (long long)theirs.n);
	for (int i = 0; i < PLACES; i++) {
		int64_t c = (theirs.n - window) * i / (PLACES - 1), here = 0;

		if (!find_lag(&ours, &theirs, c, window, &here))
			continue;
		ck_assert_msg(!n || here == lag, "the sound lags by %lld samples at %lld, before by %lld", (long long)here,
			      (long long)c, (long long)lag);
		lag = here;
		n++;
	}
	ck_assert_msg(n > 0, "silence cannot be compared");
	free_sound(&theirs);
	free_sound(&ours);
	return lag;
}
