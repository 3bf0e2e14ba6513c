/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Broken files: what can be saved is, and it is what was not touched. One line a file goes to stderr, with how much libavformat
 * saves.
 */
#include "tests/e2e/craft.h"
#include "tests/suites.h"
#include "tests/worker/mkv_rewrite.h"
#include "tests/worker/packets.h"
#include "worker/mkv_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(a) (sizeof(a) / sizeof *(a))
#define CUTS 200

/* ---- damage; each says between which offsets of the whole file the packets are that it may cost */

struct range {
	int64_t from, to;
};

static struct ebml_element cluster(const struct buf *file, int n)
{
	struct ebml_element e;

	ck_assert(mkv_find(buf_bytes(file), ID_CLUSTER, n, &e));
	return e;
}

static struct ebml_element block(const struct buf *file, int n_cluster, int n)
{
	struct ebml_element c = cluster(file, n_cluster), e;

	ck_assert(mkv_find_in(buf_bytes(file), &c, ID_SIMPLE_BLOCK, n, &e));
	return e;
}

static struct range nothing(void)
{
	return (struct range){ 0, 0 };
}

static struct range all_of(struct ebml_element e)
{
	return (struct range){ e.start, e.end };
}

/* The size of an element as it was written: in the last 8 bytes of its header. */
static void set_size(struct buf *file, struct ebml_element e, int64_t size)
{
	buf_patch_u32(file, (size_t)e.data - 4, (uint32_t)size);
	buf_patch_u32(file, (size_t)e.data - 8, 0x01000000 | (uint32_t)(size >> 32));
}

static struct range junk_in_front(struct buf *file)
{
	struct ebml_element c = cluster(file, 2);
	struct buf out = { 0 };

	buf_put(&out, file->data, (size_t)c.start);
	craft_spoil(buf_grow(&out, 7000), 7000);
	buf_put(&out, file->data + c.start, file->size - (size_t)c.start);
	buf_finish(file);
	*file = out;
	return nothing();
}

static struct range small_cluster(struct buf *file)
{
	struct ebml_element c = cluster(file, 1);

	set_size(file, c, (c.end - c.data) / 2);
	return nothing();
}

static struct range large_cluster(struct buf *file)
{
	struct ebml_element c = cluster(file, 1);

	set_size(file, c, (c.end - c.data) * 2);
	return nothing();
}

static struct range endless_cluster(struct buf *file)
{
	set_size(file, cluster(file, 1), INT64_C(1) << 40);
	return nothing();
}

static struct range no_cluster_id(struct buf *file)
{
	struct ebml_element c = cluster(file, 1);

	memset(file->data + c.start, 0, 4);
	return all_of(c);
}

static struct range no_cluster_size(struct buf *file)
{
	struct ebml_element c = cluster(file, 1);

	file->data[c.start + 4] = 0;
	return all_of(c);
}

/* Its blocks are at no time. */
static struct range no_cluster_time(struct buf *file)
{
	struct ebml_element c = cluster(file, 1), e;

	ck_assert(mkv_find_in(buf_bytes(file), &c, ID_TIMESTAMP, 0, &e));
	file->data[e.start] = EBML_ID_VOID;
	return all_of(c);
}

static struct range flipped_size(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.data - 2] ^= 0x40;
	return (struct range){ b.start, cluster(file, 1).end };
}

static struct range huge_block(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.data - 6] ^= 0x40;
	return (struct range){ b.start, cluster(file, 1).end };
}

static struct range broken_size(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.start + 1] = 0;
	return (struct range){ b.start, cluster(file, 1).end };
}

static struct range block_behind_cluster(struct buf *file)
{
	struct ebml_element c = cluster(file, 1), e, b = { 0 };

	for (int i = 0; mkv_find_in(buf_bytes(file), &c, ID_SIMPLE_BLOCK, i, &e); i++)
		b = e;
	set_size(file, b, b.end - b.data + 100);
	return all_of(b);
}

/* From within one block into the head of the next. */
static struct range spoilt_middle(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	craft_spoil(file->data + b.end - 20, 40);
	return (struct range){ b.start, cluster(file, 1).end };
}

static struct range spoilt_start(struct buf *file)
{
	struct ebml_element c = cluster(file, 1);

	craft_spoil(file->data + c.start, 64);
	return all_of(c);
}

/* A lace of more frames than there are bytes. */
static struct range broken_lace(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.data + 3] |= 2;
	memset(file->data + b.data + 4, 255, (size_t)(b.end - b.data - 4));
	return all_of(b);
}

static struct range unknown_track(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.data] = 0x80 | 99;
	return all_of(b);
}

static struct range broken_zlib(struct buf *file)
{
	struct ebml_element b = block(file, 1, 4);

	file->data[b.data + 4] ^= 0xFF;
	return all_of(b);
}

static struct range seek_head_nowhere(struct buf *file)
{
	struct ebml_element e;

	ck_assert(mkv_find(buf_bytes(file), ID_SEEK_HEAD, 0, &e));
	craft_spoil(file->data + e.data, (size_t)(e.end - e.data));
	return nothing();
}

static struct range spoilt_cues(struct buf *file)
{
	struct ebml_element e;

	ck_assert(mkv_find(buf_bytes(file), ID_CUES, 0, &e));
	craft_spoil(file->data + e.data, (size_t)(e.end - e.data));
	return nothing();
}

static struct range wrong_segment_size(struct buf *file)
{
	struct ebml_element c = cluster(file, 0), whole = { .end = (int64_t)file->size }, e;

	ck_assert(mkv_find_in(buf_bytes(file), &whole, ID_SEGMENT, 0, &e));
	set_size(file, e, c.end - e.data + 10);
	return nothing();
}

static struct range nothing_else(struct buf *file)
{
	(void)file;
	return nothing();
}

static const struct damage {
	const char *name;
	struct range (*spoil)(struct buf *file);
	size_t lost, spoilt; /* packets that are missing, and that have other bytes than they had */
	struct rewrite how;
} damages[] = {
	{ "junk between two Clusters", junk_in_front, 0, 0, { 0 } },
	{ "junk between Clusters of unknown size", junk_in_front, 0, 0, { .has_unknown_clusters = true } },
	{ "a Cluster that says it is half as long", small_cluster, 0, 0, { 0 } },
	{ "a Cluster that says it is twice as long", large_cluster, 0, 0, { 0 } },
	{ "a Cluster that says it is endless", endless_cluster, 0, 0, { 0 } },
	{ "a Cluster without its ID", no_cluster_id, 96, 0, { 0 } },
	{ "a Cluster with a broken size", no_cluster_size, 96, 0, { 0 } },
	{ "a Cluster without its Timestamp", no_cluster_time, 96, 0, { 0 } },
	{ "a flipped bit in a block's size", flipped_size, 91, 1, { 0 } },
	{ "a block that says it is of 64 TiB", huge_block, 92, 0, { 0 } },
	{ "a block with a broken size", broken_size, 92, 0, { 0 } },
	{ "a block that ends behind its Cluster", block_behind_cluster, 1, 0, { 0 } },
	{ "spoilt within a Cluster", spoilt_middle, 91, 1, { 0 } },
	{ "spoilt at a Cluster's start", spoilt_start, 96, 0, { 0 } },
	{ "a broken lace", broken_lace, 1, 0, { 0 } },
	{ "a block of no track", unknown_track, 1, 0, { 0 } },
	{ "a frame of broken zlib data", broken_zlib, 1, 0, { .packing = REWRITE_PACKING_ZLIB } },
	{ "a SeekHead that leads nowhere", seek_head_nowhere, 0, 0, { 0 } },
	{ "spoilt Cues", spoilt_cues, 0, 0, { 0 } },
	{ "spoilt Cues in front", spoilt_cues, 0, 0, { .cues = REWRITE_CUES_FRONT } },
	{ "a Segment that says it ends early", wrong_segment_size, 0, 0, { 0 } },
	{ "a Cluster whose CRC-32 is wrong", nothing_else, 0, 0, { .crc = REWRITE_CRC_WRONG } },
};

/* ---- what is saved */

static bool is_same(const struct packet *a, const struct packet *b)
{
	return a->track == b->track && a->time_ns == b->time_ns && a->hash == b->hash && a->size == b->size && a->is_key == b->is_key;
}

struct loss {
	size_t lost, spoilt;
};

/* The packets of `saved` are those of `whole`, in order; what is missing or has other bytes began within the range. */
static struct loss check_saved(const char *name, const struct packets *whole, const struct packets *saved, struct range range)
{
	struct loss loss = { 0, 0 };
	size_t k = 0;

	for (size_t i = 0; i < whole->n; i++) {
		const struct packet *p = &whole->list[i];

		if (k < saved->n && is_same(p, &saved->list[k])) {
			k++;
			continue;
		}
		ck_assert_msg(p->start >= range.from && p->start < range.to, "%s: lost the packet at %lld, time %lld ns", name,
			      (long long)p->start, (long long)p->time_ns);
		if (k < saved->n && saved->list[k].start == p->start && saved->list[k].lace == p->lace) {
			loss.spoilt++;
			k++;
		} else {
			loss.lost++;
		}
	}
	ck_assert_msg(k == saved->n, "%s: packet %zu, at %lld, was not in the file", name, k, (long long)saved->list[k].start);
	return loss;
}

static void check_piped(const char *name, struct bytes file, const struct packets *ours)
{
	struct packets piped;

	packets_piped(&piped, file);
	size_t same = packets_same(&piped, ours);
	ck_assert_msg(same == ours->n && same == piped.n, "%s: from a pipe %zu packets, %zu of %zu the same", name, piped.n, same,
		      ours->n);
	packets_finish(&piped);
}

static void damage(const struct damage *d, struct bytes plain)
{
	struct packets whole, saved, libav;
	struct buf file = { 0 };

	mkv_rewrite(plain, &d->how, &file);
	packets_ours(&whole, buf_bytes(&file));
	ck_assert_int_eq(whole.damaged, 0);
	struct range range = d->spoil(&file);
	packets_ours(&saved, buf_bytes(&file));
	packets_libav(&libav, buf_bytes(&file));
	struct loss loss = check_saved(d->name, &whole, &saved, range);
	fprintf(stderr, "packets: broken: %-40s %3zu of %zu saved, %zu spoilt, %6lld bytes passed over; libavformat has %zu\n", d->name,
		saved.n - loss.spoilt, whole.n, loss.spoilt, (long long)saved.damaged, libav.n);
	ck_assert_msg(loss.lost == d->lost && loss.spoilt == d->spoilt, "%s: %zu lost, %zu spoilt", d->name, loss.lost, loss.spoilt);
	check_piped(d->name, buf_bytes(&file), &saved);
	packets_finish(&whole);
	packets_finish(&saved);
	packets_finish(&libav);
	buf_finish(&file);
}

START_TEST(a_broken_file_gives_all_that_is_not_broken)
{
	struct buf plain;

	craft_load(&plain, packets_base());
	damage(&damages[_i], buf_bytes(&plain));
	buf_finish(&plain);
}
END_TEST

/* ---- cut files */

/* Of a file that is cut at `size`, the packets whose blocks are there to their end. */
static size_t n_whole(const struct packets *whole, int64_t size)
{
	size_t n = 0;

	while (n < whole->n && whole->list[n].end <= size)
		n++;
	return n;
}

START_TEST(a_cut_file_gives_the_packets_up_to_the_cut)
{
	static const struct rewrite how[] = {
		{ 0 },
		{ .has_unknown_segment = true, .has_unknown_clusters = true },
		{ .has_groups = true, .has_durations = true, .padding = 50 },
		{ .packing = REWRITE_PACKING_ZLIB, .lacing = REWRITE_LACING_XIPH, .lace = 8 },
	};
	struct packets whole, cut;
	struct buf plain, file = { 0 };

	craft_load(&plain, packets_base());
	mkv_rewrite(buf_bytes(&plain), &how[_i], &file);
	packets_ours(&whole, buf_bytes(&file));
	for (int64_t i = 0; i < CUTS; i++) {
		int64_t size = (int64_t)file.size * i / CUTS;

		packets_ours(&cut, (struct bytes){ file.data, (size_t)size });
		ck_assert_msg(cut.n == n_whole(&whole, size), "cut at %lld: %zu packets, not %zu", (long long)size, cut.n,
			      n_whole(&whole, size));
		check_piped("cut", (struct bytes){ file.data, (size_t)size }, &cut);
		check_saved("cut", &whole, &cut, (struct range){ cut.n ? cut.list[cut.n - 1].end : 0, INT64_MAX });
		ck_assert_int_lt(cut.damaged, 12); /* an element's head that is cut */
		packets_finish(&cut);
	}
	packets_finish(&whole);
	buf_finish(&plain);
	buf_finish(&file);
}
END_TEST

Suite *suite_packets_broken(void)
{
	Suite *s = suite_create("packets_broken");
	TCase *t = tcase_create("packets_broken");

	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, a_broken_file_gives_all_that_is_not_broken, 0, (int)N_OF(damages));
	tcase_add_loop_test(t, a_cut_file_gives_the_packets_up_to_the_cut, 0, 4);
	suite_add_tcase(s, t);
	return s;
}
