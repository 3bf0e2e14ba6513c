/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mkv.h"

#include "common/timeline.h"
#include "worker/mkv_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SCALE_DEFAULT 1000000
#define RESYNC_BYTES 65536 /* looked through at a time, at least */

/* ---- what looks like Matroska */

bool mkv_is_level1(uint32_t id)
{
	return id == ID_CLUSTER || id == ID_CUES || id == ID_TAGS || id == ID_SEEK_HEAD || id == ID_INFO || id == ID_TRACKS ||
	       id == ID_CHAPTERS || id == ID_ATTACHMENTS;
}

bool mkv_is_cluster_child(uint32_t id)
{
	return id == ID_SIMPLE_BLOCK || id == ID_BLOCK_GROUP || id == ID_TIMESTAMP || id == ID_POSITION || id == ID_PREV_SIZE ||
	       id == ID_SILENT_TRACKS || id == ID_ENCRYPTED_BLOCK || id == EBML_ID_VOID || id == EBML_ID_CRC32;
}

bool mkv_level1_follows(const struct mkv *mkv, int64_t at)
{
	struct ebml_element e;
	int64_t bound = mkv_bound(mkv);

	if (mkv_element(mkv, at, bound, &e))
		return mkv_is_level1(e.id) || e.id == EBML_ID_VOID || e.id == EBML_ID_CRC32;
	return at == mkv_bound(mkv); /* which may be known only now */
}

bool mkv_looks_real(const struct mkv *mkv, int64_t at)
{
	struct ebml_element e, child;
	int64_t bound = mkv_bound(mkv);

	if (!mkv_element(mkv, at, bound, &e))
		return false;
	if (e.id != ID_CLUSTER)
		return mkv_is_level1(e.id) && e.end <= bound && !mkv_is_too_large(mkv, &e) && mkv_level1_follows(mkv, e.end);
	if (e.data == e.end || e.data == mkv_bound(mkv))
		return true;
	return mkv_element(mkv, e.data, bound, &child) && mkv_is_cluster_child(child.id) && !child.is_unknown &&
	       child.end <= mkv_end(&e, bound);
}

/* Where in v something begins that may be one, -1: nowhere. */
static int64_t candidate_in(struct bytes v, bool only_clusters)
{
	static const uint8_t cluster[4] = { 0x1F, 0x43, 0xB6, 0x75 };

	if (only_clusters) {
		const uint8_t *p = memmem(v.data, v.size, cluster, sizeof(cluster));
		return p ? p - v.data : -1;
	}
	for (size_t i = 0; i + 4 <= v.size; i++)
		if (v.data[i] >> 4 == 1 && mkv_is_level1(get_u32(v.data + i)))
			return (int64_t)i;
	return -1;
}

static int64_t next_candidate(const struct mkv *mkv, int64_t from, bool only_clusters)
{
	for (;;) {
		struct bytes v = input_view(mkv->in, from, RESYNC_BYTES);
		int64_t rest = mkv_bound(mkv) - from;

		if ((int64_t)v.size > rest)
			v.size = rest > 0 ? (size_t)rest : 0;
		if (v.size < 4)
			return -1;
		mkv->in->keep = from;
		int64_t at = candidate_in(v, only_clusters);
		if (at >= 0)
			return from + at;
		from += (int64_t)v.size - 3;
	}
}

int64_t mkv_resync(const struct mkv *mkv, int64_t from, bool only_clusters)
{
	for (;;) {
		int64_t at = next_candidate(mkv, from, only_clusters);
		if (at < 0 || mkv_looks_real(mkv, at))
			return at;
		from = at + 1;
	}
}

/* ---- EBML header */

struct raw_header {
	uint64_t read_version, id_length, size_length, doc_type_read_version;
	struct bytes doc_type;
};

static const struct ebml_field header_fields[] = {
	{ 0x42F7, EBML_UINT, offsetof(struct raw_header, read_version), 0, "EBMLReadVersion", NULL },
	{ 0x42F2, EBML_UINT, offsetof(struct raw_header, id_length), 0, "EBMLMaxIDLength", NULL },
	{ 0x42F3, EBML_UINT, offsetof(struct raw_header, size_length), 0, "EBMLMaxSizeLength", NULL },
	{ 0x4282, EBML_STRING, offsetof(struct raw_header, doc_type), LIMIT_EBML_HEADER_STRING, "DocType", NULL },
	{ 0x4285, EBML_UINT, offsetof(struct raw_header, doc_type_read_version), 0, "DocTypeReadVersion", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static bool is_string(struct bytes b, const char *s)
{
	return b.size == strlen(s) && !memcmp(b.data, s, b.size);
}

/* *at: behind the header. */
static int read_header(struct mkv *mkv, int64_t *at, struct err *err)
{
	struct raw_header h = { 1, 4, 8, 1, { (const uint8_t *)"matroska", 8 } };
	struct ebml_element e;

	if (!mkv_element(mkv, 0, INT64_MAX, &e) || e.id != EBML_ID_HEADER || e.end > LIMIT_EBML_HEADER)
		return err_set(err, ERR_DATA, "not a Matroska file");
	struct bytes data = mkv_bytes(mkv, e.data, e.end - e.data);
	if ((int64_t)data.size < e.end - e.data)
		return err_set(err, ERR_DATA, "not a Matroska file");
	int ret = ebml_parse(data, 0, (int64_t)data.size, header_fields, &h, err);
	if (ret)
		return ret;
	if (h.read_version > 1 || h.id_length > 4 || h.size_length > 8 || h.doc_type_read_version > 4)
		return err_set(err, ERR_UNSUPPORTED, "EBML read version %llu, DocType read version %llu",
			       (unsigned long long)h.read_version, (unsigned long long)h.doc_type_read_version);
	if (!is_string(h.doc_type, "matroska") && !is_string(h.doc_type, "webm"))
		return err_set(err, ERR_UNSUPPORTED, "DocType is not matroska or webm");
	*at = e.end;
	return 0;
}

/* Behind a Segment whose size is right there is nothing, or another document. What else follows belongs into it: its size was
 * never written, or bytes were put into it since. */
static bool ends_too_early(const struct mkv *mkv, int64_t end)
{
	struct ebml_element e;

	/* what comes behind it shows when it is read */
	if (!mkv->in->is_seekable)
		return true;
	return end < mkv->in->size && !(mkv_element(mkv, end, mkv->in->size, &e) && e.id == EBML_ID_HEADER);
}

static int find_segment(struct mkv *mkv, int64_t at, struct err *err)
{
	struct ebml_element e;

	for (;; at = e.end) {
		bool is_there = mkv_element(mkv, at, INT64_MAX, &e);

		if (is_there && e.id == ID_SEGMENT)
			break;
		if (!is_there || e.is_unknown || mkv_is_too_large(mkv, &e))
			return err_set(err, ERR_DATA, "there is no Segment");
	}
	mkv->segment_data = e.data;
	mkv->segment_end = ends_too_early(mkv, e.end) ? mkv->in->size : mkv_end(&e, mkv->in->size);
	return 0;
}

/* ---- Info */

struct raw_info {
	uint64_t scale;
	double duration;
};

static const struct ebml_field info_fields[] = {
	{ 0x2AD7B1, EBML_UINT, offsetof(struct raw_info, scale), 0, "TimestampScale", NULL },
	{ 0x4489, EBML_FLOAT, offsetof(struct raw_info, duration), 0, "Duration", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static int read_info(struct mkv *mkv, struct bytes info, struct err *err)
{
	struct raw_info raw = { .scale = SCALE_DEFAULT };
	int ret = ebml_parse(info, 0, (int64_t)info.size, info_fields, &raw, err);

	if (ret)
		return ret;
	if (raw.scale > (uint64_t)LIMIT_TIMESTAMP_SCALE)
		return err_set(err, ERR_LIMIT, "TimestampScale %llu", (unsigned long long)raw.scale);
	mkv->timestamp_scale = raw.scale ? (int64_t)raw.scale : SCALE_DEFAULT;
	double duration = raw.duration * (double)mkv->timestamp_scale;
	mkv->duration_ns = duration > 0 && duration <= (double)TIMELINE_MAX_NS ? (int64_t)(duration + 0.5) : 0;
	return 0;
}

/* ---- where things are */

/* RFC 8794 section 11.3.1: the CRC-32 comes first and is over all data behind it. */
static bool is_crc_wrong(struct bytes master)
{
	struct ebml_element e;

	if (!ebml_read(master, 0, (int64_t)master.size, &e) || e.id != EBML_ID_CRC32 || e.end - e.data != 4 ||
	    e.end > (int64_t)master.size)
		return false;
	const uint8_t *p = master.data + e.data;
	uint32_t said = (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
	return crc32_z(0, master.data + e.end, master.size - (size_t)e.end) != said;
}

/* The data of the level 1 element at `at`, -1: none. */
static struct bytes head_data(const struct mkv *mkv, int64_t at)
{
	struct ebml_element e;
	int64_t bound = mkv_bound(mkv);

	if (!mkv_element(mkv, at, bound, &e))
		return (struct bytes){ 0 };
	int64_t n = mkv_end(&e, bound) - e.data, limit = mkv->in->is_seekable ? LIMIT_HEAD_ELEMENT : LIMIT_FORWARD;
	return mkv_bytes(mkv, e.data, n < limit ? n : limit);
}

static void note_seek_head(struct mkv_places *p, int64_t at)
{
	int i = 0;

	while (i < p->n_seek_heads && p->seek_heads[i] != at)
		i++;
	if (i == p->n_seek_heads && i < MKV_SEEK_HEADS)
		p->seek_heads[p->n_seek_heads++] = at;
}

/* Info and Tracks are read where they are found: there may be no way back. */
static int note(struct mkv *mkv, uint32_t id, int64_t at, struct err *err)
{
	struct mkv_places *p = &mkv->places;

	if (id == ID_SEEK_HEAD)
		note_seek_head(p, at);
	if (id == ID_CUES && p->cues < 0)
		p->cues = at;
	if (id == ID_INFO && p->info < 0) {
		p->info = at;
		return read_info(mkv, head_data(mkv, at), err);
	}
	if (id == ID_TRACKS && p->tracks < 0) {
		p->tracks = at;
		return mkv_read_tracks(mkv, head_data(mkv, at), err);
	}
	return 0;
}

/* Notes the level 1 elements from *at on, each by its header alone. to_cluster: stops at the first Cluster, which is
 * then at *at; otherwise until all is found, or at a Cluster of unknown size. */
static int walk(struct mkv *mkv, int64_t *at, bool to_cluster, struct err *err)
{
	const struct mkv_places *p = &mkv->places;
	struct ebml_element e;
	int ret = 0;

	for (int n = 0; n < LIMIT_WALK && *at >= 0 && *at < mkv_bound(mkv) && !ret; n++) {
		mkv->in->keep = *at; /* it may have to be looked through */
		bool is_header = mkv_element(mkv, *at, mkv_bound(mkv), &e);
		bool is_known = is_header && (mkv_is_level1(e.id) || e.id == EBML_ID_VOID || e.id == EBML_ID_CRC32);
		if (is_header && e.id == ID_CLUSTER && (to_cluster || e.is_unknown))
			return 0;
		if (is_known)
			ret = note(mkv, e.id, *at, err);
		if (ret || (!to_cluster && p->info >= 0 && p->tracks >= 0 && p->cues >= 0))
			return ret;
		if (is_header && e.end <= mkv_bound(mkv) && !mkv_is_too_large(mkv, &e) &&
		    (is_known || mkv_level1_follows(mkv, e.end)))
			*at = e.end;
		else
			*at = mkv_resync(mkv, is_known ? e.data : *at + 1, false);
	}
	*at = -1;
	return ret;
}

struct raw_seek {
	struct bytes id;
	uint64_t position;
};

static const struct ebml_field seek_fields[] = {
	{ 0x53AB, EBML_BINARY, offsetof(struct raw_seek, id), LIMIT_SEEK_ID, "SeekID", NULL },
	{ 0x53AC, EBML_UINT, offsetof(struct raw_seek, position), 0, "SeekPosition", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

/* The offset of a position counted from the Segment's data; -1: not within it. */
static int64_t in_segment(const struct mkv *mkv, uint64_t position)
{
	if (position >= (uint64_t)(mkv_bound(mkv) - mkv->segment_data))
		return -1;
	return mkv->segment_data + (int64_t)position;
}

static bool is_wanted(const struct mkv_places *p, uint32_t id)
{
	return id == ID_SEEK_HEAD || (id == ID_INFO && p->info < 0) || (id == ID_TRACKS && p->tracks < 0) ||
	       (id == ID_CUES && p->cues < 0);
}

/* Only what is really there is noted. */
static int follow_seek(struct mkv *mkv, struct bytes data, struct err *err)
{
	struct raw_seek seek = { .position = UINT64_MAX };
	struct ebml_element e;

	if (ebml_parse(data, 0, (int64_t)data.size, seek_fields, &seek, NULL) || seek.id.size != LIMIT_SEEK_ID)
		return 0;
	uint32_t id = get_u32(seek.id.data);
	int64_t to = in_segment(mkv, seek.position);
	if (to < 0 || !is_wanted(&mkv->places, id) || !mkv_element(mkv, to, mkv_bound(mkv), &e) || e.id != id)
		return 0;
	return note(mkv, id, to, err);
}

static int follow_seek_head(struct mkv *mkv, int64_t at, struct err *err)
{
	struct bytes view = head_data(mkv, at);
	struct buf copy = { 0 }; /* following moves the window */
	struct ebml_element e;
	int ret = 0;

	buf_put(&copy, view.data, view.size < LIMIT_SEEK_HEAD_BYTES ? view.size : LIMIT_SEEK_HEAD_BYTES);
	if (buf_failed(&copy))
		ret = err_set(err, ERR_NOMEM, "no memory for a SeekHead");
	int64_t bound = (int64_t)copy.size;
	for (int64_t i = 0; !ret && mkv->places.n_seeks < LIMIT_SEEKS && ebml_read(buf_bytes(&copy), i, bound, &e); i = e.end) {
		mkv->places.n_seeks++;
		if (e.id == ID_SEEK)
			ret = follow_seek(mkv, (struct bytes){ copy.data + e.data, (size_t)(mkv_end(&e, bound) - e.data) }, err);
	}
	buf_finish(&copy);
	return ret;
}

/* The list grows while it is read: a SeekHead may point at another. */
static int follow_seek_heads(struct mkv *mkv, struct err *err)
{
	struct mkv_places *p = &mkv->places;
	int ret = 0;

	while (!ret && p->n_followed < p->n_seek_heads)
		ret = follow_seek_head(mkv, p->seek_heads[p->n_followed++], err);
	return ret;
}

/* ---- Cues */

struct raw_cue {
	uint64_t time, track, cluster, relative, duration;
};

static const struct ebml_field cue_point_fields[] = {
	{ 0xB3, EBML_UINT, offsetof(struct raw_cue, time), 0, "CueTime", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static const struct ebml_field cue_position_fields[] = {
	{ 0xF7, EBML_UINT, offsetof(struct raw_cue, track), 0, "CueTrack", NULL },
	{ 0xF1, EBML_UINT, offsetof(struct raw_cue, cluster), 0, "CueClusterPosition", NULL },
	{ 0xF0, EBML_UINT, offsetof(struct raw_cue, relative), 0, "CueRelativePosition", NULL },
	{ 0xB2, EBML_UINT, offsetof(struct raw_cue, duration), 0, "CueDuration", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static int grow_cues(struct mkv *mkv, size_t *cap, struct err *err)
{
	size_t n = *cap ? *cap * 2 : 256;

	if (mkv->n_cues < *cap)
		return 0;
	if (mkv->n_cues >= LIMIT_CUES)
		return err_set(err, ERR_LIMIT, "more than %d Cues", LIMIT_CUES);
	struct cue *cues = realloc(mkv->cues, n * sizeof(*cues));
	if (!cues)
		return err_set(err, ERR_NOMEM, "no memory for Cues");
	mkv->cues = cues;
	*cap = n < LIMIT_CUES ? n : LIMIT_CUES;
	return 0;
}

/* What is out of the file or of time is left out. */
static int add_cue(struct mkv *mkv, size_t *cap, const struct raw_cue *raw, struct err *err)
{
	int64_t cluster = in_segment(mkv, raw->cluster);
	uint64_t time_max = (uint64_t)(TIMELINE_MAX_NS / mkv->timestamp_scale);

	if (cluster < 0 || raw->time > time_max)
		return 0;
	int ret = grow_cues(mkv, cap, err);
	if (!ret)
		mkv->cues[mkv->n_cues++] = (struct cue){
			.track = raw->track, .time_ns = (int64_t)raw->time * mkv->timestamp_scale, .place = cluster,
			.relative = in_segment(mkv, raw->relative) < 0 ? -1 : (int64_t)raw->relative,
			.duration_ns = raw->duration > time_max ? 0 : (int64_t)raw->duration * mkv->timestamp_scale };
	return ret;
}

static int add_cue_point(struct mkv *mkv, size_t *cap, struct bytes data, struct err *err)
{
	int64_t bound = (int64_t)data.size;
	struct raw_cue point = { .time = UINT64_MAX };
	struct ebml_element e;
	int ret = ebml_parse(data, 0, bound, cue_point_fields, &point, err);

	for (int64_t at = 0; !ret && ebml_read(data, at, bound, &e); at = e.end) {
		struct raw_cue raw = { point.time, 0, UINT64_MAX, UINT64_MAX, 0 };
		if (e.id != ID_CUE_TRACK_POSITIONS)
			continue;
		ret = ebml_parse(data, e.data, mkv_end(&e, bound), cue_position_fields, &raw, err);
		if (!ret)
			ret = add_cue(mkv, cap, &raw, err);
	}
	return ret;
}

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_cues(const void *a, const void *b)
{
	const struct cue *x = a, *y = b;
	int order = (x->track > y->track) - (x->track < y->track);

	if (!order)
		order = compare(x->place, y->place);
	return order ? order : compare(x->time_ns, y->time_ns);
}

static bool is_cluster(const struct mkv *mkv, int64_t at)
{
	struct ebml_element e;

	return mkv_element(mkv, at, mkv_bound(mkv), &e) && e.id == ID_CLUSTER;
}

static void drop_cues(struct mkv *mkv)
{
	free(mkv->cues);
	mkv->cues = NULL;
	mkv->n_cues = 0;
}

/* Cues that are cut would hide the end of the title, and Cues of another file the whole of it: none are better. */
static int read_cues(struct mkv *mkv, struct bytes data, struct err *err)
{
	int64_t at = 0, bound = (int64_t)data.size;
	struct ebml_element e;
	size_t cap = 0;
	int ret = 0;

	if (is_crc_wrong(data))
		return 0;
	for (; !ret && ebml_read(data, at, bound, &e) && e.end <= bound; at = e.end)
		if (e.id == ID_CUE_POINT)
			ret = add_cue_point(mkv, &cap, (struct bytes){ data.data + e.data, (size_t)(e.end - e.data) }, err);
	if (ret || !mkv->n_cues)
		return ret;
	if (at != bound || !is_cluster(mkv, mkv->cues[0].place) || !is_cluster(mkv, mkv->cues[mkv->n_cues - 1].place))
		drop_cues(mkv);
	else
		qsort(mkv->cues, mkv->n_cues, sizeof(*mkv->cues), compare_cues);
	return 0;
}

/* ---- public */

int mkv_read_cues(struct mkv *mkv, struct err *err)
{
	int64_t at = mkv->first_cluster;
	struct ebml_element e;
	int ret = 0;

	if (mkv->n_cues || at < 0 || !mkv->in->is_seekable)
		return 0;
	if (mkv->places.cues < 0)
		ret = follow_seek_heads(mkv, err);
	/* Without Cues the whole file will be read anyway: looking at each Cluster's header costs less, where going there
	 * costs nothing. */
	if (!ret && mkv->places.cues < 0 && mkv->in->is_stable)
		ret = walk(mkv, &at, false, err);
	if (ret || !mkv_element(mkv, mkv->places.cues, mkv_bound(mkv), &e) || e.end > mkv_bound(mkv) ||
	    e.end - e.data > LIMIT_HEAD_ELEMENT)
		return ret;
	ret = read_cues(mkv, head_data(mkv, mkv->places.cues), err);
	if (ret)
		drop_cues(mkv);
	return ret;
}

static int read_head(struct mkv *mkv, struct err *err)
{
	int64_t at = 0;
	int ret = read_header(mkv, &at, err);

	if (!ret)
		ret = find_segment(mkv, at, err);
	at = mkv->segment_data;
	if (!ret)
		ret = walk(mkv, &at, true, err);
	mkv->first_cluster = at;
	if (!ret && (mkv->places.tracks < 0 || mkv->places.info < 0) && mkv->in->is_seekable)
		ret = follow_seek_heads(mkv, err);
	if (!ret && mkv->places.tracks < 0 && mkv->in->is_stable)
		ret = walk(mkv, &at, false, err);
	if (!ret && !mkv->n_tracks)
		ret = err_set(err, ERR_DATA, "there are no Tracks");
	for (int i = 0; i < mkv->n_tracks; i++)
		mkv->tracks[i].rounding_ns = mkv->timestamp_scale;
	/* The first error is the one that says why. */
	return mkv->in->status ? input_status(mkv->in, err) : ret;
}

int mkv_open(struct mkv *mkv, struct input *in, struct err *err)
{
	memset(mkv, 0, sizeof(*mkv));
	mkv->in = in;
	mkv->timestamp_scale = SCALE_DEFAULT;
	mkv->segment_end = INT64_MAX;
	mkv->first_cluster = -1;
	mkv->places = (struct mkv_places){ .info = -1, .tracks = -1, .cues = -1 };
	if (in->size > LIMIT_EBML_FILE && in->size < INT64_MAX)
		return err_set(err, ERR_LIMIT, "a file of %lld bytes", (long long)in->size);
	int ret = read_head(mkv, err);
	if (ret)
		mkv_close(mkv);
	return ret;
}

void mkv_close(struct mkv *mkv)
{
	if (!mkv)
		return;
	drop_cues(mkv);
	mkv_free_tracks(mkv);
	memset(mkv, 0, sizeof(*mkv));
}
