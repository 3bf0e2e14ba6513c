/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must hold for the HLS of any source, be its tracks copied or encoded.
 */
#ifndef SEGFARM_TESTS_E2E_UNIVERSAL_H
#define SEGFARM_TESTS_E2E_UNIVERSAL_H

#include "tests/e2e/hls.h"

/* The path of what `segfarm-worker transcode OPTIONS SOURCE` writes; lives until the next call. */
const char *universal_transcode(const char *source, const char *options);

/* ffmpeg plays the playlist, or the file, without a word. */
void universal_check_plays(const char *path);

/* The decoded frames of the file at `path`, which are encoded, are those of the source: as many, each at its time counted from the
 * origin of the title, and each more like its own than like the frames beside it, with a PSNR (of luma) of at least `least` dB.
 * filter: what ffmpeg does to the source's pictures before they are compared; "null": nothing. late_s: the title is known to
 * begin so much before what ffmpeg decodes. */
void universal_check_encoded(const char *path, const char *source, const char *filter, double least, double late_s);

/* Each segment of encoded video begins with an IDR picture that is shown first, exactly when its name says; its parameter sets are
 * those of the init segment, since it has none itself. */
void universal_check_starts(const struct hls *h);

/* Can players take the video of the source as it is, so that it is copied? */
bool universal_is_copied_video(const struct hls *h, const char *source);

/* Are the audio samples the packets of the source, byte for byte, but for whole packets in front that only prime the decoder? */
bool universal_is_copied_audio(const char *path, const char *source);

/* The stream has the segments' samples: the same bytes, shown at the same times. */
void universal_check_same_track(const struct hls_track *stream, const struct hls_track *segments);

#endif
