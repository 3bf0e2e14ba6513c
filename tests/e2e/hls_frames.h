/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What ffmpeg decodes of a file: frames with their times and hashes.
 */
#ifndef SEGFARM_TESTS_E2E_HLS_FRAMES_H
#define SEGFARM_TESTS_E2E_HLS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hls_frame {
	int64_t pts;
	char hash[64]; /* size and MD5 */
};

struct hls_frames {
	int64_t rate; /* units of pts in a second */
	struct hls_frame *list;
	size_t n, capacity;
	char *warnings;
};

/* Runs ffmpeg on the file; output and warnings come apart (NULL: are not wanted), to be freed. */
char *hls_decode(const char *file, const char *options, char **warnings);
/* options: those of an output "-f framemd5 -". */
void hls_frames_read(struct hls_frames *f, const char *file, const char *options);
void hls_frames_free(struct hls_frames *f);

/* Presentation of the first frame of a kind ("v", "a"), s; INFINITY when there is none. */
double hls_first_time(const char *file, const char *kind);
/* The earlier of the two: what a title's timeline counts from. */
double hls_origin(const char *source);

#endif
