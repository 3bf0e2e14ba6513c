/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/msg.h"
#include "common/record.h"
#include "tests/suites.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define KEY "0123456789abcdef"

static struct record_video video(void)
{
	return (struct record_video){ true, false, 1, "avc1.640028", "dvh1.08.06/db1p", 1920, 800, 24000, 1001, -83416667, 500000, "SDR", 0, 1800000, 7508,
				      3000000, { 1920, 800, 90, 4, 3, 25, 1, 1, 2, 6, true, 1000, 0, 7200, "h264_nvenc", KEY, 1 } };
}

static struct record_audio audio(void)
{
	return (struct record_audio){ true, false, 2,	  "mp4a.40.2", 48000, 2,      1024,
				      0,    938,   48000, 1536,	       -256,  960000, 6144, 312 };
}

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

/* The JSON with the first `from` in it replaced; freed by the caller. */
static char *replaced(struct buf *json, const char *from, const char *to)
{
	const char *s = buf_cstr(json);
	const char *at = strstr(s, from);
	ck_assert_msg(at != NULL, "%s is not in %s", from, s);
	struct buf out = { 0 };
	buf_put(&out, s, (size_t)(at - s));
	buf_put_str(&out, to);
	buf_put_str(&out, at + strlen(from));
	ck_assert_ptr_nonnull(buf_cstr(&out));
	return (char *)out.data;
}

static struct record_sync syncs[3] = {
	{ 0, 0, 500, 520, 0, true },
	{ 539000, 540000, 90000, 90030, 287232, false },
	{ 1080000, 1080000, 90000, 180000, INT64_MAX, true },
};

static struct record_track text_track = { .rendition = "text-1", .name = "Fran\xc3\xa7" "ais <b>", .language = "fr-CA", .is_forced = true,
					  .text = { true, 3 } };

static struct index sample_index(void)
{
	return (struct index){ .video = video(), .audio = audio(), .origin_ns = -5000000, .first_place = 500, .syncs = syncs, .n_syncs = 3,
			       .tracks = &text_track, .n_tracks = 1,
			       .shifts = { { { 1, 90030, -77 }, { 2, 90031, 78 } }, 2 } };
}

/* Audio as renditions of its own. */
static struct index separate_index(void)
{
	static int64_t positions[] = { 0, 287232, INT64_MAX };
	static struct record_track tracks[3];
	struct index index = sample_index();
	tracks[0] = (struct record_track){ .name = "de", .language = "de", .audio = audio(), .positions = positions };
	tracks[1] = (struct record_track){ .name = "de 2", .language = "de", .is_default = true, .audio = audio(), .positions = positions };
	static int64_t since[] = { 0, 0, 1079000 };
	tracks[2] = text_track;
	tracks[2].positions = since;
	index.audio = (struct record_audio){ 0 };
	index.tracks = tracks;
	index.n_tracks = 3;
	return index;
}

static struct plan_segment segments[3] = {
	{ 0, 539000, 500, 520, 90030, 500, 0, 0, 280 },
	{ 539000, 541000, 90000, 90030, 180000, 500, 0, 280, 562 },
	{ 1080000, 720000, 90000, 180000, INT64_MAX, 90000, INT64_MAX, 562, 938 },
};

static struct plan_segment text_segments[3] = {
	{ .start = 0, .duration = 539000, .audio_place = 500 },
	{ .start = 539000, .duration = 541000, .audio_place = 500 },
	{ .start = 1080000, .duration = 720000, .audio_place = 90000 },
};

static struct plan sample_plan(void)
{
	struct plan p = {
		.hash = KEY, .video = video(), .audio = audio(), .origin_ns = 7, .shifts = { { { 3, 4, -5 } }, 1 }, .is_independent = true,
		.segments = segments, .n_segments = 3, .tracks = &text_track, .n_tracks = 1
	};
	text_track.segments = text_segments;
	record_options_init(&p.options);
	return p;
}

static struct plan separate_plan(void)
{
	static struct plan_segment silent[3], heard[3];
	static struct record_track tracks[3];
	struct plan p = sample_plan();
	struct index index = separate_index();
	for (int i = 0; i < 3; i++) {
		silent[i] = heard[i] = segments[i];
		silent[i].audio_first = silent[i].audio_end = 0;
		heard[i].video_place = heard[i].video_id = heard[i].video_end = 0;
	}
	memcpy(tracks, index.tracks, sizeof tracks);
	record_name_tracks(tracks, 3);
	tracks[0].segments = tracks[1].segments = heard;
	tracks[2].segments = text_segments;
	p.audio = (struct record_audio){ 0 };
	p.segments = silent;
	p.tracks = tracks;
	p.n_tracks = 3;
	return p;
}

static struct job sample_job(void)
{
	struct job j = { .id = 9,
			 .type = JOB_SEGMENT,
			 .stream = KEY,
			 .deadline_ms = 60000,
			 .sleep_ms = 77,
			 .play = KEY,
			 .start = 1 << 30,
			 .rendition = "main",
			 .plan_hash = KEY,
			 .number = 1,
			 .origin_ns = -3,
			 .shifts = { { { 3, 4, -5 }, { 1, 0, 6 } }, 2 },
			 .segment = segments[1],
			 .video = video(),
			 .audio = audio() };
	record_options_init(&j.options);
	j.source = (struct record_source){ .path = "/srv/Ein \"Film\".mkv", .size = 1 << 30, .mtime_ns = -1 };
	return j;
}

/* Audio alone, of several tracks. */
static struct index sounds_index(void)
{
	struct index index = separate_index();
	index.video = (struct record_video){ 0 };
	return index;
}

static struct plan sounds_plan(void)
{
	static struct plan_segment cuts[3];
	struct plan p = separate_plan();
	for (int i = 0; i < 3; i++)
		cuts[i] = (struct plan_segment){ .start = segments[i].start, .duration = segments[i].duration };
	p.video = (struct record_video){ 0 };
	p.segments = cuts;
	return p;
}

START_TEST(index_comes_back_as_it_was)
{
	struct index in = _i == 2 ? sounds_index() : _i ? separate_index() : sample_index(), out;
	struct buf json = { 0 }, again = { 0 };
	struct err err = { 0 };
	ck_assert_int_eq(index_put(&in, &json), 0);
	ck_assert_msg(!index_get(buf_bytes(&json), &out, &err), "%s", err.msg);
	ck_assert_uint_eq(out.n_syncs, 3);
	ck_assert_int_eq(out.syncs[2].audio_pos, INT64_MAX);
	ck_assert_int_eq(out.syncs[1].pts, 540000);
	ck_assert(!out.syncs[1].is_closed);
	ck_assert_int_eq(_i ? out.tracks[1].audio.source_base : out.audio.source_base, -256);
	ck_assert_str_eq(out.tracks[out.n_tracks - 1].name, text_track.name);
	ck_assert_str_eq(out.video.codecs, in.video.codecs);
	ck_assert_str_eq(out.video.supplemental, in.video.supplemental);
	index_put(&out, &again);
	ck_assert_str_eq(buf_cstr(&json), buf_cstr(&again));
	index_finish(&out);
	buf_finish(&json);
	buf_finish(&again);
}
END_TEST

START_TEST(plan_comes_back_as_it_was)
{
	struct plan in = _i == 2 ? sounds_plan() : _i ? separate_plan() : sample_plan(), out;
	struct buf json = { 0 }, again = { 0 };
	struct err err = { 0 };
	ck_assert_int_eq(plan_put(&in, &json), 0);
	ck_assert_msg(!plan_get(buf_bytes(&json), &out, &err), "%s", err.msg);
	ck_assert_uint_eq(out.n_segments, 3);
	ck_assert_mem_eq(out.segments, in.segments, sizeof(segments));
	ck_assert_str_eq(out.tracks[out.n_tracks - 1].rendition, "text-1");
	ck_assert_str_eq(plan_rendition(&out, 2), _i == 2 ? "audio-1" : _i ? "video" : "main");
	ck_assert_str_eq(plan_rendition(&out, 3), _i == 2 ? "audio-2" : _i ? "audio-1" : "text-1");
	plan_put(&out, &again);
	ck_assert_str_eq(buf_cstr(&json), buf_cstr(&again));
	plan_finish(&out);
	buf_finish(&json);
	buf_finish(&again);
}
END_TEST

START_TEST(segment_job_says_what_the_plan_says_of_it)
{
	struct plan plan = sample_plan();
	struct job want = sample_job(), job = { .id = want.id, .deadline_ms = want.deadline_ms, .stream = KEY };
	struct buf json = { 0 }, again = { 0 };
	job.source = want.source;
	job.options = want.options;
	want.origin_ns = plan.origin_ns;
	want.shifts = plan.shifts;
	job_set_segment(&job, &plan, 1);
	ck_assert_int_eq(job_put(&want, &json), 0);
	ck_assert_int_eq(job_put(&job, &again), 0);
	ck_assert_str_eq(buf_cstr(&json), buf_cstr(&again));
	buf_finish(&json);
	buf_finish(&again);
}
END_TEST

START_TEST(job_comes_back_as_it_was)
{
	struct job in = sample_job(), out;
	struct buf json = { 0 }, again = { 0 };
	struct err err = { 0 };
	for (int type = JOB_PROBE; type <= JOB_NOOP; type++) {
		in.type = (enum job_type)type;
		buf_reset(&json);
		buf_reset(&again);
		ck_assert_int_eq(job_put(&in, &json), 0);
		ck_assert_msg(!job_get(buf_bytes(&json), &out, &err), "%s", err.msg);
		ck_assert_int_eq(out.type, type);
		if (type != JOB_NOOP)
			ck_assert_str_eq(out.source.path, in.source.path);
		else
			ck_assert_int_eq(out.sleep_ms, in.sleep_ms);
		if (type == JOB_PLAY)
			ck_assert(!strcmp(out.play, KEY) && out.start == 1 << 30);
		job_put(&out, &again);
		ck_assert_str_eq(buf_cstr(&json), buf_cstr(&again));
	}
	buf_finish(&json);
	buf_finish(&again);
}
END_TEST

START_TEST(path_of_any_bytes_comes_back_as_it_was)
{
	static const char *const paths[] = { "/\xff\xfe/\xe4.mkv", "/\xc3\xa4\\\n\x01\"", "/", "/\xc3" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct record_source in = { .size = 1, .mtime_ns = 2 }, out;
		struct buf json = { 0 };
		struct err err = { 0 };
		strcpy(in.path, paths[i]);
		record_source_put(&in, &json);
		ck_assert_msg(!record_source_get(buf_bytes(&json), &out, &err), "%s", err.msg);
		ck_assert_str_eq(out.path, paths[i]);
		buf_finish(&json);
	}
}
END_TEST

START_TEST(title_without_video_or_audio_is_a_title)
{
	struct plan in = sample_plan(), out;
	struct plan_segment one = { 0, 1800000, 0, 0, INT64_MAX, 500, 0, 0, 938 };
	struct buf json = { 0 };
	struct err err = { 0 };
	in.video.is_present = false;
	in.segments = &one;
	in.n_segments = 1;
	in.n_tracks = 0;
	plan_put(&in, &json);
	ck_assert_msg(!plan_get(buf_bytes(&json), &out, &err), "%s", err.msg);
	ck_assert(!out.video.is_present);
	plan_finish(&out);
	buf_finish(&json);
}
END_TEST

/* Each row: what is replaced by what in a valid record. */
static const char *const bad_plans[][2] = {
	{ "\"grid_within_ns\":500000", "\"grid_within_ns\":500001" },
	{ "\"rate_num\":24000,\"rate_den\":1001", "\"rate_num\":0,\"rate_den\":0" },
	{ "\"rate_den\":1001", "\"rate_den\":2147483648" },
	{ "\"format\":6", "\"format\":1" },
	{ "\"format\":6", "\"format\":6,\"more\":1" },
	{ "\"format\":6,", "" },
	{ "\"format\":6", "\"format\":6,\"format\":6" },
	{ "\"origin_ns\":7", "\"origin_ns\":7.0" },
	{ "\"origin_ns\":7", "\"origin_ns\":\"7\"" },
	{ "\"origin_ns\":7", "\"origin_ns\":7200000000000001" },
	{ "\"origin_ns\":7", "\"origin_ns\":99999999999999999999" },
	{ "\"hash\":\"0123", "\"hash\":\"0x23" },
	{ "\"hash\":\"0123", "\"hash\":\"00123" },
	{ "\"target_ticks\":540000", "\"target_ticks\":44999" },
	{ "\"audio_channels\":2", "\"audio_channels\":3" },
	{ "\"video_track\":0", "\"video_track\":-1" },
	{ "\"video_track\":0,", "" },
	{ "\"audio_track\":0", "\"audio_track\":2147483648" },
	{ "\"audio_language\":\"\"", "\"audio_language\":\"DE\"" },
	{ "\"audio_language\":\"\"", "\"audio_language\":\"abcdefghijklmnopqrstuvwxyz-abcdefghi\"" },
	{ "\"audio_track\":0,\"audio_language\":\"\"", "\"audio_track\":1,\"audio_language\":\"de\"" },
	{ "\"is_audio_copied\":false", "\"is_audio_copied\":0" },
	{ "\"encoded_codecs\":\"\"", "\"encoded_codecs\":\"HEVC;\"" },
	{ "\"video_crf\":23000", "\"video_crf\":51001" },
	{ "\"video_preset\":2", "\"video_preset\":10" },
	{ "\"video_bitrate\":0", "\"video_bitrate\":-1" },
	{ "\"video_height\":0", "\"video_height\":16385" },
	{ ",\"is_audio_copied\":false", "" },
	{ "\"width\":1920", "\"width\":16385" },
	{ "\"width\":1920", "\"width\":0" },
	{ "\"rate_den\":1001", "\"rate_den\":0" },
	{ "\"encode\":{\"width\":1920", "\"encode\":{\"width\":1921" },
	{ "\"rotation\":90", "\"rotation\":45" },
	{ "\"sar_num\":4", "\"sar_num\":0" },
	{ "\"rate_num\":25", "\"rate_num\":0" },
	{ "\"lead_ticks\":7200", "\"lead_ticks\":-1" },
	{ "\"video_encoder\":\"libx264\"", "\"video_encoder\":\"\"" },
	{ "\"video_encoder\":\"libx264\"", "\"video_encoder\":\"h264-nvenc\"" },
	{ "\"video_encoder\":\"libx264\"", "\"video_encoder\":\"abcdefghijklmnopqrstuvwxyz_01234\"" },
	{ "\"encoder\":\"h264_nvenc\"", "\"encoder\":\"libx264\"" },
	{ "\"encoder\":\"h264_nvenc\"", "\"encoder\":\"\"" },
	{ "\"sets\":\"0123", "\"sets\":\"0x23" },
	{ "\"sets\":\"0123456789abcdef\"", "\"sets\":\"\"" },
	{ "\"software_id\":1", "\"software_id\":32" },
	{ "\"bitrate\":3000000", "\"bitrate\":-1" },
	{ "\"range\":\"SDR\"", "\"range\":\"XXX\"" },
	{ "avc1.640028", "avc1\\n#EXT" },
	{ "avc1.640028", "" },
	{ "dvh1.08.06/db1p", "dvh1.08.06/db1p\\\"" },
	{ "avc1.640028", "avc1.64002800000000000000000000000" },
	{ "\"is_copy\":false", "\"is_copy\":0" },
	{ "\"is_copy\":false,\"track\":2,\"codecs\":\"mp4a.40.2\",\"rate\":48000",
	  "\"is_copy\":true,\"track\":2,\"codecs\":\"mp4a.40.2\",\"rate\":44100" },
	{ "\"unit\":1024", "\"unit\":0" },
	{ "\"source_end\":960000", "\"source_end\":-257" },
	{ "\"delay\":312", "\"delay\":-1" },
	{ "\"delay\":312", "\"delay\":65536" },
	{ "[539000,541000", "[539001,540999" },
	{ "[539000,541000", "[539000,0" },
	{ "180000,500,0,280,562", "180001,500,0,280,562" },
	{ "180000,500,0,280,562", "180000,500,0,281,562" },
	{ "180000,500,0,280,562", "180000,500,0,280,279" },
	{ "180000,500,0,280,562", "180000,500,0,280" },
	{ "180000,500,0,280,562", "180000,500,0,280,562,1" },
	{ "562,938]", "562,937]" },
	{ "null,90000,null", "999999,90000,null" },
	{ "[0,539000,500,520,90030,500,0,0,280]", "null" },
	{ "\"video\":{", "\"video\":[],\"x\":{" },
	{ "]]}", "]]" },
	{ "]]}", "]]}}" },
};

START_TEST(broken_plan_is_refused_with_a_sentence)
{
	struct plan in = sample_plan(), out;
	struct buf json = { 0 };
	struct err err = { 0 };
	plan_put(&in, &json);
	char *bad = replaced(&json, bad_plans[_i][0], bad_plans[_i][1]);
	ck_assert_msg(plan_get(text(bad), &out, &err) == ERR_DATA, "accepted: %s", bad_plans[_i][1]);
	ck_assert_uint_gt(strlen(err.msg), 10);
	ck_assert_ptr_null(out.segments);
	ck_assert_int_eq(plan_get(text(bad), &out, NULL), ERR_DATA);
	free(bad);
	buf_finish(&json);
}
END_TEST

static const char *const bad_indexes[][2] = {
	{ "[539000,540000", "[541000,540000" },
	{ "[539000,540000", "[0,540000" },
	{ "[1080000,1080000,90000,180000", "[1080000,1080000,90000,90030" },
	{ "[1080000,1080000,90000,180000", "[1080000,1080000,89999,180000" },
	{ "287232,0]", "287232,2]" },
	{ "287232,0]", "287232,false]" },
	{ "\"first_place\":500", "\"first_place\":-1" },
	{ "\"syncs\":[", "\"syncs\":[7," },
	{ "\"shifts\":[", "\"shifts\":[7," },
	{ "[1,90030,-77]", "[0,90030,-77]" },
	{ "[1,90030,-77]", "[1,-1,-77]" },
	{ "[1,90030,-77]", "[1,90030,-7200000000000001]" },
	{ "[1,90030,-77]", "[1,90030]" },
	{ "[0,0,500,520", "[-1,0,500,520" },
};

START_TEST(broken_index_is_refused)
{
	struct index in = sample_index(), out;
	struct buf json = { 0 };
	struct err err = { 0 };
	index_put(&in, &json);
	char *bad = replaced(&json, bad_indexes[_i][0], bad_indexes[_i][1]);
	ck_assert_msg(index_get(text(bad), &out, &err) == ERR_DATA, "accepted: %s", bad_indexes[_i][1]);
	ck_assert_ptr_null(out.syncs);
	free(bad);
	buf_finish(&json);
}
END_TEST

/* Of titles with audio as renditions of its own: what is replaced in the plan, or, after "index", in the index. */
static const char *const bad_tracks[][3] = {
	{ "plan", "\"name\":\"de\"", "\"name\":\"\"" },
	{ "plan", "\"name\":\"de\"", "\"name\":\"d\\ne\"" },
	{ "plan", "\"name\":\"de\"", "\"name\":\"d\\\"e\"" },
	{ "plan", "\"name\":\"de\"", "\"name\":\"\\u0001\"" },
	{ "plan", "\"language\":\"de\"", "\"language\":\"de\\\"\"" },
	{ "plan", "\"language\":\"de\"", "\"language\":\"abcdefghijklmnopqrstuvwxyz-0123456789\"" },
	{ "plan", "\"default\":false", "\"default\":0" },
	{ "plan", "\"text\":null", "\"text\":{\"track\":4}" },
	{ "plan", "\"text\":{\"track\":3}", "\"text\":null" },
	{ "plan", "\"text\":{\"track\":3}", "\"text\":{\"track\":-1}" },
	{ "plan", "\"text\":{\"track\":3}", "\"text\":{\"track\":3,\"more\":1}" },
	{ "plan", "[539000,541000,0,0,0,500,0,280,562]", "[539000,541000,0,1,0,500,0,280,562]" },
	{ "plan", "[539000,541000,0,0,0,500,0,280,562]", "[539000,541000,0,0,0,500,0,281,562]" },
	{ "plan", "[539000,541000,0,0,0,500,0,280,562],", "" },
	{ "plan", "[0,539000,0,0,0,500,0,0,280],[539000,541000,0,0,0,500,0,280,562]", "[0,539001,0,0,0,500,0,0,280],[539001,540999,0,0,0,500,0,280,562]" },
	{ "plan", "\"tracks\":[{", "\"tracks\":[{\"x\":1," },
	{ "plan", "\"tracks\":[{", "\"tracks\":[7,{" },
	{ "plan", "\"frames\":938", "\"frames\":5000000000000" },
	{ "plan", "\"base\":0", "\"base\":-5000000000000" },
	{ "index", "\"positions\":[0,287232,null]", "\"positions\":[0,287232]" },
	{ "index", "\"positions\":[0,287232,null]", "\"positions\":[0,287232,null,0]" },
	{ "index", "\"positions\":[0,287232,null]", "\"positions\":[0,287232,\"0\"]" },
	{ "index", "\"positions\":[0,287232,null]", "\"positions\":[0,9000000000000000000,null]" },
	{ "index", "\"positions\":[0,0,1079000]", "\"positions\":[0,0]" },
	{ "index", "\"positions\":[0,0,1079000]", "\"positions\":[0,0,-1]" },
	{ "index", "\"positions\":[0,0,1079000]", "\"positions\":[0,539001,1079000]" },
	{ "index", "\"positions\":[0,0,1079000]", "\"positions\":[0,0,null]" },
	{ "index", "\"audio\":null", "\"audio\":{\"is_copy\":false,\"track\":2,\"codecs\":\"mp4a.40.2\",\"rate\":48000,\"channels\":2,\"unit\":1024,"
	  "\"base\":0,\"frames\":1,\"source_rate\":48000,\"source_unit\":1536,\"source_base\":0,\"source_end\":9,\"lead\":0,\"delay\":0}" },
};

START_TEST(broken_track_is_refused)
{
	struct index index = separate_index(), index_out;
	struct plan plan = separate_plan(), plan_out;
	struct buf json = { 0 };
	struct err err = { 0 };
	bool is_plan = !strcmp(bad_tracks[_i][0], "plan");
	ck_assert_int_eq(is_plan ? plan_put(&plan, &json) : index_put(&index, &json), 0);
	ck_assert_int_eq(is_plan ? plan_get(buf_bytes(&json), &plan_out, &err) : index_get(buf_bytes(&json), &index_out, &err), 0);
	if (is_plan)
		plan_finish(&plan_out);
	else
		index_finish(&index_out);
	char *bad = replaced(&json, bad_tracks[_i][1], bad_tracks[_i][2]);
	ck_assert_msg((is_plan ? plan_get(text(bad), &plan_out, &err) : index_get(text(bad), &index_out, &err)) == ERR_DATA,
		      "accepted: %s", bad_tracks[_i][2]);
	ck_assert_ptr_null(is_plan ? plan_out.tracks : index_out.tracks);
	free(bad);
	buf_finish(&json);
}
END_TEST

/* Subtitles alone. */
START_TEST(plan_of_nothing_that_is_seen_or_heard_is_refused)
{
	struct plan in = sounds_plan(), out;
	struct buf json = { 0 };
	struct err err = { 0 };
	in.tracks += 2;
	in.n_tracks = 1;
	ck_assert_int_eq(plan_put(&in, &json), 0);
	ck_assert_int_eq(plan_get(buf_bytes(&json), &out, &err), ERR_DATA);
	ck_assert_ptr_null(out.tracks);
	buf_finish(&json);
}
END_TEST

START_TEST(more_tracks_of_a_kind_than_there_may_be_are_refused)
{
	struct record_track tracks[RECORD_AUDIOS_MAX + RECORD_TEXTS_MAX + 1] = { 0 };
	int n = RECORD_AUDIOS_MAX + RECORD_TEXTS_MAX;
	for (int i = RECORD_AUDIOS_MAX; i <= n; i++)
		tracks[i].text.is_present = true;
	ck_assert_int_eq(record_name_tracks(tracks, n), 0);
	ck_assert_str_eq(tracks[RECORD_AUDIOS_MAX - 1].rendition, "audio-32");
	ck_assert_str_eq(tracks[n - 1].rendition, "text-64");
	ck_assert_int_eq(record_name_tracks(tracks, n + 1), ERR_DATA);
	tracks[RECORD_AUDIOS_MAX].text.is_present = false;
	ck_assert_int_eq(record_name_tracks(tracks, n), ERR_DATA);
	ck_assert_int_eq(record_name_tracks(tracks + n - 1, 1), 0);
	tracks[0].text.is_present = true; /* before audio */
	ck_assert_int_eq(record_name_tracks(tracks, 2), ERR_DATA);
}
END_TEST

START_TEST(jobs_of_a_title_are_those_of_all_its_renditions)
{
	struct plan plan = separate_plan();
	struct job job = { 0 };
	ck_assert_uint_eq(plan_count(&plan), 12);
	job_set_segment(&job, &plan, 1);
	ck_assert(job.video.is_present && !job.audio.is_present && !job.text.is_present);
	ck_assert_str_eq(job.rendition, "video");
	job_set_segment(&job, &plan, 7);
	ck_assert(!job.video.is_present && job.audio.is_present && !job.text.is_present);
	ck_assert_str_eq(job.rendition, "audio-2");
	ck_assert(job.number == 1 && job.segment.start == 539000 && job.segment.audio_first == 280);
	job_set_segment(&job, &plan, 11);
	ck_assert(!job.video.is_present && !job.audio.is_present && job.text.is_present && job.text.track == 3);
	ck_assert_int_eq(plan_find_segment(&plan, "audio-2", 539000, 541000), 7);
	ck_assert_int_eq(plan_find_segment(&plan, "audio-2", 539000, 541001), -1);
	ck_assert_int_eq(plan_find_segment(&plan, "audio-3", 539000, 541000), -1);
	ck_assert_int_eq(plan_find_rendition(&plan, "main"), -1);
	ck_assert_uint_eq(plan_default_audio(&plan), 6);
	ck_assert_uint_eq(plan_default(&plan), 0);
}
END_TEST

START_TEST(title_without_video_is_its_audio_tracks)
{
	struct plan plan = sounds_plan();
	struct job job = { 0 };
	ck_assert_uint_eq(plan_renditions(&plan), 3);
	ck_assert_uint_eq(plan_count(&plan), 9);
	for (size_t i = 0; i < 9; i++) {
		job_set_segment(&job, &plan, i);
		ck_assert_str_eq(job.rendition, plan.tracks[i / 3].rendition);
		ck_assert(!job.video.is_present && job.audio.is_present == (i < 6) && job.text.is_present == (i >= 6));
		ck_assert(job.number == (int64_t)i % 3 && job.segment.start == segments[i % 3].start);
		ck_assert_int_eq(plan_find_segment(&plan, job.rendition, job.segment.start, job.segment.duration), (int64_t)i);
	}
	ck_assert_int_eq(plan_find_rendition(&plan, "main"), -1);
	ck_assert_int_eq(plan_find_rendition(&plan, "video"), -1);
	ck_assert_uint_eq(plan_default_audio(&plan), 3);
	ck_assert_uint_eq(plan_default(&plan), 3);
}
END_TEST

/* Of 1000 samples each, at 48 kHz and 44.1 kHz. */
START_TEST(audio_is_stretched_by_whole_frames)
{
	static const struct {
		int64_t base, frames, start, end, want_base, want_frames;
	} all[] = {
		{ 0, 90, 0, 90000 * 90 / 48, 0, 90 },
		{ 0, 90, 0, 90000 * 90 / 48 + 2, 0, 91 },
		{ 0, 90, 90000, 90000, 0, 90 },
		{ 2500, 10, 0, 0, 500, 12 },
		{ -300, 10, 0, 90000, -300, 49 },
	};
	struct record_track tracks[2] = { { .audio = { .is_present = true, .rate = 48000, .unit = 1000, .base = 4800, .frames = 48 } },
					  { .audio = { .is_present = true, .rate = 44100, .unit = 1000, .base = 441, .frames = 44 } } };
	int64_t start, end;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct record_audio a = { .is_present = true, .rate = 48000, .unit = 1000, .base = all[i].base, .frames = all[i].frames };
		record_audio_stretch(&a, all[i].start, all[i].end);
		ck_assert_msg(a.base == all[i].want_base && a.frames == all[i].want_frames, "%zu: %lld, %lld", i, (long long)a.base, (long long)a.frames);
	}
	record_audio_span(tracks, 2, &start, &end);
	ck_assert(start == 900 && end == 99000);
	tracks[1].audio.base = -441;
	record_audio_span(tracks, 2, &start, &end);
	ck_assert_int_eq(start, 0);
}
END_TEST

static const char *const bad_jobs[][2] = {
	{ "\"id\":9", "\"id\":0" },
	{ "\"type\":\"segment\"", "\"type\":\"Segment\"" },
	{ "\"type\":\"segment\"", "\"type\":\"probe\"" },
	{ "\"type\":\"segment\"", "\"type\":\"noop\"" },
	{ "\"stream\":\"0", "\"stream\":\"}" },
	{ "\"path\":\"/srv", "\"path\":\"srv" },
	{ "\"path\":\"/srv", "\"path\":\"/s\\u0000rv" },
	{ "\"path\":\"/srv/Ein", "\"path_hex\":\"2f00\",\"x\":\"" },
	{ "\"deadline_ms\":60000", "\"deadline_ms\":0" },
	{ "\"rendition\":\"main\"", "\"rendition\":\"../x\"" },
	{ "\"rendition\":\"main\"", "\"rendition\":\"\"" },
	{ "\"number\":1", "\"number\":1000000" },
	{ "280,562]", "280,939]" },
	{ "\"segment\":[539000", "\"segment\":[-1" },
};

START_TEST(broken_job_is_refused)
{
	struct job in = sample_job(), out;
	struct buf json = { 0 };
	struct err err = { 0 };
	job_put(&in, &json);
	char *bad = replaced(&json, bad_jobs[_i][0], bad_jobs[_i][1]);
	ck_assert_msg(job_get(text(bad), &out, &err) == ERR_DATA, "accepted: %s", bad_jobs[_i][1]);
	free(bad);
	buf_finish(&json);
}
END_TEST

START_TEST(record_cut_at_any_byte_is_refused)
{
	struct plan in = sample_plan(), out;
	struct buf json = { 0 };
	plan_put(&in, &json);
	for (size_t n = 0; n < json.size; n++)
		ck_assert_int_eq(plan_get((struct bytes){ json.data, n }, &out, NULL), ERR_DATA);
	buf_finish(&json);
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite_record(void)
{
	Suite *s = suite_create("common/record");
	TCase *t = tcase_create("record");
	tcase_add_loop_test(t, index_comes_back_as_it_was, 0, 3);
	tcase_add_loop_test(t, plan_comes_back_as_it_was, 0, 3);
	tcase_add_test(t, plan_of_nothing_that_is_seen_or_heard_is_refused);
	tcase_add_test(t, title_without_video_is_its_audio_tracks);
	tcase_add_test(t, audio_is_stretched_by_whole_frames);
	tcase_add_test(t, segment_job_says_what_the_plan_says_of_it);
	tcase_add_test(t, job_comes_back_as_it_was);
	tcase_add_test(t, path_of_any_bytes_comes_back_as_it_was);
	tcase_add_test(t, title_without_video_or_audio_is_a_title);
	tcase_add_loop_test(t, broken_plan_is_refused_with_a_sentence, 0, N(bad_plans));
	tcase_add_loop_test(t, broken_index_is_refused, 0, N(bad_indexes));
	tcase_add_loop_test(t, broken_job_is_refused, 0, N(bad_jobs));
	tcase_add_loop_test(t, broken_track_is_refused, 0, N(bad_tracks));
	tcase_add_test(t, more_tracks_of_a_kind_than_there_may_be_are_refused);
	tcase_add_test(t, jobs_of_a_title_are_those_of_all_its_renditions);
	tcase_add_test(t, record_cut_at_any_byte_is_refused);
	suite_add_tcase(s, t);
	return s;
}
