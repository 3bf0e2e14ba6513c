/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Peers that send what they should not, as fast as it is taken. Each is a function for proc_fork, with a struct attack in shared
 * memory, and returns 0 when the other side has borne it: not only lives, but answers.
 */
#ifndef SEGFARM_TESTS_E2E_ATTACK_H
#define SEGFARM_TESTS_E2E_ATTACK_H

#include <stdint.h>

struct attack {
	int port;
	const char *key; /* of the title, for HTTP */
	uint64_t seed;
	long n;          /* messages to send */
	long n_sent;
	long n_refused;  /* of them, those that are surely refused one by one */
	int64_t ms;      /* that it took */
	int statuses[600]; /* HTTP: how often each was answered; 0: none */
};

/* ZeroMQ without keys (--insecure): wrong frames, mutated messages, right ones out of order. */
int attack_zmq(void *attack);
/* Bytes that are no ZeroMQ, or its beginning and then none. */
int attack_raw(void *attack);
/* Requests with everything wrong that can be, some 100 that never come to an end among them. */
int attack_http(void *attack);

#endif
