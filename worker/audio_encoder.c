/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libavcodec's AAC encoder as a function of position, with its faults caught.
 *
 * The encoder never forgets: its psychoacoustic model keeps the thresholds of the latest short blocks, however long ago they
 * were, and lowers its demands for good after a hard frame. So a title is encoded in groups of GROUP frames on the global
 * grid, each by an encoder of its own that starts WARM frames in front of the group: from then on its windows agree with
 * those of the encoder before, so that the overlapping halves fit. A frame's bytes then depend on nothing but its place,
 * in every mode of the encoder.
 *
 * Its `fast` coder is as good as `twoloop` at the same size in two thirds of the time, but it clips a loud and lonely tone (82 Hz
 * at -1 dB comes out at 10 dB SNR), and `twoloop` does so now and then. So a packet that does not decode to what went in is
 * replaced by that of the next attempt: windows depend on the input alone, so packets of different attempts may follow each
 * other.
 */
#include "worker/audio_encoder.h"

#include "worker/aac.h"

#include <math.h>
#include <stdlib.h>

#define GROUP 48
#define PATCH 8               /* later attempts begin anew this often: they are needed for a few frames */
#define WARM 2
#define PEAK 0.95f            /* libavcodec's CLIP_AVOIDANCE_FACTOR */
#define NOISE_MAX (1.0f / 32) /* of a frame's energy: 15 dB */
_Static_assert(GROUP % PATCH == 0, "patches lie within groups");
_Static_assert(GROUP + WARM <= AUDIO_ENCODER_WARM, "jobs read enough in front");
_Static_assert(AUDIO_ENCODER_UNIT == AAC_UNIT, "one grid");

static const struct {
	const char *coder;
	int percent; /* of the quality or bit rate asked for */
} attempts[] = { { "fast", 100 }, { "twoloop", 100 }, { "twoloop", 85 }, { "twoloop", 70 }, { "twoloop", 120 }, { "twoloop", 60 } };
#define ATTEMPTS (int)(sizeof attempts / sizeof *attempts)

struct audio_encoder {
	int rate, channels;
	struct record_options options;
	int64_t end;              /* of the frames wanted */
	audio_encoder_fn *fn;
	void *arg;
	/* the group in hand */
	struct aac *attempts[ATTEMPTS]; /* NULL until needed; [0] is always there */
	int64_t patch;            /* that all but the first attempt are for */
	int64_t group_end;        /* its last frame + 1 */
	int64_t given;            /* frame to be given next */
	/* input */
	struct aac_input input;
	int64_t filling;          /* grid frame being filled */
	int filled;               /* samples it has */
	struct buf silence;
};

/* ---- one group */

/* Where an encoder begins whose packets are wanted from the group (or patch) of frame n on. */
static int64_t begin(int64_t n, int64_t group)
{
	int64_t from = n - n % group - WARM;

	return from > 0 ? from : 0;
}

static int start_attempt(struct audio_encoder *e, int i, struct err *err)
{
	const struct record_options *o = &e->options;
	bool is_quality = o->audio_mode == RECORD_AUDIO_QUALITY;
	struct aac_settings s = {
		.rate = e->rate,
		.channels = e->channels,
		.coder = attempts[i].coder,
		.quality = is_quality ? (int)(o->audio_quality * attempts[i].percent / 100) : 0,
		.bitrate = is_quality ? 0 : o->audio_bitrate * attempts[i].percent / 100,
	};

	return aac_create(&e->attempts[i], &s, &e->input, begin(e->given, i ? PATCH : GROUP), err);
}

static void finish_attempts(struct audio_encoder *e, int from)
{
	for (int i = from; i < ATTEMPTS; i++) {
		aac_destroy(e->attempts[i]);
		e->attempts[i] = NULL;
	}
}

/* The group that frame n is in, from n on. */
static int start_group(struct audio_encoder *e, int64_t n, struct err *err)
{
	finish_attempts(e, 0);
	e->group_end = n - n % GROUP + GROUP;
	e->given = n;
	return start_attempt(e, 0, err);
}

/* A packet is heard in its own frame and in the next one. Where that is not checked, the last packet of a group need not be
 * followed by another. */
static bool is_judged_alone(const struct audio_encoder *e)
{
	return e->given == e->group_end - 1 && !aac_is_checked(&e->input, e->given + 1);
}

/* Packet e->given of one attempt, and its noise. */
static int try(struct audio_encoder *e, int i, const struct aac_packet **packet, float *noise, struct err *err)
{
	bool is_alone = is_judged_alone(e);
	int ret = e->attempts[i] ? 0 : start_attempt(e, i, err);

	if (!ret)
		ret = aac_encode(e->attempts[i], e->given, e->given, err);
	if (!ret && !is_alone)
		ret = aac_encode(e->attempts[i], e->given + 1, e->given, err);
	if (ret)
		return ret;
	*packet = is_alone ? aac_packet(e->attempts[i]) : aac_packet_before(e->attempts[i]);
	*noise = (*packet)->noise;
	if (aac_packet(e->attempts[i])->noise > *noise)
		*noise = aac_packet(e->attempts[i])->noise;
	return 0;
}

static int give_frame(struct audio_encoder *e, struct err *err)
{
	const struct aac_packet *best = NULL, *p;
	float least = 0, noise;

	if (e->patch != e->given / PATCH)
		finish_attempts(e, 1);
	e->patch = e->given / PATCH;
	for (int i = 0; i < ATTEMPTS && (!best || least > NOISE_MAX); i++) {
		if (try(e, i, &p, &noise, err))
			return err->code;
		if (!best || noise < least) {
			best = p;
			least = noise;
		}
	}
	return e->fn(e->arg, e->given++, buf_bytes(&best->data), err);
}

/* Everything that the full frames are enough for. */
static int encode_input(struct audio_encoder *e, struct err *err)
{
	int ret = 0;

	while (!ret && e->given < e->end && e->given + 1 + AAC_AHEAD < e->filling) {
		ret = give_frame(e, err);
		if (!ret && e->given == e->group_end && e->given < e->end)
			ret = start_group(e, e->given, err);
	}
	return ret;
}

/* ---- public */

int64_t audio_encoder_from(int64_t first)
{
	return begin(first, GROUP);
}

int audio_encoder_create(struct audio_encoder **out, int rate, int channels, const struct record_options *options, int64_t first,
			 int64_t end, audio_encoder_fn *fn, void *arg, struct err *err)
{
	struct audio_encoder *e = calloc(1, sizeof *e);
	int ret;

	*out = NULL;
	if (!e)
		return err_set(err, ERR_NOMEM, "out of memory");
	*e = (struct audio_encoder){ .rate = rate, .channels = channels, .options = *options, .end = end, .fn = fn,
				     .arg = arg, .filling = audio_encoder_from(first) };
	e->input = (struct aac_input){ channels, WARM + GROUP + AAC_AHEAD + 2, NULL };
	e->input.samples = calloc((size_t)e->input.kept * (size_t)channels, AAC_UNIT * sizeof(float));
	ret = e->input.samples ? start_group(e, first, err) : err_set(err, ERR_NOMEM, "out of memory");
	if (ret)
		audio_encoder_destroy(e);
	else
		*out = e;
	return ret;
}

static int keep_silence(void *arg, int64_t n, struct bytes data, struct err *err)
{
	struct audio_encoder *e = *(struct audio_encoder **)arg;

	(void)n;
	buf_reset(&e->silence);
	buf_put(&e->silence, data.data, data.size);
	return buf_failed(&e->silence) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int audio_encoder_create_silent(struct audio_encoder **out, int rate, int channels, struct err *err)
{
	static float zero[AAC_UNIT];
	float *planes[AAC_CHANNELS_MAX] = { zero, zero, zero, zero, zero, zero, zero, zero };
	struct record_options o;
	int ret;

	record_options_init(&o);
	ret = audio_encoder_create(out, rate, channels, &o, 0, 4, keep_silence, out, err);
	if (ret == ERR_NOMEM)
		return ret;
	if (ret) {
		*out = calloc(1, sizeof **out);
		return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory");
	}
	for (int i = 0; i < 8 && !ret; i++)
		ret = audio_encoder_push(*out, planes, AAC_UNIT, err);
	return ret;
}

void audio_encoder_destroy(struct audio_encoder *e)
{
	if (!e)
		return;
	finish_attempts(e, 0);
	free(e->input.samples);
	buf_finish(&e->silence);
	free(e);
}

void audio_encoder_set_end(struct audio_encoder *e, int64_t end)
{
	e->end = end;
}

/* What is louder is clipped here, sample by sample, as it would be at the loudspeaker; the encoder would turn down the whole
 * frame. No number, from a broken packet, is silence. */
static void take(float *to, const float *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = fabsf(from[i]) <= PEAK ? from[i] : from[i] > 0 ? PEAK : from[i] < 0 ? -PEAK : 0;
}

int audio_encoder_push(struct audio_encoder *e, float *const *planes, int n, struct err *err)
{
	int at = 0, ret = 0;

	while (at < n && !ret && e->given < e->end) {
		int k = AAC_UNIT - e->filled;

		if (k > n - at)
			k = n - at;
		for (int c = 0; c < e->channels; c++)
			take(aac_input_at(&e->input, e->filling, c) + e->filled, planes[c] + at, k);
		at += k;
		e->filled += k;
		if (e->filled == AAC_UNIT) {
			e->filled = 0;
			e->filling++;
			ret = encode_input(e, err);
		}
	}
	return ret;
}

struct bytes audio_encoder_config(const struct audio_encoder *e)
{
	return aac_config(e->attempts[0]);
}

struct bytes audio_encoder_silence(struct audio_encoder *e)
{
	return buf_bytes(&e->silence);
}
