/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Matroska demuxer as a demuxer like others: places are offsets of Clusters.
 */
#include "worker/demux.h"
#include "worker/mkv.h"

#include <stdlib.h>

struct demux_mkv {
	struct demux is;
	struct mkv mkv;
	struct mkv_cursor cursor;
	int n_seeks;
};

static int seek(struct demux *d, int64_t place, struct err *err)
{
	struct demux_mkv *m = (struct demux_mkv *)d;

	if (m->n_seeks < 2 && ++m->n_seeks == 2)
		d->in->hold = INT64_MAX;
	return mkv_seek(&m->cursor, &m->mkv, place, -1, err);
}

static int next(struct demux *d, struct frame *frame, struct err *err)
{
	struct demux_mkv *m = (struct demux_mkv *)d;
	int ret = mkv_next(&m->cursor, frame, err);

	d->damaged_bytes = m->cursor.damaged_bytes;
	return ret;
}

static int data(struct demux *d, const struct frame *frame, struct buf *scratch, struct bytes *out, struct err *err)
{
	return mkv_frame_data(&((struct demux_mkv *)d)->mkv, frame, scratch, out, err);
}

static int read_cues(struct demux *d, struct err *err)
{
	struct demux_mkv *m = (struct demux_mkv *)d;
	int ret = mkv_read_cues(&m->mkv, err);

	d->cues = m->mkv.cues;
	d->n_cues = m->mkv.n_cues;
	return ret;
}

static void close_mkv(struct demux *d)
{
	mkv_close(&((struct demux_mkv *)d)->mkv);
	free(d);
}

int demux_open_mkv(struct demux **d, struct input *in, struct err *err)
{
	static const struct demux_class class = { seek, next, data, read_cues, close_mkv };
	struct demux_mkv *m = calloc(1, sizeof *m);
	int ret = m ? mkv_open(&m->mkv, in, err) : err_set(err, ERR_NOMEM, "out of memory");

	if (ret) {
		free(m);
		return ret;
	}
	m->is = (struct demux){ .class = &class, .in = in, .tracks = m->mkv.tracks, .n_tracks = m->mkv.n_tracks,
				.is_stable = in->is_stable, .first = m->mkv.first_cluster };
	in->hold = m->mkv.first_cluster >= 0 ? m->mkv.first_cluster : INT64_MAX;
	*d = &m->is;
	return 0;
}
