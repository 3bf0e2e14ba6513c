/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * EBML and Matroska: the head, every frame and its bytes, from the start and from each place that is jumped to; then a title's
 * head as every pipeline reads it.
 */
#include "tests/fuzz/fuzz.h"

#include <libavutil/log.h>
#include <stdlib.h>
#include <string.h>

#include "common/timeline.h"
#include "worker/mkv.h"
#include "worker/mkv_internal.h"
#include "worker/title.h"

#define LIMIT_FRAMES 4096
#define LIMIT_JUMPS 32
#define LIMIT_UNPACKED 32 /* a kilobyte may unpack to a megabyte, and there may be a thousand of them */

static struct frame frames[LIMIT_FRAMES];

static bool is_same(const struct frame *a, const struct frame *b)
{
	return a->track == b->track && a->place == b->place && a->id == b->id && a->time_ns == b->time_ns &&
	       a->lace_index == b->lace_index && a->lace_count == b->lace_count && a->is_key == b->is_key &&
	       a->duration_ns == b->duration_ns && a->discard_ns == b->discard_ns && a->at == b->at && a->size == b->size;
}

static void check_frame(const struct mkv *mkv, const struct frame *f)
{
	ASSERT(mkv_track(mkv, f->track));
	ASSERT(f->at > f->id && f->size >= 0 && f->at <= mkv->in->size && f->size <= mkv->in->size - f->at);
	ASSERT(f->place >= mkv->segment_data && f->id > f->place && f->id < mkv->segment_end);
	ASSERT(f->lace_index >= 0 && f->lace_index < f->lace_count && f->lace_count <= 256);
	ASSERT(f->time_ns >= -TIMELINE_MAX_NS && f->time_ns <= TIMELINE_MAX_NS && f->duration_ns >= 0);
}

/* Every frame from the start; blocks in the order of the file. */
static int read_all(const struct mkv *mkv)
{
	struct mkv_cursor c;
	struct err err;
	int n = 0;

	if (mkv->first_cluster < 0)
		return 0;
	ASSERT(!mkv_seek(&c, mkv, mkv->first_cluster, -1, &err));
	while (n < LIMIT_FRAMES && mkv_next(&c, &frames[n], &err) == 1) {
		check_frame(mkv, &frames[n]);
		ASSERT(!n || frames[n].id > frames[n - 1].id ||
		       (frames[n].id == frames[n - 1].id && frames[n].lace_index > frames[n - 1].lace_index));
		n++;
	}
	ASSERT(c.damaged_bytes >= 0 && c.damaged_bytes <= mkv->in->size);
	return n;
}

/* From a Cluster on, it is the same frames as from the start: segments are made of them. */
static void check_jump(const struct mkv *mkv, int first, int n)
{
	struct mkv_cursor c;
	struct frame f;
	struct err err;

	ASSERT(!mkv_seek(&c, mkv, frames[first].place, -1, &err));
	for (int i = first; i < n; i++)
		ASSERT(mkv_next(&c, &f, &err) == 1 && is_same(&f, &frames[i]));
}

static void check_jumps(const struct mkv *mkv, int n)
{
	struct mkv_cursor c;
	struct frame f;
	struct err err;
	int jumps = 0;

	for (int i = 0; i < n && jumps < LIMIT_JUMPS; i++)
		if (!i || frames[i].place != frames[i - 1].place) {
			check_jump(mkv, i, n);
			jumps++;
		}
	for (int i = 0; i < n && i < LIMIT_JUMPS; i++)
		if (!mkv_seek(&c, mkv, frames[i].place, frames[i].id, &err) && mkv_next(&c, &f, &err) == 1)
			ASSERT(f.id >= frames[i].id);
}

static void follow_cues(struct mkv *mkv)
{
	struct ebml_element e;
	struct mkv_cursor c;
	struct frame f;
	struct err err;

	if (mkv_read_cues(mkv, &err))
		return;
	for (size_t i = 0; i < mkv->n_cues && i < LIMIT_JUMPS; i++) {
		const struct cue *cue = &mkv->cues[i];

		ASSERT(cue->place >= mkv->segment_data && cue->place < mkv->segment_end && cue->time_ns >= 0);
		if (mkv_element(mkv, cue->place, mkv_bound(mkv), &e) &&
		    !mkv_seek(&c, mkv, cue->place, cue->relative < 0 ? -1 : e.data + cue->relative, &err) &&
		    mkv_next(&c, &f, &err) == 1)
			check_frame(mkv, &f);
	}
}

static void unpack(const struct mkv *mkv, int n)
{
	struct buf scratch = { .limit = 1 << 20 };
	struct bytes data;
	struct err err;

	for (int i = 0; i < n && i < LIMIT_UNPACKED; i++) {
		const struct track *t = mkv_track(mkv, frames[i].track);
		int ret = mkv_frame_data(mkv, &frames[i], &scratch, &data, &err);

		ASSERT(!ret || ret == ERR_DATA || ret == ERR_LIMIT);
		if (!ret && t->compression == TRACK_COMPRESSION_STRIP)
			ASSERT(data.size == t->stripped.size + (size_t)frames[i].size);
		if (!ret && t->compression == TRACK_COMPRESSION_NONE)
			ASSERT(data.size == (size_t)frames[i].size && data.data == mkv->in->data + frames[i].at);
	}
	buf_finish(&scratch);
}

/* ---- the same bytes, some at a time */

struct slow {
	struct bytes all;
	size_t at, step;
};

static int64_t slow_read(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct slow *s = arg;
	size_t rest = s->all.size - s->at;

	(void)err;
	ASSERT(n);
	n = n < s->step ? n : s->step;
	n = n < rest ? n : rest;
	memcpy(to, s->all.data + s->at, n);
	s->at += n;
	return (int64_t)n;
}

static int slow_seek(void *arg, int64_t at, struct err *err)
{
	struct slow *s = arg;

	(void)err;
	ASSERT(at >= 0 && at <= (int64_t)s->all.size);
	s->at = (size_t)at;
	return 0;
}

/* Does it have the same head? What stands behind a Cluster is beyond a pipe, and a Segment that ends too early is believed. */
static bool is_same_head(const struct mkv *a, const struct mkv *b)
{
	if (mkv_bound(a) != (b->segment_end < a->in->size ? b->segment_end : a->in->size) || a->n_tracks != b->n_tracks ||
	    a->timestamp_scale != b->timestamp_scale || a->first_cluster != b->first_cluster)
		return false;
	for (int i = 0; i < a->n_tracks; i++)
		if (a->tracks[i].number != b->tracks[i].number || a->tracks[i].codec_delay_ns != b->tracks[i].codec_delay_ns ||
		    a->tracks[i].default_duration_ns != b->tracks[i].default_duration_ns ||
		    a->tracks[i].stripped.size != b->tracks[i].stripped.size)
			return false;
	return true;
}

/* An element that goes on behind the end is known to do so only where the size is: a pipe has passed over the rest. */
static bool is_passed_over(const struct mkv_cursor *c)
{
	return !c->mkv->in->is_seekable && c->at > c->mkv->in->size;
}

static void check_frames(const struct mkv *mkv, struct bytes all, int n)
{
	struct buf scratch = { .limit = 1 << 20 };
	struct mkv_cursor c;
	struct frame f;
	struct bytes data;
	struct err err;
	int i;

	ASSERT(!mkv_seek(&c, mkv, mkv->first_cluster, -1, &err));
	for (i = 0; i < n && mkv_next(&c, &f, &err) == 1; i++) {
		bool is_packed = mkv_track(mkv, f.track)->compression != TRACK_COMPRESSION_NONE;

		ASSERT(is_same(&f, &frames[i]));
		if (is_packed && i >= LIMIT_UNPACKED)
			continue;
		ASSERT(!mkv_frame_data(mkv, &f, &scratch, &data, &err) || is_packed);
		if (!is_packed)
			ASSERT(data.size == (size_t)f.size && !memcmp(data.data, all.data + f.at, data.size));
	}
	ASSERT(i == n || is_passed_over(&c));
	ASSERT(n == LIMIT_FRAMES || mkv_next(&c, &f, &err) == 0);
	buf_finish(&scratch);
}

static void read_slowly(const struct mkv *whole, int n, bool is_pipe)
{
	struct bytes all = { whole->in->data, (size_t)whole->in->size };
	struct slow slow = { all, 0, all.size % 5 ? all.size % 301 + 1 : 1 };
	struct input_source source = { slow_read, is_pipe ? NULL : slow_seek, NULL, &slow };
	struct input in;
	struct mkv mkv;
	struct err err;

	input_init_source(&in, &source, is_pipe ? INT64_MAX : (int64_t)all.size);
	if (!mkv_open(&mkv, &in, &err)) {
		if (is_same_head(whole, &mkv) && mkv.first_cluster >= 0)
			check_frames(&mkv, all, n);
		mkv_close(&mkv);
	}
	input_close(&in);
}

/* ---- titles */

static void ignore(void *arg, const struct fuzz_box *box, const struct fuzz_box *parent)
{
	(void)arg, (void)box, (void)parent;
}

static void read_title(struct input *in)
{
	struct record_options options;
	struct demux *demux;
	struct title t;
	struct buf init = { 0 };
	struct err err;

	ASSERT(!demux_open_mkv(&demux, in, &err));
	record_options_init(&options);
	options.is_audio_copied = in->size & 4;
	if (title_init(&t, demux, &options, &err)) {
		demux_close(demux);
		return;
	}
	ASSERT(t.video || t.audio);
	t.record_audio.frames = 1;
	if (!title_put_init(&t, &t.record_video, &t.record_audio, &init, &err))
		fuzz_walk_boxes(buf_bytes(&init), 0, ignore, NULL);
	buf_finish(&init);
	title_finish(&t);
	demux_close(demux);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	struct mkv mkv;
	struct err err;
	int n;

	av_log_set_level(AV_LOG_QUIET);
	input_init_bytes(&in, (struct bytes){ data, size });
	if (!mkv_open(&mkv, &in, &err)) {
		n = read_all(&mkv);
		check_jumps(&mkv, n);
		follow_cues(&mkv);
		unpack(&mkv, n);
		read_title(&in);
		if (size & 2) /* it takes longer than all the rest */
			read_slowly(&mkv, n, size & 1);
		mkv_close(&mkv);
	}
	input_close(&in);
	return 0;
}
