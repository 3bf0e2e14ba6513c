/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Resolve: the getaddrinfo of this program, libavformat's included: where a guard stands, names that lead to addresses that are not
 * allowed lead nowhere. So what was looked at is what is connected to, with each connection.
 */
#ifndef SEGFARM_WORKER_RESOLVE_H
#define SEGFARM_WORKER_RESOLVE_H

#include "common/allow.h"

/* Of this thread, from here on; NULL: none. */
void resolve_guard(const struct allow *allow);
/* The address that was refused last since the guard was set, as text; "": none was. */
const char *resolve_refused(void);

#endif
