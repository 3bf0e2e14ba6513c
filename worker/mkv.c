/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mkv.h"

#include "common/timeline.h"
#include "worker/mkv_internal.h"

#include <stdlib.h>
#include <string.h>

#define SCALE_DEFAULT 1000000

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

bool mkv_level1_follows(struct bytes file, int64_t at, int64_t bound)
{
	struct ebml_element e;

	return at == bound || (ebml_read(file, at, bound, &e) &&
			       (mkv_is_level1(e.id) || e.id == EBML_ID_VOID || e.id == EBML_ID_CRC32));
}

bool mkv_looks_real(struct bytes file, int64_t at, int64_t bound)
{
	struct ebml_element e, child;

	if (!ebml_read(file, at, bound, &e))
		return false;
	if (e.id != ID_CLUSTER)
		return mkv_is_level1(e.id) && e.end <= bound && mkv_level1_follows(file, e.end, bound);
	if (e.data == e.end || e.data == bound)
		return true;
	return ebml_read(file, e.data, bound, &child) && mkv_is_cluster_child(child.id) && !child.is_unknown &&
	       child.end <= mkv_end(&e, bound);
}

static int64_t next_candidate(struct bytes file, int64_t from, int64_t bound, bool only_clusters)
{
	static const uint8_t cluster[4] = { 0x1F, 0x43, 0xB6, 0x75 };

	if (only_clusters) {
		const uint8_t *p = memmem(file.data + from, (size_t)(bound - from), cluster, sizeof(cluster));
		return p ? p - file.data : -1;
	}
	for (; bound - from >= 4; from++)
		if (file.data[from] >> 4 == 1 && mkv_is_level1(get_u32(file.data + from)))
			return from;
	return -1;
}

int64_t mkv_resync(struct bytes file, int64_t from, int64_t bound, bool only_clusters)
{
	while (from < bound) {
		int64_t at = next_candidate(file, from, bound, only_clusters);
		if (at < 0 || mkv_looks_real(file, at, bound))
			return at;
		from = at + 1;
	}
	return -1;
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
	int64_t size = (int64_t)mkv->file.size;
	struct ebml_element e;

	if (!ebml_read(mkv->file, 0, size, &e) || e.id != EBML_ID_HEADER || e.end > size)
		return err_set(err, ERR_DATA, "not a Matroska file");
	int ret = ebml_parse(mkv->file, e.data, e.end, header_fields, &h, err);
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

static int find_segment(struct mkv *mkv, int64_t at, struct err *err)
{
	int64_t size = (int64_t)mkv->file.size;
	struct ebml_element e;

	for (; ebml_read(mkv->file, at, size, &e) && e.id != ID_SEGMENT; at = e.end)
		;
	if (at >= size || !ebml_read(mkv->file, at, size, &e))
		return err_set(err, ERR_DATA, "there is no Segment");
	mkv->segment_data = e.data;
	mkv->segment_end = mkv_end(&e, size);
	/* Behind a Segment whose size is right there is nothing, or another document. What else follows belongs into it: its size was
	 * never written, or bytes were put into it since. */
	if (e.end < size && !(ebml_read(mkv->file, e.end, size, &e) && e.id == EBML_ID_HEADER))
		mkv->segment_end = size;
	return 0;
}

/* ---- where things are */

enum place { PLACE_INFO, PLACE_TRACKS, PLACE_CUES, N_PLACES };

/* Offsets of elements, -1: not found yet. */
struct head {
	int64_t places[N_PLACES];
	int64_t seek_heads[LIMIT_SEEK_HEADS];
	int n_seek_heads;
	int n_seeks;
};

static int place_of(uint32_t id)
{
	return id == ID_INFO ? PLACE_INFO : id == ID_TRACKS ? PLACE_TRACKS : id == ID_CUES ? PLACE_CUES : -1;
}

static void note(struct head *h, uint32_t id, int64_t at)
{
	int place = place_of(id), i = 0;

	if (place >= 0 && h->places[place] < 0)
		h->places[place] = at;
	if (id != ID_SEEK_HEAD)
		return;
	while (i < h->n_seek_heads && h->seek_heads[i] != at)
		i++;
	if (i == h->n_seek_heads && i < LIMIT_SEEK_HEADS)
		h->seek_heads[h->n_seek_heads++] = at;
}

static bool have_all(const struct head *h)
{
	return h->places[PLACE_INFO] >= 0 && h->places[PLACE_TRACKS] >= 0 && h->places[PLACE_CUES] >= 0;
}

/* Notes the level 1 elements from *at on, each by its header alone. to_cluster: stops at the first Cluster, which is
 * then at *at; otherwise until all is found, or at a Cluster of unknown size. */
static void walk(const struct mkv *mkv, struct head *h, int64_t *at, bool to_cluster)
{
	struct ebml_element e;

	for (int n = 0; n < LIMIT_WALK && *at >= 0 && *at < mkv->segment_end; n++) {
		bool is_header = ebml_read(mkv->file, *at, mkv->segment_end, &e);
		bool is_known = is_header && (mkv_is_level1(e.id) || e.id == EBML_ID_VOID || e.id == EBML_ID_CRC32);
		if (is_header && e.id == ID_CLUSTER && (to_cluster || e.is_unknown))
			return;
		if (is_known)
			note(h, e.id, *at);
		if (!to_cluster && have_all(h))
			return;
		if (is_header && e.end <= mkv->segment_end &&
		    (is_known || mkv_level1_follows(mkv->file, e.end, mkv->segment_end)))
			*at = e.end;
		else
			*at = mkv_resync(mkv->file, is_known ? e.data : *at + 1, mkv->segment_end, false);
	}
	*at = -1;
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
	if (position >= (uint64_t)(mkv->segment_end - mkv->segment_data))
		return -1;
	return mkv->segment_data + (int64_t)position;
}

/* Only what is really there is noted. */
static void follow_seek(const struct mkv *mkv, struct head *h, int64_t at, int64_t bound)
{
	struct raw_seek seek = { .position = UINT64_MAX };
	struct ebml_element e;

	if (ebml_parse(mkv->file, at, bound, seek_fields, &seek, NULL) || seek.id.size != LIMIT_SEEK_ID)
		return;
	int64_t to = in_segment(mkv, seek.position);
	if (to >= 0 && ebml_read(mkv->file, to, mkv->segment_end, &e) && e.id == get_u32(seek.id.data))
		note(h, e.id, to);
}

/* The list grows while it is read: a SeekHead may point at another. */
static void follow_seek_heads(const struct mkv *mkv, struct head *h)
{
	struct ebml_element master, e;

	for (int i = 0; i < h->n_seek_heads; i++) {
		ebml_read(mkv->file, h->seek_heads[i], mkv->segment_end, &master);
		int64_t bound = mkv_end(&master, mkv->segment_end);
		for (int64_t at = master.data; h->n_seeks < LIMIT_SEEKS && ebml_read(mkv->file, at, bound, &e); at = e.end) {
			h->n_seeks++;
			if (e.id == ID_SEEK)
				follow_seek(mkv, h, e.data, mkv_end(&e, bound));
		}
	}
}

static void find_places(struct mkv *mkv, struct head *h)
{
	int64_t at = mkv->segment_data;

	memset(h, 0, sizeof(*h));
	for (int i = 0; i < N_PLACES; i++)
		h->places[i] = -1;
	walk(mkv, h, &at, true);
	mkv->first_cluster = at;
	follow_seek_heads(mkv, h);
	/* Without Cues the whole file will be read anyway: looking at each Cluster's header costs less. */
	if (at >= 0 && !have_all(h))
		walk(mkv, h, &at, false);
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

static int read_info(struct mkv *mkv, int64_t at, int64_t bound, struct err *err)
{
	struct raw_info raw = { .scale = SCALE_DEFAULT };
	int ret = ebml_parse(mkv->file, at, bound, info_fields, &raw, err);

	if (ret)
		return ret;
	if (raw.scale > (uint64_t)LIMIT_TIMESTAMP_SCALE)
		return err_set(err, ERR_LIMIT, "TimestampScale %llu", (unsigned long long)raw.scale);
	mkv->timestamp_scale = raw.scale ? (int64_t)raw.scale : SCALE_DEFAULT;
	double duration = raw.duration * (double)mkv->timestamp_scale;
	mkv->duration_ns = duration > 0 && duration <= (double)TIMELINE_MAX_NS ? (int64_t)(duration + 0.5) : 0;
	return 0;
}

/* ---- Cues */

struct raw_cue {
	uint64_t time, track, cluster, relative;
};

static const struct ebml_field cue_point_fields[] = {
	{ 0xB3, EBML_UINT, offsetof(struct raw_cue, time), 0, "CueTime", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static const struct ebml_field cue_position_fields[] = {
	{ 0xF7, EBML_UINT, offsetof(struct raw_cue, track), 0, "CueTrack", NULL },
	{ 0xF1, EBML_UINT, offsetof(struct raw_cue, cluster), 0, "CueClusterPosition", NULL },
	{ 0xF0, EBML_UINT, offsetof(struct raw_cue, relative), 0, "CueRelativePosition", NULL },
	{ 0, EBML_UINT, 0, 0, NULL, NULL },
};

static int grow_cues(struct mkv *mkv, size_t *cap, struct err *err)
{
	size_t n = *cap ? *cap * 2 : 256;

	if (mkv->n_cues < *cap)
		return 0;
	if (mkv->n_cues >= LIMIT_CUES)
		return err_set(err, ERR_LIMIT, "more than %d Cues", LIMIT_CUES);
	struct mkv_cue *cues = realloc(mkv->cues, n * sizeof(*cues));
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

	if (cluster < 0 || raw->time > (uint64_t)(TIMELINE_MAX_NS / mkv->timestamp_scale))
		return 0;
	int ret = grow_cues(mkv, cap, err);
	if (!ret)
		mkv->cues[mkv->n_cues++] = (struct mkv_cue){
			.track = raw->track, .time_ns = (int64_t)raw->time * mkv->timestamp_scale, .cluster = cluster,
			.relative = in_segment(mkv, raw->relative) < 0 ? -1 : (int64_t)raw->relative };
	return ret;
}

static int add_cue_point(struct mkv *mkv, size_t *cap, int64_t at, int64_t bound, struct err *err)
{
	struct raw_cue point = { .time = UINT64_MAX };
	struct ebml_element e;
	int ret = ebml_parse(mkv->file, at, bound, cue_point_fields, &point, err);

	for (; !ret && ebml_read(mkv->file, at, bound, &e); at = e.end) {
		struct raw_cue raw = { point.time, 0, UINT64_MAX, UINT64_MAX };
		if (e.id != ID_CUE_TRACK_POSITIONS)
			continue;
		ret = ebml_parse(mkv->file, e.data, mkv_end(&e, bound), cue_position_fields, &raw, err);
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
	const struct mkv_cue *x = a, *y = b;
	int order = (x->track > y->track) - (x->track < y->track);

	if (!order)
		order = compare(x->cluster, y->cluster);
	return order ? order : compare(x->time_ns, y->time_ns);
}

static bool is_cluster(const struct mkv *mkv, int64_t at)
{
	struct ebml_element e;

	return ebml_read(mkv->file, at, mkv->segment_end, &e) && e.id == ID_CLUSTER;
}

static void drop_cues(struct mkv *mkv)
{
	free(mkv->cues);
	mkv->cues = NULL;
	mkv->n_cues = 0;
}

/* Cues that are cut would hide the end of the title, and Cues of another file the whole of it: none are better. */
static int read_cues(struct mkv *mkv, int64_t at, int64_t bound, struct err *err)
{
	struct ebml_element e;
	size_t cap = 0;
	int ret = 0;

	for (; !ret && ebml_read(mkv->file, at, bound, &e) && e.end <= bound; at = e.end)
		if (e.id == ID_CUE_POINT)
			ret = add_cue_point(mkv, &cap, e.data, e.end, err);
	if (ret || !mkv->n_cues)
		return ret;
	if (at != bound || !is_cluster(mkv, mkv->cues[0].cluster) || !is_cluster(mkv, mkv->cues[mkv->n_cues - 1].cluster))
		drop_cues(mkv);
	else
		qsort(mkv->cues, mkv->n_cues, sizeof(*mkv->cues), compare_cues);
	return 0;
}

/* ---- public */

/* The data between *at and *bound of a place, which walk or follow_seek has seen. */
static bool enter(const struct mkv *mkv, const struct head *h, enum place place, int64_t *at, int64_t *bound)
{
	struct ebml_element e;

	if (h->places[place] < 0 || !ebml_read(mkv->file, h->places[place], mkv->segment_end, &e))
		return false;
	*at = e.data;
	*bound = mkv_end(&e, mkv->segment_end);
	return place != PLACE_CUES || e.end <= mkv->segment_end;
}

static int read_head(struct mkv *mkv, struct err *err)
{
	int64_t at = 0, bound;
	struct head h;
	int ret = read_header(mkv, &at, err);

	if (!ret)
		ret = find_segment(mkv, at, err);
	if (ret)
		return ret;
	find_places(mkv, &h);
	if (enter(mkv, &h, PLACE_INFO, &at, &bound))
		ret = read_info(mkv, at, bound, err);
	if (!ret && enter(mkv, &h, PLACE_TRACKS, &at, &bound))
		ret = mkv_read_tracks(mkv, at, bound, err);
	if (!ret && !mkv->n_tracks)
		ret = err_set(err, ERR_DATA, "there are no Tracks");
	if (!ret && enter(mkv, &h, PLACE_CUES, &at, &bound))
		ret = read_cues(mkv, at, bound, err);
	return ret;
}

int mkv_open(struct mkv *mkv, struct bytes file, struct err *err)
{
	memset(mkv, 0, sizeof(*mkv));
	mkv->file = file;
	mkv->timestamp_scale = SCALE_DEFAULT;
	mkv->first_cluster = -1;
	if (file.size > (size_t)LIMIT_EBML_FILE)
		return err_set(err, ERR_LIMIT, "a file of %zu bytes", file.size);
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
