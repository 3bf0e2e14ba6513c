/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/hls_frames.h"

#include "tests/e2e/sh.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Runs ffmpeg on the file; output and warnings come apart. */
char *hls_decode(const char *file, const char *options, char **warnings)
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
static void add_frame(struct hls_frames *f, const char *line)
{
	struct hls_frame frame = { 0 };
	long long pts;
	char size[20], hash[40];

	ck_assert_msg(sscanf(line, "0, %*d, %lld, %*d, %19[0-9], %39[0-9a-f]", &pts, size, hash) == 3, "framemd5 says %s", line);
	frame.pts = pts;
	snprintf(frame.hash, sizeof frame.hash, "%s %s", size, hash);
	if (f->n == f->capacity) {
		f->capacity = f->capacity ? 2 * f->capacity : 256;
		f->list = realloc(f->list, f->capacity * sizeof *f->list);
		ck_assert_ptr_nonnull(f->list);
	}
	f->list[f->n++] = frame;
}

void hls_frames_read(struct hls_frames *f, const char *file, const char *options)
{
	char *text = hls_decode(file, options, &f->warnings), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line[0] != '#')
			add_frame(f, line);
		else if (!strncmp(line, "#tb 0: 1/", 9))
			f->rate = atoll(line + 9);
	ck_assert_msg(f->rate > 0 || !f->n, "framemd5 of %s has no time base 1/N", file);
	free(text);
}

void hls_frames_free(struct hls_frames *f)
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
double hls_first_time(const char *file, const char *kind)
{
	struct hls_frames f = { 0 };
	double first = INFINITY;
	char options[160];

	if (!has_stream(file, kind))
		return INFINITY;
	snprintf(options, sizeof options, "-map 0:%s:0 -frames:%s 1 %s -f framemd5 -", kind, kind,
		 kind[0] == 'v' ? "-enc_time_base 1/90000 -fps_mode passthrough" : "");
	hls_frames_read(&f, file, options);
	if (f.n)
		first = (double)f.list[0].pts / (double)f.rate;
	hls_frames_free(&f);
	return first;
}

double hls_origin(const char *source)
{
	static char known[1024];
	static struct timespec made;
	static double origin;
	struct stat st;

	ck_assert_msg(!stat(source, &st), "%s is not there", source);
	if (strcmp(known, source) || st.st_mtim.tv_sec != made.tv_sec || st.st_mtim.tv_nsec != made.tv_nsec) {
		origin = fmin(hls_first_time(source, "v"), hls_first_time(source, "a"));
		snprintf(known, sizeof known, "%s", source);
		made = st.st_mtim;
	}
	return origin;
}
