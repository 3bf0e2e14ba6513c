/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A title that might show pictures late, as far as its parameter set says, and never does: it is shown as it is decoded.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "worker/bits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASELINE 66
#define STILL "-f lavfi -i testsrc2=s=320x192:r=24 -t 13 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 48 "
/* Of Main profile, because x264 gives Baseline an order type that cannot reorder; but with Baseline's tools only. */
#define RAW FFMPEG STILL "-bf 1 -b_strategy 1 -x264-params b-bias=-100:cabac=0:weightp=0 -f h264 " OUT

/* The bit of vui_parameters_present_flag, ITU-T H.264 section 7.3.2.1.1, of an SPS of Main profile, order type 0, without crop. */
static size_t find_vui(struct bytes sps)
{
	struct bits b = { sps.data, sps.size, 0, false };

	bits_skip(&b, 32);
	bits_ue(&b);
	bits_ue(&b); /* log2_max_frame_num_minus4 */
	ck_assert_uint_eq(bits_ue(&b), 0); /* pic_order_cnt_type */
	bits_ue(&b);
	bits_ue(&b); /* max_num_ref_frames */
	bits_skip(&b, 1);
	bits_ue(&b);
	bits_ue(&b); /* the size */
	bits_skip(&b, 2);
	ck_assert_uint_eq(bits_get(&b, 1), 0); /* frame_cropping_flag */
	ck_assert(!b.is_over && !memchr(sps.data, 3, b.at / 8)); /* no emulation prevention up to here */
	return b.at;
}

/* Baseline, and nothing said of reordering: what follows from the level is 9 pictures. The flag is 0, and there it ends. */
static void put_silent_sps(struct buf *to, struct bytes sps)
{
	size_t vui = find_vui(sps), at = to->size;
	unsigned bit = 7 - vui % 8;

	buf_put(to, sps.data, vui / 8);
	buf_put_u8(to, (uint8_t)((sps.data[vui / 8] >> (bit + 1) << (bit + 1)) | (1u << bit >> 1)));
	if (!bit)
		buf_put_u8(to, 0x80);
	to->data[at + 1] = BASELINE;
}

/* An Annex B stream with each SPS replaced. */
static void silence(struct bytes from, struct buf *to)
{
	static const uint8_t code[] = { 0, 0, 1, 0x67 };
	const uint8_t *end = from.data + from.size, *sps, *next;
	int n = 0;

	for (; (sps = memmem(from.data, (size_t)(end - from.data), code, 4)); n++) {
		next = memmem(sps + 4, (size_t)(end - sps - 4), code, 3);
		ck_assert_ptr_nonnull(next);
		buf_put(to, from.data, (size_t)(sps + 3 - from.data));
		put_silent_sps(to, (struct bytes){ sps + 3, (size_t)(next - sps - 3) });
		from.data = next;
	}
	ck_assert_int_gt(n, 0);
	buf_put(to, from.data, (size_t)(end - from.data));
	ck_assert(!buf_failed(to));
}

static const char *silent_title(void)
{
	static char path[600];
	struct buf from, to = { 0 };

	craft_load(&from, media_make("reorder.h264", RAW));
	silence(buf_bytes(&from), &to);
	craft_save(defects_scratch("silent.h264"), buf_bytes(&to));
	buf_finish(&from);
	buf_finish(&to);
	snprintf(path, sizeof path, "%s", defects_scratch("silent.mkv"));
	free(sh("mkvmerge -q -o '%s' --default-duration 0:24fps '%s' -D '%s'", path, defects_scratch("silent.h264"), defects_plain()));
	return path;
}

/* Decode times are those of presentation, in fact and as the boxes say. */
static void check_in_order(const struct hls *h, const char *source)
{
	const struct hls_track *v = hls_video(h);

	ck_assert_int_eq(v->edit_media_time, 0);
	ck_assert_ptr_null(memmem(h->init.data, h->init.size, "edts", 4));
	ck_assert_int_eq(v->samples[0].dts, 0);
	ck_assert_uint_eq(v->n_samples, 312);
	for (size_t i = 0; i < v->n_samples; i++) {
		ck_assert_msg(!v->samples[i].cts, "frame %zu: offset %lld", i, (long long)v->samples[i].cts);
		ck_assert_int_eq(v->samples[i].dts, (int64_t)i * 3750);
	}
	hls_check_video(h, source);
}

static void check_is_silent(const char *source)
{
	char *said = sh("ffmpeg -nostdin -v trace -i '%s' -map 0:v -c copy -frames:v 1 -bsf:v trace_headers -f null - 2>&1 | "
			"grep -E 'profile_idc|pic_order_cnt_type|vui_parameters_present' | sed 's/.*= //' | head -n 3 | tr '\\n' ' '", source);

	ck_assert_str_eq(said, "66 0 0 ");
	free(said);
}

START_TEST(most_that_is_allowed_is_no_delay_in_segments)
{
	const char *source = silent_title();
	struct hls h;

	check_is_silent(source);
	hls_make(&h, source, "-j 2");
	hls_check(&h);
	check_in_order(&h, source);
	hls_free(&h);
}
END_TEST

START_TEST(most_that_is_allowed_is_no_delay_in_one_stream)
{
	const char *source = silent_title(), *path = defects_scratch("silent.mp4");
	struct hls h;

	for (int is_pipe = 0; is_pipe < 2; is_pipe++) {
		free(sh(is_pipe ? "cat '%s' | \"$WORKER\" transcode > '%s'" : "\"$WORKER\" transcode '%s' > '%s'", source, path));
		hls_load_stream(&h, path);
		hls_check_stream(&h);
		check_in_order(&h, source);
		hls_free(&h);
	}
}
END_TEST

Suite *suite_reorder(void)
{
	Suite *s = suite_create("reorder");
	TCase *t = tcase_create("reorder");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_test(t, most_that_is_allowed_is_no_delay_in_segments);
	tcase_add_test(t, most_that_is_allowed_is_no_delay_in_one_stream);
	suite_add_tcase(s, t);
	return s;
}
