/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two hosts, as far as the network goes: this process (with what it starts) in a network namespace of its own, "here", another one
 * "there", and between them a cable that can be bad. The cable is a process that carries packets from one TUN device to the other:
 * that works in every kernel, also where it has no netem.
 */
#ifndef SEGFARM_TESTS_E2E_CABLE_H
#define SEGFARM_TESTS_E2E_CABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define CABLE_HERE "10.98.76.1"
#define CABLE_THERE "10.98.76.2"

/* Of both directions; may be changed at any time. */
struct cable_faults {
	atomic_bool is_cut;
	atomic_int delay_ms;      /* each way */
	atomic_int loss_permille; /* of packets */
	atomic_int kbit_per_s;    /* 0: as fast as it goes */
};

struct cable {
	struct cable_faults *faults;
	pid_t pid;
	char there[64]; /* a file for nsenter --net= */
};

/* false, with a line on stderr that says why: not here (root and /dev/net/tun are needed). Ends with the process that made it. */
bool cable_open(struct cable *cable);

#endif
