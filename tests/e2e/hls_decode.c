/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The comparisons that decode, with ffmpeg. Times are read with -copyts in a fixed time base, since ffmpeg otherwise shifts
 * its input to 0 and rounds times to the frame rate.
 */
#include "tests/e2e/hls.h"

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

struct frame {
	int64_t pts;
	char hash[64]; /* size and MD5 */
};

struct frames {
	int64_t rate; /* units of pts in a second */
	struct frame *list;
	size_t n, capacity;
	char *warnings;
};

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

/* ---- frames */

/* Runs ffmpeg on the file; output and warnings come apart. */
static char *decode(const char *file, const char *options, char **warnings)
{
	char *text;

	setenv("HLS_FILE", file, 1);
	setenv("HLS_TEMP", sh_scratch(), 1);
	text = sh("ffmpeg -nostdin -hide_banner -v warning -copyts -i \"$HLS_FILE\" %s 2> \"$HLS_TEMP/warnings\"", options);
	if (warnings)
		*warnings = sh("cat \"$HLS_TEMP/warnings\"");
	return text;
}

/* One line of framemd5: stream, dts, pts, duration, size, hash. */
static void add_frame(struct frames *f, const char *line)
{
	struct frame frame = { 0 };
	long long pts;
	char size[20], hash[40];

	ck_assert_msg(sscanf(line, "0, %*d, %lld, %*d, %19[0-9], %39s", &pts, size, hash) == 3, "framemd5 says %s", line);
	frame.pts = pts;
	snprintf(frame.hash, sizeof frame.hash, "%s %s", size, hash);
	if (f->n == f->capacity) {
		f->capacity = f->capacity ? 2 * f->capacity : 256;
		f->list = realloc(f->list, f->capacity * sizeof *f->list);
		ck_assert_ptr_nonnull(f->list);
	}
	f->list[f->n++] = frame;
}

static void read_frames(struct frames *f, const char *file, const char *options)
{
	char *text = decode(file, options, &f->warnings), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line[0] != '#')
			add_frame(f, line);
		else if (!strncmp(line, "#tb 0: 1/", 9))
			f->rate = atoll(line + 9);
	ck_assert_msg(f->rate > 0 || !f->n, "framemd5 of %s has no time base 1/N", file);
	free(text);
}

static void free_frames(struct frames *f)
{
	free(f->list);
	free(f->warnings);
}

static bool has_stream(const char *file, const char *kind)
{
	setenv("HLS_FILE", file, 1);
	return !sh_status(NULL, "ffprobe -v error -select_streams %s -show_entries stream=index -of csv=p=0 \"$HLS_FILE\""
			  " | grep -q .", kind);
}

/* Presentation of the first frame of a kind, s; INFINITY when there is none. */
static double first_time(const char *file, const char *kind)
{
	struct frames f = { 0 };
	double first = INFINITY;
	char options[160];

	if (!has_stream(file, kind))
		return INFINITY;
	snprintf(options, sizeof options, "-map 0:%s:0 -frames:%s 1 %s -f framemd5 -", kind, kind,
		 kind[0] == 'v' ? "-enc_time_base 1/90000 -fps_mode passthrough" : "");
	read_frames(&f, file, options);
	if (f.n)
		first = (double)f.list[0].pts / (double)f.rate;
	free_frames(&f);
	return first;
}

static double origin_of(const char *source)
{
	return fmin(first_time(source, "v"), first_time(source, "a"));
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
	return !strncmp(line, "[matroska", 9) || !strncmp(line, "Consider increasing the value", 29);
}

static void check_lines(const char *lines, const char *others, const char *whose)
{
	for (const char *p = lines; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t length = strcspn(p, "\n");

		ck_assert_msg(is_of_container(p) || has_line(others, p, length), "only decoding %s warns: %.*s", whose,
			      (int)length, p);
	}
}

static void check_warnings(struct frames *ours, struct frames *theirs)
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
	struct frames ours = { 0 }, theirs = { 0 };
	int64_t origin = llround(origin_of(source) * 90000);

	read_frames(&ours, hls_join(h), options);
	read_frames(&theirs, source, options);
	ck_assert_msg(ours.n == theirs.n, "%zu frames, the source has %zu", ours.n, theirs.n);
	ck_assert_uint_gt(ours.n, 0);
	for (size_t i = 0; i < ours.n; i++) {
		int64_t late = ours.list[i].pts - (theirs.list[i].pts - origin);

		ck_assert_msg(!strcmp(ours.list[i].hash, theirs.list[i].hash), "frame %zu is another one", i);
		ck_assert_msg(llabs(late) < 90, "frame %zu comes %lld/90000 s late", i, (long long)late);
	}
	check_warnings(&ours, &theirs);
	free_frames(&ours);
	free_frames(&theirs);
}

int64_t hls_video_lag(const struct hls *h, const char *source)
{
	double theirs = first_time(source, "v") - origin_of(source);

	return llround((first_time(hls_join(h), "v") - theirs) * 90000);
}

/* ---- sound */

/* Holes are filled with silence, as segfarm does. */
static struct sound read_sound(const char *file, double origin)
{
	struct sound s = { 0 };
	char path[1024];
	FILE *f;
	long size;

	s.start = llround((first_time(file, "a") - origin) * RATE);
	snprintf(path, sizeof path, "%s/sound", sh_scratch());
	setenv("HLS_SOUND", path, 1);
	free(decode(file, "-map 0:a:0 -ac 1 -ar 48000 -af aresample=async=1 -y -f f32le \"$HLS_SOUND\"", NULL));
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
	struct sound theirs = read_sound(source, origin_of(source)), ours = read_sound(hls_join(h), 0);
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
