/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fragments: styp, moof and the head of mdat.
 */
#include "worker/fmp4_internal.h"

#define LIMIT_RUNS 8

enum { /* tfhd and trun flags, ISO/IEC 14496-12 sections 8.8.7 and 8.8.8 */
       TFHD_DESCRIPTION = 0x2,
       TFHD_DURATION = 0x8,
       TFHD_SIZE = 0x10,
       TFHD_FLAGS = 0x20,
       TFHD_BASE_IS_MOOF = 0x20000,
       TRUN_OFFSET = 0x1,
       TRUN_FIRST_FLAGS = 0x4,
       TRUN_DURATION = 0x100,
       TRUN_SIZE = 0x200,
       TRUN_FLAGS = 0x400,
       TRUN_CTS = 0x800,
};

void fmp4_put_styp(struct buf *out)
{
	fmp4_put_brands(out, "styp", "msdhiso6");
}

static uint32_t sample_flags(const struct fmp4_sample *s)
{
	return s->is_sync ? FMP4_FLAGS_SYNC : FMP4_FLAGS_NON_SYNC;
}

/* What all samples share goes into tfhd. */
struct shared {
	bool has_duration, has_size, has_flags, has_first_flags;
};

static struct shared find_shared(const struct fmp4_run *r)
{
	struct shared s = { true, true, true, false };
	bool is_rest_equal = true;

	for (int i = 1; i < r->n_samples; i++) {
		s.has_duration &= r->samples[i].duration == r->samples[0].duration;
		s.has_size &= r->samples[i].data.size == r->samples[0].data.size;
		s.has_flags &= r->samples[i].is_sync == r->samples[0].is_sync;
		is_rest_equal &= r->samples[i].is_sync == r->samples[1].is_sync;
	}
	s.has_first_flags = !s.has_flags && is_rest_equal;
	return s;
}

static void put_tfhd(struct buf *b, const struct fmp4_run *r, struct shared s)
{
	bool has_flags = s.has_flags || s.has_first_flags;
	size_t at = fmp4_full_box(b, "tfhd", 0,
			     TFHD_BASE_IS_MOOF | TFHD_DESCRIPTION | (s.has_duration ? TFHD_DURATION : 0) |
				     (s.has_size ? TFHD_SIZE : 0) | (has_flags ? TFHD_FLAGS : 0));

	buf_put_u32(b, r->track_id);
	buf_put_u32(b, 1); /* trex says so too, but ISO/IEC 23000-19 section 7.7.3 wants it here */
	if (s.has_duration)
		buf_put_u32(b, r->samples[0].duration);
	if (s.has_size)
		buf_put_u32(b, (uint32_t)r->samples[0].data.size);
	if (has_flags)
		buf_put_u32(b, sample_flags(&r->samples[r->n_samples > 1]));
	fmp4_end(b, at);
}

/* Returns where data_offset has to be patched. */
static size_t put_trun(struct buf *b, const struct fmp4_run *r, struct shared s)
{
	bool has_flags = !s.has_flags && !s.has_first_flags;
	size_t at = fmp4_full_box(b, "trun", 1,
			     TRUN_OFFSET | (s.has_first_flags ? TRUN_FIRST_FLAGS : 0) |
				     (s.has_duration ? 0 : TRUN_DURATION) | (s.has_size ? 0 : TRUN_SIZE) |
				     (has_flags ? TRUN_FLAGS : 0) | (r->is_video ? TRUN_CTS : 0));
	size_t offset;

	buf_put_u32(b, (uint32_t)r->n_samples);
	offset = b->size;
	buf_put_u32(b, 0);
	if (s.has_first_flags)
		buf_put_u32(b, sample_flags(&r->samples[0]));
	for (int i = 0; i < r->n_samples; i++) {
		if (!s.has_duration)
			buf_put_u32(b, r->samples[i].duration);
		if (!s.has_size)
			buf_put_u32(b, (uint32_t)r->samples[i].data.size);
		if (has_flags)
			buf_put_u32(b, sample_flags(&r->samples[i]));
		if (r->is_video)
			buf_put_u32(b, (uint32_t)r->samples[i].cts);
	}
	fmp4_end(b, at);
	return offset;
}

/* All samples are in the group that the init segment describes first. */
static void put_roll_group(struct buf *b, const struct fmp4_run *r)
{
	size_t at = fmp4_full_box(b, "sbgp", 0, 0);

	buf_put_str(b, "roll");
	buf_put_u32(b, 1);
	buf_put_u32(b, (uint32_t)r->n_samples);
	buf_put_u32(b, 1);
	fmp4_end(b, at);
}

static size_t put_traf(struct buf *b, const struct fmp4_run *r)
{
	struct shared s = find_shared(r);
	size_t traf = fmp4_box(b, "traf"), at, offset;

	put_tfhd(b, r, s);
	at = fmp4_full_box(b, "tfdt", 1, 0);
	buf_put_u64(b, (uint64_t)r->decode_time);
	fmp4_end(b, at);
	offset = put_trun(b, r, s);
	if (r->has_roll)
		put_roll_group(b, r);
	fmp4_end(b, traf);
	return offset;
}

/* data_offset of each run: from the moof to its first byte in the mdat. *bytes: all data. */
static int patch_offsets(struct buf *b, size_t moof, const struct fmp4_run *runs, int n, const size_t *offsets,
			 int64_t *bytes, struct err *err)
{
	int64_t total = 0, head = (int64_t)(b->size - moof) + 8;

	for (int i = 0; i < n; i++) {
		const struct fmp4_run *r = &runs[i];

		if (r->n_samples && head + total > INT32_MAX) /* it has a sign */
			return err_set(err, ERR_LIMIT, "a track's data begin behind 2 GiB of a fragment");
		if (r->n_samples)
			buf_patch_u32(b, offsets[i], (uint32_t)(head + total));
		for (int k = 0; k < r->n_samples; k++) {
			if (r->samples[k].data.size > UINT32_MAX - 8 - (uint64_t)total)
				return err_set(err, ERR_LIMIT, "a fragment of over 4 GiB");
			total += (int64_t)r->samples[k].data.size;
		}
	}
	*bytes = total;
	return 0;
}

int fmp4_put_moof(struct buf *out, uint32_t sequence, const struct fmp4_run *runs, int n_runs, int64_t *mdat_bytes,
		  struct err *err)
{
	size_t moof = fmp4_box(out, "moof"), at = fmp4_full_box(out, "mfhd", 0, 0), offsets[LIMIT_RUNS] = { 0 };
	int ret;

	ASSERT(n_runs <= LIMIT_RUNS);
	buf_put_u32(out, sequence);
	fmp4_end(out, at);
	for (int i = 0; i < n_runs; i++) {
		if (runs[i].n_samples && runs[i].decode_time < 0)
			return err_set(err, ERR_DATA, "track %u: a decode time below 0", runs[i].track_id);
		if (runs[i].n_samples)
			offsets[i] = put_traf(out, &runs[i]);
	}
	fmp4_end(out, moof);
	ret = buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory")
			      : patch_offsets(out, moof, runs, n_runs, offsets, mdat_bytes, err);
	if (ret)
		return ret;
	buf_put_u32(out, (uint32_t)(*mdat_bytes + 8));
	buf_put_str(out, "mdat");
	return buf_failed(out) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
