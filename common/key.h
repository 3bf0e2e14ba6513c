/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys: the first 16 hex digits of a SHA-256 (libsodium).
 *
 * A compatibility contract, same strings in, same key out:
 *   key_derive("<id>", ...)          SHA-256 of "mp4:file_id:<id>"
 *   key_derive(NULL, chat, message)  SHA-256 of "mp4:chat:<chat>:msg:<message>"
 *   neither known                    the empty string
 */
#ifndef SEGFARM_COMMON_KEY_H
#define SEGFARM_COMMON_KEY_H

#include "common/buf.h"
#include "common/record.h"

/* An argument that is NULL or "" is not known; file_id wins; chat and message only together. */
void key_derive(const char *file_id, const char *chat, const char *message, char key[RECORD_KEY_SIZE]);

/* Of a local file and the options that change the output: SHA-256 of the canonical string
 *   segfarm:2\n path=<path>\n size=<bytes>\n mtime_ns=<ns>\n target=<ticks>\n audio=<mode>:<value>:<channels>\n
 * (without the spaces). mode:value is q:<quality> or b:<bitrate>. */
void key_derive_source(const struct record_source *source, const struct record_options *options,
		       char key[RECORD_KEY_SIZE]);

/* First 16 hex digits of SHA-256 of any bytes: plan hashes. */
void key_hash(struct bytes data, char key[RECORD_KEY_SIZE]);

/* Exactly 16 lower-case hex digits. */
bool key_is_valid(const char *key);

#endif
