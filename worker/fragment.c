/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/fragment.h"

#include "common/timeline.h"
#include "worker/audio.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_SAMPLES (1 << 22) /* video samples, and audio frames, that wait */
#define VIDEO_ID 1
#define AUDIO_ID 2

void fragments_init(struct fragments *f, const struct record_video *video, const struct record_audio *audio, int64_t audio_first)
{
	memset(f, 0, sizeof *f);
	f->video = video;
	f->audio = audio;
	f->audio_first = audio_first;
}

void fragments_finish(struct fragments *f)
{
	free(f->samples);
	free(f->pts);
	free(f->dts);
	free(f->frames);
	free(f->out);
	free(f->iov);
	buf_finish(&f->video_bytes);
	buf_finish(&f->unpacked);
	buf_finish(&f->audio_bytes);
	buf_finish(&f->head);
}

/* ---- in */

/* *array of n elements; what is there stays when there is no room for more. */
static bool grow(void *array, size_t n, size_t size)
{
	void *grown = realloc(*(void **)array, n * size);

	if (grown)
		*(void **)array = grown;
	return grown;
}

static int grow_video(struct fragments *f, struct err *err)
{
	size_t cap = f->cap_video ? f->cap_video * 2 : 512;

	if (f->n_video < f->cap_video)
		return 0;
	if (cap > LIMIT_SAMPLES)
		return err_set(err, ERR_LIMIT, "over %d video frames at once", LIMIT_SAMPLES);
	if (!grow(&f->samples, cap, sizeof *f->samples) || !grow(&f->pts, cap, sizeof *f->pts) ||
	    !grow(&f->dts, cap + 1, sizeof *f->dts))
		return err_set(err, ERR_NOMEM, "out of memory for %zu frames", cap);
	f->cap_video = cap;
	return 0;
}

int fragments_add_video(struct fragments *f, struct demux *demux, const struct nal_config *nal, const struct frame *frame,
			int64_t pts, bool is_first, struct err *err)
{
	struct fragment_sample *s;
	struct nal_sample sample;
	struct bytes data;
	size_t at = f->video_bytes.size;
	int ret = grow_video(f, err);

	if (!ret)
		ret = demux_data(demux, frame, &f->unpacked, &data, err);
	if (!ret)
		ret = nal_sample_read(nal, data, &f->video_bytes, &sample, err);
	if (ret == ERR_DATA || (!ret && !sample.has_picture)) {
		f->broken += ret != 0;
		return 0;
	}
	if (ret)
		return ret;
	s = &f->samples[f->n_video];
	*s = (struct fragment_sample){ sample.data, at, is_first || frame->is_key || sample.sync == NAL_SYNC_CLOSED };
	/* what needed no conversion lies where the next frame will lie too */
	if (f->video_bytes.size == at && (!demux->is_stable || data.data == f->unpacked.data))
		buf_put(&f->video_bytes, data.data, data.size);
	if (f->video_bytes.size > at)
		s->data.data = NULL;
	f->pts[f->n_video++] = pts;
	return buf_failed(&f->video_bytes) ? err_set(err, ERR_NOMEM, "out of memory") : 1;
}

int fragments_add_sample(struct fragments *f, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	int ret = grow_video(f, err);

	if (ret)
		return ret;
	f->samples[f->n_video] = (struct fragment_sample){ { NULL, data.size }, f->video_bytes.size, is_sync, 0 };
	f->pts[f->n_video++] = pts;
	buf_put(&f->video_bytes, data.data, data.size);
	return buf_failed(&f->video_bytes) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int fragments_add_audio(void *arg, int64_t n, int64_t samples, struct bytes data, struct err *err)
{
	struct fragments *f = arg;
	int64_t cap = f->cap_audio ? f->cap_audio * 2 : 512;

	ASSERT(n == f->audio_first + f->n_audio);
	if (f->n_audio == f->cap_audio) {
		if (cap > LIMIT_SAMPLES)
			return err_set(err, ERR_LIMIT, "over %d audio frames at once", LIMIT_SAMPLES);
		if (!grow(&f->frames, (size_t)cap, sizeof *f->frames))
			return err_set(err, ERR_NOMEM, "out of memory for %lld frames", (long long)cap);
		f->cap_audio = cap;
	}
	f->frames[f->n_audio++] = (struct fragment_sample){ { NULL, data.size }, f->audio_bytes.size, true, samples };
	buf_put(&f->audio_bytes, data.data, data.size);
	return buf_failed(&f->audio_bytes) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int64_t fragments_audio_until(const struct fragments *f, int64_t ticks)
{
	const struct record_audio *a = f->audio;
	int64_t n;

	if (!f->n_audio)
		return 0;
	n = timeline_scale_ceil(timeline_ticks_to_samples(ticks, a->rate) - a->base, 1, a->unit) - f->audio_first;
	return n < 0 ? 0 : n > f->n_audio ? f->n_audio : n;
}

/* ---- out */

static struct bytes sample_bytes(const struct fragment_sample *s, const struct buf *store)
{
	return (struct bytes){ s->data.data ? s->data.data : store->data + s->at, s->data.size };
}

static void video_run(const struct fragments *f, size_t from, size_t to, struct fmp4_sample *out, struct fmp4_run *run)
{
	for (size_t i = from; i < to; i++) {
		int64_t cts = f->pts[i] + f->video->delay_ticks - f->dts[i];

		out[i - from] = (struct fmp4_sample){
			.data = sample_bytes(&f->samples[i], &f->video_bytes),
			.duration = (uint32_t)(f->dts[i + 1] - f->dts[i]),
			.cts = cts > 0 ? (int32_t)cts : 0,
			.is_sync = f->samples[i].is_sync,
		};
	}
	*run = (struct fmp4_run){ .track_id = VIDEO_ID, .is_video = true, .decode_time = f->dts[from], .samples = out,
				  .n_samples = (int)(to - from) };
}

/* Samples from frame i to the next one that is here, else its own. */
static uint32_t frame_duration(const struct fragments *f, int64_t i)
{
	const struct record_audio *a = f->audio;
	int64_t next = i + 1, at = audio_frame_position(a, f->audio_first + i), end;

	while (next < f->n_audio && !f->frames[next].data.size)
		next++;
	end = next < f->n_audio ? audio_frame_position(a, f->audio_first + next) : at + f->frames[i].samples;
	if (a->is_copy && end > a->source_end && at < a->source_end) /* behind it is silence */
		end = a->source_end;
	return end <= at ? 1 : end - at < UINT32_MAX ? (uint32_t)(end - at) : UINT32_MAX;
}

void fragments_audio_run(const struct fragments *f, int64_t from, int64_t to, struct fmp4_sample *out, struct fmp4_run *run)
{
	*run = (struct fmp4_run){ .track_id = AUDIO_ID, .samples = out, .has_roll = !strcmp(f->audio->codecs, "opus") };
	for (int64_t i = from; i < to; i++) {
		if (!f->frames[i].data.size)
			continue;
		if (!run->n_samples)
			run->decode_time = audio_frame_position(f->audio, f->audio_first + i) + f->audio->delay;
		out[run->n_samples++] =
			(struct fmp4_sample){ sample_bytes(&f->frames[i], &f->audio_bytes), frame_duration(f, i), 0, true };
	}
}

/* Room for n samples of one fragment, and for their views behind those that are there, with one for the head. */
static int grow_out(struct fragments *f, size_t n, struct err *err)
{
	size_t cap = (size_t)f->n_iov + n + 1;

	if (cap <= f->cap_out)
		return 0;
	cap += cap / 2;
	if (!grow(&f->out, cap, sizeof *f->out) || !grow(&f->iov, cap, sizeof *f->iov))
		return err_set(err, ERR_NOMEM, "out of memory for %zu samples", n);
	f->cap_out = cap;
	return 0;
}

static void put_views(struct fragments *f, const struct fmp4_run *run)
{
	for (int i = 0; i < run->n_samples; i++)
		if (run->samples[i].data.size)
			f->iov[f->n_iov++] = (struct iovec){ (void *)(uintptr_t)run->samples[i].data.data,
								    run->samples[i].data.size };
}

int fragments_put(struct fragments *f, uint32_t sequence, size_t v0, size_t v1, int64_t a0, int64_t a1, struct err *err)
{
	struct fmp4_run runs[2];
	size_t n_video = v1 - v0, n_audio = (size_t)(a1 - a0), at = f->n_iov ? f->head.size : 0;
	int64_t bytes;
	int n = 0, ret = grow_out(f, n_video + n_audio, err);

	if (ret)
		return ret;
	if (n_video)
		video_run(f, v0, v1, f->out, &runs[n++]);
	if (n_audio)
		fragments_audio_run(f, a0, a1, f->out + n_video, &runs[n]);
	n += n_audio && runs[n].n_samples;
	if (!n)
		return 0;
	ret = fmp4_put_moof(&f->head, sequence, runs, n, &bytes, err);
	if (ret)
		return ret;
	/* heads follow each other in one buffer that may move: their address is filled in when all are written */
	f->iov[f->n_iov++] = (struct iovec){ NULL, f->head.size - at };
	for (int i = 0; i < n; i++)
		put_views(f, &runs[i]);
	return 0;
}

struct iovec *fragments_iov(struct fragments *f, int *n)
{
	size_t at = 0;

	for (int i = 0; i < f->n_iov; i++)
		if (!f->iov[i].iov_base) {
			f->iov[i].iov_base = f->head.data + at;
			at += f->iov[i].iov_len;
		}
	*n = f->n_iov;
	return f->iov;
}

/* The bytes of the samples that stay move to the front: one fragment's worth at most, and few of those. */
static void drop_samples(struct fragment_sample *s, size_t n, size_t first, struct buf *store)
{
	size_t from = store->size;

	memmove(s, s + first, (n - first) * sizeof *s);
	for (size_t i = 0; i < n - first && from == store->size; i++)
		if (!s[i].data.data)
			from = s[i].at;
	if (!from)
		return;
	for (size_t i = 0; i < n - first; i++)
		if (!s[i].data.data)
			s[i].at -= from;
	memmove(store->data, store->data + from, store->size - from);
	store->size -= from;
}

void fragments_drop(struct fragments *f, size_t n_video, int64_t n_audio)
{
	f->n_iov = 0;
	buf_reset(&f->head);
	if (n_video) {
		drop_samples(f->samples, f->n_video, n_video, &f->video_bytes);
		memmove(f->pts, f->pts + n_video, (f->n_video - n_video) * sizeof *f->pts);
		memmove(f->dts, f->dts + n_video, (f->n_video + 1 - n_video) * sizeof *f->dts);
		f->n_video -= n_video;
	}
	if (n_audio) {
		drop_samples(f->frames, (size_t)f->n_audio, (size_t)n_audio, &f->audio_bytes);
		f->n_audio -= n_audio;
		f->audio_first += n_audio;
	}
}
