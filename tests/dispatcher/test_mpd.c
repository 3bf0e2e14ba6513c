/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/mpd.h"

#include "tests/suites.h"

#include <check.h>
#include <string.h>

static struct plan_segment segments[] = {
	{ .start = 90, .duration = 540540, .video_id = 1000, .video_end = 301000 },
	{ .start = 540630, .duration = 540540, .video_id = 301000, .video_end = 501000 },
	{ .start = 1081170, .duration = 90000, .video_id = 501000, .video_end = INT64_MAX },
};
static const int64_t sizes[] = { 600600, 600600, 10000, 120120, 120120, 10000, 1000, 1000, 1000 };
static struct record_track tracks[] = {
	{ .rendition = "audio-1", .name = "5.1 <&> \"x\"", .language = "de", .is_default = true, .segments = segments,
	  .audio = { .is_present = true, .codecs = "ec-3", .rate = 48000, .channels = 8 } },
	{ .rendition = "text-1", .name = "fr", .language = "fr", .segments = segments, .text = { true, 3 } },
};

/* Line by line: check's messages are short. */
static void check_text(struct buf *out, const char *expected)
{
	const char *got = buf_cstr(out);

	for (size_t a, b; *expected; got += a, expected += b) {
		a = strcspn(got, "\n");
		b = strcspn(expected, "\n");
		ck_assert_msg(a == b && !strncmp(got, expected, a), "not '%.*s' but '%.*s'", (int)b, expected, (int)a, got);
		a += got[a] != 0;
		b += expected[b] != 0;
	}
	ck_assert_str_eq(got, "");
	buf_finish(out);
}

static struct plan make_plan(void)
{
	struct plan plan = { .segments = segments, .n_segments = 3, .is_independent = true };

	plan.video = (struct record_video){ .is_present = true, .is_copy = true, .codecs = "avc1.640028", .width = 1920, .height = 1080,
					    .rate_num = 24000, .rate_den = 1001, .range = "SDR" };
	plan.audio = (struct record_audio){ .is_present = true, .codecs = "mp4a.40.2", .rate = 44100, .channels = 2 };
	return plan;
}

static struct plan make_plan_of_tracks(void)
{
	struct plan plan = make_plan();

	plan.audio = (struct record_audio){ 0 };
	plan.tracks = tracks;
	plan.n_tracks = 2;
	return plan;
}

#define HEAD                                                                                                                   \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "                           \
	"profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" mediaPresentationDuration=\"PT13.013S\" "            \
	"maxSegmentDuration=\"PT6.006S\" minBufferTime=\"PT6.006S\">\n<Period id=\"0\" start=\"PT0S\">\n"                       \
	"<SegmentTemplate timescale=\"90000\">\n<SegmentTimeline>\n<S t=\"90\" d=\"540540\" r=\"1\"/>\n"                       \
	"<S t=\"1081170\" d=\"90000\"/>\n</SegmentTimeline>\n</SegmentTemplate>\n"
#define ROLE "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value="
#define NAMES "<SegmentTemplate initialization=\"$RepresentationID$/init.mp4\" media=\"$RepresentationID$/$Time$.m4s\"/>\n"
#define CHANNELS "<AudioChannelConfiguration schemeIdUri=\"urn:mpeg:mpegB:cicp:ChannelConfiguration\" value="
#define TRACK_SETS \
	"<AdaptationSet id=\"1\" contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\" lang=\"de\">\n" \
	ROLE "\"main\"/>\n<Label>5.1 &#60;&#38;&#62; &#34;x&#34;</Label>\n" NAMES \
	"<Representation id=\"audio-1\" bandwidth=\"160000\" codecs=\"ec-3\" audioSamplingRate=\"48000\">\n" CHANNELS \
	"\"12\"/>\n</Representation>\n</AdaptationSet>\n" \
	"<AdaptationSet id=\"2\" contentType=\"text\" mimeType=\"text/vtt\" segmentAlignment=\"true\" lang=\"fr\">\n" \
	ROLE "\"subtitle\"/>\n<Label>fr</Label>\n<SegmentTemplate media=\"$RepresentationID$/$Time$.vtt\"/>\n" \
	"<Representation id=\"text-1\" bandwidth=\"8000\"/>\n</AdaptationSet>\n"
#define TAIL "</Period>\n</MPD>\n"

START_TEST(a_title_in_one_rendition_is_one_adaptation_set)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	mpd_put(&plan, sizes, MPD_TEMPLATE, &out);
	check_text(&out, HEAD
			 "<AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n"
			 ROLE "\"main\"/>\n" NAMES
			 "<Representation id=\"main\" bandwidth=\"800000\" codecs=\"avc1.640028,mp4a.40.2\" width=\"1920\" height=\"1080\" "
			 "frameRate=\"24000/1001\" audioSamplingRate=\"44100\">\n" CHANNELS "\"2\"/>\n</Representation>\n</AdaptationSet>\n" TAIL);
}
END_TEST

START_TEST(each_rendition_is_an_adaptation_set_with_its_label_escaped)
{
	struct plan plan = make_plan_of_tracks();
	struct buf out = { 0 };

	mpd_put(&plan, sizes, MPD_TEMPLATE, &out);
	check_text(&out, HEAD
			 "<AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n"
			 ROLE "\"main\"/>\n" NAMES
			 "<Representation id=\"video\" bandwidth=\"800000\" codecs=\"avc1.640028\" width=\"1920\" height=\"1080\" "
			 "frameRate=\"24000/1001\">\n</Representation>\n</AdaptationSet>\n"
			 TRACK_SETS TAIL);
}
END_TEST

START_TEST(without_video_the_tracks_are_all)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	plan.video = (struct record_video){ 0 };
	plan.audio = (struct record_audio){ 0 };
	plan.tracks = tracks;
	plan.n_tracks = 2;
	mpd_put(&plan, sizes + 3, MPD_TEMPLATE, &out);
	check_text(&out, HEAD
			 TRACK_SETS TAIL);
}
END_TEST

#define LIST_TIMELINE                                                                                                          \
	"<SegmentTimeline>\n<S t=\"90\" d=\"540540\" r=\"1\"/>\n<S t=\"1081170\" d=\"90000\"/>\n</SegmentTimeline>\n"
#define LIST "<SegmentList timescale=\"90000\">\n"
#define NAMED(rendition, what)                                                                                                 \
	"<SegmentURL media=\"" rendition "/90-540540." what "\"/>\n<SegmentURL media=\"" rendition "/540630-540540." what "\"/>\n"  \
	"<SegmentURL media=\"" rendition "/1081170-90000." what "\"/>\n</SegmentList>\n"

START_TEST(it_lasts_as_long_as_the_longest_track)
{
	struct record_track longer = tracks[0];
	struct plan plan = make_plan();
	struct buf out = { 0 };

	plan.audio.unit = longer.audio.unit = 1024;
	plan.audio.frames = 580; /* 13.468 s */
	mpd_put(&plan, sizes, MPD_TEMPLATE, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "mediaPresentationDuration=\"PT13.468S\""));
	buf_reset(&out);
	plan.tracks = &longer;
	plan.n_tracks = 1;
	longer.audio.frames = 660; /* 14.08 s */
	mpd_put(&plan, sizes, MPD_TEMPLATE, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "mediaPresentationDuration=\"PT14.080S\""));
	buf_finish(&out);
}
END_TEST

START_TEST(a_list_names_every_segment_as_playlists_do)
{
	struct plan plan = make_plan_of_tracks();
	struct buf out = { 0 };

	mpd_put(&plan, sizes, MPD_LIST, &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "isoff-main:2011"));
	ck_assert_ptr_null(strstr(buf_cstr(&out), "SegmentTemplate"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), LIST "<Initialization sourceURL=\"video/init.mp4\"/>\n" LIST_TIMELINE NAMED("video", "m4s")));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), LIST "<Initialization sourceURL=\"audio-1/init.mp4\"/>\n" LIST_TIMELINE NAMED("audio-1", "m4s")));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), LIST LIST_TIMELINE NAMED("text-1", "vtt")));
	buf_finish(&out);
}
END_TEST

static const struct {
	const char *range, *want;
	bool is_independent, has_video;
} variants[] = {
	{ "PQ", "TransferCharacteristics\" value=\"16\"/>", true, true },
	{ "HLG", "TransferCharacteristics\" value=\"18\"/>", true, true },
	{ "SDR", "segmentAlignment=\"true\">\n<Role", false, true },
	{ "", "contentType=\"audio\" mimeType=\"audio/mp4\"", true, false },
	{ "", "codecs=\"mp4a.40.2\" audioSamplingRate=\"44100\">", true, false },
};

START_TEST(what_is_not_usual_is_told)
{
	struct plan plan = make_plan();
	struct buf out = { 0 };

	strcpy(plan.video.range, variants[_i].range);
	plan.is_independent = variants[_i].is_independent;
	if (!variants[_i].has_video)
		plan.video = (struct record_video){ 0 };
	mpd_put(&plan, NULL, MPD_TEMPLATE, &out);
	ck_assert_msg(strstr(buf_cstr(&out), variants[_i].want) != NULL, "%s", buf_cstr(&out));
	buf_finish(&out);
}
END_TEST

Suite *suite_mpd(void)
{
	Suite *suite = suite_create("dispatcher/mpd");
	TCase *tc = tcase_create("mpd");

	tcase_add_test(tc, a_title_in_one_rendition_is_one_adaptation_set);
	tcase_add_test(tc, each_rendition_is_an_adaptation_set_with_its_label_escaped);
	tcase_add_test(tc, without_video_the_tracks_are_all);
	tcase_add_test(tc, it_lasts_as_long_as_the_longest_track);
	tcase_add_test(tc, a_list_names_every_segment_as_playlists_do);
	tcase_add_loop_test(tc, what_is_not_usual_is_told, 0, (int)(sizeof variants / sizeof *variants));
	suite_add_tcase(suite, tc);
	return suite;
}
