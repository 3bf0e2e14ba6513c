/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The scripts that run in Redis, each as one step that nobody comes in between.
 */
#include "common/store_internal.h"

#include <stdio.h>
#include <string.h>

#define ARGS_MAX (STORE_ARGS_MAX + 3) /* with what EVAL has in front */

/* KEYS: commit records, what every piece's key begins with. All keys of a stream share its hash tag; its hash is not listed, for a worker's
 * user may only read it. While a slot is on its way the second key, which is never there, makes a cluster answer TRYAGAIN.
 * ARGV: stream's hash, field, plan hash. Answers the record, PLAN, or nil. */
static const char script_peek[] = "if redis.call('HGET', ARGV[1], 'plan_hash') ~= ARGV[3] then return 'PLAN' end\n"
				  "return redis.call('HGET', KEYS[1], ARGV[2])\n";

/* The same, with the new record behind. Answers the one before, PLAN, or nil. */
static const char script_commit[] = "if redis.call('HGET', ARGV[1], 'plan_hash') ~= ARGV[3] then return 'PLAN' end\n"
				    "local old = redis.call('HGET', KEYS[1], ARGV[2])\n"
				    "if old ~= ARGV[4] then redis.call('HSET', KEYS[1], ARGV[2], ARGV[4]) end\n"
				    "return old\n";

/* KEYS: the first piece, what every piece's key begins with (as above). ARGV: pieces, as many as there may have been before, lifetime.
 * Answers 1, or 0: one is gone. */
static const char script_settle[] =
	"local k, n, ttl = KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[3])\n"
	"for i = 0, n - 1 do\n"
	"  if redis.call('EXISTS', k .. i) == 0 then return 0 end\n"
	"end\n"
	"for i = 0, n - 1 do\n"
	"  if ttl > 0 then redis.call('EXPIRE', k .. i, ttl) else redis.call('PERSIST', k .. i) end\n"
	"end\n"
	"for i = n, tonumber(ARGV[2]) - 1 do redis.call('UNLINK', k .. i) end\n"
	"return 1\n";

/* KEYS: the stream's owner, the key that is written. ARGV: who we think it is, a command, what it says of the key. */
static const char script_guard[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'OWNER' end\n"
				   "return redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3))\n";

/* KEYS: the stream's owner. ARGV: the new one's id, the owner that it replaces. Answers the new owner, or nil. */
static const char script_own[] = "local old = redis.call('GET', KEYS[1]) or ''\n"
				 "if old ~= ARGV[2] then return false end\n"
				 "local n = tonumber(string.match(old, '^%x+ (%d+)$') or 0)\n"
				 "local new = ARGV[1] .. ' ' .. string.format('%.0f', n + 1)\n"
				 "redis.call('SET', KEYS[1], new)\n"
				 "return new\n";

/* KEYS: the stream's hash. ARGV: source, options, mode, now. */
static const char script_accept[] = "redis.call('HSET', KEYS[1], 'source', ARGV[1], 'options', ARGV[2], 'mode', ARGV[3])\n"
				    "redis.call('HSETNX', KEYS[1], 'created', ARGV[4])\n"
				    "redis.call('HSETNX', KEYS[1], 'state', 'probing')\n"
				    "redis.call('HSETNX', KEYS[1], 'error', '')\n"
				    "return 1\n";

/* KEYS: a stream's hash. ARGV: fields and values. Answers 0: it is gone, and must not be there again without its source. */
static const char script_update[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end\n"
				    "redis.call('HSET', KEYS[1], unpack(ARGV))\n"
				    "return 1\n";

/* KEYS: a list. ARGV: what is put at its end, how many it may have, its lifetime. */
static const char script_mail[] = "redis.call('RPUSH', KEYS[1], ARGV[1])\n"
				  "redis.call('LTRIM', KEYS[1], -ARGV[2], -1)\n"
				  "redis.call('EXPIRE', KEYS[1], ARGV[3])\n"
				  "return 1\n";

/* KEYS: a play's list, its reader. ARGV: the list's lifetime. Answers how many are unread; -1: nobody reads, and nothing is left. */
static const char script_look[] = "if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('UNLINK', KEYS[1]) return -1 end\n"
				  "redis.call('EXPIRE', KEYS[1], ARGV[1])\n"
				  "return redis.call('LLEN', KEYS[1])\n";

/* KEYS: a play's list. ARGV: lifetime, piece. In one: a worker that is killed in between must not leave what lives for ever. */
static const char script_push[] = "redis.call('RPUSH', KEYS[1], ARGV[2])\n"
				  "return redis.call('EXPIRE', KEYS[1], ARGV[1])\n";

/* KEYS: the stream's hash, what it is named when it is removed, the owner. Somebody else may have removed it meanwhile. */
static const char script_remove[] = "redis.call('DEL', KEYS[3])\n"
				    "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end\n"
				    "return 1\n";

/* KEYS: what all keys of a stream begin with (as above: it is never there), its mark. ARGV: the names of all renditions that there may be,
 * "last". Of a stream that is marked as removed. Answers a rendition and some of its records (a field, a value, a field, ...). Where there
 * are none the rest goes, with "last" the mark, too, and it answers nothing. */
static const char script_clean[] = "local k = KEYS[1]\n"
				   "if redis.call('EXISTS', KEYS[2]) == 0 then return {} end\n"
				   "for r in string.gmatch(ARGV[1], '%S+') do\n"
				   "  local cursor = '0'\n"
				   "  repeat\n"
				   "    local page = redis.pcall('HSCAN', k .. 'segs:' .. r, cursor, 'COUNT', 100)\n"
				   "    if page.err and string.find(page.err, 'WRONGTYPE', 1, true) then page = { '0', {} } end\n" /* it is no hash */
				   "    if page.err then return page end\n"
				   "    if #page[2] > 0 then return { r, page[2] } end\n"
				   "    cursor = page[1]\n"
				   "  until cursor == '0'\n"
				   "  redis.call('UNLINK', k .. 'segs:' .. r, k .. 'init:' .. r)\n"
				   "end\n"
				   "redis.call('UNLINK', k .. 'index', k .. 'plan', k .. 'fails')\n"
				   "if ARGV[2] == 'last' then redis.call('UNLINK', KEYS[2]) end\n"
				   "return {}\n";

/* KEYS: commit records, the mark. ARGV: fields. It may have been cleaned up by somebody else, and have come again. */
static const char script_forget[] = "if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HDEL', KEYS[1], unpack(ARGV)) end\n"
				    "return 1\n";

static const char *const script_texts[] = {
	[STORE_SCRIPT_PEEK] = script_peek,
	[STORE_SCRIPT_COMMIT] = script_commit,
	[STORE_SCRIPT_SETTLE] = script_settle,
	[STORE_SCRIPT_GUARD] = script_guard,
	[STORE_SCRIPT_OWN] = script_own,
	[STORE_SCRIPT_ACCEPT] = script_accept,
	[STORE_SCRIPT_UPDATE] = script_update,
	[STORE_SCRIPT_MAIL] = script_mail,
	[STORE_SCRIPT_LOOK] = script_look,
	[STORE_SCRIPT_PUSH] = script_push,
	[STORE_SCRIPT_REMOVE] = script_remove,
	[STORE_SCRIPT_CLEAN] = script_clean,
	[STORE_SCRIPT_FORGET] = script_forget,
};

const char *store_script_text(enum store_script which)
{
	return script_texts[which];
}

/* With its text each time: a hash would have to be loaded into each node, and again after each failover, to save a microsecond. */
int store_script(struct store *s, enum store_script which, int n_keys, const char *const *argv, int n, const size_t *sizes,
		 redisReply **reply, struct err *err)
{
	char count[12];
	const char *all[ARGS_MAX] = { "EVAL", script_texts[which], count };
	size_t all_sizes[ARGS_MAX];

	ASSERT(n <= STORE_ARGS_MAX && n_keys >= 1);
	snprintf(count, sizeof(count), "%d", n_keys);
	for (int i = 0; i < n; i++)
		all[i + 3] = argv[i];
	for (int i = 0; i < n + 3; i++)
		all_sizes[i] = i >= 3 && sizes ? sizes[i - 3] : strlen(all[i]);
	return store_call_argv(s, argv[0], reply, err, n + 3, all, all_sizes);
}

int store_guarded(struct store *s, const char *stream, const char *owner, const char *const *argv, int n, const size_t *sizes,
		  struct err *err)
{
	char key[STORE_KEY_MAX];
	const char *all[ARGS_MAX] = { key, argv[1], owner, argv[0] };
	size_t all_sizes[ARGS_MAX];
	redisReply *reply;
	bool is_ours;
	int rc = store_key(s, key, stream, err, "owner");
	ASSERT(n >= 2 && n + 2 <= STORE_ARGS_MAX);
	if (!rc && !owner) {
		for (int i = 0; i < n; i++) {
			all[i] = argv[i];
			all_sizes[i] = sizes ? sizes[i] : strlen(argv[i]);
		}
		rc = store_call_argv(s, key, &reply, err, n, all, all_sizes);
	} else if (!rc) {
		for (int i = 2; i < n; i++)
			all[i + 2] = argv[i];
		for (int i = 0; i < n + 2; i++)
			all_sizes[i] = i >= 4 && sizes ? sizes[i - 2] : strlen(all[i]);
		rc = store_script(s, STORE_SCRIPT_GUARD, 2, all, n + 2, all_sizes, &reply, err);
	}
	if (rc)
		return rc;
	is_ours = reply->type != REDIS_REPLY_STRING || strcmp(reply->str, "OWNER");
	freeReplyObject(reply);
	return is_ours ? 0 : err_set(err, ERR_STOPPED, "stream %s has another owner by now", stream);
}
