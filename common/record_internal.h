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

/* As objects named "source" and "options"; reading fails with the object's own error. */
void record_put_source(struct buf *b, const struct record_source *s);
void record_get_source(struct jget *g, struct record_source *s);
void record_put_options(struct buf *b, const struct record_options *o);
void record_get_options(struct jget *g, struct record_options *o);
void record_get_encoder(struct jget *g, const char *name, char encoder[RECORD_ENCODER_SIZE]);

#endif
