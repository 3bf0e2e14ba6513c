/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/key.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define KEY_DIGITS (RECORD_KEY_SIZE - 1)

/* The hash functions of libsodium keep no state of their own: no sodium_init, which would open the random device. */
static void hash_str(crypto_hash_sha256_state *h, const char *s)
{
	crypto_hash_sha256_update(h, (const unsigned char *)s, strlen(s));
}

static void hash_end(crypto_hash_sha256_state *h, char key[RECORD_KEY_SIZE])
{
	unsigned char sum[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_final(h, sum);
	sodium_bin2hex(key, RECORD_KEY_SIZE, sum, KEY_DIGITS / 2);
}

static bool is_known(const char *s)
{
	return s && *s;
}

void key_derive(const char *file_id, const char *chat, const char *message, char key[RECORD_KEY_SIZE])
{
	crypto_hash_sha256_state h;
	key[0] = 0;
	crypto_hash_sha256_init(&h);
	if (is_known(file_id)) {
		hash_str(&h, "mp4:file_id:");
		hash_str(&h, file_id);
	} else if (is_known(chat) && is_known(message)) {
		hash_str(&h, "mp4:chat:");
		hash_str(&h, chat);
		hash_str(&h, ":msg:");
		hash_str(&h, message);
	} else {
		return;
	}
	hash_end(&h, key);
}

/* Nothing where nothing is asked for: most keys stay what they were. */
static void hash_tracks(crypto_hash_sha256_state *h, const struct record_options *options)
{
	char line[64];

	if (options->video_track) {
		snprintf(line, sizeof(line), "video-track=%" PRId64 "\n", options->video_track);
		hash_str(h, line);
	}
	if (options->audio_track || options->audio_language[0]) {
		snprintf(line, sizeof(line), "audio-track=%" PRId64 "%s\n", options->audio_track, options->audio_language);
		hash_str(h, line);
	}
}

static void hash_encoding(crypto_hash_sha256_state *h, const struct record_options *o)
{
	struct record_options usual;
	char line[160];

	record_options_init(&usual);
	if (o->is_video_encoded || o->is_audio_encoded || o->encoded_codecs[0]) {
		snprintf(line, sizeof(line), "reencode=%s%s:%s\n", o->is_video_encoded ? "v" : "", o->is_audio_encoded ? "a" : "",
			 o->encoded_codecs);
		hash_str(h, line);
	}
	if (o->video_crf != usual.video_crf || o->video_preset != usual.video_preset || o->video_bitrate != usual.video_bitrate ||
	    o->video_height != usual.video_height) {
		snprintf(line, sizeof(line), "video=%d:%d:%d:%d\n", o->video_crf, o->video_preset, o->video_bitrate, o->video_height);
		hash_str(h, line);
	}
	if (strcmp(o->video_encoder, usual.video_encoder)) {
		snprintf(line, sizeof(line), "encoder=%s\n", o->video_encoder);
		hash_str(h, line);
	}
}

void key_derive_source(const struct record_source *source, const struct record_options *options,
		       char key[RECORD_KEY_SIZE])
{
	crypto_hash_sha256_state h;
	bool is_bitrate = options->audio_mode == RECORD_AUDIO_BITRATE;
	char rest[256];
	snprintf(rest, sizeof(rest), "\nsize=%" PRId64 "\nmtime_ns=%" PRId64 "\ntarget=%" PRId64 "\naudio=%c:%d:%d%s\n",
		 source->size, source->mtime_ns, options->target_ticks, is_bitrate ? 'b' : 'q',
		 is_bitrate ? options->audio_bitrate : options->audio_quality, options->audio_channels,
		 options->is_audio_copied ? ":copy" : "");
	crypto_hash_sha256_init(&h);
	hash_str(&h, "segfarm:2\npath=");
	hash_str(&h, source->path);
	hash_str(&h, rest);
	hash_tracks(&h, options);
	hash_encoding(&h, options);
	hash_end(&h, key);
}

void key_hash(struct bytes data, char key[RECORD_KEY_SIZE])
{
	crypto_hash_sha256_state h;
	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, data.data, data.size);
	hash_end(&h, key);
}

bool key_is_valid(const char *key)
{
	return strlen(key) == KEY_DIGITS && strspn(key, "0123456789abcdef") == KEY_DIGITS;
}
