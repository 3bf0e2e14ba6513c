/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Inputs: a source that gives little at a time, forward only or not, and what the demuxer makes of it.
 */
#include "worker/input.h"

#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv.h"
#include "worker/mkv_internal.h"

#include <check.h>
#include <libavutil/log.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG ((int64_t)3 << 20)

/* A source over bytes that gives at most `step` at a time and breaks off at `broken`. */
struct slow {
	struct bytes bytes;
	int64_t at, step, broken;
};

static struct buf file;
static struct input in;
static struct slow slow;

static int64_t read_slow(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct slow *s = arg;
	int64_t rest = (int64_t)s->bytes.size - s->at, take = (int64_t)n < s->step ? (int64_t)n : s->step;

	if (s->at >= s->broken)
		return err_set(err, ERR_RETRY, "the wire broke");
	take = take < rest ? take : rest;
	if (take > 0)
		memcpy(to, s->bytes.data + s->at, (size_t)take);
	s->at += take;
	return take;
}

static int seek_slow(void *arg, int64_t at, struct err *err)
{
	(void)err;
	((struct slow *)arg)->at = at;
	return 0;
}

static void open_slow(int64_t step, bool is_seekable)
{
	struct input_source source = { read_slow, is_seekable ? seek_slow : NULL, NULL, &slow };

	slow = (struct slow){ buf_bytes(&file), 0, step, INT64_MAX };
	input_init_source(&in, &source, is_seekable ? (int64_t)file.size : INT64_MAX);
}

static void put_pattern(size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put_u8(&file, (uint8_t)(i * 31 >> 3 ^ i));
}

static void check_view(int64_t at, int64_t need)
{
	struct bytes v = input_view(&in, at, need);

	ck_assert_int_ge((int64_t)v.size, need);
	ck_assert_mem_eq(v.data, file.data + at, (size_t)need);
}

static void teardown(void)
{
	input_close(&in);
	buf_finish(&file);
}

START_TEST(a_pipe_gives_every_byte_asked_for_in_order)
{
	put_pattern(100000);
	open_slow(_i, false);
	for (int64_t at = 0; at + 700 < 100000; at += 613)
		check_view(at, 700);
	struct bytes v = input_view(&in, 99990, 100);
	ck_assert_uint_eq(v.size, 10);
	ck_assert_int_eq(in.size, 100000);
	ck_assert_int_eq(input_status(&in, NULL), 0);
	ck_assert_uint_eq(input_view(&in, 100000, 1).size, 0);
}
END_TEST

START_TEST(a_pipe_keeps_what_is_held_and_no_more)
{
	put_pattern(8 * (size_t)BIG);
	open_slow(65536, false);
	in.hold = 1000;
	check_view(1000, 10);
	check_view(BIG, 10);
	check_view(1000, 10);
	in.hold = INT64_MAX;
	check_view(2 * BIG, 10);
	int64_t cap = in.cap;
	check_view(7 * BIG, 10);
	ck_assert_int_eq(in.cap, cap);
	ck_assert_uint_eq(input_view(&in, 1000, 10).size, 0);
}
END_TEST

START_TEST(near_places_are_read_through_and_far_ones_gone_to)
{
	put_pattern(8 * (size_t)BIG);
	open_slow(65536, true);
	check_view(0, 100);
	check_view(200000, 100);
	ck_assert_int_eq(in.n_seeks, 0);
	check_view(7 * BIG, 100);
	ck_assert_int_eq(in.n_seeks, 1);
	ck_assert_int_lt(in.n_read, BIG);
	check_view(5000, 100);
	ck_assert_int_eq(in.n_seeks, 2);
}
END_TEST

START_TEST(an_error_of_the_source_stays)
{
	struct err err;

	put_pattern(100000);
	open_slow(1000, false);
	slow.broken = 50000;
	check_view(0, 100);
	ck_assert_uint_eq(input_view(&in, 49000, 2000).size, 1000);
	ck_assert_int_eq(input_status(&in, &err), ERR_RETRY);
	ck_assert_str_eq(err.msg, "the wire broke");
	slow.broken = INT64_MAX;
	ck_assert_uint_eq(input_view(&in, 50000, 1).size, 0);
}
END_TEST

/* ---- the demuxer over it */

static void put_title(size_t attachment)
{
	uint8_t *font = calloc(1, attachment + 5000);

	mkv_put_head(&file);
	mkv_put_binary(&file, ID_ATTACHMENTS, font, attachment);
	for (int i = 0; i < 50; i++) {
		size_t m = mkv_begin_cluster(&file, (uint64_t)(i * 80));
		for (int k = 0; k < 4; k++)
			mkv_put_simple(&file, k % 2 + 1, (int16_t)(k * 20), MKV_KEY, font, (size_t)(i * 997 + k) % 5000 + 1);
		static const uint8_t laced[] = { 2, 3, 2, 'a', 'b', 'c', 'd', 'e', 'f', 'g' };
		mkv_put_simple(&file, 2, 70, MKV_KEY | 0x02, laced, sizeof(laced));
		size_t g = mkv_begin_master(&file, ID_BLOCK_GROUP);
		mkv_put_block(&file, 1, 75, 0, font, 300);
		mkv_end_master(&file, g);
		mkv_end_master(&file, m);
	}
	free(font);
}

static uint64_t hash(uint64_t h, const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
	return h;
}

/* Of all frames, their times and bytes, and of what was damaged; *n: how many. */
static uint64_t digest(struct input *input, int *n)
{
	struct buf scratch = { 0 };
	struct mkv_cursor c;
	struct frame f;
	struct bytes data;
	struct mkv mkv;
	uint64_t h = 0xcbf29ce484222325;

	*n = 0;
	ck_assert_int_eq(mkv_open(&mkv, input, NULL), 0);
	ck_assert_int_eq(mkv.n_tracks, 2);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, -1, NULL), 0);
	for (; mkv_next(&c, &f, NULL) == 1; ++*n) {
		ck_assert_int_eq(mkv_frame_data(&mkv, &f, &scratch, &data, NULL), 0);
		h = hash(h, &f.time_ns, sizeof(f.time_ns));
		h = hash(h, &f.id, sizeof(f.id));
		h = hash(h, data.data, data.size);
	}
	h = hash(h, &c.damaged_bytes, sizeof(c.damaged_bytes));
	mkv_close(&mkv);
	buf_finish(&scratch);
	return h;
}

START_TEST(a_pipe_gives_the_frames_of_the_file)
{
	struct input whole;
	int n, n_whole;

	put_title(500000);
	input_init_bytes(&whole, buf_bytes(&file));
	uint64_t expected = digest(&whole, &n_whole);
	ck_assert_int_eq(n_whole, 50 * 8);
	static const int64_t steps[] = { 1, 7, 4096, 1 << 20 };
	open_slow(steps[_i], false);
	ck_assert(digest(&in, &n) == expected);
	ck_assert_int_eq(n, n_whole);
	ck_assert_int_le(in.cap, 1 << 20);
	input_close(&in);
	open_slow(steps[_i], true);
	ck_assert(digest(&in, &n) == expected);
	ck_assert_int_eq(in.n_seeks, 0);
}
END_TEST

START_TEST(a_cut_pipe_ends_like_a_cut_file)
{
	struct input whole;
	size_t full;

	put_title(100);
	full = file.size;
	for (size_t cut = full - 3000; cut < full; cut += 7) {
		int n, n_whole;
		file.size = cut;
		input_init_bytes(&whole, buf_bytes(&file));
		uint64_t expected = digest(&whole, &n_whole);
		open_slow(100, false);
		ck_assert_msg(digest(&in, &n) == expected && n == n_whole, "cut at %zu: %d of %d", cut, n, n_whole);
		input_close(&in);
	}
}
END_TEST

START_TEST(a_broken_wire_is_an_error_and_no_end)
{
	struct mkv_cursor c;
	struct frame f;
	struct mkv mkv;
	struct err err;
	int ret;

	put_title(100);
	open_slow(1000, false);
	slow.broken = (int64_t)file.size / 2;
	ck_assert_int_eq(mkv_open(&mkv, &in, &err), 0);
	ck_assert_int_eq(mkv_seek(&c, &mkv, mkv.first_cluster, -1, &err), 0);
	while ((ret = mkv_next(&c, &f, &err)) == 1)
		;
	ck_assert_int_eq(ret, ERR_RETRY);
	mkv_close(&mkv);
	input_close(&in);
	open_slow(10, false);
	slow.broken = 100;
	ck_assert_int_eq(mkv_open(&mkv, &in, &err), ERR_RETRY);
}
END_TEST

/* ---- a URL */

static int n_requests;

/* Bytes from a range, the only form that a demuxer asks for: bytes=N- */
static ssize_t read_body(void *arg, uint64_t pos, char *to, size_t max)
{
	uint64_t from = (uint64_t)(uintptr_t)arg + pos;
	size_t n = from < file.size ? file.size - from : 0;

	if (!n)
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = n < max ? n : max;
	memcpy(to, file.data + from, n);
	return (ssize_t)n;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
			      const char *upload, size_t *upload_size, void **own)
{
	const char *range = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Range");
	uint64_t from = range ? strtoull(range + strlen("bytes="), NULL, 10) : 0;
	struct MHD_Response *r;
	char said[100];

	(void)arg, (void)method, (void)version, (void)upload, (void)upload_size, (void)own;
	n_requests++;
	if (strcmp(url, "/title.mkv"))
		r = MHD_create_response_from_buffer(0, said, MHD_RESPMEM_MUST_COPY);
	else
		r = MHD_create_response_from_callback(file.size - from, 65536, read_body, (void *)(uintptr_t)from, NULL);
	snprintf(said, sizeof said, "bytes %llu-%zu/%zu", (unsigned long long)from, file.size - 1, file.size);
	MHD_add_response_header(r, "Accept-Ranges", "bytes");
	MHD_add_response_header(r, "Content-Range", said);
	enum MHD_Result ret = MHD_queue_response(connection, strcmp(url, "/title.mkv") ? 404 : range ? 206 : 200, r);
	MHD_destroy_response(r);
	return ret;
}

static struct MHD_Daemon *serve(char *url, size_t size, const char *path)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, answer,
						NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&any, MHD_OPTION_END);

	ck_assert_ptr_nonnull(d);
	snprintf(url, size, "http://127.0.0.1:%u%s", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port, path);
	n_requests = 0;
	return d;
}

START_TEST(a_url_is_read_in_one_request_and_cues_cost_two_more)
{
	struct input whole;
	struct mkv mkv;
	char url[100];
	int n, n_whole;

	av_log_set_level(AV_LOG_QUIET);
	put_title(BIG);
	size_t cues = mkv_begin_master(&file, ID_CUES);
	mkv_put_cue(&file, 0, 1, 0);
	mkv_end_master(&file, cues);
	input_init_bytes(&whole, buf_bytes(&file));
	uint64_t expected = digest(&whole, &n_whole);
	struct MHD_Daemon *d = serve(url, sizeof url, "/title.mkv");
	ck_assert_int_eq(input_open_url(&in, url, INPUT_URL_TIMEOUT_S, NULL, NULL, NULL, NULL), 0);
	ck_assert_int_eq(in.size, (int64_t)file.size);
	ck_assert(digest(&in, &n) == expected && n == n_whole);
	/* the attachment in front of the first Cluster is gone around */
	ck_assert_int_le(n_requests, 2);
	ck_assert_int_lt(in.n_read, (int64_t)file.size - BIG / 2);
	input_close(&in);
	n_requests = 0;
	ck_assert_int_eq(input_open_url(&in, url, INPUT_URL_TIMEOUT_S, NULL, NULL, NULL, NULL), 0);
	ck_assert_int_eq(mkv_open(&mkv, &in, NULL), 0);
	ck_assert_int_eq(mkv_read_cues(&mkv, NULL), 0);
	ck_assert_int_le(n_requests, 3);
	mkv_close(&mkv);
	MHD_stop_daemon(d);
}
END_TEST

START_TEST(a_url_that_is_not_there_is_said_to_be)
{
	struct MHD_Daemon *d;
	struct err err;
	char url[100];

	av_log_set_level(AV_LOG_QUIET);
	put_title(100);
	d = serve(url, sizeof url, "/other.mkv");
	ck_assert_int_eq(input_open_url(&in, url, INPUT_URL_TIMEOUT_S, NULL, NULL, NULL, &err), ERR_DATA);
	ck_assert_ptr_nonnull(strstr(err.msg, url));
	MHD_stop_daemon(d);
	ck_assert_int_eq(input_open_url(&in, url, INPUT_URL_TIMEOUT_S, NULL, NULL, NULL, &err), ERR_RETRY);
	ck_assert_int_eq(input_open_url(&in, "file:///etc/passwd", INPUT_URL_TIMEOUT_S, NULL, NULL, NULL, &err), ERR_RETRY);
}
END_TEST

Suite *suite_input(void)
{
	Suite *s = suite_create("input");
	TCase *tc = tcase_create("input");

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, a_pipe_gives_every_byte_asked_for_in_order, 1, 4);
	tcase_add_test(tc, a_pipe_keeps_what_is_held_and_no_more);
	tcase_add_test(tc, near_places_are_read_through_and_far_ones_gone_to);
	tcase_add_test(tc, an_error_of_the_source_stays);
	tcase_add_loop_test(tc, a_pipe_gives_the_frames_of_the_file, 0, 4);
	tcase_add_test(tc, a_cut_pipe_ends_like_a_cut_file);
	tcase_add_test(tc, a_broken_wire_is_an_error_and_no_end);
	tcase_add_test(tc, a_url_is_read_in_one_request_and_cues_cost_two_more);
	tcase_add_test(tc, a_url_that_is_not_there_is_said_to_be);
	suite_add_tcase(s, tc);
	return s;
}
