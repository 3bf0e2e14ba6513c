/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Notify: tells the service manager that started us how far we are, as sd_notify(3) has it: a datagram to the unix socket in
 * NOTIFY_SOCKET. Without that variable nothing happens, and it is no error if nobody listens.
 */
#ifndef SEGFARM_COMMON_NOTIFY_H
#define SEGFARM_COMMON_NOTIFY_H

#define NOTIFY_READY "READY=1" /* also when what NOTIFY_RELOADING began is over */
#define NOTIFY_RELOADING "RELOADING=1"
#define NOTIFY_STOPPING "STOPPING=1"

void notify_send(const char *state);

#endif
