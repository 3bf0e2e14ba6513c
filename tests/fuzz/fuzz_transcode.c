/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The continuous pipeline over a file that may be anything, from memory or through a pipe: whole boxes come out, fragments in
 * order.
 */
#include "tests/fuzz/fuzz.h"

#include <libavutil/log.h>
#include <stdlib.h>
#include <string.h>

#include "worker/transcode.h"

/* A few bytes may stand for hours of silence. */
#define LIMIT_PUTS 16
#define LIMIT_TICKS 100

struct sink {
	int n;
	int64_t bytes;
	uint32_t sequence;     /* of the latest fragment */
	uint64_t times[3];     /* its decode times, by track_ID */
	uint32_t track;
	int n_ticks;
};

static void see_box(void *arg, const struct fuzz_box *box, const struct fuzz_box *parent)
{
	struct sink *s = arg;

	(void)parent;
	if (box->type == FUZZ_BOX('m', 'f', 'h', 'd')) {
		ASSERT(box->body.size == 8 && get_u32(box->body.data + 4) > s->sequence);
		s->sequence = get_u32(box->body.data + 4);
	} else if (box->type == FUZZ_BOX('t', 'f', 'h', 'd')) {
		s->track = get_u32(box->body.data + 4);
		ASSERT(s->track == 1 || s->track == 2);
	} else if (box->type == FUZZ_BOX('t', 'f', 'd', 't')) {
		ASSERT(box->body.size == 12 && get_u64(box->body.data + 4) >= s->times[s->track]);
		s->times[s->track] = get_u64(box->body.data + 4);
	}
}

static int put(void *arg, struct iovec *iov, int n, struct err *err)
{
	struct sink *s = arg;
	struct buf all = { 0 };

	for (int i = 0; i < n; i++)
		buf_put(&all, iov[i].iov_base, iov[i].iov_len);
	ASSERT(!buf_failed(&all) && all.size);
	fuzz_walk_boxes(buf_bytes(&all), 0, see_box, s);
	s->bytes += (int64_t)all.size;
	buf_finish(&all);
	return ++s->n < LIMIT_PUTS ? 0 : err_set(err, ERR_STOPPED, "enough");
}

static int tick(void *arg, struct err *err)
{
	struct sink *s = arg;

	return ++s->n_ticks < LIMIT_TICKS ? 0 : err_set(err, ERR_STOPPED, "enough");
}

struct feed {
	struct bytes rest;
};

static int64_t read_pipe(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct feed *p = arg;
	struct bytes b = fuzz_bytes(&p->rest, n < 500 ? n : 500);

	(void)err;
	memcpy(to, b.data, b.size);
	return (int64_t)b.size;
}

/* The size tells which way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct demux *demux;
	struct transcode_request request = { .max_ticks = INT64_MAX };
	struct transcode_stats stats = { 0 };
	struct sink sink = { 0 };
	struct transcode_out out = { put, tick, &sink };
	struct feed feed = { { data, size } };
	struct input_source source = { read_pipe, NULL, NULL, &feed };
	struct input in;
	struct err err = { 0 };
	int ret;

	av_log_set_level(AV_LOG_QUIET);
	record_options_init(&request.options);
	request.options.is_audio_copied = size & 1;
	request.start_ticks = size & 2 ? 90000 : 0;
	if (size & 4)
		input_init_source(&in, &source, INT64_MAX);
	else
		input_init_bytes(&in, (struct bytes){ data, size });
	if (!demux_open(&demux, &in, &err)) {
		ret = transcode_run(demux, &request, &out, &stats, &err);
		ASSERT(ret <= 0 && (!ret || (err.code == ret && err.msg[0])));
		ASSERT(ret || stats.bytes == sink.bytes);
		demux_close(demux);
	}
	input_close(&in);
	return 0;
}
