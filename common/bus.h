/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bus: the ZeroMQ sockets between dispatcher (ROUTER) and workers (DEALER). Frames: [peer id, ROUTER only][protocol][verb][JSON].
 * Never blocks except in bus_wait. One bus belongs to one thread. See field notes in bus.c for the socket options.
 *
 * ipc:// is guarded by the file system: the socket is its owner's only. tcp:// takes CURVE keys on both sides, and a list of the
 * workers' on the dispatcher's, unless it is told to go without.
 */
#ifndef SEGFARM_COMMON_BUS_H
#define SEGFARM_COMMON_BUS_H

#include "common/buf.h"
#include "common/err.h"
#include "common/keys.h"
#include "common/msg.h"

#define BUS_PEER_MAX 32           /* bytes of a ROUTER peer id */
#define BUS_MESSAGE_MAX (4 << 20) /* bytes of one frame to a worker */
#define BUS_INBOUND_MAX (64 << 10) /* and of one to the dispatcher: whoever sends a longer one is hung up on */

struct bus_peer {
	uint8_t id[BUS_PEER_MAX];
	uint8_t size;
	uint8_t protocol; /* that it spoke last, which it is answered in; 0: none of ours */
	char key[KEYS_SIZE]; /* its public key, which the workers of one host may share; "" without CURVE */
};

struct bus;

/* endpoint: ipc://PATH or tcp://ADDR:PORT. Binding ipc takes PATH.lock first (flock), so that a second
 * dispatcher gets ERR_USAGE instead of stealing the path. access outlives the bus; NULL where none is needed: ipc. */
int bus_bind(struct bus **bus, const char *endpoint, struct keys_access *access, struct err *err);
int bus_connect(struct bus **bus, const char *endpoint, struct keys_access *access, struct err *err);
void bus_destroy(struct bus *bus); /* NULL is fine; unlinks a bound ipc path and its lock */

/* The descriptor to poll for POLLIN. Edge-triggered: after every send and receive, and before going
 * to sleep, call bus_recv until it returns 0. */
int bus_fd(const struct bus *bus);

/* Sends; peer NULL on a DEALER. 0 sent; ERR_RETRY peer gone, its queue full, or its key not allowed any more (nothing was sent). */
int bus_send(struct bus *bus, const struct bus_peer *peer, enum msg_verb verb, struct bytes json, struct err *err);

/* 1 got one, 0 nothing there, ERR_DATA a malformed message, or one of a peer whose key is not allowed any more, was thrown away
 * (peer is filled: call again). ERR_UNSUPPORTED: as well, for it is of another protocol; *verb says what it would be.
 * *json lives until the next bus_recv. */
int bus_recv(struct bus *bus, struct bus_peer *peer, enum msg_verb *verb, struct bytes *json, struct err *err);

/* A DEALER speaks another protocol than MSG_PROTOCOL from here on: for tests. */
void bus_set_protocol(struct bus *bus, int protocol);

/* Where it listens, as it came to be (a port 0 is a number here); "": not known. */
void bus_endpoint(const struct bus *bus, char *endpoint, size_t size);

/* There is a connection that takes messages: a DEALER sees by that when its other side has come back. */
bool bus_is_connected(struct bus *bus);

/* Waits until something can be received, at most timeout_ms (-1: for ever); 1 ready, 0 time is up or
 * a signal came. */
int bus_wait(struct bus *bus, int timeout_ms);

#endif
