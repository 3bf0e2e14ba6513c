/* SPDX-License-Identifier: GPL-2.0-or-later */
#define ZLIB_CONST

#include "worker/mkv_internal.h"

#include <zlib.h>

#define CHUNK_MIN ((size_t)16 << 10)

static int too_large(size_t limit, struct err *err)
{
	return err_set(err, ERR_LIMIT, "a frame of more than %zu bytes when decompressed", limit);
}

/* Room for the next piece of output; grows by doubling so that it stays linear. */
static int more_room(z_stream *z, struct buf *scratch, size_t limit, struct err *err)
{
	size_t used = scratch->size, n = used > CHUNK_MIN ? used : CHUNK_MIN;

	if (used >= limit)
		return too_large(limit, err);
	if (n > limit - used)
		n = limit - used;
	uint8_t *p = buf_grow(scratch, n);
	if (!p)
		return err_set(err, ERR_NOMEM, "no memory for a decompressed frame");
	z->next_out = p;
	z->avail_out = (uInt)n;
	return 0;
}

static int inflate_all(z_stream *z, struct buf *scratch, size_t limit, struct err *err)
{
	int status = Z_OK;

	while (status == Z_OK) {
		int ret = z->avail_out ? 0 : more_room(z, scratch, limit, err);
		if (ret)
			return ret;
		status = inflate(z, Z_NO_FLUSH);
		/* All input taken, room left, and no end: it is cut. */
		if (status == Z_OK && z->avail_out && !z->avail_in)
			status = Z_BUF_ERROR;
	}
	if (status == Z_MEM_ERROR)
		return err_set(err, ERR_NOMEM, "no memory for zlib");
	if (status != Z_STREAM_END)
		return err_set(err, ERR_DATA, "broken zlib data: %s", z->msg ? z->msg : "it is cut");
	scratch->size -= z->avail_out;
	return 0;
}

static int unpack_zlib(struct bytes data, size_t limit, struct buf *scratch, struct err *err)
{
	z_stream z = { .next_in = data.data, .avail_in = (uInt)data.size };

	if (data.size > LIMIT_BLOCK_BYTES)
		return too_large(limit, err);
	if (inflateInit(&z) != Z_OK)
		return err_set(err, ERR_NOMEM, "no memory for zlib");
	int ret = inflate_all(&z, scratch, limit, err);
	inflateEnd(&z);
	return ret;
}

static int unpack_stripped(struct bytes stripped, struct bytes data, size_t limit, struct buf *scratch, struct err *err)
{
	if (stripped.size > limit || data.size > limit - stripped.size)
		return too_large(limit, err);
	buf_put(scratch, stripped.data, stripped.size);
	buf_put(scratch, data.data, data.size);
	return buf_failed(scratch) ? err_set(err, ERR_NOMEM, "no memory for a frame") : 0;
}

int mkv_unpack(enum track_compression compression, struct bytes stripped, struct bytes data, size_t limit,
	       struct buf *scratch, struct bytes *out, struct err *err)
{
	size_t scratch_limit = scratch->limit ? scratch->limit : BUF_LIMIT_DEFAULT;
	int ret;

	if (limit > scratch_limit)
		limit = scratch_limit;
	buf_reset(scratch);
	if (compression == TRACK_COMPRESSION_ZLIB)
		ret = unpack_zlib(data, limit, scratch, err);
	else
		ret = unpack_stripped(stripped, data, limit, scratch, err);
	*out = ret ? (struct bytes){ 0 } : buf_bytes(scratch);
	return ret;
}

int mkv_frame_data(const struct mkv *mkv, const struct frame *frame, struct buf *scratch, struct bytes *out,
		   struct err *err)
{
	const struct track *t = mkv_track(mkv, frame->track);

	if (frame->size > (int64_t)LIMIT_FRAME_BYTES)
		return too_large(LIMIT_FRAME_BYTES, err);
	struct bytes data = mkv_bytes(mkv, frame->at, frame->size);
	if ((int64_t)data.size < frame->size)
		return mkv->in->status ? input_status(mkv->in, err)
				       : err_set(err, ERR_DATA, "%lld bytes of a frame are gone",
						 (long long)(frame->size - (int64_t)data.size));
	if (t && (t->compression == TRACK_COMPRESSION_ZLIB || (t->compression == TRACK_COMPRESSION_STRIP && t->stripped.size)))
		return mkv_unpack(t->compression, t->stripped, data, LIMIT_FRAME_BYTES, scratch, out, err);
	*out = data;
	return 0;
}
