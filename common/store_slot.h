/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Slots of a Redis Cluster: which of the 16384 a key is in, which master has it, and what a server says when it is not the one. Pure.
 * Redis Cluster specification, "Key distribution model" and "Redirection and resharding".
 */
#ifndef SEGFARM_COMMON_STORE_SLOT_H
#define SEGFARM_COMMON_STORE_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_SLOTS 16384
#define STORE_HOST_SIZE 256
#define STORE_NODES_MAX 128 /* masters; a worker has 256 descriptors */
#define STORE_NOWHERE 255   /* no node: the slot is not served */

struct store_address {
	char host[STORE_HOST_SIZE]; /* a name or an address, without [] */
	int port;
};
/* ":6379" has the host "". false: it is none. */
bool store_address_read(struct store_address *address, const char *text);
bool store_address_is(const struct store_address *a, const struct store_address *b);

uint16_t store_crc16(const void *data, size_t n);
/* Of what stands between the first { and the next } where that is something, else of all. */
unsigned store_slot(const char *key);

enum store_redirection {
	STORE_STAYS,     /* it is no redirection */
	STORE_MOVED,     /* the slot is there from now on */
	STORE_ASK,       /* this key is there, for this once: ASKING comes before it */
	STORE_TRY_AGAIN, /* the slot is on its way: wait */
	STORE_DOWN,      /* the slot is not served */
};
struct store_redirect {
	enum store_redirection kind;
	unsigned slot;            /* of MOVED and ASK */
	struct store_address to;  /* of MOVED and ASK; host "": the node that says so */
};
/* Of the text of an error, whatever it is. */
void store_redirect_read(const char *text, struct store_redirect *redirect);
/* Whether an error says that the server is a replica. Of a script Redis 6 says so in the middle. */
bool store_is_read_only(const char *text);

struct store_map {
	int n;
	struct store_address nodes[STORE_NODES_MAX];
	uint8_t of[STORE_SLOTS]; /* index of a node, or STORE_NOWHERE */
};
void store_map_init(struct store_map *map);
/* The index of a node, which is added if it is not there; -1: there is no room. */
int store_map_node(struct store_map *map, const struct store_address *address);
/* Slots first to last. false: they are none, or there is no room for the node. */
bool store_map_assign(struct store_map *map, int64_t first, int64_t last, const struct store_address *address);

#endif
