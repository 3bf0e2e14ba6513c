/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Media for tests: made by ffmpeg and mkvmerge, once, into $BUILD/media; and real files where somebody has put some.
 */
#ifndef SEGFARM_TESTS_E2E_MEDIA_H
#define SEGFARM_TESTS_E2E_MEDIA_H

/* $BUILD/media/NAME, an absolute path that lives for ever. It is made by the shell command when it is not there or was made by
 * another command. In the command, $OUT is the file to write (written aside, renamed when the command succeeds), $M the
 * directory of the made files, $V and $A ready lavfi inputs: a moving picture of 640x360 at 24 Hz, and film-like 5.1 sound of
 * 48 kHz (tones that move, noise, clicks; no pure sines), both without an end (use -t), as in
 *   ffmpeg -y -f lavfi -i "$V" -f lavfi -i "$A" -t 20 -c:v libx264 -preset ultrafast -c:a ac3 "$OUT"
 * Inside the quotes they may be followed by filters ("$V,scale=320:180,fps=24000/1001"). */
const char *media_make(const char *name, const char *command);

/* A title of twenty segments of about half a megabyte each. */
const char *media_twenty_segments(void);

/* The directory of real files: $SEGFARM_MEDIA, else ../shared/media beside the checkout; NULL where there is none. Whoever calls
 * it says on stderr what is skipped. */
const char *media_real_dir(void);

#endif
