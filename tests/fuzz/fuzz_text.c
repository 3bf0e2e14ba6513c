/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Packets of subtitles, of the codec that the first byte says, become payloads of cues that end nowhere but at their end. The names of
 * their tracks become such that may stand in a playlist.
 */
#include "tests/fuzz/fuzz.h"

#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "worker/label.h"
#include "worker/text.h"
#include "worker/vtt.h"

/* Nothing that a browser takes for markup but our own tags, which are balanced; no empty line; UTF-8. */
static void check_payload(const struct buf *b)
{
	const char *text = (const char *)b->data;
	int open = 0;

	ASSERT(!b->size || (text[0] != '\n' && text[b->size - 1] != '\n'));
	ASSERT(!b->size || (!memmem(text, b->size, "\n\n", 2) && !memmem(text, b->size, "-->", 3)));
	for (size_t i = 0, n; i < b->size; i += n) {
		bool is_end = i + 1 < b->size && text[i + 1] == '/';

		n = utf8_character(text + i, b->size - i);
		ASSERT(n && (text[i] == '\n' || (unsigned char)text[i] >= ' '));
		if (text[i] != '<')
			continue;
		ASSERT(i + 2 + is_end < b->size && strchr("biu", text[i + 1 + is_end]) && text[i + 2 + is_end] == '>');
		open += is_end ? -1 : 1;
		ASSERT(open >= 0);
	}
	ASSERT(!open);
}

static void check_label(const char *text)
{
	struct record_track t = { 0 };
	struct track from = { 0 };

	snprintf(from.name, sizeof from.name, "%s", text);
	snprintf(from.language, sizeof from.language, "%s", text);
	label_track(&t, 0, &from);
	ASSERT(t.name[0] && !strpbrk(t.name, "\"\r\n") && strspn(t.language, RECORD_TAG_CHARS) == strlen(t.language));
	for (size_t i = 0, n; t.name[i]; i += n)
		ASSERT((n = utf8_character(t.name + i, strlen(t.name + i))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codecs[] = { "S_TEXT/UTF8", "S_TEXT/ASS", "S_TEXT/WEBVTT", "D_WEBVTT/SUBTITLES" };
	struct bytes in = { data, size }, packet;
	size_t codec = (size_t)fuzz_uint(&in, 1) % 4;
	struct track track = { .number = 1, .type = TRACK_TEXT };
	struct text_decoder *decoder;
	struct buf out = { 0 };
	struct err err = { 0 };
	char *text = strndup((const char *)in.data, in.size);

	av_log_set_level(AV_LOG_QUIET);
	ASSERT(text);
	vtt_put_text(&out, text);
	check_payload(&out);
	buf_reset(&out);
	check_label(text);
	snprintf(track.codec_id, sizeof track.codec_id, "%s", codecs[codec]);
	ASSERT(!text_decoder_create(&decoder, &track, &err));
	packet = fuzz_copy(in);
	if (!text_decode(decoder, packet, &out, &err))
		check_payload(&out);
	free((void *)(uintptr_t)packet.data);
	text_decoder_destroy(decoder);
	buf_finish(&out);
	free(text);
	return 0;
}
