/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Segments: pieces and the record that commits them, which may be on two servers: in that case no step is taken on both of them.
 *
 * A writer sets all pieces with a short lifetime, writes the record if the stream's plan is still its own, and then gives the pieces, if
 * all of them are there, the lifetime that they are to have. One that dies before the record leaves nothing behind for long; one that dies
 * after it a record whose pieces go: readers believe the pieces, and until then whoever comes second finds both and does the last step. It
 * writes nothing; two that write at the same time write equal bytes, and the record then describes the pieces that lie there.
 */
#include "common/store_internal.h"

#include "common/key.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PIECE_LIFETIME "600" /* seconds, until the commit */
#define SCAN_COUNT 1000
#define FIELD_MAX 96 /* bytes of a hash field, NUL included */
#define RECORD_MAX 96
#define REASON_MAX 1024
#define PIECES_AHEAD 8 /* asked for before the first of them is taken: 2 MiB */

/* The keys and the field of one segment. */
struct names {
	char stream[STORE_KEY_MAX];
	char commits[STORE_KEY_MAX];
	char piece[STORE_KEY_MAX]; /* without the number */
	char field[FIELD_MAX];
};

static int get_names(const struct store *s, const struct store_segment *seg, struct names *n, struct err *err)
{
	if (!store_is_rendition(seg->rendition))
		return err_set(err, ERR_USAGE, "\"%.40s\" is not a rendition's name", seg->rendition);
	snprintf(n->field, sizeof(n->field), "%" PRId64 ":%" PRId64, seg->start, seg->duration);
	int rc = store_key(s, n->stream, seg->stream, err, "stream");
	if (!rc)
		rc = store_key(s, n->commits, seg->stream, err, "segs:%s", seg->rendition);
	if (!rc)
		rc = store_key(s, n->piece, seg->stream, err, "seg:%s:%s:", seg->rendition, n->field);
	/* Room for a number behind it. */
	if (!rc && strlen(n->piece) + 12 >= STORE_KEY_MAX)
		rc = err_set(err, ERR_USAGE, "the prefix of the keys is too long");
	return rc;
}

/* --- commit records */

static int pieces_of(int64_t bytes)
{
	return (int)((bytes + STORE_PIECE - 1) / STORE_PIECE);
}

static void format_commit(const struct store_commit *c, char text[RECORD_MAX])
{
	snprintf(text, RECORD_MAX, "%" PRId64 " %d %s %s", c->bytes, c->pieces, c->checksum, c->plan_hash);
}

static bool parse_commit(const redisReply *r, struct store_commit *c)
{
	char again[RECORD_MAX];
	if (r->type != REDIS_REPLY_STRING || r->len >= RECORD_MAX)
		return false;
	if (sscanf(r->str, "%" SCNd64 " %d %16s %16s", &c->bytes, &c->pieces, c->checksum, c->plan_hash) != 4)
		return false;
	if (c->bytes < 1 || c->bytes > STORE_SEGMENT_MAX || c->pieces != pieces_of(c->bytes))
		return false;
	/* What we would have written is what must be there, to the last byte. */
	format_commit(c, again);
	return key_is_valid(c->checksum) && key_is_valid(c->plan_hash) && strlen(again) == r->len &&
	       !strcmp(again, r->str);
}

/* --- scripts */

/* Runs one of the two that look at the plan: 1 and *old, the record that is there; 0: none, or none that can be read: then old->pieces is
 * how many there may be. */
static int run_script(struct store *s, enum store_script which, const struct names *n, const char *plan_hash, const char *record,
		      struct store_commit *old, struct err *err)
{
	const char *argv[] = { n->commits, n->piece, n->stream, n->field, plan_hash, record };
	redisReply *reply;
	int rc = store_script(s, which, 2, argv, 6, NULL, &reply, err);

	memset(old, 0, sizeof(*old));
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_NIL && reply->type != REDIS_REPLY_STRING)
		return store_surprise(s, reply, err);
	if (reply->type == REDIS_REPLY_STRING && !strcmp(reply->str, "PLAN"))
		rc = err_set(err, ERR_STOPPED, "the stream has another plan by now");
	else if (reply->type == REDIS_REPLY_STRING && parse_commit(reply, old))
		rc = 1;
	else
		old->pieces = reply->type == REDIS_REPLY_STRING ? STORE_PIECES_MAX : 0;
	freeReplyObject(reply);
	return rc;
}

/* 1 the pieces have their lifetime, and those behind them, up to n_before, are gone; 0 one is not there. */
static int settle(struct store *s, const struct names *n, int pieces, int n_before, int64_t ttl_s, struct err *err)
{
	char first[STORE_KEY_MAX + 16], count[16], before[16], ttl[24];
	const char *argv[] = { first, n->piece, count, before, ttl };
	redisReply *reply;

	snprintf(first, sizeof(first), "%s0", n->piece);
	snprintf(count, sizeof(count), "%d", pieces);
	snprintf(before, sizeof(before), "%d", n_before);
	snprintf(ttl, sizeof(ttl), "%" PRId64, ttl_s);
	int rc = store_script(s->data, STORE_SCRIPT_SETTLE, 2, argv, 5, NULL, &reply, err);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_INTEGER)
		return store_surprise(s->data, reply, err);
	rc = reply->integer == 1;
	freeReplyObject(reply);
	return rc;
}

/* --- writing */

/* Where writing has got to in the caller's buffers. */
struct cursor {
	const struct iovec *iov;
	size_t at; /* in *iov */
};

/* The next bytes that lie together, of at most size. */
static struct iovec next_bytes(struct cursor *c, size_t size)
{
	while (c->at == c->iov->iov_len) {
		c->iov++;
		c->at = 0;
	}
	struct iovec v = { (char *)c->iov->iov_base + c->at, c->iov->iov_len - c->at };
	if (v.iov_len > size)
		v.iov_len = size;
	c->at += v.iov_len;
	return v;
}

static size_t piece_size(const struct store_commit *c, int i)
{
	return i < c->pieces - 1 ? STORE_PIECE : (size_t)(c->bytes - (int64_t)i * STORE_PIECE);
}

#define PIECE_HEAD "*5\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%zu\r\n"
#define PIECE_TAIL "\r\n$2\r\nEX\r\n$3\r\n" PIECE_LIFETIME "\r\n"
_Static_assert(sizeof(PIECE_LIFETIME) == 4, "its length stands in the tail");

static void send_piece(struct store_sender *o, const struct names *n, int i, size_t size, struct cursor *at)
{
	char key[STORE_KEY_MAX + 16];
	int n_key = snprintf(key, sizeof(key), "%s%d", n->piece, i);
	store_sender_printf(o, PIECE_HEAD, n_key, key, size);
	while (size) {
		struct iovec v = next_bytes(at, size);
		store_sender_put(o, v.iov_base, v.iov_len);
		XXH3_64bits_update(o->s->hash, v.iov_base, v.iov_len);
		size -= v.iov_len;
	}
	store_sender_put(o, PIECE_TAIL, strlen(PIECE_TAIL));
}

/* One by one, each to where it belongs: the slot is on its way to another node. */
static int put_each(struct store *s, const struct names *n, const struct iovec *iov, const struct store_commit *c, struct err *err)
{
	char key[STORE_KEY_MAX + 16], head[STORE_KEY_MAX + 64];
	struct cursor at = { iov, 0 };
	struct buf piece = { 0 };
	redisReply *reply;
	int rc = 0;

	for (int i = 0; i < c->pieces && !rc; i++) {
		int n_key = snprintf(key, sizeof(key), "%s%d", n->piece, i);
		int n_head = snprintf(head, sizeof(head), PIECE_HEAD, n_key, key, piece_size(c, i));

		buf_reset(&piece);
		while (piece.size < piece_size(c, i) && !buf_failed(&piece)) {
			struct iovec v = next_bytes(&at, piece_size(c, i) - piece.size);

			buf_put(&piece, v.iov_base, v.iov_len);
		}
		if (buf_failed(&piece))
			rc = err_set(err, ERR_NOMEM, "no memory for a piece");
		const struct iovec v[] = { { head, (size_t)n_head }, { piece.data, piece.size }, store_iov(PIECE_TAIL, strlen(PIECE_TAIL)) };
		if (!rc)
			rc = store_call_bytes(s, key, v, 3, &reply, err);
		if (!rc)
			freeReplyObject(reply);
	}
	buf_finish(&piece);
	return rc;
}

static int send_pieces(struct store *s, const struct names *n, const struct iovec *iov, struct store_commit *commit, struct err *err)
{
	struct store_sender o;
	struct cursor at = { iov, 0 };
	int rc = store_turn(s, n->stream, err);
	if (rc)
		return rc;
	store_sender_init(&o, s, err);
	XXH3_64bits_reset(s->hash);
	for (int i = 0; i < commit->pieces && !o.rc; i++) {
		send_piece(&o, n, i, piece_size(commit, i), &at);
		store_sender_flush(&o); /* now, as its bytes are in the processor's cache, and Redis has something to do */
	}
	rc = o.rc;
	if (rc)
		return rc;
	snprintf(commit->checksum, sizeof(commit->checksum), "%016" PRIx64, (uint64_t)XXH3_64bits_digest(s->hash));
	rc = store_replies(s, commit->pieces, err);
	return rc == ERR_RETRY && s->redirect.kind ? put_each(s, n, iov, commit, err) : rc;
}

static int total_size(const struct iovec *iov, int n_iov, int64_t *bytes, struct err *err)
{
	*bytes = 0;
	for (int i = 0; i < n_iov; i++) {
		if (iov[i].iov_len > (size_t)(STORE_SEGMENT_MAX - *bytes))
			return err_set(err, ERR_LIMIT, "a segment is over the limit of %" PRId64 " bytes",
				       STORE_SEGMENT_MAX);
		*bytes += (int64_t)iov[i].iov_len;
	}
	return *bytes ? 0 : err_set(err, ERR_USAGE, "a segment has no bytes");
}

/* 1: it exists. */
static int write_segment(struct store *s, const struct names *n, const struct iovec *iov, int64_t ttl_s, struct store_commit *c,
			 struct err *err)
{
	char record[RECORD_MAX];
	struct store_commit old;
	int rc = send_pieces(s->data, n, iov, c, err);

	if (rc)
		return rc;
	format_commit(c, record);
	rc = run_script(s, STORE_SCRIPT_COMMIT, n, c->plan_hash, record, &old, err);
	if (rc >= 0)
		rc = settle(s, n, c->pieces, old.pieces, ttl_s, err);
	return rc ? rc : err_set(err, ERR_RETRY, "Redis at %s has dropped a piece before its commit", store_where(s->data));
}

int store_put_segment(struct store *s, const struct store_segment *seg, const char *plan_hash, const struct iovec *iov,
		      int n_iov, int64_t ttl_s, struct store_commit *commit, struct err *err)
{
	struct names names;
	struct store_commit c = { 0 }, there;
	int rc = get_names(s, seg, &names, err);
	if (!rc && !key_is_valid(plan_hash))
		rc = err_set(err, ERR_USAGE, "\"%.40s\" is not a plan's hash", plan_hash);
	if (!rc)
		rc = total_size(iov, n_iov, &c.bytes, err);
	if (!rc)
		rc = run_script(s, STORE_SCRIPT_PEEK, &names, plan_hash, "", &there, err);
	if (rc == 1)
		rc = strcmp(there.plan_hash, plan_hash) ? 0 : settle(s, &names, there.pieces, 0, ttl_s, err);
	if (rc == 1) {
		c = there;
	} else if (!rc) {
		c.pieces = pieces_of(c.bytes);
		memcpy(c.plan_hash, plan_hash, sizeof(c.plan_hash));
		rc = write_segment(s, &names, iov, ttl_s, &c, err);
	}
	if (rc < 0)
		return rc;
	if (commit)
		*commit = c;
	return 0;
}

/* --- reading */

int store_get_commit(struct store *s, const struct store_segment *seg, struct store_commit *commit, struct err *err)
{
	struct names n;
	redisReply *reply;
	int rc = get_names(s, seg, &n, err);
	if (!rc)
		rc = store_call(s, n.commits, &reply, err, "HGET %s %s", n.commits, n.field);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_NIL && reply->type != REDIS_REPLY_STRING)
		return store_surprise(s, reply, err);
	if (reply->type == REDIS_REPLY_STRING)
		rc = parse_commit(reply, commit) ? 1
						 : err_set(err, ERR_DATA, "the commit record of %s is broken", n.field);
	freeReplyObject(reply);
	return rc;
}

/* What a GET of piece i has given: 1, unless it is empty. */
static int check_piece(const struct names *n, int i, int rc, size_t before, const struct buf *out, struct err *err)
{
	return rc == 1 && out->size == before ? err_set(err, ERR_DATA, "piece %d of %s is empty", i, n->field) : rc;
}

static int get_piece(struct store *s, const struct names *n, int i, struct buf *out, struct err *err)
{
	char key[STORE_KEY_MAX + 16];
	size_t before = out->size;
	snprintf(key, sizeof(key), "%s%d", n->piece, i);
	return check_piece(n, i, store_get_string(s, key, out, STORE_PIECE, err), before, out, err);
}

int store_get_piece(struct store *s, const struct store_segment *seg, int i, struct buf *out, struct err *err)
{
	struct names n;
	int rc = get_names(s, seg, &n, err);
	if (!rc && (i < 0 || i >= STORE_PIECES_MAX))
		rc = err_set(err, ERR_USAGE, "there is no piece %d", i);
	return rc ? rc : get_piece(s->data, &n, i, out, err);
}

int store_has_piece(struct store *s, const struct store_segment *seg, int i, struct err *err)
{
	struct names n;
	char key[STORE_KEY_MAX + 16];
	int rc = get_names(s, seg, &n, err);
	if (rc)
		return rc;
	snprintf(key, sizeof(key), "%s%d", n.piece, i);
	return store_exists(s->data, key, err);
}

static int ask_ahead(struct store *s, const struct names *n, int *sent, int until, struct err *err)
{
	int rc = 0;
	for (; !rc && *sent < until; ++*sent)
		rc = store_send(s, err, "GET %s%d", n->piece, *sent);
	return rc;
}

int store_get_pieces(struct store *s, const struct store_segment *seg, int pieces,
		     int (*fn)(void *arg, struct bytes piece, struct err *err), void *arg, struct err *err)
{
	struct buf piece = { 0 };
	struct names n;
	int sent = 0, taken = 0, rc = get_names(s, seg, &n, err);
	bool is_gone = false;
	s = s->data;
	if (!rc)
		rc = store_turn(s, n.stream, err);
	while (!rc && !is_gone && taken < pieces) {
		int left = pieces - taken;
		rc = ask_ahead(s, &n, &sent, taken + (left < PIECES_AHEAD ? left : PIECES_AHEAD), err);
		if (rc)
			break;
		buf_reset(&piece);
		rc = check_piece(&n, taken, store_reply_string(s, &piece, STORE_PIECE, err), 0, &piece, err);
		taken++;
		if (rc == ERR_RETRY && s->redirect.kind) { /* from its new place; then the others from there */
			store_replies(s, sent - taken, NULL);
			sent = taken;
			rc = get_piece(s, &n, taken - 1, &piece, err);
			if (rc >= 0) {
				int turned = store_turn(s, n.stream, err);
				rc = turned ? turned : rc;
			}
		}
		is_gone = rc == 0;
		if (rc == 1)
			rc = fn(arg, buf_bytes(&piece), err);
	}
	/* What was asked for in advance must not be taken for the answer to something else. */
	if (rc || is_gone)
		store_replies(s, sent - taken, NULL);
	buf_finish(&piece);
	return rc ? rc : !is_gone;
}

int store_drop_commit(struct store *s, const struct store_segment *seg, struct err *err)
{
	struct names n;
	int rc = get_names(s, seg, &n, err);
	return rc ? rc : store_do(s, n.commits, err, "HDEL %s %s", n.commits, n.field);
}

/* Adds the keys of pieces to a command. */
static void put_keys(struct buf *keys, const char *piece, int n)
{
	char key[STORE_KEY_MAX + 16];

	for (int i = 0; i < n; i++) {
		int size = snprintf(key, sizeof(key), "%s%d", piece, i);

		buf_printf(keys, "$%d\r\n%s\r\n", size, key);
	}
}

int store_unlink(struct store *s, const char *key, const struct buf *keys, int n, struct err *err)
{
	char head[40];
	int size = snprintf(head, sizeof(head), "*%d\r\n$6\r\nUNLINK\r\n", n + 1);
	const struct iovec v[] = { store_iov(head, (size_t)size), store_iov(keys->data, keys->size) };
	redisReply *reply;

	if (!n)
		return 0;
	if (buf_failed(keys))
		return err_set(err, ERR_NOMEM, "no memory for a command to Redis");
	int rc = store_call_bytes(s, key, v, 2, &reply, err);
	freeReplyObject(reply);
	return rc;
}

int store_delete_segment(struct store *s, const struct store_segment *seg, int pieces, struct err *err)
{
	struct names n;
	struct buf keys = { 0 };
	int rc = get_names(s, seg, &n, err);
	if (!rc && (pieces < 0 || pieces > STORE_PIECES_MAX))
		rc = err_set(err, ERR_USAGE, "a segment has no %d pieces", pieces);
	if (!rc) {
		put_keys(&keys, n.piece, pieces);
		rc = store_unlink(s->data, n.piece, &keys, pieces, err);
	}
	if (!rc)
		rc = store_do(s, n.commits, err, "HDEL %s %s", n.commits, n.field);
	buf_finish(&keys);
	return rc;
}

/* "<start>:<duration>" and nothing else. */
static bool parse_field(const redisReply *r, int64_t *start, int64_t *duration)
{
	char again[FIELD_MAX];
	if (r->type != REDIS_REPLY_STRING || r->len >= FIELD_MAX ||
	    sscanf(r->str, "%" SCNd64 ":%" SCNd64, start, duration) != 2)
		return false;
	snprintf(again, sizeof(again), "%" PRId64 ":%" PRId64, *start, *duration);
	return strlen(again) == r->len && !strcmp(again, r->str);
}

int store_put_pieces(struct buf *keys, const char *begin, const char *rendition, const redisReply *field, const redisReply *record)
{
	char piece[STORE_KEY_MAX];
	struct store_commit c;
	int64_t start, duration;
	int n = STORE_PIECES_MAX;

	if (!parse_field(field, &start, &duration) || !store_is_rendition(rendition))
		return 0;
	if (parse_commit(record, &c))
		n = c.pieces;
	snprintf(piece, sizeof(piece), "%sseg:%s:%s:", begin, rendition, field->str);
	put_keys(keys, piece, n);
	return n;
}

typedef int list_fn(void *arg, int64_t start, int64_t duration, const struct store_commit *c);

/* One page of HSCAN: fields and records in turn. */
static int list_page(const redisReply *page, const char *key, list_fn *fn, void *arg)
{
	int rc = 0;
	for (size_t i = 0; i + 1 < page->elements && !rc; i += 2) {
		int64_t start, duration;
		struct store_commit c = { 0 };
		if (parse_field(page->element[i], &start, &duration) && parse_commit(page->element[i + 1], &c))
			rc = fn(arg, start, duration, &c);
		else
			log_warn("broken commit record passed over", "key=%s", key);
	}
	return rc;
}

/* The next page, and the cursor behind it: "0" at the end. */
static int scan_page(struct store *s, const char *key, char cursor[32], redisReply **reply, struct err *err)
{
	const redisReply *next;
	int rc = store_call(s, key, reply, err, "HSCAN %s %s COUNT %d", key, cursor, SCAN_COUNT);
	if (rc)
		return rc;
	next = (*reply)->type == REDIS_REPLY_ARRAY && (*reply)->elements == 2 ? (*reply)->element[0] : NULL;
	if (!next || next->type != REDIS_REPLY_STRING || next->len >= 32 || (*reply)->element[1]->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, *reply, err);
	memcpy(cursor, next->str, next->len + 1);
	return 0;
}

int store_list_commits(struct store *s, const char *stream, const char *rendition, list_fn *fn, void *arg,
		       struct err *err)
{
	char key[STORE_KEY_MAX];
	char cursor[32] = "0";
	int rc = store_is_rendition(rendition) ? store_key(s, key, stream, err, "segs:%s", rendition) :
						 err_set(err, ERR_USAGE, "\"%.40s\" is not a rendition's name", rendition);
	const redisContext *from = NULL;
	while (!rc) {
		redisReply *reply;
		rc = scan_page(s, key, cursor, &reply, err);
		if (rc)
			break;
		/* A cursor is of one server: where another one has answered, what it means there is anybody's guess. */
		if (from && from != s->c)
			strcpy(cursor, "0");
		else
			rc = list_page(reply->element[1], key, fn, arg);
		bool is_end = from == s->c || !from ? !strcmp(cursor, "0") : false;
		from = s->c;
		freeReplyObject(reply);
		if (is_end)
			break;
	}
	return rc;
}

int store_count_commits(struct store *s, const char *stream, const char *rendition, int64_t *n, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = store_is_rendition(rendition) ? 0 : err_set(err, ERR_USAGE, "\"%.40s\" is not a rendition's name", rendition);
	if (!rc)
		rc = store_key(s, key, stream, err, "segs:%s", rendition);
	return rc ? rc : store_count(s, key, n, err, "HLEN %s", key);
}

/* --- failures */

int store_put_fail(struct store *s, const char *owner, const struct store_segment *seg, const char *class_name, int attempts,
		   const char *reason, struct err *err)
{
	char key[STORE_KEY_MAX], text[REASON_MAX], field[FIELD_MAX + RECORD_RENDITION_MAX + 2];
	const char *argv[] = { "HSET", key, field, text };
	struct names n;
	int rc = get_names(s, seg, &n, err);
	if (!rc)
		rc = store_key(s, key, seg->stream, err, "fails");
	if (rc)
		return rc;
	snprintf(text, sizeof(text), "%s %d %s", class_name, attempts, reason);
	snprintf(field, sizeof(field), "%s:%s", seg->rendition, n.field);
	return store_guarded(s, seg->stream, owner, argv, 4, NULL, err);
}

int store_clear_fails(struct store *s, const char *stream, struct err *err)
{
	char key[STORE_KEY_MAX];
	int rc = store_key(s, key, stream, err, "fails");
	return rc ? rc : store_do(s, key, err, "DEL %s", key);
}

/* "<rendition>:<start>:<duration>" and "<class> <attempts> <reason>" */
static int give_fail(const redisReply *field, const redisReply *text, store_fail_fn *fn, void *arg)
{
	char rendition[RECORD_RENDITION_MAX + 1], class_name[32], reason[REASON_MAX] = "";
	int64_t start, duration;
	int attempts, at = 0;
	_Static_assert(RECORD_RENDITION_MAX == 31, "the format has this number");
	if (field->type != REDIS_REPLY_STRING || text->type != REDIS_REPLY_STRING ||
	    sscanf(field->str, "%31[^:]:%" SCNd64 ":%" SCNd64, rendition, &start, &duration) != 3 || !store_is_rendition(rendition) ||
	    sscanf(text->str, "%31s %d %n", class_name, &attempts, &at) != 2)
		return 0;
	snprintf(reason, sizeof(reason), "%s", text->str + at);
	return fn(arg, rendition, start, duration, class_name, attempts, reason);
}

int store_list_fails(struct store *s, const char *stream, store_fail_fn *fn, void *arg, struct err *err)
{
	char key[STORE_KEY_MAX];
	redisReply *reply;
	int rc = store_key(s, key, stream, err, "fails");
	if (!rc)
		rc = store_call(s, key, &reply, err, "HGETALL %s", key);
	if (rc)
		return rc;
	if (reply->type != REDIS_REPLY_ARRAY)
		return store_surprise(s, reply, err);
	for (size_t i = 0; i + 1 < reply->elements && !rc; i += 2)
		rc = give_fail(reply->element[i], reply->element[i + 1], fn, arg);
	freeReplyObject(reply);
	return rc;
}
