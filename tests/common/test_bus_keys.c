/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bus over TCP: who comes in, and who does not.
 */
#include "common/bus.h"
#include "common/proc.h"
#include "tests/e2e/programs.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define WAIT_MS 60000 /* what must come comes */
#define REFUSED_MS 300 /* what must not come would have by then, many times over */

static char dir[64], endpoint[64], list_path[96];
static int port;
static struct bus *router;
static struct keys_access dispatcher, worker;
static struct err err;

static char *in_dir(const char *name)
{
	char *path;
	ck_assert_int_ge(asprintf(&path, "%s/%s", dir, name), 0);
	return path;
}

static void make_pair(const char *name, struct keys_pair *pair)
{
	char *path = in_dir(name);
	ck_assert_msg(!keys_make(path, pair, &err), "%s", err.msg);
	free(path);
}

static void allow(const char *one, const char *other)
{
	char *aside = in_dir("aside");
	FILE *f = fopen(aside, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s\n%s\n", one, other);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(rename(aside, list_path), 0);
	free(aside);
}

static void setup(void)
{
	char *path;
	snprintf(dir, sizeof(dir), "/tmp/segfarm-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(list_path, sizeof(list_path), "%s/allowed", dir);
	make_pair("dispatcher", &dispatcher.pair);
	make_pair("worker", &worker.pair);
	allow(worker.pair.public_key, "");
	path = in_dir("dispatcher");
	ck_assert_msg(!keys_access_open(&dispatcher, path, list_path, true, &err), "%s", err.msg);
	memcpy(worker.server_key, dispatcher.pair.public_key, KEYS_SIZE);
	worker.has_keys = true;
	port = programs_free_port();
	snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%d", port);
	ck_assert_msg(!bus_bind(&router, endpoint, &dispatcher, &err), "%s", err.msg);
	free(path);
}

static void teardown(void)
{
	bus_destroy(router);
	keys_access_finish(&dispatcher);
	proc_remove_tree(dir);
}

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

/* What the router receives next, 0 when nothing comes for `ms`. The dealer says it again and again until something does. */
static int exchange(struct bus *dealer, struct bus_peer *peer, int ms)
{
	enum msg_verb verb;
	struct bytes json;
	int ret = 0;
	for (int64_t end_ms = proc_now_ms() + ms; !ret && proc_now_ms() < end_ms;) {
		bus_send(dealer, NULL, MSG_HELLO, text("{}"), &err);
		bus_wait(router, 10);
		ret = bus_recv(router, peer, &verb, &json, &err);
	}
	return ret;
}

static void drain(void)
{
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	while (bus_wait(router, REFUSED_MS))
		bus_recv(router, &peer, &verb, &json, &err);
}

START_TEST(worker_on_the_list_comes_in_and_is_known_by_its_key)
{
	struct bus *dealer;
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	ck_assert_msg(!bus_connect(&dealer, endpoint, &worker, &err), "%s", err.msg);
	ck_assert_int_eq(exchange(dealer, &peer, WAIT_MS), 1);
	ck_assert_str_eq(peer.key, worker.pair.public_key);
	ck_assert_int_eq(bus_send(router, &peer, MSG_STOP, text(""), &err), 0);
	ck_assert_int_eq(bus_wait(dealer, WAIT_MS), 1);
	ck_assert_int_eq(bus_recv(dealer, NULL, &verb, &json, &err), 1);
	ck_assert_int_eq((int)verb, MSG_STOP);
	bus_destroy(dealer);
}
END_TEST

/* The loop of a dispatcher sleeps on the descriptor alone: it has to wake for ZAP. */
START_TEST(descriptor_wakes_for_those_who_want_to_come_in)
{
	struct bus *dealer;
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	int ret;
	ck_assert_int_eq(bus_recv(router, &peer, &verb, &json, &err), 0);
	ck_assert_msg(!bus_connect(&dealer, endpoint, &worker, &err), "%s", err.msg);
	for (int64_t end_ms = proc_now_ms() + WAIT_MS; bus_send(dealer, NULL, MSG_HELLO, text("{}"), &err);) {
		struct pollfd p = { bus_fd(router), POLLIN, 0 };
		ck_assert_msg(proc_now_ms() < end_ms, "%s", err.msg);
		poll(&p, 1, 10);
		if (p.revents)
			ck_assert_int_eq(bus_recv(router, &peer, &verb, &json, &err), 0);
	}
	while (!(ret = bus_recv(router, &peer, &verb, &json, &err)))
		ck_assert_int_eq(poll(&(struct pollfd){ bus_fd(router), POLLIN, 0 }, 1, WAIT_MS), 1);
	ck_assert_int_eq(ret, 1);
	bus_destroy(dealer);
}
END_TEST

static void check_refused(struct keys_access *access)
{
	struct bus *dealer;
	struct bus_peer peer;
	ck_assert_msg(!bus_connect(&dealer, endpoint, access, &err), "%s", err.msg);
	ck_assert_int_eq(exchange(dealer, &peer, REFUSED_MS), 0);
	ck_assert_int_eq(bus_send(dealer, NULL, MSG_HELLO, text("{}"), &err), ERR_RETRY);
	bus_destroy(dealer);
}

START_TEST(others_do_not_come_in)
{
	struct keys_access other = worker, insecure = { .is_insecure = true };
	make_pair("other", &other.pair);
	check_refused(&other); /* not on the list */
	memcpy(worker.server_key, other.pair.public_key, KEYS_SIZE);
	check_refused(&worker); /* does not know the dispatcher: could be anyone's */
	check_refused(&insecure);
	memcpy(worker.server_key, dispatcher.pair.public_key, KEYS_SIZE);
	memcpy(worker.pair.secret_key, other.pair.secret_key, KEYS_SIZE); /* a key on the list, but not its secret */
	check_refused(&worker);
}
END_TEST

START_TEST(worker_does_not_speak_with_a_false_dispatcher)
{
	struct keys_access impostor = dispatcher;
	char *path = in_dir("impostor");
	struct bus *dealer, *honest = router;
	struct bus_peer peer;
	make_pair("impostor", &impostor.pair);
	ck_assert_msg(!keys_access_open(&impostor, path, list_path, true, &err), "%s", err.msg);
	snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%d", programs_free_port());
	ck_assert_msg(!bus_bind(&router, endpoint, &impostor, &err), "%s", err.msg);
	ck_assert_msg(!bus_connect(&dealer, endpoint, &worker, &err), "%s", err.msg);
	ck_assert_int_eq(exchange(dealer, &peer, REFUSED_MS), 0);
	bus_destroy(dealer);
	bus_destroy(router);
	keys_access_finish(&impostor);
	router = honest;
	free(path);
}
END_TEST

START_TEST(list_is_read_again_for_who_comes_and_for_who_is_there)
{
	struct keys_access other = worker;
	struct bus *first, *second;
	struct bus_peer first_peer, second_peer;
	int ret;
	make_pair("other", &other.pair);
	ck_assert_int_eq(bus_connect(&first, endpoint, &worker, &err), 0);
	ck_assert_int_eq(exchange(first, &first_peer, WAIT_MS), 1);
	allow(other.pair.public_key, "# nobody else");
	ck_assert_int_eq(bus_connect(&second, endpoint, &other, &err), 0);
	drain();
	ck_assert_int_eq(exchange(second, &second_peer, WAIT_MS), 1);
	ck_assert_str_eq(second_peer.key, other.pair.public_key);
	/* the one that was there before is neither heard nor told anything */
	drain();
	ret = exchange(first, &first_peer, WAIT_MS);
	ck_assert_int_eq(ret, ERR_DATA);
	ck_assert_msg(strstr(err.msg, "not allowed any more"), "%s", err.msg);
	ck_assert_str_eq(first_peer.key, worker.pair.public_key);
	ck_assert_int_eq(bus_send(router, &first_peer, MSG_STOP, text(""), &err), ERR_RETRY);
	ck_assert_int_eq(bus_send(router, &second_peer, MSG_STOP, text(""), &err), 0);
	allow(other.pair.public_key, worker.pair.public_key);
	while (exchange(first, &first_peer, WAIT_MS) != 1)
		;
	ck_assert_int_eq(bus_send(router, &first_peer, MSG_STOP, text(""), &err), 0);
	bus_destroy(first);
	bus_destroy(second);
}
END_TEST

/* A peer that says it is another: that is in the handshake's properties, and never taken from there. */
START_TEST(key_of_a_peer_cannot_be_claimed)
{
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
	struct bus_peer peer;
	enum msg_verb verb;
	struct bytes json;
	int linger = 0, ret;
	ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger)), 0);
	ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_ROUTING_ID, "me", 2), 0);
	ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, worker.pair.secret_key, KEYS_SIZE), 0);
	ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, worker.pair.public_key, KEYS_SIZE), 0);
	ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, worker.server_key, KEYS_SIZE), 0);
	ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
	zmq_send(socket, "SF01", 4, ZMQ_SNDMORE);
	zmq_send(socket, "BYE", 3, ZMQ_SNDMORE);
	zmq_send(socket, "{}", 2, 0);
	while (!(ret = bus_recv(router, &peer, &verb, &json, &err)))
		ck_assert_int_eq(bus_wait(router, WAIT_MS), 1);
	ck_assert_int_eq(ret, 1);
	ck_assert_str_eq(peer.key, worker.pair.public_key);
	zmq_close(socket);
	zmq_ctx_term(context);
}
END_TEST

/* ---- bytes that are no ZeroMQ, over TCP */

static int connect_raw(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	a.sin_port = htons((uint16_t)port);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

START_TEST(bytes_that_are_no_zeromq_never_become_a_message)
{
	/* greetings of ZMTP 1.0, 2.0, 3.0 with NULL, PLAIN and CURVE, and what would be a message behind each */
	static const char *const greetings[] = {
		"GET / HTTP/1.1\r\n\r\n", "\x01\x00\x05\x01SF01", "\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0",
		"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "\xff\0\0\0\0\0\0\0\1\x7f\3\0PLAIN",
		"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	};
	static const size_t sizes[] = { 18, 8, 14, 33, 17, 33 };
	struct bus *dealer;
	struct bus_peer peer;
	char noise[4096];
	for (int i = 0; i < 3000; i++) {
		int fd = connect_raw(), g = i % 6;
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (char)(k * (size_t)i * 131 + (k >> 3) * 29);
		send(fd, greetings[g], sizes[g], MSG_NOSIGNAL);
		send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
		close(fd);
	}
	ck_assert_int_eq(bus_connect(&dealer, endpoint, &worker, &err), 0);
	ck_assert_int_eq(exchange(dealer, &peer, WAIT_MS), 1); /* the first that is heard is the one that may */
	ck_assert_str_eq(peer.key, worker.pair.public_key);
	bus_destroy(dealer);
}
END_TEST

/* ---- what is not allowed at all */

START_TEST(tcp_without_keys_is_refused_with_a_word_how_to_get_them)
{
	struct keys_access none = { 0 }, insecure = { .is_insecure = true };
	struct bus *bus;
	ck_assert_int_eq(bus_bind(&bus, "tcp://127.0.0.1:7", NULL, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "keygen") && strstr(err.msg, "--allow-workers"), "%s", err.msg);
	ck_assert_int_eq(bus_bind(&bus, "tcp://0.0.0.0:5555", &none, &err), ERR_USAGE);
	ck_assert_int_eq(bus_connect(&bus, "tcp://127.0.0.1:7", NULL, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "keygen") && strstr(err.msg, "--dispatcher-key"), "%s", err.msg);
	snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%d", programs_free_port());
	ck_assert_msg(!bus_bind(&bus, endpoint, &insecure, &err), "%s", err.msg);
	bus_destroy(bus);
}
END_TEST

START_TEST(message_over_the_dispatchers_limit_ends_the_connection_and_no_other)
{
	static uint8_t large[BUS_INBOUND_MAX + 1];
	struct bus *bad, *good;
	struct bus_peer peer;
	ck_assert_int_eq(bus_connect(&bad, endpoint, &worker, &err), 0);
	ck_assert_int_eq(bus_connect(&good, endpoint, &worker, &err), 0);
	ck_assert_int_eq(exchange(bad, &peer, WAIT_MS), 1);
	drain();
	ck_assert_msg(!bus_send(bad, NULL, MSG_HELLO, (struct bytes){ large, sizeof(large) }, &err), "%s", err.msg);
	ck_assert_int_eq(bus_wait(router, REFUSED_MS), 0);
	ck_assert_int_eq(exchange(good, &peer, WAIT_MS), 1);
	bus_destroy(bad);
	bus_destroy(good);
}
END_TEST

Suite *suite_bus_keys(void)
{
	Suite *s = suite_create("common/bus_keys");
	TCase *t = tcase_create("keys");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, worker_on_the_list_comes_in_and_is_known_by_its_key);
	tcase_add_test(t, descriptor_wakes_for_those_who_want_to_come_in);
	tcase_add_test(t, others_do_not_come_in);
	tcase_add_test(t, worker_does_not_speak_with_a_false_dispatcher);
	tcase_add_test(t, list_is_read_again_for_who_comes_and_for_who_is_there);
	tcase_add_test(t, key_of_a_peer_cannot_be_claimed);
	tcase_add_test(t, bytes_that_are_no_zeromq_never_become_a_message);
	tcase_add_test(t, tcp_without_keys_is_refused_with_a_word_how_to_get_them);
	tcase_add_test(t, message_over_the_dispatchers_limit_ends_the_connection_and_no_other);
	suite_add_tcase(s, t);
	return s;
}
