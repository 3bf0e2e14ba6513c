/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/bus.h"
#include "common/proc.h"
#include "tests/suites.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define WAIT_MS 20000 /* what must come comes; only a failing test waits so long */

static char dir[64];
static char endpoint[96];
static struct bus *router, *dealer;
static struct err err;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/segfarm-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/bus", dir);
	ck_assert_msg(!bus_bind(&router, endpoint, NULL, &err), "%s", err.msg);
	ck_assert_msg(!bus_connect(&dealer, endpoint, NULL, &err), "%s", err.msg);
}

static void teardown(void)
{
	bus_destroy(dealer);
	bus_destroy(router);
	proc_remove_tree(dir);
}

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

/* Until the connection is there. */
static void dealer_send(struct bus *bus, enum msg_verb verb, struct bytes json)
{
	for (int i = 0; i < WAIT_MS; i++) {
		if (!bus_send(bus, NULL, verb, json, &err))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	ck_abort_msg("%s", err.msg);
}

static int recv_next(struct bus *bus, struct bus_peer *peer, enum msg_verb *verb, struct bytes *json)
{
	int rc;
	while (!(rc = bus_recv(bus, peer, verb, json, &err)))
		ck_assert_int_eq(bus_wait(bus, WAIT_MS), 1);
	return rc;
}

static void expect(struct bus *bus, struct bus_peer *peer, enum msg_verb want, const char *want_json)
{
	enum msg_verb verb;
	struct bytes json;
	ck_assert_msg(recv_next(bus, peer, &verb, &json) == 1, "%s", err.msg);
	ck_assert_int_eq((int)verb, (int)want);
	ck_assert_uint_eq(json.size, strlen(want_json));
	ck_assert(!memcmp(json.data, want_json, json.size));
}

START_TEST(message_goes_there_and_back)
{
	struct bus_peer peer;
	dealer_send(dealer, MSG_HELLO, text("{\"a\":1}"));
	expect(router, &peer, MSG_HELLO, "{\"a\":1}");
	ck_assert_uint_gt(peer.size, 0);
	ck_assert_int_eq(bus_send(router, &peer, MSG_JOB, text("{\"b\":2}"), &err), 0);
	expect(dealer, NULL, MSG_JOB, "{\"b\":2}");
	ck_assert_int_eq(bus_send(router, &peer, MSG_STOP, text(""), &err), 0);
	expect(dealer, NULL, MSG_STOP, "");
}
END_TEST

START_TEST(nothing_there_is_nothing_received)
{
	enum msg_verb verb;
	struct bytes json;
	ck_assert_int_eq(bus_recv(router, NULL, &verb, &json, &err), 0);
	ck_assert_int_eq(bus_wait(router, 1), 0);
	ck_assert_int_eq(bus_wait(router, 0), 0);
}
END_TEST

START_TEST(descriptor_wakes_for_the_first_of_many_and_all_are_found)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	int n = 0;
	dealer_send(dealer, MSG_BEAT, text("{}"));
	for (int i = 1; i < 1000; i++)
		dealer_send(dealer, MSG_BEAT, text("{}"));
	while (n < 1000) {
		while (bus_recv(router, &peer, &verb, &json, &err) == 1)
			n++;
		struct pollfd p = { bus_fd(router), POLLIN, 0 };
		if (n < 1000)
			ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
	}
	ck_assert_int_eq(n, 1000);
}
END_TEST

START_TEST(peer_that_is_gone_is_told_as_an_error)
{
	struct bus_peer peer;
	dealer_send(dealer, MSG_HELLO, text("{}"));
	expect(router, &peer, MSG_HELLO, "{}");
	bus_destroy(dealer);
	dealer = NULL;
	int rc = 0;
	for (int i = 0; i < WAIT_MS && !rc; i++) {
		rc = bus_send(router, &peer, MSG_STOP, text("{}"), &err);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	ck_assert_int_eq(rc, ERR_RETRY);
	struct bus_peer stranger = { { 0, 1, 2, 3, 4 }, 5 };
	ck_assert_int_eq(bus_send(router, &stranger, MSG_STOP, text("{}"), &err), ERR_RETRY);
	ck_assert_msg(strstr(err.msg, "gone") != NULL, "%s", err.msg);
}
END_TEST

START_TEST(queue_of_a_peer_that_does_not_read_is_bounded)
{
	struct bus_peer peer;
	int n = 0;
	static char big[65536];
	dealer_send(dealer, MSG_HELLO, text("{}"));
	expect(router, &peer, MSG_HELLO, "{}");
	while (!bus_send(router, &peer, MSG_JOB, (struct bytes){ (uint8_t *)big, sizeof(big) }, &err))
		ck_assert_int_lt(n++, 10000);
	ck_assert_int_ge(n, 1024);
}
END_TEST

START_TEST(worker_without_a_dispatcher_is_not_blocked)
{
	struct bus *lonely;
	char nowhere[128];
	snprintf(nowhere, sizeof(nowhere), "ipc://%s/nobody", dir);
	ck_assert_int_eq(bus_connect(&lonely, nowhere, NULL, &err), 0);
	ck_assert_int_eq(bus_send(lonely, NULL, MSG_HELLO, text("{}"), &err), ERR_RETRY);
	bus_destroy(lonely);
}
END_TEST

static void wait_for_connection(bool is_there)
{
	for (int i = 0; i < 2000 && bus_is_connected(dealer) != is_there; i++)
		poll(NULL, 0, 5);
	ck_assert_int_eq(bus_is_connected(dealer), is_there);
}

START_TEST(worker_sees_its_dispatcher_go_and_come_back)
{
	wait_for_connection(true);
	bus_destroy(router);
	wait_for_connection(false);
	ck_assert_msg(!bus_bind(&router, endpoint, NULL, &err), "%s", err.msg);
	wait_for_connection(true);
}
END_TEST

START_TEST(worker_finds_the_dispatcher_that_comes_later_and_its_successor)
{
	struct bus_peer peer;
	dealer_send(dealer, MSG_HELLO, text("1"));
	expect(router, &peer, MSG_HELLO, "1");
	bus_destroy(router);
	ck_assert_msg(!bus_bind(&router, endpoint, NULL, &err), "%s", err.msg);
	struct bytes json = { 0 };
	enum msg_verb verb = MSG_BYE;
	/* What was sent into the gap may be lost. */
	do {
		bus_send(dealer, NULL, MSG_READY, text("2"), &err);
		bus_wait(router, 20);
	} while (!bus_recv(router, &peer, &verb, &json, &err));
	ck_assert_int_eq((int)verb, MSG_READY);
}
END_TEST

START_TEST(second_dispatcher_on_one_path_is_refused)
{
	struct bus *second;
	struct bus_peer peer;
	ck_assert_int_eq(bus_bind(&second, endpoint, NULL, &err), ERR_USAGE);
	ck_assert_ptr_null(second);
	ck_assert_msg(strstr(err.msg, endpoint) != NULL, "%s", err.msg);
	dealer_send(dealer, MSG_HELLO, text("{}"));
	expect(router, &peer, MSG_HELLO, "{}");
}
END_TEST

START_TEST(path_left_by_a_killed_dispatcher_is_taken_over)
{
	char path[96];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct bus *second;
	snprintf(path, sizeof(path), "%s/stale", dir);
	memcpy(a.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	snprintf(path, sizeof(path), "ipc://%s/stale", dir);
	ck_assert_msg(!bus_bind(&second, path, NULL, &err), "%s", err.msg);
	bus_destroy(second);
}
END_TEST

START_TEST(nothing_is_left_behind)
{
	struct stat st;
	char path[96];
	snprintf(path, sizeof(path), "%s/bus", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 077, 0);
	bus_destroy(router);
	router = NULL;
	bus_destroy(dealer);
	dealer = NULL;
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* A peer that speaks ZeroMQ, but not our protocol. */
static void send_raw(const char *const *parts, int n)
{
	void *context = zmq_ctx_new();
	void *socket = zmq_socket(context, ZMQ_DEALER);
	ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(zmq_send(socket, parts[i], strlen(parts[i]), i + 1 < n ? ZMQ_SNDMORE : 0), 0);
	zmq_close(socket);
	zmq_ctx_term(context);
}

static const struct {
	int n;
	const char *parts[6];
} bad[] = {
	{ 1, { "" } },
	{ 1, { "SF01" } },
	{ 2, { "SF01", "HELLO" } },
	{ 3, { "XF02", "HELLO", "{}" } },
	{ 3, { "SF00", "HELLO", "{}" } },
	{ 3, { "SF0x", "HELLO", "{}" } },
	{ 3, { "SF0", "HELLO", "{}" } },
	{ 3, { "SF01", "HELLOO", "{}" } },
	{ 3, { "SF01", "", "{}" } },
	{ 4, { "SF01", "HELLO", "{}", "" } },
	{ 6, { "SF01", "HELLO", "{}", "x", "y", "z" } },
};

START_TEST(malformed_message_is_thrown_away_and_the_next_is_read)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	send_raw(bad[_i].parts, bad[_i].n);
	ck_assert_int_eq(recv_next(router, &peer, &verb, &json), ERR_DATA);
	ck_assert_uint_gt(peer.size, 0);
	dealer_send(dealer, MSG_HELLO, text("{}"));
	expect(router, &peer, MSG_HELLO, "{}");
}
END_TEST

/* --- versions */

START_TEST(a_dispatcher_understands_the_protocol_before_its_own_and_answers_in_it)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	bus_set_protocol(dealer, MSG_PROTOCOL_OLDEST + _i);
	dealer_send(dealer, MSG_HELLO, text("{}"));
	if (MSG_PROTOCOL_OLDEST + _i <= MSG_PROTOCOL) {
		expect(router, &peer, MSG_HELLO, "{}");
		ck_assert_int_eq(peer.protocol, MSG_PROTOCOL_OLDEST + _i);
		ck_assert_int_eq(bus_send(router, &peer, MSG_JOB, text("{}"), &err), 0);
		expect(dealer, NULL, MSG_JOB, "{}");
		return;
	}
	ck_assert_int_eq(recv_next(router, &peer, &verb, &json), ERR_UNSUPPORTED);
	ck_assert_int_eq((int)verb, MSG_HELLO);
	ck_assert_msg(strstr(err.msg, "protocol 3") != NULL, "%s", err.msg);
	/* why not is understood in every one; nothing else is */
	ck_assert_int_eq(bus_send(router, &peer, MSG_STOP, text("{}"), &err), 0);
	ck_assert_int_eq(bus_send(router, &peer, MSG_REFUSE, text("{\"reason\":\"x\"}"), &err), 0);
	ck_assert_int_eq(recv_next(dealer, NULL, &verb, &json), ERR_UNSUPPORTED);
	expect(dealer, NULL, MSG_REFUSE, "{\"reason\":\"x\"}");
}
END_TEST

START_TEST(what_a_worker_says_of_itself_may_be_left_out)
{
	struct msg m = { .verb = MSG_HELLO, .name = "a-1-0-1", .pid = 1 }, got;
	struct buf json = { 0 };
	ck_assert_int_eq(msg_put(&m, &json), 0);
	ck_assert_msg(strstr(buf_cstr(&json), "format") == NULL, "%s", buf_cstr(&json)); /* protocol 1 takes no more members */
	ck_assert_int_eq(msg_get(MSG_HELLO, buf_bytes(&json), &got, &err), 0);
	ck_assert(got.format == 0 && !got.labels[0]);
	buf_reset(&json);
	m.format = 7;
	strcpy(m.build, "0123456789abcdef");
	strcpy(m.version, "1.2.3~rc1");
	strcpy(m.labels, "gpu,big-host");
	ck_assert_int_eq(msg_put(&m, &json), 0);
	ck_assert_int_eq(msg_get(MSG_HELLO, buf_bytes(&json), &got, &err), 0);
	ck_assert(got.format == 7 && !strcmp(got.build, m.build) && !strcmp(got.version, m.version) && !strcmp(got.labels, m.labels));
	ck_assert(msg_has_label(got.labels, "gpu") && msg_has_label(got.labels, "big-host"));
	ck_assert(!msg_has_label(got.labels, "big") && !msg_has_label(got.labels, "") && !msg_has_label("", "gpu"));
	buf_finish(&json);
}
END_TEST

START_TEST(bytes_that_are_no_zeromq_reach_nobody)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct bus_peer peer;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/bus", dir);
	for (int i = 0; i < 20; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		dprintf(fd, "GET / HTTP/1.1\r\nHost: %d\r\n\r\n", i);
		close(fd);
	}
	dealer_send(dealer, MSG_HELLO, text("{}"));
	expect(router, &peer, MSG_HELLO, "{}");
}
END_TEST

START_TEST(message_over_the_limit_is_not_sent)
{
	static uint8_t huge[BUS_MESSAGE_MAX + 1];
	ck_assert_int_eq(bus_send(dealer, NULL, MSG_HELLO, (struct bytes){ huge, sizeof(huge) }, &err), ERR_LIMIT);
}
END_TEST

static const char *const bad_endpoints[] = {
	"",
	"ipc://",
	"ipc://@abstract",
	"ipc://*",
	"tcp://",
	"tcp://127.0.0.1",
	"tcp://127.0.0.1:",
	"tcp://127.0.0.1:0",
	"tcp://127.0.0.1:65536",
	"tcp://127.0.0.1:x",
	"inproc://x",
	"tcp://*:5555",
	"tcp://0.0.0.0:5555",
	"tcp://10.0.0.1:5555",
	"tcp://eth0:5555",
	"tcp://127.evil.example:5555",
	("ipc:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
};

START_TEST(endpoint_that_must_not_be_listened_on_is_refused)
{
	struct bus *bus;
	ck_assert_msg(bus_bind(&bus, bad_endpoints[_i], NULL, &err) == ERR_USAGE, "%s", bad_endpoints[_i]);
	ck_assert_ptr_null(bus);
	ck_assert_uint_gt(strlen(err.msg), 10);
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite_bus(void)
{
	Suite *s = suite_create("common/bus");
	TCase *t = tcase_create("bus");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_dispatcher_understands_the_protocol_before_its_own_and_answers_in_it, 0,
			    MSG_PROTOCOL - MSG_PROTOCOL_OLDEST + 2);
	tcase_add_test(t, what_a_worker_says_of_itself_may_be_left_out);
	tcase_add_test(t, message_goes_there_and_back);
	tcase_add_test(t, nothing_there_is_nothing_received);
	tcase_add_test(t, descriptor_wakes_for_the_first_of_many_and_all_are_found);
	tcase_add_test(t, peer_that_is_gone_is_told_as_an_error);
	tcase_add_test(t, queue_of_a_peer_that_does_not_read_is_bounded);
	tcase_add_test(t, worker_without_a_dispatcher_is_not_blocked);
	tcase_add_test(t, worker_sees_its_dispatcher_go_and_come_back);
	tcase_add_test(t, worker_finds_the_dispatcher_that_comes_later_and_its_successor);
	tcase_add_test(t, second_dispatcher_on_one_path_is_refused);
	tcase_add_test(t, path_left_by_a_killed_dispatcher_is_taken_over);
	tcase_add_test(t, nothing_is_left_behind);
	tcase_add_loop_test(t, malformed_message_is_thrown_away_and_the_next_is_read, 0, N(bad));
	tcase_add_test(t, bytes_that_are_no_zeromq_reach_nobody);
	tcase_add_test(t, message_over_the_limit_is_not_sent);
	suite_add_tcase(s, t);
	TCase *e = tcase_create("endpoint");
	tcase_add_loop_test(e, endpoint_that_must_not_be_listened_on_is_refused, 0, N(bad_endpoints));
	suite_add_tcase(s, e);
	return s;
}
