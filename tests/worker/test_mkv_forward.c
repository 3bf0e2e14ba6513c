/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The demuxer over an input that cannot go back: whatever lies about its size there, hides nothing of what follows, and is not
 * held in memory.
 */
#include "worker/mkv.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#define MIB (INT64_C(1) << 20)
#define LONG ((getenv("SHORT") ? 48 : 400) * MIB) /* of a stream: more than a window may hold at most, and than most lies */
#define SMALL (2 * MIB)    /* of a window */
#define CLUSTER_FRAMES 4
#define BLOCK 50000

/* `head`, then `body` again and again, up to `size` bytes. */
struct stream {
	struct buf head, body;
	int64_t at, size;
};

static struct stream stream;
static struct input in;
static struct err err;

static int64_t read_stream(void *arg, uint8_t *to, size_t n, struct err *e)
{
	struct stream *s = arg;
	int64_t behind = s->at - (int64_t)s->head.size, rest = s->size - s->at;
	struct bytes from = buf_bytes(&s->head);
	size_t skip = (size_t)s->at;

	(void)e;
	if (behind >= 0) {
		from = buf_bytes(&s->body);
		skip = (size_t)behind % from.size;
	}
	n = n < from.size - skip ? n : from.size - skip;
	n = (int64_t)n < rest ? n : (size_t)rest;
	memcpy(to, from.data + skip, n);
	s->at += (int64_t)n;
	return (int64_t)n;
}

/* A header of that size, which is a lie. */
static void put_lie(struct buf *b, uint32_t id, int64_t size)
{
	mkv_put_id(b, id);
	mkv_put_size(b, (uint64_t)size);
}

static void put_cluster(struct buf *b)
{
	static const uint8_t data[BLOCK];
	size_t m = mkv_begin_cluster(b, 80);

	for (int i = 0; i < CLUSTER_FRAMES; i++)
		mkv_put_simple(b, MKV_VIDEO_TRACK, (int16_t)(i * 20), i ? 0 : MKV_KEY, data, sizeof data);
	mkv_end_master(b, m);
}

/* How the head goes on in front of the Clusters. */
static void begin(void)
{
	mkv_put_head(&stream.head);
	put_cluster(&stream.body);
}

static void end(int64_t size)
{
	struct input_source source = { read_stream, NULL, NULL, &stream };

	ck_assert(!buf_failed(&stream.head) && !buf_failed(&stream.body));
	/* as many whole Clusters as there is room for */
	size -= (int64_t)stream.head.size;
	stream.size = (int64_t)stream.head.size + size - size % (int64_t)stream.body.size;
	input_init_source(&in, &source, INT64_MAX);
}

static int64_t n_clusters(void)
{
	return (stream.size - (int64_t)stream.head.size) / (int64_t)stream.body.size;
}

/* Frames, and bytes that were damaged. */
static int64_t count(int64_t *damaged)
{
	struct mkv_cursor c;
	struct frame f;
	struct mkv mkv;
	int64_t n = 0;
	int ret;

	ck_assert_msg(!mkv_open(&mkv, &in, &err), "%s", err.msg);
	ck_assert_int_eq(mkv.n_tracks, 2);
	ck_assert_msg(!mkv_seek(&c, &mkv, mkv.first_cluster, -1, &err), "%s", err.msg);
	while ((ret = mkv_next(&c, &f, &err)) == 1)
		n++;
	ck_assert_int_eq(ret, 0);
	*damaged = c.damaged_bytes;
	mkv_close(&mkv);
	return n;
}

static void check_all_frames(int64_t window)
{
	int64_t damaged;

	ck_assert_int_eq(count(&damaged), n_clusters() * CLUSTER_FRAMES);
	ck_assert_int_eq(damaged, 0);
	ck_assert_msg(in.cap <= window, "%lld bytes of window", (long long)in.cap);
}

static void teardown(void)
{
	input_close(&in);
	buf_finish(&stream.head);
	buf_finish(&stream.body);
	memset(&stream, 0, sizeof stream);
}

static const int64_t lies[] = { LIMIT_FORWARD, 100 * MIB, 300 * MIB, INT64_C(1) << 50 };
#define N_LIES (int)(sizeof lies / sizeof *lies)

START_TEST(an_element_in_front_of_the_clusters_that_lies_hides_none)
{
	static const uint32_t ids[] = { ID_TAGS, ID_ATTACHMENTS, ID_SEEK_HEAD, ID_CUES, EBML_ID_VOID, 0x4141 };

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		begin();
		put_lie(&stream.head, ids[i], lies[_i]);
		buf_put_str(&stream.head, "this is all there is of it");
		end(LONG);
		check_all_frames(SMALL);
		teardown();
	}
}
END_TEST

START_TEST(tracks_that_lie_are_read_as_far_as_they_go)
{
	size_t tracks, end_of_it;

	begin();
	tracks = stream.head.size;
	mkv_put_tracks(&stream.head); /* the second Tracks is passed over: it is the first that lies */
	end_of_it = stream.head.size - tracks;
	ck_assert(!memcmp(stream.head.data + tracks, stream.head.data + tracks - end_of_it, end_of_it));
	stream.head.size = tracks;
	buf_patch_u32(&stream.head, tracks - end_of_it + 4 + 4, (uint32_t)(lies[_i] < INT32_MAX ? lies[_i] : INT32_MAX));
	end(LONG);
	check_all_frames(2 * LIMIT_FORWARD);
}
END_TEST

START_TEST(an_element_between_clusters_that_lies_hides_none)
{
	int64_t damaged;
	size_t lie;

	begin();
	put_cluster(&stream.head);
	lie = stream.head.size;
	put_lie(&stream.head, _i % 2 ? ID_TAGS : EBML_ID_VOID, lies[_i]);
	buf_put_str(&stream.head, "this is all there is of it");
	lie = stream.head.size - lie;
	end(LONG);
	ck_assert_int_eq(count(&damaged), (n_clusters() + 1) * CLUSTER_FRAMES);
	/* that it is a lie shows where its end is within the stream */
	ck_assert_int_eq(damaged, (int64_t)lie);
	ck_assert_int_le(in.cap, SMALL);
}
END_TEST

START_TEST(a_block_that_lies_costs_its_cluster)
{
	static const uint32_t ids[] = { ID_SIMPLE_BLOCK, ID_BLOCK_GROUP };

	for (size_t i = 0; i < 2; i++) {
		int64_t damaged;

		begin();
		put_cluster(&stream.head);
		mkv_begin_unknown(&stream.head, ID_CLUSTER);
		mkv_put_uint(&stream.head, ID_TIMESTAMP, 40);
		put_lie(&stream.head, ids[i], lies[_i]);
		buf_put_str(&stream.head, "\x81zz\x80 this is all there is of it");
		end(LONG);
		ck_assert_int_eq(count(&damaged), (n_clusters() + 1) * CLUSTER_FRAMES);
		ck_assert(damaged > 0 && damaged < 100);
		ck_assert_int_le(in.cap, SMALL);
		teardown();
	}
}
END_TEST

/* Four bytes in what is looked through may be an ID, and what is behind them a size. */
START_TEST(what_looks_like_an_element_in_damage_is_not_held)
{
	int64_t damaged;

	begin();
	put_cluster(&stream.head);
	buf_put_str(&stream.head, "\xff\xff\xff");
	put_lie(&stream.head, ID_TAGS, lies[_i]);
	end(LONG);
	ck_assert_int_eq(count(&damaged), (n_clusters() + 1) * CLUSTER_FRAMES);
	ck_assert_int_le(in.cap, SMALL);
	teardown();
	begin();
	buf_put_str(&stream.head, "\xff\xff\xff");
	put_lie(&stream.head, ID_TAGS, lies[_i]);
	end(LONG);
	check_all_frames(SMALL);
}
END_TEST

START_TEST(what_is_that_large_indeed_is_passed_over_without_being_held)
{
	size_t n = (size_t)LIMIT_FORWARD + 5000;

	begin();
	put_lie(&stream.head, ID_ATTACHMENTS, (int64_t)n);
	buf_put_zero(&stream.head, n);
	if (_i)
		put_cluster(&stream.head);
	put_lie(&stream.head, ID_TAGS, (int64_t)n);
	buf_put_zero(&stream.head, n);
	end((int64_t)stream.head.size + 10 * MIB);
	if (_i) {
		int64_t damaged;

		ck_assert_int_eq(count(&damaged), (n_clusters() + 1) * CLUSTER_FRAMES);
		ck_assert_int_eq(damaged, 0);
		ck_assert_int_le(in.cap, SMALL);
	} else {
		check_all_frames(SMALL);
	}
}
END_TEST

/* Another file joined to this one, and a Cluster that is none within one that lies about its size as well. */
START_TEST(what_lies_within_a_cluster_that_lies_is_not_held)
{
	int64_t damaged;

	begin();
	put_cluster(&stream.head);
	put_lie(&stream.head, ID_CLUSTER, INT64_C(1) << 51);
	mkv_put_uint(&stream.head, ID_TIMESTAMP, 40);
	put_lie(&stream.head, _i % 2 ? ID_CLUSTER : EBML_ID_HEADER, lies[_i]);
	buf_put_str(&stream.head, "\x01\x02\x03");
	end(LONG);
	ck_assert_int_eq(count(&damaged), (n_clusters() + 1) * CLUSTER_FRAMES);
	ck_assert_int_le(in.cap, SMALL);
	teardown();
	begin();
	put_cluster(&stream.head);
	put_lie(&stream.head, EBML_ID_HEADER, lies[_i]);
	end(LONG);
	ck_assert_int_eq(count(&damaged), CLUSTER_FRAMES);
	ck_assert_int_le(in.cap, SMALL);
}
END_TEST

START_TEST(garbage_in_front_of_the_clusters_is_looked_through)
{
	begin();
	put_lie(&stream.head, 0x4141, 100000); /* with what follows, which is no element */
	buf_put_str(&stream.head, "nothing that anybody knows");
	end(10 * MIB);
	check_all_frames(SMALL);
}
END_TEST

START_TEST(a_stream_without_a_segment_is_told_before_its_end)
{
	struct mkv mkv;

	mkv_put_header(&stream.head, "matroska");
	put_lie(&stream.head, 0x4141, lies[_i]);
	put_cluster(&stream.body);
	end(LONG);
	ck_assert_int_eq(mkv_open(&mkv, &in, &err), ERR_DATA);
	ck_assert_str_eq(err.msg, "there is no Segment");
	ck_assert_int_le(in.n_read, LIMIT_FORWARD * 2);
}
END_TEST

Suite *suite_mkv_forward(void)
{
	Suite *s = suite_create("worker/mkv_forward");
	TCase *tc = tcase_create("forward");

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, an_element_in_front_of_the_clusters_that_lies_hides_none, 0, N_LIES);
	tcase_add_loop_test(tc, tracks_that_lie_are_read_as_far_as_they_go, 0, N_LIES);
	tcase_add_loop_test(tc, an_element_between_clusters_that_lies_hides_none, 0, N_LIES);
	tcase_add_loop_test(tc, a_block_that_lies_costs_its_cluster, 0, N_LIES);
	tcase_add_loop_test(tc, what_looks_like_an_element_in_damage_is_not_held, 0, N_LIES);
	tcase_add_loop_test(tc, what_is_that_large_indeed_is_passed_over_without_being_held, 0, 2);
	tcase_add_loop_test(tc, what_lies_within_a_cluster_that_lies_is_not_held, 0, N_LIES);
	tcase_add_test(tc, garbage_in_front_of_the_clusters_is_looked_through);
	tcase_add_loop_test(tc, a_stream_without_a_segment_is_told_before_its_end, 0, N_LIES);
	suite_add_tcase(s, tc);
	return s;
}
