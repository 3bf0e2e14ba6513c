/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Our demuxer beside libavformat's: the same packets, or a difference that is known, explained, and ours to keep. One line a
 * file goes to stderr.
 */
#include "tests/e2e/craft.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_rewrite.h"
#include "tests/worker/mkv_build.h"
#include "tests/worker/packets.h"
#include "worker/mkv_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(a) (sizeof(a) / sizeof *(a))
#define MS INT64_C(1000000)
#define MIB ((size_t)1 << 20)

/* ---- what may differ, in any file */

static const char *const reasons[PACKETS_TIME] = {
	[PACKETS_LACE_KEY] = "RFC 9559 sections 10.2, 10.4: the flag says of all frames of the Block that they are key frames",
	[PACKETS_LACE_TIME] = "RFC 9559 section 10.3.5: frames of a lace are contiguous; the Block's time is the last that is written",
	[PACKETS_LACE_STEP] = "RFC 9559 section 5.1.4.1.13: DefaultDuration is in nanoseconds; it is not cut to TimestampScale",
	[PACKETS_DELAY] = "RFC 9559 section 5.1.4.1.25: CodecDelay is in nanoseconds; it is not rounded to TimestampScale",
	[PACKETS_NEGATIVE] = "RFC 9559 section 11.2: a block's timestamp is signed, and so is the sum",
	[PACKETS_SUBTITLE] = "RFC 9559 section 10.4: a Block without ReferenceBlock depends on no other, shown together or not",
};

/* ---- and in one */

struct known {
	const char *file;
	enum packets_difference difference;
	size_t count;
	const char *why;
};

static const struct known known[] = {
	{ "libwebm__chapters_truncated_chapter_string_2.mkv", PACKETS_TRACKS, 1,
	  "RFC 9559 section 5.1.4.1.1: track numbers are unique; libavformat reads Tracks twice and has each track twice" },
	{ "libwebm__invalid_vp9_bitstream-bug_1417.webm", PACKETS_OPEN, 1,
	  "RFC 9559 section 4: DocType is matroska or webm; here it is \"0000\"" },
	{ "libwebm__invalid_vp9_bitstream-bug_1417.webm", PACKETS_TRACKS, 1, "see above" },
	{ "libwebm__invalid_vp9_bitstream-bug_1417.webm", PACKETS_ONLY_LIBAV, 3, "see above" },
	{ "nestegg__bug1200148.webm", PACKETS_OPEN, 1,
	  "RFC 9559 section 5.1: Info and Tracks can be read, and no Cluster is there; libavformat wants one to open a file" },
	{ "nestegg__bug1200148.webm", PACKETS_TRACKS, 1, "see above" },
	{ "made: TrackOffset", PACKETS_TIME, 489, "RFC 9559 appendix A, TrackOffset: nanoseconds to add; libavformat passes it over" },
};

static size_t known_count(const char *name, enum packets_difference d)
{
	for (size_t i = 0; i < N_OF(known); i++)
		if (known[i].difference == d && !strcmp(known[i].file, name))
			return known[i].count;
	return 0;
}

static int failures;

static void say_differences(const char *name, const struct packets_report *r)
{
	int n = 0, n_bad = 0;

	for (int d = 0; d < PACKETS_DIFFERENCES; d++) {
		if (!r->count[d] && !known_count(name, d))
			continue;
		bool is_bad = d >= PACKETS_TIME && r->count[d] != known_count(name, d);
		fprintf(stderr, "%s%s %zu%s", n++ ? ", " : "explained: ", packets_difference_name(d), r->count[d],
			is_bad ? " UNEXPLAINED" : "");
		n_bad += is_bad;
	}
	fprintf(stderr, "%s\n", n ? "" : "the same");
	for (int d = PACKETS_TIME; d < PACKETS_DIFFERENCES && n_bad; d++)
		if (r->count[d])
			fprintf(stderr, "    %s: %s\n", packets_difference_name(d), r->first[d]);
	failures += n_bad > 0;
}

/* From a pipe the same, unless Tracks come too late. */
static void compare_piped(const char *name, struct bytes file, const struct packets *ours)
{
	struct packets piped;

	packets_piped(&piped, file);
	size_t same = packets_same(&piped, ours);
	if ((same != piped.n || same != ours->n) && !(piped.err.code == ERR_DATA && strstr(name, "Tracks too"))) {
		fprintf(stderr, "    NOT THE SAME FROM A PIPE: %zu packets, %zu the same, then one at %lld, not %lld %s\n", piped.n, same,
			same < piped.n ? (long long)piped.list[same].start : -1, same < ours->n ? (long long)ours->list[same].start : -1,
			piped.err.code ? piped.err.msg : "");
		failures++;
	}
	packets_finish(&piped);
}

/* ours: NULL, or what is to be finished by the caller. */
static void compare(const char *name, struct bytes file, struct packets *ours)
{
	struct packets libav, own;
	struct packets_report r;

	ours = ours ? ours : &own;
	packets_ours(ours, file);
	packets_libav(&libav, file);
	packets_compare(ours, &libav, &r);
	fprintf(stderr, "packets: %-48s %2d tracks %5zu packets %6lld bytes lost; ", name, ours->n_tracks, ours->n,
		(long long)ours->damaged);
	say_differences(name, &r);
	compare_piped(name, file, ours);
	packets_finish(&libav);
	if (ours == &own)
		packets_finish(&own);
}

static void compare_file(const char *name, const char *path)
{
	struct buf file;

	craft_load(&file, path);
	compare(name, buf_bytes(&file), NULL);
	buf_finish(&file);
}

static void setup(void)
{
	failures = 0;
}

/* ---- real files */

static bool is_matroska(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (!strcmp(dot, ".mkv") || !strcmp(dot, ".webm") || !strcmp(dot, ".mka"));
}

START_TEST(every_real_file_has_the_packets_that_libavformat_finds)
{
	const char *dir = media_real_dir();
	struct dirent **entries;
	int n, n_files = 0;

	if (!dir) {
		fprintf(stderr, "packets: skipped, there is no directory of real media\n");
		return;
	}
	for (int d = 0; d < PACKETS_TIME; d++)
		fprintf(stderr, "packets: %s: %s\n", packets_difference_name(d), reasons[d]);
	n = scandir(dir, &entries, NULL, alphasort);
	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		char path[4400];

		snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
		if (is_matroska(path) && ++n_files)
			compare_file(entries[i]->d_name, path);
		free(entries[i]);
	}
	free(entries);
	ck_assert_int_gt(n_files, 0);
	ck_assert_msg(!failures, "%d files differ", failures);
}
END_TEST

/* ---- files of the two muxers */

#define SHORT_PICTURE "-f lavfi -i testsrc2=s=160x90:r=24 "
#define SHORT_SOUND "-f lavfi -i sine=440:r=48000 "
#define VP9 "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 "
#define BASE PACKETS_BASE

static const struct {
	const char *name, *recipe;
} muxed[] = {
	{ "ffmpeg_no_crc.mkv", FFMPEG "-i " BASE " -map 0 -c copy -write_crc32 0 " OUT },
	{ "ffmpeg_cues_to_front.mkv", FFMPEG "-i " BASE " -map 0 -c copy -cues_to_front 1 " OUT },
	{ "ffmpeg_cues_reserved.mkv", FFMPEG "-i " BASE " -map 0 -c copy -reserve_index_space 5000 " OUT },
	{ "ffmpeg_short_clusters.mkv", FFMPEG "-i " BASE " -map 0 -c copy -cluster_time_limit 50 " OUT },
	{ "ffmpeg_live.mkv", FFMPEG "-i " BASE " -map 0 -c copy -live 1 " OUT },
	{ "ffmpeg_piped.mkv", FFMPEG "-i " BASE " -map 0 -c copy -f matroska - | cat > " OUT },
	{ "ffmpeg_late_start.mkv", FFMPEG "-i " BASE " -map 0 -c copy -output_ts_offset 3600 " OUT },
	{ "ffmpeg_negative_start.mkv", FFMPEG "-i " BASE " -map 0 -c copy -avoid_negative_ts disabled -output_ts_offset -0.3 " OUT },
	{ "ffmpeg_attachment.mkv", "head -c 300000 /dev/zero > $M/packets.ttf && " FFMPEG "-i " BASE " -map 0 -c copy "
	  "-attach $M/packets.ttf -metadata:s:3 mimetype=application/x-truetype-font " OUT },
	{ "ffmpeg_vp9_opus.webm", FFMPEG SHORT_PICTURE SHORT_SOUND "-t 2 " VP9 "-c:a libopus " OUT },
	{ "ffmpeg_vp8_vorbis.webm", FFMPEG SHORT_PICTURE SHORT_SOUND "-t 2 -c:v libvpx -deadline realtime -c:a libvorbis " OUT },
	{ "ffmpeg_vp9_alpha.webm", FFMPEG SHORT_PICTURE "-t 1 -pix_fmt yuva420p " VP9 OUT },
	{ "ffmpeg_dash.webm", FFMPEG SHORT_PICTURE "-t 2 " VP9 "-dash 1 " OUT },
	{ "ffmpeg_hevc_eac3.mkv", FFMPEG SHORT_PICTURE SHORT_SOUND "-t 2 -c:v libx265 -preset ultrafast -x265-params log-level=error "
	  "-c:a eac3 " OUT },
	{ "ffmpeg_flac_mp3_aac_dts.mkv", FFMPEG SHORT_SOUND "-t 2 -map 0 -map 0 -map 0 -map 0 -c:a:0 flac -c:a:1 libmp3lame "
	  "-c:a:2 aac -c:a:3 dca -strict -2 " OUT },
	{ "ffmpeg_subtitles.mkv", "printf '1\\n00:00:00,500 --> 00:00:03,000\\none\\n\\n2\\n00:00:02,000 --> 00:00:04,000\\ntwo\\n' "
	  "> $M/packets.srt && " FFMPEG "-i " BASE " -i $M/packets.srt -map 0 -map 1 -c copy -c:s srt " OUT },
	{ "mkvmerge_plain.mkv", MKVMERGE BASE },
	{ "mkvmerge_no_simpleblocks.mkv", MKVMERGE "--engage no_simpleblocks " BASE },
	{ "mkvmerge_zlib.mkv", MKVMERGE "--compression 0:zlib --compression 1:zlib --compression 2:zlib " BASE },
	{ "mkvmerge_no_lacing.mkv", MKVMERGE "--disable-lacing " BASE },
	{ "mkvmerge_lace_durations.mkv", MKVMERGE "--enable-durations " BASE },
	{ "mkvmerge_no_cues.mkv", MKVMERGE "--no-cues " BASE },
	{ "mkvmerge_all_cues.mkv", MKVMERGE "--cues 0:all --cues 1:all --cues 2:all " BASE },
	{ "mkvmerge_meta_seek.mkv", MKVMERGE "--clusters-in-meta-seek " BASE },
	{ "mkvmerge_scale_100us.mkv", MKVMERGE "--timestamp-scale 100000 " BASE },
	{ "mkvmerge_scale_1us.mkv", MKVMERGE "--timestamp-scale 1000 " BASE },
	{ "mkvmerge_scale_sample.mka", MKVMERGE "--timestamp-scale -1 -D " BASE },
	{ "mkvmerge_short_clusters.mkv", MKVMERGE "--cluster-length 100ms " BASE },
	{ "mkvmerge_one_block_clusters.mkv", MKVMERGE "--cluster-length 1 " BASE },
	{ "mkvmerge_sound_late.mkv", MKVMERGE "--sync 1:500 --sync 2:-700 " BASE },
	{ "mkvmerge_headers_twice.mkv", MKVMERGE "--engage write_headers_twice " BASE },
	{ "mkvmerge_flags.mkv", MKVMERGE "--default-track-flag 1:0 --default-track-flag 2:1 --language 1:de --language 2:pt-BR "
	  "--track-name 1:one " BASE " " BASE " || test $? = 1" }, /* 1: warnings, of equal UIDs */
	{ "mkvmerge_attachment_64k.mkv", "head -c 65536 /dev/zero > $M/packets64k.ttf && " MKVMERGE
	  "--attachment-mime-type font/ttf --attach-file $M/packets64k.ttf " BASE },
	{ "mkvmerge_attachment_20m.mkv", "head -c 20971520 /dev/zero > $M/packets20m.ttf && " MKVMERGE
	  "--attachment-mime-type font/ttf --attach-file $M/packets20m.ttf " BASE "; s=$?; rm $M/packets20m.ttf; exit $s" },
	{ "mkvmerge_webm.webm", MKVMERGE "--webm \"$M/packets_ffmpeg_vp9_opus.webm\"" },
	{ "mkvmerge_vfw.mkv", FFMPEG "-i " BASE " -map 0:v -c copy -bsf:v h264_mp4toannexb $M/packets_vfw.avi && " MKVMERGE
	  "--engage allow_avc_in_vfw_mode $M/packets_vfw.avi" },
};

START_TEST(every_file_of_the_muxers_has_the_packets_that_libavformat_finds)
{
	packets_base();
	for (size_t i = 0; i < N_OF(muxed); i++) {
		char name[100];

		snprintf(name, sizeof name, "packets_%s", muxed[i].name);
		compare_file(muxed[i].name, media_make(name, muxed[i].recipe));
	}
	ck_assert_msg(!failures, "%d files differ", failures);
}
END_TEST

/* ---- files in other shapes */

static bool drop_durations(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	(void)out;
	(void)value;
	return type == MKV_AUDIO_TRACK && id == 0x23E383;
}

static void put_duration(struct buf *out, uint64_t type)
{
	if (type == MKV_AUDIO_TRACK)
		mkv_put_uint(out, 0x23E383, 32 * MS);
}

static void put_delay(struct buf *out, uint64_t type)
{
	if (type == MKV_AUDIO_TRACK) {
		mkv_put_uint(out, 0x56AA, 5333333);
		mkv_put_uint(out, 0x56BB, 80000000);
	}
}

static bool drop_delay(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	(void)out;
	(void)value;
	return type == MKV_AUDIO_TRACK && (id == 0x56AA || id == 0x56BB || id == 0x23E383);
}

static bool put_vfw(struct buf *out, uint64_t type, uint32_t id, struct bytes value)
{
	struct buf head = { 0 };

	if (type != MKV_VIDEO_TRACK || (id != 0x86 && id != 0x63A2))
		return false;
	if (id == 0x86) {
		mkv_put_string(out, id, "V_MS/VFW/FOURCC");
		return true;
	}
	buf_put_u32(&head, __builtin_bswap32((uint32_t)(40 + value.size)));
	buf_put_u32(&head, __builtin_bswap32(160));
	buf_put_u32(&head, __builtin_bswap32(90));
	buf_put_u32(&head, 0x01001800);
	buf_put_str(&head, "H264");
	buf_put_zero(&head, 20);
	buf_put(&head, value.data, value.size);
	mkv_put_binary(out, id, head.data, head.size);
	buf_finish(&head);
	return true;
}

static void put_offset(struct buf *out, uint64_t type)
{
	if (type == MKV_AUDIO_TRACK)
		mkv_put_uint(out, 0x537F, (uint64_t)(-250 * MS));
}

/* Half: a time that is d behind its Cluster's is then d / 2 behind. */
static void put_scale(struct buf *out, uint64_t type)
{
	if (type == MKV_AUDIO_TRACK)
		mkv_put_float(out, 0x23314F, 0.5);
}

static const struct shape {
	const char *name;
	struct rewrite how;
	int64_t sound_late_ns; /* expected; the plain file's Opus has a CodecDelay of 6.5 ms */
	bool has_other_times;  /* which only libavformat is asked for */
} shapes[] = {
	{ "plain", { 0 } },
	{ "webm", { .doc_type = "webm" } },
	{ "unknown segment", { .has_unknown_segment = true } },
	{ "unknown clusters", { .has_unknown_clusters = true } },
	{ "unknown segment and clusters, no SeekHead, no Cues",
	  { .has_unknown_segment = true, .has_unknown_clusters = true, .seek = REWRITE_SEEK_NONE, .cues = REWRITE_CUES_NONE } },
	{ "unknown clusters, padding", { .has_unknown_clusters = true, .padding = 30 } },
	{ "CRC-32", { .crc = REWRITE_CRC_RIGHT } },
	{ "CRC-32, padding", { .crc = REWRITE_CRC_RIGHT, .padding = 7 } },
	{ "padding", { .padding = 1000 } },
	{ "header stripping", { .packing = REWRITE_PACKING_STRIP } },
	{ "header stripping, EBML lacing", { .packing = REWRITE_PACKING_STRIP, .lacing = REWRITE_LACING_EBML, .lace = 6 } },
	{ "zlib", { .packing = REWRITE_PACKING_ZLIB } },
	{ "zlib, EBML lacing", { .packing = REWRITE_PACKING_ZLIB, .lacing = REWRITE_LACING_EBML, .lace = 8 } },
	{ "Xiph lacing", { .lacing = REWRITE_LACING_XIPH, .lace = 8 } },
	{ "EBML lacing", { .lacing = REWRITE_LACING_EBML, .lace = 8 } },
	{ "fixed lacing", { .lacing = REWRITE_LACING_FIXED, .lace = 8 } },
	{ "Xiph lacing of 256", { .lacing = REWRITE_LACING_XIPH, .lace = 256 } },
	{ "Xiph lacing, no durations", { .lacing = REWRITE_LACING_XIPH, .lace = 5, .put_child = drop_durations } },
	{ "EBML lacing, DefaultDuration", { .lacing = REWRITE_LACING_EBML, .lace = 5, .put_child = drop_durations,
					    .put_track = put_duration } },
	{ "EBML lacing, BlockDuration", { .lacing = REWRITE_LACING_EBML, .lace = 5, .has_groups = true, .has_durations = true,
					  .put_child = drop_durations } },
	{ "BlockGroups", { .has_groups = true } },
	{ "BlockGroups, durations", { .has_groups = true, .has_durations = true } },
	{ "BlockGroups, additions, padding", { .has_groups = true, .has_additions = true, .padding = 3 } },
	{ "DiscardPadding", { .has_groups = true, .discard_ns = 5 * MS } },
	{ "CodecDelay, SeekPreRoll", { .put_child = drop_delay, .put_track = put_delay }, .has_other_times = true },
	{ "TrackOffset", { .put_track = put_offset }, .sound_late_ns = -250 * MS },
	{ "TrackTimestampScale", { .put_track = put_scale }, .has_other_times = true },
	{ "SeekHead at the end", { .seek = REWRITE_SEEK_END } },
	{ "SeekHead at the end, Info and Tracks too", { .seek = REWRITE_SEEK_TWO, .has_far_tracks = true } },
	{ "two SeekHeads", { .seek = REWRITE_SEEK_TWO } },
	{ "no SeekHead", { .seek = REWRITE_SEEK_NONE } },
	{ "Cues in front", { .cues = REWRITE_CUES_FRONT } },
	{ "no Cues", { .cues = REWRITE_CUES_NONE } },
	{ "Cues in wrong order", { .cues = REWRITE_CUES_REVERSED } },
	{ "scale 100 us", { .scale_ns = 100000 } },
	{ "scale 1 us", { .scale_ns = 1000 } },
	{ "scale 1001 ns", { .scale_ns = 1001 } },
	{ "scale 20832 ns", { .scale_ns = 20832, .lacing = REWRITE_LACING_FIXED, .lace = 4 } },
	{ "negative block times", { .has_late_clusters = true } },
	{ "late start", { .shift_ns = 7200 * 1000 * MS } },
	{ "negative start", { .shift_ns = -500 * MS } },
	{ "attachment of 64 KiB", { .attachment = 65536 } },
	{ "attachment of 20 MiB", { .attachment = 20 * MIB } },
	{ "attachment of 20 MiB, no SeekHead", { .attachment = 20 * MIB, .seek = REWRITE_SEEK_NONE } },
	{ "V_MS/VFW/FOURCC", { .put_child = put_vfw } },
};

/* The packets of a track, in their order, are those of the plain file: times rounded to the scale and shifted. */
static void check_track(const struct shape *shape, const struct packets *base, const struct packets *ours, int track)
{
	int64_t scale = shape->how.scale_ns ? shape->how.scale_ns : MS;
	int64_t late = shape->how.shift_ns + (base->tracks[track].type == TRACK_AUDIO ? shape->sound_late_ns : 0);
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < base->n && base->list[i].track != track)
			i++;
		while (k < ours->n && ours->list[k].track != track)
			k++;
		if (i == base->n || k == ours->n)
			break;
		const struct packet *a = &base->list[i], *b = &ours->list[k];
		ck_assert_msg(a->hash == b->hash && a->size == b->size && a->is_key == b->is_key, "%s: track %d: the packet at %lld",
			      shape->name, track, (long long)b->start);
		if (!shape->has_other_times && !b->lace)
			ck_assert_msg(llabs(b->time_ns - a->time_ns - late) <= scale / 2, "%s: track %d: time of the packet at %lld",
				      shape->name, track, (long long)b->start);
	}
	ck_assert_msg(i == base->n && k == ours->n, "%s: track %d: one has more", shape->name, track);
}

/* One for every key frame of the video: it is in the Cluster that the cue says, at the time that it says. */
static void check_cues(const struct shape *shape, struct bytes file, const struct packets *ours)
{
	struct mkv *mkv = calloc(1, sizeof *mkv);
	struct input in;
	size_t n_keys = 0, n = 0;

	ck_assert_ptr_nonnull(mkv);
	input_init_bytes(&in, file);
	ck_assert_int_eq(mkv_open(mkv, &in, NULL), 0);
	ck_assert_int_eq(mkv_read_cues(mkv, NULL), 0);
	for (size_t i = 0; i < ours->n; i++) {
		const struct packet *p = &ours->list[i];

		if (p->track || !p->is_key || p->time_ns < 0)
			continue;
		n_keys++;
		for (size_t k = 0; k < mkv->n_cues; k++)
			n += mkv->cues[k].time_ns == p->time_ns && mkv->cues[k].track == mkv->tracks[0].number &&
			     mkv->cues[k].place == p->cluster;
	}
	ck_assert_uint_ge(n_keys, 5);
	ck_assert_msg(mkv->n_cues == (shape->how.cues == REWRITE_CUES_NONE ? 0 : n_keys) && n == mkv->n_cues,
		      "%s: %zu key frames, %zu Cues, %zu of them right", shape->name, n_keys, mkv->n_cues, n);
	mkv_close(mkv);
	input_close(&in);
	free(mkv);
}

START_TEST(every_shape_has_the_packets_and_cues_of_the_plain_file_and_libavformats)
{
	struct buf plain, made = { 0 };
	struct packets base, ours;

	craft_load(&plain, packets_base());
	compare("made: base", buf_bytes(&plain), &base);
	for (size_t i = 0; i < N_OF(shapes); i++) {
		char name[100];

		snprintf(name, sizeof name, "made: %s", shapes[i].name);
		mkv_rewrite(buf_bytes(&plain), &shapes[i].how, &made);
		compare(name, buf_bytes(&made), &ours);
		ck_assert_int_eq(ours.damaged, 0);
		ck_assert_int_eq(ours.n_tracks, 3);
		for (int t = 0; t < ours.n_tracks; t++)
			check_track(&shapes[i], &base, &ours, t);
		check_cues(&shapes[i], buf_bytes(&made), &ours);
		packets_finish(&ours);
	}
	packets_finish(&base);
	buf_finish(&made);
	buf_finish(&plain);
	ck_assert_msg(!failures, "%d files differ", failures);
}
END_TEST

Suite *suite_packets(void)
{
	Suite *s = suite_create("packets");
	TCase *t = tcase_create("packets");

	tcase_set_timeout(t, 600);
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, every_real_file_has_the_packets_that_libavformat_finds);
	tcase_add_test(t, every_file_of_the_muxers_has_the_packets_that_libavformat_finds);
	tcase_add_test(t, every_shape_has_the_packets_and_cues_of_the_plain_file_and_libavformats);
	suite_add_tcase(s, t);
	return s;
}
