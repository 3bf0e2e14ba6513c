/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ZAP (ZeroMQ RFC 27): libzmq asks here, through a socket, whether a client whose CURVE handshake is right may come in. Without one
 * it lets every key in. Served by the bus's own thread, whenever that receives or waits. Internal to bus.c.
 */
#ifndef SEGFARM_COMMON_BUS_ZAP_H
#define SEGFARM_COMMON_BUS_ZAP_H

#include "common/keys.h"

#define BUS_ZAP_DOMAIN "segfarm"

struct bus_zap;

/* Before the socket of this context is bound. The list is the caller's, and read again here when its file changes. */
int bus_zap_open(struct bus_zap **zap, void *context, struct keys_list *allowed, struct err *err);
void bus_zap_close(struct bus_zap *zap); /* NULL is fine */
/* Edge-triggered as ZMQ_FD is: call bus_zap_work before going to sleep. */
int bus_zap_fd(const struct bus_zap *zap);
/* Answers all that is asked. */
void bus_zap_work(struct bus_zap *zap);
/* Whether this key may still talk: the list may have changed since it came in. */
bool bus_zap_allows(struct bus_zap *zap, const char *key);

#endif
