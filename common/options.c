/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* What was parsed, and is parsed: values are kept by pointer. */
struct parsed {
	struct parsed *before;
	struct config config;
};
static struct parsed *parsed;

void options_refuse(const struct err *err, struct argp_state *state)
{
	fprintf(stderr, "%s: %s\n", state->name, err->msg);
	exit(OPTIONS_EXIT_USAGE);
}

void options_check(int ret, const struct err *err, struct argp_state *state)
{
	int i = state->next - 2; /* of the option in hand, behind argv[0] */

	if (ret >= 0)
		return;
	if (parsed && i >= 0 && i < parsed->config.n_before)
		fprintf(stderr, "%s: %s: %s\n", state->name, parsed->config.origins[i], err->msg);
	else
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

/* --- what is made. Each setter: 0, or ERR_USAGE. */

static int set_int(const char *option, const char *text, int low, int high, int scale, int *value, struct err *err)
{
	int64_t number;
	int ret = cli_parse_int(text, low, high, &number, err);

	if (ret < 0)
		return err_prefix(err, "%s", option);
	*value = (int)number * scale;
	return 0;
}

/* In thousandths. */
static int set_decimal(const char *what, const char *text, int low, int high, int *value, struct err *err)
{
	int64_t number;
	int ret = cli_parse_decimal(text, 3, &number, err);

	if (ret < 0)
		return ret;
	if (number < low || number > high)
		return err_set(err, ERR_USAGE, "%s, not %.40s", what, text);
	*value = (int)number;
	return 0;
}

/* A word of these characters. */
static int set_word(const char *what, const char *text, const char *characters, char *word, size_t size, struct err *err)
{
	if (!*text || strlen(text) >= size || text[strspn(text, characters)])
		return err_set(err, ERR_USAGE, "%s, not '%.40s'", what, text);
	snprintf(word, size, "%s", text);
	return 0;
}

static int set_audio_track(struct record_options *options, const char *text, struct err *err)
{
	char lower[sizeof(options->audio_language)];
	size_t n = strlen(text);
	int track = 0, ret;

	if (n && text[strspn(text, "0123456789")] == 0) {
		ret = set_int("--audio-track", text, 1, RECORD_TRACK_MAX, 1, &track, err);
		options->audio_language[0] = 0;
	} else {
		for (size_t i = 0; i < sizeof(lower); i++)
			lower[i] = i < n ? (char)tolower((unsigned char)text[i]) : 0;
		ret = set_word("an audio track is a number or a language", n < sizeof(lower) ? lower : text, RECORD_LANGUAGE_CHARS,
			       options->audio_language, sizeof(options->audio_language), err);
	}
	options->audio_track = track;
	return ret;
}

static const char *const presets[RECORD_PRESETS] = { "ultrafast", "superfast", "veryfast", "faster",   "fast",
						     "medium",	  "slow",      "slower",   "veryslow", "placebo" };

const char *options_preset_name(int preset)
{
	return presets[preset];
}

static int set_preset(struct record_options *options, const char *text, struct err *err)
{
	for (int i = 0; i < RECORD_PRESETS; i++)
		if (!strcmp(text, presets[i])) {
			options->video_preset = i;
			return 0;
		}
	return err_set(err, ERR_USAGE, "a preset is ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, "
		       "veryslow or placebo, not '%.40s'", text);
}

static int set_channels(struct record_options *options, const char *text, struct err *err)
{
	int n = 0, ret = set_int("--audio-channels", text, 1, 6, 1, &n, err);

	if (ret < 0)
		return ret;
	if (n != 1 && n != 2 && n != 6)
		return err_set(err, ERR_USAGE, "audio channels are 1, 2 or 6");
	options->audio_channels = n;
	return 0;
}

static int set_audio(struct record_options *options, const char *text, struct err *err)
{
	if (strcmp(text, "copy") && strcmp(text, "aac"))
		return err_set(err, ERR_USAGE, "--audio is 'copy' or 'aac', not '%.40s'", text);
	options->is_audio_copied = !strcmp(text, "copy");
	return 0;
}

/* key: of the option; text: NULL where it takes none. 1 it is set, 0 there is no such option. */
static int set_encode(struct record_options *o, int key, const char *text, struct err *err)
{
	int ret = 0, track = 0;

	switch (key) {
	case OPTIONS_KEY_DURATION:
		ret = cli_parse_segment_duration(text, &o->target_ticks, err);
		break;
	case OPTIONS_KEY_AUDIO:
		ret = set_audio(o, text, err);
		break;
	case OPTIONS_KEY_QUALITY:
		ret = set_decimal("an audio quality is 0.1 to 10", text, 100, 10000, &o->audio_quality, err);
		o->audio_mode = RECORD_AUDIO_QUALITY;
		break;
	case OPTIONS_KEY_BITRATE:
		ret = set_int("--audio-bitrate", text, 16, 512, 1000, &o->audio_bitrate, err);
		o->audio_mode = RECORD_AUDIO_BITRATE;
		break;
	case OPTIONS_KEY_CHANNELS:
		ret = set_channels(o, text, err);
		break;
	case OPTIONS_KEY_VIDEO_TRACK:
		ret = set_int("--video-track", text, 1, RECORD_TRACK_MAX, 1, &track, err);
		o->video_track = ret < 0 ? 0 : track;
		break;
	case OPTIONS_KEY_AUDIO_TRACK:
		ret = set_audio_track(o, text, err);
		break;
	case OPTIONS_KEY_FORCE_VIDEO:
		o->is_video_encoded = true;
		break;
	case OPTIONS_KEY_FORCE_AUDIO:
		o->is_audio_encoded = true;
		break;
	case OPTIONS_KEY_REENCODE:
		ret = set_word("--reencode takes names of codecs like hevc,aac", text, RECORD_CODEC_CHARS, o->encoded_codecs,
			       sizeof(o->encoded_codecs), err);
		break;
	case OPTIONS_KEY_CRF:
		ret = set_decimal("a constant rate factor is 0 to 51", text, 0, 51000, &o->video_crf, err);
		break;
	case OPTIONS_KEY_PRESET:
		ret = set_preset(o, text, err);
		break;
	case OPTIONS_KEY_VIDEO_BITRATE:
		ret = set_int("--video-bitrate", text, 16, 1000000, 1000, &o->video_bitrate, err);
		break;
	case OPTIONS_KEY_HEIGHT:
		ret = set_int("--video-height", text, 16, 16384, 1, &o->video_height, err);
		break;
	case OPTIONS_KEY_ENCODER: /* whether there is one of that name only workers know */
		ret = set_word("an encoder is auto, libx264, h264_nvenc, h264_qsv, h264_vaapi or another name that libavcodec has", text,
			       RECORD_ENCODER_CHARS, o->video_encoder, sizeof(o->video_encoder), err);
		break;
	default:
		return 0;
	}
	return ret < 0 ? ret : 1;
}

static error_t parse_encode(int key, char *arg, struct argp_state *state)
{
	struct err err = { 0 };
	int ret = set_encode(state->input, key, arg, &err);

	options_check(ret, &err, state);
	return ret ? 0 : ARGP_ERR_UNKNOWN;
}

int options_set_encode(struct record_options *options, const char *name, const char *text, struct err *err)
{
	for (const struct argp_option *o = encode_options; o->name || o->doc; o++)
		if (o->name && !strcmp(o->name, name)) {
			if (!o->arg != !text)
				return err_set(err, ERR_DATA, o->arg ? "%s takes a value" : "%s is true or false", name);
			return set_encode(options, o->key, text, err);
		}
	return 0;
}

const struct argp options_encode = { .options = encode_options, .parser = parse_encode };
const struct argp options_stream = { .options = encode_options + 2, .parser = parse_encode };

static const struct argp_option allow_options[] = {
	{ "media-root", OPTIONS_KEY_MEDIA_ROOT, "DIR", CONFIG_MANY,
	  "Where sources may lie: a directory, or a file; may be given more than once. What lies elsewhere is refused", 2 },
	{ "allow-url", OPTIONS_KEY_ALLOW_URL, "PREFIX", CONFIG_MANY,
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

static const struct argp_option log_options[] = {
	{ "log-level", OPTIONS_KEY_LOG_LEVEL, "LEVEL", 0, "What stands in the log on stderr: error, warn, info or debug", 5 },
	{ "log-format", OPTIONS_KEY_LOG_FORMAT, "logfmt|json", 0, "How: key=value (the default), or a JSON object a line", 5 },
	{ "verbose", 'v', NULL, 0, "The same as --log-level debug", 5 },
	{ 0 },
};

static error_t parse_log(int key, char *arg, struct argp_state *state)
{
	struct options_log *o = state->input;
	struct err err = { 0 };
	int level;

	switch (key) {
	case OPTIONS_KEY_LOG_LEVEL:
		level = log_level_from_name(arg);
		if (level < 0)
			options_check(err_set(&err, ERR_USAGE, "a log level is error, warn, info or debug, not '%.40s'", arg), &err, state);
		o->level = (enum log_level)level;
		break;
	case OPTIONS_KEY_LOG_FORMAT:
		o->is_json = !strcmp(arg, "json");
		if (!o->is_json && strcmp(arg, "logfmt"))
			options_check(err_set(&err, ERR_USAGE, "a log format is 'logfmt' or 'json', not '%.40s'", arg), &err, state);
		break;
	case 'v':
		o->level = LOG_LEVEL_DEBUG;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp options_log = { .options = log_options, .parser = parse_log };

static const struct argp_option program_options[] = {
	{ "config", CONFIG_KEY_FILE, "FILE", 0,
	  "Options from an INI file, by their long names (see segfarm.conf(5)). Those of the command line, and of the environment "
	  "(SEGFARM_ and the name: SEGFARM_LOG_LEVEL), replace them", 4 },
	{ "alone", CONFIG_KEY_ALONE, NULL, OPTION_HIDDEN, NULL, 4 }, /* neither file nor environment */
	{ 0 },
};

static error_t parse_program(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = state->input;
	return key == ARGP_KEY_INIT || key == CONFIG_KEY_FILE || key == CONFIG_KEY_ALONE ? 0 : ARGP_ERR_UNKNOWN;
}

static const struct argp_child program_children[] = { { &options_log, 0, NULL, 0 }, { 0 } };
const struct argp options_program = { .options = program_options, .parser = parse_program, .children = program_children };

void options_start_log(const struct options_log *log, const char *prog)
{
	log_init(prog, log->level);
	log_set_json(log->is_json);
}

int options_parse_drain_ms(const char *text, struct argp_state *state)
{
	struct err err = { 0 };
	int64_t ms = 0;

	if (cli_parse_decimal(text, 3, &ms, &err) < 0 || ms > 86400000)
		options_check(err_set(&err, ERR_USAGE, "--drain-timeout takes seconds from 0 to 86400, not '%.40s'", text), &err, state);
	return (int)ms;
}

/* "segfarm serve", "segfarm-worker": the last word */
static const char *section_of(const char *name)
{
	const char *at = strrchr(name, ' ');

	at = at ? at : strrchr(name, '-');
	return at ? at + 1 : name;
}

void options_parse(const struct argp *argp, const char *name, int argc, char **argv, void *input)
{
	struct parsed *p = calloc(1, sizeof(*p));
	struct err err = { 0 };

	argv[0] = (char *)(uintptr_t)name; /* argp takes the program's name for its messages from here */
	argp_err_exit_status = OPTIONS_EXIT_USAGE;
	if (!p || config_expand(&p->config, argp, section_of(name), argc, argv, environ, &err) < 0) {
		fprintf(stderr, "%s: %s\n", name, p ? err.msg : "out of memory");
		exit(OPTIONS_EXIT_USAGE);
	}
	p->before = parsed;
	parsed = p;
	argp_parse(argp, p->config.argc, p->config.argv, 0, NULL, input);
}

/* First in a process that may end over it. */
bool options_parse_again(const struct argp *argp, const char *name, int argc, char **argv, void *input)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		options_parse(argp, name, argc, argv, input);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return false;
	options_parse(argp, name, argc, argv, input);
	return true;
}
