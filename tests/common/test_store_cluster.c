/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The store on a real Redis Cluster: every operation; slots that move, are half moved, or are gone; masters that change and die.
 */
#include "common/key.h"
#include "common/proc.h"
#include "common/store.h"
#include "common/store_slot.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/redis_group.h"
#include "tests/suites.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define STREAM "0123456789abcdef"
#define ONE "1111111111111111"
#define PLAN "aaaaaaaaaaaaaaaa"
#define STREAMS 64
#define SPARE 6 /* the node without slots */
#define SIZE (5 * (size_t)STORE_PIECE + 777)
#define TIMEOUT_MS 5000

static struct redis_group g;
static struct store *store;
static struct err err;
static uint8_t data[SIZE];

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static void start(void)
{
	redis_group_start_cluster(&g, false);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
}

static void stop(void)
{
	redis_group_stop(&g);
}

static void open_store(void)
{
	ck_assert_msg(!store_open(&store, g.url, TIMEOUT_MS, &err), "%s", err.msg);
}

static void close_store(void)
{
	store_close(store);
}

static void start_own(void)
{
	start();
	open_store();
}

static void stop_own(void)
{
	close_store();
	stop();
}

static const char *stream_name(int i)
{
	static char name[RECORD_KEY_SIZE];

	snprintf(name, sizeof(name), "%016x", (unsigned)i * 2654435761u);
	return name;
}

static struct store_segment segment(const char *stream, int i)
{
	struct store_segment seg = { .rendition = "main", .start = i * 540000, .duration = 540000 };

	snprintf(seg.stream, sizeof(seg.stream), "%s", stream);
	return seg;
}

/* Of two buffers, which are left as they were. */
static int put(const char *stream, int i)
{
	struct store_segment seg = segment(stream, i);
	struct store_commit commit;
	struct iovec iov[] = { { data, 100001 }, { data + 100001, SIZE - 100001 } };
	int ret = store_put_segment(store, &seg, PLAN, iov, 2, 0, &commit, &err);

	ck_assert(ret || (commit.bytes == (int64_t)SIZE && commit.pieces == 6));
	return ret;
}

static int take_piece(void *arg, struct bytes piece, struct err *e)
{
	(void)e;
	buf_put(arg, piece.data, piece.size);
	return 0;
}

static void check(const char *stream, int i)
{
	struct store_segment seg = segment(stream, i);
	struct buf out = { 0 };

	ck_assert_msg(store_get_pieces(store, &seg, 6, take_piece, &out, &err) == 1, "%s", err.msg);
	ck_assert_uint_eq(out.size, SIZE);
	ck_assert(!memcmp(out.data, data, SIZE));
	buf_finish(&out);
}

static void put_stream(const char *stream)
{
	static struct store_stream what;

	memset(&what, 0, sizeof(what));
	snprintf(what.source.path, sizeof(what.source.path), "/srv/%s.mkv", stream);
	what.source.size = 5;
	record_options_init(&what.options);
	ck_assert_msg(!store_put_stream(store, stream, &what, &err), "%s", err.msg);
	ck_assert_msg(!store_put_plan(store, stream, NULL, text("{}"), PLAN, 9, "main", &err), "%s", err.msg);
}

static void forget(const char *stream)
{
	int more = store_get_stream(store, stream, &(struct store_stream){ 0 }, &err);

	if (more == 1)
		more = store_remove_stream(store, stream, &err);
	while (!more)
		more = store_clean(store, stream, &err) - 1;
	ck_assert_msg(more == -1, "%s", err.msg);
}

/* Keys on all masters. */
static int n_keys(void)
{
	int n = 0;

	for (int i = 0; i < g.n; i++)
		if (!strncmp(redis_group_ask(&g, i, "ROLE"), "master", 6))
			n += atoi(redis_group_ask(&g, i, "DBSIZE"));
	return n;
}

/* --- operations */

static int count_commit(void *arg, int64_t first, int64_t duration, const struct store_commit *c)
{
	ck_assert(duration == 540000 && first % 540000 == 0 && c->bytes == (int64_t)SIZE);
	++*(int *)arg;
	return 0;
}

START_TEST(streams_and_their_segments_are_spread_and_come_back)
{
	struct buf out = { 0 };
	char (*keys)[RECORD_KEY_SIZE];
	size_t n_streams;
	int64_t n_commits;
	int n = 0, before = n_keys(), most = 0;

	for (int i = 0; i < STREAMS; i++) {
		put_stream(stream_name(i));
		ck_assert_int_eq(store_put_value(store, stream_name(i), "index", text(stream_name(i)), &err), 0);
		if (i < 8)
			ck_assert_msg(!put(stream_name(i), 1) && !put(stream_name(i), 2), "%s", err.msg);
	}
	ck_assert_int_eq(store_list_streams(store, &keys, &n_streams, &err), 0);
	ck_assert_uint_eq(n_streams, STREAMS);
	free(keys);
	for (int i = 0; i < 6; i++)
		if (!strncmp(redis_group_ask(&g, i, "ROLE"), "master", 6)) {
			int here = atoi(redis_group_ask(&g, i, "DBSIZE"));

			ck_assert_int_gt(here, 0);
			most = here > most ? here : most;
		}
	ck_assert_int_lt(most, n_keys());
	for (int i = 0; i < STREAMS; i++) {
		buf_reset(&out);
		ck_assert_int_eq(store_get_value(store, stream_name(i), "index", &out, &err), 1);
		ck_assert(out.size == 16 && !memcmp(out.data, stream_name(i), 16));
	}
	for (int i = 0; i < 8; i++) {
		n = 0;
		check(stream_name(i), 1);
		check(stream_name(i), 2);
		ck_assert_int_eq(store_list_commits(store, stream_name(i), "main", count_commit, &n, &err), 0);
		ck_assert_int_eq(store_count_commits(store, stream_name(i), "main", &n_commits, &err), 0);
		ck_assert(n == 2 && n_commits == 2);
	}
	for (int i = 0; i < STREAMS; i++)
		forget(stream_name(i));
	ck_assert_int_eq(n_keys(), before);
	buf_finish(&out);
}
END_TEST

START_TEST(owners_of_many_streams_are_read_in_order_from_all_nodes)
{
	static char keys[STREAMS][RECORD_KEY_SIZE], owners[STREAMS][STORE_OWNER_SIZE], owner[STREAMS][STORE_OWNER_SIZE];

	for (int i = 0; i < STREAMS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%s", stream_name(i));
		if (i % 3) {
			char id[STORE_ID_SIZE];

			snprintf(id, sizeof(id), "%016x", i + 1);
			put_stream(keys[i]);
			ck_assert_msg(store_own_stream(store, keys[i], id, "", owner[i], &err) == 1, "%s", err.msg);
		}
	}
	ck_assert_msg(!store_get_owners(store, (const char (*)[RECORD_KEY_SIZE])keys, STREAMS, owners, &err), "%s", err.msg);
	for (int i = 0; i < STREAMS; i++)
		ck_assert_str_eq(owners[i], i % 3 ? owner[i] : "");
	ck_assert_int_eq(store_set_state(store, keys[1], owner[1], "working", "", &err), 0);
	ck_assert_int_eq(store_set_state(store, keys[1], owner[2], "working", "", &err), ERR_STOPPED);
	for (int i = 0; i < STREAMS; i++)
		forget(keys[i]);
}
END_TEST

static int see_dispatcher(void *arg, const char *id, struct bytes status)
{
	ck_assert(status.size == 2 && key_is_valid(id));
	++*(int *)arg;
	return 0;
}

START_TEST(leases_mail_and_plays_work)
{
	const struct store_play play = { STREAM, ONE };
	struct store *reader;
	struct buf out = { 0 };
	struct iovec iov = { data, STORE_PIECE };
	int64_t number;
	int n = 0, before = n_keys();

	ck_assert_int_eq(store_keep_dispatcher(store, ONE, true, text("{}"), &err), 1);
	ck_assert_int_eq(store_keep_dispatcher(store, ONE, false, text("{}"), &err), 1);
	ck_assert_int_eq(store_list_dispatchers(store, see_dispatcher, &n, &err), 0);
	ck_assert_int_eq(n, 1);
	ck_assert_msg(!store_open(&reader, g.url, TIMEOUT_MS, &err), "%s", err.msg);
	ck_assert_int_eq(store_await_mail(reader, ONE, &err), 0);
	ck_assert_int_eq(store_send_mail(store, ONE, text("hello"), &err), 0);
	struct pollfd p = { store_mail_fd(reader), POLLIN, 0 };
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_eq(store_take_mail(reader, &out, &err), 1);
	ck_assert(out.size == 5 && !memcmp(out.data, "hello", 5));
	store_close(reader);
	ck_assert_int_eq(store_end_dispatcher(store, ONE, &err), 0);
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	ck_assert_msg(store_put_play(store, &play, 7, &iov, 1, &err) == 1, "%s", err.msg);
	buf_reset(&out);
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert(number == 7 && out.size == STORE_PIECE && !memcmp(out.data, data, STORE_PIECE));
	ck_assert_int_eq(store_end_play(store, &play, &err), 0);
	ck_assert_int_eq(n_keys(), before);
	buf_finish(&out);
}
END_TEST

START_TEST(segments_are_in_a_cluster_and_the_state_is_elsewhere)
{
	struct redis_fixture state;
	char urls[300];
	int before = n_keys();

	redis_fixture_start(&state);
	close_store();
	snprintf(urls, sizeof(urls), "%s %s", state.url, g.url);
	ck_assert_msg(!store_open(&store, urls, TIMEOUT_MS, &err), "%s", err.msg);
	for (int i = 0; i < 8; i++) {
		put_stream(stream_name(i));
		ck_assert_msg(!put(stream_name(i), i) && !put(stream_name(i), i), "%s", err.msg);
		check(stream_name(i), i);
	}
	ck_assert_int_eq(n_keys(), before + 8 * 6 + 1); /* pieces, and the id */
	ck_assert_msg(!store_ping(store, &err), "%s", err.msg);
	for (int i = 0; i < 8; i++)
		forget(stream_name(i));
	ck_assert_str_eq(redis_group_on_key(&g, "segfarm:data", "DEL segfarm:data"), "1"); /* it is to be alone again */
	ck_assert_int_eq(n_keys(), before);
	redis_fixture_stop(&state);
}
END_TEST

START_TEST(url_of_the_other_kind_is_told)
{
	struct store *s;
	char url[64];

	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", g.nodes[SPARE].port);
	ck_assert_int_eq(store_open(&s, url, TIMEOUT_MS, &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "redis+cluster://"), "%s", err.msg);
}
END_TEST

START_TEST(any_node_is_good_enough_to_begin_with)
{
	char url[160];
	struct store *s;
	struct buf out = { 0 };

	/* nobody is at the first one */
	snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:1,127.0.0.1:%d", g.nodes[SPARE].port);
	ck_assert_msg(!store_open(&s, url, TIMEOUT_MS, &err), "%s", err.msg);
	for (int i = 0; i < 8; i++)
		ck_assert_msg(!store_get_value(s, stream_name(i), "plan", &out, &err), "%s", err.msg);
	ck_assert_msg(!store_ping(s, &err), "%s", err.msg);
	store_close(s);
	ck_assert_int_eq(store_open(&s, "redis+cluster://127.0.0.1:1,127.0.0.1:2", TIMEOUT_MS, &err), ERR_RETRY);
}
END_TEST

/* --- a slot on its way to a node that nobody has heard of */

static char ids[2][64]; /* of where it is, and of where it goes */
static int from, to;
static unsigned slot;

static void begin_move(void)
{
	slot = store_slot("{" STREAM "}");
	from = redis_group_master_of(&g, STREAM);
	to = from == SPARE ? 0 : SPARE;
	while (strncmp(redis_group_ask(&g, to, "ROLE"), "master", 6) || to == from)
		to = (to + 1) % g.n;
	snprintf(ids[0], sizeof(ids[0]), "%s", redis_group_ask(&g, from, "CLUSTER MYID"));
	snprintf(ids[1], sizeof(ids[1]), "%s", redis_group_ask(&g, to, "CLUSTER MYID"));
	ck_assert_str_eq(redis_group_ask(&g, to, "CLUSTER SETSLOT %u IMPORTING %s", slot, ids[0]), "OK");
	ck_assert_str_eq(redis_group_ask(&g, from, "CLUSTER SETSLOT %u MIGRATING %s", slot, ids[1]), "OK");
}

static void move_key(const char *key)
{
	ck_assert_str_eq(redis_group_ask(&g, from, "MIGRATE 127.0.0.1 %d '%s' 0 5000", g.nodes[to].port, key), "OK");
}

static void end_move(void)
{
	while (atoi(redis_group_ask(&g, from, "CLUSTER COUNTKEYSINSLOT %u", slot))) {
		char *key = strdup(redis_group_ask(&g, from, "CLUSTER GETKEYSINSLOT %u 1", slot));

		move_key(key); /* what is there already would be refused: BUSYKEY */
		free(key);
	}
	ck_assert_str_eq(redis_group_ask(&g, to, "CLUSTER SETSLOT %u NODE %s", slot, ids[1]), "OK");
	ck_assert_str_eq(redis_group_ask(&g, from, "CLUSTER SETSLOT %u NODE %s", slot, ids[1]), "OK");
}

START_TEST(slot_that_is_half_moved_is_read_and_written_without_a_mistake)
{
	struct store_stream what;
	struct buf out = { 0 };
	char owner[STORE_OWNER_SIZE];
	static const char key[1][RECORD_KEY_SIZE] = { STREAM };
	char owners[1][STORE_OWNER_SIZE];
	int before = n_keys(), n = 0;
	int64_t number;
	const struct store_play play = { STREAM, ONE };
	struct iovec iov = { data, 1000 };

	put_stream(STREAM);
	ck_assert_int_eq(store_own_stream(store, STREAM, ONE, "", owner, &err), 1);
	ck_assert_int_eq(put(STREAM, 0), 0);
	ck_assert_int_eq(put(STREAM, 1), 0);
	begin_move();
	move_key("segfarm:{" STREAM "}:seg:main:0:540000:1"); /* pieces 1 and 4 of segment 0, and more */
	move_key("segfarm:{" STREAM "}:seg:main:0:540000:4");
	move_key("segfarm:{" STREAM "}:owner");
	check(STREAM, 0);
	check(STREAM, 1);
	ck_assert_int_eq(store_list_commits(store, STREAM, "main", count_commit, &n, &err), 0);
	ck_assert_int_eq(n, 2);
	ck_assert_int_eq(store_get_owners(store, key, 1, owners, &err), 0);
	ck_assert_str_eq(owners[0], owner);
	ck_assert_int_eq(store_put_value(store, STREAM, "init:main", text("new"), &err), 0); /* of which nothing was there */
	ck_assert_int_eq(store_put_value(store, STREAM, "plan", text("{ }"), &err), 0);      /* that is still there */
	ck_assert_int_eq(store_get_value(store, STREAM, "init:main", &out, &err), 1);
	ck_assert_int_eq(store_keep_play(store, &play, &err), 0);
	/* what needs several keys at once has to wait */
	ck_assert_int_eq(store_set_state(store, STREAM, owner, "working", "", &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "TRYAGAIN"), "%s", err.msg);
	ck_assert_int_eq(put(STREAM, 2), ERR_RETRY);
	ck_assert_int_eq(put(STREAM, 0), ERR_RETRY);
	move_key("segfarm:{" STREAM "}:segs:main");
	n = 0;
	ck_assert_int_eq(store_list_commits(store, STREAM, "main", count_commit, &n, &err), 0);
	ck_assert_int_eq(n, 2);
	unsigned generation = store_generation(store);
	end_move();
	check(STREAM, 0);
	ck_assert_uint_eq(store_generation(store), generation); /* it has spoken to that node before */
	ck_assert_int_eq(store_set_state(store, STREAM, owner, "working", "", &err), 0);
	ck_assert_msg(!put(STREAM, 2), "%s", err.msg);
	check(STREAM, 2);
	ck_assert_int_eq(store_get_stream(store, STREAM, &what, &err), 1);
	ck_assert_str_eq(what.state, "working");
	ck_assert_msg(store_put_play(store, &play, 1, &iov, 1, &err) == 1, "%s", err.msg);
	buf_reset(&out);
	ck_assert_int_eq(store_take_play(store, &play, &number, &out, &err), 1);
	ck_assert_int_eq(store_end_play(store, &play, &err), 0);
	forget(STREAM);
	ck_assert_int_eq(n_keys(), before);
	buf_finish(&out);
}
END_TEST

START_TEST(pieces_go_one_by_one_to_where_they_belong_while_their_slot_moves)
{
	struct store_commit commit;
	struct store_segment seg = segment(STREAM, 3);

	put_stream(STREAM);
	ck_assert_int_eq(put(STREAM, 3), 0);
	begin_move();
	/* As if a piece had been dropped: the segment is made again. */
	move_key("segfarm:{" STREAM "}:seg:main:1620000:540000:2");
	ck_assert_str_eq(redis_group_ask(&g, from, "DEL segfarm:{" STREAM "}:segs:main segfarm:{" STREAM "}:seg:main:1620000:540000:3"), "2");
	ck_assert_int_eq(put(STREAM, 3), ERR_RETRY);
	end_move(); /* no key is in both places */
	ck_assert_int_eq(store_get_commit(store, &seg, &commit, &err), 0);
	ck_assert_msg(!put(STREAM, 3), "%s", err.msg);
	check(STREAM, 3);
	forget(STREAM);
}
END_TEST

START_TEST(mail_is_waited_for_where_its_slot_has_gone)
{
	struct store *reader;
	struct buf out = { 0 };
	char key[] = "segfarm:mail:" ONE;
	int was, now, ret;

	ck_assert_msg(!store_open(&reader, g.url, TIMEOUT_MS, &err), "%s", err.msg);
	ck_assert_int_eq(store_await_mail(reader, ONE, &err), 0);
	was = redis_group_master_of(&g, key);
	for (now = 0; now == was || strncmp(redis_group_ask(&g, now, "ROLE"), "master", 6); now++)
		;
	snprintf(ids[1], sizeof(ids[1]), "%s", redis_group_ask(&g, now, "CLUSTER MYID"));
	ck_assert_str_eq(redis_group_ask(&g, now, "CLUSTER SETSLOT %u NODE %s", store_slot(key), ids[1]), "OK");
	ck_assert_str_eq(redis_group_ask(&g, was, "CLUSTER SETSLOT %u NODE %s", store_slot(key), ids[1]), "OK");
	bg_wait_until((ret = store_take_mail(reader, &out, &err)) != 0, "it waits for ever");
	ck_assert_int_eq(ret, ERR_RETRY);
	ck_assert_int_eq(store_mail_fd(reader), -1);
	bg_wait_until(store_send_mail(store, ONE, text("hello"), &err) == 0, "%s", err.msg);
	store_close(reader); /* as a dispatcher does */
	ck_assert_msg(!store_open(&reader, g.url, TIMEOUT_MS, &err), "%s", err.msg);
	bg_wait_until(store_await_mail(reader, ONE, &err) == 0 && poll(&(struct pollfd){ store_mail_fd(reader), POLLIN, 0 }, 1, 1000) == 1 &&
		      store_take_mail(reader, &out, &err) == 1, "no mail: %s", err.msg);
	ck_assert_int_eq(store_end_dispatcher(store, ONE, &err), 0);
	store_close(reader);
	buf_finish(&out);
}
END_TEST

/* Writes and reads segments of a stream until the program has ended, and then until all are there. */
static void write_until_end(pid_t pid, const char *stream)
{
	int status, n = 0;
	bool is_over = false;

	do {
		is_over = is_over || waitpid(pid, &status, WNOHANG) == pid;
		if (!put(stream, n % 5)) {
			check(stream, n % 5);
			n++;
		} else {
			ck_assert_msg(err.code == ERR_RETRY, "%s", err.msg);
		}
		if (n % 5 == 0 && n) { /* so that there is something to write */
			struct store_segment seg = segment(stream, n / 5 % 5);

			store_drop_commit(store, &seg, &err);
		}
	} while (!is_over || n < 10);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "redis-cli has ended with %d", status);
	for (int i = 0; i < 5; i++) {
		ck_assert_msg(!put(stream, i), "%s", err.msg);
		check(stream, i);
	}
}

START_TEST(slots_are_moved_by_redis_cli_while_segments_are_written)
{
	char node[32], id_from[64], id_to[64], command[300], *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, command, NULL };
	pid_t pid;
	int before = n_keys(), target = 0;
	char stream[RECORD_KEY_SIZE];

	/* the lowest slots are moved; it is among those */
	for (int i = 0; i < 100000; i++) {
		memcpy(stream, stream_name(i), sizeof(stream));
		if (store_slot(stream) / 100 == 3)
			break;
	}
	put_stream(stream);
	for (int i = 0; i < 5; i++)
		ck_assert_msg(!put(stream, i), "%s", err.msg);
	from = redis_group_master_of(&g, stream);
	while (target == from || strncmp(redis_group_ask(&g, target, "ROLE"), "master", 6))
		target++;
	snprintf(id_from, sizeof(id_from), "%s", redis_group_ask(&g, from, "CLUSTER MYID"));
	snprintf(id_to, sizeof(id_to), "%s", redis_group_ask(&g, target, "CLUSTER MYID"));
	snprintf(node, sizeof(node), "127.0.0.1:%d", g.nodes[from].port);
	bg_wait_until(!sh_status(NULL, "redis-cli --cluster check %s", node), "the nodes do not agree");
	snprintf(command, sizeof(command),
		 "exec redis-cli --cluster reshard %s --cluster-from %s --cluster-to %s --cluster-slots 500 --cluster-yes --cluster-pipeline 1 >/dev/null",
		 node, id_from, id_to);
	ck_assert_msg(!proc_spawn(&pid, argv, -1, -1, 1, &err), "%s", err.msg);
	write_until_end(pid, stream);
	ck_assert_int_eq(redis_group_master_of(&g, stream), target);
	forget(stream);
	ck_assert_int_eq(n_keys(), before);
}
END_TEST

/* --- masters that change */

static int replica_of(int master)
{
	for (int i = 0; i < 6; i++) {
		char port[16];

		snprintf(port, sizeof(port), "master_port:%d\r", g.nodes[master].port);
		if (g.nodes[i].pid && strstr(redis_group_ask(&g, i, "INFO replication"), port))
			return i;
	}
	ck_abort_msg("node %d has no replica", master);
	return -1;
}

START_TEST(master_that_steps_down_is_followed_within_a_call)
{
	int master, replica;

	put_stream(STREAM);
	ck_assert_msg(!put(STREAM, 0), "%s", err.msg);
	unsigned generation = store_generation(store);
	master = redis_group_master_of(&g, STREAM);
	replica = replica_of(master);
	redis_group_wait(&g);
	ck_assert_str_eq(redis_group_ask(&g, replica, "CLUSTER FAILOVER"), "OK");
	bg_wait_until(redis_group_master_of(&g, STREAM) == replica && !strncmp(redis_group_ask(&g, master, "ROLE"), "slave", 5), "no failover");
	check(STREAM, 0);
	ck_assert_msg(!put(STREAM, 1), "%s", err.msg);
	check(STREAM, 1);
	ck_assert_uint_gt(store_generation(store), generation);
	ck_assert_msg(!store_ping(store, &err), "%s", err.msg);
	forget(STREAM);
}
END_TEST

START_TEST(master_that_dies_is_replaced_and_a_cluster_that_is_down_is_waited_for)
{
	int master, replica;
	struct store *late;

	put_stream(STREAM);
	ck_assert_msg(!put(STREAM, 0), "%s", err.msg);
	master = redis_group_master_of(&g, STREAM);
	replica = replica_of(master);
	bg_wait_until(!strcmp(redis_group_ask(&g, master, "WAIT 1 1000"), "1"), "not copied");
	unsigned generation = store_generation(store), troubles = store_troubles(store);
	redis_group_kill(&g, master);
	ck_assert_int_eq(put(STREAM, 1), ERR_RETRY);
	/* unless we were held up for so long that it has a successor */
	ck_assert(store_ping(store, &err) == ERR_RETRY || redis_group_master_of(&g, STREAM) == replica);
	ck_assert_uint_gt(store_troubles(store), troubles);
	bg_wait_until(!put(STREAM, 1), "%s", err.msg);
	ck_assert_int_eq(redis_group_master_of(&g, STREAM), replica);
	check(STREAM, 0);
	check(STREAM, 1);
	ck_assert_uint_gt(store_generation(store), generation);
	bg_wait_until(!store_ping(store, &err), "%s", err.msg);
	/* whoever comes now finds its way, also with the dead one in its URL */
	ck_assert_msg(!store_open(&late, g.url, TIMEOUT_MS, &err), "%s", err.msg);
	ck_assert_msg(!store_ping(late, &err), "%s", err.msg);
	store_close(late);
	/* nobody is left who has the slot */
	redis_group_kill(&g, replica);
	bg_wait_until(put(STREAM, 2) == ERR_RETRY, "who has taken it?");
	int other = (master + 1) % 6 == replica ? (master + 2) % 6 : (master + 1) % 6;
	bg_wait_until(strstr(redis_group_ask(&g, other, "CLUSTER INFO"), "cluster_state:fail"), "%s", redis_group_ask(&g, other, "CLUSTER INFO"));
	bg_wait_until(store_ping(store, &err) == ERR_RETRY && strstr(err.msg, "Redis"), "%s", err.msg);
	redis_group_restart(&g, replica);
	bg_wait_until(!store_ping(store, &err), "%s", err.msg);
	redis_group_wait(&g); /* to itself the cluster may still be down */
	put_stream(STREAM); /* it has come back empty */
	bg_wait_until(!put(STREAM, 2), "%s", err.msg);
	check(STREAM, 2);
}
END_TEST

Suite *suite_store_cluster(void)
{
	Suite *s = suite_create("common/store_cluster");
	TCase *t = tcase_create("shared"), *own = tcase_create("own");

	tcase_add_unchecked_fixture(t, start, stop);
	tcase_add_checked_fixture(t, open_store, close_store);
	tcase_set_timeout(t, 200);
	tcase_add_test(t, streams_and_their_segments_are_spread_and_come_back);
	tcase_add_test(t, owners_of_many_streams_are_read_in_order_from_all_nodes);
	tcase_add_test(t, leases_mail_and_plays_work);
	tcase_add_test(t, segments_are_in_a_cluster_and_the_state_is_elsewhere);
	tcase_add_test(t, url_of_the_other_kind_is_told);
	tcase_add_test(t, any_node_is_good_enough_to_begin_with);
	tcase_add_test(t, slots_are_moved_by_redis_cli_while_segments_are_written);
	tcase_add_test(t, slot_that_is_half_moved_is_read_and_written_without_a_mistake);
	tcase_add_test(t, pieces_go_one_by_one_to_where_they_belong_while_their_slot_moves);
	tcase_add_test(t, mail_is_waited_for_where_its_slot_has_gone);
	tcase_add_test(t, master_that_steps_down_is_followed_within_a_call);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(own, start_own, stop_own);
	tcase_set_timeout(own, 200);
	tcase_add_test(own, master_that_dies_is_replaced_and_a_cluster_that_is_down_is_waited_for);
	suite_add_tcase(s, own);
	return s;
}
