/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/mp4_box.h"

#include <check.h>
#include <string.h>

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* The box at the start of *rest, which is moved behind it. */
static bool next_box(struct bytes whole, struct bytes *rest, struct mp4_box *b)
{
	uint32_t size;

	if (!rest->size)
		return false;
	ck_assert_uint_ge(rest->size, 8);
	size = get_u32(rest->data);
	ck_assert(size >= 8 && size <= rest->size);
	*b = (struct mp4_box){ .at = (size_t)(rest->data - whole.data), .body = { rest->data + 8, size - 8 } };
	memcpy(b->type, rest->data + 4, 4);
	*rest = (struct bytes){ rest->data + size, rest->size - size };
	return true;
}

/* Where the children of a box begin, -1: it has none. */
static int children_at(const char *type)
{
	static const struct {
		const char *type;
		int at;
	} parents[] = {
		{ "moov", 0 }, { "trak", 0 }, { "edts", 0 },  { "mdia", 0 },  { "minf", 0 },
		{ "dinf", 0 }, { "stbl", 0 }, { "mvex", 0 },  { "moof", 0 },  { "traf", 0 },
		{ "dref", 8 }, { "stsd", 8 }, { "avc1", 78 }, { "hvc1", 78 }, { "dvh1", 78 },
		{ "mp4a", 28 },
	};

	for (size_t i = 0; i < LENGTH(parents); i++)
		if (!strcmp(type, parents[i].type))
			return parents[i].at;
	return -1;
}

static struct bytes children(const struct mp4_box *b)
{
	int at = children_at(b->type);

	if (at < 0)
		return (struct bytes){ NULL, 0 };
	ck_assert_uint_ge(b->body.size, (size_t)at);
	return (struct bytes){ b->body.data + at, b->body.size - (size_t)at };
}

static struct mp4_box find_in(struct bytes whole, struct bytes in, const char *path, int *nth)
{
	struct mp4_box b, found = { .type = "" };

	while (!found.type[0] && next_box(whole, &in, &b)) {
		if (strncmp(path, b.type, 4))
			continue;
		if (path[4])
			found = find_in(whole, children(&b), path + 5, nth);
		else if (!(*nth)--)
			found = b;
	}
	return found;
}

struct mp4_box mp4_find(struct bytes whole, const char *path, int nth)
{
	return find_in(whole, whole, path, &nth);
}

bool mp4_has(struct bytes whole, const char *path)
{
	return mp4_find(whole, path, 0).type[0];
}

struct bytes mp4_body(struct bytes whole, const char *path, int nth)
{
	struct mp4_box b = mp4_find(whole, path, nth);

	ck_assert_msg(b.type[0], "no %s", path);
	return b.body;
}

static void put_names(struct buf *text, struct bytes whole, struct bytes in)
{
	struct mp4_box b;

	while (next_box(whole, &in, &b)) {
		struct bytes inner = children(&b);

		buf_printf(text, "%s%s", text->size && text->data[text->size - 1] != '(' ? " " : "", b.type);
		if (inner.size) {
			buf_put_str(text, "(");
			put_names(text, whole, inner);
			buf_put_str(text, ")");
		}
	}
}

void mp4_assert_names(struct bytes whole, const char *want)
{
	struct buf text = { 0 };

	put_names(&text, whole, whole);
	ck_assert_str_eq(buf_cstr(&text), want);
	buf_finish(&text);
}

/* ---- fragments */

static uint32_t take(struct bytes *rest, bool is_there, uint32_t otherwise)
{
	uint32_t v = otherwise;

	if (is_there) {
		ck_assert_uint_ge(rest->size, 4);
		v = get_u32(rest->data);
		*rest = (struct bytes){ rest->data + 4, rest->size - 4 };
	}
	return v;
}

struct mp4_traf mp4_read_traf(struct bytes whole, int nth)
{
	struct bytes tfhd = mp4_body(whole, "moof/traf/tfhd", nth), tfdt = mp4_body(whole, "moof/traf/tfdt", nth),
		     trun = mp4_body(whole, "moof/traf/trun", nth);
	struct mp4_traf r = { 0 };
	uint32_t duration, size, flags, first, offset;

	r.tfhd_flags = take(&tfhd, true, 0);
	r.track_id = take(&tfhd, true, 0);
	ck_assert_uint_eq(take(&tfhd, r.tfhd_flags & 0x2, 0), 1);
	duration = take(&tfhd, r.tfhd_flags & 0x8, 0);
	size = take(&tfhd, r.tfhd_flags & 0x10, 0);
	flags = take(&tfhd, r.tfhd_flags & 0x20, 0);
	ck_assert_uint_eq(r.tfhd_flags & ~0x2003au, 0);
	ck_assert(tfhd.size == 0 && (r.tfhd_flags & 0x20000));
	ck_assert(tfdt.size == 12 && get_u32(tfdt.data) == 0x01000000);
	r.decode_time = get_u64(tfdt.data + 4);
	r.trun_flags = take(&trun, true, 0);
	ck_assert_uint_eq(r.trun_flags & ~0xf05u, 0x01000000);
	ck_assert(r.trun_flags & 1);
	r.n = (int)take(&trun, true, 0);
	offset = take(&trun, true, 0) + (uint32_t)mp4_find(whole, "moof", 0).at;
	first = take(&trun, r.trun_flags & 4, flags);
	ck_assert_int_le(r.n, (int)LENGTH(r.samples));
	for (int i = 0; i < r.n; i++) {
		r.samples[i].duration = take(&trun, r.trun_flags & 0x100, duration);
		r.samples[i].size = take(&trun, r.trun_flags & 0x200, size);
		r.samples[i].flags = take(&trun, r.trun_flags & 0x400, i ? flags : first);
		r.samples[i].cts = (int32_t)take(&trun, r.trun_flags & 0x800, 0);
		r.samples[i].at = offset;
		offset += r.samples[i].size;
	}
	ck_assert_uint_eq(trun.size, 0);
	return r;
}
