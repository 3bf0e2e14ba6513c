/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/demux.h"

#include "worker/codec.h"

#include <string.h>

/* Is there a track of a type, and none of which we know the codec and how its frames are packed? */
static bool is_unknown(const struct demux *d, enum track_type type)
{
	int n = 0;

	for (int i = 0; i < d->n_tracks; i++) {
		if (d->tracks[i].type == type && codec_id(&d->tracks[i]) != AV_CODEC_ID_NONE)
			return false;
		n += d->tracks[i].type == type;
	}
	return n > 0;
}

/* Our own demuxer; libavformat's for the few codecs that Matroska packs in a way of their own (ProRes, WavPack, TTA, RealVideo). */
static int open_matroska(struct demux **d, struct input *in, struct err *err)
{
	struct demux *other;
	struct err ignored;
	int ret = demux_open_mkv(d, in, err);

	if (ret || !in->is_seekable || (!is_unknown(*d, TRACK_VIDEO) && !is_unknown(*d, TRACK_AUDIO)))
		return ret;
	if (demux_open_av(&other, in, &ignored))
		return 0;
	demux_close(*d);
	*d = other;
	return 0;
}

int demux_open(struct demux **d, struct input *in, struct err *err)
{
	static const uint8_t ebml[4] = { 0x1A, 0x45, 0xDF, 0xA3 };
	struct bytes head = input_view(in, 0, sizeof ebml);

	*d = NULL;
	if (head.size < sizeof ebml && input_status(in, err))
		return err->code;
	if (head.size >= sizeof ebml && !memcmp(head.data, ebml, sizeof ebml))
		return open_matroska(d, in, err);
	return demux_open_av(d, in, err);
}

void demux_close(struct demux *d)
{
	if (d)
		d->class->close(d);
}

int demux_seek(struct demux *d, int64_t place, struct err *err)
{
	d->damaged_bytes = 0;
	return d->class->seek(d, place, err);
}

int demux_next(struct demux *d, struct frame *frame, struct err *err)
{
	return d->class->next(d, frame, err);
}

int demux_data(struct demux *d, const struct frame *frame, struct buf *scratch, struct bytes *out, struct err *err)
{
	return d->class->data(d, frame, scratch, out, err);
}

int demux_read_cues(struct demux *d, struct err *err)
{
	return d->class->read_cues ? d->class->read_cues(d, err) : 0;
}

int demux_get_shifts(const struct demux *d, struct record_shifts *shifts, struct err *err)
{
	shifts->n = 0;
	if (!d->shift)
		return 0;
	*shifts = d->shift->table;
	return d->shift->is_lost ? err_set(err, ERR_LIMIT, "the timestamps jump over %d times", RECORD_SHIFTS_MAX) : 0;
}

void demux_set_shifts(struct demux *d, const struct record_shifts *shifts)
{
	if (!d->shift)
		return;
	d->shift->table = *shifts;
	d->shift->is_given = true;
}

const struct track *demux_track(const struct demux *d, uint64_t number)
{
	for (int i = 0; i < d->n_tracks; i++)
		if (d->tracks[i].number == number)
			return &d->tracks[i];
	return NULL;
}
