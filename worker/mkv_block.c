/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mkv_internal.h"

#include "common/timeline.h"

#include <math.h>
#include <string.h>

#define FLAG_KEY 0x80
#define FLAG_LACING 0x06
#define LACING_XIPH 0x02
#define LACING_FIXED 0x04
#define LACING_EBML 0x06
#define TIME_NONE INT64_MIN
#define BLOCK_HEAD_MAX 11 /* TrackNumber, timestamp, flags */

/* ---- lace sizes; each takes them from the front of `rest`, which is then as long as the frames */

static bool take_u8(struct bytes *b, uint8_t *v)
{
	if (!b->size)
		return false;
	*v = *b->data++;
	b->size--;
	return true;
}

static bool take_vint(struct bytes *b, uint64_t *v, int *length)
{
	*length = ebml_vint(b->data, b->size, v);
	if (!*length)
		return false;
	b->data += *length;
	b->size -= (size_t)*length;
	return true;
}

/* The last frame takes what the others leave. */
static bool set_last_size(struct mkv_cursor *c, const struct bytes *rest, uint64_t others)
{
	if (others > rest->size)
		return false;
	c->lace_sizes[c->lace_total - 1] = (uint32_t)(rest->size - others);
	return true;
}

static bool read_xiph(struct mkv_cursor *c, struct bytes *rest)
{
	uint64_t sum = 0;
	uint8_t v;

	for (int i = 0; i < c->lace_total - 1; i++) {
		uint64_t size = 0;
		do {
			if (!take_u8(rest, &v))
				return false;
			size += v;
		} while (v == 255);
		/* Both are below the block's size x 255, and that is limited. */
		sum += size;
		if (sum > LIMIT_BLOCK_BYTES)
			return false;
		c->lace_sizes[i] = (uint32_t)size;
	}
	return set_last_size(c, rest, sum);
}

/* The first size as it is, each other as a signed difference to the one before. */
static bool read_ebml(struct mkv_cursor *c, struct bytes *rest)
{
	int64_t size = 0, sum = 0;
	uint64_t v;
	int length;

	for (int i = 0; i < c->lace_total - 1; i++) {
		if (!take_vint(rest, &v, &length))
			return false;
		size = i ? size + (int64_t)v - (int64_t)((UINT64_C(1) << (7 * length - 1)) - 1) : (int64_t)v;
		if (size < 0 || size > (int64_t)LIMIT_BLOCK_BYTES)
			return false;
		sum += size;
		c->lace_sizes[i] = (uint32_t)size;
	}
	return set_last_size(c, rest, (uint64_t)sum);
}

static bool read_fixed(struct mkv_cursor *c, struct bytes *rest)
{
	size_t n = (size_t)c->lace_total;

	if (rest->size % n)
		return false;
	for (size_t i = 0; i < n; i++)
		c->lace_sizes[i] = (uint32_t)(rest->size / n);
	return true;
}

static bool read_lacing(struct mkv_cursor *c, struct bytes *rest, uint8_t flags)
{
	uint8_t n;

	c->lace_total = 1;
	if (!(flags & FLAG_LACING))
		return set_last_size(c, rest, 0);
	if (!take_u8(rest, &n))
		return false;
	c->lace_total = n + 1;
	switch (flags & FLAG_LACING) {
	case LACING_XIPH:
		return read_xiph(c, rest);
	case LACING_FIXED:
		return read_fixed(c, rest);
	default:
		return read_ebml(c, rest);
	}
}

/* ---- one block */

struct raw_group {
	struct bytes block;
	uint64_t duration;
	int64_t reference, discard;
};

#define REFERENCE_NONE INT64_MIN
static const struct ebml_field group_fields[] = {
	{ 0xA1, EBML_BINARY, offsetof(struct raw_group, block), LIMIT_BLOCK_BYTES, "Block", NULL },
	{ 0x9B, EBML_UINT, offsetof(struct raw_group, duration), 0, "BlockDuration", NULL },
	{ 0xFB, EBML_INT, offsetof(struct raw_group, reference), 0, "ReferenceBlock", NULL },
	{ 0x75A2, EBML_INT, offsetof(struct raw_group, discard), 0, "DiscardPadding", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static int64_t sane_discard(int64_t ns)
{
	return ns >= -TIMELINE_MAX_NS && ns <= TIMELINE_MAX_NS ? ns : 0;
}

/* Ticks of a track in nanoseconds, RFC 9559 section 11.1.3. */
static int64_t track_ns(const struct mkv *mkv, const struct track *t, int64_t ticks)
{
	int64_t ns = ticks * mkv->timestamp_scale;

	return t->scale == 1 ? ns : llrint((double)ns * t->scale);
}

static bool scale_time(const struct mkv_cursor *c, int rel, const struct track *t, int64_t *ns)
{
	if (c->cluster_time == TIME_NONE)
		return false;
	__int128 v = (__int128)c->cluster_time * c->mkv->timestamp_scale + track_ns(c->mkv, t, rel) -
		     (__int128)t->codec_delay_ns + t->offset_ns;
	*ns = (int64_t)v;
	return v >= -TIMELINE_MAX_NS && v <= TIMELINE_MAX_NS;
}

/* From one laced frame to the next. */
static int64_t lace_step(const struct frame *f, const struct track *t)
{
	return t->default_duration_ns ? (int64_t)t->default_duration_ns : f->duration_ns;
}

static int64_t frame_duration(const struct mkv *mkv, const struct track *t, uint64_t duration, int n)
{
	if (duration > (uint64_t)(TIMELINE_MAX_NS / mkv->timestamp_scale))
		return 0;
	int64_t ns = track_ns(mkv, t, (int64_t)duration);
	return ns <= TIMELINE_MAX_NS ? ns / n : 0;
}

/* Sets up c->lace for the block at `start`, whose data of `size` bytes are at `at`; false: it is broken, or not all there. */
static bool read_block(struct mkv_cursor *c, int64_t start, int64_t at, int64_t size, const struct raw_group *group, bool is_simple)
{
	struct bytes head = mkv_bytes(c->mkv, at, size < BLOCK_HEAD_MAX ? size : BLOCK_HEAD_MAX);
	struct frame *f = &c->lace;
	int length;

	memset(f, 0, sizeof(*f));
	if (size > (int64_t)LIMIT_BLOCK_BYTES || !take_vint(&head, &f->track, &length) || head.size < 3)
		return false;
	const struct track *t = mkv_track(c->mkv, f->track);
	uint8_t flags = head.data[2];
	if (!t || !scale_time(c, (int16_t)get_u16(head.data), t, &f->time_ns))
		return false;
	f->place = c->cluster;
	f->id = start;
	f->decode_ns = FRAME_NO_TIME;
	f->is_timed = true;
	f->is_key = is_simple ? flags & FLAG_KEY : group->reference == REFERENCE_NONE;
	f->discard_ns = sane_discard(group->discard);
	at += length + 3;
	int64_t n = size - length - 3;
	struct bytes rest = { NULL, (size_t)n };
	/* Only lacing has to be looked into. */
	if (flags & FLAG_LACING)
		rest = mkv_bytes(c->mkv, at, n);
	if ((int64_t)rest.size < n || !read_lacing(c, &rest, flags))
		return false;
	c->lace_at = at + n - (int64_t)rest.size;
	c->lace_left = (int64_t)rest.size;
	f->lace_count = c->lace_total;
	f->duration_ns = frame_duration(c->mkv, t, group->duration, c->lace_total);
	return (__int128)lace_step(f, t) * (c->lace_total - 1) + f->time_ns <= TIMELINE_MAX_NS;
}

/* Where the Block of a group is, in view of the group's data. */
static bool read_group(const struct mkv_cursor *c, const struct ebml_element *e, struct raw_group *group, int64_t *at,
		       int64_t *size)
{
	struct bytes data = mkv_bytes(c->mkv, e->data, e->end - e->data);

	if (ebml_parse(data, 0, (int64_t)data.size, group_fields, group, NULL) || !group->block.size)
		return false;
	*at = e->data + (group->block.data - data.data);
	*size = (int64_t)group->block.size;
	return true;
}

static void enter_block(struct mkv_cursor *c, const struct ebml_element *e)
{
	struct raw_group group = { .reference = REFERENCE_NONE };
	bool is_simple = e->id == ID_SIMPLE_BLOCK;
	int64_t at = e->data, size = e->end - e->data;

	c->lace_next = c->lace_total = 0;
	if ((!is_simple && !read_group(c, e, &group, &at, &size)) || !read_block(c, e->start, at, size, &group, is_simple)) {
		c->lace_total = 0;
		c->damaged_bytes += e->end - e->start;
	}
}

/* The next frame of the block; false: there are no bytes in it, so it is none. */
static bool take_frame(struct mkv_cursor *c, struct frame *f)
{
	const struct track *t = mkv_track(c->mkv, c->lace.track);
	int i = c->lace_next++;
	size_t size = c->lace_sizes[i];

	*f = c->lace;
	f->lace_index = i;
	f->time_ns += lace_step(f, t) * i;
	if (i != c->lace_total - 1)
		f->discard_ns = 0;
	f->at = c->lace_at;
	f->size = (int64_t)size;
	c->lace_at += f->size;
	c->lace_left -= f->size;
	return size || t->stripped.size;
}

/* ---- from element to element */

/* To the next Cluster; to the end when there is none. */
static void resync(struct mkv_cursor *c)
{
	int64_t to = mkv_resync(c->mkv, c->at + 1, true);

	if (to < 0)
		to = mkv_bound(c->mkv);
	c->damaged_bytes += to - c->at;
	c->at = c->cluster_end = to;
}

/* An element that says it goes on behind the end of the Segment. The last one of a cut file is its end, and no damage;
 * but it may be one that lies about its size. */
static void pass_cut(struct mkv_cursor *c)
{
	int64_t damaged = c->damaged_bytes;

	resync(c);
	if (c->at == mkv_bound(c->mkv))
		c->damaged_bytes = damaged;
}

/* No block is that large, but what stands between Clusters may be: nothing was lost where the next one is behind it, or the end of
 * the input within. */
static void pass_too_large(struct mkv_cursor *c, const struct ebml_element *e)
{
	int64_t damaged = c->damaged_bytes;

	resync(c);
	if (e->end > mkv_bound(c->mkv) ? c->at == mkv_bound(c->mkv) : c->at >= e->end && !mkv_is_cluster_child(e->id))
		c->damaged_bytes = damaged;
}

static void enter_cluster(struct mkv_cursor *c, const struct ebml_element *e)
{
	c->cluster = e->start;
	c->cluster_end = e->end;
	c->cluster_time = TIME_NONE;
	c->at = e->data;
}

static bool is_void(uint32_t id)
{
	return id == EBML_ID_VOID || id == EBML_ID_CRC32;
}

static void pass_level1(struct mkv_cursor *c, const struct ebml_element *e)
{
	int64_t end = mkv_bound(c->mkv);

	if (e->id == ID_CLUSTER)
		enter_cluster(c, e);
	else if (e->id == EBML_ID_HEADER)
		c->at = end; /* another file joined to this one */
	else if (mkv_is_too_large(c->mkv, e))
		pass_too_large(c, e);
	else if (e->end > end && mkv_is_level1(e->id))
		pass_cut(c);
	else if (e->end <= end && (mkv_is_level1(e->id) || is_void(e->id) || mkv_level1_follows(c->mkv, e->end)))
		c->at = e->end;
	else
		resync(c);
}

/* Is there anything at `at` that may follow a Cluster's child? */
static bool child_follows(const struct mkv_cursor *c, int64_t at)
{
	struct ebml_element e;

	return at == c->cluster_end || mkv_level1_follows(c->mkv, at) ||
	       (mkv_element(c->mkv, at, mkv_bound(c->mkv), &e) && mkv_is_cluster_child(e.id));
}

static void pass_child(struct mkv_cursor *c, const struct ebml_element *e)
{
	uint64_t time;

	/* Where a block goes on behind its Cluster and all is well there, it is the Cluster's size that is wrong. */
	if (e->end > c->cluster_end)
		c->cluster_end = INT64_MAX;
	c->at = e->end;
	if (e->id == ID_SIMPLE_BLOCK || e->id == ID_BLOCK_GROUP)
		enter_block(c, e);
	else if (e->id == ID_TIMESTAMP)
		c->cluster_time = ebml_uint(mkv_bytes(c->mkv, e->data, e->end - e->data), &time) && time <= INT64_MAX ?
			(int64_t)time :
				  e->end == e->data ? 0 : TIME_NONE;
}

/* Does the Cluster end in front of this element? One of known size does so early only if it is sure. */
static bool ends_cluster(const struct mkv_cursor *c, const struct ebml_element *e)
{
	if (!mkv_is_level1(e->id) && e->id != EBML_ID_HEADER)
		return false;
	return c->cluster_end == INT64_MAX || mkv_looks_real(c->mkv, e->start);
}

static void pass_in_cluster(struct mkv_cursor *c, const struct ebml_element *e)
{
	bool is_child = mkv_is_cluster_child(e->id);

	if (ends_cluster(c, e))
		c->cluster_end = c->at;
	else if (mkv_is_too_large(c->mkv, e))
		pass_too_large(c, e);
	else if (is_child && e->end > mkv_bound(c->mkv))
		pass_cut(c);
	else if (is_child && e->end <= c->cluster_end)
		pass_child(c, e);
	else if (e->end <= mkv_bound(c->mkv) && (is_child || e->end <= c->cluster_end) && child_follows(c, e->end))
		pass_child(c, e);
	else
		resync(c);
}

/* Whether an element is cut shows only when it was to be read, where the input's size is not known. */
static void find_end(const struct mkv_cursor *c, const struct ebml_element *e)
{
	if (c->mkv->in->size == INT64_MAX && mkv_is_cluster_child(e->id) && !e->is_unknown && !mkv_is_too_large(c->mkv, e))
		input_view(c->mkv->in, e->start, e->end - e->start);
}

static void pass_element(struct mkv_cursor *c)
{
	struct ebml_element e;

	if (!mkv_element(c->mkv, c->at, mkv_bound(c->mkv), &e))
		resync(c);
	else if (c->at < c->cluster_end) {
		find_end(c, &e);
		pass_in_cluster(c, &e);
	}
	else
		pass_level1(c, &e);
}

/* ---- public */

/* The Cluster's Timestamp stands in front of its first block. */
static void read_cluster_time(struct mkv_cursor *c, int64_t bound)
{
	struct ebml_element e;

	for (int64_t at = c->at; mkv_element(c->mkv, at, bound, &e) && e.end <= bound; at = e.end) {
		if (e.id == ID_SIMPLE_BLOCK || e.id == ID_BLOCK_GROUP || !mkv_is_cluster_child(e.id))
			return;
		if (e.id == ID_TIMESTAMP) {
			pass_child(c, &e);
			return;
		}
	}
}

static bool is_block_at(const struct mkv_cursor *c, int64_t block)
{
	int64_t bound = c->cluster_end < mkv_bound(c->mkv) ? c->cluster_end : mkv_bound(c->mkv);
	struct ebml_element e;

	return block >= c->at && mkv_element(c->mkv, block, bound, &e) &&
	       (e.id == ID_SIMPLE_BLOCK || e.id == ID_BLOCK_GROUP);
}

int mkv_seek(struct mkv_cursor *c, const struct mkv *mkv, int64_t cluster, int64_t block, struct err *err)
{
	struct ebml_element e;

	memset(c, 0, sizeof(*c));
	c->mkv = mkv;
	if (cluster < mkv->segment_data || !mkv_element(mkv, cluster, mkv_bound(mkv), &e) || e.id != ID_CLUSTER)
		return mkv->in->status ? input_status(mkv->in, err)
				       : err_set(err, ERR_DATA, "there is no Cluster at %lld", (long long)cluster);
	enter_cluster(c, &e);
	if (block < 0)
		return 0;
	if (!is_block_at(c, block))
		return err_set(err, ERR_DATA, "there is no block at %lld", (long long)block);
	read_cluster_time(c, block);
	c->at = block;
	return 0;
}

/* The end may show only now. */
static bool is_at_end(const struct mkv_cursor *c)
{
	return c->at >= mkv_bound(c->mkv) || (c->mkv->in->size == INT64_MAX && !input_view(c->mkv->in, c->at, 1).size);
}

int mkv_next(struct mkv_cursor *c, struct frame *frame, struct err *err)
{
	for (;;) {
		while (c->lace_next < c->lace_total)
			if (take_frame(c, frame))
				return 1;
		c->mkv->in->keep = c->at;
		if (is_at_end(c))
			return input_status(c->mkv->in, err);
		pass_element(c);
	}
}
