/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libavformat's demuxers behind ours, over bytes that may be anything: what becomes of a title's head, of a pass over all frames, and of
 * going back to places that were seen.
 */
#include "tests/fuzz/fuzz.h"

#include <libavutil/log.h>
#include <string.h>

#include "worker/title.h"

#define LIMIT_FRAMES 3000
#define PLACES 4

struct seen {
	int n;
	struct frame places[PLACES]; /* key frames */
	int n_places;
};

/* What demux.h promises of frames. */
static void check_frame(struct demux *d, const struct frame *f, struct seen *s)
{
	struct buf scratch = { 0 };
	struct bytes data = { 0 };
	struct err err = { 0 };
	int ret;

	ASSERT(demux_track(d, f->track) && f->track >= 1 && f->track <= TRACKS_MAX && f->lace_count >= 1);
	ASSERT(f->size > 0 && f->place >= 0 && f->duration_ns >= 0 && f->skip_samples >= 0 && f->discard_ns >= 0);
	ret = demux_data(d, f, &scratch, &data, &err);
	ASSERT(ret <= 0 && (ret || data.size > 0));
	for (size_t i = 0; !ret && i < data.size; i += 61)
		s->n += data.data[i] == 0; /* so that it is read */
	if (f->is_key && s->n_places < PLACES)
		s->places[s->n_places++] = *f;
	buf_finish(&scratch);
}

static void pass(struct demux *d, int64_t place, struct seen *s)
{
	struct err err = { 0 };
	struct frame f;
	int n = 0, ret = demux_seek(d, place, &err);

	while (!ret && n++ < LIMIT_FRAMES && (ret = demux_next(d, &f, &err)) == 1) {
		check_frame(d, &f, s);
		ret = 0;
	}
	ASSERT(ret <= 0 && (!ret || (err.code == ret && err.msg[0])));
}

static void play(struct demux *d, const struct record_options *options)
{
	struct seen s = { 0 };
	struct title title;
	struct err err = { 0 };
	int ret = title_init(&title, d, options, &err);

	ASSERT(ret <= 0 && (!ret || (err.code == ret && err.msg[0])));
	if (ret)
		return;
	ASSERT((title.video || title.audio) && (!title.video || title.n_times > 0));
	pass(d, d->first, &s);
	for (int i = s.n_places - 1; i >= 0 && d->in->is_seekable; i--)
		pass(d, s.places[i].place, &s);
	title_finish(&title);
}

static int64_t read_pipe(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct bytes b = fuzz_bytes(arg, n < 500 ? n : 500);

	(void)err;
	memcpy(to, b.data, b.size);
	return (int64_t)b.size;
}

/* The size tells which way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { data, size };
	struct input_source source = { read_pipe, NULL, NULL, &rest };
	struct record_options options;
	struct demux *demux;
	struct input in;
	struct err err = { 0 };

	av_log_set_level(AV_LOG_QUIET);
	record_options_init(&options);
	options.is_video_encoded = size & 1;
	if (size & 2)
		input_init_source(&in, &source, INT64_MAX);
	else
		input_init_bytes(&in, (struct bytes){ data, size });
	if (!demux_open_av(&demux, &in, &err)) {
		play(demux, &options);
		demux_close(demux);
	} else {
		ASSERT(err.code < 0 && err.msg[0]);
	}
	input_close(&in);
	return 0;
}
