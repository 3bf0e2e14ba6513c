/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The audio stage: packets of one source track in, AAC frames of one global grid out (libavcodec, libswresample).
 *
 * Output frame n covers samples base + n * unit onwards of the whole title, whoever makes it. For that to give the bytes of one
 * continuous encode, everything in here is a function of position only:
 *   - packets are placed by counting (audio_clock), not by their rounded timestamps; holes are silence, overlaps dropped;
 *   - decoder, resampler and encoder start so far in front of the first wanted frame that their state is the continuous one;
 *   - the resampler starts on a multiple of the rate ratio's period, the encoder on a frame of the grid;
 *   - the encoder runs at constant quality, bit-exact, without noise substitution (its generator has a memory).
 */
#ifndef SEGFARM_WORKER_AUDIO_H
#define SEGFARM_WORKER_AUDIO_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"
#include "worker/fmp4.h"
#include "worker/track.h"

/* What one look at the first packets says about a track. */
struct audio_facts {
	bool is_copy;
	enum fmp4_entry entry;
	char codecs[32];
	int rate;             /* of the output */
	int channels;         /* of the output */
	int64_t unit;         /* output frame, samples */
	int source_rate;
	int64_t source_unit;  /* samples per packet, or the step that all packets' lengths are multiples of; 0: varies */
	bool is_counted;      /* positions come from counting all packets since the start */
	bool is_measured;     /* lengths of packets are in the packets */
	int64_t skip;         /* decoded samples to throw away at the start (Opus pre-skip) */
	int64_t delay;        /* of those, the ones that the player throws away: as record_audio.delay */
	int roll;             /* as in struct fmp4_track */
	int sample_bits;
	int64_t lead;         /* as record_audio.lead */
	struct buf config;    /* as in struct fmp4_track; owned */
};
/* first: the first packets of the track (some may be broken). What shall be copied and cannot is encoded. ERR_UNSUPPORTED names
 * the codec. */
int audio_facts_init(struct audio_facts *f, const struct track *track, const struct record_options *options,
		     const struct bytes *first, int n_first, struct err *err);
void audio_facts_finish(struct audio_facts *f);

/* Samples (at the source's rate) that a packet decodes to; -1: cannot be told from its bytes. */
struct audio_ruler;
int audio_ruler_create(struct audio_ruler **r, const struct track *track, int64_t source_unit, struct err *err);
void audio_ruler_destroy(struct audio_ruler *r);
int64_t audio_ruler_samples(struct audio_ruler *r, struct bytes packet);
/* The position to start counting from for a reader whose first packet is this one, at pos: Vorbis packets overlap, the
 * first one read gives no samples, so it is taken to lie where it ends. */
int64_t audio_ruler_anchor(const struct audio_ruler *r, int64_t pos, int64_t samples);

/* Where packets lie. Feed every packet of the track in file order, from a position known to be right. */
struct audio_clock {
	int64_t base, unit;  /* record_audio.source_base, source_unit */
	int rate;
	int64_t next;        /* position behind the packet before */
	bool is_begun;       /* the first counted packet lies where it is said to, whatever its time: see audio_ruler_anchor */
};
void audio_clock_init(struct audio_clock *c, const struct record_audio *audio, int64_t first_pos);
/* time_ns: on the timeline (origin taken off); lace_index as in struct frame; samples: of this packet, -1 unknown. */
int64_t audio_clock_place(struct audio_clock *c, int64_t time_ns, int lace_index, int64_t samples);

/* Frames of the output that the whole source gives, when its samples end at source_end. */
int64_t audio_frames(const struct record_audio *audio, int64_t source_end);
/* Where an output frame begins, in samples of the timeline; the title's last one copied may be cut short. */
int64_t audio_frame_position(const struct record_audio *audio, int64_t n);

#define AUDIO_OPEN_END INT64_MAX /* an end that is not known yet */

/* Output frame n, of so many samples; empty: no packet begins here. data lives during the call. */
typedef int audio_stage_fn(void *arg, int64_t n, int64_t samples, struct bytes data, struct err *err);

struct audio_stage;
/* To make output frames [first, end), first < end. They are given to fn as they come, in order, and forgotten. */
int audio_stage_create(struct audio_stage **s, const struct track *track, const struct record_audio *audio,
		       const struct record_options *options, int64_t first, int64_t end, audio_stage_fn *fn, void *arg,
		       struct err *err);
void audio_stage_destroy(struct audio_stage *s);
/* The packet at source position pos; of what it decodes to, samples from `until` on are thrown away (INT64_MAX: none). 1:
 * everything wanted is made, no more is needed; 0: go on. A packet that cannot be decoded is silence and counted. */
int audio_stage_push(struct audio_stage *s, int64_t pos, int64_t until, struct bytes packet, struct err *err);
/* Silence up to a source position, as a packet there would bring it about. Returns as push does. */
int audio_stage_reach(struct audio_stage *s, int64_t pos, struct err *err);
/* Up to where the source is dealt with: a packet behind it leaves a hole, which push fills with silence. */
int64_t audio_stage_position(const struct audio_stage *s);
/* The source is at its end: silence up to frame `end` (nothing, where packets of other codecs than AAC are copied). */
int audio_stage_finish(struct audio_stage *s, int64_t end, struct err *err);
int64_t audio_stage_broken_packets(const struct audio_stage *s);

#endif
