/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Removing a stream. Its record is renamed: so it is gone at once, even where Redis has no memory left, and what it is named now marks
 * the rest, which may be long, to be taken away bit by bit. The stream stays listed until then, so that whoever comes later finds it.
 */
#include "common/store_internal.h"

#include <string.h>

#define KEYS_AT_ONCE 256   /* 64 MiB of pieces: some milliseconds of Redis' time; a segment's go together */
#define RECORDS_AT_ONCE 100
_Static_assert(RECORDS_AT_ONCE + 2 <= STORE_ARGS_MAX, "two keys, and the fields");

int store_remove_stream(struct store *s, const char *stream, struct err *err)
{
	char record[STORE_KEY_MAX], removed[STORE_KEY_MAX], owner[STORE_KEY_MAX];
	const char *argv[] = { record, removed, owner };
	redisReply *reply;
	int rc = store_key(s, record, stream, err, "stream");
	if (!rc)
		rc = store_key(s, removed, stream, err, "removed");
	if (!rc)
		rc = store_key(s, owner, stream, err, "owner");
	if (!rc)
		rc = store_script(s, STORE_SCRIPT_REMOVE, 3, argv, 3, NULL, &reply, err);
	if (!rc)
		freeReplyObject(reply);
	return rc;
}

/* All that there may be, whatever its plan said. */
static void put_renditions(struct buf *names)
{
	char name[RECORD_RENDITION_MAX + 1];
	buf_put_str(names, RECORD_RENDITION " " RECORD_VIDEO_RENDITION);
	for (int i = 0; i < RECORD_TRACKS_MAX; i++) {
		if (i < RECORD_AUDIOS_MAX)
			record_rendition(name, RECORD_AUDIO_RENDITION, i + 1);
		else
			record_rendition(name, RECORD_TEXT_RENDITION, i - RECORD_AUDIOS_MAX + 1);
		buf_printf(names, " %s", name);
	}
}

/* Pieces go before the record that they are found by, whoever dies in between. Who is late may take some of a stream that has come again:
 * they are made again, as all that is dropped. */
static int clean_page(struct store *s, const char *begin, const char *mark, const char *rendition, const redisReply *page, struct err *err)
{
	char commits[STORE_KEY_MAX + RECORD_RENDITION_MAX + 8];
	const char *argv[2 + RECORDS_AT_ONCE] = { commits, mark };
	size_t sizes[2 + RECORDS_AT_ONCE];
	struct buf keys = { 0 };
	redisReply *reply = NULL;
	int n = 2, n_keys = 0;

	snprintf(commits, sizeof(commits), "%ssegs:%.*s", begin, RECORD_RENDITION_MAX, rendition);
	sizes[0] = strlen(commits);
	sizes[1] = strlen(mark);
	for (size_t i = 0; i + 1 < page->elements && n < 2 + RECORDS_AT_ONCE && n_keys < KEYS_AT_ONCE; i += 2) {
		const redisReply *field = page->element[i];

		if (field->type != REDIS_REPLY_STRING)
			continue;
		n_keys += store_put_pieces(&keys, begin, rendition, field, page->element[i + 1]);
		argv[n] = field->str;
		sizes[n++] = field->len;
	}
	int rc = store_unlink(s->data, begin, &keys, n_keys, err);
	if (!rc)
		rc = store_script(s, STORE_SCRIPT_FORGET, 2, argv, n, sizes, &reply, err);
	freeReplyObject(reply);
	buf_finish(&keys);
	return rc;
}

/* 1 there is more, 0 only the mark is left, or it was the last time, and there is nothing. */
static int clean(struct store *s, const char *stream, const char *last, struct err *err)
{
	struct buf renditions = { 0 };
	char begin[STORE_KEY_MAX], mark[STORE_KEY_MAX];
	redisReply *reply;
	int rc = store_key(s, begin, stream, err, "%s", "");
	if (!rc)
		rc = store_key(s, mark, stream, err, "removed");
	put_renditions(&renditions);
	if (!rc && !buf_cstr(&renditions))
		rc = err_set(err, ERR_NOMEM, "out of memory");
	if (!rc) {
		const char *argv[] = { begin, mark, (const char *)renditions.data, last };
		rc = store_script(s, STORE_SCRIPT_CLEAN, 2, argv, 4, NULL, &reply, err);
	}
	buf_finish(&renditions);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY || (reply->elements && (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
								     reply->element[1]->type != REDIS_REPLY_ARRAY)))
		return store_surprise(s, reply, err);
	if (reply->elements) {
		rc = clean_page(s, begin, mark, reply->element[0]->str, reply->element[1], err);
		rc = rc ? rc : 1;
	}
	freeReplyObject(reply);
	return rc;
}

/* A stream that has come again stays listed. Whoever puts it anew just now has it listed after that: before or after we look again. */
static int unlist(struct store *s, const char *stream, struct err *err)
{
	char record[STORE_KEY_MAX], streams[STORE_KEY_MAX];
	int rc = store_key(s, record, stream, err, "stream");
	store_common_key(s, streams, "streams", "");
	if (!rc)
		rc = store_exists(s, record, err);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = store_do(s, streams, err, "SREM %s %s", streams, stream);
	if (!rc)
		rc = store_exists(s, record, err);
	if (rc <= 0)
		return rc;
	return store_do(s, streams, err, "SADD %s %s", streams, stream);
}

int store_clean(struct store *s, const char *stream, struct err *err)
{
	char mark[STORE_KEY_MAX];
	int rc = store_key(s, mark, stream, err, "removed");
	if (!rc)
		rc = store_exists(s, mark, err);
	if (rc <= 0)
		return rc;
	rc = clean(s, stream, "", err);
	if (!rc)
		rc = unlist(s, stream, err);
	return rc ? rc : clean(s, stream, "last", err);
}
