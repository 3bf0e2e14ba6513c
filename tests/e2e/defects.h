/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tests of published defects share: short titles, and ways to look at what came of them.
 */
#ifndef SEGFARM_TESTS_E2E_DEFECTS_H
#define SEGFARM_TESTS_E2E_DEFECTS_H

#include "tests/e2e/hls.h"

#include <stdbool.h>
#include <stdint.h>

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define PICTURE "-f lavfi -i testsrc2=s=320x180:r=24 "
#define SOUND "-f lavfi -i \"$A\" "
#define X264 "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "
#define X265 "-c:v libx265 -preset ultrafast "
#define AC3 "-c:a ac3 -b:a 448k "
#define MKVMERGE "mkvmerge -q -o \"$OUT\" "
#define OUT "\"$OUT\"" /* at the end of FFMPEG */
#define PLAIN "\"$M/defects_plain.mkv\""
#define TIMEOUT_S 300 /* of a test */

/* 13 s: H.264 with B-frames and a sync sample every 2 s, AC-3 5.1; muxed by ffmpeg, and that once more by mkvmerge. */
const char *defects_plain(void);
const char *defects_plain_mkvmerge(void);
/* A name of that kind in the scratch directory; lives until the next call. */
const char *defects_scratch(const char *name);

bool defects_is_same_data(const struct hls_sample *a, const struct hls_sample *b);
/* Same tracks, same cuts, and each sample with the same bytes and times in both. */
void defects_check_same(const struct hls *h, const struct hls *other);
/* Makes `source` and `plain` into HLS: it is well formed, and the same of both. */
void defects_check_as_plain(const char *source, const char *plain);

/* The track's samples are the frames of a track of that Matroska file, byte for byte, in their order. */
void defects_check_frames(const struct hls_track *t, const char *source, uint64_t number);

/* Where the tracks of a file begin, ms, as ffprobe says; the earlier of the two is what the timeline counts from. */
struct defects_starts {
	int64_t video_ms, audio_ms, origin_ms;
};
void defects_starts(struct defects_starts *s, const char *file);

/* Presentation times (edit list taken off) of all samples in rising order, to be freed. */
int64_t *defects_times(const struct hls_track *t);
/* What ffprobe prints of the file with these options, one line, to be freed. */
char *defects_probe(const char *file, const char *options);

#endif
