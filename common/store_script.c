/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The scripts that run in Redis, each as one step that nobody comes in between.
 */
#include "common/store_internal.h"

#include <stdio.h>
#include <string.h>

#define ARGS_MAX 16

/* KEYS: stream's hash, commit records, what every piece's key begins with. All keys of a stream share its hash tag, so
 * the pieces' own are not listed. ARGV: field, plan hash. Answers the record, PLAN, or nil. */
static const char script_peek[] = "if redis.call('HGET', KEYS[1], 'plan_hash') ~= ARGV[2] then return 'PLAN' end\n"
				  "local old = redis.call('HGET', KEYS[2], ARGV[1])\n"
				  "if not old then return false end\n"
				  "local n, plan = string.match(old, '^%d+ (%d+) %x+ (%x+)$')\n"
				  "if plan ~= ARGV[2] then return false end\n"
				  "for i = 0, math.min(tonumber(n), 4096) - 1 do\n"
				  "  if redis.call('EXISTS', KEYS[3] .. i) == 0 then return false end\n"
				  "end\n"
				  "return old\n";

/* ARGV: field, plan hash, record, pieces, lifetime. Answers the record, PLAN or PIECE. */
static const char script_commit[] =
	"if redis.call('HGET', KEYS[1], 'plan_hash') ~= ARGV[2] then return 'PLAN' end\n"
	"local n, ttl = tonumber(ARGV[4]), tonumber(ARGV[5])\n"
	"for i = 0, n - 1 do\n"
	"  if redis.call('EXISTS', KEYS[3] .. i) == 0 then return 'PIECE' end\n"
	"end\n"
	"local old = redis.call('HGET', KEYS[2], ARGV[1])\n"
	"local n_old = tonumber(old and string.match(old, '^%d+ (%d+) ') or 0)\n"
	"for i = n, math.min(n_old, 4096) - 1 do redis.call('DEL', KEYS[3] .. i) end\n"
	"for i = 0, n - 1 do\n"
	"  if ttl > 0 then redis.call('EXPIRE', KEYS[3] .. i, ttl) else redis.call('PERSIST', KEYS[3] .. i) end\n"
	"end\n"
	"if old ~= ARGV[3] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end\n"
	"return ARGV[3]\n";

/* KEYS: the stream's owner. ARGV: who we think it is, a command. */
static const char script_guard[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'OWNER' end\n"
				   "return redis.call(unpack(ARGV, 2))\n";

/* KEYS: the stream's owner. ARGV: the new one's id, the owner that it replaces. Answers the new owner, or nil. */
static const char script_own[] = "local old = redis.call('GET', KEYS[1]) or ''\n"
				 "if old ~= ARGV[2] then return false end\n"
				 "local n = tonumber(string.match(old, '^%x+ (%d+)$') or 0)\n"
				 "local new = ARGV[1] .. ' ' .. string.format('%.0f', n + 1)\n"
				 "redis.call('SET', KEYS[1], new)\n"
				 "return new\n";

/* KEYS: what all keys of a stream begin with. ARGV: how many keys are enough, the names of all renditions that there may be, "last".
 * Takes away what was made of a stream that is marked as removed. Answers 1: there is more, 0: only the mark is left, or it was the last
 * time, and there is nothing. */
static const char script_clean[] = "local k, n, enough = KEYS[1], 0, tonumber(ARGV[1])\n"
				   "if redis.call('EXISTS', k .. 'removed') == 0 then return 0 end\n"
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
				   "if ARGV[3] == 'last' then redis.call('UNLINK', k .. 'removed') end\n"
				   "return 0\n";

static const char *const script_texts[] = {
	[STORE_SCRIPT_PEEK] = script_peek,
	[STORE_SCRIPT_COMMIT] = script_commit,
	[STORE_SCRIPT_GUARD] = script_guard,
	[STORE_SCRIPT_OWN] = script_own,
	[STORE_SCRIPT_CLEAN] = script_clean,
};

static int load_script(struct store *s, enum store_script which, struct err *err)
{
	redisReply *reply;
	int rc = store_call(s, &reply, err, "SCRIPT LOAD %s", script_texts[which]);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_STRING || reply->len != STORE_SHA_SIZE - 1)
		return store_surprise(s, reply, err);
	memcpy(s->sha[which], reply->str, STORE_SHA_SIZE);
	freeReplyObject(reply);
	return 0;
}

int store_script(struct store *s, enum store_script which, int n_keys, const char *const *argv, int n, const size_t *sizes,
		 redisReply **reply, struct err *err)
{
	const char *all[ARGS_MAX];
	size_t all_sizes[ARGS_MAX];
	char count[8];
	struct err e = { 0 };
	int rc = 0;
	ASSERT(n + 3 <= ARGS_MAX);
	*reply = NULL;
	snprintf(count, sizeof(count), "%d", n_keys);
	all[0] = "EVALSHA";
	all[1] = s->sha[which];
	all[2] = count;
	for (int i = 0; i < n; i++) {
		all[i + 3] = argv[i];
		all_sizes[i + 3] = sizes ? sizes[i] : strlen(argv[i]);
	}
	for (int try = 0; try < 2; try++) {
		rc = s->sha[which][0] ? 0 : load_script(s, which, &e);
		for (int i = 0; i < 3; i++)
			all_sizes[i] = strlen(all[i]);
		if (!rc)
			rc = store_call_argv(s, reply, &e, n + 3, all, all_sizes);
		/* Redis forgets scripts when it restarts. */
		if (!rc || !strstr(e.msg, "NOSCRIPT"))
			break;
		s->sha[which][0] = 0;
	}
	if (rc && err)
		*err = e;
	return rc;
}

int store_guarded(struct store *s, const char *stream, const char *owner, const char *const *argv, int n, const size_t *sizes,
		  struct err *err)
{
	char key[STORE_KEY_MAX];
	const char *all[ARGS_MAX] = { key, owner };
	size_t all_sizes[ARGS_MAX];
	redisReply *reply;
	bool is_ours;
	int rc = store_key(s, key, stream, err, "owner");
	ASSERT(n + 2 < ARGS_MAX - 3);
	for (int i = 0; i < n; i++) {
		all[i + 2] = argv[i];
		all_sizes[i + 2] = sizes ? sizes[i] : strlen(argv[i]);
	}
	if (!rc && !owner) {
		rc = store_call_argv(s, &reply, err, n, all + 2, all_sizes + 2);
	} else if (!rc) {
		all_sizes[0] = strlen(key);
		all_sizes[1] = strlen(owner);
		rc = store_script(s, STORE_SCRIPT_GUARD, 1, all, n + 2, all_sizes, &reply, err);
	}
	if (rc)
		return rc;
	is_ours = reply->type != REDIS_REPLY_STRING || strcmp(reply->str, "OWNER");
	freeReplyObject(reply);
	return is_ours ? 0 : err_set(err, ERR_STOPPED, "stream %s has another owner by now", stream);
}
