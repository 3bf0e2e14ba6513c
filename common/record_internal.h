/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What record_source.c (sources and options) and record.c (what is made of them) share. Nobody else includes this.
 */
#ifndef SEGFARM_COMMON_RECORD_INTERNAL_H
#define SEGFARM_COMMON_RECORD_INTERNAL_H

#include "common/json.h"
#include "common/record.h"

#define OFFSET_MAX (INT64_C(1) << 62)	  /* bytes of a file */
#define SIZE_MAX_SAMPLES 16384		  /* width and height */
#define BITRATE_MAX (INT64_C(2000) * 1000 * 1000)

#define SAMPLES_MAX (INT64_C(2000) * 3600 * RECORD_RATE_MAX) /* TIMELINE_MAX_NS in samples */

/* As objects named "source" and "options"; reading fails with the object's own error. */
void record_put_source(struct buf *b, const struct record_source *s);
void record_get_source(struct jget *g, struct record_source *s);
void record_put_options(struct buf *b, const struct record_options *o);
void record_get_options(struct jget *g, struct record_options *o);
void record_get_encoder(struct jget *g, const char *name, char encoder[RECORD_ENCODER_SIZE]);

/* record_track.c: fields of those names, null where there is no such track. */
void record_get_key(struct jget *g, const char *name, char key[RECORD_KEY_SIZE], bool may_be_empty);
void record_put_video(struct buf *b, const struct record_video *v);
void record_get_video(struct jget *g, struct record_video *v);
void record_put_audio(struct buf *b, const struct record_audio *a);
void record_get_audio(struct jget *g, struct record_audio *a);
void record_put_text(struct buf *b, const struct record_text *t);
void record_get_text(struct jget *g, struct record_text *t);
/* Of a track that is a rendition of its own, what index and plan both say. */
void record_put_track(struct buf *b, const struct record_track *t);
/* The array "tracks"; get_rest reads what only the one of them says of a track. To be given to record_free_tracks, after an error
 * too. */
struct record_track *record_get_tracks(struct jget *g, const char *what, int *n_tracks,
				       void (*get_rest)(struct jget *g, struct record_track *t, void *arg), void *arg);

#endif
