/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_internal.h"

#include "dispatcher/playlist.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <xxhash.h>

/* A segment on its way out. */
struct outgoing {
	struct http *http;
	struct MHD_Connection *connection;
	struct http_request *wait; /* it has waited midway; NULL: it has not */
	const char *type;
	struct store_segment address;
	struct store_commit commit;
	struct http_cached *cached; /* all of it; NULL: it comes out of Redis */
	uint64_t first; /* byte of it that is sent first */
	bool is_waiting;
};

/* Reads a piece into *to, which is empty. 1 it is in hand, 0 what is there is not what was committed. */
static int load_piece(struct outgoing *out, int number, struct buf *to, struct err *err)
{
	int64_t left = out->commit.bytes - (int64_t)number * STORE_PIECE;
	int ret = store_get_piece(out->http->store, &out->address, number, to, err);

	if (ret <= 0)
		return ret == ERR_DATA ? 0 : ret;
	return to->size == (size_t)(left < STORE_PIECE ? left : STORE_PIECE);
}

/* Where in its stream it is; NULL: nowhere any more. */
static struct dispatch_stream *find_segment(const struct outgoing *out, int64_t *i)
{
	struct dispatch_stream *s = dispatch_find(out->http->dispatch, out->address.stream);

	*i = s && s->has_plan ? plan_find_segment(&s->plan, out->address.rendition, out->address.start, out->address.duration) : -1;
	return *i >= 0 ? s : NULL;
}

/* What was made again, is it the same, to the last byte? */
static bool is_same_again(struct outgoing *out)
{
	struct store_commit again;
	struct err err;

	return store_get_commit(out->http->store, &out->address, &again, &err) == 1 && again.bytes == out->commit.bytes &&
	       !strcmp(again.checksum, out->commit.checksum);
}

/* Redis has dropped it while it was on its way: it is made again, and goes on. */
static ssize_t wait_midway(struct outgoing *out)
{
	int64_t i;
	struct dispatch_stream *s = find_segment(out, &i);

	if (!s)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	dispatch_remake(out->http->dispatch, s, (size_t)i);
	out->is_waiting = http_wait_midway(&out->http->waits, out->connection, s, (uint32_t)i + 1, &out->wait);
	return out->is_waiting ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Microhttpd asks for bytes. An error ends the connection short of its Content-Length: nobody takes it as whole. A whole piece goes
 * from the socket of Redis to where it is sent from; only where a range begins or ends one is cut. */
static ssize_t read_segment(void *arg, uint64_t position, char *to, size_t max)
{
	struct outgoing *out = arg;
	struct buf direct = { .data = (uint8_t *)to, .cap = max + 1, .limit = max }, *piece = &direct; /* never grows, has no NUL */
	size_t offset, size;
	struct err err;
	int ret;

	position += out->first;
	offset = position % STORE_PIECE;
	if (position >= (uint64_t)out->commit.bytes)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (out->is_waiting && !is_same_again(out))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	out->is_waiting = false;
	if (offset || max < STORE_PIECE) {
		piece = &out->http->piece;
		buf_reset(piece);
	}
	ret = load_piece(out, (int)(position / STORE_PIECE), piece, &err);
	if (ret == 0)
		return wait_midway(out);
	if (ret < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	size = piece->size - offset < max ? piece->size - offset : max;
	if (piece != &direct)
		memcpy(to, piece->data + offset, size);
	return (ssize_t)size;
}

static void free_outgoing(void *arg)
{
	struct outgoing *out = arg;

	if (out->wait)
		http_wait_end(out->wait);
	if (out->cached)
		http_cache_release(out->cached);
	free(out);
}

static bool is_sound(const struct store_commit *commit)
{
	return commit->bytes > 0 && commit->pieces == (commit->bytes + STORE_PIECE - 1) / (int64_t)STORE_PIECE;
}

/* --- segments that are asked for again and again */

struct filling {
	struct http_cached *to;
	size_t size;
};

static int fill(void *arg, struct bytes piece, struct err *err)
{
	struct filling *f = arg;

	if (piece.size > f->to->size - f->size)
		return err_set(err, ERR_DATA, "a segment is longer than its record says");
	memcpy(f->to->data + f->size, piece.data, piece.size);
	f->size += piece.size;
	return 0;
}

/* In this process's memory, to be released; NULL: it is not. */
static struct http_cached *find_cached(struct http *h, const struct outgoing *out)
{
	struct http_cached *c = http_cache_find(&h->cache, &out->address, &out->commit);
	struct filling f;
	struct err err;

	if (c || !http_cache_wants(&h->cache, &out->address, &out->commit))
		return c;
	c = http_cache_add(&h->cache, &out->address, &out->commit);
	f = (struct filling){ .to = c };
	if (c && (store_get_pieces(h->store, &out->address, out->commit.pieces, fill, &f, &err) != 1 || f.size != c->size)) {
		http_cache_drop(c);
		http_cache_release(c);
		c = NULL;
	}
	return c;
}

/* --- sending */

/* What sends the part, and takes `out`. NULL: out of memory. */
static struct MHD_Response *make_response(struct outgoing *out, const struct http_part *part)
{
	struct MHD_Response *response;

	out->first = part->first;
	if (out->cached)
		response = MHD_create_response_from_buffer_with_free_callback_cls((size_t)part->size, out->cached->data + part->first,
										   free_outgoing, out);
	else
		response = MHD_create_response_from_callback(part->size, STORE_PIECE, read_segment, out, free_outgoing);
	if (!response)
		free_outgoing(out);
	return response;
}

static enum MHD_Result send_outgoing(struct http_call *call, struct outgoing *out)
{
	struct MHD_Response *response;
	char etag[HTTP_ETAG_SIZE];
	struct http_part part;
	enum MHD_Result result;
	const char *type = out->type;

	snprintf(etag, sizeof(etag), "\"%s\"", out->commit.checksum);
	if (!http_check_part(call, etag, (uint64_t)out->commit.bytes, HTTP_CACHE_FOREVER, &part, &result)) {
		free_outgoing(out);
		return result;
	}
	http_guard_send(call->connection, part.size);
	response = make_response(out, &part);
	http_add_tag(response, etag);
	http_note_first_byte(call, http_wait_has_waited(call));
	return http_send(call, part.status, response, type, HTTP_CACHE_FOREVER);
}

/* 1 there is something to send, 0 the segment is gone. */
static int open_segment(struct outgoing *out, struct err *err)
{
	struct store *store = http_store(out->http, err);
	int ret = store ? store_get_commit(store, &out->address, &out->commit, err) : ERR_RETRY;

	if (ret == ERR_DATA || (ret == 1 && !is_sound(&out->commit)))
		return 0;
	if (ret <= 0)
		return ret;
	out->cached = find_cached(out->http, out);
	return out->cached ? 1 : store_has_piece(store, &out->address, 0, err);
}

/* 1 sent (*result), 0 it is gone. */
static int send_made(struct http_call *call, struct dispatch_stream *s, size_t i, enum MHD_Result *result)
{
	struct outgoing *out = calloc(1, sizeof(*out));
	struct err err = { 0 };
	int ret;

	if (!out) {
		*result = http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
		return 1;
	}
	out->http = call->http;
	out->connection = call->connection;
	out->type = http_segment_type(s, i);
	dispatch_address(s, i, &out->address);
	ret = open_segment(out, &err);
	if (ret <= 0)
		free_outgoing(out);
	if (!ret)
		return 0;
	*result = ret < 0 ? http_send_problem(call, MHD_HTTP_SERVICE_UNAVAILABLE, err.msg) : send_outgoing(call, out);
	return 1;
}

static void add_header(XXH3_state_t *state, struct MHD_Connection *connection, const char *name)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);

	if (value)
		XXH3_64bits_update(state, value, strlen(value) + 1);
}

/* The address without the port. */
static void add_address(XXH3_state_t *state, const struct sockaddr *address)
{
	struct sockaddr_in four;
	struct sockaddr_in6 six;

	if (address->sa_family == AF_INET) {
		memcpy(&four, address, sizeof(four));
		XXH3_64bits_update(state, &four.sin_addr, sizeof(four.sin_addr));
	} else if (address->sa_family == AF_INET6) {
		memcpy(&six, address, sizeof(six));
		XXH3_64bits_update(state, &six.sin6_addr, sizeof(six.sin6_addr));
	}
}

/* Who asks: the same program at the same address, or what it says of itself. */
static uint64_t player_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	XXH3_state_t *state = XXH3_createState();
	uint64_t number;

	if (!state)
		return 0;
	XXH3_64bits_reset(state);
	if (info)
		add_address(state, info->client_addr);
	add_header(state, connection, MHD_HTTP_HEADER_USER_AGENT);
	add_header(state, connection, "X-Forwarded-For");
	add_header(state, connection, "X-Playback-Session-Id");
	number = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return number;
}

/* A segment without a sample, for players whose playlist is older than the gap: hls.js and Shaka pass over it, while an error ends
 * them. A styp box (ISO/IEC 14496-12, 8.16.2) alone. */
static enum MHD_Result send_gap(struct http_call *call, const struct dispatch_stream *s, size_t i)
{
	static char styp[] = "\0\0\0\x18stypmsdh\0\0\0\0msdhmsix", vtt[] = "WEBVTT\n";
	bool is_text = plan_is_text(&s->plan, i);
	struct MHD_Response *response = MHD_create_response_from_buffer(is_text ? sizeof(vtt) - 1 : sizeof(styp) - 1, is_text ? vtt : styp,
									MHD_RESPMEM_PERSISTENT);

	if (response)
		MHD_add_response_header(response, "X-Gap-Reason", s->error);
	return http_send(call, MHD_HTTP_OK, response, http_segment_type(s, i), HTTP_CACHE_NEVER);
}

const char *http_segment_type(const struct dispatch_stream *s, size_t i)
{
	const struct record_track *track = plan_track(&s->plan, i);

	if (track)
		return track->text.is_present ? HTTP_TYPE_VTT : HTTP_TYPE_MP4_AUDIO;
	return s->plan.video.is_present ? HTTP_TYPE_MP4 : HTTP_TYPE_MP4_AUDIO;
}

enum MHD_Result http_send_segment(struct http_call *call, struct dispatch_stream *s, size_t first, const char *name)
{
	struct dispatch *d = call->http->dispatch;
	int64_t i = playlist_find_segment(&s->plan, first, name);
	enum MHD_Result result;

	if (i < 0)
		return http_send_problem(call, MHD_HTTP_NOT_FOUND, "this title has no such segment");
	if (!http_wait_has_waited(call))
		want_follow(d, s, player_of(call->connection), (size_t)i);
	if (s->segments[i] == DISPATCH_MADE || !s->is_mine) {
		if (send_made(call, s, (size_t)i, &result))
			return result;
		dispatch_remake(d, s, (size_t)i);
	}
	if (s->segments[i] == DISPATCH_QUARANTINED)
		return send_gap(call, s, (size_t)i);
	if (s->state == DISPATCH_FAILED)
		return http_send_problem(call, MHD_HTTP_NOT_FOUND, s->error);
	if (d->is_store_down)
		return http_send_trouble(call);
	return http_wait(call, s, (uint32_t)i + 1);
}
