/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/vtt.h"

#include "tests/suites.h"

#include <check.h>
#include <string.h>

static const char *const texts[][2] = {
	{ "plain", "plain" },
	{ "a & b < c > d --> e", "a &amp; b &lt; c &gt; d --&gt; e" },
	{ "<i>no tag</i> &lt;", "&lt;i&gt;no tag&lt;/i&gt; &amp;lt;" },
	{ "one\\Ntwo\\nthree\nfour", "one\ntwo\nthree\nfour" },
	{ "\\N\\N one\\N\\N \\Ntwo\\N", "one\ntwo" },
	{ "\r\n\r\none\r\n\r\ntwo\r\n", "one\ntwo" },
	{ "a\\hb\\h", "a\xc2\xa0" "b\xc2\xa0" },
	{ "\\h", "" },
	{ "{\\i1}it{\\i0} not", "<i>it</i> not" },
	{ "{\\i1}to the end", "<i>to the end</i>" },
	{ "{\\b700\\u1}x{\\b0}y{\\u0}z", "<b><u>x</u></b><u>y</u>z" },
	{ "{\\i1}{\\i0}nothing", "nothing" },
	{ "{\\i1}a{\\r}b", "<i>a</i>b" },
	{ "{\\i1}a\\N{\\i0}b", "<i>a</i>\nb" },
	{ "{\\an8\\pos(1,2)\\fad(10,10)\\c&H00FF00&}up{\\k20}per", "upper" },
	{ "{\\bord2\\iclip(1)\\u}x", "x" },
	{ "{\\p1}m 0 0 l 100 0{\\p0}text", "text" },
	{ "{no end <", "{no end &lt;" },
	{ "{comment}text}", "text}" },
	{ "\\{\\}x", "{}x" },
	{ "C:\\dir", "C:\\dir" },
	{ "C:\\\xe2\x81\xa0Nix", "C:\\Nix" },
	{ "\xff\xfe a\xc3", "\xef\xbf\xbd\xef\xbf\xbd a\xef\xbf\xbd" },
	{ "\xed\xa0\x80\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "Gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80" },
	{ "\x01\x1b[31mred\x7f", "[31mred" },
	{ "WEBVTT\\NNOTE\\N\\NSTYLE", "WEBVTT\nNOTE\nSTYLE" },
	{ "", "" },
	{ "{\\i1} \\N {\\i0}", "" },
};

START_TEST(text_is_escaped_and_what_is_no_text_is_left_out)
{
	struct buf out = { 0 };

	vtt_put_text(&out, texts[_i][0]);
	ck_assert_str_eq(buf_cstr(&out), texts[_i][1]);
	buf_finish(&out);
}
END_TEST

START_TEST(cues_have_their_times_to_the_millisecond)
{
	struct buf out = { 0 };

	vtt_put_head(&out);
	vtt_put_cue(&out, 0, 90, (struct bytes){ (const uint8_t *)"a", 1 });
	vtt_put_cue(&out, 90000 * INT64_C(3661) + 134955, 90000 * INT64_C(360000), (struct bytes){ (const uint8_t *)"b\nc", 3 });
	ck_assert_str_eq(buf_cstr(&out), "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n"
					 "\n00:00:00.000 --> 00:00:00.001\na\n"
					 "\n01:01:02.500 --> 100:00:00.000\nb\nc\n");
	buf_finish(&out);
}
END_TEST

/* No text ends its cue, or begins another: no empty line, no arrow, no tag that is not ours. */
START_TEST(no_bytes_are_taken_for_markup)
{
	static const char pieces[] = "\\N\n\r {}<>&-i10bu/prh\x80\xc3";
	unsigned state = 1;

	for (int n = 0; n < 20000; n++) {
		struct buf out = { 0 };
		char text[24] = "";
		int open = 0;

		for (int i = 0; i < 23; i++)
			text[i] = pieces[(state = state * 1103515245 + 12345) >> 16 & 0x7fff % (sizeof pieces - 1)];
		vtt_put_text(&out, text);
		const char *got = buf_cstr(&out);
		ck_assert_msg(!strstr(got, "\n\n") && *got != '\n' && !strstr(got, "-->") && !strchr(got, '\r'), "%s", got);
		for (const char *at = got; (at = strchr(at, '<')); at++) {
			int is_end = at[1] == '/';

			ck_assert_msg(strchr("biu", at[1 + is_end]) && at[2 + is_end] == '>', "%s", got);
			open += is_end ? -1 : 1;
			ck_assert_int_ge(open, 0);
		}
		ck_assert_int_eq(open, 0);
		ck_assert(!out.size || got[out.size - 1] != '\n');
		buf_finish(&out);
	}
}
END_TEST

Suite *suite_vtt(void)
{
	Suite *s = suite_create("vtt");
	TCase *t = tcase_create("vtt");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, text_is_escaped_and_what_is_no_text_is_left_out, 0, (int)(sizeof texts / sizeof *texts));
	tcase_add_test(t, cues_have_their_times_to_the_millisecond);
	tcase_add_test(t, no_bytes_are_taken_for_markup);
	suite_add_tcase(s, t);
	return s;
}
