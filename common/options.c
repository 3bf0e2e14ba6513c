/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct argp_option encode_options[] = {
	{ NULL, 0, NULL, 0, "What is made:", 10 },
	{ "segment-duration", OPTIONS_KEY_DURATION, "SECONDS", 0,
	  "Length of a segment aimed at, 0.5 to 600, decimals allowed (default 6); it is cut at the first key "
	  "frame at or "
	  "after that",
	  10 },
	{ "audio", OPTIONS_KEY_AUDIO, "copy|aac", 0,
	  "copy: AC-3, E-AC-3, Opus, FLAC and MP3 pass through as they are; aac (the default): only AAC does, and the others "
	  "are encoded",
	  10 },
	{ "audio-quality", OPTIONS_KEY_QUALITY, "Q", 0,
	  "Constant quality of encoded audio, 0.1 to 10; segments join as if encoded in one go (the default)", 10 },
	{ "audio-bitrate", OPTIONS_KEY_BITRATE, "KBPS", 0,
	  "Encode audio at this bit rate instead, 16 to 512; joints are then not exact", 10 },
	{ "audio-channels", OPTIONS_KEY_CHANNELS, "N", 0, "Channels of encoded audio: 1, 2 or 6", 10 },
	{ "video-track", OPTIONS_KEY_VIDEO_TRACK, "N", 0,
	  "The video track of that number in the file (default: the first that can be played)", 10 },
	{ "audio-track", OPTIONS_KEY_AUDIO_TRACK, "N|LANGUAGE", 0,
	  "The audio track of that number in the file, or in that language as the file has it: ger, de, pt-BR (default: all "
	  "of them, as renditions; of a stream the one with the default flag, else the first)",
	  10 },
	{ "force-video-reencode", OPTIONS_KEY_FORCE_VIDEO, NULL, 0,
	  "Encode the video anew, though it could be copied (H.264, H.265)", 10 },
	{ "force-audio-reencode", OPTIONS_KEY_FORCE_AUDIO, NULL, 0, "Encode the audio anew, though it could be copied", 10 },
	{ "reencode", OPTIONS_KEY_REENCODE, "CODEC[,CODEC...]", 0,
	  "Encode these codecs anew, though they could be copied: hevc, h264, aac, ...", 10 },
	{ "crf", OPTIONS_KEY_CRF, "CRF", 0, "Constant rate factor of encoded video, 0 to 51, smaller is better (default 23)", 10 },
	{ "preset", OPTIONS_KEY_PRESET, "NAME", 0, "Of the H.264 encoder, ultrafast to placebo (default veryfast)", 10 },
	{ "video-bitrate", OPTIONS_KEY_VIDEO_BITRATE, "KBPS", 0,
	  "Encoded video stays below this bit rate (default: by picture size and frame rate)", 10 },
	{ "encoder", OPTIONS_KEY_ENCODER, "NAME", 0,
	  "What encodes video: libx264 (the default), auto (a hardware encoder if one works here, else libx264), or an H.264 encoder of "
	  "libavcodec: h264_nvenc, h264_qsv, h264_vaapi, ...",
	  10 },
	{ "video-height", OPTIONS_KEY_HEIGHT, "LINES", 0, "Scale larger pictures down to this height when they are encoded", 10 },
	{ 0 },
};

void options_check(int ret, const struct err *err, struct argp_state *state)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "%s: %s\n", state->name, err->msg);
	exit(OPTIONS_EXIT_USAGE);
}

int options_parse_int(const char *option, const char *text, int low, int high, struct argp_state *state)
{
	struct err err = { 0 };
	int64_t value = low;
	int ret = cli_parse_int(text, low, high, &value, &err);

	if (ret < 0)
		err_prefix(&err, "%s", option);
	options_check(ret, &err, state);
	return (int)value;
}

static void parse_audio_track(struct record_options *options, const char *text, struct argp_state *state)
{
	struct err err = { 0 };
	size_t n = strlen(text);

	options->audio_track = 0;
	options->audio_language[0] = 0;
	if (text[strspn(text, "0123456789")] == 0) {
		options->audio_track = options_parse_int("--audio-track", text, 1, RECORD_TRACK_MAX, state);
		return;
	}
	for (size_t i = 0; i < n && i < sizeof(options->audio_language) - 1; i++) {
		options->audio_language[i] = (char)tolower((unsigned char)text[i]);
		options->audio_language[i + 1] = 0;
	}
	if (n >= sizeof(options->audio_language) || options->audio_language[strspn(options->audio_language, RECORD_LANGUAGE_CHARS)])
		options_check(err_set(&err, ERR_USAGE, "an audio track is a number or a language, not '%.40s'", text), &err, state);
}

static void parse_reencode(struct record_options *options, const char *text, struct argp_state *state)
{
	struct err err = { 0 };

	if (!*text || strlen(text) >= sizeof(options->encoded_codecs) || text[strspn(text, RECORD_CODEC_CHARS)])
		options_check(err_set(&err, ERR_USAGE, "--reencode takes names of codecs like hevc,aac, not '%.40s'", text), &err, state);
	snprintf(options->encoded_codecs, sizeof(options->encoded_codecs), "%s", text);
}

/* Whether there is one of that name only workers know. */
static void parse_encoder(struct record_options *options, const char *text, struct argp_state *state)
{
	struct err err = { 0 };

	if (!*text || strlen(text) >= sizeof(options->video_encoder) || text[strspn(text, RECORD_ENCODER_CHARS)])
		options_check(err_set(&err, ERR_USAGE, "an encoder is auto, libx264, h264_nvenc, h264_qsv, h264_vaapi or another name that "
				      "libavcodec has, not '%.40s'", text), &err, state);
	snprintf(options->video_encoder, sizeof(options->video_encoder), "%s", text);
}

static int parse_preset(const char *text, struct argp_state *state)
{
	static const char *const names[RECORD_PRESETS] = { "ultrafast", "superfast", "veryfast", "faster",   "fast",
							   "medium",	"slow",	     "slower",	 "veryslow", "placebo" };
	struct err err = { 0 };

	for (int i = 0; i < RECORD_PRESETS; i++)
		if (!strcmp(text, names[i]))
			return i;
	options_check(err_set(&err, ERR_USAGE, "a preset is ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, "
			      "veryslow or placebo, not '%.40s'", text), &err, state);
	return 0;
}

static error_t parse_encode(int key, char *arg, struct argp_state *state)
{
	struct record_options *options = state->input;
	struct err err = { 0 };
	int64_t value;

	switch (key) {
	case OPTIONS_KEY_DURATION:
		options_check(cli_parse_segment_duration(arg, &options->target_ticks, &err), &err, state);
		break;
	case OPTIONS_KEY_AUDIO:
		options->is_audio_copied = !strcmp(arg, "copy");
		if (!options->is_audio_copied && strcmp(arg, "aac"))
			options_check(err_set(&err, ERR_USAGE, "--audio is 'copy' or 'aac', not '%.40s'", arg), &err, state);
		break;
	case OPTIONS_KEY_QUALITY:
		options_check(cli_parse_decimal(arg, 3, &value, &err), &err, state);
		if (value < 100 || value > 10000)
			options_check(err_set(&err, ERR_USAGE, "an audio quality is 0.1 to 10, not %.40s", arg),
				      &err, state);
		options->audio_mode = RECORD_AUDIO_QUALITY;
		options->audio_quality = (int)value;
		break;
	case OPTIONS_KEY_BITRATE:
		options->audio_mode = RECORD_AUDIO_BITRATE;
		options->audio_bitrate = options_parse_int("--audio-bitrate", arg, 16, 512, state) * 1000;
		break;
	case OPTIONS_KEY_CHANNELS:
		value = options_parse_int("--audio-channels", arg, 1, 6, state);
		if (value != 1 && value != 2 && value != 6)
			options_check(err_set(&err, ERR_USAGE, "audio channels are 1, 2 or 6"), &err, state);
		options->audio_channels = (int)value;
		break;
	case OPTIONS_KEY_VIDEO_TRACK:
		options->video_track = options_parse_int("--video-track", arg, 1, RECORD_TRACK_MAX, state);
		break;
	case OPTIONS_KEY_FORCE_VIDEO:
		options->is_video_encoded = true;
		break;
	case OPTIONS_KEY_FORCE_AUDIO:
		options->is_audio_encoded = true;
		break;
	case OPTIONS_KEY_REENCODE:
		parse_reencode(options, arg, state);
		break;
	case OPTIONS_KEY_CRF:
		options_check(cli_parse_decimal(arg, 3, &value, &err), &err, state);
		if (value < 0 || value > 51000)
			options_check(err_set(&err, ERR_USAGE, "a constant rate factor is 0 to 51, not %.40s", arg), &err, state);
		options->video_crf = (int)value;
		break;
	case OPTIONS_KEY_PRESET:
		options->video_preset = parse_preset(arg, state);
		break;
	case OPTIONS_KEY_VIDEO_BITRATE:
		options->video_bitrate = options_parse_int("--video-bitrate", arg, 16, 1000000, state) * 1000;
		break;
	case OPTIONS_KEY_HEIGHT:
		options->video_height = options_parse_int("--video-height", arg, 16, 16384, state);
		break;
	case OPTIONS_KEY_ENCODER:
		parse_encoder(options, arg, state);
		break;
	case OPTIONS_KEY_AUDIO_TRACK:
		parse_audio_track(options, arg, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp options_encode = { .options = encode_options, .parser = parse_encode };
const struct argp options_stream = { .options = encode_options + 2, .parser = parse_encode };

static const struct argp_option allow_options[] = {
	{ "media-root", OPTIONS_KEY_MEDIA_ROOT, "DIR", 0,
	  "Where sources may lie: a directory, or a file; may be given more than once. What lies elsewhere is refused", 2 },
	{ "allow-url", OPTIONS_KEY_ALLOW_URL, "PREFIX", 0,
	  "URLs that may be sources: those that begin with it (http://HOST/PATH, https://HOST:PORT/); may be given more than once",
	  2 },
	{ 0 },
};

static error_t parse_allow(int key, char *arg, struct argp_state *state)
{
	struct allow *allow = state->input;
	struct err err = { 0 };

	if (key == OPTIONS_KEY_MEDIA_ROOT && allow_add_root(allow, arg, &err))
		err_prefix(&err, "--media-root");
	else if (key == OPTIONS_KEY_ALLOW_URL && allow_add_url(allow, arg, &err))
		err_prefix(&err, "--allow-url");
	else if (key != OPTIONS_KEY_MEDIA_ROOT && key != OPTIONS_KEY_ALLOW_URL)
		return ARGP_ERR_UNKNOWN;
	options_check(err.code, &err, state);
	return 0;
}

const struct argp options_allow = { .options = allow_options, .parser = parse_allow };

int options_parse_order(const char *text, uint64_t *seed, struct err *err)
{
	int64_t value;

	if (!strcmp(text, "plan")) {
		*seed = 0;
		return 0;
	}
	if (strncmp(text, "shuffle:", 8) || cli_parse_int(text + 8, 0, 1000000, &value, err) < 0)
		return err_set(err, ERR_USAGE, "an order is 'plan' or 'shuffle:NUMBER', not '%.40s'", text);
	*seed = (uint64_t)value + 1;
	return 0;
}

int options_n_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

void options_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input)
{
	argv[0] = (char *)(uintptr_t)name; /* argp takes the program's name for its messages from here */
	argp_err_exit_status = OPTIONS_EXIT_USAGE;
	argp_parse(argp, argc, argv, 0, NULL, input);
}
