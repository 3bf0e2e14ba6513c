/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One run of libavcodec's AAC-LC encoder over the frames of the grid, each packet decoded again and compared where it is loud.
 */
#ifndef SEGFARM_WORKER_AAC_H
#define SEGFARM_WORKER_AAC_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define AAC_UNIT 1024
#define AAC_CHANNELS_MAX 8
#define AAC_AHEAD 2 /* packet n needs the input frames up to n + AAC_AHEAD */

/* The latest `kept` input frames, a ring by frame number: [frame % kept][channel][sample]. */
struct aac_input {
	int channels, kept;
	float *samples;
};
float *aac_input_at(const struct aac_input *in, int64_t frame, int channel);
/* Is this frame loud enough to be compared? */
bool aac_is_checked(const struct aac_input *in, int64_t frame);

struct aac_settings {
	int rate, channels;
	const char *coder; /* "fast", "twoloop" */
	int quality;       /* thousandths; 0: bitrate */
	int64_t bitrate;
};

struct aac_packet {
	struct buf data;
	/* Noise to signal of the frame that this packet and the one before decode to, worst channel; 0 where it is too quiet to be
	 * heard, and for the first packet of a run. */
	float noise;
};

struct aac;
/* To begin with input frame `from`; the first packet is number from - 1. `in` must outlive it. ERR_UNSUPPORTED, ERR_NOMEM. */
int aac_create(struct aac **a, const struct aac_settings *settings, const struct aac_input *in, int64_t from, struct err *err);
void aac_destroy(struct aac *a);
/* Goes on to packet n; not backwards. check_from: packets before it are not compared. */
int aac_encode(struct aac *a, int64_t n, int64_t check_from, struct err *err);
/* The packet asked for last, and the one before it; live until the next aac_encode. */
const struct aac_packet *aac_packet(const struct aac *a);
const struct aac_packet *aac_packet_before(const struct aac *a);
/* AudioSpecificConfig; lives as long as a. */
struct bytes aac_config(const struct aac *a);

#endif
