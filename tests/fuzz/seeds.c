/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * seeds TARGET DIR: writes what that fuzz target begins with, made by the writers that the tests use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libavformat/avformat.h>
#include <zlib.h>

#include "common/msg.h"
#include "common/record.h"
#include "tests/worker/mkv_build.h"
#include "worker/mkv_internal.h"

#define KEY "0123456789abcdef"

/* x264 and x265, 1080p */
#define SPS4 "67640028acd900780227e5c05a808080a000007d2000177001e30632c0"
#define PPS4 "68eb83f2c0"
#define AVCC "01640028ffe1001d" SPS4 "010005" PPS4 "fdf8f800"
#define VPS5 "40010c01ffff216000000300900000030000030078959809"
#define SPS5 "420101216000000300900000030000030078a003c0801107cb965664a4c2f016a0202020800001f480002ee004"
#define PPS5 "4401c073c189"
#define HVCC "01216000000090000000000078f000fcfdf8f800000f03a000010018" VPS5 "a10001002d" SPS5 "a200010006" PPS5
#define START "00000001"
#define IDR4 "658884"
#define P4 "419a2100"
#define RECOVERY4 "060601c080"
#define IDR5 "28010101"
#define CRA5 "2a010101"

static const char *dir;

static void save(const char *name, struct bytes b)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "wb");
	ASSERT(f && fwrite(b.data, 1, b.size, f) == b.size && !fclose(f));
}

/* Saves and empties it. */
static void save_buf(const char *name, struct buf *b)
{
	ASSERT(!buf_failed(b));
	save(name, buf_bytes(b));
	buf_reset(b);
}

static void put_hex(struct buf *b, const char *digits)
{
	for (; *digits; digits += 2) {
		char two[3] = { digits[0], digits[1], 0 };

		buf_put_u8(b, (uint8_t)strtoul(two, NULL, 16));
	}
}

/* ---- fuzz_mkv */

struct shape {
	const char *name, *video_codec, *video_private, *audio_codec, *audio_private;
	bool has_cues, has_seek_head, is_unknown, has_groups;
	int lacing, compression; /* as in ContentCompAlgo; -1 none */
	const char *idr;
};

static void put_encoding(struct buf *b, int algorithm)
{
	size_t all, one, c;

	if (algorithm < 0)
		return;
	all = mkv_begin_master(b, 0x6D80);
	one = mkv_begin_master(b, ID_CONTENT_ENCODING);
	c = mkv_begin_master(b, 0x5034);
	mkv_put_uint(b, 0x4254, (uint64_t)algorithm);
	if (algorithm == 3)
		mkv_put_binary(b, 0x4255, "\0\0\0", 3);
	mkv_end_master(b, c);
	mkv_end_master(b, one);
	mkv_end_master(b, all);
}

static void put_private(struct buf *b, const char *digits)
{
	struct buf p = { 0 };

	put_hex(&p, digits);
	mkv_put_binary(b, 0x63A2, p.data, p.size);
	buf_finish(&p);
}

static void put_video_track(struct buf *b, const struct shape *s)
{
	size_t m = mkv_begin_master(b, ID_TRACK_ENTRY), v, c;

	mkv_put_uint(b, 0xD7, MKV_VIDEO_TRACK);
	mkv_put_uint(b, 0x83, 1);
	mkv_put_string(b, 0x86, s->video_codec);
	mkv_put_uint(b, 0x23E383, 40000000);
	put_private(b, s->video_private);
	put_encoding(b, s->compression);
	v = mkv_begin_master(b, 0xE0);
	mkv_put_uint(b, 0xB0, 1920);
	mkv_put_uint(b, 0xBA, 1080);
	mkv_put_uint(b, 0x54B0, 1920);
	mkv_put_uint(b, 0x54BA, 800);
	c = mkv_begin_master(b, 0x55B0);
	mkv_put_uint(b, 0x55B1, 9);
	mkv_put_uint(b, 0x55BA, 16);
	mkv_put_uint(b, 0x55BB, 9);
	mkv_end_master(b, c);
	mkv_end_master(b, v);
	mkv_end_master(b, m);
}

static void put_audio_track(struct buf *b, const struct shape *s)
{
	size_t m = mkv_begin_master(b, ID_TRACK_ENTRY), a;

	mkv_put_uint(b, 0xD7, MKV_AUDIO_TRACK);
	mkv_put_uint(b, 0x83, 2);
	mkv_put_string(b, 0x86, s->audio_codec);
	mkv_put_string(b, 0x22B59C, "ger");
	mkv_put_uint(b, 0x56AA, 6500000);
	mkv_put_uint(b, 0x56BB, 80000000);
	put_private(b, s->audio_private);
	a = mkv_begin_master(b, 0xE1);
	mkv_put_float(b, 0xB5, 48000);
	mkv_put_uint(b, 0x9F, 2);
	mkv_put_uint(b, 0x6264, 16);
	mkv_end_master(b, a);
	mkv_end_master(b, m);
}

static void put_video_data(struct buf *b, const struct shape *s, bool is_idr)
{
	struct buf nal = { 0 };
	uint8_t packed[256];
	uLongf n = sizeof packed;

	put_hex(&nal, is_idr ? s->idr : P4);
	buf_put_zero(&nal, 4);
	buf_finish(b);
	if (s->compression != 3)
		buf_put_zero(b, 3);
	buf_put_u8(b, (uint8_t)nal.size);
	buf_put(b, nal.data, nal.size);
	if (s->compression == 0) {
		ASSERT(compress2(packed, &n, b->data, b->size, 9) == Z_OK);
		buf_reset(b);
		buf_put(b, packed, n);
	}
	buf_finish(&nal);
}

/* Three frames: 20 bytes each, but for EBML and Xiph lacing 20, 22 and the rest. */
static void put_audio_data(struct buf *b, int lacing)
{
	static const uint8_t heads[4][4] = { { 0 }, { 2, 20, 22 }, { 2 }, { 2, 0x94, 0xC1 } };
	static const int sizes[4] = { 0, 3, 1, 3 };

	buf_finish(b);
	buf_put(b, heads[lacing], (size_t)sizes[lacing]);
	for (int i = 0; i < (lacing ? 60 : 20); i++)
		buf_put_u8(b, (uint8_t)(i * 7 + 0x21));
}

static void put_frames(struct buf *b, const struct shape *s)
{
	struct buf data = { 0 };

	for (int i = 0; i < 4; i++) {
		put_video_data(&data, s, i == 0);
		if (s->has_groups) {
			size_t m = mkv_begin_master(b, ID_BLOCK_GROUP);

			mkv_put_block(b, MKV_VIDEO_TRACK, (int16_t)(i * 40), 0, data.data, data.size);
			mkv_put_uint(b, 0x9B, 40);
			if (i)
				mkv_put_uint(b, 0xFB, (uint64_t)-40);
			mkv_end_master(b, m);
		} else {
			mkv_put_simple(b, MKV_VIDEO_TRACK, (int16_t)(i * 40), i ? 0 : MKV_KEY, data.data, data.size);
		}
		put_audio_data(&data, s->lacing);
		mkv_put_simple(b, MKV_AUDIO_TRACK, (int16_t)(i * 40), (uint8_t)(MKV_KEY | s->lacing << 1), data.data, data.size);
	}
	buf_finish(&data);
}

static void put_cues(struct buf *b, size_t segment, const size_t clusters[2])
{
	size_t m = mkv_begin_master(b, ID_CUES);

	for (int i = 0; i < 2; i++)
		mkv_put_cue(b, (uint64_t)i * 160, MKV_VIDEO_TRACK, clusters[i] - segment);
	mkv_end_master(b, m);
}

static void put_file(const struct shape *s)
{
	struct buf b = { 0 };
	size_t m, segment, clusters[2], seek = 0, cues;

	mkv_put_header(&b, strncmp(s->video_codec, "V_VP", 4) ? "matroska" : "webm");
	mkv_begin_unknown(&b, ID_SEGMENT);
	segment = b.size;
	if (s->has_seek_head) {
		m = mkv_begin_master(&b, ID_SEEK_HEAD);
		mkv_put_seek(&b, ID_CUES, 0);
		seek = b.size - 4;
		mkv_end_master(&b, m);
	}
	mkv_put_info(&b);
	mkv_put_void(&b, 9);
	m = mkv_begin_master(&b, ID_TRACKS);
	put_video_track(&b, s);
	put_audio_track(&b, s);
	mkv_end_master(&b, m);
	for (int i = 0; i < 2; i++) {
		clusters[i] = b.size;
		if (s->is_unknown) {
			mkv_begin_unknown(&b, ID_CLUSTER);
			mkv_put_uint(&b, ID_TIMESTAMP, (uint64_t)i * 160);
			put_frames(&b, s);
		} else {
			m = mkv_begin_cluster(&b, (uint64_t)i * 160);
			put_frames(&b, s);
			mkv_end_master(&b, m);
		}
	}
	cues = b.size;
	if (s->has_cues)
		put_cues(&b, segment, clusters);
	if (seek)
		buf_patch_u32(&b, seek, (uint32_t)(cues - segment));
	save_buf(s->name, &b);
	buf_finish(&b);
}

static void seed_mkv(void)
{
	static const char opus[] = "4f707573486561640102380180bb0000000000";
	static const struct shape shapes[] = {
		{ "plain", "V_MPEG4/ISO/AVC", AVCC, "A_AAC", "1190", 1, 1, 0, 0, 0, -1, IDR4 },
		{ "groups", "V_MPEG4/ISO/AVC", AVCC, "A_AAC", "1190", 0, 0, 1, 1, 0, -1, IDR4 },
		{ "zlib", "V_MPEG4/ISO/AVC", AVCC, "A_PCM/INT/LIT", "", 1, 1, 0, 0, 3, 0, IDR4 },
		{ "strip", "V_MPEG4/ISO/AVC", AVCC, "A_OPUS", opus, 1, 1, 0, 1, 1, 3, IDR4 },
		{ "hevc", "V_MPEGH/ISO/HEVC", HVCC, "A_OPUS", opus, 1, 0, 1, 0, 2, -1, IDR5 },
		{ "webm", "V_VP9", "", "A_OPUS", opus, 0, 1, 1, 0, 0, -1, IDR4 },
		{ "annexb", "V_MPEG4/ISO/AVC", START SPS4 START PPS4, "A_AC3", "", 1, 1, 0, 0, 0, -1, IDR4 },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		put_file(&shapes[i]);
	mkv_put_head(&b);
	for (int i = 0; i < 3; i++) {
		mkv_put_cluster(&b, (uint64_t)i * 1000, (char)('a' + i));
		buf_put_str(&b, "damage");
	}
	save_buf("damaged", &b);
	buf_finish(&b);
}

/* ---- fuzz_nal */

static void save_nal(const char *name, int codec, const char *codec_private, const char *sample)
{
	struct buf b = { 0 };

	buf_put_u8(&b, (uint8_t)codec);
	buf_put_u16(&b, (uint16_t)(strlen(codec_private) / 2));
	put_hex(&b, codec_private);
	put_hex(&b, sample);
	save_buf(name, &b);
	buf_finish(&b);
}

static void seed_nal(void)
{
	save_nal("avcc", 0, AVCC, "00000003" IDR4 "00000004" P4);
	save_nal("avcc-2", 0, "01640028fde1001d" SPS4 "010005" PPS4 "fdf8f800", "0003" IDR4);
	save_nal("avcc-3", 0, "01640028fee1001d" SPS4 "010005" PPS4 "fdf8f800", "000003" IDR4);
	save_nal("avc-annexb", 0, START SPS4 START PPS4, START RECOVERY4 START P4);
	save_nal("avc-inband", 0, "", START SPS4 START PPS4 START IDR4);
	save_nal("avc-baseline", 0, START "6742c01eda0280f6ffc000c00104000003000400000300f03c58ba80" START "68ce0fc8", START IDR4);
	save_nal("hvcc", 1, HVCC, "00000004" IDR5 "00000004" CRA5);
	save_nal("hevc-annexb", 1, START VPS5 START SPS5 START PPS5, START CRA5);
	save_nal("hevc-inband", 1, "", START VPS5 START SPS5 START PPS5 START IDR5);
	save_nal("sps", 0, "1190", SPS4);
	save_nal("sps-hevc", 1, "2b118800", SPS5);
	save_nal("asc", 0, "118004c4040021100d4c61766335392e33372e31303056e500", SPS4);
}

/* ---- fuzz_fmp4 */

static void seed_fmp4(void)
{
	struct buf b = { 0 };

	for (int kind = 0; kind < 16; kind++) {
		char name[16];

		buf_put_u8(&b, (uint8_t)(kind & 1));
		buf_put_u8(&b, (uint8_t)(kind >> 1));
		for (int i = 0; i < 200; i++)
			buf_put_u8(&b, (uint8_t)(i * kind + i / 7));
		snprintf(name, sizeof name, "%d", kind);
		save_buf(name, &b);
	}
	buf_finish(&b);
}

/* ---- fuzz_record, fuzz_msg */

static const struct record_video video = {
	.is_present = true, .is_copy = true, .track = 1, .codecs = "avc1.640028", .width = 1920, .height = 800, .rate_num = 24000, .rate_den = 1001,
	.range = "SDR", .start_ticks = 0, .end_ticks = 1800000, .delay_ticks = 7508,
};
static const struct record_audio audio = {
	.is_present = true, .is_copy = false, .track = 2, .codecs = "mp4a.40.2", .rate = 48000, .channels = 2, .unit = 1024,
	.base = 0, .frames = 938, .source_rate = 48000, .source_unit = 1536, .source_base = -256, .source_end = 960000, .lead = 6144,
};
static struct record_sync syncs[3] = {
	{ 0, 0, 500, 520, 0, true },
	{ 539000, 540000, 90000, 90030, 287232, false },
	{ 1080000, 1080000, 90000, 180000, INT64_MAX, true },
};
static struct plan_segment segments[3] = {
	{ 0, 539000, 500, 520, 90030, 500, 0, 0, 280 },
	{ 539000, 541000, 90000, 90030, 180000, 500, 0, 280, 562 },
	{ 1080000, 720000, 90000, 180000, INT64_MAX, 90000, INT64_MAX, 562, 938 },
};

static void seed_record(void)
{
	struct job job = { .id = 9, .stream = KEY, .deadline_ms = 60000 };
	struct plan plan = { .hash = KEY, .video = video, .audio = audio, .origin_ns = 7, .is_independent = true,
			     .segments = segments, .n_segments = 3 };
	static int64_t positions[3] = { 0, 287232, INT64_MAX };
	struct record_track tracks[3] = { { .name = "de", .language = "de", .audio = audio, .positions = positions },
					  { .name = "en", .is_default = true, .audio = audio, .positions = positions },
					  { .name = "fr", .language = "fr", .is_forced = true, .text = { true, 4 } } };
	struct index index = { .video = video, .audio = audio, .origin_ns = -5000000, .first_place = 500, .syncs = syncs, .n_syncs = 3 };
	struct buf b = { 0 };

	record_options_init(&plan.options);
	job_set_segment(&job, &plan, 1);
	job.options = plan.options;
	job.source = (struct record_source){ .path = "/srv/Ein \"Film\".mkv", .size = 1 << 30, .mtime_ns = -1 };
	buf_put_u8(&b, 0);
	ASSERT(!record_source_put(&job.source, &b));
	save_buf("source", &b);
	buf_put_u8(&b, 1);
	ASSERT(!record_options_put(&job.options, &b));
	save_buf("options", &b);
	buf_put_u8(&b, 2);
	ASSERT(!index_put(&index, &b));
	save_buf("index", &b);
	index.audio.is_present = false;
	index.tracks = tracks;
	index.n_tracks = 3;
	buf_put_u8(&b, 2);
	ASSERT(!index_put(&index, &b));
	save_buf("index-tracks", &b);
	index.video.is_present = false;
	buf_put_u8(&b, 2);
	ASSERT(!index_put(&index, &b));
	save_buf("index-sounds", &b);
	index.audio.is_present = true;
	index.n_tracks = 0;
	buf_put_u8(&b, 2);
	ASSERT(!index_put(&index, &b));
	save_buf("index-audio", &b);
	buf_put_u8(&b, 3);
	ASSERT(!plan_put(&plan, &b));
	save_buf("plan", &b);
	buf_put_u8(&b, 4);
	ASSERT(!job_put(&job, &b));
	save_buf("job", &b);
	job.type = JOB_PROBE;
	buf_put_u8(&b, 4);
	ASSERT(!job_put(&job, &b));
	save_buf("job-probe", &b);
	buf_finish(&b);
}

static void seed_msg(void)
{
	static const char *const texts[] = { "/hls/" KEY "/master.m3u8", "/hls/" KEY "/main/index.m3u8",
					     "/hls/" KEY "/main/init.mp4", "/hls/" KEY "/main/539000-541000.m4s",
					     "/healthz", "http://me@host:8080/a/%2e%41b/c?d=e", "https://[::1]/", "127.0.0.1:8090", "[::1]:80", "6.25" };
	struct buf b = { 0 };
	char name[16];

	for (int verb = MSG_HELLO; verb <= MSG_STOP; verb++) {
		struct msg m = { .verb = (enum msg_verb)verb, .name = "host-1-0-1", .pid = 7, .credits = 2, .job = 3, .progress = 9,
				 .elapsed_us = 100, .cpu_us = 90, .bytes = 1000, .code = ERR_DATA, .reason = "broken" };

		if (verb == MSG_JOB)
			continue;
		buf_put_u8(&b, (uint8_t)verb);
		ASSERT(!msg_put(&m, &b));
		save_buf(msg_verb_name(m.verb), &b);
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		buf_put_u8(&b, MSG_STOP + (texts[i][0] == '/' ? 1 : 3));
		buf_put_str(&b, texts[i]);
		snprintf(name, sizeof name, "text-%zu", i);
		save_buf(name, &b);
	}
	buf_finish(&b);
}

/* ---- fuzz_store */

static void seed_store(void)
{
	static const char *const replies[] = {
		"$42\r\n300000 2 " KEY " " KEY "\r\n",
		"*2\r\n$1\r\n0\r\n*2\r\n$13\r\n540000:360000\r\n$42\r\n300000 2 " KEY " " KEY "\r\n",
		"$5\r\nbytes\r\n",
		"*2\r\n$59\r\n{\"path\":\"/x.mkv\",\"size\":100,\"mtime_ns\":5,\"something\":\"else\"}\r\n$2\r\n{}\r\n",
		"*2\r\n$16\r\n" KEY "\r\n$3\r\nbad\r\n",
		"$40\r\n0123456789012345678901234567890123456789\r\n*1\r\n+OK\r\n+OK\r\n+OK\r\n$4\r\nPLAN\r\n",
		"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n",
		"$-1\r\n",
		"-OOM command not allowed\r\n",
		"-NOAUTH needed\r\n",
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		char name[16];

		buf_put_u8(&b, (uint8_t)i);
		buf_put_str(&b, replies[i]);
		snprintf(name, sizeof name, "%zu", i);
		save_buf(name, &b);
	}
	static const struct {
		uint8_t what; /* 180: which server it is, 201: a map of slots, 200: texts */
		const char *text;
	} odd[] = {
		{ 201, "*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n*4\r\n:8192\r\n:16383\r\n*2\r\n$0\r\n\r\n:7001\r\n*2\r\n$-1\r\n:7002\r\n" },
		{ 13, ":1\r\n*2\r\n$4\r\nmain\r\n*2\r\n$13\r\n540000:360000\r\n$42\r\n300000 2 " KEY " " KEY "\r\n:2\r\n:1\r\n" },
		{ 13, ":1\r\n*0\r\n:0\r\n:1\r\n:0\r\n*0\r\n" },
		{ 14, ":1\r\n" },
		{ 180, "$22\r\nstate:" KEY "\r\n" },
		{ 200, "unix:///run/a.sock redis+cluster://:p@h,g:1" },
		{ 200, "MOVED 3999 127.0.0.1:6381" },
		{ 200, "ASK 3999 [::1]:6381" },
		{ 200, "redis+sentinel://me:p%40ss@a:1,[::1]/films/3" },
		{ 200, "redis+cluster://a,b:2" },
	};
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		char name[16];

		buf_put_u8(&b, odd[i].what);
		buf_put_str(&b, odd[i].text);
		snprintf(name, sizeof name, "odd-%zu", i);
		save_buf(name, &b);
	}
	static const char nul[] = "\xc9*1\r\n*3\r\n:0\r\n:8195\r\n*2\r\n$9\r\n\0.7.0.0~-\r\n:7000\r\n"; /* a host that ends before it begins */

	buf_put(&b, nul, sizeof nul - 1);
	save_buf("nul", &b);
	buf_finish(&b);
}

/* ---- fuzz_av */

static AVStream *add_stream(AVFormatContext *ctx, enum AVMediaType type, enum AVCodecID id, const char *config)
{
	AVStream *st = avformat_new_stream(ctx, NULL);
	struct buf b = { 0 };

	ASSERT(st);
	put_hex(&b, config);
	st->codecpar->codec_type = type;
	st->codecpar->codec_id = id;
	st->codecpar->width = 320;
	st->codecpar->height = 180;
	st->codecpar->sample_rate = 48000;
	st->codecpar->frame_size = 1024;
	av_channel_layout_default(&st->codecpar->ch_layout, 2);
	st->time_base = (AVRational){ 1, 1000 };
	st->codecpar->extradata = av_mallocz(b.size + AV_INPUT_BUFFER_PADDING_SIZE);
	ASSERT(st->codecpar->extradata && !buf_failed(&b));
	if (b.size)
		memcpy(st->codecpar->extradata, b.data, b.size);
	st->codecpar->extradata_size = (int)b.size;
	buf_finish(&b);
	return st;
}

static void write_packet(AVFormatContext *ctx, AVStream *st, int i, const char *digits)
{
	AVPacket *p = av_packet_alloc();
	struct buf b = { 0 };

	put_hex(&b, digits);
	ASSERT(p && !av_new_packet(p, (int)b.size));
	memcpy(p->data, b.data, b.size);
	p->stream_index = st->index;
	p->dts = p->pts = av_rescale_q(i * 40, (AVRational){ 1, 1000 }, st->time_base);
	p->duration = av_rescale_q(40, (AVRational){ 1, 1000 }, st->time_base);
	p->flags = i % 5 ? 0 : AV_PKT_FLAG_KEY;
	ASSERT(av_interleaved_write_frame(ctx, p) >= 0);
	av_packet_free(&p);
	buf_finish(&b);
}

static void seed_format(const char *format, enum AVCodecID picture, enum AVCodecID sound_id, const char *config)
{
	static const char sound[] = "21100450dee0000000000000000000000000000000000000";
	AVFormatContext *ctx;
	AVStream *v, *a;
	uint8_t *data;
	int n;

	ASSERT(avformat_alloc_output_context2(&ctx, NULL, format, NULL) >= 0 && avio_open_dyn_buf(&ctx->pb) >= 0);
	v = picture ? add_stream(ctx, AVMEDIA_TYPE_VIDEO, picture, picture == AV_CODEC_ID_H264 ? AVCC : "") : NULL;
	a = add_stream(ctx, AVMEDIA_TYPE_AUDIO, sound_id, config);
	ASSERT(avformat_write_header(ctx, NULL) >= 0);
	for (int i = 0; i < 15; i++) {
		if (v)
			write_packet(ctx, v, i, i % 5 ? "00000004" P4 : "00000003" IDR4);
		write_packet(ctx, a, i, sound);
	}
	ASSERT(av_write_trailer(ctx) >= 0);
	n = avio_close_dyn_buf(ctx->pb, &data);
	save(format, (struct bytes){ data, (size_t)n });
	av_free(data);
	avformat_free_context(ctx);
}

static void seed_av(void)
{
	av_log_set_level(AV_LOG_QUIET);
	seed_format("mp4", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "1190");
	seed_format("mov", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "1190");
	seed_format("mpegts", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "1190");
	seed_format("flv", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "1190");
	seed_format("avi", AV_CODEC_ID_MPEG4, AV_CODEC_ID_PCM_S16LE, "");
	seed_format("mpeg", AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MP2, "");
	seed_format("asf", AV_CODEC_ID_MPEG4, AV_CODEC_ID_PCM_S16LE, "");
	seed_format("ogg", AV_CODEC_ID_NONE, AV_CODEC_ID_OPUS, "4f707573486561640102380180bb0000000000");
}

static void seed_http(void)
{
	static const char *const texts[] = {
		"\0/hls/0123456789abcdef/main/0-540000.m4s?e=1&s=x", "\0/v1/streams/0123456789abcdef/cancel", "\0/stream/0123456789abcdef.mp4",
		"\1bytes=0-99", "\1bytes=-5", "\2W/\"a\", \"0011223344556677\"", "\3gzip;q=0.5, *;q=0, identity", "\4[::1]:8090",
		("\5{\"source\":\"/a.mkv\",\"on_demand\":true,\"options\":{\"segment-duration\":2.5,\"crf\":20,\"audio-track\":\"ger\","
		"\"force-video-reencode\":true,\"preset\":\"fast\",\"encoder\":\"auto\",\"reencode\":\"aac\"}}"),
		"\6e=2000000000&s=AAAAAAAAAAAAAAAAAAAAAA", "\7HTTP://Host:80/films/%61?x=y", "\7https://[::1]:443/films/../a",
	};
	char name[24];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		snprintf(name, sizeof name, "http-%zu", i);
		save(name, (struct bytes){ (const uint8_t *)texts[i], 1 + strlen(texts[i] + 1) });
	}
}

/* The first byte is the program, and whether it is a file or the environment. */
static void seed_config(void)
{
	static const char serve[] = "\0# remark\n[serve]\nredis = redis://x\nmedia-root = /srv\nmedia-root = \" /more films\"\non-demand = yes\n"
				    "[worker]\nconnect = x\n";
	static const char worker[] = "\1; remark\r\n[worker]\r\nworkers=4\r\nallow-url = http://x/\r\nhardware = off\r\n[serve]\r\nbind = y\r\n";
	static const char variables[] = "\2SEGFARM_MEDIA_ROOT=/srv,/more\nSEGFARM_LOG_FORMAT=json\nSEGFARM_ON_DEMAND=0\nPATH=/bin";

	save("serve", (struct bytes){ (const uint8_t *)serve, sizeof serve - 1 });
	save("worker", (struct bytes){ (const uint8_t *)worker, sizeof worker - 1 });
	save("variables", (struct bytes){ (const uint8_t *)variables, sizeof variables - 1 });
}

/* The first byte is the codec. */
static void seed_text(void)
{
	static const char srt[] = "\0Hello <i>world</i> & <font color=\"red\">x</font> {\\an8}--> y\n<b>z";
	static const char ass[] = "\1" "0,0,Default,,0,0,0,,{\\i1\\p0}a\\Nb{\\r}\\hc\\{d";
	static const char webvtt[] = "\2<c.red>x</c> &lt;&amp; <v Bob>y\n<u>z</u>", old[] = "\3id\nline:0\ntext";

	save("srt", (struct bytes){ (const uint8_t *)srt, sizeof srt - 1 });
	save("ass", (struct bytes){ (const uint8_t *)ass, sizeof ass - 1 });
	save("webvtt", (struct bytes){ (const uint8_t *)webvtt, sizeof webvtt - 1 });
	save("webvtt-old", (struct bytes){ (const uint8_t *)old, sizeof old - 1 });
}

int main(int argc, char **argv)
{
	static const struct {
		const char *target;
		void (*make)(void);
	} makers[] = { { "fuzz_mkv", seed_mkv },       { "fuzz_transcode", seed_mkv }, { "fuzz_nal", seed_nal },
		       { "fuzz_fmp4", seed_fmp4 },     { "fuzz_record", seed_record }, { "fuzz_msg", seed_msg },
		       { "fuzz_store", seed_store },   { "fuzz_av", seed_av },
		       { "fuzz_http", seed_http },     { "fuzz_text", seed_text },
		       { "fuzz_config", seed_config } };

	for (size_t i = 0; argc == 3 && i < sizeof makers / sizeof *makers; i++)
		if (!strcmp(argv[1], makers[i].target)) {
			dir = argv[2];
			makers[i].make();
			return 0;
		}
	fprintf(stderr, "seeds TARGET DIR\n");
	return 1;
}
