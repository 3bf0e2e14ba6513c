/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/store_slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CRC-16/XMODEM. Tags have 16 bytes: a table would not pay. */
uint16_t store_crc16(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint16_t crc = 0;

	for (size_t i = 0; i < n; i++) {
		crc ^= (uint16_t)(p[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

unsigned store_slot(const char *key)
{
	const char *open = strchr(key, '{'), *close = open ? strchr(open, '}') : NULL;

	if (close && close > open + 1)
		return store_crc16(open + 1, (size_t)(close - open - 1)) % STORE_SLOTS;
	return store_crc16(key, strlen(key)) % STORE_SLOTS;
}

/* A whole decimal number of at most max; -1: it is none. */
static long read_number(const char *text, long max)
{
	char *end;
	long v;

	if (*text < '0' || *text > '9')
		return -1;
	v = strtol(text, &end, 10);
	return *end || v > max ? -1 : v;
}

bool store_address_read(struct store_address *address, const char *text)
{
	const char *colon = strrchr(text, ':'), *end = colon;
	long port = colon ? read_number(colon + 1, 65535) : -1;

	if (port < 1)
		return false;
	if (*text == '[' && end > text + 1 && end[-1] == ']') {
		text++;
		end--;
	}
	if ((size_t)(end - text) >= sizeof(address->host) || memchr(text, '[', (size_t)(end - text)))
		return false;
	memset(address, 0, sizeof(*address));
	memcpy(address->host, text, (size_t)(end - text));
	address->port = (int)port;
	return true;
}

bool store_address_is(const struct store_address *a, const struct store_address *b)
{
	return a->port == b->port && !strcmp(a->host, b->host);
}

static bool begins_with(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* "MOVED 3999 127.0.0.1:6381"; Redis 7 may put the name of a host there, and more words behind it. */
static bool read_place(const char *text, struct store_redirect *r)
{
	char slot[8], place[STORE_HOST_SIZE + 8];
	long n;

	if (sscanf(text, "%*s %7s %263s", slot, place) != 2 || (n = read_number(slot, STORE_SLOTS - 1)) < 0)
		return false;
	r->slot = (unsigned)n;
	return store_address_read(&r->to, place);
}

void store_redirect_read(const char *text, struct store_redirect *r)
{
	/* what a script finds out by itself, in the middle of its work: parts of the slot are elsewhere already */
	static const char script[] = "attempted to access a non local key";

	memset(r, 0, sizeof(*r));
	if (begins_with(text, "TRYAGAIN") || strstr(text, script))
		r->kind = STORE_TRY_AGAIN;
	else if (begins_with(text, "CLUSTERDOWN"))
		r->kind = STORE_DOWN;
	else if (begins_with(text, "MOVED ") && read_place(text, r))
		r->kind = STORE_MOVED;
	else if (begins_with(text, "ASK ") && read_place(text, r))
		r->kind = STORE_ASK;
}

bool store_is_read_only(const char *text)
{
	return begins_with(text, "READONLY ") || strstr(text, "-READONLY ");
}

void store_map_init(struct store_map *map)
{
	map->n = 0;
	memset(map->of, STORE_NOWHERE, sizeof(map->of));
}

int store_map_node(struct store_map *map, const struct store_address *address)
{
	for (int i = 0; i < map->n; i++)
		if (store_address_is(&map->nodes[i], address))
			return i;
	if (map->n == STORE_NODES_MAX)
		return -1;
	map->nodes[map->n] = *address;
	return map->n++;
}

bool store_map_assign(struct store_map *map, int64_t first, int64_t last, const struct store_address *address)
{
	int node;

	if (first < 0 || last < first || last >= STORE_SLOTS)
		return false;
	node = store_map_node(map, address);
	if (node < 0)
		return false;
	memset(map->of + first, node, (size_t)(last - first + 1));
	return true;
}
