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

static void parse_frames(struct hls_frames *f, const char *file, char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line[0] != '#')
			add_frame(f, line);
		else if (!strncmp(line, "#tb 0: 1/", 9))
			f->rate = atoll(line + 9);
	ck_assert_msg(f->rate > 0 || !f->n, "framemd5 of %s has no time base 1/N", file);
}

void hls_frames_read(struct hls_frames *f, const char *file, const char *options)
{
	char *text = hls_decode(file, options, &f->warnings);

	parse_frames(f, file, text);
	free(text);
}

void hls_frames_free(struct hls_frames *f)
{
	free(f->list);
	free(f->warnings);
}

static double read_first_time(const char *file, const char *kind)
{
	struct hls_frames f = { 0 };
	double first = INFINITY;
	char *text;
	int status;

	setenv("HLS_FILE", file, 1);
	setenv("HLS_TEMP", sh_scratch(), 1);
	status = sh_status(&text, "ffmpeg -nostdin -hide_banner -v error -copyts -i \"$HLS_FILE\" -map 0:%s:0 -frames:%s 1 %s -f framemd5 - "
			   "2> \"$HLS_TEMP/errors\" || { cat \"$HLS_TEMP/errors\"; false; }", kind, kind,
			   kind[0] == 'v' ? "-enc_time_base 1/90000 -fps_mode passthrough" : "");
	if (status)
		ck_assert_msg(strstr(text, "matches no streams"), "the first frame of %s: %s", file, text);
	else
		parse_frames(&f, file, text);
	if (f.n)
		first = (double)f.list[0].pts / (double)f.rate;
	hls_frames_free(&f);
	free(text);
	return first;
}

double hls_first_time(const char *file, const char *kind)
{
	/* what was asked for lately, for starting ffmpeg is dear */
	static struct {
		char file[1024], kind;
		struct timespec made;
		double first;
	} known[4], *k;
	static int n;
	struct stat st;

	ck_assert_msg(!stat(file, &st), "%s is not there", file);
	for (k = known; k < known + 4; k++)
		if (!strcmp(k->file, file) && k->kind == kind[0] && k->made.tv_sec == st.st_mtim.tv_sec && k->made.tv_nsec == st.st_mtim.tv_nsec)
			return k->first;
	k = &known[n++ % 4];
	k->first = read_first_time(file, kind);
	k->kind = kind[0];
	k->made = st.st_mtim;
	ck_assert_int_lt(snprintf(k->file, sizeof k->file, "%s", file), (int)sizeof k->file);
	return k->first;
}

double hls_origin(const char *source)
{
	return fmin(hls_first_time(source, "v"), hls_first_time(source, "a"));
}
