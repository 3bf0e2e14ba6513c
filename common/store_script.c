/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The scripts that run in Redis, each as one step that nobody comes in between.
 */
#include "common/store_internal.h"

#include <stdio.h>
#include <string.h>

#define ARGS_MAX 16

/* KEYS: commit records, what every piece's key begins with. All keys of a stream share its hash tag, so the pieces' own are not listed;
 * nor is the stream's, which a worker's user may only read. While a slot is on its way the second key, which is never there, makes a
 * cluster answer TRYAGAIN.
 * ARGV: stream's hash, field, plan hash. Answers the record, PLAN, or nil. */
static const char script_peek[] = "if redis.call('HGET', ARGV[1], 'plan_hash') ~= ARGV[3] then return 'PLAN' end\n"
				  "local old = redis.call('HGET', KEYS[1], ARGV[2])\n"
				  "if not old then return false end\n"
				  "local n, plan = string.match(old, '^%d+ (%d+) %x+ (%x+)$')\n"
				  "if plan ~= ARGV[3] then return false end\n"
				  "for i = 0, math.min(tonumber(n), 4096) - 1 do\n"
				  "  if redis.call('EXISTS', KEYS[2] .. i) == 0 then return false end\n"
				  "end\n"
				  "return old\n";

/* ARGV: stream's hash, field, plan hash, record, pieces, lifetime. Answers the record, PLAN or PIECE. */
static const char script_commit[] =
	"if redis.call('HGET', ARGV[1], 'plan_hash') ~= ARGV[3] then return 'PLAN' end\n"
	"local n, ttl = tonumber(ARGV[5]), tonumber(ARGV[6])\n"
	"for i = 0, n - 1 do\n"
	"  if redis.call('EXISTS', KEYS[2] .. i) == 0 then return 'PIECE' end\n"
	"end\n"
	"local old = redis.call('HGET', KEYS[1], ARGV[2])\n"
	"local n_old = tonumber(old and string.match(old, '^%d+ (%d+) ') or 0)\n"
	"for i = n, math.min(n_old, 4096) - 1 do redis.call('DEL', KEYS[2] .. i) end\n"
	"for i = 0, n - 1 do\n"
	"  if ttl > 0 then redis.call('EXPIRE', KEYS[2] .. i, ttl) else redis.call('PERSIST', KEYS[2] .. i) end\n"
	"end\n"
	"if old ~= ARGV[4] then redis.call('HSET', KEYS[1], ARGV[2], ARGV[4]) end\n"
	"return ARGV[4]\n";


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

/* KEYS: what all keys of a stream begin with (as above: it is never there), its mark. ARGV: how many keys are enough, the names of all renditions that there may be, "last".
 * Takes away what was made of a stream that is marked as removed. Answers 1: there is more, 0: only the mark is left, or it was the last
 * time, and there is nothing. */
static const char script_clean[] = "local k, n, enough = KEYS[1], 0, tonumber(ARGV[1])\n"
				   "if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end\n"
				   "for r in string.gmatch(ARGV[2], '%S+') do\n"
				   "  local cursor = '0'\n"
				   "  repeat\n"
				   "    local page = redis.pcall('HSCAN', k .. 'segs:' .. r, cursor, 'COUNT', 16)\n"
				   "    if page.err then page = { '0', {} } end\n" /* it is no hash */
				   "    cursor = page[1]\n"
				   "    for i = 1, #page[2], 2 do\n"
				   "      local field, pieces = page[2][i], string.match(page[2][i + 1], '^%d+ (%d+) ')\n"
				   "      for p = 0, math.min(tonumber(pieces or 0), 4096) - 1 do\n"
				   "        redis.call('UNLINK', k .. 'seg:' .. r .. ':' .. field .. ':' .. p)\n"
				   "        n = n + 1\n"
				   "      end\n"
				   "      redis.call('HDEL', k .. 'segs:' .. r, field)\n"
				   "      if n >= enough then return 1 end\n"
				   "    end\n"
				   "  until cursor == '0'\n"
				   "  redis.call('UNLINK', k .. 'segs:' .. r, k .. 'init:' .. r)\n"
				   "end\n"
				   "redis.call('UNLINK', k .. 'index', k .. 'plan', k .. 'fails')\n"
				   "if ARGV[3] == 'last' then redis.call('UNLINK', KEYS[2]) end\n"
				   "return 0\n";

static const char *const script_texts[] = {
	[STORE_SCRIPT_PEEK] = script_peek,
	[STORE_SCRIPT_COMMIT] = script_commit,
	[STORE_SCRIPT_GUARD] = script_guard,
	[STORE_SCRIPT_OWN] = script_own,
	[STORE_SCRIPT_ACCEPT] = script_accept,
	[STORE_SCRIPT_MAIL] = script_mail,
	[STORE_SCRIPT_LOOK] = script_look,
	[STORE_SCRIPT_PUSH] = script_push,
	[STORE_SCRIPT_REMOVE] = script_remove,
	[STORE_SCRIPT_CLEAN] = script_clean,
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

	ASSERT(n + 3 <= ARGS_MAX && n_keys >= 1);
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
	ASSERT(n >= 2 && n + 2 < ARGS_MAX - 3);
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
