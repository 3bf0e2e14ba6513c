/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

uint64_t fuzz_uint(struct bytes *in, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (i < in->size ? in->data[i] : 0);
	fuzz_bytes(in, n);
	return v;
}

struct bytes fuzz_bytes(struct bytes *in, size_t n)
{
	struct bytes b = { in->data, n < in->size ? n : in->size };

	*in = (struct bytes){ in->data + b.size, in->size - b.size };
	return b;
}

struct bytes fuzz_copy(struct bytes b)
{
	uint8_t *copy = malloc(b.size ? b.size : 1);

	ASSERT(copy);
	memcpy(copy, b.data, b.size);
	return (struct bytes){ copy, b.size };
}

/* Where the children of a box begin in its body; -1: it has none. */
static int children_at(uint32_t type)
{
	static const struct {
		char type[5];
		int at;
	} parents[] = {
		{ "moov", 0 },  { "trak", 0 },	{ "edts", 0 },	{ "mdia", 0 },	{ "minf", 0 },	{ "dinf", 0 },
		{ "stbl", 0 },  { "mvex", 0 },	{ "moof", 0 },	{ "traf", 0 },	{ "dref", 8 },	{ "stsd", 8 },
		{ "avc1", 78 }, { "hvc1", 78 }, { "dvh1", 78 }, { "mp4a", 28 }, { "Opus", 28 }, { "fLaC", 28 },
		{ "ac-3", 28 }, { "ec-3", 28 },
	};

	for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
		if (get_u32((const uint8_t *)parents[i].type) == type)
			return parents[i].at;
	return -1;
}

struct walk {
	const uint8_t *whole;
	int64_t beyond;
	fuzz_box_fn *fn;
	void *arg;
};

static void walk_in(const struct walk *w, struct bytes in, const struct fuzz_box *parent)
{
	while (in.size) {
		struct fuzz_box box = { .at = (size_t)(in.data - w->whole) };
		uint32_t size;
		int at;

		ASSERT(in.size >= 8);
		size = get_u32(in.data);
		box.type = get_u32(in.data + 4);
		if (!parent && box.type == FUZZ_BOX('m', 'd', 'a', 't')) {
			ASSERT(size == in.size + (uint64_t)w->beyond);
			size = (uint32_t)in.size;
		}
		ASSERT(size >= 8 && size <= in.size);
		box.body = (struct bytes){ in.data + 8, size - 8 };
		in = (struct bytes){ in.data + size, in.size - size };
		w->fn(w->arg, &box, parent);
		at = children_at(box.type);
		ASSERT(at <= (int64_t)box.body.size);
		if (at >= 0)
			walk_in(w, (struct bytes){ box.body.data + at, box.body.size - (size_t)at }, &box);
	}
}

void fuzz_walk_boxes(struct bytes whole, int64_t beyond, fuzz_box_fn *fn, void *arg)
{
	struct walk w = { whole.data, beyond, fn, arg };

	walk_in(&w, whole, NULL);
}
